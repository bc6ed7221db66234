//! Opus encoding of one voice (RFC 6716), 20 ms a packet, with changes in flight.

use ahoy_base::{Bitrate, FRAME_SAMPLES, SAMPLE_RATE};

use crate::CodecError;

/// Longest packet (RFC 6716, 3.2.1: 1275 bytes a frame).
pub const MAX_PACKET: usize = 1_275;
/// The range that a voice needs and hears.
const RATES: std::ops::RangeInclusive<u64> = 16_000..=64_000;
/// libopus's effort, 0 to 10: 7 costs half of 10 and no listener told them apart in its own tests.
const COMPLEXITY: i32 = 7;

/// Encodes mono 48 kHz in frames of 20 ms.
pub struct OpusEncoder {
    inner: opus::Encoder,
    bitrate: Bitrate,
}

impl OpusEncoder {
    /// An encoder at 32 kbit/s, with discontinuous transmission on.
    ///
    /// # Errors
    /// When libopus can't be set up: out of memory.
    pub fn new() -> Result<OpusEncoder, CodecError> {
        let mut inner = opus::Encoder::new(SAMPLE_RATE, opus::Channels::Mono, opus::Application::Voip)?;
        inner.set_complexity(COMPLEXITY)?;
        inner.set_signal(opus::Signal::Voice)?;
        inner.set_dtx(true)?;
        inner.set_vbr(true)?;
        let mut encoder = OpusEncoder { inner, bitrate: Bitrate::kbps(32) };
        encoder.set_bitrate(Bitrate::kbps(32))?;
        Ok(encoder)
    }

    /// Aims at `bitrate` from the next frame on; cut to 16 to 64 kbit/s.
    ///
    /// # Errors
    /// Never for these rates.
    pub fn set_bitrate(&mut self, bitrate: Bitrate) -> Result<(), CodecError> {
        let bps = bitrate.as_bps().clamp(*RATES.start(), *RATES.end());
        self.inner.set_bitrate(opus::Bitrate::Bits(i32::try_from(bps).unwrap_or(i32::MAX)))?;
        self.bitrate = Bitrate::bps(bps);
        Ok(())
    }

    /// What it aims at.
    pub fn bitrate(&self) -> Bitrate {
        self.bitrate
    }

    /// Prepares for `percent` of packets being lost: at 0 nothing, else each packet carries a copy of the one before.
    ///
    /// # Errors
    /// Never for 0 to 100.
    pub fn set_expected_loss(&mut self, percent: u8) -> Result<(), CodecError> {
        self.inner.set_inband_fec(percent > 0)?;
        self.inner.set_packet_loss_perc(i32::from(percent.min(100)))?;
        Ok(())
    }

    /// Samples by which the decoded sound is later than what went in, beyond the frame itself.
    pub fn lookahead(&mut self) -> usize {
        self.inner.get_lookahead().ok().and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
    }

    /// Encodes 960 samples into `out`; the packet's length. 0 when nothing needs to be sent (silence goes on).
    ///
    /// # Errors
    /// When the frame has another length.
    pub fn encode(
        &mut self,
        frame: &[f32; FRAME_SAMPLES],
        out: &mut [u8; MAX_PACKET],
    ) -> Result<usize, CodecError> {
        let n = self.inner.encode_float(frame, out)?;
        // libopus: a packet of up to 2 bytes need not be sent (opus_encoder documentation, OPUS_SET_DTX).
        Ok(if n <= 2 { 0 } else { n })
    }
}

impl std::fmt::Debug for OpusEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpusEncoder").field("bitrate", &self.bitrate).finish_non_exhaustive()
    }
}
