//! Where a path leads: through links to a file, or to a descriptor that the process already has.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use sha2::{Digest, Sha256};

/// How many links are followed, as many as the kernel does.
const LINKS_MAX: u32 = 40;
/// Longest name of a file in bytes.
const NAME_BYTES_MAX: usize = 255;

/// What a path stands for.
pub(super) enum Target {
    /// Something that is open and written to as it is.
    Open(File),
    /// The path behind all links; nothing need be there yet.
    Path(PathBuf),
}

impl Target {
    /// Follows a path's links, also one to a file that is not there.
    ///
    /// # Errors
    /// When a directory on the way cannot be read, or the path names no file.
    pub(super) fn find(path: &Path) -> io::Result<Self> {
        let mut path = path.to_owned();
        for _ in 0..LINKS_MAX {
            if path.as_os_str().as_bytes().ends_with(b"/") {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            let (parent, name) = parts(&path)?;
            if parent.starts_with("/proc") {
                return open(&parent, &name).map(Self::Open);
            }
            path = parent.join(name);
            match std::fs::read_link(&path) {
                // An absolute one replaces all.
                Ok(link) => path = parent.join(link),
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                // Not a link.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Self::Path(path))
    }
}

/// The directory of a path, without links, and the name in it.
fn parts(path: &Path) -> io::Result<(PathBuf, std::ffi::OsString)> {
    let name = match path.components().next_back() {
        Some(Component::Normal(name)) => name.to_owned(),
        Some(_) => return Err(io::ErrorKind::IsADirectory.into()),
        None => return Err(io::ErrorKind::NotFound.into()),
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    Ok((parent.canonicalize()?, name))
}

/// Opens what /proc names: the process's own descriptors as they are, with their position in a file.
fn open(parent: &Path, name: &OsStr) -> io::Result<File> {
    let number = name.to_str().and_then(|name| name.parse::<i32>().ok());
    if let Some(number) = number.filter(|_| is_own(parent)) {
        return match number {
            1 => standard(&io::stdout()),
            2 => standard(&io::stderr()),
            number => descriptor(number).or_else(|error| match error.raw_os_error() {
                // Old kernels and some sandboxes have no such call.
                Some(_) if may_lack_call(&error) => append(&parent.join(name)),
                Some(_) | None => Err(error),
            }),
        };
    }
    append(&parent.join(name))
}

/// Whether a directory is that of this process's descriptors.
fn is_own(directory: &Path) -> bool {
    let own = PathBuf::from(format!("/proc/{}", getpid().as_raw_pid()));
    directory.starts_with(own) && directory.ends_with("fd")
}

fn descriptor(number: i32) -> io::Result<File> {
    let process = pidfd_open(getpid(), PidfdFlags::empty())?;
    let file = pidfd_getfd(process, number, PidfdGetfdFlags::empty())?;
    Ok(file.into())
}

fn may_lack_call(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
    )
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).open(path)
}

/// A stream of the process as a file.
///
/// # Errors
/// When the process may have no more files open.
pub(super) fn standard(stream: &impl AsFd) -> io::Result<File> {
    Ok(stream.as_fd().try_clone_to_owned()?.into())
}

/// The name of a file while it is not finished, always the same.
pub(super) fn unfinished_name(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default();
    let mut unfinished = std::ffi::OsString::from(".");
    unfinished.push(name);
    unfinished.push(".g3n-part");
    if unfinished.len() > NAME_BYTES_MAX {
        let hash = Sha256::digest(name.as_bytes());
        unfinished = format!(".{}.g3n-part", hex::encode(hash)).into();
    }
    target.with_file_name(unfinished)
}
