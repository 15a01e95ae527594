//! Which operator calls: by the token of the first start, which is in a file, or by one that was made with scopes.

use parking_lot::Mutex;
use std::io;
use std::sync::Arc;

use actix_web::http::header::HeaderMap;
use subtle::ConstantTimeEq;

use super::credential::Authorization;
use super::refused::{Credential, TOKEN_PREFIX};
use crate::clock::random_bytes;
use crate::content::sign::Signer;
use crate::domain::operator_token::{OPERATOR, OperatorToken, TokenScope};
use crate::domain::{ErrorTag, Rejection, Timestamp};
use crate::http::header_names;
use crate::http::reply::Refusal;
use crate::projections::{Store, ops};

/// Purpose of the keyed hash under which an operator's token is kept.
const TOKEN: &str = "operator-token";
/// Longest token that is accepted, in bytes.
const TOKEN_BYTES_MAX: usize = 256;

/// Writes the token of the first start to its file, durably.
pub type KeepToken = Box<dyn Fn(&str) -> io::Result<()> + Send + Sync>;

/// An operator who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The name in the journal and the audit: `operator`, or `operator:` and the token's name.
    pub by: String,
    /// The scopes of the token.
    scopes: Vec<TokenScope>,
}

impl Operator {
    /// The scopes of the token.
    pub(in crate::http) fn scopes(&self) -> &[TokenScope] {
        &self.scopes
    }
}

/// Knows operators by their tokens. To be shared by all threads.
pub struct OperatorAccess {
    first: Mutex<Arc<str>>,
    keep: Option<KeepToken>,
    signer: Arc<Signer>,
}

impl OperatorAccess {
    /// With the token of the first start, and what writes its successor to the file; `None` where it is not to be replaced.
    pub fn new(first: Arc<str>, keep: Option<KeepToken>, signer: Arc<Signer>) -> Self {
        Self {
            first: Mutex::new(first),
            keep,
            signer,
        }
    }

    /// Who calls, or why nobody is known by the token in these headers.
    ///
    /// # Errors
    /// [`Refusal`] when the projections cannot be read.
    pub(in crate::http) fn identify(
        &self,
        (store, now): (Option<&Store>, Timestamp),
        headers: &HeaderMap,
    ) -> Result<Identified, Refusal> {
        let given = match Authorization::of(headers) {
            Authorization::Bearer(given) if given.len() <= TOKEN_BYTES_MAX => given,
            Authorization::Bearer(_) => return Ok(Err(refused(MALFORMED))),
            Authorization::Other => return Ok(Err(refused(OTHER_SCHEME))),
            Authorization::Twice => return Ok(Err(refused(TWICE))),
            Authorization::None => return Ok(Err(without_token(headers))),
        };
        let first = self.first();
        if bool::from(given.as_bytes().ct_eq(first.as_bytes())) {
            return Ok(Ok(Operator {
                by: OPERATOR.to_owned(),
                scopes: vec![TokenScope::All],
            }));
        }
        let Some(store) = store else {
            return Ok(Err(refused(NOT_YET)));
        };
        let tokens = ops::operator_tokens(store)?;
        let hash = self.hash(given);
        Ok(match tokens.find(&hash, now) {
            Some((name, token)) => Ok(Operator {
                by: format!("{OPERATOR}:{name}"),
                scopes: token.scopes.clone(),
            }),
            None => Err(not_working(tokens.known(&hash), given, now)),
        })
    }

    /// The keyed hash under which a token is kept, in hex.
    pub(in crate::http) fn hash(&self, token: &str) -> String {
        hex::encode(self.signer.keyed_hash(TOKEN, token.as_bytes()))
    }

