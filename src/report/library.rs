//! What libraries warn of: which and where, and nothing of what they say, which may quote a request.
//!
//! Those of actix tell `tracing`, which hands everything on to `log` as long as nobody subscribes to it.

use log::{LevelFilter, Log, Metadata, Record};

use super::event::Level;
use super::field::Text;
use super::{Event, emit};

/// Hears what libraries tell `log`.
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

/// From now on the log tells when libraries warn. Where another program hears them already, it goes on to.
pub fn install_log_bridge() {
    if log::set_logger(&LogBridge).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
