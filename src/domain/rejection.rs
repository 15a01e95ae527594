//! Every error that a caller can get: its tag and status once, and the value with its details.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Declares the tags with their text and status, in the order of the contract's table.
macro_rules! tags {
    ($($name:ident = $text:literal, $status:literal;)*) => {
        /// A machine-readable reason; each has one text and one HTTP status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Tag {
            $(#[doc = concat!("`", $text, "`, status ", $status, ".")]
              #[serde(rename = $text)]
              $name,)*
        }

        impl Tag {
            /// Every tag there is.
            pub const ALL: &'static [Tag] = &[$(Tag::$name),*];

            /// The text callers see, such as `not-found`.
            pub fn as_str(self) -> &'static str {
                match self { $(Tag::$name => $text,)* }
            }

            /// The HTTP status it is answered with.
            pub fn status(self) -> u16 {
                match self { $(Tag::$name => $status,)* }
            }
        }
    };
}

tags! {
    InvalidInput = "invalid-input", 400;
    InvalidJson = "invalid-json", 400;
    InvalidOrgcode = "invalid-orgcode", 400;
    InvalidCccode = "invalid-cccode", 400;
    InvalidContainer = "invalid-container", 400;
    InvalidRecordId = "invalid-record-id", 400;
    InvalidTag = "invalid-tag", 400;
    InvalidStatus = "invalid-status", 400;
    InvalidDoomAt = "invalid-doom-at", 400;
    InvalidNextToken = "invalid-next-token", 400;
    InvalidIdempotencyKey = "invalid-idempotency-key", 400;
    InvalidContentToken = "invalid-content-token", 400;
    UnsupportedContentType = "unsupported-content-type", 400;
    InlineTooLarge = "inline-too-large", 400;
    TooLarge = "too-large", 400;
    GzipRequired = "gzip-required", 400;
    MissingContentMd5 = "missing-content-md5", 400;
    InvalidContentMd5 = "invalid-content-md5", 400;
    MissingSize = "missing-size", 400;
    ConfirmationPhraseMismatch = "confirmation-phrase-mismatch", 400;
    InvalidSession = "invalid-session", 401;
    InvalidPasscode = "invalid-passcode", 401;
    NotAuthorized = "not-authorized", 403;
    OrgWriteBlocked = "org-write-blocked", 403;
    OrgReadBlocked = "org-read-blocked", 403;
    SecretCodeMismatch = "secret-code-mismatch", 403;
    NotOwner = "not-owner", 403;
    UserNotVerified = "user-not-verified", 403;
    ExpiredUrl = "expired-url", 403;
    NotFound = "not-found", 404;
    MethodNotAllowed = "method-not-allowed", 405;
    RequestTimeout = "request-timeout", 408;
    Doomed = "doomed", 409;
    InvalidState = "invalid-state", 409;
    Conflict = "conflict", 409;
    IdempotencyConflict = "idempotency-conflict", 409;
    QuotaExceeded = "quota-exceeded", 409;
    SizeMismatch = "size-mismatch", 409;
    Md5Mismatch = "md5-mismatch", 409;
    Md5Missing = "md5-missing", 409;
    VacuumMutexLocked = "vacuum-mutex-locked", 409;
    MaintenanceAlreadyActive = "maintenance-already-active", 409;
    PreconditionFailed = "precondition-failed", 412;
    UriTooLong = "uri-too-long", 414;
    UnsupportedMediaType = "unsupported-media-type", 415;
    ExpectedRevisionRequired = "expected-revision-required", 428;
    Throttled = "throttled", 429;
    HeadTooLarge = "head-too-large", 431;
    InternalError = "internal-error", 500;
    MaintenanceMode = "maintenance-mode", 503;
    Unavailable = "unavailable", 503;
}

