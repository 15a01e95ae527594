//! A journal under a test's control: it counts what is read of it, and holds answers back like a slow disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use metarecord::domain::StreamId;
use metarecord::journal::{
    Append, Entry, EraseOrder, Head, Health, Journal, JournalError, Outcome, Pending, Position,
    Sink, Version,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// An outcome that is there, and who waits for it.
type HeldAnswer = (Pending, oneshot::Sender<Outcome>);

/// Another journal, how much was read of it, and which of its answers wait.
pub(crate) struct Watched<J> {
    pub(crate) inner: J,
    entries: AtomicUsize,
    calls: AtomicUsize,
    held: Mutex<Option<Vec<HeldAnswer>>>,
    /// What gets in just ahead of the next append.
    pub(crate) ahead: Mutex<Option<Append>>,
}

impl<J: Journal> Watched<J> {
    pub(crate) fn new(inner: J) -> Self {
        Self {
            inner,
            entries: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            held: Mutex::default(),
            ahead: Mutex::default(),
        }
    }

    /// The calls and entries since the last time it was asked.
    pub(crate) fn take(&self) -> (usize, usize) {
        let calls = self.calls.swap(0, Ordering::Relaxed);
        (calls, self.entries.swap(0, Ordering::Relaxed))
    }

    fn count(&self, read: Result<Vec<Entry>, JournalError>) -> Result<Vec<Entry>, JournalError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let entries = read.as_ref().map_or(0, Vec::len);
        self.entries.fetch_add(entries, Ordering::Relaxed);
        read
    }

    /// From now on answers wait.
    pub(crate) fn hold(&self) {
        *self.held.lock() = Some(Vec::new());
    }

    pub(crate) fn held(&self) -> usize {
        self.held.lock().as_ref().map_or(0, Vec::len)
    }

    /// Gives every answer held back, and holds none any more.
    pub(crate) fn release(&self) {
        for (mut pending, caller) in self.held.lock().take().unwrap_or_default() {
            // A caller that has gone away does not need its answer.
            let _: Result<(), Outcome> = caller.send(
                pending
                    .try_recv()
                    .expect("the memory journal answers at once"),
            );
        }
    }
}

impl<J: Journal> Journal for Watched<J> {
    fn append(&self, append: Append) -> Pending {
        if let Some(ahead) = self.ahead.lock().take() {
            drop(self.inner.append(ahead));
        }
        let pending = self.inner.append(append);
        match &mut *self.held.lock() {
            Some(held) => {
                let (caller, later) = oneshot::channel();
                held.push((pending, caller));
                later
            }
            None => pending,
        }
    }
    fn head(&self) -> Head {
        self.inner.head()
    }
    fn health(&self) -> Health {
        self.inner.health()
    }
    fn read(&self, from: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        self.count(self.inner.read(from, limit))
    }
    fn stream(
        &self,
        stream: &StreamId,
        from: Version,
        limit: usize,
    ) -> Result<Vec<Entry>, JournalError> {
        self.count(self.inner.stream(stream, from, limit))
    }
    fn streams(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StreamId>, JournalError> {
        self.inner.streams(prefix, after, limit)
    }
    fn version(&self, stream: &StreamId) -> Result<Version, JournalError> {
        self.inner.version(stream)
    }
    fn payload(&self, position: Position) -> Result<Option<Bytes>, JournalError> {
        self.inner.payload(position)
    }
    fn erase(
        &self,
        order: Arc<EraseOrder>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<Position>, JournalError> {
        self.inner.erase(order, progress)
    }
    fn erase_index(
        &self,
        erased: &[Position],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), JournalError> {
        self.inner.erase_index(erased, progress)
    }
    fn attach(&self, sink: Box<dyn Sink>) {
        self.inner.attach(sink);
    }
    fn is_attached(&self) -> bool {
        self.inner.is_attached()
    }
}
