//! Sessions, users, orgs and their members, service accounts and their keys.

use std::cell::RefCell;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::row_cache::RowVersion;
use super::{Change, Projection, StateChange, Store, StoreError, Write};
use crate::domain::Timestamp;
use crate::domain::account::{Account, AccountName, KeyRole};
use crate::domain::hold::LegalHolds;
use crate::domain::org::{Invitation, Invitations, MemberRole, Org, OrgStatus};
use crate::domain::quota::OwnLimits;
use crate::domain::user::{Session, User};

mod apply;
mod change;
mod lists;

use apply::{
    apply_account, apply_holds, apply_invitations, apply_limits, apply_members, apply_user,
};
pub use change::IdentityChange;
pub(crate) use change::after;
pub(super) use lists::count_of_org;
pub use lists::{
    NameFilter, UserStatus, accounts, invitations_of, members, orgs, orgs_of, sessions_over, users,
};
pub(crate) use lists::{all_orgs_of, has_user, orgs_with_holds};

/// The first byte of these rows' keys.
pub(super) const PREFIX: u8 = b'u';

/// Keeps what is needed to know a caller.
pub struct Identities;

/// The kind of thing that a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An org by its code.
    Org,
    /// A membership by org and user.
    Member,
    /// Memberships again, keyed by user and org.
    MemberOf,
    /// A user by id.
    User,
    /// A user's id by e-mail address.
    Email,
    /// An open session by its hash.
    Session,
    /// A service account by org and id.
    Account,
    /// A key that counts, by its hash.
    Key,
    /// The legal holds on an org and its containers, by its code; absent when there is none.
    Holds,
    /// The limits set for an org, by its code; absent when there is none.
    Limits,
    /// The invitations of an org, by its code; absent when there is none.
    Invitations,
    /// An invitation by user and org.
    Invited,
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::Org,
        Self::Member,
        Self::MemberOf,
        Self::User,
        Self::Email,
        Self::Session,
        Self::Account,
        Self::Key,
        Self::Holds,
        Self::Limits,
        Self::Invitations,
        Self::Invited,
    ];

    /// The second byte of its rows' keys.
    fn byte(self) -> u8 {
        match self {
            Self::Org => b'o',
            Self::Member => b'm',
            Self::MemberOf => b'y',
            Self::User => b'i',
            Self::Email => b'e',
            Self::Session => b's',
            Self::Account => b'a',
            Self::Key => b'k',
            Self::Holds => b'h',
            Self::Limits => b'l',
            Self::Invitations => b'v',
            Self::Invited => b'w',
        }
    }
}

/// What the row of a key is about; `None` for a row of another projection.
pub(crate) fn kind_of(key: &[u8]) -> Option<Kind> {
    let mut kinds = Kind::ALL.into_iter();
    kinds.find(|kind| key.first() == Some(&PREFIX) && key.get(1) == Some(&kind.byte()))
}

/// A key of a service account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveKey {
    /// The only org it is for.
    pub org: String,
    /// The account it belongs to.
    pub account_id: String,
    /// Public id of the key.
    pub key_id: String,
    /// Whether it was revoked, or its account disabled.
    pub revoked: bool,
    /// The role, which says what it may do.
    pub role: KeyRole,
    /// The time from which it is not valid any more.
    pub expires_at: Option<Timestamp>,
    /// Networks it may be used from; from everywhere when there are none.
    pub allowed_addresses: Vec<String>,
    /// When it was used last, to about an hour.
    pub last_used_at: Option<Timestamp>,
}

impl Projection for Identities {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn version(&self) -> u32 {
        8
    }

    fn prefix(&self) -> u8 {
        PREFIX
    }

    fn is_cached(&self) -> bool {
        true
    }

    fn apply(&self, change: &Change<'_>, writes: &mut Vec<Write>) {
        // The row of the state itself comes last: it is there only when everything derived from it is.
        let StateChange::Identity(identity) = &change.state else {
            return;
        };
        match &**identity {
            IdentityChange::User { before, after } => apply_user(before, after, writes),
            IdentityChange::Org {
                after,
                invited_before,
            } => {
                let (_, code) = change
                    .body
                    .stream
                    .as_str()
                    .split_once('/')
                    .unwrap_or_default();
                apply_members(code, &change.body.events, writes);
                apply_holds(code, after, &change.body.events, writes);
                apply_limits(code, after, &change.body.events, writes);
                apply_invitations(code, invited_before, &after.invitations, writes);
                writes.push((key(Kind::Org, &[code]), row(after)));
            }
            IdentityChange::Account { org, before, after } => {
                apply_account(org, before, after, writes);
            }
        }
    }

