//! People, orgs and keys by the command line alone: from two new users to a program that stores records, and to their end.

use std::cell::RefCell;
use std::path::Path;

use serde_json::{Value, json};

use super::ops::{AppState, text};
use super::run::Ran;

/// What the users of these tests sign in with.
pub(super) const PASSCODES: [(&str, &str); 2] = [
    ("ann", "canary of the passcode of ann"),
    ("bob", "canary of the passcode of bob"),
];
pub(super) const PUT: &str =
    "echo 1 | g3n mrs put --orgcode ACME --container notes --inline-payload-file -";
pub(super) const LIST: &str = "g3n mrs list --orgcode ACME";

/// A server whose operator has made two users and the org of the first. Whatever is printed is looked at for secrets.
pub(super) struct Town {
    pub(super) app: AppState,
    secrets: RefCell<Vec<String>>,
}

impl Town {
    pub(super) fn open() -> Self {
        let town = Self::empty();
        for (name, _) in PASSCODES {
            let user = town.run(&user_create(name), &[]).data();
            assert_eq!(user["email"], format!("{name}@example.com"));
        }
        let org = town.run(
            "g3n ofm org-create --orgcode ACME --owner-email ann@example.com --actor ops",
            &[],
        );
        assert_eq!(org.json()["stats"]["actor"], "ops");
        let org = org.data();
        assert_eq!(
            (&org["orgcode"], &org["status"], &org["owners"]),
            (&json!("ACME"), &json!("verified"), &json!(1))
        );
        town
    }

    /// The same before anybody was made.
    fn empty() -> Self {
        let app = AppState::open(&[]);
        let mut secrets = Vec::new();
        for (name, passcode) in PASSCODES {
            let path = app.dir().join(format!("{name}.txt"));
            std::fs::write(path, format!("{passcode}\n")).expect("written");
            secrets.push(passcode.to_owned());
        }
        Self {
            app,
            secrets: RefCell::new(secrets),
        }
    }

    /// Has somebody who was invited to ACME accept.
    pub(super) fn accept(&self, name: &str, invited: &Value) {
        let session = self.sign_in(name);
        let mine = self.by(&session, "g3n ofm invitation-mine").data();
        assert_eq!(mine["items"][0]["invitation_id"], invited["invitation_id"]);
        let id = text(invited, "invitation_id");
        let accept = format!("g3n ofm invitation-accept --orgcode ACME --invitation-id {id}");
        assert_eq!(self.by(&session, &accept).data()["status"], "accepted");
    }

    /// Runs a line with variables. No secret that is known is ever printed.
    pub(super) fn run(&self, line: &str, variables: &[(&str, &str)]) -> Ran {
        let ran = self.app.run(line, variables);
        let shown = format!("{ran:?}");
        for secret in self.secrets.borrow().iter() {
            assert!(!shown.contains(secret), "{line}: {shown}");
        }
        ran
    }

    /// Runs a line with somebody's session.
    pub(super) fn by(&self, session: &str, line: &str) -> Ran {
        let variable = [("G3N_SESSION_GUID", session)];
        // Without a session the variable is not set at all.
        let variables = if session.is_empty() {
            &[][..]
        } else {
            &variable[..]
        };
        self.run(line, variables)
    }

    /// The secret that an answer shows this once, and the answer.
    pub(super) fn made(&self, session: &str, line: &str, name: &str) -> (String, Value) {
        let ran = self.by(session, line);
        let data = ran.data();
        let secret = text(&data, name);
        assert_eq!(ran.text().matches(&secret).count(), 1, "{line}");
        assert_eq!(ran.stderr, "", "{line}");
        self.secrets.borrow_mut().push(secret.clone());
        (secret, data)
    }

    pub(super) fn sign_in(&self, name: &str) -> String {
        self.made("", &sign_in(name), "session_guid").0
    }

    /// A service account of ACME, by its id.
    pub(super) fn account(&self, session: &str) -> String {
        let line = "g3n usm service-account-create --orgcode ACME --label importer --bare";
        let id = self.by(session, line);
        assert_eq!((id.code, id.stderr.as_str()), (0, ""), "{id:?}");
        id.text().trim_end().to_owned()
    }

    /// A key of an account: the key, and its id.
    fn key(&self, session: &str, account: &str, role: &str) -> (String, String) {
        let line = format!(
            "g3n usm api-key-create --orgcode ACME --service-account-id {account} --role {role} --label nightly"
        );
        let (key, data) = self.made(session, &line, "api_key");
        assert_eq!(data["role"], role);
        (key, text(&data, "key_id"))
    }

    /// Runs lines by somebody, each of which ends with a number and a tag.
    pub(super) fn check(&self, session: &str, lines: &[(&str, i32, &str)]) {
        for (line, code, tag) in lines {
            let refused = self.by(session, line).refusal();
            assert_eq!(refused, (*code, (*tag).to_owned()), "{line}");
        }
    }
}

pub(super) fn user_create(name: &str) -> String {
    format!("g3n uas user-create --email {name}@example.com --passcode-file {name}.txt")
}

