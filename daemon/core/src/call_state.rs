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

use crate::call::Direction;
use crate::door::{Alert, CallEvent, CommandError};
use crate::end::{EndReason, Failure};
use ahoy_base::{CallId, Moment};
use ahoy_net_core::session::Role;
use ahoy_net_core::wire::signal::{HangupReason, MediaKind, Signal};
use std::time::Duration;

/// How long an unanswered call rings (protocol: offers expire after 45 s).
pub const RING_TIME: Duration = Duration::from_secs(45);
/// [`RING_TIME`] in milliseconds, as it travels in an offer.
pub(crate) const RING_MS: u64 = 45_000;
/// How long an answered call may take to get keys and a link.
pub const CONNECT_TIME: Duration = Duration::from_secs(20);
/// How long a seat is held for a peer that is not heard: a lid that was closed for two minutes, and the way back.
pub const SEAT_TIME: Duration = Duration::from_secs(180);
/// How long a rejoin is tried.
pub const REJOIN_TIME: Duration = Duration::from_secs(30);
/// [`REJOIN_TIME`] as it travels in an offer.
const REJOIN_MS: u32 = 30_000;
/// How long a device that can't be reached is tried before the caller is told: a laptop that wakes up needs about 5 s.
pub const OFFLINE_TIME: Duration = Duration::from_secs(8);
/// Pause before a fresh session is offered after one failed, so that two failing devices don't spin.
pub const RENEW_PAUSE: Duration = Duration::from_secs(1);

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
        alert: Alert,
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

/// What can happen to a call. The first group comes from this person, the second from the peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Answer,
    Decline {
        message: Option<String>,
    },
    HangUp,
    Hold {
        on: bool,
    },
    Rejoin,

    /// A copy of the offer this call began with.
    OfferAgain,
    /// The peer offers to take the answered call up again, with a fresh session.
    Resume,
    Ringing,
    Busy,
    Accept,
    AcceptOk,
    Cancel,
    Declined {
        message: Option<String>,
    },
    Hangup {
        reason: HangupReason,
    },
    Elsewhere,
    PeerHold {
        on: bool,
    },
    /// The tombstone of an offer: the caller had given up before it knew that the offer arrived.
    MissedCall,

    /// The peer has the offer.
    Delivered,
    StreamUp,
    StreamDown,
    Unreachable,

    /// Keys are agreed and a link is up.
    Ready,
    /// Nothing heard for 3 s.
    Lost,
    /// The other side of the session is not the peer.
    Impostor,
    /// The session could not be set up; a fresh one may do better.
    SessionFailed,

    /// A deadline of the state has come.
    Due,
    /// Another call of the same two devices takes this one's place.
    Replaced {
        by: CallId,
    },
    /// The daemon is asked to stop.
    Stopping,
}

/// What to do about an event, besides the new state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Send to the peer.
    Send(Signal),
    /// Begin a fresh session.
    Start(Role),
    /// Begin a session unless one is under way.
    Ensure(Role),
    /// Throw the session away.
    Stop,
    /// Tell the shell.
    Tell(CallEvent),
}

/// What a transition may look at besides state and event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) now: Moment,
    pub(crate) session: SessionStatus,
    pub(crate) direction: Direction,
    pub(crate) media: MediaKind,
    pub(crate) offered_at_ms: u64,
    /// This device's PeerId is smaller than the peer's: its offer wins when two cross.
    pub(crate) wins: bool,
}

/// How far the session of a call is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum SessionStatus {
    /// None runs.
    Off,
    /// Agreeing on keys.
    Running,
    /// Keys are agreed, the peer is proven.
    Secured,
    /// A link is up.
    Ready,
}

/// What an event did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    pub(crate) state: CallState,
    pub(crate) actions: Vec<Action>,
    /// Only commands are refused; a peer's nonsense is ignored.
    pub(crate) refused: Option<CommandError>,
}

