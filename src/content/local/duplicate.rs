//! A second object with the bytes of another: one more name for its file, or a copy where the file can have no more names.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use super::{LocalStore, TEMPORARY, Temporary, absent_or, io_error};
use crate::clock::random_uuid;
use crate::content::{ContentError, ObjectName};

/// Bytes copied at a time.
const CHUNK_BYTES: usize = 256 * 1024;

impl LocalStore {
    /// Makes the second object. A file is never written to once it is an object, so its names may share it.
    pub(super) fn duplicate_object(
        &self,
        object: &ObjectName,
        new: &ObjectName,
    ) -> Result<bool, ContentError> {
        let (from, to) = (self.path(object), self.path(new));
        self.make_shelf(new)?;
        match self.disk.link(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) if cannot_link(&error) => {
                if !self.copy_file(&from, &to)? {
                    return Ok(false);
                }
            }
            Err(source) => return Err(io_error("link", &to, source)),
        }
        self.sync(&self.shelf(new))?;
        Ok(true)
    }

    /// Copies a file: whole and durable before it has its name.
    fn copy_file(&self, from: &Path, to: &Path) -> Result<bool, ContentError> {
        let mut source = match File::open(from) {
            Ok(source) => source,
            Err(source) => {
                return absent_or("open", from, source).map(|none| none.unwrap_or(false));
            }
        };
        let name = random_uuid().simple().to_string();
        let temporary = Temporary(Arc::clone(&self.disk), self.root.join(TEMPORARY).join(name));
        let failed = |source| io_error("write", &temporary.1, source);
        let mut file = self.disk.create(&temporary.1).map_err(failed)?;
        let (mut written, mut chunk) = (0, vec![0; CHUNK_BYTES]);
        loop {
            let read = source.read(&mut chunk);
            let read = read.map_err(|source| io_error("read", from, source))?;
            if read == 0 {
                break;
            }
            file.write_at(written, &chunk[..read]).map_err(failed)?;
            written += read as u64;
        }
        file.sync().map_err(failed)?;
        let moved = self.disk.rename(&temporary.1, to);
        moved.map_err(|source| io_error("rename", to, source))?;
        Ok(true)
    }
}

/// Whether a file can have no further name: it has as many as it may, lies in another file system, or in one without them.
fn cannot_link(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::TooManyLinks
            | ErrorKind::CrossesDevices
            | ErrorKind::Unsupported
            | ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use super::super::no_links::NoLinks;
    use super::*;
    use crate::content::ContentStore;
    use crate::disk::{Disk, RealDisk};
    use crate::domain::OrgCode;

    fn object(number: u128) -> ObjectName {
        ObjectName {
            org: OrgCode::parse("ACME").expect("a code"),
            object_id: uuid::Uuid::from_u128(number),
        }
    }

    fn bytes(store: &LocalStore, object: &ObjectName) -> Option<Vec<u8>> {
        let mut read = store.read(object, 0, u64::MAX).expect("it can be read")?;
        let mut bytes = Vec::new();
        read.read_to_end(&mut bytes).expect("it can be read");
        Some(bytes)
    }

    #[test]
    fn a_duplicate_outlives_what_it_was_made_of() {
        for disk in [
            Arc::new(RealDisk) as Arc<dyn Disk>,
            Arc::new(NoLinks(ErrorKind::CrossesDevices)),
        ] {
            let scratch = tempfile::tempdir().expect("a directory");
            let store = LocalStore::open(disk, scratch.path()).expect("it opens");
            let [first, second, third] = [1, 2, 3].map(object);
            assert!(!store.duplicate(&first, &second).expect("nothing is there"));
            assert_eq!(bytes(&store, &second), None);
            store.make_shelf(&first).expect("a shelf");
            let content = vec![7; CHUNK_BYTES + 1];
            std::fs::write(store.path(&first), &content).expect("written");
            assert!(store.duplicate(&first, &second).expect("duplicated"));
            assert!(store.duplicate(&second, &third).expect("duplicated"));
            for gone in [&first, &second] {
                store.remove(gone).expect("removed");
                assert_eq!(bytes(&store, gone), None);
                assert_eq!(bytes(&store, &third), Some(content.clone()));
            }
            let left = std::fs::read_dir(scratch.path().join(TEMPORARY));
            assert_eq!(left.expect("listed").count(), 0);
        }
    }
}
