//! What leaves when: datagrams of pictures go out evenly at a rate, the most urgent first. Voice does not wait here, but
//! what it sends is counted.

use std::collections::VecDeque;
use std::time::Duration;

use ahoy_base::{Bitrate, Moment};

/// How urgent a datagram is. Voice, control messages and reports are more urgent than any and are not queued at all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Class {
    /// What was asked for again: a frame waits for it.
    Again,
    /// Pieces of a key frame.
    Key,
    /// Pieces of other frames.
    Delta,
    /// Parity.
    Parity,
}

/// Classes.
const CLASSES: usize = 4;
/// What may go at once after a pause: what a timer of a millisecond can't spread, and not less than this.
const BURST: f64 = 2_400.0;
const BURST_TIME: f64 = 0.004;
/// What pictures wait for at most of what went out beside them.
const MOST_OWED: f64 = 2_400.0;
/// Parity older than this mends nothing any more that was not asked for.
const PARITY_LIFE: Duration = Duration::from_millis(120);
/// Datagrams that may wait: two key frames of the largest size.
const MAX_WAITING: usize = 512;

#[derive(Debug)]
struct Waiting<T> {
    item: T,
    bytes: usize,
    since: Moment,
}

/// See the module's first line. `T` names a datagram.
#[derive(Debug)]
pub struct Pacer<T> {
    queues: [VecDeque<Waiting<T>>; CLASSES],
    bytes: usize,
    /// Bytes that may go now; negative: owed.
    credit: f64,
    at: Moment,
}

impl<T> Pacer<T> {
    /// Nothing waits.
    pub fn new(now: Moment) -> Pacer<T> {
        Pacer { queues: [const { VecDeque::new() }; CLASSES], bytes: 0, credit: BURST, at: now }
    }

    /// Takes a datagram of `bytes`. Beyond the limit parity goes first, then what is new is dropped: `false`.
    pub fn push(&mut self, now: Moment, class: Class, item: T, bytes: usize) -> bool {
        if self.count() >= MAX_WAITING {
            let parity = self.queue(Class::Parity).pop_front();
            self.bytes -= parity.as_ref().map_or(0, |p| p.bytes);
            if parity.is_none() {
                return false;
            }
        }
        self.bytes += bytes;
        self.queue(class).push_back(Waiting { item, bytes, since: now });
        true
    }

    /// The next datagram, if one may go at `now`.
    pub fn take(&mut self, now: Moment, rate: Bitrate) -> Option<T> {
        self.gain(now, rate);
        self.forget_old(now);
        if self.credit <= 0.0 {
            return None;
        }
        let next = self.queues.iter_mut().find_map(VecDeque::pop_front)?;
        self.bytes -= next.bytes;
        self.credit -= next.bytes as f64;
        Some(next.item)
    }

    /// Voice, padding or anything else of `bytes` went out beside the queue.
    pub fn spent(&mut self, bytes: usize) {
        // Voice does not ask: where it takes more than the rate, pictures must not pay for it ever after.
        self.credit = (self.credit - bytes as f64).max(-MOST_OWED);
    }

    /// When the next datagram may go; `None` if none waits.
    pub fn due(&self, rate: Bitrate) -> Option<Moment> {
        (self.count() > 0).then(|| self.free_at(rate))
    }

    /// When something may go.
    pub fn free_at(&self, rate: Bitrate) -> Moment {
        let owed = (-self.credit).max(0.0) * 8.0 / (rate.as_bps().max(1_000)) as f64;
        // A microsecond more, so that rounding never asks to be woken too early.
        self.at + Duration::from_secs_f64(owed.min(10.0)) + Duration::from_micros(u64::from(owed > 0.0))
    }

    /// How long all that waits takes at `rate`.
    pub fn backlog(&self, rate: Bitrate) -> Duration {
        Duration::from_secs_f64((self.bytes as f64 * 8.0 / rate.as_bps().max(1_000) as f64).min(60.0))
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.bytes
    }

