//! What is on its way to the journal counts against an org's quotas already: two commands at once never take one place.
//!
//! In memory alone. After a restart nothing is on its way, and what became durable is counted by its rows.

use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;

use super::at_once::OwnAtOnce;
use super::{Named, Shown, counts, is_named};
use crate::domain::quota::{COUNTED, Counts, Exceeded, Limits, Quota};
use crate::domain::{ContainerName, OrgCode, Tag};
use crate::projections::{Store, StoreError, identity};

/// Shards, so that threads seldom wait for each other.
const SHARDS: usize = 16;
/// Orgs known in one shard; past it those of which nothing is on its way are forgotten.
const ORGS_MAX: usize = 1_024;
/// How often names are looked at again because they moved meanwhile, before the command counts as one too many.
const LOOKS_MAX: u32 = 8;
/// What is reserved by itself; containers and tags are reserved by their names.
const AMOUNTS: [Quota; 6] = [
    Quota::Records,
    Quota::ContentBytes,
    Quota::PendingUploadBytes,
    Quota::ServiceAccounts,
    Quota::ApiKeys,
    Quota::Sessions,
];

/// What a command would add to what an org has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// How much of what has no name.
    pub amounts: Counts,
    /// The container of a record that it creates.
    pub container: Option<ContainerName>,
    /// Tags that its record did not have.
    pub tags: Vec<Tag>,
    /// Sessions of the org that are counted and past their end.
    pub sessions_over: u64,
}

impl Wanted {
    /// Whether it adds nothing.
    pub fn is_empty(&self) -> bool {
        self.amounts.is_empty() && self.container.is_none() && self.tags.is_empty()
    }

    fn names(&self, named: Named) -> impl Iterator<Item = &str> {
        let container = self.container.iter().map(ContainerName::as_str);
        let tags = self.tags.iter().map(Tag::as_str);
        let (container, tags) = match named {
            Named::Container => (Some(container), None),
            Named::Tag => (None, Some(tags)),
        };
        container
            .into_iter()
            .flatten()
            .chain(tags.into_iter().flatten())
    }
}

/// What is on its way, by org, with the counts and limits it is held against.
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
    orgs: HashMap<Box<str>, Known, RandomState>,
    /// How often something changed of an org that is not known here: what was read before is not kept after it.
    changes: u64,
}

/// One org.
#[derive(Default)]
struct Known {
    /// As the rows have it.
    counts: Counts,
    limits: Limits,
    reserved: Counts,
    /// What is on its way, by its place in its stream.
    waiting: HashMap<u64, Reserved, RandomState>,
    names: [HashMap<Box<str>, Name, RandomState>; 2],
    /// Of each kind of name, how many of those on their way the counts do not count.
    new_names: [u64; 2],
    /// How often names came and went.
    changes: u64,
}

struct Reserved {
    amounts: Counts,
    container: Option<Box<str>>,
    tags: Vec<Box<str>>,
}

/// A name on its way.
struct Name {
    /// By how many.
    times: u32,
    /// It is counted among the new ones: no record has it, or that was not looked at.
    new: bool,
    /// Whether that was looked at.
    known: bool,
}

/// Rows of names that were looked at, and when.
#[derive(Default)]
struct Lookup {
    changes: Option<u64>,
    names: HashMap<(Named, Box<str>), bool>,
}

enum Attempt {
    Done,
    Exceeded(Exceeded),
    /// Only these names' rows can tell.
    Look(u64, Vec<(Named, Box<str>)>),
}

/// A place that a command has taken until it is settled; given back when dropped.
pub struct Reservation {
    store: Store,
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
        let mut shard = self.store.reservations().shard(self.org.as_str());
        if let Some(known) = shard.orgs.get_mut(self.org.as_str()) {
            known.settle(self.key);
        }
    }
}

