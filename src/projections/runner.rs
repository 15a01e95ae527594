//! Keeps the projections up with the journal: live as the journal's sink, and by replay at start.

use std::collections::HashMap;
use std::sync::Weak;

use super::as_of::{before_in_journal, evolve_entry, record_until};
use super::record_changed::RecordChanged;
use super::usage::{self, Present, Tally};
use super::{
    Change, Projection, RecordChange, RecordName, StateChange, Store, StoreError, Write, all,
    contents, identity, offboarding, ops, records, restore,
};
use crate::domain::container::ContainerEvent;
use crate::domain::record::Record;
use crate::domain::repair::{Repair, RepairAction};
use crate::domain::{Event, StreamId};
use crate::journal::erasures::Erasures;
use crate::journal::{Body, Entry, Journal, Position, Sink, SinkError};

/// Entries read from the journal at a time during replay.
const REPLAY_ENTRIES: usize = 1_000;
/// The manifest of projections that were built from a journal in which entries are erased that no event accounts for. It
/// matches no program's, so the next start rebuilds them.
const MISLED: &str = "from a damaged journal";

/// Applies entries to one generation of the projections.
pub struct Runner {
    store: Store,
    projections: Vec<Box<dyn Projection>>,
    writes: Vec<Write>,
    present: Present,
    /// Where a repair reads what a record's rows must be.
    journal: Option<Weak<dyn Journal>>,
}

/// The changes of records that are written together.
struct RecordGroup<'a> {
    changes: Vec<Taken<'a>>,
    /// Where the last change of a stream is among them.
    last: HashMap<&'a str, usize>,
    tally: Tally,
}

impl RecordGroup<'_> {
    fn new(store: &Store, present: &Present) -> Self {
        Self {
            changes: Vec::new(),
            last: HashMap::new(),
            tally: Tally::new(store, present),
        }
    }
}

/// A record before and after an entry.
struct Taken<'a> {
    entry: &'a Entry,
    body: &'a Body,
    name: RecordName<'a>,
    before: Option<Record>,
    after: Option<Record>,
}

impl Taken<'_> {
    /// The change as those who follow the org are told it, made if there are any.
    fn told(&self) -> Box<dyn FnOnce() -> RecordChanged + '_> {
        Box::new(|| RecordChanged::named(self.entry, self.body, self.name))
    }
}

