//! What an encoder may make of a budget: one pure decision, and the patience between two.

use std::time::Duration;

use ahoy_base::{Bitrate, Moment, VideoPlan, VideoSize, VideoTrack};

/// A step: from so many kbit/s on, at most these lines (`None`: all that can be shown), frames a second, and the kbit/s
/// beyond which nothing is gained.
struct Rung(u64, Option<u16>, u8, u64);

/// For faces: size follows the rate, frames stay smooth as long as they can.
const CAMERA: &[Rung] = &[
    Rung(30, Some(180), 8, 90),
    Rung(70, Some(180), 15, 160),
    Rung(130, Some(270), 20, 400),
    Rung(180, Some(360), 30, 1_500),
    Rung(700, Some(540), 30, 2_000),
    Rung(950, Some(720), 30, 2_600),
    Rung(3_500, Some(1_080), 30, 5_000),
];
/// For text: size stays, the rate of frames follows.
const SCREEN: &[Rung] = &[
    Rung(40, None, 1, 200),
    Rung(150, None, 3, 500),
    Rung(350, None, 5, 900),
    Rung(700, None, 10, 1_800),
    Rung(1_500, None, 15, 2_500),
    Rung(2_500, None, 30, 4_000),
];
/// A higher step must be affordable with this much to spare, for this long.
const TO_SPARE: f64 = 1.15;
const STABLE: Duration = Duration::from_secs(3);
/// Not in the first moments: what a link carries shows by and by.
const BEGINNING: Duration = Duration::from_secs(4);
/// A step is left when less than this of it can be afforded: at once, or after a moment. A dip is met by fewer bits alone;
/// another size costs a key frame.
const NO_MORE: f64 = 0.5;
const TOO_LITTLE: f64 = 0.85;
const PATIENCE: Duration = Duration::from_millis(1_500);
/// A change of the bit rate smaller than this waits.
const WORTH_SAYING: f64 = 0.04;
/// Rises are told at most this often.
const RISE_EVERY: Duration = Duration::from_millis(100);
/// What the switch for little data leaves of a picture.
const LOW_DATA: Bitrate = Bitrate::kbps(250);

/// What bounds a plan besides the budget.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The largest picture that the receiver can show; `None`: it shows none.
    pub want: Option<VideoSize>,
    /// The lines that the encoder's source has, once known to be few: more bits than they need are wasted.
    pub source: Option<u16>,
    /// The person wants to use little data.
    pub low_data: bool,
}

/// See the module's first line.
#[derive(Debug)]
pub struct Ladder {
    rungs: &'static [Rung],
    rung: Option<usize>,
    began: Moment,
    better_since: Option<Moment>,
    worse_since: Option<Moment>,
    said: Option<(Moment, VideoPlan)>,
}

impl std::fmt::Debug for Rung {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} kbit/s: {:?} lines, {} a second", self.0, self.1, self.2)
    }
}

impl Ladder {
    /// A track that begins.
    pub fn new(now: Moment, track: VideoTrack) -> Ladder {
        let rungs = match track {
            VideoTrack::Camera => CAMERA,
            VideoTrack::Screen => SCREEN,
        };
        Ladder { rungs, rung: None, began: now, better_since: None, worse_since: None, said: None }
    }

    /// The plan for `budget`, if an encoder has to be told.
    pub fn follow(&mut self, now: Moment, budget: Bitrate, limits: Limits) -> Option<VideoPlan> {
        let plan = self.plan(now, budget, limits);
        if let Some((at, said)) = self.said {
            let (new, old) = (plan.bitrate.as_bps() as f64, said.bitrate.as_bps() as f64);
            let same_shape = (plan.size, plan.frame_rate) == (said.size, said.frame_rate);
            let small = (new - old).abs() <= old * WORTH_SAYING;
            let soon = new > old && old > 0.0 && now.since(at) < RISE_EVERY;
            if same_shape && (small || soon) {
                return None;
            }
        }
        self.said = Some((now, plan));
        Some(plan)
    }

    /// The most that is of use with these limits.
    pub fn most(&self, limits: Limits) -> Bitrate {
        let Some(want) = limits.want else { return Bitrate::default() };
        let shown = lines_of(want).min(limits.source.unwrap_or(u16::MAX));
        let most = Bitrate::kbps(
            self.rungs.iter().filter(|rung| fits(rung, shown)).map(|rung| rung.3).max().unwrap_or(0),
        );
        if limits.low_data { most.min(LOW_DATA) } else { most }
    }

    fn plan(&mut self, now: Moment, budget: Bitrate, limits: Limits) -> VideoPlan {
        let nothing = VideoPlan { bitrate: Bitrate::default(), size: size_of(180), frame_rate: 1 };
        let Some(want) = limits.want else { return nothing };
        let budget = budget.min(self.most(limits));
        self.climb(now, budget, lines_of(want));
        let Some(Rung(_, lines, rate, most)) = self.rung.and_then(|n| self.rungs.get(n)) else {
            return nothing;
        };
        let size = lines.map_or(want, size_of);
        let size = VideoSize { width: size.width.min(want.width), height: size.height.min(want.height) };
        VideoPlan { bitrate: budget.min(Bitrate::kbps(*most)), size, frame_rate: *rate }
    }

