//! Content versions: what is kept, how it is listed and read, and that nothing is removed before its day.

use std::io::Read;

use metarecord::clock::Clock;
use metarecord::domain::{Md5, Timestamp};
use serde_json::{Value, json};

use crate::support::inside::{Inside, START_MS};
use crate::support::{Got, agent, got};

/// A day, in milliseconds.
pub(crate) const DAY_MS: i64 = 86_400_000;

pub(crate) fn start(dir: &std::path::Path) -> Inside {
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let server = Inside::start_by(dir, clock, &[]);
    server.pause_upkeep();
    server
}

/// Puts JSON over a record that has a revision.
pub(crate) fn put_over(server: &Inside, container: &str, id: &str, payload: &Value, revision: u64) {
    let body = json!({"orgcode": "demo", "container": container, "record_id": id, "payload": payload,
        "content_type": "application/json", "expected_revision": revision});
    server.post("/mrs/record", &body).data();
}

/// Uploads and completes content, over a record when a revision is given. Returns its gzip.
pub(crate) fn upload(server: &Inside, id: &str, text: &str, revision: Option<u64>) -> Vec<u8> {
    let mut gzip = Vec::new();
    let mut encoder = flate2::read::GzEncoder::new(text.as_bytes(), flate2::Compression::fast());
    encoder.read_to_end(&mut gzip).expect("in memory");
    let (size, md5) = (gzip.len(), Md5::of(&gzip).to_string());
    let put = promise(server, id, &gzip, revision);
    let url = put["upload"]["url"].as_str().expect("a url");
    let sent = got(agent()
        .put(url)
        .header("content-encoding", "gzip")
        .send(&gzip[..]));
    assert_eq!(sent.status, 200, "{:?}", sent.json());
    let complete = json!({"orgcode": "demo", "container": "notes", "record_id": id, "size": size,
        "content_md5": md5, "content_token": put["content_token"]});
    server.post("/mrs/record/complete", &complete).data();
    gzip
}

/// Promises an upload.
pub(crate) fn promise(server: &Inside, id: &str, gzip: &[u8], revision: Option<u64>) -> Value {
    let mut body = json!({"orgcode": "demo", "container": "notes", "record_id": id, "content_type": "text/plain",
        "size": gzip.len(), "content_md5": Md5::of(gzip).to_string()});
    if let Some(revision) = revision {
        body["expected_revision"] = json!(revision);
    }
    server.post("/mrs/record", &body).data()
}

/// Reads a record of the container `notes`, with more parameters.
pub(crate) fn read(server: &Inside, id: &str, more: &str) -> Got {
    server.get(&format!(
        "/mrs/record?orgcode=demo&container=notes&record_id={id}{more}"
    ))
}

pub(crate) fn versions(server: &Inside, id: &str, more: &str) -> Got {
    server.get(&format!(
        "/mrs/record/versions?orgcode=demo&container=notes&record_id={id}{more}"
    ))
}

pub(crate) fn cleanup(server: &Inside, container: &str) -> Value {
    let body = json!({"orgcode": "demo", "container": container});
    server.operator("mrs_cleanup", &body).data()
}

pub(crate) fn time(millis: i64) -> String {
    Timestamp::from_millis(START_MS + millis).to_string()
}

#[test]
fn an_earlier_version_is_readable_for_365_days() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    server.put("notes", "n", &json!("one"));
    server.clock.advance(DAY_MS);
    put_over(&server, "notes", "n", &json!("two"), 1);
    let listed = versions(&server, "n", "").data();
    let version = |number: u64, current: bool, text: &str, since: i64| {
        json!({"version": number, "current": current, "content_type": "application/json",
            "content_kind": "inline", "content_size": text.len(), "since": time(since),
            "content_md5": Md5::of(text.as_bytes()).to_string(), "by": listed["items"][0]["by"]})
    };
    let two = version(2, true, "\"two\"", DAY_MS);
    let mut one = version(1, false, "\"one\"", 0);
    one["until"] = json!(time(DAY_MS));
    one["why"] = json!("replaced");
    one["kept_until"] = json!(time(366 * DAY_MS));
    assert_eq!(listed, json!({"items": [two, one], "limit": 8}));

    server.clock.advance(365 * DAY_MS - 1);
    assert_eq!(cleanup(&server, "notes")["removed"]["versions"], 0);
    assert_eq!(read(&server, "n", "&version=1").data()["content"], "one");
    server.clock.advance(1);
    assert_eq!(
        read(&server, "n", "&version=1").data()["content"],
        "one",
        "nobody has let go of it yet"
    );
    let cleaned = cleanup(&server, "notes");
    let removed = json!({"versions": 1, "doomed_content": 0, "uploads": 0, "idempotency": 0});
    assert_eq!(
        cleaned,
        json!({"scanned": 1, "removed": removed, "bytes": 0})
    );
    assert_eq!(read(&server, "n", "&version=1").refusal().1, "not-found");
    let first = format!("&as_of={}", time(1));
    assert_eq!(
        read(&server, "n", &first).refusal().1,
        "not-found",
        "nor as it was then"
    );
    let now = read(&server, "n", "").data();
    assert_eq!(
        (&now["content"], &now["revision"]),
        (&json!("two"), &json!(2)),
        "the record is as before"
    );
    let one = &versions(&server, "n", "").data()["items"][1];
    assert_eq!(
        (&one["removed"], one.get("kept_until")),
        (&json!(true), None)
    );
    assert_eq!(cleanup(&server, "notes")["scanned"], 0);
}