pub(super) fn sign_in(name: &str) -> String {
    format!("g3n usm session-create --email {name}@example.com --passcode-file {name}.txt")
}

/// The files below a directory that hold a text.
fn files_with(dir: &Path, secret: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_with(&path, secret, found);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        let mut windows = bytes.windows(secret.len());
        if windows.any(|window| window == secret.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
}

#[test]
fn new_users_never_leak_secrets() {
    let mut town = Town::open();
    let ann = town.sign_in("ann");
    let me = town.by(&ann, "g3n whoami").data();
    assert_eq!(
        (&me["tenant_id"], &me["role"], &me["auth_mode"]),
        (&json!("ACME"), &json!("owner"), &json!("session"))
    );
    let bob = town.by(
        &ann,
        "g3n ofm member-add --orgcode ACME --email bob@example.com --reason new",
    );
    let invited = bob.data();
    assert_eq!(
        (&invited["role"], &invited["status"]),
        (&json!("member"), &json!("invited"))
    );
    town.accept("bob", &invited);
    let members = town.by(&ann, "g3n ofm member-list --orgcode ACME").data();
    assert_eq!(members["items"].as_array().map(Vec::len), Some(2));

    let account = town.account(&ann);
    let (key, key_id) = town.key(&ann, &account, "mrs_writer");
    let put = "g3n mrs put --orgcode ACME --container notes --record-id n-1 --inline-payload-file - --api-key $KEY";
    let put = town.run(&format!("echo '{{\"a\":1}}' | {put}"), &[("KEY", &key)]);
    assert_eq!(put.data()["created_by"], account.as_str());
    let get = "g3n mrs get --orgcode ACME --container notes --record-id n-1";
    let got = town.run(get, &[("G3N_API_KEY", &key)]);
    assert_eq!((got.code, got.text().trim_end()), (0, r#"{"a":1}"#));
    let me = town.run("g3n whoami", &[("G3N_API_KEY", &key)]);
    let stats = &me.json()["stats"];
    assert!(stats["session_fingerprint"].is_null(), "{stats}");
    assert!(text(stats, "api_key_fingerprint").starts_with("kf_"));
    let me = me.data();
    assert_eq!(
        (&me["user_id"], &me["role"], &me["auth_mode"]),
        (&json!(account), &json!("mrs_writer"), &json!("api_key"))
    );
    // A member uses the org too.
    let bob = town.sign_in("bob");
    assert_eq!(town.by(&bob, PUT).data()["status"], "active");

    let revoke = format!(
        "g3n usm api-key-revoke --orgcode ACME --service-account-id {account} --key-id {key_id}"
    );
    let keys = town.by(&ann, &revoke).data();
    assert_eq!(keys["items"][0]["status"], "revoked");
    let refused = town.run(get, &[("G3N_API_KEY", &key)]).refusal();
    assert_eq!(refused, (4, "invalid-session".to_owned()));
    assert_eq!(town.by(&ann, get).code, 0);

    assert_eq!(town.app.server.end("TERM"), Some(0));
    let told = town.app.server.told();
    for secret in town.secrets.borrow().iter() {
        assert!(!told.contains(secret), "{told}");
        let mut found = Vec::new();
        files_with(&town.app.server.dir, secret, &mut found);
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn a_key_does_what_its_role_says_for_as_long_as_it_counts() {
    let town = Town::open();
    let ann = town.sign_in("ann");
    let account = town.account(&ann);
    let (reader, _) = town.key(&ann, &account, "mrs_reader");
    let (writer, _) = town.key(&ann, &account, "mrs_writer");
    let with = |key: &str, line: &str| town.run(line, &[("G3N_API_KEY", key)]);
    let refused = (4, "not-authorized".to_owned());
    assert_eq!(with(&writer, PUT).code, 0);
    assert_eq!(with(&reader, LIST).data()["items"][0]["container"], "notes");
    assert_eq!(with(&reader, PUT).refusal(), refused);
    for key in [&reader, &writer] {
        let managing = "g3n usm service-account-list --orgcode ACME";
        assert_eq!(with(key, managing).refusal(), (4, "not-owner".to_owned()));
        let personal = with(key, "g3n usm session-list").refusal();
        assert_eq!(personal, refused);
        let elsewhere = with(key, "g3n mrs list --orgcode DEMO").refusal();
        assert_eq!(elsewhere, (5, "not-found".to_owned()));
    }

    let validate = "g3n usm api-key-validate";
    let valid = with(&reader, validate).data();
    assert_eq!(
        (&valid["valid"], &valid["role"], &valid["orgcode"]),
        (&json!(true), &json!("mrs_reader"), &json!("ACME"))
    );
    std::fs::write(town.app.dir().join("key.txt"), format!("{writer}\n")).expect("written");
    for line in [
        "g3n usm api-key-validate --which-file key.txt",
        "g3n usm api-key-validate --which-file - <key.txt",
        "g3n usm api-key-validate --which $(cat key.txt)",
    ] {
        assert_eq!(with(&reader, line).data()["role"], "mrs_writer", "{line}");
    }

    let status = format!("--orgcode ACME --service-account-id {account}");
    let set = |to: &str| {
        let line = format!("g3n usm service-account-status {status} {to}");
        town.by(&ann, &line).data()["status"].clone()
    };
    assert_eq!(set("--status disabled"), "disabled");
    assert_eq!(set(""), "disabled");
    for line in [LIST, validate] {
        let ended = with(&writer, line).refusal();
        assert_eq!(ended, (4, "invalid-session".to_owned()), "{line}");
    }
    assert_eq!(set("--status active"), "active");
    assert_eq!(with(&writer, LIST).code, 0);
    let all = format!("g3n usm api-key-revoke-all {status} --reason leaked");
    town.by(&ann, &all).data();
    for key in [&reader, &writer] {
        assert_eq!(with(key, LIST).code, 4);
    }
    let keys = format!("g3n usm api-key-list {status}");
    let keys = town.by(&ann, &keys).data();
    let revoked = |key: &Value| key["status"] == "revoked" && key["revoked_at"].is_string();
    assert!(keys["items"].as_array().expect("keys").iter().all(revoked));
    let accounts = "g3n usm service-account-list --orgcode ACME --limit 5";
    assert_eq!(town.by(&ann, accounts).data()["items"][0]["keys"], 0);
}

#[test]
fn sessions_are_seen_and_ended_one_by_one_or_all_at_once() {
    let town = Town::open();
    let (first, second) = (town.sign_in("ann"), town.sign_in("ann"));
    let third = format!("{} --label laptop --reason travel", sign_in("ann"));
    let (third, _) = town.made("", &third, "session_guid");
    let over = (4, "invalid-session".to_owned());
    let list = town.by(&third, "g3n usm session-list").data();
    let labels = list["items"].as_array().expect("sessions").iter();
    let current: Vec<_> = labels.filter(|item| item["current"] == true).collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0]["session_label"], "laptop");

    let valid = town.by(&first, "g3n usm session-validate").data();
    assert_eq!(valid["valid"], true);
    // One names another than one's own by a file, and its own is left alone.
    std::fs::write(town.app.dir().join("second.txt"), &second).expect("written");
    let close = "g3n usm session-close --which-file second.txt";
    assert_eq!(town.by(&first, close).data()["closed"], 1);
    for line in ["g3n usm session-validate", "g3n whoami", LIST] {
        assert_eq!(town.by(&second, line).refusal(), over, "{line}");
        assert_eq!(town.by(&first, line).code, 0, "{line}");
    }
    let close = town.by(&first, "g3n usm session-close --actor ann-herself");
    assert_eq!(close.json()["stats"]["actor"], "ann-herself");
    assert_eq!(town.by(&first, "g3n whoami").refusal(), over);
    let again = town.by(&first, "g3n usm session-close").refusal();
    assert_eq!(again, over);

    let fourth = town.sign_in("ann");
    let bob = town.sign_in("bob");
    let ended = town.by(&third, "g3n usm logout-everywhere --actor ann-herself");
    assert_eq!(ended.json()["stats"]["actor"], "ann-herself");
    assert_eq!(ended.data()["closed"], 2);
    let history = "g3n journal export --data-dir data | grep user.sessions_closed";
    let history = town.run(history, &[]).text();
    assert!(history.contains(r#""actor":"ann-herself""#), "{history}");
    for session in [&third, &fourth] {
        assert_eq!(town.by(session, "g3n whoami").refusal(), over);
    }
    assert_eq!(town.by(&bob, "g3n whoami").code, 0);
}

#[test]
fn a_parked_org_is_read_only_and_a_frozen_one_unreadable() {
    let town = Town::open();
    let ann = town.sign_in("ann");
    town.by(&ann, PUT).data();
    let park = "g3n ofm org-park --orgcode ACME --reason holidays --correlation-id c-1";
    assert_eq!(town.by(&ann, park).data()["status"], "parked");
    town.check(&ann, &[(PUT, 1, "org-write-blocked")]);
    assert_eq!(town.by(&ann, LIST).code, 0);
    let unpark = "g3n ofm org-unpark --orgcode ACME";
    assert_eq!(town.by(&ann, unpark).data()["status"], "verified");
    town.by(&ann, PUT).data();

    let set = |status: &str| {
        let line = format!("g3n ofm org-status-set --orgcode ACME --status {status} --yes");
        town.run(&line, &[]).data()["status"].clone()
    };
    assert_eq!(set("frozen"), "frozen");
    town.check(
        &ann,
        &[
            (LIST, 1, "org-read-blocked"),
            (PUT, 1, "org-read-blocked"),
            (unpark, 1, "org-read-blocked"),
        ],
    );
    assert_eq!(set("verified"), "verified");
    town.by(&ann, PUT).data();
    assert_eq!(set("doomed"), "doomed");
    let back = "g3n ofm org-status-set --orgcode ACME --status verified";
    town.check("", &[(back, 6, "invalid-state")]);
}
