//! Making a data directory out of a backup: checked first, written next to its place, and moved there only when complete.

use std::any::Any;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::catalogue::Catalogue;
use super::hash::copy_hashed;
use super::place::{Place, make_directory, names, object_path, sync_directory, write_private};
use super::verify::{self, Progress, Report};
use super::{BackupError, CONTENT_DIRECTORY, JOURNAL, KEYS, Manifest};
use crate::directory::{self, LOCK, LOST_AND_FOUND, MARKER, Marker};
use crate::domain::Timestamp;
use crate::journal::schema::SCHEMAS;

/// Where the data directory is made while it is not whole: this name inside of an empty one, or after the name of
/// one that does not exist yet.
const UNFINISHED: &str = "restoring";
/// Says that a directory is the unfinished work of a restore, which the next one replaces.
const MARK: &str = "restore.lock";

/// What to restore, and where to.
#[derive(Clone, Debug)]
pub struct Order {
    /// Directory of the backup to restore.
    pub from: PathBuf,
    /// The data directory to be.
    pub data_dir: PathBuf,
    /// Whether an existing data directory may be renamed to keep it.
    pub replace: bool,
}

/// A data directory that was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Manifest of the restored backup.
    pub manifest: Manifest,
    /// The new name of the data directory that was there before.
    pub set_aside: Option<PathBuf>,
}

/// How a restore ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The data directory is there, durable.
    Restored(Box<Restored>),
    /// The backup is damaged; nothing was written.
    Damaged(Box<Report>),
}

/// What a program that can be ended by a signal does about a restore that is not finished.
pub trait Endings {
    /// Makes a directory that is removed should the program be ended, until the first of what is returned is dropped.
    ///
    /// # Errors
    /// Those of `make`.
    fn unfinished(
        &self,
        path: &Path,
        make: &mut dyn FnMut() -> Result<File, BackupError>,
    ) -> Result<(Box<dyn Any>, File), BackupError>;

    /// Does work during which the program is not ended.
    fn uninterrupted(&self, work: &mut dyn FnMut());
}

/// Restores a backup.
///
/// # Errors
/// See [`BackupError`]. The data directory is then unchanged, or, when an empty one could not be filled, without a marker,
/// so that no server starts there.
pub fn restore(
    order: &Order,
    now: Timestamp,
    endings: &dyn Endings,
    progress: Progress<'_>,
) -> Result<Outcome, BackupError> {
    let place = Place::to_read(&order.from)?;
    let manifest = place.finished()?;
    check_apart(order)?;
    let left = broken_off(&order.data_dir, &manifest)?;
    let free = left.is_some() || directory::is_free(&order.data_dir)?;
    if !free && !order.replace {
        return Err(BackupError::NotEmpty {
            place: order.data_dir.display().to_string(),
        });
    }
    // No server may come or be there; a directory that is not there has none, and gets its lock with the rest.
    let hold = if order.data_dir.exists() {
        Some(directory::hold(&order.data_dir)?)
    } else {
        None
    };
    let report = verify::check(&place, manifest.clone(), progress)?;
    if !report.problems.is_empty() {
        return Ok(Outcome::Damaged(Box::new(report)));
    }
    for path in left.unwrap_or_default() {
        remove(&path)?;
    }
    let inside = free && hold.is_some();
    let new = if inside {
        // The parent of an empty directory need not be writable.
        order.data_dir.join(UNFINISHED)
    } else {
        beside(&order.data_dir, UNFINISHED)?
    };
    let _unfinished = endings.unfinished(&new, &mut || begin(&new))?;
    let made = build(&place, &manifest, &new).and_then(|()| {
        let mut moved = Ok(None);
        endings.uninterrupted(&mut || {
            moved = if inside {
                move_up(&new, &order.data_dir).map(|()| None)
            } else {
                take_place(&new, &order.data_dir, hold.is_some(), now)
            };
        });
        moved
    });
    match made {
        Ok(set_aside) => Ok(Outcome::Restored(Box::new(Restored {
            manifest,
            set_aside,
        }))),
        Err(error) => {
            // The error counts; what is left is known to the next try.
            if inside && let Ok(Some(left)) = broken_off(&order.data_dir, &manifest) {
                left.iter().for_each(|path| drop(remove(path)));
            }
            let _: io::Result<()> = fs::remove_dir_all(&new);
            Err(error)
        }
    }
}

