//! What a server of production mode says when it is ready, and the commands that it says can be pasted.

use std::path::Path;
use std::process::Command;

use super::Production;

/// Pastes the lines between the first `export` and the end into a shell, in a directory.
fn paste(told: &str, directory: &Path) -> String {
    let script: Vec<&str> = told
        .lines()
        .skip_while(|line| !line.starts_with("export "))
        .take_while(|line| !line.is_empty())
        .collect();
    let script = script.join("\n");
    let program = Path::new(env!("CARGO_BIN_EXE_g3n"));
    let output = Command::new("bash")
        .args(["-c", &format!("set -e\n{script}\n")])
        .current_dir(directory)
        .env(
            "PATH",
            format!(
                "{}:/usr/bin:/bin",
                program.parent().expect("a directory").display()
            ),
        )
        .output()
        .expect("bash runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{said}");
    script
}

#[test]
fn the_first_commands_work_as_they_are_printed() {
    let scratch = tempfile::tempdir().expect("a directory");
    let dir = scratch.path().join("a data directory");
    let server = Production::start(&dir, &[]);
    let told = server.told();
    let token = dir.join("keys/operator.token").display().to_string();
    assert!(
        told.contains(&token) && told.contains("No secret code and no user exist yet"),
        "{told}"
    );
    let script = paste(&told, scratch.path());
    assert_eq!(
        script
            .lines()
            .filter(|line| line.contains("g3n ") && !line.contains("umask"))
            .filter(|line| !line.starts_with('#'))
            .count(),
        3
    );
    let signs_in = "login --email you@example.com --orgcode ACME --passcode-file passcode.txt";
    assert!(script.contains(signs_in), "{script}");
    server.end();
    let again = Production::start(&dir, &[]);
    let told = again.told();
    assert!(
        told.contains(&token) && !told.contains("exist") && !told.contains("export"),
        "{told}"
    );
}

#[test]
fn only_what_does_not_exist_yet_is_asked_for() {
    let scratch = tempfile::tempdir().expect("a directory");
    let dir = scratch.path().join("data");
    let server = Production::start(&dir, &[]);
    let told = server.told();
    let code: Vec<&str> = told
        .lines()
        .filter(|line| line.starts_with("export") || line.contains("secret"))
        .filter(|line| !line.starts_with("No "))
        .collect();
    paste(&code.join("\n"), scratch.path());
    server.end();
    let told = Production::start(&dir, &[]).told();
    assert!(
        told.contains("No user exists yet") && !told.contains("secret-set"),
        "{told}"
    );
}

#[test]
fn the_operator_token_can_be_in_another_file() {
    let scratch = tempfile::tempdir().expect("a directory");
    let dir = scratch.path().join("data");
    let file = scratch.path().join("token");
    let path = file.display().to_string();
    let arguments = ["--operator-token-file", path.as_str()];
    let server = Production::start(&dir, &arguments);
    let made = std::fs::read_to_string(&file).expect("it was made");
    assert!(made.starts_with("op_") && !dir.join("keys/operator.token").exists());
    assert!(server.told().contains(&path));
    paste(&server.told(), scratch.path());
    server.end();
    // One that is given is the one that counts.
    let own = format!("op_{}\n", "a1".repeat(20));
    std::fs::write(&file, &own).expect("written");
    let server = Production::start(&dir, &arguments);
    let url = server.told();
    let url = url
        .split("operators ")
        .nth(1)
        .and_then(|rest| rest.split(',').next());
    let called = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args(["ops", "audit", "--operator-url", url.expect("a url")])
        .env("G3N_OPERATOR_TOKEN", own.trim())
        .output()
        .expect("it runs");
    assert!(called.status.success(), "{called:?}");
}

#[test]
fn what_to_beware_of_is_said_when_it_is_ready() {
    let scratch = tempfile::tempdir().expect("a directory");
    let dir = scratch.path().join("data");
    let server = Production::start(&dir, &[]);
    assert!(!server.told().contains("Warning"), "{}", server.told());
}
