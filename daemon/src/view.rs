//! The state that the page and the command line are shown: plain data, whole, serialised exactly as the page reads it.
//!
//! Samples of it, read by both sides' tests: `webui/golden/view-*.json`. Who fills it: `view_builder.rs`; the list of
//! browsers alone is filled by `web/`, which knows them. All times `*_ms` are milliseconds since 1970.

use ahoy_base::{CallId, PeerId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::audio::VoiceSettings;
use crate::web::media_protocol::TrackName;
use crate::web::protocol::{SettingsChange, as_text};

/// All that is shown, at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct View {
    /// Grows with each change.
    pub(crate) revision: u64,
    /// Version of the daemon.
    pub(crate) version: String,
    /// The daemon's wall clock when this was made, so that a page counts time as the daemon does.
    pub(crate) now_ms: u64,
    /// This person's device.
    pub(crate) me: Me,
    /// Whether people can ring.
    pub(crate) ready: Ready,
    /// The address book, Echo included.
    pub(crate) contacts: Vec<Contact>,
    /// Devices seen on the local network.
    pub(crate) nearby: Vec<Nearby>,
    /// Calls that are open, and ended ones that were not dismissed.
    pub(crate) calls: Vec<CallView>,
    /// The log of calls, newest first.
    pub(crate) recent: Vec<Recent>,
    /// Devices for sound and pictures.
    pub(crate) devices: Devices,
    /// Choices that outlive the page.
    pub(crate) settings: Settings,
    /// Browsers that hold a session.
    pub(crate) sessions: Vec<BrowserSession>,
    /// What this person should know, each with its mend.
    pub(crate) notices: Vec<Notice>,
}

/// This person's device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Me {
    /// Shown to others; empty until the first run is done.
    pub(crate) name: String,
    /// This device, `12D3Koo…`.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub(crate) peer_id: PeerId,
    /// Contact card, `ahoy:c/…`.
    pub(crate) card: String,
    /// The card as a QR code.
    pub(crate) card_qr: QrCode,
    /// Multiaddresses with `/p2p/…` that others can dial.
    pub(crate) addresses: Vec<String>,
}

/// A QR code as modules, so that the page draws it without parsing any markup. No quiet zone: the page adds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QrCode {
    /// Modules a side.
    pub(crate) size: u32,
    /// `size` rows of `size` characters, `1` dark, `0` light.
    pub(crate) rows: Vec<String>,
}

/// Whether people can ring this device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ready {
    /// The state in a word.
    pub(crate) state: ReadyState,
    /// The same for people.
    pub(crate) text: String,
    /// Multiaddresses that listen.
    pub(crate) listening: Vec<String>,
    /// UDP ports of sound.
    pub(crate) media_ports: Vec<u16>,
    /// What went wrong last, if something is wrong.
    pub(crate) last_error: Option<String>,
    /// Whether people nearby are looked for.
    pub(crate) mdns: bool,
    /// What is wrong between this device and the others, the first to mend first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) faults: Vec<FaultView>,
    /// What is worth knowing of the network that keeps nobody from calling.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) facts: Vec<NetworkFact>,
}

/// One thing worth knowing of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NetworkFact {
    /// Stable word: what it is about.
    pub(crate) code: String,
    /// The same for people.
    pub(crate) title: String,
    /// What is so, and what it means for calls.
    pub(crate) text: String,
    /// What would make it better, if something would.
    #[serde(rename = "do")]
    pub(crate) mend: Option<String>,
}

/// One thing that is wrong with the network or the sound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FaultView {
    /// Stable word.
    pub(crate) code: String,
    /// Whether calls fail, or one side of their sound, because of it.
    pub(crate) broken: bool,
    /// What happened.
    pub(crate) text: String,
    /// What still works.
    pub(crate) works: String,
    /// What to do.
    #[serde(rename = "do")]
    pub(crate) mend: String,
}

/// Whether people can ring, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReadyState {
    /// They can.
    Ready,
    /// Not yet.
    Connecting,
    /// They can't.
    Offline,
}

