//! What a person's commands mean for all their calls.

use super::{Calls, MAX_LIVE};
use crate::call::{Beginning, Direction};
use crate::call_state::{CallState, Event, RING_MS, RING_TIME};
use crate::door::{Alert, CallEvent, Command, CommandError, Output};
use ahoy_base::{CallId, PeerId, VideoTrack};
use ahoy_net_core::wire::signal::{MediaKind, Signal};

/// A decline's words (`Signal::Decline`).
const MAX_MESSAGE_CHARS: usize = 500;

impl Calls {
    pub(super) fn on_command(&mut self, id: [u8; 16], command: Command) {
        if let Some(result) = self.replies.get(&id) {
            let result = *result;
            self.effects.push(Output::Reply { id, result });
            return;
        }
        let result = match command {
            Command::Dial { call, peer, media } => self.dial(call, peer, media),
            Command::Answer { call, media } => self.answer(call, media),
            Command::Picture { call, track, on } => self.picture(call, track, on),
            Command::Record { call, on } => match self.record(id, call, on) {
                Some(result) => result,
                None => return,
            },
            Command::Rejoin { call } => self.take_up(call, Event::Rejoin),
            Command::Hold { call, on: false } => self.take_up(call, Event::Hold { on: false }),
            Command::Hold { call, on: true } => self.apply(call, Event::Hold { on: true }),
            Command::Decline { call, message } => self.apply(call, Event::Decline { message: cut(message) }),
            Command::HangUp { call } => self.apply(call, Event::HangUp),
            Command::Dismiss { call } => self.dismiss(call),
        };
        self.reply(id, result);
    }

    pub(super) fn reply(&mut self, id: [u8; 16], result: Result<CallId, CommandError>) {
        self.replies.keep(id, result);
        self.effects.push(Output::Reply { id, result });
    }

    fn dial(&mut self, id: CallId, peer: PeerId, media: MediaKind) -> Result<CallId, CommandError> {
        if peer == self.config.me {
            return Err(CommandError::Yourself);
        }
        if let Some(same) = self.calls.get(&id) {
            return if same.peer == peer { Ok(id) } else { Err(CommandError::NotPossible) };
        }
        // Who calls somebody that is calling them, answers; who calls somebody they talk with, already does.
        if let Some(call) = self.live_with(peer) {
            let (open, ringing) = (call.id, call.is_ringing_in());
            let interrupted = matches!(call.state, CallState::Interrupted { .. });
            return match (ringing, interrupted) {
                (true, _) => self.answer(open, media),
                (false, true) => self.take_up(open, Event::Rejoin),
                (false, false) => Ok(open),
            };
        }
        if self.live().len() >= MAX_LIVE {
            return Err(CommandError::TooManyCalls);
        }
        self.hold_others(id);
        self.begin(Beginning {
            id,
            me: self.config.me,
            peer,
            direction: Direction::Outgoing,
            media,
            alert: Alert::Ring,
            state: CallState::Calling {
                expires_at: self.now + RING_TIME,
                delivered: false,
                offline_at: None,
            },
            wall_ms: self.wall_ms,
            expires_at_ms: self.wall_ms.saturating_add(RING_MS),
        });
        self.show_camera(id, media);
        self.send(id, Signal::Offer { media, expires_in_ms: 0, resume: false });
        self.tell(id, CallEvent::Dialed);
        Ok(id)
    }

    fn answer(&mut self, id: CallId, media: MediaKind) -> Result<CallId, CommandError> {
        let done = self.take_up(id, Event::Answer)?;
        self.show_camera(id, media);
        Ok(done)
    }

    /// A call with video begins with the camera on.
    pub(super) fn show_camera(&mut self, id: CallId, media: MediaKind) {
        if media == MediaKind::Video {
            self.show(id, VideoTrack::Camera);
        }
    }

    pub(super) fn show(&mut self, id: CallId, track: VideoTrack) {
        if let Err(error) = self.picture(id, track, true) {
            tracing::debug!(?id, %error, "a picture was wanted in a call that is over");
        }
    }

    fn picture(&mut self, id: CallId, track: VideoTrack, on: bool) -> Result<CallId, CommandError> {
        let call = self.calls.get_mut(&id).ok_or(CommandError::UnknownCall)?;
        if !call.state.is_live() {
            return Err(CommandError::Ended);
        }
        let changed = if on { call.ours.insert(track) } else { call.ours.remove(&track) };
        if changed {
            self.tell(id, CallEvent::Picture { own: true, track, on });
            self.tell_pictures(id);
        }
        Ok(id)
    }

    /// Answers, rejoins or takes back from hold: this conversation gets the sound.
    fn take_up(&mut self, id: CallId, event: Event) -> Result<CallId, CommandError> {
        let done = self.apply(id, event)?;
        self.hold_others(id);
        Ok(done)
    }

    /// Puts every other answered call on hold.
    fn hold_others(&mut self, id: CallId) {
        let others: Vec<CallId> =
            self.calls.values().filter(|c| c.id != id && c.is_answered()).map(|c| c.id).collect();
        others.into_iter().for_each(|other| self.apply_quietly(other, Event::Hold { on: true }));
    }

    fn dismiss(&mut self, id: CallId) -> Result<CallId, CommandError> {
        let call = self.calls.get(&id).ok_or(CommandError::UnknownCall)?;
        if matches!(call.state, CallState::Interrupted { .. }) {
            self.apply_quietly(id, Event::HangUp);
        }
        match self.calls.get_mut(&id) {
            Some(call) if !call.state.is_live() => {
                call.dismissed = true;
                Ok(id)
            }
            Some(_) => Err(CommandError::NotPossible),
            None => Err(CommandError::UnknownCall),
        }
    }
}

fn cut(message: Option<String>) -> Option<String> {
    message.map(|m| m.trim().chars().take(MAX_MESSAGE_CHARS).collect::<String>()).filter(|m| !m.is_empty())
}
