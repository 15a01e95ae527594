//! The file that a verb writes for its user: replaced as a whole, through links, with its mode and owner kept. Devices, pipes
//! and what /proc names are written to as they are.

mod target;

use std::fs::{File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, BufWriter, IsTerminal, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;

use self::target::Target;
use super::failure::Failure;
use super::unfinished::{Unfinished, uninterrupted};

/// How often the name of the unfinished file is tried before another process is taken to have it.
const TRIES_MAX: u32 = 10;

/// Who may read a file that was not there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Those whom the umask of the shell allows.
    Umask,
    /// Nobody but the owner of the file.
    Owner,
}

/// A file being written; without [`OutFile::finish`] what was there before stays.
#[derive(Debug)]
pub(super) struct OutFile {
    path: PathBuf,
    out: BufWriter<File>,
    plan: Plan,
    /// Whether standard output is the same file, device or pipe.
    is_stdout: bool,
}

/// How the bytes get to where they belong.
#[derive(Debug)]
enum Plan {
    /// They are written there directly.
    Through,
    /// A new file beside it takes its name.
    Replace {
        unfinished: Unfinished,
        target: PathBuf,
    },
    /// They are copied into the file from a temporary one, since a new one could not have all that this one has.
    Fill {
        file: File,
        _unfinished: Option<Unfinished>,
    },
}

impl OutFile {
    /// Opens a path for writing, before anything is asked of the service.
    ///
    /// # Errors
    /// When it cannot be written, or another process is writing it.
    pub(super) fn open(path: &Path, readers: Readers) -> Result<Self, Failure> {
        let failed = |error| Failure::output(path, error);
        let opened = match Target::find(path).map_err(failed)? {
            Target::Open(file) => Self::through(path, file).map_err(failed)?,
            Target::Path(target) => match std::fs::metadata(&target) {
                Ok(found) if found.is_file() => Self::over(path, target, &found)?,
                Ok(found) if found.is_dir() => {
                    return Err(failed(io::ErrorKind::IsADirectory.into()));
                }
                Ok(_) => {
                    let file = OpenOptions::new().write(true).open(&target);
                    Self::through(path, file.map_err(failed)?).map_err(failed)?
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let mode = match readers {
                        Readers::Umask => 0o666,
                        Readers::Owner => 0o600,
                    };
                    let (unfinished, file) = new_file(path, &target, mode)?;
                    Self::with(path, file, Plan::Replace { unfinished, target })
                }
                Err(error) => return Err(failed(error)),
            },
        };
        Ok(opened)
    }

    /// Whether standard output goes to the same place, so that nothing else may be written there.
    pub(super) fn is_stdout(&self) -> bool {
        self.is_stdout
    }

    /// Whether a person sees what is written as it comes.
    pub(super) fn is_terminal(&self) -> bool {
        self.out.get_ref().is_terminal()
    }

    /// Makes what was written the content of the file, durable on return.
    ///
    /// # Errors
    /// When it cannot be written; a file is then as it was.
    pub(super) fn finish(self) -> Result<(), Failure> {
        let path = self.path;
        let failed = |error| Failure::output(&path, error);
        let spool = self.out.into_inner();
        let mut spool = spool.map_err(|error| failed(error.into_error()))?;
        match self.plan {
            Plan::Through => Ok(()),
            Plan::Replace { unfinished, target } => {
                spool.sync_all().map_err(failed)?;
                match unfinished.finish(&target) {
                    // A file that is mounted keeps its name.
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        let mut file = OpenOptions::new()
                            .write(true)
                            .open(&target)
                            .map_err(failed)?;
                        uninterrupted(|| fill(&mut file, &mut spool)).map_err(failed)
                    }
                    renamed => renamed.map_err(failed),
                }
            }
            Plan::Fill { mut file, .. } => {
                uninterrupted(|| fill(&mut file, &mut spool)).map_err(failed)
            }
        }
    }

    fn with(path: &Path, file: File, plan: Plan) -> Self {
        Self {
            path: path.to_owned(),
            out: BufWriter::new(file),
            plan,
            is_stdout: false,
        }
    }

    fn through(path: &Path, file: File) -> io::Result<Self> {
        let stdout = io::stdout();
        let is_stdout = is_same(&file.metadata()?, &target::standard(&stdout)?.metadata()?)
            || (file.is_terminal() && stdout.is_terminal());
        let mut through = Self::with(path, file, Plan::Through);
        through.is_stdout = is_stdout;
        Ok(through)
    }

    /// Prepares to replace a file that is there. Opening it says whether this user may write to it.
    fn over(path: &Path, target: PathBuf, found: &Metadata) -> Result<Self, Failure> {
        let failed = |error| Failure::output(path, error);
        for file in [
            target::standard(&io::stdout()),
            target::standard(&io::stderr()),
        ] {
            let file = file.map_err(failed)?;
            // A new file would leave what the shell opened without a name.
            if is_same(&file.metadata().map_err(failed)?, found) {
                return Self::through(path, file).map_err(failed);
            }
        }
        let file = OpenOptions::new()
            .write(true)
            .open(&target)
            .map_err(failed)?;
        if found.nlink() == 1 && !has_attributes(&file) {
            match new_file(path, &target, 0o600) {
                Ok((unfinished, new)) => {
                    let alike = fchown(&new, Some(found.uid()), Some(found.gid()))
                        // A change of owner takes some bits away.
                        .and_then(|()| {
                            new.set_permissions(Permissions::from_mode(found.mode() & 0o7777))
                        });
                    return Ok(match alike {
                        Ok(()) => Self::with(path, new, Plan::Replace { unfinished, target }),
                        Err(_) => {
                            let _unfinished = Some(unfinished);
                            Self::with(path, new, Plan::Fill { file, _unfinished })
                        }
                    });
                }
                Err(Failure::Output { .. }) => {}
                Err(failure) => return Err(failure),
            }
        }
        let spool =
            tempfile::tempfile().map_err(|error| Failure::file(&std::env::temp_dir(), error))?;
        let _unfinished = None;
        Ok(Self::with(path, spool, Plan::Fill { file, _unfinished }))
    }
}

