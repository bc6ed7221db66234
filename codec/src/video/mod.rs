//! Pictures: encode, decode, convert, scale, draw, and put into files.
//!
//! A [`Picture`] is I420 (planes Y, U, V; chroma halved both ways), 8 bits, limited range, BT.601, which is what VP8
//! means and browsers assume. No thread, clock, device or packet; libvpx is behind `vpx_encoder.rs` and `vpx_decoder.rs`.

pub mod barcode;
mod convert;
mod ivf;
mod jpeg;
mod picture;
mod references;
mod scale;
mod test_card;
mod vpx_context;
mod vpx_decoder;
mod vpx_encoder;
mod vpx_header;
mod y4m;

pub use convert::{from_bgrx, from_jpeg, from_nv12, from_yuyv};
pub use ivf::{IvfFrames, ivf_frame_header, ivf_header, read_ivf};
pub use jpeg::jpeg;
pub use picture::{Picture, psnr};
pub use references::Layers;
pub use scale::{Scaler, fit};
pub use test_card::{FIELDS, TestCard};
pub use vpx_decoder::{MAX_DECODED, VpxDecoder};
pub use vpx_encoder::{Content, EncoderConfig, Speed, VpxEncoder};
pub use y4m::Y4mReader;
