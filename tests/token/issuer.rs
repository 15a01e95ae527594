//! An identity provider in miniature: keys, what it publishes of them, and tokens, good and bad, that it really signs.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PKCS1_SHA256, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use metarecord::token::{TokenSettings, Verifier};
use serde_json::{Value, json};

/// When the tests happen, in seconds since 1970.
pub(crate) const NOW: i64 = 2_000_000_000;
/// The issuer.
pub(crate) const ISSUER: &str = "https://id.example";
/// How it names the server.
pub(crate) const AUDIENCE: &str = "metarecord";

/// A key that signs.
pub(crate) enum Key {
    Rsa(&'static RsaKeyPair),
    P256(EcdsaKeyPair),
    Secret(Vec<u8>),
}

impl Key {
    /// The RSA key of this process: a new one takes a while.
    pub(crate) fn rsa() -> Self {
        static PAIR: OnceLock<RsaKeyPair> = OnceLock::new();
        Self::Rsa(PAIR.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).expect("a key")))
    }

    /// A new key for ES256.
    pub(crate) fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }

    /// A secret.
    pub(crate) fn secret(bytes: &[u8]) -> Self {
        Self::Secret(bytes.to_vec())
    }

    /// Its public part with an id.
    pub(crate) fn public(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "n": encode(&parts.n), "e": encode(&parts.e), "kid": kid, "use": "sig", "alg": "RS256"})
            }
            Self::P256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y), "kid": kid, "use": "sig"})
            }
            Self::Secret(_) => panic!("a secret has no public part"),
        }
    }

    /// The public RSA key as the bytes that a confused server would take for a secret.
    pub(crate) fn public_der(&self) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => {
                let der: PublicKeyX509Der = pair.public_key().as_der().expect("DER");
                der.as_ref().to_vec()
            }
            Self::P256(_) | Self::Secret(_) => panic!("only of RSA"),
        }
    }

    /// The private key in the forms that programs write it in.
    pub(crate) fn private_pems(&self) -> Vec<String> {
        match self {
            Self::Rsa(pair) => {
                let der: Pkcs8V1Der = pair.as_der().expect("DER");
                // Ahead of the key there is its kind, in 26 bytes when it has 2048 bits.
                let alone = &der.as_ref()[26..];
                vec![
                    pem("PRIVATE KEY", der.as_ref()),
                    pem("RSA PRIVATE KEY", alone),
                ]
            }
            Self::P256(pair) => {
                let der = pair.to_pkcs8v1().expect("DER");
                let alone: EcPrivateKeyRfc5915Der = pair.private_key().as_der().expect("DER");
                vec![
                    pem("PRIVATE KEY", der.as_ref()),
                    pem("EC PRIVATE KEY", alone.as_ref()),
                ]
            }
            Self::Secret(_) => Vec::new(),
        }
    }

    /// The name of its algorithm.
    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
            Self::Secret(_) => "HS256",
        }
    }

    /// A good token.
    pub(crate) fn token(&self, kid: &str) -> String {
        self.sign(&self.header(kid), &claims())
    }

    /// A token of these claims whose head names no key.
    pub(crate) fn token_of(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": self.algorithm(), "typ": "JWT"}), claims)
    }

    /// The head of a good token.
    pub(crate) fn header(&self, kid: &str) -> Value {
        json!({"alg": self.algorithm(), "typ": "JWT", "kid": kid})
    }

    /// Signs whatever it is given.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// Signs whatever it is given, JSON or not.
    pub(crate) fn sign_text(&self, header: &str, claims: &str) -> String {
        let message = format!(
            "{}.{}",
            encode(header.as_bytes()),
            encode(claims.as_bytes())
        );
        let random = SystemRandom::new();
        let signature = match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let signed = pair.sign(
                    &RSA_PKCS1_SHA256,
                    &random,
                    message.as_bytes(),
                    &mut signature,
                );
                signed.map(|()| signature).expect("signed")
            }
            Self::P256(pair) => {
                let signature = pair.sign(&random, message.as_bytes()).expect("signed");
                signature.as_ref().to_vec()
            }
            Self::Secret(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
            }
        };
        format!("{message}.{}", encode(&signature))
    }
}

/// Private keys of kinds that are not taken, and what is none.
pub(crate) fn other_pems() -> Vec<String> {
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("a key");
    let ed25519 = Ed25519KeyPair::generate().expect("a key");
    vec![
        pem("PRIVATE KEY", p384.to_pkcs8v1().expect("DER").as_ref()),
        pem("PRIVATE KEY", ed25519.to_pkcs8v1().expect("DER").as_ref()),
        pem("PRIVATE KEY", b"nothing"),
        pem("PUBLIC KEY", &Key::rsa().public_der()),
        String::new(),
    ]
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// Good claims.
pub(crate) fn claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "u-1", "org": "ACME", "role": "mrs_writer",
        "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 600})
}

/// Claims or a head with a member changed; `null` takes it away.
pub(crate) fn with(object: &Value, name: &str, value: Value) -> Value {
    let mut object = object.clone();
    match value {
        Value::Null => drop(object.as_object_mut().expect("an object").remove(name)),
        value => object[name] = value,
    }
    object
}

/// A set of keys.
pub(crate) fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// Base64 as tokens have it.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Settings with the issuer and the audience, and no keys.
pub(crate) fn settings() -> TokenSettings {
    TokenSettings {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        ..TokenSettings::default()
    }
}

/// A clock that stands at the time of the tests.
pub(crate) fn clock() -> Clock {
    Clock::manual(Timestamp::from_millis(NOW * 1_000))
}

/// A verifier by settings that are good.
pub(crate) fn verifier(settings: &TokenSettings, clock: &Clock) -> Verifier {
    let opened = Verifier::open(settings, clock.clone());
    let opened = opened.unwrap_or_else(|error| panic!("{error}"));
    opened.expect("the settings name keys")
}

/// Why settings are refused.
pub(crate) fn refused(settings: &TokenSettings) -> String {
    let mut text = String::new();
    let error = Verifier::open(settings, clock()).expect_err("refused");
    let mut next: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = next {
        text.push_str(&format!("{error}: "));
        next = error.source();
    }
    text
}

/// Writes a file that only its owner can read.
pub(crate) fn private_file(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, bytes).expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("changed");
    path
}

/// Settings whose keys are in a file of this text.
pub(crate) fn settings_of_file(directory: &Path, text: &str) -> TokenSettings {
    let path = private_file(directory, "jwks.json", text.as_bytes());
    TokenSettings {
        jwks_file: path.display().to_string(),
        ..settings()
    }
}

/// Settings whose key is a secret in a file.
pub(crate) fn settings_of_secret(directory: &Path, secret: &[u8]) -> TokenSettings {
    let path = private_file(directory, "secret", secret);
    TokenSettings {
        hmac_file: path.display().to_string(),
        ..settings()
    }
}
