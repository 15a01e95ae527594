//! What the journal counts: its queue, its groups, how long syncs take, failures, and how far the projections are behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::Position;
use crate::clock::Stopwatch;
use crate::meters::{self, Meters, value};

/// Seconds that a sync may take: a good disk takes a tenth of a millisecond, a bad one a second.
const SYNC_BUCKETS: &[f64] = &[
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5,
];
/// Entries in a group; there are 1,024 at most.
const GROUP_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 16.0, 64.0, 256.0, 1_024.0];

/// The operations of the log whose failures are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failing {
    /// The write of a group.
    Write,
    /// The sync of a group.
    Sync,
    /// The begin of a segment.
    Segment,
}

impl Failing {
    const ALL: [Self; 3] = [Self::Write, Self::Sync, Self::Segment];

    fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Segment => "segment",
        }
    }
}

/// The counters of one journal, kept whether or not they are read.
#[derive(Debug)]
pub struct JournalMeters {
    queue: IntGauge,
    sync_seconds: Histogram,
    group_entries: Histogram,
    entries: IntCounter,
    failures: IntCounterVec,
    /// The last position that is durable.
    durable: AtomicU64,
    /// The last position that is durable and shown.
    shown: AtomicU64,
    /// Since when something durable waits to be shown, in milliseconds of the stopwatch.
    waiting_since_ms: AtomicU64,
    since: Stopwatch,
}

impl JournalMeters {
    /// Those of a journal that ends here, with everything shown.
    pub(crate) fn new(end: Position) -> Arc<Self> {
        let failures = meters::counters(
            (
                "metarecord_journal_failures_total",
                "Failures of the commit log; after one the journal is read-only.",
            ),
            &["operation"],
        );
        for operation in Failing::ALL {
            failures.with_label_values(&[operation.as_str()]);
        }
        Arc::new(Self {
            queue: meters::gauge((
                "metarecord_journal_queue_appends",
                "Appends that wait for the writer thread.",
            )),
            sync_seconds: meters::histogram(
                (
                    "metarecord_journal_sync_duration_seconds",
                    "Duration of the sync of a group of appends.",
                ),
                SYNC_BUCKETS,
            ),
            group_entries: meters::histogram(
                ("metarecord_journal_group_entries", "Entries per sync."),
                GROUP_BUCKETS,
            ),
            entries: meters::counter((
                "metarecord_journal_entries_total",
                "Entries made durable since the start.",
            )),
            failures,
            durable: AtomicU64::new(end),
            shown: AtomicU64::new(end),
            waiting_since_ms: AtomicU64::new(0),
            since: Stopwatch::start(),
        })
    }

    /// Adds them to what a server counts.
    pub(crate) fn add(self: &Arc<Self>, meters: &Meters) {
        meters.add(self.queue.clone());
        meters.add(self.sync_seconds.clone());
        meters.add(self.group_entries.clone());
        meters.add(self.entries.clone());
        meters.add(self.failures.clone());
        let itself = Arc::clone(self);
        meters.gauge_fn(
            ("metarecord_journal_position", "The last durable position."),
            move || Some(value(itself.durable())),
        );
        let itself = Arc::clone(self);
        meters.gauge_fn(
            (
                "metarecord_projection_lag_seconds",
                "Time that the oldest durable entry has waited for the projections; 0 when none waits.",
            ),
            move || Some(itself.lag_seconds()),
        );
    }

    /// The last durable position. The projections may be behind it.
    pub fn durable(&self) -> Position {
        self.durable.load(Ordering::Acquire)
    }

    /// An append is handed over.
    pub(crate) fn queued(&self) {
        self.queue.inc();
    }

    /// An append is taken, or was not to be had.
    pub(crate) fn taken(&self) {
        self.queue.dec();
    }

    /// A sync took so long.
    pub(crate) fn synced(&self, since: Stopwatch) {
        self.sync_seconds.observe(since.seconds());
    }

    /// Something of the log failed.
    pub(crate) fn failed(&self, operation: Failing) {
        self.failures.with_label_values(&[operation.as_str()]).inc();
    }

    /// Counts a durable group of `entries` entries that ends at a position.
    pub(crate) fn wrote(&self, entries: usize, end: Position) {
        self.group_entries.observe(value(entries));
        self.entries.inc_by(entries as u64);
        if self.shown.load(Ordering::Acquire) >= self.durable() {
            self.waiting_since_ms
                .store(self.since.millis(), Ordering::Relaxed);
        }
        self.durable.store(end, Ordering::Release);
    }

    /// Everything up to a position is shown.
    pub(crate) fn shown(&self, end: Position) {
        self.waiting_since_ms
            .store(self.since.millis(), Ordering::Relaxed);
        self.shown.store(end, Ordering::Release);
    }

    fn lag_seconds(&self) -> f64 {
        if self.shown.load(Ordering::Acquire) >= self.durable() {
            return 0.0;
        }
        let since = self.waiting_since_ms.load(Ordering::Relaxed);
        value(self.since.millis().saturating_sub(since)) / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_to_be_shown_is_behind_until_it_is_shown() {
        let journal = JournalMeters::new(7);
        assert_eq!((journal.durable(), journal.lag_seconds()), (7, 0.0));
        journal.wrote(2, 9);
        while journal.lag_seconds() <= 0.0 {}
        assert_eq!(journal.durable(), 9);
        journal.shown(9);
        assert_eq!(journal.lag_seconds(), 0.0);
    }
}
