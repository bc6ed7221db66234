//! A moving picture made from nothing, with its number in it and four known colours.

use ahoy_base::VideoSize;

use super::Picture;
use super::barcode::stamp;

/// Colours of the four fields along the lower edge, from the left, as Y, U, V (BT.601, limited range): red, green, blue, yellow.
pub const FIELDS: [[u8; 3]; 4] = [[81, 90, 240], [145, 54, 34], [41, 240, 110], [210, 16, 146]];

/// Draws the pictures of one size.
#[derive(Clone, Debug)]
pub struct TestCard {
    still: Picture,
}

impl TestCard {
    /// A card of `size`.
    pub fn new(size: VideoSize) -> TestCard {
        let mut still = Picture::black(size);
        let (stride, chroma_stride) = still.strides();
        let (height, chroma_height) = (usize::from(size.height), usize::from(size.height.div_ceil(2)));
        let [y, u, v] = still.planes_mut();
        for (row, line) in y.chunks_exact_mut(stride.max(1)).enumerate() {
            for (column, luma) in line.iter_mut().enumerate() {
                *luma = match field(row, column, height, stride) {
                    Some([luma, ..]) => luma,
                    // A slope, and fine stripes in the middle for sharpness.
                    None if row * 10 / height == 6 => {
                        if column / 2 % 2 == 0 {
                            60
                        } else {
                            190
                        }
                    }
                    None => clamped(40 + column * 120 / stride + row * 50 / height),
                };
            }
        }
        for (plane, part) in [(u, 1), (v, 2)] {
            for (row, line) in plane.chunks_exact_mut(chroma_stride.max(1)).enumerate() {
                for (column, chroma) in line.iter_mut().enumerate() {
                    let slope =
                        if part == 1 { column * 40 / chroma_stride } else { row * 40 / chroma_height };
                    *chroma = field(row, column, chroma_height, chroma_stride)
                        .and_then(|colour| colour.get(part).copied())
                        .unwrap_or_else(|| clamped(108 + slope));
                }
            }
        }
        TestCard { still }
    }

    /// The picture of that number: the same for the same number.
    pub fn draw(&self, number: u64) -> Picture {
        let mut picture = self.still.clone();
        self.draw_disc(&mut picture, number);
        stamp(&mut picture, number);
        picture
    }

    /// A textured disc goes round once in four seconds of 30 pictures.
    fn draw_disc(&self, picture: &mut Picture, number: u64) {
        let (stride, chroma_stride) = picture.strides();
        let (width, height) = (stride as f32, f32::from(picture.size().height));
        let turn = (number % 120) as f32 / 120.0 * std::f32::consts::TAU;
        let radius = height / 7.0;
        let (x, y) = (width * (0.5 + 0.3 * turn.cos()), height * (0.45 + 0.15 * turn.sin()));
        let [luma, u, v] = picture.planes_mut();
        let inside = |row: usize, column: usize, scale: f32| {
            (column as f32 * scale - x).powi(2) + (row as f32 * scale - y).powi(2) < radius * radius
        };
        // Casts from float saturate.
        let rows = |scale: f32| ((y - radius) / scale) as usize..=((y + radius) / scale) as usize;
        let columns = |scale: f32| ((x - radius) / scale) as usize..=((x + radius) / scale) as usize;
        for row in rows(1.0) {
            for column in columns(1.0).filter(|column| *column < stride && inside(row, *column, 1.0)) {
                let texture =
                    ((column as f32 - x) / radius * 9.0).sin() * ((row as f32 - y) / radius * 7.0).cos();
                if let Some(pixel) = luma.get_mut(row * stride + column) {
                    *pixel = (130.0 + 70.0 * texture) as u8;
                }
            }
        }
        for row in rows(2.0) {
            for column in columns(2.0).filter(|column| *column < chroma_stride && inside(row, *column, 2.0)) {
                let at = row * chroma_stride + column;
                u.get_mut(at).into_iter().for_each(|c| *c = 110);
                v.get_mut(at).into_iter().for_each(|c| *c = 160);
            }
        }
    }
}

/// The colour field at a place of a plane: the lowest fifth, each a quarter wide.
fn field(row: usize, column: usize, rows: usize, columns: usize) -> Option<[u8; 3]> {
    (row * 5 >= rows * 4).then(|| FIELDS.get(column * 4 / columns.max(1)).copied()).flatten()
}

fn clamped(value: usize) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::barcode;

    #[test]
    fn every_picture_carries_its_number_and_its_colours() {
        let size = VideoSize { width: 320, height: 180 };
        let card = TestCard::new(size);
        let (a, b) = (card.draw(0), card.draw(1_000));
        assert_eq!((barcode::read(&a), barcode::read(&b)), (Some(0), Some(1_000)));
        assert_eq!(card.draw(1_000), b);
        assert_ne!(a, card.draw(1));
        let [y, u, v] = b.planes();
        for (n, colour) in FIELDS.iter().enumerate() {
            let (column, row) = (40 + 80 * n, 170);
            let chroma = row / 2 * 160 + column / 2;
            assert_eq!([y[row * 320 + column], u[chroma], v[chroma]], *colour);
        }
    }
}
