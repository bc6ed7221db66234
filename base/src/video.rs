//! Encoded pictures, and what is asked of whoever encodes them, as they pass between rooms.

use std::time::Duration;

use crate::Bitrate;

/// One of a device's pictures. Both can be on at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum VideoTrack {
    /// A face: motion matters, size may follow the network.
    Camera,
    /// A screen, window or area: text must stay readable, the rate of frames may follow the network.
    Screen,
}

impl VideoTrack {
    /// All of them.
    pub const ALL: [VideoTrack; 2] = [VideoTrack::Camera, VideoTrack::Screen];

    /// The word in figures, file names and the page's protocol.
    pub const fn word(self) -> &'static str {
        match self {
            VideoTrack::Camera => "camera",
            VideoTrack::Screen => "screen",
        }
    }
}

/// How a picture is encoded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum VideoCodec {
    /// RFC 6386.
    Vp8,
    /// The VP9 bitstream specification, version 0.6; profile 0.
    Vp9,
}

/// Pixels of a picture.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VideoSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// One encoded frame with what its receiver needs to place and decode it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EncodedVideo {
    /// Counts the encoded frames of its track from 0. A frame that was never encoded has no number; a gap is loss.
    pub seq: u64,
    /// When the picture was captured, on the sender's media clock: the one [`crate::EncodedAudio`] counts on too.
    pub media_time: Duration,
    /// How it is encoded.
    pub codec: VideoCodec,
    /// Its pixels.
    pub size: VideoSize,
    /// The newest frame it can't be decoded without; `None` for a key frame. Never above `seq`.
    pub needs: Option<u64>,
    /// The encoder keeps it as a long-term reference, to go on from after a loss (VP8's golden frame, RFC 6386, 9.7).
    pub kept: bool,
    /// No later frame needs it.
    pub discardable: bool,
    /// The bytes of the frame.
    pub data: Vec<u8>,
}

impl EncodedVideo {
    /// Whether it can be decoded without any other.
    pub const fn is_key(&self) -> bool {
        self.needs.is_none()
    }
}

/// What the path lets an encoder make, from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VideoPlan {
    /// What the encoder aims at, headers and repair not counted. Zero: make nothing.
    pub bitrate: Bitrate,
    /// At most these pixels; the picture keeps its shape.
    pub size: VideoSize,
    /// At most so many frames a second.
    pub frame_rate: u8,
}

/// What the receiver's state asks of an encoder, for its next frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VideoRequest {
    /// A key frame: nothing the receiver has is of use.
    Key,
    /// A frame that needs nothing newer than the kept frame of this number, which the receiver has decoded.
    GoOnFrom(u64),
    /// The receiver has decoded this kept frame. No frame is asked for.
    Has(u64),
}
