//! Two devices in one process, over real sockets on loopback: they find, signal, link and lose each other.
#![expect(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm, reason = "tests")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use ahoy_base::{CallId, Moment, PeerId};
use ahoy_net::{
    LinkError, LinkSide, MAX_MESSAGE, Multiaddr, Net, NetConfig, NetEvent, PathKind, ReachConfig, RelayError,
    RelayRole, SendError, SendOutcome, Source, start,
};
use ahoy_net_core::path::splices::{SpliceOutput, Splices};
use ahoy_net_core::session::{RelayOffer, Role};
use bytes::Bytes;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

/// A bound on failure, not a wait: everything here takes milliseconds.
const FAILED: Duration = Duration::from_secs(60);

struct Device {
    net: Net,
    events: Receiver<NetEvent>,
}

fn clock() -> Moment {
    static STARTED: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let started = STARTED.get_or_init(std::time::Instant::now);
    Moment::from_micros(u64::try_from(started.elapsed().as_micros()).unwrap())
}

async fn device(secret: u8) -> Device {
    device_with(secret, RelayRole::Off).await
}

async fn device_with(secret: u8, relay: RelayRole) -> Device {
    let config = NetConfig {
        secret: [secret; 32],
        listen: NetConfig::loopback(),
        media_listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        mdns: false,
        bootstrap: Vec::new(),
        reach: ReachConfig { relay, ..ReachConfig::default() },
        clock,
    };
    let (net, events) = start(config).await.unwrap();
    Device { net, events }
}

impl Device {
    async fn until<T>(&mut self, mut wanted: impl FnMut(NetEvent) -> Option<T>) -> T {
        timeout(FAILED, async {
            loop {
                let event = self.events.recv().await.unwrap_or_else(|| panic!("the network stopped"));
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        })
        .await
        .unwrap_or_else(|_| panic!("nothing of that kind happened"))
    }

    async fn addresses(&mut self) -> Vec<Multiaddr> {
        self.until(|e| match e {
            NetEvent::Addresses(all) if all.len() == 2 => Some(all),
            _ => None,
        })
        .await
    }

    async fn up(&mut self) -> PeerId {
        self.until(|e| if let NetEvent::PeerUp { peer } = e { Some(peer) } else { None }).await
    }

    async fn signal(&mut self) -> Vec<u8> {
        self.until(|e| if let NetEvent::Signal { bytes, .. } = e { Some(bytes) } else { None }).await
    }

    fn media(&self) -> SocketAddr {
        self.net.media_candidates()[0]
    }
}

async fn introduced() -> (Device, Device) {
    let (mut a, mut b) = (device(1).await, device(2).await);
    let (at_a, at_b) = (a.addresses().await, b.addresses().await);
    a.net.add_addresses(b.net.peer_id(), at_b, Source::Told);
    b.net.add_addresses(a.net.peer_id(), at_a, Source::Told);
    (a, b)
}

#[tokio::test]
async fn both_open_at_once_and_nothing_is_lost_or_reordered() {
    let (mut a, mut b) = introduced().await;
    a.net.connect(b.net.peer_id());
    b.net.connect(a.net.peer_id());
    assert_eq!(a.up().await, b.net.peer_id());
    assert_eq!(b.up().await, a.net.peer_id());
    for n in 0..50u8 {
        a.net.send(b.net.peer_id(), vec![n]).unwrap();
        b.net.send(a.net.peer_id(), vec![100 + n]).unwrap();
    }
    for n in 0..50u8 {
        assert_eq!(b.signal().await, [n]);
        assert_eq!(a.signal().await, [100 + n]);
    }
}

#[tokio::test]
async fn one_who_connects_is_heard_and_answered_only_by_who_wants_to() {
    let (mut a, mut b) = introduced().await;
    a.net.connect(b.net.peer_id());
    a.up().await;
    a.net.send(b.net.peer_id(), b"knock".to_vec()).unwrap();
    assert_eq!(b.signal().await, b"knock");
    assert_eq!(b.net.send(a.net.peer_id(), vec![1]), Err(SendError::NoStream));
    b.net.connect(a.net.peer_id());
    assert_eq!(b.up().await, a.net.peer_id());
    let long = vec![7; MAX_MESSAGE];
    b.net.send(a.net.peer_id(), long.clone()).unwrap();
    assert_eq!(a.signal().await, long);
    assert_eq!(b.net.send(a.net.peer_id(), vec![0; MAX_MESSAGE + 1]), Err(SendError::TooLong));
}

#[tokio::test]
async fn a_device_that_stops_is_missed() {
    let (mut a, mut b) = introduced().await;
    let peer = b.net.peer_id();
    a.net.connect(peer);
    b.net.connect(a.net.peer_id());
    a.up().await;
    b.up().await;
    b.net.shutdown().await;
    drop(b);
    let gone = a.until(|e| if let NetEvent::PeerDown { peer } = e { Some(peer) } else { None }).await;
    assert_eq!(gone, peer);
    assert_eq!(a.net.send(peer, vec![1]), Err(SendError::NoStream));
    a.until(|e| if let NetEvent::DialFailed { peer: p, .. } = e { (p == peer).then_some(()) } else { None })
        .await;
}

#[tokio::test]
async fn nobody_there_is_said_in_words() {
    let mut a = device(1).await;
    let nobody = device(9).await.net.peer_id();
    a.net.add_addresses(nobody, vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()], Source::Told);
    a.net.connect(nobody);
    let why = a.until(|e| if let NetEvent::DialFailed { why, .. } = e { Some(why) } else { None }).await;
    assert!(!why.is_empty());
}

