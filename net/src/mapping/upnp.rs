//! UPnP Internet Gateway Device, as much of it as a port mapping needs: the search, the device's description, three actions.
//!
//! The gateway alone is asked and believed: whatever it names must be on itself. What it says is cut at a size, and read
//! by looking for tags, without a tree that grows with its nesting (docs/decisions/0060).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ahoy_net_core::mapping::{Gateway, Port, Transport};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UdpSocket};

/// Where devices are searched (UPnP Device Architecture 1.1, 1.1.2).
const SEARCH_PORT: u16 = 1_900;
const SEARCH_GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
/// What is searched: the first version, which later ones answer for too.
const DEVICE: &str = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";
/// The services that map ports; a number follows.
const SERVICES: [&str; 2] =
    ["urn:schemas-upnp-org:service:WANIPConnection:", "urn:schemas-upnp-org:service:WANPPPConnection:"];
/// A search is said again after this; it is a datagram.
const SEARCH_AGAIN: Duration = Duration::from_millis(700);
const SEARCH_TRIES: usize = 3;
/// How long one request may take. Home routers are slow.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// What a gateway may say in one answer: descriptions are about 10 kB.
const MAX_ANSWER: usize = 64 * 1024;
/// Wanted, but gateways exist that map for good or not at all.
const PERMANENT_ONLY: u16 = 725;
/// Somebody has that external port.
const CONFLICT: u16 = 718;
/// Ports tried beside ours when that is taken.
const OTHER_PORTS: u16 = 3;

/// Why UPnP came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("no gateway answers a search")]
    Silent,
    #[error("its description names no service that maps ports")]
    NoService,
    #[error("it names an address that is not its own")]
    Elsewhere,
    #[error("it does not answer in time")]
    Late,
    #[error("it does not answer: {0}")]
    Io(#[from] std::io::Error),
    #[error("it speaks no HTTP: {0}")]
    Http(String),
    #[error("it refuses, with error {0}")]
    Refused(u16),
    #[error("its answer lacks {0}")]
    Lacks(&'static str),
}

/// Where a gateway takes actions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Control {
    at: SocketAddr,
    path: String,
    service: String,
}

impl Control {
    /// Finds the gateway's service. `port`: where it is searched; [`SEARCH_PORT`] but in tests.
    pub(super) async fn find(gateway: Gateway, port: Option<u16>) -> Result<Control, Trouble> {
        let location = search(gateway, port.unwrap_or(SEARCH_PORT)).await?;
        let (at, path) = on_gateway(gateway, &location).ok_or(Trouble::Elsewhere)?;
        let request = hyper::Request::get(path.as_str());
        let (_, description) = exchange(at, request, String::new()).await?;
        let (service, control) = service_of(&description).ok_or(Trouble::NoService)?;
        let (at, path) = match control.starts_with("http") {
            true => on_gateway(gateway, &control).ok_or(Trouble::Elsewhere)?,
            false => (at, format!("/{}", control.trim_start_matches('/'))),
        };
        Ok(Control { at, path, service })
    }

    /// Maps `port` for `secs`, or for good where gateways can't do otherwise; if possible at the external number `wanted`. The
    /// number that it became.
    pub(super) async fn map(
        &self,
        own: Ipv4Addr,
        port: Port,
        wanted: u16,
        secs: u64,
    ) -> Result<u16, Trouble> {
        let mut lease = secs;
        let mut external = wanted;
        let mut others = 0;
        loop {
            let arguments = format!(
                "<NewRemoteHost></NewRemoteHost><NewExternalPort>{external}</NewExternalPort>\
                 <NewProtocol>{}</NewProtocol><NewInternalPort>{}</NewInternalPort>\
                 <NewInternalClient>{own}</NewInternalClient><NewEnabled>1</NewEnabled>\
                 <NewPortMappingDescription>Ahoy</NewPortMappingDescription>\
                 <NewLeaseDuration>{lease}</NewLeaseDuration>",
                name(port.transport),
                port.number,
            );
            match self.act("AddPortMapping", &arguments).await {
                Ok(_) => return Ok(external),
                Err(Trouble::Refused(PERMANENT_ONLY)) if lease > 0 => lease = 0,
                Err(Trouble::Refused(CONFLICT)) if others < OTHER_PORTS => {
                    others += 1;
                    // Anywhere else above the well-known ones.
                    external = 1_024 + external.wrapping_mul(31).wrapping_add(others) % 60_000;
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// The gateway's own address outside.
    pub(super) async fn external_ip(&self) -> Result<IpAddr, Trouble> {
        let answer = self.act("GetExternalIPAddress", "").await?;
        let text = tag(&answer, "NewExternalIPAddress").ok_or(Trouble::Lacks("an address"))?;
        text.parse().map_err(|_| Trouble::Lacks("an address"))
    }

    /// Gives a mapping up.
    pub(super) async fn unmap(&self, transport: Transport, external: u16) -> Result<(), Trouble> {
        let arguments = format!(
            "<NewRemoteHost></NewRemoteHost><NewExternalPort>{external}</NewExternalPort>\
             <NewProtocol>{}</NewProtocol>",
            name(transport)
        );
        self.act("DeletePortMapping", &arguments).await.map(drop)
    }

    async fn act(&self, action: &str, arguments: &str) -> Result<String, Trouble> {
        let body = format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:{action} xmlns:u=\"{service}\">{arguments}</u:{action}></s:Body></s:Envelope>\r\n",
            service = self.service
        );
        let request = hyper::Request::post(self.path.as_str())
            .header("SOAPAction", format!("\"{}#{action}\"", self.service))
            .header("Content-Type", "text/xml; charset=\"utf-8\"");
        let (good, answer) = exchange(self.at, request, body).await?;
        match tag(&answer, "errorCode").and_then(|code| code.parse().ok()) {
            Some(code) => Err(Trouble::Refused(code)),
            None if good => Ok(answer),
            None => Err(Trouble::Lacks("a reason")),
        }
    }
}

const fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
    }
}

/// Asks the gateway, and the group that some gateways listen to alone, where its description is. Only its answer counts.
async fn search(gateway: Gateway, port: u16) -> Result<String, Trouble> {
    let socket = UdpSocket::bind((gateway.own, 0)).await?;
    let question = format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: {SEARCH_GROUP}:{SEARCH_PORT}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {DEVICE}\r\n\r\n"
    );
    let mut answer = [0; 2_048];
    for _ in 0..SEARCH_TRIES {
        for to in [gateway.ip, SEARCH_GROUP] {
            // One of them is enough; no route to groups is common.
            let _ = socket.send_to(question.as_bytes(), (to, port)).await;
        }
        let heard = async {
            loop {
                let (n, from) = socket.recv_from(&mut answer).await?;
                let text = String::from_utf8_lossy(answer.get(..n).unwrap_or_default()).into_owned();
                if from.ip() == IpAddr::V4(gateway.ip)
                    && let Some(location) = header(&text, "location")
                {
                    return Ok::<_, std::io::Error>(location.to_owned());
                }
            }
        };
        if let Ok(location) = tokio::time::timeout(SEARCH_AGAIN, heard).await {
            return Ok(location?);
        }
    }
    Err(Trouble::Silent)
}

