//! Decides what one sender's player does next: play a frame, use a copy, make something up; faster or slower.
//!
//! Source: the split of NetEQ (libwebrtc m150) into decision and mechanism; this is the decision. How long sound waits:
//! `arrival.rs`. Not here: decoding and stretching (`codec::audio`), which `daemon/src/audio/peer_player.rs` does.
//!
//! ```text
//!  packets -> insert: order, duplicates, lateness -> [ waiting frames ] -> next: one Step for 20 ms of sound
//! ```
//! A frame is due `target` after the fastest frame like it would have come. Frames that follow each other are played
//! without a break; how far that runs ahead of or behind the target is mended by playing faster or slower.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ahoy_base::{EncodedAudio, FRAME_SAMPLES, Moment, SAMPLE_RATE};

use super::ReceivedAudio;
use super::arrival::Arrivals;

/// Frames that may wait: 1.3 s. Far above what is ever played late; a flood beyond it pushes the oldest out.
const MAX_WAITING: usize = 64;
/// Sound later than this is skipped: being current matters more than being complete.
const MAX_DELAY: Duration = Duration::from_millis(500);
/// How far above the target is near enough: a block of the sound card, and a little.
const SLACK: Duration = Duration::from_millis(14);
/// Sound of one frame.
const FRAME: Duration = Duration::from_micros(FRAME_SAMPLES as u64 * 1_000_000 / SAMPLE_RATE as u64);
/// How far below the target is near enough: half a block of the sound card, so that rounding goes both ways.
const EARLY: Duration = Duration::from_millis(5);

/// Frames over which sound must wait too long before it is played faster: sound cards ask in bursts.
const PATIENCE: usize = 6;
/// What a frame that came too late to be played in time adds to how long sound waits.
const LATE_MARGIN: Duration = Duration::from_millis(8);
/// More than this is not added.
const MAX_MARGIN: Duration = Duration::from_millis(80);
/// What each frame in time takes off it again: 1 ms a second.
const MARGIN_DECAY: Duration = Duration::from_micros(20);

/// What to play for the next 20 ms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Decode this.
    Play(EncodedAudio, Tempo),
    /// The frame before this one is lost: decode the copy of it that this packet may carry, else conceal. The packet
    /// itself comes with the next step.
    Copy(Vec<u8>),
    /// Make something up.
    Conceal(Gap),
    /// Nothing was ever heard.
    Nothing,
}

/// Whether to play a frame as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tempo {
    /// As it is.
    Normal,
    /// Sound waits longer than it should: leave out a pitch period.
    Faster,
    /// Sound waits less than it should: repeat a pitch period.
    Slower,
}

/// Why something is made up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gap {
    /// Later frames are there, this one is not.
    Lost,
    /// The other side says nothing, and says so with few packets.
    Quiet,
    /// Nothing is there; why will be known when something comes.
    Unknown,
}

/// Counters since the start, in frames of 20 ms unless said otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PlayoutStats {
    /// Frames that were played.
    pub played: u64,
    /// Frames the network lost, or that came too late to be played.
    pub lost: u64,
    /// Of those, mended with the copy in the next packet.
    pub copied: u64,
    /// Made up because of loss.
    pub concealed_lost: u64,
    /// Made up because a frame was late, and was played then.
    pub concealed_late: u64,
    /// Pauses of the sender.
    pub quiet: u64,
    /// Packets that came after their turn.
    pub late: u64,
    /// Packets that were there already.
    pub duplicates: u64,
    /// Packets that came after a later one, in time.
    pub reordered: u64,
    /// Frames that were skipped to be current again.
    pub skipped: u64,
    /// Frames that were to be played faster.
    pub faster: u64,
    /// Frames that were to be played slower.
    pub slower: u64,
    /// How long sound should wait.
    pub target: Duration,
    /// How long the last frame waited, from when the fastest packet would have brought it.
    pub delay: Duration,
}

/// See the module's first lines.
#[derive(Debug)]
pub struct Playout {
    arrivals: Arrivals,
    waiting: BTreeMap<u64, EncodedAudio>,
    /// What comes after the last frame that was played.
    expected: Option<Expected>,
    newest: Option<u64>,
    /// Added to what arrivals ask for: what the unsteadiness of our own sound card costs shows only here.
    margin: Duration,
    /// How long the last frames waited.
    delays: VecDeque<Duration>,
    stats: PlayoutStats,
}

#[derive(Clone, Copy, Debug)]
struct Expected {
    seq: u64,
    media_time: Duration,
    /// Steps since the last frame that were not played.
    made_up: u64,
}

impl Default for Playout {
    fn default() -> Playout {
        Playout::new()
    }
}

