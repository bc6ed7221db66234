//! The thread that opens and closes devices: whoever needs sound gets it from what was chosen, or from the next best,
//! and hears of it when a device goes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ahoy_base::{CallId, Moment, PeerId, SAMPLE_RATE};
use ahoy_call::Ring;
use ahoy_codec::synthetic::Tone;
use tokio::sync::mpsc;

use super::callback::{CaptureCallback, DeviceClock, PlaybackCallback, RING};
use super::capture::{CaptureOrder, CaptureThread};
use super::device_name::{MicrophoneName, SpeakerName};
use super::levels::SharedLevels;
use super::peer_player::{FiguresBoard, PeerSource};
use super::playback::{Pace, PlaybackOrder, PlaybackThread};
use super::real_device::{OpenError, RealDevice, SoundSystem, is_fatal};
use super::tap::SoundTap;
use super::virtual_device::{
    LoopDelay, Recording, Sink, Source, VirtualDevice, start_microphone, start_speaker,
};
use super::{AudioConfig, AudioEvent, Chosen, DeviceState, Devices, Role};
use super::{VoiceOut, VoiceSettings};
use crate::clock;

/// The desk looks around at least this often while a device is open.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// And this often while none is.
const IDLE_LOOK_EVERY: Duration = Duration::from_secs(5);
/// The list of devices is read this often.
const LIST_EVERY: Duration = Duration::from_secs(4);
/// Devices opened for a call that was just accepted wait so long for it.
const PREPARED: Duration = Duration::from_secs(3);
/// A device stays open this long after its last use: calls follow each other.
const LINGER: Duration = Duration::from_secs(1);
/// A device that gives no block for this long is dead, whatever it says.
const DEAD_AFTER: Duration = Duration::from_secs(3);

/// Blocks that a speaker is opened with. PulseAudio keeps two; with 10 ms a sink without hardware ran dry a quarter of
/// the time here, with 15 ms never.
const FIRST_BLOCK: Duration = Duration::from_millis(15);
/// What is added when a speaker takes less than it should: it runs dry.
const LONGER: Duration = Duration::from_millis(10);
/// Longer blocks would be heard as delay.
const LONGEST_BLOCK: Duration = Duration::from_millis(60);
/// Share of its rate below which a speaker runs dry; clocks of sound cards differ by less than a thousandth.
const DRY: f64 = 0.97;

/// What is asked of the desk.
pub(super) enum Order {
    Choose(Role, String),
    /// A call begins in a moment.
    Prepare,
    StartCall(CallId, VoiceOut),
    StopCall(CallId),
    AddPeer(CallId, PeerId, PeerSource),
    RemovePeer(CallId, PeerId),
    Mute(CallId, bool),
    Record(CallId, Option<SoundTap>),
    Ring(Ring),
    RingVolume(u8),
    Voice(VoiceSettings),
    TestSound,
    Monitor(bool),
    /// A running stream reported its end. The number tells streams apart.
    Failed(Role, u64, String),
}

/// What the desk is made of.
pub(super) struct Parts {
    pub(super) config: AudioConfig,
    pub(super) devices: Arc<Mutex<Devices>>,
    pub(super) levels: Arc<SharedLevels>,
    pub(super) figures: FiguresBoard,
    pub(super) events: mpsc::Sender<AudioEvent>,
    pub(super) orders: SyncSender<Order>,
}

/// Ticks of the speaker's sound that wait for the capture thread: it looks every 10 ms, and at most 50 ms apart.
const FAR_TICKS: usize = 32;

