//! Devices without hardware: silence, a sine, a file, a recording, an echo. They call the same callbacks as real ones,
//! 10 ms of sound a time, at absolute deadlines, so that the time of sample n follows from the time of the first.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ahoy_base::{Moment, SAMPLE_RATE, TICK_SAMPLES};
use ahoy_codec::audio::Resampler;
use ahoy_codec::synthetic::Sine;

use super::callback::{CaptureCallback, PlaybackCallback};
use crate::clock;

/// Sound a time.
const TICK: Duration = Duration::from_millis(10);
/// How far in the future a speaker starts: the playback thread makes its first block meanwhile.
const HEAD_START: Duration = Duration::from_millis(10);
/// How long the loop keeps what was said before it says it again.
pub(crate) const LOOP_DELAY: Duration = Duration::from_secs(1);
/// The same in samples.
const LOOP_SAMPLES: u64 = SAMPLE_RATE as u64 * LOOP_DELAY.as_secs();
/// The file of a recording is made readable this often: a killed daemon leaves what it heard.
const FLUSH_EVERY: u64 = 100;
/// Longest file that is played: an hour, 700 MB of memory.
const MAX_FILE: usize = SAMPLE_RATE as usize * 3_600;
/// Loudness of the sine.
const TONE: f32 = 0.3;

/// A running device; dropping it stops its thread at the next deadline.
pub(super) struct VirtualDevice {
    stop: Arc<AtomicBool>,
}

impl Drop for VirtualDevice {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What a virtual microphone hears.
pub(super) enum Source {
    Silence,
    Tone(Sine),
    File { samples: Vec<f32>, next: usize, repeat: bool },
    Loop(Arc<LoopDelay>),
}

impl Source {
    /// A sine of `hertz`.
    pub(super) fn tone(hertz: f32) -> Source {
        Source::Tone(Sine::new(hertz, TONE))
    }

    /// A WAV file of any rate and channels, as mono 48 kHz.
    ///
    /// # Errors
    /// In words, when it can't be read.
    pub(super) fn file(path: &Path, repeat: bool) -> Result<Source, String> {
        Ok(Source::File { samples: read_wav(path)?, next: 0, repeat })
    }

    /// The sound of the 10 ms that begin at `at`.
    fn fill(&mut self, at: Moment, block: &mut [f32; TICK_SAMPLES]) {
        match self {
            Source::Silence => block.fill(0.0),
            Source::Tone(sine) => block.iter_mut().for_each(|s| *s = sine.sample()),
            Source::File { samples, next, repeat } => {
                for sample in block {
                    if *next >= samples.len() && *repeat {
                        *next = 0;
                    }
                    *sample = samples.get(*next).copied().unwrap_or(0.0);
                    *next += 1;
                }
            }
            Source::Loop(delay) => delay.take(at, block),
        }
    }
}

/// What a virtual speaker does with what it plays.
pub(super) enum Sink {
    Nothing,
    Record(Arc<Mutex<Recording>>),
    Loop(Arc<LoopDelay>),
}

/// Sound on its way from the loop's speaker to its microphone: what is heard at a time is said again [`LOOP_DELAY`] later, to the sample.
#[derive(Default)]
pub(super) struct LoopDelay(Mutex<Underway>);

#[derive(Default)]
struct Underway {
    samples: VecDeque<f32>,
    /// Place in time of the first of them.
    first: u64,
}

impl LoopDelay {
    /// Forgets what was said: another call, another speaker.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).samples.clear();
    }

    fn put(&self, at: Moment, block: &[f32]) {
        let mut underway = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = place_of(at);
        let end = underway.first + underway.samples.len() as u64;
        if place < end || place - end > LOOP_SAMPLES {
            // Another speaker, or one that was closed for long.
            underway.samples.clear();
        }
        if underway.samples.is_empty() {
            underway.first = place;
        }
        let silence = place.saturating_sub(underway.first + underway.samples.len() as u64);
        underway.samples.extend((0..silence).map(|_| 0.0));
        underway.samples.extend(block);
        while underway.samples.len() as u64 > 2 * LOOP_SAMPLES {
            underway.samples.pop_front();
            underway.first += 1;
        }
    }

