//! Reading what callers send: JSON bodies and queries, with the right tag for everything that is wrong.

use actix_web::error::QueryPayloadError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder, Type};

use super::call::Call;
use super::header_names;
use super::words;
use crate::content::sign::{Cursor, Purpose, Signer};
use crate::domain::names::TAGS_MAX;
use crate::domain::{CcCode, ErrorTag, OrgCode, Rejection, Revision, Tag, Timestamp};
use crate::journal::Remarks;

/// Error tags of routes whose fields are checked when they are read.
pub(super) const FIELD_ERRORS: &[ErrorTag] = &[ErrorTag::InvalidInput, ErrorTag::InvalidJson];

/// Items a page has when the caller does not say (MRS overview: "default 8").
const LIMIT_DEFAULT: usize = 8;
/// Most items a page has (MRS overview: "clamp 1-256").
const LIMIT_MAX: usize = 256;

/// Declares a request body: its own fields, and those every change accepts.
macro_rules! change_request {
    ($(#[$meta:meta])* pub(super) struct $name:ident { $($fields:tt)* }) => {
        $(#[$meta])*
        #[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            /// The tenant; also taken from the header `x-orgcode`.
            #[schema(value_type = String, required = true, example = "DEMO")]
            orgcode: Option<String>,
            /// The cost centre, such as `AB12-CD34-EF56`; also taken from the header `x-cccode`.
            #[schema(pattern = "^[A-Za-z0-9]{4}-[A-Za-z0-9]{4}-[A-Za-z0-9]{4}$")]
            cccode: Option<String>,
            /// The container.
            #[schema(value_type = String, required = true, pattern = "^[A-Za-z][A-Za-z0-9_-]{1,79}$")]
            container: Option<String>,
            /// Who is acting, as given by the caller.
            #[schema(max_length = 256)]
            actor: Option<String>,
            /// Why, in the caller's words.
            #[schema(max_length = 256)]
            reason: Option<String>,
            /// Why, as a code of the caller's.
            #[schema(max_length = 256)]
            reason_code: Option<String>,
            /// The caller's correlation id.
            #[schema(max_length = 256)]
            correlation_id: Option<String>,
            /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`.
            #[schema(min_length = 1, max_length = 128, pattern = "^[ -~]+$")]
            idempotency_key: Option<String>,
            $($fields)*
        }

        impl $name {
            fn remarks(&self) -> crate::journal::Remarks {
                crate::journal::Remarks {
                    actor: self.actor.clone(),
                    reason: self.reason.clone(),
                    reason_code: self.reason_code.clone(),
                    correlation_id: self.correlation_id.clone(),
                }
            }
        }
    };
}
pub(super) use change_request;

/// Reads a JSON body: an object. An array would be taken by the order of the fields.
///
/// # Errors
/// `invalid-json` when it is not JSON, `invalid-input` naming the field when it is not what the route takes.
pub fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Rejection> {
    json_of(body, "The body")
}

/// The same of a part of a body, with the words for it at the beginning of a sentence.
///
/// # Errors
/// `invalid-json` and `invalid-input`, as [`json`] says.
pub(super) fn json_of<'a, T: Deserialize<'a>>(body: &'a [u8], whole: &str) -> Result<T, Rejection> {
    let is_object = body.trim_ascii_start().first() == Some(&b'{');
    if is_object && let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    // Whatever the first fault is, a body that is not JSON at all is said to be that.
    if let Err(error) = serde_json::from_slice::<&RawValue>(body) {
        return Err(Rejection::new(
            ErrorTag::InvalidJson,
            words::no_json(body, &error),
        ));
    }
    if !is_object {
        let message = format!("{whole} must be a JSON object.");
        return Err(Rejection::field("body", message));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut reader) else {
        return Err(Rejection::field(
            "body",
            format!("{whole} must be one JSON object."),
        ));
    };
    let path = error.path().to_string();
    let text = error.into_inner().to_string();
    let field = words::named(&text).unwrap_or(if path == "." { "body" } else { &path });
    Err(Rejection::field(
        &words::shortened(field),
        words::misfit(field, &text, whole),
    ))
}

/// Reads a query.
///
/// # Errors
/// `invalid-input` naming the parameter.
pub fn query<T: DeserializeOwned>(call: &Call<'_>) -> Result<T, Rejection> {
    query_text(call.head.query)
}

/// The same of a query's text.
pub(super) fn query_text<T: DeserializeOwned>(text: &str) -> Result<T, Rejection> {
    match actix_web::web::Query::<T>::from_query(text) {
        Ok(query) => Ok(query.into_inner()),
        Err(error) => {
            let text = match &error {
                QueryPayloadError::Deserialize(error) => error.to_string(),
                other => other.to_string(),
            };
            let field = words::named(&text).or_else(|| text.split('`').nth(1));
            let field = field.unwrap_or("query");
            Err(Rejection::field(
                &words::shortened(field),
                words::misfit(field, &text, "The query"),
            ))
        }
    }
}

/// A revision as callers write it: a number or a numeric string, from 1.
#[derive(Clone, Copy, Debug)]
pub struct RevisionIn(pub Revision);

impl<'de> Deserialize<'de> for RevisionIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Text(String),
        }
        let number = match Either::deserialize(deserializer) {
            Ok(Either::Number(number)) => Some(number),
            Ok(Either::Text(text)) => text.parse().ok(),
            Err(_) => None,
        };
        match number {
            Some(number @ 1..) => Ok(Self(Revision(number))),
            Some(0) | None => Err(serde::de::Error::custom(
                "a revision is a whole number from 1",
            )),
        }
    }
}

