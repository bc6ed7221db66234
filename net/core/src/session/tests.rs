//! Two sessions wired together in made-up time: they secure, talk, lose and change keys as they must.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "tests")]

use super::*;
use crate::path::packet::{Kind, PACKET, Packet};
use crate::path::relay::{Lent, Relay, Verdict};
use ahoy_base::{CallId, EncodedVideo, PeerId, VideoPlan, VideoRequest, VideoTrack};
use ed25519_dalek::SigningKey;
use std::collections::BTreeMap;

const CALL: CallId = CallId::from_bytes([5; 16]);

fn identity(n: u8) -> LocalIdentity {
    let peer = PeerId::from_public_key(SigningKey::from_bytes(&[n; 32]).verifying_key().to_bytes());
    LocalIdentity { peer, signing_key: [n; 32], noise_static: [n + 100; 32] }
}

/// What passes between two sessions. Time stands still unless moved.
struct Pair {
    now: Moment,
    sessions: [Session; 2],
    /// Signalling and datagrams under way: (arrival, order, to, what).
    air: BTreeMap<(Moment, u64), (usize, Air)>,
    order: u64,
    delay: Duration,
    /// Whether datagrams get through.
    path: bool,
    /// Whether signalling gets through.
    stream: bool,
    events: [Vec<SessionEvent>; 2],
    heard: [Vec<EncodedAudio>; 2],
    plans: [Vec<(VideoTrack, VideoPlan)>; 2],
    requests: [Vec<(VideoTrack, VideoRequest)>; 2],
    seen: [Vec<(VideoTrack, EncodedVideo)>; 2],
    /// Every datagram that was ever sent, for those who listen in.
    overheard: Vec<(usize, Vec<u8>)>,
    signalled: Vec<(usize, Vec<u8>)>,
    dials: usize,
    /// Who tried what.
    without_udp: Vec<(usize, PathKind)>,
    link_up: bool,
    /// Whose probes and answers went where.
    asked: Vec<(usize, SocketAddr)>,
    /// Whose port takes links from where.
    welcomed: Vec<(usize, SocketAddr)>,
    /// Who asked which relay for a splice.
    relays_asked: Vec<(usize, PeerId)>,
    /// What stands for the bound ends of each.
    stands: [Vec<SocketAddr>; 2],
    last_ask: [Vec<u8>; 2],
    /// Answers binds, and passes nothing on.
    relay: Relay,
}

/// A device that lends splices, and where it is.
const RELAY: PeerId = PeerId::from_public_key([77; 32]);
const AT_RELAY: &str = "9.9.9.9:9";

enum Air {
    Lent(PeerId, Lent),
    Bound([u8; PACKET]),
    Handshake(Vec<u8>),
    Hello(Vec<u8>),
    Datagram(Vec<u8>),
    Packet(Vec<u8>),
}

fn host(who: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, who as u8 + 1], 5_000))
}

/// A packet that says it is one hybrid frame of 20 ms (RFC 6716, 3.1).
fn opus(seq: u64) -> Vec<u8> {
    format!("hopus packet number {seq}").into_bytes()
}

const LINK: LinkId = LinkId::new(1);

impl Pair {
    fn new(seed: u8) -> Pair {
        Pair::of(seed, identity(1), identity(2), identity(2).peer, identity(1).peer)
    }

    fn of(seed: u8, a: LocalIdentity, b: LocalIdentity, a_expects: PeerId, b_expects: PeerId) -> Pair {
        Pair::made(seed, [a, b], [a_expects, b_expects], [Exposure::Straight; 2])
    }

    fn made(seed: u8, [a, b]: [LocalIdentity; 2], expects: [PeerId; 2], exposure: [Exposure; 2]) -> Pair {
        let now = Moment::from_millis(1_000);
        let config = |role, local, remote, n: u8| SessionConfig {
            call: CALL,
            role,
            local,
            remote,
            seed: [seed ^ n; 32],
            candidates: vec![format!("10.0.0.{n}:5000").parse().unwrap()],
            exposure: exposure[usize::from(n) - 1],
        };
        let sessions = [
            Session::new(now, config(Role::Initiator, a, expects[0], 1)),
            Session::new(now, config(Role::Responder, b, expects[1], 2)),
        ];
        Pair {
            now,
            sessions,
            air: BTreeMap::new(),
            order: 0,
            delay: Duration::from_millis(10),
            path: true,
            stream: true,
            events: [Vec::new(), Vec::new()],
            heard: [Vec::new(), Vec::new()],
            plans: [Vec::new(), Vec::new()],
            requests: [Vec::new(), Vec::new()],
            seen: [Vec::new(), Vec::new()],
            overheard: Vec::new(),
            signalled: Vec::new(),
            dials: 0,
            without_udp: Vec::new(),
            link_up: false,
            asked: Vec::new(),
            welcomed: Vec::new(),
            relays_asked: Vec::new(),
            stands: [Vec::new(), Vec::new()],
            last_ask: [Vec::new(), Vec::new()],
            relay: Relay::new(now),
        }
    }

