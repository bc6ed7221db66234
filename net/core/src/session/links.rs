//! The links of a session: which are admitted, which one carries the sound, when to look for others.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ahoy_base::{Bitrate, LinkId, Moment};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::without_udp::WithoutUdp;
use super::{KEEP_ALIVE, LOST_AFTER, Output};
use crate::seal::handshake::Role;
use crate::transport::{Arrived, Loss, Losses, RateController, RateFigures, SendLog, Weather};
use crate::wire::datagram::Report;

/// Links a session keeps; more are closed.
const MAX_LINKS: usize = 4;
/// A quicker link takes over when it is this much quicker…
const MIN_GAIN: Duration = Duration::from_millis(5);
/// IPv6 is preferred at up to this much more delay (iroh's figure).
const IPV6_BONUS: Duration = Duration::from_millis(3);
/// Quiet beyond the signs of life that puts a link in doubt.
const SILENCE: Duration = Duration::from_millis(250);
/// Quiet while sound flows after which a standby link carries it too; longer than voice is ever apart.
const LATE: Duration = Duration::from_millis(30);
/// A frame is reported this soon after a round trip: reports come every 40 ms, and one may be lost.
const REPORTED: Duration = Duration::from_millis(85);
/// A doubtful link that was silent for so long gives the sound over; until then both carry it.
const MOVE_AFTER: Duration = Duration::from_millis(500);
/// A link that was silent for so long has to prove itself anew.
const GIVEN_UP: Duration = Duration::from_secs(2);
/// Datagrams that a link must have brought before sound moves to it by choice.
const PROOF: u32 = 5;
/// How often something is sent over a link that has not brought them yet.
const PROVE_EVERY: Duration = Duration::from_millis(40);
/// A link of the same kind must be quicker for so long.
const QUICKER_FOR: Duration = Duration::from_secs(2);
/// After a change both links carry the sound for so long.
const DOUBLE: Duration = Duration::from_millis(500);
/// What the round trip is taken for before it is known.
const FIRST_RTT: Duration = Duration::from_millis(100);
/// What a link is taken to carry before anything is known: any that carries a voice well.
const FIRST_RATE: Bitrate = Bitrate::kbps(300);
/// What a hello signs begins with.
const HELLO: &[u8] = b"ahoy-link-hello/1";
/// Session id and MAC.
const HELLO_BYTES: usize = 16 + 32;

/// Which side opened a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LinkSide {
    /// This device did.
    Dialer,
    /// The peer did.
    Acceptor,
}

/// How the sound goes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PathInfo {
    /// Straight, or through somebody.
    pub kind: PathKind,
    /// What kind of address the peer has.
    pub address: AddressKind,
    /// Smoothed round trip time, once measured.
    pub rtt: Option<Duration>,
}

/// Straight, or through what; the better first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PathKind {
    /// QUIC from device to device.
    Direct,
    /// QUIC from device to device through somebody's UDP relay, which sees packets that it can't read.
    Relay,
    /// TCP, to the device or to a relay: where UDP is blocked.
    Tcp,
    /// A libp2p circuit: the last resort.
    Circuit,
}

impl PathKind {
    /// What a kind costs beside its round trip: a worse kind must be that much quicker to be taken. Relays lend what
    /// they have, and TCP stalls where UDP loses.
    const fn handicap(self) -> Duration {
        match self {
            PathKind::Direct => Duration::ZERO,
            PathKind::Relay => Duration::from_millis(15),
            PathKind::Tcp => Duration::from_millis(60),
            PathKind::Circuit => Duration::from_millis(200),
        }
    }
}

/// What kind of address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum AddressKind {
    /// The same machine.
    Loopback,
    /// The same network: private, link-local or unique local.
    Lan,
    /// IPv4 of the internet.
    Ipv4,
    /// IPv6 of the internet.
    Ipv6,
}

impl AddressKind {
    /// The kind of an address (RFC 1918, RFC 4193, RFC 6598).
    pub fn of(ip: IpAddr) -> AddressKind {
        match ip.to_canonical() {
            ip if ip.is_loopback() => AddressKind::Loopback,
            IpAddr::V4(ip) if matches!(ip.octets(), [100, 64..=127, ..]) => AddressKind::Lan,
            IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() => AddressKind::Lan,
            IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => AddressKind::Lan,
            IpAddr::V4(_) => AddressKind::Ipv4,
            IpAddr::V6(_) => AddressKind::Ipv6,
        }
    }
}

