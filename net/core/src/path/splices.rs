//! A session's ends of splices: which relays are asked to lend one and when, how an end is bound and stays bound, and when its
//! relay counts as silent. Pure.
//!
//! While fewer than two relays live, others are asked. A relay that falls silent is replaced half a second later, long before
//! it is given up: it may come back, or only our network was gone.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use ahoy_base::{Moment, PeerId};

use super::packet::{self, Kind, PACKET, Packet, PacketKey, TAG};
use super::relay::Lent;
use super::relayed;
use crate::seal::handshake::Role;
use crate::session::RelayOffer;

/// Ends at once: ours and one that the peer offers, with one of each to replace them.
const MAX_ENDS: usize = 4;
/// Relays that are known to lend; more than a handful is none the better.
const MAX_KNOWN: usize = 32;
/// Relays that shall live at once, as long as there are so many: one may stop at any moment.
const WANTED: usize = 2;
/// Another relay is asked this long after the last one, which may be dead and say nothing for seconds.
const ASK_NEXT: Duration = Duration::from_millis(300);
/// After a splice was lent the other side has this long to offer one of another relay before we ask for a second.
const THEIR_TURN: Duration = Duration::from_secs(1);
/// A relay that did not lend is asked again after this, doubling…
const PAUSE: Duration = Duration::from_secs(1);
/// …up to this.
const MAX_PAUSE: Duration = Duration::from_secs(32);
/// A bind without an answer is said again after this…
const BIND_AGAIN: Duration = Duration::from_millis(150);
/// …and after this once the relay has been silent for a while.
const BIND_SELDOM: Duration = Duration::from_millis(500);
/// A bound end says so again after this: NAT mappings of UDP live 30 s or longer, and the relay forgets after 30 s.
const BIND_EVERY: Duration = Duration::from_secs(8);
/// A relay that answers no bind for so long, or three round trips, is silent: three binds, of which one in twenty is lost
/// for nothing at a fifth of packets lost each way.
const SILENT: Duration = Duration::from_millis(450);
/// An end that was never bound is given up after this.
const NEVER_BOUND: Duration = Duration::from_secs(4);
/// One that was, after this: by then the relay has forgotten it.
const FORGOTTEN: Duration = Duration::from_secs(28);
/// The peer is told of a splice again after this, until something of it comes through…
const TELL_AGAIN: Duration = Duration::from_millis(400);
/// …so often.
const TELLS: u32 = 12;

/// Something to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SpliceOutput {
    /// Ask this relay for a splice; [`Splices::on_answer`] takes what it says.
    Ask(PeerId),
    /// Bring packets with this tag.
    Tag([u8; TAG]),
    /// Send these bytes there.
    Send(SocketAddr, [u8; PACKET]),
    /// An end is bound: the address stands for the splice of this id at that relay. Again if the relay moved.
    Bound(SocketAddr, [u8; TAG], SocketAddr),
    /// What the address stands for is alive, and may lead to the peer.
    Live(SocketAddr),
    /// It is silent, and worth nothing until it is told to be alive again.
    Silent(SocketAddr),
    /// It is given up, and stands for nothing any more.
    Gone(SocketAddr),
    /// A relay, at the first address, sees us at the second.
    SeenAs(SocketAddr, SocketAddr),
}

struct End {
    offer: RelayOffer,
    key: PacketKey,
    /// Whom we asked for it, and what the peer needs to hold the other end. `None`: the peer offered it.
    ours: Option<(PeerId, RelayOffer)>,
    began: Moment,
    /// The relay's address, once it answered, and how long that took.
    relay: Option<(SocketAddr, Duration)>,
    seen: Option<SocketAddr>,
    number: u64,
    /// When binds since the last answer began, if one is out.
    asked_at: Option<Moment>,
    bind_at: Moment,
    live: bool,
    tells: u32,
    tell_at: Moment,
}

impl End {
    fn stands(&self) -> SocketAddr {
        relayed(u64::from_be_bytes(self.offer.id))
    }

    /// How long binds have gone without an answer.
    fn silence(&self, now: Moment) -> Duration {
        self.asked_at.map_or(Duration::ZERO, |at| now.since(at))
    }

    fn patience(&self) -> Duration {
        self.relay.map_or(SILENT, |(_, rtt)| SILENT.max(rtt * 3))
    }

