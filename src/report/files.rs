//! The log's daily files: one a day by the lines' own time, mode 0600, removed after some days.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::clock::Clock;
use crate::domain::Timestamp;

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Prefix and suffix of a file's name.
const NAME: (&str, &str) = ("g3n-", ".jsonl");

/// A day of UTC, counted from 1970-01-01.
pub type Day = i64;

/// The day of a time.
pub fn day_of(at: Timestamp) -> Day {
    at.millis().div_euclid(DAY_MS)
}

/// The name of a day's file, such as `g3n-2027-01-15.jsonl`.
pub fn file_name(day: Day) -> String {
    let date = Timestamp::from_millis(day.saturating_mul(DAY_MS)).to_string();
    let (begin, end) = NAME;
    [begin, &date[..10], end].concat()
}

/// The day of a file by its name; `None` for every other file.
pub fn day_of_name(name: &str) -> Option<Day> {
    let (begin, end) = NAME;
    let date = name.strip_prefix(begin)?.strip_suffix(end)?;
    let day = day_of(Timestamp::parse(&format!("{date}T00:00:00Z"))?);
    (file_name(day) == name).then_some(day)
}

/// The log's files in a directory, oldest first.
///
/// # Errors
/// An I/O error when the directory cannot be read.
pub fn list(dir: &Path) -> io::Result<Vec<(Day, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if let Some(day) = entry.file_name().to_str().and_then(day_of_name) {
            found.push((day, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// Writes lines into the file of their day.
pub(super) struct Daily {
    dir: PathBuf,
    keep_days: u64,
    bytes_max: u64,
    /// The clock that must be trusted before files are removed.
    clock: Clock,
    /// Whether a file was begun since old ones were removed.
    begun: bool,
    open: Option<(Day, File)>,
    /// Bytes of the open file.
    bytes: u64,
}

impl Daily {
    /// Opens a directory, created with mode 0700 if missing.
    ///
    /// # Errors
    /// An I/O error when the file cannot be created or read.
    pub(super) fn open(
        dir: &Path,
        keep_days: u64,
        bytes_max: u64,
        clock: Clock,
    ) -> io::Result<Self> {
        make_directory(dir)?;
        list(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            keep_days,
            bytes_max,
            clock,
            begun: false,
            open: None,
            bytes: 0,
        })
    }

    /// Appends whole lines to a day's file. After an error part of them may be there; the next lines begin on a line of their own.
    ///
    /// # Errors
    /// An I/O error when the file cannot be written, or an old one cannot be removed.
    pub(super) fn write(&mut self, day: Day, lines: &[u8]) -> io::Result<()> {
        let file = match self.open.take() {
            Some((open, file)) if open == day => file,
            Some(_) | None => self.begin(day)?,
        };
        self.remove_old(day)?;
        (&file).write_all(lines)?;
        self.bytes += lines.len() as u64;
        self.open = Some((day, file));
        Ok(())
    }

    /// Whether a day's file has room for `bytes` more of lines that callers cause.
    ///
    /// # Errors
    /// An I/O error when the file cannot be opened.
    pub(super) fn has_room(&mut self, day: Day, bytes: u64) -> io::Result<bool> {
        self.has_room_below(day, bytes, self.bytes_max)
    }

    /// Whether it has room for other lines, which may use an eighth more, so that a flood does not silence reports of it.
    ///
    /// # Errors
    /// An I/O error when the file cannot be opened.
    pub(super) fn has_room_beyond(&mut self, day: Day, bytes: u64) -> io::Result<bool> {
        let more = self.bytes_max.saturating_add(self.bytes_max / 8);
        self.has_room_below(day, bytes, more)
    }

    fn has_room_below(&mut self, day: Day, bytes: u64, most: u64) -> io::Result<bool> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != day) {
            self.open = Some((day, self.begin(day)?));
        }
        Ok(self.bytes.saturating_add(bytes) <= most)
    }

    /// Closes the file; the next lines open it again by its name.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Closes the file if it was renamed or removed. Returns whether it was.
    pub(super) fn close_if_lost(&mut self) -> bool {
        let Some((day, file)) = &self.open else {
            return false;
        };
        let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let named = fs::metadata(self.dir.join(file_name(*day))).map(place);
        // When the file cannot be checked, the open one is kept.
        let lost = match (named, file.metadata().map(place)) {
            (Ok(named), Ok(open)) => named != open,
            (Err(error), Ok(_)) => error.kind() == io::ErrorKind::NotFound,
            (_, Err(_)) => false,
        };
        if lost {
            self.open = None;
        }
        lost
    }

    /// Bytes of the file that is open.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Removes all files; the next lines begin a new one.
    ///
    /// # Errors
    /// An I/O error when a file cannot be removed.
    pub(super) fn remove_all(&mut self) -> io::Result<()> {
        self.open = None;
        self.remove(|_| true)
    }

    fn begin(&mut self, day: Day) -> io::Result<File> {
        make_directory(&self.dir)?;
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(self.dir.join(file_name(day)))?;
        if !ends_with_a_line(&mut file)? {
            file.write_all(b"\n")?;
        }
        self.bytes = file.metadata()?.len();
        self.begun = true;
        Ok(file)
    }

    /// Removes files past their days, once after a file was begun, when the clock is trusted: one that jumped a year ahead must
    /// not remove all of them.
    fn remove_old(&mut self, today: Day) -> io::Result<()> {
        if !self.begun {
            return Ok(());
        }
        let Ok(now) = self.clock.may_destroy() else {
            return Ok(());
        };
        self.begun = false;
        let keep_days = i64::try_from(self.keep_days).unwrap_or(i64::MAX);
        // Today, which is the day of the lines that are written, is one of those that are kept.
        let oldest = day_of(now).min(today).saturating_sub(keep_days - 1);
        self.remove(|day| day < oldest)
    }

    fn remove(&self, goes: impl Fn(Day) -> bool) -> io::Result<()> {
        for (day, path) in list(&self.dir)? {
            if goes(day) {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    Ok(()) | Err(_) => {}
                }
            }
        }
        Ok(())
    }
}

