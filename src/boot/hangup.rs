//! Signals on which files are opened again and nothing ends: SIGHUP, and those that other servers take for it.

use std::sync::Arc;

use signal_hook::consts::{SIGHUP, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use signal_hook::low_level::signal_name;
use tokio::sync::Notify;

use crate::report;

/// The signals. Nginx and Apache reopen their logs on SIGUSR1, others on SIGUSR2: unhandled, a rotation of logs that was written
/// for one of them would end the process.
const TAKEN: [i32; 3] = [SIGHUP, SIGUSR1, SIGUSR2];

/// Has each of the signals reopen the log file and wake the tasks that wait for the returned notification.
///
/// # Errors
/// An I/O error when the signal cannot be handled, or no thread can be started.
pub(super) fn take() -> std::io::Result<Arc<Notify>> {
    let mut signals = Signals::new(TAKEN)?;
    let hangup = Arc::new(Notify::new());
    let told = hangup.clone();
    let thread = std::thread::Builder::new().name("hangup".to_owned());
    thread.spawn(move || {
        for signal in signals.forever() {
            if let Some(log) = report::log() {
                log.reopen();
            }
            let name = signal_name(signal).unwrap_or("a signal");
            report::notice(&format!(
                "{name}: the log file is reopened, and the TLS files are reloaded"
            ));
            told.notify_one();
        }
    })?;
    Ok(hangup)
}
