//! Signed tokens (JWTs) of an identity provider: the caller that one names, or why it is refused.
//!
//! The library decodes a token and checks its signature; claims and times are checked here, by the server's own clock
//! (`docs/decisions/0048-what-the-token-library-checks.md`).

mod claims;
mod fetch;
mod files;
#[cfg(test)]
mod fuzz;
mod header;
mod jwk;
mod keys;
mod settings;
mod watch;

use std::path::Path;
use std::sync::Arc;

use crate::clock::Clock;
use crate::domain::rejection::Denial;
use crate::domain::{OrgCode, Timestamp};
use claims::Checks;
use fetch::KeyUrl;
use header::Header;
use keys::KeySet;
use settings::Kind;
use watch::KeyFile;

pub use files::KeyFileError;
pub(crate) use files::{read_private, read_secret};
pub use keys::KeysError;
pub(crate) use settings::{ORG_CLAIM, ROLE_CLAIM};
pub use settings::{TokenError, TokenSettings};

/// Maximum length of a token, in bytes: what common servers accept as a whole header line.
const TOKEN_BYTES_MAX: usize = 8_192;

/// The caller that a valid token names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The caller's id at the issuer, 1 to 255 bytes.
    pub subject: String,
    /// The org it is for.
    pub org: OrgCode,
    /// The role in the org, 1 to 64 bytes.
    pub role: String,
    /// The token's own id, 1 to 255 bytes, by which it can be revoked; `None` when the issuer gives none.
    pub jti: Option<String>,
    /// The time of its `exp`; it is accepted for 60 s more.
    pub expires_at: Timestamp,
}

/// Why a token is refused, for the log and the counters. It holds nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.code())]
pub enum Denied {
    /// Longer than 8 KiB.
    TooLong,
    /// Not three parts of base64 with JSON in them, or a part of them has the wrong type.
    Malformed,
    /// Its `typ` is not that of an access token.
    Type,
    /// It has a `crit` header, whose extensions are not supported.
    Critical,
    /// Its algorithm is not accepted, or is not that of the key.
    Algorithm,
    /// No key has its key id, or it has none and there are too many keys to try.
    KeyUnknown,
    /// There are no keys, or they are two hours old.
    KeysStale,
    /// Its signature is not that of the key.
    Signature,
    /// It has no valid `exp`.
    Expiry,
    /// Its `exp` has passed.
    Expired,
    /// Its lifetime is longer than `auth.jwt_life_seconds_max`.
    Lifetime,
    /// Its `nbf` is in the future.
    NotYetValid,
    /// Its `iat` is in the future.
    IssuedInFuture,
    /// Its `iss` is absent or another's.
    Issuer,
    /// Its `aud` does not name this server.
    Audience,
    /// Its `sub` is absent, blank, too long or not printable.
    Subject,
    /// It names no valid org.
    Org,
    /// It names no valid role.
    Role,
}

impl Denied {
    /// The reason as answers and counters name it.
    pub fn denial(self) -> Denial {
        match self {
            Self::TooLong => Denial::TokenTooLong,
            Self::Malformed => Denial::TokenMalformed,
            Self::Type => Denial::TokenType,
            Self::Critical => Denial::TokenCritical,
            Self::Algorithm => Denial::TokenAlgorithm,
            Self::KeyUnknown => Denial::TokenKeyUnknown,
            Self::KeysStale => Denial::TokenKeysStale,
            Self::Signature => Denial::TokenSignature,
            Self::Expiry => Denial::TokenExpiry,
            Self::Expired => Denial::TokenExpired,
            Self::Lifetime => Denial::TokenLifetime,
            Self::NotYetValid => Denial::TokenNotYetValid,
            Self::IssuedInFuture => Denial::TokenIssuedInFuture,
            Self::Issuer => Denial::TokenIssuer,
            Self::Audience => Denial::TokenAudience,
            Self::Subject => Denial::TokenSubject,
            Self::Org => Denial::TokenOrg,
            Self::Role => Denial::TokenRole,
        }
    }

    /// The machine-readable reason, such as `token-expired`.
    pub fn code(self) -> &'static str {
        self.denial().as_strs().1
    }
}

/// Checks tokens; shared by all threads.
pub struct Verifier {
    checks: Checks,
    source: Source,
    clock: Clock,
}

