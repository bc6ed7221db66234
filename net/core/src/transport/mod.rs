//! How one link is doing, and what to do about it: who measured what, how much may be sent, how loss is mended.
//!
//! ```text
//!  sender                                              receiver
//!  SendLog.sent ----------- datagrams ------------>    Arrived.note
//!     |                                                  |
//!     v            <---------- Report --------------- Arrived.report
//!  Fate of each datagram
//!     |-> Loss        how much is lost, in what bursts -> repair::plan: copies, spacing, frame length
//!     '-> RateController   delay gradient, throughput  -> how many bits a second may be sent
//! ```
//! Pure: time is an argument. The receiver only tells what came when; all judgement lies with the sender, so that a
//! better sender needs no newer receiver.

mod arrived;
mod loss;
mod rate;
mod repair;
mod send_log;

pub use arrived::Arrived;
pub use loss::{Loss, Losses};
pub use rate::{RateController, RateFigures, Usage};
pub use repair::{VoicePlan, Weather, plan};
pub use send_log::{Fate, SendLog};
