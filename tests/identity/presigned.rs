//! What becomes of presigned urls when their org is frozen or whoever asked for them is a member no more: they work for
//! their 900 seconds, and nothing else does.

use metarecord::domain::Md5;
use serde_json::{Value, json};

use super::{Person, Town, tag};
use crate::support::{Got, agent, got};

/// How long a presigned url works.
const URL_MS: i64 = 900_000;
/// gzip of nothing, as RFC 1952 has it.
const GZIP: &[u8] = &[
    31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

fn promise(town: &Town, person: &Person, record_id: &str) -> Value {
    let body = json!({"orgcode": "one", "container": "uploads", "record_id": record_id, "mode": "presign",
        "content_type": "text/plain", "size": GZIP.len(), "content_md5": Md5::of(GZIP).to_string()});
    town.by(person, "/mrs/record", &body).data()
}

fn complete(town: &Town, person: &Person, record_id: &str, promise: &Value) -> Got {
    let body = json!({"orgcode": "one", "container": "uploads", "record_id": record_id, "size": GZIP.len(),
        "content_md5": Md5::of(GZIP).to_string(), "content_token": promise["content_token"]});
    town.by(person, "/mrs/record/complete", &body)
}

fn upload(promise: &Value) -> Got {
    let url = promise["upload"]["url"].as_str().expect("a url");
    got(agent().put(url).send(GZIP))
}

fn read(town: &Town, person: &Person, record_id: &str) -> Got {
    let path = format!("/mrs/record?orgcode=one&container=uploads&record_id={record_id}");
    let headers = [("x-session-guid", person.session.as_str())];
    town.server.call("GET", &path, &headers, None)
}

fn download(url: &Value) -> Got {
    got(agent().get(url.as_str().expect("a url")).call())
}

/// A town with an org of ann's that bob writes in, and one object in it.
fn start(dir: &std::path::Path) -> (Town, Person, Person) {
    let town = Town::start(dir);
    let (ann, bob) = (town.person("ann"), town.person("bob"));
    town.org("one", &ann);
    town.join(&ann, "one", &bob, "member");
    let stored = promise(&town, &bob, "stored");
    assert_eq!(upload(&stored).status, 200);
    complete(&town, &bob, "stored", &stored).data();
    (town, ann, bob)
}

#[test]
fn a_frozen_orgs_urls_work_until_they_expire_and_nothing_else_of_it_does() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (town, ann, _) = start(scratch.path());
    let url = read(&town, &ann, "stored").data()["download"]["url"].clone();
    let promised = promise(&town, &ann, "promised");
    let set = |status: &str| {
        let body = json!({"orgcode": "one", "status": status});
        town.server.operator("ofm_org_status_set", &body).data();
    };
    set("frozen");
    let blocked = (403, "org-read-blocked".to_owned());
    assert_eq!(upload(&promised).status, 200);
    assert_eq!(tag(&complete(&town, &ann, "promised", &promised)), blocked);
    assert_eq!(tag(&read(&town, &ann, "stored")), blocked);
    town.server.clock.advance(URL_MS - 1);
    let got = download(&url);
    assert!(got.status == 200 && got.bytes == GZIP);
    assert_eq!(upload(&promised).status, 200);
    town.server.clock.advance(1);
    let expired = (403, "expired-url".to_owned());
    assert_eq!(
        (tag(&download(&url)), tag(&upload(&promised))),
        (expired.clone(), expired)
    );
    // What was uploaded meanwhile is content only once the org lets somebody complete it.
    set("verified");
    assert_eq!(
        tag(&read(&town, &ann, "promised")),
        (409, "invalid-state".to_owned())
    );
    complete(&town, &ann, "promised", &promised).data();
}

#[test]
fn a_removed_members_urls_work_until_they_expire_and_the_member_can_do_nothing_with_them() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (town, ann, bob) = start(scratch.path());
    let url = read(&town, &bob, "stored").data()["download"]["url"].clone();
    let promised = promise(&town, &bob, "promised");
    let remove = json!({"orgcode": "one", "email": bob.email});
    town.by(&ann, "/ofm/member/remove", &remove).data();
    assert_eq!(download(&url).bytes, GZIP);
    assert_eq!(upload(&promised).status, 200);
    let nothing = (404, "not-found".to_owned());
    assert_eq!(tag(&complete(&town, &bob, "promised", &promised)), nothing);
    assert_eq!(tag(&read(&town, &bob, "promised")), nothing);
    complete(&town, &ann, "promised", &promised).data();
    town.server.clock.advance(URL_MS);
    for late in [download(&url), upload(&promised)] {
        assert_eq!(tag(&late), (403, "expired-url".to_owned()));
    }
}
