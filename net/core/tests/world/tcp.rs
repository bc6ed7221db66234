//! A greedy TCP with NewReno (RFC 5681, RFC 6582) in its simplest form: it fills the queue, loses, halves.

use std::collections::VecDeque;
use std::time::Duration;

use ahoy_base::Moment;

use super::{Link, Packet};

const SEGMENT: usize = 1_448;

pub(crate) struct Tcp {
    pub(crate) flow: usize,
    window: f64,
    threshold: f64,
    next: u64,
    /// Numbers under way and when they were sent.
    flying: VecDeque<(u64, Moment)>,
    acks: VecDeque<(Moment, u64)>,
    /// One halving a window: nothing below this number halves again.
    recover: u64,
    pub(crate) delivered: u64,
}

impl Tcp {
    pub(crate) fn new(flow: usize) -> Tcp {
        Tcp {
            flow,
            window: 10.0,
            threshold: f64::MAX,
            next: 0,
            flying: VecDeque::new(),
            acks: VecDeque::new(),
            recover: 0,
            delivered: 0,
        }
    }

    pub(crate) fn send(&mut self, now: Moment, link: &mut Link) {
        while let Some((_, number)) = self.acks.pop_front_if(|(at, _)| *at <= now) {
            self.acked(number);
        }
        if self.flying.front().is_some_and(|(_, sent)| now.since(*sent) > Duration::from_secs(2)) {
            self.flying.clear();
            self.threshold = (self.window / 2.0).max(2.0);
            self.window = 2.0;
        }
        while (self.flying.len() as f64) < self.window {
            link.send(Packet { flow: self.flow, number: self.next, bytes: SEGMENT });
            self.flying.push_back((self.next, now));
            self.next += 1;
        }
    }

    pub(crate) fn arrive(&mut self, ack_at: Moment, packet: Packet) {
        self.delivered += packet.bytes as u64;
        self.acks.push_back((ack_at, packet.number));
    }

    fn acked(&mut self, number: u64) {
        // Three later ones came: it is lost.
        let lost = self.flying.front().is_some_and(|(first, _)| number > first + 3);
        if lost {
            self.flying.retain(|(n, _)| *n + 3 >= number);
            if number > self.recover {
                self.threshold = (self.window / 2.0).max(2.0);
                self.window = self.threshold;
                self.recover = self.next;
            }
        }
        self.flying.retain(|(n, _)| *n != number);
        self.window += if self.window < self.threshold { 1.0 } else { 1.0 / self.window };
    }
}
