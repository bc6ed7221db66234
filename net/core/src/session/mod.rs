//! The secure association of two devices in one call: keys, links, sealed sound. Pure: bytes and moments in, bytes and
//! events out.
//!
//! ```text
//!            Handshake(bytes)                        Output::Handshake(bytes)
//!  signalling ------------->  +------------------+  -------------------------> signalling
//!             LinkUp, hello   |  keys.rs         |   Dial, LinkHello, CloseLink
//!  links      ------------->  |  links.rs        |  -------------------------> links
//!             Datagram        |  (this file:     |   Transmit
//!  microphone ------------->  |   what to do     |  -------------------------> Audio (to playout)
//!             Audio           |   with each)     |   Event
//!                             +------------------+
//! ```
//! The law of the shell: one input, then poll until [`Output::Wake`], then wait.

mod door;
mod keys;
mod links;
mod messages;
mod pictures;
#[cfg(test)]
mod tests;
mod voice;
mod without_udp;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use ahoy_base::{EncodedAudio, LinkId, Moment, OpusPacket};

use crate::path::splices::{SpliceOutput, Splices};
use crate::path::{Agent, PathOutput};
use crate::seal::handshake::SUITE;
use crate::seal::media::{MediaOpener, MediaSealer, SenderKey, fits};
use crate::wire::datagram::{
    Datagram, DatagramError, MediaHeader, VOICE, VOICE_HEADER, from_ticks, to_ticks,
};
use crate::wire::voice as voice_bytes;
use keys::{Keys, KeysOutput};
use links::Links;
use messages::Control;
use pictures::Pictures;
use voice::Voice;

pub use crate::receive::ReceivedAudio;
pub use crate::seal::handshake::{LocalIdentity, Role};
pub use crate::transport::{Loss, RateFigures, Usage, VoicePlan};
pub use door::{
    DropReason, Exposure, Input, Output, RefusedReason, SessionConfig, SessionEvent, SessionInfo,
    SessionStats, WakeReason,
};
pub use links::{AddressKind, LinkFigures, LinkSide, NewLink, PathInfo, PathKind};
pub use messages::RelayOffer;
pub use pictures::PictureFigures;

/// A session that is not secured by then is refused. A handshake is two round trips.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Nothing heard for this long on any link: the path is lost.
pub const LOST_AFTER: Duration = Duration::from_secs(3);
/// A sign of life is sent when nothing else was for this long.
const KEEP_ALIVE: Duration = Duration::from_millis(500);
/// How often our sender key changes.
const KEY_LIFE: Duration = Duration::from_secs(600);
/// A key that the peer has not acked is sent again after this.
const KEY_RESEND: Duration = Duration::from_millis(500);
/// How often a fresh handshake replaces the running one.
const SESSION_LIFE: Duration = Duration::from_secs(3_600);
/// Changes of the round trip are reported at most this often.
const PATH_NEWS: Duration = Duration::from_secs(1);
/// What IP, UDP and QUIC put around a datagram: 20 to 40, 8, and about 25 bytes.
const OUTSIDE: usize = 57;

/// See the module's first lines.
pub struct Session {
    role: Role,
    exposure: Exposure,
    /// Our media addresses, told or not.
    candidates: Vec<SocketAddr>,
    keys: Keys,
    links: Links,
    paths: Agent,
    splices: Splices,
    sealer: Option<MediaSealer>,
    opener: MediaOpener,
    voice: Voice,
    pictures: Pictures,
    outputs: VecDeque<Output>,
    stats: SessionStats,
    phase: Phase,
    /// Added to the numbers of our microphone, so that a restarted capture never uses a number twice.
    number_offset: u64,
    next_number: u64,
    /// Newest media time heard, to unwrap the next.
    heard_media: Duration,
    path: Option<PathInfo>,
    path_news_at: Moment,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Securing,
    /// Keys, no path yet or no more.
    Secured,
    Ready,
    Refused,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("role", &self.role)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Begins. The initiator's first message is in the first outputs.
    pub fn new(now: Moment, mut config: SessionConfig) -> Session {
        let (role, exposure) = (config.role, config.exposure);
        let candidates = config.candidates.clone();
        let mut paths = Agent::new(role);
        if exposure == Exposure::RelaysAlone {
            config.candidates.clear();
            paths.set_relays_alone(true);
        }
        let mut session = Session {
            role,
            exposure,
            candidates,
            links: Links::new(),
            paths,
            splices: Splices::new(role, config.remote),
            keys: Keys::new(now, config),
            sealer: None,
            opener: MediaOpener::default(),
            voice: Voice::new(),
            pictures: Pictures::new(now, role),
            outputs: VecDeque::new(),
            stats: SessionStats::default(),
            phase: Phase::Securing,
            number_offset: 0,
            next_number: 0,
            heard_media: Duration::ZERO,
            path: None,
            path_news_at: now,
        };
        session.take_keys_news(now);
        session
    }

