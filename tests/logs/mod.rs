//! The log: what is in it, what has no way into it, where it goes, and how it is read.

mod command;
mod hangup;
mod outputs;
mod own_texts;
mod page;
mod processes;
mod trace;
mod traffic;

use serde_json::{Map, Value};

/// The lines of a log, each of which fits the schema.
fn linted(log: &str) -> Vec<Map<String, Value>> {
    let lint = |line: &str| {
        let linted = metarecord::report::schema::lint(line);
        linted.unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    log.lines().map(lint).collect()
}

/// A text of a line.
fn text<'a>(line: &'a Map<String, Value>, name: &str) -> &'a str {
    line.get(name).and_then(Value::as_str).unwrap_or_default()
}
