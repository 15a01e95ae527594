//! The settings of an embedded journal.

use std::sync::Arc;

use crate::disk::{Disk, RealDisk};

/// The settings of a [`super::SledJournal`].
#[derive(Clone)]
pub struct Options {
    /// A segment that has reached this many bytes is sealed; 64 MiB by default.
    pub segment_bytes: u64,
    /// Bytes of memory: half for database pages, half for the payloads read last; 64 MiB by default.
    pub cache_bytes: u64,
    /// Most appends waiting; 4,096 by default. Past it an append is [`super::Outcome::Busy`].
    pub queue_max: usize,
    /// Most bytes waiting, about; 64 MiB by default. Past it an append is [`super::Outcome::Busy`].
    pub queue_bytes_max: usize,
    /// The disk to write to, which tests can replace.
    pub disk: Arc<dyn Disk>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * 1024 * 1024,
            cache_bytes: 64 * 1024 * 1024,
            queue_max: 4096,
            queue_bytes_max: 64 * 1024 * 1024,
            disk: Arc::new(RealDisk),
        }
    }
}
