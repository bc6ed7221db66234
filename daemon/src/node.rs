//! One endpoint of calls: its network, its calls, its sessions and its sound, glued together.
//!
//! The person's daemon has one; the Echo contact is a second one in the same process. What differs between the two
//! (who is known, what is stored, who is told) is behind [`Host`].

use std::collections::{BTreeMap, BTreeSet};

use ahoy_base::{CallId, MessageId, Moment, PeerId, VideoTrack};
use ahoy_call::{
    AutoAnswer, CallEvent, Calls, Command, CommandError, Input, Output, SessionCommand, Standing, Transaction,
};
use ahoy_net::{Multiaddr, Net, NetEvent, Reached};
use ahoy_net_core::session::{Exposure, LocalIdentity, PathInfo, SessionConfig, SessionEvent};
use ahoy_net_core::wire::signal::{Envelope, Signal};
use tokio::sync::mpsc;

use crate::audio::AudioHandle;
use crate::call_task::{CallTask, Figures, Sink, TaskEvent, TaskInput, sleep_until};
use crate::clock;
use crate::random;
use crate::video::VideoHandle;

/// News of sessions that wait for the node: a handshake and its links are a handful each.
const MAX_TASK_EVENTS: usize = 256;
/// Version of the signalling protocol that `Hello` names.
const PROTOCOL_VERSION: u32 = 1;

/// What a node asks of whoever owns it.
pub(crate) trait Host {
    /// How well the owner knows a device.
    fn standing(&self, peer: PeerId) -> Standing;
    /// The name that `Hello` carries.
    fn my_name(&self) -> String;
    /// The invitation of the card that `peer` gave to this person, if they gave one.
    fn invite_of(&self, peer: PeerId) -> Option<[u8; 16]>;
    /// Where `peer` may reach this device, best first; nothing for those who may not know.
    fn addresses_for(&self, peer: PeerId) -> Vec<Multiaddr>;
    /// Whether `peer` shall not learn our addresses.
    fn hides_from(&self, peer: PeerId) -> bool;
    /// Whether to pass packets on for `peer`, which may be in a call with us.
    fn may_relay(&self, peer: PeerId, in_call: bool) -> bool;
    /// Stores durably before it returns. A failure is the host's to report; the call goes on in memory.
    fn commit(&mut self, transaction: Transaction);
    /// A call changed.
    fn on_call(&mut self, at: Moment, call: CallId, event: CallEvent);
    /// The sound of a call takes this way, or its round trip changed.
    fn on_path(&mut self, at: Moment, call: CallId, path: PathInfo);
    /// The first frame of a peer's picture is seen.
    fn on_first_video(&mut self, at: Moment, call: CallId, peer: PeerId, track: VideoTrack);
    /// A call is to be written into a file, or no more: everybody in it was told.
    fn on_record(&mut self, call: CallId, peer: PeerId, on: bool, devices: &Devices);
    /// A command was carried out, or not.
    fn on_reply(&mut self, id: [u8; 16], result: Result<CallId, CommandError>);
    /// The network has news that are not a call's.
    fn on_net(&mut self, at: Moment, news: NetNews);
}

/// What a host may want to know of the network.
pub(crate) enum NetNews {
    /// Where we listen changed.
    Addresses(Vec<Multiaddr>),
    /// A device of the local network appeared.
    Nearby(PeerId, Vec<Multiaddr>),
    /// It is gone from the local network.
    NearbyGone(PeerId),
    /// A device can be signalled to.
    Up(PeerId),
    /// It can't any more.
    Down(PeerId),
    /// A device said its name, maybe the invitation of the card that it was given, and where it is reached.
    Named(PeerId, String, Option<[u8; 16]>, Vec<Multiaddr>),
    /// A device was reached at an address.
    ReachedAt(PeerId, Multiaddr),
    /// How well this device is reached changed.
    Reached(Reached),
    /// Something works less well than it could, in plain words.
    Warning(String),
}

/// Where sound and pictures come from and go to.
#[derive(Clone)]
pub(crate) struct Devices {
    /// Sound.
    pub(crate) audio: AudioHandle,
    /// Pictures.
    pub(crate) video: VideoHandle,
}

/// Everything that can wake a node.
pub(crate) enum NodeInput {
    /// From the network.
    Net(NetEvent),
    /// From a session.
    Task(CallId, TaskEvent),
    /// A timer of `Calls` is due.
    Wake,
}

/// See the module's first line.
pub(crate) struct Node {
    identity: LocalIdentity,
    net: Net,
    net_events: mpsc::Receiver<NetEvent>,
    devices: Devices,
    calls: Calls,
    tasks: BTreeMap<CallId, CallTask>,
    task_events_out: mpsc::Sender<(CallId, TaskEvent)>,
    task_events: mpsc::Receiver<(CallId, TaskEvent)>,
    /// Devices with an open signalling stream.
    up: BTreeSet<PeerId>,
    /// Whether pictures shall use little data.
    low_data: bool,
    wake_at: Moment,
}

