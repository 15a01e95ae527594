//! Warnings of libraries: their source, without their message, which may quote a request.
//!
//! actix logs by `tracing`, which forwards events to `log` as long as it has no subscriber.

use log::{LevelFilter, Log, Metadata, Record};

use super::event::Level;
use super::field::Text;
use super::{Event, emit};

/// Turns warnings and errors of `log` into events.
struct LogBridge;

impl Log for LogBridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        let severity = match record.level() {
            log::Level::Error => Level::Error,
            log::Level::Warn => Level::Warn,
            log::Level::Info | log::Level::Debug | log::Level::Trace => return,
        };
        emit(Event::Library {
            target: Text::of(record.target()),
            file: record.file().map(Text::of),
            line: record.line().map(u64::from),
            severity: severity.as_str(),
        });
    }

    fn flush(&self) {}
}

/// Logs libraries' warnings from now on, unless the process has a logger already.
pub fn install_log_bridge() {
    if log::set_logger(&LogBridge).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
