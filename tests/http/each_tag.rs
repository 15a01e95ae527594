//! Every error tag, brought about once at a running server: its message says what is wrong, and what to do.

use std::collections::BTreeMap;

use md5::{Digest, Md5};
use metarecord::clock::Clock;
use metarecord::domain::rejection::NOT_FOUND;
use metarecord::domain::{ErrorTag, Timestamp};
use metarecord::projections::Store;
use serde_json::{Value, json};

use super::presigned::gzip;
use super::versions::DAY_MS;
use crate::ops::open::spoil;
use crate::support::inside::{Inside, START_MS};
use crate::support::wire::Wire;
use crate::support::{Got, agent, got};

const MD5: &str = "0123456789abcdef0123456789abcdef";

/// The messages that were told, by tag.
#[derive(Default)]
struct Told(BTreeMap<String, Vec<String>>);

impl Told {
    /// Takes note of a refusal, which has the tag.
    fn note(&mut self, tag: &str, got: &Got) {
        let error = &got.json()["error"]["major"];
        assert_eq!(error["tag"], tag, "{}", got.json());
        let message = error["message"]["en_US"].as_str().expect("a message");
        let told = self.0.entry(tag.to_owned()).or_default();
        told.push(message.to_owned());
    }

    /// The same of an answer as it went over the wire.
    fn note_text(&mut self, tag: &str, answer: &str) {
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let got = Got {
            status: 0,
            headers: Vec::new(),
            bytes: body.as_bytes().to_vec(),
        };
        self.note(tag, &got);
    }
}

