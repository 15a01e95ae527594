//! Why the command line did not do what was asked.

use std::io;
use std::path::{Path, PathBuf};

use super::exit::Exit;
use crate::client::{Reply, TransportError};
use crate::export::check::ExportError;
use crate::os_error::{self, OsError};

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line, the environment or the profile asks for something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The service said no.
    #[error("the service refused")]
    Refused(Box<Reply>),
    /// There is no answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A file of this machine cannot be read or written.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file that cannot be used.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file or directory that a command was to write its answer to cannot be written.
    #[error("{} cannot be used", path.display())]
    Output {
        /// The file that cannot be written.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The content is not what it should be; the tag is one of the service's, or says that an export is damaged.
    #[error("{message}")]
    Content {
        /// The service's tag for it.
        tag: &'static str,
        /// What is wrong, in one sentence.
        message: String,
    },
    /// The service has nothing of what was asked for.
    #[error("{0}")]
    Absent(String),
    /// The settings are not ones to start a server with.
    #[error("{0}")]
    Settings(String),
    /// A newer program wrote the data.
    #[error("{0}")]
    Newer(String),
    /// What is there on this machine does not allow it.
    #[error("{message}")]
    InTheWay {
        /// A tag for it.
        tag: &'static str,
        /// The reason, and what to do.
        message: String,
    },
    /// A person who was asked did not say yes.
    #[error("not confirmed; nothing was done")]
    Declined,
    /// What was to be shown cannot be: the disk is full, or the device is broken.
    #[error("standard output cannot be written")]
    Stdout(#[source] io::Error),
    /// The reader of standard output closed it, as `head` does.
    #[error("standard output is closed")]
    ReaderGone,
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        Self::Content {
            tag: "damaged-export",
            message: os_error::describe(&error),
        }
    }
}

impl Failure {
    /// A file that cannot be used.
    pub fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }

    /// A file for a command's answer that cannot be written.
    pub fn output(path: &Path, source: io::Error) -> Self {
        Self::Output {
            path: path.to_owned(),
            source,
        }
    }

    /// Why standard output could not be written.
    pub(super) fn stdout(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Stdout(error),
        }
    }

    /// The machine-readable reason, as in an envelope.
    pub fn tag(&self) -> &str {
        match self {
            Self::Usage(_) | Self::Transport(TransportError::Malformed(_)) => "usage",
            Self::Refused(reply) => reply.tag().unwrap_or("refused"),
            Self::Transport(TransportError::Unreachable { .. }) => "unreachable",
            Self::Transport(TransportError::Insecure { .. }) => "insecure",
            Self::Transport(TransportError::NotAnEnvelope { .. }) => "not-the-service",
            Self::File { .. } | Self::Output { .. } | Self::Transport(TransportError::Local(_)) => {
                "file"
            }
            Self::Content { tag, .. } | Self::InTheWay { tag, .. } => tag,
            Self::Newer(_) => "newer-format",
            Self::Settings(_) => "settings",
            Self::Absent(_) => "not-found",
            Self::Declined => "declined",
            Self::Stdout(_) => "output-lost",
            Self::ReaderGone => "reader-gone",
        }
    }

    /// The number the program ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Refused(reply) => Exit::of(reply),
            // A device that is full or broken is no mistake of the command line.
            Self::Output { source, .. } if is_lost(source) => Exit::OutputLost,
            Self::Usage(_) | Self::File { .. } | Self::Output { .. } => Exit::Usage,
            Self::Transport(TransportError::Local(error)) if is_lost(error) => Exit::OutputLost,
            Self::Transport(TransportError::Malformed(_) | TransportError::Local(_)) => Exit::Usage,
            Self::Transport(
                TransportError::Unreachable { .. } | TransportError::Insecure { .. },
            ) => Exit::Unreachable,
            Self::Transport(TransportError::NotAnEnvelope { .. }) => Exit::Unreachable,
            Self::Content { .. } | Self::Declined => Exit::Refused,
            Self::InTheWay { .. } => Exit::Conflict,
            Self::Newer(_) => Exit::Newer,
            Self::Settings(_) => Exit::Configuration,
            Self::Absent(_) => Exit::NotFound,
            Self::Stdout(_) => Exit::OutputLost,
            Self::ReaderGone => Exit::Success,
        }
    }

    /// The failure in one sentence, causes included.
    pub fn text(&self) -> String {
        os_error::describe(self)
    }
}

/// Whether bytes could not be written although where they go is as it should be: the disk is full, over quota, or broken.
fn is_lost(error: &io::Error) -> bool {
    let known = OsError::of(error);
    known.is_some_and(|known| known.is_no_room() || known == OsError::Device)
}

/// The answer, if it is a good one.
///
/// # Errors
/// [`Failure::Refused`] with the answer, if it is not.
pub fn granted(reply: Reply) -> Result<Reply, Failure> {
    if reply.is_success() {
        Ok(reply)
    } else {
        Err(Failure::Refused(Box::new(reply)))
    }
}
