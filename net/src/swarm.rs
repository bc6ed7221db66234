//! The libp2p swarm in one task: who is there, and a signalling stream to everybody we want to hear from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ahoy_base::PeerId;
use futures::StreamExt;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, StreamProtocol, Swarm, connection_limits, identify, identity, mdns, ping};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::identity::{from_libp2p, to_libp2p};
use crate::signalling::{self, MAX_WAITING};
use crate::{NetConfig, NetEvent};

/// Our protocol. Only devices that speak it count as nearby.
const PROTOCOL: StreamProtocol = StreamProtocol::new("/ahoy/sig/1");
/// Pause before a device that was not reached is tried again; doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause. A new address or a sign of life ends it at once.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// How often pauses are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Addresses kept of one device, newest first.
const MAX_ADDRESSES: usize = 16;
/// Devices known at once; a whole company's network is less.
const MAX_PEERS: usize = 2_048;
/// A connection without a stream is closed after this.
const IDLE: Duration = Duration::from_secs(30);
/// Signs of life are asked for this often, and must come within [`PING_TIME`].
const PING_EVERY: Duration = Duration::from_secs(5);
/// See [`PING_EVERY`]: together a dead connection is noticed within about 10 s.
const PING_TIME: Duration = Duration::from_secs(5);

/// What the handle asks of the task.
pub(crate) enum Command {
    AddAddresses(PeerId, Vec<Multiaddr>),
    Connect(PeerId),
    Forget(PeerId),
}

/// Where messages for a device go while it has a stream.
pub(crate) type Outlets = Arc<Mutex<BTreeMap<PeerId, mpsc::Sender<Vec<u8>>>>>;

#[derive(NetworkBehaviour)]
struct Behaviour {
    limits: connection_limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    mdns: Toggle<mdns::tokio::Behaviour>,
    stream: libp2p_stream::Behaviour,
}

/// What is known of one device.
#[derive(Default)]
struct Peer {
    addresses: Vec<Multiaddr>,
    /// Somebody wants a stream to it for good.
    wanted: bool,
    /// Seen on the local network.
    nearby: bool,
    /// `Nearby` was said.
    announced: bool,
    connections: usize,
    outgoing: Outgoing,
    /// Reads the stream that the device opened.
    reader: Option<JoinHandle<()>>,
    retry_at: Option<Instant>,
    pause: Option<Duration>,
}

/// The stream that we opened.
#[derive(Default)]
enum Outgoing {
    #[default]
    None,
    Opening,
    Open,
}

/// What tasks around streams tell the swarm task.
enum StreamNews {
    Opened(PeerId, libp2p::swarm::Stream),
    Failed(PeerId, String),
    Closed(PeerId),
}

pub(crate) struct Driver {
    swarm: Swarm<Behaviour>,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<NetEvent>,
    outlets: Outlets,
    peers: BTreeMap<PeerId, Peer>,
    listening: BTreeSet<Multiaddr>,
    news_out: mpsc::Sender<StreamNews>,
    news: mpsc::Receiver<StreamNews>,
    incoming: libp2p_stream::IncomingStreams,
}

impl Driver {
    /// Builds the swarm and starts to listen.
    pub(crate) fn start(
        keypair: identity::Keypair,
        config: &NetConfig,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<NetEvent>,
        outlets: Outlets,
    ) -> Result<Driver, Error> {
        let mut swarm = build(keypair, config)?;
        for address in &config.listen {
            if let Err(error) = swarm.listen_on(address.clone()) {
                warn(&events, format!("Can't listen on {address}: {error}. Other addresses are used."));
            }
        }
        for address in &config.bootstrap {
            if let Err(error) = swarm.dial(address.clone()) {
                tracing::info!(%error, "a bootstrap address can't be dialled");
            }
        }
        let incoming = swarm
            .behaviour()
            .stream
            .new_control()
            .accept(PROTOCOL)
            .map_err(|_| Error::Swarm("the protocol is registered twice".to_owned()))?;
        let (news_out, news) = mpsc::channel(MAX_WAITING);
        Ok(Driver {
            swarm,
            commands,
            events,
            outlets,
            peers: BTreeMap::new(),
            listening: BTreeSet::new(),
            news_out,
            news,
            incoming,
        })
    }