    /// Takes one input. Never blocks, never fails on what a remote sent: bad bytes are counted and dropped.
    pub fn handle(&mut self, now: Moment, input: Input<'_>) {
        if self.phase == Phase::Refused {
            return;
        }
        match input {
            Input::Handshake(bytes) => self.on_handshake(now, bytes),
            Input::Candidates(ours) => self.on_candidates(ours),
            Input::PeerAt(hosts) => self.paths.set_likely(hosts),
            Input::Exposure(exposure) => self.on_exposure(now, exposure),
            Input::NetworkChanged => self.look_for_paths(now),
            Input::Packet { from, bytes } => self.on_packet(now, from, bytes),
            Input::Relays(relays) => self.splices.know(relays),
            Input::RelayAnswer { relay, lent } => self.splices.on_answer(now, relay, lent),
            Input::LinkUp(new) => {
                let hidden = self.exposure == Exposure::RelaysAlone && new.kind == PathKind::Direct;
                let refused = if hidden { Some("our address is hidden") } else { self.links.add(now, new) };
                if let Some(why) = refused {
                    self.outputs.push_back(Output::CloseLink { link: new.link, why });
                }
            }
            Input::LinkHello { link, bytes } => self.links.on_hello(link, bytes),
            Input::LinkRtt { link, rtt } => self.links.on_rtt(link, rtt),
            Input::LinkMarks { link, marks } => self.links.on_marks(now, link, marks),
            Input::LinkDown { link } => self.links.remove(link),
            Input::Datagram { link, bytes } => self.on_datagram(now, link, bytes),
            Input::Audio(frame) => self.on_audio(now, frame),
            Input::TrackOn { track, on } => self.on_track(now, track, on),
            Input::Video { track, frame } => self.on_video(now, track, &frame),
            Input::Want { track, size } => self.on_want(now, track, size),
            Input::Watching(watching) => self.pictures.watch(watching),
            Input::NeedKey(track) => self.pictures.need_key(track),
            Input::VoiceWaits(waits) => self.pictures.voice_waits(waits),
            Input::LowData(on) => self.pictures.low_data(now, on),
            Input::Wake => {}
        }
        self.on_time(now);
    }

    /// The next thing to do. Call until [`Output::Wake`], which is always last.
    pub fn poll(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        let (at, why) = self.due();
        Output::Wake { at, why }
    }

    /// Counters.
    pub fn stats(&self) -> SessionStats {
        let mut stats = self.stats.clone();
        stats.links = self.links.figures();
        stats.plan = Some(self.voice.plan());
        stats.pictures = self.pictures.figures();
        stats
    }

    /// Words and hash.
    pub fn info(&self) -> SessionInfo {
        let hash = self.keys.first_hash();
        SessionInfo {
            words: hash
                .map(|h| crate::seal::safety_words(&h).into_iter().map(str::to_owned).collect())
                .unwrap_or_default(),
            handshake_hash: hash.map(|h| h.iter().map(|b| format!("{b:02x}")).collect()).unwrap_or_default(),
            suite: SUITE,
        }
    }

    fn on_candidates(&mut self, ours: Vec<SocketAddr>) {
        self.candidates = ours;
        if self.exposure == Exposure::Straight {
            self.keys.tell_candidates(&self.candidates);
        }
    }

    /// From one moment to the next: what stands straight is closed, or our addresses are told and asked for paths.
    fn on_exposure(&mut self, now: Moment, exposure: Exposure) {
        if std::mem::replace(&mut self.exposure, exposure) == exposure {
            return;
        }
        self.paths.set_relays_alone(exposure == Exposure::RelaysAlone);
        match exposure {
            Exposure::Straight => self.keys.tell_candidates(&self.candidates),
            Exposure::RelaysAlone => {
                self.keys.tell_candidates(&[]);
                self.links.close_straight();
            }
        }
        self.look_for_paths(now);
    }

