//! What happens to received sound before it is decoded: order, lateness, and what to play each 10 ms.

use ahoy_base::{EncodedAudio, Moment};

/// A frame that was opened, and when its datagram came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceivedAudio {
    /// When the socket gave it.
    pub arrival: Moment,
    /// The frame.
    pub frame: EncodedAudio,
}
