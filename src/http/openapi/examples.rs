//! Examples of requests and answers in the OpenAPI document. A test sends every one to a server, in this order.

use serde_json::{Value, json};

/// An operation, what is sent, and what `data` of the answer is; `None` for what is not shown.
pub struct Example {
    /// The method, in lower case.
    pub method: &'static str,
    /// The path, as the document has it.
    pub path: &'static str,
    /// The body that is sent.
    pub request: Option<Value>,
    /// What the answer's `data` is.
    pub data: Option<Value>,
}

/// Every example. Those of records follow one record, from before its creation to its end.
pub fn examples() -> Vec<Example> {
    let place = json!({"orgcode": "DEMO", "container": "notes", "record_id": "note-1"});
    let with = |more: Value| {
        let mut body = place.clone();
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        body
    };
    let post = |path, request| Example {
        method: "post",
        path,
        request: Some(request),
        data: None,
    };
    vec![
        Example {
            method: "post",
            path: "/mrs/record",
            request: Some(with(json!({
                "content_type": "application/json",
                "payload": {"title": "Milk and bread"},
                "tags": ["SHOPPING"],
                "idempotency_key": "note-1-created",
            }))),
            data: Some(record(1, &["SHOPPING"])),
        },
        post(
            "/mrs/tag/add",
            with(json!({"tags": ["TODAY"], "expected_revision": 1})),
        ),
        post(
            "/mrs/tag/remove",
            with(json!({"tags": ["TODAY"], "expected_revision": 2})),
        ),
        post(
            "/mrs/ttl/set",
            with(json!({"doom_at": "2199-12-31T00:00:00Z", "expected_revision": 3})),
        ),
        Example {
            method: "get",
            path: "/mrs/record/meta",
            request: None,
            data: Some(record(1, &["SHOPPING"])),
        },
        Example {
            method: "get",
            path: "/mrs/list",
            request: None,
            data: Some(json!({"items": [record(1, &["SHOPPING"])], "limit": 8})),
        },
        Example {
            method: "get",
            path: "/mrs/record/history",
            request: None,
            data: Some(json!({"items": [tagged()], "limit": 8})),
        },
        post(
            "/mrs/doom",
            with(json!({"reason": "bought", "expected_revision": 4})),
        ),
        post("/mrs/record/batch", batch()),
        post(
            "/usm/session/create",
            json!({"email": "demo@example.com", "passcode": "correct horse battery staple"}),
        ),
        post(
            "/usm/service_account/create",
            json!({"orgcode": "DEMO", "label": "nightly import"}),
        ),
    ]
}

/// The envelope of an answer, as a server of this version gives it around `data`.
pub(super) fn envelope(method: &str, path: &str, data: Value) -> Value {
    let (service, call) = path
        .trim_start_matches('/')
        .split_once('/')
        .unwrap_or(("", path));
    let build = json!({"build_major": "0", "build_minor": "1", "build_id": "FRI-1800000000"});
    let mut answer = json!({
        "success": true,
        "build": build,
        "stats": {
            "call": format!("{} /{call}", method.to_uppercase()),
            "service": service,
            "request_id": "7d6a67cf-f3c6-4b54-9759-b20a27b44f92",
            "timestamp_utc": "2027-01-15T08:00:00.000Z",
            "latency_ms": 2,
            "bandwidth_in_bytes": 0,
            "bandwidth_out_bytes": data.to_string().len(),
            "orgcode": "DEMO",
            "build": build,
        },
    });
    if !data["revision"].is_null() {
        answer["revision"] = data["revision"].clone();
    }
    answer["data"] = data;
    answer
}

/// A change of a record as its history shows it.
fn tagged() -> Value {
    json!({
        "revision": 2,
        "position": 41,
        "at": "2027-01-15T08:00:00.000Z",
        "type": "record.tags_added",
        "by": "u_7f3a",
        "source": "gateway",
        "request_id": "7d6a67cf-f3c6-4b54-9759-b20a27b44f92",
        "changes": [{"field": "tags", "added": ["TODAY"]}],
    })
}

/// A batch of one record.
fn batch() -> Value {
    json!({
        "orgcode": "DEMO",
        "items": [{
            "orgcode": "DEMO",
            "container": "notes",
            "record_id": "note-2",
            "content_type": "application/json",
            "payload": {"title": "Eggs"},
            "idempotency_key": "note-2-created",
        }],
    })
}

/// A record as answers show it.
fn record(revision: u64, tags: &[&str]) -> Value {
    json!({
        "record_id": "note-1",
        "container": "notes",
        "orgcode": "DEMO",
        "status": "active",
        "revision": revision,
        "content_type": "application/json",
        "content_kind": "inline",
        "content_size": 26,
        "content_md5": "5f0b3e4f1b5d8ad3a8d1a9d2f4c0e7b6",
        "content_version": 1,
        "tags": tags,
        "created_at": "2027-01-15T08:00:00.000Z",
        "updated_at": "2027-01-15T08:00:00.000Z",
        "created_by": "u_7f3a",
        "updated_by": "u_7f3a",
    })
}
