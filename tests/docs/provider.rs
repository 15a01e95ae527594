//! `docs/identity-provider.md`, held against what a server takes.

use std::path::Path;

use metarecord::clock::Clock;
use metarecord::config::Settings;
use metarecord::domain::Timestamp;
use metarecord::http::auth::access::{GRANTS, Role};
use metarecord::token::Denied;
use serde_json::{Value, json};

use super::page::{Page, root};
use crate::support::{Got, Server, agent, got};
use crate::token::issuer::{Key, set, settings_of_file, verifier, with};

const PAGE: &str = "docs/identity-provider.md";

/// The claims that the page shows as those of Keycloak.
fn claims() -> Value {
    let page = Page::read(Path::new(PAGE));
    let block = page.blocks.iter().find(|block| block.info == "json");
    serde_json::from_str(&block.expect("a block").text).expect("JSON")
}

/// A set of keys as a realm of Keycloak has it: with one for encryption.
fn realm(key: &Key) -> String {
    let mut other = Key::rsa().public("for-encryption");
    other["use"] = json!("enc");
    other["alg"] = json!("RSA-OAEP");
    set(&[other, key.public("for-signatures")])
}

#[test]
fn the_token_of_the_worked_example_is_taken() {
    let scratch = tempfile::tempdir().expect("a directory");
    let key = Key::rsa();
    let claims = claims();
    let now = claims["iat"].as_i64().expect("a time") + 10;
    let clock = Clock::manual(Timestamp::from_millis(now * 1_000));
    let mut settings = settings_of_file(scratch.path(), &realm(&key));
    settings.issuer = claims["iss"].as_str().expect("an issuer").to_owned();
    let verifier = verifier(&settings, &clock);
    let told = |claims: &Value, kid: &str| verifier.verify(&key.sign(&key.header(kid), claims));
    let bearer = told(&claims, "for-signatures").expect("taken");
    assert_eq!(
        (bearer.org.as_str(), bearer.role.as_str()),
        ("ACME", "mrs_writer")
    );
    for (claim, value, denied) in [
        ("aud", json!("account"), Denied::Audience),
        ("org", json!(["ACME"]), Denied::Org),
        ("org", Value::Null, Denied::Org),
        ("role", json!(["mrs_writer"]), Denied::Role),
        ("role", Value::Null, Denied::Role),
        ("exp", json!(now + 90_000), Denied::Lifetime),
    ] {
        let refused = told(&with(&claims, claim, value.clone()), "for-signatures");
        assert_eq!(refused, Err(denied), "{claim} {value}");
    }
    assert_eq!(told(&claims, "for-encryption"), Err(Denied::KeyUnknown));
}

#[test]
fn the_page_has_each_role_and_setting_of_tokens() {
    let page = std::fs::read_to_string(root().join(PAGE)).expect("the page");
    for (role, _) in GRANTS {
        assert!(
            page.contains(&format!("| `{}` |", role.as_str())),
            "{role:?}"
        );
    }
    let settings = Settings::load(None, std::iter::empty(), &[], &[]).expect("the defaults");
    for row in settings
        .rows()
        .iter()
        .filter(|row| row.name.starts_with("auth.jwt_"))
    {
        assert!(page.contains(&format!("`{}`", row.name)), "{}", row.name);
    }
}

/// A call by a token: a POST when it has a body.
fn call(server: &Server, token: &str, path: &str, body: Option<&Value>) -> Got {
    let (url, agent) = (format!("{}{path}", server.base_url), agent());
    got(match body {
        Some(body) => {
            let request = agent.post(url).header("authorization", token);
            request
                .content_type("application/json")
                .send(body.to_string())
        }
        None => agent.get(url).header("authorization", token).call(),
    })
}

/// What each role may do by a token, as the page says it.
#[test]
fn each_role_by_claim_may_do_what_the_page_says() {
    let scratch = tempfile::tempdir().expect("a directory");
    let key = Key::rsa();
    let file = scratch.path().join("jwks.json");
    std::fs::write(&file, realm(&key)).expect("written");
    let claims = claims();
    let issuer = claims["iss"].as_str().expect("an issuer");
    let sets = [
        format!("auth.jwt_jwks_file={}", file.display()),
        format!("auth.jwt_issuer={issuer}"),
        "auth.jwt_audience=metarecord".to_owned(),
    ];
    let arguments: Vec<&str> = sets.iter().flat_map(|one| ["--set", one]).collect();
    let server = Server::start_in(&scratch.path().join("data"), &arguments);
    let now = Clock::system().now().millis() / 1_000;
    let owner = Some(Role::Owner);
    for role in ["owner", "member", "mrs_writer", "mrs_reader", "admin"] {
        let claims = with(&claims, "iat", json!(now));
        let claims = with(&claims, "exp", json!(now + 300));
        let claims = with(&claims, "org", json!(server.orgcode));
        let token = key.sign(
            &key.header("for-signatures"),
            &with(&claims, "role", json!(role)),
        );
        let token = format!("Bearer {token}");
        let rank = Role::parse(role);
        let org = json!({"orgcode": server.orgcode});
        let put = json!({"orgcode": server.orgcode, "container": "notes", "content_type": "application/json", "payload": 1});
        let account = json!({"orgcode": server.orgcode, "label": "made by a token"});
        let writes = rank.is_some_and(|rank| rank != Role::Reader);
        let sees = matches!(rank, Some(Role::Owner | Role::Member));
        for (path, body, may) in [
            ("/mrs/record", &put, writes),
            ("/ofm/member/list", &org, sees),
            ("/usm/service_account/create", &account, rank == owner),
            ("/usm/session/list", &json!({}), false),
            (
                "/uas/passcode/change",
                &json!({"passcode": "a", "new_passcode": "b"}),
                false,
            ),
            ("/ofm/invitation/mine", &json!({}), false),
        ] {
            let got = call(&server, &token, path, Some(body));
            let status = if may { 200 } else { 403 };
            assert_eq!(got.status, status, "{role} {path}: {:?}", got.json());
        }
        let listed = call(&server, &token, "/mrs/list?orgcode=DEMO", None);
        assert_eq!(
            listed.status,
            if rank.is_some() { 200 } else { 403 },
            "{role}"
        );
        let other = call(&server, &token, "/mrs/list?orgcode=OTHER", None);
        assert_eq!(other.status, 404, "{role}");
    }
    let members = server
        .post("/ofm/member/list", &json!({"orgcode": server.orgcode}))
        .data();
    assert_eq!(
        members["items"].as_array().map(Vec::len),
        Some(1),
        "{members}"
    );
}
