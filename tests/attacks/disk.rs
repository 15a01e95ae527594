//! A tenant, or another program, takes the server's disk.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use metarecord::domain::Md5;
use serde_json::{Value, json};

use crate::support::small_disk::SmallDisk;
use crate::support::wire::Wire;
use crate::support::{Got, Server, eventually};

/// A mark that no disk is above.
const NEVER: &str = "18446744073709551615";
const MIB: usize = 1024 * 1024;

fn disk_low() -> (u16, String, String) {
    (503, "unavailable".to_owned(), "disk-low".to_owned())
}

/// Gzip of so many bytes, about.
fn gzip(bytes: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(&vec![7; bytes]).expect("in memory");
    encoder.finish().expect("in memory")
}

fn put(server: &Server, record_id: &str) -> Got {
    server.post(
        "/mrs/record",
        &json!({"orgcode": "demo", "container": "notes", "record_id": record_id,
            "content_type": "application/json", "payload": {"of": record_id}}),
    )
}

fn read(server: &Server, record_id: &str) -> Got {
    let query = [
        ("orgcode", "demo"),
        ("container", "notes"),
        ("record_id", record_id),
    ];
    server.get("/mrs/record", &query)
}

fn presign(server: &Server, record_id: &str, gz: &[u8]) -> Got {
    server.post(
        "/mrs/record",
        &json!({"orgcode": "demo", "container": "blobs", "record_id": record_id,
            "content_type": "text/plain", "mode": "presign", "size": gz.len(),
            "content_md5": Md5::of(gz).to_string()}),
    )
}

fn upload_url(promise: &Value) -> &str {
    promise["upload"]["url"].as_str().expect("an upload url")
}

fn tag(server: &Server, revision: u64) -> Got {
    server.post(
        "/mrs/tag/add",
        &json!({"orgcode": "demo", "container": "notes", "record_id": "n-1",
            "tags": [format!("t{revision}")], "expected_revision": revision}),
    )
}

/// Signs in as a user that operators make.
fn sign_in(server: &Server) {
    let (email, passcode) = ("ann@example.com", "a passcode that is long");
    let made = json!({"email": email, "passcode": passcode});
    // There from an earlier sign-in, or new.
    server.invoke("uas_user_create", &made);
    let session = server.post("/usm/session/create", &made);
    assert!(session.data()["session_guid"].is_string());
}

fn set_status(server: &Server, status: &str) {
    let set = json!({"orgcode": "demo", "status": status});
    server.invoke("ofm_org_status_set", &set).data();
}

fn metric(server: &Server, name: &str) -> f64 {
    let url = format!("{}/metrics", server.operator_url);
    let token = format!("Bearer {}", server.operator_token);
    let text = server.get_url(&url, &[("authorization", &token)]).bytes;
    let text = String::from_utf8(text).expect("text");
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.expect(name).parse().expect("a number")
}

fn uploads(server: &Server) -> f64 {
    metric(server, "metarecord_transfers_active{direction=\"upload\"}")
}

#[test]
fn below_the_first_mark_uploads_and_puts_are_refused_and_nothing_else() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let gz = gzip(10_000);
    let mut server = Server::start_in(&dir, &[]);
    put(&server, "n-1").data();
    let promise = presign(&server, "b-1", &gz).data();
    let token = presign(&server, "b-2", &gz).data();
    let sent = server.put_url(upload_url(&token), &[("content-encoding", "gzip")], &gz);
    assert_eq!(sent.status, 200);
    assert!(server.ends());
    let low = format!("disk.uploads_min_free_bytes={NEVER}");
    let server = Server::start_in(&dir, &["--set", &low]);
    let refused = put(&server, "n-2");
    assert_eq!(refused.refusal(), disk_low());
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert_eq!(presign(&server, "b-3", &gz).refusal(), disk_low());
    // The port has changed with the server, the url's token counts.
    let (_, path) = upload_url(&promise).split_once("/content/").expect("a url");
    let url = format!("{}/content/{path}", server.base_url);
    let before = server.content_files();
    let refused = server.put_url(&url, &[("content-encoding", "gzip")], &gz);
    assert_eq!(refused.refusal(), disk_low());
    assert_eq!(server.content_files(), before);
    // What was uploaded before can be completed, and small changes go on.
    let complete = json!({"orgcode": "demo", "container": "blobs", "record_id": "b-2",
        "content_token": token["content_token"], "size": gz.len(),
        "content_md5": Md5::of(&gz).to_string()});
    server.post("/mrs/record/complete", &complete).data();
    tag(&server, 1).data();
    read(&server, "n-1").data();
    sign_in(&server);
    assert_eq!(server.get("/ready", &[]).data()["disk"], "low");
    assert!((metric(&server, "metarecord_disk_level") - 1.0).abs() < f64::EPSILON);
}