    /// A relay answers a bind, or the peer a probe or asks one.
    fn on_packet(&mut self, now: Moment, from: SocketAddr, bytes: &[u8]) {
        if !self.splices.on_packet(now, from, bytes) {
            self.splices.heard(from);
            self.paths.on_packet(now, from, bytes);
        }
    }

    fn on_handshake(&mut self, now: Moment, bytes: &[u8]) {
        match self.keys.on_message(now, bytes) {
            Ok(Some(content)) => self.on_control(now, None, &content),
            Ok(None) => {}
            Err(reason) => self.drop_one(reason),
        }
        self.take_keys_news(now);
    }

    fn on_datagram(&mut self, now: Moment, link: LinkId, bytes: &[u8]) {
        let datagram = match Datagram::parse(bytes) {
            Ok(datagram) => datagram,
            Err(DatagramError::Unknown) => return self.drop_one(DropReason::Unknown),
            Err(DatagramError::Short | DatagramError::Broken) => return self.drop_one(DropReason::Malformed),
        };
        if !self.links.is_admitted(link) {
            return self.drop_one(DropReason::NotAdmitted);
        }
        let link_seq = datagram.link_seq();
        let media = !matches!(datagram, Datagram::Control { .. });
        let genuine = match datagram {
            Datagram::Media { header, sealed, .. } => self.on_media(now, header, sealed),
            Datagram::Piece { piece, .. } => self.on_piece(now, &piece),
            Datagram::Ask { ask, .. } => {
                self.on_ask(now, &ask);
                Ok(())
            }
            Datagram::Padding { .. } => Ok(()),
            Datagram::Feedback(report) => {
                self.links.on_report(now, link, &report);
                self.stats.received_bytes += bytes.len() as u64;
                return self.follow_weather(now);
            }
            Datagram::Control { sealed, .. } => match self.keys.open(now, sealed) {
                Ok(content) => {
                    self.on_control(now, Some(link), &content);
                    Ok(())
                }
                Err(error) => Err(error.into()),
            },
        };
        match genuine {
            // A copy of what came over another link is a sign of life of this one.
            Ok(()) | Err(DropReason::Replayed) => {
                if let Some(link_seq) = link_seq {
                    self.links.heard(now, link, link_seq, media);
                }
                self.stats.received_bytes += bytes.len() as u64;
                match genuine {
                    Ok(()) => {}
                    Err(_) if media => self.stats.audio_double += 1,
                    Err(reason) => self.drop_one(reason),
                }
            }
            Err(reason) => self.drop_one(reason),
        }
        self.take_keys_news(now);
    }

    fn on_media(&mut self, now: Moment, header: MediaHeader, sealed: &[u8]) -> Result<(), DropReason> {
        if header.slot != slot(other(self.role)) || header.track != VOICE {
            return Err(DropReason::Unknown);
        }
        let opened = self.opener.open(sealed, &header.authenticated())?;
        let media_time = from_ticks(header.media_ticks, self.heard_media);
        self.heard_media = media_time;
        self.pictures.heard_voice(now, media_time);
        let (frame, older) = voice_bytes::unpack(&opened.content).ok_or(DropReason::Malformed)?;
        let duration = voice_bytes::opus_duration(frame).ok_or(DropReason::Malformed)?;
        self.stats.audio_received += 1;
        let mut next = (opened.number, media_time);
        let mut hand_over = |seq, media_time, duration, opus: &[u8], copy| {
            // Never too long: a datagram is not.
            let Some(opus) = OpusPacket::new(opus) else { return };
            let frame = EncodedAudio { seq, media_time, duration, level: header.level, opus };
            self.outputs.push_back(Output::Audio(Box::new(ReceivedAudio { arrival: now, frame, copy })));
        };
        hand_over(opened.number, media_time, duration, frame, false);
        for copy in older {
            // A copy follows without a gap, so its number and time follow from the frame after it.
            let Some(duration) = voice_bytes::opus_duration(copy) else { break };
            let (Some(seq), Some(time)) = (next.0.checked_sub(1), next.1.checked_sub(duration)) else {
                break;
            };
            hand_over(seq, time, duration, copy, true);
            next = (seq, time);
        }
        Ok(())
    }

