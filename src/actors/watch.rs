//! The gate's knowledge of the active maintenance window, in memory and never older than a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use crate::clock::Stopwatch;
use crate::domain::maintenance::Window;
use crate::projections::{Store, ops};
use crate::report;

/// The active window as the gate reads it before each tenant's request: fetched in advance and never older than a limit.
/// When it cannot be read, or is too old, every request passes.
pub struct Watch {
    seen: RwLock<Seen>,
    age_ms_max: u64,
    failures: AtomicU64,
    /// When the watch was created.
    made: Stopwatch,
}

struct Seen {
    since: Option<Stopwatch>,
    active: Option<Arc<Window>>,
    failing: bool,
}

impl Watch {
    /// A watch without a state; what it reads is used for at most `age_ms_max` milliseconds.
    pub fn new(age_ms_max: u64) -> Self {
        Self {
            seen: RwLock::new(Seen {
                since: None,
                active: None,
                failing: false,
            }),
            age_ms_max,
            failures: AtomicU64::new(0),
            made: Stopwatch::start(),
        }
    }

    /// The active window. Reads memory alone.
    pub fn active(&self) -> Option<Arc<Window>> {
        let seen = self.seen.read();
        match seen.since {
            Some(since) if since.millis() <= self.age_ms_max => seen.active.clone(),
            Some(_) | None => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// How old what it knows is; since there is a watch, while it knows nothing.
    pub fn age(&self) -> Duration {
        let seen = self.seen.read();
        seen.since.unwrap_or(self.made).elapsed()
    }

    /// The age past which its state is not used any more.
    pub fn age_max(&self) -> Duration {
        Duration::from_millis(self.age_ms_max)
    }

    /// Whether a window is known to be active. Unlike [`Watch::active`] it does not count as a request that passed.
    pub fn is_active(&self) -> bool {
        let seen = self.seen.read();
        let known = seen
            .since
            .is_some_and(|since| since.millis() <= self.age_ms_max);
        known && seen.active.is_some()
    }

    /// How often it failed open: reads that failed, and requests that found the state too old.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Reads what is active now. A failure keeps the last state until that is too old.
    pub fn refresh(&self, store: &Store) {
        match ops::windows(store) {
            Ok(windows) => {
                let active = windows.active().cloned().map(Arc::new);
                *self.seen.write() = Seen {
                    since: Some(Stopwatch::start()),
                    active,
                    failing: false,
                };
            }
            Err(error) => self.count_failure(&error.to_string()),
        }
    }

    /// Counts a failed read; only the first of consecutive ones is logged for the operator.
    pub(super) fn count_failure(&self, error: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut seen = self.seen.write();
        if !std::mem::replace(&mut seen.failing, true) {
            report::maintenance_unknown(error);
        }
    }
}
