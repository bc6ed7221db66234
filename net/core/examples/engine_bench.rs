//! What the engine costs without sockets and codecs: processor time a packet on both sides of a voice, and memory a session. One
//! line of JSON: `cargo run --release --example engine_bench`.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a tool for developers: it measures time, and has no use for pictures"
)]

use std::time::{Duration, Instant};

use ahoy_base::{CallId, EncodedAudio, LinkId, Moment, OpusPacket, PeerId, TICK, VoiceLevel};
use ahoy_net_core::receive::{Playout, Pull, Step};
use ahoy_net_core::session::{
    Exposure, Input, LinkSide, LocalIdentity, NewLink, Output, PathKind, Role, Session, SessionConfig,
};
use ed25519_dalek::SigningKey;

const LINK: LinkId = LinkId::new(1);
/// What is measured: ten minutes of a voice.
const FRAMES: u64 = 60_000;
/// Calls whose memory is weighed.
const CALLS: usize = 100;
/// And how long each runs before: histories are full.
const WEIGHED: u64 = 3_000;

/// Time that one kind of work took.
#[derive(Default)]
struct Cost {
    time: Duration,
    count: u64,
}

impl Cost {
    fn of<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = work();
        self.time += began.elapsed();
        done
    }

    fn us(&self) -> f64 {
        (self.time.as_secs_f64() * 1e8 / self.count.max(1) as f64).round() / 100.0
    }
}

/// One voice, from the initiator to the responder, on a link without delay or loss.
struct Call {
    sessions: [Session; 2],
    playout: Playout,
    up: bool,
    /// Between the two, with who gets it.
    datagrams: Vec<(usize, Vec<u8>)>,
    signals: Vec<(usize, Vec<u8>, bool)>,
    sending: Cost,
    receiving: Cost,
    feedback: Cost,
    deciding: Cost,
}

fn identity(n: u8) -> LocalIdentity {
    let peer = PeerId::from_public_key(SigningKey::from_bytes(&[n; 32]).verifying_key().to_bytes());
    LocalIdentity { peer, signing_key: [n; 32], noise_static: [n + 100; 32] }
}

impl Call {
    fn new(now: Moment) -> Call {
        let session = |role, me: u8, other: u8| {
            let config = SessionConfig {
                call: CallId::from_bytes([5; 16]),
                role,
                local: identity(me),
                remote: identity(other).peer,
                seed: [me; 32],
                candidates: vec![format!("10.0.0.{me}:5000").parse().unwrap()],
                exposure: Exposure::Straight,
            };
            Session::new(now, config)
        };
        Call {
            sessions: [session(Role::Initiator, 1, 2), session(Role::Responder, 2, 1)],
            playout: Playout::new(),
            up: false,
            datagrams: Vec::new(),
            signals: Vec::new(),
            sending: Cost::default(),
            receiving: Cost::default(),
            feedback: Cost::default(),
            deciding: Cost::default(),
        }
    }

    /// Takes what `who` wants done; whether a link is to come.
    fn drain(&mut self, who: usize) {
        loop {
            match self.sessions[who].poll() {
                Output::Handshake(bytes) => self.signals.push((1 - who, bytes, false)),
                Output::LinkHello { bytes, .. } => self.signals.push((1 - who, bytes, true)),
                Output::Tag(_) => self.up = true,
                Output::Transmit { datagram, .. } => self.datagrams.push((1 - who, datagram)),
                Output::Audio(received) => self.playout.insert(*received),
                Output::Wake { .. } => return,
                _ => {}
            }
        }
    }

