//! Where an export is downloaded to: a directory that is empty or not there, or that has the beginning of the same export.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::failure::Failure;
use crate::directory::{self, LOST_AND_FOUND};
use crate::export::check::Directory;
use crate::export::{CONTENT_DIRECTORY, FILES, MANIFEST, UNFINISHED};
use crate::private;

/// What [`UNFINISHED`] holds, ahead of which nothing is written.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    manifest_sha256: String,
}

/// A directory that may be one to download to, as it was found.
#[derive(Debug)]
pub(super) struct Destination {
    root: PathBuf,
    found: Found,
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Empty,
    /// All or some of an export, by the SHA-256 of its manifest.
    Export(String),
}

impl Destination {
    /// Looks at a directory, and changes nothing.
    ///
    /// # Errors
    /// When it holds something else, or lies in a data directory.
    pub(super) fn look(root: &Path) -> Result<Self, Failure> {
        if let Some(data_dir) = directory::around(root) {
            return Err(in_the_way(format!(
                "{} is in the data directory {}, where nothing else is written; use another --out",
                root.display(),
                data_dir.display()
            )));
        }
        let found = match names(root)? {
            None => Found::Nothing,
            Some(names) if names.iter().all(|name| name == UNFINISHED) => Found::Empty,
            Some(names) => match export_in(root) {
                Some(manifest_sha256) if names.iter().all(|name| is_ours(name)) => {
                    Found::Export(manifest_sha256)
                }
                Some(_) | None => {
                    return Err(in_the_way(format!(
                        "{} is not empty; use an empty directory, or the one in which the download of this export was begun",
                        root.display()
                    )));
                }
            },
        };
        Ok(Self {
            root: root.to_owned(),
            found,
        })
    }

    /// Makes the directory ready for an export; nobody else downloads to it meanwhile.
    ///
    /// # Errors
    /// When it has another export, another process downloads to it, or it cannot be written.
    pub(super) fn begin(self, manifest_sha256: &str) -> Result<Downloading, Failure> {
        if let Found::Export(other) = &self.found
            && other != manifest_sha256
        {
            return Err(in_the_way(format!(
                "{} has another export, or the beginning of one; use another --out",
                self.root.display()
            )));
        }
        private::create_directory(&self.root)
            .map_err(|error| Failure::output(&self.root, error))?;
        let mark = self.root.join(UNFINISHED);
        let failed = |error| Failure::output(&mark, error);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let mut lock = options.open(&mark).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::InTheWay {
                    tag: "in-use",
                    message: format!(
                        "another g3n is downloading to {}; try again when it has finished",
                        self.root.display()
                    ),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let text = serde_json::to_vec(&Mark {
            manifest_sha256: manifest_sha256.to_owned(),
        });
        let written = text.map_err(io::Error::from).and_then(|text| {
            lock.set_len(0)?;
            lock.write_all(&text)?;
            lock.sync_all()
        });
        let downloading = Downloading {
            made: self.found == Found::Nothing,
            root: self.root,
            _lock: lock,
        };
        written.map_err(failed)?;
        let content = downloading.root.join(CONTENT_DIRECTORY);
        private::create_directory(&content).map_err(|error| Failure::output(&content, error))?;
        Ok(downloading)
    }
}

/// A directory that is being downloaded to. Dropped before anything is there, it is as it was.
#[derive(Debug)]
pub(super) struct Downloading {
    root: PathBuf,
    made: bool,
    _lock: File,
}

impl Downloading {
    /// All files are there.
    ///
    /// # Errors
    /// [`Failure::Output`] when the mark of unfinished work cannot be removed.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        let mark = self.root.join(UNFINISHED);
        directory::remove_file(&mark).map_err(|error| Failure::output(&mark, error))
    }
}

impl Drop for Downloading {
    fn drop(&mut self) {
        let content = self.root.join(CONTENT_DIRECTORY);
        // Only while it is empty; what cannot be removed is known to the next try.
        drop(fs::remove_dir(&content));
        if matches!(names(&self.root), Ok(Some(names)) if names == [UNFINISHED]) {
            drop(self.finish());
            if self.made {
                drop(fs::remove_dir(&self.root));
            }
        }
    }
}

/// The names in a directory, what its file system was made with apart; none when it is not there.
fn names(root: &Path) -> Result<Option<Vec<String>>, Failure> {
    let failed = |error| Failure::output(root, error);
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.retain(|name| name != LOST_AND_FOUND);
    Ok(Some(names))
}

/// Which export a directory has all or some of.
fn export_in(root: &Path) -> Option<String> {
    let mark = fs::read(root.join(UNFINISHED)).ok();
    let mark = mark.and_then(|text| serde_json::from_slice::<Mark>(&text).ok());
    match mark {
        Some(mark) => Some(mark.manifest_sha256),
        None => Some(Directory::open(root).ok()?.manifest_sha256),
    }
}

fn is_ours(name: &str) -> bool {
    let name = name.strip_suffix(".part").unwrap_or(name);
    name == UNFINISHED || name == MANIFEST || name == CONTENT_DIRECTORY || FILES.contains(&name)
}

fn in_the_way(message: String) -> Failure {
    Failure::InTheWay {
        tag: "not-empty",
        message,
    }
}
