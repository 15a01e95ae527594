//! What the parts of a command for a record must say, whatever record there is.

use super::{InlineJson, NewContent, OBJECT_BYTES_MAX};
use crate::domain::{ErrorTag, Rejection, Tag, check};

/// Longest media type, in characters.
const CONTENT_TYPE_CHARS_MAX: usize = 255;
/// Longest reason for dooming a record, in characters (the contract's context fields).
const REASON_CHARS_MAX: usize = 256;

/// Checks the reason for dooming a record, if there is one.
pub(super) fn check_reason(reason: Option<&str>) -> Result<(), Rejection> {
    reason.map_or(Ok(()), |reason| {
        check::short("reason", reason, REASON_CHARS_MAX)
    })
}

impl NewContent {
    /// Whether such content can be stored.
    pub(super) fn check(&self) -> Result<(), Rejection> {
        match self {
            Self::Inline { .. } => Ok(()),
            Self::Upload {
                content_type, size, ..
            } => {
                check_content_type(content_type)?;
                check_upload_size(*size)
            }
        }
    }

    /// Whether a payload is this content's: that of inline content comes with it, others have none.
    pub(super) fn check_payload(&self, payload: Option<&InlineJson>) -> Result<(), Rejection> {
        match (self, payload) {
            (Self::Inline { size, md5 }, Some(payload)) => payload.check_is(*size, *md5),
            (Self::Inline { .. }, None) => Err(Rejection::field(
                "payload",
                "Inline content needs its payload.",
            )),
            (Self::Upload { .. }, payload) => no_payload(payload),
        }
    }
}

/// Refuses a payload where none is taken.
pub(super) fn no_payload(payload: Option<&InlineJson>) -> Result<(), Rejection> {
    match payload {
        None => Ok(()),
        Some(_) => Err(Rejection::field(
            "payload",
            "Only a put of inline content takes a payload.",
        )),
    }
}

/// Checks the size of an upload, in bytes of gzip.
///
/// # Errors
/// `invalid-input` naming `size`, or `too-large`.
pub fn check_upload_size(size: u64) -> Result<(), Rejection> {
    match size {
        0 => Err(Rejection::field("size", "size must be at least 1.")),
        1..=OBJECT_BYTES_MAX => Ok(()),
        _ => Err(Rejection::new(
            ErrorTag::TooLarge,
            format!("size is over {OBJECT_BYTES_MAX} bytes, the most one record may hold; split the content."),
        )
        .with_minor("size")),
    }
}

/// Checks a media type as RFC 9110 section 8.3 writes it, in characters that a header can carry.
///
/// # Errors
/// `unsupported-content-type`.
pub fn check_content_type(text: &str) -> Result<(), Rejection> {
    let token = |text: &str| {
        let special = b"!#$%&'*+-.^_`|~";
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || special.contains(&byte))
    };
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let good = text.len() <= CONTENT_TYPE_CHARS_MAX
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && essence
            .split_once('/')
            .is_some_and(|(kind, subtype)| token(kind) && token(subtype));
    if good {
        Ok(())
    } else {
        Err(Rejection::new(
            ErrorTag::UnsupportedContentType,
            "content_type must be a media type such as application/octet-stream.",
        ))
    }
}

/// Checks that there is a tag to add or to remove.
pub(super) fn some_tags(tags: &[Tag]) -> Result<(), Rejection> {
    if tags.is_empty() {
        return Err(Rejection::new(
            ErrorTag::InvalidTag,
            "tags is missing: give at least one tag.",
        ));
    }
    Ok(())
}
