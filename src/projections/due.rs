//! When which record dooms itself, soonest first: of all orgs for the sweep, and of each org for its lists.
//!
//! A row of the sweep is `t time stream`, and held records have none. A row of an org is `o org 0 facet 0 time container 0
//! record_id`, once without a facet and once with the container's name, and held records have theirs. Values are empty.

use super::{Change, Projection, RecordName, Store, StoreError, Write, holds, records};
use crate::domain::hold::Kept;
use crate::domain::record::{Record, RecordKey, Status};
use crate::domain::{ContainerName, OrgCode, RecordId, Timestamp};

const PREFIX: u8 = b'd';
const SWEPT: &[u8] = b"dt";
const OF_ORG: &[u8] = b"do";
const TIME_BYTES: usize = 8;
/// Rows a page may read without showing them, before it ends early with a place to continue at.
const SKIPPED_ROWS_MAX: usize = 1_024;

/// Keeps the due times of living records.
pub struct DueTimes;

impl Projection for DueTimes {
    fn name(&self) -> &'static str {
        "due"
    }

    fn version(&self) -> u32 {
        2
    }

    fn prefix(&self) -> u8 {
        PREFIX
    }

    fn apply(&self, change: &Change<'_>, writes: &mut Vec<Write>) {
        let Some(record) = change.record() else {
            return;
        };
        let before = record.before.map(|before| rows(record.name, before));
        let (before, after) = (before.unwrap_or_default(), rows(record.name, record.after));
        let gone = before.iter().filter(|row| !after.contains(row));
        writes.extend(gone.map(|row| (row.clone(), None)));
        let new = after.iter().filter(|row| !before.contains(row));
        writes.extend(new.map(|row| (row.clone(), Some(Vec::new()))));
    }

    fn stream_of(&self, key: &[u8], value: &[u8]) -> Option<String> {
        let _ = value;
        if let Some(stream) = key.strip_prefix(SWEPT) {
            let stream = std::str::from_utf8(stream.get(TIME_BYTES..)?).ok()?;
            return Some(stream.to_owned());
        }
        let mut parts = key.strip_prefix(OF_ORG)?.splitn(3, |byte| *byte == 0);
        let (org, _facet, place) = (parts.next()?, parts.next()?, parts.next()?);
        let (_, container, record_id) = split_place(place)?;
        let org = std::str::from_utf8(org).ok()?;
        Some(format!("mrs/{org}/{container}/{record_id}"))
    }
}

/// The rows of a record.
fn rows(name: RecordName<'_>, record: &Record) -> Vec<Vec<u8>> {
    let due = record.doom_at.filter(|_| record.status != Status::Doomed);
    let Some(at) = due else {
        return Vec::new();
    };
    let place = [
        &time(at)[..],
        name.container.as_bytes(),
        &[0],
        name.record_id.as_bytes(),
    ]
    .concat();
    let mut rows = vec![
        [&range(name.org, None)[..], &place].concat(),
        [&range(name.org, Some(name.container))[..], &place].concat(),
    ];
    if record.hold.is_none() {
        let stream = format!("mrs/{}/{}/{}", name.org, name.container, name.record_id);
        rows.push([SWEPT, &time(at), stream.as_bytes()].concat());
    }
    rows
}

/// What the rows of an org, or of one of its containers, begin with.
fn range(org: &str, container: Option<&str>) -> Vec<u8> {
    let facet = container.unwrap_or_default().as_bytes();
    [OF_ORG, org.as_bytes(), &[0], facet, &[0]].concat()
}

/// Times are never negative, so big-endian order is time order.
fn time(at: Timestamp) -> [u8; TIME_BYTES] {
    at.millis().to_be_bytes()
}

fn time_of(place: &[u8]) -> Option<Timestamp> {
    let bytes = place.get(..TIME_BYTES)?.try_into().ok()?;
    Some(Timestamp::from_millis(i64::from_be_bytes(bytes)))
}

/// Time, container and record id of a row of an org.
fn split_place(place: &[u8]) -> Option<(Timestamp, &str, &str)> {
    let name = std::str::from_utf8(place.get(TIME_BYTES..)?).ok()?;
    let (container, record_id) = name.split_once('\0')?;
    Some((time_of(place)?, container, record_id))
}

/// The smallest key after another.
fn first_key_after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// What one walk of the sweep has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Streams of records that are due and that nothing holds, soonest first.
    pub due: Vec<String>,
    /// Everything before this was seen; [`walk`] continues from it.
    pub seen: Option<Vec<u8>>,
    /// Whether the walk ended because of its limits.
    pub more: bool,
}

