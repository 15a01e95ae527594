//! What is refused is refused in the caller's words, and bodies are objects.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::Server;

/// Words of this program or its libraries that tell a caller nothing.
const INNER: &[&str] = &[
    "struct",
    "u64",
    "u32",
    "i64",
    "usize",
    "deserialize",
    "Deserialize",
    "variant",
    "untagged",
    "serde",
    "Option",
    "floating",
    "sequence",
    "map,",
    "Either",
    "`",
];

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

/// Posts bytes with more headers.
fn post(server: &Server, path: &str, headers: &[(&str, &str)], body: &[u8]) -> crate::support::Got {
    let url = format!("{}{path}", server.base_url);
    let mut request = crate::support::agent()
        .post(&url)
        .header("x-session-guid", &server.session_guid);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    crate::support::got(request.send(body))
}

fn message(got: &crate::support::Got) -> String {
    let message = &got.json()["error"]["major"]["message"]["en_US"];
    message.as_str().unwrap_or_default().to_owned()
}

#[test]
fn an_array_as_a_body_is_refused_everywhere() {
    let server = Server::start();
    server.put_inline("demo", "r", &json!(1), &[]);
    let doom = br#"["DEMO",null,"demo",null,null,null,null,"r",1]"#;
    let got = server.post_bytes("/mrs/doom", doom);
    assert_eq!(
        got.refusal(),
        (400, "invalid-input".to_owned(), "body".to_owned())
    );
    assert_eq!(message(&got), "The body must be a JSON object.");
    let document: Value =
        serde_json::from_slice(&std::fs::read("docs/openapi.json").expect("read")).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let posts: Vec<_> = paths
        .iter()
        .filter(|(_, methods)| methods.get("post").is_some())
        .collect();
    assert!(posts.len() > 20);
    for (path, _) in posts {
        for body in [
            "[]",
            "[null]",
            "[\"DEMO\",\"DEMO\",\"DEMO\",\"DEMO\"]",
            "\"DEMO\"",
            "null",
            "7",
        ] {
            let got = server.post_bytes(path, body.as_bytes());
            assert_eq!(got.refusal().1, "invalid-input", "{path} {body}");
            assert_eq!(got.refusal().2, "body", "{path} {body}");
        }
    }
    for function in [
        "ops_maintenance_schedule",
        "ops_vacuum_org",
        "ofm_org_create",
        "jobs_run",
        "mrs_reconcile",
        "ops_token_create",
        "ofm_quota_set",
        "utl_import_begin",
        "mrs_hold_set",
    ] {
        let got = server.invoke(function, &json!(["a", "b", "c"]));
        assert_eq!(
            got.refusal(),
            (400, "invalid-input".to_owned(), "body".to_owned()),
            "{function}"
        );
    }
    assert_eq!(
        server
            .get(
                "/mrs/head",
                &[
                    ("orgcode", "DEMO"),
                    ("container", "demo"),
                    ("record_id", "r")
                ]
            )
            .status,
        200
    );
}

