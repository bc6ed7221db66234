//! How loud sound is.

use ahoy_base::Decibel;

/// Root mean square of samples; 0 for none.
pub fn rms(samples: &[f32]) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
}

/// The largest magnitude; 0 for none.
pub fn peak(samples: &[f32]) -> f32 {
    samples.iter().fold(0.0, |peak, s| s.abs().max(peak))
}

/// A meter that follows sound up at once and down at 20 dB in a quarter of a second, as eyes like it.
#[derive(Clone, Copy, Debug, Default)]
pub struct LevelMeter {
    amplitude: f32,
}

/// What is left of a level after 10 ms of silence: 0.1 (20 dB) after 25 blocks.
const DECAY: f32 = 0.912;

impl LevelMeter {
    /// Takes in a block of 10 ms and gives the level.
    pub fn take(&mut self, block: &[f32]) -> Decibel {
        self.amplitude = rms(block).max(self.amplitude * DECAY);
        Decibel::from_amplitude(self.amplitude)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_sine_is_three_decibels_down_and_fades_in_a_quarter_second() {
        let sine: Vec<f32> = (0..480).map(|n| (n as f32 * std::f32::consts::TAU / 48.0).sin()).collect();
        let mut meter = LevelMeter::default();
        assert!((meter.take(&sine).as_f32() + 3.0).abs() < 0.1);
        for _ in 0..25 {
            meter.take(&[0.0; 480]);
        }
        let faded = meter.take(&[0.0; 480]).as_f32();
        assert!((-25.0..-22.0).contains(&faded), "{faded}");
        assert_eq!((rms(&[]), peak(&[-0.5, 0.2])), (0.0, 0.5));
    }
}