    /// Runs until the handle is gone.
    pub(crate) async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm(event).await,
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => return,
                },
                Some((peer, stream)) = self.incoming.next() => self.on_incoming(&peer, stream),
                Some(news) = self.news.recv() => self.on_stream(news).await,
                _ = tick.tick() => self.retry_due(),
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::AddAddresses(peer, addresses) => {
                if self.learn(peer, addresses) {
                    self.reach(peer);
                }
            }
            Command::Connect(peer) => {
                if let Some(entry) = self.peer(peer) {
                    entry.wanted = true;
                    entry.pause = None;
                    entry.retry_at = None;
                    self.reach(peer);
                }
            }
            Command::Forget(peer) => {
                if let Some(entry) = self.peers.get_mut(&peer) {
                    entry.wanted = false;
                    if !entry.nearby {
                        self.outlets().remove(&peer);
                    }
                }
            }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "of libp2p's events few are ours")]
    async fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr { address, .. } => {
                self.listening.insert(address);
                self.tell_addresses().await;
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.listening.remove(&address);
                self.tell_addresses().await;
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                for address in &addresses {
                    self.listening.remove(address);
                }
                if let Err(error) = reason {
                    warn(&self.events, format!("Stopped listening: {error}."));
                }
                self.tell_addresses().await;
            }
            SwarmEvent::ListenerError { error, .. } => {
                warn(&self.events, format!("A listening address has trouble: {error}."));
            }
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                let Some(peer) = from_libp2p(&peer_id) else {
                    // No device of ours; it can't be signalled to.
                    let _ = self.swarm.disconnect_peer_id(peer_id);
                    return;
                };
                if let Some(entry) = self.peer(peer) {
                    entry.connections += 1;
                    entry.pause = None;
                    if entry.wanted || entry.nearby {
                        self.open_stream(peer);
                    }
                }
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established, .. } => {
                let Some(peer) = from_libp2p(&peer_id) else { return };
                if let Some(entry) = self.peers.get_mut(&peer) {
                    entry.connections = num_established as usize;
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer_id), error, .. } => {
                if let Some(peer) = from_libp2p(&peer_id) {
                    self.failed(peer, error.to_string()).await;
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Discovered(found))) => {
                for (peer, address) in found {
                    self.on_nearby(&peer, address).await;
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Expired(gone))) => {
                for (peer, address) in gone {
                    self.on_expired(&peer, &address).await;
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
                peer,
                result: Err(error),
                connection,
            })) => {
                tracing::debug!(%error, "a connection gives no sign of life and is closed");
                self.swarm.close_connection(connection);
                let _ = peer;
            }
            // Everything else is of interest to the log of libp2p alone.
            _ => {}
        }
    }

    async fn on_nearby(&mut self, peer: &libp2p::PeerId, address: Multiaddr) {
        let Some(peer) = from_libp2p(peer) else { return };
        let fresh = self.learn(peer, vec![address]);
        let Some(entry) = self.peer(peer) else { return };
        let first = !std::mem::replace(&mut entry.nearby, true);
        if matches!(entry.outgoing, Outgoing::Open) {
            self.announce(peer).await;
        } else if first || fresh {
            self.reach(peer);
        }
    }

    async fn on_expired(&mut self, peer: &libp2p::PeerId, address: &Multiaddr) {
        let Some(peer) = from_libp2p(peer) else { return };
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if !entry.wanted {
            entry.addresses.retain(|a| a != &bare(address.clone()));
        }
        let left = self
            .swarm
            .behaviour()
            .mdns
            .as_ref()
            .is_some_and(|m| m.discovered_nodes().any(|p| from_libp2p(p) == Some(peer)));
        if !left && entry.nearby {
            entry.nearby = false;
            if std::mem::take(&mut entry.announced) {
                self.tell(NetEvent::NearbyGone { peer }).await;
            }
        }
    }

    /// The device opened its stream to us; from now on it is heard, and answered if we have none of ours.
    fn on_incoming(&mut self, peer: &libp2p::PeerId, mut stream: libp2p::swarm::Stream) {
        let Some(peer) = from_libp2p(peer) else { return };
        let events = self.events.clone();
        let reader = tokio::spawn(async move {
            loop {
                match signalling::read_message(&mut stream).await {
                    Ok(Some(bytes)) => {
                        if events.send(NetEvent::Signal { peer, bytes }).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => return,
                    Err(error) => {
                        tracing::debug!(?peer, %error, "a signalling stream ends");
                        return;
                    }
                }
            }
        });
        match self.peer(peer) {
            Some(entry) => {
                // A device that opens a second stream has given up the first.
                if let Some(old) = entry.reader.replace(reader) {
                    old.abort();
                }
                self.open_stream(peer);
            }
            None => reader.abort(),
        }
    }

    fn open_stream(&mut self, peer: PeerId) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let (Outgoing::None, Some(target)) = (&entry.outgoing, to_libp2p(peer)) else { return };
        entry.outgoing = Outgoing::Opening;
        let mut control = self.swarm.behaviour().stream.new_control();
        let news = self.news_out.clone();
        tokio::spawn(async move {
            let result = match control.open_stream(target, PROTOCOL).await {
                Ok(stream) => StreamNews::Opened(peer, stream),
                Err(error) => StreamNews::Failed(peer, error.to_string()),
            };
            // The task is gone only when the daemon stops.
            let _ = news.send(result).await;
        });
    }

    async fn on_stream(&mut self, news: StreamNews) {
        match news {
            StreamNews::Opened(peer, stream) => {
                let (outlet, messages) = mpsc::channel(MAX_WAITING);
                self.outlets().insert(peer, outlet);
                if let Some(entry) = self.peers.get_mut(&peer) {
                    entry.outgoing = Outgoing::Open;
                    entry.pause = None;
                    entry.retry_at = None;
                }
                let news = self.news_out.clone();
                tokio::spawn(async move {
                    signalling::write_all(stream, messages).await;
                    let _ = news.send(StreamNews::Closed(peer)).await;
                });
                self.tell(NetEvent::PeerUp { peer }).await;
                self.announce(peer).await;
            }
            StreamNews::Failed(peer, why) => {
                if let Some(entry) = self.peers.get_mut(&peer) {
                    entry.outgoing = Outgoing::None;
                }
                self.failed(peer, why).await;
            }
            StreamNews::Closed(peer) => {
                self.outlets().remove(&peer);
                if let Some(entry) = self.peers.get_mut(&peer) {
                    entry.outgoing = Outgoing::None;
                    // At once: most ends are restarts and changes of network.
                    entry.pause = None;
                    entry.retry_at = (entry.wanted || entry.nearby).then(Instant::now);
                }
                self.tell(NetEvent::PeerDown { peer }).await;
            }
        }
    }

    async fn announce(&mut self, peer: PeerId) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if entry.nearby && !std::mem::replace(&mut entry.announced, true) {
            let addresses = entry.addresses.clone();
            self.tell(NetEvent::Nearby { peer, addresses }).await;
        }
    }

    async fn failed(&mut self, peer: PeerId, why: String) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if matches!(entry.outgoing, Outgoing::Open) {
            return;
        }
        let pause = entry.pause.map_or(FIRST_PAUSE, |p| (p * 2).min(MAX_PAUSE));
        entry.pause = Some(pause);
        entry.retry_at = (entry.wanted || entry.nearby).then(|| Instant::now() + pause);
        self.tell(NetEvent::DialFailed { peer, why }).await;
    }

    fn retry_due(&mut self) {
        let now = Instant::now();
        let due: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(_, e)| e.retry_at.is_some_and(|at| at <= now))
            .map(|(p, _)| *p)
            .collect();
        for peer in due {
            if let Some(entry) = self.peers.get_mut(&peer) {
                entry.retry_at = None;
            }
            self.reach(peer);
        }
    }

    /// Gets a stream to a device: over a connection that is there, else by dialling.
    fn reach(&mut self, peer: PeerId) {
        let Some(entry) = self.peers.get(&peer) else { return };
        if !entry.wanted && !entry.nearby || matches!(entry.outgoing, Outgoing::Open | Outgoing::Opening) {
            return;
        }
        let Some(target) = to_libp2p(peer) else { return };
        if self.swarm.is_connected(&target) {
            self.open_stream(peer);
            return;
        }
        let options = DialOpts::peer_id(target)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(entry.addresses.clone())
            .build();
        if let Err(error) = self.swarm.dial(options) {
            let waiting = matches!(error, libp2p::swarm::DialError::DialPeerConditionFalse(_));
            if !waiting {
                let (news, why) = (self.news_out.clone(), error.to_string());
                // Through the queue, so that every failure takes the same way.
                tokio::spawn(async move {
                    let _ = news.send(StreamNews::Failed(peer, why)).await;
                });
            }
        }
    }

    /// Keeps addresses, newest first; whether any is new.
    fn learn(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) -> bool {
        let Some(entry) = self.peer(peer) else { return false };
        let mut fresh = false;
        for address in addresses.into_iter().map(bare) {
            let known = entry.addresses.iter().position(|a| *a == address);
            fresh |= known.is_none();
            if let Some(at) = known {
                entry.addresses.remove(at);
            }
            entry.addresses.insert(0, address);
        }
        entry.addresses.truncate(MAX_ADDRESSES);
        if fresh {
            entry.pause = None;
        }
        fresh
    }

    /// The entry of a device, made if there is room.
    fn peer(&mut self, peer: PeerId) -> Option<&mut Peer> {
        if !self.peers.contains_key(&peer) && self.peers.len() >= MAX_PEERS {
            let idle = |e: &Peer| !e.wanted && !e.nearby && matches!(e.outgoing, Outgoing::None);
            let stale = self.peers.iter().find(|(_, e)| idle(e)).map(|(p, _)| *p)?;
            self.peers.remove(&stale);
        }
        Some(self.peers.entry(peer).or_default())
    }

    async fn tell_addresses(&mut self) {
        let listening = self.listening.iter().cloned().collect();
        self.tell(NetEvent::Addresses(listening)).await;
    }

    async fn tell(&mut self, event: NetEvent) {
        // Nobody listens only while the daemon stops.
        let _ = self.events.send(event).await;
    }

    fn outlets(&self) -> std::sync::MutexGuard<'_, BTreeMap<PeerId, mpsc::Sender<Vec<u8>>>> {
        self.outlets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn warn(events: &mpsc::Sender<NetEvent>, text: String) {
    tracing::warn!("{text}");
    // A full queue has more urgent things in it.
    let _ = events.try_send(NetEvent::Warning { text });
}

