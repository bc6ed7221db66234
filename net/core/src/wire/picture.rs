//! The layout of pictures (docs/PROTOCOL.md, "Pictures"): pieces of a sealed frame and their parity, what is inside the
//! seal, and what a receiver asks for. All numbers little endian.

use ahoy_base::{EncodedVideo, VideoCodec, VideoSize, VideoTrack};

use super::datagram::DatagramError;

/// Bytes of a datagram before the bytes of a piece.
pub const PIECE_HEADER: usize = 14;
/// The same for parity.
pub const PARITY_HEADER: usize = PIECE_HEADER + 5;
/// Bytes of a piece at most: such a datagram passes where the MTU is 1280 and a relay puts something before it.
pub const MAX_PIECE: usize = 1_120;
/// Largest sealed frame: what 255 pieces hold.
pub const MAX_SEALED: usize = 255 * MAX_PIECE;
/// Bytes inside the seal before the frame.
const INSIDE: usize = 7;
/// Frames an [`Ask`] names at most; more than that is a case for a new key frame.
pub const MAX_ASKED: usize = 24;

/// What stands in the clear with every piece of a frame, the same in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureHeader {
    /// Who sends: 0 the initiator of the session, 1 its responder.
    pub slot: u8,
    /// Which picture.
    pub track: VideoTrack,
    /// Low bits of the frame's number.
    pub frame: u16,
    /// Pieces of the sealed frame, 1 to 255.
    pub pieces: u8,
    /// When the frame was captured, in units of 16 µs of the sender's media clock.
    pub media_ticks: u32,
    /// It can be decoded without any other.
    pub key: bool,
    /// No later frame needs it.
    pub discardable: bool,
}

/// One datagram's share of a sealed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Of the frame.
    pub header: PictureHeader,
    /// Which piece, or which parity.
    pub index: u8,
    /// For parity: how many there are, and bytes of the sealed frame.
    pub parity: Option<(u8, u32)>,
    /// All pieces of a frame but the last are equally long, of even length; parity is as long as they are.
    pub bytes: &'a [u8],
}

/// What a receiver of a track wants of its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Of which track.
    pub track: VideoTrack,
    /// A key frame: nothing it has is of use.
    pub key: bool,
    /// To go on from [`Ask::kept`].
    pub go_on: bool,
    /// The newest kept frame that it has decoded, low bits.
    pub kept: Option<u16>,
    /// Frames that lack pieces.
    pub missing: Vec<Missing>,
}

/// Pieces of a frame that did not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Low bits of its number.
    pub frame: u16,
    /// Bit n of byte n / 8: piece n is missing. Empty: nothing came of the frame.
    pub pieces: Vec<u8>,
}

/// The track's number on the wire; 0 is the voice.
pub const fn track_number(track: VideoTrack) -> u8 {
    match track {
        VideoTrack::Camera => 1,
        VideoTrack::Screen => 2,
    }
}

/// The track of a number.
pub const fn track_of(number: u8) -> Option<VideoTrack> {
    match number {
        1 => Some(VideoTrack::Camera),
        2 => Some(VideoTrack::Screen),
        _ => None,
    }
}

impl PictureHeader {
    /// What is authenticated with the frame: all of it.
    pub const fn authenticated(&self) -> [u8; 10] {
        let [f0, f1] = self.frame.to_le_bytes();
        let [m0, m1, m2, m3] = self.media_ticks.to_le_bytes();
        let track = track_number(self.track) << 4;
        [self.slot, track, f0, f1, self.pieces, m0, m1, m2, m3, self.flags()]
    }

    const fn flags(&self) -> u8 {
        self.key as u8 | (self.discardable as u8) << 1
    }
}

impl<'a> Piece<'a> {
    pub(super) fn parse(rest: &'a [u8]) -> Result<Piece<'a>, DatagramError> {
        let (fixed, bytes) = rest.split_first_chunk::<11>().ok_or(DatagramError::Short)?;
        let (header, index) = read_header(*fixed)?;
        if index >= header.pieces || bytes.is_empty() || bytes.len() > MAX_PIECE {
            return Err(DatagramError::Broken);
        }
        Ok(Piece { header, index, parity: None, bytes })
    }

    pub(super) fn parse_parity(rest: &'a [u8]) -> Result<Piece<'a>, DatagramError> {
        let (fixed, rest) = rest.split_first_chunk::<11>().ok_or(DatagramError::Short)?;
        let ([many, l0, l1, l2, l3], bytes) = rest.split_first_chunk::<5>().ok_or(DatagramError::Short)?;
        let (header, index) = read_header(*fixed)?;
        let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]);
        let fits = cut(length as usize, bytes.len()) == usize::from(header.pieces) && header.pieces > 0;
        if index >= *many || bytes.len() > MAX_PIECE || bytes.len() % 2 != 0 || !fits {
            return Err(DatagramError::Broken);
        }
        Ok(Piece { header, index, parity: Some((*many, length)), bytes })
    }

