//! Operators' tokens: each has a name and scopes, and is kept only as a keyed hash. The token of the first start, which
//! is in a file, is not one of these and has every scope.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::declare::events;
use super::{
    Aggregate, Context, Decider, ErrorTag, EventMeta, Rejection, StreamId, Timestamp, check,
};

/// Most predecessors of one token that are valid at the same time as it.
const PREVIOUS_MAX: usize = 4;
/// Most tokens kept, revoked ones included; the one revoked first is forgotten for one more.
pub const TOKENS_MAX: usize = 64;
/// Longest name, in characters.
pub const NAME_CHARS_MAX: usize = 64;
/// Longest time for which a rotated token stays valid together with its successor.
pub const OVERLAP_MS_MAX: i64 = 24 * 60 * 60 * 1_000;

/// What a token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenScope {
    /// May read `/metrics` alone.
    Metrics,
    /// Reads everything operators see: audit, jobs, vacuums, holds, traces; takes backups.
    Read,
    /// Changes what concerns tenants: users, orgs, holds, imports and exports, jobs, upkeep, maintenance windows.
    Tenants,
    /// Destroys, or starts or ends what destroys: vacuums, an org's leaving, erasing a user.
    Destroy,
    /// Everything, the secret code, keys and other tokens included.
    All,
}

impl TokenScope {
    /// Every scope, in the order of their reach.
    pub const ALL: [Self; 5] = [
        Self::Metrics,
        Self::Read,
        Self::Tenants,
        Self::Destroy,
        Self::All,
    ];

    /// The text callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Read => "read",
            Self::Tenants => "tenants",
            Self::Destroy => "destroy",
            Self::All => "all",
        }
    }

    /// The scope of a text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// A stored token: its hash, and its scopes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorToken {
    /// Keyed hash of the token, in hex.
    pub token_hash: String,
    /// Those before it and until when each still works, after rotations. More than one when it was rotated again
    /// meanwhile, as by a request that was repeated because its answer was lost.
    pub previous: Vec<(String, Timestamp)>,
    /// What it may be used for.
    pub scopes: Vec<TokenScope>,
    /// When it was made, or rotated last.
    pub created_at: Timestamp,
    /// From when on it works no longer; `None` for one without an end.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl std::fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OperatorToken({:?})", self.scopes)
    }
}

impl OperatorToken {
    /// Whether a hash is this token's, or its predecessor's while that works, and it works now.
    pub fn accepts(&self, hash: &str, now: Timestamp) -> bool {
        let mut previous = self.previous.iter();
        let same = self.token_hash == hash
            || previous.any(|(before, until)| before == hash && *until > now);
        same && self.works(now)
    }

    /// Whether it is neither revoked nor over.
    pub fn works(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }

    /// Whether the token has a scope, or all.
    pub fn may(&self, scope: TokenScope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&TokenScope::All)
    }
}

/// All tokens, folded from their events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorTokens {
    /// The version of their stream.
    pub version: u64,
    /// By name, which is never given to a second token.
    pub tokens: BTreeMap<String, OperatorToken>,
}

impl OperatorTokens {
    /// The token that a hash belongs to, with its name, if it works now.
    pub fn find(&self, hash: &str, now: Timestamp) -> Option<(&String, &OperatorToken)> {
        self.tokens
            .iter()
            .find(|(_, token)| token.accepts(hash, now))
    }

    /// The token that a hash belongs or once belonged to, whether or not it works.
    pub fn known(&self, hash: &str) -> Option<&OperatorToken> {
        let mut tokens = self.tokens.values();
        tokens.find(|token| {
            let mut previous = token.previous.iter();
            token.token_hash == hash || previous.any(|(before, _)| before == hash)
        })
    }
}

events! {
    /// What can happen to operators' tokens. They are here only as hashes.
    pub enum OperatorTokenEvent {
        /// There is one more operator token.
        #[event("operator_token.created", 1)]
        Created {
            /// Its name, in the audit too.
            name: String,
            /// Keyed hash of the token, in hex.
            token_hash: String,
            /// The operator functions it is accepted for.
            scopes: Vec<TokenScope>,
            /// From when on it is refused.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            expires_at: Option<Timestamp>,
        },
        /// Another token has the name and the scopes from now on.
        #[event("operator_token.rotated", 1)]
        Rotated {
            /// The name that stays with the new one.
            name: String,
            /// Keyed hash of the new token, in hex.
            token_hash: String,
            /// Until when the one before works; absent when it ended at once.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            previous_until: Option<Timestamp>,
        },
        /// The token is refused from now on.
        #[event("operator_token.revoked", 1)]
        Revoked {
            /// The name that the audit knows it by.
            name: String,
        },
    }
}