/// Declares why a caller was denied: what was being checked, and what was wrong with it.
macro_rules! denials {
    ($($name:ident = $stage:literal, $reason:literal;)*) => {
        /// Why a caller was denied, for the operator alone.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Denial {
            $(#[doc = concat!("`", $reason, "`, found while the ", $stage, " was looked at.")]
              $name,)*
        }

        impl Denial {
            /// Every one there is.
            pub const ALL: &'static [Denial] = &[$(Denial::$name),*];

            /// What was being checked, and what was wrong with it.
            pub fn as_strs(self) -> (&'static str, &'static str) {
                match self { $(Denial::$name => ($stage, $reason),)* }
            }
        }
    };
}

denials! {
    CredentialMissing = "credential", "credential-missing";
    CredentialTwice = "credential", "credential-twice";
    CredentialMalformed = "credential", "credential-malformed";
    CredentialsMixed = "credential", "credentials-mixed";
    SessionUnknown = "credential", "session-unknown";
    SessionExpired = "credential", "session-expired";
    SessionOfDevelopment = "credential", "session-of-development";
    KeyUnknown = "credential", "key-unknown";
    KeyRevoked = "credential", "key-revoked";
    KeyExpired = "credential", "key-expired";
    KeyAddress = "credential", "key-address";
    TokenNotTaken = "credential", "token-not-taken";
    TokenTooLong = "credential", "token-too-long";
    TokenMalformed = "credential", "token-malformed";
    TokenType = "credential", "token-type";
    TokenCritical = "credential", "token-critical";
    TokenAlgorithm = "credential", "token-algorithm";
    TokenKeyUnknown = "credential", "token-key-unknown";
    TokenKeysStale = "credential", "token-keys-stale";
    TokenSignature = "credential", "token-signature";
    TokenExpiry = "credential", "token-expiry";
    TokenExpired = "credential", "token-expired";
    TokenLifetime = "credential", "token-lifetime";
    TokenRevoked = "credential", "token-revoked";
    TokenNotYetValid = "credential", "token-not-yet-valid";
    TokenIssuedInFuture = "credential", "token-issued-in-future";
    TokenIssuer = "credential", "token-issuer";
    TokenAudience = "credential", "token-audience";
    TokenSubject = "credential", "token-subject";
    TokenOrg = "credential", "token-org";
    TokenRole = "credential", "token-role";
    HeadersForwarded = "credential", "headers-forwarded";
    HeadersMalformed = "credential", "headers-malformed";
    OrgUnknown = "org", "org-unknown";
    OrgOfOthers = "org", "org-of-others";
    OrgFrozen = "org", "org-frozen";
    OrgNotVerified = "org", "org-not-verified";
    RoleNotOwner = "role", "role-not-owner";
    RoleTooSmall = "role", "role-too-small";
    NotAPerson = "role", "not-a-person";
}

/// The detail that is `true` in a refusal when what was requested is so already. A caller who repeats a request after a lost
/// answer can take it for done; whether it was this request or another that did it, only an idempotency key shows.
pub const ALREADY_THERE: &str = "already_there";

/// Seconds after which to come back where nothing says more.
pub const RETRY_AFTER_SECONDS: u64 = 1;
/// The message of what is absent and of what is not the caller's.
pub const NOT_FOUND: &str = "There is nothing here that you have access to.";

/// A rule said no: the tag, what to do about it, and facts that help.
///
/// Equality and storage cover every part, so that a remembered refusal is answered again unchanged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// The main reason; decides the status.
    pub tag: Tag,
    /// A finer reason: usually the name of the field at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<String>,
    /// One sentence in plain English that says what to do.
    pub message: String,
    /// Facts a program can use, such as the current revision.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
    /// The status, where it differs from the tag's own (`too-large` of a whole request body is 413).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// For the operator alone: why the caller was denied. Neither sent to the caller nor stored.
    #[serde(skip)]
    denial: Option<Denial>,
    /// Seconds after which to come back. Not stored: only refusals of the moment have it.
    #[serde(skip)]
    retry_after_seconds: Option<u64>,
}

