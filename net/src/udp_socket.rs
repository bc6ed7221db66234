//! The media port: QUIC, probes and relayed packets share one UDP port per family, told apart by their first byte
//! (RFC 9443). quinn sees one IPv6 socket; IPv4 is mapped into it, and splices of relays are addresses of it.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use ahoy_base::Moment;
use ahoy_net_core::path::is_relayed;
use ahoy_net_core::path::packet::{self, PACKET, SPLICED, TAG};
use ahoy_net_core::path::relay::{Relay, Verdict};
use bytes::Bytes;
use futures::future::BoxFuture;
use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;
use tokio::sync::mpsc;

/// Datagrams that wait for QUIC because they came through a relay: a burst; more is loss.
const MAX_WAITING: usize = 256;
/// How long somebody who proved to be there may begin QUIC handshakes.
const WELCOME: Duration = Duration::from_secs(30);
/// Addresses that may at once; a call has a handful.
const MAX_WELCOME: usize = 512;

/// A packet for whoever knows its tag.
#[derive(Debug)]
pub struct PathPacket {
    /// Where it came from: a splice's address if through a relay.
    pub from: SocketAddr,
    /// When.
    pub at: Moment,
    /// All of it.
    pub bytes: [u8; PACKET],
}

/// Counters of the port, since it opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortStats {
    /// Dropped before anybody looked: nobody the port expects.
    pub unwelcome: u64,
    /// Neither QUIC nor anything else of this port.
    pub garbage: u64,
    /// Passed on for others.
    pub relayed: u64,
}

/// One splice that this device uses.
#[derive(Clone, Copy, Debug)]
struct Splice {
    id: [u8; TAG],
    relay: SocketAddr,
}

#[derive(Debug)]
struct Socket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

#[derive(Debug, Default)]
struct Tables {
    /// Who takes packets with a tag.
    routes: HashMap<[u8; TAG], mpsc::Sender<PathPacket>>,
    /// Splices by the address that stands for them, and the other way round.
    splices: HashMap<SocketAddr, Splice>,
    by_id: HashMap<[u8; TAG], SocketAddr>,
    welcome: HashMap<SocketAddr, Moment>,
    /// From these hosts QUIC handshakes are taken, whatever the port.
    hosts: Vec<IpAddr>,
    /// Came through a relay, for QUIC.
    waiting: VecDeque<(SocketAddr, Bytes)>,
    relay: Option<Relay>,
}

/// See the module's first lines.
#[derive(Debug)]
pub(crate) struct UdpPort {
    sockets: Vec<Socket>,
    clock: fn() -> Moment,
    tables: Mutex<Tables>,
    next_socket: AtomicUsize,
    /// When the newest batch came, in microseconds.
    batch_at: AtomicU64,
    unwelcome: AtomicU64,
    garbage: AtomicU64,
    relayed: AtomicU64,
}

impl UdpPort {
    /// Takes over bound sockets. Must be called inside a tokio runtime.
    pub(crate) fn new(sockets: Vec<std::net::UdpSocket>, clock: fn() -> Moment) -> io::Result<UdpPort> {
        let wrap = |socket: std::net::UdpSocket| {
            socket.set_nonblocking(true)?;
            let state = UdpSocketState::new((&socket).into())?;
            let local = socket.local_addr()?;
            Ok(Socket { io: tokio::net::UdpSocket::from_std(socket)?, state, local })
        };
        Ok(UdpPort {
            sockets: sockets.into_iter().map(wrap).collect::<io::Result<_>>()?,
            clock,
            tables: Mutex::default(),
            next_socket: AtomicUsize::new(0),
            batch_at: AtomicU64::new(0),
            unwelcome: AtomicU64::new(0),
            garbage: AtomicU64::new(0),
            relayed: AtomicU64::new(0),
        })
    }

    /// The addresses that the sockets are bound to.
    pub(crate) fn bound(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.sockets.iter().map(|s| s.local)
    }

    /// When the newest batch of datagrams came: a better guess at a datagram's arrival than when a task gets to it.
    pub(crate) fn batch_at(&self) -> Moment {
        Moment::from_micros(self.batch_at.load(Ordering::Relaxed))
    }

