//! What the first bytes of a VP8 or VP9 frame say, read before libvpx sees them: a stranger's frame must not make it allocate
//! gigabytes.

use ahoy_base::{VideoCodec, VideoSize};

/// What a frame's header says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FrameHeader {
    pub(super) key: bool,
    /// The size, where the frame carries one of its own.
    pub(super) size: Option<VideoSize>,
}

/// Reads the header; `None` when it is none, or of a profile that we don't speak.
pub(super) fn read(codec: VideoCodec, data: &[u8]) -> Option<FrameHeader> {
    match codec {
        VideoCodec::Vp8 => read_vp8(data),
        VideoCodec::Vp9 => read_vp9(data),
    }
}

/// RFC 6386, 9.1.
fn read_vp8(data: &[u8]) -> Option<FrameHeader> {
    let [tag, _, _, rest @ ..] = data else { return None };
    if tag & 1 == 1 {
        return Some(FrameHeader { key: false, size: None });
    }
    let [0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = rest else { return None };
    // The two high bits ask for scaling at the screen.
    let (width, height) = (u16::from_le_bytes([*w0, *w1]) & 0x3fff, u16::from_le_bytes([*h0, *h1]) & 0x3fff);
    Some(FrameHeader { key: true, size: Some(VideoSize { width, height }) })
}

/// VP9 bitstream specification 0.6, 6.2 (profile 0).
fn read_vp9(data: &[u8]) -> Option<FrameHeader> {
    let mut bits = Bits { data, at: 0 };
    if bits.take(2)? != 2 || bits.take(2)? != 0 {
        return None;
    }
    if bits.take(1)? == 1 {
        // An older frame is shown again.
        return Some(FrameHeader { key: false, size: None });
    }
    let key = bits.take(1)? == 0;
    let (shown, error_resilient) = (bits.take(1)? == 1, bits.take(1)? == 1);
    if key {
        if bits.take(24)? != 0x49_83_42 {
            return None;
        }
        let rgb = bits.take(3)? == 7;
        // RGB needs profile 1.
        if rgb {
            return None;
        }
        bits.take(1)?;
        return Some(FrameHeader { key, size: Some(bits.size()?) });
    }
    let intra_only = !shown && bits.take(1)? == 1;
    if !error_resilient {
        bits.take(2)?;
    }
    if intra_only {
        if bits.take(24)? != 0x49_83_42 {
            return None;
        }
        bits.take(8)?;
        return Some(FrameHeader { key, size: Some(bits.size()?) });
    }
    bits.take(8 + 3 * 4)?;
    for _ in 0..3 {
        if bits.take(1)? == 1 {
            return Some(FrameHeader { key, size: None });
        }
    }
    Some(FrameHeader { key, size: Some(bits.size()?) })
}

/// The frames that come as one: VP9 puts ones that are not shown before the one that is (VP9 0.6, annex B).
pub(super) fn parts(codec: VideoCodec, data: &[u8]) -> Vec<&[u8]> {
    match codec {
        VideoCodec::Vp8 => vec![data],
        VideoCodec::Vp9 => indexed(data).unwrap_or_else(|| vec![data]),
    }
}

fn indexed(data: &[u8]) -> Option<Vec<&[u8]>> {
    let marker = *data.last()?;
    if marker & 0b1110_0000 != 0b1100_0000 {
        return None;
    }
    let (frames, width) = (usize::from(marker & 7) + 1, usize::from(marker >> 3 & 3) + 1);
    let (mut rest, index) = data.split_at_checked(data.len().checked_sub(2 + width * frames)?)?;
    let [first, lengths @ .., _] = index else { return None };
    if *first != marker {
        return None;
    }
    let mut parts = Vec::with_capacity(frames);
    for bytes in lengths.chunks_exact(width) {
        let length = bytes.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let (part, more) = rest.split_at_checked(length)?;
        parts.push(part);
        rest = more;
    }
    parts.retain(|part| !part.is_empty());
    Some(parts)
}

struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next `n` bits, at most 32, high first.
    fn take(&mut self, n: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..n {
            let byte = self.data.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// Two numbers of 16 bits, each less by one; `None` where one is 65536.
    fn size(&mut self) -> Option<VideoSize> {
        let width = u16::try_from(self.take(16)? + 1).ok()?;
        let height = u16::try_from(self.take(16)? + 1).ok()?;
        Some(VideoSize { width, height })
    }
}
