//! VP8 and VP9 decoding. Bytes come from strangers: whatever they are, the answer is a picture or an error.
#![expect(unsafe_code, reason = "libvpx is C; each block says why it is sound")]

use std::os::raw::c_int;

use ahoy_base::{VideoCodec, VideoSize};
use vpx_sys::vpx_codec_err_t;

use super::vpx_context::VpxContext;
use super::{Picture, vpx_header};
use crate::CodecError;

/// Larger pictures are refused: 4K, upright or not.
pub const MAX_DECODED: u16 = 4_096;
/// A frame with more bytes is refused: raw 4K would be 12 MB.
const MAX_BYTES: usize = 8 << 20;

/// Decodes the frames of one track, in order.
pub struct VpxDecoder {
    codec: VideoCodec,
    context: VpxContext,
    /// Nothing can be decoded before a key frame.
    keyed: bool,
    /// A VP9 frame with an index behind it.
    indexed: Vec<u8>,
}

impl VpxDecoder {
    /// A decoder that waits for a key frame.
    ///
    /// # Errors
    /// When libvpx refuses: another version than was built for, or no memory.
    pub fn new(codec: VideoCodec) -> Result<VpxDecoder, CodecError> {
        // One thread: a picture at a time, small, for one viewer.
        let config = vpx_sys::vpx_codec_dec_cfg_t { threads: 1, w: 0, h: 0 };
        let version = vpx_sys::VPX_DECODER_ABI_VERSION as c_int;
        // SAFETY: the interface is a static, the memory and the settings are valid for the call.
        let context = VpxContext::new(|memory| unsafe {
            let interface = match codec {
                VideoCodec::Vp8 => vpx_sys::vpx_codec_vp8_dx(),
                VideoCodec::Vp9 => vpx_sys::vpx_codec_vp9_dx(),
            };
            vpx_sys::vpx_codec_dec_init_ver(memory, interface, &raw const config, 0, version)
        })?;
        Ok(VpxDecoder { codec, context, keyed: false, indexed: Vec::new() })
    }

    /// Decodes one frame; `None` when it shows nothing.
    ///
    /// # Errors
    /// When it is none, is too large, or what it needs is missing. The decoder goes on with the next key frame.
    pub fn decode(&mut self, data: &[u8]) -> Result<Option<Picture>, CodecError> {
        if data.len() > MAX_BYTES {
            return Err(CodecError::BadFrame);
        }
        let mut shown = None;
        for part in vpx_header::parts(self.codec, data) {
            let decoded = self.decode_part(part);
            self.keyed = decoded.is_ok();
            shown = decoded?.or(shown);
        }
        Ok(shown)
    }

    fn decode_part(&mut self, data: &[u8]) -> Result<Option<Picture>, CodecError> {
        let header = vpx_header::read(self.codec, data).ok_or(CodecError::BadFrame)?;
        if !header.size.is_none_or(is_decodable) || !(header.key || self.keyed) {
            return Err(CodecError::BadFrame);
        }
        self.decode_checked(data)
    }

    fn decode_checked(&mut self, data: &[u8]) -> Result<Option<Picture>, CodecError> {
        let data = match self.codec {
            VideoCodec::Vp8 => data,
            // libvpx would take more frames out of the rest of a frame's bytes, past our look at the header. An index
            // (VP9 0.6, annex B) of one frame with all the bytes leaves it no rest.
            VideoCodec::Vp9 => {
                let length = u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes();
                self.indexed.clear();
                self.indexed.extend_from_slice(data);
                self.indexed.push(ONE_FRAME);
                self.indexed.extend_from_slice(&length);
                self.indexed.push(ONE_FRAME);
                &self.indexed
            }
        };
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        // SAFETY: the instance is initialised, the bytes outlive the call, and libvpx keeps no pointer to them.
        let code = unsafe {
            vpx_sys::vpx_codec_decode(self.context.pointer(), data.as_ptr(), length, std::ptr::null_mut(), 0)
        };
        if code != vpx_codec_err_t::VPX_CODEC_OK {
            return Err(CodecError::BadFrame);
        }
        let mut picture = None;
        let mut iterator = std::ptr::null();
        loop {
            // SAFETY: the instance is initialised; an image is valid until the next decode, and is copied before.
            let image =
                unsafe { vpx_sys::vpx_codec_get_frame(self.context.pointer(), &raw mut iterator).as_ref() };
            let Some(image) = image else { return Ok(picture) };
            picture = Some(copy(image).ok_or(CodecError::BadFrame)?);
        }
    }
}

impl std::fmt::Debug for VpxDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VpxDecoder")
            .field("codec", &self.codec)
            .field("keyed", &self.keyed)
            .finish_non_exhaustive()
    }
}

/// Marker of an index: lengths of 4 bytes, one frame.
const ONE_FRAME: u8 = 0b1101_1000;

fn is_decodable(size: VideoSize) -> bool {
    (1..=MAX_DECODED).contains(&size.width) && (1..=MAX_DECODED).contains(&size.height)
}

/// The pixels of a decoded image; `None` when it is not 8-bit 4:2:0.
fn copy(image: &vpx_sys::vpx_image_t) -> Option<Picture> {
    let size = VideoSize { width: u16::try_from(image.d_w).ok()?, height: u16::try_from(image.d_h).ok()? };
    if image.fmt != vpx_sys::vpx_img_fmt::VPX_IMG_FMT_I420 || image.bit_depth > 8 || !is_decodable(size) {
        return None;
    }
    let mut picture = Picture::black(size);
    let (luma, chroma) = picture.strides();
    for ((plane, width), (source, stride)) in picture
        .planes_mut()
        .into_iter()
        .zip([luma, chroma, chroma])
        .zip(image.planes.iter().zip(image.stride))
    {
        let stride = usize::try_from(stride).ok().filter(|stride| *stride >= width)?;
        for (n, row) in plane.chunks_exact_mut(width).enumerate() {
            // SAFETY: libvpx's planes have `stride` bytes for each of the image's rows (chroma: half of them, rounded
            // up), and `width` is at most that.
            let line = unsafe { std::slice::from_raw_parts(source.add(n * stride), width) };
            row.copy_from_slice(line);
        }
    }
    Some(picture)
}
