//! What the server counts: its text, its documentation, the alerts and the dashboard made of it.

mod alerts;
mod deployed;
mod story;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::Server;

/// A file of this repository.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Prometheus' own checker, from the PATH or from where `tests/tools.sh` puts it.
fn promtool(arguments: &[&str]) -> Command {
    let ours = file("target/tools/usr/bin/promtool");
    let mut command = match ours.exists() {
        true => Command::new(ours),
        false => Command::new("promtool"),
    };
    command.args(arguments);
    command
}

/// Runs it; panics with what it says when it finds fault.
fn satisfied(command: &mut Command) -> Output {
    let output = command
        .output()
        .expect("promtool runs; tests/tools.sh gets it");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// What a server tells at `/metrics`.
pub(crate) fn scrape(server: &Server) -> String {
    let answer = server.metrics();
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.bytes).expect("text")
}

/// Every series of a text with its value: `name{labels}`.
fn series(text: &str) -> BTreeMap<&str, f64> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            (series, value.parse().expect("a number"))
        })
        .collect()
}

/// One value.
pub(crate) fn value(text: &str, name: &str) -> f64 {
    let found = series(text).get(name).copied();
    found.unwrap_or_else(|| panic!("{name} is not in\n{text}"))
}

/// A family of a text.
#[derive(Debug, Default, PartialEq, Eq)]
struct Family {
    kind: String,
    labels: BTreeSet<String>,
}

/// The families of a text.
fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a type");
        let family = Family {
            kind: kind.to_owned(),
            labels: BTreeSet::new(),
        };
        assert!(families.insert(name.to_owned(), family).is_none(), "{name}");
    }
    for series in series(text).keys() {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let family = family_of(name, &families).expect("a family of that name");
        let names = labels
            .split(',')
            .filter_map(|label| label.split_once("=\""));
        let names = names.map(|(name, _)| name.to_owned());
        let family = families.get_mut(&family).expect("it is there");
        family.labels.extend(names.filter(|name| name != "le"));
    }
    families
}

/// The family that a series' name belongs to.
fn family_of(name: &str, families: &BTreeMap<String, Family>) -> Option<String> {
    let parts = ["_bucket", "_sum", "_count"];
    let histogram = parts.iter().find_map(|part| name.strip_suffix(part));
    let histogram = histogram.filter(|name| {
        let family = families.get(*name);
        family.is_some_and(|family| family.kind == "histogram")
    });
    let name = histogram.unwrap_or(name);
    families.contains_key(name).then(|| name.to_owned())
}
