//! What destroys something asks a person, and wants `--yes` wherever none can be asked.

use std::path::Path;

use clap::CommandFactory;
use metarecord::cli::Cli;

use super::recorder::{Recorder, empty};
use super::run::{Ran, shell};

/// Every verb that destroys something for good, with what it needs besides a yes.
const DESTROYING: &[&str] = &[
    "ops vacuum-all --reason r --confirmation-phrase p",
    "ops vacuum-org --reason r --orgcode A1",
    "uas user-erase --email a@example.com --reason r",
    "ofm org-status-set --orgcode A1 --status doomed",
    "utl offboarding-approve --orgcode A1",
];
/// Ways to run a line without anybody to ask: a shell's words around it.
const UNATTENDED: &[(&str, &str)] = &[
    ("", "<&-"),
    ("", "</dev/null"),
    ("echo yes |", ""),
    ("yes yes |", ""),
    ("", "<&- 2>&-"),
    // A terminal at standard error and standard output alone.
    (
        "script --quiet --return --command '",
        "</dev/null' /dev/null",
    ),
    (
        "script --quiet --return --command 'echo yes | ",
        "' /dev/null",
    ),
    // And at standard input alone.
    ("script --quiet --return --command '", "2>told' /dev/null"),
];

fn run(line: &str, dir: &Path, to: &str) -> Ran {
    let environment = [
        ("HOME", dir.to_str().expect("plain")),
        ("SHELL", "/bin/sh"),
        ("G3N_OPERATOR_URL", to),
        ("G3N_SECRET_CODE", "code"),
    ];
    shell(line, dir, &environment, b"yes\n")
}

/// The verbs below a command that take a yes.
fn asking(command: &clap::Command, path: &str, found: &mut Vec<String>) {
    if command
        .get_arguments()
        .any(|flag| flag.get_long() == Some("yes"))
    {
        found.push(path.trim_start().to_owned());
    }
    for verb in command.get_subcommands() {
        asking(verb, &format!("{path} {}", verb.get_name()), found);
    }
}

#[test]
fn the_table_has_every_verb_that_takes_a_yes() {
    let mut found = Vec::new();
    asking(&Cli::command(), "", &mut found);
    let verb = |line: &&str| line.split(" --").next().unwrap_or_default().to_owned();
    let mut told: Vec<_> = DESTROYING.iter().map(verb).collect();
    found.sort_unstable();
    told.sort_unstable();
    assert_eq!(found, told);
}

#[test]
fn nothing_is_destroyed_where_nobody_can_be_asked() {
    let (dir, recorder) = (
        tempfile::tempdir().expect("a directory"),
        Recorder::start(empty),
    );
    for verb in DESTROYING {
        for (before, behind) in UNATTENDED {
            let line = format!("{before} g3n {verb} {behind}");
            let ran = run(&line, dir.path(), &recorder.address);
            assert_eq!(ran.code, 2, "{line}: {ran:?}");
            assert_eq!(recorder.heard(), "", "{line}");
            let told = std::fs::read_to_string(dir.path().join("told")).unwrap_or_default();
            let all = format!("{}{}{told}", ran.text(), ran.stderr);
            let closed = behind.contains("2>&-");
            assert!(closed || all.contains("--yes"), "{line}: {all}");
            let line = format!("{before} g3n {verb} --yes {behind}");
            let ran = run(&line, dir.path(), &recorder.address);
            assert_eq!(ran.code, 0, "{line}: {ran:?}");
            assert!(recorder.heard().contains("POST /invoke/"), "{line}");
        }
    }
}

#[test]
fn a_dry_run_and_what_is_undone_need_no_yes() {
    let (dir, recorder) = (
        tempfile::tempdir().expect("a directory"),
        Recorder::start(empty),
    );
    for line in [
        "ops vacuum-all --reason r --confirmation-phrase p --dry-run",
        "ops vacuum-org --reason r --orgcode A1 --dry-run",
        "uas user-erase --email a@example.com --reason r --dry-run",
        "ofm org-status-set --orgcode A1 --status frozen",
    ] {
        let ran = run(
            &format!("g3n {line} </dev/null"),
            dir.path(),
            &recorder.address,
        );
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
        assert!(recorder.heard().contains("POST /invoke/"), "{line}");
    }
}
