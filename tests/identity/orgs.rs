//! Orgs: their statuses, and who belongs to them.

use serde_json::{Value, json};

use super::{Person, Town, record, tag};

fn read(town: &Town, person: &Person, org: &str) -> u16 {
    let headers = [("x-session-guid", person.session.as_str())];
    town.server
        .call("GET", &format!("/mrs/list?orgcode={org}"), &headers, None)
        .status
}

fn write(town: &Town, person: &Person, org: &str, record_id: &str) -> (u16, String) {
    tag(&town.by(person, "/mrs/record", &record(org, record_id)))
}

#[test]
fn an_orgs_status_counts_on_the_next_request() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let ann = town.person("ann");
    town.org("one", &ann);
    let none = String::new;
    assert_eq!(write(&town, &ann, "one", "n-1"), (200, none()));
    let blocked = || (403, "org-write-blocked".to_owned());
    for (status, reads) in [
        ("unverified", 200),
        ("parked", 200),
        ("suspended", 200),
        ("frozen", 403),
        ("verified", 200),
    ] {
        let set = json!({"orgcode": "one", "status": status});
        let org = town.server.operator("ofm_org_status_set", &set).data();
        assert_eq!(org["status"], status);
        assert_eq!(read(&town, &ann, "one"), reads, "{status}");
        let wanted = match status {
            "verified" => (200, none()),
            "frozen" => (403, "org-read-blocked".to_owned()),
            _ => blocked(),
        };
        assert_eq!(
            write(&town, &ann, "one", &format!("n-{status}")),
            wanted,
            "{status}"
        );
    }
    let park = json!({"orgcode": "one"});
    assert_eq!(
        town.by(&ann, "/ofm/org/park", &park).data()["status"],
        "parked"
    );
    assert_eq!(write(&town, &ann, "one", "n-2"), blocked());
    assert_eq!(
        town.by(&ann, "/ofm/org/unpark", &park).data()["status"],
        "verified"
    );
    assert_eq!(write(&town, &ann, "one", "n-2"), (200, none()));
    let doom = json!({"orgcode": "one", "status": "doomed"});
    town.server.operator("ofm_org_status_set", &doom).data();
    let back = json!({"orgcode": "one", "status": "verified"});
    let refused = town.server.operator("ofm_org_status_set", &back);
    assert_eq!(tag(&refused), (409, "invalid-state".to_owned()));
    for (body, wanted) in [
        (
            json!({"orgcode": "one", "status": "no"}),
            (400, "invalid-status"),
        ),
        (
            json!({"orgcode": "nowhere", "status": "frozen"}),
            (404, "not-found"),
        ),
        (json!({"status": "frozen"}), (400, "invalid-orgcode")),
    ] {
        let refused = town.server.operator("ofm_org_status_set", &body);
        assert_eq!(tag(&refused), (wanted.0, wanted.1.to_owned()), "{body}");
    }
}

#[test]
fn members_come_and_go_and_an_owner_stays() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let (ann, bob, eve) = (town.person("ann"), town.person("bob"), town.person("eve"));
    town.org("one", &ann);
    let about = |person: &Person| json!({"orgcode": "one", "email": person.email});
    let add = |by: &Person, person: &Person, role: &str| {
        let mut body = about(person);
        body["role"] = json!(role);
        tag(&town.by(by, "/ofm/member/add", &body))
    };
    let ok = (200, String::new());
    assert_eq!(read(&town, &bob, "one"), 404);
    town.join(&ann, "one", &bob, "member");
    assert_eq!(
        (read(&town, &bob, "one"), write(&town, &bob, "one", "n-1")),
        (200, ok.clone())
    );
    assert_eq!(add(&bob, &eve, "member"), (403, "not-owner".to_owned()));
    assert_eq!(add(&eve, &eve, "owner"), (404, "not-found".to_owned()));
    let members = town
        .by(
            &bob,
            "/ofm/member/list",
            &json!({"orgcode": "one", "limit": 1}),
        )
        .data();
    assert_eq!(members["items"].as_array().expect("items").len(), 1);
    let next = json!({"orgcode": "one", "limit": 1, "next_token": members["next_token"]});
    let rest = town.by(&bob, "/ofm/member/list", &next).data();
    let mut emails: Vec<Value> = [&members, &rest]
        .map(|page| page["items"][0]["email"].clone())
        .into();
    emails.sort_by_key(Value::to_string);
    assert_eq!(json!(emails), json!([ann.email, bob.email]));
    assert!(rest.get("next_token").is_none());
    let found = town.by(&bob, "/ofm/member/resolve", &about(&ann)).data();
    assert_eq!(
        (&found["user_id"], &found["role"]),
        (&json!(ann.user_id), &json!("owner"))
    );
    assert_eq!(
        town.by(&bob, "/ofm/member/resolve", &about(&eve)).status,
        404
    );
    let last = town.by(&ann, "/ofm/member/remove", &about(&ann));
    assert_eq!(
        last.refusal(),
        (409, "invalid-state".to_owned(), "last-owner".to_owned())
    );
    town.by(&ann, "/ofm/member/remove", &about(&bob)).data();
    assert_eq!(read(&town, &bob, "one"), 404, "at once");
    assert_eq!(
        town.by(&ann, "/ofm/member/remove", &about(&bob)).status,
        404
    );
    // An owner hands over and goes.
    town.join(&ann, "one", &eve, "owner");
    town.by(&ann, "/ofm/member/remove", &about(&ann)).data();
    assert_eq!(
        (read(&town, &ann, "one"), read(&town, &eve, "one")),
        (404, 200)
    );
    let org = town
        .by(&eve, "/ofm/org/get", &json!({"orgcode": "one"}))
        .data();
    assert_eq!((&org["owners"], &org["members"]), (&json!(1), &json!(1)));
    let again = town.server.operator(
        "ofm_org_create",
        &json!({"orgcode": "One", "owner_email": ann.email}),
    );
    assert_eq!(tag(&again), (409, "conflict".to_owned()));
    let nobody = json!({"orgcode": "three", "owner_email": "nobody@example.com"});
    assert_eq!(town.server.operator("ofm_org_create", &nobody).status, 404);
}
