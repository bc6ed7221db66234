//! The words every room of Ahoy speaks: time, units, ids and encoded media. Nothing here decides anything.
//!
//! | word | meaning |
//! |---|---|
//! | device | one daemon, one [`PeerId`] |
//! | call | one conversation, one [`CallId`], a roster of two or more devices |
//! | session | the secure association of two devices inside one call; it survives links |
//! | link | one way to carry media datagrams between two devices, a [`LinkId`] |
//! | track | one picture of a device, a [`VideoTrack`]; its voice is a track too |
//! | frame | what an encoder gives at once: an Opus packet, [`EncodedAudio`], or a picture, [`EncodedVideo`] |

mod frame;
mod ids;
mod moment;
mod pii;
mod units;
mod video;

pub use frame::{EncodedAudio, OpusPacket, SAMPLE_RATE, TICK, TICK_SAMPLES, VoiceLevel};
pub use ids::{CallId, IdError, LinkId, MessageId, PeerId};
pub use moment::Moment;
pub use pii::Pii;
pub use units::{Bitrate, ByteCount, Decibel};
pub use video::{EncodedVideo, VideoCodec, VideoPlan, VideoRequest, VideoSize, VideoTrack};