/// One entry of the address book.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contact {
    /// Whose device.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub(crate) peer_id: PeerId,
    /// What this person calls them.
    pub(crate) name: String,
    /// A person, or the built-in Echo.
    pub(crate) kind: PeerKind,
    /// Whether the safety number was compared.
    pub(crate) verified: Verified,
    /// Whether a signalling stream to them is open.
    pub(crate) presence: Presence,
    /// Whether they are on the same network.
    pub(crate) nearby: bool,
    /// 60 digits in groups of five, the same on both sides.
    pub(crate) safety_number: String,
    /// When they were added.
    pub(crate) added_at_ms: u64,
    /// Whether this computer's address is hidden from them: calls go through relays alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) hide_address: bool,
}

/// What answers at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PeerKind {
    /// Somebody.
    Person,
    /// The built-in test contact.
    Echo,
}

/// Whether the identity of a contact was checked by people.
#[expect(clippy::enum_variant_names, reason = "the contract's words")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verified {
    /// Nobody compared safety numbers.
    Unverified,
    /// Compared and the same.
    Verified,
    /// It is another identity than before; calls are blocked until this is acknowledged.
    Changed,
}

/// Whether a contact can be reached right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Presence {
    /// Yes.
    Online,
    /// Not at the moment.
    Offline,
}

/// A device seen on the local network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nearby {
    /// Which device.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub(crate) peer_id: PeerId,
    /// What it calls itself; empty if it did not say.
    pub(crate) name: String,
    /// Whether it is in the address book.
    pub(crate) known: bool,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallView {
    /// Which call.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub(crate) id: CallId,
    /// With whom.
    pub(crate) peer: CallPeer,
    /// Who called.
    pub(crate) direction: Direction,
    /// With what.
    pub(crate) media: Media,
    /// How far it is.
    pub(crate) state: CallPhase,
    /// Who holds it.
    pub(crate) hold: HoldView,
    /// Whether this person's microphone is off in this call.
    pub(crate) muted: bool,
    /// Pictures that are on, on both sides.
    pub(crate) tracks: Vec<TrackView>,
    /// Who records it.
    pub(crate) recording: RecordingView,
    /// When it was offered.
    pub(crate) offered_at_ms: u64,
    /// When the two could first talk.
    pub(crate) active_since_ms: Option<u64>,
    /// Since when the connection is gone.
    pub(crate) reconnecting_since_ms: Option<u64>,
    /// The way the sound takes.
    pub(crate) path: Option<PathView>,
    /// How good it is.
    pub(crate) quality: Option<Quality>,
    /// What the two agreed on.
    pub(crate) security: Option<Security>,
    /// Why it ended; present exactly in state `ended`.
    pub(crate) ended: Option<Ended>,
    /// What a call to Echo found out about this person's sound, once there is enough to tell; kept when it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) echo_test: Option<EchoTestView>,
}

/// What a call to Echo found out about this person's sound. Levels are decibels relative to full scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EchoTestView {
    /// In a sentence.
    pub(crate) text: String,
    /// How loud this person speaks; absent while they have not spoken.
    pub(crate) speech_dbfs: Option<f64>,
    /// How loud it is around them.
    pub(crate) background_dbfs: f64,
    /// The loudest sample of the microphone.
    pub(crate) peak_dbfs: f64,
    /// How loud what came back is.
    pub(crate) returned_dbfs: f64,
    /// From mouth to ear through Echo and back, without the second that Echo waits, milliseconds.
    pub(crate) round_trip_ms: Option<u32>,
    /// How much quieter the speaker is at the microphone than it plays; absent where it is not heard there.
    pub(crate) echo_return_loss_db: Option<f64>,
    /// Sound that never came, the worse way of both.
    pub(crate) lost_percent: f64,
    /// What is wrong, the first to mend first.
    pub(crate) faults: Vec<FaultView>,
}

/// A picture that somebody shows in a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrackView {
    /// Whose; the own device for what this person shows.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub(crate) peer_id: PeerId,
    /// Face or screen.
    pub(crate) track: TrackName,
    /// Width of the last frame in pixels; absent before the first.
    pub(crate) width: Option<u16>,
    /// Its height.
    pub(crate) height: Option<u16>,
    /// Frames a second, of the last seconds.
    pub(crate) frame_rate: Option<f64>,
    /// Bits a second, of the last seconds.
    pub(crate) bitrate_bps: Option<u64>,
    /// The picture has stood still for longer than a glance although more was to come.
    pub(crate) frozen: bool,
}

