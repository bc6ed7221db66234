//! Drives one `Session`: one input, drain to `Wake`, wait. The law of the shell, and nothing else: no policy here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ahoy_base::{
    Bitrate, CallId, EncodedAudio, EncodedVideo, LinkId, Moment, PeerId, VideoPlan, VideoRequest, VideoSize,
    VideoTrack,
};
use ahoy_net::{Link, Net, PathKind, PathPacket};
use ahoy_net_core::path::relay::Lent;
use ahoy_net_core::receive::ReceivedAudio;
use ahoy_net_core::receive::wait_for_pictures;
use ahoy_net_core::session::{
    Exposure, Input, NewLink, Output, Session, SessionConfig, SessionEvent, SessionInfo, SessionStats,
    VoicePlan,
};
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::audio::{PeerSink, VoiceOut};
use crate::clock;
use crate::node::Devices;
use crate::video::hub::{Demand, RECORDED, TrackKey};
use crate::video::{ShownVideo, VideoOut};

/// Signalling and commands that wait for the task; a handshake is four messages, so a full queue means a stuck task.
const MAX_INPUTS: usize = 64;
/// Encoded frames between microphone and seal: 80 ms. More would be delay, so older ones are dropped by the sender.
const MAX_FRAMES: usize = 8;
/// Frames that came before there was somewhere to play them, and how old they may be: the two sides of a call get into it a few
/// milliseconds apart. Older ones are not for this person's ears.
const MAX_EARLY: usize = 8;
/// See [`MAX_EARLY`].
const EARLY: Duration = Duration::from_millis(50);
/// Datagrams between socket and seal; a burst of 1 Mbit/s for a second, then the network's own loss rules apply.
const MAX_DATAGRAMS: usize = 128;
/// Encoded pictures between encoder and seal: while one waits the next is not encoded, so none gets old here.
const MAX_PICTURES: usize = 1;
/// Requests for an encoder that it has not seen: more than a handful means the same.
const MAX_REQUESTS: usize = 16;
/// What an encoder begins with; the session says better as soon as it knows.
const FIRST_PLAN: VideoPlan =
    VideoPlan { bitrate: Bitrate::kbps(300), size: VideoSize { width: 640, height: 360 }, frame_rate: 30 };
/// Probes between socket and session: both sides ask sixteen addresses at 2 ms each.
const MAX_PACKETS: usize = 64;
/// How often round trip times are read from QUIC and figures are published.
const FIGURES_EVERY: Duration = Duration::from_millis(250);

/// What the node tells a running session.
pub(crate) enum TaskInput {
    /// Bytes of a `Signal::Handshake` from the peer.
    Handshake(Vec<u8>),
    /// Our own addresses changed.
    Candidates(Vec<SocketAddr>),
    /// Signalling reaches the peer at these hosts, nobody in between.
    PeerAt(Vec<IpAddr>),
    /// Whether the peer may learn our addresses.
    Exposure(Exposure),
    /// The network changed under us.
    NetworkChanged,
    /// The peer opened a link to us.
    Incoming(Link),
    /// Where received sound and pictures go, or nowhere: before the call is answered nobody is heard.
    Sink(Option<Sink>),
    /// Where a picture of ours comes from, or that it is off.
    Picture(VideoTrack, Option<PictureIn>),
    /// Whether pictures shall use little data.
    LowData(bool),
}

/// Where what the peer sends goes.
pub(crate) struct Sink {
    /// Its sound.
    pub(crate) sound: PeerSink,
    /// Its pictures, and how its sound does.
    pub(crate) devices: Devices,
}

/// The session's end of a [`VideoOut`].
pub(crate) struct PictureIn {
    frames: mpsc::Receiver<EncodedVideo>,
    plan: watch::Sender<VideoPlan>,
    requests: mpsc::Sender<VideoRequest>,
}

