//! The bytes between two devices: signalling messages, contact cards, media datagrams. docs/PROTOCOL.md says the same in words.

pub(crate) mod address;
pub mod card;
pub mod datagram;
pub mod picture;
pub mod relay;
pub mod signal;
pub mod voice;
