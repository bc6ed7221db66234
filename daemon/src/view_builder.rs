//! What the page is shown, made from everything the app knows. Reads, decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use ahoy_base::{CallId, PeerId, VideoTrack};
use ahoy_call::{Alert, Call, EndReason, Fact, Network, Recording, Weight, words};
use ahoy_net_core::session::PathInfo;
use ahoy_net_core::wire::signal::MediaKind;

use crate::audio;
use crate::call_task::Figures;
use crate::echo;
use crate::node::Node;
use crate::picture_figures::Pictures;
use crate::recording::Recordings;
use crate::video;
use crate::view::{
    AddressKind, CallPeer, CallPhase, CallView, ChosenDevice, ChosenVideo, Contact, Device, DeviceState,
    Devices, Direction, EchoTestView, Ended, EndedReason, FaultView, HoldView, Me, Media, Nearby,
    NetworkFact, Notice, PathKind, PathView, PeerKind, Presence, QrCode, Quality, QualityWord, Ready,
    ReadyState, Recent, RecordingState, RecordingView, Security, Settings, TrackView, Verified, VideoDevice,
    VideoDeviceKind, VideoDeviceState, View, from_word,
};

/// Everything a view is made of.
pub(crate) struct Sources<'a> {
    pub(crate) node: &'a Node,
    pub(crate) me: Me,
    pub(crate) echo: PeerId,
    pub(crate) contacts: &'a BTreeMap<PeerId, Contact>,
    pub(crate) nearby: &'a BTreeSet<PeerId>,
    pub(crate) names: &'a BTreeMap<PeerId, String>,
    pub(crate) recordings: &'a Recordings,
    pub(crate) paths: &'a BTreeMap<CallId, PathInfo>,
    pub(crate) muted: &'a BTreeSet<CallId>,
    pub(crate) qualities: &'a BTreeMap<CallId, Quality>,
    pub(crate) echo_tests: &'a BTreeMap<CallId, EchoTestView>,
    pub(crate) pictures: &'a BTreeMap<CallId, Pictures>,
    pub(crate) recent: Vec<Recent>,
    pub(crate) settings: Settings,
    pub(crate) listening: Vec<String>,
    pub(crate) mdns: bool,
    pub(crate) network: Network,
    pub(crate) last_error: Option<String>,
    pub(crate) notices: Vec<Notice>,
}

/// Makes the view. `revision` grows with each; `now_ms` is the wall clock.
pub(crate) fn build(sources: Sources<'_>, revision: u64, now_ms: u64) -> View {
    let calls = sources.node.calls().calls().map(|call| call_view(&sources, call)).collect();
    let contacts = sources.contacts.values().map(|c| present(&sources, c)).collect();
    let nearby = sources
        .nearby
        .iter()
        .filter(|peer| **peer != sources.echo)
        .map(|peer| Nearby {
            peer_id: *peer,
            name: sources.names.get(peer).cloned().unwrap_or_default(),
            known: sources.contacts.contains_key(peer),
        })
        .collect();
    View {
        revision,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now_ms,
        ready: ready(&sources),
        contacts,
        nearby,
        calls,
        devices: devices(&sources.node.audio().devices(), &sources.node.video().devices()),
        me: sources.me,
        recent: sources.recent,
        settings: sources.settings,
        sessions: Vec::new(),
        notices: sources.notices,
    }
}

/// What is shown before the app has looked at anything.
pub(crate) fn empty(me: PeerId) -> View {
    let chosen = || ChosenDevice { id: "default".to_owned(), state: DeviceState::Ok, message: None };
    View {
        revision: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now_ms: 0,
        me: Me {
            name: String::new(),
            peer_id: me,
            card: String::new(),
            card_qr: QrCode { size: 0, rows: Vec::new() },
            addresses: Vec::new(),
        },
        ready: Ready {
            state: ReadyState::Connecting,
            text: "Connecting".to_owned(),
            listening: Vec::new(),
            media_ports: Vec::new(),
            last_error: None,
            mdns: false,
            faults: Vec::new(),
            facts: Vec::new(),
        },
        contacts: Vec::new(),
        nearby: Vec::new(),
        calls: Vec::new(),
        recent: Vec::new(),
        devices: Devices {
            microphones: Vec::new(),
            speakers: Vec::new(),
            microphone: chosen(),
            speaker: chosen(),
            cameras: Vec::new(),
            screens: Vec::new(),
            camera: no_picture(),
            screen: no_picture(),
        },
        settings: Settings::default(),
        sessions: Vec::new(),
        notices: Vec::new(),
    }
}

