//! This machine's microphone and speaker: devices, the threads beside them, and what calls do with both.
//!
//! ```text
//!  device thread              capture thread                                    call task
//!  CaptureCallback -> ring -> mono, 48 kHz, level, mute, Opus ----------------> EncodedAudio
//!
//!  call task                  playback thread                                   device thread
//!  ReceivedAudio -> ring ---> PeerPlayer each, mix, ring tone, limiter -> ring -> PlaybackCallback
//! ```
//! `desk.rs` is the thread that opens and closes devices and notices when one goes; [`AudioHandle`] is everybody's way
//! to it. Devices are open only while something is heard or said.

mod callback;
mod capture;
mod desk;
mod device_name;
mod levels;
mod peer_player;
mod playback;
mod real_device;
mod sound_check;
mod tap;
mod virtual_device;

use std::sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc};
use std::time::Duration;

use ahoy_base::{CallId, EncodedAudio, Moment, PeerId};
use ahoy_call::Ring;
pub(crate) use ahoy_codec::audio::VoiceSettings;
use ahoy_net_core::session::VoicePlan;
use tokio::sync::{mpsc, watch};

use crate::trace::Trace;
use crate::web::protocol::Levels;
use desk::Order;
use levels::SharedLevels;

pub(crate) use peer_player::{PeerFigures, PeerSink};
pub(crate) use sound_check::Heard;
pub(crate) use tap::{SoundTap, Tapped};
pub(crate) use virtual_device::LOOP_DELAY;

/// Where the microphone's frames of one call go, and how they are to be made.
#[derive(Clone, Debug)]
pub(crate) struct VoiceOut {
    /// Frames, in order.
    pub(crate) frames: mpsc::Sender<EncodedAudio>,
    /// What the call's path carries.
    pub(crate) plan: watch::Receiver<VoicePlan>,
}

/// Orders that may wait for the desk; each is a click or a change of a call.
const MAX_ORDERS: usize = 256;

/// How to start.
#[derive(Clone)]
pub(crate) struct AudioConfig {
    /// A device by name (docs/contract: `default`, an id, or a virtual one).
    pub(crate) microphone: String,
    /// The same.
    pub(crate) speaker: String,
    /// Where `mic_start` and `speaker_start` are told.
    pub(crate) trace: Trace,
    /// Whether this endpoint rings. Echo does not.
    pub(crate) ring: bool,
    /// Loudness of the ring, 0 to 100.
    pub(crate) ring_volume: u8,
    /// What is done to the microphone.
    pub(crate) voice: VoiceSettings,
}

/// News of the sound.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AudioEvent {
    /// The list or the choice of devices changed.
    DevicesChanged,
    /// The first block with sound of a peer was handed to the speaker.
    FirstAudio {
        /// In which call.
        call: CallId,
        /// Whose.
        peer: PeerId,
        /// When its first sample goes out.
        at: Moment,
    },
    /// A device went away while it was in use.
    DeviceLost {
        /// What it was used as.
        role: Role,
        /// Its name for people.
        name: String,
        /// What took its place, for people; `None` when nothing did.
        now_using: Option<String>,
    },
    /// Something is wrong, in plain words.
    Problem {
        /// What.
        text: String,
    },
}

/// What a device is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// To record.
    Microphone,
    /// To play.
    Speaker,
}

impl Role {
    /// For people.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Role::Microphone => "microphone",
            Role::Speaker => "speaker",
        }
    }
}

/// A device that can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// Stable across restarts.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    /// Whether the system uses it by itself.
    pub(crate) is_default: bool,
}

/// How the chosen device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceState {
    /// It works, or nothing speaks against it.
    Ok,
    /// It is not there.
    Missing,
    /// Something else holds it.
    Busy,
    /// The machine has no sound at all.
    NoSound,
}

/// The device in use, or why none is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// As it was chosen.
    pub(crate) id: String,
    /// How it does.
    pub(crate) state: DeviceState,
    /// The same for people, if something is wrong.
    pub(crate) message: Option<String>,
}

/// All that can be chosen, and what is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Devices {
    /// To record with.
    pub(crate) microphones: Vec<Device>,
    /// To play with.
    pub(crate) speakers: Vec<Device>,
    /// The choice.
    pub(crate) microphone: Chosen,
    /// The choice.
    pub(crate) speaker: Chosen,
}

/// Everybody's way to the sound. Cheap to clone; no call blocks.
#[derive(Clone)]
pub(crate) struct AudioHandle {
    orders: std_mpsc::SyncSender<Order>,
    devices: Arc<Mutex<Devices>>,
    levels: Arc<SharedLevels>,
    figures: peer_player::FiguresBoard,
}

