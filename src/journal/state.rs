//! The journal's small marker file: which format the directory has and how it was left.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::segment::failed;
use super::{Head, JournalError, Position};
use crate::disk::Disk;

/// The marker's file name.
pub const FILE: &str = "state.json";
/// The directory format this program writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What the marker says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The directory's format.
    pub format_version: u32,
    /// Names the machine's run in which it was written; empty when the system gives none.
    pub boot_id: String,
    /// Whether the journal was closed in order after this was written.
    pub clean: bool,
    /// The journal's end when it was closed in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<StateHead>,
}

/// Where a journal that was closed in order ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateHead {
    /// Its last position.
    pub position: Position,
    /// That entry's hash in hex.
    pub hash: String,
}

impl State {
    /// The marker of a journal that is open, or of one closed with this head.
    pub fn now(closed: Option<Head>) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            boot_id: boot_id(),
            clean: closed.is_some(),
            head: closed.map(|head| StateHead {
                position: head.position,
                hash: head.hash,
            }),
        }
    }

    /// Whether the machine may have gone down while the journal was open, so that bytes which were never synced may
    /// be there in part.
    pub fn machine_went_down(&self) -> bool {
        !self.clean && (self.boot_id.is_empty() || self.boot_id != boot_id())
    }
}

/// Reads a directory's marker; `None` when there is none.
///
/// # Errors
/// [`JournalError::Newer`] for a newer format, [`JournalError::Damaged`] when it cannot be read.
pub fn read(dir: &Path) -> Result<Option<State>, JournalError> {
    #[derive(Deserialize)]
    struct Format {
        format_version: u32,
    }
    let path = dir.join(FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("reading the journal's marker", &path, error)),
    };
    let damaged = |error: serde_json::Error| JournalError::Damaged {
        place: FILE.to_owned(),
        what: format!("{error}; remove it only if the journal's log is known to be whole"),
    };
    let format: Format = serde_json::from_slice(&text).map_err(damaged)?;
    if format.format_version > FORMAT_VERSION {
        return Err(JournalError::Newer {
            place: FILE.to_owned(),
            found: format.format_version,
            known: FORMAT_VERSION,
        });
    }
    serde_json::from_slice(&text).map(Some).map_err(damaged)
}

/// Writes a directory's marker; durable on return.
///
/// # Errors
/// The disk's.
pub fn write(disk: &dyn Disk, dir: &Path, state: &State) -> Result<(), JournalError> {
    let (path, temporary) = (dir.join(FILE), dir.join(format!("{FILE}.tmp")));
    let mut text = serde_json::to_vec(state).map_err(|error| JournalError::Damaged {
        place: FILE.to_owned(),
        what: error.to_string(),
    })?;
    text.push(b'\n');
    let written = disk.create(&temporary).and_then(|mut file| {
        file.write_at(0, &text)?;
        file.sync()?;
        disk.rename(&temporary, &path)?;
        disk.sync_dir(dir)
    });
    written.map_err(|error| failed("writing the journal's marker", &path, error))
}

/// Names the machine's run; empty when the system gives no name.
pub fn boot_id() -> String {
    fs::read_to_string(BOOT_ID).map_or_else(|_| String::new(), |id| id.trim().to_owned())
}