/// The name of a device for this person: as in the address book, else as it calls itself, else the end of its id.
pub(crate) fn name_of(
    contacts: &BTreeMap<PeerId, Contact>,
    names: &BTreeMap<PeerId, String>,
    peer: PeerId,
) -> String {
    let known = contacts.get(&peer).map(|c| c.name.clone()).filter(|n| !n.is_empty());
    known
        .or_else(|| names.get(&peer).cloned().filter(|n| !n.is_empty()))
        .unwrap_or_else(|| format!("…{peer:?}"))
}

fn present(sources: &Sources<'_>, contact: &Contact) -> Contact {
    let online = sources.node.is_up(contact.peer_id);
    Contact {
        presence: if online { Presence::Online } else { Presence::Offline },
        nearby: sources.nearby.contains(&contact.peer_id),
        ..contact.clone()
    }
}

fn ready(sources: &Sources<'_>) -> Ready {
    let state = if sources.listening.is_empty() { ReadyState::Connecting } else { ReadyState::Ready };
    let state = if sources.last_error.is_some() && sources.listening.is_empty() {
        ReadyState::Offline
    } else {
        state
    };
    let text = match state {
        ReadyState::Ready => "Ready to receive calls",
        ReadyState::Connecting => "Connecting",
        ReadyState::Offline => "Offline: people can't ring you",
    };
    let mut ports: Vec<u16> =
        sources.node.net().media_candidates().iter().map(std::net::SocketAddr::port).collect();
    ports.sort_unstable();
    ports.dedup();
    Ready {
        state,
        text: text.to_owned(),
        listening: sources.listening.clone(),
        media_ports: ports,
        last_error: sources.last_error.clone(),
        mdns: sources.mdns,
        faults: sources
            .network
            .faults()
            .into_iter()
            .map(|f| fault(f.code(), f.weight(), f.words()))
            .collect(),
        facts: sources.network.facts().into_iter().map(fact).collect(),
    }
}

fn fact(fact: Fact) -> NetworkFact {
    let (text, mend) = fact.words();
    NetworkFact {
        code: fact.code().to_owned(),
        title: fact.title().to_owned(),
        text,
        mend: mend.map(str::to_owned),
    }
}

/// How something that is wrong is shown.
pub(crate) fn fault(code: &str, weight: Weight, said: words::Words) -> FaultView {
    FaultView {
        code: code.to_owned(),
        broken: weight == Weight::Broken,
        text: said.what,
        works: said.works,
        mend: said.todo,
    }
}

fn call_view(sources: &Sources<'_>, call: &Call) -> CallView {
    let peer = call.peer();
    let contact = sources.contacts.get(&peer);
    let name = name_of(sources.contacts, sources.names, peer);
    let hold = call.hold();
    let figures = sources.node.figures(call.id());
    CallView {
        id: call.id(),
        ended: call.end().map(|reason| ended(reason, call, &name, &sources.network)),
        peer: CallPeer {
            peer_id: peer,
            name,
            known: contact.is_some() && call.alert() != Alert::Request,
            verified: contact.map_or(Verified::Unverified, |c| c.verified),
            kind: if peer == sources.echo { PeerKind::Echo } else { PeerKind::Person },
        },
        direction: direction(call.direction()),
        media: media(call.media()),
        state: phase(call),
        hold: HoldView { local: hold.local, remote: hold.remote },
        muted: sources.muted.contains(&call.id()),
        tracks: tracks(sources, call, figures.as_ref()),
        recording: recording(sources, call),
        offered_at_ms: call.offered_at_ms(),
        active_since_ms: call.active_since_ms(),
        reconnecting_since_ms: call.reconnecting_since_ms(),
        path: sources.paths.get(&call.id()).map(path),
        quality: sources.qualities.get(&call.id()).cloned(),
        security: figures.as_ref().and_then(security),
        echo_test: sources.echo_tests.get(&call.id()).cloned(),
    }
}

