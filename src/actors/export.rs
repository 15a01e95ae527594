//! Exports of orgs: made in small steps, each durable before the next, given out file by file, and removed.

mod error;
mod files;
mod make;
mod objects;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use crate::clock::Clock;
use crate::content::ContentStore;
use crate::domain::OrgCode;
use crate::domain::offboarding::Counts;
use crate::export::check::parse_manifest;
use crate::export::{CONTENT, FileEntry, MANIFEST, Manifest, is_file_name};
use crate::journal::Journal;
use crate::projections::Store;
use files::sync_dir;
use make::Making;

pub use error::ExportsError;

/// The org, the name and the extent of an export.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) org: OrgCode,
    pub(super) export_id: String,
    /// The last position of the journal.
    pub(super) position: u64,
    /// The last version of the org's own stream; all up to the position without one.
    pub(super) org_version: Option<u64>,
}

/// Makes exports below a directory, serves them, and removes them. Every method blocks on the disk.
pub struct Exports {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) store: Store,
    pub(super) content: Arc<dyn ContentStore>,
    pub(super) clock: Clock,
    pub(super) root: PathBuf,
}

impl Exports {
    fn directory(&self, org: &OrgCode, export_id: &str) -> PathBuf {
        self.root.join(org.as_str()).join(export_id)
    }

    /// Makes an export, or continues it, for as long as `go_on` allows. Returns the SHA-256 of its manifest and its numbers
    /// once it is complete; all of it is durable then.
    pub(super) fn make(
        &self,
        order: &Order,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<(String, Counts)>, ExportsError> {
        let directory = self.directory(&order.org, &order.export_id);
        let making = Making {
            exports: self,
            order,
            go_on,
            directory,
        };
        making.run()
    }

    /// The manifest of a finished export; `None` when it is not there.
    ///
    /// # Errors
    /// [`ExportsError`] for a failed read, or a manifest that cannot be parsed.
    pub fn manifest(
        &self,
        org: &OrgCode,
        export_id: &str,
    ) -> Result<Option<Manifest>, ExportsError> {
        match fs::read(self.directory(org, export_id).join(MANIFEST)) {
            Ok(text) => Ok(Some(parse_manifest(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Files of a complete export from an offset on, at most `limit`, and the offset after them. The manifest comes first,
    /// then what it names, then the content files.
    ///
    /// # Errors
    /// [`ExportsError`] for a failed read, or a list that cannot be parsed.
    pub fn list(
        &self,
        (org, export_id): (&OrgCode, &str),
        manifest_sha256: &str,
        from: u64,
        limit: usize,
    ) -> Result<(Vec<FileEntry>, Option<u64>), ExportsError> {
        let Some(manifest) = self.manifest(org, export_id)? else {
            return Ok((Vec::new(), None));
        };
        let directory = self.directory(org, export_id);
        let size = fs::metadata(directory.join(MANIFEST))?.len();
        let own = FileEntry {
            name: MANIFEST.to_owned(),
            size,
            sha256: manifest_sha256.to_owned(),
        };
        let fixed: Vec<_> = std::iter::once(own).chain(manifest.files).collect();
        let mut items: Vec<_> = fixed
            .iter()
            .skip(usize::try_from(from).unwrap_or(usize::MAX))
            .take(limit)
            .cloned()
            .collect();
        let mut next = from + items.len() as u64;
        // After those, an offset counts bytes of the list.
        let mut lines = BufReader::new(File::open(directory.join(CONTENT))?);
        let behind = next.saturating_sub(fixed.len() as u64);
        lines.seek(SeekFrom::Start(behind))?;
        let mut line = Vec::new();
        while next >= fixed.len() as u64 {
            line.clear();
            let read = lines.read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok((items, None));
            }
            if items.len() == limit {
                break;
            }
            items.push(serde_json::from_slice(&line)?);
            next += read as u64;
        }
        Ok((items, Some(next)))
    }

    /// Bytes of one of an export's files; `None` when there is none.
    ///
    /// # Errors
    /// [`ExportsError`] for a failed read.
    pub fn size(
        &self,
        org: &OrgCode,
        export_id: &str,
        name: &str,
    ) -> Result<Option<u64>, ExportsError> {
        if !is_file_name(name) || !is_id(export_id) {
            return Ok(None);
        }
        match fs::metadata(self.directory(org, export_id).join(name)) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a part of one of an export's files; `None` when there is none.
    ///
    /// # Errors
    /// [`ExportsError`] for a failed read.
    pub fn read(
        &self,
        (org, export_id, name): (&OrgCode, &str, &str),
        from: u64,
        bytes: u64,
    ) -> Result<Option<Box<dyn Read + Send>>, ExportsError> {
        if !is_file_name(name) || !is_id(export_id) {
            return Ok(None);
        }
        let mut file = match File::open(self.directory(org, export_id).join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        file.seek(SeekFrom::Start(from))?;
        Ok(Some(Box::new(file.take(bytes))))
    }

    /// Removes an export with all it holds; absent is fine.
    pub(super) fn remove(&self, org: &OrgCode, export_id: &str) -> Result<(), ExportsError> {
        match fs::remove_dir_all(self.directory(org, export_id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        match fs::remove_dir(self.root.join(org.as_str())) {
            // Other exports of the org are there.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(sync_dir(&self.root)?),
        }
    }
}

/// Exports are named by UUIDs, so that none leads out of its directory.
fn is_id(export_id: &str) -> bool {
    Uuid::try_parse(export_id).is_ok()
}