/// Counters of one link.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkFigures {
    /// Its number.
    pub id: LinkId,
    /// Straight, or through what.
    pub kind: PathKind,
    /// Whether it carries our sound.
    pub chosen: bool,
    /// What kind of address.
    pub address: AddressKind,
    /// Smoothed round trip time.
    pub rtt: Option<Duration>,
    /// Datagrams sent.
    pub sent: u64,
    /// Genuine datagrams received.
    pub received: u64,
    /// Datagrams that should have come and did not, late ones not counted once they come.
    pub lost: u64,
    /// What the peer says is lost of ours.
    pub loss: Loss,
    /// What may be sent.
    pub rate: RateFigures,
}

struct Link {
    id: LinkId,
    kind: PathKind,
    side: LinkSide,
    remote: SocketAddr,
    route: SocketAddr,
    exporter: [u8; 32],
    max_datagram: usize,
    hello_sent: bool,
    /// A hello that came before the key to check it.
    hello: Option<Vec<u8>>,
    admitted: bool,
    heard_at: Moment,
    /// When the last datagram of any kind went out.
    sent_at: Moment,
    /// When the first frame went out that nothing was heard after.
    asked_at: Option<Moment>,
    /// Whether [`Links::newly_late`] has told of it.
    told_late: bool,
    /// Whether [`Links::newly_doubtful`] has told of it.
    told_doubt: bool,
    /// How far apart things come over it, smoothed.
    interval: Duration,
    /// Genuine datagrams since the link began, or was last given up.
    proof: u32,
    rtt: Option<Duration>,
    /// Mean deviation of the round trip (RFC 6298, 2.3).
    jitter: Duration,
    received: u64,
    span: Span,
    log: SendLog,
    arrived: Arrived,
    losses: Losses,
    rate: RateController,
    marks: u64,
}

/// How many datagrams a link should have brought, from their wrapping numbers.
#[derive(Default)]
struct Span {
    first: Option<u64>,
    newest: u64,
}

impl Span {
    fn note(&mut self, seq: u16) {
        let Some(_) = self.first else {
            // One round above zero, so that an earlier one that comes late has a place.
            self.newest = 65_536 + u64::from(seq);
            self.first = Some(self.newest);
            return;
        };
        let ahead = i64::from(seq.wrapping_sub(self.newest as u16) as i16);
        let unwrapped = self.newest.saturating_add_signed(ahead);
        self.newest = self.newest.max(unwrapped);
        self.first = self.first.map(|first| first.min(unwrapped));
    }

    fn expected(&self) -> u64 {
        self.first.map_or(0, |first| self.newest - first + 1)
    }
}

/// A link as it comes from the shell.
#[derive(Clone, Copy, Debug)]
pub struct NewLink {
    /// Its number.
    pub link: LinkId,
    /// Straight, or through what.
    pub kind: PathKind,
    /// Who opened it.
    pub side: LinkSide,
    /// The peer's address, or the relay's.
    pub remote: SocketAddr,
    /// The address that was dialled: of a relayed link the one that stands for the splice.
    pub route: SocketAddr,
    /// TLS keying material with the call as context.
    pub exporter: [u8; 32],
    /// Bytes a datagram may have.
    pub max_datagram: usize,
}

/// See the module's first line.
pub(super) struct Links {
    links: BTreeMap<LinkId, Link>,
    chosen: Option<LinkId>,
    /// What carried the sound before, and until when it still does: nobody knows yet that the new one holds.
    before: Option<(LinkId, Moment)>,
    /// A link that would be better than the chosen one, and since when.
    rival: Option<(LinkId, Moment)>,
    secret: Option<([u8; 16], [u8; 32])>,
    without_udp: WithoutUdp,
    outputs: VecDeque<Output>,
}

