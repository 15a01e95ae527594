//! Operators' upkeep of a container: paging, what it touches and what it does not, and what it refuses.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::versions::{DAY_MS, cleanup, promise, put_over, read, start, versions};
use crate::support::inside::{Inside, START_MS};
use crate::support::{Got, eventually};

/// As long as an upload's url works, and the grace: 900 and 3,600 seconds.
const COMPLETABLE_MS: i64 = 4_500_000;

fn scrub(server: &Inside) -> Value {
    let body = json!({"orgcode": "demo", "container": "notes"});
    server.operator("mrs_tag_scrub", &body).data()
}

fn doom(server: &Inside, id: &str, revision: u64) {
    let body = json!({"orgcode": "demo", "container": "notes", "record_id": id, "expected_revision": revision});
    server.post("/mrs/doom", &body).data();
}

#[test]
fn cleanup_pages_through_its_own_container_alone() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    let owner = json!({"orgcode": "other", "owner_email": "demo@example.com"});
    server.operator("ofm_org_create", &owner).data();
    for id in 0..5 {
        for container in ["notes", "notes2"] {
            server.put(container, &format!("n{id}"), &json!("old"));
            put_over(&server, container, &format!("n{id}"), &json!("new"), 1);
        }
    }
    for revision in [None, Some(1)] {
        let body = json!({"orgcode": "other", "container": "notes", "record_id": "n0", "payload": 1,
            "content_type": "application/json", "expected_revision": revision});
        server.post("/mrs/record", &body).data();
    }
    server.clock.advance(365 * DAY_MS);
    let (mut token, mut pages, mut removed) = (Value::Null, 0, 0);
    loop {
        let mut body = json!({"orgcode": "demo", "container": "notes", "max_items": "2"});
        if let Some(token) = token.as_str() {
            body["next_token"] = json!(token);
            let mut other = body.clone();
            other["container"] = json!("notes2");
            let refused = server.operator("mrs_cleanup", &other).refusal();
            assert_eq!(refused.1, "invalid-next-token");
            let refused = server.operator("mrs_tag_scrub", &body).refusal();
            assert_eq!(refused.1, "invalid-next-token");
        }
        let page = server.operator("mrs_cleanup", &body).data();
        assert!(page["scanned"].as_u64() <= Some(2), "{page}");
        removed += page["removed"]["versions"].as_u64().expect("a number");
        pages += 1;
        token = page["next_token"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!((removed, pages), (5, 3));
    for id in 0..5 {
        assert_eq!(read(&server, &format!("n{id}"), "&version=1").status, 404);
        assert_eq!(
            read(&server, &format!("n{id}"), "").data()["content"],
            "new"
        );
        let beside = format!("/mrs/record?orgcode=demo&container=notes2&record_id=n{id}&version=1");
        assert_eq!(server.get(&beside).data()["content"], "old");
    }
    let elsewhere = "/mrs/record?orgcode=other&container=notes&record_id=n0&version=1";
    assert_eq!(server.get(elsewhere).data()["content"], 1);
}

#[test]
fn abandoned_uploads_are_removed_after_the_given_days() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    promise(&server, "n", b"never sent", None);
    doom(&server, "n", 1);
    let after = |days: i64| {
        let body = json!({"orgcode": "demo", "container": "notes", "retention_days": days});
        server.operator("mrs_cleanup", &body).data()["removed"]["uploads"].clone()
    };
    server.clock.advance(7 * DAY_MS);
    assert_eq!(
        (
            after(8),
            cleanup(&server, "notes")["removed"]["uploads"].clone()
        ),
        (json!(0), json!(0))
    );
    assert_eq!(after(7), 1);
    assert_eq!(after(7), 0);
}

#[test]
fn broken_uploads_are_removed_once_they_cannot_complete() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    server.put("notes", "n", &json!(1));
    let left = |name: &str, millis: i64| {
        let path = scratch.path().join("content/tmp").join(name);
        std::fs::write(&path, name).expect("written");
        let at = Duration::from_millis(u64::try_from(START_MS + millis).expect("not negative"));
        let file = std::fs::File::options().write(true).open(&path);
        let set = file.expect("it is there").set_modified(UNIX_EPOCH + at);
        set.expect("the time can be set");
        path
    };
    let (old, new) = (left("older", 0), left("new", 1));
    server.clock.advance(COMPLETABLE_MS);
    let cleaned = cleanup(&server, "notes");
    assert_eq!(
        (&cleaned["removed"]["uploads"], &cleaned["bytes"]),
        (&json!(1), &json!(5))
    );
    assert_eq!((old.exists(), new.exists()), (false, true));
}

