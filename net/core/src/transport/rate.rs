//! How many bits a second a link may be sent: as much as it carries without a queue.
//!
//! Source: Google Congestion Control (draft-ietf-rmcat-gcc-02; libwebrtc m150, `trendline_estimator.cc`,
//! `aimd_rate_control.cc`) for the delay gradient and the steps up and down. What differs, and why
//! (docs/decisions/0024):
//! - loss without a queue is weather, not congestion: the rate stays, and a short step down tests it;
//! - what is under way is bounded by the rate, so that a sudden narrow place drains at once instead of after seconds;
//! - after a step down the way up is found by short bursts of useful datagrams, not by 8 % a second.

use std::collections::VecDeque;
use std::time::Duration;

use ahoy_base::{Bitrate, Moment};

use super::Fate;

/// Never less: a voice at its narrowest.
const LEAST: f64 = 24_000.0;
/// Never more: what two 1080p pictures and a voice use.
const MOST: f64 = 20_000_000.0;
/// Datagrams sent within this are one group.
const GROUP: Duration = Duration::from_millis(5);
/// Groups over which the delay's slope is taken.
const TREND: usize = 20;
/// How much of the old smoothed delay stays.
const SMOOTH: f64 = 0.9;
/// Slope to the scale of the threshold.
const GAIN: f64 = 4.0;
/// First threshold, milliseconds, and its bounds.
const THRESHOLD: f64 = 12.5;
const THRESHOLDS: std::ops::RangeInclusive<f64> = 6.0..=600.0;
/// How fast the threshold follows: up, so that a greedy TCP beside us does not starve us, and down.
const THRESHOLD_UP: f64 = 0.008_7;
const THRESHOLD_DOWN: f64 = 0.039;
/// Above the threshold for so long is too much.
const TOO_LONG: Duration = Duration::from_millis(10);
/// A step down leaves this much of what came through.
const DOWN: f64 = 0.85;
/// A step down on a congestion mark, at most once a round trip.
const DOWN_ON_MARK: f64 = 0.8;
/// Growth a second far from the known capacity.
const UP: f64 = 1.08;
/// Time over which throughput is measured; the shorter one for a jam.
const MEASURED: Duration = Duration::from_millis(500);
const MEASURED_IN_JAM: Duration = Duration::from_millis(150);
/// A link is busy when it brings datagrams for so long without a pause.
const BUSY: Duration = Duration::from_millis(80);
/// A queue that grows by this much within [`JAM_WITHIN`] is a jam: the path narrowed.
const JAM: Duration = Duration::from_millis(40);
const JAM_WITHIN: Duration = Duration::from_millis(250);
/// Time over which a standing queue is the least delay.
const STANDING: Duration = Duration::from_millis(100);
/// A standing queue below this, and what the delay strays by itself, is none.
const SOME_QUEUE: Duration = Duration::from_millis(4);
/// The same when much less is sent than may be.
const SOME_QUEUE_OF_LITTLE: Duration = Duration::from_millis(25);
/// Datagrams over which the delay's own straying is learned.
const NOISE_MEMORY: f64 = 256.0;
/// More is no straying but a queue that comes and goes.
const MOST_NOISE: Duration = Duration::from_millis(12);
/// A queue that stands above this, most of the last seconds and through so many steps down, is filled by somebody else.
const CROWDED_QUEUE: Duration = Duration::from_millis(25);
const CROWDED_MEMORY: f64 = 5.0;
const CROWDED: f64 = 0.7;
const NOT_CROWDED: f64 = 0.3;
const STEPS_IN_VAIN: u32 = 4;
/// Losses within this and a round trip after one of the first such steps are those of the queue that it drains.
const DRAINS: Duration = Duration::from_millis(300);
const STEPS_THAT_DRAIN: u32 = 2;
/// Beside somebody who fills the queue: what loss leaves, and growth in bytes a round trip.
const DOWN_BESIDE: f64 = 0.7;
const UP_BESIDE: f64 = 1_200.0;
/// A delay that did not move by this much, microseconds, through so many stretches of time is no queue of ours if less was sent
/// since a step down not longer ago than that.
const LEVEL_US: i64 = 2_000;
const LEVELS: usize = 4;
const LEVEL_TIME: Duration = Duration::from_millis(400);
const LEVEL_AFTER: Duration = Duration::from_secs(4);
/// The least one-way delay is looked for this far back.
const BASE_WINDOW: Duration = Duration::from_secs(10);
/// A queue below this is none.
const NO_QUEUE: Duration = Duration::from_millis(15);
/// How long a datagram may wait, on the path and for its report, before nothing more is sent after it.
const MAY_WAIT: Duration = Duration::from_millis(30);
/// Bytes that may always be under way: a few datagrams.
const LEAST_WINDOW: f64 = 3_000.0;
/// Loss that is looked into.
const SUSPECT_LOSS: f64 = 0.05;
/// How long a step down tests whether loss is congestion, how deep it goes, and how long the answer holds. If as much comes
/// through as before, the rest was too much; if less comes through, the link loses by itself.
const TEST: Duration = Duration::from_millis(1_000);
const TEST_STEP: f64 = 0.7;
const TEST_SAME: f64 = 0.88;
const TEST_AGAIN: Duration = Duration::from_secs(15);
/// And at most, when each test gave the same answer.
const TEST_SELDOM: Duration = Duration::from_secs(120);
/// What a voice may use on a link that never showed a queue: the most that its repair takes.
const VOICE: f64 = 600_000.0;
/// How long a link is taken to be narrow that showed a queue, and how long at most.
const NARROW_FIRST: Duration = Duration::from_secs(10);
const NARROW_LONGEST: Duration = Duration::from_secs(160);
/// Without a report for this long while something is under way, the rate is halved each time: twice what a report of signs
/// of life takes.
const NO_REPORT: Duration = Duration::from_secs(2);
/// Between probes: soon after a step down, seldom otherwise.
const PROBE_SOON: Duration = Duration::from_millis(500);
const PROBE_SELDOM: Duration = Duration::from_secs(5);
/// How long after a step down the way up is looked for soon.
const RECOVERY: Duration = Duration::from_secs(15);
/// A probe is this much more than the rate, and lasts so long.
const PROBE_SOON_BY: f64 = 2.0;
const PROBE_SELDOM_BY: f64 = 1.5;
const PROBE_TIME: f64 = 0.020;
/// Datagrams of a probe that failed from which the rate that it did get through is believed.
const PROBE_TELLS: u64 = 5;
/// Least bytes of a probe: three full datagrams show a rate.
const PROBE_LEAST: f64 = 3_600.0;

