//! Socket addresses as bytes: 4 or 16 of the IP, then the port, big endian.

use std::net::{IpAddr, SocketAddr};

/// The first `most` of `addresses`.
pub(crate) fn write_addresses(addresses: &[SocketAddr], most: usize) -> Vec<Vec<u8>> {
    let bytes = |a: &SocketAddr| match a.ip() {
        IpAddr::V4(ip) => [&ip.octets()[..], &a.port().to_be_bytes()].concat(),
        IpAddr::V6(ip) => [&ip.octets()[..], &a.port().to_be_bytes()].concat(),
    };
    addresses.iter().take(most).map(bytes).collect()
}

/// Those of the first `most` that are addresses; lengths that this version does not know are left out.
pub(crate) fn read_addresses(all: &[Vec<u8>], most: usize) -> Vec<SocketAddr> {
    let one = |bytes: &Vec<u8>| {
        let (ip, port) = bytes.split_last_chunk::<2>()?;
        let ip = match ip.len() {
            4 => IpAddr::from(<[u8; 4]>::try_from(ip).ok()?),
            16 => IpAddr::from(<[u8; 16]>::try_from(ip).ok()?),
            _ => return None,
        };
        Some(SocketAddr::new(ip.to_canonical(), u16::from_be_bytes(*port)))
    };
    all.iter().take(most).filter_map(one).collect()
}
