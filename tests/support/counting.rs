//! A journal that counts what is read of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use metarecord::domain::StreamId;
use metarecord::journal::{
    Append, Entry, EraseOrder, Head, Health, Journal, JournalError, Pending, Position, Sink,
    Version,
};

/// Another journal, and how much was read of it.
pub(crate) struct Counting<J> {
    inner: J,
    entries: AtomicUsize,
    calls: AtomicUsize,
}

impl<J: Journal> Counting<J> {
    pub(crate) fn new(inner: J) -> Self {
        Self {
            inner,
            entries: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
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
}

impl<J: Journal> Journal for Counting<J> {
    fn append(&self, append: Append) -> Pending {
        self.inner.append(append)
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