/// Starts all three threads.
///
/// # Errors
/// In words, when there are no threads to be had.
pub(super) fn spawn(parts: Parts, inbox: Receiver<Order>) -> Result<(), String> {
    let trace = parts.config.trace.clone();
    let (far_in, far) = rtrb::RingBuffer::new(FAR_TICKS);
    let capture = CaptureThread::start(parts.levels.clone(), far, trace.clone())?;
    let playback = PlaybackThread::start(
        parts.levels.clone(),
        far_in,
        parts.figures.clone(),
        parts.events.clone(),
        trace,
    )?;
    capture.tell(CaptureOrder::Voice(parts.config.voice));
    playback.tell(PlaybackOrder::Volume(parts.config.ring_volume));
    let desk = Desk {
        microphone: Place::new(parts.config.microphone.clone()),
        speaker: Place::new(parts.config.speaker.clone()),
        rings: parts.config.ring,
        parts,
        capture,
        playback,
        system: SoundSystem::default(),
        calls: BTreeSet::new(),
        peers: BTreeSet::new(),
        monitored: false,
        ring: Ring::None,
        recordings: BTreeMap::new(),
        loop_delay: Arc::default(),
        block: FIRST_BLOCK,
        next_stream: 0,
        listed_at: None,
        prepared_until: Moment::ZERO,
    };
    std::thread::Builder::new()
        .name("sound desk".to_owned())
        .spawn(move || desk.run(&inbox))
        .map(drop)
        .map_err(|error| error.to_string())
}

/// One of the two devices: what was chosen, and what is open.
struct Place {
    chosen: String,
    open: Option<Open>,
    /// Nobody has needed it since.
    idle_since: Option<Moment>,
    /// Why not the chosen one.
    trouble: Option<OpenError>,
}

struct Open {
    device: OpenDevice,
    clock: Arc<DeviceClock>,
    number: u64,
    opened_at: Moment,
    /// For people.
    name: String,
    /// When its frames were last counted, and how many there were.
    counted: Option<(Moment, u64)>,
}

/// Held for as long as the device is open.
enum OpenDevice {
    Real { _device: RealDevice },
    Virtual { _device: VirtualDevice },
}

impl Place {
    fn new(chosen: String) -> Place {
        Place { chosen, open: None, idle_since: None, trouble: None }
    }
}

struct Desk {
    parts: Parts,
    capture: CaptureThread,
    playback: PlaybackThread,
    system: SoundSystem,
    microphone: Place,
    speaker: Place,
    rings: bool,
    calls: BTreeSet<CallId>,
    peers: BTreeSet<(CallId, PeerId)>,
    monitored: bool,
    ring: Ring,
    /// Files that grow for as long as the daemon runs.
    recordings: BTreeMap<PathBuf, Arc<Mutex<Recording>>>,
    loop_delay: Arc<LoopDelay>,
    /// How much a real speaker takes at a time.
    block: Duration,
    next_stream: u64,
    listed_at: Option<Moment>,
    /// A call that was accepted needs its devices by then.
    prepared_until: Moment,
}

