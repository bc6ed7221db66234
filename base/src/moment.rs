//! `Moment`, the only time inside cores: an instant that a test can make up.

use std::fmt;
use std::time::Duration;

/// An instant on the machine's monotonic clock (CLOCK_MONOTONIC), in microseconds.
///
/// It is an argument, never read inside a core. The traces of two daemons on one machine share it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// The start of the clock.
    pub const ZERO: Moment = Moment(0);

    /// The moment that never comes.
    pub const NEVER: Moment = Moment(u64::MAX);

    /// Makes a moment from microseconds since the clock's start.
    pub const fn from_micros(us: u64) -> Moment {
        Moment(us)
    }

    /// Makes a moment from milliseconds since the clock's start.
    pub const fn from_millis(ms: u64) -> Moment {
        Moment(ms.saturating_mul(1_000))
    }

    /// Microseconds since the clock's start.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time passed since `earlier`; zero when `earlier` is later.
    pub const fn since(self, earlier: Moment) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Moment;
    fn add(self, d: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl std::ops::Sub<Duration> for Moment {
    type Output = Moment;
    fn sub(self, d: Duration) -> Moment {
        Moment(self.0.saturating_sub(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06} s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let m = Moment::from_millis(5);
        assert_eq!(m - Duration::from_secs(1), Moment::ZERO);
        assert_eq!(Moment::from_micros(u64::MAX) + Duration::from_secs(1), Moment::from_micros(u64::MAX));
        assert_eq!(m.since(m + Duration::from_micros(1)), Duration::ZERO);
        assert_eq!((m + Duration::from_micros(7)).since(m), Duration::from_micros(7));
    }
}