/// How the delay moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Usage {
    /// It does not.
    #[default]
    Normal,
    /// It grows: more is sent than fits.
    Over,
    /// It shrinks: a queue drains.
    Under,
}

/// For graphs and `ahoy stats`.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct RateFigures {
    /// What may be sent.
    pub target: Bitrate,
    /// What came through lately.
    pub throughput: Bitrate,
    /// Delay above the least of the last ten seconds.
    pub queue: Duration,
    /// How the delay moves.
    pub usage: Usage,
    /// Steps down so far.
    pub decreases: u64,
}

/// See the module's first lines.
#[derive(Debug)]
pub struct RateController {
    target: f64,
    trend: Trend,
    queue: Queue,
    came: Came,
    capacity: Capacity,
    rtt: Duration,
    /// When the target was last looked at.
    updated: Moment,
    decreased: Option<Moment>,
    decreases: u64,
    reported: Moment,
    probe: Option<Probe>,
    probed: Moment,
    doubt: Doubt,
    /// Share of the last seconds with a standing queue, and steps down meanwhile.
    crowded: f64,
    steps_in_vain: u32,
    /// Somebody else fills the queue.
    beside: bool,
    /// A step down was taken for a queue, a mark, or loss of our own: the link is taken to be narrow for a while.
    narrow: Option<Narrow>,
    /// Tests in a row that found the link's own loss.
    weather_again: u32,
    /// Probes in a row that did not come through.
    probes_in_vain: u32,
    /// Something was lost since the last look.
    lost_lately: bool,
    /// Share lost, over the last two hundred datagrams or so.
    loss: f64,
}

#[derive(Clone, Copy, Debug)]
struct Narrow {
    until: Moment,
    hold: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    from: u64,
    to: u64,
    rate: f64,
    first: Option<Moment>,
    last: Option<Moment>,
    bytes: usize,
    known: u64,
}

/// What is thought of loss without a queue.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Doubt {
    None,
    /// The rate was lowered; if loss falls with it, it was ours.
    Testing {
        since: Moment,
        /// The rate before, and what came through of it.
        rate: f64,
        through: f64,
        /// What came through of what was sent since.
        first: Option<Moment>,
        last: Moment,
        bytes: usize,
    },
    /// It is the link's own.
    Weather {
        until: Moment,
        loss: f64,
    },
}

impl RateController {
    /// Begins at `start`.
    pub fn new(now: Moment, start: Bitrate) -> RateController {
        RateController {
            target: (start.as_bps() as f64).clamp(LEAST, MOST),
            trend: Trend::default(),
            queue: Queue::default(),
            came: Came::default(),
            capacity: Capacity::default(),
            rtt: Duration::from_millis(100),
            updated: now,
            decreased: None,
            decreases: 0,
            reported: now,
            probe: None,
            probed: now,
            doubt: Doubt::None,
            crowded: 0.0,
            steps_in_vain: 0,
            beside: false,
            narrow: None,
            weather_again: 0,
            probes_in_vain: 0,
            lost_lately: false,
            loss: 0.0,
        }
    }

