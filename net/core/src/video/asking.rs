//! What a receiver asks for, and when: missing pieces while they can still be in time, then to go on from a kept frame,
//! then a key frame.

use std::collections::BTreeMap;
use std::time::Duration;

use ahoy_base::{Moment, VideoTrack};

use super::order::Order;
use super::pieces::Pieces;
use crate::wire::picture::{Ask, MAX_ASKED, Missing};

/// A hole counts as loss after this: long enough for two datagrams that only changed places, and for parity.
const HOLE: Duration = Duration::from_millis(6);
/// The end of a frame counts as lost after this much silence.
const SILENCE: Duration = Duration::from_millis(14);
/// What each datagram that came twice adds to both, because it was only late; and the most.
const LATE_STEP: Duration = Duration::from_millis(2);
const LATE_MOST: Duration = Duration::from_millis(30);
/// Added to the round trip before the same is asked again.
const ANSWER: Duration = Duration::from_millis(10);
/// How often the same is asked.
const TRIES: u8 = 5;
/// What is older is not asked for any more.
const TOO_OLD: Duration = Duration::from_millis(700);
/// Nothing could be decoded for this long (and round trips): go on from a kept frame.
const GO_ON_AFTER: Duration = Duration::from_millis(45);
const GO_ON_ROUNDS: f64 = 1.6;
/// The same for a key frame.
const KEY_AFTER: Duration = Duration::from_millis(300);
const KEY_ROUNDS: u32 = 4;
/// While pieces of a key frame come, another one would only be in their way.
const KEY_COMES: Duration = Duration::from_millis(120);
/// A kept frame is told of so often: the word may be lost.
const TELL_KEPT: u8 = 2;
/// And so long after the first time.
const TELL_AGAIN: Duration = Duration::from_millis(80);
/// Numbers that one datagram may jump ahead by, beyond which nothing between is asked for.
const JUMP: u64 = 48;

#[derive(Clone, Copy, Debug)]
struct Gap {
    /// Since when it is known that something is missing.
    since: Moment,
    asked: Option<Moment>,
    tries: u8,
}

/// See the module's first line.
#[derive(Debug)]
pub struct Asking {
    track: VideoTrack,
    newest: Option<u64>,
    gaps: BTreeMap<u64, Gap>,
    /// Since when nothing can be decoded though something came.
    stuck: Option<Moment>,
    went_on: Option<Moment>,
    key: Option<Moment>,
    key_wanted: bool,
    told: Option<(u64, Moment, u8)>,
    late: Duration,
    wake: Option<Moment>,
}

impl Asking {
    /// Nothing is missing.
    pub fn new(track: VideoTrack) -> Asking {
        Asking {
            track,
            newest: None,
            gaps: BTreeMap::new(),
            stuck: None,
            went_on: None,
            key: None,
            key_wanted: false,
            told: None,
            late: Duration::ZERO,
            wake: None,
        }
    }

    /// Something of frame `number` came.
    pub fn came(&mut self, now: Moment, number: u64, released: Option<u64>) {
        let newest = self.newest.unwrap_or(number);
        if number > newest {
            let from = newest.max(released.unwrap_or(0)) + 1;
            for missing in from.max(number.saturating_sub(JUMP))..number {
                self.gaps.insert(missing, Gap { since: now, asked: None, tries: 0 });
            }
        }
        self.newest = Some(newest.max(number));
    }

    /// A datagram came that was here already: it was late, not lost.
    pub fn double(&mut self) {
        self.late = (self.late + LATE_STEP).min(LATE_MOST);
    }

    /// The decoder lost its state.
    pub fn want_key(&mut self) {
        self.key_wanted = true;
    }

    /// When to look again.
    pub fn due(&self) -> Option<Moment> {
        self.wake
    }

    /// What is to be asked for at `now`. `shown`: when the next frame that can be decoded will be shown.
    pub fn look(
        &mut self,
        now: Moment,
        rtt: Duration,
        pieces: &Pieces,
        order: &Order,
        shown: Option<(u64, Moment)>,
    ) -> Option<Ask> {
        self.wake = None;
        let released = order.released();
        self.gaps.retain(|n, _| released.is_none_or(|last| *n > last) && !order.holds(*n));
        let mut ask = Ask::of(self.track);
        self.look_for_missing(now, rtt, pieces, order, shown, &mut ask);
        self.look_at_kept(now, order, &mut ask);
        self.look_whether_stuck(now, rtt, pieces, order, shown, &mut ask);
        let something = ask.key || ask.go_on || ask.kept.is_some() || !ask.missing.is_empty();
        something.then_some(ask)
    }

