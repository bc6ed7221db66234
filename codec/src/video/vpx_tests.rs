//! Promises of encoder and decoder together: quality, rate, key frames on demand, going on after losses, hostile bytes.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::video::{TestCard, VpxDecoder, barcode, psnr};

const BOTH: [VideoCodec; 2] = [VideoCodec::Vp8, VideoCodec::Vp9];
const SIZE: VideoSize = VideoSize { width: 320, height: 180 };

fn config(codec: VideoCodec) -> EncoderConfig {
    EncoderConfig {
        codec,
        content: Content::Camera,
        size: SIZE,
        bitrate: Bitrate::kbps(300),
        frame_rate: 30,
        speed: Speed::Normal,
    }
}

/// An encoder with room for every grainy picture.
fn roomy(codec: VideoCodec) -> VpxEncoder {
    VpxEncoder::new(EncoderConfig { bitrate: Bitrate::kbps(1_200), ..config(codec) }).unwrap()
}

fn time(n: u64) -> Duration {
    Duration::from_micros(n * 1_000_000 / 30)
}

/// A card with grain that no encoder can foretell, so that the rate is needed.
fn grainy(card: &TestCard, n: u64) -> Picture {
    let mut picture = card.draw(n);
    let mut state = (n as u32).wrapping_mul(2_654_435_761) + 1;
    for y in picture.planes_mut()[0].iter_mut().skip(320 * 16) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *y = y.saturating_add((state >> 27) as u8);
    }
    picture
}

/// Encodes pictures `from..to`, losing those that the rate has no room for.
fn run(encoder: &mut VpxEncoder, card: &TestCard, range: std::ops::Range<u64>) -> Vec<EncodedVideo> {
    range.filter_map(|n| encoder.encode(&grainy(card, n), time(n)).unwrap()).collect()
}

#[test]
fn pictures_come_back_sharp_with_their_number() {
    let card = TestCard::new(SIZE);
    for (codec, floor) in [(VideoCodec::Vp8, 34.0), (VideoCodec::Vp9, 34.0)] {
        let mut encoder = VpxEncoder::new(config(codec)).unwrap();
        let mut decoder = VpxDecoder::new(codec).unwrap();
        for n in 0..60 {
            let picture = card.draw(n);
            let frame = encoder.encode(&picture, time(n)).unwrap().unwrap();
            assert_eq!((frame.seq, frame.media_time, frame.size, frame.codec), (n, time(n), SIZE, codec));
            assert_eq!((frame.needs, frame.discardable), (n.checked_sub(1), false));
            let shown = decoder.decode(&frame.data).unwrap().unwrap();
            assert_eq!(barcode::read(&shown), Some(n as u16), "{codec:?}");
            assert!(n < 30 || psnr(&picture, &shown) > floor, "{codec:?} {n} {}", psnr(&picture, &shown));
        }
    }
}

#[test]
fn the_number_is_readable_at_the_lowest_rate() {
    let card = TestCard::new(SIZE);
    for codec in BOTH {
        let mut encoder =
            VpxEncoder::new(EncoderConfig { bitrate: Bitrate::kbps(40), ..config(codec) }).unwrap();
        let mut decoder = VpxDecoder::new(codec).unwrap();
        let mut shown = 0;
        for n in 0..90 {
            let Some(frame) = encoder.encode(&grainy(&card, n), time(n)).unwrap() else { continue };
            let picture = decoder.decode(&frame.data).unwrap().unwrap();
            assert_eq!(barcode::read(&picture), Some(n as u16), "{codec:?}");
            shown += 1;
        }
        assert!(shown > 20, "{codec:?} {shown}");
    }
}

#[test]
fn the_rate_follows_the_plan_within_bounds_on_both_sides() {
    let card = TestCard::new(SIZE);
    for codec in BOTH {
        let mut encoder = VpxEncoder::new(config(codec)).unwrap();
        run(&mut encoder, &card, 0..60);
        let mut n = 60;
        for kbps in [600, 150, 400] {
            encoder.set_rate(Bitrate::kbps(kbps), 30).unwrap();
            // A second to get there, three to be measured.
            run(&mut encoder, &card, n..n + 30);
            let bytes: usize = run(&mut encoder, &card, n + 30..n + 120).iter().map(|f| f.data.len()).sum();
            n += 120;
            let share = bytes as f64 * 8.0 / 3_000.0 / kbps as f64;
            assert!((0.75..1.2).contains(&share), "{codec:?} at {kbps}: {share:.2}");
        }
    }
}

