//! Why a call ended, as one closed list, and what the log of calls makes of it.

use crate::call::Direction;
use ahoy_base::CallId;

/// Why a call ended. Terminal: the first reason stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EndReason {
    /// This person hung up an answered call.
    HangupLocal,
    /// The other side hung up an answered call.
    HangupRemote,
    /// The called person declined, with the words they sent along. Whose words they are says the call's direction.
    Declined(Option<String>),
    /// The called device has no line left.
    Busy,
    /// The caller gave up before an answer.
    Cancelled,
    /// Nobody answered in time.
    Timeout,
    /// Answered or declined on another device of the called person.
    Elsewhere,
    /// It could not be set up or kept, for this reason.
    Failed(Failure),
    /// Another call of the same two devices took its place.
    Replaced {
        /// The call that goes on.
        by: CallId,
    },
    /// This daemon stopped without warning and the call was over when it came back.
    Crashed,
    /// The connection was gone for longer than the seat is held (60 s).
    Lost,
    /// The other device could not be reached, or was switched off.
    Offline,
}

/// What failed, as far as the person can do something about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// No sound or picture could pass between the two devices within 20 s of the answer.
    NoPath,
    /// The other device did not prove that it is who it says it is. Never ignored.
    Identity,
    /// The other side says that it failed there.
    Remote,
}

impl EndReason {
    /// The word of the local interface and the trace, e.g. `hangup_local`.
    pub const fn code(&self) -> &'static str {
        match self {
            EndReason::HangupLocal => "hangup_local",
            EndReason::HangupRemote => "hangup_remote",
            EndReason::Declined(_) => "declined",
            EndReason::Busy => "busy",
            EndReason::Cancelled => "cancelled",
            EndReason::Timeout => "timeout",
            EndReason::Elsewhere => "elsewhere",
            EndReason::Failed(_) => "failed",
            EndReason::Replaced { .. } => "replaced",
            EndReason::Crashed => "crashed",
            EndReason::Lost => "lost",
            EndReason::Offline => "offline",
        }
    }

    /// What the word leaves out, for the store: the message of a decline, the failure, the id of the replacing call.
    pub fn detail(&self) -> Option<String> {
        match self {
            EndReason::Declined(message) => message.clone(),
            EndReason::Failed(failure) => Some(failure.code().to_owned()),
            EndReason::Replaced { by } => Some(by.to_string()),
            EndReason::HangupLocal
            | EndReason::HangupRemote
            | EndReason::Busy
            | EndReason::Cancelled
            | EndReason::Timeout
            | EndReason::Elsewhere
            | EndReason::Crashed
            | EndReason::Lost
            | EndReason::Offline => None,
        }
    }

    /// Reads back what [`EndReason::code`] and [`EndReason::detail`] wrote; `None` for anything else.
    pub fn from_parts(code: &str, detail: Option<&str>) -> Option<EndReason> {
        Some(match code {
            "hangup_local" => EndReason::HangupLocal,
            "hangup_remote" => EndReason::HangupRemote,
            "declined" => EndReason::Declined(detail.map(str::to_owned)),
            "busy" => EndReason::Busy,
            "cancelled" => EndReason::Cancelled,
            "timeout" => EndReason::Timeout,
            "elsewhere" => EndReason::Elsewhere,
            "failed" => EndReason::Failed(Failure::from_code(detail?)?),
            "replaced" => EndReason::Replaced { by: detail?.parse().ok()? },
            "crashed" => EndReason::Crashed,
            "lost" => EndReason::Lost,
            "offline" => EndReason::Offline,
            _ => return None,
        })
    }
}

impl Failure {
    /// The word kept in the store.
    pub const fn code(self) -> &'static str {
        match self {
            Failure::NoPath => "no_path",
            Failure::Identity => "identity",
            Failure::Remote => "remote",
        }
    }

    /// Reads back [`Failure::code`].
    pub fn from_code(code: &str) -> Option<Failure> {
        [Failure::NoPath, Failure::Identity, Failure::Remote].into_iter().find(|f| f.code() == code)
    }
}

