//! An org that takes all it can: it gets what its quotas leave it, and others get theirs.

use std::sync::Barrier;

use serde_json::{Value, json};

use crate::support::{Got, Server, agent, got};

const PASSCODE: &str = "correct horse battery";

pub(super) fn set(server: &Server, org: &str, limits: &Value) {
    let body = json!({"orgcode": org, "limits": limits});
    server.invoke("ofm_quota_set", &body).data();
}

/// How much an org has of a quota, as its owner sees it.
fn used(server: &Server, quota: &str) -> u64 {
    let usage = server.get("/ofm/usage", &[("orgcode", &server.orgcode)]);
    of(&usage.data(), quota)["used"].as_u64().expect("a count")
}

pub(super) fn of(usage: &Value, quota: &str) -> Value {
    let items = usage["items"].as_array().expect("a list");
    let found = items.iter().find(|item| item["quota"] == json!(quota));
    found.expect("every quota is there").clone()
}

pub(super) fn put(server: &Server, container: &str, record_id: &str, more: &Value) -> Got {
    let mut body = json!({"orgcode": server.orgcode, "container": container, "record_id": record_id,
        "content_type": "application/json", "payload": {"n": 1}});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    server.post("/mrs/record", &body)
}

fn promise(server: &Server, record_id: &str, size: u64) -> Got {
    let body = json!({"orgcode": server.orgcode, "container": "files", "record_id": record_id,
        "content_type": "text/plain", "mode": "presign", "size": size,
        "content_md5": "0".repeat(32)});
    server.post("/mrs/record", &body)
}

fn exceeded(got: &Got, quota: &str, limit: u64, used: u64) {
    let wanted = (409, "quota-exceeded".to_owned(), quota.to_owned());
    assert_eq!(got.refusal(), wanted, "{:?}", got.json());
    let error = &got.json()["error"];
    let details = &error["details"];
    assert_eq!(
        (&details["limit"], &details["value"], &details["used"]),
        (&json!(quota), &json!(limit), &json!(used))
    );
    let message = error["major"]["message"]["en_US"]
        .as_str()
        .unwrap_or_default();
    assert!(
        message.contains(quota) && message.contains("raise the quota"),
        "{message}"
    );
}

/// Does something so often at once. Returns the answers.
pub(super) fn at_once(times: usize, work: impl Fn(usize) -> Got + Sync) -> Vec<Got> {
    let (start, work) = (Barrier::new(times), &work);
    std::thread::scope(|scope| {
        let each = (0..times).map(|number| {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                work(number)
            })
        });
        let each: Vec<_> = each.collect();
        let answers = each.into_iter().map(|one| one.join().expect("it answers"));
        answers.collect()
    })
}

fn good(answers: &[Got]) -> usize {
    answers.iter().filter(|got| got.status == 200).count()
}

#[test]
fn fifty_creates_at_once_take_exactly_the_ten_places_there_are() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let mut server = Server::start_in(&dir, &[]);
    set(&server, "DEMO", &json!({"records": 10}));
    for round in 1..=4_u64 {
        let answers = at_once(50, |number| {
            let container = format!("many-{}", number % 7);
            put(
                &server,
                &container,
                &format!("r{round}-{number}"),
                &json!({}),
            )
        });
        assert_eq!(good(&answers), 10, "round {round}");
        for refused in answers.iter().filter(|got| got.status != 200) {
            exceeded(refused, "records", 10, 10);
        }
        assert_eq!(used(&server, "records"), 10);
        // A restart after a crash counts what is durable, and nothing else.
        server.end("KILL");
        server = Server::start_in(&dir, &[]);
        assert_eq!(used(&server, "records"), 10);
        let list = [("orgcode", "DEMO"), ("limit", "256")];
        let list = server.get("/mrs/list", &list).data();
        let items = list["items"].as_array().expect("a list").clone();
        assert_eq!(items.len(), 10);
        for record in &items {
            let doom = json!({"orgcode": "DEMO", "container": record["container"],
                "record_id": record["record_id"], "expected_revision": record["revision"]});
            server.post("/mrs/doom", &doom).data();
        }
        assert_eq!(used(&server, "records"), 0);
    }
}

