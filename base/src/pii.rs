//! A wrapper that keeps names and addresses out of logs.

use std::fmt;

/// Personal data. `Debug` and `Display` print `[private]`; the value is reached by [`Pii::reveal`] alone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pii<T>(T);

impl<T> Pii<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Pii<T> {
        Pii(value)
    }

    /// The value, for anything but a log.
    pub const fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

impl<T> fmt::Display for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_shows_nothing() {
        assert_eq!(format!("{:?} {}", Pii::new("ann"), Pii::new(1)), "[private] [private]");
    }
}
