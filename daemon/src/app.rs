//! The loop of this person's daemon: what pages and command line ask for goes in, views and events come out.

mod desk;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ahoy_base::{CallId, Moment, PeerId, VideoTrack};
use ahoy_call::{CommandError, words};
use ahoy_net::{Multiaddr, Reached, RelayRole, Source};
use ahoy_net_core::session::PathInfo;
use ahoy_net_core::wire::signal::MediaKind;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::app_handle::{AppEnd, AppEvent, AppRequest};
use crate::audio::AudioEvent;
use crate::clock;
use crate::echo_test;
use crate::figures::Meters;
use crate::identity::Identity;
use crate::node::Node;
use crate::random;
use crate::recording::{RecordingEvent, Recordings};
use crate::safety;
use crate::store::{ContactRow, Store};
use crate::trace::Trace;
use crate::video::VideoEvent;
use crate::view::{AutoAnswer, Contact, EchoTestView, Media, Notice, Settings, Verified};
use crate::view_builder::{self, Sources, name_of};
use crate::web::protocol::{Command, DeviceRole, MAX_NAME, SettingsChange, UiError};
use crate::who;

/// Views are made at most this often; a page can't draw faster than people look.
const VIEW_EVERY: Duration = Duration::from_millis(50);
/// How often figures of running calls are read for the view and the trace.
const METERS_EVERY: Duration = Duration::from_secs(1);
/// Lines of the log of calls that a view carries.
const RECENT_LINES: usize = 200;
/// Commands whose answer is awaited; a page has one or two under way.
const MAX_PENDING: usize = 256;
/// Addresses that are kept of a contact: a machine has a handful, old ones fall off.
const MAX_ADDRESSES: usize = 16;
/// Addresses of our card; more would make its QR code hard to read.
const CARD_ADDRESSES: usize = ahoy_net_core::wire::card::MAX_ADDRESSES;
/// Names that devices without a place in the address book said; older ones are forgotten.
const MAX_NAMES: usize = 512;
/// How long a clean stop may take; the contract says 2 s to the end of the process.
const FAREWELL: Duration = Duration::from_millis(700);

/// Everything the loop owns.
pub(crate) struct App {
    node: Node,
    desk: Desk,
    end: AppEnd,
    revision: u64,
}

/// What the app knows beside its node: the [`Host`](crate::node::Host) of this person's endpoint.
struct Desk {
    identity: Identity,
    store: Store,
    trace: Trace,
    events: broadcast::Sender<AppEvent>,
    name: String,
    settings: Settings,
    echo: PeerId,
    contacts: BTreeMap<PeerId, Contact>,
    rows: BTreeMap<PeerId, ContactRow>,
    /// In our card: who shows it was given the card by this person.
    invite: [u8; 16],
    /// Of cards that were called without being added.
    invites: BTreeMap<PeerId, [u8; 16]>,
    nearby: BTreeSet<PeerId>,
    names: BTreeMap<PeerId, String>,
    names_order: VecDeque<PeerId>,
    listening: Vec<Multiaddr>,
    mdns: bool,
    keeps_ports: bool,
    relay: RelayRole,
    kept_ports: String,
    reached: Reached,
    last_error: Option<String>,
    notices: Vec<Notice>,
    paths: BTreeMap<CallId, PathInfo>,
    recordings: Recordings,
    muted: BTreeSet<CallId>,
    pending: BTreeMap<[u8; 16], oneshot::Sender<Answer>>,
    /// Answers that wait for the view that shows what was done.
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
    meters: Meters,
    /// What calls to Echo found out.
    echo_tests: BTreeMap<CallId, EchoTestView>,
    /// Peers the network shall keep a stream to, decided while the node was busy.
    to_connect: Vec<(PeerId, Vec<Multiaddr>, Source)>,
    dirty: bool,
    /// What happened to calls, to be told once the view shows it: whoever hears of it and asks finds it there.
    happened: Vec<Happened>,
}

/// Something that happened to a call.
struct Happened {
    at: Moment,
    word: &'static str,
    call: CallId,
    /// For the trace.
    traced: Value,
    /// For pages and the command line.
    more: Value,
}

