//! `docs/emergency/shown.md`: each promise of the pages for emergencies is one of theirs, and what shows it is there.

use std::collections::BTreeMap;
use std::path::Path;

use super::page::root;

const PAGES: &str = "docs/emergency";
/// The page of proofs, and the one that lists the others.
const NO_EMERGENCIES: [&str; 2] = ["README.md", "shown.md"];
const COSTS: &str = "**What it costs.**";

/// A page's text with its white space made even.
fn even(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The promises by page, each with what shows it.
fn promises() -> BTreeMap<String, Vec<(String, String)>> {
    let page = std::fs::read_to_string(root().join(PAGES).join("shown.md")).expect("the page");
    let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| [")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [named, promise, shown] = cells[..] else {
            panic!("no three cells: {line}");
        };
        let (_, file) = named.split_once("](").expect("a link");
        let row = (promise.to_owned(), shown.to_owned());
        found
            .entry(file.trim_end_matches(')').to_owned())
            .or_default()
            .push(row);
    }
    found
}

fn emergencies() -> Vec<String> {
    let files = std::fs::read_dir(root().join(PAGES)).expect("pages");
    let names = files.map(|file| {
        file.expect("a page")
            .file_name()
            .to_string_lossy()
            .into_owned()
    });
    names
        .filter(|name| !NO_EMERGENCIES.contains(&name.as_str()))
        .collect()
}

#[test]
fn each_promise_of_what_an_emergency_costs_is_shown() {
    let promises = promises();
    for name in emergencies() {
        let rows = promises
            .get(&name)
            .unwrap_or_else(|| panic!("{name} has no promise"));
        let page = even(&root().join(PAGES).join(&name));
        for (promise, _) in rows {
            assert!(
                page.contains(promise.as_str()),
                "{name} does not say: {promise}"
            );
        }
        let Some((_, costs)) = page.split_once(COSTS) else {
            continue;
        };
        let costs = costs
            .split_once(" **What")
            .map_or(costs, |(costs, _)| costs);
        let shown = rows
            .iter()
            .filter(|(promise, _)| costs.contains(promise.as_str()))
            .count();
        assert!(shown > 0, "{name}: nothing of what it costs is shown");
    }
    assert_eq!(promises.len(), emergencies().len(), "a page that is none");
}

#[test]
fn what_shows_a_promise_of_an_emergency_is_there() {
    let script = std::fs::read_to_string(root().join("tests/emergencies.sh")).expect("the script");
    let sources = sources(&root().join("tests")) + &sources(&root().join("src"));
    for (page, rows) in promises() {
        for (promise, shown) in rows {
            if shown == "the same" {
                continue;
            }
            let names: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
            assert!(!names.is_empty(), "{page}: {promise}");
            for name in names {
                let is_there = name == "tests/emergencies.sh"
                    || script.contains(name)
                    || sources.contains(&format!("fn {name}("));
                assert!(is_there, "{page}: {promise}: there is no {name}");
            }
        }
    }
}

/// The text of every source below a directory.
fn sources(directory: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(directory).expect("sources") {
        let path = entry.expect("a source").path();
        if path.is_dir() {
            text.push_str(&sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).expect("text"));
        }
    }
    text
}
