//! Why an export could not be made, given out or removed.

use crate::content::{ContentError, ObjectName};
use crate::export::check::ExportError;
use crate::export::line::LineError;
use crate::journal::JournalError;
use crate::projections::StoreError;

/// A failure of making, reading or removing an export; for the operator, never for a caller.
#[derive(Debug, thiserror::Error)]
pub enum ExportsError {
    /// The file system refused a read or write of the export's files.
    #[error("the files of an export cannot be read or written")]
    Io(#[from] std::io::Error),
    /// The journal could not be read, or is damaged.
    #[error("the journal failed")]
    Journal(#[from] JournalError),
    /// A row of the projections could not be read.
    #[error("the projections failed")]
    Store(#[from] StoreError),
    /// An object of the content store could not be read.
    #[error("the content store failed")]
    Content(#[from] ContentError),
    /// A line could not be written or read as JSON.
    #[error("something of an export cannot be written or read as JSON")]
    Json(#[from] serde_json::Error),
    /// What was written does not read as an export.
    #[error("the export cannot be read back")]
    Export(#[from] ExportError),
    /// A line of the export's history is not what was written.
    #[error("a line of the export's history is invalid")]
    Line(#[from] LineError),
    /// An object's bytes have another size or digest than its event promised.
    #[error("content {0} is damaged: it is not what its event promised")]
    Damaged(ObjectName),
}
