//! Keeps people who are not in the address book from ringing all day: how many calls of theirs are noticed at all.

use ahoy_base::{Moment, PeerId};
use std::collections::VecDeque;
use std::time::Duration;

/// Calls a minute that one device outside the address book gets noticed with.
pub(crate) const CALLS_PER_PEER: usize = 3;
/// The same for all of them together: a new device id costs nothing.
pub(crate) const CALLS_OF_ALL: usize = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// Counts the calls of the last minute of devices outside the address book.
#[derive(Default)]
pub(crate) struct Doorman {
    /// At most [`CALLS_OF_ALL`] entries, so at most that many devices.
    recent: VecDeque<(Moment, PeerId)>,
}

impl Doorman {
    /// Whether a call of `peer` may be noticed at `now`. One that may not leaves no trace and gets no answer.
    pub(crate) fn lets_in(&mut self, now: Moment, peer: PeerId) -> bool {
        while self.recent.front().is_some_and(|(at, _)| now.since(*at) >= MINUTE) {
            self.recent.pop_front();
        }
        let of_peer = self.recent.iter().filter(|(_, p)| *p == peer).count();
        if self.recent.len() >= CALLS_OF_ALL || of_peer >= CALLS_PER_PEER {
            return false;
        }
        self.recent.push_back((now, peer));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_a_minute_each_and_ten_of_all() {
        let mut doorman = Doorman::default();
        let id = |n| PeerId::from_public_key([n; 32]);
        let second = |n: u64| Moment::from_millis(n * 1_000);
        let eve: Vec<bool> = (0..5).map(|_| doorman.lets_in(second(0), id(1))).collect();
        assert_eq!(eve, [true, true, true, false, false]);
        let others = (2..40).filter(|n| doorman.lets_in(second(1), id(*n))).count();
        assert_eq!(others, CALLS_OF_ALL - CALLS_PER_PEER);
        assert!(!doorman.lets_in(second(59), id(1)));
        assert!(doorman.lets_in(second(60), id(1)));
    }
}
