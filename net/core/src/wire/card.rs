//! The contact card: who somebody is and where they may be found, signed by their device, as one line of text.

use ahoy_base::PeerId;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use prost::Message;

use super::signal::MAX_NAME;

/// What every card begins with.
pub const PREFIX: &str = "ahoy:c/";
/// Most addresses of a card; more would make its QR code hard to read.
pub const MAX_ADDRESSES: usize = 8;
/// Longest address, in bytes.
const MAX_ADDRESS: usize = 128;
/// Longest text that is looked at: far above any honest card.
const MAX_TEXT: usize = 8_192;
/// What is signed begins with this, so that the signature means nothing elsewhere.
const DOMAIN: &[u8] = b"ahoy-card/1";

/// Who somebody is and where they may be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The device.
    pub peer: PeerId,
    /// What its person calls themselves, at most 80 characters.
    pub name: String,
    /// Multiaddresses, at most 8 of at most 128 bytes.
    pub addresses: Vec<String>,
    /// A secret that shows that its holder was given the card.
    pub invite: [u8; 16],
}

/// Why a text is no card.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// It does not begin like one.
    #[error("it does not start with ahoy:c/")]
    Prefix,
    /// Letters are missing or changed.
    #[error("part of it is missing or changed")]
    Damaged,
    /// The signature is not the device's.
    #[error("its signature is wrong, so it may be forged")]
    Forged,
    /// A later version's card.
    #[error("it was made by a newer version")]
    Newer,
}

#[derive(Clone, PartialEq, Message)]
struct Signed {
    #[prost(bytes = "vec", tag = "1")]
    body: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Body {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bytes = "vec", tag = "2")]
    peer: Vec<u8>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, repeated, tag = "4")]
    addresses: Vec<String>,
    #[prost(bytes = "vec", tag = "5")]
    invite: Vec<u8>,
}

impl Card {
    /// The card as text, signed with the device key `seed` (Ed25519). Names and addresses that are too long are cut or left out.
    pub fn sign(&self, seed: &[u8; 32]) -> String {
        let body = Body {
            version: 1,
            peer: self.peer.public_key().to_vec(),
            name: self.name.chars().take(MAX_NAME).collect(),
            addresses: self
                .addresses
                .iter()
                .filter(|a| a.len() <= MAX_ADDRESS)
                .take(MAX_ADDRESSES)
                .cloned()
                .collect(),
            invite: self.invite.to_vec(),
        }
        .encode_to_vec();
        let signature = SigningKey::from_bytes(seed).sign(&to_sign(&body)).to_bytes().to_vec();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(Signed { body, signature }.encode_to_vec()))
    }

    /// Reads a card: `ahoy:c/…` or a link that ends in `/c#…`, white space around it allowed.
    ///
    /// # Errors
    /// When it is none, or not signed by the device that it names.
    pub fn parse(text: &str) -> Result<Card, CardError> {
        let text = text.trim();
        if text.len() > MAX_TEXT {
            return Err(CardError::Damaged);
        }
        let payload = text
            .strip_prefix(PREFIX)
            .or_else(|| text.split_once("/c#").map(|(_, payload)| payload))
            .ok_or(CardError::Prefix)?;
        let bytes = URL_SAFE_NO_PAD.decode(payload).map_err(|_| CardError::Damaged)?;
        let signed = Signed::decode(&bytes[..]).map_err(|_| CardError::Damaged)?;
        let body = Body::decode(&signed.body[..]).map_err(|_| CardError::Damaged)?;
        if body.version > 1 {
            return Err(CardError::Newer);
        }
        let key: [u8; 32] = body.peer.as_slice().try_into().map_err(|_| CardError::Damaged)?;
        let signature = Signature::from_slice(&signed.signature).map_err(|_| CardError::Damaged)?;
        VerifyingKey::from_bytes(&key)
            .and_then(|key| key.verify_strict(&to_sign(&signed.body), &signature))
            .map_err(|_| CardError::Forged)?;
        let fits =
            body.addresses.len() <= MAX_ADDRESSES && body.addresses.iter().all(|a| a.len() <= MAX_ADDRESS);
        if !fits {
            return Err(CardError::Damaged);
        }
        Ok(Card {
            peer: PeerId::from_public_key(key),
            name: body.name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect(),
            addresses: body.addresses,
            invite: body.invite.try_into().map_err(|_| CardError::Damaged)?,
        })
    }
}

fn to_sign(body: &[u8]) -> Vec<u8> {
    [DOMAIN, body].concat()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const SEED: [u8; 32] = [7; 32];

    fn card() -> Card {
        let key = SigningKey::from_bytes(&SEED).verifying_key().to_bytes();
        Card {
            peer: PeerId::from_public_key(key),
            name: "Ann Lee".into(),
            addresses: vec!["/ip4/192.168.1.5/udp/40001/quic-v1".into()],
            invite: [3; 16],
        }
    }

    #[test]
    fn a_card_survives_its_text_in_all_its_forms() {
        let text = card().sign(&SEED);
        assert_eq!(Card::parse(&text), Ok(card()));
        assert_eq!(Card::parse(&format!("  {text}\n")), Ok(card()));
        let link = text.replace(PREFIX, "https://example.org/c#");
        assert_eq!(Card::parse(&link), Ok(card()));
    }

    #[test]
    fn no_single_letter_can_be_changed() {
        let text = card().sign(&SEED);
        for at in 0..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(Card::parse(&altered).is_err(), "{altered}");
        }
        assert_eq!(Card::parse(&card().sign(&[8; 32])), Err(CardError::Forged));
        assert_eq!(Card::parse("hello"), Err(CardError::Prefix));
        assert_eq!(Card::parse(""), Err(CardError::Prefix));
    }

    #[test]
    fn long_names_and_many_addresses_are_cut_by_the_signer() {
        let long = Card { name: "x".repeat(200), addresses: vec!["/ip4/1.2.3.4/tcp/1".into(); 20], ..card() };
        let read = Card::parse(&long.sign(&SEED)).unwrap();
        assert_eq!((read.name.len(), read.addresses.len()), (MAX_NAME, MAX_ADDRESSES));
    }
}
