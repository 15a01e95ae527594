//! What each org has of everything that has a quota: counters that are kept beside the rows they count.
//!
//! Three kinds of rows, by their second byte. `o`: the counts of an org. `c` and `t`: the records that are not doomed in a
//! container and with a tag, so that it is known when a container or a tag is the first of its name, and when the last is
//! gone. Each row has the position of the last entry that moved it. The rows of a group of entries are written ahead of
//! all its other rows, the org's first: an entry that is applied again after a crash moves nothing twice.

mod at_once;
mod recount;
pub mod reservations;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::identity::IdentityChange;
use super::{
    Change, Projection, RecordChange, RecordName, Store, StoreError, Write, contents, identity,
};
use crate::domain::org::{MemberRole, OrgEvent};
use crate::domain::quota::{Counts, OwnLimits, Quota};
use crate::domain::record::{Record, Status};
use crate::domain::{Event, Tag};
use crate::journal::{Body, Position};

pub use recount::{Names, count};
pub(super) use recount::{recounted, restamped};
pub use reservations::Reservations;

const PREFIX: u8 = b'q';
const ORG: u8 = b'o';

/// Keeps the counters. The runner writes their rows, ahead of those of all other projections.
pub struct Usage;

impl Projection for Usage {
    fn name(&self) -> &'static str {
        "usage"
    }

    fn version(&self) -> u32 {
        1
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

/// What of an org is counted by its different names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Named {
    /// Containers.
    Container,
    /// Tags.
    Tag,
}

impl Named {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Container, Self::Tag];

    /// The quota that limits how many different ones there are.
    pub fn quota(self) -> Quota {
        match self {
            Self::Container => Quota::Containers,
            Self::Tag => Quota::Tags,
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Container => b'c',
            Self::Tag => b't',
        }
    }
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

/// What an org has.
///
/// # Errors
/// A failed or unreadable row.
pub fn counts(store: &Store, org: &str) -> Result<Counts, StoreError> {
    Ok(read(store, &org_key(org))?.count)
}

/// How many records that are not doomed an org has in a container or with a tag.
///
/// # Errors
/// A failed or unreadable row.
pub fn records_named(
    store: &Store,
    org: &str,
    named: Named,
    name: &str,
) -> Result<u64, StoreError> {
    Ok(read(store, &name_key(org, named, name))?.count)
}

/// The records by container and tag of an org, as the counters have them.
///
/// # Errors
/// A failed or unreadable row.
pub fn names(store: &Store, org: &str) -> Result<Names, StoreError> {
    let mut names = Names::new();
    for named in Named::ALL {
        let prefix = name_key(org, named, "");
        for row in store.scan(prefix.clone(), &prefix) {
            let (key, value) = row?;
            let name = key.get(prefix.len()..).unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            let row: Row<u64> = postcard::from_bytes(&value)?;
            names.insert((named, name), row.count);
        }
    }
    Ok(names)
}

/// What all orgs have together.
///
/// # Errors
/// A failed or unreadable row.
pub fn total(store: &Store) -> Result<Counts, StoreError> {
    let prefix = vec![PREFIX, ORG];
    let mut total = Counts::default();
    for row in store.scan(prefix.clone(), &prefix) {
        let (_, value) = row?;
        total.add_all(&postcard::from_bytes::<Row<Counts>>(&value)?.count);
    }
    Ok(total)
}

/// What an entry moves of one org's counts.
#[derive(Default)]
struct Step {
    more: Counts,
    less: Counts,
}

impl Step {
    fn replace(&mut self, quota: Quota, before: u64, after: u64) {
        if before != after {
            self.more.add(quota, after);
            self.less.add(quota, before);
        }
    }

    fn is_empty(&self) -> bool {
        self.more.is_empty() && self.less.is_empty()
    }
}

/// The counts of one org as a group of entries moves them.
struct OrgTally {
    row: Row<Counts>,
    moved: bool,
    names: BTreeMap<(Named, String), (Row<u64>, bool)>,
    /// Sizes of rows of content that the group has written, by key; `None` for one that it removed.
    sizes: HashMap<Vec<u8>, Option<u64>>,
    /// What reservations the entries settle.
    settles: Vec<u64>,
    own_limits: Option<OwnLimits>,
    recounted: bool,
}

/// What became of one org's counts with a group of entries.
pub(super) struct Shown {
    /// Which.
    pub org: String,
    /// What it has now.
    pub counts: Counts,
    /// Names that moved, and how many records have each now.
    pub names: Vec<(Named, String, u64)>,
    /// Nothing is known of names any more.
    pub recounted: bool,
    /// The reservations that are settled by it.
    pub settles: Vec<u64>,
    /// The limits set for it, when they changed.
    pub own_limits: Option<OwnLimits>,
}