/// The source of keys; always one alone.
enum Source {
    Fixed(Arc<KeySet>),
    File(KeyFile),
    Url(KeyUrl),
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    /// A verifier; `None` when the settings name no source of keys.
    ///
    /// Keys of an address are waited for 3 s at most; without them every token is refused until they are there.
    ///
    /// # Errors
    /// Settings that contradict each other or lack something, and a file of keys that cannot be used.
    pub fn open(settings: &TokenSettings, clock: Clock) -> Result<Option<Self>, TokenError> {
        let Some((kind, place)) = settings.place()? else {
            return Ok(None);
        };
        let checks = settings.checks(kind)?;
        let source = match kind {
            Kind::Url => Source::Url(KeyUrl::open(place, clock.clone())?),
            Kind::File => Source::File(KeyFile::open(Path::new(place), clock.now())?),
            Kind::Secret => {
                let secret = files::read_secret(Path::new(place))?;
                Source::Fixed(Arc::new(KeySet::of_secret(&secret)))
            }
        };
        Ok(Some(Self {
            checks,
            source,
            clock,
        }))
    }

    /// Milliseconds since the keys were last known to be good (since the start, if never), and whether tokens can be checked. A key
    /// file is checked for it.
    pub fn keys_state(&self, now: Timestamp) -> (u64, bool) {
        match &self.source {
            Source::Fixed(_) => (0, true),
            Source::File(file) => {
                let usable = file.keys(now).is_ok();
                (file.age_ms(now), usable)
            }
            Source::Url(url) => (url.age_ms(now), url.keys(now).is_ok()),
        }
    }

    /// The caller that a token names. Never waits for the network; a key file is checked once a second.
    ///
    /// # Errors
    /// [`Denied`], with the reason. One that names an unknown key has the keys of an address fetched again for a later request.
    pub fn verify(&self, token: &str) -> Result<Bearer, Denied> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Denied::TooLong);
        }
        let header = Header::read(token)?;
        let now = self.clock.now();
        let keys = self.source.keys(now)?;
        let tried = keys.find(header.kid.as_deref(), header.algorithm);
        let mut refused = Denied::KeyUnknown;
        for key in &tried {
            match key.open(token, header.algorithm) {
                Ok(claims) => return self.checks.bearer(&claims, now),
                Err(denied) => refused = denied,
            }
        }
        // Perhaps a key is new.
        if tried.is_empty() || tried.len() > 1 {
            self.source.look_again();
        }
        Err(refused)
    }
}

/// Checks whether tokens can be verified with these settings, starting no thread: returns the setting that names the keys, or
/// nothing when tokens are not taken. Keys of an address are got once, within 10 s.
///
/// # Errors
/// As [`Verifier::open`], and when an address gives no keys, which stops no server.
pub fn check(settings: &TokenSettings) -> Result<Option<&'static str>, CheckError> {
    check_files(settings)?;
    let Some((kind, place)) = settings.place()? else {
        return Ok(None);
    };
    match kind {
        Kind::Url => fetch::get_once(place)?,
        Kind::File | Kind::Secret => {}
    }
    Ok(Some(kind.setting()))
}

/// Looks whether the settings of tokens go together and their files can be read, starting no thread and asking no address.
///
/// # Errors
/// As [`Verifier::open`].
pub(crate) fn check_files(settings: &TokenSettings) -> Result<(), TokenError> {
    let Some((kind, place)) = settings.place()? else {
        return Ok(());
    };
    settings.checks(kind)?;
    match kind {
        Kind::Url => {}
        Kind::File => drop(files::read_keys(Path::new(place))?),
        Kind::Secret => drop(files::read_secret(Path::new(place))?),
    }
    Ok(())
}

/// Why tokens could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The server would not start.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The server would start, and refuse every token.
    #[error("auth.jwt_jwks_url gives no keys: {0}")]
    NoKeys(String),
}

impl Source {
    fn keys(&self, now: Timestamp) -> Result<Arc<KeySet>, Denied> {
        match self {
            Self::Fixed(keys) => Ok(keys.clone()),
            Self::File(file) => file.keys(now),
            Self::Url(url) => url.keys(now),
        }
    }

    /// Fetches keys again because an unknown one was named. A file has been checked already.
    fn look_again(&self) {
        match self {
            Self::Url(url) => url.look_again(),
            Self::Fixed(_) | Self::File(_) => {}
        }
    }
}
