//! How one device is found: in which order its addresses are tried, and when it is looked for again. Pure.
//!
//! The rule, the whole of it: a live connection is used. Else a **round** begins. Each stage starts a moment after the one
//! before it without ending it, so the first that answers wins and a dead address costs no time:
//!
//! | stage | after | what |
//! |---|---|---|
//! | 1 | 0 | addresses that worked, newest first; those of the local network; those that the device told us itself |
//! | 2 | 0.2 s | addresses of its contact card |
//! | 3 | 0.5 s | through relays |
//! | 4 | 1 s | the record in the distributed table |
//!
//! When all have failed the round has, which is told; the next comes after 1 s, then 2, 4 … 60 s. An address that was not
//! known before, or somebody who wants the device now, begins a round at once.

mod limit;
mod record;

use std::time::Duration;

use ahoy_base::Moment;

pub use limit::{Allowance, Knocks};
pub use record::{DAY_MS, EARLY_MS, Finder, Found, KEY_BYTES, RECORD_BYTES, RecordError, Shared};

/// Addresses kept of one device: it has a handful; the worst fall off.
pub const MAX_ADDRESSES: usize = 16;
/// Pause after the first round that failed; doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause. A new address or a sign of life ends it at once.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// A round that is not over by then is taken to have failed: TCP alone would try for two minutes.
const ROUND_TIME: Duration = Duration::from_secs(12);

/// How long an address is left out at which a connection ended as soon as it stood.
const REFUSED: Duration = Duration::from_secs(60);

/// Where an address was learnt, in the order in which they are trusted to work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    /// A connection stood at it before.
    Worked,
    /// It was seen on the local network.
    Lan,
    /// The device told us.
    Told,
    /// It stands in the contact card.
    Card,
    /// It was in the distributed table.
    Table,
}

/// How an address is reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Way {
    /// Straight.
    Straight,
    /// Through another device.
    Relayed,
}

/// The next thing to do for a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step<A> {
    /// Dial these, best first.
    Dial(Vec<A>),
    /// Ask the distributed table for it.
    LookUp,
    /// Nobody answered. Said once a round.
    Failed(Vec<Tried>),
}

/// What a stage of a failed round had to try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tried {
    /// Which.
    pub stage: Stage,
    /// Addresses it had.
    pub addresses: usize,
}

/// The stages of a round; see the table above.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// Addresses that worked, of the local network, and told by the device.
    Known,
    /// Those of its card.
    Card,
    /// Through relays.
    Relays,
    /// The distributed table.
    Table,
}

const STAGES: [(Stage, Duration); 4] = [
    (Stage::Known, Duration::ZERO),
    (Stage::Card, Duration::from_millis(200)),
    (Stage::Relays, Duration::from_millis(500)),
    (Stage::Table, Duration::from_secs(1)),
];

/// What is known of where a device is, and how far the search for it has come. `A` is an address.
#[derive(Clone, Debug)]
pub struct Finding<A> {
    known: Vec<Known<A>>,
    /// Only [`Way::Relayed`] addresses are dialled: the device shall not see ours.
    relayed_only: bool,
    round: Option<Round>,
    /// When the next round begins, if one is wanted.
    again_at: Option<Moment>,
    pause: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Known<A> {
    address: A,
    source: Source,
    way: Way,
    /// When it was last learnt or worked; the newest of a source come first.
    at: Moment,
    /// It is not dialled before.
    not_before: Moment,
}

#[derive(Clone, Debug)]
struct Round {
    began: Moment,
    /// The next entry of [`STAGES`].
    next: usize,
    /// Dials and look-ups under way.
    open: usize,
    tried: Vec<Tried>,
}

impl<A> Default for Finding<A> {
    fn default() -> Self {
        Finding { known: Vec::new(), relayed_only: false, round: None, again_at: None, pause: None }
    }
}

impl<A: Clone + PartialEq> Finding<A> {
    /// Keeps an address; whether it is new. Known ones move up when they come from a better source or again.
    pub fn learn(&mut self, now: Moment, address: A, source: Source, way: Way) -> bool {
        let old = self.known.iter().position(|k| k.address == address).map(|at| self.known.remove(at));
        let fresh = old.is_none();
        let not_before = old.as_ref().map_or(Moment::ZERO, |old| old.not_before);
        let source = old.map_or(source, |old| old.source.min(source));
        self.known.push(Known { address, source, way, at: now, not_before });
        self.known.sort_by(|a, b| (a.source, b.at).cmp(&(b.source, a.at)));
        self.known.truncate(MAX_ADDRESSES);
        if fresh {
            self.pause = None;
            if let Some(at) = &mut self.again_at {
                *at = now.min(*at);
            }
        }
        fresh
    }

    /// No address of that source is believed any more.
    pub fn unlearn(&mut self, address: &A, source: Source) {
        self.known.retain(|k| k.address != *address || k.source != source);
    }

