//! Converts one channel between a device's rate and 48 kHz, as a stream.

use ahoy_base::SAMPLE_RATE;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType, WindowFunction,
};

use crate::CodecError;

/// Input samples a step: 10 ms at 48 kHz, a delay that is only paid where rates differ.
const CHUNK: usize = 480;
/// Rates that sound cards have.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=192_000;

/// A stream of one channel from one rate to another. Rates that are equal pass unchanged and cost nothing.
pub struct Resampler {
    inner: Option<Async<f32>>,
    waiting: Vec<f32>,
    out: Vec<f32>,
}

impl Resampler {
    /// From `rate` Hz to 48 kHz.
    ///
    /// # Errors
    /// When the rate is none of 8 to 192 kHz.
    pub fn to_48k(rate: u32) -> Result<Resampler, CodecError> {
        Resampler::new(rate, SAMPLE_RATE, rate)
    }

    /// From 48 kHz to `rate` Hz.
    ///
    /// # Errors
    /// As [`Resampler::to_48k`].
    pub fn from_48k(rate: u32) -> Result<Resampler, CodecError> {
        Resampler::new(SAMPLE_RATE, rate, rate)
    }

    fn new(from: u32, to: u32, named: u32) -> Result<Resampler, CodecError> {
        if !RATES.contains(&named) {
            return Err(CodecError::Rate(named));
        }
        if from == to {
            return Ok(Resampler { inner: None, waiting: Vec::new(), out: Vec::new() });
        }
        let parameters = SincInterpolationParameters {
            sinc_len: 64,
            f_cutoff: Some(0.92),
            oversampling_factor: 128,
            interpolation: SincInterpolationType::Linear,
            window: WindowFunction::Blackman2,
        };
        let ratio = f64::from(to) / f64::from(from);
        let inner = Async::new_sinc(ratio, 1.0, &parameters, CHUNK, 1, FixedAsync::Input)
            .map_err(|_| CodecError::Rate(named))?;
        let out = vec![0.0; inner.output_frames_max()];
        Ok(Resampler { inner: Some(inner), waiting: Vec::with_capacity(CHUNK * 2), out })
    }

    /// Takes `input` of any length and hands converted samples to `take`, in blocks. Allocation-free after the start.
    pub fn push(&mut self, mut input: &[f32], mut take: impl FnMut(&[f32])) {
        let Some(inner) = &mut self.inner else {
            take(input);
            return;
        };
        while !input.is_empty() {
            let (now, later) = input.split_at(input.len().min(CHUNK - self.waiting.len()));
            self.waiting.extend_from_slice(now);
            input = later;
            if self.waiting.len() < CHUNK {
                return;
            }
            let capacity = self.out.len();
            let (Ok(from), Ok(mut to)) = (
                InterleavedSlice::new(&self.waiting, 1, CHUNK),
                InterleavedSlice::new_mut(&mut self.out, 1, capacity),
            ) else {
                return;
            };
            // Sizes are right by construction; a block that fails is dropped rather than panicked over.
            let written = inner.process_into_buffer(&from, &mut to, None).map_or(0, |(_, written)| written);
            take(self.out.get(..written).unwrap_or_default());
            self.waiting.clear();
        }
    }
}

impl std::fmt::Debug for Resampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resampler").field("converts", &self.inner.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::audio::rms;

    #[test]
    fn a_tone_keeps_its_pitch_level_and_length() {
        for rate in [8_000u32, 16_000, 44_100, 48_000, 96_000] {
            let mut resampler = Resampler::to_48k(rate).unwrap();
            let input: Vec<f32> =
                (0..rate).map(|n| (n as f32 * std::f32::consts::TAU * 440.0 / rate as f32).sin()).collect();
            let mut heard = Vec::new();
            input.chunks(333).for_each(|c| resampler.push(c, |out| heard.extend_from_slice(out)));
            assert!(heard.len().abs_diff(48_000) < 6_000, "{rate}: {}", heard.len());
            let middle = &heard[10_000..40_000];
            assert!((rms(middle) - 0.707).abs() < 0.01, "{rate}: {}", rms(middle));
            let crossings = middle.windows(2).filter(|w| w[0] <= 0.0 && w[1] > 0.0).count();
            assert!(crossings.abs_diff(275) <= 1, "{rate}: {crossings}");
        }
    }

    #[test]
    fn strange_rates_are_refused() {
        assert_eq!(Resampler::to_48k(0).unwrap_err(), CodecError::Rate(0));
        assert_eq!(Resampler::from_48k(1_000_000).unwrap_err(), CodecError::Rate(1_000_000));
    }
}
