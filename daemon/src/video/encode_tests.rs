//! Promises of the encode thread, without the thread.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use ahoy_base::{CallId, PeerId};
use ahoy_codec::video::TestCard;
use tokio::sync::mpsc;

const SIZE: VideoSize = VideoSize { width: 320, height: 180 };
const PLAN: VideoPlan = VideoPlan { bitrate: Bitrate::kbps(400), size: SIZE, frame_rate: 30 };

struct Rig {
    encode: Encode,
    card: TestCard,
    frames: mpsc::Receiver<EncodedVideo>,
    plan: watch::Sender<VideoPlan>,
    requests: mpsc::Sender<VideoRequest>,
    content: watch::Sender<ScreenContent>,
}

fn rig(track: VideoTrack) -> Rig {
    let (frames_in, frames) = mpsc::channel(2);
    let (plan, plan_out) = watch::channel(PLAN);
    let (requests, requests_out) = mpsc::channel(8);
    let (content, content_out) = watch::channel(ScreenContent::Text);
    let key = TrackKey { call: CallId::from_bytes([1; 16]), peer: PeerId::from_public_key([2; 32]), track };
    let parts = Parts {
        key,
        out: VideoOut { frames: frames_in, plan: plan_out, requests: requests_out },
        place: Arc::default(),
        hub: VideoHub::default(),
        content: content_out,
        codec: VideoCodec::Vp8,
    };
    Rig { encode: Encode::new(parts), card: TestCard::new(SIZE), frames, plan, requests, content }
}

impl Rig {
    /// Captures picture `n` of 30 a second; what comes of it.
    fn capture(&mut self, n: u64) -> Option<EncodedVideo> {
        let at = clock::media_epoch() + Duration::from_micros(n * 1_000_000 / 30);
        assert!(self.encode.follow_requests() == Flow::On);
        let captured = Captured { picture: Arc::new(self.card.draw(n)), at };
        assert!(self.encode.picture(captured) == Flow::On);
        self.frames.try_recv().ok()
    }
}

#[test]
fn frames_follow_the_plans_size_and_rate() {
    let mut rig = rig(VideoTrack::Camera);
    let made: Vec<_> = (0..30).filter_map(|n| rig.capture(n)).collect();
    assert_eq!((made.len(), made[0].size, made[29].seq), (30, SIZE, 29));
    assert_eq!(made[29].media_time, Duration::from_micros(29 * 1_000_000 / 30));
    let small = VideoSize { width: 160, height: 90 };
    rig.plan.send(VideoPlan { size: small, frame_rate: 15, ..PLAN }).unwrap();
    let made: Vec<_> = (30..90).filter_map(|n| rig.capture(n)).collect();
    assert_eq!((made.len(), made[0].size, made[0].is_key()), (30, small, true));
    rig.plan.send(VideoPlan { bitrate: Bitrate::bps(0), ..PLAN }).unwrap();
    assert_eq!((90..120).filter_map(|n| rig.capture(n)).count(), 0);
    rig.plan.send(PLAN).unwrap();
    assert_eq!(rig.capture(120).unwrap().size, SIZE);
}

#[test]
fn a_screen_in_motion_keeps_its_rate_and_one_of_text_its_pixels() {
    let mut rig = rig(VideoTrack::Screen);
    rig.card = TestCard::new(VideoSize { width: 640, height: 360 });
    let size = VideoSize { width: 640, height: 360 };
    rig.plan.send(VideoPlan { bitrate: Bitrate::kbps(150), size, frame_rate: 3 }).unwrap();
    let text: Vec<_> = (0..60).filter_map(|n| rig.capture(n)).collect();
    assert!((5..=7).contains(&text.len()) && text.iter().all(|frame| frame.size == size), "{}", text.len());
    rig.content.send(ScreenContent::Motion).unwrap();
    let motion: Vec<_> = (60..120).filter_map(|n| rig.capture(n)).collect();
    assert!(motion.len() > 30 && motion.iter().all(|frame| frame.size.height < 360), "{}", motion.len());
    assert!(motion[0].is_key() && motion[0].seq == text.len() as u64, "numbers go on");
    rig.content.send(ScreenContent::Text).unwrap();
    let text: Vec<_> = (120..180).filter_map(|n| rig.capture(n)).collect();
    assert!(text.len() < 10 && text[0].is_key() && text[0].size == size);
}

