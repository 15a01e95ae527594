//! Inline content: JSON that lies beside its journal entry.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{INLINE_BYTES_MAX, NewContent};
use crate::domain::{ErrorTag, Md5, Rejection};

/// JSON text of at most [`INLINE_BYTES_MAX`] bytes, with its MD5. There is none that was not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineJson {
    bytes: Bytes,
    md5: Md5,
}

impl InlineJson {
    /// Checks bytes, which are kept as they are.
    ///
    /// # Errors
    /// `inline-too-large`; `invalid-input` naming `payload` when they are not one JSON value.
    pub fn parse(json: impl Into<Bytes>) -> Result<Self, Rejection> {
        let bytes: Bytes = json.into();
        check_size(bytes.len())?;
        serde_json::from_slice::<&RawValue>(&bytes).map_err(|error| {
            Rejection::field("payload", format!("payload is not JSON: {error}."))
        })?;
        Ok(Self::of(bytes))
    }

    /// The same of JSON that was parsed already.
    ///
    /// # Errors
    /// `inline-too-large`.
    pub fn of_raw(json: Box<RawValue>) -> Result<Self, Rejection> {
        check_size(json.get().len())?;
        Ok(Self::of(Box::<str>::from(json).into_boxed_bytes().into()))
    }

    fn of(bytes: Bytes) -> Self {
        let md5 = Md5::of(&bytes);
        Self { bytes, md5 }
    }

    /// The content that a put with it names.
    pub fn content(&self) -> NewContent {
        NewContent::Inline {
            size: self.size(),
            md5: self.md5,
        }
    }

    /// Size in bytes, as stored.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// MD5 of the bytes.
    pub fn md5(&self) -> Md5 {
        self.md5
    }

    /// The text, byte for byte.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether it has this size and this MD5.
    ///
    /// # Errors
    /// `size-mismatch` or `md5-mismatch`, with what it has.
    pub fn check_is(&self, size: u64, md5: Md5) -> Result<(), Rejection> {
        if md5 != self.md5 {
            return Err(Rejection::new(
                ErrorTag::Md5Mismatch,
                "content_md5 is not the MD5 of the payload's bytes.",
            )
            .with_detail("payload_md5", self.md5.to_string()));
        }
        let own = self.size();
        if size == own {
            return Ok(());
        }
        Err(Rejection::new(
            ErrorTag::SizeMismatch,
            "size is not the number of bytes of the payload.",
        )
        .with_detail("payload_size", own))
    }
}

fn check_size(bytes: usize) -> Result<(), Rejection> {
    if bytes <= INLINE_BYTES_MAX {
        return Ok(());
    }
    Err(Rejection::new(
        ErrorTag::InlineTooLarge,
        format!("Inline content has at most {INLINE_BYTES_MAX} bytes; upload what is larger."),
    ))
}
