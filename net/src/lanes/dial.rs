//! Opens and takes the lanes of a link: to the peer's door, to a relay's, or over the swarm's own connection.
//!
//! Inside each lane of a door the two devices speak TLS with the certificates of their PeerIds, so that whoever stands
//! between, a relay or a proxy that looks inside, sees nothing and can change nothing. Then the dialler says which lane of
//! which link it is. A lane over the swarm needs no TLS of its own: the swarm's connection is one, end to end.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ahoy_base::{Moment, PeerId};
use ahoy_net_core::session::{LinkSide, PathKind};
use futures::StreamExt;
use libp2p::StreamProtocol;
use libp2p::identity::Keypair;
use rustls::pki_types::{CertificateDer, ServerName};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::compat::FuturesAsyncReadCompatExt;

use super::{Halves, LANES, LaneLink};
use crate::door::{Door, DoorAddress, Purpose, Stream};
use crate::error::LinkError;
use crate::identity::{from_libp2p, to_libp2p};
use crate::link::Link;
use crate::quic_endpoint::Media;

/// The stream of one lane over the swarm's connection.
pub(crate) const MEDIA_PROTOCOL: StreamProtocol = StreamProtocol::new("/ahoy/media/1");
/// TLS application protocol inside a lane.
const ALPN: &[u8] = b"ahoy-lane/1";
/// The server name of libp2p certificates, which carry no name: the verifier looks at the key alone.
const SERVER_NAME: &str = "l";
/// Label of the keying material of a lane's TLS.
const EXPORTER: &[u8] = b"ahoy-lane/1";
/// How long opening all lanes of a link may take, a proxy and a relay on the way.
const DIAL_TIME: Duration = Duration::from_secs(10);
/// How often a lane over the swarm is opened again.
const LANE_TRIES: usize = 3;
/// Pause before that.
const LANE_AGAIN: Duration = Duration::from_millis(50);
/// How long lanes that have come wait for the others.
const GATHER_TIME: Duration = Duration::from_secs(10);
/// Handshakes of others under way at once.
const MAX_HANDSHAKES: usize = 32;
/// Links whose lanes are being gathered.
const MAX_GATHERED: usize = 16;
/// Doors of one device tried at once.
const MAX_DOORS: usize = 4;
/// What a lane says first: link (16), lane (1), and 32 random bytes that make the secret of lanes over the swarm.
const SETUP: usize = 16 + 1 + 32;

type LinkName = [u8; 16];

/// Certificates of this device for lanes.
#[derive(Clone)]
pub(crate) struct LaneKeys {
    keypair: Keypair,
    server: TlsAcceptor,
}

/// A lane that somebody opened.
pub(crate) enum Accepted {
    /// At our door.
    Door(Stream, SocketAddr),
    /// One that we fetched at a relay's door.
    Joined(Stream, SocketAddr),
    /// Over the swarm's connection with that device.
    Swarm(PeerId, libp2p::swarm::Stream, SocketAddr, PathKind),
}

/// Dials and gathers lanes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Lanes {
    shared: Arc<Shared>,
}

struct Shared {
    keys: LaneKeys,
    door: Door,
    media: Media,
    clock: fn() -> Moment,
    gathered: Mutex<BTreeMap<(PeerId, LinkName), Gathered>>,
    handshakes: Semaphore,
}

#[derive(Default)]
struct Gathered {
    lanes: [Option<Halves>; LANES],
    secret: Option<[u8; 32]>,
}

/// One lane on its way into a link.
struct Lane {
    number: usize,
    halves: Halves,
    /// Of lane 0: the secret of the link.
    secret: Option<[u8; 32]>,
}

impl LaneKeys {
    /// # Errors
    /// When no certificate can be made.
    pub(crate) fn new(keypair: &Keypair) -> Result<LaneKeys, String> {
        let mut server = libp2p_tls::make_server_config(keypair).map_err(|e| e.to_string())?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.key_log = Arc::new(rustls::NoKeyLog {});
        Ok(LaneKeys { keypair: keypair.clone(), server: Arc::new(server).into() })
    }

