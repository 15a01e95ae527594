//! The scripts around the program, each run with the program that was built for these tests.

use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a script below `tests/`. Its last line says PASS, or SKIP and why.
fn passes(script: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("bash")
        .arg(root.join("tests").join(script))
        .current_dir(root)
        .env("METARECORD_BIN", env!("CARGO_BIN_EXE_g3n"))
        .stdin(Stdio::null())
        .output()
        .expect("bash is here");
    let said = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {said}{told}");
    let last = said.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("PASS ") || last.starts_with("SKIP "),
        "{script}: {said}{told}"
    );
    println!("{said}");
}

#[test]
fn nothing_complains_of_the_units_and_they_are_exposed_little() {
    passes("deploy/systemd.sh");
}

#[test]
fn the_containers_command_needs_no_root_and_writes_only_to_its_data() {
    passes("deploy/confined.sh");
}

#[test]
fn a_release_that_does_not_become_ready_is_taken_back_and_only_development_is_destroyed() {
    passes("deploy/releases.sh");
}

#[test]
fn what_must_not_be_committed_is_refused_and_nothing_else() {
    passes("deploy/review.sh");
}

#[test]
fn each_step_of_the_runbook_works_or_says_why_not() {
    passes("runbook.sh");
}

#[test]
fn what_the_pages_for_emergencies_say_helps() {
    passes("emergencies.sh");
}

#[test]
fn examples_of_repeating_and_of_clocks_that_are_set_hold_as_they_are_typed() {
    passes("examples.sh");
}
