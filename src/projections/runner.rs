//! Keeps the projections up with the journal: live as the journal's sink, and by replay at start.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Weak;

use super::store::{Directories, Row};
use super::{
    Change, Projection, RecordChange, RecordName, Store, StoreError, Write, all, contents,
    identity, offboarding, ops, record_events, records, restore,
};
use crate::domain::container::ContainerEvent;
use crate::domain::hold::LegalHolds;
use crate::domain::org::{Org, OrgDecider};
use crate::domain::record::{Record, RecordDecider, RecordKey, Slot};
use crate::domain::repair::{Repair, RepairAction};
use crate::domain::{Decider, Event, Occurrence, OrgCode, StreamId, Timestamp};
use crate::journal::{Body, Entry, Journal, Position, Sink};

/// Entries read from the journal at a time during replay.
const REPLAY_ENTRIES: usize = 1_000;

/// Applies entries to one generation of the projections.
pub struct Runner {
    store: Store,
    projections: Vec<Box<dyn Projection>>,
    writes: Vec<Write>,
    /// Where a repair reads what a record's rows must be.
    journal: Option<Weak<dyn Journal>>,
    /// The positions of inline contents that ended with the group shown last.
    ended: Vec<Position>,
}

/// What a rebuild found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Entries replayed.
    pub entries: u64,
    /// Rows of the new generation.
    pub rows: u64,
    /// Rows in which the old generation differed, for projections whose version is the same in both and when the old
    /// one had seen the whole journal; `None` when there was nothing to compare with.
    pub differing: Option<u64>,
}

/// Called with entries done and entries there are.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

impl Runner {
    /// A runner over a generation.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            projections: all(),
            writes: Vec::new(),
            journal: None,
            ended: Vec::new(),
        }
    }

    /// The same with the journal that it will be attached to, so that it can mend rows while it is attached.
    pub fn reading(mut self, journal: Weak<dyn Journal>) -> Self {
        self.journal = Some(journal);
        self
    }

    /// The generation it writes to.
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// Applies what the journal has and the projections have not.
    ///
    /// # Errors
    /// A failed read or write.
    pub fn catch_up(
        &mut self,
        journal: &dyn Journal,
        progress: Progress<'_>,
    ) -> Result<u64, StoreError> {
        let head = journal.head().position;
        let from = self.store.checkpoint()?;
        let mut done = from;
        while done < head {
            let group = journal.read(done + 1, REPLAY_ENTRIES)?;
            let Some(last) = group.last().map(|entry| entry.header.position) else {
                break;
            };
            self.apply_group(&group, Some(journal))?;
            done = last;
            progress(done, head);
        }
        Ok(done - from)
    }

    fn apply_group(
        &mut self,
        group: &[Entry],
        journal: Option<&dyn Journal>,
    ) -> Result<(), StoreError> {
        // Records this group has touched, so that one record changed often is decoded once.
        let mut touched = HashMap::new();
        for entry in group {
            if let Some(body) = &entry.body {
                self.apply_entry(entry, body, &mut touched, journal)?;
            }
        }
        match group.last() {
            Some(last) => self.store.set_checkpoint(last.header.position),
            None => Ok(()),
        }
    }

    fn apply_entry<'a>(
        &mut self,
        entry: &Entry,
        body: &'a Body,
        touched: &mut HashMap<&'a str, Option<Record>>,
        journal: Option<&dyn Journal>,
    ) -> Result<(), StoreError> {
        let stream = body.stream.as_str();
        let mut after = None;
        let mut before = None;
        if let (Some(name), Some(key)) = (RecordName::of_stream(stream), body.stream.record_key()) {
            before = match touched.remove(stream) {
                Some(record) => record,
                None => records::find(&self.store, name)?,
            };
            let seen = before
                .as_ref()
                .is_some_and(|record| record.revision.0 >= body.version);
            if seen {
                // A crash came between this row and the checkpoint. The row is written last, so all that is derived
                // from the record is there; what is not goes in again, so that the last entry has the last word.
                touched.insert(stream, before);
                return self.write(&Change {
                    entry,
                    body,
                    record: None,
                    ops: None,
                    identity: None,
                    passage: None,
                    given_up: Vec::new(),
                });
            }
            if let (Some(journal), true) = (journal, body.version > 1) {
                before = before_in_journal(journal, &key, before, body)?;
            }
            after = evolve_entry(key, before.clone(), entry, body);
        }
        let change = Change {
            entry,
            body,
            record: after
                .as_ref()
                .zip(RecordName::of_stream(stream))
                .map(|(after, name)| RecordChange {
                    name,
                    before: before.as_ref(),
                    after,
                }),
            ops: ops::after(&self.store, entry, body)?,
            identity: identity::after(&self.store, entry, body)?,
            passage: offboarding::after(&self.store, entry, body)?,
            given_up: contents::given_up(&self.store, body)?,
        };
        self.write(&change)?;
        if let (Some(before), Some(after), None) = (&before, &after, journal) {
            self.ended.extend(contents::ended_inline(before, after));
        }
        if after.is_some() {
            touched.insert(stream, after);
        }
        if let Some((org, container)) = contents::container_of(&body.stream)
            && mends_rows(body)
        {
            // Their rows may be others now.
            touched.clear();
            let attached = self.journal.as_ref().and_then(Weak::upgrade);
            if let Some(journal) = journal.or(attached.as_deref()) {
                self.mend(journal, (org, container), (entry, body))?;
            }
        }
        Ok(())
    }

    /// Makes the rows of the records that a repair names again.
    fn mend(
        &self,
        journal: &dyn Journal,
        (org, container): (&str, &str),
        (entry, body): (&Entry, &Body),
    ) -> Result<(), StoreError> {
        for repair in repairs(body).filter(|repair| is_of_rows(repair)) {
            let name = repair.record_id.as_deref().unwrap_or_default();
            let rows = repair.rows.iter().filter_map(|row| hex::decode(row).ok());
            // The event may have been imported: it is about rows of its own container alone.
            let rows: Vec<_> = rows
                .filter(|row| restore::is_within(row, (org, container)))
                .collect();
            let stream = StreamId::named(&format!("mrs/{org}/{container}/{name}"));
            let Some(key) = stream.record_key() else {
                // A row of a name that no record can have.
                restore::remove(&self.store, &rows)?;
                continue;
            };
            let until = entry.header.position;
            let record = record_until(journal, &key, until);
            let restored = record
                .and_then(|record| restore::restore(&self.store, &key, record.as_ref(), &rows));
            match restored {
                // The damage of a stream is the journal's to tell; its record's rows stay as they are.
                Err(StoreError::Journal(_)) => {}
                done => done?,
            }
        }
        Ok(())
    }
}

