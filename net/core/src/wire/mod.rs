//! The bytes between two devices: signalling messages, contact cards, media datagrams. docs/PROTOCOL.md says the same in words.

pub mod card;
pub mod datagram;
pub mod picture;
pub mod signal;
pub mod voice;
