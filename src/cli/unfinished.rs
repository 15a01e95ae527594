//! Files and directories that are not finished yet: removed when the verb fails, and when a signal ends the program.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;

use parking_lot::Mutex;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// How often a directory is removed again that something was added to meanwhile.
const REMOVALS_MAX: u32 = 1_000;

/// All that is to be removed when the program ends now.
static PATHS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
/// Starts the thread that waits for signals.
static WATCH: Once = Once::new();

/// A file or directory that is removed when this is dropped or a signal ends the program.
#[derive(Debug)]
pub(super) struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// Makes a file or directory while no signal can come between the making and the taking note of it.
    ///
    /// # Errors
    /// Those of `make`.
    pub(super) fn make<T, E>(
        path: &Path,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<(Self, T), E> {
        WATCH.call_once(watch);
        let mut paths = PATHS.lock();
        let made = make()?;
        paths.push(path.to_owned());
        let path = path.to_owned();
        Ok((Self { path }, made))
    }

    /// Gives it the name it is to have; from then on it stays.
    ///
    /// # Errors
    /// Those of the renaming; it is then removed.
    pub(super) fn finish(self, name: &Path) -> io::Result<()> {
        let mut paths = PATHS.lock();
        std::fs::rename(&self.path, name)?;
        paths.retain(|path| *path != self.path);
        Ok(())
    }
}

/// Does something that a signal must not break off; it then ends the program afterwards.
pub(super) fn uninterrupted<T>(work: impl FnOnce() -> T) -> T {
    WATCH.call_once(watch);
    let _paths = PATHS.lock();
    work()
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let mut paths = PATHS.lock();
        if let Some(at) = paths.iter().position(|path| *path == self.path) {
            paths.swap_remove(at);
            remove(&self.path);
        }
    }
}

/// What made it unfinished is what is reported, so a failure here is not. A verb that is still at work may add to a directory while
/// that is removed.
fn remove(path: &Path) {
    for _ in 0..REMOVALS_MAX {
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(path)
        } else {
            std::fs::remove_file(path)
        };
        let full = |error: &io::Error| error.kind() == io::ErrorKind::DirectoryNotEmpty;
        if removed.as_ref().err().is_none_or(|error| !full(error)) {
            return;
        }
    }
}

/// Waits for the signals that end a program. Those that it was started without, as by nohup(1), stay ignored.
fn watch() {
    let ignored = ignored();
    let signals = [SIGINT, SIGTERM, SIGHUP].into_iter();
    let signals = signals.filter(|signal| ignored & (1 << (signal - 1)) == 0);
    // Without them, the next run replaces what is left.
    let Ok(mut signals) = Signals::new(signals) else {
        return;
    };
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let paths = PATHS.lock();
            paths.iter().for_each(|path| remove(path));
            // Still locked: nothing is made or renamed any more.
            let _: io::Result<()> = emulate_default_handler(signal);
        }
    });
}

/// The set of signals that are ignored, a bit each, from /proc.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or_default()
}
