//! Makes a microphone fit to be heard: echo of the own speaker taken out, noise lowered, loudness evened.
//!
//! Echo and noise are `sonora`'s work, a port of libwebrtc's audio processing (AEC3, NS). It costs 9 to 15 ms of delay and some of
//! the voice, so its result is used only where it has something to take away: it always listens, and takes over within
//! a tenth of a second once it removes much of what comes in (docs/decisions/0025). With a headset in a quiet room the
//! sound goes straight through.

use ahoy_base::TICK_SAMPLES;
use sonora::config::{EchoCanceller, HighPassFilter, NoiseSuppression, NoiseSuppressionLevel};
use sonora::{AudioProcessing, Config, StreamConfig};

use super::{peak, rms};

/// What is done to the microphone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VoiceSettings {
    /// Takes out what the speaker plays.
    pub echo: bool,
    /// Lowers steady noise.
    pub noise: bool,
    /// Evens out loudness.
    pub gain: bool,
}

impl Default for VoiceSettings {
    fn default() -> VoiceSettings {
        VoiceSettings { echo: true, noise: true, gain: true }
    }
}

impl VoiceSettings {
    /// For music: the sound as it is.
    pub const NONE: VoiceSettings = VoiceSettings { echo: false, noise: false, gain: false };
}

/// Quieter input says nothing about echo: -55 dBFS, mean square.
const LOUD: f32 = 3.2e-6;
/// Share of the input's energy that is taken away when there is something to take away: 6 dB.
const MUCH: f32 = 0.75;
/// And when there is nothing: 3 dB.
const LITTLE: f32 = 0.5;
/// Steady sound this loud is no background but what somebody wants heard, an instrument or a tone: -24 dBFS, mean square.
const WANTED_SOUND: f32 = 4e-3;
/// Ticks for which an echo of what the speaker played may still come: half a second.
const ECHO_TAIL: u32 = 50;
/// Ticks over which energies are compared; more than the delay of the processing.
const MEMORY: f32 = 10.0;
/// Ticks with much taken away, after which the processing takes over.
const TAKE_OVER: u32 = 8;
/// Loud ticks with little taken away, after which it lets go: half a minute of speech.
const LET_GO: u32 = 3_000;

/// See the module's first lines.
pub struct VoiceProcessing {
    settings: VoiceSettings,
    engine: AudioProcessing,
    /// Its result is used.
    engaged: bool,
    /// Mean squares of what goes in and what comes out.
    input: f32,
    output: f32,
    much: u32,
    little: u32,
    /// Ticks in which an echo may still come.
    echoing: u32,
    processed: [f32; TICK_SAMPLES],
    render: [f32; TICK_SAMPLES],
    gain: AutoGain,
}

impl Default for VoiceProcessing {
    fn default() -> VoiceProcessing {
        VoiceProcessing::new(VoiceSettings::default())
    }
}

impl std::fmt::Debug for VoiceProcessing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VoiceProcessing")
            .field("settings", &self.settings)
            .field("engaged", &self.engaged)
            .finish_non_exhaustive()
    }
}

impl VoiceProcessing {
    /// Begins with what `settings` say.
    pub fn new(settings: VoiceSettings) -> VoiceProcessing {
        let mono = StreamConfig::new(ahoy_base::SAMPLE_RATE, 1);
        let engine = AudioProcessing::builder()
            .config(config(settings))
            .capture_config(mono)
            .render_config(mono)
            .build();
        VoiceProcessing {
            settings,
            engine,
            engaged: false,
            input: 0.0,
            output: 0.0,
            much: 0,
            little: 0,
            echoing: 0,
            processed: [0.0; TICK_SAMPLES],
            render: [0.0; TICK_SAMPLES],
            gain: AutoGain::default(),
        }
    }

    /// Changes what is done; what was learned of the room stays.
    pub fn set(&mut self, settings: VoiceSettings) {
        if settings != self.settings {
            self.settings = settings;
            self.engine.apply_config(config(settings));
            self.engaged = false;
            (self.much, self.little) = (0, 0);
        }
    }

