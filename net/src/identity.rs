//! Our `PeerId` and libp2p's: the same key in two types.

use ahoy_base::PeerId;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// libp2p's form of our id.
///
/// `None` if the key is no point on the curve; such a device can't exist.
pub(crate) fn to_libp2p(peer: PeerId) -> Option<libp2p::PeerId> {
    libp2p::PeerId::from_bytes(&peer.to_multihash()).ok()
}

/// Our form of libp2p's id; `None` for keys that are not Ed25519.
pub(crate) fn from_libp2p(peer: &libp2p::PeerId) -> Option<PeerId> {
    PeerId::from_multihash(&peer.to_bytes())
}

/// Who is at the end of an address, if it says so.
pub fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    address.iter().filter_map(|p| if let Protocol::P2p(peer) = p { from_libp2p(&peer) } else { None }).last()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn both_forms_of_an_id_have_the_same_text() {
        let key = libp2p::identity::Keypair::ed25519_from_bytes([7; 32]).unwrap();
        let theirs = key.public().to_peer_id();
        let ours = from_libp2p(&theirs).unwrap();
        assert_eq!(ours.to_string(), theirs.to_string());
        assert_eq!(to_libp2p(ours).unwrap(), theirs);
        let key = key.public().try_into_ed25519().unwrap().to_bytes();
        assert_eq!(ours.public_key(), &key);
    }

    #[test]
    fn an_address_says_who_is_there() {
        let peer = PeerId::from_public_key(
            libp2p::identity::Keypair::ed25519_from_bytes([8; 32])
                .unwrap()
                .public()
                .try_into_ed25519()
                .unwrap()
                .to_bytes(),
        );
        assert_eq!(peer_of(&format!("/ip4/10.0.0.1/tcp/1/p2p/{peer}").parse().unwrap()), Some(peer));
        assert_eq!(peer_of(&"/ip4/10.0.0.1/tcp/1".parse().unwrap()), None);
    }
}