impl Desk {
    fn run(mut self, inbox: &Receiver<Order>) {
        self.list();
        loop {
            let busy = self.microphone.open.is_some() || self.speaker.open.is_some();
            match inbox.recv_timeout(if busy { LOOK_EVERY } else { IDLE_LOOK_EVERY }) {
                Ok(order) => {
                    self.obey(order);
                    // Orders come in bunches around a call; devices are looked at once for all.
                    inbox.try_iter().for_each(|order| self.obey(order));
                }
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.settle();
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Choose(role, id) => {
                self.place(role).chosen = id;
                self.close(role);
                self.place(role).trouble = None;
            }
            Order::Prepare => {
                self.prepared_until = clock::now() + PREPARED;
                self.capture.tell(CaptureOrder::Prepare);
            }
            Order::StartCall(call, out) => {
                self.calls.insert(call);
                self.loop_delay.clear();
                self.capture.tell(CaptureOrder::StartCall(call, out));
            }
            Order::StopCall(call) => {
                self.calls.remove(&call);
                self.capture.tell(CaptureOrder::StopCall(call));
            }
            Order::AddPeer(call, peer, source) => {
                self.peers.insert((call, peer));
                self.playback.tell(PlaybackOrder::AddPeer(call, peer, source));
            }
            Order::RemovePeer(call, peer) => {
                self.peers.remove(&(call, peer));
                self.playback.tell(PlaybackOrder::RemovePeer(call, peer));
            }
            Order::Mute(call, muted) => self.capture.tell(CaptureOrder::Mute(call, muted)),
            Order::Record(call, tap) => {
                self.capture.tell(CaptureOrder::Record(call, tap.clone()));
                self.playback.tell(PlaybackOrder::Record(call, tap));
            }
            Order::Ring(ring) => {
                self.ring = ring;
                if self.rings {
                    self.playback.tell(PlaybackOrder::Tone(tone_of(ring)));
                }
            }
            Order::Voice(voice) => self.capture.tell(CaptureOrder::Voice(voice)),
            Order::RingVolume(percent) => self.playback.tell(PlaybackOrder::Volume(percent)),
            Order::TestSound => self.playback.tell(PlaybackOrder::Test),
            Order::Monitor(on) => self.monitored = on,
            Order::Failed(role, number, why) => {
                if self.place(role).open.as_ref().is_some_and(|open| open.number == number) {
                    self.lose(role, &why);
                }
            }
        }
    }

    /// Opens what is needed, and closes what was not needed for a while.
    fn settle(&mut self) {
        let now = clock::now();
        let prepared = now < self.prepared_until;
        let microphone = !self.calls.is_empty() || self.monitored || prepared;
        let sounding = self.playback.sounding.load(Ordering::Relaxed);
        let speaker = !self.peers.is_empty() || !self.calls.is_empty() || sounding || prepared;
        for (role, needed) in [(Role::Speaker, speaker), (Role::Microphone, microphone)] {
            let place = self.place(role);
            if needed {
                place.idle_since = None;
                if place.open.is_none() {
                    self.open(role);
                }
            } else if place.open.is_some() && now.since(*place.idle_since.get_or_insert(now)) >= LINGER {
                self.close(role);
            }
        }
    }

    /// What no order brings: devices that come, go, or die silently.
    fn look(&mut self) {
        let now = clock::now();
        for role in [Role::Microphone, Role::Speaker] {
            let place = self.place(role);
            let dead = place.open.as_ref().is_some_and(|open| {
                let last = Moment::from_micros(open.clock.last_us.load(Ordering::Relaxed));
                now.since(open.opened_at.max(last)) > DEAD_AFTER
            });
            if dead {
                self.lose(role, "it stopped without a word");
            }
        }
        self.look_for_dry_speaker(now);
        if self.listed_at.is_none_or(|at| now.since(at) >= LIST_EVERY) {
            self.list();
            for role in [Role::Microphone, Role::Speaker] {
                if self.is_unplugged(role) {
                    self.lose(role, "it was unplugged");
                }
                self.take_back(role);
            }
        }
    }

    /// Whether the chosen device is in use and gone from the list: sound servers move its stream elsewhere silently.
    fn is_unplugged(&mut self, role: Role) -> bool {
        let devices = self.parts.devices.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (list, place) = match role {
            Role::Microphone => (devices.microphones, &self.microphone),
            Role::Speaker => (devices.speakers, &self.speaker),
        };
        let in_use = place.open.as_ref().is_some_and(|open| matches!(open.device, OpenDevice::Real { .. }));
        let by_id = !is_default(&place.chosen) && place.trouble.is_none();
        in_use && by_id && !list.iter().any(|device| device.id == place.chosen)
    }

    /// A speaker that takes less than real time plays holes: it is opened again with longer blocks.
    fn look_for_dry_speaker(&mut self, now: Moment) {
        let Some(Open { device: OpenDevice::Real { _device: device }, clock, counted, .. }) =
            &mut self.speaker.open
        else {
            return;
        };
        let frames = clock.frames.load(Ordering::Relaxed);
        let Some((at, before)) = *counted else {
            *counted = (frames > 0).then_some((now, frames));
            return;
        };
        let time = now.since(at).as_secs_f64();
        if time < 1.0 {
            return;
        }
        *counted = Some((now, frames));
        let share = (frames - before) as f64 / (time * f64::from(device.rate));
        if share < DRY && self.block < LONGEST_BLOCK {
            self.block += LONGER;
            tracing::info!(share, block = ?self.block, "the speaker runs dry and gets longer blocks");
            self.close(Role::Speaker);
            self.open(Role::Speaker);
        }
    }

    /// The chosen device is there again: use it.
    fn take_back(&mut self, role: Role) {
        let place = self.place(role);
        if place.trouble.is_none() {
            return;
        }
        let chosen = place.chosen.clone();
        let devices = self.parts.devices.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let list = match role {
            Role::Microphone => &devices.microphones,
            Role::Speaker => &devices.speakers,
        };
        let there =
            list.iter().any(|device| device.id == chosen || (is_default(&chosen) && device.is_default));
        if there {
            self.close(role);
            self.place(role).trouble = None;
            self.publish();
        }
    }

    fn list(&mut self) {
        self.listed_at = Some(clock::now());
        let (microphones, speakers) = (self.system.list(Role::Microphone), self.system.list(Role::Speaker));
        let mut devices = self.parts.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = devices.microphones != microphones || devices.speakers != speakers;
        devices.microphones = microphones;
        devices.speakers = speakers;
        drop(devices);
        self.check_choices();
        if changed {
            self.publish();
        }
    }

    /// Says beforehand that the chosen device is not there, so that nobody finds out in a call.
    fn check_choices(&mut self) {
        let devices = self.parts.devices.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let virtual_mic = !matches!(
            MicrophoneName::parse(&self.microphone.chosen),
            MicrophoneName::Default | MicrophoneName::Real(_)
        );
        let virtual_speaker =
            !matches!(SpeakerName::parse(&self.speaker.chosen), SpeakerName::Default | SpeakerName::Real(_));
        for (role, list, is_virtual) in [
            (Role::Microphone, &devices.microphones, virtual_mic),
            (Role::Speaker, &devices.speakers, virtual_speaker),
        ] {
            let place = self.place(role);
            if is_virtual || place.open.is_some() {
                continue;
            }
            let trouble = if list.is_empty() {
                Some(OpenError {
                    state: DeviceState::NoSound,
                    text: format!(
                        "No {} was found: no sound server runs, or nothing is plugged in.",
                        role.word()
                    ),
                })
            } else if !is_default(&place.chosen) && !list.iter().any(|device| device.id == place.chosen) {
                Some(OpenError {
                    state: DeviceState::Missing,
                    text: format!("The chosen {} is not plugged in; the system's is used.", role.word()),
                })
            } else {
                None
            };
            let state = |trouble: &Option<OpenError>| trouble.as_ref().map(|t| t.state);
            if state(&place.trouble) != state(&trouble) {
                place.trouble = trouble;
                self.publish();
            }
        }
    }

    /// A device in use is gone: the next best takes over.
    fn lose(&mut self, role: Role, why: &str) {
        let Some(open) = self.place(role).open.take() else { return };
        tracing::warn!(device = open.name, why, "a sound device is gone");
        let real = matches!(open.device, OpenDevice::Real { .. });
        let name = open.name.clone();
        drop(open);
        self.list();
        self.open(role);
        if real {
            let using =
                self.place(role).open.as_ref().filter(|o| matches!(o.device, OpenDevice::Real { .. }));
            let now_using = using.map(|open| open.name.clone());
            self.tell(AudioEvent::DeviceLost { role, name, now_using });
        }
    }

    fn open(&mut self, role: Role) {
        let number = self.next_stream;
        self.next_stream += 1;
        let opened = match role {
            Role::Microphone => self.open_microphone(number),
            Role::Speaker => self.open_speaker(number),
        };
        let place = self.place(role);
        let (open, trouble) = match opened {
            Ok((open, trouble)) => (Some(open), trouble),
            Err(error) => (None, Some(error)),
        };
        if let Some(trouble) = &trouble {
            tracing::warn!(reason = trouble.text, "sound goes on without the chosen device");
        }
        place.open = open;
        place.trouble = trouble;
        self.publish();
    }

    /// Opens the chosen microphone, or the system's, or silence, and says what was wrong with the better ones.
    fn open_microphone(&mut self, number: u64) -> Result<(Open, Option<OpenError>), OpenError> {
        let source = match MicrophoneName::parse(&self.microphone.chosen) {
            MicrophoneName::Default => return self.open_real_microphone(None, number),
            MicrophoneName::Real(id) => return self.open_real_microphone(Some(&id), number),
            MicrophoneName::Null => Ok(Source::Silence),
            MicrophoneName::Tone(hertz) => Ok(Source::tone(hertz)),
            MicrophoneName::File { path, repeat } => Source::file(&path, repeat),
            MicrophoneName::Loop => Ok(Source::Loop(self.loop_delay.clone())),
        };
        let (source, trouble) = match source {
            Ok(source) => (source, None),
            Err(text) => (Source::Silence, Some(OpenError { state: DeviceState::Missing, text })),
        };
        Ok((self.virtual_microphone(source, number)?, trouble))
    }

    fn open_real_microphone(
        &mut self,
        id: Option<&str>,
        number: u64,
    ) -> Result<(Open, Option<OpenError>), OpenError> {
        let mut trouble = None;
        for id in [id, None].into_iter().skip(usize::from(id.is_none())) {
            let clock = Arc::new(DeviceClock::default());
            let (capture, orders) = (&self.capture, self.parts.orders.clone());
            // A card that refuses one size of buffer is asked again, so each try has a ring of its own.
            let ring = Mutex::new(None);
            let make = |channels| {
                let (into, from) = rtrb::RingBuffer::new(RING);
                *ring.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
                CaptureCallback::new(into, clock.clone(), capture.thread.clone(), channels)
            };
            let failed = move |error: cpal::Error| report(&orders, Role::Microphone, number, &error);
            match self.system.open_microphone(id, make, failed) {
                Ok(device) => {
                    if let Some(from) = ring.into_inner().unwrap_or_else(PoisonError::into_inner) {
                        let (clock, rate) = (clock.clone(), device.rate);
                        self.capture.tell(CaptureOrder::Device { ring: from, clock, rate, in_a_room: true });
                    }
                    let name = device.name.clone();
                    return Ok((open(OpenDevice::Real { _device: device }, clock, number, name), trouble));
                }
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        Ok((self.virtual_microphone(Source::Silence, number)?, trouble))
    }

    fn virtual_microphone(&mut self, source: Source, number: u64) -> Result<Open, OpenError> {
        let clock = Arc::new(DeviceClock::default());
        let (into, from) = rtrb::RingBuffer::new(RING);
        let callback = CaptureCallback::new(into, clock.clone(), self.capture.thread.clone(), 1);
        let order =
            CaptureOrder::Device { ring: from, clock: clock.clone(), rate: SAMPLE_RATE, in_a_room: false };
        self.capture.tell(order);
        let device = start_microphone(source, callback).map_err(|error| no_thread(&error))?;
        let name = self.microphone.chosen.clone();
        Ok(open(OpenDevice::Virtual { _device: device }, clock, number, name))
    }

    /// As [`Desk::open_microphone`].
    fn open_speaker(&mut self, number: u64) -> Result<(Open, Option<OpenError>), OpenError> {
        let sink = match SpeakerName::parse(&self.speaker.chosen) {
            SpeakerName::Default => return self.open_real_speaker(None, number),
            SpeakerName::Real(id) => return self.open_real_speaker(Some(&id), number),
            SpeakerName::Null => Ok(Sink::Nothing),
            SpeakerName::Loop => Ok(Sink::Loop(self.loop_delay.clone())),
            SpeakerName::Record(path) => self.recording(path).map(Sink::Record),
        };
        let (sink, trouble) = match sink {
            Ok(sink) => (sink, None),
            Err(text) => (Sink::Nothing, Some(OpenError { state: DeviceState::Missing, text })),
        };
        Ok((self.virtual_speaker(sink, number)?, trouble))
    }

    fn recording(&mut self, path: PathBuf) -> Result<Arc<Mutex<Recording>>, String> {
        if let Some(recording) = self.recordings.get(&path) {
            return Ok(recording.clone());
        }
        let recording = Arc::new(Mutex::new(Recording::create(&path)?));
        self.recordings.insert(path, recording.clone());
        Ok(recording)
    }

    fn open_real_speaker(
        &mut self,
        id: Option<&str>,
        number: u64,
    ) -> Result<(Open, Option<OpenError>), OpenError> {
        let mut trouble = None;
        for id in [id, None].into_iter().skip(usize::from(id.is_none())) {
            let clock = Arc::new(DeviceClock::default());
            let (playback, orders) = (&self.playback, self.parts.orders.clone());
            let ring = Mutex::new(None);
            let make = |channels| {
                let (into, from) = rtrb::RingBuffer::new(RING);
                *ring.lock().unwrap_or_else(PoisonError::into_inner) = Some(into);
                PlaybackCallback::new(from, clock.clone(), playback.thread.clone(), channels)
            };
            let failed = move |error: cpal::Error| report(&orders, Role::Speaker, number, &error);
            match self.system.open_speaker(id, self.block, make, failed) {
                Ok(device) => {
                    if let Some(ring) = ring.into_inner().unwrap_or_else(PoisonError::into_inner) {
                        let (clock, rate) = (clock.clone(), device.rate);
                        let pace = Pace::Uneven;
                        self.playback.tell(PlaybackOrder::Device { ring, clock, rate, announce: true, pace });
                    }
                    let name = device.name.clone();
                    return Ok((open(OpenDevice::Real { _device: device }, clock, number, name), trouble));
                }
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        // Without a speaker calls go on: what would be heard is swallowed at its time.
        Ok((self.virtual_speaker(Sink::Nothing, number)?, trouble))
    }

    fn virtual_speaker(&mut self, sink: Sink, number: u64) -> Result<Open, OpenError> {
        let clock = Arc::new(DeviceClock::default());
        let (ring, from) = rtrb::RingBuffer::new(RING);
        let callback = PlaybackCallback::new(from, clock.clone(), self.playback.thread.clone(), 1);
        let announce = match &sink {
            // `speaker_start` is the time of the file's first sample, whenever the speaker was opened again.
            Sink::Record(recording) => !recording.lock().unwrap_or_else(PoisonError::into_inner).has_begun(),
            Sink::Nothing | Sink::Loop(_) => true,
        };
        let order = PlaybackOrder::Device {
            ring,
            clock: clock.clone(),
            rate: SAMPLE_RATE,
            announce,
            pace: Pace::Steady,
        };
        self.playback.tell(order);
        let device = start_speaker(sink, callback).map_err(|error| no_thread(&error))?;
        let name = self.speaker.chosen.clone();
        Ok(open(OpenDevice::Virtual { _device: device }, clock, number, name))
    }

    fn close(&mut self, role: Role) {
        if self.place(role).open.take().is_some() {
            match role {
                Role::Microphone => self.capture.tell(CaptureOrder::NoDevice),
                Role::Speaker => self.playback.tell(PlaybackOrder::NoDevice),
            }
        }
        self.place(role).idle_since = None;
        self.publish();
    }

    fn place(&mut self, role: Role) -> &mut Place {
        match role {
            Role::Microphone => &mut self.microphone,
            Role::Speaker => &mut self.speaker,
        }
    }

    /// Shows the choices and how they do.
    fn publish(&self) {
        let chosen = |place: &Place| Chosen {
            id: place.chosen.clone(),
            state: place.trouble.as_ref().map_or(DeviceState::Ok, |t| t.state),
            message: place.trouble.as_ref().map(|t| t.text.clone()),
        };
        let mut devices = self.parts.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.microphone = chosen(&self.microphone);
        devices.speaker = chosen(&self.speaker);
        drop(devices);
        self.tell(AudioEvent::DevicesChanged);
    }

    fn tell(&self, event: AudioEvent) {
        // A full channel means a stuck app; the next view shows the truth anyway.
        let _ = self.parts.events.try_send(event);
    }
}

fn open(device: OpenDevice, clock: Arc<DeviceClock>, number: u64, name: String) -> Open {
    Open { device, clock, number, opened_at: crate::clock::now(), name, counted: None }
}

fn report(orders: &SyncSender<Order>, role: Role, number: u64, error: &cpal::Error) {
    if is_fatal(error) {
        // A full queue is emptied soon, and the watch for dead devices finds this one.
        let _ = orders.try_send(Order::Failed(role, number, error.to_string()));
    } else {
        tracing::debug!(%error, role = role.word(), "a sound device hiccuped");
    }
}

fn no_thread(error: &std::io::Error) -> OpenError {
    OpenError {
        state: DeviceState::NoSound,
        text: format!("The machine has no room for a sound thread ({error})."),
    }
}

fn is_default(name: &str) -> bool {
    name.is_empty() || name == "default"
}

fn tone_of(ring: Ring) -> Option<Tone> {
    match ring {
        Ring::None => None,
        Ring::Ended => Some(Tone::Ended),
        Ring::Busy => Some(Tone::Busy),
        Ring::Outgoing => Some(Tone::Outgoing),
        Ring::Waiting => Some(Tone::Waiting),
        Ring::Incoming => Some(Tone::Incoming),
    }
}
