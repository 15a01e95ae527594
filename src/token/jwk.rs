//! One key of a JSON Web Key Set (RFC 7517): whether it may check tokens, and by which algorithm.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};

use super::Denied;

/// Maximum length of a key id, in bytes.
pub(super) const KID_BYTES_MAX: usize = 256;
/// Bits of an RSA key: at least those of RFC 7518, section 3.3, and no more than the library takes.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
/// Longest exponent of an RSA key, in bytes; larger ones only make checking slow.
const EXPONENT_BYTES_MAX: usize = 4;
/// Bytes of each coordinate of a P-256 key (RFC 7518, section 6.2.1.2).
const COORDINATE_BYTES: usize = 32;

/// A key with its only algorithm. `Debug` prints none of its bytes.
#[derive(Debug)]
pub(super) struct Key {
    /// The id, when the set gives one.
    pub(super) kid: Option<String>,
    /// The only algorithm it checks.
    pub(super) algorithm: Algorithm,
    /// The key in the library's form.
    pub(super) decoding: DecodingKey,
}

impl Key {
    /// A key from its JSON members; `None` when it is not fit.
    pub(super) fn of(written: &Map<String, Value>) -> Option<Self> {
        let kid = match written.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= KID_BYTES_MAX => Some(kid.clone()),
            Some(_) => return None,
        };
        let (algorithm, name, decoding) = match text(written, "kty")? {
            "RSA" => (Algorithm::RS256, "RS256", rsa(written)?),
            "EC" => (Algorithm::ES256, "ES256", p256(written)?),
            _ => return None,
        };
        let for_this = !written.contains_key("alg") || text(written, "alg") == Some(name);
        (for_this && for_signatures(written)).then_some(Self {
            kid,
            algorithm,
            decoding,
        })
    }

    /// Checks the signature of a token and returns its claims, unchecked.
    pub(super) fn open(
        &self,
        token: &str,
        algorithm: Algorithm,
    ) -> Result<Map<String, Value>, Denied> {
        // The library refuses it, too; this does not rely on that.
        if algorithm != self.algorithm {
            return Err(Denied::Algorithm);
        }
        let mut signature_only = Validation::new(self.algorithm);
        signature_only.validate_exp = false;
        signature_only.validate_aud = false;
        signature_only.required_spec_claims.clear();
        match jsonwebtoken::decode(token, &self.decoding, &signature_only) {
            Ok(token) => Ok(token.claims),
            Err(error) => Err(match error.kind() {
                ErrorKind::InvalidSignature => Denied::Signature,
                ErrorKind::InvalidAlgorithm | ErrorKind::InvalidKeyFormat => Denied::Algorithm,
                _ => Denied::Malformed,
            }),
        }
    }
}

/// Whether a key may check signatures, by its `use` and `key_ops` (RFC 7517, sections 4.2 and 4.3).
fn for_signatures(written: &Map<String, Value>) -> bool {
    let used = !written.contains_key("use") || text(written, "use") == Some("sig");
    let allowed = match written.get("key_ops") {
        None => true,
        Some(Value::Array(uses)) => uses.iter().any(|one| one == "verify"),
        Some(_) => false,
    };
    used && allowed
}

fn rsa(written: &Map<String, Value>) -> Option<DecodingKey> {
    let (n, e) = (number(written, "n")?, number(written, "e")?);
    // An exponent of 1 makes every message its own signature, and the library reads it (RFC 8017, section 3.1).
    if e[..] == [1] || e.len() > EXPONENT_BYTES_MAX || e.last()? % 2 == 0 {
        return None;
    }
    let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
    let parts = RsaPublicKeyComponents { n: &n, e: &e };
    let sound = parts.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
    (RSA_BITS.contains(&bits) && sound.is_ok())
        .then(|| DecodingKey::from_rsa_raw_components(&n, &e))
}

fn p256(written: &Map<String, Value>) -> Option<DecodingKey> {
    let (x, y) = (bytes(written, "x")?, bytes(written, "y")?);
    let fits = x.len() == COORDINATE_BYTES && y.len() == COORDINATE_BYTES;
    if text(written, "crv") != Some("P-256") || !fits {
        return None;
    }
    // Uncompressed, as SEC 1, section 2.3.3, writes a point; parsing finds out whether it is on the curve.
    let point = [&[4][..], &x, &y].concat();
    let sound = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).parse();
    sound.is_ok().then(|| DecodingKey::from_ec_der(&point))
}

/// A number without leading zeros, which some issuers write.
fn number(written: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    let bytes = bytes(written, name)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Some(bytes[zeros..].to_vec())
}

