//! Idempotency keys where something other than a record is made, or a record is changed: the same thing again, not a second.

mod rules;

use serde_json::{Value, json};

use crate::identity::{PASSCODE, Person, Town, record};
use crate::support::inside::Inside;
use crate::support::{Got, agent, got};

/// How long a first answer is given again.
const WINDOW_MS: i64 = 24 * 60 * 60 * 1_000;

/// The function of an operator with headers, sent by the token of the first start.
fn invoke(server: &Inside, function: &str, headers: &[(&str, &str)], body: &Value) -> Got {
    let mut request = agent()
        .post(format!("{}/invoke/{function}", server.operator_url))
        .header(
            "authorization",
            format!("Bearer {}", server.operator_token()),
        );
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    got(request
        .content_type("application/json")
        .send(body.to_string()))
}

/// A town whose owner calls the gateway, and where functions are the operator's.
pub(super) struct Callers<'a> {
    pub(super) town: &'a Town,
    pub(super) owner: &'a Person,
}

impl Callers<'_> {
    pub(super) fn send(&self, name: &str, headers: &[(&str, &str)], body: &Value) -> Got {
        if !name.starts_with('/') {
            return invoke(&self.town.server, name, headers, body);
        }
        let mut headers = headers.to_vec();
        headers.push(("x-session-guid", &self.owner.session));
        self.town.post(name, &headers, body)
    }

    /// Sends with a key in the header.
    pub(super) fn keyed(&self, name: &str, key: &str, body: &Value) -> Got {
        self.send(name, &[("idempotency-key", &format!("\"{key}\""))], body)
    }

    /// Checks everything that holds of a key, and returns the first answer. `other` is another request.
    fn check(&self, name: &str, body: &Value, other: (&str, Value)) -> Value {
        let key = format!("of {name} {}", other.0);
        let first = self.keyed(name, &key, body);
        assert_eq!(first.header("idempotent-replay"), None, "{name}");
        let data = first.data();
        self.check_again(name, &key, body, &first);
        let mut another = body.clone();
        another[other.0] = other.1;
        assert_eq!(
            self.keyed(name, &key, &another).refusal(),
            (409, "idempotency-conflict".to_owned(), String::new()),
            "{name}"
        );
        data
    }

    /// Checks that a request that came before gets its first answer, however it says its key.
    fn check_again(&self, name: &str, key: &str, body: &Value, first: &Got) {
        let mut with_field = body.clone();
        with_field["idempotency_key"] = json!(key);
        with_field["reason_code"] = json!("AGAIN");
        for again in [
            self.keyed(name, key, body),
            self.send(name, &[], &with_field),
            self.keyed(name, key, &with_field),
        ] {
            assert_eq!(again.status, 200, "{name}: {}", again.json());
            assert_eq!(again.header("idempotent-replay"), Some("true"), "{name}");
            assert_eq!(again.json()["data"], first.json()["data"], "{name}");
        }
        self.check_words(name, key, &with_field);
    }

    /// Checks what is no key.
    fn check_words(&self, name: &str, key: &str, with_field: &Value) {
        let tag = "invalid-idempotency-key".to_owned();
        let differs = self.keyed(name, &format!("not {key}"), with_field);
        let minor = "context-mismatch".to_owned();
        assert_eq!(differs.refusal(), (400, tag.clone(), minor), "{name}");
        let mut plain = with_field.clone();
        plain
            .as_object_mut()
            .expect("an object")
            .remove("idempotency_key");
        for bad in ["\"k", "\"a\"b\"", "\"\"", &"k".repeat(129)] {
            let refused = self.send(name, &[("idempotency-key", bad)], &plain);
            assert_eq!(
                (refused.status, refused.refusal().1),
                (400, tag.clone()),
                "{name} {bad}"
            );
        }
        let twice = [("idempotency-key", "a"), ("idempotency-key", "a")];
        assert_eq!(self.send(name, &twice, &plain).refusal().1, tag, "{name}");
    }

    /// Checks a request whose answer has a secret in it. Returns the first answer.
    fn check_shown_once(&self, name: &str, body: &Value, (id, other): (&str, &str)) -> Value {
        let first = self.keyed(name, "secret", body).data();
        let again = self.keyed(name, "secret", body);
        assert_eq!(
            again.refusal(),
            (
                409,
                "idempotency-conflict".to_owned(),
                "shown-once".to_owned()
            )
        );
        assert_eq!(again.header("idempotent-replay"), Some("true"));
        let details = &again.json()["error"]["details"];
        assert_eq!(details["already_there"], true, "{name}");
        assert_eq!(details[id], first[id], "{name}");
        let mut another = body.clone();
        another[other] = match other {
            "overlap_seconds" => json!(7),
            _ => json!("2099-01-01T00:00:00Z"),
        };
        let refused = self.keyed(name, "secret", &another).refusal();
        assert_eq!(
            refused,
            (409, "idempotency-conflict".to_owned(), String::new())
        );
        first
    }

    pub(super) fn items(&self, path: &str, body: &Value) -> usize {
        let listed = self.send(path, &[], body).data();
        listed["items"].as_array().expect("items").len()
    }
}

