//! Our QUIC endpoint for media: certificates bound to the PeerId, silent to everybody who is not in a call with us.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ahoy_base::{LinkId, Moment, PeerId};
use ahoy_net_core::mapping::{Port, Transport};
use ahoy_net_core::path::nat::{self, Observed};
use ahoy_net_core::session::{LinkSide, PathKind};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{AckFrequencyConfig, Endpoint, EndpointConfig, IdleTimeout, TransportConfig, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;

use crate::addresses;
use crate::congestion::MediaControllerFactory;
use crate::error::{Error, LinkError};
use crate::identity::{from_libp2p, to_libp2p};
use crate::link::Carrier as _;
use crate::link::Link;
use crate::quic_link::QuicLink;
use crate::udp_socket::UdpPort;
use ahoy_net_core::path::is_relayed;

/// TLS application protocol: a media port never speaks libp2p by accident.
const ALPN: &[u8] = b"ahoy-media/1";
/// The server name of libp2p certificates, which carry no name: the verifier looks at the key alone.
const SERVER_NAME: &str = "l";
/// Datagrams QUIC may hold back while its task waits for the processor: a burst of the pacer on a busy machine. What is sent
/// is paced above, so nothing stands here for long.
const SEND_BUFFER: usize = 40 * 1_200;
/// Received datagrams that may wait for us while the task is busy.
const RECEIVE_BUFFER: usize = 256 * 1024;
/// Silence after which a link is dead for QUIC; the session above notices after 3 s.
const IDLE: VarInt = VarInt::from_u32(15_000);
/// Our own reports tell what came, so QUIC's are seldom: a third of all packets else.
const ACK_AFTER: VarInt = VarInt::from_u32(50);
const ACK_WITHIN: Duration = Duration::from_millis(100);
/// What a round trip is taken to last before it is measured: a lost first packet is sent again after three of it.
const FIRST_RTT: Duration = Duration::from_millis(25);
/// NAT mappings of UDP live 30 s or longer.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Handshakes of others that may be under way at once.
const MAX_INCOMING: usize = 64;
/// Bytes they may send before we looked at them.
const INCOMING_BYTES: u64 = 64 * 1024;
/// How long an address is believed at which somebody saw us: shorter than a NAT forgets.
const SEEN_FOR: Duration = Duration::from_secs(60);
/// Such addresses at once.
const MAX_SEEN: usize = 4;
/// How long a dialled address may take.
const DIAL_TIME: Duration = Duration::from_secs(5);

/// The media endpoint of this device.
#[derive(Clone, Debug)]
pub(crate) struct Media {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    keypair: libp2p::identity::Keypair,
    server: quinn::ServerConfig,
    endpoint: Endpoint,
    port: Arc<UdpPort>,
    /// Where others see us, and until when that is believed.
    seen: Mutex<BTreeMap<SocketAddr, Moment>>,
    /// What that says of the NAT before us.
    observed: Mutex<Observed>,
    /// Where a gateway passes on to us.
    mapped: Mutex<Vec<SocketAddr>>,
    armed: Mutex<BTreeMap<PeerId, usize>>,
    /// Where signalling reaches devices, nobody in between.
    hosts: Mutex<BTreeMap<PeerId, Vec<IpAddr>>>,
    /// Whom our address is hidden from.
    hidden: Mutex<BTreeSet<PeerId>>,
    next_link: AtomicU32,
    clock: fn() -> Moment,
}

impl Media {
    /// Opens a socket on each of `listen`; one is enough. Links that others open come out of `incoming`.
    pub(crate) fn open(
        keypair: libp2p::identity::Keypair,
        listen: &[SocketAddr],
        clock: fn() -> Moment,
        incoming: &mpsc::Sender<Link>,
    ) -> Result<Media, Error> {
        let server = server_config(&keypair)?;
        let (mut sockets, mut failure) = (Vec::new(), io::Error::from(io::ErrorKind::AddrNotAvailable));
        for address in listen {
            match open_socket(*address) {
                Ok(socket) => sockets.push(socket),
                Err(error) => {
                    tracing::info!(%error, "an address can't be used for calls; the others can");
                    failure = error;
                }
            }
        }
        if sockets.is_empty() {
            return Err(Error::Media(failure));
        }
        let port = Arc::new(UdpPort::new(sockets, clock).map_err(Error::Media)?);
        let endpoint = open_endpoint(port.clone()).map_err(Error::Media)?;
        let shared = Shared {
            keypair,
            server,
            endpoint,
            port,
            seen: Mutex::default(),
            observed: Mutex::default(),
            mapped: Mutex::default(),
            armed: Mutex::default(),
            hosts: Mutex::default(),
            hidden: Mutex::default(),
            next_link: AtomicU32::new(1),
            clock,
        };
        let media = Media { shared: Arc::new(shared) };
        tokio::spawn(accept_all(media.clone(), incoming.clone()));
        Ok(media)
    }

    /// Takes links of `peer` from here on. As often as it is armed it must be disarmed.
    pub(crate) fn arm(&self, peer: PeerId) {
        let mut armed = self.armed();
        if armed.is_empty() {
            self.answer(Some(self.shared.server.clone()));
        }
        *armed.entry(peer).or_insert(0) += 1;
        drop(armed);
        self.welcome_hosts();
    }

    /// Takes no more links of `peer`.
    pub(crate) fn disarm(&self, peer: PeerId) {
        let mut armed = self.armed();
        if let Some(n) = armed.get_mut(&peer) {
            *n -= 1;
            if *n == 0 {
                armed.remove(&peer);
                if armed.is_empty() {
                    self.answer(None);
                }
            }
        }
        drop(armed);
        self.welcome_hosts();
    }

    /// Signalling reaches `peer` at `hosts`, nobody in between.
    pub(crate) fn set_hosts(&self, peer: PeerId, hosts: Vec<IpAddr>) {
        let mut all = self.all_hosts();
        if hosts.is_empty() {
            all.remove(&peer)
        } else {
            all.insert(peer, hosts)
        };
        drop(all);
        self.welcome_hosts();
    }

    /// Where signalling reaches `peer`, nobody in between.
    pub(crate) fn hosts(&self, peer: PeerId) -> Vec<IpAddr> {
        self.all_hosts().get(&peer).cloned().unwrap_or_default()
    }

    /// Links of those who are expected are taken from where they are already met.
    fn welcome_hosts(&self) {
        let armed = self.armed();
        let hosts = self.all_hosts();
        let welcome = armed.keys().filter_map(|peer| hosts.get(peer)).flatten().copied().collect();
        self.shared.port.set_hosts(welcome);
    }

    fn all_hosts(&self) -> std::sync::MutexGuard<'_, BTreeMap<PeerId, Vec<IpAddr>>> {
        self.shared.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether links of `peer` are taken.
    pub(crate) fn expects(&self, peer: PeerId) -> bool {
        self.armed().contains_key(&peer)
    }

    /// Hides our address from `peer`, or no longer: links with it lead through relays.
    pub(crate) fn hide_from(&self, peer: PeerId, on: bool) {
        let mut hidden = self.shared.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        if on {
            hidden.insert(peer)
        } else {
            hidden.remove(&peer)
        };
    }

    /// Whether our address is hidden from `peer`.
    pub(crate) fn hides_from(&self, peer: PeerId) -> bool {
        self.shared.hidden.lock().unwrap_or_else(PoisonError::into_inner).contains(&peer)
    }

    /// Whether links of anybody are taken.
    pub(crate) fn expects_any(&self) -> bool {
        !self.armed().is_empty()
    }

    /// The number of the next link of this device.
    pub(crate) fn next_id(&self) -> LinkId {
        LinkId::new(self.shared.next_link.fetch_add(1, Ordering::Relaxed))
    }

    /// Without a server's configuration QUIC answers nobody, not even with the versions it speaks.
    fn answer(&self, server: Option<quinn::ServerConfig>) {
        self.shared.endpoint.set_server_config(server);
    }

    /// Opens a link to `peer` at `address`.
    pub(crate) async fn dial(&self, peer: PeerId, address: SocketAddr) -> Result<Link, LinkError> {
        let hidden = !is_relayed(address) && self.hides_from(peer);
        if hidden || !self.shared.port.reaches(address) {
            return Err(LinkError::NoSocket);
        }
        self.shared.port.welcome(address);
        let config =
            client_config(&self.shared.keypair, peer).map_err(|e| LinkError::Failed(e.to_string()))?;
        let connecting = self
            .shared
            .endpoint
            .connect_with(config, address, SERVER_NAME)
            .map_err(|error| LinkError::Failed(error.to_string()))?;
        let connection = tokio::time::timeout(DIAL_TIME, connecting)
            .await
            .map_err(|_| LinkError::Failed("no answer".to_owned()))?
            .map_err(|error| LinkError::Failed(error.to_string()))?;
        if peer_of(&connection) != Some(peer) {
            connection.close(1u32.into(), b"another device was expected");
            return Err(LinkError::WrongPeer);
        }
        Ok(self.link(peer, LinkSide::Dialer, connection))
    }

    /// Where others may reach our sockets: the machine's addresses, best first, then those that a gateway passes on to us, then
    /// those that others see.
    pub(crate) fn candidates(&self) -> Vec<SocketAddr> {
        let mut all = self.own();
        let mapped = self.shared.mapped.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.extend(mapped);
        let now = self.now();
        let mut seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, until| now < *until);
        let others = seen.keys().filter(|a| !all.contains(a)).copied().collect::<Vec<_>>();
        all.extend(others);
        all
    }

    /// Our sockets at the addresses that the machine knows of itself, best first.
    fn own(&self) -> Vec<SocketAddr> {
        let mut all = Vec::new();
        for local in self.shared.port.bound() {
            if !local.ip().is_unspecified() {
                all.push(local);
                continue;
            }
            let same_family = |ip: &IpAddr| ip.is_ipv4() == local.is_ipv4();
            let machine = addresses::of_this_machine().into_iter().filter(same_family);
            all.extend(machine.map(|ip| SocketAddr::new(ip, local.port())));
        }
        // A machine with addresses beside loopback has no use for loopback.
        if all.iter().any(|a| !a.ip().is_loopback()) {
            all.retain(|a| !a.ip().is_loopback());
        }
        all
    }

    /// The ports below QUIC that a gateway could pass on to us.
    pub(crate) fn ports(&self) -> impl Iterator<Item = Port> + '_ {
        let far = |local: &SocketAddr| local.is_ipv4() && !local.ip().is_loopback();
        let port = |local: SocketAddr| Port { transport: Transport::Udp, number: local.port() };
        self.shared.port.bound().filter(far).map(port)
    }

    /// A gateway passes these on to us, and no others.
    pub(crate) fn map(&self, mapped: &[(Port, SocketAddr)]) {
        let ours =
            |(port, outside): &(Port, SocketAddr)| self.ports().any(|p| p == *port).then_some(*outside);
        *self.shared.mapped.lock().unwrap_or_else(PoisonError::into_inner) =
            mapped.iter().filter_map(ours).collect();
    }

    /// Somebody at `by` sees our port at `address`.
    pub(crate) fn seen_as(&self, by: SocketAddr, address: SocketAddr) {
        let until = self.now() + SEEN_FOR;
        let own = self.own();
        let mut observed = self.shared.observed.lock().unwrap_or_else(PoisonError::into_inner);
        observed.note(self.now(), by, address, &own);
        drop(observed);
        let mut seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < MAX_SEEN || seen.contains_key(&address) {
            seen.insert(address, until);
        }
    }

    /// After a change of network nobody sees us where we were seen.
    pub(crate) fn forget_seen(&self) {
        self.shared.observed.lock().unwrap_or_else(PoisonError::into_inner).forget();
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How a NAT before us maps our port, as far as those who saw us tell.
    pub(crate) fn nat(&self) -> nat::Mapping {
        self.shared.observed.lock().unwrap_or_else(PoisonError::into_inner).mapping()
    }

    /// The UDP port below QUIC.
    pub(crate) fn port(&self) -> &Arc<UdpPort> {
        &self.shared.port
    }

    /// Our clock.
    pub(crate) fn now(&self) -> Moment {
        (self.shared.clock)()
    }

    /// Closes all links and sockets.
    pub(crate) async fn shut_down(&self) {
        self.shared.endpoint.close(0u32.into(), b"stopping");
        self.shared.endpoint.wait_idle().await;
    }

    fn link(&self, peer: PeerId, side: LinkSide, connection: quinn::Connection) -> Link {
        let id = self.next_id();
        let carrier = QuicLink { connection, port: self.shared.port.clone(), clock: self.shared.clock };
        let kind = if is_relayed(carrier.route()) { PathKind::Relay } else { PathKind::Direct };
        Link::new(id, peer, side, kind, carrier)
    }

    fn armed(&self) -> std::sync::MutexGuard<'_, BTreeMap<PeerId, usize>> {
        // The map is never left half changed, so a panic elsewhere does not spoil it.
        self.shared.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept_all(media: Media, links: mpsc::Sender<Link>) {
    while let Some(incoming) = media.shared.endpoint.accept().await {
        let (media, links) = (media.clone(), links.clone());
        tokio::spawn(async move {
            let Ok(connecting) = incoming.accept() else { return };
            let Ok(Ok(connection)) = tokio::time::timeout(DIAL_TIME, connecting).await else { return };
            match peer_of(&connection) {
                Some(peer) if media.armed().contains_key(&peer) => {
                    let link = media.link(peer, LinkSide::Acceptor, connection);
                    if links.send(link).await.is_err() {
                        tracing::debug!("a link came in while the network stops");
                    }
                }
                Some(_) | None => connection.close(1u32.into(), b"no call"),
            }
        });
    }
}

/// Who the certificate of the other side belongs to. rustls has verified it; this reads it.
fn peer_of(connection: &quinn::Connection) -> Option<PeerId> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    let certificate = libp2p_tls::certificate::parse(chain.first()?).ok()?;
    from_libp2p(&certificate.peer_id())
}

