//! Who is who: sessions, users, orgs and their members, service accounts and their keys.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ops::OpsPage;
use super::row_cache::RowVersion;
use super::{Change, Projection, StateChange, Store, StoreError, Write, state_after};
use crate::domain::account::{Account, AccountDecider, AccountName, Key, KeyRole};
use crate::domain::hold::LegalHolds;
use crate::domain::org::{
    Invitation, Invitations, MemberRole, Org, OrgDecider, OrgEvent, OrgStatus,
};
use crate::domain::quota::{Counts, OwnLimits, Quota};
use crate::domain::user::{Session, User, UserDecider};
use crate::domain::{Decider, Event, OrgCode, Timestamp};
use crate::journal::{Body, Entry, Position, Source};

/// The first byte of these rows' keys.
pub(super) const PREFIX: u8 = b'u';

/// Keeps what is needed to know a caller.
pub struct Identities;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An org by its code.
    Org,
    /// A membership by org and user.
    Member,
    /// The same by user and org.
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

/// A key that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveKey {
    /// The only org it is for.
    pub org: String,
    /// The account it belongs to.
    pub account_id: String,
    /// Its public id.
    pub key_id: String,
    /// What it lets do.
    pub role: KeyRole,
    /// From when on it counts no longer.
    pub expires_at: Option<Timestamp>,
    /// Networks it may be used from; from everywhere when there are none.
    pub allowed_addresses: Vec<String>,
    /// When it was used last, to about an hour.
    pub last_used_at: Option<Timestamp>,
}

/// What an entry did to a user, an org or a service account.
#[derive(Debug)]
pub enum IdentityChange {
    /// A user.
    User {
        /// Before.
        before: User,
        /// After.
        after: User,
    },
    /// An org. Its memberships are in the events.
    Org {
        /// After.
        after: Org,
        /// Its invitations before; looked up only for an entry that changes them.
        invited_before: Invitations,
    },
    /// A service account.
    Account {
        /// Whose.
        org: String,
        /// Before.
        before: Account,
        /// After.
        after: Account,
    },
}

/// What an entry does to what is known; `None` for other streams, and for an entry whose state is there already.
///
/// # Errors
/// A failed or unreadable row.
pub(crate) fn after(
    store: &Store,
    entry: &Entry,
    body: &Body,
) -> Result<Option<IdentityChange>, StoreError> {
    let at = (entry.header.position, body);
    let mut parts = body.stream.as_str().split('/');
    let (service, first, second) = (parts.next(), parts.next(), parts.next());
    Ok(match (service, first, second) {
        (Some("uas"), Some(user_id), None) => {
            let before = user(store, user_id)?;
            state_after::<UserDecider>(before.clone(), at)
                .map(|after| IdentityChange::User { before, after })
        }
        (Some("ofm"), Some(code), None) => org_after(store, code, at)?,
        (Some("usm"), Some(code), Some(account_id)) => {
            let before = account(store, code, account_id)?;
            state_after::<AccountDecider>(before.clone(), at).map(|after| {
                let org = code.to_owned();
                IdentityChange::Account { org, before, after }
            })
        }
        _ => None,
    })
}

/// What an entry does to an org. Memberships have rows of their own: only those that it names are read.
fn org_after(
    store: &Store,
    code: &str,
    (position, body): (Position, &Body),
) -> Result<Option<IdentityChange>, StoreError> {
    let mut state = org(store, code)?;
    if state.version >= body.version {
        return Ok(None);
    }
    state.holds = holds(store, code)?;
    state.own_limits = own_limits(store, code)?;
    let invites = |event: &Event| matches!(event, Event::Org(event) if event.about_invitation());
    if body.events.iter().any(invites) {
        state.invitations = invitations(store, code)?;
    }
    let invited_before = state.invitations.clone();
    for event in &body.events {
        let Event::Org(event) = event else { continue };
        if let OrgEvent::QuotasSet { .. } = event
            && body.origin.source == Source::Import
        {
            // Set elsewhere: the version counts, the limits do not.
            state.version = body.version;
            continue;
        }
        if let OrgEvent::MemberAdded { user_id, .. } | OrgEvent::MemberRemoved { user_id } = event {
            state.subject = member(store, code, user_id)?;
        }
        state = OrgDecider::evolve(state, event, body.meta(position));
    }
    Ok(Some(IdentityChange::Org {
        after: state,
        invited_before,
    }))
}

