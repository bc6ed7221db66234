//! A relay joins two lanes that meet at its door: bytes go from one to the other, and it can read none of them.
//!
//! A caller names the device it wants; if that device is reachable through us (it holds a reservation), it is sent a ticket
//! over its own connection, comes to our door with it, and the two are joined.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ahoy_base::PeerId;
use libp2p::StreamProtocol;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Stream;

/// The stream over which a relay sends a ticket.
pub(crate) const SPLICE_PROTOCOL: StreamProtocol = StreamProtocol::new("/ahoy/splice/1");
/// Names one lane that waits at a relay's door.
pub(crate) type Ticket = [u8; 16];

/// Lanes that wait for their other half. A call has four.
const MAX_WAITING: usize = 64;
/// How long one waits: a message to the other device and its connection to us.
const WAIT: Duration = Duration::from_secs(10);
/// Lanes joined at once: 32 calls.
const MAX_JOINED: usize = 128;
/// Of those and the waiting ones, to one device.
const MAX_WAITING_PER_PEER: usize = 8;
/// Bytes a second and way of one lane: 8 Mbit/s, a picture of 1080 lines.
const RATE: u64 = 1_000_000;
/// Bytes of a burst: a key frame.
const BURST: u64 = 500_000;
/// A lane that carries nothing for this long is closed; signs of life come each second.
const IDLE: Duration = Duration::from_secs(30);
/// Longest life of a joined lane, as of a circuit.
const LIFE: Duration = Duration::from_secs(4 * 3_600);

/// Tells the swarm to send a device a ticket.
pub(crate) type Rings = mpsc::Sender<(PeerId, Ticket)>;

/// The lanes of others that this device joins. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Splices {
    shared: Arc<Shared>,
}

struct Shared {
    /// Devices that are reachable through us.
    reachable: Mutex<BTreeSet<PeerId>>,
    waiting: Mutex<BTreeMap<Ticket, (PeerId, Stream)>>,
    joined: AtomicUsize,
    rings: Rings,
}

impl Splices {
    pub(crate) fn new(rings: Rings) -> Splices {
        let shared = Shared {
            reachable: Mutex::default(),
            waiting: Mutex::default(),
            joined: AtomicUsize::new(0),
            rings,
        };
        Splices { shared: Arc::new(shared) }
    }

    /// A device holds a reservation, or no longer.
    pub(crate) fn reachable(&self, peer: PeerId, on: bool) {
        let mut reachable = self.shared.reachable.lock().unwrap_or_else(PoisonError::into_inner);
        if on {
            reachable.insert(peer);
        } else {
            reachable.remove(&peer);
        }
    }

    /// Lanes that are joined now.
    pub(crate) fn joined(&self) -> usize {
        self.shared.joined.load(Ordering::Relaxed)
    }

    /// A lane to `peer` has come; it waits until `peer` has fetched it, or not.
    pub(super) async fn meet(&self, peer: PeerId, stream: Stream) {
        let known = self.shared.reachable.lock().unwrap_or_else(PoisonError::into_inner).contains(&peer);
        let Some(ticket) = random_ticket().filter(|_| known && self.joined() < MAX_JOINED) else { return };
        {
            let mut waiting = self.waiting();
            let of_peer = waiting.values().filter(|(p, _)| *p == peer).count();
            if waiting.len() >= MAX_WAITING || of_peer >= MAX_WAITING_PER_PEER {
                return;
            }
            waiting.insert(ticket, (peer, stream));
        }
        if self.shared.rings.send((peer, ticket)).await.is_ok() {
            tokio::time::sleep(WAIT).await;
        }
        self.waiting().remove(&ticket);
    }

    /// The device that was sent `ticket` has come for its lane.
    pub(super) fn join(&self, ticket: Ticket, other: Stream) {
        let Some((_, stream)) = self.waiting().remove(&ticket) else { return };
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            shared.joined.fetch_add(1, Ordering::Relaxed);
            let end = tokio::time::timeout(LIFE, both_ways(stream, other)).await;
            tracing::debug!(?end, "a joined lane ended");
            shared.joined.fetch_sub(1, Ordering::Relaxed);
        });
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, BTreeMap<Ticket, (PeerId, Stream)>> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn random_ticket() -> Option<Ticket> {
    let mut ticket = Ticket::default();
    rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut ticket).ok()?;
    Some(ticket)
}

