//! Requests that come twice.

use std::sync::Barrier;

use serde_json::{Value, json};

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
fn a_repeated_request_gets_its_first_answer_and_another_request_a_conflict() {
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
fn the_first_answer_stands_even_when_the_record_has_changed_since() {
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
fn of_many_firsts_at_once_one_is_carried_out_and_all_get_its_answer() {
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
