//! Standard output that cannot be written: every verb says so on standard error, and ends with a number of its own.

use std::io::pipe;
use std::process::{Command, Output, Stdio};

use clap::CommandFactory;
use metarecord::cli::Cli;

use super::ops::AppState;
use super::run::search_path;

/// EX_IOERR of sysexits.h.
const OUTPUT_LOST: i32 = 74;

fn run(app: &AppState, line: &str, stdout: Stdio) -> Output {
    Command::new("/bin/sh")
        .args(["-c", line])
        .current_dir(app.dir())
        .env_clear()
        .envs(crate::support::measured())
        .env("PATH", search_path())
        .envs(app.environment())
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .output()
        .expect("runs")
}

fn full() -> Stdio {
    let file = std::fs::File::options().write(true).open("/dev/full");
    file.expect("is there").into()
}

/// A pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Every verb, by its words.
fn verbs() -> Vec<String> {
    fn below(command: &clap::Command, words: &str, found: &mut Vec<String>) {
        for verb in command.get_subcommands() {
            let words = format!("{words} {}", verb.get_name());
            if verb.has_subcommands() {
                below(verb, &words, found);
            } else {
                found.push(words);
            }
        }
    }
    let mut found = Vec::new();
    below(&Cli::command(), "g3n", &mut found);
    found
}

/// What the verbs' own helps show, as far as it ends by itself and stays in this directory.
fn examples() -> Vec<String> {
    fn below(command: &clap::Command, found: &mut Vec<String>) {
        let help = command.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        let lines = help.lines().filter_map(|line| line.strip_prefix("  "));
        found.extend(
            lines
                .filter(|line| line.starts_with("g3n "))
                .map(str::to_owned),
        );
        command
            .get_subcommands()
            .for_each(|verb| below(verb, found));
    }
    let mut found = Vec::new();
    below(&Cli::command(), &mut found);
    // The last two write nothing to standard output.
    // The last two write nothing to standard output.
    let elsewhere = [
        "g3n serve",
        "g3n verify",
        "--follow",
        "--watch",
        "|",
        ">",
        "~",
        " /",
        "=/",
        "https://",
        "--out history",
        "man --dir",
    ];
    found.retain(|line| !elsewhere.iter().any(|part| line.contains(part)));
    found
}

#[test]
fn every_verb_says_that_its_output_cannot_be_written() {
    let app = AppState::open(&[]);
    app.put("DEMO", "demo", "hello-1");
    for verb in verbs() {
        let ran = run(&app, &format!("{verb} --help"), full());
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(
            ran.status.code(),
            Some(OUTPUT_LOST),
            "{verb} --help: {said}"
        );
        assert!(
            said.contains("standard output cannot be written"),
            "{verb}: {said}"
        );
    }
    let examples = examples();
    assert!(examples.len() > 60, "{examples:?}");
    for line in examples {
        let ran = run(&app, &line, full());
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(
            ran.status.code() != Some(0) && !said.is_empty(),
            "{line}: {ran:?}"
        );
        assert!(!said.contains("panicked"), "{line}: {said}");
    }
}

#[test]
fn what_is_done_and_cannot_be_shown_has_a_number_of_its_own() {
    let app = AppState::open(&[]);
    let stdout = app.dir().join("stdout");
    std::os::unix::fs::symlink("/proc/self/fd/1", stdout).expect("linked");
    app.put("DEMO", "demo", "r");
    let file = "mrs put --container demo --record-id o --content-type text/plain --file -";
    app.run_with(&format!("g3n {file}"), &[], b"content").data();
    for line in [
        "mrs list",
        "mrs get --container demo --record-id r",
        "mrs get --container demo --record-id r --out stdout",
        "mrs get --container demo --record-id o",
        "mrs meta --container demo --record-id r",
        "mrs tag-add --container demo --record-id r --tag t",
        "mrs versions --container demo --record-id r",
        "mrs history --container demo --record-id r",
        "ops audit",
        "jobs list",
        "whoami",
        "health",
        "ops token-create --name t1 --scope read",
        "ops token-create --name t2 --scope read --bare",
        "config show",
        "config server",
        "journal head --data-dir data",
        "journal verify --data-dir data",
        "journal export --data-dir data",
        "journal export --data-dir data --format jsonl",
        "journal tail --data-dir data",
        "journal show --data-dir data --record DEMO/demo/r",
        "backup create backup --data-dir data",
        "backup verify backup",
        "token keys --out keys",
        "completions bash",
        "man",
        "--version",
    ] {
        for output in ["json", "table"] {
            let line = match line {
                "--version" => "g3n --version".to_owned(),
                line => format!(
                    "g3n --output {output} {}",
                    line.replace("--out keys", &format!("--out keys-{output}"))
                        .replace("--name t", &format!("--name {output}"))
                ),
            };
            let ran = run(&app, &line, full());
            let said = String::from_utf8_lossy(&ran.stderr).into_owned();
            let lost = said.contains("No space left on device");
            assert_eq!(ran.status.code(), Some(OUTPUT_LOST), "{line}: {said}");
            assert!(lost && !said.contains("panicked"), "{line}: {said}");
        }
    }
}

#[test]
fn a_reader_that_went_away_is_no_trouble() {
    let app = AppState::open(&[]);
    app.put("DEMO", "demo", "r");
    for line in [
        "mrs list",
        "mrs get --container demo --record-id r",
        "journal export --data-dir data",
        "journal tail --data-dir data",
        "config show",
        "completions bash",
        "man",
        "mrs --help",
        "--version",
    ] {
        let ran = run(&app, &format!("g3n {line}"), closed());
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!((ran.status.code(), said.as_str()), (Some(0), ""), "{line}");
    }
}
