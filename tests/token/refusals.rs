//! Really signed tokens that are taken, and those that are refused with the reason why.

use metarecord::token::{Bearer, Denied, TokenSettings, Verifier};
use serde_json::{Value, json};

use super::issuer::{
    AUDIENCE, ISSUER, Key, NOW, claims, clock, encode, private_file, refused, set, settings,
    settings_of_file, settings_of_secret, verifier, with,
};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// An issuer with an RSA and a P-256 key in a file of keys, and a verifier of its tokens.
struct AppState {
    rsa: Key,
    p256: Key,
    verifier: Verifier,
    _directory: tempfile::TempDir,
}

impl AppState {
    fn new() -> Self {
        let (rsa, p256) = (Key::rsa(), Key::p256());
        let directory = tempfile::tempdir().expect("a directory");
        let keys = set(&[rsa.public("r"), p256.public("p")]);
        let verifier = verifier(&settings_of_file(directory.path(), &keys), &clock());
        Self {
            rsa,
            p256,
            verifier,
            _directory: directory,
        }
    }

    /// What is said to good claims with one of them changed.
    fn told(&self, claim: &str, value: Value) -> Result<Bearer, Denied> {
        let token = self
            .p256
            .sign(&self.p256.header("p"), &with(&claims(), claim, value));
        self.verifier.verify(&token)
    }
}

#[test]
fn good_tokens_of_every_kind_of_key_name_their_bearer() {
    let app = AppState::new();
    let directory = tempfile::tempdir().expect("a directory");
    let shared = verifier(&settings_of_secret(directory.path(), SECRET), &clock());
    for (verifier, token) in [
        (&app.verifier, app.rsa.token("r")),
        (&app.verifier, app.p256.token("p")),
        (&shared, Key::secret(SECRET).token("any")),
    ] {
        let bearer = verifier.verify(&token).expect("taken");
        assert_eq!(
            (
                bearer.subject.as_str(),
                bearer.org.as_str(),
                bearer.role.as_str()
            ),
            ("u-1", "ACME", "mrs_writer")
        );
        assert_eq!(bearer.expires_at.millis(), (NOW + 600) * 1_000);
    }
}

#[test]
fn settings_name_the_claims_of_org_and_role() {
    let key = Key::p256();
    let directory = tempfile::tempdir().expect("a directory");
    let settings = TokenSettings {
        org_claim: "https://id.example/tenant".to_owned(),
        role_claim: "grp".to_owned(),
        ..settings_of_file(directory.path(), &set(&[key.public("p")]))
    };
    let verifier = verifier(&settings, &clock());
    assert_eq!(verifier.verify(&key.token("p")), Err(Denied::Org));
    let named = with(&claims(), "https://id.example/tenant", json!("OTHER"));
    let token = key.sign(&key.header("p"), &named);
    assert_eq!(verifier.verify(&token), Err(Denied::Role));
    let token = key.sign(&key.header("p"), &with(&named, "grp", json!("mrs_reader")));
    let bearer = verifier.verify(&token).expect("taken");
    assert_eq!(
        (bearer.org.as_str(), bearer.role.as_str()),
        ("OTHER", "mrs_reader")
    );
}

#[test]
fn a_token_without_a_signature_is_refused() {
    let app = AppState::new();
    let head = json!({"alg": "none", "kid": "p"});
    let message = format!(
        "{}.{}.",
        encode(head.to_string().as_bytes()),
        encode(claims().to_string().as_bytes())
    );
    assert_eq!(app.verifier.verify(&message), Err(Denied::Algorithm));
    let signed = app.p256.sign(&head, &claims());
    assert_eq!(app.verifier.verify(&signed), Err(Denied::Algorithm));
    let token = app.p256.token("p");
    let (message, _) = token.rsplit_once('.').expect("three parts");
    assert_eq!(
        app.verifier.verify(&format!("{message}.")),
        Err(Denied::Signature)
    );
}

#[test]
fn a_public_key_is_no_secret() {
    let app = AppState::new();
    let published = app.rsa.public("r");
    for secret in [
        app.rsa.public_der(),
        published.to_string().into_bytes(),
        published["n"].as_str().expect("text").as_bytes().to_vec(),
        Vec::new(),
    ] {
        for kid in ["r", "p"] {
            let token = Key::secret(&secret).token(kid);
            assert_eq!(app.verifier.verify(&token), Err(Denied::Algorithm), "{kid}");
        }
    }
}

#[test]
fn a_key_is_for_its_own_algorithm_only() {
    let app = AppState::new();
    for (key, kid, claimed) in [
        (&app.rsa, "r", "ES256"),
        (&app.rsa, "r", "PS256"),
        (&app.rsa, "r", "RS384"),
        (&app.p256, "p", "RS256"),
        (&app.p256, "p", "ES384"),
        (&app.p256, "p", "HS256"),
    ] {
        let token = key.sign(&with(&key.header(kid), "alg", json!(claimed)), &claims());
        assert_eq!(
            app.verifier.verify(&token),
            Err(Denied::Algorithm),
            "{claimed}"
        );
    }
    // The other key's id: its algorithm is not that of the head.
    assert_eq!(
        app.verifier.verify(&app.rsa.token("p")),
        Err(Denied::Algorithm)
    );
    let directory = tempfile::tempdir().expect("a directory");
    let shared = verifier(&settings_of_secret(directory.path(), SECRET), &clock());
    assert_eq!(shared.verify(&app.rsa.token("r")), Err(Denied::Algorithm));
}

