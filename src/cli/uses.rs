//! Which connection flags a verb takes. One that it would not use is refused: it would change nothing, unseen.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory};

use super::Cli;

/// Where profiles are.
const PROFILE: &[&str] = &["profile", "config"];
/// Whose certificates are trusted, and which is shown.
const TRUST: &[&str] = &["ca_file", "client_cert_file", "client_key_file"];
const GATEWAY: &[&str] = &["base_url"];
const OPERATORS: &[&str] = &["operator_url"];
const SESSION: &[&str] = &["session_guid"];
const KEY: &[&str] = &["api_key"];
const TOKEN: &[&str] = &["jwt_file"];
const ORG: &[&str] = &["orgcode"];
const OUTPUT: &[&str] = &["output"];
/// Every flag of a connection.
const ALL: &[&[&str]] = &[
    PROFILE, TRUST, GATEWAY, OPERATORS, SESSION, KEY, TOKEN, ORG, OUTPUT,
];

/// What a verb takes besides its own flags.
type Uses = &'static [&'static [&'static str]];

/// A caller of the gateway.
const CALLER: Uses = &[PROFILE, TRUST, GATEWAY, SESSION, KEY, TOKEN, OUTPUT];
/// A caller of the gateway about an org.
const MEMBER: Uses = &[PROFILE, TRUST, GATEWAY, SESSION, KEY, TOKEN, ORG, OUTPUT];
/// A call of the gateway without a credential.
const ANYONE: Uses = &[PROFILE, TRUST, GATEWAY, OUTPUT];
/// A call of the operators' address, whose token is no flag.
const OPERATOR: Uses = &[PROFILE, TRUST, OPERATORS, OUTPUT];
/// The same about an org.
const OPERATOR_OF_ORG: Uses = &[PROFILE, TRUST, OPERATORS, ORG, OUTPUT];
/// What calls nobody.
const LOCAL: Uses = &[OUTPUT];
/// What calls nobody, and finds its directory by a profile.
const LOCAL_OF_PROFILE: Uses = &[PROFILE, OUTPUT];

/// A flag of a verb with which it uses something else.
const VARIANTS: &[&str] = &["operator", "data_dir", "email"];

/// What each verb uses; with a flag of [`VARIANTS`] the line that ends with it counts.
const VERBS: &[(&str, Uses)] = &[
    ("serve", &[]),
    ("doctor", &[PROFILE, TRUST, GATEWAY, OPERATORS, OUTPUT]),
    ("login", &[PROFILE, TRUST, GATEWAY, ORG, OUTPUT]),
    ("logout", &[PROFILE, TRUST, OUTPUT]),
    ("mcp", &[PROFILE, TRUST, GATEWAY, SESSION, KEY, TOKEN, ORG]),
    ("mcp --operator", &[PROFILE, TRUST, GATEWAY, OPERATORS]),
    ("mrs put", MEMBER),
    ("mrs copy", MEMBER),
    ("mrs get", MEMBER),
    ("mrs versions", MEMBER),
    ("mrs history", MEMBER),
    ("mrs watch", MEMBER),
    ("mrs meta", MEMBER),
    ("mrs head", MEMBER),
    ("mrs list", MEMBER),
    ("mrs tag-add", MEMBER),
    ("mrs tag-remove", MEMBER),
    ("mrs ttl-set", MEMBER),
    ("mrs doom", MEMBER),
    ("mrs hold-set", MEMBER),
    ("mrs hold-release", MEMBER),
    ("mrs due", MEMBER),
    ("mrs containers", MEMBER),
    ("mrs stat", CALLER),
    ("mrs reconcile", OPERATOR_OF_ORG),
    ("mrs tag-scrub", OPERATOR_OF_ORG),
    ("mrs cleanup", OPERATOR_OF_ORG),
    ("usm session-create", ANYONE),
    (
        "usm session-validate",
        &[PROFILE, TRUST, GATEWAY, SESSION, OUTPUT],
    ),
    (
        "usm session-close",
        &[PROFILE, TRUST, GATEWAY, SESSION, OUTPUT],
    ),
    ("usm session-list", CALLER),
    ("usm logout-everywhere", CALLER),
    ("usm sessions-close", OPERATOR),
    ("usm service-account-create", MEMBER),
    ("usm service-account-list", MEMBER),
    ("usm service-account-status", MEMBER),
    ("usm api-key-create", MEMBER),
    ("usm api-key-list", MEMBER),
    ("usm api-key-revoke", MEMBER),
    ("usm api-key-revoke-all", MEMBER),
    (
        "usm api-key-validate",
        &[PROFILE, TRUST, GATEWAY, KEY, OUTPUT],
    ),
    ("ofm org-get", MEMBER),
    ("ofm org-get --operator", OPERATOR_OF_ORG),
    ("ofm org-list", OPERATOR),
    ("ofm org-park", MEMBER),
    ("ofm org-unpark", MEMBER),
    ("ofm member-add", MEMBER),
    ("ofm member-remove", MEMBER),
    ("ofm member-leave", MEMBER),
    ("ofm invitation-create", MEMBER),
    ("ofm invitation-list", MEMBER),
    ("ofm invitation-withdraw", MEMBER),
    ("ofm invitation-mine", CALLER),
    ("ofm invitation-accept", MEMBER),
    ("ofm invitation-decline", MEMBER),
    ("ofm member-list", MEMBER),
    ("ofm member-resolve", MEMBER),
    ("ofm org-create", OPERATOR_OF_ORG),
    ("ofm org-status-set", OPERATOR_OF_ORG),
    ("ofm owner-add", OPERATOR_OF_ORG),
    ("ofm usage", MEMBER),
    ("ofm usage --operator", OPERATOR_OF_ORG),
    ("ofm quota-set", OPERATOR_OF_ORG),
    ("uas stat", CALLER),
    ("uas stat --email", ANYONE),
    ("uas user-create", OPERATOR),
    ("uas passcode-change", CALLER),
    ("uas user-get", OPERATOR),
    ("uas user-list", OPERATOR),
    ("uas user-disable", OPERATOR),
    ("uas user-enable", OPERATOR),
    ("uas user-verify", OPERATOR),
    ("uas passcode-reset", OPERATOR),
    ("uas lock-lift", OPERATOR),
    ("uas user-erase", OPERATOR),
    ("utl offboarding-request", MEMBER),
    ("utl offboarding-status", MEMBER),
    ("utl offboarding-status --operator", OPERATOR_OF_ORG),
    ("utl offboarding-cancel", MEMBER),
    ("utl offboarding-cancel --operator", OPERATOR_OF_ORG),
    ("utl offboarding-list", OPERATOR),
    ("utl offboarding-approve", OPERATOR_OF_ORG),
    ("utl export-make", OPERATOR_OF_ORG),
    ("utl export", MEMBER),
    ("utl export --operator", OPERATOR_OF_ORG),
    ("utl import", OPERATOR_OF_ORG),
    ("utl verify", &[ORG, OUTPUT]),
    ("whoami", CALLER),
    ("ops ping", ANYONE),
    ("ops stat", ANYONE),
    ("ops secret-set", OPERATOR),
    ("ops secret-lock-lift", OPERATOR),
    ("ops maintenance-schedule", OPERATOR),
    ("ops maintenance-start", OPERATOR),
    ("ops maintenance-update", OPERATOR),
    ("ops maintenance-end", OPERATOR),
    ("ops maintenance-cancel", OPERATOR),
    ("ops maintenance-list", CALLER),
    ("ops maintenance-list --operator", OPERATOR),
    ("ops maintenance-get", CALLER),
    ("ops maintenance-get --operator", OPERATOR),
    ("ops vacuum-all", OPERATOR),
    ("ops vacuum-org", OPERATOR_OF_ORG),
    ("ops vacuum-cancel", OPERATOR),
    ("ops vacuum-status", OPERATOR_OF_ORG),
    ("ops vacuum-list", OPERATOR_OF_ORG),
    ("ops hold-set", OPERATOR_OF_ORG),
    ("ops hold-release", OPERATOR_OF_ORG),
    ("ops hold-list", OPERATOR_OF_ORG),
    ("ops token-create", OPERATOR),
    ("ops token-list", OPERATOR),
    ("ops token-rotate", OPERATOR),
    ("ops token-revoke", OPERATOR),
    ("ops jwt-revoke", OPERATOR),
    ("ops jwt-list", OPERATOR),
    ("ops signing-key-rotate", OPERATOR),
    ("ops signing-key-list", OPERATOR),
    ("ops clock-status", OPERATOR),
    ("ops clock-confirm", OPERATOR),
    ("ops audit", OPERATOR_OF_ORG),
    ("ops metrics", OPERATOR),
    ("jobs list", OPERATOR),
    ("jobs show", OPERATOR),
    ("jobs run", OPERATOR),
    ("jobs pause", OPERATOR),
    ("jobs resume", OPERATOR),
    ("journal verify", LOCAL_OF_PROFILE),
    ("journal head", LOCAL_OF_PROFILE),
    ("journal tail", LOCAL_OF_PROFILE),
    ("journal export", LOCAL_OF_PROFILE),
    ("journal show", LOCAL_OF_PROFILE),
    ("journal read", OPERATOR),
    ("journal rebuild", LOCAL_OF_PROFILE),
    ("backup create", OPERATOR),
    ("backup verify", LOCAL),
    ("backup restore", LOCAL),
    ("logs", LOCAL),
    ("trace", OPERATOR),
    ("trace --data-dir", LOCAL),
    ("token mint", LOCAL),
    ("token keys", LOCAL),
    ("health", ANYONE),
    ("verify", MEMBER),
    ("config show", ALL),
    ("config server", LOCAL),
    ("completions", LOCAL),
    ("man", LOCAL),
];

/// Refuses the connection flags of a command line that its verb does not use. Values of the environment and of profiles are
/// there for every verb, and no error.
///
/// # Errors
/// A usage error that names the first.
pub(super) fn check(matches: &ArgMatches) -> Result<(), clap::Error> {
    let (verb, uses) = of(matches);
    let given = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let mut unused: Vec<_> = ALL.concat().into_iter().filter(given).collect();
    if is_given_a_directory(matches) && verb == "journal read" {
        // The one verb of its family that reads no data directory.
        unused.push("data_dir");
    }
    let unused = unused.into_iter();
    let mut unused = unused.filter(|id| uses.iter().all(|flags| !flags.contains(id)));
    match unused.next() {
        None => Ok(()),
        Some(id) => {
            let flag = id.replace('_', "-");
            let message = format!(
                "g3n {verb} does not use --{flag}, and would ignore it; leave it out{}",
                instead(&verb, id)
            );
            Err(at(matches, Cli::command()).error(ErrorKind::ArgumentConflict, message))
        }
    }
}

/// Whether a verb of the journal is given a data directory.
fn is_given_a_directory(matches: &ArgMatches) -> bool {
    matches.subcommand().is_some_and(|(name, journal)| {
        name == "journal" && journal.value_source("data_dir") == Some(ValueSource::CommandLine)
    })
}

/// The verb's own part of the command line, whose usage an error shows.
fn at(matches: &ArgMatches, mut command: Command) -> Command {
    command.build();
    let mut leaf = matches;
    while let Some((name, below)) = leaf.subcommand() {
        let Some(found) = command.find_subcommand(name) else {
            break;
        };
        (command, leaf) = (found.clone(), below);
    }
    command
}

/// What to use instead.
fn instead(verb: &str, id: &str) -> &'static str {
    match (verb, id) {
        ("utl offboarding-list", "orgcode") => {
            ". g3n utl offboarding-status --operator shows one org's"
        }
        ("journal read", "data_dir") => ". g3n journal tail, show and export read a data directory",
        _ => "",
    }
}

