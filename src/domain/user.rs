//! A user, and the sessions that prove who is calling.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// What can happen to a user. Passcodes and session guids are here only as hashes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum UserEvent {
    /// The user came to be.
    #[serde(rename = "user.created")]
    Created {
        /// The address the user signs in with, lower-cased.
        email: String,
        /// scrypt in PHC form.
        passcode_hash: String,
    },
    /// The user signed in.
    #[serde(rename = "user.session_opened")]
    SessionOpened {
        /// Keyed hash of the session guid, in hex.
        session_hash: String,
        /// The end of its life; `None` for the development session.
        expires_at: Option<Timestamp>,
        /// Opened by development mode: counts only while that lasts.
        #[serde(default)]
        development: bool,
    },
    /// A session ended.
    #[serde(rename = "user.session_closed")]
    SessionClosed {
        /// Keyed hash of the session guid, in hex.
        session_hash: String,
    },
}
