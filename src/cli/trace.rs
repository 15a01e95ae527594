//! `g3n trace ID`: joins the traces of a request, from its decision through the journal and the projections to its
//! outcome.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use super::exit::Exit;
use super::failure::{Failure, granted};
use super::logs::columns;
use super::logs::source::{Source, SourceArgs};
use super::output::{Output, Printer, ended, print_line};
use super::profile::Profile;
use super::table::clean;
use crate::domain::Event;
use crate::journal::replay::{self, replay};
use crate::journal::{JournalError, state};
use crate::os_error::describe;
use crate::report::field::is_request_id;

/// Most lines of a request that are kept.
const LINES_MAX: usize = 1_000;

/// Join all that is known of a request: what its caller got, what was decided, what the journal has of it, and whether
/// reads show that.
///
/// The log comes from --log-dir, files or standard input. The journal is asked for at the operators' address, or read from
/// --data-dir, beside a running server too. No index leads from a request to its entries: each of the newest is read and
/// checked, so ask for no more of them than needed.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  g3n trace 7d0c8a52-3f0e-4c6b-9c1e-5b1a6d0f2e11 --log-dir /var/log/metarecord\n  g3n trace r-1 --log-dir logs --data-dir data --entries 1000000\n  journalctl -u metarecord -o cat | g3n trace r-1 -"
)]
pub struct TraceArgs {
    /// The request's id: X-Request-Id of its answer.
    #[arg(value_name = "ID")]
    request_id: String,
    #[command(flatten)]
    source: SourceArgs,
    /// Read the journal of this data directory instead of calling the operators' address.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How many of the journal's newest entries to search.
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    entries: u64,
}

/// The journal's entries of a request.
struct Journaled {
    /// Where the entries were read: the server or the data directory.
    place: &'static str,
    /// The entries, oldest first.
    entries: Vec<Value>,
    /// The first and the last position that was read.
    looked_at: (u64, u64),
    /// The last position that reads show, when it is known.
    shown_to: Option<u64>,
    /// Entries among those read that are erased without an order, in words.
    damage: Vec<Value>,
}

/// Joins what there is.
///
/// # Errors
/// The [`Failure`] when nothing could be read.
pub(super) fn run(
    arguments: &TraceArgs,
    load: impl Fn() -> Result<Profile, Failure>,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let id = &arguments.request_id;
    if !is_request_id(id) {
        let wanted = "a request id is 1 to 63 of A-Z, a-z, 0-9, dot, dash and underscore";
        return Err(Failure::Usage(wanted.to_owned()));
    }
    let source = arguments.source.given()?;
    let lines = match &source {
        Some(source) => lines_of(source, id)?,
        None => Vec::new(),
    };
    let journaled = match &arguments.data_dir {
        Some(dir) => from_disk(dir, id, arguments.entries).map_err(journal_failure),
        None => load().and_then(|profile| from_server(&profile, id, arguments.entries)),
    };
    let (journaled, why_not) = match journaled {
        Ok(journaled) => (Some(journaled), None),
        // The log alone says something too.
        Err(failure) if source.is_some() => (None, Some(failure.text())),
        Err(failure) => return Err(failure),
    };
    let joined = join(id, lines, journaled.as_ref(), why_not.as_deref());
    let told = match printer.output() {
        Output::Json | Output::Jsonl => print_line(&joined.to_string()),
        Output::Table => print_line(&story(&joined)),
    };
    let found = ["lines", "entries"].iter().any(|name| {
        joined[*name]
            .as_array()
            .is_some_and(|found| !found.is_empty())
    });
    let damaged = journaled.is_some_and(|journaled| !journaled.damage.is_empty());
    let exit = if damaged {
        printer.bad_news("the journal is damaged: see `g3n journal verify`");
        Exit::Refused
    } else if found {
        Exit::Success
    } else {
        printer.bad_news(&format!("nothing is known of a request {id} here"));
        Exit::NotFound
    };
    Ok(ended(told, exit))
}

fn lines_of(source: &Source, id: &str) -> Result<Vec<Map<String, Value>>, Failure> {
    let mut lines = Vec::new();
    source.each(None, &mut |line| {
        // Most lines are of other requests, and need not be read as JSON.
        if lines.len() < LINES_MAX
            && line.contains(id)
            && let Ok(Value::Object(fields)) = serde_json::from_str(line)
            && fields.get("request_id").and_then(Value::as_str) == Some(id)
        {
            lines.push(fields);
        }
        Ok(())
    })?;
    Ok(lines)
}