    pub(super) fn encode(&self, head: [u8; 3]) -> Vec<u8> {
        let [slot, track, f0, f1, pieces, m0, m1, m2, m3, flags] = self.header.authenticated();
        let mut out = Vec::with_capacity(PARITY_HEADER + self.bytes.len());
        out.extend(head);
        out.extend([slot, track, f0, f1, self.index, pieces, m0, m1, m2, m3, flags]);
        if let Some((many, length)) = self.parity {
            out.push(many);
            out.extend(length.to_le_bytes());
        }
        out.extend_from_slice(self.bytes);
        out
    }
}

/// The header, and which piece or parity it stands before.
fn read_header(fixed: [u8; 11]) -> Result<(PictureHeader, u8), DatagramError> {
    let [slot, track, f0, f1, index, pieces, m0, m1, m2, m3, flags] = fixed;
    // Layers and frame kinds of a later version; what is not understood is not authenticated either.
    let known = track_of(track >> 4).filter(|_| track & 15 == 0 && flags & !3 == 0);
    let header = PictureHeader {
        slot,
        track: known.ok_or(DatagramError::Unknown)?,
        frame: u16::from_le_bytes([f0, f1]),
        pieces,
        media_ticks: u32::from_le_bytes([m0, m1, m2, m3]),
        key: flags & 1 != 0,
        discardable: flags & 2 != 0,
    };
    Ok((header, index))
}

/// How many pieces of `piece` bytes hold `length` bytes.
pub const fn cut(length: usize, piece: usize) -> usize {
    if piece == 0 { usize::MAX } else { length.div_ceil(piece) }
}

impl Ask {
    /// Nothing yet, of `track`.
    pub const fn of(track: VideoTrack) -> Ask {
        Ask { track, key: false, go_on: false, kept: None, missing: Vec::new() }
    }

    pub(super) fn parse(rest: &[u8]) -> Result<Ask, DatagramError> {
        let ([first, k0, k1, n], mut rest) = rest.split_first_chunk::<4>().ok_or(DatagramError::Short)?;
        let track = track_of(first >> 4).ok_or(DatagramError::Unknown)?;
        let kept = (first & 4 != 0).then(|| u16::from_le_bytes([*k0, *k1]));
        if usize::from(*n) > MAX_ASKED || first & 8 != 0 {
            return Err(DatagramError::Broken);
        }
        let mut missing = Vec::new();
        for _ in 0..*n {
            let ([f0, f1, length], more) = rest.split_first_chunk::<3>().ok_or(DatagramError::Short)?;
            let (pieces, more) = more.split_at_checked(usize::from(*length)).ok_or(DatagramError::Short)?;
            if pieces.len() > 32 {
                return Err(DatagramError::Broken);
            }
            missing.push(Missing { frame: u16::from_le_bytes([*f0, *f1]), pieces: pieces.to_vec() });
            rest = more;
        }
        Ok(Ask { track, key: first & 1 != 0, go_on: first & 2 != 0, kept, missing })
    }

    pub(super) fn encode(&self, head: [u8; 3]) -> Vec<u8> {
        let bits = u8::from(self.key) | u8::from(self.go_on) << 1 | u8::from(self.kept.is_some()) << 2;
        let mut out = head.to_vec();
        out.push(track_number(self.track) << 4 | bits);
        out.extend(self.kept.unwrap_or_default().to_le_bytes());
        let missing = self.missing.iter().take(MAX_ASKED);
        out.push(missing.len() as u8);
        for one in missing {
            out.extend(one.frame.to_le_bytes());
            let pieces = one.pieces.get(..32).unwrap_or(&one.pieces);
            out.push(pieces.len() as u8);
            out.extend_from_slice(pieces);
        }
        out
    }
}

/// What is sealed: how the frame is to be decoded, then its bytes. `needs_back`: how many frames back the newest one is that
/// it needs, 0 for none.
pub fn pack(frame: &EncodedVideo, needs_back: u16) -> Vec<u8> {
    let codec = match frame.codec {
        VideoCodec::Vp8 => 0u8,
        VideoCodec::Vp9 => 1,
    };
    let mut out = Vec::with_capacity(INSIDE + frame.data.len());
    out.push(codec << 4 | u8::from(frame.kept));
    out.extend(frame.size.width.to_le_bytes());
    out.extend(frame.size.height.to_le_bytes());
    out.extend(needs_back.to_le_bytes());
    out.extend_from_slice(&frame.data);
    out
}

/// What [`pack`] packed.
#[derive(Debug, PartialEq, Eq)]
pub struct Unpacked<'a> {
    /// How it is encoded.
    pub codec: VideoCodec,
    /// Its pixels.
    pub size: VideoSize,
    /// How many frames back the newest one is that it needs, 0 for none.
    pub needs_back: u16,
    /// The encoder keeps it.
    pub kept: bool,
    /// The frame.
    pub data: &'a [u8],
}

