//! Answers as tables for people.

mod columns;

use std::io::IsTerminal;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Map, Value};

use crate::domain::Timestamp;

/// Members that are content, or the way to it, and no facts about a record.
const HIDDEN: &[&str] = &["content", "download", "upload", "content_token"];

/// What holds a record or a container, and why.
const HELD: [&str; 2] = ["held", "hold"];
/// From then on a number is a time in milliseconds: the year 2001.
const MILLIS_MIN: i64 = 1_000_000_000_000;
/// Members that are copied whole: each on a line of its own, which no frame cuts.
const COPIED: &[&str] = &["session_guid", "api_key"];

/// What stands in the place of a list without items.
pub(super) const NOTHING: &str = "nothing found";

/// A list as rows, anything else as names and values, with tables of what it holds many of below.
pub(super) fn answer(data: &Value) -> String {
    match (&data["items"], data) {
        (Value::Array(items), _) => list(items, data["next_token"].as_str()),
        (_, Value::Object(members)) => {
            let mut facts = Facts::default();
            facts.gather("", members);
            let mut text = draw(&[], facts.rows);
            for (name, items) in facts.tables {
                text.push_str(&format!("\n{name}\n{}", rows(items)));
            }
            for (name, value) in facts.copied {
                text.push_str(&format!("\n{name}\n{value}"));
            }
            text
        }
        (_, data) => cell("", data),
    }
}

fn list(items: &[Value], next_token: Option<&str>) -> String {
    let mut text = match items {
        [] => NOTHING.to_owned(),
        _ => rows(items),
    };
    if let Some(token) = next_token {
        text.push_str(&format!("\nmore: --next-token {}", clean(token)));
    }
    text
}

/// Things as a table, or each as lines where the terminal is too narrow for whole cells.
pub(super) fn rows(items: &[Value]) -> String {
    let shown = columns::of(items);
    let cells = |item: &Value| shown.iter().map(|name| cell(name, &item[*name])).collect();
    draw(&shown, items.iter().map(cells).collect())
}

/// Names and values, and apart from them what does not fit into a cell.
#[derive(Default)]
struct Facts<'a> {
    rows: Vec<Vec<String>>,
    tables: Vec<(String, &'a [Value])>,
    copied: Vec<(String, String)>,
}

impl<'a> Facts<'a> {
    fn gather(&mut self, within: &str, members: &'a Map<String, Value>) {
        for (name, value) in members {
            if HIDDEN.contains(&name.as_str()) {
                continue;
            }
            let name = format!("{within}{}", clean(name));
            match value {
                Value::Object(parts) if is_sourced(parts) => {
                    self.rows.push(vec![name, sourced(parts)]);
                }
                Value::Object(parts) => self.gather(&format!("{name}."), parts),
                Value::Array(items) if items.iter().any(Value::is_object) => {
                    self.tables.push((name, items));
                }
                Value::String(text) if COPIED.contains(&name.as_str()) => {
                    self.copied.push((name, clean(text)));
                }
                Value::Null => self.rows.push(vec![name, "none".to_owned()]),
                Value::Array(items) if items.is_empty() => {
                    self.rows.push(vec![name, "none".to_owned()]);
                }
                value => {
                    let shown = cell(&name, value);
                    self.rows.push(vec![name, shown]);
                }
            }
        }
    }
}

/// A table whose cells are whole: an id that is broken into lines cannot be copied. In a terminal that is too narrow each
/// row becomes lines of names and values.
fn draw(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Disabled);
    // Only a terminal has a width to fit into, and not every one tells it.
    let width = if std::io::stdout().is_terminal() {
        table.width().filter(|width| *width > 0)
    } else {
        None
    };
    if !header.is_empty() {
        table.set_header(header.iter().copied());
    }
    table.add_rows(rows.iter().cloned());
    let drawn = table.to_string();
    let fits = |width: u16| {
        let mut lines = drawn.lines();
        lines.all(|line| line.chars().count() <= usize::from(width))
    };
    if width.is_none_or(fits) {
        drawn
    } else {
        as_lines(header, &rows)
    }
}

/// Rows as lines of names and values, with an empty line between two rows.
fn as_lines(header: &[&str], rows: &[Vec<String>]) -> String {
    let pairs = |row: &[String]| -> Vec<(String, String)> {
        match row {
            [name, value] if header.is_empty() => vec![(name.clone(), value.clone())],
            row => {
                let pairs = header.iter().zip(row);
                let pairs = pairs.filter(|(_, value)| !value.is_empty());
                pairs
                    .map(|(name, value)| ((*name).to_owned(), value.clone()))
                    .collect()
            }
        }
    };
    let blocks: Vec<_> = rows.iter().map(|row| pairs(row)).collect();
    let names = blocks
        .iter()
        .flatten()
        .map(|(name, _)| name.chars().count());
    let width = names.max().unwrap_or(0);
    let lines = blocks.iter().map(|block| {
        let lines = block
            .iter()
            .map(|(name, value)| format!("{name:<width$}  {value}"));
        lines.collect::<Vec<_>>().join("\n")
    });
    let between = if header.is_empty() { "\n" } else { "\n\n" };
    lines.collect::<Vec<_>>().join(between)
}