#[test]
fn only_the_issuers_keys_sign() {
    let app = AppState::new();
    let stranger = Key::p256();
    assert_eq!(
        app.verifier.verify(&stranger.token("p")),
        Err(Denied::Signature)
    );
    let directory = tempfile::tempdir().expect("a directory");
    let shared = verifier(&settings_of_secret(directory.path(), SECRET), &clock());
    let other = Key::secret(b"another secret of over 32 bytes, too");
    assert_eq!(shared.verify(&other.token("any")), Err(Denied::Signature));
    // A key that the token brings along, or an address of one, is not looked at.
    let mut head = stranger.header("p");
    head["jwk"] = stranger.public("p");
    head["jku"] = json!("https://stranger.example/jwks");
    let token = stranger.sign(&head, &claims());
    assert_eq!(app.verifier.verify(&token), Err(Denied::Signature));
    let token = stranger.sign(&with(&head, "kid", json!("s")), &claims());
    assert_eq!(app.verifier.verify(&token), Err(Denied::KeyUnknown));
}

#[test]
fn a_token_changed_in_any_one_character_is_refused() {
    let app = AppState::new();
    let token = app.p256.token("p");
    assert!(app.verifier.verify(&token).is_ok());
    for at in 0..token.len() {
        for other in ['A', 'w', '_', '.', '='] {
            let mut changed = token.clone();
            changed.replace_range(at..=at, &other.to_string());
            if changed != token {
                assert!(app.verifier.verify(&changed).is_err(), "{at} {other}");
            }
        }
    }
    assert!(app.verifier.verify(&format!("{token} ")).is_err());
}

#[test]
fn a_head_that_asks_for_more_is_refused() {
    let app = AppState::new();
    let head = app.p256.header("p");
    for (name, value, denied) in [
        ("crit", json!(["exp"]), Denied::Critical),
        ("crit", json!([]), Denied::Critical),
        ("typ", json!("logout+jwt"), Denied::Type),
        ("kid", json!("q"), Denied::KeyUnknown),
        ("kid", json!(""), Denied::KeyUnknown),
        ("kid", json!("k".repeat(300)), Denied::KeyUnknown),
    ] {
        let token = app.p256.sign(&with(&head, name, value), &claims());
        assert_eq!(app.verifier.verify(&token), Err(denied), "{name}");
    }
    // Without a key id each key of its algorithm is tried (RFC 7515, section 4.1.4).
    let bare = with(&head, "kid", json!(null));
    let bare = |key: &Key| app.verifier.verify(&key.sign(&bare, &claims()));
    assert!(bare(&app.p256).is_ok());
    assert_eq!(bare(&Key::p256()), Err(Denied::Signature));
    let twice = r#"{"alg":"RS256","alg":"ES256","kid":"p"}"#;
    let token = app.p256.sign_text(twice, &claims().to_string());
    assert_eq!(app.verifier.verify(&token), Err(Denied::Malformed));
}

#[test]
fn every_claim_is_required_and_held_against_the_settings() {
    let app = AppState::new();
    let absent = json!(null);
    for (claim, value, denied) in [
        ("exp", absent.clone(), Denied::Expiry),
        ("exp", json!("2000000600"), Denied::Expiry),
        ("exp", json!(NOW - 60), Denied::Expired),
        ("nbf", json!(NOW + 61), Denied::NotYetValid),
        ("nbf", json!("soon"), Denied::Malformed),
        ("iat", json!(NOW + 61), Denied::IssuedInFuture),
        ("iss", absent.clone(), Denied::Issuer),
        ("iss", json!("https://other.example"), Denied::Issuer),
        ("iss", json!([ISSUER]), Denied::Issuer),
        ("aud", absent.clone(), Denied::Audience),
        ("aud", json!("other"), Denied::Audience),
        ("aud", json!([]), Denied::Audience),
        ("aud", json!(["other"]), Denied::Audience),
        ("sub", absent.clone(), Denied::Subject),
        ("sub", json!(""), Denied::Subject),
        ("sub", json!("  "), Denied::Subject),
        ("sub", json!("s".repeat(256)), Denied::Subject),
        ("sub", json!(7), Denied::Subject),
        ("org", absent.clone(), Denied::Org),
        ("org", json!("no org"), Denied::Org),
        ("org", json!(["ACME"]), Denied::Org),
        ("role", absent, Denied::Role),
        ("role", json!(""), Denied::Role),
        ("role", json!("r".repeat(65)), Denied::Role),
        ("role", json!(["mrs_writer"]), Denied::Role),
    ] {
        assert_eq!(
            app.told(claim, value.clone()),
            Err(denied),
            "{claim} {value}"
        );
    }
    for (claim, value) in [
        ("aud", json!([AUDIENCE])),
        ("aud", json!(["other", AUDIENCE])),
        ("exp", json!(NOW - 59)),
        ("nbf", json!(NOW + 60)),
        ("iat", json!(NOW + 60)),
        ("iat", json!(null)),
        ("nbf", json!(null)),
    ] {
        assert!(app.told(claim, value.clone()).is_ok(), "{claim} {value}");
    }
}