impl Reservations {
    /// Has limits hold for every org that has none of its own. Told once, before anybody asks.
    pub fn limit(&self, settings: Limits) {
        // What was told first holds.
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
    /// A failed or unreadable row.
    pub fn limits_of(&self, store: &Store, org: &str) -> Result<Limits, StoreError> {
        self.with(store, org, |known| known.limits)
    }

    /// Reads the limits that are set for single orgs on what they do at once. Changes are taken in without it.
    ///
    /// # Errors
    /// A failed or unreadable row.
    pub fn load(&self, store: &Store) -> Result<(), StoreError> {
        for own in identity::all_own_limits(store) {
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
    /// A failed or unreadable row.
    pub fn reserve(
        &self,
        store: &Store,
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
            match self.with(store, org.as_str(), |known| {
                known.reserve(key, wanted, &looked)
            })? {
                Attempt::Done => {
                    return Ok(Ok(Some(Reservation {
                        store: store.clone(),
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
                        let is_there = is_named(store, org.as_str(), named, &name)?;
                        looked.names.insert((named, name), is_there);
                    }
                }
            }
        }
        let quota = last.unwrap_or(Named::Container).quota();
        let exceeded = self.with(store, org.as_str(), |known| known.exceeded(quota, 1))?;
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
        known.counts = shown.counts;
        if let Some(own) = &shown.own_limits {
            known.limits = settings.with(own);
        }
        if shown.recounted {
            known.forget_names();
        }
        for (named, name, is_there) in shown.names {
            known.changes += 1;
            known.note(named, &name, is_there);
        }
        for key in shown.settles {
            known.settle(key);
        }
    }

    /// How many commands are on their way; for tests.
    pub fn waiting(&self) -> usize {
        let shards = self.shards.iter().map(lock);
        let waiting = |known: &Known| known.waiting.len();
        shards
            .map(|shard| shard.orgs.values().map(waiting).sum::<usize>())
            .sum()
    }

    fn with<T>(
        &self,
        store: &Store,
        org: &str,
        mut work: impl FnMut(&mut Known) -> T,
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
            let read = Known {
                counts: counts(store, org)?,
                limits: self.settings().with(&identity::own_limits(store, org)?),
                ..Known::default()
            };
            let mut shard = self.shard(org);
            if shard.changes == changes && !shard.orgs.contains_key(org) {
                if shard.orgs.len() >= ORGS_MAX {
                    shard.orgs.retain(|_, known| !known.waiting.is_empty());
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

impl Known {
    fn reserve(&mut self, key: u64, wanted: &Wanted, looked: &Lookup) -> Attempt {
        for quota in AMOUNTS {
            let asked = wanted.amounts.get(quota);
            let mut used = self.used(quota);
            if quota == Quota::Sessions {
                used = used.saturating_sub(wanted.sessions_over);
            }
            if asked > 0 && self.is_past(quota, used, asked) {
                let exceeded = self.exceeded(quota, asked);
                return Attempt::Exceeded(Exceeded { used, ..exceeded });
            }
        }
        let fresh = looked.changes == Some(self.changes);
        if fresh {
            for ((named, name), is_there) in &looked.names {
                self.note(*named, name, *is_there);
            }
        }
        let is_there = |named: Named, name: &str| {
            if !fresh {
                return None;
            }
            looked.names.get(&(named, Box::from(name))).copied()
        };
        for named in Named::ALL {
            let names = &self.names[named as usize];
            let new = wanted
                .names(named)
                .filter(|name| !names.contains_key(*name));
            let new = match fresh {
                true => new
                    .filter(|name| !is_there(named, name).unwrap_or_default())
                    .count() as u64,
                false => new.count() as u64,
            };
            if new > 0 && self.is_past(named.quota(), self.used(named.quota()), new) {
                return match fresh && names.values().all(|name| name.known) {
                    true => Attempt::Exceeded(self.exceeded(named.quota(), new)),
                    false => Attempt::Look(self.changes, self.unknown_names(named, wanted)),
                };
            }
        }
        self.take(key, wanted, is_there);
        Attempt::Done
    }

    fn take(&mut self, key: u64, wanted: &Wanted, is_there: impl Fn(Named, &str) -> Option<bool>) {
        // What an attempt before left behind.
        self.settle(key);
        for named in Named::ALL {
            for name in wanted.names(named) {
                let names = &mut self.names[named as usize];
                if let Some(known) = names.get_mut(name) {
                    known.times += 1;
                    continue;
                }
                let looked = is_there(named, name);
                let new = !looked.unwrap_or_default();
                self.new_names[named as usize] += u64::from(new);
                let known = Name {
                    times: 1,
                    new,
                    known: looked.is_some(),
                };
                names.insert(name.into(), known);
            }
        }
        self.reserved.add_all(&wanted.amounts);
        let reserved = Reserved {
            amounts: wanted.amounts,
            container: wanted.container.as_ref().map(|name| name.as_str().into()),
            tags: wanted.tags.iter().map(|tag| tag.as_str().into()).collect(),
        };
        self.waiting.insert(key, reserved);
    }

    fn settle(&mut self, key: u64) {
        let Some(reserved) = self.waiting.remove(&key) else {
            return;
        };
        self.reserved.take_all(&reserved.amounts);
        let container = reserved
            .container
            .iter()
            .map(|name| (Named::Container, name));
        let tags = reserved.tags.iter().map(|name| (Named::Tag, name));
        for (named, name) in container.chain(tags) {
            let names = &mut self.names[named as usize];
            let Some(known) = names.get_mut(name) else {
                continue;
            };
            known.times = known.times.saturating_sub(1);
            if known.times == 0 {
                self.new_names[named as usize] -= u64::from(known.new);
                names.remove(name);
            }
        }
    }

    /// Takes in whether a record has a name.
    fn note(&mut self, named: Named, name: &str, is_there: bool) {
        if let Some(known) = self.names[named as usize].get_mut(name) {
            let new = !is_there;
            let all = &mut self.new_names[named as usize];
            *all = *all + u64::from(new) - u64::from(known.new);
            (known.new, known.known) = (new, true);
        }
    }

    fn forget_names(&mut self) {
        self.changes += 1;
        for named in Named::ALL {
            let names = &mut self.names[named as usize];
            for known in names.values_mut() {
                (known.new, known.known) = (true, false);
            }
            self.new_names[named as usize] = names.len() as u64;
        }
    }

    fn unknown_names(&self, named: Named, wanted: &Wanted) -> Vec<(Named, Box<str>)> {
        let unknown = self.names[named as usize].iter();
        let unknown = unknown.filter(|(_, known)| !known.known);
        let unknown = unknown.map(|(name, _)| name.clone());
        // Of both kinds: a look at one is not to be a reason to look again at the other.
        let wanted = Named::ALL.into_iter().flat_map(|named| {
            let names = wanted.names(named);
            names.map(move |name| (named, Box::from(name)))
        });
        unknown.map(|name| (named, name)).chain(wanted).collect()
    }

    /// How much there is, what is on its way included.
    fn used(&self, quota: Quota) -> u64 {
        let named = Named::ALL.into_iter().find(|named| named.quota() == quota);
        let new = named.map_or(0, |named| self.new_names[named as usize]);
        self.counts.get(quota) + self.reserved.get(quota) + new
    }

    fn is_past(&self, quota: Quota, used: u64, asked: u64) -> bool {
        let limit = self.limits.get(quota);
        limit.is_some_and(|limit| used.saturating_add(asked) > limit)
    }

    fn exceeded(&self, quota: Quota, asked: u64) -> Exceeded {
        Exceeded {
            quota,
            limit: self.limits.get(quota).unwrap_or_default(),
            used: self.used(quota),
            asked,
        }
    }
}

impl std::fmt::Debug for Reservations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reservations")
    }
}
