//! The directory, its room, its keys and its lock.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::{AppState, Told, on_free_ports, set_mode};
use crate::support::{Server, copy_program};

/// A user who owns nothing here.
const NOBODY: u32 = 65_534;

#[test]
fn a_directory_that_is_not_one_to_serve_from_is_told_apart() {
    let app = AppState::empty();
    app.write("data/notes.txt", "mine", 0o600);
    let told = app.ask("");
    told.expect(
        "directories",
        "fail",
        "is not empty",
        "use an empty directory",
    );

    let app = AppState::served("TERM");
    let told = app.ask("");
    told.expect_alone("directories", "fail", "made for development", "--dev");
    let marker = r#"{"format_version":9,"environment":"development"}"#;
    app.write("data/metarecord.json", marker, 0o600);
    let told = app.ask("--dev");
    told.expect_alone("directories", "fail", "format 9", "the newer g3n");
}

#[test]
fn what_is_gone_of_a_directory_is_named() {
    for (name, found) in [
        ("journal", "data/journal is missing"),
        ("content", "data/content is missing"),
    ] {
        let app = AppState::served("TERM");
        fs::remove_dir_all(app.data().join(name)).expect("removed");
        let told = app.ask("--dev");
        told.expect_alone("directories", "fail", found, "restore it from a backup");
    }
    // What may be deleted may be gone.
    let app = AppState::served("TERM");
    fs::remove_dir_all(app.data().join("projections")).expect("removed");
    assert_eq!(app.ask("--dev --strict --free-bytes-min 0").code, 0);
}

#[test]
fn too_little_room_fails_or_warns() {
    let app = AppState::empty();
    let told = app.ask(&format!("--free-bytes-min {}", u64::MAX));
    told.expect_alone("free-space", "warn", "MiB free", "free space");
    // Nothing can be kept there.
    let told = app.ask("--data-dir /proc/data");
    told.expect("free-space", "fail", "0 MiB free for /proc", "free space");
}

#[test]
fn keys_that_others_can_read_or_that_are_gone_fail() {
    let app = AppState::served("TERM");
    let told = |found: &str, fix: &str| app.ask("--dev").expect_alone("keys", "fail", found, fix);
    let at = |name: &str| app.data().join(name);
    for (name, bad, good) in [
        ("keys", 0o750, 0o700),
        ("keys/signing.key", 0o640, 0o600),
        ("keys/signing-keys.json", 0o640, 0o600),
        ("keys/operator.token", 0o604, 0o600),
        ("keys/development.json", 0o644, 0o600),
        ("profiles.toml", 0o644, 0o600),
    ] {
        set_mode(&at(name), bad);
        told(name, &format!("chmod {good:o} "));
        set_mode(&at(name), good);
    }
    let key = fs::read(at("keys/signing.key")).expect("there");
    fs::write(at("keys/signing.key"), b"short").expect("written");
    told("signing.key is not a key: 5 bytes", "restore it");
    fs::write(at("keys/signing.key"), key).expect("written");
    let ring = fs::read(at("keys/signing-keys.json")).expect("there");
    fs::write(at("keys/signing-keys.json"), b"{").expect("written");
    told("signing-keys.json does not hold keys", "remove it while");
    fs::write(at("keys/signing-keys.json"), ring).expect("written");
    fs::remove_file(at("keys/operator.token")).expect("removed");
    told("operator.token is missing", "restore it");
    fs::remove_dir_all(at("keys")).expect("removed");
    told("data/keys is missing", "restore it");
}

#[test]
fn a_lock_that_cannot_be_looked_at_fails() {
    let app = AppState::served("TERM");
    let lock = app.data().join("lock");
    fs::remove_file(&lock).expect("removed");
    // It leads to itself.
    std::os::unix::fs::symlink("lock", &lock).expect("made");
    let told = app.ask("--dev");
    told.expect_alone("lock", "fail", "cannot open", "chown and chmod");
}

/// The doctor, run by somebody who may not look into the directory. For a superuser no mode is one, so another runs it.
fn ask_as_another(app: &AppState, line: &str) -> Told {
    let program = app.path().join("g3n");
    copy_program(Path::new(env!("CARGO_BIN_EXE_g3n")), &program);
    set_mode(app.path(), 0o755);
    let mut command = Command::new(&program);
    match rustix::process::geteuid().is_root() {
        true => drop(command.uid(NOBODY)),
        false => set_mode(&app.data(), 0),
    }
    let line = format!("doctor --json {}", on_free_ports(line));
    let output = command
        .args(line.split(' ').filter(|word| !word.is_empty()))
        .current_dir(app.path())
        .env_clear()
        .envs(crate::support::measured())
        .output()
        .expect("it runs");
    set_mode(&app.data(), 0o700);
    Told {
        code: output.status.code().unwrap_or(-1),
        answer: serde_json::from_slice(&output.stdout).expect("JSON"),
    }
}

#[test]
fn who_may_not_look_is_told_so_and_nothing_worse() {
    let app = AppState::empty();
    let server = Server::start_in(&app.data(), &[]);
    let port = server.base_url.strip_prefix("http://").expect("an address");
    let told = ask_as_another(&app, &format!("--dev --listen {port}"));
    for name in ["directories", "keys", "lock", "journal", "tail"] {
        told.expect(name, "fail", "ermission denied", "run this as the user");
    }
    told.expect(
        "gateway-port",
        "warn",
        "in use by an unknown process",
        "run this as the user",
    );
    told.expect("server", "skipped", "unknown whether", "");
}
