//! One call of this device: its state and the facts around it.

use crate::call_state::{CallState, Facts, Hold, SEAT_TIME, SessionStatus};
use crate::door::{Alert, CallEvent};
use crate::end::{EndReason, Outcome};
use crate::roster::{Presence, Roster};
use crate::stored::{StoredCall, StoredPhase};
use ahoy_base::{CallId, MessageId, Moment, PeerId, VideoTrack};
use ahoy_net_core::wire::signal::MediaKind;
use std::collections::BTreeSet;

/// Who called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Direction {
    /// This person.
    Outgoing,
    /// The other.
    Incoming,
}

/// Whether this device records a call. Nobody is recorded who was not told before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Recording {
    /// It does not.
    Off,
    /// The other device was told, and has not said yet that it shows it.
    Asked {
        /// What it was told with.
        notice: MessageId,
        /// How long its answer is waited for.
        until: Moment,
        /// The commands that wait with it.
        requests: Vec<[u8; 16]>,
    },
    /// It does.
    On,
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
    pub(crate) seq_out: u64,
    pub(crate) seq_in: u64,
    pub(crate) session: SessionStatus,
    /// What the shell was last told.
    pub(crate) media_on: bool,
    /// What this person wants to show.
    pub(crate) ours: BTreeSet<VideoTrack>,
    /// What of it the shell was told to capture.
    pub(crate) captured: BTreeSet<VideoTrack>,
    /// What the other shows.
    pub(crate) theirs: BTreeSet<VideoTrack>,
    /// Whether this device records it.
    pub(crate) recording: Recording,
    /// Whether the other does, as it says.
    pub(crate) recorded: bool,
    /// Not shown any more; kept so that late copies of its messages find it.
    pub(crate) dismissed: bool,
    /// What the store holds of it, with the moment it was handed over; `None` if nothing yet.
    pub(crate) kept: Option<(Moment, StoredCall)>,
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

    /// What this person shows, or wants to once they can.
    pub const fn ours(&self) -> &BTreeSet<VideoTrack> {
        &self.ours
    }

    /// What the other shows.
    pub const fn theirs(&self) -> &BTreeSet<VideoTrack> {
        &self.theirs
    }

    /// Whether this device records it.
    pub const fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Whether the other device records it, as it says.
    pub const fn is_recorded_by_peer(&self) -> bool {
        self.recorded
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

/// How often the store learns that an answered call is still alive: a restart must tell 10 s from 60.
pub(crate) const HEARTBEAT: std::time::Duration = std::time::Duration::from_secs(10);

/// What makes a fresh call.
pub(crate) struct Beginning {
    pub(crate) id: CallId,
    pub(crate) me: PeerId,
    pub(crate) peer: PeerId,
    pub(crate) direction: Direction,
    pub(crate) media: MediaKind,
    pub(crate) alert: Alert,
    pub(crate) state: CallState,
    pub(crate) wall_ms: u64,
    pub(crate) expires_at_ms: u64,
}

impl Call {
    /// A call that begins.
    pub(crate) fn new(b: Beginning) -> Call {
        let roster = match b.direction {
            Direction::Outgoing => Roster::of_two(b.me, b.peer),
            Direction::Incoming => Roster::of_two(b.peer, b.me),
        };
        Call {
            id: b.id,
            peer: b.peer,
            direction: b.direction,
            media: b.media,
            alert: b.alert,
            roster,
            state: b.state,
            offered_at_ms: b.wall_ms,
            expires_at_ms: b.expires_at_ms,
            active_since_ms: None,
            reconnecting_since_ms: None,
            alive_at_ms: b.wall_ms,
            ended_at_ms: None,
            seq_out: 0,
            seq_in: 0,
            session: SessionStatus::Off,
            media_on: false,
            ours: BTreeSet::new(),
            captured: BTreeSet::new(),
            theirs: BTreeSet::new(),
            recording: Recording::Off,
            recorded: false,
            dismissed: false,
            kept: None,
        }
    }

    /// A call out of the store, in `state`, which says what a restart makes of it.
    pub(crate) fn restored(me: PeerId, row: StoredCall, state: CallState, now: Moment) -> Call {
        let call = Call::new(Beginning {
            id: row.id,
            me,
            peer: row.peer,
            direction: row.direction,
            media: row.media,
            alert: row.alert,
            state,
            wall_ms: row.offered_at_ms,
            expires_at_ms: row.expires_at_ms,
        });
        Call {
            active_since_ms: row.active_since_ms,
            alive_at_ms: row.alive_at_ms,
            ended_at_ms: row.ended_at_ms,
            seq_out: row.seq_out,
            seq_in: row.seq_in,
            kept: Some((now, row)),
            ..call
        }
    }

    /// What a transition may look at.
    pub(crate) fn facts(&self, me: PeerId, now: Moment) -> Facts {
        Facts {
            now,
            session: self.session,
            direction: self.direction,
            media: self.media,
            offered_at_ms: self.offered_at_ms,
            wins: me < self.peer,
        }
    }

    /// Keeps the facts around the state true after `event`.
    pub(crate) fn note(&mut self, me: PeerId, event: &CallEvent, wall_ms: u64) {
        match event {
            CallEvent::Accepted => {
                self.roster.note(me, Presence::Here);
                self.roster.note(self.peer, Presence::Here);
            }
            CallEvent::Active | CallEvent::Resumed => {
                self.active_since_ms.get_or_insert(wall_ms);
                self.reconnecting_since_ms = None;
                self.roster.note(self.peer, Presence::Here);
            }
            CallEvent::Reconnecting => {
                self.reconnecting_since_ms = Some(wall_ms);
                self.roster.note(self.peer, Presence::Absent);
            }
            CallEvent::Interrupted => self.roster.note(self.peer, Presence::Absent),
            CallEvent::Ended(_) => {
                self.ended_at_ms = Some(wall_ms);
                self.reconnecting_since_ms = None;
                self.roster.note(me, Presence::Left);
                self.roster.note(self.peer, Presence::Left);
            }
            CallEvent::Dialed
            | CallEvent::Ringing
            | CallEvent::Incoming(_)
            | CallEvent::Held { .. }
            | CallEvent::Picture { .. }
            | CallEvent::Recording { .. }
            | CallEvent::Missed => {}
        }
    }

    /// Whether an answer was given and the call is not over.
    pub(crate) const fn is_answered(&self) -> bool {
        matches!(
            &self.state,
            CallState::Connecting { .. } | CallState::Active { .. } | CallState::Reconnecting { .. }
        )
    }

    /// Whether this side made the offer and nobody has answered it.
    pub(crate) const fn is_offering(&self) -> bool {
        matches!(&self.state, CallState::Calling { .. } | CallState::RingingOut { .. })
    }

    /// Whether it waits for this person's answer.
    pub(crate) const fn is_ringing_in(&self) -> bool {
        matches!(&self.state, CallState::RingingIn { .. })
    }

    /// How long the offer of this call still stands.
    pub(crate) fn offer_left(&self, now: Moment) -> std::time::Duration {
        match &self.state {
            CallState::Calling { expires_at, .. }
            | CallState::RingingOut { expires_at }
            | CallState::RingingIn { expires_at, .. } => expires_at.since(now),
            CallState::Connecting { .. }
            | CallState::Active { .. }
            | CallState::Reconnecting { .. }
            | CallState::Interrupted { .. }
            | CallState::Ended { .. } => std::time::Duration::ZERO,
        }
    }

    /// When the store is to learn again that the call is alive.
    pub(crate) fn heartbeat_at(&self) -> Option<Moment> {
        let (at, _) = self.kept.as_ref()?;
        self.is_answered().then_some(*at + HEARTBEAT)
    }

    /// The row the store should hold now, if it differs from what it holds or is too old.
    pub(crate) fn row_to_keep(&mut self, now: Moment, wall_ms: u64) -> Option<StoredCall> {
        let hold = self.hold();
        let row = StoredCall {
            id: self.id,
            peer: self.peer,
            direction: self.direction,
            media: self.media,
            phase: self.phase(),
            alert: self.alert,
            hold_local: hold.local,
            hold_remote: hold.remote,
            offered_at_ms: self.offered_at_ms,
            expires_at_ms: self.expires_at_ms,
            active_since_ms: self.active_since_ms,
            alive_at_ms: self.alive_at_ms,
            ended_at_ms: self.ended_at_ms,
            end: self.end().cloned(),
            seq_out: self.seq_out,
            seq_in: self.seq_in,
        };
        let beats = self.heartbeat_at().is_some_and(|at| now >= at);
        if !beats && self.kept.as_ref().is_some_and(|(_, kept)| *kept == row) {
            return None;
        }
        // An interrupted call was alive when its daemon died, and not since.
        if row.phase != StoredPhase::Interrupted && row.phase != StoredPhase::Ended {
            self.alive_at_ms = wall_ms;
        }
        let row = StoredCall { alive_at_ms: self.alive_at_ms, ..row };
        self.kept = Some((now, row.clone()));
        Some(row)
    }
}

/// What a restart makes of a stored call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Revived {
    /// It was over before.
    WasOver(EndReason),
    /// It goes on in this state.
    GoesOn(CallState),
    /// The restart ends it; the peer is told, except by the one who only rang.
    EndsNow,
}

