//! Bodies that were built to end or to stall the process.

use std::sync::Barrier;

use serde_json::{Value, json};

use crate::support::wire::Wire;
use crate::support::{Got, Server, agent, got};

/// Levels of the body that overflowed a thread's stack.
const LEVELS: usize = 12_000;

fn nested(levels: usize, within: &str) -> String {
    format!("{}{within}{}", "[".repeat(levels), "]".repeat(levels))
}

fn put_of(key: &str, payload: &str) -> String {
    format!(
        r#"{{"orgcode":"demo","container":"notes","content_type":"application/json","idempotency_key":"{key}","payload":{payload}}}"#
    )
}

fn put(server: &Server, key: &str, payload: &str) -> Got {
    server.post_bytes("/mrs/record", put_of(key, payload).as_bytes())
}

fn too_deep() -> (u16, String, String) {
    (400, "invalid-json".to_owned(), "too-deep".to_owned())
}

fn lives(server: &Server) {
    assert_eq!(server.get("/ready", &[]).status, 200);
}

#[test]
fn a_body_nested_too_deep_is_refused_by_every_route() {
    let server = Server::start();
    let document: Value =
        serde_json::from_str(include_str!("../../docs/openapi.json")).expect("it is JSON");
    let paths = document["paths"].as_object().expect("an object");
    let posts: Vec<_> = paths
        .iter()
        .filter(|(path, methods)| methods["post"].is_object() && !path.contains('{'))
        .map(|(path, _)| path.as_str())
        .collect();
    assert!(posts.len() > 20, "{posts:?}");
    for path in posts {
        for body in [
            put_of("k", &nested(LEVELS, "")),
            // Neither its end nor its credentials are needed to overflow a stack.
            r#"{"orgcode":"#.to_owned() + &"[{\"a\":".repeat(LEVELS),
            nested(LEVELS, r#""orgcode""#),
        ] {
            let refused = server.post_bytes(path, body.as_bytes());
            assert_eq!(refused.refusal(), too_deep(), "{path}");
        }
    }
    lives(&server);
    let error = put(&server, "k", &nested(128, "")).json()["error"].clone();
    assert_eq!(error["details"], json!({"depth_max": 128}));
    let within = put(&server, "k", &nested(127, ""));
    assert_eq!(within.status, 200, "{within:?}");
}

#[test]
fn a_body_nested_too_deep_is_refused_at_the_operators_address() {
    let server = Server::start();
    let agent = agent();
    for function in [
        "ofm_org_create",
        "ops_secret_set",
        "ops_vacuum_all",
        "mrs_reconcile",
        "utl_import_events",
    ] {
        for body in [
            format!(r#"{{"orgcode":"X","lines":{}}}"#, nested(LEVELS, "")),
            format!(r#"{{"secret_code":{}"#, "{\"a\":".repeat(LEVELS)),
        ] {
            let request = agent.post(format!("{}/invoke/{function}", server.operator_url));
            let token = format!("Bearer {}", server.operator_token);
            let refused = got(request.header("authorization", token).send(body.as_bytes()));
            assert_eq!(refused.refusal(), too_deep(), "{function}");
        }
    }
    let list = server.invoke("jobs_list", &json!({}));
    assert_eq!(list.status, 200);
}

#[test]
fn others_are_answered_while_bodies_that_took_half_a_minute_come_in() {
    let server = Server::start();
    let many = vec!["[1]"; 230_000].join(",");
    let deep = put_of("deep", &nested(6_000, &many));
    let flat = put_of("flat", &nested(126, &many));
    let threads = 8;
    let together = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        let hostile: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    let deep = server.post_bytes("/mrs/record", deep.as_bytes()).refusal();
                    let flat = server.post_bytes("/mrs/record", flat.as_bytes()).refusal();
                    (deep, flat)
                })
            })
            .collect();
        together.wait();
        for number in 0..50 {
            server.put_inline("honest", &format!("r{number}"), &json!({"n": number}), &[]);
        }
        let too_large = (
            400,
            "gzip-required".to_owned(),
            "inline-too-large".to_owned(),
        );
        for hostile in hostile {
            let (deep, flat) = hostile.join().expect("it ends");
            assert_eq!((deep, flat), (too_deep(), too_large.clone()));
        }
    });
    lives(&server);
}

#[test]
fn the_limit_of_nesting_is_a_setting() {
    let server = Server::start_with(&["--set", "http.body_depth_max=16"]);
    assert_eq!(put(&server, "a", &nested(16, "")).refusal(), too_deep());
    assert_eq!(put(&server, "a", &nested(15, "")).status, 200);
}

#[test]
fn members_of_one_name_make_another_request() {
    let server = Server::start();
    for (first, other) in [
        (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        (r#"{"a":2}"#, r#"{"a":1,"a":2}"#),
        (r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#),
        (r#"[{"b":{"a":1,"\u0061":2}}]"#, r#"[{"b":{"a":2}}]"#),
    ] {
        let key = format!("key of {first} and {other}").replace(['"', '\\'], "'");
        let made = put(&server, &key, first).data();
        assert_eq!(put(&server, &key, first).data(), made);
        let conflict = put(&server, &key, other).refusal();
        assert_eq!(
            (conflict.0, conflict.1.as_str()),
            (409, "idempotency-conflict"),
            "{first} {other}"
        );
    }
}

#[test]
fn a_string_that_is_no_text_is_kept_under_an_idempotency_key_as_without_one() {
    let server = Server::start();
    for payload in [r#""\ud800""#, r#"{"\udfff":["\ud83d"]}"#] {
        let key = payload.len().to_string();
        let made = put(&server, &key, payload).data();
        assert_eq!(put(&server, &key, payload).data(), made);
        assert_eq!(
            put(&server, &key, r#""\ud801""#).refusal().1,
            "idempotency-conflict"
        );
        let record_id = made["record_id"].as_str().expect("a text");
        let query = [
            ("orgcode", "demo"),
            ("container", "notes"),
            ("record_id", record_id),
        ];
        let read = server.get("/mrs/record", &query);
        let text = String::from_utf8(read.bytes).expect("UTF-8");
        assert!(text.contains(&format!("\"content\":{payload}")), "{text}");
    }
}

#[test]
fn an_answer_repeats_what_was_sent_in_part_alone() {
    let server = Server::start();
    let long = "A".repeat(60_000);
    let addresses = [&server.base_url, &server.operator_url];
    for head in [
        format!("{long} /mrs/record"),
        format!("{long} /content/x"),
        format!("GET /{long}"),
        format!("PUT /content/{long}"),
        format!("GET /mrs/list?{long}=1"),
        format!("POST /invoke/{long}"),
    ] {
        let request = format!(
            "{head} HTTP/1.1\r\nHost: localhost\r\nx-session-guid: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            server.session_guid
        );
        for address in addresses {
            let answer = Wire::connect(address).exchange(request.as_bytes());
            let name: String = head.chars().take(20).collect();
            assert!(
                (100..4_096).contains(&answer.len()),
                "{name} {}",
                answer.len()
            );
        }
    }
    for body in [
        format!(r#"{{"{long}":1}}"#),
        format!(r#"{{"container":["{long}"]}}"#),
        format!(r#"{{"orgcode":"demo","container":"{long}"}}"#),
        format!(r#"{{"orgcode":"demo","container":"notes","mode":"{long}"}}"#),
        long.clone(),
    ] {
        let refused = server.post_bytes("/mrs/record", body.as_bytes());
        assert_eq!(refused.status, 400);
        assert!(refused.bytes.len() < 4_096, "{}", refused.bytes.len());
    }
    lives(&server);
}
