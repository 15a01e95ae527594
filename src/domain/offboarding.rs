//! The transfers of an org: its offboarding, its exports, and an import of it.
//!
//! One stream an org, which no vacuum erases: it records that the org was here, who removed it, and what became of its data.

mod decide;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::declare::events;
use super::org::OrgStatus;
use super::{OrgCode, Rejection, Timestamp, check};

pub use decide::OffboardingDecider;

/// The principal under which offboardings, exports and their removal are executed.
pub const JOB: &str = "job:offboarding";
/// Exports of one org that are kept at once.
pub const EXPORTS_MAX: usize = 8;

/// The status of an offboarding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffboardingStatus {
    /// Asked for by an owner.
    Requested,
    /// Approved: the org is frozen and its data can be taken away.
    Approved,
    /// Its data is being erased.
    Purging,
    /// Its data has been erased.
    Purged,
    /// Cancelled before it was executed.
    Cancelled,
}

impl OffboardingStatus {
    /// Every status, in the order of a lifecycle.
    pub const ALL: [Self; 5] = [
        Self::Requested,
        Self::Approved,
        Self::Purging,
        Self::Purged,
        Self::Cancelled,
    ];

    /// The text callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Approved => "approved",
            Self::Purging => "purging",
            Self::Purged => "purged",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether an offboarding in this status is not over.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Requested | Self::Approved | Self::Purging)
    }
}

/// What was decided when an offboarding was approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Time of the approval.
    pub at: Timestamp,
    /// Until when the data can be downloaded.
    pub window_ends_at: Timestamp,
    /// The org's status, which it gets back when the offboarding is cancelled.
    pub org_status: OrgStatus,
    /// The version of the org's own stream: what came later is the offboarding's own doing, and is not exported.
    pub org_version: u64,
}

/// One offboarding, folded from its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offboarding {
    /// Its id; its export has the same.
    pub offboarding_id: String,
    /// The reason, in the owner's words.
    pub reason: String,
    /// How far the request has come.
    pub status: OffboardingStatus,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// The owner who did.
    pub requested_by: String,
    /// The approval, once there is one.
    pub approval: Option<Approval>,
    /// The vacuum that erases the data.
    pub vacuum_id: Option<String>,
    /// Why it cannot continue.
    pub blocked: Option<String>,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// The number of its changes.
    pub revision: u64,
}

/// The size of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Records of every status.
    pub records: u64,
    /// Entries of the history.
    pub entries: u64,
    /// Content files, each counted once.
    pub objects: u64,
    /// Content that the history names and that is missing: never uploaded, or cleaned up.
    pub objects_absent: u64,
    /// Bytes of content files and of inline content.
    pub bytes: u64,
}

/// The facts of a complete export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// When it was finished.
    pub at: Timestamp,
    /// SHA-256 of its manifest, in hex.
    pub manifest_sha256: String,
    /// The amounts of data in it.
    pub counts: Counts,
}

/// One export, folded from its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Id of the export.
    pub export_id: String,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// Entries of the journal up to this one are in it, as far as they are the org's.
    pub position: u64,
    /// The facts of the export, once it is complete.
    pub made: Option<Made>,
}

/// An import as its events made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// SHA-256 of the manifest, in hex: the import continues with no other manifest.
    pub manifest_sha256: String,
    /// The id of the export in the instance it comes from.
    pub export_id: String,
    /// Entries it is to bring.
    pub entries: u64,
    /// Where in the journal it began.
    pub position: u64,
    /// Whether the import is in progress.
    pub open: bool,
}

/// An org's offboardings, exports and imports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrgTransfer {
    /// The version of the stream.
    pub version: u64,
    /// The offboarding that was asked for last.
    pub offboarding: Option<Offboarding>,
    /// Exports that are there, or being made, oldest first.
    pub exports: Vec<Export>,
    /// The import that was begun last.
    pub import: Option<Import>,
}

impl OrgTransfer {
    /// The export of a name.
    pub fn export(&self, export_id: &str) -> Option<&Export> {
        let mut exports = self.exports.iter();
        exports.find(|export| export.export_id == export_id)
    }

    /// The offboarding, unless it is over.
    pub fn open_offboarding(&self) -> Option<&Offboarding> {
        let last = self.offboarding.as_ref();
        last.filter(|offboarding| offboarding.status.is_open())
    }

    /// Whether an import of the org is in progress.
    pub fn is_importing(&self) -> bool {
        self.import.as_ref().is_some_and(|import| import.open)
    }

    /// Whether jobs still have to continue something without a further call.
    pub fn has_work(&self) -> bool {
        self.open_offboarding().is_some() || !self.exports.is_empty() || self.is_importing()
    }
}

