//! A whole voice call in made-up time: two sessions from the handshake on, a source of frames and a jitter buffer at each
//! end, a path each way. What is measured is what a listener would: delay from mouth to ear, and what is made up.

use std::collections::BTreeMap;
use std::time::Duration;

use ahoy_base::{CallId, EncodedAudio, LinkId, Moment, OpusPacket, PeerId, TICK, VoiceLevel};
use ahoy_net_core::receive::{Playout, PlayoutStats, Pull, Step, Tempo};
use ahoy_net_core::session::{
    Exposure, Input, LinkSide, LocalIdentity, NewLink, Output, PathKind, Role, Session, SessionConfig,
    SessionStats, VoicePlan,
};
use ed25519_dalek::SigningKey;

use super::plan::Plan;
use super::tcp::Tcp;
use super::{BEGIN_MS, Dice, Link, Packet};

const LINK: LinkId = LinkId::new(1);
/// Headers around a datagram: IP, UDP, QUIC.
const OUTSIDE: usize = 57;
/// The flow of somebody who heeds nobody.
const CROSS: usize = 90;
/// What the engine pays for a share of frames that come too late, milliseconds (`receive/arrival.rs`).
fn price(share: f64) -> f64 {
    let percent = 100.0 * share.max(0.0);
    8.0 * percent + 40.0 * percent.min(0.2)
}

/// A pitch period, as much as one cut takes out or one repetition puts in.
const PERIOD: Duration = Duration::from_millis(5);

/// What one listener heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// Of each frame that was played: when it was captured, and how much later it was heard.
    pub(crate) delays: Vec<(Moment, Duration)>,
    /// When each frame first came.
    pub(crate) arrivals: BTreeMap<u64, Moment>,
    /// When each frame that was sent was captured.
    pub(crate) captured: BTreeMap<u64, Moment>,
    pub(crate) playout: PlayoutStats,
    /// Times that sound was cut or repeated while somebody spoke.
    pub(crate) stretched_in_speech: u64,
}

impl Heard {
    /// Share of sound that was made up, in percent.
    pub(crate) fn concealed(&self) -> f64 {
        let made_up = (self.playout.concealed_lost + self.playout.concealed_late) as f64;
        100.0 * made_up / (made_up + self.playout.played as f64).max(1.0)
    }

    /// Milliseconds from mouth to ear, without what the codec adds, from `second` on.
    pub(crate) fn delay(&self, second: u64) -> f64 {
        let from = Moment::from_millis(BEGIN_MS + second * 1_000);
        let late: Vec<f64> = self
            .delays
            .iter()
            .filter(|(at, _)| *at >= from)
            .map(|(_, late)| late.as_secs_f64() * 1e3)
            .collect();
        late.iter().sum::<f64>() / late.len().max(1) as f64
    }

    /// What the best constant waiting would have cost, on the engine's own scale (milliseconds, and a price for what
    /// comes too late), between two seconds; and what was paid.
    pub(crate) fn against_reference(&self, from: u64, to: u64) -> (f64, f64) {
        let moment = |second: u64| Moment::from_millis(BEGIN_MS + second * 1_000);
        let within = |at: &Moment| *at >= moment(from) && *at < moment(to);
        let sent: Vec<(u64, Moment)> =
            self.captured.iter().filter(|(_, at)| within(at)).map(|(seq, at)| (*seq, *at)).collect();
        let mut late: Vec<f64> = sent
            .iter()
            .map(|(seq, at)| {
                self.arrivals.get(seq).map_or(f64::INFINITY, |came| came.since(*at).as_secs_f64() * 1e3)
            })
            .collect();
        late.sort_by(f64::total_cmp);
        let n = late.len().max(1) as f64;
        let best = late
            .iter()
            .enumerate()
            .filter(|(_, wait)| wait.is_finite())
            .map(|(i, wait)| wait + price((n - 1.0 - i as f64) / n))
            .fold(f64::INFINITY, f64::min);
        let heard: Vec<f64> = self
            .delays
            .iter()
            .filter(|(at, _)| within(at))
            .map(|(_, late)| late.as_secs_f64() * 1e3)
            .collect();
        let mean = heard.iter().sum::<f64>() / heard.len().max(1) as f64;
        (best, mean + price(1.0 - heard.len() as f64 / n))
    }

