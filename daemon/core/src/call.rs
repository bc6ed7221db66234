//! One call of this device: its state and the facts around it.

use crate::call_state::{CallState, Hold};
use crate::door::Alert;
use crate::end::{EndReason, Outcome};
use crate::roster::Roster;
use crate::stored::StoredPhase;
use ahoy_base::{CallId, PeerId};
use ahoy_net_core::wire::signal::MediaKind;

/// Who called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Direction {
    /// This person.
    Outgoing,
    /// The other.
    Incoming,
}

/// One call as this device sees it. Read it through its getters; [`crate::Calls`] changes it.
#[derive(Clone, Debug)]
pub struct Call {
    pub(crate) id: CallId,
    pub(crate) peer: PeerId,
    pub(crate) direction: Direction,
    pub(crate) media: MediaKind,
    pub(crate) alert: Alert,
    pub(crate) roster: Roster,
    pub(crate) state: CallState,
    pub(crate) offered_at_ms: u64,
    pub(crate) expires_at_ms: u64,
    pub(crate) active_since_ms: Option<u64>,
    pub(crate) reconnecting_since_ms: Option<u64>,
    pub(crate) alive_at_ms: u64,
    pub(crate) ended_at_ms: Option<u64>,
}

impl Call {
    /// Its id, the same on both devices.
    pub const fn id(&self) -> CallId {
        self.id
    }

    /// The other device.
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// Who called.
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    /// Voice or video.
    pub const fn media(&self) -> MediaKind {
        self.media
    }

    /// How an incoming call is announced.
    pub const fn alert(&self) -> Alert {
        self.alert
    }

    /// Who is in it.
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Its state.
    pub const fn state(&self) -> &CallState {
        &self.state
    }

    /// Its state as one word; `code()` is the `state` of the local interface.
    pub const fn phase(&self) -> StoredPhase {
        match &self.state {
            CallState::Calling { .. } => StoredPhase::Calling,
            CallState::RingingOut { .. } => StoredPhase::RingingOut,
            CallState::RingingIn { .. } => StoredPhase::RingingIn,
            CallState::Connecting { .. } => StoredPhase::Connecting,
            CallState::Active { .. } => StoredPhase::Active,
            CallState::Reconnecting { .. } => StoredPhase::Reconnecting,
            CallState::Interrupted { .. } => StoredPhase::Interrupted,
            CallState::Ended { .. } => StoredPhase::Ended,
        }
    }

    /// Who put it on hold; nobody in states without sound.
    pub const fn hold(&self) -> Hold {
        match &self.state {
            CallState::Connecting { hold, .. }
            | CallState::Active { hold }
            | CallState::Reconnecting { hold, .. }
            | CallState::Interrupted { hold, .. } => *hold,
            CallState::Calling { .. }
            | CallState::RingingOut { .. }
            | CallState::RingingIn { .. }
            | CallState::Ended { .. } => Hold { local: false, remote: false },
        }
    }

    /// When it was offered: milliseconds since 1970, as all times here.
    pub const fn offered_at_ms(&self) -> u64 {
        self.offered_at_ms
    }

    /// Since when the two can talk; kept while reconnecting and after the end.
    pub const fn active_since_ms(&self) -> Option<u64> {
        self.active_since_ms
    }

    /// Since when the connection is gone.
    pub const fn reconnecting_since_ms(&self) -> Option<u64> {
        self.reconnecting_since_ms
    }

    /// When it ended.
    pub const fn ended_at_ms(&self) -> Option<u64> {
        self.ended_at_ms
    }

    /// Why it ended.
    pub const fn end(&self) -> Option<&EndReason> {
        match &self.state {
            CallState::Ended { reason } => Some(reason),
            CallState::Calling { .. }
            | CallState::RingingOut { .. }
            | CallState::RingingIn { .. }
            | CallState::Connecting { .. }
            | CallState::Active { .. }
            | CallState::Reconnecting { .. }
            | CallState::Interrupted { .. } => None,
        }
    }

    /// How it stands in the list of recent calls, once it has ended.
    pub fn outcome(&self) -> Option<Outcome> {
        self.end().map(|reason| Outcome::of(self.direction, self.active_since_ms.is_some(), reason))
    }
}
