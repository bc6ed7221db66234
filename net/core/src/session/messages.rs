//! What the two devices tell each other under seal: announcements inside the handshake, control messages after it.

use std::net::SocketAddr;

use ahoy_base::VideoSize;
use prost::Message;

use crate::path::packet::{SPLICED, TAG};
use crate::seal::media::{GENERATIONS, SenderKey};
use crate::wire::address::{read_addresses, write_addresses};

/// Most addresses that are told and heeded.
pub(super) const MAX_CANDIDATES: usize = 16;

/// What the payloads of the second and third handshake message carry beside the proof.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Announcement {
    pub(super) candidates: Vec<SocketAddr>,
    pub(super) sender_key: Option<SenderKey>,
    /// Id and key that admit links; from the initiator.
    pub(super) link_secret: Option<([u8; 16], [u8; 32])>,
}

/// Relays that are told and heeded.
pub(super) const MAX_RELAYS: usize = 2;
/// Addresses of one relay.
const MAX_RELAY_ADDRESSES: usize = 4;

/// One end of a splice that a relay lent, as whoever asked for it hands it to the peer.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayOffer {
    /// Where the relay is, at most 4.
    pub addresses: Vec<SocketAddr>,
    /// The splice.
    pub id: [u8; TAG],
    /// The key of the peer's end.
    pub key: [u8; 32],
}

impl std::fmt::Debug for RelayOffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelayOffer").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// A control message; all empty, it is a sign of life.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Control {
    pub(super) sender_key: Option<SenderKey>,
    pub(super) key_ack: Option<u8>,
    pub(super) candidates: Vec<SocketAddr>,
    pub(super) pictures: Option<PictureState>,
    pub(super) pictures_ack: Option<u32>,
    pub(super) relays: Vec<RelayOffer>,
    /// A round of probes begins.
    pub(super) round: bool,
}

/// Which pictures of the sender are on, and what it can show of the receiver's, in the order of `VideoTrack::ALL`.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct PictureState {
    /// Counts the changes; the highest holds.
    pub(super) serial: u32,
    pub(super) on: [bool; 2],
    pub(super) want: [Option<VideoSize>; 2],
}

