//! Makes outputs of what was decided: the transaction first, then everything that depends on it.

use super::{Calls, MAX_ENDED, MAX_SHOWN_ENDED};
use crate::call::{Beginning, Call, Direction};
use crate::call_state::{Action, CallState, Event, SessionStatus};
use crate::door::{CallEvent, CommandError, Output, Ring, SessionCommand, WakeReason};
use crate::end::EndReason;
use ahoy_base::{CallId, MessageId, Moment, PeerId};
use ahoy_net_core::session::Role;
use ahoy_net_core::wire::signal::{Envelope, Signal, needs_ack};
use rand_chacha::rand_core::RngCore;

impl Calls {
    /// Puts a fresh call in its place.
    pub(super) fn begin(&mut self, beginning: Beginning) {
        let id = beginning.id;
        self.calls.insert(id, Call::new(beginning));
        self.order.push_back(id);
    }

    /// Lets `event` happen to a call and carries out what follows. The error is for the person who asked.
    pub(super) fn apply(&mut self, id: CallId, event: Event) -> Result<CallId, CommandError> {
        let call = self.calls.get_mut(&id).ok_or(CommandError::UnknownCall)?;
        let step = call.state.clone().on(event, call.facts(self.config.me, self.now));
        call.state = step.state;
        for action in step.actions {
            self.act(id, action);
        }
        self.tell_media(id);
        step.refused.map_or(Ok(id), Err)
    }

    /// The same for events nobody waits for.
    pub(super) fn apply_quietly(&mut self, id: CallId, event: Event) {
        if let Err(error) = self.apply(id, event) {
            tracing::debug!(?id, %error, "an event changed nothing");
        }
    }

    pub(super) fn apply_to_calls_with(&mut self, peer: PeerId, event: &Event) {
        let ids: Vec<CallId> =
            self.calls.values().filter(|c| c.peer == peer && c.state.is_live()).map(|c| c.id).collect();
        ids.into_iter().for_each(|id| self.apply_quietly(id, event.clone()));
    }

    fn act(&mut self, id: CallId, action: Action) {
        match action {
            Action::Send(signal) => drop(self.send(id, signal)),
            Action::Start(role) => self.start_session(id, role),
            Action::Ensure(role) => {
                if self.calls.get(&id).is_some_and(|c| c.session == SessionStatus::Off) {
                    self.start_session(id, role);
                }
            }
            Action::Stop => self.stop_session(id),
            Action::Tell(event) => self.tell(id, event),
        }
    }

    /// Sends a message of a call: through the outbox if it must arrive, at once if it may get lost. Its id.
    pub(super) fn send(&mut self, id: CallId, body: Signal) -> MessageId {
        let message = self.message_id();
        let Some(call) = self.calls.get_mut(&id) else { return message };
        call.seq_out += 1;
        let (to, seq) = (call.peer, call.seq_out);
        let envelope = Envelope { id: message, call: Some(id), seq, sent_at_ms: self.wall_ms, body };
        if needs_ack(&envelope.body) {
            self.post(to, envelope);
        } else if self.up.contains(&to) {
            self.effects.push(Output::Send { to, envelope });
        }
        message
    }

    /// Sends a message of a call that this device does not know (any more); number 0 stands outside its order.
    pub(super) fn send_outside(&mut self, to: PeerId, call: CallId, body: Signal) {
        let id = self.message_id();
        self.post(to, Envelope { id, call: Some(call), seq: 0, sent_at_ms: self.wall_ms, body });
    }

    fn post(&mut self, to: PeerId, envelope: Envelope) {
        let (row, removed) = self.outbox.add(to, envelope);
        self.transaction.outbox_add.push(row);
        self.transaction.outbox_remove.extend(removed);
        self.connect(to);
    }

    /// Asks for a stream to `peer` unless there is one.
    pub(super) fn connect(&mut self, peer: PeerId) {
        let asked = self.effects.iter().any(|o| matches!(o, Output::Connect { peer: p } if *p == peer));
        if !asked && !self.up.contains(&peer) {
            self.effects.push(Output::Connect { peer });
        }
    }

