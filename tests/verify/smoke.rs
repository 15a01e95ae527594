//! The smoke script, and the targets of the Makefile that call it, as people and pipelines call them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use super::liar::{Liar, Lie};
use super::{reference, session};
use crate::cli::run::g3n;
use crate::support::Server;

const G3N: &str = env!("CARGO_BIN_EXE_g3n");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef\n";
const CLAIMS: &str =
    "--issuer https://id.example --audience metarecord --subject u-1 --org DEMO --role mrs_writer";

/// Runs the script with nothing of this machine's environment but the way to programs, and a place for its files.
fn smoke(arguments: &[&str], temporary: &Path, environment: &[(&str, &str)]) -> Output {
    run(
        &mut Command::new("tests/smoke.sh"),
        arguments,
        temporary,
        environment,
    )
}

fn run(
    command: &mut Command,
    arguments: &[&str],
    temporary: &Path,
    environment: &[(&str, &str)],
) -> Output {
    let path = std::env::var_os("PATH").unwrap_or_default();
    command
        .args(arguments)
        .current_dir(ROOT)
        .env_clear()
        .envs(crate::support::measured())
        .env("PATH", path)
        .env("TMPDIR", temporary)
        .env("G3N", G3N)
        .envs(environment.iter().copied())
        .output()
        .expect("it runs")
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

#[test]
fn smoke_local_starts_a_server_of_its_own_and_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    // What the shell has of other servers does not count.
    let environment = [
        ("G3N_BASE_URL", "http://127.0.0.1:1"),
        ("G3N_SESSION_GUID", "another"),
    ];
    let ran = smoke(&["local"], directory.path(), &environment);
    let text = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    for told in ["by session", "by header"] {
        assert!(text.contains(told), "{text}");
    }
    assert!(is_empty(directory.path()), "its files are gone");
}

#[test]
fn smoke_local_tells_of_a_server_that_does_not_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let environment = [("G3N_MRS_SWEEP_SECONDS", "never")];
    let ran = smoke(&["local"], directory.path(), &environment);
    let told = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    assert!(
        told.contains("mrs.sweep_seconds") && told.contains("did not start"),
        "{told}"
    );
    assert!(is_empty(directory.path()), "its files are gone");
}

#[test]
fn smoke_local_beside_a_liar_is_not_good() {
    let directory = tempfile::tempdir().expect("a directory");
    let liar = Liar::start();
    let environment = session(&liar.server);
    let ran = smoke(&["local", &liar.url], directory.path(), &environment);
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    liar.tell(Lie::Change(|e| e.drop_header("x-api-version")));
    let ran = smoke(&["local", &liar.url], directory.path(), &environment);
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
}

#[test]
fn smoke_remote_calls_with_a_token_and_refuses_without() {
    let directory = tempfile::tempdir().expect("a directory");
    let (secret, token) = (
        directory.path().join("secret"),
        directory.path().join("token"),
    );
    std::fs::write(&secret, SECRET).expect("written");
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).expect("changed");
    let keys = format!("auth.jwt_hmac_file={}", secret.display());
    let mut flags = Vec::new();
    for set in [
        &keys,
        "auth.jwt_issuer=https://id.example",
        "auth.jwt_audience=metarecord",
    ] {
        flags.extend(["--set", set]);
    }
    let server = Server::start_with(&flags);
    let line = format!("token mint --hmac-file secret {CLAIMS}");
    let minted = g3n(&line, directory.path(), &[], b"").text();
    std::fs::write(&token, &minted).expect("written");
    let (file, text) = (token.display().to_string(), minted.trim());
    let url = ("SMOKE_URL", server.base_url.as_str());
    let org = ("G3N_ORGCODE", "DEMO");
    // A session that does not count: the token is what was asked for.
    let session = ("G3N_SESSION_GUID", "another");
    let of_file = ("SMOKE_JWT_FILE", file.as_str());
    let of_variable = ("SMOKE_JWT", text);
    let temporary = tempfile::tempdir().expect("a directory");
    for (environment, code, told) in [
        (vec![url, org, session, of_file], 0, "by jwt"),
        (vec![url, org, of_variable], 0, "by jwt"),
        (vec![url, org, ("SMOKE_JWT", "a.b.c")], 1, "invalid-session"),
        (
            vec![url, ("G3N_ORGCODE", "OTHER"), of_file],
            1,
            "not for OTHER",
        ),
        (vec![org, of_file], 2, "set SMOKE_URL"),
        (vec![url, of_file], 2, "set G3N_ORGCODE"),
        (vec![url, org], 2, "set SMOKE_JWT_FILE"),
        (
            vec![url, org, ("SMOKE_JWT_FILE", "nowhere")],
            2,
            "cannot be read",
        ),
    ] {
        let ran = smoke(&["remote"], temporary.path(), &environment);
        let all = [&ran.stdout[..], &ran.stderr[..]].concat();
        let all = String::from_utf8_lossy(&all);
        assert_eq!(ran.status.code(), Some(code), "{told}: {all}");
        assert!(all.contains(told), "{told}: {all}");
        assert!(!all.contains(text), "the token is not told");
        assert!(is_empty(temporary.path()), "its files are gone");
    }
    let line = format!("whoami --base-url {} --jwt-file {file}", server.base_url);
    let who = g3n(&line, directory.path(), &[session], b"").data();
    assert_eq!(
        (&who["auth_mode"], &who["user_id"]),
        (&json!("jwt"), &json!("jwt:u-1"))
    );
    let line = format!("--url {} --jwt-file {file}", server.base_url);
    let found = reference(&line, &[org, session]);
    assert_eq!((found.code, found.failed()), (0, vec![]), "{found:?}");
}