    /// Until both can hear each other.
    fn meet(&mut self, mut now: Moment) -> Moment {
        let mut raised = false;
        for _ in 0..500 {
            if self.up && !raised {
                raised = true;
                for (who, side) in [(0, LinkSide::Dialer), (1, LinkSide::Acceptor)] {
                    let route = format!("10.0.0.{}:5000", 2 - who).parse().unwrap();
                    let link = NewLink {
                        link: LINK,
                        kind: PathKind::Direct,
                        side,
                        remote: route,
                        route,
                        exporter: [9; 32],
                        max_datagram: 1_200,
                    };
                    self.sessions[who].handle(now, Input::LinkUp(link));
                    let rtt = Duration::from_millis(2);
                    self.sessions[who].handle(now, Input::LinkRtt { link: LINK, rtt });
                }
            }
            for (to, bytes, hello) in std::mem::take(&mut self.signals) {
                let link = LINK;
                let input =
                    if hello { Input::LinkHello { link, bytes: &bytes } } else { Input::Handshake(&bytes) };
                self.sessions[to].handle(now, input);
            }
            self.exchange(now);
            for who in 0..2 {
                self.sessions[who].handle(now, Input::Wake);
                self.drain(who);
            }
            now = now + Duration::from_millis(1);
        }
        now
    }

    fn exchange(&mut self, now: Moment) {
        for (to, bytes) in std::mem::take(&mut self.datagrams) {
            let began = Instant::now();
            self.sessions[to].handle(now, Input::Datagram { link: LINK, bytes: &bytes });
            self.drain(to);
            let cost = if to == 1 { &mut self.receiving } else { &mut self.feedback };
            cost.time += began.elapsed();
            cost.count += 1;
        }
    }

    /// Says `frames` frames of 10 ms at 48 kbit/s.
    fn talk(&mut self, mut now: Moment, frames: u64) {
        let mut opus = [12 << 3; 60];
        for seq in 0..frames {
            opus[1] = seq as u8;
            let frame = EncodedAudio {
                seq,
                media_time: TICK * seq as u32,
                duration: TICK,
                level: VoiceLevel::new(9),
                opus: OpusPacket::new(&opus).unwrap(),
            };
            let mut sending = std::mem::take(&mut self.sending);
            sending.of(|| {
                self.sessions[0].handle(now, Input::Audio(frame));
                self.drain(0);
            });
            sending.count += 1;
            self.sending = sending;
            self.exchange(now);
            let pull = Pull { now, heard: now, ahead: Duration::ZERO };
            let playout = &mut self.playout;
            let step = self.deciding.of(|| playout.next(pull));
            self.deciding.count += 1;
            assert!(seq < 100 || matches!(step, Step::Play(..)), "frame {seq} was not there");
            for _ in 0..10 {
                now = now + Duration::from_millis(1);
                for who in 0..2 {
                    self.sessions[who].handle(now, Input::Wake);
                    self.drain(who);
                }
                self.exchange(now);
            }
        }
    }
}

/// Resident memory in bytes; 0 where the system does not say.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    kilobytes.and_then(|text| text.parse::<usize>().ok()).unwrap_or(0) * 1_000
}

fn main() {
    let begin = Moment::from_millis(1_000);
    let mut call = Call::new(begin);
    let met = call.meet(begin);
    for cost in [&mut call.sending, &mut call.receiving, &mut call.feedback, &mut call.deciding] {
        *cost = Cost::default();
    }
    call.talk(met, FRAMES);
    let before = resident();
    let calls: Vec<Call> = (0..CALLS)
        .map(|_| {
            let mut call = Call::new(begin);
            let met = call.meet(begin);
            call.talk(met, WEIGHED);
            call
        })
        .collect();
    let per_call = resident().saturating_sub(before) / calls.len();
    println!(
        "{{\"send_us\":{},\"receive_us\":{},\"feedback_us\":{},\"playout_us\":{},\"feedback_per_packet\":{:.2},\"call_kb\":{},\"playout_bytes\":{}}}",
        call.sending.us(),
        call.receiving.us(),
        call.feedback.us(),
        call.deciding.us(),
        call.feedback.count as f64 / FRAMES as f64,
        per_call / 1_000,
        size_of::<Playout>(),
    );
}