#[test]
fn requests_are_carried_out_by_the_next_frame() {
    let mut rig = rig(VideoTrack::Camera);
    let made: Vec<_> = (0..20).filter_map(|n| rig.capture(n)).collect();
    let kept = made.iter().rfind(|frame| frame.kept).unwrap().seq;
    assert!(kept > 0 && made[19].seq == 19);
    rig.requests.try_send(VideoRequest::GoOnFrom(kept)).unwrap();
    assert_eq!(rig.capture(20).unwrap().needs, Some(kept));
    rig.requests.try_send(VideoRequest::Key).unwrap();
    assert!(rig.capture(21).unwrap().is_key());
    assert!(!rig.capture(22).unwrap().is_key());
}

#[test]
fn a_frame_without_room_is_gone_and_nothing_needs_it() {
    let mut rig = rig(VideoTrack::Camera);
    let first = rig.capture(0).unwrap();
    for n in 1..5 {
        let at = clock::media_epoch() + Duration::from_micros(n * 1_000_000 / 30);
        rig.encode.picture(Captured { picture: Arc::new(rig.card.draw(n)), at });
    }
    // Two found room, two did not; the next goes on from the key frame.
    assert_eq!((rig.frames.try_recv().unwrap().seq, rig.frames.try_recv().unwrap().seq), (1, 2));
    let next = rig.capture(5).unwrap();
    assert_eq!((next.seq, next.needs, first.kept), (5, Some(0), true));
}

#[test]
fn a_still_screen_is_sharpened_and_then_costs_nothing() {
    for codec in [VideoCodec::Vp8, VideoCodec::Vp9] {
        let mut rig = rig(VideoTrack::Screen);
        rig.encode.parts.codec = codec;
        rig.plan.send(VideoPlan { bitrate: Bitrate::kbps(60), ..PLAN }).unwrap();
        rig.capture(0).unwrap();
        let times = (1..600).map(|n| clock::media_epoch() + IDLE * n);
        let made = times.filter_map(|now| {
            assert!(rig.encode.still(now) == Flow::On);
            rig.frames.try_recv().ok()
        });
        let last = made.map(|frame| frame.media_time).max().unwrap();
        assert!(last.as_secs() < 30, "{codec:?}: it was sharp after {last:?}");
        assert!(rig.encode.encoder.as_mut().unwrap().quantizer().unwrap() <= SHARP);
        rig.requests.try_send(VideoRequest::Key).unwrap();
        let late = clock::media_epoch() + IDLE * 601;
        assert!(rig.encode.follow_requests() == Flow::On && rig.encode.still(late) == Flow::On);
        assert!(rig.frames.try_recv().unwrap().is_key(), "whoever comes late sees it too");
    }
}

#[test]
fn numbers_go_on_when_the_page_takes_over_and_gives_back() {
    let mut rig = rig(VideoTrack::Camera);
    for n in 0..5 {
        rig.capture(n).unwrap();
    }
    let page = |seq: u64, needs| EncodedVideo {
        seq,
        media_time: Duration::from_secs(1),
        codec: VideoCodec::Vp8,
        size: SIZE,
        needs,
        kept: false,
        discardable: false,
        data: vec![1],
    };
    rig.encode.frames([page(0, None), page(1, Some(0))].into());
    let taken = [rig.frames.try_recv().unwrap(), rig.frames.try_recv().unwrap()];
    assert_eq!(taken.map(|frame| (frame.seq, frame.needs)), [(5, None), (6, Some(5))]);
    let back = rig.capture(60).unwrap();
    assert_eq!((back.seq, back.is_key()), (7, true));
}