impl CallState {
    /// The next deadline of this state.
    pub(crate) fn due_at(&self) -> Option<Moment> {
        match self {
            CallState::Calling { expires_at, offline_at, .. } => {
                Some(offline_at.map_or(*expires_at, |at| at.min(*expires_at)))
            }
            CallState::RingingOut { expires_at } | CallState::RingingIn { expires_at, .. } => {
                Some(*expires_at)
            }
            CallState::Connecting { until, renew_at, .. }
            | CallState::Reconnecting { until, renew_at, .. } => {
                Some(renew_at.map_or(*until, |at| at.min(*until)))
            }
            CallState::Interrupted { until, .. } => Some(*until),
            CallState::Active { .. } | CallState::Ended { .. } => None,
        }
    }

    /// Whether the call is not over.
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self, CallState::Ended { .. })
    }

    /// Whether sound flows: both want to hear each other, and can.
    ///
    /// The called side opens its microphone with its answer, half a round trip before it hears that the caller knows.
    pub(crate) fn flows(&self, session: SessionStatus) -> bool {
        match self {
            CallState::Active { hold } => !hold.any(),
            CallState::Connecting { agreement: Agreement::Accepted, hold, .. } => {
                session == SessionStatus::Ready && !hold.any()
            }
            CallState::Connecting { agreement: Agreement::Offered | Agreement::Agreed, .. }
            | CallState::Calling { .. }
            | CallState::RingingOut { .. }
            | CallState::RingingIn { .. }
            | CallState::Reconnecting { .. }
            | CallState::Interrupted { .. }
            | CallState::Ended { .. } => false,
        }
    }

    /// Lets `event` happen. Never fails: what makes no sense leaves the state as it is.
    pub(crate) fn on(self, event: Event, facts: Facts) -> Step {
        let step = match self {
            CallState::Calling { expires_at, delivered, offline_at } => {
                on_calling(Calling { expires_at, delivered, offline_at }, event, facts)
            }
            CallState::RingingOut { expires_at } => on_ringing_out(expires_at, event, facts),
            CallState::RingingIn { expires_at, alert } => on_ringing_in(expires_at, alert, event, facts),
            CallState::Connecting { until, agreement, renew_at, hold } => {
                on_answered(Answered { talked: false, until, agreement, renew_at, hold }, event, facts)
            }
            CallState::Active { hold } => on_active(hold, event, facts),
            CallState::Reconnecting { until, agreement, renew_at, hold } => {
                on_answered(Answered { talked: true, until, agreement, renew_at, hold }, event, facts)
            }
            CallState::Interrupted { until, peer_offers, hold } => {
                on_interrupted(until, peer_offers, hold, event, facts)
            }
            CallState::Ended { reason } => on_ended(reason, event),
        };
        step.settle(facts)
    }
}

/// The fields of [`CallState::Calling`], on their way through a transition.
#[derive(Clone, Copy)]
struct Calling {
    expires_at: Moment,
    delivered: bool,
    offline_at: Option<Moment>,
}

impl Calling {
    fn stay(self) -> Step {
        let Calling { expires_at, delivered, offline_at } = self;
        CallState::Calling { expires_at, delivered, offline_at }.stay()
    }

    /// The caller's side ends before an answer. A device that may not have the offer gets its tombstone, which also
    /// stops the ringing if it has.
    fn give_up(self, reason: EndReason, facts: Facts) -> Step {
        let signal = if self.delivered {
            Signal::Cancel
        } else {
            Signal::MissedCall { media: facts.media, at_ms: facts.offered_at_ms }
        };
        end(reason).send_first(signal)
    }
}

