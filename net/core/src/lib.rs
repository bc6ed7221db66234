//! One peer of a call, between the encoder and the wire: keys, packets, links, playout decisions. Pure.

pub mod find;
pub mod mapping;
pub mod path;
pub mod receive;
pub mod seal;
pub mod session;
pub mod transport;
pub mod video;
pub mod wire;