fn with(mut body: Value, fields: Value) -> Value {
    for (name, value) in fields.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

fn inline(fields: Value) -> Value {
    let body = json!({"orgcode": "demo", "container": "notes", "record_id": "n", "content_type": "application/json", "payload": 1});
    with(body, fields)
}

fn upload(fields: Value) -> Value {
    let body = json!({"orgcode": "demo", "container": "notes", "mode": "presign", "content_type": "text/plain", "size": 10, "content_md5": MD5});
    with(body, fields)
}

/// What a put, a list or a read is refused for.
fn fields(server: &Inside, told: &mut Told) {
    let big = "x".repeat(262_143);
    for (tag, body) in [
        ("invalid-input", inline(json!({"colour": "red"}))),
        ("invalid-orgcode", inline(json!({"orgcode": "x/y"}))),
        ("invalid-cccode", inline(json!({"cccode": "nope"}))),
        ("invalid-container", inline(json!({"container": "a"}))),
        ("invalid-record-id", inline(json!({"record_id": "a/b"}))),
        ("invalid-tag", inline(json!({"tags": ["a b"]}))),
        ("invalid-doom-at", inline(json!({"doom_at": "tomorrow"}))),
        (
            "invalid-idempotency-key",
            inline(json!({"idempotency_key": ""})),
        ),
        (
            "unsupported-content-type",
            inline(json!({"content_type": "text/plain", "mode": "inline"})),
        ),
        (
            "inline-too-large",
            inline(json!({"payload": big, "mode": "inline"})),
        ),
        ("gzip-required", inline(json!({"payload": big}))),
        ("too-large", upload(json!({"size": 134_217_729}))),
        ("missing-content-md5", upload(json!({"content_md5": null}))),
        ("invalid-content-md5", upload(json!({"content_md5": "x"}))),
        ("missing-size", upload(json!({"size": null}))),
    ] {
        told.note(tag, &server.post("/mrs/record", &body));
    }
    for (tag, path) in [
        ("invalid-status", "/mrs/list?orgcode=demo&status=odd"),
        ("invalid-next-token", "/mrs/list?orgcode=demo&next_token=x"),
        (
            "not-found",
            "/mrs/record?orgcode=demo&container=notes&record_id=absent",
        ),
    ] {
        told.note(tag, &server.get(path));
    }
    let session = server.session_guid.as_str();
    let ask = |method: &str, path: &str, kind: &str, text: &str| {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", server.base_url))
            .header("x-session-guid", session)
            .header("content-type", kind);
        got(agent().run(request.body(text.to_owned()).expect("a request")))
    };
    told.note(
        "invalid-json",
        &ask("POST", "/mrs/record", "application/json", "{"),
    );
    told.note(
        "unsupported-media-type",
        &ask("POST", "/mrs/record", "text/csv", "a"),
    );
    told.note(
        "method-not-allowed",
        &server.call("DELETE", "/mrs/record", &[], None),
    );
    let path = format!("/mrs/list?orgcode=demo&prefix={}", "a".repeat(20_000));
    let long = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    told.note_text(
        "uri-too-long",
        &Wire::connect(&server.base_url).exchange(long.as_bytes()),
    );
    let long = format!(
        "GET /health HTTP/1.1\r\nHost: x\r\na: {}\r\n\r\n",
        "a".repeat(70_000)
    );
    told.note_text(
        "head-too-large",
        &Wire::connect(&server.base_url).exchange(long.as_bytes()),
    );
    let slow = b"GET /health HTTP/1.1\r\nHost: x\r\na: ";
    told.note_text(
        "request-timeout",
        &Wire::connect(&server.base_url).trickle(slow, b"b"),
    );
}

/// What the state of a record, or of an upload, does not allow.
fn records(server: &Inside, told: &mut Told) {
    server.put("notes", "n", &json!(1));
    let at = |fields: Value| {
        with(
            json!({"orgcode": "demo", "container": "notes", "record_id": "n"}),
            fields,
        )
    };
    told.note(
        "expected-revision-required",
        &server.post("/mrs/doom", &at(json!({}))),
    );
    told.note(
        "conflict",
        &server.post("/mrs/doom", &at(json!({"expected_revision": 9}))),
    );
    let keyed = inline(json!({"record_id": "k", "idempotency_key": "k"}));
    server.post("/mrs/record", &keyed).data();
    told.note(
        "idempotency-conflict",
        &server.post("/mrs/record", &with(keyed, json!({"payload": 2}))),
    );
    server
        .post("/mrs/doom", &at(json!({"expected_revision": 1})))
        .data();
    told.note(
        "doomed",
        &server.post("/mrs/doom", &at(json!({"expected_revision": 2}))),
    );

    let gz = gzip(b"some text");
    let md5 = hex::encode(Md5::digest(&gz));
    let promised = |id: &str| {
        let body = upload(json!({"record_id": id, "size": gz.len(), "content_md5": md5}));
        server.post("/mrs/record", &body).data()
    };
    let first = promised("up");
    let complete = |fields: Value| {
        let body = json!({"orgcode": "demo", "container": "notes", "record_id": "up", "content_token": first["content_token"],
            "size": gz.len(), "content_md5": md5});
        server.post("/mrs/record/complete", &with(body, fields))
    };
    told.note(
        "invalid-state",
        &server.get("/mrs/record?orgcode=demo&container=notes&record_id=up"),
    );
    told.note("md5-missing", &complete(json!({})));
    told.note(
        "invalid-content-token",
        &complete(json!({"content_token": "x"})),
    );
    let path = |url: &Value| {
        let url = url.as_str().expect("a url");
        url.strip_prefix(&server.base_url)
            .expect("of this server")
            .to_owned()
    };
    let place = path(&first["upload"]["url"]);
    assert_eq!(server.put_bytes(&place, &gz).status, 200);
    told.note("size-mismatch", &complete(json!({"size": 1})));
    told.note("md5-mismatch", &complete(json!({"content_md5": MD5})));
    complete(json!({})).data();
    let record = server
        .get("/mrs/record?orgcode=demo&container=notes&record_id=up")
        .data();
    let place = path(&record["download"]["url"]);
    let other = server.call("GET", &place, &[("if-match", "\"x\"")], None);
    told.note("precondition-failed", &other);
    server.clock.advance(DAY_MS);
    told.note("expired-url", &server.call("GET", &place, &[], None));
}

/// What callers may not do.
fn callers(server: &Inside, told: &mut Told) {
    let nobody = server.call("GET", "/mrs/list?orgcode=demo", &[], None);
    told.note("invalid-session", &nobody);
    let sign_in = |email: &str| {
        let body = json!({"email": email, "passcode": "a passcode that is long"});
        server.call("POST", "/usm/session/create", &[], Some(&body))
    };
    told.note("invalid-passcode", &sign_in("nobody@example.com"));
    let user = |email: &str, verified: bool| {
        let body =
            json!({"email": email, "passcode": "a passcode that is long", "verified": verified});
        server.operator("uas_user_create", &body).data()["user_id"].clone()
    };
    user("new@example.com", false);
    told.note("user-not-verified", &sign_in("new@example.com"));
    user("ben@example.com", true);
    let body = json!({"orgcode": "OTHER", "owner_email": "ben@example.com"});
    server.operator("ofm_org_create", &body).data();
    let ben = sign_in("ben@example.com").data()["session_guid"].clone();
    let invited = json!({"orgcode": "demo", "email": "ben@example.com"});
    let invitation =
        server.post("/ofm/invitation/create", &invited).data()["invitation_id"].clone();
    let as_ben = |path: &str, body: Value| {
        let session = ben.as_str().expect("a session");
        server.call("POST", path, &[("x-session-guid", session)], Some(&body))
    };
    as_ben(
        "/ofm/invitation/accept",
        json!({"orgcode": "demo", "invitation_id": invitation}),
    )
    .data();
    told.note(
        "not-owner",
        &as_ben("/ofm/org/park", json!({"orgcode": "demo"})),
    );
    let account = server
        .post(
            "/usm/service_account/create",
            &json!({"orgcode": "demo", "label": "a"}),
        )
        .data();
    let key = json!({"orgcode": "demo", "service_account_id": account["service_account_id"], "role": "mrs_reader"});
    let key = server.post("/usm/api_key/create", &key).data();
    let key = key["api_key"].as_str().expect("a key");
    let put = server.call(
        "POST",
        "/mrs/record",
        &[("x-api-key", key)],
        Some(&inline(json!({}))),
    );
    told.note("not-authorized", &put);
    server.put("notes", "first", &json!(1));
    let quota = json!({"orgcode": "DEMO", "limits": {"containers": 1}});
    server.operator("ofm_quota_set", &quota).data();
    let other = inline(json!({"container": "another", "record_id": "q"}));
    told.note("quota-exceeded", &server.post("/mrs/record", &other));
    for (status, tag) in [
        ("parked", "org-write-blocked"),
        ("frozen", "org-read-blocked"),
    ] {
        let body = json!({"orgcode": "OTHER", "status": status});
        server.operator("ofm_org_status_set", &body).data();
        let body = inline(json!({"orgcode": "other"}));
        let got = if status == "parked" {
            as_ben("/mrs/record", body)
        } else {
            let session = [("x-session-guid", ben.as_str().expect("a session"))];
            server.call("GET", "/mrs/list?orgcode=other", &session, None)
        };
        told.note(tag, &got);
    }
}

/// What operators' functions refuse, and what a window does to tenants.
fn operators(server: &Inside, told: &mut Told) {
    let now = || server.clock.now().to_string();
    let window = |fields: Value| {
        let body = json!({"description": "d", "duration": 3600, "start": now()});
        server.invoke("ops_maintenance_schedule", with(body, fields))
    };
    told.note(
        "secret-code-mismatch",
        &window(json!({"secret_code": "not the secret code"})),
    );
    let phrase = json!({"reason": "r", "confirmation_phrase": "yes"});
    told.note(
        "confirmation-phrase-mismatch",
        &server.invoke("ops_vacuum_all", phrase),
    );
    let vacuum = |fields: Value| {
        server.invoke(
            "ops_vacuum_org",
            with(json!({"orgcode": "OTHER", "reason": "r"}), fields),
        )
    };
    let pending = vacuum(json!({})).data()["vacuum_id"].clone();
    told.note("vacuum-mutex-locked", &vacuum(json!({})));
    server
        .invoke("ops_vacuum_cancel", json!({"vacuum_id": pending}))
        .data();
    let first = window(json!({})).data();
    let read = || server.get("/mrs/list?orgcode=demo");
    crate::support::eventually("tenants are kept out", || read().status == 503);
    told.note("maintenance-mode", &read());
    let second = window(json!({"description": "another"})).data();
    let start = json!({"maintenance_id": second["maintenance_id"]});
    told.note(
        "maintenance-already-active",
        &server.invoke("ops_maintenance_start", start),
    );
    for window in [second, first] {
        let id = json!({"maintenance_id": window["maintenance_id"]});
        let over = if window["status"] == "scheduled" && window["waits_for"] != Value::Null {
            "ops_maintenance_cancel"
        } else {
            "ops_maintenance_end"
        };
        server.invoke(over, id).data();
    }
    crate::support::eventually("tenants are served", || read().status == 200);
}

/// Messages of these say it all without an advice: what happened has ended, or the words are the advice.
fn says_what_to_do(message: &str) -> bool {
    const ADVICE: &[&str] = &[
        "; ",
        ": ",
        "must ",
        "needs ",
        "Needs ",
        "Try again",
        "Sign in",
        "Send ",
        "Give ",
        "Use ",
        "See ",
        "Ask ",
        "ask ",
        "Wait",
        "check",
        "see ",
        "Doom ",
        "Put ",
        "Read ",
        "Only ",
        "at most",
        "cannot",
        "Quote",
        "is missing",
    ];
    ADVICE.iter().any(|words| message.contains(words))
}

#[test]
fn every_error_tag_says_what_to_do() {
    let scratch = tempfile::tempdir().expect("a directory");
    let mut told = Told::default();
    let clock = || Clock::manual(Timestamp::from_millis(START_MS));
    let dir = scratch.path().join("data");
    let sets = ["http.head_seconds=1"];
    let server = Inside::start_by(&dir, clock(), &sets);
    fields(&server, &mut told);
    callers(&server, &mut told);
    operators(&server, &mut told);
    records(&server, &mut told);
    drop(server);
    // Tags of faults alone: rows that cannot be read, and a full disk.
    let dir = scratch.path().join("faulty");
    let mut server = Inside::start_by(&dir, clock(), &[]);
    let start = server.clock.now().to_string();
    let window = json!({"description": "d", "duration": 3600, "start": start});
    server.invoke("ops_maintenance_schedule", window).data();
    server.stop();
    let store = Store::open(&dir.join("projections/current"), 1 << 20).expect("it opens");
    spoil(&store);
    drop(store);
    let server = Inside::start_by(&dir, clock(), &[]);
    let end = server.invoke("ops_maintenance_end", json!({}));
    told.note("internal-error", &end);
    drop(server);
    let sets = ["disk.changes_min_free_bytes=18446744073709551615"];
    let server = Inside::start_by(&scratch.path().join("full"), clock(), &sets);
    let put = inline(json!({}));
    crate::support::eventually("the disk is short", || {
        server.post("/mrs/record", &put).status == 503
    });
    told.note("unavailable", &server.post("/mrs/record", &put));
    drop(server);
    let sets = ["limits.principal_per_second=1", "limits.principal_burst=1"];
    let server = Inside::start_by(&scratch.path().join("few"), clock(), &sets);
    let read = || server.get("/mrs/list?orgcode=demo");
    crate::support::eventually("it is too much", || read().status == 429);
    told.note("throttled", &read());
    let mut silent = Vec::new();
    for tag in ErrorTag::ALL {
        let messages = told.0.get(tag.as_str());
        let messages = messages.unwrap_or_else(|| panic!("{} was not brought about", tag.as_str()));
        // One text for what is absent and what is not the caller's; the command line adds the advice.
        let wrong = messages
            .iter()
            .filter(|message| *message != NOT_FOUND && !says_what_to_do(message));
        silent.extend(wrong.map(|message| format!("{}: {message}", tag.as_str())));
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}