    fn on_control(&mut self, now: Moment, link: Option<LinkId>, content: &[u8]) {
        let Some(control) = Control::decode(content) else {
            return self.drop_one(DropReason::Unknown);
        };
        if let Some(state) = &control.pictures {
            self.on_picture_state(now, state);
        }
        if let Some(serial) = control.pictures_ack {
            self.on_picture_ack(serial);
        }
        if let Some(key) = control.sender_key {
            self.add_their_key(&key);
            let ack = Control { key_ack: Some(key.generation), ..Control::default() };
            self.send_control(now, link, &ack);
        }
        if let Some(generation) = control.key_ack
            && let Some(key) = self.keys.on_key_ack(now, generation)
        {
            self.use_key(&key);
        }
        // What stands for a splice of ours is nothing that the peer could know.
        self.paths.learn(now, control.candidates.into_iter().filter(|a| !crate::path::is_relayed(*a)));
        if self.exposure == Exposure::Straight {
            control.relays.into_iter().for_each(|offer| self.splices.on_offer(now, offer));
        }
        if control.round {
            self.paths.on_round(now);
        }
    }

    fn on_audio(&mut self, now: Moment, frame: EncodedAudio) {
        let mut number = frame.seq.saturating_add(self.number_offset);
        if number < self.next_number {
            // The capture began anew and counts from 0; on the wire numbers only grow.
            self.number_offset = self.next_number.saturating_sub(frame.seq);
            number = self.next_number;
        }
        self.next_number = number.saturating_add(1);
        let Some(first) = self.links.chosen() else {
            return self.drop_one(DropReason::NoLink);
        };
        let older = self.voice.older(&frame, number);
        let content = voice_bytes::pack(&frame.opus, older.iter().map(Vec::as_slice));
        self.voice.keep(&frame, number);
        if !fits(&content, first.max_datagram) {
            return self.drop_one(DropReason::TooLarge);
        }
        let header = MediaHeader {
            slot: slot(self.role),
            track: VOICE,
            // The low bits alone; the whole number is inside the seal.
            frame: number as u16,
            media_ticks: to_ticks(frame.media_time),
            level: frame.level,
        };
        let sealed = self.sealer.as_mut().and_then(|s| s.seal(number, &content, &header.authenticated()));
        let Some(sealed) = sealed else {
            return self.drop_one(DropReason::NoLink);
        };
        self.stats.audio_sent += 1;
        self.repeat_in_doubt(now);
        self.send_media(now, header, &sealed);
        self.voice.remember(now, header, &sealed);
        self.voice.send_again(now, header, sealed);
    }

    fn send_media(&mut self, now: Moment, header: MediaHeader, sealed: &[u8]) {
        for link in self.links.send_on(now) {
            self.pictures.spent(sealed.len() + VOICE_HEADER + OUTSIDE);
            self.transmit(now, link, |link_seq| Datagram::Media { link_seq, header, sealed }.encode());
            self.links.asked(now, link);
        }
    }

    /// When something is late on the chosen link, what it was given last goes over the standby too; when the link becomes
    /// doubtful, others are looked for.
    fn repeat_in_doubt(&mut self, now: Moment) {
        if self.links.newly_doubtful(now) {
            self.look_for_paths(now);
        }
        let Some((since, standby)) = self.links.newly_late(now) else { return };
        for (header, sealed) in self.voice.since(since) {
            self.transmit(now, standby, |link_seq| {
                Datagram::Media { link_seq, header, sealed: &sealed }.encode()
            });
        }
    }

    /// A round of probes, and binds at relays: whatever fell silent, they may not know us where we are now.
    fn look_for_paths(&mut self, now: Moment) {
        self.paths.restart(now);
        self.splices.bind_again(now);
    }

    /// Takes over what the reports say: how voice is sent from here on.
    fn follow_weather(&mut self, now: Moment) {
        if let Some(weather) = self.voice_weather()
            && let Some(plan) = self.voice.follow(now, weather)
        {
            self.outputs.push_back(Output::Voice(plan));
        }
    }

    /// Over the link that the question came by, else over signalling.
    fn send_control(&mut self, now: Moment, link: Option<LinkId>, control: &Control) {
        let Some(sealed) = self.keys.seal(&control.encode()) else { return };
        match link {
            Some(link) => {
                self.transmit(now, link, |link_seq| Datagram::Control { link_seq, sealed: &sealed }.encode())
            }
            None => self.outputs.push_back(Output::Handshake(self.keys.wrap(&sealed))),
        }
    }