    /// What may be sent, all bytes counted.
    pub fn target(&self) -> Bitrate {
        Bitrate::bps(self.target as u64)
    }

    /// What a voice may use of it. A voice alone never tries what a link carries, so the target stays where it began; its
    /// repair is not to want for it.
    pub fn for_voice(&self) -> Bitrate {
        let narrow = self.narrow.is_some_and(|narrow| self.updated < narrow.until);
        if narrow || matches!(self.doubt, Doubt::Testing { .. }) {
            return self.target();
        }
        Bitrate::bps(self.target.max(VOICE) as u64)
    }

    /// Whether what is lost now ran over a queue that a step down drains. That says nothing of what the link loses by itself,
    /// and to repair it would fill the queue again. A queue that many steps did not drain is somebody else's.
    pub fn overflowed(&self, now: Moment) -> bool {
        let drains = self.decreased.is_some_and(|at| now.since(at) < self.rtt + DRAINS);
        drains && !self.beside && self.steps_in_vain <= STEPS_THAT_DRAIN && self.queue.now > NO_QUEUE
    }

    /// For graphs and `ahoy stats`.
    pub fn figures(&self) -> RateFigures {
        RateFigures {
            target: self.target(),
            throughput: Bitrate::bps(self.came.rate(MEASURED).unwrap_or(0.0) as u64),
            queue: self.queue.now,
            usage: self.trend.usage,
            decreases: self.decreases,
        }
    }

    /// Whether what can wait may be sent while `in_flight` bytes are under way. Voice does not ask.
    pub fn may_send(&self, in_flight: usize) -> bool {
        let empty = self.rtt.min(Duration::from_secs(1)).saturating_sub(self.queue.now);
        let window = self.target / 8.0 * (empty + MAY_WAIT + self.queue.noise() * 2).as_secs_f64();
        (in_flight as f64) < window.max(LEAST_WINDOW)
    }

    /// Bytes and rate of a probe that is due, when `wanted` is more than may be sent. Tell [`RateController::probing`].
    pub fn probe_due(&self, now: Moment, wanted: Bitrate) -> Option<(usize, Bitrate)> {
        let recovering = self.decreased.is_some_and(|at| now.since(at) < RECOVERY);
        let begun = self.decreased.is_none() && self.capacity.mean.is_none();
        let (every, by) = if recovering || begun {
            (PROBE_SOON.max(self.rtt * 2) * (1 << self.probes_in_vain.min(2)), PROBE_SOON_BY)
        } else {
            (PROBE_SELDOM, PROBE_SELDOM_BY)
        };
        let calm = self.trend.usage == Usage::Normal
            && self.queue.now < NO_QUEUE
            && self.probe.is_none()
            && !self.beside
            && !matches!(self.doubt, Doubt::Testing { .. });
        let fresh = self.decreased.is_none_or(|at| now.since(at) > PROBE_SOON + self.rtt);
        if !calm || !fresh || now.since(self.probed) < every || wanted.as_bps() as f64 <= self.target {
            return None;
        }
        let rate = (self.target * by).min(wanted.as_bps() as f64 * 1.1).min(MOST);
        let bytes = (rate / 8.0 * PROBE_TIME).max(PROBE_LEAST);
        Some((bytes as usize, Bitrate::bps(rate as u64)))
    }

    /// Datagrams `from` to `to` were sent at `rate` as a probe.
    pub fn probing(&mut self, now: Moment, from: u64, to: u64, rate: Bitrate) {
        self.probed = now;
        if to > from.saturating_add(1) {
            let rate = rate.as_bps() as f64;
            self.probe = Some(Probe { from, to, rate, first: None, last: None, bytes: 0, known: 0 });
        }
    }

    /// Takes in the fates that a report told, in order of sending, and the round trip.
    pub fn learn(&mut self, now: Moment, fates: &[Fate], rtt: Option<Duration>) {
        self.reported = now;
        if let Some(rtt) = rtt {
            self.rtt = rtt.min(Duration::from_secs(5));
        }
        for fate in fates {
            let lost = if fate.arrived.is_none() { 1.0 } else { 0.0 };
            self.loss += (lost - self.loss) / 200.0;
            self.lost_lately |= fate.arrived.is_none();
            if let Doubt::Testing { since, first, last, bytes, .. } = &mut self.doubt
                && let Some(arrived) = fate.arrived.filter(|_| fate.sent > *since)
            {
                match first {
                    // The first one's bytes came before the clock started.
                    None => *first = Some(arrived),
                    Some(_) => *bytes = bytes.saturating_add(fate.bytes),
                }
                *last = arrived;
            }
            if let Some(arrived) = fate.arrived {
                self.came.take(arrived, fate.bytes);
                self.queue.take(now, fate.sent, arrived);
                self.trend.take(fate.sent, arrived);
            }
            self.take_probe(fate);
        }
        self.update(now);
    }

