//! How many connections a server takes: no more than the process may have files open besides the others it needs.

use super::{BootError, Options};
use crate::http::connection_limits::ConnectionLimits;
use crate::http::seats::RESERVE_MAX;
use crate::{open_files, report};

/// Connections of operators at once.
pub(super) const OPERATOR_CONNECTIONS_MAX: usize = 256;
/// Files that are open besides connections and content: databases, segments, standard error.
const OTHER_FILES: usize = 128;

/// Raises the limit of open files as far as possible.
///
/// # Errors
/// [`BootError::OpenFiles`] when the process may open fewer than a server needs without any connection.
pub(super) fn check_open_files() -> Result<(), BootError> {
    match open_files::raise_limit() {
        Some(files) if files < OTHER_FILES as u64 => Err(BootError::OpenFiles {
            files,
            needed: OTHER_FILES as u64,
        }),
        Some(_) | None => Ok(()),
    }
}

/// The gateway's limits, with no more connections than the process may have files open besides the others it needs:
/// out of files, the journal could not be written.
pub(super) fn connection_limits(options: &Options) -> ConnectionLimits {
    let mut limits = options.connections;
    let Some(files) = open_files::raise_limit() else {
        return limits;
    };
    let connections_max = connections_within(options, files);
    if connections_max < limits.connections_max {
        report::notice(&format!(
            "{connections_max} connections at once and not {}: the process may open {files} files",
            limits.connections_max
        ));
        limits.connections_max = connections_max;
    }
    limits
}

/// Files that are kept for others than the gateway's connections: databases, operators, content.
pub fn other_files(options: &Options) -> usize {
    let transfers = &options.presigned.transfers;
    let connections = OPERATOR_CONNECTIONS_MAX + 2 * RESERVE_MAX;
    OTHER_FILES + connections + transfers.uploads_max + transfers.downloads_max
}

/// Connections of the gateway for which a limit of `files` open files leaves room.
pub fn connections_within(options: &Options, files: u64) -> usize {
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    files - other_files(options).min(files / 2)
}
