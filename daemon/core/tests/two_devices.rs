//! Two devices and the wire between them, simulated: calls that are answered, cross, break, crash and come back; and
//! thousands of random ones that all must end. No clock, no socket; each case is its seed.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use ahoy_base::{CallId, Moment, PeerId, VideoTrack};
use ahoy_call::{
    AutoAnswer, Call, CallEvent, Calls, CallsConfig, Command, CommandError, EndReason, Input, Output,
    Restored, SessionCommand, Standing, StoredCall, StoredMessage,
};
use ahoy_net_core::session::SessionEvent;
use ahoy_net_core::wire::signal::{Envelope, MediaKind, Signal};

const WALL: u64 = 1_790_000_000_000;

/// What one device keeps on disk.
#[derive(Default, Clone)]
struct Disk {
    calls: BTreeMap<CallId, StoredCall>,
    outbox: Vec<StoredMessage>,
}

struct Side {
    calls: Option<Calls>,
    disk: Disk,
    wake: Moment,
    sessions: BTreeMap<CallId, bool>,
    events: Vec<(u64, CallEvent)>,
    media: BTreeMap<CallId, bool>,
    pictures: BTreeSet<(CallId, VideoTrack)>,
    records: BTreeSet<CallId>,
    /// Calls of which it has heard that they are recorded.
    told: BTreeSet<CallId>,
    replies: BTreeMap<[u8; 16], Result<CallId, CommandError>>,
    starts: u8,
}

/// Something on its way.
enum Flight {
    Envelope(usize, Envelope),
    Secured(CallId),
}

struct World {
    now_ms: u64,
    sides: [Side; 2],
    flights: Vec<(u64, u64, Flight)>,
    n_flights: u64,
    connected: bool,
    random: u64,
    /// Share of copies, in percent, that come twice.
    doubles: u64,
    /// Neither side knows of recordings.
    old: bool,
}

fn peer(side: usize) -> PeerId {
    PeerId::from_public_key([side as u8 + 1; 32])
}

impl World {
    fn new(seed: u64) -> World {
        let side = || Side {
            calls: None,
            disk: Disk::default(),
            wake: Moment::ZERO,
            sessions: BTreeMap::new(),
            events: Vec::new(),
            media: BTreeMap::new(),
            pictures: BTreeSet::new(),
            records: BTreeSet::new(),
            told: BTreeSet::new(),
            replies: BTreeMap::new(),
            starts: 0,
        };
        let mut world = World {
            now_ms: 1_000,
            sides: [side(), side()],
            flights: Vec::new(),
            n_flights: 0,
            connected: false,
            random: seed | 1,
            doubles: 0,
            old: false,
        };
        for side in 0..2 {
            world.boot(side);
        }
        world.connect(true);
        world
    }

