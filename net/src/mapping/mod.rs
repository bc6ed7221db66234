//! Has the gateway of the default route pass our ports on: carries out what `ahoy_net_core::mapping` decides.

mod ask;
#[cfg(test)]
mod tests;
mod upnp;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use ahoy_base::Moment;
use ahoy_net_core::mapping::{Gateway, Grant, Input, Mapper, Output, Port, Question, Standing};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use ask::Held;

/// News that wait for the task; the latest of each kind is what counts, and there are few.
const MAX_MESSAGES: usize = 64;
/// The route may come after the address that said that the network changed.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long the end of the daemon waits for the gateway to take mappings back. They end by themselves too.
const RELEASE_TIME: Duration = Duration::from_secs(1);

/// What the gateway does for us now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Mapped {
    /// Ports of ours, and where the world reaches them.
    pub(crate) ports: Vec<(Port, SocketAddr)>,
    /// What is known of the gateway.
    pub(crate) standing: Standing,
}

/// How the gateway is found; tests have one of their own.
#[derive(Clone, Copy)]
pub(crate) struct Finder {
    /// The gateway of the default route, if there is one. May block.
    pub(crate) gateway: fn() -> Option<Gateway>,
    /// Where UPnP is searched, if not at its own port.
    pub(crate) upnp_port: Option<u16>,
}

impl Finder {
    /// The machine's.
    pub(crate) const SYSTEM: Finder = Finder { gateway: default_gateway, upnp_port: None };
}

enum Message {
    Ports(Vec<Port>),
    Changed,
    Stop(oneshot::Sender<()>),
}

/// The handle. When the last is gone the task ends, and leaves mappings to their time.
#[derive(Clone, Debug)]
pub(crate) struct Mapping {
    messages: mpsc::Sender<Message>,
}

impl Mapping {
    /// Begins to ask; what changes comes out of `news`. Must be called inside a tokio runtime.
    pub(crate) fn start(finder: Finder, clock: fn() -> Moment, news: mpsc::Sender<Mapped>) -> Mapping {
        let (messages, inbox) = mpsc::channel(MAX_MESSAGES);
        let task = Task {
            mapper: Mapper::default(),
            finder,
            clock,
            news,
            ports: Vec::new(),
            told: None,
            gateway: None,
            held: Vec::new(),
            asking: None,
        };
        tokio::spawn(task.run(inbox));
        Mapping { messages }
    }

    /// These ports of ours shall be reached. Those of before that are not among them no longer.
    pub(crate) fn ports(&self, ports: Vec<Port>) {
        self.say(Message::Ports(ports));
    }

    /// The network changed.
    pub(crate) fn changed(&self) {
        self.say(Message::Changed);
    }

    /// Gives all mappings up, best effort, within a second.
    pub(crate) async fn stop(&self) {
        let (done, over) = oneshot::channel();
        self.say(Message::Stop(done));
        // Late or gone: mappings end by themselves.
        let _ = tokio::time::timeout(RELEASE_TIME, over).await;
    }

    fn say(&self, message: Message) {
        if self.messages.try_send(message).is_err() {
            tracing::warn!("the task of port mappings takes no messages");
        }
    }
}

/// A question under way. Apart, so that whatever a gateway answers ends that task alone.
type Asking = (Question, JoinHandle<Option<(Grant, Held)>>);

