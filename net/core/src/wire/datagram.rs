//! The layout of a media datagram (docs/PROTOCOL.md, "Datagrams"). All numbers little endian.

use std::time::Duration;

use ahoy_base::VoiceLevel;

use super::picture::{Ask, Piece};

/// The track of a device's voice.
pub const VOICE: u8 = 0;
/// Bytes before the sealed frame of a whole voice frame.
pub const VOICE_HEADER: usize = 14;

const TYPE_MEDIA: u8 = 0;
const TYPE_PARITY: u8 = 1;
const TYPE_FEEDBACK: u8 = 2;
const TYPE_PADDING: u8 = 3;
const TYPE_CONTROL: u8 = 4;
const TYPE_ASK: u8 = 5;
/// Bytes of a report before its differences.
const REPORT_BYTES: usize = 17;

/// One datagram, taken apart but not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// A sealed frame, whole.
    Media {
        /// Counts datagrams of a link, wraps.
        link_seq: u16,
        /// What stands in the clear and is authenticated.
        header: MediaHeader,
        /// SFrame ciphertext.
        sealed: &'a [u8],
    },
    /// A piece of a sealed picture, or parity of its pieces.
    Piece {
        /// Counts datagrams of a link, wraps.
        link_seq: u16,
        /// The piece.
        piece: Piece<'a>,
    },
    /// What the receiver of a picture lacks of it.
    Ask {
        /// Counts datagrams of a link, wraps.
        link_seq: u16,
        /// What.
        ask: Ask,
    },
    /// What came over the link this way, for its sender.
    Feedback(Report),
    /// Bytes that only measure the path.
    Padding {
        /// Counts datagrams of a link, wraps.
        link_seq: u16,
        /// How many bytes follow; their content means nothing.
        length: usize,
    },
    /// A sealed control message.
    Control {
        /// Counts datagrams of a link, wraps.
        link_seq: u16,
        /// Nonce and Noise ciphertext.
        sealed: &'a [u8],
    },
}

/// What stands in the clear beside a frame, so that it can be forwarded and timed unopened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaHeader {
    /// Who sends: 0 the initiator of the session, 1 its responder.
    pub slot: u8,
    /// Which of the sender's tracks, 0 to 15.
    pub track: u8,
    /// Low bits of the frame's number; for reassembly.
    pub frame: u16,
    /// When the frame was captured, in units of 16 µs of the sender's media clock; wraps after 19 hours.
    pub media_ticks: u32,
    /// Loudness.
    pub level: VoiceLevel,
}

/// What a receiver tells a sender of the datagrams that came. The idea is that of RFC 8888 and of transport-wide feedback
/// (draft-holmer-rmcat-transport-wide-cc-extensions): all judgement lies with the sender.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Report {
    /// The newest datagram that came, by its number on the link.
    pub newest: u16,
    /// Bit n: the datagram `newest - n` came.
    pub came: u64,
    /// When the newest came on the receiver's clock, in units of 64 µs; wraps after 76 hours.
    pub arrival: u32,
    /// How long the report was held since then, in units of 250 µs; 255 is that or more.
    pub held: u8,
    /// Times between the arrivals of datagrams that came, in order of their numbers, from the newest backwards, in units
    /// of 250 µs (-128 to 127). As many as were not reported before.
    pub differences: Vec<i8>,
}

/// Why a datagram can't be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// It ends too early.
    #[error("a datagram is too short")]
    Short,
    /// A later version's type; to be ignored.
    #[error("a datagram of an unknown type")]
    Unknown,
    /// It says something that can't be.
    #[error("a datagram that contradicts itself")]
    Broken,
}

impl MediaHeader {
    /// The bytes that are authenticated with the frame: all that a forwarder may read but not change.
    pub fn authenticated(&self) -> [u8; 9] {
        let [f0, f1] = self.frame.to_le_bytes();
        let [m0, m1, m2, m3] = self.media_ticks.to_le_bytes();
        [self.slot, self.track << 4, f0, f1, m0, m1, m2, m3, self.level.step() << 4]
    }
}

/// A duration of media time as the wire counts it.
pub fn to_ticks(time: Duration) -> u32 {
    // Wraps by design.
    (time.as_micros() / 16) as u32
}

