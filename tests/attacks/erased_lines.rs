//! Whoever reads erased lines names those that nothing ordered, and what a tenant stored is not taken for entries.

use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::erasures::History;
use crate::cli::run::{Ran, g3n};
use crate::support::{Server, eventually, forge};

fn run(dir: &Path, line: &str) -> Ran {
    g3n(line, dir, &[], b"")
}

/// What each verb says of a directory: its exit code, and all it printed.
fn verbs(dir: &Path) -> Vec<(&'static str, i32, String)> {
    [
        "journal tail --lines 1000 --data-dir data",
        "journal show --record DEMO/notes/late --data-dir data",
        "trace no-such-request --data-dir data",
        "doctor --json --dev --data-dir data --listen 127.0.0.1:0 --operator-listen 127.0.0.1:0",
    ]
    .into_iter()
    .map(|line| {
        let ran = run(dir, line);
        let told = format!("{}{}", ran.text(), ran.stderr);
        (line, ran.code, told)
    })
    .collect()
}

#[test]
fn every_verb_that_reads_erased_lines_names_one_that_nothing_ordered() {
    let history = History::of_server(tempfile::tempdir().expect("a directory"));
    let sound = verbs(&history.copy("sound"));
    for (name, position, by) in [
        ("dry-run", history.single, history.dry_run),
        ("other-scope", history.single, history.vacuum),
        ("no-order", history.single, history.vacuum + 1),
    ] {
        let dir = history.copy(name);
        forge::erase(&dir.join("data"), position, by);
        for ((line, code, told), (_, sound, was)) in verbs(&dir).iter().zip(&sound) {
            let named = format!("position {position} is erased by");
            let ordered = format!("at position {by}");
            let ordered = told.contains(&ordered) || told.contains(&format!("by position {by}"));
            assert!(ordered && told.contains(&named), "{name}, {line}: {told}");
            assert!(!was.contains("is erased by"), "{line}: {was}");
            assert_eq!(*code, 1, "{name}, {line}: {told}");
            // Of a sound journal the request is not found, and the doctor minds the modes of the copy.
            assert!(
                [0, 5].contains(sound) || line.starts_with("doctor"),
                "{line}: {was}"
            );
        }
    }
}

#[test]
fn a_server_names_an_erased_line_that_nothing_ordered_in_traces_exports_and_its_daily_check() {
    let scratch = tempfile::tempdir().expect("a directory");
    let history = History::of_server(scratch);
    let dir = history.copy("beside");
    forge::erase_beside_databases(&dir.join("data"), history.single, history.vacuum);
    let logs = dir.join("logs");
    let log_dir = ["--log-dir", logs.to_str().expect("UTF-8")];
    let mut server = Server::start_in(&dir.join("data"), &log_dir);
    let named = format!(
        "position {} is erased by position {}, which does not erase it",
        history.single, history.vacuum
    );
    let traced = server
        .invoke("ops_trace", &json!({"request_id": "no-such-request"}))
        .data();
    assert_eq!(traced["damage"], json!([named]), "{traced}");
    server
        .invoke("jobs_run", &json!({"job": "projection-check"}))
        .data();
    let show = || {
        server
            .invoke("jobs_show", &json!({"job": "projection-check"}))
            .data()
    };
    eventually("the check ran", || show()["runs"] != json!(0));
    assert!(show().to_string().contains("\"damaged\":1"), "{}", show());
    // Of an org whose history may lack something no export is made.
    server
        .invoke("utl_export", &json!({"orgcode": server.orgcode}))
        .data();
    let told = || {
        let files = std::fs::read_dir(&logs).expect("readable");
        let texts = files.map(|file| std::fs::read_to_string(file.expect("one").path()));
        texts.map(Result::unwrap_or_default).collect::<String>()
    };
    let is_of_export = |line: &str| line.contains("export of DEMO cannot continue");
    let names = |line: &&str| line.contains(&named);
    eventually("the export is refused, and why", || {
        told().lines().filter(names).any(is_of_export)
    });
    assert!(
        told().lines().filter(names).any(|line| !is_of_export(line)),
        "the check told it"
    );
    let status = server
        .invoke(
            "utl_offboarding_status",
            &json!({"orgcode": server.orgcode}),
        )
        .data();
    assert_ne!(status["exports"][0]["status"], "completed", "{status}");
    assert_eq!(server.end("TERM"), Some(0));
}

