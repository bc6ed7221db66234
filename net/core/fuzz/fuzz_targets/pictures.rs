//! A picture's way in, fed with any pieces, parity and times: it never panics, and what it holds stays bounded.
#![no_main]

use std::time::Duration;

use ahoy_base::{Moment, VideoTrack};
use ahoy_net_core::video::Incoming;
use ahoy_net_core::wire::datagram::Datagram;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut incoming = Incoming::new(VideoTrack::Camera);
    let mut now = Moment::from_millis(1);
    for datagram in bytes.chunks(40) {
        now = now + Duration::from_millis(u64::from(datagram.first().copied().unwrap_or(0)));
        if let Ok(Datagram::Piece { piece, .. }) = Datagram::parse(datagram) {
            let _ = incoming.take(now, &piece);
        }
        while incoming.show(now).is_some() {}
        let _ = incoming.ask(now, Duration::from_millis(50));
        assert!(incoming.bytes() < 8 * 1024 * 1024);
    }
});