/// Ends when either way does.
async fn both_ways(a: Stream, b: Stream) -> io::Result<()> {
    let ((from_a, to_a), (from_b, to_b)) = (tokio::io::split(a), tokio::io::split(b));
    tokio::select! {
        end = pump(from_a, to_b) => end,
        end = pump(from_b, to_a) => end,
    }
}

async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = vec![0u8; 16 * 1024];
    let (mut left, mut at) = (BURST, Instant::now());
    loop {
        let read = tokio::time::timeout(IDLE, from.read(&mut buffer))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if read == 0 {
            return to.shutdown().await;
        }
        let (now, bytes) = (Instant::now(), read as u64);
        let earned =
            u64::try_from((now - at).as_micros()).unwrap_or(u64::MAX).saturating_mul(RATE) / 1_000_000;
        (left, at) = (left.saturating_add(earned).min(BURST), now);
        if bytes > left {
            // Back pressure: TCP makes the sender wait, and its lane drops what is late.
            tokio::time::sleep(Duration::from_micros((bytes - left).saturating_mul(1_000_000) / RATE)).await;
        }
        left = left.saturating_sub(bytes);
        let piece = buffer.get(..read).unwrap_or_default();
        tokio::time::timeout(IDLE, async {
            to.write_all(piece).await?;
            to.flush().await
        })
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn peer() -> PeerId {
        PeerId::from_public_key([3; 32])
    }

    #[tokio::test]
    async fn two_halves_are_joined_and_a_ticket_is_good_once() {
        let (rings, mut rung) = mpsc::channel(4);
        let splices = Splices::new(rings);
        splices.reachable(peer(), true);
        let ((mut a, a_in), (mut b, b_in)) = (tokio::io::duplex(1_024), tokio::io::duplex(1_024));
        let at_door = splices.clone();
        let waits = tokio::spawn(async move { at_door.meet(peer(), Box::pin(a_in)).await });
        let (whom, ticket) = rung.recv().await.unwrap();
        assert_eq!(whom, peer());
        splices.join(ticket, Box::pin(b_in));
        a.write_all(b"there").await.unwrap();
        let mut got = [0u8; 5];
        b.read_exact(&mut got).await.unwrap();
        b.write_all(b"back!").await.unwrap();
        a.read_exact(&mut got).await.unwrap();
        assert_eq!((&got, splices.joined()), (b"back!", 1));
        let (mut late, late_in) = tokio::io::duplex(64);
        splices.join(ticket, Box::pin(late_in));
        assert_eq!(late.read(&mut got).await.unwrap(), 0);
        drop(a);
        assert_eq!(b.read(&mut got).await.unwrap(), 0);
        waits.abort();
    }

    #[tokio::test]
    async fn nobody_meets_a_device_that_is_not_reachable_through_us_and_waiting_is_bounded() {
        let (rings, mut rung) = mpsc::channel(64);
        let splices = Splices::new(rings);
        let (mut stranger, at_door) = tokio::io::duplex(64);
        splices.meet(peer(), Box::pin(at_door)).await;
        assert_eq!(stranger.read(&mut [0; 1]).await.unwrap(), 0);
        assert!(rung.try_recv().is_err());
        splices.reachable(peer(), true);
        let mut ends = Vec::new();
        for _ in 0..2 * MAX_WAITING_PER_PEER {
            let (end, at_door) = tokio::io::duplex(64);
            ends.push(end);
            let splices = splices.clone();
            tokio::spawn(async move { splices.meet(peer(), Box::pin(at_door)).await });
        }
        let mut tickets = 0;
        while let Ok(Some(_)) = tokio::time::timeout(Duration::from_millis(200), rung.recv()).await {
            tickets += 1;
        }
        assert_eq!(tickets, MAX_WAITING_PER_PEER);
    }
}
