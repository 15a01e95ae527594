//! Callers without a credential, and orgs that are not the caller's.

use serde_json::{Value, json};

use crate::support::{Got, Server};

fn without_stats(got: &Got) -> (u16, Value, Vec<String>) {
    let mut answer = got.json();
    answer["stats"] = Value::Null;
    let mut names: Vec<_> = got.headers.iter().map(|(name, _)| name.clone()).collect();
    names.sort();
    (got.status, answer, names)
}

#[test]
fn wrong_and_missing_credentials_get_the_same_answer() {
    let server = Server::start();
    let url = format!("{}/mrs/list?orgcode=DEMO", server.base_url);
    let unknown = "0".repeat(64);
    for alike in [[None, Some("")], [Some("wrong"), Some(&unknown)]] {
        let answers = alike.map(|guid| {
            let headers = guid.map(|guid| ("x-session-guid", guid));
            server.get_url(&url, headers.as_slice())
        });
        for got in &answers {
            assert_eq!(
                got.refusal(),
                (401, "invalid-session".to_owned(), String::new())
            );
            assert_eq!(without_stats(got), without_stats(&answers[0]));
        }
    }
}

#[test]
fn another_org_answers_as_a_missing_record() {
    let server = Server::start();
    let gets = [
        "/mrs/record",
        "/mrs/record/meta",
        "/mrs/record/versions",
        "/mrs/record/history",
        "/mrs/head",
    ];
    for path in gets {
        let query = |org| [("orgcode", org), ("container", "notes"), ("record_id", "n")];
        let absent = server.get(path, &query("DEMO"));
        let foreign = server.get(path, &query("OTHER"));
        assert_eq!(absent.refusal().0, 404);
        assert_eq!(without_stats(&absent), without_stats(&foreign), "{path}");
    }
    let absent = server.get("/mrs/changes", &[("orgcode", "NOSUCH")]);
    let foreign = server.get("/mrs/changes", &[("orgcode", "OTHER"), ("wait", "5")]);
    assert_eq!(absent.refusal().0, 404);
    assert_eq!(without_stats(&absent), without_stats(&foreign));
    for path in [
        "/mrs/tag/add",
        "/mrs/tag/remove",
        "/mrs/ttl/set",
        "/mrs/doom",
        "/mrs/hold/set",
        "/mrs/hold/release",
        "/mrs/record/copy",
    ] {
        let body = |org| {
            let mut body = json!({"orgcode": org, "container": "notes", "record_id": "n", "expected_revision": 1});
            match path {
                "/mrs/ttl/set" => body["doom_at"] = Value::Null,
                "/mrs/doom" | "/mrs/hold/release" => {}
                "/mrs/hold/set" => body["reason"] = json!("audit"),
                "/mrs/record/copy" => body["to_record_id"] = json!("n-2"),
                _ => body["tags"] = json!(["a"]),
            }
            body
        };
        let (absent, foreign) = (
            server.post(path, &body("DEMO")),
            server.post(path, &body("OTHER")),
        );
        assert_eq!(absent.refusal().0, 404);
        assert_eq!(without_stats(&absent), without_stats(&foreign), "{path}");
    }
    let put = json!({"orgcode": "OTHER", "container": "notes", "content_type": "application/json", "payload": 1, "idempotency_key": "k"});
    assert_eq!(server.post("/mrs/record", &put).refusal().0, 404);
    let batch = |org| json!({"orgcode": org, "items": [{"container": "notes", "content_type": "application/json", "payload": 1}]});
    let [foreign, absent] =
        ["OTHER", "NONE"].map(|org| server.post("/mrs/record/batch", &batch(org)));
    assert_eq!(foreign.refusal().0, 404);
    assert_eq!(without_stats(&absent), without_stats(&foreign));
    for path in ["/mrs/list", "/mrs/due", "/mrs/containers"] {
        let foreign = server.get(path, &[("orgcode", "OTHER")]);
        assert_eq!(foreign.refusal().0, 404, "{path}");
    }
}

#[test]
fn header_and_field_must_name_the_same_org_and_cost_centre() {
    let server = Server::start();
    let get = |query: &str, headers: &[(&str, &str)]| {
        let mut headers = headers.to_vec();
        headers.push(("x-session-guid", &server.session_guid));
        server
            .get_url(&format!("{}/mrs/list{query}", server.base_url), &headers)
            .refusal()
    };
    assert_eq!(
        get("?orgcode=DEMO", &[("x-orgcode", "OTHER")]),
        (400, "invalid-input".into(), "context-mismatch".into())
    );
    assert_eq!(get("", &[]).1, "invalid-orgcode");
    assert_eq!(
        get("", &[("x-orgcode", "demo")]),
        (200, String::new(), String::new())
    );
    let cccode = "?orgcode=DEMO&cccode=AAAA-AAAA-AAAA";
    assert_eq!(
        get(cccode, &[("x-cccode", "BBBB-BBBB-BBBB")]).1,
        "invalid-cccode"
    );
    assert_eq!(get(cccode, &[("x-cccode", "aaaa-aaaa-aaaa")]).0, 200);
}
