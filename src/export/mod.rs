//! The format in which an org is exported: files with all of its data, which another instance can import.
//!
//! A directory holds `manifest.json`, which names the next three with their size and SHA-256: `records.jsonl.gz`, each
//! record as callers see it with its content versions; `events.jsonl.gz`, the whole history, of which the records can
//! be made again; and `content.jsonl`, which names every file below `content/` in the same way. So one hash, that of
//! the manifest, covers every byte.

pub mod check;
#[cfg(test)]
mod fuzz;
pub mod line;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::OrgCode;
use crate::domain::offboarding::Counts;
use crate::domain::record::NewContent;

/// The form that this program writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;
/// The file that names the other files.
pub const MANIFEST: &str = "manifest.json";
/// Each record as callers see it.
pub const RECORDS: &str = "records.jsonl.gz";
/// Name of the file with the history.
pub const EVENTS: &str = "events.jsonl.gz";
/// The file that lists the content files.
pub const CONTENT: &str = "content.jsonl";
/// The directory of the content files.
pub const CONTENT_DIRECTORY: &str = "content";
/// Names the export in a directory that it is still being downloaded to.
pub const UNFINISHED: &str = "unfinished.json";
/// The files that the manifest names, in its order.
pub const FILES: [&str; 3] = [EVENTS, RECORDS, CONTENT];
/// Longest line of a file, in bytes: an entry's own and its inline content in base64.
pub const LINE_BYTES_MAX: usize = 17 * 1024 * 1024;

/// One file of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its path below the export's directory.
    pub name: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// SHA-256 of the file's bytes, in hex.
    pub sha256: String,
}

/// The manifest of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The form of the files.
    pub format_version: u32,
    /// Code of the exported org.
    pub orgcode: OrgCode,
    /// The export's name where it was made.
    pub export_id: String,
    /// The last position of the journal there that it takes in.
    pub journal_position: u64,
    /// The time at which records are shown as they were, in RFC 3339.
    pub made_at: String,
    /// The amounts of data in it.
    pub counts: Counts,
    /// The three other files.
    pub files: Vec<FileEntry>,
}

/// The path of an object's file.
pub fn content_name(object_id: Uuid) -> String {
    format!("{CONTENT_DIRECTORY}/{}.gz", object_id.simple())
}

/// The object whose file has a path.
pub fn object_of_name(name: &str) -> Option<Uuid> {
    let id = name.strip_prefix(CONTENT_DIRECTORY)?.strip_prefix('/')?;
    let id = Uuid::try_parse(id.strip_suffix(".gz")?).ok()?;
    // Only the one spelling, so that no file has two names.
    (content_name(id) == name).then_some(id)
}

/// Whether a path is that of a file an export can have, and of nothing else.
pub fn is_file_name(name: &str) -> bool {
    name == MANIFEST || FILES.contains(&name) || object_of_name(name).is_some()
}

/// The object that content is to be, with what was promised of it.
pub(crate) fn object_of(content: &NewContent) -> Option<(Uuid, u64, crate::domain::Md5)> {
    match content {
        NewContent::Upload {
            object_id,
            size,
            md5,
            ..
        } => Some((*object_id, *size, *md5)),
        NewContent::Inline { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_files_of_an_export_have_names() {
        let object = content_name(Uuid::from_u128(7));
        for name in [MANIFEST, RECORDS, EVENTS, CONTENT, object.as_str()] {
            assert!(is_file_name(name), "{name}");
        }
        for name in [
            "",
            "content",
            "content/",
            "content/x.gz",
            "../manifest.json",
            "content/../manifest.json",
            "content/00000000-0000-0000-0000-000000000007.gz",
            "content/0000000000000000000000000000000A.gz",
            "progress.json",
        ] {
            assert!(!is_file_name(name), "{name}");
        }
    }
}
