//! What SIGHUP asks for: that files are opened again, and nothing ends.

use std::sync::Arc;

use signal_hook::consts::SIGHUP;
use signal_hook::iterator::Signals;
use tokio::sync::Notify;

use crate::report;

/// From now on SIGHUP has the log begin its file anew, and wakes whoever waits for what is returned.
///
/// # Errors
/// When the signal cannot be taken, or there can be no more threads.
pub(super) fn take() -> std::io::Result<Arc<Notify>> {
    let mut signals = Signals::new([SIGHUP])?;
    let hangup = Arc::new(Notify::new());
    let told = hangup.clone();
    let thread = std::thread::Builder::new().name("hangup".to_owned());
    thread.spawn(move || {
        for _ in signals.forever() {
            if let Some(log) = report::log() {
                log.reopen();
            }
            report::notice("SIGHUP: the log file is reopened, and the TLS files are reloaded");
            told.notify_one();
        }
    })?;
    Ok(hangup)
}