impl Playout {
    /// A player that has heard nothing.
    pub fn new() -> Playout {
        Playout {
            arrivals: Arrivals::new(),
            waiting: BTreeMap::new(),
            expected: None,
            newest: None,
            margin: Duration::ZERO,
            delays: VecDeque::with_capacity(PATIENCE),
            stats: PlayoutStats::default(),
        }
    }

    /// Takes in a frame. Late and double ones are counted and dropped.
    pub fn insert(&mut self, received: ReceivedAudio) {
        let ReceivedAudio { arrival, frame } = received;
        if self.waiting.contains_key(&frame.seq) {
            self.stats.duplicates += 1;
            return;
        }
        if self.arrivals.take(arrival, frame.media_time) {
            self.waiting.clear();
            self.expected = None;
        }
        if self.expected.is_some_and(|expected| frame.seq < expected.seq) {
            self.stats.late += 1;
            return;
        }
        if self.newest.is_some_and(|newest| frame.seq < newest) {
            self.stats.reordered += 1;
        }
        self.newest = self.newest.max(Some(frame.seq));
        self.waiting.insert(frame.seq, frame);
        if self.waiting.len() > MAX_WAITING {
            self.waiting.pop_first();
            self.stats.skipped += 1;
        }
    }

    /// What to play at `now`, for 20 ms. `ahead`: decoded sound that is still to be played before it.
    pub fn next(&mut self, now: Moment, ahead: Duration) -> Step {
        let starts = now + ahead;
        self.skip_old(starts);
        let Some((seq, media_time)) = self.waiting.first_key_value().map(|(seq, f)| (*seq, f.media_time))
        else {
            return self.make_up(Gap::Unknown);
        };
        let target = self.target();
        let due = |at: Moment| self.arrivals.lateness(at + EARLY, media_time) >= target;
        let Some(expected) = self.expected else {
            return if due(starts) { self.play(seq, starts) } else { Step::Nothing };
        };
        let gap = frames(media_time.saturating_sub(expected.media_time));
        if expected.made_up >= gap || due(starts) {
            return self.play(seq, starts);
        }
        let lost = seq.saturating_sub(expected.seq).min(gap);
        if lost > 0 && expected.made_up + 1 == gap {
            return self.copy(seq);
        }
        // Of a gap that holds both, the pause is taken to be first: loss shows beside what was said.
        self.make_up(if expected.made_up < gap - lost { Gap::Quiet } else { Gap::Lost })
    }

    /// Counters, and how long sound waits.
    pub fn stats(&self) -> PlayoutStats {
        PlayoutStats { target: self.target(), ..self.stats }
    }

    fn target(&self) -> Duration {
        self.arrivals.target() + self.margin
    }

    /// Lets go of sound that would be played more than [`MAX_DELAY`] late.
    fn skip_old(&mut self, starts: Moment) {
        while self.waiting.len() > 1
            && let Some(oldest) = self.waiting.first_entry()
            && self.arrivals.lateness(starts, oldest.get().media_time) > MAX_DELAY
        {
            oldest.remove();
            self.stats.skipped += 1;
        }
    }

    fn play(&mut self, seq: u64, starts: Moment) -> Step {
        let Some(frame) = self.waiting.remove(&seq) else { return Step::Nothing };
        if let Some(expected) = self.expected {
            self.account(expected, &frame, 0);
        }
        self.expected = Some(Expected { seq: seq + 1, media_time: frame.media_time + FRAME, made_up: 0 });
        let delay = self.arrivals.lateness(starts, frame.media_time);
        let tempo = self.tempo(delay);
        self.margin = self.margin.saturating_sub(MARGIN_DECAY);
        self.stats.played += 1;
        self.stats.delay = delay;
        Step::Play(frame, tempo)
    }

    /// Decides by the last few frames: faster if sound waited too long in all of them, slower if too short.
    fn tempo(&mut self, delay: Duration) -> Tempo {
        if self.delays.len() >= PATIENCE {
            self.delays.pop_front();
        }
        self.delays.push_back(delay);
        let target = self.target();
        let least = self.delays.iter().min().copied().unwrap_or(delay);
        let most = self.delays.iter().max().copied().unwrap_or(delay);
        let enough = self.delays.len() >= PATIENCE;
        // Far too late is mended at once.
        let tempo = if (enough && least > target + SLACK) || delay > (target + SLACK) * 2 + FRAME {
            self.stats.faster += 1;
            Tempo::Faster
        } else if enough && most + EARLY < target {
            self.stats.slower += 1;
            Tempo::Slower
        } else {
            return Tempo::Normal;
        };
        // What follows waits differently.
        self.delays.clear();
        tempo
    }

