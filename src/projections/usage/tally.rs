//! What a group of entries moves of the counts of orgs, and the rows to write for it.

use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::{
    Named, Row, Shown, current_bytes, encoded, is_live, is_named, name_key, org_key, read,
};
use crate::domain::org::{MemberRole, OrgEvent};
use crate::domain::quota::{Counts, OwnLimits, Quota};
use crate::domain::record::{Record, Status};
use crate::domain::{Event, Tag};
use crate::journal::{Body, Position};
use crate::projections::identity::IdentityChange;
use crate::projections::list::{self, range_base};
use crate::projections::{
    Change, RecordChange, RecordName, StateChange, Store, StoreError, Write, contents, identity,
};

/// Names kept in memory that have rows; past it they are forgotten and read again.
const PRESENT_MAX: usize = 16_384;

/// Names that are known to have rows, by these rows' keys: a name that is there already is not read. One writer has it.
#[derive(Clone, Default)]
pub(in crate::projections) struct Present(Arc<Mutex<HashSet<Box<[u8]>, RandomState>>>);

impl Present {
    fn with<T>(&self, work: impl FnOnce(&mut HashSet<Box<[u8]>, RandomState>) -> T) -> T {
        // Whatever it lacks is read.
        work(&mut self.0.lock())
    }

    fn has(&self, key: &[u8]) -> bool {
        self.with(|keys| keys.contains(key))
    }

    fn note(&self, key: &[u8], present: bool) {
        self.with(|keys| {
            if !present {
                keys.remove(key);
            } else if !keys.contains(key) {
                if keys.len() >= PRESENT_MAX {
                    keys.clear();
                }
                keys.insert(key.into());
            }
        });
    }

    fn forget(&self) {
        self.with(HashSet::clear);
    }
}

/// The changes of one org's counts by an entry.
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

/// Whether a record has a name: as the org's row counts it, and after the group.
type Has = (bool, bool);

/// The changes of one name by a group.
#[derive(Default)]
struct Touched {
    /// The records that got it or lost it, by a keyed hash of their names. Two that are equal by chance are as unlikely as
    /// any of 2^64.
    records: HashMap<u64, Has, RandomState>,
    /// Whether the org's row counts this entry already: it is applied again, and the name's own row may not contain it.
    again: bool,
}

/// The counts of one org as a group of entries moves them.
#[derive(Default)]
pub(super) struct OrgTally {
    row: Row<Counts>,
    /// The position of the row that was read.
    base: Position,
    moved: bool,
    names: [HashMap<Box<str>, Touched, RandomState>; 2],
    /// Sizes of rows of content that the group has written, by key; `None` for one that it removed.
    sizes: HashMap<Vec<u8>, Option<u64>>,
    /// The keys of reservations that the entries settle.
    settles: Vec<u64>,
    own_limits: Option<OwnLimits>,
    recounted: bool,
}

/// The counts as a group of entries moves them, by org.
pub(in crate::projections) struct Tally {
    pub(super) store: Store,
    pub(super) orgs: HashMap<String, OrgTally, RandomState>,
    present: Present,
    hasher: RandomState,
}

impl Tally {
    /// A tally before the first entry.
    pub(in crate::projections) fn new(store: &Store, present: &Present) -> Self {
        Self {
            store: store.clone(),
            orgs: HashMap::default(),
            present: present.clone(),
            hasher: RandomState::default(),
        }
    }

    /// Takes the change of a record in.
    ///
    /// # Errors
    /// [`StoreError`] when a row cannot be read or decoded.
    pub(in crate::projections) fn record(
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
        let reservations = self.store.reservations();
        let settles = reservations.key(body.stream.as_str(), body.version);
        let record = record_hash(&self.hasher, name.container, name.record_id);
        let (store, tally) = self.org(name.org)?;
        tally.settles.push(settles);
        let mut step = Step::default();
        let (was, is) = (before.filter(|before| is_live(before)), is_live(after));
        step.replace(Quota::Records, u64::from(was.is_some()), u64::from(is));
        step.replace(
            Quota::ContentBytes,
            before.map_or(0, current_bytes),
            current_bytes(after),
        );
        for (named, text, more) in moved_names(name, was, Some(after).filter(|_| is)) {
            tally.touch(position, (named, text), record, more);
        }
        tally.move_content(store, content_rows, &mut step)?;
        tally.apply(position, &step);
        Ok(())
    }

