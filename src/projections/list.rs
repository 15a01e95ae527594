//! Lists of records: by status, cost centre and tag, in the order of container and record id, one page at a time.
//!
//! A row's key is `org 0 facet 0 status container 0 record_id`, so that every filter of the list is one range for each
//! status. The value is empty; the record itself is read from the records projection.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use super::contents::container_of;
use super::{
    Change, Projection, RecordChange, RecordName, Store, StoreError, Write, due, holds, records,
};
use crate::domain::container::ContainerEvent;
use crate::domain::record::{Record, RecordKey, Status};
use crate::domain::{CcCode, ContainerName, Event, OrgCode, RecordId, Tag, Timestamp};

pub(super) const LIST: u8 = b'l';
pub(super) const TAGS: u8 = b't';
/// Rows a page may read without showing them, before it ends early with a token to continue with.
const SKIPPED_ROWS_MAX: usize = 1_024;
/// Records of an org past their due time and not yet swept that a page of doomed records takes into account, held ones
/// among them.
const UNSWEPT_MAX: usize = 4_096;

/// All records of an org, and those of each cost centre.
pub struct Lists;

/// The records with each tag, and with each tag in each cost centre.
pub struct Tags;

impl Projection for Lists {
    fn name(&self) -> &'static str {
        "list"
    }

    fn version(&self) -> u32 {
        1
    }

    fn prefix(&self) -> u8 {
        LIST
    }

    fn apply(&self, change: &Change<'_>, writes: &mut Vec<Write>) {
        apply_facets(change, writes, |record, facets| {
            facets.insert((LIST, facet(None, record.cccode.as_ref())));
            facets.insert((LIST, String::new()));
        });
    }

    fn stream_of(&self, key: &[u8], value: &[u8]) -> Option<String> {
        let _ = value;
        stream_of_row(key)
    }
}

impl Projection for Tags {
    fn name(&self) -> &'static str {
        "tags"
    }

    fn version(&self) -> u32 {
        1
    }

    fn prefix(&self) -> u8 {
        TAGS
    }

    fn apply(&self, change: &Change<'_>, writes: &mut Vec<Write>) {
        apply_facets(change, writes, |record, facets| {
            for tag in &record.tags {
                facets.insert((TAGS, facet(Some(tag), record.cccode.as_ref())));
                facets.insert((TAGS, tag.as_str().to_owned()));
            }
        });
        apply_scrub(change, writes);
    }

    fn stream_of(&self, key: &[u8], value: &[u8]) -> Option<String> {
        let _ = value;
        stream_of_row(key)
    }
}

/// The record a row shows, by its key: `org 0 facet 0 status container 0 record_id`.
fn stream_of_row(key: &[u8]) -> Option<String> {
    let mut parts = std::str::from_utf8(key.get(1..)?).ok()?.splitn(3, '\0');
    let (org, _facet, place) = (parts.next()?, parts.next()?, parts.next()?);
    let (container, record_id) = place.get(1..)?.split_once('\0')?;
    Some(format!("mrs/{org}/{container}/{record_id}"))
}

/// Removes entries that were scrubbed.
fn apply_scrub(change: &Change<'_>, writes: &mut Vec<Write>) {
    let Some((org, container)) = container_of(&change.body.stream) else {
        return;
    };
    for event in &change.body.events {
        let Event::Container(ContainerEvent::TagsScrubbed { entries }) = event else {
            continue;
        };
        for entry in entries {
            let name = RecordName {
                org,
                container,
                record_id: entry.record_id.as_str(),
            };
            let facet = facet(Some(&entry.tag), entry.cccode.as_ref());
            writes.push((row_key(TAGS, &facet, entry.status, name), None));
        }
    }
}

type Facets = BTreeSet<(u8, String)>;

fn apply_facets(
    change: &Change<'_>,
    writes: &mut Vec<Write>,
    facets_of: impl Fn(&Record, &mut Facets),
) {
    let Some(RecordChange {
        name,
        before,
        after,
    }) = change.record().copied()
    else {
        return;
    };
    let mut rows_before = Facets::new();
    if let Some(before) = before {
        facets_of(before, &mut rows_before);
    }
    let mut rows_after = Facets::new();
    facets_of(after, &mut rows_after);
    // Added rows are written before removed ones go: at every moment, and after a crash, a record that stays has one.
    let same_status = before.is_some_and(|before| before.status == after.status);
    for (prefix, facet) in &rows_after {
        if !(same_status && rows_before.contains(&(*prefix, facet.clone()))) {
            writes.push((
                row_key(*prefix, facet, after.status, name),
                Some(Vec::new()),
            ));
        }
    }
    for (prefix, facet) in &rows_before {
        let status = before.map_or(after.status, |before| before.status);
        if !(same_status && rows_after.contains(&(*prefix, facet.clone()))) {
            writes.push((row_key(*prefix, facet, status, name), None));
        }
    }
}

pub(super) fn facet(tag: Option<&Tag>, cccode: Option<&CcCode>) -> String {
    let tag = tag.map_or("", Tag::as_str);
    match cccode {
        Some(cccode) => format!("{tag}\u{1}{cccode}"),
        None => tag.to_owned(),
    }
}

