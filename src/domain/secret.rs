//! The operators' secret code: one for the whole installation, kept only as a hash.

use serde::{Deserialize, Serialize};

/// What can happen to the secret code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum SecretEvent {
    /// The code was set.
    #[serde(rename = "secret.set")]
    Set {
        /// scrypt in PHC form.
        code_hash: String,
    },
}