/// The other side of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallPeer {
    /// Which device.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub(crate) peer_id: PeerId,
    /// The contact's name, or what it calls itself.
    pub(crate) name: String,
    /// Whether it is in the address book.
    pub(crate) known: bool,
    /// Whether its identity was checked.
    pub(crate) verified: Verified,
    /// A person or Echo.
    pub(crate) kind: PeerKind,
}

/// Who called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    /// This person.
    Outgoing,
    /// The other.
    Incoming,
}

/// What a call carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Media {
    /// Sound.
    Voice,
    /// Sound and picture.
    Video,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CallPhase {
    /// Offered; nothing heard from the other side.
    Calling,
    /// The other side rings.
    RingingOut,
    /// This side rings.
    RingingIn,
    /// Answered, not yet talking.
    Connecting,
    /// Talking, or on hold.
    Active,
    /// The connection is gone for a moment.
    Reconnecting,
    /// The daemon stopped during the call; it can be joined again.
    Interrupted,
    /// Over.
    Ended,
}

/// Who holds a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldView {
    /// This person does.
    pub(crate) local: bool,
    /// The other does.
    pub(crate) remote: bool,
}

/// Who records a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordingView {
    /// This device.
    pub(crate) own: RecordingState,
    /// Where its file lies, while it records.
    pub(crate) file: Option<String>,
    /// The other, as it says.
    pub(crate) theirs: bool,
}

/// Whether this device records a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RecordingState {
    /// It does not.
    #[default]
    Off,
    /// The other side is being told.
    Asked,
    /// It does.
    On,
}

/// The way the sound takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PathView {
    /// Straight, or through whom.
    pub(crate) kind: PathKind,
    /// Which kind of address the other has.
    pub(crate) address: AddressKind,
    /// Round trip time in milliseconds, once measured.
    pub(crate) rtt_ms: Option<f64>,
}

/// Straight, or through whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PathKind {
    /// From device to device.
    Direct,
    /// Through somebody's UDP relay, which can't read it.
    Relay,
    /// Over TCP, where UDP is blocked.
    Tcp,
    /// Through a libp2p circuit, the last resort.
    Circuit,
}

/// Which kind of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AddressKind {
    /// The same machine.
    Loopback,
    /// The same network.
    Lan,
    /// The internet, IPv4.
    Ipv4,
    /// The internet, IPv6.
    Ipv6,
}

/// How good a call is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quality {
    /// In a word.
    pub(crate) word: QualityWord,
    /// The same for people.
    pub(crate) text: String,
    /// Sound that waits before it is played, milliseconds.
    pub(crate) playout_delay_ms: u32,
    /// Estimate from their mouth to this ear, milliseconds.
    pub(crate) delay_ms: u32,
    /// Packets that never came, of the last seconds.
    pub(crate) loss_percent: f64,
    /// Sound that had to be made up, of the last seconds.
    pub(crate) concealed_percent: f64,
}

/// How good, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum QualityWord {
    /// Nothing to notice.
    Good,
    /// Noticed by those who listen for it.
    Fair,
    /// In the way of talking.
    Poor,
}

/// What the two devices of a call agreed on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Security {
    /// Four words, the same on both sides when nobody sits in between.
    pub(crate) words: Vec<String>,
    /// Names of the ciphers.
    pub(crate) suite: String,
}

/// Why a call ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ended {
    /// In a word.
    pub(crate) reason: EndedReason,
    /// The same for people.
    pub(crate) text: String,
    /// The words of a decline.
    pub(crate) message: Option<String>,
    /// Whether calling again makes sense.
    pub(crate) can_retry: bool,
}

/// Why a call ended, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EndedReason {
    /// This person hung up.
    HangupLocal,
    /// The other hung up.
    HangupRemote,
    /// Declined.
    Declined,
    /// No line left there.
    Busy,
    /// The caller gave up.
    Cancelled,
    /// Nobody answered.
    Timeout,
    /// Answered on another device.
    Elsewhere,
    /// It could not be set up or kept.
    Failed,
    /// The daemon stopped without warning.
    Crashed,
    /// The connection was gone for too long.
    Lost,
    /// The other device could not be reached.
    Offline,
    /// Another call took its place.
    Replaced,
}