/// Starts the threads. Never fails: without any sound device calls go on in silence, and the view says so.
pub(crate) fn start(config: AudioConfig, events: mpsc::Sender<AudioEvent>) -> AudioHandle {
    let (orders, inbox) = std_mpsc::sync_channel(MAX_ORDERS);
    let chosen = |id: &str| Chosen { id: id.to_owned(), state: DeviceState::Ok, message: None };
    let devices = Arc::new(Mutex::new(Devices {
        microphones: Vec::new(),
        speakers: Vec::new(),
        microphone: chosen(&config.microphone),
        speaker: chosen(&config.speaker),
    }));
    let levels = Arc::new(SharedLevels::default());
    let figures = peer_player::FiguresBoard::default();
    let parts = desk::Parts {
        config,
        devices: devices.clone(),
        levels: levels.clone(),
        figures: figures.clone(),
        events: events.clone(),
        orders: orders.clone(),
    };
    if let Err(error) = desk::spawn(parts, inbox) {
        let text = format!("The sound could not be started ({error}).");
        // The loop that reads these is not running yet, and the channel is empty: there is room.
        let _ = events.try_send(AudioEvent::Problem { text });
    }
    AudioHandle { orders, devices, levels, figures }
}

impl AudioHandle {
    /// What can be chosen, and what is.
    pub(crate) fn devices(&self) -> Devices {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records with `id` from now on, in running calls too.
    pub(crate) fn choose_microphone(&self, id: &str) {
        self.order(Order::Choose(Role::Microphone, id.to_owned()));
    }

    /// Plays with `id` from now on, in running calls too.
    pub(crate) fn choose_speaker(&self, id: &str) {
        self.order(Order::Choose(Role::Speaker, id.to_owned()));
    }

    /// Opens the devices for a call that was accepted: keys and links take as long.
    pub(crate) fn prepare(&self) {
        self.order(Order::Prepare);
    }

    /// Sends what the microphone hears to `out`, until [`AudioHandle::stop_call`].
    pub(crate) fn start_call(&self, call: CallId, out: VoiceOut) {
        self.order(Order::StartCall(call, out));
    }

    /// Sends nothing more of the microphone to `call`.
    pub(crate) fn stop_call(&self, call: CallId) {
        self.order(Order::StopCall(call));
    }

    /// Makes a place for the sound of `peer`; it is heard from the first push on.
    pub(crate) fn add_peer(&self, call: CallId, peer: PeerId) -> PeerSink {
        let (sink, source) = peer_player::pair();
        self.order(Order::AddPeer(call, peer, source));
        sink
    }

    /// Plays nothing more of `peer`.
    pub(crate) fn remove_peer(&self, call: CallId, peer: PeerId) {
        self.order(Order::RemovePeer(call, peer));
    }

    /// Whether `call` hears this person.
    pub(crate) fn set_muted(&self, call: CallId, muted: bool) {
        self.order(Order::Mute(call, muted));
    }

    /// Gives the sound of `call`, as it is sent and as it is heard, to `tap` too, or no more.
    pub(crate) fn record(&self, call: CallId, tap: Option<SoundTap>) {
        self.order(Order::Record(call, tap));
    }

    /// Rings like this until told otherwise.
    pub(crate) fn ring(&self, ring: Ring) {
        self.order(Order::Ring(ring));
    }

    /// Loudness of the ring, 0 to 100.
    pub(crate) fn set_ring_volume(&self, percent: u8) {
        self.order(Order::RingVolume(percent));
    }

    /// What is done to the microphone.
    pub(crate) fn set_voice(&self, voice: VoiceSettings) {
        self.order(Order::Voice(voice));
    }

    /// Plays a few notes.
    pub(crate) fn test_sound(&self) {
        self.order(Order::TestSound);
    }

    /// Keeps the microphone open for its level, while a page shows it.
    pub(crate) fn monitor_microphone(&self, on: bool) {
        self.order(Order::Monitor(on));
    }

    /// How loud it is.
    pub(crate) fn levels(&self) -> Levels {
        self.levels.read()
    }

    /// What a test call heard until `now`; what was said is looked for in what came back within `lags`.
    pub(crate) fn heard(&self, now: Moment, lags: std::ops::Range<Duration>) -> Heard {
        self.levels.check.read(now, lags)
    }

    /// Figures of a peer's sound, while it is played.
    pub(crate) fn figures(&self, call: CallId, peer: PeerId) -> Option<PeerFigures> {
        self.figures.read(call, peer)
    }

    fn order(&self, order: Order) {
        if self.orders.try_send(order).is_err() {
            tracing::error!("the sound takes no orders");
        }
    }
}
