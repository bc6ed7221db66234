//! Messages that must arrive: each is kept, and sent again, until the other side says that it has it.
//!
//! At least once, in order: of each call only the oldest message is on its way, so the receiver never sees a later one
//! first and may drop what is older than what it knows. Almost always there is just one, so this costs no round trip.
//! Resends only while a stream to the device is up; a new stream starts over at once.
use crate::stored::StoredMessage;
use ahoy_base::{CallId, MessageId, Moment, PeerId};
use ahoy_net_core::wire::signal::{Envelope, Signal};
use std::collections::BTreeSet;
use std::time::Duration;

/// Most messages that wait at once. Only this person's own doings add any, one or two a call.
const MAX_WAITING: usize = 1_024;
/// Longest pause between two copies; the first are 1, 2, 4, 8 and 16 s apart.
const MAX_PAUSE: Duration = Duration::from_secs(30);

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// How long a message is worth sending, in milliseconds.
pub(crate) const fn lifetime_ms(signal: &Signal) -> u64 {
    match signal {
        // The person who was called wants to know, whenever their machine is back.
        Signal::MissedCall { .. } => 30 * DAY_MS,
        // The other side's own deadlines are a minute; a day covers clocks that jump.
        Signal::Cancel
        | Signal::Decline { .. }
        | Signal::Busy
        | Signal::Hangup { .. }
        | Signal::Elsewhere => DAY_MS,
        // Dropped with the end of the call, which comes first.
        Signal::Offer { .. }
        | Signal::Accept
        | Signal::AcceptOk
        | Signal::Hold { .. }
        | Signal::Recording { .. }
        | Signal::Hello { .. }
        | Signal::Ack { .. }
        | Signal::Ringing
        | Signal::Handshake { .. } => HOUR_MS,
    }
}

/// Whether the message still matters when its call is over.
const fn outlives_call(signal: &Signal) -> bool {
    match signal {
        Signal::MissedCall { .. }
        | Signal::Cancel
        | Signal::Decline { .. }
        | Signal::Busy
        | Signal::Hangup { .. }
        | Signal::Elsewhere => true,
        Signal::Offer { .. }
        | Signal::Accept
        | Signal::AcceptOk
        | Signal::Hold { .. }
        | Signal::Recording { .. }
        | Signal::Hello { .. }
        | Signal::Ack { .. }
        | Signal::Ringing
        | Signal::Handshake { .. } => false,
    }
}

struct Waiting {
    to: PeerId,
    envelope: Envelope,
    expires_at_ms: u64,
    /// When the next copy goes; `None` before the first of this stream.
    resend_at: Option<Moment>,
    copies: u32,
}

/// All messages of this device that wait for their ack, oldest first.
#[derive(Default)]
pub(crate) struct Outbox {
    waiting: Vec<Waiting>,
}

impl Outbox {
    /// Takes up what the store kept; rows that can't be read come back as ids to remove.
    pub(crate) fn restore(rows: Vec<StoredMessage>) -> (Outbox, Vec<MessageId>) {
        let mut outbox = Outbox::default();
        let mut unreadable = Vec::new();
        for row in rows {
            match Envelope::decode(&row.bytes) {
                Ok(envelope) => outbox.waiting.push(Waiting {
                    to: row.to,
                    envelope,
                    expires_at_ms: row.expires_at_ms,
                    resend_at: None,
                    copies: 0,
                }),
                Err(_) => unreadable.push(row.id),
            }
        }
        // The store keeps no order; the numbers do, within each call, and between calls none is needed.
        outbox.waiting.sort_by_key(|w| w.envelope.seq);
        (outbox, unreadable)
    }

    /// Adds a message; the row to store, and the ids of messages it makes pointless (an older one of the same kind).
    pub(crate) fn add(&mut self, to: PeerId, envelope: Envelope) -> (StoredMessage, Vec<MessageId>) {
        let kind = std::mem::discriminant(&envelope.body);
        let mut removed = self.remove_where(|w| {
            w.to == to && w.envelope.call == envelope.call && std::mem::discriminant(&w.envelope.body) == kind
        });
        if self.waiting.len() >= MAX_WAITING {
            removed.push(self.waiting.remove(0).envelope.id);
        }
        let expires_at_ms = envelope.sent_at_ms.saturating_add(lifetime_ms(&envelope.body));
        let row = StoredMessage { id: envelope.id, to, expires_at_ms, bytes: envelope.encode() };
        self.waiting.push(Waiting { to, envelope, expires_at_ms, resend_at: None, copies: 0 });
        (row, removed)
    }