    fn dice(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn boot(&mut self, side: usize) {
        self.sides[side].starts += 1;
        let config = CallsConfig {
            me: peer(side),
            seed: [side as u8 * 100 + self.sides[side].starts; 32],
            auto_answer: AutoAnswer::Off,
            strangers_may_ring: false,
        };
        let disk = &self.sides[side].disk;
        let restored = Restored {
            calls: disk.calls.values().cloned().collect(),
            outbox: disk.outbox.clone(),
            seen: Vec::new(),
        };
        let calls = Calls::new(Moment::from_millis(self.now_ms), WALL + self.now_ms, config, restored);
        self.sides[side].calls = Some(calls);
        self.drain(side);
    }

    fn crash(&mut self, side: usize) {
        self.sides[side].calls = None;
        self.sides[side].sessions.clear();
        self.sides[side].media.clear();
        self.sides[side].pictures.clear();
        self.sides[side].records.clear();
        self.connect(false);
    }

    fn connect(&mut self, on: bool) {
        if self.connected == on || (on && self.sides.iter().any(|side| side.calls.is_none())) {
            return;
        }
        self.connected = on;
        if !on {
            self.flights.clear();
        }
        for side in 0..2 {
            let other = peer(1 - side);
            self.input(side, if on { Input::PeerUp(other) } else { Input::PeerDown(other) });
        }
    }

    fn input(&mut self, side: usize, input: Input) {
        let (now, wall) = (Moment::from_millis(self.now_ms), WALL + self.now_ms);
        if let Some(calls) = &mut self.sides[side].calls {
            calls.handle(now, wall, input);
            self.drain(side);
        }
    }

    fn command(&mut self, side: usize, command: Command) {
        self.ask(side, command);
    }

    /// The same, with the id of the request.
    fn ask(&mut self, side: usize, command: Command) -> [u8; 16] {
        let id = std::array::from_fn(|_| self.dice(256) as u8);
        self.input(side, Input::Command { id, command });
        id
    }

    fn fly(&mut self, after_ms: u64, flight: Flight) {
        self.n_flights += 1;
        self.flights.push((self.now_ms + after_ms, self.n_flights, flight));
    }

    fn drain(&mut self, side: usize) {
        loop {
            let Some(calls) = &mut self.sides[side].calls else { return };
            match calls.poll() {
                Output::Commit(step) => {
                    let disk = &mut self.sides[side].disk;
                    disk.calls.extend(step.calls.into_iter().map(|call| (call.id, call)));
                    disk.outbox.retain(|message| !step.outbox_remove.contains(&message.id));
                    disk.outbox.extend(step.outbox_add);
                }
                Output::Send { envelope, .. } => {
                    if self.connected {
                        let double = self.doubles > 0 && self.dice(100) < self.doubles;
                        self.fly(20, Flight::Envelope(1 - side, envelope.clone()));
                        if double {
                            self.fly(35, Flight::Envelope(1 - side, envelope));
                        }
                    }
                }
                Output::Session { call, command: SessionCommand::Start(_), .. } => {
                    self.sides[side].sessions.insert(call, false);
                    if self.sides[1 - side].sessions.contains_key(&call) {
                        self.fly(60, Flight::Secured(call));
                    }
                }
                Output::Session { call, command: SessionCommand::Stop, .. } => {
                    self.sides[side].sessions.remove(&call);
                }
                Output::Media { call, on, .. } => {
                    assert!(
                        on || self.sides[side].pictures.iter().all(|(c, _)| *c != call),
                        "pictures first"
                    );
                    self.sides[side].media.insert(call, on);
                }
                Output::Picture { call, track, on, .. } => {
                    let side = &mut self.sides[side];
                    assert!(side.media.get(&call).copied().unwrap_or(false), "no picture without sound");
                    let changed = if on {
                        side.pictures.insert((call, track))
                    } else {
                        side.pictures.remove(&(call, track))
                    };
                    assert!(changed, "said twice");
                }
                Output::Event { call, event } => {
                    if event == (CallEvent::Recording { own: false, on: true }) {
                        self.sides[side].told.insert(call);
                    }
                    let now = self.now_ms;
                    self.sides[side].events.push((now, event));
                }
                Output::Record { call, on, .. } => {
                    assert!(!on || self.sides[1 - side].told.contains(&call), "recorded without notice");
                    let records = &mut self.sides[side].records;
                    assert!(if on { records.insert(call) } else { records.remove(&call) }, "said twice");
                }
                Output::Reply { id, result } => {
                    self.sides[side].replies.insert(id, result);
                }
                Output::Connect { .. } | Output::Ring(_) => {}
                Output::Wake { at, .. } => {
                    self.sides[side].wake = at;
                    return;
                }
            }
        }
    }

    fn run(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        loop {
            let flight = self.flights.iter().map(|f| f.0).min().unwrap_or(u64::MAX);
            let wake = self
                .sides
                .iter()
                .filter(|s| s.calls.is_some())
                .map(|s| s.wake.as_micros().div_ceil(1_000))
                .min();
            let next = flight.min(wake.unwrap_or(u64::MAX)).max(self.now_ms);
            if next > end {
                self.now_ms = end;
                return;
            }
            self.now_ms = next;
            for side in 0..2 {
                if self.sides[side].wake <= Moment::from_millis(self.now_ms) {
                    self.input(side, Input::Wake);
                }
            }
            let now = self.now_ms;
            let mut due: Vec<_> = self.flights.extract_if(.., |f| f.0 <= now).collect();
            due.sort_by_key(|f| (f.0, f.1));
            for (_, _, flight) in due {
                match flight {
                    Flight::Envelope(to, envelope) => {
                        if self.old && matches!(envelope.body, Signal::Recording { .. }) {
                            continue;
                        }
                        let input = Input::Signal { from: peer(1 - to), known: Standing::Contact, envelope };
                        self.input(to, input);
                    }
                    Flight::Secured(call) => {
                        if self.sides.iter().all(|side| side.sessions.contains_key(&call)) {
                            for side in 0..2 {
                                self.input(side, Input::Session { call, event: SessionEvent::Secured });
                                self.input(side, Input::Session { call, event: SessionEvent::Ready });
                            }
                        }
                    }
                }
            }
        }
    }

    fn call(&self, side: usize, id: CallId) -> &Call {
        self.sides[side].calls.as_ref().unwrap().call(id).unwrap()
    }

    fn phase(&self, side: usize, id: CallId) -> &'static str {
        self.call(side, id).phase().code()
    }