    fn drain(&mut self, who: usize) -> Moment {
        loop {
            let other = 1 - who;
            match self.sessions[who].poll() {
                Output::Handshake(bytes) => {
                    self.signalled.push((who, bytes.clone()));
                    if self.stream {
                        self.send(other, Air::Handshake(bytes));
                    }
                }
                Output::DialWithoutUdp(kind) => self.without_udp.push((who, kind)),
                Output::Packet { to, bytes } if to == AT_RELAY.parse().unwrap() => {
                    let verdict = self.relay.on_packet(self.now, host(who), &bytes);
                    let Verdict::Reply(bound) = verdict else { panic!("the relay knows no such bind") };
                    self.send(who, Air::Bound(bound));
                }
                Output::Packet { to, bytes } => {
                    self.asked.push((who, to));
                    if Packet::parse(&bytes).is_some_and(|packet| packet.kind == Kind::Ask) {
                        self.last_ask[who] = bytes.to_vec();
                    }
                    if self.path && to == host(other) {
                        self.send(other, Air::Packet(bytes.to_vec()));
                    }
                }
                Output::Welcome(from) => self.welcomed.push((who, from)),
                Output::Tag(_) | Output::SeenAs(..) | Output::SpliceGone(_) => {}
                Output::AskRelay(relay) => {
                    self.relays_asked.push((who, relay));
                    let seed = std::array::from_fn(|n| n as u8 ^ self.relays_asked.len() as u8);
                    let owner = PeerId::from_public_key([who as u8; 32]);
                    let lent = self.relay.lend(self.now, owner, &seed).unwrap();
                    self.send(who, Air::Lent(relay, lent));
                }
                Output::Splice { stands, .. } => self.stands[who].push(stands),
                Output::Dial(address) => {
                    assert_eq!((who, address), (0, host(1)), "the initiator dials what answered");
                    self.dials += 1;
                    if self.path && !self.link_up {
                        self.raise_link();
                    }
                }
                Output::LinkHello { bytes, .. } if self.path => self.send(other, Air::Hello(bytes)),
                Output::Transmit { datagram, .. } => {
                    self.overheard.push((who, datagram.clone()));
                    if self.path {
                        self.send(other, Air::Datagram(datagram));
                    }
                }
                Output::Voice(_) => {}
                Output::VideoPlan { track, plan } => self.plans[who].push((track, plan)),
                Output::VideoRequest { track, request } => self.requests[who].push((track, request)),
                Output::Video { track, frame, .. } => self.seen[who].push((track, frame)),
                Output::Audio(received) => self.heard[who].push(received.frame),
                Output::Event(event) => self.events[who].push(event),
                Output::LinkHello { .. } => {}
                Output::CloseLink { .. } => self.link_up = false,
                Output::Wake { at, .. } => return at,
            }
        }
    }

    fn raise_link(&mut self) {
        self.link_up = true;
        for (who, side) in [(0, LinkSide::Dialer), (1, LinkSide::Acceptor)] {
            let remote = format!("10.0.0.{}:5000", 2 - who).parse().unwrap();
            let kind = PathKind::Direct;
            let route = remote;
            let new =
                NewLink { link: LINK, kind, side, remote, route, exporter: [9; 32], max_datagram: 1_200 };
            self.sessions[who].handle(self.now, Input::LinkUp(new));
            self.sessions[who].handle(self.now, Input::LinkRtt { link: LINK, rtt: self.delay * 2 });
        }
    }

    fn send(&mut self, to: usize, what: Air) {
        self.order += 1;
        self.air.insert((self.now + self.delay, self.order), (to, what));
    }

    fn input(&mut self, who: usize, input: Input<'_>) {
        self.sessions[who].handle(self.now, input);
        self.settle();
    }