/// The duration nearest to `near` that has these ticks.
pub fn from_ticks(ticks: u32, near: Duration) -> Duration {
    let near_ticks = u64::try_from(near.as_micros() / 16).unwrap_or(u64::MAX);
    let ahead = i64::from(ticks.wrapping_sub(near_ticks as u32) as i32);
    Duration::from_micros(near_ticks.saturating_add_signed(ahead).saturating_mul(16))
}

impl<'a> Datagram<'a> {
    /// Takes a datagram apart.
    ///
    /// # Errors
    /// When it is too short or not of a known type. Nothing is verified yet.
    pub fn parse(bytes: &'a [u8]) -> Result<Datagram<'a>, DatagramError> {
        let ([kind, s0, s1], rest) = bytes.split_first_chunk::<3>().ok_or(DatagramError::Short)?;
        let link_seq = u16::from_le_bytes([*s0, *s1]);
        match kind >> 4 {
            TYPE_MEDIA if rest.get(1).is_some_and(|track| track >> 4 != VOICE) => {
                Ok(Datagram::Piece { link_seq, piece: Piece::parse(rest)? })
            }
            TYPE_PARITY => Ok(Datagram::Piece { link_seq, piece: Piece::parse_parity(rest)? }),
            TYPE_ASK => Ok(Datagram::Ask { link_seq, ask: Ask::parse(rest)? }),
            TYPE_MEDIA => {
                let (fixed, sealed) = rest.split_first_chunk::<11>().ok_or(DatagramError::Short)?;
                let [slot, track, f0, f1, piece, pieces, m0, m1, m2, m3, flags] = *fixed;
                if (piece, pieces) != (0, 1) {
                    return Err(DatagramError::Broken);
                }
                if track & 15 != 0 || flags & 15 != 0 {
                    // Layers and frame kinds of a later version; what is not understood is not authenticated either.
                    return Err(DatagramError::Unknown);
                }
                let header = MediaHeader {
                    slot,
                    track: track >> 4,
                    frame: u16::from_le_bytes([f0, f1]),
                    media_ticks: u32::from_le_bytes([m0, m1, m2, m3]),
                    level: VoiceLevel::new(flags >> 4),
                };
                Ok(Datagram::Media { link_seq, header, sealed })
            }
            TYPE_CONTROL => Ok(Datagram::Control { link_seq, sealed: rest }),
            TYPE_PADDING => Ok(Datagram::Padding { link_seq, length: rest.len() }),
            TYPE_FEEDBACK => Report::parse(link_seq, rest).map(Datagram::Feedback),
            _ => Err(DatagramError::Unknown),
        }
    }

    /// The datagram as bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Datagram::Media { link_seq, header, sealed } => {
                let [slot, track, f0, f1, m0, m1, m2, m3, level] = header.authenticated();
                let [s0, s1] = link_seq.to_le_bytes();
                let mut out = Vec::with_capacity(14 + sealed.len());
                out.extend([TYPE_MEDIA << 4, s0, s1, slot, track, f0, f1, 0, 1, m0, m1, m2, m3, level]);
                out.extend_from_slice(sealed);
                out
            }
            Datagram::Piece { link_seq, piece } => {
                let kind = if piece.parity.is_some() { TYPE_PARITY } else { TYPE_MEDIA };
                piece.encode(head(kind, *link_seq))
            }
            Datagram::Ask { link_seq, ask } => ask.encode(head(TYPE_ASK, *link_seq)),
            Datagram::Feedback(report) => report.encode(),
            Datagram::Padding { link_seq, length } => {
                let [s0, s1] = link_seq.to_le_bytes();
                let mut out = vec![0; 3 + length];
                out.splice(..3, [TYPE_PADDING << 4, s0, s1]);
                out
            }
            Datagram::Control { link_seq, sealed } => {
                let [s0, s1] = link_seq.to_le_bytes();
                let mut out = Vec::with_capacity(3 + sealed.len());
                out.extend([TYPE_CONTROL << 4, s0, s1]);
                out.extend_from_slice(sealed);
                out
            }
        }
    }
}

impl Datagram<'_> {
    /// The number of the datagram on its link; reports have none.
    pub const fn link_seq(&self) -> Option<u16> {
        match self {
            Datagram::Media { link_seq, .. }
            | Datagram::Control { link_seq, .. }
            | Datagram::Piece { link_seq, .. }
            | Datagram::Ask { link_seq, .. }
            | Datagram::Padding { link_seq, .. } => Some(*link_seq),
            Datagram::Feedback(_) => None,
        }
    }
}

