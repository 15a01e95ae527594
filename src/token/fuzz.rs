//! Tokens of an identity provider and sets of its keys, tried with whatever comes from outside.

use jsonwebtoken::{EncodingKey, Header as TheirHeader};
use serde_json::{Value, json};

use super::claims::Checks;
use super::header::Header;
use super::keys::KeySet;
use crate::domain::Timestamp;
use crate::fuzz;

const SECRET: &[u8] = b"a secret of the tests, 32 bytes!";
/// 2027-01-15.
const NOW_MS: i64 = 1_800_000_000_000;

fn checks() -> Checks {
    Checks {
        issuer: "issuer".to_owned(),
        audiences: vec!["metarecord".to_owned()],
        org_claim: "org".to_owned(),
        role_claim: "role".to_owned(),
        life_ms_max: 86_400_000,
    }
}

fn claims() -> Value {
    json!({"iss": "issuer", "aud": ["metarecord"], "sub": "somebody", "org": "DEMO", "role": "writer",
        "exp": 1_800_000_600, "iat": 1_799_999_000, "nbf": 1_799_999_000, "jti": "1"})
}

#[test]
fn fuzz_jwt() {
    let sign = |claims: &Value| {
        let key = EncodingKey::from_secret(SECRET);
        jsonwebtoken::encode(&TheirHeader::default(), claims, &key).expect("it can be signed")
    };
    let signed = [sign(&claims()), sign(&json!({}))];
    let seeds: Vec<_> = signed
        .iter()
        .map(|token| token.clone().into_bytes())
        .chain([claims().to_string().into_bytes()])
        .collect();
    let keys = KeySet::of_secret(SECRET);
    fuzz::each("jwt", &seeds, |bytes| {
        if let Ok(claims) = serde_json::from_slice(bytes) {
            let now = Timestamp::from_millis(NOW_MS);
            if let Ok(bearer) = checks().bearer(&claims, now) {
                assert!((1..=255).contains(&bearer.subject.len()));
                assert!((1..=64).contains(&bearer.role.len()));
            }
        }
        let Ok(token) = std::str::from_utf8(bytes) else {
            return;
        };
        let Ok(header) = Header::read(token) else {
            return;
        };
        let tried = keys.find(header.kid.as_deref(), header.algorithm);
        if !tried.is_empty() {
            let opened = |key: &&super::jwk::Key| key.open(token, header.algorithm).is_ok();
            let opened = tried.iter().any(opened);
            assert_eq!(opened, signed.iter().any(|one| one == token), "{token}");
        }
    });
}

#[test]
fn fuzz_key_sets() {
    fuzz::each("key_sets", &[], |json| {
        // One that is refused is said why.
        if let Err(error) = KeySet::parse(json) {
            assert!(!error.to_string().is_empty());
        }
    });
}