/// What an entry that is not of a record does to the state of its stream.
fn state_change(
    store: &Store,
    entry: &Entry,
    body: &Body,
) -> Result<StateChange<'static>, StoreError> {
    if contents::container_of(&body.stream).is_some() {
        let expired = contents::expired_uploads(store, body)?;
        return Ok(StateChange::Container { expired });
    }
    if let Some(state) = ops::after(store, entry, body)? {
        return Ok(StateChange::Operators(Box::new(state)));
    }
    if let Some(change) = identity::after(store, entry, body)? {
        return Ok(StateChange::Identity(Box::new(change)));
    }
    let transfer = offboarding::after(store, entry, body)?;
    Ok(transfer.map_or(StateChange::None, |transfer| {
        StateChange::Transfer(Box::new(transfer))
    }))
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
            present: Present::default(),
            journal: None,
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
    /// [`StoreError`] when a read or write fails.
    pub fn catch_up(
        &mut self,
        journal: &dyn Journal,
        progress: Progress<'_>,
    ) -> Result<u64, StoreError> {
        let head = journal.head().position;
        let from = self.store.checkpoint()?;
        let mut done = from;
        let mut erasures = Erasures::from(from + 1);
        while done < head {
            let group = journal.read(done + 1, REPLAY_ENTRIES)?;
            let Some(last) = group.last().map(|entry| entry.header.position) else {
                break;
            };
            group.iter().for_each(|entry| erasures.take(entry));
            // Before the last checkpoint: an entry that was erased without an order must not look like one that never existed.
            if last >= head {
                let all = std::mem::replace(&mut erasures, Erasures::from(1));
                if let Err(damage) = all.finish().into_result() {
                    // The next start has to read all of the journal again and to find the same.
                    self.store.set_manifest(MISLED)?;
                    return Err(damage.into());
                }
            }
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
        let mut records = RecordGroup::new(&self.store, &self.present);
        self.writes.clear();
        // The last entry that was taken in and is not written yet.
        let mut taken = None;
        for entry in group {
            let position = entry.header.position;
            let body = entry.body.as_ref();
            let other = body.filter(|body| RecordName::of_stream(body.stream.as_str()).is_none());
            if let Some(body) = other {
                // It reads what those before it have written.
                if let Some(taken) = taken.take() {
                    self.write_records(&mut records, taken)?;
                }
                self.apply_other(entry, body, journal)?;
                continue;
            }
            if let Some(body) = body {
                self.take_record(entry, body, &mut records, journal)?;
            }
            taken = Some(position);
        }
        match taken {
            Some(last) => self.write_records(&mut records, last),
            None => Ok(()),
        }
    }

    /// Takes the change of a record in, which is written with others.
    fn take_record<'a>(
        &mut self,
        entry: &'a Entry,
        body: &'a Body,
        group: &mut RecordGroup<'a>,
        journal: Option<&dyn Journal>,
    ) -> Result<(), StoreError> {
        let stream = body.stream.as_str();
        let (Some(name), Some(key)) = (RecordName::of_stream(stream), body.stream.record_key())
        else {
            self.take(&Change::of_entry(entry, body));
            return Ok(());
        };
        // One that this group has touched is not read again.
        let mut before = match group.last.get(stream) {
            Some(number) => group.changes[*number].after.clone(),
            None => records::find(&self.store, name)?,
        };
        let seen = before
            .as_ref()
            .is_some_and(|record| record.revision.0 >= body.version);
        if seen {
            // A repair wrote the record as it is at a later entry. All that is derived from it is there; what is not is written
            // again, so that the last entry wins.
            self.take(&Change::of_entry(entry, body));
            return Ok(());
        }
        if let (Some(journal), true) = (journal, body.version > 1) {
            before = before_in_journal(journal, &key, before, body)?;
        }
        let after = evolve_entry(key, before.clone(), entry, body);
        if let Some(after) = &after {
            let change = RecordChange {
                name,
                before: before.as_ref(),
                after,
            };
            let rows = contents::rows_of(&change);
            let place = (entry.header.position, body);
            group.tally.record(place, &change, &rows)?;
            group.last.insert(stream, group.changes.len());
        }
        group.changes.push(Taken {
            entry,
            body,
            name,
            before,
            after,
        });
        Ok(())
    }

    /// Writes the counters of a group of records and all else of each of them, with the position of the last entry, in one
    /// batch. In it, what is derived from a record comes before its own row, which lists look up.
    fn write_records(
        &mut self,
        group: &mut RecordGroup<'_>,
        last: Position,
    ) -> Result<(), StoreError> {
        let taken = std::mem::replace(group, RecordGroup::new(&self.store, &self.present));
        let (mut counters, shown) = taken.tally.finish()?;
        self.writes.append(&mut counters);
        for Taken {
            entry,
            body,
            name,
            before,
            after,
        } in &taken.changes
        {
            let before = before.as_ref();
            let state = after.as_ref().map_or(StateChange::None, |after| {
                StateChange::Record(RecordChange {
                    name: *name,
                    before,
                    after,
                })
            });
            self.take(&Change { entry, body, state });
        }
        self.store.write_up_to(last, &mut self.writes)?;
        self.show(shown);
        let watchers = self.store.watchers();
        if watchers.count() > 0 {
            let changes = taken
                .changes
                .iter()
                .map(|taken| (taken.name.org, taken.told()));
            watchers.tell(changes, last);
        }
        Ok(())
    }

    /// Applies an entry that is not of a record.
    fn apply_other(
        &mut self,
        entry: &Entry,
        body: &Body,
        journal: Option<&dyn Journal>,
    ) -> Result<(), StoreError> {
        let change = Change {
            entry,
            body,
            state: state_change(&self.store, entry, body)?,
        };
        let mut tally = Tally::new(&self.store, &self.present);
        let mut rows = Vec::new();
        contents::Contents.apply(&change, &mut rows);
        tally.other(&change, &rows)?;
        let recounted = usage::recounted(&self.store, &change)?;
        let position = entry.header.position;
        for org in &recounted {
            self.writes.extend(tally.recount(org, position)?);
        }
        let (moved, shown) = tally.finish()?;
        self.writes.extend(moved);
        self.writes.extend(usage::restamped(&self.store, &change)?);
        self.take(&change);
        if !mends_rows(body) {
            self.store.write_up_to(position, &mut self.writes)?;
            self.show(shown);
            return Ok(());
        }
        // The rows that it mends follow, which reads those written so far.
        self.store.write(&mut self.writes)?;
        self.show(shown);
        if let Some((org, container)) = contents::container_of(&body.stream) {
            let attached = self.journal.as_ref().and_then(Weak::upgrade);
            if let Some(journal) = journal.or(attached.as_deref()) {
                self.repair(journal, (org, container), (entry, body))?;
            }
        }
        self.store.set_checkpoint(position)
    }

    fn show(&self, shown: Vec<usage::Shown>) {
        for shown in shown {
            self.store.reservations().show(shown);
        }
    }

    /// Makes the rows of the records that a repair names again.
    fn repair(
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
                // The journal reports the damage of a stream; its record's rows stay unchanged.
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
    /// Adds the rows of a change to those that are written next.
    fn take(&mut self, change: &Change<'_>) {
        for projection in &self.projections {
            projection.apply(change, &mut self.writes);
        }
    }
}

impl Sink for Runner {
    fn apply(&mut self, group: &[Entry]) -> Result<(), SinkError> {
        self.apply_group(group, None).map_err(SinkError::new)
    }
}
