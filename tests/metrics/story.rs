//! What a server told over time, as Prometheus would have kept it, and which alerts are on when.
//!
//! Real texts of `/metrics` become the input of a `promtool` unit test over the real rules. Each text stands for as many
//! minutes as it is told; the server lives through them in a moment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::{file, promtool, satisfied, series};

/// The rules.
pub(super) const RULES: &str = "deploy/prometheus/alerts.yml";

/// What one server told, minute by minute.
pub(super) struct Story {
    minutes: usize,
    series: BTreeMap<String, Vec<Option<f64>>>,
    expected: Vec<Value>,
    rules: String,
    /// Alerts about the machine itself, which a test may be run on in any state.
    beside: &'static str,
}

impl Story {
    /// One that has not begun. The disk is this machine's own, and no matter of it.
    pub(super) fn new() -> Self {
        let mut story = Self::of_the_disk_too();
        story.beside = ",alertname!~\"MetarecordDisk.*\"";
        story
    }

    /// The same where the disk is one of the test's own making.
    pub(super) fn of_the_disk_too() -> Self {
        Self {
            minutes: 0,
            series: BTreeMap::new(),
            expected: Vec::new(),
            rules: std::fs::read_to_string(file(RULES)).expect("the rules are there"),
            beside: "",
        }
    }

    /// A text was scraped, and the same for so many minutes.
    pub(super) fn told(&mut self, text: &str, minutes: usize) {
        for (name, value) in series(text) {
            let family = name.split('{').next().unwrap_or_default();
            if !self.rules.contains(family) {
                continue;
            }
            let values = self.series.entry(name.to_owned()).or_default();
            values.resize(self.minutes, None);
            values.extend(std::iter::repeat_n(Some(value), minutes));
        }
        self.up(1.0, minutes);
    }

    /// There was nobody to be scraped.
    pub(super) fn down(&mut self, minutes: usize) {
        self.up(0.0, minutes);
    }

    fn up(&mut self, value: f64, minutes: usize) {
        let values = self.series.entry("up".to_owned()).or_default();
        values.extend(std::iter::repeat_n(Some(value), minutes));
        self.minutes += minutes;
    }

    /// At this minute exactly these alerts are on.
    pub(super) fn firing(&mut self, alerts: &[&str]) {
        let beside = self.beside;
        let expression = format!("group by (alertname) (ALERTS{{alertstate=\"firing\"{beside}}})");
        let alerts: BTreeSet<_> = alerts.iter().collect();
        let samples: Vec<_> = alerts
            .iter()
            .map(|alert| json!({"labels": format!("{{alertname=\"{alert}\"}}"), "value": 1}))
            .collect();
        let minute = self.minutes.checked_sub(1).expect("something was told");
        self.expected.push(
            json!({"expr": expression, "eval_time": format!("{minute}m"), "exp_samples": samples}),
        );
    }

    /// Has `promtool` see whether it is so.
    pub(super) fn check(&self) {
        let mut input = Vec::new();
        for (name, values) in &self.series {
            let told = values.iter().chain(std::iter::repeat(&None));
            let told = told.take(self.minutes).map(|value| match value {
                Some(value) => value.to_string(),
                None => "_".to_owned(),
            });
            let told: Vec<_> = told.collect();
            input.push(json!({"series": labelled(name), "values": told.join(" ")}));
        }
        let test = json!({
            "rule_files": [file(RULES)],
            "evaluation_interval": "1m",
            "tests": [{"interval": "1m", "input_series": input, "promql_expr_test": self.expected}],
        });
        let scratch = tempfile::tempdir().expect("a temporary directory");
        // JSON is YAML.
        let path = scratch.path().join("story.yml");
        std::fs::write(&path, test.to_string()).expect("written");
        run(&path);
    }
}

fn run(path: &Path) {
    let path = path.to_str().expect("a path that is text");
    satisfied(&mut promtool(&["test", "rules", path]));
}

/// A series as Prometheus keeps it: with the job and the instance it was scraped from.
fn labelled(series: &str) -> String {
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let comma = if labels == "}" { "" } else { "," };
    format!("{name}{{job=\"metarecord\",instance=\"test\"{comma}{labels}")
}