#[test]
fn a_key_frame_comes_on_demand_and_only_then() {
    let card = TestCard::new(SIZE);
    for codec in BOTH {
        let mut encoder = VpxEncoder::new(config(codec)).unwrap();
        let mut keys = Vec::new();
        for n in 0..200 {
            if n == 77 {
                encoder.ask_key();
            }
            let frame = encoder.encode(&card.draw(n), time(n)).unwrap().unwrap();
            keys.extend(frame.is_key().then_some(n));
            assert!(!frame.is_key() || frame.kept);
        }
        assert_eq!(keys, [0, 77], "{codec:?}");
    }
}

#[test]
fn it_goes_on_from_a_kept_frame_when_all_between_is_lost() {
    let card = TestCard::new(SIZE);
    for codec in BOTH {
        let mut encoder = roomy(codec);
        // One decoder gets all, the other loses 25 frames and a newer kept one; both must end with the same pixels.
        let (mut all, mut lossy) = (VpxDecoder::new(codec).unwrap(), VpxDecoder::new(codec).unwrap());
        let mut kept = 0;
        let mut size = [0; 2];
        for n in 0..120 {
            if n == 60 {
                encoder.go_on_from(kept);
            }
            let frame = encoder.encode(&grainy(&card, n), time(n)).unwrap().unwrap();
            let whole = all.decode(&frame.data).unwrap().unwrap();
            if n < 35 && frame.kept {
                kept = frame.seq;
                encoder.has(kept);
            }
            if n == 60 {
                assert_eq!((frame.needs, frame.is_key()), (Some(kept), false), "{codec:?}");
            }
            size[usize::from(n == 60)] = size[usize::from(n == 60)].max(frame.data.len());
            if !(35..60).contains(&n) {
                assert!(lossy.decode(&frame.data).unwrap().unwrap() == whole, "{codec:?} differs at {n}");
            }
        }
        assert!((15..35).contains(&kept), "{kept}");
        assert!(size[1] * 2 < size[0], "{codec:?}: it cost {} of a key frame's {} bytes", size[1], size[0]);
    }
}

#[test]
fn frames_that_were_never_sent_are_not_needed() {
    let card = TestCard::new(SIZE);
    for codec in BOTH {
        let mut encoder = roomy(codec);
        let mut decoder = VpxDecoder::new(codec).unwrap();
        for n in 0..90 {
            let frame = encoder.encode(&grainy(&card, n), time(n)).unwrap().unwrap();
            if n % 13 == 12 {
                encoder.unsent(frame.seq);
                continue;
            }
            assert!(frame.is_key() == (n == 0), "{codec:?} {n}");
            let shown = decoder.decode(&frame.data).unwrap().unwrap();
            assert!(psnr(&shown, &grainy(&card, n)) > 25.0, "{codec:?} {n}");
        }
    }
}

#[test]
fn of_two_layers_every_second_frame_can_be_left_out() {
    let card = TestCard::new(SIZE);
    for codec in BOTH {
        let mut encoder = roomy(codec);
        encoder.set_layers(Layers::Two);
        let (mut all, mut half) = (VpxDecoder::new(codec).unwrap(), VpxDecoder::new(codec).unwrap());
        let mut left_out = 0;
        for n in 0..60 {
            let frame = encoder.encode(&grainy(&card, n), time(n)).unwrap().unwrap();
            let whole = all.decode(&frame.data).unwrap().unwrap();
            if frame.discardable {
                left_out += 1;
            } else {
                assert!(half.decode(&frame.data).unwrap().unwrap() == whole, "{codec:?} differs at {n}");
            }
        }
        assert_eq!(left_out, 30, "{codec:?}");
    }
}

#[test]
fn another_size_makes_a_key_frame_both_ways() {
    for codec in BOTH {
        let mut encoder = VpxEncoder::new(config(codec)).unwrap();
        let mut decoder = VpxDecoder::new(codec).unwrap();
        let mut n = 0;
        for (width, height) in [(320, 180), (160, 90), (320, 180), (640, 360), (322, 182)] {
            let size = VideoSize { width, height };
            let card = TestCard::new(size);
            for first in [true, false, false] {
                let picture = card.draw(n);
                let frame = encoder.encode(&picture, time(n)).unwrap().unwrap();
                assert_eq!((frame.is_key(), frame.size, frame.seq), (first, size, n), "{codec:?}");
                let shown = decoder.decode(&frame.data).unwrap().unwrap();
                assert!(shown.size() == size && psnr(&shown, &picture) > 20.0);
                n += 1;
            }
        }
    }
}

#[test]
fn effort_and_coarseness_can_be_told_and_read() {
    let card = TestCard::new(SIZE);
    for codec in BOTH {
        let mut encoder = VpxEncoder::new(config(codec)).unwrap();
        run(&mut encoder, &card, 0..60);
        let fine = encoder.quantizer().unwrap();
        encoder.set_speed(Speed::Fastest).unwrap();
        encoder.set_rate(Bitrate::kbps(60), 30).unwrap();
        run(&mut encoder, &card, 60..150);
        assert!(encoder.quantizer().unwrap() > fine && fine <= 63, "{codec:?}");
    }
}

