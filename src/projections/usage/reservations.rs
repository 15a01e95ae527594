//! Commands that are being journaled count against an org's quotas already: two at once never take one place.
//!
//! In memory alone. After a restart nothing is in progress, and what became durable is counted by its rows.

use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;

use super::at_once::OwnAtOnce;
use super::named::{Named, Shown};
pub use super::org_room::Wanted;
use super::org_room::{Attempt, Lookup, OrgRoom};
use crate::domain::OrgCode;
use crate::domain::quota::{COUNTED, Counts, Exceeded, Limits, OwnLimits, Quota};
use crate::projections::error::StoreError;

/// Shards, so that threads seldom wait for each other.
const SHARDS: usize = 16;
/// Orgs known in one shard; past it those without reservations are removed.
const ORGS_MAX: usize = 1_024;
/// How often names are read again because they moved meanwhile, before the command counts as one too many.
const LOOKS_MAX: u32 = 8;
/// The rows that reservations are checked against.
pub trait UsageRows {
    /// The counts of an org.
    ///
    /// # Errors
    /// [`StoreError`] when a row cannot be read or decoded.
    fn counts(&self, org: &str) -> Result<Counts, StoreError>;

    /// The limits set for an org alone.
    ///
    /// # Errors
    /// [`StoreError`] when a row cannot be read or decoded.
    fn own_limits(&self, org: &str) -> Result<OwnLimits, StoreError>;

    /// Every org that has limits of its own, with these.
    fn all_own_limits(&self) -> impl Iterator<Item = Result<(String, OwnLimits), StoreError>>;

    /// Whether an org has a record that is not doomed with this name.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    fn is_named(&self, org: &str, named: Named, name: &str) -> Result<bool, StoreError>;
}

/// Reservations in progress, by org, with the counts and limits they are checked against.
#[derive(Default)]
pub struct Reservations {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    settings: OnceLock<Limits>,
    own_at_once: OwnAtOnce,
    /// Commands that found no room, by quota.
    refused: [AtomicU64; COUNTED],
}

#[derive(Default)]
struct Shard {
    orgs: HashMap<Box<str>, OrgRoom, RandomState>,
    /// How often something changed of an org that is not known here: what was read before is not kept after it.
    changes: u64,
}

/// A place that a command has taken until it is settled; given back when dropped.
pub struct Reservation {
    reservations: Arc<Reservations>,
    org: OrgCode,
    key: u64,
}

impl std::fmt::Debug for Reservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reservation({})", self.org)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut shard = self.reservations.shard(self.org.as_str());
        if let Some(known) = shard.orgs.get_mut(self.org.as_str()) {
            known.settle(self.key);
        }
    }
}

impl Reservations {
    /// Sets the limits of every org that has none of its own. To be called once, before the first reservation.
    pub fn limit(&self, settings: Limits) {
        // The first call wins.
        let _: Result<(), Limits> = self.settings.set(settings);
    }

    /// The limits of the settings.
    pub fn settings(&self) -> Limits {
        self.settings.get().copied().unwrap_or_default()
    }

    /// Names the place of an entry in its stream.
    pub(super) fn key(&self, stream: &str, version: u64) -> u64 {
        self.hasher.hash_one((stream, version))
    }

    /// The limits of an org, from memory once it is known.
    ///
    /// # Errors
    /// [`StoreError`] when a row cannot be read or decoded.
    pub fn limits_of(&self, rows: &impl UsageRows, org: &str) -> Result<Limits, StoreError> {
        self.with(rows, org, |known| known.limits())
    }

    /// Reads the limits that are set for single orgs on what they do at once. Changes are taken in without it.
    ///
    /// # Errors
    /// [`StoreError`] when a row cannot be read or decoded.
    pub fn load(&self, rows: &impl UsageRows) -> Result<(), StoreError> {
        for own in rows.all_own_limits() {
            let (org, own) = own?;
            self.own_at_once.set(&org, &own);
        }
        Ok(())
    }

    /// The limits of an org for which some are set on what it does at once, from memory alone.
    pub fn at_once(&self, org: &str) -> Option<Limits> {
        self.own_at_once.limits(org, self.settings())
    }

