//! Recording a call: the other device is told first, and nothing is written before it has said that it shows it.
//!
//! A device that is too old to know the notice never acks it: the recording is refused. One that restarts is told
//! again; one that restarts while it records has stopped.

use super::Calls;
use crate::call::{Call, Recording};
use crate::door::{CallEvent, CommandError, Output};
use ahoy_base::{CallId, MessageId, Moment};
use ahoy_net_core::wire::signal::{Envelope, Signal};
use std::time::Duration;

/// How long the other device has to say that it shows the recording: its person waits at the button.
const NOTICE_TIME: Duration = Duration::from_secs(10);
/// Commands that wait for one notice: more than a page and a terminal have under way.
const MAX_REQUESTS: usize = 16;

impl Call {
    /// When the wait for the notice's ack is over.
    pub(super) const fn notice_until(&self) -> Option<Moment> {
        match &self.recording {
            Recording::Asked { until, .. } => Some(*until),
            Recording::Off | Recording::On => None,
        }
    }
}

impl Calls {
    /// `None`: answered later, with [`Calls::reply`].
    pub(super) fn record(
        &mut self,
        request: [u8; 16],
        id: CallId,
        on: bool,
    ) -> Option<Result<CallId, CommandError>> {
        let Some(call) = self.calls.get_mut(&id) else { return Some(Err(CommandError::UnknownCall)) };
        let answered = call.is_answered();
        match (&mut call.recording, on) {
            (Recording::Off, false) | (Recording::On, true) => Some(Ok(id)),
            (Recording::Off, true) if !call.state.is_live() => Some(Err(CommandError::Ended)),
            (Recording::Off, true) if !answered => Some(Err(CommandError::NotPossible)),
            (Recording::Off, true) => {
                let notice = self.send(id, Signal::Recording { on: true });
                let until = self.now + NOTICE_TIME;
                self.set_recording(id, Recording::Asked { notice, until, requests: vec![request] });
                None
            }
            (Recording::Asked { requests, .. }, true) => {
                if requests.contains(&request) {
                    return None;
                }
                if requests.len() >= MAX_REQUESTS {
                    return Some(Err(CommandError::NotPossible));
                }
                requests.push(request);
                None
            }
            (Recording::Asked { .. } | Recording::On, false) => {
                self.stop_recording(id, CommandError::NotPossible);
                self.send(id, Signal::Recording { on: false });
                Some(Ok(id))
            }
        }
    }

    /// The other device shows it.
    pub(super) fn on_notice_heard(&mut self, id: CallId, of: MessageId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let peer = call.peer;
        match std::mem::replace(&mut call.recording, Recording::On) {
            Recording::Asked { notice, requests, .. } if notice == of => {
                self.effects.push(Output::Record { call: id, peer, on: true });
                self.tell(id, CallEvent::Recording { own: true, on: true });
                requests.into_iter().for_each(|request| self.reply(request, Ok(id)));
            }
            other @ (Recording::Off | Recording::Asked { .. } | Recording::On) => call.recording = other,
        }
    }

    /// The notices that nobody has confirmed by now.
    pub(super) fn give_up_notices(&mut self) {
        let now = self.now;
        let due = |call: &&Call| call.notice_until().is_some_and(|until| now >= until);
        let ids: Vec<CallId> = self.calls.values().filter(due).map(|call| call.id).collect();
        for id in ids {
            let Some(call) = self.calls.get(&id) else { continue };
            let to = call.peer;
            if let Recording::Asked { notice, .. } = call.recording {
                let gone = self.outbox.withdraw(notice);
                self.transaction.outbox_remove.extend(gone);
            }
            self.stop_recording(id, CommandError::NotConfirmed);
            // Heard late, or its ack was lost: they are not to believe in a recording. Not through the outbox, where a
            // message that an old device never acks would hold up all others of the call.
            let (message, sent_at_ms) = (self.message_id(), self.wall_ms);
            let Some(call) = self.calls.get_mut(&id) else { continue };
            call.seq_out += 1;
            let body = Signal::Recording { on: false };
            let envelope = Envelope { id: message, call: Some(id), seq: call.seq_out, sent_at_ms, body };
            if self.up.contains(&to) {
                self.effects.push(Output::Send { to, envelope });
            }
        }
    }

    /// The call is over, and with it what was written and said of it.
    pub(super) fn recording_ends_with(&mut self, id: CallId) {
        self.stop_recording(id, CommandError::Ended);
        self.set_recorded(id, false);
    }

    /// The other device has a fresh start: it records nothing, and must hear again that this one does.
    pub(super) fn on_peer_restarted(&mut self, id: CallId) {
        self.set_recorded(id, false);
        if self.calls.get(&id).is_some_and(|call| call.recording == Recording::On) {
            self.send(id, Signal::Recording { on: true });
        }
    }

    /// The other device says whether it records.
    pub(super) fn set_recorded(&mut self, id: CallId, on: bool) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if on && !call.state.is_live() {
            return;
        }
        if std::mem::replace(&mut call.recorded, on) != on {
            self.tell(id, CallEvent::Recording { own: false, on });
        }
    }

    /// `why` goes to those who wait for it to begin.
    fn stop_recording(&mut self, id: CallId, why: CommandError) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let peer = call.peer;
        match std::mem::replace(&mut call.recording, Recording::Off) {
            Recording::Off => {}
            Recording::Asked { requests, .. } => {
                requests.into_iter().for_each(|request| self.reply(request, Err(why)));
            }
            Recording::On => {
                self.effects.push(Output::Record { call: id, peer, on: false });
                self.tell(id, CallEvent::Recording { own: true, on: false });
            }
        }
    }

    fn set_recording(&mut self, id: CallId, recording: Recording) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.recording = recording;
        }
    }
}
