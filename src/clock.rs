//! Time and chance: the only module that reads a clock or asks for random bytes.

mod trust;

use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::domain::Timestamp;
use trust::Trust;

pub use trust::{TrustLimits, Untrusted};

/// The longest sleep until a time of the machine's clock, which may be set meanwhile.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Bytes of a random id or salt.
const ID_BYTES: usize = 16;

/// The source of time. Shared by everything that needs it.
#[derive(Clone, Debug)]
pub struct Clock {
    kind: Kind,
    trust: Arc<Trust>,
}

#[derive(Clone, Debug)]
enum Kind {
    /// The machine's clock, with the time since the start.
    System(Stopwatch),
    Manual(Arc<Manual>),
}

/// The times of a manual clock, in milliseconds.
#[derive(Debug)]
struct Manual {
    wall: AtomicI64,
    steady: AtomicI64,
    /// Wakes those who wait for a time.
    moved: Notify,
}

impl Clock {
    /// A clock that reads the machine's.
    pub fn system() -> Self {
        Self::of(Kind::System(Stopwatch::start()))
    }

    /// A clock that does not move by itself; for tests and simulation.
    pub fn manual(start: Timestamp) -> Self {
        Self::of(Kind::Manual(Arc::new(Manual {
            wall: AtomicI64::new(start.millis()),
            steady: AtomicI64::new(start.millis()),
            moved: Notify::new(),
        })))
    }

    fn of(kind: Kind) -> Self {
        let read = kind.read();
        Self {
            kind,
            trust: Arc::new(Trust::new(read)),
        }
    }

    /// The time now. A machine clock before 1970 reads as 1970.
    pub fn now(&self) -> Timestamp {
        self.kind.now()
    }

    /// The time since some moment before, for what must not be affected when somebody sets the machine's clock. A manual
    /// clock returns the time it was moved to.
    pub fn steady(&self) -> Duration {
        self.kind.steady()
    }

    /// Moves a manual clock forward. The machine's clock is left alone.
    pub fn advance(&self, millis: i64) {
        if let Kind::Manual(manual) = &self.kind {
            // The wall clock is never seen ahead of the steady one.
            manual.steady.fetch_add(millis, Ordering::SeqCst);
            manual.wall.fetch_add(millis, Ordering::SeqCst);
            manual.moved.notify_waiters();
        }
    }

    /// Sets a manual clock as somebody might set the machine's: no time passes. The machine's clock is not changed.
    pub fn jump(&self, millis: i64) {
        if let Kind::Manual(manual) = &self.kind {
            manual.wall.fetch_add(millis, Ordering::SeqCst);
            manual.moved.notify_waiters();
        }
    }

    /// Returns once the wall clock shows a time, or a later one.
    pub async fn reached(&self, at: Timestamp) {
        let left = |clock: &Self| {
            let left_ms = at.millis().saturating_sub(clock.now().millis());
            let left_ms = u64::try_from(left_ms).ok().filter(|left| *left > 0);
            left_ms.map(Duration::from_millis)
        };
        self.wait_while(left).await;
    }

    /// Returns once nothing is left to wait for. What is left is computed again after each such time, after every move of a
    /// manual clock, and every ten seconds, because no process is notified when the machine's clock is set.
    pub async fn wait_while(&self, left: impl Fn(&Self) -> Option<Duration>) {
        loop {
            match &self.kind {
                Kind::System(_) => {
                    let Some(left) = left(self) else { return };
                    tokio::time::sleep(left.min(WAIT_MAX)).await;
                }
                Kind::Manual(manual) => {
                    let mut moved = pin!(manual.moved.notified());
                    moved.as_mut().enable();
                    if left(self).is_none() {
                        return;
                    }
                    moved.await;
                }
            }
        }
    }

    /// Limits the trust in the wall clock from now on, which counts as the start of the process.
    pub fn limit(&self, limits: TrustLimits) {
        self.trust.limit(limits, self.kind.read());
    }

