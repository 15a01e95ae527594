//! `--all`: every list that comes in pages as one, item by item, and how it ends when something goes wrong on the way.

use std::path::Path;

use clap::CommandFactory;
use metarecord::cli::Cli;
use serde_json::{Value, json};

use super::ops::AppState;
use super::recorder::{Answer, Recorder};
use super::run::{Ran, g3n};

/// Every verb whose list comes in pages.
const LISTS: &[&str] = &[
    "mrs list",
    "mrs versions --container c --record-id r",
    "mrs history --container c --record-id r",
    "mrs due",
    "mrs containers",
    "usm service-account-list",
    "ofm member-list",
    "ofm org-list",
    "uas user-list",
    "ofm invitation-mine",
    "utl offboarding-list",
    "ops maintenance-list",
    "ops vacuum-list",
    "ops audit",
    "journal read",
];
/// Verbs that work through a container in steps, and tell what all steps together did.
const WALKS: &[&str] = &[
    "mrs reconcile --container c",
    "mrs tag-scrub --container c",
    "mrs cleanup --container c",
];

/// The page that a request asks for, by its token.
fn page(request: &str) -> usize {
    ["\"t1\"", "next_token=t1", "\"t2\"", "next_token=t2"]
        .iter()
        .position(|token| request.contains(token))
        .map_or(0, |at| at / 2 + 1)
}

