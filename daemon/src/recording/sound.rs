//! One voice of a recording: ticks with their times become Opus packets without a gap, silence where nothing was heard.

use ahoy_base::{Decibel, Moment, SAMPLE_RATE, TICK_SAMPLES};
use ahoy_codec::CodecError;
use ahoy_codec::audio::{FrameLength, MAX_PACKET, OpusEncoder, rms};
use ahoy_codec::webm::WebmBlock;

/// A tick this far from its place shows a pause, or a device that was changed; less is a thread that was late.
const GAP: i64 = samples(300);
/// The clock of a sound card may run away from the machine's by this much until it is set right…
const DRIFT: f32 = samples(20) as f32;
/// …in a tick that is no louder than this.
const QUIET: Decibel = Decibel::tenths(-450);
/// Share of a tick's own distance in the mean distance.
const NEW: f32 = 0.02;

const fn samples(ms: i64) -> i64 {
    ms * SAMPLE_RATE as i64 / 1_000
}

/// See the module's first line.
pub(super) struct SoundLine {
    track: u8,
    began: Moment,
    encoder: OpusEncoder,
    /// Samples that are in `frame` or written.
    placed: i64,
    frame: Vec<f32>,
    pre_skip: u16,
    /// How far ticks are from their place on average, in samples.
    off: f32,
}

impl SoundLine {
    /// A line of `track` in a file that began at `began`.
    ///
    /// # Errors
    /// When no encoder can be made: out of memory.
    pub(super) fn new(track: u8, began: Moment) -> Result<SoundLine, CodecError> {
        let mut encoder = OpusEncoder::gapless()?;
        let pre_skip = u16::try_from(encoder.lookahead()).unwrap_or(0);
        let frame = Vec::with_capacity(FrameLength::Long.samples());
        Ok(SoundLine { track, began, encoder, placed: 0, frame, pre_skip, off: 0.0 })
    }

    /// What the encoder adds before the first sample.
    pub(super) fn pre_skip(&self) -> u16 {
        self.pre_skip
    }

    /// Puts a tick that begins at `at` into its place.
    pub(super) fn push(&mut self, at: Moment, tick: &[f32; TICK_SAMPLES], out: &mut Vec<WebmBlock>) {
        let distance = self.place_of(at) - self.placed;
        if distance > GAP {
            self.silence(distance, out);
            self.off = 0.0;
        } else if distance < -GAP {
            return;
        } else {
            self.off += NEW * (distance as f32 - self.off);
        }
        let quiet = Decibel::from_amplitude(rms(tick)) < QUIET;
        if quiet && self.off > DRIFT {
            self.silence(TICK_SAMPLES as i64, out);
            self.off -= TICK_SAMPLES as f32;
        } else if quiet && self.off < -DRIFT {
            self.off += TICK_SAMPLES as f32;
            return;
        }
        self.write(tick, out);
    }

    /// Nothing is heard until `until`, unless it came already.
    pub(super) fn silence_until(&mut self, until: Moment, out: &mut Vec<WebmBlock>) {
        self.silence(self.place_of(until) - self.placed, out);
    }

    fn place_of(&self, at: Moment) -> i64 {
        let us = i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
            - i64::try_from(self.began.as_micros()).unwrap_or(0);
        us.saturating_mul(i64::from(SAMPLE_RATE)) / 1_000_000
    }

    fn silence(&mut self, samples: i64, out: &mut Vec<WebmBlock>) {
        let mut left = usize::try_from(samples).unwrap_or(0);
        while left > 0 {
            let now = left.min(TICK_SAMPLES);
            self.write([0.0; TICK_SAMPLES].get(..now).unwrap_or(&[]), out);
            left -= now;
        }
    }

    fn write(&mut self, mut sound: &[f32], out: &mut Vec<WebmBlock>) {
        let whole = FrameLength::Long.samples();
        while !sound.is_empty() {
            let (now, later) = sound.split_at(sound.len().min(whole - self.frame.len()));
            self.frame.extend_from_slice(now);
            self.placed += now.len() as i64;
            sound = later;
            if self.frame.len() == whole {
                self.encode(out);
            }
        }
    }

