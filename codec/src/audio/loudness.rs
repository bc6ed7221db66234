//! What can be told of sound from nothing but how loud it was, step by step: how loud a voice and its background are, and how late one
//! recording follows another.

use ahoy_base::{Decibel, SAMPLE_RATE};

/// Samples of a step: 5 ms.
pub const STEP_SAMPLES: usize = SAMPLE_RATE as usize / 200;

/// How loud a voice and what is behind it are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Loudness {
    /// Of the voice; `None` where nobody spoke.
    pub speech: Option<Decibel>,
    /// Of the pauses; silence where an even sound leaves none.
    pub background: Decibel,
    /// Steps that are voice.
    pub steps: usize,
}

/// Tells voice and background apart in `levels`, root mean squares of [`STEP_SAMPLES`] each. A steady sound as loud as a voice
/// counts as one: somebody plays it.
pub fn loudness(levels: &[f32]) -> Loudness {
    let mut sorted = levels.to_vec();
    sorted.sort_by(f32::total_cmp);
    let background = sorted.get(sorted.len() / 10).copied().unwrap_or(0.0);
    let steady = background > STEADY;
    let least = if steady { STEADY } else { (background * ABOVE_BACKGROUND).max(LEAST_SPEECH) };
    let spoken: Vec<f32> = levels.iter().copied().filter(|level| *level > least).collect();
    let speech = (spoken.len() >= ENOUGH).then(|| {
        let power = spoken.iter().map(|level| level * level).sum::<f32>() / spoken.len() as f32;
        Decibel::from_amplitude(power.sqrt())
    });
    let background = if steady { Decibel::SILENCE } else { Decibel::from_amplitude(background) };
    Loudness { speech, background, steps: spoken.len() }
}

/// By how many steps within `lags` the sound of `heard` follows that of `said`, both levels on one clock; `None` where
/// nothing alike is found.
pub fn lag(said: &[f32], heard: &[f32], lags: std::ops::Range<usize>) -> Option<usize> {
    let likeness = |lag: usize| {
        let pairs = said.iter().zip(heard.get(lag..).unwrap_or_default());
        let n = pairs.len();
        if n < LEAST_OVERLAP {
            return 0.0;
        }
        let (mut a, mut b, mut aa, mut bb, mut ab) = (0.0f64, 0.0f64, 0.0f64, 0.0f64, 0.0f64);
        for (x, y) in pairs {
            let (x, y) = (f64::from(*x), f64::from(*y));
            a += x;
            b += y;
            aa += x * x;
            bb += y * y;
            ab += x * y;
        }
        let n = n as f64;
        let (spread_a, spread_b) = (aa - a * a / n, bb - b * b / n);
        if spread_a < LEAST_SPREAD * aa || spread_b < LEAST_SPREAD * bb || aa <= 0.0 || bb <= 0.0 {
            return 0.0;
        }
        (ab - a * b / n) / (spread_a * spread_b).sqrt()
    };
    let (best, alike) = lags.map(|lag| (lag, likeness(lag))).max_by(|a, b| a.1.total_cmp(&b.1))?;
    (alike >= ALIKE).then_some(best)
}

/// By how many decibels what a loudspeaker played is quieter at the microphone that gave `heard`, both levels on one clock:
/// there is a moment in every few words in which nobody else speaks, and what is heard then is the loudspeaker. `None` where it
/// is not heard.
pub fn return_loss(played: &[f32], heard: &[f32]) -> Option<f32> {
    let loud = |level: &f32| *level > PLAYED;
    if played.iter().filter(|level| loud(level)).count() < ENOUGH {
        return None;
    }
    let mut background = heard.to_vec();
    background.sort_by(f32::total_cmp);
    let background = background.get(background.len() / 33).copied().unwrap_or(0.0);
    let floor = |lag: usize| {
        let pairs = played.iter().zip(heard.get(lag..)?).filter(|(played, _)| loud(played));
        let mut ratios: Vec<(f32, f32)> = pairs.map(|(played, heard)| (heard / played, *heard)).collect();
        ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
        ratios.get(ratios.len() / 6).copied()
    };
    let (ratio, level) = (0..ECHO_STEPS).filter_map(floor).max_by(|a, b| a.0.total_cmp(&b.0))?;
    let loss = -20.0 * ratio.max(1e-6).log10();
    (loss <= HEARD && level > background * ABOVE_SILENCE).then_some(loss)
}