pub(super) fn one(more: Value) -> Value {
    let mut body = json!({"orgcode": "ONE"});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

#[test]
fn what_an_org_makes_with_a_key_is_made_once() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let (ann, bob) = (town.person("ann"), town.person("bob"));
    town.org("ONE", &ann);
    let callers = Callers {
        town: &town,
        owner: &ann,
    };
    let account = callers.check(
        "/usm/service_account/create",
        &one(json!({"label": "robot"})),
        ("label", json!("other")),
    );
    assert_eq!(
        callers.items("/usm/service_account/list", &one(json!({}))),
        1
    );
    let id = &account["service_account_id"];
    let key = one(json!({"service_account_id": id, "role": "mrs_reader"}));
    callers.check_shown_once("/usm/api_key/create", &key, ("key_id", "expires_at"));
    let keys = one(json!({"service_account_id": id}));
    assert_eq!(callers.items("/usm/api_key/list", &keys), 1);
    // The first answer stands, whatever became of what was made.
    let status = one(json!({"service_account_id": id, "status": "disabled"}));
    town.by(&ann, "/usm/service_account/status", &status).data();
    let again = callers.keyed(
        "/usm/service_account/create",
        "of /usm/service_account/create label",
        &one(json!({"label": "robot"})),
    );
    assert_eq!(again.data(), account);
    // Nor is the spelling of the org another request.
    let spelled = json!({"orgcode": "one", "label": "robot"});
    let again = callers.keyed(
        "/usm/service_account/create",
        "of /usm/service_account/create label",
        &spelled,
    );
    assert_eq!(again.data(), account);
    let invite = one(json!({"email": "carl@example.com", "role": "member", "label": "l"}));
    callers.check("/ofm/invitation/create", &invite, ("role", json!("owner")));
    let member = one(json!({"email": "dave@example.com"}));
    callers.check("/ofm/member/add", &member, ("role", json!("owner")));
    assert_eq!(callers.items("/ofm/invitation/list", &one(json!({}))), 2);
    let invited = town
        .by(&ann, "/ofm/member/add", &one(json!({"email": bob.email})))
        .data();
    let accept = one(json!({"invitation_id": invited["invitation_id"]}));
    let bobs = Callers {
        town: &town,
        owner: &bob,
    };
    bobs.check(
        "/ofm/invitation/accept",
        &accept,
        ("invitation_id", json!("another")),
    );
    let owner = one(json!({"email": bob.email, "role": "owner"}));
    callers.check(
        "/ofm/member/add",
        &owner,
        ("email", json!("erna@example.com")),
    );
    // A key counts with one caller alone.
    let bobs_own = bobs.keyed(
        "/usm/service_account/create",
        "of /usm/service_account/create label",
        &one(json!({"label": "robot"})),
    );
    assert_eq!(bobs_own.header("idempotent-replay"), None);
    assert_ne!(
        bobs_own.data()["service_account_id"],
        account["service_account_id"]
    );
    // And for one request: of another route it is refused.
    let elsewhere = callers.keyed(
        "/ofm/member/add",
        "of /usm/service_account/create label",
        &member,
    );
    assert_eq!(elsewhere.refusal().1, "idempotency-conflict");
    let leave = one(json!({"reason": "we leave"}));
    let asked = callers.keyed("/utl/offboarding/request", "leave", &leave);
    assert_eq!(asked.data()["status"], "requested");
    callers.check_again("/utl/offboarding/request", "leave", &leave, &asked);
    town.by(&ann, "/utl/offboarding/cancel", &one(json!({})))
        .data();
    callers.check_again("/utl/offboarding/request", "leave", &leave, &asked);
    let status = town
        .by(&ann, "/utl/offboarding/status", &one(json!({})))
        .data();
    assert_eq!(status["status"], "cancelled");
}

