//! VP9 where the machine has time for it, else VP8: found out once, by encoding.

use std::time::Duration;

use ahoy_base::{Bitrate, VideoCodec, VideoSize};
use ahoy_codec::video::{Content, EncoderConfig, Speed, TestCard, VpxEncoder};

use crate::clock;

/// What is encoded to find out.
const SIZE: VideoSize = VideoSize { width: 640, height: 360 };
const PICTURES: u64 = 12;
/// The quickest frame may take so long: 720 lines are four times that, and shall fit in half of their 33 ms.
const QUICK_ENOUGH: Duration = Duration::from_micros(4_000);

/// Encodes a few pictures; the quickest counts, since others can only have been held up.
pub(super) fn measure() -> VideoCodec {
    let took = quickest().unwrap_or(Duration::MAX);
    let codec = if took <= QUICK_ENOUGH { VideoCodec::Vp9 } else { VideoCodec::Vp8 };
    tracing::debug!(?took, ?codec, "the codec for pictures");
    codec
}

fn quickest() -> Option<Duration> {
    let config = EncoderConfig {
        codec: VideoCodec::Vp9,
        content: Content::Camera,
        size: SIZE,
        bitrate: Bitrate::kbps(500),
        frame_rate: 30,
        speed: Speed::Normal,
    };
    let mut encoder = VpxEncoder::new(config).ok()?;
    let card = TestCard::new(SIZE);
    let mut time = |n: u64| {
        let picture = card.draw(n);
        let start = clock::now();
        encoder.encode(&picture, Duration::from_millis(33 * n)).ok()?;
        Some(clock::now().since(start))
    };
    // The key frame is no measure.
    time(0)?;
    (1..PICTURES).filter_map(time).min()
}
