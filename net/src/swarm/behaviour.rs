//! What the swarm is made of: transports, protocols, and the limits of each door.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use ahoy_base::{Moment, PeerId};
use ahoy_net_core::find::{Allowance, Knocks};
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm, dummy,
};
use libp2p::{Multiaddr, Swarm, autonat, connection_limits, identify, identity, mdns, ping, relay};

use super::reachability::Reachability;
use crate::addresses;
use crate::error::Error;
use crate::identity::from_libp2p;
use crate::quic_endpoint::Media;
use crate::{NetConfig, RelayRole};

/// A connection without a stream is closed after this.
const IDLE: Duration = Duration::from_secs(30);
/// Signs of life are asked for this often, and must come within [`PING_TIME`].
const PING_EVERY: Duration = Duration::from_secs(5);
/// See [`PING_EVERY`]: together a dead connection is noticed within about 10 s.
const PING_TIME: Duration = Duration::from_secs(5);
/// Knocks at the swarm's door. A handshake costs 1 ms of a core: all of them together a tenth of one.
const KNOCKS: Allowance = Allowance { burst: 30, a_second: 5, of_all: 100 };
/// Connections of strangers; contacts come on top of them.
const MAX_STRANGERS: u32 = 128;
/// Connections with one device: QUIC, TCP, one through a relay, and one that replaces another.
const MAX_PER_PEER: u32 = 4;
/// A circuit carries a call when nothing else does: four hours of it, as a person would expect (decision 0055).
const CIRCUIT_TIME: Duration = Duration::from_secs(4 * 3_600);
/// Both directions together: four hours of voice at 100 kbit/s each way, with room.
const CIRCUIT_BYTES: u64 = 512 * 1024 * 1024;
/// Circuits at once; at 200 kbit/s each that is 13 Mbit/s.
const MAX_CIRCUITS: usize = 64;
/// Circuits of one device at once.
const MAX_CIRCUITS_PER_PEER: usize = 8;
/// Devices that may be reached through us at once.
const MAX_RESERVATIONS: usize = 256;
/// Of one device: it has two while it moves to another network.
const MAX_RESERVATIONS_PER_PEER: usize = 2;

/// Devices whose person is in the address book, or was called by this one: they use our relay and pass the limits of strangers.
pub(crate) type Friends = Arc<Mutex<BTreeSet<PeerId>>>;

#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    /// First: what it refuses costs the others nothing.
    pub(super) knocks: Doorkeeper,
    pub(super) limits: connection_limits::Behaviour,
    pub(super) identify: identify::Behaviour,
    pub(super) ping: ping::Behaviour,
    pub(super) mdns: Toggle<mdns::tokio::Behaviour>,
    pub(super) stream: libp2p_stream::Behaviour,
    pub(super) circuits: relay::client::Behaviour,
    pub(super) relay: Toggle<relay::Behaviour>,
    pub(super) reached: Toggle<Reachability>,
    pub(super) reaches: Toggle<autonat::v2::server::Behaviour>,
}

/// Builds the swarm.
pub(super) fn build(
    keypair: identity::Keypair,
    config: &NetConfig,
    friends: &Friends,
    media: &Media,
    door: crate::door::DoorTransport,
) -> Result<Swarm<Behaviour>, Error> {
    let failed = |what: &str, error: &dyn std::fmt::Display| Error::Swarm(format!("{what}: {error}"));
    let tcp = libp2p::tcp::Config::default().nodelay(true);
    let tls = libp2p::tls::Config::new;
    let yamux = libp2p::yamux::Config::default;
    let (config, friends, media) = (config.clone(), Arc::clone(friends), media.clone());
    Ok(libp2p::SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp, tls, yamux)
        .map_err(|e| failed("TLS", &e))?
        .with_quic_config(|mut quic| {
            quic.keep_alive_interval = Duration::from_secs(4);
            quic.max_idle_timeout = 12_000;
            quic
        })
        .with_other_transport(|key| door.secured(key))
        .map_err(|e| failed("TLS", &e))?
        .with_dns()
        .map_err(|e| failed("names", &e))?
        .with_relay_client(tls, yamux)
        .map_err(|e| failed("TLS", &e))?
        .with_behaviour(|key, circuits| behaviour(key, circuits, &config, friends, media))
        .map_err(|e| failed("behaviour", &e))?
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(IDLE))
        .build())
}

