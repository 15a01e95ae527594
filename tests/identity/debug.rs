//! What can be printed for debugging shows no secret: of callers, of operators, of settings and of answers.

use std::fmt::Debug;
use std::os::unix::fs::PermissionsExt;

use clap::Parser;
use metarecord::boot::{Options, Ready};
use metarecord::cli::Cli;
use metarecord::cli::failure::Failure;
use metarecord::client::{Client, Credential, CredentialKind, Reply, Transfer};
use metarecord::clock::Clock;
use metarecord::config::Settings;
use metarecord::content::sign::Signer;
use metarecord::development::Seeded;
use metarecord::domain::Timestamp;
use metarecord::domain::secret::SecretCode;
use metarecord::domain::user::User;
use metarecord::http::reply;
use metarecord::token::{TokenSettings, Verifier};
use serde_json::json;

use super::canaries::check;
use crate::token::issuer::Key;

const CANARY: &str = "canary-a94e0c27b6-canary-a94e0c27b6";

fn canary() -> String {
    CANARY.to_owned()
}

fn shows_nothing(what: &str, value: &impl Debug) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        check(what, text.as_bytes(), &[CANARY]);
        // Bytes are printed as numbers.
        let bytes: Vec<_> = CANARY.bytes().map(|byte| byte.to_string()).collect();
        let plain: String = text.split_whitespace().collect();
        assert!(!plain.contains(&bytes.join(",")), "{what}: {text}");
    }
}

#[test]
fn credentials_and_those_who_hold_them_print_nothing_of_them() {
    for credential in [
        Credential::SessionGuid(canary()),
        Credential::ApiKey(canary()),
        Credential::OperatorToken(canary()),
    ] {
        shows_nothing("a credential", &credential);
        shows_nothing("a client", &Client::new("http://127.0.0.1:1", credential));
    }
    let seeded = Seeded {
        orgcode: "DEMO".to_owned(),
        user_id: "u".to_owned(),
        email: "demo@example.com".to_owned(),
        passcode: canary(),
        session_guid: canary(),
        secret_code: canary(),
    };
    shows_nothing("the identities of development", &seeded);
    let ready = Ready {
        base_url: String::new(),
        operator_url: String::new(),
        seconds: 1.0,
        seeded: Some(seeded),
        first_steps: None,
        warnings: Vec::new(),
        gateway: std::sync::Weak::new(),
    };
    shows_nothing("what a server tells when it is ready", &ready);
    let user = User {
        passcode_hash: canary(),
        ..User::default()
    };
    shows_nothing("a user", &user);
    let code = SecretCode {
        code_hash: Some(canary()),
        ..SecretCode::default()
    };
    shows_nothing("the secret code", &code);
    let mut key = [0; 32];
    key.copy_from_slice(&CANARY.as_bytes()[..32]);
    let printed = format!("{:?}", Signer::new(key));
    assert_eq!(printed, "Signer");
}

#[test]
fn answers_that_show_a_secret_once_print_nothing_of_it() {
    let answer = json!({"success": true, "data": {"session_guid": CANARY, "api_key": CANARY}});
    let reply = || Reply {
        status: 200,
        headers: [("x-secret", CANARY)]
            .into_iter()
            .map(|(name, value)| {
                (
                    name.parse().expect("a name"),
                    value.parse().expect("a value"),
                )
            })
            .collect(),
        text: answer.to_string(),
        envelope: answer.clone(),
        credential: CredentialKind::None,
    };
    shows_nothing("an answer", &reply());
    shows_nothing("a transfer", &Transfer::Refused(reply()));
    shows_nothing("a failure", &Failure::Refused(Box::new(reply())));
    let made = reply::Reply::of(&answer["data"]).expect("an answer");
    shows_nothing("an answer being made", &made);
}

#[test]
fn settings_print_no_values_because_an_address_may_be_secret_in_part() {
    let address = format!("https://id:{CANARY}@example.com/keys?token={CANARY}");
    let sets = [format!("auth.jwt_jwks_url={address}")];
    let settings = Settings::load(None, std::iter::empty(), &sets, &[]).expect("settings");
    assert_eq!(settings.auth.jwt_jwks_url, address);
    shows_nothing("the settings", &settings);
    let options = Options::new(std::path::Path::new("data"), true, &settings);
    assert_eq!(options.tokens.jwks_url, address);
    shows_nothing("what a server is started with", &options);
}

#[test]
fn keys_and_tokens_of_an_identity_provider_are_not_printed() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("hmac");
    std::fs::write(&path, CANARY).expect("written");
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, private).expect("set");
    let settings = TokenSettings {
        issuer: "https://id.example".to_owned(),
        audience: "metarecord".to_owned(),
        hmac_file: path.display().to_string(),
        ..TokenSettings::default()
    };
    let now = Timestamp::from_millis(1_800_000_000_000);
    let verifier = Verifier::open(&settings, Clock::manual(now)).expect("settings");
    let verifier = verifier.expect("a verifier");
    shows_nothing("what checks tokens", &verifier);
    let claims = json!({"iss": settings.issuer, "aud": settings.audience, "sub": "ann",
        "org": "one", "role": "member", "exp": now.millis() / 1_000 + 60});
    let token = Key::secret(CANARY.as_bytes()).token_of(&claims);
    let signature = token.rsplit('.').next().expect("a signature");
    let told = format!("{:?}", verifier.verify(&token).expect("it is good"));
    assert!(!told.contains(signature), "{told}");
    let refused = verifier
        .verify(&format!("{CANARY}.{token}"))
        .expect_err("it is none");
    shows_nothing("a refusal", &refused);
}

#[test]
fn command_lines_print_no_secret_that_a_flag_holds() {
    for line in [
        "usm session-create --email a@example.com --passcode CANARY",
        "usm session-validate --which CANARY",
        "usm session-close --which CANARY",
        "usm api-key-validate --which CANARY",
        "uas stat --email a@example.com --passcode CANARY",
        "uas user-create --email a@example.com --passcode CANARY",
        "ops secret-set --secret-code CANARY --new-secret-code CANARY",
        "ops maintenance-end --secret-code CANARY",
        "ops vacuum-all --secret-code CANARY --reason r --confirmation-phrase p",
        "ops vacuum-cancel --secret-code CANARY --vacuum-id v",
    ] {
        let line = format!("g3n {}", line.replace("CANARY", CANARY));
        let cli = Cli::try_parse_from(line.split(' ')).expect("it is understood");
        shows_nothing(&line.replace(CANARY, "..."), &cli.command);
    }
}
