//! What messages and sessions of other devices mean for all calls.

use super::{AutoAnswer, Calls, MAX_LIVE};
use crate::call::{Beginning, Call, Direction};
use crate::call_state::{CallState, Event, RING_MS, SessionStatus};
use crate::door::{Alert, CallEvent, Output, Standing};
use crate::end::EndReason;
use ahoy_base::{CallId, PeerId};
use ahoy_net_core::session::{RefusedReason, SessionEvent};
use ahoy_net_core::wire::signal::{Envelope, HangupReason, MediaKind, Signal, needs_ack};
use std::time::Duration;

/// Tombstones tell of calls at most this old; a peer's clock may say anything.
const MONTH_MS: u64 = 30 * 24 * 3_600_000;

/// An offer as it came in.
#[derive(Clone, Copy)]
struct Offer {
    id: CallId,
    from: PeerId,
    known: Standing,
    media: MediaKind,
    expires_in_ms: u32,
}

/// Whether a message is answered with an ack.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// It was understood, applied or not.
    Yes,
    /// As if nobody were there.
    No,
}

impl Calls {
    pub(super) fn on_signal(&mut self, from: PeerId, known: Standing, envelope: Envelope) {
        if let Signal::Ack { of } = envelope.body {
            self.on_ack(from, of);
            return;
        }
        let Some(id) = envelope.call else { return };
        let old_number = match self.calls.get(&id) {
            // A call belongs to its two; nobody else learns that it exists.
            Some(call) if call.peer != from => return,
            Some(call) => envelope.seq != 0 && envelope.seq <= call.seq_in,
            None => false,
        };
        let acked = needs_ack(&envelope.body);
        if old_number || self.seen.get(&envelope.id).is_some() {
            if acked && !self.is_silent_to(known, id) {
                self.ack(from, &envelope);
            }
            return;
        }
        let heard = if self.calls.contains_key(&id) {
            self.on_call_signal(id, &envelope);
            Heard::Yes
        } else {
            self.on_unknown_call(id, from, known, &envelope)
        };
        if let Some(call) = self.calls.get_mut(&id) {
            call.seq_in = call.seq_in.max(envelope.seq);
        }
        if acked && heard == Heard::Yes {
            self.seen.keep(envelope.id, ());
            self.transaction.seen_add.push(envelope.id);
            if !self.is_silent_to(known, id) {
                self.ack(from, &envelope);
            }
        }
    }

    /// Strangers are not even told that a message came, until this person answers them: they can't find out who is there.
    fn is_silent_to(&self, known: Standing, id: CallId) -> bool {
        let unanswered = |call: &Call| match call.direction {
            Direction::Incoming => !call.is_answered() && call.active_since_ms.is_none(),
            Direction::Outgoing => false,
        };
        known == Standing::Stranger && self.calls.get(&id).is_none_or(unanswered)
    }

