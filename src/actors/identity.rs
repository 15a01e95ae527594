//! Users, orgs and service accounts: signing in, sessions that live while they are used, and who belongs where.

mod users;

use parking_lot::{Mutex, MutexGuard};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::execute::execute;
use super::passcodes::{Passcodes, make_room};
use super::request::Caller;
use super::request::failed;
use super::{ActorDeps, Refused};
use crate::clock::{random_bytes, random_uuid};
use crate::content::sign::Signer;
use crate::domain::account::{
    Account, AccountAction, AccountCommand, AccountDecider, AccountName, KEY_USE_EVERY_MS, KeyRole,
};
use crate::domain::org::{Org, OrgCommand, OrgDecider};
use crate::domain::user::{
    SESSION_MS, SESSION_REFRESH_MS, Session, User, UserCommand, UserDecider, check_passcode, email,
    email_taken,
};
use crate::domain::{ErrorTag, OrgCode, Rejection, Timestamp};
use crate::offload;
use crate::passcode;
use crate::projections::identity::{self, LiveKey};
use crate::projections::{Store, StoreError};
use crate::report;

pub use super::passcodes::{Peer, WrongMax};

/// What every API key begins with.
pub const KEY_PREFIX: &str = "g3nk_";
/// Purpose of the keyed hash under which sessions are stored.
const SESSION_HASH: &str = "session";
/// How exactly it is known when a session was used last, in milliseconds.
const USED_EVERY_MS: i64 = 1_000;
/// Purpose of the keyed hash under which keys are stored.
const KEY_HASH: &str = "api-key";
/// Purpose of the keyed hash that makes a user's id of an address.
const USER_ID: &str = "user-id";

/// A session as its owner gets it, once.
#[derive(Clone)]
pub struct SignedIn {
    /// The secret that proves it.
    pub session_guid: String,
    /// Id of the user who signed in.
    pub user_id: String,
    /// When it ends, if it is not used again.
    pub expires_at: Timestamp,
}

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

/// A session that is open.
pub struct OpenSession {
    /// The keyed hash of its guid, in hex.
    pub hash: String,
    /// The session, with its end as the journal knows it.
    pub session: Arc<Session>,
    /// Its end, if it is not used again; `None` for the development session.
    pub expires_at: Option<Timestamp>,
    /// The last journaled use is old, so that the next use may have to be journaled.
    pub journals_use: bool,
}

/// Settings of who people are.
#[derive(Clone, Copy, Debug)]
pub struct IdentitySettings {
    /// How long a session lives at most, however much it is used.
    pub session_ms_max: i64,
    /// For how many milliseconds an invitation can be accepted.
    pub invitation_ms: i64,
    /// Limits of wrong passcodes.
    pub wrong_passcodes: WrongMax,
}

impl Default for IdentitySettings {
    fn default() -> Self {
        Self {
            session_ms_max: 30 * 86_400_000,
            invitation_ms: 14 * 86_400_000,
            wrong_passcodes: WrongMax {
                address: 10,
                day: 100,
            },
        }
    }
}

/// Executes and reads what concerns users, orgs, accounts, keys and sessions. Cheap to clone.
pub struct Directory {
    deps: Arc<ActorDeps>,
    signer: Arc<Signer>,
    passcodes: Passcodes,
    settings: IdentitySettings,
    /// By the hash of a session: when it was used last, and whether that is being journaled.
    used: Mutex<HashMap<String, Used, RandomState>>,
    /// Keys whose use is being journaled, by their public ids.
    keys_noted: Mutex<HashSet<String>>,
}

#[derive(Clone, Copy)]
struct Used {
    at: Timestamp,
    journaling: bool,
}

impl Directory {
    /// Opens it over the dependencies that all actors share.
    pub fn new(deps: Arc<ActorDeps>, signer: Arc<Signer>, settings: IdentitySettings) -> Arc<Self> {
        Arc::new(Self {
            passcodes: Passcodes::new(deps.clock.clone(), settings.wrong_passcodes),
            settings,
            deps,
            signer,
            used: Mutex::default(),
            keys_noted: Mutex::default(),
        })
    }