    /// The device `from` has message `id`: what it was, if it waited for that device.
    pub(crate) fn acked(&mut self, from: PeerId, id: MessageId) -> Option<Envelope> {
        let at = self.waiting.iter().position(|w| w.to == from && w.envelope.id == id)?;
        Some(self.waiting.remove(at).envelope)
    }

    /// Drops a message that nobody needs any more.
    pub(crate) fn withdraw(&mut self, id: MessageId) -> Vec<MessageId> {
        self.remove_where(|w| w.envelope.id == id)
    }

    /// The call is over: drops what mattered only during it.
    pub(crate) fn call_ended(&mut self, call: CallId) -> Vec<MessageId> {
        self.remove_where(|w| w.envelope.call == Some(call) && !outlives_call(&w.envelope.body))
    }

    /// Drops what nobody needs to know any more.
    pub(crate) fn expire(&mut self, wall_ms: u64) -> Vec<MessageId> {
        self.remove_where(|w| w.expires_at_ms <= wall_ms)
    }

    /// A stream to `peer` is new, or gone: copies start over.
    pub(crate) fn start_over(&mut self, peer: PeerId) {
        for w in self.waiting.iter_mut().filter(|w| w.to == peer) {
            w.resend_at = None;
            w.copies = 0;
        }
    }

    /// Whether the offer of `call` still waits for its ack.
    pub(crate) fn offer_waits(&self, call: CallId) -> bool {
        self.waiting.iter().any(|w| {
            w.envelope.call == Some(call) && matches!(w.envelope.body, Signal::Offer { resume: false, .. })
        })
    }

    /// The devices for which something waits.
    pub(crate) fn recipients(&self) -> BTreeSet<PeerId> {
        self.waiting.iter().map(|w| w.to).collect()
    }

    /// What is to be sent at `now` to the devices that are `up`.
    pub(crate) fn take_due(&mut self, now: Moment, up: &BTreeSet<PeerId>) -> Vec<(PeerId, Envelope)> {
        let mut due = Vec::new();
        for index in self.heads(up) {
            let Some(w) = self.waiting.get_mut(index) else { continue };
            if w.resend_at.is_none_or(|at| now >= at) {
                let pause = Duration::from_secs(1 << w.copies.min(5)).min(MAX_PAUSE);
                w.resend_at = Some(now + pause);
                w.copies = w.copies.saturating_add(1);
                due.push((w.to, w.envelope.clone()));
            }
        }
        due
    }

    /// When the next copy is to go.
    pub(crate) fn due_at(&self, up: &BTreeSet<PeerId>) -> Moment {
        let heads = self.heads(up);
        heads.into_iter().filter_map(|i| self.waiting.get(i)?.resend_at).min().unwrap_or(Moment::NEVER)
    }

    /// Indices of the oldest message of each call to each device that is up.
    fn heads(&self, up: &BTreeSet<PeerId>) -> Vec<usize> {
        let mut begun = BTreeSet::new();
        let candidates = self.waiting.iter().enumerate().filter(|(_, w)| up.contains(&w.to));
        candidates.filter(|(_, w)| begun.insert((w.to, w.envelope.call))).map(|(i, _)| i).collect()
    }

