//! The relay: joins two addresses whose holders both proved a key, and passes packets that it can't read between them.
//!
//! It answers nothing that carries no MAC of a splice it lent, never with more than it got, and forwards to no address
//! that has not proved itself. Pure: the shell owns the socket.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ahoy_base::{Bitrate, Moment, PeerId};

use super::packet::{self, Kind, PACKET, Packet, PacketKey, SPLICED, TAG};

/// What a relay lends one splice. Told to whoever asks for one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Both directions together.
    pub rate: Bitrate,
    /// From the first moment to the last.
    pub life: Duration,
}

impl Limits {
    /// A call with pictures, for an afternoon.
    pub const STANDARD: Limits = Limits { rate: Bitrate::kbps(8_000), life: Duration::from_secs(4 * 3_600) };
}

/// Splices at once: half a hundred calls are more than a home's uplink carries.
const MAX_SPLICES: usize = 64;
/// Splices that one device may have asked for: a few calls, with what is left of the last ones.
const MAX_PER_PEER: usize = 4;
/// A splice that nobody used or bound for so long is forgotten; binds come every 10 s.
const IDLE: Duration = Duration::from_secs(30);
/// What a splice may send at once on top of its rate: a key frame.
const BURST: u64 = 128 * 1_024;
/// All splices together, in any 30 days: 20 GiB, what a cheap line has to spare.
const MONTH_BYTES: u64 = 20 << 30;
/// How long that is.
const MONTH: Duration = Duration::from_secs(30 * 24 * 3_600);

/// A splice as its two users need it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lent {
    /// Its id; the first byte is [`SPLICED`].
    pub id: [u8; TAG],
    /// The key of whoever asked.
    pub near: [u8; 32],
    /// The key of the other end.
    pub far: [u8; 32],
    /// What it may carry.
    pub limits: Limits,
}

/// Why no splice is lent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Refusal {
    /// This relay does not serve whoever asked.
    NotForYou,
    /// The asker has too many.
    TooMany,
    /// All are lent.
    Full,
    /// What may be sent in a month is sent.
    UsedUp,
}

/// What to do with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing.
    Drop,
    /// Send this back to where the packet came from.
    Reply([u8; PACKET]),
    /// Send the same bytes there.
    Forward(SocketAddr),
}

#[derive(Debug)]
struct End {
    key: PacketKey,
    newest: u64,
    address: Option<SocketAddr>,
}

#[derive(Debug)]
struct Splice {
    owner: PeerId,
    ends: [End; 2],
    until: Moment,
    used_at: Moment,
    /// Bytes that may go now.
    credit: u64,
    credit_at: Moment,
    limits: Limits,
}

/// See the module's first lines.
#[derive(Debug)]
pub struct Relay {
    splices: BTreeMap<[u8; TAG], Splice>,
    month_bytes: u64,
    month_from: Moment,
}

impl Relay {
    /// A relay that has lent nothing.
    pub fn new(now: Moment) -> Relay {
        Relay { splices: BTreeMap::new(), month_bytes: 0, month_from: now }
    }

    /// Lends `owner` a splice. `seed`: 72 random bytes.
    ///
    /// # Errors
    /// When a limit is reached.
    pub fn lend(&mut self, now: Moment, owner: PeerId, seed: &[u8; 72]) -> Result<Lent, Refusal> {
        self.splices.retain(|_, s| now < s.until && now.since(s.used_at) < IDLE);
        if now.since(self.month_from) > MONTH {
            (self.month_from, self.month_bytes) = (now, 0);
        }
        if self.month_bytes > MONTH_BYTES {
            return Err(Refusal::UsedUp);
        }
        if self.splices.values().filter(|s| s.owner == owner).count() >= MAX_PER_PEER {
            return Err(Refusal::TooMany);
        }
        if self.splices.len() >= MAX_SPLICES {
            return Err(Refusal::Full);
        }
        let mut id = [0; TAG];
        let (mut near, mut far) = ([0; 32], [0; 32]);
        let places = id.iter_mut().chain(&mut near).chain(&mut far);
        places.zip(seed).for_each(|(place, byte)| *place = *byte);
        id[0] = SPLICED;
        let limits = Limits::STANDARD;
        let end = |key| End { key: PacketKey::new(key), newest: 0, address: None };
        let splice = Splice {
            owner,
            ends: [end(near), end(far)],
            until: now + limits.life,
            used_at: now,
            credit: BURST,
            credit_at: now,
            limits,
        };
        self.splices.insert(id, splice);
        Ok(Lent { id, near, far, limits })
    }

