//! Keys and seals: who is on the other side, and that nobody else reads or changes what they say.

pub mod control;
pub mod handshake;
pub mod media;
mod random;
pub mod replay;
mod words;

pub use random::Random;
pub use replay::ReplayWindow;
pub use words::{N_WORDS, safety_words};