/// How much a page holds: a number or a numeric string from 1 to 256.
#[derive(Clone, Copy, Debug)]
pub struct LimitIn(pub usize);

/// The same where another number is taken into 1 to 256, as records' list does; its answer says which.
#[derive(Clone, Copy, Debug)]
pub struct ClampedLimitIn(pub usize);

impl Default for LimitIn {
    fn default() -> Self {
        Self(LIMIT_DEFAULT)
    }
}

impl Default for ClampedLimitIn {
    fn default() -> Self {
        Self(LIMIT_DEFAULT)
    }
}

impl<'de> Deserialize<'de> for LimitIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = whole_number(deserializer).and_then(|number| usize::try_from(number).ok());
        match limit.filter(|limit| (1..=LIMIT_MAX).contains(limit)) {
            Some(limit) => Ok(Self(limit)),
            None => Err(serde::de::Error::custom(
                "a `limit` is a whole number from 1 to 256",
            )),
        }
    }
}

impl<'de> Deserialize<'de> for ClampedLimitIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = whole_number(deserializer).map(clamp);
        limit.map(Self).ok_or_else(|| {
            serde::de::Error::custom("a `limit` is a whole number; pages hold 1 to 256 items")
        })
    }
}

/// A number or a text of digits, however many they are.
fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Option<i64> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Text(String),
    }
    match Either::deserialize(deserializer).ok()? {
        Either::Number(number) => Some(number),
        Either::Text(text) => {
            let (sign, digits) = match text.strip_prefix('-') {
                Some(digits) => (-1, digits),
                None => (1, text.as_str()),
            };
            let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            whole.then(|| sign * digits.parse().unwrap_or(i64::MAX))
        }
    }
}

fn clamp(number: i64) -> usize {
    usize::try_from(number).map_or(1, |number| number.clamp(1, LIMIT_MAX))
}

/// Where a list continues, when the token belongs to these filters.
///
/// # Errors
/// `invalid-next-token`.
pub fn cursor(
    signer: &Signer,
    token: Option<&str>,
    filter: [u8; 32],
) -> Result<Option<Vec<u8>>, Rejection> {
    let Some(token) = token else { return Ok(None) };
    let cursor = signer.open::<Cursor>(Purpose::ListCursor, token);
    match cursor.filter(|cursor| cursor.filter == filter) {
        Some(cursor) => Ok(Some(cursor.place)),
        None => Err(Rejection::new(
            ErrorTag::InvalidNextToken,
            "next_token was altered or belongs to a list with other filters; start from the first page.",
        )),
    }
}

/// The token of a place in a list with these filters.
pub fn next_token(signer: &Signer, filter: [u8; 32], place: Vec<u8>) -> String {
    signer.seal(Purpose::ListCursor, &Cursor { filter, place })
}

/// A field that may be absent, null or there.
///
/// # Errors
/// The error of the value's own deserialization.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// The org of a call: from the field or the header `x-orgcode`, which must agree.
///
/// # Errors
/// `invalid-orgcode`, or `invalid-input` with the minor `context-mismatch`.
pub fn org(call: &Call<'_>, field: Option<&str>) -> Result<OrgCode, Rejection> {
    let field = field.map(OrgCode::parse).transpose()?;
    let header = call
        .header(&header_names::X_ORGCODE)
        .map(OrgCode::parse)
        .transpose();
    let header = header.map_err(|rejection| rejection.in_header("x-orgcode"))?;
    match (field, header) {
        (Some(field), Some(header)) if field != header => Err(Rejection::field(
            "context-mismatch",
            "orgcode and the header x-orgcode name different orgs; send one of them.",
        )),
        (Some(org), _) | (None, Some(org)) => Ok(org),
        (None, None) => Err(Rejection::new(
            ErrorTag::InvalidOrgcode,
            "orgcode is missing.",
        )),
    }
}