    fn end(&self, side: usize, id: CallId) -> Option<&EndReason> {
        self.call(side, id).end()
    }

    fn dial(&mut self, side: usize, n: u8) -> CallId {
        let call = CallId::from_bytes([n; 16]);
        self.command(side, Command::Dial { call, peer: peer(1 - side), media: MediaKind::Voice });
        call
    }

    /// A call in which the two talk.
    fn talking(seed: u64) -> (World, CallId) {
        let mut world = World::new(seed);
        let call = world.dial(0, 7);
        world.run(1_000);
        world.command(1, Command::Answer { call, media: MediaKind::Voice });
        world.run(1_000);
        assert_eq!((world.phase(0, call), world.phase(1, call)), ("active", "active"));
        (world, call)
    }
}

#[test]
fn a_call_rings_is_answered_carries_sound_and_is_hung_up() {
    let mut world = World::new(1);
    let call = world.dial(0, 7);
    world.run(500);
    assert_eq!((world.phase(0, call), world.phase(1, call)), ("ringing_out", "ringing_in"));
    assert!(!world.sides[1].media.get(&call).copied().unwrap_or(false), "nobody is heard before the answer");
    world.command(1, Command::Answer { call, media: MediaKind::Voice });
    world.run(200);
    assert_eq!((world.phase(0, call), world.phase(1, call)), ("active", "active"));
    assert!(world.sides.iter().all(|side| side.media[&call]));
    world.command(0, Command::Hold { call, on: true });
    world.run(100);
    assert!(world.sides.iter().all(|side| !side.media[&call]));
    world.command(0, Command::HangUp { call });
    world.run(100);
    assert_eq!(world.end(0, call), Some(&EndReason::HangupLocal));
    assert_eq!(world.end(1, call), Some(&EndReason::HangupRemote));
    assert!(world.sides.iter().all(|side| side.sessions.is_empty()));
}

#[test]
fn a_picture_is_captured_only_while_the_call_runs_and_its_person_wants_it() {
    let (mut world, call) = talking_with_video(3);
    let camera = (call, VideoTrack::Camera);
    assert!(
        world.sides.iter().all(|side| side.pictures.contains(&camera)),
        "offered and answered with video"
    );
    world.command(1, Command::Picture { call, track: VideoTrack::Screen, on: true });
    world.command(1, Command::Picture { call, track: VideoTrack::Camera, on: false });
    world.run(100);
    assert_eq!(world.sides[1].pictures, BTreeSet::from([(call, VideoTrack::Screen)]));
    let theirs = |world: &World| world.sides[0].calls.as_ref().unwrap().call(call).unwrap().theirs().clone();
    world.input(
        0,
        Input::Session { call, event: SessionEvent::Track { track: VideoTrack::Screen, on: true } },
    );
    assert_eq!(theirs(&world), BTreeSet::from([VideoTrack::Screen]));
    world.command(0, Command::Hold { call, on: true });
    world.run(100);
    assert!(world.sides.iter().all(|side| side.pictures.is_empty()), "nothing is captured on hold");
    world.command(0, Command::Hold { call, on: false });
    world.run(100);
    assert_eq!(world.sides[1].pictures, BTreeSet::from([(call, VideoTrack::Screen)]));
    world.command(0, Command::HangUp { call });
    world.run(100);
    assert!(world.sides.iter().all(|side| side.pictures.is_empty()));
    assert!(theirs(&world).is_empty());
}

#[test]
fn who_answers_by_voice_shows_nothing() {
    let mut world = World::new(4);
    let call = CallId::from_bytes([9; 16]);
    world.command(0, Command::Dial { call, peer: peer(1), media: MediaKind::Video });
    world.run(500);
    world.command(1, Command::Answer { call, media: MediaKind::Voice });
    world.run(500);
    assert_eq!(world.sides[0].pictures, BTreeSet::from([(call, VideoTrack::Camera)]));
    assert!(world.sides[1].pictures.is_empty());
}

/// A call with both cameras on.
fn talking_with_video(seed: u64) -> (World, CallId) {
    let mut world = World::new(seed);
    let call = CallId::from_bytes([9; 16]);
    world.command(0, Command::Dial { call, peer: peer(1), media: MediaKind::Video });
    world.run(1_000);
    assert!(world.sides.iter().all(|side| side.pictures.is_empty()), "nothing is captured while it rings");
    world.command(1, Command::Answer { call, media: MediaKind::Video });
    world.run(1_000);
    (world, call)
}