    /// What happened so far.
    pub(crate) fn stats(&self) -> PortStats {
        PortStats {
            unwelcome: self.unwelcome.load(Ordering::Relaxed),
            garbage: self.garbage.load(Ordering::Relaxed),
            relayed: self.relayed.load(Ordering::Relaxed),
        }
    }

    /// Gives packets that carry `tag` to `taker` until it is dropped.
    pub(crate) fn route(&self, tag: [u8; TAG], taker: mpsc::Sender<PathPacket>) {
        let mut tables = self.tables();
        tables.routes.retain(|_, taker| !taker.is_closed());
        tables.routes.insert(tag, taker);
    }

    /// Takes QUIC handshakes from `address` for a while: whoever is there has proven to know a key of ours.
    pub(crate) fn welcome(&self, address: SocketAddr) {
        let now = (self.clock)();
        let mut tables = self.tables();
        if tables.welcome.len() >= MAX_WELCOME {
            tables.welcome.retain(|_, until| now < *until);
        }
        if tables.welcome.len() < MAX_WELCOME {
            tables.welcome.insert(plain(address), now + WELCOME);
        }
    }

    /// Takes QUIC handshakes from any port of `hosts`, and of no others.
    pub(crate) fn set_hosts(&self, hosts: Vec<IpAddr>) {
        self.tables().hosts = hosts;
    }

    /// `stands` stands for splice `id` of the relay at `relay`.
    pub(crate) fn add_splice(&self, stands: SocketAddr, id: [u8; TAG], relay: SocketAddr) {
        let mut tables = self.tables();
        tables.splices.insert(stands, Splice { id, relay: plain(relay) });
        tables.by_id.insert(id, stands);
    }

    /// Forgets a splice.
    pub(crate) fn remove_splice(&self, stands: SocketAddr) {
        let mut tables = self.tables();
        if let Some(splice) = tables.splices.remove(&stands) {
            tables.by_id.remove(&splice.id);
        }
    }

    /// The relay behind an address that stands for a splice.
    pub(crate) fn relay_of(&self, stands: SocketAddr) -> Option<SocketAddr> {
        self.tables().splices.get(&plain(stands)).map(|s| s.relay)
    }

    /// The relay that this port is to others; `None` while it is none.
    pub(crate) fn with_relay<T>(&self, what: impl FnOnce(&mut Option<Relay>) -> T) -> T {
        what(&mut self.tables().relay)
    }

    /// Sends one datagram now, or loses it: probes are said again.
    pub(crate) fn send(&self, to: SocketAddr, bytes: &[u8]) {
        let transmit =
            Transmit { destination: to, ecn: None, contents: bytes, segment_size: None, src_ip: None };
        // A full queue is loss, as on the way.
        let _ = self.try_send(&transmit);
    }