/// The pictures that are on, this person's first.
fn tracks(sources: &Sources<'_>, call: &Call, figures: Option<&Figures>) -> Vec<TrackView> {
    let lively = sources.pictures.get(&call.id());
    let view = |peer_id, track: VideoTrack, own: bool| {
        let counted = figures.and_then(|figures| figures.stats.pictures.get(&track));
        let size = counted.and_then(|c| if own { c.sent.size } else { c.received.size });
        let now = lively.and_then(|pictures| pictures.get(&(track, own)));
        TrackView {
            peer_id,
            track: track.into(),
            width: size.map(|size| size.width),
            height: size.map(|size| size.height),
            frame_rate: now.map(|now| now.frame_rate),
            bitrate_bps: now.map(|now| now.bitrate.as_bps()),
            frozen: now.is_some_and(|now| now.frozen),
        }
    };
    let ours = call.ours().iter().map(|track| view(sources.node.me(), *track, true));
    ours.chain(call.theirs().iter().map(|track| view(call.peer(), *track, false))).collect()
}

fn recording(sources: &Sources<'_>, call: &Call) -> RecordingView {
    RecordingView {
        own: match call.recording() {
            Recording::Off => RecordingState::Off,
            Recording::Asked { .. } => RecordingState::Asked,
            Recording::On => RecordingState::On,
        },
        file: sources.recordings.path(call.id()).map(|path| path.display().to_string()),
        theirs: call.is_recorded_by_peer(),
    }
}

fn phase(call: &Call) -> CallPhase {
    // The words of both lists are the same by contract; a new one would show as connecting.
    from_word(call.phase().code()).unwrap_or(CallPhase::Connecting)
}

/// The log's word for who called.
pub(crate) fn direction(direction: ahoy_call::Direction) -> Direction {
    match direction {
        ahoy_call::Direction::Outgoing => Direction::Outgoing,
        ahoy_call::Direction::Incoming => Direction::Incoming,
    }
}

/// The log's word for what a call carries.
pub(crate) fn media(media: MediaKind) -> Media {
    match media {
        MediaKind::Voice => Media::Voice,
        MediaKind::Video => Media::Video,
    }
}

fn ended(reason: &EndReason, call: &Call, name: &str, network: &Network) -> Ended {
    let message = match reason {
        EndReason::Declined(message) => message.clone(),
        EndReason::HangupLocal
        | EndReason::HangupRemote
        | EndReason::Busy
        | EndReason::Cancelled
        | EndReason::Timeout
        | EndReason::Elsewhere
        | EndReason::Failed(_)
        | EndReason::Replaced { .. }
        | EndReason::Crashed
        | EndReason::Lost
        | EndReason::Offline => None,
    };
    let mut said = words::ended(reason, call.direction(), name);
    if let Some(fault) = network.fault_behind(reason) {
        // The mend on this side, in the words of `ahoy doctor`.
        let here = fault.words();
        said.works = format!("{}.", here.what);
        said.todo = here.todo;
    }
    if message.is_some() {
        // The page shows the message by itself.
        said.works.clear();
    }
    Ended {
        reason: EndedReason::from_code(reason.code()).unwrap_or(EndedReason::Failed),
        text: said.line(),
        message,
        can_retry: words::can_retry(reason, call.direction()),
    }
}

/// How a path is shown.
pub(crate) fn path(path: &PathInfo) -> PathView {
    use ahoy_net_core::session as core;
    PathView {
        kind: match path.kind {
            core::PathKind::Direct => PathKind::Direct,
            core::PathKind::Relay => PathKind::Relay,
            core::PathKind::Tcp => PathKind::Tcp,
            core::PathKind::Circuit => PathKind::Circuit,
        },
        address: match path.address {
            core::AddressKind::Loopback => AddressKind::Loopback,
            core::AddressKind::Lan => AddressKind::Lan,
            core::AddressKind::Ipv4 => AddressKind::Ipv4,
            core::AddressKind::Ipv6 => AddressKind::Ipv6,
        },
        rtt_ms: path.rtt.map(|rtt| (rtt.as_secs_f64() * 10_000.0).round() / 10.0),
    }
}

fn security(figures: &Figures) -> Option<Security> {
    if figures.info.words.is_empty() {
        return None;
    }
    Some(Security { words: figures.info.words.clone(), suite: figures.info.suite.to_owned() })
}

