//! The operators' playbooks, typed into a shell as they are written.

use std::sync::Arc;

use metarecord::clock::Clock;
use metarecord::content::local::LocalStore;
use metarecord::disk::RealDisk;
use metarecord::domain::org::{MemberRole, OrgEvent};
use metarecord::domain::{Event, OrgCode, StreamId};
use serde_json::{Value, json};

use super::ops::{House, PENDING_SHORT, SWEEP, text};
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

const GET: &str = "g3n ops maintenance-get --maintenance-id $ID";

/// From the start of a window to its end. Returns it as it was when it was started.
fn carried_through(house: &House, id: &str) -> Value {
    let started = house.about(START, "ID", id);
    assert_eq!(started["status"], "active");
    let kept_out = house.run("g3n mrs list", &[]);
    assert_eq!(kept_out.refusal(), (8, "maintenance-mode".to_owned()));
    let updated = house.run(UPDATE, &[]).data();
    assert_eq!(updated["updates"][0]["text"], "Phase 1 complete");
    let ping = house.run("g3n ops ping", &[]).data();
    assert_eq!(ping["maintenance"]["updates"], updated["updates"]);
    let ended = house.run(END, &[]).data();
    assert_eq!(
        (&ended["status"], &ended["end_message"]),
        (&json!("ended"), &json!("Complete"))
    );
    assert_eq!(house.about(GET, "ID", id), ended);
    eventually("tenants are served again", || {
        house.run("g3n mrs list", &[]).code == 0
    });
    started
}

/// The playbook's line for a window that begins now: the date in it has long passed, and would be refused as a slip.
fn schedule(house: &House) -> Value {
    let slip = house.run(SCHEDULE, &[]);
    assert_eq!(slip.refusal(), (1, "invalid-input".to_owned()));
    let now = Clock::system().now().to_string();
    let line = SCHEDULE.replace("2026-03-01T02:00:00Z", &now);
    house.run(&line, &[]).data()
}

/// The sweep starts the window as soon as it looks: before the line that starts it, or after.
#[test]
fn the_maintenance_playbook_works_as_written_whoever_starts_the_window() {
    let house = House::open(&[SWEEP]);
    let id = text(&schedule(&house), "maintenance_id");
    carried_through(&house, &id);

    let id = text(&schedule(&house), "maintenance_id");
    eventually("the sweep starts the window", || {
        house.about(GET, "ID", &id)["status"] == "active"
    });
    let swept = house.about(GET, "ID", &id);
    assert_eq!(swept["start_source"], "sweep");
    assert_eq!(
        carried_through(&house, &id),
        swept,
        "to start it again changes nothing"
    );
    let events = ["scheduled", "started", "updated", "ended"];
    assert_eq!(
        house.audited(&format!("--maintenance-id {id}")),
        events.map(|event| format!("maintenance.{event}"))
    );
}

/// Looks again and again, as the playbook says, until a vacuum has come to its end.
fn monitored(house: &House, vacuum_id: &str) -> Value {
    let mut vacuum = json!(null);
    eventually("the vacuum is over", || {
        vacuum = house.about(STATUS, "VID", vacuum_id);
        vacuum["finished_at"].is_string()
    });
    assert_eq!(vacuum["status"], "completed", "{vacuum}");
    vacuum
}

#[test]
fn the_playbook_for_all_data_works_as_written() {
    let house = House::open(&[PENDING_SHORT, SWEEP]);
    house.put("DEMO", "notes", "n-1");
    let dry = text(&house.run(ALL_DRY, &[]).data(), "vacuum_id");
    let dry = monitored(&house, &dry);
    assert_eq!(dry["services"][0]["items"], 1);
    assert_eq!(house.records().as_array().map(Vec::len), Some(1));
    let real = text(&house.run(ALL, &[]).data(), "vacuum_id");
    let real = monitored(&house, &real);
    assert_eq!(real["totals"], dry["totals"]);
    eventually("the development org is there again", || {
        house.run("g3n mrs list", &[]).code == 0
    });
    assert_eq!(house.records(), json!([]));
}

/// With the five minutes of the playbook.
#[test]
fn a_vacuum_keeps_others_out_until_it_is_cancelled_as_written() {
    let house = House::open(&[SWEEP]);
    let vacuum = house.run(ALL, &[]).data();
    let id = text(&vacuum, "vacuum_id");
    assert_eq!(house.about(STATUS, "VID", &id)["status"], "pending");
    for line in [
        ALL,
        ALL_DRY,
        "g3n ops vacuum-org --secret-code $CODE --orgcode DEMO --reason r",
    ] {
        let locked = house.run(line, &[]).refusal();
        assert_eq!(locked, (6, "vacuum-mutex-locked".to_owned()), "{line}");
    }
    let cancelled = house.about(CANCEL, "VID", &id);
    assert_eq!(cancelled["status"], "cancelled");
    let again = house.run(CANCEL, &[("VID", &id)]);
    assert_eq!(again.refusal(), (6, "invalid-state".to_owned()));
    let dry = text(&house.run(ALL_DRY, &[]).data(), "vacuum_id");
    monitored(&house, &dry);
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
fn the_playbook_for_an_org_works_as_written_and_leaves_the_others_alone() {
    let house = House::open_in(with_org("TESTORG"), &[PENDING_SHORT, SWEEP]);
    let theirs = "g3n mrs list --orgcode TESTORG --status all";
    house.put("TESTORG", "notes", "t-1");
    house.put("TESTORG", "notes", "t-2");
    house.put("DEMO", "notes", "n-1");
    let others = house.records();
    let dry = text(&house.run(ORG_DRY, &[]).data(), "vacuum_id");
    let dry = monitored(&house, &dry);
    assert_eq!(
        (&dry["orgcode"], &dry["services"][0]["items"]),
        (&json!("TESTORG"), &json!(2))
    );
    let there = house.run(theirs, &[]).data();
    assert_eq!(there["items"].as_array().map(Vec::len), Some(2));

    let line = ORG_DRY.replace(" --dry-run", "");
    let real = text(&house.run(&line, &[]).data(), "vacuum_id");
    let real = monitored(&house, &real);
    assert_eq!(real["totals"], dry["totals"]);
    for line in [theirs, ORG_DRY] {
        let gone = house.run(line, &[]).refusal();
        assert_eq!(gone, (5, "not-found".to_owned()), "{line}");
    }
    assert_eq!(house.records(), others);
}