    /// Whether echo or noise is being taken out.
    pub fn is_engaged(&self) -> bool {
        self.engaged
    }

    /// Takes in 10 ms of what the speaker is about to play.
    pub fn played(&mut self, tick: &[f32; TICK_SAMPLES]) {
        if self.settings.echo {
            if rms(tick).powi(2) > LOUD {
                self.echoing = ECHO_TAIL;
            }
            // Refused are only other lengths than the one it was made for.
            let _ = self.engine.process_render_f32(&[tick], &mut [&mut self.render]);
        }
    }

    /// Works on 10 ms of the microphone, in place.
    pub fn process(&mut self, tick: &mut [f32; TICK_SAMPLES]) {
        if self.settings.echo || self.settings.noise {
            self.clean(tick);
        }
        if self.settings.gain {
            self.gain.process(tick);
        }
    }

    fn clean(&mut self, tick: &mut [f32; TICK_SAMPLES]) {
        if self.engine.process_capture_f32(&[tick], &mut [&mut self.processed]).is_err() {
            return;
        }
        let was = self.engaged;
        self.echoing = self.echoing.saturating_sub(1);
        self.judge(rms(tick).powi(2), rms(&self.processed).powi(2));
        match (was, self.engaged) {
            (false, false) => {}
            (true, true) => tick.copy_from_slice(&self.processed),
            // Once: from the one to the other within the tick.
            (_, engaged) => {
                for (n, (direct, processed)) in tick.iter_mut().zip(&self.processed).enumerate() {
                    let along = n as f32 / TICK_SAMPLES as f32;
                    let share = if engaged { along } else { 1.0 - along };
                    *direct += (processed - *direct) * share;
                }
            }
        }
    }

    fn judge(&mut self, input: f32, output: f32) {
        self.input += (input - self.input) / MEMORY;
        self.output += (output - self.output) / MEMORY;
        if self.input < LOUD {
            return;
        }
        let taken = 1.0 - self.output / self.input;
        let wanted = self.input > WANTED_SOUND && self.echoing == 0;
        self.much = if taken > MUCH && !wanted { self.much + 1 } else { 0 };
        self.little = if taken < LITTLE { self.little + 1 } else { 0 };
        if self.much >= TAKE_OVER {
            self.engaged = true;
        } else if self.little >= LET_GO {
            self.engaged = false;
        }
    }
}

fn config(settings: VoiceSettings) -> Config {
    Config {
        high_pass_filter: Some(HighPassFilter::default()),
        echo_canceller: settings.echo.then(EchoCanceller::default),
        noise_suppression: settings.noise.then(|| NoiseSuppression {
            level: NoiseSuppressionLevel::Moderate,
            ..NoiseSuppression::default()
        }),
        ..Config::default()
    }
}

/// Speech is brought near this loudness, decibels of full scale.
const WANTED: f32 = -23.0;
/// Speech this near to it is left as it is.
const NEAR: f32 = 7.0;
/// Bounds of the gain, decibels.
const GAINS: std::ops::RangeInclusive<f32> = -10.0..=20.0;
/// Decibels that the gain moves in a tick: 3 a second.
const STEP: f32 = 0.03;
/// Ticks of speech over which loudness is learned: 3 s.
const SPEECH_MEMORY: f32 = 300.0;
/// Speech is this much louder than the background: 12 dB, as a ratio.
const ABOVE_BACKGROUND: f32 = 4.0;
/// And not quieter than -60 dBFS.
const LEAST_SPEECH: f32 = 0.001;
/// How fast the background is let rise: 1 dB a second.
const BACKGROUND_RISE: f32 = 1.001_15;
/// Peaks stay below this.
const CEILING: f32 = 0.95;

/// Slow gain towards an even loudness of speech, with a fast brake for peaks.
#[derive(Clone, Copy, Debug)]
struct AutoGain {
    background: f32,
    /// Loudness of speech, decibels; unknown at first.
    speech: Option<f32>,
    /// Decibels.
    gain: f32,
    /// Linear, at the end of the last tick.
    applied: f32,
}