/// One value as it is shown in a cell: no JSON.
fn cell(name: &str, value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => clean(text),
        Value::Bool(_) => value.to_string(),
        Value::Number(number) => match number.as_i64().filter(|_| is_time(name)) {
            Some(millis) if millis > MILLIS_MIN => Timestamp::from_millis(millis).to_string(),
            Some(_) | None => value.to_string(),
        },
        // An entry's events: what they say is in the other forms of output.
        Value::Array(items)
            if name == "events" && items.iter().all(|item| item["type"].is_string()) =>
        {
            let types = items.iter().map(|item| cell("type", &item["type"]));
            types.collect::<Vec<_>>().join("+")
        }
        Value::Array(items) => {
            let separator = if items.iter().any(Value::is_object) {
                "; "
            } else {
                " "
            };
            let items = items.iter().map(|item| cell(name, item));
            items.collect::<Vec<_>>().join(separator)
        }
        Value::Object(members) if is_sourced(members) => sourced(members),
        Value::Object(members) if name == "changes" && members.contains_key("field") => {
            field_change(members)
        }
        // What holds something, and why.
        Value::Object(members) if HELD.contains(&name) && members.contains_key("reason") => {
            let what = members
                .get("by")
                .filter(|_| name == "held")
                .map(|by| cell("by", by));
            let reason = cell("reason", &members["reason"]);
            match what {
                Some(what) => format!("{what}: {reason}"),
                None => reason,
            }
        }
        Value::Object(members) => {
            let mut parts = Vec::new();
            flatten(members, &mut parts);
            parts.join(", ")
        }
    }
}

/// A field that changed: its name, and what was added, removed or set. Checksums are left to the other forms of output.
fn field_change(members: &Map<String, Value>) -> String {
    let field = cell("field", &members["field"]);
    let mut parts = vec![field.clone()];
    for (sign, name) in [('+', "added"), ('-', "removed")] {
        let items = members.get(name).and_then(Value::as_array);
        let items = items.into_iter().flatten();
        parts.extend(items.map(|item| format!("{sign}{}", cell(name, item))));
    }
    match members.get("new") {
        None => {}
        Some(Value::Null) => parts.push("none".to_owned()),
        Some(Value::Object(facts)) => {
            let mut shown = facts.clone();
            shown.retain(|name, _| !name.contains("_md5") && !name.contains("_sha256"));
            parts.push(cell("new", &Value::Object(shown)));
        }
        Some(new) => parts.push(cell(&field, new)),
    }
    parts.join(" ")
}

/// The members of an object and of those in it as names with values; numbers come first, as they are said.
fn flatten(members: &Map<String, Value>, parts: &mut Vec<String>) {
    for (name, value) in members {
        let shown = clean(name);
        match value {
            Value::Null => {}
            Value::Object(within) => flatten(within, parts),
            Value::Number(number) if !is_time(name) && !has_unit(name) => {
                parts.push(format!("{number} {shown}"))
            }
            value => parts.push(format!("{shown} {}", cell(name, value))),
        }
    }
}

/// Whether it is a setting and where it came from.
fn is_sourced(members: &Map<String, Value>) -> bool {
    members.contains_key("value") && members.contains_key("from")
}

fn sourced(members: &Map<String, Value>) -> String {
    let (value, from) = (
        cell("value", &members["value"]),
        cell("from", &members["from"]),
    );
    if from == "nowhere" {
        return "not set".to_owned();
    }
    let shown = format!("{value} ({from})");
    shown.trim_start().to_owned()
}

/// Whether a number of this name is of a unit that the name ends with, and no count of what it names.
fn has_unit(name: &str) -> bool {
    let of_unit = |unit: &&str| name.ends_with(&format!("_{unit}"));
    ["seconds", "ms", "days", "hours", "bytes"]
        .iter()
        .any(of_unit)
}

/// Whether a number of this name is a time in milliseconds.
fn is_time(name: &str) -> bool {
    name == "until" || name.ends_with("_at")
}

