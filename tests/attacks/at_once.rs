//! What one org does at once: requests, uploads and downloads, each up to the limit that an operator has set for it.

use std::io::{Read, Write};

use serde_json::{Value, json};

use super::quota::{at_once, of, put as put_record, set};
use super::share::{
    active, begin_download, begin_upload, downloadable, gzip, large, metric, presign, put,
    somebody, upload_url,
};
use crate::support::{Got, Server, eventually};

/// Holds a refusal to what it has to say of a quota with a limit of 1.
fn is_exceeded(got: &Got, quota: &str) {
    let wanted = (429, "quota-exceeded".to_owned(), quota.to_owned());
    assert_eq!(got.refusal(), wanted, "{:?}", got.json());
    assert_eq!(got.header("retry-after"), Some("1"));
    let details = &got.json()["error"]["details"];
    assert_eq!(
        (&details["limit"], &details["value"], &details["used"]),
        (&json!(quota), &json!(1), &json!(1))
    );
}

/// One quota of the development org, as an operator sees it.
fn seen(server: &Server, quota: &str) -> Value {
    let usage = server.invoke("ofm_usage", &json!({"orgcode": "DEMO"}));
    of(&usage.data(), quota)
}

#[test]
fn uploads_at_once_are_as_many_as_an_operator_has_set_for_the_org() {
    let server = Server::start();
    let session = server.session_guid.clone();
    let (large, gz) = (large(), gzip(b"{}"));
    let first = upload_url(&presign(&server, (&session, "demo"), "first", &large));
    let second = upload_url(&presign(&server, (&session, "demo"), "second", &gz));
    set(&server, "DEMO", &json!({"uploads_at_once": 1}));
    let mut held = None;
    eventually("the second is refused", || {
        // One that stands still for a second gives way, and that is begun again.
        let mut wire = begin_upload(&server, &first, &large);
        let _: std::io::Result<()> = wire.0.write_all(&large[..100_000]);
        held = Some(wire);
        eventually("one is there", || active(&server, "upload") >= 1.0);
        let got = put(&server, &second, &gz);
        if got.status == 429 {
            is_exceeded(&got, "uploads_at_once");
        }
        got.status == 429
    });
    let counted = "metarecord_quota_exceeded_total{quota=\"uploads_at_once\"}";
    assert!(metric(&server, counted) >= 1.0);
    // Another org has the limit of the settings.
    let other = somebody(&server, "OTHERS");
    let url = upload_url(&presign(&server, (&other, "OTHERS"), "r", &gz));
    assert_eq!(put(&server, &url, &gz).status, 200);
    // A change holds for what comes next.
    set(&server, "DEMO", &json!({"uploads_at_once": 2}));
    assert_eq!(put(&server, &second, &gz).status, 200);
    let shown = seen(&server, "uploads_at_once");
    assert_eq!(
        (&shown["limit"], &shown["limit_from"]),
        (&json!(2), &json!("org"))
    );
    set(&server, "DEMO", &json!({"uploads_at_once": null}));
    let shown = seen(&server, "uploads_at_once");
    assert_eq!(
        (&shown["limit"], &shown["limit_from"]),
        (&json!(16), &json!("settings"))
    );
    drop(held);
}

#[test]
fn downloads_at_once_are_as_many_as_an_operator_has_set_for_the_org() {
    let server = Server::start_with(&["--set", "mrs.url_transfers_max=16"]);
    let (url, _another) = downloadable(&server);
    let part = [("range", "bytes=0-9")];
    set(&server, "DEMO", &json!({"downloads_at_once": 1}));
    let mut held = None;
    eventually("the second is refused", || {
        let mut wire = begin_download(&server, &url);
        let _: std::io::Result<usize> = wire.0.read(&mut [0; 1]);
        held = Some(wire);
        let shown = seen(&server, "downloads_at_once");
        assert_eq!(shown["limit"], json!(1));
        let got = server.get_url(&url, &part);
        if got.status == 429 {
            is_exceeded(&got, "downloads_at_once");
        }
        got.status == 429
    });
    assert_eq!(seen(&server, "downloads_at_once")["used"], json!(1));
    set(&server, "DEMO", &json!({"downloads_at_once": 0}));
    assert_eq!(server.get_url(&url, &part).status, 206);
    assert_eq!(seen(&server, "downloads_at_once").get("limit"), None);
    drop(held);
}

#[test]
fn requests_in_flight_are_as_many_as_an_operator_has_set_for_the_org() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let mut server = Server::start_in(&dir, &[]);
    set(&server, "DEMO", &json!({"requests_in_flight": 1}));
    let mut round = 0;
    let mut many_are_refused = |server: &Server| {
        // Of 24 at once nearly all find one that has not been answered.
        let refused = (0..20).any(|_| {
            round += 1;
            let answers = at_once(24, |number| {
                put_record(server, "notes", &format!("r{round}-{number}"), &json!({}))
            });
            let refused: Vec<_> = answers.iter().filter(|got| got.status != 200).collect();
            refused
                .iter()
                .for_each(|got| is_exceeded(got, "requests_in_flight"));
            !refused.is_empty()
        });
        assert!(refused);
    };
    many_are_refused(&server);
    // One after the other they pass: each place is given back.
    for number in 0..10 {
        put_record(&server, "notes", &format!("one-{number}"), &json!({})).data();
    }
    let asks = server.get("/ofm/usage", &[("orgcode", "DEMO")]).data();
    let own = of(&asks, "requests_in_flight");
    assert_eq!((&own["used"], &own["limit"]), (&json!(1), &json!(1)));
    assert_eq!(seen(&server, "requests_in_flight")["used"], json!(0));
    // It holds after a restart too, which replays nothing.
    server.end("TERM");
    server = Server::start_in(&dir, &[]);
    many_are_refused(&server);
    set(&server, "DEMO", &json!({"requests_in_flight": null}));
    let answers = at_once(24, |number| {
        put_record(&server, "notes", &format!("last-{number}"), &json!({}))
    });
    assert!(answers.iter().all(|got| got.status == 200));
}

#[test]
fn limits_of_an_org_that_a_vacuum_has_erased_do_not_hold_for_one_of_its_name() {
    let server = Server::start_with(&["--set", "ops.vacuum_pending_seconds=1"]);
    let session = || somebody(&server, "OTHERS");
    let wanted = json!({"records": 1, "requests_in_flight": 7});
    let first = session();
    set(&server, "OTHERS", &wanted);
    let record = json!({"orgcode": "OTHERS", "container": "notes", "content_type": "application/json",
        "record_id": "r", "payload": 1});
    let create = |session: &str| super::share::post_as(&server, session, "/mrs/record", &record);
    create(&first).data();
    let all = json!({"reason": "reset", "secret_code": server.secret_code,
        "confirmation_phrase": "VACUUM ALL DATA PERMANENTLY"});
    let asked = server.invoke("ops_vacuum_all", &all).data();
    let which = json!({"vacuum_id": asked["vacuum_id"]});
    eventually("it is over", || {
        server.invoke("ops_vacuum_status", &which).data()["status"] == "completed"
    });
    let again = session();
    let usage = server.invoke("ofm_usage", &json!({"orgcode": "OTHERS"}));
    for quota in ["records", "requests_in_flight"] {
        let shown = of(&usage.data(), quota);
        assert_eq!(
            (&shown["used"], &shown["limit_from"]),
            (&json!(0), &json!("settings"))
        );
    }
    create(&again).data();
    let mut second = record.clone();
    second["record_id"] = json!("s");
    super::share::post_as(&server, &again, "/mrs/record", &second).data();
}