impl Default for AutoGain {
    fn default() -> AutoGain {
        AutoGain { background: 1.0, speech: None, gain: 0.0, applied: 1.0 }
    }
}

impl AutoGain {
    fn process(&mut self, tick: &mut [f32; TICK_SAMPLES]) {
        let level = rms(tick);
        self.background = level.min(self.background * BACKGROUND_RISE).max(1e-5);
        if level > LEAST_SPEECH && level > self.background * ABOVE_BACKGROUND {
            let decibels = 20.0 * level.log10();
            let speech = self.speech.get_or_insert(decibels);
            *speech += (decibels - *speech) / SPEECH_MEMORY;
        }
        let off = self.speech.map_or(0.0, |speech| WANTED - speech);
        let wanted = if off.abs() <= NEAR {
            0.0
        } else {
            (off - NEAR.copysign(off)).clamp(*GAINS.start(), *GAINS.end())
        };
        self.gain += (wanted - self.gain).clamp(-STEP, STEP);
        let room = CEILING / peak(tick).max(1e-6);
        let gain = 10f32.powf(self.gain / 20.0).min(room.max(0.1));
        // A brake acts at once, all else slides.
        let from = self.applied.min(room.max(0.1));
        if (from - 1.0).abs() > 1e-3 || (gain - 1.0).abs() > 1e-3 {
            for (n, sample) in tick.iter_mut().enumerate() {
                *sample *= from + (gain - from) * n as f32 / TICK_SAMPLES as f32;
            }
        }
        self.applied = gain;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::Speech;

    fn decibels(samples: &[f32]) -> f32 {
        20.0 * rms(samples).max(1e-9).log10()
    }

    /// A room: the speaker comes back after `delay` samples and for a tenth of a second, quieter all the time.
    struct Room {
        past: Vec<f32>,
        echo: Vec<(usize, f32)>,
    }

    impl Room {
        fn new(delay: usize) -> Room {
            let mut state = 7u32;
            let echo = (0..60)
                .map(|n| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let sign = if state >> 31 == 0 { 1.0 } else { -1.0 };
                    (delay + n * 80, 0.4 * sign * (-(n as f32) / 15.0).exp() / if n == 0 { 1.0 } else { 2.0 })
                })
                .collect();
            Room { past: Vec::new(), echo }
        }

        fn hear(&mut self, tick: &[f32; TICK_SAMPLES]) -> [f32; TICK_SAMPLES] {
            let start = self.past.len();
            self.past.extend_from_slice(tick);
            std::array::from_fn(|n| {
                let at = |back: usize| (start + n).checked_sub(back).map_or(0.0, |i| self.past[i]);
                self.echo.iter().map(|(back, gain)| at(*back) * gain).sum()
            })
        }
    }

    #[test]
    fn echo_is_gone_after_five_seconds_at_any_delay() {
        for delay_ms in [30, 120, 250] {
            let (mut processing, mut room) = (VoiceProcessing::default(), Room::new(delay_ms * 48));
            let mut far = Speech::new(11);
            let (mut echo, mut left) = (Vec::new(), Vec::new());
            for tick in 0..1_000 {
                let played = std::array::from_fn(|_| far.sample());
                processing.played(&played);
                let mut heard = room.hear(&played);
                if tick >= 500 {
                    echo.extend(heard);
                }
                processing.process(&mut heard);
                if tick >= 500 {
                    left.extend(heard);
                }
            }
            let gone = decibels(&echo) - decibels(&left);
            assert!(gone > 30.0, "{delay_ms} ms: {gone} dB");
            assert!(processing.is_engaged());
        }
    }

    #[test]
    fn both_who_talk_at_once_are_heard() {
        let (mut processing, mut room) = (VoiceProcessing::default(), Room::new(60 * 48));
        let (mut far, mut near) = (Speech::new(11), Speech::new(99));
        let (mut said, mut sent) = (Vec::new(), Vec::new());
        for tick in 0..2_000 {
            let played = std::array::from_fn(|_| far.sample());
            processing.played(&played);
            let mut heard = room.hear(&played);
            if tick >= 1_000 {
                let voice: [f32; TICK_SAMPLES] = std::array::from_fn(|_| near.sample() * 2.0);
                heard.iter_mut().zip(voice).for_each(|(h, v)| *h += v);
                said.extend(voice);
            }
            processing.process(&mut heard);
            if tick >= 1_000 {
                sent.extend(heard);
            }
        }
        let cut = decibels(&said) - decibels(&sent);
        assert!(cut < 10.0, "{cut} dB of the near end are gone");
    }

