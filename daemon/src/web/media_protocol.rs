//! What a page and the daemon say on the media socket: frames of pictures both ways, and the few words about them.
//!
//! A frame is a binary message: [`FrameHeader`], then the bytes of the frame as its encoder made them. Words are JSON.
//! Samples: `webui/golden/media-*.json`; the layout: docs/PROTOCOL.md.

use ahoy_base::{CallId, PeerId, VideoCodec, VideoPlan, VideoSize, VideoTrack};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::protocol::{ByeReason, as_text};

/// What a page says on the media socket, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum MediaFromPage {
    /// The first message, within 2 s.
    Auth {
        /// The session's token.
        token: String,
    },
    /// All that is looked at from now on; what is left out is looked at no more.
    Watch {
        /// The tiles that can be seen, at most 64.
        streams: Vec<WatchedStream>,
    },
    /// A decoder was made anew, or failed: only a key frame helps.
    Key {
        /// Which stream.
        stream: u16,
    },
    /// This page captures a track, or stops.
    Capturing {
        /// Which.
        track: TrackName,
        /// On or off.
        on: bool,
    },
}

/// One tile and what is to be seen in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WatchedStream {
    /// The page's number for it, in the header of its frames.
    pub(crate) stream: u16,
    /// Of which call.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub(crate) call: CallId,
    /// Whose; the own device for the own picture.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub(crate) peer_id: PeerId,
    /// Which picture.
    pub(crate) track: TrackName,
    /// The tile's width in pixels of the screen.
    pub(crate) width: u16,
    /// Its height.
    pub(crate) height: u16,
    /// The page can't decode video: it wants each frame as JPEG.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) jpeg: bool,
}

/// What the daemon says on the media socket, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum MediaToPage {
    /// The token is good.
    Ready {},
    /// How this page is to encode what it captures, from now on. Sent while it does.
    Encode {
        /// Which.
        track: TrackName,
        /// As this; null: send nothing.
        plan: Option<EncodePlan>,
        /// A number that grows with each wish for a key frame.
        keys: u64,
    },
    /// The last message.
    Bye {
        /// Why.
        reason: ByeReason,
    },
}

/// What the path carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EncodePlan {
    /// Bits a second.
    pub(crate) bitrate_bps: u64,
    /// At most so wide; the picture keeps its shape.
    pub(crate) width: u16,
    /// At most so high.
    pub(crate) height: u16,
    /// At most so many frames a second.
    pub(crate) frame_rate: u8,
}

impl From<VideoPlan> for EncodePlan {
    fn from(plan: VideoPlan) -> EncodePlan {
        EncodePlan {
            bitrate_bps: plan.bitrate.as_bps(),
            width: plan.size.width,
            height: plan.size.height,
            frame_rate: plan.frame_rate,
        }
    }
}

/// Which picture of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TrackName {
    /// A face.
    Camera,
    /// A screen, window or area.
    Screen,
}

impl From<TrackName> for VideoTrack {
    fn from(name: TrackName) -> VideoTrack {
        match name {
            TrackName::Camera => VideoTrack::Camera,
            TrackName::Screen => VideoTrack::Screen,
        }
    }
}

impl From<VideoTrack> for TrackName {
    fn from(track: VideoTrack) -> TrackName {
        match track {
            VideoTrack::Camera => TrackName::Camera,
            VideoTrack::Screen => TrackName::Screen,
        }
    }
}

/// What a binary message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// A frame of VP8.
    Vp8,
    /// A frame of VP9.
    Vp9,
    /// A picture as JPEG, for a page that asked for that.
    Jpeg,
    /// From the page: it has shown, or passed over, all frames of the stream up to this one. No bytes follow.
    Seen,
}

impl FrameKind {
    const fn byte(self) -> u8 {
        match self {
            FrameKind::Vp8 => 1,
            FrameKind::Vp9 => 2,
            FrameKind::Jpeg => 3,
            FrameKind::Seen => 16,
        }
    }

    const fn from_byte(byte: u8) -> Option<FrameKind> {
        match byte {
            1 => Some(FrameKind::Vp8),
            2 => Some(FrameKind::Vp9),
            3 => Some(FrameKind::Jpeg),
            16 => Some(FrameKind::Seen),
            _ => None,
        }
    }
}

