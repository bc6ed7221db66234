//! The keys of a session: its handshakes, one retry, the hourly fresh one, and our sender key with its changes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use ahoy_base::Moment;

use super::messages::Announcement;
use super::{
    DropReason, HANDSHAKE_TIME, KEY_LIFE, KEY_RESEND, RefusedReason, SESSION_LIFE, SessionConfig, WakeReason,
};
use crate::seal::Random;
use crate::seal::control::{ControlSeal, OpenError};
use crate::seal::handshake::{Agreed, Binding, Handshake, HandshakeError, Role};
use crate::seal::media::{GENERATIONS, SenderKey};

/// A handshake message without an answer is sent again after this; the stream may have broken under it.
const RESEND: Duration = Duration::from_secs(2);
/// A control key that was replaced still opens what was under way for this long.
const OLD_KEY: Duration = Duration::from_secs(10);
/// A fresh handshake that failed while the old keys are good is tried again after this.
const RENEW_PAUSE: Duration = Duration::from_secs(60);
/// Handshakes that may fail before the session is refused.
const MAX_FAILURES: u32 = 2;

/// First byte of a handshake message; the second counts handshakes.
mod kind {
    pub(super) const FIRST: u8 = 1;
    pub(super) const SECOND: u8 = 2;
    pub(super) const THIRD: u8 = 3;
    pub(super) const SEALED: u8 = 4;
    pub(super) const FAILED: u8 = 5;
}

/// News of the keys.
#[derive(Debug)]
pub(super) enum KeysOutput {
    /// To be sent as `Signal::Handshake`.
    Send(Vec<u8>),
    /// Seal with this from here on.
    OurKey(SenderKey),
    /// Open with this too.
    TheirKey(SenderKey),
    /// Where the peer may be found.
    TheirCandidates(Vec<SocketAddr>),
    /// What admits links.
    LinkSecret { id: [u8; 16], key: [u8; 32] },
    /// A handshake is complete and confirmed.
    Secured,
    /// There will be no session.
    Refused(RefusedReason),
}

/// See the module's first line.
pub(super) struct Keys {
    config: SessionConfig,
    random: Random,
    started_at: Moment,
    attempt: u8,
    under_way: Option<UnderWay>,
    /// What the last complete handshake answered, to answer its repetition the same way.
    answered: Option<(Vec<u8>, Vec<u8>)>,
    /// The initiator's: agreed, not yet confirmed by the responder.
    next: Option<Agreed>,
    current: Option<ControlSeal>,
    previous: Option<(ControlSeal, Moment)>,
    first_hash: Option<[u8; 32]>,
    last_hash: [u8; 32],
    failures: u32,
    renew_at: Moment,
    link_secret: ([u8; 16], [u8; 32]),
    own_key: SenderKey,
    change_key_at: Moment,
    /// A key that the peer has not acked, and when to send it again.
    waiting_key: Option<(SenderKey, Moment)>,
    candidates_changed: bool,
    outputs: VecDeque<KeysOutput>,
}

struct UnderWay {
    handshake: Handshake,
    /// Our last message, whole.
    sent: Vec<u8>,
    resend_at: Moment,
    give_up_at: Moment,
}

impl Keys {
    pub(super) fn new(now: Moment, config: SessionConfig) -> Keys {
        let mut random = Random::from_seed(config.seed);
        let own_key = SenderKey { generation: 0, secret: random.bytes() };
        let link_secret = (random.bytes(), random.bytes());
        let mut keys = Keys {
            config,
            random,
            started_at: now,
            attempt: 0,
            under_way: None,
            answered: None,
            next: None,
            current: None,
            previous: None,
            first_hash: None,
            last_hash: [0; 32],
            failures: 0,
            renew_at: Moment::NEVER,
            link_secret,
            own_key,
            change_key_at: Moment::NEVER,
            waiting_key: None,
            candidates_changed: false,
            outputs: VecDeque::new(),
        };
        if keys.config.role == Role::Initiator {
            keys.begin(now);
        }
        keys
    }

    pub(super) fn poll(&mut self) -> Option<KeysOutput> {
        self.outputs.pop_front()
    }

    /// The hash of the first handshake, once confirmed: what safety words are made of.
    pub(super) fn first_hash(&self) -> Option<[u8; 32]> {
        self.first_hash
    }

    /// Whether control messages can be sealed.
    pub(super) fn is_secured(&self) -> bool {
        self.current.is_some()
    }

