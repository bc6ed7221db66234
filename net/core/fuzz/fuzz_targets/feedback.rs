//! Reports of any content against what was sent, and all that is decided from them: it never panics, rates stay in their bounds,
//! and a plan never costs more than may be sent unless it is the cheapest.
#![no_main]

use std::time::Duration;

use ahoy_base::{Bitrate, Moment};
use ahoy_net_core::transport::{Arrived, Losses, RateController, SendLog, Weather, plan};
use ahoy_net_core::wire::datagram::Datagram;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut now = Moment::from_millis(1_000);
    let (mut log, mut arrived, mut losses) = (SendLog::default(), Arrived::default(), Losses::default());
    let mut rate = RateController::new(now, Bitrate::kbps(300));
    for piece in bytes.chunks(24) {
        let (first, rest) = (piece[0], &piece[1..]);
        let number = rest.iter().take(4).fold(0u32, |n, b| n << 8 | u32::from(*b));
        now = now + Duration::from_micros(u64::from(number % 200_000));
        match first & 7 {
            0 | 1 => (0..first >> 3).for_each(|_| log.sent(now, usize::from(first) * 8)),
            2 => arrived.note(now, number as u16, first & 8 == 0),
            3 => {
                if let Some(report) = arrived.report(now) {
                    let fates = log.learn(now, &report);
                    losses.take(&fates);
                    rate.learn(now, &fates, log.rtt());
                }
            }
            4 | 5 => {
                let whole = [&[0x20][..], rest].concat();
                if let Ok(Datagram::Feedback(report)) = Datagram::parse(&whole) {
                    let fates = log.learn(now, &report);
                    losses.take(&fates);
                    rate.learn(now, &fates, log.rtt());
                }
            }
            6 => rate.marked(now),
            _ => {
                rate.on_time(now, log.in_flight());
                if let Some((_, rate_of_probe)) = rate.probe_due(now, Bitrate::kbps(u64::from(number >> 8))) {
                    rate.probing(now, log.count(), log.count() + u64::from(first), rate_of_probe);
                }
            }
        }
        assert!((24_000..=20_000_000).contains(&rate.target().as_bps()));
        let budget = rate.for_voice();
        let chosen = plan(Weather { loss: losses.now(), budget });
        assert!(chosen.cost() <= budget || chosen.bitrate == Bitrate::kbps(16));
    }
});
