//! Pictures on their way: how a sealed frame becomes datagrams and a frame again, what is done about loss, when a frame is
//! shown, and what an encoder may make.
//!
//! ```text
//!  EncodedVideo -> Outgoing: number, seal, pieces, parity -> Pacer -> datagrams
//!                      ^  what was sent, for a second or so      ^ rate
//!                      '------ Ask (missing pieces, kept, key) <------------.
//!  datagrams -> Pieces: frames from pieces and parity -> opened -> Order: only what can be decoded, when it is due
//!                      |                                               '-> Shown
//!                      '-> Asking: what is missing and can still be in time; go on from a kept frame; key frame
//! ```
//! Pure: time is an argument.

mod asking;
mod incoming;
mod ladder;
mod order;
mod outgoing;
mod pacer;
pub mod parity;
mod pieces;
mod smooth;

pub use asking::Asking;
pub use incoming::{Incoming, IncomingFigures, Shown};
pub use ladder::{Ladder, Limits};
pub use order::Order;
pub use outgoing::{Item, Share, ToSend, Way};
pub use outgoing::{Outgoing, OutgoingFigures};
pub use pacer::{Class, Pacer};
pub use pieces::Pieces;
pub use pieces::{Taken, Whole};
pub use smooth::Smooth;
