//! How voice is sent through the weather of a link: how long its frames are, how often each is sent. One pure decision.
//!
//! A datagram that is sent again costs what one costs and waits a few milliseconds; a copy of a frame inside the next
//! datagram costs a third of that and waits a frame; asking again costs a round trip. Voice bears no round trip beyond
//! a LAN's, so it is the first two: sent again where loss is by chance, because that is soonest; copies beside where losses come in
//! rows, because they are further apart (docs/decisions/0023, 0027).

use std::time::Duration;

use ahoy_base::Bitrate;

use super::Loss;

/// What a datagram carries beside the frame: IP and UDP 28, QUIC 25, header and seal 25.
const DATAGRAM_OVERHEAD: usize = 78;
/// Fates before which nothing is known of a link's loss.
const UNKNOWN: u64 = 40;
/// Between two sendings of a datagram. Losses by chance are independent after a moment.
const SPACING: Duration = Duration::from_millis(2);
/// The same while nothing is known of the link, and where losses come in bursts.
const FIRST_SPACING: Duration = Duration::from_millis(5);
const WIDE_SPACING: Duration = Duration::from_millis(7);
/// Mean rows of losses above which they are no chance. By chance a third lost makes rows of 1.5.
const ROWS: f32 = 1.8;

/// What is known of a link.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Weather {
    /// What it loses.
    pub loss: Loss,
    /// What may be sent for voice, all bytes counted.
    pub budget: Bitrate,
}

/// How voice is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VoicePlan {
    /// Sound in a frame: 10 or 20 ms.
    pub frame: Duration,
    /// What the encoder aims at.
    pub bitrate: Bitrate,
    /// Copies of older frames in a datagram.
    pub older: u8,
    /// How often a datagram is sent again.
    pub again: u8,
    /// How long after the sending before.
    pub spacing: Duration,
}

impl VoicePlan {
    const fn new(frame_ms: u64, kbps: u64, older: u8, again: u8) -> VoicePlan {
        VoicePlan {
            frame: Duration::from_millis(frame_ms),
            bitrate: Bitrate::kbps(kbps),
            older,
            again,
            spacing: SPACING,
        }
    }

    /// What a call begins with.
    pub const FIRST: VoicePlan = VoicePlan { spacing: FIRST_SPACING, ..VoicePlan::new(10, 48, 0, 1) };

    /// All it sends, with every header.
    pub fn cost(&self) -> Bitrate {
        let ms = self.frame.as_millis() as u64;
        let frame_bits = self.bitrate.as_bps() * ms / 1_000;
        let datagram = 8 * DATAGRAM_OVERHEAD as u64 + frame_bits * (1 + u64::from(self.older));
        Bitrate::bps(datagram * (1 + u64::from(self.again)) * 1_000 / ms.max(1))
    }
}

/// Plans by loss, the best first; the first that the budget carries is taken.
const CLEAR: &[VoicePlan] = &[VoicePlan::new(10, 48, 0, 0)];
const LIGHT: &[VoicePlan] =
    &[VoicePlan::new(10, 48, 0, 1), VoicePlan::new(10, 40, 1, 0), VoicePlan::new(20, 32, 1, 0)];
const MEDIUM: &[VoicePlan] = &[
    VoicePlan::new(10, 48, 0, 2),
    VoicePlan::new(10, 32, 0, 2),
    VoicePlan::new(10, 40, 0, 1),
    VoicePlan::new(20, 32, 1, 1),
    VoicePlan::new(20, 24, 1, 0),
];
const HEAVY: &[VoicePlan] = &[
    VoicePlan::new(10, 40, 0, 3),
    VoicePlan::new(10, 32, 0, 3),
    VoicePlan::new(10, 32, 0, 2),
    VoicePlan::new(20, 32, 1, 1),
    VoicePlan::new(20, 24, 1, 1),
];
const STORM: &[VoicePlan] = &[
    VoicePlan::new(10, 40, 1, 3),
    VoicePlan::new(10, 32, 1, 2),
    VoicePlan::new(10, 32, 0, 2),
    VoicePlan::new(20, 32, 1, 1),
    VoicePlan::new(20, 24, 1, 1),
];
/// The same where losses come in rows.
const LIGHT_ROWS: &[VoicePlan] =
    &[VoicePlan::new(10, 40, 1, 1), VoicePlan::new(10, 40, 1, 0), VoicePlan::new(20, 32, 1, 0)];
