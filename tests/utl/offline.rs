//! `g3n utl verify` without a server, and an import that is only tried.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{done, export, g3n, make_org, put_file, put_text};
use crate::support::Server;

const ORG: &str = "ACME";

/// Runs `utl verify` with nothing of a server around it.
fn verify(line: &[&str]) -> (Option<i32>, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .env_clear()
        .args(["utl", "verify", "--output", "json"])
        .args(line)
        .output()
        .expect("g3n runs");
    let told = serde_json::from_slice(&output.stdout).expect("one JSON document");
    (output.status.code(), told)
}

/// An export of an org with inline and uploaded content, and the server it comes from.
fn exported(scratch: &Path) -> (Server, String) {
    let server = Server::start();
    make_org(&server, ORG);
    put_text(&server, ORG, "n-1", "{\"a\":1.0}", 0);
    put_text(&server, ORG, "n-1", "2", 1);
    let file = scratch.join("blob");
    std::fs::write(&file, [7; 100_000]).expect("written");
    put_file(&server, ORG, "o-1", &file);
    let out = scratch.join("out");
    export(&server, ORG, &out);
    (server, out.to_str().expect("a readable path").to_owned())
}

/// The states of a report's rows, by their names.
fn states(told: &Value) -> Vec<(String, String)> {
    let rows = told["checks"].as_array().expect("checks");
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    rows.iter()
        .map(|row| (text(row, "name"), text(row, "state")))
        .collect()
}

#[test]
fn an_export_is_verified_without_a_server() {
    let scratch = tempfile::tempdir().expect("a directory");
    let (_server, out) = exported(scratch.path());
    let (code, told) = verify(&[&out]);
    assert_eq!((code, &told["good"]), (Some(0), &json!(true)), "{told}");
    assert_eq!(told["orgcode"], ORG);
    assert_eq!(told["counts"]["records"], 2);
    let all = ["manifest", "files", "records", "history", "content"];
    let good: Vec<_> = all.map(|name| (name.to_owned(), "ok".to_owned())).into();
    assert_eq!(states(&told), good);
    let sha256 = told["manifest_sha256"].as_str().expect("a hash");
    let wrong = "0".repeat(64);
    for (line, expected) in [
        (&[&*out, "--manifest-sha256", sha256][..], Some(0)),
        (&[&out, "--manifest-sha256", &wrong], Some(1)),
        (&[&out, "--orgcode", ORG], Some(0)),
        (&[&out, "--orgcode", "OTHER"], Some(1)),
        (&["nowhere"], Some(1)),
    ] {
        let (code, told) = verify(line);
        assert_eq!(code, expected, "{line:?}: {told}");
        assert_eq!(told["good"], json!(expected == Some(0)), "{line:?}");
    }
}

#[test]
fn an_import_is_tried_without_a_change() {
    let scratch = tempfile::tempdir().expect("a directory");
    let (from, out) = exported(scratch.path());
    let to = Server::start();
    let position = |server: &Server| {
        let output = Command::new(env!("CARGO_BIN_EXE_g3n"))
            .args(["journal", "head", "--output", "json", "--data-dir"])
            .arg(&server.dir)
            .output()
            .expect("g3n runs");
        let head: Value = serde_json::from_slice(&output.stdout).expect("a head");
        head["position"].clone()
    };
    let before = position(&to);
    let plan = done(&to, &["utl", "import", &out, "--dry-run"]);
    assert_eq!(plan["created"]["records"], 2, "{plan}");
    assert_eq!(
        (&plan["overwritten"], &plan["continues"]),
        (&json!(0), &json!(false))
    );
    assert_eq!(position(&to), before, "nothing was written");
    assert_eq!(plan["past_quotas"], json!([]));
    // What would keep the org from adding anything is foreseen.
    let small = Server::start_with(&["--set", "quotas.records=1"]);
    let tried = g3n(&small, &["utl", "import", &out, "--dry-run"]);
    let plan: Value = serde_json::from_slice(&tried.stdout).expect("a plan");
    let past = json!([{"quota": "records", "would_have": 2, "limit": 1}]);
    assert_eq!(plan["past_quotas"], past);
    assert!(
        String::from_utf8_lossy(&tried.stderr).contains("quota"),
        "{tried:?}"
    );
    // Where the org is, the try is refused as the import would be.
    let taken = g3n(&from, &["utl", "import", &out, "--dry-run"]);
    assert_eq!(taken.status.code(), Some(6), "{taken:?}");
    // An owner who is not there is refused before anything is brought in.
    for more in [&["--dry-run"][..], &[]] {
        let line = [&["utl", "import", &out, "--owner-user-id", "nobody"], more].concat();
        let refused = g3n(&to, &line);
        assert_eq!(refused.status.code(), Some(5), "{refused:?}");
        assert_eq!(position(&to), before, "nothing was written");
    }
    let other = g3n(&to, &["utl", "import", &out, "--orgcode", "OTHER"]);
    assert_eq!(other.status.code(), Some(2), "{other:?}");
    let owner = super::owner(&to);
    done(
        &to,
        &[
            "utl",
            "import",
            &out,
            "--orgcode",
            ORG,
            "--owner-user-id",
            &owner,
        ],
    );
    let again = g3n(&to, &["utl", "import", &out, "--dry-run"]);
    assert_eq!(again.status.code(), Some(6), "{again:?}");
}
