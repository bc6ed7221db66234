//! What is done to a running or ringing call: `answer`, `decline`, `hangup`, `hold`, `resume`, `mute`, `unmute`, `record`.

use serde_json::json;

use super::args::{RecordWhat, Shared, Which};
use super::out::{Failure, Out};
use crate::control::Client;
use crate::view::{CallPhase, CallView, RecordingState, ScreenContent, View};
use crate::web::protocol::{Command, SettingsChange, UiError};

/// Shortest beginning of an id that may stand for a call.
const MIN_ID: usize = 4;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Answer,
    Decline(Option<String>),
    HangUp,
    Hold,
    Resume,
    Mute,
    Unmute,
    Record,
    StopRecording,
}

impl Act {
    /// Whether it makes sense for `call`.
    fn fits(&self, call: &CallView) -> bool {
        use CallPhase::{Active, Connecting, Ended, Interrupted, Reconnecting, RingingIn};
        let answered = matches!(call.state, Connecting | Active | Reconnecting);
        match self {
            Act::Answer | Act::Decline(_) => call.state == RingingIn,
            Act::HangUp => !matches!(call.state, Ended | Interrupted),
            Act::Hold => answered && !call.hold.local,
            Act::Resume => answered && call.hold.local,
            Act::Mute => call.state != Ended && !call.muted,
            Act::Unmute => call.state != Ended && call.muted,
            Act::Record => answered && call.recording.own != RecordingState::On,
            Act::StopRecording => call.recording.own != RecordingState::Off,
        }
    }

    fn command(self, call: &CallView) -> Command {
        let call = call.id;
        match self {
            Act::Answer => Command::Answer { call, media: None },
            Act::Decline(message) => Command::Decline { call, message },
            Act::HangUp => Command::HangUp { call },
            Act::Hold => Command::Hold { call, on: true },
            Act::Resume => Command::Hold { call, on: false },
            Act::Mute => Command::Mute { call, on: true },
            Act::Unmute => Command::Mute { call, on: false },
            Act::Record => Command::Record { call, on: true },
            Act::StopRecording => Command::Record { call, on: false },
        }
    }

    /// What was done, for people.
    fn done(&self, name: &str) -> String {
        match self {
            Act::Answer => format!("Answered {name}."),
            Act::Decline(_) => format!("Declined {name}."),
            Act::HangUp => format!("Hung up on {name}."),
            Act::Hold => format!("{name} is on hold."),
            Act::Resume => format!("Talking with {name} again."),
            Act::Mute => format!("{name} can't hear you now."),
            Act::Unmute => format!("{name} can hear you now."),
            Act::Record => format!("The call with {name} is recorded, and {name} sees it."),
            Act::StopRecording => format!("The call with {name} is no longer recorded."),
        }
    }

    fn nothing(&self) -> &'static str {
        match self {
            Act::Answer | Act::Decline(_) => "No call rings.",
            Act::HangUp => "There is no call.",
            Act::Hold => "There is no call that could be put on hold.",
            Act::Resume => "No call is on hold.",
            Act::Mute => "There is no call with the microphone on.",
            Act::Unmute => "There is no call with the microphone off.",
            Act::Record => "There is no call that could be recorded.",
            Act::StopRecording => "No call is recorded.",
        }
    }
}

/// Does `what` to the call that is meant.
pub(super) async fn act(client: &Client, what: Act, which: Which, out: &mut Out) -> Result<(), Failure> {
    let view: View = client.get("/api/v1/view").await?;
    let call = choose(&view.calls, &what, which.call.as_deref())?;
    let text = what.done(&call.peer.name);
    let result = client.command(&what.command(call)).await?;
    out.either(&text, &result)
}

/// Says what a shared screen is sent for; kept for the next time.
pub(super) async fn share(client: &Client, content: Shared, out: &mut Out) -> Result<(), Failure> {
    let (content, text) = match content {
        Shared::Auto => {
            (ScreenContent::Auto, "A shared screen is sent as it looks: text sharp, films smooth.")
        }
        Shared::Text => (ScreenContent::Text, "A shared screen is kept sharp."),
        Shared::Motion => (ScreenContent::Motion, "A shared screen is kept smooth."),
    };
    let changes = SettingsChange { screen_content: Some(content), ..SettingsChange::default() };
    let result = client.command(&Command::SetSettings { changes }).await?;
    out.either(text, &result)
}