    /// The number of passcodes that are checked or wait for a check.
    pub fn passcodes_waiting(&self) -> usize {
        self.passcodes.waiting()
    }

    fn store(&self) -> &Store {
        &self.deps.store
    }

    /// Makes a user.
    ///
    /// # Errors
    /// `invalid-input`, or `conflict` when another user has the address.
    pub async fn create_user(
        &self,
        address: &str,
        passcode: &str,
        verified: bool,
        (peer, caller): (Peer, &Caller),
    ) -> Result<User, Refused> {
        let address = email(address)?;
        check_passcode(passcode, &address)?;
        if let Some(user_id) = identity::user_by_email(self.store(), &address).map_err(failed)? {
            let user = identity::user(self.store(), &user_id).map_err(failed)?;
            let same = user.verified == verified && self.is_passcode_of(&user, passcode).await?;
            return Err(email_taken().already_there_if(same).into());
        }
        let passcode_hash = self.passcodes.hash(passcode, peer).await?;
        let create = UserCommand::Create {
            user_id: user_id(&self.signer, &address),
            email: address,
            passcode_hash,
            verified,
        };
        self.user(create, caller).await
    }

    /// Whether a user has, or had at a time, a passcode. For operators: wrong ones are not counted.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn is_passcode_of(&self, user: &User, passcode: &str) -> Result<bool, Refused> {
        let (passcode, hash) = (passcode.to_owned(), user.passcode_hash.clone());
        let same = offload::blocking(move || passcode::verify(&passcode, &hash)).await;
        same.map_err(Refused::failed)
    }

    /// Opens a session.
    ///
    /// # Errors
    /// As [`Directory::prove`]; `user-not-verified`.
    pub async fn sign_in(
        &self,
        address: &str,
        passcode: &str,
        label: Option<String>,
        (peer, caller): (Peer, &Caller),
    ) -> Result<SignedIn, Refused> {
        let user = self.prove(address, passcode, peer).await?;
        let session_guid = hex::encode(random_bytes::<32>());
        let session_hash = session_hash(&self.signer, &session_guid);
        let open = UserCommand::OpenSession {
            user_id: user.user_id.clone(),
            session_hash: session_hash.clone(),
            label,
            address_hash: Some(self.address_hash(&user.user_id, peer)),
        };
        let caller = Caller {
            by: user.user_id,
            ..caller.clone()
        };
        let user = match self.user(open, &caller).await {
            // Erased since the passcode was checked.
            Err(Refused::Rejected { rejection, .. }) if rejection.tag == ErrorTag::NotFound => {
                return Err(users::wrong_passcode().into());
            }
            opened => opened?,
        };
        let end = user
            .sessions
            .get(&session_hash)
            .and_then(|session| session.expires_at);
        let expires_at = end.ok_or_else(|| Refused::failed("a session without an end"))?;
        Ok(SignedIn {
            session_guid,
            user_id: user.user_id,
            expires_at,
        })
    }

    /// The session of a guid, if it is open, with its end as use has moved it. This call counts as use.
    ///
    /// # Errors
    /// [`StoreError`] when a read fails.
    ///
    /// # Panics
    /// Outside of an actor system.
    pub fn session(self: &Arc<Self>, guid: &str) -> Result<Option<OpenSession>, StoreError> {
        self.open_session(session_hash(&self.signer, guid))
    }

    /// The same by the keyed hash of its guid, in hex.
    ///
    /// # Errors
    /// [`StoreError`] when a read fails.
    ///
    /// # Panics
    /// Outside of an actor system.
    pub fn open_session(self: &Arc<Self>, hash: String) -> Result<Option<OpenSession>, StoreError> {
        let Some(session) = identity::session(self.store(), &hash)? else {
            return Ok(None);
        };
        let Some(journaled) = session.expires_at else {
            return Ok(Some(OpenSession {
                hash,
                session,
                expires_at: None,
                journals_use: false,
            }));
        };
        let now = self.deps.clock.now();
        let mut used = self.used();
        let seen = used.get(&hash).copied();
        let last = seen.map_or(journaled, |used| used.at.plus_millis(SESSION_MS));
        let latest = self.latest_end(&session);
        if last.max(journaled).min(latest) <= now {
            used.remove(&hash);
            return Ok(None);
        }
        // Of an hour a second is nothing.
        let at = match seen {
            Some(seen) if seen.at.plus_millis(USED_EVERY_MS) > now => seen.at,
            Some(_) | None => now,
        };
        let expires_at = Some(at.plus_millis(SESSION_MS).max(journaled).min(latest));
        let near = journaled.millis() - now.millis() < SESSION_REFRESH_MS && journaled < latest;
        let journal = near && seen.is_none_or(|used| !used.journaling);
        if seen.is_none_or(|seen| (seen.at, seen.journaling) != (at, near)) {
            make_room(&mut used, |used| used.at);
            let journaling = near;
            used.insert(hash.clone(), Used { at, journaling });
        }
        drop(used);
        if journal {
            self.refresh(&hash, &session);
        }
        Ok(Some(OpenSession {
            hash,
            session,
            expires_at,
            journals_use: near,
        }))
    }

    /// The end of a session as use has moved it; `None` for one that has none. This call does not count as use.
    pub fn end_of(&self, session_hash: &str, session: &Session) -> Option<Timestamp> {
        let journaled = session.expires_at?;
        let used = self.used().get(session_hash).map(|used| used.at);
        let end = used.map_or(journaled, |at| journaled.max(at.plus_millis(SESSION_MS)));
        Some(end.min(self.latest_end(session)))
    }

    /// The end of a session that use does not move.
    fn latest_end(&self, session: &Session) -> Timestamp {
        let settings = &self.settings;
        session.opened_at.plus_millis(settings.session_ms_max)
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &IdentitySettings {
        &self.settings
    }

    /// Journals that a session is in use. The request that used it does not wait for it.
    fn refresh(self: &Arc<Self>, hash: &str, session: &Session) {
        let (directory, session_hash) = (self.clone(), hash.to_owned());
        let user_id = session.user_id.clone();
        actix::spawn(async move {
            let caller = Caller::job("job:sessions");
            let refresh = UserCommand::RefreshSession {
                user_id,
                session_hash: session_hash.clone(),
            };
            let refreshed = directory.user(refresh, &caller).await;
            // While the user is being erased there is nothing to journal.
            if let Err(error) = refreshed
                && !matches!(error, Refused::Rejected { .. })
            {
                report::notice_error("a session's use could not be journaled", &error);
            }
            if let Some(used) = directory.used().get_mut(&session_hash) {
                used.journaling = false;
            }
        });
    }

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

    /// Executes a command on a user.
    ///
    /// # Errors
    /// See [`Refused`]; `unavailable` while the user is being erased.
    pub async fn user(&self, command: UserCommand, caller: &Caller) -> Result<User, Refused> {
        let _pass = self.deps.admission.enter_user(command.user_id())?;
        execute::<UserDecider>(&self.deps, &command, caller).await
    }

    /// Executes a command on an org.
    ///
    /// # Errors
    /// See [`Refused`]; `org-write-blocked` while it is vacuumed.
    pub async fn org(&self, command: OrgCommand, caller: &Caller) -> Result<Org, Refused> {
        let admission = &self.deps.admission;
        let _pass = match &command {
            OrgCommand::SetHold { org, .. } | OrgCommand::ReleaseHold { org, .. } => {
                admission.enter_legal_hold(org)?
            }
            OrgCommand::Create { .. }
            | OrgCommand::SetStatus { .. }
            | OrgCommand::Park { .. }
            | OrgCommand::Unpark { .. }
            | OrgCommand::AddMember { .. }
            | OrgCommand::RemoveMember { .. }
            | OrgCommand::SetQuotas { .. }
            | OrgCommand::Invite { .. }
            | OrgCommand::WithdrawInvitation { .. }
            | OrgCommand::AcceptInvitation { .. }
            | OrgCommand::DeclineInvitation { .. } => admission.enter_org(command.org())?,
        };
        let _user = match &command {
            // A member who is removed may be about to be erased. An invitation is for the user who has the address on acceptance.
            OrgCommand::RemoveMember { .. } | OrgCommand::Invite { .. } => None,
            OrgCommand::Create { .. }
            | OrgCommand::SetStatus { .. }
            | OrgCommand::Park { .. }
            | OrgCommand::Unpark { .. }
            | OrgCommand::AddMember { .. }
            | OrgCommand::SetHold { .. }
            | OrgCommand::ReleaseHold { .. }
            | OrgCommand::SetQuotas { .. }
            | OrgCommand::WithdrawInvitation { .. }
            | OrgCommand::AcceptInvitation { .. }
            | OrgCommand::DeclineInvitation { .. } => command
                .subject()
                .map(|user_id| admission.enter_user(user_id))
                .transpose()?,
        };
        command.check()?;
        self.check_user_there(&command)?;
        let after = execute::<OrgDecider>(&self.deps, &command, caller).await?;
        if let OrgCommand::ReleaseHold { .. } = command {
            self.deps.reset_due();
        }
        Ok(after)
    }

    /// Refuses to make somebody an owner or a member who is no user. An invitation may be for one who is none yet.
    fn check_user_there(&self, command: &OrgCommand) -> Result<(), Refused> {
        let (OrgCommand::Create { owner: user_id, .. } | OrgCommand::AddMember { user_id, .. }) =
            command
        else {
            return Ok(());
        };
        let user = identity::user(self.store(), user_id).map_err(failed)?;
        // A member that an import brought may be unknown here, and may get another role.
        let member = identity::member(self.store(), command.org().as_str(), user_id);
        if user.version == 0 && member.map_err(failed)?.is_none() {
            return Err(Rejection::new(ErrorTag::NotFound, "There is no such user.").into());
        }
        Ok(())
    }

    /// Makes a service account.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn create_account(
        &self,
        org: &OrgCode,
        label: Option<String>,
        caller: &Caller,
    ) -> Result<Account, Refused> {
        let name = AccountName {
            org: org.clone(),
            account_id: random_uuid().to_string(),
        };
        self.account(name, AccountAction::Create { label }, caller)
            .await
    }

    /// Executes a command on a service account.
    ///
    /// # Errors
    /// See [`Refused`]; `not-found` when the org has no such account.
    pub async fn account(
        &self,
        name: AccountName,
        action: AccountAction,
        caller: &Caller,
    ) -> Result<Account, Refused> {
        let _pass = self.deps.admission.enter_org(&name.org)?;
        let command = AccountCommand { name, action };
        execute::<AccountDecider>(&self.deps, &command, caller).await
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

    fn used(&self) -> MutexGuard<'_, HashMap<String, Used, RandomState>> {
        // Each change is one step: a panic elsewhere leaves nothing half done.
        self.used.lock()
    }
}

/// The form in which a session guid is stored.
pub fn session_hash(signer: &Signer, guid: &str) -> String {
    hex::encode(session_digest(signer, guid))
}

/// The keyed hash of a session's guid, as bytes.
pub fn session_digest(signer: &Signer, guid: &str) -> [u8; 32] {
    signer.keyed_hash(SESSION_HASH, guid.as_bytes())
}

fn key_hash(signer: &Signer, api_key: &str) -> String {
    hex::encode(key_digest(signer, api_key))
}

/// The form in which a key is stored, before it is written as text.
pub fn key_digest(signer: &Signer, api_key: &str) -> [u8; 32] {
    signer.keyed_hash(KEY_HASH, api_key.as_bytes())
}

/// The public id of the user with an address: when two are created at once with one address, one finds the other's
/// stream. Without the server's key it reveals nothing about the address.
pub fn user_id(signer: &Signer, address: &str) -> String {
    let hash = signer.keyed_hash(USER_ID, address.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes)
        .into_uuid()
        .to_string()
}
