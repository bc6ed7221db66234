//! The promises of pictures on the way, each on a path that breaks without the rule behind it.

mod world;

use std::time::Duration;

use ahoy_base::{EncodedVideo, Moment, VideoCodec, VideoSize, VideoTrack};
use ahoy_net_core::session::Input;
use world::Path;
use world::pictures::{Look, PictureCall, look};

const SECOND: fn(u64) -> Duration = Duration::from_secs;

/// A call with its camera on for `seconds`, and how the time after the first four looked.
fn call(seed: u64, path: Path, seconds: u64) -> (PictureCall, Look) {
    let mut call = PictureCall::new(seed, path);
    let from = call.now();
    call.camera(true);
    call.run(SECOND(seconds));
    let seen = look(&call.seen, from + SECOND(4), call.now());
    if std::env::var_os("RATE_TRACE").is_some() {
        let figures = &call.sessions[1].stats().pictures;
        println!("{seen:?} keys {} {:?}", call.keys(), figures.values().next().map(|f| f.received));
        println!("   sent {:?}", call.sessions[0].stats().pictures.values().next().map(|f| (f.sent, f.plan)));
        println!(
            "   {:.0} kbit/s all, {:?}",
            call.bytes as f64 * 8.0 / 1e3 / (seconds + 1) as f64,
            call.sessions[0].stats().links.first().map(|l| (l.loss, l.rate))
        );
    }
    (call, seen)
}

fn first(call: &PictureCall, began: Moment) -> Duration {
    call.seen.first().map_or(Duration::MAX, |s| s.at.since(began))
}

#[test]
fn a_clean_path_shows_720_lines_within_two_seconds_and_every_frame() {
    for seed in 0..3 {
        let (call, seen) = call(seed, Path::good(20_000.0, 1), 20);
        let began = Moment::from_millis(2_000);
        let first = first(&call, began);
        assert!(first < Duration::from_millis(60), "seed {seed}: first picture after {first:?}");
        let large = call.seen.iter().find(|s| s.size.height >= 720).map(|s| s.at.since(began));
        assert!(large.is_some_and(|after| after < SECOND(2)), "seed {seed}: {large:?}");
        assert!(seen.fps > 29.5 && seen.median < 30.0 && seen.frozen_ms < 1.0, "seed {seed}: {seen:?}");
    }
}

#[test]
fn a_first_frame_that_nobody_looks_at_holds_up_none_of_those_that_follow() {
    for seed in 0..3 {
        let mut call = PictureCall::new(seed, Path::good(20_000.0, 1));
        let now = call.now();
        call.sessions[1].handle(now, Input::Want { track: VideoTrack::Camera, size: None });
        call.run(Duration::from_millis(300));
        let now = call.now();
        call.sessions[0].handle(now, Input::TrackOn { track: VideoTrack::Camera, on: true });
        // Made before the encoder heard that nobody looks.
        let frame = EncodedVideo {
            seq: 0,
            media_time: Duration::from_millis(300),
            codec: VideoCodec::Vp8,
            size: VideoSize { width: 640, height: 360 },
            needs: None,
            kept: true,
            discardable: false,
            data: vec![7; 6_000],
        };
        call.sessions[0].handle(now, Input::Video { track: VideoTrack::Camera, frame });
        // The voice alone leaves hardly anything of what it may use itself: in its rate the frame took 600 ms here, and for
        // ever where the voice took more.
        call.run(Duration::from_millis(450));
        assert!(call.sessions[0].takes_video(), "seed {seed}: it still waits");
    }
}

#[test]
fn loss_is_mended_without_freezing() {
    for seed in 0..3 {
        for (loss, delay) in [(0.05, 45.0), (0.1, 50.0), (0.2, 75.0)] {
            let (_, seen) = call(seed, Path { loss, ..Path::good(20_000.0, 25) }, 30);
            assert!(seen.fps > 24.0 && seen.frozen_ms < 1_200.0, "seed {seed}, {loss}: {seen:?}");
            assert!(seen.median < 25.0 + delay, "seed {seed}, {loss}: {seen:?}");
            assert!(seen.kbps > 500.0, "seed {seed}, {loss}: {seen:?}");
        }
    }
}

#[test]
fn a_narrow_link_carries_a_picture_beside_the_voice() {
    for seed in 0..3 {
        let (_, seen) = call(seed, Path::good(500.0, 25), 30);
        assert!(seen.fps > 26.0 && seen.median < 125.0 && seen.frozen_ms < 250.0, "seed {seed}: {seen:?}");
    }
}

