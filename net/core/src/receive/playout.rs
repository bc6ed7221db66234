//! Decides what one sender's player does next: play a frame, or make something up; faster or slower.
//!
//! Source: the split of NetEQ (libwebrtc m150) into decision and mechanism; this is the decision. How long sound waits:
//! `arrival.rs`. Not here: decoding and stretching (`codec::audio`), which `daemon/src/audio/peer_player.rs` does.
//!
//! ```text
//!  frames -> insert: order, copies, lateness -> [ waiting frames ] -> next: one Step
//! ```
//! What counts is how long a frame *could* have waited when it was taken: up to then it may be late. Sound is taken in ticks, so that
//! is one of a row of values 10 ms apart; the cheapest of the row is looked for (`arrival.rs`: waiting has a price, and so has what
//! comes too late). Frames that follow each other are played without a break; a pause is made longer or shorter as needed, speech is
//! played faster or slower where that gains nearly a whole tick. Sound that waits decoded only adds delay, so that pauses also end on
//! the tick.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ahoy_base::{EncodedAudio, Moment, TICK, VoiceLevel};

use super::ReceivedAudio;
use super::arrival::Arrivals;

/// Frames that may wait: 1.3 s of the shortest. Far above what is ever played late; a flood beyond it pushes the oldest out.
const MAX_WAITING: usize = 128;
/// Sound later than this is skipped: being current matters more than being complete.
const MAX_DELAY: Duration = Duration::from_millis(500);
/// What a change must save while somebody speaks: nearly a tick of delay. A cut is heard more than less.
const SPEECH_GAIN: f32 = 9.0;
/// And while nobody does: nothing is heard of a cut there.
const PAUSE_GAIN: f32 = 2.0;
/// Waiting this much longer than twice the target is far too long and mended at once.
const FAR: Duration = Duration::from_millis(44);
/// Frames up to this loud (-45 dBFS) are a pause.
const PAUSE: VoiceLevel = VoiceLevel::new(3);
/// The longest pitch period: what one cut takes out at most.
const MOST_CUT: Duration = Duration::from_micros(12_500);
/// Less decoded sound than this is not worth a cut in a pause.
const LEAST_CUT: Duration = Duration::from_millis(1);
/// Ticks that a change is looked for: as far as sound may wait.
const REACH: u32 = 50;
/// Frames over which sound must wait too long before it is played faster: sound cards ask in bursts.
const PATIENCE: usize = 12;
/// The same in a pause.
const PAUSE_PATIENCE: usize = 5;
/// What a frame that came too late to be played in time adds to how long sound waits.
const LATE_MARGIN: Duration = Duration::from_millis(4);
/// More than this is not added.
const MAX_MARGIN: Duration = Duration::from_millis(60);
/// What each frame in time takes off it again: 1 ms a second.
const MARGIN_DECAY: Duration = Duration::from_micros(10);
/// By how much each frame moves the wait for pictures: 20 ms a second, which stretching follows unheard.
const PICTURES_STEP: Duration = Duration::from_micros(200);
/// Frames that were given up and may still come: what comes later is not looked for.
const MAX_GIVEN_UP: usize = 64;

/// What to play next.
#[expect(clippy::large_enum_variant, reason = "made on the playback thread, which allocates nothing")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Decode this.
    Play(EncodedAudio, Tempo),
    /// Make up so much, at most 10 ms.
    Conceal(Gap, Duration),
    /// Nothing was ever heard.
    Nothing,
}

/// Whether to play a frame as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tempo {
    /// As it is.
    Normal,
    /// Sound waits longer than it should: leave out a pitch period of at most that.
    Faster(Duration),
    /// Sound waits less than it should: repeat a pitch period of at most that.
    Slower(Duration),
    /// In a pause: leave out exactly this.
    Cut(Duration),
}

/// When sound is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Pull {
    /// Now: what has not come yet can't be played.
    pub now: Moment,
    /// When the tick that is being made is heard.
    pub heard: Moment,
    /// Decoded sound that is played before what is asked for; less than a tick.
    pub ahead: Duration,
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