fn on_calling(s: Calling, event: Event, facts: Facts) -> Step {
    match event {
        Event::HangUp | Event::Decline { .. } | Event::Stopping => s.give_up(EndReason::Cancelled, facts),
        Event::Answer | Event::Hold { .. } | Event::Rejoin => s.stay().refuse(),
        Event::Ringing => Step::to(CallState::RingingOut { expires_at: s.expires_at })
            .then(Action::Start(Role::Initiator))
            .then(Action::Tell(CallEvent::Ringing)),
        Event::Accept => accepted_by_peer(facts),
        Event::Resume => accept_resume(Answered::new(facts), facts).then(Action::Tell(CallEvent::Accepted)),
        Event::Busy => end(EndReason::Busy),
        Event::Declined { message } => end(EndReason::Declined(message)),
        Event::Hangup { reason } => end(before_answer(reason)),
        Event::Cancel => end(EndReason::HangupRemote),
        Event::Delivered => Calling { delivered: true, offline_at: None, ..s }.stay(),
        Event::StreamUp => Calling { offline_at: None, ..s }.stay(),
        Event::Unreachable if !s.delivered => {
            Calling { offline_at: s.offline_at.or(Some(facts.now + OFFLINE_TIME)), ..s }.stay()
        }
        Event::Due if s.delivered && facts.now >= s.expires_at => s.give_up(EndReason::Timeout, facts),
        Event::Due if facts.now >= s.expires_at => s.give_up(EndReason::Offline, facts),
        Event::Due if s.offline_at.is_some_and(|at| facts.now >= at) => s.give_up(EndReason::Offline, facts),
        // The peer drops this call by itself: it was it that made the other one.
        Event::Replaced { by } => end(EndReason::Replaced { by }),
        Event::OfferAgain
        | Event::AcceptOk
        | Event::Elsewhere
        | Event::PeerHold { .. }
        | Event::MissedCall
        | Event::StreamDown
        | Event::Unreachable
        | Event::Ready
        | Event::Lost
        | Event::Impostor
        | Event::SessionFailed
        | Event::Due => s.stay(),
    }
}

fn on_ringing_out(expires_at: Moment, event: Event, facts: Facts) -> Step {
    let stay = || CallState::RingingOut { expires_at }.stay();
    match event {
        Event::HangUp | Event::Decline { .. } | Event::Stopping => {
            end(EndReason::Cancelled).send_first(Signal::Cancel)
        }
        Event::Answer | Event::Hold { .. } | Event::Rejoin => stay().refuse(),
        // The other side began its session afresh: its stream broke, or it died and came back.
        Event::Ringing => stay().then(Action::Start(Role::Initiator)),
        Event::Accept => accepted_by_peer(facts),
        Event::Resume => accept_resume(Answered::new(facts), facts).then(Action::Tell(CallEvent::Accepted)),
        Event::Busy => end(EndReason::Busy),
        Event::Declined { message } => end(EndReason::Declined(message)),
        Event::Hangup { reason } => end(before_answer(reason)),
        Event::Cancel => end(EndReason::HangupRemote),
        Event::Impostor => end(EndReason::Failed(Failure::Identity)).send_first(Signal::Cancel),
        Event::SessionFailed => stay().then(Action::Stop),
        Event::Due if facts.now >= expires_at => end(EndReason::Timeout).send_first(Signal::Cancel),
        Event::Replaced { by } => end(EndReason::Replaced { by }),
        Event::OfferAgain
        | Event::AcceptOk
        | Event::Elsewhere
        | Event::PeerHold { .. }
        | Event::MissedCall
        | Event::Delivered
        | Event::StreamUp
        | Event::StreamDown
        | Event::Unreachable
        | Event::Ready
        | Event::Lost
        | Event::Due => stay(),
    }
}

fn on_ringing_in(expires_at: Moment, alert: Alert, event: Event, facts: Facts) -> Step {
    let stay = || CallState::RingingIn { expires_at, alert }.stay();
    let missed = |reason| end(reason).before(Action::Tell(CallEvent::Missed));
    match event {
        Event::Answer => Step::to(Answered::new(facts).with(Agreement::Accepted).state())
            .then(Action::Ensure(Role::Responder))
            .then(Action::Send(Signal::Accept))
            .then(Action::Tell(CallEvent::Accepted)),
        Event::Decline { message } => {
            end(EndReason::Declined(message.clone())).send_first(Signal::Decline { message })
        }
        Event::HangUp => end(EndReason::Declined(None)).send_first(Signal::Decline { message: None }),
        Event::Hold { .. } | Event::Rejoin => stay().refuse(),
        Event::Cancel | Event::Hangup { .. } | Event::MissedCall => missed(EndReason::Cancelled),
        Event::Elsewhere => end(EndReason::Elsewhere),
        // Whatever ran of the session went with the old stream, or the old stream's end went unnoticed there.
        Event::StreamUp if alert != Alert::Request => {
            stay().then(Action::Start(Role::Responder)).then(Action::Send(Signal::Ringing))
        }
        Event::Impostor => {
            end(EndReason::Failed(Failure::Identity)).send_first(Signal::Decline { message: None })
        }
        Event::SessionFailed => stay().then(Action::Stop),
        Event::Due if facts.now >= expires_at => missed(EndReason::Timeout),
        Event::Replaced { by } => end(EndReason::Replaced { by }),
        // A stranger is not told whether anybody is there.
        Event::Stopping if alert == Alert::Request => missed(EndReason::Cancelled),
        Event::Stopping => missed(EndReason::Cancelled).send_first(hangup(HangupReason::Shutdown)),
        Event::OfferAgain
        | Event::Resume
        | Event::Ringing
        | Event::Busy
        | Event::Accept
        | Event::AcceptOk
        | Event::Declined { .. }
        | Event::PeerHold { .. }
        | Event::Delivered
        | Event::StreamUp
        | Event::StreamDown
        | Event::Unreachable
        | Event::Ready
        | Event::Lost
        | Event::Due => stay(),
    }
}

