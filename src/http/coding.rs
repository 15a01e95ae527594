//! What a request's body is said to be: its media type and its content coding.

use std::io::Read;

use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use bytes::Bytes;
use flate2::bufread::GzDecoder;

use crate::domain::{ErrorTag, Rejection};

/// Media types under which JSON is accepted besides `application/json` and `+json`: what curl, `fetch` and libraries send by
/// default.
const TAKEN: &[&str] = &[
    "application/json",
    "text/json",
    "text/plain",
    "application/octet-stream",
    "application/x-www-form-urlencoded",
];

/// How a body is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// The body is not compressed.
    Plain,
    /// Gzip (RFC 9110, section 8.4.1.3).
    Gzip,
}

impl Coding {
    /// What a head says of a JSON body that follows.
    ///
    /// # Errors
    /// `unsupported-media-type`, with the minor `content-type` or `content-encoding`.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Rejection> {
        let mut types = headers.get_all(CONTENT_TYPE);
        if let Some(value) = types.next() {
            let taken = value.to_str().is_ok_and(is_taken) && types.next().is_none();
            if !taken {
                return Err(unsupported(
                    "content-type",
                    "Send JSON in UTF-8, with Content-Type: application/json.",
                ));
            }
        }
        let mut codings = headers.get_all(CONTENT_ENCODING);
        let coding = match codings.next() {
            None => return Ok(Self::Plain),
            Some(value) => value
                .to_str()
                .map_err(|_| coded())?
                .trim()
                .to_ascii_lowercase(),
        };
        match coding.as_str() {
            _ if codings.next().is_some() => Err(coded()),
            "" | "identity" => Ok(Self::Plain),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            _ => Err(coded()),
        }
    }

    /// Decodes a body to at most `bytes_max` bytes.
    ///
    /// # Errors
    /// `invalid-input` with the minor `content-encoding` when it is not whole gzip, `too-large` (413).
    pub(super) fn decode(self, body: Bytes, bytes_max: usize) -> Result<Bytes, Rejection> {
        if self == Self::Plain || body.is_empty() {
            return Ok(body);
        }
        let mut rest = &body[..];
        let mut decoded = Vec::new();
        let limit = bytes_max as u64 + 1;
        let read = GzDecoder::new(&mut rest)
            .take(limit)
            .read_to_end(&mut decoded);
        if decoded.len() > bytes_max {
            return Err(Rejection::body_too_large(bytes_max));
        }
        match read {
            Ok(_) if rest.is_empty() => Ok(decoded.into()),
            Ok(_) | Err(_) => Err(Rejection::field(
                "content-encoding",
                "The body is not one whole gzip stream, as Content-Encoding says.",
            )),
        }
    }
}

fn coded() -> Rejection {
    unsupported(
        "content-encoding",
        "Send the body as it is, or as gzip with Content-Encoding: gzip.",
    )
}

fn unsupported(minor: &str, message: &str) -> Rejection {
    Rejection::new(ErrorTag::UnsupportedMediaType, message).with_minor(minor)
}

/// Whether JSON may come under a media type.
fn is_taken(text: &str) -> bool {
    let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
    let essence = parts.next().unwrap_or_default();
    let is_json = TAKEN.contains(&essence.as_str())
        || essence.is_empty()
        || essence.starts_with("application/") && essence.ends_with("+json");
    let charsets = parts.filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        (name.trim() == "charset").then(|| value.trim().trim_matches('"').to_owned())
    });
    let mut charsets = charsets;
    is_json && charsets.all(|charset| ["utf-8", "utf8", "us-ascii"].contains(&charset.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_comes_under_the_types_that_clients_send() {
        for (text, taken) in [
            ("application/json", true),
            ("Application/JSON; charset=\"UTF-8\"", true),
            ("application/merge-patch+json", true),
            ("application/x-www-form-urlencoded", true),
            ("text/plain;charset=UTF-8", true),
            ("", true),
            ("application/json; charset=utf-16", false),
            ("application/xml", false),
            ("text/html", false),
            ("multipart/form-data; boundary=x", false),
            ("json", false),
        ] {
            assert_eq!(is_taken(text), taken, "{text}");
        }
    }
}
