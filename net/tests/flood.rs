//! Garbage at every door, ten thousand knocks a second, while a call runs: the call does not notice, and memory stays.
//!
//! Bounded: 2 s at each door, loopback alone. Real sockets, so what is asserted leaves room for a busy machine.
#![expect(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm, reason = "tests")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ahoy_base::Moment;
use ahoy_net::{
    Link, Multiaddr, Net, NetConfig, NetEvent, Protocol, ReachConfig, RelayRole, SendOutcome, start,
};
use bytes::Bytes;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

const FLOOD: Duration = Duration::from_secs(2);
const A_SECOND: u64 = 10_000;
/// A frame of voice each.
const FRAME: Duration = Duration::from_millis(20);
/// What a playout of 60 ms would lose.
const LATE: Duration = Duration::from_millis(60);

fn clock() -> Moment {
    static STARTED: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    Moment::from_micros(u64::try_from(STARTED.get_or_init(Instant::now).elapsed().as_micros()).unwrap())
}

async fn device(secret: u8, listen: &[&str]) -> (Net, Receiver<NetEvent>, Vec<Multiaddr>) {
    let config = NetConfig {
        secret: [secret; 32],
        listen: listen.iter().map(|text| text.parse().unwrap()).collect(),
        media_listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        mdns: false,
        bootstrap: Vec::new(),
        reach: ReachConfig { relay: RelayRole::Public, ..ReachConfig::default() },
        clock,
    };
    let (net, mut events) = start(config).await.unwrap();
    let addresses = timeout(Duration::from_secs(20), async {
        loop {
            if let Some(NetEvent::Addresses(all)) = events.recv().await
                && all.len() == listen.len()
            {
                return all;
            }
        }
    });
    let addresses = addresses.await.unwrap();
    (net, events, addresses)
}

fn socket(address: &Multiaddr) -> SocketAddr {
    let (mut ip, mut port) = (None, 0);
    for part in address.iter() {
        match part {
            Protocol::Ip4(v4) => ip = Some(v4),
            Protocol::Tcp(p) | Protocol::Udp(p) => port = p,
            _ => {}
        }
    }
    SocketAddr::from((ip.unwrap(), port))
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// Sends nonsense to `at` from a thread: datagrams, or connections that say something that is no TLS and go.
fn flood(
    at: SocketAddr,
    udp: bool,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (begun, mut n) = (Instant::now(), 0u64);
        while !stop.load(Ordering::Relaxed) {
            while n > begun.elapsed().as_micros() as u64 * A_SECOND / 1_000_000 {
                std::thread::sleep(Duration::from_micros(500));
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
            n += 1;
            if udp {
                // A QUIC v1 Initial that nobody can open; every tenth is shorter nonsense.
                let mut packet = vec![0u8; if n.is_multiple_of(10) { 40 } else { 1_200 }];
                packet[..7].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8, n as u8]);
                packet[7..11].copy_from_slice(&(n as u32).to_le_bytes());
                // A full socket buffer is the machine's own limit.
                let _ = socket.send_to(&packet, at);
            } else if let Ok(mut stream) =
                std::net::TcpStream::connect_timeout(&at, Duration::from_millis(50))
            {
                let _ = std::io::Write::write_all(&mut stream, &[n as u8; 64]);
            }
            sent.fetch_add(1, Ordering::Relaxed);
        }
    })
}

/// Sends a frame every 20 ms for as long as the flood lasts; the share that came within [`LATE`].
async fn in_time(a: &Link, b: &Link, long: Duration) -> f64 {
    let frames = long.as_micros() / FRAME.as_micros();
    let send = async {
        let mut every = tokio::time::interval(FRAME);
        for _ in 0..frames {
            every.tick().await;
            let mut frame = vec![0u8; 100];
            frame[10..18].copy_from_slice(&clock().as_micros().to_le_bytes());
            assert_ne!(a.try_send(Bytes::from(frame)), SendOutcome::Closed);
        }
    };
    let receive = async {
        let mut good = 0u32;
        while let Ok(Ok((at, frame))) = timeout(Duration::from_millis(500), b.recv()).await {
            let sent = u64::from_le_bytes(frame[10..18].try_into().unwrap());
            good += u32::from(at.since(Moment::from_micros(sent)) < LATE);
        }
        good
    };
    let ((), good) = tokio::join!(send, receive);
    f64::from(good) / frames as f64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_knocks_a_second_at_each_door_disturb_no_call() {
    let listen = ["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/tls/ws"];
    let (a, _, _) = device(1, &listen[..1]).await;
    let (b, mut events, addresses) = device(2, &listen).await;
    b.arm(a.peer_id());
    b.welcome(a.media_candidates()[0]);
    let media = b.media_candidates()[0];
    let ab = a.dial_link(b.peer_id(), media).await.unwrap();
    let ba = loop {
        match timeout(Duration::from_secs(20), events.recv())
            .await
            .unwrap()
            .unwrap_or_else(|| panic!("stopped"))
        {
            NetEvent::LinkUp { link } => break link,
            _ => continue,
        }
    };
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    let calm = in_time(&ab, &ba, Duration::from_secs(1)).await;
    let before = resident_kib();
    let mut doors: Vec<(&str, SocketAddr, bool)> = vec![("media", media, true)];
    for (name, address) in ["swarm over QUIC", "swarm over TCP", "door"]
        .iter()
        .zip(listen.iter().map(|l| addresses.iter().find(|a| kind(a) == kind(&l.parse().unwrap())).unwrap()))
    {
        doors.push((name, socket(address), *name == "swarm over QUIC"));
    }
    for (name, at, udp) in doors {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let thread = flood(at, udp, Arc::clone(&stop), Arc::clone(&sent));
        let share = in_time(&ab, &ba, FLOOD).await;
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap();
        let (sent, grown) = (sent.load(Ordering::Relaxed), resident_kib().saturating_sub(before));
        println!(
            "{name}: {sent} knocks, {:.1} % of frames in time (calm {:.1} %), {grown} KiB more",
            share * 100.0,
            calm * 100.0
        );
        assert!(sent > 2_000, "{name}: {sent}");
        assert!(share > 0.97 * calm, "{name}: {share} of {calm}");
        assert!(grown < 64 * 1_024, "{name}: {grown} KiB");
    }
}

/// Which door, without address and port.
fn kind(address: &Multiaddr) -> (bool, bool) {
    let text = address.to_string();
    (text.contains("/udp/"), text.contains("/ws"))
}