#[test]
fn every_message_is_in_the_callers_words() {
    let server = Server::start();
    let long = format!("{{\"{}\": 1}}", "n".repeat(500));
    for (path, body) in [
        ("/mrs/record", r#"{"size": 1.5}"#),
        ("/mrs/record", r#"{"size": -1}"#),
        ("/mrs/record", r#"{"size": "many"}"#),
        ("/mrs/record", r#"{"size": 99999999999999999999999}"#),
        ("/mrs/record", r#"{"tags": "one"}"#),
        ("/mrs/record", r#"{"tags": [1]}"#),
        ("/mrs/record", r#"{"tags": {}}"#),
        ("/mrs/record", r#"{"orgcode": 7}"#),
        ("/mrs/record", r#"{"orgcode": "DEMO", "orgcode": "DEMO"}"#),
        ("/mrs/record", r#"{"colour": "red"}"#),
        ("/mrs/record", &long),
        ("/mrs/doom", r#"{"expected_revision": 1.5}"#),
        ("/mrs/doom", r#"{"expected_revision": {}}"#),
        ("/usm/session/list", r#"{"limit": []}"#),
        ("/usm/session/create", r#"{"email": ["a"]}"#),
        ("/usm/api_key/create", r#"{"role": 7}"#),
        ("/ofm/member/list", r#"{"limit": true}"#),
        ("/mrs/record", ""),
        ("/mrs/record", "{\"a\":"),
        ("/mrs/record", "{\"a\" 1}"),
        ("/mrs/record", "{} {}"),
        ("/mrs/record", "hello"),
        ("/mrs/record", "\u{feff}{}"),
    ] {
        let got = server.post_bytes(path, body.as_bytes());
        let message = message(&got);
        assert_eq!(got.status, 400, "{path} {body}: {message}");
        assert!(
            !message.is_empty() && message.ends_with('.'),
            "{path} {body}: {message}"
        );
        for word in INNER {
            assert!(!message.contains(word), "{path} {body}: {message}");
        }
    }
    for query in [
        "limit=1.5",
        "colour=red",
        "orgcode=DEMO&orgcode=DEMO",
        "limit=many",
        "include_doomed=maybe",
    ] {
        let got = server.get_url(
            &format!("{}/mrs/list?{query}", server.base_url),
            &[
                ("x-session-guid", &server.session_guid),
                ("x-orgcode", "DEMO"),
            ],
        );
        let message = message(&got);
        assert_eq!(got.status, 400, "{query}: {message}");
        for word in INNER {
            assert!(!message.contains(word), "{query}: {message}");
        }
    }
}

#[test]
fn a_gzipped_body_is_taken_within_the_limit_of_what_it_holds() {
    let server = Server::start();
    let coded = [("content-encoding", "gzip")];
    let body = json!({"orgcode": "DEMO", "container": "demo", "content_type": "application/json", "payload": "é"});
    let gz = gzip(body.to_string().as_bytes());
    assert_eq!(post(&server, "/mrs/record", &coded, &gz).status, 200);
    let unsaid = post(&server, "/mrs/record", &[], &gz);
    assert_eq!(unsaid.refusal().1, "invalid-json");
    assert!(
        message(&unsaid).contains("Content-Encoding: gzip"),
        "{}",
        message(&unsaid)
    );
    let bomb = gzip(&vec![b' '; 3_000_000]);
    assert_eq!(post(&server, "/mrs/record", &coded, &bomb).status, 413);
    for bad in [
        &gz[..gz.len() - 3],
        &[&gz[..], b"x"].concat(),
        b"{}",
        &gzip(&gz),
    ] {
        let got = post(&server, "/mrs/record", &coded, bad);
        assert_eq!(got.status, 400, "{}", message(&got));
    }
    // Depth is looked at once it is unpacked.
    let deep = format!("{{\"payload\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(
        post(&server, "/mrs/record", &coded, &gzip(deep.as_bytes())).status,
        400
    );
}

#[test]
fn an_idempotency_key_works_as_header_and_as_field() {
    let server = Server::start();
    let with = |key: Option<&str>| {
        let mut body = json!({"orgcode": "DEMO", "container": "demo", "content_type": "application/json", "payload": 1});
        if let Some(key) = key {
            body["idempotency_key"] = json!(key);
        }
        body.to_string().into_bytes()
    };
    let put = |headers: &[(&str, &str)], body: &[u8]| post(&server, "/mrs/record", headers, body);
    let first = put(&[("idempotency-key", "\"k-1\"")], &with(None));
    let again = put(&[("Idempotency-Key", "\"k-1\"")], &with(None));
    assert_eq!(again.header("idempotent-replay"), Some("true"));
    assert_eq!(first.data()["record_id"], again.data()["record_id"]);
    let both = put(&[("idempotency-key", "k-2")], &with(Some("k-2")));
    assert_eq!(both.status, 200);
    let differs = put(&[("idempotency-key", "k-3")], &with(Some("k-4")));
    let tag = "invalid-idempotency-key".to_owned();
    assert_eq!(
        differs.refusal(),
        (400, tag.clone(), "context-mismatch".to_owned())
    );
    for bad in ["\"k", "\"a\"b\"", ""] {
        assert_eq!(
            put(&[("idempotency-key", bad)], &with(None)).refusal().1,
            tag,
            "{bad}"
        );
    }
}
