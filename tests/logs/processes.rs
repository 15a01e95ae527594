//! The log of a whole process: panics and libraries in it, and a server whose output nobody reads.

use std::process::{Command, Stdio};

use metarecord::clock::Clock;
use metarecord::report::{self, Log, LogOptions, files};
use serde_json::{Value, json};

use super::{linted, text};
use crate::identity::canaries::check;
use crate::support::{ANY_DISK, Server, agent, by_itself, eventually, got};

const CANARY: &str = "canary-61c0d9e7f2";
/// Set in the process that tells.
const CHILD: &str = "METARECORD_TEST_LOG";
/// This test, as the test program knows it.
const NAME: &str = "logs::processes::panics_and_library_warnings_are_logged_by_location_alone";

fn misbehave() {
    let options = LogOptions {
        dir: None,
        keep_days: 7,
        reads: true,
        refusals_per_second: 0,
        day_bytes_max: u64::MAX,
    };
    // Not standard output, on which the test program says how it goes.
    let log =
        Log::start(&options, Clock::system(), Box::new(std::io::stderr())).expect("it starts");
    report::install(Some(log.clone()));
    report::install_panic_hook();
    report::install_log_bridge();
    assert!(std::thread::spawn(|| panic!("{CANARY}")).join().is_err());
    log::warn!(target: "a::library", "{CANARY} is not liked");
    log::error!("{CANARY}");
    log::info!("{CANARY}");
    tracing::warn!(target: "another::library", field = CANARY, "{CANARY}");
    report::install(None);
    log.close();
}

#[test]
fn panics_and_library_warnings_are_logged_by_location_alone() {
    if std::env::var_os(CHILD).is_some() {
        return misbehave();
    }
    let output = by_itself(NAME, CHILD);
    check("the log", &output.stderr, &[CANARY]);
    let lines = linted(&String::from_utf8_lossy(&output.stderr));
    let told: Vec<_> = lines
        .iter()
        .map(|line| (text(line, "event"), text(line, "level")))
        .collect();
    assert_eq!(
        told,
        [
            ("panic", "error"),
            ("library", "warn"),
            ("library", "error"),
            ("library", "warn")
        ]
    );
    assert_eq!(text(&lines[1], "target"), "a::library");
    assert_eq!(text(&lines[3], "target"), "another::library");
    assert!(text(&lines[1], "file").ends_with("processes.rs") && lines[1]["line"].is_u64());
}

#[test]
fn a_server_whose_output_nobody_reads_answers_everybody() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let data = scratch.path().join("data");
    // Nobody reads it, and it is not closed.
    let (_reader, writer) = std::io::pipe().expect("a pipe");
    let mut child = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args([
            "serve",
            "--dev",
            "--listen",
            "127.0.0.1:0",
            "--operator-listen",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(&data)
        .envs(ANY_DISK.iter().copied())
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut facts = Value::Null;
    eventually("it is ready", || {
        let text = std::fs::read(data.join("dev.json")).unwrap_or_default();
        facts = serde_json::from_slice(&text).unwrap_or_default();
        facts.is_object()
    });
    let (agent, url) = (
        agent(),
        format!("{}/health", facts["base_url"].as_str().expect("a url")),
    );
    // Their lines are far more than a pipe takes.
    for _ in 0..1_000 {
        assert_eq!(got(agent.get(&url).call()).status, 200);
    }
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
    assert!(sent.expect("kill runs").success());
    assert!(
        child.wait().expect("it ends").success(),
        "it ends in order too"
    );
}

#[test]
fn reads_that_went_well_have_no_line_when_that_is_asked_for() {
    let mut server = Server::start_with(&["--set", "log.requests=changes-and-failures"]);
    let put = server.put_inline("notes", "n-1", &json!({"a": 1}), &[]);
    assert!(put.is_object());
    assert_eq!(server.get("/health", &[]).status, 200);
    assert_eq!(server.get("/nowhere", &[]).status, 404);
    server.end("TERM");
    let lines = linted(&server.told());
    let requests: Vec<_> = lines
        .iter()
        .filter(|line| text(line, "event") == "request")
        .map(|line| (text(line, "route"), line["status"].as_u64()))
        .collect();
    assert_eq!(
        requests,
        [("/mrs/record", Some(200)), ("unknown", Some(404))]
    );
    let events: Vec<_> = lines.iter().map(|line| text(line, "event")).collect();
    assert!(
        events.contains(&"decision") && events.contains(&"ready"),
        "{events:?}"
    );
    assert_eq!(events.last(), Some(&"stopped"));
}

#[test]
fn vacuum_all_removes_log_files_and_a_dry_run_counts_them() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let logs = scratch.path().join("logs");
    let arguments = [
        "--log-dir",
        logs.to_str().expect("a path"),
        "--set",
        "ops.vacuum_pending_seconds=1",
    ];
    let server = Server::start_in(&scratch.path().join("data"), &arguments);
    let begun = || !files::list(&logs).expect("listed").is_empty();
    eventually("today has a file", begun);
    // Not one that is removed for its age.
    let other = logs.join("g3n-2999-01-01.jsonl");
    std::fs::write(&other, "{\"of\":\"another day\"}\n").expect("written");
    let vacuum = |dry_run: bool| {
        let body = json!({"reason": "r", "confirmation_phrase": "VACUUM ALL DATA PERMANENTLY",
            "secret_code": server.secret_code, "dry_run": dry_run});
        let id = server.invoke("ops_vacuum_all", &body).data()["vacuum_id"].clone();
        let mut done = Value::Null;
        eventually("it is over", || {
            let asked = server.invoke("ops_vacuum_status", &json!({"vacuum_id": id}));
            done = asked.data();
            done["status"] == "completed"
        });
        let mut services = done["services"].as_array().expect("services").iter();
        let of_logs = services.find(|service| service["service"] == "logs");
        of_logs.expect("it is counted")["objects"].as_u64()
    };
    assert!(vacuum(true) >= Some(2) && other.exists());
    assert!(vacuum(false) >= Some(2) && !other.exists());
}

#[test]
fn an_unusable_log_directory_stops_the_start() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let file = scratch.path().join("file");
    std::fs::write(&file, "").expect("written");
    let ran = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args([
            "serve",
            "--dev",
            "--listen",
            "127.0.0.1:0",
            "--operator-listen",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(scratch.path().join("data"))
        .arg("--log-dir")
        .arg(&file)
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(78), "{told}");
    assert!(
        told.contains("--log-dir") && ran.stdout.is_empty(),
        "{told}"
    );
    assert!(
        !scratch.path().join("data").exists(),
        "nothing is left behind"
    );
}
