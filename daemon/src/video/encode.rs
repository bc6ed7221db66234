//! The thread between a source and one call: the newest picture, at the plan's size and rate, becomes a frame. What a page has
//! encoded already passes as it is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ahoy_base::{Bitrate, EncodedVideo, Moment, VideoCodec, VideoPlan, VideoRequest, VideoSize, VideoTrack};
use ahoy_codec::video::{Content, EncoderConfig, Layers, Picture, Scaler, Speed, VpxEncoder, fit};
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};
use tokio::sync::watch;

use super::VideoOut;
use super::content::Finder;
use super::effort::Effort;
use super::hub::{Demand, RECORDED, TrackKey, VideoHub};
use super::newest::{Newest, Taken};
use super::source::Captured;
use crate::clock;
use crate::view::ScreenContent;

/// The thread looks at plans and requests at least this often while no picture comes.
const IDLE: Duration = Duration::from_millis(100);
/// A still screen is encoded again this often, each time sharper, until it is as sharp as can be.
const SHARPEN_EVERY: Duration = Duration::from_millis(200);
/// Quantizer (0 to 63) of a still screen that needs no more sharpening.
const SHARP: u8 = 12;
/// Frames of a page that wait for the call: from the first number on the page encodes none, beyond the second they are thrown away up
/// to a key frame. What is encoded can't be left out like a picture; what the page has not encoded yet can.
const PAGE_RESTS: usize = 2;
const MAX_OF_PAGE: usize = 12;
/// They are offered to the call again after this.
const OFFER_AGAIN: Duration = Duration::from_millis(5);
/// What tells a page to make nothing.
const NOTHING: VideoPlan =
    VideoPlan { bitrate: Bitrate::bps(0), size: VideoSize { width: 320, height: 180 }, frame_rate: 1 };
/// A page that looks at the own picture may ask for a key frame this often: the other side pays for it too.
const OWN_KEYS_EVERY: Duration = Duration::from_secs(2);
/// What is made for this person's eyes alone, while the other side wants nothing or the path carries nothing.
const OWN_VIEW: VideoPlan =
    VideoPlan { bitrate: Bitrate::kbps(200), size: VideoSize { width: 320, height: 180 }, frame_rate: 15 };
/// The same for a recording.
const OWN_RECORDING: VideoPlan = VideoPlan {
    bitrate: Bitrate::kbps(1_000),
    size: VideoSize { width: 1_280, height: 720 },
    frame_rate: 30,
};
/// From this rate on every second frame of a camera may be left out on the way.
const LAYERED_FROM: u8 = 12;
/// From these pixels on VP9 takes one step less time.
const LARGE: u32 = 1_280 * 720;

/// What a source gives.
pub(super) enum Fed {
    /// Pixels.
    Picture(Captured),
    /// What a page encoded, in order.
    Frames(VecDeque<EncodedVideo>),
}

/// What the thread is made of.
pub(super) struct Parts {
    pub(super) key: TrackKey,
    pub(super) out: VideoOut,
    pub(super) place: Arc<Newest<Fed>>,
    pub(super) hub: VideoHub,
    /// What a screen is sent for.
    pub(super) content: watch::Receiver<ScreenContent>,
    pub(super) codec: VideoCodec,
}

/// Starts the thread; it ends when `parts.place` is closed, or the call takes no more frames.
///
/// # Errors
/// When there is no thread to be had.
pub(super) fn spawn(parts: Parts) -> std::io::Result<()> {
    let name = format!("{} encoder", parts.key.track.word());
    std::thread::Builder::new().name(name).spawn(move || Encode::new(parts).run()).map(drop)
}

