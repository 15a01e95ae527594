//! Limits set for single orgs on what they do at once, in memory: each request asks for those of its org.

use parking_lot::{RwLock, RwLockReadGuard};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use foldhash::fast::RandomState;

use crate::domain::quota::{Limits, OwnLimits};

/// The orgs that have such limits. Only operators set them, so their number is bounded by operators.
#[derive(Default)]
pub(super) struct OwnAtOnce {
    /// Whether there are any; most servers have none, and ask nothing else.
    any: AtomicBool,
    orgs: RwLock<HashMap<Box<str>, OwnLimits, RandomState>>,
}

impl OwnAtOnce {
    /// Takes in the limits set for an org, those of what it has left out.
    pub(super) fn set(&self, org: &str, own: &OwnLimits) {
        let own = own.iter().filter(|(quota, _)| quota.is_at_once());
        let own: OwnLimits = own.map(|(quota, limit)| (*quota, *limit)).collect();
        let mut orgs = self.orgs.write();
        if own.is_empty() {
            orgs.remove(org)
        } else {
            orgs.insert(org.into(), own)
        };
        self.any.store(!orgs.is_empty(), Ordering::Release);
    }

    /// The limits of an org with those that are set for it; `None` when none are.
    pub(super) fn limits(&self, org: &str, settings: Limits) -> Option<Limits> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let orgs = self.read();
        orgs.get(org).map(|own| settings.with(own))
    }

    /// The orgs that have some.
    pub(super) fn orgs(&self) -> impl Iterator<Item = String> {
        let orgs: Vec<_> = self.read().keys().map(|org| String::from(&**org)).collect();
        orgs.into_iter()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Box<str>, OwnLimits, RandomState>> {
        // A change is one insert or remove: a panic elsewhere leaves it whole.
        self.orgs.read()
    }
}
