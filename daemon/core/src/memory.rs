//! A bounded memory: what was kept longest ago is forgotten first.

use std::collections::{BTreeMap, VecDeque};

/// Remembers the last `most` keys and what belongs to them.
pub(crate) struct Memory<K, V> {
    most: usize,
    order: VecDeque<K>,
    values: BTreeMap<K, V>,
}

impl<K: Ord + Copy, V> Memory<K, V> {
    /// Remembers at most `most` keys.
    pub(crate) fn new(most: usize) -> Memory<K, V> {
        Memory { most, order: VecDeque::new(), values: BTreeMap::new() }
    }

    /// Keeps a value; a known key keeps its place in line.
    pub(crate) fn keep(&mut self, key: K, value: V) {
        if self.values.insert(key, value).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
    }

    /// What belongs to `key`, if it is remembered.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest_and_nothing_else() {
        let mut memory = Memory::new(2);
        for key in [1, 2, 1, 3] {
            memory.keep(key, key * 10);
        }
        assert_eq!((memory.get(&1), memory.get(&2), memory.get(&3)), (None, Some(&20), Some(&30)));
    }
}