#[tokio::test]
async fn an_armed_link_carries_datagrams_and_both_ends_share_a_secret() {
    let (a, mut b) = (device(1).await, device(2).await);
    b.net.arm(a.net.peer_id());
    b.net.welcome(a.media());
    let ab = a.net.dial_link(b.net.peer_id(), b.media()).await.unwrap();
    let ba = b.until(|e| if let NetEvent::LinkUp { link } = e { Some(link) } else { None }).await;
    assert_eq!((ab.side(), ba.side()), (LinkSide::Dialer, LinkSide::Acceptor));
    assert_eq!((ab.peer(), ba.peer()), (b.net.peer_id(), a.net.peer_id()));

    let call = CallId::from_bytes([3; 16]);
    assert_eq!(ab.exporter(&call), ba.exporter(&call));
    assert_ne!(ab.exporter(&call), ab.exporter(&CallId::from_bytes([4; 16])));

    ab.send_hello(b"hello b").await.unwrap();
    ba.send_hello(b"hello a").await.unwrap();
    assert_eq!(timeout(FAILED, ba.recv_hello()).await.unwrap().unwrap(), b"hello b");
    assert_eq!(timeout(FAILED, ab.recv_hello()).await.unwrap().unwrap(), b"hello a");

    assert!(ab.max_datagram() >= 1_100, "{}", ab.max_datagram());
    assert_eq!(ab.try_send(Bytes::from(vec![0; 60_000])), SendOutcome::QueueFull);
    let before = clock();
    assert_eq!(ab.try_send(Bytes::from_static(b"sound")), SendOutcome::Sent);
    let (arrival, bytes) = timeout(FAILED, ba.recv()).await.unwrap().unwrap();
    assert_eq!(&bytes[..], b"sound");
    assert!((before..=clock()).contains(&arrival), "{arrival:?}");

    ba.close("over");
    assert_eq!(timeout(FAILED, ab.recv()).await.unwrap(), Err(LinkError::Closed));
    assert_eq!(ab.try_send(Bytes::from_static(b"late")), SendOutcome::Closed);
}

#[tokio::test]
async fn the_media_port_is_silent_to_everybody_until_armed() {
    let b = device(2).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    // The largest QUIC v1 Initial that is still nonsense, an unknown version that would earn a version negotiation, noise.
    for (first, version) in [(0xc3u8, 1u8), (0xff, 0x1a), (0x00, 0), (0x41, 0)] {
        let mut packet = [0u8; 1_200];
        packet[0] = first;
        packet[4] = version;
        packet[5] = 8;
        socket.send_to(&packet, b.media()).unwrap();
    }
    assert!(socket.recv_from(&mut [0; 2_000]).is_err(), "a stranger got an answer");
}

#[tokio::test]
async fn another_device_than_expected_is_refused_on_both_sides() {
    let (a, b, c) = (device(1).await, device(2).await, device(3).await);
    b.net.arm(a.net.peer_id());
    b.net.welcome(a.media());
    b.net.welcome(c.media());
    // A thinks that B's port is C's.
    assert!(matches!(
        a.net.dial_link(c.net.peer_id(), b.media()).await,
        Err(LinkError::Failed(_) | LinkError::WrongPeer)
    ));
    // C knows where B is, but B expects A alone.
    let link = c.net.dial_link(b.net.peer_id(), b.media()).await;
    if let Ok(link) = link {
        assert_eq!(timeout(FAILED, link.recv()).await.unwrap(), Err(LinkError::Closed));
    }
}

#[tokio::test]
async fn whom_signalling_meets_is_let_in_from_there_and_only_while_it_is_expected() {
    let (mut a, mut b) = introduced().await;
    let (in_a, in_b) = (a.net.peer_id(), b.net.peer_id());
    a.net.connect(in_b);
    b.net.connect(in_a);
    a.up().await;
    b.up().await;
    assert_eq!(a.net.hosts(in_b)[0], b.media().ip());
    let dial = || timeout(Duration::from_millis(600), a.net.dial_link(in_b, b.media()));
    assert!(!matches!(dial().await, Ok(Ok(_))), "no call");
    b.net.arm(in_a);
    assert!(timeout(FAILED, a.net.dial_link(in_b, b.media())).await.unwrap().is_ok());
    b.net.disarm(in_a);
    assert!(!matches!(dial().await, Ok(Ok(_))), "the call is over");
}

