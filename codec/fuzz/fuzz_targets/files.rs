//! Files and images from anywhere: y4m, IVF, and the JPEG of a camera.
#![no_main]

use ahoy_codec::video::{Y4mReader, from_jpeg, read_ivf};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(mut reader) = Y4mReader::new(data) {
        while let Ok(Some(picture)) = reader.next_picture() {
            assert_eq!(picture.size(), reader.size());
        }
    }
    if let Some((_, frames)) = read_ivf(data) {
        assert!(frames.iter().map(|(_, frame)| frame.len()).sum::<usize>() <= data.len());
    }
    // Whatever it says: no crash.
    let _ = from_jpeg(data);
});