/// The fields of [`CallState::Connecting`] and [`CallState::Reconnecting`]: answered, but no sound can pass.
#[derive(Clone, Copy)]
struct Answered {
    /// Sound has passed before.
    talked: bool,
    until: Moment,
    agreement: Agreement,
    renew_at: Option<Moment>,
    hold: Hold,
}

impl Answered {
    fn new(facts: Facts) -> Answered {
        Answered {
            talked: false,
            until: facts.now + CONNECT_TIME,
            agreement: Agreement::Agreed,
            renew_at: None,
            hold: Hold::default(),
        }
    }

    fn with(self, agreement: Agreement) -> Answered {
        Answered { agreement, renew_at: None, ..self }
    }

    fn state(self) -> CallState {
        let Answered { talked, until, agreement, renew_at, hold } = self;
        if talked {
            CallState::Reconnecting { until, agreement, renew_at, hold }
        } else {
            CallState::Connecting { until, agreement, renew_at, hold }
        }
    }

    fn stay(self) -> Step {
        self.state().stay()
    }

    /// Offers a fresh session to the peer.
    fn renew(self, facts: Facts) -> Step {
        let offer = Signal::Offer { media: facts.media, expires_in_ms: REJOIN_MS, resume: true };
        Step::to(self.with(Agreement::Offered).state()).then(Action::Stop).then(Action::Send(offer))
    }

    /// This side may hold before sound flows for the first time: the peer can be further.
    fn hold_local(self, on: bool) -> Step {
        if self.hold.local == on {
            return self.stay();
        }
        let hold = Hold { local: on, ..self.hold };
        Step::to(Answered { hold, ..self }.state())
            .then(Action::Send(Signal::Hold { on }))
            .then(Action::Tell(CallEvent::Held { local: hold.local, remote: hold.remote }))
    }

    fn hold_remote(self, on: bool) -> Step {
        if self.hold.remote == on {
            return self.stay();
        }
        let hold = Hold { remote: on, ..self.hold };
        Step::to(Answered { hold, ..self }.state())
            .then(Action::Tell(CallEvent::Held { local: hold.local, remote: hold.remote }))
    }
}

