//! Many voices into one block, without clipping and without clicks.

/// Where the limiter begins, linear: -1 dBFS.
const CEILING: f32 = 0.891;

/// A gain that changes over a block, so that switching it makes no click.
#[derive(Clone, Copy, Debug)]
pub struct Gain {
    current: f32,
}

impl Gain {
    /// Starts at `gain`, linear.
    pub fn new(gain: f32) -> Gain {
        Gain { current: gain }
    }

    /// Adds `voice` times the gain to `out`, going over to `target` along the block.
    pub fn add(&mut self, target: f32, voice: &[f32], out: &mut [f32]) {
        let step = (target - self.current) / voice.len().max(1) as f32;
        for (o, v) in out.iter_mut().zip(voice) {
            self.current += step;
            *o += v * self.current;
        }
        self.current = target;
    }
}

/// Bends everything above -1 dBFS into the range that a sound card can play. In place; allocates nothing.
///
/// Below the ceiling samples pass unchanged. Above, they approach full scale and never pass it.
pub fn mix(out: &mut [f32]) {
    for s in out {
        let magnitude = s.abs();
        if magnitude > CEILING {
            let over = (magnitude - CEILING) / (1.0 - CEILING);
            *s = (CEILING + (1.0 - CEILING) * over.tanh()).copysign(*s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_passes_unchanged_and_loud_stays_in_range_in_order() {
        let mut quiet = [0.5, -0.89, 0.0];
        mix(&mut quiet);
        assert_eq!(quiet, [0.5, -0.89, 0.0]);
        let mut loud = [0.9, 1.0, 1.5, 8.0, -8.0];
        mix(&mut loud);
        assert!(loud.iter().all(|s| s.abs() <= 1.0));
        assert!(loud[0] < loud[1] && loud[1] < loud[2] && loud[2] <= loud[3]);
    }

    #[test]
    fn a_gain_moves_in_small_steps() {
        let mut out = [0.0; 480];
        Gain::new(1.0).add(0.0, &[1.0; 480], &mut out);
        assert!(out.windows(2).all(|w| (w[1] - w[0]).abs() < 0.01));
        assert!(out[0] > 0.99 && out[479].abs() < 0.01);
    }
}
