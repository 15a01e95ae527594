//! Operators behind a Unix socket: who reaches it, what becomes of its file, and that tenants' address stays apart.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use metarecord::client::{Client, Credential, TransportError};
use serde_json::json;

use crate::cli::run::g3n;
use crate::support::{Server, eventually};

/// A directory for a socket and the server's data, with the socket's path.
struct Place {
    dir: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("operators.sock");
        Self { dir, path }
    }

    fn url(&self) -> String {
        format!("unix:{}", self.path.display())
    }

    fn start(&self) -> Server {
        let data = self.dir.path().join("data");
        Server::start_in(&data, &["--operator-listen", &self.url()])
    }

    /// Runs a server that is expected not to start, on data of its own. One that starts all the same is killed.
    fn refused(&self, listen: &str) -> Output {
        let data = self.dir.path().join("second");
        let mut child = Command::new(env!("CARGO_BIN_EXE_g3n"))
            .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .env("G3N_HTTP_OPERATOR_LISTEN", listen)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        eventually("it ends or is ready", || {
            let ended = child.try_wait().expect("it can be asked");
            ended.is_some() || data.join("dev.json").exists()
        });
        // Already ended is fine.
        let _: std::io::Result<()> = child.kill();
        child.wait_with_output().expect("it ends")
    }
}

/// Whether there is a socket that only its owner can connect to.
fn is_private_socket(path: &Path) -> bool {
    let metadata = std::fs::symlink_metadata(path).expect("it is there");
    metadata.file_type().is_socket() && metadata.permissions().mode() & 0o777 == 0o600
}

fn operator(url: &str, server: &Server) -> Client {
    let token = server.operator_token.clone();
    Client::new(url, Credential::OperatorToken(token))
}

/// The number a program ended with, and what it said.
fn told(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), text)
}

#[test]
fn the_client_reaches_operators_by_the_socket_and_only_with_their_token() {
    let place = Place::new();
    let server = place.start();
    assert_eq!(server.operator_url, place.url());
    assert!(is_private_socket(&place.path));
    let client = operator(&place.url(), &server);
    for _ in 0..2 {
        let reply = client.invoke("ops_audit", &json!({})).expect("an answer");
        assert!(reply.is_success(), "{}", reply.text);
    }
    for credential in [
        Credential::None,
        Credential::SessionGuid(server.session_guid.clone()),
        Credential::OperatorToken("op_0".to_owned()),
    ] {
        let client = Client::new(&place.url(), credential);
        let reply = client.invoke("ops_audit", &json!({})).expect("an answer");
        assert_eq!((reply.status, reply.tag()), (403, Some("not-authorized")));
    }
}

#[test]
fn the_mode_is_set_before_anybody_can_connect() {
    let place = Place::new();
    let trace = place.dir.path().join("trace");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-e", "trace=bind,listen,/chmod", "-o"])
        .arg(&trace);
    let data = place.dir.path().join("data");
    let listen = ["--operator-listen", &place.url()];
    Server::start_by(command, &data, &listen).end_below("TERM");
    let text = std::fs::read_to_string(&trace).expect("strace writes");
    let lines: Vec<&str> = text.lines().collect();
    let find = |holds: &dyn Fn(&str) -> bool| lines.iter().position(|line| holds(line));
    let bound = find(&|line| line.contains("bind(") && line.contains("operators.sock"));
    let bound = bound.unwrap_or_else(|| panic!("{text}"));
    let descriptor = lines[bound].split(['(', ',']).nth(1).expect("a descriptor");
    let changed = find(&|line| line.contains("operators.sock\", 0600) = 0"));
    let listening = find(&|line| line.contains(&format!("listen({descriptor},")));
    assert!(changed.is_some() && changed > Some(bound), "{text}");
    assert!(listening > changed, "{text}");
}

#[test]
fn the_command_line_reaches_operators_by_profile_flag_and_variable() {
    let place = Place::new();
    let server = place.start();
    let (dir, url) = (place.dir.path(), place.url());
    let config = server.config_file.to_str().expect("plain");
    let token = ("G3N_OPERATOR_TOKEN", server.operator_token.as_str());
    let flag = format!("ops audit --operator-url {url}");
    let variable = ("G3N_OPERATOR_URL", url.as_str());
    let profile = [("G3N_CONFIG", config), ("G3N_PROFILE", "dev")];
    for (line, environment) in [
        ("ops audit", profile.as_slice()),
        (flag.as_str(), &[token]),
        ("ops audit", &[token, variable]),
    ] {
        g3n(line, dir, environment, b"").data();
    }
    let ran = g3n("ops audit", dir, &[variable], b"");
    assert_eq!(ran.refusal(), (4, "not-authorized".to_owned()));
    let line = format!("ops ping --base-url {url}");
    assert_eq!(g3n(&line, dir, &[], b"").refusal(), (2, "usage".to_owned()));
}