/// The first three bytes of a datagram.
const fn head(kind: u8, link_seq: u16) -> [u8; 3] {
    let [s0, s1] = link_seq.to_le_bytes();
    [kind << 4, s0, s1]
}

impl Report {
    fn parse(newest: u16, rest: &[u8]) -> Result<Report, DatagramError> {
        let (fixed, rest) = rest.split_first_chunk::<{ REPORT_BYTES - 3 }>().ok_or(DatagramError::Short)?;
        let [c0, c1, c2, c3, c4, c5, c6, c7, a0, a1, a2, a3, held, n] = *fixed;
        let differences = rest.get(..usize::from(n)).ok_or(DatagramError::Short)?;
        Ok(Report {
            newest,
            came: u64::from_le_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
            arrival: u32::from_le_bytes([a0, a1, a2, a3]),
            held,
            differences: differences.iter().map(|d| d.cast_signed()).collect(),
        })
    }

    fn encode(&self) -> Vec<u8> {
        let differences = self.differences.iter().take(usize::from(u8::MAX));
        let [s0, s1] = self.newest.to_le_bytes();
        let mut out = Vec::with_capacity(REPORT_BYTES + self.differences.len());
        out.extend([TYPE_FEEDBACK << 4, s0, s1]);
        out.extend(self.came.to_le_bytes());
        out.extend(self.arrival.to_le_bytes());
        out.extend([self.held, differences.len() as u8]);
        out.extend(differences.map(|d| d.cast_unsigned()));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> MediaHeader {
        MediaHeader { slot: 1, track: 0, frame: 0x0403, media_ticks: 0x0807_0605, level: VoiceLevel::new(9) }
    }

    #[test]
    fn the_bytes_on_the_wire_are_these() {
        let media = Datagram::Media { link_seq: 0x0201, header: header(), sealed: &[0xaa, 0xbb] };
        let bytes = media.encode();
        assert_eq!(bytes, [0x00, 1, 2, 1, 0x00, 3, 4, 0, 1, 5, 6, 7, 8, 0x90, 0xaa, 0xbb]);
        assert_eq!(Datagram::parse(&bytes), Ok(media));
        let control = Datagram::Control { link_seq: 7, sealed: &[1] };
        assert_eq!(control.encode(), [0x40, 7, 0, 1]);
        assert_eq!(Datagram::parse(&control.encode()), Ok(control));
        let padding = Datagram::Padding { link_seq: 7, length: 2 };
        assert_eq!(padding.encode(), [0x30, 7, 0, 0, 0]);
        assert_eq!(Datagram::parse(&padding.encode()), Ok(padding));
        let report = Report {
            newest: 0x0201,
            came: 0x8000_0000_0000_0005,
            arrival: 0x0605_0403,
            held: 7,
            differences: vec![1, -1],
        };
        let bytes = [0x20, 1, 2, 5, 0, 0, 0, 0, 0, 0, 0x80, 3, 4, 5, 6, 7, 2, 1, 0xff];
        let feedback = Datagram::Feedback(report);
        assert_eq!(feedback.encode(), bytes);
        assert_eq!(Datagram::parse(&bytes), Ok(feedback));
        assert_eq!(Datagram::parse(&bytes[..18]), Err(DatagramError::Short));
    }

    #[test]
    fn short_unknown_and_cut_datagrams_are_told_apart() {
        assert_eq!(Datagram::parse(&[]), Err(DatagramError::Short));
        assert_eq!(Datagram::parse(&[0, 0, 0, 1]), Err(DatagramError::Short));
        assert_eq!(Datagram::parse(&[0x70, 0, 0]), Err(DatagramError::Unknown));
        let mut bytes = Datagram::Media { link_seq: 1, header: header(), sealed: &[] }.encode();
        bytes[8] = 2;
        assert_eq!(Datagram::parse(&bytes), Err(DatagramError::Broken));
    }

    #[test]
    fn media_time_survives_its_wrap() {
        for us in [0u64, 16, 1_600_000, 68_719_476_720, 68_719_476_736, 200_000_000_000] {
            let time = Duration::from_micros(us);
            for off in [-50_000_000i64, -16, 0, 16, 50_000_000] {
                let near = Duration::from_micros(us.saturating_add_signed(off));
                assert_eq!(from_ticks(to_ticks(time), near), time, "{us} seen from {near:?}");
            }
        }
    }
}
