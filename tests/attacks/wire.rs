//! On the wire and on the disk: odd heads, foreign names, white space, what strangers are told, and modes of files.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::Server;
use crate::support::wire::Wire;

/// The status and the two tags of an answer as it came over a connection.
fn refusal(answer: &str) -> (String, String, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let tag = |name: &str| {
        body["error"][name]["tag"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    (status, tag("major"), tag("minor"))
}

fn told(status: &str, major: &str, minor: &str) -> (String, String, String) {
    (status.to_owned(), major.to_owned(), minor.to_owned())
}

#[test]
fn an_odd_host_is_refused_at_both_addresses() {
    let server = Server::start();
    for url in [&server.base_url, &server.operator_url] {
        for host in [
            "a b",
            "user@records.example",
            "records.example/x",
            "records.example:x",
            "[::1",
        ] {
            let request =
                format!("GET /whoami HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = Wire::connect(url).exchange(request.as_bytes());
            assert_eq!(
                refusal(&answer),
                told("400", "invalid-input", "host"),
                "{host} at {url}"
            );
        }
        let request = "GET /whoami HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n";
        let status = refusal(&Wire::connect(url).exchange(request.as_bytes())).0;
        assert_ne!(status, "400");
    }
}

#[test]
fn a_header_that_names_one_thing_comes_once() {
    let server = Server::start();
    let session = server.session_guid.as_str();
    let url = format!("{}/mrs/list", server.base_url);
    for (name, value, tag) in [
        ("x-orgcode", "DEMO", "invalid-orgcode"),
        ("x-cccode", "AB12-CD34-EF56", "invalid-cccode"),
    ] {
        let headers = [
            ("x-session-guid", session),
            ("x-orgcode", "DEMO"),
            (name, value),
        ];
        let once = if name == "x-orgcode" {
            &headers[..2]
        } else {
            &headers[..]
        };
        assert_eq!(server.get_url(&url, once).status, 200, "{name}");
        let head = format!(
            "GET /mrs/list HTTP/1.1\r\nHost: localhost\r\nx-session-guid: {session}\r\n{name}: {value}\r\n{name}: {value}\r\nConnection: close\r\n\r\n"
        );
        let answer = Wire::connect(&server.base_url).exchange(head.as_bytes());
        assert_eq!(refusal(&answer), told("400", tag, ""), "{name} twice");
    }
}

#[test]
fn operators_are_not_called_by_a_foreign_name() {
    let with_name = Server::start_with(&["--set", "http.host_names=records.internal"]);
    let server = Server::start();
    let call = |server: &Server, host: &str| {
        let request = format!(
            "POST /invoke/jobs_list HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}",
            server.operator_token
        );
        refusal(&Wire::connect(&server.operator_url).exchange(request.as_bytes()))
    };
    let refused = told("400", "invalid-input", "host");
    for host in [
        "evil.example",
        "evil.example:8001",
        "records.internal",
        "localhost.evil.example",
    ] {
        assert_eq!(call(&server, host), refused, "{host}");
    }
    for host in [
        "localhost",
        "LOCALHOST:8001",
        "127.0.0.1:8001",
        "[::1]",
        "10.0.0.7",
    ] {
        assert_eq!(call(&server, host), told("200", "", ""), "{host}");
    }
    assert_eq!(
        call(&with_name, "records.internal:8001"),
        told("200", "", "")
    );
    assert_eq!(call(&with_name, "evil.example"), refused);
}

#[test]
fn callers_known_by_headers_are_not_called_by_a_foreign_name() {
    let identity = [
        "--set",
        "auth.header_identity=true",
        "--set",
        "auth.allow_insecure_header_identity=true",
    ];
    let server = Server::start_with(&identity);
    let call = |host: &str| {
        let request = format!(
            "GET /whoami HTTP/1.1\r\nHost: {host}\r\nX-User: ann\r\nX-Tenant: DEMO\r\nX-Role: owner\r\nConnection: close\r\n\r\n"
        );
        refusal(&Wire::connect(&server.base_url).exchange(request.as_bytes()))
    };
    assert_eq!(call("evil.example"), told("400", "invalid-input", "host"));
    assert_eq!(call("localhost:8000"), told("200", "", ""));
}

#[test]
fn white_space_around_a_code_is_refused_unless_it_is_an_orgs() {
    let server = Server::start();
    let body = |orgcode: &str, cccode: &str| {
        json!({"orgcode": orgcode, "cccode": cccode, "container": "notes",
            "content_type": "application/json", "payload": 1})
    };
    assert_eq!(
        server
            .post("/mrs/record", &body(" demo ", "AB12-CD34-EF56"))
            .status,
        200
    );
    for cccode in [" AB12-CD34-EF56", "AB12-CD34-EF56 ", "\tAB12-CD34-EF56\n"] {
        let got = server.post("/mrs/record", &body("demo", cccode));
        assert_eq!(got.refusal().1, "invalid-cccode", "{cccode:?}");
    }
    for container in [" notes", "notes "] {
        let mut body = body("demo", "AB12-CD34-EF56");
        body["container"] = json!(container);
        assert_eq!(
            server.post("/mrs/record", &body).refusal().1,
            "invalid-container"
        );
    }
}

#[test]
fn strangers_hear_that_it_is_ready_and_nothing_of_how_much_it_holds() {
    let server = Server::start();
    let answer = server.get_url(&format!("{}/ready", server.base_url), &[]);
    let told = answer.data();
    assert_eq!(told["ready"], json!(true));
    assert!(
        !told.to_string().contains(|c: char| c.is_ascii_digit()),
        "{told}"
    );
}

#[test]
fn a_data_directory_that_others_may_read_is_closed_at_start_and_all_in_it_is_its_owners() {
    let scratch = tempfile::tempdir().expect("a directory");
    let data = scratch.path().join("data");
    fs::create_dir(&data).expect("made");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    fs::set_permissions(&data, Permissions::from_mode(0o755)).expect("set");
    let server = Server::start_in(&data, &[]);
    server.put_inline("notes", "n", &json!(1), &["t"]);
    assert_eq!(mode(&data), 0o700);
    let mut left: Vec<PathBuf> = vec![data.clone()];
    let mut looked_at = 0;
    while let Some(path) = left.pop() {
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
        looked_at += 1;
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("read").flatten();
            left.extend(entries.map(|entry| entry.path()));
        }
    }
    assert!(looked_at > 20, "{looked_at}");
}

#[test]
fn a_token_that_others_may_read_is_not_started_with() {
    let scratch = tempfile::tempdir().expect("a directory");
    let data = scratch.path().join("data");
    drop(Server::start_in(&data, &[]));
    let token = data.join("keys/operator.token");
    fs::set_permissions(&token, Permissions::from_mode(0o644)).expect("set");
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_g3n"))
            .args([
                "serve",
                "--dev",
                "--listen",
                "127.0.0.1:0",
                "--operator-listen",
                "127.0.0.1:0",
            ])
            .arg("--data-dir")
            .arg(&data)
            .stdin(Stdio::null())
            .output()
            .expect("it runs")
    };
    let refused = start();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("chmod 600"),
        "{said}"
    );
    fs::set_permissions(&token, Permissions::from_mode(0o600)).expect("set");
    drop(Server::start_in(&data, &[]));
}
