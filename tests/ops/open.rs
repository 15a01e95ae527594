//! Failing open: what cannot be known of maintenance keeps nobody out, and is counted and told.

use std::sync::Arc;

use metarecord::clock::{Clock, Stopwatch};
use metarecord::content::local::LocalStore;
use metarecord::disk::RealDisk;
use metarecord::domain::Timestamp;
use metarecord::domain::maintenance::MaintenanceCommand;
use metarecord::projections::{Projection, Store, ops};
use serde_json::{Value, json};

use super::world::{Standing, WATCH_AGE_MS_MAX};
use crate::support::inside::{Inside, START_MS};
use crate::support::{Server, eventually};

/// Bytes that are no row of anything.
const GARBAGE: &[u8] = &[0xff; 40];

/// Overwrites every row of the operators' projection.
pub(crate) fn spoil(store: &Store) {
    let prefix = ops::Operations.prefix();
    let rows = store.scan(vec![prefix], &[prefix]);
    let keys: Vec<_> = rows.map(|row| row.expect("it can be read").0).collect();
    assert!(!keys.is_empty(), "there is something to spoil");
    let writes = keys
        .iter()
        .map(|key| (key.to_vec(), Some(GARBAGE.to_vec())));
    store.write(&mut writes.collect()).expect("written");
    assert!(ops::windows(store).is_err(), "the windows cannot be read");
}

fn failures(server: &Inside) -> u64 {
    let stat = server.get("/ops/stat").data();
    stat["maintenance_check_failures"]
        .as_u64()
        .expect("a count")
}

#[test]
fn tenants_are_served_while_the_windows_cannot_be_read() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut server = Inside::start(scratch.path());
    server.put("notes", "n-1", &json!(1));
    let start = Timestamp::from_millis(START_MS).to_string();
    let body = json!({"description": "d", "duration": 3600, "start": start});
    server.invoke("ops_maintenance_schedule", body).data();
    let read = "/mrs/record?orgcode=demo&container=notes&record_id=n-1";
    eventually("tenants are kept out", || server.get(read).status == 503);
    assert_eq!(failures(&server), 0);
    server.stop();
    {
        let store =
            Store::open(&scratch.path().join("projections/current"), 1 << 20).expect("it opens");
        spoil(&store);
    }
    let mut server = Inside::start(scratch.path());
    assert_eq!(server.get(read).data()["content"], 1);
    server.put("notes", "n-2", &json!(2));
    let before = failures(&server);
    assert!(before > 0);
    eventually("the counter goes on", || failures(&server) > before);
    // What operators ask is refused openly, and not decided on what cannot be known.
    let end = server.invoke("ops_maintenance_end", json!({}));
    assert_eq!(
        end.refusal(),
        (500, "internal-error".to_owned(), String::new())
    );
    let told = end.json()["error"].to_string();
    let request_id = end.header("x-request-id").expect("a request id");
    assert!(told.contains(request_id) && !told.contains("row"), "{told}");
    let ping = server.get("/ops/ping").data();
    assert_eq!(ping["maintenance"]["active"], false);
    server.stop();
    // The journal knows it still.
    std::fs::remove_dir_all(scratch.path().join("projections")).expect("removed");
    let server = Inside::start(scratch.path());
    eventually("tenants are kept out again", || {
        server.get(read).status == 503
    });
    assert_eq!(failures(&server), 0);
}

#[test]
fn the_server_says_that_it_failed_open_and_what_to_do() {
    let mut server = Server::start();
    let body = json!({"description": "d", "duration": 60, "start": "2100-01-01T00:00:00Z",
        "secret_code": server.secret_code});
    server.invoke("ops_maintenance_schedule", &body).data();
    server.end("TERM");
    spoil(&Store::open(&server.dir.join("projections/current"), 1 << 20).expect("it opens"));
    let mut again = Server::start_in(&server.dir, &[]);
    eventually("the counter moves", || {
        let stat = again.get("/ops/stat", &[]).data();
        stat["maintenance_check_failures"].as_u64() > Some(0)
    });
    again.end("TERM");
    let told = again.told();
    let line = told
        .lines()
        .find(|line| line.contains("maintenance_unknown"));
    let line: Value = serde_json::from_str(line.expect("an event")).expect("it is JSON");
    assert_eq!(line["outcome"], "failed_open");
    assert!(
        line["hint"]
            .as_str()
            .expect("a hint")
            .contains("g3n journal rebuild")
    );
    let lines = told
        .lines()
        .filter(|line| line.contains("maintenance_unknown"));
    assert_eq!(lines.count(), 1, "it is told once, not each time");
}

#[test]
fn what_is_known_of_an_active_window_is_believed_for_a_while_and_no_longer() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let content = LocalStore::open(Arc::new(RealDisk), &scratch.path().join("content"));
    let content = Arc::new(content.expect("it opens"));
    let now = Timestamp::from_millis(START_MS);
    let standing = Standing::start(scratch.path(), content, Clock::manual(now));
    let world = &standing.world;
    world.operations.start();
    let schedule = MaintenanceCommand::Schedule {
        maintenance_id: "w".to_owned(),
        description: "d".to_owned(),
        duration_seconds: 60,
        start: now,
    };
    world.maintain(schedule).expect("scheduled");
    let watch = world.operations.watch();
    eventually("the window is active", || watch.active().is_some());
    let since = Stopwatch::start();
    spoil(&world.deps.store);
    let before = watch.failures();
    eventually("reads fail", || watch.failures() > before);
    eventually("nobody is kept out any more", || watch.active().is_none());
    assert!(since.millis() + WATCH_AGE_MS_MAX / 4 + 1_000 >= WATCH_AGE_MS_MAX);
}
