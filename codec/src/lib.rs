//! Sound between samples and encoded frames: Opus, resampling, mixing, stretching, test sounds.
//!
//! Samples are mono `f32` in [-1, 1] at 48 kHz unless a name says otherwise. No thread, clock, device or packet.

pub mod audio;
mod error;
pub mod synthetic;

pub use error::CodecError;
