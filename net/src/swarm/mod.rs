//! The libp2p swarm in one task: who is there, and a signalling stream to everybody we want to hear from.

mod behaviour;
mod carrying;
mod dialling;
mod lending;
mod peers;
mod reachability;
mod relays;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ahoy_base::{Moment, PeerId};
use ahoy_net_core::find::Source;
use ahoy_net_core::mapping::Port;
use ahoy_net_core::session::PathKind;
use futures::StreamExt;
use libp2p::core::ConnectedPoint;
use libp2p::swarm::behaviour::NewExternalAddrCandidate;
use libp2p::swarm::{ConnectionId, FromSwarm, NetworkBehaviour as _, SwarmEvent};
use libp2p::{Multiaddr, StreamProtocol, Swarm, identify, identity, mdns, ping, relay};
use tokio::sync::{mpsc, oneshot};

use crate::addresses::{self, bare};
use crate::door::{Door, DoorAddress, DoorTransport, SPLICE_PROTOCOL, Splices, Ticket};
use crate::error::Error;
use crate::identity::{from_libp2p, peer_of, to_libp2p};
use crate::lanes::{Accepted, MEDIA_PROTOCOL};
use crate::mapping::{Mapped, Mapping};
use crate::quic_endpoint::Media;
use crate::signalling::MAX_WAITING;
use crate::table::Table;
use crate::{NetConfig, NetEvent, Reached, RelayRole};
use behaviour::{Behaviour, BehaviourEvent, Friends};
pub(crate) use lending::Lenders;
use peers::{Outgoing, Peers, Road};
use relays::Relays;
pub(crate) use streams::OPEN_TIME;
use streams::{Arrived, StreamNews, arrived};

/// Our protocol. Only devices that speak it count as nearby.
const PROTOCOL: StreamProtocol = StreamProtocol::new("/ahoy/sig/1");
/// How often pauses are looked at.
const TICK: Duration = Duration::from_millis(100);

/// What the handle asks of the task.
pub(crate) enum Command {
    Learn(PeerId, Vec<Multiaddr>, Source),
    Connect(PeerId),
    Forget(PeerId),
    /// Our addresses are hidden from that device, or no longer.
    Hide(PeerId, bool),
    /// The invitation of a card that device gave us, for its record in the table.
    Invited(PeerId, [u8; 16]),
    /// How a link to that device may go without UDP.
    Ways(PeerId, oneshot::Sender<Ways>),
    /// Connections may be dead: dial anew.
    NetworkChanged,
}

/// How a link may go without UDP.
pub(crate) struct Ways {
    /// The device's own doors.
    pub(crate) doors: Vec<DoorAddress>,
    /// Doors of relays that reach it.
    pub(crate) meets: Vec<DoorAddress>,
    /// The connection that signalling has with it, and where that leads.
    pub(crate) road: Option<(libp2p_stream::Control, SocketAddr, PathKind)>,
}

/// What the task is made of, beside its swarm.
pub(crate) struct Parts {
    pub(crate) door: Door,
    pub(crate) splices: Splices,
    pub(crate) rings: mpsc::Receiver<(PeerId, Ticket)>,
    pub(crate) accepted: mpsc::Sender<Accepted>,
    pub(crate) media: Media,
    pub(crate) table: Table,
    /// Asks the gateway for ports; `None` where nobody is to be asked.
    pub(crate) mapping: Option<Mapping>,
    /// What the gateway does for us.
    pub(crate) mapped: mpsc::Receiver<Mapped>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: mpsc::Sender<NetEvent>,
    pub(crate) outlets: Outlets,
}

/// Where messages for a device go while it has a stream.
pub(crate) type Outlets = Arc<Mutex<BTreeMap<PeerId, mpsc::Sender<Vec<u8>>>>>;

