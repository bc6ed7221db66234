//! Sound: encode, decode, convert, measure, mix, stretch.

mod level;
mod mixer;
mod opus_decoder;
mod opus_encoder;
mod resampler;
mod stretch;

pub use level::{LevelMeter, peak, rms};
pub use mixer::{Gain, mix};
pub use opus_decoder::OpusDecoder;
pub use opus_encoder::{MAX_PACKET, OpusEncoder};
pub use resampler::Resampler;
pub use stretch::{MAX_STRETCH, accelerate, expand};
