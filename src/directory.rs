//! The data directory: its parts, its marker, its lock, and the files of keys in it.

mod around;
mod ask;
mod error;
mod operator_token;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::{pause, random_uuid};
use crate::os_error::OsError;
use crate::private;
use crate::reserve;

pub use self::around::around;
use self::ask::environment;
pub use self::ask::{DEVELOPMENT, ask, journal_of, must_not_be_a_file};
use self::ask::{file_above, not_a_directory};
pub use self::error::DirectoryError;
use self::error::io;
pub use self::operator_token::{
    OPERATOR_TOKEN, check_operator_token, existing_operator_token, keep_operator_token,
    operator_token,
};

/// The format this program writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;
/// Name of the marker, a file in the data directory.
pub const MARKER: &str = "metarecord.json";
/// The file whose lock keeps a second process out.
pub const LOCK: &str = "lock";
/// The directory that mkfs.ext4(8) makes at the top of a file system, so that one may be mounted as the data directory.
pub const LOST_AND_FOUND: &str = "lost+found";
/// The directory of keys.
const KEYS: &str = "keys";
/// How often a lock that is taken is tried again, a second in all, and how long is waited between.
const LOCK_LOOKS: u32 = 100;
const LOCK_LOOK_EVERY_MS: u64 = 10;

/// The events that a program can read: each type with its newest schema version.
pub type Events<'a> = &'a [(&'a str, u16)];

/// The marker file, which identifies a data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Format version of the data directory.
    pub format_version: u32,
    /// The environment it was made for: `development` or `production`.
    pub environment: String,
    /// What names this directory and no other one, also among copies that a restore makes; absent until a program that knows
    /// it has served from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory_id: Option<String>,
    /// The events of all programs that have served from it: what its journal may hold. An older program that does not
    /// know one of them must not serve, because it would find that out only when a caller asks for it.
    #[serde(default)]
    pub events: BTreeMap<String, u16>,
}

impl Marker {
    /// Reads a marker's bytes. `place` is for the error.
    ///
    /// # Errors
    /// [`DirectoryError::Newer`], [`DirectoryError::NewerEvents`], or that it cannot be read.
    pub fn parse(text: &[u8], place: &Path, known: Events<'_>) -> Result<Self, DirectoryError> {
        #[derive(Deserialize)]
        struct Format {
            format_version: u32,
        }
        let unreadable = |error: serde_json::Error| io("read", place, error.into());
        // What else a newer one says may be anything.
        let format: Format = serde_json::from_slice(text).map_err(unreadable)?;
        if format.format_version > FORMAT_VERSION {
            return Err(DirectoryError::Newer {
                place: place.display().to_string(),
                found: format.format_version,
            });
        }
        let marker: Self = serde_json::from_slice(text).map_err(unreadable)?;
        for (kind, found) in &marker.events {
            let known = known.iter().any(|(name, v)| name == kind && v >= found);
            if !known {
                return Err(DirectoryError::NewerEvents {
                    place: place.display().to_string(),
                    kind: kind.clone(),
                    found: *found,
                });
            }
        }
        Ok(marker)
    }
}

/// Reads the marker of a data directory, which another process may hold. Returns its bytes too.
///
/// # Errors
/// See [`DirectoryError`].
pub fn read_marker(root: &Path, known: Events<'_>) -> Result<(Marker, Vec<u8>), DirectoryError> {
    let path = root.join(MARKER);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(DirectoryError::Absent {
                place: root.display().to_string(),
            });
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(file_above(&path));
        }
        Err(source) => return Err(io("read", &path, source)),
    };
    Ok((Marker::parse(&text, root, known)?, text))
}

/// Keeps every server from a data directory as long as it is there.
#[derive(Debug)]
pub struct Hold {
    _lock: Option<File>,
}

/// Takes a data directory without serving from it.
///
/// # Errors
/// [`DirectoryError::Held`] when a process has it, or another [`DirectoryError`] when a file cannot be read or written.
pub fn hold(root: &Path) -> Result<Hold, DirectoryError> {
    let lock = Some(lock(root)?);
    Ok(Hold { _lock: lock })
}

/// Locks a data directory to read from it. Where this user may not write, or nobody may, the lock is shared with others that
/// read; a snapshot without a lock needs none.
///
/// # Errors
/// As [`hold`].
pub fn hold_to_read(root: &Path) -> Result<Hold, DirectoryError> {
    let path = root.join(LOCK);
    let error = match lock(root) {
        Err(DirectoryError::Io { source, .. }) if may_not_write(&source) => source,
        held => return held.map(|lock| Hold { _lock: Some(lock) }),
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(absent) if absent.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Hold { _lock: None });
        }
        Err(_) => return Err(io("open", &path, error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Hold { _lock: Some(file) }),
        Err(TryLockError::WouldBlock) => Err(held(root, file)),
        Err(TryLockError::Error(source)) => Err(io("lock", &path, source)),
    }
}

