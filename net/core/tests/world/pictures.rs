//! Two sessions over a path in made-up time, one with a camera: an encoder that follows its plan and its requests, and a
//! viewer that checks that it is shown only what it can decode.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ahoy_base::{
    CallId, EncodedAudio, EncodedVideo, LinkId, Moment, OpusPacket, PeerId, TICK, VideoCodec, VideoPlan,
    VideoRequest, VideoSize, VideoTrack, VoiceLevel,
};
use ahoy_net_core::session::{
    Exposure, Input, LinkSide, LocalIdentity, NewLink, Output, PathKind, Role, Session, SessionConfig,
    SessionEvent,
};
use ed25519_dalek::SigningKey;

use super::{Dice, Link, Packet, Path};

const LINK: LinkId = LinkId::new(1);
/// What a frame takes to be encoded.
const ENCODING: Duration = Duration::from_millis(6);

/// A frame that was shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Moment,
    pub(crate) captured: Moment,
    pub(crate) bytes: usize,
    pub(crate) size: VideoSize,
}

struct Encoder {
    plan: Option<VideoPlan>,
    next: u64,
    due_us: u64,
    requests: Vec<VideoRequest>,
    last: Option<u64>,
    dice: Dice,
    /// The plan's size that the last frame had: another one begins with a key frame.
    size: Option<VideoSize>,
    keys: u64,
}

/// See the module's first line.
pub(crate) struct PictureCall {
    pub(crate) sessions: [Session; 2],
    /// What 0 sends to 1, and back.
    pub(crate) links: [Link; 2],
    payloads: [BTreeMap<u64, Vec<u8>>; 2],
    sent: [u64; 2],
    signals: Vec<(Moment, usize, Vec<u8>)>,
    hellos: Vec<(Moment, usize, Vec<u8>)>,
    wake: [Moment; 2],
    ms: u64,
    up: bool,
    encoder: Encoder,
    on: bool,
    waiting: Option<(Moment, EncodedVideo)>,
    spoken: [u64; 2],
    pub(crate) seen: Vec<Seen>,
    /// Voice frames that 1 heard, by arrival: number and when.
    pub(crate) heard: Vec<(u64, Moment)>,
    decoded: BTreeSet<u64>,
    pub(crate) events: Vec<SessionEvent>,
    pub(crate) bytes: u64,
}

fn identity(n: u8) -> LocalIdentity {
    let peer = PeerId::from_public_key(SigningKey::from_bytes(&[n; 32]).verifying_key().to_bytes());
    LocalIdentity { peer, signing_key: [n; 32], noise_static: [n + 100; 32] }
}

impl PictureCall {
    /// A call whose keys and link stand; the way back has the delay of `path` and nothing else.
    pub(crate) fn new(seed: u64, path: Path) -> PictureCall {
        let now = Moment::from_millis(1_000);
        let (a, b) = (identity(1), identity(2));
        let config = |role, local: &LocalIdentity, remote: &LocalIdentity, n: u8| SessionConfig {
            call: CallId::from_bytes([5; 16]),
            role,
            local: local.clone(),
            remote: remote.peer,
            seed: [seed as u8 ^ n; 32],
            candidates: vec![format!("10.0.0.{n}:5000").parse().unwrap()],
            exposure: Exposure::Straight,
        };
        let sessions = [
            Session::new(now, config(Role::Initiator, &a, &b, 1)),
            Session::new(now, config(Role::Responder, &b, &a, 2)),
        ];
        let back = Path { loss: path.loss, ..Path::good(20_000.0, path.delay.as_millis() as u64) };
        let mut call = PictureCall {
            sessions,
            links: [Link::new(seed, path), Link::new(seed + 1, back)],
            payloads: [BTreeMap::new(), BTreeMap::new()],
            sent: [0; 2],
            signals: Vec::new(),
            hellos: Vec::new(),
            wake: [now; 2],
            ms: 1_000,
            up: false,
            encoder: Encoder {
                plan: None,
                next: 0,
                due_us: 0,
                requests: Vec::new(),
                last: None,
                dice: Dice::new(seed + 7),
                size: None,
                keys: 0,
            },
            on: false,
            waiting: None,
            spoken: [0; 2],
            seen: Vec::new(),
            heard: Vec::new(),
            decoded: BTreeSet::new(),
            events: Vec::new(),
            bytes: 0,
        };
        call.drain(0);
        call.drain(1);
        call.run(Duration::from_secs(1));
        let now = call.now();
        call.sessions[1].handle(now, Input::Watching(true));
        call
    }

