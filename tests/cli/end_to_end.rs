//! The records' verbs against a real server, as a shell runs them.

use std::path::Path;

use serde_json::{Value, json};

use super::run::{Ran, g3n};
use crate::support::Server;

/// A server, and a directory with files to put.
struct AppState {
    server: Server,
    files: tempfile::TempDir,
}

impl AppState {
    fn open() -> Self {
        Self {
            server: Server::start(),
            files: tempfile::tempdir().expect("a directory"),
        }
    }

    fn dir(&self) -> &Path {
        self.files.path()
    }

    fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.dir().join(name), content).expect("written");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir().join(name)).expect("is there")
    }

    /// Runs a line in which $SESSION and $ORG stand for the development session and org.
    fn run_with(&self, line: &str, input: &[u8]) -> Ran {
        let line = line
            .replace("$SESSION", &self.server.session_guid)
            .replace("$ORG", &self.server.orgcode);
        let config = self.server.config_file.to_str().expect("plain");
        let environment = [("G3N_CONFIG", config), ("G3N_PROFILE", "dev")];
        g3n(&line, self.dir(), &environment, input)
    }

    fn run(&self, line: &str) -> Ran {
        self.run_with(line, b"")
    }
}

/// Bytes that gzip cannot make much smaller, always the same.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(step).take(count).collect()
}

#[test]
fn documented_lines_store_and_list_records() {
    let app = AppState::open();
    let note = br#"{"b": 1.00, "a":12345678901234567890123,"t":"\u0041"}"#;
    let big = noise(3 << 20);
    app.write("note.json", note);
    app.write("payload.json", b"[1]\n");
    app.write("big.bin", &big);
    app.write("blob.bin", b"\0\x01");
    let put = app.run("mrs put --profile g3nretailstack --session-guid $SESSION --orgcode $ORG --container demo --record-id note-1 --inline-payload-file note.json --content-type application/json").data();
    assert_eq!(
        (&put["status"], &put["content_kind"]),
        (&json!("active"), &json!("inline"))
    );
    let put = app.run("mrs put --profile g3nretailstack --session-guid $SESSION --orgcode $ORG --container demo --record-id blob-1 --file big.bin --content-type application/octet-stream").data();
    assert_eq!(
        (&put["status"], &put["content_kind"]),
        (&json!("active"), &json!("object"))
    );
    app.run("mrs put --inline-payload-file payload.json --content-type application/json --container demo --orgcode $ORG").data();
    app.run("mrs put --file blob.bin --content-type application/octet-stream --container demo --orgcode $ORG").data();
    let list = app.run("mrs list --profile g3nretailstack --session-guid $SESSION --orgcode $ORG --container demo --status all --limit 5").data();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(4));

    let got = app.run("mrs get --container demo --record-id note-1");
    assert_eq!((got.code, got.stdout.as_slice()), (0, note.as_slice()));
    let got = app.run("mrs get --container demo --record-id blob-1");
    assert!(got.code == 0 && got.stdout == big);
    let got = app.run("mrs get --container demo --record-id blob-1 --out back.bin");
    assert_eq!(got.data()["record_id"], "blob-1");
    assert!(app.read("back.bin") == big);
    let got = app.run("mrs get --container demo --record-id note-1 --out note.back");
    assert_eq!(got.data()["content_kind"], "inline");
    assert_eq!(app.read("note.back"), note);
    let parts = std::fs::read_dir(app.dir()).expect("readable").flatten();
    let left = parts.filter(|entry| entry.path().extension().is_some_and(|end| end == "part"));
    assert_eq!(left.count(), 0);
}

#[test]
fn put_chooses_inline_or_upload_and_keeps_every_byte() {
    let app = AppState::open();
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(300 * 1024)).into_bytes();
    let json = "application/json";
    for (name, content_type, content, kind) in [
        ("small", json, br#"{"a": 1.0}"#.to_vec(), "inline"),
        ("lined", json, b"{\"a\":1}\n".to_vec(), "object"),
        ("large", json, large, "object"),
        ("text", "text/plain", b"no json".to_vec(), "object"),
        ("empty", "text/plain", Vec::new(), "object"),
    ] {
        let place = format!("--container demo --record-id {name}");
        app.write(name, &content);
        let put = app.run(&format!(
            "mrs put {place} --file {name} --content-type {content_type}"
        ));
        assert_eq!(put.data()["content_kind"], kind, "{name}");
        let got = app.run(&format!("mrs get {place}"));
        assert!(
            got.code == 0 && got.stdout == content,
            "{name}: {}",
            got.stderr
        );

        let place = format!("--container demo --record-id {name}-stdin");
        let line = format!("mrs put {place} --file - --content-type {content_type}");
        assert_eq!(
            app.run_with(&line, &content).data()["content_kind"],
            kind,
            "{name}"
        );
        let got = app.run(&format!("mrs get {place} --out -"));
        assert!(got.stdout == content, "{name}");
    }
}

