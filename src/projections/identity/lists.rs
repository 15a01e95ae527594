//! Lists of members, orgs, service accounts and invitations, in pages and as counts.

use serde::de::DeserializeOwned;

use super::{Kind, key, user};
use crate::domain::account::Account;
use crate::domain::org::{Invitation, MemberRole, Org, OrgStatus};
use crate::domain::quota::{Counts, Quota};
use crate::domain::user::{Session, User};
use crate::domain::{OrgCode, Timestamp};
use crate::projections::ops::{self, OpsPage};
use crate::projections::{Store, StoreError};

/// The invitations of a user, in the order of the orgs' codes, from a place on; some may be past their end.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn invitations_of(
    store: &Store,
    user_id: &str,
    from: Option<&[u8]>,
    limit: usize,
) -> Result<OpsPage<(String, Invitation)>, StoreError> {
    page(store, key(Kind::Invited, &[user_id]), from, limit)
}

/// Whether there is any user.
///
/// # Errors
/// [`StoreError`] when the first row cannot be read.
pub(crate) fn has_user(store: &Store) -> Result<bool, StoreError> {
    let prefix = key(Kind::User, &[]);
    let first = store.scan(prefix.clone(), &prefix).next().transpose()?;
    Ok(first.is_some())
}

/// Whether a user can sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserStatus {
    /// With a confirmed address, and not disabled.
    Active,
    /// Without a confirmed address.
    Unverified,
    /// Kept out by an operator.
    Disabled,
}

impl UserStatus {
    /// All of them, as lists are asked for.
    pub const ALL: [Self; 3] = [Self::Active, Self::Unverified, Self::Disabled];

    /// The text callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Unverified => "unverified",
            Self::Disabled => "disabled",
        }
    }

    /// The status of a user.
    pub fn of(user: &User) -> Self {
        if user.disabled {
            Self::Disabled
        } else if user.verified {
            Self::Active
        } else {
            Self::Unverified
        }
    }
}

/// Which rows of a list: those whose name begins with a text, in one status.
#[derive(Clone, Debug, Default)]
pub struct NameFilter<S> {
    /// The beginning of the names.
    pub prefix: String,
    /// The only status that is shown, if only one is.
    pub status: Option<S>,
}

/// Orgs by code, from a place on. A page may have fewer than `limit` and go on.
///
/// # Errors
/// A failed or unreadable row.
pub fn orgs(
    store: &Store,
    filter: &NameFilter<OrgStatus>,
    from: Option<&[u8]>,
    limit: usize,
) -> Result<OpsPage<(String, Org)>, StoreError> {
    let all = key(Kind::Org, &[]);
    filtered(
        store,
        all,
        &filter.prefix,
        (from, limit),
        |(_, org): (&str, Org)| {
            let fits = filter.status.is_none() || org.status == filter.status;
            Ok(fits.then_some(org))
        },
    )
}

/// Users in the order of their addresses, from a place on. A page may have fewer than `limit` and go on.
///
/// # Errors
/// A failed or unreadable row.
pub fn users(
    store: &Store,
    filter: &NameFilter<UserStatus>,
    from: Option<&[u8]>,
    limit: usize,
) -> Result<OpsPage<(String, User)>, StoreError> {
    let all = key(Kind::Email, &[]);
    filtered(
        store,
        all,
        &filter.prefix,
        (from, limit),
        |(_, id): (&str, String)| {
            let found = user(store, &id)?;
            let fits = filter
                .status
                .is_none_or(|status| UserStatus::of(&found) == status);
            Ok(fits.then_some(found))
        },
    )
}

/// Orgs with a legal hold, by code, at most `limit`.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub(crate) fn orgs_with_holds(store: &Store, limit: usize) -> Result<Vec<OrgCode>, StoreError> {
    let prefix = key(Kind::Holds, &[]);
    let mut orgs = Vec::new();
    for row in store.scan(prefix.clone(), &prefix).take(limit) {
        let (key, _) = row?;
        let code = key.get(prefix.len()..).unwrap_or_default();
        let code = code.strip_suffix(&[0]).unwrap_or(code);
        let code = std::str::from_utf8(code).ok();
        orgs.extend(code.and_then(|code| OrgCode::parse(code).ok()));
    }
    Ok(orgs)
}