    fn take(&self, at: Moment, block: &mut [f32]) {
        let mut underway = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (sample, place) in block.iter_mut().zip(place_of(at)..) {
            while underway.first + LOOP_SAMPLES < place && underway.samples.pop_front().is_some() {
                underway.first += 1;
            }
            let due = underway.first + LOOP_SAMPLES == place;
            *sample = if due { underway.samples.front().copied().unwrap_or(0.0) } else { 0.0 };
        }
    }
}

/// Samples until `at`, from whenever the clock began. A tick is a whole number of them.
fn place_of(at: Moment) -> u64 {
    at.as_micros() * u64::from(SAMPLE_RATE / 1_000) / 1_000
}

/// A WAV file that grows with all that would have been heard, from its first block on, also while nobody calls.
pub(super) struct Recording {
    writer: hound::WavWriter<BufWriter<File>>,
    start: Option<Moment>,
    blocks: u64,
}

impl Recording {
    /// Makes the file: mono, 48 kHz, 16 bits.
    ///
    /// # Errors
    /// In words, when it can't be made.
    pub(super) fn create(path: &Path) -> Result<Recording, String> {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: SAMPLE_RATE,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let writer = hound::WavWriter::create(path, spec)
            .map_err(|error| format!("The recording {} can't be made: {error}.", path.display()))?;
        Ok(Recording { writer, start: None, blocks: 0 })
    }

    /// Whether anything was written.
    pub(super) fn has_begun(&self) -> bool {
        self.start.is_some()
    }

    /// The next deadline after `now` on the grid of this recording.
    fn align(&mut self, now: Moment) -> Moment {
        let start = *self.start.get_or_insert(now);
        let ticks =
            u32::try_from(now.since(start).as_micros().div_ceil(TICK.as_micros())).unwrap_or(u32::MAX);
        start + TICK * ticks
    }

    /// Writes a block that is heard at `at`; silence for what was missed before it.
    fn write(&mut self, at: Moment, block: &[f32]) -> Result<(), hound::Error> {
        let due = self.start.map_or(0, |start| at.since(start).as_micros() / TICK.as_micros());
        while u128::from(self.blocks) < due {
            (0..TICK_SAMPLES).try_for_each(|_| self.writer.write_sample(0i16))?;
            self.blocks += 1;
        }
        for sample in block {
            // A float cast saturates.
            self.writer.write_sample((sample * 32_767.0).round() as i16)?;
        }
        self.blocks += 1;
        if self.blocks.is_multiple_of(FLUSH_EVERY) { self.writer.flush() } else { Ok(()) }
    }
}

/// Starts a microphone.
///
/// # Errors
/// When there is no thread to be had.
pub(super) fn start_microphone(
    mut source: Source,
    mut callback: CaptureCallback,
) -> std::io::Result<VirtualDevice> {
    let mut block = [0.0; TICK_SAMPLES];
    every_tick("virtual mic", clock::now, move |at| {
        source.fill(at, &mut block);
        // The block is there once its last sample was captured, as with a real device.
        sleep_until(at + TICK);
        callback.call(&block, at, |s: f32| s);
    })
}

/// Starts a speaker.
///
/// # Errors
/// When there is no thread to be had.
pub(super) fn start_speaker(sink: Sink, mut callback: PlaybackCallback) -> std::io::Result<VirtualDevice> {
    let first = match &sink {
        Sink::Record(recording) => {
            recording.lock().unwrap_or_else(PoisonError::into_inner).align(clock::now() + HEAD_START)
        }
        Sink::Nothing | Sink::Loop(_) => clock::now() + HEAD_START,
    };
    let mut broken = false;
    every_tick(
        "virtual speaker",
        move || first,
        move |at| {
            let mut block = [0.0; TICK_SAMPLES];
            callback.call(&mut block, at, |s| s);
            match &sink {
                Sink::Nothing => {}
                Sink::Loop(delay) => delay.put(at, &block),
                Sink::Record(recording) => {
                    let written = recording.lock().unwrap_or_else(PoisonError::into_inner).write(at, &block);
                    if let (Err(error), false) = (written, broken) {
                        broken = true;
                        tracing::warn!(%error, "the recording of the speaker has stopped; the call goes on");
                    }
                }
            }
        },
    )
}

/// Calls `tick` with each deadline from `first` on until the device is dropped.
fn every_tick(
    name: &str,
    first: impl FnOnce() -> Moment + Send + 'static,
    mut tick: impl FnMut(Moment) + Send + 'static,
) -> std::io::Result<VirtualDevice> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let mut at = first();
        while !stopped.load(Ordering::Relaxed) {
            sleep_until(at);
            tick(at);
            at = at + TICK;
        }
    })?;
    Ok(VirtualDevice { stop })
}