/// A data directory is restored neither into another one nor into the backup, and the backup is not moved while it is read.
fn check_apart(order: &Order) -> Result<(), BackupError> {
    let place = || order.data_dir.display().to_string();
    let (data_dir, from) = (real(&order.data_dir)?, real(&order.from)?);
    if data_dir.starts_with(&from) || (order.data_dir.exists() && from.starts_with(&data_dir)) {
        return Err(BackupError::Foreign { place: place() });
    }
    match data_dir.parent().and_then(directory::around) {
        None => Ok(()),
        Some(around) => Err(BackupError::InDataDirectory {
            place: place(),
            data_dir: around.display().to_string(),
        }),
    }
}

/// A path without links, as far as it is there.
fn real(path: &Path) -> Result<PathBuf, BackupError> {
    let path = std::path::absolute(path).map_err(BackupError::io("find", path))?;
    let real = path.ancestors().find_map(|above| {
        let rest = path.strip_prefix(above).ok()?;
        Some(above.canonicalize().ok()?.join(rest))
    });
    Ok(real.unwrap_or(path))
}

/// What a restore into an empty directory left that was broken off, if the directory holds nothing else. The mark is not
/// among it: it stays until the end.
fn broken_off(data_dir: &Path, manifest: &Manifest) -> Result<Option<Vec<PathBuf>>, BackupError> {
    let unfinished = data_dir.join(UNFINISHED);
    if data_dir.join(MARKER).exists() || !unfinished.join(MARK).is_file() {
        return Ok(None);
    }
    let root = |name: &str| !name.contains('/');
    let files = manifest.files.iter().map(|file| file.name.as_str());
    let mut ours: Vec<&str> = files.filter(|name| root(name)).collect();
    ours.extend([
        JOURNAL,
        KEYS,
        CONTENT_DIRECTORY,
        UNFINISHED,
        LOCK,
        LOST_AND_FOUND,
    ]);
    let names = names(data_dir)?;
    if !names.iter().all(|name| ours.contains(&name.as_str())) {
        return Ok(None);
    }
    let kept = [UNFINISHED, LOCK, LOST_AND_FOUND];
    let moved = names.iter().filter(|name| !kept.contains(&name.as_str()));
    Ok(Some(moved.map(|name| data_dir.join(name)).collect()))
}

/// Makes the unfinished directory, in the place of what an earlier try left of it. Locked as long as the file is open.
fn begin(new: &Path) -> Result<File, BackupError> {
    let place = || new.display().to_string();
    let mark = new.join(MARK);
    let there = names(new)?;
    if !there.is_empty() && !there.iter().any(|name| name == MARK) {
        return Err(BackupError::OtherWork { place: place() });
    }
    make_directory(new)?;
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let file = options
        .open(&mark)
        .map_err(BackupError::io("open", &mark))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(BackupError::InUse { place: place() }),
        Err(TryLockError::Error(error)) => return Err(BackupError::io("lock", &mark)(error)),
    }
    let left = there.iter().filter(|name| *name != MARK);
    left.map(|name| new.join(name))
        .try_for_each(|path| remove(&path))?;
    Ok(file)
}

fn remove(path: &Path) -> Result<(), BackupError> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.map_err(BackupError::io("remove", path))
}

/// The path of a sibling: the same name with a suffix.
fn beside(path: &Path, more: &str) -> Result<PathBuf, BackupError> {
    let absolute = std::path::absolute(path).map_err(BackupError::io("find", path))?;
    let mut name = absolute.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(more);
    Ok(absolute.with_file_name(name))
}

