//! The promises of the rate controller, each on a plan that breaks without the rule behind it.
//!
//! `RATE_TRACE=1 cargo test --test rate -- --nocapture NAME` prints a line each 100 ms: time, target, delivered, queue.
#![expect(clippy::indexing_slicing, reason = "tests")]

mod world;

use std::time::Duration;

use ahoy_base::Bitrate;
use world::{Path, Source, World};

const SECOND: fn(u64) -> Duration = Duration::from_secs;
const PICTURES: Source = Source::Pictures(Bitrate::kbps(6_000));

/// What was seen each 100 ms.
#[derive(Default)]
struct Seen {
    /// Milliseconds since the part began, target, delivered (kbit/s each), queue (ms).
    rows: Vec<(u64, f64, f64, f64)>,
    before: u64,
}

impl Seen {
    fn look(&mut self, world: &World, n: usize) {
        let call = &world.calls[n];
        let delivered = (call.delivered - self.before) as f64 * 8.0 / 100.0;
        self.before = call.delivered;
        let at = (self.rows.len() as u64 + 1) * 100;
        let row = (
            at,
            call.rate.target().as_bps() as f64 / 1e3,
            delivered,
            world.link.queue_delay().as_secs_f64() * 1e3,
        );
        if std::env::var_os("RATE_TRACE").is_some() {
            println!("{:6} {:7.0} {:7.0} {:5.0} {:?}", row.0, row.1, row.2, row.3, call.rate.figures());
        }
        self.rows.push(row);
    }

    /// Runs a part of a plan and looks at its first call.
    fn run(&mut self, world: &mut World, time: Duration) -> &mut Seen {
        self.rows.clear();
        self.before = world.calls[0].delivered;
        world.run(time, |world| self.look(world, 0));
        self
    }

    fn mean(&self, from_ms: u64, of: impl Fn(&(u64, f64, f64, f64)) -> f64) -> f64 {
        let rows: Vec<f64> = self.rows.iter().filter(|r| r.0 > from_ms).map(of).collect();
        rows.iter().sum::<f64>() / rows.len() as f64
    }

    fn delivered(&self, from_ms: u64) -> f64 {
        self.mean(from_ms, |r| r.2)
    }

    fn worst_queue(&self, from_ms: u64) -> f64 {
        self.rows.iter().filter(|r| r.0 > from_ms).map(|r| r.3).fold(0.0, f64::max)
    }
}

#[test]
fn a_fresh_call_finds_what_the_link_carries_within_three_seconds() {
    for seed in 0..10 {
        let mut world = World::new(seed, Path::good(3_000.0, 25)).with_call(PICTURES);
        let mut seen = Seen::default();
        seen.run(&mut world, SECOND(3));
        let found = seen.run(&mut world, SECOND(10)).delivered(0);
        assert!(found > 2_100.0, "seed {seed}: {found:.0} kbit/s");
        let queue = seen.mean(0, |r| r.3);
        assert!(queue < 40.0, "seed {seed}: {queue:.0} ms");
    }
}

#[test]
fn a_link_that_narrows_is_drained_within_a_second_and_found_again_within_five() {
    for seed in 0..10 {
        let mut world =
            World::new(seed, Path { queue: SECOND(3), ..Path::good(3_000.0, 25) }).with_call(PICTURES);
        let mut seen = Seen::default();
        seen.run(&mut world, SECOND(20));
        world.link.path.rate = 300_000.0;
        seen.run(&mut world, SECOND(15));
        assert!(seen.worst_queue(1_000) < 150.0, "seed {seed}: {:.0} ms", seen.worst_queue(1_000));
        assert!(seen.delivered(5_000) > 200.0, "seed {seed}: {:.0} kbit/s", seen.delivered(5_000));
        world.link.path.rate = 3_000_000.0;
        seen.run(&mut world, SECOND(10));
        let back = seen.rows.iter().find(|r| r.2 >= 2_700.0).map(|r| r.0);
        assert!(back.is_some_and(|ms| ms <= 5_000), "seed {seed}: back after {back:?} ms");
    }
}

#[test]
fn random_loss_is_weather_and_costs_less_than_a_tenth() {
    for seed in 0..10 {
        for loss in [0.02, 0.1, 0.2] {
            let run = |loss| {
                let mut world =
                    World::new(seed, Path { loss, ..Path::good(3_000.0, 25) }).with_call(PICTURES);
                let mut seen = Seen::default();
                seen.run(&mut world, SECOND(10));
                let before = world.calls[0].sent;
                seen.run(&mut world, SECOND(60));
                (world.calls[0].sent - before) as f64 * 8.0 / 60_000.0
            };
            let (with, without) = (run(loss), run(0.0));
            assert!(with > without * 0.9, "seed {seed}, {loss}: {with:.0} of {without:.0} kbit/s");
        }
    }
}