    /// The same, the largest.
    pub(crate) fn worst_delay(&self, second: u64) -> f64 {
        let from = Moment::from_millis(BEGIN_MS + second * 1_000);
        self.delays
            .iter()
            .filter(|(at, _)| *at >= from)
            .map(|(_, late)| late.as_secs_f64() * 1e3)
            .fold(0.0, f64::max)
    }
}

/// One end: a person who speaks and listens.
struct End {
    session: Session,
    playout: Playout,
    plan: VoicePlan,
    /// Frames since the microphone began, in its own ticks of 10 ms.
    ticks: u64,
    /// Left of the current stretch of speech (positive) or pause (negative), ticks.
    speech: i64,
    /// Ticks since the pause began.
    paused: u64,
    /// Ticks of the frame that is being filled.
    filled: u64,
    seq: u64,
    next_tick: f64,
    next_pull: f64,
    /// How long this end's tick lasts in milliseconds of the world.
    mic_tick: f64,
    pull_tick: f64,
    /// Decoded sound that waits.
    ready: Duration,
    heard: Heard,
    wake: Moment,
}

/// See the module's first lines.
pub(crate) struct VoiceCall {
    plan: Plan,
    ends: [End; 2],
    links: [Link; 2],
    payloads: [BTreeMap<u64, Vec<u8>>; 2],
    sent: [u64; 2],
    /// When the first sample of each frame was captured, by who speaks.
    captured: [BTreeMap<u64, Moment>; 2],
    signals: BTreeMap<(Moment, u64), (usize, Vec<u8>, bool)>,
    n_signals: u64,
    raised: bool,
    tcps: Vec<Tcp>,
    cross: f64,
    dice: Dice,
    ms: u64,
    sent_bytes: [u64; 2],
}

impl End {
    /// How long a frame is after what the player does with it; that takes what follows where one frame is too short.
    fn stretch(&mut self, duration: Duration, tempo: Tempo) -> Duration {
        let (cut, needed) = match tempo {
            Tempo::Normal => return duration,
            Tempo::Slower(most) => return duration + most.min(PERIOD),
            Tempo::Faster(most) => (most.min(PERIOD), TICK * 3),
            Tempo::Cut(cut) => (cut, cut + Duration::from_micros(2_500)),
        };
        let mut sound = duration;
        while sound < needed
            && let Some(next) = self.playout.next_in_row()
        {
            sound += next.duration;
        }
        if sound >= needed.min(cut * 2) { sound - cut } else { sound }
    }
}

fn identity(n: u8) -> LocalIdentity {
    let peer = PeerId::from_public_key(SigningKey::from_bytes(&[n; 32]).verifying_key().to_bytes());
    LocalIdentity { peer, signing_key: [n; 32], noise_static: [n + 100; 32] }
}

impl VoiceCall {
    pub(crate) fn new(plan: &Plan) -> VoiceCall {
        let now = Moment::from_millis(BEGIN_MS);
        let end = |role, me: u8, other: u8, drift: i64| End {
            session: Session::new(
                now,
                SessionConfig {
                    call: CallId::from_bytes([5; 16]),
                    role,
                    local: identity(me),
                    remote: identity(other).peer,
                    seed: [plan.seed as u8 ^ me; 32],
                    candidates: vec![format!("10.0.0.{me}:5000").parse().unwrap()],
                    exposure: Exposure::Straight,
                },
            ),
            playout: Playout::new(),
            plan: VoicePlan::FIRST,
            ticks: 0,
            speech: 100,
            paused: 0,
            filled: 0,
            seq: 0,
            next_tick: BEGIN_MS as f64,
            // Whatever the two sound cards' phases are.
            next_pull: (BEGIN_MS + plan.seed * 3 % 10) as f64 + 0.5,
            mic_tick: 10.0 * (1.0 - drift as f64 / 1e6),
            pull_tick: 10.0 * (1.0 - drift as f64 / 1e6),
            ready: Duration::ZERO,
            heard: Heard::default(),
            wake: now,
        };
        let phase = plan.phase(0);
        VoiceCall {
            plan: plan.clone(),
            ends: [end(Role::Initiator, 1, 2, 0), end(Role::Responder, 2, 1, plan.drift)],
            links: [Link::new(plan.seed, phase.path), Link::new(plan.seed ^ 0x5555, phase.path)],
            payloads: Default::default(),
            sent: [0; 2],
            captured: Default::default(),
            signals: BTreeMap::new(),
            n_signals: 0,
            raised: false,
            tcps: (0..plan.tcp).map(|n| Tcp::new(50 + n as usize)).collect(),
            cross: 0.0,
            dice: Dice::new(plan.seed ^ 0xaaaa),
            ms: BEGIN_MS,
            sent_bytes: [0; 2],
        }
    }

