//! Ids as types, so that a call is never taken for a peer.

use std::fmt;
use std::str::FromStr;

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not hexadecimal of the right length (calls and messages).
    #[error("not {0} hexadecimal digits")]
    Hex(usize),
    /// Not a libp2p PeerId of an Ed25519 key.
    #[error("not a peer id of an Ed25519 key (12D3Koo…)")]
    PeerId,
}

macro_rules! bytes16_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Makes the id from its 16 bytes (random, from the caller).
            pub const fn from_bytes(bytes: [u8; 16]) -> $name {
                $name(bytes)
            }

            /// Parses 16 bytes from the network; `None` for any other length.
            pub fn from_slice(bytes: &[u8]) -> Option<$name> {
                bytes.try_into().ok().map($name)
            }

            /// The 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().take(4).try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<$name, IdError> {
                let mut out = [0u8; 16];
                if s.len() != 32 || !s.is_ascii() {
                    return Err(IdError::Hex(32));
                }
                for (byte, pair) in out.iter_mut().zip(s.as_bytes().chunks(2)) {
                    let pair = std::str::from_utf8(pair).map_err(|_| IdError::Hex(32))?;
                    *byte = u8::from_str_radix(pair, 16).map_err(|_| IdError::Hex(32))?;
                }
                Ok($name(out))
            }
        }
    };
}

bytes16_id! {
    /// One call, the same on all its devices. Printed as 32 hexadecimal digits.
    CallId
}
bytes16_id! {
    /// One signalling message; a message seen twice is applied once.
    MessageId
}

/// One link of a session, numbered by the device that holds it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(u32);

impl LinkId {
    /// Makes the id from a number that is unique on this device.
    pub const fn new(n: u32) -> LinkId {
        LinkId(n)
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// One device: its Ed25519 public key, which is also its libp2p PeerId.
///
/// Ordering is by key bytes; the smaller one wins glare. Display is libp2p's base58 form `12D3Koo…`
/// (identity multihash of the protobuf public key, libp2p specs `peer-ids/peer-ids.md`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

/// Identity multihash (0x00, 36 bytes) of the protobuf `{KeyType: Ed25519, Data: 32 bytes}`.
const PEER_ID_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

impl PeerId {
    /// Makes the id from an Ed25519 public key. Whether it is a point on the curve is found out when it verifies.
    pub const fn from_public_key(key: [u8; 32]) -> PeerId {
        PeerId(key)
    }

    /// The Ed25519 public key.
    pub const fn public_key(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 38 bytes of libp2p's multihash.
    pub fn to_multihash(&self) -> [u8; 38] {
        let mut out = [0u8; 38];
        for (o, b) in out.iter_mut().zip(PEER_ID_PREFIX.iter().chain(&self.0)) {
            *o = *b;
        }
        out
    }

    /// Reads libp2p's multihash; `None` for any key that is not Ed25519.
    pub fn from_multihash(bytes: &[u8]) -> Option<PeerId> {
        bytes.strip_prefix(&PEER_ID_PREFIX[..])?.try_into().ok().map(PeerId)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.to_multihash()).into_string())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The first eight characters are the same for every Ed25519 key, the last eight tell people apart.
        let s = self.to_string();
        f.write_str(s.get(s.len().saturating_sub(8)..).unwrap_or_default())
    }
}

impl FromStr for PeerId {
    type Err = IdError;
    fn from_str(s: &str) -> Result<PeerId, IdError> {
        let bytes = bs58::decode(s).into_vec().map_err(|_| IdError::PeerId)?;
        PeerId::from_multihash(&bytes).ok_or(IdError::PeerId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_id_prints_as_libp2p_does() {
        // `net` checks the same against the libp2p crate itself.
        let id = PeerId::from_public_key([7; 32]);
        let text = id.to_string();
        assert!(text.starts_with("12D3Koo"), "{text}");
        assert_eq!(text.parse(), Ok(id));
    }

    #[test]
    fn ids_survive_their_text_form_and_refuse_others() {
        let call = CallId::from_bytes(*b"0123456789abcdef");
        assert_eq!(call.to_string().parse(), Ok(call));
        assert_eq!("".parse::<CallId>(), Err(IdError::Hex(32)));
        assert_eq!("zz".repeat(16).parse::<CallId>(), Err(IdError::Hex(32)));
        assert_eq!("é".repeat(16).parse::<CallId>(), Err(IdError::Hex(32)));
        assert_eq!("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N".parse::<PeerId>(), Err(IdError::PeerId));
    }
}
