//! Every connection flag with every verb: used, where what is sent shows it, or refused by name; never ignored.

use std::path::Path;

use clap::CommandFactory;
use metarecord::cli::Cli;

use super::recorder::{Recorder, empty};
use super::run::{Ran, g3n};

/// A verb with what it needs, and the letters of the flags that it uses.
type Row = (&'static str, &'static str);

/// Flags by letter, each with a value that a request shows.
const FLAGS: &[(char, &str, &str)] = &[
    ('p', "--profile", "nobodys"),
    ('p', "--config", "nowhere.toml"),
    ('t', "--ca-file", "nowhere.pem"),
    ('t', "--client-cert-file", "nowhere.pem"),
    ('t', "--client-key-file", "nowhere.pem"),
    ('g', "--base-url", "http://127.0.0.1:1"),
    ('o', "--operator-url", "http://127.0.0.1:1"),
    ('s', "--session-guid", "canary-session"),
    ('k', "--api-key", "canary-key"),
    ('j', "--jwt-file", "canary.jwt"),
    ('c', "--orgcode", "CANARYORG"),
    ('f', "--output", "json"),
];

/// Every verb that calls a server: gateway (g) or operators (o), by session (s), key (k) or token (j), about an org (c),
/// with a profile (p) and trusted certificates (t), and with a form of output (f).
const CALLING: &[Row] = &[
    (
        "mrs put --container c --inline-payload-file p.json",
        "ptgskjcf",
    ),
    ("mrs put --container c --batch p.json", "ptgskjcf"),
    ("mrs get --container c --batch p.json", "ptgskjcf"),
    (
        "mrs copy --container c --record-id r --to-record-id s",
        "ptgskjcf",
    ),
    ("mrs get --container c --record-id r", "ptgskjcf"),
    ("mrs versions --container c --record-id r", "ptgskjcf"),
    ("mrs history --container c --record-id r", "ptgskjcf"),
    ("mrs watch --count 1", "ptgskjcf"),
    ("mrs meta --container c --record-id r", "ptgskjcf"),
    ("mrs head --container c --record-id r", "ptgskjcf"),
    ("mrs list", "ptgskjcf"),
    (
        "mrs tag-add --container c --record-id r --tag T",
        "ptgskjcf",
    ),
    (
        "mrs tag-remove --container c --record-id r --tag T",
        "ptgskjcf",
    ),
    (
        "mrs ttl-set --container c --record-id r --clear",
        "ptgskjcf",
    ),
    ("mrs doom --container c --record-id r", "ptgskjcf"),
    ("mrs hold-set --container c --record-id r", "ptgskjcf"),
    ("mrs hold-release --container c --record-id r", "ptgskjcf"),
    ("mrs due", "ptgskjcf"),
    ("mrs containers", "ptgskjcf"),
    ("mrs stat", "ptgskjf"),
    ("mrs reconcile --container c", "ptocf"),
    ("mrs tag-scrub --container c", "ptocf"),
    ("mrs cleanup --container c", "ptocf"),
    ("usm session-create --email a@example.com", "ptgf"),
    ("usm session-validate", "ptgsf"),
    ("usm session-close", "ptgsf"),
    ("usm session-list", "ptgskjf"),
    ("usm logout-everywhere", "ptgskjf"),
    ("usm sessions-close --email a@example.com", "ptof"),
    ("usm service-account-create", "ptgskjcf"),
    ("usm service-account-list", "ptgskjcf"),
    (
        "usm service-account-status --service-account-id a",
        "ptgskjcf",
    ),
    (
        "usm api-key-create --service-account-id a --role mrs_reader",
        "ptgskjcf",
    ),
    ("usm api-key-list --service-account-id a", "ptgskjcf"),
    (
        "usm api-key-revoke --service-account-id a --key-id k",
        "ptgskjcf",
    ),
    ("usm api-key-revoke-all --service-account-id a", "ptgskjcf"),
    ("usm api-key-validate", "ptgkf"),
    ("ofm org-get", "ptgskjcf"),
    ("ofm org-get --operator", "ptocf"),
    ("ofm org-list", "ptof"),
    ("ofm org-park", "ptgskjcf"),
    ("ofm org-unpark", "ptgskjcf"),
    ("ofm member-add --email a@example.com", "ptgskjcf"),
    ("ofm member-remove --email a@example.com", "ptgskjcf"),
    ("ofm member-leave", "ptgskjcf"),
    ("ofm invitation-create --email a@example.com", "ptgskjcf"),
    ("ofm invitation-list", "ptgskjcf"),
    ("ofm invitation-withdraw --invitation-id i", "ptgskjcf"),
    ("ofm invitation-mine", "ptgskjf"),
    ("ofm invitation-accept --invitation-id i", "ptgskjcf"),
    ("ofm invitation-decline --invitation-id i", "ptgskjcf"),
    ("ofm member-list", "ptgskjcf"),
    ("ofm member-resolve --email a@example.com", "ptgskjcf"),
    ("ofm org-create --owner-email a@example.com", "ptocf"),
    ("ofm org-status-set --status frozen", "ptocf"),
    ("ofm owner-add --email a@example.com", "ptocf"),
    ("ofm usage", "ptgskjcf"),
    ("ofm usage --operator", "ptocf"),
    ("ofm quota-set records=5", "ptocf"),
    ("uas stat", "ptgskjf"),
    ("uas stat --email a@example.com", "ptgf"),
    ("uas user-create --email a@example.com", "ptof"),
    ("uas passcode-change", "ptgskjf"),
    ("uas user-get --email a@example.com", "ptof"),
    ("uas user-list", "ptof"),
    ("uas user-disable --email a@example.com", "ptof"),
    ("uas user-enable --email a@example.com", "ptof"),
    ("uas user-verify --email a@example.com", "ptof"),
    ("uas passcode-reset --email a@example.com", "ptof"),
    ("uas lock-lift --email a@example.com", "ptof"),
    (
        "uas user-erase --email a@example.com --reason r --yes",
        "ptof",
    ),
    ("utl offboarding-request --reason r", "ptgskjcf"),
    ("utl offboarding-status", "ptgskjcf"),
    ("utl offboarding-status --operator", "ptocf"),
    ("utl offboarding-cancel", "ptgskjcf"),
    ("utl offboarding-cancel --operator", "ptocf"),
    ("utl offboarding-list", "ptof"),
    ("utl offboarding-approve --yes", "ptocf"),
    ("utl export-make", "ptocf"),
    ("utl export --out out", "ptgskjcf"),
    ("utl export --out out --operator", "ptocf"),
    ("whoami", "ptgskjf"),
    ("ops ping", "ptgf"),
    ("ops stat", "ptgf"),
    ("ops secret-set", "ptof"),
    ("ops secret-lock-lift", "ptof"),
    (
        "ops maintenance-schedule --description d --duration 1h --start 1h",
        "ptof",
    ),
    ("ops maintenance-start --maintenance-id m", "ptof"),
    ("ops maintenance-update --text t", "ptof"),
    ("ops maintenance-end", "ptof"),
    ("ops maintenance-cancel --maintenance-id m", "ptof"),
    ("ops maintenance-list", "ptgskjf"),
    ("ops maintenance-get --maintenance-id m", "ptgskjf"),
    ("ops maintenance-list --operator", "ptof"),
    ("ops maintenance-get --operator --maintenance-id m", "ptof"),
    (
        "ops vacuum-all --reason r --confirmation-phrase p --yes",
        "ptof",
    ),
    ("ops vacuum-org --reason r --yes", "ptocf"),
    ("ops vacuum-cancel --vacuum-id v", "ptof"),
    // A filter.
    ("ops vacuum-status", "ptocf"),
    // A filter.
    ("ops vacuum-list", "ptocf"),
    ("ops hold-set --reason r", "ptocf"),
    ("ops hold-release", "ptocf"),
    ("ops hold-list", "ptocf"),
    ("ops token-create --name n --scope read", "ptof"),
    ("ops token-list", "ptof"),
    ("ops token-rotate --name n", "ptof"),
    ("ops token-revoke --name n", "ptof"),
    ("ops jwt-revoke --jti j", "ptof"),
    ("ops jwt-list", "ptof"),
    ("ops signing-key-rotate", "ptof"),
    ("ops signing-key-list", "ptof"),
    ("ops clock-status", "ptof"),
    ("ops clock-confirm", "ptof"),
    // A filter.
    ("ops audit", "ptocf"),
    ("ops metrics", "ptof"),
    ("journal read", "ptof"),
    ("jobs list", "ptof"),
    ("jobs show j", "ptof"),
    ("jobs run j", "ptof"),
    ("jobs pause j", "ptof"),
    ("jobs resume j", "ptof"),
    ("trace r-1", "ptof"),
    ("health", "ptgf"),
    ("verify --seconds 5", "ptgskjcf"),
];

