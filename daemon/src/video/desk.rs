//! The thread that opens and closes sources: whoever sends a track gets the chosen one, and hears of it when it goes.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ahoy_base::{CallId, Moment, PeerId, VideoCodec, VideoPlan, VideoTrack};
use tokio::sync::{mpsc, watch};

use super::capture::{Capture, Reports};
use super::device_name::SourceName;
use super::encode::{self, Fed};
use super::hub::{TrackKey, VideoHub};
use super::newest::Newest;
use super::source::SourceError;
use super::{Order, SourceState, VideoDevices, VideoEvent, VideoOut, browser, codec_choice, real};
use crate::clock;
use crate::trace::Trace;
use crate::view::ScreenContent;

/// Devices are looked for this often while a call sends a picture,
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// and this often while none does.
const IDLE_LOOK_EVERY: Duration = Duration::from_secs(10);

/// What the desk is made of.
pub(super) struct Parts {
    pub(super) me: PeerId,
    pub(super) trace: Trace,
    pub(super) hub: VideoHub,
    pub(super) content: watch::Receiver<ScreenContent>,
    pub(super) devices: Arc<Mutex<VideoDevices>>,
    pub(super) events: mpsc::Sender<VideoEvent>,
    pub(super) orders: SyncSender<Order>,
}

/// Starts the thread.
///
/// # Errors
/// When there is no thread to be had.
pub(super) fn spawn(parts: Parts, inbox: Receiver<Order>) -> std::io::Result<()> {
    let desk = Desk {
        parts,
        tracks: BTreeMap::new(),
        codec: VideoCodec::Vp8,
        next_number: 0,
        listed_at: Moment::ZERO,
    };
    std::thread::Builder::new().name("video desk".to_owned()).spawn(move || desk.run(&inbox)).map(drop)
}

/// One track: what gives its pictures, and which calls take them.
#[derive(Default)]
struct Track {
    capture: Option<Capture>,
    calls: BTreeMap<CallId, Arc<Newest<Fed>>>,
}

struct Desk {
    parts: Parts,
    tracks: BTreeMap<VideoTrack, Track>,
    codec: VideoCodec,
    next_number: u64,
    listed_at: Moment,
}

