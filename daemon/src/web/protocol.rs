//! What the page and the daemon say to each other: the messages of the socket, the commands, errors for people.
//!
//! Samples read by both sides' tests: `webui/golden/*.json`. Core types are not serialised; this file owns the words.

use std::collections::BTreeMap;

use ahoy_base::{CallId, PeerId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::media_protocol::TrackName;
use crate::view::{AutoAnswer, Media, ScreenContent, Theme, View};

/// Longest name of a person, in characters.
pub(crate) const MAX_NAME: usize = 80;

/// What a person can ask for, by page, command line or script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Command {
    /// Sets this person's own name.
    SetName {
        /// At most 80 characters.
        name: String,
    },
    /// Calls somebody. Result: `{"call": id}`.
    Dial {
        /// A name, PeerId, card or multiaddress with `/p2p/…`.
        who: String,
        /// With what.
        media: Media,
    },
    /// Answers a ringing call.
    Answer {
        /// Which.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        call: CallId,
        /// With what; absent: with what was offered. Never more than that: a camera can be switched on afterwards.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        media: Option<Media>,
    },
    /// Declines a ringing call.
    Decline {
        /// Which.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        call: CallId,
        /// Words for the caller, at most 500 characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// Ends a call in whatever state.
    HangUp {
        /// Which.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        call: CallId,
    },
    /// Puts a call on hold or takes it back.
    Hold {
        /// Which.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        call: CallId,
        /// On hold or not.
        on: bool,
    },
    /// Turns the microphone off or on in a call.
    Mute {
        /// Which.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        call: CallId,
        /// Off (`true`) or on.
        on: bool,
    },
    /// Shows this person's camera or screen in a call, or stops. Before the call is answered it is a wish for then.
    Picture {
        /// Which call.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        call: CallId,
        /// Which picture.
        track: TrackName,
        /// On or off.
        on: bool,
        /// From where, an id of the list of devices or `browser`; absent: from what was chosen last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
    },
    /// Records an answered call into a file, or stops. The other side is told first; refused when its Ahoy does not
    /// confirm that it shows it.
    Record {
        /// Which call.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        call: CallId,
        /// On or off.
        on: bool,
    },
    /// Joins an interrupted call again.
    Rejoin {
        /// Which.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        call: CallId,
    },
    /// Stops showing an ended call.
    Dismiss {
        /// Which.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        call: CallId,
    },
    /// Adds the person of a card. Result: `{"peer_id", "name"}`.
    AddContact {
        /// `ahoy:c/…`
        card: String,
    },
    /// Adds a device seen on the local network.
    AddNearby {
        /// Which.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        peer_id: PeerId,
    },
    /// Takes somebody out of the address book.
    RemoveContact {
        /// Whom.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        peer_id: PeerId,
    },
    /// Calls a contact something else.
    RenameContact {
        /// Whom.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        peer_id: PeerId,
        /// At most 80 characters.
        name: String,
    },
    /// Says whether safety numbers were compared and are the same.
    VerifyContact {
        /// Whose.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        peer_id: PeerId,
        /// They are the same.
        verified: bool,
    },
    /// Hides this computer's address from a contact, or no longer: calls with them go through relays alone, also one that runs.
    HideAddress {
        /// From whom.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        peer_id: PeerId,
        /// Hidden.
        on: bool,
    },
    /// Chooses a device, also during a call.
    ChooseDevice {
        /// What for.
        role: DeviceRole,
        /// An id of the list of devices, or `default`.
        id: String,
    },
    /// Plays a short tone.
    TestSound {},
    /// Measures the microphone without a call.
    MonitorMicrophone {
        /// On or off.
        on: bool,
    },
    /// Changes the settings that are given.
    SetSettings {
        /// The changes.
        #[serde(flatten)]
        changes: SettingsChange,
    },
    /// Ends a browser's session.
    RevokeSession {
        /// Which.
        id: String,
    },
    /// Empties the log of calls.
    ClearRecent {},
    /// Every missed call in the log has been seen.
    MarkRecentSeen {},
}

/// What a device is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeviceRole {
    /// It records.
    Microphone,
    /// It plays.
    Speaker,
    /// It shows a face.
    Camera,
    /// A screen, window or area.
    Screen,
}

