//! Processor time and likeness of encoding a y4m file: `video_bench FILE vp8|vp9 KBPS careful|normal|fast|fastest [one|two] [camera|screen]`.
#![expect(clippy::unwrap_used, reason = "a tool for developers")]

use std::io::BufReader;
use std::time::{Duration, Instant};

use ahoy_base::{Bitrate, VideoCodec};
use ahoy_codec::video::{
    Content, EncoderConfig, Layers, Picture, Speed, VpxDecoder, VpxEncoder, Y4mReader, psnr,
};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |n: usize| words.get(n).map_or("", String::as_str);
    let mut reader = Y4mReader::new(BufReader::new(std::fs::File::open(word(0)).unwrap())).unwrap();
    let pictures: Vec<Picture> = std::iter::from_fn(|| reader.next_picture().unwrap()).take(300).collect();
    let codec = if word(1) == "vp9" { VideoCodec::Vp9 } else { VideoCodec::Vp8 };
    let kbps: u64 = word(2).parse().unwrap();
    let mut encoder = VpxEncoder::new(EncoderConfig {
        codec,
        content: if word(5) == "screen" { Content::Screen } else { Content::Camera },
        size: reader.size(),
        bitrate: Bitrate::kbps(kbps),
        frame_rate: 30,
        speed: match word(3) {
            "careful" => Speed::Careful,
            "fast" => Speed::Fast,
            "fastest" => Speed::Fastest,
            _ => Speed::Normal,
        },
    })
    .unwrap();
    encoder.set_layers(if word(4) == "two" { Layers::Two } else { Layers::One });
    let mut decoder = VpxDecoder::new(codec).unwrap();
    let (mut encoding, mut decoding, mut bytes, mut shown, mut likeness) =
        (Duration::ZERO, Duration::ZERO, 0, 0, 0.0);
    let mut slowest = Duration::ZERO;
    for (n, picture) in pictures.iter().enumerate() {
        let start = Instant::now();
        let frame = encoder.encode(picture, Duration::from_micros(n as u64 * 33_333)).unwrap();
        slowest = slowest.max(start.elapsed());
        encoding += start.elapsed();
        let Some(frame) = frame else { continue };
        bytes += frame.data.len();
        let start = Instant::now();
        let decoded = decoder.decode(&frame.data).unwrap().unwrap();
        decoding += start.elapsed();
        // The first second is the rate controller's.
        if n >= 30 {
            shown += 1;
            likeness += psnr(picture, &decoded);
        }
    }
    let n = pictures.len() as f64;
    println!(
        "{codec:?} {} {kbps} kbit/s {} {}: {:.0} kbit/s, encode {:.2} ms (worst {:.1}), decode {:.2} ms, {shown} of {} shown, {:.2} dB",
        reader.size().height,
        word(3),
        word(4),
        bytes as f64 * 8.0 * 30.0 / n / 1_000.0,
        encoding.as_secs_f64() * 1_000.0 / n,
        slowest.as_secs_f64() * 1_000.0,
        decoding.as_secs_f64() * 1_000.0 / n,
        pictures.len() - 30,
        likeness / f64::from(shown),
    );
}
