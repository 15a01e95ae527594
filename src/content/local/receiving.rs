//! An upload while it is written: a temporary file, which becomes one of the uploads to its object or is removed.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::LocalStore;
use super::files::io_error;
use crate::content::check::Check;
use crate::content::{ContentError, Kept, ObjectName, Receiving};
use crate::disk::{Disk, DiskFile};

/// An upload being written. Its temporary file is removed with it, whatever happens.
pub(super) struct Upload {
    pub(super) file: Box<dyn DiskFile>,
    pub(super) written: u64,
    pub(super) temporary: Temporary,
    pub(super) object: ObjectName,
    pub(super) store: LocalStore,
    pub(super) check: Check,
}

/// A file that is removed when this is dropped.
pub(super) struct Temporary(pub(super) Arc<dyn Disk>, pub(super) PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // What was kept has another name; if this one cannot be removed now, the next open does.
        let _: io::Result<()> = self.0.remove(&self.1);
    }
}

impl Receiving for Upload {
    fn take(&mut self, bytes: &[u8]) -> Result<(), ContentError> {
        self.check.take(bytes)?;
        let written = self.file.write_at(self.written, bytes);
        written.map_err(|source| io_error("write", &self.temporary.1, source))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn keep(mut self: Box<Self>) -> Result<Kept, ContentError> {
        let temporary = &self.temporary.1;
        let digests = self.check.finish()?;
        let synced = self.file.sync();
        synced.map_err(|source| io_error("sync", temporary, source))?;
        self.store.keep_upload(&self.object, digests, temporary)
    }
}
