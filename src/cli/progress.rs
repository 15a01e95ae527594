//! Progress on standard error; indicatif shows it to a terminal only. It is cleared when dropped, so that no message is written
//! behind it.

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

/// A bar for bytes, with their rate and the time left.
pub(super) fn of_bytes(bytes: u64) -> ProgressBar {
    bar(
        bytes,
        "{wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left",
    )
}

/// A count of bytes read from what has no length.
pub(super) fn of_bytes_read() -> ProgressBar {
    bar(0, "{bytes} read, {bytes_per_sec}")
}

/// A bar for entries of a journal, with their rate and the time left.
pub(super) fn of_entries(what: &'static str) -> ProgressBar {
    bar(
        0,
        "{msg} {wide_bar} {pos}/{len} entries, {per_sec}, {eta} left",
    )
    .with_message(what)
}

/// A bar with a message for something whose length is learned on the way; cleared when dropped.
pub(super) fn of_steps() -> ProgressBar {
    bar(0, "{msg} {wide_bar} {pos}/{len}")
}

/// One line that changes, for something of unknown length; cleared when dropped.
pub(super) fn line() -> ProgressBar {
    ProgressBar::new_spinner().with_finish(ProgressFinish::AndClear)
}

/// A bar that nobody sees: for what goes to the terminal itself.
pub(super) fn none() -> ProgressBar {
    ProgressBar::hidden()
}

fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    let bar = ProgressBar::new(length).with_finish(ProgressFinish::AndClear);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
