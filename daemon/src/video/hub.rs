//! Where encoded pictures meet those who look at them: frames in by track, each page's own short queue out.
//!
//! ```text
//!  session, at the release moment -> publish -> queue of <= 2 frames a viewer -> media socket -> page
//!  encode thread (own picture)    -> publish
//!  page that captures             -> BrowserEnd -> BrowserSource -> like any camera
//! ```
//! A viewer that falls behind loses frames nobody needs first, then everything up to a frame it can go on from, and asks
//! for one. What viewers want of a track (at which size, a key frame) is a [`Demand`], watched by whoever makes its frames.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ahoy_base::{CallId, EncodedVideo, Moment, PeerId, VideoPlan, VideoSize, VideoTrack};
use tokio::sync::{Notify, mpsc, watch};

/// Frames that wait for one viewer. One is the frame being written, one the newest; more would only be delay.
const MAX_WAITING: usize = 2;
/// Frames that wait for a recording: two seconds, for a disk that is busy. It is nobody's delay.
const MAX_FOR_FILE: usize = 64;
/// What a recording can use: all that is made.
pub(crate) const RECORDED: VideoSize = VideoSize { width: 1_920, height: 1_080 };
/// Frames of a capturing page that wait for their encoder's place in the call; more would only be delay.
const MAX_FROM_BROWSER: usize = 4;
/// A key frame that was asked for and did not come is asked for again after this.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// One picture of one device in one call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct TrackKey {
    /// In which call.
    pub(crate) call: CallId,
    /// Whose; this device for the own picture.
    pub(crate) peer: PeerId,
    /// Which of their pictures.
    pub(crate) track: VideoTrack,
}

/// What those who look want of a track.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Demand {
    /// The largest size it is shown at; `None` while nobody looks.
    pub(crate) size: Option<VideoSize>,
    /// Counts wishes for a key frame.
    pub(crate) keys: u64,
}

/// See the module's first line. Cheap to clone; nothing blocks.
#[derive(Clone, Default)]
pub(crate) struct VideoHub {
    tracks: Arc<Mutex<BTreeMap<TrackKey, Track>>>,
    browsers: Arc<[Browser; 2]>,
}

struct Track {
    demand: watch::Sender<Demand>,
    viewers: Vec<Weak<Viewer>>,
    asked_at: Option<Moment>,
}

impl VideoHub {
    /// Hands a frame to all who look at `key`. Cheap while nobody does.
    pub(crate) fn publish(&self, now: Moment, key: TrackKey, frame: &Arc<EncodedVideo>) {
        let mut tracks = self.tracks();
        let Some(track) = tracks.get_mut(&key) else { return };
        if frame.is_key() {
            track.asked_at = None;
        }
        let mut wanting = false;
        for viewer in track.viewers.iter().filter_map(Weak::upgrade) {
            wanting |= viewer.offer(now, frame);
        }
        if wanting {
            track.ask(now);
        }
    }

    /// Nothing more comes of `key`; if it comes back, it starts anew.
    pub(crate) fn gone(&self, key: TrackKey) {
        if let Some(track) = self.tracks().get_mut(&key) {
            track.asked_at = None;
            track.viewers.iter().filter_map(Weak::upgrade).for_each(|viewer| viewer.queue().restart());
        }
    }

    /// What viewers of `key` want, now and from now on.
    pub(crate) fn demand(&self, key: TrackKey) -> watch::Receiver<Demand> {
        self.tracks().entry(key).or_default().demand.subscribe()
    }

    /// Looks at `key`; the reader's queue begins with the next frame that needs no other. `wake` is notified for each frame.
    pub(crate) fn watch(
        &self,
        now: Moment,
        key: TrackKey,
        size: VideoSize,
        wake: Arc<Notify>,
    ) -> VideoReader {
        self.look(now, key, Queue::new(size, MAX_WAITING), wake)
    }

    /// The same for a file: whole as it is made, and who reads it looks by itself.
    pub(crate) fn record(&self, now: Moment, key: TrackKey) -> VideoReader {
        self.look(now, key, Queue::new(RECORDED, MAX_FOR_FILE), Arc::default())
    }

    fn look(&self, now: Moment, key: TrackKey, queue: Queue, wake: Arc<Notify>) -> VideoReader {
        let viewer = Arc::new(Viewer { queue: Mutex::new(queue), wake });
        let mut tracks = self.tracks();
        let track = tracks.entry(key).or_default();
        track.viewers.push(Arc::downgrade(&viewer));
        track.tell_size();
        track.ask(now);
        drop(tracks);
        VideoReader { hub: self.clone(), key, viewer: Some(viewer) }
    }

    /// The line on which a page that captures sends its frames.
    pub(crate) fn browser(&self, track: VideoTrack) -> &Browser {
        let [camera, screen] = &*self.browsers;
        match track {
            VideoTrack::Camera => camera,
            VideoTrack::Screen => screen,
        }
    }

