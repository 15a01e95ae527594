//! Who, why and to what it belongs: every verb that changes something takes it, and the journal has it.

use clap::CommandFactory;
use metarecord::cli::Cli;
use serde_json::{Value, json};

use super::ops::{AppState, SWEEP, text};

/// What may be said of every change.
const FLAGS: [&str; 4] = ["actor", "reason", "reason-code", "correlation-id"];
/// Verbs of the services that change nothing.
const READ: &[&str] = &[
    "mrs get",
    "mrs meta",
    "mrs head",
    "mrs list",
    "mrs versions",
    "mrs history",
    "mrs watch",
    "mrs due",
    "mrs containers",
    "mrs stat",
    "usm session-validate",
    "usm session-list",
    "usm service-account-list",
    "usm api-key-list",
    "usm api-key-validate",
    "ofm org-get",
    "ofm org-list",
    "ofm member-list",
    "ofm member-resolve",
    "ofm invitation-list",
    "ofm invitation-mine",
    "ofm usage",
    "uas stat",
    "uas user-list",
    "ops ping",
    "ops stat",
    "ops maintenance-list",
    "ops maintenance-get",
    "ops vacuum-status",
    "ops vacuum-list",
    "ops metrics",
    "ops audit",
    "ops clock-status",
    "ops hold-list",
    "ops token-list",
    "ops jwt-list",
    "ops signing-key-list",
];
const SERVICES: [&str; 5] = ["mrs", "usm", "ofm", "uas", "ops"];

#[test]
fn every_verb_that_changes_something_takes_who_and_why() {
    let program = Cli::command();
    let mut read = Vec::new();
    for service in program.get_subcommands() {
        if !SERVICES.contains(&service.get_name()) {
            continue;
        }
        for verb in service.get_subcommands() {
            let name = format!("{} {}", service.get_name(), verb.get_name());
            let taken = FLAGS.map(|flag| {
                let mut arguments = verb.get_arguments();
                arguments.any(|argument| argument.get_long() == Some(flag))
            });
            match READ.contains(&name.as_str()) {
                true => read.push(name),
                false => assert_eq!(taken, [true; 4], "{name}"),
            }
        }
    }
    assert_eq!(read.len(), READ.len(), "{read:?}");
}

/// A server on which every line is run with remarks of its own, and what the journal has of them.
struct Remarked {
    app: AppState,
    said: Vec<Value>,
}

impl Remarked {
    /// Runs a line with remarks that name it.
    fn run(&mut self, line: &str) -> Value {
        let number = self.said.len();
        let remarks = json!({"actor": format!("actor-{number}"), "reason": format!("reason-{number}"),
            "reason_code": format!("code-{number}"), "correlation_id": format!("correlation-{number}")});
        let flags = format!(
            "--actor actor-{number} --reason reason-{number} --reason-code code-{number} --correlation-id correlation-{number}"
        );
        self.said.push(remarks);
        self.app.run(&format!("{line} {flags}"), &[]).data()
    }
}

#[test]
fn what_was_said_of_a_change_is_in_the_journal() {
    let mut told = Remarked {
        app: AppState::open(&[SWEEP]),
        said: Vec::new(),
    };
    let place = "--container notes --record-id n-1";
    std::fs::write(told.app.dir().join("n.json"), "1").expect("written");
    std::fs::write(told.app.dir().join("n.txt"), "text").expect("written");
    told.run(&format!("g3n mrs put {place} --inline-payload-file n.json"));
    // A promise and its completion, each with the same remarks.
    told.run("g3n mrs put --container notes --record-id o-1 --file n.txt");
    for verb in [
        "tag-add --tag A",
        "tag-remove --tag A",
        "ttl-set --doom-at 2199-01-01T00:00:00Z",
        "doom",
    ] {
        let (verb, rest) = verb.split_once(' ').unwrap_or((verb, ""));
        told.run(&format!("g3n mrs {verb} {place} {rest}"));
    }
    let code = "--secret-code $CODE";
    let plan = |description: &str| {
        format!(
            "g3n ops maintenance-schedule {code} --description {description} --duration 60 --start 2199-01-01T00:00:00Z"
        )
    };
    let (one, two) = (told.run(&plan("first")), told.run(&plan("second")));
    let named =
        |window: &Value| format!("{code} --maintenance-id {}", text(window, "maintenance_id"));
    told.run(&format!("g3n ops maintenance-start {}", named(&one)));
    told.run(&format!(
        "g3n ops maintenance-update {} --text t",
        named(&one)
    ));
    told.run(&format!("g3n ops maintenance-end {}", named(&one)));
    told.run(&format!("g3n ops maintenance-cancel {}", named(&two)));
    let vacuum = told.run(&format!("g3n ops vacuum-org {code} --orgcode DEMO --yes"));
    let id = text(&vacuum, "vacuum_id");
    told.run(&format!("g3n ops vacuum-cancel {code} --vacuum-id {id}"));
    let all = format!(
        "g3n ops vacuum-all {code} --confirmation-phrase 'VACUUM ALL DATA PERMANENTLY' --dry-run"
    );
    told.run(&all);
    told.run(&format!(
        "g3n ops secret-set {code} --new-secret-code 'another secret code'"
    ));

    let history = told
        .app
        .run("g3n journal export --data-dir data", &[])
        .text();
    for said in &told.said {
        let actor = said["actor"].to_string();
        let mut lines = history.lines().filter(|line| line.contains(&actor));
        let line = lines
            .next()
            .unwrap_or_else(|| panic!("{said} is not in the journal"));
        for remark in said.as_object().expect("remarks").values() {
            assert!(line.contains(&remark.to_string()), "{remark}: {line}");
        }
    }
    let twice = history.matches("\"actor-1\"").count();
    assert_eq!(twice, 2, "the promise and its completion");
}
