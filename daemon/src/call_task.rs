//! Drives one `Session`: one input, drain to `Wake`, wait. The law of the shell, and nothing else: no policy here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ahoy_base::{CallId, EncodedAudio, LinkId, Moment, PeerId};
use ahoy_net::{Link, Net, PathKind};
use ahoy_net_core::session::{
    Input, NewLink, Output, Session, SessionConfig, SessionEvent, SessionInfo, SessionStats, VoicePlan,
};
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::audio::{PeerSink, VoiceOut};
use crate::clock;

/// Signalling and commands that wait for the task; a handshake is four messages, so a full queue means a stuck task.
const MAX_INPUTS: usize = 64;
/// Encoded frames between microphone and seal: 80 ms. More would be delay, so older ones are dropped by the sender.
const MAX_FRAMES: usize = 8;
/// Datagrams between socket and seal; a burst of 1 Mbit/s for a second, then the network's own loss rules apply.
const MAX_DATAGRAMS: usize = 128;
/// How often round trip times are read from QUIC and figures are published.
const FIGURES_EVERY: Duration = Duration::from_millis(250);

/// What the node tells a running session.
pub(crate) enum TaskInput {
    /// Bytes of a `Signal::Handshake` from the peer.
    Handshake(Vec<u8>),
    /// Our own addresses changed.
    Candidates(Vec<SocketAddr>),
    /// The peer opened a link to us.
    Incoming(Link),
    /// Where received sound goes, or nowhere: before the call is answered nobody is heard.
    Sink(Option<PeerSink>),
}

/// What a session tells its node.
pub(crate) enum TaskEvent {
    /// To be sent as `Signal::Handshake`.
    Handshake(Vec<u8>),
    /// News for `Calls`.
    Session(SessionEvent),
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
        let driver = Driver {
            call,
            peer,
            net,
            session: Session::new(clock::now(), config),
            links: BTreeMap::new(),
            jobs: JoinSet::new(),
            link_events: link_events_out,
            events,
            sink: None,
            plan: plan_out,
        };
        let task = tokio::spawn(driver.run(inputs, frames_in, link_events, figures_out));
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
}

struct Driver {
    call: CallId,
    peer: PeerId,
    net: Net,
    session: Session,
    links: BTreeMap<LinkId, Link>,
    jobs: JoinSet<()>,
    link_events: mpsc::Sender<LinkEvent>,
    events: mpsc::Sender<(CallId, TaskEvent)>,
    sink: Option<PeerSink>,
    plan: watch::Sender<VoicePlan>,
}

impl Driver {
    async fn run(
        mut self,
        mut inputs: mpsc::Receiver<TaskInput>,
        mut frames: mpsc::Receiver<EncodedAudio>,
        mut link_events: mpsc::Receiver<LinkEvent>,
        figures: watch::Sender<Figures>,
    ) {
        let mut every = tokio::time::interval(FIGURES_EVERY);
        loop {
            let wake_at = self.drain().await;
            tokio::select! {
                // Sound first: everything else can wait a millisecond.
                biased;
                Some(event) = link_events.recv() => self.on_link_event(event),
                Some(frame) = frames.recv() => self.session.handle(clock::now(), Input::Audio(frame)),
                input = inputs.recv() => match input {
                    Some(input) => self.on_input(input),
                    None => break,
                },
                () = sleep_until(wake_at) => self.session.handle(clock::now(), Input::Wake),
                _ = every.tick() => {
                    self.read_round_trips();
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
            TaskInput::Incoming(link) => self.add_link(link),
            TaskInput::Sink(sink) => self.sink = sink,
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
        }
    }

    /// Carries out all the session wants and returns when it wants to be woken.
    async fn drain(&mut self) -> Moment {
        loop {
            match self.session.poll() {
                Output::Handshake(bytes) => self.report(TaskEvent::Handshake(bytes)).await,
                Output::Event(event) => self.report(TaskEvent::Session(event)).await,
                Output::Dial(addresses) => addresses.into_iter().for_each(|a| self.dial(a)),
                Output::DialWithoutUdp(kind) => self.dial_without_udp(kind),
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
                Output::Audio(received) => {
                    if let Some(sink) = &mut self.sink {
                        sink.push(received);
                    }
                }
                Output::Wake { at, .. } => return at,
            }
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

    fn read_round_trips(&mut self) {
        let now = clock::now();
        for link in self.links.values() {
            self.session.handle(now, Input::LinkRtt { link: link.id(), rtt: link.rtt() });
            self.session.handle(now, Input::LinkMarks { link: link.id(), marks: link.congestion_marks() });
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for link in self.links.values() {
            link.close("the call is over");
        }
    }
}

/// Waits until `at` on our clock; for ever at the end of time.
pub(crate) async fn sleep_until(at: Moment) {
    if at == Moment::from_micros(u64::MAX) {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(at.since(clock::now())).await;
}