#[test]
fn a_promised_upload_expires_once_it_cannot_be_completed() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    promise(&server, "n", b"never sent", None);
    let status = || {
        let job = json!({"job": "abandoned-uploads"});
        server.operator("jobs_resume", &job).data();
        let runs = |shown: Value| shown["job"]["runs"].as_u64().or(shown["runs"].as_u64());
        let before = runs(server.operator("jobs_show", &job).data());
        server.operator("jobs_run", &job).data();
        eventually("the job ran", || {
            runs(server.operator("jobs_show", &job).data()) > before
        });
        let meta = "/mrs/record/meta?orgcode=demo&container=notes&record_id=n&include_doomed=true";
        server.get(meta).data()["status"].clone()
    };
    server.clock.advance(COMPLETABLE_MS - 60_000);
    assert_eq!(status(), "pending_upload");
    server.clock.advance(60_000);
    assert_eq!(status(), "doomed");
}

#[test]
fn first_answers_are_removed_after_a_day() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    let put = |id: &str| {
        let body = json!({"orgcode": "demo", "container": "notes", "record_id": id, "payload": 1,
            "content_type": "application/json", "idempotency_key": "k"});
        server.post("/mrs/record", &body)
    };
    let replayed = |got: &Got| got.header("idempotent-replay") == Some("true");
    put("a").data();
    server.clock.advance(1);
    put("b").data();
    // A refusal is remembered too, on the container's own stream, which cleanup writes to as well.
    let unknown = json!({"orgcode": "demo", "container": "notes", "record_id": "c", "payload": 1,
        "content_type": "text/plain", "idempotency_key": "k"});
    assert_eq!(server.post("/mrs/record", &unknown).status, 400);
    server.clock.advance(DAY_MS - 1);
    let cleaned = cleanup(&server, "notes");
    assert_eq!(
        (&cleaned["scanned"], &cleaned["removed"]["idempotency"]),
        (&json!(3), &json!(1))
    );
    assert!(replayed(&put("b")));
    assert!(replayed(&server.post("/mrs/record", &unknown)));
    assert_eq!(
        put("a").refusal().1,
        "expected-revision-required",
        "it is a first request again"
    );
    server.clock.advance(1);
    assert_eq!(cleanup(&server, "notes")["removed"]["idempotency"], 2);
    assert_eq!(cleanup(&server, "notes")["scanned"], 1);
    assert!(replayed(&put("a")), "the answer that came later stayed");
}

#[test]
fn tags_of_doomed_records_are_removed_with_their_content() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    for id in ["a", "b"] {
        let body = json!({"orgcode": "demo", "container": "notes", "record_id": id, "payload": 1, "tags": ["t", "u"],
            "content_type": "application/json", "cccode": "AAAA-BBBB-CCCC"});
        server.post("/mrs/record", &body).data();
    }
    server.put("notes2", "a", &json!(1));
    doom(&server, "a", 1);
    let count = |query: &str| {
        let listed = server
            .get(&format!("/mrs/list?orgcode=demo&container=notes&{query}"))
            .data();
        listed["items"].as_array().map(Vec::len)
    };
    server.clock.advance(365 * DAY_MS - 1);
    assert_eq!(scrub(&server), json!({"scanned": 8, "removed": 0}));
    assert_eq!(count("tag=t&status=doomed"), Some(1));
    server.clock.advance(1);
    assert_eq!(scrub(&server), json!({"scanned": 8, "removed": 4}));
    assert_eq!(scrub(&server), json!({"scanned": 4, "removed": 0}));
    for (query, found) in [
        ("tag=t&status=doomed", 0),
        ("tag=u&status=doomed&cccode=AAAA-BBBB-CCCC", 0),
        ("status=doomed", 1),
        ("tag=t&status=all", 1),
        ("tag=u&cccode=AAAA-BBBB-CCCC", 1),
    ] {
        assert_eq!(count(query), Some(found), "{query}");
    }
    let body = json!({"orgcode": "demo", "container": "notes2", "max_items": 1});
    let mut scanned = 0;
    let mut page = server.operator("mrs_tag_scrub", &body).data();
    loop {
        assert!(page["scanned"].as_u64() <= Some(1), "{page}");
        scanned += page["scanned"].as_u64().unwrap_or_default();
        let Some(token) = page["next_token"].as_str() else {
            break;
        };
        let mut body = body.clone();
        body["next_token"] = json!(token);
        page = server.operator("mrs_tag_scrub", &body).data();
    }
    assert_eq!(scanned, 1);
}

