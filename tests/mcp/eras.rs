//! Both eras of the protocol at one address, and requests that are none.

use serde_json::{Value, json};

use super::agent::{Client, LEGACY, MODERN, code, said};
use crate::support::Server;

#[test]
fn a_client_of_the_newest_revision_needs_no_connection() {
    let server = Server::start();
    let client = Client::of(&server);
    let found = client.result("server/discover", json!({}));
    let versions = found["supportedVersions"].as_array().expect("versions");
    assert!(versions.contains(&json!(MODERN)) && versions.contains(&json!(LEGACY)));
    assert!(
        !versions.contains(&json!("2024-11-05")),
        "another transport"
    );
    assert_eq!(found["cacheScope"], json!("private"));
    assert!(
        found["instructions"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    let listed = client.result("tools/list", json!({}));
    assert_eq!(listed["cacheScope"], json!("private"));
    assert!(listed["ttlMs"].is_u64(), "{listed}");
    assert!(
        listed.to_string().len() <= 16 * 1024,
        "{}",
        listed.to_string().len()
    );
    let who = client.call("whoami", json!({}));
    assert_eq!(who["orgs"][0]["orgcode"], json!(server.orgcode), "{who}");
}

#[test]
fn a_client_of_an_older_revision_shakes_hands_first() {
    let server = Server::start();
    let client = Client::of(&server);
    for (asked, agreed) in [
        (LEGACY, LEGACY),
        ("2025-06-18", "2025-06-18"),
        ("2024-11-05", LEGACY),
    ] {
        let params = json!({"protocolVersion": asked, "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "tests", "version": "1"}});
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let got = client.send(body.to_string().as_bytes(), &[]);
        let result = &got.json()["result"];
        assert_eq!(
            result["protocolVersion"],
            json!(agreed),
            "{asked}: {}",
            got.json()
        );
        assert_eq!(result["serverInfo"]["name"], json!("metarecord"));
        assert!(result["instructions"].is_string() && got.header("mcp-session-id").is_none());
    }
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let told = client.send(
        ready.to_string().as_bytes(),
        &[("mcp-protocol-version", LEGACY)],
    );
    assert_eq!(told.status, 202);
    let listed = client.ask_legacy("tools/list", json!({})).json();
    assert!(
        listed["result"]["tools"]
            .as_array()
            .is_some_and(|tools| tools.len() > 3),
        "{listed}"
    );
    assert!(
        listed["result"].get("resultType").is_none(),
        "it is of the other era"
    );
    let called = client
        .ask_legacy("tools/call", json!({"name": "whoami", "arguments": {}}))
        .json();
    assert_eq!(
        said(&called["result"])["orgs"][0]["orgcode"],
        json!(server.orgcode)
    );
    assert_eq!(
        client.ask_legacy("ping", json!({})).json()["result"],
        json!({})
    );
}

#[test]
fn a_head_that_differs_from_its_body_is_refused() {
    let server = Server::start();
    let client = Client::of(&server);
    let meta = json!({"io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}});
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": {"name": "whoami", "arguments": {}, "_meta": meta}});
    let body = body.to_string();
    let good = [
        ("mcp-protocol-version", MODERN),
        ("mcp-method", "tools/call"),
        ("mcp-name", "whoami"),
    ];
    assert_eq!(client.send(body.as_bytes(), &good).status, 200);
    for (wrong, value) in [
        ("mcp-protocol-version", LEGACY),
        ("mcp-protocol-version", ""),
        ("mcp-method", "tools/list"),
        ("mcp-method", ""),
        ("mcp-name", "records_list"),
        ("mcp-name", ""),
    ] {
        let headers = good.iter().filter(|(name, _)| *name != wrong).copied();
        let added = (!value.is_empty()).then_some((wrong, value));
        let headers: Vec<_> = headers.chain(added).collect();
        let got = client.send(body.as_bytes(), &headers);
        assert_eq!(
            (got.status, code(&got)),
            (400, -32020),
            "{wrong}: {value}: {}",
            got.json()
        );
        assert_eq!(got.json()["id"], json!(7), "{wrong}");
    }
}

#[test]
fn what_is_no_request_gets_an_error_of_the_protocol() {
    let server = Server::start();
    let client = Client::of(&server);
    let version = ("mcp-protocol-version", MODERN);
    for (body, headers, status, wanted) in [
        ("", vec![], 415, -32600),
        ("{", vec![], 415, -32600),
        ("[]", vec![], 415, -32600),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
            vec![version, ("mcp-method", "tools/list")],
            400,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            vec![("accept", "application/json")],
            406,
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            vec![("content-type", "text/plain")],
            415,
            -32600,
        ),
    ] {
        let got = client.send(body.as_bytes(), &headers);
        assert_eq!(
            (got.status, code(&got)),
            (status, wanted),
            "{body}: {}",
            got.json()
        );
        assert_eq!(
            got.header("content-type"),
            Some("application/json"),
            "{body}"
        );
    }
    let got = client.ask("unknown/method", json!({}));
    assert_eq!((got.status, code(&got)), (404, -32601));
    let meta = json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2031-01-01"}});
    let mut client_of_later = Client::of(&server);
    client_of_later
        .headers
        .push(("mcp-method", "tools/list".to_owned()));
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2031-01-01",
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}}}});
    let got = client_of_later.send(
        body.to_string().as_bytes(),
        &[("mcp-protocol-version", "2031-01-01")],
    );
    assert_eq!(
        (got.status, code(&got)),
        (400, -32022),
        "{meta}: {}",
        got.json()
    );
    let unknown = client.ask(
        "tools/call",
        json!({"name": "records_destroy", "arguments": {}}),
    );
    assert_eq!(code(&unknown), -32602);
}