/// The cost centre of a call: from the field or the header `x-cccode`, which must agree.
///
/// # Errors
/// `invalid-cccode`.
pub fn cccode(call: &Call<'_>, field: Option<&str>) -> Result<Option<CcCode>, Rejection> {
    let field = field.map(CcCode::parse).transpose()?;
    let header = call
        .header(&header_names::X_CCCODE)
        .map(CcCode::parse)
        .transpose();
    let header = header.map_err(|rejection| rejection.in_header("x-cccode"))?;
    match (field, header) {
        (Some(field), Some(header)) if field != header => Err(Rejection::new(
            ErrorTag::InvalidCccode,
            "cccode and the header x-cccode differ; send one of them.",
        )),
        (field, header) => Ok(field.or(header)),
    }
}

/// Checks the caller's remarks.
///
/// # Errors
/// `invalid-input` naming the field.
pub fn remarks(remarks: Remarks) -> Result<Remarks, Rejection> {
    remarks.check()?;
    Ok(remarks)
}

/// The schema of a list of tags in the OpenAPI document.
pub fn tags_schema() -> Array {
    let tag = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[0-9A-Za-z]{1,128}$"));
    ArrayBuilder::new()
        .items(tag)
        .description(Some("Letters and digits; kept in upper case."))
        .max_items(Some(TAGS_MAX))
        .build()
}

/// A list of tags.
///
/// # Errors
/// `invalid-tag`.
pub fn tags(texts: &[String]) -> Result<Vec<Tag>, Rejection> {
    texts.iter().map(|text| Tag::parse(text)).collect()
}

/// A required text field.
///
/// # Errors
/// The given rejection when it is missing.
pub fn required<'a>(
    field: Option<&'a str>,
    tag: ErrorTag,
    name: &str,
) -> Result<&'a str, Rejection> {
    field.ok_or_else(|| Rejection::new(tag, format!("{name} is missing.")).with_minor(name))
}

/// A time in the future tense of `doom_at`.
///
/// # Errors
/// `invalid-doom-at`.
pub fn doom_at(text: &str) -> Result<Timestamp, Rejection> {
    let wrong = |error| Rejection::new(ErrorTag::InvalidDoomAt, format!("doom_at {error}."));
    Timestamp::read(text).map_err(wrong)
}

/// A time in a field.
///
/// # Errors
/// `invalid-input` naming it.
pub fn time(text: &str, name: &str) -> Result<Timestamp, Rejection> {
    Timestamp::read(text).map_err(|error| Rejection::field(name, format!("{name} {error}.")))
}

/// The status that a text names, of all that there are.
///
/// # Errors
/// `invalid-status` naming them.
pub fn status<S: Copy, const N: usize>(
    text: &str,
    all: [S; N],
    as_str: fn(S) -> &'static str,
) -> Result<S, Rejection> {
    let named = all.into_iter().find(|status| as_str(*status) == text);
    named.ok_or_else(|| {
        let message = format!("status must be one of: {}.", all.map(as_str).join(", "));
        Rejection::new(ErrorTag::InvalidStatus, message)
    })
}

/// A whole number in a query, from 0.
///
/// # Errors
/// `invalid-input` naming it.
pub fn whole(name: &str, text: Option<&str>, max: u64) -> Result<Option<u64>, Rejection> {
    let read = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| digits && *number <= max);
        number.ok_or_else(|| {
            let message = format!("{name} must be a whole number from 0 to {max}.");
            Rejection::field(name, message)
        })
    };
    text.map(read).transpose()
}

/// A flag in a query.
///
/// # Errors
/// `invalid-input` naming it.
pub fn flag(text: Option<&str>, name: &str) -> Result<bool, Rejection> {
    match text {
        None | Some("" | "false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => Err(Rejection::field(
            name,
            format!("{name} must be true or false."),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only read by the test's eye")]
        count: Option<u32>,
    }

    #[test]
    fn a_bad_body_gets_the_right_tag_and_names_the_field() {
        for (body, tag, minor) in [
            (r#"{"count":"x"}"#, ErrorTag::InvalidInput, Some("count")),
            (r#"{"counter":1}"#, ErrorTag::InvalidInput, Some("counter")),
            (
                r#"{"count":1,"count":2}"#,
                ErrorTag::InvalidInput,
                Some("count"),
            ),
            (r#"[1"#, ErrorTag::InvalidJson, None),
            (r#"{"count":"x""#, ErrorTag::InvalidJson, None),
            ("", ErrorTag::InvalidJson, None),
            (r#"{"count":1} x"#, ErrorTag::InvalidJson, None),
            ("[1]", ErrorTag::InvalidInput, Some("body")),
            ("7", ErrorTag::InvalidInput, Some("body")),
            ("{\"count\":\"\u{fffd}", ErrorTag::InvalidJson, None),
        ] {
            let rejection = json::<Sample>(body.as_bytes()).expect_err(body);
            assert_eq!(
                (rejection.tag, rejection.minor.as_deref()),
                (tag, minor),
                "{body}"
            );
        }
    }
}
