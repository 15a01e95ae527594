//! Requests that come twice.

use std::sync::Barrier;

use serde_json::{Value, json};

use crate::support::inside::Inside;
use crate::support::{Got, Server};

fn put(server: &Server, more: Value) -> Got {
    let mut body = json!({"orgcode": "demo", "container": "notes", "content_type": "application/json", "payload": {"a": 1.0, "b": [2]},
        "idempotency_key": "key one"});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    server.post("/mrs/record", &body)
}

fn count(server: &Server) -> usize {
    let listed = server
        .get(
            "/mrs/list",
            &[("orgcode", "demo"), ("status", "all"), ("limit", "256")],
        )
        .data();
    listed["items"].as_array().map_or(0, Vec::len)
}

#[test]
fn a_key_repeats_its_first_answer_and_conflicts_otherwise() {
    let server = Server::start();
    let first = put(&server, json!({}));
    let again = put(&server, json!({}));
    assert_eq!(first.data(), again.data());
    assert_eq!(
        (
            first.header("idempotent-replay"),
            again.header("idempotent-replay")
        ),
        (None, Some("true"))
    );
    assert_ne!(
        first.json()["stats"]["request_id"],
        again.json()["stats"]["request_id"]
    );
    let spelled = br#"{ "idempotency_key":"key one","payload":{"b":[2],"a":1.0}, "content_type":"application\/json", "container":"notes","orgcode":"demo"}"#;
    assert_eq!(
        server.post_bytes("/mrs/record", spelled).data(),
        first.data()
    );
    for other in [
        json!({"payload": {"a": 1, "b": [2]}}),
        json!({"tags": ["t"]}),
        json!({"cccode": "AAAA-BBBB-CCCC"}),
    ] {
        assert_eq!(
            put(&server, other).refusal(),
            (409, "idempotency-conflict".to_owned(), String::new())
        );
    }
    let elsewhere = put(&server, json!({"container": "other"})).data();
    assert_ne!(elsewhere["record_id"], first.data()["record_id"]);
    assert_eq!(count(&server), 2);
}

#[test]
fn a_first_answer_is_repeated_after_the_record_changed() {
    let server = Server::start();
    let named = json!({"record_id": "n"});
    let first = put(&server, named.clone()).data();
    let doom =
        json!({"orgcode": "demo", "container": "notes", "record_id": "n", "expected_revision": 1});
    server.post("/mrs/doom", &doom).data();
    assert_eq!(put(&server, named).data(), first);
}

#[test]
fn a_refusal_is_remembered_too() {
    let server = Server::start();
    server.put_inline("notes", "n", &json!(1), &[]);
    let bad = json!({"record_id": "n", "expected_revision": 9});
    let first = put(&server, bad.clone());
    assert_eq!(first.refusal().1, "conflict");
    let doom =
        json!({"orgcode": "demo", "container": "notes", "record_id": "n", "expected_revision": 1});
    server.post("/mrs/doom", &doom).data();
    let again = put(&server, bad);
    assert_eq!(first.json()["error"], again.json()["error"]);
    assert_eq!(again.header("idempotent-replay"), Some("true"));
    let invalid = json!({"tags": ["not good"], "idempotency_key": "key two"});
    assert_eq!(put(&server, invalid.clone()).refusal().1, "invalid-tag");
    assert_eq!(
        put(&server, invalid).header("idempotent-replay"),
        Some("true")
    );
    assert_eq!(
        put(&server, json!({"idempotency_key": "key two"}))
            .refusal()
            .1,
        "idempotency-conflict"
    );
}

#[test]
fn concurrent_requests_with_one_key_get_one_answer() {
    let server = Server::start();
    let barrier = Barrier::new(32);
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..32)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    put(&server, json!({})).data()
                })
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().expect("answered"))
            .collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(count(&server), 1);
}

#[test]
fn a_first_answer_survives_a_restart_and_a_kill() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    // A free port differs from start to start; the upload url must not.
    let arguments = ["--set", "http.public_url=http://metarecord.test"];
    let mut server = Server::start_in(&dir, &arguments);
    let upload = json!({"payload": null, "idempotency_key": "upload"});
    let presign = |server: &Server| {
        let body = json!({"orgcode": "demo", "container": "notes", "content_type": "text/plain", "size": 30,
            "content_md5": "0123456789abcdef0123456789abcdef", "idempotency_key": upload["idempotency_key"]});
        server.post("/mrs/record", &body)
    };
    let (first, url) = (put(&server, json!({})).data(), presign(&server).data());
    let refused =
        put(&server, json!({"tags": ["-"], "idempotency_key": "bad"})).json()["error"].clone();
    for signal in ["TERM", "KILL"] {
        server.end(signal);
        server = Server::start_in(&dir, &arguments);
        assert_eq!(put(&server, json!({})).data(), first, "after {signal}");
        assert_eq!(presign(&server).data(), url, "after {signal}");
        assert_eq!(
            put(&server, json!({"tags": ["-"], "idempotency_key": "bad"})).json()["error"],
            refused
        );
    }
    assert_eq!(count(&server), 2);
}