    fn over_at(&self) -> Moment {
        match (self.relay, self.asked_at) {
            (None, _) => self.began + NEVER_BOUND,
            (Some(_), Some(at)) => at + FORGOTTEN,
            (Some(_), None) => Moment::NEVER,
        }
    }

    /// Alive, or on its way to be.
    fn is_hopeful(&self, now: Moment) -> bool {
        self.live || self.relay.is_none() && self.silence(now) < self.patience()
    }

    fn is_at(&self, places: &[SocketAddr]) -> bool {
        self.offer.addresses.iter().any(|a| places.contains(a))
    }
}

/// What is known of a relay that may be asked.
#[derive(Default)]
struct Lender {
    asked_at: Option<Moment>,
    failures: u32,
    not_before: Moment,
    /// Where it said that it is.
    places: Vec<SocketAddr>,
}

/// See the module's first lines.
pub struct Splices {
    role: Role,
    peer: PeerId,
    /// In the order in which they are asked.
    known: Vec<PeerId>,
    lenders: BTreeMap<PeerId, Lender>,
    ends: Vec<End>,
    ask_at: Moment,
    /// Until then the other side may bring the second relay.
    their_turn: Moment,
    /// When time passed last.
    now: Moment,
    outputs: VecDeque<SpliceOutput>,
}

impl Splices {
    /// Knows no relay yet. `peer`: whom the session is with; it is no relay for this.
    pub fn new(role: Role, peer: PeerId) -> Splices {
        Splices {
            role,
            peer,
            known: Vec::new(),
            lenders: BTreeMap::new(),
            ends: Vec::new(),
            ask_at: Moment::ZERO,
            their_turn: Moment::ZERO,
            now: Moment::ZERO,
            outputs: VecDeque::new(),
        }
    }

    /// The devices that lend splices now, in an order that both sides have.
    pub fn know(&mut self, relays: impl IntoIterator<Item = PeerId>) {
        let peer = self.peer;
        self.known = relays.into_iter().filter(|relay| *relay != peer).take(MAX_KNOWN).collect();
        if self.role == Role::Responder {
            // From the other end of the same list: two relays are better than twice the same.
            self.known.reverse();
        }
        let known = &self.known;
        self.lenders.retain(|relay, lender| known.contains(relay) || lender.asked_at.is_some());
    }

    /// A relay lent us a splice, and said where it is; or it did not.
    pub fn on_answer(&mut self, now: Moment, relay: PeerId, lent: Option<(Lent, Vec<SocketAddr>)>) {
        let lender = self.lenders.entry(relay).or_default();
        if lender.asked_at.take().is_none() {
            return;
        }
        self.ask_at = now;
        let Some((lent, addresses)) = lent else {
            lender.put_off(now);
            return;
        };
        (lender.failures, lender.places) = (0, addresses.clone());
        let distinct = !self.ends.iter().any(|end| end.live && end.is_at(&addresses));
        if !(distinct || self.wants(now) == Wants::Any) {
            // It stays unbound, and the relay forgets it.
            return;
        }
        self.their_turn = now + THEIR_TURN;
        let end = |key| RelayOffer { addresses: addresses.clone(), id: lent.id, key };
        self.hold(now, end(lent.near), Some((relay, end(lent.far))));
    }

    /// The peer offers an end of a splice.
    pub fn on_offer(&mut self, now: Moment, offer: RelayOffer) {
        self.hold(now, offer, None);
    }

    /// Takes a relay's answer to a bind; whether it was one for an end of ours.
    pub fn on_packet(&mut self, now: Moment, from: SocketAddr, bytes: &[u8]) -> bool {
        let Some(packet) = Packet::parse(bytes) else { return false };
        let Some(end) = self.ends.iter_mut().find(|end| end.offer.id == packet.tag) else { return false };
        // One bind goes to each of at most four addresses.
        let fresh = packet.number <= end.number && end.number - packet.number < 8;
        let genuine = packet.kind == Kind::Bound && fresh && packet::is_genuine(bytes, &end.key);
        let (Some(seen), true) = (packet.seen, genuine) else { return true };
        let rtt = end.silence(now);
        let stands = end.stands();
        if end.relay.is_none_or(|(relay, _)| relay != from) {
            self.outputs.push_back(SpliceOutput::Bound(stands, end.offer.id, from));
        }
        if end.seen.replace(seen) != Some(seen) || end.relay.is_none() {
            self.outputs.push_back(SpliceOutput::SeenAs(from, seen));
        }
        if !std::mem::replace(&mut end.live, true) {
            self.outputs.push_back(SpliceOutput::Live(stands));
        }
        end.relay = Some((from, rtt));
        (end.asked_at, end.bind_at) = (None, now + BIND_EVERY);
        true
    }

