//! The tokio shell towards other machines: signalling streams through libp2p, media links through our own QUIC.
//!
//! Bytes in, bytes out; what they mean is `ahoy-net-core`'s and `ahoy-call`'s. libp2p's QUIC turns datagrams off, so
//! media has sockets of its own (docs/decisions/0010).

mod addresses;
mod changes;
mod congestion;
mod door;
mod error;
mod identity;
mod lanes;
mod link;
mod mapping;
mod quic_endpoint;
mod quic_link;
mod reach;
mod relay;
mod signalling;
mod swarm;
mod table;
mod udp_socket;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ahoy_base::{Moment, PeerId};
use ahoy_net_core::path::relay::Lent;
use futures::FutureExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub use addresses::{is_global, is_loopback, is_relayed};
pub use ahoy_net_core::find::{Source, Stage, Tried};
pub use ahoy_net_core::session::{LinkSide, PathKind};
pub use changes::Change;
pub use door::{Proxy, ProxyError, ProxyTrouble};
pub use error::{Error, LinkError, SendError};
pub use identity::peer_of;
pub use libp2p::Multiaddr;
pub use libp2p::multiaddr::Protocol;
pub use link::{Link, LinkStats, MAX_HELLO, SendOutcome};
pub use reach::{MAX_ROW, ReachConfig, Reached, RelayRole, decode_addresses, encode_addresses};
pub use relay::{RelayAsk, RelayError};
pub use signalling::MAX_MESSAGE;
pub use udp_socket::{PathPacket, PortStats};

/// News that may wait for the node; signalling of many peers at once, and back pressure after that.
const MAX_EVENTS: usize = 256;
/// Requests that may wait for the swarm task.
const MAX_COMMANDS: usize = 1_024;
/// How long the peer's own door is tried alone before a relay's is too.
const DOOR_FIRST: Duration = Duration::from_millis(250);
/// Links that others opened and nobody took yet.
const MAX_LINKS: usize = 16;

/// How this device is reached and what it looks for.
#[derive(Clone)]
pub struct NetConfig {
    /// Ed25519 seed of the device key.
    pub secret: [u8; 32],
    /// Where signalling listens; [`NetConfig::any_address`] for a person's device.
    pub listen: Vec<Multiaddr>,
    /// Where media listens, one UDP socket each.
    pub media_listen: Vec<SocketAddr>,
    /// Whether to look for, and be seen by, devices on the local network.
    pub mdns: bool,
    /// Devices at which the network is joined; any list will do, and none is needed where people know each other's addresses.
    pub bootstrap: Vec<Multiaddr>,
    /// How it is reached where that is not simple.
    pub reach: ReachConfig,
    /// The clock that arrival times are read from.
    pub clock: fn() -> Moment,
}

impl NetConfig {
    /// Every address of the machine, QUIC and TCP, ports of the system's choice.
    pub fn any_address() -> Vec<Multiaddr> {
        Self::parse(&[
            "/ip4/0.0.0.0/udp/0/quic-v1",
            "/ip6/::/udp/0/quic-v1",
            "/ip4/0.0.0.0/tcp/0",
            "/ip6/::/tcp/0",
            "/ip4/0.0.0.0/tcp/0/tls/ws",
            "/ip6/::/tcp/0/tls/ws",
        ])
    }

    /// IPv4 loopback alone.
    pub fn loopback() -> Vec<Multiaddr> {
        Self::parse(&["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"])
    }

    fn parse(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().filter_map(|t| t.parse().ok()).collect()
    }
}

