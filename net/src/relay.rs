//! Splices of relays: asking a relay for one, holding our end of one, and lending them to others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ahoy_base::PeerId;
use ahoy_net_core::path::packet::{self, Kind, PACKET, Packet, PacketKey};
use ahoy_net_core::path::relay::{Limits, Refusal};
use ahoy_net_core::session::RelayOffer;
use ahoy_net_core::wire::relay::{self as words, Answer};
use futures::AsyncWriteExt;
use libp2p::StreamProtocol;
use rustls::crypto::SecureRandom;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::identity::to_libp2p;
use crate::quic_endpoint::Media;
use crate::signalling::{read_message, write_message};
use crate::udp_socket::{PathPacket, UdpPort};

/// The question for a splice. Only devices that serve announce it.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/ahoy/relay/1");
/// How long a relay may take to answer; a dial may come before it.
const ASK_TIME: Duration = Duration::from_secs(5);
/// A bind without an answer is said again after this…
const BIND_AGAIN: Duration = Duration::from_millis(150);
/// …so often; then the relay is out of reach.
const BIND_TRIES: usize = 20;
/// One that answered before is out of reach after so many: at a fifth of packets lost each way, that is a mistake in 3,000.
const BIND_TRIES_AGAIN: usize = 8;
/// A bound end says so again after this: NAT mappings of UDP live 30 s or longer, and the relay forgets after 30 s.
const BIND_EVERY: Duration = Duration::from_secs(8);

/// Why there is no splice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The relay said no.
    #[error("the relay refused: {}", refused(*.0))]
    Refused(Refusal),
    /// It was not reached, or stopped answering.
    #[error("the relay does not answer")]
    Silent,
}

/// A refusal in words, for whoever asked.
const fn refused(why: Refusal) -> &'static str {
    match why {
        Refusal::NotForYou => "it serves other people",
        Refusal::TooMany => "this device has as many calls there as it may",
        Refusal::Full => "all its places are taken",
        Refusal::UsedUp => "it has passed on all it may this month",
    }
}

/// A splice that a relay lent us: the end that we keep, the end for the peer, and what it may carry.
#[derive(Clone, Debug)]
pub struct LentSplice {
    /// Ours.
    pub near: RelayOffer,
    /// The peer's.
    pub far: RelayOffer,
    /// What the relay said that it may carry.
    pub limits: Limits,
}

/// Our end of a splice, bound. Given up when dropped.
#[derive(Debug)]
pub struct RelayPath {
    stands: SocketAddr,
    seen: watch::Receiver<Option<SocketAddr>>,
    port: Arc<UdpPort>,
    task: JoinHandle<()>,
}

impl RelayPath {
    /// The address that stands for the splice: what is sent there goes through it.
    pub fn address(&self) -> SocketAddr {
        self.stands
    }

    /// The relay's own address.
    pub fn relay(&self) -> Option<SocketAddr> {
        self.port.relay_of(self.stands)
    }

    /// Where the relay sees us: our address as the world has it.
    pub fn seen(&self) -> Option<SocketAddr> {
        *self.seen.borrow()
    }

    /// Waits until the relay no longer answers.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut seen = self.seen.clone();
        async move { while seen.changed().await.is_ok() {} }
    }
}

impl Drop for RelayPath {
    fn drop(&mut self) {
        self.task.abort();
        self.port.remove_splice(self.stands);
    }
}

/// A device asks whether it may use us as a relay.
#[derive(Debug)]
pub struct RelayAsk {
    answer: oneshot::Sender<bool>,
}

impl RelayAsk {
    /// Lends it a splice, or not.
    pub fn answer(self, lend: bool) {
        // It may have gone meanwhile.
        let _ = self.answer.send(lend);
    }
}

/// Asks `relay` for a splice.
pub(crate) async fn ask(
    mut control: libp2p_stream::Control,
    relay: PeerId,
) -> Result<LentSplice, RelayError> {
    let answer = async {
        let target = to_libp2p(relay)?;
        let mut stream = control.open_stream(target, PROTOCOL).await.ok()?;
        write_message(&mut stream, &words::ask()).await.ok()?;
        let bytes = read_message(&mut stream).await.ok()??;
        // Best effort: it has said all it had to say.
        let _ = stream.close().await;
        Answer::decode(&bytes)
    };
    let answer = tokio::time::timeout(ASK_TIME, answer).await.ok().flatten();
    match answer {
        Some(Answer::Lent(lent, addresses)) => {
            let end = |key| RelayOffer { addresses: addresses.clone(), id: lent.id, key };
            Ok(LentSplice { near: end(lent.near), far: end(lent.far), limits: lent.limits })
        }
        Some(Answer::Refused(why)) => Err(RelayError::Refused(why)),
        None => Err(RelayError::Silent),
    }
}

