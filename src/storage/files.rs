//! Files around a database: small ones replaced whole, broken ones renamed, sizes and syncs.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The unit of `st_blocks` of stat(2).
const BLOCK_BYTES: u64 = 512;

/// Renames a broken database, so that a new one can be made in its place; `None` when there is none. At most one renamed
/// one is kept. The new name is `prefix` followed by `suffix`.
pub(crate) fn rename_broken(
    parent: &Path,
    name: &str,
    (prefix, suffix): (&str, i64),
) -> io::Result<Option<PathBuf>> {
    let current = parent.join(name);
    if !current.try_exists()? {
        return Ok(None);
    }
    remove_renamed(parent, prefix)?;
    let renamed = parent.join(format!("{prefix}{suffix}"));
    fs::rename(&current, &renamed)?;
    File::open(parent)?.sync_all()?;
    Ok(Some(renamed))
}

/// Removes the databases that [`rename_broken`] left.
pub(crate) fn remove_renamed(parent: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(prefix)) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Syncs every file below a directory, and the directories: a flush of the engine leaves that out.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_directory(&path)?;
        } else {
            File::open(&path)?.sync_all()?;
        }
    }
    File::open(directory)?.sync_all()
}

/// Writes a small file, whole or not at all.
pub(super) fn replace(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    let temporary = directory.join(format!("{name}.tmp"));
    let mut file = File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(name))?;
    File::open(directory)?.sync_all()
}

/// Bytes that a directory's files take on the disk. A file that disappears meanwhile takes none.
pub(super) fn bytes_of(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        bytes += match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => bytes_of(&path)?,
            Ok(found) => found.blocks() * BLOCK_BYTES,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(bytes)
}
