//! How much one caller may ask, what maintenance keeps out, and what the log and the metrics have of it.

use serde_json::{Value, json};

use super::agent::{Client, api_key, code};
use crate::support::wire::Wire;
use crate::support::{Server, eventually};

/// A number of `/metrics`, of the lines that begin so.
pub(super) fn metric(server: &Server, name: &str) -> f64 {
    let text = String::from_utf8(server.metrics().bytes).expect("metrics are text");
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[test]
fn an_agent_in_a_loop_is_stopped_and_others_are_not() {
    let server = Server::start_with(&["--set", "mcp.calls_per_minute=20"]);
    let client = Client::of(&server);
    let statuses: Vec<u16> = (0..25)
        .map(|_| client.ask("tools/list", json!({})).status)
        .collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        20,
        "{statuses:?}"
    );
    let refused = client.ask("tools/list", json!({}));
    assert_eq!((refused.status, code(&refused)), (429, -32000));
    let data = &refused.json()["error"]["data"];
    assert_eq!(
        (&data["tag"], &data["minor"]),
        (&json!("throttled"), &json!("mcp-limit"))
    );
    let wait: u64 = refused
        .header("retry-after")
        .expect("a time")
        .parse()
        .expect("seconds");
    assert!((1..=4).contains(&wait), "{wait}");
    let key = api_key(&server, "mrs_reader");
    let other = Client::new(&*client.url, "x-api-key", key);
    assert_eq!(other.ask("tools/list", json!({})).status, 200);
    // The routes have limits of their own.
    assert_eq!(server.get("/whoami", &[]).status, 200);
    assert!(metric(&server, "metarecord_throttled_total{limit=\"mcp-limit\"}") >= 6.0);
}

