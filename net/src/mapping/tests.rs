//! Against gateways on loopback that speak each protocol, written from the RFCs and not with the crates that ask them.
//! Linux alone has all of 127.0.0.0/8 without being told.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};

use ahoy_net_core::mapping::{Protocol, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

const MEDIA: Port = Port { transport: Transport::Udp, number: 4_000 };
const DOOR: Port = Port { transport: Transport::Tcp, number: 4_001 };
/// Generous: the machine may be busy, and three protocols are tried.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the world has our port, according to the gateways here.
fn outside(port: Port) -> SocketAddr {
    SocketAddr::from(([9, 9, 9, 9], port.number + 1_000))
}

fn finder(last: u8, upnp_port: u16) -> Finder {
    const OWN: Ipv4Addr = Ipv4Addr::LOCALHOST;
    macro_rules! at {
        ($n:literal) => {
            || Some(Gateway { ip: Ipv4Addr::new(127, 77, 0, $n), own: OWN })
        };
    }
    let gateway: fn() -> Option<Gateway> = match last {
        1 => at!(1),
        2 => at!(2),
        3 => at!(3),
        4 => at!(4),
        _ => at!(5),
    };
    Finder { gateway, upnp_port: Some(upnp_port) }
}

async fn until(news: &mut mpsc::Receiver<Mapped>, what: impl Fn(&Mapped) -> bool) -> Mapped {
    let found = async {
        loop {
            let mapped = news.recv().await.unwrap();
            if what(&mapped) {
                return mapped;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap()
}

async fn next<T>(seen: &mut mpsc::Receiver<T>) -> T {
    tokio::time::timeout(PATIENCE, seen.recv()).await.unwrap().unwrap()
}

/// A socket at which `answer` turns questions into answers.
async fn answers(
    at: (Ipv4Addr, u16),
    mut answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static,
) -> u16 {
    let socket = UdpSocket::bind(at).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut question = [0; 2_048];
        while let Ok((n, from)) = socket.recv_from(&mut question).await {
            if let Some(answer) = answer(&question[..n]) {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    });
    port
}

fn two(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

fn four(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// A question for a mapping as a gateway reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Asked {
    port: Port,
    external: u16,
    lifetime: u32,
    nonce: Vec<u8>,
}

/// RFC 6887, 7.1 and 11.1: 24 bytes of header, 36 of MAP. Answers with `ip` and for `lifetime`.
fn pcp(question: &[u8], ip: [u8; 4], lifetime: u32) -> (Asked, Vec<u8>) {
    assert_eq!((question.len(), question[0], question[1]), (60, 2, 1), "a MAP question");
    assert_eq!(question[8..24], Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets(), "who asks");
    let transport = if question[36] == 17 { Transport::Udp } else { Transport::Tcp };
    let asked = Asked {
        port: Port { transport, number: two(&question[40..]) },
        external: two(&question[42..]),
        lifetime: four(&question[4..]),
        nonce: question[24..36].to_vec(),
    };
    let granted = if asked.lifetime == 0 { 0 } else { lifetime };
    let external = if asked.lifetime == 0 { 0 } else { outside(asked.port).port() };
    let answer = [
        &[2, 0x81, 0, 0][..],
        &granted.to_be_bytes(),
        &77u32.to_be_bytes(),
        &[0; 12],
        &question[24..42],
        &external.to_be_bytes(),
        &Ipv4Addr::from(ip).to_ipv6_mapped().octets(),
    ]
    .concat();
    (asked, answer)
}

/// RFC 6886, 3.2 and 3.3. `None` for the question where the gateway is outside.
fn nat_pmp(question: &[u8], ip: [u8; 4], lifetime: u32) -> (Option<Asked>, Vec<u8>) {
    let epoch = 77u32.to_be_bytes();
    match question {
        // Another version: 3.5.
        [version, op, ..] if *version != 0 => (None, [&[0, 128 + op, 0, 1][..], &epoch].concat()),
        [0, 0] => (None, [&[0, 128, 0, 0][..], &epoch, &ip].concat()),
        [0, op @ 1..=2, ..] => {
            assert_eq!(question.len(), 12, "a question for a mapping");
            let transport = if *op == 1 { Transport::Udp } else { Transport::Tcp };
            let asked = Asked {
                port: Port { transport, number: two(&question[4..]) },
                external: two(&question[6..]),
                lifetime: four(&question[8..]),
                nonce: Vec::new(),
            };
            let (granted, external) =
                if asked.lifetime == 0 { (0, 0) } else { (lifetime, outside(asked.port).port()) };
            let answer = [
                &[0, 128 + op, 0, 0][..],
                &epoch,
                &question[4..6],
                &external.to_be_bytes(),
                &granted.to_be_bytes(),
            ];
            (Some(asked), answer.concat())
        }
        other => panic!("no question: {other:?}"),
    }
}

#[tokio::test]
async fn pcp_maps_renews_with_its_nonce_and_gives_back() {
    static NOW: AtomicU64 = AtomicU64::new(1);
    fn clock() -> Moment {
        Moment::from_millis(NOW.load(Ordering::SeqCst))
    }
    let (told, mut seen) = mpsc::channel(64);
    answers((Ipv4Addr::new(127, 77, 0, 1), crab_nat::GATEWAY_PORT), move |question| {
        let (asked, answer) = pcp(question, [9, 9, 9, 9], 7_200);
        told.try_send(asked).unwrap();
        Some(answer)
    })
    .await;
    let (news_out, mut news) = mpsc::channel(16);
    let mapping = Mapping::start(finder(1, 1), clock, news_out);
    mapping.ports(vec![MEDIA, DOOR]);
    let mapped = until(&mut news, |mapped| mapped.ports.len() == 2).await;
    assert_eq!(mapped.ports, [(MEDIA, outside(MEDIA)), (DOOR, outside(DOOR))]);
    assert_eq!(mapped.standing, Standing::Maps(Protocol::Pcp));
    let (media, door) = (next(&mut seen).await, next(&mut seen).await);
    assert_eq!((media.port, media.external, media.lifetime), (MEDIA, MEDIA.number, 7_200));
    assert_eq!((door.port, door.external, door.lifetime), (DOOR, DOOR.number, 7_200));
    assert_ne!(media.nonce, door.nonce);

    NOW.store(3_600_001, Ordering::SeqCst);
    mapping.ports(vec![MEDIA, DOOR]);
    let again = next(&mut seen).await;
    assert_eq!((again.port, again.external), (MEDIA, outside(MEDIA).port()), "what it has is asked for");
    assert_eq!(again.nonce, media.nonce, "only with it is the mapping ours (RFC 6887, 11.3)");
    assert_eq!(next(&mut seen).await.nonce, door.nonce);

    mapping.stop().await;
    let mut gone = [next(&mut seen).await, next(&mut seen).await];
    gone.sort_by_key(|asked| asked.port);
    assert_eq!(gone.map(|asked| (asked.port, asked.lifetime)), [(MEDIA, 0), (DOOR, 0)]);
}

#[tokio::test]
async fn nat_pmp_is_spoken_with_a_gateway_that_knows_no_pcp() {
    static NOW: AtomicU64 = AtomicU64::new(1);
    fn clock() -> Moment {
        Moment::from_millis(NOW.load(Ordering::SeqCst))
    }
    let (told, mut seen) = mpsc::channel(64);
    answers((Ipv4Addr::new(127, 77, 0, 2), crab_nat::GATEWAY_PORT), move |question| {
        let (asked, answer) = nat_pmp(question, [9, 9, 9, 9], 600);
        asked.into_iter().for_each(|asked| told.try_send(asked).unwrap());
        Some(answer)
    })
    .await;
    let (news_out, mut news) = mpsc::channel(16);
    let mapping = Mapping::start(finder(2, 1), clock, news_out);
    mapping.ports(vec![MEDIA]);
    let mapped = until(&mut news, |mapped| !mapped.ports.is_empty()).await;
    assert_eq!(mapped.ports, [(MEDIA, outside(MEDIA))]);
    assert_eq!(mapped.standing, Standing::Maps(Protocol::NatPmp));
    assert_eq!(next(&mut seen).await.external, MEDIA.number);

    // Half of what it granted, not of what was asked for.
    NOW.store(300_001, Ordering::SeqCst);
    mapping.ports(vec![MEDIA]);
    assert_eq!(next(&mut seen).await.external, outside(MEDIA).port());
    mapping.stop().await;
    assert_eq!(next(&mut seen).await.lifetime, 0);
}

/// A gateway's web server: a description, and actions that go as `act` says (status, body). It says which action came.
async fn web(
    ip: Ipv4Addr,
    description: String,
    told: mpsc::Sender<(String, String)>,
    mut act: impl FnMut(&str, &str) -> (u16, String) + Send + 'static,
) -> u16 {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let text = loop {
                let mut part = [0; 4_096];
                let n = stream.read(&mut part).await.unwrap_or(0);
                request.extend_from_slice(&part[..n]);
                let text = String::from_utf8_lossy(&request).to_lowercase();
                let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                    let length = head.lines().find_map(|l| l.strip_prefix("content-length:"));
                    body.len() >= length.map_or(0, |l| l.trim().parse().unwrap())
                });
                if whole || n == 0 {
                    break String::from_utf8_lossy(&request).into_owned();
                }
            };
            let (status, body) = if text.starts_with("GET /desc.xml ") {
                (200, description.clone())
            } else {
                let action =
                    text.lines().find_map(|l| l.split_once('#').map(|(_, a)| a.trim_end_matches('"')));
                let action = action.unwrap_or_default().to_owned();
                told.try_send((action.clone(), text.clone())).unwrap();
                act(&action, &text)
            };
            let head =
                format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            // Who hung up has heard enough.
            let _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await;
        }
    });
    port
}