/// What [`App::new`] is made of.
pub(crate) struct Parts {
    pub(crate) identity: Identity,
    pub(crate) store: Store,
    pub(crate) trace: Trace,
    pub(crate) node: Node,
    pub(crate) end: AppEnd,
    pub(crate) name: String,
    pub(crate) settings: Settings,
    pub(crate) echo: PeerId,
    pub(crate) invite: [u8; 16],
    pub(crate) mdns: bool,
    /// Whether ports are kept for the next start: nobody said which to use.
    pub(crate) keeps_ports: bool,
    /// Whom this device relays for.
    pub(crate) relay: RelayRole,
    pub(crate) recordings: Recordings,
    pub(crate) notices: Vec<Notice>,
}

impl App {
    /// Puts the parts together and takes up the contacts.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) fn new(parts: Parts) -> Result<App, UiError> {
        let rows = parts.store.contacts()?;
        let me = parts.identity.peer;
        let mut desk = Desk {
            echo: parts.echo,
            events: parts.end.events.clone(),
            identity: parts.identity,
            store: parts.store,
            trace: parts.trace,
            name: parts.name,
            settings: parts.settings,
            contacts: BTreeMap::new(),
            rows: BTreeMap::new(),
            invite: parts.invite,
            invites: BTreeMap::new(),
            nearby: BTreeSet::new(),
            names: BTreeMap::new(),
            names_order: VecDeque::new(),
            listening: Vec::new(),
            mdns: parts.mdns,
            keeps_ports: parts.keeps_ports,
            relay: parts.relay,
            kept_ports: String::new(),
            reached: Reached::default(),
            last_error: None,
            notices: parts.notices,
            paths: BTreeMap::new(),
            recordings: parts.recordings,
            muted: BTreeSet::new(),
            pending: BTreeMap::new(),
            answers: Vec::new(),
            meters: Meters::default(),
            echo_tests: BTreeMap::new(),
            to_connect: Vec::new(),
            dirty: true,
            happened: Vec::new(),
        };
        let number = safety::number(me, parts.echo);
        desk.contacts.insert(parts.echo, view_builder::echo_contact(parts.echo, number));
        rows.into_iter().for_each(|row| desk.take_up(row));
        Ok(App { node: parts.node, desk, end: parts.end, revision: 0 })
    }

    /// Runs until somebody stops it or `stop` resolves.
    pub(crate) async fn run(
        mut self,
        mut audio_events: mpsc::Receiver<AudioEvent>,
        mut video_events: mpsc::Receiver<VideoEvent>,
        mut recording_events: mpsc::Receiver<RecordingEvent>,
        stop: impl Future<Output = ()>,
    ) {
        tokio::pin!(stop);
        let mut meters = tokio::time::interval(METERS_EVERY);
        let mut views = tokio::time::interval(VIEW_EVERY);
        views.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.node.set_low_data(self.desk.settings.low_data);
        self.node.video().set_screen_content(self.desk.settings.screen_content);
        self.node.start(&mut self.desk);
        loop {
            self.connect_waiting();
            self.answer();
            tokio::select! {
                input = self.node.next() => self.node.handle(input, &mut self.desk),
                Some(event) = audio_events.recv() => self.desk.on_audio(event),
                Some(event) = video_events.recv() => self.desk.on_video(event),
                Some(event) = recording_events.recv() => self.on_recording(event),
                request = self.end.requests.recv() => match request {
                    Some(AppRequest::Command { id, command, reply }) => self.on_command(id, command, reply),
                    Some(AppRequest::Stats { reply }) => {
                        // A reader that went away needs no answer.
                        let _ = reply.send(self.stats());
                    }
                    Some(AppRequest::Stop) | None => break,
                },
                _ = meters.tick() => self.read_meters(),
                _ = views.tick(), if self.desk.dirty => self.show(),
                () = &mut stop => break,
            }
        }
        self.farewell().await;
    }

    /// Hangs up with word to the others and gives the words time to leave.
    async fn farewell(&mut self) {
        self.node.shut_down(&mut self.desk);
        self.answer();
        let goodbye = async {
            loop {
                let input = self.node.next().await;
                self.node.handle(input, &mut self.desk);
                self.answer();
            }
        };
        // The loop has no end of its own; time is up or everything said.
        let _ = tokio::time::timeout(FAREWELL, goodbye).await;
        self.desk.recordings.close();
        self.node.net().shutdown().await;
    }

    fn connect_waiting(&mut self) {
        for (peer, addresses, source) in std::mem::take(&mut self.desk.to_connect) {
            if let Some(row) = self.desk.rows.get(&peer) {
                // Before anything is dialled.
                self.node.hide_from(peer, row.hide_address);
                if let Some(invite) = row.invite {
                    self.node.net().invited_by(peer, invite);
                }
            }
            self.node.net().add_addresses(peer, addresses, source);
            self.node.net().connect(peer);
        }
    }

    /// Shows at once what somebody may ask about next, and answers commands after that: whoever reads it next finds what they asked for done.
    fn answer(&mut self) {
        if self.desk.answers.is_empty() && self.desk.happened.is_empty() {
            return;
        }
        self.show();
        for Happened { at, word, call, traced, more } in std::mem::take(&mut self.desk.happened) {
            self.desk.trace.event(at, word, traced);
            self.desk.tell(at, word, Some(call), more);
        }
        for (reply, result) in self.desk.answers.drain(..) {
            // A page that went away has the view.
            let _ = reply.send(result);
        }
    }

    fn show(&mut self) {
        self.desk.dirty = false;
        self.revision += 1;
        let desk = &self.desk;
        let sources = Sources {
            node: &self.node,
            me: desk.me(),
            echo: desk.echo,
            contacts: &desk.contacts,
            nearby: &desk.nearby,
            names: &desk.names,
            paths: &desk.paths,
            recordings: &desk.recordings,
            muted: &desk.muted,
            qualities: desk.meters.qualities(),
            echo_tests: &desk.echo_tests,
            pictures: desk.meters.pictures(),
            recent: desk.recent(),
            settings: desk.settings.clone(),
            listening: desk.listening.iter().map(ToString::to_string).collect(),
            mdns: desk.mdns,
            network: desk.network(),
            last_error: desk.last_error.clone(),
            notices: desk.notices.clone(),
        };
        let view = view_builder::build(sources, self.revision, clock::wall_ms());
        self.end.view.send_replace(Arc::new(view));
    }

    fn read_meters(&mut self) {
        let changed = self.desk.meters.read(clock::now(), &self.node, &self.desk.trace);
        self.desk.dirty |= changed;
        self.test_echo();
    }

    /// Judges a running call to Echo; what was found stays as long as the call is shown.
    fn test_echo(&mut self) {
        let Desk { echo, echo_tests, meters, muted, dirty, .. } = &mut self.desk;
        echo_tests.retain(|id, _| self.node.calls().call(*id).is_some());
        for call in self.node.calls().calls().filter(|call| call.peer() == *echo) {
            let id = call.id();
            let found =
                echo_test::examine(clock::now(), &self.node, call, muted.contains(&id), meters.lost(id));
            if let Some(found) = found {
                *dirty |= echo_tests.insert(id, found.clone()).as_ref() != Some(&found);
            }
        }
    }

    fn stats(&mut self) -> Value {
        let desk = &mut self.desk;
        let names = |peer| name_of(&desk.contacts, &desk.names, peer);
        desk.meters.stats(clock::now(), &self.node, &desk.paths, names)
    }

    fn on_command(&mut self, id: [u8; 16], command: Command, reply: oneshot::Sender<Result<Value, UiError>>) {
        match self.carry_out(id, command) {
            Done::Now(result) => self.desk.answers.push((reply, result)),
            Done::ByCall(command) => {
                while self.desk.pending.len() >= MAX_PENDING {
                    self.desk.pending.pop_first();
                }
                self.desk.pending.insert(id, reply);
                self.node.command(id, command, &mut self.desk);
            }
        }
        self.desk.dirty = true;
    }

    fn carry_out(&mut self, id: [u8; 16], command: Command) -> Done {
        use ahoy_call::Command as Do;
        match command {
            Command::Dial { who, media } => self.dial(&who, media),
            Command::Answer { call, media } => {
                Done::ByCall(Do::Answer { call, media: kind_of(media.unwrap_or(Media::Voice)) })
            }
            Command::Picture { call, track, on, source } => {
                if let Some(source) = source {
                    self.node.video().choose(track.into(), &source);
                }
                Done::ByCall(Do::Picture { call, track: track.into(), on })
            }
            Command::Decline { call, message } => Done::ByCall(Do::Decline { call, message }),
            Command::HangUp { call } => Done::ByCall(Do::HangUp { call }),
            Command::Hold { call, on } => Done::ByCall(Do::Hold { call, on }),
            Command::Record { call, on } => match self.desk.recordings.check() {
                Err(error) if on => Done::Now(Err(error)),
                _ => Done::ByCall(Do::Record { call, on }),
            },
            Command::Rejoin { call } => Done::ByCall(Do::Rejoin { call }),
            Command::Dismiss { call } => Done::ByCall(Do::Dismiss { call }),
            Command::Mute { call, on } => Done::Now(self.mute(call, on)),
            Command::SetName { name } => Done::Now(self.set_name(&name)),
            Command::AddContact { card } => Done::Now(self.add_card(&card)),
            Command::AddNearby { peer_id } => Done::Now(self.desk.add_nearby(peer_id)),
            Command::RemoveContact { peer_id } => Done::Now(self.remove_contact(peer_id)),
            Command::RenameContact { peer_id, name } => {
                Done::Now(self.desk.change_contact(peer_id, |row| row.name = cut(&name)))
            }
            Command::VerifyContact { peer_id, verified } => {
                Done::Now(self.desk.change_contact(peer_id, |row| {
                    row.verified = if verified { Verified::Verified } else { Verified::Unverified };
                }))
            }
            Command::HideAddress { peer_id, on } => Done::Now(self.hide_address(peer_id, on)),
            Command::ChooseDevice { role: DeviceRole::Microphone, id } => {
                self.node.audio().choose_microphone(&id);
                Done::Now(self.desk.store.set_value("microphone", &id).map(|()| json!({})))
            }
            Command::ChooseDevice { role: DeviceRole::Speaker, id } => {
                self.node.audio().choose_speaker(&id);
                Done::Now(self.desk.store.set_value("speaker", &id).map(|()| json!({})))
            }
            Command::ChooseDevice { role: DeviceRole::Camera, id } => {
                self.node.video().choose(VideoTrack::Camera, &id);
                Done::Now(self.desk.store.set_value("camera", &id).map(|()| json!({})))
            }
            Command::ChooseDevice { role: DeviceRole::Screen, id } => {
                self.node.video().choose(VideoTrack::Screen, &id);
                Done::Now(self.desk.store.set_value("screen", &id).map(|()| json!({})))
            }
            Command::TestSound {} => {
                self.node.audio().test_sound();
                Done::Now(Ok(json!({})))
            }
            Command::MonitorMicrophone { on } => {
                self.node.audio().monitor_microphone(on);
                Done::Now(Ok(json!({})))
            }
            Command::SetSettings { changes } => Done::Now(self.set_settings(&changes)),
            Command::MarkRecentSeen {} => Done::Now(self.desk.store.mark_recent_seen().map(|()| json!({}))),
            Command::ClearRecent {} => Done::Now(self.desk.store.clear_recent().map(|()| json!({}))),
            Command::RevokeSession { .. } => {
                tracing::error!(?id, "revoking a session belongs to the web door");
                Done::Now(Ok(json!({})))
            }
        }
    }

    fn on_recording(&mut self, event: RecordingEvent) {
        let now = clock::now();
        match event {
            RecordingEvent::Finished { call, path } => {
                let more = json!({ "file": path.display().to_string() });
                self.desk.trace.event(
                    now,
                    "recorded",
                    json!({ "call": call.to_string(), "file": more["file"] }),
                );
                self.desk.tell(now, "recorded", Some(call), more);
            }
            RecordingEvent::Failed { call, error } => {
                self.desk.notice("recording", error.what, error.works, error.mend);
                self.desk.recordings.stop(call);
                // The other side hears that it is over.
                let command = ahoy_call::Command::Record { call, on: false };
                self.node.command(random::bytes(), command, &mut self.desk);
            }
        }
        self.desk.dirty = true;
    }

    fn dial(&mut self, words: &str, media: Media) -> Done {
        let desk = &self.desk;
        let contacts = desk.contacts.values().map(|c| (c.peer_id, c.name.as_str()));
        let nearby = desk.nearby.iter().filter_map(|p| desk.names.get(p).map(|n| (*p, n.as_str())));
        let found = match who::find(words, contacts.chain(nearby)) {
            Ok(found) => found,
            Err(error) => return Done::Now(Err(error)),
        };
        if let Some(name) = found.name {
            self.desk.remember_name(found.peer, &name);
        }
        self.node.net().add_addresses(found.peer, found.addresses, Source::Card);
        if let Some(invite) = found.invite {
            self.desk.remember_invite(found.peer, invite);
            self.node.net().invited_by(found.peer, invite);
            self.node.greet(found.peer, &self.desk);
        }
        let call = CallId::from_bytes(random::bytes());
        Done::ByCall(ahoy_call::Command::Dial { call, peer: found.peer, media: kind_of(media) })
    }

    fn mute(&mut self, call: CallId, on: bool) -> Result<Value, UiError> {
        if self.node.calls().call(call).is_none() {
            return Err(error_of(CommandError::UnknownCall));
        }
        self.node.audio().set_muted(call, on);
        if on {
            self.desk.muted.insert(call);
        } else {
            self.desk.muted.remove(&call);
        }
        Ok(json!({ "call": call.to_string() }))
    }

    fn set_name(&mut self, name: &str) -> Result<Value, UiError> {
        let name = cut(name);
        if name.is_empty() {
            return Err(UiError::new(
                "A name needs at least one letter.",
                "Nothing was changed.",
                "Type a name.",
            ));
        }
        self.desk.store.set_value("name", &name)?;
        self.desk.name = name;
        self.node.greet_all(&self.desk);
        Ok(json!({}))
    }

    fn add_card(&mut self, text: &str) -> Result<Value, UiError> {
        let found = who::from_card(text)?;
        let peer = found.peer;
        let result = self.desk.add_card(found)?;
        // If they are there already, they learn at once that this person has their card.
        self.node.greet(peer, &self.desk);
        Ok(result)
    }

    fn hide_address(&mut self, peer: PeerId, on: bool) -> Result<Value, UiError> {
        let done = self.desk.change_contact(peer, |row| row.hide_address = on)?;
        self.node.hide_from(peer, on);
        // What it is told of our addresses is another row now.
        self.node.greet(peer, &self.desk);
        Ok(done)
    }

    fn remove_contact(&mut self, peer: PeerId) -> Result<Value, UiError> {
        if self.desk.rows.remove(&peer).is_none() {
            return Err(no_contact());
        }
        self.desk.contacts.remove(&peer);
        self.desk.store.remove_contact(peer)?;
        if !self.desk.nearby.contains(&peer) {
            self.node.net().forget(peer);
        }
        Ok(json!({}))
    }

    fn set_settings(&mut self, changes: &SettingsChange) -> Result<Value, UiError> {
        self.desk.settings.apply(changes);
        self.desk.store.set_settings(&self.desk.settings)?;
        let (answer, nearby) =
            (auto_answer(self.desk.settings.auto_answer), self.desk.settings.strangers_nearby_may_ring);
        self.node.configure(answer, nearby);
        self.node.set_low_data(self.desk.settings.low_data);
        self.node.video().set_screen_content(self.desk.settings.screen_content);
        self.node.audio().set_ring_volume(self.desk.settings.ring_volume);
        self.node.audio().set_voice(self.desk.settings.voice());
        Ok(json!({}))
    }
}

