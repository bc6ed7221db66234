//! How far this device reaches and is reached: what it is told about that, and what it tells.

use ahoy_net_core::mapping::Standing;
use ahoy_net_core::path::nat;
use libp2p::Multiaddr;

use crate::door::{Proxy, ProxyTrouble};

/// Whom this device carries calls of others for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum RelayRole {
    /// Nobody.
    Off,
    /// Contacts, once somebody has found that this device is reached from the internet.
    #[default]
    WhenPublic,
    /// Contacts. Whoever says so knows that it is reached.
    Contacts,
    /// Everybody.
    Public,
}

impl RelayRole {
    /// Whether a person asked for it, so that nobody needs to find out whether it can.
    pub fn is_asked_for(self) -> bool {
        matches!(self, RelayRole::Contacts | RelayRole::Public)
    }
}

/// What a device is told about reaching and being reached.
#[derive(Clone)]
pub struct ReachConfig {
    /// Whom it carries calls of others for.
    pub relay: RelayRole,
    /// The HTTP proxy through which it dials doors of others.
    pub proxy: Option<Proxy>,
    /// The invitation of its own card, whose holders find it in the table.
    pub invite: Option<[u8; 16]>,
    /// Whether the gateway of the default route is asked to pass our ports on.
    pub map_ports: bool,
    /// Milliseconds since 1970, for names that change each day.
    pub wall_ms: fn() -> u64,
}

impl Default for ReachConfig {
    fn default() -> ReachConfig {
        ReachConfig { relay: RelayRole::Off, proxy: None, invite: None, map_ports: false, wall_ms: || 0 }
    }
}

/// How well this device is reached now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reached {
    /// Somebody found that it is reached from the internet without a relay.
    pub straight: bool,
    /// Relays it is reached through.
    pub relays: usize,
    /// Relays it knows.
    pub known_relays: usize,
    /// Bootstraps it is connected with.
    pub bootstraps: usize,
    /// Bootstraps it was told.
    pub known_bootstraps: usize,
    /// Whether UDP passes: some connection with another machine uses it, or only others stand. `None`: there is none.
    pub udp: Option<bool>,
    /// Nodes of the distributed table it knows.
    pub table: usize,
    /// It carries calls of others.
    pub serves: bool,
    /// What is known of the gateway that could pass our ports on.
    pub mapping: Standing,
    /// How a NAT before it maps ports.
    pub nat: nat::Mapping,
    /// What the proxy did at the last try, if not what it should.
    pub proxy: Option<ProxyTrouble>,
}

/// Addresses in a row, each its length in one byte before it; what is longer or beyond [`MAX_ROW`] is left out.
pub fn encode_addresses(addresses: &[Multiaddr]) -> Vec<u8> {
    let mut out = Vec::new();
    for address in addresses.iter().take(MAX_ROW).map(Multiaddr::to_vec) {
        if let Ok(length) = u8::try_from(address.len()) {
            out.push(length);
            out.extend(address);
        }
    }
    out
}

/// Reads [`encode_addresses`]; what is no address is left out.
pub fn decode_addresses(mut bytes: &[u8]) -> Vec<Multiaddr> {
    let mut addresses = Vec::new();
    while let Some((length, rest)) = bytes.split_first()
        && let Some((address, rest)) = rest.split_at_checked(usize::from(*length))
        && addresses.len() < MAX_ROW
    {
        addresses.extend(Multiaddr::try_from(address.to_vec()).ok());
        bytes = rest;
    }
    addresses
}

/// Most addresses in a row: a device has a handful.
pub const MAX_ROW: usize = 12;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn addresses_survive_the_wire_and_nonsense_is_none() {
        let all: Vec<Multiaddr> = ["/ip4/203.0.113.1/udp/4001/quic-v1", "/ip6/2001:db8::1/tcp/443/tls/ws"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        assert_eq!(decode_addresses(&encode_addresses(&all)), all);
        assert_eq!(decode_addresses(&[]), Vec::<Multiaddr>::new());
        assert_eq!(decode_addresses(&[3, 255, 255, 255, 200, 1]), Vec::<Multiaddr>::new());
        assert_eq!(decode_addresses(&encode_addresses(&vec![all[0].clone(); 100])).len(), MAX_ROW);
    }
}