/// Decides what a restart at `now` makes of a stored call.
///
/// Nobody's microphone opens by a restart: own unanswered calls are given up, answered ones wait for their person.
pub(crate) fn decide_revival(row: &StoredCall, now: Moment, wall_ms: u64) -> Revived {
    let hold = Hold { local: row.hold_local, remote: row.hold_remote };
    match row.phase {
        StoredPhase::Ended => Revived::WasOver(row.end.clone().unwrap_or(EndReason::Crashed)),
        StoredPhase::Calling | StoredPhase::RingingOut => Revived::EndsNow,
        StoredPhase::RingingIn => {
            // A clock that was set back must not make it ring for longer than any call.
            let left_ms = row.expires_at_ms.saturating_sub(wall_ms).min(crate::call_state::RING_MS);
            if left_ms == 0 {
                return Revived::EndsNow;
            }
            let expires_at = now + std::time::Duration::from_millis(left_ms);
            Revived::GoesOn(CallState::RingingIn { expires_at, alert: row.alert })
        }
        StoredPhase::Connecting
        | StoredPhase::Active
        | StoredPhase::Reconnecting
        | StoredPhase::Interrupted => {
            let age = std::time::Duration::from_millis(wall_ms.saturating_sub(row.alive_at_ms));
            if age >= SEAT_TIME {
                return Revived::EndsNow;
            }
            let until = now + (SEAT_TIME - age);
            Revived::GoesOn(CallState::Interrupted { until, peer_offers: false, hold })
        }
    }
}