fn status_byte(status: Status) -> u8 {
    match status {
        Status::Active => b'a',
        Status::PendingUpload => b'p',
        Status::Doomed => b'x',
    }
}

/// The status that a byte of a row encodes.
pub(super) fn status_of(byte: u8) -> Option<Status> {
    let all = [Status::Active, Status::PendingUpload, Status::Doomed];
    all.into_iter().find(|status| status_byte(*status) == byte)
}

pub(super) fn range_base(prefix: u8, org: &str, facet: &str, status: Status) -> Vec<u8> {
    let mut base = Vec::with_capacity(96);
    base.push(prefix);
    base.extend_from_slice(org.as_bytes());
    base.push(0);
    base.extend_from_slice(facet.as_bytes());
    base.push(0);
    base.push(status_byte(status));
    base
}

fn row_key(prefix: u8, facet: &str, status: Status, name: RecordName<'_>) -> Vec<u8> {
    let mut key = range_base(prefix, name.org, facet, status);
    key.extend_from_slice(&place_in_order(name.container, name.record_id));
    key
}

/// The part of a key that orders records within a range: container, then record id.
fn place_in_order(container: &str, record_id: &str) -> Vec<u8> {
    let mut place = Vec::with_capacity(container.len() + record_id.len() + 1);
    place.extend_from_slice(container.as_bytes());
    place.push(0);
    place.extend_from_slice(record_id.as_bytes());
    place
}

/// A filter of records in lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Org whose records are listed.
    pub org: OrgCode,
    /// Container to list; all of them without one.
    pub container: Option<ContainerName>,
    /// Only this cost centre.
    pub cccode: Option<CcCode>,
    /// Only records with this tag.
    pub tag: Option<Tag>,
    /// Only in one of these states; in any without one.
    pub statuses: Vec<Status>,
    /// Only record ids that begin with this.
    pub prefix: String,
}

/// One page of a list.
#[derive(Debug, Default)]
pub struct Page {
    /// The records, as they read now.
    pub items: Vec<(RecordKey, Arc<Record>)>,
    /// Where the next page begins, as [`Filter::page`] takes it; `None` at the end.
    pub next: Option<Vec<u8>>,
}

impl Filter {
    /// Reads one page of at most `limit` records from a place on.
    ///
    /// A page reads a bounded number of rows; when most of them are not to be shown, it ends early and
    /// returns where to continue.
    ///
    /// # Errors
    /// [`StoreError`] when a read fails.
    pub fn page(
        &self,
        store: &Store,
        from: Option<&[u8]>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, StoreError> {
        let mut walk = Walk::start(self, store, from, now)?;
        let mut page = Page::default();
        let mut skipped = 0;
        while let Some(place) = walk.next()? {
            if page.items.len() == limit || skipped == SKIPPED_ROWS_MAX {
                page.next = Some(walk.floor);
                break;
            }
            let (container, record_id) = split_place(&place);
            walk.floor = match self.seek_past(container, record_id) {
                Some(seek) => {
                    skipped += 1;
                    seek
                }
                None => {
                    match self.shown(store, container, record_id, now)? {
                        Some(item) => page.items.push(item),
                        None => skipped += 1,
                    }
                    place_after(place)
                }
            };
        }
        Ok(page)
    }

    fn shown(
        &self,
        store: &Store,
        container: &str,
        record_id: &str,
        now: Timestamp,
    ) -> Result<Option<(RecordKey, Arc<Record>)>, StoreError> {
        let (Ok(container), Ok(record_id)) =
            (ContainerName::parse(container), RecordId::parse(record_id))
        else {
            return Ok(None);
        };
        let key = RecordKey {
            org: self.org.clone(),
            container,
            record_id,
        };
        let name = RecordName::from(&key);
        let Some(mut record) = records::find_shared(store, name)? else {
            return Ok(None);
        };
        if record.is_due(now) {
            let as_stored = Arc::unwrap_or_clone(record);
            record = Arc::new(holds::effective_at(store, name, as_stored, now)?);
        }
        Ok(self.shows(&record).then_some((key, record)))
    }

    /// The states that are listed: all of them when none is named.
    fn statuses(&self) -> &[Status] {
        if self.statuses.is_empty() {
            Status::ALL
        } else {
            &self.statuses
        }
    }

    fn shows(&self, record: &Record) -> bool {
        self.statuses().contains(&record.status)
            && self
                .tag
                .as_ref()
                .is_none_or(|tag| record.tags.contains(tag))
            && (self.cccode.is_none() || record.cccode == self.cccode)
    }

    /// Where to continue when a record id does not begin with the prefix.
    fn seek_past(&self, container: &str, record_id: &str) -> Option<Vec<u8>> {
        if record_id.starts_with(&self.prefix) {
            None
        } else if record_id < self.prefix.as_str() {
            Some(place_in_order(container, &self.prefix))
        } else {
            // The first place of the next container: no name contains the byte 1.
            let mut place = container.as_bytes().to_vec();
            place.push(1);
            Some(place)
        }
    }

    /// The prefix of every place within this filter.
    fn within(&self) -> Vec<u8> {
        match &self.container {
            Some(container) => place_in_order(container.as_str(), &self.prefix),
            None => Vec::new(),
        }
    }
}

fn split_place(place: &[u8]) -> (&str, &str) {
    let text = std::str::from_utf8(place).unwrap_or_default();
    text.split_once('\0').unwrap_or_default()
}

/// A copy that [`place_after`] need not move.
fn with_room(place: &[u8]) -> Vec<u8> {
    let mut copy = Vec::with_capacity(place.len() + 1);
    copy.extend_from_slice(place);
    copy
}

/// The smallest place after another: no name contains the byte 0.
fn place_after(mut place: Vec<u8>) -> Vec<u8> {
    place.push(0);
    place
}

/// A walk through the ranges of several states at once, in the order of their places.
struct Walk<'a> {
    store: &'a Store,
    /// The key of each range without the place.
    bases: Vec<Vec<u8>>,
    /// Records that count as doomed but still have rows among the active, where those are not walked anyway.
    unswept: BTreeSet<Vec<u8>>,
    within: Vec<u8>,
    /// Everything before this place has been passed.
    floor: Vec<u8>,
    /// The next place of each range, once looked up.
    heads: Vec<Head>,
}