    /// Tells the shell, and keeps everything true that hangs on the event.
    pub(super) fn tell(&mut self, id: CallId, event: CallEvent) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.note(self.config.me, &event, self.wall_ms);
        if let CallEvent::Ended(reason) = &event {
            let gone = self.outbox.call_ended(id);
            self.transaction.outbox_remove.extend(gone);
            self.tone = self.tone.max(tone_of(reason, call.direction));
            self.recording_ends_with(id);
        }
        self.effects.push(Output::Event { call: id, event });
    }

    fn start_session(&mut self, id: CallId, role: Role) {
        // A fresh session knows of no pictures: the other says again what it shows.
        self.forget_theirs(id);
        self.silence(id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.session = SessionStatus::Running;
        let command = SessionCommand::Start(role);
        self.effects.push(Output::Session { call: id, peer: call.peer, command });
    }

    fn forget_theirs(&mut self, id: CallId) {
        let gone = self.calls.get_mut(&id).map(|call| std::mem::take(&mut call.theirs)).unwrap_or_default();
        gone.into_iter().for_each(|track| self.tell(id, CallEvent::Picture { own: false, track, on: false }));
    }

    fn stop_session(&mut self, id: CallId) {
        self.silence(id);
        self.forget_theirs(id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.session != SessionStatus::Off {
            call.session = SessionStatus::Off;
            self.effects.push(Output::Session { call: id, peer: call.peer, command: SessionCommand::Stop });
        }
    }

    /// Sound stops before its session does.
    fn silence(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        for track in std::mem::take(&mut call.captured) {
            self.effects.push(Output::Picture { call: id, peer: call.peer, track, on: false });
        }
        if std::mem::take(&mut call.media_on) {
            self.effects.push(Output::Media { call: id, peer: call.peer, on: false });
        }
    }

    fn tell_media(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let on = call.state.flows(call.session);
        if !on {
            return self.silence(id);
        }
        if !call.media_on {
            call.media_on = true;
            self.effects.push(Output::Media { call: id, peer: call.peer, on });
        }
        self.tell_pictures(id);
    }

    /// Pictures flow where sound does.
    pub(super) fn tell_pictures(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let wanted = if call.media_on { call.ours.clone() } else { Default::default() };
        let before = std::mem::replace(&mut call.captured, wanted);
        let peer = call.peer;
        let off = before.difference(&call.captured).map(|track| (*track, false));
        let on = call.captured.difference(&before).map(|track| (*track, true));
        let changes = off.chain(on).map(|(track, on)| Output::Picture { call: id, peer, track, on });
        self.effects.extend(changes);
    }

    /// Every call whose deadline has come hears of it.
    pub(super) fn on_time(&mut self) {
        let now = self.now;
        let due = |c: &&Call| c.state.due_at().is_some_and(|at| now >= at);
        let ids: Vec<CallId> = self.calls.values().filter(due).map(|c| c.id).collect();
        ids.into_iter().for_each(|id| self.apply_quietly(id, Event::Due));
        self.give_up_notices();
    }

    /// Closes the books on one input: commit, then what depends on it.
    pub(super) fn finish(&mut self) {
        let expired = self.outbox.expire(self.wall_ms);
        self.transaction.outbox_remove.extend(expired);
        let (now, wall_ms) = (self.now, self.wall_ms);
        for call in self.calls.values_mut() {
            self.transaction.calls.extend(call.row_to_keep(now, wall_ms));
        }
        // A message that came and went within this input never needs to touch the disk.
        let gone = std::mem::take(&mut self.transaction.outbox_remove);
        let (kept, never): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.transaction.outbox_add).into_iter().partition(|m| !gone.contains(&m.id));
        self.transaction.outbox_add = kept;
        self.transaction.outbox_remove =
            gone.into_iter().filter(|id| never.iter().all(|m| m.id != *id)).collect();
        let transaction = std::mem::take(&mut self.transaction);
        if !transaction.is_empty() {
            self.outputs.push_back(Output::Commit(transaction));
        }
        self.outputs.extend(std::mem::take(&mut self.effects));
        self.send_due();
        self.tell_ring();
        self.forget();
    }

    fn send_due(&mut self) {
        for (to, mut envelope) in self.outbox.take_due(self.now, &self.up) {
            // A late copy of an offer rings for as long as the caller still waits.
            if let (Signal::Offer { expires_in_ms, resume: false, .. }, Some(call)) =
                (&mut envelope.body, envelope.call.and_then(|id| self.calls.get(&id)))
            {
                let left = call.offer_left(self.now);
                *expires_in_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
            }
            self.outputs.push_back(Output::Send { to, envelope });
        }
    }

    fn tell_ring(&mut self) {
        let ring = self.decide_ring();
        let tone = std::mem::take(&mut self.tone);
        if ring != self.ring {
            self.ring = ring;
            if ring != Ring::None || tone == Ring::None {
                self.outputs.push_back(Output::Ring(ring));
            }
        }
        if ring == Ring::None && tone != Ring::None && !self.calls.values().any(Call::is_answered) {
            self.outputs.push_back(Output::Ring(tone));
        }
    }

    fn decide_ring(&self) -> Ring {
        let talking = self.calls.values().any(Call::is_answered);
        let of = |call: &Call| match &call.state {
            CallState::RingingIn { alert: crate::door::Alert::Request, .. } => Ring::None,
            CallState::RingingIn { .. } if talking => Ring::Waiting,
            CallState::RingingIn { .. } => Ring::Incoming,
            CallState::RingingOut { .. } => Ring::Outgoing,
            CallState::Calling { .. }
            | CallState::Connecting { .. }
            | CallState::Active { .. }
            | CallState::Reconnecting { .. }
            | CallState::Interrupted { .. }
            | CallState::Ended { .. } => Ring::None,
        };
        self.calls.values().map(of).max().unwrap_or_default()
    }

    /// Bounds what is kept of ended calls.
    fn forget(&mut self) {
        let ended: Vec<CallId> = self
            .order
            .iter()
            .copied()
            .filter(|id| self.calls.get(id).is_some_and(|c| !c.state.is_live()))
            .collect();
        for id in ended.iter().rev().skip(MAX_SHOWN_ENDED) {
            if let Some(call) = self.calls.get_mut(id) {
                call.dismissed = true;
            }
        }
        for id in ended.iter().rev().skip(MAX_ENDED) {
            self.calls.remove(id);
        }
        if ended.len() > MAX_ENDED {
            self.order.retain(|id| self.calls.contains_key(id));
        }
    }

    /// The next moment at which something is due, and what.
    pub(super) fn due(&self) -> (Moment, WakeReason) {
        let states =
            self.calls.values().filter_map(|c| c.state.due_at()).map(|at| (at, WakeReason::StateDue));
        let beats = self.calls.values().filter_map(Call::heartbeat_at).map(|at| (at, WakeReason::Heartbeat));
        let resend =
            Some((self.outbox.due_at(&self.up), WakeReason::Resend)).filter(|(at, _)| *at < Moment::NEVER);
        let notices =
            self.calls.values().filter_map(Call::notice_until).map(|at| (at, WakeReason::NoticeDue));
        states.chain(beats).chain(resend).chain(notices).min().unwrap_or((Moment::NEVER, WakeReason::Nothing))
    }

    pub(super) fn live(&self) -> Vec<CallId> {
        self.calls.values().filter(|c| c.state.is_live()).map(|c| c.id).collect()
    }

    /// The call with `peer` that is not over; there is at most one.
    pub(super) fn live_with(&self, peer: PeerId) -> Option<&Call> {
        self.calls.values().find(|c| c.peer == peer && c.state.is_live())
    }

    pub(super) fn message_id(&mut self) -> MessageId {
        let mut bytes = [0u8; 16];
        self.random.fill_bytes(&mut bytes);
        MessageId::from_bytes(bytes)
    }
}

/// The short tone for an end that this person did not bring about.
const fn tone_of(reason: &EndReason, direction: Direction) -> Ring {
    match (reason, direction) {
        (EndReason::Busy, Direction::Outgoing) => Ring::Busy,
        (EndReason::HangupRemote | EndReason::Failed(_) | EndReason::Lost, _)
        | (EndReason::Declined(_) | EndReason::Timeout | EndReason::Offline, Direction::Outgoing) => {
            Ring::Ended
        }
        (
            EndReason::HangupLocal
            | EndReason::Cancelled
            | EndReason::Elsewhere
            | EndReason::Replaced { .. }
            | EndReason::Crashed
            | EndReason::Busy
            | EndReason::Declined(_)
            | EndReason::Timeout
            | EndReason::Offline,
            _,
        ) => Ring::None,
    }
}
