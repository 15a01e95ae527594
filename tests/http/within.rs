//! Requests that another surface of the server makes for its callers: they are answered, limited and logged as if the callers
//! had sent them on a connection.

use std::pin::pin;
use std::time::Duration;

use actix_web::http::StatusCode;
use futures_util::FutureExt as _;
use metarecord::clock::Clock;
use metarecord::clock::Stopwatch;
use metarecord::http::inner::{self, Caller};
use metarecord::http::routes::ROUTES;
use metarecord::report::{self, Log, LogOptions};
use serde_json::{Value, json};

use crate::support::alike::assert_same;
use crate::support::inside::{Inside, on_a_thread_that_serves, within};
use crate::support::{Got, agent, by_itself, eventually, got};

/// What an answer that conceals takes at least.
const SPAN: Duration = Duration::from_millis(2);

/// The same request on a connection and within another.
fn both(
    server: &Inside,
    method: &str,
    (path, query): (&'static str, &str),
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Got {
    let mark = if query.is_empty() { "" } else { "?" };
    let target = format!("{path}{mark}{query}");
    let got = server.call(method, &target, headers, body);
    let inner = server.call_within(method, (path, query), headers, body);
    assert_same(&got, &inner, &format!("{method} {target}"));
    inner
}

fn put(record_id: &str) -> Value {
    json!({"orgcode": "DEMO", "container": "notes", "record_id": record_id,
        "content_type": "application/json", "payload": {"a": 1}})
}

#[test]
fn what_no_route_takes_is_refused_within_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Inside::start(dir.path());
    let guid = server.session_guid.clone();
    let signed_in = [("x-session-guid", guid.as_str())];
    let two_orgs = [signed_in[0], ("x-orgcode", "A1"), ("x-orgcode", "B1")];
    let key = [("idempotency-key", "\"k\"")];
    let deep: Value = (0..200).fold(json!(1), |inner, _| json!([inner]));
    let long = json!({"orgcode": "DEMO", "filler": "x".repeat(2 << 20)});
    for (method, asked, headers, body, refused) in [
        ("GET", ("/nowhere", ""), &[][..], None, (404, "not-found")),
        (
            "GET",
            ("/invoke/jobs_list", ""),
            &[],
            None,
            (404, "not-found"),
        ),
        (
            "DELETE",
            ("/mrs/record", ""),
            &[],
            None,
            (405, "method-not-allowed"),
        ),
        (
            "GET",
            ("/mrs/list", "orgcode=DEMO"),
            &[],
            None,
            (401, "invalid-session"),
        ),
        (
            "GET",
            ("/mrs/list", "orgcode=DEMO"),
            &two_orgs,
            None,
            (400, "invalid-orgcode"),
        ),
        (
            "GET",
            ("/mrs/list", "colour=red"),
            &signed_in,
            None,
            (400, "invalid-input"),
        ),
        (
            "POST",
            ("/mrs/tag/add", ""),
            &signed_in,
            Some(&json!([1])),
            (400, "invalid-input"),
        ),
        (
            "POST",
            ("/mrs/tag/add", ""),
            &signed_in,
            Some(&deep),
            (400, "invalid-json"),
        ),
        (
            "POST",
            ("/mrs/tag/add", ""),
            &signed_in,
            Some(&long),
            (413, "too-large"),
        ),
        (
            "POST",
            ("/usm/session/create", ""),
            &key,
            Some(&json!({})),
            (400, "invalid-idempotency-key"),
        ),
    ] {
        let got = both(&server, method, asked, headers, body);
        let (status, tag, _) = got.refusal();
        assert_eq!((status, tag.as_str()), refused, "{method} {}", asked.0);
    }
}

#[test]
fn documents_and_health_are_answered_within() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Inside::start(dir.path());
    for path in [
        "/openapi.json",
        "/health",
        "/ready",
        "/ops/ping",
        "/ops/stat",
    ] {
        assert_eq!(both(&server, "GET", (path, ""), &[], None).status, 200);
    }
}