/// What a session tells its node.
pub(crate) enum TaskEvent {
    /// To be sent as `Signal::Handshake`.
    Handshake(Vec<u8>),
    /// News for `Calls`.
    Session(SessionEvent),
    /// The first frame of a picture was handed on.
    FirstVideo {
        /// Whose.
        peer: PeerId,
        /// Which.
        track: VideoTrack,
        /// When.
        at: Moment,
    },
}

/// The latest figures of a session, for views and `ahoy stats`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Counters since the session started.
    pub(crate) stats: SessionStats,
    /// Keys and words, once agreed.
    pub(crate) info: SessionInfo,
}

/// A running session. Dropping it stops the task and closes its links.
pub(crate) struct CallTask {
    input: mpsc::Sender<TaskInput>,
    voice: VoiceOut,
    figures: watch::Receiver<Figures>,
    task: tokio::task::JoinHandle<()>,
}

impl CallTask {
    /// Starts a session of `call` with `config.remote`. Its news go to `events`.
    pub(crate) fn start(
        config: SessionConfig,
        net: Net,
        events: mpsc::Sender<(CallId, TaskEvent)>,
    ) -> CallTask {
        let (input, inputs) = mpsc::channel(MAX_INPUTS);
        let (frames, frames_in) = mpsc::channel(MAX_FRAMES);
        let (plan_out, plan) = watch::channel(VoicePlan::FIRST);
        let (figures_out, figures) = watch::channel(Figures::default());
        let (call, peer) = (config.call, config.remote);
        let (link_events_out, link_events) = mpsc::channel(MAX_DATAGRAMS);
        let (packets_out, packets) = mpsc::channel(MAX_PACKETS);
        let driver = Driver {
            call,
            peer,
            net,
            session: Session::new(clock::now(), config),
            links: BTreeMap::new(),
            relays: Vec::new(),
            splices: BTreeMap::new(),
            packets: packets_out,
            jobs: JoinSet::new(),
            link_events: link_events_out,
            events,
            sink: None,
            early: VecDeque::new(),
            pictures: BTreeMap::new(),
            demands: BTreeMap::new(),
            seen: BTreeSet::new(),
            frames: BTreeMap::new(),
            plan: plan_out,
        };
        let task = tokio::spawn(
            driver.run(Waiting { inputs, frames: frames_in, link_events, packets }, figures_out),
        );
        CallTask { input, voice: VoiceOut { frames, plan }, figures, task }
    }

    /// Hands `input` over; dropped with a log line if the task is stuck.
    pub(crate) fn send(&self, input: TaskInput) {
        if self.input.try_send(input).is_err() {
            tracing::warn!("a session takes no input; it will time out");
        }
    }

    /// Where the capture thread puts our frames.
    pub(crate) fn voice(&self) -> VoiceOut {
        self.voice.clone()
    }

    /// Where the encoder of `track` puts its frames from here on.
    pub(crate) fn picture(&self, track: VideoTrack) -> VideoOut {
        let (frames, frames_in) = mpsc::channel(MAX_PICTURES);
        let (plan_out, plan) = watch::channel(FIRST_PLAN);
        let (requests_out, requests) = mpsc::channel(MAX_REQUESTS);
        let picture = PictureIn { frames: frames_in, plan: plan_out, requests: requests_out };
        self.send(TaskInput::Picture(track, Some(picture)));
        VideoOut { frames, plan, requests }
    }

    /// The latest figures.
    pub(crate) fn figures(&self) -> Figures {
        self.figures.borrow().clone()
    }
}

impl Drop for CallTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the tasks around the links report.
enum LinkEvent {
    Dialed(Result<Link, ahoy_net::LinkError>),
    Hello(LinkId, Vec<u8>),
    Datagram(LinkId, Moment, Bytes),
    Closed(LinkId),
    /// What a relay that was asked for a splice lends.
    RelayAnswer(PeerId, Option<(Lent, Vec<SocketAddr>)>),
}

