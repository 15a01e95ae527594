//! How many requests of one caller are worked on at once, so that nobody's slow ones take all the places there are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{ErrorTag, Rejection};

/// Requests being worked on, by who asked. There are never more keys than requests.
#[derive(Clone, Debug, Default)]
pub struct Places(Arc<Mutex<HashMap<String, u32>>>);

/// The place of a request that is being worked on; dropping it makes room for another.
#[derive(Debug)]
pub struct InFlight(Option<(Places, String)>);

impl Places {
    /// Takes one of a caller's places; 0 is for no limit.
    ///
    /// # Errors
    /// `throttled`.
    pub fn enter(&self, key: &str, max: u32) -> Result<InFlight, Rejection> {
        if max == 0 {
            return Ok(InFlight::uncounted());
        }
        let mut held = lock(&self.0);
        let count = held.entry(key.to_owned()).or_default();
        if *count >= max {
            let message = "Too many of your requests are being worked on; nothing was done. Wait for one of them to be answered.";
            let rejection = Rejection::new(ErrorTag::Throttled, message);
            return Err(rejection.with_minor("in-flight-limit"));
        }
        *count += 1;
        Ok(InFlight(Some((self.clone(), key.to_owned()))))
    }
}

impl InFlight {
    /// The place of a request that takes none.
    pub fn uncounted() -> Self {
        Self(None)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let Some((places, key)) = self.0.take() else {
            return;
        };
        if let Entry::Occupied(mut count) = lock(&places.0).entry(key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// What is behind a lock. Every change here is one step: whoever panicked left nothing half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_and_a_caller_without_requests_is_forgotten() {
        let places = Places::default();
        let first = places.enter("one", 2).unwrap();
        let second = places.enter("one", 2).unwrap();
        assert!(places.enter("one", 2).is_err());
        let other = places.enter("other", 2).unwrap();
        drop(first);
        let third = places.enter("one", 2).unwrap();
        assert!(places.enter("one", 2).is_err());
        drop((second, third, other));
        assert!(lock(&places.0).is_empty());
        drop(places.enter("one", 0).unwrap());
    }
}
