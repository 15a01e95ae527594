//! What is around every answer: the envelope, its facts, and the headers.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::{Got, Server};

fn query(id: &str) -> [(&str, &str); 3] {
    [
        ("orgcode", "demo"),
        ("container", "notes"),
        ("record_id", id),
    ]
}

fn check_headers(got: &Got) {
    let stats = &got.json()["stats"];
    let id = got.header("x-request-id").expect("a request id");
    assert_eq!(got.header("x-trace-id"), Some(id));
    assert_eq!(stats["request_id"], id);
    assert_eq!(got.header("x-api-version"), Some("2026-03-04"));
    assert_eq!(got.header("cache-control"), Some("no-store"));
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn a_good_answer_has_data_revision_build_and_stats() {
    let server = Server::start();
    let body = json!({"orgcode": "demo", "container": "notes", "record_id": "n", "content_type": "application/json",
        "payload": 1, "cccode": "ab12-cd34-ef56", "actor": "somebody"});
    let got = server.post("/mrs/record", &body);
    check_headers(&got);
    let answer = got.json();
    assert_eq!(
        (&answer["success"], &answer["revision"]),
        (&json!(true), &json!(1))
    );
    let build = &answer["build"];
    let (day, seconds) = build["build_id"]
        .as_str()
        .and_then(|id| id.split_once('-'))
        .expect("a build id");
    assert!(
        ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"].contains(&day)
            && seconds.parse::<u64>().is_ok()
    );
    let stats = &answer["stats"];
    assert_eq!(&stats["build"], build);
    assert_eq!(
        (&stats["call"], &stats["service"]),
        (&json!("POST /record"), &json!("mrs"))
    );
    assert_eq!(
        (&stats["orgcode"], &stats["cccode"]),
        (&json!("DEMO"), &json!("AB12-CD34-EF56"))
    );
    assert_eq!(
        (&stats["actor"], &stats["bandwidth_in_bytes"]),
        (&json!("somebody"), &json!(body.to_string().len()))
    );
    let data = serde_json::from_slice::<
        std::collections::BTreeMap<String, &serde_json::value::RawValue>,
    >(&got.bytes);
    let data = data.expect("an object")["data"].get().len();
    assert_eq!(stats["bandwidth_out_bytes"], data);
    assert!(
        stats["session_fingerprint"]
            .as_str()
            .is_some_and(|print| print.starts_with("sf_"))
    );
    let time = stats["timestamp_utc"].as_str().expect("a time");
    assert!(
        time.len() == 24 && time.ends_with('Z') && time.as_bytes()[19] == b'.',
        "{time}"
    );
}

#[test]
fn a_bad_answer_has_an_error_and_no_data() {
    let server = Server::start();
    let got = server.get("/mrs/record", &query("absent"));
    check_headers(&got);
    let answer = got.json();
    assert_eq!(
        (got.status, &answer["success"], &answer["data"]),
        (404, &json!(false), &Value::Null)
    );
    assert!(answer["error"]["major"]["message"]["en_US"].is_string());
    assert!(answer["error"].get("minor").is_none() && answer["error"].get("details").is_none());
}

#[test]
fn the_request_id_is_the_callers_when_it_is_a_good_one() {
    let server = Server::start();
    let long = "x".repeat(64);
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let url = format!("{}/health", server.base_url);
    for (headers, wanted) in [
        (
            vec![("x-request-id", "a.b_c-1"), ("x-trace-id", "t")],
            Some("a.b_c-1"),
        ),
        (
            vec![("x-request-id", "not good"), ("x-trace-id", "t-1")],
            Some("t-1"),
        ),
        (
            vec![
                ("x-request-id", long.as_str()),
                ("traceparent", traceparent),
            ],
            Some(&traceparent[3..35]),
        ),
        (vec![("traceparent", "00-0-0-0")], None),
    ] {
        let got = server.get_url(&url, &headers);
        check_headers(&got);
        let id = got.header("x-request-id").expect("a request id").to_owned();
        match wanted {
            Some(wanted) => assert_eq!(id, wanted),
            None => assert_eq!(id.len(), 36, "{id} is not a new UUID"),
        }
    }
}

#[test]
fn health_has_its_members_at_the_top_and_in_data() {
    let server = Server::start();
    let answer = server
        .get_url(&format!("{}/prod/health", server.base_url), &[])
        .json();
    for name in ["ok", "version", "request_id", "auth_mode", "maintenance"] {
        assert!(!answer[name].is_null(), "{name} is not flat in {answer}");
        assert_eq!(answer[name], answer["data"][name]);
    }
    assert_eq!(server.get("/ready", &[]).data()["ready"], true);
}

#[test]
fn unknown_routes_and_methods_are_answered_in_the_envelope() {
    let server = Server::start();
    for path in [
        "/",
        "/mrs",
        "/mrs/nothing",
        "/staging/mrs/record",
        "/mrs/record/",
    ] {
        let got = server.get(path, &[]);
        check_headers(&got);
        assert_eq!(got.refusal().1, "not-found", "{path}");
    }
    let got = server.post("/mrs/list", &json!({}));
    check_headers(&got);
    let refused = (405, "method-not-allowed".to_owned(), String::new());
    assert_eq!(got.refusal(), refused);
    assert_eq!(got.header("allow"), Some("GET, HEAD"));
    let got = server.put_url(&format!("{}/record", server.base_url), &[], b"");
    assert_eq!(got.refusal(), refused);
    assert_eq!(got.header("allow"), Some("POST, GET, HEAD"));
}

#[test]
fn operator_functions_have_their_own_address_and_need_a_token() {
    let server = Server::start();
    let url = format!("{}/invoke/mrs_reconcile", server.operator_url);
    assert_eq!(server.get_url(&url, &[]).refusal().1, "not-authorized");
    let session = format!("Bearer {}", server.session_guid);
    assert_eq!(
        server
            .get_url(&url, &[("authorization", &session)])
            .refusal()
            .1,
        "not-authorized"
    );
    let token = format!("Bearer {}", server.operator_token);
    let got = server.get_url(&url, &[("authorization", &token)]);
    assert_eq!((got.status, got.header("allow")), (405, Some("POST")));
    let unknown = format!("{}/invoke/mrs_unheard_of", server.operator_url);
    assert_eq!(
        server
            .get_url(&unknown, &[("authorization", &token)])
            .refusal()
            .1,
        "not-found"
    );
    assert_eq!(
        server.get("/invoke/mrs_reconcile", &[]).refusal().1,
        "not-found"
    );
}

/// Sends bytes as they are and reads what comes back until the connection ends or stays silent.
fn raw(server: &Server, bytes: &[u8]) -> String {
    let address = server.base_url.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(10)))
        .expect("a timeout");
    stream.write_all(bytes).expect("sent");
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("the end is sent");
    let mut answer = Vec::new();
    // What came until the end of the connection counts, however it ended.
    let _: std::io::Result<usize> = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_body_beyond_any_valid_call_is_cut_off_early() {
    let server = Server::start();
    let head = format!(
        "POST /mrs/record HTTP/1.1\r\nhost: x\r\nx-session-guid: {}\r\n",
        server.session_guid
    );
    let answer = raw(
        &server,
        format!("{head}content-length: 99999999\r\n\r\n{{").as_bytes(),
    );
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("too-large"),
        "{answer}"
    );
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
    let answer = raw(
        &server,
        format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}{chunk}").as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[test]
