//! An actor system on a thread of its own, so that an embedder needs none.

use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;

use actix::System;

/// The thread of an actor system. It ends when it is stopped.
pub(super) struct SystemThread {
    system: System,
    thread: JoinHandle<()>,
}

impl SystemThread {
    /// Starts a system, and runs `set_up` on its thread, where actors and their threads can be started.
    ///
    /// # Errors
    /// An I/O error when no thread can be started.
    pub(super) fn start<T: Send + 'static>(
        set_up: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<(Self, T)> {
        let (tell, told) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("metarecord".to_owned())
            .spawn(move || {
                let runner = System::new();
                let made = runner.block_on(async { set_up() });
                // The receiver is gone only when the opening thread has panicked.
                if tell.send((System::current(), made)).is_ok() {
                    // Its result says only that it was stopped.
                    let _: io::Result<()> = runner.run();
                }
            })?;
        let (system, made) = told
            .recv()
            .map_err(|_| io::Error::other("the actors could not be started"))?;
        Ok((Self { system, thread }, made))
    }

    /// Stops the system, and waits for the end of its thread.
    pub(super) fn end(self) {
        self.system.stop();
        // A panic on it was logged when it happened.
        let _: std::thread::Result<()> = self.thread.join();
    }
}
