//! Lines that are shown to be pasted, with paths that a shell takes for something else.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use crate::support::eventually;

/// Names of directories: a quote, what expands, a line break, a control character, no text.
const NAMES: [&[u8]; 5] = [
    b"it's \"here\"",
    b"$(touch expanded) `id` $HOME *",
    b"two\nlines",
    b"\x1b[31mred",
    b"no\xfftext",
];

/// A server that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended is fine.
        let _: Result<_, _> = self.0.kill();
        let _: Result<_, _> = self.0.wait();
    }
}

fn sh(line: &str, dir: &std::path::Path) -> String {
    let path = super::run::search_path();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).current_dir(dir).env_clear();
    let output = command.env("PATH", path).output().expect("a shell");
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_exports_of_development_mode_survive_any_path() {
    for name in NAMES {
        let scratch = tempfile::tempdir().expect("a directory");
        let dir = scratch.path().join(OsStr::from_bytes(name));
        std::fs::create_dir(&dir).expect("made");
        let told = scratch.path().join("told");
        let file = std::fs::File::create(&told).expect("made");
        let child = Command::new(env!("CARGO_BIN_EXE_g3n"))
            .args(["serve", "--dev", "--listen", "127.0.0.1:0"])
            .args(["--operator-listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.join("data"))
            .stdout(Stdio::null())
            .stderr(file)
            .spawn();
        let _running = Running(child.expect("it starts"));
        let read = || std::fs::read_to_string(&told).unwrap_or_default();
        eventually("it is ready", || read().contains("curl -sS"));
        let told = read();
        let exports: Vec<_> = told
            .lines()
            .filter(|line| line.starts_with("export "))
            .collect();
        assert_eq!(exports.len(), 2, "{told}");
        let exports = exports.join("; ");
        sh(
            &format!("{exports}; test -f \"$G3N_CONFIG\""),
            scratch.path(),
        );
        let line = format!("{exports}; g3n config show; g3n whoami");
        let told = sh(&line, scratch.path());
        assert!(told.contains("\"tenant_id\":\"DEMO\""), "{line}");
        assert!(!scratch.path().join("expanded").exists());
    }
}

#[test]
fn what_the_doctor_says_to_do_survives_any_path() {
    for name in NAMES {
        let scratch = tempfile::tempdir().expect("a directory");
        let dir = scratch.path().join(OsStr::from_bytes(name));
        std::fs::create_dir(&dir).expect("made");
        let mode = |bits| std::fs::Permissions::from_mode(bits);
        std::fs::set_permissions(&dir, mode(0o755)).expect("set");
        let output = Command::new(env!("CARGO_BIN_EXE_g3n"))
            .args(["doctor", "--json", "--data-dir"])
            .arg(&dir)
            .current_dir(scratch.path())
            .output()
            .expect("it runs");
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let checks = told["checks"].as_array().expect("rows");
        let row = checks.iter().find(|row| row["name"] == "directories");
        let fix = row.expect("a row")["fix"].as_str().expect("what to do");
        sh(fix, scratch.path());
        let now = dir.metadata().expect("it is there").permissions().mode();
        assert_eq!(now & 0o777, 0o700, "{fix}");
        assert!(!scratch.path().join("expanded").exists());
    }
}
