//! What can go wrong towards other machines, as far as a caller can act on it.

use std::io;

/// Why the network did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key is none.
    #[error("the device key is not an Ed25519 key")]
    Key,
    /// TLS could not be set up.
    #[error("TLS could not be set up: {0}")]
    Tls(String),
    /// No socket for media could be opened, on any address.
    #[error("no UDP port could be opened for calls: {0}")]
    Media(io::Error),
    /// The swarm could not be built.
    #[error("the network could not be started: {0}")]
    Swarm(String),
}

/// Why a link is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// No local socket fits the address.
    #[error("no local address can reach that one")]
    NoSocket,
    /// QUIC or TLS did not get through.
    #[error("no connection: {0}")]
    Failed(String),
    /// It was not the expected device.
    #[error("another device answered")]
    WrongPeer,
    /// The hello was late, too long or not there.
    #[error("the peer did not say hello")]
    BadHello,
    /// The link is closed.
    #[error("the link is closed")]
    Closed,
}

impl LinkError {
    pub(crate) fn lost(error: quinn::ConnectionError) -> LinkError {
        tracing::debug!(%error, "a link closed");
        LinkError::Closed
    }
}

/// Why a message was not queued; it has to come again if it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no signalling stream to that device.
    #[error("there is no stream to that device")]
    NoStream,
    /// The device does not take what waits already.
    #[error("too many messages wait for that device")]
    QueueFull,
    /// Longer than a message may be.
    #[error("the message is too long")]
    TooLong,
}
