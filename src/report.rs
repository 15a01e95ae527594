//! What the operator is told: one JSON line an event on standard error.

use std::io::Write;

use serde_json::{Value, json};

/// A request that failed inside. The text never holds content, names of secrets, or what the caller sent.
pub fn failure(request_id: &str, text: &str) {
    line(&json!({"event": "internal_error", "request_id": request_id, "error": text}));
}

/// Something the operator should know.
pub fn notice(text: &str) {
    line(&json!({"event": "notice", "text": text}));
}

/// What maintenance is active cannot be read: tenants are let through.
pub fn maintenance_unknown(error: &str) {
    line(
        &json!({"event": "maintenance_unknown", "outcome": "failed_open", "error": error, "hint": "if it stays so, stop the server and run: g3n journal rebuild"}),
    );
}

/// One call of an operator function, and how it ended. The text never holds what the caller sent.
pub fn operator_call(function: &str, request_id: &str, by: &str, status: u16, tag: &str) {
    line(
        &json!({"event": "operator_call", "function": function, "request_id": request_id, "by": by, "status": status, "tag": tag}),
    );
}

/// A job's step that failed; it is tried again.
pub fn job_failed(job: &str, error: &str) {
    line(
        &json!({"event": "job_failed", "job": job, "error": error, "hint": "it is tried again; see: g3n jobs show"}),
    );
}

/// Rows of the projections that are not what the journal says.
pub fn projections_differ(differing: u64) {
    line(
        &json!({"event": "projections_differ", "differing": differing, "hint": "stop the server and run: g3n journal rebuild"}),
    );
}

/// The keys that tokens are checked with cannot be had. The text never holds an address, which may be secret in part.
pub fn token_keys_failed(setting: &str, error: &str) {
    line(
        &json!({"event": "token_keys", "outcome": "failed", "setting": setting, "error": error, "hint": "the last good keys are used for two hours; without any, tokens are refused"}),
    );
}

/// The keys that tokens are checked with can be had again.
pub fn token_keys_good(setting: &str) {
    line(&json!({"event": "token_keys", "outcome": "good_again", "setting": setting}));
}

/// Somebody was not let in. Only fixed words and an id: nothing of what the caller sent.
pub fn access_denied(
    stage: &'static str,
    reason: &'static str,
    status: u16,
    route: &'static str,
    request_id: &str,
) {
    line(
        &json!({"event": "access_denied", "stage": stage, "reason": reason, "status": status, "route": route, "request_id": request_id}),
    );
}

/// From now on each panic of the process is told as one line: where it was, and nothing of what it says, which may quote
/// anything.
pub fn tell_of_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let location = location.as_deref().unwrap_or("unknown");
        line(&json!({"event": "panic", "location": location}));
    }));
}

fn line(event: &Value) {
    // When standard error is gone there is nobody left to tell.
    drop(writeln!(std::io::stderr().lock(), "{event}"));
}