    fn stream_of(&self, key: &[u8], value: &[u8]) -> Option<String> {
        let part = |number: usize| {
            let part = key.get(2..)?.split(|byte| *byte == 0).nth(number)?;
            std::str::from_utf8(part).ok()
        };
        Some(match kind_of(key)? {
            Kind::Org | Kind::Member | Kind::Holds | Kind::Limits | Kind::Invitations => {
                format!("ofm/{}", part(0)?)
            }
            Kind::MemberOf | Kind::Invited => format!("ofm/{}", part(1)?),
            Kind::User => format!("uas/{}", part(0)?),
            Kind::Email => format!("uas/{}", postcard::from_bytes::<String>(value).ok()?),
            Kind::Session => {
                let session: Session = postcard::from_bytes(value).ok()?;
                format!("uas/{}", session.user_id)
            }
            Kind::Account => format!("usm/{}/{}", part(0)?, part(1)?),
            Kind::Key => {
                let live: LiveKey = postcard::from_bytes(value).ok()?;
                format!("usm/{}/{}", live.org, live.account_id)
            }
        })
    }
}

fn row<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    // Plain structs, enums and maps of known length: always encodable.
    Some(postcard::to_stdvec(value).unwrap_or_default())
}

fn key(kind: Kind, parts: &[&str]) -> Vec<u8> {
    let mut key = Vec::new();
    write_key(&mut key, kind, parts);
    key
}

fn write_key(key: &mut Vec<u8>, kind: Kind, parts: &[&str]) {
    key.extend_from_slice(&[PREFIX, kind.byte()]);
    for part in parts {
        key.extend_from_slice(part.as_bytes());
        key.push(0);
    }
}

fn find<T>(store: &Store, kind: Kind, parts: &[&str]) -> Result<Option<Arc<T>>, StoreError>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    thread_local! {
        /// A buffer for keys: every request reads three, which share it.
        static KEY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    KEY.with_borrow_mut(|key| {
        key.clear();
        write_key(key, kind, parts);
        store.get_cached(key)
    })
}

/// The open session with a keyed hash (hex); it may be past its end.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn session(store: &Store, session_hash: &str) -> Result<Option<Arc<Session>>, StoreError> {
    find(store, Kind::Session, &[session_hash])
}

/// The key that has a keyed hash (hex) and is not revoked; it may be past its end.
///
/// # Errors
/// A failed or unreadable row.
pub fn live_key(store: &Store, key_hash: &str) -> Result<Option<LiveKey>, StoreError> {
    Ok(known_key(store, key_hash)?.filter(|key| !key.revoked))
}

/// The key that has a keyed hash (hex), also a revoked one as long as its account remembers it.
///
/// # Errors
/// A failed or unreadable row.
pub fn known_key(store: &Store, key_hash: &str) -> Result<Option<LiveKey>, StoreError> {
    Ok(find(store, Kind::Key, &[key_hash])?.map(Arc::unwrap_or_clone))
}

/// An org; at version 0 when there is none.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn org(store: &Store, org: &str) -> Result<Org, StoreError> {
    let found = find(store, Kind::Org, &[org])?;
    Ok(found.map(Arc::unwrap_or_clone).unwrap_or_default())
}

/// An org's status; `None` when there is no such org.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn org_status(store: &Store, org: &str) -> Result<Option<OrgStatus>, StoreError> {
    let org: Option<Arc<Org>> = find(store, Kind::Org, &[org])?;
    Ok(org.and_then(|org| org.status))
}

/// The legal holds on an org and its containers. Read after the org itself, they are never older than its version.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn holds(store: &Store, org: &str) -> Result<LegalHolds, StoreError> {
    let found = find(store, Kind::Holds, &[org])?;
    Ok(found.map(Arc::unwrap_or_clone).unwrap_or_default())
}

/// The limits set for an org alone. Read after the org itself, they are never older than its version.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn own_limits(store: &Store, org: &str) -> Result<OwnLimits, StoreError> {
    let found = find(store, Kind::Limits, &[org])?;
    Ok(found.map(Arc::unwrap_or_clone).unwrap_or_default())
}