/// The next place of a range, as far as it was read.
enum Head {
    /// The place, and the open iterator after it.
    At(Vec<u8>, Rows),
    /// The range has no further place.
    Ended,
    /// The place was not read since the last seek.
    Unknown,
}

type Rows = Box<dyn Iterator<Item = Result<Vec<u8>, StoreError>>>;

impl<'a> Walk<'a> {
    fn start(
        filter: &Filter,
        store: &'a Store,
        from: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let prefix = if filter.tag.is_some() { TAGS } else { LIST };
        let facet = facet(filter.tag.as_ref(), filter.cccode.as_ref());
        let org = filter.org.as_str();
        let statuses = filter.statuses();
        let bases: Vec<_> = statuses
            .iter()
            .map(|status| range_base(prefix, org, &facet, *status))
            .collect();
        let within = filter.within();
        let floor = from
            .map_or_else(|| within.clone(), <[u8]>::to_vec)
            .max(within.clone());
        let mut unswept = BTreeSet::new();
        if statuses.contains(&Status::Doomed) && !statuses.contains(&Status::Active) {
            let due = due::due_of_org(store, org, now, UNSWEPT_MAX)?;
            let due = due
                .iter()
                .filter_map(|stream| RecordName::of_stream(stream));
            unswept.extend(
                due.map(|name| place_in_order(name.container, name.record_id))
                    .filter(|place| place.starts_with(&within)),
            );
        }
        let heads = bases.iter().map(|_| Head::Unknown).collect();
        Ok(Self {
            store,
            bases,
            unswept,
            within,
            floor,
            heads,
        })
    }

    /// The first place at or after the floor.
    fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let mut first: Option<Vec<u8>> = None;
        for index in 0..self.bases.len() {
            if let Some(place) = self.head(index)?
                && first.as_ref().is_none_or(|first| place < first)
            {
                first = Some(with_room(place));
            }
        }
        let from_floor = (Bound::Included(&*self.floor), Bound::Unbounded);
        if let Some(place) = self.unswept.range::<[u8], _>(from_floor).next()
            && first.as_ref().is_none_or(|first| place < first)
        {
            first = Some(with_room(place));
        }
        Ok(first)
    }

    /// The first place of one range at or after the floor: the next row or two where the walk is dense, a new
    /// look-up where it has jumped.
    fn head(&mut self, index: usize) -> Result<Option<&Vec<u8>>, StoreError> {
        let mut head = std::mem::replace(&mut self.heads[index], Head::Ended);
        for step in 0..3 {
            head = match head {
                Head::At(place, rows) if place >= self.floor => Head::At(place, rows),
                Head::At(_, mut rows) if step < 2 => match rows.next().transpose()? {
                    Some(place) => Head::At(place, rows),
                    None => Head::Ended,
                },
                Head::At(..) | Head::Unknown => {
                    let mut rows = self.rows(index);
                    match rows.next().transpose()? {
                        Some(place) => Head::At(place, rows),
                        None => Head::Ended,
                    }
                }
                Head::Ended => Head::Ended,
            };
        }
        self.heads[index] = head;
        Ok(match &self.heads[index] {
            Head::At(place, _) => Some(place),
            Head::Ended | Head::Unknown => None,
        })
    }

    fn rows(&self, index: usize) -> Rows {
        let base = self.bases[index].clone();
        let place_at = base.len();
        let mut within = base.clone();
        within.extend_from_slice(&self.within);
        let mut from = base;
        from.extend_from_slice(&self.floor);
        let rows = self.store.scan(within, &from);
        Box::new(rows.map(move |row| row.map(|(key, _)| key[place_at..].to_vec())))
    }
}
