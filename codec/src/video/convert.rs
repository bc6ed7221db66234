//! From what cameras and screens give to I420, by SIMD.

use ahoy_base::VideoSize;
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPackedImage, YuvPlanarImageMut, YuvRange, YuvStandardMatrix,
    bgra_to_yuv420, rgb_to_yuv420, yuyv422_to_yuv420,
};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{MAX_DECODED, Picture};
use crate::CodecError;

/// From four bytes a pixel (blue, green, red, nothing), as X11 gives them; `stride` bytes from row to row.
///
/// # Errors
/// When there are fewer bytes than the size says.
pub fn from_bgrx(size: VideoSize, bytes: &[u8], stride: usize) -> Result<Picture, CodecError> {
    let bytes = rows(size, bytes, stride, 4)?;
    into_picture(size, |planes| {
        let stride = stride as u32;
        bgra_to_yuv420(
            planes,
            bytes,
            stride,
            YuvRange::Limited,
            YuvStandardMatrix::Bt601,
            YuvConversionMode::Balanced,
        )
    })
}

/// From YUYV (Y, U, Y, V for two pixels), as most cameras give it.
///
/// # Errors
/// When there are fewer bytes than the size says.
pub fn from_yuyv(size: VideoSize, bytes: &[u8], stride: usize) -> Result<Picture, CodecError> {
    let even = VideoSize { width: size.width & !1, ..size };
    let bytes = rows(even, bytes, stride, 2)?;
    into_picture(even, |planes| {
        let packed = YuvPackedImage {
            yuy: bytes,
            yuy_stride: stride as u32,
            width: even.width.into(),
            height: even.height.into(),
        };
        yuyv422_to_yuv420(planes, &packed)
    })
}

/// From NV12 (a plane of Y, then one of U and V in turn), without gaps.
///
/// # Errors
/// When there are fewer bytes than the size says.
pub fn from_nv12(size: VideoSize, bytes: &[u8]) -> Result<Picture, CodecError> {
    let mut picture = Picture::black(size);
    let [y, u, v] = picture.planes_mut();
    let (luma, chroma) = bytes.split_at_checked(y.len()).ok_or_else(short)?;
    if chroma.len() < 2 * u.len() {
        return Err(short());
    }
    y.copy_from_slice(luma);
    for ((u, v), pair) in u.iter_mut().zip(v).zip(chroma.chunks_exact(2)) {
        if let [first, second] = pair {
            (*u, *v) = (*first, *second);
        }
    }
    Ok(picture)
}

/// From one JPEG image, as cameras give them one after the other.
///
/// # Errors
/// When it is none, or larger than 4096 pixels a side.
pub fn from_jpeg(bytes: &[u8]) -> Result<Picture, CodecError> {
    let bad =
        |error: &dyn std::fmt::Debug| CodecError::BadPicture(format!("a broken JPEG image ({error:?})"));
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_max_width(MAX_DECODED.into())
        .set_max_height(MAX_DECODED.into());
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let pixels = decoder.decode().map_err(|error| bad(&error))?;
    let (width, height) = decoder.dimensions().ok_or_else(short)?;
    let side = |length: usize| u16::try_from(length).map_err(|error| bad(&error));
    let size = VideoSize { width: side(width)?, height: side(height)? };
    let stride = 3 * width;
    let pixels = rows(size, &pixels, stride, 3)?;
    into_picture(size, |planes| {
        let stride = stride as u32;
        rgb_to_yuv420(
            planes,
            pixels,
            stride,
            YuvRange::Limited,
            YuvStandardMatrix::Bt601,
            YuvConversionMode::Balanced,
        )
    })
}

/// The bytes of all rows, if they are there.
fn rows(size: VideoSize, bytes: &[u8], stride: usize, pixel: usize) -> Result<&[u8], CodecError> {
    let (width, height) = (usize::from(size.width), usize::from(size.height));
    if width == 0 || height == 0 || stride < width * pixel {
        return Err(short());
    }
    bytes.get(..stride * height).ok_or_else(short)
}

fn into_picture(
    size: VideoSize,
    convert: impl FnOnce(&mut YuvPlanarImageMut<'_, u8>) -> Result<(), yuv::YuvError>,
) -> Result<Picture, CodecError> {
    let mut picture = Picture::black(size);
    let (stride, chroma_stride) = picture.strides();
    let [y, u, v] = picture.planes_mut();
    let mut planes = YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: stride as u32,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: chroma_stride as u32,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: chroma_stride as u32,
        width: size.width.into(),
        height: size.height.into(),
    };
    convert(&mut planes).map_err(|error| CodecError::BadPicture(error.to_string()))?;
    drop(planes);
    Ok(picture)
}

fn short() -> CodecError {
    CodecError::BadPicture("a picture with fewer bytes than its size says".to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::video::{TestCard, jpeg, psnr};

    const SIZE: VideoSize = VideoSize { width: 6, height: 4 };

    fn near(got: u8, wanted: u8) -> bool {
        got.abs_diff(wanted) <= 2
    }

    #[test]
    fn colours_of_a_screen_are_right_whatever_its_row_length() {
        // BT.601, limited range: what the standard gives for pure red, white and black.
        for ([b, g, r], wanted) in
            [([0, 0, 255], [81, 90, 240]), ([255, 255, 255], [235, 128, 128]), ([0, 0, 0], [16, 128, 128])]
        {
            let row: Vec<u8> = [b, g, r, 0].repeat(6).into_iter().chain([9; 8]).collect();
            let picture = from_bgrx(SIZE, &row.repeat(4), 32).unwrap();
            let planes = picture.planes();
            for (plane, wanted) in planes.iter().zip(wanted) {
                assert!(plane.iter().all(|value| near(*value, wanted)), "{plane:?} {wanted}");
            }
        }
        assert!(from_bgrx(SIZE, &[0; 95], 24).is_err() && from_bgrx(SIZE, &[0; 96], 20).is_err());
    }

    #[test]
    fn layouts_of_cameras_are_taken_apart() {
        let picture = from_yuyv(SIZE, &[100, 70, 110, 200].repeat(12), 12).unwrap();
        let [y, u, v] = picture.planes();
        assert_eq!((&y[..4], u[0], v[5]), (&[100, 110, 100, 110][..], 70, 200));
        let nv12: Vec<u8> = (0..24).chain([70, 200].repeat(6)).collect();
        let picture = from_nv12(SIZE, &nv12).unwrap();
        let [y, u, v] = picture.planes();
        assert_eq!((y[23], u, v), (23, &[70; 6][..], &[200; 6][..]));
        assert!(from_nv12(SIZE, &nv12[..35]).is_err() && from_yuyv(SIZE, &[0; 47], 12).is_err());
    }

    #[test]
    fn a_jpeg_image_is_the_picture_it_was_made_from() {
        let card = TestCard::new(VideoSize { width: 320, height: 180 }).draw(7);
        let file = jpeg(&card).unwrap();
        assert!(psnr(&from_jpeg(&file).unwrap(), &card) > 30.0);
        assert!(from_jpeg(&file[..file.len() / 3]).is_err() || from_jpeg(b"JFIF").is_err());
    }
}