/// Verbs whose calls, if any, come after work on files that are not there; of them only what is refused is looked at.
const OTHERS: &[Row] = &[
    // With settings that end it, should a flag not be refused.
    ("serve --settings nowhere.toml", ""),
    // They call a server once an agent asks them to.
    ("mcp", "ptgskjc"),
    ("mcp --operator", "ptgo"),
    ("doctor", "ptgof"),
    // They make and change a profile.
    ("login --email a@example.com", "ptgcf"),
    ("logout", "ptf"),
    // The export must be of the org.
    ("utl import nowhere", "ptocf"),
    ("utl verify nowhere", "cf"),
    ("journal verify", "pf"),
    ("journal head", "pf"),
    ("journal tail", "pf"),
    ("journal export", "pf"),
    ("journal show --record A/b/c", "pf"),
    ("journal rebuild", "pf"),
    ("backup create into", "ptof"),
    ("backup verify nowhere", "f"),
    ("backup restore nowhere --data-dir new", "f"),
    ("logs nowhere", "f"),
    ("trace r-1 --data-dir nowhere", "f"),
    (
        "token mint --hmac-file f --issuer i --audience a --subject s --org A --role r",
        "f",
    ),
    ("token keys --out nowhere/keys", "f"),
    ("config show", "ptgoskjcf"),
    ("config server", "f"),
    ("completions bash", "f"),
    ("man --dir out", "f"),
];

