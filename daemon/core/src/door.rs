//! The words at the door of this crate: what happens to the calls, and what the shell shall do about it.

use crate::end::EndReason;
use crate::stored::{StoredCall, StoredMessage};
use ahoy_base::{CallId, MessageId, Moment, PeerId, VideoTrack};
use ahoy_net_core::session::{Role, SessionEvent};
use ahoy_net_core::wire::signal::{Envelope, MediaKind};

/// Something happened. One at a time into [`crate::Calls::handle`].
#[derive(Clone, Debug)]
pub enum Input {
    /// This person wants something. Answered by exactly one [`Output::Reply`].
    Command {
        /// Request id of the page or command line. The same id twice is one action, and gets the same reply twice.
        id: [u8; 16],
        /// What they want.
        command: Command,
    },
    /// A message of a device came in over its signalling stream: everything but `Hello` and `Handshake`.
    Signal {
        /// Who sent it, proven by the stream.
        from: PeerId,
        /// How well this person knows the sender.
        known: Standing,
        /// The message.
        envelope: Envelope,
    },
    /// A signalling stream to that device exists. Said again, it means a new stream.
    PeerUp(PeerId),
    /// The signalling stream to that device is gone.
    PeerDown(PeerId),
    /// That device could not be reached at all.
    DialFailed {
        /// Which device.
        peer: PeerId,
        /// For the log.
        why: String,
    },
    /// The session of a call with its peer has news.
    Session {
        /// Which call.
        call: CallId,
        /// The news.
        event: SessionEvent,
    },
    /// The daemon is asked to stop: live calls are hung up, with word to the other side.
    Shutdown,
    /// The moment of the last [`Output::Wake`] has come.
    Wake,
}

/// How well this person knows a device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Standing {
    /// In the address book.
    Contact,
    /// Not in the address book, but seen on the local network.
    Nearby,
    /// Neither.
    Stranger,
}

/// What a person can ask for. All are idempotent: asking for what is already so is done and changes nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Call that device. When there is a live call with it, that one is meant (a ringing one is answered).
    Dial {
        /// A fresh random id.
        call: CallId,
        /// Whom.
        peer: PeerId,
        /// With what.
        media: MediaKind,
    },
    /// Answer a ringing call. Others are put on hold.
    Answer {
        /// Which.
        call: CallId,
        /// With video: this person's camera goes on.
        media: MediaKind,
    },
    /// Show this person's camera or screen in a call, or stop. Before the answer it is a wish for then.
    Picture {
        /// Which.
        call: CallId,
        /// Which picture.
        track: VideoTrack,
        /// On or off.
        on: bool,
    },
    /// Record an answered call, or stop. Answered once the other device has said that it shows it, or has not for too long.
    Record {
        /// Which.
        call: CallId,
        /// On or off.
        on: bool,
    },
    /// Decline a ringing call.
    Decline {
        /// Which.
        call: CallId,
        /// Words for the caller, cut to 500 characters.
        message: Option<String>,
    },
    /// End a call, whatever its state.
    HangUp {
        /// Which.
        call: CallId,
    },
    /// Put a call on hold, or take it back (others are then put on hold).
    Hold {
        /// Which.
        call: CallId,
        /// On or off.
        on: bool,
    },
    /// Take the seat again after this daemon stopped without warning.
    Rejoin {
        /// Which.
        call: CallId,
    },
    /// Stop showing an ended call. An interrupted one is hung up first.
    Dismiss {
        /// Which.
        call: CallId,
    },
}

/// Something to do. Poll until [`Output::Wake`], which is always last.
#[derive(Clone, Debug)]
pub enum Output {
    /// Store this durably, in one transaction, BEFORE carrying out anything that follows.
    Commit(Transaction),
    /// A message waits for this device and there is no signalling stream to it: open one, and keep trying.
    Connect {
        /// Which device.
        peer: PeerId,
    },
    /// Send over the signalling stream of that device. If there is none, drop it: it comes again if it matters.
    Send {
        /// Whom to.
        to: PeerId,
        /// What.
        envelope: Envelope,
    },
    /// Start or stop the session of a call with its peer.
    Session {
        /// Which call.
        call: CallId,
        /// With whom.
        peer: PeerId,
        /// What to do.
        command: SessionCommand,
    },
    /// Whether sound flows between this person and that peer: capture, send and play while `on`.
    Media {
        /// Which call.
        call: CallId,
        /// With whom.
        peer: PeerId,
        /// Flows or not.
        on: bool,
    },
    /// Whether this person's picture is captured and sent to that peer. Only while sound flows.
    Picture {
        /// Which call.
        call: CallId,
        /// With whom.
        peer: PeerId,
        /// Which picture.
        track: VideoTrack,
        /// On or off.
        on: bool,
    },
    /// Whether this device writes the call into a file. Everybody in it was told before.
    Record {
        /// Which call.
        call: CallId,
        /// With whom.
        peer: PeerId,
        /// On or off.
        on: bool,
    },
    /// What to ring from here on.
    Ring(Ring),
    /// For the trace, notifications and the command line.
    Event {
        /// Which call.
        call: CallId,
        /// What happened.
        event: CallEvent,
    },
    /// The answer to a command.
    Reply {
        /// The request's id.
        id: [u8; 16],
        /// The call it was about, or why not.
        result: Result<CallId, CommandError>,
    },
    /// Nothing more to do until `at`, because of `why`. Always last.
    Wake {
        /// When; [`Moment::NEVER`] if nothing is due.
        at: Moment,
        /// Why, so that a busy loop explains itself.
        why: WakeReason,
    },
}

