//! The lock of a journal's directory: one process has it open.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::JournalError;
use super::segment::failed;
use crate::storage::{LOCK_PAUSE, LOCK_TRIES};

/// The file whose lock keeps a second process out.
const LOCK: &str = "lock";

/// Takes the journal's lock, waiting up to a second: a child of its last holder between fork and exec still has the file.
pub(super) fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join(LOCK);
    let io = |error| {
        failed(
            "locking the journal (is another process using it?)",
            &path,
            error,
        )
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io)?;
    let mut left = LOCK_TRIES;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if left > 0 => {
                left -= 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => return Err(io(std::io::ErrorKind::WouldBlock.into())),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
    }
}

/// Whether no process has the journal open.
pub(super) fn is_stopped(dir: &Path) -> Result<bool, JournalError> {
    let path = dir.join(LOCK);
    match File::open(&path) {
        Ok(file) => Ok(file.try_lock_shared().is_ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(failed("reading the journal's lock", &path, error)),
    }
}
