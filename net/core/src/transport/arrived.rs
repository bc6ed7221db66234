//! The receiver's half of feedback: what came over a link, and when to say so.

use std::time::Duration;

use ahoy_base::Moment;

use crate::wire::datagram::Report;

/// A report is due this long after something came that no report told of.
const EVERY: Duration = Duration::from_millis(40);
/// The same for what can wait: signs of life.
const EVERY_IDLE: Duration = Duration::from_secs(1);
/// Or after so many datagrams: a path that narrows is noticed by what does not come.
const AT_MOST: usize = 5;
/// A gap is told this soon: long enough for two datagrams that only changed places.
const GAP_AFTER: Duration = Duration::from_millis(8);
/// A unit of arrival time.
const TICK_US: u64 = 64;
/// A unit of a difference.
const STEP_US: i64 = 250;
/// Datagrams a report can tell of.
const REACH: usize = 64;

/// What came over one link.
#[derive(Debug)]
pub struct Arrived {
    newest: Option<u16>,
    /// Arrivals of the newest [`REACH`], by age: index 0 is the newest.
    arrivals: [Option<Moment>; REACH],
    /// Of those, how many were not told yet, counted from the newest.
    untold: usize,
    due: Option<Moment>,
}

impl Default for Arrived {
    fn default() -> Arrived {
        Arrived { newest: None, arrivals: [None; REACH], untold: 0, due: None }
    }
}

impl Arrived {
    /// Notes that datagram `seq` came at `at`. `media`: its sender wants to know soon.
    pub fn note(&mut self, at: Moment, seq: u16, media: bool) {
        let ahead = self.newest.map_or(1, |newest| seq.wrapping_sub(newest).cast_signed());
        if ahead > 0 {
            let by = usize::from(ahead.unsigned_abs()).min(REACH);
            self.arrivals.rotate_right(by);
            self.arrivals.iter_mut().take(by).for_each(|slot| *slot = None);
            self.newest = Some(seq);
            self.untold = (self.untold + by).min(REACH);
            if let Some(slot) = self.arrivals.first_mut() {
                *slot = Some(at);
            }
            let wait = match media {
                true if ahead > 1 && self.untold > by => GAP_AFTER,
                true => EVERY,
                false => EVERY_IDLE,
            };
            self.due = Some(self.due.map_or(at + wait, |due| due.min(at + wait)));
        } else {
            let age = usize::from(ahead.unsigned_abs());
            if let Some(slot) = self.arrivals.get_mut(age)
                && slot.is_none()
            {
                *slot = Some(at);
                self.untold = self.untold.max(age + 1);
                self.due = self.due.or(Some(at + GAP_AFTER));
            }
        }
        if self.untold >= AT_MOST {
            self.due = Some(at);
        }
    }

    /// When a report is due.
    pub fn due(&self) -> Option<Moment> {
        self.due
    }

    /// The report, if one is due at `now`.
    pub fn report(&mut self, now: Moment) -> Option<Report> {
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        let newest = self.newest?;
        let last = (*self.arrivals.first()?)?;
        let came = self
            .arrivals
            .iter()
            .enumerate()
            .filter(|(_, at)| at.is_some())
            .fold(0u64, |bits, (age, _)| bits | 1 << age);
        let mut later = last;
        let mut differences = Vec::new();
        for at in self.arrivals.iter().take(self.untold).skip(1).flatten() {
            let us = later.as_micros().cast_signed().saturating_sub(at.as_micros().cast_signed());
            let steps = (us + STEP_US / 2).div_euclid(STEP_US).clamp(-128, 127);
            differences.push(i8::try_from(steps).unwrap_or(i8::MAX));
            // What was told, not what was: so rounding does not add up.
            later = if steps >= 0 {
                later - Duration::from_micros((steps * STEP_US).unsigned_abs())
            } else {
                later + Duration::from_micros((steps * STEP_US).unsigned_abs())
            };
        }
        self.untold = 0;
        self.due = None;
        let held = now.since(last).as_micros() / 250;
        Some(Report {
            newest,
            came,
            // Wraps by design.
            arrival: (last.as_micros() / TICK_US) as u32,
            held: u8::try_from(held).unwrap_or(u8::MAX),
            differences,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const MS: fn(u64) -> Moment = Moment::from_millis;

    #[test]
    fn a_report_tells_each_arrival_once_and_the_gaps_again() {
        let mut arrived = Arrived::default();
        assert_eq!(arrived.report(MS(0)), None);
        for (at, seq) in [(100, 65_534), (110, 65_535), (121, 1)] {
            arrived.note(MS(at), seq, true);
        }
        // The gap before 1 is told soon.
        assert_eq!(arrived.due(), Some(MS(129)));
        assert_eq!(arrived.report(MS(128)), None);
        let report = arrived.report(MS(131)).unwrap();
        assert_eq!((report.newest, report.came, report.held), (1, 0b1101, 40));
        assert_eq!(report.differences, [44, 40]);
        assert_eq!((report.arrival, arrived.due()), (121_000 / 64, None));
        // The late one, and the next.
        arrived.note(MS(132), 0, true);
        arrived.note(MS(133), 2, true);
        let report = arrived.report(MS(200)).unwrap();
        assert_eq!((report.newest, report.came), (2, 0b11111));
        assert_eq!(report.differences, [48, -44], "133 - 121, then 121 - 132");
    }

    #[test]
    fn many_are_told_at_once_and_nothing_is_told_twice() {
        let mut arrived = Arrived::default();
        (0..5).for_each(|n| arrived.note(MS(100 + n), n as u16, true));
        assert_eq!(arrived.due(), Some(MS(104)));
        assert_eq!(arrived.report(MS(104)).unwrap().differences.len(), 4);
        arrived.note(MS(104), 4, true);
        assert_eq!((arrived.due(), arrived.report(MS(500))), (None, None));
    }

    #[test]
    fn any_numbers_and_times_are_taken() {
        let mut arrived = Arrived::default();
        for seq in [0u16, 1, 63, 64, 65, 32_767, 32_768, 65_535, 0, 500] {
            for at in [0, u64::MAX, 5, u64::MAX / 2] {
                arrived.note(Moment::from_micros(at), seq, at > 5);
                let _ = arrived.report(Moment::NEVER);
            }
        }
    }
}