#[test]
fn a_call_is_recorded_once_the_other_side_shows_it_and_until_it_ends() {
    let (mut world, call) = World::talking(5);
    let asked = world.ask(0, Command::Record { call, on: true });
    assert!(world.sides[0].records.is_empty() && !world.sides[0].replies.contains_key(&asked));
    world.run(100);
    assert!(world.sides[0].records.contains(&call) && world.call(1, call).is_recorded_by_peer());
    assert_eq!(world.sides[0].replies[&asked], Ok(call));
    world.command(0, Command::Record { call, on: false });
    assert!(world.sides[0].records.is_empty(), "it stops at once");
    world.run(100);
    assert!(!world.call(1, call).is_recorded_by_peer());
    // Both at once, and the end of the call ends both.
    for side in 0..2 {
        world.command(side, Command::Record { call, on: true });
    }
    world.run(100);
    assert!((0..2).all(|side| world.sides[side].records.contains(&call)));
    world.command(1, Command::HangUp { call });
    world.run(100);
    assert!((0..2).all(|side| world.sides[side].records.is_empty()
        && !world.call(side, call).is_recorded_by_peer()));
    let late = world.ask(0, Command::Record { call, on: true });
    assert_eq!(world.sides[0].replies[&late], Err(CommandError::Ended));
}

#[test]
fn without_word_from_the_other_side_nothing_is_recorded_and_nothing_else_is_held_up() {
    let (mut world, call) = World::talking(6);
    world.old = true;
    let asked = world.ask(0, Command::Record { call, on: true });
    let again = world.ask(0, Command::Record { call, on: true });
    world.run(11_000);
    for id in [asked, again] {
        assert_eq!(world.sides[0].replies[&id], Err(CommandError::NotConfirmed));
    }
    assert!(world.sides[0].records.is_empty());
    world.command(0, Command::Hold { call, on: true });
    world.run(100);
    assert!(world.call(1, call).hold().remote, "later messages of the call arrive");
    // Nor is anything before the answer.
    let mut world = World::new(8);
    let call = world.dial(0, 7);
    let early = world.ask(0, Command::Record { call, on: true });
    assert_eq!(world.sides[0].replies[&early], Err(CommandError::NotPossible));
}

#[test]
fn who_restarts_hears_again_of_the_recording_and_a_recorder_that_restarts_has_stopped() {
    let (mut world, call) = World::talking(7);
    for side in 0..2 {
        world.command(side, Command::Record { call, on: true });
    }
    world.run(100);
    world.crash(1);
    world.run(500);
    world.boot(1);
    world.connect(true);
    world.run(100);
    assert!(!world.call(1, call).is_recorded_by_peer());
    world.command(1, Command::Rejoin { call });
    world.run(2_000);
    assert!(world.call(1, call).is_recorded_by_peer() && world.sides[0].records.contains(&call));
    assert!(!world.call(0, call).is_recorded_by_peer() && world.sides[1].records.is_empty());
}

#[test]
fn two_offers_that_cross_become_one_call() {
    for (first, second) in [(7, 9), (9, 7)] {
        let mut world = World::new(2);
        let (a, b) = (world.dial(0, first), world.dial(1, second));
        world.run(2_000);
        let talking: Vec<CallId> = [a, b]
            .into_iter()
            .filter(|id| {
                (0..2).all(|side| {
                    world.sides[side].calls.as_ref().unwrap().call(*id).is_some_and(|c| c.end().is_none())
                })
            })
            .collect();
        assert_eq!(talking.len(), 1, "one stays");
        assert_eq!(
            (world.phase(0, talking[0]), world.phase(1, talking[0])),
            ("active", "active"),
            "and both meant it"
        );
    }
}

#[test]
fn nobody_answers_and_nobody_is_there_are_told_apart() {
    let mut world = World::new(3);
    let call = world.dial(0, 7);
    world.run(44_000);
    assert_eq!(world.phase(0, call), "ringing_out");
    world.run(2_000);
    assert_eq!(
        (world.end(0, call), world.end(1, call)),
        (Some(&EndReason::Timeout), Some(&EndReason::Timeout))
    );
    let mut world = World::new(3);
    world.connect(false);
    let call = world.dial(0, 8);
    world.input(0, Input::DialFailed { peer: peer(1), why: "unreachable".to_owned() });
    world.run(60_000);
    assert_eq!(world.end(0, call), Some(&EndReason::Offline));
}