/// The verb of a command line, and what it uses. One that the table does not know uses nothing.
fn of(matches: &ArgMatches) -> (String, Uses) {
    let (mut verb, mut leaf) = (String::new(), matches);
    while let Some((name, sub)) = leaf.subcommand() {
        verb = format!("{verb} {name}").trim_start().to_owned();
        leaf = sub;
    }
    let find = |path: &str| VERBS.iter().find(|(known, _)| *known == path);
    let given = |id: &&&str| {
        let known = leaf.ids().any(|known| known.as_str() == **id);
        known && leaf.value_source(id) == Some(ValueSource::CommandLine)
    };
    let variants = VARIANTS.iter().filter(given);
    let variants = variants.map(|id| format!("{verb} --{}", id.replace('_', "-")));
    let found = variants.into_iter().find_map(|path| find(&path));
    match found.or_else(|| find(&verb)) {
        Some((path, uses)) => ((*path).to_owned(), uses),
        None => (verb, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verbs below a command, by their paths.
    fn verbs(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        let below: Vec<_> = command.get_subcommands().collect();
        if below.is_empty() {
            found.push(path.to_owned());
        }
        for verb in below {
            let path = format!("{path} {}", verb.get_name());
            verbs(verb, path.trim_start(), found);
        }
    }

    #[test]
    fn the_table_has_every_verb_and_no_other() {
        let mut there = Vec::new();
        verbs(&Cli::command(), "", &mut there);
        let bare =
            |(path, _): &(&str, Uses)| path.split(" --").next().unwrap_or_default().to_owned();
        let mut told: Vec<_> = VERBS.iter().map(bare).collect();
        told.dedup();
        there.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, there);
    }

    #[test]
    fn the_table_has_every_flag_of_a_connection() {
        let command = Cli::command();
        let flags = command.get_arguments().filter(|flag| flag.is_global_set());
        let mut there: Vec<_> = flags.map(|flag| flag.get_id().as_str()).collect();
        let mut told = ALL.concat();
        there.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, there);
    }
}