impl Node {
    /// Puts the parts together. `calls` may already have things to do (a call interrupted by a crash).
    pub(crate) fn new(
        identity: LocalIdentity,
        net: Net,
        net_events: mpsc::Receiver<NetEvent>,
        devices: Devices,
        calls: Calls,
    ) -> Node {
        let (task_events_out, task_events) = mpsc::channel(MAX_TASK_EVENTS);
        Node {
            identity,
            net,
            net_events,
            devices,
            calls,
            tasks: BTreeMap::new(),
            task_events_out,
            task_events,
            up: BTreeSet::new(),
            low_data: false,
            wake_at: Moment::ZERO,
        }
    }

    /// This device.
    pub(crate) fn me(&self) -> PeerId {
        self.identity.peer
    }

    /// The network handle, to add addresses and peers.
    pub(crate) fn net(&self) -> &Net {
        &self.net
    }

    /// The sound handle.
    pub(crate) fn audio(&self) -> &AudioHandle {
        &self.devices.audio
    }

    /// The handle of pictures.
    pub(crate) fn video(&self) -> &VideoHandle {
        &self.devices.video
    }

    /// All calls, for views.
    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Whether a device has a signalling stream with us.
    pub(crate) fn is_up(&self, peer: PeerId) -> bool {
        self.up.contains(&peer)
    }

    /// Figures of a call's session, once it has one.
    pub(crate) fn figures(&self, call: CallId) -> Option<Figures> {
        self.tasks.get(&call).map(CallTask::figures)
    }

    /// Waits for the next thing to handle. Cancel safe.
    pub(crate) async fn next(&mut self) -> NodeInput {
        tokio::select! {
            Some((call, event)) = self.task_events.recv() => NodeInput::Task(call, event),
            Some(event) = self.net_events.recv() => NodeInput::Net(event),
            () = sleep_until(self.wake_at) => NodeInput::Wake,
        }
    }

    /// Takes one input and carries out all that follows from it.
    pub(crate) fn handle(&mut self, input: NodeInput, host: &mut dyn Host) {
        let now = clock::now();
        match input {
            NodeInput::Net(event) => self.on_net(now, event, host),
            NodeInput::Task(call, TaskEvent::Handshake(bytes)) => self.send_handshake(call, bytes),
            NodeInput::Task(call, TaskEvent::Session(SessionEvent::Path(path))) => {
                host.on_path(now, call, path)
            }
            NodeInput::Task(call, TaskEvent::FirstVideo { peer, track, at }) => {
                host.on_first_video(at, call, peer, track);
            }
            NodeInput::Task(call, TaskEvent::Session(event)) => {
                self.calls.handle(now, clock::wall_ms(), Input::Session { call, event });
            }
            NodeInput::Wake => self.calls.handle(now, clock::wall_ms(), Input::Wake),
        }
        self.drain(host);
    }

    /// Carries out a person's command; the answer comes through [`Host::on_reply`].
    pub(crate) fn command(&mut self, id: [u8; 16], command: Command, host: &mut dyn Host) {
        if let Command::Dial { peer, .. } = command {
            self.net.connect(peer);
        }
        self.calls.handle(clock::now(), clock::wall_ms(), Input::Command { id, command });
        self.drain(host);
    }

    /// Changes who is answered by the machine, and who may ring.
    pub(crate) fn configure(&mut self, auto_answer: AutoAnswer, strangers_may_ring: bool) {
        self.calls.configure(auto_answer, strangers_may_ring);
    }

    /// Whether pictures shall use little data, in calls that run and in those to come.
    pub(crate) fn set_low_data(&mut self, on: bool) {
        if std::mem::replace(&mut self.low_data, on) != on {
            self.tasks.values().for_each(|task| task.send(TaskInput::LowData(on)));
        }
    }

    /// Whether `peer` shall not learn our addresses, in calls that run and in those to come.
    pub(crate) fn hide_from(&self, peer: PeerId, on: bool) {
        self.net.hide_from(peer, on);
        for call in self.calls.calls().filter(|call| call.peer() == peer) {
            if let Some(task) = self.tasks.get(&call.id()) {
                task.send(TaskInput::Exposure(exposure(on)));
            }
        }
    }

    /// Does what `Calls` wants before anything happened: what a restart left over.
    pub(crate) fn start(&mut self, host: &mut dyn Host) {
        self.drain(host);
    }

    /// Hangs up what runs, with word to the other side.
    pub(crate) fn shut_down(&mut self, host: &mut dyn Host) {
        self.calls.handle(clock::now(), clock::wall_ms(), Input::Shutdown);
        self.drain(host);
    }