/// The counts as a group of entries moves them, by org.
pub(super) struct Tally {
    store: Store,
    orgs: BTreeMap<String, OrgTally>,
}

impl Tally {
    /// One that has seen nothing.
    pub(super) fn new(store: &Store) -> Self {
        Self {
            store: store.clone(),
            orgs: BTreeMap::new(),
        }
    }

    /// Takes the change of a record in.
    ///
    /// # Errors
    /// A failed or unreadable row.
    pub(super) fn record(
        &mut self,
        (position, body): (Position, &Body),
        change: &RecordChange<'_>,
        content_rows: &[Write],
    ) -> Result<(), StoreError> {
        let RecordChange {
            name,
            before,
            after,
        } = *change;
        let settles = self
            .store
            .reservations()
            .key(body.stream.as_str(), body.version);
        let store = self.store.clone();
        let tally = self.org(name.org)?;
        tally.settles.push(settles);
        let mut step = Step::default();
        let (was, is) = (before.filter(|before| is_live(before)), is_live(after));
        step.replace(Quota::Records, u64::from(was.is_some()), u64::from(is));
        step.replace(
            Quota::ContentBytes,
            before.map_or(0, current_bytes),
            current_bytes(after),
        );
        let names = moved_names(name, was, Some(after).filter(|_| is));
        for (named, text, more) in names {
            let moved = tally.move_name((&store, name.org), position, (named, text), more)?;
            step.replace(named.quota(), moved.0, moved.1);
        }
        tally.move_content(&store, content_rows, &mut step)?;
        tally.apply(position, &step);
        Ok(())
    }

    /// Takes everything else in that an entry did.
    ///
    /// # Errors
    /// A failed or unreadable row.
    pub(super) fn other(
        &mut self,
        change: &Change<'_>,
        content_rows: &[Write],
    ) -> Result<(), StoreError> {
        let (position, stream) = (change.entry.header.position, &change.body.stream);
        let store = self.store.clone();
        if let Some((org, _)) = contents::container_of(stream)
            && !content_rows.is_empty()
        {
            let tally = self.org(org)?;
            let mut step = Step::default();
            tally.move_content(&store, content_rows, &mut step)?;
            tally.apply(position, &step);
        }
        let settles = store
            .reservations()
            .key(stream.as_str(), change.body.version);
        match &change.identity {
            Some(IdentityChange::Account { org, before, after }) => {
                let tally = self.org(org)?;
                tally.settles.push(settles);
                let mut step = Step::default();
                let active = |active| u64::from(active);
                step.replace(
                    Quota::ServiceAccounts,
                    active(before.active),
                    active(after.active),
                );
                let keys = [before, after].map(|account| account.live_keys().count() as u64);
                step.replace(Quota::ApiKeys, keys[0], keys[1]);
                tally.apply(position, &step);
            }
            Some(IdentityChange::User { before, after }) => {
                let mut step = Step::default();
                let sessions = [before, after].map(|user| user.sessions.len() as u64);
                step.replace(Quota::Sessions, sessions[0], sessions[1]);
                for org in identity::all_orgs_of(&store, &after.user_id)? {
                    let tally = self.org(&org)?;
                    tally.settles.push(settles);
                    tally.apply(position, &step);
                }
            }
            Some(IdentityChange::Org { after, .. }) => {
                let org = stream.as_str().split('/').nth(1).unwrap_or_default();
                let step = memberships(&store, org, change.body)?;
                let is_about_limits =
                    |event: &Event| matches!(event, Event::Org(OrgEvent::QuotasSet { .. }));
                let tally = self.org(org)?;
                tally.apply(position, &step);
                if change.body.events.iter().any(is_about_limits) {
                    tally.own_limits = Some(after.own_limits.clone());
                }
            }
            None => {}
        }
        Ok(())
    }

    /// The rows to write ahead of all others, and what to tell once those are written too.
    pub(super) fn finish(self) -> (Vec<Write>, Vec<Shown>) {
        let (mut writes, mut shown) = (Vec::new(), Vec::new());
        for (org, tally) in self.orgs {
            if tally.moved {
                writes.push((org_key(&org), Some(encoded(&tally.row))));
            }
            let moved = tally.names.into_iter().filter(|(_, (_, moved))| *moved);
            let names: Vec<_> = moved
                .map(|((named, name), (row, _))| {
                    let value = (row.count > 0).then(|| encoded(&row));
                    writes.push((name_key(&org, named, &name), value));
                    (named, name, row.count)
                })
                .collect();
            shown.push(Shown {
                counts: tally.row.count,
                names,
                recounted: tally.recounted,
                settles: tally.settles,
                own_limits: tally.own_limits,
                org,
            });
        }
        (writes, shown)
    }

