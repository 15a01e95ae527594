//! What is held, and why: the one place that everything that removes asks, and the index of held records.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Projection, RecordName, Store, StoreError, Write, identity};
use crate::domain::hold::{Kept, LegalHolds};
use crate::domain::record::Record;
use crate::domain::{ContainerName, OrgCode, Timestamp};

const PREFIX: u8 = b'h';
/// Held records counted of one org; larger counts are reported as this one.
pub const COUNTED_MAX: usize = 10_000;

/// Keeps which records have a hold of their own.
pub struct Holds;

impl Projection for Holds {
    fn name(&self) -> &'static str {
        "holds"
    }

    fn version(&self) -> u32 {
        1
    }

    fn prefix(&self) -> u8 {
        PREFIX
    }

    fn apply(&self, change: &Change<'_>, writes: &mut Vec<Write>) {
        let Some(record) = change.record() else {
            return;
        };
        let before = record.before.is_some_and(|before| before.hold.is_some());
        let after = record.after.hold.is_some();
        if before != after {
            writes.push((key(record.name), after.then(Vec::new)));
        }
    }

    fn stream_of(&self, key: &[u8], value: &[u8]) -> Option<String> {
        let _ = value;
        let name = std::str::from_utf8(key.get(1..)?).ok()?;
        Some(format!("mrs/{}", name.replace('\0', "/")))
    }
}

fn key(name: RecordName<'_>) -> Vec<u8> {
    let parts = [name.org, name.container, name.record_id];
    [&[PREFIX], parts.join("\0").as_bytes()].concat()
}

/// Why a record and its content are kept; `None` when nothing holds it. Whatever removes a record, one of its contents
/// or its upload asks this first, within the admission that keeps others out or on a guard of the org's stream.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded. Then nothing may be removed.
pub fn held(
    store: &Store,
    name: RecordName<'_>,
    record: &Record,
) -> Result<Option<Kept>, StoreError> {
    match record.kept(None) {
        Some(kept) => Ok(Some(kept)),
        None => legal(store, name.org, name.container),
    }
}

/// The legal hold on a container, its own before its org's. What has no record, such as a remembered refusal, is kept
/// by it alone.
///
/// # Errors
/// As [`held`].
pub fn legal(store: &Store, org: &str, container: &str) -> Result<Option<Kept>, StoreError> {
    let holds = identity::holds(store, org)?;
    if holds.is_empty() {
        return Ok(None);
    }
    // What cannot be a container's name is no container, and only its org's hold can cover it.
    let container = ContainerName::parse(container).ok();
    let nearest = container.and_then(|container| holds.keeps(&container));
    Ok(nearest.or_else(|| holds.keeps_org()))
}

/// A record as it reads at a time of now: its end counts from its due time on, unless something holds it.
///
/// # Errors
/// As [`held`].
pub fn effective_at(
    store: &Store,
    name: RecordName<'_>,
    record: Record,
    now: Timestamp,
) -> Result<Record, StoreError> {
    // Few records are past their time and not swept, so that holds are seldom asked for.
    let legal = if record.is_due(now) {
        legal(store, name.org, name.container)?
    } else {
        None
    };
    Ok(record.as_of(now, legal.as_ref()))
}

/// Whether a record has a hold of its own, by its name alone.
///
/// # Errors
/// As [`held`].
pub fn is_record_held(store: &Store, name: RecordName<'_>) -> Result<bool, StoreError> {
    Ok(store.get(&key(name))?.is_some())
}

/// Whether any record of a container has a hold of its own.
///
/// # Errors
/// As [`held`].
pub fn is_any_record_held(store: &Store, org: &str, container: &str) -> Result<bool, StoreError> {
    let prefix = key(RecordName {
        org,
        container,
        record_id: "",
    });
    let first = store.scan(prefix.clone(), &prefix).next().transpose()?;
    Ok(first.is_some())
}

/// The holds of one org.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrgHolds {
    /// Legal holds on the org and its containers.
    pub legal: LegalHolds,
    /// How many records have one of their own, counted up to [`COUNTED_MAX`].
    pub records: usize,
}

impl OrgHolds {
    /// Whether nothing of the org is held.
    pub fn is_empty(&self) -> bool {
        self.legal.is_empty() && self.records == 0
    }
}

/// Whether and how often anything of an org is held. Who would remove the org itself asks this.
///
/// # Errors
/// As [`held`].
pub fn of_org(store: &Store, org: &OrgCode) -> Result<OrgHolds, StoreError> {
    let prefix = [&[PREFIX], org.as_str().as_bytes(), &[0]].concat();
    let mut records = 0;
    for row in store.scan(prefix.clone(), &prefix).take(COUNTED_MAX) {
        row?;
        records += 1;
    }
    Ok(OrgHolds {
        legal: identity::holds(store, org.as_str())?,
        records,
    })
}

/// The orgs of which anything is held, by code, at most `limit`, and whether there are more.
///
/// # Errors
/// As [`held`].
pub fn by_org(
    store: &Store,
    limit: usize,
) -> Result<(BTreeMap<OrgCode, OrgHolds>, bool), StoreError> {
    let mut codes: BTreeSet<OrgCode> = BTreeSet::new();
    let mut from = vec![PREFIX];
    while codes.len() <= limit {
        let Some((key, _)) = store.scan(vec![PREFIX], &from).next().transpose()? else {
            break;
        };
        let org = key[1..].split(|byte| *byte == 0).next().unwrap_or_default();
        // After all rows of this org: no code contains the byte 1.
        from = [&[PREFIX], org, &[1]].concat();
        let org = std::str::from_utf8(org).ok();
        codes.extend(org.and_then(|org| OrgCode::parse(org).ok()));
    }
    codes.extend(identity::orgs_with_holds(store, limit + 1)?);
    let more = codes.len() > limit;
    let codes = codes.into_iter().take(limit);
    let held = codes.map(|org| Ok((org.clone(), of_org(store, &org)?)));
    Ok((held.collect::<Result<_, StoreError>>()?, more))
}