/// The owners and members of an org, in the order of their ids, from a place on.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn members(
    store: &Store,
    org: &OrgCode,
    from: Option<&[u8]>,
    limit: usize,
) -> Result<OpsPage<(String, MemberRole)>, StoreError> {
    page(store, key(Kind::Member, &[org.as_str()]), from, limit)
}

/// The orgs of a user, in the order of their codes, from a place on.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn orgs_of(
    store: &Store,
    user_id: &str,
    from: Option<&[u8]>,
    limit: usize,
) -> Result<OpsPage<(String, MemberRole)>, StoreError> {
    page(store, key(Kind::MemberOf, &[user_id]), from, limit)
}

/// The codes of all orgs of a user.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub(crate) fn all_orgs_of(store: &Store, user_id: &str) -> Result<Vec<String>, StoreError> {
    last_parts(store, key(Kind::MemberOf, &[user_id])).collect()
}

/// Counts the service accounts, keys and sessions of an org by their rows.
pub(in crate::projections) fn count_of_org(
    store: &Store,
    org: &str,
    counts: &mut Counts,
) -> Result<(), StoreError> {
    let prefix = key(Kind::Account, &[org]);
    for row in store.scan(prefix.clone(), &prefix) {
        let (_, value) = row?;
        let account: Account = postcard::from_bytes(&value)?;
        counts.add(Quota::ServiceAccounts, u64::from(account.active));
        counts.add(Quota::ApiKeys, account.live_keys().count() as u64);
    }
    for user_id in last_parts(store, key(Kind::Member, &[org])) {
        let sessions = user(store, &user_id?)?.sessions.len() as u64;
        counts.add(Quota::Sessions, sessions);
    }
    Ok(())
}

/// How many sessions of an org's owners and members are past their end at a time, and still counted.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn sessions_over(store: &Store, org: &str, now: Timestamp) -> Result<u64, StoreError> {
    let mut over = 0;
    for user_id in last_parts(store, key(Kind::Member, &[org])) {
        let user = user(store, &user_id?)?;
        let past = |session: &&Session| session.expires_at.is_some_and(|end| end <= now);
        over += user.sessions.values().filter(past).count() as u64;
    }
    Ok(over)
}

/// The service accounts of an org, in the order of their ids, from a place on.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn accounts(
    store: &Store,
    org: &OrgCode,
    from: Option<&[u8]>,
    limit: usize,
) -> Result<OpsPage<(String, Account)>, StoreError> {
    page(store, key(Kind::Account, &[org.as_str()]), from, limit)
}

/// Rows below a prefix with the last part of their keys.
fn page<T: DeserializeOwned>(
    store: &Store,
    prefix: Vec<u8>,
    from: Option<&[u8]>,
    limit: usize,
) -> Result<OpsPage<(String, T)>, StoreError> {
    filtered(store, prefix, "", (from, limit), |(_, value)| {
        Ok(Some(value))
    })
}

/// Rows below a prefix whose last part begins with a text, and what becomes of each; nothing for those that are left out.
fn filtered<T: DeserializeOwned, U>(
    store: &Store,
    mut prefix: Vec<u8>,
    begins: &str,
    (from, limit): (Option<&[u8]>, usize),
    take: impl Fn((&str, T)) -> Result<Option<U>, StoreError>,
) -> Result<OpsPage<(String, U)>, StoreError> {
    let base_bytes = prefix.len();
    prefix.extend(begins.as_bytes());
    let rows = store.scan(prefix.clone(), from.unwrap_or(&prefix));
    ops::page(rows, limit, |key, value| {
        let part = key.get(base_bytes..).unwrap_or_default();
        let part = part.strip_suffix(&[0]).unwrap_or(part);
        let name = String::from_utf8_lossy(part).into_owned();
        let taken = take((&name, postcard::from_bytes(value)?))?;
        Ok(taken.map(|item| (name, item)))
    })
}

/// The last parts of the keys below a prefix.
fn last_parts(
    store: &Store,
    prefix: Vec<u8>,
) -> impl Iterator<Item = Result<String, StoreError>> + use<> {
    let base_bytes = prefix.len();
    store.scan(prefix.clone(), &prefix).map(move |row| {
        let (key, _) = row?;
        let part = key.get(base_bytes..).unwrap_or_default();
        let part = part.strip_suffix(&[0]).unwrap_or(part);
        Ok(String::from_utf8_lossy(part).into_owned())
    })
}