impl OperatorTokenEvent {
    /// The token it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Created { name, .. } | Self::Rotated { name, .. } | Self::Revoked { name } => {
                name
            }
        }
    }
}

/// The commands on operators' tokens.
#[derive(Clone, PartialEq, Eq)]
pub enum OperatorTokenCommand {
    /// Make a token that works at once.
    Create {
        /// Its name, in the audit too.
        name: String,
        /// Keyed hash of the token, in hex.
        token_hash: String,
        /// What it may be used for.
        scopes: Vec<TokenScope>,
        /// The time from which it is not valid any more.
        expires_at: Option<Timestamp>,
    },
    /// Replace one by another with the same name and scopes.
    Rotate {
        /// The name that the audit knows it by.
        name: String,
        /// Keyed hash of the new one, in hex.
        token_hash: String,
        /// For how long the predecessor stays valid too, in milliseconds.
        overlap_ms: i64,
    },
    /// End a token at once and for good.
    Revoke {
        /// The name that the audit knows it by.
        name: String,
    },
}

/// Bytes of the keyed hash of a token.
const TOKEN_HASH_BYTES: usize = 32;
/// The name of the token of the first start, which is in a file, and of who has it in the journal and in the audit.
pub const OPERATOR: &str = "operator";

impl OperatorTokenCommand {
    /// Whether what it says can be carried out at all. No token is in it in plain.
    ///
    /// # Errors
    /// `invalid-input` naming the field.
    pub fn check(&self) -> Result<(), Rejection> {
        match self {
            Self::Create {
                name,
                token_hash,
                scopes,
                ..
            } => {
                check_name(name)?;
                if name == OPERATOR {
                    let message =
                        "This name is reserved for the token of the first start; choose another.";
                    return Err(Rejection::field("name", message));
                }
                check::hash("token_hash", token_hash, TOKEN_HASH_BYTES)?;
                if scopes.is_empty() {
                    let message = "scopes is missing: give at least one.";
                    return Err(Rejection::field("scopes", message));
                }
                Ok(())
            }
            Self::Rotate { token_hash, .. } => {
                check::hash("token_hash", token_hash, TOKEN_HASH_BYTES)
            }
            Self::Revoke { .. } => Ok(()),
        }
    }
}

/// Checks the name of a token.
///
/// # Errors
/// `invalid-input` naming `name`.
pub fn check_name(name: &str) -> Result<(), Rejection> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.len() <= NAME_CHARS_MAX
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(plain)
    {
        return Ok(());
    }
    let message = format!(
        "name is 1 to {NAME_CHARS_MAX} letters, digits, '.', '_' or '-', and begins with a letter or digit."
    );
    Err(Rejection::field("name", message))
}

/// Decides for operators' tokens.
pub struct OperatorTokenDecider;

impl Decider for OperatorTokenDecider {
    type Command = OperatorTokenCommand;
    type State = OperatorTokens;
    type Event = OperatorTokenEvent;

