//! Everything this crate has to say to a person, in one place: what happened, what still works, what to do.

use crate::call::Direction;
use crate::door::CommandError;
use crate::end::{EndReason, Failure, Outcome};
use ahoy_net_core::wire::signal::MediaKind;

/// Three plain sentences; `works` and `todo` may be empty when there is nothing to add.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Words {
    /// What happened, short enough for a heading.
    pub what: String,
    /// What still works.
    pub works: String,
    /// What the person can do.
    pub todo: String,
}

impl Words {
    fn new(what: impl Into<String>, works: impl Into<String>, todo: impl Into<String>) -> Words {
        Words { what: what.into(), works: works.into(), todo: todo.into() }
    }

    /// The three as one line, for the command line and screen readers.
    pub fn line(&self) -> String {
        let mut line = self.what.clone();
        for part in [&self.works, &self.todo] {
            if !part.is_empty() {
                if !line.ends_with(['.', '!', '?']) {
                    line.push('.');
                }
                line.push(' ');
                line.push_str(part);
            }
        }
        line
    }
}

/// Why a call with `name` ended, for the person at this device.
pub fn ended(reason: &EndReason, direction: Direction, name: &str) -> Words {
    match (reason, direction) {
        (EndReason::HangupLocal, _) => Words::new("You hung up", "", ""),
        (EndReason::HangupRemote, _) => Words::new(format!("{name} hung up"), "", ""),
        (EndReason::Declined(None), Direction::Outgoing) => {
            Words::new(format!("{name} declined"), "", "You can call again later.")
        }
        (EndReason::Declined(Some(message)), Direction::Outgoing) => Words::new(
            format!("{name} declined"),
            format!("{name} says: “{message}”"),
            "You can call again later.",
        ),
        (EndReason::Declined(_), Direction::Incoming) => Words::new("You declined", "", ""),
        (EndReason::Busy, Direction::Outgoing) => Words::new(
            format!("{name} is busy"),
            format!("{name} sees that you called."),
            "Try again in a few minutes.",
        ),
        (EndReason::Busy, Direction::Incoming) => Words::new(
            format!("Missed call from {name}"),
            "Too many calls were open to ring for one more.",
            format!("Call {name} back."),
        ),
        (EndReason::Cancelled, Direction::Outgoing) => Words::new("Cancelled", "", ""),
        (EndReason::Cancelled, Direction::Incoming) => {
            Words::new(format!("Missed call from {name}"), "", format!("Call {name} back."))
        }
        (EndReason::Timeout, Direction::Outgoing) => {
            Words::new("No answer", format!("{name} sees that you called."), "You can call again later.")
        }
        (EndReason::Timeout, Direction::Incoming) => {
            Words::new(format!("Missed call from {name}"), "", format!("Call {name} back."))
        }
        (EndReason::Elsewhere, Direction::Incoming) => {
            Words::new("Answered on another device", "The call goes on there.", "")
        }
        (EndReason::Elsewhere, Direction::Outgoing) => Words::new("Taken over by another device", "", ""),
        (EndReason::Failed(Failure::NoPath), _) => Words::new(
            format!("No connection to {name}"),
            format!("{name}'s computer answers, but no sound could pass between the two of you."),
            "Check that no firewall blocks UDP on either side, then call again.",
        ),
        (EndReason::Failed(Failure::Identity), _) => Words::new(
            format!("That was not {name}'s device"),
            "Nothing was sent to it. Calls with everybody else work as before.",
            format!("Ask {name} in another way whether they have a new device, and exchange cards again."),
        ),
        (EndReason::Failed(Failure::Remote), _) => Words::new(
            format!("{name}'s computer had to end the call"),
            "Everything is fine on your side.",
            "Call again.",
        ),
        (EndReason::Replaced { .. }, _) => {
            Words::new(format!("You and {name} called each other"), "The other call goes on.", "")
        }
        (EndReason::Crashed, Direction::Outgoing) => Words::new(
            "The call was cut off",
            "Ahoy had stopped on this computer and is running again.",
            format!("Call {name} again."),
        ),
        (EndReason::Crashed, Direction::Incoming) => Words::new(
            format!("The call from {name} was cut off"),
            "Ahoy had stopped on this computer and is running again.",
            format!("Call {name} back."),
        ),
        (EndReason::Lost, _) => Words::new(
            format!("The connection to {name} was lost"),
            "The call was kept open for three minutes; nothing came back.",
            "Check your network, then call again.",
        ),
        (EndReason::Offline, Direction::Outgoing) => Words::new(
            format!("{name}'s computer can't be reached"),
            format!("{name} will see that you called as soon as it is back."),
            "Try again later.",
        ),
        (EndReason::Offline, Direction::Incoming) => Words::new(
            format!("Missed call from {name}"),
            format!("{name}'s computer has been switched off since."),
            format!("Call {name} back later."),
        ),
    }
}

