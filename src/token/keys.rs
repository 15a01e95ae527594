//! The keys for checking tokens: the fit ones of a JSON Web Key Set (RFC 7517), or one shared secret.

use std::collections::HashSet;

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::jwk::{Key, text};

/// Maximum number of keys in a set.
const KEYS_MAX: usize = 100;
/// Most keys tried for a token that has no key id: two of a rotation on each side, some 100 µs of RSA. A forged token
/// has each of them tried.
const TRIED_MAX: usize = 4;

/// Why a whole set of keys is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// The bytes are not a JSON key set.
    #[error("it is not a key set: a JSON object whose member keys is a list of objects")]
    NotASet,
    /// Too large to be searched for every token.
    #[error("it has over {KEYS_MAX} keys")]
    TooMany,
    /// It has a secret: anybody who reads the set could forge tokens.
    #[error(
        "it has a secret in it (a key of type oct), with which anybody who reads the set could sign; give the secret by auth.jwt_hmac_file, and only public keys in a set"
    )]
    Secret,
    /// It has a private key: anybody who reads the set could forge tokens.
    #[error(
        "it has a private key in it (a key with a member d), with which anybody who reads the set could sign; create new keys, and publish only their public part"
    )]
    Private,
    /// Two keys have the same id.
    #[error("two of its keys have the id {0:?}; give each its own kid")]
    Twice(String),
    /// None of its keys can check tokens.
    #[error(
        "none of its {0} keys can check tokens; it takes RSA of 2048 bits or more for RS256, or P-256 for ES256, not meant for encryption"
    )]
    NoneFit(usize),
}

/// The keys of one issuer; never empty.
#[derive(Debug)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Deserialize)]
struct Written {
    keys: Vec<Map<String, Value>>,
}

impl KeySet {
    /// Parses a set. Keys of other kinds, and unfit ones, are left out (RFC 7517, section 5).
    pub(super) fn parse(json: &[u8]) -> Result<Self, KeysError> {
        let written: Written = serde_json::from_slice(json).map_err(|_| KeysError::NotASet)?;
        let count = written.keys.len();
        if count > KEYS_MAX {
            return Err(KeysError::TooMany);
        }
        let has = |name: &str| written.keys.iter().any(|key| key.contains_key(name));
        if has("k")
            || written
                .keys
                .iter()
                .any(|key| text(key, "kty") == Some("oct"))
        {
            return Err(KeysError::Secret);
        }
        if has("d") {
            return Err(KeysError::Private);
        }
        let keys: Vec<Key> = written.keys.iter().filter_map(Key::of).collect();
        let mut ids = HashSet::new();
        if let Some(twice) = keys
            .iter()
            .flat_map(|key| &key.kid)
            .find(|kid| !ids.insert(*kid))
        {
            return Err(KeysError::Twice(twice.clone()));
        }
        if keys.is_empty() {
            return Err(KeysError::NoneFit(count));
        }
        Ok(Self(keys))
    }

    /// A set with a shared secret as its only key.
    pub(super) fn of_secret(secret: &[u8]) -> Self {
        Self(vec![Key {
            kid: None,
            algorithm: Algorithm::HS256,
            decoding: DecodingKey::from_secret(secret),
        }])
    }

