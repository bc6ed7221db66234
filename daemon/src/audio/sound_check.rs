//! What both sound threads note for a test call: how loud each 5 ms of the microphone and of the others were, and when. Neither
//! waits for whoever reads it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ahoy_base::{Decibel, Moment, TICK_SAMPLES};
use ahoy_codec::audio::{Loudness, STEP_SAMPLES, lag, loudness, peak, return_loss, rms};

/// A step of [`STEP_SAMPLES`].
const STEP: Duration = Duration::from_millis(5);
/// Steps that are kept: 20 s.
const STEPS: usize = 4_096;
/// What is judged: the last 15 s.
const JUDGED: Duration = Duration::from_secs(15);
/// A sample this near to full scale was cut off.
const FULL_SCALE: f32 = 0.985;

/// See the module's first lines.
pub(super) struct SoundCheck {
    /// When the test began, microseconds; later reads look no further back.
    since_us: AtomicU64,
    microphone: Track,
    others: Track,
    /// Loudest sample of the microphone, as the bits of an `f32`.
    peak: AtomicU32,
    /// Steps of the microphone with samples at full scale.
    clipped: AtomicU32,
    /// Whether the microphone can hear the speaker: a virtual one can't.
    in_a_room: AtomicBool,
}

/// What was heard in a test call.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Heard {
    /// How long both have been listened to.
    pub(crate) time: Duration,
    /// Of the microphone, as it came.
    pub(crate) microphone: Loudness,
    /// Its loudest sample.
    pub(crate) peak: Decibel,
    /// Share of the voice in steps with samples at full scale.
    pub(crate) clipped: f64,
    /// How loud the others were: their voice, or else all.
    pub(crate) others: Decibel,
    /// How much later than said it was heard from the others, the wait of Echo and all.
    pub(crate) lag: Option<Duration>,
    /// How much quieter what was played is at the microphone, decibels; `None` where it is not heard.
    pub(crate) return_loss: Option<f32>,
}

impl Default for SoundCheck {
    fn default() -> SoundCheck {
        SoundCheck {
            since_us: AtomicU64::new(0),
            microphone: Track::default(),
            others: Track::default(),
            peak: AtomicU32::new(0),
            clipped: AtomicU32::new(0),
            in_a_room: AtomicBool::new(false),
        }
    }
}

impl SoundCheck {
    /// A call begins.
    pub(super) fn begin(&self, now: Moment) {
        self.since_us.store(now.as_micros(), Relaxed);
        self.peak.store(0, Relaxed);
        self.clipped.store(0, Relaxed);
    }

    /// Whether the microphone can hear the speaker.
    pub(super) fn stands_in_a_room(&self, yes: bool) {
        self.in_a_room.store(yes, Relaxed);
    }

    /// 10 ms of the microphone, the first sample of which was captured at `at`.
    pub(super) fn said(&self, at: Moment, tick: &[f32; TICK_SAMPLES]) {
        self.microphone.note(at, tick);
        // One thread writes.
        let peaked = f32::from_bits(self.peak.load(Relaxed)).max(peak(tick));
        self.peak.store(peaked.to_bits(), Relaxed);
        let clipped = tick.chunks(STEP_SAMPLES).filter(|step| peak(step) >= FULL_SCALE).count();
        self.clipped.fetch_add(u32::try_from(clipped).unwrap_or(0), Relaxed);
    }

    /// 10 ms of the others, which are heard from `at` on.
    pub(super) fn heard(&self, at: Moment, tick: &[f32; TICK_SAMPLES]) {
        self.others.note(at, tick);
    }