fn may_not_write(error: &std::io::Error) -> bool {
    matches!(
        OsError::of(error),
        Some(OsError::ReadOnlyFileSystem | OsError::Denied)
    )
}

/// Whether a directory is absent, or has nothing in it but a lock and what its file system was made with.
///
/// # Errors
/// [`DirectoryError`] when the disk does not read or write what is needed.
pub fn is_free(root: &Path) -> Result<bool, DirectoryError> {
    Ok(!root.exists() || is_empty(root)?)
}

/// A data directory that this process holds.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
    /// What the marker names it.
    id: Arc<str>,
    /// Whether other users could read it, until it was opened.
    was_open_to_others: bool,
    /// Held as long as any clone is.
    _lock: Arc<File>,
}

impl Directory {
    /// Whether other users of the machine could read or change it before it was opened.
    pub fn was_open_to_others(&self) -> bool {
        self.was_open_to_others
    }

    /// What names this directory and no other one.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The commit log and its database.
    pub fn journal(&self) -> PathBuf {
        journal_of(&self.root)
    }

    /// The directory of the projections, which may be deleted while stopped.
    pub fn projections(&self) -> PathBuf {
        self.root.join("projections")
    }

    /// Directory of the uploaded content.
    pub fn content(&self) -> PathBuf {
        self.root.join("content")
    }

    /// The audit as a file.
    pub fn audit(&self) -> PathBuf {
        self.root.join("audit")
    }

    /// The directory of exports of orgs.
    pub fn exports(&self) -> PathBuf {
        self.root.join("exports")
    }

    /// The file that lists the requests in progress.
    pub fn running(&self) -> PathBuf {
        self.root.join("running")
    }

    /// The file with the time of the last backup's end.
    pub fn last_backup(&self) -> PathBuf {
        self.root.join("last-backup")
    }

    /// Directory of the secret keys, with mode 0700.
    pub fn keys(&self) -> PathBuf {
        self.root.join(KEYS)
    }
}

/// What is at the place of a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is no directory at this place yet.
    Nothing,
    /// A directory with nothing in it.
    Empty,
    /// One that this program made, for the environment that was asked for.
    Made,
}

/// Checks whether a place is one to serve from, and changes nothing there.
///
/// # Errors
/// As [`open`], except that the lock is not checked.
pub fn look(root: &Path, development: bool, known: Events<'_>) -> Result<Found, DirectoryError> {
    match std::fs::metadata(root) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(not_a_directory(root)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(file_above(root));
        }
        Err(source) => return Err(io("read", root, source)),
    }
    let marker = root.join(MARKER);
    let is_empty = is_empty(root)?;
    if marker.exists() {
        return judge_marker(root, environment(development), known).map(|_| Found::Made);
    }
    if is_empty {
        return Ok(Found::Empty);
    }
    Err(DirectoryError::Foreign {
        place: root.display().to_string(),
    })
}

/// What the lock file of a directory that some process holds says of it; nothing when no process does.
///
/// # Errors
/// [`DirectoryError`] when the lock file cannot be read.
pub fn holder(root: &Path) -> Result<Option<String>, DirectoryError> {
    let path = root.join(LOCK);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io("open", &path, source)),
    };
    // Shared, and given back at once, for which a server that starts at this very moment waits.
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            file.read_to_string(&mut text)
                .map_err(|source| io("read", &path, source))?;
            Ok(Some(text.trim().to_owned()))
        }
        Err(TryLockError::Error(source)) => Err(io("lock", &path, source)),
    }
}

/// Takes a directory, making it when it is not there.
///
/// # Errors
/// See [`DirectoryError`].
pub fn open(
    root: &Path,
    development: bool,
    known: Events<'_>,
) -> Result<Directory, DirectoryError> {
    ask(root, development, known)?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .map_err(|source| io("make", root, source))?;
    let lock = lock(root)?;
    // What follows writes.
    reserve::give_up_if_full(root).map_err(|source| io("look at", root, source))?;
    let id = check_marker(root, environment(development), known)?;
    Ok(Directory {
        root: root.to_owned(),
        id: id.into(),
        was_open_to_others: close_to_others(root)? | close_to_others(&root.join(KEYS))?,
        _lock: Arc::new(lock),
    })
}

/// The directory of the secret keys below a data directory.
pub fn keys_of(root: &Path) -> PathBuf {
    root.join(KEYS)
}

