//! A cache of what was read, within a number of bytes: it never returns what was removed while it was being read.

use std::hash::Hash;

use quick_cache::sync::{Cache, GuardResult};
use quick_cache::{Equivalent, Weighter};

/// The values that were read last, by their keys.
pub(crate) struct ReadCache<K, V>(Cache<K, V, Weight<K, V>>);

/// Says how many bytes a value takes with its key and its place in the cache.
struct Weight<K, V>(fn(&K, &V) -> u64);

impl<K, V> Clone for Weight<K, V> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<K, V> Weighter<K, V> for Weight<K, V> {
    fn weight(&self, key: &K, value: &V) -> u64 {
        (self.0)(key, value)
    }
}

impl<K: Eq + Hash, V: Clone> ReadCache<K, V> {
    /// An empty one for about `bytes_max` bytes, laid out for values of `typical_bytes`.
    pub(crate) fn new(bytes_max: u64, typical_bytes: u64, bytes_of: fn(&K, &V) -> u64) -> Self {
        let values = usize::try_from(bytes_max / typical_bytes.max(1)).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(values, bytes_max, Weight(bytes_of)))
    }

    /// The value of a key, read if it is not there. Absence is not kept.
    pub(crate) fn get<Q, E>(
        &self,
        key: &Q,
        read: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, E>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let guard = match self.0.get_value_or_guard(key, None) {
            GuardResult::Value(value) => return Ok(Some(value)),
            GuardResult::Guard(guard) => Some(guard),
            GuardResult::Timeout => None,
        };
        let value = read()?;
        if let (Some(guard), Some(value)) = (guard, &value) {
            // It fails when the key was removed meanwhile: what was read may be old.
            let _: Result<(), V> = guard.insert(value.clone());
        }
        Ok(value)
    }

    /// Removes a value, and what is being read of it. To be called before a new one is written and after.
    pub(crate) fn remove<Q>(&self, key: &Q)
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.0.remove(key);
    }

    /// Removes all values, and what is being read.
    pub(crate) fn clear(&self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const BYTES_MAX: u64 = 64 * 1024;

    fn cache() -> ReadCache<u64, Vec<u8>> {
        ReadCache::new(BYTES_MAX, 1_000, |_, value| value.len() as u64)
    }

    fn read(cache: &ReadCache<u64, Vec<u8>>, key: u64, value: Option<&[u8]>) -> Option<Vec<u8>> {
        let read = cache.get(&key, || Ok::<_, Infallible>(value.map(<[u8]>::to_vec)));
        read.expect("no failure")
    }

    #[test]
    fn a_value_is_read_once_until_it_is_removed() {
        let cache = cache();
        assert_eq!(read(&cache, 1, None), None, "absence is not kept");
        assert_eq!(read(&cache, 1, Some(b"a")), Some(b"a".to_vec()));
        assert_eq!(read(&cache, 1, Some(b"b")), Some(b"a".to_vec()));
        cache.remove(&1);
        assert_eq!(read(&cache, 1, Some(b"b")), Some(b"b".to_vec()));
        cache.clear();
        assert_eq!(read(&cache, 1, Some(b"c")), Some(b"c".to_vec()));
    }

    #[test]
    fn what_is_removed_while_it_is_read_is_not_kept() {
        for remove in [|cache: &ReadCache<_, _>| cache.remove(&1), ReadCache::clear] {
            let cache = cache();
            let old = cache.get(&1, || {
                remove(&cache);
                Ok::<_, Infallible>(Some(b"old".to_vec()))
            });
            assert_eq!(old.expect("no failure"), Some(b"old".to_vec()));
            assert_eq!(read(&cache, 1, Some(b"new")), Some(b"new".to_vec()));
        }
    }

    #[test]
    fn it_keeps_within_its_bytes() {
        let cache = cache();
        for key in 0..1_000 {
            read(&cache, key, Some(&[7; 1_000]));
        }
        assert!(cache.0.weight() <= BYTES_MAX);
        assert!(cache.0.len() > 20, "{}", cache.0.len());
        read(&cache, 5_000, Some(&[7; 100_000]));
        assert!(
            cache.0.weight() <= BYTES_MAX,
            "one that is larger than all of it"
        );
    }
}
