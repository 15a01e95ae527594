//! How fast codes that no lock refuses are checked: after a wrong one an address waits.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use super::Refused;
use crate::clock::Stopwatch;

/// How long an address waits after a wrong code: at most 86,400 guesses a day, of codes of 12 characters or more.
const PAUSE: Duration = Duration::from_secs(1);
/// Codes of one address that may wait for their turn; past it callers get 429.
const WAITING_MAX: usize = 8;
/// Addresses remembered; past it those that need not wait any more are removed.
const ADDRESSES_MAX: usize = 1_024;

/// When an address gave its last wrong code.
type Last = Option<Stopwatch>;

/// The turns of addresses, by the keyed hash of each.
#[derive(Default)]
pub(super) struct Pace(Mutex<HashMap<String, Arc<tokio::sync::Mutex<Last>>>>);

/// The turn of one address; others from there wait until it is dropped.
pub(super) struct Turn(OwnedMutexGuard<Last>);

impl Pace {
    /// Waits for an address's turn.
    ///
    /// # Errors
    /// `Busy` when too many from the same address wait.
    pub(super) async fn enter(&self, address: &str) -> Result<Turn, Refused> {
        let own = {
            let mut all = self.all();
            if all.len() >= ADDRESSES_MAX {
                all.retain(|_, own| Arc::strong_count(own) > 1);
            }
            all.entry(address.to_owned()).or_default().clone()
        };
        // One of them is the book's, one this call's.
        if Arc::strong_count(&own) > WAITING_MAX + 2 {
            return Err(Refused::Busy);
        }
        let last = own.lock_owned().await;
        let passed = last.as_ref().map(Stopwatch::elapsed);
        let left = passed.and_then(|passed| PAUSE.checked_sub(passed));
        tokio::time::sleep(left.unwrap_or_default()).await;
        Ok(Turn(last))
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<tokio::sync::Mutex<Last>>>> {
        // Each change is one step: a panic elsewhere leaves nothing half done.
        self.0.lock()
    }
}

impl Turn {
    /// The code was wrong: the next from this address waits.
    pub(super) fn was_wrong(mut self) {
        *self.0 = Some(Stopwatch::start());
    }
}