const HEAVY_ROWS: &[VoicePlan] = &[
    VoicePlan::new(10, 40, 2, 2),
    VoicePlan::new(10, 40, 2, 1),
    VoicePlan::new(10, 40, 1, 1),
    VoicePlan::new(20, 32, 1, 1),
    VoicePlan::new(20, 24, 1, 0),
];
/// Where nothing better fits: narrow links.
const NARROW: &[VoicePlan] =
    &[VoicePlan::new(20, 32, 0, 0), VoicePlan::new(20, 24, 0, 0), VoicePlan::new(20, 16, 0, 0)];

/// How to send voice in this weather.
pub fn plan(weather: Weather) -> VoicePlan {
    let Loss { share, burst, known } = weather.loss;
    // Unknown: twice, so that the first words come whole whatever the link is.
    let unknown = known < UNKNOWN;
    let rows = burst > ROWS && !unknown;
    let wanted = match share {
        _ if unknown => LIGHT,
        s if s < 0.004 => CLEAR,
        s if s < 0.02 && rows => LIGHT_ROWS,
        _ if rows => HEAVY_ROWS,
        s if s < 0.03 => LIGHT,
        s if s < 0.14 => MEDIUM,
        s if s < 0.26 => HEAVY,
        _ => STORM,
    };
    let fits = |plan: &&VoicePlan| plan.cost() <= weather.budget;
    let smallest = VoicePlan::new(20, 16, 0, 0);
    let plan = wanted.iter().chain(NARROW).find(fits).copied().unwrap_or(smallest);
    // Bursts outlast close sendings.
    let spacing = match rows {
        _ if unknown => FIRST_SPACING,
        true => WIDE_SPACING,
        false => SPACING,
    };
    VoicePlan { spacing, ..plan }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weather(share: f32, burst: f32, kbps: u64) -> Weather {
        Weather { loss: Loss { share, burst, known: 1_000 }, budget: Bitrate::kbps(kbps) }
    }

    #[test]
    fn every_weather_has_its_plan() {
        // share of loss, budget kbit/s -> frame ms, kbit/s, older, again
        for (share, budget, expected) in [
            (0.0, 2_000, (10, 48, 0, 0)),
            (0.0, 100, (20, 32, 0, 0)),
            (0.0, 56, (20, 24, 0, 0)),
            (0.0, 10, (20, 16, 0, 0)),
            (0.01, 2_000, (10, 48, 0, 1)),
            (0.01, 150, (10, 40, 1, 0)),
            (0.01, 70, (20, 32, 0, 0)),
            (0.05, 2_000, (10, 48, 0, 2)),
            (0.05, 210, (10, 40, 0, 1)),
            (0.05, 200, (20, 32, 1, 1)),
            (0.05, 90, (20, 24, 1, 0)),
            (0.2, 2_000, (10, 40, 0, 3)),
            (0.2, 380, (10, 32, 0, 3)),
            (0.2, 300, (10, 32, 0, 2)),
            (0.2, 160, (20, 24, 1, 1)),
            (0.3, 2_000, (10, 40, 1, 3)),
            (0.9, 10, (20, 16, 0, 0)),
        ] {
            let p = plan(weather(share, 1.0, budget));
            let got = (p.frame.as_millis() as u64, p.bitrate.as_bps() / 1_000, p.older, p.again);
            assert_eq!(got, expected, "loss {share}, {budget} kbit/s");
        }
    }

    #[test]
    fn a_plan_never_costs_more_than_may_be_sent() {
        for budget in 52..600 {
            for share in [0.0, 0.005, 0.02, 0.1, 0.2, 0.3] {
                for burst in [1.0, 5.0] {
                    let p = plan(weather(share, burst, budget));
                    assert!(p.cost() <= Bitrate::kbps(budget), "{p:?} costs {:?} of {budget}", p.cost());
                }
            }
        }
    }

    #[test]
    fn rows_of_losses_are_met_from_further_apart() {
        let p = plan(weather(0.05, 5.0, 2_000));
        assert_eq!((p.older, p.again, p.spacing), (2, 2, WIDE_SPACING));
        assert_eq!(plan(weather(0.01, 3.0, 2_000)).older, 1);
        assert_eq!(plan(weather(0.0, 3.0, 2_000)).older, 0);
    }

    #[test]
    fn the_unknown_is_met_twice_and_bursts_from_further_apart() {
        let new = Weather { loss: Loss::default(), budget: Bitrate::kbps(500) };
        assert_eq!(plan(new), VoicePlan::FIRST);
        assert!(plan(weather(0.05, 5.0, 500)).spacing > plan(weather(0.05, 1.0, 500)).spacing);
    }
}
