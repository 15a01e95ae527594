//! The entries of one container in the tags' lists, as upkeep walks them.

use super::list::{TAGS, range_base, status_of};
use super::{Store, StoreError};
use crate::domain::container::TagEntry;
use crate::domain::record::Status;
use crate::domain::{CcCode, RecordId, Tag};

/// Ranges without an entry of the container that a page may skip, before it ends early and returns where to continue.
const PASSED_RANGES_MAX: usize = 1_024;

/// Some entries of a container.
#[derive(Debug, Default)]
pub struct Entries {
    /// By tag and cost centre, then status, then record id.
    pub items: Vec<TagEntry>,
    /// Where to continue, as [`entries`] takes it; `None` at the end.
    pub next: Option<Vec<u8>>,
}

/// Reads at most `limit` entries of a container from a place on. Every range of the org's tags is looked up once: those
/// of tags that the container has not are passed in one step.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn entries(
    store: &Store,
    (org, container): (&str, &str),
    from: Option<&[u8]>,
    limit: usize,
) -> Result<Entries, StoreError> {
    let mut base = vec![TAGS];
    base.extend_from_slice(org.as_bytes());
    base.push(0);
    let seek = |place: &[u8]| {
        let mut key = base.clone();
        key.extend_from_slice(place);
        store.scan(base.clone(), &key)
    };
    let mut found = Entries::default();
    let mut place = from.map_or_else(Vec::new, <[u8]>::to_vec);
    let (mut rows, mut passed) = (seek(&place), 0);
    while let Some(row) = rows.next().transpose()? {
        if found.items.len() == limit || passed == PASSED_RANGES_MAX {
            found.next = Some(place);
            break;
        }
        let key = &row.0[base.len()..];
        let Some(at) = Place::parse(key) else {
            place = key.to_vec();
            place.push(0);
            continue;
        };
        if at.container == container {
            found.items.extend(at.entry());
            place = key.to_vec();
            place.push(0);
            continue;
        }
        let mut range = range_base(TAGS, org, at.facet, at.status).split_off(base.len());
        if at.container < container {
            range.extend_from_slice(container.as_bytes());
            range.push(0);
        } else if let Some(status) = range.last_mut() {
            *status += 1;
        }
        passed += 1;
        place = range;
        rows = seek(&place);
    }
    Ok(found)
}

/// The part of a key after the org: `facet 0 status container 0 record_id`.
struct Place<'a> {
    facet: &'a str,
    status: Status,
    container: &'a str,
    record_id: &'a str,
}

impl<'a> Place<'a> {
    fn parse(key: &'a [u8]) -> Option<Self> {
        let (facet, rest) = std::str::from_utf8(key).ok()?.split_once('\0')?;
        let (container, record_id) = rest.get(1..)?.split_once('\0')?;
        Some(Self {
            facet,
            status: status_of(*rest.as_bytes().first()?)?,
            container,
            record_id,
        })
    }

    fn entry(&self) -> Option<TagEntry> {
        let (tag, cccode) = match self.facet.split_once('\u{1}') {
            Some((tag, cccode)) => (tag, Some(CcCode::parse(cccode).ok()?)),
            None => (self.facet, None),
        };
        Some(TagEntry {
            record_id: RecordId::parse(self.record_id).ok()?,
            tag: Tag::parse(tag).ok()?,
            cccode,
            status: self.status,
        })
    }
}
