//! The settings of an embedded journal.

use std::sync::Arc;

use crate::disk::{Disk, RealDisk};

/// The settings of a [`super::SledJournal`].
#[derive(Clone)]
pub struct Options {
    /// A segment that has reached so many bytes is sealed; 64 MiB unless told.
    pub segment_bytes: u64,
    /// Bytes of database pages kept in memory; 64 MiB unless told.
    pub cache_bytes: u64,
    /// Most appends waiting; 4,096 unless told. Past it an append is [`super::Outcome::Busy`].
    pub queue_max: usize,
    /// Most bytes waiting, about; 64 MiB unless told. Past it an append is [`super::Outcome::Busy`].
    pub queue_bytes_max: usize,
    /// What the log is written to.
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
