//! `docs/limits.md`: every limit there is, held against the settings, the constants and the tests it names.

use std::collections::BTreeSet;
use std::path::Path;

use metarecord::config::Settings;

/// What the name of a setting that is a limit ends with.
const ENDINGS: [&str; 3] = ["_max", "_per_second", "_burst"];
/// Settings with such a name that bound no caller: how long tokens and sessions live, what of its own it writes, and what is
/// believed of clocks and of operators' times.
const OTHERS: &[&str] = &[
    "auth.jwt_life_seconds_max",
    "identity.session_days_max",
    "log.day_bytes_max",
    "log.refusals_per_second",
    "ops.clock_jump_seconds_max",
    "ops.schedule_past_seconds_max",
];

struct Row {
    limit: String,
    default: String,
    test: String,
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string("docs/limits.md").expect("the page");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    rows.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').collect();
        let [limit, default, _, _, test] = cells[..] else {
            panic!("not five cells: {line}");
        };
        Row {
            limit: cell(limit),
            default: cell(default),
            test: cell(test),
        }
    })
    .collect()
}

/// All sources below a directory, one behind the other.
fn sources(directory: &Path, all: &mut String) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            all.push_str(&std::fs::read_to_string(&path).expect("a source"));
        }
    }
}

fn settings() -> Settings {
    Settings::load(None, std::iter::empty(), &[], &[]).expect("the defaults")
}

#[test]
fn every_limit_is_in_the_table_with_its_default_and_a_test_that_there_is() {
    let mut all = String::new();
    for directory in ["src", "tests"] {
        sources(Path::new(directory), &mut all);
    }
    let rows = rows();
    let listed: BTreeSet<_> = rows.iter().map(|row| row.limit.clone()).collect();
    assert_eq!(listed.len(), rows.len(), "a limit is listed twice");
    let settings = settings().rows();
    for setting in &settings {
        let is_limit = ENDINGS.iter().any(|ending| setting.name.ends_with(ending));
        assert!(
            !is_limit || OTHERS.contains(&setting.name) || listed.contains(setting.name),
            "{} is not in docs/limits.md",
            setting.name
        );
    }
    for row in rows {
        let test = format!("fn {}()", row.test);
        assert!(all.contains(&test), "{}: no test {}", row.limit, row.test);
        match settings.iter().find(|setting| setting.name == row.limit) {
            Some(setting) => assert_eq!(row.default, setting.value, "{}", row.limit),
            None => {
                let constant = format!("const {}: usize = {};", row.limit, row.default);
                assert!(all.contains(&constant), "{constant}");
            }
        }
    }
}

#[test]
fn the_journals_queue_has_room_for_all_requests() {
    let settings = settings();
    assert!(settings.journal.queue_max > settings.http.requests_in_flight_max);
}
