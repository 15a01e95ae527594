//! Streams of changes: what they tell, how many there are, and when their places are free again.

use std::io::Read;
use std::time::Duration;

use metarecord::clock::Stopwatch;
use serde_json::{Value, json};

use super::agent::{Client, MODERN, api_key};
use super::load::metric;
use crate::support::wire::Wire;
use crate::support::{Server, eventually};

/// Asks for changes of records, by a session or a key, and leaves the connection open.
fn listen(server: &Server, (name, value): (&str, &str), uris: &[String]) -> Wire {
    let body = json!({"jsonrpc": "2.0", "id": 5, "method": "subscriptions/listen", "params": {
        "notifications": {"resourceSubscriptions": uris, "toolsListChanged": true},
        "_meta": {"io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {}}}});
    let body = body.to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\n{name}: {value}\r\naccept: application/json, text/event-stream\r\ncontent-type: application/json\r\nmcp-protocol-version: {MODERN}\r\nmcp-method: subscriptions/listen\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut wire = Wire::connect(&server.base_url);
    wire.send(head.as_bytes());
    wire.send(body.as_bytes());
    wire
}

/// Reads until a text is there, and returns all that was read.
fn until(wire: &mut Wire, text: &str) -> String {
    let mut read = Vec::new();
    let mut part = [0; 1_024];
    loop {
        let so_far = String::from_utf8_lossy(&read);
        if so_far.contains(text) {
            return so_far.into_owned();
        }
        let count = wire.0.read(&mut part).expect("something comes");
        assert!(count > 0, "it ended without {text}: {so_far}");
        read.extend_from_slice(&part[..count]);
    }
}

const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
const UPDATED: &str = "notifications/resources/updated";

fn tag(server: &Server, record_id: &str, revision: u64) {
    let body = json!({"orgcode": server.orgcode, "container": "notes", "record_id": record_id,
        "tags": [format!("T{revision}")], "expected_revision": revision});
    server.post("/mrs/tag/add", &body).data();
}

#[test]
fn a_listener_hears_of_changes_it_may_read_and_of_nothing_else() {
    let server = Server::start();
    server.put_inline("notes", "n-1", &json!(1), &[]);
    server.put_inline("notes", "n-2", &json!(1), &[]);
    let uri = |id: &str| format!("metarecord://{}/notes/{id}", server.orgcode);
    let session = ("x-session-guid", &*server.session_guid);
    let mut wire = listen(&server, session, &[uri("n-1"), uri("later")]);
    let begun = until(&mut wire, ACKNOWLEDGED);
    assert!(
        begun.contains("text/event-stream") && !begun.contains("toolsListChanged\":true"),
        "{begun}"
    );
    // Another's stream of the same records: it belongs to no org that has them.
    let other = crate::attacks::share::somebody(&server, "OTHERS");
    let mut stranger = listen(&server, ("x-session-guid", &other), &[uri("n-1")]);
    until(&mut stranger, ACKNOWLEDGED);
    tag(&server, "n-2", 1);
    tag(&server, "n-1", 1);
    let told = until(&mut wire, UPDATED);
    assert!(
        told.contains(&uri("n-1")) && !told.contains(&uri("n-2")),
        "{told}"
    );
    assert!(!told.contains("T1"), "nothing but the uri is told");
    server.put_inline("notes", "later", &json!(1), &[]);
    assert!(until(&mut wire, UPDATED).contains(&uri("later")));
    // What the stranger has been sent in the meantime is no more than that it is still connected.
    drop(wire);
    stranger
        .0
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a time");
    let mut rest = Vec::new();
    let _: std::io::Result<usize> = stranger.0.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains(UPDATED));
}

#[test]
fn a_record_is_listened_to_by_any_spelling_that_names_it() {
    let server = Server::start();
    server.put_inline("notes", "n-1", &json!(1), &[]);
    let org = server.orgcode.to_ascii_lowercase();
    let uri = format!("metarecord://{org}/Notes/n-1");
    let session = ("x-session-guid", &*server.session_guid);
    let mut wire = listen(&server, session, std::slice::from_ref(&uri));
    until(&mut wire, ACKNOWLEDGED);
    let second = Some(Duration::from_secs(1));
    wire.0.set_read_timeout(second).expect("a time");
    // Which change the first look sees already is chance.
    let (mut revision, mut told) = (0, String::new());
    eventually("a look has seen a change", || {
        revision += 1;
        tag(&server, "n-1", revision);
        let mut part = [0; 4_096];
        let read = wire.0.read(&mut part).unwrap_or_default();
        told.push_str(&String::from_utf8_lossy(&part[..read]));
        told.contains(UPDATED)
    });
    assert!(told.contains(&uri), "{told}");
}

#[test]
fn a_listener_whose_key_is_revoked_is_told_of_nothing_more() {
    let server = Server::start();
    server.put_inline("notes", "n-1", &json!(1), &[]);
    let uri = format!("metarecord://{}/notes/n-1", server.orgcode);
    let body = json!({"orgcode": server.orgcode, "label": "reader"});
    let account = server.post("/usm/service_account/create", &body).data();
    let account = account["service_account_id"].clone();
    let body =
        json!({"orgcode": server.orgcode, "service_account_id": account, "role": "mrs_reader"});
    let made = server.post("/usm/api_key/create", &body).data();
    let key = made["api_key"].as_str().expect("a key");
    let mut wire = listen(&server, ("x-api-key", key), &[uri]);
    until(&mut wire, ACKNOWLEDGED);
    let mut revision = 0;
    let second = Some(Duration::from_secs(1));
    wire.0.set_read_timeout(second).expect("a time");
    eventually("it is told of changes", || {
        revision += 1;
        tag(&server, "n-1", revision);
        let mut part = [0; 4_096];
        let read = wire.0.read(&mut part).unwrap_or_default();
        String::from_utf8_lossy(&part[..read]).contains(UPDATED)
    });
    let body =
        json!({"orgcode": server.orgcode, "service_account_id": account, "key_id": made["key_id"]});
    server.post("/usm/api_key/revoke", &body).data();
    tag(&server, "n-1", revision + 1);
    let minute = Some(Duration::from_secs(60));
    wire.0.set_read_timeout(minute).expect("a time");
    let (mut rest, mut part) = (String::new(), [0; 4_096]);
    loop {
        let read = wire.0.read(&mut part).expect("it ends before that");
        rest.push_str(&String::from_utf8_lossy(&part[..read]));
        assert!(!rest.contains(UPDATED), "{rest}");
        if read == 0 {
            break;
        }
    }
}

#[test]
fn what_a_listener_is_charged_for_does_not_show_what_others_do() {
    let server = Server::start();
    server.put_inline("notes", "n-1", &json!(1), &[]);
    let other = crate::attacks::share::somebody(&server, "OTHERS");
    let put = json!({"orgcode": "OTHERS", "container": "notes", "record_id": "own",
        "content_type": "application/json", "payload": 1});
    let url = format!("{}/mrs/record", server.base_url);
    let put_own = |body: &Value| {
        let request = crate::support::agent().post(&url);
        let request = request.header("x-session-guid", &other);
        crate::support::got(
            request
                .content_type("application/json")
                .send(body.to_string()),
        )
        .data()
    };
    put_own(&put);
    let theirs = format!("metarecord://{}/notes/n-1", server.orgcode);
    let uris = [theirs, "metarecord://OTHERS/notes/own".to_owned()];
    let mut wire = listen(&server, ("x-session-guid", &other), &uris);
    until(&mut wire, ACKNOWLEDGED);
    let asked = "metarecord_http_responses_total{http_request_method=\"GET\",http_response_status_code=\"404\",http_route=\"/mrs/record/meta\"}";
    let denied = metric(&server, asked);
    let replace = |revision: u64| {
        let mut body = put.clone();
        body["payload"] = json!(revision + 1);
        body["expected_revision"] = json!(revision);
        body
    };
    let second = Some(Duration::from_secs(1));
    wire.0.set_read_timeout(second).expect("a time");
    let (mut revision, mut seen) = (0, 0);
    // A look sees both, in this order; which changes the first one sees already is chance.
    eventually("two looks have seen both change", || {
        revision += 1;
        tag(&server, "n-1", revision);
        put_own(&replace(revision));
        let mut part = [0; 4_096];
        let read = wire.0.read(&mut part).unwrap_or_default();
        seen += String::from_utf8_lossy(&part[..read])
            .matches(UPDATED)
            .count();
        seen >= 2
    });
    assert_eq!(metric(&server, asked), denied);
}

#[test]
fn streams_are_bounded_hold_no_other_place_and_are_free_soon_after_their_clients_end() {
    let server = Server::start();
    let session = ("x-session-guid", &*server.session_guid);
    let open = || metric(&server, "metarecord_mcp_streams");
    let mut held: Vec<Wire> = (0..4)
        .map(|_| {
            let mut wire = listen(&server, session, &[]);
            until(&mut wire, ACKNOWLEDGED);
            wire
        })
        .collect();
    assert_eq!(open(), 4.0);
    let mut fifth = listen(&server, session, &[]);
    let refused = until(&mut fifth, "mcp-streams-limit");
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    let denied = metric(&server, "metarecord_mcp_outcomes_total{outcome=\"denied\"}");
    assert_eq!(denied, 1.0);
    let key = api_key(&server, "mrs_reader");
    let mut others = listen(&server, ("x-api-key", &key), &[]);
    until(&mut others, ACKNOWLEDGED);
    // They are none of the requests in progress.
    assert!(!Client::of(&server).tools().is_empty());
    assert_eq!(
        metric(&server, "http_server_active_requests"),
        1.0,
        "that of the metrics alone"
    );
    held.clear();
    drop(others);
    let since = Stopwatch::start();
    eventually("their places are free", || open() == 0.0);
    assert!(
        since.elapsed() < Duration::from_secs(30),
        "{:?}",
        since.elapsed()
    );
    let mut again = listen(&server, session, &[]);
    until(&mut again, ACKNOWLEDGED);
}

#[test]
fn a_server_that_ends_ends_its_streams() {
    let mut server = Server::start();
    let mut wire = listen(
        &server,
        ("x-session-guid", &server.session_guid.clone()),
        &[],
    );
    until(&mut wire, ACKNOWLEDGED);
    let since = Stopwatch::start();
    assert_eq!(server.end("TERM"), Some(0));
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "{:?}",
        since.elapsed()
    );
    let mut rest = Vec::new();
    let _: std::io::Result<usize> = wire.0.read_to_end(&mut rest);
}

#[test]
fn a_client_of_an_older_revision_is_not_told_of_what_it_cannot_use() {
    let server = Server::start();
    let client = Client::of(&server);
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
    let met: Value = client.send(body.to_string().as_bytes(), &[]).json();
    assert!(
        met["result"]["capabilities"]["resources"]["subscribe"].is_null(),
        "{met}"
    );
    let found = client.result("server/discover", json!({}));
    assert_eq!(found["capabilities"]["resources"]["subscribe"], json!(true));
    let token = format!("Bearer {}", server.operator_token);
    let operator = Client::new(
        format!("{}/mcp", server.operator_url),
        "authorization",
        token,
    );
    let found = operator.result("server/discover", json!({}));
    assert!(found["capabilities"]["resources"].is_null(), "{found}");
}
