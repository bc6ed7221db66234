//! A picture in memory, and how alike two are.

use ahoy_base::VideoSize;

/// I420: the planes Y, U and V one after the other, without gaps; chroma has half the columns and rows, rounded up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Picture {
    size: VideoSize,
    data: Vec<u8>,
}

impl Picture {
    /// A black picture.
    pub fn black(size: VideoSize) -> Picture {
        let luma = luma_len(size);
        let mut data = vec![16; luma];
        data.resize(Picture::bytes(size), 128);
        Picture { size, data }
    }

    /// From bytes in this very layout; `None` when there are more or fewer than the size needs.
    pub fn from_bytes(size: VideoSize, data: Vec<u8>) -> Option<Picture> {
        (data.len() == Picture::bytes(size)).then_some(Picture { size, data })
    }

    /// Bytes of a picture.
    pub const fn bytes(size: VideoSize) -> usize {
        luma_len(size) + 2 * chroma_len(size)
    }

    /// Columns and rows.
    pub const fn size(&self) -> VideoSize {
        self.size
    }

    /// All planes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// All planes, to write into.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// Columns of Y; of U and V.
    pub const fn strides(&self) -> (usize, usize) {
        (self.size.width as usize, self.size.width.div_ceil(2) as usize)
    }

    /// Y, U and V.
    pub fn planes(&self) -> [&[u8]; 3] {
        let (y, chroma) = self.data.split_at(luma_len(self.size).min(self.data.len()));
        let (u, v) = chroma.split_at(chroma.len() / 2);
        [y, u, v]
    }

    /// Y, U and V, to write into.
    pub fn planes_mut(&mut self) -> [&mut [u8]; 3] {
        let luma = luma_len(self.size).min(self.data.len());
        let (y, chroma) = self.data.split_at_mut(luma);
        let half = chroma.len() / 2;
        let (u, v) = chroma.split_at_mut(half);
        [y, u, v]
    }
}

/// Peak signal to noise of the luma of two pictures of one size, in decibels; 99 for the same picture, 0 for another size.
pub fn psnr(a: &Picture, b: &Picture) -> f64 {
    if a.size != b.size {
        return 0.0;
    }
    let ([a, ..], [b, ..]) = (a.planes(), b.planes());
    let square = |(a, b): (&u8, &u8)| u64::from(a.abs_diff(*b)).pow(2);
    let sum: u64 = a.iter().zip(b).map(square).sum();
    if sum == 0 {
        return 99.0;
    }
    10.0 * (255.0 * 255.0 * a.len() as f64 / sum as f64).log10()
}

const fn luma_len(size: VideoSize) -> usize {
    size.width as usize * size.height as usize
}

const fn chroma_len(size: VideoSize) -> usize {
    size.width.div_ceil(2) as usize * size.height.div_ceil(2) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_of_odd_sizes_fit() {
        let mut picture = Picture::black(VideoSize { width: 5, height: 3 });
        let [y, u, v] = picture.planes_mut();
        assert_eq!((y.len(), u.len(), v.len()), (15, 6, 6));
        assert_eq!((y[14], u[0], v[5]), (16, 128, 128));
        assert!(Picture::from_bytes(VideoSize { width: 5, height: 3 }, vec![0; 28]).is_none());
    }

    #[test]
    fn likeness_is_counted_in_decibels() {
        let size = VideoSize { width: 16, height: 16 };
        let (a, mut b) = (Picture::black(size), Picture::black(size));
        assert_eq!(psnr(&a, &b), 99.0);
        b.planes_mut()[0].fill(17);
        assert!((psnr(&a, &b) - 48.13).abs() < 0.01);
        assert_eq!(psnr(&a, &Picture::black(VideoSize { width: 8, height: 8 })), 0.0);
    }
}