    /// Takes everything else in that an entry did.
    ///
    /// # Errors
    /// [`StoreError`] when a row cannot be read or decoded.
    pub(in crate::projections) fn other(
        &mut self,
        change: &Change<'_>,
        content_rows: &[Write],
    ) -> Result<(), StoreError> {
        let (position, stream) = (change.entry.header.position, &change.body.stream);
        let store = self.store.clone();
        if let Some((org, _)) = contents::container_of(stream)
            && !content_rows.is_empty()
        {
            let (_, tally) = self.org(org)?;
            let mut step = Step::default();
            tally.move_content(&store, content_rows, &mut step)?;
            tally.apply(position, &step);
        }
        let settles = store
            .reservations()
            .key(stream.as_str(), change.body.version);
        let StateChange::Identity(identity) = &change.state else {
            return Ok(());
        };
        match &**identity {
            IdentityChange::Account { org, before, after } => {
                let (_, tally) = self.org(org)?;
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
            IdentityChange::User { before, after } => {
                let mut step = Step::default();
                let sessions = [before, after].map(|user| user.sessions.len() as u64);
                step.replace(Quota::Sessions, sessions[0], sessions[1]);
                for org in identity::all_orgs_of(&store, &after.user_id)? {
                    let (_, tally) = self.org(&org)?;
                    tally.settles.push(settles);
                    tally.apply(position, &step);
                }
            }
            IdentityChange::Org { after, .. } => {
                let org = stream.as_str().split('/').nth(1).unwrap_or_default();
                let step = memberships(&store, org, change.body)?;
                let is_about_limits =
                    |event: &Event| matches!(event, Event::Org(OrgEvent::QuotasSet { .. }));
                let (_, tally) = self.org(org)?;
                tally.apply(position, &step);
                if change.body.events.iter().any(is_about_limits) {
                    tally.own_limits = Some(after.own_limits.clone());
                }
            }
        }
        Ok(())
    }

    /// The rows to write before all others, and what to report once those are written too.
    ///
    /// # Errors
    /// [`StoreError`] when a read fails.
    pub(in crate::projections) fn finish(self) -> Result<(Vec<Write>, Vec<Shown>), StoreError> {
        let (mut writes, mut all) = (Vec::new(), Vec::new());
        for (org, mut tally) in self.orgs {
            let mut of_names = Vec::new();
            let mut shown = Vec::new();
            for named in Named::ALL {
                let names = std::mem::take(&mut tally.names[named as usize]);
                for (name, touched) in names {
                    let place = Name {
                        store: &self.store,
                        hasher: &self.hasher,
                        org: &org,
                        named,
                        name: &name,
                    };
                    let [before, after] = touched.settle(&place, &self.present, &mut of_names)?;
                    if before != after {
                        let counts = &mut tally.row.count;
                        counts.replace(named.quota(), u64::from(before), u64::from(after));
                        tally.moved = true;
                        shown.push((named, name, after));
                    }
                }
            }
            if tally.recounted {
                self.present.forget();
            }
            if tally.moved {
                writes.push((org_key(&org), Some(encoded(&tally.row))));
            }
            writes.append(&mut of_names);
            all.push(Shown {
                counts: tally.row.count,
                names: shown,
                recounted: tally.recounted,
                settles: tally.settles,
                own_limits: tally.own_limits,
                org,
            });
        }
        Ok((writes, all))
    }

    /// One org's counts, and the store to read from.
    fn org(&mut self, org: &str) -> Result<(&Store, &mut OrgTally), StoreError> {
        if !self.orgs.contains_key(org) {
            let row: Row<Counts> = read(&self.store, &org_key(org))?;
            let tally = OrgTally {
                base: row.position,
                row,
                ..OrgTally::default()
            };
            self.orgs.insert(org.to_owned(), tally);
        }
        // It was put there when it was not.
        let tally = self.orgs.get_mut(org);
        let tally = tally.ok_or(StoreError::Row(postcard::Error::SerdeDeCustom))?;
        Ok((&self.store, tally))
    }
}

fn record_hash(hasher: &RandomState, container: &str, record_id: &str) -> u64 {
    hasher.hash_one((container, record_id))
}

/// A name whose rows are read.
struct Name<'a> {
    store: &'a Store,
    hasher: &'a RandomState,
    org: &'a str,
    named: Named,
    name: &'a str,
}