    /// Seals a control message; `None` before the keys are confirmed.
    pub(super) fn seal(&mut self, content: &[u8]) -> Option<Vec<u8>> {
        self.current.as_mut()?.seal(content)
    }

    /// The sealed message as it travels in signalling.
    pub(super) fn wrap(&self, sealed: &[u8]) -> Vec<u8> {
        [&[kind::SEALED, self.attempt], sealed].concat()
    }

    /// Opens a sealed control message, wherever it came from.
    pub(super) fn open(&mut self, now: Moment, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        // Each key has its own numbers, so one key's "came before" says nothing about another.
        let mut verdict = OpenError::Forged;
        if let Some(current) = &mut self.current {
            match current.open(sealed) {
                Ok(content) => return Ok(content),
                Err(error) => verdict = error,
            }
        }
        if let Some(content) = self.next.as_mut().and_then(|next| next.control.open(sealed).ok()) {
            // Only the responder that has the third message can have sealed this.
            self.confirm(now);
            return Ok(content);
        }
        let previous = self.previous.as_mut().and_then(|(previous, _)| previous.open(sealed).ok());
        previous.ok_or(verdict)
    }

    /// Takes a `Signal::Handshake`; gives the content of a sealed one.
    pub(super) fn on_message(&mut self, now: Moment, bytes: &[u8]) -> Result<Option<Vec<u8>>, DropReason> {
        let ([message, attempt], payload) = bytes.split_first_chunk::<2>().ok_or(DropReason::Malformed)?;
        match (*message, self.config.role) {
            (kind::SEALED, _) => return self.open(now, payload).map(Some).map_err(DropReason::from),
            (kind::FIRST, Role::Responder) => self.on_first(now, *attempt, bytes, payload),
            (kind::SECOND, Role::Initiator) => self.on_second(now, *attempt, payload),
            (kind::THIRD, Role::Responder) => self.on_third(now, *attempt, bytes, payload),
            (kind::FAILED, Role::Initiator) if *attempt == self.attempt && self.under_way.is_some() => {
                self.fail(now, HandshakeError::Noise);
            }
            _ => return Err(DropReason::Unknown),
        }
        Ok(None)
    }

    pub(super) fn tell_candidates(&mut self, ours: &[SocketAddr]) {
        self.config.candidates = ours.to_vec();
        self.candidates_changed = true;
    }

    /// Our addresses, once after each change.
    pub(super) fn candidates_to_tell(&mut self) -> Option<Vec<SocketAddr>> {
        if self.current.is_none() || !std::mem::take(&mut self.candidates_changed) {
            return None;
        }
        Some(self.config.candidates.clone())
    }

    /// A key that is to be sent (again) now.
    pub(super) fn key_to_announce(&mut self, now: Moment) -> Option<SenderKey> {
        self.current.as_ref()?;
        if now >= self.change_key_at {
            self.change_key_at = now + KEY_LIFE;
            let newest = self.waiting_key.as_ref().map_or(self.own_key.generation, |(key, _)| key.generation);
            let key = SenderKey { generation: (newest + 1) % GENERATIONS, secret: self.random.bytes() };
            self.waiting_key = Some((key, now));
        }
        let (key, at) = self.waiting_key.as_mut().filter(|(_, at)| now >= *at)?;
        *at = now + KEY_RESEND;
        Some(key.clone())
    }

    /// The peer has a key of ours; it is used from here on.
    pub(super) fn on_key_ack(&mut self, _: Moment, generation: u8) -> Option<SenderKey> {
        let (key, _) = self.waiting_key.take_if(|(key, _)| key.generation == generation)?;
        self.own_key = key.clone();
        Some(key)
    }

    pub(super) fn on_time(&mut self, now: Moment) {
        if self.previous.as_ref().is_some_and(|(_, until)| now >= *until) {
            self.previous = None;
        }
        if self.first_hash.is_none() && now >= self.started_at + HANDSHAKE_TIME {
            return self.refuse(RefusedReason::Timeout);
        }
        if self.under_way.as_ref().is_some_and(|u| now >= u.give_up_at) {
            self.under_way = None;
            self.renew_at = now + RENEW_PAUSE;
        }
        if let Some(under_way) = &mut self.under_way
            && now >= under_way.resend_at
            && self.config.role == Role::Initiator
        {
            under_way.resend_at = now + RESEND;
            self.outputs.push_back(KeysOutput::Send(under_way.sent.clone()));
        }
        if let (Some(_), Some((_, third))) = (&self.next, &self.answered)
            && now >= self.renew_at
        {
            // The third message, until the responder confirms it.
            self.renew_at = now + RESEND;
            self.outputs.push_back(KeysOutput::Send(third.clone()));
        }
        if self.config.role == Role::Initiator
            && self.current.is_some()
            && self.under_way.is_none()
            && self.next.is_none()
            && now >= self.renew_at
        {
            self.attempt = self.attempt.wrapping_add(1);
            self.begin(now);
        }
    }