    fn remove_where(&mut self, gone: impl Fn(&Waiting) -> bool) -> Vec<MessageId> {
        let removed = self.waiting.iter().filter(|w| gone(w)).map(|w| w.envelope.id).collect();
        self.waiting.retain(|w| !gone(w));
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ahoy_net_core::wire::signal::MediaKind;

    const BOB: PeerId = PeerId::from_public_key([2; 32]);
    const CALL: CallId = CallId::from_bytes([9; 16]);

    fn message(n: u8, body: Signal) -> Envelope {
        Envelope {
            id: MessageId::from_bytes([n; 16]),
            call: Some(CALL),
            seq: u64::from(n),
            sent_at_ms: 0,
            body,
        }
    }

    fn offer(n: u8) -> Envelope {
        message(n, Signal::Offer { media: MediaKind::Voice, expires_in_ms: 45_000, resume: false })
    }

    fn ids(sent: Vec<(PeerId, Envelope)>) -> Vec<u64> {
        sent.into_iter().map(|(_, e)| e.seq).collect()
    }

    #[test]
    fn copies_go_1_2_4_8_16_30_30_s_apart_until_acked_and_not_after() {
        let (mut outbox, up) = (Outbox::default(), BTreeSet::from([BOB]));
        let _ = outbox.add(BOB, offer(1));
        let mut sent_at = Vec::new();
        for s in 0..=120 {
            if !outbox.take_due(Moment::from_millis(s * 1_000), &up).is_empty() {
                sent_at.push(s);
            }
        }
        assert_eq!(sent_at, [0, 1, 3, 7, 15, 31, 61, 91]);
        assert!(outbox.acked(PeerId::from_public_key([3; 32]), MessageId::from_bytes([1; 16])).is_none());
        assert!(outbox.acked(BOB, MessageId::from_bytes([1; 16])).is_some());
        assert!(outbox.take_due(Moment::from_millis(1_000_000), &up).is_empty());
        assert_eq!(outbox.due_at(&up), Moment::NEVER);
    }

    #[test]
    fn the_second_message_of_a_call_waits_for_the_first() {
        let (mut outbox, up) = (Outbox::default(), BTreeSet::from([BOB]));
        let _ = outbox.add(BOB, message(1, Signal::AcceptOk));
        let _ = outbox.add(BOB, message(2, Signal::Hold { on: true }));
        assert_eq!(ids(outbox.take_due(Moment::ZERO, &up)), [1]);
        outbox.acked(BOB, MessageId::from_bytes([1; 16]));
        assert_eq!(ids(outbox.take_due(Moment::ZERO, &up)), [2]);
    }

    #[test]
    fn nothing_goes_while_no_stream_is_up_and_all_at_once_when_one_is() {
        let mut outbox = Outbox::default();
        let _ = outbox.add(BOB, offer(1));
        assert!(outbox.take_due(Moment::ZERO, &BTreeSet::new()).is_empty());
        assert_eq!(outbox.due_at(&BTreeSet::new()), Moment::NEVER);
        let up = BTreeSet::from([BOB]);
        assert_eq!(ids(outbox.take_due(Moment::ZERO, &up)), [1]);
        assert!(outbox.take_due(Moment::ZERO, &up).is_empty());
        outbox.start_over(BOB);
        assert_eq!(ids(outbox.take_due(Moment::ZERO, &up)), [1]);
    }

    #[test]
    fn the_newest_hold_is_the_one_that_counts() {
        let mut outbox = Outbox::default();
        let _ = outbox.add(BOB, message(1, Signal::Hold { on: true }));
        let (_, removed) = outbox.add(BOB, message(2, Signal::Hold { on: false }));
        assert_eq!(removed, [MessageId::from_bytes([1; 16])]);
        assert_eq!(ids(outbox.take_due(Moment::ZERO, &BTreeSet::from([BOB]))), [2]);
    }

    #[test]
    fn the_end_of_a_call_leaves_only_its_last_word() {
        let mut outbox = Outbox::default();
        let _ = outbox.add(BOB, offer(1));
        let _ = outbox.add(BOB, message(2, Signal::Cancel));
        assert_eq!(outbox.call_ended(CALL), [MessageId::from_bytes([1; 16])]);
        assert_eq!(outbox.expire(DAY_MS - 1), []);
        assert_eq!(outbox.expire(DAY_MS), [MessageId::from_bytes([2; 16])]);
    }

    #[test]
    fn what_the_store_kept_is_sent_after_a_restart_in_its_order() {
        let mut outbox = Outbox::default();
        let (second, _) = outbox.add(BOB, message(2, Signal::Hold { on: true }));
        let (first, _) = outbox.add(BOB, message(1, Signal::AcceptOk));
        let broken =
            StoredMessage { id: MessageId::from_bytes([7; 16]), bytes: vec![0xFF; 3], ..first.clone() };
        let (mut again, unreadable) = Outbox::restore(vec![second, broken, first]);
        assert_eq!(unreadable, [MessageId::from_bytes([7; 16])]);
        assert_eq!(ids(again.take_due(Moment::ZERO, &BTreeSet::from([BOB]))), [1]);
    }
}