fn make_directory(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// A file that a crash or a full disk has left within a line does not.
fn ends_with_a_line(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::clock::TrustLimits;

    #[test]
    fn a_file_is_named_for_its_day_and_no_other_file_is_one() {
        let day = day_of(Timestamp::from_millis(1_800_000_000_000));
        assert_eq!(file_name(day), "g3n-2027-01-15.jsonl");
        assert_eq!(day_of_name("g3n-2027-01-15.jsonl"), Some(day));
        for other in [
            "g3n-2027-1-15.jsonl",
            "g3n-2027-02-30.jsonl",
            "g3n-2027-01-15.jsonl.gz",
            "x-2027-01-15.jsonl",
            "g3n-.jsonl",
        ] {
            assert_eq!(day_of_name(other), None, "{other}");
        }
    }

    #[test]
    fn each_day_has_a_private_file_and_old_ones_are_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("logs");
        let clock = Clock::manual(Timestamp::from_millis(100 * DAY_MS));
        let mut daily = Daily::open(&dir, 3, u64::MAX, clock.clone()).unwrap();
        std::fs::write(dir.join("notes.txt"), "mine").unwrap();
        for day in 100..110 {
            daily.write(day, b"a\n").unwrap();
            daily.write(day, b"b\n").unwrap();
            clock.advance(DAY_MS);
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let days: Vec<Day> = list(&dir).unwrap().iter().map(|(day, _)| *day).collect();
        assert_eq!((days, mode(&dir)), (vec![107, 108, 109], 0o700));
        let last = dir.join(file_name(109));
        assert_eq!(
            (fs::read(&last).unwrap().as_slice(), mode(&last)),
            (&b"a\nb\n"[..], 0o600)
        );
        daily.remove_all().unwrap();
        assert!(list(&dir).unwrap().is_empty() && dir.join("notes.txt").exists());
        daily.write(109, b"c\n").unwrap();
        assert_eq!(fs::read(&last).unwrap(), b"c\n");
    }

    #[test]
    fn a_clock_that_jumped_removes_no_file_until_it_is_confirmed() {
        let scratch = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_millis(100 * DAY_MS));
        clock.limit(TrustLimits {
            jump_ms_max: 300_000,
            wait_ms: 0,
        });
        let mut daily = Daily::open(scratch.path(), 2, u64::MAX, clock.clone()).unwrap();
        daily.write(100, b"a\n").unwrap();
        clock.jump(400 * DAY_MS);
        daily.write(500, b"b\n").unwrap();
        assert_eq!(list(scratch.path()).unwrap().len(), 2);
        clock.confirm();
        daily.write(500, b"c\n").unwrap();
        assert_eq!(list(scratch.path()).unwrap().len(), 1);
    }

    #[test]
    fn a_file_that_was_renamed_or_removed_is_begun_again() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("logs");
        let path = dir.join(file_name(7));
        let clock = Clock::manual(Timestamp::from_millis(7 * DAY_MS));
        let mut daily = Daily::open(&dir, 7, u64::MAX, clock).unwrap();
        daily.write(7, b"a\n").unwrap();
        assert!(!daily.close_if_lost());
        fs::rename(&path, dir.join("kept")).unwrap();
        assert!(daily.close_if_lost());
        daily.write(7, b"b\n").unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's\n").unwrap();
        assert!(daily.close_if_lost());
        daily.write(7, b"c\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"another's\nc\n");
        fs::remove_dir_all(&dir).unwrap();
        assert!(daily.close_if_lost());
        daily.write(7, b"d\n").unwrap();
        daily.close();
        daily.write(7, b"e\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"d\ne\n");
    }

    #[test]
    fn lines_go_on_behind_one_that_was_cut_off() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join(file_name(7));
        fs::write(&path, "whole\nhal").unwrap();
        let clock = Clock::manual(Timestamp::from_millis(7 * DAY_MS));
        let mut daily = Daily::open(scratch.path(), 7, u64::MAX, clock).unwrap();
        daily.write(7, b"next\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole\nhal\nnext\n");
    }
}