    /// Runs the whole plan; what the responder heard of the initiator, and the other way.
    pub(crate) fn run(plan: &Plan) -> [Heard; 2] {
        let mut call = VoiceCall::new(plan);
        call.run_to(plan.secs);
        let ([a, b], [by_a, by_b]) = (call.ends, call.captured);
        let done = |end: End, captured| Heard { playout: end.playout.stats(), captured, ..end.heard };
        [done(b, by_a), done(a, by_b)]
    }

    /// Runs to a second of the plan.
    pub(crate) fn run_to(&mut self, second: u64) {
        while self.ms < BEGIN_MS + second * 1_000 {
            self.step();
        }
    }

    /// Counters of an end's session.
    pub(crate) fn stats(&self, who: usize) -> SessionStats {
        self.ends[who].session.stats()
    }

    /// How long what is sent now waits before the narrow place on the way of `who`'s voice.
    pub(crate) fn queue(&self, who: usize) -> Duration {
        self.links[who].queue_delay()
    }

    /// How `who` plays the other.
    pub(crate) fn playout(&self, who: usize) -> PlayoutStats {
        self.ends[who].playout.stats()
    }

    /// Bytes that `who` sent since this was asked, all headers counted.
    pub(crate) fn take_sent(&mut self, who: usize) -> u64 {
        std::mem::take(&mut self.sent_bytes[who])
    }

    fn step(&mut self) {
        let now = Moment::from_millis(self.ms);
        if self.ms.is_multiple_of(1_000) {
            let phase = self.plan.phase((self.ms - BEGIN_MS) / 1_000).clone();
            self.links.iter_mut().for_each(|link| link.path = phase.path);
            self.cross = phase.cross;
        }
        self.others(now);
        self.carry(now);
        for who in 0..2 {
            if self.ends[who].wake <= now {
                self.ends[who].session.handle(now, Input::Wake);
            }
            self.speak(now, who);
            self.drain(now, who);
            self.listen(now, who);
        }
        self.ms += 1;
    }

    /// Everybody else on the links.
    fn others(&mut self, now: Moment) {
        for tcp in &mut self.tcps {
            tcp.send(now, &mut self.links[0]);
        }
        for link in &mut self.links {
            if self.cross > 0.0 && self.dice.roll() < self.cross / 8_000.0 / 1_200.0 {
                link.send(Packet { flow: CROSS, number: 0, bytes: 1_200 });
            }
        }
    }

    fn carry(&mut self, now: Moment) {
        while let Some((to, bytes, hello)) =
            self.signals.first_entry().filter(|first| first.key().0 <= now).map(|first| first.remove())
        {
            let input =
                if hello { Input::LinkHello { link: LINK, bytes: &bytes } } else { Input::Handshake(&bytes) };
            self.ends[to].session.handle(now, input);
            self.drain(now, to);
        }
        for from in 0..2 {
            for (at, packet) in self.links[from].deliver(now) {
                if let Some(tcp) = self.tcps.iter_mut().find(|tcp| tcp.flow == packet.flow) {
                    tcp.arrive(now + self.links[from].path.delay, packet);
                } else if packet.flow == from
                    && let Some(bytes) = self.payloads[from].get(&packet.number).cloned()
                {
                    self.ends[1 - from].session.handle(at, Input::Datagram { link: LINK, bytes: &bytes });
                    self.drain(now, 1 - from);
                }
            }
            // What is older than any queue.
            let old = self.sent[from].saturating_sub(4_000);
            while self.payloads[from].first_key_value().is_some_and(|(n, _)| *n < old) {
                self.payloads[from].pop_first();
            }
        }
    }