/// Somebody for the address book, as far as known.
struct Entry {
    peer: PeerId,
    name: Option<String>,
    addresses: Vec<String>,
    invite: Option<[u8; 16]>,
}

/// What comes of a command: its result, or why not.
type Answer = Result<Value, UiError>;

/// How a command is answered.
enum Done {
    /// Already.
    Now(Result<Value, UiError>),
    /// When `Calls` has decided.
    ByCall(ahoy_call::Command),
}

/// The same choice in the words of the core.
pub(crate) const fn auto_answer(choice: AutoAnswer) -> ahoy_call::AutoAnswer {
    match choice {
        AutoAnswer::Off => ahoy_call::AutoAnswer::Off,
        AutoAnswer::Contacts => ahoy_call::AutoAnswer::Contacts,
        AutoAnswer::All => ahoy_call::AutoAnswer::All,
    }
}

/// What the trace is told of a call: which one, and `more`.
fn of_call(call: CallId, more: &Value) -> Value {
    let mut traced = json!({ "call": call.to_string() });
    if let (Value::Object(traced), Value::Object(more)) = (&mut traced, more) {
        traced.extend(more.clone());
    }
    traced
}

fn error_of(error: CommandError) -> UiError {
    let said = words::refused(error);
    UiError::new(said.what, said.works, said.todo)
}

const fn kind_of(media: Media) -> MediaKind {
    match media {
        Media::Voice => MediaKind::Voice,
        Media::Video => MediaKind::Video,
    }
}

fn no_contact() -> UiError {
    UiError::new(
        "That person is not in your contacts.",
        "Nothing was changed.",
        "Look at the list with `ahoy contacts`.",
    )
}

/// A name as it is kept: trimmed, at most [`MAX_NAME`] characters, no control characters.
fn cut(name: &str) -> String {
    name.trim().chars().filter(|c| !c.is_control()).take(MAX_NAME).collect()
}
