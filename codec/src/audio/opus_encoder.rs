//! Opus encoding of one voice (RFC 6716), 10 or 20 ms a packet, with changes in flight.

use ahoy_base::{Bitrate, OpusPacket, SAMPLE_RATE};

use crate::CodecError;

/// Longest packet.
pub const MAX_PACKET: usize = OpusPacket::MAX;
/// The range that a voice needs and hears.
const RATES: std::ops::RangeInclusive<u64> = 16_000..=64_000;
/// libopus's effort, 0 to 10: 9 at 48 kbit/s measured 0.1 of PESQ better than 7 at 40, for 0.15 % of a core.
const COMPLEXITY: i32 = 9;

/// How much sound a packet holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameLength {
    /// 10 ms: heard 10 ms sooner, for twice the packets.
    Short,
    /// 20 ms: where the path is narrow.
    Long,
}

impl FrameLength {
    /// Samples of mono 48 kHz.
    pub const fn samples(self) -> usize {
        match self {
            FrameLength::Short => 480,
            FrameLength::Long => 960,
        }
    }
}

/// Encodes mono 48 kHz.
pub struct OpusEncoder {
    inner: opus::Encoder,
    bitrate: Bitrate,
    pauses: bool,
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
        // Lost packets are sent again by us, better than by half copies inside Opus.
        inner.set_inband_fec(false)?;
        let mut encoder = OpusEncoder { inner, bitrate: Bitrate::kbps(32), pauses: true };
        encoder.set_bitrate(Bitrate::kbps(32))?;
        Ok(encoder)
    }

    /// One for files: 48 kbit/s, and a packet for every frame, silent ones too.
    ///
    /// # Errors
    /// As [`OpusEncoder::new`].
    pub fn gapless() -> Result<OpusEncoder, CodecError> {
        let mut encoder = OpusEncoder::new()?;
        encoder.inner.set_dtx(false)?;
        encoder.pauses = false;
        encoder.set_bitrate(Bitrate::kbps(48))?;
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

    /// Samples by which the decoded sound is later than what went in, beyond the frame itself.
    pub fn lookahead(&mut self) -> usize {
        self.inner.get_lookahead().ok().and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
    }

    /// Encodes the samples of one [`FrameLength`] into `out`; the packet's length. 0 when nothing needs to be sent (silence goes on).
    ///
    /// # Errors
    /// When the frame has another length.
    pub fn encode(&mut self, frame: &[f32], out: &mut [u8; MAX_PACKET]) -> Result<usize, CodecError> {
        let n = self.inner.encode_float(frame, out)?;
        // libopus: a packet of up to 2 bytes need not be sent (opus_encoder documentation, OPUS_SET_DTX).
        Ok(if self.pauses && n <= 2 { 0 } else { n })
    }
}

impl std::fmt::Debug for OpusEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpusEncoder").field("bitrate", &self.bitrate).finish_non_exhaustive()
    }
}