struct Task {
    mapper: Mapper,
    finder: Finder,
    clock: fn() -> Moment,
    news: mpsc::Sender<Mapped>,
    /// Ports that are mapped now.
    ports: Vec<(Port, SocketAddr)>,
    told: Option<Mapped>,
    gateway: Option<Gateway>,
    /// What the gateway granted, and what it must be told to take it back.
    held: Vec<(Question, Held)>,
    asking: Option<Asking>,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        self.look(true).await;
        let mut look_at = Some(tokio::time::Instant::now() + LOOK_AGAIN);
        loop {
            let wake_at = self.drain().await;
            let pause = wake_at.since((self.clock)());
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(Message::Ports(ports)) => self.handle(Input::Ports(ports)),
                    Some(Message::Changed) => {
                        self.look(true).await;
                        look_at = Some(tokio::time::Instant::now() + LOOK_AGAIN);
                    }
                    Some(Message::Stop(done)) => {
                        self.release_all().await;
                        // Whoever waited may have given up.
                        let _ = done.send(());
                        return;
                    }
                    None => return,
                },
                (question, answer) = answer_of(&mut self.asking) => {
                    self.asking = None;
                    let grant = answer.map(|(grant, held)| {
                        self.held.retain(|(q, _)| q.port != question.port);
                        self.held.push((question, held));
                        grant
                    });
                    self.handle(Input::Answer(question, grant));
                }
                () = at(look_at) => {
                    look_at = None;
                    self.look(false).await;
                }
                () = tokio::time::sleep(pause) => self.handle(Input::Wake),
            }
        }
    }

    fn handle(&mut self, input: Input) {
        self.mapper.handle((self.clock)(), input);
    }

    /// Looks for the gateway. `anew`: it counts as changed even if it is the same.
    async fn look(&mut self, anew: bool) {
        let find = self.finder.gateway;
        // A panic inside is as good as none found.
        let found = tokio::task::spawn_blocking(find).await.ok().flatten();
        if anew || found != self.gateway {
            self.gateway = found;
            self.handle(Input::Route(found));
        }
    }

    /// Does all there is to do; until when nothing is.
    async fn drain(&mut self) -> Moment {
        loop {
            match self.mapper.poll() {
                Output::Ask(question) => {
                    let held = self.held.iter().find(|(q, _)| *q == question).map(|(_, held)| held.clone());
                    let task = tokio::spawn(ask::ask(question, held, self.finder.upnp_port));
                    if let Some((_, old)) = self.asking.replace((question, task)) {
                        old.abort();
                    }
                }
                Output::Release(question) => {
                    if let Some(held) = self.take_held(question) {
                        tokio::spawn(held.release(question));
                    }
                }
                Output::Mapped(ports) => self.ports = ports,
                Output::Wake(at) => {
                    self.tell().await;
                    return at;
                }
            }
        }
    }

    async fn tell(&mut self) {
        let now = Mapped { ports: self.ports.clone(), standing: self.mapper.standing() };
        if self.told.as_ref() != Some(&now) {
            tracing::info!(standing = ?now.standing, ports = now.ports.len(), "ports at the gateway");
            self.told = Some(now.clone());
            // Nobody listens only while the daemon stops.
            let _ = self.news.send(now).await;
        }
    }

    fn take_held(&mut self, question: Question) -> Option<Held> {
        let at = self.held.iter().position(|(q, _)| *q == question)?;
        Some(self.held.swap_remove(at).1)
    }

    async fn release_all(&mut self) {
        if let Some((_, task)) = self.asking.take() {
            task.abort();
        }
        let held = self.mapper.held();
        let all: Vec<_> =
            held.into_iter().filter_map(|q| self.take_held(q).map(|held| held.release(q))).collect();
        futures::future::join_all(all).await;
    }
}

/// What became of the question under way.
async fn answer_of(asking: &mut Option<Asking>) -> (Question, Option<(Grant, Held)>) {
    match asking {
        Some((question, task)) => (*question, task.await.ok().flatten()),
        None => std::future::pending().await,
    }
}

async fn at(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn default_gateway() -> Option<Gateway> {
    let found = netdev::get_default_gateway();
    let ip = found.ok()?.ipv4.into_iter().find(|ip| !ip.is_unspecified())?;
    Some(Gateway { ip, own: own_towards(ip)? })
}

/// Which of our addresses the system would use; nothing is sent.
fn own_towards(gateway: Ipv4Addr) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((gateway, crab_nat::GATEWAY_PORT)).ok()?;
    match socket.local_addr().ok()? {
        SocketAddr::V4(own) => Some(*own.ip()),
        SocketAddr::V6(_) => None,
    }
}
