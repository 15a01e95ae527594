//! Command lines are understood as people write them.

use clap::{CommandFactory, Parser};
use metarecord::cli::Cli;

use super::playbooks::PLAYBOOKS;

/// Command lines of the product's documents, word for word; the operators' are in the playbooks.
const DOCUMENTED: &[&str] = &[
    "g3n mrs put --inline-payload-file payload.json --content-type application/json --container demo --orgcode ORG",
    "g3n mrs put --file blob.bin --content-type application/octet-stream --container demo --orgcode ORG",
    "g3n mrs put --profile g3nretailstack --session-guid S --orgcode ORG --container demo --record-id note-1 --inline-payload-file note.json --content-type application/json",
    "g3n mrs put --profile g3nretailstack --session-guid S --orgcode ORG --container demo --record-id blob-1 --file big.bin --content-type application/octet-stream",
    "g3n mrs list --profile g3nretailstack --session-guid S --orgcode ORG --container demo --status all --limit 5",
    "g3n mrs reconcile --profile g3nretailstack --orgcode ORG --container demo --mode report-only --max-items 10",
    "g3n mrs reconcile --profile g3nretailstack --orgcode ORG --container demo --mode report-only --max-items 10 --next-token T",
    "g3n mrs tag-scrub --profile g3nretailstack --orgcode ORG --container demo --next-token T",
    "g3n mrs cleanup --profile g3nretailstack --orgcode ORG --container demo",
    "g3n doctor --json --strict --data-dir data --settings metarecord.toml --config profiles.toml",
    "g3n verify --url http://127.0.0.1:8000 --orgcode ORG --container demo",
    "g3n mrs cleanup --profile g3nretailstack --orgcode ORG --container demo --max-items 10 --next-token T",
];

/// The words of a line as a shell takes them apart, with double quotes around what holds spaces.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('"').enumerate() {
        match index % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

#[test]
fn documented_command_lines_are_understood_as_written() {
    for line in DOCUMENTED.iter().chain(PLAYBOOKS) {
        let refused = Cli::try_parse_from(words(line)).err();
        assert!(refused.is_none(), "{line}: {refused:?}");
    }
}

#[test]
fn connection_flags_stand_before_or_after_the_verb() {
    for line in [
        "g3n --orgcode ORG --profile dev --output json mrs stat",
        "g3n mrs --orgcode ORG --profile dev --output json stat",
        "g3n mrs stat --orgcode ORG --profile dev --output json",
    ] {
        let cli = Cli::try_parse_from(line.split(' ')).expect(line);
        assert_eq!(cli.connection.orgcode.as_deref(), Some("ORG"), "{line}");
        assert_eq!(cli.connection.profile.as_deref(), Some("dev"), "{line}");
    }
}

/// Verbs that take a token of the page before and do not take one that begins with a dash.
fn refusing(command: &clap::Command, path: &str, found: &mut (usize, Vec<String>)) {
    for argument in command.get_arguments() {
        if argument.get_id() == "next_token" {
            found.0 += 1;
            if !argument.is_allow_hyphen_values_set() {
                found.1.push(path.to_owned());
            }
        }
    }
    for verb in command.get_subcommands() {
        refusing(verb, &format!("{path} {}", verb.get_name()), found);
    }
}

#[test]
fn every_next_token_may_begin_with_a_dash() {
    let mut found = (0, Vec::new());
    refusing(&Cli::command(), "g3n", &mut found);
    assert!(found.0 > 8, "{found:?}");
    assert_eq!(found.1, [""; 0]);
    let line = "g3n mrs versions --container demo --record-id n-1 --next-token -Wxyz";
    let refused = Cli::try_parse_from(words(line)).err();
    assert!(refused.is_none(), "{refused:?}");
}

#[test]
fn command_lines_that_make_no_sense_are_refused() {
    for line in [
        "g3n",
        "g3n mrs",
        "g3n mrs put --container demo",
        "g3n mrs put --container demo --file a --inline-payload-file b",
        "g3n mrs get --container demo",
        "g3n mrs tag-add --container demo --record-id a",
        "g3n mrs ttl-set --container demo --record-id a",
        "g3n mrs ttl-set --container demo --record-id a --clear --doom-at 2030-01-31T12:00:00Z",
        "g3n mrs doom --container demo --record-id a --expected-revision x",
        "g3n mrs list --nonsense",
        "g3n ops",
        "g3n ops maintenance-schedule --description a --start 2030-03-01T02:00:00Z",
        "g3n ops maintenance-schedule --description a --start 2030-03-01T02:00:00Z --duration long",
        "g3n ops maintenance-start --secret-code a",
        "g3n ops maintenance-start --secret-code --maintenance-id a",
        "g3n ops maintenance-update --secret-code a",
        "g3n ops vacuum-all --secret-code a --reason b",
        "g3n ops vacuum-all --secret-code a --confirmation-phrase b",
        "g3n ops vacuum-org --secret-code a",
        "g3n ops vacuum-cancel --secret-code a",
        "g3n ops audit --maintenance-id a --vacuum-id b",
    ] {
        assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
    }
}

#[test]
fn every_verb_that_does_something_shows_an_example() {
    fn check(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        if command.has_subcommands() {
            for verb in command.get_subcommands() {
                check(verb, &path);
            }
            return;
        }
        let help = command.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        assert!(help.contains(path.trim()), "{path}: {help}");
        for line in help.lines().filter(|line| line.starts_with("  g3n")) {
            let words = words(line);
            for piped in words.split(|word| word == "|") {
                let before = piped.iter().take_while(|word| *word != ">");
                let parsed = Cli::try_parse_from(before);
                assert!(parsed.is_ok(), "{line}");
            }
        }
    }
    for command in Cli::command().get_subcommands() {
        check(command, "g3n");
    }
}