    pub(crate) fn now(&self) -> Moment {
        Moment::from_millis(self.ms)
    }

    pub(crate) fn keys(&self) -> u64 {
        self.encoder.keys
    }

    pub(crate) fn camera(&mut self, on: bool) {
        let now = self.now();
        self.on = on;
        self.waiting = None;
        if on {
            // A fresh encoder counts from 0 and begins with a key frame.
            self.encoder.next = 0;
            self.encoder.last = None;
            self.encoder.plan = None;
            self.encoder.due_us = now.as_micros();
            self.decoded.clear();
        }
        self.sessions[0].handle(now, Input::TrackOn { track: VideoTrack::Camera, on });
        self.drain(0);
    }

    /// Runs for `time`, a millisecond a step.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.ms + time.as_millis() as u64;
        while self.ms < end {
            self.ms += 1;
            let now = self.now();
            self.speak(now);
            self.film(now);
            for to in 0..2 {
                for (at, packet) in self.links[1 - to].deliver(now) {
                    let Some(bytes) = self.payloads[1 - to].get(&packet.number).cloned() else { continue };
                    self.sessions[to].handle(at.max(now), Input::Datagram { link: LINK, bytes: &bytes });
                    self.drain(to);
                }
                while self.payloads[1 - to].len() > 4_000 {
                    self.payloads[1 - to].pop_first();
                }
            }
            self.signal(now);
            for who in 0..2 {
                if self.wake[who] <= now {
                    self.sessions[who].handle(now, Input::Wake);
                    self.drain(who);
                }
            }
        }
    }

    fn signal(&mut self, now: Moment) {
        for (at, to, bytes) in std::mem::take(&mut self.signals) {
            if at > now {
                self.signals.push((at, to, bytes));
            } else {
                self.sessions[to].handle(now, Input::Handshake(&bytes));
                self.drain(to);
            }
        }
        for (at, to, bytes) in std::mem::take(&mut self.hellos) {
            if at > now {
                self.hellos.push((at, to, bytes));
            } else {
                self.sessions[to].handle(now, Input::LinkHello { link: LINK, bytes: &bytes });
                self.drain(to);
            }
        }
    }

    fn speak(&mut self, now: Moment) {
        for who in 0..2 {
            if self.ms.is_multiple_of(10) && self.up {
                let seq = self.spoken[who];
                self.spoken[who] += 1;
                let frame = EncodedAudio {
                    seq,
                    media_time: Duration::from_millis(self.ms) - TICK,
                    duration: TICK,
                    level: VoiceLevel::new(9),
                    // CELT, 10 ms (RFC 6716, 3.1), 48 kbit/s.
                    opus: OpusPacket::new(&[vec![18 << 3], vec![0; 59]].concat()).unwrap(),
                };
                self.sessions[who].handle(now, Input::Audio(frame));
                self.drain(who);
            }
        }
    }

    fn film(&mut self, now: Moment) {
        if let Some((_, frame)) = self.waiting.take_if(|(at, _)| *at <= now)
            && self.on
        {
            let kept = frame.seq;
            self.sessions[0].handle(now, Input::Video { track: VideoTrack::Camera, frame });
            self.encoder.last = Some(kept);
            self.drain(0);
        }
        let Some(plan) = self.encoder.plan.filter(|p| self.on && p.bitrate.as_bps() > 0) else { return };
        if now.as_micros() < self.encoder.due_us {
            return;
        }
        self.encoder.due_us += 1_000_000 / u64::from(plan.frame_rate);
        if self.waiting.is_some() || !self.sessions[0].takes_video() {
            return;
        }
        let frame = self.encoder.encode(plan, Duration::from_millis(self.ms));
        self.waiting = Some((now + ENCODING, frame));
    }

    fn drain(&mut self, who: usize) {
        let now = self.now();
        loop {
            let other = 1 - who;
            match self.sessions[who].poll() {
                Output::Handshake(bytes) => {
                    self.signals.push((now + Duration::from_millis(20), other, bytes));
                }
                // Finding a path is another world's matter (path/world.rs): here there is one as soon as there are keys.
                Output::Tag(_) if !self.up => {
                    self.up = true;
                    for (who, side) in [(0, LinkSide::Dialer), (1, LinkSide::Acceptor)] {
                        let remote = format!("10.0.0.{}:5000", 2 - who).parse().unwrap();
                        let new = NewLink {
                            link: LINK,
                            kind: PathKind::Direct,
                            side,
                            remote,
                            route: remote,
                            exporter: [9; 32],
                            max_datagram: 1_200,
                        };
                        self.sessions[who].handle(now, Input::LinkUp(new));
                        let rtt = self.links[0].path.delay * 2;
                        self.sessions[who].handle(now, Input::LinkRtt { link: LINK, rtt });
                    }
                }
                Output::LinkHello { bytes, .. } => {
                    self.hellos.push((now + Duration::from_millis(20), other, bytes));
                }
                Output::Transmit { datagram, .. } => {
                    let number = self.sent[who];
                    self.sent[who] += 1;
                    let bytes = datagram.len() + 57;
                    self.bytes += if who == 0 { bytes as u64 } else { 0 };
                    self.payloads[who].insert(number, datagram);
                    self.links[who].send(Packet { flow: who, number, bytes });
                }
                Output::Audio(received) if who == 1 && !received.copy => {
                    self.heard.push((received.frame.seq, received.arrival));
                }
                Output::VideoPlan { plan, .. } => self.encoder.plan = Some(plan),
                Output::VideoRequest { request, .. } => self.encoder.requests.push(request),
                Output::Video { frame, .. } => self.see(now, &frame),
                Output::Event(event) if who == 1 => self.events.push(event),
                Output::Wake { at, .. } => {
                    self.wake[who] = at;
                    return;
                }
                _ => {}
            }
        }
    }

    fn see(&mut self, now: Moment, frame: &EncodedVideo) {
        if let Some(needs) = frame.needs {
            assert!(self.decoded.contains(&needs), "{} can't be decoded without {needs}", frame.seq);
        }
        assert!(self.decoded.last().is_none_or(|last| frame.seq > *last), "order");
        self.decoded.insert(frame.seq);
        let captured = Moment::ZERO + frame.media_time;
        self.seen.push(Seen { at: now, captured, bytes: frame.data.len(), size: frame.size });
    }
}