#[test]
fn a_page_rests_while_its_frames_wait_and_none_is_lost() {
    let mut rig = rig(VideoTrack::Camera);
    let hub = rig.encode.parts.hub.clone();
    let browser = hub.browser(VideoTrack::Camera);
    let mut wishes = browser.wishes();
    let _source = browser.source(PLAN);
    // Told to make nothing before its first frame: it hears when that is over.
    rig.plan.send(VideoPlan { bitrate: Bitrate::bps(0), ..PLAN }).unwrap();
    assert!(rig.encode.follow_requests() == Flow::On);
    let made = |wishes: &mut watch::Receiver<super::super::hub::BrowserWish>| {
        wishes.borrow_and_update().plan.unwrap().bitrate.as_bps()
    };
    assert_eq!(made(&mut wishes), 0);
    rig.plan.send(PLAN).unwrap();
    assert!(rig.encode.follow_requests() == Flow::On);
    assert_eq!(made(&mut wishes), 400_000);
    let page = |seq: u64| EncodedVideo {
        seq,
        media_time: Duration::from_millis(seq * 33),
        codec: VideoCodec::Vp8,
        size: SIZE,
        needs: seq.checked_sub(1),
        kept: false,
        discardable: false,
        data: vec![1],
    };
    // The call takes two at a time.
    rig.encode.frames((0..6).map(page).collect());
    assert_eq!(made(&mut wishes), 0, "four wait: the page rests");
    let mut taken = Vec::new();
    while let Ok(frame) = rig.frames.try_recv() {
        taken.push((frame.seq, frame.needs));
        assert!(rig.encode.offer_of_page() == Flow::On);
    }
    assert_eq!(taken, (0..6).map(|n: u64| (n, n.checked_sub(1))).collect::<Vec<_>>());
    assert_eq!(made(&mut wishes), 400_000);
    // A call that takes nothing for long: all is thrown away, and only a key frame follows.
    let keys = wishes.borrow().keys;
    rig.encode.frames((6..40).map(page).collect());
    assert!(wishes.borrow().keys > keys);
    while rig.frames.try_recv().is_ok() {}
    rig.encode.frames([page(40), EncodedVideo { needs: None, ..page(41) }, page(42)].into());
    let taken: Vec<u64> = std::iter::from_fn(|| rig.frames.try_recv().ok()).map(|frame| frame.seq).collect();
    assert_eq!(taken, [41, 42]);
}

#[test]
fn a_pace_is_even_and_survives_pauses_and_wavering_sources() {
    let mut pace = Pace::default();
    let ms = Moment::from_millis;
    let taken =
        |pace: &mut Pace, times: &[u64], rate| times.iter().filter(|t| pace.takes(ms(**t), rate)).count();
    assert_eq!(taken(&mut pace, &[1_000, 1_031, 1_069, 1_099, 1_134], 30), 5);
    assert_eq!(taken(&mut pace, &(0..60).map(|n| 2_000 + n * 33).collect::<Vec<_>>(), 10), 20);
    assert_eq!(taken(&mut pace, &[9_000, 9_033, 9_066, 9_100], 30), 4);
}

#[test]
fn while_nothing_is_wanted_the_own_view_goes_on_alone() {
    let mut rig = rig(VideoTrack::Camera);
    let (hub, key) = (rig.encode.parts.hub.clone(), rig.encode.parts.key);
    let mut own = hub.watch(clock::now(), key, SIZE, Arc::default());
    rig.plan.send(VideoPlan { bitrate: Bitrate::bps(0), ..PLAN }).unwrap();
    for n in 0..30 {
        assert_eq!(rig.capture(n), None, "nothing leaves");
        let seen = own.take().map(|viewed| viewed.frame.size);
        // Every second one of 30 a second.
        assert_eq!(seen, (n % 2 == 0).then_some(OWN_VIEW.size), "{n}");
    }
    rig.plan.send(PLAN).unwrap();
    let next = (30..34).find_map(|n| rig.capture(n)).unwrap();
    assert!(next.is_key(), "the other side has nothing to build on");
    assert!(!(34..38).find_map(|n| rig.capture(n)).unwrap().is_key());
}