/// How an ended call stands in the list of recent calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The two talked.
    Answered,
    /// Somebody called and this person did not answer.
    Missed,
    /// The called person declined.
    Declined,
    /// The called device had no line left.
    Busy,
    /// This person gave up before an answer.
    Cancelled,
    /// The other person did not answer, or could not be reached.
    NoAnswer,
    /// It could not be set up.
    Failed,
    /// Answered, and then the connection went away for good.
    Lost,
}

impl Outcome {
    /// The outcome of a call that ended for `reason`; `answered`: whether sound ever flowed.
    pub const fn of(direction: Direction, answered: bool, reason: &EndReason) -> Outcome {
        match (reason, direction) {
            (EndReason::Lost | EndReason::Crashed | EndReason::Failed(_), _) if answered => Outcome::Lost,
            _ if answered => Outcome::Answered,
            (EndReason::Declined(_), _) => Outcome::Declined,
            (EndReason::Elsewhere, _) => Outcome::Answered,
            (EndReason::Failed(_) | EndReason::Lost, _) => Outcome::Failed,
            (EndReason::Busy, Direction::Outgoing) => Outcome::Busy,
            (EndReason::Cancelled | EndReason::HangupLocal, Direction::Outgoing) => Outcome::Cancelled,
            (EndReason::Crashed, Direction::Outgoing) => Outcome::Failed,
            (
                EndReason::Timeout
                | EndReason::Offline
                | EndReason::HangupRemote
                | EndReason::Replaced { .. },
                Direction::Outgoing,
            ) => Outcome::NoAnswer,
            (EndReason::HangupLocal, Direction::Incoming) => Outcome::Cancelled,
            (
                EndReason::Busy
                | EndReason::Cancelled
                | EndReason::Crashed
                | EndReason::Timeout
                | EndReason::Offline
                | EndReason::HangupRemote
                | EndReason::Replaced { .. },
                Direction::Incoming,
            ) => Outcome::Missed,
        }
    }

    /// The word of the local interface, e.g. `no_answer`.
    pub const fn code(self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::Missed => "missed",
            Outcome::Declined => "declined",
            Outcome::Busy => "busy",
            Outcome::Cancelled => "cancelled",
            Outcome::NoAnswer => "no_answer",
            Outcome::Failed => "failed",
            Outcome::Lost => "lost",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_store() {
        let by = CallId::from_bytes([7; 16]);
        for reason in [
            EndReason::HangupLocal,
            EndReason::HangupRemote,
            EndReason::Declined(None),
            EndReason::Declined(Some("in a meeting".to_owned())),
            EndReason::Busy,
            EndReason::Cancelled,
            EndReason::Timeout,
            EndReason::Elsewhere,
            EndReason::Failed(Failure::NoPath),
            EndReason::Failed(Failure::Identity),
            EndReason::Failed(Failure::Remote),
            EndReason::Replaced { by },
            EndReason::Crashed,
            EndReason::Lost,
            EndReason::Offline,
        ] {
            let detail = reason.detail();
            assert_eq!(EndReason::from_parts(reason.code(), detail.as_deref()), Some(reason));
        }
        assert_eq!(EndReason::from_parts("failed", None), None);
        assert_eq!(EndReason::from_parts("removed", None), None);
    }

    #[test]
    fn unanswered_incoming_is_missed_and_answered_is_answered() {
        for reason in [EndReason::Cancelled, EndReason::Timeout, EndReason::Crashed, EndReason::Busy] {
            assert_eq!(Outcome::of(Direction::Incoming, false, &reason), Outcome::Missed, "{reason:?}");
        }
        assert_eq!(Outcome::of(Direction::Incoming, true, &EndReason::HangupRemote), Outcome::Answered);
        assert_eq!(Outcome::of(Direction::Outgoing, true, &EndReason::Lost), Outcome::Lost);
        assert_eq!(Outcome::of(Direction::Outgoing, false, &EndReason::Timeout), Outcome::NoAnswer);
    }
}
