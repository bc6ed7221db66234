//! Finds paths between two devices: probes every address the peer may have, from both sides at once, and says which ones
//! answered and are worth a link.
//!
//! The idea of ICE (RFC 8445) without its roles and SDP: both sides ask all addresses of the other, in rounds, under a key
//! of the session; an answer proves both directions, and that the peer is there. One side, the initiator, then dials.
//! What a NAT lets through is decided by what went out before (RFC 4787), so rounds of both sides must overlap: whoever
//! starts one tells the other.

pub mod nat;
pub mod packet;
pub mod relay;
pub mod splices;
#[cfg(test)]
mod world;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ahoy_base::Moment;

use crate::seal::handshake::Role;
use crate::seal::replay::ReplayWindow;
use crate::session::PathKind;
use packet::{Kind, Packet, PacketKey, TAG};

/// When the peer's addresses are asked within a round, from its beginning. Ever rarer: what is far gets its time, and
/// what is lost early is said again soon.
const TRIES: [Duration; 8] = [
    Duration::ZERO,
    Duration::from_millis(20),
    Duration::from_millis(60),
    Duration::from_millis(140),
    Duration::from_millis(300),
    Duration::from_millis(620),
    Duration::from_millis(1_100),
    Duration::from_millis(1_700),
];
/// A round takes so long.
const ROUND: Duration = Duration::from_secs(2);
/// Rounds in a row; of the punches that ever succeed 97 % do at the first (arXiv 2510.27500).
const ROUNDS: u32 = 3;
/// Then a pause, doubling from this…
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// …up to this, as long as nothing direct is there.
const MAX_PAUSE: Duration = Duration::from_secs(80);
/// A wish for a new round is heeded when the last one began so long ago.
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// Probes leave this far apart: sixteen addresses at once would be a burst.
const PACE: Duration = Duration::from_millis(2);
/// An answer is good for so long.
const PROVEN_FOR: Duration = Duration::from_secs(3);
/// A dial that led to no link is repeated after this; QUIC gives up after 5 s.
const DIAL_AGAIN: Duration = Duration::from_secs(6);
/// It counts as a link to come for so long; then another address may have its turn beside it.
const DIAL_COUNTS: Duration = Duration::from_millis(1_500);
/// And sooner if the address answered so long after it: then something is amiss with the dial alone.
const DIAL_ANEW: Duration = Duration::from_secs(1);
/// A link beside the first one is made this long after it: better answers may be under way.
const SECOND_AFTER: Duration = Duration::from_millis(300);
/// Direct links: the one in use, and one that goes another way.
const MAX_DIRECT: usize = 2;
/// Relayed links while there is no direct one: a relay may stop at any moment.
const MAX_RELAYED: usize = 2;
/// Addresses of the peer that are asked: those it told, and as many that its packets came from.
const MAX_REMOTES: usize = 32;
/// Questions whose answer still counts.
const MAX_ASKED: usize = 16;
/// The peer's address is vouched for again after this.
const WELCOME_EVERY: Duration = Duration::from_secs(10);
/// Addresses that stand for a splice of a relay (RFC 4193; the 40 bits are "ahoy" and a zero). They are on no wire.
const RELAYED: [u8; 6] = [0xfd, b'a', b'h', b'o', b'y', 0];

/// The address that stands for a splice towards QUIC; `id` tells it from others.
pub fn relayed(id: u64) -> SocketAddr {
    let mut octets = [0u8; 16];
    octets
        .iter_mut()
        .zip(RELAYED.into_iter().chain([0, 0]).chain(id.to_be_bytes()))
        .for_each(|(o, b)| *o = b);
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from(octets)), 1)
}

/// Whether an address stands for a splice.
pub fn is_relayed(address: SocketAddr) -> bool {
    matches!(address.ip(), IpAddr::V6(ip) if ip.octets().starts_with(&RELAYED))
}