struct Encode {
    parts: Parts,
    own_view: watch::Receiver<Demand>,
    own_keys: u64,
    own_key_at: Moment,
    encoder: Option<VpxEncoder>,
    scaler: Scaler,
    effort: Effort,
    finder: Finder,
    /// A screen whose frames count more than its pixels.
    motion: bool,
    pace: Pace,
    /// Added to the numbers of the encoder, or of the page: a track counts on when its source changes.
    base: u64,
    next_seq: u64,
    /// The newest picture, for what has to be shown again.
    last: Option<Captured>,
    last_encoded: Moment,
    /// A frame is asked for, picture or not.
    asked: bool,
    from_page: bool,
    /// Frames of the page that the call had no room for yet.
    of_page: VecDeque<EncodedVideo>,
    /// Frames of the page were thrown away: only a key frame can follow.
    page_hole: bool,
    /// What is made now is for the own view alone.
    own_only: bool,
}

/// Whether the thread goes on.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    End,
}

impl Encode {
    fn new(parts: Parts) -> Encode {
        let own_view = parts.hub.demand(parts.key);
        let own_keys = own_view.borrow().keys;
        Encode {
            own_view,
            own_keys,
            own_key_at: Moment::ZERO,
            encoder: None,
            scaler: Scaler::default(),
            effort: Effort::new(Speed::Normal),
            finder: Finder::default(),
            motion: false,
            pace: Pace::default(),
            base: 0,
            next_seq: 0,
            last: None,
            last_encoded: Moment::ZERO,
            asked: false,
            from_page: false,
            of_page: VecDeque::new(),
            page_hole: false,
            own_only: false,
            parts,
        }
    }

    fn run(mut self) {
        let place = self.parts.place.clone();
        loop {
            let taken = place.take(if self.of_page.is_empty() { IDLE } else { OFFER_AGAIN });
            if self.follow_requests() == Flow::End {
                return;
            }
            let flow = match taken {
                Taken::Value(Fed::Picture(captured)) => self.picture(captured),
                Taken::Value(Fed::Frames(frames)) => self.frames(frames),
                Taken::Nothing if self.from_page => self.offer_of_page(),
                Taken::Nothing => self.still(clock::now()),
                Taken::Closed => return,
            };
            if flow == Flow::End {
                return;
            }
        }
    }

    fn follow_requests(&mut self) -> Flow {
        loop {
            match self.parts.out.requests.try_recv() {
                Ok(request) => self.follow(request),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Flow::End,
            }
        }
        self.tell_page();
        let now = clock::now();
        let keys = self.own_view.borrow().keys;
        if keys != self.own_keys && now.since(self.own_key_at) >= OWN_KEYS_EVERY {
            (self.own_keys, self.own_key_at) = (keys, now);
            self.follow(VideoRequest::Key);
        }
        Flow::On
    }

    /// What the page that captures is to make. Also while no frame comes: one that was told to make nothing hears here that
    /// it may again, and one that was told so before its first frame, too.
    fn tell_page(&mut self) {
        let hub = self.parts.hub.clone();
        let browser = hub.browser(self.parts.key.track);
        if browser.is_source() {
            let plan = *self.parts.out.plan.borrow();
            let rests = self.of_page.len() >= PAGE_RESTS;
            browser.set_plan(Some(if rests { NOTHING } else { self.by_content(plan) }));
        }
    }

    fn follow(&mut self, request: VideoRequest) {
        if self.from_page {
            match request {
                VideoRequest::Has(_) => {}
                // A page keeps no frames to go on from.
                VideoRequest::Key | VideoRequest::GoOnFrom(_) => {
                    self.parts.hub.browser(self.parts.key.track).want_key();
                }
            }
            return;
        }
        let Some(encoder) = &mut self.encoder else { return };
        match request {
            VideoRequest::Has(seq) => {
                if let Some(seq) = seq.checked_sub(self.base) {
                    encoder.has(seq);
                }
                return;
            }
            VideoRequest::Key => encoder.ask_key(),
            VideoRequest::GoOnFrom(seq) => match seq.checked_sub(self.base) {
                Some(seq) => encoder.go_on_from(seq),
                None => encoder.ask_key(),
            },
        }
        self.asked = true;
    }

