//! Plans by chance against a reference model: whatever a link does, sound is never far dearer than the best constant waiting
//! that knows the future, and nothing breaks. What a long search found is kept in `corpus.txt` and runs each time.
//!
//! `cargo xtask search [PLANS]` searches with fresh seeds and prints the plans that fail; a line of them goes into the corpus.
#![expect(clippy::indexing_slicing, reason = "tests")]

mod world;

use std::time::Duration;

use world::voice::Heard;
use world::{Path, Plan, Source, VoiceCall, World};

/// Seconds after a change of the link in which nothing is asked for.
const SETTLE: u64 = 6;
/// What the engine may pay above the reference: a tick and the phase of the sound card, what a change of weather leaves behind, and
/// a share of what the reference pays.
const ABOVE_MS: f64 = 60.0;
const ABOVE_SHARE: f64 = 0.6;

/// Why a plan failed, if it did.
fn trouble(plan: &Plan) -> Option<String> {
    let heard = VoiceCall::run(plan);
    let starts: Vec<u64> = plan.phases.iter().map(|phase| phase.at).chain([plan.secs]).collect();
    for (direction, heard) in heard.iter().enumerate() {
        let bad = check_whole(plan, heard)
            .or_else(|| starts.windows(2).find_map(|w| check_phase(plan, heard, w[0], w[1])));
        if let Some(bad) = bad {
            return Some(format!("direction {direction}: {bad}"));
        }
    }
    None
}

fn check_whole(plan: &Plan, heard: &Heard) -> Option<String> {
    let s = heard.playout;
    // Every frame that was sent was played, lost, or let go of; a few are still under way.
    let told = s.played + s.lost + s.skipped + s.quiet + s.concealed_late;
    let lived = plan.secs * 100;
    if told + 400 < lived.saturating_sub(300) {
        return Some(format!("of {lived} ticks only {told} are accounted for: {s:?}"));
    }
    let worst = heard.worst_delay(0);
    // Half a second in the jitter buffer, and what stood in the link's own queue and was overtaken by nothing.
    let most = plan
        .phases
        .iter()
        .map(|p| (p.path.queue + p.path.delay + p.path.jitter).as_secs_f64() * 1e3)
        .fold(0.0, f64::max);
    (worst > most + 900.0).then(|| format!("{worst:.0} ms from mouth to ear"))
}

fn check_phase(plan: &Plan, heard: &Heard, from: u64, to: u64) -> Option<String> {
    let phase = plan.phase(from);
    // A voice that hardly fits with its repair is no matter of waiting; nor is one beside somebody who fills the queue.
    let room = phase.path.rate - phase.cross;
    if to < from + SETTLE + 3 || room < 260_000.0 || plan.tcp > 0 {
        return None;
    }
    let (best, paid) = heard.against_reference(from + SETTLE, to);
    let most = best * (1.0 + ABOVE_SHARE) + ABOVE_MS;
    (paid > most).then(|| format!("second {from} to {to}: paid {paid:.0} where {best:.0} was possible"))
}

#[test]
fn what_was_found_once_stays_mended() {
    for line in include_str!("corpus.txt").lines().filter(|line| !line.trim_start().starts_with('#')) {
        let plan = Plan::parse(line);
        assert_eq!(Plan::parse(&plan.to_string()), plan, "a plan is its text");
        assert_eq!(trouble(&plan), None, "{line}");
    }
}

/// Forty, or as many as `cargo xtask search` asks for, from its seed on.
#[test]
fn plans_by_chance_are_never_far_from_the_best() {
    let number =
        |name: &str, or: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or);
    let (first, plans) = (number("SEARCH_FROM", 0), number("SEARCH_PLANS", 40));
    let bad: Vec<String> = (first..first + plans)
        .map(Plan::by_chance)
        .filter_map(|plan| trouble(&plan).map(|bad| format!("{plan}\n    {bad}\n")))
        .collect();
    assert!(bad.is_empty(), "of {plans} from seed {first}:\n{}", bad.concat());
}

/// The rate controller on the same plans, with pictures that take what they can: the queue it makes itself stays short.
#[test]
fn pictures_on_plans_by_chance_leave_no_standing_queue() {
    for seed in 0..20 {
        let plan = Plan::by_chance(seed);
        let phase = plan.phase(0);
        // Beside others a queue is not ours.
        let path = Path { loss: 0.0, burst: 1.0, jitter: Duration::ZERO, reorder: false, ..phase.path };
        if path.rate < 300_000.0 {
            continue;
        }
        let mut world = World::new(seed, path).with_call(Source::Pictures(ahoy_base::Bitrate::kbps(6_000)));
        world.run(Duration::from_secs(10), |_| {});
        let (mut sum, mut n) = (0.0, 0.0);
        world.run(Duration::from_secs(20), |world| {
            sum += world.link.queue_delay().as_secs_f64() * 1e3;
            n += 1.0;
        });
        assert!(sum / n < 60.0, "{plan}: {:.0} ms of queue", sum / n);
    }
}
