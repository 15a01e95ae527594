//! The data directory: its parts, its marker, its lock, and the files of keys in it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::{pause, random_bytes};

/// The format this program writes, and the newest it reads.
const FORMAT_VERSION: u32 = 1;
const MARKER: &str = "metarecord.json";
/// The file whose lock keeps a second process out.
pub const LOCK: &str = "lock";
/// How often a lock that is taken is tried again, and how long is waited between.
const LOCK_LOOKS: u32 = 10;
const LOCK_LOOK_EVERY_MS: u64 = 10;

/// Why a directory cannot be served from.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Something on disk could not be read or made.
    #[error("cannot {action} {place}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The path.
        place: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("{place} is in use by another process ({holder}); stop that one first")]
    Held {
        /// The directory.
        place: String,
        /// What the lock file says.
        holder: String,
    },
    /// Written by a newer program.
    #[error(
        "{place} has format {found}; this program reads up to {FORMAT_VERSION}; use the newer one"
    )]
    Newer {
        /// The directory.
        place: String,
        /// Its format.
        found: u32,
    },
    /// Not a data directory.
    #[error(
        "{place} is not empty and has no {MARKER}; give an empty directory or one that g3n has made"
    )]
    Foreign {
        /// The directory.
        place: String,
    },
    /// Made for another environment.
    #[error("{place} was made for {found}, not for {wanted}; use another --data-dir")]
    Environment {
        /// The directory.
        place: String,
        /// What the marker says.
        found: String,
        /// What was asked for.
        wanted: &'static str,
    },
}

#[derive(Serialize, Deserialize)]
struct Marker {
    format_version: u32,
    environment: String,
}

/// A data directory that this process holds.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
    /// Held as long as any clone is.
    _lock: Arc<File>,
}

impl Directory {
    /// The commit log and its database.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// What may be deleted while stopped.
    pub fn projections(&self) -> PathBuf {
        self.root.join("projections")
    }

    /// Uploaded content.
    pub fn content(&self) -> PathBuf {
        self.root.join("content")
    }

    /// The audit as a file.
    pub fn audit(&self) -> PathBuf {
        self.root.join("audit")
    }

    /// What orgs that leave take away.
    pub fn exports(&self) -> PathBuf {
        self.root.join("exports")
    }

    /// Keys, mode 0700.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }
}

/// What is at the place of a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No directory yet.
    Nothing,
    /// An empty one.
    Empty,
    /// One that this program made, for the environment that was asked for.
    Made,
}

/// Looks whether a place is one to serve from, and changes nothing there.
///
/// # Errors
/// As [`open`], except that the lock is not looked at.
pub fn look(root: &Path, development: bool) -> Result<Found, DirectoryError> {
    match std::fs::metadata(root) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(source) => return Err(io("read", root, source)),
    }
    let marker = root.join(MARKER);
    match (marker.exists(), is_empty(root)?) {
        (true, _) => judge_marker(root, &marker, environment(development)).map(|()| Found::Made),
        (false, true) => Ok(Found::Empty),
        (false, false) => Err(DirectoryError::Foreign {
            place: root.display().to_string(),
        }),
    }
}

/// What the lock file of a directory that some process holds says of it; nothing when no process does.
///
/// # Errors
/// When the file cannot be read.
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
pub fn open(root: &Path, development: bool) -> Result<Directory, DirectoryError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .map_err(|source| io("make", root, source))?;
    let marker = root.join(MARKER);
    if !marker.exists() && !is_empty(root)? {
        return Err(DirectoryError::Foreign {
            place: root.display().to_string(),
        });
    }
    let lock = lock(root)?;
    check_marker(root, &marker, environment(development))?;
    Ok(Directory {
        root: root.to_owned(),
        _lock: Arc::new(lock),
    })
}

fn environment(development: bool) -> &'static str {
    match development {
        true => "development",
        false => "production",
    }
}

