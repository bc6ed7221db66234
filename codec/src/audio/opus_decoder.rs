//! Opus decoding (RFC 6716) with concealment of what is missing.
//!
//! libopus itself instead of the `opus` crate's decoder: its neural concealment (FARGAN, libopus 1.5 and later) is
//! switched on by the decoder's complexity, which that crate does not reach (docs/decisions/0022).

use std::ffi::c_int;
use std::ptr::NonNull;

use ahoy_base::{SAMPLE_RATE, TICK_SAMPLES};
use opusic_sys as ffi;

use crate::CodecError;

/// Samples of the longest packet, 120 ms (RFC 6716, 3.2).
pub const MAX_FRAME_SAMPLES: usize = 5_760;
/// From 5 on libopus conceals with its neural vocoder; higher numbers add filters of features that are not built.
const COMPLEXITY: c_int = 7;

/// Decodes one voice to mono 48 kHz.
pub struct OpusDecoder {
    state: NonNull<ffi::OpusDecoder>,
}

#[expect(unsafe_code, reason = "libopus is C; a decoder has no ties to its thread")]
// SAFETY: libopus keeps all of a decoder's state in the one allocation that `state` owns.
unsafe impl Send for OpusDecoder {}

impl OpusDecoder {
    /// A decoder that has heard nothing.
    ///
    /// # Errors
    /// When libopus can't be set up: out of memory.
    #[expect(unsafe_code, reason = "libopus is C")]
    pub fn new() -> Result<OpusDecoder, CodecError> {
        let mut error = 0;
        let rate = c_int::try_from(SAMPLE_RATE).unwrap_or(c_int::MAX);
        // SAFETY: plain numbers, and a place for the error.
        let state = unsafe { ffi::opus_decoder_create(rate, 1, &raw mut error) };
        let Some(state) = NonNull::new(state) else { return Err(failure(error)) };
        let decoder = OpusDecoder { state };
        // SAFETY: the state is alive; this request takes one int (opus_defines.h, OPUS_SET_COMPLEXITY).
        let done =
            unsafe { ffi::opus_decoder_ctl(state.as_ptr(), ffi::OPUS_SET_COMPLEXITY_REQUEST, COMPLEXITY) };
        if done == ffi::OPUS_OK { Ok(decoder) } else { Err(failure(done)) }
    }

    /// Decodes a packet into `out`, and gives how many samples it held.
    ///
    /// # Errors
    /// When it is no Opus packet; `out` is silence then.
    pub fn decode(&mut self, packet: &[u8], out: &mut [f32; MAX_FRAME_SAMPLES]) -> Result<usize, CodecError> {
        // An empty packet would mean concealment to libopus.
        if packet.is_empty() {
            out.fill(0.0);
            return Err(CodecError::BadPacket);
        }
        self.run(packet, out)
    }

    /// Makes up 10 ms in place of a packet that did not come.
    ///
    /// # Errors
    /// Never after a packet was decoded.
    pub fn conceal(&mut self, out: &mut [f32; TICK_SAMPLES]) -> Result<(), CodecError> {
        self.run(&[], out).map(|_| ())
    }

    #[expect(unsafe_code, reason = "libopus is C")]
    fn run(&mut self, packet: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        let data = if packet.is_empty() { std::ptr::null() } else { packet.as_ptr() };
        let length = c_int::try_from(packet.len()).map_err(|_| CodecError::BadPacket)?;
        let room = c_int::try_from(out.len()).unwrap_or(c_int::MAX);
        // SAFETY: the state is alive; `data` has `length` bytes or is null for concealment; `out` has `room` samples.
        let n =
            unsafe { ffi::opus_decode_float(self.state.as_ptr(), data, length, out.as_mut_ptr(), room, 0) };
        let Ok(n) = usize::try_from(n) else {
            out.fill(0.0);
            return Err(failure(n));
        };
        out.iter_mut().filter(|s| !s.is_finite()).for_each(|s| *s = 0.0);
        Ok(n.min(out.len()))
    }
}

impl Drop for OpusDecoder {
    #[expect(unsafe_code, reason = "libopus is C")]
    fn drop(&mut self) {
        // SAFETY: made by opus_decoder_create, and destroyed once.
        unsafe { ffi::opus_decoder_destroy(self.state.as_ptr()) }
    }
}

