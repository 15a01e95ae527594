//! A user is erased: nothing that tells who it was stays in the data directory, and whoever has the disk cannot take
//! other entries away in the name of that erasure.

mod names;

use std::path::Path;

use metarecord::domain::vacuum::VacuumEvent;
use metarecord::domain::{Event, StreamId};
use metarecord::journal::replay::replay;
use serde_json::{Value, json};

use super::erasures::check;
use crate::cli::run::g3n;
use crate::ops::store::is_anywhere;
use crate::support::{Got, Server, agent, eventually, forge, got};

pub(super) const EMAIL: &str = "zoe.quimby-4711@example.com";
const PASSCODE: &str = "correct horse battery";
/// What the user calls a session.
const LABEL: &str = "zoes-own-laptop-4711";

/// A user who belongs to the development org, and who is signed in.
pub(crate) struct Zoe {
    pub(crate) user_id: String,
    pub(crate) session: String,
}

pub(crate) fn sign_in(server: &Server, label: &str) -> Got {
    let body = json!({"email": EMAIL, "passcode": PASSCODE, "session_label": label});
    let url = format!("{}/usm/session/create", server.base_url);
    got(agent()
        .post(url)
        .content_type("application/json")
        .send(body.to_string()))
}

pub(super) fn call(server: &Server, session: &str, path: &str, body: &Value) -> Got {
    let url = format!("{}{path}", server.base_url);
    let request = agent().post(url).header("x-session-guid", session);
    got(request
        .content_type("application/json")
        .send(body.to_string()))
}

/// Makes the user, has her sign in, join the org and put a record.
pub(crate) fn arrive(server: &Server) -> Zoe {
    let body = json!({"email": EMAIL, "passcode": PASSCODE});
    let user_id = server.invoke("uas_user_create", &body).data()["user_id"].clone();
    let session = sign_in(server, LABEL).data()["session_guid"].clone();
    let zoe = Zoe {
        user_id: user_id.as_str().expect("an id").to_owned(),
        session: session.as_str().expect("a guid").to_owned(),
    };
    join(server, &zoe, &server.orgcode);
    let body = json!({"orgcode": server.orgcode, "container": "notes", "record_id": "of-zoe",
        "content_type": "application/json", "payload": {"n": 1}, "idempotency_key": "once"});
    assert_eq!(call(server, &zoe.session, "/mrs/record", &body).status, 200);
    zoe
}

pub(super) fn join(server: &Server, zoe: &Zoe, org: &str) {
    let body = json!({"orgcode": org, "email": EMAIL, "role": "member"});
    let invited = server.post("/ofm/member/add", &body).data();
    let body = json!({"orgcode": org, "invitation_id": invited["invitation_id"]});
    call(server, &zoe.session, "/ofm/invitation/accept", &body).data();
}

fn text(answer: &Got) -> String {
    String::from_utf8_lossy(&answer.bytes).into_owned()
}

/// Orders the erasure.
pub(super) fn erase(server: &Server, more: &Value) -> Got {
    let mut body =
        json!({"email": EMAIL, "reason": "request 12", "secret_code": server.secret_code});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    server.invoke("uas_user_erase", &body)
}

/// Waits until a vacuum is over.
pub(super) fn over(server: &Server, vacuum: &Value) -> Value {
    let about = json!({"vacuum_id": vacuum["vacuum_id"]});
    let mut last = Value::Null;
    eventually("the erasure is over", || {
        last = server.invoke("ops_vacuum_status", &about).data();
        last["finished_at"].is_string()
    });
    last
}

/// Where in the data directory something that tells who it was is found.
pub(crate) fn traces(dir: &Path) -> Vec<String> {
    let hash = passcode_hash(dir);
    let all = [EMAIL.to_owned(), LABEL.to_owned()];
    let all = all.into_iter().chain(hash);
    all.filter(|text| is_anywhere(dir, text)).collect()
}

/// The hash of the passcode, as long as the journal has it.
fn passcode_hash(dir: &Path) -> Option<String> {
    let mut hashes = replay(&dir.join("journal"))
        .expect("readable")
        .filter_map(|entry| {
            let body = entry.expect("sound").body?;
            body.events.into_iter().find_map(|event| match event {
                Event::User(metarecord::domain::user::UserEvent::Created {
                    email,
                    passcode_hash,
                    ..
                }) if email == EMAIL => Some(passcode_hash),
                _ => None,
            })
        });
    hashes
        .next()
        .map(|hash| hash.split('$').next_back().expect("a part").to_owned())
}

