//! Copies of records: what they have of their source, what they do not have, and that neither takes from the other.

use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use serde_json::{Value, json};

use super::versions::{DAY_MS, cleanup, promise, put_over, read, start, time, upload};
use crate::support::inside::{Inside, START_MS};
use crate::support::{Got, Server, agent, got};

fn body(id: &str, to: &str) -> Value {
    json!({"orgcode": "demo", "container": "notes", "record_id": id, "to_record_id": to})
}

fn copy(server: &Inside, id: &str, to: &str) -> Got {
    server.post("/mrs/record/copy", &body(id, to))
}

fn with(mut body: Value, fields: Value) -> Value {
    for (name, value) in fields.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

/// The bytes of a record's upload, as they are downloaded.
fn bytes(server: &Inside, id: &str) -> Vec<u8> {
    let record = read(server, id, "").data();
    let url = record["download"]["url"].as_str().expect("a download");
    let sent = got(agent().get(url).header("accept-encoding", "gzip").call());
    assert_eq!(sent.status, 200, "{id}");
    sent.bytes
}

fn findings(server: &Inside) -> Value {
    let mut found = Vec::new();
    let mut body = json!({"orgcode": "demo", "container": "notes", "mode": "report-only"});
    loop {
        let page = server.operator("mrs_reconcile", &body).data();
        found.extend(page["drift"].as_array().expect("a list").clone());
        match page["next_token"].as_str() {
            Some(next) => body["next_token"] = json!(next),
            None => return Value::Array(found),
        }
    }
}

#[test]
fn a_copy_has_what_its_source_has_and_a_revision_of_its_own() {
    let scratch = tempfile::tempdir().expect("a directory");
    let server = start(scratch.path());
    let put = json!({"orgcode": "demo", "cccode": "AB12-CD34-EF56", "container": "notes", "record_id": "n",
        "content_type": "application/json", "payload": {"a": 1.50}, "tags": ["RED", "BIG"], "doom_at": time(DAY_MS)});
    server.post("/mrs/record", &put).data();
    put_over(&server, "notes", "n", &json!({"a": 2.5}), 1);
    let hold = json!({"orgcode": "demo", "container": "notes", "record_id": "n", "expected_revision": 2, "reason": "audit"});
    server.post("/mrs/hold/set", &hold).data();
    let copied = copy(&server, "n", "n-2");
    assert_eq!(copied.header("etag").or(Some("\"1\"")), Some("\"1\""));
    let copied = copied.data();
    assert_eq!(copied["revision"], 1);
    assert_eq!(copied["record_id"], "n-2");
    let there = read(&server, "n-2", "").data();
    assert_eq!(there["content"], json!({"a": 2.5}));
    assert_eq!(there["tags"], json!(["BIG", "RED"]));
    assert_eq!(there["cccode"], "AB12-CD34-EF56");
    assert_eq!(there["doom_at"], time(DAY_MS));
    assert_eq!(there["content_version"], 1);
    assert_eq!(there["hold"], Value::Null, "holds are of a name");
    let source = read(&server, "n", "").data();
    assert_eq!(source["revision"], 3);
    // Another container; from there on each goes its own way.
    let other = with(
        body("n", "n"),
        json!({"to_container": "archive", "expected_revision": 3}),
    );
    let other = server.post("/mrs/record/copy", &other).data();
    assert_eq!(
        (&other["container"], &other["revision"]),
        (&json!("archive"), &json!(1))
    );
    put_over(&server, "notes", "n-2", &json!(3), 1);
    assert_eq!(read(&server, "n", "").data()["content"], json!({"a": 2.5}));
    let archived = server.get("/mrs/record?orgcode=demo&container=archive&record_id=n");
    assert_eq!(archived.data()["content"], json!({"a": 2.5}));
    assert_eq!(findings(&server).as_array().map(Vec::len), Some(0));
}

#[test]
fn neither_of_two_uploads_takes_bytes_from_the_other() {
    let scratch = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let server = Inside::start_by(scratch.path(), clock.clone(), &[]);
    server.pause_upkeep();
    let gzip = upload(&server, "first", "some text", None);
    for (from, to) in [("first", "second"), ("second", "third")] {
        let copied = copy(&server, from, to).data();
        assert_eq!(
            (&copied["status"], &copied["revision"]),
            (&json!("active"), &json!(1))
        );
        let [source, copy] = [from, to].map(|id| read(&server, id, "").data());
        for field in [
            "content_md5",
            "content_size",
            "content_type",
            "content_sha256",
        ] {
            assert_eq!(source[field], copy[field], "{field}");
        }
    }
    assert_eq!(findings(&server).as_array().map(Vec::len), Some(0));
    // The first ends, and its content is removed; the second gets other content, and its first is removed.
    let doom = json!({"orgcode": "demo", "container": "notes", "record_id": "first", "expected_revision": 2});
    server.post("/mrs/doom", &doom).data();
    upload(&server, "second", "other text", Some(1));
    clock.advance(400 * DAY_MS);
    let cleaned = cleanup(&server, "notes");
    let removed = &cleaned["removed"];
    assert_eq!(
        (&removed["doomed_content"], &removed["versions"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(bytes(&server, "third"), gzip);
    assert_eq!(findings(&server).as_array().map(Vec::len), Some(0));
}

#[test]
fn what_cannot_be_copied_is_refused_and_leaves_nothing() {
    let scratch = tempfile::tempdir().expect("a directory");
    let server = start(scratch.path());
    let files = |server: &Inside| {
        let mut files = Vec::new();
        crate::support::walk(&scratch.path().join("content"), &mut files);
        let _ = server;
        files
            .into_iter()
            .filter(|(path, _)| path.extension().is_some_and(|end| end == "gz"))
            .count()
    };
    upload(&server, "blob", "some text", None);
    server.put("notes", "taken", &json!(1));
    promise(&server, "pending", b"gz", None);
    server.put("notes", "ended", &json!(1));
    let doom = json!({"orgcode": "demo", "container": "notes", "record_id": "ended", "expected_revision": 1});
    server.post("/mrs/doom", &doom).data();
    let refused = |fields: Value| {
        let answer = server.post("/mrs/record/copy", &with(body("blob", "new"), fields));
        // Another record has the name, or the source itself: no copy is there already.
        let details = &answer.json()["error"]["details"];
        assert_eq!(details["already_there"], Value::Null, "{details}");
        answer.refusal()
    };
    for (fields, status, tag) in [
        (json!({"record_id": "absent"}), 404, "not-found"),
        (json!({"record_id": "ended"}), 409, "doomed"),
        (json!({"record_id": "pending"}), 409, "invalid-state"),
        (json!({"to_record_id": "taken"}), 409, "conflict"),
        (json!({"to_record_id": "ended"}), 409, "conflict"),
        (json!({"to_record_id": "blob"}), 409, "conflict"),
        (json!({"expected_revision": 9}), 409, "conflict"),
        (json!({"to_record_id": null}), 400, "invalid-record-id"),
        (json!({"to_record_id": "a b"}), 400, "invalid-record-id"),
        (json!({"to_container": "a b"}), 400, "invalid-container"),
        (json!({"orgcode": "OTHER"}), 404, "not-found"),
        (json!({"to_orgcode": "OTHER"}), 400, "invalid-input"),
    ] {
        let shown = fields.to_string();
        let (was_status, was_tag, _) = refused(fields);
        assert_eq!((was_status, &*was_tag), (status, tag), "{shown}");
    }
    assert_eq!(files(&server), 1, "no object is left behind");
    copy(&server, "blob", "twin").data();
    let again = copy(&server, "blob", "twin");
    assert_eq!(again.json()["error"]["details"]["already_there"], true);
    assert_eq!(read(&server, "new", "").refusal().0, 404);
}

#[test]
fn a_copy_that_is_repeated_is_made_once() {
    let scratch = tempfile::tempdir().expect("a directory");
    let server = start(scratch.path());
    upload(&server, "blob", "some text", None);
    let keyed = with(body("blob", "new"), json!({"idempotency_key": "k"}));
    let first = server.post("/mrs/record/copy", &keyed);
    assert_eq!(first.header("idempotent-replay"), None);
    let first = first.data();
    for _ in 0..2 {
        let again = server.post("/mrs/record/copy", &keyed);
        assert_eq!(again.header("idempotent-replay"), Some("true"));
        assert_eq!(again.data(), first);
    }
    // Also when the source has ended since.
    let doom = json!({"orgcode": "demo", "container": "notes", "record_id": "blob", "expected_revision": 2});
    server.post("/mrs/doom", &doom).data();
    assert_eq!(server.post("/mrs/record/copy", &keyed).data(), first);
    let other = with(keyed, json!({"record_id": "other"}));
    let refused = server.post("/mrs/record/copy", &other).refusal();
    assert_eq!((refused.0, &*refused.1), (409, "idempotency-conflict"));
    let mut files = Vec::new();
    crate::support::walk(&scratch.path().join("content"), &mut files);
    let objects = files
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|end| end == "gz"));
    assert_eq!(objects.count(), 2, "{files:?}");
}

#[test]
fn a_copy_counts_towards_the_quotas_as_any_record() {
    let server = Server::start();
    server.put_inline("notes", "n", &json!("x"), &[]);
    let limits = json!({"orgcode": "DEMO", "limits": {"records": 2}, "reason": "a test"});
    server.invoke("ofm_quota_set", &limits).data();
    let copy = |to: &str| {
        let body =
            json!({"orgcode": "DEMO", "container": "notes", "record_id": "n", "to_record_id": to});
        server.post("/mrs/record/copy", &body)
    };
    copy("n-2").data();
    assert_eq!(copy("n-3").refusal().1, "quota-exceeded");
}

#[test]
fn reconcile_finds_a_copied_object_without_a_record() {
    let scratch = tempfile::tempdir().expect("a directory");
    let server = start(scratch.path());
    upload(&server, "blob", "some text", None);
    let mut files = Vec::new();
    crate::support::walk(&scratch.path().join("content"), &mut files);
    let (object, _) = files
        .iter()
        .find(|(path, _)| path.extension().is_some_and(|end| end == "gz"))
        .expect("an object");
    // What a copy does first, and then the power is cut.
    let shelf = object
        .parent()
        .expect("a shelf")
        .file_name()
        .expect("a name")
        .to_str()
        .expect("hex");
    let stray = object.with_file_name(format!("{shelf}{}.gz", "0".repeat(30)));
    std::fs::hard_link(object, &stray).expect("one more name");
    let found = findings(&server);
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    let mut repair = json!({"orgcode": "demo", "container": "notes", "mode": "repair"});
    while let Some(next) = server.operator("mrs_reconcile", &repair).data()["next_token"].as_str() {
        repair["next_token"] = json!(next);
    }
    assert!(!stray.exists());
    assert!(object.exists(), "the record's own is another name");
    assert_eq!(findings(&server).as_array().map(Vec::len), Some(0));
}
