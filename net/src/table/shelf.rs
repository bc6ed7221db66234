//! Which records of others are kept: of the right size, not too many, and not put in the place of somebody else's.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ahoy_net_core::find::{KEY_BYTES, RECORD_BYTES};
use libp2p::PeerId;
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig, RecordStore};
use libp2p::kad::{Record, RecordKey};

/// Records kept for others: 8 MB. A thousand nodes keep a contact list of 1,600 for each of 10,000 devices, 20 times each.
pub(super) const MAX_RECORDS: usize = 16_384;
/// How long a record lives that nobody puts anew. Devices put theirs every half of it.
pub(super) const LIFE: Duration = Duration::from_secs(2 * 3_600);
/// A record that was put this recently by somebody else is not replaced: whoever learns a name could wipe it out.
const OWNED: Duration = Duration::from_secs(3_600);

/// Who put which record, and when.
#[derive(Default)]
pub(super) struct Shelf {
    owners: BTreeMap<Vec<u8>, (PeerId, Instant)>,
}

/// The store beneath: bounded in number and size.
pub(super) fn store(own: PeerId) -> MemoryStore {
    let config = MemoryStoreConfig {
        max_records: MAX_RECORDS,
        // Values have to be shorter than this.
        max_value_bytes: RECORD_BYTES + 1,
        max_providers_per_key: 1,
        max_provided_keys: 1,
    };
    MemoryStore::with_config(own, config)
}

impl Shelf {
    /// Keeps a record that `source` wants kept, if it may be.
    pub(super) fn put(&mut self, now: Instant, source: PeerId, mut record: Record, store: &mut MemoryStore) {
        if record.key.as_ref().len() != KEY_BYTES || record.value.len() != RECORD_BYTES {
            return;
        }
        let key = record.key.to_vec();
        if let Some((owner, at)) = self.owners.get(&key)
            && *owner != source
            && now.duration_since(*at) < OWNED
        {
            return;
        }
        if self.owners.len() >= MAX_RECORDS && !self.owners.contains_key(&key) {
            return;
        }
        record.publisher = None;
        record.expires = Some(record.expires.map_or(now + LIFE, |at| at.min(now + LIFE)));
        if store.put(record).is_ok() {
            self.owners.insert(key, (source, now));
        }
    }

    /// Lets go of records that are no longer alive; libp2p does so only when one is asked for.
    pub(super) fn clear_out(&mut self, now: Instant, store: &mut MemoryStore) {
        let gone: Vec<RecordKey> =
            store.records().filter(|r| r.is_expired(now)).map(|r| r.key.clone()).collect();
        for key in &gone {
            store.remove(key);
            self.owners.remove(key.as_ref());
        }
        self.owners.retain(|_, (_, at)| now.saturating_duration_since(*at) < LIFE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: u8, value: u8) -> Record {
        Record::new(RecordKey::from(vec![key; KEY_BYTES]), vec![value; RECORD_BYTES])
    }

    #[test]
    fn records_are_of_one_size_and_belong_to_who_put_them_first() {
        let (own, ann, eve) = (PeerId::random(), PeerId::random(), PeerId::random());
        let (mut shelf, mut store, now) = (Shelf::default(), store(own), Instant::now());
        let value = |store: &MemoryStore| store.records().next().map(|r| r.value[0]);
        shelf.put(now, ann, record(1, 1), &mut store);
        shelf.put(now, eve, record(1, 2), &mut store);
        assert_eq!(value(&store), Some(1));
        shelf.put(now, ann, record(1, 3), &mut store);
        assert_eq!(value(&store), Some(3));
        shelf.put(now + OWNED, eve, record(1, 2), &mut store);
        assert_eq!(value(&store), Some(2));
        let mut odd = record(2, 2);
        odd.value.pop();
        shelf.put(now, ann, odd, &mut store);
        shelf.put(now, ann, Record::new(RecordKey::from(vec![1]), vec![0; RECORD_BYTES]), &mut store);
        assert_eq!(store.records().count(), 1);
        assert_eq!(store.records().next().and_then(|r| r.publisher), None);
        shelf.clear_out(now + OWNED + LIFE, &mut store);
        assert_eq!(store.records().count(), 0);
    }

    #[test]
    fn the_shelf_is_bounded() {
        let (mut shelf, mut store, now) = (Shelf::default(), store(PeerId::random()), Instant::now());
        let source = PeerId::random();
        for n in 0..MAX_RECORDS as u32 + 100 {
            let mut key = vec![0; KEY_BYTES];
            key[..4].copy_from_slice(&n.to_le_bytes());
            shelf.put(now, source, Record::new(RecordKey::from(key), vec![0; RECORD_BYTES]), &mut store);
        }
        assert_eq!((store.records().count(), shelf.owners.len()), (MAX_RECORDS, MAX_RECORDS));
    }
}