    fn decide(
        state: &OperatorTokens,
        command: &OperatorTokenCommand,
        context: &Context,
    ) -> Result<Vec<OperatorTokenEvent>, Rejection> {
        let working = |name: &str| match state.tokens.get(name) {
            None => Err(Rejection::new(
                ErrorTag::NotFound,
                "There is no operator token of this name.",
            )),
            Some(token) if !token.works(context.now) => Err(Rejection::new(
                ErrorTag::InvalidState,
                "This operator token has expired or was revoked; create one with another name.",
            )),
            Some(token) => Ok(token),
        };
        Ok(match command {
            OperatorTokenCommand::Create {
                name,
                token_hash,
                scopes,
                expires_at,
            } => {
                let same = state.tokens.get(name).is_some_and(|token| {
                    token.works(context.now)
                        && token.scopes == *scopes
                        && token.expires_at == *expires_at
                });
                check_new(state, name, *expires_at, context.now)
                    .map_err(|refusal| refusal.already_there_if(same))?;
                vec![OperatorTokenEvent::Created {
                    name: name.clone(),
                    token_hash: token_hash.clone(),
                    scopes: scopes.clone(),
                    expires_at: *expires_at,
                }]
            }
            OperatorTokenCommand::Rotate {
                name,
                token_hash,
                overlap_ms,
            } => {
                working(name)?;
                let overlap_ms = (*overlap_ms).min(OVERLAP_MS_MAX);
                let until = (overlap_ms > 0).then(|| context.now.plus_millis(overlap_ms));
                vec![OperatorTokenEvent::Rotated {
                    name: name.clone(),
                    token_hash: token_hash.clone(),
                    previous_until: until,
                }]
            }
            OperatorTokenCommand::Revoke { name } => match state.tokens.get(name) {
                Some(token) if token.revoked_at.is_some() => Vec::new(),
                Some(_) => vec![OperatorTokenEvent::Revoked { name: name.clone() }],
                None => working(name).map(|_| Vec::new())?,
            },
        })
    }

    fn evolve(
        mut state: OperatorTokens,
        event: &OperatorTokenEvent,
        occurrence: EventMeta<'_>,
    ) -> OperatorTokens {
        state.version = occurrence.version;
        match event {
            OperatorTokenEvent::Created {
                name,
                token_hash,
                scopes,
                expires_at,
            } => {
                forget_one(&mut state);
                let token = OperatorToken {
                    token_hash: token_hash.clone(),
                    previous: Vec::new(),
                    scopes: scopes.clone(),
                    created_at: occurrence.at,
                    expires_at: *expires_at,
                    revoked_at: None,
                };
                state.tokens.insert(name.clone(), token);
            }
            OperatorTokenEvent::Rotated {
                name,
                token_hash,
                previous_until,
            } => {
                if let Some(token) = state.tokens.get_mut(name) {
                    let before = std::mem::replace(&mut token.token_hash, token_hash.clone());
                    token.previous.retain(|(_, until)| *until > occurrence.at);
                    match previous_until {
                        Some(until) => token.previous.push((before, *until)),
                        None => token.previous.clear(),
                    }
                    let old = token.previous.len().saturating_sub(PREVIOUS_MAX);
                    token.previous.drain(..old);
                    token.created_at = occurrence.at;
                }
            }
            OperatorTokenEvent::Revoked { name } => {
                if let Some(token) = state.tokens.get_mut(name) {
                    token.revoked_at = Some(occurrence.at);
                }
            }
        }
        state
    }
}

impl Aggregate for OperatorTokenDecider {
    fn initial(stream: &StreamId) -> Option<OperatorTokens> {
        (stream.as_str() == StreamId::OPERATOR_TOKENS).then(OperatorTokens::default)
    }

    fn version(state: &OperatorTokens) -> u64 {
        state.version
    }
}

fn check_new(
    state: &OperatorTokens,
    name: &str,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Rejection> {
    if state.tokens.contains_key(name) {
        return Err(Rejection::new(
            ErrorTag::Conflict,
            "An operator token of this name exists or existed; rotate it, or choose another name: the audit refers to tokens by name.",
        )
        .with_minor("name"));
    }
    let kept = state.tokens.values();
    if kept.filter(|token| token.works(now)).count() >= TOKENS_MAX {
        let message = format!("There are {TOKENS_MAX} operator tokens; revoke one first.");
        return Err(Rejection::new(ErrorTag::InvalidState, message));
    }
    if expires_at.is_some_and(|at| at <= now) {
        return Err(Rejection::field(
            "expires_at",
            "expires_at is in the past; give a future time, or omit it.",
        ));
    }
    Ok(())
}

/// Makes room for one more: of those that are not valid any more, the one that ended first is removed.
fn forget_one(state: &mut OperatorTokens) {
    if state.tokens.len() < TOKENS_MAX {
        return;
    }
    let ended = state.tokens.iter().filter_map(|(name, token)| {
        let end = [token.revoked_at, token.expires_at];
        Some((end.into_iter().flatten().min()?, name.clone()))
    });
    if let Some((_, name)) = ended.min() {
        state.tokens.remove(&name);
    }
}
