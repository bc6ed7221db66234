//! What is known of each device: where it may be, whether it is wanted, and how its streams are.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ahoy_base::{Moment, PeerId};
use ahoy_net_core::find::Finding;
use libp2p::Multiaddr;
use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use tokio::task::JoinHandle;

use crate::addresses;

/// Devices known at once; a whole company's network is less.
const MAX_PEERS: usize = 2_048;
/// A connection that lasted shorter was refused by whoever heard who we are.
const HUNG_UP: Duration = Duration::from_secs(1);

/// What is known of one device.
#[derive(Default)]
pub(super) struct Peer {
    pub(super) finding: Finding<Multiaddr>,
    /// Somebody wants a stream to it for good.
    pub(super) wanted: bool,
    /// Seen on the local network.
    pub(super) nearby: bool,
    /// `Nearby` was said.
    pub(super) announced: bool,
    /// The network is joined at it.
    pub(super) anchor: bool,
    /// It is not to see our address.
    pub(super) hidden: bool,
    /// Where we dialled it, without a relay between.
    pub(super) straight: Option<Multiaddr>,
    /// Connections that stand.
    pub(super) roads: Vec<Road>,
    /// Those from before the network changed: closed once a new one stands.
    pub(super) stale: Vec<ConnectionId>,
    pub(super) outgoing: Outgoing,
    /// Reads the stream that the device opened.
    pub(super) reader: Option<JoinHandle<()>>,
    /// Holds the stream that tells where the table is joined.
    pub(super) entry: Option<JoinHandle<()>>,
    /// Why the last dial failed, for the log.
    pub(super) why: String,
}

/// Where a connection with a device leads.
#[derive(Clone, Copy)]
pub(super) struct Road {
    pub(super) connection: ConnectionId,
    /// The device's address, or its relay's.
    pub(super) remote: SocketAddr,
    pub(super) relayed: bool,
    /// It goes over UDP.
    pub(super) udp: bool,
    /// We dialled it.
    dialled: bool,
    since: Moment,
}

impl Road {
    pub(super) fn of(now: Moment, connection: ConnectionId, endpoint: &ConnectedPoint) -> Option<Road> {
        let relayed = endpoint.is_relayed();
        let address = match endpoint {
            ConnectedPoint::Dialer { address, .. } => address,
            // Through a relay the caller has no address; ours begins with the relay's.
            ConnectedPoint::Listener { local_addr, .. } if relayed => local_addr,
            ConnectedPoint::Listener { send_back_addr, .. } => send_back_addr,
        };
        let udp = address.iter().any(|part| matches!(part, Protocol::Udp(_)));
        let remote = addresses::socket_of(address)?;
        Some(Road { connection, remote, relayed, udp, dialled: endpoint.is_dialer(), since: now })
    }
}

/// The stream that we opened.
#[derive(Default)]
pub(super) enum Outgoing {
    #[default]
    None,
    Opening,
    Open,
}

impl Peer {
    /// A connection ended. If it did as soon as it stood, its device does not want us there.
    pub(super) fn left(&mut self, now: Moment, connection: ConnectionId) {
        let Some(at) = self.roads.iter().position(|road| road.connection == connection) else { return };
        let road = self.roads.swap_remove(at);
        if road.dialled
            && !road.relayed
            && now.since(road.since) < HUNG_UP
            && let Some(address) = self.straight.clone()
        {
            self.finding.refused(now, &address);
        }
    }

    /// The best connection with it.
    pub(super) fn road(&self) -> Option<Road> {
        self.roads.iter().min_by_key(|road| road.relayed).copied()
    }

    /// Where it is met, nobody in between.
    pub(super) fn hosts(&self) -> Vec<IpAddr> {
        self.roads.iter().filter(|road| !road.relayed).map(|road| road.remote.ip().to_canonical()).collect()
    }

    /// Whether a connection to it is kept.
    pub(super) fn is_kept(&self) -> bool {
        self.wanted || self.nearby || self.anchor
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Peers {
    peers: BTreeMap<PeerId, Peer>,
}

impl Peers {
    /// The entry of a device, made if there is room.
    pub(super) fn entry(&mut self, peer: PeerId) -> Option<&mut Peer> {
        if !self.peers.contains_key(&peer) && self.peers.len() >= MAX_PEERS {
            let idle = |e: &Peer| !e.is_kept() && matches!(e.outgoing, Outgoing::None);
            let stale = self.peers.iter().find(|(_, e)| idle(e)).map(|(p, _)| *p)?;
            if let Some(reader) = self.peers.remove(&stale).and_then(|e| e.reader) {
                reader.abort();
            }
        }
        Some(self.peers.entry(peer).or_default())
    }

    pub(super) fn get(&self, peer: PeerId) -> Option<&Peer> {
        self.peers.get(&peer)
    }

    pub(super) fn get_mut(&mut self, peer: PeerId) -> Option<&mut Peer> {
        self.peers.get_mut(&peer)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (PeerId, &mut Peer)> {
        self.peers.iter_mut().map(|(peer, entry)| (*peer, entry))
    }

    /// Whether UDP passes, as far as connections with other machines tell.
    pub(super) fn udp(&self) -> Option<bool> {
        // What lies beyond a relay says nothing of the way to it.
        let outside = |road: &&Road| !road.relayed && !road.remote.ip().is_loopback();
        let mut roads = self.peers.values().flat_map(|e| &e.roads).filter(outside).peekable();
        roads.peek().is_some().then(|| roads.any(|road| road.udp))
    }

    /// Anchors that we are connected with, and all.
    pub(super) fn anchors(&self, connected: impl Fn(PeerId) -> bool) -> (usize, usize) {
        let anchors = || self.peers.iter().filter(|(_, e)| e.anchor);
        (anchors().filter(|(p, _)| connected(**p)).count(), anchors().count())
    }
}