    fn encode(&mut self, out: &mut Vec<WebmBlock>) {
        let mut packet = [0; MAX_PACKET];
        match self.encoder.encode(&self.frame, &mut packet) {
            Ok(length) => {
                // A player takes the encoder's delay off again.
                let at = self.placed - self.frame.len() as i64 + i64::from(self.pre_skip);
                let data = packet.get(..length).unwrap_or(&[]).to_vec();
                let at_ms = u64::try_from(at * 1_000 / i64::from(SAMPLE_RATE)).unwrap_or(0);
                out.push(WebmBlock { track: self.track, at_ms, key: true, data });
            }
            Err(error) => tracing::error!(%error, "a frame of a recording could not be encoded"),
        }
        self.frame.clear();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use ahoy_codec::audio::{MAX_FRAME_SAMPLES, OpusDecoder};
    use ahoy_codec::synthetic::Sine;

    const BEGAN: Moment = Moment::from_millis(5_000);

    /// The sound of all packets, one after the other, and whether each stands where the one before ends.
    fn decoded(blocks: &[WebmBlock]) -> Vec<f32> {
        let mut decoder = OpusDecoder::new().unwrap();
        let mut sound = Vec::new();
        for (n, block) in (0u64..).zip(blocks) {
            assert_eq!((block.at_ms, block.track, block.key), (n * 20 + 6, 3, true), "no gap");
            let mut out = [0.0; MAX_FRAME_SAMPLES];
            let length = decoder.decode(&block.data, &mut out).unwrap();
            sound.extend_from_slice(&out[..length]);
        }
        sound
    }

    fn line() -> (SoundLine, Sine, Vec<WebmBlock>) {
        (SoundLine::new(3, BEGAN).unwrap(), Sine::new(440.0, 0.3), Vec::new())
    }

    fn tick(sine: &mut Sine) -> [f32; TICK_SAMPLES] {
        std::array::from_fn(|_| sine.sample())
    }

    #[test]
    fn a_pause_becomes_silence_and_what_comes_after_it_is_in_its_place() {
        let (mut line, mut sine, mut out) = line();
        for n in (0..100).chain(300..400) {
            line.push(BEGAN + std::time::Duration::from_millis(n * 10), &tick(&mut sine), &mut out);
        }
        let sound = decoded(&out);
        assert_eq!(sound.len(), 48_000 * 4);
        assert!(rms(&sound[4_800..46_000]) > 0.15 && rms(&sound[148_000..190_000]) > 0.15);
        assert!(rms(&sound[52_000..140_000]) < 0.001);
    }

    #[test]
    fn ticks_that_come_late_and_in_bursts_stay_whole() {
        let (mut line, mut sine, mut out) = line();
        for n in 0..500u64 {
            // Every tenth time, a tenth of a second at once.
            let at = (n / 10 + 1) * 100;
            line.push(BEGAN + std::time::Duration::from_millis(at), &tick(&mut sine), &mut out);
        }
        let sound = decoded(&out);
        assert_eq!(sound.len(), 48_000 * 5);
        assert!(sound[4_800..].chunks(480).all(|tick| rms(tick) > 0.15));
    }

    #[test]
    fn a_clock_that_runs_away_is_set_right_where_nothing_is_said() {
        for rate in [0.999, 1.001] {
            let (mut line, mut sine, mut out) = line();
            for n in 0..10_000u64 {
                let us = (n as f64 * 10_000.0 * rate) as u64;
                // One second of four is speech.
                let sound = if n / 100 % 4 == 0 { tick(&mut sine) } else { [0.0; TICK_SAMPLES] };
                line.push(BEGAN + std::time::Duration::from_micros(us), &sound, &mut out);
            }
            let right = (100_000.0 * rate * 48.0) as i64;
            assert!((line.placed - right).abs() < samples(50), "{} of {right}", line.placed);
        }
    }

    #[test]
    fn what_is_over_is_filled_up_to_the_moment_and_never_twice() {
        let (mut line, mut sine, mut out) = line();
        line.silence_until(BEGAN + std::time::Duration::from_millis(200), &mut out);
        assert_eq!(out.len(), 10);
        line.push(BEGAN + std::time::Duration::from_millis(190), &tick(&mut sine), &mut out);
        line.silence_until(BEGAN + std::time::Duration::from_millis(100), &mut out);
        line.silence_until(BEGAN + std::time::Duration::from_millis(400), &mut out);
        assert_eq!(decoded(&out).len(), 48 * 400);
        // Far too late: its place is taken.
        line.push(BEGAN, &tick(&mut sine), &mut out);
        assert_eq!(out.len(), 20);
    }
}