#[test]
fn a_key_counts_on_a_connection_and_within_alike() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Inside::start(dir.path());
    let headers = [("x-session-guid", server.session_guid.as_str())];
    let mut body = put("once");
    body["idempotency_key"] = json!("k1");
    let first = server.call("POST", "/mrs/record", &headers, Some(&body));
    let again = server.call_within("POST", ("/mrs/record", ""), &headers, Some(&body));
    assert_eq!(first.data()["record_id"], again.data()["record_id"]);
    assert_eq!(again.header("idempotent-replay"), Some("true"));
}

#[test]
fn requests_within_are_counted_once_each_with_those_on_connections() {
    let dir = tempfile::tempdir().expect("a directory");
    let sets = ["limits.principal_per_second=1", "limits.principal_burst=4"];
    let clock = Clock::manual(metarecord::domain::Timestamp::from_millis(0));
    let server = Inside::start_by(dir.path(), clock, &sets);
    let headers = [("x-session-guid", server.session_guid.as_str())];
    let asked = ("/mrs/list", "orgcode=DEMO");
    for left in [3, 1] {
        let got = server.get("/mrs/list?orgcode=DEMO");
        let shown = format!("\"principal\";r={left};t=4");
        assert_eq!(got.header("ratelimit"), Some(shown.as_str()));
        let inner = server.call_within("GET", asked, &headers, None);
        assert_eq!(inner.status, 200);
    }
    let refused = both(&server, "GET", asked, &headers, None);
    assert_eq!(refused.refusal().2, "principal-limit");
    assert!(refused.header("retry-after").is_some());
}

#[test]
fn an_org_has_as_many_in_progress_as_its_limit_both_ways_together() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(metarecord::domain::Timestamp::from_millis(0));
    let server = Inside::start_by(dir.path(), clock, &["limits.org_in_flight_max=1"]);
    let headers = [("x-session-guid", server.session_guid.as_str())];
    let gateway = server.gateway();
    on_a_thread_that_serves(async {
        let request = within("POST", ("/mrs/record", ""), &headers, Some(&put("slow")));
        let mut working = pin!(inner::carry_out(&gateway, request));
        // It waits for the disk, with its place taken.
        assert!(working.as_mut().now_or_never().is_none());
        let got = server.get("/mrs/list?orgcode=DEMO");
        assert_eq!(got.refusal().2, "requests_in_flight");
        let request = within("GET", ("/mrs/list", "orgcode=DEMO"), &headers, None);
        let refused = inner::carry_out(&gateway, request).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(working.await.status, StatusCode::OK);
        assert_eq!(server.get("/mrs/list?orgcode=DEMO").status, 200);
    });
}

#[test]
fn during_maintenance_routes_are_refused_within_as_on_connections() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Inside::start(dir.path());
    let start = server.clock.now().to_string();
    let window = json!({"description": "moving", "duration": 600, "start": start});
    server.invoke("ops_maintenance_schedule", window).data();
    eventually("tenants are kept out", || {
        server.get("/mrs/list?orgcode=DEMO").status == 503
    });
    let guid = server.session_guid.clone();
    let headers = [("x-session-guid", guid.as_str())];
    for route in ROUTES.iter().filter(|route| !route.in_maintenance) {
        let method = route.method.as_str();
        let body = json!({});
        let body = (method == "POST").then_some(&body);
        let got = server.call(method, route.path, &headers, body);
        let inner = server.call_within(method, (route.path, ""), &headers, body);
        let refused = (503, "maintenance-mode".to_owned(), String::new());
        assert_eq!(got.refusal(), refused, "{}", route.path);
        assert_eq!(inner.refusal(), refused, "{}", route.path);
        let details = |got: &Got| got.json()["error"]["details"].clone();
        assert_eq!(details(&got), details(&inner));
        assert!(inner.header("retry-after").is_some());
    }
    let whoami = both(&server, "GET", ("/whoami", ""), &headers, None);
    assert_eq!(whoami.status, 200);
}