impl Encoder {
    fn encode(&mut self, plan: VideoPlan, media_time: Duration) -> EncodedVideo {
        let mut requests = std::mem::take(&mut self.requests);
        requests.retain(|request| !matches!(request, VideoRequest::Has(_)));
        let resized = self.size.replace(plan.size) != Some(plan.size);
        let key = self.last.is_none() || resized || requests.contains(&VideoRequest::Key);
        let go_on = requests.iter().rev().find_map(|r| match r {
            VideoRequest::GoOnFrom(n) => Some(*n),
            _ => None,
        });
        let needs = if key { None } else { go_on.or(self.last) };
        let mean = plan.bitrate.as_bps() as f64 / 8.0 / f64::from(plan.frame_rate);
        let by = match (key, go_on) {
            (true, _) => 4.0,
            (false, Some(_)) => 2.0,
            (false, None) => 0.7 + 0.6 * self.dice.roll(),
        };
        self.keys += u64::from(key);
        let seq = self.next;
        self.next += 1;
        EncodedVideo {
            seq,
            media_time,
            codec: VideoCodec::Vp8,
            size: plan.size,
            needs,
            kept: key || seq.is_multiple_of(30),
            discardable: false,
            data: vec![seq as u8; (mean * by) as usize + 20],
        }
    }
}

/// What a part of a call looked like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) fps: f64,
    /// Capture to show, milliseconds.
    pub(crate) median: f64,
    pub(crate) p95: f64,
    pub(crate) frozen_ms: f64,
    /// Of frames shown, kbit/s.
    pub(crate) kbps: f64,
}

/// Looks at what was shown between two moments.
pub(crate) fn look(seen: &[Seen], from: Moment, to: Moment) -> Look {
    let within: Vec<Seen> = seen.iter().copied().filter(|s| s.at >= from && s.at < to).collect();
    let mut delays: Vec<f64> = within.iter().map(|s| s.at.since(s.captured).as_secs_f64() * 1e3).collect();
    delays.sort_by(f64::total_cmp);
    let at = |q: f64| delays.get(((delays.len() as f64 - 1.0) * q) as usize).copied().unwrap_or(f64::NAN);
    let mut moments = vec![from];
    moments.extend(within.iter().map(|s| s.at));
    moments.push(to);
    let gaps = moments.windows(2).map(|w| w[1].since(w[0]).as_secs_f64() * 1e3);
    let seconds = to.since(from).as_secs_f64();
    Look {
        fps: within.len() as f64 / seconds,
        median: at(0.5),
        p95: at(0.95),
        frozen_ms: gaps.filter(|g| *g > 200.0).sum(),
        kbps: within.iter().map(|s| s.bytes).sum::<usize>() as f64 * 8.0 / seconds / 1e3,
    }
}