/// Positions of what a stream says, and of where the erasure of a user began.
fn positions(data: &Path, stream: &str) -> Vec<u64> {
    let entries = replay(&data.join("journal")).expect("readable");
    let entries = entries.stream(StreamId::named(stream));
    entries
        .map(|entry| entry.expect("sound").header.position)
        .collect()
}

fn started(data: &Path) -> u64 {
    let entries = replay(&data.join("journal")).expect("readable");
    let mut starts = entries
        .stream(StreamId::named(StreamId::VACUUM))
        .map(|entry| entry.expect("sound"))
        .filter(|entry| {
            let events = entry.body.iter().flat_map(|body| &body.events);
            events
                .clone()
                .any(|event| matches!(event, Event::Vacuum(VacuumEvent::Started { erases: Some(erases), .. }) if !erases.is_empty()))
        });
    starts.next().expect("it began").header.position
}

fn verified(dir: &Path) {
    let report = g3n("journal verify --data-dir data", dir, &[], b"").json();
    assert_eq!(
        (&report["good"], &report["unproven"]),
        (&json!(true), &json!([])),
        "{report}"
    );
    let script = check(&dir.join("data/journal"), &[]);
    assert!(script.status.success(), "{script:?}");
}

#[test]
fn an_erased_user_leaves_nothing_that_tells_who_it_was() {
    let scratch = tempfile::tempdir().expect("a directory");
    let data = scratch.path().join("data");
    let mut server = Server::start_in(&data, &[]);
    let zoe = arrive(&server);
    let there = traces(&data);
    assert_eq!(there.len(), 3, "the search finds what is there: {there:?}");
    let hash = passcode_hash(&data).expect("a hash");
    let other = json!({"orgcode": "OTHER", "owner_email": "demo@example.com"});
    server.invoke("ofm_org_create", &other).data();
    let invite = json!({"orgcode": "OTHER", "email": EMAIL, "role": "member"});
    let open = server.post("/ofm/member/add", &invite).data();
    assert_eq!(open["status"], "invited");
    let lift = json!({"email": EMAIL, "address": "192.0.2.77"});
    server.invoke("uas_lock_lift", &lift).data();

    let dry = erase(&server, &json!({"dry_run": true})).data();
    let dry = over(&server, &dry);
    assert_eq!(
        (&dry["status"], &dry["kind"]),
        (&json!("completed"), &json!("user")),
        "{dry}"
    );
    assert_eq!(sign_in(&server, "").status, 200, "a dry run does nothing");

    let asked = erase(&server, &json!({})).data();
    let done = over(&server, &asked);
    assert_eq!(
        (&done["status"], &done["user_id"]),
        (&json!("completed"), &json!(zoe.user_id)),
        "{done}"
    );
    assert_eq!(
        done["totals"]["items"],
        json!(1),
        "the user; her sessions were ended before: {done}"
    );

    for text in [EMAIL, LABEL, &hash] {
        assert!(!is_anywhere(&data, text), "{text} is still there");
    }
    assert_eq!(
        call(
            &server,
            &zoe.session,
            "/usm/session/validate",
            &json!({"session_guid": zoe.session})
        )
        .status,
        401
    );
    assert_eq!(
        sign_in(&server, "").refusal(),
        (401, "invalid-passcode".into(), String::new())
    );
    let members = server.post("/ofm/member/list", &json!({"orgcode": server.orgcode}));
    assert!(!text(&members).contains(&zoe.user_id), "{}", text(&members));
    let list = server.post("/ofm/invitation/list", &json!({"orgcode": "OTHER"}));
    assert!(!text(&list).contains(&zoe.user_id), "{}", text(&list));
    assert_eq!(
        server
            .invoke("uas_user_get", &json!({"email": EMAIL}))
            .status,
        404
    );
    let audit = server.invoke("ops_audit", &json!({}));
    assert!(
        text(&audit).contains(&zoe.user_id) && !text(&audit).contains(EMAIL),
        "{}",
        text(&audit)
    );
    assert_eq!(
        erase(&server, &json!({})).status,
        404,
        "once more: nobody is there"
    );
    // What she did in the org is the org's.
    assert_eq!(record(&server).status, 200);

    let report = g3n("journal verify --data-dir data", scratch.path(), &[], b"").json();
    assert_eq!(
        report["good"],
        json!(true),
        "beside the running server: {report}"
    );
    assert_eq!(server.end("TERM"), Some(0));
    verified(scratch.path());
    for database in ["journal/sled", "projections"] {
        std::fs::remove_dir_all(data.join(database)).expect("removed");
        let mut server = Server::start_in(&data, &[]);
        assert_eq!(sign_in(&server, "").status, 401, "without {database}");
        assert_eq!(record(&server).status, 200);
        assert_eq!(server.end("TERM"), Some(0));
        assert_eq!(traces(&data), Vec::<String>::new());
        assert!(!is_anywhere(&data, &hash));
        verified(scratch.path());
    }

    let mut server = Server::start_in(&data, &[]);
    let again = arrive(&server);
    assert_eq!(
        again.user_id, zoe.user_id,
        "an id is a keyed hash of the address"
    );
    assert_eq!(
        call(
            &server,
            &zoe.session,
            "/usm/session/validate",
            &json!({"session_guid": zoe.session})
        )
        .status,
        401
    );
    let accept = json!({"orgcode": "OTHER", "invitation_id": open["invitation_id"]});
    let accepted = call(&server, &again.session, "/ofm/invitation/accept", &accept);
    assert_eq!(
        accepted.status,
        404,
        "an invitation of the one who was erased: {}",
        text(&accepted)
    );
    assert_eq!(server.end("TERM"), Some(0));
    verified(scratch.path());
}