    fn look_for_missing(
        &mut self,
        now: Moment,
        rtt: Duration,
        pieces: &Pieces,
        order: &Order,
        shown: Option<(u64, Moment)>,
        ask: &mut Ask,
    ) {
        let Some(newest) = self.newest else { return };
        let first = order.released().map_or_else(|| pieces.first().unwrap_or(newest), |last| last + 1);
        let mut wake: Option<Moment> = None;
        for number in first.max(newest.saturating_sub(JUMP))..=newest {
            if order.holds(number) || ask.missing.len() >= MAX_ASKED {
                continue;
            }
            let partial = pieces.get(number);
            let (since, wait) = match partial {
                Some(partial) if partial.has_hole() || number < newest => (partial.last, HOLE + self.late),
                Some(partial) => (partial.last, SILENCE + self.late),
                // Nothing of it came, or it was given up.
                None => match self.gaps.get(&number) {
                    Some(gap) => (gap.since, HOLE + self.late),
                    None => continue,
                },
            };
            let gap = self.gaps.entry(number).or_insert(Gap { since, asked: None, tries: 0 });
            let at = gap.asked.map_or(since + wait, |asked| asked + rtt.mul_f64(1.1) + ANSWER);
            // In time: before a later frame that needs nothing of this one is shown.
            let too_late = shown.is_some_and(|(n, at)| n > number && now + rtt > at)
                || now.since(gap.since) > TOO_OLD
                || partial.is_some_and(|p| p.is_discardable() && gap.tries > 0);
            if gap.tries >= TRIES || too_late {
                continue;
            }
            if now < at {
                wake = wake.into_iter().chain([at]).min();
                continue;
            }
            let more = usize::from(gap.tries.min(1));
            gap.asked = Some(now);
            gap.tries += 1;
            wake = wake.into_iter().chain([now + rtt.mul_f64(1.1) + ANSWER]).min();
            let missing = partial.map_or_else(Vec::new, |p| p.missing(p.lacks() + more));
            ask.missing.push(Missing { frame: number as u16, pieces: missing });
        }
        self.wake_at(wake);
    }

    fn look_at_kept(&mut self, now: Moment, order: &Order, ask: &mut Ask) {
        let Some(kept) = order.kept() else { return };
        let (told, at, times) = self.told.filter(|(n, ..)| *n == kept).unwrap_or((kept, now, 0));
        if times < TELL_KEPT && now >= at {
            ask.kept = Some(kept as u16);
            self.told = Some((told, now + TELL_AGAIN, times + 1));
            self.wake_at((times + 1 < TELL_KEPT).then_some(now + TELL_AGAIN));
        } else if times < TELL_KEPT {
            self.wake_at(Some(at));
        }
    }

    fn look_whether_stuck(
        &mut self,
        now: Moment,
        rtt: Duration,
        pieces: &Pieces,
        order: &Order,
        shown: Option<(u64, Moment)>,
        ask: &mut Ask,
    ) {
        let behind = self.newest.is_some_and(|newest| order.released().is_none_or(|last| newest > last));
        if shown.is_some() || !behind {
            self.stuck = None;
            if shown.is_some() {
                self.key_wanted = false;
            }
            if !self.key_wanted {
                return;
            }
        }
        let stuck = *self.stuck.get_or_insert(now);
        let go_on_at = stuck + GO_ON_AFTER + rtt.mul_f64(GO_ON_ROUNDS);
        let again =
            |last: Option<Moment>, at: Moment, pause: Duration| last.map_or(at, |l| at.max(l + pause));
        let go_on_at = again(self.went_on, go_on_at, GO_ON_AFTER + rtt.mul_f64(GO_ON_ROUNDS));
        let key_at = if self.key_wanted { now } else { stuck + KEY_AFTER + rtt * KEY_ROUNDS };
        let key_at = again(self.key, key_at, KEY_AFTER + rtt * 2);
        // The key frame that comes, if it does.
        let comes = self.newest.and_then(|newest| {
            let first = order.released().map_or(0, |last| last + 1).max(newest.saturating_sub(JUMP));
            (first..=newest).filter_map(|n| pieces.get(n)).filter(|p| p.is_key()).map(|p| p.last).max()
        });
        let key_at = comes.map_or(key_at, |last| key_at.max(last + KEY_COMES));
        if now >= key_at {
            self.key = Some(now);
            ask.key = true;
        } else if let Some(kept) = order.kept().filter(|_| !self.key_wanted && comes.is_none()) {
            if now >= go_on_at {
                self.went_on = Some(now);
                ask.go_on = true;
                ask.kept = Some(kept as u16);
            } else {
                self.wake_at(Some(go_on_at));
            }
        }
        self.wake_at(Some(if ask.key { now + KEY_AFTER + rtt * 2 } else { key_at }));
        if ask.go_on {
            self.wake_at(Some(now + GO_ON_AFTER + rtt.mul_f64(GO_ON_ROUNDS)));
        }
    }

    fn wake_at(&mut self, at: Option<Moment>) {
        self.wake = self.wake.into_iter().chain(at).min();
    }
}
