//! One link: it carries the media datagrams of one peer, and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ahoy_base::{CallId, LinkId, Moment, PeerId};
use ahoy_net_core::session::{LinkSide, PathKind};
use bytes::Bytes;
use futures::future::BoxFuture;

use crate::error::LinkError;

/// Longest hello on a link's first stream.
pub const MAX_HELLO: usize = 512;
/// How long a peer may take to say hello; the handshake before it took one round trip.
const HELLO_TIME: Duration = Duration::from_secs(5);
/// What became of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendOutcome {
    /// Handed to the carrier.
    Sent,
    /// Larger than the path carries; dropped.
    TooLarge,
    /// The carrier could not send what it has; dropped, because it would be late.
    QueueFull,
    /// The link is closed.
    Closed,
}

/// Counters of what carries a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkStats {
    /// Packets sent.
    pub sent: u64,
    /// Packets received.
    pub received: u64,
    /// Packets that it believes lost.
    pub lost: u64,
    /// Bytes of payload sent.
    pub sent_bytes: u64,
    /// Bytes of payload received.
    pub received_bytes: u64,
}

/// A link whose peer has proven its PeerId. Cheap to clone; closing one clone closes all.
///
/// What carries it, QUIC over UDP or lanes of TCP, is a [`Carrier`]; nobody above can tell but by [`Link::kind`].
#[derive(Clone, Debug)]
pub struct Link {
    id: LinkId,
    peer: PeerId,
    side: LinkSide,
    kind: PathKind,
    carrier: Arc<dyn Carrier>,
}

/// What carries the datagrams of a link. Methods mean what those of [`Link`] do.
pub(crate) trait Carrier: Send + Sync + std::fmt::Debug {
    fn remote(&self) -> SocketAddr;
    fn route(&self) -> SocketAddr {
        self.remote()
    }
    fn exporter(&self, call: &CallId) -> [u8; 32];
    fn max_datagram(&self) -> usize;
    fn rtt(&self) -> Duration;
    fn congestion_marks(&self) -> u64;
    fn stats(&self) -> LinkStats;
    fn try_send(&self, datagram: Bytes) -> SendOutcome;
    fn send_hello<'a>(&'a self, hello: &'a [u8]) -> BoxFuture<'a, Result<(), LinkError>>;
    fn recv_hello(&self) -> BoxFuture<'_, Result<Vec<u8>, LinkError>>;
    fn recv(&self) -> BoxFuture<'_, Result<(Moment, Bytes), LinkError>>;
    fn close(&self, why: &str);
}

impl Link {
    pub(crate) fn new(
        id: LinkId,
        peer: PeerId,
        side: LinkSide,
        kind: PathKind,
        carrier: impl Carrier + 'static,
    ) -> Link {
        Link { id, peer, side, kind, carrier: Arc::new(carrier) }
    }

    /// Its number on this device.
    pub fn id(&self) -> LinkId {
        self.id
    }

    /// Who is at the other end.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// Who opened it.
    pub fn side(&self) -> LinkSide {
        self.side
    }

    /// Straight, or through what.
    pub fn kind(&self) -> PathKind {
        self.kind
    }

    /// The peer's address as packets show it; the relay's if there is one between.
    pub fn remote(&self) -> SocketAddr {
        self.carrier.remote()
    }

    /// The address that was dialled, or that dialled: of a link through a UDP relay the one that stands for the splice.
    pub fn route(&self) -> SocketAddr {
        self.carrier.route()
    }

    /// Key material that only the two ends of this connection know; `call` is its context.
    pub fn exporter(&self, call: &CallId) -> [u8; 32] {
        self.carrier.exporter(call)
    }

    /// Bytes a datagram may have now; 0 if the peer takes none.
    pub fn max_datagram(&self) -> usize {
        self.carrier.max_datagram()
    }

    /// Smoothed round trip time.
    pub fn rtt(&self) -> Duration {
        self.carrier.rtt()
    }

    /// How often the path marked datagrams since the link began, at most once a round trip (RFC 3168, RFC 9002 B.7).
    pub fn congestion_marks(&self) -> u64 {
        self.carrier.congestion_marks()
    }

    /// The carrier's own counters.
    pub fn stats(&self) -> LinkStats {
        self.carrier.stats()
    }

    /// Sends a datagram now or not at all.
    pub fn try_send(&self, datagram: Bytes) -> SendOutcome {
        self.carrier.try_send(datagram)
    }

    /// Sends our hello, the first message of this side.
    ///
    /// # Errors
    /// When the link closes first.
    pub async fn send_hello(&self, hello: &[u8]) -> Result<(), LinkError> {
        self.carrier.send_hello(hello).await
    }

    /// The peer's hello, at most [`MAX_HELLO`] bytes, within 5 s.
    ///
    /// # Errors
    /// When it is longer, late, or the link closes.
    pub async fn recv_hello(&self) -> Result<Vec<u8>, LinkError> {
        tokio::time::timeout(HELLO_TIME, self.carrier.recv_hello()).await.map_err(|_| LinkError::BadHello)?
    }

    /// The next datagram and when it came.
    ///
    /// # Errors
    /// When the link is closed.
    pub async fn recv(&self) -> Result<(Moment, Bytes), LinkError> {
        self.carrier.recv().await
    }

    /// Closes the link; `why` goes to the peer.
    pub fn close(&self, why: &str) {
        self.carrier.close(why);
    }
}