/// The text without control characters, which could control the terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let (plain, escaped) = if character.is_control() {
                (None, Some(character.escape_default()))
            } else {
                (Some(character), None)
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
    fn a_list_shows_what_matters_of_its_kind() {
        for (item, shown, hidden) in [
            (
                json!({"maintenance_id": "mw_1", "status": "ended", "updates": [], "revision": 3,
                    "scheduled_start_utc": "2030-03-01T02:00:00.000Z", "updated_at": "now"}),
                ["maintenance_id", "scheduled_start_utc"],
                "updated_at",
            ),
            (
                json!({"position": 7, "at": "now", "event": "maintenance.started", "maintenance_id": "mw_1",
                    "by": "operator", "source": "cli", "request_id": "r"}),
                ["maintenance.started", "request_id"],
                "source",
            ),
        ] {
            let text = answer(&json!({"items": [item], "limit": 8}));
            assert!(shown.iter().all(|name| text.contains(name)), "{text}");
            assert!(
                !text.contains(hidden) && !text.contains("vacuum_id"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_vacuum_becomes_names_and_values_above_a_table_of_services() {
        let text = answer(&json!({
            "vacuum_id": "vac_1", "status": "completed", "totals": {"items": 3, "objects": 2, "bytes": 9},
            "services": [{"service": "mrs", "status": "completed", "items": 3, "objects": 2, "bytes": 9}],
        }));
        let (facts, services) = text.split_once("\nservices\n").expect("both");
        assert!(
            facts.contains("totals.objects") && !facts.contains("mrs"),
            "{text}"
        );
        assert!(
            services.contains("service ") && services.contains("mrs"),
            "{text}"
        );
        assert!(!services.contains("skipped"), "{text}");
        let text = answer(
            &json!({"maintenance": {"active": true, "updates": [{"at": "now", "text": "half"}]}}),
        );
        assert!(
            text.contains("maintenance.active") && text.contains("\nmaintenance.updates\n"),
            "{text}"
        );
    }

    #[test]
    fn people_orgs_and_keys_are_told_apart() {
        let columns = |item: Value| {
            let items = [item];
            columns::of(&items)
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let key =
            json!({"key_id": "k", "role": "mrs_reader", "status": "active", "created_at": "now"});
        assert_eq!(columns(key), ["key_id", "role", "status", "created_at"]);
        let member = json!({"user_id": "u", "email": "a@example.com", "role": "owner"});
        assert_eq!(columns(member), ["user_id", "email", "role"]);
        let account = json!({"service_account_id": "a", "status": "active", "keys": 0});
        let shown = ["service_account_id", "status", "keys"];
        assert_eq!(columns(account), shown);
        let session = json!({"session": "sh_1", "opened_at": "now", "current": true});
        assert_eq!(columns(session), ["session", "opened_at", "current"]);
        let text = answer(&json!({"user_id": "u", "orgs": [{"orgcode": "ACME", "role": "owner"}]}));
        assert!(text.contains("\norgs\n") && text.contains("ACME"), "{text}");
    }

    #[test]
    fn a_new_secret_stands_on_a_line_of_its_own() {
        let text = answer(&json!({"api_key": "g3nk_1", "key_id": "k"}));
        assert!(text.ends_with("\napi_key\ng3nk_1"), "{text}");
        assert_eq!(text.matches("g3nk_1").count(), 1);
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
    fn an_audit_says_which_org_and_shows_no_json() {
        let text = answer(&json!({"items": [
            {"at": "now", "event": "vacuum.requested", "by": "operator", "outcome":
                {"reason": "left us", "scope": {"org": "BETA"}, "execute_at": "then"}},
            {"at": "now", "event": "maintenance.ended", "by": "operator", "outcome": {}},
            {"at": "now", "event": "jwt.revoked", "subject": "t-1", "outcome": {"until": 1_796_150_600_437_i64}},
            {"at": "now", "event": "operator_act.asked", "subject": "DEMO",
                "outcome": {"function": "mrs_cleanup", "facts": {"container": "demo"}, "scopes": ["a", "b"]}},
        ]}));
        for part in [
            "org BETA",
            "reason left us",
            "subject",
            "until 2026-12-01T",
            "container demo, function mrs_cleanup, scopes a b",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains(['{', '}', '"', '[']), "{text}");
    }

    #[test]
    fn what_nothing_is_declared_for_is_shown_whole_and_lists_become_tables() {
        let text = answer(&json!({"items": [{"odd": 1, "more": {"a": null, "b": 2}}]}));
        assert!(text.contains("odd") && text.contains("2 b"), "{text}");
        let text = answer(
            &json!({"good": false, "head": {"position": 7}, "unproven": [],
            "problems": [{"file": "f", "byte": 9, "position": null, "what": "it breaks"}]}),
        );
        assert!(
            text.contains("head.position") && text.contains("none"),
            "{text}"
        );
        let (_, problems) = text.split_once("\nproblems\n").expect("a table");
        assert!(
            problems.contains("byte") && problems.contains("it breaks"),
            "{text}"
        );
    }

    #[test]
    fn rows_that_do_not_fit_become_lines_with_whole_values() {
        let id = "01a22dc4-bf3b-7329-bd4b-8c8df5186966".to_owned();
        let rows = [
            vec![id.clone(), String::new()],
            vec![id.clone(), "x".to_owned()],
        ];
        let text = as_lines(&["maintenance_id", "by"], &rows);
        let lines = format!("maintenance_id  {id}");
        assert_eq!(text, format!("{lines}\n\n{lines}\nby              x"));
        let facts = [
            vec!["a".to_owned(), "1".to_owned()],
            vec!["long".to_owned(), String::new()],
        ];
        assert_eq!(as_lines(&[], &facts), "a     1\nlong  ");
    }

    #[test]
    fn a_terminal_is_told_no_control_characters() {
        assert_eq!(clean("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }
}
