//! Promises of the hub.

use super::*;

const KEY: TrackKey = TrackKey {
    call: CallId::from_bytes([1; 16]),
    peer: PeerId::from_public_key([2; 32]),
    track: VideoTrack::Camera,
};
const SIZE: VideoSize = VideoSize { width: 640, height: 360 };
const NOW: Moment = Moment::from_millis(1_000);

fn frame(seq: u64, needs: Option<u64>) -> Arc<EncodedVideo> {
    Arc::new(EncodedVideo {
        seq,
        media_time: Duration::from_millis(seq * 33),
        codec: ahoy_base::VideoCodec::Vp8,
        size: SIZE,
        needs,
        kept: false,
        discardable: false,
        data: vec![0; 8],
    })
}

fn discardable(seq: u64, needs: u64) -> Arc<EncodedVideo> {
    Arc::new(EncodedVideo { discardable: true, ..EncodedVideo::clone(&frame(seq, Some(needs))) })
}

fn look(hub: &VideoHub) -> VideoReader {
    hub.watch(NOW, KEY, SIZE, Arc::new(Notify::new()))
}

fn taken(reader: &mut VideoReader) -> Vec<(u64, bool)> {
    std::iter::from_fn(|| reader.take()).map(|viewed| (viewed.frame.seq, viewed.jumped)).collect()
}

#[test]
fn a_viewer_begins_with_a_key_frame_and_asks_for_one() {
    let hub = VideoHub::default();
    let demand = hub.demand(KEY);
    assert_eq!(*demand.borrow(), Demand { size: None, keys: 0 });
    let mut reader = look(&hub);
    assert_eq!(*demand.borrow(), Demand { size: Some(SIZE), keys: 1 });
    hub.publish(NOW, KEY, &frame(7, Some(6)));
    assert_eq!(taken(&mut reader), []);
    assert_eq!(demand.borrow().keys, 1, "asked once");
    hub.publish(NOW + ASK_AGAIN, KEY, &frame(8, Some(7)));
    assert_eq!(demand.borrow().keys, 2, "and again when none came");
    hub.publish(NOW + ASK_AGAIN, KEY, &frame(9, None));
    hub.publish(NOW + ASK_AGAIN, KEY, &frame(10, Some(9)));
    assert_eq!(taken(&mut reader), [(9, true), (10, false)]);
}

#[test]
fn a_slow_viewer_drops_to_a_frame_it_can_go_on_from_and_a_quick_one_gets_all() {
    let hub = VideoHub::default();
    let (mut slow, mut quick) = (look(&hub), look(&hub));
    let demand = hub.demand(KEY);
    let mut all = Vec::new();
    for seq in 0..5 {
        hub.publish(NOW, KEY, &frame(seq, seq.checked_sub(1)));
        all.extend(taken(&mut quick).into_iter().map(|(seq, _)| seq));
    }
    assert_eq!(all, [0, 1, 2, 3, 4]);
    assert_eq!(taken(&mut slow), [], "0 and 1 waited, 2 found no room: none of them is worth its delay now");
    assert_eq!(demand.borrow().keys, 2, "asked for a key frame");
    hub.publish(NOW, KEY, &frame(5, Some(4)));
    hub.publish(NOW, KEY, &frame(6, None));
    hub.publish(NOW, KEY, &frame(7, Some(6)));
    assert_eq!(taken(&mut slow), [(6, true), (7, false)]);
}

#[test]
fn a_frame_that_needs_only_what_was_given_mends_a_hole() {
    let hub = VideoHub::default();
    let mut reader = look(&hub);
    hub.publish(NOW, KEY, &frame(0, None));
    hub.publish(NOW, KEY, &frame(1, Some(0)));
    assert_eq!(taken(&mut reader), [(0, true), (1, false)]);
    for seq in 2..5 {
        hub.publish(NOW, KEY, &frame(seq, Some(seq - 1)));
    }
    // 2 and 3 were dropped for 4, which needs them. 5 goes on from 1, 6 from 3 (never given), 7 from 5.
    hub.publish(NOW, KEY, &frame(5, Some(1)));
    hub.publish(NOW, KEY, &frame(6, Some(3)));
    hub.publish(NOW, KEY, &frame(7, Some(5)));
    assert_eq!(taken(&mut reader), [(5, true), (7, false)]);
}

