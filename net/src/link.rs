//! One link: a QUIC connection that carries the media datagrams of one peer, and nothing else.

use std::net::SocketAddr;
use std::time::Duration;

use ahoy_base::{CallId, LinkId, Moment, PeerId};
use bytes::Bytes;

use crate::congestion::MediaController;
use crate::error::LinkError;

/// Longest hello on a link's first stream.
pub const MAX_HELLO: usize = 512;
/// How long a peer may take to say hello; the handshake before it took one round trip.
const HELLO_TIME: Duration = Duration::from_secs(5);
/// Label of the keying material that ties a link to a session (RFC 8446, 7.5; RFC 9266 has the idea).
const EXPORTER_LABEL: &[u8] = b"ahoy-link/1";

/// Which side opened a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkSide {
    /// This device did.
    Dialer,
    /// The peer did.
    Acceptor,
}

/// What became of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendOutcome {
    /// Handed to QUIC.
    Sent,
    /// Larger than the path carries; dropped.
    TooLarge,
    /// QUIC could not send what it has; dropped, because it would be late.
    QueueFull,
    /// The link is closed.
    Closed,
}

/// Counters of QUIC itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkStats {
    /// UDP datagrams sent.
    pub sent: u64,
    /// UDP datagrams received.
    pub received: u64,
    /// QUIC packets that QUIC believes lost.
    pub lost: u64,
    /// Bytes of UDP payload sent.
    pub sent_bytes: u64,
    /// Bytes of UDP payload received.
    pub received_bytes: u64,
}

/// A link whose peer has proven its PeerId by TLS. Cheap to clone; closing one clone closes all.
#[derive(Clone, Debug)]
pub struct Link {
    id: LinkId,
    peer: PeerId,
    side: LinkSide,
    connection: quinn::Connection,
    clock: fn() -> Moment,
}

impl Link {
    pub(crate) fn new(
        id: LinkId,
        peer: PeerId,
        side: LinkSide,
        connection: quinn::Connection,
        clock: fn() -> Moment,
    ) -> Link {
        Link { id, peer, side, connection, clock }
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

    /// The peer's address, as packets show it.
    pub fn remote(&self) -> SocketAddr {
        crate::addresses::plain(self.connection.remote_address())
    }

    /// Key material that only the two ends of this TLS connection know; `call` is its context.
    pub fn exporter(&self, call: &CallId) -> [u8; 32] {
        let mut out = [0u8; 32];
        if self.connection.export_keying_material(&mut out, EXPORTER_LABEL, call.as_bytes()).is_err() {
            // Only a wrong length fails, and 32 is a right one. Random-looking zeroes admit nobody.
            tracing::error!("no keying material from a link; it will not be admitted");
        }
        out
    }

    /// Bytes a datagram may have now; 0 if the peer takes none.
    pub fn max_datagram(&self) -> usize {
        self.connection.max_datagram_size().unwrap_or(0)
    }

    /// QUIC's smoothed round trip time.
    pub fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    /// How often the path marked datagrams since the link began, at most once a round trip (RFC 3168, RFC 9002 B.7).
    pub fn congestion_marks(&self) -> u64 {
        let state = self.connection.congestion_state().into_any();
        state.downcast::<MediaController>().map_or(0, |controller| controller.marks())
    }

    /// QUIC's counters.
    pub fn stats(&self) -> LinkStats {
        let stats = self.connection.stats();
        LinkStats {
            sent: stats.udp_tx.datagrams,
            received: stats.udp_rx.datagrams,
            lost: stats.path.lost_packets,
            sent_bytes: stats.udp_tx.bytes,
            received_bytes: stats.udp_rx.bytes,
        }
    }

    /// Sends a datagram now or not at all.
    pub fn try_send(&self, datagram: Bytes) -> SendOutcome {
        if self.connection.datagram_send_buffer_space() < datagram.len() {
            // QUIC would throw away the oldest one for it; both are late then.
            return SendOutcome::QueueFull;
        }
        match self.connection.send_datagram(datagram) {
            Ok(()) => SendOutcome::Sent,
            Err(quinn::SendDatagramError::TooLarge) => SendOutcome::TooLarge,
            Err(
                quinn::SendDatagramError::UnsupportedByPeer
                | quinn::SendDatagramError::Disabled
                | quinn::SendDatagramError::ConnectionLost(_),
            ) => SendOutcome::Closed,
        }
    }

    /// Sends our hello: the one message of the stream that this side opens.
    ///
    /// # Errors
    /// When the link closes first.
    pub async fn send_hello(&self, hello: &[u8]) -> Result<(), LinkError> {
        let mut stream = self.connection.open_uni().await.map_err(LinkError::lost)?;
        stream.write_all(hello).await.map_err(|_| LinkError::Closed)?;
        stream.finish().map_err(|_| LinkError::Closed)
    }

    /// The peer's hello, at most [`MAX_HELLO`] bytes, within 5 s.
    ///
    /// # Errors
    /// When it is longer, late, or the link closes.
    pub async fn recv_hello(&self) -> Result<Vec<u8>, LinkError> {
        let read = async {
            let mut stream = self.connection.accept_uni().await.map_err(LinkError::lost)?;
            stream.read_to_end(MAX_HELLO).await.map_err(|_| LinkError::BadHello)
        };
        tokio::time::timeout(HELLO_TIME, read).await.map_err(|_| LinkError::BadHello)?
    }

    /// The next datagram and when it came.
    ///
    /// # Errors
    /// When the link is closed.
    pub async fn recv(&self) -> Result<(Moment, Bytes), LinkError> {
        let bytes = self.connection.read_datagram().await.map_err(LinkError::lost)?;
        Ok(((self.clock)(), bytes))
    }

    /// Closes the link; `why` goes to the peer.
    pub fn close(&self, why: &str) {
        self.connection.close(0u32.into(), why.as_bytes());
    }
}
