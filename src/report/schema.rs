//! The schema of the log: the check of a line against it, and the page that documents it.

use serde_json::{Map, Value};

use super::event::{FieldShape, Level, SHAPES, Shape};
use super::field::Kind;
use super::line::{LINE_BYTES_MAX, SCHEMA_VERSION};
use super::scrub;
use crate::domain::Timestamp;

/// The first fields of every line.
const COMMON: [&str; 4] = ["v", "at", "level", "event"];

/// Why a line does not fit the schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The line is longer than allowed.
    #[error("it has {0} bytes; a line has at most {LINE_BYTES_MAX}")]
    TooLong(usize),
    /// The line is not a JSON object.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// It is of a schema that this program does not know.
    #[error("its v is not {SCHEMA_VERSION}")]
    Version,
    /// A field has to be there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field holds what does not fit it.
    #[error("{0} does not fit: {1}")]
    Unfit(&'static str, String),
    /// The line names an unknown event.
    #[error("there is no such event")]
    Event,
    /// The event has no such field.
    #[error("the event {event} has no field number {number}")]
    Field {
        /// The word in `event`.
        event: &'static str,
        /// Which field in the order of names, from 1. Its name may be anything.
        number: usize,
    },
    /// It contains what looks like a secret.
    #[error("something in it looks like a secret value")]
    Secret,
}

/// Checks a line, without its line break, against the schema, and returns it as JSON.
///
/// # Errors
/// [`LineError`] with the first fault found; nothing of the line is quoted.
pub fn lint(line: &str) -> Result<Map<String, Value>, LineError> {
    if line.len() >= LINE_BYTES_MAX {
        return Err(LineError::TooLong(line.len()));
    }
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else {
        return Err(LineError::NotAnObject);
    };
    let shape = lint_common(&fields)?;
    for (number, name) in fields.keys().enumerate() {
        let known = shape.fields.iter().any(|field| field.name == name);
        if !known && !COMMON.contains(&name.as_str()) {
            return Err(LineError::Field {
                event: shape.event,
                number: number + 1,
            });
        }
    }
    shape
        .fields
        .iter()
        .try_for_each(|field| lint_field(field, &fields))?;
    let mut scrubbed = Vec::new();
    scrub::scrub(line.as_bytes(), &mut scrubbed);
    if scrubbed != line.as_bytes() {
        return Err(LineError::Secret);
    }
    Ok(fields)
}

fn lint_common(fields: &Map<String, Value>) -> Result<&'static Shape, LineError> {
    let missing = COMMON.iter().find(|name| !fields.contains_key(**name));
    if let Some(name) = missing {
        return Err(LineError::Missing(name));
    }
    if fields["v"].as_u64() != Some(SCHEMA_VERSION) {
        return Err(LineError::Version);
    }
    let at = fields["at"].as_str().unwrap_or_default();
    if Timestamp::parse(at).is_none_or(|time| time.to_string() != at) {
        let wanted = "RFC 3339 in UTC with milliseconds".to_owned();
        return Err(LineError::Unfit("at", wanted));
    }
    let level = fields["level"].as_str().unwrap_or_default();
    if Level::ALL.iter().all(|known| known.as_str() != level) {
        return Err(LineError::Unfit("level", "info, warn or error".to_owned()));
    }
    let event = fields["event"].as_str().unwrap_or_default();
    let shape = SHAPES.iter().find(|shape| shape.event == event);
    shape.ok_or(LineError::Event)
}

fn lint_field(field: &FieldShape, fields: &Map<String, Value>) -> Result<(), LineError> {
    match fields.get(field.name) {
        None if field.optional => Ok(()),
        None => Err(LineError::Missing(field.name)),
        Some(value) if field.kind.fits(value) => Ok(()),
        Some(_) => Err(LineError::Unfit(field.name, field.kind.about())),
    }
}

/// The schema as Markdown: kinds of fields, then a table of each event.
pub fn page() -> String {
    let mut page = String::from("| a field of kind | holds |\n|---|---|\n");
    for kind in Kind::ALL {
        page.push_str(&format!("| {} | {} |\n", kind.as_str(), kind.about()));
    }
    for shape in SHAPES {
        page.push_str(&format!(
            "\n### `{}`\n\n{}\n\n| field | kind | tells |\n|---|---|---|\n",
            shape.event,
            shape.about.trim()
        ));
        for field in shape.fields {
            let optional = if field.optional { ", or absent" } else { "" };
            page.push_str(&format!(
                "| `{}` | {}{optional} | {} |\n",
                field.name,
                field.kind.as_str(),
                field.about.trim()
            ));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"v":1,"at":"2027-01-15T08:00:00.000Z","level":"info","event":"decision","request_id":"r-1","outcome":"accepted","position":7,"version":1}"#;

    #[test]
    fn a_line_fits_or_the_first_thing_that_does_not_is_named() {
        assert!(lint(GOOD).is_ok());
        for (from, to, wrong) in [
            ("{", "", LineError::NotAnObject),
            ("\"v\":1", "\"v\":2", LineError::Version),
            ("\"v\":1,", "", LineError::Missing("v")),
            ("decision", "verdict", LineError::Event),
            (
                "\"outcome\":\"accepted\",",
                "",
                LineError::Missing("outcome"),
            ),
            (
                "version\"",
                "extra\"",
                LineError::Field {
                    event: "decision",
                    number: 3,
                },
            ),
            ("accepted", "see g3nk_abcdef", LineError::Secret),
        ] {
            let line = GOOD.replacen(from, to, 1);
            assert_eq!(lint(&line), Err(wrong), "{line}");
        }
        for (from, to, field) in [
            (".000Z", "Z", "at"),
            ("info", "debug", "level"),
            ("r-1", "r 1", "request_id"),
            (":7", ":\"7\"", "position"),
        ] {
            let line = GOOD.replacen(from, to, 1);
            let wrong = lint(&line);
            assert!(
                matches!(wrong, Err(LineError::Unfit(name, _)) if name == field),
                "{line}: {wrong:?}"
            );
        }
        let long = GOOD.replacen("accepted", &"a".repeat(LINE_BYTES_MAX), 1);
        assert!(matches!(lint(&long), Err(LineError::TooLong(_))));
    }

    #[test]
    fn no_two_events_and_no_two_fields_of_one_share_a_name() {
        let mut events: Vec<_> = SHAPES.iter().map(|shape| shape.event).collect();
        events.sort_unstable();
        events.dedup();
        assert_eq!(events.len(), SHAPES.len());
        for shape in SHAPES {
            let mut names: Vec<_> = shape.fields.iter().map(|field| field.name).collect();
            names.extend(COMMON);
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all, "{}", shape.event);
        }
    }
}
