//! The text of `/metrics`: well formed, at 0 in the beginning, as documented, and true of real requests.

use std::io::Write;
use std::process::Stdio;

use serde_json::json;

use super::{Family, families, file, promtool, scrape, series, value};
use crate::support::wire::Wire;
use crate::support::{Server, agent, eventually, got};

/// Most series and bytes of a scrape: a small target for Prometheus.
const SERIES_MAX: usize = 2_400;
const BYTES_MAX: usize = 256 * 1_024;

/// A server with TLS, one of whose jobs has run, so that no family is without a value.
fn start() -> Server {
    let server = Server::start_secured();
    server
        .invoke("jobs_run", &json!({"job": "projection-check"}))
        .data();
    eventually("the job has run", || {
        scrape(&server)
            .contains("metarecord_job_last_success_seconds{job_name=\"projection-check\"}")
    });
    server
}

#[test]
fn the_text_is_one_that_prometheus_finds_no_fault_with() {
    let text = scrape(&start());
    let mut check = promtool(&["check", "metrics"]);
    check.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = check.stderr(Stdio::piped()).spawn().expect("promtool runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(text.as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.is_empty(), "{told}");
    let count = series(&text).len();
    assert!(count <= SERIES_MAX, "{count} series");
    assert!(text.len() <= BYTES_MAX, "{} bytes", text.len());
}

#[test]
fn metrics_answer_head_as_get_and_no_other_method() {
    let server = Server::start();
    let host = server.operator_url.trim_start_matches("http://").to_owned();
    let ask = |method: &str| {
        let token = &server.operator_token;
        let request = format!(
            "{method} /metrics HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        let mut wire = Wire::connect(&server.operator_url);
        wire.send(request.as_bytes());
        (wire.head().to_ascii_lowercase(), wire.rest())
    };
    let (head, body) = ask("HEAD");
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    let length = head.split("content-length: ").nth(1);
    let length = length.and_then(|rest| rest.split("\r\n").next());
    let length: usize = length.and_then(|length| length.parse().ok()).expect(&head);
    assert!(length > 1_000 && body.is_empty(), "{head}");
    let (head, _) = ask("POST");
    assert!(head.starts_with("http/1.1 405 "), "{head}");
    assert!(head.contains("allow: get, head"), "{head}");
}

#[test]
fn the_documented_families_are_those_of_a_server() {
    let text = std::fs::read_to_string(file("docs/metrics.md")).expect("the page is there");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let documented = rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 7, "name, type, unit, labels, meaning: {row}");
        assert!(!cells[3].is_empty() && !cells[5].is_empty(), "{row}");
        let labels = cells[4].split(", ").filter(|label| *label != "–");
        let family = Family {
            kind: cells[2].to_owned(),
            labels: labels
                .map(|label| label.trim_matches('`').to_owned())
                .collect(),
        };
        (cells[1].trim_matches('`').to_owned(), family)
    });
    let documented: std::collections::BTreeMap<_, _> = documented.collect();
    let there = families(&scrape(&start()));
    assert_eq!(documented, there);
}

#[test]
fn counters_are_there_from_the_first_scrape_and_begin_at_0() {
    let text = scrape(&Server::start());
    let mut counters = 0;
    for (series, value) in series(&text) {
        let name = series.split('{').next().unwrap_or_default();
        // The process has worked, and development mode has journaled its identities, before anybody could ask.
        let began = [
            "process_cpu_seconds_total",
            "metarecord_journal_entries_total",
        ];
        if name.ends_with("_total") && !began.contains(&name) {
            counters += 1;
            assert_eq!(value, 0.0, "{series}");
        }
    }
    assert!(counters > 500, "{counters}");
}

