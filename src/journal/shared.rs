//! What callers, the writer thread and the apply thread of a journal share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

use super::chain::End;
use super::meters::JournalMeters;
use super::{Entry, Head, Health, Sink, SinkError};
use crate::meters::{Meters, value};

/// The journal's end, its health, and the sink that the apply thread hands groups to.
pub(crate) struct Shared {
    head: RwLock<Head>,
    health: RwLock<Health>,
    sink: Mutex<Option<Box<dyn Sink>>>,
    queued_bytes: AtomicUsize,
    meters: Arc<JournalMeters>,
}

impl Shared {
    pub(crate) fn new(end: End, meters: Arc<JournalMeters>) -> Arc<Self> {
        Arc::new(Self {
            head: RwLock::new(head(end)),
            health: RwLock::new(Health::Open),
            sink: Mutex::new(None),
            queued_bytes: AtomicUsize::new(0),
            meters,
        })
    }

    /// The journal's counters and gauges.
    pub(crate) fn meters(&self) -> &Arc<JournalMeters> {
        &self.meters
    }

    /// Adds what is counted of the journal, and its gauges, to what a server counts.
    pub(crate) fn measure(self: &Arc<Self>, meters: &Meters) {
        self.meters.add(meters);
        let shared = Arc::clone(self);
        meters.gauge_fn(
            (
                "metarecord_journal_queue_bytes",
                "Approximate bytes of appends that wait.",
            ),
            move || Some(value(shared.queued_bytes())),
        );
        let shared = Arc::clone(self);
        meters.gauge_fn(
            (
                "metarecord_journal_writable",
                "1 while the journal accepts appends; 0 after a failure, until it is reopened.",
            ),
            move || Some(f64::from(u8::from(shared.health() == Health::Open))),
        );
    }

    /// Approximate bytes of appends that wait.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Ordering::Relaxed)
    }

    /// Adds the bytes of an append to those that wait, and returns how many waited before.
    pub(crate) fn add_queued(&self, bytes: usize) -> usize {
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed)
    }

    /// Subtracts the bytes of an append that no longer waits.
    pub(crate) fn subtract_queued(&self, bytes: usize) {
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn head(&self) -> Head {
        self.head.read().clone()
    }

    pub(crate) fn health(&self) -> Health {
        self.health.read().clone()
    }

    pub(crate) fn attach(&self, sink: Box<dyn Sink>) {
        *self.sink.lock() = Some(sink);
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.sink.lock().is_some()
    }

    /// Publishes the end of what is durable and applied.
    pub(crate) fn publish(&self, end: End) {
        *self.head.write() = head(end);
        self.meters.shown(end.position);
    }

    /// Applies durable entries to the sink.
    pub(crate) fn apply(&self, entries: &[Entry]) -> Result<(), SinkError> {
        match &mut *self.sink.lock() {
            Some(sink) if !entries.is_empty() => sink.apply(entries),
            Some(_) | None => Ok(()),
        }
    }

    /// Takes no writes from now on, for a reason that operators see; the first reason stays.
    pub(crate) fn read_only(&self, reason: &str) {
        let mut health = self.health.write();
        if *health == Health::Open {
            *health = Health::ReadOnly(reason.into());
        }
    }
}

fn head(end: End) -> Head {
    Head {
        position: end.position,
        hash: hex::encode(end.hash),
    }
}
