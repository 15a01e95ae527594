//! A user, and the sessions that prove who is calling.

mod decide;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::declare::events;
use super::known::KnownAddresses;
use super::{ErrorTag, Rejection, Timestamp, check};

pub use decide::UserDecider;

/// How long a session lives after it was used last.
pub const SESSION_MS: i64 = 60 * 60 * 1_000;
/// A session in use is journaled again once its journaled end is nearer than this, so at most every quarter of an hour.
pub const SESSION_REFRESH_MS: i64 = 45 * 60 * 1_000;
/// Open sessions of one user; the one that ends first makes room for one more.
pub const SESSIONS_MAX: usize = 64;
/// Fewest characters of a passcode.
pub const PASSCODE_CHARS_MIN: usize = 12;
/// Most characters of a passcode.
pub const PASSCODE_CHARS_MAX: usize = 128;
/// Longest e-mail address (RFC 5321, 4.5.3.1.3, less the brackets).
pub const EMAIL_CHARS_MAX: usize = 254;
/// Longest label of a session, an account or a key.
pub const LABEL_CHARS_MAX: usize = 80;

/// A session that has not been closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Id of the user.
    pub user_id: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Its end as the journal knows it; use moves it. `None` for the development session.
    pub expires_at: Option<Timestamp>,
    /// Counts only in development mode.
    pub development: bool,
    /// The owner's label for it.
    pub label: Option<String>,
}

impl Session {
    fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// A user as events made it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The version of the stream; 0 when there is no such user.
    pub version: u64,
    /// Public id of the user.
    pub user_id: String,
    /// The address the user signs in with, lower-cased.
    pub email: String,
    /// scrypt in PHC form.
    pub passcode_hash: String,
    /// The address was confirmed.
    pub verified: bool,
    /// When the user was created.
    pub created_at: Option<Timestamp>,
    /// Open sessions by the keyed hash of their guid, in hex; some may be past their end.
    pub sessions: BTreeMap<String, Session>,
    /// An operator has disabled the user.
    pub disabled: bool,
    /// Addresses from which the user signed in.
    pub known: KnownAddresses,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({}, version {})", self.user_id, self.version)
    }
}

events! {
    /// What can happen to a user. Passcodes and session guids are here only as hashes.
    pub enum UserEvent {
        /// The user begins, and can sign in.
        #[event("user.created", 1)]
        Created {
            /// The address the user signs in with, lower-cased.
            email: String,
            /// scrypt in PHC form.
            passcode_hash: String,
            /// The address still has to be confirmed.
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            unverified: bool,
        },
        /// The user signed in.
        #[event("user.session_opened", 1)]
        SessionOpened {
            /// Keyed hash of the session guid, in hex.
            session_hash: String,
            /// The end of its life; `null` for the development session.
            expires_at: Option<Timestamp>,
            /// Opened by development mode: counts only while that lasts.
            #[serde(default)]
            development: bool,
            /// The owner's label for it.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            label: Option<String>,
        },
        /// A session was used, and lives longer for it.
        #[event("user.session_refreshed", 1)]
        SessionRefreshed {
            /// Keyed hash of the session guid, in hex.
            session_hash: String,
            /// The new end of its life.
            expires_at: Timestamp,
        },
        /// One session was closed.
        #[event("user.session_closed", 1)]
        SessionClosed {
            /// Keyed hash of the session guid, in hex.
            session_hash: String,
        },
        /// All sessions of the user were closed.
        #[event("user.sessions_closed", 1)]
        SessionsClosed {},
        /// The user signed in from an address for the first time in a while, or an operator vouched for the address.
        #[event("user.address_known", 1)]
        AddressKnown {
            /// Keyed hash of user and address, in hex.
            address_hash: String,
        },
        /// The user has another passcode. All sessions ended but the one it was changed with, and no address is known any
        /// more.
        #[event("user.passcode_changed", 1)]
        PasscodeChanged {
            /// scrypt in PHC form.
            passcode_hash: String,
            /// Keyed hash of the session that stays open, in hex; absent when an operator reset the passcode.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            kept_session: Option<String>,
        },
        /// An operator has disabled the user. All sessions ended.
        #[event("user.disabled", 1)]
        Disabled {},
        /// An operator enabled the user to sign in again.
        #[event("user.enabled", 1)]
        Enabled {},
        /// An operator ended the lock that wrong passcodes had caused.
        #[event("user.locks_lifted", 1)]
        LocksLifted {},
        /// The user's address was confirmed.
        #[event("user.verified", 1)]
        Verified {},
    }
}