impl Links {
    pub(super) fn new() -> Links {
        Links {
            links: BTreeMap::new(),
            chosen: None,
            before: None,
            rival: None,
            secret: None,
            without_udp: WithoutUdp::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes a link; or says why it is to be closed.
    pub(super) fn add(&mut self, now: Moment, new: NewLink) -> Option<&'static str> {
        if self.links.len() >= MAX_LINKS {
            let silent = self.links.values().filter(|l| l.is_doubtful(now) && self.chosen != Some(l.id));
            let Some(worst) = silent.min_by_key(|l| l.heard_at).map(|l| l.id) else {
                return Some("enough links");
            };
            self.links.remove(&worst);
            self.outputs.push_back(Output::CloseLink { link: worst, why: "a better one came" });
        }
        let NewLink { link: id, kind, side, remote, route, exporter, max_datagram } = new;
        let link = Link {
            id,
            kind,
            side,
            remote,
            route,
            exporter,
            max_datagram,
            hello_sent: false,
            hello: None,
            admitted: false,
            heard_at: now,
            sent_at: now,
            asked_at: None,
            told_late: false,
            told_doubt: false,
            interval: FIRST_RTT,
            proof: 0,
            rtt: None,
            jitter: Duration::ZERO,
            received: 0,
            span: Span::default(),
            log: SendLog::default(),
            arrived: Arrived::default(),
            losses: Losses::default(),
            rate: RateController::new(now, FIRST_RATE),
            marks: 0,
        };
        self.links.insert(id, link);
        None
    }

    pub(super) fn remove(&mut self, id: LinkId) {
        self.links.remove(&id);
        if self.chosen == Some(id) {
            self.chosen = None;
        }
    }

    /// Closes links that go straight to the peer.
    pub(super) fn close_straight(&mut self) {
        let straight = |l: &&Link| matches!(l.kind, PathKind::Direct | PathKind::Tcp);
        let all: Vec<LinkId> = self.links.values().filter(straight).map(|l| l.id).collect();
        for link in all {
            self.remove(link);
            self.outputs.push_back(Output::CloseLink { link, why: "our address is hidden" });
        }
    }

    /// Where the QUIC links go that work, as far as is known: those that just came, and those in doubt for a moment, are
    /// taken to.
    pub(super) fn routes(&self, now: Moment) -> Vec<SocketAddr> {
        let quic = |l: &&Link| matches!(l.kind, PathKind::Direct | PathKind::Relay);
        self.links.values().filter(quic).filter(|l| !l.is_silent(now)).map(|l| l.route).collect()
    }

    pub(super) fn set_secret(&mut self, id: [u8; 16], key: [u8; 32]) {
        self.secret = Some((id, key));
    }

    pub(super) fn on_hello(&mut self, id: LinkId, bytes: &[u8]) {
        if let Some(link) = self.links.get_mut(&id)
            && bytes.len() == HELLO_BYTES
            && !link.admitted
        {
            link.hello = Some(bytes.to_vec());
        }
    }

    pub(super) fn on_rtt(&mut self, id: LinkId, rtt: Duration) {
        if let Some(link) = self.links.get_mut(&id) {
            let off = link.rtt.map_or(Duration::ZERO, |old| old.abs_diff(rtt));
            link.jitter = (link.jitter * 3 + off) / 4;
            link.rtt = Some(rtt);
        }
    }

    pub(super) fn is_admitted(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(|l| l.admitted)
    }

    /// A genuine datagram came. `media`: not a mere sign of life.
    pub(super) fn heard(&mut self, now: Moment, id: LinkId, seq: u16, media: bool) {
        if let Some(link) = self.links.get_mut(&id) {
            link.hear(now);
            link.span.note(seq);
            link.arrived.note(now, seq, media);
            link.received += 1;
        }
    }

    /// The number for the next datagram of a link; [`Links::sent`] tells that it went.
    pub(super) fn next_seq(&self, id: LinkId) -> Option<u16> {
        Some(self.links.get(&id)?.log.next())
    }

    /// A datagram of `bytes`, all headers counted, goes out.
    pub(super) fn sent(&mut self, now: Moment, id: LinkId, bytes: usize) {
        if let Some(link) = self.links.get_mut(&id) {
            link.log.sent(now, bytes);
            link.sent_at = now;
        }
    }

    /// A frame goes out over a link, which the peer reports within [`REPORTED`].
    pub(super) fn asked(&mut self, now: Moment, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.asked_at.get_or_insert(now);
        }
    }

