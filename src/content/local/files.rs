//! Names, sizes and times of files in the content directory, and the errors of reading them.

use std::fs;
use std::io;
use std::path::{Component, Path};
use std::time::UNIX_EPOCH;

use uuid::Uuid;

use crate::content::ContentError;
use crate::domain::Timestamp;

/// Whether a part of a path is a name, which cannot lead out of a directory.
pub(super) fn is_plain(part: Component<'_>) -> bool {
    matches!(part, Component::Normal(_))
}

/// The directory within a place, as far as it has one.
pub(super) fn shelf_of(place: &str) -> &str {
    place.split_once('/').map_or(place, |(shelf, _)| shelf)
}

/// The object whose file belongs exactly there.
pub(super) fn object_at(place: &str) -> Option<Uuid> {
    let (shelf, name) = place.split_once('/')?;
    let id = name.strip_suffix(".gz")?;
    let object_id = Uuid::try_parse(id).ok()?;
    let own = format!("{:02x}", object_id.as_bytes()[0]);
    (own == shelf && object_id.simple().to_string() == id).then_some(object_id)
}

/// The names in a directory, in order, and whether each is a directory; none when it is not there itself.
pub(super) fn names(directory: &Path) -> Result<Vec<(String, bool)>, ContentError> {
    let failed = |source| io_error("read", directory, source);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(source) => {
            return absent_or("read", directory, source).map(Option::unwrap_or_default);
        }
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let is_directory = entry.file_type().map_err(failed)?.is_dir();
        names.push((
            entry.file_name().to_string_lossy().into_owned(),
            is_directory,
        ));
    }
    names.sort_unstable();
    Ok(names)
}

/// Bytes of a file; `None` when it is not there.
pub(super) fn size_of(path: &Path) -> Result<Option<u64>, ContentError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(source) => absent_or("read", path, source),
    }
}

/// When a file was last written to.
pub(super) fn written_at(metadata: &fs::Metadata) -> Option<Timestamp> {
    let since = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(
        i64::try_from(since.as_millis()).ok()?,
    ))
}

/// `None` for a file that is not there, else the error.
pub(super) fn absent_or<T>(
    action: &'static str,
    path: &Path,
    source: io::Error,
) -> Result<Option<T>, ContentError> {
    if source.kind() == io::ErrorKind::NotFound {
        Ok(None)
    } else {
        Err(io_error(action, path, source))
    }
}

/// A failed operation on a file or directory.
pub(super) fn io_error(action: &'static str, place: &Path, source: io::Error) -> ContentError {
    ContentError::Io {
        action,
        place: place.display().to_string(),
        source,
    }
}