fn behaviour(
    keypair: &identity::Keypair,
    circuits: relay::client::Behaviour,
    config: &NetConfig,
    friends: Friends,
    media: Media,
) -> Behaviour {
    let own = keypair.public().to_peer_id();
    // Who is no relay has no use for knowing whether it could be one, and nobody learns its address from it.
    let serves = config.reach.relay != RelayRole::Off;
    let serving =
        |on: bool| on.then(|| relay::Behaviour::new(own, relay_config(config.reach.relay, friends)));
    let mut relay = serving(serves);
    if config.reach.relay.is_asked_for()
        && let Some(relay) = &mut relay
    {
        relay.set_status(Some(relay::Status::Enable));
    }
    Behaviour {
        knocks: Doorkeeper { knocks: Knocks::new((config.clock)(), KNOCKS), clock: config.clock },
        limits: connection_limits::Behaviour::new(
            connection_limits::ConnectionLimits::default()
                .with_max_pending_incoming(Some(32))
                .with_max_established_incoming(Some(MAX_STRANGERS))
                .with_max_established_per_peer(Some(MAX_PER_PEER)),
        ),
        // Addresses are told to contacts alone, in `Hello`; strangers that connect learn none.
        identify: identify::Behaviour::new(
            identify::Config::new("/ahoy/1".to_owned(), keypair.public())
                .with_agent_version("ahoy".to_owned())
                .with_hide_listen_addrs(true),
        ),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_EVERY).with_timeout(PING_TIME)),
        mdns: mdns(config, own).into(),
        stream: libp2p_stream::Behaviour::new(),
        circuits,
        relay: relay.into(),
        reached: serves.then(|| Reachability::new(media)).into(),
        reaches: serves.then(autonat::v2::server::Behaviour::default).into(),
    }
}

fn mdns(config: &NetConfig, own: libp2p::PeerId) -> Option<mdns::tokio::Behaviour> {
    if !config.mdns {
        return None;
    }
    mdns::tokio::Behaviour::new(mdns::Config::default(), own)
        .inspect_err(|error| {
            tracing::warn!(%error, "people on the local network can't be found; cards and addresses work");
        })
        .ok()
}

/// libp2p's own limits end a call after 12 s (2 min and 128 KiB both ways together); these do not.
fn relay_config(role: RelayRole, friends: Friends) -> relay::Config {
    let mut config = relay::Config {
        max_reservations: MAX_RESERVATIONS,
        max_reservations_per_peer: MAX_RESERVATIONS_PER_PEER,
        reservation_duration: Duration::from_secs(3_600),
        reservation_rate_limiters: Vec::new(),
        max_circuits: MAX_CIRCUITS,
        max_circuits_per_peer: MAX_CIRCUITS_PER_PEER,
        max_circuit_duration: CIRCUIT_TIME,
        max_circuit_bytes: CIRCUIT_BYTES,
        circuit_src_rate_limiters: Vec::new(),
    };
    if role != RelayRole::Public {
        // A reservation is what lets a device be reached through us; whoever calls one of our contacts may be a stranger to us.
        config.reservation_rate_limiters.push(Box::new(
            move |peer: libp2p::PeerId, _: &Multiaddr, _: std::time::Instant| {
                let friends = friends.lock().unwrap_or_else(PoisonError::into_inner);
                from_libp2p(&peer).is_some_and(|peer| friends.contains(&peer))
            },
        ));
    }
    let minute = Duration::from_secs(60);
    let Some((few, some)) = NonZeroU32::new(10).zip(NonZeroU32::new(60)) else { return config };
    config
        .reservation_rate_per_peer(few, minute)
        .reservation_rate_per_ip(some, minute)
        .circuit_src_per_peer(few, minute)
        .circuit_src_per_ip(some, minute)
}

/// Turns knocks away before they cost a handshake.
pub(super) struct Doorkeeper {
    knocks: Knocks,
    clock: fn() -> Moment,
}

/// Why a connection was refused; libp2p logs it.
#[derive(Debug, thiserror::Error)]
#[error("too many connections from there")]
struct TooMany;

impl NetworkBehaviour for Doorkeeper {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        // Through a relay there is no address to count; the relay counts there.
        let Some(ip) = addresses::ip_of(remote).filter(|_| !addresses::is_relayed(remote)) else {
            return Ok(());
        };
        if self.knocks.lets_in((self.clock)(), ip) { Ok(()) } else { Err(ConnectionDenied::new(TooMany)) }
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: libp2p::PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: libp2p::PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: libp2p::PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}