#[test]
fn changes_read_the_revision_first_and_stale_ones_conflict() {
    let app = AppState::open();
    let place = "--container demo --record-id a";
    let put = |content: &[u8], more: &str| {
        let line = format!("mrs put {place} --inline-payload-file - {more}");
        app.run_with(&line, content)
    };
    assert_eq!(put(b"1", "--tag red").data()["tags"], json!(["RED"]));
    assert_eq!(put(b"2", "").data()["revision"], 2);
    let line = format!("mrs tag-add {place} --tag big --tag old --actor me");
    let tagged = app.run(&line).json();
    assert_eq!(tagged["data"]["tags"], json!(["BIG", "OLD", "RED"]));
    assert_eq!(tagged["stats"]["actor"], "me");
    let removed = app.run(&format!("mrs tag-remove {place} --tag old")).data();
    assert_eq!(removed["tags"], json!(["BIG", "RED"]));
    let due = app
        .run(&format!(
            "mrs ttl-set {place} --doom-at 2999-01-31T12:00:00Z"
        ))
        .data();
    assert_eq!(due["doom_at"], "2999-01-31T12:00:00.000Z");
    let cleared = app.run(&format!("mrs ttl-set {place} --clear")).data();
    assert!(cleared["doom_at"].is_null());

    for verb in ["tag-add --tag x", "ttl-set --clear", "doom"] {
        let ran = app.run(&format!("mrs {verb} {place} --expected-revision 1"));
        assert_eq!(ran.refusal(), (6, "conflict".to_owned()), "{verb}");
    }
    let stale = put(b"3", "--expected-revision 1");
    assert_eq!(stale.refusal(), (6, "conflict".to_owned()));

    let doomed = app.run(&format!("mrs doom {place} --reason done")).data();
    assert_eq!(
        (&doomed["status"], &doomed["doom_reason"]),
        (&json!("doomed"), &json!("done"))
    );
    let again = app.run(&format!("mrs doom {place}"));
    assert_eq!(again.refusal(), (6, "doomed".to_owned()));
    assert_eq!(
        app.run(&format!("mrs get {place}")).refusal(),
        (5, "not-found".to_owned())
    );
    let told = app.run(&format!("mrs get {place} --include-doomed"));
    assert_eq!(told.refusal(), (6, "doomed".to_owned()));
    assert_eq!(app.run(&format!("mrs head {place}")).code, 5);
    assert_eq!(app.run(&format!("mrs meta {place}")).code, 5);
    let meta = app
        .run(&format!("mrs meta {place} --include-doomed"))
        .data();
    assert_eq!(meta["status"], "doomed");
}

#[test]
fn an_upload_over_a_record_needs_no_revision_from_the_caller() {
    let app = AppState::open();
    let place = "--container demo --record-id b --content-type text/plain";
    for text in ["one", "two"] {
        let line = format!("mrs put {place} --file -");
        let put = app.run_with(&line, text.as_bytes()).data();
        assert_eq!(put["status"], "active");
        let got = app.run("mrs get --container demo --record-id b");
        assert_eq!(got.text(), text);
    }
}

#[test]
fn lists_are_filtered_and_go_on_page_by_page() {
    let app = AppState::open();
    for name in ["a-1", "a-2", "b-1"] {
        let line = format!(
            "mrs put --container demo --record-id {name} --inline-payload-file - --tag {}",
            &name[..1]
        );
        app.run_with(&line, b"{}").data();
    }
    let ids = |data: &Value| -> Vec<String> {
        let items = data["items"].as_array().expect("a list");
        let ids = items.iter().filter_map(|item| item["record_id"].as_str());
        ids.map(str::to_owned).collect()
    };
    for (filter, found) in [
        ("--container demo", vec!["a-1", "a-2", "b-1"]),
        ("--prefix a-", vec!["a-1", "a-2"]),
        ("--container demo --tag b", vec!["b-1"]),
        ("--status doomed", vec![]),
        ("--include-doomed --prefix b", vec!["b-1"]),
    ] {
        assert_eq!(
            ids(&app.run(&format!("mrs list {filter}")).data()),
            found,
            "{filter}"
        );
    }
    let page = app.run("mrs list --container demo --limit 2").data();
    assert_eq!(ids(&page), ["a-1", "a-2"]);
    let token = page["next_token"].as_str().expect("there is more");
    let page = app
        .run(&format!(
            "mrs list --container demo --limit 2 --next-token {token}"
        ))
        .data();
    assert_eq!(ids(&page), ["b-1"]);
    let refused = app.run("mrs list --limit many");
    assert_eq!(refused.refusal(), (1, "invalid-input".to_owned()));
    let refused = app.run("mrs list --status odd");
    assert_eq!(refused.refusal(), (1, "invalid-status".to_owned()));
}

