//! Disks that fail: nothing false is answered, reads go on, and a restart heals.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::check_stopped;
use crate::support::{Got, Server};

/// A server whose system call fails on the newest segment, from the given call on.
fn failing(dir: &Path, fault: &str) -> Server {
    let log = dir.join("journal/00000000000000000001.jsonl");
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-P"]).arg(log);
    command.args([
        "-e",
        &format!("trace={}", fault.split(':').next().expect("a call")),
        "-e",
        &format!("inject={fault}"),
    ]);
    Server::start_by(command, dir, &[])
}

fn put(server: &Server, id: &str) -> Got {
    let body = json!({"orgcode": "demo", "container": "notes", "record_id": id, "content_type": "application/json", "payload": id});
    server.post("/mrs/record", &body)
}

fn read(server: &Server, id: &str) -> Got {
    server.get(
        "/mrs/record",
        &[
            ("orgcode", "demo"),
            ("container", "notes"),
            ("record_id", id),
        ],
    )
}

fn a_failing_disk(fault: &str) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let mut server = Server::start_in(&dir, &[]);
    put(&server, "before").data();
    server.end("TERM");
    let mut server = failing(&dir, fault);
    let mut done = Vec::new();
    let mut refused = 0;
    for number in 0..12 {
        let id = format!("n-{number}");
        let got = put(&server, &id);
        match got.status {
            200 => done.push(id),
            _ => {
                assert_eq!(
                    (got.refusal().0, got.refusal().1.as_str()),
                    (503, "unavailable"),
                    "{fault}"
                );
                assert!(got.header("retry-after").is_some());
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "{fault} was met");
    assert_eq!(
        put(&server, "later").refusal().0,
        503,
        "it takes nothing until it is reopened"
    );
    assert_eq!(server.get("/ready", &[]).refusal().1, "unavailable");
    assert_eq!(server.get("/health", &[]).status, 200);
    assert_eq!(
        read(&server, "before").data()["content"],
        "before",
        "reads go on"
    );
    server.end_below("TERM");
    let mut server = Server::start_in(&dir, &[]);
    assert_eq!(server.get("/ready", &[]).status, 200);
    for id in &done {
        assert_eq!(
            read(&server, id).data()["content"],
            *id,
            "{fault}: {id} was answered as done"
        );
    }
    put(&server, "after").data();
    server.end("TERM");
    check_stopped(&dir);
}

#[test]
fn a_sync_that_fails_is_never_answered_as_done() {
    a_failing_disk("fdatasync:error=EIO:when=4+");
}

#[test]
fn a_single_failed_sync_is_not_retried_as_if_nothing_had_happened() {
    a_failing_disk("fdatasync:error=EIO:when=3");
}

#[test]
fn a_full_disk_is_never_answered_as_done() {
    a_failing_disk("pwrite64:error=ENOSPC:when=4+");
}

/// What a power cut may leave of an upload that was not answered: any part of its bytes, or its directory alone.
#[test]
fn what_a_cut_leaves_of_an_upload_is_cleared_and_it_can_be_sent_again() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let gz = Command::new("sh")
        .args(["-c", "seq 1 2000 | gzip -c"])
        .output()
        .expect("gzip runs")
        .stdout;
    let md5 = metarecord::domain::Md5::of(&gz).to_string();
    let mut server = Server::start_in(&dir, &["--set", "http.public_url=http://x"]);
    let presign = json!({"orgcode": "demo", "container": "blobs", "record_id": "b", "content_type": "text/plain",
        "size": gz.len(), "content_md5": md5, "idempotency_key": "k"});
    let put = server.post("/mrs/record", &presign).data();
    let path = put["upload"]["url"]
        .as_str()
        .and_then(|url| url.strip_prefix("http://x"))
        .expect("a url")
        .to_owned();
    for part in (0..=gz.len()).step_by(gz.len() / 20) {
        server.end("KILL");
        let left = dir.join("content/tmp").join(format!("left-{part}"));
        std::fs::write(&left, &gz[..part]).expect("left behind");
        std::fs::create_dir_all(dir.join(format!("content/DEMO/{:02x}", part % 256)))
            .expect("left behind");
        server = Server::start_in(&dir, &["--set", "http.public_url=http://x"]);
        assert!(!left.exists(), "what {part} bytes left is cleared");
        let pending = server.get(
            "/mrs/record",
            &[
                ("orgcode", "demo"),
                ("container", "blobs"),
                ("record_id", "b"),
            ],
        );
        assert_eq!(
            pending.refusal().1,
            "invalid-state",
            "nothing counts as content that was not completed"
        );
    }
    assert_eq!(
        server
            .put_url(&format!("{}{path}", server.base_url), &[], &gz)
            .status,
        200
    );
    // Answered, and then the process is gone at once: the object is there.
    server.end("KILL");
    let server = Server::start_in(&dir, &["--set", "http.public_url=http://x"]);
    let complete = json!({"orgcode": "demo", "container": "blobs", "record_id": "b", "content_token": put["content_token"],
        "size": gz.len(), "content_md5": md5});
    assert_eq!(
        server.post("/mrs/record/complete", &complete).data()["status"],
        "active"
    );
}
