//! The ports this device listened on last time: the addresses its contacts keep stay right when it starts again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use ahoy_net::{Multiaddr, NetConfig, Protocol, is_relayed};

use crate::store::Store;
use crate::web::protocol::UiError;

/// Where they are kept, as multiaddresses in lines.
const KEY: &str = "listen";

/// Every address of the machine on the ports of last time; those that somebody else has now are new ones.
///
/// # Errors
/// When the store can't be read.
pub(crate) fn remembered(store: &Store) -> Result<Vec<Multiaddr>, UiError> {
    let kept = store.value(KEY)?.unwrap_or_default();
    let kept: Vec<Multiaddr> = kept.lines().filter_map(|line| line.parse().ok()).collect();
    let mut all = NetConfig::any_address();
    for address in &mut all {
        if let Some(last) = kept.iter().find(|k| shape(k) == shape(address)).filter(|k| is_free(k)) {
            *address = last.clone();
        }
    }
    Ok(all)
}

/// What to keep of the addresses that are listened on now: one line a family and kind.
pub(crate) fn to_keep(listening: &[Multiaddr]) -> String {
    let mut kept: Vec<Multiaddr> = Vec::new();
    for address in listening.iter().filter(|a| !is_relayed(a)).filter_map(everywhere) {
        if !kept.iter().any(|k| shape(k) == shape(&address)) {
            kept.push(address);
        }
    }
    kept.sort();
    kept.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The key of the store for [`to_keep`].
pub(crate) const fn key() -> &'static str {
    KEY
}

/// The same on all interfaces.
#[expect(clippy::wildcard_enum_match_arm, reason = "of a multiaddress's parts two are IP")]
fn everywhere(address: &Multiaddr) -> Option<Multiaddr> {
    let mut parts = address.iter();
    let first = match parts.next()? {
        Protocol::Ip4(_) => Protocol::Ip4(Ipv4Addr::UNSPECIFIED),
        Protocol::Ip6(_) => Protocol::Ip6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    Some(parts.fold(Multiaddr::empty().with(first), Multiaddr::with))
}

/// Family and kind: the address without IP and port.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is neither IP nor port is the kind")]
fn shape(address: &Multiaddr) -> Vec<String> {
    let part = |part: Protocol<'_>| match part {
        Protocol::Ip4(_) => "4".to_owned(),
        Protocol::Ip6(_) => "6".to_owned(),
        Protocol::Tcp(_) => "tcp".to_owned(),
        Protocol::Udp(_) => "udp".to_owned(),
        other => other.to_string(),
    };
    address.iter().map(part).collect()
}

fn is_free(address: &Multiaddr) -> bool {
    let mut ip: Option<IpAddr> = None;
    for part in address.iter() {
        match (part, ip) {
            (Protocol::Ip4(v4), _) => ip = Some(v4.into()),
            (Protocol::Ip6(v6), _) => ip = Some(v6.into()),
            (Protocol::Tcp(port), Some(ip)) => return TcpListener::bind(SocketAddr::new(ip, port)).is_ok(),
            (Protocol::Udp(port), Some(ip)) => return UdpSocket::bind(SocketAddr::new(ip, port)).is_ok(),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn ports_are_kept_by_family_and_kind_and_relays_are_none_of_ours() {
        let listening: Vec<Multiaddr> = [
            "/ip4/192.168.1.2/udp/4001/quic-v1",
            "/ip4/10.0.0.2/udp/4001/quic-v1",
            "/ip6/fd00::2/tcp/4002",
            "/ip4/192.168.1.2/tcp/4003/tls/ws",
            "/ip4/203.0.113.1/udp/9/quic-v1/p2p/12D3KooWGRUhCxwQgZkSQyKBcTvrvHvVqMT8gWvmPQTvBAFQYMtY/p2p-circuit",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        assert_eq!(
            to_keep(&listening).lines().collect::<Vec<_>>(),
            ["/ip4/0.0.0.0/tcp/4003/tls/ws", "/ip4/0.0.0.0/udp/4001/quic-v1", "/ip6/::/tcp/4002"]
        );
    }

    #[test]
    fn a_port_that_somebody_else_has_is_not_asked_for() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(!is_free(&format!("/ip4/127.0.0.1/udp/{port}/quic-v1").parse().unwrap()));
        drop(taken);
        assert!(is_free(&format!("/ip4/127.0.0.1/udp/{port}/quic-v1").parse().unwrap()));
    }
}