    /// Links over which a sign of life is due: those that were quiet, and more often those that must prove themselves.
    pub(super) fn quiet(&self, now: Moment) -> Vec<LinkId> {
        self.links.values().filter(|l| l.admitted && now >= l.speak_at()).map(|l| l.id).collect()
    }

    /// When the next sign of life is due.
    pub(super) fn speak_at(&self) -> Moment {
        self.links.values().filter(|l| l.admitted).map(Link::speak_at).min().unwrap_or(Moment::NEVER)
    }

    /// The peer tells what came over a link.
    pub(super) fn on_report(&mut self, now: Moment, id: LinkId, report: &Report) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.hear(now);
        let fates = link.log.learn(now, report);
        link.rate.learn(now, &fates, link.log.rtt());
        if !link.rate.overflowed(now) {
            link.losses.take(&fates);
        }
    }

    /// QUIC counted `marks` congestion marks (RFC 3168) since the link began.
    pub(super) fn on_marks(&mut self, now: Moment, id: LinkId, marks: u64) {
        if let Some(link) = self.links.get_mut(&id)
            && marks > link.marks
        {
            link.marks = marks;
            link.rate.marked(now);
        }
    }

    /// What is known of the chosen link.
    pub(super) fn weather(&self) -> Option<Weather> {
        let link = self.links.get(&self.chosen?)?;
        Some(Weather { loss: link.losses.now(), budget: link.rate.for_voice() })
    }

    /// What may be sent over the chosen link.
    pub(super) fn target(&self) -> Bitrate {
        self.chosen.and_then(|id| self.links.get(&id)).map_or(FIRST_RATE, |link| link.rate.target())
    }

    /// The round trip of the chosen link, as reports show it or QUIC does.
    pub(super) fn rtt(&self) -> Duration {
        let link = self.chosen.and_then(|id| self.links.get(&id));
        link.and_then(|link| link.log.rtt().or(link.rtt)).unwrap_or(Duration::from_millis(100))
    }

    /// Whether what can wait may be sent over a link now.
    pub(super) fn may_send(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(|link| link.rate.may_send(link.log.in_flight()))
    }

    /// Bytes and rate of a probe that is due on a link that could use `wanted`.
    pub(super) fn probe_due(&self, now: Moment, id: LinkId, wanted: Bitrate) -> Option<(usize, Bitrate)> {
        self.links.get(&id)?.rate.probe_due(now, wanted)
    }

    /// What was sent over a link since its datagram `from` was a probe of `rate`.
    pub(super) fn probing(&mut self, now: Moment, id: LinkId, from: u64, rate: Bitrate) {
        if let Some(link) = self.links.get_mut(&id) {
            link.rate.probing(now, from, link.log.count(), rate);
        }
    }

    /// Datagrams sent over a link.
    pub(super) fn count(&self, id: LinkId) -> Option<u64> {
        Some(self.links.get(&id)?.log.count())
    }

    /// A report that is due, and the link it goes over.
    pub(super) fn report(&mut self, now: Moment) -> Option<(LinkId, Report)> {
        self.links.values_mut().filter(|l| l.admitted).find_map(|l| Some((l.id, l.arrived.report(now)?)))
    }

    /// When the next report is due.
    pub(super) fn report_at(&self) -> Moment {
        let due = self.links.values().filter(|l| l.admitted).filter_map(|l| l.arrived.due()).min();
        due.unwrap_or(Moment::NEVER)
    }

    pub(super) fn admitted(&self) -> Vec<LinkId> {
        self.links.values().filter(|l| l.admitted).map(|l| l.id).collect()
    }

    pub(super) fn chosen(&self) -> Option<Chosen> {
        let link = self.links.get(&self.chosen?)?;
        Some(Chosen { id: link.id, max_datagram: link.max_datagram })
    }

    /// The links that the next frame goes over: the chosen one; while it is in doubt the best other one beside it, and
    /// for a moment after a change the one before.
    pub(super) fn send_on(&self, now: Moment) -> Vec<LinkId> {
        let Some(chosen) = self.chosen.and_then(|id| self.links.get(&id)) else { return Vec::new() };
        let mut on = vec![chosen.id];
        if let Some((before, until)) = self.before
            && now < until
            && self.is_admitted(before)
            && before != chosen.id
        {
            on.push(before);
        } else if chosen.is_late(now) {
            on.extend(self.standby(now));
        }
        on
    }

    /// The best link beside the chosen one.
    fn standby(&self, now: Moment) -> Option<LinkId> {
        let others = self.links.values().filter(|l| l.admitted && self.chosen != Some(l.id));
        others.min_by_key(|l| l.score(now)).map(|l| l.id)
    }

    /// Something of the chosen link is late, told once: since when nothing is known of what it was given, and what could
    /// carry that too.
    pub(super) fn newly_late(&mut self, now: Moment) -> Option<(Moment, LinkId)> {
        let standby = self.standby(now)?;
        let chosen = self.chosen.and_then(|id| self.links.get_mut(&id))?;
        let late = chosen.is_late(now);
        let new = late && !std::mem::replace(&mut chosen.told_late, late);
        new.then(|| (chosen.asked_at.unwrap_or(chosen.heard_at), standby))
    }

    /// The chosen link became doubtful; told once.
    pub(super) fn newly_doubtful(&mut self, now: Moment) -> bool {
        let Some(chosen) = self.chosen.and_then(|id| self.links.get_mut(&id)) else { return false };
        let doubtful = chosen.is_doubtful(now);
        doubtful && !std::mem::replace(&mut chosen.told_doubt, doubtful)
    }

    /// A link beside the chosen one was silent so long that it wants a replacement; told once.
    pub(super) fn newly_silent(&mut self, now: Moment) -> bool {
        let chosen = self.chosen;
        let mut new = false;
        for link in self.links.values_mut().filter(|l| l.admitted && chosen != Some(l.id)) {
            let silent = now.since(link.heard_at) > GIVEN_UP;
            new |= silent && !std::mem::replace(&mut link.told_doubt, silent);
        }
        new
    }

    pub(super) fn is_alive(&self, now: Moment) -> bool {
        now < self.dead_at()
    }

    /// When the last link counts as dead.
    pub(super) fn dead_at(&self) -> Moment {
        let heard = self.links.values().filter(|l| l.admitted).map(|l| l.heard_at).max();
        heard.map_or(Moment::ZERO, |at| at + LOST_AFTER)
    }

    /// When a link without UDP is tried next.
    pub(super) fn dial_at(&self) -> Moment {
        self.without_udp.at()
    }

    pub(super) fn path(&self) -> Option<PathInfo> {
        let link = self.links.get(&self.chosen?)?;
        Some(PathInfo { kind: link.kind, address: AddressKind::of(link.remote.ip()), rtt: link.rtt })
    }

    pub(super) fn figures(&self) -> Vec<LinkFigures> {
        let figures = |l: &Link| LinkFigures {
            id: l.id,
            kind: l.kind,
            chosen: self.chosen == Some(l.id),
            address: AddressKind::of(l.remote.ip()),
            rtt: l.rtt,
            sent: l.log.count(),
            received: l.received,
            lost: l.span.expected().saturating_sub(l.received),
            loss: l.losses.now(),
            rate: l.rate.figures(),
        };
        self.links.values().map(figures).collect()
    }

    pub(super) fn on_time(&mut self, now: Moment, role: Role) {
        for link in self.links.values_mut().filter(|l| l.admitted) {
            link.rate.on_time(now, link.log.in_flight());
        }
        self.check_hellos(now, role);
        self.choose(now);
        if self.is_alive(now) {
            self.without_udp.rest();
        } else if self.secret.is_some()
            && role == Role::Initiator
            && let Some(kind) = self.without_udp.due(now)
        {
            // One side is enough, and both expect each other once there is a secret.
            self.outputs.push_back(Output::DialWithoutUdp(kind));
        }
    }

    /// What the links want done. `role`: our side of the session, which hellos are bound to.
    pub(super) fn poll(&mut self, role: Role) -> Option<Output> {
        if let Some((id, key)) = self.secret
            && let Some(link) = self.links.values_mut().find(|l| !l.hello_sent)
        {
            link.hello_sent = true;
            let mut bytes = id.to_vec();
            bytes.extend(mac(&key, role, &link.exporter));
            return Some(Output::LinkHello { link: link.id, bytes });
        }
        self.outputs.pop_front()
    }

    /// Admits links whose hello the peer made for this session and this connection, and closes others.
    fn check_hellos(&mut self, now: Moment, role: Role) {
        let Some((id, key)) = self.secret else { return };
        let peer = super::other(role);
        let mut wrong = Vec::new();
        for link in self.links.values_mut() {
            let Some(hello) = link.hello.take() else { continue };
            let fits = hello.split_first_chunk::<16>().is_some_and(|(hello_id, tag)| {
                *hello_id == id && keyed(&key, peer, &link.exporter).verify_slice(tag).is_ok()
            });
            if fits {
                link.admitted = true;
                link.heard_at = now;
                // The first sign of life goes at once: it opens the other side's way.
                link.sent_at = now - KEEP_ALIVE;
            } else {
                wrong.push(link.id);
            }
        }
        for link in wrong {
            self.links.remove(&link);
            self.outputs.push_back(Output::CloseLink { link, why: "wrong hello" });
        }
    }

    fn choose(&mut self, now: Moment) {
        for link in self.links.values_mut().filter(|l| now.since(l.heard_at) > GIVEN_UP) {
            link.proof = 0;
        }
        let best = self.links.values().filter(|l| l.admitted).min_by_key(|l| l.score(now));
        let Some(best) = best else {
            self.chosen = None;
            return;
        };
        let current = self.chosen.and_then(|id| self.links.get(&id));
        let Some(current) = current else {
            self.chosen = Some(best.id);
            return;
        };
        let (from, best) = (current.id, best.id);
        let Some(verdict) = self.links.get(&best).map(|best| best.against(current, now)) else { return };
        let since = self.rival.filter(|(id, _)| *id == best).map_or(now, |(_, since)| since);
        let wait = match verdict {
            Against::Worse => {
                self.rival = None;
                return;
            }
            Against::BetterKind | Against::Saves => Duration::ZERO,
            Against::Quicker => QUICKER_FOR,
        };
        self.rival = Some((best, since));
        if now.since(since) >= wait {
            self.chosen = Some(best);
            self.before = Some((from, now + DOUBLE));
            self.rival = None;
        }
    }
}