impl Desk {
    fn run(mut self, inbox: &Receiver<Order>) {
        self.codec = codec_choice::measure();
        self.list();
        loop {
            let sending = self.tracks.values().any(|track| !track.calls.is_empty());
            match inbox.recv_timeout(if sending { LOOK_EVERY } else { IDLE_LOOK_EVERY }) {
                Ok(order) => self.obey(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if clock::now().since(self.listed_at) >= LOOK_EVERY {
                self.list();
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Start(call, track, out) => self.start(call, track, out),
            Order::Stop(call, track) => self.stop(call, track),
            Order::Choose(track, id) => {
                self.change(track, |chosen| {
                    (chosen.id, chosen.state, chosen.message) = (id, SourceState::Ok, None);
                });
                self.reopen(track);
            }
            Order::Works(track) => {
                self.change(track, |chosen| (chosen.state, chosen.message) = (SourceState::Ok, None));
            }
            Order::Lost(track, number, error) => {
                let current = self.tracks.get(&track).and_then(|track| track.capture.as_ref());
                if current.is_some_and(|capture| capture.number == number) {
                    self.lost(track, error);
                }
            }
        }
    }

    fn start(&mut self, call: CallId, track: VideoTrack, out: VideoOut) {
        self.stop(call, track);
        let place = Arc::new(Newest::default());
        let parts = encode::Parts {
            key: TrackKey { call, peer: self.parts.me, track },
            out,
            place: place.clone(),
            hub: self.parts.hub.clone(),
            content: self.parts.content.clone(),
            codec: self.codec,
        };
        let plan = *parts.out.plan.borrow();
        if let Err(error) = encode::spawn(parts) {
            let text = format!("The machine has no room for a thread ({error}).");
            self.lost(track, SourceError::new(SourceState::Missing, text));
            return;
        }
        self.tracks.entry(track).or_default().calls.insert(call, place);
        self.feed(track, call, plan);
    }

    fn stop(&mut self, call: CallId, track: VideoTrack) {
        let Some(state) = self.tracks.get_mut(&track) else { return };
        if let Some(place) = state.calls.remove(&call) {
            place.close();
        }
        if let Some(capture) = &state.capture {
            capture.remove(call);
        }
        if state.calls.is_empty() {
            state.capture = None;
            self.parts.hub.browser(track).set_plan(None);
        }
        self.parts.hub.gone(TrackKey { call, peer: self.parts.me, track });
    }

    /// Leads the chosen source's pictures to all calls that send the track, as after a change of the choice.
    fn reopen(&mut self, track: VideoTrack) {
        let Some(state) = self.tracks.get_mut(&track) else { return };
        state.capture = None;
        self.parts.hub.browser(track).set_plan(None);
        let calls: Vec<CallId> = state.calls.keys().copied().collect();
        for call in calls {
            self.feed(track, call, browser::FIRST_PLAN);
        }
    }

    fn feed(&mut self, track: VideoTrack, call: CallId, plan: VideoPlan) {
        let chosen = self.chosen(track);
        let name = SourceName::parse(&chosen);
        let Some(state) = self.tracks.get_mut(&track) else { return };
        let Some(place) = state.calls.get(&call).cloned() else { return };
        if name == SourceName::Browser {
            let source = self.parts.hub.browser(track).source(plan);
            if let Err(error) = browser::relay(source, place, self.parts.hub.clone(), track) {
                tracing::error!(%error, "the page's pictures find no thread");
            }
            return;
        }
        if state.capture.is_none() {
            let number = self.next_number;
            self.next_number += 1;
            let reports = Reports {
                orders: self.parts.orders.clone(),
                events: self.parts.events.clone(),
                trace: self.parts.trace.clone(),
            };
            match Capture::start(track, number, reports, move || real::open(track, &name)) {
                Ok(capture) => state.capture = Some(capture),
                Err(error) => return self.lost(track, error),
            }
        }
        if let Some(capture) = self.tracks.get(&track).and_then(|state| state.capture.as_ref()) {
            capture.add(call, place);
        }
    }

    fn lost(&mut self, track: VideoTrack, error: SourceError) {
        if let Some(state) = self.tracks.get_mut(&track) {
            state.capture = None;
        }
        tracing::warn!(track = track.word(), "{}", error.text);
        let text = error.text.clone();
        self.change(track, |chosen| (chosen.state, chosen.message) = (error.state, Some(error.text)));
        self.tell(VideoEvent::SourceLost { track, text });
    }

    /// Looks which devices there are; a chosen one that came back is used again.
    fn list(&mut self) {
        self.listed_at = clock::now();
        let (cameras, screens) = (real::cameras(), real::screens());
        let mut devices = self.devices();
        let changed = devices.cameras != cameras || devices.screens != screens;
        (devices.cameras, devices.screens) = (cameras, screens);
        drop(devices);
        if changed {
            self.tell(VideoEvent::DevicesChanged);
        }
        for track in VideoTrack::ALL {
            let waits = self.tracks.get(&track).is_some_and(|t| t.capture.is_none() && !t.calls.is_empty());
            let name = SourceName::parse(&self.chosen(track));
            if changed
                && waits
                && name != SourceName::Browser
                && real::is_there(track, &name, &self.devices())
            {
                self.reopen(track);
            }
        }
    }

    fn chosen(&self, track: VideoTrack) -> String {
        let devices = self.devices();
        match track {
            VideoTrack::Camera => devices.camera.id.clone(),
            VideoTrack::Screen => devices.screen.id.clone(),
        }
    }

    fn change(&self, track: VideoTrack, change: impl FnOnce(&mut super::ChosenVideo)) {
        let mut devices = self.devices();
        let before = devices.clone();
        change(match track {
            VideoTrack::Camera => &mut devices.camera,
            VideoTrack::Screen => &mut devices.screen,
        });
        let changed = *devices != before;
        drop(devices);
        if changed {
            self.tell(VideoEvent::DevicesChanged);
        }
    }

    fn devices(&self) -> std::sync::MutexGuard<'_, VideoDevices> {
        // Each change is one step; a panic elsewhere leaves it whole.
        self.parts.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: VideoEvent) {
        // A full channel means a stuck app; the next view shows the truth anyway.
        let _ = self.parts.events.try_send(event);
    }
}