/// Begins or ends a recording, and says where its file is.
pub(super) async fn record(
    client: &Client,
    what: RecordWhat,
    which: Which,
    out: &mut Out,
) -> Result<(), Failure> {
    let act = if what == RecordWhat::Start { Act::Record } else { Act::StopRecording };
    let before: View = client.get("/api/v1/view").await?;
    let call = choose(&before.calls, &act, which.call.as_deref())?;
    let text = act.done(&call.peer.name);
    client.command(&act.command(call)).await?;
    let after: View = client.get("/api/v1/view").await?;
    // Running now, or until now.
    let now = after.calls.iter().find(|each| each.id == call.id).and_then(|each| each.recording.file.clone());
    let file = now.or_else(|| call.recording.file.clone());
    let line = file.as_ref().map_or_else(|| text.clone(), |file| format!("{text}\n{file}"));
    out.either(&line, &json!({ "call": call.id.to_string(), "file": file }))
}

/// Finds the call: the one that is named, or the only one that fits.
fn choose<'a>(calls: &'a [CallView], what: &Act, named: Option<&str>) -> Result<&'a CallView, UiError> {
    let is_named = |call: &CallView| {
        named.is_none_or(|words| {
            let words = words.to_lowercase();
            (words.len() >= MIN_ID && call.id.to_string().starts_with(&words))
                || call.peer.name.to_lowercase() == words
                || call.peer.peer_id.to_string().to_lowercase() == words
        })
    };
    let fitting: Vec<&CallView> = calls.iter().filter(|call| what.fits(call) && is_named(call)).collect();
    match fitting.as_slice() {
        [call] => Ok(call),
        [] => Err(UiError::new(what.nothing(), "Nothing was changed.", "See `ahoy calls`.")),
        [_, _, ..] => {
            let list: Vec<_> =
                fitting.iter().map(|call| format!("{} ({:?})", call.peer.name, call.id)).collect();
            Err(UiError::new(
                format!("{} calls fit: {}.", fitting.len(), list.join(", ")),
                "Nothing was changed.",
                "Add the name or the beginning of the id.",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::view::HoldView;

    fn call(n: u8, state: CallPhase, hold: bool, muted: bool) -> CallView {
        let path = format!("{}/../webui/golden/view-active.json", env!("CARGO_MANIFEST_DIR"));
        let view: View = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut call = view.calls.into_iter().next().unwrap();
        call.id = ahoy_base::CallId::from_bytes([n; 16]);
        call.peer.name = format!("Person {n}");
        (call.state, call.hold, call.muted) = (state, HoldView { local: hold, remote: false }, muted);
        call
    }

    #[test]
    fn the_only_call_that_fits_is_meant() {
        let calls = [
            call(1, CallPhase::Active, false, true),
            call(2, CallPhase::RingingIn, false, false),
            call(3, CallPhase::Active, true, false),
        ];
        let chosen = |what: &Act, named| choose(&calls, what, named).map(|call| call.id.as_bytes()[0]);
        assert_eq!(chosen(&Act::Answer, None), Ok(2));
        assert_eq!(chosen(&Act::Decline(None), None), Ok(2));
        assert_eq!(chosen(&Act::Hold, None), Ok(1));
        assert_eq!(chosen(&Act::Resume, None), Ok(3));
        assert_eq!(chosen(&Act::Unmute, None), Ok(1));
        assert_eq!(chosen(&Act::HangUp, Some("0303")), Ok(3));
        assert_eq!(chosen(&Act::HangUp, Some("person 1")), Ok(1));
        assert!(chosen(&Act::HangUp, None).unwrap_err().what.contains("3 calls fit"));
        assert!(chosen(&Act::HangUp, Some("030")).is_err(), "too short to be an id");
        assert!(chosen(&Act::Answer, Some("person 1")).unwrap_err().what.contains("No call rings"));
    }
}