fn bytes(written: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text(written, name)?).ok()
}

/// A member of a key, if it is a text.
pub(super) fn text<'a>(written: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    written.get(name)?.as_str()
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::json;

    use super::*;

    pub(in super::super) fn encode(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn rsa_key(size: KeySize) -> Value {
        let pair = RsaKeyPair::generate(size).unwrap();
        let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        json!({"kty": "RSA", "n": encode(&parts.n), "e": encode(&parts.e)})
    }

    pub(in super::super) fn p256_key() -> Value {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])})
    }

    /// A key with members changed; `null` takes one away.
    pub(in super::super) fn with(key: &Value, changes: Value) -> Value {
        let mut key = key.clone();
        for (name, value) in changes.as_object().expect("members") {
            match value {
                Value::Null => drop(key.as_object_mut().unwrap().remove(name)),
                value => key[name] = value.clone(),
            }
        }
        key
    }

    fn is_fit(key: &Value) -> bool {
        Key::of(key.as_object().expect("members")).is_some()
    }

    #[test]
    fn fit_keys_are_accepted_and_others_left_out() {
        let (rsa, p256) = (rsa_key(KeySize::Rsa2048), p256_key());
        // The point of another key does not fit: it is not on the curve with overwhelming probability.
        let off_curve = with(&p256, json!({"y": p256_key()["y"]}));
        let long = "k".repeat(257);
        for (key, fit) in [
            (rsa.clone(), true),
            (with(&rsa, json!({"use": "sig", "alg": "RS256"})), true),
            (with(&rsa, json!({"key_ops": ["verify"], "x5t": 7})), true),
            (with(&rsa, json!({"use": "enc"})), false),
            (with(&rsa, json!({"use": 7})), false),
            (with(&rsa, json!({"key_ops": ["encrypt"]})), false),
            (with(&rsa, json!({"key_ops": "verify"})), false),
            (with(&rsa, json!({"alg": "RS512"})), false),
            (with(&rsa, json!({"alg": "PS256"})), false),
            (with(&rsa, json!({"alg": "HS256"})), false),
            (with(&rsa, json!({"alg": 7})), false),
            (with(&rsa, json!({"kid": 7})), false),
            (with(&rsa, json!({"kid": long})), false),
            (with(&rsa, json!({"kty": "rsa"})), false),
            (with(&rsa, json!({"kty": null})), false),
            (with(&rsa, json!({"n": null})), false),
            (with(&rsa, json!({"n": ""})), false),
            (with(&rsa, json!({"n": "!"})), false),
            (with(&rsa, json!({"e": null})), false),
            (with(&rsa, json!({"e": ""})), false),
            (with(&rsa, json!({"e": encode(&[1])})), false),
            (with(&rsa, json!({"e": encode(&[2])})), false),
            (with(&rsa, json!({"e": encode(&[0, 1])})), false),
            (with(&rsa, json!({"e": encode(&[3])})), true),
            (with(&rsa, json!({"e": encode(&[1, 0, 0, 0, 1])})), false),
            (rsa_key(KeySize::Rsa3072), true),
            (p256.clone(), true),
            (with(&p256, json!({"use": "sig", "alg": "ES256"})), true),
            (with(&p256, json!({"use": "enc"})), false),
            (with(&p256, json!({"alg": "RS256"})), false),
            (with(&p256, json!({"alg": "ECDH-ES"})), false),
            (with(&p256, json!({"crv": "P-384"})), false),
            (with(&p256, json!({"crv": "secp256k1"})), false),
            (with(&p256, json!({"crv": null})), false),
            (with(&p256, json!({"y": null})), false),
            (with(&p256, json!({"x": encode(&[1; 31])})), false),
            (off_curve, false),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}), false),
        ] {
            assert_eq!(is_fit(&key), fit, "{key}");
        }
    }

    #[test]
    fn an_rsa_key_has_2048_bits_or_more_whatever_its_bytes_are() {
        let rsa = rsa_key(KeySize::Rsa2048);
        let n = URL_SAFE_NO_PAD.decode(rsa["n"].as_str().unwrap()).unwrap();
        let padded = [&[0, 0][..], &n].concat();
        assert!(is_fit(&with(&rsa, json!({"n": encode(&padded)}))));
        let mut shorter = n.clone();
        shorter[0] = 0x7f;
        let half = [&[0; 128][..], &n[128..]].concat();
        let long = [&n[..], &[1; 800]].concat();
        for n in [&shorter, &half, &n[1..].to_vec(), &long] {
            assert!(!is_fit(&with(&rsa, json!({"n": encode(n)}))));
        }
    }
}
