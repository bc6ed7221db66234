//! A picture as JPEG, for pages that can't decode video.

use jpeg_encoder::{Encoder, ImageBuffer, JpegColorType, SamplingFactor};

use super::Picture;
use crate::CodecError;

/// Good enough that blocks are not seen at arm's length, at about 40 kB for 720 lines.
const QUALITY: u8 = 72;

/// A JPEG file (baseline, JFIF) of a picture.
///
/// # Errors
/// When the encoder refuses it: no column or no row.
pub fn jpeg(picture: &Picture) -> Result<Vec<u8>, CodecError> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode_image(Rows { picture }).map_err(|error| CodecError::BadPicture(error.to_string()))?;
    Ok(file)
}

/// The rows as JFIF counts them: full range, chroma in every column.
struct Rows<'a> {
    picture: &'a Picture,
}

impl ImageBuffer for Rows<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        self.picture.size().width
    }

    fn height(&self) -> u16 {
        self.picture.size().height
    }

    fn fill_buffers(&self, row: u16, buffers: &mut [Vec<u8>; 4]) {
        let [y, u, v] = self.picture.planes();
        let (luma, chroma) = self.picture.strides();
        let (row, width) = (usize::from(row), luma);
        let line = |plane: &[u8], stride: usize, row: usize| -> Vec<u8> {
            plane.chunks(stride.max(1)).nth(row).map(<[u8]>::to_vec).unwrap_or_default()
        };
        let [to_y, to_u, to_v, _] = buffers;
        to_y.extend(line(y, luma, row).iter().map(|value| full_luma(*value)));
        for (plane, out) in [(u, to_u), (v, to_v)] {
            let half = line(plane, chroma, row / 2);
            out.extend(half.iter().flat_map(|value| [full_chroma(*value); 2]).take(width));
        }
    }
}

/// 16 to 235 becomes 0 to 255 (ITU-R BT.601 to JFIF).
fn full_luma(value: u8) -> u8 {
    let shifted = i32::from(value) - 16;
    ((shifted * 255 + 109) / 219).clamp(0, 255) as u8
}

/// 16 to 240 around 128 becomes 1 to 255.
fn full_chroma(value: u8) -> u8 {
    let shifted = (i32::from(value) - 128) * 255;
    (shifted.div_euclid(224) + 128).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use ahoy_base::VideoSize;

    use super::*;

    #[test]
    fn the_range_is_spread_to_the_whole() {
        assert_eq!([16, 126, 235, 255, 0].map(full_luma), [0, 128, 255, 255, 0]);
        assert_eq!([128, 240, 16].map(full_chroma), [128, 255, 0]);
    }

    #[test]
    fn a_picture_of_any_size_becomes_a_file_with_its_size_inside() {
        for size in [VideoSize { width: 64, height: 48 }, VideoSize { width: 33, height: 17 }] {
            let file = jpeg(&Picture::black(size)).unwrap();
            assert_eq!(file.first_chunk(), Some(&[0xff, 0xd8, 0xff]), "start of image");
            assert!(file.ends_with(&[0xff, 0xd9]), "its end");
            // Start of frame: marker, length, precision, rows, columns.
            let at = file.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
            let rows_and_columns = [size.height.to_be_bytes(), size.width.to_be_bytes()].concat();
            assert_eq!(file.get(at + 5..at + 9), Some(rows_and_columns.as_slice()));
        }
        assert!(jpeg(&Picture::black(VideoSize { width: 0, height: 0 })).is_err());
    }
}
