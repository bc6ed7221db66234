//! Two agents, a relay and the boxes between them, in made-up time: a direct path is found exactly where RFC 4787 says
//! that there can be one, and a relayed one everywhere else.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::path::relay::{Lent, Relay, Verdict};
use ahoy_base::PeerId;
use std::collections::{BTreeMap, BTreeSet};

/// How far a mapping or a filter looks (RFC 4787, 4.1 and 5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Depends {
    /// Endpoint-independent.
    Nothing,
    /// Address-dependent.
    Address,
    /// Address- and port-dependent.
    Port,
}
use Depends::{Address, Nothing, Port};

#[derive(Clone, Copy, Debug)]
struct Nat {
    mapping: Depends,
    filtering: Depends,
    /// How long a mapping outlives its last packet from inside.
    expiry: Duration,
}

const CONE: Nat = Nat { mapping: Nothing, filtering: Nothing, expiry: Duration::from_secs(120) };
const RESTRICTED: Nat = Nat { filtering: Address, ..CONE };
const PORT_RESTRICTED: Nat = Nat { filtering: Port, ..CONE };
const SYMMETRIC: Nat = Nat { mapping: Port, filtering: Port, ..CONE };
const CARRIER: Nat = Nat { expiry: Duration::from_secs(10), ..PORT_RESTRICTED };

fn shares(depends: Depends, a: SocketAddr, b: SocketAddr) -> bool {
    match depends {
        Nothing => true,
        Address => a.ip() == b.ip(),
        Port => a == b,
    }
}

struct Mapping {
    inside: SocketAddr,
    /// Whom it was made for.
    towards: SocketAddr,
    outside: SocketAddr,
    used_at: Moment,
    allowed: BTreeSet<SocketAddr>,
}

/// A box with its mappings.
struct Boxed {
    nat: Nat,
    ip: IpAddr,
    mappings: Vec<Mapping>,
    next_port: u16,
}

impl Boxed {
    fn out(&mut self, now: Moment, inside: SocketAddr, to: SocketAddr) -> SocketAddr {
        let nat = self.nat;
        self.mappings.retain(|m| now.since(m.used_at) < nat.expiry);
        let fits = |m: &&mut Mapping| m.inside == inside && shares(nat.mapping, m.towards, to);
        if let Some(m) = self.mappings.iter_mut().find(fits) {
            m.used_at = now;
            m.allowed.insert(to);
            return m.outside;
        }
        self.next_port += 7;
        let outside = SocketAddr::new(self.ip, self.next_port);
        self.mappings.push(Mapping { inside, towards: to, outside, used_at: now, allowed: [to].into() });
        outside
    }

    fn back(&mut self, now: Moment, from: SocketAddr, outside: SocketAddr) -> Option<SocketAddr> {
        let nat = self.nat;
        let m = self.mappings.iter().find(|m| m.outside == outside && now.since(m.used_at) < nat.expiry)?;
        m.allowed.iter().any(|a| shares(nat.filtering, *a, from)).then_some(m.inside)
    }
}

/// What a direct path needs: somebody whose address the other can know, and whose filter lets the other in.
fn direct_is_possible(a: &[Nat], b: &[Nat]) -> bool {
    let mapping = |nats: &[Nat]| nats.iter().map(|n| n.mapping).max();
    let filtering = |nats: &[Nat]| nats.iter().map(|n| n.filtering).max();
    match (mapping(a), mapping(b)) {
        // No box at all: whoever knows the address gets in, and answers get out.
        (None, _) | (_, None) => true,
        // Both outside addresses are the ones that were told, so each side's filter opens towards them.
        (Some(Nothing), Some(Nothing)) => true,
        // One side comes from a port that nobody could know: the other's filter must not look at ports.
        (Some(Nothing), Some(_)) => filtering(a) < Some(Port),
        (Some(_), Some(Nothing)) => filtering(b) < Some(Port),
        // Both do. One may still be asked at its old port, if it lets everybody in, and ask back from a new one, if the
        // other looks at addresses alone.
        (Some(one), Some(other)) => {
            let meets = |lets_in: &[Nat], mapping: Depends, filter: &[Nat]| {
                filtering(lets_in) == Some(Nothing) && mapping < Port && filtering(filter) < Some(Port)
            };
            meets(a, other, b) || meets(b, one, a)
        }
    }
}

enum Air {
    Packet(Vec<u8>),
    Dial,
    Taken,
}

