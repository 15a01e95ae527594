//! Failures of the projections.

use crate::journal::JournalError;
use crate::storage::StorageError;

/// A failure of the projections' database; for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed, or its files are damaged.
    #[error("the projections' database failed")]
    Database(#[from] StorageError),
    /// A row cannot be read.
    #[error("a row of the projections cannot be read")]
    Row(#[from] postcard::Error),
    /// The directory could not be changed.
    #[error("cannot {action} {place}")]
    Io {
        /// What was tried, for the message.
        action: &'static str,
        /// Path of the projections' directory.
        place: String,
        /// Error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The journal could not be read.
    #[error("the journal could not be read")]
    Journal(#[from] JournalError),
}