    /// What was said and heard until `now`; what came back is looked for within `lags`.
    pub(super) fn read(&self, now: Moment, lags: std::ops::Range<Duration>) -> Heard {
        let began = Moment::from_micros(self.since_us.load(Relaxed));
        let time = now.since(began);
        let from = step_of(now).saturating_sub(JUDGED.as_millis() as u64 / STEP.as_millis() as u64);
        let steps = from.max(step_of(began))..step_of(now);
        let (said, heard) = (self.microphone.read(steps.clone()), self.others.read(steps));
        let microphone = loudness(&said);
        let others = loudness(&heard);
        let clipped = f64::from(self.clipped.load(Relaxed)) / microphone.steps.max(1) as f64;
        let in_steps = |time: Duration| (time.as_micros() / STEP.as_micros()) as usize;
        Heard {
            time,
            microphone,
            peak: Decibel::from_amplitude(f32::from_bits(self.peak.load(Relaxed))),
            clipped: clipped.min(1.0),
            others: others.speech.unwrap_or_else(|| Decibel::from_amplitude(rms(&heard))),
            lag: lag(&said, &heard, in_steps(lags.start)..in_steps(lags.end))
                .map(|steps| STEP * steps as u32),
            return_loss: self.in_a_room.load(Relaxed).then(|| return_loss(&heard, &said)).flatten(),
        }
    }
}

/// Levels of the last 20 s, each with the step it is of: what a thread skipped reads as silence.
struct Track(Box<[AtomicU64]>);

impl Default for Track {
    fn default() -> Track {
        Track((0..STEPS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Track {
    fn note(&self, at: Moment, tick: &[f32; TICK_SAMPLES]) {
        for (step, samples) in (step_of(at)..).zip(tick.chunks(STEP_SAMPLES)) {
            if let Some(slot) = self.0.get((step % STEPS as u64) as usize) {
                slot.store((step << 32) | u64::from(rms(samples).to_bits()), Relaxed);
            }
        }
    }

    fn read(&self, steps: std::ops::Range<u64>) -> Vec<f32> {
        steps
            .map(|step| {
                let slot = self.0.get((step % STEPS as u64) as usize).map_or(0, |slot| slot.load(Relaxed));
                if slot >> 32 == step & u64::from(u32::MAX) { f32::from_bits(slot as u32) } else { 0.0 }
            })
            .collect()
    }
}

fn step_of(at: Moment) -> u64 {
    at.as_micros() / STEP.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use ahoy_codec::synthetic::Speech;

    #[test]
    fn a_voice_that_comes_back_is_timed_and_measured_and_an_older_call_is_forgotten() {
        let check = SoundCheck::default();
        let tick_at = |n: u64| Moment::from_millis(100_000 + n * 10);
        let loud = [1.0; TICK_SAMPLES];
        (0..50).for_each(|n| check.said(tick_at(n), &loud));
        let began = tick_at(100);
        check.begin(began);
        let mut voice = Speech::new(5);
        let said: Vec<[f32; TICK_SAMPLES]> =
            (0..800).map(|_| std::array::from_fn(|_| voice.sample() * 0.5)).collect();
        for (n, tick) in said.iter().enumerate() {
            let at = tick_at(100 + n as u64);
            check.said(at, tick);
            if n >= 107 {
                check.heard(at, &said[n - 107]);
            }
        }
        let heard = check.read(tick_at(900), Duration::from_secs(1)..Duration::from_secs(2));
        assert_eq!(heard.lag, Some(Duration::from_millis(1_070)), "{heard:?}");
        assert_eq!((heard.time, heard.clipped), (Duration::from_secs(8), 0.0));
        assert!(heard.peak < Decibel::tenths(0) && heard.peak > Decibel::tenths(-200), "{heard:?}");
        let difference = heard.others.as_f32() - heard.microphone.speech.map_or(0.0, Decibel::as_f32);
        assert!(difference.abs() < 1.0, "{heard:?}");

        check.begin(tick_at(1_000));
        (1_000..1_300).for_each(|n| check.said(tick_at(n), &[0.0; TICK_SAMPLES]));
        let silent = check.read(tick_at(1_300), Duration::from_secs(1)..Duration::from_secs(2));
        assert_eq!((silent.peak, silent.microphone.speech, silent.lag), (Decibel::SILENCE, None, None));
        assert_eq!(silent.others, Decibel::SILENCE);
        check.begin(tick_at(1_300));
        (1_300..1_500).for_each(|n| check.said(tick_at(n), &loud));
        assert!(check.read(tick_at(1_500), Duration::ZERO..Duration::ZERO).clipped > 0.9);
    }
}
