//! What a call is: its states, and what each event does to each of them. Pure functions, no timing but deadlines.
//!
//! ```text
//!   dial                                                      offer comes in
//!    |                                                              |
//!    v          Ringing                                             v
//!  Calling ----------------> RingingOut                         RingingIn
//!    |                         |                                    | answer
//!    | Accept                  | Accept                             |
//!    +-----------+-------------+            +-----------------------+
//!                v                          v
//!              Connecting  (Agreed)   Connecting (Accepted) --AcceptOk--> Connecting (Agreed)
//!                                          |
//!                                          |  agreed and session ready
//!                                          v
//!        session ready, agreed          Active  (hold: local, remote)
//!       +------------------------------>   |
//!       |                                  |  nothing heard for 3 s, or the peer comes back after a crash
//!       +----------- Reconnecting <--------+
//!                         |
//!                         |  60 s
//!                         v
//!   any state ---------> Ended(reason)        terminal; the first reason stays
//!
//!   this daemon died in Connecting, Active or Reconnecting and is back within 60 s:
//!       Interrupted --rejoin--> Connecting (Offered) --Accept--> Connecting (Agreed) --session ready--> Active
//! ```
//!
//! Who starts the session when: each `Ringing` goes with a fresh session on both sides, so keys and links exist
//! before the answer. A call that nobody may hear ring (a stranger's) starts it with the answer. Two answered sides
//! whose session does not come up offer again with `resume`, which starts a fresh session on both.

use crate::end::EndReason;
use ahoy_base::Moment;

/// Who put a call on hold. Sound flows while nobody did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Hold {
    /// This person.
    pub local: bool,
    /// The other.
    pub remote: bool,
}

impl Hold {
    /// Whether sound rests.
    pub const fn any(self) -> bool {
        self.local || self.remote
    }
}

/// How far the two sides have agreed that they are in the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Agreement {
    /// This side offered to take up the call again; the other has not accepted yet.
    Offered,
    /// This side accepted; the other has not confirmed yet, and may have cancelled meanwhile.
    Accepted,
    /// Both know.
    Agreed,
}

/// The state of one call on this device. Each state owns what only it needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallState {
    /// This person called; the other side has not said that it rings.
    Calling {
        /// When nobody answered.
        expires_at: Moment,
        /// The other device has the offer.
        delivered: bool,
        /// It could not be reached; the call ends then unless it turns up.
        offline_at: Option<Moment>,
    },
    /// The other side rings.
    RingingOut {
        /// When nobody answered.
        expires_at: Moment,
    },
    /// This side rings (or shows a request).
    RingingIn {
        /// When the caller has given up.
        expires_at: Moment,
        /// How loudly.
        alert: crate::door::Alert,
    },
    /// Answered; keys or links are missing.
    Connecting {
        /// When to give up.
        until: Moment,
        /// Who knows of the answer.
        agreement: Agreement,
        /// A fresh session is offered then.
        renew_at: Option<Moment>,
        /// The other side may be further and hold already.
        hold: Hold,
    },
    /// The two can talk.
    Active {
        /// Who rests it.
        hold: Hold,
    },
    /// The two could talk, and the connection is gone. The seat is held.
    Reconnecting {
        /// When the seat is given up.
        until: Moment,
        /// Who knows of the newest session.
        agreement: Agreement,
        /// A fresh session is offered then.
        renew_at: Option<Moment>,
        /// Who rests it.
        hold: Hold,
    },
    /// This daemon died in the call and is back; the other side may still hold the seat.
    Interrupted {
        /// When the other side has given it up.
        until: Moment,
        /// The other side offered to take it up again.
        peer_offers: bool,
        /// Who rested it.
        hold: Hold,
    },
    /// Over.
    Ended {
        /// Why.
        reason: EndReason,
    },
}
