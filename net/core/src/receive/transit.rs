//! The fastest way through the network lately, which lateness is measured against.

use std::collections::VecDeque;
use std::time::Duration;

use ahoy_base::Moment;

/// How far back the fastest is looked for. Longer would follow a drifting clock too late, shorter would take a jam for the
/// normal state.
const WINDOW: Duration = Duration::from_secs(10);

/// Transit times (arrival - media time, microseconds, any origin) of the last ten seconds, ascending: the front is the least.
#[derive(Debug, Default)]
pub struct Transit {
    window: VecDeque<(Moment, i64)>,
}

impl Transit {
    /// Takes in what was captured at `media_time` and came at `arrival`.
    pub fn take(&mut self, arrival: Moment, media_time: Duration) {
        let transit = transit(arrival, media_time);
        while self.window.front().is_some_and(|(at, _)| arrival.since(*at) > WINDOW) {
            self.window.pop_front();
        }
        while self.window.back().is_some_and(|(_, other)| *other >= transit) {
            self.window.pop_back();
        }
        self.window.push_back((arrival, transit));
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.window.clear();
    }

    /// How much earlier (negative) or later than the fastest something of `media_time` is at `at`; `None` before the first.
    pub fn against(&self, at: Moment, media_time: Duration) -> Option<i64> {
        self.least().map(|least| transit(at, media_time).saturating_sub(least))
    }

    /// How much later, microseconds, zero if earlier.
    pub fn lateness(&self, at: Moment, media_time: Duration) -> Duration {
        let late = self.against(at, media_time).unwrap_or(0);
        Duration::from_micros(u64::try_from(late).unwrap_or(0))
    }

    /// The least, microseconds; comparable between tracks of one device.
    pub fn least(&self) -> Option<i64> {
        self.window.front().map(|(_, transit)| *transit)
    }
}

fn transit(arrival: Moment, media_time: Duration) -> i64 {
    let of = |us: u128| i64::try_from(us).unwrap_or(i64::MAX / 4);
    of(u128::from(arrival.as_micros())) - of(media_time.as_micros())
}
