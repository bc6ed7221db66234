//! Devices that can't reach each other simply, over real sockets on loopback: relays, doors, proxies, the table.
#![expect(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm, reason = "tests")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ahoy_base::{CallId, Moment, PeerId};
use ahoy_net::{
    Link, Multiaddr, Net, NetConfig, NetEvent, PathKind, Proxy, ReachConfig, Reached, RelayRole, SendOutcome,
    Source, is_relayed, start,
};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

/// A bound on failure, not a wait.
const FAILED: Duration = Duration::from_secs(30);
const NOON: u64 = 20_000 * 24 * 3_600_000 + 12 * 3_600_000;

struct Device {
    net: Net,
    events: Receiver<NetEvent>,
    listens: Vec<Multiaddr>,
    reached: Reached,
}

fn clock() -> Moment {
    static STARTED: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let started = STARTED.get_or_init(std::time::Instant::now);
    Moment::from_micros(u64::try_from(started.elapsed().as_micros()).unwrap())
}

fn config(secret: u8) -> NetConfig {
    NetConfig {
        secret: [secret; 32],
        listen: vec!["/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()],
        media_listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        mdns: false,
        bootstrap: Vec::new(),
        reach: ReachConfig { wall_ms: || NOON, ..ReachConfig::default() },
        clock,
    }
}

/// One that carries calls of others, with a door.
fn relay_config(secret: u8, relay: RelayRole) -> NetConfig {
    let mut config = config(secret);
    config.listen.push("/ip4/127.0.0.1/tcp/0/tls/ws".parse().unwrap());
    config.reach.relay = relay;
    config
}

async fn device(config: NetConfig) -> Device {
    let wanted = config.listen.len();
    let (net, events) = start(config).await.unwrap();
    let mut device = Device { net, events, listens: Vec::new(), reached: Reached::default() };
    device.until("addresses", |device, _| device.listens.len() >= wanted).await;
    device
}

impl Device {
    async fn until(&mut self, what: &str, mut wanted: impl FnMut(&Device, &NetEvent) -> bool) {
        timeout(FAILED, async {
            loop {
                let event = self.events.recv().await.unwrap_or_else(|| panic!("the network stopped"));
                match &event {
                    NetEvent::Addresses(all) => self.listens = all.clone(),
                    NetEvent::Reached(reached) => self.reached = *reached,
                    _ => {}
                }
                if wanted(self, &event) {
                    return;
                }
            }
        })
        .await
        .unwrap_or_else(|_| panic!("never: {what}; {:?} {:?}", self.reached, self.listens));
    }

    async fn up(&mut self, peer: PeerId) {
        self.until("up", |_, event| matches!(event, NetEvent::PeerUp { peer: p } if *p == peer)).await;
    }

    async fn link(&mut self) -> Link {
        let mut found = None;
        timeout(FAILED, async {
            while found.is_none() {
                if let Some(NetEvent::LinkUp { link }) = self.events.recv().await {
                    found = Some(link);
                }
            }
        })
        .await
        .unwrap();
        found.unwrap()
    }

    /// Its addresses with itself at the end.
    fn whole(&self) -> Vec<Multiaddr> {
        let peer = self.net.peer_id();
        self.listens.iter().map(|a| format!("{a}/p2p/{peer}").parse().unwrap()).collect()
    }

    fn door(&self) -> Multiaddr {
        self.listens.iter().find(|a| a.to_string().contains("/tls/ws") && !is_relayed(a)).unwrap().clone()
    }
}

/// Both ends talk, and share what only they know.
async fn talks(a: &Link, b: &Link) {
    let call = CallId::from_bytes([3; 16]);
    assert_eq!(a.exporter(&call), b.exporter(&call));
    assert_ne!(a.exporter(&call), a.exporter(&CallId::from_bytes([4; 16])));
    a.send_hello(b"hello b").await.unwrap();
    b.send_hello(b"hello a").await.unwrap();
    assert_eq!(timeout(FAILED, b.recv_hello()).await.unwrap().unwrap(), b"hello b");
    assert_eq!(timeout(FAILED, a.recv_hello()).await.unwrap().unwrap(), b"hello a");
    for (from, to) in [(a, b), (b, a)] {
        let sound = Bytes::from_static(&[0, 1, 0, 0, 0, 7, 7]);
        assert_eq!(from.try_send(sound.clone()), SendOutcome::Sent);
        assert_eq!(timeout(FAILED, to.recv()).await.unwrap().unwrap().1, sound);
    }
}

/// A proxy that knows CONNECT alone; counts what it opened.
async fn connect_proxy(authorization: Option<&'static str>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, opened) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&opened);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                if authorization
                    .is_some_and(|a| !head.contains(&format!("Proxy-Authorization: Basic {a}\r\n")))
                {
                    client.write_all(b"HTTP/1.1 407 Who are you\r\n\r\n").await.unwrap();
                    return;
                }
                let target = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
                let mut server = TcpStream::connect(target).await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, opened)
}