#[test]
fn who_wants_little_data_gets_and_sends_little() {
    for side in 0..2 {
        let mut call = PictureCall::new(1, Path::good(20_000.0, 10));
        let now = call.now();
        call.sessions[side].handle(now, Input::LowData(true));
        call.camera(true);
        call.run(SECOND(20));
        let seen = look(&call.seen, now + SECOND(4), call.now());
        assert!(seen.fps > 10.0 && seen.kbps > 40.0 && seen.kbps < 300.0, "side {side}: {seen:?}");
    }
}

#[test]
fn jitter_alone_costs_little() {
    for seed in 0..3 {
        let path = Path { jitter: Duration::from_millis(40), ..Path::good(20_000.0, 30) };
        let (_, seen) = call(seed, path, 20);
        assert!(seen.fps > 29.0 && seen.median < 110.0 && seen.frozen_ms < 1.0, "seed {seed}: {seen:?}");
    }
}

#[test]
fn switching_pictures_makes_no_gap_in_the_sound() {
    for (kbps, seed) in [(3_000.0, 1), (600.0, 2)] {
        let mut call = PictureCall::new(seed, Path::good(kbps, 25));
        let began = call.heard.len();
        for step in 0..12u64 {
            call.camera(step % 2 == 0);
            call.run(Duration::from_millis(300 + step * 137 % 900));
        }
        let heard: Vec<(u64, Moment)> = call.heard.iter().skip(began).copied().collect();
        let mut numbers: Vec<u64> = heard.iter().map(|(n, _)| *n).collect();
        numbers.dedup();
        let all = numbers.last().zip(numbers.first()).map_or(0, |(last, first)| last - first + 1);
        assert_eq!(numbers.len() as u64, all, "{kbps}: a frame of sound is missing");
        let gaps = heard.windows(2).filter_map(|w| Some(w.get(1)?.1.since(w.first()?.1)));
        let worst = gaps.max().unwrap_or_default();
        assert!(worst < Duration::from_millis(60), "{kbps}: {worst:?}");
    }
}

#[test]
fn a_link_that_narrows_freezes_for_a_moment_at_most() {
    for seed in 0..4 {
        let wide = Path { queue: Duration::from_millis(200), ..Path::good(3_000.0, 25) };
        let mut call = PictureCall::new(seed, wide);
        call.camera(true);
        call.run(SECOND(12));
        let narrowed = call.now();
        call.links[0].path.rate = 500_000.0;
        call.run(SECOND(10));
        let widened = call.now();
        call.links[0].path.rate = 3_000_000.0;
        call.run(SECOND(10));
        let before = look(&call.seen, narrowed - SECOND(5), narrowed);
        let narrow = look(&call.seen, narrowed, widened);
        let after = look(&call.seen, widened + SECOND(5), widened + SECOND(10));
        assert!(narrow.fps > 22.0 && narrow.frozen_ms < 1_200.0, "seed {seed}: {narrow:?}");
        assert!(narrow.median < 250.0 && narrow.kbps > 220.0, "seed {seed}: {narrow:?}");
        assert!(after.fps > 29.0 && after.kbps > before.kbps * 0.85, "seed {seed}: {before:?} {after:?}");
    }
}

#[test]
fn ten_minutes_of_changing_links_leave_no_delay_and_no_memory_behind() {
    let mut call = PictureCall::new(11, Path::good(3_000.0, 20));
    call.camera(true);
    call.run(SECOND(10));
    let fresh = look(&call.seen, call.now() - SECOND(6), call.now());
    let kept =
        |call: &PictureCall| call.sessions.each_ref().map(ahoy_net_core::session::Session::picture_bytes);
    let mut most = [0; 2];
    for minute in 0..10u64 {
        for (kbps, loss, jitter) in
            [(3_000.0, 0.0, 0), (600.0, 0.02, 0), (1_500.0, 0.1, 10), (3_000.0, 0.0, 20)]
        {
            let path = &mut call.links[0].path;
            (path.rate, path.loss, path.jitter) = (kbps * 1e3, loss, Duration::from_millis(jitter));
            call.run(SECOND(15));
            most = [most[0].max(kept(&call)[0]), most[1].max(kept(&call)[1])];
        }
        let seen = look(&call.seen, call.now() - SECOND(60), call.now());
        assert!(seen.fps > 26.0 && seen.frozen_ms < 3_000.0, "minute {minute}: {seen:?}");
    }
    (call.links[0].path.loss, call.links[0].path.jitter) = (0.0, Duration::ZERO);
    call.run(SECOND(20));
    let last = look(&call.seen, call.now() - SECOND(6), call.now());
    assert!(last.median < fresh.median + 15.0, "{last:?} after {fresh:?}");
    // Frames sent are kept for 1.2 s, those that wait are a second of 2 Mbit/s.
    assert!(most[0] < 1_600_000 && most[1] < 400_000, "{most:?} bytes");
}