/// A directory with the files that the lines name.
fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, text) in [("p.json", "{}"), ("canary.jwt", "canary.jwt.token\n")] {
        std::fs::write(dir.path().join(name), text).expect("written");
    }
    dir
}

/// Runs a line with what the verbs ask for besides.
fn run(line: &str, dir: &Path, to: &str) -> Ran {
    let home = dir.to_str().expect("plain");
    let environment = [
        ("HOME", home),
        ("G3N_BASE_URL", to),
        ("G3N_OPERATOR_URL", to),
        ("G3N_OPERATOR_TOKEN", "op_t"),
        ("G3N_SESSION_GUID", "own-session"),
        ("G3N_API_KEY", "own-key"),
        ("G3N_ORGCODE", "OWN"),
        ("G3N_SECRET_CODE", "code"),
        ("G3N_PASSCODE", "passcode"),
        ("G3N_NEW_PASSCODE", "another"),
    ];
    g3n(line, dir, &environment, b"")
}

/// Checks that each flag whose letter is not there is refused by name, before anything is called.
fn refused(row: &Row, dir: &Path, recorder: &Recorder) {
    let (line, letters) = row;
    for (letter, flag, value) in FLAGS {
        if letters.contains(*letter) {
            continue;
        }
        let line = format!("{line} {flag} {value}");
        let ran = run(&line, dir, &recorder.address);
        assert_eq!(ran.code, 2, "{line}: {ran:?}");
        let told = format!("does not use {flag}");
        assert!(ran.stderr.contains(&told), "{line}: {ran:?}");
        assert_eq!(recorder.heard(), "", "{line}");
    }
}