pub(crate) struct Driver {
    swarm: Swarm<Behaviour>,
    clock: fn() -> Moment,
    role: RelayRole,
    /// It listens on loopback alone, where everybody it will ever meet is.
    alone: bool,
    parts: Parts,
    peers: Peers,
    friends: Friends,
    relays: Relays,
    listening: BTreeSet<Multiaddr>,
    /// Where somebody confirmed that we are reached straight.
    public: BTreeSet<Multiaddr>,
    /// What the gateway does for us.
    mapped: Mapped,
    told: Option<Reached>,
    news_out: mpsc::Sender<StreamNews>,
    news: mpsc::Receiver<StreamNews>,
    incoming: Arrived,
    /// Relays bring word of lanes that wait at their doors.
    tickets: Arrived,
    /// Lanes over the swarm's own connections.
    lanes: Arrived,
    /// Questions for splices; `None` while we lend none.
    asks: Option<Arrived>,
    lenders: Lenders,
}

impl Driver {
    /// Builds the swarm and starts to listen.
    pub(crate) fn start(
        keypair: identity::Keypair,
        config: &NetConfig,
        parts: Parts,
    ) -> Result<Driver, Error> {
        let friends = Friends::default();
        let mut swarm = behaviour::build(
            keypair,
            config,
            &friends,
            &parts.media,
            DoorTransport::new(parts.door.clone()),
        )?;
        for address in &config.listen {
            if let Err(error) = swarm.listen_on(address.clone()) {
                warn(&parts.events, format!("Can't listen on {address}: {error}. Other addresses are used."));
            }
        }
        let mut control = swarm.behaviour().stream.new_control();
        let mut accept = |protocol| {
            control
                .accept(protocol)
                .map(arrived)
                .map_err(|_| Error::Swarm("a protocol is registered twice".to_owned()))
        };
        let incoming = accept(PROTOCOL)?;
        let (tickets, lanes) = (accept(SPLICE_PROTOCOL)?, accept(MEDIA_PROTOCOL)?);
        parts.table.serve_entry(&mut control)?;
        let (news_out, news) = mpsc::channel(MAX_WAITING);
        let mut driver = Driver {
            swarm,
            clock: config.clock,
            role: config.reach.relay,
            alone: config.listen.iter().all(addresses::is_loopback),
            parts,
            peers: Peers::default(),
            friends,
            relays: Relays::default(),
            listening: BTreeSet::new(),
            public: BTreeSet::new(),
            mapped: Mapped::default(),
            told: None,
            news_out,
            news,
            incoming,
            tickets,
            lanes,
            asks: None,
            lenders: Lenders::default(),
        };
        driver.offer_splices();
        driver.enter(&config.bootstrap);
        Ok(driver)
    }

