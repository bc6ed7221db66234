//! IVF files: a header of 32 bytes, then frames with their length and time, as ffmpeg and libvpx's tools read them.

use ahoy_base::{EncodedVideo, VideoCodec, VideoSize};

/// Bytes of a file's header.
pub(super) const IVF_HEADER: usize = 32;
/// Bytes before each frame.
pub(super) const IVF_FRAME_HEADER: usize = 12;

/// The header of a file of `frames` frames, whose times are in microseconds.
pub fn ivf_header(codec: VideoCodec, size: VideoSize, frames: u32) -> [u8; IVF_HEADER] {
    let fourcc = match codec {
        VideoCodec::Vp8 => b"VP80",
        VideoCodec::Vp9 => b"VP90",
    };
    let mut header = [0; IVF_HEADER];
    let fields: [(usize, &[u8]); 8] = [
        (0, b"DKIF"),
        (6, &32u16.to_le_bytes()),
        (8, fourcc),
        (12, &size.width.to_le_bytes()),
        (14, &size.height.to_le_bytes()),
        (16, &1_000_000u32.to_le_bytes()),
        (20, &1u32.to_le_bytes()),
        (24, &frames.to_le_bytes()),
    ];
    for (at, bytes) in fields {
        header.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
    }
    header
}

/// What stands before a frame's bytes.
pub fn ivf_frame_header(frame: &EncodedVideo) -> [u8; IVF_FRAME_HEADER] {
    let length = u32::try_from(frame.data.len()).unwrap_or(u32::MAX).to_le_bytes();
    let time = u64::try_from(frame.media_time.as_micros()).unwrap_or(u64::MAX).to_le_bytes();
    let mut header = [0; IVF_FRAME_HEADER];
    header.iter_mut().zip(length.iter().chain(&time)).for_each(|(to, from)| *to = *from);
    header
}

/// A file taken apart: its codec, and each frame's time in microseconds and bytes.
pub type IvfFrames<'a> = (VideoCodec, Vec<(u64, &'a [u8])>);

/// Takes a file apart. A frame that is cut off ends it; `None` when
/// it is no IVF file of VP8 or VP9.
pub fn read_ivf(file: &[u8]) -> Option<IvfFrames<'_>> {
    let (header, mut rest) = file.split_at_checked(IVF_HEADER)?;
    let codec = match header {
        [b'D', b'K', b'I', b'F', _, _, _, _, b'V', b'P', b'8', b'0', ..] => VideoCodec::Vp8,
        [b'D', b'K', b'I', b'F', _, _, _, _, b'V', b'P', b'9', b'0', ..] => VideoCodec::Vp9,
        _ => return None,
    };
    let mut frames = Vec::new();
    while let Some((head, more)) = rest.split_at_checked(IVF_FRAME_HEADER) {
        let (length, time) = head.split_at(4);
        let length = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
        let Some((frame, more)) = more.split_at_checked(length) else { break };
        frames.push((u64::from_le_bytes(time.try_into().ok()?), frame));
        rest = more;
    }
    Some((codec, frames))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_written_is_read_back_and_a_cut_frame_ends_it() {
        let size = VideoSize { width: 640, height: 360 };
        let mut file = ivf_header(VideoCodec::Vp9, size, 2).to_vec();
        assert_eq!(
            (&file[12..16], &file[16..24]),
            (&[0x80, 2, 0x68, 1][..], &[0x40, 0x42, 0xf, 0, 1, 0, 0, 0][..])
        );
        for (seq, data) in [(0, vec![1, 2, 3]), (1, vec![4])] {
            let frame = EncodedVideo {
                seq,
                media_time: Duration::from_micros(33_333 * seq),
                codec: VideoCodec::Vp9,
                size,
                needs: seq.checked_sub(1),
                kept: false,
                discardable: false,
                data,
            };
            file.extend_from_slice(&ivf_frame_header(&frame));
            file.extend_from_slice(&frame.data);
        }
        let both = (VideoCodec::Vp9, vec![(0, &[1, 2, 3][..]), (33_333, &[4])]);
        assert_eq!(read_ivf(&file).unwrap(), both);
        file.pop();
        assert_eq!(read_ivf(&file).unwrap().1.len(), 1);
        assert_eq!(read_ivf(b"RIFF"), None);
    }
}