impl From<VideoCodec> for FrameKind {
    fn from(codec: VideoCodec) -> FrameKind {
        match codec {
            VideoCodec::Vp8 => FrameKind::Vp8,
            VideoCodec::Vp9 => FrameKind::Vp9,
        }
    }
}

/// The first 16 bytes of a binary message, integers little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Byte 0.
    pub(super) kind: FrameKind,
    /// Byte 1, bit 0: it needs no other frame.
    pub(super) key: bool,
    /// Byte 1, bit 1: frames before it were left out for this page.
    pub(super) jumped: bool,
    /// Bytes 2 and 3: the page's number of a tile; 1 (camera) or 2 (screen) on the way up.
    pub(super) stream: u16,
    /// Bytes 4 to 7: the frame's number, low 32 bits.
    pub(super) seq: u32,
    /// Bytes 8 to 15: when it was captured, microseconds; on the clock of whoever captured it.
    pub(super) capture_us: u64,
}

impl FrameHeader {
    pub(super) const SIZE: usize = 16;

    pub(super) fn message(&self, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FrameHeader::SIZE + data.len());
        bytes.push(self.kind.byte());
        bytes.push(u8::from(self.key) | u8::from(self.jumped) << 1);
        bytes.extend_from_slice(&self.stream.to_le_bytes());
        bytes.extend_from_slice(&self.seq.to_le_bytes());
        bytes.extend_from_slice(&self.capture_us.to_le_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    /// The header and the bytes behind it; `None` for what is no such message.
    pub(super) fn split(message: &[u8]) -> Option<(FrameHeader, &[u8])> {
        let (kind, rest) = message.split_first()?;
        let (flags, rest) = rest.split_first()?;
        let (stream, rest) = rest.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let (capture, data) = rest.split_first_chunk()?;
        let header = FrameHeader {
            kind: FrameKind::from_byte(*kind)?,
            key: flags & 1 != 0,
            jumped: flags & 2 != 0,
            stream: u16::from_le_bytes(*stream),
            seq: u32::from_le_bytes(*seq),
            capture_us: u64::from_le_bytes(*capture),
        };
        Some((header, data))
    }
}

/// The size of the picture of a VP8 key frame (RFC 6386, 9.1); `None` for anything else.
pub(super) fn vp8_key_size(data: &[u8]) -> Option<VideoSize> {
    // Bit 0 of the frame tag is 0 for a key frame; then a start code and two 14-bit sizes.
    let [tag, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1] = *data.first_chunk::<10>()? else {
        return None;
    };
    let size = VideoSize {
        width: u16::from_le_bytes([w0, w1]) & 0x3fff,
        height: u16::from_le_bytes([h0, h1]) & 0x3fff,
    };
    (tag & 1 == 0 && size.width > 0 && size.height > 0).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written_and_a_short_one_is_none() {
        let header = FrameHeader {
            kind: FrameKind::Vp9,
            key: true,
            jumped: false,
            stream: 513,
            seq: 70_000,
            capture_us: 1 << 40,
        };
        let message = header.message(b"frame");
        assert_eq!(message.get(..8), Some(&[2, 1, 1, 2, 0x70, 0x11, 1, 0][..]));
        assert_eq!(FrameHeader::split(&message), Some((header, &b"frame"[..])));
        for short in 0..FrameHeader::SIZE {
            assert_eq!(message.get(..short).and_then(FrameHeader::split), None);
        }
        assert_eq!(FrameHeader::split(&[9; 20]), None, "of no known kind");
    }

    #[test]
    fn the_size_is_in_a_key_frame_of_vp8_alone() {
        let key = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0x68, 0x01, 7];
        assert_eq!(vp8_key_size(&key), Some(VideoSize { width: 640, height: 360 }), "scaling bits left out");
        let mut delta = key;
        delta[0] = 0x11;
        assert_eq!(vp8_key_size(&delta), None);
        assert_eq!(vp8_key_size(&key[..9]), None);
        assert_eq!(vp8_key_size(b"not a frame at all"), None);
    }
}
