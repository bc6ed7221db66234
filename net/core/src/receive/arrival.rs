//! Learns how late packets come, and from that how long sound should wait before it is played.
//!
//! Source: the shape of NetEQ's `DelayManager` (libwebrtc m150: relative arrival delay, forgetting histogram), with finer
//! buckets, and with a price instead of a quantile: waiting longer must save enough sound to be worth it. A quantile
//! waits for the same share on every link; where loss is mended by a second sending 5 ms later, the right answer is 5 ms.

use std::time::Duration;

use ahoy_base::Moment;

use super::transit::Transit;

/// Width of a bucket.
const BUCKET: Duration = Duration::from_millis(1);
/// Buckets: up to 500 ms, beyond which talking by turns fails anyway (ITU-T G.114 ends at 400 ms).
const BUCKETS: usize = 500;
/// Milliseconds of waiting that one percent of frames in time is worth: 1 % made up costs 0.6 of PESQ (in bursts; alone less).
/// The E-model (ITU-T G.107) would pay more, but its delay is that of long-distance calls.
const WORTH_MS: f32 = 8.0;
/// The first glitches cost more than those among many: one in eight seconds costs 0.3 of PESQ.
const FIRST_WORTH_MS: f32 = 40.0;
/// Percent of frames that are the first.
const FIRST_PERCENT: f32 = 0.2;
/// What is left of old knowledge after a frame: half is forgotten in 10 s of speech.
const FORGET: f32 = 0.999_3;
/// What is assumed before anything came; outweighed by the first second of packets. More would be heard as a late first word.
const FIRST_GUESS: Duration = Duration::from_millis(5);
/// The least that sound waits: scheduling of both machines on a quiet day.
const FLOOR: Duration = Duration::from_millis(2);
/// Buckets by which a path must become longer to be taken for another.
const LONGER: usize = 5;
/// A media clock that jumps further than this began anew.
const JUMP_US: i64 = 5_000_000;

/// Arrival statistics of one sender.
#[derive(Debug)]
pub(super) struct Arrivals {
    transit: Transit,
    histogram: [f32; BUCKETS],
    /// Share of packets that are later than bucket n lasts.
    late: [f32; BUCKETS],
    n_packets: u32,
}

impl Arrivals {
    pub(super) fn new() -> Arrivals {
        let mut histogram = [0.0; BUCKETS];
        if let Some(first) = histogram.get_mut(bucket(FIRST_GUESS)) {
            *first = 1.0;
        }
        let mut arrivals =
            Arrivals { transit: Transit::default(), histogram, late: [0.0; BUCKETS], n_packets: 0 };
        arrivals.add_up();
        arrivals
    }

    /// Takes in a packet. `true` when the sender's clock began anew: what was known of it is forgotten.
    pub(super) fn take(&mut self, arrival: Moment, media_time: Duration) -> bool {
        let anew = self.transit.against(arrival, media_time).is_some_and(|off| off.abs() > JUMP_US);
        if anew {
            self.transit.clear();
        }
        let before = self.transit.least();
        self.transit.take(arrival, media_time);
        self.follow_path(before);
        let late = self.lateness(arrival, media_time);
        if late > BUCKET * BUCKETS as u32 {
            // An outage: no waiting would have helped, so there is nothing to learn from it.
            return anew;
        }
        self.n_packets = self.n_packets.saturating_add(1);
        // Early on each packet counts alike, so that the first second teaches much.
        let keep = FORGET.min(1.0 - 1.0 / (self.n_packets as f32 + 1.0));
        self.histogram.iter_mut().for_each(|share| *share *= keep);
        if let Some(share) = self.histogram.get_mut(bucket(late)) {
            *share += 1.0 - keep;
        }
        self.add_up();
        anew
    }

    /// How long sound should wait: where one more millisecond of waiting saves less than it costs.
    pub(super) fn target(&self) -> Duration {
        let cost = |n: u32| self.cost(BUCKET * n);
        let best = (1..=BUCKETS as u32).min_by(|a, b| cost(*a).total_cmp(&cost(*b)));
        (BUCKET * best.unwrap_or(1)).max(FLOOR)
    }

    /// What it costs to wait for `wait`, milliseconds: the waiting itself, and what comes too late for it.
    pub(super) fn cost(&self, wait: Duration) -> f32 {
        let late = match bucket(wait.saturating_sub(FLOOR - BUCKET)).checked_sub(1) {
            None => 1.0,
            Some(n) => self.late.get(n).copied().unwrap_or(0.0),
        };
        let percent = 100.0 * late;
        wait.as_secs_f32() * 1_000.0 + WORTH_MS * percent + FIRST_WORTH_MS * percent.min(FIRST_PERCENT)
    }