    /// The path marked datagrams instead of dropping them (RFC 3168).
    pub fn marked(&mut self, now: Moment) {
        if self.decreased.is_none_or(|at| now.since(at) > self.rtt) {
            self.narrowed(now);
            self.step_down(now, self.target * DOWN_ON_MARK);
        }
    }

    /// Looks at the clock: silence from the other side is the worst report. `in_flight`: bytes without a fate.
    pub fn on_time(&mut self, now: Moment, in_flight: usize) {
        if in_flight > 0 && now.since(self.reported) > NO_REPORT + self.rtt.min(NO_REPORT) {
            self.reported = now;
            self.step_down(now, self.target / 2.0);
        }
    }

    fn update(&mut self, now: Moment) {
        let passed = now.since(self.updated).min(Duration::from_secs(1));
        self.updated = now;
        let (standing, noise) = (self.queue.standing(), self.queue.noise());
        let stands = if standing > CROWDED_QUEUE + noise { 1.0 } else { 0.0 };
        self.crowded += (stands - self.crowded) * (1.0 - (-passed.as_secs_f64() / CROWDED_MEMORY).exp());
        if self.crowded < NOT_CROWDED {
            self.steps_in_vain = 0;
            self.beside = false;
        } else if self.crowded > CROWDED && self.steps_in_vain >= STEPS_IN_VAIN {
            self.beside = true;
        }
        if standing > NO_QUEUE
            && self.decreased.is_some_and(|at| now.since(at) < LEVEL_AFTER)
            && self.queue.is_level()
        {
            // Less was sent and it did not move: the path is longer now, or the queue is somebody else's and always full.
            self.queue.begin_anew();
            return;
        }
        if self.beside {
            return self.share(now, passed);
        }
        let through = self.came.rate(MEASURED);
        // Who sends little needs more to be believed in: it can't have filled much.
        let limited = through.is_some_and(|through| through < self.target * 0.7);
        let some = if limited { SOME_QUEUE_OF_LITTLE + noise * 3 } else { SOME_QUEUE + noise * 3 / 2 };
        let jam = self.queue.grew() > JAM + noise * 2;
        let over = self.trend.usage == Usage::Over && standing > some;
        let patience = if jam {
            self.rtt.min(Duration::from_millis(200))
        } else {
            self.rtt + Duration::from_millis(100)
        };
        let again = self.decreased.is_none_or(|at| now.since(at) > patience);
        if (over || jam) && again {
            let lately = if jam { MEASURED_IN_JAM } else { MEASURED };
            // Who sends less than they may leaves the link idle between bursts: what it carries shows while it is busy.
            let idle = through.is_some_and(|through| through < self.target * 0.5);
            let busiest = if idle { self.came.busiest(lately) } else { 0.0 };
            let measured = self.came.rate(lately).map(|mean| mean.max(busiest));
            // What came through is what fits, beside what the link loses by itself.
            if let Some(through) = measured.map(|through| through / (1.0 - self.own_loss())) {
                self.capacity.take(through);
                if through * DOWN < self.target {
                    self.narrowed(now);
                    self.step_down(now, through * DOWN);
                    self.steps_in_vain += 1;
                }
            }
        } else if !over && !jam && self.trend.usage != Usage::Under && standing <= CROWDED_QUEUE + noise {
            self.grow(now, passed);
        }
        self.look_into_loss(now);
    }

    /// Beside a flow that fills the queue until it loses, delay says nothing: loss alone does, as for that flow
    /// (RFC 5681). Ends when the queue is mostly empty again.
    fn share(&mut self, now: Moment, passed: Duration) {
        self.doubt = Doubt::None;
        let again = self.decreased.is_none_or(|at| now.since(at) > self.rtt.max(Duration::from_millis(50)));
        if std::mem::take(&mut self.lost_lately) && again {
            self.step_down(now, self.target * DOWN_BESIDE);
        } else {
            let rtt = self.rtt.as_secs_f64().max(0.01);
            self.target = (self.target + UP_BESIDE * 8.0 / rtt * passed.as_secs_f64() / rtt).min(MOST);
        }
    }