/// Something to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathOutput {
    /// Send these bytes there.
    Send(SocketAddr, [u8; packet::PACKET]),
    /// Open a link to that address.
    Dial(SocketAddr),
    /// The peer is at that address: links from there may be taken.
    Welcome(SocketAddr),
    /// Tell the peer that a round begins.
    Round,
    /// The peer, at the first address, sees us at the second.
    SeenAs(SocketAddr, SocketAddr),
}

#[derive(Debug)]
struct Remote {
    address: SocketAddr,
    /// Index into [`TRIES`] of the next question of this round.
    step: usize,
    round_at: Moment,
    asked: VecDeque<(u64, Moment)>,
    /// When it answered last, and after how long.
    proven: Option<(Moment, Duration)>,
    dialled_at: Option<Moment>,
    /// That dial led to a link.
    linked: bool,
    welcomed_at: Option<Moment>,
    /// Where it sees us.
    sees_us_at: Option<SocketAddr>,
}

impl Remote {
    fn kind(&self) -> PathKind {
        if is_relayed(self.address) { PathKind::Relay } else { PathKind::Direct }
    }

    /// It answered a moment ago.
    fn is_fresh(&self, now: Moment) -> bool {
        self.proven.is_some_and(|(at, _)| now.since(at) < PROVEN_FOR)
    }

    fn ask_at(&self) -> Moment {
        TRIES.get(self.step).map_or(Moment::NEVER, |offset| self.round_at + *offset)
    }
}

struct Keys {
    tag: [u8; TAG],
    ours: PacketKey,
    theirs: PacketKey,
}

/// See the module's first lines.
pub struct Agent {
    role: Role,
    keys: Option<Keys>,
    remotes: Vec<Remote>,
    number: u64,
    window: ReplayWindow,
    round_at: Option<Moment>,
    rounds: u32,
    pause: Duration,
    next_round_at: Moment,
    paced_until: Moment,
    first_link_at: Option<Moment>,
    /// When a second link is thought of.
    second_at: Moment,
    /// When a dial has had its turn.
    turn_at: Moment,
    /// The peer is met through relays alone: it learns no address of ours.
    relays_alone: bool,
    /// Hosts at which the peer is already met, until one of them was dialled.
    likely: Vec<IpAddr>,
    outputs: VecDeque<PathOutput>,
}