/// How a link compares with the chosen one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Against {
    /// No reason to change.
    Worse,
    /// The chosen one is silent, this one is not.
    Saves,
    /// Of a better kind, or the chosen one goes a much longer way; and proven.
    BetterKind,
    /// Of the same kind, proven, and quicker; worth a change if that lasts.
    Quicker,
}

/// How good a link is; less is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Score {
    doubtful: bool,
    cost: Duration,
    /// The tie-break of two links alike.
    side: LinkSide,
}

impl Link {
    /// Something genuine came over it.
    fn hear(&mut self, now: Moment) {
        let apart = now.since(self.heard_at).min(FIRST_RTT);
        self.interval = (self.interval * 7 + apart) / 8;
        (self.told_late, self.told_doubt) = (false, false);
        self.heard_at = self.heard_at.max(now);
        self.asked_at = None;
        self.proof = self.proof.saturating_add(1);
    }

    /// Whether it would have brought something by now, if it went on as before: a standby costs little.
    fn is_late(&self, now: Moment) -> bool {
        let patience = LATE.max(self.interval * 3) + self.jitter * 4;
        self.is_doubtful(now) || self.asked_at.is_some_and(|at| now.since(at) > patience)
    }

    /// Whether an answer is overdue.
    fn is_doubtful(&self, now: Moment) -> bool {
        let rtt = self.rtt.unwrap_or(FIRST_RTT);
        let silent = now.since(self.heard_at) > KEEP_ALIVE + SILENCE.max(rtt * 3);
        silent || self.asked_at.is_some_and(|at| now.since(at) > REPORTED + rtt + self.jitter * 4)
    }

