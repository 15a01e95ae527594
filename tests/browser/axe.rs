//! What axe-core finds wrong with a page for people who cannot see it, or not well. `tests/tools.sh` fetches it; it is no part of
//! this repository.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::driver::Browser;

/// The version that `tests/tools.sh` fetches.
const VERSION: &str = "4.14.1";
/// The rules of WCAG 2.2, levels A and AA.
const RULES: [&str; 6] = [
    "wcag2a",
    "wcag2aa",
    "wcag21a",
    "wcag21aa",
    "wcag22aa",
    "best-practice",
];

/// Where it is.
fn script() -> PathBuf {
    let program = std::env::current_exe().expect("this program");
    let target = program.ancestors().nth(3).expect("target");
    target.join(format!("tools/axe-core-{VERSION}/axe.min.js"))
}

/// What it finds of serious or critical impact on the page that is open, a line each; rules in `excepted` are not applied. None,
/// after a line that says so, where axe-core is not.
pub(crate) fn serious(browser: &Browser, excepted: &[&str]) -> Option<Vec<String>> {
    let Ok(axe) = std::fs::read_to_string(script()) else {
        let strict = std::env::var("STRICT").is_ok_and(|strict| strict == "1");
        assert!(
            !strict,
            "axe-core {VERSION} is not here; tests/tools.sh fetches it"
        );
        let skipped = "SKIP: axe-core is not here; tests/tools.sh fetches it\n";
        let _: std::io::Result<()> = std::io::stderr().write_all(skipped.as_bytes());
        return None;
    };
    browser.script(&axe, &[]);
    let off: serde_json::Map<String, Value> = excepted
        .iter()
        .map(|rule| ((*rule).to_owned(), json!({"enabled": false})))
        .collect();
    let options = json!({"resultTypes": ["violations"], "runOnly": RULES, "rules": off});
    let found = browser.script(
        "return axe.run(document, arguments[0]).then((found) => found.violations)",
        &[options],
    );
    let serious =
        |violation: &&Value| violation["impact"] == "serious" || violation["impact"] == "critical";
    let found = found.as_array().expect("a list of violations");
    let lines = found.iter().filter(serious).map(|violation| {
        let nodes = violation["nodes"].as_array().expect("nodes");
        let first: Vec<_> = nodes
            .iter()
            .take(5)
            .map(|node| node["target"].to_string())
            .collect();
        format!(
            "{} ({}) {} times, such as {}",
            violation["id"],
            violation["impact"],
            nodes.len(),
            first.join(" ")
        )
    });
    Some(lines.collect())
}
