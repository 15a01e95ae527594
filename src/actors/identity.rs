//! Users, orgs and service accounts: signing in, sessions that live while they are used, and who belongs where.

mod keys;
mod sessions;
mod users;

use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::execute::execute;
use super::passcodes::Passcodes;
use super::request::Caller;
use super::request::failed;
use super::{ActorDeps, Refused};
use crate::clock::random_uuid;
use crate::content::sign::Signer;
use crate::domain::account::{Account, AccountAction, AccountCommand, AccountDecider, AccountName};
use crate::domain::org::{Org, OrgCommand, OrgDecider};
use crate::domain::user::{User, UserCommand, UserDecider, check_passcode, email, email_taken};
use crate::domain::{ErrorTag, OrgCode, Rejection};
use crate::offload;
use crate::passcode;
use crate::projections::Store;
use crate::projections::identity;

pub use self::keys::{KEY_PREFIX, NewKey, WantedKey, key_digest};
use self::sessions::Used;
pub use self::sessions::{OpenSession, SignedIn, session_digest, session_hash};
pub use super::passcodes::{Peer, WrongMax};

/// Purpose of the keyed hash that makes a user's id of an address.
const USER_ID: &str = "user-id";

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

    /// The settings it was opened with.
    pub fn settings(&self) -> &IdentitySettings {
        &self.settings
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