    /// A path that became longer makes nothing late: what was late by the old measure is on time by the new one.
    fn follow_path(&mut self, before: Option<i64>) {
        let Some(longer) = before.zip(self.transit.least()).map(|(before, now)| now - before) else { return };
        let by = usize::try_from(longer / 1_000).unwrap_or(0).min(BUCKETS);
        // A clock that drifts is followed anyway.
        if by < LONGER {
            return;
        }
        let passed: f32 = self.histogram.iter().take(by).sum();
        self.histogram.rotate_left(by);
        self.histogram.iter_mut().rev().take(by).for_each(|share| *share = 0.0);
        if let Some(first) = self.histogram.first_mut() {
            *first += passed;
        }
    }

    fn add_up(&mut self) {
        let all: f32 = self.histogram.iter().sum();
        let mut late = all;
        for (share, late_after) in self.histogram.iter().zip(&mut self.late) {
            late -= share;
            *late_after = late.max(0.0) / all.max(f32::EPSILON);
        }
    }

    /// How much later than the fastest packet of the window one of `media_time` is at `at`.
    pub(super) fn lateness(&self, at: Moment, media_time: Duration) -> Duration {
        self.transit.lateness(at, media_time)
    }
}

fn bucket(late: Duration) -> usize {
    usize::try_from(late.as_micros() / BUCKET.as_micros()).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(arrivals: &mut Arrivals, n: std::ops::Range<u64>, late_ms: impl Fn(u64) -> u64) {
        for n in n {
            let media = Duration::from_millis(20 * n);
            arrivals.take(Moment::from_millis(1_000 + 20 * n + late_ms(n)), media);
        }
    }

    #[test]
    fn a_steady_link_waits_little_and_a_shaky_one_for_nearly_all() {
        let mut steady = Arrivals::new();
        assert!(steady.target() >= FIRST_GUESS, "{:?}", steady.target());
        feed(&mut steady, 0..100, |_| 30);
        feed(&mut steady, 100..2_000, |_| 30);
        assert_eq!(steady.target(), FLOOR);
        let mut shaky = Arrivals::new();
        feed(&mut shaky, 0..500, |n| 30 + n % 20 * 3);
        let target = shaky.target();
        assert!(target > Duration::from_millis(50) && target <= Duration::from_millis(62), "{target:?}");
    }

    #[test]
    fn what_was_is_forgotten_when_the_link_changes() {
        let mut arrivals = Arrivals::new();
        feed(&mut arrivals, 0..3_000, |n| n % 5 * 20);
        assert!(arrivals.target() > Duration::from_millis(70));
        feed(&mut arrivals, 3_000..8_000, |_| 0);
        assert!(arrivals.target() < Duration::from_millis(10), "{:?}", arrivals.target());
    }

    #[test]
    fn waiting_must_be_worth_it() {
        // A tenth comes 10 ms later, by a second sending; one in a thousand 300 ms later, by accident.
        let mut arrivals = Arrivals::new();
        feed(&mut arrivals, 0..5_000, |n| {
            if n % 1_000 == 7 {
                300
            } else if n % 10 == 3 {
                10
            } else {
                0
            }
        });
        let target = arrivals.target();
        assert!(target >= Duration::from_millis(10) && target <= Duration::from_millis(14), "{target:?}");
    }

    #[test]
    fn a_drifting_clock_is_no_lateness() {
        let mut arrivals = Arrivals::new();
        // The sender's clock is slow by 500 ppm: each 20 ms take 10 us more.
        for n in 0..10_000u64 {
            arrivals.take(Moment::from_micros(20_010 * n), Duration::from_millis(20 * n));
        }
        assert!(arrivals.target() <= Duration::from_millis(8), "{:?}", arrivals.target());
    }

    #[test]
    fn a_path_that_becomes_longer_is_not_late_for_long() {
        let mut arrivals = Arrivals::new();
        feed(&mut arrivals, 0..1_000, |_| 10);
        feed(&mut arrivals, 1_000..1_400, |_| 80);
        assert!(arrivals.target() > Duration::from_millis(60), "{:?}", arrivals.target());
        feed(&mut arrivals, 1_400..1_520, |_| 80);
        assert!(arrivals.target() < Duration::from_millis(10), "{:?}", arrivals.target());
    }

    #[test]
    fn a_clock_that_begins_anew_is_noticed_once() {
        let mut arrivals = Arrivals::new();
        feed(&mut arrivals, 0..500, |_| 0);
        assert!(arrivals.take(Moment::from_millis(11_020), Duration::ZERO));
        assert!(!arrivals.take(Moment::from_millis(11_040), Duration::from_millis(20)));
        assert_eq!(
            arrivals.lateness(Moment::from_millis(11_047), Duration::from_millis(20)),
            Duration::from_millis(7)
        );
    }
}