fn repairs(body: &Body) -> impl Iterator<Item = &Repair> {
    let repairs = body.events.iter().filter_map(|event| {
        if let Event::Container(ContainerEvent::Repaired { repairs }) = event {
            Some(repairs)
        } else {
            None
        }
    });
    repairs.flatten()
}

fn is_of_rows(repair: &Repair) -> bool {
    matches!(
        repair.action,
        RepairAction::RowsRestored | RepairAction::RowsRemoved
    )
}

fn mends_rows(body: &Body) -> bool {
    repairs(body).any(is_of_rows)
}

impl Runner {
    fn write(&mut self, change: &Change<'_>) -> Result<(), StoreError> {
        for projection in &self.projections {
            projection.apply(change, &mut self.writes);
        }
        self.store.write(&mut self.writes)
    }
}

impl Sink for Runner {
    fn apply(&mut self, group: &[Entry]) -> Result<(), String> {
        self.ended.clear();
        self.apply_group(group, None)
            .map_err(|error| error.to_string())
    }

    fn take_ended(&mut self) -> Vec<Position> {
        std::mem::take(&mut self.ended)
    }
}

/// The record an entry leads to.
pub fn evolve_entry(
    key: RecordKey,
    before: Option<Record>,
    entry: &Entry,
    body: &Body,
) -> Option<Record> {
    let occurrence = Occurrence {
        at: body.origin.at,
        by: &body.origin.by,
        position: entry.header.position,
        version: body.version,
    };
    let slot = Slot {
        key,
        record: before,
        legal: None,
    };
    record_events(body)
        .fold(slot, |slot, event| {
            RecordDecider::evolve(slot, event, occurrence)
        })
        .record
}

/// The record just before an entry; read from its stream when the row is not exactly that.
fn before_in_journal(
    journal: &dyn Journal,
    key: &RecordKey,
    row: Option<Record>,
    body: &Body,
) -> Result<Option<Record>, StoreError> {
    match row {
        Some(record) if record.revision.0 + 1 == body.version => Ok(Some(record)),
        Some(_) | None => record_at(journal, key, body.version - 1),
    }
}