fn open_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    if address.is_ipv6() {
        // Two sockets, one a family: addresses then always mean what they say.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(UdpSocket::from(socket))
}

fn open_endpoint(port: Arc<UdpPort>) -> io::Result<Endpoint> {
    let mut config = EndpointConfig::default();
    // Other packets share the port (RFC 9443); a greased bit would make them look alike.
    config.grease_quic_bit(false);
    config.cid_generator(|| Box::new(quinn_proto::RandomConnectionIdGenerator::new(4)));
    Endpoint::new_with_abstract_socket(config, None, port, Arc::new(quinn::TokioRuntime))
}

fn transport() -> Arc<TransportConfig> {
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(ACK_AFTER).max_ack_delay(Some(ACK_WITHIN));
    let mut transport = TransportConfig::default();
    transport
        .ack_frequency_config(Some(acks))
        .datagram_send_buffer_size(SEND_BUFFER)
        .datagram_receive_buffer_size(Some(RECEIVE_BUFFER))
        .max_idle_timeout(Some(IdleTimeout::from(IDLE)))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(1))
        .stream_receive_window(VarInt::from_u32(4_096))
        .receive_window(VarInt::from_u32(8_192))
        .initial_rtt(FIRST_RTT)
        .send_fairness(false)
        .allow_spin(false)
        .congestion_controller_factory(Arc::new(MediaControllerFactory));
    Arc::new(transport)
}

fn server_config(keypair: &libp2p::identity::Keypair) -> Result<quinn::ServerConfig, Error> {
    let mut tls = libp2p_tls::make_server_config(keypair).map_err(|e| Error::Tls(e.to_string()))?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    // libp2p-tls would write the secrets wherever SSLKEYLOGFILE says.
    tls.key_log = Arc::new(rustls::NoKeyLog);
    let crypto = QuicServerConfig::try_from(tls).map_err(|e| Error::Tls(e.to_string()))?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(transport())
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES * 16);
    Ok(config)
}

fn client_config(keypair: &libp2p::identity::Keypair, peer: PeerId) -> Result<quinn::ClientConfig, Error> {
    let expected = to_libp2p(peer).ok_or(Error::Key)?;
    let mut tls =
        libp2p_tls::make_client_config(keypair, Some(expected)).map_err(|e| Error::Tls(e.to_string()))?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.key_log = Arc::new(rustls::NoKeyLog);
    let crypto = QuicClientConfig::try_from(tls).map_err(|e| Error::Tls(e.to_string()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport());
    Ok(config)
}
