//! What a vacuum covers among the projections' rows: how many there are, and making everything anew without them.

use super::identity::{self, Kind};
use super::{Projection, Store, StoreError, all, records};
use crate::clock::Pace;
use crate::domain::vacuum::Scope;

/// Rows looked at between two rests, some milliseconds' worth.
const ROWS_BETWEEN_RESTS: u64 = 1_024;

/// Rows that a scope covers, by what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    /// Records.
    pub records: u64,
    /// Orgs and their members.
    pub orgs_and_members: u64,
    /// Users.
    pub users: u64,
    /// Sessions, service accounts and keys.
    pub sessions_and_keys: u64,
}

/// Counts the rows that a scope covers.
///
/// # Errors
/// A failed read.
pub fn count(store: &Store, scope: &Scope) -> Result<Covered, StoreError> {
    let (mut covered, mut seen, mut pace) = (Covered::default(), 0, Pace::start());
    let mut rest = || {
        seen += 1;
        if seen % ROWS_BETWEEN_RESTS == 0 {
            pace.rest();
        }
    };
    let (records, identities) = (records::Records, identity::Identities);
    for row in store.scan(vec![records.prefix()], &[records.prefix()]) {
        let (key, value) = row?;
        rest();
        covered.records += u64::from(is_covered(scope, &records, &key, &value));
    }
    for row in store.scan(vec![identities.prefix()], &[identities.prefix()]) {
        let (key, value) = row?;
        rest();
        if is_covered(scope, &identities, &key, &value) {
            match identity::kind_of(&key) {
                Some(Kind::Org | Kind::Member) => covered.orgs_and_members += 1,
                Some(Kind::User) => covered.users += 1,
                Some(Kind::Session | Kind::Account | Kind::Key) => covered.sessions_and_keys += 1,
                // Only another way to find one of those, or a part of one.
                Some(Kind::Email | Kind::MemberOf | Kind::Holds) | None => {}
            }
        }
    }
    Ok(covered)
}

/// Makes the projections anew without what a scope covers. `progress` is told rows done.
///
/// # Errors
/// A failed read or write; they are then as before.
pub fn forget(
    store: &Store,
    scope: &Scope,
    progress: &mut dyn FnMut(u64),
) -> Result<(), StoreError> {
    let projections = all();
    let gone = |key: &[u8], value: &[u8]| {
        let mut projections = projections.iter();
        let its = projections.find(|projection| key.first() == Some(&projection.prefix()));
        its.is_some_and(|projection| is_covered(scope, &**projection, key, value))
    };
    store.renew(&gone, progress)
}

fn is_covered(scope: &Scope, projection: &dyn Projection, key: &[u8], value: &[u8]) -> bool {
    let stream = projection.stream_of(key, value);
    stream.is_some_and(|stream| scope.covers_stream(&stream))
}
