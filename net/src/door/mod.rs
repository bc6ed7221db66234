//! The door for networks that let only the web through: TCP, TLS and WebSocket on a port of choice, direct or through an
//! HTTP proxy. Signalling, lanes of media, and lanes that a relay joins all come in by it.
//!
//! ```text
//! TCP [through CONNECT] > TLS (camouflage) > WebSocket > purpose > what the purpose says
//!   1 swarm   libp2p's own negotiation, TLS and yamux
//!   2 lane    TLS of the two devices, then datagrams (lanes.rs)
//!   3 meet    the key of a device that is reachable through this relay; then as 2, end to end
//!   4 join    the ticket that the relay sent that device; then as 2, end to end
//! ```

mod camouflage;
mod proxy;
mod splice;
mod transport;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ahoy_base::{Moment, PeerId};
use ahoy_net_core::find::{Allowance, Knocks};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

use crate::lanes::Accepted;
pub(crate) use camouflage::Stream;
pub use proxy::{Proxy, ProxyError, ProxyTrouble};
pub(crate) use splice::{SPLICE_PROTOCOL, Splices, Ticket};
pub(crate) use transport::DoorTransport;

/// Knocks at this door. A handshake costs 1 ms of a core: all of them together a tenth of one. A call has four lanes,
/// each through a relay twice.
const KNOCKS: Allowance = Allowance { burst: 64, a_second: 8, of_all: 100 };
/// Handshakes under way at once.
const MAX_SETUPS: usize = 64;
/// How long a connection may take to say what it wants.
const PURPOSE_TIME: Duration = Duration::from_secs(5);
/// How long TCP may take to connect.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Lanes that came in and nobody took yet.
pub(crate) const MAX_ACCEPTED: usize = 32;

/// What a connection is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// A connection of the swarm.
    Swarm,
    /// A lane of a link to this device.
    Lane,
    /// A lane to a device that is reachable through this one.
    Meet(PeerId),
    /// The answer to a [`Purpose::Meet`].
    Join(Ticket),
}

/// Where a door is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DoorAddress {
    /// A name or an IP address.
    pub(crate) host: String,
    /// TCP port.
    pub(crate) port: u16,
}

/// What all doors of this device share.
#[derive(Clone)]
pub(crate) struct Door {
    shared: Arc<Shared>,
}

struct Shared {
    camouflage: camouflage::Camouflage,
    proxy: Option<Proxy>,
    trouble: Mutex<Option<ProxyTrouble>>,
    knocks: Mutex<Knocks>,
    setups: Arc<Semaphore>,
    clock: fn() -> Moment,
    /// Lanes that others opened to us.
    lanes: mpsc::Sender<Accepted>,
    splices: Splices,
}

impl Door {
    /// `lanes` gets what others open to us; `splices` is what we join for others.
    ///
    /// # Errors
    /// When no certificate can be made.
    pub(crate) fn new(
        proxy: Option<Proxy>,
        clock: fn() -> Moment,
        lanes: mpsc::Sender<Accepted>,
        splices: Splices,
    ) -> Result<Door, String> {
        let shared = Shared {
            camouflage: camouflage::Camouflage::new()?,
            proxy,
            trouble: Mutex::default(),
            knocks: Mutex::new(Knocks::new(clock(), KNOCKS)),
            setups: Arc::new(Semaphore::new(MAX_SETUPS)),
            clock,
            lanes,
            splices,
        };
        Ok(Door { shared: Arc::new(shared) })
    }

    /// What the proxy did at the last try, if it was not what it should.
    pub(crate) fn proxy_trouble(&self) -> Option<ProxyTrouble> {
        *self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a connection to somebody's door and says what it is for; the address it leads to comes with it.
    ///
    /// # Errors
    /// When nobody is there, or the proxy opens no tunnel.
    pub(crate) async fn dial(&self, at: &DoorAddress, purpose: &Purpose) -> io::Result<(Stream, SocketAddr)> {
        let tcp = match &self.shared.proxy {
            Some(proxy) => {
                let tunnel = proxy.tunnel(&at.host, at.port).await;
                let trouble = tunnel.as_ref().err().and_then(proxy::trouble_of);
                *self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
                tunnel?
            }
            None => tokio::time::timeout(CONNECT_TIME, TcpStream::connect((at.host.as_str(), at.port)))
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??,
        };
        // Behind a proxy we are connected with the proxy; the address that we asked for says more.
        let remote = match at.host.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, at.port),
            Err(_) => tcp.peer_addr()?,
        };
        let mut stream = self.shared.camouflage.dial(tcp, &at.host).await?;
        stream.write_all(&purpose.encode()).await?;
        stream.flush().await?;
        Ok((stream, remote))
    }

    /// Listens until dropped; connections of the swarm go to `swarm`.
    async fn listen(self, listener: TcpListener, swarm: mpsc::Sender<(Stream, SocketAddr, SocketAddr)>) {
        loop {
            let (tcp, remote) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, mostly: better late than spinning.
                    tracing::debug!(%error, "a connection could not be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let let_in = self
                .shared
                .knocks
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .lets_in((self.shared.clock)(), remote.ip());
            let Ok(permit) = Arc::clone(&self.shared.setups).try_acquire_owned() else { continue };
            if !let_in {
                continue;
            }
            let (door, swarm) = (self.clone(), swarm.clone());
            tokio::spawn(async move {
                let (local, result) = (tcp.local_addr(), door.set_up(tcp).await);
                drop(permit);
                match (result, local) {
                    (Ok((purpose, stream)), Ok(local)) => {
                        door.take(purpose, stream, remote, local, &swarm).await
                    }
                    (Err(error), _) | (_, Err(error)) => {
                        tracing::debug!(%error, "a connection said nothing of use")
                    }
                }
            });
        }
    }

    async fn set_up(&self, tcp: TcpStream) -> io::Result<(Purpose, Stream)> {
        let mut stream = self.shared.camouflage.accept(tcp).await?;
        let purpose = tokio::time::timeout(PURPOSE_TIME, Purpose::read(&mut stream))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok((purpose, stream))
    }

    async fn take(
        &self,
        purpose: Purpose,
        stream: Stream,
        remote: SocketAddr,
        local: SocketAddr,
        swarm: &mpsc::Sender<(Stream, SocketAddr, SocketAddr)>,
    ) {
        match purpose {
            // Full or gone: the connection closes, and its other end tries again.
            Purpose::Swarm => drop(swarm.try_send((stream, remote, local))),
            Purpose::Lane => drop(self.shared.lanes.try_send(Accepted::Door(stream, remote))),
            Purpose::Meet(peer) => self.shared.splices.meet(peer, stream).await,
            Purpose::Join(ticket) => self.shared.splices.join(ticket, stream),
        }
    }
}