#[test]
fn below_the_marks_of_free_inodes_the_same_is_refused() {
    for (mark, level) in [("uploads", "low"), ("changes", "critical")] {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let dir = scratch.path().join("data");
        let mut server = Server::start_in(&dir, &[]);
        put(&server, "n-1").data();
        assert!(server.ends());
        let few = format!("disk.{mark}_min_free_files={NEVER}");
        let server = Server::start_in(&dir, &["--set", &few]);
        assert_eq!(put(&server, "n-2").refusal(), disk_low(), "{mark}");
        assert_eq!(tag(&server, 1).status == 200, level == "low", "{mark}");
        read(&server, "n-1").data();
    }
}

#[test]
fn below_the_second_mark_tenants_change_nothing_and_operators_what_they_must() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let mut server = Server::start_in(&dir, &[]);
    put(&server, "n-1").data();
    assert!(server.ends());
    let critical = format!("disk.changes_min_free_bytes={NEVER}");
    let server = Server::start_in(&dir, &["--set", &critical]);
    for refused in [
        put(&server, "n-2"),
        tag(&server, 1),
        server.post(
            "/mrs/doom",
            &json!({"orgcode": "demo", "container": "notes", "record_id": "n-1", "expected_revision": 1}),
        ),
        server.post(
            "/usm/service_account/create",
            &json!({"orgcode": "demo", "name": "robot", "role": "mrs_reader"}),
        ),
        server.post("/ofm/org/park", &json!({"orgcode": "demo"})),
        server.get("/ready", &[]),
    ] {
        assert_eq!(refused.refusal(), disk_low());
        assert_eq!(refused.header("retry-after"), Some("60"));
    }
    read(&server, "n-1").data();
    for (path, more) in [
        ("/ofm/member/list", json!({})),
        ("/usm/service_account/list", json!({})),
        ("/usm/session/list", json!({})),
    ] {
        let mut body = more;
        if path != "/usm/session/list" {
            body["orgcode"] = json!("demo");
        }
        server.post(path, &body).data();
    }
    sign_in(&server);
    set_status(&server, "suspended");
    server
        .invoke("jobs_run", &json!({"job": "abandoned-uploads"}))
        .data();
    assert!((metric(&server, "metarecord_disk_level") - 2.0).abs() < f64::EPSILON);
}

/// Begins an upload and keeps its last byte. Returns the connection.
fn hold(server: &Server, record_id: &str, gz: &[u8]) -> Wire {
    let promise = presign(server, record_id, gz).data();
    let path = upload_url(&promise).strip_prefix(&server.base_url);
    let head = format!(
        "PUT {} HTTP/1.1\r\nhost: localhost\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        path.expect("a url of this server"),
        gz.len()
    );
    let mut wire = Wire::connect(&server.base_url);
    // A server that refuses it need not take it.
    let _: std::io::Result<()> = wire.0.write_all(head.as_bytes());
    let _: std::io::Result<()> = wire.0.write_all(&gz[..gz.len() - 1]);
    wire
}

/// What the server says to a held upload before it closes the connection.
fn ended(wire: Wire) -> String {
    wire.trickle(b"", b"")
}

#[test]
fn a_vacuum_ends_uploads_that_it_has_waited_for_long_enough() {
    let impatient = [
        "--set",
        "mrs.upload_bytes_per_second_min=0",
        "--set",
        "ops.uploads_end_seconds=1",
        "--set",
        "ops.vacuum_pending_seconds=1",
    ];
    let server = Server::start_with(&impatient);
    let gz = gzip(200_000);
    let wire = hold(&server, "b-1", &gz);
    eventually("the upload is on its way", || uploads(&server) > 0.0);
    let order = json!({"orgcode": "demo", "secret_code": server.secret_code,
        "reason": "an attack"});
    let vacuum = server.invoke("ops_vacuum_org", &order).data();
    let told = ended(wire);
    assert!(
        told.contains("403 ") && told.contains("upload-ended"),
        "{told}"
    );
    eventually("the vacuum is over", || {
        let status = server.invoke("ops_vacuum_status", &json!({})).data();
        status.to_string().contains("completed")
    });
    assert_eq!(server.content_files(), [], "{vacuum}");
}