    fn tracks(&self) -> MutexGuard<'_, BTreeMap<TrackKey, Track>> {
        // Each change is one step; a panic elsewhere leaves it whole.
        self.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets tracks that neither a maker nor a viewer holds.
    fn tidy(&self, key: TrackKey) {
        let mut tracks = self.tracks();
        let Some(track) = tracks.get_mut(&key) else { return };
        track.viewers.retain(|viewer| viewer.strong_count() > 0);
        track.tell_size();
        if track.viewers.is_empty() {
            track.asked_at = None;
            if track.demand.receiver_count() == 0 {
                tracks.remove(&key);
            }
        }
    }
}

impl Default for Track {
    fn default() -> Track {
        Track { demand: watch::Sender::new(Demand::default()), viewers: Vec::new(), asked_at: None }
    }
}

impl Track {
    fn ask(&mut self, now: Moment) {
        if self.asked_at.is_none_or(|at| now.since(at) >= ASK_AGAIN) {
            self.asked_at = Some(now);
            self.demand.send_modify(|demand| demand.keys += 1);
        }
    }

    fn tell_size(&self) {
        let sizes = self.viewers.iter().filter_map(Weak::upgrade).map(|viewer| viewer.queue().size);
        let size =
            sizes.reduce(|a, b| VideoSize { width: a.width.max(b.width), height: a.height.max(b.height) });
        self.demand.send_if_modified(|demand| std::mem::replace(&mut demand.size, size) != size);
    }
}

struct Viewer {
    queue: Mutex<Queue>,
    wake: Arc<Notify>,
}

impl Viewer {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Each change is one step; a panic elsewhere leaves it whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame or leaves it out; whether the viewer waits for a frame it can go on from.
    fn offer(&self, now: Moment, frame: &Arc<EncodedVideo>) -> bool {
        let mut queue = self.queue();
        queue.offer(now, frame);
        let wanting = queue.hole.is_some();
        let waits = !queue.frames.is_empty();
        drop(queue);
        if waits {
            self.wake.notify_one();
        }
        wanting
    }
}

/// The frames that wait for one viewer, and which ones it will never have.
#[derive(Debug)]
struct Queue {
    size: VideoSize,
    /// Most frames that wait.
    room: usize,
    frames: VecDeque<(Moment, Arc<EncodedVideo>)>,
    /// Frames from the first on (numbers) were not given, up to the second, which could be shown without them.
    hole: Option<u64>,
    mended: Option<(u64, u64)>,
    /// The next frame given does not follow the one before.
    jumped: bool,
}

impl Queue {
    fn new(size: VideoSize, room: usize) -> Queue {
        Queue { size, room, frames: VecDeque::new(), hole: Some(0), mended: None, jumped: true }
    }

    fn restart(&mut self) {
        *self = Queue::new(self.size, self.room);
    }

    fn offer(&mut self, now: Moment, frame: &Arc<EncodedVideo>) {
        if !self.can_show(frame) {
            return;
        }
        if self.frames.len() >= self.room && !self.make_room(frame) {
            return;
        }
        if let Some(from) = self.hole.take() {
            self.mended = (!frame.is_key()).then_some((from, frame.seq));
            self.jumped = true;
        } else if frame.is_key() {
            self.mended = None;
        }
        self.frames.push_back((now, frame.clone()));
    }

    fn can_show(&self, frame: &EncodedVideo) -> bool {
        let Some(needs) = frame.needs else { return true };
        let in_hole = self.hole.is_some_and(|from| needs >= from);
        let in_mended = self.mended.is_some_and(|(from, to)| (from..to).contains(&needs));
        !in_hole && !in_mended
    }

    /// Drops what hurts least; `false` when that is `frame` itself.
    fn make_room(&mut self, frame: &EncodedVideo) -> bool {
        if frame.discardable {
            self.jumped = true;
            return false;
        }
        if let Some(at) = self.frames.iter().position(|(_, waiting)| waiting.discardable) {
            self.frames.remove(at);
            self.jumped = true;
            return true;
        }
        let first = self.frames.front().map_or(frame.seq, |(_, waiting)| waiting.seq);
        self.frames.clear();
        self.hole = Some(self.mended.map_or(first, |(from, _)| from.min(first)));
        self.mended = None;
        self.can_show(frame)
    }
}

/// One who looks at a track. Dropping it is looking away.
pub(crate) struct VideoReader {
    hub: VideoHub,
    key: TrackKey,
    /// There until dropped.
    viewer: Option<Arc<Viewer>>,
}

/// A frame for a viewer.
#[derive(Clone, Debug)]
pub(crate) struct Viewed {
    /// The frame, as it came.
    pub(crate) frame: Arc<EncodedVideo>,
    /// When it was handed to the hub.
    pub(crate) at: Moment,
    /// Whether frames before it were left out for this viewer.
    pub(crate) jumped: bool,
}

