//! Errors of the operating system in an operator's words, with what to do about each.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// An error that comes from the machine's state and not from what is stored: the files are as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OsError {
    /// The file system may only be read (`EROFS`).
    ReadOnlyFileSystem,
    /// The process lacks the right (`EACCES`, `EPERM`).
    Denied,
    /// `ENOSPC`: no bytes, or no inodes.
    Full,
    /// The quota of the disk is used up (`EDQUOT`).
    Quota,
    /// `EMFILE`: the limit of the process.
    ProcessFiles,
    /// `ENFILE`: the limit of the machine.
    MachineFiles,
    /// `EBUSY`, `EXDEV`: a mount point was to be moved or removed.
    MountPoint,
    /// `EIO`: the device failed.
    Device,
}

impl OsError {
    /// What an error is, by its own code or that of what caused it.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        chain(error).find_map(|error| {
            let known = error
                .downcast_ref::<io::Error>()
                .or_else(|| error.downcast_ref::<Arc<io::Error>>().map(|error| &**error));
            match known.and_then(io::Error::raw_os_error) {
                Some(code) => Self::of_code(code),
                // A database hands on the text alone.
                None => Self::of_text(&error.to_string()),
            }
        })
    }

    /// What an error is that is known by its text, as Rust writes it for people or for programmers.
    pub fn of_text(text: &str) -> Option<Self> {
        let marks = [("(os error ", ')'), ("Os { code: ", ',')];
        let mut codes = marks.into_iter().filter_map(|(mark, end)| {
            let (_, rest) = text.split_once(mark)?;
            rest.split_once(end)?.0.parse().ok()
        });
        codes.find_map(Self::of_code)
    }

    fn of_code(code: i32) -> Option<Self> {
        Some(match Errno::from_raw_os_error(code) {
            Errno::ROFS => Self::ReadOnlyFileSystem,
            Errno::ACCESS | Errno::PERM => Self::Denied,
            Errno::NOSPC => Self::Full,
            Errno::DQUOT => Self::Quota,
            Errno::MFILE => Self::ProcessFiles,
            Errno::NFILE => Self::MachineFiles,
            Errno::BUSY | Errno::XDEV => Self::MountPoint,
            Errno::IO => Self::Device,
            _ => return None,
        })
    }

    /// Whether it ends once there is room again.
    pub fn is_no_room(self) -> bool {
        matches!(self, Self::Full | Self::Quota)
    }

    /// Whether it says nothing of the bytes that are stored: what could not be opened may be whole.
    pub fn is_outside(self) -> bool {
        match self {
            Self::ReadOnlyFileSystem
            | Self::Denied
            | Self::Full
            | Self::Quota
            | Self::ProcessFiles
            | Self::MachineFiles
            | Self::MountPoint => true,
            Self::Device => false,
        }
    }

    /// Advice for the operator, as the end of a sentence.
    pub fn advice(self) -> String {
        match self {
            Self::ReadOnlyFileSystem => {
                "the file system is mounted read-only; check dmesg for disk errors, and remount it with mount -o remount,rw, or work on a copy"
            }
            Self::Denied => {
                "permission denied; run it as the user that owns the file, or grant this user access with chown and chmod"
            }
            Self::Full => {
                "the file system is full; free space or grow it: df shows bytes, df -i inodes"
            }
            Self::Quota => "this user's disk quota is exhausted; free space, or raise it with setquota",
            Self::ProcessFiles => return process_files(),
            Self::MachineFiles => {
                "the system's limit of open files is reached; raise it with sysctl fs.file-max, or stop processes that hold many"
            }
            Self::MountPoint => {
                "it is a mount point, or in use by one, and can be neither moved nor removed; unmount it first, or give a directory \
                 below it"
            }
            Self::Device => {
                "the disk failed; see dmesg, move to another disk, and restore from a backup what cannot be read"
            }
        }
        .to_owned()
    }
}

fn process_files() -> String {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.map_or_else(String::new, |files| format!(" {files} files"));
    format!(
        "the process has reached its limit of open files{limit}; raise LimitNOFILE of its unit, or ulimit -n in its shell"
    )
}

/// An error and its causes, the outermost first.
pub fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        (*error).source()
    })
}

/// An error and its causes in one sentence, the outermost first: `a: b: c`.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let texts: Vec<_> = chain(error).map(ToString::to_string).collect();
    texts.join(": ")
}

/// An error with its causes, and what to do where the operating system is the cause, in one sentence.
pub fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = with_causes(error);
    if let Some(known) = OsError::of(error) {
        text.push_str(&format!("; {}", known.advice()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the marker cannot be written")]
    struct Outer(#[source] Arc<io::Error>);

    #[test]
    fn an_error_is_known_by_its_code_wherever_it_stands() {
        for (code, known, word) in [
            (30, OsError::ReadOnlyFileSystem, "read-only"),
            (13, OsError::Denied, "chown"),
            (1, OsError::Denied, "chown"),
            (28, OsError::Full, "df -i"),
            (122, OsError::Quota, "setquota"),
            (24, OsError::ProcessFiles, "LimitNOFILE"),
            (23, OsError::MachineFiles, "fs.file-max"),
            (16, OsError::MountPoint, "unmount"),
            (18, OsError::MountPoint, "unmount"),
            (5, OsError::Device, "dmesg"),
        ] {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(OsError::of(&error), Some(known));
            assert_eq!(OsError::of_text(&format!("{error:?}")), Some(known));
            let wrapped = io::Error::other(error.to_string());
            assert_eq!(OsError::of(&wrapped), Some(known));
            let outer = Outer(Arc::new(error));
            assert_eq!(OsError::of(&outer), Some(known));
            let told = describe(&outer);
            assert!(told.starts_with("the marker cannot be written: "), "{told}");
            assert!(told.contains(word), "{told}");
        }
    }

    #[test]
    fn every_cause_is_in_the_sentence_once() {
        let cause = io::Error::other("no such page");
        let middle = Outer(Arc::new(io::Error::other(Outer(Arc::new(cause)))));
        let text = "the marker cannot be written: the marker cannot be written: no such page";
        assert_eq!(with_causes(&middle), text);
        assert_eq!(chain(&middle).count(), 3);
    }

    #[test]
    fn what_is_no_error_of_the_machine_gets_no_advice() {
        for text in [
            "it is damaged",
            "(os error x)",
            "Os { code: ",
            "(os error 2)",
        ] {
            let error = io::Error::other(text);
            assert_eq!(OsError::of(&error), None, "{text}");
            assert_eq!(describe(&error), text);
        }
    }
}
