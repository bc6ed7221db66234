//! Encoded media as it passes between rooms.

use std::time::Duration;

/// Samples a second inside Ahoy; devices of another rate are resampled at the edge.
pub const SAMPLE_RATE: u32 = 48_000;
/// Samples in one tick of the sound threads, 10 ms mono.
pub const TICK_SAMPLES: usize = 480;
/// One tick.
pub const TICK: Duration = Duration::from_millis(10);

/// How loud a speech frame is, as it travels beside the sealed frame: 0 (silence) to 15 (full scale), 4 dB a step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct VoiceLevel(u8);

impl VoiceLevel {
    /// From 0 to 15; larger numbers are cut to 15.
    pub const fn new(step: u8) -> VoiceLevel {
        VoiceLevel(if step > 15 { 15 } else { step })
    }

    /// The step of a level in decibels: -60 dBFS and below is 0, full scale is 15.
    pub fn from_decibel(level: crate::Decibel) -> VoiceLevel {
        // Casts from float saturate.
        VoiceLevel::new(((level.as_f32() + 60.0) / 4.0).clamp(0.0, 15.0) as u8)
    }

    /// The step, 0 to 15.
    pub const fn step(self) -> u8 {
        self.0
    }
}

/// One Opus packet with what its receiver needs to place it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EncodedAudio {
    /// Counts sent frames from 0. A gap is loss; a pause of the sender (DTX) shows in `media_time` alone.
    pub seq: u64,
    /// When its first sample was captured, on the sender's media clock: one for its voice and its pictures.
    pub media_time: Duration,
    /// How much sound it is: 10 or 20 ms from this program, up to 120 ms from others (RFC 6716, 3.2).
    pub duration: Duration,
    /// Loudness of the frame.
    pub level: VoiceLevel,
    /// What the encoder gave.
    pub opus: OpusPacket,
}

/// An Opus packet (RFC 6716), held in place: the sound threads make and drop one each 10 ms, and must not allocate.
#[derive(Clone)]
pub struct OpusPacket {
    length: u16,
    bytes: [u8; OpusPacket::MAX],
}

impl OpusPacket {
    /// Longest packet that is sent (RFC 6716, 3.2.1: 1275 bytes a frame).
    pub const MAX: usize = 1_275;

    /// A packet of these bytes; `None` if they are more than [`OpusPacket::MAX`].
    pub fn new(packet: &[u8]) -> Option<OpusPacket> {
        let mut bytes = [0; OpusPacket::MAX];
        bytes.get_mut(..packet.len())?.copy_from_slice(packet);
        Some(OpusPacket { length: u16::try_from(packet.len()).ok()?, bytes })
    }
}

impl std::ops::Deref for OpusPacket {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl PartialEq for OpusPacket {
    fn eq(&self, other: &OpusPacket) -> bool {
        **self == **other
    }
}

impl Eq for OpusPacket {}

impl std::fmt::Debug for OpusPacket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opus of {} bytes", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decibel;

    #[test]
    fn a_packet_holds_what_opus_makes_and_no_more() {
        let packet = OpusPacket::new(&[7; OpusPacket::MAX]);
        assert!(packet.is_some_and(|packet| *packet == [7; OpusPacket::MAX]));
        assert_eq!(OpusPacket::new(b"ab").as_deref(), Some(&b"ab"[..]));
        assert_ne!(OpusPacket::new(b"ab"), OpusPacket::new(b"a"));
        assert_eq!(OpusPacket::new(&[0; OpusPacket::MAX + 1]), None);
    }

    #[test]
    fn voice_level_covers_the_range_of_speech() {
        assert_eq!(VoiceLevel::from_decibel(Decibel::SILENCE), VoiceLevel::new(0));
        assert_eq!(VoiceLevel::from_decibel(Decibel::tenths(0)), VoiceLevel::new(15));
        assert_eq!(VoiceLevel::from_decibel(Decibel::tenths(-200)), VoiceLevel::new(10));
    }
}