#[tokio::test]
async fn even_a_call_opens_the_port_to_nobody_but_whom_it_expects() {
    let (a, b) = (device(1).await, device(2).await);
    b.net.arm(a.net.peer_id());
    let dial = timeout(Duration::from_millis(600), a.net.dial_link(b.net.peer_id(), b.media()));
    assert!(dial.await.is_err(), "nobody welcomed it");
    assert!(b.net.port_stats().unwelcome > 0);
}

/// Binds an end of a splice; what stands for it, and where the relay sees us.
async fn hold(net: &Net, offer: RelayOffer) -> (SocketAddr, SocketAddr) {
    let mut splices = Splices::new(Role::Initiator, net.peer_id());
    let (packets_out, mut packets) = tokio::sync::mpsc::channel(8);
    splices.on_offer(clock(), offer);
    let held = async {
        let mut seen_at = None;
        loop {
            splices.on_time(clock());
            while let Some(output) = splices.poll() {
                match output {
                    SpliceOutput::Tag(tag) => net.route(tag, packets_out.clone()),
                    SpliceOutput::Send(to, bytes) => net.send_packet(to, &bytes),
                    SpliceOutput::Bound(stands, id, relay) => net.add_splice(stands, id, relay),
                    SpliceOutput::SeenAs(_, seen) => seen_at = Some(seen),
                    SpliceOutput::Live(stands) => return (stands, seen_at.unwrap()),
                    other => panic!("{other:?}"),
                }
            }
            if let Ok(Some(packet)) = timeout(Duration::from_millis(50), packets.recv()).await {
                splices.on_packet(packet.at, packet.from, &packet.bytes);
            }
        }
    };
    timeout(FAILED, held).await.unwrap()
}

#[tokio::test]
async fn two_devices_link_through_a_third_that_reads_nothing() {
    let (mut a, mut b, mut relay) =
        (device(1).await, device(2).await, device_with(3, RelayRole::Public).await);
    let at_relay = relay.addresses().await;
    a.net.add_addresses(relay.net.peer_id(), at_relay, Source::Told);
    a.net.connect(relay.net.peer_id());
    a.up().await;
    timeout(FAILED, async {
        while a.net.relays() != [relay.net.peer_id()] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    let asker = a.net.clone();
    let relay_peer = relay.net.peer_id();
    let asked = tokio::spawn(async move { asker.ask_relay(relay_peer).await });
    let (peer, ask) = relay
        .until(|e| if let NetEvent::RelayAsked { peer, ask } = e { Some((peer, ask)) } else { None })
        .await;
    assert_eq!(peer, a.net.peer_id());
    ask.answer(true);
    let (lent, addresses) = timeout(FAILED, asked).await.unwrap().unwrap().unwrap();
    assert!(lent.limits.rate.as_bps() > 0);
    let end = |key| RelayOffer { addresses: addresses.clone(), id: lent.id, key };
    let (end_a, seen_a) = hold(&a.net, end(lent.near)).await;
    let (end_b, seen_b) = hold(&b.net, end(lent.far)).await;
    assert_eq!((seen_a, seen_b), (a.media(), b.media()));
    b.net.arm(a.net.peer_id());
    b.net.welcome(end_b);
    let ab = a.net.dial_link(b.net.peer_id(), end_a).await.unwrap();
    let ba = b.until(|e| if let NetEvent::LinkUp { link } = e { Some(link) } else { None }).await;
    assert_eq!((ab.kind(), ba.kind()), (PathKind::Relay, PathKind::Relay));
    assert_eq!((ab.remote(), ba.remote()), (relay.media(), relay.media()));
    for n in 0..100u32 {
        let datagram = Bytes::from(vec![n as u8; 1_000]);
        assert_eq!(ab.try_send(datagram.clone()), SendOutcome::Sent);
        assert_eq!(timeout(FAILED, ba.recv()).await.unwrap().unwrap().1, datagram);
    }
    assert!(relay.net.port_stats().relayed >= 100);

    // A relay that is none of ours says no, and what is given up carries nothing any more.
    let asker = a.net.clone();
    let asked = tokio::spawn(async move { asker.ask_relay(relay_peer).await });
    let ask = relay.until(|e| if let NetEvent::RelayAsked { ask, .. } = e { Some(ask) } else { None }).await;
    ask.answer(false);
    assert!(matches!(asked.await.unwrap(), Err(RelayError::Refused(_))));
    a.net.remove_splice(end_a);
    let dial = timeout(Duration::from_millis(300), a.net.dial_link(b.net.peer_id(), end_b));
    assert!(!matches!(dial.await, Ok(Ok(_))));
}
