//! Callers by token and by header: let in only as their claims and the settings say.

use std::process::Command;

use metarecord::domain::Timestamp;
use serde_json::{Value, json};

use super::{Town, record, tag};
use crate::support::inside::{Inside, START_MS};
use crate::token::issuer::{self, Key};
use metarecord::clock::Clock;

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "metarecord";
const HOUR_SECONDS: i64 = 3_600;
const KID: &str = "k-1";

struct Provider {
    key: Key,
    directory: tempfile::TempDir,
}

impl Provider {
    fn make() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let key = Key::p256();
        let jwks = issuer::set(&[key.public(KID)]);
        std::fs::write(directory.path().join("jwks.json"), jwks).expect("written");
        Self { key, directory }
    }

    fn token(&self, org: &str, role: &str) -> String {
        let now = START_MS / 1_000;
        let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "ann@issuer", "org": org,
            "role": role, "iat": now, "exp": now + HOUR_SECONDS});
        let token = self.key.sign(&self.key.header(KID), &claims);
        format!("Bearer {token}")
    }

    fn start(&self, dir: &std::path::Path) -> Town {
        let jwks = self.directory.path().join("jwks.json");
        let sets = [
            format!("auth.jwt_issuer={ISSUER}"),
            format!("auth.jwt_audience={AUDIENCE}"),
            format!("auth.jwt_jwks_file={}", jwks.display()),
        ];
        let sets: Vec<_> = sets.iter().map(String::as_str).collect();
        let clock = Clock::manual(Timestamp::from_millis(START_MS));
        Town {
            server: Inside::start_by(dir, clock, &sets),
        }
    }
}

#[test]
fn a_token_lets_do_what_its_role_says_in_the_org_it_names() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let provider = Provider::make();
    let town = provider.start(scratch.path());
    let bob = town.person("bob");
    town.org("two", &bob);
    let get = |authorization: &str, path: &str| {
        town.server
            .call("GET", path, &[("authorization", authorization)], None)
    };
    let put = |authorization: &str, org: &str| {
        tag(&town.post(
            "/mrs/record",
            &[("authorization", authorization)],
            &record(org, "n-1"),
        ))
    };
    let (writer, reader) = (
        provider.token("DEMO", "mrs_writer"),
        provider.token("demo", "mrs_reader"),
    );
    assert_eq!(put(&writer, "demo"), (200, String::new()));
    let read = "/mrs/record?orgcode=demo&container=notes&record_id=n-1";
    assert_eq!(get(&reader, read).data()["content"]["of"], "demo");
    assert_eq!(put(&reader, "demo"), (403, "not-authorized".to_owned()));
    assert_eq!(put(&writer, "two"), (404, "not-found".to_owned()));
    let stranger = provider.token("NOWHERE", "mrs_writer");
    assert_eq!(put(&stranger, "nowhere"), (404, "not-found".to_owned()));
    let nothing = provider.token("DEMO", "intern");
    assert_eq!(
        tag(&get(&nothing, read)),
        (403, "not-authorized".to_owned())
    );
    let who = get(&nothing, "/whoami").json();
    assert_eq!(
        [
            &who["user_id"],
            &who["tenant_id"],
            &who["role"],
            &who["auth_mode"]
        ],
        [
            &json!("jwt:ann@issuer"),
            &json!("DEMO"),
            &Value::Null,
            &json!("jwt")
        ],
        "it is no role that lets do anything"
    );
    assert_eq!(town.server.get("/health").json()["auth_mode"], "jwt");
    let manage = town.post(
        "/usm/session/list",
        &[("authorization", &writer)],
        &json!({}),
    );
    assert_eq!(
        tag(&manage),
        (403, "not-authorized".to_owned()),
        "sessions are for people"
    );
    // A token stands alone.
    for (name, value) in [
        ("x-session-guid", bob.session.as_str()),
        ("x-api-key", "any"),
    ] {
        let both = [("authorization", writer.as_str()), (name, value)];
        assert_eq!(
            town.server.call("GET", "/whoami", &both, None).status,
            401,
            "{name}"
        );
    }
    let forged = writer[..writer.len() - 4].to_owned() + "AAAA";
    for bad in [
        forged.as_str(),
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer a.b.c",
    ] {
        let refused = get(bad, "/whoami");
        assert_eq!(tag(&refused), (401, "invalid-session".to_owned()), "{bad}");
    }
    town.server.clock.advance(HOUR_SECONDS * 1_000 + 60_000);
    assert_eq!(
        get(&writer, "/whoami").status,
        401,
        "its hour and the leeway are over"
    );
}