    /// The device hung up there as soon as it heard who we are: it may want to be reached another way. For a while that address
    /// is left out, so that others have their turn.
    pub fn refused(&mut self, now: Moment, address: &A) {
        if let Some(known) = self.known.iter_mut().find(|k| k.address == *address) {
            known.not_before = now + REFUSED;
        }
    }

    /// All addresses, best first.
    pub fn addresses(&self) -> impl Iterator<Item = &A> {
        self.known.iter().map(|k| &k.address)
    }

    /// Whether the device may be dialled through relays alone.
    pub fn set_relayed_only(&mut self, on: bool) {
        self.relayed_only = on;
    }

    /// Somebody wants it now: a round begins unless one runs.
    pub fn want(&mut self, now: Moment) {
        self.pause = None;
        if self.round.is_none() {
            self.again_at = Some(now);
        }
    }

    /// A connection that stood led nowhere: a round begins after a pause.
    pub fn want_later(&mut self, now: Moment) {
        if self.round.is_none() && self.again_at.is_none() {
            self.again_at = Some(now + self.longer_pause());
        }
    }

    /// Nobody wants it any more.
    pub fn rest(&mut self) {
        self.round = None;
        self.again_at = None;
    }

    /// A connection stands: the search is over.
    pub fn found(&mut self) {
        self.rest();
        self.pause = None;
    }

    /// Whether it is being looked for, now or after a pause.
    pub fn is_wanted(&self) -> bool {
        self.round.is_some() || self.again_at.is_some()
    }

    /// A dial or look-up of this round ended without a connection.
    pub fn came_to_nothing(&mut self) {
        if let Some(round) = &mut self.round {
            round.open = round.open.saturating_sub(1);
        }
    }

    /// A look-up ended; what it found was learnt before this. The new addresses are dialled next.
    pub fn looked_up(&mut self, found: Vec<A>) -> Option<Step<A>> {
        let round = self.round.as_mut()?;
        let found: Vec<A> = if self.relayed_only {
            let relayed = |a: &A| self.known.iter().any(|k| k.address == *a && k.way == Way::Relayed);
            found.into_iter().filter(relayed).collect()
        } else {
            found
        };
        if let Some(tried) = round.tried.iter_mut().find(|t| t.stage == Stage::Table) {
            tried.addresses = found.len();
        }
        if found.is_empty() {
            round.open = round.open.saturating_sub(1);
            return None;
        }
        Some(Step::Dial(found))
    }

    /// The next thing to do now, until `None`.
    pub fn poll(&mut self, now: Moment) -> Option<Step<A>> {
        if self.again_at.is_some_and(|at| at <= now) && self.round.is_none() {
            self.again_at = None;
            self.round = Some(Round { began: now, next: 0, open: 0, tried: Vec::new() });
        }
        loop {
            let round = self.round.as_ref()?;
            let Some((stage, after)) = STAGES.get(round.next).copied() else { break };
            // A stage with nothing before it under way needs not wait.
            if now < round.began + after && round.open > 0 {
                break;
            }
            let addresses = self.of_stage(now, stage);
            let round = self.round.as_mut()?;
            round.next += 1;
            round.tried.push(Tried { stage, addresses: addresses.len() });
            if stage == Stage::Table {
                round.open += 1;
                return Some(Step::LookUp);
            }
            if !addresses.is_empty() {
                round.open += 1;
                return Some(Step::Dial(addresses));
            }
        }
        let round = self.round.as_ref()?;
        let all_failed = round.next == STAGES.len() && round.open == 0;
        if !all_failed && now < round.began + ROUND_TIME {
            return None;
        }
        let tried = self.round.take().map(|r| r.tried).unwrap_or_default();
        self.again_at = Some(now + self.longer_pause());
        Some(Step::Failed(tried))
    }

    fn longer_pause(&mut self) -> Duration {
        let pause = self.pause.map_or(FIRST_PAUSE, |p| (p * 2).min(MAX_PAUSE));
        self.pause = Some(pause);
        pause
    }

