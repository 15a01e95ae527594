//! Records that were read, decoded, within a number of bytes.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::{Cache, GuardResult};

use crate::domain::record::Record;

/// What a decoded record takes, its key and its place in the cache included, besides a few bytes for each tag.
const RECORD_BYTES: u64 = 800;
/// What a tag of a record takes, in bytes, about.
const TAG_BYTES: u64 = 48;

/// The records that were read last, by the keys of their rows.
pub(super) struct RecordCache(Cache<Vec<u8>, Arc<Record>, Weight>);

#[derive(Clone)]
struct Weight;

impl Weighter<Vec<u8>, Arc<Record>> for Weight {
    fn weight(&self, key: &Vec<u8>, record: &Arc<Record>) -> u64 {
        RECORD_BYTES + key.len() as u64 + TAG_BYTES * record.tags.len() as u64
    }
}

impl RecordCache {
    /// An empty one for about `bytes_max` bytes.
    pub(super) fn new(bytes_max: u64) -> Self {
        let records = usize::try_from(bytes_max / RECORD_BYTES).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(records, bytes_max, Weight))
    }

    /// A record, read if it is not there. What was removed while it was read is not kept.
    pub(super) fn get<E>(
        &self,
        key: &[u8],
        read: impl FnOnce() -> Result<Option<Record>, E>,
    ) -> Result<Option<Arc<Record>>, E> {
        let guard = match self.0.get_value_or_guard(key, None) {
            GuardResult::Value(record) => return Ok(Some(record)),
            GuardResult::Guard(guard) => Some(guard),
            GuardResult::Timeout => None,
        };
        let record = read()?.map(Arc::new);
        if let (Some(guard), Some(record)) = (guard, &record) {
            // It fails when the record was removed meanwhile: what was read may be old.
            let _: Result<(), Arc<Record>> = guard.insert(Arc::clone(record));
        }
        Ok(record)
    }

    /// Removes a record, and what is being read of it. To be called before its row is written and after.
    pub(super) fn remove(&self, key: &[u8]) {
        self.0.remove(key);
    }

    /// Removes all records, after an erasure.
    pub(super) fn clear(&self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::projections::records::record_of_revision as record;

    const BYTES_MAX: u64 = 1 << 20;

    fn revision(cache: &RecordCache, key: &[u8], read: Option<u64>) -> Option<u64> {
        let found = cache.get(key, || Ok::<_, Infallible>(read.map(record)));
        found.expect("no failure").map(|record| record.revision.0)
    }

    #[test]
    fn a_record_is_read_once_until_it_is_removed() {
        let cache = RecordCache::new(BYTES_MAX);
        assert_eq!(revision(&cache, b"a", None), None, "absence is not kept");
        assert_eq!(revision(&cache, b"a", Some(1)), Some(1));
        assert_eq!(revision(&cache, b"a", Some(2)), Some(1));
        cache.remove(b"a");
        assert_eq!(revision(&cache, b"a", Some(2)), Some(2));
        cache.clear();
        assert_eq!(revision(&cache, b"a", Some(3)), Some(3));
    }

    #[test]
    fn what_is_removed_while_it_is_read_is_not_kept() {
        for clear in [false, true] {
            let cache = RecordCache::new(BYTES_MAX);
            let old = cache.get(b"a", || {
                if clear {
                    cache.clear();
                } else {
                    cache.remove(b"a");
                }
                Ok::<_, Infallible>(Some(record(1)))
            });
            assert_eq!(old.expect("no failure").expect("it was read").revision.0, 1);
            assert_eq!(revision(&cache, b"a", Some(2)), Some(2), "cleared: {clear}");
        }
    }

    #[test]
    fn it_keeps_within_its_bytes() {
        let cache = RecordCache::new(BYTES_MAX);
        for number in 0_u64..10_000 {
            revision(&cache, &number.to_be_bytes(), Some(1));
        }
        assert!(cache.0.weight() <= BYTES_MAX);
        assert!(cache.0.len() > 500, "{}", cache.0.len());
    }
}
