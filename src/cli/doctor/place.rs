//! The data directory: whether it is one to serve from, the room there, and who has it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, access, major, minor, statvfs};

use super::super::finding::Finding;
use super::super::quoted::quoted;
use super::{Target, without_settings};
use crate::directory::{self, DirectoryError, Found};
use crate::journal::schema::SCHEMAS;
use crate::os_error::with_causes;

/// Segments for which there must be room: the one that is written, and the gzip of the one before.
const SEGMENTS: u64 = 2;
/// Files that can still be made, below which the doctor warns.
const FILES: u64 = 20_000;
const FILES_FIX: &str = "remove files (df -i shows how many there may be), or move the data directory to a file system with more";

/// The process that serves from a directory.
pub(super) struct Holder {
    /// Its process id, when it is known.
    pub(super) process: Option<u32>,
}

impl Holder {
    /// A name for the reader of a finding.
    pub(super) fn name(&self) -> String {
        let Some(process) = self.process else {
            return "an unknown process".to_owned();
        };
        let name = std::fs::read_to_string(format!("/proc/{process}/comm"));
        match name.as_deref().map(str::trim) {
            Ok(name) => format!("process {process} ({name})"),
            Err(_) => format!("process {process}"),
        }
    }
}

/// Who holds a directory's lock: by the system's list of locks, else by what the holder wrote into the file.
pub(super) fn holder(data_dir: &Path) -> Result<Option<Holder>, DirectoryError> {
    if let Some(process) = listed_holder(&data_dir.join(directory::LOCK)) {
        let process = Some(process);
        return Ok(Some(Holder { process }));
    }
    let text = directory::holder(data_dir)?;
    Ok(text.map(|text| Holder {
        process: text.rsplit(' ').next().and_then(|last| last.parse().ok()),
    }))
}

/// The process that `/proc/locks` names for a file; see `proc_locks(5)`.
fn listed_holder(lock: &Path) -> Option<u32> {
    let file = std::fs::metadata(lock).ok()?;
    let device = file.dev();
    let wanted = format!("{:02x}:{:02x}:{}", major(device), minor(device), file.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let holder = locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", process, place, ..] = words[..] else {
            return None;
        };
        (place == wanted).then_some(process)
    });
    // A process of another namespace is listed as 0 or -1.
    holder?.parse().ok().filter(|process| *process > 0)
}

/// Whether the lock is free, or whose it is.
pub(super) fn lock(holder: &Result<Option<Holder>, DirectoryError>) -> Finding {
    const NAME: &str = "lock";
    match holder {
        Ok(None) => Finding::ok(NAME, "free: no server runs on this directory"),
        Ok(Some(holder)) => Finding::ok(NAME, format!("held by {}", holder.name())),
        Err(error) => Finding::fail(NAME, with_causes(error), super::fix_of(error)),
    }
}

/// Whether the directory is one to serve from.
pub(super) fn directories(target: &Target<'_>) -> Finding {
    const NAME: &str = "directories";
    let root = target.data_dir;
    let shown = root.display();
    match directory::look(root, target.development, SCHEMAS) {
        Err(error) => {
            let fix = fix_of(&error);
            Finding::fail(NAME, with_causes(&error), fix)
        }
        Ok(found) => {
            let lacking = match found {
                Found::Nothing => cannot_write(nearest(root)),
                Found::Empty => cannot_write(root),
                Found::Made => incomplete(root),
            };
            if let Some((what, fix)) = lacking {
                return Finding::fail(NAME, what, fix);
            }
            if found != Found::Nothing && directory::is_open_to_others(root) {
                let what = format!("others can read {shown}; a start sets its mode to 0700");
                return Finding::warn(NAME, what, format!("chmod 700 {}", quoted(root)));
            }
            Finding::ok(
                NAME,
                match found {
                    Found::Nothing => format!("{shown} does not exist; the first start creates it"),
                    Found::Empty => format!("{shown} is empty"),
                    Found::Made => format!("{shown} is complete and writable"),
                },
            )
        }
    }
}