impl Write for OutFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Writes a whole file.
///
/// # Errors
/// As [`OutFile::open`] and [`OutFile::finish`].
pub(super) fn write(path: &Path, readers: Readers, bytes: &[u8]) -> Result<(), Failure> {
    let mut file = OutFile::open(path, readers)?;
    let written = file.write_all(bytes);
    written.map_err(|error| Failure::output(path, error))?;
    file.finish()
}

/// Whether a file has access lists or attributes of its user's, which a new file would lack.
fn has_attributes(file: &File) -> bool {
    let mut names = [0_u8; 4096];
    match rustix::fs::flistxattr(file, &mut names) {
        Ok(bytes) => names[..bytes]
            .split(|byte| *byte == 0)
            .any(|name| !name.is_empty() && !name.starts_with(b"security.")),
        Err(Errno::RANGE) => true,
        Err(_) => false,
    }
}

/// Makes the unfinished file beside its target, under the one name it always has. What an earlier run left is removed; one
/// that is being written is left alone.
fn new_file(path: &Path, target: &Path, mode: u32) -> Result<(Unfinished, File), Failure> {
    let failed = |error| Failure::output(path, error);
    let in_use = || Failure::InTheWay {
        tag: "in-use",
        message: format!(
            "another g3n is writing {}; try again when it has finished",
            path.display()
        ),
    };
    let name = target::unfinished_name(target);
    // An earlier run's file stays locked until the new one is, so that of two at once one goes on.
    let mut left = Vec::new();
    for _ in 0..TRIES_MAX {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(mode);
        match Unfinished::make(&name, || options.open(&name)) {
            Ok((unfinished, file)) => {
                return match file.try_lock() {
                    Ok(()) => Ok((unfinished, file)),
                    Err(TryLockError::WouldBlock) => Err(in_use()),
                    Err(TryLockError::Error(error)) => Err(failed(error)),
                };
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(nofollow());
        let file = match options.open(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Failure::output(&name, error)),
        };
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() {
            return Err(Failure::InTheWay {
                tag: "file",
                message: format!(
                    "{} is in the way: it is no file of this user's; remove it",
                    name.display()
                ),
            });
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use()),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        if std::fs::symlink_metadata(&name).is_ok_and(|now| is_same(&now, &found)) {
            std::fs::remove_file(&name).map_err(failed)?;
        }
        left.push(file);
    }
    Err(in_use())
}

fn nofollow() -> i32 {
    i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default()
}

/// Copies a temporary file into one that keeps its place. Room for all of it is asked for before the first byte changes.
fn fill(file: &mut File, spool: &mut File) -> io::Result<()> {
    let size = spool.stream_position()?;
    spool.rewind()?;
    if size > 0
        && let Err(error) = rustix::fs::fallocate(&*file, FallocateFlags::KEEP_SIZE, 0, size)
        // Some file systems cannot reserve, which is no reason to stop.
        && [Errno::NOSPC, Errno::DQUOT, Errno::FBIG].contains(&error)
    {
        return Err(error.into());
    }
    io::copy(&mut spool.take(size), file)?;
    file.set_len(size)?;
    file.sync_all()
}
