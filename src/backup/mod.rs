//! The form of a backup: a directory that holds a server's journal up to a position, and the content it names there.
//!
//! `manifest.json` names a generation and every file of it with size and SHA-256, its own bytes included.
//! `generation-N/` holds the marker, the journal's segments and `content.jsonl`, which names every file below `content/`
//! in the same way. The next backup makes the next generation next to it, out of links to what is unchanged, and is
//! complete once its manifest has replaced the last one: no file that a manifest names is ever written again.

pub mod catalogue;
pub mod create;
mod error;
#[cfg(test)]
mod fuzz;
mod hash;
mod place;
pub mod restore;
pub mod verify;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::export::FileEntry;
use crate::journal::Position;
use crate::journal::copy::Identity;

pub use self::error::BackupError;

/// The form that this program writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;
/// The file that names the other files.
pub const MANIFEST: &str = "manifest.json";
/// The directory of the content files.
pub const CONTENT_DIRECTORY: &str = "content";
/// The file that lists the content files, in a generation.
pub const CONTENT_LIST: &str = "content.jsonl";
/// The journal, in a generation.
pub const JOURNAL: &str = "journal";
/// The keys, in a generation that has them.
pub const KEYS: &str = "keys";
/// The file whose lock excludes a second backup, and readers of one that is being made.
const LOCK: &str = "lock";
/// The prefix of a generation's directory.
const GENERATION: &str = "generation-";

/// The manifest of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The form of the files.
    pub format_version: u32,
    /// The number of the generation it names.
    pub generation: u64,
    /// When the backup was made, in RFC 3339.
    pub made_at: String,
    /// The version of the program that made it.
    pub program: String,
    /// The format of the data directory.
    pub data_format: u32,
    /// What the data directory was made for: `development` or `production`.
    pub environment: String,
    /// Names the journal: the hash of its first entry, in hex; 64 zeros while it is empty.
    pub journal_id: String,
    /// The last position of the journal that is in it.
    pub position: Position,
    /// That entry's hash in hex.
    pub hash: String,
    /// Whether the keys are in it.
    pub with_keys: bool,
    /// The journal, in order.
    pub segments: Vec<SegmentEntry>,
    /// The generation's other files, by their paths in it.
    pub files: Vec<FileEntry>,
    /// The amount of content it names.
    pub objects: Objects,
}

/// One segment of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentEntry {
    /// The position it begins with.
    pub first: Position,
    /// Name of the segment's file.
    pub name: String,
    /// Bytes of the file.
    pub size: u64,
    /// SHA-256 of the file in hex.
    pub sha256: String,
    /// The position after which it was cut; `None` for a full one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Position>,
    /// The identity of the server's file it was copied from.
    pub source: Identity,
}

/// Numbers of content objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objects {
    /// Number of content files.
    pub files: u64,
    /// Bytes of these files together.
    pub bytes: u64,
    /// Contents that the journal names as there, and that the server did not have, or only damaged.
    pub absent: u64,
}

/// The file around a manifest: its exact bytes and their hash.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<'a> {
    sha256: String,
    #[serde(borrow)]
    manifest: &'a RawValue,
}

impl Manifest {
    /// The bytes of `manifest.json`.
    ///
    /// # Errors
    /// When a field cannot be written, which none of them does.
    pub fn to_text(&self) -> Result<String, BackupError> {
        let unwritable = |error: serde_json::Error| BackupError::damaged(MANIFEST, error);
        let manifest = serde_json::value::to_raw_value(self).map_err(unwritable)?;
        let sealed = Sealed {
            sha256: hex::encode(Sha256::digest(manifest.get())),
            manifest: &manifest,
        };
        let mut text = serde_json::to_string(&sealed).map_err(unwritable)?;
        text.push('\n');
        Ok(text)
    }