#[test]
fn removing_a_version_lets_a_running_download_finish() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    let long = "a long text ".repeat(3);
    let old = upload(&server, "n", &long, None);
    let new = upload(&server, "n", "new", Some(2));
    server.clock.advance(365 * DAY_MS);
    let url_of = |more: &str| {
        let data = read(&server, "n", more).data();
        data["download"]["url"].as_str().expect("a url").to_owned()
    };
    let (first, second) = (url_of("&version=1"), url_of(""));
    let under_way = agent().get(&first).call().expect("it begins");
    let cleaned = cleanup(&server, "notes");
    assert_eq!(
        (&cleaned["removed"]["versions"], &cleaned["bytes"]),
        (&json!(1), &json!(old.len()))
    );
    assert_eq!(
        got(Ok(under_way)).bytes,
        old,
        "what is being read stays until it is read"
    );
    assert_eq!(got(agent().get(&first).call()).status, 404);
    assert_eq!(got(agent().get(&second).call()).bytes, new);
}

#[test]
fn doomed_content_is_readable_by_version_while_kept() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    server.put("notes", "n", &json!("one"));
    put_over(&server, "notes", "n", &json!("two"), 1);
    server.clock.advance(DAY_MS);
    let doom =
        json!({"orgcode": "demo", "container": "notes", "record_id": "n", "expected_revision": 2});
    server.post("/mrs/doom", &doom).data();
    assert_eq!(
        read(&server, "n", "&include_doomed=true").refusal().1,
        "doomed"
    );
    assert_eq!(read(&server, "n", "&version=2").refusal().1, "not-found");
    assert_eq!(versions(&server, "n", "").refusal().1, "not-found");
    for (version, content) in [(1, "one"), (2, "two")] {
        let read = read(
            &server,
            "n",
            &format!("&include_doomed=true&version={version}"),
        )
        .data();
        assert_eq!(
            (&read["content"], &read["status"]),
            (&json!(content), &json!("doomed"))
        );
    }
    let items = versions(&server, "n", "&include_doomed=true").data()["items"].clone();
    assert_eq!(
        (&items[0]["why"], &items[0]["current"]),
        (&json!("doomed"), &json!(false))
    );
    assert_eq!(items[0]["kept_until"], time(366 * DAY_MS));

    server.clock.advance(365 * DAY_MS);
    let removed = cleanup(&server, "notes")["removed"].clone();
    assert_eq!(
        (&removed["versions"], &removed["doomed_content"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        read(&server, "n", "&include_doomed=true&version=2")
            .refusal()
            .1,
        "not-found"
    );
    assert_eq!(
        read(&server, "n", "&include_doomed=true").refusal().1,
        "doomed"
    );
}

#[test]
fn due_content_counts_as_ended_before_the_sweep() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    let body = json!({"orgcode": "demo", "container": "notes", "record_id": "n", "payload": 1,
        "content_type": "application/json", "doom_at": time(DAY_MS)});
    server.post("/mrs/record", &body).data();
    server.clock.advance(2 * DAY_MS);
    let item = versions(&server, "n", "&include_doomed=true").data()["items"][0].clone();
    assert_eq!(
        (&item["until"], &item["why"]),
        (&json!(time(DAY_MS)), &json!("doomed"))
    );
    assert_eq!(
        read(&server, "n", "&include_doomed=true&version=1").data()["content"],
        1
    );
}

#[test]
fn versions_are_paged_newest_first_without_missing_uploads() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    promise(&server, "n", b"never sent", None);
    assert_eq!(versions(&server, "n", "").data()["items"], json!([]));
    for revision in 1..6 {
        put_over(&server, "notes", "n", &json!(revision), revision);
    }
    promise(&server, "n", b"never sent either", Some(6));
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = versions(&server, "n", &format!("&limit=2{token}")).data();
        let items = page["items"].as_array().expect("items");
        found.extend(items.iter().filter_map(|item| item["version"].as_u64()));
        let Some(next) = page["next_token"].as_str() else {
            break;
        };
        assert_eq!(items.len(), 2);
        token = format!("&next_token={next}");
    }
    assert_eq!(found, [5, 4, 3, 2, 1]);
    let other = versions(&server, "n", &format!("&include_doomed=true{token}")).refusal();
    assert_eq!(other.1, "invalid-next-token");
    for more in ["&limit=x", "&version=1", "&next_token=x"] {
        assert_eq!(versions(&server, "n", more).status, 400, "{more}");
    }
    assert_eq!(versions(&server, "missing", "").refusal().1, "not-found");
}
