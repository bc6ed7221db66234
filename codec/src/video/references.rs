//! Which frame may refer to which: a chain of frames, two long-term references beside it, and what a loss does to them.
//!
//! VP8 and VP9 share three buffers: last, golden, altref. Last is the chain. The other two are slots for kept frames, so that one
//! that the receiver is known to have stands while a newer one is on its way. Every reference of a frame lies on the
//! chain that leads to it, so the newest of them is all a receiver must have ([`ahoy_base::EncodedVideo::needs`]).

use std::time::Duration;

/// How often a frame is kept. Nearer frames make cheaper recoveries; each is reported once by the receiver.
const KEEP_EVERY: Duration = Duration::from_millis(500);
/// After this the receiver's silence about a kept frame means that it never came.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3);

/// What can be left out on the way without harm to other frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Layers {
    /// Nothing: every frame leads to the next. Best quality for the bits.
    #[default]
    One,
    /// Every second frame (two temporal layers).
    Two,
}

/// How one frame is to be encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct FramePlan {
    pub(super) key: bool,
    /// Whether it may refer to the last frame of the chain.
    pub(super) from_last: bool,
    /// Whether it may refer to golden, altref.
    pub(super) from_slot: [bool; 2],
    /// Whether it becomes the last of the chain.
    pub(super) to_last: bool,
    /// Which slot keeps it.
    pub(super) to_slot: Option<usize>,
    /// It starts anew from a kept frame: what was kept since is of no use.
    pub(super) anew: bool,
    pub(super) needs: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Kept {
    seq: u64,
    at: Duration,
    /// Whether it leads to the last frame: not so when the chain went on from an older one.
    on_chain: bool,
    /// The receiver has decoded it.
    had: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ask {
    Nothing,
    From(u64),
    Key,
}

/// The state of an encoder's references.
#[derive(Debug)]
pub(super) struct References {
    layers: Layers,
    last: Option<u64>,
    slots: [Option<Kept>; 2],
    ask: Ask,
    kept_at: Duration,
    /// The newest frame is discardable.
    upper: bool,
}

impl References {
    pub(super) fn new() -> References {
        References {
            layers: Layers::One,
            last: None,
            slots: [None; 2],
            ask: Ask::Key,
            kept_at: Duration::ZERO,
            upper: false,
        }
    }

    pub(super) fn set_layers(&mut self, layers: Layers) {
        self.layers = layers;
    }

    pub(super) fn ask_key(&mut self) {
        self.ask = Ask::Key;
    }

    /// The receiver can go on from `seq` and from nothing newer.
    pub(super) fn go_on_from(&mut self, seq: u64) {
        self.has(seq);
        if self.ask != Ask::Key {
            self.ask = Ask::From(seq);
        }
    }

    pub(super) fn has(&mut self, seq: u64) {
        for kept in self.slots.iter_mut().flatten().filter(|kept| kept.seq == seq) {
            kept.had = true;
        }
    }

    /// The frame `seq` never left this machine.
    pub(super) fn unsent(&mut self, seq: u64) {
        if self.last.is_none_or(|last| last < seq) {
            // Nothing refers to it.
            return;
        }
        let newest =
            self.slots.iter().flatten().filter(|kept| kept.on_chain && kept.seq < seq).max_by_key(|k| k.seq);
        match (newest, self.ask) {
            (Some(kept), Ask::Nothing) => self.ask = Ask::From(kept.seq),
            (Some(kept), Ask::From(asked)) => self.ask = Ask::From(asked.min(kept.seq)),
            (None, _) | (_, Ask::Key) => self.ask = Ask::Key,
        }
    }

    /// What the frame captured at `at` is to be.
    pub(super) fn plan(&self, at: Duration) -> FramePlan {
        let key = FramePlan { key: true, to_last: true, to_slot: Some(0), ..FramePlan::default() };
        let Some(last) = self.last else { return key };
        match self.ask {
            Ask::Key => return key,
            Ask::From(seq) if seq == last => {}
            Ask::From(seq) => {
                let Some(slot) = self.slots.iter().position(|kept| kept.is_some_and(|k| k.seq == seq)) else {
                    return key;
                };
                let mut plan =
                    FramePlan { to_last: true, anew: true, needs: Some(seq), ..FramePlan::default() };
                plan.from_slot[slot] = true;
                plan.to_slot = Some(1 - slot);
                return plan;
            }
            Ask::Nothing => {}
        }
        let from_slot = self.slots.map(|kept| kept.is_some_and(|k| k.on_chain));
        let upper = self.layers == Layers::Two && !self.upper;
        let plan = FramePlan { from_last: true, from_slot, needs: Some(last), ..FramePlan::default() };
        if upper {
            return plan;
        }
        FramePlan { to_last: true, to_slot: self.slot_for(at), ..plan }
    }

    /// Which slot takes the frame at `at`, if it is time to keep one: never the only one that the receiver has.
    fn slot_for(&self, at: Duration) -> Option<usize> {
        if at.saturating_sub(self.kept_at) < KEEP_EVERY {
            return None;
        }
        let (Some(golden), Some(altref)) = (self.slots[0], self.slots[1]) else {
            return self.slots.iter().position(Option::is_none);
        };
        let older = usize::from(altref.seq < golden.seq);
        let (old, new) = if older == 0 { (golden, altref) } else { (altref, golden) };
        match (old.had, new.had) {
            // Both are one frame: the key frame that filled both.
            _ if old.seq == new.seq => Some(older),
            (_, true) | (false, false) => Some(older),
            (true, false) if at.saturating_sub(new.at) > GIVE_UP_AFTER => Some(1 - older),
            (true, false) => None,
        }
    }

    /// The frame became number `seq`; `was_key` as the encoder had it.
    pub(super) fn commit(&mut self, plan: FramePlan, seq: u64, at: Duration, was_key: bool) {
        let kept = Kept { seq, at, on_chain: true, had: false };
        if was_key {
            self.slots = [Some(kept); 2];
            self.kept_at = at;
        } else {
            if let (true, Some(from)) = (plan.anew, plan.needs) {
                for kept in self.slots.iter_mut().flatten() {
                    kept.on_chain &= kept.seq <= from;
                }
            }
            if let Some(slot) = plan.to_slot.and_then(|slot| self.slots.get_mut(slot)) {
                *slot = Some(kept);
                self.kept_at = at;
            }
        }
        if plan.to_last || was_key {
            self.last = Some(seq);
        }
        self.upper = !plan.to_last && !was_key;
        self.ask = Ask::Nothing;
    }
}
