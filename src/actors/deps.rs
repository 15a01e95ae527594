//! What every actor works with: the journal, the projections, the clock and the admission of commands.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::admission::Admission;
use super::request::Refused;
use crate::clock::Clock;
use crate::domain::{OrgCode, Rejection};
use crate::journal::{Append, Journal};
use crate::projections::Store;
use crate::projections::usage::reservations::{Reservation, Wanted};

/// The dependencies of every actor.
pub struct ActorDeps {
    /// Journal that commands are appended to.
    pub journal: Arc<dyn Journal>,
    /// Projections that commands are decided on.
    pub store: Store,
    /// Clock that dates commands and wakes actors.
    pub clock: Clock,
    /// Admission of changes to orgs, containers and users.
    pub admission: Arc<Admission>,
    /// Notified when a record gets a due time or a hold is released, so that the sweep computes its next wake-up again.
    pub due_changed: Notify,
    /// How often something became due at a place that the sweep may have passed.
    pub due_resets: AtomicU64,
}

/// The refusal of a journal to which no projections are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no projections are attached to the journal: call Journal::attach before actors use it")]
pub struct NotAttached;

impl ActorDeps {
    /// What actors work with over a journal to which these projections are attached; every scope is open to changes.
    ///
    /// # Errors
    /// When nothing is attached to the journal: what was answered would not be shown, and nothing could follow it.
    pub fn new(journal: Arc<dyn Journal>, store: Store, clock: Clock) -> Result<Self, NotAttached> {
        if !journal.is_attached() {
            return Err(NotAttached);
        }
        Ok(Self {
            journal,
            store,
            clock,
            admission: Arc::default(),
            due_changed: Notify::new(),
            due_resets: AtomicU64::new(0),
        })
    }

    /// Takes what an entry adds of its org's quotas until it is settled; with the entry's rows it is counted by those.
    ///
    /// # Errors
    /// `quota-exceeded`.
    pub(super) fn reserve(
        &self,
        org: &OrgCode,
        append: &Append,
        wanted: &Wanted,
    ) -> Result<Option<Reservation>, Refused> {
        let place = (append.stream.as_str(), append.expected + 1);
        let reservations = self.store.reservations();
        let reserved = reservations.reserve(&self.store, org, place, wanted);
        let reserved = reserved.map_err(Refused::failed)?;
        reserved.map_err(|exceeded| Rejection::from(exceeded).into())
    }

    /// Has the sweep read all due times again.
    pub(super) fn reset_due(&self) {
        self.due_resets.fetch_add(1, Ordering::Release);
        self.due_changed.notify_one();
    }
}