#[test]
fn an_org_at_its_quota_keeps_nobody_else_out() {
    let server = Server::start();
    let user = json!({"email": "eve@example.com", "passcode": PASSCODE});
    server.invoke("uas_user_create", &user).data();
    let org = json!({"orgcode": "OTHER", "owner_email": "eve@example.com"});
    server.invoke("ofm_org_create", &org).data();
    let session = server.post("/usm/session/create", &user).data();
    let eve = |path: &str, body: &Value| {
        let request = agent().post(format!("{}{path}", server.base_url));
        got(request
            .header(
                "x-session-guid",
                session["session_guid"].as_str().expect("a guid"),
            )
            .content_type("application/json")
            .send(body.to_string().as_bytes()))
    };
    set(&server, "DEMO", &json!({"records": 1, "content_bytes": 7}));
    put(&server, "notes", "one", &json!({})).data();
    exceeded(&put(&server, "notes", "two", &json!({})), "records", 1, 1);
    for number in 0..5 {
        let body = json!({"orgcode": "OTHER", "container": "notes", "content_type": "application/json",
            "record_id": format!("n{number}"), "payload": 1});
        eve("/mrs/record", &body).data();
    }
    // What there is can be read and given back, and then there is room.
    let one = json!({"orgcode": "DEMO", "container": "notes", "record_id": "one", "expected_revision": 1});
    server.post("/mrs/doom", &one).data();
    exceeded(
        &put(&server, "notes", "two", &json!({})),
        "content_bytes",
        7,
        7,
    );
    set(&server, "DEMO", &json!({"content_bytes": 0}));
    put(&server, "notes", "two", &json!({})).data();
    // Only owners see it, and strangers hear that the org is not there.
    let usage = |org: &str| {
        let request = agent().get(format!("{}/ofm/usage?orgcode={org}", server.base_url));
        got(request
            .header(
                "x-session-guid",
                session["session_guid"].as_str().expect("a guid"),
            )
            .call())
    };
    assert_eq!(of(&usage("OTHER").data(), "records")["used"], json!(5));
    assert_eq!(usage("DEMO").refusal().1, "not-found");
    let member = json!({"orgcode": "DEMO", "email": "eve@example.com"});
    let invited = server.post("/ofm/member/add", &member).data();
    assert_eq!(usage("DEMO").refusal().1, "not-found", "only invited");
    let accept = json!({"orgcode": "DEMO", "invitation_id": invited["invitation_id"]});
    eve("/ofm/invitation/accept", &accept).data();
    assert_eq!(usage("DEMO").refusal().1, "not-owner");
    let set = json!({"orgcode": "DEMO", "limits": {"records": 5}});
    assert_eq!(server.post("/invoke/ofm_quota_set", &set).status, 404);
}

#[test]
fn containers_and_tags_are_counted_once_each_however_many_come_at_once() {
    let server = Server::start();
    set(&server, "DEMO", &json!({"containers": 3, "tags": 4}));
    let answers = at_once(24, |number| {
        put(&server, &format!("box-{number}"), "first", &json!({}))
    });
    assert_eq!(good(&answers), 3);
    assert_eq!(used(&server, "containers"), 3);
    let refused = answers.iter().find(|got| got.status != 200);
    exceeded(refused.expect("some were"), "containers", 3, 3);
    set(&server, "DEMO", &json!({"containers": 4}));
    // One place is left, and all of these are of the one container that takes it.
    let answers = at_once(24, |number| {
        put(&server, "fresh", &format!("n{number}"), &json!({}))
    });
    assert_eq!(good(&answers), 24);
    assert_eq!(used(&server, "containers"), 4);
    // The same with tags: four different ones, each wanted by many.
    let answers = at_once(24, |number| {
        let tag = format!("t{}", number % 4);
        put(
            &server,
            "fresh",
            &format!("t{number}"),
            &json!({"tags": [tag]}),
        )
    });
    assert_eq!(good(&answers), 24);
    assert_eq!(used(&server, "tags"), 4);
    exceeded(
        &put(&server, "fresh", "more", &json!({"tags": ["t0", "other"]})),
        "tags",
        4,
        4,
    );
    let add = json!({"orgcode": "DEMO", "container": "fresh", "record_id": "n1", "tags": ["new"], "expected_revision": 1});
    exceeded(&server.post("/mrs/tag/add", &add), "tags", 4, 4);
    let add = json!({"orgcode": "DEMO", "container": "fresh", "record_id": "n1", "tags": ["t3"], "expected_revision": 1});
    server.post("/mrs/tag/add", &add).data();
}