struct Side {
    agent: Agent,
    host: SocketAddr,
    boxes: Vec<Boxed>,
    welcomed: BTreeSet<SocketAddr>,
    links: Vec<SocketAddr>,
    sent: usize,
}

struct World {
    now: Moment,
    order: u64,
    air: BTreeMap<(Moment, u64), (SocketAddr, SocketAddr, Air)>,
    rounds: Vec<(Moment, usize)>,
    sides: [Side; 2],
    relay: Relay,
    lent: Lent,
    relay_lives: bool,
    random: u64,
    loss_percent: u64,
    /// Another address of the second side, without a box before it.
    second: Option<SocketAddr>,
    from_second: bool,
}

const RELAY: &str = "9.9.9.9:443";
const ONE_WAY: Duration = Duration::from_millis(25);

impl World {
    fn new(seed: u64, a: &[Nat], b: &[Nat], loss_percent: u64) -> World {
        let now = Moment::from_millis(1_000);
        let side = |n: u8, role, nats: &[Nat]| {
            let ip = if nats.is_empty() { [20, 0, 0, n] } else { [192, 168, n, 2] };
            let depth = nats.len();
            let boxed = |(level, nat): (usize, &Nat)| {
                let ip = if level + 1 == depth { [20, 0, n, 1] } else { [100, 64, n, 1] };
                Boxed {
                    nat: *nat,
                    ip: IpAddr::from(ip),
                    mappings: Vec::new(),
                    next_port: 10_000 + 100 * u16::from(n),
                }
            };
            Side {
                agent: Agent::new(role),
                host: SocketAddr::new(IpAddr::from(ip), 5_000),
                boxes: nats.iter().enumerate().map(boxed).collect(),
                welcomed: BTreeSet::new(),
                links: Vec::new(),
                sent: 0,
            }
        };
        let mut relay = Relay::new(now);
        let lent =
            relay.lend(now, PeerId::from_public_key([1; 32]), &std::array::from_fn(|i| i as u8)).unwrap();
        let sides = [side(1, Role::Initiator, a), side(2, Role::Responder, b)];
        let (order, random) = (0, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut world = World {
            now,
            order,
            air: BTreeMap::new(),
            rounds: Vec::new(),
            sides,
            relay,
            lent,
            relay_lives: true,
            random,
            loss_percent,
            second: None,
            from_second: false,
        };
        world.introduce();
        world
    }

    /// Both bind to the relay, which tells them where it sees them, and tell each other.
    fn introduce(&mut self) {
        let relay: SocketAddr = RELAY.parse().unwrap();
        let mut told = Vec::new();
        for who in 0..2 {
            let from = self.outside(who, relay);
            let key = PacketKey::new(if who == 0 { self.lent.near } else { self.lent.far });
            let bind = Packet { kind: Kind::Bind, tag: self.lent.id, number: 1, seen: None }.seal(&key);
            let Verdict::Reply(bound) = self.relay.on_packet(self.now, from, &bind) else {
                panic!("no answer")
            };
            told.push([self.sides[who].host, Packet::parse(&bound).unwrap().seen.unwrap()]);
        }
        for who in 0..2 {
            let agent = &mut self.sides[who].agent;
            agent.set_secret(self.now, &[3; 32]);
            agent.learn(self.now, told[1 - who].into_iter().chain([relayed(1)]));
        }
    }

    fn chance(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 100
    }

    fn outside(&mut self, who: usize, to: SocketAddr) -> SocketAddr {
        let side = &mut self.sides[who];
        side.boxes.iter_mut().fold(side.host, |from, boxed| boxed.out(self.now, from, to))
    }

    fn send(&mut self, who: usize, to: SocketAddr, what: Air) {
        self.sides[who].sent += 1;
        let relay: SocketAddr = RELAY.parse().unwrap();
        let (to, what) = match (is_relayed(to), what) {
            (true, Air::Packet(bytes)) => (relay, Air::Packet([&self.lent.id[..], &bytes].concat())),
            (true, what) => (relay, what),
            (false, what) => (to, what),
        };
        let from = match self.second {
            Some(second) if self.from_second && who == 1 && !is_relayed(to) && to != relay => second,
            _ => self.outside(who, to),
        };
        self.launch(from, to, what);
    }

    fn launch(&mut self, from: SocketAddr, to: SocketAddr, what: Air) {
        if self.chance() < self.loss_percent {
            return;
        }
        self.order += 1;
        self.air.insert((self.now + ONE_WAY, self.order), (from, to, what));
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, what: Air) {
        let relay: SocketAddr = RELAY.parse().unwrap();
        if to == relay {
            if !self.relay_lives {
                return;
            }
            match &what {
                Air::Packet(bytes) => {
                    if let Verdict::Forward(on) = self.relay.on_packet(self.now, from, bytes) {
                        self.launch(relay, on, what);
                    }
                }
                Air::Dial | Air::Taken => {
                    let probe = [&self.lent.id[..], b"QUIC"].concat();
                    if let Verdict::Forward(on) = self.relay.on_packet(self.now, from, &probe) {
                        self.launch(relay, on, what);
                    }
                }
            }
            return;
        }
        if self.second == Some(to) {
            // Taken as if the question had come in by the first address; what is said back leaves by this one.
            match what {
                Air::Packet(bytes) => self.sides[1].agent.on_packet(self.now, from, &bytes),
                Air::Dial => self.launch(to, from, Air::Taken),
                Air::Taken => {}
            }
            self.from_second = true;
            self.drain();
            self.from_second = false;
            return;
        }
        for who in 0..2 {
            let now = self.now;
            let side = &mut self.sides[who];
            let inside = side.boxes.iter_mut().rev().try_fold(to, |to, boxed| boxed.back(now, from, to));
            if inside == Some(side.host) {
                return match what {
                    Air::Packet(bytes) if from == relay => {
                        self.take(who, relayed(1), Air::Packet(bytes[TAG..].to_vec()))
                    }
                    Air::Dial | Air::Taken if from == relay => self.take(who, relayed(1), what),
                    Air::Packet(_) | Air::Dial | Air::Taken => self.take(who, from, what),
                };
            }
        }
    }

    fn take(&mut self, who: usize, from: SocketAddr, what: Air) {
        let side = &mut self.sides[who];
        match what {
            Air::Packet(bytes) => side.agent.on_packet(self.now, from, &bytes),
            Air::Dial if side.welcomed.contains(&from) => {
                side.links.push(from);
                self.send(who, from, Air::Taken);
            }
            Air::Dial => panic!("a dial from where nobody is expected"),
            Air::Taken => side.links.push(from),
        }
    }

    fn drain(&mut self) {
        for who in 0..2 {
            while let Some(output) = self.sides[who].agent.poll() {
                match output {
                    PathOutput::Send(to, bytes) => self.send(who, to, Air::Packet(bytes.to_vec())),
                    PathOutput::Dial(to) => self.send(who, to, Air::Dial),
                    PathOutput::Welcome(from) => _ = self.sides[who].welcomed.insert(from),
                    PathOutput::Round => self.rounds.push((self.now + 2 * ONE_WAY, 1 - who)),
                    PathOutput::SeenAs(..) => {}
                }
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            for side in &mut self.sides {
                side.agent.on_time(self.now, &side.links.clone());
            }
            self.drain();
            let due = self.sides.iter().map(|s| s.agent.due()).min().unwrap();
            let due = if due <= self.now { self.now + PACE } else { due };
            let arrival = self.air.first_key_value().map_or(Moment::NEVER, |((at, _), _)| *at);
            let round = self.rounds.first().map_or(Moment::NEVER, |(at, _)| *at);
            let next = due.min(arrival).min(round);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            if round == next {
                let (_, who) = self.rounds.remove(0);
                self.sides[who].agent.on_round(next);
            } else if arrival == next {
                let (_, (from, to, what)) = self.air.pop_first().unwrap();
                self.arrive(from, to, what);
            }
        }
    }

    fn has(&self, who: usize, relayed: bool) -> bool {
        self.sides[who].links.iter().any(|a| is_relayed(*a) == relayed)
    }
}

fn cells() -> Vec<(&'static str, Vec<Nat>)> {
    vec![
        ("open", vec![]),
        ("full cone", vec![CONE]),
        ("address-restricted", vec![RESTRICTED]),
        ("port-restricted", vec![PORT_RESTRICTED]),
        ("symmetric", vec![SYMMETRIC]),
        ("symmetric that lets everybody in", vec![Nat { filtering: Nothing, ..SYMMETRIC }]),
        ("address-dependent both ways", vec![Nat { mapping: Address, filtering: Address, ..CONE }]),
        ("double", vec![PORT_RESTRICTED, RESTRICTED]),
        ("carrier", vec![PORT_RESTRICTED, CARRIER]),
        ("behind a symmetric carrier", vec![CONE, SYMMETRIC]),
    ]
}

#[test]
fn a_direct_path_is_found_exactly_where_there_can_be_one_and_a_relayed_one_always() {
    for (one, a) in cells() {
        for (other, b) in cells() {
            for seed in 0..4 {
                let mut world = World::new(seed, &a, &b, 0);
                world.run(Duration::from_secs(8));
                for who in 0..2 {
                    let cell = format!("{one}, {other}, seed {seed}, side {who}");
                    assert_eq!(world.has(who, false), direct_is_possible(&a, &b), "direct: {cell}");
                    assert!(world.has(who, true), "relayed: {cell}");
                }
            }
        }
    }
}

#[test]
fn one_packet_in_five_may_be_lost() {
    for (_, a) in cells() {
        for (other, b) in cells() {
            let possible = direct_is_possible(&a, &b);
            // Dials are one packet here; QUIC says them again, so a world that lost one proves nothing.
            let found = (0..10)
                .filter(|seed| {
                    let mut world = World::new(*seed, &a, &b, 20);
                    world.run(Duration::from_secs(20));
                    world.has(1, false)
                })
                .count();
            assert_eq!(found > 0, possible, "{other}: {found} of 10");
            assert!(!possible || found >= 8, "{other}: {found} of 10");
        }
    }
}

#[test]
fn an_answer_takes_one_round_trip_and_the_asking_ends() {
    let mut world = World::new(1, &[PORT_RESTRICTED], &[PORT_RESTRICTED], 0);
    world.run(5 * ONE_WAY + Duration::from_millis(30));
    assert!(world.has(0, false) || world.has(1, false), "no link after two round trips and a half");
    world.run(Duration::from_secs(10));
    let sent = world.sides[0].sent;
    world.run(Duration::from_secs(600));
    assert_eq!(world.sides[0].sent, sent, "a direct link is enough");
    assert!(sent < 60, "{sent}");
    // With a relayed link alone it goes on, ever more rarely.
    let mut world = World::new(1, &[SYMMETRIC], &[SYMMETRIC], 0);
    world.run(Duration::from_secs(60));
    let sent = world.sides[0].sent;
    world.run(Duration::from_secs(600));
    let more = world.sides[0].sent - sent;
    assert!((10..400).contains(&more), "{more} packets in ten minutes");
}

#[test]
fn a_second_direct_way_is_kept_beside_the_first() {
    let mut world = World::new(1, &[], &[PORT_RESTRICTED], 0);
    let other: SocketAddr = "20.0.7.2:5000".parse().unwrap();
    // Bob's other address leads to the same Bob: its packets arrive, and answers come from there.
    world.second = Some(other);
    let now = world.now;
    world.sides[0].agent.learn(now, [other]);
    world.run(Duration::from_secs(3));
    let direct = world.sides[0].links.iter().filter(|a| !is_relayed(**a)).count();
    assert_eq!(direct, 2, "{:?}", world.sides[0].links);
}

#[test]
fn a_mapping_that_died_is_made_again() {
    let mut world = World::new(1, &[CARRIER], &[PORT_RESTRICTED], 0);
    world.run(Duration::from_secs(5));
    assert!(world.has(0, false));
    world.run(Duration::from_secs(30));
    for side in &mut world.sides {
        side.links.clear();
        side.boxes.iter_mut().for_each(|b| b.mappings.clear());
    }
    world.relay_lives = false;
    let now = world.now;
    world.sides[0].agent.restart(now);
    // Both outside ports are new ones, which only a third party could tell: nothing can be found…
    world.run(Duration::from_secs(20));
    assert!(!world.has(0, false));
    // …until one is told.
    let outside = world.outside(1, RELAY.parse().unwrap());
    let now = world.now;
    world.sides[0].agent.learn(now, [outside]);
    let outside = world.outside(0, RELAY.parse().unwrap());
    world.sides[1].agent.learn(now, [outside]);
    world.sides[0].agent.restart(now + ROUND_EVERY);
    world.run(Duration::from_secs(5));
    assert!(world.has(0, false));
}

#[test]
fn a_link_that_dies_as_soon_as_it_stood_is_replaced_at_once() {
    for lived in [1, 2, 4, 7, 60] {
        let mut world = World::new(1, &[], &[PORT_RESTRICTED], 0);
        world.relay_lives = false;
        world.run(Duration::from_millis(500));
        assert!(world.has(0, false), "a first link");
        world.run(Duration::from_secs(lived));
        // The box forgets, the links fall silent, and both look for paths again.
        let now = world.now;
        for side in &mut world.sides {
            side.links.clear();
            side.boxes.iter_mut().for_each(|b| b.mappings.clear());
            side.agent.restart(now);
        }
        world.run(6 * ONE_WAY + Duration::from_millis(50));
        assert!(world.has(0, false) && world.has(1, false), "after {lived} s it takes long");
    }
}

#[test]
fn where_signalling_meets_the_peer_a_link_is_dialled_at_once_and_once() {
    let now = Moment::from_millis(5);
    let (met, other): (SocketAddr, SocketAddr) =
        ("9.0.0.1:7".parse().unwrap(), "10.0.0.1:7".parse().unwrap());
    let dials = |agent: &mut Agent| {
        let all: Vec<_> = std::iter::from_fn(|| agent.poll()).collect();
        all.into_iter().filter(|o| matches!(o, PathOutput::Dial(_))).collect::<Vec<_>>()
    };
    let first = |role, hosts: &[SocketAddr], links: &[SocketAddr]| {
        let mut agent = Agent::new(role);
        agent.set_likely(hosts.iter().map(SocketAddr::ip).collect());
        agent.set_secret(now, &[3; 32]);
        agent.learn(now, [other, met]);
        agent.on_time(now, links);
        let dialled = dials(&mut agent);
        agent.on_time(now + Duration::from_millis(400), &[]);
        assert_eq!(dials(&mut agent), [], "nothing has answered");
        dialled
    };
    assert_eq!(first(Role::Initiator, &[met], &[]), [PathOutput::Dial(met)]);
    // One side dials; never a host that signalling does not meet, nor beside a link that works.
    assert_eq!(first(Role::Responder, &[met], &[]), []);
    assert_eq!(first(Role::Initiator, &["9.0.0.2:7".parse().unwrap()], &[]), []);
    assert_eq!(first(Role::Initiator, &[met], &[other]), []);
}

#[test]
fn a_dial_that_nobody_answered_stands_in_nobodys_way() {
    let mut world = World::new(1, &[PORT_RESTRICTED], &[PORT_RESTRICTED], 0);
    let dead: SocketAddr = "9.9.9.9:9".parse().unwrap();
    let now = world.now;
    world.sides[0].agent.set_likely(vec![dead.ip()]);
    world.sides[0].agent.learn(now, [dead]);
    world.run(5 * ONE_WAY + Duration::from_millis(30));
    assert!(world.has(0, false) || world.has(1, false), "no link after two round trips and a half");
}

#[test]
fn strangers_get_no_answer_and_move_nothing() {
    let mut agent = Agent::new(Role::Responder);
    let now = Moment::from_millis(5);
    let tag = agent.set_secret(now, &[3; 32]);
    let from = "9.0.0.1:1".parse().unwrap();
    let forged = Packet { kind: Kind::Ask, tag, number: 1, seen: None }.seal(&PacketKey::new([0; 32]));
    agent.on_packet(now, from, &forged);
    assert_eq!(agent.poll(), None);
    let mut real = Agent::new(Role::Initiator);
    real.set_secret(now, &[3; 32]);
    real.learn(now, [from]);
    real.on_time(now, &[]);
    let Some(PathOutput::Send(_, ask)) = real.poll() else { panic!("no question") };
    agent.on_packet(now, from, &ask);
    assert!(matches!(agent.poll(), Some(PathOutput::Welcome(_))));
    assert!(matches!(agent.poll(), Some(PathOutput::Send(_, _))));
    // Said again by somebody who overheard it.
    agent.on_packet(now, "9.0.0.2:2".parse().unwrap(), &ask);
    assert_eq!(agent.poll(), None);
    // Nor can the answer be turned into anything, and no side answers its own packets.
    real.on_packet(now, from, &ask);
    assert_eq!(real.poll(), None);
}

#[test]
fn nothing_is_sent_to_groups_or_to_nobody() {
    for bad in ["0.0.0.0:1", "[::]:1", "224.0.0.1:1", "[ff02::1]:1", "255.255.255.255:1", "10.0.0.1:0"] {
        assert!(!may_ask(bad.parse().unwrap()), "{bad}");
    }
    assert!(may_ask("10.0.0.1:1".parse().unwrap()));
    assert!(is_relayed(relayed(u64::MAX)) && !is_relayed("[fd00::1]:1".parse().unwrap()));
}
