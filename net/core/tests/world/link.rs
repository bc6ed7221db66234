//! One direction of a path: a queue before a narrow place, then delay, jitter and loss.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use ahoy_base::Moment;

use super::{Dice, Packet};

/// How a path is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Path {
    /// Bits a second through the narrow place.
    pub(crate) rate: f64,
    /// What its queue holds before it drops.
    pub(crate) queue: Duration,
    /// One way.
    pub(crate) delay: Duration,
    /// Added to the delay, evenly between 0 and this.
    pub(crate) jitter: Duration,
    /// Share lost by chance.
    pub(crate) loss: f64,
    /// Mean row of losses; 1 is by chance alone (Gilbert-Elliott).
    pub(crate) burst: f64,
    /// Share that arrives twice.
    pub(crate) twice: f64,
    /// Whether jitter may change the order.
    pub(crate) reorder: bool,
}

impl Path {
    /// A good path: `kbps`, `delay_ms` one way, 300 ms of queue.
    pub(crate) fn good(kbps: f64, delay_ms: u64) -> Path {
        Path {
            rate: kbps * 1_000.0,
            queue: Duration::from_millis(300),
            delay: Duration::from_millis(delay_ms),
            jitter: Duration::ZERO,
            loss: 0.0,
            burst: 1.0,
            twice: 0.0,
            reorder: false,
        }
    }
}

/// See the module's first line.
pub(crate) struct Link {
    pub(crate) path: Path,
    dice: Dice,
    bad: bool,
    waiting: VecDeque<Packet>,
    waiting_bytes: usize,
    /// Bytes that the narrow place may let through by now.
    credit: f64,
    served: Option<Moment>,
    flying: BTreeSet<(Moment, u64, Packet)>,
    order: u64,
    last_arrival: Moment,
    pub(crate) dropped: u64,
}

impl Link {
    pub(crate) fn new(seed: u64, path: Path) -> Link {
        Link {
            path,
            dice: Dice::new(seed),
            bad: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            credit: 0.0,
            served: None,
            flying: BTreeSet::new(),
            order: 0,
            last_arrival: Moment::ZERO,
            dropped: 0,
        }
    }

    /// How long the last byte in the queue will wait.
    pub(crate) fn queue_delay(&self) -> Duration {
        Duration::from_secs_f64(self.waiting_bytes as f64 * 8.0 / self.path.rate)
    }

    pub(crate) fn send(&mut self, packet: Packet) {
        let room = self.path.rate / 8.0 * self.path.queue.as_secs_f64();
        if self.waiting_bytes > 0 && (self.waiting_bytes + packet.bytes) as f64 > room {
            self.dropped += 1;
            return;
        }
        self.waiting_bytes += packet.bytes;
        self.waiting.push_back(packet);
    }

    /// Lets time pass to `now`; what arrives, and when.
    pub(crate) fn deliver(&mut self, now: Moment) -> Vec<(Moment, Packet)> {
        let since = self.served.unwrap_or(now);
        self.served = Some(now);
        let gained = self.path.rate / 8.0 * now.since(since).as_secs_f64();
        self.credit = if self.waiting.is_empty() { 0.0 } else { self.credit + gained };
        let mut used = 0.0;
        while let Some(packet) = self.waiting.front().copied() {
            if self.credit < packet.bytes as f64 {
                break;
            }
            self.credit -= packet.bytes as f64;
            used += packet.bytes as f64;
            self.waiting.pop_front();
            self.waiting_bytes -= packet.bytes;
            // When within this step it left: the narrow place works evenly.
            let left = since + Duration::from_secs_f64((used * 8.0 / self.path.rate).min(0.001));
            self.fly(left, packet);
        }
        let mut arrived = Vec::new();
        while let Some(first) = self.flying.first().copied().filter(|(at, ..)| *at <= now) {
            self.flying.remove(&first);
            arrived.push((first.0, first.2));
        }
        arrived
    }

    fn fly(&mut self, left: Moment, packet: Packet) {
        let lost = if self.path.burst > 1.0 {
            let leave = 1.0 / self.path.burst;
            let enter = self.path.loss * leave / (1.0 - self.path.loss);
            let chance = self.dice.roll();
            self.bad = if self.bad { chance >= leave } else { chance < enter };
            self.bad
        } else {
            self.dice.roll() < self.path.loss
        };
        if lost {
            return;
        }
        let times = if self.dice.roll() < self.path.twice { 2 } else { 1 };
        for _ in 0..times {
            let mut at = left + self.path.delay + self.path.jitter.mul_f64(self.dice.roll());
            if !self.path.reorder {
                at = at.max(self.last_arrival);
            }
            self.last_arrival = at;
            self.order += 1;
            self.flying.insert((at, self.order, packet));
        }
    }
}
