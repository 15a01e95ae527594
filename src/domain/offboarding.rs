//! What of an org leaves and comes: its offboarding, its exports, and an import of it.
//!
//! One stream an org, which no vacuum erases: it tells that the org was here, who had it go, and what became of its data.

mod decide;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::declare::events;
use super::org::OrgStatus;
use super::{OrgCode, Rejection, Timestamp, check};

pub use decide::OffboardingDecider;

/// The name under which offboardings, exports and their removal are carried out.
pub const JOB: &str = "job:offboarding";
/// Exports of one org that are kept at once.
pub const EXPORTS_MAX: usize = 8;

/// Where an offboarding is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffboardingStatus {
    /// Asked for by an owner.
    Requested,
    /// Approved: the org is frozen and its data can be taken away.
    Approved,
    /// Its data is being erased.
    Purging,
    /// Its data is gone.
    Purged,
    /// Cancelled before it was carried out.
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

    /// It is not over.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Requested | Self::Approved | Self::Purging)
    }
}

/// What approving an offboarding settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Time of the approval.
    pub at: Timestamp,
    /// Until when the data can be taken away.
    pub window_ends_at: Timestamp,
    /// The org's status, which it gets back when the offboarding is cancelled.
    pub org_status: OrgStatus,
    /// The version of the org's own stream: what came later is the offboarding's own doing, and is not exported.
    pub org_version: u64,
}

/// One offboarding as its events made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offboarding {
    /// Its name; its export has the same.
    pub offboarding_id: String,
    /// Why, in the owner's words.
    pub reason: String,
    /// How far the request has come.
    pub status: OffboardingStatus,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// The owner who did.
    pub requested_by: String,
    /// Once it was approved.
    pub approval: Option<Approval>,
    /// The vacuum that erases the data.
    pub vacuum_id: Option<String>,
    /// Why it cannot continue.
    pub blocked: Option<String>,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// How often it changed.
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

/// What a finished export is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// When it was finished.
    pub at: Timestamp,
    /// SHA-256 of its manifest, in hex.
    pub manifest_sha256: String,
    /// How much it holds.
    pub counts: Counts,
}

/// One export as its events made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Id of the export.
    pub export_id: String,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Entries of the journal up to this one are in it, as far as they are the org's.
    pub position: u64,
    /// Once it is finished.
    pub made: Option<Made>,
}

/// An import as its events made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// SHA-256 of the manifest, in hex: it goes on with no other.
    pub manifest_sha256: String,
    /// Where the export came from: its name there.
    pub export_id: String,
    /// Entries it is to bring.
    pub entries: u64,
    /// Where in the journal it began.
    pub position: u64,
    /// It is still on its way.
    pub open: bool,
}

/// All that is known of an org's leaving and coming.
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

    /// Whether an import of the org is on its way.
    pub fn is_importing(&self) -> bool {
        self.import.as_ref().is_some_and(|import| import.open)
    }

    /// Whether something remains to be done that nobody asks for any more.
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
        /// The offboarding was called off; the org is as before.
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
            /// How much it holds.
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

/// What may be asked.
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
        /// How long the data can be taken away.
        window_ms: i64,
        /// Status of the org when it was asked for.
        org_status: OrgStatus,
        /// The version of the org's stream.
        org_version: u64,
    },
    /// Cancels the offboarding before it is carried out.
    Cancel,
    /// Note why it does not go on.
    Block {
        /// Why it failed, for operators.
        why: String,
    },
    /// Note the vacuum that erases the data.
    StartPurge {
        /// Id of the vacuum to start, never used before.
        vacuum_id: String,
    },
    /// Note that the data is gone.
    FinishPurge,
    /// Ask for an export: that of the offboarding, by its name, or one beside it.
    Export {
        /// Id of the new export, never used before.
        export_id: String,
        /// The journal's position that it goes up to.
        position: u64,
    },
    /// Note that an export is finished.
    FinishExport {
        /// Id of the export.
        export_id: String,
        /// SHA-256 of its manifest, in hex.
        manifest_sha256: String,
        /// How much it holds.
        counts: Counts,
    },
    /// Have an export removed.
    RemoveExport {
        /// Id of the export.
        export_id: String,
    },
    /// Begin an import, or go on with it.
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

/// What may be asked, and of which org.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffboardingCommand {
    /// Org that is to change.
    pub org: OrgCode,
    /// Change that is asked for.
    pub action: OffboardingAction,
}
