//! Times and durations in every flag that takes one.

use clap::{CommandFactory, Parser};
use metarecord::cli::Cli;

use super::ops::AppState;

/// Every flag that takes a time, behind a line that needs nothing else.
const TIMES: &[&str] = &[
    "mrs put --container c --file f --doom-at",
    "mrs put --container c --file f --ttl",
    "mrs get --container c --record-id r --as-of",
    "mrs meta --container c --record-id r --as-of",
    "mrs due --before",
    "mrs ttl-set --container c --record-id r --doom-at",
    "mrs ttl-set --container c --record-id r --ttl",
    "usm api-key-create --service-account-id a --role mrs_reader --expires-at",
    "ops maintenance-schedule --description d --duration 60 --start",
    "ops token-create --name n --scope read --expires-at",
    "ops jwt-revoke --jti j --expires-at",
    "ops audit --since",
    "journal export --as-of",
    "logs --log-dir logs --since",
];
/// Every flag that takes a number of seconds.
const SECONDS: &[&str] = &[
    "ops maintenance-schedule --description d --start 15m --duration",
    "ops maintenance-update --duration",
    "ops token-rotate --name n --overlap-seconds",
    "token mint --hmac-file f --issuer i --audience a --subject s --org A --role r --expires-in",
    "verify --seconds",
];
/// Every flag that takes a number of days.
const DAYS: &[&str] = &["mrs cleanup --container c --retention-days"];

fn taken(line: &str, value: &str) -> bool {
    let words = ["g3n"].into_iter().chain(line.split(' ')).chain([value]);
    Cli::try_parse_from(words).is_ok()
}

#[test]
fn every_flag_that_takes_a_time_takes_a_duration() {
    for line in TIMES {
        for value in [
            "2030-03-01T02:00:00Z",
            "2030-03-01T02:00:00+01:00",
            "1900000000000",
            "30s",
            "15m",
            "+15m",
            "-15m",
            "2h",
            "1h30m",
            "30d",
            "2w",
        ] {
            assert!(taken(line, value), "{line} {value}");
        }
        for value in ["", "soon", "15", "1y", "1969-12-31T23:59:59Z", "2030-03-01"] {
            assert!(!taken(line, value), "{line} {value}");
        }
    }
    for line in SECONDS {
        for value in ["30", "30s", "1m"] {
            assert!(taken(line, value), "{line} {value}");
        }
        for value in ["", "soon", "1y", "1500ms"] {
            assert!(!taken(line, value), "{line} {value}");
        }
    }
    for line in DAYS {
        assert!(
            taken(line, "90") && taken(line, "90d") && taken(line, "12w"),
            "{line}"
        );
        assert!(!taken(line, "36h"), "{line}");
    }
}

/// Flags below a command whose name or value says that they are a time or a duration, with their help.
fn of_time(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
    for flag in command.get_arguments() {
        let names = flag.get_value_names().unwrap_or_default();
        let value = names.first().map(ToString::to_string).unwrap_or_default();
        let id = flag.get_id().as_str();
        let named = [
            "_at", "_seconds", "_days", "_ms", "as_of", "since", "before", "start", "duration",
            "expires", "ttl",
        ];
        let is_number = value != "NAME=VALUE" && flag.get_action().takes_values();
        if is_number
            && (["TIME", "SECONDS", "DAYS", "MS"].contains(&&*value)
                || named
                    .iter()
                    .any(|part| id.ends_with(part) || id.starts_with(part)))
        {
            let long = flag.get_long().unwrap_or_default();
            let help = flag.get_help().map(ToString::to_string);
            found.push((format!("{path} --{long}"), help.unwrap_or_default()));
        }
    }
    for verb in command.get_subcommands() {
        of_time(
            verb,
            format!("{path} {}", verb.get_name()).trim_start(),
            found,
        );
    }
}

#[test]
fn the_help_of_every_time_shows_a_duration() {
    let mut found = Vec::new();
    of_time(&Cli::command(), "", &mut found);
    for (flag, help) in &found {
        let (verb, name) = flag.rsplit_once(' ').expect("a verb and a flag");
        let its = |line: &&&str| line.starts_with(verb) && line.ends_with(name);
        let known = TIMES.iter().chain(SECONDS).chain(DAYS).find(its);
        assert!(known.is_some(), "{flag} is not in the table");
        let shown = help.split([' ', ',', '.', ';']).any(|word| {
            let number = word.trim_end_matches(['s', 'm', 'h', 'd', 'w']);
            number != word && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        assert!(shown, "{flag} shows no duration: {help}");
        let is_time = TIMES.iter().any(|line| line.ends_with(name));
        assert!(!is_time || help.contains("RFC 3339"), "{flag}: {help}");
    }
    assert!(found.len() > 15, "{found:?}");
}

#[test]
fn durations_become_times_from_now_at_a_server() {
    let app = AppState::open(&[]);
    app.put("DEMO", "notes", "n-1");
    let set = app
        .run(
            "g3n mrs ttl-set --container notes --record-id n-1 --ttl 30d",
            &[],
        )
        .data();
    let due = set["doom_at"].as_str().expect("a time");
    let due = metarecord::domain::Timestamp::parse(due).expect("RFC 3339");
    let left = due.millis() - metarecord::clock::Clock::system().now().millis();
    let day = 86_400_000;
    assert!((29 * day..=30 * day).contains(&left), "{left}");
    let soon = app.run("g3n mrs due --before 7d", &[]).data();
    assert_eq!(soon["items"].as_array().map(Vec::len), Some(0));
    let later = app.run("g3n mrs due --before 5w", &[]).data();
    assert_eq!(later["items"].as_array().map(Vec::len), Some(1));
    let window = "g3n ops maintenance-schedule --secret-code $CODE --description d --duration 90m --start +15m";
    let window = app.run(window, &[]).data();
    assert_eq!(window["estimated_duration_seconds"], 5_400, "{window}");
    let audit = app.run("g3n ops audit --since 15m --all", &[]);
    assert!(audit.text().contains("maintenance.scheduled"), "{audit:?}");
    // A time that is one, and too early, is not called something else.
    let early = r#"{"orgcode":"DEMO","container":"notes","record_id":"n-2","content_type":"application/json","payload":1,"doom_at":"1969-12-31T23:59:59Z"}"#;
    let refused = app.server.post_bytes("/mrs/record", early.as_bytes());
    let text = String::from_utf8_lossy(&refused.bytes).into_owned();
    assert!(
        text.contains("1970") && !text.contains("RFC 3339"),
        "{text}"
    );
    assert!(text.contains("invalid-doom-at"), "{text}");
}
