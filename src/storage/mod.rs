//! Embedded key-value databases below the journal and the projections, and the only module that names their engine.
//!
//! A `Database` is a directory of numbered generations, each with the same tables. Keys are ordered by their bytes. A
//! write is one insert or removal; after a crash the database has a prefix of the writes in their order.

mod engine;
mod files;
mod generation;

use std::io;

pub(crate) use engine::{LOCK_PAUSE, LOCK_TRIES, Table, guarded};
pub use engine::{Row, Value};
pub(crate) use files::{remove_renamed, rename_broken, sync_directory};
pub use generation::Sizes;
pub(crate) use generation::{Database, Generation, Keep, Settings};

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
