//! This machine's camera and screen: where pictures come from, the threads that encode them, and where received ones go.
//!
//! ```text
//!  source thread (camera, screen)          encode thread, one a call and track              call task
//!  V4L2, X11, page, file, test card -----> newest picture -> plan's size -> VP8 or VP9 ---> EncodedVideo
//!                                                                  |
//!  call task                                                       v own pictures
//!  ShownVideo at its release -----------------------------------> hub -> pages           -> recorders
//! ```
//! Nothing is captured before somebody asks for it: a source is open exactly while a call sends its track.

mod browser;
mod capture;
mod codec_choice;
mod content;
mod desk;
mod device_name;
mod effort;
mod encode;
pub(crate) mod hub;
mod newest;
mod real;
mod record;
mod source;
#[cfg(target_os = "linux")]
mod v4l2;
#[cfg(target_os = "linux")]
mod x11;

use std::sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc};

use ahoy_base::{CallId, EncodedVideo, Moment, PeerId, VideoPlan, VideoRequest, VideoTrack};
use tokio::sync::{mpsc, watch};

use crate::trace::Trace;
use crate::view::ScreenContent;
use hub::{TrackKey, VideoHub};
use record::Recorder;
use source::SourceError;

/// One call's way out of one track.
#[derive(Debug)]
pub(crate) struct VideoOut {
    /// Encoded frames, in order; bounded. A frame that finds no room is gone: the encoder goes on from the last frame
    /// that found some.
    pub(crate) frames: mpsc::Sender<EncodedVideo>,
    /// What the call's path carries.
    pub(crate) plan: watch::Receiver<VideoPlan>,
    /// What the receiver's state asks for; bounded.
    pub(crate) requests: mpsc::Receiver<VideoRequest>,
}

/// A received frame at its release moment.
#[derive(Clone, Debug)]
pub(crate) struct ShownVideo {
    /// The frame.
    pub(crate) frame: Arc<EncodedVideo>,
    /// When the last datagram that it needed came.
    pub(crate) arrival: Moment,
    /// When it is to be seen: now.
    pub(crate) release: Moment,
}

/// How to start.
#[derive(Clone)]
pub(crate) struct VideoConfig {
    /// A device by name (the contract: an id, a virtual one, or `browser`).
    pub(crate) camera: String,
    /// The same.
    pub(crate) screen: String,
    /// `null`, or `record:FOLDER`.
    pub(crate) video_out: String,
    /// Where `camera_start` is told.
    pub(crate) trace: Trace,
    /// This device, whose own pictures are shown to its person.
    pub(crate) me: PeerId,
}

/// News of the pictures.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum VideoEvent {
    /// The list or the choice of devices changed.
    DevicesChanged,
    /// A source gave its first picture to a call.
    FirstCaptured {
        /// Which.
        call: CallId,
        /// Of which track.
        track: VideoTrack,
        /// When it was captured.
        at: Moment,
    },
    /// A source gave up, or could not be opened; the call goes on without its picture.
    SourceLost {
        /// Of which track.
        track: VideoTrack,
        /// What happened, what still works, what to do: for people.
        text: String,
    },
    /// Something is wrong, in plain words.
    Problem {
        /// What.
        text: String,
    },
}

/// What gives pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceKind {
    /// A camera of this machine.
    Camera,
    /// A whole screen.
    Screen,
    /// One window.
    Window,
}

/// A source that can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VideoDevice {
    /// Stable across restarts, windows excepted.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: SourceKind,
}

/// How the chosen source does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceState {
    /// It works, or nothing speaks against it.
    Ok,
    /// It is not there.
    Missing,
    /// Something else holds it.
    Busy,
    /// The person or the system said no.
    Refused,
}

/// The source in use, or why none is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChosenVideo {
    /// As it was chosen.
    pub(crate) id: String,
    /// How it does.
    pub(crate) state: SourceState,
    /// The same for people, if something is wrong.
    pub(crate) message: Option<String>,
}

/// All that can be chosen, and what is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VideoDevices {
    /// Faces.
    pub(crate) cameras: Vec<VideoDevice>,
    /// Screens and windows.
    pub(crate) screens: Vec<VideoDevice>,
    /// The choice.
    pub(crate) camera: ChosenVideo,
    /// The choice.
    pub(crate) screen: ChosenVideo,
}

