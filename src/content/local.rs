//! Content in local files: `content/<ORG>/<two hex digits>/<object id>.gz`.
//!
//! An upload is written to `content/tmp/`, synced, renamed into its place, and the directory is synced: a crash leaves
//! at most a temporary file, which the next open removes.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::check::Check;
use super::{ContentError, ContentStore, ObjectName, Promise, Receiving};
use crate::clock::random_uuid;
use crate::domain::OrgCode;

/// Lower-case, so that it can never be an org's directory.
const TEMPORARY: &str = "tmp";

/// Objects in the files of a directory.
#[derive(Clone, Debug)]
pub struct LocalStore {
    root: PathBuf,
}

impl LocalStore {
    /// Opens a directory, making it when it is not there, and removes what unfinished uploads left.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(root: &Path) -> Result<Self, ContentError> {
        let temporary = root.join(TEMPORARY);
        fs::create_dir_all(&temporary).map_err(|source| io_error("make", &temporary, source))?;
        let left =
            fs::read_dir(&temporary).map_err(|source| io_error("read", &temporary, source))?;
        for file in left.flatten() {
            fs::remove_file(file.path())
                .map_err(|source| io_error("remove", &file.path(), source))?;
        }
        sync_directory(root)?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    fn path(&self, object: &ObjectName) -> PathBuf {
        let id = object.object_id.simple().to_string();
        let mut path = self.root.join(object.org.as_str());
        path.push(&id[..2]);
        path.push(format!("{id}.gz"));
        path
    }
}

impl ContentStore for LocalStore {
    fn receive(
        &self,
        object: &ObjectName,
        promise: Promise,
    ) -> Result<Box<dyn Receiving>, ContentError> {
        let temporary = self
            .root
            .join(TEMPORARY)
            .join(random_uuid().simple().to_string());
        let file =
            File::create_new(&temporary).map_err(|source| io_error("make", &temporary, source))?;
        Ok(Box::new(Upload {
            file,
            temporary: Temporary(temporary),
            place: self.path(object),
            root: self.root.clone(),
            check: Check::new(promise),
        }))
    }

    fn size(&self, object: &ObjectName) -> Result<Option<u64>, ContentError> {
        let path = self.path(object);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(source) => absent_or("read", &path, source),
        }
    }

    fn read(
        &self,
        object: &ObjectName,
        from: u64,
        bytes: u64,
    ) -> Result<Option<Box<dyn Read + Send>>, ContentError> {
        let path = self.path(object);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(source) => return absent_or("open", &path, source),
        };
        file.seek(SeekFrom::Start(from))
            .map_err(|source| io_error("read", &path, source))?;
        Ok(Some(Box::new(file.take(bytes))))
    }

    fn remove(&self, object: &ObjectName) -> Result<(), ContentError> {
        let path = self.path(object);
        match fs::remove_file(&path) {
            Ok(()) => sync_parent(&path),
            Err(source) => absent_or::<()>("remove", &path, source).map(|_| ()),
        }
    }

    fn list(&self, org: &OrgCode) -> Result<Vec<Uuid>, ContentError> {
        let directory = self.root.join(org.as_str());
        let mut found = Vec::new();
        let shelves = match fs::read_dir(&directory) {
            Ok(shelves) => shelves,
            Err(source) => {
                return absent_or("read", &directory, source).map(Option::unwrap_or_default);
            }
        };
        for shelf in shelves {
            let shelf = shelf
                .map_err(|source| io_error("read", &directory, source))?
                .path();
            for file in fs::read_dir(&shelf).map_err(|source| io_error("read", &shelf, source))? {
                let name = file
                    .map_err(|source| io_error("read", &shelf, source))?
                    .file_name();
                let id = name.to_str().and_then(|name| name.strip_suffix(".gz"));
                found.extend(id.and_then(|id| Uuid::try_parse(id).ok()));
            }
        }
        Ok(found)
    }
}

/// An upload being written. Its temporary file goes with it, whatever happens.
struct Upload {
    file: File,
    temporary: Temporary,
    place: PathBuf,
    root: PathBuf,
    check: Check,
}

struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Once renamed it is not there; if it cannot be removed now, the next open does.
        let _: io::Result<()> = fs::remove_file(&self.0);
    }
}

impl Receiving for Upload {
    fn take(&mut self, bytes: &[u8]) -> Result<(), ContentError> {
        self.check.take(bytes)?;
        let path = &self.temporary.0;
        self.file
            .write_all(bytes)
            .map_err(|source| io_error("write", path, source))
    }

    fn keep(self: Box<Self>) -> Result<(), ContentError> {
        let Self {
            file,
            temporary,
            place,
            root,
            check,
        } = *self;
        check.finish()?;
        file.sync_all()
            .map_err(|source| io_error("sync", &temporary.0, source))?;
        if let Some(shelf) = place.parent() {
            make_synced(&root, shelf)?;
        }
        fs::rename(&temporary.0, &place)
            .map_err(|source| io_error("move", &temporary.0, source))?;
        sync_parent(&place)
    }
}

/// Makes a directory and those above it, and syncs what each was made in, up to the root.
fn make_synced(root: &Path, directory: &Path) -> Result<(), ContentError> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent().filter(|parent| parent.starts_with(root)) {
        make_synced(root, parent)?;
    }
    match fs::create_dir(directory) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(io_error("make", directory, source))
        }
        Ok(()) | Err(_) => sync_parent(directory),
    }
}

fn sync_parent(path: &Path) -> Result<(), ContentError> {
    path.parent().map_or(Ok(()), sync_directory)
}

fn sync_directory(directory: &Path) -> Result<(), ContentError> {
    let sync = || File::open(directory)?.sync_all();
    sync().map_err(|source| io_error("sync", directory, source))
}

fn absent_or<T>(
    action: &'static str,
    path: &Path,
    source: io::Error,
) -> Result<Option<T>, ContentError> {
    if source.kind() == io::ErrorKind::NotFound {
        Ok(None)
    } else {
        Err(io_error(action, path, source))
    }
}

fn io_error(action: &'static str, place: &Path, source: io::Error) -> ContentError {
    ContentError::Io {
        action,
        place: place.display().to_string(),
        source,
    }
}
