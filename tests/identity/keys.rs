//! Service accounts and their keys: roles, and ends that count on the next request.

use serde_json::json;

use super::{Town, record, tag};
use crate::support::Got;

fn get(town: &Town, key: &str, org: &str) -> Got {
    let path = format!("/mrs/record?orgcode={org}&container=notes&record_id=n-1");
    town.server.call("GET", &path, &[("x-api-key", key)], None)
}

fn put(town: &Town, key: &str, org: &str, record_id: &str) -> Got {
    town.post(
        "/mrs/record",
        &[("x-api-key", key)],
        &record(org, record_id),
    )
}

#[test]
fn a_key_lets_do_what_its_role_says_in_its_own_org() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let (ann, bob) = (town.person("ann"), town.person("bob"));
    town.org("one", &ann);
    town.org("two", &bob);
    let (account, _, writer) = town.key(&ann, "one", "mrs_writer");
    let (_, _, reader) = town.key(&ann, "one", "mrs_reader");
    assert!(writer.starts_with("g3nk_"));
    assert_eq!(put(&town, &writer, "one", "n-1").status, 200);
    assert_eq!(get(&town, &reader, "one").data()["content"]["of"], "one");
    assert_eq!(
        tag(&put(&town, &reader, "one", "n-2")),
        (403, "not-authorized".to_owned())
    );
    for key in [&writer, &reader] {
        assert_eq!(tag(&get(&town, key, "two")), (404, "not-found".to_owned()));
        assert_eq!(
            tag(&put(&town, key, "two", "n-1")),
            (404, "not-found".to_owned())
        );
        let manage = json!({"orgcode": "one", "label": "more"});
        let refused = town.post(
            "/usm/service_account/create",
            &[("x-api-key", key)],
            &manage,
        );
        assert_eq!(tag(&refused), (403, "not-owner".to_owned()));
    }
    let who = town
        .server
        .call("GET", "/whoami", &[("x-api-key", &reader)], None)
        .json();
    assert_eq!(
        [&who["tenant_id"], &who["role"], &who["auth_mode"]],
        ["ONE", "mrs_reader", "api_key"]
    );
    let valid = town
        .post("/usm/api_key/validate", &[], &json!({"api_key": writer}))
        .data();
    assert_eq!(
        (&valid["service_account_id"], &valid["orgcode"]),
        (&json!(account), &json!("ONE"))
    );
    // A session beats a key, also one that is not good.
    let both = [
        ("x-api-key", writer.as_str()),
        ("x-session-guid", bob.session.as_str()),
    ];
    let path = "/mrs/list?orgcode=one";
    assert_eq!(town.server.call("GET", path, &both, None).status, 404);
    let stale = [("x-api-key", writer.as_str()), ("x-session-guid", "gone")];
    assert_eq!(town.server.call("GET", path, &stale, None).status, 401);
    let twice = [
        ("x-api-key", writer.as_str()),
        ("x-api-key", reader.as_str()),
    ];
    assert_eq!(town.server.call("GET", path, &twice, None).status, 401);
    let mixed = [
        ("x-api-key", writer.as_str()),
        ("authorization", "Bearer x.y.z"),
    ];
    assert_eq!(town.server.call("GET", path, &mixed, None).status, 401);
}

#[test]
fn what_ends_a_key_counts_on_the_next_request() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut town = Town::start(scratch.path());
    let ann = town.person("ann");
    town.org("one", &ann);
    let (account, key_id, first) = town.key(&ann, "one", "mrs_writer");
    let about = json!({"orgcode": "one", "service_account_id": account});
    let more = |role: &str| {
        let mut body = about.clone();
        body["role"] = json!(role);
        let key = town.by(&ann, "/usm/api_key/create", &body).data();
        key["api_key"].as_str().expect("a key").to_owned()
    };
    let (second, third) = (more("mrs_writer"), more("mrs_reader"));
    put(&town, &first, "one", "n-1").data();
    let statuses = |town: &Town| [&first, &second, &third].map(|key| get(town, key, "one").status);
    assert_eq!(statuses(&town), [200, 200, 200]);
    let mut which = about.clone();
    which["key_id"] = json!(key_id);
    let keys = town.by(&ann, "/usm/api_key/revoke", &which).data();
    assert_eq!(statuses(&town), [401, 200, 200]);
    let items = keys["items"].as_array().expect("items");
    let revoked = items
        .iter()
        .filter(|key| key["status"] == "revoked")
        .count();
    assert_eq!((items.len(), revoked), (3, 1));
    assert!(!keys.to_string().contains("g3nk_"), "a key is shown once");
    let set = |town: &Town, status: &str| {
        let mut body = about.clone();
        body["status"] = json!(status);
        let account = town.by(&ann, "/usm/service_account/status", &body).data();
        assert_eq!(account["status"], status);
    };
    set(&town, "disabled");
    assert_eq!(statuses(&town), [401, 401, 401]);
    set(&town, "active");
    assert_eq!(statuses(&town), [401, 200, 200]);
    town.server.stop();
    let clock = town.server.clock.clone();
    let town = Town {
        server: crate::support::inside::Inside::start_by(scratch.path(), clock, &[]),
    };
    assert_eq!(statuses(&town), [401, 200, 200]);
    town.by(&ann, "/usm/api_key/revoke_all", &about).data();
    assert_eq!(statuses(&town), [401, 401, 401]);
    let gone = town.post("/usm/api_key/validate", &[], &json!({"api_key": second}));
    assert_eq!(tag(&gone), (401, "invalid-session".to_owned()));
    let list = town
        .by(
            &ann,
            "/usm/service_account/list",
            &json!({"orgcode": "one"}),
        )
        .data();
    assert_eq!(list["items"][0]["keys"], 0);
}

#[test]
fn a_vacuum_of_an_org_ends_its_keys_and_leaves_people_and_other_orgs() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let ann = town.person("ann");
    town.org("one", &ann);
    town.org("two", &ann);
    let (_, _, one) = town.key(&ann, "one", "mrs_writer");
    let (_, _, two) = town.key(&ann, "two", "mrs_writer");
    put(&town, &one, "one", "n-1").data();
    put(&town, &two, "two", "n-1").data();
    let body = json!({"orgcode": "one", "reason": "over"});
    let vacuum = town.server.invoke("ops_vacuum_org", body).data();
    town.server.clock.advance(300_000);
    let status = || {
        let id = json!({"vacuum_id": vacuum["vacuum_id"]});
        town.server.invoke("ops_vacuum_status", id).data()
    };
    crate::support::eventually("the vacuum is over", || status()["status"] == "completed");
    let usm = status()["services"].as_array().expect("services").clone();
    let usm = usm
        .iter()
        .find(|service| service["service"] == "usm")
        .expect("usm");
    assert_eq!(usm["items"], 2, "one account and one key");
    assert_eq!(
        tag(&get(&town, &one, "one")),
        (401, "invalid-session".to_owned())
    );
    assert_eq!(get(&town, &two, "two").status, 200);
    let list = |org: &str| {
        let headers = [("x-session-guid", ann.session.as_str())];
        town.server
            .call("GET", &format!("/mrs/list?orgcode={org}"), &headers, None)
            .status
    };
    assert_eq!((list("one"), list("two")), (404, 200));
    let stat = json!({"email": ann.email, "passcode": super::PASSCODE});
    let orgs = town.post("/uas/stat", &[], &stat).data()["orgs"].clone();
    assert_eq!(orgs, json!([{"orgcode": "TWO", "role": "owner"}]));
    // The code is free again.
    town.org("one", &ann);
    assert_eq!(list("one"), 200);
}