#[test]
fn cleanup_keeps_what_is_held() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    for id in ["held", "free"] {
        server.put("notes", id, &json!("old"));
        put_over(&server, "notes", id, &json!("new"), 1);
        doom(&server, id, 2);
    }
    let own = |path: &str, revision: u64| {
        let body = json!({"orgcode": "demo", "container": "notes", "record_id": "held", "reason": "audit",
            "expected_revision": revision});
        server.post(path, &body).data();
    };
    own("/mrs/hold/set", 3);
    server.clock.advance(365 * DAY_MS);
    let legal = json!({"orgcode": "demo", "container": "notes", "reason": "suit"});
    server.operator("mrs_hold_set", &legal).data();
    let gone = || {
        let removed = &cleanup(&server, "notes")["removed"];
        (
            removed["versions"].clone(),
            removed["doomed_content"].clone(),
        )
    };
    let list = |id: &str| versions(&server, id, "&include_doomed=true").data()["items"].clone();
    assert_eq!(
        (gone(), scrub(&server)["removed"].clone()),
        ((json!(0), json!(0)), json!(0))
    );
    assert_eq!(list("free")[0].get("kept_until"), None);
    let release = json!({"orgcode": "demo", "container": "notes"});
    server.operator("mrs_hold_release", &release).data();
    assert!(list("free")[0].get("kept_until").is_some());
    assert_eq!(list("held")[0].get("kept_until"), None);
    assert_eq!(
        (gone(), scrub(&server)["removed"].clone()),
        ((json!(1), json!(1)), json!(1))
    );
    assert_eq!(
        read(&server, "held", "&include_doomed=true&version=1").data()["content"],
        "old"
    );
    own("/mrs/hold/release", 4);
    assert_eq!(
        (gone(), scrub(&server)["removed"].clone()),
        ((json!(1), json!(1)), json!(1))
    );
}

#[test]
fn upkeep_refuses_bad_fields_by_name() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    server.put("notes", "n", &json!(1));
    for function in ["mrs_cleanup", "mrs-tag-scrub"] {
        for (field, value, refused) in [
            ("container", json!("missing"), (404, "not-found", "")),
            ("orgcode", json!("missing"), (404, "not-found", "")),
            ("container", json!(null), (400, "invalid-container", "")),
            ("container", json!("?"), (400, "invalid-container", "")),
            ("orgcode", json!(null), (400, "invalid-orgcode", "")),
            ("max_items", json!(0), (400, "invalid-input", "max_items")),
            (
                "max_items",
                json!(1001),
                (400, "invalid-input", "max_items"),
            ),
            ("max_items", json!("x"), (400, "invalid-input", "max_items")),
            ("next_token", json!("x"), (400, "invalid-next-token", "")),
            ("surprise", json!(1), (400, "invalid-input", "surprise")),
        ] {
            let mut body = json!({"orgcode": "demo", "container": "notes"});
            body[field] = value.clone();
            let (status, tag, minor) = server.operator(function, &body).refusal();
            let found = (status, tag.as_str(), minor.as_str());
            assert_eq!(found, refused, "{function} {field} {value}");
        }
    }
    for days in [json!(0), json!(-1), json!(36_501), json!(1.5)] {
        let body = json!({"orgcode": "demo", "container": "notes", "retention_days": days});
        let refused = server.operator("mrs_cleanup", &body).refusal();
        assert_eq!(refused.2, "retention_days", "{days}");
    }
    let bare = server.call("POST", "/invoke/mrs_cleanup", &[], Some(&json!({})));
    assert_eq!(bare.status, 404, "the gateway has no operator function");
}