    fn picture(&mut self, captured: Captured) -> Flow {
        self.from_page = false;
        self.of_page.clear();
        if self.parts.key.track == VideoTrack::Screen {
            self.finder.look(captured.at, &captured.picture);
        }
        let plan = self.plan();
        self.last = Some(captured.clone());
        let rate = plan.frame_rate.min(self.effort.most_frames());
        if plan.bitrate == Bitrate::bps(0) || rate == 0 || !self.pace.takes(captured.at, rate) {
            return Flow::On;
        }
        self.encode(&captured, plan, rate)
    }

    /// What the path carries; while that is nothing, a small picture for whoever looks at the own one.
    fn plan(&mut self) -> VideoPlan {
        let plan = *self.parts.out.plan.borrow();
        let nothing = plan.bitrate == Bitrate::bps(0) || plan.frame_rate == 0;
        let wanted = self.own_view.borrow().size;
        let own_only = nothing && wanted.is_some();
        if std::mem::replace(&mut self.own_only, own_only) && !own_only {
            // The other side has none of what was made meanwhile.
            self.follow(VideoRequest::Key);
        }
        match wanted {
            Some(RECORDED) if own_only => OWN_RECORDING,
            Some(_) if own_only => OWN_VIEW,
            _ => self.by_content(plan),
        }
    }

    /// The plan for what the screen shows. Another kind needs an encoder made for it.
    fn by_content(&mut self, plan: VideoPlan) -> VideoPlan {
        if self.parts.key.track != VideoTrack::Screen {
            return plan;
        }
        let now = clock::now();
        let choice = *self.parts.content.borrow();
        let motion = self.finder.is_motion(now, choice);
        if std::mem::replace(&mut self.motion, motion) != motion {
            tracing::debug!(motion, "the shared screen is sent for something else");
            self.encoder = None;
            self.finder.in_text();
        }
        if motion { self.finder.in_motion(now, plan) } else { plan }
    }

    /// No new picture: the last one is shown again where that helps.
    fn still(&mut self, now: Moment) -> Flow {
        let plan = self.plan();
        let Some(last) = self.last.clone() else { return Flow::On };
        if plan.bitrate == Bitrate::bps(0) || self.from_page {
            return Flow::On;
        }
        let coarse = self.parts.key.track == VideoTrack::Screen
            && !self.motion
            && now.since(self.last_encoded) >= SHARPEN_EVERY
            && self.encoder.as_mut().and_then(VpxEncoder::quantizer).is_none_or(|q| q > SHARP);
        if !self.asked && !coarse {
            return Flow::On;
        }
        self.encode(&Captured { at: now, ..last }, plan, plan.frame_rate.max(1))
    }

    fn encode(&mut self, captured: &Captured, plan: VideoPlan, rate: u8) -> Flow {
        let size = fit(captured.picture.size(), plan.size);
        let frame = match self.make_frame(&captured.picture, captured.at, (plan.bitrate, size, rate)) {
            Ok(frame) => frame,
            Err(error) => {
                tracing::error!(%error, "a picture could not be encoded");
                self.encoder = None;
                return Flow::On;
            }
        };
        let Some(frame) = frame else { return Flow::On };
        (self.asked, self.last_encoded) = (false, captured.at);
        self.send(frame)
    }

