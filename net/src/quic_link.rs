//! A link over QUIC: datagrams for media, one stream a side for the hello.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ahoy_base::{CallId, Moment};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::congestion::MediaController;
use crate::error::LinkError;
use crate::link::{Carrier, LinkStats, MAX_HELLO, SendOutcome};
use crate::udp_socket::{UdpPort, plain};

/// Label of the keying material that ties a link to a session (RFC 8446, 7.5; RFC 9266 has the idea).
const EXPORTER_LABEL: &[u8] = b"ahoy-link/1";

/// One QUIC connection, direct or through a UDP relay.
#[derive(Debug)]
pub(crate) struct QuicLink {
    pub(crate) connection: quinn::Connection,
    pub(crate) port: Arc<UdpPort>,
    pub(crate) clock: fn() -> Moment,
}

impl Carrier for QuicLink {
    fn remote(&self) -> SocketAddr {
        let route = self.route();
        self.port.relay_of(route).unwrap_or(route)
    }

    fn route(&self) -> SocketAddr {
        plain(self.connection.remote_address())
    }

    fn exporter(&self, call: &CallId) -> [u8; 32] {
        let mut out = [0u8; 32];
        if self.connection.export_keying_material(&mut out, EXPORTER_LABEL, call.as_bytes()).is_err() {
            // Only a wrong length fails, and 32 is a right one. Zeroes admit nobody.
            tracing::error!("no keying material from a link; it will not be admitted");
        }
        out
    }

    fn max_datagram(&self) -> usize {
        self.connection.max_datagram_size().unwrap_or(0)
    }

    fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    fn congestion_marks(&self) -> u64 {
        let state = self.connection.congestion_state().into_any();
        state.downcast::<MediaController>().map_or(0, |controller| controller.marks())
    }

    fn stats(&self) -> LinkStats {
        let stats = self.connection.stats();
        LinkStats {
            sent: stats.udp_tx.datagrams,
            received: stats.udp_rx.datagrams,
            lost: stats.path.lost_packets,
            sent_bytes: stats.udp_tx.bytes,
            received_bytes: stats.udp_rx.bytes,
        }
    }

    fn try_send(&self, datagram: Bytes) -> SendOutcome {
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

    fn send_hello<'a>(&'a self, hello: &'a [u8]) -> BoxFuture<'a, Result<(), LinkError>> {
        async move {
            let mut stream = self.connection.open_uni().await.map_err(LinkError::lost)?;
            stream.write_all(hello).await.map_err(|_| LinkError::Closed)?;
            stream.finish().map_err(|_| LinkError::Closed)
        }
        .boxed()
    }

    fn recv_hello(&self) -> BoxFuture<'_, Result<Vec<u8>, LinkError>> {
        async move {
            let mut stream = self.connection.accept_uni().await.map_err(LinkError::lost)?;
            stream.read_to_end(MAX_HELLO).await.map_err(|_| LinkError::BadHello)
        }
        .boxed()
    }

    fn recv(&self) -> BoxFuture<'_, Result<(Moment, Bytes), LinkError>> {
        async move {
            let bytes = self.connection.read_datagram().await.map_err(LinkError::lost)?;
            // The batch that brought it, or a later one; never later than now.
            Ok((self.port.batch_at().min((self.clock)()), bytes))
        }
        .boxed()
    }

    fn close(&self, why: &str) {
        self.connection.close(0u32.into(), why.as_bytes());
    }
}
