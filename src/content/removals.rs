//! Keeps removals waiting while a backup is taken: by a lease that ends by itself unless it is renewed.
//!
//! Code that removes or rewrites what a backup reads takes a [`Pass`] for each small step. A lease waits for the passes
//! in use, and from then on no further one is given until it ends.

use parking_lot::{Condvar, Mutex, MutexGuard};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Stopwatch;

/// How long a lease lasts unless it is renewed.
pub const LEASE: Duration = Duration::from_secs(60);
/// How long a lease can be renewed in all, so that nothing is kept from being removed for ever.
pub const LEASE_MAX: Duration = Duration::from_secs(3_600);
/// Most leases at a time.
const LEASES_MAX: usize = 16;
/// How long a lease waits at most for the steps in progress.
const STEPS_MAX: Duration = Duration::from_secs(30);
/// How often it is checked whether a lease is over.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What keeps removals and backups apart. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Removals(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Passes that are out.
    passes: usize,
    leases: Vec<Lease>,
    /// Whether the process ends: then nothing waits any more.
    closed: bool,
}

#[derive(Debug)]
struct Lease {
    id: String,
    lasts: Duration,
    begun: Stopwatch,
    renewed: Stopwatch,
}

impl Lease {
    fn is_over(&self) -> bool {
        self.renewed.elapsed() >= self.lasts || self.begun.elapsed() >= LEASE_MAX
    }
}

/// Why there is no lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// There are as many leases as allowed.
    #[error("the maximum number of backups is running; try again when one has finished")]
    TooMany,
    /// A step did not end in time.
    #[error("a removal is still running; try again")]
    Removing,
    /// The lease has ended, or never existed.
    #[error("the backup took too long, or was never begun; begin it again")]
    Gone,
}

/// The right to remove something. No lease begins until it is dropped.
#[derive(Debug)]
pub struct Pass(Arc<Shared>);

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.passes = state.passes.saturating_sub(1);
        self.0.changed.notify_all();
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.state.lock()
}

fn wait<'a>(shared: &'a Shared, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    shared.changed.wait_for(&mut state, LOOK_EVERY);
    state
}

impl Removals {
    /// Waits until no lease is left, and gives the right to one step. Blocks.
    pub fn pass(&self) -> Pass {
        let mut state = lock(&self.0);
        loop {
            state.leases.retain(|lease| !lease.is_over());
            if state.leases.is_empty() || state.closed {
                state.passes += 1;
                return Pass(Arc::clone(&self.0));
            }
            state = wait(&self.0, state);
        }
    }

    /// Begins a lease for the time `lasts`, which can be renewed, and waits for the steps in progress. Blocks.
    ///
    /// # Errors
    /// [`LeaseError::TooMany`], or [`LeaseError::Removing`] when a step does not end.
    pub fn lease(&self, id: &str, lasts: Duration) -> Result<(), LeaseError> {
        let since = Stopwatch::start();
        let mut state = lock(&self.0);
        state.leases.retain(|lease| !lease.is_over());
        if state.leases.len() >= LEASES_MAX {
            return Err(LeaseError::TooMany);
        }
        state.leases.push(Lease {
            id: id.to_owned(),
            lasts,
            begun: since,
            renewed: since,
        });
        while state.passes > 0 {
            if since.elapsed() >= STEPS_MAX {
                state.leases.retain(|lease| lease.id != id);
                self.0.changed.notify_all();
                return Err(LeaseError::Removing);
            }
            state = wait(&self.0, state);
        }
        // The waiting is none of the backup's time.
        self.renewed(&mut state, id)
    }

    /// Extends a lease from now on.
    ///
    /// # Errors
    /// [`LeaseError::Gone`].
    pub fn renew(&self, id: &str) -> Result<(), LeaseError> {
        self.renewed(&mut lock(&self.0), id)
    }

    fn renewed(&self, state: &mut State, id: &str) -> Result<(), LeaseError> {
        let mut leases = state.leases.iter_mut();
        match leases.find(|lease| lease.id == id && !lease.is_over()) {
            Some(lease) if !state.closed => {
                lease.renewed = Stopwatch::start();
                Ok(())
            }
            Some(_) | None => Err(LeaseError::Gone),
        }
    }

    /// Ends a lease. That it was still there says that nothing was removed since it began.
    ///
    /// # Errors
    /// [`LeaseError::Gone`].
    pub fn end(&self, id: &str) -> Result<(), LeaseError> {
        let mut state = lock(&self.0);
        let kept = self.renewed(&mut state, id);
        state.leases.retain(|lease| lease.id != id);
        self.0.changed.notify_all();
        kept
    }

    /// Wakes everybody who waits, because the process ends.
    pub fn close(&self) {
        lock(&self.0).closed = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Long enough for a thread that does not wait to be noticed; one that waits is never too slow.
    const EARLY: Duration = Duration::from_millis(300);

    #[test]
    fn a_step_waits_for_the_lease_and_a_lease_for_the_step() {
        let removals = Removals::default();
        let pass = removals.pass();
        let (tell, told) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                removals.lease("one", LEASE).unwrap();
                tell.send("leased").unwrap();
                let pass = removals.pass();
                tell.send("passed").unwrap();
                drop(pass);
            });
            let early = told.recv_timeout(EARLY);
            assert!(early.is_err(), "a step is on its way: {early:?}");
            drop(pass);
            assert_eq!(told.recv(), Ok("leased"));
            let early = told.recv_timeout(EARLY);
            assert!(early.is_err(), "the lease lasts: {early:?}");
            assert_eq!(removals.end("one"), Ok(()));
            assert_eq!(told.recv(), Ok("passed"));
        });
    }

    #[test]
    fn a_lease_that_nobody_renews_is_over_and_says_so() {
        let removals = Removals::default();
        assert_eq!(removals.lease("one", Duration::ZERO), Err(LeaseError::Gone));
        assert_eq!(removals.lease("two", LEASE), Ok(()));
        assert_eq!(removals.renew("two"), Ok(()));
        assert_eq!(removals.renew("one"), Err(LeaseError::Gone));
        assert_eq!(removals.end("two"), Ok(()));
        assert_eq!(removals.end("two"), Err(LeaseError::Gone));
        drop(removals.pass());
    }

    #[test]
    fn leases_are_not_without_number_and_end_with_the_process() {
        let removals = Removals::default();
        for number in 0..LEASES_MAX {
            assert_eq!(removals.lease(&number.to_string(), LEASE), Ok(()));
        }
        assert_eq!(removals.lease("more", LEASE), Err(LeaseError::TooMany));
        removals.close();
        drop(removals.pass());
        assert_eq!(removals.end("0"), Err(LeaseError::Gone));
    }
}
