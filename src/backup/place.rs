//! The directory of a backup: its lock, its manifest, and what in it belongs to no finished backup.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::catalogue::Catalogue;
use super::{BackupError, CONTENT_DIRECTORY, GENERATION, LOCK, MANIFEST, Manifest};
use crate::content::ObjectName;
use crate::directory::{self, LOST_AND_FOUND};

/// Says of a first backup that is not finished which data directory it is of. Nothing is written ahead of it but the lock.
const SOURCE: &str = "unfinished.json";
/// The file to which a manifest is written before it is renamed.
const UNFINISHED: &str = "manifest.json.new";
/// Most bytes of a manifest: enough for 200,000 segments, which are 12 TiB of journal.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A backup's directory, locked as long as this is there.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) root: PathBuf,
    /// What was there when a first backup began; dropped before that has copied anything, all is again as it was.
    begun: Option<Begun>,
    _lock: Option<File>,
}

/// What a first backup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    Nothing,
    Empty,
}

/// What [`SOURCE`] holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    directory_id: Option<String>,
}

impl Place {
    /// Opens a directory to write a backup of a data directory to: one that is empty or not there, that holds a backup, or
    /// that holds what a first backup of the same data directory left. Anything else is refused before anything is written.
    pub(super) fn to_write(root: &Path, directory_id: Option<&str>) -> Result<Self, BackupError> {
        let place = || root.display().to_string();
        if let Some(data_dir) = directory::around(root) {
            return Err(BackupError::InDataDirectory {
                place: place(),
                data_dir: data_dir.display().to_string(),
            });
        }
        let source = Source {
            directory_id: directory_id.map(str::to_owned),
        };
        let begun = look(root, &source)?;
        make_directory(root)?;
        let path = root.join(LOCK);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options
            .open(&path)
            .map_err(BackupError::io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {
                if begun.is_some() {
                    let text = serde_json::to_vec(&source);
                    let text = text.map_err(|error| BackupError::damaged(SOURCE, error))?;
                    write_private(&root.join(SOURCE), &text)?;
                }
                Ok(Self {
                    root: root.to_owned(),
                    begun,
                    _lock: Some(lock),
                })
            }
            Err(TryLockError::WouldBlock) => Err(BackupError::InUse { place: place() }),
            Err(TryLockError::Error(error)) => Err(BackupError::io("lock", &path)(error)),
        }
    }

    /// Opens a directory to read a backup from. Others may read too; one that was copied without its lock needs none.
    pub(super) fn to_read(root: &Path) -> Result<Self, BackupError> {
        let path = root.join(LOCK);
        let lock = match File::open(&path) {
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(BackupError::io("open", &path)(error)),
        };
        if let Some(lock) = &lock {
            match lock.try_lock_shared() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let place = root.display().to_string();
                    return Err(BackupError::InUse { place });
                }
                Err(TryLockError::Error(error)) => {
                    return Err(BackupError::io("lock", &path)(error));
                }
            }
        }
        Ok(Self {
            root: root.to_owned(),
            begun: None,
            _lock: lock,
        })
    }

    /// The manifest of the last finished backup; `None` when there is none.
    pub(super) fn manifest(&self) -> Result<Option<Manifest>, BackupError> {
        manifest_of(&self.root)
    }

    /// The manifest of a directory that must contain a complete backup.
    pub(super) fn finished(&self) -> Result<Manifest, BackupError> {
        let place = || self.root.display().to_string();
        self.manifest()?
            .ok_or_else(|| BackupError::Absent { place: place() })
    }

    /// Directory of a backup's generation.
    pub(super) fn generation(&self, manifest: &Manifest) -> PathBuf {
        self.root.join(manifest.directory())
    }

    /// The file of an object.
    pub(super) fn object(&self, object: &ObjectName) -> PathBuf {
        object_path(&self.root.join(CONTENT_DIRECTORY), object)
    }

    /// Puts a manifest in the place of the last one, durable on return. Everything it names must be durable before.
    pub(super) fn publish(&self, manifest: &Manifest) -> Result<String, BackupError> {
        let text = manifest.to_text()?;
        let (path, unfinished) = (self.root.join(MANIFEST), self.root.join(UNFINISHED));
        write_private(&unfinished, text.as_bytes())?;
        fs::rename(&unfinished, &path).map_err(BackupError::io("write", &path))?;
        sync_directory(&self.root)?;
        let source = self.root.join(SOURCE);
        directory::remove_file(&source).map_err(BackupError::io("remove", &source))?;
        Ok(text)
    }

    /// Removes the generations that the finished backup does not name. Returns how many there were.
    pub(super) fn remove_generations(
        &self,
        manifest: Option<&Manifest>,
    ) -> Result<u64, BackupError> {
        let others = self.other_generations(manifest)?;
        for path in &others {
            fs::remove_dir_all(path).map_err(BackupError::io("remove", path))?;
        }
        Ok(others.len() as u64)
    }

    /// Removes the generations and the content files that the finished backup does not name. Returns how many files and
    /// generations those were.
    pub(super) fn sweep(
        &self,
        manifest: &Manifest,
        catalogue: &Catalogue,
    ) -> Result<u64, BackupError> {
        let unknown = self.other_files(catalogue)?;
        for path in &unknown {
            fs::remove_file(path).map_err(BackupError::io("remove", path))?;
        }
        Ok(self.remove_generations(Some(manifest))? + unknown.len() as u64)
    }

    /// Files and generations that the finished backup does not name: what was broken off.
    pub(super) fn left_over(
        &self,
        manifest: &Manifest,
        catalogue: &Catalogue,
    ) -> Result<u64, BackupError> {
        let generations = self.other_generations(Some(manifest))?.len();
        Ok((generations + self.other_files(catalogue)?.len()) as u64)
    }

    fn other_generations(&self, manifest: Option<&Manifest>) -> Result<Vec<PathBuf>, BackupError> {
        let named = manifest.map(|manifest| manifest.generation);
        let names = names(&self.root)?.into_iter();
        let others = names.filter(|name| {
            let number = generation_of(name);
            number.is_some() && number != named
        });
        Ok(others.map(|name| self.root.join(name)).collect())
    }

    fn other_files(&self, catalogue: &Catalogue) -> Result<Vec<PathBuf>, BackupError> {
        let content = self.root.join(CONTENT_DIRECTORY);
        let mut files = files_below(&content)?;
        files.retain(|path| {
            let below = path.strip_prefix(&content).ok();
            let known = below.and_then(Path::to_str).and_then(object_at);
            !known.is_some_and(|object| catalogue.has_file(&object))
        });
        Ok(files)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(begun) = self.begun else {
            return;
        };
        let copied = |name: &String| ![LOCK, SOURCE, LOST_AND_FOUND].contains(&name.as_str());
        // What was copied is what the next try goes on with. What cannot be removed is known to it, too.
        if names(&self.root).is_ok_and(|names| !names.iter().any(copied)) {
            drop(directory::remove_file(&self.root.join(SOURCE)));
            drop(directory::remove_file(&self.root.join(LOCK)));
            if begun == Begun::Nothing {
                drop(fs::remove_dir(&self.root));
            }
        }
    }
}

