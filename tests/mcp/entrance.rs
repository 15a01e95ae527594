//! Who may come in: hosts, pages, credentials of each kind, and what a refusal says.

use serde_json::json;

use super::agent::{Client, api_key, code};
use crate::support::{Got, Server};

/// What the gateway says to a modern client with these headers, beside a good credential.
fn asked_with(server: &Server, headers: &[(&'static str, &str)]) -> Got {
    let client = Client::of(server);
    let client = headers
        .iter()
        .fold(client, |client, (name, value)| client.with(name, *value));
    client.ask("tools/list", json!({}))
}

#[test]
fn only_names_of_this_server_and_its_own_pages_come_in() {
    let server = Server::start_with(&[
        "--set",
        "http.public_url=https://records.example/base",
        "--set",
        "http.host_names=in.cluster",
        "--set",
        "http.cors_origins=https://app.example",
        "--set",
        "mcp.allowed_hosts=proxy.internal, other.internal",
        "--set",
        "mcp.allowed_origins=https://agents.example",
    ]);
    for (host, status) in [
        ("localhost", 200),
        ("localhost:8000", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8000", 200),
        ("10.0.0.7", 200),
        ("records.example", 200),
        ("RECORDS.example:443", 200),
        ("in.cluster", 200),
        ("proxy.internal:80", 200),
        ("other.internal", 200),
        ("evil.example", 403),
        ("records.example.evil.example", 403),
        ("localhost.evil.example", 403),
        ("app.example", 403),
    ] {
        let got = asked_with(&server, &[("host", host)]);
        assert_eq!(got.status, status, "{host}: {}", got.json());
        if status == 403 {
            let error = &got.json()["error"];
            assert_eq!(
                (code(&got), &error["data"]["minor"]),
                (-32000, &json!("host"))
            );
            assert!(
                error["message"]
                    .as_str()
                    .is_some_and(|text| text.contains("mcp.allowed_hosts"))
            );
        }
    }
    for (host, origin, status) in [
        ("localhost:8000", "http://localhost:8000", 200),
        ("localhost:8000", "http://localhost:8001", 403),
        ("localhost:8000", "http://localhost", 403),
        ("127.0.0.1:8000", "https://records.example", 200),
        ("127.0.0.1:8000", "https://records.example/base", 403),
        ("127.0.0.1:8000", "http://records.example", 403),
        ("127.0.0.1:8000", "https://app.example", 200),
        ("127.0.0.1:8000", "https://agents.example", 200),
        ("127.0.0.1:8000", "https://agents.example.evil.example", 403),
        ("127.0.0.1:8000", "https://evil.example", 403),
        ("127.0.0.1:8000", "null", 403),
        ("evil.example", "http://evil.example", 403),
    ] {
        let got = asked_with(&server, &[("host", host), ("origin", origin)]);
        assert_eq!(got.status, status, "{origin} at {host}: {}", got.json());
    }
    // A listed page may also read the answer.
    let got = asked_with(&server, &[("origin", "https://agents.example")]);
    assert_eq!(
        got.header("access-control-allow-origin"),
        Some("https://agents.example")
    );
}

#[test]
fn a_server_without_a_public_url_is_called_by_its_addresses() {
    let server = Server::start();
    for (host, status) in [
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("records.example", 403),
    ] {
        assert_eq!(
            asked_with(&server, &[("host", host)]).status,
            status,
            "{host}"
        );
    }
}

#[test]
fn every_kind_of_credential_comes_in_and_none_by_another_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let secret = directory.path().join("secret");
    crate::token::issuer::private_file(directory.path(), "secret", &[b's'; 32]);
    let server = Server::start_with(&[
        "--set",
        &format!("auth.jwt_hmac_file={}", secret.display()),
        "--set",
        "auth.jwt_issuer=https://id.example",
        "--set",
        "auth.jwt_audience=metarecord",
        "--set",
        "http.public_url=http://records.example",
        "--set",
        "auth.header_identity=true",
        "--set",
        "auth.allow_insecure_header_identity=true",
    ]);
    let url = format!("{}/mcp", server.base_url);
    let key = api_key(&server, "mrs_reader");
    let token = |audience: &str| {
        let line = format!(
            "token mint --hmac-file secret --issuer https://id.example --audience {audience} --subject ann --org {} --role mrs_writer",
            server.orgcode
        );
        let minted = crate::cli::run::g3n(&line, directory.path(), &[], b"").text();
        format!("Bearer {}", minted.trim())
    };
    let bearer_key = format!("Bearer {key}");
    for (name, value, mode) in [
        (
            "x-session-guid",
            server.session_guid.clone(),
            Some("session"),
        ),
        ("x-api-key", key.clone(), Some("api_key")),
        ("authorization", bearer_key.clone(), Some("api_key")),
        (
            "authorization",
            bearer_key.replace("Bearer", "bearer"),
            Some("api_key"),
        ),
        ("authorization", token("metarecord"), Some("jwt")),
        (
            "authorization",
            token("http://records.example/mcp"),
            Some("jwt"),
        ),
        ("authorization", token("http://records.example"), None),
        (
            "authorization",
            format!("Bearer {}", server.session_guid),
            None,
        ),
        ("authorization", format!("Basic {key}"), None),
        ("authorization", format!("Bearer {key}x"), None),
        ("x-api-key", bearer_key.clone(), None),
        ("x-session-guid", key.clone(), None),
        (
            "authorization",
            format!("Bearer {}", server.operator_token),
            None,
        ),
    ] {
        let client = Client::new(&*url, name, &*value);
        match mode {
            Some(mode) => {
                let who = client.call("whoami", json!({}));
                assert_eq!(who["auth_mode"], json!(mode), "{name}: {who}");
            }
            None => assert_eq!(
                client.ask("tools/list", json!({})).status,
                401,
                "{name}: {value}"
            ),
        }
    }
    let told = Client::new(&*url, "x-user", "dev").with("x-tenant", &*server.orgcode);
    let told = told.with("x-role", "mrs_reader");
    assert_eq!(told.call("whoami", json!({}))["auth_mode"], json!("header"));
    // Two credentials that contradict each other are none.
    let both = Client::new(&*url, "x-api-key", &*key).with("authorization", &*bearer_key);
    assert_eq!(both.ask("tools/list", json!({})).status, 401);
}

#[test]
fn a_refused_credential_says_where_to_get_one() {
    let server = Server::start();
    let stranger = Client::new(format!("{}/mcp", server.base_url), "x-request-id", "r-1");
    for method in ["server/discover", "tools/list", "initialize", "ping"] {
        let got = stranger.ask(method, json!({}));
        assert_eq!((got.status, code(&got)), (401, -32000), "{method}");
        assert_eq!(
            got.header("www-authenticate"),
            Some("Bearer realm=\"metarecord\"")
        );
        let data = &got.json()["error"]["data"];
        assert_eq!(
            (&data["tag"], &data["request_id"]),
            (&json!("invalid-session"), &json!("r-1"))
        );
        assert!(got.json().get("id").is_none());
    }
    for path in ["", "/mcp"] {
        let path = format!(
            "{}/.well-known/oauth-protected-resource{path}",
            server.base_url
        );
        let got = server.get_url(&path, &[]);
        assert_eq!(got.refusal().1, "not-found", "{path}");
    }
}

#[test]
fn where_there_is_an_identity_provider_a_client_learns_of_it() {
    let directory = tempfile::tempdir().expect("a directory");
    crate::token::issuer::private_file(directory.path(), "secret", &[b's'; 32]);
    let server = Server::start_with(&[
        "--set",
        &format!(
            "auth.jwt_hmac_file={}",
            directory.path().join("secret").display()
        ),
        "--set",
        "auth.jwt_issuer=https://id.example/realm",
        "--set",
        "auth.jwt_audience=metarecord",
        "--set",
        "http.public_url=https://records.example/base/",
    ]);
    let stranger = Client::new(format!("{}/mcp", server.base_url), "x-request-id", "r");
    let got = stranger.ask("server/discover", json!({}));
    assert_eq!(got.status, 401);
    assert_eq!(
        got.header("www-authenticate"),
        Some(
            "Bearer realm=\"metarecord\", resource_metadata=\"https://records.example/base/.well-known/oauth-protected-resource/mcp\""
        )
    );
    for path in [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-protected-resource/base/mcp",
        "/base/.well-known/oauth-protected-resource/mcp",
    ] {
        let got = server.get_url(&format!("{}{path}", server.base_url), &[]);
        let metadata = got.json();
        assert_eq!(
            (got.status, got.header("content-type")),
            (200, Some("application/json")),
            "{path}"
        );
        assert_eq!(
            metadata["resource"],
            json!("https://records.example/base/mcp"),
            "{path}"
        );
        assert_eq!(
            metadata["authorization_servers"],
            json!(["https://id.example/realm"])
        );
        assert_eq!(metadata["bearer_methods_supported"], json!(["header"]));
        assert_eq!(
            metadata["scopes_supported"],
            json!(["mrs:read", "mrs:write"])
        );
    }
}

#[test]
fn operators_come_in_at_their_own_address_by_their_token() {
    let server = Server::start_with(&["--set", "mcp.mode=write"]);
    let token = format!("Bearer {}", server.operator_token);
    let url = format!("{}/mcp", server.operator_url);
    let operator = Client::new(&*url, "authorization", &*token);
    let tools = operator.tools();
    assert!(tools.contains(&"jobs_list".to_owned()), "{tools:?}");
    assert!(tools.contains(&"job_control".to_owned()), "{tools:?}");
    // What needs the secret code is not there over HTTP.
    for absent in [
        "vacuum_cancel",
        "maintenance_schedule",
        "record_create",
        "records_list",
    ] {
        assert!(!tools.contains(&absent.to_owned()), "{absent}: {tools:?}");
    }
    assert!(operator.call("jobs_list", json!({}))["is_error"].is_null());
    let reading = Client::new(format!("{url}/read"), "authorization", &*token);
    assert!(!reading.tools().contains(&"job_control".to_owned()));
    let stranger = Client::new(&*url, "x-session-guid", &*server.session_guid);
    let got = stranger.ask("tools/list", json!({}));
    assert_eq!(
        (got.status, &got.json()["error"]["data"]["tag"]),
        (403, &json!("not-authorized"))
    );
    for (name, value, minor) in [
        ("origin", "https://evil.example", "origin"),
        ("host", "evil.example", "host"),
        ("host", "localhost.evil.example", "host"),
    ] {
        let page = Client::new(&*url, "authorization", &*token).with(name, value);
        let got = page.ask("tools/list", json!({}));
        let told = &got.json()["error"]["data"]["minor"];
        assert_eq!((got.status, told), (403, &json!(minor)), "{name}: {value}");
    }
}