#[test]
fn the_gateway_serves_no_operator_function() {
    let place = Place::new();
    let server = place.start();
    let client = operator(&server.base_url, &server);
    for path in ["/invoke/ops_audit", "/prod/invoke/ops-audit"] {
        let reply = client.call("POST", path, &[], Some(&json!({})));
        let reply = reply.expect("an answer");
        assert_eq!((reply.status, reply.tag()), (404, Some("not-found")));
    }
}

#[test]
fn an_ended_servers_socket_is_removed_and_the_client_says_so() {
    let place = Place::new();
    let mut server = place.start();
    let client = operator(&place.url(), &server);
    assert!(client.invoke("ops_audit", &json!({})).is_ok());
    assert_eq!(server.end("TERM"), Some(0));
    assert!(!place.path.exists());
    match client.invoke("ops_audit", &json!({})) {
        Err(TransportError::Unreachable { address, .. }) => assert_eq!(address, place.url()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_killed_servers_socket_is_replaced() {
    let place = Place::new();
    let mut server = place.start();
    let client = operator(&place.url(), &server);
    assert!(client.invoke("ops_audit", &json!({})).is_ok());
    server.end("KILL");
    assert!(
        place.path.exists(),
        "the test is about a socket left behind"
    );
    let _server = place.start();
    assert!(is_private_socket(&place.path));
    let reply = client.invoke("ops_audit", &json!({}));
    assert!(reply.expect("an answer").is_success());
}

#[test]
fn a_socket_in_use_is_not_replaced() {
    let place = Place::new();
    let server = place.start();
    let (code, text) = told(&place.refused(&place.url()));
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("already in use") && text.contains(&place.url()),
        "{text}"
    );
    let reply = operator(&place.url(), &server).invoke("ops_audit", &json!({}));
    assert!(reply.expect("an answer").is_success());
    // One that this program did not make, and of which nothing is known but that it listens.
    let other = place.dir.path().join("other.sock");
    let _listener = UnixListener::bind(&other).expect("listens");
    let (code, _) = told(&place.refused(&format!("unix:{}", other.display())));
    assert!(code == Some(1) && other.exists());
}

#[test]
fn a_path_that_is_no_socket_is_left_unchanged() {
    let place = Place::new();
    std::fs::write(&place.path, b"mine").expect("written");
    let dead = place.dir.path().join("dead.sock");
    drop(UnixListener::bind(&dead).expect("a socket"));
    let link = place.dir.path().join("link.sock");
    std::os::unix::fs::symlink(&dead, &link).expect("linked");
    for path in [&place.path, &link] {
        let (code, text) = told(&place.refused(&format!("unix:{}", path.display())));
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("not a socket"), "{text}");
    }
    assert_eq!(std::fs::read(&place.path).expect("still there"), b"mine");
    assert!(link.is_symlink() && dead.exists());
}

#[test]
fn a_path_that_no_socket_can_have_is_a_wrong_configuration() {
    let place = Place::new();
    let long = format!("{}/{}", place.url(), "a".repeat(108));
    for listen in [long.as_str(), "unix:"] {
        let (code, text) = told(&place.refused(listen));
        assert_eq!(code, Some(78), "{text}");
        assert!(text.contains("107 bytes"), "{text}");
    }
}

#[test]
fn a_socket_for_the_gateway_is_refused_with_advice() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let place = dir.path().join("gateway.sock");
    let listen = format!("unix:{}", place.display());
    let line =
        format!("serve --dev --data-dir data --listen {listen} --operator-listen 127.0.0.1:0");
    let ran = g3n(&line, dir.path(), &[], b"");
    assert_eq!(ran.code, 78, "{ran:?}");
    for told in [listen.as_str(), "--operator-listen", "127.0.0.1:8000"] {
        assert!(ran.stderr.contains(told), "{told}: {ran:?}");
    }
    let left = std::fs::read_dir(dir.path()).expect("the directory");
    assert_eq!(left.count(), 0, "nothing was begun");
}

#[test]
fn a_relative_socket_path_is_shown_as_an_absolute_one() {
    let place = Place::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_g3n"));
    command.current_dir(place.dir.path());
    let data = place.dir.path().join("data");
    let name = r#"a "b' ?#\ü.sock"#;
    let listen = format!("unix:{name}");
    let server = Server::start_by(command, &data, &["--operator-listen", &listen]);
    let reported = PathBuf::from(server.operator_url.trim_start_matches("unix:"));
    let canonical = |path: &Path| std::fs::canonicalize(path).expect("it is there");
    assert!(reported.is_absolute());
    let expected = place.dir.path().join(name);
    assert_eq!(canonical(&reported), canonical(&expected));
    let config = server.config_file.to_str().expect("plain");
    let profile = [("G3N_CONFIG", config), ("G3N_PROFILE", "dev")];
    g3n("ops audit", &data, &profile, b"").data();
}