    pub(super) fn on_session(&mut self, id: CallId, event: SessionEvent) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        // News of a session that was thrown away meanwhile.
        if call.session == SessionStatus::Off {
            return;
        }
        let event = match event {
            SessionEvent::Secured => {
                call.session = call.session.max(SessionStatus::Secured);
                return;
            }
            SessionEvent::Ready => {
                call.session = SessionStatus::Ready;
                Event::Ready
            }
            SessionEvent::Lost => {
                call.session = SessionStatus::Secured;
                Event::Lost
            }
            SessionEvent::Refused(reason) if is_impostor(reason) => Event::Impostor,
            SessionEvent::Refused(_) => Event::SessionFailed,
            SessionEvent::Path(_) => return,
            SessionEvent::Track { track, on } => {
                let changed = if on { call.theirs.insert(track) } else { call.theirs.remove(&track) };
                if changed {
                    self.tell(id, CallEvent::Picture { own: false, track, on });
                }
                return;
            }
        };
        self.apply_quietly(id, event);
    }

    fn on_ack(&mut self, from: PeerId, of: ahoy_base::MessageId) {
        let Some(done) = self.outbox.acked(from, of) else { return };
        self.transaction.outbox_remove.push(of);
        if let (Signal::Offer { resume: false, .. }, Some(call)) = (&done.body, done.call) {
            self.apply_quietly(call, Event::Delivered);
        }
        if let (Signal::Recording { on: true }, Some(call)) = (&done.body, done.call) {
            self.on_notice_heard(call, of);
        }
    }

    fn on_call_signal(&mut self, id: CallId, envelope: &Envelope) {
        let event = match &envelope.body {
            Signal::Offer { resume: false, .. } => Event::OfferAgain,
            Signal::Offer { resume: true, .. } => {
                self.apply_quietly(id, Event::Resume);
                return self.on_peer_restarted(id);
            }
            Signal::Ringing => Event::Ringing,
            Signal::Busy => Event::Busy,
            Signal::Accept => Event::Accept,
            Signal::AcceptOk => Event::AcceptOk,
            Signal::Cancel => Event::Cancel,
            Signal::Decline { message } => Event::Declined { message: message.clone() },
            Signal::Hangup { reason } => Event::Hangup { reason: *reason },
            Signal::Elsewhere => Event::Elsewhere,
            Signal::Hold { on } => Event::PeerHold { on: *on },
            Signal::Recording { on } => return self.set_recorded(id, *on),
            Signal::MissedCall { .. } => Event::MissedCall,
            Signal::Hello { .. } | Signal::Ack { .. } | Signal::Handshake { .. } => return,
        };
        self.apply_quietly(id, event);
    }

    /// A message of a call this device does not know: a new offer, the traces of one that never arrived, or a call
    /// that is long forgotten here.
    fn on_unknown_call(&mut self, id: CallId, from: PeerId, known: Standing, envelope: &Envelope) -> Heard {
        match &envelope.body {
            Signal::Offer { media, expires_in_ms, resume: false } => {
                self.on_offer(Offer { id, from, known, media: *media, expires_in_ms: *expires_in_ms })
            }
            Signal::MissedCall { media, at_ms } => {
                let at_ms = (*at_ms).clamp(self.wall_ms.saturating_sub(MONTH_MS), self.wall_ms);
                self.on_tombstone(Offer { id, from, known, media: *media, expires_in_ms: 0 }, at_ms)
            }
            Signal::Cancel => {
                let offer = Offer { id, from, known, media: MediaKind::Voice, expires_in_ms: 0 };
                self.on_tombstone(offer, self.wall_ms)
            }
            // The peer holds a seat in a call that is over: let it go. Strangers are told nothing.
            Signal::Offer { resume: true, .. } | Signal::Accept if known == Standing::Contact => {
                self.send_outside(from, id, Signal::Hangup { reason: HangupReason::Failed });
                Heard::Yes
            }
            Signal::Offer { .. }
            | Signal::Accept
            | Signal::Ringing
            | Signal::Busy
            | Signal::AcceptOk
            | Signal::Decline { .. }
            | Signal::Hangup { .. }
            | Signal::Elsewhere
            | Signal::Hold { .. }
            | Signal::Recording { .. }
            | Signal::Hello { .. }
            | Signal::Ack { .. }
            | Signal::Handshake { .. } => {
                if known == Standing::Contact {
                    Heard::Yes
                } else {
                    Heard::No
                }
            }
        }
    }

    fn on_offer(&mut self, offer: Offer) -> Heard {
        let open = self.live_with(offer.from).map(|c| (c.id, c.is_offering()));
        if let Some((own, true)) = open {
            // Glare. This person called that device, so whoever it is may get through.
            if self.config.me < offer.from {
                return Heard::Yes;
            }
            self.apply_quietly(own, Event::Replaced { by: offer.id });
            let shown = self.calls.get(&own).map(|call| call.ours.clone()).unwrap_or_default();
            self.begin_incoming(offer, Alert::Ring);
            self.apply_quietly(offer.id, Event::Answer);
            // What this person wanted to show in their own call, they show in this one.
            for track in shown {
                self.show(offer.id, track);
            }
            return Heard::Yes;
        }
        if !self.lets_in(offer) {
            return Heard::No;
        }
        if let Some((old, false)) = open {
            self.apply_quietly(old, Event::Replaced { by: offer.id });
        }
        if self.live().len() >= MAX_LIVE {
            return self.line_is_busy(offer);
        }
        let talking = self.calls.values().any(Call::is_answered);
        let alert = match (offer.known, self.config.strangers_may_ring) {
            (Standing::Contact, _) | (Standing::Nearby, true) if talking => Alert::Waiting,
            (Standing::Contact, _) | (Standing::Nearby, true) => Alert::Ring,
            (Standing::Nearby, false) | (Standing::Stranger, _) => Alert::Request,
        };
        let machine_answers = match self.config.auto_answer {
            AutoAnswer::Off => false,
            AutoAnswer::Contacts => offer.known == Standing::Contact && alert == Alert::Ring,
            AutoAnswer::All => alert != Alert::Waiting && !talking,
        };
        self.begin_incoming(offer, alert);
        if machine_answers {
            self.apply_quietly(offer.id, Event::Answer);
            self.show_camera(offer.id, offer.media);
        } else if alert != Alert::Request {
            // The same as for a stream that comes up: a fresh session, and word that it rings.
            self.apply_quietly(offer.id, Event::StreamUp);
        }
        Heard::Yes
    }

    fn line_is_busy(&mut self, offer: Offer) -> Heard {
        if offer.known != Standing::Contact {
            return Heard::No;
        }
        self.begin_incoming(offer, Alert::Request);
        self.send(offer.id, Signal::Busy);
        self.end_unanswered(offer.id, EndReason::Busy);
        Heard::Yes
    }

    /// The caller gave up before its offer arrived.
    fn on_tombstone(&mut self, offer: Offer, at_ms: u64) -> Heard {
        if !self.lets_in(offer) {
            return Heard::No;
        }
        self.begin_incoming(offer, Alert::Request);
        if let Some(call) = self.calls.get_mut(&offer.id) {
            call.offered_at_ms = at_ms;
        }
        self.end_unanswered(offer.id, EndReason::Cancelled);
        Heard::Yes
    }

    fn lets_in(&mut self, offer: Offer) -> bool {
        match offer.known {
            Standing::Contact => true,
            Standing::Nearby => self.nearby.lets_in(self.now, offer.from),
            Standing::Stranger => self.strangers.lets_in(self.now, offer.from),
        }
    }

    fn begin_incoming(&mut self, offer: Offer, alert: Alert) {
        let ms = u64::from(offer.expires_in_ms).min(RING_MS);
        self.begin(Beginning {
            id: offer.id,
            me: self.config.me,
            peer: offer.from,
            direction: Direction::Incoming,
            media: offer.media,
            alert,
            state: CallState::RingingIn { expires_at: self.now + Duration::from_millis(ms), alert },
            wall_ms: self.wall_ms,
            expires_at_ms: self.wall_ms.saturating_add(ms),
        });
        if ms > 0 {
            self.tell(offer.id, CallEvent::Incoming(alert));
        }
    }

    /// Ends a call that came in and never got to ring.
    fn end_unanswered(&mut self, id: CallId, reason: EndReason) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.state = CallState::Ended { reason: reason.clone() };
        }
        self.tell(id, CallEvent::Missed);
        self.tell(id, CallEvent::Ended(reason));
    }

    fn ack(&mut self, to: PeerId, of: &Envelope) {
        let body = Signal::Ack { of: of.id };
        let envelope =
            Envelope { id: self.message_id(), call: of.call, seq: 0, sent_at_ms: self.wall_ms, body };
        if self.up.contains(&to) {
            self.effects.push(Output::Send { to, envelope });
        }
    }
}

/// Whether the other end of the session is somebody else: never tried again, always shown.
fn is_impostor(reason: RefusedReason) -> bool {
    match reason {
        RefusedReason::IdentityMismatch | RefusedReason::BadProof => true,
        RefusedReason::HandshakeFailed | RefusedReason::Timeout => false,
    }
}