#[test]
fn without_an_issuer_no_token_and_no_header_lets_anybody_in() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let token = Provider::make().token("DEMO", "mrs_writer");
    let refused = town
        .server
        .call("GET", "/whoami", &[("authorization", &token)], None);
    assert_eq!(tag(&refused), (401, "invalid-session".to_owned()));
    let headers = [("x-user", "ann"), ("x-tenant", "demo"), ("x-role", "owner")];
    assert_eq!(
        town.server.call("GET", "/whoami", &headers, None).status,
        401
    );
    // They are ignored with a valid credential.
    let mut with = headers.to_vec();
    with.push(("x-session-guid", &town.server.session_guid));
    let who = town.server.call("GET", "/whoami", &with, None).json();
    assert_eq!(
        (&who["auth_mode"], &who["role"]),
        (&json!("session"), &json!("owner"))
    );
    assert_ne!(who["user_id"], "ann");
    assert_eq!(town.server.get("/health").json()["auth_mode"], "session");
}

#[test]
fn headers_say_who_calls_only_on_the_developers_own_machine() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let sets = [
        "auth.header_identity=true",
        "auth.allow_insecure_header_identity=true",
    ];
    let town = Town {
        server: Inside::start_by(scratch.path(), clock, &sets),
    };
    let call = |headers: &[(&str, &str)], path: &str| town.server.call("GET", path, headers, None);
    let headers = [
        ("x-user", "demo"),
        ("x-tenant", "tenant-a"),
        ("x-role", "intern"),
    ];
    let who = call(&headers, "/whoami").json();
    assert_eq!(
        [
            &who["user_id"],
            &who["tenant_id"],
            &who["role"],
            &who["auth_mode"]
        ],
        [
            &json!("demo"),
            &json!("TENANT-A"),
            &Value::Null,
            &json!("header")
        ]
    );
    assert_eq!(town.server.get("/health").json()["auth_mode"], "header");
    let member = [
        ("x-user", "demo"),
        ("x-tenant", "demo"),
        ("x-role", "mrs_writer"),
    ];
    assert_eq!(
        town.post("/mrs/record", &member, &record("demo", "n-1"))
            .status,
        200
    );
    assert_eq!(call(&member, "/mrs/list?orgcode=other").status, 404);
    for passed_on in ["forwarded", "x-forwarded-for", "via", "x-real-ip"] {
        let mut headers = member.to_vec();
        headers.push((passed_on, "10.0.0.1"));
        assert_eq!(call(&headers, "/whoami").status, 401, "{passed_on}");
    }
    for missing in 0..3 {
        let mut headers = member.to_vec();
        headers.remove(missing);
        assert_eq!(call(&headers, "/whoami").status, 401, "{missing}");
    }
    let odd = [
        ("x-user", "demo"),
        ("x-tenant", "no org!"),
        ("x-role", "owner"),
    ];
    assert_eq!(call(&odd, "/whoami").status, 401);
}

#[test]
fn header_identity_that_is_not_meant_or_not_safe_does_not_start() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    for arguments in [
        ["--dev", "--set", "auth.header_identity=true"].as_slice(),
        &["--dev", "--set", "auth.allow_insecure_header_identity=true"],
        &[
            "--set",
            "auth.header_identity=true",
            "--set",
            "auth.allow_insecure_header_identity=true",
        ],
    ] {
        let dir = scratch.path().join("data");
        let ran = Command::new(env!("CARGO_BIN_EXE_g3n"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--operator-listen",
                "127.0.0.1:0",
                "--data-dir",
            ])
            .arg(&dir)
            .args(arguments)
            .output()
            .expect("it runs");
        assert_eq!(ran.status.code(), Some(78), "{arguments:?}");
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(
            told.contains("auth.allow_insecure_header_identity"),
            "{told}"
        );
        assert!(!dir.exists(), "nothing is left behind");
    }
}
