//! Copies of damaged objects, next to the objects' own files until nobody needs to inspect them any more.
//!
//! The copies of one object are numbered from 0 without gaps and removed together: they are found without reading a directory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{LocalStore, absent_or, io_error, names, object_at, written_at};
use crate::content::{ContentError, ObjectName, SetAside};
use crate::domain::{OrgCode, Timestamp};

/// The suffix of a copy's name.
const ENDING: &str = ".damaged";
/// Most copies of one object; it was damaged and restored as often.
const COPIES_MAX: u32 = 100;

/// The name of a copy: that of the object's file, the number of the copy unless it is 0, and the ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::content) struct AsideName {
    pub(super) object_id: Uuid,
    number: u32,
}

impl AsideName {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (object, number) = name.strip_suffix(ENDING)?.split_once(".gz")?;
        let object_id = Uuid::try_parse(object).ok()?;
        let number = match number {
            "" => 0,
            number => number.strip_prefix('.')?.parse().ok()?,
        };
        let parsed = Self { object_id, number };
        (parsed.to_string() == name && number < COPIES_MAX).then_some(parsed)
    }

    /// The copy whose file belongs exactly at a place below an org's.
    pub(super) fn at(place: &str) -> Option<Self> {
        let (shelf, name) = place.split_once('/')?;
        let parsed = Self::parse(name)?;
        let object = format!("{shelf}/{}.gz", parsed.object_id.simple());
        object_at(&object).map(|_| parsed)
    }
}

impl std::fmt::Display for AsideName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.gz", self.object_id.simple())?;
        if self.number > 0 {
            write!(f, ".{}", self.number)?;
        }
        f.write_str(ENDING)
    }
}

impl LocalStore {
    fn copy_path(&self, object: &ObjectName, number: u32) -> PathBuf {
        let name = AsideName {
            object_id: object.object_id,
            number,
        };
        self.shelf(object).join(name.to_string())
    }

    pub(super) fn set_object_aside(&self, object: &ObjectName) -> Result<(), ContentError> {
        let path = self.path(object);
        let _pass = self.removals.pass();
        for number in 0..COPIES_MAX {
            match self.disk.link(&path, &self.copy_path(object, number)) {
                Ok(()) => {
                    let removed = self.disk.remove(&path);
                    removed.map_err(|source| io_error("remove", &path, source))?;
                    return self.sync(&self.shelf(object));
                }
                // Earlier copies are evidence, too.
                Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return absent_or::<()>("set aside", &path, source).map(|_| ()),
            }
        }
        let source = io::Error::from(io::ErrorKind::AlreadyExists);
        Err(io_error("set aside", &path, source))
    }

    pub(super) fn copies_until(
        &self,
        org: &OrgCode,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<SetAside>, ContentError> {
        let directory = self.org_directory(org);
        let mut found = Vec::new();
        for (shelf, is_directory) in names(&directory)? {
            if !is_directory || found.len() >= limit {
                continue;
            }
            let mut objects: BTreeMap<Uuid, (SetAside, bool)> = BTreeMap::new();
            for (name, _) in names(&directory.join(&shelf))? {
                let place = format!("{shelf}/{name}");
                let Some(AsideName { object_id, .. }) = AsideName::at(&place) else {
                    continue;
                };
                let metadata = fs::symlink_metadata(directory.join(&place)).ok();
                let old = metadata
                    .as_ref()
                    .is_some_and(|metadata| changed_at(metadata).is_some_and(|at| at <= until));
                let none = SetAside {
                    object_id,
                    files: 0,
                    bytes: 0,
                };
                let (copies, all_old) = objects.entry(object_id).or_insert((none, true));
                copies.files += 1;
                copies.bytes += metadata.map_or(0, |metadata| metadata.len());
                *all_old &= old;
            }
            let old = objects.into_values().filter(|(_, all_old)| *all_old);
            found.extend(old.map(|(copies, _)| copies));
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Removes the copies of an object, the last one first, so that those which a crash leaves are numbered without gaps.
    pub(super) fn remove_copies(&self, object: &ObjectName) -> Result<(u64, u64), ContentError> {
        let mut copies = Vec::new();
        for number in 0..COPIES_MAX {
            let path = self.copy_path(object, number);
            match fs::symlink_metadata(&path) {
                Ok(metadata) => copies.push((path, metadata.len())),
                Err(source) => {
                    absent_or::<()>("read", &path, source)?;
                    break;
                }
            }
        }
        let bytes = copies.iter().map(|(_, bytes)| bytes).sum();
        for (path, _) in copies.iter().rev() {
            let removed = self.disk.remove(path);
            removed.or_else(|source| absent_or::<()>("remove", path, source).map(drop))?;
        }
        if !copies.is_empty() {
            self.sync(&self.shelf(object))?;
        }
        Ok((copies.len() as u64, bytes))
    }
}

/// When a file got its name, or was written to, whichever was later: `ctime` is set by link(2), and by a copy to another disk.
fn changed_at(metadata: &fs::Metadata) -> Option<Timestamp> {
    let changed = metadata.ctime().checked_mul(1_000)?;
    let changed = changed.checked_add(metadata.ctime_nsec() / 1_000_000)?;
    let changed = Timestamp::from_millis(changed);
    written_at(metadata).map(|written| written.max(changed))
}

/// The copies in an org's directory, and their bytes, read without a store; reads at most `names_left` names.
pub fn count(org: &Path, names_left: &mut usize) -> io::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for shelf in fs::read_dir(org)?.flatten() {
        let Ok(entries) = fs::read_dir(shelf.path()) else {
            continue;
        };
        for entry in entries.flatten() {
            if *names_left == 0 {
                return Ok((files, bytes));
            }
            *names_left -= 1;
            let name = entry.file_name();
            if name.to_str().and_then(AsideName::parse).is_some() {
                files += 1;
                bytes += entry.metadata().map_or(0, |metadata| metadata.len());
            }
        }
    }
    Ok((files, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_spelling_is_the_name_of_a_copy() {
        let object_id = Uuid::from_u128(7);
        for number in [0, 1, COPIES_MAX - 1] {
            let name = AsideName { object_id, number };
            assert_eq!(AsideName::parse(&name.to_string()), Some(name));
            assert_eq!(AsideName::at(&format!("00/{name}")), Some(name));
            assert_eq!(AsideName::at(&format!("01/{name}")), None);
            assert_eq!(AsideName::at(&name.to_string()), None);
        }
        let simple = object_id.simple();
        for other in [
            format!("{simple}.gz"),
            format!("{simple}.damaged"),
            format!("{simple}.gz.0.damaged"),
            format!("{simple}.gz.01.damaged"),
            format!("{simple}.gz.{COPIES_MAX}.damaged"),
            format!("{object_id}.gz.damaged"),
            "notes.damaged".to_owned(),
        ] {
            assert_eq!(AsideName::parse(&other), None, "{other}");
        }
    }
}
