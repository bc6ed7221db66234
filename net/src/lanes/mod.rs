//! A link over several streams of bytes instead of datagrams: one lane for each class, so that a lost piece of a picture
//! never holds up sound.
//!
//! Each lane carries frames: a 16-bit little-endian length, then that many bytes. Lengths from [`PING`] on are signs of life of
//! the lane itself. What waits longer than it is worth is dropped before it is written, and while the lane of sound stalls,
//! sound also goes over another.

mod dial;
mod queue;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ahoy_base::{CallId, Moment};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::Instant;

use crate::error::LinkError;
use crate::link::{Carrier, LinkStats, MAX_HELLO, SendOutcome};
pub(crate) use dial::{Accepted, LaneKeys, Lanes, MEDIA_PROTOCOL};
use queue::{Class, Queue};

/// Lanes of a link: control, sound, pictures, and what can wait.
pub(crate) const LANES: usize = 4;
/// Bytes a datagram may have: as much as over QUIC at its best, so that a change of link changes nothing.
const MAX_DATAGRAM: usize = 1_200;
/// A frame length from here on is a sign of life: [`PING`] and [`PONG`] with 8 bytes.
const PING: u16 = 0xff00;
/// See [`PING`].
const PONG: u16 = 0xff01;
/// How often a lane is asked for a sign of life; the lane of sound is to be caught stalling within a playout delay.
const PING_EVERY: Duration = Duration::from_millis(100);
/// The lanes besides that of sound are asked less often.
const PING_OTHERS_EVERY: Duration = Duration::from_secs(1);
/// An answer this much later than usual means that the lane stalls.
const STALL: Duration = Duration::from_millis(80);
/// Without any sign for this long the link is dead for us; the session above notices after 3 s.
const DEAD: Duration = Duration::from_secs(15);
/// Received datagrams that may wait for us while the task is busy.
const MAX_RECEIVED: usize = 256;
/// Label of the MAC that makes a link's secret one of a call.
const EXPORTER: &[u8] = b"ahoy-lanes/1";

/// One lane's two directions.
pub(crate) type Halves = (Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>);

/// A link of [`LANES`] lanes.
#[derive(Debug)]
pub(crate) struct LaneLink {
    shared: Arc<Shared>,
    received: Mutex<mpsc::Receiver<(Moment, Bytes)>>,
    hello: Mutex<mpsc::Receiver<Vec<u8>>>,
}

#[derive(Debug)]
struct Shared {
    remote: SocketAddr,
    /// Known to both ends of the link alone.
    secret: [u8; 32],
    clock: fn() -> Moment,
    queues: [Queue; LANES],
    started: Instant,
    /// Smoothed, of the lane of control.
    rtt_us: AtomicU64,
    /// Pings and answers of each lane.
    life: [Life; LANES],
    stats: Stats,
    closed: watch::Sender<bool>,
}

/// When a lane was last asked and last answered, microseconds since the link began.
#[derive(Debug, Default)]
struct Life {
    asked: AtomicU64,
    answered: AtomicU64,
    heard: AtomicU64,
}

#[derive(Debug, Default)]
struct Stats {
    sent: AtomicU64,
    received: AtomicU64,
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
}

impl LaneLink {
    /// A link over these lanes, in order. The lane of control carries the hello of each side first.
    pub(crate) fn start(
        lanes: [Halves; LANES],
        remote: SocketAddr,
        secret: [u8; 32],
        clock: fn() -> Moment,
    ) -> LaneLink {
        let (received_in, received) = mpsc::channel(MAX_RECEIVED);
        let (hello_in, hello) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            remote,
            secret,
            clock,
            queues: std::array::from_fn(|_| Queue::default()),
            started: Instant::now(),
            rtt_us: AtomicU64::new(0),
            life: std::array::from_fn(|_| Life::default()),
            stats: Stats::default(),
            closed: watch::Sender::new(false),
        });
        for (lane, (read, write)) in lanes.into_iter().enumerate() {
            let (reads, writes) = (Arc::clone(&shared), Arc::clone(&shared));
            let (received, hello) = (received_in.clone(), hello_in.clone());
            tokio::spawn(async move {
                let mut closed = reads.closed.subscribe();
                tokio::select! {
                    _ = closed.wait_for(|closed| *closed) => {}
                    _ = reads.read_lane(lane, read, received, hello) => reads.close(),
                }
            });
            tokio::spawn(async move {
                let mut closed = writes.closed.subscribe();
                let mut write = write;
                tokio::select! {
                    _ = closed.wait_for(|closed| *closed) => {}
                    _ = writes.write_lane(lane, &mut write) => writes.close(),
                }
                // Best effort: the other side notices the end of the stream either way.
                let _ = tokio::time::timeout(STALL, write.shutdown()).await;
            });
        }
        LaneLink { shared, received: Mutex::new(received), hello: Mutex::new(hello) }
    }
}

