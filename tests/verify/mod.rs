//! Whether a server keeps what callers are promised: `g3n verify`, the reference client and the smoke scripts, next to an
//! honest server and next to one that lies.

mod honest;
mod liar;
mod lies;
mod smoke;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::cli::run::g3n;
use crate::support::Server;

/// A run of one of the two programs: its exit code, and the state of each check.
#[derive(Debug)]
struct Verdict {
    code: i32,
    states: BTreeMap<String, String>,
    /// All that was told.
    text: String,
}

impl Verdict {
    /// Checks that failed.
    fn failed(&self) -> Vec<&str> {
        let failed = self.states.iter().filter(|(_, state)| *state == "fail");
        failed.map(|(name, _)| name.as_str()).collect()
    }
}

/// Runs `g3n verify`.
fn verify(line: &str, environment: &[(&str, &str)]) -> Verdict {
    let line = format!("verify --json {line}");
    let ran = g3n(&line, Path::new("."), environment, b"");
    let told: Value = serde_json::from_slice(&ran.stdout).unwrap_or_default();
    let rows = told["checks"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Verdict {
        code: ran.code,
        states: rows
            .map(|row| (text(&row["name"]), text(&row["state"])))
            .collect(),
        text: format!("{ran:?}"),
    }
}

/// Runs the reference client.
fn reference(line: &str, environment: &[(&str, &str)]) -> Verdict {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/reference-client/verify.py"
    );
    let mut command = Command::new("python3");
    command.arg(script).args(line.split_whitespace());
    // So that a profile of the machine's user does not count.
    command
        .args(["--dev-file", "nowhere"])
        .env_clear()
        .envs(crate::support::measured());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    let output = command.envs(environment.iter().copied()).output();
    let output = output.expect("python3 runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows = text.lines().filter(|line| line.starts_with("  "));
    let states = rows.filter_map(|row| {
        let mut words = row.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    });
    Verdict {
        code: output.status.code().unwrap_or(-1),
        states: states.collect(),
        text: text.clone() + &String::from_utf8_lossy(&output.stderr),
    }
}

/// A way to run one of the two.
type Program = fn(&str, &[(&str, &str)]) -> Verdict;

/// Both, with the names they are told of by.
const PROGRAMS: [(&str, Program); 2] = [("g3n verify", verify), ("verify.py", reference)];

/// Whom to call as: the development session.
fn session(server: &Server) -> Vec<(&'static str, &str)> {
    vec![
        ("G3N_SESSION_GUID", server.session_guid.as_str()),
        ("G3N_ORGCODE", server.orgcode.as_str()),
    ]
}
