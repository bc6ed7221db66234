//! Sounds made from nothing: test signals with known answers, and what a telephone plays by itself.

use std::f32::consts::TAU;

use ahoy_base::SAMPLE_RATE;

/// A sine that never ends.
#[derive(Clone, Copy, Debug)]
pub struct Sine {
    phase: f32,
    step: f32,
    amplitude: f32,
}

impl Sine {
    /// A sine of `hertz` with the given peak amplitude.
    pub fn new(hertz: f32, amplitude: f32) -> Sine {
        Sine { phase: 0.0, step: hertz / SAMPLE_RATE as f32, amplitude }
    }

    /// The next sample.
    pub fn sample(&mut self) -> f32 {
        let sample = (self.phase * TAU).sin() * self.amplitude;
        self.phase = (self.phase + self.step).fract();
        sample
    }
}

/// A sound like speech: voiced syllables of changing pitch with pauses between. Repeatable by its seed.
#[derive(Clone, Debug)]
pub struct Speech {
    state: u32,
    phase: f32,
    pitch: f32,
    left: u32,
    loud: bool,
    amplitude: f32,
}

impl Speech {
    /// The same seed speaks the same.
    pub fn new(seed: u32) -> Speech {
        Speech { state: seed.max(1), phase: 0.0, pitch: 120.0, left: 0, loud: false, amplitude: 0.0 }
    }

    /// The next sample.
    pub fn sample(&mut self) -> f32 {
        if self.left == 0 {
            self.loud = !self.loud;
            // Syllables of 120 to 320 ms, pauses of 40 to 140 ms.
            let (least, span) = if self.loud { (5_760.0, 9_600.0) } else { (1_920.0, 4_800.0) };
            self.left = (least + span * self.random()) as u32;
            self.pitch = 95.0 + 70.0 * self.random();
        }
        self.left -= 1;
        let target = if self.loud { 0.3 } else { 0.0 };
        self.amplitude += (target - self.amplitude) * 0.002;
        self.phase = (self.phase + self.pitch / SAMPLE_RATE as f32).fract();
        // A glottal pulse's harmonics, falling off as a voice's do, around two formants.
        let voice: f32 = (1..=16)
            .map(|n| {
                let hertz = self.pitch * n as f32;
                let formants = bump(hertz, 600.0, 250.0) + 0.5 * bump(hertz, 1_500.0, 300.0);
                (self.phase * TAU * n as f32).sin() * (0.15 + formants) / n as f32
            })
            .sum();
        let breath = (self.random() - 0.5) * 0.02;
        (voice + breath) * self.amplitude
    }

    fn random(&mut self) -> f32 {
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.state >> 8) as f32 / 16_777_216.0
    }
}

fn bump(x: f32, middle: f32, width: f32) -> f32 {
    (-((x - middle) / width).powi(2)).exp()
}

/// What a telephone plays by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// Somebody calls: two warm bells, every three seconds.
    Incoming,
    /// Another call waits: one soft bell, every four seconds.
    Waiting,
    /// The other side rings: ITU-T E.180 cadence, 425 Hz, 1 s in 5.
    Outgoing,
    /// The line is busy: 425 Hz, half a second on, half off, for three seconds.
    Busy,
    /// The call is over: two falling notes.
    Ended,
    /// To hear whether the speaker works: three rising notes.
    Test,
}

/// Plays a [`Tone`] from its beginning.
#[derive(Clone, Copy, Debug)]
pub struct TonePlayer {
    tone: Tone,
    at: u64,
}

impl TonePlayer {
    /// Starts a tone.
    pub const fn new(tone: Tone) -> TonePlayer {
        TonePlayer { tone, at: 0 }
    }

    /// Which tone it plays.
    pub const fn tone(&self) -> Tone {
        self.tone
    }

    /// The next sample, within ±0.5; `None` when a tone that plays once is over.
    pub fn sample(&mut self) -> Option<f32> {
        let t = self.at as f32 / SAMPLE_RATE as f32;
        self.at += 1;
        match self.tone {
            Tone::Incoming => {
                let t = t % 3.0;
                Some(0.30 * bell(t, 659.3) + 0.26 * bell(t - 0.22, 830.6) + 0.22 * bell(t - 0.44, 987.8))
            }
            Tone::Waiting => Some(0.10 * bell(t % 4.0, 659.3)),
            Tone::Outgoing => Some(0.12 * beep(t % 5.0, 1.0)),
            Tone::Busy => (t < 3.0).then(|| 0.12 * beep(t % 1.0, 0.5)),
            Tone::Ended => (t < 0.8).then(|| 0.20 * bell(t, 587.3) + 0.20 * bell(t - 0.16, 440.0)),
            Tone::Test => (t < 1.4)
                .then(|| 0.25 * bell(t, 523.3) + 0.25 * bell(t - 0.2, 659.3) + 0.25 * bell(t - 0.4, 784.0)),
        }
    }
}

/// A struck bell: fundamental and two soft partials that die away. Silent before it is struck.
fn bell(t: f32, hertz: f32) -> f32 {
    if t < 0.0 {
        return 0.0;
    }
    let attack = (t / 0.004).min(1.0);
    let partial = |ratio: f32, amplitude: f32, decay: f32| {
        (TAU * hertz * ratio * t).sin() * amplitude * (-t * decay).exp()
    };
    attack * (partial(1.0, 0.75, 4.0) + partial(2.0, 0.2, 7.0) + partial(3.01, 0.05, 12.0))
}

/// 425 Hz for `length` seconds with soft edges.
fn beep(t: f32, length: f32) -> f32 {
    let edge = (t.min(length - t) / 0.01).clamp(0.0, 1.0);
    (TAU * 425.0 * t).sin() * edge
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{peak, rms};

    #[test]
    fn every_tone_is_heard_stays_in_range_and_has_no_click() {
        for tone in [Tone::Incoming, Tone::Waiting, Tone::Outgoing, Tone::Busy, Tone::Ended, Tone::Test] {
            let mut player = TonePlayer::new(tone);
            let heard: Vec<f32> = std::iter::from_fn(|| player.sample()).take(10 * 48_000).collect();
            assert!((0.05..=0.5).contains(&peak(&heard)), "{tone:?} {}", peak(&heard));
            let step = heard.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
            assert!(step < 0.1, "{tone:?} {step}");
            let once = matches!(tone, Tone::Busy | Tone::Ended | Tone::Test);
            assert_eq!(heard.len() < 10 * 48_000, once, "{tone:?}");
        }
    }

    #[test]
    fn speech_has_syllables_and_pauses_and_is_repeatable() {
        let speak = |seed| {
            let mut speech = Speech::new(seed);
            (0..96_000).map(|_| speech.sample()).collect::<Vec<f32>>()
        };
        let heard = speak(1);
        assert_eq!(heard, speak(1));
        assert_ne!(heard, speak(2));
        let loud = heard.chunks(480).filter(|c| rms(c) > 0.02).count();
        assert!((80..190).contains(&loud), "{loud} of 200 blocks");
        assert!(peak(&heard) < 1.0);
    }
}
