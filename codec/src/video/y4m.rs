//! Reads YUV4MPEG2 files: a line of text, then raw pictures, each after a line of its own.
//!
//! 4:2:0 with 8 bits alone; the header's words are those of mjpegtools' yuv4mpeg(5).

use std::io::{BufRead, Read};

use ahoy_base::VideoSize;

use super::Picture;
use crate::CodecError;

/// Header lines are short; a longer one is no y4m.
const MAX_LINE: u64 = 1_024;
/// Larger pictures are refused: 8K.
const MAX_SIDE: u16 = 8_192;

/// A file being read.
#[derive(Debug)]
pub struct Y4mReader<R> {
    input: R,
    size: VideoSize,
    rate: (u32, u32),
}

impl<R: BufRead> Y4mReader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// In words, when it is not one of a y4m file that can be played.
    pub fn new(mut input: R) -> Result<Y4mReader<R>, CodecError> {
        let line = read_line(&mut input)?.ok_or_else(|| bad("the file is empty"))?;
        let mut words = line.split(' ');
        if words.next() != Some("YUV4MPEG2") {
            return Err(bad("it is no y4m file"));
        }
        let (mut width, mut height, mut rate) = (0, 0, (30, 1));
        for word in words {
            let (key, value) = word.split_at_checked(1).unwrap_or_default();
            match key {
                "W" => width = value.parse().map_err(|_| bad("its width is no number"))?,
                "H" => height = value.parse().map_err(|_| bad("its height is no number"))?,
                "F" => rate = ratio(value).ok_or_else(|| bad("its frame rate is no ratio"))?,
                "C" if !matches!(value, "420" | "420jpeg" | "420mpeg2" | "420paldv") => {
                    return Err(bad(&format!("its colours are {value}; only 8-bit 4:2:0 is played")));
                }
                _ => {}
            }
        }
        if !(2..=MAX_SIDE).contains(&width) || !(2..=MAX_SIDE).contains(&height) {
            return Err(bad("its pictures are too small or too large"));
        }
        Ok(Y4mReader { input, size: VideoSize { width, height }, rate })
    }

    /// Pixels of every picture.
    pub fn size(&self) -> VideoSize {
        self.size
    }

    /// Pictures a second, as a ratio; neither part is 0.
    pub fn rate(&self) -> (u32, u32) {
        self.rate
    }

    /// The next picture; `None` at the end. A picture that is cut off counts as the end.
    ///
    /// # Errors
    /// When the file can't be read, or something else stands where a picture should.
    pub fn next_picture(&mut self) -> Result<Option<Picture>, CodecError> {
        let Some(line) = read_line(&mut self.input)? else { return Ok(None) };
        if line.split(' ').next() != Some("FRAME") {
            return Err(bad("something else stands where a picture should"));
        }
        let mut picture = Picture::black(self.size);
        match self.input.read_exact(picture.data_mut()) {
            Ok(()) => Ok(Some(picture)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(bad(&error.to_string())),
        }
    }

    /// The input, behind the last picture read.
    pub fn into_inner(self) -> R {
        self.input
    }
}

fn read_line(input: &mut impl BufRead) -> Result<Option<String>, CodecError> {
    let mut line = Vec::new();
    input.take(MAX_LINE).read_until(b'\n', &mut line).map_err(|error| bad(&error.to_string()))?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(bad("a line of it has no end"));
    }
    String::from_utf8(line).map(Some).map_err(|_| bad("a line of it is no text"))
}

fn ratio(text: &str) -> Option<(u32, u32)> {
    let (above, below) = text.split_once(':')?;
    let (above, below) = (above.parse().ok()?, below.parse().ok()?);
    (above > 0 && below > 0 && above / below <= 240).then_some((above, below))
}

fn bad(words: &str) -> CodecError {
    CodecError::BadPicture(words.to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn pictures_come_in_order_and_a_cut_one_ends_the_file() {
        let mut file = b"YUV4MPEG2 W2 H2 F30000:1001 Ip A1:1 C420mpeg2 XSOMETHING\n".to_vec();
        file.extend_from_slice(b"FRAME\n123456FRAME Ip\nabcdefFRAME\nxy");
        let mut reader = Y4mReader::new(file.as_slice()).unwrap();
        assert_eq!((reader.size(), reader.rate()), (VideoSize { width: 2, height: 2 }, (30_000, 1_001)));
        assert_eq!(reader.next_picture().unwrap().unwrap().data(), b"123456");
        assert_eq!(reader.next_picture().unwrap().unwrap().data(), b"abcdef");
        assert_eq!(reader.next_picture().unwrap(), None);
    }

    #[test]
    fn what_is_no_y4m_is_refused_in_words() {
        for text in [
            "",
            "RIFF",
            "RIFF\n",
            "YUV4MPEG2 W2 H2 F0:1\n",
            "YUV4MPEG2 W2 H2 F30\n",
            "YUV4MPEG2 W0 H2\n",
            "YUV4MPEG2 W99999 H2\n",
            "YUV4MPEG2 W2 H2 C444\n",
            "YUV4MPEG2 W2 H2 C420p10\n",
        ] {
            assert!(matches!(Y4mReader::new(text.as_bytes()), Err(CodecError::BadPicture(_))), "{text}");
        }
        let mut reader = Y4mReader::new(&b"YUV4MPEG2 W2 H2 F30:1\nJUNK\n"[..]).unwrap();
        assert!(reader.next_picture().is_err());
    }
}
