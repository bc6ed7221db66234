//! What goes into a session and what comes out of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ahoy_base::{
    CallId, EncodedAudio, EncodedVideo, LinkId, Moment, PeerId, VideoPlan, VideoRequest, VideoSize,
    VideoTrack,
};

use super::links::{LinkFigures, NewLink, PathInfo, PathKind};
use super::pictures::PictureFigures;
use super::{LocalIdentity, ReceivedAudio, Role, VoicePlan};
use crate::path::packet::{PACKET, TAG};
use crate::path::relay::Lent;
use crate::seal::control::OpenError;

/// What a session is made of.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The call.
    pub call: CallId,
    /// Which side we are.
    pub role: Role,
    /// Who we are.
    pub local: LocalIdentity,
    /// Who the other must prove to be.
    pub remote: PeerId,
    /// All randomness of the session; fresh for each.
    pub seed: [u8; 32],
    /// Our media addresses, best first.
    pub candidates: Vec<SocketAddr>,
    /// Whether the peer may learn them.
    pub exposure: Exposure,
}

/// Whether the peer of a session may learn our addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Exposure {
    /// It may: the shortest way is taken.
    #[default]
    Straight,
    /// It may not. Nothing goes straight to it, and of relays those alone are used that we chose: one that it names may be
    /// its own.
    RelaysAlone,
}

/// Something happened.
#[expect(
    clippy::large_enum_variant,
    reason = "passed once, never kept; the packet comes from a thread that allocates nothing"
)]
#[derive(Debug)]
pub enum Input<'a> {
    /// A `Signal::Handshake` of the peer.
    Handshake(&'a [u8]),
    /// Our media addresses changed.
    Candidates(Vec<SocketAddr>),
    /// Signalling reaches the peer at these hosts, nobody in between.
    PeerAt(Vec<IpAddr>),
    /// The person hides this device's addresses from the peer, or no longer.
    Exposure(Exposure),
    /// The network changed under us, or we slept: paths are looked for anew.
    NetworkChanged,
    /// A packet with the session's tag ([`Output::Tag`]) came.
    Packet {
        /// From where.
        from: SocketAddr,
        /// All of it.
        bytes: &'a [u8],
    },
    /// The devices that lend splices now, all of them.
    Relays(Vec<PeerId>),
    /// What a relay answered to [`Output::AskRelay`]: a splice and where the relay is, or nothing.
    RelayAnswer {
        /// Which.
        relay: PeerId,
        /// What it lends.
        lent: Option<(Lent, Vec<SocketAddr>)>,
    },
    /// A link stands; its other end has proven to be the peer's device.
    LinkUp(NewLink),
    /// The hello of a link's other end.
    LinkHello {
        /// Its number.
        link: LinkId,
        /// As `session` made it over there.
        bytes: &'a [u8],
    },
    /// A measured round trip time.
    LinkRtt {
        /// Its number.
        link: LinkId,
        /// Smoothed.
        rtt: Duration,
    },
    /// Congestion marks that QUIC counted since the link began (RFC 3168).
    LinkMarks {
        /// Its number.
        link: LinkId,
        /// How many.
        marks: u64,
    },
    /// A link is gone.
    LinkDown {
        /// Its number.
        link: LinkId,
    },
    /// A datagram came.
    Datagram {
        /// Over which link.
        link: LinkId,
        /// All of it.
        bytes: &'a [u8],
    },
    /// A frame of our microphone.
    Audio(EncodedAudio),
    /// One of our pictures goes on or off.
    TrackOn {
        /// Which.
        track: VideoTrack,
        /// On or off.
        on: bool,
    },
    /// An encoded frame of a picture that is on. Wait for [`super::Session::takes_video`].
    Video {
        /// Of which.
        track: VideoTrack,
        /// The frame.
        frame: EncodedVideo,
    },
    /// What can be shown of their picture here; `None`: nothing, and nothing is to be sent.
    Want {
        /// Which.
        track: VideoTrack,
        /// At most these pixels are of use.
        size: Option<VideoSize>,
    },
    /// Whether somebody takes what [`Output::Video`] gives. Until then frames wait, as long as there is room.
    Watching(bool),
    /// A decoder of their picture lost its state: only a key frame helps.
    NeedKey(VideoTrack),
    /// How long their sound waits to be played: pictures wait for it.
    VoiceWaits(Duration),
    /// The person wants to use little data, or no more.
    LowData(bool),
    /// The moment of the last [`Output::Wake`] has come.
    Wake,
}