    /// Over signalling and every link: either may be broken, and what is said twice does no harm.
    fn send_everywhere(&mut self, now: Moment, control: &Control) {
        let links = self.links.admitted();
        links.into_iter().map(Some).chain([None]).for_each(|way| self.send_control(now, way, control));
    }

    /// Sees to it that relays are held, and tells the peer of them.
    fn follow_splices(&mut self, now: Moment) {
        self.splices.on_time(now);
        while let Some(output) = self.splices.poll() {
            match output {
                SpliceOutput::Ask(relay) => self.outputs.push_back(Output::AskRelay(relay)),
                SpliceOutput::Tag(tag) => self.outputs.push_back(Output::Tag(tag)),
                SpliceOutput::Send(to, bytes) => self.outputs.push_back(Output::Packet { to, bytes }),
                SpliceOutput::Bound(stands, id, relay) => {
                    self.outputs.push_back(Output::Splice { stands, id, relay });
                }
                SpliceOutput::Live(stands) => self.paths.learn(now, [stands]),
                SpliceOutput::Silent(stands) => self.paths.forget(stands),
                SpliceOutput::Gone(stands) => {
                    self.paths.forget(stands);
                    self.outputs.push_back(Output::SpliceGone(stands));
                }
                SpliceOutput::SeenAs(by, seen) => self.outputs.push_back(Output::SeenAs(by, seen)),
            }
        }
        if self.phase != Phase::Securing {
            let relays = self.splices.offers_due(now);
            for relays in relays.chunks(messages::MAX_RELAYS) {
                self.send_everywhere(now, &Control { relays: relays.to_vec(), ..Control::default() });
            }
        }
    }

    /// Looks for paths, and does what that takes.
    fn follow_agent(&mut self, now: Moment) {
        self.paths.on_time(now, &self.links.routes(now));
        while let Some(output) = self.paths.poll() {
            match output {
                PathOutput::Send(to, bytes) => self.outputs.push_back(Output::Packet { to, bytes }),
                PathOutput::Dial(address) => self.outputs.push_back(Output::Dial(address)),
                PathOutput::Welcome(address) => self.outputs.push_back(Output::Welcome(address)),
                PathOutput::SeenAs(by, seen) => self.outputs.push_back(Output::SeenAs(by, seen)),
                PathOutput::Round => {
                    self.send_everywhere(now, &Control { round: true, ..Control::default() })
                }
            }
        }
    }

    fn transmit(&mut self, now: Moment, link: LinkId, datagram: impl FnOnce(u16) -> Vec<u8>) {
        let Some(link_seq) = self.links.next_seq(link) else { return };
        let datagram = datagram(link_seq);
        self.links.sent(now, link, datagram.len() + OUTSIDE);
        self.stats.sent_bytes += datagram.len() as u64;
        self.outputs.push_back(Output::Transmit { link, datagram });
    }

    fn add_their_key(&mut self, key: &SenderKey) {
        self.opener.add_key(slot(other(self.role)), VOICE, key);
        self.pictures.add_their_key(key);
    }

    fn use_key(&mut self, key: &SenderKey) {
        self.pictures.use_key(key);
        match &mut self.sealer {
            Some(sealer) => {
                sealer.change_key(key);
                self.stats.key_changes += 1;
            }
            None => self.sealer = MediaSealer::new(slot(self.role), VOICE, key),
        }
    }

    fn take_keys_news(&mut self, now: Moment) {
        while let Some(news) = self.keys.poll() {
            match news {
                KeysOutput::Send(bytes) => self.outputs.push_back(Output::Handshake(bytes)),
                KeysOutput::OurKey(key) => self.use_key(&key),
                KeysOutput::TheirKey(key) => self.add_their_key(&key),
                KeysOutput::TheirCandidates(addresses) => {
                    self.paths.learn(now, addresses.into_iter().filter(|a| !crate::path::is_relayed(*a)));
                }
                KeysOutput::LinkSecret { id, key } => {
                    self.links.set_secret(id, key);
                    let tag = self.paths.set_secret(now, &key);
                    self.outputs.push_back(Output::Tag(tag));
                }
                KeysOutput::Secured => {
                    self.stats.handshakes += 1;
                    if self.phase == Phase::Securing {
                        self.phase = Phase::Secured;
                        self.tell(SessionEvent::Secured);
                    }
                }
                KeysOutput::Refused(reason) => {
                    self.phase = Phase::Refused;
                    self.tell(SessionEvent::Refused(reason));
                }
            }
        }
    }

