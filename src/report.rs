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

fn line(event: &Value) {
    // When standard error is gone there is nobody left to tell.
    drop(writeln!(std::io::stderr().lock(), "{event}"));
}
