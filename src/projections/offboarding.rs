//! Which org leaves or comes, how far that is, and what of it remains to be done.

use super::ops::{self, OpsPage};
use super::{Change, Projection, StateChange, Store, StoreError, Write, state_after};
use crate::domain::OrgCode;
use crate::domain::offboarding::{Offboarding, OffboardingDecider, OffboardingStatus, OrgTransfer};
use crate::journal::{Body, Entry};

const PREFIX: u8 = b'e';
const PASSAGE: &[u8] = b"eo";
const WORK: &[u8] = b"ew";

/// Keeps each org's leaving and coming.
pub struct Offboardings;

impl Projection for Offboardings {
    fn name(&self) -> &'static str {
        "offboardings"
    }

    fn version(&self) -> u32 {
        1
    }

    fn prefix(&self) -> u8 {
        PREFIX
    }

    fn apply(&self, change: &Change<'_>, writes: &mut Vec<Write>) {
        let StateChange::Transfer(org_transfer) = &change.state else {
            return;
        };
        let Some(org) = org_of(change.body.stream.as_str()) else {
            return;
        };
        let work = org_transfer.has_work().then(Vec::new);
        writes.push(([WORK, org.as_bytes()].concat(), work));
        // Plain structs, enums and lists of known length: always encodable.
        let row = postcard::to_stdvec(org_transfer).unwrap_or_default();
        writes.push(([PASSAGE, org.as_bytes()].concat(), Some(row)));
    }

    fn stream_of(&self, key: &[u8], value: &[u8]) -> Option<String> {
        let _ = value;
        Some(format!("utl/{}", std::str::from_utf8(key.get(2..)?).ok()?))
    }
}

fn org_of(stream: &str) -> Option<&str> {
    stream.strip_prefix("utl/")
}

/// The state after an entry; `None` for other streams, and for an entry whose state is there already.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub(crate) fn after(
    store: &Store,
    entry: &Entry,
    body: &Body,
) -> Result<Option<OrgTransfer>, StoreError> {
    let Some(org) = org_of(body.stream.as_str()) else {
        return Ok(None);
    };
    let before = find(store, org)?;
    Ok(state_after::<OffboardingDecider>(
        before,
        (entry.header.position, body),
    ))
}

/// The offboarding, exports and import of an org.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn org_transfer(store: &Store, org: &OrgCode) -> Result<OrgTransfer, StoreError> {
    find(store, org.as_str())
}

fn find(store: &Store, org: &str) -> Result<OrgTransfer, StoreError> {
    match store.get(&[PASSAGE, org.as_bytes()].concat())? {
        Some(row) => Ok(postcard::from_bytes(&row)?),
        None => Ok(OrgTransfer::default()),
    }
}

/// The orgs of which something remains to be done.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn with_work(store: &Store) -> Result<Vec<OrgCode>, StoreError> {
    let mut orgs = Vec::new();
    for row in store.scan(WORK.to_vec(), WORK) {
        let (key, _) = row?;
        let name = std::str::from_utf8(key.get(WORK.len()..).unwrap_or_default());
        orgs.extend(name.ok().and_then(|name| OrgCode::parse(name).ok()));
    }
    Ok(orgs)
}

/// The orgs that were asked to be offboarded, in the order of their codes, each with its last offboarding.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn list(
    store: &Store,
    status: Option<OffboardingStatus>,
    from: Option<&[u8]>,
    limit: usize,
) -> Result<OpsPage<(String, Offboarding)>, StoreError> {
    let rows = store.scan(PASSAGE.to_vec(), from.unwrap_or(PASSAGE));
    ops::page(rows, limit, |key, value| {
        let org_transfer: OrgTransfer = postcard::from_bytes(value)?;
        let shown = org_transfer.offboarding;
        let shown = shown.filter(|shown| status.is_none_or(|status| shown.status == status));
        let org = key.get(PASSAGE.len()..).unwrap_or_default();
        Ok(shown.map(|shown| (String::from_utf8_lossy(org).into_owned(), shown)))
    })
}