    fn grow(&mut self, now: Moment, passed: Duration) {
        if matches!(self.doubt, Doubt::Testing { .. }) {
            return;
        }
        // A queue left by the last step down drains first.
        if self.decreased.is_some_and(|at| now.since(at) < self.rtt) {
            return;
        }
        let seconds = passed.as_secs_f64();
        let through = self.came.rate(MEASURED).unwrap_or(0.0);
        if self.capacity.mean.is_some_and(|mean| through > mean * 1.25) {
            self.capacity = Capacity::default();
        }
        let grown = if self.capacity.is_near(self.target) {
            // Two datagrams of 1200 bytes a second more for each time that an answer takes.
            let response = (self.rtt + Duration::from_millis(100)).as_secs_f64();
            self.target + 2_400.0 * 8.0 / response * seconds
        } else {
            self.target * UP.powf(seconds)
        };
        // More than was tried is not known to fit.
        let proven = through / (1.0 - self.own_loss()) * 1.5 + 10_000.0;
        if grown <= proven {
            self.target = grown.min(MOST);
        }
    }

    /// Share that the link loses by itself, as far as known.
    fn own_loss(&self) -> f64 {
        if matches!(self.doubt, Doubt::Weather { .. }) { self.loss.min(0.5) } else { 0.0 }
    }

    /// Loss without a queue: ours or the link's? A step down for a moment tells, if all that may be sent is sent.
    fn look_into_loss(&mut self, now: Moment) {
        match self.doubt {
            Doubt::None if self.loss > SUSPECT_LOSS && self.queue.standing() < NO_QUEUE => {
                let Some(through) = self.came.rate(MEASURED) else { return };
                if through < self.target * (1.0 - self.loss) * 0.8 {
                    return;
                }
                // A voice may send more than the target.
                let (rate, first) = (self.target.max(through / (1.0 - self.loss.min(0.5))), None);
                self.doubt = Doubt::Testing { since: now, rate, through, first, last: now, bytes: 0 };
                self.target = (rate * TEST_STEP).max(LEAST);
            }
            Doubt::Testing { rate, through, first: Some(first), last, bytes, .. }
                if last.since(first) > TEST =>
            {
                let now_through = bytes as f64 * 8.0 / last.since(first).as_secs_f64();
                if now_through > through * TEST_SAME {
                    self.capacity.take(now_through);
                    self.narrowed(now);
                    self.weather_again = 0;
                    self.step_down(now, now_through);
                } else {
                    self.target = self.target.max(rate).min(MOST);
                    let holds = (TEST_AGAIN * (1 << self.weather_again.min(3))).min(TEST_SELDOM);
                    self.weather_again += 1;
                    self.doubt = Doubt::Weather { until: now + holds, loss: self.loss };
                }
            }
            // More is lost than then: perhaps it is ours now.
            Doubt::Weather { until, loss } if now >= until || self.loss > loss * 1.3 + 0.03 => {
                self.doubt = Doubt::None;
            }
            Doubt::None | Doubt::Testing { .. } | Doubt::Weather { .. } => {}
        }
    }

    /// Takes the link to be narrow: longer each time it shows again, so that a hiccup costs a voice little and a narrow link
    /// is not tried again and again.
    fn narrowed(&mut self, now: Moment) {
        let hold = match self.narrow {
            Some(narrow) if now < narrow.until => narrow.hold,
            Some(narrow) if now.since(narrow.until) < NARROW_LONGEST => (narrow.hold * 2).min(NARROW_LONGEST),
            _ => NARROW_FIRST,
        };
        self.narrow = Some(Narrow { until: now + hold, hold });
    }

    fn step_down(&mut self, now: Moment, to: f64) {
        self.target = to.clamp(LEAST, MOST);
        self.decreased = Some(now);
        self.decreases += 1;
        self.doubt = Doubt::None;
        self.queue.forget_growth();
    }

    fn take_probe(&mut self, fate: &Fate) {
        let Some(probe) = &mut self.probe else { return };
        if fate.number < probe.from {
            return;
        }
        if fate.number < probe.to {
            probe.known += 1;
            if let Some(arrived) = fate.arrived {
                // The first one's bytes came before the clock started.
                if probe.first.is_some() {
                    probe.bytes = probe.bytes.saturating_add(fate.bytes);
                }
                probe.first = probe.first.or(Some(arrived));
                probe.last = Some(arrived);
            }
        }
        if probe.known < probe.to - probe.from && fate.number < probe.to {
            return;
        }
        let probe = *probe;
        self.probe = None;
        let (Some(first), Some(last)) = (probe.first, probe.last) else { return };
        let time = last.since(first).max(Duration::from_micros(250)).as_secs_f64();
        let through = (probe.bytes as f64 * 8.0 / time).min(probe.rate);
        if probe.bytes > 0 && through > probe.rate * 0.8 {
            self.target = self.target.max(through * 0.95).min(MOST);
            self.probes_in_vain = 0;
        } else {
            // The path is narrower than that, but may be wider than what was known.
            if probe.known >= PROBE_TELLS && through * DOWN > self.target {
                self.target = (through * DOWN).min(MOST);
            }
            self.probes_in_vain = self.probes_in_vain.saturating_add(1);
        }
    }
}