fn description(control: &str) -> String {
    format!(
        "<root><device><serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
         <controlURL>{control}</controlURL></service></serviceList></device></root>"
    )
}

fn error(code: u16) -> (u16, String) {
    (500, format!("<s:Fault><detail><UPnPError><errorCode>{code}</errorCode></UPnPError></detail></s:Fault>"))
}

#[tokio::test]
async fn upnp_maps_around_a_taken_port_and_a_router_that_maps_for_good_alone_and_gives_back() {
    fn clock() -> Moment {
        Moment::from_millis(1)
    }
    let ip = Ipv4Addr::new(127, 77, 0, 3);
    let (told, mut seen) = mpsc::channel(64);
    let http = web(ip, description("/control"), told, |action, text| match action {
        "AddPortMapping" if text.contains("<NewExternalPort>4000<") => error(718),
        "AddPortMapping" if !text.contains("<NewLeaseDuration>0<") => error(725),
        "GetExternalIPAddress" => (200, "<NewExternalIPAddress>9.9.9.9</NewExternalIPAddress>".to_owned()),
        _ => (200, "<ok/>".to_owned()),
    })
    .await;
    let search = answers((ip, 0), move |question| {
        assert!(question.starts_with(b"M-SEARCH * HTTP/1.1\r\n"));
        Some(format!("HTTP/1.1 200 OK\r\nLocation: http://{ip}:{http}/desc.xml\r\n\r\n").into_bytes())
    })
    .await;
    let (news_out, mut news) = mpsc::channel(16);
    let mapping = Mapping::start(finder(3, search), clock, news_out);
    mapping.ports(vec![MEDIA]);
    let mapped = until(&mut news, |mapped| !mapped.ports.is_empty()).await;
    assert_eq!(mapped.standing, Standing::Maps(Protocol::Upnp));
    let external = mapped.ports[0].1;
    assert_eq!(external.ip(), Ipv4Addr::new(9, 9, 9, 9));
    assert_ne!(external.port(), 4_000);
    let names = [next(&mut seen).await.0, next(&mut seen).await.0];
    assert_eq!(names, ["AddPortMapping", "AddPortMapping"], "taken, then for a time");
    let (_, last) = next(&mut seen).await;
    for part in [
        "<NewInternalPort>4000</NewInternalPort>".to_owned(),
        "<NewInternalClient>127.0.0.1</NewInternalClient>".to_owned(),
        "<NewProtocol>UDP</NewProtocol>".to_owned(),
        format!("<NewExternalPort>{}</NewExternalPort>", external.port()),
    ] {
        assert!(last.contains(&part), "{part} in {last}");
    }
    assert_eq!(next(&mut seen).await.0, "GetExternalIPAddress");
    mapping.stop().await;
    let (action, text) = next(&mut seen).await;
    assert_eq!(action, "DeletePortMapping");
    assert!(text.contains(&format!("<NewExternalPort>{}</NewExternalPort>", external.port())));
}