#[test]
fn bytes_are_counted_from_the_promise_on() {
    let server = Server::start();
    set(
        &server,
        "DEMO",
        &json!({"pending_upload_bytes": 1_000, "content_bytes": 2_000}),
    );
    let answers = at_once(20, |number| promise(&server, &format!("p{number}"), 400));
    assert_eq!(good(&answers), 2);
    assert_eq!(used(&server, "pending_upload_bytes"), 800);
    exceeded(
        &promise(&server, "more", 201),
        "pending_upload_bytes",
        1_000,
        800,
    );
    promise(&server, "exact", 200).data();
    assert_eq!(used(&server, "content_bytes"), 1_000);
    let large = json!({"payload": "x".repeat(1_000)});
    exceeded(
        &put(&server, "notes", "large", &large),
        "content_bytes",
        2_000,
        1_000,
    );
    let fits = json!({"payload": "x".repeat(998)});
    put(&server, "notes", "fits", &fits).data();
    // An earlier version is kept, and counts.
    let over = json!({"payload": 1, "expected_revision": 1});
    exceeded(
        &put(&server, "notes", "fits", &over),
        "content_bytes",
        2_000,
        2_000,
    );
    // What is doomed is promised no more, and still kept.
    let doom = json!({"orgcode": "DEMO", "container": "files", "record_id": "exact", "expected_revision": 1});
    server.post("/mrs/doom", &doom).data();
    assert_eq!(used(&server, "pending_upload_bytes"), 800);
    assert_eq!(used(&server, "content_bytes"), 2_000);
}

#[test]
fn an_upload_that_was_promised_room_can_be_completed_when_there_is_no_more() {
    let server = Server::start();
    let gzip = {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"hello").expect("in memory");
        encoder.finish().expect("in memory")
    };
    let md5 = {
        use md5::Digest;
        hex::encode(md5::Md5::digest(&gzip))
    };
    let size = gzip.len();
    set(
        &server,
        "DEMO",
        &json!({"pending_upload_bytes": size, "content_bytes": size}),
    );
    let body = json!({"orgcode": "DEMO", "container": "files", "record_id": "f", "content_type": "text/plain",
        "mode": "presign", "size": size, "content_md5": md5});
    let promised = server.post("/mrs/record", &body).data();
    let url = promised["upload"]["url"].as_str().expect("a url");
    let headers: Vec<_> = promised["upload"]["headers"]
        .as_object()
        .expect("headers")
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().expect("text")))
        .collect();
    set(&server, "DEMO", &json!({"content_bytes": 1}));
    assert_eq!(server.put_url(url, &headers, &gzip).status, 200);
    let complete = json!({"orgcode": "DEMO", "container": "files", "record_id": "f",
        "content_token": promised["content_token"], "size": size, "content_md5": md5});
    server.post("/mrs/record/complete", &complete).data();
    assert_eq!(used(&server, "pending_upload_bytes"), 0);
    assert_eq!(used(&server, "content_bytes"), size as u64);
}

#[test]
fn a_first_answer_is_given_again_at_the_quota_and_a_refusal_for_it_is_not_remembered() {
    let server = Server::start();
    set(&server, "DEMO", &json!({"records": 1}));
    let first = json!({"idempotency_key": "first"});
    let made = put(&server, "notes", "one", &first).data();
    let again = put(&server, "notes", "one", &first);
    assert_eq!(again.data(), made);
    assert_eq!(again.header("idempotent-replay"), Some("true"));
    let second = json!({"idempotency_key": "second"});
    for _ in 0..2 {
        let refused = put(&server, "notes", "two", &second);
        exceeded(&refused, "records", 1, 1);
        assert_eq!(refused.header("idempotent-replay"), None);
    }
    set(&server, "DEMO", &json!({"records": null}));
    put(&server, "notes", "two", &second).data();
}

#[test]
fn service_accounts_and_keys_are_counted_while_they_are_good() {
    let server = Server::start();
    set(
        &server,
        "DEMO",
        &json!({"service_accounts": 2, "api_keys": 3}),
    );
    let answers = at_once(8, |_| {
        server.post("/usm/service_account/create", &json!({"orgcode": "DEMO"}))
    });
    assert_eq!(good(&answers), 2);
    let accounts: Vec<_> = answers.iter().filter(|got| got.status == 200).collect();
    let id = |number: usize| accounts[number].data()["service_account_id"].clone();
    let key = |number: usize| {
        let body =
            json!({"orgcode": "DEMO", "service_account_id": id(number), "role": "mrs_reader"});
        server.post("/usm/api_key/create", &body)
    };
    let answers = at_once(12, |number| key(number % 2));
    assert_eq!(good(&answers), 3);
    exceeded(&key(0), "api_keys", 3, 3);
    let status = |number: usize, status: &str| {
        let body = json!({"orgcode": "DEMO", "service_account_id": id(number), "status": status});
        server.post("/usm/service_account/status", &body)
    };
    status(0, "disabled").data();
    status(1, "disabled").data();
    assert_eq!(used(&server, "service_accounts"), 0);
    assert_eq!(used(&server, "api_keys"), 0);
    set(&server, "DEMO", &json!({"service_accounts": 1}));
    status(0, "active").data();
    exceeded(&status(1, "active"), "service_accounts", 1, 1);
}

