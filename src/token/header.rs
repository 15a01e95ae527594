//! A token's header: the key id and the algorithm that it claims.
//!
//! It only chooses among the known keys; the key decides the algorithm. Keys and addresses in a header (`jwk`, `jku`, `x5c`, `x5u`)
//! are ignored.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::Denied;
use super::jwk::KID_BYTES_MAX;

/// Accepted values of `typ`, which may be absent (RFC 9068, section 4; RFC 7519, section 5.1).
const TYPES: &[&str] = &["jwt", "at+jwt", "application/jwt", "application/at+jwt"];

/// The checked part of a token's header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The algorithm: RS256, ES256 or HS256.
    pub(super) algorithm: Algorithm,
    /// The id of the signing key, when given.
    pub(super) kid: Option<String>,
}

impl Header {
    /// Parses the header of a token.
    pub(super) fn read(token: &str) -> Result<Self, Denied> {
        let members = decode(token).ok_or(Denied::Malformed)?;
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(Denied::Malformed),
        };
        let algorithm = match text("alg")?.ok_or(Denied::Malformed)? {
            "RS256" => Algorithm::RS256,
            "ES256" => Algorithm::ES256,
            "HS256" => Algorithm::HS256,
            _ => return Err(Denied::Algorithm),
        };
        // No extension is understood, whatever it is (RFC 7515, section 4.1.11).
        if members.contains_key("crit") {
            return Err(Denied::Critical);
        }
        // Issuers sign other things with the same keys, such as logout tokens.
        let known = |name: &str| TYPES.contains(&name.to_ascii_lowercase().as_str());
        if !text("typ")?.is_none_or(known) {
            return Err(Denied::Type);
        }
        let kid = text("kid")?.map(str::to_owned);
        if kid.as_ref().is_some_and(|kid| kid.len() > KID_BYTES_MAX) {
            return Err(Denied::KeyUnknown);
        }
        Ok(Self { algorithm, kid })
    }
}

/// The JSON members of the first of exactly three parts.
fn decode(token: &str) -> Option<Map<String, Value>> {
    let mut parts = token.split('.');
    let (first, _, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(first).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Header, Denied> {
        Header::read(&format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(json)))
    }

    #[test]
    fn three_algorithms_and_the_types_of_access_tokens_are_accepted() {
        for (json, refused) in [
            (r#"{"alg":"RS256"}"#, None),
            (r#"{"alg":"ES256","typ":"JWT"}"#, None),
            (r#"{"alg":"HS256","typ":"at+jwt","kid":"a"}"#, None),
            (r#"{"alg":"RS256","typ":"application/at+JWT"}"#, None),
            (r#"{"alg":"none"}"#, Some(Denied::Algorithm)),
            (r#"{"alg":"nOnE"}"#, Some(Denied::Algorithm)),
            (r#"{"alg":""}"#, Some(Denied::Algorithm)),
            (r#"{"alg":"rs256"}"#, Some(Denied::Algorithm)),
            (r#"{"alg":"RS512"}"#, Some(Denied::Algorithm)),
            (r#"{"alg":"PS256"}"#, Some(Denied::Algorithm)),
            (r#"{"alg":"ES384"}"#, Some(Denied::Algorithm)),
            (r#"{"alg":"EdDSA"}"#, Some(Denied::Algorithm)),
            (r#"{}"#, Some(Denied::Malformed)),
            (r#"{"alg":null}"#, Some(Denied::Malformed)),
            (r#"{"alg":["RS256"]}"#, Some(Denied::Malformed)),
            (r#"["RS256"]"#, Some(Denied::Malformed)),
            (r#"{"alg":"RS256","crit":["exp"]}"#, Some(Denied::Critical)),
            (r#"{"alg":"RS256","crit":null}"#, Some(Denied::Critical)),
            (
                r#"{"alg":"RS256","b64":false,"crit":["b64"]}"#,
                Some(Denied::Critical),
            ),
            (r#"{"alg":"RS256","typ":"logout+jwt"}"#, Some(Denied::Type)),
            (r#"{"alg":"RS256","typ":""}"#, Some(Denied::Type)),
            (r#"{"alg":"RS256","typ":7}"#, Some(Denied::Malformed)),
            (r#"{"alg":"RS256","kid":7}"#, Some(Denied::Malformed)),
        ] {
            assert_eq!(read(json).err(), refused, "{json}");
        }
        let long = format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(257));
        assert_eq!(read(&long), Err(Denied::KeyUnknown));
    }

    #[test]
    fn a_token_has_three_parts_without_padding() {
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
        assert!(Header::read(&format!("{head}.e30.AA")).is_ok());
        for token in [
            String::new(),
            head.clone(),
            format!("{head}.e30"),
            format!("{head}.e30.AA.AA.AA"),
            format!("{head}=.e30.AA"),
            format!(" {head}.e30.AA"),
            "..".to_owned(),
            "\u{e9}.e30.AA".to_owned(),
        ] {
            assert_eq!(Header::read(&token), Err(Denied::Malformed), "{token}");
        }
    }
}
