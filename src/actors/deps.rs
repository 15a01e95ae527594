//! What every actor works with: the journal, the projections, the clock and the admission of commands.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use super::admission::Admission;
use super::request::Refused;
use crate::clock::Clock;
use crate::domain::record::{NewContent, RecordEvent};
use crate::domain::{ErrorTag, Event, OrgCode, Rejection};
use crate::journal::{Append, Journal};
use crate::projections::usage::reservations::{Reservation, Wanted};
use crate::projections::{Store, contents};

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
    /// Objects that entries on their way to the journal promise.
    claimed: Arc<Mutex<HashSet<(OrgCode, Uuid)>>>,
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
            claimed: Arc::default(),
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

    /// Claims the object that an entry promises to its record, until the entry is settled; `None` for one without.
    ///
    /// # Errors
    /// `conflict` when a record has, had or was promised the object: it would be removed with that record's content.
    pub(super) fn claim_object(
        &self,
        org: &OrgCode,
        events: &[Event],
    ) -> Result<Option<ClaimedObject>, Refused> {
        let Some(object_id) = events.iter().find_map(promised_object) else {
            return Ok(None);
        };
        let object = (org.clone(), object_id);
        if !self.claimed.lock().insert(object.clone()) {
            return Err(object_taken().into());
        }
        let claim = ClaimedObject {
            claimed: self.claimed.clone(),
            object,
        };
        // Read after the claim: what settled before it is in the projections.
        match contents::owner(&self.store, org.as_str(), object_id) {
            Ok(None) => Ok(Some(claim)),
            Ok(Some(_)) => Err(object_taken().into()),
            Err(error) => Err(Refused::failed(error)),
        }
    }

    /// Has the sweep read all due times again.
    pub(super) fn reset_due(&self) {
        self.due_resets.fetch_add(1, Ordering::Release);
        self.due_changed.notify_one();
    }
}

/// An object that nothing else is promised meanwhile.
pub(super) struct ClaimedObject {
    claimed: Arc<Mutex<HashSet<(OrgCode, Uuid)>>>,
    object: (OrgCode, Uuid),
}

impl Drop for ClaimedObject {
    fn drop(&mut self) {
        self.claimed.lock().remove(&self.object);
    }
}

fn promised_object(event: &Event) -> Option<Uuid> {
    let Event::Record(RecordEvent::Created { content, .. } | RecordEvent::Replaced { content, .. }) =
        event
    else {
        return None;
    };
    match content {
        NewContent::Upload { object_id, .. } => Some(*object_id),
        NewContent::Inline { .. } => None,
    }
}

fn object_taken() -> Rejection {
    Rejection::new(
        ErrorTag::Conflict,
        "The object of this upload was promised to a record before; promise a new random one.",
    )
    .with_minor("object_id")
}