#[test]
fn a_screen_is_encoded_too() {
    let card = TestCard::new(SIZE);
    for codec in BOTH {
        let mut encoder =
            VpxEncoder::new(EncoderConfig { content: Content::Screen, ..config(codec) }).unwrap();
        let mut decoder = VpxDecoder::new(codec).unwrap();
        for n in 0..30 {
            let picture = card.draw(n / 10);
            let frame = encoder.encode(&picture, time(n)).unwrap().unwrap();
            let shown = decoder.decode(&frame.data).unwrap().unwrap();
            assert!(n < 9 || psnr(&shown, &picture) > 33.0, "{codec:?} {n} {}", psnr(&shown, &picture));
        }
    }
}

#[test]
fn broken_and_hostile_bytes_give_errors_and_a_key_frame_mends_all() {
    let card = TestCard::new(SIZE);
    for codec in BOTH {
        let mut encoder = VpxEncoder::new(config(codec)).unwrap();
        let frames = run(&mut encoder, &card, 0..8);
        let mut state = 12_345u32;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as usize
        };
        let mut decoder = VpxDecoder::new(codec).unwrap();
        assert_eq!(decoder.decode(&[]), Err(CodecError::BadFrame));
        assert_eq!(decoder.decode(&frames[1].data), Err(CodecError::BadFrame), "nothing before a key frame");
        for round in 0..1_500 {
            let mut data = frames[round % frames.len()].data.clone();
            for _ in 0..1 + random() % 6 {
                let at = random() % data.len();
                data[at] ^= 1 << (random() % 8);
            }
            data.truncate(1 + random() % data.len());
            // Whatever it says: no crash, and nothing larger than allowed.
            if let Ok(Some(picture)) = decoder.decode(&data) {
                assert!(picture.size().width <= crate::video::MAX_DECODED);
            }
        }
        let shown = decoder.decode(&frames[0].data).unwrap().unwrap();
        assert!(psnr(&shown, &grainy(&card, 0)) > 25.0, "{codec:?}");
    }
}

#[test]
fn pictures_beyond_the_limit_are_refused_before_anything_is_allocated() {
    let huge = VideoSize { width: 16_000, height: 16_000 };
    let vp8 = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x3e, 0x80, 0x3e, 0, 0, 0, 0, 0, 0];
    assert_eq!(super::super::vpx_header::read(VideoCodec::Vp8, &vp8).unwrap().size, Some(huge));
    assert_eq!(VpxDecoder::new(VideoCodec::Vp8).unwrap().decode(&vp8), Err(CodecError::BadFrame));
    // A key frame's header (VP9 0.6, 6.2): marker, profile 0, key, shown; sync code; colour; 15999 twice.
    let vp9 = [0x82, 0x49, 0x83, 0x42, 0x23, 0xe7, 0xf3, 0xe7, 0xf0, 0, 0, 0, 0, 0];
    assert_eq!(super::super::vpx_header::read(VideoCodec::Vp9, &vp9).unwrap().size, Some(huge));
    assert_eq!(VpxDecoder::new(VideoCodec::Vp9).unwrap().decode(&vp9), Err(CodecError::BadFrame));
}

/// vpx-encode is nobody's code here; what it makes is decoded by ours.
#[test]
fn frames_of_another_encoder_are_decoded() {
    let card = TestCard::new(SIZE);
    for (id, codec) in
        [(vpx_encode::VideoCodecId::VP8, VideoCodec::Vp8), (vpx_encode::VideoCodecId::VP9, VideoCodec::Vp9)]
    {
        let mut theirs = vpx_encode::Encoder::new(vpx_encode::Config {
            width: SIZE.width.into(),
            height: SIZE.height.into(),
            timebase: [1, 30],
            bitrate: 600,
            codec: id,
        })
        .unwrap();
        let mut decoder = VpxDecoder::new(codec).unwrap();
        let mut shown = Vec::new();
        let mut take =
            |data: &[u8]| shown.extend(decoder.decode(data).unwrap().and_then(|p| barcode::read(&p)));
        for n in 0..40 {
            theirs.encode(n, card.draw(n as u64).data()).unwrap().for_each(|frame| take(frame.data));
        }
        let mut rest = theirs.finish().unwrap();
        while let Some(frame) = rest.next().unwrap() {
            take(frame.data);
        }
        assert_eq!(shown, (0..40).collect::<Vec<u16>>(), "{codec:?}");
    }
}