/// Something happened on the network.
#[derive(Debug)]
pub enum NetEvent {
    /// Where signalling listens, all of it.
    Addresses(Vec<Multiaddr>),
    /// A device of ours is on the local network and speaks our protocol.
    Nearby {
        /// Which.
        peer: PeerId,
        /// Where.
        addresses: Vec<Multiaddr>,
    },
    /// It is no longer seen there.
    NearbyGone {
        /// Which.
        peer: PeerId,
    },
    /// Messages can be sent to it.
    PeerUp {
        /// Which.
        peer: PeerId,
    },
    /// No longer. What waited is gone.
    PeerDown {
        /// Which.
        peer: PeerId,
    },
    /// It was reached there; worth trying first next time.
    ReachedAt {
        /// Which.
        peer: PeerId,
        /// Where, without the device at its end.
        address: Multiaddr,
    },
    /// How well this device is reached changed.
    Reached(Reached),
    /// It was not reached; it is tried again by itself.
    DialFailed {
        /// Which.
        peer: PeerId,
        /// What there was to try.
        tried: Vec<Tried>,
        /// For the log.
        why: String,
    },
    /// One message of it.
    Signal {
        /// Whose; proven by TLS.
        peer: PeerId,
        /// At most [`MAX_MESSAGE`] bytes.
        bytes: Vec<u8>,
    },
    /// An armed device opened a link to us.
    LinkUp {
        /// The link; its hello has not been read.
        link: Link,
    },
    /// The network changed under us; links may be dead and paths others.
    Changed(Change),
    /// A device wants us to relay for it.
    RelayAsked {
        /// Which; proven by TLS.
        peer: PeerId,
        /// To be answered.
        ask: RelayAsk,
    },
    /// Something works less well than it could; for people.
    Warning {
        /// A sentence.
        text: String,
    },
}

/// The handle. Cheap to clone; the network stops when [`Net::shutdown`] is called or the last clone is gone.
#[derive(Clone)]
pub struct Net {
    own: PeerId,
    commands: mpsc::Sender<swarm::Command>,
    outlets: swarm::Outlets,
    media: quic_endpoint::Media,
    lanes: lanes::Lanes,
    streams: libp2p_stream::Control,
    lenders: swarm::Lenders,
    mapping: Option<mapping::Mapping>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Net").field("own", &self.own).finish_non_exhaustive()
    }
}

/// Starts signalling and media. Must be called inside a tokio runtime.
///
/// # Errors
/// When the key is none or not a single media socket can be opened. A listening address that can't be used is a
/// [`NetEvent::Warning`]: calls can still be made.
pub async fn start(config: NetConfig) -> Result<(Net, mpsc::Receiver<NetEvent>), Error> {
    let keypair = libp2p::identity::Keypair::ed25519_from_bytes(config.secret).map_err(|_| Error::Key)?;
    let own = identity::from_libp2p(&keypair.public().to_peer_id()).ok_or(Error::Key)?;
    let (events, events_in) = mpsc::channel(MAX_EVENTS);
    let (commands, commands_in) = mpsc::channel(MAX_COMMANDS);
    let (links, mut links_in) = mpsc::channel(MAX_LINKS);
    let media = quic_endpoint::Media::open(keypair.clone(), &config.media_listen, config.clock, &links)?;
    let outlets = swarm::Outlets::default();
    let (rings_out, rings) = mpsc::channel(door::MAX_ACCEPTED);
    let (accepted_out, accepted) = mpsc::channel(door::MAX_ACCEPTED);
    let splices = door::Splices::new(rings_out);
    let door =
        door::Door::new(config.reach.proxy.clone(), config.clock, accepted_out.clone(), splices.clone())
            .map_err(Error::Tls)?;
    let keys = lanes::LaneKeys::new(&keypair).map_err(Error::Tls)?;
    let lanes = lanes::Lanes::start(keys, door.clone(), media.clone(), config.clock, accepted, links);
    let (mapped_out, mapped) = mpsc::channel(MAX_LINKS);
    let alone = config.listen.iter().all(is_loopback);
    let mapping = (config.reach.map_ports && !alone)
        .then(|| mapping::Mapping::start(mapping::Finder::SYSTEM, config.clock, mapped_out));
    let parts = swarm::Parts {
        door,
        splices,
        rings,
        accepted: accepted_out,
        media: media.clone(),
        table: table::Table::start(&config, &config.media_listen)?,
        mapping: mapping.clone(),
        mapped,
        commands: commands_in,
        events: events.clone(),
        outlets: outlets.clone(),
    };
    let driver = swarm::Driver::start(keypair, &config, parts)?;
    let (streams, lenders) = (driver.streams(), driver.lenders());
    let mut tasks = vec![tokio::spawn(driver.run())];
    let links = events.clone();
    tasks.push(tokio::spawn(async move {
        while let Some(link) = links_in.recv().await {
            if links.send(NetEvent::LinkUp { link }).await.is_err() {
                return;
            }
        }
    }));
    let changes = changes::Changes::new(config.clock, config.reach.wall_ms);
    let told = Changed { media: media.clone(), mapping: mapping.clone(), commands: commands.clone() };
    tasks.push(tokio::spawn(tell_changes(changes, told, events)));
    let tasks = Arc::new(Mutex::new(tasks));
    Ok((Net { own, commands, outlets, media, lanes, streams, lenders, mapping, tasks }, events_in))
}