#[test]
fn frames_that_nobody_needs_make_room_first() {
    let hub = VideoHub::default();
    let mut reader = look(&hub);
    let demand = hub.demand(KEY);
    hub.publish(NOW, KEY, &frame(0, None));
    hub.publish(NOW, KEY, &discardable(1, 0));
    hub.publish(NOW, KEY, &frame(2, Some(0)));
    hub.publish(NOW, KEY, &discardable(3, 2));
    assert_eq!(taken(&mut reader), [(0, true), (2, false)]);
    assert_eq!(demand.borrow().keys, 1, "no key frame was needed for that");
}

#[test]
fn demand_is_the_largest_look_and_ends_with_the_last_one() {
    let hub = VideoHub::default();
    let demand = hub.demand(KEY);
    let tall = VideoSize { width: 200, height: 800 };
    let (one, two) = (look(&hub), look(&hub));
    two.resize(tall);
    assert_eq!(demand.borrow().size, Some(VideoSize { width: 640, height: 800 }));
    drop(one);
    assert_eq!(demand.borrow().size, Some(tall));
    drop(two);
    assert_eq!(demand.borrow().size, None);
    drop(demand);
    drop(look(&hub));
    assert!(hub.tracks().is_empty(), "nothing is kept of a track that nobody holds");
}

#[test]
fn a_track_that_comes_back_starts_anew() {
    let hub = VideoHub::default();
    let mut reader = look(&hub);
    hub.publish(NOW, KEY, &frame(40, None));
    hub.gone(KEY);
    assert_eq!(taken(&mut reader), [], "what waited is old");
    hub.publish(NOW, KEY, &frame(0, Some(0)));
    hub.publish(NOW, KEY, &frame(1, None));
    assert_eq!(taken(&mut reader), [(1, true)]);
}

fn plan() -> VideoPlan {
    VideoPlan { bitrate: ahoy_base::Bitrate::kbps(800), size: SIZE, frame_rate: 30 }
}

fn received(source: &mut BrowserSource) -> Vec<(u64, Option<u64>)> {
    std::iter::from_fn(|| source.frames.try_recv().ok()).map(|frame| (frame.seq, frame.needs)).collect()
}

#[test]
fn a_page_is_a_source_that_begins_with_a_key_frame_and_never_leaves_a_hole() {
    let hub = VideoHub::default();
    let browser = hub.browser(VideoTrack::Camera);
    let wishes = browser.wishes();
    browser.begin(1);
    let mut source = browser.source(plan());
    assert_eq!(wishes.borrow().plan, Some(plan()));
    let send = |seq, needs| browser.push(1, EncodedVideo::clone(&frame(seq, needs)));
    send(100, Some(99));
    send(101, None);
    send(102, Some(101));
    assert_eq!(received(&mut source), [(0, None), (1, Some(0))]);
    let asked = wishes.borrow().keys;
    (103..110).for_each(|seq| send(seq, Some(seq - 1)));
    assert!(wishes.borrow().keys > asked, "the fifth found no room");
    send(110, None);
    assert_eq!(received(&mut source), [(2, Some(1)), (3, Some(2)), (4, Some(3)), (5, Some(4))]);
    send(111, Some(110));
    send(112, None);
    assert_eq!(received(&mut source), [(6, None)], "110 found no room, 111 needed it");
}

#[test]
fn only_the_page_that_captures_is_heard_and_its_end_is_the_sources_end() {
    let hub = VideoHub::default();
    let browser = hub.browser(VideoTrack::Screen);
    browser.begin(1);
    let mut source = browser.source(plan());
    browser.push(2, EncodedVideo::clone(&frame(0, None)));
    browser.begin(2);
    browser.push(1, EncodedVideo::clone(&frame(0, None)));
    assert_eq!(received(&mut source), []);
    browser.push(2, EncodedVideo::clone(&frame(0, None)));
    assert_eq!(received(&mut source), [(0, None)]);
    browser.end(1);
    assert!(source.frames.try_recv() == Err(mpsc::error::TryRecvError::Empty));
    browser.end(2);
    assert!(source.frames.try_recv() == Err(mpsc::error::TryRecvError::Disconnected));
}
