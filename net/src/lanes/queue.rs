//! What waits for one lane: bounded, each datagram with a moment after which it is not worth sending.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Datagrams that may wait: 250 ms of 4 Mbit/s. More would be late.
const MAX_WAITING: usize = 128;

/// What a datagram is, as far as lanes are concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    /// Reports, keys, signs of life.
    Control,
    /// Sound.
    Sound,
    /// Pictures.
    Pictures,
    /// Padding of probes.
    Rest,
}

impl Class {
    /// Of a datagram, by its first bytes (docs/PROTOCOL.md, "Datagrams").
    pub(super) fn of(bytes: &[u8]) -> Class {
        match bytes.first().map(|first| first >> 4) {
            // The track of voice is 0.
            Some(0) if bytes.get(4).is_some_and(|track| track >> 4 == 0) => Class::Sound,
            Some(2 | 4) => Class::Control,
            Some(3) | None => Class::Rest,
            // Pictures, and repair of them.
            Some(_) => Class::Pictures,
        }
    }

    pub(super) const fn lane(self) -> usize {
        match self {
            Class::Control => 0,
            Class::Sound => 1,
            Class::Pictures => 2,
            Class::Rest => 3,
        }
    }

    /// How long it may wait: sound until the playout has given it up, pictures twice that.
    pub(super) const fn worth(self) -> Duration {
        match self {
            Class::Control => Duration::from_secs(1),
            Class::Sound => Duration::from_millis(120),
            Class::Pictures => Duration::from_millis(250),
            Class::Rest => Duration::from_millis(50),
        }
    }
}

/// See the module's first line.
#[derive(Debug, Default)]
pub(super) struct Queue {
    inside: Mutex<Inside>,
    late: AtomicU64,
    filled: Notify,
    questions: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    waiting: VecDeque<Waiting>,
    /// The newest question of the other side; an older one needs no answer any more.
    asked: Option<u64>,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    until: Instant,
    datagram: Bytes,
}

impl Queue {
    /// Takes a datagram that is worth sending for `worth`; whether there was room.
    pub(super) fn put(&self, datagram: Bytes, worth: Duration) -> bool {
        let now = Instant::now();
        let mut inside = self.inside();
        if inside.waiting.len() >= MAX_WAITING {
            return false;
        }
        inside.waiting.push_back(Waiting { since: now, until: now + worth, datagram });
        drop(inside);
        self.filled.notify_one();
        true
    }

    /// The next datagram that is still worth sending. Cancel safe.
    pub(super) async fn next(&self) -> Bytes {
        loop {
            {
                let mut inside = self.inside();
                let now = Instant::now();
                while let Some(waiting) = inside.waiting.pop_front() {
                    if waiting.until > now {
                        return waiting.datagram;
                    }
                    self.late.fetch_add(1, Ordering::Relaxed);
                }
            }
            self.filled.notified().await;
        }
    }

    /// How many were dropped because they were late.
    pub(super) fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// The other side asks for a sign of life.
    pub(super) fn answer(&self, token: u64) {
        self.inside().asked = Some(token);
        self.questions.notify_one();
    }

    /// What it asked. Cancel safe.
    pub(super) async fn asked(&self) -> u64 {
        loop {
            if let Some(token) = self.inside().asked.take() {
                return token;
            }
            self.questions.notified().await;
        }
    }

    /// Whether the oldest has waited for longer than that.
    pub(super) fn is_stuck(&self, long: Duration) -> bool {
        self.inside().waiting.front().is_some_and(|w| w.since.elapsed() > long)
    }

    fn inside(&self) -> std::sync::MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