/// The slope of the delay, by groups of datagrams.
#[derive(Debug)]
struct Trend {
    group: Option<Group>,
    before: Option<Group>,
    /// Milliseconds of delay gathered since the start, and smoothed.
    gathered: f64,
    smoothed: f64,
    /// Arrival, milliseconds since the first, and smoothed delay.
    points: VecDeque<(f64, f64)>,
    first: Option<Moment>,
    seen: u32,
    threshold: f64,
    over_since: Option<Moment>,
    last: f64,
    adapted: Option<Moment>,
    usage: Usage,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent: Moment,
    sent: Moment,
    arrived: Moment,
}

impl Default for Trend {
    fn default() -> Trend {
        Trend {
            group: None,
            before: None,
            gathered: 0.0,
            smoothed: 0.0,
            points: VecDeque::with_capacity(TREND),
            first: None,
            seen: 0,
            threshold: THRESHOLD,
            over_since: None,
            last: 0.0,
            adapted: None,
            usage: Usage::Normal,
        }
    }
}

impl Trend {
    fn take(&mut self, sent: Moment, arrived: Moment) {
        match &mut self.group {
            Some(group) if sent.since(group.first_sent) <= GROUP => {
                group.sent = group.sent.max(sent);
                group.arrived = group.arrived.max(arrived);
            }
            _ => {
                let group = Group { first_sent: sent, sent, arrived };
                if let Some(done) = self.group.replace(group) {
                    self.take_group(done);
                }
            }
        }
    }

    fn take_group(&mut self, group: Group) {
        let Some(before) = self.before.replace(group) else { return };
        let delta = ms(group.arrived, before.arrived) - ms(group.sent, before.sent);
        // A pause of seconds or a clock that jumped is no gradient.
        if delta.abs() > 3_000.0 {
            self.points.clear();
            return;
        }
        self.seen = (self.seen + 1).min(60);
        self.gathered += delta;
        self.smoothed = SMOOTH * self.smoothed + (1.0 - SMOOTH) * self.gathered;
        let first = *self.first.get_or_insert(group.arrived);
        if self.points.len() >= TREND {
            self.points.pop_front();
        }
        self.points.push_back((ms(group.arrived, first), self.smoothed));
        let slope = slope(&self.points).unwrap_or(0.0);
        self.judge(group.arrived, slope * f64::from(self.seen) * GAIN);
    }

    fn judge(&mut self, now: Moment, trend: f64) {
        self.usage = if trend > self.threshold {
            let since = *self.over_since.get_or_insert(now);
            if now.since(since) >= TOO_LONG && trend >= self.last { Usage::Over } else { self.usage }
        } else {
            self.over_since = None;
            if trend < -self.threshold { Usage::Under } else { Usage::Normal }
        };
        self.last = trend;
        let passed = self.adapted.map_or(0.0, |at| ms(now, at)).clamp(0.0, 100.0);
        self.adapted = Some(now);
        // A leap is not what the threshold is for.
        if trend.abs() <= self.threshold + 15.0 {
            let speed = if trend.abs() < self.threshold { THRESHOLD_DOWN } else { THRESHOLD_UP };
            self.threshold += speed * (trend.abs() - self.threshold) * passed;
            self.threshold = self.threshold.clamp(*THRESHOLDS.start(), *THRESHOLDS.end());
        }
    }
}

/// Slope of a line through points, least squares.
fn slope(points: &VecDeque<(f64, f64)>) -> Option<f64> {
    if points.len() < TREND / 2 {
        return None;
    }
    let n = points.len() as f64;
    let (sx, sy) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0, y + p.1));
    let (mx, my) = (sx / n, sy / n);
    let (over, under) =
        points.iter().fold((0.0, 0.0), |(o, u), (x, y)| (o + (x - mx) * (y - my), u + (x - mx) * (x - mx)));
    (under > 0.0).then(|| over / under)
}

/// Milliseconds from `b` to `a`, negative if `a` is earlier.
fn ms(a: Moment, b: Moment) -> f64 {
    (a.as_micros() as f64 - b.as_micros() as f64) / 1_000.0
}