#[test]
fn a_word_that_is_none_of_the_scripts_is_a_usage_error() {
    let directory = tempfile::tempdir().expect("a directory");
    for arguments in [&[][..], &["cloud"]] {
        let ran = smoke(arguments, directory.path(), &[]);
        assert_eq!(ran.status.code(), Some(2), "{ran:?}");
    }
}

#[test]
fn the_makefiles_targets_end_as_what_they_call() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start();
    let data = format!("DATA_DIR={}", server.dir.display());
    let program = format!("G3N={G3N}");
    // The program is built already.
    let given = ["CARGO=true", &program, &data];
    let make = |target: &[&str], environment: &[(&str, &str)]| {
        let arguments: Vec<&str> = target.iter().chain(&given).copied().collect();
        let ran = run(
            &mut Command::new("make"),
            &arguments,
            directory.path(),
            environment,
        );
        assert!(ran.status.code().is_some(), "{ran:?}");
        (
            ran.status.success(),
            String::from_utf8_lossy(&ran.stdout).into_owned(),
        )
    };
    let (good, text) = make(&["doctor"], &[]);
    assert!(good && text.contains("held by process"), "{text}");
    let (good, text) = make(&["verify"], &[]);
    assert!(good && text.contains(&server.base_url), "{text}");
    let url = format!("URL={}", server.base_url);
    let (good, text) = make(&["smoke-local", &url], &session(&server));
    assert!(good && text.contains("by session"), "{text}");
    for target in ["smoke-remote", "smoke-cloud"] {
        let (good, text) = make(&[target], &[]);
        assert!(!good, "{text}");
    }
    let places = ["records", "cargo"].map(|name| directory.path().join(name));
    let [prefix, home] = places.each_ref().map(|place| place.display().to_string());
    let binary = format!("BINARY={G3N}");
    let (good, text) = make(&["install", &binary, &format!("PREFIX={prefix}")], &[]);
    assert!(good && text.contains("build --release --locked"), "{text}");
    assert!(text.contains(&format!("g3n is {prefix}/bin/g3n")), "{text}");
    let (_, text) = make(&["install", &binary], &[("CARGO_HOME", &home)]);
    assert!(text.contains(&format!("g3n is {home}/bin/g3n")), "{text}");
    for place in places {
        let ran = run(
            &mut Command::new(place.join("bin/g3n")),
            &["--version"],
            directory.path(),
            &[],
        );
        assert!(ran.status.success(), "{ran:?}");
    }
    let (_, help) = make(&["help"], &[]);
    for target in [
        "install",
        "doctor",
        "run-local",
        "verify",
        "smoke-local",
        "smoke-remote",
        "smoke-cloud",
    ] {
        assert!(
            help.lines().any(|line| line.starts_with(target)),
            "{target}: {help}"
        );
    }
}