    /// The keys that a token may have been signed with: that of its key id. Any of its algorithm when it has no key id,
    /// which RFC 7515, section 4.1.4, leaves to the issuer, but no more than [`TRIED_MAX`]; and the only key there is when that has
    /// none.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<&Key> {
        match (kid, &self.0[..]) {
            (_, [only]) if kid.is_none() || only.kid.is_none() => vec![only],
            (None, keys) => {
                let fit: Vec<_> = keys
                    .iter()
                    .filter(|key| key.algorithm == algorithm)
                    .take(TRIED_MAX + 1)
                    .collect();
                if fit.len() > TRIED_MAX {
                    return Vec::new();
                }
                fit
            }
            (Some(_), keys) => {
                let named = keys.iter().find(|key| key.kid.as_deref() == kid);
                named.into_iter().collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::jwk::tests::{encode, p256_key, with};
    use super::*;

    fn parse(keys: &[Value]) -> Result<KeySet, KeysError> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn what_could_sign_refuses_the_whole_set() {
        let good = p256_key();
        let secret = json!({"kty": "oct", "k": encode(&[7; 32]), "kid": "s"});
        for (bad, error) in [
            (secret, KeysError::Secret),
            (json!({"kty": "oct"}), KeysError::Secret),
            (with(&good, json!({"k": "AA"})), KeysError::Secret),
            (with(&good, json!({"d": "AA"})), KeysError::Private),
            (json!({"kty": "OKP", "d": "AA"}), KeysError::Private),
        ] {
            assert_eq!(parse(&[good.clone(), bad]).err(), Some(error));
        }
    }

    #[test]
    fn ids_are_unique_among_the_keys_that_are_taken() {
        let (one, two) = (p256_key(), p256_key());
        let named = |key: &Value, kid: &str| with(key, json!({ "kid": kid }));
        let twice = parse(&[named(&one, "a"), named(&two, "a")]);
        assert_eq!(twice.err(), Some(KeysError::Twice("a".to_owned())));
        let left_out = with(&named(&two, "a"), json!({"use": "enc"}));
        assert!(parse(&[named(&one, "a"), left_out]).is_ok());
    }

    #[test]
    fn only_a_set_is_a_set() {
        for text in ["", "[]", "{}", "null", r#"{"keys":{}}"#, r#"{"keys":[1]}"#] {
            let error = KeySet::parse(text.as_bytes()).err();
            assert_eq!(error, Some(KeysError::NotASet), "{text}");
        }
        assert_eq!(parse(&[]).err(), Some(KeysError::NoneFit(0)));
        assert_eq!(parse(&vec![json!({}); 101]).err(), Some(KeysError::TooMany));
        assert_eq!(
            parse(&vec![json!({}); 100]).err(),
            Some(KeysError::NoneFit(100))
        );
    }

    #[test]
    fn keys_are_found_by_id_or_else_tried_by_algorithm() {
        let named = |kid: &str| with(&p256_key(), json!({ "kid": kid }));
        let bare = p256_key();
        let many: Vec<_> = (0..5).map(|number| named(&number.to_string())).collect();
        for (keys, kid, found) in [
            (vec![named("a"), named("b")], Some("b"), &[Some("b")][..]),
            (vec![named("a"), named("b")], Some("c"), &[]),
            (vec![named("a"), named("b")], None, &[Some("a"), Some("b")]),
            (vec![named("a"), bare.clone()], None, &[Some("a"), None]),
            (vec![named("a"), bare.clone()], Some("c"), &[]),
            (vec![named("a")], Some("a"), &[Some("a")]),
            (vec![named("a")], Some("b"), &[]),
            (vec![named("a")], Some(""), &[]),
            (vec![named("a")], None, &[Some("a")]),
            (vec![bare.clone()], None, &[None]),
            (vec![bare.clone()], Some("a"), &[None]),
            // Any caller can cause these attempts: there is a limit to them.
            (many, None, &[]),
        ] {
            let keys = parse(&keys).unwrap();
            let tried = keys.find(kid, Algorithm::ES256);
            let tried: Vec<_> = tried.iter().map(|key| key.kid.as_deref()).collect();
            assert_eq!(tried, found, "{kid:?} in {keys:?}");
            if kid.is_none() && keys.0.len() > 1 {
                assert!(keys.find(kid, Algorithm::RS256).is_empty());
            }
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        let keys = KeySet::of_secret(b"hush hush hush hush hush hush hush");
        let printed = format!("{keys:?}");
        assert!(
            !printed.contains("hush") && !printed.contains("104"),
            "{printed}"
        );
    }
}
