//! Answers as tables for people.

use std::io::IsTerminal;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Map, Value};

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
    "held",
    "updated_at",
];
/// What a list of other things shows, by a member that only they have.
const OTHER_COLUMNS: &[(&str, &[&str])] = &[
    (
        "invitation_id",
        &[
            "invitation_id",
            "orgcode",
            "user_id",
            "role",
            "label",
            "invited_at",
            "expires_at",
        ],
    ),
    (
        "scopes",
        &[
            "name",
            "scopes",
            "status",
            "created_at",
            "expires_at",
            "revoked_at",
        ],
    ),
    (
        "offboarding_id",
        &[
            "orgcode",
            "offboarding_id",
            "status",
            "reason",
            "requested_at",
            "window_ends_at",
        ],
    ),
    ("jti", &["jti", "until"]),
    ("found", &["name", "state", "found", "fix"]),
    (
        "version",
        &[
            "version",
            "current",
            "content_type",
            "content_size",
            "since",
            "by",
            "until",
            "why",
            "kept_until",
            "removed",
            "lost",
        ],
    ),
    (
        "event",
        &[
            "at",
            "event",
            "maintenance_id",
            "vacuum_id",
            "by",
            "actor",
            "outcome",
            "request_id",
        ],
    ),
    (
        "scheduled_start_utc",
        &[
            "maintenance_id",
            "status",
            "description",
            "scheduled_start_utc",
            "started_at",
            "ended_at",
        ],
    ),
    (
        "service",
        &[
            "service", "status", "items", "objects", "bytes", "skipped", "held", "error",
        ],
    ),
    ("quota", &["quota", "used", "limit", "limit_from", "counts"]),
    (
        "since",
        &["held", "container", "reason", "since", "by", "actor"],
    ),
    ("text", &["at", "text"]),
    (
        "purpose",
        &[
            "job",
            "state",
            "last_run_at",
            "last_counts",
            "next_run_at",
            "progress",
            "error",
        ],
    ),
    (
        "opened_at",
        &[
            "session",
            "session_label",
            "opened_at",
            "expires_at",
            "current",
        ],
    ),
    (
        "service_account_id",
        &[
            "service_account_id",
            "label",
            "status",
            "keys",
            "created_at",
        ],
    ),
    (
        "key_id",
        &[
            "key_id",
            "role",
            "label",
            "status",
            "created_at",
            "expires_at",
            "allowed_addresses",
            "last_used_at",
            "revoked_at",
            "made_at",
            "retired_at",
            "works_until",
        ],
    ),
    ("user_id", &["user_id", "email", "role"]),
    ("role", &["orgcode", "role"]),
];
/// Members that are content, or the way to it, and no facts about a record.
const HIDDEN: &[&str] = &["content", "download", "upload", "content_token"];

/// Members whose parts are told one by one.
const PARTED: &[&str] = &["hold", "maintenance", "progress", "removed", "totals"];
/// Members that are tables of their own.
const MANY: &[&str] = &[
    "checks",
    "legal_holds",
    "services",
    "updates",
    "maintenance.updates",
    "orgs",
];
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
            let mut text = draw(&[], facts.rows.into_iter());
            for (name, items) in facts.tables {
                text.push_str(&format!("\n{name}\n{}", rows(items)));
            }
            for (name, value) in facts.copied {
                text.push_str(&format!("\n{name}\n{value}"));
            }
            text
        }
        (_, data) => cell(data),
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

/// Items as a table, one on each row.
pub(super) fn rows(items: &[Value]) -> String {
    let shown = columns(items);
    let rows = items
        .iter()
        .map(|item| shown.iter().map(|name| cell(&item[name])).collect());
    draw(&shown, rows)
}

/// Of the columns for things like these the ones with something in them.
fn columns(items: &[Value]) -> Vec<&'static str> {
    let there = |name: &&str| items.iter().any(|item| !item[name].is_null());
    let other = OTHER_COLUMNS.iter().find(|(telling, _)| there(telling));
    let columns = other.map_or(COLUMNS, |(_, columns)| columns);
    columns.iter().copied().filter(there).collect()
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
                Value::Object(parts) if PARTED.contains(&name.as_str()) => {
                    self.gather(&format!("{name}."), parts);
                }
                Value::Array(items) if !items.is_empty() && MANY.contains(&name.as_str()) => {
                    self.tables.push((name, items));
                }
                Value::String(text) if COPIED.contains(&name.as_str()) => {
                    self.copied.push((name, clean(text)));
                }
                value => self.rows.push(vec![name, cell(value)]),
            }
        }
    }
}

fn draw(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    // Only a terminal has a width to fit into, and not every one tells it; elsewhere lines stay whole.
    let fits = std::io::stdout().is_terminal() && table.width() != Some(0);
    table.set_content_arrangement(if fits {
        ContentArrangement::Dynamic
    } else {
        ContentArrangement::Disabled
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
        // What holds something, and why.
        Value::Object(members) if members.contains_key("reason") => {
            let what = members.get("by").or_else(|| members.get("items"));
            let what = what.map(cell).unwrap_or_default();
            format!("{what}: {}", cell(&value["reason"]))
        }
        // What was counted.
        Value::Object(members) if !members.is_empty() && members.values().all(Value::is_number) => {
            let told = members
                .iter()
                .map(|(name, value)| format!("{value} {}", clean(name)));
            told.collect::<Vec<_>>().join(", ")
        }
        Value::Object(_) | Value::Bool(_) | Value::Number(_) => clean(&value.to_string()),
    }
}

/// The text without control characters, which could make a terminal do things.
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
        let columns = |item: Value| columns(&[item]);
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
    fn a_terminal_is_told_no_control_characters() {
        assert_eq!(clean("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }
}
