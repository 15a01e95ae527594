//! Files and directories that only their owner may read, whatever the umask of the process.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Mode of a file with tenants' data.
const FILE_MODE: u32 = 0o600;
/// Mode of a directory with such files.
const DIRECTORY_MODE: u32 = 0o700;

/// Has this process make all of its files for their owner alone, those that libraries make included.
pub(crate) fn close_what_is_made() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// Makes a file of mode 0600, or empties the one that is there and closes it to others. A device or a pipe keeps its mode.
///
/// # Errors
/// An I/O error of the system call.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    let file = options.mode(FILE_MODE).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    }
    Ok(file)
}

/// Writes a file that only its owner can read, whole or not at all, durable on return.
///
/// # Errors
/// An I/O error of the system call.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    match path.parent() {
        // A name alone is in the current directory.
        Some(parent) if parent.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Makes a directory of mode 0700 with those above it. Those that are there already stay as they are.
///
/// # Errors
/// An I/O error of the system call.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_closed_to_others_also_when_it_was_there() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("a/b");
        create_directory(&directory).unwrap();
        assert_eq!(mode(&directory), DIRECTORY_MODE);
        let path = directory.join("file");
        std::fs::write(&path, "longer than nothing").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        drop(create(&path).unwrap());
        assert_eq!(
            (mode(&path), path.metadata().unwrap().len()),
            (FILE_MODE, 0)
        );
    }
}