#[test]
fn requests_are_counted_by_route_and_status_and_refusals_by_tag() {
    let server = Server::start();
    let before = scrape(&server);
    server.put_inline("notes", "n-1", &json!(1), &[]);
    let read = |id: &str| {
        let query = [
            ("orgcode", "demo"),
            ("container", "notes"),
            ("record_id", id),
        ];
        server.get("/mrs/record", &query).status
    };
    assert_eq!([read("n-1"), read("n-1"), read("n-2")], [200, 200, 404]);
    // A stage and a missing service are the same route.
    assert_eq!(server.get("/prod/whoami", &[]).status, 200);
    assert_eq!(server.get("/no/such/route", &[]).status, 404);
    assert_eq!(
        got(agent().get(format!("{}/whoami", server.base_url)).call()).status,
        401
    );
    assert_eq!(server.invoke("jobs_list", &json!({})).status, 200);
    let after = scrape(&server);
    let grew = |name: &str| value(&after, name) - value(&before, name);
    let answered = |method: &str, route: &str, status: u16| {
        grew(&format!(
            "metarecord_http_responses_total{{http_request_method=\"{method}\",http_response_status_code=\"{status}\",http_route=\"{route}\"}}"
        ))
    };
    for (method, route, status, times) in [
        ("POST", "/mrs/record", 200, 1.0),
        ("GET", "/mrs/record", 200, 2.0),
        ("GET", "/mrs/record", 404, 1.0),
        ("GET", "/whoami", 200, 1.0),
        ("GET", "/whoami", 401, 1.0),
        ("_OTHER", "unknown", 404, 1.0),
        ("POST", "/invoke/{function}", 200, 1.0),
        ("GET", "/metrics", 200, 1.0),
        ("GET", "/mrs/list", 200, 0.0),
    ] {
        assert_eq!(
            answered(method, route, status),
            times,
            "{method} {route} {status}"
        );
    }
    let of_reads = "{http_request_method=\"GET\",http_route=\"/mrs/record\"}";
    assert_eq!(
        grew(&format!(
            "http_server_request_duration_seconds_count{of_reads}"
        )),
        3.0
    );
    assert!(
        grew(&format!(
            "http_server_request_duration_seconds_sum{of_reads}"
        )) > 0.0
    );
    let refused = |tag: &str, status: u16| {
        grew(&format!(
            "metarecord_refusals_total{{http_response_status_code=\"{status}\",tag=\"{tag}\"}}"
        ))
    };
    assert_eq!(
        (refused("not-found", 404), refused("invalid-session", 401)),
        (2.0, 1.0)
    );
    assert_eq!(
        grew("metarecord_access_denied_total{reason=\"credential-missing\",stage=\"credential\"}"),
        1.0
    );
    // This scrape is one of them.
    assert_eq!(value(&after, "http_server_active_requests"), 1.0);
    assert!(value(&after, "metarecord_http_connections") >= 1.0);
}

#[test]
fn an_upload_is_on_its_way_until_it_is_there_or_given_up() {
    let server = Server::start();
    let body = json!({"orgcode": "demo", "container": "blobs", "record_id": "b", "content_type": "text/plain",
        "mode": "presign", "size": 1_000, "content_md5": "0".repeat(32)});
    let put = server.post("/mrs/record", &body).data();
    let url = put["upload"]["url"].as_str().expect("a url");
    let path = url.strip_prefix(&server.base_url).expect("of this server");
    let uploads = || {
        value(
            &scrape(&server),
            "metarecord_transfers_active{direction=\"upload\"}",
        )
    };
    let active = || value(&scrape(&server), "http_server_active_requests");
    assert_eq!((uploads(), active()), (0.0, 1.0));
    let mut wire = Wire::connect(&server.base_url);
    let head = format!("PUT {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n");
    wire.0.write_all(head.as_bytes()).expect("sent");
    eventually("it is on its way", || uploads() == 1.0);
    assert_eq!(active(), 2.0);
    drop(wire);
    eventually("it is given up", || uploads() == 0.0 && active() == 1.0);
}

#[test]
fn what_the_journal_does_is_measured() {
    let server = Server::start();
    let before = scrape(&server);
    for number in 0..5 {
        server.put_inline("notes", &format!("n-{number}"), &json!(number), &[]);
    }
    let after = scrape(&server);
    let grew = |name: &str| value(&after, name) - value(&before, name);
    assert_eq!(grew("metarecord_journal_entries_total"), 5.0);
    assert_eq!(grew("metarecord_journal_position"), 5.0);
    assert_eq!(grew("metarecord_projection_position"), 5.0);
    // One caller writes one record at a time: each is a group of its own.
    assert_eq!(grew("metarecord_journal_group_entries_count"), 5.0);
    assert_eq!(
        grew("metarecord_journal_group_entries_bucket{le=\"1\"}"),
        5.0
    );
    assert_eq!(grew("metarecord_journal_sync_duration_seconds_count"), 5.0);
    assert!(grew("metarecord_journal_sync_duration_seconds_sum") > 0.0);
    for (name, now) in [
        ("metarecord_journal_queue_appends", 0.0),
        ("metarecord_journal_queue_bytes", 0.0),
        ("metarecord_journal_writable", 1.0),
        ("metarecord_projection_lag_entries", 0.0),
        ("metarecord_projection_lag_seconds", 0.0),
        ("metarecord_actor_commands", 0.0),
        ("metarecord_actors{kind=\"container\"}", 1.0),
        ("metarecord_actors{kind=\"job\"}", 8.0),
    ] {
        assert_eq!(value(&after, name), now, "{name}");
    }
    let free = value(&after, "metarecord_filesystem_free_bytes");
    assert!(free > 0.0 && free <= value(&after, "metarecord_filesystem_size_bytes"));
    assert!(value(&after, "metarecord_data_bytes{part=\"journal\"}") > 0.0);
    assert!(value(&after, "process_resident_memory_bytes") > 1e6);
    assert!(value(&after, "process_open_fds") > 3.0);
}
