//! A decoder fed anything, frame after frame: a picture within the limits or an error, never a crash.
#![no_main]

use ahoy_base::VideoCodec;
use ahoy_codec::video::{MAX_DECODED, VpxDecoder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, mut rest)) = data.split_first() else { return };
    let codec = if kind & 1 == 0 { VideoCodec::Vp8 } else { VideoCodec::Vp9 };
    let Ok(mut decoder) = VpxDecoder::new(codec) else { return };
    // Frames of lengths that the input chooses.
    while let Some(([low, high], more)) = rest.split_first_chunk() {
        let (frame, after) = more.split_at(usize::from(u16::from_le_bytes([*low, *high])).min(more.len()));
        if let Ok(Some(picture)) = decoder.decode(frame) {
            assert!(picture.size().width <= MAX_DECODED && picture.size().height <= MAX_DECODED);
        }
        rest = after;
    }
});
