//! The operations of the commit log and the content store on the disk: a trait, so that tests can let each of them fail,
//! and can cut the power between any two.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::Access;

/// The unit of a file's blocks: `st_blocks` of stat(2).
const BLOCK_BYTES: u64 = 512;
/// Bytes that are copied at a time.
const COPY_BYTES: usize = 64 * 1024;

/// A directory's operations. Nothing is durable before the matching sync.
pub trait Disk: Send + Sync + 'static {
    /// Makes an empty file, also over one that is there.
    ///
    /// # Errors
    /// An I/O error of the system call.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file that is there for writing.
    ///
    /// # Errors
    /// An I/O error of the system call.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Renames a file, also over one that is there.
    ///
    /// # Errors
    /// An I/O error of the system call.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file one more name; never takes a name from another.
    ///
    /// # Errors
    /// An I/O error; [`io::ErrorKind::AlreadyExists`] when something has the name.
    fn link(&self, file: &Path, name: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// An I/O error of the system call.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory; its parent must exist.
    ///
    /// # Errors
    /// An I/O error; [`io::ErrorKind::AlreadyExists`] when it is there.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes a directory's names durable.
    ///
    /// # Errors
    /// An I/O error of the system call.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// A file being written.
pub trait DiskFile: Send {
    /// Writes all of the bytes from an offset on.
    ///
    /// # Errors
    /// An I/O error; any part may have been written.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file off.
    ///
    /// # Errors
    /// An I/O error of the system call.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Makes the file's bytes and length durable.
    ///
    /// # Errors
    /// An I/O error. What was written since the last sync may be lost whatever a later sync says.
    fn sync(&mut self) -> io::Result<()>;
}

/// The machine's file system, through the standard library.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().write(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, file: &Path, name: &Path) -> io::Result<()> {
        fs::hard_link(file, name)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

impl DiskFile for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The size and free space of a file system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    /// Bytes that this process may still use.
    pub(crate) free_bytes: u64,
    /// Size of the file system in bytes.
    pub(crate) size_bytes: u64,
    /// Inodes that this process may use yet; the largest number where they are not counted.
    pub(crate) free_files: u64,
    /// All inodes; 0 where they are made as they are needed.
    pub(crate) files: u64,
}

/// How large a directory's file system is, and how much of it is free for this process.
///
/// # Errors
/// An I/O error of the system call.
pub(crate) fn space(directory: &Path) -> io::Result<Space> {
    let disk = rustix::fs::statvfs(directory)?;
    Ok(Space {
        free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
        size_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
        free_files: match disk.f_files {
            0 => u64::MAX,
            _ => disk.f_favail,
        },
        files: disk.f_files,
    })
}

/// Whether this process may read a directory and change what is in it, as far as modes and mounts say.
///
/// # Errors
/// The I/O error of the attempt to write.
pub(crate) fn check_writable(directory: &Path) -> io::Result<()> {
    let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    Ok(rustix::fs::access(directory, wanted)?)
}

/// Copies a directory with all in it to one that is not there yet, which only its owner may read.
///
/// # Errors
/// An I/O error; what was copied is left.
pub(crate) fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_directory(&from, &to)?;
        } else {
            copy_file(&mut File::open(&from)?, &mut File::create_new(&to)?)?;
        }
    }
    Ok(())
}

/// Copies a file without the parts of it that are all zeros, which take no room: databases make files longer than they fill.
fn copy_file(from: &mut File, to: &mut File) -> io::Result<()> {
    let mut chunk = vec![0; COPY_BYTES];
    let mut length = 0;
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => return to.set_len(length),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let part = &chunk[..read];
        if part.iter().any(|byte| *byte != 0) {
            to.write_all_at(part, length)?;
        }
        length += read as u64;
    }
}

/// Bytes that the files below a directory take on the disk. What cannot be read, or is removed meanwhile, counts nothing.
pub(crate) fn used_bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => used_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks().saturating_mul(BLOCK_BYTES),
        Err(_) => 0,
    });
    sizes.sum()
}