    /// Tells what the steps between two frames were, once the later one shows it.
    fn account(&mut self, expected: Expected, frame: &EncodedAudio, copied: u64) {
        let gap = frames(frame.media_time.saturating_sub(expected.media_time));
        let lost = frame.seq.saturating_sub(expected.seq).min(gap);
        self.stats.lost += lost;
        self.stats.copied += copied;
        let for_lost = expected.made_up.min(lost.saturating_sub(copied));
        let for_quiet = (expected.made_up - for_lost).min(gap - lost);
        self.stats.concealed_lost += for_lost;
        self.stats.quiet += for_quiet;
        let late = expected.made_up - for_lost - for_quiet;
        self.stats.concealed_late += late;
        if late > 0 {
            self.margin = (self.margin + LATE_MARGIN).min(MAX_MARGIN);
            self.delays.clear();
        }
    }

    /// Gives up the frames before `seq`: should one still come, its place is taken.
    fn copy(&mut self, seq: u64) -> Step {
        let (Some(expected), Some(next)) = (self.expected, self.waiting.get(&seq).cloned()) else {
            return self.make_up(Gap::Lost);
        };
        self.account(expected, &next, 1);
        self.expected = Some(Expected { seq, media_time: next.media_time, made_up: 0 });
        Step::Copy(next.opus)
    }

    fn make_up(&mut self, gap: Gap) -> Step {
        match &mut self.expected {
            Some(expected) => {
                expected.made_up += 1;
                Step::Conceal(gap)
            }
            None => Step::Nothing,
        }
    }
}