impl Name<'_> {
    /// Whether the lists show a record with it that is not doomed, besides some.
    fn is_of_another(&self, records: &HashMap<u64, Has, RandomState>) -> Result<bool, StoreError> {
        let (prefix, facet, container) = match self.named {
            Named::Container => (list::LIST, "", self.name),
            Named::Tag => (list::TAGS, self.name, ""),
        };
        for status in [Status::Active, Status::PendingUpload] {
            let mut base = range_base(prefix, self.org, facet, status);
            let place = base.len();
            base.extend_from_slice(container.as_bytes());
            if !container.is_empty() {
                base.push(0);
            }
            for row in self.store.scan(base.clone(), &base) {
                let (key, _) = row?;
                let text = std::str::from_utf8(key.get(place..).unwrap_or_default());
                let of = text.ok().and_then(|text| text.split_once('\0'));
                let record = of.map(|(container, id)| record_hash(self.hasher, container, id));
                if record.is_some_and(|record| !records.contains_key(&record)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

impl Touched {
    /// Whether there is a record with the name: as the org's row counts it, and after the group. Writes the name's row when
    /// it is added or removed.
    fn settle(
        &self,
        name: &Name<'_>,
        present: &Present,
        writes: &mut Vec<Write>,
    ) -> Result<[bool; 2], StoreError> {
        let had = self.records.values().any(|(had, _)| *had);
        let has = self.records.values().any(|(_, has)| *has);
        let key = name_key(name.org, name.named, name.name);
        if has && present.has(&key) && !self.again {
            return Ok([true, true]);
        }
        let mut others = None;
        let mut is_of_another = || match others {
            Some(known) => Ok(known),
            None => {
                let found = name.is_of_another(&self.records);
                found.inspect(|found| others = Some(*found))
            }
        };
        let row = is_named(name.store, name.org, name.named, name.name)?;
        let before = had || if self.again { is_of_another()? } else { row };
        let after = has || is_of_another()?;
        if row != after {
            writes.push((key.clone(), after.then(Vec::new)));
        }
        present.note(&key, after);
        Ok([before, after])
    }
}

impl OrgTally {
    /// An org that was counted again, with nothing moved since.
    pub(super) fn recounted(row: Row<Counts>, own_limits: OwnLimits) -> Self {
        Self {
            row,
            own_limits: Some(own_limits),
            recounted: true,
            ..Self::default()
        }
    }

    fn apply(&mut self, position: Position, step: &Step) {
        if step.is_empty() || position <= self.base {
            return;
        }
        self.row.count.add_all(&step.more);
        self.row.count.take_all(&step.less);
        self.row.position = position;
        self.moved = true;
    }

    /// Notes that a record gets a name with an entry, or loses it.
    fn touch(&mut self, position: Position, (named, name): (Named, &str), record: u64, gets: bool) {
        let names = &mut self.names[named as usize];
        if !names.contains_key(name) {
            names.insert(name.into(), Touched::default());
        }
        let Some(touched) = names.get_mut(name) else {
            return;
        };
        let counted = position <= self.base;
        touched.again |= counted;
        if !counted {
            // Also when the count stays: which entries go with which in a group must not be seen in the row.
            self.row.position = self.row.position.max(position);
            self.moved = true;
        }
        let first = if counted { gets } else { !gets };
        let has = touched.records.entry(record).or_insert((first, gets));
        if counted {
            has.0 = gets;
        }
        has.1 = gets;
    }

    /// Counts the bytes of rows of content that are added or removed.
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
