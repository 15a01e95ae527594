//! The room that one org has left under its quotas, with what pending commands have reserved.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::named::{Named, Shown};
use crate::domain::quota::{Counts, Exceeded, Limits, Quota};
use crate::domain::{ContainerName, Tag};

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
    /// The amounts of what has no name.
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

/// The counts and limits of an org, and what pending commands have reserved of it.
#[derive(Default)]
pub(super) struct OrgRoom {
    /// As the rows have it.
    counts: Counts,
    limits: Limits,
    reserved: Counts,
    /// Reservations in progress, by their number in the org.
    waiting: HashMap<u64, Reserved, RandomState>,
    names: [HashMap<Box<str>, Name, RandomState>; 2],
    /// For each kind of name, how many reserved ones are not in the counts.
    new_names: [u64; 2],
    /// How often names came and went.
    changes: u64,
}

struct Reserved {
    amounts: Counts,
    container: Option<Box<str>>,
    tags: Vec<Box<str>>,
}

/// A name that a reservation in progress uses.
struct Name {
    /// The number of reservations that use it.
    times: u32,
    /// It is counted among the new ones: no record has it, or that was not read.
    new: bool,
    /// Whether that was read.
    known: bool,
}

/// Names whose rows were read, and the number of changes before that.
#[derive(Default)]
pub(super) struct Lookup {
    pub(super) changes: Option<u64>,
    pub(super) names: HashMap<(Named, Box<str>), bool>,
}

/// The outcome of an attempt to reserve.
pub(super) enum Attempt {
    Done,
    Exceeded(Exceeded),
    /// Only the rows of these names can answer; they have to be read.
    Look(u64, Vec<(Named, Box<str>)>),
}

impl OrgRoom {
    /// An org with nothing reserved.
    pub(super) fn new(counts: Counts, limits: Limits) -> Self {
        Self {
            counts,
            limits,
            ..Self::default()
        }
    }

    /// The limits of the org.
    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// The number of pending commands.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes over what a group of entries changed.
    pub(super) fn show(&mut self, shown: Shown, settings: Limits) {
        self.counts = shown.counts;
        if let Some(own) = &shown.own_limits {
            self.limits = settings.with(own);
        }
        if shown.recounted {
            self.forget_names();
        }
        for (named, name, is_there) in shown.names {
            self.changes += 1;
            self.note(named, &name, is_there);
        }
        for key in shown.settles {
            self.settle(key);
        }
    }

    /// Reserves what a command needs, or returns what is missing for that.
    pub(super) fn reserve(&mut self, key: u64, wanted: &Wanted, looked: &Lookup) -> Attempt {
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
            let new = if fresh {
                new.filter(|name| !is_there(named, name).unwrap_or_default())
                    .count() as u64
            } else {
                new.count() as u64
            };
            if new > 0 && self.is_past(named.quota(), self.used(named.quota()), new) {
                return if fresh && names.values().all(|name| name.known) {
                    Attempt::Exceeded(self.exceeded(named.quota(), new))
                } else {
                    Attempt::Look(self.changes, self.unknown_names(named, wanted))
                };
            }
        }
        self.take(key, wanted, is_there);
        Attempt::Done
    }

    fn take(&mut self, key: u64, wanted: &Wanted, is_there: impl Fn(Named, &str) -> Option<bool>) {
        // What an attempt before reserved.
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

    /// Gives back what a pending command had reserved.
    pub(super) fn settle(&mut self, key: u64) {
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
        // Of both kinds: reading one must not be a reason to read the other again.
        let wanted = Named::ALL.into_iter().flat_map(|named| {
            let names = wanted.names(named);
            names.map(move |name| (named, Box::from(name)))
        });
        unknown.map(|name| (named, name)).chain(wanted).collect()
    }

    /// How much there is, reservations included.
    fn used(&self, quota: Quota) -> u64 {
        let named = Named::ALL.into_iter().find(|named| named.quota() == quota);
        let new = named.map_or(0, |named| self.new_names[named as usize]);
        self.counts.get(quota) + self.reserved.get(quota) + new
    }

    fn is_past(&self, quota: Quota, used: u64, asked: u64) -> bool {
        let limit = self.limits.get(quota);
        limit.is_some_and(|limit| used.saturating_add(asked) > limit)
    }

    /// The refusal of a command that asks for too much.
    pub(super) fn exceeded(&self, quota: Quota, asked: u64) -> Exceeded {
        Exceeded {
            quota,
            limit: self.limits.get(quota).unwrap_or_default(),
            used: self.used(quota),
            asked,
        }
    }
}
