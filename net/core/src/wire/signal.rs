//! What travels on the signalling stream: one protobuf `Envelope` a message (docs/PROTOCOL.md, "Signalling").

use ahoy_base::{CallId, MessageId};
use prost::Message;

/// Longest name in a `Hello`, in characters; longer ones are cut.
pub const MAX_NAME: usize = 80;
/// Longest words of a `Decline`, in characters; longer ones are cut.
pub const MAX_WORDS: usize = 500;
/// Most addresses in a `Hello`; more are left out.
pub const MAX_ADDRESSES: usize = 12;
/// Longest of them in bytes: a circuit's has two keys in it.
pub const MAX_ADDRESS: usize = 255;
/// Longest Noise message of a `Handshake`: the second one is 1.4 kB.
pub const MAX_HANDSHAKE: usize = 8_192;

/// One message with what every message has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Random; a message seen twice is applied once.
    pub id: MessageId,
    /// The call it belongs to, if any.
    pub call: Option<CallId>,
    /// Number of the message among those of its sender in its call, from 1; 0 where order does not matter.
    pub seq: u64,
    /// When it was sent, milliseconds since 1970 on the sender's wall clock. For people, never for an order.
    pub sent_at_ms: u64,
    /// What it says.
    pub body: Signal,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The first message on each stream, both ways.
    Hello {
        /// What this person calls themselves; may be empty.
        name: String,
        /// Version of this protocol.
        version: u32,
        /// Program and version.
        agent: String,
        /// From the receiver's contact card: proof that they gave it to this person.
        invite: Option<[u8; 16]>,
        /// Where the sender is reached, in libp2p's binary form, best first. To contacts alone.
        addresses: Vec<Vec<u8>>,
    },
    /// A message that needs an ack was stored.
    Ack {
        /// Which.
        of: MessageId,
    },
    /// Somebody calls, or takes up a call again.
    Offer {
        /// With what.
        media: MediaKind,
        /// How long it rings from its arrival on.
        expires_in_ms: u32,
        /// The call was answered before; this takes it up with fresh keys.
        resume: bool,
    },
    /// The device rings.
    Ringing,
    /// No line is left.
    Busy,
    /// The call is answered; counts once confirmed.
    Accept,
    /// The answer counts.
    AcceptOk,
    /// The caller gave up.
    Cancel,
    /// The call is declined.
    Decline {
        /// Words for the caller.
        message: Option<String>,
    },
    /// An answered call is over.
    Hangup {
        /// Why.
        reason: HangupReason,
    },
    /// Another device of the called person took the call.
    Elsewhere,
    /// The sender holds the call, or takes it back.
    Hold {
        /// Which of both.
        on: bool,
    },
    /// The sender records the call, or stops. It does not begin before this is acked.
    Recording {
        /// Which of both.
        on: bool,
    },
    /// Somebody called while this device could not be reached.
    MissedCall {
        /// With what.
        media: MediaKind,
        /// When, as `sent_at_ms`.
        at_ms: u64,
    },
    /// A message of the call's session: Noise handshake, or sealed control after it.
    Handshake {
        /// As `session` makes it.
        bytes: Vec<u8>,
    },
}

/// What a call carries at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaKind {
    /// Sound.
    Voice,
    /// Sound and picture.
    Video,
}

/// Why an answered call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HangupReason {
    /// The person hung up.
    User,
    /// The daemon stops.
    Shutdown,
    /// It could not be kept.
    Failed,
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// Not protobuf.
    #[error("not a message")]
    Malformed,
    /// A field that must be there is missing or of the wrong size.
    #[error("the message lacks {0}")]
    Missing(&'static str),
    /// A later version's message.
    #[error("a message of an unknown kind")]
    Unknown,
}

/// Whether the sender keeps the message until it is acked.
pub const fn needs_ack(signal: &Signal) -> bool {
    match signal {
        Signal::Offer { .. }
        | Signal::Busy
        | Signal::Accept
        | Signal::AcceptOk
        | Signal::Cancel
        | Signal::Decline { .. }
        | Signal::Hangup { .. }
        | Signal::Elsewhere
        | Signal::Hold { .. }
        | Signal::Recording { .. }
        | Signal::MissedCall { .. } => true,
        Signal::Hello { .. } | Signal::Ack { .. } | Signal::Ringing | Signal::Handshake { .. } => false,
    }
}

