//! All calls of one device. In work: the door stands, the rules follow.

use crate::call::Call;
use crate::door::{Input, NEVER, Output, WakeReason};
use crate::stored::Restored;
use ahoy_base::{CallId, Moment, PeerId};
use std::collections::{BTreeMap, VecDeque};

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
    /// Which incoming calls are answered by the machine.
    pub auto_answer: AutoAnswer,
    /// Whether devices on the local network that are no contacts may ring.
    pub strangers_may_ring: bool,
}

/// All calls of one device: one input in, then poll until `Wake`.
pub struct Calls {
    config: CallsConfig,
    calls: BTreeMap<CallId, Call>,
    outputs: VecDeque<Output>,
}

impl Calls {
    /// Takes up what the store kept. Poll at once: the first outputs tell what became of it.
    pub fn new(_now: Moment, _wall_ms: u64, config: CallsConfig, _restored: Restored) -> Calls {
        Calls { config, calls: BTreeMap::new(), outputs: VecDeque::new() }
    }

    /// Takes one input. Never blocks, never fails on what a remote sent.
    ///
    /// `wall_ms`: milliseconds since 1970; used for records only, never for an order.
    pub fn handle(&mut self, _now: Moment, _wall_ms: u64, _input: Input) {}

    /// The next thing to do. Call until [`Output::Wake`].
    pub fn poll(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or(Output::Wake { at: NEVER, why: WakeReason::Nothing })
    }

    /// Changes settings while running.
    pub fn configure(&mut self, auto_answer: AutoAnswer, strangers_may_ring: bool) {
        self.config.auto_answer = auto_answer;
        self.config.strangers_may_ring = strangers_may_ring;
    }

    /// The calls to show: live ones, and ended ones that were not dismissed.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.calls.values()
    }
}
