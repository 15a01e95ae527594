//! Embedded key-value databases below the journal and the projections, and the only module that names their engines: sled for
//! the journal's, fjall for the projections'.
//!
//! A `Database` is a directory of numbered generations, each with the same tables. Keys are ordered by their bytes. After a
//! crash a database has a prefix of its writes in their order: of single ones with sled, of batches with fjall.

mod btree;
mod files;
mod generation;
mod lsm;
mod read_cache;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

pub(crate) use btree::Table;
pub(crate) use files::{remove_renamed, rename_broken, sync_directory};
pub use generation::Sizes;
pub(crate) use generation::{Keep, Settings};
pub(crate) use lsm::{Database as BatchDatabase, is_foreign};
pub use lsm::{Row, Value};
pub(crate) use read_cache::ReadCache;

/// A database of single writes, the journal's.
pub(crate) type Database = generation::Database<btree::Engine>;
/// A generation of a [`Database`].
pub(crate) type Generation = generation::Generation<btree::Engine>;

/// How often a lock that another process holds is tried again.
pub(crate) const LOCK_TRIES: u32 = 100;
/// The pause between two tries: a second in all.
pub(crate) const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A failure of a database; for the operator, never for a caller.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The file system refused a read or write.
    #[error("the database's files could not be read or written")]
    Io(#[from] io::Error),
    /// The engine found its files damaged, or refused to use them; its own words.
    #[error("the database engine failed: {0}")]
    Engine(String),
    /// The engine panicked, which it does on some damage. The panic's text may quote stored data and is dropped.
    #[error("the database engine panicked on its files")]
    Panicked,
}

/// Runs work on a database whose files may be damaged; a panic of the engine becomes an error.
pub(crate) fn guarded<T>(
    work: impl FnOnce() -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(StorageError::Panicked))
}