    fn client(&self, peer: PeerId) -> io::Result<TlsConnector> {
        let mut client =
            libp2p_tls::make_client_config(&self.keypair, to_libp2p(peer)).map_err(io::Error::other)?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.key_log = Arc::new(rustls::NoKeyLog {});
        Ok(Arc::new(client).into())
    }
}

impl Lanes {
    /// Links of others come out of `links` once all their lanes are there.
    pub(crate) fn start(
        keys: LaneKeys,
        door: Door,
        media: Media,
        clock: fn() -> Moment,
        mut accepted: mpsc::Receiver<Accepted>,
        links: mpsc::Sender<Link>,
    ) -> Lanes {
        let shared = Shared {
            keys,
            door,
            media,
            clock,
            gathered: Mutex::default(),
            handshakes: Semaphore::new(MAX_HANDSHAKES),
        };
        let lanes = Lanes { shared: Arc::new(shared) };
        let gather = lanes.clone();
        tokio::spawn(async move {
            while let Some(accepted) = accepted.recv().await {
                let (gather, links) = (gather.clone(), links.clone());
                tokio::spawn(async move {
                    if let Err(error) = gather.take(accepted, &links).await {
                        tracing::debug!(%error, "a lane came to nothing");
                    }
                });
            }
        });
        lanes
    }

