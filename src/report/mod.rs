//! The log: events of fixed types, a JSON line each.
//!
//! `g3n serve` starts a [`Log`] on standard output, and in daily files if set. A process without one, such as a program that embeds
//! the server, has events other than those of requests on standard error.

pub mod event;
pub mod field;
pub mod files;
#[cfg(test)]
mod fuzz;
mod library;
mod line;
mod log;
mod queue;
mod sample;
pub mod schema;
pub mod scrub;
mod writer;

use parking_lot::RwLock;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

pub use self::event::Event;
pub use self::field::{Fingerprint, RequestId, Text, Word};
pub use self::library::install_log_bridge;
pub use self::line::{LINE_BYTES_MAX, SCHEMA_VERSION};
pub use self::log::{Log, LogOptions};
pub use self::queue::EVENTS_MAX;

use self::line::Lines;
use crate::clock::Clock;
use crate::os_error::describe;

/// The cause under which rejected decisions are counted.
const DECISION: Word = "decision";

/// The log of this process, once one was started.
static LOG: RwLock<Option<Arc<Log>>> = RwLock::new(None);

/// Installs the log of this process; `None` removes it.
pub fn install(log: Option<Arc<Log>>) {
    *LOG.write() = log;
}

/// The log of this process, if one was started.
pub fn log() -> Option<Arc<Log>> {
    LOG.read().clone()
}

/// Logs an event without waiting; without a log, on standard error unless it is about a request.
pub fn emit(event: Event) {
    let log = LOG.read();
    if let Some(log) = &*log {
        return log.emit(event);
    }
    drop(log);
    if !event.is_of_traffic() {
        let mut line = Vec::new();
        Lines::default().add(Clock::system().now(), &event, &mut line);
        // Without standard error there is no place left for it.
        drop(std::io::stderr().lock().write_all(&line));
    }
}

/// Whether a request has a line: `log.requests` may leave out successful reads.
pub fn wants_request(read: bool, status: Option<u16>) -> bool {
    let good_read = read && status.is_some_and(|status| status < 400);
    let log = LOG.read();
    log.as_ref()
        .is_some_and(|log| log.takes_reads() || !good_read)
}

/// Whether a refused request has its lines: only some per second of one cause and address do.
pub fn keeps_refusal(cause: Word, address: Option<IpAddr>) -> bool {
    let log = LOG.read();
    log.as_ref()
        .is_none_or(|log| log.keeps_refusal(cause, address))
}

/// Lines missing since the start, by where or why; empty without a log.
pub fn missing() -> Vec<(Word, u64)> {
    let log = LOG.read();
    log.as_ref().map(|log| log.missing()).unwrap_or_default()
}

/// The decision on a request for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// Its entry is in the journal: position, and version of its stream.
    Accepted(u64, u64),
    /// A rule rejected it: the tag of the error.
    Rejected(Word),
    /// A repeated request, answered with its first answer.
    Repeated,
    /// The command changed nothing.
    Nothing,
    /// The change could not be journaled; the caller may retry.
    NotDone,
}

/// Logs the decision on a request for a change.
pub fn decided(request_id: &str, decided: Decided) {
    // The address is not known here; the line of the request has the same tag.
    if matches!(decided, Decided::Rejected(_)) && !keeps_refusal(DECISION, None) {
        return;
    }
    let (outcome, tag, place) = match decided {
        Decided::Accepted(position, version) => ("accepted", None, Some((position, version))),
        Decided::Rejected(tag) => ("rejected", Some(tag), None),
        Decided::Repeated => ("repeated", None, None),
        Decided::Nothing => ("nothing", None, None),
        Decided::NotDone => ("not-done", None, None),
    };
    emit(Event::Decision {
        request_id: RequestId::of(request_id),
        outcome,
        tag,
        position: place.map(|(position, _)| position),
        version: place.map(|(_, version)| version),
    });
}

/// Logs a request that failed with an internal error. The text never holds content, names of secrets, or what the caller sent.
pub fn failure(request_id: &str, text: &str) {
    emit(Event::InternalError {
        request_id: RequestId::of(request_id),
        error: Text::of(text),
    });
}

/// Logs a notice for the operator.
pub fn notice(text: &str) {
    emit(Event::Notice {
        text: Text::of(text),
    });
}

/// Logs a notice for the operator about an error: what it means, and then the error with its causes and what to do.
pub fn notice_error(what: &str, error: &(dyn std::error::Error + 'static)) {
    notice(&format!("{what}: {}", describe(error)));
}

/// Logs that data could not be written or read. The text says what to do.
pub fn storage_failed(error: &str) {
    emit(Event::StorageFailed {
        error: Text::of(error),
    });
}

/// Logs that the maintenance state cannot be read, so that tenants are served.
pub fn maintenance_unknown(error: &str) {
    emit(Event::MaintenanceUnknown {
        outcome: "failed_open",
        error: Text::of(error),
        hint: "if this persists, stop the server and run: g3n journal rebuild",
    });
}

/// Logs a call of an operator function and how it ended.
pub fn operator_call(function: Word, request_id: &str, by: &str, status: u16, tag: Word) {
    emit(Event::OperatorCall {
        request_id: RequestId::of(request_id),
        function,
        by: Text::of(by),
        status,
        tag,
    });
}

/// Logs that a job's step failed and will be retried.
pub fn job_failed(job: &str, error: &str) {
    emit(Event::JobFailed {
        job: Text::of(job),
        error: Text::of(error),
        hint: "it is retried; see: g3n jobs show",
    });
}

/// Logs how many rows of the projections differ from the journal.
pub fn projections_differ(differing: u64) {
    emit(Event::ProjectionsDiffer {
        differing,
        hint: "stop the server and run: g3n journal rebuild",
    });
}

/// Logs that the keys for checking tokens cannot be fetched or read. The text never holds an address, which may be secret in
/// part.
pub fn token_keys_failed(setting: &str, error: &str) {
    emit(Event::TokenKeys {
        outcome: "failed",
        setting: Text::of(setting),
        error: Some(Text::of(error)),
        hint: Some("the last good keys are used for two hours; without any, tokens are refused"),
    });
}

/// Logs that the keys for checking tokens are available again.
pub fn token_keys_good(setting: &str) {
    emit(Event::TokenKeys {
        outcome: "good_again",
        setting: Text::of(setting),
        error: None,
        hint: None,
    });
}

/// Logs that a request was denied: fixed words and an id, nothing of what the caller sent.
pub fn access_denied(
    stage: &'static str,
    reason: &'static str,
    status: u16,
    route: &'static str,
    request_id: &str,
) {
    emit(Event::AccessDenied {
        request_id: RequestId::of(request_id),
        stage,
        reason,
        status,
        route,
    });
}

/// Makes each panic of the process one line with its location, without its message, which may quote anything.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        emit(Event::Panic {
            location: Text::of(location.as_deref().unwrap_or("unknown")),
        });
    }));
}