fn on_answered(s: Answered, event: Event, facts: Facts) -> Step {
    match event {
        Event::Answer | Event::Rejoin => s.stay(),
        Event::HangUp | Event::Decline { .. } => end(EndReason::HangupLocal).send_first(hangup(HangupReason::User)),
        Event::Stopping => end(EndReason::HangupLocal).send_first(hangup(HangupReason::Shutdown)),
        Event::Hold { on } => s.hold_local(on),
        // Two offers crossed: the smaller PeerId's stands.
        Event::Resume if s.agreement == Agreement::Offered && facts.wins => s.stay(),
        Event::Resume => accept_resume(s, facts),
        Event::Accept if s.agreement == Agreement::Offered => Step::to(s.with(Agreement::Agreed).state())
            .then(Action::Start(Role::Initiator))
            .then(Action::Send(Signal::AcceptOk)),
        Event::AcceptOk if s.agreement == Agreement::Accepted => Step::to(s.with(Agreement::Agreed).state()),
        Event::Cancel | Event::MissedCall if !s.talked && s.agreement == Agreement::Accepted => {
            end(EndReason::Cancelled)
        }
        Event::Cancel => end(EndReason::HangupRemote),
        Event::Declined { message } => end(EndReason::Declined(message)),
        Event::Hangup { reason } => end(after_answer(reason)),
        Event::Elsewhere if !s.talked && s.agreement == Agreement::Accepted => end(EndReason::Elsewhere),
        Event::PeerHold { on } => s.hold_remote(on),
        // Messages of the handshake may have gone with the old stream.
        Event::StreamUp
            if s.agreement == Agreement::Agreed
                && facts.direction == Direction::Outgoing
                && facts.session < SessionStatus::Secured =>
        {
            s.renew(facts)
        }
        Event::Impostor => {
            end(EndReason::Failed(Failure::Identity)).send_first(hangup(HangupReason::Failed))
        }
        Event::SessionFailed => {
            Step::to(Answered { renew_at: Some(facts.now + RENEW_PAUSE), ..s }.state()).then(Action::Stop)
        }
        Event::Due if facts.now >= s.until => {
            let reason = if s.talked { EndReason::Lost } else { EndReason::Failed(Failure::NoPath) };
            end(reason).send_first(hangup(HangupReason::Failed))
        }
        Event::Due if s.renew_at.is_some_and(|at| facts.now >= at) => s.renew(facts),
        Event::Replaced { by } => end(EndReason::Replaced { by }).send_first(hangup(HangupReason::User)),
        Event::OfferAgain
        | Event::Ringing
        | Event::Busy
        | Event::Accept
        | Event::AcceptOk
        | Event::Elsewhere
        | Event::MissedCall
        | Event::Delivered
        | Event::StreamUp
        | Event::StreamDown
        | Event::Unreachable
        // `settle` makes these Active when both sides agree.
        | Event::Ready
        | Event::Lost
        | Event::Due => s.stay(),
    }
}

fn on_active(hold: Hold, event: Event, facts: Facts) -> Step {
    let stay = || CallState::Active { hold }.stay();
    let reconnecting = Answered { talked: true, until: facts.now + SEAT_TIME, hold, ..Answered::new(facts) };
    match event {
        Event::Answer | Event::Rejoin => stay(),
        Event::HangUp | Event::Decline { .. } => {
            end(EndReason::HangupLocal).send_first(hangup(HangupReason::User))
        }
        Event::Stopping => end(EndReason::HangupLocal).send_first(hangup(HangupReason::Shutdown)),
        Event::Hold { on } if on != hold.local => {
            let hold = Hold { local: on, ..hold };
            Step::to(CallState::Active { hold })
                .then(Action::Send(Signal::Hold { on }))
                .then(Action::Tell(CallEvent::Held { local: hold.local, remote: hold.remote }))
        }
        Event::PeerHold { on } if on != hold.remote => {
            let hold = Hold { remote: on, ..hold };
            Step::to(CallState::Active { hold })
                .then(Action::Tell(CallEvent::Held { local: hold.local, remote: hold.remote }))
        }
        Event::Resume => accept_resume(reconnecting, facts).then(Action::Tell(CallEvent::Reconnecting)),
        Event::Lost => Step::to(reconnecting.state()).then(Action::Tell(CallEvent::Reconnecting)),
        Event::SessionFailed => {
            Step::to(Answered { renew_at: Some(facts.now + RENEW_PAUSE), ..reconnecting }.state())
                .then(Action::Stop)
                .then(Action::Tell(CallEvent::Reconnecting))
        }
        Event::Impostor => end(EndReason::Failed(Failure::Identity)).send_first(hangup(HangupReason::Failed)),
        Event::Cancel => end(EndReason::HangupRemote),
        Event::Declined { message } => end(EndReason::Declined(message)),
        Event::Hangup { reason } => end(after_answer(reason)),
        Event::Replaced { by } => end(EndReason::Replaced { by }).send_first(hangup(HangupReason::User)),
        Event::Hold { .. }
        | Event::PeerHold { .. }
        | Event::OfferAgain
        | Event::Ringing
        | Event::Busy
        | Event::Accept
        | Event::AcceptOk
        | Event::Elsewhere
        | Event::MissedCall
        | Event::Delivered
        | Event::StreamUp
        | Event::StreamDown
        | Event::Unreachable
        | Event::Ready
        | Event::Due => stay(),
    }
}