/// The commands on a user.
#[derive(Clone, PartialEq, Eq)]
pub enum UserCommand {
    /// Creates the user, unverified or verified.
    Create {
        /// The public id, made of the address.
        user_id: String,
        /// Address in the form that [`email`] makes.
        email: String,
        /// scrypt in PHC form.
        passcode_hash: String,
        /// The address is known to be the user's.
        verified: bool,
    },
    /// Open a session; the passcode was right.
    OpenSession {
        /// Id of the user.
        user_id: String,
        /// Keyed hash of the new guid, in hex.
        session_hash: String,
        /// The owner's label for it.
        label: Option<String>,
        /// Keyed hash of the user and the address it is opened from, in hex.
        address_hash: Option<String>,
    },
    /// Open a session without an end that counts only in development mode.
    OpenDevelopmentSession {
        /// Id of the user.
        user_id: String,
        /// Keyed hash of its guid, in hex.
        session_hash: String,
    },
    /// Move the end of a session that is in use.
    RefreshSession {
        /// Id of the user.
        user_id: String,
        /// Keyed hash of the session.
        session_hash: String,
    },
    /// Closes one session of the user.
    CloseSession {
        /// Id of the user.
        user_id: String,
        /// Keyed hash of the session.
        session_hash: String,
    },
    /// Closes all sessions of the user.
    CloseSessions {
        /// Id of the user.
        user_id: String,
    },
    /// Change the passcode; the old one was right.
    ChangePasscode {
        /// The user whose passcode is changed.
        user_id: String,
        /// scrypt of the new one in PHC form.
        passcode_hash: String,
        /// Keyed hash of the session that stays open, in hex.
        kept_session: String,
        /// Keyed hash of the user and the address it is changed from, in hex.
        address_hash: Option<String>,
    },
    /// Set another passcode, as an operator.
    ResetPasscode {
        /// The user whose passcode is reset.
        user_id: String,
        /// scrypt of the new one in PHC form.
        passcode_hash: String,
    },
    /// Keep the user from signing in, as an operator.
    Disable {
        /// The user who may not sign in any more.
        user_id: String,
    },
    /// Enable a disabled user to sign in again.
    Enable {
        /// The user who may sign in again.
        user_id: String,
    },
    /// Confirm the address, as an operator.
    Verify {
        /// The user whose sessions end.
        user_id: String,
    },
    /// Have the wrong passcodes forgotten, as an operator.
    LiftLocks {
        /// The user whose wrong passcodes are forgotten.
        user_id: String,
        /// Keyed hash of the user and an address that the user has a way in from, in hex.
        address_hash: Option<String>,
    },
}

/// Bytes of the keyed hash of a session.
const SESSION_HASH_BYTES: usize = 32;
/// Bytes kept of the keyed hash of a user and an address.
pub const ADDRESS_HASH_BYTES: usize = 16;

impl UserCommand {
    /// Whether what it says can be carried out at all, whoever the user is. No secret is in it in plain.
    ///
    /// # Errors
    /// `invalid-input` naming the field.
    pub fn check(&self) -> Result<(), Rejection> {
        match self {
            Self::Create {
                user_id,
                email,
                passcode_hash,
                ..
            } => {
                check::id("user_id", user_id)?;
                check_email(email)?;
                check_passcode_hash(passcode_hash)
            }
            Self::OpenSession {
                session_hash,
                label,
                address_hash,
                ..
            } => {
                check::hash("session_hash", session_hash, SESSION_HASH_BYTES)?;
                check_label("label", label.as_deref())?;
                check_address_hash(address_hash.as_deref())
            }
            Self::OpenDevelopmentSession { session_hash, .. } => {
                check::hash("session_hash", session_hash, SESSION_HASH_BYTES)
            }
            Self::ChangePasscode {
                passcode_hash,
                address_hash,
                ..
            } => {
                check_passcode_hash(passcode_hash)?;
                check_address_hash(address_hash.as_deref())
            }
            Self::ResetPasscode { passcode_hash, .. } => check_passcode_hash(passcode_hash),
            Self::LiftLocks { address_hash, .. } => check_address_hash(address_hash.as_deref()),
            Self::RefreshSession { .. }
            | Self::CloseSession { .. }
            | Self::CloseSessions { .. }
            | Self::Disable { .. }
            | Self::Enable { .. }
            | Self::Verify { .. } => Ok(()),
        }
    }

