//! How much time an encoder may spend: less when frames take too much of their interval, more again when there is plenty.

use std::time::Duration;

use ahoy_codec::video::Speed;

/// Shares of a frame's interval: above the first the encoder hurries, below the second it may take its time.
const TOO_MUCH: f64 = 0.6;
const PLENTY: f64 = 0.25;
/// Frames in a row that are too slow before anything changes: half a second.
const SLOW_FRAMES: u32 = 15;
/// Frames in a row with plenty of time: ten seconds, so that effort does not swing.
const QUICK_FRAMES: u32 = 300;
/// Frames a second of a machine that can't do more even at its fastest.
const FEWER_FRAMES: u8 = 15;

/// See the module's first line.
#[derive(Debug)]
pub(super) struct Effort {
    base: Speed,
    speed: Speed,
    fewer: bool,
    slow: u32,
    quick: u32,
}

impl Effort {
    /// Starts at `base` and never spends more than that.
    pub(super) fn new(base: Speed) -> Effort {
        Effort { base, speed: base, fewer: false, slow: 0, quick: 0 }
    }

    /// A frame `took` so long of its `interval`; the new speed, if it changes.
    pub(super) fn after(&mut self, took: Duration, interval: Duration) -> Option<Speed> {
        let share = took.as_secs_f64() / interval.as_secs_f64().max(1e-3);
        self.slow = if share > TOO_MUCH { self.slow + 1 } else { self.slow.saturating_sub(1) };
        self.quick = if share < PLENTY { self.quick + 1 } else { 0 };
        if self.slow >= SLOW_FRAMES {
            (self.slow, self.quick) = (0, 0);
            self.fewer = self.speed == Speed::Fastest;
            self.speed = self.speed.faster();
            return Some(self.speed);
        }
        if self.quick >= QUICK_FRAMES && (self.fewer || self.speed > self.base) {
            (self.slow, self.quick) = (0, 0);
            if !std::mem::take(&mut self.fewer) {
                self.speed = self.speed.slower().max(self.base);
            }
            return Some(self.speed);
        }
        None
    }

    /// Frames a second that the machine can make.
    pub(super) fn most_frames(&self) -> u8 {
        if self.fewer { FEWER_FRAMES } else { u8::MAX }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(33);

    #[test]
    fn effort_falls_step_by_step_then_the_rate_and_all_comes_back() {
        let mut effort = Effort::new(Speed::Normal);
        let run = |effort: &mut Effort, n: u32, ms: u64| -> Vec<Speed> {
            (0..n).filter_map(|_| effort.after(Duration::from_millis(ms), INTERVAL)).collect()
        };
        assert!(run(&mut effort, 600, 15).is_empty(), "neither slow nor quick");
        assert!(run(&mut effort, 10, 30).is_empty(), "one hiccup is none");
        assert_eq!(run(&mut effort, 40, 30), [Speed::Fast, Speed::Fastest, Speed::Fastest]);
        assert_eq!(effort.most_frames(), 15);
        assert_eq!(run(&mut effort, 300, 2), [Speed::Fastest]);
        assert_eq!(effort.most_frames(), u8::MAX);
        assert_eq!(run(&mut effort, 2_000, 2), [Speed::Fast, Speed::Normal]);
    }
}
