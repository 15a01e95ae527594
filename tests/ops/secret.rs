//! The secret code: needed, changed only with the old one, locked after wrong tries, and nowhere to be found.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::Server;
use crate::support::inside::{Inside, START_MS};
use metarecord::clock::Clock;
use metarecord::domain::Timestamp;

const MINUTE_MS: i64 = 60_000;

fn schedule(code: &str) -> Value {
    json!({"secret_code": code, "description": "d", "duration": 60, "start": "2030-01-01T00:00:00Z"})
}

fn refusal(got: &crate::support::Got) -> (u16, String) {
    let (status, tag, _) = got.refusal();
    (status, tag)
}

#[test]
fn five_wrong_codes_lock_it_for_the_rest_of_a_quarter_of_an_hour_also_after_a_restart() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut server = Inside::start(scratch.path());
    let right = schedule(&server.secret_code);
    for _ in 0..5 {
        let wrong = server.invoke("ops_maintenance_schedule", schedule("not the right one"));
        assert_eq!(refusal(&wrong), (403, "secret-code-mismatch".to_owned()));
    }
    let locked = server.invoke("ops_maintenance_schedule", right.clone());
    assert_eq!(refusal(&locked), (429, "throttled".to_owned()));
    assert_eq!(locked.header("retry-after"), Some("900"));
    server.stop();
    let clock = Clock::manual(Timestamp::from_millis(START_MS + 14 * MINUTE_MS));
    let server = Inside::start_by(scratch.path(), clock, &[]);
    let locked = server.invoke("ops_maintenance_schedule", right.clone());
    assert_eq!(locked.header("retry-after"), Some("60"));
    // What needs no code goes on.
    assert_eq!(server.invoke("ops_audit", json!({})).status, 200);
    server.clock.advance(MINUTE_MS);
    server.invoke("ops_maintenance_schedule", right).data();
}

#[test]
fn the_code_is_changed_only_with_the_old_one() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    let (old, new) = (server.secret_code.clone(), "a new code of ours");
    for (body, wanted) in [
        (json!({"secret_code": new}), (403, "secret-code-mismatch")),
        (
            json!({"secret_code": new, "old_secret_code": "not the old one"}),
            (403, "secret-code-mismatch"),
        ),
        (
            json!({"secret_code": "short", "old_secret_code": old}),
            (400, "invalid-input"),
        ),
        (
            json!({"secret_code": "x".repeat(129), "old_secret_code": old}),
            (400, "invalid-input"),
        ),
        (
            json!({"secret_code": 123_456_789_012_i64, "old_secret_code": old}),
            (400, "invalid-input"),
        ),
    ] {
        let got = server.invoke("ops_secret_set", body.clone());
        assert_eq!(refusal(&got), (wanted.0, wanted.1.to_owned()), "{body}");
        let text = String::from_utf8_lossy(&got.bytes).into_owned();
        assert!(
            !text.contains("123456789012") && !text.contains(new),
            "{text}"
        );
    }
    let set = server.invoke(
        "ops_secret_set",
        json!({"secret_code": new, "old_secret_code": old}),
    );
    assert_eq!(set.data()["rotated"], true);
    let with_old = server.invoke("ops_maintenance_schedule", schedule(&old));
    assert_eq!(refusal(&with_old), (403, "secret-code-mismatch".to_owned()));
    server
        .invoke("ops_maintenance_schedule", schedule(new))
        .data();
}

#[test]
fn the_code_is_in_no_log_and_no_journal() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (dir, log) = (scratch.path().join("data"), scratch.path().join("log"));
    let mut command = Command::new("bash");
    command
        .args(["-c", "log=$1; shift; \"$@\" > \"$log\" & wait", "bash"])
        .arg(&log);
    let mut server = Server::start_by(command, &dir, &[]);
    let (code, wrong) = (server.secret_code.clone(), "canary-of-a-wrong-code");
    for code in [code.as_str(), wrong] {
        server.invoke("ops_maintenance_schedule", &schedule(code));
        server.invoke(
            "ops_secret_set",
            &json!({"secret_code": wrong, "old_secret_code": code, "nonsense": code}),
        );
        server.invoke(&format!("ops_{code}"), &json!({"secret_code": code}));
    }
    let profile = format!(
        "exec env G3N_SECRET_CODE='{code}' G3N_CONFIG='{}' \"$@\"",
        server.config_file.display()
    );
    let output = Command::new("bash")
        .args([
            "-c",
            &profile,
            "bash",
            env!("CARGO_BIN_EXE_g3n"),
            "--profile",
            "dev",
            "ops",
        ])
        .args([
            "maintenance-schedule",
            "--description",
            "d",
            "--duration",
            "60",
            "--start",
            "2031-01-01T00:00:00Z",
        ])
        .output()
        .expect("g3n runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    server.end_below("TERM");
    for canary in [code.as_str(), wrong] {
        let found = Command::new("grep")
            .args(["-r", "-a", "-l", "-e", canary])
            .arg(scratch.path())
            .output();
        let found = String::from_utf8_lossy(&found.expect("grep runs").stdout).into_owned();
        let found: Vec<_> = found
            .lines()
            .filter(|path| !path.ends_with("keys/development.json"))
            .collect();
        assert!(found.is_empty(), "{canary} is in {found:?}");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(!shown.contains(canary));
    }
    let log = std::fs::read_to_string(&log).expect("the log");
    assert!(
        log.contains("\"function\":\"ops_maintenance_schedule\""),
        "calls are logged: {log}"
    );
}
