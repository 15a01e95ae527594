//! Offboardings from the request to the end, by a clock that the test moves.

use std::path::Path;

use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::inside::{Inside, START_MS};

const HOUR_MS: i64 = 60 * 60 * 1_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const WINDOW_MS: i64 = 720 * HOUR_MS;
const ORG: &str = "ACME";

/// An org with some records, whose owner is the development user.
fn start(dir: &Path) -> Inside {
    let server = Inside::start(dir);
    let body = json!({"orgcode": ORG, "owner_email": "demo@example.com"});
    server.operator("ofm_org_create", &body).data();
    for number in 0..5 {
        put(&server, &format!("n-{number}")).data();
    }
    server.put("notes", "of-another-org", &json!(1));
    server
}

fn put(server: &Inside, id: &str) -> crate::support::Got {
    let body = json!({"orgcode": ORG, "container": "notes", "record_id": id,
        "content_type": "application/json", "payload": {"id": id}});
    server.post("/mrs/record", &body)
}

fn status(server: &Inside) -> Value {
    server
        .operator("utl_offboarding_status", &json!({"orgcode": ORG}))
        .data()
}

fn is(server: &Inside, wanted: &str) -> bool {
    status(server)["status"] == wanted
}

fn request(server: &Inside) -> Value {
    let body = json!({"orgcode": ORG, "reason": "moving house"});
    server.post("/utl/offboarding/request", &body).data()
}

fn approve(server: &Inside) -> Value {
    let body = json!({"orgcode": ORG});
    server.invoke("utl_offboarding_approve", body).data()
}

fn exported(server: &Inside) -> bool {
    status(server)["exports"][0]["status"] == "completed"
}

fn list(server: &Inside) -> crate::support::Got {
    server.get(&format!("/mrs/list?orgcode={ORG}"))
}

fn refusal(got: &crate::support::Got) -> (u16, String, String) {
    got.refusal()
}

fn no(status: u16, tag: &str, minor: &str) -> (u16, String, String) {
    (status, tag.to_owned(), minor.to_owned())
}

#[test]
fn an_org_leaves_with_its_data_and_nothing_of_it_stays_but_that_it_left() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    let asked = request(&server);
    assert_eq!(
        (&asked["status"], &asked["reason"]),
        (&json!("requested"), &json!("moving house"))
    );
    // Until it is approved the org is as it was.
    put(&server, "n-5").data();
    assert!(
        server
            .operator("utl_offboarding_list", &json!({"status": "requested"}))
            .data()["items"][0]["orgcode"]
            == ORG
    );
    let approved = approve(&server);
    assert_eq!(approved["status"], "approved");
    let end = Timestamp::from_millis(START_MS + WINDOW_MS).to_string();
    assert_eq!(approved["window_ends_at"], end);
    assert_eq!(refusal(&list(&server)), no(403, "org-read-blocked", ""));
    assert_eq!(
        refusal(&put(&server, "late")),
        no(403, "org-read-blocked", "")
    );
    let owner_sees = format!("/utl/offboarding/status?orgcode={ORG}");
    assert_eq!(server.get(&owner_sees).data()["status"], "approved");
    eventually("it is exported", || exported(&server));
    let files = server
        .get(&format!("/utl/export/list?orgcode={ORG}&limit=3"))
        .data();
    assert_eq!(files["items"][0]["name"], "manifest.json");
    assert!(files["next_token"].is_string());
    let counts = &status(&server)["exports"][0]["counts"];
    assert_eq!(
        (&counts["records"], &counts["entries"]),
        (&json!(6), &json!(7))
    );

    server.clock.advance(WINDOW_MS - 1);
    // Not one millisecond sooner: what is due is done before this is answered, as the look shows.
    assert!(is(&server, "approved"));
    server.clock.advance(1);
    eventually("it is purged", || is(&server, "purged"));
    assert_eq!(refusal(&list(&server)), no(404, "not-found", ""));
    assert_eq!(server.get("/mrs/list?orgcode=demo").status, 200);
    let vacuum = status(&server)["vacuum_id"].clone();
    let vacuum = server
        .invoke("ops_vacuum_status", json!({"vacuum_id": vacuum}))
        .data();
    assert_eq!(
        (&vacuum["status"], &vacuum["orgcode"]),
        (&json!("completed"), &json!(ORG))
    );
    // The export stays a while, for the operator to hand over; that the org left stays for good.
    let exports = scratch.path().join("exports").join(ORG);
    assert!(exports.exists());
    server.clock.advance(30 * DAY_MS - 1);
    assert!(exports.exists());
    server.clock.advance(1);
    eventually("the export is removed", || !exports.exists());
    eventually("and that is noted", || {
        status(&server)["exports"] == json!([])
    });
    assert!(is(&server, "purged"));
    assert_eq!(
        status(&server)["requested_by"].as_str().map(str::is_empty),
        Some(false)
    );
    // The code is free again.
    let body = json!({"orgcode": ORG, "owner_email": "demo@example.com"});
    server.operator("ofm_org_create", &body).data();
    put(&server, "new").data();
    assert_eq!(
        list(&server).data()["items"].as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn an_offboarding_that_is_called_off_leaves_the_org_as_it_was() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    let before = list(&server).data();
    let body = json!({"orgcode": ORG});
    let cancel = || server.post("/utl/offboarding/cancel", &body);
    assert_eq!(refusal(&cancel()), no(409, "invalid-state", ""));
    request(&server);
    let again = json!({"orgcode": ORG, "reason": "once more"});
    let twice = server.post("/utl/offboarding/request", &again);
    assert_eq!(refusal(&twice), no(409, "invalid-state", ""));
    assert_eq!(cancel().data()["status"], "cancelled");
    request(&server);
    server.post("/ofm/org/park", &body).data();
    approve(&server);
    let org = || server.operator("utl_offboarding_status", &body).data();
    assert_eq!(refusal(&list(&server)), no(403, "org-read-blocked", ""));
    // Nobody opens it by another way while it leaves.
    let open = json!({"orgcode": ORG, "status": "verified"});
    let opened = server.operator("ofm_org_status_set", &open);
    assert_eq!(
        refusal(&opened),
        no(403, "org-write-blocked", "offboarding")
    );
    assert_eq!(cancel().data()["status"], "cancelled");
    assert_eq!(
        server.post("/ofm/org/get", &body).data()["status"],
        "parked"
    );
    server.post("/ofm/org/unpark", &body).data();
    assert_eq!(list(&server).data(), before);
    put(&server, "after").data();
    server.clock.advance(2 * WINDOW_MS);
    eventually("what was exported is gone", || {
        org()["exports"] == json!([])
    });
    assert!(is(&server, "cancelled"));
    assert_eq!(list(&server).status, 200);
    let late = server.invoke("utl_offboarding_approve", body.clone());
    assert_eq!(refusal(&late), no(409, "invalid-state", ""));
}