/// One-way delay above its least: what stands in queues.
#[derive(Debug, Default)]
struct Queue {
    /// Least offsets (arrival minus sending, microseconds) of the window, ascending.
    least: VecDeque<(Moment, i64)>,
    now: Duration,
    /// The queue of the last [`JAM_WITHIN`], by sending time.
    recent: VecDeque<(Moment, Duration)>,
    /// The least offset of each of the last stretches of [`LEVEL_TIME`], the newest last, and when that began.
    levels: VecDeque<i64>,
    level_since: Moment,
    /// Of `now`, microseconds.
    mean: f64,
    deviation: f64,
}

impl Queue {
    fn take(&mut self, now: Moment, sent: Moment, arrived: Moment) {
        let offset = arrived.as_micros().cast_signed().wrapping_sub(sent.as_micros().cast_signed());
        while self.least.front().is_some_and(|(at, _)| now.since(*at) > BASE_WINDOW) {
            self.least.pop_front();
        }
        while self.least.back().is_some_and(|(_, other)| *other >= offset) {
            self.least.pop_back();
        }
        self.least.push_back((now, offset));
        if now.since(self.level_since) >= LEVEL_TIME || self.levels.is_empty() {
            self.level_since = now;
            self.levels.push_back(offset);
            if self.levels.len() > LEVELS {
                self.levels.pop_front();
            }
        } else if let Some(level) = self.levels.back_mut() {
            *level = offset.min(*level);
        }
        let base = self.least.front().map_or(offset, |(_, least)| *least);
        self.now = Duration::from_micros(offset.wrapping_sub(base).max(0).unsigned_abs());
        let us = self.now.as_micros() as f64;
        self.mean += (us - self.mean) / NOISE_MEMORY;
        self.deviation += ((us - self.mean).abs() - self.deviation) / NOISE_MEMORY;
        self.recent.push_back((sent, self.now));
        while self.recent.front().is_some_and(|(at, _)| sent.since(*at) > JAM_WITHIN) {
            self.recent.pop_front();
        }
    }

    /// What stood in the queue all the time lately: the least of the last [`STANDING`], of five datagrams at least.
    fn standing(&self) -> Duration {
        let Some((newest, _)) = self.recent.back() else { return Duration::ZERO };
        let lately = self.recent.iter().rev().enumerate();
        let lately = lately.take_while(|(n, (sent, _))| *n < 5 || newest.since(*sent) < STANDING);
        lately.map(|(_, (_, queue))| *queue).min().unwrap_or_default()
    }

    /// Whether the least delay stayed where it is for a while: a queue that somebody fills moves.
    fn is_level(&self) -> bool {
        let (least, most) = (self.levels.iter().min(), self.levels.iter().max());
        let Some((least, most)) = least.zip(most).filter(|_| self.levels.len() >= LEVELS) else {
            return false;
        };
        most - least < LEVEL_US
    }

    /// Takes the delay of the last moments for that of an empty path.
    fn begin_anew(&mut self) {
        let level = self.levels.iter().min().copied();
        let newest = self.least.back().map(|(at, _)| *at);
        self.least.clear();
        self.least.extend(newest.zip(level));
        self.levels.clear();
        self.recent.clear();
        (self.now, self.mean, self.deviation) = (Duration::ZERO, 0.0, 0.0);
    }

    /// How far the delay strays by itself.
    fn noise(&self) -> Duration {
        Duration::from_micros(self.deviation as u64).min(MOST_NOISE)
    }

    /// By how much the least of the newest three is above the least of what was before: one late datagram is no jam.
    fn grew(&self) -> Duration {
        let split = self.recent.len().saturating_sub(3);
        let newest = self.recent.iter().skip(split).map(|(_, q)| *q).min().unwrap_or_default();
        let before = self.recent.iter().take(split).map(|(_, q)| *q).min();
        before.map_or(Duration::ZERO, |before| newest.saturating_sub(before))
    }

    fn forget_growth(&mut self) {
        self.recent.clear();
    }
}

/// What came through, by the receiver's clock.
#[derive(Debug, Default)]
struct Came {
    recent: VecDeque<(Moment, usize)>,
}

impl Came {
    fn take(&mut self, arrived: Moment, bytes: usize) {
        self.recent.push_back((arrived, bytes));
        while self.recent.front().is_some_and(|(at, _)| arrived.since(*at) > MEASURED) {
            self.recent.pop_front();
        }
    }