#[test]
fn sessions_are_counted_and_a_full_org_keeps_nobody_out_of_another() {
    let server = Server::start();
    let person = |name: &str| json!({"email": format!("{name}@example.com"), "passcode": PASSCODE});
    for name in ["ann", "bob"] {
        server.invoke("uas_user_create", &person(name)).data();
    }
    let sign_in = |name: &str| server.post("/usm/session/create", &person(name));
    // Who belongs nowhere counts nowhere, and neither does who is only invited.
    let ann = sign_in("ann").data()["session_guid"].clone();
    let ann = |path: &str, body: &Value| {
        let request = agent().post(format!("{}{path}", server.base_url));
        let request = request.header("x-session-guid", ann.as_str().expect("a guid"));
        let body = body.to_string();
        got(request
            .content_type("application/json")
            .send(body.as_bytes()))
    };
    let member = json!({"orgcode": "DEMO", "email": "ann@example.com"});
    let join = || {
        let invited = server.post("/ofm/member/add", &member).data();
        let before = used(&server, "sessions");
        let accept = json!({"orgcode": "DEMO", "invitation_id": invited["invitation_id"]});
        ann("/ofm/invitation/accept", &accept).data();
        (before, used(&server, "sessions"))
    };
    let counts = (1, 2);
    assert_eq!(join(), counts, "the owner's, and then ann's too");
    ann("/ofm/member/leave", &json!({"orgcode": "DEMO"})).data();
    assert_eq!(used(&server, "sessions"), 1, "she left, and took it along");
    assert_eq!(join(), counts);
    set(&server, "DEMO", &json!({"sessions": 4}));
    let answers = at_once(6, |_| sign_in("ann"));
    assert_eq!(good(&answers), 2);
    exceeded(&sign_in("ann"), "sessions", 4, 4);
    sign_in("bob").data();
    let org = json!({"orgcode": "OTHER", "owner_email": "ann@example.com"});
    server.invoke("ofm_org_create", &org).data();
    sign_in("ann").data();
    server.post("/ofm/member/remove", &member).data();
    assert_eq!(used(&server, "sessions"), 1);
}

#[test]
fn limits_are_set_by_name_and_wrong_ones_change_nothing() {
    let server = Server::start();
    let set = |limits: Value| {
        server.invoke(
            "ofm_quota_set",
            &json!({"orgcode": "DEMO", "limits": limits}),
        )
    };
    for (limits, minor) in [
        (json!({}), "limits"),
        (json!({"record": 5}), "limits"),
        (json!({"requests_at_once": 5}), "limits"),
        (json!({"records": (1_u64 << 53) + 1}), "records"),
    ] {
        assert_eq!(
            set(limits).refusal(),
            (400, "invalid-input".to_owned(), minor.to_owned())
        );
    }
    assert_eq!(set(json!({"records": -1})).status, 400);
    let missing = json!({"orgcode": "NOBODY", "limits": {"records": 5}});
    assert_eq!(
        server.invoke("ofm_quota_set", &missing).refusal().1,
        "not-found"
    );
    let before = of(
        &server
            .invoke("ofm_usage", &json!({"orgcode": "DEMO"}))
            .data(),
        "records",
    );
    assert_eq!(
        (&before["limit"], &before["limit_from"]),
        (&json!(2_000_000), &json!("settings"))
    );
    let after = of(&set(json!({"records": 5})).data(), "records");
    assert_eq!(
        (&after["limit"], &after["limit_from"]),
        (&json!(5), &json!("org"))
    );
    let after = of(&set(json!({"records": 0})).data(), "records");
    assert_eq!(
        (&after["limit"], &after["limit_from"]),
        (&json!(null), &json!("org"))
    );
    let after = of(&set(json!({"records": null})).data(), "records");
    assert_eq!(after["limit_from"], json!("settings"));
}
