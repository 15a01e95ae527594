//! The files of `deploy/` about metrics: sound, and made of metrics that there are.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::story::RULES;
use super::{families, family_of, file, promtool, satisfied, scrape};
use crate::support::{Server, eventually};

const DASHBOARD: &str = "deploy/grafana/dashboard.json";
/// What names of metrics begin with.
const BEGINNINGS: [&str; 3] = ["metarecord_", "http_server_", "process_"];

fn read(path: &str) -> String {
    std::fs::read_to_string(file(path)).expect(path)
}

/// Words of expressions that look like metrics.
fn names(expressions: &str) -> BTreeSet<String> {
    let words = expressions.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let metrics = words.filter(|word| BEGINNINGS.iter().any(|begin| word.starts_with(begin)));
    metrics.map(str::to_owned).collect()
}

/// Every expression of a dashboard.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "expr" => found.push(text.clone()),
                    other => expressions(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_rules_their_tests_and_the_example_are_sound() {
    let path = |path: &str| file(path).to_str().expect("text").to_owned();
    satisfied(&mut promtool(&["check", "rules", &path(RULES)]));
    satisfied(&mut promtool(&[
        "test",
        "rules",
        &path("deploy/prometheus/alerts_test.yml"),
    ]));
    // The file of the token lies where the server is.
    satisfied(&mut promtool(&[
        "check",
        "config",
        "--syntax-only",
        &path("deploy/prometheus/prometheus.yml"),
    ]));
}

#[test]
fn a_rule_that_is_not_what_its_test_says_is_seen() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    for name in ["alerts.yml", "alerts_test.yml"] {
        let text = read(&format!("deploy/prometheus/{name}"));
        let text = text.replace(
            "metarecord_journal_writable == 0",
            "metarecord_journal_writable == 2",
        );
        std::fs::write(scratch.path().join(name), text).expect("written");
    }
    let test = scratch.path().join("alerts_test.yml");
    let output = promtool(&["test", "rules", test.to_str().expect("text")]).output();
    let output = output.expect("promtool runs");
    assert!(!output.status.success());
}

#[test]
fn every_alert_has_severity_advice_and_a_test_of_its_text() {
    let rules = read(RULES);
    let tests = read("deploy/prometheus/alerts_test.yml");
    let alerts: Vec<_> = rules.split("- alert: ").skip(1).collect();
    assert_eq!(alerts.len(), 21);
    for alert in alerts {
        let name = alert.lines().next().expect("a name").trim();
        let mut kebab = String::new();
        for c in name.chars() {
            if c.is_ascii_uppercase() && !kebab.is_empty() {
                kebab.push('-');
            }
            kebab.push(c.to_ascii_lowercase());
        }
        for part in ["severity: ", "summary: ", "description: "] {
            assert!(alert.contains(part), "{name}: {part}");
        }
        let runbook = format!("runbook: docs/runbook.md#alert-{kebab}\n");
        assert!(alert.contains(&runbook), "{name}: {runbook}");
        assert!(tests.contains(&format!("alertname: {name}\n")), "{name}");
    }
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
    let server = Server::start_secured();
    server
        .invoke("jobs_run", &json!({"job": "projection-check"}))
        .data();
    eventually("the job has run", || {
        scrape(&server)
            .contains("metarecord_job_last_success_seconds{job_name=\"projection-check\"}")
    });
    let families = families(&scrape(&server));
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("it is JSON");
    let mut asked = Vec::new();
    expressions(&dashboard, &mut asked);
    assert!(asked.len() > 20, "{}", asked.len());
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    let shown = names(&asked.join("\n"));
    for name in shown.iter().chain(&names(&read(RULES))) {
        assert!(family_of(name, &families).is_some(), "{name}");
    }
    // What is counted can be seen.
    let unseen: Vec<_> = families
        .keys()
        .filter(|family| {
            !shown
                .iter()
                .any(|name| family_of(name, &families).as_ref() == Some(family))
        })
        .collect();
    let expected = [
        "metarecord_maintenance_check_age_max_seconds",
        "process_start_time_seconds",
    ];
    assert_eq!(unseen, expected);
}
