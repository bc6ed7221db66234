//! Remembers which numbers came in, so that nothing is taken twice.

/// How many numbers behind the newest are told apart; older ones are refused. 40 s of voice.
const WINDOW: u64 = 2_048;
const WORDS: usize = (WINDOW / 64) as usize;

/// A sliding window of 2048 numbers (the idea of RFC 6479: a ring of bits, cleared as it moves).
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    bits: [u64; WORDS],
    /// One more than the newest number; 0 while none came.
    end: u64,
}

impl Default for ReplayWindow {
    fn default() -> ReplayWindow {
        ReplayWindow { bits: [0; WORDS], end: 0 }
    }
}

impl ReplayWindow {
    /// Whether `n` is new. Takes no note: only what proved genuine may move the window.
    pub fn is_new(&self, n: u64) -> bool {
        n >= self.end || (self.end - n <= WINDOW && self.word(n) & bit(n) == 0)
    }

    /// Takes note of `n`, which proved genuine. Whether it was new.
    pub fn accept(&mut self, n: u64) -> bool {
        if !self.is_new(n) || n == u64::MAX {
            return false;
        }
        if n >= self.end {
            // Words between the old end and the new one belong to numbers that did not come.
            let first = self.end.div_ceil(64);
            let last = n / 64;
            for word in first.max(last.saturating_sub(WORDS as u64 - 1))..=last {
                self.set_word(word, 0);
            }
            self.end = n + 1;
        }
        let word = self.word(n) | bit(n);
        self.set_word(n / 64, word);
        true
    }

    fn word(&self, n: u64) -> u64 {
        self.bits.get(index(n / 64)).copied().unwrap_or(u64::MAX)
    }

    fn set_word(&mut self, word: u64, value: u64) {
        if let Some(slot) = self.bits.get_mut(index(word)) {
            *slot = value;
        }
    }
}

const fn bit(n: u64) -> u64 {
    1 << (n % 64)
}

const fn index(word: u64) -> usize {
    (word % WORDS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Obviously right: a set, and the rule in words.
    #[derive(Default)]
    struct Model {
        seen: BTreeSet<u64>,
    }

    impl Model {
        fn accept(&mut self, n: u64, strict: bool) -> Option<bool> {
            let newest = self.seen.last().copied();
            let age = newest.map_or(0, |newest| newest.saturating_sub(n));
            // At the edge the window may forget up to a word earlier.
            if (WINDOW - 64..WINDOW).contains(&age) && !strict {
                return None;
            }
            Some(age < WINDOW && self.seen.insert(n))
        }
    }

    #[test]
    fn agrees_with_a_set_on_random_numbers() {
        let mut state = 7u64;
        let (mut window, mut model) = (ReplayWindow::default(), Model::default());
        let mut base = 0u64;
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            base += (state >> 60) & 3;
            let n = match (state >> 40) & 7 {
                0 => base.saturating_sub((state >> 32) & 0xfff),
                1 => base + ((state >> 32) & 0xff),
                _ => base.saturating_sub((state >> 32) & 0x3f),
            };
            if let Some(expected) = model.accept(n, false) {
                assert_eq!(window.accept(n), expected, "{n}");
            }
        }
    }

    #[test]
    fn nothing_passes_twice_and_a_jump_forgets_the_past() {
        let mut window = ReplayWindow::default();
        assert!(window.accept(0) && !window.accept(0));
        assert!(window.accept(1_000_000) && !window.accept(1_000_000));
        assert!(!window.accept(0), "too old to tell");
        assert!(window.accept(1_000_000 - 1_900) && !window.accept(1_000_000 - 1_900));
        assert!(!window.accept(u64::MAX), "the last number can't be counted on from");
    }
}