/// A record as of a version of its stream.
///
/// # Errors
/// A failed read.
pub fn record_at(
    journal: &dyn Journal,
    key: &RecordKey,
    version: u64,
) -> Result<Option<Record>, StoreError> {
    record_when(journal, key, |body| body.version <= version)
}

/// A record after the last entry of its stream that counts, reading no further than the first that does not.
///
/// # Errors
/// A failed read.
pub fn record_when(
    journal: &dyn Journal,
    key: &RecordKey,
    counts: impl Fn(&Body) -> bool,
) -> Result<Option<Record>, StoreError> {
    let mut last = None;
    fold_record(journal, key, |body, record| {
        let go_on = counts(body);
        if go_on {
            last = Some(record.clone());
        }
        go_on
    })?;
    Ok(last)
}

/// Folds a record's stream from its beginning and shows each entry with the record it led to, until told to stop.
///
/// # Errors
/// A failed read.
pub fn fold_record(
    journal: &dyn Journal,
    key: &RecordKey,
    mut visit: impl FnMut(&Body, &Record) -> bool,
) -> Result<(), StoreError> {
    fold_entries(journal, key, |_, body, record| visit(body, record))
}

/// The record as the entries of its stream up to a position made it.
///
/// # Errors
/// A failed read.
pub(super) fn record_until(
    journal: &dyn Journal,
    key: &RecordKey,
    until: Position,
) -> Result<Option<Record>, StoreError> {
    let mut last = None;
    fold_entries(journal, key, |entry, _, record| {
        let go_on = entry.header.position <= until;
        if go_on {
            last = Some(record.clone());
        }
        go_on
    })?;
    Ok(last)
}

fn fold_entries(
    journal: &dyn Journal,
    key: &RecordKey,
    mut visit: impl FnMut(&Entry, &Body, &Record) -> bool,
) -> Result<(), StoreError> {
    let stream = StreamId::record(key);
    let mut record = None;
    let mut from = 1;
    loop {
        let entries = journal.stream(&stream, from, REPLAY_ENTRIES)?;
        // Entries may have been erased since, and then none of the stream is left to read.
        if entries.iter().all(|entry| entry.body.is_none()) {
            return Ok(());
        }
        for entry in &entries {
            let Some(body) = &entry.body else { continue };
            from = body.version + 1;
            record = evolve_entry(key.clone(), record, entry, body);
            if let Some(record) = &record
                && !visit(entry, body, record)
            {
                return Ok(());
            }
        }
    }
}

/// The legal holds on an org as of a time, from its stream.
///
/// # Errors
/// A failed read.
pub fn holds_when(
    journal: &dyn Journal,
    org: &OrgCode,
    at: Timestamp,
) -> Result<LegalHolds, StoreError> {
    let stream = StreamId::org(org);
    let (mut state, mut from) = (Org::default(), 1);
    loop {
        let entries = journal.stream(&stream, from, REPLAY_ENTRIES)?;
        if entries.is_empty() {
            return Ok(state.holds);
        }
        from += entries.len() as u64;
        for entry in &entries {
            let Some(body) = &entry.body else { continue };
            if body.origin.at > at {
                return Ok(state.holds);
            }
            let occurrence = Occurrence {
                at: body.origin.at,
                by: &body.origin.by,
                position: entry.header.position,
                version: body.version,
            };
            for event in &body.events {
                if let Event::Org(event) = event {
                    state = OrgDecider::evolve(state, event, occurrence);
                }
            }
        }
    }
}

/// Names the versions of all projections; a generation with another manifest is rebuilt.
pub fn manifest() -> String {
    let names: Vec<_> = all()
        .iter()
        .map(|projection| format!("{}@{}", projection.name(), projection.version()))
        .collect();
    names.join(" ")
}