    pub(super) fn due(&self) -> (Moment, WakeReason) {
        let give_up =
            if self.first_hash.is_none() { self.started_at + HANDSHAKE_TIME } else { Moment::NEVER };
        let resend = match (&self.under_way, self.config.role) {
            (Some(u), Role::Initiator) => u.resend_at.min(u.give_up_at),
            (Some(u), Role::Responder) => u.give_up_at,
            (None, Role::Initiator) => self.renew_at,
            (None, Role::Responder) => Moment::NEVER,
        };
        let key = if self.current.is_some() {
            self.waiting_key.as_ref().map_or(self.change_key_at, |(_, at)| (*at).min(self.change_key_at))
        } else {
            Moment::NEVER
        };
        let handshake = (give_up.min(resend), WakeReason::Handshake);
        handshake.min((key, WakeReason::Key))
    }

    fn begin(&mut self, now: Moment) {
        let seed = self.random.bytes();
        let result = self.new_handshake(seed).and_then(|mut handshake| {
            let first = handshake.write_first()?;
            Ok((handshake, first))
        });
        match result {
            Ok((handshake, first)) => {
                let message = [&[kind::FIRST, self.attempt], &first[..]].concat();
                self.keep(now, handshake, message);
            }
            Err(error) => self.fail(now, error),
        }
    }

    fn on_first(&mut self, now: Moment, attempt: u8, whole: &[u8], payload: &[u8]) {
        if let Some((question, answer)) = &self.answered
            && question == whole
        {
            self.outputs.push_back(KeysOutput::Send(answer.clone()));
            return;
        }
        let newer = attempt.wrapping_sub(self.attempt);
        if self.under_way.is_some() && newer == 0 || newer >= 128 {
            return;
        }
        let before = std::mem::replace(&mut self.attempt, attempt);
        let seed = self.random.bytes();
        let announcement =
            Announcement { candidates: self.config.candidates.clone(), ..Announcement::default() };
        let result = self.new_handshake(seed).and_then(|mut handshake| {
            let second = handshake.answer_first(payload, &announcement.encode())?;
            Ok((handshake, second))
        });
        match result {
            Ok((handshake, second)) => {
                let message = [&[kind::SECOND, attempt], &second[..]].concat();
                self.answered = Some((whole.to_vec(), message.clone()));
                self.keep(now, handshake, message);
            }
            Err(error) if self.current.is_some() => {
                // Nothing to take back: the running keys never left.
                self.attempt = before;
                tracing::debug!(%error, "a fresh handshake began badly");
            }
            Err(error) => self.fail(now, error),
        }
    }

    fn on_second(&mut self, now: Moment, attempt: u8, payload: &[u8]) {
        if attempt != self.attempt {
            return;
        }
        let Some(mut under_way) = self.under_way.take() else { return };
        let first_time = self.current.is_none();
        let announcement = Announcement {
            candidates: self.config.candidates.clone(),
            sender_key: first_time.then(|| self.own_key.clone()),
            link_secret: first_time.then_some(self.link_secret),
        };
        let result = under_way.handshake.read_second(payload).and_then(|theirs| {
            let (third, agreed) = under_way.handshake.write_third(&announcement.encode())?;
            Ok((theirs, third, agreed))
        });
        match result {
            Ok((theirs, third, agreed)) => {
                let message = [&[kind::THIRD, attempt], &third[..]].concat();
                self.answered = Some((Vec::new(), message.clone()));
                self.next = Some(agreed);
                self.renew_at = now + RESEND;
                self.outputs.push_back(KeysOutput::Send(message));
                self.take_announcement(&theirs);
                if first_time {
                    let (id, key) = self.link_secret;
                    self.outputs.push_back(KeysOutput::LinkSecret { id, key });
                    self.outputs.push_back(KeysOutput::OurKey(self.own_key.clone()));
                }
                self.change_key_at = if first_time { now + KEY_LIFE } else { now };
            }
            Err(error) => self.fail(now, error),
        }
    }