events! {
    /// What can happen to an org's offboarding, exports and import.
    pub enum OffboardingEvent {
        /// An owner asked for the org to be erased; nothing changes until an operator approves.
        #[event("offboarding.requested", 1)]
        Requested {
            /// Id of the offboarding.
            offboarding_id: String,
            /// Reason in the requester's words.
            reason: String,
        },
        /// An operator approved: the org is frozen and exported, and is erased when the window ends.
        #[event("offboarding.approved", 1)]
        Approved {
            /// Until when the export can be downloaded; then the org is erased.
            window_ends_at: Timestamp,
            /// The org's status at that moment.
            org_status: OrgStatus,
            /// The version of the org's stream at that moment.
            org_version: u64,
        },
        /// The offboarding was cancelled; the org is as before.
        #[event("offboarding.cancelled", 1)]
        Cancelled {},
        /// The window has ended, but the data cannot be erased yet.
        #[event("offboarding.blocked", 1)]
        Blocked {
            /// What prevents it, such as a hold.
            why: String,
        },
        /// A vacuum of the org was asked for.
        #[event("offboarding.purge_started", 1)]
        PurgeStarted {
            /// Id of the vacuum that erases the org.
            vacuum_id: String,
        },
        /// The org's data is erased.
        #[event("offboarding.purged", 1)]
        Purged {},
        /// An export of the org was asked for.
        #[event("export.requested", 1)]
        ExportRequested {
            /// Id of the export.
            export_id: String,
            /// The last position it takes in.
            position: u64,
        },
        /// An export is finished.
        #[event("export.completed", 1)]
        ExportCompleted {
            /// Id of the export.
            export_id: String,
            /// SHA-256 of its manifest, in hex.
            manifest_sha256: String,
            /// The amounts of data in it.
            counts: Counts,
        },
        /// An export and its files are removed.
        #[event("export.removed", 1)]
        ExportRemoved {
            /// Id of the export.
            export_id: String,
        },
        /// An import of the org began.
        #[event("import.begun", 1)]
        ImportBegun {
            /// SHA-256 of the export's manifest, in hex.
            manifest_sha256: String,
            /// The export's name where it was made.
            export_id: String,
            /// Entries it is to bring.
            entries: u64,
        },
        /// All of the export was imported, and the org is open.
        #[event("import.completed", 1)]
        ImportCompleted {},
        /// The import was given up.
        #[event("import.cancelled", 1)]
        ImportCancelled {},
    }
}

/// The commands on an org's transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OffboardingAction {
    /// Ask for an offboarding, as an owner.
    Request {
        /// Id of the new offboarding, never used before.
        offboarding_id: String,
        /// Reason in the requester's words.
        reason: String,
    },
    /// Approve it, as an operator.
    Approve {
        /// For how many milliseconds the data can be downloaded.
        window_ms: i64,
        /// Status of the org when it was asked for.
        org_status: OrgStatus,
        /// The version of the org's stream.
        org_version: u64,
    },
    /// Cancel the offboarding before it is executed.
    Cancel,
    /// Note why it does not continue.
    Block {
        /// Why it failed, for operators.
        why: String,
    },
    /// Note the vacuum that erases the data.
    StartPurge {
        /// Id of the vacuum to start, never used before.
        vacuum_id: String,
    },
    /// Note that the data has been erased.
    FinishPurge,
    /// Request an export: that of the offboarding, by its name, or one without an offboarding.
    Export {
        /// Id of the new export, never used before.
        export_id: String,
        /// The journal's position of the last entry in it.
        position: u64,
    },
    /// Note that an export is finished.
    FinishExport {
        /// Id of the export.
        export_id: String,
        /// SHA-256 of its manifest, in hex.
        manifest_sha256: String,
        /// The amounts of data in it.
        counts: Counts,
    },
    /// Have an export removed.
    RemoveExport {
        /// Id of the export.
        export_id: String,
    },
    /// Begin an import, or continue it.
    BeginImport {
        /// SHA-256 of the export's manifest, in hex.
        manifest_sha256: String,
        /// The export's name where it was made.
        export_id: String,
        /// Entries it is to bring.
        entries: u64,
        /// Something of that name is there.
        taken: bool,
    },
    /// End an import well.
    FinishImport,
    /// Give an import up.
    CancelImport,
}

/// Longest reason of an offboarding, in characters.
pub const REASON_CHARS_MAX: usize = 256;
/// Bytes of the SHA-256 of a manifest.
const SHA256_BYTES: usize = 32;

impl OffboardingAction {
    /// Whether what it says can be carried out at all.
    ///
    /// # Errors
    /// `invalid-input` naming the field.
    pub fn check(&self) -> Result<(), Rejection> {
        match self {
            Self::Request {
                offboarding_id,
                reason,
            } => {
                check::id("offboarding_id", offboarding_id)?;
                check::text("reason", reason, REASON_CHARS_MAX)
            }
            Self::StartPurge { vacuum_id } => check::id("vacuum_id", vacuum_id),
            Self::Export { export_id, .. } => check::id("export_id", export_id),
            Self::FinishExport {
                manifest_sha256, ..
            }
            | Self::BeginImport {
                manifest_sha256, ..
            } => check::hash("manifest_sha256", manifest_sha256, SHA256_BYTES),
            Self::Approve { .. }
            | Self::Cancel
            | Self::Block { .. }
            | Self::FinishPurge
            | Self::RemoveExport { .. }
            | Self::FinishImport
            | Self::CancelImport => Ok(()),
        }
    }
}

/// A command with the org it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffboardingCommand {
    /// Org that is to change.
    pub org: OrgCode,
    /// Change that is asked for.
    pub action: OffboardingAction,
}