impl Rejection {
    /// A rejection with a tag and a sentence.
    pub fn new(tag: Tag, message: impl Into<String>) -> Self {
        Self {
            tag,
            minor: None,
            message: message.into(),
            details: Map::new(),
            status: None,
            denial: None,
            retry_after_seconds: None,
        }
    }

    /// `invalid-input` that names the field.
    pub fn field(name: &str, message: impl Into<String>) -> Self {
        Self::new(Tag::InvalidInput, message).with_minor(name)
    }

    /// The answer for what is absent and for what is not the caller's: always the same bytes.
    pub fn not_found() -> Self {
        Self::new(Tag::NotFound, NOT_FOUND)
    }

    /// 413 `too-large`: the request body is beyond what any valid call needs.
    pub fn body_too_large(limit_bytes: usize) -> Self {
        let mut rejection = Self::new(
            Tag::TooLarge,
            format!(
                "The request body is larger than {limit_bytes} bytes; send large content with mode \"presign\"."
            ),
        );
        rejection.status = Some(413);
        rejection
    }

    /// 404 for those who may know that there is nothing: operators, and owners about their own orgs.
    pub fn absent(message: impl Into<String>) -> Self {
        Self::new(Tag::NotFound, message)
    }

    /// Adds the finer reason.
    pub fn with_minor(mut self, minor: &str) -> Self {
        self.minor = Some(minor.to_owned());
        self
    }

    /// Says that what is wrong came in a header.
    pub fn in_header(mut self, name: &str) -> Self {
        self.message = format!("In the header {name}: {}", self.message);
        self
    }

    /// Says that what was asked for is so already, as after the same request whose answer was lost.
    pub fn already_there(self) -> Self {
        self.with_detail(ALREADY_THERE, true)
    }

    /// The same when `there` is true.
    pub fn already_there_if(self, there: bool) -> Self {
        if there { self.already_there() } else { self }
    }

    /// Adds one member to `details`.
    pub fn with_detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// Says when to come back; for 429 and 503.
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// Says when to come back, in the message too.
    pub fn to_be_repeated_in(mut self, seconds: u64) -> Self {
        let unit = if seconds == 1 { "second" } else { "seconds" };
        self.message = format!("{} Try again in {seconds} {unit}.", self.message);
        self.with_retry_after(seconds)
    }

    /// Answers with 429 in place of the tag's own status, and says when to come back: it is too much at once.
    pub fn as_throttle(mut self, seconds: u64) -> Self {
        self.status = Some(429);
        self.with_retry_after(seconds)
    }

    /// Adds, for the operator alone, why the caller was denied.
    pub fn denied(mut self, denial: Denial) -> Self {
        self.denial = Some(denial);
        self
    }

    /// Why a caller was denied, as stage and reason: what was noted, or what the status says by itself.
    pub fn denial(&self) -> Option<(&'static str, &'static str)> {
        match (self.denial, self.status()) {
            (Some(denial), _) => Some(denial.as_strs()),
            (None, 401) => Some(("credential", self.tag.as_str())),
            (None, 403) => Some(("right", self.tag.as_str())),
            (None, _) => None,
        }
    }

    /// Seconds after which to come back, when they are known.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after_seconds
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        self.status.unwrap_or(self.tag.status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_has_its_own_text_and_a_client_or_server_error_status() {
        let mut texts: Vec<_> = Tag::ALL.iter().map(|tag| tag.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Tag::ALL.len());
        assert!(
            Tag::ALL
                .iter()
                .all(|tag| (400..600).contains(&tag.status()))
        );
    }

    #[test]
    fn a_stored_rejection_comes_back_whole() {
        let rejection = Rejection::body_too_large(10)
            .with_minor("body")
            .with_detail("limit", 10);
        let text = serde_json::to_string(&rejection).expect("serializable");
        assert_eq!(
            serde_json::from_str::<Rejection>(&text).expect("readable"),
            rejection
        );
    }
}