#[tokio::test]
async fn a_gateway_that_lies_maps_nothing_and_breaks_nothing() {
    fn clock() -> Moment {
        Moment::from_millis(1)
    }
    let ip = Ipv4Addr::new(127, 77, 0, 4);
    // Over UPnP: a description without end, of a service that is elsewhere.
    let (told, _actions) = mpsc::channel(64);
    let huge = format!("{}{}", "<a>".repeat(400_000), description("http://127.0.0.1:1/"));
    let http = web(ip, huge, told, |_, _| (200, String::new())).await;
    let search = answers((ip, 0), move |_| {
        Some(format!("HTTP/1.1 200 OK\r\nLocation: http://{ip}:{http}/desc.xml\r\n\r\n").into_bytes())
    })
    .await;
    // Over the others: cut, altered, of another kind, without sense.
    let mut turn = 0usize;
    answers((ip, crab_nat::GATEWAY_PORT), move |question| {
        turn += 1;
        if question[0] == 2 {
            let mut answer = pcp(question, [9, 9, 9, 9], 7_200).1;
            // The nonce is of somebody else's mapping.
            answer[24] ^= 1;
            return Some(answer);
        }
        let (_, mut answer) = nat_pmp(question, [9, 9, 9, 9], 7_200);
        answer.truncate(turn % answer.len());
        Some(answer)
    })
    .await;
    let (news_out, mut news) = mpsc::channel(16);
    let mapping = Mapping::start(finder(4, search), clock, news_out);
    mapping.ports(vec![MEDIA]);
    let mapped = until(&mut news, |mapped| mapped.standing == Standing::Refuses).await;
    assert_eq!(mapped.ports, []);
    mapping.stop().await;
}

#[tokio::test]
async fn a_gateway_behind_another_is_told_apart_and_gets_its_mapping_back() {
    fn clock() -> Moment {
        Moment::from_millis(1)
    }
    let (told, mut seen) = mpsc::channel(64);
    answers((Ipv4Addr::new(127, 77, 0, 5), crab_nat::GATEWAY_PORT), move |question| {
        let (asked, answer) = nat_pmp(question, [100, 64, 0, 9], 7_200);
        asked.into_iter().for_each(|asked| told.try_send(asked).unwrap());
        Some(answer)
    })
    .await;
    let (news_out, mut news) = mpsc::channel(16);
    let mapping = Mapping::start(finder(5, 1), clock, news_out);
    mapping.ports(vec![MEDIA]);
    let mapped = until(&mut news, |mapped| mapped.standing == Standing::BehindAnother).await;
    assert_eq!(mapped.ports, []);
    assert_eq!(next(&mut seen).await.lifetime, 7_200);
    assert_eq!(next(&mut seen).await.lifetime, 0);
}