    /// A link to `peer` over its own door, or over the door of a relay that reaches it; the first that stands.
    pub(crate) async fn dial_door(
        &self,
        peer: PeerId,
        doors: Vec<DoorAddress>,
        meet: bool,
    ) -> Result<Link, LinkError> {
        let mut tries: futures::stream::FuturesUnordered<_> =
            doors.iter().take(MAX_DOORS).map(|at| self.dial_one(peer, at, meet)).collect();
        let mut why = LinkError::NoSocket;
        while let Some(result) = tries.next().await {
            match result {
                Ok(link) => return Ok(link),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    async fn dial_one(&self, peer: PeerId, at: &DoorAddress, meet: bool) -> Result<Link, LinkError> {
        let purpose = if meet { Purpose::Meet(peer) } else { Purpose::Lane };
        let name = random::<16>().ok_or(LinkError::Closed)?;
        let open =
            futures::future::try_join_all((0..LANES).map(|lane| self.open(peer, at, &purpose, name, lane)));
        let lanes = tokio::time::timeout(DIAL_TIME, open)
            .await
            .map_err(|_| LinkError::Failed("no answer".to_owned()))?
            .map_err(|error| LinkError::Failed(error.to_string()))?;
        let remote = lanes.first().map(|(_, remote)| *remote).ok_or(LinkError::Closed)?;
        self.link(peer, LinkSide::Dialer, PathKind::Tcp, lanes.into_iter().map(|(lane, _)| lane), remote)
    }

    async fn open(
        &self,
        peer: PeerId,
        at: &DoorAddress,
        purpose: &Purpose,
        name: LinkName,
        lane: usize,
    ) -> io::Result<(Lane, SocketAddr)> {
        let (stream, remote) = self.shared.door.dial(at, purpose).await?;
        let server_name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        let mut tls = self.shared.keys.client(peer)?.connect(server_name, stream).await?;
        let setup = [&name[..], &[lane as u8], &[0; 32]].concat();
        tls.write_all(&setup).await?;
        tls.flush().await?;
        let secret = tls
            .get_ref()
            .1
            .export_keying_material([0u8; 32], EXPORTER, Some(&name))
            .map_err(io::Error::other)?;
        let (read, write) = tokio::io::split(tls);
        let halves: Halves = (Box::new(read), Box::new(write));
        Ok((Lane { number: lane, halves, secret: (lane == 0).then_some(secret) }, remote))
    }

    /// A link to `peer` over the connection that the swarm has with it.
    pub(crate) async fn dial_swarm(
        &self,
        peer: PeerId,
        mut control: libp2p_stream::Control,
        remote: SocketAddr,
        kind: PathKind,
    ) -> Result<Link, LinkError> {
        let failed = |error: io::Error| LinkError::Failed(error.to_string());
        let theirs = to_libp2p(peer).ok_or(LinkError::WrongPeer)?;
        let name = random::<16>().ok_or(LinkError::Closed)?;
        let open = async {
            let mut lanes = Vec::new();
            for number in 0..LANES {
                lanes.push(open_swarm(&mut control, theirs, &name, number).await?);
            }
            io::Result::Ok(lanes)
        };
        let lanes = tokio::time::timeout(DIAL_TIME, open)
            .await
            .map_err(|_| LinkError::Failed("no answer".to_owned()))?
            .map_err(failed)?;
        self.link(peer, LinkSide::Dialer, kind, lanes.into_iter(), remote)
    }

    /// One lane of others: who it is, which lane of which link, and the link once it is whole.
    async fn take(&self, accepted: Accepted, links: &mpsc::Sender<Link>) -> io::Result<()> {
        let Ok(_permit) = self.shared.handshakes.try_acquire() else { return Ok(()) };
        let meet = async {
            match accepted {
                Accepted::Door(stream, remote) => {
                    let (peer, name, lane) = self.accept_door(stream).await?;
                    // It knows our door from before; that we are still there it is not told.
                    if self.shared.media.hides_from(peer) {
                        return Err(io::ErrorKind::PermissionDenied.into());
                    }
                    io::Result::Ok((peer, name, lane, remote, PathKind::Tcp))
                }
                Accepted::Joined(stream, remote) => {
                    let (peer, name, lane) = self.accept_door(stream).await?;
                    io::Result::Ok((peer, name, lane, remote, PathKind::Tcp))
                }
                Accepted::Swarm(peer, stream, remote, kind) => {
                    let (name, lane) = accept_swarm(stream).await?;
                    Ok((peer, name, lane, remote, kind))
                }
            }
        };
        let (peer, name, lane, remote, kind) = tokio::time::timeout(GATHER_TIME, meet).await??;
        if !self.shared.media.expects(peer) {
            return Ok(());
        }
        let Some(whole) = self.gather(peer, name, lane) else { return Ok(()) };
        let link =
            self.link(peer, LinkSide::Acceptor, kind, whole.into_iter(), remote).map_err(io::Error::other)?;
        if links.send(link).await.is_err() {
            tracing::debug!("a link came in while the network stops");
        }
        Ok(())
    }

    async fn accept_door(&self, stream: Stream) -> io::Result<(PeerId, LinkName, Lane)> {
        let mut tls = self.shared.keys.server.accept(stream).await?;
        let certificates = tls.get_ref().1.peer_certificates();
        let peer =
            certificates.and_then(|chain| peer_of(chain.first()?)).ok_or(io::ErrorKind::PermissionDenied)?;
        // Strangers are told nothing, not even that lanes are spoken here.
        if !self.shared.media.expects(peer) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut setup = [0u8; SETUP];
        tls.read_exact(&mut setup).await?;
        let (name, number, _) = read_setup(&setup)?;
        let secret = tls
            .get_ref()
            .1
            .export_keying_material([0u8; 32], EXPORTER, Some(&name))
            .map_err(io::Error::other)?;
        let (read, write) = tokio::io::split(tls);
        let halves: Halves = (Box::new(read), Box::new(write));
        Ok((peer, name, Lane { number, halves, secret: (number == 0).then_some(secret) }))
    }

    /// Puts a lane to the others of its link; all of them once it was the last.
    fn gather(&self, peer: PeerId, name: LinkName, lane: Lane) -> Option<Vec<Lane>> {
        let mut all = self.shared.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(&(peer, name)) {
            if all.len() >= MAX_GATHERED {
                return None;
            }
            // Lanes whose others never come are let go.
            let (shared, key) = (Arc::clone(&self.shared), (peer, name));
            tokio::spawn(async move {
                tokio::time::sleep(GATHER_TIME).await;
                shared.gathered.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            });
        }
        let gathered = all.entry((peer, name)).or_default();
        gathered.secret = gathered.secret.or(lane.secret);
        *gathered.lanes.get_mut(lane.number)? = Some(lane.halves);
        if gathered.lanes.iter().any(Option::is_none) {
            return None;
        }
        let whole = all.remove(&(peer, name))?;
        let secret = whole.secret;
        let lanes = whole.lanes.into_iter().flatten().enumerate();
        Some(
            lanes
                .map(|(number, halves)| Lane { number, halves, secret: secret.filter(|_| number == 0) })
                .collect(),
        )
    }

    fn link(
        &self,
        peer: PeerId,
        side: LinkSide,
        kind: PathKind,
        lanes: impl Iterator<Item = Lane>,
        remote: SocketAddr,
    ) -> Result<Link, LinkError> {
        let (mut secret, mut halves) = (None, Vec::new());
        for lane in lanes {
            secret = secret.or(lane.secret);
            halves.push(lane.halves);
        }
        let halves = <[Halves; LANES]>::try_from(halves).map_err(|_| LinkError::Closed)?;
        let carrier = LaneLink::start(halves, remote, secret.ok_or(LinkError::Closed)?, self.shared.clock);
        Ok(Link::new(self.shared.media.next_id(), peer, side, kind, carrier))
    }
}

/// Opens a lane over the swarm's connection, again if its stream was dropped on arrival: libp2p drops one that comes while
/// another waits to be taken.
async fn open_swarm(
    control: &mut libp2p_stream::Control,
    peer: libp2p::PeerId,
    name: &LinkName,
    number: usize,
) -> io::Result<Lane> {
    let ours = random::<32>().ok_or_else(|| io::Error::other("no randomness"))?;
    let mut tries = 0;
    loop {
        let open = async {
            let stream = control.open_stream(peer, MEDIA_PROTOCOL).await.map_err(io::Error::other)?;
            let mut stream = stream.compat();
            stream.write_all(&[&name[..], &[number as u8], &ours].concat()).await?;
            stream.flush().await?;
            let mut theirs = [0u8; 32];
            stream.read_exact(&mut theirs).await?;
            io::Result::Ok((stream, theirs))
        };
        match open.await {
            Ok((stream, theirs)) => {
                let (read, write) = tokio::io::split(stream);
                let secret = (number == 0).then(|| joint_secret(name, &ours, &theirs));
                return Ok(Lane { number, halves: (Box::new(read), Box::new(write)), secret });
            }
            Err(error) if tries >= LANE_TRIES => return Err(error),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(LANE_AGAIN).await;
    }
}

async fn accept_swarm(stream: libp2p::swarm::Stream) -> io::Result<(LinkName, Lane)> {
    let mut stream = stream.compat();
    let mut setup = [0u8; SETUP];
    stream.read_exact(&mut setup).await?;
    let (name, number, theirs) = read_setup(&setup)?;
    let ours = random::<32>().ok_or_else(|| io::Error::other("no randomness"))?;
    stream.write_all(&ours).await?;
    stream.flush().await?;
    let secret = (number == 0).then(|| joint_secret(&name, &theirs, &ours));
    let (read, write) = tokio::io::split(stream);
    Ok((name, Lane { number, halves: (Box::new(read), Box::new(write)), secret }))
}

fn read_setup(setup: &[u8; SETUP]) -> io::Result<(LinkName, usize, [u8; 32])> {
    let (name, rest) = setup.split_first_chunk::<16>().ok_or(io::ErrorKind::InvalidData)?;
    let (number, rest) = rest.split_first().ok_or(io::ErrorKind::InvalidData)?;
    let half = rest.first_chunk::<32>().ok_or(io::ErrorKind::InvalidData)?;
    if usize::from(*number) >= LANES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((*name, usize::from(*number), *half))
}

/// The secret of lanes over the swarm: both sides' halves, which travelled inside its TLS.
fn joint_secret(name: &LinkName, dialler: &[u8; 32], acceptor: &[u8; 32]) -> [u8; 32] {
    Sha256::new()
        .chain_update(EXPORTER)
        .chain_update(name)
        .chain_update(dialler)
        .chain_update(acceptor)
        .finalize()
        .into()
}

/// Who a certificate belongs to. rustls has verified it; this reads it.
fn peer_of(certificate: &CertificateDer<'_>) -> Option<PeerId> {
    from_libp2p(&libp2p_tls::certificate::parse(certificate).ok()?.peer_id())
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut out = [0u8; N];
    rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut out).ok()?;
    Some(out)
}