/// One request to a gateway: whether it went well, and what came back.
async fn exchange(
    at: SocketAddr,
    request: hyper::http::request::Builder,
    body: String,
) -> Result<(bool, String), Trouble> {
    let http = |error: &dyn std::fmt::Display| Trouble::Http(error.to_string());
    let request = request
        .header("Host", at.to_string())
        .header("Connection", "close")
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| http(&e))?;
    let answer = async {
        let stream = TcpStream::connect(at).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| http(&e))?;
        let exchanged = async {
            let response = sender.send_request(request).await.map_err(|e| http(&e))?;
            let good = response.status().is_success();
            let body =
                Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|e| http(&e))?;
            Ok((good, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
        };
        tokio::pin!(exchanged, connection);
        tokio::select! {
            exchanged = &mut exchanged => exchanged,
            // The connection may end with the last byte, before that is read.
            _ = &mut connection => exchanged.await,
        }
    };
    tokio::time::timeout(REQUEST_TIME, answer).await.map_err(|_| Trouble::Late)?
}

/// A header's value.
fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Address and path of a URL, if it leads to the gateway itself.
fn on_gateway(gateway: Gateway, url: &str) -> Option<(SocketAddr, String)> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let at: SocketAddr = host.parse().or_else(|_| format!("{host}:80").parse()).ok()?;
    (at.ip() == IpAddr::V4(gateway.ip)).then(|| (at, format!("/{path}")))
}

/// The service that maps ports, and where it is controlled.
fn service_of(description: &str) -> Option<(String, String)> {
    description.split("<service>").skip(1).find_map(|text| {
        let text = text.split("</service>").next()?;
        let service = tag(text, "serviceType")?;
        let control = tag(text, "controlURL")?;
        let ours = SERVICES.iter().any(|prefix| {
            service.strip_prefix(prefix).is_some_and(|version| {
                version.len() == 1 && version.bytes().all(|byte| byte.is_ascii_digit())
            })
        });
        ours.then(|| (service.to_owned(), control.to_owned()))
    })
}

/// What stands between the first tag of that name and its end.
fn tag<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    Some(value.trim())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const GATEWAY: Gateway =
        Gateway { ip: Ipv4Addr::new(192, 168, 1, 1), own: Ipv4Addr::new(192, 168, 1, 2) };

    #[test]
    fn only_addresses_of_the_gateway_itself_are_followed() {
        for (url, at) in [
            ("http://192.168.1.1:5000/desc.xml", Some(("192.168.1.1:5000", "/desc.xml"))),
            ("http://192.168.1.1/a/b", Some(("192.168.1.1:80", "/a/b"))),
            ("http://192.168.1.1", Some(("192.168.1.1:80", "/"))),
            ("http://127.0.0.1:631/", None),
            ("http://192.168.1.9/desc.xml", None),
            ("http://192.168.1.1@evil.example/", None),
            ("https://192.168.1.1/", None),
            ("file:///etc/passwd", None),
            ("", None),
        ] {
            let expected = at.map(|(at, path)| (at.parse().unwrap(), path.to_owned()));
            assert_eq!(on_gateway(GATEWAY, url), expected, "{url}");
        }
    }

    #[test]
    fn the_service_is_found_among_others_and_nonsense_is_none() {
        let of = |kind: &str, url: &str| {
            format!("<service><serviceType>{kind}</serviceType><controlURL>{url}</controlURL></service>")
        };
        let ip = "urn:schemas-upnp-org:service:WANIPConnection:1";
        let other = of("urn:schemas-upnp-org:service:Layer3Forwarding:1", "/l3");
        let found = service_of(&format!("{other}{}", of(ip, "/ip"))).unwrap();
        assert_eq!(found, (ip.to_owned(), "/ip".to_owned()));
        let ppp = "urn:schemas-upnp-org:service:WANPPPConnection:1";
        assert_eq!(service_of(&of(ppp, "ppp")).unwrap().1, "ppp");
        // A name that would break out of the header or the XML it is put into.
        assert_eq!(service_of(&of("urn:schemas-upnp-org:service:WANIPConnection:1\"><x>", "/")), None);
        assert_eq!(service_of(&other), None);
        assert_eq!(service_of(&"<a>".repeat(30_000)), None);
        assert_eq!(service_of("<service><serviceType>"), None);
    }
}
