//! Takes up what the store kept: a daemon that was killed anywhere wakes up to the truth.

use super::Calls;
use crate::call::{Call, Direction, Revived, decide_revival};
use crate::call_state::CallState;
use crate::door::{Alert, CallEvent};
use crate::end::EndReason;
use crate::stored::{StoredCall, StoredPhase};
use ahoy_net_core::wire::signal::{HangupReason, Signal};

impl Calls {
    pub(super) fn revive(&mut self, row: StoredCall) {
        let (id, phase) = (row.id, row.phase);
        if self.calls.contains_key(&id) {
            return;
        }
        let revived = decide_revival(&row, self.now, self.wall_ms);
        let state = match &revived {
            Revived::WasOver(reason) => CallState::Ended { reason: reason.clone() },
            Revived::GoesOn(state) => state.clone(),
            Revived::EndsNow => CallState::Ended { reason: EndReason::Crashed },
        };
        let mut call = Call::restored(self.config.me, row, state, self.now);
        call.dismissed = matches!(revived, Revived::WasOver(_));
        let (direction, alert, peer) = (call.direction, call.alert, call.peer);
        self.calls.insert(id, call);
        self.order.push_back(id);
        match revived {
            Revived::WasOver(_) => {}
            Revived::GoesOn(CallState::RingingIn { .. }) => {
                self.connect(peer);
                self.tell(id, CallEvent::Incoming(alert));
            }
            Revived::GoesOn(_) => {
                self.connect(peer);
                self.tell(id, CallEvent::Interrupted);
            }
            Revived::EndsNow => self.end_by_crash(id, phase, direction, alert),
        }
    }

    fn end_by_crash(
        &mut self,
        id: ahoy_base::CallId,
        phase: StoredPhase,
        direction: Direction,
        alert: Alert,
    ) {
        let last_word = match (phase, direction) {
            (StoredPhase::Calling | StoredPhase::RingingOut, _) if self.outbox.offer_waits(id) => {
                self.calls.get(&id).map(|c| Signal::MissedCall { media: c.media, at_ms: c.offered_at_ms })
            }
            (StoredPhase::Calling | StoredPhase::RingingOut, _) => Some(Signal::Cancel),
            // A stranger is not told whether anybody is there.
            (StoredPhase::RingingIn, _) if alert == Alert::Request => None,
            (
                StoredPhase::RingingIn
                | StoredPhase::Connecting
                | StoredPhase::Active
                | StoredPhase::Reconnecting
                | StoredPhase::Interrupted
                | StoredPhase::Ended,
                _,
            ) => Some(Signal::Hangup { reason: HangupReason::Failed }),
        };
        if let Some(signal) = last_word {
            self.send(id, signal);
        }
        if phase == StoredPhase::RingingIn {
            self.tell(id, CallEvent::Missed);
        }
        self.tell(id, CallEvent::Ended(EndReason::Crashed));
    }
}