/// Whether others than the owner may do anything with a file or directory.
pub fn is_open_to_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o077 != 0)
}

/// Takes from other users what they may do with a directory. Returns whether they could do anything.
fn close_to_others(root: &Path) -> Result<bool, DirectoryError> {
    if !is_open_to_others(root) {
        return Ok(false);
    }
    match std::fs::set_permissions(root, Permissions::from_mode(0o700)) {
        Ok(()) => Ok(true),
        Err(source) => Err(DirectoryError::OpenToOthers {
            place: root.display().to_string(),
            source,
        }),
    }
}

fn is_empty(root: &Path) -> Result<bool, DirectoryError> {
    let entries = std::fs::read_dir(root).map_err(|source| io("read", root, source))?;
    let is_ours = |name: &OsStr| name == LOCK || name == LOST_AND_FOUND;
    Ok(entries.flatten().all(|entry| is_ours(&entry.file_name())))
}

fn lock(root: &Path) -> Result<File, DirectoryError> {
    let path = root.join(LOCK);
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let mut file = options
        .open(&path)
        .map_err(|source| io("open", &path, source))?;
    match try_lock(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(held(root, file)),
        Err(TryLockError::Error(source)) => return Err(io("lock", &path, source)),
    }
    let write = |file: &mut File| -> std::io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "process {}", std::process::id())
    };
    match write(&mut file) {
        // The text only helps a user who finds the directory locked, and a full disk must not keep a server from its start.
        Err(source) if source.kind() != std::io::ErrorKind::StorageFull => {
            Err(io("write", &path, source))
        }
        Ok(()) | Err(_) => Ok(file),
    }
}

/// The process that has a directory, according to its lock file.
fn held(root: &Path, mut lock: File) -> DirectoryError {
    let mut holder = String::new();
    // The text only helps the reader of the error.
    let _: Result<_, _> = lock.read_to_string(&mut holder);
    DirectoryError::Held {
        place: root.display().to_string(),
        holder: holder.trim().to_owned(),
    }
}

/// Takes the lock, waiting a moment: a process that only asks who has it ([`holder`]) holds it for microseconds, and a child
/// that a process was just starting when it released the lock holds it until it has become its own program.
fn try_lock(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_LOOKS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => pause(LOCK_LOOK_EVERY_MS),
            told => return told,
        }
    }
    file.try_lock()
}

/// The marker of a directory that has one, if this program may serve by it.
fn judge_marker(
    root: &Path,
    wanted: &'static str,
    known: Events<'_>,
) -> Result<Marker, DirectoryError> {
    let (marker, _) = read_marker(root, known)?;
    if marker.environment != wanted {
        return Err(DirectoryError::Environment {
            place: root.display().to_string(),
            found: marker.environment,
            wanted,
        });
    }
    Ok(marker)
}

/// Sees to it that there is a marker, that this program may serve by it, and that it names what may be written from now
/// on. Returns the directory's id.
fn check_marker(
    root: &Path,
    wanted: &'static str,
    known: Events<'_>,
) -> Result<String, DirectoryError> {
    let path = root.join(MARKER);
    let found = if path.exists() {
        Some(judge_marker(root, wanted, known)?)
    } else {
        None
    };
    let events = known.iter().map(|(kind, v)| ((*kind).to_owned(), *v));
    let id = found.as_ref().and_then(|found| found.directory_id.clone());
    let id = id.unwrap_or_else(|| random_uuid().to_string());
    let marker = Marker {
        format_version: FORMAT_VERSION,
        environment: wanted.to_owned(),
        directory_id: Some(id.clone()),
        events: events.collect(),
    };
    if found.as_ref() == Some(&marker) {
        return Ok(id);
    }
    let text = serde_json::to_vec(&marker).map_err(|error| io("write", &path, error.into()))?;
    private::write(&path, &text).map_err(|source| io("write", &path, source))?;
    Ok(id)
}

/// Removes a path's file when it is there.
pub(crate) fn remove_file(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes all that is in a directory, which may be a mount point, when it is there.
pub(crate) fn empty(path: &Path) -> Result<(), DirectoryError> {
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|source| io("read", path, source))?,
    };
    for entry in entries {
        let entry = entry.map_err(|source| io("read", path, source))?;
        if entry.file_name() == LOST_AND_FOUND {
            continue;
        }
        let place = entry.path();
        let removed = match entry.file_type() {
            Ok(kind) if kind.is_dir() => std::fs::remove_dir_all(&place),
            Ok(_) => std::fs::remove_file(&place),
            Err(error) => Err(error),
        };
        removed.map_err(|source| io("remove", &place, source))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
