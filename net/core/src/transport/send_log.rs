//! The sender's half of feedback: what was sent when, and what became of it.

use std::collections::VecDeque;
use std::time::Duration;

use ahoy_base::Moment;

use crate::wire::datagram::Report;

/// Datagrams that are remembered: five seconds of 100 a second, a fifth of one of 2 Mbit/s.
const REMEMBERED: usize = 1_024;
/// A datagram that so many later ones overtook is lost: two change places often, three hardly (RFC 9002, 6.1.1).
const OVERTAKEN: u64 = 3;

/// What became of a datagram.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fate {
    /// Its number since the link began.
    pub number: u64,
    /// When it was sent.
    pub sent: Moment,
    /// All bytes of it.
    pub bytes: usize,
    /// When it came, on the receiver's clock, whose zero is anywhere; `None` if it is lost.
    pub arrived: Option<Moment>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Moment,
    bytes: usize,
    known: bool,
}

/// What was sent over one link.
#[derive(Debug, Default)]
pub struct SendLog {
    /// The newest [`REMEMBERED`]; the last has the number `next - 1`.
    sent: VecDeque<Sent>,
    next: u64,
    /// Bytes whose fate is not known.
    in_flight: usize,
    /// The receiver's clock, unwrapped.
    clock: Option<u64>,
    rtt: Option<Duration>,
}

impl SendLog {
    /// The number of the next datagram on the link.
    pub fn next(&self) -> u16 {
        // Wraps by design.
        self.next as u16
    }

    /// Notes that it was sent, with `bytes`.
    pub fn sent(&mut self, at: Moment, bytes: usize) {
        if self.sent.len() >= REMEMBERED
            && let Some(old) = self.sent.pop_front()
            && !old.known
        {
            self.in_flight -= old.bytes;
        }
        self.in_flight += bytes;
        self.sent.push_back(Sent { at, bytes, known: false });
        self.next += 1;
    }

    /// How many were sent.
    pub fn count(&self) -> u64 {
        self.next
    }

    /// The round trip of the last report.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Bytes whose fate is not known.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// What `report` newly tells, in order of sending. A report of what was never sent tells nothing.
    pub fn learn(&mut self, now: Moment, report: &Report) -> Vec<Fate> {
        let behind = u64::from(((self.next as u16).wrapping_sub(1)).wrapping_sub(report.newest));
        let Some(newest) = self.next.checked_sub(1).and_then(|last| last.checked_sub(behind)) else {
            return Vec::new();
        };
        let Some(sent_newest) = self.get(newest) else { return Vec::new() };
        let held = Duration::from_micros(u64::from(report.held) * 250);
        if report.held < u8::MAX {
            self.rtt = Some(now.since(sent_newest.at).saturating_sub(held));
        }
        let arrival_newest = self.unwrap_clock(report.arrival);
        let mut fates = Vec::new();
        let mut arrival = arrival_newest;
        let mut differences = report.differences.iter();
        for age in 0..64u64 {
            let Some(number) = newest.checked_sub(age) else { break };
            let came = report.came >> age & 1 == 1;
            let timed = if age == 0 {
                true
            } else if came {
                match differences.next() {
                    Some(steps) => {
                        arrival = arrival.saturating_add_signed(-i64::from(*steps) * 250);
                        true
                    }
                    None => false,
                }
            } else {
                false
            };
            let Some(sent) = self.get_mut(number).filter(|sent| !sent.known) else { continue };
            let lost = !came && age >= OVERTAKEN;
            // One whose report was lost came, but nobody knows when: it counts with the newest that is known.
            if came || lost {
                sent.known = true;
                let at = if timed { arrival } else { arrival_newest };
                let arrived = came.then(|| Moment::from_micros(at));
                let fate = Fate { number, sent: sent.at, bytes: sent.bytes, arrived };
                self.in_flight -= fate.bytes;
                fates.push(fate);
            }
        }
        // What is too old for any report to come.
        for number in self.next.saturating_sub(self.sent.len() as u64)..newest.saturating_sub(63) {
            if let Some(sent) = self.get_mut(number).filter(|sent| !sent.known) {
                sent.known = true;
                let fate = Fate { number, sent: sent.at, bytes: sent.bytes, arrived: None };
                self.in_flight -= fate.bytes;
                fates.push(fate);
            }
        }
        fates.sort_by_key(|fate| fate.number);
        fates
    }

