//! Makes pictures smaller, with SIMD.

use ahoy_base::VideoSize;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::Picture;
use crate::CodecError;

/// The largest size within `bound` that has the shape of `source`, never larger than it; even, as chroma wants it.
pub fn fit(source: VideoSize, bound: VideoSize) -> VideoSize {
    let (width, height) = (u32::from(source.width.max(1)), u32::from(source.height.max(1)));
    let (most_width, most_height) = (u32::from(bound.width), u32::from(bound.height));
    // The narrower of the two shares, as a fraction: share = over / under.
    let (over, under) =
        if most_width * height <= most_height * width { (most_width, width) } else { (most_height, height) };
    let (over, under) = if over >= under { (1, 1) } else { (over, under) };
    let side = |length: u32| {
        let scaled = (u64::from(length) * u64::from(over) + u64::from(under) / 2) / u64::from(under);
        u16::try_from(scaled & !1).unwrap_or(u16::MAX - 1).max(2)
    };
    VideoSize { width: side(width), height: side(height) }
}

/// Scales pictures; keeps its tables from one to the next.
#[derive(Debug, Default)]
pub struct Scaler(Resizer);

impl Scaler {
    /// `picture` at `size`; each pixel the weighted mean of those it covers.
    ///
    /// # Errors
    /// When one of the sizes is 0.
    pub fn scale(&mut self, picture: &Picture, size: VideoSize) -> Result<Picture, CodecError> {
        let from = picture.size();
        let mut scaled = Picture::black(size);
        let half = |n: u16| u32::from(n.div_ceil(2));
        let shapes = [
            (
                (u32::from(from.width), u32::from(from.height)),
                (u32::from(size.width), u32::from(size.height)),
            ),
            ((half(from.width), half(from.height)), (half(size.width), half(size.height))),
            ((half(from.width), half(from.height)), (half(size.width), half(size.height))),
        ];
        let options =
            ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).use_alpha(false);
        let bad = |error: &dyn std::fmt::Display| CodecError::BadPicture(error.to_string());
        for ((plane, scaled), (from, to)) in picture.planes().into_iter().zip(scaled.planes_mut()).zip(shapes)
        {
            let source = ImageRef::new(from.0, from.1, plane, PixelType::U8).map_err(|error| bad(&error))?;
            let mut target =
                Image::from_slice_u8(to.0, to.1, scaled, PixelType::U8).map_err(|error| bad(&error))?;
            self.0.resize(&source, &mut target, &options).map_err(|error| bad(&error))?;
        }
        Ok(scaled)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::video::{TestCard, barcode, psnr};

    const fn size(width: u16, height: u16) -> VideoSize {
        VideoSize { width, height }
    }

    #[test]
    fn a_size_keeps_its_shape_and_never_grows() {
        for (source, bound, fitted) in [
            ((1_280, 720), (640, 360), (640, 360)),
            ((1_280, 720), (1_920, 1_080), (1_280, 720)),
            ((1_920, 1_200), (1_280, 720), (1_152, 720)),
            ((720, 1_280), (1_280, 720), (404, 720)),
            ((1_367, 769), (4_096, 4_096), (1_366, 768)),
            ((640, 480), (320, 180), (240, 180)),
            ((1, 1), (640, 360), (2, 2)),
            ((65_535, 65_535), (0, 0), (2, 2)),
        ] {
            let got = fit(size(source.0, source.1), size(bound.0, bound.1));
            assert_eq!(got, size(fitted.0, fitted.1), "{source:?} in {bound:?}");
        }
    }

    #[test]
    fn a_smaller_picture_looks_the_same() {
        let (large, small) = (size(1_280, 720), size(640, 360));
        let card = TestCard::new(large).draw(1_234);
        let mut scaler = Scaler::default();
        let scaled = scaler.scale(&card, small).unwrap();
        assert_eq!(barcode::read(&scaled), Some(1_234));
        // Stripes of two columns become grey; the rest agrees with a card drawn small.
        assert!(psnr(&scaled, &TestCard::new(small).draw(1_234)) > 18.0);
        assert_eq!(scaler.scale(&card, large).unwrap().size(), large);
    }
}
