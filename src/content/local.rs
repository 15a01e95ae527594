//! Content in local files: `content/<ORG>/<two hex digits>/<object id>.gz`.
//!
//! An upload is written to `content/tmp/`, synced, gets a name of its own among the uploads to its object
//! (`uploads.rs`), and the directory is synced: a crash leaves at most a temporary file, which the next open removes.

pub mod aside;
mod duplicate;
mod files;
#[cfg(test)]
mod no_links;
mod receiving;
mod uploads;

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::check::Check;
use super::removals::Removals;
use super::{
    ContentError, ContentStore, FoundFile, Kept, ObjectName, Promise, Receiving, Sealed, SetAside,
};
use crate::clock::random_uuid;
use crate::disk::Disk;
use crate::domain::{OrgCode, Timestamp};
use aside::AsideName;
use files::{absent_or, io_error, is_plain, names, object_at, shelf_of, size_of, written_at};
use receiving::{Temporary, Upload};
use uploads::UploadName;

/// Lower-case, so that it can never be an org's directory.
const TEMPORARY: &str = "tmp";

/// Objects in the files of a directory.
#[derive(Clone)]
pub struct LocalStore {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    /// Directories whose names this process has made durable. That one is there is not enough: who made it may have
    /// been killed, or be about to sync it.
    durable: Arc<Mutex<HashMap<OrgCode, Shelves>>>,
    removals: Removals,
}

/// Which of an org's 256 directories of objects, and of the 256 of uploads that follow, have durable names, a bit each. The
/// org's own has one when it is in the map.
type Shelves = [u64; 8];
/// The number of the first directory of uploads.
const FIRST_UPLOADS: usize = 256;

impl LocalStore {
    /// Opens a directory, making it when it is not there, and removes what unfinished uploads left.
    ///
    /// # Errors
    /// [`ContentError`] with the I/O error.
    pub fn open(disk: Arc<dyn Disk>, root: &Path) -> Result<Self, ContentError> {
        let store = Self {
            disk,
            root: root.to_owned(),
            durable: Arc::default(),
            removals: Removals::default(),
        };
        let temporary = root.join(TEMPORARY);
        fs::create_dir_all(root).map_err(|source| io_error("make", root, source))?;
        store.make_directory(&temporary)?;
        store.sync(root)?;
        let left =
            fs::read_dir(&temporary).map_err(|source| io_error("read", &temporary, source))?;
        for file in left.flatten() {
            // What is no file is none of ours, and no reason not to start.
            if file.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let removed = store.disk.remove(&file.path());
            removed.map_err(|source| io_error("remove", &file.path(), source))?;
        }
        Ok(store)
    }

    fn org_directory(&self, org: &OrgCode) -> PathBuf {
        self.root.join(org.as_str())
    }

    /// The directory of an object's file.
    fn shelf(&self, object: &ObjectName) -> PathBuf {
        let number = shelf_number(object);
        self.org_directory(&object.org)
            .join(format!("{number:02x}"))
    }

    fn path(&self, object: &ObjectName) -> PathBuf {
        let name = format!("{}.gz", object.object_id.simple());
        self.shelf(object).join(name)
    }

    /// Sees to it that the directory of an object's file is there and durable.
    fn make_shelf(&self, object: &ObjectName) -> Result<(), ContentError> {
        self.make_durable(
            object,
            (usize::from(shelf_number(object)), self.shelf(object)),
        )
    }

    fn make_uploads_shelf(&self, object: &ObjectName) -> Result<(), ContentError> {
        let number = FIRST_UPLOADS + usize::from(shelf_number(object));
        self.make_durable(object, (number, self.upload_shelf(object)))
    }

    fn make_durable(
        &self,
        object: &ObjectName,
        (number, shelf): (usize, PathBuf),
    ) -> Result<(), ContentError> {
        let (word, bit) = (number / 64, 1_u64 << (number % 64));
        let known = self.durable().get(&object.org).copied();
        if known.is_some_and(|shelves| shelves[word] & bit != 0) {
            return Ok(());
        }
        let org = self.org_directory(&object.org);
        if known.is_none() {
            self.make_directory(&org)?;
            self.sync(&self.root)?;
        }
        self.make_directory(&shelf)?;
        self.sync(&org)?;
        self.durable().entry(object.org.clone()).or_default()[word] |= bit;
        Ok(())
    }

