//! Looking at passcodes: few at once, few waiting, few of one name, and nothing that tells which names there are.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Refused;
use crate::aside;
use crate::clock::{Clock, random_bytes};
use crate::domain::{ErrorTag, Rejection, Timestamp};
use crate::passcode;

/// Passcodes looked at at once; each takes 32 MiB and a processor.
const PASSCODES_AT_ONCE: usize = 2;
/// Passcodes that may wait to be looked at; past it callers get 429.
const PASSCODES_WAITING_MAX: usize = 64;
/// Wrong passcodes for one name within [`WRONG_WINDOW_MS`] after which none is looked at.
const WRONG_MAX: u32 = 10;
/// How far back wrong passcodes count: a quarter of an hour.
const WRONG_WINDOW_MS: i64 = 15 * 60 * 1_000;
/// Names remembered in memory; past it the oldest are forgotten.
const REMEMBERED_MAX: usize = 100_000;

/// A keyed hash of what somebody signs in with.
pub(super) type Name = [u8; 32];

/// Makes hashes of passcodes and holds passcodes against them.
pub(super) struct Passcodes {
    clock: Clock,
    looking: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    /// Of nobody's passcode: looked at when there is no such name, so that both take as long.
    decoy: OnceLock<String>,
    /// Passcodes that were wrong, or are being looked at.
    wrong: Mutex<HashMap<Name, Tries>>,
}

impl Passcodes {
    /// With nobody having tried any.
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            looking: Arc::new(Semaphore::new(PASSCODES_AT_ONCE)),
            waiting: Arc::default(),
            decoy: OnceLock::new(),
            wrong: Mutex::default(),
        }
    }

    /// How many are looked at or wait for it.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A new passcode's hash.
    ///
    /// # Errors
    /// Too many wait already, or the work broke off.
    pub(super) async fn hash(&self, passcode: &str) -> Result<String, Refused> {
        let passcode = passcode.to_owned();
        let place = self.place().await?;
        let hashed = place.look(move || passcode::hash(&passcode)).await?;
        hashed.map_err(|error| Refused::Failed(error.to_string()))
    }

    /// Whether a passcode for a name may be looked at.
    ///
    /// # Errors
    /// `throttled` after too many wrong ones.
    pub(super) fn check(&self, name: Name) -> Result<(), Refused> {
        let now = self.clock.now();
        match self.wrong().get(&name) {
            Some(tries) => tries.check(now),
            None => Ok(()),
        }
    }

    /// Whether a passcode is the one of a name's hash; never, when there is none.
    ///
    /// # Errors
    /// As the others.
    pub(super) async fn prove(
        &self,
        name: Name,
        passcode: &str,
        hash: Option<&str>,
    ) -> Result<bool, Refused> {
        let known = hash.is_some();
        let hash = match hash {
            Some(hash) => hash.to_owned(),
            None => self.decoy().await?,
        };
        let passcode = passcode.to_owned();
        let place = self.place().await?;
        self.begin(name)?;
        let look = place.look(move || passcode::verify(&passcode, &hash));
        let right = look.await? && known;
        if right {
            self.wrong().remove(&name);
        }
        Ok(right)
    }

    /// Counts a passcode as wrong until it was found to be right: of many at once none is forgotten.
    fn begin(&self, name: Name) -> Result<(), Refused> {
        let now = self.clock.now();
        let mut wrong = self.wrong();
        make_room(&mut wrong, |tries| tries.since);
        let tries = wrong.entry(name).or_insert(Tries::none(now));
        tries.check(now)?;
        if tries.left_ms(now) <= 0 {
            *tries = Tries::none(now);
        }
        tries.count += 1;
        Ok(())
    }

    async fn decoy(&self) -> Result<String, Refused> {
        if let Some(decoy) = self.decoy.get() {
            return Ok(decoy.clone());
        }
        let nobodys = hex::encode(random_bytes::<16>());
        let decoy = self.hash(&nobodys).await?;
        Ok(self.decoy.get_or_init(|| decoy).clone())
    }

    /// Waits for a place to look at a passcode: there are never too many at once.
    async fn place(&self) -> Result<Place, Refused> {
        let waiting = Waiting::enter(&self.waiting).ok_or(Refused::Busy)?;
        let permit = self.looking.clone().acquire_owned().await;
        let permit = permit.map_err(|error| Refused::Failed(error.to_string()))?;
        Ok(Place {
            _waiting: waiting,
            _permit: permit,
        })
    }

    fn wrong(&self) -> MutexGuard<'_, HashMap<Name, Tries>> {
        // Each change is one step: a panic elsewhere leaves nothing half done.
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passcodes for one name.
struct Tries {
    count: u32,
    /// Since when they count.
    since: Timestamp,
}

impl Tries {
    fn none(now: Timestamp) -> Self {
        Self {
            count: 0,
            since: now,
        }
    }

    /// How long they count yet.
    fn left_ms(&self, now: Timestamp) -> i64 {
        self.since.millis() + WRONG_WINDOW_MS - now.millis()
    }

    fn check(&self, now: Timestamp) -> Result<(), Refused> {
        let left_ms = self.left_ms(now);
        if self.count < WRONG_MAX || left_ms <= 0 {
            return Ok(());
        }
        Err(Rejection::new(
            ErrorTag::Throttled,
            "Too many wrong passcodes for this e-mail address; come back after the time in Retry-After.",
        )
        .with_retry_after(left_ms.unsigned_abs().div_ceil(1_000))
        .into())
    }
}

/// A place to look at a passcode; free again when it is dropped.
struct Place {
    _waiting: Waiting,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Does what takes a processor and 32 MiB for a while, on a thread of its own. The place goes with the work, which
    /// goes on when the caller hangs up.
    async fn look<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let done = aside::blocking(move || {
            let _place = self;
            work()
        });
        let done = done.await;
        done.map_err(|broke_off| Refused::Failed(broke_off.to_string()))
    }
}

/// One that waits; counted while it lives.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn enter(count: &Arc<AtomicUsize>) -> Option<Self> {
        let waiting = Self(count.clone());
        let before = count.fetch_add(1, Ordering::Relaxed);
        (before < PASSCODES_AT_ONCE + PASSCODES_WAITING_MAX).then_some(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Forgets the older half when there is too much to remember: 100,000 of anything.
pub(super) fn make_room<K: Eq + Hash, V, S: BuildHasher>(
    map: &mut HashMap<K, V, S>,
    at: impl Fn(&V) -> Timestamp,
) {
    if map.len() < REMEMBERED_MAX {
        return;
    }
    let mut times: Vec<_> = map.values().map(&at).collect();
    let half = times.len() / 2;
    let (_, middle, _) = times.select_nth_unstable(half);
    let middle = *middle;
    map.retain(|_, value| at(value) > middle);
}