fn on_interrupted(until: Moment, peer_offers: bool, hold: Hold, event: Event, facts: Facts) -> Step {
    let stay = || CallState::Interrupted { until, peer_offers, hold }.stay();
    let answered = Answered { until: facts.now + REJOIN_TIME, hold, ..Answered::new(facts) };
    match event {
        // A microphone opens by its owner's hand only: nothing is taken up again before they ask.
        Event::Rejoin | Event::Answer if peer_offers => accept_resume(answered, facts),
        Event::Rejoin | Event::Answer => answered.renew(facts),
        Event::Resume => CallState::Interrupted { until, peer_offers: true, hold }.stay(),
        Event::HangUp | Event::Decline { .. } => {
            end(EndReason::HangupLocal).send_first(hangup(HangupReason::User))
        }
        Event::Stopping => end(EndReason::HangupLocal).send_first(hangup(HangupReason::Shutdown)),
        Event::Hold { .. } => stay().refuse(),
        Event::PeerHold { on } => {
            CallState::Interrupted { until, peer_offers, hold: Hold { remote: on, ..hold } }.stay()
        }
        Event::Cancel => end(EndReason::HangupRemote),
        Event::Declined { message } => end(EndReason::Declined(message)),
        Event::Hangup { reason } => end(after_answer(reason)),
        Event::Elsewhere => end(EndReason::Elsewhere),
        Event::Due if facts.now >= until => end(EndReason::Crashed).send_first(hangup(HangupReason::Failed)),
        Event::Replaced { by } => end(EndReason::Replaced { by }).send_first(hangup(HangupReason::User)),
        Event::OfferAgain
        | Event::Ringing
        | Event::Busy
        | Event::Accept
        | Event::AcceptOk
        | Event::MissedCall
        | Event::Delivered
        | Event::StreamUp
        | Event::StreamDown
        | Event::Unreachable
        | Event::Ready
        | Event::Lost
        | Event::Impostor
        | Event::SessionFailed
        | Event::Due => stay(),
    }
}

fn on_ended(reason: EndReason, event: Event) -> Step {
    let stay = CallState::Ended { reason }.stay();
    match event {
        Event::Answer | Event::Hold { .. } | Event::Rejoin => {
            Step { refused: Some(CommandError::Ended), ..stay }
        }
        // The other side holds a seat, or believes it answered: let it go.
        Event::Resume | Event::Accept => stay.then(Action::Send(hangup(HangupReason::Failed))),
        Event::Decline { .. }
        | Event::HangUp
        | Event::OfferAgain
        | Event::Ringing
        | Event::Busy
        | Event::AcceptOk
        | Event::Cancel
        | Event::Declined { .. }
        | Event::Hangup { .. }
        | Event::Elsewhere
        | Event::PeerHold { .. }
        | Event::MissedCall
        | Event::Delivered
        | Event::StreamUp
        | Event::StreamDown
        | Event::Unreachable
        | Event::Ready
        | Event::Lost
        | Event::Impostor
        | Event::SessionFailed
        | Event::Due
        | Event::Replaced { .. }
        | Event::Stopping => stay,
    }
}

/// The peer answered this person's call.
fn accepted_by_peer(facts: Facts) -> Step {
    Step::to(Answered::new(facts).state())
        .then(Action::Ensure(Role::Initiator))
        .then(Action::Send(Signal::AcceptOk))
        .then(Action::Tell(CallEvent::Accepted))
}

/// The peer offers a fresh session; it gets it, and at least the time a fresh call has to connect.
fn accept_resume(s: Answered, facts: Facts) -> Step {
    let until = s.until.max(facts.now + CONNECT_TIME);
    Step::to(Answered { until, ..s }.with(Agreement::Accepted).state())
        .then(Action::Start(Role::Responder))
        .then(Action::Send(Signal::Accept))
}

fn before_answer(reason: HangupReason) -> EndReason {
    match reason {
        HangupReason::User => EndReason::HangupRemote,
        HangupReason::Shutdown => EndReason::Offline,
        HangupReason::Failed => EndReason::Failed(Failure::Remote),
    }
}