    fn climb(&mut self, now: Moment, budget: Bitrate, lines: u16) {
        let kbps = budget.as_bps() as f64 / 1_000.0;
        let highest = |spare: f64| {
            let can =
                |(n, rung): &(usize, &Rung)| *n == 0 || (rung.0 as f64 * spare <= kbps && fits(rung, lines));
            let carried = self.rungs.first().is_some_and(|rung| rung.0 as f64 * spare <= kbps);
            self.rungs.iter().enumerate().filter(can).map(|(n, _)| n).max().filter(|_| carried)
        };
        let Some(at) = self.rung else {
            self.rung = highest(1.0);
            return;
        };
        let fitting = self.rungs.get(at).is_some_and(|rung| fits(rung, lines) || at == 0);
        let afford = |by: f64| self.rungs.get(at).is_some_and(|rung| rung.0 as f64 * by <= kbps);
        let worse = if afford(TOO_LITTLE) { None } else { Some(self.worse_since.unwrap_or(now)) };
        self.worse_since = worse;
        if !fitting || !afford(NO_MORE) || worse.is_some_and(|since| now.since(since) >= PATIENCE) {
            self.rung = highest(1.0);
            self.better_since = None;
            self.worse_since = None;
            return;
        }
        match highest(TO_SPARE).filter(|higher| *higher > at) {
            Some(higher) => {
                let since = *self.better_since.get_or_insert(now);
                if now.since(self.began) < BEGINNING || now.since(since) >= STABLE {
                    self.rung = Some(higher);
                    self.better_since = None;
                }
            }
            None => self.better_since = None,
        }
    }
}

/// Whether a step makes no more lines than can be shown, or can be scaled down to it without waste. The smallest always does.
fn fits(rung: &Rung, lines: u16) -> bool {
    rung.1.is_none_or(|made| made <= lines.max(180).saturating_mul(4) / 3)
}

fn lines_of(size: VideoSize) -> u16 {
    // Bounds for any shape: what counts is the larger of the two sides.
    size.height.max((u32::from(size.width) * 9 / 16).min(u32::from(u16::MAX)) as u16)
}

fn size_of(lines: u16) -> VideoSize {
    VideoSize { width: (u32::from(lines) * 16 / 9).min(u32::from(u16::MAX)) as u16, height: lines }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const HD: VideoSize = VideoSize { width: 1_280, height: 720 };
    const ALL: Limits = Limits { want: Some(HD), source: None, low_data: false };
    const AT: fn(u64) -> Moment = Moment::from_millis;

    fn shape(plan: VideoPlan) -> (u64, u16, u8) {
        (plan.bitrate.as_bps() / 1_000, plan.size.height, plan.frame_rate)
    }

    #[test]
    fn every_budget_has_its_plan() {
        let small = Limits { want: Some(VideoSize { width: 320, height: 180 }), ..ALL };
        let few = Limits { source: Some(360), ..ALL };
        let low = Limits { low_data: true, ..ALL };
        let none = Limits { want: None, ..ALL };
        for (track, kbps, limits, expected) in [
            (VideoTrack::Camera, 10, ALL, (0, 180, 1)),
            (VideoTrack::Camera, 40, ALL, (40, 180, 8)),
            (VideoTrack::Camera, 100, ALL, (100, 180, 15)),
            (VideoTrack::Camera, 170, ALL, (170, 270, 20)),
            (VideoTrack::Camera, 400, ALL, (400, 360, 30)),
            (VideoTrack::Camera, 800, ALL, (800, 540, 30)),
            (VideoTrack::Camera, 1_500, ALL, (1_500, 720, 30)),
            (VideoTrack::Camera, 9_000, ALL, (2_600, 720, 30)),
            (VideoTrack::Camera, 9_000, few, (1_500, 720, 30)),
            (VideoTrack::Camera, 9_000, small, (160, 180, 15)),
            (VideoTrack::Camera, 9_000, low, (250, 360, 30)),
            (VideoTrack::Camera, 9_000, none, (0, 180, 1)),
            (VideoTrack::Screen, 200, ALL, (200, 720, 3)),
            (VideoTrack::Screen, 1_000, ALL, (1_000, 720, 10)),
            (VideoTrack::Screen, 9_000, ALL, (4_000, 720, 30)),
        ] {
            let plan = Ladder::new(AT(0), track).follow(AT(0), Bitrate::kbps(kbps), limits).unwrap();
            assert_eq!(shape(plan), expected, "{track:?}, {kbps} kbit/s, {limits:?}");
        }
    }

    #[test]
    fn down_is_at_once_and_up_waits_but_at_the_beginning() {
        let mut ladder = Ladder::new(AT(0), VideoTrack::Camera);
        let mut follow = |ms, kbps| ladder.follow(AT(ms), Bitrate::kbps(kbps), ALL).map(shape);
        assert_eq!(follow(0, 300), Some((300, 360, 30)));
        assert_eq!(follow(500, 2_000), Some((2_000, 720, 30)), "at the beginning at once");
        assert_eq!(follow(510, 2_010), None, "too little to say");
        assert_eq!(follow(520, 2_300), None, "too soon");
        assert_eq!(follow(9_000, 900), Some((900, 720, 30)), "a little less is no reason");
        assert_eq!(follow(9_010, 600), Some((600, 720, 30)), "a dip is met by fewer bits");
        assert_eq!(follow(9_020, 400), Some((400, 360, 30)), "a fall at once by fewer lines");
        assert_eq!(follow(10_000, 2_000), Some((1_500, 360, 30)), "more bits at once, more lines later");
        assert_eq!(follow(12_900, 2_000), None);
        assert_eq!(follow(13_010, 2_000), Some((2_000, 720, 30)));
        assert_eq!(follow(20_000, 600), Some((600, 720, 30)));
        assert_eq!(follow(21_600, 600), Some((600, 360, 30)), "and a dip that lasts too");
    }
}