#[test]
fn what_is_not_there_takes_as_long_within() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Inside::start(dir.path());
    let headers = [("x-session-guid", server.session_guid.as_str())];
    for query in [
        "orgcode=ABSENT&container=notes&record_id=r",
        "orgcode=DEMO&container=notes&record_id=r",
    ] {
        for _ in 0..10 {
            let since = Stopwatch::start();
            let got = server.call_within("GET", ("/mrs/record", query), &headers, None);
            assert_eq!(got.status, 404);
            assert!(since.elapsed() >= SPAN, "{query}: {:?}", since.elapsed());
        }
    }
}

#[test]
fn only_what_says_who_calls_is_taken_from_the_outer_request() {
    let outer = actix_web::test::TestRequest::post()
        .uri("http://records.example:81/mcp")
        .peer_addr(([192, 0, 2, 7], 9).into());
    let taken = [
        "authorization",
        "x-session-guid",
        "x-api-key",
        "x-orgcode",
        "x-cccode",
        "x-request-id",
        "x-trace-id",
        "traceparent",
        "x-user",
        "x-tenant",
        "x-role",
        "forwarded",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
    ];
    let left = [
        "idempotency-key",
        "content-type",
        "content-encoding",
        "content-length",
        "transfer-encoding",
        "expect",
        "connection",
        "upgrade",
        "accept-encoding",
        "if-match",
        "if-none-match",
        "range",
        "origin",
        "cookie",
        "sec-fetch-site",
        "mcp-method",
    ];
    let all = taken.iter().chain(&left);
    let outer = all.fold(outer, |outer, name| outer.append_header((*name, "value")));
    // Said twice, a credential is as ambiguous as it was.
    let outer = outer
        .append_header(("x-api-key", "another"))
        .append_header(("host", "evil.example"));
    let caller = Caller::of(&outer.to_http_request());
    let headers = caller.headers();
    for name in taken {
        assert!(headers.contains_key(name), "{name}");
    }
    for name in left {
        assert!(!headers.contains_key(name), "{name}");
    }
    assert_eq!(headers.get_all("x-api-key").count(), 2);
    let host = headers.get("host").and_then(|host| host.to_str().ok());
    assert_eq!(host, Some("records.example:81"));
    assert_eq!(headers.len_keys(), taken.len() + 1);
}

#[test]
fn a_caller_whom_headers_name_must_not_come_by_a_proxy_within_either() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(metarecord::domain::Timestamp::from_millis(0));
    let sets = [
        "auth.header_identity=true",
        "auth.allow_insecure_header_identity=true",
    ];
    let server = Inside::start_by(dir.path(), clock, &sets);
    let told = [("x-user", "ann"), ("x-tenant", "DEMO"), ("x-role", "owner")];
    assert_eq!(
        both(&server, "GET", ("/whoami", ""), &told, None).status,
        200
    );
    let passed_on = [told[0], told[1], told[2], ("x-forwarded-for", "192.0.2.1")];
    assert_eq!(
        both(&server, "GET", ("/whoami", ""), &passed_on, None).status,
        401
    );
    let elsewhere = [told[0], told[1], told[2], ("host", "evil.example")];
    let got = both(&server, "GET", ("/whoami", ""), &elsewhere, None);
    assert_eq!(got.refusal().2, "host");
}

