//! The quiet hiss of a room, so that a gap in somebody's sound is not dead silence (RFC 3389 has the idea).

use super::rms;

/// What is taken for background before any was heard: -70 dBFS.
const FIRST: f32 = 0.000_3;
/// How fast the floor follows upwards: 1 dB a second of 10 ms blocks. Speech pauses pull it down at once.
const RISE: f32 = 1.001_15;
/// Louder is no background any more: -46 dBFS.
const LOUDEST: f32 = 0.005;
/// One pole at about 2 kHz: rooms rumble more than they hiss.
const POLE: f32 = 0.77;

/// Learns how loud somebody's background is, and makes something as loud.
#[derive(Clone, Copy, Debug)]
pub struct ComfortNoise {
    /// Root mean square of the quietest blocks.
    floor: f32,
    state: u32,
    last: f32,
}

impl Default for ComfortNoise {
    fn default() -> ComfortNoise {
        ComfortNoise { floor: FIRST, state: 0x9e37_79b9, last: 0.0 }
    }
}

impl ComfortNoise {
    /// Takes in a block of 10 ms that was really heard.
    pub fn learn(&mut self, block: &[f32]) {
        self.floor = rms(block).min(self.floor * RISE).clamp(1e-6, LOUDEST);
    }

    /// Fades `block` from `from` to `to` (gains of 0 to 1) and puts background in place of what is taken away.
    /// Allocation-free.
    pub fn fill(&mut self, block: &mut [f32], from: f32, to: f32) {
        let length = block.len().max(1) as f32;
        // A one-pole filter of white noise of variance 1/3 gives variance (1 - p) / (1 + p) / 3.
        let scale = self.floor / ((1.0 - POLE) / (1.0 + POLE) / 3.0).sqrt();
        for (at, sample) in block.iter_mut().enumerate() {
            let gain = from + (to - from) * at as f32 / length;
            self.state ^= self.state << 13;
            self.state ^= self.state >> 17;
            self.state ^= self.state << 5;
            let white = self.state as f32 / u32::MAX as f32 * 2.0 - 1.0;
            self.last = POLE * self.last + (1.0 - POLE) * white;
            *sample = *sample * gain + self.last * scale * (1.0 - gain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_background_goes_on_as_loud_as_it_was() {
        let mut noise = ComfortNoise::default();
        for n in 0..6_000u32 {
            let level = if n % 50 < 40 { 0.2 } else { 0.001 };
            let block: Vec<f32> = (0..480).map(|i| if i % 2 == 0 { level } else { -level }).collect();
            noise.learn(&block);
        }
        let mut gap = [0.9; 4_800];
        noise.fill(&mut gap, 1.0, 0.0);
        assert!(rms(&gap[..480]) > 0.8 && rms(&gap[4_700..]) < 0.05);
        let mut rest = [0.9; 48_000];
        noise.fill(&mut rest, 0.0, 0.0);
        let level = rms(&rest);
        assert!((0.000_8..0.001_6).contains(&level), "{level}");
    }

    #[test]
    fn after_digital_silence_it_is_silent_and_never_loud() {
        let mut noise = ComfortNoise::default();
        noise.learn(&[0.0; 480]);
        let mut gap = [0.0; 480];
        noise.fill(&mut gap, 0.0, 0.0);
        assert!(rms(&gap) < 1e-5);
        (0..100_000).for_each(|_| noise.learn(&[0.5; 480]));
        let mut gap = [0.0; 48_000];
        noise.fill(&mut gap, 0.0, 0.0);
        assert!(rms(&gap) < 2.0 * LOUDEST);
    }
}
