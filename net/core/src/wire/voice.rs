//! What is sealed in a voice datagram: a frame, and copies of the frames before it (docs/PROTOCOL.md, "Voice").
//!
//! The idea is RFC 2198's; the numbers of the copies follow from the frame's own, so a copy costs one byte.

use std::time::Duration;

/// Most copies in one datagram.
pub const MAX_OLDER: usize = 4;
/// Longest copy: its length is one byte. Longer frames (music) are not copied.
pub const MAX_COPY: usize = 255;

/// The bytes to seal. `older`: the frames before `frame`, the newest first; cut at the first that is too long.
pub fn pack<'a>(frame: &[u8], older: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = vec![0];
    for (n, copy) in (1..=MAX_OLDER as u8).zip(older) {
        let Ok(length) = u8::try_from(copy.len()) else { break };
        out.push(length);
        out.extend_from_slice(copy);
        out.splice(..1, [n]);
    }
    out.extend_from_slice(frame);
    out
}

/// The frame, and the frames before it, the newest first. `None` if the bytes are no such thing.
pub fn unpack(content: &[u8]) -> Option<(&[u8], Vec<&[u8]>)> {
    let (n, mut rest) = content.split_first()?;
    if usize::from(*n) > MAX_OLDER {
        return None;
    }
    let mut older = Vec::new();
    for _ in 0..*n {
        let (length, more) = rest.split_first()?;
        let (copy, more) = more.split_at_checked(usize::from(*length))?;
        older.push(copy);
        rest = more;
    }
    Some((rest, older))
}

/// How much sound an Opus packet holds, by its first bytes (RFC 6716, 3.1 and 3.2). `None` if it is none.
pub fn opus_duration(packet: &[u8]) -> Option<Duration> {
    let (toc, rest) = packet.split_first()?;
    let config = toc >> 3;
    let frame_us: u64 = match config {
        0..12 => [10_000, 20_000, 40_000, 60_000][usize::from(config % 4)],
        12..16 => [10_000, 20_000][usize::from(config % 2)],
        16.. => [2_500, 5_000, 10_000, 20_000][usize::from(config % 4)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(rest.first()? & 63),
    };
    let all = frame_us * frames;
    (frames > 0 && all <= 120_000).then(|| Duration::from_micros(all))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_frame_and_its_copies_come_apart_again() {
        let (a, b): (&[u8], &[u8]) = (b"one", b"");
        assert_eq!(pack(b"new", [a, b]), b"\x02\x03one\x00new");
        assert_eq!(unpack(&pack(b"new", [a, b])).unwrap(), (&b"new"[..], vec![a, b]));
        assert_eq!(unpack(&pack(b"", [])).unwrap(), (&b""[..], vec![]));
        let long = [7; 256];
        assert_eq!(
            unpack(&pack(b"new", [a, &long, a])).unwrap().1,
            [a],
            "what follows a gap can't be numbered"
        );
        assert_eq!(unpack(&pack(b"new", [a; 9])).unwrap().1.len(), MAX_OLDER);
    }

    #[test]
    fn broken_ones_are_none() {
        for bad in [&b""[..], b"\x01", b"\x01\x05abcd", b"\x05\x00\x00\x00\x00\x00"] {
            assert_eq!(unpack(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn durations_are_those_of_the_standard() {
        let ms = |packet: &[u8]| opus_duration(packet).map(|d| d.as_micros());
        assert_eq!(ms(&[0]), Some(10_000));
        assert_eq!(ms(&[3 << 3]), Some(60_000));
        assert_eq!(ms(&[13 << 3 | 1]), Some(40_000));
        assert_eq!(ms(&[16 << 3]), Some(2_500));
        assert_eq!(ms(&[31 << 3 | 3, 6]), Some(120_000));
        for bad in [&[][..], &[3], &[3, 0], &[31 << 3 | 3, 7], &[3 << 3 | 3, 3]] {
            assert_eq!(ms(bad), None, "{bad:?}");
        }
    }
}
