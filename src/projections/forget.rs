//! What a vacuum covers among the projections' rows: how many there are, and rewriting everything without them.

use parking_lot::Mutex;
use std::sync::Arc;

use super::holds::{self, OrgHolds};
use super::identity::{self, Kind};
use super::{Projection, RecordName, Store, StoreError, all, contents, feed, records, usage};
use crate::clock::Pace;
use crate::domain::hold::Level;
use crate::domain::vacuum::Scope;
use crate::domain::{ContainerName, OrgCode, StreamId};
use crate::journal::Journal;

/// Rows read between two rests, some milliseconds' worth.
const ROWS_BETWEEN_RESTS: u64 = 1_024;

/// What a vacuum erases: its scope, of an org less what is held. A vacuum of everything does not run while there are holds,
/// unless an operator had it override them.
///
/// The caller has the scope closed to changes, so that the answers stay the same from the first step to the last, also
/// after a restart in between: what is held is never erased, and the holds themselves are held.
pub struct EffectiveScope {
    store: Store,
    scope: Scope,
    /// Holds of the last org: rows and entries of one org follow each other.
    last: Mutex<Option<(OrgCode, Arc<OrgHolds>)>>,
    failed: Mutex<Option<StoreError>>,
}

impl EffectiveScope {
    /// The reach of a vacuum with this scope.
    pub fn new(store: &Store, scope: &Scope) -> Self {
        Self {
            store: store.clone(),
            scope: scope.clone(),
            last: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// The scope, held or not.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether a stream is erased. When that cannot be known it is not, and [`EffectiveScope::check`] says so.
    pub fn covers_stream(&self, stream: &str) -> bool {
        if !self.scope.covers_stream(stream) || self.scope == Scope::All {
            return self.scope.covers_stream(stream);
        }
        match self.kept(stream) {
            Ok(kept) => kept.is_none(),
            Err(error) => {
                *self.failed.lock() = Some(error);
                false
            }
        }
    }

    /// Fails when [`EffectiveScope::covers_stream`] could not know something since it was asked last.
    ///
    /// # Errors
    /// [`StoreError`] when a read fails.
    pub fn check(&self) -> Result<(), StoreError> {
        let mut failed = self.failed.lock();
        failed.take().map_or(Ok(()), Err)
    }

    /// Whether nothing of a part of the journal that is about records of an org is kept. When that cannot be known it is not so,
    /// and [`EffectiveScope::check`] says so.
    fn covers_all_of(&self, journal: &dyn Journal, place: (&str, u64)) -> bool {
        let kept = feed::has_change(journal, place, |stream| !self.covers_stream(stream));
        kept.map_or_else(
            |error| {
                *self.failed.lock() = Some(error);
                false
            },
            |kept| !kept,
        )
    }

    /// What keeps a stream within the scope. An org, its members and its service accounts are kept with whatever is held of
    /// it: that could not be reached otherwise.
    fn kept(&self, stream: &str) -> Result<Option<Level>, StoreError> {
        let mut parts = stream.split('/');
        let (service, org, container) = (parts.next(), parts.next(), parts.next());
        let Some(org) = org.and_then(|org| OrgCode::parse(org).ok()) else {
            return Ok(None);
        };
        let holds = match service {
            Some("mrs" | "ofm" | "usm") => self.holds_of(&org)?,
            Some(_) | None => return Ok(None),
        };
        if service != Some("mrs") {
            return Ok((!holds.is_empty()).then_some(Level::Org));
        }
        let container = container.and_then(|container| ContainerName::parse(container).ok());
        let legal = container.and_then(|container| holds.legal.keeps(&container));
        if let Some(kept) = legal.or_else(|| holds.legal.keeps_org()) {
            return Ok(Some(kept.level));
        }
        Ok(match RecordName::of_stream(stream) {
            Some(name) if holds.records > 0 && holds::is_record_held(&self.store, name)? => {
                Some(Level::Record)
            }
            Some(_) => None,
            // A container's own history lists what was removed of its records.
            None => match contents::container_of(&StreamId::named(stream)) {
                Some((org, container))
                    if holds.records > 0
                        && holds::is_any_record_held(&self.store, org, container)? =>
                {
                    Some(Level::Record)
                }
                Some(_) | None => None,
            },
        })
    }

    fn holds_of(&self, org: &OrgCode) -> Result<Arc<OrgHolds>, StoreError> {
        let mut last = self.last.lock();
        if let Some((known, holds)) = &*last
            && known == org
        {
            return Ok(Arc::clone(holds));
        }
        let holds = Arc::new(holds::of_org(&self.store, org)?);
        *last = Some((org.clone(), Arc::clone(&holds)));
        Ok(holds)
    }
}

/// Rows, by what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    /// Records of every status.
    pub records: u64,
    /// Orgs and their members.
    pub orgs_and_members: u64,
    /// Users that are covered.
    pub users: u64,
    /// Sessions, service accounts and keys.
    pub sessions_and_keys: u64,
}

/// What a count has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Rows that are erased.
    pub covered: Covered,
    /// Rows of the scope that are held; those of a vacuum of everything are covered too.
    pub held: Covered,
    /// The held records by level: by holds of their own, on their containers, on their orgs.
    pub records_by_level: [u64; 3],
}

