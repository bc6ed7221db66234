//! The thread of one open source: its pictures go to every call that takes them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use ahoy_base::{CallId, VideoTrack};
use serde_json::json;
use tokio::sync::mpsc;

use super::encode::Fed;
use super::newest::Newest;
use super::source::{Source, SourceError};
use super::{Order, SourceState, VideoEvent};
use crate::trace::Trace;

/// A running source. Dropping it stops its thread, which closes the device.
pub(super) struct Capture {
    shared: Arc<Shared>,
    /// Tells sources of one track apart.
    pub(super) number: u64,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    takers: Mutex<BTreeMap<CallId, Taker>>,
}

struct Taker {
    place: Arc<Newest<Fed>>,
    /// It got a picture.
    served: bool,
}

/// What the thread tells others.
#[derive(Clone)]
pub(super) struct Reports {
    pub(super) orders: SyncSender<Order>,
    pub(super) events: mpsc::Sender<VideoEvent>,
    pub(super) trace: Trace,
}

impl Capture {
    /// Starts a thread that opens the source with `open`: a device may take seconds.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(
        track: VideoTrack,
        number: u64,
        reports: Reports,
        open: impl FnOnce() -> Result<Box<dyn Source>, SourceError> + Send + 'static,
    ) -> Result<Capture, SourceError> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let spawned = std::thread::Builder::new().name(format!("{} source", track.word())).spawn(move || {
            let done = open().and_then(|source| theirs.run(track, source, &reports));
            if let (Err(error), false) = (done, theirs.stop.load(Ordering::Relaxed)) {
                // The desk empties its queue all the time.
                let _ = reports.orders.send(Order::Lost(track, number, error));
            }
        });
        match spawned {
            Ok(_) => Ok(Capture { shared, number }),
            Err(error) => {
                let text = format!("The machine has no room for a thread ({error}).");
                Err(SourceError::new(SourceState::Missing, text))
            }
        }
    }

    /// Puts every picture in `place`, from the next on.
    pub(super) fn add(&self, call: CallId, place: Arc<Newest<Fed>>) {
        self.shared.takers().insert(call, Taker { place, served: false });
    }

    /// And no more.
    pub(super) fn remove(&self, call: CallId) {
        self.shared.takers().remove(&call);
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn run(
        &self,
        track: VideoTrack,
        mut source: Box<dyn Source>,
        reports: &Reports,
    ) -> Result<(), SourceError> {
        let mut started = false;
        while !self.stop.load(Ordering::Relaxed) {
            let Some(captured) = source.next()? else { continue };
            let at = captured.at;
            for (call, taker) in self.takers().iter_mut() {
                taker.place.put(Fed::Picture(captured.clone()));
                if !std::mem::replace(&mut taker.served, true) {
                    // A full channel means a stuck app; the picture flows all the same.
                    let _ = reports.events.try_send(VideoEvent::FirstCaptured { call: *call, track, at });
                }
            }
            if !std::mem::replace(&mut started, true) {
                reports.trace.event(at, &format!("{}_start", track.word()), json!({}));
                let _ = reports.orders.try_send(Order::Works(track));
            }
            source.prepare();
        }
        Ok(())
    }

    fn takers(&self) -> std::sync::MutexGuard<'_, BTreeMap<CallId, Taker>> {
        // Each change is one step; a panic elsewhere leaves it whole.
        self.takers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
