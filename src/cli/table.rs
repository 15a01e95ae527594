//! Answers as tables for people.

use std::io::IsTerminal;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// What a list shows of each record.
const COLUMNS: &[&str] = &[
    "container",
    "record_id",
    "status",
    "revision",
    "content_type",
    "content_size",
    "tags",
    "doom_at",
    "updated_at",
];
/// Members that are content, or the way to it, and no facts about a record.
const HIDDEN: &[&str] = &["content", "download", "upload", "content_token"];

/// A list as rows, anything else as names and values.
pub(super) fn answer(data: &Value) -> String {
    match (&data["items"], data) {
        (Value::Array(items), _) => list(items, data["next_token"].as_str()),
        (_, Value::Object(members)) => {
            let rows = members
                .iter()
                .filter(|(name, _)| !HIDDEN.contains(&name.as_str()))
                .map(|(name, value)| vec![clean(name), cell(value)]);
            draw(&[], rows)
        }
        (_, data) => cell(data),
    }
}

fn list(items: &[Value], next_token: Option<&str>) -> String {
    let shown: Vec<&str> = COLUMNS
        .iter()
        .copied()
        .filter(|name| items.iter().any(|item| !item[name].is_null()))
        .collect();
    let mut text = match items {
        [] => "nothing found".to_owned(),
        _ => {
            let rows = items
                .iter()
                .map(|item| shown.iter().map(|name| cell(&item[name])).collect());
            draw(&shown, rows)
        }
    };
    if let Some(token) = next_token {
        text.push_str(&format!("\nmore: --next-token {}", clean(token)));
    }
    text
}

fn draw(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    // Only a terminal has a width to fit into; elsewhere lines stay whole.
    table.set_content_arrangement(match std::io::stdout().is_terminal() {
        true => ContentArrangement::Dynamic,
        false => ContentArrangement::Disabled,
    });
    if !header.is_empty() {
        table.set_header(header.iter().copied());
    }
    table.add_rows(rows);
    table.to_string()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => clean(text),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        // A setting and where it came from.
        Value::Object(members) if members.contains_key("value") && members.contains_key("from") => {
            let shown = format!("{} ({})", cell(&value["value"]), cell(&value["from"]));
            shown.trim_start().to_owned()
        }
        Value::Object(_) | Value::Bool(_) | Value::Number(_) => clean(&value.to_string()),
    }
}

/// The text without control characters, which could make a terminal do things.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let (plain, escaped) = match character.is_control() {
                true => (None, Some(character.escape_default())),
                false => (Some(character), None),
            };
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_becomes_rows_and_says_how_to_go_on() {
        let text = answer(&json!({"items": [
            {"container": "demo", "record_id": "a", "revision": 2, "tags": ["X", "Y"]},
            {"container": "demo", "record_id": "b", "revision": 1, "tags": []},
        ], "limit": 2, "next_token": "abc"}));
        assert!(
            text.contains("record_id") && !text.contains("doom_at"),
            "{text}"
        );
        assert!(text.contains("X Y"), "{text}");
        assert!(text.ends_with("more: --next-token abc"), "{text}");
        assert_eq!(answer(&json!({"items": []})), "nothing found");
    }

    #[test]
    fn a_record_becomes_names_and_values_without_its_content() {
        let text = answer(&json!({"record_id": "a", "content": {"secret": 1}}));
        assert!(
            text.contains("record_id") && !text.contains("secret"),
            "{text}"
        );
        let text = answer(&json!({"orgcode": {"value": "DEMO", "from": "flag"}}));
        assert!(text.contains("DEMO (flag)"), "{text}");
    }

    #[test]
    fn a_terminal_is_told_no_control_characters() {
        assert_eq!(clean("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }
}