/// What the task waits for.
struct Waiting {
    inputs: mpsc::Receiver<TaskInput>,
    frames: mpsc::Receiver<EncodedAudio>,
    link_events: mpsc::Receiver<LinkEvent>,
    packets: mpsc::Receiver<PathPacket>,
}

struct Driver {
    call: CallId,
    peer: PeerId,
    net: Net,
    session: Session,
    links: BTreeMap<LinkId, Link>,
    /// The devices that lend splices, as the session knows them.
    relays: Vec<PeerId>,
    /// Relays by what stands for our ends of their splices.
    splices: BTreeMap<SocketAddr, SocketAddr>,
    packets: mpsc::Sender<PathPacket>,
    jobs: JoinSet<()>,
    link_events: mpsc::Sender<LinkEvent>,
    events: mpsc::Sender<(CallId, TaskEvent)>,
    sink: Option<Sink>,
    /// Sound of the last moments that has nowhere to go yet: the other side may be in the call a little sooner.
    early: VecDeque<ReceivedAudio>,
    /// Our pictures that are on.
    pictures: BTreeMap<VideoTrack, PictureIn>,
    /// What is wanted of theirs.
    demands: BTreeMap<VideoTrack, (watch::Receiver<Demand>, Demand)>,
    /// Their pictures of which something was seen.
    seen: BTreeSet<VideoTrack>,
    /// How many frames of each were shown when that was looked at last.
    frames: BTreeMap<VideoTrack, u64>,
    plan: watch::Sender<VoicePlan>,
}

impl Driver {
    async fn run(mut self, mut waiting: Waiting, figures: watch::Sender<Figures>) {
        let mut every = tokio::time::interval(FIGURES_EVERY);
        self.know_relays();
        loop {
            let wake_at = self.drain().await;
            tokio::select! {
                // Sound first: everything else can wait a millisecond.
                biased;
                Some(event) = waiting.link_events.recv() => self.on_link_event(event),
                Some(frame) = waiting.frames.recv() => self.session.handle(clock::now(), Input::Audio(frame)),
                (track, frame) = next_picture(&mut self.pictures), if self.session.takes_video() => {
                    self.on_picture(track, frame);
                }
                track = next_demand(&mut self.demands) => self.on_demand(track),
                input = waiting.inputs.recv() => match input {
                    Some(input) => self.on_input(input),
                    None => break,
                },
                Some(packet) = waiting.packets.recv() => {
                    let input = Input::Packet { from: packet.from, bytes: &packet.bytes };
                    self.session.handle(packet.at, input);
                }
                () = sleep_until(wake_at) => self.session.handle(clock::now(), Input::Wake),
                _ = every.tick() => {
                    self.read_round_trips();
                    self.read_sound();
                    self.know_relays();
                    let latest = Figures { stats: self.session.stats(), info: self.session.info() };
                    // Nobody looks while no page is open.
                    let _ = figures.send(latest);
                    while self.jobs.try_join_next().is_some() {}
                }
            }
        }
    }

    fn on_input(&mut self, input: TaskInput) {
        let now = clock::now();
        match input {
            TaskInput::Handshake(bytes) => self.session.handle(now, Input::Handshake(&bytes)),
            TaskInput::Candidates(addresses) => self.session.handle(now, Input::Candidates(addresses)),
            TaskInput::PeerAt(hosts) => self.session.handle(now, Input::PeerAt(hosts)),
            TaskInput::Exposure(exposure) => self.session.handle(now, Input::Exposure(exposure)),
            TaskInput::NetworkChanged => self.session.handle(now, Input::NetworkChanged),
            TaskInput::Incoming(link) => self.add_link(link),
            TaskInput::Sink(sink) => self.set_sink(sink),
            TaskInput::LowData(on) => self.session.handle(now, Input::LowData(on)),
            TaskInput::Picture(track, picture) => {
                let on = picture.is_some();
                match picture {
                    Some(picture) => drop(self.pictures.insert(track, picture)),
                    None => drop(self.pictures.remove(&track)),
                }
                self.session.handle(now, Input::TrackOn { track, on });
            }
        }
    }