mod pb {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct SenderKey {
        #[prost(uint32, tag = "1")]
        pub(super) generation: u32,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) secret: Vec<u8>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Announcement {
        /// 6 or 18 bytes each: address, then port, big endian.
        #[prost(bytes = "vec", repeated, tag = "1")]
        pub(super) candidates: Vec<Vec<u8>>,
        #[prost(message, optional, tag = "2")]
        pub(super) sender_key: Option<SenderKey>,
        #[prost(bytes = "vec", tag = "3")]
        pub(super) session_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")]
        pub(super) link_key: Vec<u8>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Control {
        #[prost(message, optional, tag = "1")]
        pub(super) sender_key: Option<SenderKey>,
        #[prost(uint32, optional, tag = "2")]
        pub(super) key_ack: Option<u32>,
        #[prost(bytes = "vec", repeated, tag = "3")]
        pub(super) candidates: Vec<Vec<u8>>,
        #[prost(message, optional, tag = "4")]
        pub(super) pictures: Option<Pictures>,
        #[prost(uint32, optional, tag = "5")]
        pub(super) pictures_ack: Option<u32>,
        #[prost(message, repeated, tag = "6")]
        pub(super) relays: Vec<Relay>,
        #[prost(bool, tag = "7")]
        pub(super) round: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Relay {
        /// As `candidates`.
        #[prost(bytes = "vec", repeated, tag = "1")]
        pub(super) addresses: Vec<Vec<u8>>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) id: Vec<u8>,
        #[prost(bytes = "vec", tag = "3")]
        pub(super) key: Vec<u8>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Pictures {
        #[prost(uint32, tag = "1")]
        pub(super) serial: u32,
        #[prost(message, optional, tag = "2")]
        pub(super) camera: Option<Picture>,
        #[prost(message, optional, tag = "3")]
        pub(super) screen: Option<Picture>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Picture {
        #[prost(bool, tag = "1")]
        pub(super) on: bool,
        /// Columns and rows that can be shown of the other's; 0: nothing.
        #[prost(uint32, tag = "2")]
        pub(super) width: u32,
        #[prost(uint32, tag = "3")]
        pub(super) height: u32,
    }
}

impl Announcement {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (session_id, link_key) =
            self.link_secret.map(|(id, key)| (id.to_vec(), key.to_vec())).unwrap_or_default();
        pb::Announcement {
            candidates: write_addresses(&self.candidates, MAX_CANDIDATES),
            sender_key: self.sender_key.as_ref().map(write_key),
            session_id,
            link_key,
        }
        .encode_to_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Announcement> {
        let pb = pb::Announcement::decode(bytes).ok()?;
        let link_secret = match (pb.session_id.len(), pb.link_key.len()) {
            (0, 0) => None,
            _ => Some((pb.session_id.try_into().ok()?, pb.link_key.try_into().ok()?)),
        };
        Some(Announcement {
            candidates: read_addresses(&pb.candidates, MAX_CANDIDATES),
            sender_key: read_optional_key(pb.sender_key.as_ref())?,
            link_secret,
        })
    }
}

impl Control {
    pub(super) fn encode(&self) -> Vec<u8> {
        pb::Control {
            sender_key: self.sender_key.as_ref().map(write_key),
            key_ack: self.key_ack.map(u32::from),
            candidates: write_addresses(&self.candidates, MAX_CANDIDATES),
            pictures: self.pictures.as_ref().map(write_pictures),
            pictures_ack: self.pictures_ack,
            relays: self.relays.iter().take(MAX_RELAYS).map(write_relay).collect(),
            round: self.round,
        }
        .encode_to_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Control> {
        let pb = pb::Control::decode(bytes).ok()?;
        Some(Control {
            sender_key: read_optional_key(pb.sender_key.as_ref())?,
            key_ack: pb.key_ack.map(u8::try_from).transpose().ok()?,
            candidates: read_addresses(&pb.candidates, MAX_CANDIDATES),
            pictures: pb.pictures.map(read_pictures),
            pictures_ack: pb.pictures_ack,
            relays: pb.relays.iter().take(MAX_RELAYS).filter_map(read_relay).collect(),
            round: pb.round,
        })
    }
}

fn write_pictures(state: &PictureState) -> pb::Pictures {
    let [camera, screen] = [0, 1].map(|n| {
        let want = state.want.get(n).copied().flatten();
        pb::Picture {
            on: state.on.get(n).copied().unwrap_or_default(),
            width: want.map_or(0, |size| size.width.into()),
            height: want.map_or(0, |size| size.height.into()),
        }
    });
    pb::Pictures { serial: state.serial, camera: Some(camera), screen: Some(screen) }
}

fn read_pictures(pb: pb::Pictures) -> PictureState {
    let pictures = [pb.camera, pb.screen].map(Option::unwrap_or_default);
    let side = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    PictureState {
        serial: pb.serial,
        on: pictures.map(|picture| picture.on),
        want: pictures.map(|picture| {
            let size = VideoSize { width: side(picture.width), height: side(picture.height) };
            (size.width > 0 && size.height > 0).then_some(size)
        }),
    }
}

fn write_relay(relay: &RelayOffer) -> pb::Relay {
    let addresses = write_addresses(&relay.addresses, MAX_RELAY_ADDRESSES);
    pb::Relay { addresses, id: relay.id.to_vec(), key: relay.key.to_vec() }
}

fn read_relay(pb: &pb::Relay) -> Option<RelayOffer> {
    let mut addresses = read_addresses(&pb.addresses, MAX_RELAY_ADDRESSES);
    addresses.retain(|a| crate::path::may_ask(*a));
    let id: [u8; TAG] = pb.id.as_slice().try_into().ok()?;
    let key = pb.key.as_slice().try_into().ok()?;
    (id.first() == Some(&SPLICED) && !addresses.is_empty()).then_some(RelayOffer { addresses, id, key })
}

fn write_key(key: &SenderKey) -> pb::SenderKey {
    pb::SenderKey { generation: key.generation.into(), secret: key.secret.to_vec() }
}

/// The outer `None`: there is a key and it is broken.
fn read_optional_key(key: Option<&pb::SenderKey>) -> Option<Option<SenderKey>> {
    match key {
        Some(key) => read_key(key).map(Some),
        None => Some(None),
    }
}

fn read_key(key: &pb::SenderKey) -> Option<SenderKey> {
    let generation = u8::try_from(key.generation).ok().filter(|g| *g < GENERATIONS)?;
    Some(SenderKey { generation, secret: key.secret.as_slice().try_into().ok()? })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn both_kinds_survive_and_broken_ones_are_none() {
        let key = SenderKey { generation: 63, secret: [1; 32] };
        let candidates = vec!["10.0.0.1:9".parse().unwrap(), "[2001:db8::1]:65535".parse().unwrap()];
        let announcement = Announcement {
            candidates: candidates.clone(),
            sender_key: Some(key.clone()),
            link_secret: Some(([2; 16], [3; 32])),
        };
        assert_eq!(Announcement::decode(&announcement.encode()), Some(announcement));
        let offer = RelayOffer { addresses: candidates.clone(), id: [3; 8], key: [4; 32] };
        let relays = vec![offer.clone()];
        let pictures = PictureState {
            serial: 7,
            on: [true, false],
            want: [None, Some(VideoSize { width: 1_920, height: 1_080 })],
        };
        let control = Control {
            sender_key: Some(key),
            key_ack: Some(0),
            candidates,
            pictures: Some(pictures),
            pictures_ack: Some(6),
            relays,
            round: true,
        };
        assert_eq!(Control::decode(&control.encode()), Some(control));
        assert_eq!(Control::decode(&Control::default().encode()), Some(Control::default()));
        // An id that packets of this port could not begin with is none.
        let strange = Control { relays: vec![RelayOffer { id: [9; 8], ..offer }], ..Control::default() };
        assert_eq!(Control::decode(&strange.encode()), Some(Control::default()));
        assert_eq!(Control::decode(&[0xff]), None);
        let high =
            Control { sender_key: Some(SenderKey { generation: 64, secret: [0; 32] }), ..Control::default() };
        assert_eq!(Control::decode(&high.encode()), None);
    }
}