#[test]
fn operators_functions_answer_alike_by_each_token() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Inside::start(dir.path());
    let create = json!({"name": "reader", "scopes": ["read"]});
    let reader = server.operator("ops_token_create", &create).data();
    let bearer = |token: &str| format!("Bearer {token}");
    let tokens = [
        bearer(server.operator_token()),
        bearer(reader["operator_token"].as_str().expect("a token")),
        bearer("op_wrong"),
    ];
    let source = include_str!("../../src/http/operator/mod.rs");
    let names = source.split("function!(\"").skip(1);
    let names: Vec<_> = names.filter_map(|rest| rest.split('"').next()).collect();
    assert!(names.len() > 50, "{names:?}");
    let unknown = ["no_such_function", "metrics"];
    for name in names.iter().chain(&unknown) {
        let path: &'static str = Box::leak(format!("/invoke/{name}").into_boxed_str());
        let credentials = tokens
            .iter()
            .map(|token| vec![("authorization", token.as_str())]);
        let tenants = vec![("x-session-guid", server.session_guid.as_str())];
        for headers in credentials.chain([Vec::new(), tenants]) {
            // Too much for anything to happen, and enough to be asked who one is.
            let body = json!({"unknown": 1});
            let url = format!("{}{path}", server.operator_url);
            let mut request = agent().post(url);
            for (name, value) in &headers {
                request = request.header(*name, *value);
            }
            let got = got(request
                .content_type("application/json")
                .send(body.to_string()));
            let inner = server.invoke_within(path, &headers, &body);
            assert_same(
                &got,
                &inner,
                &format!("{name} with {} headers", headers.len()),
            );
        }
    }
}

/// Set in the process that tells.
const CHILD: &str = "METARECORD_TEST_WITHIN";
/// This test, as the test program knows it.
const NAME: &str = "http::within::the_log_has_the_label_of_a_request_within";

#[test]
fn the_log_has_the_label_of_a_request_within() {
    if std::env::var_os(CHILD).is_some() {
        return log_requests();
    }
    let output = by_itself(NAME, CHILD);
    let log = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let of = |event: &str| {
        let lines = lines.iter().filter(move |line| line["event"] == event);
        let named =
            lines.map(|line| format!("{} {} {}", line["service"], line["route"], line["status"]));
        named.map(|line| line.replace('"', "")).collect::<Vec<_>>()
    };
    assert_eq!(
        of("request"),
        [
            "mrs test/within 200",
            "mrs test/within 404",
            "mrs test/within 401",
            "mrs test/within 404",
            "jobs test/within 200",
            "operator test/within 403",
        ],
        "{log}"
    );
    let denied = of("access_denied");
    assert!(
        !denied.is_empty() && denied.iter().all(|line| line.contains("test/within")),
        "{log}"
    );
    let functions = lines.iter().filter(|line| line["event"] == "operator_call");
    assert!(
        functions
            .clone()
            .all(|line| line["function"] == "jobs_list"),
        "{log}"
    );
    assert_eq!(functions.count(), 2, "{log}");
}

/// Makes requests in a process whose log is this test's alone.
fn log_requests() {
    let options = LogOptions {
        dir: None,
        keep_days: 7,
        reads: true,
        refusals_per_second: 0,
        day_bytes_max: u64::MAX,
    };
    let dir = tempfile::tempdir().expect("a directory");
    let server = Inside::start(dir.path());
    let log =
        Log::start(&options, Clock::system(), Box::new(std::io::stderr())).expect("it starts");
    report::install(Some(log.clone()));
    let headers = [("x-session-guid", server.session_guid.as_str())];
    let mut statuses = Vec::new();
    for (asked, headers) in [
        (("/mrs/list", "orgcode=DEMO"), &headers[..]),
        (("/mrs/list", "orgcode=ABSENT"), &headers),
        (("/mrs/list", "orgcode=DEMO"), &[]),
        (("/nowhere", ""), &[]),
    ] {
        statuses.push(server.call_within("GET", asked, headers, None).status);
    }
    let token = format!("Bearer {}", server.operator_token());
    for headers in [&[("authorization", token.as_str())][..], &[]] {
        statuses.push(
            server
                .invoke_within("/invoke/jobs_list", headers, &json!({}))
                .status,
        );
    }
    report::install(None);
    log.close();
    assert_eq!(statuses, [200, 404, 401, 404, 200, 403]);
}