#[test]
fn what_an_operator_makes_with_a_key_is_made_once() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let ann = town.person("ann");
    town.org("ONE", &ann);
    let callers = Callers {
        town: &town,
        owner: &ann,
    };
    let dora = json!({"email": "dora@example.com", "passcode": PASSCODE});
    let user = callers.check("uas_user_create", &dora, ("verified", json!(false)));
    let key = "of uas_user_create verified";
    let other = json!({"email": "dora@example.com", "passcode": "another one of hers"});
    assert_eq!(
        callers.keyed("uas_user_create", key, &other).refusal().1,
        "idempotency-conflict"
    );
    let org = json!({"orgcode": "TWO", "owner_email": "dora@example.com"});
    let made = callers.check("ofm_org_create", &org, ("status", json!("suspended")));
    assert_eq!(
        (&made["owners"], &made["status"]),
        (&json!(1), &json!("verified"))
    );
    let owner = json!({"orgcode": "TWO", "email": ann.email});
    callers.check(
        "ofm_owner_add",
        &owner,
        ("email", json!("erna@example.com")),
    );
    let token = json!({"name": "prom", "scopes": ["metrics"]});
    callers.check_shown_once("ops_token_create", &token, ("name", "expires_at"));
    let rotated = json!({"name": "prom", "overlap_seconds": 60});
    let secret = callers.keyed("ops_token_rotate", "rotate", &rotated).data();
    let again = callers.keyed("ops_token_rotate", "rotate", &rotated);
    assert_eq!(again.refusal().2, "shown-once");
    assert!(
        !again
            .json()
            .to_string()
            .contains(secret["operator_token"].as_str().expect("a token"))
    );
    let keys = callers.check(
        "ops_signing_key_rotate",
        &json!({}),
        ("at_once", json!(true)),
    );
    let listed = callers.send("ops_signing_key_list", &[], &json!({})).data();
    assert_eq!(listed["items"], keys["items"]);
    let code = &town.server.secret_code;
    let window = json!({"description": "d", "duration": 60, "start": "2099-01-01T00:00:00Z", "secret_code": code});
    let planned = callers.check("ops_maintenance_schedule", &window, ("duration", json!(61)));
    let cancel = json!({"maintenance_id": planned["maintenance_id"]});
    town.server.invoke("ops_maintenance_cancel", cancel).data();
    let again = callers.keyed(
        "ops_maintenance_schedule",
        "of ops_maintenance_schedule duration",
        &window,
    );
    assert_eq!(again.data(), planned);
    let vacuum = json!({"orgcode": "TWO", "reason": "r", "secret_code": code});
    let pending = callers.check("ops_vacuum_org", &vacuum, ("dry_run", json!(true)));
    let cancel = json!({"vacuum_id": pending["vacuum_id"]});
    town.server
        .invoke("ops_vacuum_cancel", cancel.clone())
        .data();
    let again = callers.keyed("ops_vacuum_org", "of ops_vacuum_org dry_run", &vacuum);
    assert_eq!(again.data(), pending);
    // Who has no code is not told what another made.
    let guess = json!({"orgcode": "TWO", "reason": "r", "secret_code": "a wrong code"});
    let refused = callers.keyed("ops_vacuum_org", "of ops_vacuum_org dry_run", &guess);
    assert_eq!(refused.refusal().1, "secret-code-mismatch");
    let all = json!({"reason": "r", "confirmation_phrase": "VACUUM ALL DATA PERMANENTLY", "secret_code": code});
    let pending = callers.check("ops_vacuum_all", &all, ("override_holds", json!(true)));
    let cancel = json!({"vacuum_id": pending["vacuum_id"]});
    town.server.invoke("ops_vacuum_cancel", cancel).data();
    let export = json!({"orgcode": "ONE"});
    callers.check("utl_export", &export, ("orgcode", json!("TWO")));
    let status = callers.send("utl_offboarding_status", &[], &export).data();
    assert_eq!(status["exports"].as_array().expect("exports").len(), 1);
    let import = json!({"orgcode": "NEW", "manifest_sha256": "0".repeat(64), "export_id": "e", "entries": 3});
    callers.check("utl_import_begin", &import, ("entries", json!(4)));
    let erase =
        json!({"user_id": user["user_id"], "reason": "r", "dry_run": true, "secret_code": code});
    callers.check("uas_user_erase", &erase, ("dry_run", json!(false)));
}