    /// Lets go of what `gone` says, of any class.
    pub fn drop_if(&mut self, gone: impl Fn(Class, &T) -> bool) {
        let classes = [Class::Again, Class::Key, Class::Delta, Class::Parity];
        for (queue, class) in self.queues.iter_mut().zip(classes) {
            queue.retain(|w| !gone(class, &w.item));
        }
        self.bytes = self.queues.iter().flatten().map(|w| w.bytes).sum();
    }

    fn gain(&mut self, now: Moment, rate: Bitrate) {
        let per_second = rate.as_bps() as f64 / 8.0;
        let most = BURST.max(per_second * BURST_TIME);
        self.credit = (self.credit + per_second * now.since(self.at).as_secs_f64()).min(most);
        self.at = self.at.max(now);
    }

    fn forget_old(&mut self, now: Moment) {
        let parity = &mut self.queues[Class::Parity as usize];
        while let Some(old) = parity.pop_front_if(|w| now.since(w.since) > PARITY_LIFE) {
            self.bytes -= old.bytes;
        }
    }

    fn count(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    fn queue(&mut self, class: Class) -> &mut VecDeque<Waiting<T>> {
        &mut self.queues[class as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Moment = Moment::from_millis;
    const RATE: Bitrate = Bitrate::kbps(960);

    fn drained(pacer: &mut Pacer<u32>, to_ms: u64) -> Vec<(u64, u32)> {
        (0..to_ms * 4)
            .flat_map(|quarter| {
                let now = Moment::from_micros(quarter * 250);
                std::iter::from_fn(|| pacer.take(now, RATE))
                    .map(move |item| (quarter / 4, item))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn the_most_urgent_goes_first_and_all_at_the_rate() {
        let mut pacer = Pacer::new(MS(0));
        for (n, class) in [(1, Class::Parity), (2, Class::Delta), (3, Class::Key), (4, Class::Again)] {
            (0..3).for_each(|_| assert!(pacer.push(MS(0), class, n, 1_200)));
        }
        assert_eq!(pacer.backlog(RATE), Duration::from_millis(120));
        // 120 bytes a millisecond, and two datagrams at once at first.
        let sent = drained(&mut pacer, 200);
        assert_eq!(sent.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [4, 4, 4, 3, 3, 3, 2, 2, 2, 1, 1, 1]);
        assert!(
            sent.iter()
                .zip([0, 0, 0, 10, 20, 30, 40, 50, 60, 70, 80, 90])
                .all(|((at, _), want)| at.abs_diff(want) <= 1),
            "{sent:?}"
        );
        assert_eq!((pacer.waiting(), pacer.due(RATE)), (0, None));
    }

    #[test]
    fn voice_is_counted_and_old_parity_is_left_out() {
        let mut pacer = Pacer::new(MS(0));
        assert!(pacer.push(MS(0), Class::Delta, 1, 1_200));
        assert!(pacer.push(MS(0), Class::Parity, 2, 1_200));
        pacer.spent(2_400 + 1_200);
        assert_eq!(pacer.due(RATE).map(|at| at.as_micros() / 1_000), Some(10));
        assert_eq!(pacer.take(MS(150), RATE), Some(1));
        pacer.spent(1_000_000);
        assert_eq!(pacer.due(RATE), None, "the parity is too old");
        assert!(pacer.push(MS(150), Class::Delta, 3, 1_200));
        assert_eq!(
            pacer.due(RATE).map(|at| at.as_micros() / 1_000),
            Some(170),
            "what is owed ends somewhere"
        );
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut pacer = Pacer::new(MS(0));
        assert!((0..MAX_WAITING).all(|n| pacer.push(
            MS(0),
            if n < 9 { Class::Parity } else { Class::Delta },
            n,
            10
        )));
        assert_eq!((0..20).filter(|n| pacer.push(MS(0), Class::Key, *n, 10)).count(), 9);
        assert_eq!(pacer.waiting(), MAX_WAITING * 10);
        pacer.drop_if(|class, _| class == Class::Delta);
        assert_eq!(pacer.waiting(), 90);
    }
}