    /// Whether it is left for another.
    fn is_silent(&self, now: Moment) -> bool {
        self.is_doubtful(now) && now.since(self.heard_at) > MOVE_AFTER
    }

    /// Round trip, jitter, loss (10 ms a percent) and the handicap of its kind, as one figure.
    fn cost(&self) -> Duration {
        let loss = Duration::from_secs(1).mul_f32(self.losses.now().share.clamp(0.0, 1.0));
        let family = if self.remote.is_ipv6() { Duration::ZERO } else { IPV6_BONUS };
        self.rtt.unwrap_or(FIRST_RTT) + self.jitter * 4 + loss + family + self.kind.handicap()
    }

    fn score(&self, now: Moment) -> Score {
        Score { doubtful: self.is_doubtful(now), cost: self.cost(), side: self.side }
    }

    /// Compares a link with the chosen one. Nothing moves to a link that has proven nothing, unless there is nothing to
    /// lose.
    fn against(&self, chosen: &Link, now: Moment) -> Against {
        if self.id == chosen.id || self.is_doubtful(now) {
            return Against::Worse;
        }
        if chosen.is_silent(now) {
            return Against::Saves;
        }
        let (old, new) = (chosen.cost(), self.cost());
        if self.proof < PROOF || old <= new + MIN_GAIN || old <= new.mul_f64(1.1) {
            return Against::Worse;
        }
        if self.kind < chosen.kind { Against::BetterKind } else { Against::Quicker }
    }

