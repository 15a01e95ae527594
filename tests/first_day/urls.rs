//! The URLs in answers begin with a name of the server, whatever `Host` says.

use serde_json::{Value, json};

use crate::support::wire::Wire;
use crate::support::{Got, Server, got};

/// A put of an upload, with a `Host` and headers that proxies send.
fn put(server: &Server, host: &str) -> Got {
    let body = json!({"orgcode": server.orgcode, "container": "urls", "content_type": "text/plain",
        "size": 1, "content_md5": "0".repeat(32)});
    let request = crate::support::agent()
        .post(format!("{}/mrs/record", server.base_url))
        .header("x-session-guid", &server.session_guid)
        .header("x-forwarded-host", "evil.example")
        .header("forwarded", "host=evil.example;proto=https")
        .header("x-forwarded-proto", "https")
        .header("host", host);
    got(request
        .content_type("application/json")
        .send(body.to_string()))
}

fn upload_url(data: &Value) -> &str {
    data["upload"]["url"].as_str().expect("a url")
}

#[test]
fn no_foreign_host_gets_into_a_url() {
    let server = Server::start_with(&["--set", "http.host_names=records.internal"]);
    let own = &server.base_url;
    for (host, wanted) in [
        ("localhost:8000", "http://localhost:8000"),
        ("127.0.0.1:9999", "http://127.0.0.1:9999"),
        ("[::1]:9999", "http://[::1]:9999"),
        ("records.internal", "http://records.internal"),
        ("records.internal:81", "http://records.internal:81"),
        ("evil.example", own.as_str()),
        ("evil.example:80", own.as_str()),
        ("records.internal.evil.example", own.as_str()),
        ("10.1.2.3:80", own.as_str()),
        ("0.0.0.0:80", own.as_str()),
        ("[::]:80", own.as_str()),
    ] {
        let data = put(&server, host).data();
        let url = upload_url(&data);
        let rest = url.strip_prefix(wanted);
        assert!(
            rest.is_some_and(|rest| rest.starts_with("/content/")),
            "{host}: {url}"
        );
    }
}

#[test]
fn an_absolute_target_counts_instead_of_host() {
    let server = Server::start_with(&["--set", "http.host_names=records.internal"]);
    let body = json!({"orgcode": server.orgcode, "container": "urls", "content_type": "text/plain",
        "size": 1, "content_md5": "0".repeat(32)})
    .to_string();
    for (target, wanted) in [
        (
            "http://records.internal:81/mrs/record",
            "http://records.internal:81/content/",
        ),
        ("http://evil.example/mrs/record", server.base_url.as_str()),
    ] {
        let request = format!(
            "POST {target} HTTP/1.1\r\nhost: localhost\r\nx-session-guid: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            server.session_guid,
            body.len()
        );
        let answer = Wire::connect(&server.base_url).exchange(request.as_bytes());
        assert!(
            answer.contains(&format!("\"url\":\"{wanted}")),
            "{target}: {answer}"
        );
        assert!(!answer.contains("evil.example"), "{answer}");
    }
}

#[test]
fn a_url_that_is_set_is_in_every_answer() {
    let server = Server::start_with(&["--set", "http.public_url=https://records.example/x/"]);
    for host in ["localhost", "evil.example"] {
        let data = put(&server, host).data();
        assert!(upload_url(&data).starts_with("https://records.example/x/content/"));
    }
}