fn is_empty(root: &Path) -> Result<bool, DirectoryError> {
    let entries = std::fs::read_dir(root).map_err(|source| io("read", root, source))?;
    Ok(entries.flatten().all(|entry| entry.file_name() == LOCK))
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
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The text only helps the reader of the error.
            let _: Result<_, _> = file.read_to_string(&mut holder);
            return Err(DirectoryError::Held {
                place: root.display().to_string(),
                holder: holder.trim().to_owned(),
            });
        }
        Err(TryLockError::Error(source)) => return Err(io("lock", &path, source)),
    }
    let write = |file: &mut File| -> std::io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "process {}", std::process::id())
    };
    write(&mut file).map_err(|source| io("write", &path, source))?;
    Ok(file)
}

/// Takes the lock, waiting a moment: whoever only looks who has it ([`holder`]) holds it for microseconds.
fn try_lock(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_LOOKS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => pause(LOCK_LOOK_EVERY_MS),
            told => return told,
        }
    }
    file.try_lock()
}

fn check_marker(root: &Path, path: &Path, wanted: &'static str) -> Result<(), DirectoryError> {
    if !path.exists() {
        let marker = Marker {
            format_version: FORMAT_VERSION,
            environment: wanted.to_owned(),
        };
        let text = serde_json::to_vec(&marker).map_err(|error| io("write", path, error.into()))?;
        return write_private(path, &text).map_err(|source| io("write", path, source));
    }
    judge_marker(root, path, wanted)
}

fn judge_marker(root: &Path, path: &Path, wanted: &'static str) -> Result<(), DirectoryError> {
    let place = || root.display().to_string();
    let text = std::fs::read(path).map_err(|source| io("read", path, source))?;
    let marker: Marker =
        serde_json::from_slice(&text).map_err(|error| io("read", path, error.into()))?;
    if marker.format_version > FORMAT_VERSION {
        return Err(DirectoryError::Newer {
            place: place(),
            found: marker.format_version,
        });
    }
    if marker.environment != wanted {
        return Err(DirectoryError::Environment {
            place: place(),
            found: marker.environment,
            wanted,
        });
    }
    Ok(())
}

/// The operators' token, made at first start.
///
/// # Errors
/// When its file cannot be read or made.
pub fn operator_token(keys: &Path) -> Result<Arc<str>, DirectoryError> {
    let path = keys.join("operator.token");
    if !path.exists() {
        let token = format!("op_{}", hex::encode(random_bytes::<32>()));
        write_private(&path, token.as_bytes()).map_err(|source| io("write", &path, source))?;
    }
    let token = std::fs::read_to_string(&path).map_err(|source| io("read", &path, source))?;
    Ok(token.trim().into())
}

/// Writes a file that only its owner can read, whole or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Removes a directory with all in it when it is there.
pub(crate) fn remove(path: &Path) -> Result<(), DirectoryError> {
    match std::fs::remove_dir_all(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(io("remove", path, source))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn io(action: &'static str, place: &Path, source: std::io::Error) -> DirectoryError {
    DirectoryError::Io {
        action,
        place: place.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn who_only_looks_at_the_lock_keeps_nobody_from_taking_it() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("data");
        drop(open(&root, false).unwrap());
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let looking = scope.spawn(|| {
                let mut held = 0;
                while !over.load(Ordering::SeqCst) {
                    held += u32::from(holder(&root).unwrap().is_some());
                }
                held
            });
            let taken: Vec<_> = (0..2_000).map(|_| open(&root, false).map(drop)).collect();
            over.store(true, Ordering::SeqCst);
            assert!(taken.iter().all(Result::is_ok));
            assert!(looking.join().unwrap() > 0, "it was seen to be held");
        });
        let held = open(&root, false).unwrap();
        let told = format!("process {}", std::process::id());
        assert_eq!(holder(&root).unwrap(), Some(told));
        assert!(matches!(
            open(&root, false),
            Err(DirectoryError::Held { .. })
        ));
        drop(held);
        assert_eq!(holder(&root).unwrap(), None);
    }
}
