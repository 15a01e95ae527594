//! How content travels: in the request, or gzipped to a presigned url.

use clap::ValueEnum;
use serde_json::value::RawValue;

use super::failure::Failure;
use crate::domain::record::{INLINE_BYTES_MAX, INLINE_CONTENT_TYPE};
use crate::http::nesting::{PAYLOAD_DEPTH_MAX, is_within};

/// Most bytes sent inline however they are asked for: enough for the service to say itself what is too large.
pub(super) const INLINE_SENT_MAX: usize = 2 * INLINE_BYTES_MAX;

/// How content gets to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// As JSON within the request.
    Inline,
    /// Gzipped, to a presigned url.
    Presign,
}

/// What is to be known of content to choose how it travels.
pub(super) struct Look<'a> {
    /// The mode that the caller asked for.
    pub(super) asked: Option<Mode>,
    /// The media type of the content.
    pub(super) content_type: &'a str,
    /// The beginning, or all of it.
    pub(super) head: &'a [u8],
    /// Whether the beginning is all of it.
    pub(super) whole: bool,
}

impl Look<'_> {
    /// Chooses.
    ///
    /// # Errors
    /// [`Failure`] when what the caller wants cannot be done with this content.
    pub(super) fn choose(&self) -> Result<Mode, Failure> {
        match self.asked {
            Some(Mode::Presign) => Ok(Mode::Presign),
            Some(Mode::Inline) if !self.whole => Err(Failure::Content {
                tag: "inline-too-large",
                message: format!(
                    "the content is larger than {INLINE_BYTES_MAX} bytes; use --file to upload it"
                ),
            }),
            Some(Mode::Inline) => match serde_json::from_slice::<&RawValue>(self.head) {
                Ok(_) => Ok(Mode::Inline),
                Err(error) => Err(not_json(&error.to_string())),
            },
            None if self.fits_inline() => Ok(Mode::Inline),
            None => Ok(Mode::Presign),
        }
    }

    /// Whether the content comes back byte for byte when it is sent inline: white space around a JSON value does not.
    fn fits_inline(&self) -> bool {
        self.content_type == INLINE_CONTENT_TYPE
            && self.whole
            && self.head.len() <= INLINE_BYTES_MAX
            && serde_json::from_slice::<&RawValue>(self.head).is_ok_and(|json| {
                json.get().len() == self.head.len() && is_within(self.head, PAYLOAD_DEPTH_MAX)
            })
    }
}

/// The payload cannot be part of a JSON request.
pub(super) fn not_json(why: &str) -> Failure {
    Failure::Usage(format!("the inline payload is not JSON: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(asked: Option<Mode>, content_type: &str, head: &[u8]) -> Option<Mode> {
        let whole = head.len() <= INLINE_SENT_MAX;
        let look = Look {
            asked,
            content_type,
            head,
            whole,
        };
        look.choose().ok()
    }

    #[test]
    fn only_small_json_that_comes_back_as_it_is_goes_inline() {
        let json = INLINE_CONTENT_TYPE;
        let string = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2)).into_bytes();
        for (content_type, content, mode) in [
            (json, br#"{"a":1.0}"#.to_vec(), Mode::Inline),
            (json, string(INLINE_BYTES_MAX), Mode::Inline),
            (json, string(INLINE_BYTES_MAX + 1), Mode::Presign),
            (json, string(INLINE_SENT_MAX + 1), Mode::Presign),
            (json, b"{\"a\":1}\n".to_vec(), Mode::Presign),
            (json, b"no json".to_vec(), Mode::Presign),
            (json, b"\"\xff\"".to_vec(), Mode::Presign),
            (json, b"[".repeat(200), Mode::Presign),
            (json, b"".to_vec(), Mode::Presign),
            (
                "application/json; charset=utf-8",
                b"1".to_vec(),
                Mode::Presign,
            ),
            ("text/plain", b"1".to_vec(), Mode::Presign),
        ] {
            assert_eq!(
                choose(None, content_type, &content),
                Some(mode),
                "{content_type}"
            );
        }
    }

    #[test]
    fn what_is_asked_for_is_done_or_refused() {
        let inline = Some(Mode::Inline);
        assert_eq!(choose(inline, "text/plain", b" 1\n"), inline);
        assert_eq!(choose(inline, INLINE_CONTENT_TYPE, b"no json"), None);
        assert_eq!(
            choose(
                inline,
                INLINE_CONTENT_TYPE,
                &vec![b' '; INLINE_SENT_MAX + 1]
            ),
            None
        );
        let presign = Some(Mode::Presign);
        assert_eq!(choose(presign, INLINE_CONTENT_TYPE, b"1"), presign);
    }
}
