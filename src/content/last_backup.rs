//! When the last whole backup of a directory ended, kept in a small file so that it outlives restarts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::Timestamp;
use crate::private;

/// The file with the time of the last backup, and that time.
pub struct LastBackup {
    path: PathBuf,
    /// Milliseconds since 1970; 0 for never.
    at: AtomicI64,
}

impl LastBackup {
    /// Reads the file. One that is not there, or does not hold a time, is as if there never was a backup.
    pub fn open(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let at = Timestamp::parse(text.trim()).map_or(0, Timestamp::millis);
        Self {
            path: path.to_owned(),
            at: AtomicI64::new(at),
        }
    }

    /// When it ended, in milliseconds since 1970; 0 for never.
    pub fn at_ms(&self) -> i64 {
        self.at.load(Ordering::Relaxed)
    }

    /// A backup has ended.
    ///
    /// # Errors
    /// An I/O error when the file cannot be written; memory has the time until the next start.
    pub fn ended(&self, now: Timestamp) -> io::Result<()> {
        self.at.store(now.millis(), Ordering::Relaxed);
        private::write(&self.path, now.to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_outlives_the_process_and_nonsense_is_never() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("last-backup");
        let backup = LastBackup::open(&path);
        assert_eq!(backup.at_ms(), 0);
        backup
            .ended(Timestamp::from_millis(1_800_000_000_123))
            .unwrap();
        assert_eq!(LastBackup::open(&path).at_ms(), 1_800_000_000_123);
        std::fs::write(&path, "yesterday").unwrap();
        assert_eq!(LastBackup::open(&path).at_ms(), 0);
    }
}
