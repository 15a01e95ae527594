//! The official conformance suite, as `make mcp-conformance` installs it: against a fixture behind the bridge of the real
//! endpoint.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::fixture;

/// Where `tests/mcp/check.sh` has installed other people's programs; it sets this.
const TOOLS: &str = "MCP_TOOLS";
/// Seconds after which a program is ended.
const SECONDS_MAX: &str = "240";

/// The directory of the programs. Without it there is nothing to be run here.
pub(super) fn tools() -> Option<PathBuf> {
    let tools = std::env::var_os(TOOLS).map(PathBuf::from);
    if tools.is_none() {
        eprintln!(
            "SKIP: {TOOLS} is not set; make mcp-conformance installs the programs and sets it"
        );
    }
    tools
}

/// A program of these with its arguments, ended when it takes too long.
pub(super) fn run(program: &Path, arguments: &[&str], dir: &Path) -> Output {
    let mut command = Command::new("timeout");
    command
        .arg(SECONDS_MAX)
        .arg(program)
        .args(arguments)
        .current_dir(dir);
    command.output().expect("timeout runs the program")
}

/// Runs what a revision requires of a server, and returns what was printed.
fn required(tools: &Path, url: &str, revision: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let suite = tools.join("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    let node = tools.join("node_modules/.bin/node");
    let arguments = [
        suite.to_str().unwrap(),
        "server",
        "--url",
        url,
        "--requirements",
        revision,
    ];
    let output = run(&node, &arguments, dir.path());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{revision}:\n{text}\n{errors}");
    text
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
        let text = required(&tools, &url, revision);
        println!("OK bridge {revision}: {}", total(&text));
    }
}