    fn make_directory(&self, directory: &Path) -> Result<(), ContentError> {
        match self.disk.create_dir(directory) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                Err(io_error("make", directory, source))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn sync(&self, directory: &Path) -> Result<(), ContentError> {
        let synced = self.disk.sync_dir(directory);
        synced.map_err(|source| io_error("sync", directory, source))
    }

    fn durable(&self) -> MutexGuard<'_, HashMap<OrgCode, Shelves>> {
        self.durable.lock()
    }
}

fn shelf_number(object: &ObjectName) -> u8 {
    object.object_id.as_bytes()[0]
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
        let file = self.disk.create(&temporary);
        let file = file.map_err(|source| io_error("make", &temporary, source))?;
        Ok(Box::new(Upload {
            file,
            written: 0,
            temporary: Temporary(Arc::clone(&self.disk), temporary),
            object: object.clone(),
            store: self.clone(),
            check: Check::new(promise),
        }))
    }

    fn settle(&self, object: &ObjectName, kept: Kept) -> Result<(), ContentError> {
        match kept.number {
            Some(own) => self
                .remove_uploads_of(object, |number| number < own)
                .map(drop),
            None => Ok(()),
        }
    }

    fn discard(&self, object: &ObjectName, kept: Kept) -> Result<(), ContentError> {
        self.discard_upload(object, kept)
    }

    fn seal(&self, object: &ObjectName) -> Result<Option<Sealed>, ContentError> {
        self.seal_latest(object)
    }

    fn duplicate(&self, object: &ObjectName, new: &ObjectName) -> Result<bool, ContentError> {
        self.duplicate_object(object, new)
    }

    fn remove_uploads(&self, object: &ObjectName) -> Result<(), ContentError> {
        self.remove_uploads_of(object, |_| true).map(drop)
    }

    fn size(&self, object: &ObjectName) -> Result<Option<u64>, ContentError> {
        if let Some(size) = size_of(&self.path(object))? {
            return Ok(Some(size));
        }
        match self.kept_uploads(object)?.pop() {
            Some(latest) => size_of(&self.upload_path(object, latest)),
            None => Ok(None),
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
        let _pass = self.removals.pass();
        if self.remove_uploads_of(object, |_| true)? > 0 {
            self.sync(&self.upload_shelf(object))?;
        }
        self.remove_copies(object)?;
        match self.disk.remove(&path) {
            Ok(()) => self.sync(&self.shelf(object)),
            Err(source) => absent_or::<()>("remove", &path, source).map(|_| ()),
        }
    }

    fn stale(&self, since: Timestamp) -> Result<Vec<String>, ContentError> {
        let stale = self.stale_files(since)?.into_iter();
        let mut places: Vec<_> = stale
            .filter_map(|(path, _)| path.file_name()?.to_str().map(str::to_owned))
            .map(|name| format!("content/{TEMPORARY}/{name}"))
            .collect();
        places.sort_unstable();
        Ok(places)
    }

    fn remove_stale(&self, since: Timestamp) -> Result<(u64, u64), ContentError> {
        let (mut count, mut bytes) = (0, 0);
        for (path, size) in self.stale_files(since)? {
            let removed = self.disk.remove(&path);
            removed.map_err(|source| io_error("remove", &path, source))?;
            count += 1;
            bytes += size;
        }
        Ok((count, bytes))
    }

    fn orgs(&self) -> Result<Vec<OrgCode>, ContentError> {
        let entries = fs::read_dir(&self.root);
        let entries = entries.map_err(|source| io_error("read", &self.root, source))?;
        let names = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names
            .filter(|name| name != TEMPORARY)
            .filter_map(|name| OrgCode::parse(&name).ok())
            .collect())
    }

    fn forget(&self, org: &OrgCode) -> Result<(), ContentError> {
        // Held, so that no other thread relies on a directory that is about to be removed.
        let mut durable = self.durable();
        durable.remove(org);
        let directory = self.org_directory(org);
        let shelves = fs::read_dir(&directory).into_iter().flatten().flatten();
        for path in shelves.map(|shelf| shelf.path()).chain([directory.clone()]) {
            match fs::remove_dir(&path) {
                Err(source) if source.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                Err(source) => return absent_or::<()>("remove", &path, source).map(drop),
                Ok(()) => {}
            }
        }
        self.sync(&self.root)
    }

    fn list(&self, org: &OrgCode) -> Result<Vec<Uuid>, ContentError> {
        let directory = self.org_directory(org);
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
                let Some(name) = name.to_str() else { continue };
                let object = name.strip_suffix(".gz");
                let object = object.and_then(|id| Uuid::try_parse(id).ok());
                let object = object.or_else(|| UploadName::parse(name).map(UploadName::object_id));
                found.extend(object.or_else(|| AsideName::parse(name).map(|name| name.object_id)));
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    fn files(
        &self,
        org: &OrgCode,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<FoundFile>, ContentError> {
        let mut found = Vec::new();
        let directory = self.org_directory(org);
        let behind = |shelf: &str, place: &str| {
            after.is_none_or(|after| shelf > shelf_of(after) || place > after)
        };
        for (shelf, is_directory) in names(&directory)? {
            if found.len() >= limit || after.is_some_and(|after| shelf.as_str() < shelf_of(after)) {
                continue;
            }
            let places = if is_directory {
                names(&directory.join(&shelf))?
                    .into_iter()
                    .filter(|(_, is_directory)| !is_directory)
                    .map(|(name, _)| format!("{shelf}/{name}"))
                    .collect()
            } else {
                vec![shelf.clone()]
            };
            let places = places
                .into_iter()
                .filter(|place| behind(&shelf, place) && AsideName::at(place).is_none());
            found.extend(places.map(|place| {
                let upload = UploadName::at(&place);
                let metadata = upload.and_then(|_| fs::metadata(directory.join(&place)).ok());
                FoundFile {
                    object_id: object_at(&place).or(upload.map(UploadName::object_id)),
                    uploaded_at: metadata.as_ref().and_then(written_at),
                    place,
                }
            }));
        }
        Ok(found)
    }

    fn remove_file(&self, org: &OrgCode, place: &str) -> Result<(), ContentError> {
        let path = self.found_path(org, place)?;
        let _pass = self.removals.pass();
        match self.disk.remove(&path) {
            Ok(()) => self.sync(path.parent().unwrap_or(&self.root)),
            Err(source) => absent_or::<()>("remove", &path, source).map(|_| ()),
        }
    }

    fn set_aside(&self, object: &ObjectName) -> Result<(), ContentError> {
        self.set_object_aside(object)
    }

    fn set_aside_until(
        &self,
        org: &OrgCode,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<SetAside>, ContentError> {
        self.copies_until(org, until, limit)
    }

    fn remove_set_aside(&self, object: &ObjectName) -> Result<(u64, u64), ContentError> {
        let _pass = self.removals.pass();
        self.remove_copies(object)
    }

    fn removals(&self) -> Removals {
        self.removals.clone()
    }
}

impl LocalStore {
    /// Files of uploads that have not been written to since a time, with their bytes.
    fn stale_files(&self, since: Timestamp) -> Result<Vec<(PathBuf, u64)>, ContentError> {
        let temporary = self.root.join(TEMPORARY);
        let files =
            fs::read_dir(&temporary).map_err(|source| io_error("read", &temporary, source))?;
        let stale = files.flatten().filter_map(|file| {
            // One that is missing by now was kept or has ended.
            let metadata = file.metadata().ok()?;
            let stale = written_at(&metadata).is_some_and(|at| at <= since);
            (stale && !metadata.is_dir()).then(|| (file.path(), metadata.len()))
        });
        Ok(stale.collect())
    }

    /// The path of a place below an org's; it cannot lead out of there.
    fn found_path(&self, org: &OrgCode, place: &str) -> Result<PathBuf, ContentError> {
        let parts = Path::new(place).components();
        let path = self.org_directory(org).join(place);
        if parts.clone().count() > 0 && parts.into_iter().all(is_plain) {
            Ok(path)
        } else {
            let source = io::Error::from(io::ErrorKind::InvalidInput);
            Err(io_error("remove", &path, source))
        }
    }
}
