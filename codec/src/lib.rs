//! Sound between samples and Opus packets, pictures between pixels and VP8 or VP9 frames, and test signals for both.
//!
//! Samples are mono `f32` in [-1, 1] at 48 kHz, pictures are I420, unless a name says otherwise. No thread, clock, device
//! or packet.

pub mod audio;
mod error;
pub mod synthetic;
pub mod video;
pub mod webm;

pub use error::CodecError;