#[test]
fn a_repeated_put_with_a_key_answers_the_same_record() {
    let app = AppState::open();
    for content_type in ["application/json", "text/plain"] {
        let line = format!(
            "mrs put --container demo --file - --content-type {content_type} --idempotency-key k-{}",
            content_type.len()
        );
        let first = app.run_with(&line, b"[1]").data();
        let second = app.run_with(&line, b"[1]").data();
        assert_eq!(first["record_id"], second["record_id"], "{content_type}");
        let other = app.run_with(&line, b"[2]");
        assert_eq!(
            other.refusal(),
            (6, "idempotency-conflict".to_owned()),
            "{content_type}"
        );
    }
}

#[test]
fn an_idempotency_key_over_a_record_needs_a_revision() {
    let app = AppState::open();
    for (name, content_type) in [("json", "application/json"), ("text", "text/plain")] {
        let put = |content: &[u8], more: &str| {
            let line = format!(
                "mrs put --container demo --record-id {name} --file - --content-type {content_type} {more}"
            );
            app.run_with(&line, content)
        };
        let first = put(b"1", "--idempotency-key a").data();
        assert_eq!(
            put(b"1", "--idempotency-key a").data()["revision"],
            first["revision"],
            "{name}"
        );
        let refused = put(b"2", "--idempotency-key b");
        assert_eq!(
            refused.refusal(),
            (6, "expected-revision-required".to_owned()),
            "{name}"
        );
        assert!(refused.stderr.starts_with("hint: "), "{refused:?}");

        let more = "--idempotency-key c --expected-revision";
        let meta = app.run(&format!("mrs meta --container demo --record-id {name}"));
        let more = format!("{more} {}", meta.data()["revision"]);
        let revision = put(b"2", &more).data()["revision"].clone();
        put(b"2", &more).data();
        let meta = app.run(&format!("mrs meta --container demo --record-id {name}"));
        assert_eq!(meta.data()["revision"], revision, "{name}");
        let got = app.run(&format!("mrs get --container demo --record-id {name}"));
        assert_eq!(got.text(), "2", "{name}");
    }
}

#[test]
fn tables_are_for_people_and_errors_go_to_standard_error() {
    let app = AppState::open();
    let place = "--container demo --record-id a";
    let put = app.run_with(
        &format!("mrs put {place} --inline-payload-file - --output table"),
        b"{}",
    );
    assert!(put.code == 0 && put.text().contains("revision"), "{put:?}");
    let list = app.run("mrs list --output table");
    assert!(
        list.text().contains("record_id") && list.text().contains("demo"),
        "{list:?}"
    );
    let missing = app.run("mrs meta --container demo --record-id nobody --output table");
    assert_eq!((missing.code, missing.text().as_str()), (5, ""));
    assert!(
        missing.stderr.contains("not-found") && missing.stderr.contains("request "),
        "{missing:?}"
    );
}

#[test]
fn credentials_decide_and_health_needs_none() {
    let app = AppState::open();
    let refused = app.run("mrs stat --session-guid nobody");
    assert_eq!(refused.refusal(), (4, "invalid-session".to_owned()));
    assert_eq!(app.run("mrs stat").data()["status"], "ok");
    let stranger = app.run("mrs list --orgcode NOBODY");
    assert_eq!(stranger.refusal(), (5, "not-found".to_owned()));
    let base = [("G3N_BASE_URL", app.server.base_url.as_str())];
    let health = g3n("health", app.dir(), &base, b"");
    assert_eq!(health.data()["ok"], true);
    let ready = g3n("health --ready", app.dir(), &base, b"");
    assert_eq!(ready.data()["ready"], true);
    let org = [base[0], ("G3N_ORGCODE", app.server.orgcode.as_str())];
    let without = g3n("mrs list", app.dir(), &org, b"");
    assert_eq!(without.refusal(), (4, "invalid-session".to_owned()));
    let with = [
        org[0],
        org[1],
        ("G3N_SESSION_GUID", app.server.session_guid.as_str()),
    ];
    assert_eq!(g3n("mrs list", app.dir(), &with, b"").code, 0);
}
