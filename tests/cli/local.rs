//! What the command line does without a server.

use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use serde_json::json;

use super::run::g3n;

#[test]
fn nobody_listening_is_told_in_an_envelope_and_by_exit_3() {
    let dir = tempfile::tempdir().expect("a directory");
    let environment = [("G3N_BASE_URL", "http://127.0.0.1:1")];
    let ran = g3n("health", dir.path(), &environment, b"");
    assert_eq!(ran.refusal(), (3, "unreachable".to_owned()));
    let ran = g3n("health --output table", dir.path(), &environment, b"");
    assert_eq!((ran.code, ran.text().as_str()), (3, ""));
    assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("what to do: "), "{}", ran.stderr);
}

#[test]
fn usage_errors_are_told_in_an_envelope_and_by_exit_2() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("bad.json"), b"{\"a\":").expect("written");
    for line in [
        "mrs nonsense",
        "mrs list",
        "mrs stat --base-url 127.0.0.1:8000",
        "mrs stat --config nowhere.toml",
        "mrs stat --profile dev",
        "mrs put --orgcode A1 --container demo --inline-payload-file bad.json",
        "ops maintenance-start --maintenance-id mw_1",
        "ops maintenance-start --maintenance-id mw_1 --secret-code-file -",
        "ops secret-set --rotate --secret-code old",
        "ops vacuum-org --secret-code code --reason Cleanup --yes",
        "ops vacuum-org --secret-code code --reason Cleanup --orgcode A1",
    ] {
        let ran = g3n(line, dir.path(), &[], b"");
        assert_eq!(ran.refusal(), (2, "usage".to_owned()), "{line}: {ran:?}");
    }
    let line = "mrs put --orgcode A1 --container demo --file nowhere.bin";
    let ran = g3n(line, dir.path(), &[], b"");
    assert_eq!(ran.refusal(), (2, "file".to_owned()));
}

#[test]
fn config_show_names_origins_and_hides_secrets() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("profiles.toml");
    let text = "[dev]\nbase_url = \"http://127.0.0.1:1\"\noperator_token = \"hush\"\n";
    std::fs::write(&file, text).expect("written");
    let file = file.to_str().expect("plain");
    let environment = [("G3N_CONFIG", file), ("G3N_SESSION_GUID", "hush")];
    let ran = g3n(
        "config show --profile dev --orgcode ACME",
        dir.path(),
        &environment,
        b"",
    );
    let shown = ran.json();
    assert_eq!(ran.code, 0);
    for (name, value, from) in [
        ("profile", "dev", "flag"),
        ("config", file, "environment"),
        ("base_url", "http://127.0.0.1:1", "file"),
        ("operator_url", "http://127.0.0.1:8001", "default"),
        ("orgcode", "ACME", "flag"),
        ("session_guid", "set", "environment"),
        ("operator_token", "set", "file"),
    ] {
        assert_eq!(shown[name], json!({"value": value, "from": from}), "{name}");
    }
    assert!(!ran.text().contains("hush"));
    let ran = g3n(
        "config show --output table --profile dev",
        dir.path(),
        &environment,
        b"",
    );
    assert!(ran.text().contains("operator_token") && !ran.text().contains("hush"));
}

#[test]
fn config_server_shows_settings_and_refuses_wrong_ones() {
    let dir = tempfile::tempdir().expect("a directory");
    let environment = [("G3N_MRS_SWEEP_SECONDS", "7")];
    let line = "config server --set mrs.uploads_max=3";
    let shown = g3n(line, dir.path(), &environment, b"").json();
    let of = |name: &str| (shown[name]["value"].clone(), shown[name]["from"].clone());
    assert_eq!(of("mrs.uploads_max"), (json!("3"), json!("--set")));
    let from = json!("environment G3N_MRS_SWEEP_SECONDS");
    assert_eq!(of("mrs.sweep_seconds"), (json!("7"), from));
    let table = g3n(&format!("{line} --output table"), dir.path(), &[], b"");
    assert!(table.text().contains("3 (--set)"), "{table:?}");
    for (wrong, code, tag) in [
        ("http.lisen=1", 78, "settings"),
        ("mrs.uploads_max=0", 78, "settings"),
        ("mrs.uploads_max", 2, "usage"),
    ] {
        let ran = g3n(
            &format!("config server --set {wrong}"),
            dir.path(),
            &[],
            b"",
        );
        assert_eq!(ran.refusal(), (code, tag.to_owned()), "{wrong}: {ran:?}");
    }
}

#[test]
fn a_non_utf8_variable_is_refused_only_if_it_is_a_setting() {
    let show = |name: &str| {
        Command::new(env!("CARGO_BIN_EXE_g3n"))
            .args(["config", "server", "--output", "json"])
            .env_clear()
            .envs(crate::support::measured())
            .env(name, std::ffi::OsStr::from_bytes(b"\xff"))
            .output()
            .expect("the program runs")
    };
    assert_eq!(show("OTHER").status.code(), Some(0));
    assert_eq!(show("G3N_MRS_SWEEP_SECONDS").status.code(), Some(78));
}

#[test]
fn completions_and_manual_pages_are_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let ran = g3n("completions bash", dir.path(), &[], b"");
    assert!(ran.code == 0 && ran.text().contains("_g3n"));
    let ran = g3n("man", dir.path(), &[], b"");
    assert!(ran.code == 0 && ran.text().contains(".TH"));
    let ran = g3n("man --dir pages", dir.path(), &[], b"");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(dir.path().join("pages/g3n-mrs-put.1").is_file());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args(["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
