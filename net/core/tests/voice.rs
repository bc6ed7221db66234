//! What a listener may count on, over whole calls in made-up time: delay, concealment, clocks that differ.
//!
//! `cargo test -p ahoy-net-core --test voice -- --nocapture` prints a line a plan; `PLAN='…'` before it shows that plan second by
//! second (`BACK=1`: the other direction).
#![expect(clippy::indexing_slicing, reason = "tests")]

mod world;

use world::voice::Heard;
use world::{Plan, VoiceCall};

fn run(line: &str) -> Heard {
    let plan = Plan::parse(line);
    let [heard, _] = VoiceCall::run(&plan);
    let (best, paid) = heard.against_reference(5, plan.secs);
    println!(
        "{line}: {:.0} ms, {:.2} % made up, paid {paid:.0} against {best:.0}, {:?}",
        heard.delay(5),
        heard.concealed(),
        heard.playout
    );
    heard
}

#[test]
fn the_weather_of_the_bench_is_heard_in_time_and_nearly_whole() {
    if let Ok(line) = std::env::var("PLAN") {
        second_by_second(&line);
    }
    // Line, and at most: milliseconds from mouth to ear (without the codec's 6.5), percent made up.
    for (line, delay, concealed) in [
        ("delay=0", 22.0, 0.1),
        ("delay=25", 48.0, 0.1),
        ("delay=30 jitter=40", 91.0, 0.1),
        ("delay=25 loss=0.01", 48.0, 0.1),
        ("delay=25 loss=0.05", 52.0, 0.2),
        ("delay=25 loss=0.1", 59.0, 0.4),
        ("delay=25 loss=0.2", 60.0, 0.8),
        ("delay=25 loss=0.3", 68.0, 1.8),
        ("delay=25 loss=0.05 burst=5", 74.0, 2.0),
        ("delay=25 rate=1000 queue=200", 48.0, 0.1),
        ("delay=25 rate=500 queue=200", 48.0, 0.1),
        ("delay=25 rate=200 queue=200", 110.0, 0.6),
    ] {
        for seed in 0..5 {
            let heard = run(&format!("{line} secs=60 seed={seed}"));
            assert!(heard.delay(5) < delay, "{line}: {:.1} ms", heard.delay(5));
            assert!(heard.concealed() < concealed, "{line}: {:.2} %", heard.concealed());
        }
    }
}

#[test]
fn a_clock_that_runs_apart_for_an_hour_is_followed_without_a_glitch() {
    for drift in [-200, 200] {
        let heard = run(&format!("delay=25 secs=3600 drift={drift}"));
        assert!(heard.worst_delay(10) < 60.0, "{:.1} ms", heard.worst_delay(10));
        assert!(heard.delay(10) < 50.0, "{:.1} ms", heard.delay(10));
        assert_eq!((heard.playout.concealed_late, heard.playout.lost), (0, 0), "{:?}", heard.playout);
        let apart = 3_600.0 * 0.2 / 5.0;
        let steps = heard.stretched_in_speech as f64;
        assert!(steps < apart * 3.0, "{steps} cuts and repetitions");
    }
}

/// Prints one plan second by second.
fn second_by_second(line: &str) {
    let plan = Plan::parse(line);
    let mut call = VoiceCall::new(&plan);
    for second in 1..=plan.secs {
        call.run_to(second);
        let who = usize::from(std::env::var_os("BACK").is_some());
        let stats = call.stats(who);
        let link = &stats.links[0];
        println!(
            "{second:3} s, {:?} {:?} {:?} {:?} queue {:?} kbit/s {}",
            stats.plan,
            call.playout(1 - who),
            link.rate,
            link.loss,
            call.queue(who),
            call.take_sent(who) / 125
        );
    }
}
