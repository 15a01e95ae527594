//! API keys: making one, finding the one that a text is, and journaling that one is used.

use parking_lot::MutexGuard;
use std::collections::HashSet;
use std::sync::Arc;

use super::Directory;
use crate::actors::{Caller, Refused};
use crate::clock::{random_bytes, random_uuid};
use crate::content::sign::Signer;
use crate::domain::account::{Account, AccountAction, AccountName, KEY_USE_EVERY_MS, KeyRole};
use crate::domain::{OrgCode, Timestamp};
use crate::projections::StoreError;
use crate::projections::identity::{self, LiveKey};
use crate::report;

/// What every API key begins with.
pub const KEY_PREFIX: &str = "g3nk_";
/// Purpose of the keyed hash under which keys are stored.
const KEY_HASH: &str = "api-key";

/// A key as its maker gets it, once.
#[derive(Clone)]
pub struct NewKey {
    /// The key itself, which is shown once.
    pub api_key: String,
    /// Public id of the key.
    pub key_id: String,
    /// The account with it.
    pub account: Account,
}

/// A key to make.
#[derive(Clone, Debug)]
pub struct WantedKey {
    /// The role, which says what it may do.
    pub role: KeyRole,
    /// Its label, for people.
    pub label: Option<String>,
    /// The time from which it is not valid any more.
    pub expires_at: Option<Timestamp>,
    /// Networks it may be used from; from everywhere when there are none.
    pub allowed_addresses: Vec<String>,
}

impl Directory {
    /// The key that a text is, if it counts.
    ///
    /// # Errors
    /// [`StoreError`] when a read fails.
    pub fn key(&self, api_key: &str) -> Result<Option<LiveKey>, StoreError> {
        self.key_of(&key_hash(&self.signer, api_key))
    }

    /// A key by its keyed hash, in hex.
    ///
    /// # Errors
    /// [`StoreError`] when a read fails.
    pub fn key_of(&self, key_hash: &str) -> Result<Option<LiveKey>, StoreError> {
        let now = self.deps.clock.now();
        let key = identity::live_key(self.store(), key_hash)?;
        Ok(key.filter(|key| key.expires_at.is_none_or(|at| at > now)))
    }

    /// Journals that a key is in use, once an hour. The request that used it does not wait for it. Returns whether it is
    /// being journaled now.
    ///
    /// # Panics
    /// Outside of an actor system.
    pub fn note_key_use(self: &Arc<Self>, key: &LiveKey) -> bool {
        let now = self.deps.clock.now();
        let last = key.last_used_at;
        if last.is_some_and(|at| at.plus_millis(KEY_USE_EVERY_MS) > now) {
            return false;
        }
        if !self.keys_noted().insert(key.key_id.clone()) {
            return true;
        }
        let (directory, key) = (self.clone(), key.clone());
        actix::spawn(async move {
            if let Ok(org) = OrgCode::parse(&key.org) {
                let name = AccountName {
                    org,
                    account_id: key.account_id,
                };
                let key_id = key.key_id.clone();
                let caller = Caller::job("job:keys");
                let note = AccountAction::NoteUse { key_id };
                // What cannot be taken now is noted at a later use.
                if let Err(Refused::Failed(error)) = directory.account(name, note, &caller).await {
                    report::notice_error("a key's use could not be journaled", &error);
                }
            }
            directory.keys_noted().remove(&key.key_id);
        });
        true
    }

    /// The keys whose use is being journaled: no more than there are keys in use.
    fn keys_noted(&self) -> MutexGuard<'_, HashSet<String>> {
        self.keys_noted.lock()
    }

    /// Makes a key.
    ///
    /// # Errors
    /// As [`Directory::account`].
    pub async fn create_key(
        &self,
        name: AccountName,
        wanted: WantedKey,
        caller: &Caller,
    ) -> Result<NewKey, Refused> {
        let api_key = format!("{KEY_PREFIX}{}", hex::encode(random_bytes::<32>()));
        let key_id = random_uuid().to_string();
        let action = AccountAction::CreateKey {
            key_id: key_id.clone(),
            key_hash: key_hash(&self.signer, &api_key),
            role: wanted.role,
            label: wanted.label,
            expires_at: wanted.expires_at,
            allowed_addresses: wanted.allowed_addresses,
        };
        let account = self.account(name, action, caller).await?;
        Ok(NewKey {
            api_key,
            key_id,
            account,
        })
    }
}

fn key_hash(signer: &Signer, api_key: &str) -> String {
    hex::encode(key_digest(signer, api_key))
}

/// The form in which a key is stored, before it is written as text.
pub fn key_digest(signer: &Signer, api_key: &str) -> [u8; 32] {
    signer.keyed_hash(KEY_HASH, api_key.as_bytes())
}