    fn settle(&mut self) -> Moment {
        // Twice, since one side's outputs may be the other's link.
        let mut wake = Moment::NEVER;
        for _ in 0..2 {
            wake = self.drain(0).min(self.drain(1));
        }
        wake
    }

    /// Runs for `time`, waking the sessions exactly when they asked for it.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let wake = self.settle();
            assert!(wake > self.now, "a session wants to be woken in the past");
            let arrival = self.air.first_key_value().map_or(Moment::NEVER, |((at, _), _)| *at);
            let next = wake.min(arrival);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            if arrival <= next {
                let (_, (to, what)) = self.air.pop_first().unwrap();
                let input = match &what {
                    Air::Lent(relay, lent) => {
                        let lent = Some((lent.clone(), vec![AT_RELAY.parse().unwrap()]));
                        Input::RelayAnswer { relay: *relay, lent }
                    }
                    Air::Bound(bytes) => Input::Packet { from: AT_RELAY.parse().unwrap(), bytes },
                    Air::Handshake(bytes) => Input::Handshake(bytes),
                    Air::Hello(bytes) => Input::LinkHello { link: LINK, bytes },
                    Air::Datagram(bytes) => Input::Datagram { link: LINK, bytes },
                    Air::Packet(bytes) => Input::Packet { from: host(1 - to), bytes },
                };
                self.sessions[to].handle(self.now, input);
            }
            self.sessions.iter_mut().for_each(|s| s.handle(next, Input::Wake));
        }
    }

    fn speak(&mut self, who: usize, seq: u64) {
        let frame = EncodedAudio {
            seq,
            media_time: Duration::from_millis(20 * seq),
            duration: Duration::from_millis(20),
            level: ahoy_base::VoiceLevel::new(9),
            opus: ahoy_base::OpusPacket::new(&opus(seq)).unwrap(),
        };
        self.input(who, Input::Audio(frame));
    }

    fn ready(seed: u8) -> Pair {
        let mut pair = Pair::new(seed);
        pair.run(Duration::from_millis(200));
        pair
    }

    /// Whether anybody sent a probe or an answer there.
    fn asked_at(&self, address: SocketAddr) -> bool {
        self.asked.iter().any(|(_, to)| *to == address)
    }

    /// Second sendings of `who`.
    fn doubles(&self, who: usize) -> u64 {
        self.sessions[who].stats().audio_again
    }

    fn dropped(&self, who: usize, reason: DropReason) -> u64 {
        self.sessions[who].stats().dropped.get(&reason).copied().unwrap_or(0)
    }
}

#[test]
fn two_devices_secure_link_and_hear_each_other() {
    let mut pair = Pair::ready(1);
    for events in &pair.events {
        assert_eq!(events[0], SessionEvent::Secured);
        assert!(events.contains(&SessionEvent::Ready), "{events:?}");
        assert!(matches!(events.last(), Some(SessionEvent::Path(path)) if path.address == AddressKind::Lan));
    }
    for n in 0..50 {
        pair.speak(0, n);
        pair.speak(1, n);
        pair.run(Duration::from_millis(20));
    }
    for heard in &pair.heard {
        assert_eq!(heard.len(), 50);
        assert_eq!((heard[49].seq, heard[49].media_time), (49, Duration::from_millis(980)));
        assert_eq!(*heard[49].opus, *b"hopus packet number 49");
    }
    let (a, b) = (pair.sessions[0].info(), pair.sessions[1].info());
    assert_eq!((a.words.len(), &a), (4, &b));
}

