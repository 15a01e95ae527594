//! Signing tokens and creating key pairs, for trials of an external identity.

use std::path::Path;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::domain::{OrgCode, Timestamp};
use crate::token::{KeyFileError, ORG_CLAIM, ROLE_CLAIM, read_private, read_secret};

/// Characters of a line of a PEM file (RFC 7468, section 2).
const PEM_LINE_CHARS: usize = 64;

/// The cryptographic library refused to sign or to create a key.
#[derive(Debug, thiserror::Error)]
#[error("the signing library failed")]
pub(super) struct SignError;

/// A secret or private key that signs tokens; its `Debug` prints nothing.
pub(super) struct SigningKey(Kind);

enum Kind {
    Hs256(Box<hmac::Key>),
    Rs256(RsaKeyPair),
    Es256(EcdsaKeyPair),
}

/// The claims of a token, and the id of its key.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    /// The `kid` in the header, when the issuer has several keys.
    pub(super) kid: Option<String>,
    /// Issuer: the `iss` claim.
    pub(super) issuer: String,
    /// Audience: the `aud` claim.
    pub(super) audience: String,
    /// Subject: the `sub` claim.
    pub(super) subject: String,
    /// Org code of the org claim.
    pub(super) org: OrgCode,
    /// Role within that org, such as `owner`.
    pub(super) role: String,
    /// Seconds from `iat` to `exp`.
    pub(super) seconds: u32,
    /// The `jti` claim, by which the token can be revoked; left out when empty.
    pub(super) jti: String,
}

/// A new pair of keys for ES256.
pub(super) struct NewKeys {
    /// The private key, as PKCS#8 in PEM.
    pub(super) private_pem: String,
    /// A JWKS with the public key.
    pub(super) jwks: String,
    /// The id of the key: its thumbprint (RFC 7638).
    pub(super) kid: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

impl std::fmt::Debug for NewKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewKeys")
    }
}

impl SigningKey {
    /// The secret in a file, for HS256.
    ///
    /// # Errors
    /// [`KeyFileError`] when the file cannot be read, can be read by others, or is short.
    pub(super) fn from_hmac_file(path: &Path) -> Result<Self, KeyFileError> {
        let secret = read_secret(path)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        Ok(Self(Kind::Hs256(Box::new(key))))
    }

    /// The private key in a PEM file: P-256 for ES256, or RSA of 2048 bits or more for RS256.
    ///
    /// # Errors
    /// [`KeyFileError`] when the file cannot be read, can be read by others, or holds no such key.
    pub(super) fn from_pem_file(path: &Path) -> Result<Self, KeyFileError> {
        let pem = read_private(path)?;
        let key = PrivateKeyDer::from_pem_slice(&pem)
            .ok()
            .and_then(|der| kind_of(&der));
        key.map(Self).ok_or_else(|| {
            KeyFileError::unfit(
                path,
                "holds no usable private key: PEM without a password, of P-256 or of RSA with 2048 bits or more",
            )
        })
    }

    /// Signs a token that is valid from now on.
    ///
    /// # Errors
    /// [`SignError`] when the library refuses to sign.
    pub(super) fn mint(&self, grant: &Grant, now: Timestamp) -> Result<String, SignError> {
        let issued_at = now.millis() / 1_000;
        let mut claims = json!({
            "iss": grant.issuer,
            "aud": grant.audience,
            "sub": grant.subject,
            ORG_CLAIM: grant.org.as_str(),
            ROLE_CLAIM: grant.role,
            "iat": issued_at,
            "exp": issued_at + i64::from(grant.seconds),
        });
        if !grant.jti.is_empty() {
            claims["jti"] = json!(grant.jti);
        }
        let mut header = json!({"typ": "JWT", "alg": self.algorithm()});
        if let Some(kid) = &grant.kid {
            header["kid"] = json!(kid);
        }
        let message = format!("{}.{}", encode_json(&header), encode_json(&claims));
        let signature = self.sign(message.as_bytes())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn algorithm(&self) -> &'static str {
        match self.0 {
            Kind::Hs256(_) => "HS256",
            Kind::Rs256(_) => "RS256",
            Kind::Es256(_) => "ES256",
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let random = SystemRandom::new();
        match &self.0 {
            Kind::Hs256(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Kind::Es256(key) => {
                let signature = key.sign(&random, message).map_err(|_| SignError)?;
                Ok(signature.as_ref().to_vec())
            }
            Kind::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let signed = key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
                signed.map(|()| signature).map_err(|_| SignError)
            }
        }
    }
}

impl NewKeys {
    /// Creates a new key pair.
    ///
    /// # Errors
    /// [`SignError`] when the library cannot make a key.
    pub(super) fn generate() -> Result<Self, SignError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let pair = pair.map_err(|_| SignError)?;
        let der = pair.to_pkcs8v1().map_err(|_| SignError)?;
        // Uncompressed: one byte that says so, then both coordinates of 32 bytes.
        let (x, y) = match pair.public_key().as_ref() {
            [4, point @ ..] if point.len() == 64 => point.split_at(32),
            _ => return Err(SignError),
        };
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let kid = thumbprint(&x, &y);
        let key = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "sig", "alg": "ES256", "kid": kid});
        Ok(Self {
            private_pem: pem(der.as_ref()),
            jwks: format!("{:#}\n", json!({ "keys": [key] })),
            kid,
        })
    }
}

/// The key in one of the forms that openssl writes: PKCS#1, SEC 1 or PKCS#8.
fn kind_of(der: &PrivateKeyDer<'_>) -> Option<Kind> {
    let bytes = der.secret_der();
    let rsa = match der {
        PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(bytes),
        _ => RsaKeyPair::from_pkcs8(bytes),
    };
    // The library reads RSA keys of 2048 bits and more.
    if let Ok(rsa) = rsa {
        return Some(Kind::Rs256(rsa));
    }
    let p256 = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes);
    p256.ok().map(Kind::Es256)
}

/// The thumbprint of a P-256 key (RFC 7638, section 3.2).
fn thumbprint(x: &str, y: &str) -> String {
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(members))
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE_CHARS));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}

fn encode_json(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_is_that_of_the_standard() {
        // Made with Python's hashlib from the key of RFC 7517, appendix A.1.
        let print = thumbprint(
            "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        );
        assert_eq!(print, "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s");
    }

    #[test]
    fn keys_are_not_printed() {
        let keys = NewKeys::generate().unwrap();
        assert!(
            keys.private_pem
                .starts_with("-----BEGIN PRIVATE KEY-----\n")
        );
        assert!(keys.private_pem.lines().all(|line| line.len() <= 64));
        assert_eq!(format!("{keys:?}"), "NewKeys");
    }
}