#[test]
fn a_legal_hold_keeps_the_data_until_it_is_released() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    request(&server);
    approve(&server);
    let hold = json!({"orgcode": ORG, "container": "notes", "reason": "a suit"});
    server.operator("mrs_hold_set", &hold).data();
    eventually("it is exported", || exported(&server));
    server.clock.advance(WINDOW_MS);
    eventually("it is blocked", || status(&server)["blocked"].is_string());
    assert_eq!(
        status(&server)["blocked"],
        "a legal hold keeps the data (notes: a suit)"
    );
    server.clock.advance(DAY_MS);
    let vacuum = server.operator("ops_vacuum_status", &json!({}));
    assert_eq!(refusal(&vacuum), no(404, "not-found", ""));
    assert!(is(&server, "approved"));
    let release = json!({"orgcode": ORG, "container": "notes"});
    server.operator("mrs_hold_release", &release).data();
    server.clock.advance(HOUR_MS);
    eventually("it goes on", || is(&server, "purged"));
}

#[test]
fn somebody_elses_vacuum_is_waited_for() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    request(&server);
    approve(&server);
    eventually("it is exported", || exported(&server));
    server.clock.advance(WINDOW_MS - HOUR_MS);
    let other = json!({"orgcode": "demo", "reason": "Cleanup"});
    let other = server.invoke("ops_vacuum_org", other).data();
    // The other's pending time has not passed, and the window ends.
    server.clock.advance(299_000);
    let cancel = || {
        server.invoke(
            "ops_vacuum_cancel",
            json!({"vacuum_id": other["vacuum_id"]}),
        )
    };
    assert!(is(&server, "approved"));
    assert_eq!(cancel().data()["status"], "cancelled");
    server.clock.advance(HOUR_MS);
    eventually("it goes on", || is(&server, "purged"));
}

#[test]
fn a_restart_goes_on_and_what_came_due_meanwhile_is_done() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut server = start(scratch.path());
    request(&server);
    approve(&server);
    server.stop();
    let clock = |millis: i64| Clock::manual(Timestamp::from_millis(START_MS + millis));
    let mut server = Inside::start_by(scratch.path(), clock(HOUR_MS), &[]);
    assert_eq!(refusal(&list(&server)), no(403, "org-read-blocked", ""));
    eventually("it is exported", || exported(&server));
    server.stop();
    let server = Inside::start_by(scratch.path(), clock(WINDOW_MS), &[]);
    eventually("it is purged", || is(&server, "purged"));
}
