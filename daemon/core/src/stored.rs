//! What the store keeps of calls and messages: plain data, no rules.

use crate::call::Direction;
use crate::door::Alert;
use crate::end::EndReason;
use ahoy_base::{CallId, MessageId, PeerId};
use ahoy_net_core::wire::signal::MediaKind;

/// One row of the table of calls: what survives a loss of power.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredCall {
    /// Primary key.
    pub id: CallId,
    /// The other device.
    pub peer: PeerId,
    /// Who called.
    pub direction: Direction,
    /// Voice or video.
    pub media: MediaKind,
    /// How far it had come.
    pub phase: StoredPhase,
    /// How it is announced (incoming calls).
    pub alert: Alert,
    /// On hold by this person.
    pub hold_local: bool,
    /// On hold by the other.
    pub hold_remote: bool,
    /// When it was offered, milliseconds since 1970 on this machine's wall clock, as all times here.
    pub offered_at_ms: u64,
    /// When an unanswered call stops ringing.
    pub expires_at_ms: u64,
    /// When the two could first talk.
    pub active_since_ms: Option<u64>,
    /// When this device last knew the call to be alive; at most 10 s behind in an answered call.
    pub alive_at_ms: u64,
    /// When it ended.
    pub ended_at_ms: Option<u64>,
    /// Why it ended; `Some` exactly in [`StoredPhase::Ended`]. Text form: [`EndReason::code`], [`EndReason::detail`].
    pub end: Option<EndReason>,
    /// Number of the last message this device sent in the call.
    pub seq_out: u64,
    /// Number of the last message of the peer that was applied.
    pub seq_in: u64,
}

/// How far a stored call had come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum StoredPhase {
    /// Offered, and nothing heard from the other side.
    Calling,
    /// The other side rings.
    RingingOut,
    /// This side rings.
    RingingIn,
    /// Answered, not yet talking.
    Connecting,
    /// Talking.
    Active,
    /// Talking, connection gone for a moment.
    Reconnecting,
    /// This daemon stopped during it.
    Interrupted,
    /// Over.
    Ended,
}

impl StoredPhase {
    const ALL: [StoredPhase; 8] = [
        StoredPhase::Calling,
        StoredPhase::RingingOut,
        StoredPhase::RingingIn,
        StoredPhase::Connecting,
        StoredPhase::Active,
        StoredPhase::Reconnecting,
        StoredPhase::Interrupted,
        StoredPhase::Ended,
    ];

    /// The word in the table, which is also the `state` of the local interface.
    pub const fn code(self) -> &'static str {
        match self {
            StoredPhase::Calling => "calling",
            StoredPhase::RingingOut => "ringing_out",
            StoredPhase::RingingIn => "ringing_in",
            StoredPhase::Connecting => "connecting",
            StoredPhase::Active => "active",
            StoredPhase::Reconnecting => "reconnecting",
            StoredPhase::Interrupted => "interrupted",
            StoredPhase::Ended => "ended",
        }
    }

    /// Reads back [`StoredPhase::code`].
    pub fn from_code(code: &str) -> Option<StoredPhase> {
        StoredPhase::ALL.into_iter().find(|p| p.code() == code)
    }
}

/// One message that waits for its ack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredMessage {
    /// Primary key, the envelope's id.
    pub id: MessageId,
    /// Whom it is for.
    pub to: PeerId,
    /// When it is worth nothing any more, milliseconds since 1970.
    pub expires_at_ms: u64,
    /// The envelope, as `Envelope::encode` writes it.
    pub bytes: Vec<u8>,
}

/// Everything the store hands back when the daemon starts.
#[derive(Clone, Default, Debug)]
pub struct Restored {
    /// Calls that are not ended, and the ended ones of the last day (a late copy of their offer must not ring again).
    pub calls: Vec<StoredCall>,
    /// All messages that wait.
    pub outbox: Vec<StoredMessage>,
    /// Ids of applied messages of the last 7 days, oldest first.
    pub seen: Vec<MessageId>,
}