    #[test]
    fn where_nothing_comes_back_nothing_is_taken_away() {
        // A headset: the other is heard, the microphone hears a quiet room.
        let mut processing = VoiceProcessing::default();
        let (mut far, mut near) = (Speech::new(11), Speech::new(99));
        let quiet = VoiceSettings { gain: false, ..VoiceSettings::default() };
        processing.set(quiet);
        for n in 0..1_000 {
            processing.played(&std::array::from_fn(|_| far.sample()));
            let said: [f32; TICK_SAMPLES] =
                std::array::from_fn(|i| if (i + n) % 2 == 0 { 0.000_3 } else { -0.000_3 });
            let mut tick = said;
            processing.process(&mut tick);
            assert_eq!(tick, said, "sample for sample");
        }
        // Then the one with the headset talks, and the other listens.
        for _ in 0..1_000 {
            processing.played(&[0.0; TICK_SAMPLES]);
            let mut tick = std::array::from_fn(|_| near.sample());
            processing.process(&mut tick);
        }
        assert!(!processing.is_engaged());
    }

    #[test]
    fn noise_is_lowered() {
        let mut processing = VoiceProcessing::default();
        let mut state = 3u32;
        let (mut noise, mut left) = (Vec::new(), Vec::new());
        for tick in 0..600 {
            let mut heard: [f32; TICK_SAMPLES] = std::array::from_fn(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state as f32 / u32::MAX as f32 - 0.5) * 0.03
            });
            if tick >= 300 {
                noise.extend(heard);
            }
            processing.process(&mut heard);
            if tick >= 300 {
                left.extend(heard);
            }
        }
        let lowered = decibels(&noise) - decibels(&left);
        assert!(lowered > 9.0, "{lowered} dB");
    }

    #[test]
    fn a_steady_tone_that_somebody_plays_is_no_noise() {
        let mut processing = VoiceProcessing::default();
        let mut tone = crate::synthetic::Sine::new(440.0, 0.3);
        let (mut played, mut sent) = (Vec::new(), Vec::new());
        for tick in 0..600 {
            let mut heard: [f32; TICK_SAMPLES] = std::array::from_fn(|_| tone.sample());
            if tick >= 300 {
                played.extend(heard);
            }
            processing.process(&mut heard);
            if tick >= 300 {
                sent.extend(heard);
            }
        }
        let lowered = decibels(&played) - decibels(&sent);
        assert!(lowered.abs() < 3.0, "{lowered} dB");
    }

    #[test]
    fn the_quiet_are_raised_the_loud_lowered_and_music_is_left() {
        let even = |settings, amplitude: f32| {
            let mut processing = VoiceProcessing::new(settings);
            let mut speech = Speech::new(5);
            let (mut said, mut sent) = (Vec::new(), Vec::new());
            for tick in 0..3_000 {
                let mut samples: [f32; TICK_SAMPLES] = std::array::from_fn(|_| speech.sample() * amplitude);
                if tick > 2_000 {
                    said.extend(samples);
                }
                processing.process(&mut samples);
                assert!(peak(&samples) <= 0.96, "{}", peak(&samples));
                if tick > 2_000 {
                    sent.extend(samples);
                }
            }
            decibels(&sent) - decibels(&said)
        };
        let gain = VoiceSettings { gain: true, ..VoiceSettings::NONE };
        let (quiet, music) = (even(gain, 0.05), even(VoiceSettings::NONE, 0.05));
        assert!((8.0..20.5).contains(&quiet), "{quiet} dB");
        assert!(music.abs() < 0.01, "{music} dB");
        assert!(even(gain, 3.0) < 0.0);
    }
}