    /// Runs until the handle is gone.
    pub(crate) async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm(event).await,
                command = self.parts.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => return,
                },
                Some((peer, stream)) = self.incoming.recv() => self.on_incoming(&peer, stream),
                Some(news) = self.news.recv() => self.on_stream(news).await,
                news = self.parts.table.next() => self.on_table(news),
                Some(mapped) = self.parts.mapped.recv() => self.on_mapped(mapped).await,
                Some((relay, stream)) = self.tickets.recv() => self.on_ticket(&relay, stream),
                Some((peer, stream)) = self.lanes.recv() => self.on_lane(&peer, stream),
                Some((peer, stream)) = lending::next_of(&mut self.asks) => self.on_splice_ask(&peer, stream),
                Some((peer, ticket)) = self.parts.rings.recv() => self.ring(peer, ticket),
                _ = tick.tick() => {}
            }
            self.go_on().await;
        }
    }

    /// The devices at which the network is joined: dialled until one answers, and kept.
    fn enter(&mut self, bootstrap: &[Multiaddr]) {
        let now = (self.clock)();
        for address in bootstrap {
            match peer_of(address) {
                Some(peer) => {
                    let way = addresses::way_of(address);
                    if let Some(entry) = self.peers.entry(peer) {
                        entry.anchor = true;
                        entry.finding.learn(now, bare(address.clone()), Source::Card, way);
                        entry.finding.want(now);
                    }
                }
                None => {
                    if let Err(error) = self.swarm.dial(address.clone()) {
                        tracing::info!(%error, "a bootstrap address can't be dialled");
                    }
                }
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        let now = (self.clock)();
        match command {
            Command::Learn(peer, addresses, source) => {
                self.learn(peer, addresses, source);
            }
            Command::Connect(peer) => {
                if let Some(entry) = self.peers.entry(peer) {
                    entry.wanted = true;
                    self.befriend(peer, true);
                    self.seek(now, peer);
                }
            }
            Command::Forget(peer) => {
                self.befriend(peer, false);
                if let Some(entry) = self.peers.get_mut(peer) {
                    entry.wanted = false;
                    if !entry.is_kept() {
                        entry.finding.rest();
                        self.outlets().remove(&peer);
                    }
                }
            }
            Command::Hide(peer, on) => self.hide(peer, on),
            Command::Ways(peer, reply) => {
                // Whoever asked may be gone.
                let _ = reply.send(self.ways(peer));
            }
            Command::NetworkChanged => {
                self.offer_splices();
                self.dial_anew();
            }
            Command::Invited(peer, invite) => self.parts.table.invited(peer, invite),
        }
    }

    /// From now on a device is met at relays alone, or anywhere again. What stands straight goes.
    fn hide(&mut self, peer: PeerId, on: bool) {
        self.parts.table.hide(peer, on);
        let Some(entry) = self.peers.entry(peer) else { return };
        entry.hidden = on;
        entry.finding.set_relayed_only(on);
        if on {
            let straight: Vec<_> = entry.roads.iter().filter(|r| !r.relayed).map(|r| r.connection).collect();
            straight.into_iter().for_each(|connection| _ = self.swarm.close_connection(connection));
            // A relay of its own would tell it where we are.
            self.on_lender_gone(peer);
        }
    }

    /// Friends use our relay, are found in the table, and pass the limits of strangers.
    fn befriend(&mut self, peer: PeerId, on: bool) {
        let mut friends = self.friends.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = if on { friends.insert(peer) } else { friends.remove(&peer) };
        drop(friends);
        if !changed {
            return;
        }
        self.parts.table.befriend(peer, on);
        if let Some(theirs) = to_libp2p(peer) {
            let limits = &mut self.swarm.behaviour_mut().limits;
            if on { limits.bypass_peer_id(&theirs) } else { limits.remove_peer_id(&theirs) }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "of libp2p's events few are ours")]
    async fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr { address, .. } => {
                let useful = self.alone || !addresses::is_loopback(&address);
                if self.role.is_asked_for() && useful && !addresses::is_relayed(&address) {
                    self.swarm.add_external_address(address.clone());
                    self.public.insert(address.clone());
                }
                self.listening.insert(address);
                self.tell_addresses().await;
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.unlisten(&address);
                self.tell_addresses().await;
            }
            SwarmEvent::ListenerClosed { listener_id, addresses, reason } => {
                addresses.iter().for_each(|a| self.unlisten(a));
                self.relays.closed((self.clock)(), listener_id);
                if let Err(error) = reason {
                    tracing::info!(%error, ?addresses, "stopped listening");
                }
                self.tell_addresses().await;
            }
            SwarmEvent::ListenerError { error, .. } => {
                warn(&self.parts.events, format!("A listening address has trouble: {error}."));
            }
            SwarmEvent::ExternalAddrConfirmed { address }
                if addresses::is_global(&address) && !addresses::is_relayed(&address) =>
            {
                self.public.insert(address);
                self.tell_addresses().await;
            }
            SwarmEvent::ExternalAddrExpired { address } if self.public.remove(&address) => {
                self.tell_addresses().await;
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_connected(&peer_id, connection_id, &endpoint).await;
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, .. } => {
                let Some(peer) = from_libp2p(&peer_id) else { return };
                let now = (self.clock)();
                // One that was forgotten meanwhile leaves no hosts behind.
                let hosts = self.peers.get_mut(peer).map(|entry| {
                    entry.left(now, connection_id);
                    entry.hosts()
                });
                self.parts.media.set_hosts(peer, hosts.unwrap_or_default());
                if num_established == 0 {
                    self.on_disconnected(peer);
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer_id), error, .. } => {
                if let Some(peer) = from_libp2p(&peer_id) {
                    self.on_dial_failed(peer, &error);
                }
            }
            SwarmEvent::Behaviour(event) => self.on_behaviour(event).await,
            // Everything else is of interest to the log of libp2p alone.
            _ => {}
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "of libp2p's events few are ours")]
    async fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                for (peer, address) in found {
                    self.on_nearby(&peer, address).await;
                }
            }
            BehaviourEvent::Mdns(mdns::Event::Expired(gone)) => {
                for (peer, address) in gone {
                    self.on_expired(&peer, &address).await;
                }
            }
            BehaviourEvent::Ping(ping::Event { result: Err(error), connection, .. }) => {
                tracing::debug!(%error, "a connection gives no sign of life and is closed");
                self.swarm.close_connection(connection);
            }
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                let Some(peer) = from_libp2p(&peer_id) else { return };
                if info.protocols.contains(&relay::HOP_PROTOCOL_NAME) {
                    self.on_relay_found(peer);
                }
                if info.protocols.contains(&crate::relay::PROTOCOL) {
                    self.on_lender_found(peer);
                }
            }
            BehaviourEvent::Relay(relay::Event::ReservationReqAccepted { src_peer_id, .. }) => {
                self.carry_for(&src_peer_id, true);
            }
            BehaviourEvent::Relay(
                relay::Event::ReservationTimedOut { src_peer_id }
                | relay::Event::ReservationClosed { src_peer_id },
            ) => {
                let gone = !self.swarm.is_connected(&src_peer_id);
                self.carry_for(&src_peer_id, !gone);
            }
            BehaviourEvent::Circuits(relay::client::Event::ReservationReqAccepted {
                relay_peer_id, ..
            }) => {
                if let Some(peer) = from_libp2p(&relay_peer_id) {
                    self.relays.accepted(peer);
                }
            }
            _ => {}
        }
    }

    async fn on_connected(
        &mut self,
        theirs: &libp2p::PeerId,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
    ) {
        let now = (self.clock)();
        let Some(peer) = from_libp2p(theirs) else {
            // No device of ours; it can't be signalled to.
            let _ = self.swarm.disconnect_peer_id(*theirs);
            return;
        };
        let Some(entry) = self.peers.entry(peer) else { return };
        if entry.hidden && !endpoint.is_relayed() {
            self.swarm.close_connection(connection);
            return;
        }
        entry.finding.found();
        entry.roads.extend(Road::of(now, connection, endpoint));
        self.parts.media.set_hosts(peer, entry.hosts());
        for stale in std::mem::take(&mut entry.stale) {
            self.swarm.close_connection(stale);
        }
        let (kept, anchor) = (entry.wanted || entry.nearby, entry.anchor);
        if let ConnectedPoint::Dialer { address, .. } = endpoint {
            let address = bare(address.clone());
            entry.straight = (!addresses::is_relayed(&address)).then(|| address.clone());
            entry.finding.learn(now, address.clone(), Source::Worked, addresses::way_of(&address));
            self.tell(NetEvent::ReachedAt { peer, address }).await;
        }
        if kept {
            self.open_stream(peer);
        }
        if kept || anchor {
            self.ask_for_entry(peer);
        }
    }

    fn on_disconnected(&mut self, peer: PeerId) {
        let now = (self.clock)();
        self.on_lender_gone(peer);
        if let Some(listener) = self.relays.left(now, peer) {
            self.swarm.remove_listener(listener);
        }
        let Some(entry) = self.peers.get_mut(peer) else { return };
        entry.straight = None;
        // At once: most ends are restarts and changes of network.
        if entry.is_kept() && matches!(entry.outgoing, Outgoing::None) {
            entry.finding.want(now);
        }
    }

    /// A device that we dialled serves as a relay. Only friends and anchors are asked: a stranger would learn who reaches us.
    fn on_relay_found(&mut self, peer: PeerId) {
        let now = (self.clock)();
        if let Some(entry) = self.peers.get_mut(peer)
            && (entry.wanted || entry.anchor)
            && let Some(address) = entry.straight.clone()
        {
            self.relays.serves(now, peer, address);
        }
    }

    async fn on_nearby(&mut self, peer: &libp2p::PeerId, address: Multiaddr) {
        let Some(peer) = from_libp2p(peer) else { return };
        let now = (self.clock)();
        let fresh = self.learn(peer, vec![address], Source::Lan);
        let Some(entry) = self.peers.entry(peer) else { return };
        let first = !std::mem::replace(&mut entry.nearby, true);
        if matches!(entry.outgoing, Outgoing::Open) {
            self.announce(peer).await;
        } else if first || fresh {
            self.seek(now, peer);
        }
    }

    async fn on_expired(&mut self, peer: &libp2p::PeerId, address: &Multiaddr) {
        let Some(peer) = from_libp2p(peer) else { return };
        let Some(entry) = self.peers.get_mut(peer) else { return };
        entry.finding.unlearn(&bare(address.clone()), Source::Lan);
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

    async fn announce(&mut self, peer: PeerId) {
        let Some(entry) = self.peers.get_mut(peer) else { return };
        if entry.nearby && !std::mem::replace(&mut entry.announced, true) {
            let addresses = entry.finding.addresses().cloned().collect();
            self.tell(NetEvent::Nearby { peer, addresses }).await;
        }
    }

    /// The gateway passes other ports on than before. What it says is told to contacts; whether it is so, others find out.
    async fn on_mapped(&mut self, mapped: Mapped) {
        self.parts.media.map(&mapped.ports);
        self.mapped = mapped;
        let outside = self.outside();
        if let Some(reached) = self.swarm.behaviour_mut().reached.as_mut() {
            for addr in &outside {
                reached
                    .on_swarm_event(FromSwarm::NewExternalAddrCandidate(NewExternalAddrCandidate { addr }));
            }
        }
        self.offer_splices();
        self.tell_addresses().await;
    }

    /// Where the world reaches us because a gateway passes it on.
    fn outside(&self) -> BTreeSet<Multiaddr> {
        self.listening.iter().filter_map(|a| addresses::outside(a, &self.mapped.ports)).collect()
    }

    fn unlisten(&mut self, address: &Multiaddr) {
        self.listening.remove(address);
        if self.public.remove(address) {
            self.swarm.remove_external_address(address);
        }
    }

    async fn tell_addresses(&mut self) {
        if let Some(mapping) = &self.parts.mapping {
            let ports: BTreeSet<Port> = self.listening.iter().filter_map(addresses::port_of).collect();
            mapping.ports(self.parts.media.ports().chain(ports).collect());
        }
        let mut listening: Vec<Multiaddr> = self.public.iter().cloned().collect();
        let outside = self.outside();
        listening.extend(outside.into_iter().filter(|a| !self.public.contains(a)));
        listening.extend(self.listening.iter().filter(|a| !self.public.contains(a)).map(bare_circuit));
        listening.dedup();
        self.parts.table.listens(&listening);
        self.tell(NetEvent::Addresses(listening)).await;
    }

    async fn tell(&mut self, event: NetEvent) {
        // Nobody listens only while the daemon stops.
        let _ = self.parts.events.send(event).await;
    }

    fn outlets(&self) -> std::sync::MutexGuard<'_, BTreeMap<PeerId, mpsc::Sender<Vec<u8>>>> {
        self.parts.outlets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A circuit address of ours without ourselves at its end, as all other addresses are kept.
fn bare_circuit(address: &Multiaddr) -> Multiaddr {
    if addresses::is_relayed(address) { bare(address.clone()) } else { address.clone() }
}

fn warn(events: &mpsc::Sender<NetEvent>, text: String) {
    tracing::warn!("{text}");
    // A full queue has more urgent things in it.
    let _ = events.try_send(NetEvent::Warning { text });
}