/// Without `/p2p/…` at the end: whom we dial is said apart.
fn bare(mut address: Multiaddr) -> Multiaddr {
    if matches!(address.iter().last(), Some(libp2p::multiaddr::Protocol::P2p(_))) {
        address.pop();
    }
    address
}

fn build(keypair: identity::Keypair, config: &NetConfig) -> Result<Swarm<Behaviour>, Error> {
    let failed = |what: &str, error: &dyn std::fmt::Display| Error::Swarm(format!("{what}: {error}"));
    let public = keypair.public();
    let own = public.to_peer_id();
    let mdns = if config.mdns {
        match mdns::tokio::Behaviour::new(mdns::Config::default(), own) {
            Ok(mdns) => Some(mdns),
            Err(error) => {
                tracing::warn!(%error, "people on the local network can't be found; cards and addresses work");
                None
            }
        }
    } else {
        None
    };
    let behaviour = Behaviour {
        limits: connection_limits::Behaviour::new(
            connection_limits::ConnectionLimits::default()
                .with_max_pending_incoming(Some(32))
                .with_max_established_incoming(Some(512))
                .with_max_established_per_peer(Some(4)),
        ),
        identify: identify::Behaviour::new(
            identify::Config::new("/ahoy/1".to_owned(), public).with_agent_version(config.agent.clone()),
        ),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_EVERY).with_timeout(PING_TIME)),
        mdns: mdns.into(),
        stream: libp2p_stream::Behaviour::new(),
    };
    let tcp = libp2p::tcp::Config::default().nodelay(true);
    Ok(libp2p::SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp, libp2p::tls::Config::new, libp2p::yamux::Config::default)
        .map_err(|e| failed("TLS", &e))?
        .with_quic_config(|mut quic| {
            quic.keep_alive_interval = Duration::from_secs(4);
            quic.max_idle_timeout = 12_000;
            quic
        })
        .with_behaviour(|_| behaviour)
        .map_err(|e| failed("behaviour", &e))?
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(IDLE))
        .build())
}
