//! Sound: encode, decode, convert, measure, mix, stretch.

mod comfort_noise;
mod level;
mod loudness;
mod mixer;
mod opus_decoder;
mod opus_encoder;
mod resampler;
mod stretch;
mod voice_processing;

pub use comfort_noise::ComfortNoise;
pub use level::{LevelMeter, peak, rms};
pub use loudness::{Loudness, STEP_SAMPLES, lag, loudness, return_loss};
pub use mixer::{Gain, mix};
pub use opus_decoder::{MAX_FRAME_SAMPLES, OpusDecoder};
pub use opus_encoder::{FrameLength, MAX_PACKET, OpusEncoder};
pub use resampler::Resampler;
pub use stretch::{MAX_STRETCH, accelerate, cut, expand};
pub use voice_processing::{VoiceProcessing, VoiceSettings};