#[test]
fn caller_reason_and_order_of_tags_do_not_change_a_request() {
    let server = Server::start();
    let tagged = |tags: Value| json!({"tags": tags, "record_id": "n"});
    let first = put(&server, tagged(json!(["b", "a", "c"]))).data();
    for same in [
        json!(["c", "a", "b"]),
        json!(["C", "B", "a"]),
        json!(["a", "a", "b", "c"]),
    ] {
        let again = put(&server, tagged(same));
        assert_eq!(again.data(), first);
        assert_eq!(again.header("idempotent-replay"), Some("true"));
    }
    let mut context = tagged(json!(["a", "b", "c"]));
    for (name, value) in [
        ("actor", json!("ann")),
        ("reason", json!("a retry")),
        ("reason_code", json!("R1")),
        ("correlation_id", json!("c-2")),
        ("orgcode", json!("DEMO")),
        ("container", json!("Notes")),
        ("mode", Value::Null),
        ("size", Value::Null),
    ] {
        context[name] = value;
        assert_eq!(put(&server, context.clone()).data(), first, "{name}");
    }
    let revised = json!({"record_id": "n", "expected_revision": 1, "idempotency_key": "k2"});
    let second = put(&server, revised.clone()).data();
    let mut spelled = revised;
    spelled["expected_revision"] = json!("1");
    assert_eq!(put(&server, spelled.clone()).data(), second);
    spelled["expected_revision"] = json!(2);
    assert_eq!(put(&server, spelled).refusal().1, "idempotency-conflict");
    assert_eq!(
        put(&server, tagged(json!(["a", "b"]))).refusal().1,
        "idempotency-conflict"
    );
}

#[test]
fn half_a_surrogate_pair_is_kept_as_content() {
    let server = Server::start();
    let body = |payload: &str| {
        format!(
            r#"{{"orgcode":"demo","container":"notes","content_type":"application/json","record_id":"n","idempotency_key":"k","payload":{payload}}}"#
        )
    };
    let put = |payload: &str| server.post_bytes("/mrs/record", body(payload).as_bytes());
    let first = put(r#""\ud800""#);
    assert_eq!(first.data()["revision"], 1);
    assert_eq!(put(r#""\uD800""#).data(), first.data());
    for other in [r#""\ud801""#, r#""\ufffd""#, r#"["\ud800"]"#] {
        assert_eq!(put(other).refusal().1, "idempotency-conflict", "{other}");
    }
    let got = server.get(
        "/mrs/record",
        &[
            ("orgcode", "demo"),
            ("container", "notes"),
            ("record_id", "n"),
        ],
    );
    let text = String::from_utf8(got.bytes).expect("text");
    assert!(text.contains(r#""\ud800""#), "{text}");
}

/// How long a first answer is given again.
const WINDOW_MS: i64 = 24 * 60 * 60 * 1_000;

#[test]
fn an_expired_key_makes_a_new_request() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    server.pause_upkeep();
    let body = |payload: i64| {
        json!({"orgcode": "demo", "container": "notes", "content_type": "application/json",
            "payload": payload, "idempotency_key": "daily"})
    };
    let put = |payload: i64| server.post("/mrs/record", &body(payload));
    let first = put(1).data();
    server.clock.advance(WINDOW_MS - 1);
    assert_eq!(put(1).data(), first);
    server.clock.advance(1);
    // The session has ended by now; development mode keeps its own.
    let second = put(2).data();
    assert_ne!(second["record_id"], first["record_id"]);
    assert_eq!(second["revision"], 1);
    let again = put(2);
    assert_eq!(
        (again.data(), again.header("idempotent-replay")),
        (second.clone(), Some("true"))
    );
    assert_eq!(put(1).refusal().1, "idempotency-conflict");
    let named = format!(
        "/mrs/record?orgcode=demo&container=notes&record_id={}",
        second["record_id"].as_str().expect("an id")
    );
    assert_eq!(server.get(&named).data()["content"], 2);
    // The same once the first is doomed.
    let doom = json!({"orgcode": "demo", "container": "notes", "record_id": first["record_id"], "expected_revision": 1});
    server.post("/mrs/doom", &doom).data();
    server.clock.advance(WINDOW_MS);
    let third = put(3).data();
    assert!(![&first, &second].contains(&&third));
    assert_eq!(put(3).data(), third);
    // A promised upload is told by its new id as well.
    let presign = json!({"orgcode": "demo", "container": "notes", "content_type": "text/plain", "size": 30,
        "content_md5": "0123456789abcdef0123456789abcdef", "idempotency_key": "daily upload"});
    let promised = server.post("/mrs/record", &presign).data();
    server.clock.advance(WINDOW_MS);
    let promised_again = server.post("/mrs/record", &presign).data();
    assert_ne!(promised["record_id"], promised_again["record_id"]);
    let complete = json!({"orgcode": "demo", "container": "notes", "record_id": promised_again["record_id"],
        "content_token": promised_again["content_token"], "size": 30, "content_md5": "0123456789abcdef0123456789abcdef"});
    let refused = server.post("/mrs/record/complete", &complete);
    assert_eq!(refused.refusal().1, "md5-missing");
}