fn from_server(profile: &Profile, id: &str, entries: u64) -> Result<Journaled, Failure> {
    let client = profile.operators();
    let (mut found, mut until, mut last, mut shown_to) = (Vec::new(), None, None, None);
    let mut damage = Vec::new();
    loop {
        let body = json!({"request_id": id, "until": until});
        let reply = granted(client.invoke("ops_trace", &body)?)?;
        let data = reply.data();
        let number = |name: &str| data[name].as_u64();
        let first = number("from").unwrap_or(1);
        let end = *last.get_or_insert(number("until").unwrap_or_default());
        // What is shown is never taken back, so the first answer's is good for all.
        shown_to = shown_to.or_else(|| number("shown_to"));
        found.extend(data["items"].as_array().cloned().unwrap_or_default());
        damage.extend(data["damage"].as_array().cloned().unwrap_or_default());
        until = number("next_until").filter(|_| end.saturating_sub(first) + 1 < entries);
        if until.is_none() {
            found.reverse();
            return Ok(Journaled {
                place: "at the operators' address",
                entries: found,
                looked_at: (first, end),
                shown_to,
                damage,
            });
        }
    }
}

fn from_disk(data_dir: &Path, id: &str, entries: u64) -> Result<Journaled, JournalError> {
    let dir = data_dir.join("journal");
    let state = state::read(&dir)?;
    let head = replay::head(&dir)?.position;
    // The projections are not asked: to open a database is to write to it. A journal that was closed in order had shown all.
    let closed = state.filter(|state| state.clean);
    let shown_to = closed.and_then(|state| state.head.map(|head| head.position));
    let first = head.saturating_sub(entries - 1).max(1);
    let (mut found, mut damage) = (Vec::new(), Vec::new());
    for entry in replay(&dir)?.from(first).judged() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error @ JournalError::Damaged { .. }) => {
                damage.push(json!(error.to_string()));
                break;
            }
            Err(error) => return Err(error),
        };
        if entry.header.position > head {
            continue;
        }
        let Some(body) = entry.body.as_ref() else {
            continue;
        };
        if body.origin.request_id == id {
            let position = entry.header.position;
            found.push(json!({
                "position": position,
                "recorded_at": entry.header.recorded_at.to_string(),
                "stream": body.stream,
                "version": body.version,
                "events": body.events.iter().map(kind).collect::<Vec<_>>(),
                "by": body.origin.by,
                "source": body.origin.source,
                "shown": shown_to.map(|shown_to| position <= shown_to),
            }));
        }
    }
    Ok(Journaled {
        place: "in the data directory",
        entries: found,
        looked_at: (first, head),
        shown_to,
        damage,
    })
}

fn kind(event: &Event) -> Value {
    let event = serde_json::to_value(event).unwrap_or_default();
    event["type"].clone()
}

fn journal_failure(error: JournalError) -> Failure {
    Failure::Content {
        tag: "journal",
        message: format!("the journal cannot be read: {}", describe(&error)),
    }
}

/// Joins all of it in one document.
fn join(
    id: &str,
    lines: Vec<Map<String, Value>>,
    journaled: Option<&Journaled>,
    why_not: Option<&str>,
) -> Value {
    let of = |event: &str| -> Vec<&Map<String, Value>> {
        let is = |line: &&Map<String, Value>| line.get("event").is_some_and(|it| it == event);
        lines.iter().filter(is).collect()
    };
    let entries = journaled.map(|journaled| journaled.entries.as_slice());
    let entries = entries.unwrap_or_default();
    let decision = match of("decision").last() {
        Some(line) => {
            json!({"outcome": line["outcome"], "tag": line.get("tag"), "known_from": "log"})
        }
        None if !entries.is_empty() => json!({"outcome": "accepted", "known_from": "journal"}),
        None => Value::Null,
    };
    let shown = match entries.iter().any(|entry| entry["shown"] != json!(true)) {
        _ if entries.is_empty() => Value::Null,
        true if journaled.is_some_and(|journaled| journaled.shown_to.is_none()) => Value::Null,
        missing => json!(!missing),
    };
    json!({
        "request_id": id,
        "outcomes": of("request"),
        "decision": decision,
        "entries": entries,
        "projections": {"shown": shown, "shown_to": journaled.and_then(|journaled| journaled.shown_to)},
        "lines": lines,
        "damage": journaled.map_or(&[][..], |journaled| journaled.damage.as_slice()),
        "journal": match journaled {
            Some(journaled) => json!({
                "asked": journaled.place, "from": journaled.looked_at.0, "until": journaled.looked_at.1,
            }),
            None => json!({"asked": null, "why_not": why_not}),
        },
    })
}