fn after_answer(reason: HangupReason) -> EndReason {
    match reason {
        HangupReason::User | HangupReason::Shutdown => EndReason::HangupRemote,
        HangupReason::Failed => EndReason::Failed(Failure::Remote),
    }
}

fn hangup(reason: HangupReason) -> Signal {
    Signal::Hangup { reason }
}

fn end(reason: EndReason) -> Step {
    Step::to(CallState::Ended { reason: reason.clone() })
        .then(Action::Stop)
        .then(Action::Tell(CallEvent::Ended(reason)))
}

impl CallState {
    fn stay(self) -> Step {
        Step::to(self)
    }
}

impl Step {
    fn to(state: CallState) -> Step {
        Step { state, actions: Vec::new(), refused: None }
    }

    fn then(mut self, action: Action) -> Step {
        self.actions.push(action);
        self
    }

    fn before(mut self, action: Action) -> Step {
        let at = self.actions.iter().position(|a| matches!(a, Action::Tell(_))).unwrap_or(self.actions.len());
        self.actions.insert(at, action);
        self
    }

    fn send_first(mut self, signal: Signal) -> Step {
        self.actions.insert(0, Action::Send(signal));
        self
    }

    fn refuse(self) -> Step {
        Step { refused: Some(CommandError::NotPossible), ..self }
    }