/// Counts the rows that a vacuum reaches, and those that are held.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn count(reach: &EffectiveScope) -> Result<Count, StoreError> {
    let (mut count, mut seen, mut pace) = (Count::default(), 0, Pace::start());
    let (records, identities) = (records::Records, identity::Identities);
    let projections: [&dyn Projection; 2] = [&records, &identities];
    for projection in projections {
        let prefix = projection.prefix();
        for row in reach.store.scan(vec![prefix], &[prefix]) {
            let (key, value) = row?;
            seen += 1;
            if seen % ROWS_BETWEEN_RESTS == 0 {
                pace.rest();
            }
            let stream = projection.stream_of(&key, &value);
            let stream = stream.filter(|stream| reach.scope.covers_stream(stream));
            let Some(stream) = stream else { continue };
            let kept = reach.kept(&stream)?;
            if let Some(level) = kept {
                let records = count.held.add(&key);
                count.records_by_level[level as usize] += records;
            }
            if kept.is_none() || reach.scope == Scope::All {
                count.covered.add(&key);
            }
        }
    }
    Ok(count)
}

impl Covered {
    /// Counts a row. Returns how many records it is.
    fn add(&mut self, key: &[u8]) -> u64 {
        match identity::kind_of(key) {
            Some(Kind::Org | Kind::Member) => self.orgs_and_members += 1,
            Some(Kind::User) => self.users += 1,
            Some(Kind::Session | Kind::Account | Kind::Key) => self.sessions_and_keys += 1,
            // Only another way to find one of those, or a part of one.
            Some(
                Kind::Email
                | Kind::MemberOf
                | Kind::Holds
                | Kind::Limits
                | Kind::Invitations
                | Kind::Invited,
            ) => {}
            None => {
                self.records += 1;
                return 1;
            }
        }
        0
    }
}

/// Rewrites the projections without what a vacuum reaches. `progress` is called with the rows done.
///
/// # Errors
/// [`StoreError`] when a read or write fails; nothing but rows to be erased is gone then.
pub fn remove_covered(
    reach: &EffectiveScope,
    journal: &dyn Journal,
    progress: &mut dyn FnMut(u64),
) -> Result<(), StoreError> {
    let projections = all();
    let gone = |key: &[u8], value: &[u8]| {
        if let Some(org) = usage::org_of(key) {
            // What is left is counted again with the entry that records this step.
            return reach.scope.covers(org, None);
        }
        if let Some(place) = feed::place_of(key) {
            return reach.scope.covers(place.0, None) && reach.covers_all_of(journal, place);
        }
        let mut projections = projections.iter();
        let its = projections.find(|projection| key.first() == Some(&projection.prefix()));
        let stream = its.and_then(|projection| projection.stream_of(key, value));
        stream.is_some_and(|stream| reach.covers_stream(&stream))
    };
    reach.store.rewrite(&gone, progress)?;
    reach.check()
}