    fn speak_at(&self) -> Moment {
        self.sent_at + if self.proof < PROOF { PROVE_EVERY } else { KEEP_ALIVE }
    }
}

/// The link that carries our sound.
pub(super) struct Chosen {
    pub(super) id: LinkId,
    pub(super) max_datagram: usize,
}

/// Whether a round trip changed so much that a person would want to see it: a fifth, and a millisecond.
pub(super) fn rtt_changed(old: Option<Duration>, new: Option<Duration>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => old.abs_diff(new) > (old / 5).max(Duration::from_millis(1)),
        (None, Some(_)) => true,
        (_, None) => false,
    }
}

fn keyed(key: &[u8; 32], role: Role, exporter: &[u8; 32]) -> Hmac<Sha256> {
    let side = match role {
        Role::Initiator => 0u8,
        Role::Responder => 1,
    };
    // HMAC takes keys of any length, so this can't fail; an empty MAC would admit nobody.
    let mut mac =
        <Hmac<Sha256> as Mac>::new_from_slice(key).unwrap_or_else(|_| Mac::new(&Default::default()));
    mac.update(HELLO);
    mac.update(&[side]);
    mac.update(exporter);
    mac
}

fn mac(key: &[u8; 32], role: Role, exporter: &[u8; 32]) -> [u8; 32] {
    keyed(key, role, exporter).finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn loss_is_counted_over_wraps_and_late_ones_are_forgiven() {
        let mut span = Span::default();
        for seq in [65_534u16, 65_535, 1, 0] {
            span.note(seq);
        }
        assert_eq!(span.expected(), 4);
        span.note(3);
        assert_eq!(span.expected(), 6);
        span.note(65_533);
        assert_eq!(span.expected(), 7);
    }

    #[test]
    fn addresses_are_told_apart() {
        for (ip, kind) in [
            ("127.0.0.1", AddressKind::Loopback),
            ("::1", AddressKind::Loopback),
            ("192.168.1.1", AddressKind::Lan),
            ("169.254.1.1", AddressKind::Lan),
            ("fd00::1", AddressKind::Lan),
            ("::ffff:10.0.0.1", AddressKind::Lan),
            ("9.9.9.9", AddressKind::Ipv4),
            ("2001:db8::1", AddressKind::Ipv6),
        ] {
            assert_eq!(AddressKind::of(ip.parse().unwrap()), kind, "{ip}");
        }
    }

    #[test]
    fn a_hello_fits_one_side_of_one_connection() {
        let (key, exporter) = ([1; 32], [2; 32]);
        let tag = mac(&key, Role::Initiator, &exporter);
        assert_ne!(tag, mac(&key, Role::Responder, &exporter));
        assert_ne!(tag, mac(&key, Role::Initiator, &[3; 32]));
        assert_ne!(tag, mac(&[3; 32], Role::Initiator, &exporter));
    }

    fn with(kinds: &[PathKind]) -> Links {
        let mut links = Links::new();
        for (n, kind) in kinds.iter().enumerate() {
            let id = LinkId::new(n as u32 + 1);
            let remote = "9.9.9.9:9".parse().unwrap();
            let side = LinkSide::Dialer;
            let new = NewLink {
                link: id,
                kind: *kind,
                side,
                remote,
                route: remote,
                exporter: [0; 32],
                max_datagram: 1_200,
            };
            assert_eq!(links.add(Moment::ZERO, new), None);
            links.on_rtt(id, Duration::from_millis(20));
            links.links.get_mut(&id).unwrap().admitted = true;
        }
        links
    }

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    const A: LinkId = LinkId::new(1);
    const B: LinkId = LinkId::new(2);

    #[test]
    fn sound_moves_to_a_better_kind_on_proof_alone_and_goes_both_ways_for_a_moment() {
        let mut links = with(&[PathKind::Relay]);
        links.choose(at(0));
        let mut better = with(&[PathKind::Relay, PathKind::Direct]);
        links.links.append(&mut better.links);
        for n in 0..PROOF {
            links.choose(at(100));
            assert_eq!(links.chosen, Some(A), "after {n} datagrams");
            links.heard(at(100), B, n as u16, false);
        }
        links.choose(at(101));
        assert_eq!(links.send_on(at(102)), [B, A]);
        links.heard(at(500), B, 9, false);
        assert_eq!(links.send_on(at(700)), [B]);
        // A link of the same kind has to stay quicker.
        links.links.get_mut(&A).unwrap().kind = PathKind::Direct;
        links.on_rtt(A, Duration::from_millis(2));
        links.links.get_mut(&A).unwrap().jitter = Duration::ZERO;
        for ms in (700..3_100).step_by(100) {
            (0..2).for_each(|n| links.heard(at(ms), [A, B][n], ms as u16, false));
            links.choose(at(ms));
            assert_eq!(links.chosen, Some(B));
        }
        links.choose(at(3_101));
        assert_eq!(links.chosen, Some(A));
    }

    #[test]
    fn a_standby_that_fell_silent_is_told_of_once_each_time() {
        let mut links = with(&[PathKind::Relay, PathKind::Relay]);
        links.choose(at(0));
        let mut told = Vec::new();
        for ms in (0..10_000).step_by(100) {
            links.heard(at(ms), A, (ms / 100) as u16, true);
            // Its relay is gone from 1 s to 6 s.
            if !(1_000..6_000).contains(&ms) && ms < 7_000 {
                links.heard(at(ms), B, (ms / 100) as u16, false);
            }
            if links.newly_silent(at(ms)) {
                told.push(ms);
            }
        }
        assert_eq!(told, [3_000, 9_000]);
    }

    #[test]
    fn a_link_that_does_not_answer_is_helped_out_at_once_doubted_soon_and_left_then() {
        let mut links = with(&[PathKind::Direct, PathKind::Relay]);
        links.choose(at(0));
        links.on_rtt(A, Duration::from_millis(5));
        links.links.get_mut(&A).unwrap().jitter = Duration::ZERO;
        links.on_rtt(A, Duration::from_millis(5));
        for n in 0..100u16 {
            links.heard(at(10 * u64::from(n)), A, n, true);
            links.heard(at(10 * u64::from(n)), B, n, false);
        }
        links.asked(at(1_000), A);
        assert_eq!((links.send_on(at(1_029)), links.newly_late(at(1_029))), (vec![A], None));
        assert_eq!(links.send_on(at(1_040)), [A, B]);
        assert_eq!(links.newly_late(at(1_040)), Some((at(1_000), B)));
        assert_eq!(links.newly_late(at(1_050)), None, "told once");
        assert!(!links.newly_doubtful(at(1_085)));
        assert!(links.newly_doubtful(at(1_100)) && !links.newly_doubtful(at(1_110)));
        links.heard(at(1_400), B, 100, false);
        links.choose(at(1_489));
        assert_eq!(links.chosen, Some(A));
        links.choose(at(1_491));
        assert_eq!(links.chosen, Some(B));
        // Back again only when it has shown that it lives.
        for (n, ms) in (3_600..4_100).step_by(100).enumerate() {
            links.heard(at(ms), B, 101 + n as u16, true);
            links.choose(at(ms));
            assert_eq!(links.chosen, Some(B), "{ms}");
            links.heard(at(ms), A, 101 + n as u16, false);
        }
        links.choose(at(4_100));
        assert_eq!(links.chosen, Some(A));
    }
}