impl EndedReason {
    /// Reads the word of `ahoy_call::EndReason::code`; `None` for a word this list lacks.
    pub(crate) fn from_code(code: &str) -> Option<EndedReason> {
        from_word(code)
    }
}

/// One line of the log of calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recent {
    /// Which call.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub(crate) call: CallId,
    /// With which device.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub(crate) peer_id: PeerId,
    /// The contact's name.
    pub(crate) name: String,
    /// Who called.
    pub(crate) direction: Direction,
    /// With what.
    pub(crate) media: Media,
    /// When it was offered.
    pub(crate) at_ms: u64,
    /// How long the two talked.
    pub(crate) duration_ms: u64,
    /// How it came out, in a word.
    pub(crate) outcome: RecentOutcome,
    /// The same for people.
    pub(crate) text: String,
    /// The words of a decline.
    pub(crate) message: Option<String>,
    /// Whether this person has seen the line.
    pub(crate) seen: bool,
}

/// How a call came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RecentOutcome {
    /// The two talked.
    Answered,
    /// This person did not answer.
    Missed,
    /// Declined.
    Declined,
    /// No line left there.
    Busy,
    /// The caller gave up.
    Cancelled,
    /// The other did not answer.
    NoAnswer,
    /// It could not be set up.
    Failed,
    /// The connection went away for good.
    Lost,
}

impl RecentOutcome {
    /// Reads the word of `ahoy_call::Outcome::code`; `None` for a word this list lacks.
    pub(crate) fn from_code(code: &str) -> Option<RecentOutcome> {
        from_word(code)
    }
}

/// Devices and which are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Devices {
    /// What can record.
    pub(crate) microphones: Vec<Device>,
    /// What can play.
    pub(crate) speakers: Vec<Device>,
    /// The chosen one.
    pub(crate) microphone: ChosenDevice,
    /// What can show a face.
    pub(crate) cameras: Vec<VideoDevice>,
    /// What can be shared.
    pub(crate) screens: Vec<VideoDevice>,
    /// The chosen one.
    pub(crate) speaker: ChosenDevice,
    /// The chosen one.
    pub(crate) camera: ChosenVideo,
    /// The chosen one.
    pub(crate) screen: ChosenVideo,
}

/// One source of pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VideoDevice {
    /// What `--camera` and `--screen` take; stable, but for windows.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: VideoDeviceKind,
}

/// What a source of pictures is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VideoDeviceKind {
    /// A camera of this machine.
    Camera,
    /// A whole screen.
    Screen,
    /// One window.
    Window,
}

/// A chosen source of pictures and how it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChosenVideo {
    /// Its id.
    pub(crate) id: String,
    /// How it does.
    pub(crate) state: VideoDeviceState,
    /// What is wrong and what to do, if something is.
    pub(crate) message: Option<String>,
}

/// How a source of pictures does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VideoDeviceState {
    /// Well.
    Ok,
    /// It is not there.
    Missing,
    /// Another program holds it.
    Busy,
    /// This person or the system said no.
    Refused,
}

/// One sound device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Device {
    /// Stable; what `--mic` and `--speaker` take.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    /// Whether the system prefers it.
    pub(crate) is_default: bool,
}

/// A chosen device and how it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChosenDevice {
    /// Its id.
    pub(crate) id: String,
    /// How it does.
    pub(crate) state: DeviceState,
    /// What is wrong and what to do, if something is.
    pub(crate) message: Option<String>,
}

/// How a device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeviceState {
    /// Well.
    Ok,
    /// It is not plugged in.
    Missing,
    /// Another program holds it.
    Busy,
    /// This machine has no sound.
    NoSound,
}