    /// Says our name again to everybody who is listening, after it changed.
    pub(crate) fn greet_all(&self, host: &dyn Host) {
        self.up.iter().for_each(|peer| self.greet(*peer, host));
    }

    fn on_net(&mut self, now: Moment, event: NetEvent, host: &mut dyn Host) {
        let wall_ms = clock::wall_ms();
        match event {
            NetEvent::Addresses(addresses) => {
                let candidates = self.net.media_candidates();
                for task in self.tasks.values() {
                    task.send(TaskInput::Candidates(candidates.clone()));
                }
                host.on_net(now, NetNews::Addresses(addresses));
                // Contacts learn where we are reached now.
                self.greet_all(host);
            }
            NetEvent::Nearby { peer, addresses } => {
                host.on_net(now, NetNews::Nearby(peer, addresses));
            }
            NetEvent::NearbyGone { peer } => host.on_net(now, NetNews::NearbyGone(peer)),
            NetEvent::PeerUp { peer } => {
                self.up.insert(peer);
                self.tell_hosts(peer);
                self.greet(peer, host);
                self.calls.handle(now, wall_ms, Input::PeerUp(peer));
                host.on_net(now, NetNews::Up(peer));
            }
            NetEvent::PeerDown { peer } => {
                self.up.remove(&peer);
                self.calls.handle(now, wall_ms, Input::PeerDown(peer));
                host.on_net(now, NetNews::Down(peer));
            }
            NetEvent::ReachedAt { peer, address } => host.on_net(now, NetNews::ReachedAt(peer, address)),
            NetEvent::Reached(reached) => host.on_net(now, NetNews::Reached(reached)),
            NetEvent::DialFailed { peer, why, .. } => {
                self.calls.handle(now, wall_ms, Input::DialFailed { peer, why });
            }
            NetEvent::Signal { peer, bytes } => self.on_signal(now, peer, &bytes, host),
            NetEvent::LinkUp { link } => self.on_link(link),
            NetEvent::Changed(_) => {
                let candidates = self.net.media_candidates();
                for task in self.tasks.values() {
                    task.send(TaskInput::Candidates(candidates.clone()));
                    task.send(TaskInput::NetworkChanged);
                }
            }
            NetEvent::RelayAsked { peer, ask } => {
                let in_call =
                    self.calls.calls().any(|c| c.peer() == peer && self.tasks.contains_key(&c.id()));
                ask.answer(host.may_relay(peer, in_call));
            }
            NetEvent::Warning { text } => host.on_net(now, NetNews::Warning(text)),
        }
    }

    /// The sessions with `peer` try first where signalling reaches it.
    fn tell_hosts(&self, peer: PeerId) {
        for call in self.calls.calls().filter(|call| call.peer() == peer) {
            if let Some(task) = self.tasks.get(&call.id()) {
                task.send(TaskInput::PeerAt(self.net.hosts(peer)));
            }
        }
    }

    fn on_signal(&mut self, now: Moment, from: PeerId, bytes: &[u8], host: &mut dyn Host) {
        let envelope = match Envelope::decode(bytes) {
            Ok(envelope) => envelope,
            Err(error) => {
                tracing::debug!(?from, %error, "a message was not understood and is left out");
                return;
            }
        };
        match (envelope.body, envelope.call) {
            (Signal::Hello { name, invite, addresses, .. }, _) => {
                let addresses = addresses.into_iter().filter_map(|a| Multiaddr::try_from(a).ok()).collect();
                let stranger = host.standing(from) == Standing::Stranger;
                host.on_net(now, NetNews::Named(from, name, invite, addresses));
                if stranger && host.standing(from) != Standing::Stranger {
                    // Whoever shows our card's invitation is told who we are.
                    self.net.connect(from);
                    self.greet(from, host);
                }
            }
            (Signal::Handshake { bytes }, Some(call)) => {
                let of_peer = self.calls.calls().any(|c| c.id() == call && c.peer() == from);
                if let (true, Some(task)) = (of_peer, self.tasks.get(&call)) {
                    task.send(TaskInput::Handshake(bytes));
                }
            }
            (body, call) => {
                let known = host.standing(from);
                let envelope = Envelope { body, call, ..envelope };
                self.calls.handle(now, clock::wall_ms(), Input::Signal { from, known, envelope });
            }
        }
    }

    /// A link came in from a device whose certificate proved who it is; its hello will say which call it is for.
    fn on_link(&mut self, link: ahoy_net::Link) {
        let newest =
            self.calls.calls().filter(|c| c.peer() == link.peer() && self.tasks.contains_key(&c.id())).last();
        match newest.and_then(|call| self.tasks.get(&call.id())) {
            Some(task) => task.send(TaskInput::Incoming(link)),
            None => link.close("no call"),
        }
    }

