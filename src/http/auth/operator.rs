//! Which operator calls: by the token of the first start, which lies in a file, or by one that was made with scopes.

use parking_lot::Mutex;
use std::io;
use std::sync::Arc;

use actix_web::HttpRequest;
use subtle::ConstantTimeEq;

use super::credential::Authorization;
use crate::clock::random_bytes;
use crate::content::sign::Signer;
use crate::domain::operator_token::TokenScope;
use crate::domain::{ErrorTag, Rejection, Timestamp};
use crate::http::reply::Refusal;
use crate::projections::{Store, ops};

/// Who an operator with the token of the first start is in the journal and in the audit.
pub(in crate::http) const OPERATOR: &str = "operator";
/// Purpose of the keyed hash under which an operator's token is kept.
const TOKEN: &str = "operator-token";
/// What every operator's token begins with; the log's last look at its lines knows it.
const TOKEN_PREFIX: &str = "op_";
/// Longest token that is accepted, in bytes.
const TOKEN_BYTES_MAX: usize = 256;

/// Writes the token of the first start to its file, durably.
pub type KeepToken = Box<dyn Fn(&str) -> io::Result<()> + Send + Sync>;

/// An operator who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The name in the journal and the audit: `operator`, or `operator:` and the token's name.
    pub by: String,
    /// What the token lets do.
    scopes: Vec<TokenScope>,
}

/// Knows operators by their tokens. To be shared by all threads.
pub struct OperatorAccess {
    first: Mutex<Arc<str>>,
    keep: Option<KeepToken>,
    signer: Arc<Signer>,
}

impl OperatorAccess {
    /// With the token of the first start, and what keeps another one in its place; nothing where it is not to be replaced.
    pub fn new(first: Arc<str>, keep: Option<KeepToken>, signer: Arc<Signer>) -> Self {
        Self {
            first: Mutex::new(first),
            keep,
            signer,
        }
    }

    /// Who calls; nobody when there is no token, or it is not one that works.
    ///
    /// # Errors
    /// A failed read.
    pub(in crate::http) fn identify(
        &self,
        (store, now): (Option<&Store>, Timestamp),
        request: &HttpRequest,
    ) -> Result<Option<Operator>, Refusal> {
        let given = match Authorization::of(request.headers()) {
            Authorization::Bearer(given) if given.len() <= TOKEN_BYTES_MAX => given,
            Authorization::Bearer(_)
            | Authorization::None
            | Authorization::Twice
            | Authorization::Other => return Ok(None),
        };
        let first = self.first();
        if bool::from(given.as_bytes().ct_eq(first.as_bytes())) {
            return Ok(Some(Operator {
                by: OPERATOR.to_owned(),
                scopes: vec![TokenScope::All],
            }));
        }
        let Some(store) = store else {
            return Ok(None);
        };
        let tokens = ops::operator_tokens(store)?;
        let found = tokens.find(&self.hash(given), now);
        Ok(found.map(|(name, token)| Operator {
            by: format!("{OPERATOR}:{name}"),
            scopes: token.scopes.clone(),
        }))
    }

    /// The keyed hash under which a token is kept, in hex.
    pub(in crate::http) fn hash(&self, token: &str) -> String {
        hex::encode(self.signer.keyed_hash(TOKEN, token.as_bytes()))
    }

    /// Replaces the token of the first start: durable before it works. Returns the new one.
    ///
    /// # Errors
    /// `invalid-state` in development mode, which has written it to files and shells; or a failed write.
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

/// A new token of 256 random bits.
pub(in crate::http) fn new_token() -> String {
    format!("{TOKEN_PREFIX}{}", hex::encode(random_bytes::<32>()))
}

/// The operator, when there is one.
///
/// # Errors
/// `not-authorized`.
pub(in crate::http) fn identified(operator: Option<&Operator>) -> Result<&Operator, Rejection> {
    operator.ok_or_else(|| {
        Rejection::new(
            ErrorTag::NotAuthorized,
            "An operator token is required: Authorization: Bearer <token>.",
        )
    })
}

/// Refuses an operator whose token does not have a scope.
///
/// # Errors
/// `not-authorized`, with the minor `scope` and the scope in the details when there is a token.
pub(in crate::http) fn permit(
    operator: Option<&Operator>,
    scope: TokenScope,
) -> Result<(), Rejection> {
    let operator = identified(operator)?;
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
