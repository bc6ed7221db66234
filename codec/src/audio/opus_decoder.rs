//! Opus decoding (RFC 6716) with concealment of what is missing.

use ahoy_base::{FRAME_SAMPLES, SAMPLE_RATE};

use crate::CodecError;

/// Decodes one voice to mono 48 kHz, 960 samples a packet.
pub struct OpusDecoder {
    inner: opus::Decoder,
}

impl OpusDecoder {
    /// A decoder that has heard nothing.
    ///
    /// # Errors
    /// When libopus can't be set up: out of memory.
    pub fn new() -> Result<OpusDecoder, CodecError> {
        Ok(OpusDecoder { inner: opus::Decoder::new(SAMPLE_RATE, opus::Channels::Mono)? })
    }

    /// Decodes a packet of 20 ms into `out`.
    ///
    /// # Errors
    /// When it is no Opus packet of at most 20 ms; `out` is silence then.
    pub fn decode(&mut self, packet: &[u8], out: &mut [f32; FRAME_SAMPLES]) -> Result<(), CodecError> {
        self.run(packet, out, false)
    }

    /// Decodes from `next`, the packet after a lost one, the copy of the lost one that it may carry.
    ///
    /// Without a copy libopus conceals.
    ///
    /// # Errors
    /// As [`OpusDecoder::decode`].
    pub fn decode_copy(&mut self, next: &[u8], out: &mut [f32; FRAME_SAMPLES]) -> Result<(), CodecError> {
        self.run(next, out, true)
    }

    /// Makes up 20 ms in place of a packet that did not come.
    ///
    /// # Errors
    /// Never after a packet was decoded.
    pub fn conceal(&mut self, out: &mut [f32; FRAME_SAMPLES]) -> Result<(), CodecError> {
        self.run(&[], out, false)
    }

    fn run(&mut self, packet: &[u8], out: &mut [f32; FRAME_SAMPLES], copy: bool) -> Result<(), CodecError> {
        let result = self.inner.decode_float(packet, out, copy);
        match result {
            Ok(n) => {
                // A shorter packet of a strange encoder leaves the rest silent.
                out.iter_mut().skip(n).for_each(|s| *s = 0.0);
                out.iter_mut().filter(|s| !s.is_finite()).for_each(|s| *s = 0.0);
                Ok(())
            }
            Err(error) => {
                out.fill(0.0);
                Err(error.into())
            }
        }
    }
}

impl std::fmt::Debug for OpusDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpusDecoder")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::audio::{MAX_PACKET, OpusEncoder, rms};
    use crate::synthetic::Speech;
    use ahoy_base::Bitrate;

    fn frames(n: usize) -> Vec<[f32; FRAME_SAMPLES]> {
        let mut speech = Speech::new(3);
        (0..n).map(|_| std::array::from_fn(|_| speech.sample())).collect()
    }

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

    fn through(expected_loss: u8, lose: impl Fn(usize) -> bool) -> f32 {
        let (mut encoder, mut decoder) = (OpusEncoder::new().unwrap(), OpusDecoder::new().unwrap());
        encoder.set_expected_loss(expected_loss).unwrap();
        encoder.set_bitrate(Bitrate::kbps(40)).unwrap();
        let input = frames(100);
        let packets: Vec<Vec<u8>> = input
            .iter()
            .map(|frame| {
                let mut out = [0; MAX_PACKET];
                let n = encoder.encode(frame, &mut out).unwrap();
                out[..n].to_vec()
            })
            .collect();
        let mut heard = Vec::new();
        for (n, packet) in packets.iter().enumerate() {
            let mut out = [0.0; FRAME_SAMPLES];
            match (lose(n), packets.get(n + 1).filter(|p| !lose(n + 1) && !p.is_empty())) {
                (false, _) => decoder.decode(packet, &mut out).unwrap(),
                (true, Some(next)) => decoder.decode_copy(next, &mut out).unwrap(),
                (true, None) => decoder.conceal(&mut out).unwrap(),
            }
            heard.extend(out);
        }
        likeness(&input.concat(), &heard)
    }

    #[test]
    fn speech_comes_out_as_it_went_in() {
        let likeness = through(0, |_| false);
        assert!(likeness > 0.9, "{likeness}");
    }

    #[test]
    fn a_copy_in_the_next_packet_saves_lost_ones() {
        let (without, with) = (through(0, |n| n % 5 == 4), through(25, |n| n % 5 == 4));
        assert!(with > without + 0.01, "{with} against {without}");
    }

    #[test]
    fn garbage_is_an_error_and_silence_never_a_panic() {
        let mut decoder = OpusDecoder::new().unwrap();
        let mut out = [1.0; FRAME_SAMPLES];
        let mut state = 5u32;
        for length in 1..400usize {
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
        let sent = (0..200).filter(|_| encoder.encode(&[0.0; FRAME_SAMPLES], &mut out).unwrap() > 0).count();
        assert!((1..40).contains(&sent), "{sent} of 200");
    }
}