/// What is at the place of a backup: nothing or an empty directory for a first one, or a finished one.
fn look(root: &Path, source: &Source) -> Result<Option<Begun>, BackupError> {
    let there = root.exists();
    let names = names(root)?;
    let has = |name: &str| names.iter().any(|known| known == name);
    let foreign = || BackupError::Foreign {
        place: root.display().to_string(),
    };
    let generations = names.iter().any(|name| generation_of(name).is_some());
    if has(MANIFEST) {
        return match manifest_of(root) {
            Ok(_) => Ok(None),
            // Others have files of that name too, such as the export of an org.
            Err(BackupError::Damaged { .. }) if !generations => Err(foreign()),
            Err(error) => Err(error),
        };
    }
    let begun = if there { Begun::Empty } else { Begun::Nothing };
    let free = |name: &String| [LOCK, SOURCE, LOST_AND_FOUND].contains(&name.as_str());
    if names.iter().all(free) {
        return Ok(Some(begun));
    }
    let ours = |name: &String| {
        free(name)
            || name == UNFINISHED
            || name == CONTENT_DIRECTORY
            || generation_of(name).is_some()
    };
    if !has(SOURCE) || !names.iter().all(ours) {
        return Err(foreign());
    }
    let text = fs::read(root.join(SOURCE)).map_err(BackupError::io("read", root))?;
    match serde_json::from_slice::<Source>(&text) {
        Ok(found) if found == *source => Ok(Some(begun)),
        Ok(_) | Err(_) => Err(BackupError::OtherWork {
            place: root.display().to_string(),
        }),
    }
}

fn manifest_of(root: &Path) -> Result<Option<Manifest>, BackupError> {
    let path = root.join(MANIFEST);
    match read_manifest(&path) {
        Ok(text) if text.len() as u64 > MANIFEST_BYTES_MAX => {
            let what = format!("it is over {MANIFEST_BYTES_MAX} bytes");
            Err(BackupError::damaged(MANIFEST, what))
        }
        Ok(text) => Manifest::parse(&text).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(BackupError::damaged(MANIFEST, error))
        }
        Err(error) => Err(BackupError::io("read", &path)(error)),
    }
}

/// The file of an object below a directory of content: where the content store has it too.
pub(super) fn object_path(content: &Path, object: &ObjectName) -> PathBuf {
    let id = object.object_id.simple().to_string();
    content
        .join(object.org.as_str())
        .join(&id[..2])
        .join(format!("{id}.gz"))
}

/// The object whose file is at a path below `content/`, in the one spelling it may have.
fn object_at(path: &str) -> Option<ObjectName> {
    let (org, rest) = path.split_once('/')?;
    let id = rest.split_once('/')?.1.strip_suffix(".gz")?;
    let object = ObjectName {
        org: crate::domain::OrgCode::parse(org).ok()?,
        object_id: uuid::Uuid::try_parse(id).ok()?,
    };
    (object_path(Path::new(""), &object) == Path::new(path)).then_some(object)
}

fn generation_of(name: &str) -> Option<u64> {
    name.strip_prefix(GENERATION)?.parse().ok()
}

/// The names in a directory; none when it is not there.
pub(super) fn names(directory: &Path) -> Result<Vec<String>, BackupError> {
    let failed = |error| BackupError::io("read", directory)(error);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let names = entries.map(|entry| {
        let entry = entry.map_err(|error| BackupError::io("read", directory)(error))?;
        Ok(entry.file_name().to_string_lossy().into_owned())
    });
    names.collect()
}

/// Every file below a directory, however deep; none when it is not there.
fn files_below(directory: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let (mut files, mut left) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = left.pop() {
        for name in names(&directory)? {
            let path = directory.join(name);
            if path.is_dir() {
                left.push(path)
            } else {
                files.push(path)
            }
        }
    }
    Ok(files)
}

/// Makes a directory that only its owner may read, with those above it.
pub(super) fn make_directory(path: &Path) -> Result<(), BackupError> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(path);
    made.map_err(BackupError::io("make", path))
}

/// Writes a file that only its owner may read, durable on return.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    let write = || -> io::Result<()> {
        let mut file = options.open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(BackupError::io("write", path))
}

/// Makes a directory's names durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), BackupError> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(BackupError::io("sync", path))
}

fn read_manifest(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    file.take(MANIFEST_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}
