//! A service account of an org, and its keys: what programs call with.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::declare::events;
use super::user::check_label;
use super::{
    Aggregate, Context, Decider, ErrorTag, EventMeta, OrgCode, Rejection, StreamId, Timestamp,
    check,
};

/// Most keys of one account, revoked ones included; the one revoked first is forgotten for one more.
pub const KEYS_MAX: usize = 32;

/// Most networks that a key may be bound to.
pub const ADDRESSES_MAX: usize = 16;
/// How far apart two notes of one key's use are at least: an hour, so that a busy key adds 24 small entries a day.
pub const KEY_USE_EVERY_MS: i64 = 60 * 60 * 1_000;

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyRole {
    /// May read records, and change nothing.
    #[serde(rename = "mrs_reader")]
    Reader,
    /// Reads and changes records.
    #[serde(rename = "mrs_writer")]
    Writer,
}

impl KeyRole {
    /// The text callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "mrs_reader",
            Self::Writer => "mrs_writer",
        }
    }
}

/// One key of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Keyed hash of the key, in hex.
    pub key_hash: String,
    /// The role, which says what it may do.
    pub role: KeyRole,
    /// Its label, for people.
    pub label: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// From when on it counts no longer; `None` for one without an end.
    pub expires_at: Option<Timestamp>,
    /// Networks it may be used from, such as `10.0.0.0/8`; from everywhere when there are none.
    pub allowed_addresses: Vec<String>,
    /// When it was used last, to about [`KEY_USE_EVERY_MS`].
    pub last_used_at: Option<Timestamp>,
}

impl Key {
    /// Whether it is neither revoked nor over.
    pub fn counts(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }

    /// When it ended, whichever way came first.
    fn ended_at(&self) -> Option<Timestamp> {
        let ends = [self.revoked_at, self.expires_at];
        ends.into_iter().flatten().min()
    }
}

/// An account as its events made it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The version of the stream; 0 when there is no such account.
    pub version: u64,
    /// Public id of the account.
    pub account_id: String,
    /// Its label, for people.
    pub label: Option<String>,
    /// Whether its keys are accepted.
    pub active: bool,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// Its keys by their public ids.
    pub keys: BTreeMap<String, Key>,
}

impl Account {
    /// Keys that count, by their public ids.
    pub fn live_keys(&self) -> impl Iterator<Item = (&String, &Key)> {
        let keys = self.keys.iter();
        keys.filter(|(_, key)| self.active && key.revoked_at.is_none())
    }
}

events! {
    /// What can happen to a service account. Keys are here only as hashes.
    pub enum AccountEvent {
        /// The service account begins, active and without keys.
        #[event("account.created", 1)]
        Created {
            /// Its label, for people.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            label: Option<String>,
        },
        /// The keys of the account are accepted from now on, or refused.
        #[event("account.status_set", 1)]
        StatusSet {
            /// Whether its keys are accepted.
            active: bool,
        },
        /// The account has one more key.
        #[event("account.key_created", 2)]
        KeyCreated {
            /// The key's public id.
            key_id: String,
            /// Keyed hash of the key, in hex.
            key_hash: String,
            /// The role, which says what it may do.
            role: KeyRole,
            /// Its label, for people.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            label: Option<String>,
            /// The time from which it is not valid any more.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            expires_at: Option<Timestamp>,
            /// Networks it may be used from; from everywhere when there are none.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            allowed_addresses: Vec<String>,
        },
        /// A key was used, for the first time within about an hour.
        #[event("account.key_used", 1)]
        KeyUsed {
            /// The key's public id.
            key_id: String,
        },
        /// A key is refused from now on.
        #[event("account.key_revoked", 1)]
        KeyRevoked {
            /// The key's public id.
            key_id: String,
        },
        /// Every key that there is is refused from now on.
        #[event("account.keys_revoked", 1)]
        KeysRevoked {},
    }
}

/// The org and the id of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountName {
    /// Org that the account belongs to.
    pub org: OrgCode,
    /// Public id of the account.
    pub account_id: String,
}