/// Takes the content of a seal apart. `None` if the bytes are no such thing, or of a later version.
pub fn unpack(content: &[u8]) -> Option<Unpacked<'_>> {
    let ([first, w0, w1, h0, h1, n0, n1], data) = content.split_first_chunk::<INSIDE>()?;
    let codec = match first >> 4 {
        0 => VideoCodec::Vp8,
        1 => VideoCodec::Vp9,
        _ => return None,
    };
    let size = VideoSize { width: u16::from_le_bytes([*w0, *w1]), height: u16::from_le_bytes([*h0, *h1]) };
    let needs_back = u16::from_le_bytes([*n0, *n1]);
    let fits = first & 14 == 0 && size.width > 0 && size.height > 0 && !data.is_empty();
    fits.then_some(Unpacked { codec, size, needs_back, kept: first & 1 != 0, data })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::wire::datagram::Datagram;
    use std::time::Duration;

    const HEADER: PictureHeader = PictureHeader {
        slot: 1,
        track: VideoTrack::Screen,
        frame: 0x0403,
        pieces: 3,
        media_ticks: 0x0807_0605,
        key: true,
        discardable: false,
    };

    #[test]
    fn the_bytes_on_the_wire_are_these() {
        let piece = Piece { header: HEADER, index: 2, parity: None, bytes: &[0xaa] };
        let piece = Datagram::Piece { link_seq: 0x0201, piece };
        let bytes = piece.encode();
        assert_eq!(bytes, [0x00, 1, 2, 1, 0x20, 3, 4, 2, 3, 5, 6, 7, 8, 1, 0xaa]);
        assert_eq!(Datagram::parse(&bytes), Ok(piece));
        let parity = Piece { header: HEADER, index: 1, parity: Some((2, 5)), bytes: &[7, 8] };
        let parity = Datagram::Piece { link_seq: 1, piece: parity };
        let bytes = parity.encode();
        assert_eq!(bytes, [0x10, 1, 0, 1, 0x20, 3, 4, 1, 3, 5, 6, 7, 8, 1, 2, 5, 0, 0, 0, 7, 8]);
        assert_eq!(Datagram::parse(&bytes), Ok(parity));
        let ask = Ask {
            track: VideoTrack::Camera,
            key: false,
            go_on: true,
            kept: Some(0x0605),
            missing: vec![Missing { frame: 9, pieces: vec![] }, Missing { frame: 10, pieces: vec![0x81] }],
        };
        let ask = Datagram::Ask { link_seq: 3, ask };
        let bytes = ask.encode();
        assert_eq!(bytes, [0x50, 3, 0, 0x16, 5, 6, 2, 9, 0, 0, 10, 0, 1, 0x81]);
        assert_eq!(Datagram::parse(&bytes), Ok(ask));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let good = Datagram::Piece {
            link_seq: 1,
            piece: Piece { header: HEADER, index: 1, parity: Some((2, 5)), bytes: &[7, 8] },
        }
        .encode();
        for (at, value) in [(7, 2), (8, 2), (8, 0), (14, 1), (15, 7), (15, 0), (18, 1)] {
            let mut bad = good.clone();
            *bad.get_mut(at).unwrap() = value;
            assert_eq!(Datagram::parse(&bad), Err(DatagramError::Broken), "{at} {value}");
        }
        let piece = Piece { header: HEADER, index: 3, parity: None, bytes: &[1] };
        let bad = Datagram::Piece { link_seq: 1, piece }.encode();
        assert_eq!(Datagram::parse(&bad), Err(DatagramError::Broken));
        let piece = Piece { header: HEADER, index: 0, parity: None, bytes: &[] };
        let bad = Datagram::Piece { link_seq: 1, piece }.encode();
        assert_eq!(Datagram::parse(&bad), Err(DatagramError::Broken));
        let many =
            Ask { missing: vec![Missing { frame: 0, pieces: vec![] }; 99], ..Ask::of(VideoTrack::Camera) };
        let sent = Datagram::Ask { link_seq: 1, ask: many }.encode();
        assert!(
            matches!(Datagram::parse(&sent), Ok(Datagram::Ask { ask, .. }) if ask.missing.len() == MAX_ASKED)
        );
        for end in 0..sent.len() {
            let cut = Datagram::parse(sent.get(..end).unwrap());
            assert!(cut.is_err(), "{end}");
        }
    }

    #[test]
    fn what_is_sealed_comes_apart_again() {
        let frame = EncodedVideo {
            seq: 7,
            media_time: Duration::ZERO,
            codec: VideoCodec::Vp9,
            size: VideoSize { width: 1_280, height: 720 },
            needs: Some(5),
            kept: true,
            discardable: false,
            data: vec![1, 2],
        };
        let packed = pack(&frame, 2);
        assert_eq!(packed, [0x11, 0, 5, 0xd0, 2, 2, 0, 1, 2]);
        let Unpacked { codec, size, needs_back, kept, data } = unpack(&packed).unwrap();
        assert_eq!((codec, size, needs_back, kept), (frame.codec, frame.size, 2, true));
        assert_eq!(data, frame.data);
        for bad in [&packed[..7], &[0x21, 0, 5, 0xd0, 2, 2, 0, 1], &[0x13, 0, 5, 0xd0, 2, 2, 0, 1], &[0; 9]] {
            assert_eq!(unpack(bad), None, "{bad:?}");
        }
    }
}