    /// The time for destructive work: never later than the wall clock, nor than what the process has counted since
    /// its start.
    pub fn trusted(&self) -> Timestamp {
        self.trust.time(self.kind.read())
    }

    /// The time for destructive work, when the clock is trusted.
    ///
    /// # Errors
    /// [`Untrusted`] while the wall clock is not trusted.
    pub fn may_destroy(&self) -> Result<Timestamp, Untrusted> {
        self.trust.check(self.kind.read())
    }

    /// By how many milliseconds the wall clock jumped, when no operator has confirmed it.
    pub fn jumped(&self) -> Option<i64> {
        self.trust.jumped(self.kind.read())
    }

    /// Notes that an earlier process saw the clock jump by `by_ms`, and no operator has confirmed it.
    pub fn distrust(&self, by_ms: i64) {
        self.trust.distrust(by_ms);
    }

    /// An operator said that the time is right.
    pub fn confirm(&self) {
        self.trust.confirm(self.kind.read());
    }
}

impl Kind {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        match self {
            Self::System(_) => {
                let since = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Manual(manual) => Timestamp::from_millis(manual.wall.load(Ordering::SeqCst)),
        }
    }

    fn steady(&self) -> Duration {
        match self {
            Self::System(since) => since.elapsed(),
            Self::Manual(manual) => {
                let millis = manual.steady.load(Ordering::SeqCst);
                Duration::from_millis(u64::try_from(millis).unwrap_or_default())
            }
        }
    }

    /// Both readings, the wall clock first: a step of it in between looks like one backwards, which destroys nothing early.
    fn read(&self) -> (Timestamp, Duration) {
        (self.now(), self.steady())
    }
}

/// Measures how long something took, whatever the wall clock does.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// A stopwatch that runs from now on.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the stopwatch was started.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Whole milliseconds since the start.
    pub fn millis(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// Keeps long work from taking the processors from the tenants: it rests as long as it works.
#[derive(Clone, Copy, Debug)]
pub struct Pace(Stopwatch);

impl Pace {
    /// A pace whose work begins now.
    pub fn start() -> Self {
        Self(Stopwatch::start())
    }

    /// Blocks for as long as was worked since the start or the last rest. To be called every few milliseconds.
    pub fn rest(&mut self) {
        std::thread::sleep(self.0.elapsed());
        self.0 = Stopwatch::start();
    }
}

/// Blocks for some milliseconds, before something unfinished is checked again.
pub fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// Random bytes from the operating system.
///
/// # Panics
/// When the operating system has none to give: nothing secure can be done without them.
#[expect(clippy::disallowed_methods, reason = "this is where chance comes from")]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// Sixteen random bytes for an id or a salt: nothing that must stay secret, which [`random_bytes`] is for. The operating
/// system is asked for those of 32 calls of a thread at once.
///
/// # Panics
/// As [`random_bytes`].
pub fn random_id() -> [u8; ID_BYTES] {
    thread_local! {
        static READY: RefCell<Vec<[u8; ID_BYTES]>> = const { RefCell::new(Vec::new()) };
    }
    READY.with_borrow_mut(|ready| {
        if ready.is_empty() {
            let bytes = random_bytes::<{ 32 * ID_BYTES }>();
            ready.extend_from_slice(bytes.as_chunks().0);
        }
        ready.pop().unwrap_or_else(random_bytes)
    })
}

/// A random UUID (version 4).
pub fn random_uuid() -> Uuid {
    uuid::Builder::from_random_bytes(random_id()).into_uuid()
}

/// A UUID that sorts by the time it was made (version 7).
pub fn ordered_uuid(now: Timestamp) -> Uuid {
    let millis = u64::try_from(now.millis()).unwrap_or_default();
    let mut random = [0; 10];
    random.copy_from_slice(&random_id()[..10]);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_ids_are_the_same_on_any_thread() {
        let ids = || (0..100).map(|_| random_id()).collect::<Vec<_>>();
        let threads = [(); 3].map(|()| std::thread::spawn(ids));
        let all = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        let all: HashSet<_> = all.chain(ids()).collect();
        assert_eq!(all.len(), 400);
    }
}