/// Checks that each flag whose letter is there makes a difference to what is called.
fn used(row: &Row, dir: &Path, (elsewhere, recorder): (&Recorder, &Recorder)) {
    let (line, letters) = row;
    let mut all = (*line).to_owned();
    for (letter, flag, value) in [
        ('g', "--base-url", &*recorder.address),
        ('o', "--operator-url", &*recorder.address),
        ('c', "--orgcode", "CANARYORG"),
    ] {
        if letters.contains(letter) {
            all.push_str(&format!(" {flag} {value}"));
        }
    }
    let credentials = [
        ('s', "--session-guid canary-session", "canary-session"),
        ('k', "--api-key canary-key", "canary-key"),
        ('j', "--jwt-file canary.jwt", "canary.jwt.token"),
    ];
    let mine = credentials
        .into_iter()
        .filter(|(letter, ..)| letters.contains(*letter));
    let mut runs: Vec<_> = mine.map(|(_, flags, shown)| (flags, shown)).collect();
    if runs.is_empty() {
        runs.push(("", ""));
    }
    for (flags, shown) in runs {
        let line = format!("{all} {flags}");
        let ran = run(&line, dir, &elsewhere.address);
        let heard = recorder.heard();
        assert!(
            !heard.is_empty() && heard.contains(shown),
            "{line}: {ran:?} {heard}"
        );
        assert!(
            !letters.contains('c') || heard.contains("CANARYORG"),
            "{line}: {heard}"
        );
        assert_eq!(elsewhere.heard(), "", "{line}");
    }
    for (letter, flag, value) in FLAGS.iter().filter(|(letter, ..)| "pt".contains(*letter)) {
        if letters.contains(*letter) {
            let ran = run(&format!("{line} {flag} {value}"), dir, &elsewhere.address);
            let said = format!("{}{}", ran.text(), ran.stderr);
            assert_eq!(ran.code, 2, "{line} {flag}: {ran:?}");
            let about = ["nobodys", "nowhere", "client certificate"];
            assert!(
                about.iter().any(|name| said.contains(name)),
                "{line} {flag}: {ran:?}"
            );
        }
    }
}

#[test]
fn every_flag_of_a_connection_is_used_or_refused_by_every_verb() {
    std::thread::scope(|scope| {
        for part in CALLING.chunks(CALLING.len().div_ceil(4)) {
            scope.spawn(move || {
                let (dir, elsewhere, recorder) =
                    (directory(), Recorder::start(empty), Recorder::start(empty));
                for row in part {
                    refused(row, dir.path(), &recorder);
                    used(row, dir.path(), (&elsewhere, &recorder));
                }
            });
        }
    });
}

#[test]
fn verbs_that_call_nobody_refuse_what_calls_need() {
    let (dir, recorder) = (directory(), Recorder::start(empty));
    for row in OTHERS {
        refused(row, dir.path(), &recorder);
    }
}

/// The verbs below a command, by their paths.
fn verbs(command: &clap::Command, path: &str, found: &mut Vec<String>) {
    let below: Vec<_> = command.get_subcommands().collect();
    if below.is_empty() {
        found.push(path.trim_start().to_owned());
    }
    for verb in below {
        verbs(verb, &format!("{path} {}", verb.get_name()), found);
    }
}

#[test]
fn the_tables_of_flags_have_every_verb() {
    let mut there = Vec::new();
    verbs(&Cli::command(), "", &mut there);
    for verb in there {
        let its = |(line, _): &&Row| *line == verb || line.starts_with(&format!("{verb} "));
        let found = CALLING.iter().chain(OTHERS).any(|row| its(&row));
        assert!(found, "{verb} is in no table");
    }
}
