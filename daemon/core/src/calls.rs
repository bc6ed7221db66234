//! All calls of one device: which call an input is for, and what several calls at once mean for each other.
//!
//! | situation | rule |
//! |---|---|
//! | both call each other | the offer of the smaller PeerId stands; the other side accepts it without asking, for it wanted the call |
//! | a call comes in while talking | it rings softly; answering it puts the first on hold |
//! | a peer calls again | the new call takes the place of the old one, whatever its state: the peer knows of no other |
//! | more than [`MAX_LIVE`] calls | the caller hears that the line is busy |
//! | somebody outside the address book calls | noticed 3 times a minute; shown as a request, or rung if nearby and allowed |
//! | this person dials, answers or takes up a call | all others are put on hold: one conversation has the sound |
//!
//! Here: the door. Inside: `from_person.rs` and `from_peer.rs` say what an input means, `carry_out.rs` makes outputs of
//! it, `recording.rs` tells before it records, `restart.rs` takes up what the store kept. Not here: what an event does to one call (`call_state.rs`),
//! delivery (`outbox.rs`).

mod carry_out;
mod from_peer;
mod from_person;
mod recording;
mod restart;

use crate::call::Call;
use crate::call_state::Event;
use crate::door::{CommandError, Input, Output, Ring, Transaction};
use crate::doorman::Doorman;
use crate::memory::Memory;
use crate::outbox::Outbox;
use crate::stored::Restored;
use ahoy_base::{CallId, MessageId, Moment, PeerId};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Which incoming calls are answered by the machine itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum AutoAnswer {
    /// None.
    #[default]
    Off,
    /// Those of contacts.
    Contacts,
    /// All that ring.
    All,
}

/// What a device's calls need to know of it.
#[derive(Clone)]
pub struct CallsConfig {
    /// This device.
    pub me: PeerId,
    /// Fresh random bytes at each start: ids of messages come from it.
    pub seed: [u8; 32],
    /// Which incoming calls are answered by the machine, as long as nothing else is going on.
    pub auto_answer: AutoAnswer,
    /// Whether devices on the local network that are no contacts may ring.
    pub strangers_may_ring: bool,
}

/// Most calls that are not over, ringing ones included: more than a person can keep track of.
pub const MAX_LIVE: usize = 8;
/// Ended calls that are kept to answer late messages.
const MAX_ENDED: usize = 256;
/// Ended calls that are shown until dismissed; older ones are in the log.
const MAX_SHOWN_ENDED: usize = 16;
/// Answers to requests that are kept, for pages that ask again after a reconnect.
const MAX_REPLIES: usize = 256;
/// Ids of applied messages that are kept in memory: 7 days of a busy person's calls.
const MAX_SEEN: usize = 8_192;

/// All calls of one device: one input in, then poll until `Wake`.
pub struct Calls {
    config: CallsConfig,
    now: Moment,
    wall_ms: u64,
    calls: BTreeMap<CallId, Call>,
    /// Order in which calls began, oldest first.
    order: VecDeque<CallId>,
    outbox: Outbox,
    up: BTreeSet<PeerId>,
    seen: Memory<MessageId, ()>,
    replies: Memory<[u8; 16], Result<CallId, CommandError>>,
    strangers: Doorman,
    nearby: Doorman,
    random: ChaCha8Rng,
    transaction: Transaction,
    effects: Vec<Output>,
    outputs: VecDeque<Output>,
    ring: Ring,
    /// A tone that plays once, wanted since the last drain.
    tone: Ring,
}

impl Calls {
    /// Takes up what the store kept. Poll at once: the first outputs tell what became of it.
    pub fn new(now: Moment, wall_ms: u64, config: CallsConfig, restored: Restored) -> Calls {
        let random = ChaCha8Rng::from_seed(config.seed);
        let (outbox, unreadable) = Outbox::restore(restored.outbox);
        let mut calls = Calls {
            config,
            now,
            wall_ms,
            calls: BTreeMap::new(),
            order: VecDeque::new(),
            outbox,
            up: BTreeSet::new(),
            seen: Memory::new(MAX_SEEN),
            replies: Memory::new(MAX_REPLIES),
            strangers: Doorman::default(),
            nearby: Doorman::default(),
            random,
            transaction: Transaction { outbox_remove: unreadable, ..Transaction::default() },
            effects: Vec::new(),
            outputs: VecDeque::new(),
            ring: Ring::None,
            tone: Ring::None,
        };
        restored.seen.into_iter().for_each(|id| calls.seen.keep(id, ()));
        let mut rows = restored.calls;
        rows.sort_by_key(|row| row.offered_at_ms);
        rows.into_iter().for_each(|row| calls.revive(row));
        let peers: Vec<PeerId> = calls.outbox.recipients().into_iter().collect();
        peers.into_iter().for_each(|peer| calls.connect(peer));
        calls.finish();
        calls
    }

    /// Takes one input. Never blocks, never fails on what a remote sent.
    ///
    /// `wall_ms`: milliseconds since 1970; used for records only, never for an order.
    pub fn handle(&mut self, now: Moment, wall_ms: u64, input: Input) {
        self.now = self.now.max(now);
        self.wall_ms = wall_ms;
        self.on_time();
        match input {
            Input::Command { id, command } => self.on_command(id, command),
            Input::Signal { from, known, envelope } => self.on_signal(from, known, envelope),
            Input::PeerUp(peer) => {
                self.up.insert(peer);
                self.outbox.start_over(peer);
                self.apply_to_calls_with(peer, &Event::StreamUp);
            }
            Input::PeerDown(peer) => {
                self.up.remove(&peer);
                self.outbox.start_over(peer);
                self.apply_to_calls_with(peer, &Event::StreamDown);
            }
            Input::DialFailed { peer, why } => {
                tracing::debug!(?peer, why, "a device could not be reached");
                if !self.up.contains(&peer) {
                    self.apply_to_calls_with(peer, &Event::Unreachable);
                }
            }
            Input::Session { call, event } => self.on_session(call, event),
            Input::Shutdown => self.live().into_iter().for_each(|id| self.apply_quietly(id, Event::Stopping)),
            Input::Wake => {}
        }
        self.finish();
    }

    /// The next thing to do. Call until [`Output::Wake`].
    pub fn poll(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| {
            let (at, why) = self.due();
            Output::Wake { at, why }
        })
    }

    /// Changes settings while running.
    pub fn configure(&mut self, auto_answer: AutoAnswer, strangers_may_ring: bool) {
        self.config.auto_answer = auto_answer;
        self.config.strangers_may_ring = strangers_may_ring;
    }

    /// The calls to show, oldest first: live ones, and ended ones that were not dismissed.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.order.iter().filter_map(|id| self.calls.get(id)).filter(|c| !c.dismissed)
    }

    /// The call of that id, if it is known, shown or not.
    pub fn call(&self, id: CallId) -> Option<&Call> {
        self.calls.get(&id)
    }
}