impl Purpose {
    fn encode(&self) -> Vec<u8> {
        match self {
            Purpose::Swarm => vec![1],
            Purpose::Lane => vec![2],
            Purpose::Meet(peer) => [&[3], &peer.public_key()[..]].concat(),
            Purpose::Join(ticket) => [&[4], &ticket[..]].concat(),
        }
    }

    async fn read(stream: &mut Stream) -> io::Result<Purpose> {
        Ok(match stream.read_u8().await? {
            1 => Purpose::Swarm,
            2 => Purpose::Lane,
            3 => {
                let mut key = [0u8; 32];
                stream.read_exact(&mut key).await?;
                Purpose::Meet(PeerId::from_public_key(key))
            }
            4 => {
                let mut ticket = Ticket::default();
                stream.read_exact(&mut ticket).await?;
                Purpose::Join(ticket)
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        })
    }
}

impl DoorAddress {
    /// The door that an address names: `/ip4|ip6|dns…/tcp/PORT/tls/ws` or `…/wss`, whatever follows.
    #[expect(clippy::wildcard_enum_match_arm, reason = "of libp2p's protocols these say who is there")]
    pub(crate) fn of(address: &Multiaddr) -> Option<DoorAddress> {
        let mut parts = address.iter();
        let host = match parts.next()? {
            Protocol::Ip4(ip) => ip.to_string(),
            Protocol::Ip6(ip) => ip.to_string(),
            Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => name.into_owned(),
            _ => return None,
        };
        let Protocol::Tcp(port) = parts.next()? else { return None };
        match (parts.next()?, parts.next()) {
            (Protocol::Wss(_), _) | (Protocol::Tls, Some(Protocol::Ws(_))) => {
                Some(DoorAddress { host, port })
            }
            _ => None,
        }
    }

    /// The doors among some addresses, each once.
    pub(crate) fn all<'a>(addresses: impl Iterator<Item = &'a Multiaddr>) -> Vec<DoorAddress> {
        let mut seen = BTreeSet::new();
        addresses.filter_map(DoorAddress::of).filter(|d| seen.insert((d.host.clone(), d.port))).collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn doors_are_told_from_other_addresses() {
        for (address, door) in [
            ("/ip4/203.0.113.9/tcp/443/tls/ws", Some(("203.0.113.9", 443))),
            ("/dns4/relay.example.org/tcp/443/wss", Some(("relay.example.org", 443))),
            ("/ip6/2001:db8::1/tcp/443/tls/ws/p2p-circuit", Some(("2001:db8::1", 443))),
            ("/ip4/203.0.113.9/tcp/443", None),
            ("/ip4/203.0.113.9/udp/443/quic-v1", None),
            ("/ip4/203.0.113.9/tcp/443/ws", None),
        ] {
            let found = DoorAddress::of(&address.parse().unwrap());
            assert_eq!(found.as_ref().map(|d| (d.host.as_str(), d.port)), door, "{address}");
        }
    }

    #[tokio::test]
    async fn a_purpose_is_read_as_it_was_written_and_nonsense_is_refused() {
        let peer = PeerId::from_public_key([9; 32]);
        for purpose in [Purpose::Swarm, Purpose::Lane, Purpose::Meet(peer), Purpose::Join([7; 16])] {
            let mut stream: Stream =
                Box::pin(tokio::io::join(io::Cursor::new(purpose.encode()), tokio::io::sink()));
            assert_eq!(Purpose::read(&mut stream).await.unwrap(), purpose);
        }
        for bytes in [&[0u8][..], &[5], &[3, 1, 2], &[]] {
            let mut stream: Stream =
                Box::pin(tokio::io::join(io::Cursor::new(bytes.to_vec()), tokio::io::sink()));
            assert!(Purpose::read(&mut stream).await.is_err());
        }
    }
}