impl Shared {
    fn close(&self) {
        self.closed.send_replace(true);
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    async fn read_lane(
        &self,
        lane: usize,
        read: Box<dyn AsyncRead + Send + Unpin>,
        received: mpsc::Sender<(Moment, Bytes)>,
        hello: mpsc::Sender<Vec<u8>>,
    ) -> std::io::Result<()> {
        let mut read = BufReader::with_capacity(16 * 1024, read);
        let mut greeted = lane != 0;
        loop {
            let length = tokio::time::timeout(DEAD, read.read_u16_le()).await??;
            if length >= PING {
                let token = read.read_u64_le().await?;
                self.on_life(lane, length, token);
                continue;
            }
            let mut frame = vec![0u8; usize::from(length)];
            tokio::time::timeout(DEAD, read.read_exact(&mut frame)).await??;
            self.stats.received.fetch_add(1, Ordering::Relaxed);
            self.stats.received_bytes.fetch_add(u64::from(length), Ordering::Relaxed);
            if greeted {
                // A full channel makes TCP wait; the sender drops what is late.
                let _ = received.send(((self.clock)(), Bytes::from(frame))).await;
            } else {
                greeted = true;
                frame.truncate(MAX_HELLO + 1);
                let _ = hello.send(frame).await;
            }
        }
    }

    fn on_life(&self, lane: usize, kind: u16, token: u64) {
        let Some(life) = self.life.get(lane) else { return };
        let now = self.now_us();
        life.heard.store(now, Ordering::Relaxed);
        if kind == PING {
            if let Some(queue) = self.queues.get(lane) {
                queue.answer(token);
            }
        } else if token == life.asked.load(Ordering::Relaxed) {
            life.answered.store(token, Ordering::Relaxed);
            if lane == 0 || self.rtt_us.load(Ordering::Relaxed) == 0 {
                let (rtt, old) = (now.saturating_sub(token), self.rtt_us.load(Ordering::Relaxed));
                self.rtt_us.store(if old == 0 { rtt } else { (old * 7 + rtt) / 8 }, Ordering::Relaxed);
            }
        }
    }

    async fn write_lane(
        &self,
        lane: usize,
        write: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> std::io::Result<()> {
        let (Some(queue), Some(life)) = (self.queues.get(lane), self.life.get(lane)) else { return Ok(()) };
        let every = if lane == Class::Sound.lane() { PING_EVERY } else { PING_OTHERS_EVERY };
        let mut ping = tokio::time::interval(every);
        ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut out = Vec::with_capacity(MAX_DATAGRAM + 2);
        loop {
            out.clear();
            tokio::select! {
                biased;
                token = queue.asked() => {
                    out.extend(PONG.to_le_bytes());
                    out.extend(token.to_le_bytes());
                }
                _ = ping.tick() => {
                    // One at a time: an answer that is overdue says enough.
                    if life.asked.load(Ordering::Relaxed) != life.answered.load(Ordering::Relaxed) {
                        continue;
                    }
                    let token = self.now_us().max(1);
                    life.asked.store(token, Ordering::Relaxed);
                    out.extend(PING.to_le_bytes());
                    out.extend(token.to_le_bytes());
                }
                datagram = queue.next() => {
                    out.extend((datagram.len() as u16).to_le_bytes());
                    out.extend(&datagram);
                }
            }
            write.write_all(&out).await?;
            write.flush().await?;
        }
    }

    /// Whether what was written into the lane of sound last is not there yet, although it should be.
    fn sound_stalls(&self) -> bool {
        let lane = Class::Sound.lane();
        let (Some(life), Some(queue)) = (self.life.get(lane), self.queues.get(lane)) else { return false };
        let (asked, answered) = (life.asked.load(Ordering::Relaxed), life.answered.load(Ordering::Relaxed));
        let patience = self.rtt_us.load(Ordering::Relaxed) + STALL.as_micros() as u64;
        queue.is_stuck(STALL) || asked != answered && self.now_us().saturating_sub(asked) > patience
    }
}

impl Carrier for LaneLink {
    fn remote(&self) -> SocketAddr {
        self.shared.remote
    }

    fn exporter(&self, call: &CallId) -> [u8; 32] {
        // HMAC takes keys of any length, so this can't fail.
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.shared.secret)
            .unwrap_or_else(|_| Mac::new(&Default::default()));
        mac.update(EXPORTER);
        mac.update(call.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn max_datagram(&self) -> usize {
        MAX_DATAGRAM
    }

    fn rtt(&self) -> Duration {
        Duration::from_micros(self.shared.rtt_us.load(Ordering::Relaxed))
    }

    fn congestion_marks(&self) -> u64 {
        0
    }

    fn stats(&self) -> LinkStats {
        let stats = &self.shared.stats;
        LinkStats {
            sent: stats.sent.load(Ordering::Relaxed),
            received: stats.received.load(Ordering::Relaxed),
            lost: self.shared.queues.iter().map(Queue::late).sum(),
            sent_bytes: stats.sent_bytes.load(Ordering::Relaxed),
            received_bytes: stats.received_bytes.load(Ordering::Relaxed),
        }
    }

    fn try_send(&self, datagram: Bytes) -> SendOutcome {
        let shared = &self.shared;
        if *shared.closed.borrow() {
            return SendOutcome::Closed;
        }
        if datagram.len() > MAX_DATAGRAM {
            return SendOutcome::TooLarge;
        }
        let class = Class::of(&datagram);
        shared.stats.sent.fetch_add(1, Ordering::Relaxed);
        shared.stats.sent_bytes.fetch_add(datagram.len() as u64, Ordering::Relaxed);
        let mut taken = false;
        for (lane, queue) in shared.queues.iter().enumerate() {
            let doubled = class == Class::Sound && lane == Class::Pictures.lane() && shared.sound_stalls();
            if lane == class.lane() || doubled {
                taken |= queue.put(datagram.clone(), class.worth());
            }
        }
        if taken { SendOutcome::Sent } else { SendOutcome::QueueFull }
    }

    fn send_hello<'a>(&'a self, hello: &'a [u8]) -> BoxFuture<'a, Result<(), LinkError>> {
        async move {
            let hello = Bytes::copy_from_slice(hello);
            let first = self.shared.queues.first().is_some_and(|q| q.put(hello, DEAD));
            if first { Ok(()) } else { Err(LinkError::Closed) }
        }
        .boxed()
    }

    fn recv_hello(&self) -> BoxFuture<'_, Result<Vec<u8>, LinkError>> {
        async move {
            let hello = self.hello.lock().await.recv().await.ok_or(LinkError::Closed)?;
            if hello.len() > MAX_HELLO { Err(LinkError::BadHello) } else { Ok(hello) }
        }
        .boxed()
    }

    fn recv(&self) -> BoxFuture<'_, Result<(Moment, Bytes), LinkError>> {
        async move { self.received.lock().await.recv().await.ok_or(LinkError::Closed) }.boxed()
    }

    fn close(&self, why: &str) {
        tracing::debug!(why, "a link of lanes is closed");
        self.shared.close();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use tokio::io::DuplexStream;

    fn clock() -> Moment {
        Moment::from_micros(7)
    }

    fn halves(stream: DuplexStream) -> Halves {
        let (read, write) = tokio::io::split(stream);
        (Box::new(read), Box::new(write))
    }

    /// Two ends of a link whose lanes hold as many bytes as said.
    fn pair(room: [usize; LANES]) -> (LaneLink, LaneLink) {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for bytes in room {
            let (a, b) = tokio::io::duplex(bytes);
            ours.push(halves(a));
            theirs.push(halves(b));
        }
        let start = |lanes: Vec<Halves>| {
            let lanes = <[Halves; LANES]>::try_from(lanes).unwrap_or_else(|_| unreachable!());
            LaneLink::start(lanes, "203.0.113.9:443".parse().unwrap(), [5; 32], clock)
        };
        (start(ours), start(theirs))
    }

    fn sound(n: u8) -> Bytes {
        Bytes::from(vec![0x00, n, 0, 0, 0x00, 1, 2])
    }

    fn picture(n: u8) -> Bytes {
        let mut bytes = vec![0x00, n, 0, 0, 0x10];
        bytes.resize(1_000, 0);
        bytes.into()
    }

    #[tokio::test]
    async fn hello_goes_first_and_datagrams_come_whole() {
        let (a, b) = pair([4_096; LANES]);
        a.send_hello(b"hello b").await.unwrap();
        b.send_hello(b"hello a").await.unwrap();
        assert_eq!(b.recv_hello().await.unwrap(), b"hello b");
        assert_eq!(a.recv_hello().await.unwrap(), b"hello a");
        assert_eq!(a.try_send(sound(1)), SendOutcome::Sent);
        assert_eq!(b.recv().await.unwrap(), (clock(), sound(1)));
        assert_eq!(a.try_send(Bytes::from(vec![0; MAX_DATAGRAM + 1])), SendOutcome::TooLarge);
        assert_eq!(a.exporter(&CallId::from_bytes([1; 16])), b.exporter(&CallId::from_bytes([1; 16])));
        assert_ne!(a.exporter(&CallId::from_bytes([1; 16])), b.exporter(&CallId::from_bytes([2; 16])));
        b.close("over");
        assert_eq!(a.recv().await, Err(LinkError::Closed));
    }

    #[tokio::test]
    async fn a_lane_of_pictures_that_stands_still_does_not_hold_up_sound() {
        // Lane 2 has room for one picture, and nobody on the other side makes more.
        let (a, mut lanes) = {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for bytes in [4_096, 4_096, 1_100, 4_096] {
                let (a, b) = tokio::io::duplex(bytes);
                ours.push(halves(a));
                theirs.push(b);
            }
            let ours = <[Halves; LANES]>::try_from(ours).unwrap_or_else(|_| unreachable!());
            (LaneLink::start(ours, "203.0.113.9:443".parse().unwrap(), [5; 32], clock), theirs)
        };
        for n in 0..50 {
            a.try_send(picture(n));
        }
        assert_eq!(a.try_send(sound(9)), SendOutcome::Sent);
        let found = tokio::time::timeout(Duration::from_secs(5), async {
            loop {
                let length = lanes[1].read_u16_le().await.unwrap();
                let mut frame = vec![0; if length >= PING { 8 } else { usize::from(length) }];
                lanes[1].read_exact(&mut frame).await.unwrap();
                if length < PING {
                    return frame;
                }
            }
        });
        assert_eq!(found.await.unwrap(), sound(9));
        let late = || a.stats().lost;
        tokio::time::timeout(Duration::from_secs(5), async {
            while late() == 0 {
                // Reading makes room, so the lane goes on and finds what it holds too old.
                let mut some = [0; 256];
                let _ = lanes[2].read(&mut some).await.unwrap();
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn sound_is_doubled_while_its_lane_stalls() {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for bytes in [4_096, 16, 4_096, 4_096] {
            let (a, b) = tokio::io::duplex(bytes);
            ours.push(halves(a));
            theirs.push(b);
        }
        let ours = <[Halves; LANES]>::try_from(ours).unwrap_or_else(|_| unreachable!());
        let a = LaneLink::start(ours, "203.0.113.9:443".parse().unwrap(), [5; 32], clock);
        // Nobody answers on the lane of sound.
        let found = tokio::time::timeout(Duration::from_secs(5), async {
            let mut n = 0;
            loop {
                n += 1;
                a.try_send(sound(n));
                let read = tokio::time::timeout(Duration::from_millis(20), theirs[2].read_u16_le()).await;
                if let Ok(length) = read {
                    let length = length.unwrap();
                    let mut frame = vec![0; if length >= PING { 8 } else { usize::from(length) }];
                    theirs[2].read_exact(&mut frame).await.unwrap();
                    if length < PING {
                        return (n, frame.len());
                    }
                }
            }
        });
        let (after, length) = found.await.unwrap();
        assert!(after >= 4 && length == sound(0).len(), "{after} {length}");
    }
}
