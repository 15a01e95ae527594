//! Errors of every verb: text on standard error, JSON on standard output only for those who ask for it.

use std::path::Path;

use clap::CommandFactory;
use metarecord::cli::Cli;

use super::parsing::words;
use super::run::{Ran, g3n_words};

/// Verbs whose standard output is a report, good or bad, or that need nothing to succeed.
const REPORTS: [&str; 2] = ["doctor", "verify"];

/// Every verb as it is typed, with the command lines of its help.
pub(super) fn verbs() -> Vec<(Vec<String>, Vec<String>)> {
    fn gather(
        command: &clap::Command,
        path: &[String],
        found: &mut Vec<(Vec<String>, Vec<String>)>,
    ) {
        let path = [path, &[command.get_name().to_owned()]].concat();
        if command.has_subcommands() {
            for verb in command.get_subcommands() {
                gather(verb, &path, found);
            }
            return;
        }
        let help = command.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        let lines = help.lines().filter(|line| line.starts_with("  g3n "));
        found.push((path, lines.map(str::to_owned).collect()));
    }
    let mut found = Vec::new();
    for command in Cli::command().get_subcommands() {
        gather(command, &[], &mut found);
    }
    assert!(found.len() > 90, "{found:?}");
    found
}

fn run(words: &[String], dir: &Path) -> Ran {
    // A port where nobody listens, and credentials that nobody knows.
    let environment = [
        ("G3N_BASE_URL", "http://127.0.0.1:1"),
        ("G3N_OPERATOR_URL", "http://127.0.0.1:1"),
        ("G3N_SESSION_GUID", "nobody"),
        ("G3N_OPERATOR_TOKEN", "nobody"),
        ("G3N_ORGCODE", "ACME"),
        ("G3N_PASSCODE", "a passcode of twelve"),
        ("HOME", dir.to_str().expect("plain")),
    ];
    g3n_words(words, dir, &environment, b"")
}

/// Errors are words on standard error, and on standard output exactly what was asked for.
fn check(line: &[String], dir: &Path, wrongs: &mut Vec<String>) {
    let asked = [line, &["--output".to_owned(), "json".to_owned()]].concat();
    let bare = line.iter().any(|word| word == "--bare");
    let itself = line.windows(2).any(|pair| pair == ["--output", "json"]);
    for (words, json) in [(line, itself && !bare), (&asked, !bare)] {
        let ran = run(words, dir);
        if ran.code == 0 {
            continue;
        }
        let told = ran.stderr.contains("error: ") || ran.stderr.contains("Usage: ");
        let out = ran.text();
        let enveloped = serde_json::from_str::<serde_json::Value>(&out)
            .is_ok_and(|out| out["error"]["major"]["tag"].is_string());
        if !told || (json && !enveloped) || (!json && !out.is_empty()) {
            wrongs.push(format!("{}: {ran:?}", words.join(" ")));
        }
    }
}

#[test]
fn usage_errors_of_every_verb_are_on_standard_error() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut wrongs = Vec::new();
    for (path, _) in verbs() {
        let line = [&path[..], &["--no-such-flag".to_owned()]].concat();
        check(&line, dir.path(), &mut wrongs);
    }
    let bare = ["usm", "session-create", "--bare"].map(str::to_owned);
    check(&bare, dir.path(), &mut wrongs);
    assert!(wrongs.is_empty(), "\n{}", wrongs.join("\n"));
}

#[test]
fn failures_of_every_example_are_on_standard_error() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut wrongs = Vec::new();
    let mut seen = 0;
    for (path, examples) in verbs() {
        // It would serve.
        let reports = REPORTS.contains(&path[0].as_str()) || path == ["utl", "verify"];
        if path == ["serve"] || reports {
            continue;
        }
        for example in examples {
            let words = words(&example);
            // It would wait for more.
            if words.iter().any(|word| word == "--follow") {
                continue;
            }
            let line = words.iter().skip(1);
            let line: Vec<String> = line.take_while(|word| *word != ">").cloned().collect();
            for (flag, file) in line.iter().zip(line.iter().skip(1)) {
                if flag.ends_with("-file") && file != "-" {
                    // One in another directory may be missing: that is an error too.
                    drop(std::fs::write(dir.path().join(file), "a text of twelve"));
                }
            }
            check(&line, dir.path(), &mut wrongs);
            seen += 1;
        }
    }
    assert!(seen > 120, "{seen}");
    assert!(wrongs.is_empty(), "\n{}", wrongs.join("\n"));
}