    fn on_time(&mut self, now: Moment) {
        self.keys.on_time(now);
        self.take_keys_news(now);
        if self.phase == Phase::Refused {
            return;
        }
        if let Some(key) = self.keys.key_to_announce(now) {
            let control = Control { sender_key: Some(key), ..Control::default() };
            let link = self.links.chosen().map(|l| l.id);
            self.send_control(now, link, &control);
        }
        if let Some(candidates) = self.keys.candidates_to_tell() {
            self.send_everywhere(now, &Control { candidates, ..Control::default() });
        }
        while let Some((header, sealed)) = self.voice.take_due(now) {
            self.stats.audio_again += 1;
            self.send_media(now, header, &sealed);
        }
        while let Some((link, report)) = self.links.report(now) {
            let datagram = Datagram::Feedback(report).encode();
            self.stats.sent_bytes += datagram.len() as u64;
            self.outputs.push_back(Output::Transmit { link, datagram });
        }
        self.links.on_time(now, self.role);
        while let Some(output) = self.links.poll(self.role) {
            self.outputs.push_back(output);
        }
        self.pictures_on_time(now);
        self.follow_path(now);
        if self.links.newly_silent(now) {
            // Its relay may be gone: it is asked, and another one if it does not answer.
            self.splices.bind_again(now);
        }
        self.follow_splices(now);
        self.follow_agent(now);
        let quiet = self.links.quiet(now);
        if !quiet.is_empty()
            && let Some(sealed) = self.keys.seal(&Control::default().encode())
        {
            for link in quiet {
                self.transmit(now, link, |link_seq| Datagram::Control { link_seq, sealed: &sealed }.encode());
            }
        }
    }

    /// Follows whether there is a path, and which.
    fn follow_path(&mut self, now: Moment) {
        let alive = self.links.is_alive(now);
        match (self.phase, alive) {
            (Phase::Secured, true) => {
                self.phase = Phase::Ready;
                self.tell(SessionEvent::Ready);
            }
            (Phase::Ready, false) => {
                self.phase = Phase::Secured;
                self.path = None;
                self.look_for_paths(now);
                self.tell(SessionEvent::Lost);
            }
            (Phase::Securing | Phase::Refused, _) | (Phase::Secured, false) | (Phase::Ready, true) => {}
        }
        let path = if self.phase == Phase::Ready { self.links.path() } else { None };
        if let Some(path) = path {
            let moved = self.path.is_none_or(|old| (old.kind, old.address) != (path.kind, path.address));
            let changed = self.path.is_none_or(|old| links::rtt_changed(old.rtt, path.rtt));
            if moved || (changed && now >= self.path_news_at) {
                self.path = Some(path);
                self.path_news_at = now + PATH_NEWS;
                self.tell(SessionEvent::Path(path));
            }
        }
    }

    fn due(&self) -> (Moment, WakeReason) {
        if self.phase == Phase::Refused {
            return (Moment::NEVER, WakeReason::Nothing);
        }
        let alive = if self.phase == Phase::Securing { Moment::NEVER } else { self.links.speak_at() };
        let liveness = if self.phase == Phase::Ready { self.links.dead_at() } else { Moment::NEVER };
        let (keys_at, keys_why) = self.keys.due();
        [
            (Moment::NEVER, WakeReason::Nothing),
            (alive, WakeReason::KeepAlive),
            (liveness, WakeReason::Liveness),
            (self.paths.due(), WakeReason::Probe),
            (self.splices.due(self.phase != Phase::Securing), WakeReason::Relay),
            (self.links.dial_at(), WakeReason::Dial),
            (self.voice.due().unwrap_or(Moment::NEVER), WakeReason::Again),
            (self.links.report_at(), WakeReason::Report),
            (self.pictures_due(), WakeReason::Picture),
            (keys_at, keys_why),
        ]
        .into_iter()
        .min()
        .unwrap_or((Moment::NEVER, WakeReason::Nothing))
    }

    fn tell(&mut self, event: SessionEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    fn drop_one(&mut self, reason: DropReason) {
        *self.stats.dropped.entry(reason).or_insert(0) += 1;
    }
}

/// The slot of a side in headers and key ids.
const fn slot(role: Role) -> u8 {
    match role {
        Role::Initiator => 0,
        Role::Responder => 1,
    }
}

const fn other(role: Role) -> Role {
    match role {
        Role::Initiator => Role::Responder,
        Role::Responder => Role::Initiator,
    }
}