/// The commands on an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountAction {
    /// Creates the service account.
    Create {
        /// Its label, for people.
        label: Option<String>,
    },
    /// Have its keys count, or not.
    SetStatus {
        /// Whether its keys are accepted.
        active: bool,
    },
    /// Creates a key of the account.
    CreateKey {
        /// The key's public id.
        key_id: String,
        /// Keyed hash of the key, in hex.
        key_hash: String,
        /// The role, which says what it may do.
        role: KeyRole,
        /// Its label, for people.
        label: Option<String>,
        /// The time from which it is not valid any more.
        expires_at: Option<Timestamp>,
        /// Networks it may be used from; from everywhere when there are none.
        allowed_addresses: Vec<String>,
    },
    /// Note that a key was used.
    NoteUse {
        /// The key's public id.
        key_id: String,
    },
    /// Revokes one key for good.
    RevokeKey {
        /// The key's public id.
        key_id: String,
    },
    /// End every key there is.
    RevokeKeys,
}

/// Bytes of the keyed hash of a key.
const KEY_HASH_BYTES: usize = 32;

impl AccountAction {
    /// Whether what it says can be carried out at all, whatever the account is.
    ///
    /// # Errors
    /// `invalid-input` naming the field.
    pub fn check(&self) -> Result<(), Rejection> {
        match self {
            Self::Create { label } => check_label("label", label.as_deref()),
            Self::CreateKey {
                key_id,
                key_hash,
                label,
                allowed_addresses,
                ..
            } => {
                check::id("key_id", key_id)?;
                check::hash("key_hash", key_hash, KEY_HASH_BYTES)?;
                check_label("label", label.as_deref())?;
                if networks(allowed_addresses)? == *allowed_addresses {
                    return Ok(());
                }
                let message = "Each of allowed_addresses must be a network such as 10.0.0.0/8, without bits beyond its prefix.";
                Err(Rejection::field("allowed_addresses", message))
            }
            Self::SetStatus { .. }
            | Self::NoteUse { .. }
            | Self::RevokeKey { .. }
            | Self::RevokeKeys => Ok(()),
        }
    }
}

/// Networks in one spelling: without the bits beyond their prefix.
///
/// # Errors
/// `invalid-input` naming `allowed_addresses`.
pub fn networks(texts: &[String]) -> Result<Vec<String>, Rejection> {
    let wrong = |message: String| Err(Rejection::field("allowed_addresses", message));
    if texts.len() > ADDRESSES_MAX {
        return wrong(format!("A key has at most {ADDRESSES_MAX} networks."));
    }
    let mut networks = Vec::new();
    for text in texts {
        // An address alone is the network of that one address.
        let network = [text.as_str(), &format!("{text}/128"), &format!("{text}/32")]
            .into_iter()
            .find_map(|text| text.parse::<IpNet>().ok());
        match network {
            Some(network) => networks.push(network.trunc().to_string()),
            None => {
                return wrong(
                    "Each of allowed_addresses is an address such as 192.0.2.7, or a network such as 10.0.0.0/8 or 2001:db8::/32.".to_owned(),
                );
            }
        }
    }
    Ok(networks)
}

/// A command with the account it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountCommand {
    /// Account that is to change.
    pub name: AccountName,
    /// Change that is asked for.
    pub action: AccountAction,
}

/// Decides for service accounts.
pub struct AccountDecider;

impl Decider for AccountDecider {
    type Command = AccountCommand;
    type State = Account;
    type Event = AccountEvent;

    fn decide(
        state: &Account,
        command: &AccountCommand,
        context: &Context,
    ) -> Result<Vec<AccountEvent>, Rejection> {
        let there = state.version > 0;
        Ok(match &command.action {
            AccountAction::Create { .. } if there => {
                return Err(Rejection::new(
                    ErrorTag::Conflict,
                    "The service account already exists.",
                ));
            }
            AccountAction::Create { label } => vec![AccountEvent::Created {
                label: label.clone(),
            }],
            _ if !there => {
                let message = "There is no such service account in this org.";
                return Err(Rejection::absent(message));
            }
            AccountAction::SetStatus { active } if *active == state.active => Vec::new(),
            AccountAction::SetStatus { active } => {
                vec![AccountEvent::StatusSet { active: *active }]
            }
            AccountAction::CreateKey { .. } => {
                vec![state.create_key(&command.action, context.now)?]
            }
            AccountAction::NoteUse { key_id } => match state.keys.get(key_id) {
                Some(key) if key.counts(context.now) && is_due(key, context.now) => {
                    vec![AccountEvent::KeyUsed {
                        key_id: key_id.clone(),
                    }]
                }
                Some(_) | None => Vec::new(),
            },
            AccountAction::RevokeKey { key_id } => match state.keys.get(key_id) {
                None => {
                    let message = "The service account has no such key.";
                    return Err(Rejection::absent(message));
                }
                Some(key) if key.revoked_at.is_some() => Vec::new(),
                Some(_) => vec![AccountEvent::KeyRevoked {
                    key_id: key_id.clone(),
                }],
            },
            AccountAction::RevokeKeys => {
                if state.keys.values().any(|key| key.revoked_at.is_none()) {
                    vec![AccountEvent::KeysRevoked {}]
                } else {
                    Vec::new()
                }
            }
        })
    }

