//! Lines as they come: what the daily files have, then what is added to them, from one day to the next.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::source::list;
use crate::cli::failure::Failure;
use crate::clock::pause;
use crate::report::LINE_BYTES_MAX;
use crate::report::files::Day;

/// How often new lines are read, in milliseconds.
const LOOK_EVERY_MS: u64 = 200;
/// Bytes read at a time.
const READ_BYTES: u64 = 1024 * 1024;

/// The position in a day's file up to which lines were read.
struct Place {
    day: Day,
    path: PathBuf,
    offset: u64,
    /// The identity of the file.
    file: Option<FileId>,
    /// The beginning of a line that has no end yet, at most as long as a line can be.
    begun: Vec<u8>,
}

/// Hands on lines for ever, oldest first, from a day on.
///
/// # Errors
/// When the directory or a file in it cannot be read, or what takes the lines fails.
pub(super) fn follow(
    dir: &Path,
    from: Option<Day>,
    take: &mut dyn FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut place: Option<Place> = None;
    loop {
        let found = list(dir)?;
        // What was added to the day before while the next began comes first.
        if let Some(place) = &mut place {
            while place.read(take)? {}
        }
        let behind = place.as_ref().map(|place| place.day);
        let next = found.into_iter().find(|(day, _)| match behind {
            Some(behind) => *day > behind,
            None => from.is_none_or(|from| *day >= from),
        });
        match next {
            Some((day, path)) => {
                place = Some(Place {
                    day,
                    path,
                    offset: 0,
                    file: None,
                    begun: Vec::new(),
                });
            }
            None => pause(LOOK_EVERY_MS),
        }
    }
}

/// Device, inode, and when it was made where that is known: a removed file's inode may soon be another's.
type FileId = (u64, u64, Option<SystemTime>);

fn file_id(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino(), metadata.created().ok())
}

impl Place {
    /// Hands on what was added, a part at a time; false when there was nothing. A file that became shorter is another one, as
    /// is one that took the place of a file that was renamed or removed.
    fn read(&mut self, take: &mut dyn FnMut(&str) -> Result<(), Failure>) -> Result<bool, Failure> {
        let Ok(mut file) = File::open(&self.path) else {
            // Removed: by its age, or with everything else.
            return Ok(false);
        };
        let failed = |error| Failure::file(&self.path, error);
        let metadata = file.metadata().map_err(failed)?;
        let id = file_id(&metadata);
        if metadata.len() < self.offset || self.file.replace(id).is_some_and(|file| file != id) {
            self.offset = 0;
            self.begun.clear();
        }
        file.seek(SeekFrom::Start(self.offset)).map_err(failed)?;
        let mut added = Vec::new();
        let read = file.take(READ_BYTES).read_to_end(&mut added);
        let read = read.map_err(failed)?;
        self.offset += read as u64;
        hand_on(&mut self.begun, &added, take)?;
        Ok(read > 0)
    }
}

/// Hands on the lines that end in what was added, and keeps the beginning of the next. What is longer than a line can
/// be is handed on in part.
fn hand_on(
    begun: &mut Vec<u8>,
    added: &[u8],
    take: &mut dyn FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut parts = added.split(|byte| *byte == b'\n').peekable();
    while let Some(part) = parts.next() {
        let room = LINE_BYTES_MAX.saturating_sub(begun.len());
        begun.extend_from_slice(&part[..part.len().min(room)]);
        if parts.peek().is_some() {
            let taken = take(&String::from_utf8_lossy(begun));
            begun.clear();
            taken?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_files_successor_is_read_from_its_start() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("log");
        let mut place = Place {
            day: 7,
            path: path.clone(),
            offset: 0,
            file: None,
            begun: Vec::new(),
        };
        let mut lines = Vec::new();
        let mut read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let taken = place.read(&mut |line| {
                lines.push(line.to_owned());
                Ok(())
            });
            assert!(taken.is_ok_and(|some| some));
            std::fs::rename(&path, scratch.path().join("moved")).unwrap();
        };
        read("a\n");
        read("longer than before\n");
        assert_eq!(lines, ["a", "longer than before"]);
    }

    #[test]
    fn lines_are_passed_on_whole_and_of_bounded_length() {
        let long = "x".repeat(3 * LINE_BYTES_MAX);
        let text = format!("a\n\n{long}\nlast\nnot ended");
        for chunk in [1, 7, text.len()] {
            let (mut begun, mut lines, mut most) = (Vec::new(), Vec::new(), 0);
            for added in text.as_bytes().chunks(chunk) {
                let handed = hand_on(&mut begun, added, &mut |line| {
                    lines.push(line.to_owned());
                    Ok(())
                });
                assert!(handed.is_ok());
                most = most.max(begun.len());
            }
            assert_eq!(lines, ["a", "", &long[..LINE_BYTES_MAX], "last"], "{chunk}");
            assert_eq!(
                (begun.as_slice(), most),
                (&b"not ended"[..], most.min(LINE_BYTES_MAX))
            );
        }
    }
}