/// Whether calling again makes sense after this end, so that a page offers it.
pub const fn can_retry(reason: &EndReason, direction: Direction) -> bool {
    match (reason, direction) {
        (
            EndReason::HangupLocal
            | EndReason::Elsewhere
            | EndReason::Replaced { .. }
            | EndReason::Failed(Failure::Identity),
            _,
        )
        | (EndReason::Declined(_), Direction::Incoming) => false,
        (
            EndReason::HangupRemote
            | EndReason::Declined(_)
            | EndReason::Busy
            | EndReason::Cancelled
            | EndReason::Timeout
            | EndReason::Failed(Failure::NoPath | Failure::Remote)
            | EndReason::Crashed
            | EndReason::Lost
            | EndReason::Offline,
            _,
        ) => true,
    }
}

/// Why a command was refused.
pub fn refused(error: CommandError) -> Words {
    match error {
        CommandError::UnknownCall => {
            Words::new("There is no such call", "Other calls are not touched.", "Look at the list of calls.")
        }
        CommandError::Ended => {
            Words::new("That call has ended", "Other calls are not touched.", "Call again.")
        }
        CommandError::NotPossible => {
            Words::new("That can't be done with the call as it is", "The call is not touched.", "")
        }
        CommandError::NotConfirmed => Words::new(
            "The other side did not confirm that it shows the recording",
            "Nothing is recorded; the call goes on.",
            "Try again. If it stays so, their Ahoy is too old for recordings: ask them to update it.",
        ),
        CommandError::Yourself => Words::new("That is this device", "", "Call Echo to hear yourself."),
        CommandError::TooManyCalls => {
            Words::new("Too many calls are open", "All of them go on.", "Hang up one of them first.")
        }
    }
}

/// The line of the list of recent calls, e.g. "Missed voice call".
pub fn recent(outcome: Outcome, direction: Direction, media: MediaKind) -> String {
    let kind = match media {
        MediaKind::Voice => "voice",
        MediaKind::Video => "video",
    };
    match (outcome, direction) {
        (Outcome::Answered, Direction::Outgoing) => format!("Outgoing {kind} call"),
        (Outcome::Answered, Direction::Incoming) => format!("Incoming {kind} call"),
        (Outcome::Missed, _) => format!("Missed {kind} call"),
        (Outcome::Declined, Direction::Outgoing) => format!("Declined {kind} call"),
        (Outcome::Declined, Direction::Incoming) => format!("You declined a {kind} call"),
        (Outcome::Busy, _) => format!("Busy, {kind} call"),
        (Outcome::Cancelled, _) => format!("Cancelled {kind} call"),
        (Outcome::NoAnswer, _) => format!("No answer, {kind} call"),
        (Outcome::Failed, _) => format!("Failed {kind} call"),
        (Outcome::Lost, _) => format!("Lost {kind} call"),
    }
}