#[test]
fn loss_that_is_congestion_is_answered_even_without_a_queue() {
    for seed in 0..10 {
        // A policer: no queue to speak of, everything above 1 Mbit/s is dropped.
        let path = Path { queue: Duration::from_millis(30), ..Path::good(1_000.0, 25) };
        let mut world = World::new(seed, path).with_call(PICTURES);
        let mut seen = Seen::default();
        seen.run(&mut world, SECOND(20));
        let (sent, delivered) = (world.calls[0].sent, world.calls[0].delivered);
        seen.run(&mut world, SECOND(60));
        let share = 1.0 - (world.calls[0].delivered - delivered) as f64 / (world.calls[0].sent - sent) as f64;
        assert!(share < 0.1, "seed {seed}: {share:.2} lost");
        assert!(seen.delivered(0) > 600.0, "seed {seed}: {:.0} kbit/s", seen.delivered(0));
    }
}

#[test]
fn two_calls_share_a_link() {
    for seed in 0..5 {
        let mut world = World::new(seed, Path::good(3_000.0, 25)).with_call(PICTURES);
        world.run(SECOND(20), |_| {});
        world = world.with_call(PICTURES);
        world.run(SECOND(60), |_| {});
        let before: Vec<u64> = world.calls.iter().map(|c| c.delivered).collect();
        let mut seen = Seen::default();
        seen.run(&mut world, SECOND(60));
        let got: Vec<f64> =
            world.calls.iter().zip(before).map(|(c, b)| (c.delivered - b) as f64 * 8.0 / 60_000.0).collect();
        let (a, b) = (got[0], got[1]);
        assert!((a - b).abs() / (a + b) < 0.2, "seed {seed}: {a:.0} and {b:.0} kbit/s");
        assert!(a + b > 2_100.0, "seed {seed}: {a:.0} and {b:.0} kbit/s");
        assert!(seen.mean(0, |r| r.3) < 60.0, "seed {seed}: {:.0} ms", seen.mean(0, |r| r.3));
    }
}

#[test]
fn a_call_and_a_tcp_flow_both_live() {
    for seed in 0..5 {
        let path = Path { queue: Duration::from_millis(100), ..Path::good(3_000.0, 25) };
        let mut world = World::new(seed, path).with_call(PICTURES);
        world.run(SECOND(10), |_| {});
        world = world.with_tcp();
        world.run(SECOND(30), |_| {});
        let (call, tcp) = (world.calls[0].delivered, world.tcps[0].delivered);
        let mut seen = Seen::default();
        seen.run(&mut world, SECOND(60));
        let rate = |now: u64, before: u64| (now - before) as f64 * 8.0 / 60_000.0;
        let (call, tcp) = (rate(world.calls[0].delivered, call), rate(world.tcps[0].delivered, tcp));
        assert!(call > 350.0 && tcp > 600.0, "seed {seed}: call {call:.0}, TCP {tcp:.0} kbit/s");
    }
}

#[test]
fn a_voice_is_left_alone_by_jitter_and_loss() {
    for seed in 0..10 {
        let shaky = Path {
            jitter: Duration::from_millis(40),
            loss: 0.2,
            burst: 3.0,
            reorder: true,
            twice: 0.02,
            ..Path::good(3_000.0, 50)
        };
        let mut world = World::new(seed, shaky).with_call(Source::Voice);
        let mut least = u64::MAX;
        let mut seen = Seen::default();
        world.run(SECOND(300), |world| {
            least = least.min(world.calls[0].rate.target().as_bps());
            seen.look(world, 0);
        });
        assert!(least > 250_000, "seed {seed}: {least}");
    }
}

#[test]
fn a_path_that_becomes_longer_is_no_queue() {
    for seed in 0..10 {
        let mut world = World::new(seed, Path::good(3_000.0, 13)).with_call(PICTURES);
        let mut seen = Seen::default();
        seen.run(&mut world, SECOND(20));
        world.link.path.delay = Duration::from_millis(81);
        seen.run(&mut world, SECOND(12));
        let back = seen.delivered(7_000);
        assert!(back > 2_000.0, "seed {seed}: {back:.0} kbit/s");
    }
}
