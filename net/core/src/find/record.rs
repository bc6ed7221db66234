//! Records of the distributed table: where a device is, for one reader, under a name that nobody else can make or link.
//!
//! Name and seal come from a secret of two devices: X25519 of their device keys in Montgomery form (RFC 7748), which both
//! have without a word said before. Holders of a contact card who are not in its owner's address book yet share the card's
//! invitation instead. Why not the Noise keys: docs/decisions/0056.

use ahoy_base::PeerId;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use ed25519_dalek::{SigningKey, VerifyingKey};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Bytes of a record's name.
pub const KEY_BYTES: usize = 32;
/// Bytes of a record: always as many, so that its length says nothing.
pub const RECORD_BYTES: usize = 512;
/// Names change each day (UTC).
pub const DAY_MS: u64 = 24 * 3_600_000;
/// A record is also published under the next day's name this long before midnight: clocks differ.
pub const EARLY_MS: u64 = 2 * 3_600_000;

const PAIR: &[u8] = b"ahoy-find/1";
const CARD: &[u8] = b"ahoy-find-card/1";
const NAME: &[u8] = b"name";
const SEAL: &[u8] = b"seal";
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const PLAIN_BYTES: usize = RECORD_BYTES - NONCE_BYTES - TAG_BYTES;
/// Time and count.
const HEAD_BYTES: usize = 8 + 1;

/// Why bytes are no record for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordError {
    /// Sealed for somebody else, for another day, or altered.
    #[error("the record is not for this device")]
    Sealed,
    /// Its inside makes no sense.
    #[error("the record is damaged")]
    Damaged,
}

/// Makes the secrets that this device shares with others. `Debug` shows nothing.
#[derive(Clone)]
pub struct Finder {
    me: PeerId,
    scalar: [u8; 32],
}

impl std::fmt::Debug for Finder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Finder(secret)")
    }
}

/// What two devices, or a card's owner and its holders, have in common.
#[derive(Clone)]
pub struct Shared {
    secret: Hkdf<Sha256>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared(secret)")
    }
}

/// An opened record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// When it was made, milliseconds since 1970 on its maker's clock: the later of two counts.
    pub at_ms: u64,
    /// Addresses in libp2p's binary form, best first.
    pub addresses: Vec<Vec<u8>>,
}

impl Finder {
    /// From the seed of the device key.
    pub fn new(seed: &[u8; 32]) -> Finder {
        let key = SigningKey::from_bytes(seed);
        let me = PeerId::from_public_key(key.verifying_key().to_bytes());
        Finder { me, scalar: key.to_scalar_bytes() }
    }

    /// This device.
    pub fn me(&self) -> PeerId {
        self.me
    }

    /// What this device has in common with `peer`; `None` if `peer`'s key is no key.
    pub fn with(&self, peer: PeerId) -> Option<Shared> {
        let theirs = VerifyingKey::from_bytes(peer.public_key()).ok()?.to_montgomery().to_bytes();
        let secret = x25519_dalek::x25519(self.scalar, theirs);
        // A point of small order would make a secret that everybody knows.
        (secret != [0; 32]).then(|| Shared { secret: Hkdf::new(Some(PAIR), &secret) })
    }
}

impl Shared {
    /// What the owner of a card has in common with those who hold it.
    pub fn of_card(invite: &[u8; 16]) -> Shared {
        Shared { secret: Hkdf::new(Some(CARD), invite) }
    }

    /// The name of the record that `publisher` keeps at `wall_ms` for the other.
    pub fn name(&self, publisher: PeerId, wall_ms: u64) -> [u8; KEY_BYTES] {
        // HMAC takes keys of any length, so this can't fail.
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.derive(NAME, publisher, 0))
            .unwrap_or_else(|_| Mac::new(&Default::default()));
        mac.update(&(wall_ms / DAY_MS).to_le_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Seals where `publisher` is. Addresses that find no room are left out, the last ones first.
    pub fn seal(&self, publisher: PeerId, wall_ms: u64, addresses: &[Vec<u8>], nonce: [u8; 12]) -> Vec<u8> {
        let mut plain = wall_ms.to_le_bytes().to_vec();
        plain.push(0);
        let mut count = 0u8;
        for address in addresses {
            let Ok(length) = u8::try_from(address.len()) else { continue };
            if plain.len() + 1 + address.len() > PLAIN_BYTES {
                break;
            }
            plain.push(length);
            plain.extend(address);
            count += 1;
        }
        if let Some(at) = plain.get_mut(8) {
            *at = count;
        }
        plain.resize(PLAIN_BYTES, 0);
        let day = (wall_ms / DAY_MS).to_le_bytes();
        let sealed =
            self.cipher(publisher).encrypt(Nonce::from_slice(&nonce), Payload { msg: &plain, aad: &day });
        let mut out = nonce.to_vec();
        // Only texts of gigabytes are too long for the cipher.
        out.extend(sealed.unwrap_or_default());
        out
    }

    /// Opens a record that was found under [`Shared::name`] of the same day.
    ///
    /// # Errors
    /// When it was made by somebody else, for another day, or is damaged.
    pub fn open(&self, publisher: PeerId, wall_ms: u64, record: &[u8]) -> Result<Found, RecordError> {
        if record.len() != RECORD_BYTES {
            return Err(RecordError::Sealed);
        }
        let (nonce, sealed) = record.split_at_checked(NONCE_BYTES).ok_or(RecordError::Sealed)?;
        let day = (wall_ms / DAY_MS).to_le_bytes();
        let plain = self
            .cipher(publisher)
            .decrypt(Nonce::from_slice(nonce), Payload { msg: sealed, aad: &day })
            .map_err(|_| RecordError::Sealed)?;
        read(&plain).ok_or(RecordError::Damaged)
    }

    fn cipher(&self, publisher: PeerId) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&self.derive(SEAL, publisher, 1).into())
    }

    fn derive(&self, use_: &[u8], publisher: PeerId, number: u8) -> [u8; 32] {
        let mut out = [0u8; 32];
        let info = [use_, &[number], publisher.public_key()].concat();
        if self.secret.expand(&info, &mut out).is_err() {
            // HKDF fails only above 8,160 bytes.
            tracing::error!("no key for a record of the table");
        }
        out
    }
}

