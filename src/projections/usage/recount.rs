//! Counts an org again once a vacuum has removed rows that were counted.

use std::collections::BTreeSet;

use super::tally::OrgTally;
use super::{
    Named, PREFIX, Row, Tally, current_bytes, encoded, is_live, name_key, names as usage_names,
    org_key,
};
use crate::domain::Event;
use crate::domain::quota::{Counts, Quota};
use crate::domain::vacuum::{Scope, Step, VacuumEvent, Vacuums};
use crate::journal::Position;
use crate::projections::ops::OpsState;
use crate::projections::{
    Change, StateChange, Store, StoreError, Write, contents, identity, records,
};

/// The orgs whose rows a vacuum has removed with an entry, to be counted again with it; none for other entries.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub(in crate::projections) fn recounted(
    store: &Store,
    change: &Change<'_>,
) -> Result<BTreeSet<String>, StoreError> {
    let mut orgs = BTreeSet::new();
    let Some(vacuums) = vacuums_of(change) else {
        return Ok(orgs);
    };
    for event in &change.body.events {
        if let Event::Vacuum(VacuumEvent::StepDone { vacuum_id, step }) = event
            && *step == Step::Projections
            && let Some(vacuum) = vacuums.find(vacuum_id)
        {
            match &vacuum.scope {
                Scope::Org(org) => {
                    orgs.insert(org.as_str().to_owned());
                }
                // The sessions were closed and the memberships ended by events of their own: see `restamped`.
                Scope::User(_) => {}
                Scope::All => {
                    orgs.extend(all_orgs(store)?);
                    // Those that have no rows any more have no counts and limits in memory either.
                    orgs.extend(store.reservations().known_orgs());
                }
            }
        }
    }
    Ok(orgs)
}

fn vacuums_of<'a>(change: &'a Change<'_>) -> Option<&'a Vacuums> {
    let StateChange::Operators(state) = &change.state else {
        return None;
    };
    let OpsState::Vacuums(vacuums) = &**state else {
        return None;
    };
    Some(vacuums)
}

/// The counters' rows once a user was erased, with the position of the entry that says so; none for other entries.
///
/// The moves of the user's sessions do not exist in projections that are rebuilt without them: the counts are the same,
/// and the positions of the last move are not. There, a row that counts nothing was never written.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub(in crate::projections) fn restamped(
    store: &Store,
    change: &Change<'_>,
) -> Result<Vec<Write>, StoreError> {
    let Some(vacuums) = vacuums_of(change) else {
        return Ok(Vec::new());
    };
    let erases_a_user = |event: &Event| {
        matches!(event, Event::Vacuum(VacuumEvent::StepDone { vacuum_id, step: Step::Projections })
            if vacuums.find(vacuum_id).is_some_and(|vacuum| vacuum.scope.user_id().is_some()))
    };
    if !change.body.events.iter().any(erases_a_user) {
        return Ok(Vec::new());
    }
    let prefix = vec![PREFIX, super::ORG];
    let rows = store.scan(prefix.clone(), &prefix).map(|row| {
        let (key, value) = row?;
        let mut row: Row<Counts> = postcard::from_bytes(&value)?;
        row.position = change.entry.header.position;
        let counts = (!row.count.is_empty()).then(|| encoded(&row));
        Ok((key.to_vec(), counts))
    });
    rows.collect()
}

/// Every org that anything is counted of.
fn all_orgs(store: &Store) -> Result<BTreeSet<String>, StoreError> {
    let mut orgs = BTreeSet::new();
    let prefixes = [
        vec![PREFIX, super::ORG],
        vec![records::PREFIX],
        identity::accounts_prefix(),
        identity::members_prefix(),
    ];
    for prefix in prefixes {
        let mut from = prefix.clone();
        while let Some((key, _)) = store.scan(prefix.clone(), &from).next().transpose()? {
            let rest = key.get(prefix.len()..).unwrap_or_default();
            let org = rest.split(|byte| *byte == 0).next().unwrap_or_default();
            // After all rows of this org: no code contains the byte 1.
            from = [&prefix, org, &[1]].concat();
            orgs.extend(std::str::from_utf8(org).map(str::to_owned));
        }
    }
    Ok(orgs)
}

impl Tally {
    /// Counts an org by its current rows, as of an entry. Returns the counters' rows that differ.
    ///
    /// # Errors
    /// [`StoreError`] when a row cannot be read or decoded.
    pub(in crate::projections) fn recount(
        &mut self,
        org: &str,
        position: Position,
    ) -> Result<Vec<Write>, StoreError> {
        let (counts, names) = count(&self.store, org)?;
        let mut writes = Vec::new();
        let row = Row {
            position,
            count: counts,
        };
        writes.push((org_key(org), (!counts.is_empty()).then(|| encoded(&row))));
        let had = usage_names(&self.store, org)?;
        for (named, name) in had.symmetric_difference(&names) {
            let is_there = names.contains(&(*named, name.clone()));
            let value = is_there.then(Vec::new);
            writes.push((name_key(org, *named, name), value));
        }
        let tally = OrgTally::recounted(row, identity::own_limits(&self.store, org)?);
        self.orgs.insert(org.to_owned(), tally);
        Ok(writes)
    }
}

/// Names that are counted.
pub type Names = BTreeSet<(Named, String)>;

/// What an org has by the rows of what is counted, with its containers and tags. Walks all of them.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn count(store: &Store, org: &str) -> Result<(Counts, Names), StoreError> {
    let (mut counts, mut names) = (Counts::default(), Names::new());
    for found in records::of_org(store, org) {
        let (container, record) = found?;
        counts.add(Quota::ContentBytes, current_bytes(&record));
        if !is_live(&record) {
            continue;
        }
        counts.add(Quota::Records, 1);
        names.insert((Named::Container, container));
        let tags = record.tags.iter().map(|tag| tag.as_str().to_owned());
        names.extend(tags.map(|name| (Named::Tag, name)));
    }
    for (named, _) in &names {
        counts.add(named.quota(), 1);
    }
    let bytes = contents::bytes_of_org(store, org)?;
    counts.add(Quota::ContentBytes, bytes.ended + bytes.promised);
    counts.add(Quota::PendingUploadBytes, bytes.promised);
    identity::count_of_org(store, org, &mut counts)?;
    Ok((counts, names))
}