    /// Takes a packet that starts with [`packet::FIRST`] or [`SPLICED`].
    pub fn on_packet(&mut self, now: Moment, from: SocketAddr, bytes: &[u8]) -> Verdict {
        match bytes.first() {
            Some(&packet::FIRST) => self.on_bind(now, from, bytes),
            Some(&SPLICED) => self.on_spliced(now, from, bytes),
            _ => Verdict::Drop,
        }
    }

    /// How many splices both ends use.
    pub fn running(&self) -> usize {
        self.splices.values().filter(|s| s.ends.iter().all(|e| e.address.is_some())).count()
    }

    fn on_bind(&mut self, now: Moment, from: SocketAddr, bytes: &[u8]) -> Verdict {
        let Some(packet) = Packet::parse(bytes).filter(|p| p.kind == Kind::Bind) else {
            return Verdict::Drop;
        };
        let Some(splice) = self.splices.get_mut(&packet.tag).filter(|s| now < s.until) else {
            return Verdict::Drop;
        };
        let Some(end) = splice.ends.iter_mut().find(|e| packet::is_genuine(bytes, &e.key)) else {
            return Verdict::Drop;
        };
        if packet.number <= end.newest {
            // Somebody says again what the end said; the end itself only counts up.
            return Verdict::Drop;
        }
        end.newest = packet.number;
        end.address = Some(from);
        splice.used_at = now;
        let answer = Packet { kind: Kind::Bound, seen: Some(from), ..packet };
        Verdict::Reply(answer.seal(&end.key))
    }