impl Projection for Identities {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn version(&self) -> u32 {
        7
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
        match identity {
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

fn apply_user(before: &User, after: &User, writes: &mut Vec<Write>) {
    writes.push((key(Kind::Email, &[&after.email]), row(&after.user_id)));
    for hash in before.sessions.keys() {
        if !after.sessions.contains_key(hash) {
            writes.push((key(Kind::Session, &[hash]), None));
        }
    }
    for (hash, session) in &after.sessions {
        if before.sessions.get(hash) != Some(session) {
            writes.push((key(Kind::Session, &[hash]), row(session)));
        }
    }
    writes.push((key(Kind::User, &[&after.user_id]), row(after)));
}

fn apply_members(code: &str, events: &[Event], writes: &mut Vec<Write>) {
    for event in events {
        let (user_id, role) = match event {
            Event::Org(OrgEvent::MemberAdded { user_id, role }) => (user_id, row(role)),
            Event::Org(OrgEvent::MemberRemoved { user_id }) => (user_id, None),
            _ => continue,
        };
        writes.push((key(Kind::Member, &[code, user_id]), role.clone()));
        writes.push((key(Kind::MemberOf, &[user_id, code]), role));
    }
}

fn apply_holds(code: &str, after: &Org, events: &[Event], writes: &mut Vec<Write>) {
    let about_a_hold = |event: &Event| {
        matches!(
            event,
            Event::Org(OrgEvent::HoldSet { .. } | OrgEvent::HoldReleased { .. })
        )
    };
    if events.iter().any(about_a_hold) {
        let holds = (!after.holds.is_empty()).then(|| row(&after.holds));
        writes.push((key(Kind::Holds, &[code]), holds.flatten()));
    }
}

fn apply_limits(code: &str, after: &Org, events: &[Event], writes: &mut Vec<Write>) {
    let about_limits = |event: &Event| matches!(event, Event::Org(OrgEvent::QuotasSet { .. }));
    if events.iter().any(about_limits) {
        let limits = (!after.own_limits.is_empty()).then(|| row(&after.own_limits));
        writes.push((key(Kind::Limits, &[code]), limits.flatten()));
    }
}

/// Both are empty for an entry that does not change them.
fn apply_invitations(
    code: &str,
    before: &Invitations,
    after: &Invitations,
    writes: &mut Vec<Write>,
) {
    if before == after {
        return;
    }
    for gone in before.0.values() {
        writes.push((key(Kind::Invited, &[&gone.user_id, code]), None));
    }
    for there in after.0.values() {
        writes.push((key(Kind::Invited, &[&there.user_id, code]), row(there)));
    }
    let all = (!after.0.is_empty()).then(|| row(after));
    writes.push((key(Kind::Invitations, &[code]), all.flatten()));
}

fn apply_account(org: &str, before: &Account, after: &Account, writes: &mut Vec<Write>) {
    let of = |account: &Account| -> BTreeMap<String, Key> {
        let live = account.live_keys();
        live.map(|(id, key)| (id.clone(), key.clone())).collect()
    };
    let (before, live) = (of(before), of(after));
    // A key that goes on counting is there at every moment: rows are written one by one, and callers look meanwhile.
    let gone = before
        .iter()
        .filter(|(key_id, _)| !live.contains_key(*key_id));
    for (_, gone) in gone {
        writes.push((key(Kind::Key, &[&gone.key_hash]), None));
    }
    for (key_id, live) in live
        .iter()
        .filter(|(id, key)| before.get(*id) != Some(*key))
    {
        let known = LiveKey {
            org: org.to_owned(),
            account_id: after.account_id.clone(),
            key_id: key_id.clone(),
            role: live.role,
            expires_at: live.expires_at,
            allowed_addresses: live.allowed_addresses.clone(),
            last_used_at: live.last_used_at,
        };
        writes.push((key(Kind::Key, &[&live.key_hash]), row(&known)));
    }
    writes.push((key(Kind::Account, &[org, &after.account_id]), row(after)));
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
        /// Every request looks up three: their keys share one piece of memory.
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
/// A failed or unreadable row.
pub fn session(store: &Store, session_hash: &str) -> Result<Option<Arc<Session>>, StoreError> {
    find(store, Kind::Session, &[session_hash])
}

/// The key that counts and has a keyed hash (hex).
///
/// # Errors
/// A failed or unreadable row.
pub fn live_key(store: &Store, key_hash: &str) -> Result<Option<LiveKey>, StoreError> {
    Ok(find(store, Kind::Key, &[key_hash])?.map(Arc::unwrap_or_clone))
}

/// An org; at version 0 when there is none.
///
/// # Errors
/// A failed or unreadable row.
pub fn org(store: &Store, org: &str) -> Result<Org, StoreError> {
    let found = find(store, Kind::Org, &[org])?;
    Ok(found.map(Arc::unwrap_or_clone).unwrap_or_default())
}

/// An org's status; `None` when there is no such org.
///
/// # Errors
/// A failed or unreadable row.
pub fn org_status(store: &Store, org: &str) -> Result<Option<OrgStatus>, StoreError> {
    let org: Option<Arc<Org>> = find(store, Kind::Org, &[org])?;
    Ok(org.and_then(|org| org.status))
}

/// The legal holds on an org and its containers. Read after the org itself, they are never older than its version.
///
/// # Errors
/// A failed or unreadable row.
pub fn holds(store: &Store, org: &str) -> Result<LegalHolds, StoreError> {
    let found = find(store, Kind::Holds, &[org])?;
    Ok(found.map(Arc::unwrap_or_clone).unwrap_or_default())
}

/// The limits set for an org alone. Read after the org itself, they are never older than its version.
///
/// # Errors
/// A failed or unreadable row.
pub fn own_limits(store: &Store, org: &str) -> Result<OwnLimits, StoreError> {
    let found = find(store, Kind::Limits, &[org])?;
    Ok(found.map(Arc::unwrap_or_clone).unwrap_or_default())
}

/// The invitations of an org; some may be past their end. Read after the org itself, they are never older than its
/// version.
///
/// # Errors
/// A failed or unreadable row.
pub fn invitations(store: &Store, org: &str) -> Result<Invitations, StoreError> {
    let found = find(store, Kind::Invitations, &[org])?;
    Ok(found.map(Arc::unwrap_or_clone).unwrap_or_default())
}

/// The invitation of a user to an org; it may be past its end.
///
/// # Errors
/// A failed or unreadable row.
pub fn invited(store: &Store, user_id: &str, org: &str) -> Result<Option<Invitation>, StoreError> {
    Ok(find(store, Kind::Invited, &[user_id, org])?.map(Arc::unwrap_or_clone))
}

/// The invitations of a user, in the order of the orgs' codes, from a place on; some may be past their end.
///
/// # Errors
/// A failed or unreadable row.
pub fn invitations_of(
    store: &Store,
    user_id: &str,
    from: Option<&[u8]>,
    limit: usize,
) -> Result<OpsPage<(String, Invitation)>, StoreError> {
    page(store, key(Kind::Invited, &[user_id]), from, limit)
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

/// Orgs with a legal hold, by code, at most `limit`.
///
/// # Errors
/// A failed read.
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

/// How a user belongs to an org; `None` when not at all.
///
/// # Errors
/// A failed or unreadable row.
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
pub struct Standing {
    /// How the user belongs to it; `None` when not at all.
    pub member: Option<MemberRole>,
    /// The org's status; `None` when there is no such org.
    pub status: Option<OrgStatus>,
    versions: [RowVersion; 2],
}

impl Standing {
    /// Reads both rows whatever the first says, so that a non-member cannot tell by time which was missing.
    ///
    /// # Errors
    /// A failed or unreadable row.
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
/// A failed or unreadable row.
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
/// A failed or unreadable row.
pub fn user_by_email(store: &Store, email: &str) -> Result<Option<String>, StoreError> {
    Ok(find(store, Kind::Email, &[email])?.map(Arc::unwrap_or_clone))
}

/// A service account; at version 0 when there is none.
///
/// # Errors
/// A failed or unreadable row.
pub fn account(store: &Store, org: &str, account_id: &str) -> Result<Account, StoreError> {
    let found = find(store, Kind::Account, &[org, account_id])?.map(Arc::unwrap_or_clone);
    Ok(found.unwrap_or_else(|| Account {
        account_id: account_id.to_owned(),
        ..Account::default()
    }))
}

/// The same by its name.
///
/// # Errors
/// A failed or unreadable row.
pub fn account_named(store: &Store, name: &AccountName) -> Result<Account, StoreError> {
    account(store, name.org.as_str(), &name.account_id)
}

/// The owners and members of an org, in the order of their ids, from a place on.
///
/// # Errors
/// A failed or unreadable row.
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
/// A failed or unreadable row.
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
/// A failed read.
pub(crate) fn all_orgs_of(store: &Store, user_id: &str) -> Result<Vec<String>, StoreError> {
    last_parts(store, key(Kind::MemberOf, &[user_id])).collect()
}

/// What the rows of all service accounts begin with, ahead of the org.
pub(super) fn accounts_prefix() -> Vec<u8> {
    key(Kind::Account, &[])
}

/// What the rows of all memberships begin with, ahead of the org.
pub(super) fn members_prefix() -> Vec<u8> {
    key(Kind::Member, &[])
}

/// Counts the service accounts, keys and sessions of an org by their rows.
pub(super) fn count_of_org(
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
/// A failed or unreadable row.
pub fn sessions_over(store: &Store, org: &str, now: Timestamp) -> Result<u64, StoreError> {
    let mut over = 0;
    for user_id in last_parts(store, key(Kind::Member, &[org])) {
        let user = user(store, &user_id?)?;
        let past = |session: &&Session| session.expires_at.is_some_and(|end| end <= now);
        over += user.sessions.values().filter(past).count() as u64;
    }
    Ok(over)
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

/// The service accounts of an org, in the order of their ids, from a place on.
///
/// # Errors
/// A failed or unreadable row.
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
    let mut items = Vec::new();
    for row in store.scan(prefix.clone(), from.unwrap_or(&prefix)) {
        let (key, value) = row?;
        if items.len() == limit {
            let next = Some(key.to_vec());
            return Ok(OpsPage { items, next });
        }
        let part = key.get(prefix.len()..).unwrap_or_default();
        let part = part.strip_suffix(&[0]).unwrap_or(part);
        let name = String::from_utf8_lossy(part).into_owned();
        items.push((name, postcard::from_bytes(&value)?));
    }
    Ok(OpsPage { items, next: None })
}