    /// The user it is about.
    pub fn user_id(&self) -> &str {
        match self {
            Self::Create { user_id, .. }
            | Self::OpenSession { user_id, .. }
            | Self::OpenDevelopmentSession { user_id, .. }
            | Self::RefreshSession { user_id, .. }
            | Self::CloseSession { user_id, .. }
            | Self::CloseSessions { user_id }
            | Self::ChangePasscode { user_id, .. }
            | Self::ResetPasscode { user_id, .. }
            | Self::Disable { user_id }
            | Self::Enable { user_id }
            | Self::Verify { user_id }
            | Self::LiftLocks { user_id, .. } => user_id,
        }
    }
}

/// The refusal of an address that another user has.
pub fn email_taken() -> Rejection {
    Rejection::new(
        ErrorTag::Conflict,
        "A user with this e-mail address already exists.",
    )
    .with_minor("email")
}

/// Normalizes an e-mail address: trimmed and lower-cased.
///
/// # Errors
/// `invalid-input` for what cannot be one. Only its form is checked; whether it works only a mail can show.
pub fn email(text: &str) -> Result<String, Rejection> {
    let address = text.trim().to_lowercase();
    let shaped = address.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !domain.contains('@')
            && domain.split('.').all(|label| !label.is_empty())
    });
    let plain = !address.contains(|c: char| c.is_whitespace() || c.is_control());
    if shaped && plain && address.chars().count() <= EMAIL_CHARS_MAX {
        Ok(address)
    } else {
        Err(Rejection::field(
            "email",
            "email must be an address such as ann@example.com.",
        ))
    }
}

/// Checks an address that should be as it is kept already.
fn check_email(address: &str) -> Result<(), Rejection> {
    if email(address)? == address {
        return Ok(());
    }
    let message = "email must be lower-case, without blanks around it.";
    Err(Rejection::field("email", message))
}

fn check_passcode_hash(hash: &str) -> Result<(), Rejection> {
    check::scrypt_hash("passcode_hash", hash)
}

fn check_address_hash(hash: Option<&str>) -> Result<(), Rejection> {
    hash.map_or(Ok(()), |hash| {
        check::hash("address_hash", hash, ADDRESS_HASH_BYTES)
    })
}

/// Checks whether a text may be a passcode.
///
/// # Errors
/// `invalid-input` that says what is wanted, and nothing of what was given.
pub fn check_passcode(passcode: &str, email: &str) -> Result<(), Rejection> {
    let wrong = |message: String| Err(Rejection::field("passcode", message));
    let chars = passcode.chars().count();
    if !(PASSCODE_CHARS_MIN..=PASSCODE_CHARS_MAX).contains(&chars) {
        return wrong(format!(
            "passcode must have {PASSCODE_CHARS_MIN} to {PASSCODE_CHARS_MAX} characters."
        ));
    }
    let mut all = passcode.chars();
    let first = all.next();
    if all.all(|c| Some(c) == first) {
        return wrong("passcode must not repeat a single character.".to_owned());
    }
    if passcode.trim().to_lowercase() == email {
        return wrong("passcode must not be the e-mail address.".to_owned());
    }
    Ok(())
}

/// A label as it is kept: trimmed; nothing when it is empty.
///
/// # Errors
/// `invalid-input` that names the field.
pub fn label(field: &str, text: Option<&str>) -> Result<Option<String>, Rejection> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    let long =
        |text: &&str| text.chars().count() > LABEL_CHARS_MAX || text.contains(char::is_control);
    match text {
        Some(text) if long(&text) => Err(Rejection::field(
            field,
            format!(
                "{field} must have at most {LABEL_CHARS_MAX} characters, none of them a control character."
            ),
        )),
        text => Ok(text.map(str::to_owned)),
    }
}

/// Checks a label that should be as it is kept already.
///
/// # Errors
/// `invalid-input` that names the field.
pub fn check_label(field: &str, text: Option<&str>) -> Result<(), Rejection> {
    if label(field, text)?.as_deref() == text {
        return Ok(());
    }
    let message = format!("{field} must not be empty, nor have blanks around it.");
    Err(Rejection::field(field, message))
}