/// Counters since the start, in ticks of 10 ms of sound unless said otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PlayoutStats {
    /// Played.
    pub played: u64,
    /// Lost by the network for good, or come too late to be played.
    pub lost: u64,
    /// Frames that only a copy beside a later frame brought.
    pub copied: u64,
    /// Made up because of loss.
    pub concealed_lost: u64,
    /// Made up because a frame was late, and was played then.
    pub concealed_late: u64,
    /// Pauses of the sender.
    pub quiet: u64,
    /// Frames that came after their turn.
    pub late: u64,
    /// Frames that were there already: second sendings, and copies that nobody needed.
    pub duplicates: u64,
    /// Frames that came after a later one, in time.
    pub reordered: u64,
    /// Skipped to be current again.
    pub skipped: u64,
    /// Frames that were to be played faster.
    pub faster: u64,
    /// Frames that were to be played slower.
    pub slower: u64,
    /// How long sound should wait.
    pub target: Duration,
    /// How long sound would wait to be heard were there no pictures.
    pub alone: Duration,
    /// How much longer it waits because of them.
    pub for_pictures: Duration,
    /// How long the last frame waited, from when the fastest packet would have brought it.
    pub delay: Duration,
}

/// See the module's first lines.
#[derive(Debug)]
pub struct Playout {
    arrivals: Arrivals,
    /// With how late each came.
    waiting: BTreeMap<u64, (EncodedAudio, Duration)>,
    /// What comes after the last frame that was played.
    expected: Option<Expected>,
    newest: Option<u64>,
    /// Frames whose turn passed without them, in order.
    given_up: VecDeque<u64>,
    /// Added to what arrivals ask for: what the unsteadiness of our own sound card costs shows only here.
    margin: Duration,
    /// Added for pictures that are later than their sound; on its way to the second.
    for_pictures: Duration,
    pictures_want: Duration,
    /// How long the last frames could have waited.
    waits: VecDeque<Duration>,
    stats: PlayoutStats,
}