/// A line as the journal writes one, with a digest that is right.
fn imitation(position: u64, prev: &str, stream: &str, events: &Value) -> String {
    let body = json!({"salt": "00".repeat(16), "stream": stream, "version": 1, "events": events,
        "at": 1, "by": "operator", "request_id": "r", "source": "operator"});
    let body = ordered(&body);
    let digest = hex::encode(Sha256::digest(body.as_bytes()));
    format!(
        "{{\"header\":{{\"position\":{position},\"recorded_at\":1,\"body_digest\":\"{digest}\",\"prev\":\"{prev}\"}},\"body\":{body}}}"
    )
}

/// A body's fields in the journal's order.
fn ordered(body: &Value) -> String {
    let names = [
        "salt",
        "stream",
        "version",
        "events",
        "at",
        "by",
        "request_id",
        "source",
    ];
    let fields = names.map(|name| format!("\"{name}\":{}", body[name]));
    format!("{{{}}}", fields.join(","))
}

/// A tenant stores what reads as entries; then a line ahead of it is damaged, and the walk goes on behind that.
#[test]
fn lines_that_a_tenant_stored_are_not_taken_for_entries_behind_damage() {
    let scratch = tempfile::tempdir().expect("a directory");
    let data = scratch.path().join("data");
    let mut server = Server::start_in(&data, &[]);
    server.put_inline("notes", "first", &json!({"n": 1}), &[]);
    let order = json!([{"type": "vacuum.started", "v": 2, "data": {"vacuum_id": "v", "services": [],
        "erases": [{"from": 1, "until": 2, "entries": 2, "positions_sha256": "00"}]}}]);
    let fake = imitation(100_000, &"00".repeat(32), "ops/vacuum", &order);
    // The payload is what was sent, line feeds included: one imitation is all of it, the other stands among others.
    for (record_id, payload) in [
        ("alone", fake.clone()),
        ("among", format!("[1,\n{fake}\n,2]")),
    ] {
        let body = format!(
            "{{\"orgcode\":\"{}\",\"container\":\"notes\",\"record_id\":\"{record_id}\",\"content_type\":\"application/json\",\"payload\":{payload}}}",
            server.orgcode
        );
        let put = server.post_bytes("/mrs/record", body.as_bytes());
        assert_eq!(put.status, 200, "{put:?}");
        server.put_inline(
            "notes",
            &format!("behind-{record_id}"),
            &json!({"n": 1}),
            &[],
        );
    }
    server.end("KILL");
    let head = run(scratch.path(), "journal head --data-dir data").json();
    for record_id in ["alone", "among"] {
        for what in ["\"salt\"", "\"size\":"] {
            let dir = scratch.path().join(format!("{record_id}-{}", what.len()));
            forge::copy(&data, &dir.join("data"));
            let position = spoil(&dir.join("data"), &format!("/notes/{record_id}\""), what);
            let report = run(&dir, "journal verify --data-dir data").json();
            assert_eq!(
                report["head"]["position"], head["position"],
                "{record_id} {what}: {report}"
            );
            let entries = head["position"].as_u64().expect("a position") - 1;
            assert_eq!(
                report["entries"],
                json!(entries),
                "{record_id} {what}: {report}"
            );
            let problems = report["problems"].as_array().expect("problems");
            assert!(
                problems
                    .iter()
                    .all(|problem| problem["position"] == json!(position)),
                "{record_id} {what}: {report}"
            );
        }
    }
}

/// Changes a byte of the line that has a text, the one ahead of what is named. Returns the line's position.
fn spoil(data: &Path, has: &str, what: &str) -> u64 {
    let found = forge::segments(data)
        .into_iter()
        .find_map(|(path, content)| {
            let text = String::from_utf8_lossy(&content).into_owned();
            let at = text.find(has)?;
            let start = text[..at].rfind('\n').map_or(0, |at| at + 1);
            let end = start + text[start..].find('\n')?;
            let wrong = start + text[start..end].rfind(what)? + what.len() - 1;
            let digits = text[start..].split("\"position\":").nth(1)?;
            let position = digits.split(',').next()?.parse().ok()?;
            Some((path, content, wrong, position))
        });
    let (path, mut content, wrong, position) = found.expect("it is there");
    content[wrong] ^= 1;
    std::fs::write(path, content).expect("written");
    position
}
