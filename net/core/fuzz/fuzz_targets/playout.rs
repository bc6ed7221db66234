//! A jitter buffer fed with any numbers and times: it never panics, and what waits stays bounded.
#![no_main]

use std::time::Duration;

use ahoy_base::{EncodedAudio, Moment, OpusPacket, TICK, VoiceLevel};
use ahoy_net_core::receive::{Playout, Pull, ReceivedAudio};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut playout = Playout::new();
    for piece in bytes.chunks_exact(9) {
        let number = |range: std::ops::Range<usize>| piece[range].iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        let arrival = Moment::from_millis(number(0..3));
        let frame = EncodedAudio {
            seq: number(3..5),
            media_time: Duration::from_millis(number(5..8)),
            duration: TICK.saturating_mul(u32::from(piece[8] >> 4)),
            level: VoiceLevel::new(piece[8] & 15),
            opus: OpusPacket::new(&[0]).expect("one byte"),
        };
        playout.insert(ReceivedAudio { arrival, frame, copy: piece[0] & 1 == 1 });
        let ahead = Duration::from_millis(u64::from(piece[8]));
        let _ = playout.next(Pull { now: arrival, heard: arrival, ahead });
    }
});