fn record(server: &Server) -> Got {
    let query = [
        ("orgcode", server.orgcode.as_str()),
        ("container", "notes"),
        ("record_id", "of-zoe"),
    ];
    server.get("/mrs/record", &query)
}

#[test]
fn what_forbids_an_erasure_is_said_and_nothing_is_done() {
    let server = Server::start();
    let zoe = arrive(&server);
    let refused = |more: Value| erase(&server, &more).refusal();
    let minor = |status: u16, tag: &str, minor: &str| (status, tag.to_owned(), minor.to_owned());

    assert_eq!(
        refused(json!({"secret_code": "wrong-code-12"})),
        minor(403, "secret-code-mismatch", "")
    );
    assert_eq!(
        refused(json!({"reason": format!("asked by {}", EMAIL.to_uppercase())})),
        minor(400, "invalid-input", "reason")
    );
    assert_eq!(
        refused(json!({"actor": EMAIL})),
        minor(400, "invalid-input", "actor")
    );
    assert_eq!(
        refused(json!({"reason": " "})),
        minor(400, "invalid-input", "reason")
    );
    assert_eq!(
        refused(json!({"user_id": zoe.user_id})),
        minor(400, "invalid-input", "user_id")
    );
    assert_eq!(
        refused(json!({"email": "nobody@example.com"})),
        minor(404, "not-found", "")
    );

    let own = json!({"orgcode": "OWNED", "owner_user_id": zoe.user_id, "status": "verified"});
    server.invoke("ofm_org_create", &own).data();
    assert_eq!(
        refused(json!({})),
        minor(409, "invalid-state", "last-owner")
    );
    assert_eq!(
        refused(json!({"dry_run": true})),
        minor(409, "invalid-state", "last-owner")
    );
    let told = text(&erase(&server, &json!({})));
    assert!(
        told.contains("last owner of OWNED; add another owner first"),
        "{told}"
    );
    // An org that is gone for good needs no owner.
    let doomed = json!({"orgcode": "OWNED", "status": "doomed"});
    server.invoke("ofm_org_status_set", &doomed).data();

    // She has left the org that is held, and its history names her.
    let leave = json!({"orgcode": server.orgcode, "user_id": zoe.user_id});
    server.post("/ofm/member/remove", &leave).data();
    let hold = json!({"orgcode": server.orgcode, "container": "notes", "reason": "suit 12"});
    server.invoke("mrs_hold_set", &hold).data();
    assert_eq!(refused(json!({})), minor(409, "invalid-state", "held"));
    assert_eq!(sign_in(&server, "").status, 200, "nothing was done");

    let asked = erase(&server, &json!({"override_holds": true})).data();
    assert_eq!(over(&server, &asked)["status"], "completed");
    assert_eq!(sign_in(&server, "").status, 401);
}

