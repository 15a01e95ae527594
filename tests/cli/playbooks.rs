//! The operators' playbooks, typed into a shell as they are written.

use std::sync::Arc;

use metarecord::clock::Clock;
use metarecord::content::local::LocalStore;
use metarecord::disk::RealDisk;
use metarecord::domain::org::{MemberRole, OrgEvent};
use metarecord::domain::{Event, OrgCode, StreamId};
use serde_json::{Value, json};

use super::ops::{AppState, PENDING_SHORT, SWEEP, text};
use crate::ops::world::within_directory;
use crate::support::{Server, eventually};

const SCHEDULE: &str = r#"g3n ops maintenance-schedule --secret-code $CODE --description "..." --duration 3600 --start "2026-03-01T02:00:00Z""#;
const START: &str = "g3n ops maintenance-start --secret-code $CODE --maintenance-id $ID";
const UPDATE: &str = r#"g3n ops maintenance-update --secret-code $CODE --text "Phase 1 complete""#;
const END: &str = r#"g3n ops maintenance-end --secret-code $CODE --end-message "Complete""#;
const ALL_DRY: &str = r#"g3n ops vacuum-all --secret-code $CODE --reason "Reset" --confirmation-phrase "VACUUM ALL DATA PERMANENTLY" --dry-run"#;
const STATUS: &str = "g3n ops vacuum-status --vacuum-id $VID";
const ALL: &str = r#"g3n ops vacuum-all --secret-code $CODE --reason "Reset" --confirmation-phrase "VACUUM ALL DATA PERMANENTLY""#;
const CANCEL: &str = "g3n ops vacuum-cancel --secret-code $CODE --vacuum-id $VID";
const ORG_DRY: &str =
    r#"g3n ops vacuum-org --secret-code $CODE --orgcode TESTORG --reason "Cleanup" --dry-run"#;

/// Every operators' line of the product's documents, word for word.
pub(super) const PLAYBOOKS: &[&str] = &[
    SCHEDULE, START, UPDATE, END, ALL_DRY, STATUS, ALL, CANCEL, ORG_DRY,
];

/// A line that destroys something as a program runs it, which has no terminal to be asked at.
fn unasked(line: &str) -> String {
    format!("{line} --yes")
}

const GET: &str = "g3n ops maintenance-get --maintenance-id $ID";

/// From the start of a window to its end. Returns it as it was when it was started.
fn carried_through(app: &AppState, id: &str) -> Value {
    let started = app.about(START, "ID", id);
    assert_eq!(started["status"], "active");
    let kept_out = app.run("g3n mrs list", &[]);
    assert_eq!(kept_out.refusal(), (8, "maintenance-mode".to_owned()));
    let updated = app.run(UPDATE, &[]).data();
    assert_eq!(updated["updates"][0]["text"], "Phase 1 complete");
    let ping = app.run("g3n ops ping", &[]).data();
    assert_eq!(ping["maintenance"]["updates"], updated["updates"]);
    let ended = app.run(END, &[]).data();
    assert_eq!(
        (&ended["status"], &ended["end_message"]),
        (&json!("ended"), &json!("Complete"))
    );
    assert_eq!(app.about(GET, "ID", id), ended);
    eventually("tenants are served again", || {
        app.run("g3n mrs list", &[]).code == 0
    });
    started
}

/// The playbook's line for a window that begins now: the date in it has long passed, and would be refused as a slip.
fn schedule(app: &AppState) -> Value {
    let slip = app.run(SCHEDULE, &[]);
    assert_eq!(slip.refusal(), (1, "invalid-input".to_owned()));
    let now = Clock::system().now().to_string();
    let line = SCHEDULE.replace("2026-03-01T02:00:00Z", &now);
    app.run(&line, &[]).data()
}

/// The sweep starts the window as soon as it looks: before the line that starts it, or after.
#[test]
fn the_maintenance_playbook_works_as_written() {
    let app = AppState::open(&[SWEEP]);
    let id = text(&schedule(&app), "maintenance_id");
    carried_through(&app, &id);

    let id = text(&schedule(&app), "maintenance_id");
    eventually("the sweep starts the window", || {
        app.about(GET, "ID", &id)["status"] == "active"
    });
    let swept = app.about(GET, "ID", &id);
    assert_eq!(swept["start_source"], "sweep");
    assert_eq!(
        carried_through(&app, &id),
        swept,
        "to start it again changes nothing"
    );
    let events = ["scheduled", "started", "updated", "ended"];
    assert_eq!(
        app.audited(&format!("--maintenance-id {id}")),
        events.map(|event| format!("maintenance.{event}"))
    );
}