#[derive(Clone, Copy, Debug)]
struct Expected {
    seq: u64,
    media_time: Duration,
    /// The last frame was a pause: one that lasts a little longer is no loss, and is not heard.
    pause: bool,
    /// Sound since the last frame that was not played.
    made_up: Duration,
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
            given_up: VecDeque::with_capacity(MAX_GIVEN_UP),
            margin: Duration::ZERO,
            for_pictures: Duration::ZERO,
            pictures_want: Duration::ZERO,
            waits: VecDeque::with_capacity(PATIENCE),
            stats: PlayoutStats::default(),
        }
    }

    /// Takes in a frame. Late and double ones are counted and dropped.
    pub fn insert(&mut self, received: ReceivedAudio) {
        let ReceivedAudio { arrival, frame, copy } = received;
        let passed = self.expected.is_some_and(|expected| frame.seq < expected.seq);
        let given_up = passed.then(|| self.given_up.binary_search(&frame.seq).ok()).flatten();
        let late = given_up.and_then(|place| self.given_up.remove(place)).is_some();
        if self.waiting.contains_key(&frame.seq) || (passed && !late) {
            self.stats.duplicates += 1;
            return;
        }
        if self.arrivals.take(arrival, frame.media_time) {
            self.waiting.clear();
            self.given_up.clear();
            self.expected = None;
        }
        if late {
            // Too late to be heard, in time to teach how long to wait.
            self.stats.late += 1;
            return;
        }
        if self.newest.is_some_and(|newest| frame.seq < newest) && !copy {
            self.stats.reordered += 1;
        }
        self.stats.copied += u64::from(copy);
        self.newest = self.newest.max(Some(frame.seq));
        let late = self.arrivals.lateness(arrival, frame.media_time);
        self.waiting.insert(frame.seq, (frame, late));
        if self.waiting.len() > MAX_WAITING
            && let Some((_, (oldest, _))) = self.waiting.pop_first()
        {
            self.stats.skipped += ticks(oldest.duration);
        }
    }

    /// Sound shall wait so much longer than it would by itself, by and by.
    pub fn wait_for_pictures(&mut self, longer: Duration) {
        self.pictures_want = longer;
    }

    /// What to play.
    pub fn next(&mut self, pull: Pull) -> Step {
        self.skip_old(pull.now);
        let Some((seq, (frame, _))) = self.waiting.first_key_value() else {
            return self.make_up(Gap::Unknown, pull);
        };
        let (seq, media_time, duration) = (*seq, frame.media_time, frame.duration);
        let waits = self.arrivals.lateness(pull.now, media_time);
        let Some(expected) = self.expected else {
            return if self.change(waits, 0.0) > 0 { Step::Nothing } else { self.play(seq, pull) };
        };
        let gap = media_time.saturating_sub(expected.media_time);
        if expected.pause {
            // How long a pause lasts is free.
            let in_row = gap.is_zero() && expected.made_up.is_zero();
            let gain = if in_row { PAUSE_GAIN } else { 0.0 };
            return if self.change(waits, gain) > 0 {
                self.make_up(Gap::Quiet, pull)
            } else {
                self.play(seq, pull)
            };
        }
        if expected.made_up + TICK / 2 > gap || self.change(waits, 0.0) <= 0 {
            return self.play(seq, pull);
        }
        let lost = lost_time(seq.saturating_sub(expected.seq), duration).min(gap);
        // Of a gap that holds both, the pause is taken to be first: loss shows beside what was said.
        let why = if expected.made_up < gap - lost { Gap::Quiet } else { Gap::Lost };
        self.make_up(why, pull)
    }

    /// The frame that follows the last one without a gap, if it is there: for a player that leaves some of it out.
    pub fn next_in_row(&mut self) -> Option<EncodedAudio> {
        let expected = self.expected.filter(|expected| expected.made_up.is_zero())?;
        let (frame, _) = self.waiting.remove(&expected.seq)?;
        self.expected = Some(after(&frame));
        self.stats.played += ticks(frame.duration);
        Some(frame)
    }

    /// Counters, and how long sound waits.
    pub fn stats(&self) -> PlayoutStats {
        PlayoutStats { target: self.target(), for_pictures: self.for_pictures, ..self.stats }
    }

    fn target(&self) -> Duration {
        self.arrivals.target() + self.margin + self.for_pictures
    }

    /// By how many ticks longer (positive) or shorter sound that waits for `waits` should wait, if that saves more than `gain`.
    fn change(&self, waits: Duration, gain: f32) -> i32 {
        let waits = waits.saturating_sub(self.margin + self.for_pictures);
        let now = self.arrivals.cost(waits);
        let longer = (1..=REACH).map(|n| (n.cast_signed(), waits + TICK * n));
        let shorter = (1..=REACH).map_while(|n| Some((-n.cast_signed(), waits.checked_sub(TICK * n)?)));
        let best = longer
            .chain(shorter)
            .map(|(n, waits)| (n, self.arrivals.cost(waits)))
            .min_by(|a, b| a.1.total_cmp(&b.1));
        best.filter(|(_, cost)| now - cost > gain).map_or(0, |(n, _)| n)
    }

    /// Lets go of sound that would be played more than [`MAX_DELAY`] late.
    fn skip_old(&mut self, now: Moment) {
        while self.waiting.len() > 1
            && let Some(oldest) = self.waiting.first_entry()
            && self.arrivals.lateness(now, oldest.get().0.media_time) > MAX_DELAY
        {
            self.stats.skipped += ticks(oldest.remove().0.duration);
        }
    }

    fn play(&mut self, seq: u64, pull: Pull) -> Step {
        let Some((frame, late)) = self.waiting.remove(&seq) else { return Step::Nothing };
        if let Some(expected) = self.expected {
            self.account(expected, &frame, late);
        }
        self.expected = Some(after(&frame));
        let waits = self.arrivals.lateness(pull.now, frame.media_time);
        let tempo = self.tempo(waits, &frame, pull.ahead);
        self.margin = self.margin.saturating_sub(MARGIN_DECAY);
        self.for_pictures = self.pictures_want.clamp(
            self.for_pictures.saturating_sub(PICTURES_STEP),
            self.for_pictures.saturating_add(PICTURES_STEP),
        );
        self.stats.alone = self.arrivals.target() + self.margin + pull.heard.since(pull.now);
        self.stats.played += ticks(frame.duration);
        self.stats.delay = self.arrivals.lateness(pull.heard + pull.ahead, frame.media_time);
        Step::Play(frame, tempo)
    }

    /// Decides by the last few frames: faster if all of them waited too long, slower if too short.
    fn tempo(&mut self, waits: Duration, frame: &EncodedAudio, ahead: Duration) -> Tempo {
        if self.waits.len() >= PATIENCE {
            self.waits.pop_front();
        }
        self.waits.push_back(waits);
        let pause = frame.level <= PAUSE;
        let (patience, gain) = if pause { (PAUSE_PATIENCE, PAUSE_GAIN) } else { (PATIENCE, SPEECH_GAIN) };
        let lately = || self.waits.iter().rev().take(patience).copied();
        let (least, most) = (lately().min().unwrap_or(waits), lately().max().unwrap_or(waits));
        let enough = self.waits.len() >= patience;
        let fewer = if enough { self.change(least, gain).min(0).unsigned_abs() } else { 0 };
        let tempo = if pause {
            // Only pauses are cut; the speech behind them stays whole.
            let sound = frame.duration + self.pause_behind(frame);
            let whole = (0..=fewer).rev().map(|n| ahead + TICK * n).find(|cut| *cut < sound);
            match whole.filter(|cut| *cut >= LEAST_CUT) {
                Some(cut) if cut < TICK => return Tempo::Cut(cut),
                Some(cut) => Tempo::Cut(cut),
                None => Tempo::Normal,
            }
        } else if fewer > 0 || waits > self.target() * 2 + FAR {
            Tempo::Faster(MOST_CUT)
        } else if enough && self.change(most, gain) > 0 {
            Tempo::Slower(MOST_CUT)
        } else {
            Tempo::Normal
        };
        match tempo {
            Tempo::Faster(_) | Tempo::Cut(_) => self.stats.faster += 1,
            Tempo::Slower(_) => self.stats.slower += 1,
            Tempo::Normal => return tempo,
        }
        // What follows waits differently.
        self.waits.clear();
        tempo
    }

    /// How much pause follows `frame` without a gap.
    fn pause_behind(&self, frame: &EncodedAudio) -> Duration {
        let in_row = self.waiting.iter().zip(frame.seq.saturating_add(1)..);
        in_row
            .take_while(|((seq, (next, _)), expected)| *seq == expected && next.level <= PAUSE)
            .fold(Duration::ZERO, |sum, ((_, (next, _)), _)| sum.saturating_add(next.duration))
    }

    /// Tells what was made up between two frames, once the later one shows it.
    fn account(&mut self, expected: Expected, frame: &EncodedAudio, came_late: Duration) {
        let gap = frame.media_time.saturating_sub(expected.media_time);
        let n_lost = frame.seq.saturating_sub(expected.seq);
        let lost = lost_time(n_lost, frame.duration).min(gap);
        self.stats.lost += ticks(lost);
        for seq in expected.seq.max(frame.seq.saturating_sub(MAX_GIVEN_UP as u64))..frame.seq {
            if self.given_up.len() >= MAX_GIVEN_UP {
                self.given_up.pop_front();
            }
            self.given_up.push_back(seq);
        }
        let for_lost = expected.made_up.min(lost);
        let for_quiet = (expected.made_up - for_lost).min(gap - lost);
        let over = expected.made_up - for_lost - for_quiet;
        let (late, longer) = if expected.pause { (Duration::ZERO, over) } else { (over, Duration::ZERO) };
        self.stats.concealed_lost += ticks(for_lost);
        self.stats.quiet += ticks(for_quiet + longer);
        self.stats.concealed_late += ticks(late);
        // What the network did is in the arrivals; the margin is for what our own sound card does.
        if ticks(late) > 0 && came_late <= self.arrivals.target() {
            self.margin = (self.margin + LATE_MARGIN).min(MAX_MARGIN);
            self.waits.clear();
        }
    }

    fn make_up(&mut self, gap: Gap, pull: Pull) -> Step {
        let Some(expected) = &mut self.expected else { return Step::Nothing };
        // A pause ends on the tick.
        let length = if expected.pause { TICK.saturating_sub(pull.ahead).max(LEAST_CUT) } else { TICK };
        expected.made_up += length;
        Step::Conceal(gap, length)
    }
}

