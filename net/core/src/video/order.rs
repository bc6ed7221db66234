//! Which frame is next: only what can be decoded, in order, skipping what is not needed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ahoy_base::{EncodedVideo, Moment};

/// Frames that may wait for others: two seconds. Beyond it the oldest goes.
const MAX_WAITING: usize = 64;
/// Bytes of them.
const MAX_BYTES: usize = 4 * 1_024 * 1_024;
/// Decoded frames that are remembered: kept ones may be needed a minute later.
const MAX_HAD: usize = 2_048;

/// See the module's first line.
#[derive(Debug, Default)]
pub struct Order {
    /// Opened frames and when their last datagram came.
    waiting: BTreeMap<u64, (EncodedVideo, Moment)>,
    bytes: usize,
    /// Frames that went to the decoder.
    had: BTreeSet<u64>,
    kept: Option<u64>,
}

impl Order {
    /// Takes an opened frame. `false` if its turn has passed or it is here.
    pub fn insert(&mut self, frame: EncodedVideo, arrival: Moment) -> bool {
        if self.released().is_some_and(|last| frame.seq <= last) || self.waiting.contains_key(&frame.seq) {
            return false;
        }
        self.bytes += frame.data.len();
        self.waiting.insert(frame.seq, (frame, arrival));
        while self.waiting.len() > MAX_WAITING || (self.bytes > MAX_BYTES && self.waiting.len() > 1) {
            self.drop_first();
        }
        true
    }

    /// Bytes of frames that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The last frame that went to the decoder.
    pub fn released(&self) -> Option<u64> {
        self.had.last().copied()
    }

    /// The newest frame that went to the decoder and is kept there.
    pub fn kept(&self) -> Option<u64> {
        self.kept
    }

    /// Whether an opened frame waits under this number.
    pub fn holds(&self, number: u64) -> bool {
        self.waiting.contains_key(&number)
    }

    /// The first frame that can be decoded now: its number and media time.
    pub fn next(&self) -> Option<(u64, Duration)> {
        let can = |frame: &EncodedVideo| frame.needs.is_none_or(|needs| self.had.contains(&needs));
        self.waiting.values().find(|(frame, _)| can(frame)).map(|(frame, _)| (frame.seq, frame.media_time))
    }

    /// Takes out frame `number` for the decoder, and lets go of all before it.
    pub fn release(&mut self, number: u64) -> Option<(EncodedVideo, Moment)> {
        while self.waiting.first_key_value().is_some_and(|(first, _)| *first < number) {
            self.drop_first();
        }
        let (frame, arrival) = self.waiting.remove(&number)?;
        self.bytes -= frame.data.len();
        if frame.is_key() {
            // Nothing after a key frame needs anything before it.
            self.had.clear();
            self.kept = None;
        }
        if frame.kept || frame.is_key() {
            self.kept = Some(number);
        }
        self.had.insert(number);
        if self.had.len() > MAX_HAD {
            self.had.pop_first();
        }
        Some((frame, arrival))
    }

    /// The decoder lost its state: only a key frame helps.
    pub fn forget(&mut self) {
        let last = self.released();
        self.had.clear();
        self.kept = None;
        // The place in the row stays, under a number that no frame needs.
        self.had.extend(last);
        self.waiting.retain(|_, (frame, _)| frame.is_key());
        self.bytes = self.waiting.values().map(|(frame, _)| frame.data.len()).sum();
    }

    fn drop_first(&mut self) {
        if let Some((_, (frame, _))) = self.waiting.pop_first() {
            self.bytes -= frame.data.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ahoy_base::{VideoCodec, VideoSize};

    fn frame(seq: u64, needs: Option<u64>, kept: bool) -> EncodedVideo {
        EncodedVideo {
            seq,
            media_time: Duration::from_millis(33 * seq),
            codec: VideoCodec::Vp8,
            size: VideoSize { width: 640, height: 360 },
            needs,
            kept,
            discardable: false,
            data: vec![0; 10],
        }
    }

    /// Releases all that can be decoded, and says which.
    fn run(order: &mut Order) -> Vec<u64> {
        std::iter::from_fn(|| {
            let (number, _) = order.next()?;
            order.release(number).map(|(frame, _)| frame.seq)
        })
        .collect()
    }

    #[test]
    fn only_what_can_be_decoded_is_released_and_in_order() {
        let mut order = Order::default();
        for (seq, needs) in [(1, Some(0)), (3, Some(2)), (2, Some(1))] {
            assert!(order.insert(frame(seq, needs, false), Moment::ZERO));
        }
        assert!(run(&mut order).is_empty());
        assert!(order.insert(frame(0, None, true), Moment::ZERO));
        assert_eq!(run(&mut order), [0, 1, 2, 3]);
        assert!(!order.insert(frame(2, Some(1), false), Moment::ZERO), "its turn passed");
        assert_eq!(order.kept(), Some(0));
    }

    #[test]
    fn a_frame_that_goes_on_from_a_kept_one_skips_the_loss() {
        let mut order = Order::default();
        for (seq, needs, kept) in
            [(0, None, true), (1, Some(0), false), (3, Some(2), false), (4, Some(0), true)]
        {
            order.insert(frame(seq, needs, kept), Moment::ZERO);
        }
        assert_eq!(run(&mut order), [0, 1, 4]);
        assert_eq!((order.kept(), order.holds(3)), (Some(4), false));
        order.insert(frame(9, None, false), Moment::ZERO);
        order.insert(frame(10, Some(4), false), Moment::ZERO);
        assert_eq!(run(&mut order), [9], "a key frame ends what was before it");
        order.forget();
        order.insert(frame(11, Some(10), false), Moment::ZERO);
        assert!(run(&mut order).is_empty());
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut order = Order::default();
        for seq in 1..1_000 {
            order.insert(EncodedVideo { data: vec![0; 200_000], ..frame(seq, Some(0), false) }, Moment::ZERO);
            assert!(order.bytes <= MAX_BYTES + 200_000 && order.waiting.len() <= MAX_WAITING);
        }
    }
}