#[test]
fn a_record_is_changed_once_with_a_key() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let ann = town.person("ann");
    town.org("ONE", &ann);
    let callers = Callers {
        town: &town,
        owner: &ann,
    };
    town.by(&ann, "/mrs/record", &record("ONE", "r")).data();
    let about = |revision: u64, more: Value| {
        let mut body = one(more);
        body["container"] = json!("notes");
        body["record_id"] = json!("r");
        body["expected_revision"] = json!(revision);
        body
    };
    for (revision, path, body, other) in [
        (
            1,
            "/mrs/tag/add",
            json!({"tags": ["a", "b"]}),
            ("tags", json!(["c"])),
        ),
        (
            2,
            "/mrs/tag/remove",
            json!({"tags": ["a"]}),
            ("tags", json!(["b"])),
        ),
        (
            3,
            "/mrs/ttl/set",
            json!({"doom_at": "2099-01-01T00:00:00Z"}),
            ("doom_at", json!("2098-01-01T00:00:00Z")),
        ),
        (
            4,
            "/mrs/hold/set",
            json!({"reason": "suit"}),
            ("expected_revision", json!(5)),
        ),
        (
            5,
            "/mrs/hold/release",
            json!({}),
            ("expected_revision", json!(6)),
        ),
        (6, "/mrs/doom", json!({}), ("expected_revision", json!(7))),
    ] {
        let changed = callers.check(path, &about(revision, body), other);
        assert_eq!(changed["revision"], revision + 1, "{path}");
    }
    // A put and a change of one record share its keys.
    let mut put = record("ONE", "r");
    put["payload"] = json!(2);
    let refused = callers.keyed("/mrs/record", "of /mrs/doom expected_revision", &put);
    assert_eq!(refused.refusal().1, "idempotency-conflict");
}

#[test]
fn an_upload_is_completed_once_with_a_key() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let ann = town.person("ann");
    town.org("ONE", &ann);
    let callers = Callers {
        town: &town,
        owner: &ann,
    };
    let gz = super::presigned::gzip(b"hello");
    let md5 = metarecord::domain::Md5::of(&gz).to_string();
    let promise = one(
        json!({"container": "notes", "record_id": "u", "mode": "presign",
        "content_type": "text/plain", "size": gz.len(), "content_md5": md5}),
    );
    let promised = town.by(&ann, "/mrs/record", &promise).data();
    let url = promised["upload"]["url"].as_str().expect("a url");
    let path = url.strip_prefix(&town.server.base_url).expect("its path");
    assert_eq!(town.server.put_bytes(path, &gz).status, 200);
    let complete = one(
        json!({"container": "notes", "record_id": "u", "size": gz.len(), "content_md5": md5,
        "content_token": promised["content_token"], "expected_revision": 1}),
    );
    callers.check(
        "/mrs/record/complete",
        &complete,
        ("expected_revision", json!(2)),
    );
}