/// Binds an end of a splice and keeps it bound; `changed` tells that the network did, which calls for a bind at once.
pub(crate) async fn bind(
    port: Arc<UdpPort>,
    offer: RelayOffer,
    changed: watch::Receiver<u64>,
) -> Result<RelayPath, RelayError> {
    let (taker, answers) = mpsc::channel(4);
    port.route(offer.id, taker);
    let mut binder =
        Binder { port: port.clone(), key: PacketKey::new(offer.key), offer, answers, number: 0, changed };
    let (relay, seen) = binder.bind(None).await.ok_or(RelayError::Silent)?;
    let stands = port.add_splice(binder.offer.id, relay);
    let (tell, seen) = watch::channel(Some(seen));
    let task = tokio::spawn(async move { binder.keep(stands, relay, tell).await });
    Ok(RelayPath { stands, seen, port, task })
}

struct Binder {
    port: Arc<UdpPort>,
    key: PacketKey,
    offer: RelayOffer,
    answers: mpsc::Receiver<PathPacket>,
    number: u64,
    changed: watch::Receiver<u64>,
}

impl Binder {
    /// Binds to `relay`, or whichever of its addresses answers; the relay's address and ours as it sees it.
    async fn bind(&mut self, relay: Option<SocketAddr>) -> Option<(SocketAddr, SocketAddr)> {
        for _ in 0..if relay.is_some() { BIND_TRIES_AGAIN } else { BIND_TRIES } {
            let all = relay.map_or_else(|| self.offer.addresses.clone(), |one| vec![one]);
            for address in all.into_iter().filter(|a| self.port.reaches(*a)) {
                self.number += 1;
                let bind = Packet { kind: Kind::Bind, tag: self.offer.id, number: self.number, seen: None };
                self.port.send(address, &bind.seal(&self.key));
            }
            let answer = async {
                loop {
                    let packet = self.answers.recv().await?;
                    if let Some(found) = read_bound(&self.key, self.number, &packet) {
                        return Some(found);
                    }
                }
            };
            if let Ok(found) = tokio::time::timeout(BIND_AGAIN, answer).await {
                return found;
            }
        }
        None
    }

    async fn keep(
        mut self,
        stands: SocketAddr,
        mut relay: SocketAddr,
        tell: watch::Sender<Option<SocketAddr>>,
    ) {
        loop {
            // A change, or the time; when the network stops nobody changes anything any more.
            let _ = tokio::time::timeout(BIND_EVERY, self.changed.changed()).await;
            let Some((at, seen)) = self.bind(Some(relay)).await else { return };
            if at != relay {
                self.port.move_splice(stands, at);
                relay = at;
            }
            tell.send_if_modified(|old| old.replace(seen) != Some(seen));
        }
    }
}

/// The relay's address and ours as it sees it, if `packet` answers one of our last binds.
fn read_bound(key: &PacketKey, number: u64, packet: &PathPacket) -> Option<(SocketAddr, SocketAddr)> {
    let bytes: &[u8; PACKET] = &packet.bytes;
    let bound = Packet::parse(bytes).filter(|p| p.kind == Kind::Bound && packet::is_genuine(bytes, key))?;
    // One bind goes to each of at most four addresses.
    let fresh = bound.number <= number && number - bound.number < 8;
    bound.seen.filter(|_| fresh).map(|seen| (packet.from, seen))
}

/// Answers one question for a splice, once the owner of this device has decided.
pub(crate) async fn serve(
    mut stream: libp2p::swarm::Stream,
    peer: PeerId,
    media: Media,
    ask: impl AsyncFnOnce(RelayAsk),
) {
    let answer = async {
        let question = read_message(&mut stream).await.ok().flatten()?;
        if !words::is_ask(&question) {
            return None;
        }
        let (answer, decided) = oneshot::channel();
        ask(RelayAsk { answer }).await;
        let answer = match decided.await {
            Ok(true) => lend(&media, peer),
            Ok(false) | Err(_) => Answer::Refused(Refusal::NotForYou),
        };
        write_message(&mut stream, &answer.encode()).await.ok()?;
        stream.close().await.ok()
    };
    if tokio::time::timeout(ASK_TIME, answer).await.is_err() {
        tracing::debug!(?peer, "a question for a relay was given up");
    }
}

fn lend(media: &Media, peer: PeerId) -> Answer {
    let mut seed = [0; 72];
    let random: &dyn SecureRandom = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    if random.fill(&mut seed).is_err() {
        tracing::error!("the machine gives no random bytes; nothing is lent");
        return Answer::Refused(Refusal::Full);
    }
    let now = media.now();
    let lent = media.port().with_relay(|relay| match relay {
        Some(relay) => relay.lend(now, peer, &seed),
        None => Err(Refusal::NotForYou),
    });
    match lent {
        Ok(lent) => Answer::Lent(lent, media.candidates()),
        Err(why) => Answer::Refused(why),
    }
}
