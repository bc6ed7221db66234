//! A network in made-up time: a narrow link with a queue, delay, jitter, loss and changes; calls and TCP flows that share
//! it. One step is a millisecond; the same seed gives the same world.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]
#![allow(dead_code, unused_imports, reason = "each test file uses its part of the world")]

pub(crate) mod call;
pub(crate) mod link;
pub(crate) mod pictures;
pub(crate) mod plan;
pub(crate) mod tcp;
pub(crate) mod voice;

use std::time::Duration;

use ahoy_base::Moment;

pub(crate) use call::{Call, Source};
pub(crate) use link::{Link, Path};
pub(crate) use plan::Plan;
pub(crate) use tcp::Tcp;
pub(crate) use voice::VoiceCall;

/// Where simulated time begins.
const BEGIN_MS: u64 = 1_000;

/// Repeatable chance (xorshift).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// 0 to 1.
    pub(crate) fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What is on the link: who sent it, its number there, its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Packet {
    pub(crate) flow: usize,
    pub(crate) number: u64,
    pub(crate) bytes: usize,
}

/// Calls and TCP flows over one link.
pub(crate) struct World {
    pub(crate) link: Link,
    pub(crate) calls: Vec<Call>,
    pub(crate) tcps: Vec<Tcp>,
    ms: u64,
}

impl World {
    pub(crate) fn new(seed: u64, path: Path) -> World {
        World { link: Link::new(seed, path), calls: Vec::new(), tcps: Vec::new(), ms: BEGIN_MS }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment::from_millis(self.ms)
    }

    pub(crate) fn with_call(mut self, source: Source) -> World {
        let flow = self.calls.len() + self.tcps.len();
        self.calls.push(Call::new(self.now(), flow, source));
        self
    }

    pub(crate) fn with_tcp(mut self) -> World {
        let flow = self.calls.len() + self.tcps.len();
        self.tcps.push(Tcp::new(flow));
        self
    }

    /// Runs for `time`; `look` is called each 100 ms.
    pub(crate) fn run(&mut self, time: Duration, mut look: impl FnMut(&World)) {
        let end = self.ms + time.as_millis() as u64;
        while self.ms < end {
            let now = self.now();
            for call in &mut self.calls {
                call.send(now, &mut self.link);
            }
            for tcp in &mut self.tcps {
                tcp.send(now, &mut self.link);
            }
            for (at, packet) in self.link.deliver(now) {
                let back = self.link.path.delay;
                if let Some(call) = self.calls.iter_mut().find(|call| call.flow == packet.flow) {
                    call.arrive(at, packet);
                } else if let Some(tcp) = self.tcps.iter_mut().find(|tcp| tcp.flow == packet.flow) {
                    tcp.arrive(now + back, packet);
                }
            }
            for call in &mut self.calls {
                call.report(now, self.link.path.delay);
            }
            self.ms += 1;
            if self.ms.is_multiple_of(100) {
                look(self);
            }
        }
    }
}