/// Writes all of a data directory, durable on return.
fn build(place: &Place, manifest: &Manifest, new: &Path) -> Result<(), BackupError> {
    make_directory(&new.join(JOURNAL))?;
    let generation = place.generation(manifest);
    let segments = manifest.segments.iter().map(|segment| {
        let name = format!("{JOURNAL}/{}", segment.name);
        (name, segment.sha256.as_str())
    });
    let files = manifest.files.iter();
    let files = files.filter(|file| file.name != super::CONTENT_LIST);
    let files = files.map(|file| (file.name.clone(), file.sha256.as_str()));
    if manifest.with_keys {
        make_directory(&new.join(KEYS))?;
    }
    for (name, sha256) in segments.chain(files) {
        copy(&generation.join(&name), &new.join(&name), sha256)?;
        if name == MARKER {
            rename_directory(&new.join(&name))?;
        }
        if name == MARKER || name.starts_with(KEYS) {
            only_for_owner(&new.join(&name))?;
        }
    }
    let content = new.join(CONTENT_DIRECTORY);
    make_directory(&content)?;
    for (object, found) in Catalogue::of(&generation, manifest)?.iter() {
        if let Some(sha256) = &found.sha256 {
            let to = object_path(&content, &object);
            make_directory(to.parent().unwrap_or(&content))?;
            copy(&place.object(&object), &to, sha256)?;
        }
    }
    sync_all(new)
}

fn copy(from: &Path, to: &Path, sha256: &str) -> Result<(), BackupError> {
    let mut file = File::open(from).map_err(BackupError::io("read", from))?;
    let copied = copy_hashed(&mut file, to).map_err(BackupError::io("copy", from))?;
    if copied.sha256 == sha256 {
        Ok(())
    } else {
        let what = "it changed since it was checked";
        Err(BackupError::damaged(&from.display().to_string(), what))
    }
}

/// Takes the id of the backed-up directory out of a marker: the new directory is another one, and gets its own.
fn rename_directory(marker: &Path) -> Result<(), BackupError> {
    let bytes = fs::read(marker).map_err(BackupError::io("read", marker))?;
    let parsed = Marker::parse(&bytes, marker, SCHEMAS)?;
    let new = Marker {
        directory_id: None,
        ..parsed
    };
    let text = serde_json::to_vec(&new).map_err(|error| BackupError::damaged(MARKER, error))?;
    write_private(marker, &text)
}

fn only_for_owner(path: &Path) -> Result<(), BackupError> {
    use std::os::unix::fs::PermissionsExt;
    let set = fs::set_permissions(path, fs::Permissions::from_mode(0o600));
    set.map_err(BackupError::io("change the mode of", path))
}

/// Makes the names in a directory and below it durable.
fn sync_all(directory: &Path) -> Result<(), BackupError> {
    for name in names(directory)? {
        let path = directory.join(name);
        if path.is_dir() {
            sync_all(&path)?;
        }
    }
    sync_directory(directory)
}

/// Moves all of a directory into its parent, the marker last: without it no server starts there.
fn move_up(new: &Path, data_dir: &Path) -> Result<(), BackupError> {
    let mut names = names(new)?;
    names.retain(|name| name != MARK);
    names.sort_by_key(|name| name == MARKER);
    for name in names {
        if name == MARKER {
            sync_directory(data_dir)?;
        }
        let to = data_dir.join(&name);
        fs::rename(new.join(&name), &to).map_err(BackupError::io("make", &to))?;
    }
    fs::remove_dir_all(new).map_err(BackupError::io("remove", new))?;
    sync_directory(data_dir)
}

/// Moves a directory to its place. What is there is renamed, and moved back when that fails.
fn take_place(
    new: &Path,
    data_dir: &Path,
    there: bool,
    now: Timestamp,
) -> Result<Option<PathBuf>, BackupError> {
    let mut set_aside = None;
    if there {
        let aside = beside(data_dir, &format!("replaced-{}", now.millis()))?;
        fs::rename(data_dir, &aside).map_err(BackupError::io("set aside", data_dir))?;
        set_aside = Some(aside);
    }
    if let Err(error) = fs::rename(new, data_dir) {
        if let Some(aside) = &set_aside {
            fs::rename(aside, data_dir).map_err(BackupError::io("bring back", aside))?;
        }
        return Err(BackupError::io("make", data_dir)(error));
    }
    let mark = data_dir.join(MARK);
    fs::remove_file(&mark).map_err(BackupError::io("remove", &mark))?;
    let parent = std::path::absolute(data_dir).map_err(BackupError::io("find", data_dir))?;
    if let Some(parent) = parent.parent() {
        sync_directory(parent)?;
    }
    Ok(set_aside)
}
