//! What callers say about their changes, which is journaled with them.

use serde::{Deserialize, Serialize};

use crate::domain::{Rejection, check};

/// What a caller may say about a change besides the change itself; each at most 256 characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remarks {
    /// The person or program for whom the caller says to act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Reason in the caller's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, as a code of the caller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// The caller's correlation id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// Longest of the caller's remarks, in characters (the contract's context fields).
pub const REMARK_CHARS_MAX: usize = 256;

impl Remarks {
    /// Whether each is as short as it must be.
    ///
    /// # Errors
    /// `invalid-input` naming the field.
    pub fn check(&self) -> Result<(), Rejection> {
        let fields = [
            ("actor", &self.actor),
            ("reason", &self.reason),
            ("reason_code", &self.reason_code),
            ("correlation_id", &self.correlation_id),
        ];
        for (name, text) in fields {
            if let Some(text) = text {
                check::short(name, text, REMARK_CHARS_MAX)?;
            }
        }
        Ok(())
    }

    /// Whether the caller gave no remark at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
