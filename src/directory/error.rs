//! Why a data directory cannot be served from.

use std::path::Path;

use super::{FORMAT_VERSION, MARKER};

/// Why a directory cannot be served from.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Something on disk could not be read or made.
    #[error("cannot {action} {place}")]
    Io {
        /// What was tried, for the message.
        action: &'static str,
        /// Path of the file or directory.
        place: String,
        /// Error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The path leads to something else.
    #[error("{place} is a file, and a directory is needed there; use another --data-dir")]
    NotADirectory {
        /// Path of the file in the way.
        place: String,
    },
    /// Another process has it.
    #[error("{place} is in use by another process ({holder}); stop that process first")]
    Held {
        /// Path of the data directory.
        place: String,
        /// The text of the lock file.
        holder: String,
    },
    /// Written by a newer program.
    #[error(
        "{place} has format {found}, and this g3n reads up to {FORMAT_VERSION}: a newer version wrote it. Nothing was changed; install that version, or use another --data-dir"
    )]
    Newer {
        /// Path of the data directory.
        place: String,
        /// Format version that was found.
        found: u32,
    },
    /// A newer program has served from it, and may have written what this one cannot read.
    #[error(
        "{place} was used by a newer g3n, and this one does not know its event {kind} version {found}. Nothing was changed; install the newer version, or use another --data-dir"
    )]
    NewerEvents {
        /// Path of the data directory.
        place: String,
        /// Type of the event, such as `record.created`.
        kind: String,
        /// Schema version of that event.
        found: u16,
    },
    /// There is no data directory at the place.
    #[error("{place} has no {MARKER}: it is not a data directory; give the server's --data-dir")]
    Absent {
        /// Path of the data directory.
        place: String,
    },
    /// The directory is not empty and has no marker.
    #[error(
        "{place} is not empty and has no {MARKER}; use an empty directory or one that g3n created"
    )]
    Foreign {
        /// Path of the data directory.
        place: String,
    },
    /// Other users of the machine can read or change it, and its mode cannot be set.
    #[error(
        "other users of this machine can read or change {place}, and its mode cannot be set; chmod 700 it as its owner, or use another --data-dir"
    )]
    OpenToOthers {
        /// Path of the data directory.
        place: String,
        /// The I/O error of setting the mode.
        #[source]
        source: std::io::Error,
    },
    /// The file of the operators' token can be read by others.
    #[error(
        "other users of this machine can read the operators' token in {place}; chmod 600 it, or delete it if somebody may have read it: the next start creates another"
    )]
    TokenOpenToOthers {
        /// Path of the file in the way.
        place: String,
    },
    /// The file of the operators' token holds none.
    #[error(
        "{place} holds no operator token; it must be op_ and 32 to 250 letters or digits; correct it, or remove it to have one made"
    )]
    TokenUnfit {
        /// Path of the token's file.
        place: String,
    },
    /// Made for another environment.
    #[error("{place} was made for {found}, not for {wanted}; use another --data-dir")]
    Environment {
        /// Path of the data directory.
        place: String,
        /// The value in the marker.
        found: String,
        /// The value that was asked for.
        wanted: &'static str,
    },
}

impl DirectoryError {
    /// Whether a newer program is needed.
    pub fn is_newer(&self) -> bool {
        match self {
            Self::Newer { .. } | Self::NewerEvents { .. } => true,
            Self::Io { .. }
            | Self::NotADirectory { .. }
            | Self::Held { .. }
            | Self::Absent { .. }
            | Self::Foreign { .. }
            | Self::OpenToOthers { .. }
            | Self::TokenOpenToOthers { .. }
            | Self::TokenUnfit { .. }
            | Self::Environment { .. } => false,
        }
    }
}

pub(super) fn io(action: &'static str, place: &Path, source: std::io::Error) -> DirectoryError {
    DirectoryError::Io {
        action,
        place: place.display().to_string(),
        source,
    }
}