fn sleep_until(at: Moment) {
    let wait = at.since(clock::now());
    if !wait.is_zero() {
        std::thread::sleep(wait);
    }
}

fn read_wav(path: &Path) -> Result<Vec<f32>, String> {
    let failed = |error: hound::Error| format!("The file {} can't be played: {error}.", path.display());
    let mut reader = hound::WavReader::open(path).map_err(failed)?;
    let spec = reader.spec();
    let samples: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>().map_err(failed)?,
        hound::SampleFormat::Int => {
            let scale = 1.0 / (1u64 << spec.bits_per_sample.saturating_sub(1).min(31)) as f32;
            let samples = reader.samples::<i32>().map(|s| s.map(|s| s as f32 * scale));
            samples.collect::<Result<_, _>>().map_err(failed)?
        }
    };
    let channels = usize::from(spec.channels.max(1));
    let mono: Vec<f32> =
        samples.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32).collect();
    let mut resampler = Resampler::to_48k(spec.sample_rate)
        .map_err(|error| format!("The file {} can't be played: {error}.", path.display()))?;
    let mut out = Vec::with_capacity(mono.len());
    resampler.push(&mono, |block| out.extend_from_slice(block));
    out.truncate(MAX_FILE);
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_recording_keeps_its_grid_and_fills_gaps_with_silence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.wav");
        let mut recording = Recording::create(&path).unwrap();
        let at = recording.align(Moment::from_millis(1_003));
        assert_eq!(at, Moment::from_millis(1_003));
        recording.write(at, &[0.5; TICK_SAMPLES]).unwrap();
        let later = recording.align(Moment::from_millis(1_031));
        assert_eq!(later, Moment::from_millis(1_033), "the next deadline of the first grid");
        recording.write(later, &[-0.5; TICK_SAMPLES]).unwrap();
        drop(recording);
        let heard: Vec<i16> = hound::WavReader::open(&path).unwrap().samples().map(Result::unwrap).collect();
        assert_eq!(heard.len(), 4 * TICK_SAMPLES);
        assert_eq!((heard[0], heard[480], heard[1_439], heard[1_440]), (16_384, 0, 0, -16_384));
    }

    #[test]
    fn a_file_plays_from_its_first_sample_then_silence_or_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.wav");
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: SAMPLE_RATE,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        (0..2 * 100).for_each(|_| writer.write_sample(16_384i16).unwrap());
        writer.finalize().unwrap();
        let mut block = [0.0; TICK_SAMPLES];
        Source::file(&path, false).unwrap().fill(Moment::ZERO, &mut block);
        assert!((block[99] - 0.5).abs() < 1e-4 && block[100] == 0.0);
        Source::file(&path, true).unwrap().fill(Moment::ZERO, &mut block);
        assert!((block[479] - 0.5).abs() < 1e-4);
        assert!(Source::file(Path::new("/nowhere.wav"), false).is_err());
    }

    #[test]
    fn the_loop_gives_back_after_a_second_to_the_sample_however_the_two_devices_stand() {
        let delay = LoopDelay::default();
        // The speaker is 4 ms behind the microphone's ticks.
        delay.put(Moment::from_millis(504), &[0.7; TICK_SAMPLES]);
        delay.put(Moment::from_millis(524), &[0.5; TICK_SAMPLES]);
        let mut block = [1.0; TICK_SAMPLES];
        for tick in 0..100 {
            delay.take(Moment::from_millis(500 + tick * 10), &mut block);
            assert_eq!(block, [0.0; TICK_SAMPLES], "{tick}");
        }
        delay.take(Moment::from_millis(1_500), &mut block);
        assert_eq!((block[191], block[192], block[479]), (0.0, 0.7, 0.7));
        delay.take(Moment::from_millis(1_510), &mut block);
        assert_eq!((block[191], block[192]), (0.7, 0.0), "what the speaker skipped is silence");
        delay.take(Moment::from_millis(1_520), &mut block);
        assert_eq!((block[191], block[192]), (0.0, 0.5));
        delay.put(Moment::from_millis(1_600), &[0.9; TICK_SAMPLES]);
        delay.clear();
        delay.take(Moment::from_millis(2_600), &mut block);
        assert_eq!(block, [0.0; TICK_SAMPLES], "another call");
    }
}