/// Why a wake-up is due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WakeReason {
    /// Nothing is due.
    Nothing,
    /// A call has been in its state for as long as it may.
    StateDue,
    /// A message without its ack is sent again.
    Resend,
    /// The store learns that an answered call is still alive.
    Heartbeat,
    /// The notice of a recording was not confirmed in time.
    NoticeDue,
}

/// What must be on disk before the outputs after it are carried out. Plain data, one transaction.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Transaction {
    /// Rows of calls to write or replace, by id.
    pub calls: Vec<StoredCall>,
    /// Messages to keep until removed.
    pub outbox_add: Vec<StoredMessage>,
    /// Messages that are done.
    pub outbox_remove: Vec<MessageId>,
    /// Messages of others that have been applied; kept 7 days by the store.
    pub seen_add: Vec<MessageId>,
}

impl Transaction {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
            && self.outbox_add.is_empty()
            && self.outbox_remove.is_empty()
            && self.seen_add.is_empty()
    }
}

/// What the session of a call shall do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionCommand {
    /// Begin a fresh session with fresh keys; one that runs is thrown away.
    Start(Role),
    /// Forget keys and links.
    Stop,
}

/// What the machine rings.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Ring {
    /// Silence.
    #[default]
    None,
    /// Short tone: a call ended without this person doing it. Plays once and falls silent by itself.
    Ended,
    /// Busy tone. Plays for 3 s and falls silent by itself.
    Busy,
    /// The other side rings.
    Outgoing,
    /// Another call waits while this person talks: soft, must not cover the voice.
    Waiting,
    /// Somebody calls.
    Incoming,
}

/// What happened to a call, in the order it happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallEvent {
    /// This person called; the offer is stored and on its way.
    Dialed,
    /// The other side's machine rings.
    Ringing,
    /// Somebody calls; `alert` says how loudly that may be shown.
    Incoming(Alert),
    /// The call was answered, on either side.
    Accepted,
    /// The two talk.
    Active,
    /// Nothing was heard of the other side for 3 s; the seat is held for 60 s.
    Reconnecting,
    /// The two talk again.
    Resumed,
    /// A side put the call on hold or took it back.
    Held {
        /// By this person.
        local: bool,
        /// By the other.
        remote: bool,
    },
    /// A picture went on or off.
    Picture {
        /// This person's, or the other's.
        own: bool,
        /// Which.
        track: VideoTrack,
        /// On or off.
        on: bool,
    },
    /// A side records the call, or has stopped.
    Recording {
        /// This device, or the other.
        own: bool,
        /// On or off.
        on: bool,
    },
    /// This daemon stopped without warning during the call; it can be rejoined for a while.
    Interrupted,
    /// An incoming call ended unanswered. Comes right before [`CallEvent::Ended`].
    Missed,
    /// Over.
    Ended(EndReason),
}

/// How an incoming call is announced.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Alert {
    /// Ring.
    Ring,
    /// Ring softly: this person is talking with somebody.
    Waiting,
    /// Show it in the list of requests; no sound, and the caller is not told.
    Request,
}

/// Why a command was not done. [`crate::words::refused`] has the words for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no call of that id.
    #[error("there is no such call")]
    UnknownCall,
    /// The call is over.
    #[error("that call has ended")]
    Ended,
    /// The call is in a state in which this makes no sense.
    #[error("that can't be done with the call as it is")]
    NotPossible,
    /// The other device did not say that it shows the recording.
    #[error("the other side did not confirm that it shows the recording")]
    NotConfirmed,
    /// The peer is this device.
    #[error("that is this device")]
    Yourself,
    /// As many calls are open as one person can keep track of.
    #[error("too many calls are open")]
    TooManyCalls,
}
