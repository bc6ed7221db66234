//! Live figures of the pictures of a call: what happened between two looks, and their part of `ahoy stats`.

use std::collections::BTreeMap;
use std::time::Duration;

use ahoy_base::{Bitrate, ByteCount, VideoTrack};
use ahoy_net_core::session::PictureFigures;
use serde_json::{Value, json};

/// How a picture does lately.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Lively {
    /// Frames a second.
    pub(crate) frame_rate: f64,
    /// Bits a second of its frames.
    pub(crate) bitrate: Bitrate,
    /// Bits a second of parity and second sendings.
    pub(crate) repair: Bitrate,
    /// Nothing came of it though it is on.
    pub(crate) frozen: bool,
}

/// The pictures of one call by track; `true`: this person's.
pub(crate) type Pictures = BTreeMap<(VideoTrack, bool), Lively>;

/// What happened since the look `before`.
pub(crate) fn since(
    now: &BTreeMap<VideoTrack, PictureFigures>,
    before: &BTreeMap<VideoTrack, PictureFigures>,
    time: Duration,
) -> Pictures {
    let mut all = Pictures::new();
    let rate = |now: u64, then: u64| Bitrate::of(ByteCount::new(now.saturating_sub(then)), time);
    let frames = |now: u64, then: u64| {
        let seconds = time.as_secs_f64();
        if seconds > 0.0 { (now.saturating_sub(then) as f64 / seconds * 10.0).round() / 10.0 } else { 0.0 }
    };
    for (track, now) in now {
        let before = before.get(track).cloned().unwrap_or_default();
        if now.ours_on {
            let (sent, then) = (now.sent, before.sent);
            let repair = (sent.parity_bytes + sent.again_bytes, then.parity_bytes + then.again_bytes);
            let lively = Lively {
                frame_rate: frames(sent.frames, then.frames),
                bitrate: rate(sent.bytes, then.bytes),
                repair: rate(repair.0, repair.1),
                frozen: false,
            };
            all.insert((*track, true), lively);
        }
        if now.theirs_on {
            let (got, then) = (now.received, before.received);
            let lively = Lively {
                frame_rate: frames(got.frames, then.frames),
                bitrate: rate(got.bytes, then.bytes),
                repair: Bitrate::default(),
                frozen: before.theirs_on && got.frames == then.frames,
            };
            all.insert((*track, false), lively);
        }
    }
    all
}

/// What is sent of a picture, for `ahoy stats`. `all`: everything that is sent to the peer.
pub(crate) fn sent(track: VideoTrack, figures: &PictureFigures, lively: Lively, all: Bitrate) -> Value {
    let part = |bits: Bitrate| share(bits, all);
    let frames = figures.sent;
    json!({
        "track": track.word(), "kind": "video", "direction": "send",
        "target_bps": figures.plan.map_or(0, |plan| plan.bitrate.as_bps()),
        "sent_bps": lively.bitrate.as_bps() + lively.repair.as_bps(),
        "width": frames.size.map(|size| size.width), "height": frames.size.map(|size| size.height),
        "frame_rate": lively.frame_rate,
        "share": { "audio": 0.0, "video": part(lively.bitrate), "repair": part(lively.repair) },
        "frames": frames.frames, "key_frames": frames.keys, "packets": frames.pieces,
        "parity_bytes": frames.parity_bytes, "again_bytes": frames.again_bytes,
        "plan": figures.plan.map(|plan| json!({
            "bitrate_bps": plan.bitrate.as_bps(), "width": plan.size.width, "height": plan.size.height,
            "frame_rate": plan.frame_rate,
        })),
    })
}

/// What comes of a picture.
pub(crate) fn received(track: VideoTrack, figures: &PictureFigures, lively: Lively) -> Value {
    let frames = figures.received;
    json!({
        "track": track.word(), "kind": "video", "direction": "receive",
        "received_bps": lively.bitrate.as_bps(),
        "width": frames.size.map(|size| size.width), "height": frames.size.map(|size| size.height),
        "frame_rate": lively.frame_rate,
        "frames": frames.frames, "key_frames": frames.keys, "skipped": frames.skipped,
        "freezes": { "count": frames.freezes, "total_ms": (frames.frozen.as_secs_f64() * 1e3).round() },
        "mended_by_parity": frames.mended, "asks": frames.asks, "go_on_asks": frames.go_ons,
        "key_asks": frames.key_asks,
        "waits_ms": (frames.waits.as_secs_f64() * 1e4).round() / 10.0,
    })
}

fn share(part: Bitrate, of: Bitrate) -> f64 {
    if of.as_bps() == 0 {
        return 0.0;
    }
    ((part.as_bps() as f64 / of.as_bps() as f64).min(1.0) * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_tells_what_happened_since_the_last() {
        let mut before = BTreeMap::new();
        let mut figures = PictureFigures { ours_on: true, theirs_on: true, ..PictureFigures::default() };
        figures.received.frames = 10;
        before.insert(VideoTrack::Camera, figures.clone());
        let mut now = before.clone();
        figures.sent.frames = 15;
        figures.sent.bytes = 12_500;
        figures.sent.parity_bytes = 1_250;
        now.insert(VideoTrack::Camera, figures.clone());
        let all = since(&now, &before, Duration::from_millis(500));
        let ours = all.get(&(VideoTrack::Camera, true)).copied().unwrap_or_default();
        assert_eq!(
            (ours.frame_rate, ours.bitrate, ours.repair),
            (30.0, Bitrate::kbps(200), Bitrate::kbps(20))
        );
        let theirs = all.get(&(VideoTrack::Camera, false)).copied().unwrap_or_default();
        assert!(theirs.frozen && theirs.frame_rate == 0.0);
        let value = sent(VideoTrack::Camera, &figures, ours, Bitrate::kbps(400));
        assert_eq!(value["share"], json!({ "audio": 0.0, "video": 0.5, "repair": 0.05 }));
        assert_eq!(value["sent_bps"], 220_000);
    }
}