/// Everybody's way to the pictures. Cheap to clone; no call blocks.
#[derive(Clone)]
pub(crate) struct VideoHandle {
    orders: std_mpsc::SyncSender<Order>,
    devices: Arc<Mutex<VideoDevices>>,
    hub: VideoHub,
    content: Arc<watch::Sender<ScreenContent>>,
    recorder: Option<Recorder>,
}

/// What is asked of the desk.
enum Order {
    Start(CallId, VideoTrack, VideoOut),
    Stop(CallId, VideoTrack),
    Choose(VideoTrack, String),
    /// The source gives pictures.
    Works(VideoTrack),
    /// The source of that number gives none any more.
    Lost(VideoTrack, u64, SourceError),
}

/// Starts the threads. Never fails: without any camera or screen calls go on by voice, and the view says so.
pub(crate) fn start(config: VideoConfig, events: mpsc::Sender<VideoEvent>) -> VideoHandle {
    let (orders, inbox) = std_mpsc::sync_channel(MAX_ORDERS);
    let chosen = |id: &str| ChosenVideo { id: id.to_owned(), state: SourceState::Ok, message: None };
    let devices = Arc::new(Mutex::new(VideoDevices {
        cameras: Vec::new(),
        screens: Vec::new(),
        camera: chosen(&config.camera),
        screen: chosen(&config.screen),
    }));
    let hub = VideoHub::default();
    let content = watch::Sender::new(ScreenContent::Auto);
    let problem = |text: String| {
        // The loop that reads these is not running yet, and the channel is empty: there is room.
        let _ = events.try_send(VideoEvent::Problem { text });
    };
    let recorder = device_name::record_folder(&config.video_out)
        .and_then(|folder| Recorder::start(folder).map_err(problem).ok());
    let parts = desk::Parts {
        me: config.me,
        trace: config.trace,
        hub: hub.clone(),
        content: content.subscribe(),
        devices: devices.clone(),
        events: events.clone(),
        orders: orders.clone(),
    };
    if let Err(error) = desk::spawn(parts, inbox) {
        problem(format!("The pictures could not be started ({error})."));
    }
    VideoHandle { orders, devices, hub, content: Arc::new(content), recorder }
}

impl VideoHandle {
    /// Captures, encodes and sends `track` to `call` until [`VideoHandle::stop`]. Nothing is captured before.
    pub(crate) fn start(&self, call: CallId, track: VideoTrack, out: VideoOut) {
        self.order(Order::Start(call, track, out));
    }

    /// Sends nothing more of `track` to `call`; the source closes with its last call.
    pub(crate) fn stop(&self, call: CallId, track: VideoTrack) {
        self.order(Order::Stop(call, track));
    }

    /// Captures `track` from `id` from now on, in running calls too.
    pub(crate) fn choose(&self, track: VideoTrack, id: &str) {
        self.order(Order::Choose(track, id.to_owned()));
    }

    /// What a shared screen is sent for from now on, in running calls too.
    pub(crate) fn set_screen_content(&self, content: ScreenContent) {
        self.content.send_replace(content);
    }

    /// What can be chosen, and what is.
    pub(crate) fn devices(&self) -> VideoDevices {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a received frame at its release moment: for the pages that watch, and for recorders.
    pub(crate) fn show(&self, call: CallId, peer: PeerId, track: VideoTrack, shown: ShownVideo) {
        self.hub.publish(shown.release, TrackKey { call, peer, track }, &shown.frame);
        if let Some(recorder) = &self.recorder {
            recorder.push(peer, track, shown);
        }
    }

    /// Whether received pictures are recorded: then they are wanted whoever looks.
    pub(crate) fn records(&self) -> bool {
        self.recorder.is_some()
    }

    /// No more frames come of this track: its tile empties, its recording ends.
    pub(crate) fn gone(&self, call: CallId, peer: PeerId, track: VideoTrack) {
        self.hub.gone(TrackKey { call, peer, track });
    }

    /// Where pages look at pictures, and where a page's own capture comes in: where `browser` is chosen, the frames of
    /// [`hub::Browser::source`] are sent as they are.
    pub(crate) fn hub(&self) -> &VideoHub {
        &self.hub
    }

    fn order(&self, order: Order) {
        if self.orders.try_send(order).is_err() {
            tracing::error!("the pictures take no orders");
        }
    }
}

/// Orders that may wait for the desk: two seconds of frames of a handful of tracks.
const MAX_ORDERS: usize = 256;