/// Settings to change; absent ones stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct SettingsChange {
    /// Whether unknown devices on the local network may ring.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) strangers_nearby_may_ring: Option<bool>,
    /// Whether this device shows itself on the local network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) visible_on_lan: Option<bool>,
    /// Loudness of the ring, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100)]
    pub(crate) ring_volume: Option<u8>,
    /// Whether single letters are shortcuts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) single_key_shortcuts: Option<bool>,
    /// Light or dark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) theme: Option<Theme>,
    /// Who is answered without a click.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auto_answer: Option<AutoAnswer>,
    /// Whether what the speaker plays is taken out of the microphone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) echo_cancellation: Option<bool>,
    /// Whether steady noise is lowered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) noise_suppression: Option<bool>,
    /// Whether loudness is evened out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auto_gain: Option<bool>,
    /// Whether the sound is sent as it is, for music.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) music: Option<bool>,
    /// Whether pictures are kept small, here and on the way here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) low_data: Option<bool>,
    /// Whether this person sees themselves as in a mirror.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mirror_self: Option<bool>,
    /// What a shared screen is sent for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) screen_content: Option<ScreenContent>,
}

/// An error for a person: never a code alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[serde(deny_unknown_fields)]
#[error("{what} {works} {mend}")]
pub(crate) struct UiError {
    /// What happened.
    pub(crate) what: String,
    /// What still works.
    pub(crate) works: String,
    /// What to do.
    #[serde(rename = "do")]
    pub(crate) mend: String,
}

impl UiError {
    /// An error from its three sentences: what happened, what still works, what to do.
    pub(crate) fn new(what: impl Into<String>, works: impl Into<String>, mend: impl Into<String>) -> UiError {
        UiError { what: what.into(), works: works.into(), mend: mend.into() }
    }
}

/// A request's id: 16 random bytes, 32 hexadecimal digits. The same id twice is one action.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RequestId(pub(crate) [u8; 16]);

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        ahoy_base::MessageId::from_bytes(self.0).fmt(f)
    }
}

impl std::str::FromStr for RequestId {
    type Err = ahoy_base::IdError;
    fn from_str(s: &str) -> Result<RequestId, Self::Err> {
        s.parse::<ahoy_base::MessageId>().map(|id| RequestId(*id.as_bytes()))
    }
}

/// What a page says on the socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum FromPage {
    /// The first message, within 2 s.
    Auth {
        /// The session's token.
        token: String,
    },
    /// Do this.
    Command {
        /// 32 hexadecimal digits, chosen by the page.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        id: RequestId,
        /// What.
        command: Command,
    },
    /// Send levels, or stop.
    Levels {
        /// On or off.
        on: bool,
    },
}

/// What the daemon says on the socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ToPage {
    /// Everything, after each change, at most 20 times a second.
    View {
        /// All that is shown.
        #[schema(value_type = View)]
        view: Box<View>,
    },
    /// The answer to a command.
    Reply(Reply),
    /// How loud it is, 10 times a second while wanted.
    Levels(Levels),
    /// The last message.
    Bye {
        /// Why.
        reason: ByeReason,
    },
}

/// The answer to a command: `{"id", "ok": true, "result"}` or `{"id", "ok": false, "error"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Reply {
    /// The request's id.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub(crate) id: RequestId,
    /// Whether it was done.
    pub(crate) ok: bool,
    /// What came of it, if it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) result: Option<Value>,
    /// Why not, if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<UiError>,
}

impl Reply {
    /// The answer to request `id`.
    pub(crate) fn new(id: RequestId, result: Result<Value, UiError>) -> Reply {
        match result {
            Ok(result) => Reply { id, ok: true, result: Some(result), error: None },
            Err(error) => Reply { id, ok: false, result: None, error: Some(error) },
        }
    }
}

/// How loud it is, in decibels relative to full scale.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Levels {
    /// What the microphone hears.
    pub(crate) microphone: f32,
    /// What the speaker plays.
    pub(crate) speaker: f32,
    /// What each peer sends, by PeerId.
    pub(crate) peers: BTreeMap<String, f32>,
    /// This person talks while the microphone is off.
    pub(crate) speaking_while_muted: bool,
    /// For how long the microphone has given nothing at all.
    pub(crate) microphone_silent_ms: u32,
}

/// Why the daemon closes a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ByeReason {
    /// Somebody ended this browser's session.
    Revoked,
    /// The daemon stops.
    Stopping,
    /// The token is none.
    Unauthorised,
}

/// Serde for what is an id to us and a text in JSON.
pub(crate) mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes what `Display` prints.
    ///
    /// # Errors
    /// When the serializer fails.
    pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(value)
    }

    /// Reads what `Display` printed.
    ///
    /// # Errors
    /// When the text is no such id.
    pub(crate) fn deserialize<'de, T, D>(d: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        // An owned text: a borrowed one can't come through a tagged enumeration.
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}
