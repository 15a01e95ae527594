//! Other people's programs, as `make mcp-conformance` installs them: the official conformance suite, against a fixture behind
//! the bridge of the real endpoint and against a server; and two other authors' clients.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::agent::api_key;
use super::fixture;
use crate::support::Server;

/// Where `tests/mcp/check.sh` has installed them; it sets this.
const TOOLS: &str = "MCP_TOOLS";
/// Seconds after which a program is ended.
const SECONDS_MAX: &str = "240";

/// The directory of the programs. Without it there is nothing to be run here.
fn tools() -> Option<PathBuf> {
    let tools = std::env::var_os(TOOLS).map(PathBuf::from);
    if tools.is_none() {
        eprintln!(
            "SKIP: {TOOLS} is not set; make mcp-conformance installs the programs and sets it"
        );
    }
    tools
}

fn node(tools: &Path) -> PathBuf {
    tools.join("node_modules/.bin/node")
}

/// A program that is ended when it takes too long.
fn bounded(program: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.arg(SECONDS_MAX).arg(program);
    command
}

/// What a program says that succeeds.
fn succeed(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&stdout).into_owned();
    let errors = String::from_utf8_lossy(&stderr).into_owned();
    assert!(status.success(), "{command:?}:\n{text}\n{errors}");
    text
}

/// Runs the suite and returns what it says.
fn suite(tools: &Path, url: &str, arguments: &[&str]) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let suite = tools.join("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    let mut command = bounded(&node(tools));
    command
        .arg(suite)
        .args(["server", "--url", url])
        .args(arguments);
    succeed(command.current_dir(dir.path()))
}

/// What the suite says of all that it ran.
fn total(text: &str) -> &str {
    let line = text.lines().find(|line| line.starts_with("Total: "));
    line.unwrap_or("Total: unknown")
}

#[test]
fn the_bridge_does_what_both_revisions_require() {
    let Some(tools) = tools() else { return };
    let url = fixture::serve();
    for revision in ["2026-07-28", "2025-11-25"] {
        // It fails for any of these alone, and runs others besides: of extensions, and those that came later.
        suite(&tools, &url, &["--requirements", revision]);
        println!("OK bridge {revision}: all that it requires");
    }
}

/// Passes requests on to a server with a credential; ends when it is dropped.
struct Forwarder {
    child: Child,
    url: String,
}

impl Forwarder {
    fn start(tools: &Path, server: &Server) -> Self {
        let mut command = bounded(&node(tools));
        command.args([
            "tests/mcp/forward.mjs",
            &server.base_url,
            &api_key(server, "mrs_writer"),
        ]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut port = String::new();
        let stdout = child.stdout.take().expect("it is captured");
        BufReader::new(stdout).read_line(&mut port).expect("a port");
        let url = format!("http://127.0.0.1:{}/mcp", port.trim());
        Self { child, url }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _: std::io::Result<()> = self.child.kill();
        let _: std::io::Result<_> = self.child.wait();
    }
}

#[test]
fn a_server_does_all_that_needs_no_tools_of_the_suite() {
    let Some(tools) = tools() else { return };
    let server = Server::start_with(&["--set", "mcp.mode=write"]);
    server.put_inline("notes", "n-1", &serde_json::json!({"a": 1}), &[]);
    let forwarder = Forwarder::start(&tools, &server);
    for revision in ["2026-07-28", "2025-11-25"] {
        let baseline = std::env::current_dir()
            .expect("a directory")
            .join("tests/mcp");
        let baseline = baseline.join(format!("baseline-{revision}.yaml"));
        let baseline = baseline.to_str().expect("a path");
        let arguments = [
            "--suite",
            "all",
            "--spec-version",
            revision,
            "--expected-failures",
            baseline,
        ];
        let text = suite(&tools, &forwarder.url, &arguments);
        println!(
            "OK server {revision}: all but its baseline; {}",
            total(&text)
        );
    }
}

#[test]
fn clients_of_two_other_authors_live_through_a_record() {
    let Some(tools) = tools() else { return };
    let server = Server::start_with(&["--set", "mcp.mode=write"]);
    let key = api_key(&server, "mrs_writer");
    let url = format!("{}/mcp", server.base_url);
    let mut python = bounded(&tools.join("venv/bin/python"));
    python.arg("tests/mcp/life.py");
    // It finds its packages from where it lies.
    std::fs::copy("tests/mcp/life.mjs", tools.join("life.mjs")).expect("copied");
    let mut typescript = bounded(&node(&tools));
    typescript.arg(tools.join("life.mjs"));
    for command in [&mut python, &mut typescript] {
        let said = succeed(command.env("MCP_URL", &url).env("MCP_KEY", &key));
        assert!(said.contains("OK "), "{said}");
        print!("{said}");
    }
}