    /// Something of the peer came through what `address` stands for: it holds the other end.
    pub fn heard(&mut self, address: SocketAddr) {
        if let Some(end) = self.ends.iter_mut().find(|end| end.stands() == address) {
            end.tells = TELLS;
        }
    }

    /// All ends are bound again, at once: a NAT on the way may have forgotten us, or a relay may be gone.
    pub fn bind_again(&mut self, now: Moment) {
        self.ends.iter_mut().for_each(|end| end.bind_at = now);
    }

    /// What the peer is to be told of by now. Only once there are keys to tell it under.
    pub fn offers_due(&mut self, now: Moment) -> Vec<RelayOffer> {
        let mut due = Vec::new();
        for end in self.ends.iter_mut().filter(|end| end.tells < TELLS && end.tell_at <= now) {
            if let Some((_, theirs)) = &end.ours {
                (end.tells, end.tell_at) = (end.tells + 1, now + TELL_AGAIN);
                due.push(theirs.clone());
            }
        }
        due
    }

    /// Lets time pass.
    pub fn on_time(&mut self, now: Moment) {
        self.now = now;
        self.look_after(now);
        self.ask_due(now);
        self.bind_due(now);
    }

    /// What there is to do; `None` when nothing is.
    pub fn poll(&mut self) -> Option<SpliceOutput> {
        self.outputs.pop_front()
    }

    /// When [`Splices::on_time`] has something to do next, or an offer is due and `telling`.
    pub fn due(&self, telling: bool) -> Moment {
        let now = self.now;
        let end = |end: &End| {
            let tell =
                if telling && end.ours.is_some() && end.tells < TELLS { end.tell_at } else { Moment::NEVER };
            let silent = match end.asked_at {
                Some(at) if end.is_hopeful(now) => at + end.patience(),
                Some(_) | None => Moment::NEVER,
            };
            end.bind_at.min(end.over_at()).min(tell).min(silent)
        };
        let ends = self.ends.iter().map(end).min().unwrap_or(Moment::NEVER);
        ends.min(self.asking_at(now))
    }

    fn hold(&mut self, now: Moment, offer: RelayOffer, ours: Option<(PeerId, RelayOffer)>) {
        if self.ends.iter().any(|end| end.offer.id == offer.id) {
            return;
        }
        if self.ends.len() >= MAX_ENDS {
            let silent = self.ends.iter().filter(|end| !end.is_hopeful(now));
            let Some(worst) = silent.max_by_key(|end| end.silence(now)).map(|end| end.offer.id) else {
                return;
            };
            self.give_up(worst);
        }
        self.outputs.push_back(SpliceOutput::Tag(offer.id));
        self.ends.push(End {
            key: PacketKey::new(offer.key),
            offer,
            ours,
            began: now,
            relay: None,
            seen: None,
            number: 0,
            asked_at: None,
            bind_at: now,
            live: false,
            tells: 0,
            tell_at: now,
        });
    }

    fn give_up(&mut self, id: [u8; TAG]) {
        if let Some(at) = self.ends.iter().position(|end| end.offer.id == id) {
            let end = self.ends.remove(at);
            self.outputs.push_back(SpliceOutput::Gone(end.stands()));
        }
    }

    /// Notices relays that fell silent, and gives up what has been so for long.
    fn look_after(&mut self, now: Moment) {
        for end in self.ends.iter_mut().filter(|end| end.live && end.silence(now) >= end.patience()) {
            end.live = false;
            self.outputs.push_back(SpliceOutput::Silent(end.stands()));
            if let Some(lender) = end.ours.as_ref().and_then(|(relay, _)| self.lenders.get_mut(relay)) {
                lender.put_off(now);
            }
            // Nobody's turn: both sides see to it that there are two again.
            (self.their_turn, self.ask_at) = (now, now);
        }
        let over = self.ends.iter().filter(|end| now >= end.over_at());
        let over: Vec<[u8; TAG]> = over.map(|end| end.offer.id).collect();
        over.into_iter().for_each(|id| self.give_up(id));
    }

