//! Which of this machine's addresses others may try, and in which order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ahoy_net_core::find::Way;
use ahoy_net_core::mapping::{Port, Transport};
use ahoy_net_core::session::AddressKind;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// Whether an address is on loopback.
#[expect(clippy::wildcard_enum_match_arm, reason = "of libp2p's protocols two are IP")]
pub fn is_loopback(address: &Multiaddr) -> bool {
    address.iter().any(|p| match p {
        Protocol::Ip4(ip) => ip.is_loopback(),
        Protocol::Ip6(ip) => ip.is_loopback(),
        _ => false,
    })
}

/// The IP address that an address begins with.
#[expect(clippy::wildcard_enum_match_arm, reason = "of libp2p's protocols two are IP")]
pub(crate) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// The IP address and port that an address begins with.
#[expect(clippy::wildcard_enum_match_arm, reason = "of libp2p's protocols two have ports")]
pub(crate) fn socket_of(address: &Multiaddr) -> Option<SocketAddr> {
    match address.iter().nth(1)? {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(SocketAddr::new(ip_of(address)?, port)),
        _ => None,
    }
}

/// Whether an address leads through a relay.
pub fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|p| p == Protocol::P2pCircuit)
}

/// Straight, or through a relay.
pub(crate) fn way_of(address: &Multiaddr) -> Way {
    if is_relayed(address) { Way::Relayed } else { Way::Straight }
}

/// Whether anybody on the internet could reach it: not loopback, link-local, private, unique local or of a carrier's NAT
/// (RFC 1918, 3927, 4193, 4291, 6598). Names are taken to be.
pub fn is_global(address: &Multiaddr) -> bool {
    ip_of(address).is_none_or(is_public)
}

/// Whether another machine may have use for it.
pub(crate) fn may_lead_somewhere(address: &Multiaddr) -> bool {
    ip_of(address).is_none_or(|ip| !ip.is_unspecified() && !is_useless(ip))
}

/// Without `/p2p/…` at the end: whom we dial is said apart.
pub(crate) fn bare(mut address: Multiaddr) -> Multiaddr {
    if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
        address.pop();
    }
    address
}

/// Whether an address means something all over the internet.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    !ip.is_unspecified() && matches!(AddressKind::of(ip), AddressKind::Ipv4 | AddressKind::Ipv6)
}

/// The port that an address of ours has at the gateway of the default route.
#[expect(clippy::wildcard_enum_match_arm, reason = "of libp2p's protocols two have ports")]
pub(crate) fn port_of(address: &Multiaddr) -> Option<Port> {
    let mut parts = address.iter();
    let (Some(Protocol::Ip4(ip)), Some(port)) = (parts.next(), parts.next()) else { return None };
    let (transport, number) = match port {
        Protocol::Tcp(number) => (Transport::Tcp, number),
        Protocol::Udp(number) => (Transport::Udp, number),
        _ => return None,
    };
    (!ip.is_loopback() && !is_relayed(address)).then_some(Port { transport, number })
}

/// An address as the world has it while a gateway passes its port on.
pub(crate) fn outside(address: &Multiaddr, mapped: &[(Port, SocketAddr)]) -> Option<Multiaddr> {
    let port = port_of(address)?;
    let (_, outside) = mapped.iter().find(|(of, _)| *of == port)?;
    let transport = match port.transport {
        Transport::Tcp => Protocol::Tcp(outside.port()),
        Transport::Udp => Protocol::Udp(outside.port()),
    };
    let first = [Protocol::from(outside.ip()), transport];
    Some(first.into_iter().chain(address.iter().skip(2)).collect())
}

/// Interfaces that lead to virtual machines and containers more often than to people; tried last.
const VIRTUAL: [&str; 6] = ["docker", "br-", "veth", "virbr", "vmnet", "lxc"];

/// The addresses of this machine, best first: IPv6 and IPv4 of real interfaces, then of virtual ones.
///
/// Loopback is left out unless there is nothing else; link-local IPv6 always, as it means nothing to others.
pub(crate) fn of_this_machine() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "the machine's addresses can't be listed");
        Vec::new()
    });
    let mut found: Vec<(u8, IpAddr)> = interfaces
        .into_iter()
        .filter(|i| !is_useless(i.ip()))
        .map(|i| {
            let rank = match (i.ip().is_loopback(), VIRTUAL.iter().any(|v| i.name.starts_with(v))) {
                (false, false) => 0,
                (false, true) => 1,
                (true, _) => 2,
            };
            (rank, i.ip())
        })
        .collect();
    found.sort_by_key(|(rank, ip)| (*rank, ip.is_ipv4(), *ip));
    let loopback_only = found.iter().all(|(rank, _)| *rank == 2);
    found.into_iter().filter(|(rank, _)| *rank < 2 || loopback_only).map(|(_, ip)| ip).collect()
}

fn is_useless(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip == Ipv4Addr::UNSPECIFIED || ip.is_multicast() || ip.is_link_local(),
        IpAddr::V6(ip) => ip == Ipv6Addr::UNSPECIFIED || ip.is_multicast() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn loopback_is_known_in_both_families() {
        assert!(is_loopback(&"/ip4/127.0.0.1/tcp/1".parse().unwrap()));
        assert!(is_loopback(&"/ip6/::1/udp/1/quic-v1".parse().unwrap()));
        assert!(!is_loopback(&"/ip4/10.0.0.1/tcp/1".parse().unwrap()));
    }

    #[test]
    fn a_mapped_port_makes_an_address_of_the_world_with_all_that_follows() {
        let port = |transport, number| Port { transport, number };
        let mapped = [
            (port(Transport::Udp, 4_001), "9.9.9.9:5001".parse().unwrap()),
            (port(Transport::Tcp, 443), "9.9.9.9:443".parse().unwrap()),
        ];
        for (inside, expected) in [
            ("/ip4/192.168.1.2/udp/4001/quic-v1", Some("/ip4/9.9.9.9/udp/5001/quic-v1")),
            ("/ip4/192.168.1.2/tcp/443/tls/ws", Some("/ip4/9.9.9.9/tcp/443/tls/ws")),
            ("/ip4/192.168.1.2/tcp/4001", None),
            ("/ip4/127.0.0.1/udp/4001/quic-v1", None),
            ("/ip6/2001:db8::1/udp/4001/quic-v1", None),
        ] {
            let expected: Option<Multiaddr> = expected.map(|text| text.parse().unwrap());
            assert_eq!(outside(&inside.parse().unwrap(), &mapped), expected, "{inside}");
        }
    }

    #[test]
    fn private_shared_and_local_addresses_are_not_public() {
        for (ip, public) in [
            ("10.0.0.1", false),
            ("100.64.0.1", false),
            ("127.0.0.1", false),
            ("fd00::1", false),
            ("9.9.9.9", true),
            ("2001:db8::1", true),
        ] {
            assert_eq!(is_public(ip.parse().unwrap()), public, "{ip}");
        }
    }
}
