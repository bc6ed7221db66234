//! A number in a picture that survives scaling and any bit rate: 20 cells across the top, each a twentieth of the width wide and high.
//!
//! White, black, 12 Gray-coded bits (high first), 4 check bits, black, white. Gray code, so that few cells change from
//! number to number.

use super::Picture;

/// Numbers count modulo this.
pub const NUMBERS: u16 = 1 << 12;
const CELLS: usize = 20;
const WHITE: u8 = 215;
const BLACK: u8 = 35;
/// Which of the 12 bits each check bit sums up.
const CHECK: [u16; 4] = [0b1011_0101_0011, 0b1101_1010_0101, 0b0110_1101_1110, 0b1001_1110_1101];
/// Least difference of the first white and black cell.
const CONTRAST: u32 = 40;

/// Draws `number` (modulo [`NUMBERS`]), and takes the colour out from under it.
pub fn stamp(picture: &mut Picture, number: u64) {
    let (stride, chroma_stride) = picture.strides();
    let cell = stride / CELLS;
    // The remainder is below 4096.
    let cells = cells((number % u64::from(NUMBERS)) as u16);
    let [y, u, v] = picture.planes_mut();
    for row in y.chunks_exact_mut(stride.max(1)).take(cell) {
        for (bit, pixels) in cells.iter().zip(row.chunks_exact_mut(cell.max(1))) {
            pixels.fill(if *bit { WHITE } else { BLACK });
        }
    }
    for plane in [u, v] {
        plane.iter_mut().take(cell.div_ceil(2) * chroma_stride).for_each(|c| *c = 128);
    }
}

/// The number in a picture, if its check bits agree.
pub fn read(picture: &Picture) -> Option<u16> {
    let (stride, _) = picture.strides();
    let cell = stride as f32 / CELLS as f32;
    let [y, ..] = picture.planes();
    // Casts of small positive numbers.
    let span = |start: f32| {
        let (from, to) = ((start + 0.3 * cell) as usize, (start + 0.7 * cell) as usize);
        from..to.max(from + 1)
    };
    let mean = |n: usize| {
        let columns = span(n as f32 * cell);
        let rows = y.chunks_exact(stride.max(1)).skip(span(0.0).start).take(span(0.0).len());
        let cut = rows.filter_map(|row| row.get(columns.clone()));
        let (sum, count) = cut.flatten().fold((0u32, 0u32), |(sum, n), v| (sum + u32::from(*v), n + 1));
        sum.checked_div(count)
    };
    let means: Vec<u32> = (0..CELLS).map_while(mean).collect();
    let [white, black, middle @ .., black_end, white_end] = means.as_slice() else { return None };
    if middle.len() != 16 || *white < black + CONTRAST {
        return None;
    }
    let threshold = (white + black + black_end + white_end) / 4;
    let bits = middle.iter().fold(0u32, |bits, mean| bits << 1 | u32::from(*mean > threshold));
    let (gray, check) = ((bits >> 4) as u16, (bits & 15) as u16);
    if check_bits(gray) != check {
        return None;
    }
    Some((0..12).map(|shift| gray >> shift).fold(0, |number, part| number ^ part))
}

fn cells(number: u16) -> [bool; CELLS] {
    let gray = number ^ (number >> 1);
    let word = u32::from(gray) << 4 | u32::from(check_bits(gray));
    let mut cells = [false; CELLS];
    for (n, cell) in cells.iter_mut().enumerate() {
        *cell = match n {
            0 | 19 => true,
            1 | 18 => false,
            n => word >> (17 - n) & 1 == 1,
        };
    }
    cells
}

fn check_bits(gray: u16) -> u16 {
    CHECK.iter().fold(0, |bits, mask| bits << 1 | ((gray & mask).count_ones() & 1) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ahoy_base::VideoSize;

    #[test]
    fn every_number_is_read_back_and_a_wrong_cell_is_noticed() {
        let size = VideoSize { width: 160, height: 90 };
        for number in 0..NUMBERS {
            let mut picture = Picture::black(size);
            stamp(&mut picture, u64::from(number));
            assert_eq!(read(&picture), Some(number));
        }
        assert_eq!(read(&Picture::black(size)), None);
        let mut picture = Picture::black(size);
        stamp(&mut picture, 77);
        for row in picture.planes_mut()[0].chunks_exact_mut(160).take(8) {
            row[24..32].iter_mut().for_each(|y| *y = if *y == WHITE { BLACK } else { WHITE });
        }
        assert_eq!(read(&picture), None);
    }

    #[test]
    fn the_layout_is_the_one_that_other_readers_know() {
        // Number 5 is 0b111 in Gray code; the masks have 2, 2, 2 and 2 of those bits: 0b011, 0b101, 0b110, 0b101.
        let cells = cells(5).map(u8::from);
        assert_eq!(cells, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1]);
    }
}