#[test]
fn a_member_of_an_org_that_leaves_is_erased_only_once_that_is_over() {
    let server = Server::start();
    arrive(&server);
    let leave = json!({"orgcode": server.orgcode, "reason": "it leaves"});
    server.post("/utl/offboarding/request", &leave).data();
    let approve = json!({"orgcode": server.orgcode, "secret_code": server.secret_code});
    server.invoke("utl_offboarding_approve", &approve).data();
    let refused = erase(&server, &json!({}));
    let wanted = (409, "invalid-state".to_owned(), "offboarding".to_owned());
    assert_eq!(refused.refusal(), wanted);
    let told = text(&refused);
    assert!(
        told.contains("wait until that has finished, or cancel it"),
        "{told}"
    );
    assert_eq!(sign_in(&server, "").status, 200, "nothing was done");
    let cancel = json!({"orgcode": server.orgcode});
    server.invoke("utl_offboarding_cancel", &cancel).data();
    let asked = erase(&server, &json!({})).data();
    assert_eq!(over(&server, &asked)["status"], "completed");
}

#[test]
fn only_a_token_that_may_destroy_erases_a_user() {
    let server = Server::start();
    arrive(&server);
    let token = json!({"name": "tenants", "scopes": ["read", "tenants"]});
    let token = server.invoke("ops_token_create", &token).data();
    let body = json!({"email": EMAIL, "reason": "r", "secret_code": server.secret_code});
    let request = agent()
        .post(format!("{}/invoke/uas-user-erase", server.operator_url))
        .header(
            "authorization",
            format!(
                "Bearer {}",
                token["operator_token"].as_str().expect("a token")
            ),
        );
    let answer = got(request
        .content_type("application/json")
        .send(body.to_string()));
    assert_eq!(answer.status, 403, "{}", text(&answer));
    assert_eq!(sign_in(&server, "").status, 200);
}

#[test]
fn other_entries_erased_in_the_name_of_a_users_erasure_are_damage() {
    let scratch = tempfile::tempdir().expect("a directory");
    let data = scratch.path().join("data");
    let mut server = Server::start_in(&data, &[]);
    arrive(&server);
    let (org, other) = (server.orgcode.clone(), server.get("/whoami", &[]).data());
    let asked = erase(&server, &json!({})).data();
    assert_eq!(over(&server, &asked)["status"], "completed");
    assert_eq!(server.end("TERM"), Some(0));
    let (by, own) = (started(&data), other["user_id"].as_str().expect("an id"));
    for stream in [
        format!("mrs/{org}/notes/of-zoe"),
        format!("uas/{own}"),
        format!("ofm/{org}"),
    ] {
        let position = positions(&data, &stream)[0];
        let dir = scratch.path().join(stream.replace('/', "-"));
        forge::copy(&data, &dir.join("data"));
        forge::erase(&dir.join("data"), position, by);
        let report = g3n("journal verify --data-dir data", &dir, &[], b"").json();
        let problems = report["problems"].as_array().expect("problems");
        let named = |problem: &Value| {
            let what = problem["what"].as_str().unwrap_or_default();
            problem["position"] == json!(position) && what.contains("does not erase it")
        };
        assert!(problems.iter().any(named), "{stream}: {report}");
        let script = check(&dir.join("data/journal"), &[]);
        assert_eq!(script.status.code(), Some(1), "{stream}: {script:?}");
    }
}

/// Sign-ins go on while everything is vacuumed: each must count wholly, or not at all.
#[test]
fn sign_ins_during_a_vacuum_of_everything_leave_a_sound_journal() {
    let scratch = tempfile::tempdir().expect("a directory");
    let data = scratch.path().join("data");
    let sets = [
        "--set",
        "ops.vacuum_pending_seconds=1",
        "--set",
        "limits.sign_in_per_second=0",
    ];
    let mut server = Server::start_in(&data, &sets);
    arrive(&server);
    let body = json!({"confirmation_phrase": "VACUUM ALL DATA PERMANENTLY", "reason": "r",
        "secret_code": server.secret_code});
    let asked = server.invoke("ops_vacuum_all", &body).data();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let answer = sign_in(&server, "again");
                    assert!(
                        [200, 401, 429, 503].contains(&answer.status),
                        "{}",
                        text(&answer)
                    );
                }
            });
        }
        let last = over(&server, &asked);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(last["status"], "completed", "{last}");
    });
    assert_eq!(server.end("TERM"), Some(0));
    verified(scratch.path());
}
