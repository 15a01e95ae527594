//! What each org has of everything that has a quota: counters that are stored next to the rows they count.
//!
//! Three kinds of rows, by their second byte. `o`: the counts of an org, with the position of the last entry that moved
//! them. `c` and `t`: a container or a tag that a record has which is not doomed, without a value. The rows of a group of
//! entries are written before all its other rows, the org's first: an entry that is applied again after a crash moves
//! nothing twice. Whether a name is still there when a record has lost it, the lists' rows show: a name that many records
//! have costs a record that gets it no row, and mostly no read.

mod at_once;
mod named;
mod org_room;
mod recount;
pub mod reservations;
mod tally;

use serde::{Deserialize, Serialize};

use super::{Change, Projection, Store, StoreError, Write, identity};
use crate::domain::quota::{Counts, OwnLimits};
use crate::domain::record::{Record, Status};
use crate::journal::Position;

pub use named::Named;
pub(super) use named::Shown;
pub use recount::{Names, count};
pub(super) use recount::{recounted, restamped};
pub use reservations::Reservations;
use reservations::UsageRows;
pub(super) use tally::{Present, Tally};

const PREFIX: u8 = b'q';
const ORG: u8 = b'o';

/// Maintains the counters. The runner writes their rows before those of all other projections.
pub struct Usage;

impl Projection for Usage {
    fn name(&self) -> &'static str {
        "usage"
    }

    fn version(&self) -> u32 {
        2
    }

    fn prefix(&self) -> u8 {
        PREFIX
    }

    fn apply(&self, change: &Change<'_>, writes: &mut Vec<Write>) {
        let _ = (change, writes);
    }

    fn stream_of(&self, key: &[u8], value: &[u8]) -> Option<String> {
        // It counts many streams; a vacuum asks `org_of` instead.
        let _ = (key, value);
        None
    }
}

/// The org that a row counts; `None` for a row of another projection.
pub(super) fn org_of(key: &[u8]) -> Option<&str> {
    let rest = key.strip_prefix(&[PREFIX])?.get(1..)?;
    let org = rest.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(org).ok()
}

/// A count with the position of the last entry that moved it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Row<T> {
    position: Position,
    count: T,
}

fn org_key(org: &str) -> Vec<u8> {
    [&[PREFIX, ORG], org.as_bytes(), &[0]].concat()
}

fn name_key(org: &str, named: Named, name: &str) -> Vec<u8> {
    [
        &[PREFIX, named.byte()],
        org.as_bytes(),
        &[0],
        name.as_bytes(),
    ]
    .concat()
}

fn read<T: Default + serde::de::DeserializeOwned>(
    store: &Store,
    key: &[u8],
) -> Result<Row<T>, StoreError> {
    match store.get(key)? {
        Some(row) => Ok(postcard::from_bytes(&row)?),
        None => Ok(Row::default()),
    }
}

/// Numbers alone: always encodable.
fn encoded(row: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(row).unwrap_or_default()
}

/// The counts of one org.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn counts(store: &Store, org: &str) -> Result<Counts, StoreError> {
    Ok(read(store, &org_key(org))?.count)
}

/// Whether an org has a record that is not doomed in a container or with a tag.
///
/// # Errors
/// [`StoreError`] when the database cannot be read.
pub fn is_named(store: &Store, org: &str, named: Named, name: &str) -> Result<bool, StoreError> {
    Ok(store.get(&name_key(org, named, name))?.is_some())
}

/// The containers and tags of an org, as the rows have them.
///
/// # Errors
/// [`StoreError`] when the database cannot be read.
pub fn names(store: &Store, org: &str) -> Result<Names, StoreError> {
    let mut names = Names::new();
    for named in Named::ALL {
        let prefix = name_key(org, named, "");
        for row in store.scan(prefix.clone(), &prefix) {
            let (key, _) = row?;
            let name = key.get(prefix.len()..).unwrap_or_default();
            names.insert((named, String::from_utf8_lossy(name).into_owned()));
        }
    }
    Ok(names)
}

/// The counts of all orgs together.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn total(store: &Store) -> Result<Counts, StoreError> {
    let prefix = vec![PREFIX, ORG];
    let mut total = Counts::default();
    for row in store.scan(prefix.clone(), &prefix) {
        let (_, value) = row?;
        total.add_all(&postcard::from_bytes::<Row<Counts>>(&value)?.count);
    }
    Ok(total)
}

/// Whether a record still counts against the quota.
fn is_live(record: &Record) -> bool {
    record.status != Status::Doomed
}

/// The bytes of content that can be read as the record's own.
fn current_bytes(record: &Record) -> u64 {
    match record.status {
        Status::Active => record.content.size,
        Status::PendingUpload | Status::Doomed => 0,
    }
}

impl UsageRows for Store {
    fn counts(&self, org: &str) -> Result<Counts, StoreError> {
        counts(self, org)
    }

    fn own_limits(&self, org: &str) -> Result<OwnLimits, StoreError> {
        identity::own_limits(self, org)
    }

    fn all_own_limits(&self) -> impl Iterator<Item = Result<(String, OwnLimits), StoreError>> {
        identity::all_own_limits(self)
    }

    fn is_named(&self, org: &str, named: Named, name: &str) -> Result<bool, StoreError> {
        is_named(self, org, named, name)
    }
}
