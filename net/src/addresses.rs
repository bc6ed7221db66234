//! Which of this machine's addresses others may try, and in which order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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

/// An IPv4 address that came in over an IPv6 socket, as IPv4.
pub(crate) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
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
    fn mapped_addresses_are_shown_plain() {
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:5".parse().unwrap();
        assert_eq!(plain(mapped), "10.0.0.1:5".parse().unwrap());
    }
}
