//! What the operator is told: events of fixed types, a JSON line each.
//!
//! `g3n serve` starts a [`Log`] on standard output, with daily files where that is asked for. In a process that started
//! none, such as a program with the server inside it, what matters goes to standard error, and requests are not told of.

pub mod event;
pub mod field;
pub mod files;
#[cfg(test)]
mod fuzz;
mod library;
mod line;
mod log;
mod sample;
pub mod schema;
pub mod scrub;

use parking_lot::RwLock;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

pub use self::event::Event;
pub use self::field::{Fingerprint, RequestId, Text, Word};
pub use self::library::install_log_bridge;
pub use self::line::{LINE_BYTES_MAX, SCHEMA_VERSION};
pub use self::log::{EVENTS_MAX, Log, LogOptions};

use self::line::Lines;
use crate::clock::Clock;

/// What rejected decisions are counted under.
const DECISION: Word = "decision";

/// The log of this process, once one was started.
static LOG: RwLock<Option<Arc<Log>>> = RwLock::new(None);

/// From now on the process tells this log. Nothing until it is told of another.
pub fn install(log: Option<Arc<Log>>) {
    *LOG.write() = log;
}

/// The log of this process, if one was started.
pub fn log() -> Option<Arc<Log>> {
    LOG.read().clone()
}

/// Tells the log of an event.
pub fn emit(event: Event) {
    let log = LOG.read();
    if let Some(log) = &*log {
        return log.emit(event);
    }
    drop(log);
    if !event.is_of_traffic() {
        let mut line = Vec::new();
        Lines::default().add(Clock::system().now(), &event, &mut line);
        // When standard error is gone there is nobody left to tell.
        drop(std::io::stderr().lock().write_all(&line));
    }
}

/// Whether the log wants to hear of a request; of reads that went well it may not.
pub fn wants_request(read: bool, status: Option<u16>) -> bool {
    let good_read = read && status.is_some_and(|status| status < 400);
    let log = LOG.read();
    log.as_ref()
        .is_some_and(|log| log.takes_reads() || !good_read)
}

/// Whether a refused request has its lines: of one cause and address only some a second have.
pub fn keeps_refusal(cause: Word, address: Option<IpAddr>) -> bool {
    let log = LOG.read();
    log.as_ref()
        .is_none_or(|log| log.keeps_refusal(cause, address))
}

/// Lines that are missing since the start, by what they are missing in or why; nothing without a log.
pub fn missing() -> Vec<(Word, u64)> {
    let log = LOG.read();
    log.as_ref().map(|log| log.missing()).unwrap_or_default()
}

/// What was decided on a request for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// Its entry is in the journal: position, and version of its stream.
    Accepted(u64, u64),
    /// A rule said no; its tag.
    Rejected(Word),
    /// The request came before, and is answered as it was then.
    Repeated,
    /// All was so already.
    Nothing,
    /// It could not be journaled; the caller is told to come back.
    NotDone,
}

/// What was decided on a request for a change.
pub fn decided(request_id: &str, decided: Decided) {
    // Here nobody knows the address; the line of the request has the same tag.
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

/// A request that failed inside. The text never holds content, names of secrets, or what the caller sent.
pub fn failure(request_id: &str, text: &str) {
    emit(Event::InternalError {
        request_id: RequestId::of(request_id),
        error: Text::of(text),
    });
}

/// Something the operator should know.
pub fn notice(text: &str) {
    emit(Event::Notice {
        text: Text::of(text),
    });
}

/// What the server keeps could not be written or read. The text says what to do.
pub fn storage_failed(error: &str) {
    emit(Event::StorageFailed {
        error: Text::of(error),
    });
}

/// What maintenance is active cannot be read: tenants are let through.
pub fn maintenance_unknown(error: &str) {
    emit(Event::MaintenanceUnknown {
        outcome: "failed_open",
        error: Text::of(error),
        hint: "if this persists, stop the server and run: g3n journal rebuild",
    });
}

/// One call of an operator function, and how it ended.
pub fn operator_call(function: Word, request_id: &str, by: &str, status: u16, tag: Word) {
    emit(Event::OperatorCall {
        request_id: RequestId::of(request_id),
        function,
        by: Text::of(by),
        status,
        tag,
    });
}

/// A job's step that failed; it is tried again.
pub fn job_failed(job: &str, error: &str) {
    emit(Event::JobFailed {
        job: Text::of(job),
        error: Text::of(error),
        hint: "it is retried; see: g3n jobs show",
    });
}

/// Rows of the projections that are not what the journal says.
pub fn projections_differ(differing: u64) {
    emit(Event::ProjectionsDiffer {
        differing,
        hint: "stop the server and run: g3n journal rebuild",
    });
}

/// The keys that tokens are checked with cannot be had. The text never holds an address, which may be secret in part.
pub fn token_keys_failed(setting: &str, error: &str) {
    emit(Event::TokenKeys {
        outcome: "failed",
        setting: Text::of(setting),
        error: Some(Text::of(error)),
        hint: Some("the last good keys are used for two hours; without any, tokens are refused"),
    });
}

/// The keys that tokens are checked with can be had again.
pub fn token_keys_good(setting: &str) {
    emit(Event::TokenKeys {
        outcome: "good_again",
        setting: Text::of(setting),
        error: None,
        hint: None,
    });
}

/// A request was denied. Only fixed words and an id: nothing of what the caller sent.
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

/// From now on each panic of the process is told as one line: where it was, and nothing of what it says, which may quote
/// anything.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        emit(Event::Panic {
            location: Text::of(location.as_deref().unwrap_or("unknown")),
        });
    }));
}
