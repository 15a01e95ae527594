//! What was answered as done stays done: killed processes, failing disks, power cuts, syncs before answers, flat memory.

mod faults;
mod flips;
mod kill;
mod memory;
mod order;
mod power;
mod removal;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Runs a journal verb on a stopped server's directory; returns what it printed.
fn journal(dir: &Path, verb: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args(["journal", verb, "--output", "json", "--data-dir"])
        .arg(dir)
        .output()
        .expect("g3n runs");
    let told: String = String::from_utf8_lossy(&output.stdout)
        .chars()
        .take(2_000)
        .collect();
    assert!(
        output.status.success(),
        "{told} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

/// The chain verifies, the database agrees with it, and the projections are what a replay makes of it.
pub(crate) fn check_stopped(dir: &Path) {
    let verified = journal(dir, "verify");
    assert_eq!(
        (&verified["good"], &verified["database"]),
        (&Value::from(true), &Value::from("compared")),
        "{verified}"
    );
    let rebuilt = journal(dir, "rebuild");
    assert_eq!(rebuilt["differing_rows"], 0, "{rebuilt}");
}