    fn tables(&self) -> std::sync::MutexGuard<'_, Tables> {
        // Every change is one step, so a panic elsewhere does not spoil it.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn socket_for(&self, ip: IpAddr) -> Option<&Socket> {
        let fits = |local: SocketAddr| {
            local.is_ipv4() == ip.is_ipv4()
                && (local.ip().is_loopback() == ip.is_loopback() || local.ip().is_unspecified())
        };
        self.sockets.iter().find(|s| fits(s.local))
    }

    /// Whether any socket could send there.
    pub(crate) fn reaches(&self, address: SocketAddr) -> bool {
        is_relayed(address) || self.socket_for(address.ip().to_canonical()).is_some()
    }

    fn send_plain(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let destination = plain(transmit.destination);
        // No socket of that family: lost, as if there were no route.
        let Some(socket) = self.socket_for(destination.ip()) else { return Ok(()) };
        let src_ip = transmit.src_ip.map(|ip| ip.to_canonical());
        let transmit = Transmit {
            destination,
            ecn: transmit.ecn,
            contents: transmit.contents,
            segment_size: transmit.segment_size,
            src_ip,
        };
        socket.io.try_io(Interest::WRITABLE, || socket.state.send((&socket.io).into(), &transmit))
    }

    fn send_spliced(&self, transmit: &Transmit<'_>, splice: Splice) -> io::Result<()> {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for segment in transmit.contents.chunks(size) {
            let contents = [&splice.id[..], segment].concat();
            self.send_plain(&Transmit {
                destination: splice.relay,
                ecn: transmit.ecn,
                contents: &contents,
                segment_size: None,
                src_ip: None,
            })?;
        }
        Ok(())
    }

    /// Looks at what one read brought; keeps in front of `bufs` what is QUIC, and says how many.
    fn sort(&self, n: usize, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> usize {
        let now = (self.clock)();
        self.batch_at.store(now.as_micros(), Ordering::Relaxed);
        let mut tables = self.tables();
        let mut kept = 0;
        for i in 0..n {
            let (Some(buf), Some(one)) = (bufs.get(i), meta.get_mut(i)) else { break };
            let from = plain(one.addr);
            let data = buf.get(..one.len).unwrap_or_default();
            let stride = one.stride.max(1);
            if data.chunks(stride).all(|segment| tables.is_quic(now, from, segment)) {
                one.addr = mapped(from);
                bufs.swap(kept, i);
                meta.swap(kept, i);
                kept += 1;
                continue;
            }
            // Seldom, except at relays and those who use one: one at a time.
            let one = *one;
            for segment in data.chunks(stride) {
                self.take(now, &mut tables, from, one, segment);
            }
        }
        kept
    }

    fn take(&self, now: Moment, tables: &mut Tables, from: SocketAddr, meta: RecvMeta, segment: &[u8]) {
        match segment.first() {
            Some(&SPLICED) => self.take_spliced(now, tables, from, segment),
            Some(&packet::FIRST) => self.take_packet(now, tables, from, segment),
            Some(first) if first & 0x40 != 0 => {
                if tables.is_quic(now, from, segment) && tables.waiting.len() < MAX_WAITING {
                    tables.waiting.push_back((mapped(meta.addr), Bytes::copy_from_slice(segment)));
                } else {
                    self.unwelcome.fetch_add(1, Ordering::Relaxed);
                }
            }
            Some(_) | None => _ = self.garbage.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn take_spliced(&self, now: Moment, tables: &mut Tables, from: SocketAddr, segment: &[u8]) {
        let Some((id, inner)) = segment.split_first_chunk::<TAG>() else { return };
        let ours = tables.by_id.get(id).copied();
        if let Some(stands) = ours
            && tables.splices.get(&stands).is_some_and(|s| s.relay == from)
        {
            match inner.first() {
                Some(&packet::FIRST) => self.take_packet(now, tables, stands, inner),
                Some(_) if tables.is_quic(now, stands, inner) && tables.waiting.len() < MAX_WAITING => {
                    tables.waiting.push_back((stands, Bytes::copy_from_slice(inner)));
                }
                Some(_) | None => _ = self.unwelcome.fetch_add(1, Ordering::Relaxed),
            }
            return;
        }
        self.serve(now, tables, from, segment);
    }

    fn take_packet(&self, now: Moment, tables: &mut Tables, from: SocketAddr, segment: &[u8]) {
        let tag = segment.get(2..2 + TAG).and_then(|tag| <[u8; TAG]>::try_from(tag).ok());
        let (Some(tag), Ok(bytes)) = (tag, <[u8; PACKET]>::try_from(segment)) else {
            self.garbage.fetch_add(1, Ordering::Relaxed);
            return;
        };
        match tables.routes.get(&tag) {
            // Full: lost, as on the way; whoever asks says it again.
            Some(taker) => drop(taker.try_send(PathPacket { from, at: now, bytes })),
            None => self.serve(now, tables, from, segment),
        }
    }

    /// What is for nobody here may be for the relay that we are to others.
    fn serve(&self, now: Moment, tables: &mut Tables, from: SocketAddr, segment: &[u8]) {
        let verdict =
            tables.relay.as_mut().map_or(Verdict::Drop, |relay| relay.on_packet(now, from, segment));
        let (to, bytes) = match &verdict {
            Verdict::Drop => {
                self.unwelcome.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Verdict::Reply(bytes) => (from, &bytes[..]),
            Verdict::Forward(to) => (*to, segment),
        };
        let transmit =
            Transmit { destination: to, ecn: None, contents: bytes, segment_size: None, src_ip: None };
        if self.send_plain(&transmit).is_ok() {
            self.relayed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Hands over what came through relays.
    fn take_waiting(&self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> usize {
        let mut tables = self.tables();
        let mut n = 0;
        while let (Some(buf), Some(one)) = (bufs.get_mut(n), meta.get_mut(n)) {
            let Some((from, bytes)) = tables.waiting.pop_front() else { break };
            let Some(place) = buf.get_mut(..bytes.len()) else { continue };
            place.copy_from_slice(&bytes);
            *one = RecvMeta { addr: from, len: bytes.len(), stride: bytes.len(), ecn: None, dst_ip: None };
            n += 1;
        }
        n
    }
}

impl Tables {
    /// QUIC of somebody who is expected: handshakes are taken from those who proved a key or are met already, the rest is for
    /// quinn to tell.
    fn is_quic(&self, now: Moment, from: SocketAddr, segment: &[u8]) -> bool {
        match segment.first() {
            // The fixed bit; ours never grease it (RFC 9287 is off).
            Some(first) if first & 0x40 == 0 => false,
            Some(first) if first & 0x80 != 0 => {
                self.welcome.get(&from).is_some_and(|until| now < *until) || self.hosts.contains(&from.ip())
            }
            Some(_) => true,
            None => false,
        }
    }
}

impl AsyncUdpSocket for UdpPort {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller { port: self, wait: Mutex::new(None) })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if !is_relayed(transmit.destination) {
            return self.send_plain(transmit);
        }
        let splice = self.tables().splices.get(&transmit.destination).copied();
        match splice {
            Some(splice) => self.send_spliced(transmit, splice),
            // The splice is given up: what still goes there is lost.
            None => Ok(()),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let waiting = self.take_waiting(bufs, meta);
            if waiting > 0 {
                return Poll::Ready(Ok(waiting));
            }
            let mut again = false;
            let first = self.next_socket.fetch_add(1, Ordering::Relaxed);
            for turn in 0..self.sockets.len() {
                let Some(socket) = self.sockets.get((first + turn) % self.sockets.len()) else { continue };
                match socket.io.poll_recv_ready(cx) {
                    Poll::Pending => continue,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) => again = true,
                }
                let read = socket
                    .io
                    .try_io(Interest::READABLE, || socket.state.recv((&socket.io).into(), bufs, meta));
                // An error is a wake-up for nothing, or word of a peer that is gone; neither ends the port.
                if let Ok(n) = read {
                    let kept = self.sort(n, bufs, meta);
                    if kept > 0 {
                        return Poll::Ready(Ok(kept));
                    }
                }
            }
            if !again {
                return Poll::Pending;
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        let port = self.sockets.first().map_or(0, |s| s.local.port());
        Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port))
    }

    fn max_transmit_segments(&self) -> usize {
        self.sockets.iter().map(|s| s.state.max_gso_segments()).min().unwrap_or(1)
    }

    fn max_receive_segments(&self) -> usize {
        self.sockets.iter().map(|s| s.state.gro_segments()).max().unwrap_or(1)
    }

    fn may_fragment(&self) -> bool {
        self.sockets.iter().any(|s| s.state.may_fragment())
    }
}

/// Waits until the sockets take more.
struct Poller {
    port: Arc<UdpPort>,
    /// Behind a lock because futures of tokio are not `Sync`; nobody ever waits for it.
    wait: Mutex<Option<BoxFuture<'static, io::Result<()>>>>,
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Poller")
    }
}

impl UdpPoller for Poller {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wait = self.wait.lock().unwrap_or_else(PoisonError::into_inner);
        let future = wait.get_or_insert_with(|| {
            let port = self.port.clone();
            Box::pin(async move {
                for socket in &port.sockets {
                    socket.io.writable().await?;
                }
                Ok(())
            })
        });
        let result = future.as_mut().poll(cx);
        if result.is_ready() {
            *wait = None;
        }
        result
    }
}

/// As people write it: IPv4 that QUIC sees as IPv6, as IPv4.
pub(crate) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// As quinn wants it: IPv6.
fn mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(IpAddr::V6(ip.to_ipv6_mapped()), address.port()),
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn mapped_addresses_are_shown_plain() {
        let address: SocketAddr = "10.0.0.1:5".parse().unwrap();
        assert_eq!(mapped(address), "[::ffff:10.0.0.1]:5".parse().unwrap());
        assert_eq!(plain(mapped(address)), address);
    }
}