/// `b` behind relay `r`, as if nobody reached it straight; `a` knows its circuit alone.
async fn through_a_relay(role: RelayRole) -> (Device, Device, Device) {
    let r = device(relay_config(1, role)).await;
    let mut b = {
        let mut config = config(2);
        config.bootstrap = r.whole();
        device(config).await
    };
    // For a relay of contacts B is one.
    r.net.connect(b.net.peer_id());
    b.until("a reservation", |b, _| b.listens.iter().any(is_relayed) && b.reached.relays == 1).await;
    let a = device(config(3)).await;
    let circuits: Vec<Multiaddr> = b.listens.iter().filter(|a| is_relayed(a)).cloned().collect();
    a.net.add_addresses(b.net.peer_id(), circuits, Source::Card);
    (r, a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_nobody_reaches_is_called_through_a_relay_and_media_can_go_there_too() {
    let (r, mut a, mut b) = through_a_relay(RelayRole::Contacts).await;
    let (peer_a, peer_b) = (a.net.peer_id(), b.net.peer_id());
    a.net.connect(peer_b);
    b.net.connect(peer_a);
    a.up(peer_b).await;
    b.up(peer_a).await;
    a.net.send(peer_b, vec![7]).unwrap();
    b.until("the message", |_, event| matches!(event, NetEvent::Signal { bytes, .. } if bytes == &[7])).await;
    b.net.arm(peer_a);

    let ab = a.net.dial_without_udp(peer_b, PathKind::Circuit).await.unwrap();
    let ba = b.link().await;
    assert_eq!((ab.kind(), ba.kind()), (PathKind::Circuit, PathKind::Circuit));
    assert_eq!((ab.peer(), ba.peer()), (peer_b, peer_a));
    talks(&ab, &ba).await;

    // The relay has a door, so lanes meet there.
    let ab = a.net.dial_without_udp(peer_b, PathKind::Tcp).await.unwrap();
    let ba = b.link().await;
    assert_eq!((ab.kind(), ba.kind()), (PathKind::Tcp, PathKind::Tcp));
    talks(&ab, &ba).await;
    drop(r);
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_our_address_is_hidden_from_is_met_at_the_relay_alone() {
    let (r, mut a, mut b) = through_a_relay(RelayRole::Contacts).await;
    let (peer_a, peer_b) = (a.net.peer_id(), b.net.peer_id());
    let straight: Vec<Multiaddr> = b.listens.iter().filter(|a| !is_relayed(a)).cloned().collect();
    a.net.add_addresses(peer_b, straight, Source::Worked);
    a.net.connect(peer_b);
    b.net.connect(peer_a);
    a.up(peer_b).await;
    b.up(peer_a).await;
    b.net.arm(peer_a);
    let link = a.net.dial_without_udp(peer_b, PathKind::Circuit).await.unwrap();
    assert_eq!(link.kind(), PathKind::Tcp, "the connection is straight so far");
    b.link().await;

    b.net.hide_from(peer_a, true);
    // A still knows where B was, and is told nothing there.
    a.until("down", |_, event| matches!(event, NetEvent::PeerDown { peer } if *peer == peer_b)).await;
    a.up(peer_b).await;
    let link = a.net.dial_without_udp(peer_b, PathKind::Circuit).await.unwrap();
    assert_eq!(link.kind(), PathKind::Circuit);
    talks(&link, &b.link().await).await;
    let own = a.net.media_candidates();
    assert!(b.net.dial_link(peer_a, own[0]).await.is_err(), "nor does B go straight to A");
    drop(r);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_of_contacts_carries_nobody_else() {
    let r = device(relay_config(1, RelayRole::Contacts)).await;
    let mut config = config(2);
    config.bootstrap = r.whole();
    let mut b = device(config).await;
    b.until("the relay is known", |b, _| b.reached.known_relays == 1).await;
    let waited = timeout(Duration::from_secs(2), b.until("", |b, _| b.reached.relays > 0)).await;
    assert!(waited.is_err(), "a stranger was taken in");
    // The moment it is a contact it is carried.
    r.net.connect(b.net.peer_id());
    b.until("a reservation", |b, _| b.reached.relays == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_and_signalling_go_to_a_door_through_a_proxy_that_asks_who_it_is() {
    let mut b = device(relay_config(2, RelayRole::Off)).await;
    let (proxy, opened) = connect_proxy(Some("YW5uOnB3")).await;
    let mut through = config(3);
    through.reach.proxy = Some(format!("http://ann:pw@{proxy}").parse::<Proxy>().unwrap());
    let mut a = device(through).await;
    let (peer_a, peer_b) = (a.net.peer_id(), b.net.peer_id());
    a.net.add_addresses(peer_b, vec![b.door()], Source::Card);
    a.net.connect(peer_b);
    b.net.connect(peer_a);
    a.up(peer_b).await;
    b.up(peer_a).await;
    assert_eq!(opened.load(Ordering::Relaxed), 1);
    b.net.arm(peer_a);
    let ab = a.net.dial_without_udp(peer_b, PathKind::Tcp).await.unwrap();
    let ba = b.link().await;
    talks(&ab, &ba).await;
    assert_eq!(opened.load(Ordering::Relaxed), 5);
    assert_eq!(
        ab.remote().to_string(),
        b.door().to_string().replace("/ip4/", "").replace("/tcp/", ":").replace("/tls/ws", "")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_refuses_is_told_of() {
    let b = device(relay_config(2, RelayRole::Off)).await;
    let (proxy, _) = connect_proxy(Some("YW5uOnB3")).await;
    let mut through = config(3);
    through.reach.proxy = Some(format!("http://{proxy}").parse::<Proxy>().unwrap());
    let mut a = device(through).await;
    a.net.add_addresses(b.net.peer_id(), vec![b.door()], Source::Card);
    a.net.connect(b.net.peer_id());
    a.until("what the proxy did", |a, _| a.reached.proxy == Some(ahoy_net::ProxyTrouble::Authentication))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_is_shut_to_those_who_are_not_expected() {
    let b = device(relay_config(2, RelayRole::Off)).await;
    let a = device(config(3)).await;
    a.net.add_addresses(b.net.peer_id(), vec![b.door()], Source::Card);
    assert!(
        a.net.dial_without_udp(b.net.peer_id(), PathKind::Tcp).await.is_err() || {
            // TLS of the last lane may have ended after ours: then the link is closed from the other side.
            let link = a.net.dial_without_udp(b.net.peer_id(), PathKind::Tcp).await;
            match link {
                Ok(link) => timeout(FAILED, link.recv()).await.unwrap().is_err(),
                Err(_) => true,
            }
        }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_is_found_in_the_table_by_a_record_that_is_theirs_alone() {
    let r = device(relay_config(1, RelayRole::Public)).await;
    let with_bootstrap = |secret: u8| {
        let mut config = config(secret);
        config.bootstrap = r.whole();
        config
    };
    let mut b = device(with_bootstrap(2)).await;
    b.until("a reservation and the table", |b, _| b.reached.relays == 1 && b.reached.table > 0).await;
    let mut a = device(with_bootstrap(3)).await;
    a.until("the table", |a, _| a.reached.table > 0).await;
    let (peer_a, peer_b) = (a.net.peer_id(), b.net.peer_id());
    // No address is known to either; B waits for A, which is what puts the record.
    b.net.connect(peer_a);
    a.net.connect(peer_b);
    a.up(peer_b).await;
    b.up(peer_a).await;
    drop(r);
}