    fn set_sink(&mut self, sink: Option<Sink>) {
        self.demands.clear();
        self.seen.clear();
        if let Some(sink) = &sink {
            for track in VideoTrack::ALL {
                let key = TrackKey { call: self.call, peer: self.peer, track };
                self.demands.insert(track, (sink.devices.video.hub().demand(key), Demand::default()));
            }
        }
        let now = clock::now();
        self.session.handle(now, Input::Watching(sink.is_some()));
        self.sink = sink;
        for received in std::mem::take(&mut self.early) {
            if let Some(sink) = self.sink.as_mut().filter(|_| now.since(received.arrival) < EARLY) {
                sink.sound.push(received);
            }
        }
        VideoTrack::ALL.into_iter().for_each(|track| self.on_demand(track));
    }

    /// Those who look at a picture of the peer changed their mind.
    fn on_demand(&mut self, track: VideoTrack) {
        let (Some(sink), Some((demands, before))) = (&self.sink, self.demands.get_mut(&track)) else {
            return;
        };
        let demand = *demands.borrow_and_update();
        let lost = demand.keys != before.keys && before.size.is_some();
        *before = demand;
        // A recorder takes what the largest tile would.
        let size = if sink.devices.video.records() { Some(RECORDED) } else { demand.size };
        let now = clock::now();
        self.session.handle(now, Input::Want { track, size });
        if lost {
            self.session.handle(now, Input::NeedKey(track));
        }
    }

    /// An encoded picture of ours, or the end of its encoder.
    fn on_picture(&mut self, track: VideoTrack, frame: Option<EncodedVideo>) {
        match frame {
            Some(frame) => self.session.handle(clock::now(), Input::Video { track, frame }),
            None => drop(self.pictures.remove(&track)),
        }
    }

    /// A picture of the peer, at the moment it is to be seen.
    async fn show(&mut self, track: VideoTrack, frame: EncodedVideo, arrival: Moment) {
        let Some(sink) = &self.sink else { return };
        let release = clock::now();
        let shown = ShownVideo { frame: Arc::new(frame), arrival, release };
        sink.devices.video.show(self.call, self.peer, track, shown);
        if self.seen.insert(track) {
            self.report(TaskEvent::FirstVideo { peer: self.peer, track, at: release }).await;
        }
    }