    /// Reads the bytes of `manifest.json`.
    ///
    /// # Errors
    /// [`BackupError::Newer`] for a newer form, [`BackupError::Damaged`] when any byte differs from what was written.
    pub fn parse(text: &str) -> Result<Self, BackupError> {
        #[derive(Deserialize)]
        struct Format {
            format_version: u32,
        }
        let unreadable = |error: serde_json::Error| BackupError::damaged(MANIFEST, error);
        let sealed: Sealed<'_> = serde_json::from_str(text).map_err(unreadable)?;
        let inner = sealed.manifest.get();
        if hex::encode(Sha256::digest(inner)) != sealed.sha256 {
            let what = "it does not have the SHA-256 that it states";
            return Err(BackupError::damaged(MANIFEST, what));
        }
        let format: Format = serde_json::from_str(inner).map_err(unreadable)?;
        if format.format_version > FORMAT_VERSION {
            return Err(BackupError::Newer {
                found: format.format_version,
            });
        }
        let manifest: Self = serde_json::from_str(inner).map_err(unreadable)?;
        let mut names = manifest.files.iter().map(|file| file.name.as_str());
        if !names.all(is_file_name) || !manifest.segments.iter().all(SegmentEntry::is_named_well) {
            return Err(BackupError::damaged(MANIFEST, "it names a file elsewhere"));
        }
        // The frame around the manifest has no hash, so it must be the one spelling.
        if manifest.to_text()? != text {
            return Err(BackupError::damaged(MANIFEST, "it is not as written"));
        }
        Ok(manifest)
    }

    /// All bytes that a check reads, content files included.
    pub fn bytes(&self) -> u64 {
        let segments = self.segments.iter().map(|segment| segment.size);
        let files = self.files.iter().map(|file| file.size);
        segments.chain(files).sum::<u64>() + self.objects.bytes
    }

    /// The name of its generation's directory.
    fn directory(&self) -> String {
        generation_name(self.generation)
    }
}

impl SegmentEntry {
    fn is_named_well(&self) -> bool {
        crate::journal::copy::is_name_of(&self.name, self.first)
    }
}

fn generation_name(number: u64) -> String {
    format!("{GENERATION}{number}")
}

/// Whether a path is one that a generation's file may have, not counting segments.
fn is_file_name(name: &str) -> bool {
    let key = name
        .strip_prefix(KEYS)
        .and_then(|rest| rest.strip_prefix('/'));
    let plain = |name: &str| !name.is_empty() && !name.contains('/') && !name.starts_with('.');
    name == CONTENT_LIST
        || name == crate::directory::MARKER
        || name == state_name()
        || key.is_some_and(plain)
}

/// The journal's own marker, in a generation.
fn state_name() -> String {
    format!("{JOURNAL}/{}", crate::journal::state::FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn manifest() -> Manifest {
        let source = Identity {
            inode: 1,
            size: 2,
            modified_seconds: 3,
            modified_nanos: 4,
        };
        Manifest {
            format_version: FORMAT_VERSION,
            generation: 7,
            made_at: "2027-01-31T12:00:00.000Z".to_owned(),
            program: "0.1.0".to_owned(),
            data_format: 1,
            environment: "production".to_owned(),
            journal_id: "0".repeat(64),
            position: 17,
            hash: "1".repeat(64),
            with_keys: false,
            segments: vec![SegmentEntry {
                first: 1,
                name: "00000000000000000001.jsonl".to_owned(),
                size: 5,
                sha256: "2".repeat(64),
                until: Some(17),
                source,
            }],
            files: vec![FileEntry {
                name: CONTENT_LIST.to_owned(),
                size: 0,
                sha256: "3".repeat(64),
            }],
            objects: Objects::default(),
        }
    }

    #[test]
    fn no_byte_of_a_manifest_can_be_another_one() {
        let text = manifest().to_text().unwrap();
        assert_eq!(Manifest::parse(&text).unwrap(), manifest());
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let read = String::from_utf8(bytes).map(|text| Manifest::parse(&text).is_ok());
            assert!(!read.unwrap_or(false), "byte {at}");
        }
    }

    #[test]
    fn a_manifest_names_no_file_outside_of_the_backup() {
        for name in [
            "../lock",
            "keys/../../lock",
            "keys/",
            "keys/.",
            "keys/..",
            "keys/a/b",
            "/etc/passwd",
            "",
        ] {
            let mut manifest = manifest();
            name.clone_into(&mut manifest.files[0].name);
            let read = Manifest::parse(&manifest.to_text().unwrap());
            assert!(matches!(read, Err(BackupError::Damaged { .. })), "{name}");
        }
        let mut manifest = manifest();
        manifest.segments[0].name = "../00000000000000000001.jsonl".to_owned();
        let read = Manifest::parse(&manifest.to_text().unwrap());
        assert!(matches!(read, Err(BackupError::Damaged { .. })));
    }

    #[test]
    fn a_newer_form_is_told_as_such() {
        let mut manifest = manifest();
        manifest.format_version += 1;
        let read = Manifest::parse(&manifest.to_text().unwrap());
        assert!(matches!(read, Err(BackupError::Newer { found: 2 })));
    }
}