impl std::fmt::Debug for OpusDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpusDecoder")
    }
}

fn failure(code: c_int) -> CodecError {
    if code == ffi::OPUS_INVALID_PACKET {
        CodecError::BadPacket
    } else {
        CodecError::Opus(format!("error {code}"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::audio::{FrameLength, MAX_PACKET, OpusEncoder, rms};
    use crate::synthetic::Speech;

    /// The best normalised correlation of `a` with `b` shifted by up to 20 ms.
    fn likeness(a: &[f32], b: &[f32]) -> f32 {
        (0..960)
            .map(|shift| {
                let (x, y) = (&a[..a.len() - 960], &b[shift..shift + a.len() - 960]);
                let dot: f32 = x.iter().zip(y).map(|(x, y)| x * y).sum();
                dot / (rms(x) * rms(y) * x.len() as f32)
            })
            .fold(0.0, f32::max)
    }

    /// Two seconds of speech through the codec, frames of `length`, those that `lose` names concealed.
    fn through(length: FrameLength, lose: impl Fn(usize) -> bool) -> (Vec<f32>, Vec<f32>) {
        let (mut encoder, mut decoder) = (OpusEncoder::new().unwrap(), OpusDecoder::new().unwrap());
        let mut speech = Speech::new(3);
        let said: Vec<f32> = (0..96_000).map(|_| speech.sample()).collect();
        let mut heard = Vec::new();
        for (n, frame) in said.chunks(length.samples()).enumerate() {
            let mut packet = [0; MAX_PACKET];
            let bytes = encoder.encode(frame, &mut packet).unwrap();
            let mut out = [0.0; MAX_FRAME_SAMPLES];
            let mut gap = [0.0; TICK_SAMPLES];
            if bytes > 0 && !lose(n) {
                let samples = decoder.decode(&packet[..bytes], &mut out).unwrap();
                assert_eq!(samples, frame.len());
                heard.extend_from_slice(&out[..samples]);
            } else {
                for _ in 0..frame.len() / TICK_SAMPLES {
                    decoder.conceal(&mut gap).unwrap();
                    heard.extend(gap);
                }
            }
        }
        (said, heard)
    }

    #[test]
    fn speech_comes_out_as_it_went_in_at_both_lengths() {
        for length in [FrameLength::Short, FrameLength::Long] {
            let (said, heard) = through(length, |_| false);
            let likeness = likeness(&said, &heard);
            assert!(likeness > 0.9, "{length:?}: {likeness}");
        }
    }

    #[test]
    fn concealment_sounds_like_what_it_replaces() {
        let (said, heard) = through(FrameLength::Short, |n| n % 10 == 7);
        let likeness = likeness(&said, &heard);
        assert!(likeness > 0.85, "{likeness}");
        // No hole where speech was: the made-up blocks are about as loud as their neighbours.
        let level = |n: usize| rms(&heard[n * 480..(n + 1) * 480]);
        let holes: Vec<f32> = (17..190)
            .filter(|n| n % 10 == 7 && level(n - 1) > 0.03 && level(n + 1) > 0.03)
            .map(|n| level(n) / level(n - 1))
            .collect();
        let mean = holes.iter().sum::<f32>() / holes.len() as f32;
        assert!(holes.len() > 3 && mean > 0.5, "{mean}: {holes:?}");
    }

    #[test]
    fn garbage_is_an_error_and_silence_never_a_panic() {
        let mut decoder = OpusDecoder::new().unwrap();
        let mut out = [1.0; MAX_FRAME_SAMPLES];
        let mut state = 5u32;
        for length in 0..400usize {
            let packet: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            let _ = decoder.decode(&packet, &mut out);
            assert!(out.iter().all(|s| s.is_finite()));
        }
    }

    #[test]
    fn silence_costs_almost_no_packets() {
        let mut encoder = OpusEncoder::new().unwrap();
        let mut out = [0; MAX_PACKET];
        let sent = (0..400).filter(|_| encoder.encode(&[0.0; 480], &mut out).unwrap() > 0).count();
        assert!((1..80).contains(&sent), "{sent} of 400");
    }
}