/// The same for people: what happened, in its order, and what of it is known from where.
fn story(joined: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => clean(text),
        Value::Null => "not known".to_owned(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            clean(&other.to_string())
        }
    };
    let events = |value: &Value| {
        let kinds = value.as_array().map_or(&[][..], Vec::as_slice);
        kinds.iter().map(text).collect::<Vec<_>>().join(", ")
    };
    let list = |name: &str| joined[name].as_array().cloned().unwrap_or_default();
    let mut told = vec![format!("request      {}", text(&joined["request_id"]))];
    for outcome in list("outcomes") {
        told.push(format!(
            "outcome      {} {}: {} {} in {} microseconds",
            text(&outcome["method"]),
            text(&outcome["route"]),
            text(&outcome["status"]),
            text(&outcome["tag"]),
            text(&outcome["latency_us"]),
        ));
    }
    told.push(match &joined["decision"] {
        Value::Null => "decision     not known, or none was needed".to_owned(),
        decision => {
            let tag = decision["tag"]
                .as_str()
                .map(|tag| format!(" ({})", clean(tag)));
            format!(
                "decision     {}{}, as the {} has it",
                text(&decision["outcome"]),
                tag.unwrap_or_default(),
                text(&decision["known_from"])
            )
        }
    });
    for entry in list("entries") {
        told.push(format!(
            "journal      {} at {}: {} on {} v{}, by {}",
            text(&entry["position"]),
            text(&entry["recorded_at"]),
            events(&entry["events"]),
            text(&entry["stream"]),
            text(&entry["version"]),
            text(&entry["by"]),
        ));
    }
    let journal = &joined["journal"];
    told.push(match &journal["asked"] {
        Value::Null => format!("journal      not read: {}", text(&journal["why_not"])),
        place => format!(
            "journal      positions {} to {} searched {}",
            text(&journal["from"]),
            text(&journal["until"]),
            text(place)
        ),
    });
    for what in list("damage") {
        told.push(format!("damage       {}", text(&what)));
    }
    let projections = &joined["projections"];
    told.push(shown(projections));
    for line in list("lines") {
        if let Value::Object(fields) = line {
            told.push(format!("log          {}", columns(&fields)));
        }
    }
    told.join("\n")
}

/// What reads show of it.
fn shown(projections: &Value) -> String {
    let of_it = match projections["shown"].as_bool() {
        Some(true) => "reads show it; ",
        Some(false) => "reads do not show all of it yet; ",
        None => "",
    };
    match projections["shown_to"].as_u64() {
        Some(position) => format!("projections  {of_it}they show all entries up to {position}"),
        None => "projections  not known: only a running server can say what reads show".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Map<String, Value> {
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => fields,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_is_joined_from_its_decision_to_its_outcome() {
        let lines = vec![
            line(r#"{"event":"decision","request_id":"r","outcome":"accepted","position":7}"#),
            line(
                r#"{"event":"request","request_id":"r","method":"POST","route":"/mrs/record","status":200,"tag":"ok","latency_us":5}"#,
            ),
        ];
        let mut journaled = Journaled {
            place: "in the data directory",
            entries: vec![json!({"position": 7, "events": ["record.created"], "shown": true})],
            looked_at: (1, 9),
            shown_to: Some(9),
            damage: Vec::new(),
        };
        let joined = join("r", lines.clone(), Some(&journaled), None);
        assert_eq!(joined["outcomes"][0]["status"], 200);
        assert_eq!(joined["decision"]["outcome"], "accepted");
        assert_eq!(joined["projections"], json!({"shown": true, "shown_to": 9}));
        let told = story(&joined);
        for part in [
            "POST /mrs/record: 200 ok",
            "accepted, as the log",
            "record.created",
            "1 to 9",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        journaled.entries[0]["shown"] = json!(false);
        let joined = join("r", Vec::new(), Some(&journaled), None);
        assert_eq!(joined["decision"]["known_from"], "journal");
        assert_eq!(joined["projections"]["shown"], false);
        let joined = join("r", lines, None, Some("nobody answers"));
        assert_eq!(joined["projections"]["shown"], Value::Null);
        assert!(story(&joined).contains("not read: nobody answers"));
    }
}