#[test]
fn an_approval_of_an_offboarding_ends_uploads_that_it_has_waited_for_long_enough() {
    let impatient = [
        "--set",
        "mrs.upload_bytes_per_second_min=0",
        "--set",
        "ops.uploads_end_seconds=1",
    ];
    let server = Server::start_with(&impatient);
    let gz = gzip(200_000);
    let wire = hold(&server, "b-1", &gz);
    eventually("the upload is on its way", || uploads(&server) > 0.0);
    let request = json!({"orgcode": "demo", "reason": "it leaves"});
    server.post("/utl/offboarding/request", &request).data();
    let approve = json!({"orgcode": "demo", "secret_code": server.secret_code});
    server.invoke("utl_offboarding_approve", &approve).data();
    let told = ended(wire);
    assert!(
        told.contains("403 ") && told.contains("upload-ended"),
        "{told}"
    );
    assert_eq!(server.content_files(), []);
}

#[test]
fn seven_uploads_that_never_end_take_nothing_from_others_on_a_small_disk() {
    let Some(disk) = SmallDisk::new(64) else {
        return;
    };
    // They are not given up because they are slow.
    let patient = ["--set", "mrs.upload_bytes_per_second_min=0"];
    let mut server = disk.serve(&patient);
    put(&server, "n-1").data();
    let gz = gzip(10 * MIB);
    let mut held = Vec::new();
    let mut refused = 0;
    for number in 0..7 {
        let mut wire = hold(&server, &format!("b-{number}"), &gz);
        wire.0.set_nonblocking(true).expect("set");
        let mut answer = [0; 4096];
        let mut answered = false;
        eventually("the upload is held or refused", || {
            answered = matches!(wire.0.read(&mut answer), Ok(1..));
            answered || uploads(&server) as usize == held.len() + 1
        });
        match answered {
            true => {
                assert!(String::from_utf8_lossy(&answer).contains("disk-low"));
                refused += 1;
            }
            false => held.push(wire),
        }
    }
    assert!(refused > 0 && held.len() > 2, "{refused} refused");
    put(&server, "n-2").data();
    read(&server, "n-1").data();
    sign_in(&server);
    set_status(&server, "suspended");
    set_status(&server, "verified");
    assert!(server.ends(), "it ends although nobody ends the uploads");
    drop(held);
    let server = disk.serve(&patient);
    read(&server, "n-2").data();
    let left = server.content_files();
    assert!(
        left.iter().all(|(_, bytes)| *bytes < MIB as u64),
        "{left:?}"
    );
    put(&server, "n-3").data();
}

#[test]
fn a_disk_that_others_filled_stops_no_stop_and_no_start_and_operators_can_act() {
    let Some(disk) = SmallDisk::new(48) else {
        return;
    };
    let reserved = ["--set", "disk.reserve_bytes=2097152"];
    let mut server = disk.serve(&reserved);
    put(&server, "n-1").data();
    eventually("the reserve is kept", || {
        metric(&server, "metarecord_disk_reserve_bytes") > 0.0
    });
    // Large ones, so that the databases too have something to write when there is no room.
    let payload = "x".repeat(100_000);
    let write = |number: usize| {
        server.post(
            "/mrs/record",
            &json!({"orgcode": "demo", "container": "notes", "record_id": format!("w-{number}"),
                "content_type": "application/json", "payload": payload}),
        )
    };
    for number in 0..20 {
        write(number).data();
    }
    disk.fill();
    eventually("changes are refused", || write(100).status == 503);
    assert!(server.ends());
    disk.fill();
    let server = disk.serve(&reserved);
    read(&server, "n-1").data();
    assert_eq!(put(&server, "n-2").refusal(), disk_low());
    assert_eq!(server.get("/ready", &[]).refusal(), disk_low());
    sign_in(&server);
    set_status(&server, "suspended");
    set_status(&server, "verified");
    disk.clear();
    eventually("changes are taken again", || {
        put(&server, "n-2").status == 200
    });
    eventually("the reserve is kept again", || {
        metric(&server, "metarecord_disk_reserve_bytes") > 0.0
    });
}