    /// Bits a second of the busiest [`BUSY`] of the last `window`, zero if nothing was ever busy.
    fn busiest(&self, window: Duration) -> f64 {
        let Some(newest) = self.recent.iter().map(|(at, _)| *at).max() else { return 0.0 };
        let mut within: Vec<(Moment, usize)> =
            self.recent.iter().copied().filter(|(at, _)| newest.since(*at) < window).collect();
        within.sort_unstable_by_key(|(at, _)| *at);
        let (mut most, mut first, mut bytes) = (0usize, 0, 0usize);
        for (at, size) in &within {
            bytes = bytes.saturating_add(*size);
            while let Some((oldest, gone)) = within.get(first)
                && at.since(*oldest) >= BUSY
            {
                bytes = bytes.saturating_sub(*gone);
                first += 1;
            }
            most = most.max(bytes);
        }
        // Of n datagrams in a row the link carried n - 1 between the first and the last.
        let count = within.len().max(1);
        let mean = within.iter().fold(0usize, |sum, (_, size)| sum.saturating_add(*size)) / count;
        most.saturating_sub(mean) as f64 * 8.0 / BUSY.as_secs_f64()
    }

    /// Bits a second over the last `window`; `None` with less than a third of it known.
    fn rate(&self, window: Duration) -> Option<f64> {
        let newest = self.recent.iter().map(|(at, _)| *at).max()?;
        let within = || self.recent.iter().filter(|(at, _)| newest.since(*at) < window);
        let oldest = within().map(|(at, _)| *at).min()?;
        let time = newest.since(oldest);
        // The oldest one's bytes came before the clock started.
        let bytes: usize = within()
            .filter(|(at, _)| *at > oldest)
            .fold(0, |sum: usize, (_, bytes)| sum.saturating_add(*bytes));
        (time >= window / 3).then(|| bytes as f64 * 8.0 / time.as_secs_f64())
    }
}

/// What the link carried when it was full.
#[derive(Clone, Copy, Debug, Default)]
struct Capacity {
    mean: Option<f64>,
    /// Relative variance.
    spread: f64,
}

impl Capacity {
    fn take(&mut self, rate: f64) {
        match &mut self.mean {
            Some(mean) => {
                let off = (rate - *mean) / *mean;
                // Far off: the link is another one.
                if off.abs() > 0.5 {
                    *self = Capacity { mean: Some(rate), spread: 0.1 };
                    return;
                }
                self.spread = 0.95 * self.spread + 0.05 * off.abs();
                *mean += 0.05 * (rate - *mean);
            }
            None => *self = Capacity { mean: Some(rate), spread: 0.1 },
        }
    }

    fn is_near(&self, rate: f64) -> bool {
        self.mean.is_some_and(|mean| rate > mean * (1.0 - 3.0 * self.spread.clamp(0.03, 0.12)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_that_fits_is_never_slowed() {
        let now = Moment::from_millis(1_000);
        let mut rate = RateController::new(now, Bitrate::kbps(300));
        for n in 0..2_000u64 {
            let sent = now + Duration::from_millis(10 * n);
            let jitter = Duration::from_micros(n * 7_919 % 4_000);
            let fate = Fate {
                number: n,
                sent,
                bytes: 150,
                arrived: Some(sent + Duration::from_millis(30) + jitter),
            };
            rate.learn(sent + Duration::from_millis(60), &[fate], Some(Duration::from_millis(60)));
        }
        assert!(rate.target() >= Bitrate::kbps(300), "{:?}", rate.figures());
    }

    #[test]
    fn silence_is_the_worst_report() {
        let mut rate = RateController::new(Moment::ZERO, Bitrate::kbps(1_000));
        for ms in 0..20_000 {
            rate.on_time(Moment::from_millis(ms), 1_000);
        }
        assert!(rate.target() < Bitrate::kbps(100));
        let mut idle = RateController::new(Moment::ZERO, Bitrate::kbps(1_000));
        (0..10_000).for_each(|ms| idle.on_time(Moment::from_millis(ms), 0));
        assert_eq!(idle.target(), Bitrate::kbps(1_000));
    }

    #[test]
    fn any_fates_are_taken() {
        let mut rate = RateController::new(Moment::ZERO, Bitrate::kbps(1));
        let edges = [0, 1, u64::MAX / 2, u64::MAX];
        for sent in edges {
            for arrived in edges {
                for number in edges {
                    let (sent, arrived) = (Moment::from_micros(sent), Some(Moment::from_micros(arrived)));
                    rate.probing(sent, number, number.saturating_add(3), Bitrate::kbps(500));
                    let fate = Fate { number, sent, bytes: usize::MAX / 2_000, arrived };
                    rate.learn(sent, &[fate, Fate { arrived: None, ..fate }], Some(Duration::MAX));
                    rate.on_time(Moment::NEVER, 1);
                    rate.marked(sent);
                    assert!(rate.target().as_bps() >= 24_000);
                }
            }
        }
    }
}