fn a_body_that_is_cut_off_or_garbage_leaves_nothing() {
    let server = Server::start();
    let head = format!(
        "POST /mrs/record HTTP/1.1\r\nhost: x\r\nx-session-guid: {}\r\n",
        server.session_guid
    );
    let body =
        r#"{"orgcode":"DEMO","container":"notes","content_type":"application/json","payload":1}"#;
    for request in [
        format!("{head}content-length: {}\r\n\r\n{body}", body.len() + 10),
        format!("{head}content-length: 5\r\n\r\n{body}"),
        format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n{body}"),
        format!("{head}content-length: -1\r\n\r\n{body}"),
    ] {
        let answer = raw(&server, request.as_bytes());
        assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
    assert_eq!(
        server
            .get("/mrs/list", &[("orgcode", "demo"), ("status", "all")])
            .data()["items"],
        json!([])
    );
}

#[test]
fn a_get_ignores_its_body_and_credentials_in_a_query() {
    let server = Server::start();
    let body = "not json";
    let request = format!(
        "GET /mrs/stat HTTP/1.1\r\nhost: x\r\nx-session-guid: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        server.session_guid,
        body.len()
    );
    assert!(raw(&server, request.as_bytes()).starts_with("HTTP/1.1 200"));
    let url = format!(
        "{}/mrs/stat?x-session-guid={}",
        server.base_url, server.session_guid
    );
    assert_eq!(server.get_url(&url, &[]).refusal().1, "invalid-session");
}
