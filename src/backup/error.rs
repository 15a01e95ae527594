//! Why a backup was not made, checked or restored.

use std::fmt::Display;
use std::io;
use std::path::Path;

use super::{FORMAT_VERSION, MANIFEST};
use crate::directory::DirectoryError;
use crate::journal::{JournalError, Position};

/// Why a backup was not made, checked or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file could not be read or written.
    #[error("cannot {action} {place}")]
    Io {
        /// What was tried, for the message.
        action: &'static str,
        /// Path of the file or directory.
        place: String,
        /// Error of the operating system.
        #[source]
        source: io::Error,
    },
    /// The journal cannot be read.
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A newer program wrote the backup.
    #[error(
        "the backup has format {found}; this program reads up to {FORMAT_VERSION}; use the g3n that created it, or a newer one"
    )]
    Newer {
        /// Format version that was found.
        found: u32,
    },
    /// A file is not what was written.
    #[error("{file} of the backup is damaged: {what}")]
    Damaged {
        /// Name of the file within the directory.
        file: String,
        /// The difference, in words.
        what: String,
    },
    /// The directory is something else.
    #[error(
        "{place} is not empty and has no {MANIFEST}; use an empty directory or one that g3n backup create created"
    )]
    Foreign {
        /// Path of the backup's or data directory.
        place: String,
    },
    /// It lies in a data directory, or is one.
    #[error(
        "{place} is in the data directory {data_dir}, where nothing else is written; use a directory elsewhere"
    )]
    InDataDirectory {
        /// Path of the directory that was asked for.
        place: String,
        /// Path of the data directory around it.
        data_dir: String,
    },
    /// What is unfinished there is of something else.
    #[error(
        "{place} has the unfinished work of something else: remove it if it is not needed, or use another directory"
    )]
    OtherWork {
        /// Path of the directory that was asked for.
        place: String,
    },
    /// There is no finished backup.
    #[error("{place} has no {MANIFEST}: it holds no backup, or none that was finished")]
    Absent {
        /// Path of the backup's or data directory.
        place: String,
    },
    /// Another process works on it.
    #[error("another g3n is using the backup in {place}; try again when it has finished")]
    InUse {
        /// Path of the backup's or data directory.
        place: String,
    },
    /// It belongs to another journal, or to a later state of this one.
    #[error(
        "{place} holds a backup of another journal, or of a later state of this one (position {position}); use another directory, so that it is not lost"
    )]
    OtherJournal {
        /// Path of the backup's or data directory.
        place: String,
        /// Where that backup ends.
        position: Position,
    },
    /// The data directory is not the one of the server that answers.
    #[error(
        "the server's journal ends at position {position}, and the one in {place} has another entry there: they are not the same; give the --data-dir of that server, or the operator url of the server that has this one"
    )]
    OtherServer {
        /// Path of the journal's directory.
        place: String,
        /// Position that the journal lacks.
        position: Position,
    },
    /// Something was removed or rewritten although nothing should have been.
    #[error("the data directory changed while it was copied ({what}); run the same command again")]
    Changed {
        /// What was found, for operators.
        what: String,
    },
    /// There is data where it was to be restored to.
    #[error(
        "{place} is not empty, and nothing is restored over data; use another --data-dir, or --replace to rename it first"
    )]
    NotEmpty {
        /// Path of the backup's or data directory.
        place: String,
    },
}

impl BackupError {
    /// A failed operation on a path.
    pub(super) fn io(action: &'static str, place: &Path) -> impl FnOnce(io::Error) -> Self {
        let place = place.display().to_string();
        move |source| Self::Io {
            action,
            place,
            source,
        }
    }

    /// A file that is not what was written.
    pub(super) fn damaged(file: &str, what: impl Display) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            what: what.to_string(),
        }
    }

    /// Whether a newer program is needed.
    pub fn is_newer(&self) -> bool {
        match self {
            Self::Newer { .. } => true,
            Self::Journal(error) => error.is_newer(),
            Self::Directory(error) => error.is_newer(),
            Self::Io { .. }
            | Self::Damaged { .. }
            | Self::Foreign { .. }
            | Self::InDataDirectory { .. }
            | Self::OtherWork { .. }
            | Self::Absent { .. }
            | Self::InUse { .. }
            | Self::OtherJournal { .. }
            | Self::OtherServer { .. }
            | Self::Changed { .. }
            | Self::NotEmpty { .. } => false,
        }
    }
}