    fn wants(&self, now: Moment) -> Wants {
        let hopeful = || self.ends.iter().filter(|end| end.is_hopeful(now));
        if !hopeful().any(|end| end.ours.is_some()) {
            return Wants::Any;
        }
        // Relays are told apart by where they are.
        let mut places: Vec<&[SocketAddr]> = Vec::new();
        for end in hopeful() {
            if !places.iter().any(|place| end.is_at(place)) {
                places.push(&end.offer.addresses);
            }
        }
        if places.len() < WANTED && self.ends.len() < MAX_ENDS { Wants::Another } else { Wants::Nothing }
    }

    /// Whom to ask next: those that carry nothing of this call first, then those that failed least.
    fn candidate(&self, now: Moment) -> Option<PeerId> {
        let wants = self.wants(now);
        let fits = |relay: &&PeerId| {
            let lender = self.lenders.get(relay);
            lender.is_none_or(|l| l.asked_at.is_none() && l.not_before <= now)
        };
        let rank = |relay: &&PeerId| {
            let used = self.is_used(now, relay);
            (used, self.lenders.get(relay).map_or(0, |lender| lender.failures))
        };
        let best = self.known.iter().filter(fits).min_by_key(rank)?;
        match wants {
            Wants::Nothing => None,
            Wants::Another => Some(*best).filter(|best| !self.is_used(now, best)),
            Wants::Any => Some(*best),
        }
    }

    fn is_used(&self, now: Moment, relay: &PeerId) -> bool {
        let places = self.lenders.get(relay).map(|lender| lender.places.as_slice()).unwrap_or_default();
        self.ends.iter().any(|end| end.is_hopeful(now) && end.is_at(places))
    }

    /// When the next relay is asked, as far as time alone decides.
    fn asking_at(&self, now: Moment) -> Moment {
        let wants = self.wants(now);
        let soonest = match wants {
            Wants::Nothing => return Moment::NEVER,
            Wants::Another => self.ask_at.max(self.their_turn),
            Wants::Any => self.ask_at,
        };
        let may = self.known.iter().filter(|relay| wants == Wants::Any || !self.is_used(now, relay));
        let may = may.filter_map(|relay| match self.lenders.get(relay) {
            Some(lender) if lender.asked_at.is_some() => None,
            Some(lender) => Some(lender.not_before),
            None => Some(Moment::ZERO),
        });
        may.min().map_or(Moment::NEVER, |at| at.max(soonest))
    }

    fn ask_due(&mut self, now: Moment) {
        if self.asking_at(now) > now {
            return;
        }
        let Some(relay) = self.candidate(now) else { return };
        self.lenders.entry(relay).or_default().asked_at = Some(now);
        self.ask_at = now + ASK_NEXT;
        self.outputs.push_back(SpliceOutput::Ask(relay));
    }

    fn bind_due(&mut self, now: Moment) {
        for end in self.ends.iter_mut().filter(|end| end.bind_at <= now) {
            let asked_at = *end.asked_at.get_or_insert(now);
            let long = now.since(asked_at) > end.patience() * 3;
            end.bind_at = now + if long { BIND_SELDOM } else { BIND_AGAIN };
            // Where it answered last; should it be silent there, wherever it said that it is.
            let known = end.relay.map(|(relay, _)| relay).filter(|_| now.since(asked_at) < BIND_AGAIN);
            let all = known.map_or_else(|| end.offer.addresses.clone(), |one| vec![one]);
            for address in all {
                end.number += 1;
                let bind = Packet { kind: Kind::Bind, tag: end.offer.id, number: end.number, seen: None };
                self.outputs.push_back(SpliceOutput::Send(address, bind.seal(&end.key)));
            }
        }
    }
}

impl Lender {
    fn put_off(&mut self, now: Moment) {
        self.not_before = now + (PAUSE * 2u32.saturating_pow(self.failures.min(5))).min(MAX_PAUSE);
        self.failures = self.failures.saturating_add(1);
    }
}

/// What is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wants {
    Nothing,
    /// A relay that carries nothing of this call yet.
    Another,
    /// A splice of our own, if need be of a relay that lent one to the peer.
    Any,
}

#[cfg(test)]
#[path = "splices_tests.rs"]
mod tests;
