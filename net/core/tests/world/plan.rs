//! A plan: what a link does during a call, as one line of text, so that what was found once can be kept and run again.
//!
//! ```text
//! seed=7 secs=40 rate=3000 queue=300 delay=25 jitter=20 loss=0.05 burst=3 drift=200 | at=10 rate=300 | at=20 rate=3000
//! ```
//! After a bar: from that second on, with what is named changed. `rate` and `cross` in kbit/s, `queue`, `delay`, `jitter` in ms,
//! `loss` and `twice` as shares, `burst` the mean row of losses, `reorder=1`, `tcp` greedy flows beside, `drift` in parts of a million.

use std::fmt::{Display, Formatter};
use std::time::Duration;

use super::{Dice, Path};

/// What a link does from some second on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Phase {
    pub(crate) at: u64,
    pub(crate) path: Path,
    /// Bits a second of somebody who heeds nobody.
    pub(crate) cross: f64,
}

/// See the module's first lines.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) secs: u64,
    /// How much faster the listener's clock runs than the speaker's, parts of a million.
    pub(crate) drift: i64,
    /// Greedy flows on the same link.
    pub(crate) tcp: u64,
    /// The first begins at second 0.
    pub(crate) phases: Vec<Phase>,
}

impl Plan {
    /// Reads a line.
    pub(crate) fn parse(line: &str) -> Plan {
        let mut plan = Plan {
            seed: 0,
            secs: 30,
            drift: 0,
            tcp: 0,
            phases: vec![Phase { at: 0, path: Path::good(100_000.0, 25), cross: 0.0 }],
        };
        for (n, part) in line.split('|').enumerate() {
            if n > 0 {
                plan.phases.push(plan.phases[n - 1].clone());
            }
            for word in part.split_whitespace() {
                let (name, value) = word.split_once('=').expect(word);
                let number: f64 = value.parse().expect(word);
                plan.set(name, number);
            }
        }
        plan
    }

    fn set(&mut self, name: &str, number: f64) {
        let ms = || Duration::from_secs_f64(number / 1e3);
        let phase = self.phases.last_mut().unwrap();
        match name {
            "seed" => self.seed = number as u64,
            "secs" => self.secs = number as u64,
            "drift" => self.drift = number as i64,
            "tcp" => self.tcp = number as u64,
            "at" => phase.at = number as u64,
            "rate" => phase.path.rate = number * 1e3,
            "cross" => phase.cross = number * 1e3,
            "queue" => phase.path.queue = ms(),
            "delay" => phase.path.delay = ms(),
            "jitter" => phase.path.jitter = ms(),
            "loss" => phase.path.loss = number,
            "burst" => phase.path.burst = number,
            "twice" => phase.path.twice = number,
            "reorder" => phase.path.reorder = number > 0.0,
            other => panic!("a plan knows no {other}"),
        }
    }

    /// A plan by chance: any weather that a call meets, and some that none does.
    pub(crate) fn by_chance(seed: u64) -> Plan {
        let mut dice = Dice::new(seed);
        // The first rolls of neighbouring seeds are alike.
        (0..8).for_each(|_| {
            dice.roll();
        });
        let mut phases = Vec::new();
        let secs = 20 + (dice.roll() * 40.0) as u64;
        let mut path = Path::good(10_000.0, 25);
        let mut at = 0;
        while at < secs {
            let which = (dice.roll() * 4.0) as u64;
            if at == 0 || which == 0 {
                path.rate = 80_000.0 * 400f64.powf(dice.roll());
                path.queue = Duration::from_millis((30.0 * 50f64.powf(dice.roll())) as u64);
            }
            if at == 0 || which == 1 {
                path.delay = Duration::from_millis((dice.roll() * 150.0) as u64);
            }
            if at == 0 || which == 2 {
                path.jitter = Duration::from_millis((dice.roll().powi(3) * 80.0) as u64);
                path.reorder = dice.roll() < 0.3;
                path.twice = if dice.roll() < 0.2 { 0.05 } else { 0.0 };
            }
            if at == 0 || which == 3 {
                path.loss = (dice.roll().powi(3) * 0.4 * 1e3).round() / 1e3;
                path.burst = if dice.roll() < 0.4 { (10.0 + dice.roll() * 50.0).round() / 10.0 } else { 1.0 };
            }
            let cross = if dice.roll() < 0.2 { (path.rate * dice.roll() * 0.8).round() } else { 0.0 };
            path.rate = path.rate.round();
            phases.push(Phase { at, path, cross });
            at += 5 + (dice.roll() * 15.0) as u64;
        }
        let drift = ((dice.roll() - 0.5) * 400.0).round() as i64;
        Plan { seed, secs, drift, tcp: u64::from(dice.roll() < 0.15), phases }
    }

    /// What the link does in second `second`.
    pub(crate) fn phase(&self, second: u64) -> &Phase {
        self.phases.iter().rev().find(|phase| phase.at <= second).unwrap_or(&self.phases[0])
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed={} secs={} drift={} tcp={}", self.seed, self.secs, self.drift, self.tcp)?;
        for (n, phase) in self.phases.iter().enumerate() {
            let path = &phase.path;
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            if n > 0 {
                write!(f, " | at={}", phase.at)?;
            }
            write!(f, " rate={} cross={}", path.rate / 1e3, phase.cross / 1e3)?;
            write!(f, " queue={} delay={} jitter={}", ms(path.queue), ms(path.delay), ms(path.jitter))?;
            write!(f, " loss={} burst={} twice={}", path.loss, path.burst, path.twice)?;
            write!(f, " reorder={}", u8::from(path.reorder))?;
        }
        Ok(())
    }
}
