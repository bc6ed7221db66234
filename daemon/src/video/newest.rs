//! A place for one thing: who puts never waits, who takes gets the newest. What was not taken in time is gone.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// See the module's first line.
pub(super) struct Newest<T> {
    place: Mutex<Place<T>>,
    changed: Condvar,
}

struct Place<T> {
    value: Option<T>,
    closed: bool,
}

/// What [`Newest::take`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken<T> {
    Value(T),
    /// Nothing came in time.
    Nothing,
    /// Nothing comes any more.
    Closed,
}

impl<T> Default for Newest<T> {
    fn default() -> Newest<T> {
        Newest { place: Mutex::new(Place { value: None, closed: false }), changed: Condvar::new() }
    }
}

impl<T> Newest<T> {
    /// Puts `value` in the place of whatever was there.
    pub(super) fn put(&self, value: T) {
        self.lock().value = Some(value);
        self.changed.notify_one();
    }

    /// Puts what `change` makes of what is there.
    pub(super) fn update(&self, change: impl FnOnce(Option<T>) -> T) {
        let mut place = self.lock();
        place.value = Some(change(place.value.take()));
        drop(place);
        self.changed.notify_one();
    }

    /// Whether nothing is taken any more.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Nothing is taken any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Takes what is there, or waits for it `at_most` so long.
    pub(super) fn take(&self, at_most: Duration) -> Taken<T> {
        let waits = |place: &mut Place<T>| place.value.is_none() && !place.closed;
        let waited = self.changed.wait_timeout_while(self.lock(), at_most, waits);
        let (mut place, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if place.closed {
            return Taken::Closed;
        }
        place.value.take().map_or(Taken::Nothing, Taken::Value)
    }

    fn lock(&self) -> MutexGuard<'_, Place<T>> {
        // Each change is one step; a panic elsewhere leaves it whole.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_taken_once_and_the_end_is_told() {
        let place = Newest::default();
        assert_eq!(place.take(Duration::ZERO), Taken::Nothing);
        place.put(1);
        place.put(2);
        assert_eq!(place.take(Duration::ZERO), Taken::Value(2));
        assert_eq!(place.take(Duration::ZERO), Taken::Nothing);
        place.update(|old| old.map_or(3, |old| old + 10));
        place.update(|old| old.map_or(3, |old| old + 10));
        assert_eq!(place.take(Duration::ZERO), Taken::Value(13));
        place.put(3);
        place.close();
        assert!(place.is_closed());
        assert_eq!(place.take(Duration::from_secs(60)), Taken::Closed);
    }
}
