//! Threads that actors run on.

use parking_lot::Mutex;

use actix::{Arbiter, ArbiterHandle, System};

/// A thread with an event loop for actors. Dropping it leaves the thread running until it is stopped.
pub(super) struct ActorThread {
    handle: ArbiterHandle,
    arbiter: Mutex<Option<Arbiter>>,
}

impl ActorThread {
    /// Starts one. It belongs to the actor system of the calling thread.
    ///
    /// # Panics
    /// Outside of an actor system.
    pub(super) fn start() -> Self {
        assert!(
            System::is_registered(),
            "actors need an actix system: call this within actix::System::block_on"
        );
        let arbiter = Arbiter::new();
        Self {
            handle: arbiter.handle(),
            arbiter: Mutex::new(Some(arbiter)),
        }
    }

    /// A handle to start actors and futures on it.
    pub(super) fn handle(&self) -> &ArbiterHandle {
        &self.handle
    }

    /// Asks it to end. Futures on it are dropped at their next await; blocking work they began runs to its end.
    pub(super) fn stop(&self) {
        self.handle.stop();
    }

    /// Waits until it has ended, and so until all that its actors held is dropped. [`Self::stop`] must have been called.
    /// From a second call on it returns at once.
    pub(super) fn join(&self) {
        let arbiter = self.arbiter.lock().take();
        if let Some(arbiter) = arbiter {
            // A panic on it was logged when it happened.
            let _: std::thread::Result<()> = arbiter.join();
        }
    }
}