    fn on_spliced(&mut self, now: Moment, from: SocketAddr, bytes: &[u8]) -> Verdict {
        let id = bytes.first_chunk::<TAG>();
        let Some(splice) = id.and_then(|id| self.splices.get_mut(id)).filter(|s| now < s.until) else {
            return Verdict::Drop;
        };
        let [one, other] = &splice.ends;
        let to = match (one.address, other.address) {
            (Some(near), far) if near == from => far,
            (near, Some(far)) if far == from => near,
            _ => None,
        };
        let Some(to) = to else { return Verdict::Drop };
        let gained = splice.limits.rate.as_bps()
            * now.since(splice.credit_at).as_micros().min(10_000_000) as u64
            / 8_000_000;
        splice.credit_at = now;
        splice.credit = splice.credit.saturating_add(gained).min(BURST);
        let size = bytes.len() as u64;
        if splice.credit < size || self.month_bytes > MONTH_BYTES {
            return Verdict::Drop;
        }
        splice.credit -= size;
        splice.used_at = now;
        self.month_bytes += size;
        Verdict::Forward(to)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const OWNER: PeerId = PeerId::from_public_key([1; 32]);

    fn bind(lent: &Lent, key: &[u8; 32], number: u64) -> [u8; PACKET] {
        Packet { kind: Kind::Bind, tag: lent.id, number, seen: None }.seal(&PacketKey::new(*key))
    }

    fn seed(n: u8) -> [u8; 72] {
        std::array::from_fn(|i| n.wrapping_mul(73) ^ i as u8)
    }

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    #[test]
    fn only_two_ends_that_proved_their_keys_are_joined() {
        let mut relay = Relay::new(at(0));
        let lent = relay.lend(at(0), OWNER, &seed(9)).unwrap();
        let (a, b): (SocketAddr, SocketAddr) = ("9.0.0.1:1".parse().unwrap(), "9.0.0.2:2".parse().unwrap());
        let packet = [&lent.id[..], b"QUIC"].concat();
        assert_eq!(relay.on_packet(at(1), a, &packet), Verdict::Drop, "nobody is bound");
        let forged = bind(&lent, &[0; 32], 1);
        assert_eq!(relay.on_packet(at(1), a, &forged), Verdict::Drop);
        let first = bind(&lent, &lent.near, 1);
        let Verdict::Reply(reply) = relay.on_packet(at(1), a, &first) else { unreachable!("no answer") };
        assert_eq!(Packet::parse(&reply).unwrap().seen, Some(a));
        assert_eq!(relay.on_packet(at(1), b, &first), Verdict::Drop, "said again by another");
        assert_eq!(relay.on_packet(at(1), a, &packet), Verdict::Drop, "the other end is not bound");
        assert_eq!(relay.running(), 0);
        assert!(matches!(relay.on_packet(at(1), b, &bind(&lent, &lent.far, 1)), Verdict::Reply(_)));
        assert_eq!(relay.on_packet(at(2), a, &packet), Verdict::Forward(b));
        assert_eq!(relay.on_packet(at(2), b, &packet), Verdict::Forward(a));
        assert_eq!(relay.on_packet(at(2), "9.0.0.3:3".parse().unwrap(), &packet), Verdict::Drop);
        // An end may move.
        let moved = "9.0.0.1:77".parse().unwrap();
        assert!(matches!(relay.on_packet(at(3), moved, &bind(&lent, &lent.near, 2)), Verdict::Reply(_)));
        assert_eq!(relay.on_packet(at(3), b, &packet), Verdict::Forward(moved));
        assert_eq!(relay.on_packet(at(3), a, &packet), Verdict::Drop);
        assert_eq!(relay.running(), 1);
    }

    #[test]
    fn limits_hold() {
        let mut relay = Relay::new(at(0));
        for n in 0..MAX_PER_PEER {
            assert!(relay.lend(at(0), OWNER, &seed(n as u8)).is_ok());
        }
        assert_eq!(relay.lend(at(0), OWNER, &seed(99)), Err(Refusal::TooMany));
        for n in MAX_PER_PEER..MAX_SPLICES {
            let other = PeerId::from_public_key([n as u8; 32]);
            assert!(relay.lend(at(0), other, &seed(n as u8)).is_ok());
        }
        assert_eq!(relay.lend(at(0), PeerId::from_public_key([200; 32]), &seed(99)), Err(Refusal::Full));
        // What nobody uses is lent again.
        assert!(relay.lend(at(40_000), OWNER, &seed(99)).is_ok());

        let lent = relay.lend(at(40_000), OWNER, &seed(100)).unwrap();
        let (a, b): (SocketAddr, SocketAddr) = ("9.0.0.1:1".parse().unwrap(), "9.0.0.2:2".parse().unwrap());
        relay.on_packet(at(40_000), a, &bind(&lent, &lent.near, 1));
        relay.on_packet(at(40_000), b, &bind(&lent, &lent.far, 1));
        let packet = [&lent.id[..], &[0; 992]].concat();
        let passed = (0..20_000u64)
            .filter(|n| {
                let at = at(40_000) + Duration::from_micros(500) * u32::try_from(*n).unwrap();
                relay.on_packet(at, a, &packet) == Verdict::Forward(b)
            })
            .count();
        // 16 Mbit/s are offered for 10 s: 8 pass, and the burst.
        assert!((10_000..10_200).contains(&passed), "{passed}");
        assert_eq!(relay.on_packet(at(40_000) + Limits::STANDARD.life, a, &packet), Verdict::Drop);
    }
}