impl VideoReader {
    /// At what it looks.
    pub(crate) fn key(&self) -> TrackKey {
        self.key
    }

    /// The next frame, if one waits.
    pub(crate) fn take(&mut self) -> Option<Viewed> {
        let mut queue = self.viewer.as_ref()?.queue();
        let (at, frame) = queue.frames.pop_front()?;
        let jumped = std::mem::take(&mut queue.jumped);
        Some(Viewed { frame, at, jumped })
    }

    /// It is shown at another size.
    pub(crate) fn resize(&self, size: VideoSize) {
        if let Some(viewer) = &self.viewer {
            viewer.queue().size = size;
        }
        if let Some(track) = self.hub.tracks().get(&self.key) {
            track.tell_size();
        }
    }

    /// Can go on from a key frame only: its decoder was made anew, or failed.
    pub(crate) fn start_over(&self, now: Moment) {
        if let Some(viewer) = &self.viewer {
            viewer.queue().restart();
        }
        if let Some(track) = self.hub.tracks().get_mut(&self.key) {
            track.ask(now);
        }
    }
}

impl Drop for VideoReader {
    fn drop(&mut self) {
        self.viewer = None;
        self.hub.tidy(self.key);
    }
}

/// The line between the page that captures a track and the call that sends it.
#[derive(Default)]
pub(crate) struct Browser {
    wish: watch::Sender<BrowserWish>,
    line: Mutex<BrowserLine>,
}

/// What a capturing page is asked to encode.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct BrowserWish {
    /// How; `None` while no call sends its picture.
    pub(crate) plan: Option<VideoPlan>,
    /// Counts wishes for a key frame.
    pub(crate) keys: u64,
}

#[derive(Default)]
struct BrowserLine {
    /// The page that captures.
    page: Option<u64>,
    frames: Option<mpsc::Sender<EncodedVideo>>,
    /// Numbers the frames of a source.
    seq: u64,
    /// The last frame could be taken: the next may build on it.
    whole: bool,
}

impl Browser {
    /// What the page that captures is asked for.
    pub(crate) fn wishes(&self) -> watch::Receiver<BrowserWish> {
        self.wish.subscribe()
    }

    /// `page` captures from now on, in place of any other.
    pub(crate) fn begin(&self, page: u64) {
        let mut line = self.line();
        line.page = Some(page);
        line.whole = false;
        drop(line);
        self.want_key();
    }

    /// `page` captures no more. The source ends.
    pub(crate) fn end(&self, page: u64) {
        let mut line = self.line();
        if line.page == Some(page) {
            line.page = None;
            line.frames = None;
        }
    }

    /// A frame of `page`. Left out when it is not the one that captures, nobody wants it, or one before it is missing.
    pub(crate) fn push(&self, page: u64, mut frame: EncodedVideo) {
        let mut line = self.line();
        if line.page != Some(page) {
            return;
        }
        let Some(frames) = line.frames.clone() else { return };
        if frame.is_key() {
            line.whole = true;
        }
        if !line.whole {
            return;
        }
        frame.seq = line.seq;
        let before = line.seq.checked_sub(1);
        frame.needs = frame.needs.and(before);
        match frames.try_send(frame) {
            Ok(()) => line.seq += 1,
            Err(_) => {
                line.whole = false;
                drop(line);
                self.want_key();
            }
        }
    }

    /// Takes the frames of whichever page captures, until dropped. A second source takes over from the first.
    pub(crate) fn source(self: &Browser, plan: VideoPlan) -> BrowserSource {
        let (frames_in, frames) = mpsc::channel(MAX_FROM_BROWSER);
        let mut line = self.line();
        line.frames = Some(frames_in);
        line.whole = false;
        line.seq = 0;
        drop(line);
        self.wish.send_modify(|wish| {
            wish.plan = Some(plan);
            wish.keys += 1;
        });
        BrowserSource { frames }
    }

    /// The source's plan changed; `None`: nothing is sent any more.
    pub(crate) fn set_plan(&self, plan: Option<VideoPlan>) {
        self.wish.send_if_modified(|wish| std::mem::replace(&mut wish.plan, plan) != plan);
    }

    /// Whether a call takes the frames of the page that captures.
    pub(crate) fn is_source(&self) -> bool {
        self.line().frames.as_ref().is_some_and(|frames| !frames.is_closed())
    }

    /// The next frame is to need no other.
    pub(crate) fn want_key(&self) {
        self.wish.send_modify(|wish| wish.keys += 1);
    }

    fn line(&self) -> MutexGuard<'_, BrowserLine> {
        // Each change is one step; a panic elsewhere leaves it whole.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The frames of a page that captures; a source like a camera. Ended (`None`) when the page stopped or went away.
pub(crate) struct BrowserSource {
    /// Numbered from 0, each needing the one before, unless it is a key frame.
    pub(crate) frames: mpsc::Receiver<EncodedVideo>,
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