fn fix_of(error: &DirectoryError) -> String {
    let fix = match error {
        DirectoryError::Io { .. } => return super::fix_of(error),
        DirectoryError::Foreign { .. } | DirectoryError::Absent { .. } => {
            "use an empty directory, or one that g3n created, as --data-dir"
        }
        DirectoryError::Environment { .. } => {
            "use --dev for a directory of development mode and omit it for others, or use another --data-dir"
        }
        DirectoryError::Newer { .. } | DirectoryError::NewerEvents { .. } => {
            "use the newer g3n that wrote it"
        }
        DirectoryError::NotADirectory { .. } => "use a directory as --data-dir",
        DirectoryError::TokenUnfit { .. } => {
            "correct it, or remove it while the server is stopped to have a new one made"
        }
        DirectoryError::Held { .. } => "stop the other server first",
        DirectoryError::OpenToOthers { .. } => "chmod 700 it as its owner",
        DirectoryError::TokenOpenToOthers { .. } => {
            "chmod 600 it, or delete it if somebody may have read it"
        }
    };
    fix.to_owned()
}

/// What a directory that was served from lacks, and what to do.
fn incomplete(root: &Path) -> Option<(String, String)> {
    let there = |name: &str| root.join(name).is_dir();
    let journal = there("journal");
    // The projections come after the journal, and content before it.
    let gone = if !journal && there("projections") {
        Some("journal")
    } else if journal && !there("content") {
        Some("content")
    } else {
        None
    };
    if let Some(name) = gone {
        return Some((
            format!("{} is missing", root.join(name).display()),
            "restore it from a backup; a start would create an empty one".to_owned(),
        ));
    }
    let parts = [
        "",
        "journal",
        "content",
        "projections",
        "keys",
        "audit",
        "exports",
    ];
    let mut parts = parts.iter().map(|name| root.join(name));
    parts.find_map(|part| part.is_dir().then(|| cannot_write(&part)).flatten())
}

fn cannot_write(directory: &Path) -> Option<(String, String)> {
    let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    let error = access(directory, wanted).err()?;
    let error = std::io::Error::from(error);
    Some((
        format!("{} cannot be written: {error}", directory.display()),
        super::fix_of(&error),
    ))
}

/// The directory itself, or the nearest one above it that is there.
fn nearest(directory: &Path) -> &Path {
    let mut above = directory.ancestors();
    let there = above.find(|path| path.is_dir());
    there.unwrap_or_else(|| Path::new("."))
}

/// The room where the data is.
pub(super) fn free_space(target: &Target<'_>, free_bytes_min: u64) -> Finding {
    const NAME: &str = "free-space";
    const FIX: &str = "free space, or move the data directory to a larger disk";
    let Some(options) = target.options else {
        return without_settings(NAME);
    };
    let place = nearest(target.data_dir);
    let space = match statvfs(place) {
        Ok(space) => space,
        Err(error) => {
            let error = std::io::Error::from(error);
            return Finding::fail(NAME, error.to_string(), super::fix_of(&error));
        }
    };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let told = format!("{} MiB free for {}", free >> 20, place.display());
    let needed = options
        .settings
        .journal
        .segment_bytes
        .saturating_mul(SEGMENTS);
    if free < needed {
        let told = format!(
            "{told}, and two segments of the journal need {}",
            needed >> 20
        );
        return Finding::fail(NAME, told, FIX);
    }
    let size = space.f_blocks.saturating_mul(space.f_frsize);
    let marks = options.reserve.marks(size, space.f_files);
    for (mark, refused) in [
        (marks.changes, "changes of tenants"),
        (marks.uploads, "uploads and puts"),
    ] {
        if free < mark {
            let told = format!("{told}, and below {} {refused} are refused", mark >> 20);
            return Finding::fail(NAME, told, FIX);
        }
    }
    // A file system that makes inodes as it needs them counts none.
    let files = (space.f_files > 0).then_some(space.f_favail);
    let few_files = |files: u64| format!("{told}, and {files} more files (inodes)");
    for (mark, refused) in [
        (marks.changes_files, "changes of tenants"),
        (marks.uploads_files, "uploads and puts"),
    ] {
        if let Some(files) = files.filter(|files| *files < mark) {
            let told = format!("{}; below {mark} {refused} are refused", few_files(files));
            return Finding::fail(NAME, told, FILES_FIX);
        }
    }
    if free < free_bytes_min {
        return Finding::warn(NAME, format!("{told}, under {}", free_bytes_min >> 20), FIX);
    }
    if let Some(files) = files.filter(|files| *files < FILES) {
        return Finding::warn(NAME, few_files(files), FILES_FIX);
    }
    Finding::ok(NAME, told)
}