    fn on_third(&mut self, now: Moment, attempt: u8, whole: &[u8], payload: &[u8]) {
        if attempt != self.attempt {
            return;
        }
        let Some(under_way) = self.under_way.take() else {
            // It came twice: the confirmation may have been lost.
            if self.answered.as_ref().is_some_and(|(question, _)| question == whole) {
                self.send_confirmation();
            }
            return;
        };
        match under_way.handshake.read_third(payload) {
            Ok((theirs, agreed)) => {
                let first_time = self.current.is_none();
                self.answered = Some((whole.to_vec(), Vec::new()));
                self.adopt(now, agreed);
                self.take_announcement(&theirs);
                if first_time {
                    self.outputs.push_back(KeysOutput::OurKey(self.own_key.clone()));
                }
                self.change_key_at = if first_time { now + KEY_LIFE } else { now };
                self.send_confirmation();
            }
            Err(error) => self.fail(now, error),
        }
    }

    /// The responder's first sealed message: it shows that the third one came, and carries the responder's key.
    fn send_confirmation(&mut self) {
        let control = super::Control { sender_key: Some(self.own_key.clone()), ..super::Control::default() };
        if let Some(sealed) = self.seal(&control.encode()) {
            self.outputs.push_back(KeysOutput::Send(self.wrap(&sealed)));
        }
    }

    fn take_announcement(&mut self, bytes: &[u8]) {
        let Some(theirs) = Announcement::decode(bytes) else { return };
        if let Some(key) = theirs.sender_key {
            self.outputs.push_back(KeysOutput::TheirKey(key));
        }
        if let Some((id, key)) = theirs.link_secret {
            self.outputs.push_back(KeysOutput::LinkSecret { id, key });
        }
        self.outputs.push_back(KeysOutput::TheirCandidates(theirs.candidates));
    }

    /// The initiator's: what was agreed is confirmed.
    fn confirm(&mut self, now: Moment) {
        if let Some(agreed) = self.next.take() {
            self.answered = None;
            self.adopt(now, agreed);
        }
    }

    fn adopt(&mut self, now: Moment, agreed: Agreed) {
        let old = self.current.replace(agreed.control);
        self.previous = old.map(|old| (old, now + OLD_KEY));
        self.first_hash.get_or_insert(agreed.hash);
        self.last_hash = agreed.hash;
        self.renew_at = if self.config.role == Role::Initiator { now + SESSION_LIFE } else { Moment::NEVER };
        self.outputs.push_back(KeysOutput::Secured);
    }

    fn keep(&mut self, now: Moment, handshake: Handshake, message: Vec<u8>) {
        self.outputs.push_back(KeysOutput::Send(message.clone()));
        self.under_way = Some(UnderWay {
            handshake,
            sent: message,
            resend_at: now + RESEND,
            give_up_at: now + HANDSHAKE_TIME,
        });
    }

    fn fail(&mut self, now: Moment, error: HandshakeError) {
        tracing::debug!(%error, "a handshake failed");
        self.under_way = None;
        match error {
            HandshakeError::OtherPeer => return self.refuse(RefusedReason::IdentityMismatch),
            HandshakeError::BadProof => return self.refuse(RefusedReason::BadProof),
            HandshakeError::Noise | HandshakeError::Cut | HandshakeError::BadKey => {}
        }
        if self.current.is_some() {
            // The old keys are good; a fresh handshake can wait.
            self.renew_at = now + RENEW_PAUSE;
            return;
        }
        self.failures += 1;
        if self.config.role == Role::Responder {
            self.outputs.push_back(KeysOutput::Send(vec![kind::FAILED, self.attempt]));
        }
        if self.failures >= MAX_FAILURES {
            self.refuse(RefusedReason::HandshakeFailed);
        } else if self.config.role == Role::Initiator {
            self.attempt = self.attempt.wrapping_add(1);
            self.begin(now);
        }
    }

    fn refuse(&mut self, reason: RefusedReason) {
        self.outputs.push_back(KeysOutput::Refused(reason));
    }

    fn new_handshake(&self, seed: [u8; 32]) -> Result<Handshake, HandshakeError> {
        let (own, remote) = (self.config.local.peer, self.config.remote);
        let (initiator, responder) = match self.config.role {
            Role::Initiator => (own, remote),
            Role::Responder => (remote, own),
        };
        let binding = Binding {
            call: self.config.call.as_bytes(),
            initiator,
            responder,
            attempt: self.attempt,
            previous: &self.last_hash,
        };
        Handshake::new(self.config.role, &binding, self.config.local.clone(), remote, seed)
    }
}
