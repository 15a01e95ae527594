//! The content of a backup: each file that the journal names and the backup has not yet, if it is what was promised.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::{Making, Progress};
use crate::backup::catalogue::{Object, ObjectState};
use crate::backup::hash::{copy_hashed, hash_file};
use crate::backup::place::{make_directory, object_path};
use crate::backup::{BackupError, CONTENT_DIRECTORY};
use crate::content::ObjectName;

/// Most absent contents that are named; all are counted.
const NAMED_MAX: usize = 100;

impl Making {
    /// Copies the content that the catalogue names and the backup has not. Returns what should be there and is not.
    pub(super) fn copy_content(
        &mut self,
        progress: Progress<'_>,
    ) -> Result<Vec<String>, BackupError> {
        let (mut catalogue, mut absent) = (std::mem::take(&mut self.catalogue), Vec::new());
        for (name, object) in catalogue.iter_mut() {
            let path = self.place.object(&name);
            let has =
                |object: &Object| fs::metadata(&path).is_ok_and(|found| found.len() == object.size);
            if object.sha256.is_some() && has(object) {
                continue;
            }
            object.sha256 = match object.state {
                ObjectState::Lost => None,
                ObjectState::Promised | ObjectState::Kept => {
                    self.copy_object(&name, object, &path)?
                }
            };
            progress(&self.tally);
            let is_absent = object.sha256.is_none() && object.state == ObjectState::Kept;
            if is_absent && absent.len() < NAMED_MAX {
                absent.push(name.to_string());
            }
        }
        self.catalogue = catalogue;
        Ok(absent)
    }

    /// Copies one object's file; `None` when it is missing, or not what was promised.
    fn copy_object(
        &mut self,
        name: &ObjectName,
        object: &Object,
        path: &Path,
    ) -> Result<Option<String>, BackupError> {
        // A backup that was broken off may have copied it.
        if let Some(found) = hash_file(path).map_err(BackupError::io("read", path))?
            && object.matches(&found)
        {
            self.touch(path);
            return Ok(Some(found.sha256));
        }
        let from = object_path(&self.order.data_dir.join(CONTENT_DIRECTORY), name);
        let mut source = match File::open(&from) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(BackupError::io("read", &from)(error)),
        };
        make_directory(path.parent().unwrap_or(&self.place.root))?;
        let new = path.with_extension("new");
        let copied = copy_hashed(&mut source, &new).map_err(BackupError::io("copy", &from))?;
        if !object.matches(&copied) {
            fs::remove_file(&new).map_err(BackupError::io("remove", &new))?;
            return Ok(None);
        }
        fs::rename(&new, path).map_err(BackupError::io("write", path))?;
        self.touch(path);
        self.tally.objects += 1;
        self.tally.bytes += copied.size;
        Ok(Some(copied.sha256))
    }

    /// Notes that the names on the way to a content file must be durable before a manifest names it.
    fn touch(&mut self, path: &Path) {
        let above = path.ancestors().skip(1);
        let above = above.take_while(|above| *above != self.place.root);
        self.touched.extend(above.map(Path::to_owned));
    }
}
