//! Quantities as types: kilo is 1000, integers inside, nothing here can panic.

use std::fmt;
use std::time::Duration;

/// Bits per second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bitrate(u64);

impl Bitrate {
    /// From bits per second.
    pub const fn bps(bits: u64) -> Bitrate {
        Bitrate(bits)
    }

    /// From kilobits (1000 bits) per second.
    pub const fn kbps(kilobits: u64) -> Bitrate {
        Bitrate(kilobits.saturating_mul(1_000))
    }

    /// Bits per second.
    pub const fn as_bps(self) -> u64 {
        self.0
    }

    /// The mean rate of `bytes` sent in `time`; zero for no time.
    pub fn of(bytes: ByteCount, time: Duration) -> Bitrate {
        let us = time.as_micros();
        if us == 0 {
            return Bitrate(0);
        }
        Bitrate(u64::try_from(u128::from(bytes.0) * 8_000_000 / us).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} kbit/s", self.0 / 1_000, self.0 % 1_000)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct ByteCount(u64);

impl ByteCount {
    /// From a number of bytes.
    pub const fn new(bytes: u64) -> ByteCount {
        ByteCount(bytes)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sum, at most `u64::MAX`.
    pub const fn plus(self, other: ByteCount) -> ByteCount {
        ByteCount(self.0.saturating_add(other.0))
    }
}

/// A level relative to full scale, in tenths of a decibel; 0 is full scale, quieter is negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Decibel(i16);

impl Decibel {
    /// What silence reads as: below the noise of any sound card.
    pub const SILENCE: Decibel = Decibel(-1_270);

    /// From tenths of a decibel.
    pub const fn tenths(tenths: i16) -> Decibel {
        Decibel(tenths)
    }

    /// The level of an amplitude, full scale 1.0; never below [`Decibel::SILENCE`].
    pub fn from_amplitude(amplitude: f32) -> Decibel {
        if amplitude.is_nan() || amplitude <= 0.0 {
            return Decibel::SILENCE;
        }
        // Float to int casts saturate, NaN was caught above.
        Decibel((200.0 * amplitude.log10()).round() as i16).max(Decibel::SILENCE)
    }

    /// The level in decibels.
    pub fn as_f32(self) -> f32 {
        f32::from(self.0) / 10.0
    }
}

impl fmt::Debug for Decibel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} dBFS", self.as_f32())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_rate_counts_bits() {
        assert_eq!(Bitrate::of(ByteCount::new(1_000), Duration::from_secs(1)), Bitrate::kbps(8));
        assert_eq!(Bitrate::of(ByteCount::new(1_000), Duration::ZERO), Bitrate::bps(0));
    }

    #[test]
    fn levels_are_bounded_on_both_sides() {
        assert_eq!(Decibel::from_amplitude(1.0), Decibel::tenths(0));
        assert_eq!(Decibel::from_amplitude(0.1), Decibel::tenths(-200));
        assert_eq!(Decibel::from_amplitude(0.0), Decibel::SILENCE);
        assert_eq!(Decibel::from_amplitude(1e-30), Decibel::SILENCE);
        assert_eq!(Decibel::from_amplitude(f32::NAN), Decibel::SILENCE);
    }
}