    /// Orgs of which something is kept in memory.
    pub(super) fn known_orgs(&self) -> BTreeSet<String> {
        let mut orgs: BTreeSet<_> = self.own_at_once.orgs().collect();
        for shard in &self.shards {
            orgs.extend(lock(shard).orgs.keys().map(|org| String::from(&**org)));
        }
        orgs
    }

    /// Takes places for the entry that a command would append, if there are any left.
    ///
    /// # Errors
    /// [`StoreError`] when a row cannot be read or decoded.
    pub fn reserve(
        self: &Arc<Self>,
        rows: &impl UsageRows,
        org: &OrgCode,
        (stream, version): (&str, u64),
        wanted: &Wanted,
    ) -> Result<Result<Option<Reservation>, Exceeded>, StoreError> {
        if wanted.is_empty() {
            return Ok(Ok(None));
        }
        let key = self.key(stream, version);
        let mut looked = Lookup::default();
        let mut last = None;
        for _ in 0..LOOKS_MAX {
            match self.with(rows, org.as_str(), |known| {
                known.reserve(key, wanted, &looked)
            })? {
                Attempt::Done => {
                    return Ok(Ok(Some(Reservation {
                        reservations: Arc::clone(self),
                        org: org.clone(),
                        key,
                    })));
                }
                Attempt::Exceeded(exceeded) => return Ok(Err(self.refuse(exceeded))),
                Attempt::Look(changes, names) => {
                    last = names.first().map(|(named, _)| *named);
                    looked = Lookup {
                        changes: Some(changes),
                        names: HashMap::with_capacity(names.len()),
                    };
                    for (named, name) in names {
                        let is_there = rows.is_named(org.as_str(), named, &name)?;
                        looked.names.insert((named, name), is_there);
                    }
                }
            }
        }
        let quota = last.unwrap_or(Named::Container).quota();
        let exceeded = self.with(rows, org.as_str(), |known| known.exceeded(quota, 1))?;
        Ok(Err(self.refuse(exceeded)))
    }

    fn refuse(&self, exceeded: Exceeded) -> Exceeded {
        if let Some(refused) = self.refused.get(exceeded.quota as usize) {
            refused.fetch_add(1, Ordering::Relaxed);
        }
        exceeded
    }

    /// How often a command found no room, by quota.
    pub fn refused(&self) -> impl Iterator<Item = (Quota, u64)> {
        let refused = self.refused.iter();
        let refused = refused.map(|refused| refused.load(Ordering::Relaxed));
        Quota::ALL.into_iter().zip(refused)
    }

    /// Takes in what became of an org, once its rows are written.
    pub(in crate::projections) fn show(&self, shown: Shown) {
        let settings = self.settings();
        if let Some(own) = &shown.own_limits {
            self.own_at_once.set(&shown.org, own);
        }
        let mut shard = self.shard(&shown.org);
        let Some(known) = shard.orgs.get_mut(shown.org.as_str()) else {
            shard.changes += 1;
            return;
        };
        known.show(shown, settings);
    }

    /// How many commands have reservations; for tests.
    pub fn waiting(&self) -> usize {
        let shards = self.shards.iter().map(lock);
        let waiting = OrgRoom::waiting;
        shards
            .map(|shard| shard.orgs.values().map(waiting).sum::<usize>())
            .sum()
    }

    fn with<T>(
        &self,
        rows: &impl UsageRows,
        org: &str,
        mut work: impl FnMut(&mut OrgRoom) -> T,
    ) -> Result<T, StoreError> {
        loop {
            let changes = {
                let mut shard = self.shard(org);
                if let Some(known) = shard.orgs.get_mut(org) {
                    return Ok(work(known));
                }
                shard.changes
            };
            // Outside of the lock: others do not wait for the disk.
            let read = OrgRoom::new(
                rows.counts(org)?,
                self.settings().with(&rows.own_limits(org)?),
            );
            let mut shard = self.shard(org);
            if shard.changes == changes && !shard.orgs.contains_key(org) {
                if shard.orgs.len() >= ORGS_MAX {
                    shard.orgs.retain(|_, known| known.waiting() > 0);
                }
                shard.orgs.insert(org.into(), read);
            }
        }
    }

    fn shard(&self, org: &str) -> MutexGuard<'_, Shard> {
        let number = usize::try_from(self.hasher.hash_one(org) % SHARDS as u64);
        lock(&self.shards[number.unwrap_or_default()])
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock()
}

impl std::fmt::Debug for Reservations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reservations")
    }
}
