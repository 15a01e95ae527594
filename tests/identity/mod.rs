//! Who is who: users, sessions, orgs, service accounts and keys, and that nobody gets in where they don't belong.

mod access;
pub(crate) mod canaries;
mod debug;
mod doors;
mod flood;
mod isolation;
mod keys;
mod orgs;
mod panics;
mod people;
mod presigned;
mod sessions;

use std::path::Path;

use serde_json::{Value, json};

use crate::support::Got;
use crate::support::inside::Inside;

/// A passcode that is one.
pub(crate) const PASSCODE: &str = "correct horse battery";

/// Somebody who is signed in.
pub(crate) struct Person {
    pub(crate) email: String,
    pub(crate) user_id: String,
    pub(crate) session: String,
}

/// A server with people.
pub(crate) struct Town {
    pub(crate) server: Inside,
}

impl Town {
    pub(crate) fn start(dir: &Path) -> Self {
        Self {
            server: Inside::start(dir),
        }
    }

    /// Makes a user.
    pub(crate) fn user(&self, name: &str) -> Value {
        let email = format!("{name}@example.com");
        let body = json!({"email": email, "passcode": PASSCODE});
        self.server.operator("uas_user_create", &body).data()
    }

    pub(crate) fn sign_in(&self, name: &str) -> Got {
        let body = json!({"email": format!("{name}@example.com"), "passcode": PASSCODE});
        self.post("/usm/session/create", &[], &body)
    }

    /// Makes a user who is signed in.
    pub(crate) fn person(&self, name: &str) -> Person {
        let user = self.user(name);
        let session = self.sign_in(name).data();
        assert_eq!(session["user_id"], user["user_id"]);
        Person {
            email: user["email"].as_str().expect("an address").to_owned(),
            user_id: user["user_id"].as_str().expect("an id").to_owned(),
            session: session["session_guid"].as_str().expect("a guid").to_owned(),
        }
    }

    /// Makes an org.
    pub(crate) fn org(&self, code: &str, owner: &Person) {
        let body = json!({"orgcode": code, "owner_email": owner.email});
        self.server.operator("ofm_org_create", &body).data();
    }

    /// Has a person join an org: an owner invites, and the person accepts. Who belongs to it gets the role at once.
    pub(crate) fn join(&self, owner: &Person, org: &str, person: &Person, role: &str) {
        let body = json!({"orgcode": org, "email": person.email, "role": role});
        let added = self.by(owner, "/ofm/member/add", &body).data();
        if added["status"] == "invited" {
            let body = json!({"orgcode": org, "invitation_id": added["invitation_id"]});
            let accepted = self.by(person, "/ofm/invitation/accept", &body).data();
            assert_eq!(accepted["role"], role);
        }
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Got {
        self.server.call("POST", path, headers, Some(body))
    }

    pub(crate) fn by(&self, person: &Person, path: &str, body: &Value) -> Got {
        self.post(path, &[("x-session-guid", &person.session)], body)
    }

    /// Makes a service account with one key; returns the account's id, the key's id and the key.
    pub(crate) fn key(&self, owner: &Person, org: &str, role: &str) -> (String, String, String) {
        let account = self
            .by(
                owner,
                "/usm/service_account/create",
                &json!({"orgcode": org, "label": "robot"}),
            )
            .data();
        let account = account["service_account_id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let body = json!({"orgcode": org, "service_account_id": account, "role": role});
        let key = self.by(owner, "/usm/api_key/create", &body).data();
        let text = |name: &str| key[name].as_str().expect(name).to_owned();
        (account, text("key_id"), text("api_key"))
    }
}

/// A put of a small record.
pub(crate) fn record(org: &str, record_id: &str) -> Value {
    json!({"orgcode": org, "container": "notes", "record_id": record_id,
        "content_type": "application/json", "payload": {"of": org}})
}

/// The status and the tag.
pub(crate) fn tag(got: &Got) -> (u16, String) {
    if got.status == 200 {
        return (200, String::new());
    }
    let (status, major, _) = got.refusal();
    (status, major)
}
