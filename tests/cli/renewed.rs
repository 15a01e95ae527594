//! A put that was broken off during its upload and comes again after its url has ended.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};
use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use serde_json::{Value, json};

use super::ops::AppState;
use crate::support::eventually;

/// As the command line packs it.
fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).expect("in memory");
    encoder.finish().expect("in memory")
}

/// What a put with a key left that was killed before its first byte was up, long ago.
fn broken_off(app: &AppState, content: &[u8], more: Value) {
    let packed = gzip(content);
    let mut body = json!({"orgcode": "DEMO", "container": "demo", "content_type": "text/plain", "mode": "presign",
        "content_encoding": "gzip", "size": packed.len(), "content_md5": hex::encode(Md5::digest(&packed))});
    for (name, value) in more.as_object().expect("members") {
        body[name] = value.clone();
    }
    let promised = app.server.post("/mrs/record", &body).data();
    let ends = promised["upload"]["expires_at"]
        .as_str()
        .and_then(Timestamp::parse);
    let ends = ends.expect("it has an end");
    eventually("the url ends", || Clock::system().now() > ends);
}

#[test]
fn a_put_whose_url_has_ended_comes_to_its_end() {
    let app = AppState::open(&["mrs.upload_url_seconds=1"]);
    let content = b"big ".repeat(1_000);
    app.put("DEMO", "demo", "over");
    for (flags, more) in [
        ("--record-id named", json!({"record_id": "named"})),
        ("--tag t", json!({"tags": ["t"]})),
        (
            "--record-id over --expected-revision 1",
            json!({"record_id": "over", "expected_revision": 1}),
        ),
    ] {
        let mut more = more;
        let key = flags.trim_start_matches('-');
        more["idempotency_key"] = json!(key);
        broken_off(&app, &content, more);
        let line = format!(
            "g3n mrs put --container demo --content-type text/plain --idempotency-key '{key}' {flags} --file -"
        );
        let first = app.run_with(&line, &[], &content).data();
        assert_eq!(first["status"], "active", "{line}");
        let id = first["record_id"].as_str().expect("an id");
        let got = app.run(
            &format!("g3n mrs get --container demo --record-id {id}"),
            &[],
        );
        assert!(got.stdout == content, "{line}: {got:?}");
        let again = app.run_with(&line, &[], &content).data();
        assert_eq!(
            (&again["record_id"], &again["revision"]),
            (&first["record_id"], &first["revision"])
        );
    }
    let list = app.run("g3n mrs list --status all --limit 50", &[]).data();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(3), "{list}");
}

#[test]
fn a_put_whose_record_was_abandoned_says_so_or_makes_another() {
    let app = AppState::open(&["mrs.upload_url_seconds=1", "mrs.complete_grace_seconds=0"]);
    let content = b"big ".repeat(1_000);
    for (flags, key, more) in [
        ("--record-id named", "k-1", json!({"record_id": "named"})),
        ("", "k-2", json!({})),
    ] {
        let mut more = more;
        more["idempotency_key"] = json!(key);
        broken_off(&app, &content, more);
        eventually("it is doomed as abandoned", || {
            app.run("g3n jobs run abandoned-uploads", &[]);
            let pending = app.run("g3n mrs list --status pending_upload", &[]).data();
            pending["items"].as_array().is_some_and(Vec::is_empty)
        });
        let line = format!(
            "g3n mrs put --container demo --content-type text/plain --idempotency-key {key} {flags} --file -"
        );
        let ran = app.run_with(&line, &[], &content);
        if flags.is_empty() {
            assert_eq!(ran.data()["status"], "active", "{line}");
        } else {
            assert_eq!(ran.code, 6, "{ran:?}");
            assert!(ran.stderr.contains("another --record-id"), "{ran:?}");
        }
    }
}