#[test]
fn time_is_the_servers_own() {
    let key = Key::p256();
    let directory = tempfile::tempdir().expect("a directory");
    let clock = clock();
    let settings = settings_of_file(directory.path(), &set(&[key.public("p")]));
    let verifier = verifier(&settings, &clock);
    let token = key.token("p");
    clock.advance(659_999);
    assert!(verifier.verify(&token).is_ok());
    clock.advance(1);
    assert_eq!(verifier.verify(&token), Err(Denied::Expired));
}

#[test]
fn what_is_no_token_or_too_long_is_refused() {
    let app = AppState::new();
    let head = app.p256.header("p").to_string();
    for claims in ["", "[]", "null", "\"text\"", "{", "{\"exp\":}"] {
        let token = app.p256.sign_text(&head, claims);
        assert_eq!(
            app.verifier.verify(&token),
            Err(Denied::Malformed),
            "{claims}"
        );
    }
    for token in ["", ".", "..", "a.b.c", "e30.e30.e30", "\u{0}.\u{0}.\u{0}"] {
        assert_eq!(
            app.verifier.verify(token),
            Err(Denied::Malformed),
            "{token:?}"
        );
    }
    let filled = |bytes: usize| {
        let filled = with(&claims(), "other", json!("x".repeat(bytes)));
        app.p256.sign(&app.p256.header("p"), &filled)
    };
    let fits = filled(5_700);
    assert!((7_800..=8_192).contains(&fits.len()), "{}", fits.len());
    assert!(app.verifier.verify(&fits).is_ok());
    assert_eq!(app.verifier.verify(&filled(6_000)), Err(Denied::TooLong));
    assert_eq!(
        app.verifier.verify(&".".repeat(8_193)),
        Err(Denied::TooLong)
    );
}

#[test]
fn keys_for_encryption_check_nothing() {
    let (key, other) = (Key::rsa(), Key::p256());
    let directory = tempfile::tempdir().expect("a directory");
    let sealed = with(&key.public("r"), "use", json!("enc"));
    let settings_of = |keys: &[Value]| settings_of_file(directory.path(), &set(keys));
    let both = verifier(&settings_of(&[sealed.clone(), other.public("p")]), &clock());
    assert_eq!(both.verify(&key.token("r")), Err(Denied::KeyUnknown));
    let told = refused(&settings_of(&[sealed]));
    assert!(told.contains("none of its 1 keys can check"), "{told}");
}

#[test]
fn unusable_key_sets_are_refused_with_the_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    let key = Key::p256();
    let short = json!({"kty": "RSA", "kid": "r", "e": "AQAB", "n": encode(&[0xff; 128])});
    let secret = json!({"kty": "oct", "kid": "s", "k": encode(SECRET)});
    for (text, told) in [
        (set(&[key.public("p"), secret]), "auth.jwt_hmac_file"),
        (
            set(&[with(&key.public("p"), "d", json!("AA"))]),
            "private key",
        ),
        (
            set(&[key.public("p"), Key::p256().public("p")]),
            "give each its own kid",
        ),
        (set(&[short]), "none of its 1 keys can check"),
        (set(&[]), "none of its 0 keys can check"),
        ("not JSON".to_owned(), "not a key set"),
        (" ".repeat(1_048_577), "over 1 MiB"),
    ] {
        let error = refused(&settings_of_file(directory.path(), &text));
        assert!(error.contains(told), "{error}");
    }
    let mut settings = settings();
    settings.jwks_file = directory.path().join("nowhere").display().to_string();
    assert!(refused(&settings).contains("cannot be read"));
}

#[test]
fn a_short_or_readable_secret_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory");
    let told = refused(&settings_of_secret(directory.path(), &SECRET[1..]));
    assert!(told.contains("under 32 bytes"), "{told}");
    let path = private_file(directory.path(), "open", SECRET);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("changed");
    let mut settings = settings();
    settings.hmac_file = path.display().to_string();
    let told = refused(&settings);
    assert!(told.contains("chmod 600"), "{told}");
}

#[test]
fn a_refusal_says_nothing_of_the_token() {
    let app = AppState::new();
    let denied = app.told("sub", json!("")).expect_err("refused");
    assert_eq!(denied.to_string(), "token-subject");
    assert_eq!(format!("{denied:?} {:?}", app.verifier), "Subject Verifier");
}