/// Who is told that the network changed, beside the node.
struct Changed {
    media: quic_endpoint::Media,
    mapping: Option<mapping::Mapping>,
    commands: mpsc::Sender<swarm::Command>,
}

async fn tell_changes(mut changes: changes::Changes, told: Changed, events: mpsc::Sender<NetEvent>) {
    loop {
        let change = changes.next().await;
        tracing::info!(?change, "the network changed");
        told.media.forget_seen();
        if let Some(mapping) = &told.mapping {
            mapping.changed();
        }
        // The swarm dials anew, the node tells its sessions.
        let _ = told.commands.send(swarm::Command::NetworkChanged).await;
        if events.send(NetEvent::Changed(change)).await.is_err() {
            return;
        }
    }
}

impl Net {
    /// This device.
    pub fn peer_id(&self) -> PeerId {
        self.own
    }

    /// Adds addresses where `peer` may be, the best first; tried at once if a stream to it is wanted.
    pub fn add_addresses(&self, peer: PeerId, addresses: Vec<Multiaddr>, source: Source) {
        if !addresses.is_empty() {
            self.command(swarm::Command::Learn(peer, addresses, source));
        }
    }

    /// Hides this device's addresses from `peer`, or no longer: both meet at relays alone.
    pub fn hide_from(&self, peer: PeerId, on: bool) {
        self.media.hide_from(peer, on);
        self.command(swarm::Command::Hide(peer, on));
    }

    /// `peer` gave us a card with this invitation: its record in the table can be opened.
    pub fn invited_by(&self, peer: PeerId, invite: [u8; 16]) {
        self.command(swarm::Command::Invited(peer, invite));
    }

    /// Keeps a signalling stream to `peer` from here on; asked again, it tries at once.
    pub fn connect(&self, peer: PeerId) {
        self.command(swarm::Command::Connect(peer));
    }

    /// Keeps no stream to `peer` any more.
    pub fn forget(&self, peer: PeerId) {
        self.command(swarm::Command::Forget(peer));
    }