#[test]
fn a_seat_is_held_for_three_minutes_and_not_longer() {
    let (mut world, call) = World::talking(4);
    world.connect(false);
    let gone = world.now_ms;
    for side in 0..2 {
        world.input(side, Input::Session { call, event: SessionEvent::Lost });
    }
    world.run(179_000);
    assert_eq!(world.phase(0, call), "reconnecting");
    world.run(2_000);
    assert_eq!((world.end(0, call), world.end(1, call)), (Some(&EndReason::Lost), Some(&EndReason::Lost)));
    let ended = world.sides[0].events.last().unwrap().0 - gone;
    assert!((179_900..=180_100).contains(&ended), "{ended} ms");
}

#[test]
fn a_path_that_comes_back_in_time_resumes_the_call() {
    let (mut world, call) = World::talking(5);
    for side in 0..2 {
        world.input(side, Input::Session { call, event: SessionEvent::Lost });
    }
    world.run(5_000);
    for side in 0..2 {
        world.input(side, Input::Session { call, event: SessionEvent::Ready });
    }
    world.run(5_000);
    assert_eq!((world.phase(0, call), world.phase(1, call)), ("active", "active"));
}

#[test]
fn a_killed_device_finds_its_call_and_rejoins() {
    let (mut world, call) = World::talking(6);
    world.crash(1);
    world.input(0, Input::Session { call, event: SessionEvent::Lost });
    world.run(5_000);
    world.boot(1);
    assert_eq!(world.phase(1, call), "interrupted");
    world.connect(true);
    world.run(500);
    world.command(1, Command::Rejoin { call });
    world.run(3_000);
    assert_eq!((world.phase(0, call), world.phase(1, call)), ("active", "active"));
}

#[test]
fn a_device_killed_for_longer_wakes_up_to_an_ended_call() {
    let (mut world, call) = World::talking(7);
    world.crash(1);
    world.input(0, Input::Session { call, event: SessionEvent::Lost });
    world.run(190_000);
    world.boot(1);
    world.run(1_000);
    assert_eq!(world.end(0, call), Some(&EndReason::Lost));
    assert!(world.end(1, call).is_some(), "{}", world.phase(1, call));
}

/// Everything in any order: both sides end, nothing is left running, and nothing panics.
#[test]
fn two_thousand_random_calls_all_end_on_both_sides() {
    for seed in 1..=2_000u64 {
        let mut world = World::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        world.doubles = 30;
        let mut ids = vec![world.dial(0, 1)];
        for step in 0..25u8 {
            let (side, at) = (world.dice(2) as usize, world.dice(ids.len() as u64) as usize);
            let call = ids[at];
            match world.dice(15) {
                0 => ids.push(world.dial(side, step + 10)),
                1 => world.command(side, Command::Answer { call, media: MediaKind::Voice }),
                2 => world.command(side, Command::Answer { call, media: MediaKind::Video }),
                3 => world.command(side, Command::Decline { call, message: Some("later".to_owned()) }),
                4 => world.command(side, Command::HangUp { call }),
                5 => world.command(side, Command::Hold { call, on: seed % 2 == 0 }),
                6 => world.connect(false),
                7 => world.connect(true),
                8 => world.input(side, Input::Session { call, event: SessionEvent::Lost }),
                9 => {
                    world.crash(side);
                    world.run(300);
                    world.boot(side);
                    world.connect(true);
                }
                10 => world.command(side, Command::Rejoin { call }),
                11 => {
                    let (track, on) = (VideoTrack::ALL[usize::from(step % 2)], step % 3 > 0);
                    world.command(side, Command::Picture { call, track, on });
                }
                12 => {
                    let event = SessionEvent::Track { track: VideoTrack::Camera, on: step % 2 == 0 };
                    world.input(side, Input::Session { call, event });
                }
                13 => world.command(side, Command::Record { call, on: step % 4 > 0 }),
                _ => world.input(side, Input::Session { call, event: SessionEvent::Ready }),
            }
            let pause = world.dice(3_000);
            world.run(pause);
        }
        world.connect(true);
        for side in 0..2 {
            for call in ids.clone() {
                world.command(side, Command::HangUp { call });
            }
        }
        world.run(180_000);
        for side in 0..2 {
            let open: Vec<_> =
                world.sides[side].calls.as_ref().unwrap().calls().filter(|c| c.end().is_none()).collect();
            assert!(open.is_empty(), "seed {seed}, side {side}: {open:?}");
            assert!(world.sides[side].sessions.is_empty(), "seed {seed}: a session outlives its call");
            assert!(world.sides[side].records.is_empty(), "seed {seed}: a recording outlives its call");
            let sounding = world.sides[side].media.values().filter(|on| **on).count();
            assert_eq!(sounding, 0, "seed {seed}: sound outlives its call");
        }
    }
}
