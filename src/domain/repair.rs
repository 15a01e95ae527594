//! What can be wrong between records, their indexes and their content, and what was done about it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The kind of a difference between journal, rows and files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriftKind {
    /// Content that a record names is not there.
    MissingObject,
    /// A file that no record names.
    OrphanObject,
    /// A file that has more or fewer bytes than its content.
    SizeMismatch,
    /// A file with the right number of bytes, and wrong ones.
    Md5Mismatch,
    /// A file with the right size and the right MD5, but other bytes: a collision of MD5 that somebody made.
    Sha256Mismatch,
    /// An upload that was promised and is long overdue.
    StalePending,
    /// A row that a record should have is not there, or is another.
    MissingIndex,
    /// A row that no record should have.
    StaleIndex,
}

impl DriftKind {
    /// The text operators see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingObject => "missing-object",
            Self::OrphanObject => "orphan-object",
            Self::SizeMismatch => "size-mismatch",
            Self::Md5Mismatch => "md5-mismatch",
            Self::Sha256Mismatch => "sha256-mismatch",
            Self::StalePending => "stale-pending",
            Self::MissingIndex => "missing-index",
            Self::StaleIndex => "stale-index",
        }
    }
}

/// What a repair does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepairAction {
    /// The record's rows are made again from its stream.
    RowsRestored,
    /// The rows that are too many are removed.
    RowsRemoved,
    /// The content is noted as lost; what is left of it is moved to the damaged copies. A version put later is not affected.
    MarkedLost,
    /// Content noted as lost was found again, complete.
    FoundAgain,
    /// The file is removed.
    FileRemoved,
    /// The upload is given up.
    GivenUp,
}

impl RepairAction {
    /// The text operators see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RowsRestored => "rows-restored",
            Self::RowsRemoved => "rows-removed",
            Self::MarkedLost => "marked-lost",
            Self::FoundAgain => "found-again",
            Self::FileRemoved => "file-removed",
            Self::GivenUp => "given-up",
        }
    }
}

/// One difference and its repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// Kind of drift that was found.
    pub kind: DriftKind,
    /// The repair of it.
    pub action: RepairAction,
    /// The record, when one is concerned; read from a damaged row it may be no valid id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_id: Option<String>,
    /// The content's version, when content is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Id of the content file, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_id: Option<Uuid>,
    /// The file's place below the org's, when no object has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Keys of rows that are too many, in hex.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<String>,
}

impl Repair {
    /// A repair that concerns nothing yet.
    pub fn new(kind: DriftKind, action: RepairAction) -> Self {
        Self {
            kind,
            action,
            record_id: None,
            version: None,
            object_id: None,
            file: None,
            rows: Vec::new(),
        }
    }
}