    /// Queues one message for `peer`.
    ///
    /// # Errors
    /// When there is no stream to it (wait for [`NetEvent::PeerUp`]), its queue is full, or the message too long.
    pub fn send(&self, peer: PeerId, message: Vec<u8>) -> Result<(), SendError> {
        if message.len() > MAX_MESSAGE {
            return Err(SendError::TooLong);
        }
        let outlets = self.outlets.lock().unwrap_or_else(PoisonError::into_inner);
        let outlet = outlets.get(&peer).ok_or(SendError::NoStream)?;
        outlet.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::QueueFull,
            mpsc::error::TrySendError::Closed(_) => SendError::NoStream,
        })
    }

    /// Takes links that `peer` opens, until disarmed as often as armed. Everybody else finds the port silent.
    pub fn arm(&self, peer: PeerId) {
        self.media.arm(peer);
    }

    /// The hosts at which signalling reaches `peer`, nobody in between.
    pub fn hosts(&self, peer: PeerId) -> Vec<IpAddr> {
        self.media.hosts(peer)
    }

    /// Undoes one [`Net::arm`].
    pub fn disarm(&self, peer: PeerId) {
        self.media.disarm(peer);
    }

    /// Opens a link to `peer` at `address`.
    ///
    /// # Errors
    /// When nobody answers within 5 s, or somebody else does.
    pub async fn dial_link(&self, peer: PeerId, address: SocketAddr) -> Result<Link, LinkError> {
        self.media.dial(peer, address).await
    }

    /// Opens a link to `peer` where UDP does not pass: over TCP lanes to its door or through a relay's
    /// ([`PathKind::Tcp`]), or over the connection that signalling has ([`PathKind::Circuit`]).
    ///
    /// # Errors
    /// When nobody answers within 10 s, or somebody else does.
    pub async fn dial_without_udp(&self, peer: PeerId, kind: PathKind) -> Result<Link, LinkError> {
        let (reply, ways) = tokio::sync::oneshot::channel();
        self.command(swarm::Command::Ways(peer, reply));
        let ways = ways.await.map_err(|_| LinkError::Closed)?;
        if kind == PathKind::Circuit {
            let (control, remote, kind) = ways.road.ok_or(LinkError::NoSocket)?;
            return self.lanes.dial_swarm(peer, control, remote, kind).await;
        }
        // A door behind a firewall says nothing for seconds, so a relay's is tried beside it.
        let meets = async {
            tokio::time::sleep(DOOR_FIRST).await;
            self.lanes.dial_door(peer, ways.meets, true).await
        };
        let doors = self.lanes.dial_door(peer, ways.doors, false);
        let (link, _) = futures::future::select_ok([doors.boxed(), meets.boxed()]).await?;
        Ok(link)
    }

    /// Gives packets that carry `tag` to `taker` until that is dropped.
    pub fn route(&self, tag: [u8; 8], taker: mpsc::Sender<PathPacket>) {
        self.media.port().route(tag, taker);
    }

    /// Sends a packet from the media port; it may get lost.
    pub fn send_packet(&self, to: SocketAddr, bytes: &[u8]) {
        self.media.port().send(to, bytes);
    }

    /// Takes links from `address` for half a minute. From all others no handshake is even looked at.
    pub fn welcome(&self, address: SocketAddr) {
        self.media.port().welcome(address);
    }

    /// Somebody at `by` sees our media port at `address`; it counts among our addresses for a minute.
    pub fn seen_as(&self, by: SocketAddr, address: SocketAddr) {
        self.media.seen_as(by, address);
    }

    /// Counters of the media port.
    pub fn port_stats(&self) -> PortStats {
        self.media.port().stats()
    }

    /// Connected devices that lend splices.
    pub fn relays(&self) -> Vec<PeerId> {
        self.lenders.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// Asks `relay` to pass packets on between us and somebody; what it lends, and where it is.
    ///
    /// # Errors
    /// When it refuses, or does not answer within 5 s.
    pub async fn ask_relay(&self, relay: PeerId) -> Result<(Lent, Vec<SocketAddr>), RelayError> {
        relay::ask(self.streams.clone(), relay).await
    }

    /// From here on `stands` stands for splice `id` of the relay at `relay`: what is sent there goes through it.
    pub fn add_splice(&self, stands: SocketAddr, id: [u8; 8], relay: SocketAddr) {
        self.media.port().add_splice(stands, id, relay);
    }

    /// `stands` stands for nothing any more; what is sent there is lost.
    pub fn remove_splice(&self, stands: SocketAddr) {
        self.media.port().remove_splice(stands);
    }

    /// Where a peer may reach our media sockets, best first.
    pub fn media_candidates(&self) -> Vec<SocketAddr> {
        self.media.candidates()
    }

    /// Closes everything.
    pub async fn shutdown(&self) {
        let given_up = async {
            if let Some(mapping) = &self.mapping {
                mapping.stop().await;
            }
        };
        tokio::join!(self.media.shut_down(), given_up);
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.iter().for_each(JoinHandle::abort);
    }

    fn command(&self, command: swarm::Command) {
        if self.commands.try_send(command).is_err() {
            tracing::error!("the network task takes no commands");
        }
    }
}