    fn speak(&mut self, now: Moment, who: usize) {
        let end = &mut self.ends[who];
        while end.next_tick + end.mic_tick <= self.ms as f64 {
            let began = Moment::from_micros((end.next_tick * 1_000.0) as u64);
            end.next_tick += end.mic_tick;
            end.ticks += 1;
            end.speech -= end.speech.signum();
            if end.speech == 0 {
                // Speech of half a second to four, pauses up to two.
                let speaks = self.dice.roll() < 0.5;
                let long =
                    if speaks { 50.0 + self.dice.roll() * 350.0 } else { -10.0 - self.dice.roll() * 190.0 };
                end.speech = long as i64;
            }
            end.paused = if end.speech > 0 { 0 } else { end.paused + 1 };
            if end.filled == 0 {
                self.captured[who].insert(end.seq, began);
            }
            end.filled += 1;
            let length = end.plan.frame.as_millis() as u64 / 10;
            if end.filled < length {
                continue;
            }
            let duration = TICK * end.filled as u32;
            end.filled = 0;
            // Discontinuous transmission: after a fifth of a second of pause a frame each 400 ms.
            if end.paused > 20 && end.paused % 40 >= length {
                continue;
            }
            let bytes = (end.plan.bitrate.as_bps() * duration.as_millis() as u64 / 8_000) as usize;
            // 10 or 20 ms of hybrid or SILK (RFC 6716, 3.1).
            let config: u8 = if length == 1 { 12 } else { 13 };
            let mut opus = vec![config << 3; bytes.max(10)];
            opus[1] = end.seq as u8;
            let frame = EncodedAudio {
                seq: end.seq,
                media_time: TICK * (end.ticks as u32) - duration,
                duration,
                level: VoiceLevel::new(if end.speech > 0 { 9 } else { 1 }),
                opus: OpusPacket::new(&opus).unwrap(),
            };
            end.session.handle(now, Input::Audio(frame));
            end.seq += 1;
        }
    }

    fn drain(&mut self, now: Moment, who: usize) {
        loop {
            let other = 1 - who;
            let back = self.links[who].path.delay;
            match self.ends[who].session.poll() {
                Output::Handshake(bytes) => self.signal(now + back, other, bytes, false),
                Output::LinkHello { bytes, .. } => self.signal(now + back, other, bytes, true),
                // Finding a path is another world's matter (path/world.rs): here there is one as soon as there are keys.
                Output::Tag(_) => self.raise(now),
                Output::Transmit { datagram, .. } => {
                    let bytes = datagram.len() + OUTSIDE;
                    let number = self.sent[who];
                    self.sent[who] += 1;
                    self.sent_bytes[who] += bytes as u64;
                    self.payloads[who].insert(number, datagram);
                    self.links[who].send(Packet { flow: who, number, bytes });
                }
                Output::Audio(received) => {
                    let seq = received.frame.seq;
                    self.ends[who].heard.arrivals.entry(seq).or_insert(received.arrival);
                    self.ends[who].playout.insert(*received);
                }
                Output::Voice(plan) => self.ends[who].plan = plan,
                Output::Wake { at, .. } => {
                    self.ends[who].wake = at;
                    return;
                }
                _ => {}
            }
        }
    }

    fn signal(&mut self, at: Moment, to: usize, bytes: Vec<u8>, hello: bool) {
        self.n_signals += 1;
        self.signals.insert((at, self.n_signals), (to, bytes, hello));
    }

    fn raise(&mut self, now: Moment) {
        if std::mem::replace(&mut self.raised, true) {
            return;
        }
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
            let up = Input::LinkUp(new);
            self.ends[who].session.handle(now, up);
            let rtt = self.links[0].path.delay * 2;
            self.ends[who].session.handle(now, Input::LinkRtt { link: LINK, rtt });
        }
    }

    /// The listener's sound card takes 10 ms.
    fn listen(&mut self, now: Moment, who: usize) {
        let captured = &self.captured[1 - who];
        let end = &mut self.ends[who];
        while end.next_pull <= self.ms as f64 {
            end.next_pull += end.pull_tick;
            while end.ready < TICK {
                let step = end.playout.next(Pull { now, heard: now, ahead: end.ready });
                let length = match step {
                    Step::Play(frame, tempo) => {
                        if let Some(at) = captured.get(&frame.seq) {
                            end.heard.delays.push((*at, (now + end.ready).since(*at)));
                        }
                        let speech = u64::from(frame.level.step() > 3 && tempo != Tempo::Normal);
                        end.heard.stretched_in_speech += speech;
                        end.stretch(frame.duration, tempo)
                    }
                    Step::Conceal(_, length) => length,
                    Step::Nothing => break,
                };
                end.ready += length;
            }
            end.ready = end.ready.saturating_sub(TICK);
        }
    }
}
