//! Content goes after the event that lets it go: a crash in between leaves an orphan, and nothing that cannot be read.

use std::path::PathBuf;
use std::process::Command;

use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use serde_json::json;

use super::check_stopped;
use crate::http::versions::{put_over, upload};
use crate::support::inside::Inside;
use crate::support::{Server, agent};

/// A time long before this test: 2021-01-01T00:00:00Z.
const LONG_AGO_MS: i64 = 1_609_459_200_000;

#[test]
fn a_kill_before_a_removal_leaves_an_unreadable_orphan() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let past = Clock::manual(Timestamp::from_millis(LONG_AGO_MS));
    let mut before = Inside::start_by(&dir, past, &[]);
    upload(&before, "n", "one", None);
    put_over(&before, "notes", "n", &json!("two"), 2);
    before.stop();

    let mut killed = Command::new("strace");
    killed
        .args(["-f", "-o", "/dev/null", "-P"])
        .arg(object(&dir));
    killed.args([
        "-e",
        "trace=unlink,unlinkat",
        "-e",
        "inject=unlink,unlinkat:signal=KILL",
    ]);
    let mut server = Server::start_by(killed, &dir, &[]);
    let body = json!({"orgcode": "demo", "container": "notes"});
    let request = agent().post(format!("{}/invoke/mrs_cleanup", server.operator_url));
    let request = request.header("authorization", format!("Bearer {}", server.operator_token));
    let answer = request
        .content_type("application/json")
        .send(body.to_string());
    assert!(answer.is_err(), "it is killed before it can answer");
    server.wait();
    assert!(
        object(&dir).exists(),
        "the call that was to remove it was not carried out"
    );

    let mut server = Server::start_in(&dir, &[]);
    let query = [
        ("orgcode", "demo"),
        ("container", "notes"),
        ("record_id", "n"),
    ];
    let with_version = [query[0], query[1], query[2], ("version", "1")];
    assert_eq!(
        server.get("/mrs/record", &with_version).refusal().1,
        "not-found"
    );
    let listed = server.get("/mrs/record/versions", &query).data();
    assert_eq!(listed["items"][1]["removed"], true, "{listed}");
    assert_eq!(server.get("/mrs/record", &query).data()["content"], "two");
    let again = server.invoke("mrs_cleanup", &body).data();
    assert_eq!(again["scanned"], 0, "what was let go is not let go again");
    server.end("TERM");
    assert!(object(&dir).exists());
    check_stopped(&dir);
}

/// The only object there is.
fn object(dir: &std::path::Path) -> PathBuf {
    let found = Command::new("find")
        .arg(dir.join("content"))
        .args(["-name", "*.gz"])
        .output();
    let found = String::from_utf8(found.expect("find runs").stdout).expect("text");
    let mut lines = found.lines();
    let only = lines.next().map(PathBuf::from).expect("an object");
    assert_eq!(lines.next(), None);
    only
}