#[test]
fn a_caller_has_eight_requests_in_progress() {
    let server = Server::start();
    let begin = || {
        let mut wire = Wire::connect(&server.base_url);
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\nx-session-guid: {}\r\ncontent-length: 100\r\n\r\n{{",
            server.session_guid
        );
        wire.send(head.as_bytes());
        wire
    };
    let client = Client::of(&server);
    let mut waiting = Vec::new();
    // One that comes while the client asks may be the ninth, and is refused.
    eventually("eight are in progress", || {
        let refused = client.ask("tools/list", json!({})).status == 429;
        if !refused {
            waiting.push(begin());
        }
        refused
    });
    assert!(waiting.len() >= 8, "{}", waiting.len());
    let refused = client.ask("tools/list", json!({}));
    assert_eq!(
        refused.json()["error"]["data"]["minor"],
        json!("mcp-in-flight-limit")
    );
    let key = api_key(&server, "mrs_reader");
    let other = Client::new(&*client.url, "x-api-key", key);
    assert_eq!(other.ask("tools/list", json!({})).status, 200);
    waiting.clear();
    eventually("their places are free again", || {
        client.ask("tools/list", json!({})).status == 200
    });
}

#[test]
fn bodies_have_the_limits_of_all_bodies() {
    let server = Server::start();
    let client = Client::of(&server);
    let long = vec![b' '; 1_100_000];
    let got = client.send(&long, &[]);
    assert_eq!(
        (got.status, &got.json()["error"]["data"]["tag"]),
        (413, &json!("too-large"))
    );
    let denied = "metarecord_mcp_outcomes_total{outcome=\"denied\"}";
    assert_eq!(metric(&server, denied), 1.0);
    let deep = [b"[".repeat(200), b"]".repeat(200)].concat();
    let got = client.send(&deep, &[]);
    assert_eq!((got.status, code(&got)), (400, -32000));
}

#[test]
fn during_maintenance_the_routes_refuse_and_the_endpoint_says_so() {
    let server = Server::start_with(&["--set", "mcp.mode=write"]);
    let client = Client::of(&server);
    let body = json!({"secret_code": server.secret_code, "description": "New disks", "duration": 600,
        "start": "2036-01-01T00:00:00Z"});
    let window = server.invoke("ops_maintenance_schedule", &body).data();
    let body =
        json!({"secret_code": server.secret_code, "maintenance_id": window["maintenance_id"]});
    server.invoke("ops_maintenance_start", &body).data();
    eventually("the window is active", || {
        server.get("/mrs/stat", &[]).status == 503
    });
    assert!(client.tools().contains(&"records_list".to_owned()));
    let refused = client.call("records_list", json!({}));
    assert_eq!(
        (&refused["is_error"], &refused["tag"]),
        (&json!(true), &json!("maintenance-mode")),
        "{refused}"
    );
    assert!(
        refused["retry_after_seconds"]
            .as_u64()
            .is_some_and(|seconds| seconds >= 20)
    );
    assert_eq!(refused["details"]["description"], json!("New disks"));
    let status = client.call("service_status", json!({}));
    assert_eq!(status["maintenance"]["active"], json!(true), "{status}");
    assert!(client.call("whoami", json!({}))["is_error"].is_null());
}

#[test]
fn the_log_and_the_metrics_name_the_tool() {
    let mut server = Server::start();
    let client = Client::of(&server).with("x-request-id", "of-the-call");
    let org = server.orgcode.clone();
    client.call("records_list", json!({"orgcode": org}));
    client.call(
        "record_get",
        json!({"orgcode": org, "container": "notes", "record_id": "none"}),
    );
    assert_eq!(
        client.ask("tools/call", json!({"name": "no_tool"})).status,
        200
    );
    client.ask("unknown/method", json!({}));
    let count = |labels: &str| metric(&server, &format!("metarecord_mcp_{labels}"));
    for (labels, wanted) in [
        ("requests_total{route=\"mcp/records_list\"}", 1.0),
        ("requests_total{route=\"mcp/record_get\"}", 1.0),
        ("requests_total{route=\"mcp/unknown\"}", 1.0),
        ("requests_total{route=\"mcp\"}", 1.0),
        ("requests_total{route=\"mcp/record_doom\"}", 0.0),
        ("outcomes_total{outcome=\"ok\"}", 1.0),
        ("outcomes_total{outcome=\"refused\"}", 1.0),
        ("outcomes_total{outcome=\"error\"}", 2.0),
        ("outcomes_total{outcome=\"denied\"}", 0.0),
    ] {
        assert!(count(labels) == wanted, "{labels}: {}", count(labels));
    }
    server.end("TERM");
    let log = server.told();
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let of = |route: &str| {
        let lines = lines.iter().filter(|line| line["route"] == json!(route));
        lines.cloned().collect::<Vec<_>>()
    };
    let listed = of("mcp/records_list");
    assert_eq!(listed.len(), 1, "{log}");
    assert_eq!(listed[0]["request_id"], json!("of-the-call"));
    assert_eq!(of("mcp/record_get").len(), 1);
    // What asked for no route has a line of its own.
    assert_eq!(of("mcp").len(), 2, "{log}");
    assert!(!log.contains(&server.session_guid));
}

#[test]
fn how_a_request_ended_is_counted_whatever_its_id() {
    let server = Server::start();
    let client = Client::of(&server);
    let count = |outcome: &str| {
        let name = format!("metarecord_mcp_outcomes_total{{outcome=\"{outcome}\"}}");
        metric(&server, &name)
    };
    let long = json!("i".repeat(200));
    client.ask_as(long.clone(), "tools/call", json!({"name": "no_tool"}));
    assert_eq!((count("ok"), count("error")), (0.0, 1.0));
    for id in [long, json!("\"error\":")] {
        client.ask_as(id, "tools/list", json!({}));
    }
    assert_eq!((count("ok"), count("error")), (2.0, 1.0));
}

#[test]
fn each_setting_of_agents_does_what_it_says() {
    let read = Server::start();
    let tools = Client::of(&read).tools();
    assert!(
        !tools.contains(&"record_create".to_owned()),
        "read is the default"
    );
    let server = Server::start_with(&[
        "--set",
        "mcp.mode=write",
        "--set",
        "mcp.urls=true",
        "--set",
        "mcp.result_bytes_max=4096",
        "--set",
        "mcp.confirm=ask",
    ]);
    let client = Client::of(&server);
    let tools = client.tools();
    for tool in ["record_create", "record_doom", "record_upload_begin"] {
        assert!(tools.contains(&tool.to_owned()), "{tool}: {tools:?}");
    }
    let reading = Client::new(
        format!("{}/read", client.url),
        "x-session-guid",
        &*server.session_guid,
    );
    assert!(!reading.tools().contains(&"record_create".to_owned()));
    let refused = reading.ask(
        "tools/call",
        json!({"name": "record_create", "arguments": {"container": "c", "payload": 1}}),
    );
    assert_eq!(code(&refused), -32602, "{}", refused.json());
    for number in 0..32 {
        let tags: Vec<String> = (0..8)
            .map(|tag| format!("{tag}{}", "X".repeat(100)))
            .collect();
        server.put_inline(
            "notes",
            &format!("n{number}"),
            &json!(number),
            &tags.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
    let result = client.result(
        "tools/call",
        json!({"name": "records_list", "arguments": {"limit": 32}}),
    );
    assert!(
        result.to_string().len() < 8_192,
        "{}",
        result.to_string().len()
    );
    // Who cannot be asked cannot doom where asking is the only way.
    let doom =
        json!({"container": "notes", "record_id": "n1", "expected_revision": 1, "reason": "tests"});
    let refused = client.call("record_doom", doom);
    assert_eq!(refused["is_error"], json!(true), "{refused}");
    let key = Client::new(&*client.url, "x-api-key", api_key(&server, "mrs_reader"));
    assert!(
        !key.tools().contains(&"record_create".to_owned()),
        "a reader's key sees no tool that writes"
    );
}

#[test]
fn a_known_method_with_wrong_params_is_not_called_unknown() {
    let server = Server::start();
    let client = Client::of(&server);
    let wrong = [
        ("tools/call", json!({"name": "whoami", "arguments": []})),
        ("resources/read", json!({"uri": 1})),
        ("prompts/get", json!({"name": []})),
    ];
    for (method, params) in wrong {
        let got = client.ask(method, params);
        assert_eq!(code(&got), -32602, "{method}: {}", got.json());
    }
    let got = client.ask("no/such", json!({}));
    assert_eq!(code(&got), -32601, "{}", got.json());
    let message = &got.json()["error"]["message"];
    assert_eq!(message, "There is no method no/such here.");
}