    fn on_link_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Dialed(Ok(link)) => self.add_link(link),
            LinkEvent::Dialed(Err(error)) => tracing::debug!(%error, "an address of the peer did not answer"),
            LinkEvent::Hello(link, bytes) => {
                self.session.handle(clock::now(), Input::LinkHello { link, bytes: &bytes });
            }
            LinkEvent::Datagram(link, arrival, bytes) => {
                self.session.handle(arrival, Input::Datagram { link, bytes: &bytes });
            }
            LinkEvent::Closed(link) => {
                if self.links.remove(&link).is_some() {
                    self.session.handle(clock::now(), Input::LinkDown { link });
                }
            }
            LinkEvent::RelayAnswer(relay, lent) => {
                self.session.handle(clock::now(), Input::RelayAnswer { relay, lent });
            }
        }
    }

    /// Who lends splices may have changed.
    fn know_relays(&mut self) {
        let relays = self.net.relays();
        if relays != self.relays {
            self.relays.clone_from(&relays);
            self.session.handle(clock::now(), Input::Relays(relays));
        }
    }

    fn ask_relay(&mut self, relay: PeerId) {
        let (net, events) = (self.net.clone(), self.link_events.clone());
        self.jobs.spawn(async move {
            let lent = net.ask_relay(relay).await;
            let lent = lent.inspect_err(|error| tracing::info!(?relay, %error, "no help from a relay"));
            let _ = events.send(LinkEvent::RelayAnswer(relay, lent.ok())).await;
        });
    }

    /// Somebody tells where the world sees us; what a relay sees, the peer learns.
    fn seen_as(&mut self, by: SocketAddr, seen: SocketAddr) {
        self.net.seen_as(by, seen);
        if self.splices.values().any(|relay| *relay == by) {
            self.session.handle(clock::now(), Input::Candidates(self.net.media_candidates()));
        }
    }

    /// Carries out all the session wants and returns when it wants to be woken.
    async fn drain(&mut self) -> Moment {
        loop {
            match self.session.poll() {
                Output::Handshake(bytes) => self.report(TaskEvent::Handshake(bytes)).await,
                Output::Event(event) => {
                    self.on_event(event);
                    self.report(TaskEvent::Session(event)).await;
                }
                Output::DialWithoutUdp(kind) => self.dial_without_udp(kind),
                Output::Dial(address) => self.dial(address),
                Output::Tag(tag) => self.net.route(tag, self.packets.clone()),
                Output::Packet { to, bytes } => self.net.send_packet(to, &bytes),
                Output::Welcome(address) => self.net.welcome(address),
                Output::SeenAs(by, seen) => self.seen_as(by, seen),
                Output::AskRelay(relay) => self.ask_relay(relay),
                Output::Splice { stands, id, relay } => {
                    self.net.add_splice(stands, id, relay);
                    self.splices.insert(stands, relay);
                }
                Output::SpliceGone(stands) => {
                    self.net.remove_splice(stands);
                    self.splices.remove(&stands);
                }
                Output::LinkHello { link, bytes } => self.send_hello(link, bytes),
                Output::CloseLink { link, why } => {
                    if let Some(link) = self.links.remove(&link) {
                        link.close(why);
                    }
                }
                Output::Transmit { link, datagram } => {
                    if let Some(link) = self.links.get(&link) {
                        // Full or closed: for sound that is loss, and counted by the link.
                        let _ = link.try_send(Bytes::from(datagram));
                    }
                }
                // Nobody looks before the call is answered.
                Output::Voice(plan) => drop(self.plan.send_replace(plan)),
                Output::Audio(received) => match &mut self.sink {
                    Some(sink) => sink.sound.push(*received),
                    None => {
                        self.early.push_back(*received);
                        if self.early.len() > MAX_EARLY {
                            self.early.pop_front();
                        }
                    }
                },
                Output::Video { track, frame, arrival } => self.show(track, frame, arrival).await,
                Output::VideoPlan { track, plan } => {
                    if let Some(picture) = self.pictures.get(&track) {
                        picture.plan.send_replace(plan);
                    }
                }
                Output::VideoRequest { track, request } => {
                    if let Some(picture) = self.pictures.get(&track) {
                        // A full queue says the same already.
                        let _ = picture.requests.try_send(request);
                    }
                }
                Output::Wake { at, .. } => return at,
            }
        }
    }

    fn on_event(&mut self, event: SessionEvent) {
        if let (SessionEvent::Track { track, on: false }, Some(sink)) = (event, &self.sink) {
            sink.devices.video.gone(self.call, self.peer, track);
        }
    }

    async fn report(&mut self, event: TaskEvent) {
        // The node outlives its sessions; if it is gone the process is stopping.
        let _ = self.events.send((self.call, event)).await;
    }

    fn dial(&mut self, address: SocketAddr) {
        let (net, peer, events) = (self.net.clone(), self.peer, self.link_events.clone());
        self.jobs.spawn(async move {
            let result = net.dial_link(peer, address).await;
            let _ = events.send(LinkEvent::Dialed(result)).await;
        });
    }

    fn dial_without_udp(&mut self, kind: PathKind) {
        let (net, peer, events) = (self.net.clone(), self.peer, self.link_events.clone());
        self.jobs.spawn(async move {
            let result = net.dial_without_udp(peer, kind).await;
            let _ = events.send(LinkEvent::Dialed(result)).await;
        });
    }

    fn add_link(&mut self, link: Link) {
        let up = Input::LinkUp(NewLink {
            link: link.id(),
            kind: link.kind(),
            side: link.side(),
            remote: link.remote(),
            route: link.route(),
            exporter: link.exporter(&self.call),
            max_datagram: link.max_datagram(),
        });
        self.links.insert(link.id(), link.clone());
        self.session.handle(clock::now(), up);
        self.session.handle(clock::now(), Input::LinkRtt { link: link.id(), rtt: link.rtt() });
        let events = self.link_events.clone();
        self.jobs.spawn(async move {
            if let Ok(bytes) = link.recv_hello().await {
                let _ = events.send(LinkEvent::Hello(link.id(), bytes)).await;
                while let Ok((arrival, bytes)) = link.recv().await {
                    let _ = events.send(LinkEvent::Datagram(link.id(), arrival, bytes)).await;
                }
            }
            let _ = events.send(LinkEvent::Closed(link.id())).await;
        });
    }

    fn send_hello(&mut self, link: LinkId, bytes: Vec<u8>) {
        let Some(link) = self.links.get(&link).cloned() else { return };
        self.jobs.spawn(async move {
            if let Err(error) = link.send_hello(&bytes).await {
                tracing::debug!(%error, "a link closed before its hello");
            }
        });
    }

    /// Pictures wait for their sound.
    fn read_sound(&mut self) {
        let figures = self.sink.as_ref().and_then(|sink| sink.devices.audio.figures(self.call, self.peer));
        let (Some(figures), Some(sink)) = (figures, &self.sink) else { return };
        self.session.handle(clock::now(), Input::VoiceWaits(figures.playout.delay));
        // And sound for pictures, as long as somebody sees some.
        let stats = self.session.stats();
        let mut longer = Duration::ZERO;
        for (track, (_, demand)) in &self.demands {
            let Some(received) = stats.pictures.get(track).map(|counted| counted.received) else { continue };
            let before = self.frames.insert(*track, received.frames).unwrap_or(received.frames);
            if let Some(pictures) =
                received.after_voice.filter(|_| received.frames > before && demand.size.is_some())
            {
                longer = longer.max(wait_for_pictures(pictures, figures.playout.alone));
            }
        }
        sink.sound.wait_for_pictures(longer);
    }

    fn read_round_trips(&mut self) {
        let now = clock::now();
        for link in self.links.values() {
            self.session.handle(now, Input::LinkRtt { link: link.id(), rtt: link.rtt() });
            self.session.handle(now, Input::LinkMarks { link: link.id(), marks: link.congestion_marks() });
        }
    }
}

