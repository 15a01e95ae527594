//! What texts name exists: verbs and flags in messages, help and documents, and the shape of ids in examples.

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory, Parser};
use metarecord::cli::Cli;

use super::errors::verbs;
use super::parsing::words;

/// Words behind `g3n` in sentences about the program as a whole, and what stands for any verb.
const NO_VERB: &[&str] = &[
    "VERB", "..", "...", "…", "is", "and", "as", "has", "in", "of", "or", "to", "with", "does",
    "that", "itself", "itself,", "—", "runs", "reads", "created", "did", "shows", "help",
];
/// Flags whose values are ids of the user's own choice.
const OWN_IDS: &[&str] = &["--record-id", "--to-record-id", "--correlation-id"];

fn files(directory: &Path, ends: &[&str], found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let end = path.extension().and_then(|end| end.to_str());
        if path.is_dir() {
            files(&path, ends, found);
        } else if end.is_some_and(|end| ends.contains(&end)) {
            found.push(path);
        }
    }
}

/// What is wrong with a mention, by the text behind `g3n`.
fn wrong_with(program: &Command, mention: &str) -> Option<String> {
    let end = mention.find(['`', '"', ')', '|', '>', ';', '\'', '\n', '&']);
    let mention = &mention[..end.unwrap_or(mention.len())];
    let mention = mention.split("g3n ").next().unwrap_or_default();
    let mention = mention.split("\\n").next().unwrap_or_default();
    let mut command = program;
    let mut words = mention.split_whitespace();
    while let Some(word) = words.next() {
        let word = word.trim_end_matches(['.', ',', ':', '?', '\\']);
        if let Some(flag) = word.strip_prefix("--") {
            let flag = flag.split(['=', '[']).next().unwrap_or_default();
            let mut flags = command.get_arguments();
            let its = |known: &&clap::Arg| {
                let names = known.get_long_and_visible_aliases();
                names.is_some_and(|names| names.contains(&flag))
            };
            match flags.find(its) {
                Some(known) if known.get_action().takes_values() && !word.contains('=') => {
                    words.next();
                }
                None if !flag.is_empty() => {
                    return Some(format!("{} has no --{flag}", command.get_name()));
                }
                Some(_) | None => {}
            }
        } else if let Some(verb) = command.find_subcommand(word) {
            command = verb;
        } else if command.has_subcommands() {
            let is_family = word.ends_with(['…', '-']);
            let sentence = is_family
                || NO_VERB.contains(&word)
                || !word.starts_with(|c: char| c.is_ascii_lowercase());
            return (!sentence).then(|| format!("{} has no verb {word}", command.get_name()));
        }
    }
    None
}

#[test]
fn every_verb_and_flag_that_a_text_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut program = Cli::command();
    program.build();
    let mut texts = vec![root.join("README.md"), root.join("SECURITY.md")];
    files(&root.join("src"), &["rs"], &mut texts);
    files(&root.join("docs"), &["md"], &mut texts);
    files(
        &root.join("deploy"),
        &["sh", "yml", "service", "toml", "md"],
        &mut texts,
    );
    let (mut seen, mut wrongs) = (0, Vec::new());
    for path in texts {
        // Decisions keep what was so at their time.
        if path.starts_with(root.join("docs/decisions")) {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a text");
        let text = text.split("#[cfg(test)]\nmod tests {").next();
        let text = text.unwrap_or_default();
        for (number, line) in (1..).zip(text.lines()) {
            for (at, _) in line.match_indices("g3n ") {
                let before = line[..at].chars().next_back();
                let is_name = line[..at].ends_with("--bin ");
                if is_name {
                    continue;
                }
                if before.is_some_and(|before| before.is_alphanumeric() || "-_/$.".contains(before))
                {
                    continue;
                }
                seen += 1;
                if let Some(wrong) = wrong_with(&program, &line[at + 4..]) {
                    let path = path.strip_prefix(root).unwrap_or(&path).display();
                    wrongs.push(format!("{path}:{number}: {wrong}"));
                }
            }
        }
    }
    assert!(seen > 400, "{seen}");
    assert!(wrongs.is_empty(), "\n{}", wrongs.join("\n"));
}