/// Choices that outlive the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Whether unknown devices on the local network may ring.
    pub(crate) strangers_nearby_may_ring: bool,
    /// Whether this device shows itself on the local network.
    pub(crate) visible_on_lan: bool,
    /// Loudness of the ring, 0 to 100.
    #[schema(maximum = 100)]
    pub(crate) ring_volume: u8,
    /// Whether single letters are shortcuts.
    pub(crate) single_key_shortcuts: bool,
    /// Light or dark.
    pub(crate) theme: Theme,
    /// Who is answered without a click.
    pub(crate) auto_answer: AutoAnswer,
    /// Whether what the speaker plays is taken out of the microphone.
    pub(crate) echo_cancellation: bool,
    /// Whether steady noise is lowered.
    pub(crate) noise_suppression: bool,
    /// Whether loudness is evened out.
    pub(crate) auto_gain: bool,
    /// Whether the sound is sent as it is, for music.
    pub(crate) music: bool,
    /// Whether pictures are kept small, here and on the way here.
    pub(crate) low_data: bool,
    /// Whether this person sees themselves as in a mirror.
    pub(crate) mirror_self: bool,
    /// What a shared screen is sent for.
    pub(crate) screen_content: ScreenContent,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            strangers_nearby_may_ring: true,
            visible_on_lan: true,
            ring_volume: 80,
            single_key_shortcuts: true,
            theme: Theme::System,
            auto_answer: AutoAnswer::Off,
            echo_cancellation: true,
            noise_suppression: true,
            auto_gain: true,
            music: false,
            low_data: false,
            mirror_self: true,
            screen_content: ScreenContent::Auto,
        }
    }
}

impl Settings {
    /// What is done to the microphone.
    pub(crate) fn voice(&self) -> VoiceSettings {
        if self.music {
            return VoiceSettings::NONE;
        }
        VoiceSettings { echo: self.echo_cancellation, noise: self.noise_suppression, gain: self.auto_gain }
    }

    /// Takes over what `changes` names; a volume over 100 counts as 100.
    pub(crate) fn apply(&mut self, changes: &SettingsChange) {
        let old = self.clone();
        *self = Settings {
            strangers_nearby_may_ring: changes
                .strangers_nearby_may_ring
                .unwrap_or(old.strangers_nearby_may_ring),
            visible_on_lan: changes.visible_on_lan.unwrap_or(old.visible_on_lan),
            ring_volume: changes.ring_volume.unwrap_or(old.ring_volume).min(100),
            single_key_shortcuts: changes.single_key_shortcuts.unwrap_or(old.single_key_shortcuts),
            theme: changes.theme.unwrap_or(old.theme),
            auto_answer: changes.auto_answer.unwrap_or(old.auto_answer),
            echo_cancellation: changes.echo_cancellation.unwrap_or(old.echo_cancellation),
            noise_suppression: changes.noise_suppression.unwrap_or(old.noise_suppression),
            auto_gain: changes.auto_gain.unwrap_or(old.auto_gain),
            music: changes.music.unwrap_or(old.music),
            low_data: changes.low_data.unwrap_or(old.low_data),
            mirror_self: changes.mirror_self.unwrap_or(old.mirror_self),
            screen_content: changes.screen_content.unwrap_or(old.screen_content),
        };
    }
}

/// What a shared screen is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ScreenContent {
    /// As it looks: motion while something like a film plays, text otherwise.
    Auto,
    /// Sharp: pixels are kept, frames become fewer.
    Text,
    /// Smooth: frames are kept, pixels become fewer.
    Motion,
}

/// Light or dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Theme {
    /// As the system says.
    System,
    /// Always light.
    Light,
    /// Always dark.
    Dark,
}

/// Who is answered without a click.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AutoAnswer {
    /// Nobody.
    Off,
    /// People in the address book.
    Contacts,
    /// Everybody who may ring.
    All,
}

/// A browser that holds a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BrowserSession {
    /// Which session; not its token.
    pub(crate) id: String,
    /// For people, e.g. `Chromium on Linux`.
    pub(crate) browser: String,
    /// When it was last used.
    pub(crate) last_used_ms: u64,
    /// Whether it is the one that reads this.
    pub(crate) current: bool,
}

/// Something this person should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Notice {
    /// Stable word, so that a page shows it once.
    pub(crate) id: String,
    /// What happened.
    pub(crate) text: String,
    /// What still works.
    pub(crate) works: String,
    /// What to do.
    #[serde(rename = "do")]
    pub(crate) mend: String,
}

/// The word an enumeration of this file has in JSON.
pub(crate) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        // Only enumerations without data are passed in.
        Ok(_) | Err(_) => String::new(),
    }
}

/// Reads back [`word`].
pub(crate) fn from_word<T: serde::de::DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
}