    fn drain(&mut self, host: &mut dyn Host) {
        loop {
            match self.calls.poll() {
                Output::Commit(transaction) => host.commit(transaction),
                Output::Connect { peer } => self.net.connect(peer),
                Output::Send { to, envelope } => self.send(to, &envelope),
                Output::Session { call, peer, command: SessionCommand::Start(role) } => {
                    self.net.arm(peer);
                    let config = SessionConfig {
                        call,
                        role,
                        local: self.identity.clone(),
                        remote: peer,
                        seed: random::bytes(),
                        candidates: self.net.media_candidates(),
                        exposure: exposure(host.hides_from(peer)),
                    };
                    let task = CallTask::start(config, self.net.clone(), self.task_events_out.clone());
                    task.send(TaskInput::LowData(self.low_data));
                    task.send(TaskInput::PeerAt(self.net.hosts(peer)));
                    self.tasks.insert(call, task);
                }
                Output::Session { call, peer, command: SessionCommand::Stop } => {
                    self.tasks.remove(&call);
                    let more =
                        self.calls.calls().any(|c| c.peer() == peer && self.tasks.contains_key(&c.id()));
                    if !more {
                        self.net.disarm(peer);
                    }
                }
                Output::Media { call, peer, on } => self.set_media(call, peer, on),
                Output::Picture { call, peer: _, track, on } => self.set_picture(call, track, on),
                Output::Record { call, peer, on } => host.on_record(call, peer, on, &self.devices),
                Output::Ring(ring) => self.devices.audio.ring(ring),
                Output::Event { call, event } => {
                    if event == CallEvent::Accepted {
                        self.devices.audio.prepare();
                    }
                    host.on_call(clock::now(), call, event);
                }
                Output::Reply { id, result } => host.on_reply(id, result),
                Output::Wake { at, .. } => {
                    self.wake_at = at;
                    return;
                }
            }
        }
    }

    fn set_media(&self, call: CallId, peer: PeerId, on: bool) {
        if let (true, Some(task)) = (on, self.tasks.get(&call)) {
            self.devices.audio.start_call(call, task.voice());
            let sink = Sink { sound: self.devices.audio.add_peer(call, peer), devices: self.devices.clone() };
            task.send(TaskInput::Sink(Some(sink)));
        } else {
            if let Some(task) = self.tasks.get(&call) {
                task.send(TaskInput::Sink(None));
            }
            self.devices.audio.remove_peer(call, peer);
            self.devices.audio.stop_call(call);
            VideoTrack::ALL.into_iter().for_each(|track| self.devices.video.gone(call, peer, track));
        }
    }

    fn set_picture(&self, call: CallId, track: VideoTrack, on: bool) {
        if let (true, Some(task)) = (on, self.tasks.get(&call)) {
            self.devices.video.start(call, track, task.picture(track));
        } else {
            self.devices.video.stop(call, track);
            if let Some(task) = self.tasks.get(&call) {
                task.send(TaskInput::Picture(track, None));
            }
        }
    }

    fn send(&self, to: PeerId, envelope: &Envelope) {
        if let Err(outcome) = self.net.send(to, envelope.encode()) {
            tracing::debug!(?to, ?outcome, "a message waits in the outbox");
        }
    }

    fn send_handshake(&self, call: CallId, bytes: Vec<u8>) {
        let Some(peer) = self.calls.calls().find(|c| c.id() == call).map(|c| c.peer()) else { return };
        self.send(peer, &self.unnumbered(Some(call), Signal::Handshake { bytes }));
    }

    /// Says who we are to a device with an open stream; to others it is said when theirs opens.
    pub(crate) fn greet(&self, peer: PeerId, host: &dyn Host) {
        // Strangers are told nothing, unless this person went to them.
        let known = host.standing(peer) != Standing::Stranger || host.invite_of(peer).is_some();
        if !self.up.contains(&peer) || !known {
            return;
        }
        let hello = Signal::Hello {
            name: host.my_name(),
            version: PROTOCOL_VERSION,
            agent: concat!("ahoy/", env!("CARGO_PKG_VERSION")).to_owned(),
            invite: host.invite_of(peer),
            addresses: host.addresses_for(peer).iter().map(Multiaddr::to_vec).collect(),
        };
        self.send(peer, &self.unnumbered(None, hello));
    }

    /// A message that needs no ack and no place in a call's order.
    fn unnumbered(&self, call: Option<CallId>, body: Signal) -> Envelope {
        let id = MessageId::from_bytes(random::bytes());
        Envelope { id, call, seq: 0, sent_at_ms: clock::wall_ms(), body }
    }
}

const fn exposure(hidden: bool) -> Exposure {
    if hidden { Exposure::RelaysAlone } else { Exposure::Straight }
}