    fn of_stage(&self, now: Moment, stage: Stage) -> Vec<A> {
        let fits = |k: &&Known<A>| match (stage, k.way) {
            (Stage::Relays, Way::Relayed) => true,
            (_, Way::Relayed) | (Stage::Relays | Stage::Table, Way::Straight) => false,
            (Stage::Known, Way::Straight) => !self.relayed_only && k.source != Source::Card,
            (Stage::Card, Way::Straight) => !self.relayed_only && k.source == Source::Card,
        };
        self.known.iter().filter(|k| now >= k.not_before).filter(fits).map(|k| k.address.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    fn known() -> Finding<&'static str> {
        let mut finding = Finding::default();
        finding.learn(at(0), "card", Source::Card, Way::Straight);
        finding.learn(at(1), "circuit", Source::Told, Way::Relayed);
        finding.learn(at(2), "lan", Source::Lan, Way::Straight);
        finding.learn(at(3), "old", Source::Worked, Way::Straight);
        finding.learn(at(4), "new", Source::Worked, Way::Straight);
        finding
    }

    #[test]
    fn what_worked_goes_first_and_newest_then_lan_then_card_then_relays_then_the_table() {
        let mut finding = known();
        finding.want(at(100));
        assert_eq!(finding.poll(at(100)), Some(Step::Dial(vec!["new", "old", "lan"])));
        assert_eq!(finding.poll(at(299)), None);
        assert_eq!(finding.poll(at(300)), Some(Step::Dial(vec!["card"])));
        assert_eq!(finding.poll(at(599)), None);
        assert_eq!(finding.poll(at(600)), Some(Step::Dial(vec!["circuit"])));
        assert_eq!(finding.poll(at(1_100)), Some(Step::LookUp));
        assert_eq!(finding.poll(at(1_100)), None);
    }

    #[test]
    fn a_stage_that_has_failed_or_has_nothing_holds_nobody_up() {
        let mut finding = Finding::default();
        finding.learn(at(0), "circuit", Source::Card, Way::Relayed);
        finding.want(at(0));
        assert_eq!(finding.poll(at(0)), Some(Step::Dial(vec!["circuit"])));
        assert_eq!(finding.poll(at(1)), None);
        finding.came_to_nothing();
        assert_eq!(finding.poll(at(2)), Some(Step::LookUp));
        assert_eq!(finding.looked_up(vec!["found"]), Some(Step::Dial(vec!["found"])));
        assert_eq!(finding.poll(at(3)), None);
        finding.came_to_nothing();
        let tried = |stage, addresses| Tried { stage, addresses };
        assert_eq!(
            finding.poll(at(4)),
            Some(Step::Failed(vec![
                tried(Stage::Known, 0),
                tried(Stage::Card, 0),
                tried(Stage::Relays, 1),
                tried(Stage::Table, 1)
            ]))
        );
    }

    #[test]
    fn failed_rounds_come_again_after_longer_and_longer_pauses_and_at_once_for_news() {
        let mut finding: Finding<&str> = Finding::default();
        finding.want(at(0));
        let mut now = at(0);
        for pause in [1u64, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(finding.poll(now), Some(Step::LookUp));
            assert_eq!(finding.looked_up(Vec::new()), None);
            assert!(matches!(finding.poll(now), Some(Step::Failed(_))));
            let next = now + Duration::from_secs(pause);
            assert_eq!(finding.poll(next - Duration::from_micros(1)), None);
            now = next;
        }
        assert_eq!(finding.poll(now), Some(Step::LookUp));
        finding.came_to_nothing();
        assert!(matches!(finding.poll(now), Some(Step::Failed(_))));
        finding.learn(now, "news", Source::Told, Way::Straight);
        assert_eq!(finding.poll(now), Some(Step::Dial(vec!["news"])));
        finding.found();
        assert_eq!(finding.poll(now + Duration::from_secs(100)), None);
    }

    #[test]
    fn a_round_that_nobody_answers_ends_in_time() {
        let mut finding = known();
        finding.want(at(0));
        assert!(finding.poll(at(0)).is_some());
        while finding.poll(at(1_500)).is_some() {}
        assert_eq!(finding.poll(at(11_999)), None);
        assert!(matches!(finding.poll(at(12_000)), Some(Step::Failed(_))));
    }

    #[test]
    fn whom_our_address_is_hidden_from_is_dialled_through_relays_alone() {
        let mut finding = known();
        finding.set_relayed_only(true);
        finding.want(at(0));
        assert_eq!(finding.poll(at(0)), Some(Step::Dial(vec!["circuit"])));
        assert_eq!(finding.poll(at(1_000)), Some(Step::LookUp));
        finding.learn(at(1_000), "straight", Source::Table, Way::Straight);
        assert_eq!(finding.looked_up(vec!["straight"]), None);
    }

    #[test]
    fn addresses_are_bounded_and_the_worst_fall_off() {
        let mut finding = Finding::default();
        for n in 0..100u32 {
            finding.learn(at(u64::from(n)), n, Source::Table, Way::Straight);
        }
        finding.learn(at(1), 1_000, Source::Worked, Way::Straight);
        let kept: Vec<u32> = finding.addresses().copied().collect();
        assert_eq!((kept.len(), kept[0], kept[1]), (MAX_ADDRESSES, 1_000, 99));
        assert!(!finding.learn(at(200), 1_000, Source::Card, Way::Straight));
        assert_eq!(finding.addresses().next(), Some(&1_000));
    }

    #[test]
    fn an_address_where_the_device_hangs_up_is_left_out_for_a_while_and_the_others_have_their_turn() {
        let mut finding = known();
        finding.refused(at(0), &"new");
        finding.want(at(0));
        assert_eq!(finding.poll(at(0)), Some(Step::Dial(vec!["old", "lan"])));
        // Heard of again it is as it was.
        finding.learn(at(500), "new", Source::Told, Way::Straight);
        finding.found();
        finding.want(at(59_999));
        assert_eq!(finding.poll(at(59_999)), Some(Step::Dial(vec!["old", "lan"])));
        finding.found();
        finding.want(at(60_000));
        assert_eq!(finding.poll(at(60_000)), Some(Step::Dial(vec!["new", "old", "lan"])));
    }
}