    fn get(&self, number: u64) -> Option<&Sent> {
        self.sent.get(self.index(number)?)
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Sent> {
        let index = self.index(number)?;
        self.sent.get_mut(index)
    }

    fn index(&self, number: u64) -> Option<usize> {
        let first = self.next - self.sent.len() as u64;
        usize::try_from(number.checked_sub(first)?).ok()
    }

    /// Microseconds of the receiver's clock, from 32 bits of 64 µs that wrap.
    fn unwrap_clock(&mut self, ticks: u32) -> u64 {
        let near = *self.clock.get_or_insert_with(|| (1 << 32) + u64::from(ticks));
        let ahead = ticks.wrapping_sub(near as u32).cast_signed();
        let unwrapped = near.saturating_add_signed(i64::from(ahead));
        self.clock = Some(near.max(unwrapped));
        unwrapped * 64
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::transport::Arrived;

    const MS: fn(u64) -> Moment = Moment::from_millis;

    /// Sends every 10 ms with 30 ms of path; `lose(n)` are lost. Reports arrive unless `silent(n)`.
    fn run(n: u64, lose: impl Fn(u64) -> bool, silent: impl Fn(u64) -> bool) -> (SendLog, Vec<Fate>) {
        let (mut log, mut arrived, mut fates) = (SendLog::default(), Arrived::default(), Vec::new());
        let mut reports: VecDeque<(Moment, Report)> = VecDeque::new();
        for n in 0..n {
            let now = MS(1_000 + 10 * n);
            let seq = log.next();
            log.sent(now, 100);
            if !lose(n) {
                arrived.note(now + Duration::from_millis(30), seq, true);
            }
            let there = now + Duration::from_millis(38);
            if let Some(report) = arrived.report(there)
                && !silent(n)
            {
                reports.push_back((there + Duration::from_millis(30), report));
            }
            while reports.front().is_some_and(|(at, _)| *at <= now) {
                let (at, report) = reports.pop_front().unwrap();
                fates.extend(log.learn(at, &report));
            }
        }
        (log, fates)
    }

    #[test]
    fn each_datagram_has_one_fate_and_times_are_kept() {
        let (log, fates) = run(100_000, |n| n % 7 == 3, |_| false);
        assert_eq!(log.rtt(), Some(Duration::from_millis(60)));
        assert!(fates.is_sorted_by_key(|f| f.number) || fates.len() > 99_900);
        let mut numbers: Vec<u64> = fates.iter().map(|f| f.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), fates.len(), "no fate twice");
        assert!(fates.iter().all(|f| f.arrived.is_none() == (f.number % 7 == 3)));
        // Arrivals are exact to the rounding, over the wrap of the number.
        let offset = |f: &Fate| f.arrived.map(|at| at.as_micros().wrapping_sub(f.sent.as_micros()));
        let first = fates.iter().find_map(offset).unwrap();
        let worst = fates.iter().filter_map(offset).map(|o| o.abs_diff(first)).max().unwrap();
        assert!(worst <= 400, "{worst} us");
    }

    #[test]
    fn lost_reports_lose_times_but_no_fates() {
        let (_, fates) = run(2_000, |n| n % 10 == 0, |n| n / 100 % 2 == 0 && n % 3 != 0);
        let lost = fates.iter().filter(|f| f.arrived.is_none()).count();
        assert!((190..=200).contains(&lost), "{lost}");
    }

    #[test]
    fn reports_of_what_was_never_sent_tell_nothing() {
        let mut log = SendLog::default();
        let report = Report { newest: 5, came: u64::MAX, ..Report::default() };
        assert_eq!(log.learn(MS(5), &report), []);
        log.sent(MS(6), 10);
        assert_eq!(log.learn(MS(7), &report), []);
        let all = Report { newest: 0, came: u64::MAX, differences: vec![-128; 255], ..Report::default() };
        assert_eq!(log.learn(MS(7), &all).len(), 1);
    }
}
