//! `g3n trace`: a request from its decision through the journal and the projections to its outcome.

use serde_json::{Value, json};

use super::{linted, text};
use crate::cli::run::{Ran, g3n};
use crate::support::{Server, agent, got};

/// A server with a log, and where its files are.
struct AppState {
    server: Server,
    /// Behind the server: it goes away last.
    scratch: tempfile::TempDir,
}

impl AppState {
    fn start() -> Self {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let logs = scratch.path().join("logs");
        let logs = logs.to_str().expect("a path");
        let server = Server::start_in(&scratch.path().join("data"), &["--log-dir", logs]);
        Self { server, scratch }
    }

    /// Puts a record under a request id; the status of the answer.
    fn put(&self, id: &str, body: &Value) -> u16 {
        let request = agent().post(format!("{}/mrs/record", self.server.base_url));
        let request = request
            .header("x-session-guid", &self.server.session_guid)
            .header("x-request-id", id);
        got(request
            .content_type("application/json")
            .send(body.to_string()))
        .status
    }

    fn trace(&self, line: &str) -> Ran {
        let config = self.server.config_file.to_str().expect("a path");
        let environment = [("G3N_CONFIG", config), ("G3N_PROFILE", "dev")];
        g3n(
            &format!("trace {line}"),
            self.scratch.path(),
            &environment,
            b"",
        )
    }
}

fn record(id: &str) -> Value {
    json!({"orgcode": "demo", "container": "notes", "record_id": id,
        "content_type": "application/json", "payload": {"a": 1}})
}

#[test]
fn trace_joins_a_change_with_and_without_a_server() {
    let mut app = AppState::start();
    assert_eq!(app.put("made-1", &record("n-1")), 200);
    for number in 0..50 {
        app.server
            .put_inline("notes", &format!("other-{number}"), &json!({}), &[]);
    }
    // Without the log, and by the log when its lines have come.
    let alone = app.trace("made-1").json();
    assert_eq!(
        (&alone["outcomes"], &alone["decision"]["known_from"]),
        (&json!([]), &json!("journal"))
    );
    let mut joined = Value::Null;
    crate::support::eventually("the files have its lines", || {
        let ran = app.trace("made-1 --log-dir logs");
        joined = ran.json();
        ran.code == 0
            && joined["lines"]
                .as_array()
                .is_some_and(|lines| lines.len() == 2)
    });
    let check = |joined: &Value, shown: &Value| {
        let outcome = &joined["outcomes"][0];
        assert_eq!(
            (&outcome["status"], &outcome["route"]),
            (&json!(200), &json!("/mrs/record")),
            "{joined}"
        );
        assert_eq!(outcome["orgcode"], "DEMO");
        assert_eq!(
            joined["decision"],
            json!({"outcome": "accepted", "tag": null, "known_from": "log"})
        );
        let entry = &joined["entries"][0];
        assert_eq!(entry["events"], json!(["record.created"]));
        assert_eq!(
            (&entry["stream"], &entry["shown"]),
            (&json!("mrs/DEMO/notes/n-1"), shown)
        );
        let lines = joined["lines"].as_array().expect("lines");
        let decision = lines.iter().find(|line| line["event"] == "decision");
        assert_eq!(decision.expect("a decision")["position"], entry["position"]);
        assert_eq!(joined["projections"]["shown"], *shown);
    };
    check(&joined, &json!(true));
    let beside = app.trace("made-1 --log-dir logs --data-dir data").json();
    check(&beside, &Value::Null);
    assert_eq!(
        app.trace("made-1 --data-dir data --entries 5").code,
        5,
        "it lies further back"
    );
    app.server.end("TERM");
    check(
        &app.trace("made-1 --log-dir logs --data-dir data").json(),
        &json!(true),
    );
    let table = app.trace("made-1 --log-dir logs --data-dir data --output table");
    for part in [
        "outcome      POST /mrs/record: 200 ok",
        "accepted, as the log has it",
        "record.created",
        "projections  reads show it",
    ] {
        assert!(table.text().contains(part), "{part}: {table:?}");
    }
    // Nobody answers any more, and the log alone says what it knows.
    let log_alone = app.trace("made-1 --log-dir logs");
    assert_eq!(
        (log_alone.code, log_alone.json()["journal"]["asked"].clone()),
        (0, Value::Null)
    );
    assert_eq!(app.trace("made-1").code, 3);
}

#[test]
fn trace_shows_why_a_request_was_refused_or_is_unknown() {
    let app = AppState::start();
    assert_eq!(app.put("made-1", &record("n-1")), 200);
    let mut wrong = record("n-1");
    wrong["expected_revision"] = json!(7);
    assert_eq!(app.put("lost-1", &wrong), 409);
    let mut joined = Value::Null;
    crate::support::eventually("the files have its lines", || {
        joined = app.trace("lost-1 --log-dir logs").json();
        joined["outcomes"][0].is_object()
    });
    assert_eq!(
        joined["decision"],
        json!({"outcome": "rejected", "tag": "conflict", "known_from": "log"})
    );
    assert_eq!(
        (&joined["entries"], &joined["outcomes"][0]["tag"]),
        (&json!([]), &json!("conflict"))
    );
    assert_eq!(app.trace("never-1 --log-dir logs").code, 5);
    assert_eq!(app.trace("never%201").refusal(), (2, "usage".to_owned()));
}

#[test]
fn trace_function_reads_limited_entries_and_a_cursor_continues() {
    let mut app = AppState::start();
    app.put("made-1", &record("n-1"));
    let ask = |body: Value| app.server.invoke("ops_trace", &body);
    let found = ask(json!({"request_id": "made-1"})).data();
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1));
    let position = found["items"][0]["position"].as_u64().expect("a position");
    let before = ask(json!({"request_id": "made-1", "until": position - 1})).data();
    assert_eq!(
        (&before["items"], &before["until"]),
        (&json!([]), &json!(position - 1))
    );
    for wrong in [
        json!({}),
        json!({"request_id": "a b"}),
        json!({"request_id": "a", "more": 1}),
    ] {
        assert_eq!(ask(wrong.clone()).status, 400, "{wrong}");
    }
    app.server.end("TERM");
    let lines = linted(&app.server.told());
    let calls = lines
        .iter()
        .filter(|line| text(line, "event") == "operator_call");
    assert_eq!(calls.count(), 5);
}