impl Envelope {
    /// The message in protobuf.
    pub fn encode(&self) -> Vec<u8> {
        let pb = pb::Envelope {
            id: self.id.as_bytes().to_vec(),
            call: self.call.map(|c| c.as_bytes().to_vec()).unwrap_or_default(),
            seq: self.seq,
            sent_at_ms: self.sent_at_ms,
            body: Some(pb::Body::from(&self.body)),
        };
        pb.encode_to_vec()
    }

    /// Reads a message. Unknown fields are skipped; texts that are too long are cut.
    ///
    /// # Errors
    /// When it is none, or of a kind that this version does not know.
    pub fn decode(bytes: &[u8]) -> Result<Envelope, SignalError> {
        let pb = pb::Envelope::decode(bytes).map_err(|_| SignalError::Malformed)?;
        let call = match pb.call.len() {
            0 => None,
            _ => Some(CallId::from_slice(&pb.call).ok_or(SignalError::Missing("a call id"))?),
        };
        Ok(Envelope {
            id: MessageId::from_slice(&pb.id).ok_or(SignalError::Missing("an id"))?,
            call,
            seq: pb.seq,
            sent_at_ms: pb.sent_at_ms,
            body: pb.body.ok_or(SignalError::Unknown)?.try_into()?,
        })
    }
}

impl From<&Signal> for pb::Body {
    fn from(signal: &Signal) -> pb::Body {
        match signal {
            Signal::Hello { name, version, agent, invite, addresses } => pb::Body::Hello(pb::Hello {
                name: name.clone(),
                version: *version,
                agent: agent.clone(),
                invite: invite.map(Vec::from).unwrap_or_default(),
                addresses: addresses.iter().take(MAX_ADDRESSES).cloned().collect(),
            }),
            Signal::Ack { of } => pb::Body::Ack(pb::Ack { of: of.as_bytes().to_vec() }),
            Signal::Offer { media, expires_in_ms, resume } => pb::Body::Offer(pb::Offer {
                media: media_number(*media),
                expires_in_ms: *expires_in_ms,
                resume: *resume,
            }),
            Signal::Ringing => pb::Body::Ringing(pb::Empty {}),
            Signal::Busy => pb::Body::Busy(pb::Empty {}),
            Signal::Accept => pb::Body::Accept(pb::Empty {}),
            Signal::AcceptOk => pb::Body::AcceptOk(pb::Empty {}),
            Signal::Cancel => pb::Body::Cancel(pb::Empty {}),
            Signal::Decline { message } => pb::Body::Decline(pb::Decline { message: message.clone() }),
            Signal::Hangup { reason } => pb::Body::Hangup(pb::Hangup {
                reason: match reason {
                    HangupReason::User => 0,
                    HangupReason::Shutdown => 1,
                    HangupReason::Failed => 2,
                },
            }),
            Signal::Elsewhere => pb::Body::Elsewhere(pb::Empty {}),
            Signal::Hold { on } => pb::Body::Hold(pb::OnOff { on: *on }),
            Signal::Recording { on } => pb::Body::Recording(pb::OnOff { on: *on }),
            Signal::MissedCall { media, at_ms } => {
                pb::Body::MissedCall(pb::MissedCall { media: media_number(*media), at_ms: *at_ms })
            }
            Signal::Handshake { bytes } => pb::Body::Handshake(pb::Handshake { bytes: bytes.clone() }),
        }
    }
}

impl TryFrom<pb::Body> for Signal {
    type Error = SignalError;