    fn make_frame(
        &mut self,
        picture: &Arc<Picture>,
        at: Moment,
        (bitrate, size, rate): (Bitrate, VideoSize, u8),
    ) -> Result<Option<EncodedVideo>, ahoy_codec::CodecError> {
        let start = clock::now();
        let scaled = if picture.size() == size { None } else { Some(self.scaler.scale(picture, size)?) };
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => {
                self.base = self.next_seq;
                let codec = self.parts.codec;
                let large = u32::from(size.width) * u32::from(size.height) >= LARGE;
                let speed = if codec == VideoCodec::Vp9 && large { Speed::Fast } else { Speed::Normal };
                self.effort = Effort::new(speed);
                let content = match self.parts.key.track {
                    VideoTrack::Camera => Content::Camera,
                    VideoTrack::Screen if self.motion => Content::Camera,
                    VideoTrack::Screen => Content::Screen,
                };
                let config = EncoderConfig { codec, content, size, bitrate, frame_rate: rate, speed };
                none.insert(VpxEncoder::new(config)?)
            }
        };
        encoder.set_rate(bitrate, rate)?;
        let moving = self.motion || self.parts.key.track == VideoTrack::Camera;
        let layered = moving && rate >= LAYERED_FROM;
        encoder.set_layers(if layered { Layers::Two } else { Layers::One });
        let media_time = at.since(clock::media_epoch());
        let frame = encoder.encode(scaled.as_ref().unwrap_or(picture), media_time)?;
        let interval = Duration::from_secs(1) / u32::from(rate.max(1));
        if let Some(speed) = self.effort.after(clock::now().since(start), interval) {
            tracing::debug!(?speed, track = self.parts.key.track.word(), "the encoder changes its effort");
            encoder.set_speed(speed)?;
        }
        Ok(frame.map(|frame| EncodedVideo {
            seq: frame.seq + self.base,
            needs: frame.needs.map(|seq| seq + self.base),
            ..frame
        }))
    }

    fn frames(&mut self, frames: VecDeque<EncodedVideo>) -> Flow {
        // What a page makes follows the plan by itself.
        self.own_only = false;
        if !std::mem::replace(&mut self.from_page, true) {
            (self.encoder, self.last) = (None, None);
            self.base = self.next_seq;
        }
        let base = self.base;
        let numbered = |frame: EncodedVideo| EncodedVideo {
            seq: frame.seq + base,
            needs: frame.needs.map(|seq| seq + base),
            ..frame
        };
        self.of_page.extend(frames.into_iter().map(numbered));
        self.offer_of_page()
    }

    /// Gives the call what it has room for of the page's frames, in order.
    fn offer_of_page(&mut self) -> Flow {
        if self.of_page.len() > MAX_OF_PAGE {
            // The newest key frame among them is as good a beginning as one that would be asked for.
            match self.of_page.iter().rposition(EncodedVideo::is_key) {
                Some(at) if at > 0 => drop(self.of_page.drain(..at)),
                Some(_) | None => {
                    self.of_page.clear();
                    self.page_hole = true;
                    self.parts.hub.browser(self.parts.key.track).want_key();
                }
            }
        }
        while let Some(frame) = self.of_page.pop_front() {
            if self.page_hole && !frame.is_key() {
                continue;
            }
            self.page_hole = false;
            match self.parts.out.frames.try_reserve() {
                Ok(room) => {
                    self.next_seq = frame.seq + 1;
                    let own = Arc::new(frame.clone());
                    room.send(frame);
                    self.parts.hub.publish(clock::now(), self.parts.key, &own);
                }
                Err(TrySendError::Full(())) => {
                    self.of_page.push_front(frame);
                    break;
                }
                Err(TrySendError::Closed(())) => return Flow::End,
            }
        }
        self.tell_page();
        Flow::On
    }

    fn send(&mut self, frame: EncodedVideo) -> Flow {
        self.next_seq = frame.seq + 1;
        let own = Arc::new(frame.clone());
        let seq = frame.seq;
        let sent = if self.own_only { Ok(()) } else { self.parts.out.frames.try_send(frame) };
        match sent {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                if let (Some(encoder), Some(seq)) = (&mut self.encoder, seq.checked_sub(self.base)) {
                    encoder.unsent(seq);
                }
            }
            Err(TrySendError::Closed(_)) => return Flow::End,
        }
        self.parts.hub.publish(clock::now(), self.parts.key, &own);
        Flow::On
    }
}

/// Thins a source out to a rate, evenly.
#[derive(Default)]
struct Pace {
    due: Option<Moment>,
}

impl Pace {
    /// Whether the picture captured at `at` is taken at `rate` a second.
    fn takes(&mut self, at: Moment, rate: u8) -> bool {
        let interval = Duration::from_secs(1) / u32::from(rate.max(1));
        let due = self.due.unwrap_or(at);
        // A source's own times waver a little around its rate.
        if at + interval / 4 < due {
            return false;
        }
        // After a pause the grid starts anew.
        self.due = Some(if at.since(due) > interval { at } else { due } + interval);
        true
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