    fn org(&mut self, org: &str) -> Result<&mut OrgTally, StoreError> {
        if !self.orgs.contains_key(org) {
            let tally = OrgTally {
                row: read(&self.store, &org_key(org))?,
                moved: false,
                names: BTreeMap::new(),
                sizes: HashMap::new(),
                settles: Vec::new(),
                own_limits: None,
                recounted: false,
            };
            self.orgs.insert(org.to_owned(), tally);
        }
        // It was put there when it was not.
        self.orgs
            .get_mut(org)
            .ok_or(StoreError::Row(postcard::Error::SerdeDeCustom))
    }
}

impl OrgTally {
    fn apply(&mut self, position: Position, step: &Step) {
        if step.is_empty() || position <= self.row.position {
            return;
        }
        self.row.count.add_all(&step.more);
        self.row.count.take_all(&step.less);
        self.row.position = position;
        self.moved = true;
    }

    /// Counts one record more or less of a name. Returns how many different names that is, before and after: 0 or 1 each.
    fn move_name(
        &mut self,
        (store, org): (&Store, &str),
        position: Position,
        (named, name): (Named, &str),
        more: bool,
    ) -> Result<(u64, u64), StoreError> {
        let key = (named, name.to_owned());
        if !self.names.contains_key(&key) {
            let row = read(store, &name_key(org, named, name))?;
            self.names.insert(key.clone(), (row, false));
        }
        let Some((row, moved)) = self.names.get_mut(&key) else {
            return Ok((0, 0));
        };
        if position <= row.position {
            return Ok((0, 0));
        }
        let before = u64::from(row.count > 0);
        row.count = match more {
            true => row.count + 1,
            false => row.count.saturating_sub(1),
        };
        row.position = position;
        *moved = true;
        Ok((before, u64::from(row.count > 0)))
    }

    /// Counts the bytes of rows of content that come and go.
    fn move_content(
        &mut self,
        store: &Store,
        rows: &[Write],
        step: &mut Step,
    ) -> Result<(), StoreError> {
        for (key, value) in rows {
            let Some(promised) = contents::is_promise(key) else {
                continue;
            };
            let after = value
                .as_deref()
                .and_then(|value| contents::bytes_of(key, value));
            let before = match self.sizes.get(key) {
                Some(size) => *size,
                None => {
                    let row = store.get(key)?;
                    row.and_then(|row| contents::bytes_of(key, &row))
                }
            };
            let (from, to) = (before.unwrap_or_default(), after.unwrap_or_default());
            step.replace(Quota::ContentBytes, from, to);
            if promised {
                step.replace(Quota::PendingUploadBytes, from, to);
            }
            self.sizes.insert(key.clone(), after);
        }
        Ok(())
    }
}

/// What keeps counting as a record.
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

/// The container and the tags that get one record more, or lose one.
fn moved_names<'a>(
    name: RecordName<'a>,
    before: Option<&'a Record>,
    after: Option<&'a Record>,
) -> impl Iterator<Item = (Named, &'a str, bool)> {
    let container = (before.is_some() != after.is_some()).then_some((
        Named::Container,
        name.container,
        after.is_some(),
    ));
    let tags = |record: Option<&'a Record>| record.map_or(&[][..], |record| &record.tags);
    let (before, after) = (tags(before), tags(after));
    let moved = |tags: &'a [Tag], others: &'a [Tag], more| {
        let moved = tags.iter().filter(move |tag| !others.contains(tag));
        moved.map(move |tag| (Named::Tag, tag.as_str(), more))
    };
    container
        .into_iter()
        .chain(moved(after, before, true))
        .chain(moved(before, after, false))
}

/// The sessions that come to an org with its members, and leave with them.
fn memberships(store: &Store, org: &str, body: &Body) -> Result<Step, StoreError> {
    let mut step = Step::default();
    let (mut joined, mut left) = (BTreeSet::new(), BTreeSet::new());
    for event in &body.events {
        let (user_id, role): (_, Option<MemberRole>) = match event {
            Event::Org(OrgEvent::MemberAdded { user_id, role }) => (user_id, Some(*role)),
            Event::Org(OrgEvent::MemberRemoved { user_id }) => (user_id, None),
            _ => continue,
        };
        let was = !left.contains(user_id)
            && (joined.contains(user_id) || identity::member(store, org, user_id)?.is_some());
        if was == role.is_some() {
            continue;
        }
        let sessions = identity::user(store, user_id)?.sessions.len() as u64;
        match role {
            Some(_) => {
                step.more.add(Quota::Sessions, sessions);
                left.remove(user_id);
                joined.insert(user_id);
            }
            None => {
                step.less.add(Quota::Sessions, sessions);
                joined.remove(user_id);
                left.insert(user_id);
            }
        }
    }
    Ok(step)
}