/// Opens the projections of a directory and brings them up to the journal, building them anew when they were built
/// with other versions or cannot be opened. What was done beyond that is said in the notices.
///
/// # Errors
/// A failed read or write.
pub fn open(
    directory: &Path,
    cache_bytes: u64,
    journal: &dyn Journal,
    notices: &mut Vec<String>,
    progress: Progress<'_>,
) -> Result<Runner, StoreError> {
    let directories = Directories::new(directory);
    directories.clear_next()?;
    let fresh = !directories.current().exists();
    let opened = Store::open(&directories.current(), cache_bytes).and_then(|store| {
        let (found, checkpoint) = (store.manifest()?, store.checkpoint()?);
        Ok((store, found, checkpoint))
    });
    match opened {
        Ok((store, found, _)) if fresh || found.is_empty() => {
            store.set_manifest(&manifest())?;
            caught_up(store, journal, progress)
        }
        Ok((store, found, checkpoint))
            if found == manifest() && checkpoint <= journal.head().position =>
        {
            caught_up(store, journal, progress)
        }
        Ok((store, found, checkpoint)) => {
            notices.push(format!(
                "the projections were built as {found:?} up to position {checkpoint}; building them anew"
            ));
            drop(store);
            rebuild(directory, cache_bytes, journal, progress)?;
            Ok(Runner::new(Store::open(
                &directories.current(),
                cache_bytes,
            )?))
        }
        Err(error) => {
            notices.push(format!("{error}; building the projections anew"));
            rebuild(directory, cache_bytes, journal, progress)?;
            Ok(Runner::new(Store::open(
                &directories.current(),
                cache_bytes,
            )?))
        }
    }
}

fn caught_up(
    store: Store,
    journal: &dyn Journal,
    progress: Progress<'_>,
) -> Result<Runner, StoreError> {
    let mut runner = Runner::new(store);
    runner.catch_up(journal, progress)?;
    Ok(runner)
}

/// Builds the projections anew beside the ones in use, compares the two where they should be equal, and swaps them.
/// The projections must not be open.
///
/// # Errors
/// A failed read or write; the ones in use stay as they were.
pub fn rebuild(
    directory: &Path,
    cache_bytes: u64,
    journal: &dyn Journal,
    progress: Progress<'_>,
) -> Result<Rebuilt, StoreError> {
    let directories = Directories::new(directory);
    directories.clear_next()?;
    let store = Store::open(&directories.next(), cache_bytes)?;
    store.set_manifest(&manifest())?;
    let mut runner = Runner::new(store.clone());
    let mut rebuilt = Rebuilt {
        entries: runner.catch_up(journal, progress)?,
        ..Rebuilt::default()
    };
    rebuilt.differing = compare(&directories, cache_bytes, &store)?;
    for row in store.rows() {
        row?;
        rebuilt.rows += 1;
    }
    store.flush()?;
    drop((runner, store));
    directories.swap()?;
    Ok(rebuilt)
}

/// Counts the rows in which the generation in use differs from a new one.
fn compare(
    directories: &Directories,
    cache_bytes: u64,
    new: &Store,
) -> Result<Option<u64>, StoreError> {
    if !directories.current().exists() {
        return Ok(None);
    }
    let Ok(old) = Store::open(&directories.current(), cache_bytes) else {
        return Ok(None);
    };
    if old.checkpoint()? != new.checkpoint()? {
        return Ok(None);
    }
    let found = old.manifest()?;
    let same: Vec<u8> = all()
        .iter()
        .filter(|projection| {
            let name = format!("{}@{}", projection.name(), projection.version());
            found.split(' ').any(|found| found == name)
        })
        .map(|projection| projection.prefix())
        .collect();
    differing_rows(&old, new, &same).map(Some)
}

/// Counts the rows that two generations do not have in common, among the projections with these prefixes.
///
/// # Errors
/// A failed read.
pub fn differing_rows(old: &Store, new: &Store, prefixes: &[u8]) -> Result<u64, StoreError> {
    let counts = |row: &Row| row.0.first().is_some_and(|first| prefixes.contains(first));
    let mut old = old
        .rows()
        .filter(|row| row.as_ref().map_or(true, counts))
        .peekable();
    let mut new = new
        .rows()
        .filter(|row| row.as_ref().map_or(true, counts))
        .peekable();
    let mut differing = 0;
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return Ok(differing),
            (Some(Ok(a)), Some(Ok(b))) => a.cmp(b),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(Err(_)), _) => std::cmp::Ordering::Less,
            (_, Some(Err(_))) => std::cmp::Ordering::Greater,
        };
        differing += u64::from(order.is_ne());
        if order.is_le() {
            old.next().transpose()?;
        }
        if order.is_ge() {
            new.next().transpose()?;
        }
    }
}

/// The prefixes of all projections.
pub fn prefixes() -> Vec<u8> {
    all().iter().map(|projection| projection.prefix()).collect()
}