fn after(frame: &EncodedAudio) -> Expected {
    let media_time = frame.media_time.saturating_add(frame.duration);
    let pause = frame.level <= PAUSE;
    Expected { seq: frame.seq.saturating_add(1), media_time, pause, made_up: Duration::ZERO }
}

/// Sound in `n` frames like the one after them.
fn lost_time(n: u64, duration: Duration) -> Duration {
    duration.saturating_mul(u32::try_from(n).unwrap_or(u32::MAX))
}

/// Ticks in a time, rounded.
fn ticks(time: Duration) -> u64 {
    u64::try_from((time.saturating_add(TICK / 2)).as_micros() / TICK.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use ahoy_base::OpusPacket;

    /// A link and a player, in steps of 10 ms of simulated time. Frames of 10 ms.
    struct Sim {
        playout: Playout,
        /// Arrival, number, media time in ticks, whether it is a copy.
        flying: Vec<(u64, u64, u64, bool)>,
        now_ms: u64,
        ahead_ms: u64,
        steps: Vec<Step>,
    }

    impl Sim {
        /// `late_ms(n)`: delay of frame n, or `None` if it is lost.
        fn new(n: u64, late_ms: impl Fn(u64) -> Option<u64>) -> Sim {
            let flying = (0..n).filter_map(|n| Some((100 + n * 10 + late_ms(n)?, n, n, false))).collect();
            Sim { playout: Playout::new(), flying, now_ms: 100, ahead_ms: 0, steps: Vec::new() }
        }

        fn run(mut self) -> Sim {
            self.flying.sort_unstable();
            let end = self.flying.last().map_or(0, |f| f.0) + 600;
            while self.now_ms < end {
                let now = self.now_ms;
                for (at, seq, media, copy) in self.flying.extract_if(.., |f| f.0 <= now) {
                    self.playout.insert(frame(at, seq, media, copy));
                }
                while self.ahead_ms < 10 {
                    let ahead = Duration::from_millis(self.ahead_ms);
                    let step = self.playout.next(pull(Moment::from_millis(now), ahead));
                    self.ahead_ms += match &step {
                        Step::Play(_, Tempo::Faster(_)) => 5,
                        Step::Play(_, Tempo::Slower(_)) => 15,
                        // What is cut beyond a frame comes from the next.
                        Step::Play(frame, Tempo::Cut(cut)) => {
                            let (mut sound, cut) = (frame.duration, *cut);
                            while sound < cut + TICK / 4
                                && let Some(next) = self.playout.next_in_row()
                            {
                                sound += next.duration;
                            }
                            sound.saturating_sub(cut).as_millis() as u64
                        }
                        Step::Conceal(_, length) => length.as_millis() as u64,
                        Step::Play(_, Tempo::Normal) | Step::Nothing => 10,
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

    fn pull(now: Moment, ahead: Duration) -> Pull {
        Pull { now, heard: now, ahead }
    }

    fn frame(at_ms: u64, seq: u64, media: u64, copy: bool) -> ReceivedAudio {
        ReceivedAudio {
            arrival: Moment::from_millis(at_ms),
            frame: EncodedAudio {
                seq,
                media_time: TICK.saturating_mul(u32::try_from(media).unwrap_or(u32::MAX)),
                duration: TICK,
                // Speech and pauses of a second each.
                level: VoiceLevel::new(if (media / 100).is_multiple_of(2) { 9 } else { 1 }),
                opus: OpusPacket::new(&[7]).unwrap(),
            },
            copy,
        }
    }

    #[test]
    fn a_clean_link_plays_everything_in_order_with_little_delay() {
        let sim = Sim::new(1_500, |_| Some(30)).run();
        assert_eq!(sim.played(), (0..1_500).collect::<Vec<_>>());
        let stats = sim.playout.stats();
        assert_eq!((stats.lost, stats.concealed_lost, stats.late, stats.quiet), (0, 0, 0, 0));
        assert!(stats.target <= Duration::from_millis(8), "{stats:?}");
        assert!(stats.delay <= Duration::from_millis(16), "{stats:?}");
    }

    #[test]
    fn a_lost_frame_is_played_from_its_copy_once_that_is_worth_the_wait() {
        // A tenth is lost, and comes with the next datagram.
        let mut sim = Sim::new(3_000, |n| (n % 10 != 5).then_some(30));
        sim.flying.extend((1..3_000).map(|n| (130 + n * 10, n - 1, n - 1, true)));
        let stats = sim.run().playout.stats();
        assert!(stats.copied >= 290, "{stats:?}");
        assert!(stats.lost < 12, "only before it was learned: {stats:?}");
        assert!(stats.target >= TICK && stats.delay <= Duration::from_millis(26), "{stats:?}");
        assert_eq!(stats.reordered, 0);
    }

    #[test]
    fn on_a_steady_link_loss_is_concealed_at_once_and_costs_no_delay() {
        let sim = Sim::new(1_600, |n| (n % 40 != 20 && n % 40 != 21).then_some(30)).run();
        let stats = sim.playout.stats();
        assert_eq!((stats.played, stats.lost), (1_520, 80));
        // Where a frame was played faster, less is missing.
        assert!((75..=80).contains(&stats.concealed_lost) && stats.concealed_late == 0, "{stats:?}");
        assert!(stats.delay <= Duration::from_millis(16), "{stats:?}");
    }

    #[test]
    fn jitter_raises_the_delay_until_nearly_nothing_is_late() {
        let sim = Sim::new(6_000, |n| Some(30 + n * 7_919 % 41)).run();
        let stats = sim.playout.stats();
        assert!(stats.lost < 90, "{stats:?}");
        assert!(
            stats.target >= Duration::from_millis(30) && stats.target <= Duration::from_millis(50),
            "{stats:?}"
        );
        assert!(stats.concealed_late < 60, "{stats:?}");
    }

    #[test]
    fn the_delay_sinks_again_after_a_jam() {
        // 300 ms of silence on the wire, then all of it at once.
        let jam = |n: u64| if (100..130).contains(&n) { (130 - n) * 10 } else { 0 };
        let sim = Sim::new(5_000, |n| Some(30 + jam(n))).run();
        let stats = sim.playout.stats();
        assert_eq!((stats.played, stats.skipped), (5_000, 0), "nothing is thrown away: {stats:?}");
        assert!(stats.concealed_late > 10 && stats.faster > 0, "{stats:?}");
        assert!(stats.delay < Duration::from_millis(30), "{stats:?}");
    }

    #[test]
    fn sound_waits_for_pictures_by_and_by_and_returns_without_a_loss() {
        let run = |want_ms: u64, frames: u64, before: Option<Playout>| {
            let mut sim = Sim::new(frames, |n| Some(30 + n * 7_919 % 11));
            if let Some(playout) = before {
                sim.playout = playout;
            }
            sim.playout.wait_for_pictures(Duration::from_millis(want_ms));
            sim.run()
        };
        let alone = run(0, 2_000, None).playout.stats();
        let waiting = run(80, 2_000, None);
        let stats = waiting.playout.stats();
        let more = stats.delay.saturating_sub(alone.delay);
        assert!((65..=95).contains(&more.as_millis()), "{alone:?} {stats:?}");
        assert_eq!((stats.for_pictures, stats.lost, stats.skipped), (Duration::from_millis(80), 0, 0));
        assert!(stats.concealed_late <= alone.concealed_late, "{stats:?}");
        assert!(
            stats.alone.abs_diff(alone.alone) < Duration::from_millis(5),
            "measured as if without: {stats:?}"
        );
        // Half a second after the beginning hardly anything of it is there.
        let soon = run(80, 60, None).playout.stats();
        assert!(soon.for_pictures <= Duration::from_millis(12), "{soon:?}");
        // And back, once nobody is seen any more.
        let mut sim = Sim::new(4_000, |n| Some(30 + n * 7_919 % 11));
        sim.playout.wait_for_pictures(Duration::from_millis(80));
        let later = sim.flying.split_off(2_000);
        let mut sim = sim.run();
        sim.playout.wait_for_pictures(Duration::ZERO);
        sim.flying = later;
        let stats = sim.run().playout.stats();
        assert!(stats.for_pictures.is_zero() && stats.delay < alone.delay + TICK * 2, "{stats:?}");
    }

    #[test]
    fn a_pause_of_the_sender_is_no_loss() {
        // Speech, a pause of 2 s with a packet every 400 ms, speech.
        let mut sim = Sim::new(0, |_| None);
        let sent = (0..200).chain((200..400).step_by(40)).chain(400..600).enumerate();
        sim.flying = sent.map(|(seq, media)| (130 + media * 10, seq as u64, media, false)).collect();
        let stats = sim.run().playout.stats();
        assert_eq!((stats.lost, stats.concealed_lost, stats.played), (0, 0, 405));
        assert!((190..=196).contains(&stats.quiet), "{stats:?}");
    }

    #[test]
    fn order_and_doubles_are_mended_and_counted() {
        let mut playout = Playout::new();
        for (at, seq) in [(100, 0), (110, 1), (111, 3), (112, 2), (113, 2)] {
            playout.insert(frame(at, seq, seq, false));
        }
        let mut played = Vec::new();
        for n in 0..8 {
            if let Step::Play(frame, _) =
                playout.next(pull(Moment::from_millis(130 + 10 * n), Duration::ZERO))
            {
                played.push(frame.seq);
            }
        }
        assert_eq!(played, [0, 1, 2, 3]);
        playout.insert(frame(300, 1, 1, false));
        let stats = playout.stats();
        assert_eq!((stats.reordered, stats.duplicates, stats.late), (1, 2, 0));
    }

    #[test]
    fn what_comes_after_its_turn_is_late_once_and_teaches() {
        let late = |n: u64| if n % 10 == 5 { 70 } else { 30 };
        let mut sim = Sim::new(300, |n| Some(late(n)));
        let doubles = sim.flying.clone();
        sim.flying.extend(doubles.into_iter().map(|(at, seq, media, _)| (at + 200, seq, media, false)));
        let stats = sim.run().playout.stats();
        assert!(stats.late > 0 && stats.late < 12, "{stats:?}");
        assert!(stats.target >= Duration::from_millis(40), "{stats:?}");
    }

    #[test]
    fn an_outage_does_not_leave_the_call_behind() {
        let outage = |n: u64| if (200..400).contains(&n) { (400 - n) * 10 } else { 0 };
        let sim = Sim::new(6_000, |n| Some(30 + outage(n))).run();
        let stats = sim.playout.stats();
        assert!(stats.skipped > 60, "{stats:?}");
        assert!(stats.delay < Duration::from_millis(60), "{stats:?}");
        assert!(sim.played().is_sorted());
    }

    #[test]
    fn a_flood_is_bounded_and_keeps_the_newest() {
        let mut playout = Playout::new();
        for seq in 0..10_000 {
            playout.insert(frame(100, seq, seq, false));
        }
        assert_eq!(playout.waiting.len(), MAX_WAITING);
        assert!(playout.waiting.contains_key(&9_999));
    }

    #[test]
    fn clocks_that_drift_for_an_hour_neither_run_dry_nor_fall_behind() {
        for ppm in [-200i64, 200] {
            let (mut playout, mut ahead_us, mut seq) = (Playout::new(), 0i64, 0u64);
            let (mut made_up, mut worst) = (0u64, Duration::ZERO);
            for tick in 0..360_000u64 {
                let now = 1_000_000 + 10_000 * tick;
                // The sender's card runs fast or slow.
                while 1_000_000 + (seq * 10_000).cast_signed() * (1_000_000 - ppm) / 1_000_000
                    <= now.cast_signed()
                {
                    let mut received = frame(0, seq, seq, false);
                    received.arrival = Moment::from_micros(now);
                    playout.insert(received);
                    seq += 1;
                }
                while ahead_us < 10_000 {
                    let ahead = Duration::from_micros(ahead_us.unsigned_abs());
                    let step = playout.next(pull(Moment::from_micros(now), ahead));
                    // A pitch period is at most 5 ms here.
                    ahead_us += match &step {
                        Step::Play(_, Tempo::Faster(most)) => 10_000 - most.as_micros().min(5_000) as i64,
                        Step::Play(_, Tempo::Slower(most)) => 10_000 + most.as_micros().min(5_000) as i64,
                        Step::Play(_, Tempo::Cut(cut)) => {
                            let (mut sound, cut) = (TICK, *cut);
                            while sound < cut + TICK / 4
                                && let Some(next) = playout.next_in_row()
                            {
                                sound += next.duration;
                            }
                            sound.saturating_sub(cut).as_micros() as i64
                        }
                        Step::Conceal(_, length) => length.as_micros() as i64,
                        Step::Play(_, Tempo::Normal) | Step::Nothing => 10_000,
                    };
                    made_up += u64::from(matches!(step, Step::Conceal(Gap::Lost | Gap::Unknown, _)));
                }
                ahead_us -= 10_000;
                if tick > 1_000 {
                    worst = worst.max(playout.stats.delay);
                }
            }
            let stats = playout.stats();
            // 200 ppm of an hour are 720 ms: at most that is mended, and some of it by stretching.
            assert!(made_up <= 2, "{ppm} ppm: {made_up} made up, {stats:?}");
            assert!(worst < Duration::from_millis(40), "{ppm} ppm: {worst:?}, {stats:?}");
            assert!(stats.faster + stats.slower + stats.quiet >= 70, "{ppm} ppm: {stats:?}");
        }
    }

    #[test]
    fn any_times_and_numbers_never_panic() {
        let mut playout = Playout::new();
        let edge = [0, 1, 20, 1_000, u64::MAX / 20_000, u64::MAX / 1_000, u64::MAX - 1];
        for at in edge {
            for seq in edge {
                for media in edge.iter().map(|m| m / 20) {
                    playout.insert(frame(at, seq, media, false));
                    let _ = playout.next(pull(Moment::from_millis(at), Duration::from_millis(seq)));
                    let _ = playout.next_in_row();
                }
            }
        }
    }

    #[test]
    fn after_an_outage_sound_of_more_than_half_a_second_ago_is_not_played() {
        // Nothing comes for 0.9 s, then all of it at once: of 90 frames the oldest 40 are too old.
        let sim =
            Sim::new(1_000, |n| Some(if (200..290).contains(&n) { 30 + (290 - n) * 10 } else { 30 })).run();
        let skipped = sim.playout.stats().skipped;
        assert!((30..=50).contains(&skipped), "{:?}", sim.playout.stats());
        assert!(!sim.played().contains(&210) && sim.played().contains(&280));
    }
}