fn read(plain: &[u8]) -> Option<Found> {
    let (head, mut rest) = plain.split_at_checked(HEAD_BYTES)?;
    let (at, count) = head.split_first_chunk::<8>()?;
    let mut addresses = Vec::new();
    for _ in 0..*count.first()? {
        let (length, tail) = rest.split_first()?;
        let (address, tail) = tail.split_at_checked(usize::from(*length))?;
        addresses.push(address.to_vec());
        rest = tail;
    }
    Some(Found { at_ms: u64::from_le_bytes(*at), addresses })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const NOON: u64 = 20_000 * DAY_MS + DAY_MS / 2;

    fn addresses() -> Vec<Vec<u8>> {
        vec![vec![4, 10, 0, 0, 1, 6, 1, 187], vec![9; 40]]
    }

    #[test]
    fn two_devices_find_each_other_and_nobody_else_does() {
        let (ann, bob, eve) = (Finder::new(&[1; 32]), Finder::new(&[2; 32]), Finder::new(&[3; 32]));
        let (ours, theirs) = (ann.with(bob.me()).unwrap(), bob.with(ann.me()).unwrap());
        assert_eq!(ours.name(ann.me(), NOON), theirs.name(ann.me(), NOON + 1));
        let record = ours.seal(ann.me(), NOON, &addresses(), [7; 12]);
        assert_eq!(record.len(), RECORD_BYTES);
        let found = theirs.open(ann.me(), NOON, &record).unwrap();
        assert_eq!((found.at_ms, found.addresses), (NOON, addresses()));
        for shared in [eve.with(ann.me()).unwrap(), eve.with(bob.me()).unwrap(), Shared::of_card(&[0; 16])] {
            assert_ne!(shared.name(ann.me(), NOON), ours.name(ann.me(), NOON));
            assert_eq!(shared.open(ann.me(), NOON, &record), Err(RecordError::Sealed));
        }
    }

    #[test]
    fn names_differ_by_day_direction_and_reader() {
        let (ann, bob, cid) = (Finder::new(&[1; 32]), Finder::new(&[2; 32]), Finder::new(&[4; 32]));
        let with_bob = ann.with(bob.me()).unwrap();
        let names = [
            with_bob.name(ann.me(), NOON),
            with_bob.name(bob.me(), NOON),
            with_bob.name(ann.me(), NOON + DAY_MS),
            ann.with(cid.me()).unwrap().name(ann.me(), NOON),
            Shared::of_card(&[5; 16]).name(ann.me(), NOON),
        ];
        for (n, name) in names.iter().enumerate() {
            assert!(!names[..n].contains(name), "{n}");
        }
    }

    #[test]
    fn no_byte_of_a_record_can_be_changed_and_no_day_swapped() {
        let card = Shared::of_card(&[5; 16]);
        let ann = Finder::new(&[1; 32]).me();
        let record = card.seal(ann, NOON, &addresses(), [7; 12]);
        for at in 0..record.len() {
            let mut altered = record.clone();
            altered[at] ^= 1;
            assert!(card.open(ann, NOON, &altered).is_err(), "{at}");
        }
        assert_eq!(card.open(ann, NOON + DAY_MS, &record), Err(RecordError::Sealed));
        assert_eq!(card.open(ann, NOON, &record[1..]), Err(RecordError::Sealed));
    }

    #[test]
    fn what_finds_no_room_is_left_out_and_the_size_stays() {
        let (card, ann) = (Shared::of_card(&[5; 16]), Finder::new(&[1; 32]).me());
        let many = vec![vec![1u8; 60]; 40];
        let record = card.seal(ann, NOON, &many, [0; 12]);
        assert_eq!(record.len(), RECORD_BYTES);
        assert_eq!(card.open(ann, NOON, &record).unwrap().addresses.len(), 7);
        assert_eq!(card.seal(ann, NOON, &[], [0; 12]).len(), RECORD_BYTES);
        assert!(read(&[0; 8]).is_none() && read(&[9; 20]).is_none());
    }
}