#[test]
fn everything_is_ready_two_and_a_half_round_trips_after_the_first_message() {
    let mut pair = Pair::new(2);
    pair.run(Duration::from_millis(61));
    for events in &pair.events {
        assert!(events.contains(&SessionEvent::Ready), "{events:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
    let bytes = |seed| {
        let mut pair = Pair::ready(seed);
        pair.speak(0, 0);
        (pair.signalled, pair.overheard)
    };
    assert_eq!(bytes(3), bytes(3));
    assert_ne!(bytes(3), bytes(4));
}

#[test]
fn nothing_of_what_is_said_or_where_can_be_read_on_the_way() {
    let mut pair = Pair::ready(5);
    pair.speak(0, 1);
    pair.run(Duration::from_millis(50));
    assert_eq!(pair.heard[1].len(), 1);
    let address = [10u8, 0, 0, 1, 0x13, 0x88];
    for (_, bytes) in pair.overheard.iter().chain(&pair.signalled) {
        assert!(!bytes.windows(11).any(|w| w == b"opus packet"));
        assert!(!bytes.windows(6).any(|w| w == address), "an address stands in the clear");
    }
}

#[test]
fn another_identity_is_refused_with_its_reason() {
    // B is not who A dialled.
    let mut pair = Pair::of(6, identity(1), identity(3), identity(2).peer, identity(1).peer);
    pair.run(Duration::from_secs(20));
    assert!(
        matches!(pair.events[0][..], [SessionEvent::Refused(RefusedReason::HandshakeFailed)]),
        "{:?}",
        pair.events[0]
    );

    // B knows all public facts of the right device and claims to be it, without its key.
    let liar = LocalIdentity { signing_key: [3; 32], ..identity(2) };
    let mut pair = Pair::of(7, identity(1), liar, identity(2).peer, identity(1).peer);
    pair.run(Duration::from_secs(20));
    assert_eq!(pair.events[0], [SessionEvent::Refused(RefusedReason::BadProof)]);
    assert!(pair.heard[0].is_empty());

    // A caller who is not who it claims.
    let liar = LocalIdentity { signing_key: [3; 32], ..identity(1) };
    let mut pair = Pair::of(8, liar, identity(2), identity(2).peer, identity(1).peer);
    pair.run(Duration::from_secs(20));
    assert_eq!(pair.events[1], [SessionEvent::Refused(RefusedReason::BadProof)]);
}

#[test]
fn replayed_altered_and_strange_datagrams_are_dropped_and_counted() {
    let mut pair = Pair::ready(9);
    for n in 0..10 {
        pair.speak(0, n);
    }
    pair.run(Duration::from_millis(20));
    let sent: Vec<Vec<u8>> =
        pair.overheard.iter().filter(|(who, _)| *who == 0).map(|(_, d)| d.clone()).collect();
    let before = pair.heard[1].len();
    assert_eq!(before, 10);
    for datagram in &sent {
        pair.input(1, Input::Datagram { link: LINK, bytes: datagram });
    }
    // Reports are no frames: they tell again what was told.
    let kind = |kind: u8| sent.iter().filter(|d| d[0] >> 4 == kind).count() as u64;
    assert_eq!(pair.dropped(1, DropReason::Replayed), kind(4));
    assert_eq!(pair.sessions[1].stats().audio_double, kind(0) + pair.doubles(0));
    assert_eq!(pair.heard[1].len(), before);
    pair.path = false;
    pair.speak(0, 10);
    pair.path = true;
    let last = &pair.overheard.iter().rfind(|(who, _)| *who == 0).unwrap().1.clone();
    for at in 3..last.len() {
        let mut altered = last.clone();
        altered[at] ^= 1;
        pair.input(1, Input::Datagram { link: LINK, bytes: &altered });
    }
    assert!(pair.dropped(1, DropReason::Forged) > 20, "{:?}", pair.sessions[1].stats().dropped);
    pair.input(1, Input::Datagram { link: LINK, bytes: &[] });
    pair.input(1, Input::Datagram { link: LINK, bytes: &[0xf0, 0, 0] });
    pair.input(1, Input::Datagram { link: LinkId::new(7), bytes: last });
    assert_eq!(pair.dropped(1, DropReason::NotAdmitted), 1);
    assert!(pair.dropped(1, DropReason::Unknown) >= 1);
    assert_eq!(pair.heard[1].len(), before, "nothing of it was heard");
    // And the call goes on.
    pair.speak(0, 11);
    pair.run(Duration::from_millis(20));
    // The one that the path lost came with its second sending.
    assert_eq!(pair.heard[1].len(), before + 2);
}

#[test]
fn while_udp_brings_nothing_the_caller_alone_tries_tcp_and_then_circuits() {
    let mut pair = Pair::new(12);
    pair.path = false;
    pair.run(Duration::from_secs(3));
    assert_eq!(pair.without_udp, [(0, PathKind::Tcp), (0, PathKind::Circuit)]);
    pair.path = true;
    pair.run(Duration::from_secs(10));
    let tried = pair.without_udp.len();
    pair.run(Duration::from_secs(10));
    assert_eq!(pair.without_udp.len(), tried, "a path lives");
}

#[test]
fn a_link_without_the_sessions_secret_is_closed() {
    let mut pair = Pair::new(10);
    pair.path = false;
    pair.run(Duration::from_millis(200));
    let up = Input::LinkUp(NewLink {
        link: LINK,
        kind: PathKind::Direct,
        side: LinkSide::Acceptor,
        remote: "10.0.0.1:5000".parse().unwrap(),
        route: "10.0.0.1:5000".parse().unwrap(),
        exporter: [9; 32],
        max_datagram: 1_200,
    });
    pair.sessions[1].handle(pair.now, up);
    pair.sessions[1].handle(pair.now, Input::LinkHello { link: LINK, bytes: &[7; 48] });
    let outputs: Vec<Output> = std::iter::from_fn(|| match pair.sessions[1].poll() {
        Output::Wake { .. } => None,
        output => Some(output),
    })
    .collect();
    assert!(outputs.contains(&Output::CloseLink { link: LINK, why: "wrong hello" }), "{outputs:?}");
    assert!(!pair.events[1].contains(&SessionEvent::Ready));
}

#[test]
fn a_lost_path_is_said_after_three_seconds_and_found_again() {
    let mut pair = Pair::ready(11);
    pair.path = false;
    pair.run(Duration::from_millis(2_400));
    assert!(!pair.events[0].contains(&SessionEvent::Lost), "not yet");
    pair.run(Duration::from_millis(1_200));
    for events in &pair.events {
        assert_eq!(events.iter().filter(|e| **e == SessionEvent::Lost).count(), 1);
    }
    let asked = pair.asked.len();
    pair.run(Duration::from_secs(6));
    let asked = pair.asked.len() - asked;
    assert!((40..=56).contains(&asked), "eight in two seconds each: {asked}");
    pair.path = true;
    for who in 0..2 {
        pair.sessions[who].handle(pair.now, Input::LinkDown { link: LINK });
    }
    pair.link_up = false;
    pair.run(Duration::from_millis(1_500));
    for events in &pair.events {
        assert_eq!(events.iter().filter(|e| **e == SessionEvent::Ready).count(), 2, "{events:?}");
    }
    pair.speak(1, 5);
    pair.run(Duration::from_millis(50));
    assert_eq!(pair.heard[0].len(), 1);
}

#[test]
fn silence_keeps_the_path_alive() {
    let mut pair = Pair::ready(12);
    pair.run(Duration::from_secs(60));
    assert!(!pair.events.iter().flatten().any(|e| *e == SessionEvent::Lost));
    let per_second = pair.overheard.len() as f64 / 120.0;
    assert!((1.5..3.2).contains(&per_second), "two signs of life a second, one report: {per_second}");
}

#[test]
fn three_hours_of_call_change_keys_without_losing_a_frame() {
    let mut pair = Pair::ready(13);
    let minutes = 185;
    let mut n = 0;
    for _ in 0..minutes * 60 * 2 {
        pair.speak(0, n);
        pair.speak(1, n);
        n += 1;
        pair.run(Duration::from_millis(500));
    }
    pair.run(Duration::from_millis(50));
    for who in 0..2 {
        assert_eq!(pair.heard[who].len() as u64, n, "every frame was heard");
        let stats = pair.sessions[who].stats();
        assert!((18..=24).contains(&stats.key_changes), "every ten minutes: {}", stats.key_changes);
        assert_eq!(stats.handshakes, 4, "one, and a fresh one each hour");
        assert_eq!(stats.dropped, BTreeMap::new());
    }
    assert_eq!(
        pair.sessions[0].info(),
        pair.sessions[1].info(),
        "the words stay those of the first handshake"
    );
}

#[test]
fn a_stream_that_breaks_in_the_handshake_only_delays_it() {
    for broken_at in 0..8 {
        let mut pair = Pair::new(14);
        pair.run(Duration::from_millis(broken_at * 5));
        pair.stream = false;
        pair.air.retain(|_, (_, what)| !matches!(what, Air::Handshake(_)));
        pair.run(Duration::from_millis(1_000));
        pair.stream = true;
        pair.run(Duration::from_secs(8));
        for events in &pair.events {
            assert!(events.contains(&SessionEvent::Ready), "broken at {broken_at}: {events:?}");
        }
    }
}

#[test]
fn no_answer_is_a_refusal_after_ten_seconds() {
    let mut pair = Pair::new(15);
    pair.stream = false;
    pair.run(Duration::from_millis(9_900));
    assert!(pair.events[0].is_empty());
    pair.run(Duration::from_millis(200));
    for events in &pair.events {
        assert_eq!(events[..], [SessionEvent::Refused(RefusedReason::Timeout)]);
    }
}

#[test]
fn a_capture_that_begins_anew_uses_no_number_twice() {
    let mut pair = Pair::ready(16);
    for n in [0, 1, 2, 0, 1, 5, 0] {
        pair.speak(0, n);
        pair.run(Duration::from_millis(20));
    }
    let seqs: Vec<u64> = pair.heard[1].iter().map(|f| f.seq).collect();
    assert_eq!(seqs, [0, 1, 2, 3, 4, 8, 9]);
}

#[test]
fn changed_addresses_are_told() {
    let mut pair = Pair::ready(17);
    let new = "10.0.0.77:5000".parse().unwrap();
    pair.input(0, Input::Candidates(vec![new]));
    pair.run(Duration::from_millis(50));
    assert!(pair.asked_at(new), "the other side tries the new address");
}

#[test]
fn a_relay_is_asked_and_offered_once_there_are_keys_and_what_stands_for_it_is_asked() {
    let mut pair = Pair::new(21);
    pair.input(1, Input::Relays(vec![identity(1).peer, RELAY]));
    pair.run(Duration::from_millis(200));
    assert_eq!(
        pair.relays_asked,
        [(1, RELAY)],
        "the peer is no relay for its own call, and one is asked once"
    );
    for who in [0, 1] {
        assert_eq!(pair.stands[who].len(), 1, "both hold an end");
        assert!(pair.asked.contains(&(who, pair.stands[who][0])));
    }
    // A later one goes over the link too, should signalling be gone.
    pair.stream = false;
    pair.input(0, Input::Relays(vec![RELAY]));
    pair.run(Duration::from_secs(1));
    assert_eq!((pair.stands[0].len(), pair.stands[1].len()), (2, 2), "each has one of its own");
    // What the peer says is not taken for a splice of ours.
    pair.asked.clear();
    pair.input(1, Input::Candidates(vec![crate::path::relayed(6)]));
    pair.run(Duration::from_millis(50));
    assert!(!pair.asked_at(crate::path::relayed(6)));
}

#[test]
fn a_changed_network_starts_a_round_on_both_sides() {
    let mut pair = Pair::ready(22);
    pair.run(Duration::from_secs(5));
    pair.asked.clear();
    pair.run(Duration::from_secs(5));
    assert_eq!(pair.asked, [], "all is well");
    pair.input(1, Input::NetworkChanged);
    pair.run(Duration::from_millis(50));
    assert!(pair.asked_at(host(0)) && pair.asked_at(host(1)));
}

#[test]
fn garbage_on_signalling_and_links_never_panics() {
    let mut pair = Pair::ready(18);
    let mut random = crate::seal::Random::from_seed([1; 32]);
    for _ in 0..5_000 {
        let [length, kind, who, attempt] = random.bytes::<4>();
        let mut bytes = random.bytes::<255>()[..usize::from(length)].to_vec();
        if let [first, second, ..] = &mut bytes[..] {
            (*first, *second) = (kind % 7, attempt % 3);
        }
        let who = usize::from(who % 2);
        pair.input(who, Input::Handshake(&bytes));
        pair.input(who, Input::Datagram { link: LINK, bytes: &bytes });
        pair.input(who, Input::LinkHello { link: LINK, bytes: &bytes });
    }
    pair.speak(0, 1);
    pair.run(Duration::from_millis(100));
    assert_eq!(pair.heard[1].len(), 1, "the session survived it");
}

/// The bytes that `tests/interop/read_vectors.py` opens with another library.
#[test]
fn sealed_frames_are_the_published_vectors() {
    let published = include_str!("../../../../tests/vectors/frames.txt");
    let mut lines = published.lines().filter(|line| !line.starts_with('#'));
    for (generation, number, slot, length) in
        [(0u8, 0u64, 0u8, 1usize), (1, 6, 1, 3), (5, 700, 0, 40), (63, 70_000, 1, 160)]
    {
        let key = SenderKey { generation, secret: std::array::from_fn(|n| n as u8 ^ generation) };
        let opus: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
        let header = MediaHeader {
            slot,
            track: VOICE,
            frame: number as u16,
            media_ticks: to_ticks(Duration::from_millis(number * 20)),
            level: ahoy_base::VoiceLevel::new(9),
        };
        let mut sealer = MediaSealer::new(slot, VOICE, &key).unwrap();
        let sealed = sealer.seal(number, &opus, &header.authenticated()).unwrap();
        let datagram = Datagram::Media { link_seq: 3, header, sealed: &sealed }.encode();
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let line = format!("{generation} {} {number} {} {}", hex(&key.secret), hex(&opus), hex(&datagram));
        assert_eq!(lines.next(), Some(line.as_str()));
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn nothing_goes_straight_to_a_peer_whom_our_address_is_hidden_from() {
    for hider in [0, 1] {
        let other = 1 - hider;
        let mut exposure = [Exposure::Straight; 2];
        exposure[hider] = Exposure::RelaysAlone;
        let (ids, peers) = ([identity(1), identity(2)], [identity(2).peer, identity(1).peer]);
        let mut pair = Pair::made(40, ids, peers, exposure);
        pair.run(Duration::from_secs(20));
        assert!(pair.events.iter().all(|events| events == &[SessionEvent::Secured]), "{:?}", pair.events);
        assert_eq!((&pair.asked, &pair.welcomed), (&Vec::new(), &Vec::new()), "neither knows where to ask");
        // New addresses of ours are not told, and theirs are not asked.
        let anywhere = || vec!["9.9.9.9:5000".parse().unwrap(), host(hider)];
        pair.input(hider, Input::Candidates(anywhere()));
        pair.run(Duration::from_secs(5));
        assert_eq!(pair.asked, []);

        // A relay of theirs may be their own machine; one of ours is used, by both.
        pair.input(other, Input::Relays(vec![RELAY]));
        pair.run(Duration::from_millis(100));
        assert_eq!((pair.stands[hider].len(), pair.stands[other].len()), (0, 1));
        pair.input(hider, Input::Relays(vec![RELAY]));
        pair.run(Duration::from_millis(100));
        assert_eq!((pair.stands[hider].len(), pair.stands[other].len()), (1, 2));
        let splice = [0, 1].map(|who| *pair.stands[who].last().unwrap());
        assert!(pair.asked.contains(&(hider, splice[hider])) && pair.asked.contains(&(other, splice[other])));

        // What asks us over the relay is answered there; the same question from their own address is not.
        let ask = pair.last_ask[other].clone();
        pair.asked.clear();
        pair.sessions[hider].handle(pair.now, Input::Packet { from: host(other), bytes: &ask });
        pair.settle();
        assert!(
            !pair.asked.contains(&(hider, host(other))) && pair.welcomed.is_empty(),
            "{:?}",
            pair.welcomed
        );
        pair.sessions[hider].handle(pair.now, Input::Packet { from: splice[hider], bytes: &ask });
        pair.settle();
        assert_eq!(pair.welcomed, [(hider, splice[hider])]);
        pair.run(Duration::from_secs(30));
        let straight: Vec<_> = pair.asked.iter().filter(|(_, to)| !crate::path::is_relayed(*to)).collect();
        assert_eq!(straight, Vec::<&(usize, SocketAddr)>::new());

        // A straight link that comes all the same is closed.
        pair.raise_link();
        pair.settle();
        assert!(!pair.link_up);
    }
}

#[test]
fn an_address_is_hidden_and_shown_from_one_moment_to_the_next() {
    for hider in [0, 1] {
        let other = 1 - hider;
        let mut pair = Pair::ready(41);
        assert!(pair.link_up && pair.dials == 1);
        pair.input(hider, Input::Exposure(Exposure::RelaysAlone));
        assert!(!pair.link_up, "the straight link is closed");
        pair.input(other, Input::LinkDown { link: LINK });
        pair.asked.clear();
        pair.run(Duration::from_secs(60));
        assert!(pair.asked.iter().all(|(who, _)| *who == other), "{:?}", pair.asked);
        assert_eq!((pair.dials, pair.events[hider].last()), (1, Some(&SessionEvent::Lost)));

        pair.input(hider, Input::Exposure(Exposure::Straight));
        pair.run(Duration::from_secs(2));
        assert!(pair.link_up, "and it comes again");
        assert!(matches!(pair.events[hider].last(), Some(SessionEvent::Path(_))));
    }
}
