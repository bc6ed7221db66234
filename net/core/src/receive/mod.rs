//! What happens to received sound before it is decoded: order, lateness, and what to play next.

mod arrival;
mod lip_sync;
mod playout;
mod transit;

use ahoy_base::{EncodedAudio, Moment};

pub use lip_sync::wait_for_pictures;
pub use playout::{Gap, Playout, PlayoutStats, Pull, Step, Tempo};
pub use transit::Transit;

/// A frame that was opened, and when its datagram came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceivedAudio {
    /// When the socket gave it.
    pub arrival: Moment,
    /// The frame.
    pub frame: EncodedAudio,
    /// It was carried as a copy beside a later frame.
    pub copy: bool,
}