    fn evolve(mut state: Account, event: &AccountEvent, occurrence: EventMeta<'_>) -> Account {
        state.version = occurrence.version;
        let at = occurrence.at;
        match event {
            AccountEvent::Created { label } => {
                state.label.clone_from(label);
                state.active = true;
                state.created_at = Some(at);
            }
            AccountEvent::StatusSet { active } => state.active = *active,
            AccountEvent::KeyCreated {
                key_id,
                key_hash,
                role,
                label,
                expires_at,
                allowed_addresses,
            } => {
                state.make_room();
                let key = Key {
                    key_hash: key_hash.clone(),
                    role: *role,
                    label: label.clone(),
                    created_at: at,
                    revoked_at: None,
                    expires_at: *expires_at,
                    allowed_addresses: allowed_addresses.clone(),
                    last_used_at: None,
                };
                state.keys.insert(key_id.clone(), key);
            }
            AccountEvent::KeyUsed { key_id } => {
                if let Some(key) = state.keys.get_mut(key_id) {
                    key.last_used_at = Some(at);
                }
            }
            AccountEvent::KeyRevoked { key_id } => {
                if let Some(key) = state.keys.get_mut(key_id) {
                    key.revoked_at = key.revoked_at.or(Some(at));
                }
            }
            AccountEvent::KeysRevoked {} => {
                for key in state.keys.values_mut() {
                    key.revoked_at = key.revoked_at.or(Some(at));
                }
            }
        }
        state
    }
}

impl Aggregate for AccountDecider {
    fn initial(stream: &StreamId) -> Option<Account> {
        let (_, account_id) = stream.account_name()?;
        Some(Account {
            account_id: account_id.to_owned(),
            ..Account::default()
        })
    }

    fn version(state: &Account) -> u64 {
        state.version
    }
}

/// Whether a key's use is to be noted again.
pub fn is_due(key: &Key, now: Timestamp) -> bool {
    let last = key.last_used_at;
    last.is_none_or(|at| at.plus_millis(KEY_USE_EVERY_MS) <= now)
}

impl Account {
    fn create_key(
        &self,
        action: &AccountAction,
        now: Timestamp,
    ) -> Result<AccountEvent, Rejection> {
        let AccountAction::CreateKey {
            key_id,
            key_hash,
            role,
            label,
            expires_at,
            allowed_addresses,
        } = action
        else {
            return Err(Rejection::not_found());
        };
        if !self.active {
            return Err(Rejection::new(
                ErrorTag::InvalidState,
                "The service account is disabled; enable it before it gets a key.",
            ));
        }
        if expires_at.is_some_and(|at| at <= now) {
            return Err(Rejection::field(
                "expires_at",
                "expires_at is in the past; give a future time, or omit it.",
            ));
        }
        let counting = self.live_keys().filter(|(_, key)| key.counts(now));
        if counting.count() >= KEYS_MAX {
            return Err(Rejection::new(
                ErrorTag::InvalidState,
                format!("The service account has {KEYS_MAX} keys; revoke one first."),
            ));
        }
        Ok(AccountEvent::KeyCreated {
            key_id: key_id.clone(),
            key_hash: key_hash.clone(),
            role: *role,
            label: label.clone(),
            expires_at: *expires_at,
            allowed_addresses: allowed_addresses.clone(),
        })
    }

    /// Forgets the key that ended first, when there are too many.
    fn make_room(&mut self) {
        if self.keys.len() < KEYS_MAX {
            return;
        }
        let ended = self.keys.iter();
        let ended = ended.filter_map(|(id, key)| Some((key.ended_at()?, id.clone())));
        let first = ended.min().map(|(_, id)| id);
        if let Some(first) = first {
            self.keys.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests;