/// Looks again and again, as the playbook says, until a vacuum has come to its end.
fn monitored(app: &AppState, vacuum_id: &str) -> Value {
    let mut vacuum = json!(null);
    eventually("the vacuum is over", || {
        vacuum = app.about(STATUS, "VID", vacuum_id);
        vacuum["finished_at"].is_string()
    });
    assert_eq!(vacuum["status"], "completed", "{vacuum}");
    vacuum
}

#[test]
fn the_playbook_for_all_data_works_as_written() {
    let app = AppState::open(&[PENDING_SHORT, SWEEP]);
    app.put("DEMO", "notes", "n-1");
    let dry = text(&app.run(ALL_DRY, &[]).data(), "vacuum_id");
    let dry = monitored(&app, &dry);
    assert_eq!(dry["services"][0]["items"], 1);
    assert_eq!(app.records().as_array().map(Vec::len), Some(1));
    let real = text(&app.run(&unasked(ALL), &[]).data(), "vacuum_id");
    let real = monitored(&app, &real);
    assert_eq!(real["totals"], dry["totals"]);
    eventually("the development org is there again", || {
        app.run("g3n mrs list", &[]).code == 0
    });
    assert_eq!(app.records(), json!([]));
}

/// With the five minutes of the playbook.
#[test]
fn a_vacuum_keeps_others_out_until_it_is_cancelled_as_written() {
    let app = AppState::open(&[SWEEP]);
    let vacuum = app.run(&unasked(ALL), &[]).data();
    let id = text(&vacuum, "vacuum_id");
    assert_eq!(app.about(STATUS, "VID", &id)["status"], "pending");
    for line in [
        &*unasked(ALL),
        ALL_DRY,
        "g3n ops vacuum-org --secret-code $CODE --orgcode DEMO --reason r --yes",
    ] {
        let locked = app.run(line, &[]).refusal();
        assert_eq!(locked, (6, "vacuum-mutex-locked".to_owned()), "{line}");
    }
    let cancelled = app.about(CANCEL, "VID", &id);
    assert_eq!(cancelled["status"], "cancelled");
    let again = app.run(CANCEL, &[("VID", &id)]);
    assert_eq!(again.refusal(), (6, "invalid-state".to_owned()));
    let dry = text(&app.run(ALL_DRY, &[]).data(), "vacuum_id");
    monitored(&app, &dry);
}

/// A stopped development server's directory, to which the org of the playbook was added, with the developer as its owner.
fn with_org(org: &str) -> tempfile::TempDir {
    let files = tempfile::tempdir().expect("a directory");
    let dir = files.path().join("data");
    let mut server = Server::start_in(&dir, &[]);
    let facts = std::fs::read(dir.join("dev.json")).expect("dev.json is there");
    let facts: Value = serde_json::from_slice(&facts).expect("dev.json is JSON");
    assert_eq!(server.end("TERM"), Some(0));
    let org = OrgCode::parse(org).expect("an orgcode");
    let owner = OrgEvent::MemberAdded {
        user_id: text(&facts, "user_id"),
        role: MemberRole::Owner,
    };
    let content = LocalStore::open(Arc::new(RealDisk), &dir.join("content"));
    let content = Arc::new(content.expect("it opens"));
    within_directory(&dir, content, Clock::system(), move |world| {
        world.make_org(&org);
        world.append(StreamId::org(&org), Event::Org(owner));
    });
    files
}

#[test]
fn the_org_vacuum_playbook_erases_only_that_org() {
    let app = AppState::open_in(with_org("TESTORG"), &[PENDING_SHORT, SWEEP]);
    let theirs = "g3n mrs list --orgcode TESTORG --status all";
    app.put("TESTORG", "notes", "t-1");
    app.put("TESTORG", "notes", "t-2");
    app.put("DEMO", "notes", "n-1");
    let others = app.records();
    let dry = text(&app.run(ORG_DRY, &[]).data(), "vacuum_id");
    let dry = monitored(&app, &dry);
    assert_eq!(
        (&dry["orgcode"], &dry["services"][0]["items"]),
        (&json!("TESTORG"), &json!(2))
    );
    let there = app.run(theirs, &[]).data();
    assert_eq!(there["items"].as_array().map(Vec::len), Some(2));

    let line = unasked(&ORG_DRY.replace(" --dry-run", ""));
    let real = text(&app.run(&line, &[]).data(), "vacuum_id");
    let real = monitored(&app, &real);
    assert_eq!(real["totals"], dry["totals"]);
    for line in [theirs, ORG_DRY] {
        let gone = app.run(line, &[]).refusal();
        assert_eq!(gone, (5, "not-found".to_owned()), "{line}");
    }
    assert_eq!(app.records(), others);
}