#[test]
fn other_methods_of_http_are_not_spoken_there() {
    let server = Server::start();
    let url = format!("{}/mcp", server.base_url);
    let got = server.get_url(
        &url,
        &[
            ("x-session-guid", &server.session_guid),
            ("accept", "text/event-stream"),
        ],
    );
    assert_eq!((got.status, got.header("allow")), (405, Some("POST")));
    let put = server.put_url(&url, &[], b"{}");
    assert_eq!((put.status, code(&put)), (405, -32000));
    // Its answers have the headers of every answer.
    for name in [
        "x-request-id",
        "x-trace-id",
        "x-api-version",
        "cache-control",
    ] {
        assert!(got.header(name).is_some(), "{name}");
        assert!(
            Client::of(&server)
                .ask("server/discover", json!({}))
                .header(name)
                .is_some(),
            "{name}"
        );
    }
}

#[test]
fn below_the_address_of_a_stage_it_is_the_same() {
    let server = Server::start();
    for path in ["/mcp", "/prod/mcp", "/mcp/read", "/prod/mcp/read"] {
        let url = format!("{}{path}", server.base_url);
        let client = Client::new(url, "x-session-guid", &*server.session_guid);
        assert!(!client.tools().is_empty(), "{path}");
    }
}

#[test]
fn the_documents_are_what_the_tools_say_of_themselves() {
    let server = Server::start();
    for service in ["mrs", "ops"] {
        let got = server.get_url(
            &format!("{}/mcp/{service}/PROTOCOL.md", server.base_url),
            &[],
        );
        assert_eq!(got.status, 200);
        assert_eq!(
            got.header("content-type"),
            Some("text/markdown; charset=utf-8")
        );
        let kept = std::fs::read(format!("docs/mcp/{service}/PROTOCOL.md")).expect("the document");
        assert_eq!(String::from_utf8(got.bytes), String::from_utf8(kept));
        assert_eq!(
            server
                .get_url(
                    &format!("{}/prod/mcp/{service}/PROTOCOL.md", server.base_url),
                    &[]
                )
                .status,
            200
        );
    }
    let posted: Value = Client::new(
        format!("{}/mcp/mrs/PROTOCOL.md", server.base_url),
        "x-session-guid",
        &*server.session_guid,
    )
    .send(b"{}", &[])
    .json();
    assert_eq!(posted["error"]["major"]["tag"], json!("method-not-allowed"));
}
