//! Threads that actors run on.

use parking_lot::Mutex;

use actix::{Arbiter, ArbiterHandle, System};

/// A thread with an event loop for actors. Dropping it leaves the thread running until it is told to end.
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

    /// Where actors and futures are started on it.
    pub(super) fn handle(&self) -> &ArbiterHandle {
        &self.handle
    }

    /// Tells it to end. Futures on it are dropped at their next await; blocking work they began goes on to its end.
    pub(super) fn stop(&self) {
        self.handle.stop();
    }

    /// Waits until it has ended, and so until all that its actors held is dropped. It must have been told to end.
    /// From a second call on it returns at once.
    pub(super) fn join(&self) {
        let arbiter = self.arbiter.lock().take();
        if let Some(arbiter) = arbiter {
            // A panic on it was told when it happened.
            let _: std::thread::Result<()> = arbiter.join();
        }
    }
}
