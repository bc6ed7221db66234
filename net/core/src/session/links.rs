//! The links of a session: which are admitted, which one carries the sound, when to look for others.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ahoy_base::{Bitrate, LinkId, Moment};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::messages::MAX_CANDIDATES;
use super::{KEEP_ALIVE, LOST_AFTER, NEVER, Output};
use crate::seal::handshake::Role;
use crate::transport::{Arrived, Loss, Losses, RateController, RateFigures, SendLog, Weather};
use crate::wire::datagram::Report;

/// Links a session keeps; more are closed.
const MAX_LINKS: usize = 4;
/// Addresses are tried again after this while there is no link.
const DIAL_EVERY: Duration = Duration::from_secs(1);
/// A quicker link takes over when it is this much quicker…
const MIN_GAIN: Duration = Duration::from_millis(5);
/// IPv6 is preferred at up to this much more delay (iroh's figure).
const IPV6_BONUS: Duration = Duration::from_millis(3);
/// Quiet beyond the signs of life that makes a link suspect.
const SUSPECT_SLACK: Duration = Duration::from_millis(250);
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

/// Straight, or through somebody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PathKind {
    /// From device to device.
    Direct,
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
    side: LinkSide,
    remote: SocketAddr,
    exporter: [u8; 32],
    max_datagram: usize,
    hello_sent: bool,
    /// A hello that came before the key to check it.
    hello: Option<Vec<u8>>,
    admitted: bool,
    heard_at: Moment,
    rtt: Option<Duration>,
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

/// See the module's first line.
pub(super) struct Links {
    links: BTreeMap<LinkId, Link>,
    chosen: Option<LinkId>,
    secret: Option<([u8; 16], [u8; 32])>,
    addresses: Vec<SocketAddr>,
    dial_at: Moment,
    outputs: VecDeque<Output>,
}

impl Links {
    pub(super) fn new() -> Links {
        Links {
            links: BTreeMap::new(),
            chosen: None,
            secret: None,
            addresses: Vec::new(),
            dial_at: NEVER,
            outputs: VecDeque::new(),
        }
    }

    /// Takes a link; or says why it is to be closed.
    pub(super) fn add(
        &mut self,
        now: Moment,
        id: LinkId,
        side: LinkSide,
        remote: SocketAddr,
        exporter: [u8; 32],
        max_datagram: usize,
    ) -> Option<&'static str> {
        if self.links.len() >= MAX_LINKS {
            return Some("enough links");
        }
        let link = Link {
            id,
            side,
            remote,
            exporter,
            max_datagram,
            hello_sent: false,
            hello: None,
            admitted: false,
            heard_at: now,
            rtt: None,
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

    pub(super) fn remove(&mut self, now: Moment, id: LinkId) {
        self.links.remove(&id);
        if self.chosen == Some(id) {
            self.chosen = None;
            self.dial_at = self.dial_at.min(now);
        }
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
            link.rtt = Some(rtt);
        }
    }

    /// Keeps addresses of the peer and tries the new ones at once.
    pub(super) fn learn(&mut self, now: Moment, addresses: &[SocketAddr]) {
        for address in addresses.iter().filter(|a| may_dial(**a)) {
            if !self.addresses.contains(address) && self.addresses.len() < MAX_CANDIDATES {
                self.addresses.push(*address);
                self.dial_at = now;
            }
        }
    }

    pub(super) fn is_admitted(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(|l| l.admitted)
    }

    /// A genuine datagram came. `media`: not a mere sign of life.
    pub(super) fn heard(&mut self, now: Moment, id: LinkId, seq: u16, media: bool) {
        if let Some(link) = self.links.get_mut(&id) {
            link.heard_at = link.heard_at.max(now);
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
        }
    }