#[test]
fn a_verb_or_flag_that_does_not_exist_is_noticed() {
    let mut program = Cli::command();
    program.build();
    for (mention, wrong) in [
        ("ops secret-set --rotate`", false),
        ("ops secret-set --rotat`", true),
        ("uas user-confirm`", true),
        ("nonsense`", true),
        ("journal verify --data-dir D\"", false),
        ("mrs list --orgcode A, then", false),
        ("is the server", false),
    ] {
        assert_eq!(wrong_with(&program, mention).is_some(), wrong, "{mention}");
    }
}

#[test]
fn every_example_parses_and_its_ids_have_the_shape_of_real_ones() {
    let mut wrongs = Vec::new();
    let mut help = Vec::new();
    fn gather(command: &Command, help: &mut Vec<String>) {
        let text = command.get_after_help().map(ToString::to_string);
        let text = text.unwrap_or_default();
        help.extend(
            text.lines()
                .filter(|line| line.starts_with("  ") && line.contains("g3n "))
                .map(str::to_owned),
        );
        command
            .get_subcommands()
            .for_each(|verb| gather(verb, help));
    }
    gather(&Cli::command(), &mut help);
    assert!(help.len() > verbs().len(), "{help:?}");
    for line in help {
        let Some((_, rest)) = line.split_once("g3n ") else {
            continue;
        };
        let end = rest.find([')', '|', '>']).unwrap_or(rest.len());
        let line = words(&format!("g3n {}", &rest[..end]));
        if let Err(error) = Cli::try_parse_from(&line) {
            wrongs.push(format!("{line:?}: {error}"));
        }
        for (flag, value) in line.iter().zip(line.iter().skip(1)) {
            let shaped = uuid::Uuid::try_parse(value).is_ok();
            if flag.starts_with("--")
                && flag.ends_with("-id")
                && !OWN_IDS.contains(&flag.as_str())
                && !shaped
            {
                wrongs.push(format!("{flag} {value} is no id of this program"));
            }
        }
    }
    assert!(wrongs.is_empty(), "\n{}", wrongs.join("\n"));
}

/// Files outside of tests that may print values as programmers see them, and why.
const DEBUG_TEXT: &[(&str, &str)] = &[
    ("src/config.rs", "quotes a text"),
    ("src/config/each.rs", "a test"),
    ("src/config/error.rs", "quotes a text"),
    ("src/token/keys.rs", "quotes a text"),
    ("src/domain/event.rs", "quotes a text"),
    ("src/cli/logs/mod.rs", "quotes a text"),
    ("src/cli/verify/basics.rs", "quotes a text"),
    ("src/cli/verify/caller.rs", "quotes a text"),
    ("src/report/sample.rs", "a test"),
    ("src/client/unix.rs", "an implementation of Debug"),
    ("src/domain/operator_token.rs", "an implementation of Debug"),
    ("src/http/ops/maintenance.rs", "a digest"),
    ("src/http/mrs/list.rs", "a digest"),
    ("src/http/mrs/due.rs", "a digest"),
    ("src/http/mrs/listed.rs", "a digest"),
    ("src/http/operator/utl.rs", "a digest"),
    ("src/http/operator/audit.rs", "a digest"),
    ("src/http/operator/upkeep.rs", "a digest"),
];

#[test]
fn no_text_shows_values_as_programmers_see_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    files(&root.join("src"), &["rs"], &mut sources);
    let mut wrongs = Vec::new();
    for path in sources {
        let name = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .display()
            .to_string();
        let is_test = ["/tests", "fuzz.rs", "testing.rs"]
            .iter()
            .any(|part| name.contains(part));
        if is_test || DEBUG_TEXT.iter().any(|(allowed, _)| *allowed == name) {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source");
        let text = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        for (number, line) in (1..).zip(text.lines()) {
            if line.contains(":?}") || line.contains(":#?}") {
                wrongs.push(format!("{name}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(wrongs.is_empty(), "\n{}", wrongs.join("\n"));
}
