//! The checks of a token's claims and times, by the server's clock.

use serde_json::{Map, Value};

use super::{Bearer, Denied};
use crate::domain::{OrgCode, Timestamp};

/// Milliseconds by which the clocks of the issuer and of this machine may differ.
const LEEWAY_MS: i64 = 60_000;
/// Longest subject, in bytes: what OpenID Connect Core 1.0, section 2, lets an issuer use.
const SUBJECT_BYTES_MAX: usize = 255;
/// Longest role, in bytes.
const ROLE_BYTES_MAX: usize = 64;

/// The claims and limits that every token must satisfy.
#[derive(Clone, Debug)]
pub(super) struct Checks {
    /// The only accepted `iss`.
    pub(super) issuer: String,
    /// The names of this server, one of which must be an audience of the token.
    pub(super) audiences: Vec<String>,
    /// The name of the org's claim.
    pub(super) org_claim: String,
    /// The name of the role's claim.
    pub(super) role_claim: String,
    /// Maximum lifetime, in milliseconds.
    pub(super) life_ms_max: i64,
}

impl Checks {
    /// The caller that the claims name.
    ///
    /// # Errors
    /// The first check that fails, in the order of this function.
    pub(super) fn bearer(
        &self,
        claims: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Bearer, Denied> {
        let expires_at = check_times(claims, now)?;
        self.check_life(claims, expires_at, now)?;
        if claims.get("iss").and_then(Value::as_str) != Some(self.issuer.as_str()) {
            return Err(Denied::Issuer);
        }
        if !claims.get("aud").is_some_and(|aud| self.is_for_us(aud)) {
            return Err(Denied::Audience);
        }
        let subject = name(claims, "sub", SUBJECT_BYTES_MAX).ok_or(Denied::Subject)?;
        let org = claims.get(&self.org_claim).and_then(Value::as_str);
        let org = org.and_then(|text| OrgCode::parse(text).ok());
        let role = name(claims, &self.role_claim, ROLE_BYTES_MAX).ok_or(Denied::Role);
        Ok(Bearer {
            subject,
            org: org.ok_or(Denied::Org)?,
            role: role?,
            expires_at,
            jti: match claims.get("jti") {
                None => None,
                Some(_) => Some(name(claims, "jti", SUBJECT_BYTES_MAX).ok_or(Denied::Malformed)?),
            },
        })
    }

    /// Refuses a token whose lifetime is too long; without `iat` it is measured from now.
    fn check_life(
        &self,
        claims: &Map<String, Value>,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), Denied> {
        let made_at = claims.get("iat").and_then(time).unwrap_or(now.millis());
        let life_ms = expires_at.millis().saturating_sub(made_at);
        if life_ms > self.life_ms_max.saturating_add(LEEWAY_MS) {
            return Err(Denied::Lifetime);
        }
        Ok(())
    }

    /// Whether an `aud` names this server: a text, or a list of texts alone (RFC 7519, section 4.1.3).
    fn is_for_us(&self, audience: &Value) -> bool {
        let is_ours = |one: &Value| self.audiences.iter().any(|ours| one == ours.as_str());
        match audience {
            Value::String(_) => is_ours(audience),
            Value::Array(several) => {
                several.iter().all(Value::is_string) && several.iter().any(is_ours)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
        }
    }
}

/// The end of a token that is valid now, by `exp`, `nbf` and `iat`.
fn check_times(claims: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, Denied> {
    let expires_at = claims.get("exp").and_then(time).ok_or(Denied::Expiry)?;
    if now.millis() >= expires_at.saturating_add(LEEWAY_MS) {
        return Err(Denied::Expired);
    }
    for (claim, denied) in [
        ("nbf", Denied::NotYetValid),
        ("iat", Denied::IssuedInFuture),
    ] {
        let Some(value) = claims.get(claim) else {
            continue;
        };
        let from = time(value).ok_or(Denied::Malformed)?;
        if from > now.millis().saturating_add(LEEWAY_MS) {
            return Err(denied);
        }
    }
    Ok(Timestamp::from_millis(expires_at))
}

/// Milliseconds since 1970 of a time in seconds, which may have a fraction (RFC 7519, section 2).
fn time(value: &Value) -> Option<i64> {
    let millis = value.as_f64()? * 1_000.0;
    // The conversion saturates.
    (millis.is_finite() && millis >= 0.0).then_some(millis as i64)
}

/// A text that can be shown: not blank, not long, without control characters.
fn name(claims: &Map<String, Value>, claim: &str, bytes_max: usize) -> Option<String> {
    let text = claims.get(claim)?.as_str()?;
    let good =
        !text.trim().is_empty() && text.len() <= bytes_max && !text.contains(char::is_control);
    good.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Seconds since 1970.
    const NOW: i64 = 2_000_000_000;

    fn checks() -> Checks {
        Checks {
            issuer: "https://id.example".to_owned(),
            audiences: vec![
                "metarecord".to_owned(),
                "https://records.example/mcp".to_owned(),
            ],
            org_claim: "org".to_owned(),
            role_claim: "role".to_owned(),
            life_ms_max: 3_600_000,
        }
    }

    fn good() -> Value {
        json!({"iss": "https://id.example", "aud": "metarecord", "sub": "u-1", "org": "ACME",
            "role": "mrs_reader", "exp": NOW + 600})
    }

    /// What is said to good claims of which one is another; `null` takes it away.
    fn told(claim: &str, value: Value) -> Result<Bearer, Denied> {
        let Value::Object(mut claims) = good() else {
            panic!("it is an object");
        };
        match value {
            Value::Null => drop(claims.remove(claim)),
            value => drop(claims.insert(claim.to_owned(), value)),
        }
        checks().bearer(&claims, Timestamp::from_millis(NOW * 1_000))
    }

    #[test]
    fn good_claims_name_their_bearer() {
        let bearer = told("other", json!(1)).expect("good");
        assert_eq!(
            (bearer.subject.as_str(), bearer.role.as_str()),
            ("u-1", "mrs_reader")
        );
        assert_eq!(bearer.org, OrgCode::parse("ACME").unwrap());
        assert_eq!(bearer.expires_at.millis(), (NOW + 600) * 1_000);
    }

    #[test]
    fn absent_or_mistyped_required_claims_are_refused() {
        for (claim, denied) in [
            ("exp", Denied::Expiry),
            ("iss", Denied::Issuer),
            ("aud", Denied::Audience),
            ("sub", Denied::Subject),
            ("org", Denied::Org),
            ("role", Denied::Role),
        ] {
            for value in [json!(null), json!(true), json!({}), json!([]), json!([7])] {
                assert_eq!(told(claim, value.clone()), Err(denied), "{claim} {value}");
            }
        }
    }

    #[test]
    fn times_are_held_against_the_clock_with_a_minute_of_leeway() {
        for (claim, at, denied) in [
            ("exp", json!(NOW - 59), None),
            ("exp", json!(NOW - 60), Some(Denied::Expired)),
            ("exp", json!(NOW as f64 - 59.5), None),
            ("exp", json!(NOW as f64 - 60.5), Some(Denied::Expired)),
            ("exp", json!(0), Some(Denied::Expired)),
            ("exp", json!(-1), Some(Denied::Expiry)),
            ("exp", json!("2000000600"), Some(Denied::Expiry)),
            ("exp", json!(1e300), Some(Denied::Lifetime)),
            ("exp", json!(NOW + 3_660), None),
            ("exp", json!(NOW + 3_661), Some(Denied::Lifetime)),
            ("iat", json!(NOW - 3_060), None),
            ("iat", json!(NOW - 3_061), Some(Denied::Lifetime)),
            ("nbf", json!(NOW + 60), None),
            ("nbf", json!(NOW + 61), Some(Denied::NotYetValid)),
            ("nbf", json!("0"), Some(Denied::Malformed)),
            ("nbf", json!(-5), Some(Denied::Malformed)),
            ("iat", json!(NOW + 60), None),
            ("iat", json!(NOW + 61), Some(Denied::IssuedInFuture)),
            (
                "iat",
                json!(NOW as f64 + 60.5),
                Some(Denied::IssuedInFuture),
            ),
            ("iat", json!([]), Some(Denied::Malformed)),
        ] {
            assert_eq!(told(claim, at.clone()).err(), denied, "{claim} {at}");
        }
    }

    #[test]
    fn issuer_and_audience_are_exactly_ours() {
        for (claim, value, denied) in [
            ("iss", json!("https://id.example/"), Some(Denied::Issuer)),
            ("iss", json!("HTTPS://id.example"), Some(Denied::Issuer)),
            ("iss", json!(["https://id.example"]), Some(Denied::Issuer)),
            ("aud", json!(["other", "metarecord"]), None),
            ("aud", json!(["metarecord"]), None),
            ("aud", json!("https://records.example/mcp"), None),
            ("aud", json!(["https://records.example/mcp", "other"]), None),
            (
                "aud",
                json!("https://records.example"),
                Some(Denied::Audience),
            ),
            ("aud", json!(["other"]), Some(Denied::Audience)),
            ("aud", json!("metarecord2"), Some(Denied::Audience)),
            ("aud", json!(["metarecord", 7]), Some(Denied::Audience)),
            ("aud", json!({"metarecord": 1}), Some(Denied::Audience)),
        ] {
            assert_eq!(told(claim, value.clone()).err(), denied, "{claim} {value}");
        }
    }

    #[test]
    fn names_are_neither_blank_nor_long_nor_beyond_a_line() {
        for (claim, text, denied) in [
            ("sub", "a".repeat(255), None),
            ("sub", "a".repeat(256), Some(Denied::Subject)),
            ("sub", String::new(), Some(Denied::Subject)),
            ("sub", " \u{a0}\t".to_owned(), Some(Denied::Subject)),
            ("sub", "a\nb".to_owned(), Some(Denied::Subject)),
            ("role", "r".repeat(64), None),
            ("role", "r".repeat(65), Some(Denied::Role)),
            ("role", "  ".to_owned(), Some(Denied::Role)),
            ("role", "a\u{7f}".to_owned(), Some(Denied::Role)),
            ("org", "acme".to_owned(), None),
            ("org", "A/B".to_owned(), Some(Denied::Org)),
            ("org", "A".repeat(33), Some(Denied::Org)),
        ] {
            assert_eq!(told(claim, json!(text)).err(), denied, "{claim} {text:?}");
        }
    }
}
