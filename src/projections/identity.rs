//! Who is who: sessions, users, orgs and their members.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Change, Projection, Store, StoreError, Write};
use crate::domain::org::{MemberRole, OrgEvent, OrgStatus};
use crate::domain::user::UserEvent;
use crate::domain::{Event, Timestamp};

const PREFIX: u8 = b'u';

/// Keeps what is needed to know a caller.
pub struct Identities;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Org,
    Member,
    User,
    Session,
}

/// What the row of a key is about.
pub(crate) fn kind_of(key: &[u8]) -> Kind {
    match key.get(1) {
        Some(b'o') => Kind::Org,
        Some(b'm') => Kind::Member,
        Some(b'e') => Kind::User,
        // There are four, and this is the last.
        Some(_) | None => Kind::Session,
    }
}

/// An open session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Whose.
    pub user_id: String,
    /// Until when; `None` for the development session.
    pub expires_at: Option<Timestamp>,
    /// Counts only in development mode.
    pub development: bool,
}

impl Projection for Identities {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn version(&self) -> u32 {
        1
    }

    fn prefix(&self) -> u8 {
        PREFIX
    }

    fn apply(&self, change: &Change<'_>, writes: &mut Vec<Write>) {
        let (_, subject) = change
            .body
            .stream
            .as_str()
            .split_once('/')
            .unwrap_or_default();
        for event in &change.body.events {
            match event {
                Event::Org(event) => apply_org(subject, event, writes),
                Event::User(event) => apply_user(subject, event, writes),
                Event::Record(_)
                | Event::Container(_)
                | Event::Secret(_)
                | Event::Maintenance(_)
                | Event::Vacuum(_) => {}
            }
        }
    }

    fn stream_of(&self, key: &[u8], value: &[u8]) -> Option<String> {
        Some(match kind_of(key) {
            Kind::Org | Kind::Member => {
                let org = key.get(2..)?.split(|byte| *byte == 0).next()?;
                format!("ofm/{}", std::str::from_utf8(org).ok()?)
            }
            Kind::User => format!("uas/{}", postcard::from_bytes::<String>(value).ok()?),
            Kind::Session => {
                let session: Session = postcard::from_bytes(value).ok()?;
                format!("uas/{}", session.user_id)
            }
        })
    }
}

fn apply_org(org: &str, event: &OrgEvent, writes: &mut Vec<Write>) {
    match event {
        OrgEvent::Created { status } | OrgEvent::StatusSet { status } => {
            writes.push((key('o', &[org]), row(status)));
        }
        OrgEvent::MemberAdded { user_id, role } => {
            writes.push((key('m', &[org, user_id]), row(role)));
        }
        OrgEvent::MemberRemoved { user_id } => writes.push((key('m', &[org, user_id]), None)),
    }
}

fn apply_user(user_id: &str, event: &UserEvent, writes: &mut Vec<Write>) {
    match event {
        UserEvent::Created { email, .. } => {
            writes.push((key('e', &[email]), row(&user_id)));
        }
        UserEvent::SessionOpened {
            session_hash,
            expires_at,
            development,
        } => {
            let session = Session {
                user_id: user_id.to_owned(),
                expires_at: *expires_at,
                development: *development,
            };
            writes.push((key('s', &[session_hash]), row(&session)));
        }
        UserEvent::SessionClosed { session_hash } => {
            writes.push((key('s', &[session_hash]), None));
        }
    }
}

fn row<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    // Plain structs and enums: always encodable.
    Some(postcard::to_stdvec(value).unwrap_or_default())
}

fn key(kind: char, parts: &[&str]) -> Vec<u8> {
    let mut key = vec![PREFIX, kind as u8];
    for part in parts {
        key.extend_from_slice(part.as_bytes());
        key.push(0);
    }
    key
}

fn find<T: DeserializeOwned>(store: &Store, key: &[u8]) -> Result<Option<T>, StoreError> {
    match store.get(key)? {
        Some(row) => Ok(Some(postcard::from_bytes(&row)?)),
        None => Ok(None),
    }
}

/// The session with a keyed hash (hex).
///
/// # Errors
/// A failed or unreadable row.
pub fn session(store: &Store, session_hash: &str) -> Result<Option<Session>, StoreError> {
    find(store, &key('s', &[session_hash]))
}

/// An org's status; `None` when there is no such org.
///
/// # Errors
/// A failed or unreadable row.
pub fn org_status(store: &Store, org: &str) -> Result<Option<OrgStatus>, StoreError> {
    find(store, &key('o', &[org]))
}

/// How a user belongs to an org; `None` when not at all.
///
/// # Errors
/// A failed or unreadable row.
pub fn member(store: &Store, org: &str, user_id: &str) -> Result<Option<MemberRole>, StoreError> {
    find(store, &key('m', &[org, user_id]))
}

/// The id of the user with an e-mail address.
///
/// # Errors
/// A failed or unreadable row.
pub fn user_by_email(store: &Store, email: &str) -> Result<Option<String>, StoreError> {
    find(store, &key('e', &[email]))
}