impl Agent {
    /// Knows nobody yet. `role`: the initiator dials.
    pub fn new(role: Role) -> Agent {
        Agent {
            role,
            keys: None,
            remotes: Vec::new(),
            number: 0,
            window: ReplayWindow::default(),
            round_at: None,
            rounds: 0,
            pause: FIRST_PAUSE,
            next_round_at: Moment::NEVER,
            paced_until: Moment::ZERO,
            first_link_at: None,
            second_at: Moment::NEVER,
            turn_at: Moment::NEVER,
            relays_alone: false,
            likely: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes the secret that the session's links are admitted by; the tag that the peer's packets carry.
    pub fn set_secret(&mut self, now: Moment, secret: &[u8; 32]) -> [u8; TAG] {
        let key = |label: &[u8]| PacketKey::new(PacketKey::derive(secret, label));
        let (initiator, responder) = (key(b"ahoy-probe/1 initiator"), key(b"ahoy-probe/1 responder"));
        let whole = PacketKey::derive(secret, b"ahoy-probe/1 tag");
        let mut tag = [0; TAG];
        tag.iter_mut().zip(whole).for_each(|(place, byte)| *place = byte);
        let (ours, theirs) = match self.role {
            Role::Initiator => (initiator, responder),
            Role::Responder => (responder, initiator),
        };
        self.keys = Some(Keys { tag, ours, theirs });
        if !self.remotes.is_empty() {
            self.begin_round(now);
        }
        tag
    }

    /// Takes addresses where the peer may be; new ones are asked at once.
    pub fn learn(&mut self, now: Moment, addresses: impl IntoIterator<Item = SocketAddr>) {
        for address in addresses {
            self.add(now, address);
        }
        if self.round_at.is_none() && self.keys.is_some() && !self.remotes.is_empty() {
            self.begin_round(now);
        }
    }

    /// Forgets an address: what it stood for is gone, or silent.
    pub fn forget(&mut self, address: SocketAddr) {
        self.remotes.retain(|remote| remote.address != address);
    }

    /// Whether the peer is met through relays alone. Nothing goes straight to it from then on, whatever it sends.
    pub fn set_relays_alone(&mut self, on: bool) {
        self.relays_alone = on;
        if on {
            self.remotes.retain(|remote| is_relayed(remote.address));
            self.outputs.retain(|output| match output {
                PathOutput::Send(to, _) | PathOutput::Dial(to) | PathOutput::Welcome(to) => is_relayed(*to),
                PathOutput::SeenAs(..) | PathOutput::Round => true,
            });
        }
    }

    /// Signalling reaches the peer at these hosts: an address there is dialled before it has answered.
    pub fn set_likely(&mut self, hosts: Vec<IpAddr>) {
        self.likely = hosts;
    }

    /// Begins a round, and tells the peer: a network changed, or a link fell silent.
    pub fn restart(&mut self, now: Moment) {
        if self.round_at.is_none_or(|at| now.since(at) >= ROUND_EVERY) && !self.remotes.is_empty() {
            self.begin_round(now);
            self.outputs.push_back(PathOutput::Round);
        }
        (self.rounds, self.pause) = (1, FIRST_PAUSE);
        self.next_round_at = now + ROUND;
    }

    /// The peer began a round.
    pub fn on_round(&mut self, now: Moment) {
        if self.round_at.is_none_or(|at| now.since(at) >= ROUND_EVERY) {
            self.begin_round(now);
        }
    }

    /// Takes a packet with the session's tag. Forged and repeated ones are dropped.
    pub fn on_packet(&mut self, now: Moment, from: SocketAddr, bytes: &[u8]) {
        let Some(packet) = Packet::parse(bytes).filter(|_| self.may_meet(from)) else { return };
        let genuine =
            self.keys.as_ref().is_some_and(|k| packet.tag == k.tag && packet::is_genuine(bytes, &k.theirs));
        match packet.kind {
            Kind::Ask if genuine && self.window.accept(packet.number) => self.on_ask(now, from, packet),
            Kind::Answer if genuine => self.on_answer(now, from, packet),
            Kind::Ask | Kind::Answer | Kind::Bind | Kind::Bound => {}
        }
    }

    /// What there is to do; `None` when nothing is.
    pub fn poll(&mut self) -> Option<PathOutput> {
        self.outputs.pop_front()
    }

    /// Lets time pass. `links`: where the links go that work.
    pub fn on_time(&mut self, now: Moment, links: &[SocketAddr]) {
        if self.keys.is_none() {
            return;
        }
        let direct = links.iter().any(|a| !is_relayed(*a));
        if now >= self.next_round_at {
            if direct {
                self.next_round_at = Moment::NEVER;
            } else {
                self.begin_round(now);
                self.outputs.push_back(PathOutput::Round);
            }
        }
        if !direct && self.next_round_at == Moment::NEVER && self.round_at.is_some() {
            self.next_round_at = now + self.pause;
        }
        // As long as there is no link at all nobody pauses.
        if links.is_empty() && self.round_at.is_some() {
            self.next_round_at = self.next_round_at.min(now + ROUND);
        }
        self.ask_due(now);
        match (links.is_empty(), self.first_link_at) {
            (true, _) => (self.first_link_at, self.second_at) = (None, Moment::NEVER),
            (false, None) => (self.first_link_at, self.second_at) = (Some(now), now + SECOND_AFTER),
            (false, Some(_)) => {}
        }
        if now >= self.second_at {
            self.second_at = Moment::NEVER;
        }
        if self.role == Role::Initiator {
            self.dial_likely(now, links);
            self.dial_due(now, links);
        }
    }

    /// When [`Agent::on_time`] has something to do next.
    pub fn due(&self) -> Moment {
        if self.keys.is_none() {
            return Moment::NEVER;
        }
        let ask = self.remotes.iter().map(Remote::ask_at).min().unwrap_or(Moment::NEVER);
        let ask = if ask == Moment::NEVER { Moment::NEVER } else { ask.max(self.paced_until) };
        ask.min(self.next_round_at).min(self.second_at).min(self.turn_at)
    }

    fn on_ask(&mut self, now: Moment, from: SocketAddr, packet: Packet) {
        self.add(now, from);
        self.welcome(now, from);
        // Whoever asks after we stopped to is asked in turn (RFC 8445, 7.3.1.4): the way may have opened just now.
        if let Some(remote) = self.remotes.iter_mut().find(|r| r.address == from)
            && remote.step >= TRIES.len()
            && !remote.is_fresh(now)
        {
            (remote.step, remote.round_at) = (0, now);
        }
        if let Some(keys) = &self.keys {
            let answer = Packet { kind: Kind::Answer, seen: Some(from), ..packet };
            self.outputs.push_back(PathOutput::Send(from, answer.seal(&keys.ours)));
        }
    }

    fn on_answer(&mut self, now: Moment, from: SocketAddr, packet: Packet) {
        let Some(remote) = self.remotes.iter_mut().find(|r| r.address == from) else { return };
        let Some((_, asked_at)) = remote.asked.iter().find(|(n, _)| *n == packet.number) else { return };
        remote.proven = Some((now, now.since(*asked_at)));
        remote.step = TRIES.len();
        if !is_relayed(from) && packet.seen.is_some() && packet.seen != remote.sees_us_at {
            remote.sees_us_at = packet.seen;
            self.outputs.extend(packet.seen.map(|seen| PathOutput::SeenAs(from, seen)));
        }
        self.welcome(now, from);
    }

    fn welcome(&mut self, now: Moment, from: SocketAddr) {
        if let Some(remote) = self.remotes.iter_mut().find(|r| r.address == from)
            && remote.welcomed_at.is_none_or(|at| now.since(at) >= WELCOME_EVERY)
        {
            remote.welcomed_at = Some(now);
            self.outputs.push_back(PathOutput::Welcome(from));
        }
    }

    fn add(&mut self, now: Moment, address: SocketAddr) {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        if !may_ask(address) || !self.may_meet(address) || self.remotes.iter().any(|r| r.address == address) {
            return;
        }
        if self.remotes.len() >= MAX_REMOTES {
            return;
        }
        self.remotes.push(Remote {
            address,
            step: 0,
            round_at: now,
            asked: VecDeque::new(),
            proven: None,
            dialled_at: None,
            linked: false,
            welcomed_at: None,
            sees_us_at: None,
        });
        self.remotes.sort_by_key(|r| rank(r.address));
    }

    fn may_meet(&self, address: SocketAddr) -> bool {
        !self.relays_alone || is_relayed(address)
    }

    fn begin_round(&mut self, now: Moment) {
        self.round_at = Some(now);
        self.rounds += 1;
        for remote in &mut self.remotes {
            (remote.step, remote.round_at) = (0, now);
        }
        self.next_round_at = now
            + if self.rounds < ROUNDS {
                ROUND
            } else {
                self.pause =
                    if self.rounds == ROUNDS { FIRST_PAUSE } else { (self.pause * 2).min(MAX_PAUSE) };
                ROUND + self.pause
            };
    }

    fn ask_due(&mut self, now: Moment) {
        if now < self.paced_until {
            return;
        }
        let Some(keys) = &self.keys else { return };
        let due = self.remotes.iter_mut().filter(|r| r.ask_at() <= now).min_by_key(|r| r.step);
        let Some(remote) = due else { return };
        self.number += 1;
        remote.step += 1;
        if remote.asked.len() == MAX_ASKED {
            remote.asked.pop_front();
        }
        remote.asked.push_back((self.number, now));
        let ask = Packet { kind: Kind::Ask, tag: keys.tag, number: self.number, seen: None };
        self.outputs.push_back(PathOutput::Send(remote.address, ask.seal(&keys.ours)));
        self.paced_until = now + PACE;
    }

    /// Once and first of all: no probe needs to show that a host is there which signalling reaches, and QUIC's own first
    /// packet comes again if a NAT lets it through only after the peer's probes.
    fn dial_likely(&mut self, now: Moment, links: &[SocketAddr]) {
        if self.likely.is_empty() || self.remotes.is_empty() {
            return;
        }
        let hosts = std::mem::take(&mut self.likely);
        let best = self.remotes.iter_mut().find(|r| hosts.contains(&r.address.ip()));
        if let (Some(best), true) = (best, links.is_empty()) {
            best.dialled_at = Some(now);
            self.outputs.push_back(PathOutput::Dial(best.address));
        }
    }

    /// Dials what answered and is missing: at first anything, then a second way.
    fn dial_due(&mut self, now: Moment, links: &[SocketAddr]) {
        self.remotes.iter_mut().filter(|r| links.contains(&r.address)).for_each(|r| r.linked = true);
        loop {
            let under_way = |r: &Remote| {
                let answered = r.proven.map(|(at, _)| at);
                let in_vain = |dialled| answered.is_some_and(|at| at.since(dialled) > DIAL_ANEW);
                r.dialled_at.is_some_and(|at| now.since(at) < DIAL_AGAIN && !in_vain(at))
            };
            // A dial that led to a link is over: should the link die, nothing waits for it. Nor for one that nobody answered.
            let recent = |r: &Remote| r.dialled_at.is_some_and(|at| now.since(at) < DIAL_COUNTS);
            let open = |r: &&Remote| under_way(r) && recent(r) && !r.linked && r.proven.is_some();
            let turns = self.remotes.iter().filter(open).filter_map(|r| r.dialled_at);
            self.turn_at = turns.map(|at| at + DIAL_COUNTS).min().unwrap_or(Moment::NEVER);
            let dialled: Vec<SocketAddr> = self.remotes.iter().filter(open).map(|r| r.address).collect();
            let have: Vec<SocketAddr> = links.iter().copied().chain(dialled).collect();
            let direct: Vec<SocketAddr> = have.iter().copied().filter(|a| !is_relayed(*a)).collect();
            let relays = have.iter().filter(|a| is_relayed(**a)).count();
            let settled = self.first_link_at.is_some_and(|at| now.since(at) >= SECOND_AFTER);
            let wanted = |r: &Remote| match r.kind() {
                PathKind::Relay if direct.is_empty() => relays == 0 || settled && relays < MAX_RELAYED,
                PathKind::Relay => relays == 0 && settled,
                PathKind::Direct | PathKind::Tcp | PathKind::Circuit => {
                    let other_way = direct.iter().all(|a| a.ip() != r.address.ip());
                    direct.is_empty() || (settled && direct.len() < MAX_DIRECT && other_way)
                }
            };
            let best = self
                .remotes
                .iter_mut()
                .filter(|r| r.is_fresh(now) && !have.contains(&r.address) && !under_way(r) && wanted(r))
                .min_by_key(|r| (rank(r.address), r.proven.map(|(_, rtt)| rtt)));
            let Some(best) = best else { return };
            (best.dialled_at, best.linked) = (Some(now), false);
            self.outputs.push_back(PathOutput::Dial(best.address));
        }
    }
}

/// What is asked and dialled first: straight before relayed, IPv6 before IPv4, since no NAT stands in its way.
fn rank(address: SocketAddr) -> (bool, bool) {
    (is_relayed(address), address.is_ipv4())
}

/// Whether an address of the peer may be asked. Nothing is sent to groups, to nobody, or to ports that mean nothing.
///
/// Private and loopback addresses may be: that is what a call on a LAN, or with the Echo contact, is. What goes there are
/// 64 bytes that no other service takes for a request, paced and few (docs/PROTOCOL.md, "What a peer can make us send").
pub(crate) fn may_ask(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let special = ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(std::net::Ipv4Addr::BROADCAST);
    address.port() != 0 && !special
}
