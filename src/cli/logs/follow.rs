//! Lines as they come: what the daily files have, then what is added to them, from one day to the next.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::source::list;
use crate::cli::failure::Failure;
use crate::clock::pause;
use crate::report::files::Day;

/// How often it is looked for more.
const LOOK_EVERY_MS: u64 = 200;
/// Bytes read at a time.
const READ_BYTES: u64 = 1024 * 1024;

/// What was read of a day's file.
struct Place {
    day: Day,
    path: PathBuf,
    offset: u64,
    /// The beginning of a line that has no end yet.
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
                    begun: Vec::new(),
                });
            }
            None => pause(LOOK_EVERY_MS),
        }
    }
}

impl Place {
    /// Hands on what was added, a part at a time; false when there was nothing. A file that became shorter is another one.
    fn read(&mut self, take: &mut dyn FnMut(&str) -> Result<(), Failure>) -> Result<bool, Failure> {
        let Ok(mut file) = File::open(&self.path) else {
            // Removed: by its age, or with everything else.
            return Ok(false);
        };
        let failed = |error| Failure::file(&self.path, error);
        if file.metadata().map_err(failed)?.len() < self.offset {
            self.offset = 0;
            self.begun.clear();
        }
        file.seek(SeekFrom::Start(self.offset)).map_err(failed)?;
        let mut added = Vec::new();
        let read = file.take(READ_BYTES).read_to_end(&mut added);
        let read = read.map_err(failed)?;
        self.offset += read as u64;
        self.begun.append(&mut added);
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let rest = self.begun.split_off(end + 1);
            let line = std::mem::replace(&mut self.begun, rest);
            take(&String::from_utf8_lossy(&line[..end]))?;
        }
        Ok(read > 0)
    }
}