    fn try_from(body: pb::Body) -> Result<Signal, SignalError> {
        Ok(match body {
            pb::Body::Hello(m) => Signal::Hello {
                name: m.name.chars().take(MAX_NAME).collect(),
                version: m.version,
                agent: m.agent.chars().take(MAX_NAME).collect(),
                invite: m.invite.try_into().ok(),
                addresses: m
                    .addresses
                    .into_iter()
                    .filter(|address| address.len() <= MAX_ADDRESS)
                    .take(MAX_ADDRESSES)
                    .collect(),
            },
            pb::Body::Ack(m) => {
                Signal::Ack { of: MessageId::from_slice(&m.of).ok_or(SignalError::Missing("what it acks"))? }
            }
            pb::Body::Offer(m) => {
                Signal::Offer { media: media_kind(m.media), expires_in_ms: m.expires_in_ms, resume: m.resume }
            }
            pb::Body::Ringing(_) => Signal::Ringing,
            pb::Body::Busy(_) => Signal::Busy,
            pb::Body::Accept(_) => Signal::Accept,
            pb::Body::AcceptOk(_) => Signal::AcceptOk,
            pb::Body::Cancel(_) => Signal::Cancel,
            pb::Body::Decline(m) => {
                Signal::Decline { message: m.message.map(|w| w.chars().take(MAX_WORDS).collect()) }
            }
            pb::Body::Hangup(m) => Signal::Hangup {
                reason: match m.reason {
                    0 => HangupReason::User,
                    1 => HangupReason::Shutdown,
                    // A later reason is not the person's doing as far as this version can tell.
                    _ => HangupReason::Failed,
                },
            },
            pb::Body::Elsewhere(_) => Signal::Elsewhere,
            pb::Body::Hold(m) => Signal::Hold { on: m.on },
            pb::Body::Recording(m) => Signal::Recording { on: m.on },
            pb::Body::MissedCall(m) => Signal::MissedCall { media: media_kind(m.media), at_ms: m.at_ms },
            pb::Body::Handshake(m) if m.bytes.len() > MAX_HANDSHAKE => return Err(SignalError::Malformed),
            pb::Body::Handshake(m) => Signal::Handshake { bytes: m.bytes },
        })
    }
}

const fn media_number(media: MediaKind) -> u32 {
    match media {
        MediaKind::Voice => 0,
        MediaKind::Video => 1,
    }
}

/// A kind that this version does not know is answered with sound, which every version can.
const fn media_kind(number: u32) -> MediaKind {
    match number {
        1 => MediaKind::Video,
        _ => MediaKind::Voice,
    }
}