    /// An answered call of which both sides know talks as soon as its session, if not thrown away just now, is ready.
    fn settle(self, facts: Facts) -> Step {
        let fresh = self.actions.iter().any(|a| matches!(a, Action::Start(_) | Action::Stop));
        if facts.session != SessionStatus::Ready || fresh {
            return self;
        }
        match self.state {
            CallState::Connecting { agreement: Agreement::Agreed, hold, .. } => {
                Step { state: CallState::Active { hold }, ..self }.then(Action::Tell(CallEvent::Active))
            }
            CallState::Reconnecting { agreement: Agreement::Agreed, hold, .. } => {
                Step { state: CallState::Active { hold }, ..self }.then(Action::Tell(CallEvent::Resumed))
            }
            CallState::Connecting { agreement: Agreement::Offered | Agreement::Accepted, .. }
            | CallState::Reconnecting { agreement: Agreement::Offered | Agreement::Accepted, .. }
            | CallState::Calling { .. }
            | CallState::RingingOut { .. }
            | CallState::RingingIn { .. }
            | CallState::Active { .. }
            | CallState::Interrupted { .. }
            | CallState::Ended { .. } => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_millis(1_000_000);

    /// Every state, with deadlines at `due`.
    fn states(due: Moment) -> Vec<(&'static str, CallState)> {
        let hold = Hold::default();
        let connecting = |agreement| CallState::Connecting { until: due, agreement, renew_at: None, hold };
        vec![
            ("calling", CallState::Calling { expires_at: due, delivered: true, offline_at: None }),
            ("ringing out", CallState::RingingOut { expires_at: due }),
            ("ringing in", CallState::RingingIn { expires_at: due, alert: Alert::Ring }),
            ("offered", connecting(Agreement::Offered)),
            ("accepted", connecting(Agreement::Accepted)),
            ("agreed", connecting(Agreement::Agreed)),
            ("active", CallState::Active { hold }),
            (
                "reconnecting",
                CallState::Reconnecting { until: due, agreement: Agreement::Agreed, renew_at: None, hold },
            ),
            ("interrupted", CallState::Interrupted { until: due, peer_offers: false, hold }),
            ("ended", CallState::Ended { reason: EndReason::Busy }),
        ]
    }

    fn events() -> Vec<(&'static str, Event)> {
        vec![
            ("answer", Event::Answer),
            ("decline", Event::Decline { message: None }),
            ("hang up", Event::HangUp),
            ("hold", Event::Hold { on: true }),
            ("rejoin", Event::Rejoin),
            ("offer again", Event::OfferAgain),
            ("resume", Event::Resume),
            ("ringing", Event::Ringing),
            ("busy", Event::Busy),
            ("accept", Event::Accept),
            ("accept ok", Event::AcceptOk),
            ("cancel", Event::Cancel),
            ("declined", Event::Declined { message: None }),
            ("hangup", Event::Hangup { reason: HangupReason::User }),
            ("elsewhere", Event::Elsewhere),
            ("peer hold", Event::PeerHold { on: true }),
            ("missed call", Event::MissedCall),
            ("delivered", Event::Delivered),
            ("stream up", Event::StreamUp),
            ("stream down", Event::StreamDown),
            ("unreachable", Event::Unreachable),
            ("ready", Event::Ready),
            ("lost", Event::Lost),
            ("impostor", Event::Impostor),
            ("session failed", Event::SessionFailed),
            ("due", Event::Due),
            ("replaced", Event::Replaced { by: CallId::from_bytes([9; 16]) }),
            ("stopping", Event::Stopping),
        ]
    }

    /// Adding an event without a line here does not compile.
    fn named(event: &Event) {
        match event {
            Event::Answer | Event::Decline { .. } | Event::HangUp | Event::Hold { .. } | Event::Rejoin => {}
            Event::OfferAgain
            | Event::Resume
            | Event::Ringing
            | Event::Busy
            | Event::Accept
            | Event::AcceptOk => {}
            Event::Cancel | Event::Declined { .. } | Event::Hangup { .. } | Event::Elsewhere => {}
            Event::PeerHold { .. }
            | Event::MissedCall
            | Event::Delivered
            | Event::StreamUp
            | Event::StreamDown => {}
            Event::Unreachable | Event::Ready | Event::Lost | Event::Impostor | Event::SessionFailed => {}
            Event::Due | Event::Replaced { .. } | Event::Stopping => {}
        }
    }

    fn word(state: &CallState) -> String {
        let agreement = |a: &Agreement| match a {
            Agreement::Offered => "offered",
            Agreement::Accepted => "accepted",
            Agreement::Agreed => "agreed",
        };
        match state {
            CallState::Calling { .. } => "calling".to_owned(),
            CallState::RingingOut { .. } => "ringing out".to_owned(),
            CallState::RingingIn { .. } => "ringing in".to_owned(),
            CallState::Connecting { agreement: a, .. } => agreement(a).to_owned(),
            CallState::Active { .. } => "active".to_owned(),
            CallState::Reconnecting { .. } => "reconnecting".to_owned(),
            CallState::Interrupted { .. } => "interrupted".to_owned(),
            CallState::Ended { reason } => format!("ended: {}", reason.code()),
        }
    }

    /// `-`: the same state, nothing done. `=`: the same state with something done. `x`: a command is refused.
    fn cell(state: CallState, event: Event) -> String {
        named(&event);
        let session = if event == Event::Ready { SessionStatus::Ready } else { SessionStatus::Running };
        let direction = if matches!(state, CallState::RingingIn { .. }) {
            Direction::Incoming
        } else {
            Direction::Outgoing
        };
        let facts =
            Facts { now: NOW, session, direction, media: MediaKind::Voice, offered_at_ms: 1, wins: true };
        let before = state.clone();
        let step = state.on(event, facts);
        match (step.refused.is_some(), word(&step.state) == word(&before)) {
            (true, _) => "x".to_owned(),
            (false, true) if step.state == before && step.actions.is_empty() => "-".to_owned(),
            (false, true) => "=".to_owned(),
            (false, false) => word(&step.state),
        }
    }

    /// Every pair of state and event, one line each: read it beside the drawing at the top of this file.
    #[test]
    fn every_event_in_every_state_does_what_the_table_says() {
        let mut table = String::new();
        for (event_name, event) in events() {
            for (n, (state_name, _)) in states(NOW).into_iter().enumerate() {
                let due = if event == Event::Due { NOW } else { NOW + Duration::from_secs(30) };
                let Some((_, state)) = states(due).into_iter().nth(n) else { continue };
                table.push_str(&format!("{event_name} | {state_name} | {}\n", cell(state, event.clone())));
            }
        }
        assert_eq!(table, include_str!("call_state.table.txt"));
    }

    #[test]
    fn what_is_over_stays_over() {
        for (_, event) in events() {
            let ended = cell(CallState::Ended { reason: EndReason::Busy }, event);
            assert!(["-", "=", "x"].contains(&ended.as_str()), "{ended}");
        }
    }
}