fn frames(time: Duration) -> u64 {
    u64::try_from((time + FRAME / 2).as_micros() / FRAME.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ahoy_base::VoiceLevel;

    /// A link and a player, in steps of 10 ms of simulated time.
    struct Sim {
        playout: Playout,
        /// Arrival, number, media frame.
        flying: Vec<(u64, u64, u64)>,
        now_ms: u64,
        ahead_ms: u64,
        steps: Vec<Step>,
    }

    impl Sim {
        /// `late_ms(n)`: delay of frame n, or `None` if it is lost.
        fn new(n: u64, late_ms: impl Fn(u64) -> Option<u64>) -> Sim {
            let flying = (0..n).filter_map(|n| Some((100 + n * 20 + late_ms(n)?, n, n))).collect();
            Sim { playout: Playout::new(), flying, now_ms: 100, ahead_ms: 0, steps: Vec::new() }
        }

        fn run(mut self) -> Sim {
            self.flying.sort_unstable();
            let end = self.flying.last().map_or(0, |f| f.0) + 600;
            while self.now_ms < end {
                let now = self.now_ms;
                for (at, seq, media) in self.flying.extract_if(.., |f| f.0 <= now) {
                    self.playout.insert(frame(at, seq, media));
                }
                if self.ahead_ms < 10 {
                    let ahead = Duration::from_millis(self.ahead_ms);
                    let step = self.playout.next(Moment::from_millis(now), ahead);
                    self.ahead_ms += match &step {
                        Step::Play(_, Tempo::Faster) => 10,
                        Step::Play(_, Tempo::Slower) => 30,
                        Step::Play(_, Tempo::Normal) | Step::Copy(_) | Step::Conceal(_) | Step::Nothing => 20,
                    };
                    self.steps.push(step);
                }
                self.ahead_ms -= 10;
                self.now_ms += 10;
            }
            self
        }

        fn played(&self) -> Vec<u64> {
            let seq = |s: &Step| if let Step::Play(f, _) = s { Some(f.seq) } else { None };
            self.steps.iter().filter_map(seq).collect()
        }
    }

    fn frame(at_ms: u64, seq: u64, media: u64) -> ReceivedAudio {
        ReceivedAudio {
            arrival: Moment::from_millis(at_ms),
            frame: EncodedAudio {
                seq,
                media_time: Duration::from_millis(media * 20),
                level: VoiceLevel::default(),
                opus: vec![7],
            },
        }
    }

    #[test]
    fn a_clean_link_plays_everything_in_order_with_little_delay() {
        let sim = Sim::new(500, |_| Some(30)).run();
        assert_eq!(sim.played(), (0..500).collect::<Vec<_>>());
        let stats = sim.playout.stats();
        assert_eq!((stats.lost, stats.concealed_lost, stats.late, stats.quiet), (0, 0, 0, 0));
        assert!(stats.target <= Duration::from_millis(8), "{stats:?}");
        assert!(stats.delay <= Duration::from_millis(22), "{stats:?}");
    }

    #[test]
    fn a_lost_frame_is_taken_from_its_copy_not_waited_for() {
        // Every tenth frame is 40 ms late, so that sound waits long enough for the packet after a lost one.
        let late = |n: u64| if n % 10 == 5 { 70 } else { 30 };
        let sim = Sim::new(200, |n| (n % 20 != 10).then_some(late(n))).run();
        let stats = sim.playout.stats();
        // The first late frame comes before lateness was learned, and its place is taken.
        assert!((10..=11).contains(&stats.lost) && stats.copied == stats.lost, "{stats:?}");
        assert_eq!((stats.concealed_lost, stats.quiet), (0, 0));
        assert!(stats.delay < Duration::from_millis(64), "{stats:?}");
    }

    #[test]
    fn on_a_steady_link_loss_is_concealed_at_once_and_costs_no_delay() {
        let sim = Sim::new(400, |n| (n % 40 != 20 && n % 40 != 21).then_some(30)).run();
        let stats = sim.playout.stats();
        assert_eq!((stats.played, stats.lost), (380, 20));
        assert_eq!((stats.copied + stats.concealed_lost, stats.concealed_late), (20, 0), "{stats:?}");
        assert!(stats.delay <= Duration::from_millis(22), "{stats:?}");
    }

    #[test]
    fn jitter_raises_the_delay_until_nearly_nothing_is_late() {
        let sim = Sim::new(3_000, |n| Some(30 + n * 7_919 % 41)).run();
        let stats = sim.playout.stats();
        assert!(stats.lost < 30, "{stats:?}");
        assert!(
            stats.target >= Duration::from_millis(30) && stats.target <= Duration::from_millis(44),
            "{stats:?}"
        );
        assert!(stats.concealed_late < 60, "{stats:?}");
    }

    #[test]
    fn the_delay_sinks_again_after_a_jam() {
        // 300 ms of silence on the wire, then all of it at once.
        let jam = |n: u64| if (100..115).contains(&n) { (115 - n) * 20 } else { 0 };
        let sim = Sim::new(2_500, |n| Some(30 + jam(n))).run();
        assert_eq!(sim.played().len(), 2_500, "nothing is thrown away");
        let stats = sim.playout.stats();
        assert!(stats.concealed_late > 5, "{stats:?}");
        assert!(stats.faster > 5, "{stats:?}");
    }

    #[test]
    fn a_pause_of_the_sender_is_no_loss() {
        // Speech, a pause of 2 s with a packet every 400 ms, speech.
        let mut sim = Sim::new(0, |_| None);
        let sent = (0..100).chain((100..200).step_by(20)).chain(200..300).enumerate();
        sim.flying = sent.map(|(seq, media)| (130 + media * 20, seq as u64, media)).collect();
        let stats = sim.run().playout.stats();
        assert_eq!((stats.lost, stats.concealed_lost, stats.played), (0, 0, 205));
        assert!((94..=95).contains(&stats.quiet), "{stats:?}");
    }

    #[test]
    fn order_and_doubles_are_mended_and_counted() {
        let mut playout = Playout::new();
        for (at, seq) in [(100, 0), (120, 1), (121, 3), (122, 2), (123, 2)] {
            playout.insert(frame(at, seq, seq));
        }
        let mut played = Vec::new();
        for n in 0..8 {
            if let Step::Play(frame, _) = playout.next(Moment::from_millis(140 + 20 * n), Duration::ZERO) {
                played.push(frame.seq);
            }
        }
        assert_eq!(played, [0, 1, 2, 3]);
        playout.insert(frame(300, 1, 1));
        let stats = playout.stats();
        assert_eq!((stats.reordered, stats.duplicates, stats.late), (1, 1, 1));
    }

    #[test]
    fn an_outage_does_not_leave_the_call_behind() {
        let outage = |n: u64| if (100..200).contains(&n) { (200 - n) * 20 } else { 0 };
        let sim = Sim::new(2_000, |n| Some(30 + outage(n))).run();
        let stats = sim.playout.stats();
        assert!(stats.skipped > 60, "{stats:?}");
        assert!(stats.delay < Duration::from_millis(60), "{stats:?}");
        assert!(sim.played().is_sorted());
    }

    #[test]
    fn a_flood_is_bounded_and_keeps_the_newest() {
        let mut playout = Playout::new();
        for seq in 0..10_000 {
            playout.insert(frame(100, seq, seq));
        }
        assert_eq!(playout.waiting.len(), MAX_WAITING);
        assert!(playout.waiting.contains_key(&9_999));
    }

    #[test]
    fn any_times_and_numbers_never_panic() {
        let mut playout = Playout::new();
        let edge = [0, 1, 20, 1_000, u64::MAX / 20_000, u64::MAX / 1_000, u64::MAX - 1];
        for at in edge {
            for seq in edge {
                for media in edge.iter().map(|m| m / 20) {
                    playout.insert(frame(at, seq, media));
                    let _ = playout.next(Moment::from_millis(at), Duration::from_millis(seq));
                }
            }
        }
    }
}
