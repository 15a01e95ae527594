//! Which part of an object a request asks for, by its conditions and its range.

use actix_web::HttpRequest;
use actix_web::http::header::{self, EntityTag, Header, IfMatch, IfNoneMatch, IfRange, Range};
use actix_web::http::{Method, StatusCode};

use crate::domain::{ErrorTag, Rejection};

/// The requested part of an object.
#[derive(Clone, Copy)]
pub(super) enum Part {
    NotModified,
    Whole,
    /// First and last byte.
    Range(u64, u64),
    Unsatisfiable,
}

impl Part {
    /// What the conditions and the range of a request come to, in the order of RFC 9110, section 13.2.2.
    ///
    /// # Errors
    /// `precondition-failed` (412).
    pub(super) fn of(request: &HttpRequest, etag: &str, size: u64) -> Result<Self, Rejection> {
        let etag = EntityTag::new_strong(etag.to_owned());
        if request.headers().contains_key(header::IF_MATCH) {
            let matches = match IfMatch::parse(request) {
                Ok(IfMatch::Any) => true,
                Ok(IfMatch::Items(tags)) if !tags.is_empty() => {
                    tags.iter().any(|tag| tag.strong_eq(&etag))
                }
                // What cannot be read is no condition that fails: the caller would take the content for another.
                Ok(IfMatch::Items(_)) | Err(_) => {
                    return Err(Rejection::field(
                        "if-match",
                        "If-Match must be * or ETags in double quotes, separated by commas; send the ETag of an earlier answer as it came.",
                    ));
                }
            };
            if !matches {
                return Err(Rejection::new(
                    ErrorTag::PreconditionFailed,
                    "The content does not match If-Match; nothing is sent.",
                )
                .with_detail("etag", etag.to_string()));
            }
        }
        Ok(Self::unless_known(request, &etag, size))
    }

    /// The same of a representation that has no ranges: all of it, or nothing.
    ///
    /// # Errors
    /// `precondition-failed` (412).
    pub(super) fn whole_of(request: &HttpRequest, etag: &str) -> Result<Self, Rejection> {
        Ok(match Self::of(request, etag, 0)? {
            Self::NotModified => Self::NotModified,
            Self::Whole | Self::Range(..) | Self::Unsatisfiable => Self::Whole,
        })
    }

    fn unless_known(request: &HttpRequest, etag: &EntityTag, size: u64) -> Self {
        let known = match IfNoneMatch::parse(request) {
            Ok(IfNoneMatch::Any) => request.headers().contains_key(header::IF_NONE_MATCH),
            Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(etag)),
            Err(_) => false,
        };
        if known {
            return Self::NotModified;
        }
        // Ranges are of GET alone (RFC 9110, section 14.2).
        if request.method() != Method::GET {
            return Self::Whole;
        }
        if request.headers().contains_key(header::IF_RANGE)
            && !matches!(IfRange::parse(request), Ok(IfRange::EntityTag(tag)) if tag.strong_eq(etag))
        {
            return Self::Whole;
        }
        match Range::parse(request) {
            // More than one header is a malformed one (RFC 9110, section 5.3).
            _ if request.headers().get_all(header::RANGE).nth(1).is_some() => Self::Whole,
            Ok(Range::Bytes(ranges)) => match (ranges.as_slice(), ranges.first()) {
                ([_], Some(range)) => match range.to_satisfiable_range(size) {
                    Some((from, to)) => Self::Range(from, to),
                    None => Self::Unsatisfiable,
                },
                // Several ranges, or none that can be read: the whole is a right answer to both.
                _ => Self::Whole,
            },
            Ok(Range::Unregistered(..)) | Err(_) => Self::Whole,
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::NotModified => StatusCode::NOT_MODIFIED,
            Self::Whole => StatusCode::OK,
            Self::Range(..) => StatusCode::PARTIAL_CONTENT,
            Self::Unsatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        }
    }
}
