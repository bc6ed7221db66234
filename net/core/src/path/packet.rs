//! Packets that look for paths: probes between two devices, and binds between a device and a relay. 64 bytes each, so
//! that no answer is larger than its question; each carries a MAC, so that nobody can be made to answer a stranger.
//!
//! ```text
//!  0  0x02: what RFC 9443 leaves to neither QUIC nor DTLS
//!  1  kind
//!  2  tag: which session, or which splice of a relay
//! 10  number, big endian: grows; an answer repeats its question's
//! 18  address the question came from (answers): 16 bytes IPv6 or mapped IPv4, port, XORed with bytes 2 to 18 and 2, 3
//! 36  zeroes
//! 48  HMAC-SHA256 of all before, first 16 bytes
//! ```

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Bytes of every packet.
pub const PACKET: usize = 64;
/// First byte of every packet (RFC 9443, 3: 0 to 3 are STUN's, which never shares this port).
pub const FIRST: u8 = 2;
/// First byte of what travels through a relay: a splice's id, then the packet.
pub const SPLICED: u8 = 3;
/// Bytes of a splice's id, and of a session's tag.
pub const TAG: usize = 8;
/// Where the MAC begins.
const MAC_AT: usize = 48;

/// What a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// "Does this reach you?"
    Ask,
    /// "It does, and you come from there."
    Answer,
    /// To a relay: "this is where I am".
    Bind,
    /// A relay's answer.
    Bound,
}

impl Kind {
    const fn number(self) -> u8 {
        match self {
            Kind::Ask => 1,
            Kind::Answer => 2,
            Kind::Bind => 3,
            Kind::Bound => 4,
        }
    }

    const fn of(number: u8) -> Option<Kind> {
        match number {
            1 => Some(Kind::Ask),
            2 => Some(Kind::Answer),
            3 => Some(Kind::Bind),
            4 => Some(Kind::Bound),
            _ => None,
        }
    }
}

/// A packet whose MAC has not been looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// What it is.
    pub kind: Kind,
    /// Which session or splice.
    pub tag: [u8; TAG],
    /// Its number, or its question's.
    pub number: u64,
    /// In answers: where the question came from.
    pub seen: Option<SocketAddr>,
}

/// The key of one side's packets.
#[derive(Clone, PartialEq, Eq)]
pub struct PacketKey([u8; 32]);

impl std::fmt::Debug for PacketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PacketKey")
    }
}

impl PacketKey {
    /// From 32 random bytes.
    pub const fn new(key: [u8; 32]) -> PacketKey {
        PacketKey(key)
    }

    /// A key (or a tag, from its first bytes) out of another, told apart by `label`.
    pub(crate) fn derive(from: &[u8; 32], label: &[u8]) -> [u8; 32] {
        let mut mac = keyed(from);
        mac.update(label);
        mac.finalize().into_bytes().into()
    }
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // HMAC takes keys of any length, so this can't fail.
    <Hmac<Sha256> as Mac>::new_from_slice(key).unwrap_or_else(|_| Mac::new(&Default::default()))
}

impl Packet {
    /// The packet under `key`.
    pub fn seal(&self, key: &PacketKey) -> [u8; PACKET] {
        let mut body = Vec::with_capacity(PACKET);
        body.extend([FIRST, self.kind.number()]);
        body.extend(self.tag);
        body.extend(self.number.to_be_bytes());
        if let Some(seen) = self.seen {
            body.extend(masked(&plain(seen), &self.tag, self.number));
        }
        body.resize(MAC_AT, 0);
        let mut mac = keyed(&key.0);
        mac.update(&body);
        body.extend(mac.finalize().into_bytes().iter().take(PACKET - MAC_AT));
        let mut out = [0; PACKET];
        out.copy_from_slice(&body);
        out
    }

    /// Reads a packet; [`is_genuine`] tells who made it. `None`: it is none.
    pub fn parse(bytes: &[u8]) -> Option<Packet> {
        let bytes: &[u8; PACKET] = bytes.try_into().ok()?;
        let ([first, kind], rest) = bytes.split_first_chunk::<2>()?;
        let (tag, rest) = rest.split_first_chunk::<TAG>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (address, _) = rest.split_first_chunk::<18>()?;
        let kind = Kind::of(*kind).filter(|_| *first == FIRST)?;
        let number = u64::from_be_bytes(*number);
        let seen = match kind {
            Kind::Ask | Kind::Bind => None,
            Kind::Answer | Kind::Bound => Some(unplain(&masked(address, tag, number))?),
        };
        Some(Packet { kind, tag: *tag, number, seen })
    }
}

/// Whether the holder of `key` made these bytes.
pub fn is_genuine(bytes: &[u8], key: &PacketKey) -> bool {
    let Some((body, tag)) = bytes.split_at_checked(MAC_AT) else { return false };
    let mut mac = keyed(&key.0);
    mac.update(body);
    tag.len() == PACKET - MAC_AT && mac.verify_truncated_left(tag).is_ok()
}

fn plain(address: SocketAddr) -> [u8; 18] {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut out = [0; 18];
    let bytes = ip.octets().into_iter().chain(address.port().to_be_bytes());
    out.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = byte);
    out
}

fn unplain(bytes: &[u8; 18]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_last_chunk::<2>()?;
    let ip = Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?);
    Some(SocketAddr::new(IpAddr::V6(ip).to_canonical(), u16::from_be_bytes(*port)))
}

/// Boxes on the way rewrite what looks like an address (RFC 8489, 14.2), so it does not look like one.
fn masked(address: &[u8; 18], tag: &[u8; TAG], number: u64) -> [u8; 18] {
    let mask = tag.iter().copied().chain(number.to_be_bytes()).chain(tag.iter().copied());
    let mut out = *address;
    out.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn packets_come_back_whole_and_only_from_the_holder_of_the_key() {
        let key = PacketKey::new([7; 32]);
        for (kind, seen) in [
            (Kind::Ask, None),
            (Kind::Answer, Some("9.9.9.9:4000".parse().unwrap())),
            (Kind::Bind, None),
            (Kind::Bound, Some("[2001:db8::1]:65535".parse().unwrap())),
        ] {
            let packet = Packet { kind, tag: [1, 2, 3, 4, 5, 6, 7, 8], number: 77, seen };
            let bytes = packet.seal(&key);
            assert_eq!(Packet::parse(&bytes), Some(packet));
            assert!(is_genuine(&bytes, &key));
            assert!(!is_genuine(&bytes, &PacketKey::new([8; 32])));
            for at in 0..PACKET {
                let mut altered = bytes;
                altered[at] ^= 1;
                assert!(!is_genuine(&altered, &key), "byte {at}");
            }
        }
        for bad in [&[][..], &[2; 63], &[0; 64], &[2; 65]] {
            assert_eq!(Packet::parse(bad), None);
            assert!(!is_genuine(bad, &key));
        }
    }
}