/// The protobuf form. Field numbers are the protocol: never used again once given up.
mod pb {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Envelope {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) call: Vec<u8>,
        #[prost(uint64, tag = "3")]
        pub(super) seq: u64,
        #[prost(uint64, tag = "4")]
        pub(super) sent_at_ms: u64,
        #[prost(oneof = "Body", tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24")]
        pub(super) body: Option<Body>,
    }

    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(super) enum Body {
        #[prost(message, tag = "10")]
        Hello(Hello),
        #[prost(message, tag = "11")]
        Ack(Ack),
        #[prost(message, tag = "12")]
        Offer(Offer),
        #[prost(message, tag = "13")]
        Ringing(Empty),
        #[prost(message, tag = "14")]
        Busy(Empty),
        #[prost(message, tag = "15")]
        Accept(Empty),
        #[prost(message, tag = "16")]
        AcceptOk(Empty),
        #[prost(message, tag = "17")]
        Cancel(Empty),
        #[prost(message, tag = "18")]
        Decline(Decline),
        #[prost(message, tag = "19")]
        Hangup(Hangup),
        #[prost(message, tag = "20")]
        Elsewhere(Empty),
        #[prost(message, tag = "21")]
        Hold(OnOff),
        #[prost(message, tag = "22")]
        MissedCall(MissedCall),
        #[prost(message, tag = "23")]
        Handshake(Handshake),
        #[prost(message, tag = "24")]
        Recording(OnOff),
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Empty {}

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Hello {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(uint32, tag = "2")]
        pub(super) version: u32,
        #[prost(string, tag = "3")]
        pub(super) agent: String,
        #[prost(bytes = "vec", tag = "4")]
        pub(super) invite: Vec<u8>,
        #[prost(bytes = "vec", repeated, tag = "5")]
        pub(super) addresses: Vec<Vec<u8>>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Ack {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) of: Vec<u8>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Offer {
        #[prost(uint32, tag = "1")]
        pub(super) media: u32,
        #[prost(uint32, tag = "2")]
        pub(super) expires_in_ms: u32,
        #[prost(bool, tag = "3")]
        pub(super) resume: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Decline {
        #[prost(string, optional, tag = "1")]
        pub(super) message: Option<String>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Hangup {
        #[prost(uint32, tag = "1")]
        pub(super) reason: u32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct OnOff {
        #[prost(bool, tag = "1")]
        pub(super) on: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct MissedCall {
        #[prost(uint32, tag = "1")]
        pub(super) media: u32,
        #[prost(uint64, tag = "2")]
        pub(super) at_ms: u64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Handshake {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) bytes: Vec<u8>,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn all() -> Vec<Signal> {
        vec![
            Signal::Hello {
                name: "Ann".into(),
                version: 1,
                agent: "ahoy/0.1.0".into(),
                invite: None,
                addresses: Vec::new(),
            },
            Signal::Hello {
                name: "Ann".into(),
                version: 1,
                agent: "ahoy/0.1.0".into(),
                invite: Some([5; 16]),
                addresses: vec![vec![4, 10, 0, 0, 1, 6, 1, 187], vec![9; MAX_ADDRESS]],
            },
            Signal::Ack { of: MessageId::from_bytes([9; 16]) },
            Signal::Offer { media: MediaKind::Voice, expires_in_ms: 45_000, resume: false },
            Signal::Offer { media: MediaKind::Video, expires_in_ms: 30_000, resume: true },
            Signal::Ringing,
            Signal::Busy,
            Signal::Accept,
            Signal::AcceptOk,
            Signal::Cancel,
            Signal::Decline { message: None },
            Signal::Decline { message: Some("later".into()) },
            Signal::Hangup { reason: HangupReason::User },
            Signal::Hangup { reason: HangupReason::Shutdown },
            Signal::Hangup { reason: HangupReason::Failed },
            Signal::Elsewhere,
            Signal::Hold { on: true },
            Signal::Recording { on: true },
            Signal::Recording { on: false },
            Signal::MissedCall { media: MediaKind::Voice, at_ms: 7 },
            Signal::Handshake { bytes: vec![1, 2, 3] },
        ]
    }

    fn envelope(body: Signal) -> Envelope {
        Envelope {
            id: MessageId::from_bytes([1; 16]),
            call: Some(CallId::from_bytes([2; 16])),
            seq: 3,
            sent_at_ms: 4,
            body,
        }
    }

    #[test]
    fn every_message_comes_back_as_it_went() {
        for body in all() {
            let message = envelope(body);
            assert_eq!(Envelope::decode(&message.encode()), Ok(message));
        }
        let no_call = Envelope { call: None, ..envelope(Signal::Ringing) };
        assert_eq!(Envelope::decode(&no_call.encode()), Ok(no_call));
    }

    #[test]
    fn the_bytes_on_the_wire_are_these() {
        let bytes = envelope(Signal::Hold { on: true }).encode();
        let mut expected = vec![0x0a, 16];
        expected.extend([1; 16]);
        expected.extend([0x12, 16]);
        expected.extend([2; 16]);
        expected.extend([0x18, 3, 0x20, 4, 0xaa, 0x01, 2, 0x08, 1]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn unknown_fields_are_skipped_and_unknown_kinds_are_said_to_be_so() {
        let mut bytes = envelope(Signal::Ringing).encode();
        bytes.extend([0xf8, 0x06, 1]); // field 111, varint
        assert_eq!(Envelope::decode(&bytes), Ok(envelope(Signal::Ringing)));
        let none = pb::Envelope { id: vec![1; 16], ..pb::Envelope::default() };
        assert_eq!(Envelope::decode(&none.encode_to_vec()), Err(SignalError::Unknown));
    }

    #[test]
    fn what_lacks_an_id_or_runs_over_is_refused_or_cut() {
        assert_eq!(Envelope::decode(&[]), Err(SignalError::Missing("an id")));
        assert_eq!(Envelope::decode(&[0xff]), Err(SignalError::Malformed));
        let long = envelope(Signal::Decline { message: Some("é".repeat(MAX_WORDS + 1)) });
        let Signal::Decline { message: Some(words) } = Envelope::decode(&long.encode()).unwrap().body else {
            panic!("a decline")
        };
        assert_eq!(words.chars().count(), MAX_WORDS);
        let giant = envelope(Signal::Handshake { bytes: vec![0; MAX_HANDSHAKE + 1] });
        assert_eq!(Envelope::decode(&giant.encode()), Err(SignalError::Malformed));
    }

    #[test]
    fn cut_or_altered_messages_never_panic() {
        for body in all() {
            let bytes = envelope(body).encode();
            for end in 0..bytes.len() {
                let _ = Envelope::decode(&bytes[..end]);
                for bit in 0..8 {
                    let mut altered = bytes.clone();
                    altered[end] ^= 1 << bit;
                    let _ = Envelope::decode(&altered);
                }
            }
        }
    }
}