/// Three pages with four items, spelled as no JSON library would.
fn pages(request: &str) -> (u16, String) {
    let data = [
        r#"{"items":[{"n":1.0},{"n":2e0}],"scanned":2,"next_token":"t1"}"#,
        r#"{"items":[],"scanned":0,"next_token":"t2"}"#,
        r#"{"items":[{"n":"\ud83d\ude00"},{"n":4}],"scanned":2}"#,
    ][page(request)];
    (200, format!(r#"{{"success":true,"data":{data}}}"#))
}

/// The same, and maintenance begins before the last.
fn broken(request: &str) -> (u16, String) {
    let error = r#"{"success":false,"error":{"major":{"tag":"maintenance-mode","message":{"en_US":"Closed."}}}}"#;
    match page(request) {
        2 => (503, error.to_owned()),
        _ => pages(request),
    }
}

/// Pages without an end, each of which leads to the next.
fn endless(request: &str) -> (u16, String) {
    let tokens = ["t1", "t2", "t1"];
    let token = tokens[page(request)];
    let data = format!(r#"{{"items":[{{"n":1}}],"next_token":"{token}"}}"#);
    (200, format!(r#"{{"success":true,"data":{data}}}"#))
}

/// A page that leads to itself.
fn turning(_: &str) -> (u16, String) {
    let data = r#"{"items":[{"n":1}],"next_token":"t1"}"#;
    (200, format!(r#"{{"success":true,"data":{data}}}"#))
}

fn run(line: &str, dir: &Path, to: &str) -> Ran {
    let environment = [
        ("HOME", dir.to_str().expect("plain")),
        ("G3N_BASE_URL", to),
        ("G3N_OPERATOR_URL", to),
        ("G3N_ORGCODE", "OWN"),
    ];
    g3n(line, dir, &environment, b"")
}

fn each(answer: Answer, check: impl Fn(&str, &dyn Fn(&str) -> (Ran, String))) {
    let (dir, recorder) = (
        tempfile::tempdir().expect("a directory"),
        Recorder::start(answer),
    );
    for verb in LISTS {
        check(verb, &|flags| {
            let ran = run(&format!("{verb} {flags}"), dir.path(), &recorder.address);
            (ran, recorder.heard())
        });
    }
}

/// The verbs below a command that take a token of the page before, and whether they show all pages.
fn paged(command: &clap::Command, path: &str, found: &mut Vec<(String, bool)>) {
    let has = |name: &str| {
        command
            .get_arguments()
            .any(|flag| flag.get_long() == Some(name))
    };
    if has("next-token") {
        found.push((path.trim_start().to_owned(), has("all")));
    }
    for verb in command.get_subcommands() {
        paged(verb, &format!("{path} {}", verb.get_name()), found);
    }
}

#[test]
fn every_verb_that_takes_a_token_shows_all_pages() {
    let mut found = Vec::new();
    paged(&Cli::command(), "", &mut found);
    for (verb, all) in &found {
        assert!(all, "{verb} has no --all");
        let its = |line: &&&str| line.split(" --").next() == Some(verb);
        let known = LISTS.iter().chain(WALKS).filter(its).count();
        assert_eq!(known, 1, "{verb} is not in the table");
    }
    assert_eq!(found.len(), LISTS.len() + WALKS.len());
}

#[test]
fn all_pages_are_one_stream_in_every_form() {
    each(pages, |verb, run| {
        let (ran, heard) = run("--all --output jsonl");
        let lines = "{\"n\":1.0}\n{\"n\":2e0}\n{\"n\":\"\\ud83d\\ude00\"}\n{\"n\":4}\n";
        assert_eq!(
            (ran.code, &*ran.text(), &*ran.stderr),
            (0, lines, ""),
            "{verb}"
        );
        assert_eq!(heard.matches(" HTTP/1.1").count(), 3, "{verb}: {heard}");
        assert!(
            heard.contains("256"),
            "{verb} asks for the largest pages: {heard}"
        );
        let (ran, _) = run("--all --output json");
        let document = ran.json();
        assert_eq!(document["success"], json!(true), "{verb}");
        let items = document["data"]["items"].as_array().map(Vec::len);
        assert_eq!((ran.code, items), (0, Some(4)), "{verb}");
        assert!(ran.text().contains("2e0"), "{verb}: as it came");
        let (ran, heard) = run("--all --limit 7 --next-token t1 --output jsonl");
        assert_eq!(
            ran.text().lines().count(),
            2,
            "{verb} begins behind the token"
        );
        assert!(
            heard.contains('7') && !heard.contains("256"),
            "{verb}: {heard}"
        );
        let (ran, _) = run("--all --output table");
        assert_eq!(ran.code, 0, "{verb}: {ran:?}");
        assert!(!ran.text().contains("next-token"), "{verb}: {ran:?}");
    });
}

#[test]
fn one_page_of_lines_tells_how_to_go_on() {
    each(pages, |verb, run| {
        let (ran, _) = run("--output jsonl");
        assert_eq!(ran.text(), "{\"n\":1.0}\n{\"n\":2e0}\n", "{verb}");
        assert!(ran.stderr.contains("--next-token t1"), "{verb}: {ran:?}");
    });
}

#[test]
fn a_failure_in_the_middle_ends_with_its_number() {
    each(broken, |verb, run| {
        let (ran, _) = run("--all --output jsonl");
        assert_eq!(
            (ran.code, ran.text().lines().count()),
            (8, 2),
            "{verb}: {ran:?}"
        );
        assert!(ran.stderr.contains("maintenance-mode"), "{verb}: {ran:?}");
        let (ran, _) = run("--all --output json");
        assert_eq!(ran.refusal(), (8, "maintenance-mode".to_owned()), "{verb}");
        let document = ran.json();
        assert_eq!(document["success"], json!(false), "{verb}");
        assert_eq!(
            document["data"]["items"].as_array().map(Vec::len),
            Some(2),
            "{verb}"
        );
        let (ran, _) = run("--all --output table");
        assert_eq!(ran.code, 8, "{verb}: {ran:?}");
    });
    each(turning, |verb, run| {
        let (ran, heard) = run("--all --output jsonl");
        assert_eq!(
            (ran.code, ran.text().lines().count()),
            (3, 2),
            "{verb}: {ran:?}"
        );
        assert_eq!(heard.matches(" HTTP/1.1").count(), 2, "{verb}");
    });
}

#[test]
fn a_reader_that_goes_away_ends_a_list_quietly() {
    let (dir, recorder) = (
        tempfile::tempdir().expect("a directory"),
        Recorder::start(endless),
    );
    for verb in LISTS {
        for output in ["json", "jsonl", "table"] {
            let line = format!(
                "{{ g3n {verb} --all --output {output}; echo $? >code; }} | head -n 2 >shown; cat code"
            );
            let environment = [
                ("HOME", dir.path().to_str().expect("plain")),
                ("G3N_BASE_URL", &recorder.address),
                ("G3N_OPERATOR_URL", &recorder.address),
                ("G3N_ORGCODE", "OWN"),
            ];
            let ran = super::run::shell(&line, dir.path(), &environment, b"");
            assert_eq!((&*ran.text(), &*ran.stderr), ("0\n", ""), "{verb} {output}");
        }
    }
}

#[test]
fn a_full_disk_is_told_by_a_list() {
    let (dir, recorder) = (
        tempfile::tempdir().expect("a directory"),
        Recorder::start(pages),
    );
    let line = "g3n mrs list --all --output jsonl >/dev/full";
    let environment = [
        ("HOME", dir.path().to_str().expect("plain")),
        ("G3N_BASE_URL", &recorder.address),
        ("G3N_ORGCODE", "OWN"),
    ];
    let ran = super::run::shell(line, dir.path(), &environment, b"");
    assert!(ran.code != 0 && ran.code != 1, "{ran:?}");
    assert!(ran.stderr.contains("standard output"), "{ran:?}");
}

#[test]
fn a_walk_begins_behind_its_token() {
    let (dir, recorder) = (
        tempfile::tempdir().expect("a directory"),
        Recorder::start(pages),
    );
    for verb in WALKS {
        let ran = run(&format!("{verb} --all"), dir.path(), &recorder.address);
        assert_eq!(ran.data()["scanned"], 4, "{verb}");
        let rest = format!("{verb} --all --next-token t1");
        let ran = run(&rest, dir.path(), &recorder.address);
        assert_eq!(ran.data()["scanned"], 2, "{verb}");
    }
}

#[test]
fn all_items_of_a_server_come_once_and_in_order() {
    let app = AppState::open(&[]);
    for number in 0..5 {
        app.put("DEMO", "notes", &format!("n-{number}"));
    }
    let lines = app.run("g3n mrs list --all --limit 2 --output jsonl", &[]);
    let ids: Vec<String> = lines
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .map(|item| item["record_id"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(ids, ["n-0", "n-1", "n-2", "n-3", "n-4"]);
    let all = app.run("g3n journal tail --all --data-dir data --output jsonl", &[]);
    let head = app.run("g3n journal head --data-dir data", &[]).json();
    assert_eq!(json!(all.text().lines().count()), head["position"]);
}