/// A loudspeaker that plays this loud can be heard: -40 dBFS.
const PLAYED: f32 = 0.01;
/// Echoes come within this: 300 ms, with the buffers of both devices.
const ECHO_STEPS: usize = 60;
/// An echo is this much louder than the quietest moments, in which nobody speaks: 6 dB, as a ratio.
const ABOVE_SILENCE: f32 = 2.0;
/// Decibels from which on it is as good as not heard; the dying away of a voice looks like more.
const HEARD: f32 = 20.0;
/// Speech is this much louder than the background: 12 dB, as a ratio.
const ABOVE_BACKGROUND: f32 = 4.0;
/// And not quieter than -60 dBFS.
const LEAST_SPEECH: f32 = 0.001;
/// An even sound this loud is no background: -24 dBFS, as the voice processing has it.
const STEADY: f32 = 0.063;
/// Steps of voice from which it can be judged: 0.4 s.
const ENOUGH: usize = 80;
/// Steps that are compared at the least: 1.5 s.
const LEAST_OVERLAP: usize = 300;
/// Share of the power that must come and go for a sound to be told from itself a moment later.
const LEAST_SPREAD: f64 = 0.05;
/// Correlation of two recordings of the same voice; of two voices it stays below a half.
const ALIKE: f64 = 0.7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::rms;
    use crate::synthetic::{Sine, Speech};

    fn levels(mut sample: impl FnMut() -> f32, steps: usize) -> Vec<f32> {
        (0..steps).map(|_| rms(&std::array::from_fn::<f32, STEP_SAMPLES, _>(|_| sample()))).collect()
    }

    #[test]
    fn a_voice_is_told_from_its_background() {
        let (mut voice, mut state) = (Speech::new(3), 1u32);
        let mut noise = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state as f32 / u32::MAX as f32 - 0.5) * 0.002
        };
        let talking = loudness(&levels(|| voice.sample() + noise(), 1_600));
        assert!((-40.0..-20.0).contains(&talking.speech.map_or(0.0, Decibel::as_f32)), "{talking:?}");
        assert!((-67.0..-60.0).contains(&talking.background.as_f32()), "{talking:?}");
        let quiet = loudness(&levels(noise, 1_600));
        assert_eq!((quiet.speech, quiet.steps), (None, 0));
        let mut tone = Sine::new(440.0, 0.3);
        let tone = loudness(&levels(|| tone.sample(), 400));
        assert!(tone.speech.is_some() && tone.background == Decibel::SILENCE, "somebody plays it");
        assert_eq!(loudness(&[]).background, Decibel::SILENCE);
    }

    #[test]
    fn what_comes_back_later_and_quieter_is_found_again() {
        let mut voice = Speech::new(3);
        let said = levels(|| voice.sample(), 2_000);
        let mut heard = vec![0.0; 214];
        heard.extend(said.iter().map(|level| level * 0.3 + 0.0003));
        heard.truncate(2_000);
        assert_eq!(lag(&said, &heard, 200..400), Some(214));
        let mut other = Speech::new(77);
        assert_eq!(lag(&said, &levels(|| other.sample(), 2_000), 200..400), None, "another voice");
        assert_eq!(lag(&said, &[0.0; 2_000], 200..400), None, "silence");
        assert_eq!(lag(&said[..300], &heard[..300], 200..400), None, "too little");
        let mut tone = Sine::new(440.0, 0.3);
        let even = levels(|| tone.sample(), 2_000);
        assert_eq!(lag(&even, &even, 200..400), None, "an even sound has no time");
    }

    #[test]
    fn a_loudspeaker_is_heard_behind_a_voice_and_a_headset_is_not() {
        let (mut far, mut near) = (Speech::new(11), Speech::new(99));
        let (played, voice) = (levels(|| far.sample(), 2_000), levels(|| near.sample(), 2_000));
        let room = |gain: f32, voice_gain: f32| -> Vec<f32> {
            let echo = |n: usize| {
                let past = |back: usize| n.checked_sub(back).map_or(0.0, |at| played[at]);
                // 60 ms away, with a tail.
                past(12).powi(2) * 0.8 + past(16).powi(2) * 0.2
            };
            (0..2_000)
                .map(|n| (echo(n) * gain.powi(2) + (voice[n] * voice_gain).powi(2) + 1e-9).sqrt())
                .collect()
        };
        for (gain, decibels) in [(1.0, 0.0), (0.5, 6.0), (0.25, 12.0)] {
            for voice_gain in [0.0, 1.0] {
                let loss = return_loss(&played, &room(gain, voice_gain)).unwrap_or(99.0);
                // A voice that dies away counts a little.
                let near = 3.0 + 3.0 * voice_gain;
                assert!((loss - decibels).abs() < near, "{loss} for {decibels} dB, voice {voice_gain}");
            }
        }
        assert_eq!(return_loss(&played, &room(0.0, 1.0)), None, "a headset");
        assert_eq!(return_loss(&[0.0; 2_000], &voice), None, "nothing was played");
        let mut tone = Sine::new(440.0, 0.3);
        let even = levels(|| tone.sample(), 2_000);
        assert_eq!(return_loss(&played, &even), None, "something else sounds all the time");
    }
}