    /// The peer tells what came over a link.
    pub(super) fn on_report(&mut self, now: Moment, id: LinkId, report: &Report) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.heard_at = link.heard_at.max(now);
        let fates = link.log.learn(now, report);
        link.losses.take(&fates);
        link.rate.learn(now, &fates, link.log.rtt());
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
        Some(Weather { loss: link.losses.now(), budget: link.rate.target() })
    }

    /// A report that is due, and the link it goes over.
    pub(super) fn report(&mut self, now: Moment) -> Option<(LinkId, Report)> {
        self.links.values_mut().filter(|l| l.admitted).find_map(|l| Some((l.id, l.arrived.report(now)?)))
    }

    /// When the next report is due.
    pub(super) fn report_at(&self) -> Moment {
        let due = self.links.values().filter(|l| l.admitted).filter_map(|l| l.arrived.due()).min();
        due.unwrap_or(NEVER)
    }

    pub(super) fn admitted(&self) -> Vec<LinkId> {
        self.links.values().filter(|l| l.admitted).map(|l| l.id).collect()
    }

    pub(super) fn chosen(&self) -> Option<Chosen> {
        let link = self.links.get(&self.chosen?)?;
        Some(Chosen { id: link.id, max_datagram: link.max_datagram })
    }

    /// The chosen link; while it is suspect the best other one beside it.
    pub(super) fn send_on(&self, now: Moment) -> Vec<LinkId> {
        let Some(chosen) = self.chosen.and_then(|id| self.links.get(&id)) else { return Vec::new() };
        let mut on = vec![chosen.id];
        let patience = KEEP_ALIVE + SUSPECT_SLACK.max(chosen.rtt.unwrap_or_default() * 3);
        if now.since(chosen.heard_at) > patience {
            let other =
                self.links.values().filter(|l| l.admitted && l.id != chosen.id).max_by_key(|l| l.heard_at);
            on.extend(other.map(|l| l.id));
        }
        on
    }

    pub(super) fn is_alive(&self, now: Moment) -> bool {
        now < self.dead_at()
    }

    /// When the last link counts as dead.
    pub(super) fn dead_at(&self) -> Moment {
        let heard = self.links.values().filter(|l| l.admitted).map(|l| l.heard_at).max();
        heard.map_or(Moment::ZERO, |at| at + LOST_AFTER)
    }

    pub(super) fn dial_at(&self) -> Moment {
        if self.addresses.is_empty() { NEVER } else { self.dial_at }
    }

    pub(super) fn path(&self) -> Option<PathInfo> {
        let link = self.links.get(&self.chosen?)?;
        Some(PathInfo { kind: PathKind::Direct, address: AddressKind::of(link.remote.ip()), rtt: link.rtt })
    }

    pub(super) fn figures(&self) -> Vec<LinkFigures> {
        let figures = |l: &Link| LinkFigures {
            id: l.id,
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
        let alive = self.is_alive(now);
        if !alive && self.dial_at == NEVER {
            self.dial_at = now;
        }
        if now >= self.dial_at && !self.addresses.is_empty() {
            // A path that lives needs no further tries; new addresses still get one.
            self.dial_at = if alive { NEVER } else { now + DIAL_EVERY };
            self.outputs.push_back(Output::Dial(self.addresses.clone()));
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
        let best = self.links.values().filter(|l| l.admitted).min_by_key(|l| cost(l, now));
        let Some(best) = best else {
            self.chosen = None;
            return;
        };
        let current = self.chosen.and_then(|id| self.links.get(&id));
        let change = match current {
            None => true,
            Some(current) => {
                let (now_cost, new_cost) = (cost(current, now), cost(best, now));
                now_cost > new_cost + MIN_GAIN && now_cost > new_cost.mul_f64(1.1)
            }
        };
        if change {
            self.chosen = Some(best.id);
        }
    }
}

/// The link that carries our sound.
pub(super) struct Chosen {
    pub(super) id: LinkId,
    pub(super) max_datagram: usize,
}

/// What a link costs: its round trip, more if it is silent. Both sides dial; the dialled one of the two is the tie-break.
fn cost(link: &Link, now: Moment) -> Duration {
    let rtt = link.rtt.unwrap_or(Duration::from_millis(100)) + IPV6_BONUS;
    let bonus = if link.remote.is_ipv6() { IPV6_BONUS } else { Duration::ZERO };
    let silence = now.since(link.heard_at).saturating_sub(KEEP_ALIVE + SUSPECT_SLACK);
    let tie = if link.side == LinkSide::Dialer { Duration::ZERO } else { Duration::from_micros(1) };
    rtt - bonus + silence + tie
}

/// Whether a round trip changed so much that a person would want to see it: a fifth, and a millisecond.
pub(super) fn rtt_changed(old: Option<Duration>, new: Option<Duration>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => old.abs_diff(new) > (old / 5).max(Duration::from_millis(1)),
        (None, Some(_)) => true,
        (_, None) => false,
    }
}

/// Whether an address of the peer may be dialled. Nothing is sent to groups, to nobody, or to ports that mean nothing.
///
/// Private and loopback addresses may be: that is what a call on a LAN, or with the Echo contact, is. What goes there is
/// a QUIC Initial, which no other service takes for a request (docs/PROTOCOL.md, "What a peer can make us send").
fn may_dial(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let special = ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    address.port() != 0 && !special
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
    fn nothing_is_sent_to_groups_or_to_nobody() {
        for bad in ["0.0.0.0:1", "[::]:1", "224.0.0.1:1", "[ff02::1]:1", "255.255.255.255:1", "10.0.0.1:0"] {
            assert!(!may_dial(bad.parse().unwrap()), "{bad}");
        }
        assert!(may_dial("10.0.0.1:1".parse().unwrap()));
    }

    #[test]
    fn a_hello_fits_one_side_of_one_connection() {
        let (key, exporter) = ([1; 32], [2; 32]);
        let tag = mac(&key, Role::Initiator, &exporter);
        assert_ne!(tag, mac(&key, Role::Responder, &exporter));
        assert_ne!(tag, mac(&key, Role::Initiator, &[3; 32]));
        assert_ne!(tag, mac(&[3; 32], Role::Initiator, &exporter));
    }
}
