//! Bad input: the right tag, and nothing left behind.

use serde_json::{Value, json};

use crate::support::Server;

const MD5: &str = "0123456789abcdef0123456789abcdef";

/// A good put, inline.
fn put() -> Value {
    json!({"orgcode": "demo", "container": "notes", "record_id": "n", "content_type": "application/json", "payload": 1})
}

/// A good put for an upload.
fn presign() -> Value {
    json!({"orgcode": "demo", "container": "notes", "record_id": "n", "content_type": "text/plain", "size": 10, "content_md5": MD5})
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

fn without(mut body: Value, name: &str) -> Value {
    body.as_object_mut().expect("an object").remove(name);
    body
}

#[test]
fn each_bad_put_gets_its_tag_and_leaves_nothing() {
    let server = Server::start();
    let files = server.content_files();
    let many: Vec<_> = (0..21).map(|n| format!("t{n}")).collect();
    let big = "x".repeat(262_143);
    for (body, status, tag, minor) in [
        (without(put(), "orgcode"), 400, "invalid-orgcode", ""),
        (
            with(put(), "orgcode", json!("x/y")),
            400,
            "invalid-orgcode",
            "",
        ),
        (
            with(put(), "cccode", json!("nope")),
            400,
            "invalid-cccode",
            "",
        ),
        (without(put(), "container"), 400, "invalid-container", ""),
        (
            with(put(), "container", json!("a")),
            400,
            "invalid-container",
            "",
        ),
        (
            with(put(), "container", json!("a".repeat(81))),
            400,
            "invalid-container",
            "",
        ),
        (
            with(put(), "container", json!("../etc")),
            400,
            "invalid-container",
            "",
        ),
        (
            with(put(), "record_id", json!("")),
            400,
            "invalid-record-id",
            "",
        ),
        (
            with(put(), "record_id", json!("../n")),
            400,
            "invalid-record-id",
            "",
        ),
        (
            with(put(), "record_id", json!("a/b")),
            400,
            "invalid-record-id",
            "",
        ),
        (
            with(put(), "record_id", json!("n".repeat(129))),
            400,
            "invalid-record-id",
            "",
        ),
        (with(put(), "tags", json!(["a b"])), 400, "invalid-tag", ""),
        (
            with(put(), "tags", json!(["x".repeat(129)])),
            400,
            "invalid-tag",
            "",
        ),
        (
            with(put(), "tags", json!(many)),
            400,
            "invalid-tag",
            "too-many-tags",
        ),
        (
            with(put(), "doom_at", json!("2001-01-01T00:00:00Z")),
            400,
            "invalid-doom-at",
            "",
        ),
        (
            with(put(), "doom_at", json!("soon")),
            400,
            "invalid-doom-at",
            "",
        ),
        (
            with(put(), "idempotency_key", json!("")),
            400,
            "invalid-idempotency-key",
            "",
        ),
        (
            with(put(), "idempotency_key", json!("k".repeat(129))),
            400,
            "invalid-idempotency-key",
            "",
        ),
        (
            with(put(), "idempotency_key", json!("\u{e9}")),
            400,
            "invalid-idempotency-key",
            "",
        ),
        (
            without(put(), "content_type"),
            400,
            "invalid-input",
            "content_type",
        ),
        (
            with(put(), "content_type", json!("text/plain")),
            400,
            "unsupported-content-type",
            "",
        ),
        (
            with(put(), "mode", json!("other")),
            400,
            "invalid-input",
            "mode",
        ),
        (
            with(without(put(), "payload"), "mode", json!("inline")),
            400,
            "invalid-input",
            "payload",
        ),
        (
            with(put(), "mode", json!("presign")),
            400,
            "invalid-input",
            "payload",
        ),
        (
            with(put(), "content_md5", json!(MD5)),
            409,
            "md5-mismatch",
            "",
        ),
        (
            with(put(), "content_md5", json!("xyz")),
            400,
            "invalid-content-md5",
            "",
        ),
        (with(put(), "size", json!(2)), 409, "size-mismatch", ""),
        (
            with(put(), "expected_revision", json!(1)),
            409,
            "conflict",
            "",
        ),
        (
            with(put(), "expected_revision", json!(0)),
            400,
            "invalid-input",
            "expected_revision",
        ),
        (
            with(put(), "expected_revision", json!("x")),
            400,
            "invalid-input",
            "expected_revision",
        ),
        (
            with(put(), "unknown", json!(1)),
            400,
            "invalid-input",
            "unknown",
        ),
        (
            with(put(), "tags", json!("t")),
            400,
            "invalid-input",
            "tags",
        ),
        (
            with(put(), "tags", json!([1])),
            400,
            "invalid-input",
            "tags[0]",
        ),
        (
            with(put(), "actor", json!("x".repeat(257))),
            400,
            "invalid-input",
            "actor",
        ),
        (
            with(put(), "payload", json!(big)),
            400,
            "gzip-required",
            "inline-too-large",
        ),
        (
            with(with(put(), "payload", json!(big)), "mode", json!("inline")),
            400,
            "inline-too-large",
            "",
        ),
        (
            without(presign(), "content_md5"),
            400,
            "missing-content-md5",
            "content_md5",
        ),
        (
            with(presign(), "content_md5", json!("12")),
            400,
            "invalid-content-md5",
            "",
        ),
        (without(presign(), "size"), 400, "missing-size", ""),
        (
            with(presign(), "size", json!(0)),
            400,
            "invalid-input",
            "size",
        ),
        (
            with(presign(), "size", json!(-1)),
            400,
            "invalid-input",
            "size",
        ),
        (
            with(presign(), "size", json!(134_217_729_u64)),
            400,
            "too-large",
            "size",
        ),
        (
            with(presign(), "content_encoding", json!("br")),
            400,
            "gzip-required",
            "",
        ),
        (
            with(presign(), "content_type", json!("nonsense")),
            400,
            "unsupported-content-type",
            "",
        ),
        (
            with(presign(), "content_type", json!("a/b\r\nx: y")),
            400,
            "unsupported-content-type",
            "",
        ),
    ] {
        let got = server.post("/mrs/record", &body).refusal();
        assert_eq!(
            got,
            (status, tag.to_owned(), minor.to_owned()),
            "{}",
            clip(&body)
        );
    }
    let all = server
        .get("/mrs/list", &[("orgcode", "demo"), ("status", "all")])
        .data();
    assert_eq!(all["items"], json!([]));
    assert_eq!(server.content_files(), files);
}

fn clip(body: &Value) -> String {
    body.to_string().chars().take(200).collect()
}

#[test]
fn bodies_that_are_not_json_or_too_deep_are_invalid_json() {
    let server = Server::start();
    let deep = |depth: usize| {
        let nest = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        format!(
            r#"{{"orgcode":"demo","container":"notes","record_id":"d{depth}","content_type":"application/json","payload":{nest}}}"#
        )
    };
    let mut broken = put().to_string().into_bytes();
    broken.extend_from_slice(b" x");
    let mut not_utf8 = br#"{"orgcode":"demo","container":"no"#.to_vec();
    not_utf8.extend_from_slice(b"\xff\xfe\"}");
    for body in [
        b"".to_vec(),
        b"{".to_vec(),
        b"nonsense".to_vec(),
        broken,
        not_utf8,
        deep(128).into(),
        deep(100_000).into(),
    ] {
        let got = server.post_bytes("/mrs/record", &body).refusal();
        assert_eq!(
            (got.0, got.1.as_str()),
            (400, "invalid-json"),
            "{:?}",
            String::from_utf8_lossy(&body[..body.len().min(80)])
        );
    }
    assert_eq!(
        server.post_bytes("/mrs/record", b"[1]").refusal().1,
        "invalid-input"
    );
    assert_eq!(
        server
            .post_bytes("/mrs/record", deep(127).as_bytes())
            .status,
        200
    );
}

#[test]
fn an_inline_payload_over_the_limit_is_refused() {
    let server = Server::start();
    let body = |id: &str, bytes: usize| {
        with(
            with(put(), "record_id", json!(id)),
            "payload",
            json!("x".repeat(bytes - 2)),
        )
    };
    assert_eq!(
        server.post("/mrs/record", &body("fits", 262_144)).data()["content_size"],
        262_144
    );
    assert_eq!(
        server
            .post("/mrs/record", &body("not", 262_145))
            .refusal()
            .1,
        "gzip-required"
    );
}

#[test]
fn bad_queries_name_the_parameter() {
    let server = Server::start();
    let base = [("orgcode", "demo")];
    for (name, value, tag, minor) in [
        ("limit", "many", "invalid-input", "limit"),
        ("limit", "", "invalid-input", "limit"),
        ("status", "gone", "invalid-status", ""),
        ("tag", "a b", "invalid-tag", ""),
        ("container", "A/", "invalid-container", ""),
        ("cccode", "x", "invalid-cccode", ""),
        ("prefix", "/", "invalid-input", "prefix"),
        (
            "include_doomed",
            "perhaps",
            "invalid-input",
            "include_doomed",
        ),
        ("next_token", "abc", "invalid-next-token", ""),
        ("colour", "red", "invalid-input", "colour"),
    ] {
        let got = server.get("/mrs/list", &[base[0], (name, value)]).refusal();
        assert_eq!(
            (got.1.as_str(), got.2.as_str()),
            (tag, minor),
            "{name}={value}"
        );
    }
    let read = |name, value| {
        let query = [
            base[0],
            ("container", "notes"),
            ("record_id", "n"),
            (name, value),
        ];
        server.get("/mrs/record", &query).refusal()
    };
    server.put_inline("notes", "n", &json!(1), &[]);
    assert_eq!(read("version", "first").2, "version");
    assert_eq!(read("version", "9").0, 404);
    assert_eq!(read("as_of", "yesterday").2, "as_of");
    assert_eq!(read("as_of", "2199-01-01T00:00:00Z").2, "as_of");
    assert_eq!(read("as_of", "2001-01-01T00:00:00Z").0, 404);
    assert_eq!(read("record_id", "m").1, "invalid-input");
}
