//! Two sides of a session and three relays in made-up time: packets get lost, relays die.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "tests")]

use std::collections::BTreeSet;

use super::*;
use crate::path::relay::{Relay, Verdict};

const ONE_WAY: Duration = Duration::from_millis(40);
/// How long a relay that is gone may be asked in vain.
const IN_VAIN: Duration = Duration::from_secs(5);
/// After this a session binds its ends again because a link of theirs fell silent: the slowest of its reasons to.
const NOTICED: Duration = Duration::from_secs(2);

enum Air {
    ToRelay(usize, usize, [u8; PACKET]),
    ToSide(usize, usize, [u8; PACKET]),
    Answer(usize, usize, Option<Lent>),
    Offer(usize, RelayOffer),
    Noticed,
}

struct World {
    now: Moment,
    random: u64,
    loss: u64,
    sides: [Splices; 2],
    relays: [Option<Relay>; 3],
    air: BTreeMap<(Moment, u64), Air>,
    sent: u64,
    /// Whether signalling still carries what the sides tell each other; else only what works of the splices does.
    signalling: bool,
}

fn relay(n: usize) -> PeerId {
    PeerId::from_public_key([100 + n as u8; 32])
}

fn relay_at(n: usize) -> SocketAddr {
    SocketAddr::from(([9, 0, 0, n as u8 + 1], 9))
}

impl World {
    fn new(seed: u64, loss: u64) -> World {
        let peers = [1, 2].map(|n| PeerId::from_public_key([n; 32]));
        let mut sides = [Splices::new(Role::Initiator, peers[1]), Splices::new(Role::Responder, peers[0])];
        sides.iter_mut().for_each(|side| side.know((0..3).map(relay)));
        let relays = std::array::from_fn(|_| Some(Relay::new(Moment::ZERO)));
        let random = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (now, air) = (Moment::from_millis(1_000), BTreeMap::new());
        World { now, random, loss, sides, relays, air, sent: 0, signalling: true }
    }

    fn chance(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 100
    }

    fn send(&mut self, after: Duration, what: Air) {
        self.sent += 1;
        self.air.insert((self.now + after, self.sent), what);
    }

    /// Splices whose ends are both bound at a relay that lives, and what stands for them on each side.
    fn working(&self) -> Vec<(usize, SocketAddr)> {
        let theirs: Vec<_> = self.sides[1].ends.iter().filter(|e| e.live).map(|e| e.offer.id).collect();
        let both = self.sides[0].ends.iter().filter(|e| e.live && theirs.contains(&e.offer.id));
        let at =
            both.filter_map(|e| Some(((0..3).find(|n| relay_at(*n) == e.offer.addresses[0])?, e.stands())));
        at.filter(|(n, _)| self.relays[*n].is_some()).collect()
    }

    fn take(&mut self, what: Air) {
        let now = self.now;
        match what {
            Air::ToRelay(n, who, bytes) => {
                let from = SocketAddr::from(([1, 0, 0, who as u8 + 1], 1));
                let verdict = self.relays[n].as_mut().map(|relay| relay.on_packet(now, from, &bytes));
                if let Some(Verdict::Reply(bytes)) = verdict
                    && self.chance() >= self.loss
                {
                    self.send(ONE_WAY, Air::ToSide(who, n, bytes));
                }
            }
            Air::ToSide(who, n, bytes) => assert!(self.sides[who].on_packet(now, relay_at(n), &bytes)),
            Air::Answer(who, n, lent) => {
                self.sides[who].on_answer(now, relay(n), lent.map(|lent| (lent, vec![relay_at(n)])));
            }
            Air::Offer(who, offer) => self.sides[who].on_offer(now, offer),
            Air::Noticed => self.sides.iter_mut().for_each(|side| side.bind_again(now)),
        }
    }

    fn ask(&mut self, who: usize, asked: PeerId) {
        let n = (0..3).find(|n| relay(*n) == asked).unwrap();
        let seed = std::array::from_fn(|_| self.chance() as u8);
        let owner = PeerId::from_public_key([who as u8 + 1; 32]);
        let now = self.now;
        let lent = self.relays[n].as_mut().and_then(|relay| relay.lend(now, owner, &seed).ok());
        self.send(if lent.is_some() { ONE_WAY * 4 } else { IN_VAIN }, Air::Answer(who, n, lent));
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some(entry) = self.air.first_entry().filter(|entry| entry.key().0 <= now) {
            let what = entry.remove();
            self.take(what);
        }
        let working = self.working();
        for who in [0, 1] {
            // A link over it brings something all the time.
            working.iter().for_each(|(_, stands)| self.sides[who].heard(*stands));
            self.sides[who].on_time(now);
            for offer in self.sides[who].offers_due(now) {
                if self.signalling || !working.is_empty() && self.chance() >= self.loss {
                    self.send(ONE_WAY * 2, Air::Offer(1 - who, offer));
                }
            }
            while let Some(output) = self.sides[who].poll() {
                match output {
                    SpliceOutput::Ask(asked) => self.ask(who, asked),
                    SpliceOutput::Send(to, bytes) if self.chance() >= self.loss => {
                        let n = (0..3).find(|n| relay_at(*n) == to).unwrap();
                        self.send(ONE_WAY, Air::ToRelay(n, who, bytes));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Lets time pass; how long no splice worked.
    fn run(&mut self, time: Duration) -> Duration {
        let (tick, until, mut without) = (Duration::from_millis(10), self.now + time, Duration::ZERO);
        while self.now < until {
            self.step();
            if self.working().is_empty() {
                without += tick;
            }
            self.now = self.now + tick;
        }
        without
    }

    /// A relay of a splice that works dies, and signalling with it.
    fn kill(&mut self) {
        let (n, _) = self.working()[0];
        self.relays[n] = None;
        self.signalling = false;
        self.send(NOTICED, Air::Noticed);
    }
}

#[test]
fn two_relays_that_die_one_after_the_other_leave_a_way_through_the_third() {
    for loss in [0, 5, 20] {
        let mut worst = Duration::ZERO;
        for seed in 0..300 {
            let mut world = World::new(seed, loss);
            world.run(Duration::from_secs(5));
            let at: BTreeSet<usize> = world.working().into_iter().map(|(n, _)| n).collect();
            assert!(at.len() >= 2, "seed {seed}, {loss} % lost: one relay alone carries it");
            world.kill();
            let mut without = world.run(Duration::from_secs(5));
            assert!(!world.working().is_empty(), "seed {seed}, {loss} % lost: nothing is left to kill");
            world.kill();
            without += world.run(Duration::from_secs(10));
            worst = worst.max(without);
        }
        println!("{loss} % lost: at most {worst:?} without a way");
        assert!(worst <= Duration::from_secs(2), "{loss} % lost: {worst:?}");
    }
}