fn devices(devices: &audio::Devices, pictures: &video::VideoDevices) -> Devices {
    let list = |devices: &[audio::Device]| {
        let view =
            |d: &audio::Device| Device { id: d.id.clone(), name: d.name.clone(), is_default: d.is_default };
        devices.iter().map(view).collect()
    };
    let chosen = |c: &audio::Chosen| ChosenDevice {
        id: c.id.clone(),
        state: match c.state {
            audio::DeviceState::Ok => DeviceState::Ok,
            audio::DeviceState::Missing => DeviceState::Missing,
            audio::DeviceState::Busy => DeviceState::Busy,
            audio::DeviceState::NoSound => DeviceState::NoSound,
        },
        message: c.message.clone(),
    };
    Devices {
        microphones: list(&devices.microphones),
        speakers: list(&devices.speakers),
        microphone: chosen(&devices.microphone),
        speaker: chosen(&devices.speaker),
        cameras: pictures.cameras.iter().map(video_device).collect(),
        screens: pictures.screens.iter().map(video_device).collect(),
        camera: chosen_video(&pictures.camera),
        screen: chosen_video(&pictures.screen),
    }
}

fn video_device(device: &video::VideoDevice) -> VideoDevice {
    use video::SourceKind as Kind;
    VideoDevice {
        id: device.id.clone(),
        name: device.name.clone(),
        kind: match device.kind {
            Kind::Camera => VideoDeviceKind::Camera,
            Kind::Screen => VideoDeviceKind::Screen,
            Kind::Window => VideoDeviceKind::Window,
        },
    }
}

fn chosen_video(chosen: &video::ChosenVideo) -> ChosenVideo {
    use video::SourceState as State;
    ChosenVideo {
        id: chosen.id.clone(),
        state: match chosen.state {
            State::Ok => VideoDeviceState::Ok,
            State::Missing => VideoDeviceState::Missing,
            State::Busy => VideoDeviceState::Busy,
            State::Refused => VideoDeviceState::Refused,
        },
        message: chosen.message.clone(),
    }
}

fn no_picture() -> ChosenVideo {
    ChosenVideo { id: "default".to_owned(), state: VideoDeviceState::Ok, message: None }
}

/// Loss above which listening takes effort, in percent of packets that never came.
const FAIR_LOSS: f64 = 3.0;
/// Loss above which words get lost.
const POOR_LOSS: f64 = 12.0;
/// One-way delay above which people start to talk over each other (ITU-T G.114: 150 ms), in milliseconds.
const FAIR_DELAY: u32 = 150;
/// One-way delay that ITU-T G.114 says must not be exceeded, in milliseconds.
const POOR_DELAY: u32 = 400;

/// Puts figures into words. Percentages are of the last seconds, delays in milliseconds.
pub(crate) fn quality(
    playout_delay_ms: u32,
    delay_ms: u32,
    loss_percent: f64,
    concealed_percent: f64,
) -> Quality {
    let trouble = loss_percent.max(concealed_percent);
    let (word, text) = if trouble >= POOR_LOSS {
        (QualityWord::Poor, "Weak connection: some words get lost")
    } else if delay_ms >= POOR_DELAY {
        (QualityWord::Poor, "Long delay: leave pauses for the other to answer")
    } else if trouble >= FAIR_LOSS {
        (QualityWord::Fair, "Small drop-outs, filled in")
    } else if delay_ms >= FAIR_DELAY {
        (QualityWord::Fair, "A noticeable delay")
    } else {
        (QualityWord::Good, "Good connection")
    };
    Quality { word, text: text.to_owned(), playout_delay_ms, delay_ms, loss_percent, concealed_percent }
}

/// The contact that is always there.
pub(crate) fn echo_contact(peer: PeerId, safety_number: String) -> Contact {
    Contact {
        peer_id: peer,
        name: echo::NAME.to_owned(),
        kind: PeerKind::Echo,
        verified: Verified::Verified,
        presence: Presence::Offline,
        nearby: false,
        safety_number,
        added_at_ms: 0,
        hide_address: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_words_follow_the_worse_of_loss_and_delay() {
        for (delay, loss, concealed, word) in [
            (40, 0.0, 0.0, QualityWord::Good),
            (149, 2.9, 2.9, QualityWord::Good),
            (150, 0.0, 0.0, QualityWord::Fair),
            (40, 3.0, 0.0, QualityWord::Fair),
            (40, 0.0, 5.0, QualityWord::Fair),
            (400, 0.0, 0.0, QualityWord::Poor),
            (40, 12.0, 0.0, QualityWord::Poor),
            (400, 0.0, 30.0, QualityWord::Poor),
        ] {
            assert_eq!(quality(20, delay, loss, concealed).word, word, "{delay} ms, {loss} %, {concealed} %");
        }
    }
}