    /// Replaces the token of the first start: durable before it works. Returns the new one.
    ///
    /// # Errors
    /// `invalid-state` in development mode, which has written it to files and shells; an internal error when the write fails.
    pub(in crate::http) fn rotate_first(&self) -> Result<String, Refusal> {
        let keep = self.keep.as_ref().ok_or_else(|| {
            Rejection::new(
                ErrorTag::InvalidState,
                "Development mode keeps its operator token, which dev.json and profiles.toml name.",
            )
        })?;
        let token = new_token();
        // Held while it is written, so that of two at once the file and the memory keep the same.
        let mut first = self.first.lock();
        keep(&token).map_err(Refusal::failed)?;
        *first = token.as_str().into();
        Ok(token)
    }

    fn first(&self) -> Arc<str> {
        let first = self.first.lock();
        first.clone()
    }
}

/// An operator, or the refusal of a request without a token that works.
pub(in crate::http) type Identified = Result<Operator, Rejection>;

const MALFORMED: &str = "The operator token cannot be read: it has more than 256 bytes. Send it as it is in its file, without quotes or line breaks.";
const OTHER_SCHEME: &str =
    "Authorization holds no Bearer token. Send the operator token as Authorization: Bearer TOKEN.";
const TWICE: &str = "Authorization was sent twice. Send one operator token.";
const NOT_YET: &str = "The operator token is not the one of the first start, and others are known only once the server has started. Try again in some seconds.";
const WRONG: &str = "The operator token is wrong, or was replaced by a rotation. The one of the first start is in keys/operator.token of the server's data directory, or in the file of http.operator_token_file; named ones were shown when they were created.";
const REVOKED: &str =
    "This operator token was revoked. Use another, or create one with g3n ops token-create.";
const EXPIRED: &str =
    "This operator token has expired. Use another, or create one with g3n ops token-create.";
const ROTATED: &str = "This operator token was rotated and its overlap is over. Use the new one.";
const MISSING: &str = "No operator token was sent. Send it as Authorization: Bearer TOKEN (g3n: G3N_OPERATOR_TOKEN, or operator_token of a profile). The one of the first start is in keys/operator.token of the server's data directory, or in the file of http.operator_token_file.";

fn refused(message: impl Into<String>) -> Rejection {
    Rejection::new(ErrorTag::NotAuthorized, message)
}

fn without_token(headers: &HeaderMap) -> Rejection {
    let tenants = [&header_names::X_SESSION_GUID, &header_names::X_API_KEY];
    match tenants.into_iter().find(|name| headers.contains_key(*name)) {
        Some(name) => refused(format!(
            "{name} is for the gateway; this is the operators' address. {MISSING}"
        )),
        None => refused(MISSING),
    }
}

/// The refusal of a token that was sent, by the one that it is or once was.
fn not_working(known: Option<&OperatorToken>, given: &str, now: Timestamp) -> Rejection {
    match known {
        Some(token) if token.revoked_at.is_some() => refused(REVOKED),
        Some(token) if !token.works(now) => refused(EXPIRED),
        Some(_) => refused(ROTATED),
        None => match Credential::of(given) {
            Some(Credential::OperatorToken) | None => refused(WRONG),
            Some(other) => refused(format!("What was sent is {}. {MISSING}", other.name())),
        },
    }
}

/// A new token of 256 random bits.
pub(in crate::http) fn new_token() -> String {
    format!("{TOKEN_PREFIX}{}", hex::encode(random_bytes::<32>()))
}

/// Refuses an operator whose token does not have a scope.
///
/// # Errors
/// `not-authorized`, with the minor `scope` and the scope in the details when there is a token that works.
pub(in crate::http) fn permit(operator: &Identified, scope: TokenScope) -> Result<(), Rejection> {
    let operator = operator.as_ref().map_err(Clone::clone)?;
    let scopes = &operator.scopes;
    if scopes.contains(&scope) || scopes.contains(&TokenScope::All) {
        return Ok(());
    }
    let message = format!(
        "This operator token does not have the scope {}; use one that does.",
        scope.as_str()
    );
    Err(Rejection::new(ErrorTag::NotAuthorized, message)
        .with_minor("scope")
        .with_detail("scope", scope.as_str()))
}