/// Something to do.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Send as `Signal::Handshake`.
    Handshake(Vec<u8>),
    /// Try to open a link without UDP, of this kind.
    DialWithoutUdp(PathKind),
    /// Try to open a link to this address, from which the peer answered.
    Dial(SocketAddr),
    /// Give [`Input::Packet`]s that carry this tag to this session.
    Tag([u8; TAG]),
    /// Send this from the media port.
    Packet {
        /// Where to.
        to: SocketAddr,
        /// All of it.
        bytes: [u8; PACKET],
    },
    /// The peer is at that address: take links from there.
    Welcome(SocketAddr),
    /// The peer, at the first address, sees us at the second.
    SeenAs(SocketAddr, SocketAddr),
    /// Ask this relay for a splice; answered by [`Input::RelayAnswer`], in any case.
    AskRelay(PeerId),
    /// Our end of a splice is bound: an address stands for it from here on. Again if the relay has another address.
    Splice {
        /// What QUIC and probes are sent to.
        stands: SocketAddr,
        /// The splice.
        id: [u8; TAG],
        /// The relay.
        relay: SocketAddr,
    },
    /// That address stands for nothing any more.
    SpliceGone(SocketAddr),
    /// Say this on a link's first stream.
    LinkHello {
        /// Its number.
        link: LinkId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Close a link.
    CloseLink {
        /// Its number.
        link: LinkId,
        /// Why, for the peer.
        why: &'static str,
    },
    /// Send a datagram.
    Transmit {
        /// Over which link.
        link: LinkId,
        /// All of it.
        datagram: Vec<u8>,
    },
    /// The peer's sound, for the playout.
    Audio(Box<ReceivedAudio>),
    /// How the microphone is to be encoded from here on.
    Voice(VoicePlan),
    /// A frame of the peer, to be seen now. Only what can be decoded, in order.
    Video {
        /// Of which picture.
        track: VideoTrack,
        /// The frame.
        frame: EncodedVideo,
        /// When the last datagram that it needed came.
        arrival: Moment,
    },
    /// What an encoder may make from here on.
    VideoPlan {
        /// Of which picture.
        track: VideoTrack,
        /// What.
        plan: VideoPlan,
    },
    /// What an encoder is to do with its next frame.
    VideoRequest {
        /// Of which picture.
        track: VideoTrack,
        /// What.
        request: VideoRequest,
    },
    /// News.
    Event(SessionEvent),
    /// Nothing more until `at`. Always last.
    Wake {
        /// When; the end of time if nothing is due.
        at: Moment,
        /// Why.
        why: WakeReason,
    },
}

/// Why a wake-up is due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WakeReason {
    /// Nothing is due.
    Nothing,
    /// The handshake is late: resend, or give up.
    Handshake,
    /// A sign of life is due.
    KeepAlive,
    /// The path may be lost by then.
    Liveness,
    /// The peer's addresses are asked.
    Probe,
    /// A relay is asked, or told where we are.
    Relay,
    /// A link without UDP is tried.
    Dial,
    /// A key is due to change, or waits for its ack.
    Key,
    /// A datagram is to be sent again.
    Again,
    /// The peer is to be told what came.
    Report,
    /// A picture is to be sent, shown or asked for.
    Picture,
}

/// News of a session.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum SessionEvent {
    /// Keys are agreed and the peer is who it must be.
    Secured,
    /// Sound can flow: secured, and a link is there. Said again after [`SessionEvent::Lost`].
    Ready,
    /// The path in use, or its round trip, changed.
    Path(PathInfo),
    /// Nothing was heard for 3 s. Links are being looked for.
    Lost,
    /// A picture of the peer went on or off.
    Track {
        /// Which.
        track: VideoTrack,
        /// On or off.
        on: bool,
    },
    /// There will be no session. The last event.
    Refused(RefusedReason),
}

/// Why there is no session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusedReason {
    /// Another device answered than the expected one.
    IdentityMismatch,
    /// The peer did not prove what it claims.
    BadProof,
    /// Two handshakes failed.
    HandshakeFailed,
    /// No handshake within 10 s.
    Timeout,
}

/// Why a datagram or message was dropped. Weather, not errors: counted, never answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DropReason {
    /// Not of our format.
    Malformed,
    /// Of a later version.
    Unknown,
    /// Not sealed with a known key, or changed since.
    Forged,
    /// It came before.
    Replayed,
    /// Over a link that is not admitted.
    NotAdmitted,
    /// Ours: no link to send it on.
    NoLink,
    /// Ours: too large for a datagram.
    TooLarge,
}

impl From<OpenError> for DropReason {
    fn from(error: OpenError) -> DropReason {
        match error {
            OpenError::Replayed => DropReason::Replayed,
            OpenError::Forged => DropReason::Forged,
            OpenError::Malformed => DropReason::Malformed,
        }
    }
}

impl DropReason {
    /// The word in `ahoy stats`.
    pub const fn word(self) -> &'static str {
        match self {
            DropReason::Malformed => "malformed",
            DropReason::Unknown => "unknown",
            DropReason::Forged => "forged",
            DropReason::Replayed => "replayed",
            DropReason::NotAdmitted => "not_admitted",
            DropReason::NoLink => "no_link",
            DropReason::TooLarge => "too_large",
        }
    }
}

/// Counters since the session started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionStats {
    /// Sound frames sent, second sendings and those on a standby link not counted.
    pub audio_sent: u64,
    /// Second sendings.
    pub audio_again: u64,
    /// Bytes of datagrams sent, all kinds, copies counted.
    pub sent_bytes: u64,
    /// Sound frames received and opened.
    pub audio_received: u64,
    /// Sound frames that came again: second sendings, standby links, or somebody who replays.
    pub audio_double: u64,
    /// Bytes of datagrams received that proved genuine.
    pub received_bytes: u64,
    /// What was dropped, by reason.
    pub dropped: BTreeMap<DropReason, u64>,
    /// Handshakes completed.
    pub handshakes: u32,
    /// Changes of our sender key.
    pub key_changes: u32,
    /// Pictures, by track.
    pub pictures: BTreeMap<VideoTrack, PictureFigures>,
    /// How our voice is sent; `None` before the first look.
    pub plan: Option<VoicePlan>,
    /// The links.
    pub links: Vec<LinkFigures>,
}

/// What people may want to know of the keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionInfo {
    /// Four words, the same on both sides; empty until secured.
    pub words: Vec<String>,
    /// The handshake hash in hexadecimal; empty until secured.
    pub handshake_hash: String,
    /// Names of the ciphers.
    pub suite: &'static str,
}