/// The invitations of an org; some may be past their end. Read after the org itself, they are never older than its
/// version.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn invitations(store: &Store, org: &str) -> Result<Invitations, StoreError> {
    let found = find(store, Kind::Invitations, &[org])?;
    Ok(found.map(Arc::unwrap_or_clone).unwrap_or_default())
}

/// The invitation of a user to an org; it may be past its end.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn invited(store: &Store, user_id: &str, org: &str) -> Result<Option<Invitation>, StoreError> {
    Ok(find(store, Kind::Invited, &[user_id, org])?.map(Arc::unwrap_or_clone))
}

/// Every org that has limits of its own, with these.
pub(super) fn all_own_limits(
    store: &Store,
) -> impl Iterator<Item = Result<(String, OwnLimits), StoreError>> {
    let prefix = key(Kind::Limits, &[]);
    let length = prefix.len();
    store.scan(prefix.clone(), &prefix).map(move |row| {
        let (key, value) = row?;
        let code = key.get(length..).unwrap_or_default();
        let code = code.strip_suffix(&[0]).unwrap_or(code);
        let code = String::from_utf8_lossy(code).into_owned();
        Ok((code, postcard::from_bytes(&value)?))
    })
}

/// How a user belongs to an org; `None` when not at all.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn member(store: &Store, org: &str, user_id: &str) -> Result<Option<MemberRole>, StoreError> {
    Ok(find(store, Kind::Member, &[org, user_id])?.map(|role| *role))
}

/// The version of a session's row. To be taken before the session is read.
pub fn session_row_version(store: &Store, session_hash: &str) -> RowVersion {
    store.row_version(&key(Kind::Session, &[session_hash]))
}

/// The version of a key's row. To be taken before the key is read.
pub fn key_row_version(store: &Store, key_hash: &str) -> RowVersion {
    store.row_version(&key(Kind::Key, &[key_hash]))
}

/// A user's membership of an org and the org's status, with the versions of both rows.
#[derive(Clone, Copy, Debug)]
pub struct Membership {
    /// How the user belongs to it; `None` when not at all.
    pub member: Option<MemberRole>,
    /// The org's status; `None` when there is no such org.
    pub status: Option<OrgStatus>,
    versions: [RowVersion; 2],
}

impl Membership {
    /// Reads both rows whatever the first says, so that timing does not show a non-member which was missing.
    ///
    /// # Errors
    /// [`StoreError`] when a row cannot be read or decoded.
    pub fn read(store: &Store, org: &str, user_id: &str) -> Result<Self, StoreError> {
        let versions = [
            store.row_version(&key(Kind::Member, &[org, user_id])),
            store.row_version(&key(Kind::Org, &[org])),
        ];
        Ok(Self {
            member: member(store, org, user_id)?,
            status: org_status(store, org)?,
            versions,
        })
    }

    /// Whether neither row has changed since. False negatives are possible.
    pub fn is_current(&self, store: &Store) -> bool {
        self.versions
            .iter()
            .all(|version| store.is_current(*version))
    }
}

/// A user; at version 0 when there is none.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn user(store: &Store, user_id: &str) -> Result<User, StoreError> {
    let found = find(store, Kind::User, &[user_id])?.map(Arc::unwrap_or_clone);
    Ok(found.unwrap_or_else(|| User {
        user_id: user_id.to_owned(),
        ..User::default()
    }))
}

/// The id of the user with an e-mail address.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn user_by_email(store: &Store, email: &str) -> Result<Option<String>, StoreError> {
    Ok(find(store, Kind::Email, &[email])?.map(Arc::unwrap_or_clone))
}

/// A service account; at version 0 when there is none.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn account(store: &Store, org: &str, account_id: &str) -> Result<Account, StoreError> {
    let found = find(store, Kind::Account, &[org, account_id])?.map(Arc::unwrap_or_clone);
    Ok(found.unwrap_or_else(|| Account {
        account_id: account_id.to_owned(),
        ..Account::default()
    }))
}

/// A service account, found by its name.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn account_named(store: &Store, name: &AccountName) -> Result<Account, StoreError> {
    account(store, name.org.as_str(), &name.account_id)
}

/// The prefix of the rows of all service accounts; the org follows it.
pub(super) fn accounts_prefix() -> Vec<u8> {
    key(Kind::Account, &[])
}

/// The prefix of the rows of all memberships; the org follows it.
pub(super) fn members_prefix() -> Vec<u8> {
    key(Kind::Member, &[])
}