/// The next frame of any of our pictures; its encoder's end is told once.
async fn next_picture(pictures: &mut BTreeMap<VideoTrack, PictureIn>) -> (VideoTrack, Option<EncodedVideo>) {
    std::future::poll_fn(|context| {
        for (track, picture) in pictures.iter_mut() {
            if let Poll::Ready(frame) = picture.frames.poll_recv(context) {
                return Poll::Ready((*track, frame));
            }
        }
        Poll::Pending
    })
    .await
}

/// The next picture of theirs of which something else is wanted.
async fn next_demand(demands: &mut BTreeMap<VideoTrack, (watch::Receiver<Demand>, Demand)>) -> VideoTrack {
    let changes = demands.iter_mut().map(|(track, (demand, _))| {
        Box::pin(async move {
            if demand.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            *track
        })
    });
    let mut changes: Vec<_> = changes.collect();
    std::future::poll_fn(|context| {
        for change in &mut changes {
            if let Poll::Ready(track) = change.as_mut().poll(context) {
                return Poll::Ready(track);
            }
        }
        Poll::Pending
    })
    .await
}

impl Drop for Driver {
    fn drop(&mut self) {
        for link in self.links.values() {
            link.close("the call is over");
        }
        self.splices.keys().for_each(|stands| self.net.remove_splice(*stands));
    }
}

/// Waits until `at` on our clock; for ever at the end of time.
pub(crate) async fn sleep_until(at: Moment) {
    if at == Moment::NEVER {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(at.since(clock::now())).await;
}
