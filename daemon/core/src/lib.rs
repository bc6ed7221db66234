//! What a call is: who is in it, which state it has, what may happen next. Pure: no clock, socket, file, thread.
//!
//! [`Calls`] holds all calls of one device behind one door: [`Calls::handle`] takes one [`Input`], [`Calls::poll`] gives
//! one [`Output`] until `Wake`. The law of the shell: one input, then poll until `Wake`, then wait.
//! Start reading at [`CallState`].

mod call;
mod call_state;
mod calls;
mod door;
mod doorman;
mod echo_test;
mod end;
mod memory;
mod network;
mod outbox;
mod roster;
mod stored;
pub mod words;

pub use call::{Call, Direction, Recording};
pub use call_state::{
    Agreement, CONNECT_TIME, CallState, Hold, OFFLINE_TIME, REJOIN_TIME, RENEW_PAUSE, RING_TIME, SEAT_TIME,
};
pub use calls::{AutoAnswer, Calls, CallsConfig, MAX_LIVE};
pub use door::{
    Alert, CallEvent, Command, CommandError, Input, Output, Ring, SessionCommand, Standing, Transaction,
    WakeReason,
};
pub use echo_test::{EchoTest, Microphone, SoundFault};
pub use end::{EndReason, Failure, Outcome};
pub use network::{Fact, Fault, Network, ProxyFault, Weight};
pub use roster::{Member, Presence, Roster};
pub use stored::{Restored, StoredCall, StoredMessage, StoredPhase};
