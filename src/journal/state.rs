//! The journal's small marker file: which format the directory has and how it was left.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
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

/// The content of the marker file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Format version of the journal's directory.
    pub format_version: u32,
    /// Names the machine's run in which it was written; empty when the system gives none.
    pub boot_id: String,
    /// Whether the journal was closed in order after this was written.
    pub clean: bool,
    /// The journal's end when it was closed in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<StateHead>,
    /// Names the directory it was written in, by device and inode; absent in what earlier programs wrote. Bytes that were not
    /// synced are in no snapshot of the disk, and in a copy from any time while it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// The directory it was read from is not that one.
    #[serde(skip)]
    elsewhere: bool,
}

/// The end of a journal that was closed in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateHead {
    /// Position of the last entry.
    pub position: Position,
    /// That entry's hash in hex.
    pub hash: String,
}

/// Why a database that was open cannot be trusted: parts of what it wrote may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The machine went down while it was open.
    MachineWentDown,
    /// It is a copy or a snapshot of one that was open.
    Copied,
}

impl Doubt {
    /// The end of a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MachineWentDown => "the machine may have gone down while it was open",
            Self::Copied => "it is a copy or a snapshot of one that was open",
        }
    }
}

impl State {
    /// The marker of a journal that is open in a directory.
    pub fn open(dir: &Path) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            boot_id: boot_id(),
            clean: false,
            head: None,
            directory: name_of(dir),
            elsewhere: false,
        }
    }

    /// The marker of a journal that was closed with this head.
    pub fn closed(head: Head) -> Self {
        Self {
            clean: true,
            head: Some(StateHead {
                position: head.position,
                hash: head.hash,
            }),
            directory: None,
            ..Self::open(Path::new(""))
        }
    }

    /// Why bytes that were never synced may be there in part; `None` when the process ended and the machine went on.
    pub fn doubt(&self) -> Option<Doubt> {
        if self.clean {
            return None;
        }
        if self.boot_id.is_empty() || self.boot_id != boot_id() {
            return Some(Doubt::MachineWentDown);
        }
        self.elsewhere.then_some(Doubt::Copied)
    }
}

/// Names a directory of this machine; `None` when it cannot be read.
fn name_of(dir: &Path) -> Option<String> {
    let found = fs::metadata(dir).ok()?;
    Some(format!("{}:{}", found.dev(), found.ino()))
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
    let mut state: State = serde_json::from_slice(&text).map_err(damaged)?;
    let written_in = state.directory.as_deref();
    state.elsewhere = written_in.is_some_and(|name| Some(name) != name_of(dir).as_deref());
    Ok(Some(state))
}

/// Writes a directory's marker; durable on return.
///
/// # Errors
/// [`JournalError`] with the I/O error.
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