/// Walks from a place on through what is due by a time, past what is under a legal hold or to be skipped, and reads at most
/// `rows_max` rows.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn walk(
    store: &Store,
    from: Option<&[u8]>,
    now: Timestamp,
    (due_max, rows_max): (usize, usize),
    skips: impl Fn(&str) -> bool,
) -> Result<Walk, StoreError> {
    let mut walk = Walk {
        seen: from.map(<[u8]>::to_vec),
        ..Walk::default()
    };
    // Rows of one container often follow each other.
    let mut last: Option<(String, bool)> = None;
    let rows = store.scan(SWEPT.to_vec(), from.unwrap_or(SWEPT));
    for (looked, row) in rows.enumerate() {
        let (key, _) = row?;
        let place = &key[SWEPT.len()..];
        if time_of(place).is_none_or(|at| at > now) {
            break;
        }
        if walk.due.len() == due_max || looked == rows_max {
            walk.more = true;
            break;
        }
        let stream = String::from_utf8_lossy(&place[TIME_BYTES..]).into_owned();
        let container = stream
            .rsplit_once('/')
            .map_or("", |(container, _)| container);
        let known = last.as_ref().filter(|(name, _)| name == container);
        let held = match (known, RecordName::of_stream(&stream)) {
            _ if skips(&stream) => true,
            (Some((_, held)), _) => *held,
            (None, Some(name)) => holds::legal(store, name.org, name.container)?.is_some(),
            (None, None) => false,
        };
        last = Some((container.to_owned(), held));
        if !held {
            walk.due.push(stream);
        }
        walk.seen = Some(first_key_after(&key));
    }
    Ok(walk)
}

/// The soonest due time from a place of a [`Walk`] on.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn next_due(store: &Store, from: Option<&[u8]>) -> Result<Option<Timestamp>, StoreError> {
    let mut rows = store.scan(SWEPT.to_vec(), from.unwrap_or(SWEPT));
    let first = rows.next().transpose()?;
    Ok(first.and_then(|(key, _)| time_of(&key[SWEPT.len()..])))
}

/// The streams of an org's records whose time has come, soonest first, at most `limit`; held ones among them.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn due_of_org(
    store: &Store,
    org: &str,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let (range, mut due) = (range(org, None), Vec::new());
    for row in store.scan(range.clone(), &range).take(limit) {
        let (key, _) = row?;
        match split_place(&key[range.len()..]) {
            Some((at, container, record_id)) if at <= now => {
                due.push(format!("mrs/{org}/{container}/{record_id}"));
            }
            Some(_) | None => break,
        }
    }
    Ok(due)
}

/// A filter of due records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueFilter {
    /// Org that the records belong to.
    pub org: OrgCode,
    /// Only records of this container.
    pub container: Option<ContainerName>,
    /// Only due before this time.
    pub before: Option<Timestamp>,
}

/// One record that will be doomed, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueItem {
    /// Org, container and id of the record.
    pub key: RecordKey,
    /// Time at which the record ends.
    pub doom_at: Timestamp,
    /// The hold that keeps it from being doomed.
    pub kept: Option<Kept>,
}

/// One page of due records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DuePage {
    /// Soonest first; then by container and record id.
    pub items: Vec<DueItem>,
    /// Where the next page begins, as [`DueFilter::page`] takes it; `None` at the end.
    pub next: Option<Vec<u8>>,
}

impl DueFilter {
    /// Reads one page of at most `limit` records from a place on. What reads as doomed already is left out.
    ///
    /// # Errors
    /// [`StoreError`] when a read fails.
    pub fn page(
        &self,
        store: &Store,
        from: Option<&[u8]>,
        limit: usize,
        now: Timestamp,
    ) -> Result<DuePage, StoreError> {
        let container = self.container.as_ref().map(ContainerName::as_str);
        let range = range(self.org.as_str(), container);
        let start = [&range[..], from.unwrap_or_default()].concat();
        let (mut page, mut skipped) = (DuePage::default(), 0);
        for row in store.scan(range.clone(), &start) {
            let (key, _) = row?;
            let place = &key[range.len()..];
            let Some((at, container, record_id)) = split_place(place) else {
                continue;
            };
            if self.before.is_some_and(|before| at >= before) {
                break;
            }
            if page.items.len() == limit || skipped == SKIPPED_ROWS_MAX {
                page.next = Some(place.to_vec());
                break;
            }
            match self.item(store, container, record_id, now)? {
                Some(item) => page.items.push(item),
                None => skipped += 1,
            }
        }
        Ok(page)
    }

    fn item(
        &self,
        store: &Store,
        container: &str,
        record_id: &str,
        now: Timestamp,
    ) -> Result<Option<DueItem>, StoreError> {
        let name = RecordName {
            org: self.org.as_str(),
            container,
            record_id,
        };
        let (Ok(container), Ok(record_id), Some(record)) = (
            ContainerName::parse(container),
            RecordId::parse(record_id),
            records::find(store, name)?,
        ) else {
            return Ok(None);
        };
        // The row may have been read just before the record changed.
        let Some(doom_at) = record.doom_at else {
            return Ok(None);
        };
        let kept = holds::held(store, name, &record)?;
        let doomed = record.status == Status::Doomed || (doom_at <= now && kept.is_none());
        let key = RecordKey {
            org: self.org.clone(),
            container,
            record_id,
        };
        Ok((!doomed).then_some(DueItem { key, doom_at, kept }))
    }
}
