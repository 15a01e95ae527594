//! Inline records from creation to doom.

use serde_json::{Value, json};

use crate::support::{Got, Server};

const QUERY: [(&str, &str); 3] = [
    ("orgcode", "demo"),
    ("container", "notes"),
    ("record_id", "n-1"),
];

fn change(server: &Server, path: &str, more: Value) -> Got {
    let mut body = json!({"orgcode": "demo", "container": "notes", "record_id": "n-1"});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    server.post(path, &body)
}

#[test]
fn a_record_is_created_found_read_and_retired() {
    let server = Server::start();
    let created = server.put_inline("notes", "n-1", &json!({"a": 1}), &["mit"]);
    assert_eq!(
        (&created["status"], &created["revision"]),
        (&json!("active"), &json!(1))
    );
    assert_eq!(
        server.get("/mrs/record", &QUERY).data()["content"],
        json!({"a": 1})
    );
    let head = server.get("/mrs/head", &QUERY).data();
    assert_eq!(
        (&head["exists"], &head["content_size"]),
        (&json!(true), &json!(7))
    );
    let listed = server
        .get("/mrs/list", &[("orgcode", "demo"), ("tag", "mit")])
        .data();
    assert_eq!(listed["items"], json!([created]));
    let doomed = change(
        &server,
        "/mrs/doom",
        json!({"expected_revision": 1, "reason": "old"}),
    )
    .data();
    assert_eq!(
        (
            &doomed["status"],
            &doomed["doom_cause"],
            &doomed["doom_reason"]
        ),
        (&json!("doomed"), &json!("request"), &json!("old"))
    );
    assert_eq!(server.get("/mrs/record", &QUERY).refusal().0, 404);
    for (path, more) in [
        ("/mrs/doom", json!({"expected_revision": 2})),
        (
            "/mrs/tag/add",
            json!({"expected_revision": 2, "tags": ["a"]}),
        ),
        (
            "/mrs/ttl/set",
            json!({"expected_revision": 2, "doom_at": null}),
        ),
        (
            "/mrs/record",
            json!({"content_type": "application/json", "payload": 2, "expected_revision": 2}),
        ),
    ] {
        assert_eq!(change(&server, path, more).refusal().1, "doomed", "{path}");
    }
}

#[test]
fn inline_content_comes_back_byte_for_byte() {
    let server = Server::start();
    for (index, payload) in [
        "null",
        "1.0",
        "1e400",
        "123456789012345678901234567890",
        r#"{"b":1 ,  "a": [ 1,2 ],"b":2}"#,
        r#""\u00e9\ud800é😀""#,
        "[\n\t1\r\n]",
        "-0",
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("n-{index}");
        let body = format!(
            r#"{{"orgcode":"demo","container":"notes","record_id":"{id}","content_type":"application/json","payload":{payload}}}"#
        );
        let put = server.post_bytes("/mrs/record", body.as_bytes());
        assert_eq!(
            put.status,
            200,
            "{payload}: {}",
            String::from_utf8_lossy(&put.bytes)
        );
        let got = server.get("/mrs/record", &[QUERY[0], QUERY[1], ("record_id", &id)]);
        let text = String::from_utf8(got.bytes).expect("UTF-8");
        assert!(
            text.contains(&format!("\"content\":{payload}}},\"revision\":1")),
            "{payload} in {text}"
        );
    }
}

#[test]
fn changing_needs_the_current_revision() {
    let server = Server::start();
    server.put_inline("notes", "n-1", &json!(1), &[]);
    let add = |revision: Value| {
        change(
            &server,
            "/mrs/tag/add",
            json!({"tags": ["a"], "expected_revision": revision}),
        )
    };
    let missing = change(&server, "/mrs/tag/add", json!({"tags": ["a"]}));
    assert_eq!(missing.refusal().0, 428);
    let stale = add(json!(7));
    assert_eq!(stale.refusal().1, "conflict");
    let details = &stale.json()["error"]["details"];
    assert_eq!(
        (&details["revision"], &details["current"]["record_id"]),
        (&json!(1), &json!("n-1"))
    );
    assert_eq!(add(json!("1")).data()["revision"], 2);
    assert_eq!(
        add(json!(2)).data()["revision"],
        2,
        "a tag it has already changes nothing"
    );
    assert_eq!(add(json!(1)).refusal().1, "conflict");
    assert_eq!(
        change(
            &server,
            "/mrs/tag/remove",
            json!({"tags": ["zz"], "expected_revision": 2})
        )
        .data()["revision"],
        2
    );
    assert_eq!(
        change(
            &server,
            "/mrs/tag/remove",
            json!({"tags": ["A"], "expected_revision": 2})
        )
        .data()["tags"],
        json!([])
    );
}

#[test]
fn a_record_carries_twenty_tags_and_no_more() {
    let server = Server::start();
    server.put_inline("notes", "n-1", &json!(1), &["t0"]);
    let more: Vec<_> = (0..20).map(|n| format!("T{n}")).collect();
    let full = change(
        &server,
        "/mrs/tag/add",
        json!({"tags": more, "expected_revision": 1}),
    )
    .data();
    assert_eq!(full["tags"].as_array().map(Vec::len), Some(20));
    let got = change(
        &server,
        "/mrs/tag/add",
        json!({"tags": ["one"], "expected_revision": 2}),
    )
    .refusal();
    assert_eq!(
        got,
        (400, "invalid-tag".to_owned(), "too-many-tags".to_owned())
    );
}

#[test]
fn a_put_over_a_record_makes_a_version_and_the_earlier_one_stays_readable() {
    let server = Server::start();
    let first = server.put_inline("notes", "n-1", &json!("one"), &["t"]);
    let put = |more: Value| {
        let mut body = json!({"content_type": "application/json", "payload": "two"});
        body["expected_revision"] = more;
        change(&server, "/mrs/record", body)
    };
    assert_eq!(put(Value::Null).refusal().0, 428);
    let second = put(json!(1)).data();
    assert_eq!(
        (
            &second["revision"],
            &second["content_version"],
            &second["tags"]
        ),
        (&json!(2), &json!(2), &json!(["T"]))
    );
    let read = |name, value: &str| {
        server
            .get(
                "/mrs/record",
                &[QUERY[0], QUERY[1], QUERY[2], (name, value)],
            )
            .data()
    };
    assert_eq!(read("include_doomed", "false")["content"], "two");
    assert_eq!(read("version", "1")["content"], "one");
    assert_eq!(read("version", "2")["content"], "two");
    let created_at = first["created_at"].as_str().expect("a time");
    if second["updated_at"] != first["created_at"] {
        assert_eq!(read("as_of", created_at)["content"], "one");
    }
    let meta = server
        .get(
            "/mrs/record/meta",
            &[QUERY[0], QUERY[1], QUERY[2], ("as_of", created_at)],
        )
        .data();
    assert_eq!(meta["created_at"], first["created_at"]);
}
