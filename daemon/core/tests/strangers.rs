//! What somebody learns who is in nobody's address book: nothing, until this person answers.
#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests")]

use ahoy_base::{CallId, MessageId, Moment, PeerId};
use ahoy_call::{
    Alert, AutoAnswer, CallEvent, Calls, CallsConfig, Command, Input, Output, Restored, Ring, Standing,
};
use ahoy_net_core::wire::signal::{Envelope, MediaKind, Signal};

const WALL: u64 = 1_790_000_000_000;

fn id(n: u8) -> PeerId {
    PeerId::from_public_key([n; 32])
}

fn calls() -> Calls {
    let config =
        CallsConfig { me: id(1), seed: [7; 32], auto_answer: AutoAnswer::Off, strangers_may_ring: false };
    Calls::new(Moment::from_millis(1), WALL, config, Restored::default())
}

fn offer(from: PeerId, known: Standing, n: u8) -> Input {
    let body = Signal::Offer { media: MediaKind::Voice, expires_in_ms: 45_000, resume: false };
    let envelope = Envelope {
        id: MessageId::from_bytes([n; 16]),
        call: Some(CallId::from_bytes([n; 16])),
        seq: 1,
        sent_at_ms: WALL,
        body,
    };
    Input::Signal { from, known, envelope }
}

/// What leaves for `to`, whether anything rings, and which alerts there were.
fn outcome(calls: &mut Calls, ms: u64, to: PeerId, input: Input) -> (Vec<Signal>, bool, bool, Vec<Alert>) {
    calls.handle(Moment::from_millis(ms), WALL + ms, input);
    let (mut said, mut connects, mut rings, mut alerts) = (Vec::new(), false, false, Vec::new());
    loop {
        match calls.poll() {
            Output::Send { to: whom, envelope } if whom == to => said.push(envelope.body),
            Output::Connect { peer } => connects |= peer == to,
            Output::Ring(ring) => rings |= ring != Ring::None,
            Output::Event { event: CallEvent::Incoming(alert), .. } => alerts.push(alert),
            Output::Wake { .. } => return (said, connects, rings, alerts),
            _ => {}
        }
    }
}

#[test]
fn a_stranger_waits_in_the_list_and_is_told_nothing_until_answered() {
    let (mut calls, eve) = (calls(), id(9));
    outcome(&mut calls, 2, eve, Input::PeerUp(eve));
    let first = outcome(&mut calls, 3, eve, offer(eve, Standing::Stranger, 1));
    assert_eq!(first, (Vec::new(), false, false, vec![Alert::Request]));
    // The same again, and another call of hers: one entry, still no word.
    for n in [1, 2] {
        let (said, connects, rings, _) = outcome(&mut calls, 4, eve, offer(eve, Standing::Stranger, n));
        assert_eq!((said, connects, rings), (Vec::new(), false, false));
    }
    assert_eq!(calls.calls().filter(|c| c.peer() == eve && c.end().is_none()).count(), 1);
    let call = calls.calls().find(|c| c.peer() == eve && c.end().is_none()).unwrap().id();
    let answer = Input::Command { id: [1; 16], command: Command::Answer { call, media: MediaKind::Voice } };
    let (said, ..) = outcome(&mut calls, 5, eve, answer);
    assert!(said.contains(&Signal::Accept), "{said:?}");
}

#[test]
fn a_contact_is_acked_and_rings() {
    let (mut calls, bob) = (calls(), id(2));
    outcome(&mut calls, 2, bob, Input::PeerUp(bob));
    let (said, _, rings, alerts) = outcome(&mut calls, 3, bob, offer(bob, Standing::Contact, 1));
    assert!(rings && alerts == [Alert::Ring]);
    assert!(
        said.contains(&Signal::Ringing) && said.iter().any(|s| matches!(s, Signal::Ack { .. })),
        "{said:?}"
    );
}
