//! First answers to requests that make something other than a record and come with an idempotency key: found again for as
//! long as those of records, and one request of a key at a time.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

pub use super::record::other_request;
use super::request::failed;
use super::{ActorDeps, Refused};
use crate::domain::account::{Account, AccountDecider};
use crate::domain::container::{Idempotency, is_given_again};
use crate::domain::maintenance::{MaintenanceDecider, MaintenanceEvent, Window};
use crate::domain::offboarding::{OffboardingDecider, OrgTransfer};
use crate::domain::org::{Org, OrgDecider};
use crate::domain::user::{User, UserDecider};
use crate::domain::vacuum::{Vacuum, VacuumDecider, VacuumEvent};
use crate::domain::{Aggregate, Event, EventFamily, StreamId};
use crate::journal::Version;
use crate::projections::as_of;
use crate::projections::idempotency::{self, ANYWHERE};

/// The lock that the request being executed for a key holds.
type Lock = Arc<tokio::sync::Mutex<()>>;

/// Knows what was made by which request.
pub struct FirstAnswers {
    deps: Arc<ActorDeps>,
    /// By the scope of the key: as many as requests with keys are being worked on.
    locks: Mutex<HashMap<String, Lock>>,
}

/// What a request made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The stream in which it was recorded.
    pub stream: StreamId,
    /// The stream's version with it.
    pub version: Version,
    /// The events that made it, all of one entry.
    pub events: Vec<Event>,
}

/// A request while no other request with its key runs.
pub struct Turn {
    answers: Arc<FirstAnswers>,
    /// Its scope and fingerprint, to be journaled with what it makes.
    pub request: Idempotency,
    /// What it made when it came first; `None` for one that has made nothing yet.
    pub made: Option<Made>,
    held: Option<OwnedMutexGuard<()>>,
}

impl Made {
    /// What its stream is called by, within those of its kind.
    fn name(&self) -> String {
        let name = self.stream.as_str().rsplit('/').next();
        name.unwrap_or_default().to_owned()
    }
}

/// The failure of an entry that lacks the expected event.
fn lost() -> Refused {
    Refused::failed("a first answer is not in the journal")
}

/// The event, when it is of a kind.
macro_rules! match_of {
    ($event:ident, $kind:ident) => {
        if let Event::$kind(event) = $event {
            Some(event)
        } else {
            None
        }
    };
}

impl FirstAnswers {
    /// Over the dependencies that all actors share.
    pub fn new(deps: Arc<ActorDeps>) -> Arc<Self> {
        Arc::new(Self {
            deps,
            locks: Mutex::default(),
        })
    }

    /// Waits until no other request with the key is being executed, and looks up what the first one made.
    ///
    /// # Errors
    /// `idempotency-conflict` when it was another request; [`Refused::Failed`] when the journal or a projection cannot be read.
    pub async fn enter(self: &Arc<Self>, request: Idempotency) -> Result<Turn, Refused> {
        let lock = self
            .locks()
            .entry(request.scope.clone())
            .or_default()
            .clone();
        let mut turn = Turn {
            answers: self.clone(),
            request,
            made: None,
            held: None,
        };
        turn.held = Some(lock.lock_owned().await);
        turn.made = self.find(&turn.request)?;
        Ok(turn)
    }

    fn find(&self, request: &Idempotency) -> Result<Option<Made>, Refused> {
        let first =
            idempotency::find(&self.deps.store, ANYWHERE, &request.scope).map_err(failed)?;
        let first = first.filter(|first| is_given_again(first.at, self.deps.clock.trusted()));
        let Some(first) = first else {
            return Ok(None);
        };
        if first.fingerprint != request.fingerprint {
            return Err(other_request().into());
        }
        let entries = self.deps.journal.stream(&first.stream, first.version, 1);
        let entries = entries.map_err(Refused::failed)?;
        let body = entries.into_iter().next().and_then(|entry| entry.body);
        // Of what was erased meanwhile nothing is known any more.
        Ok(body.map(|body| Made {
            stream: first.stream,
            version: first.version,
            events: body.events,
        }))
    }

    /// The service account that was created, in its state at that version.
    ///
    /// # Errors
    /// [`Refused::Failed`] when the journal or the projections cannot be read.
    pub fn account(&self, made: &Made) -> Result<Account, Refused> {
        let account = self.state_of::<AccountDecider>(made)?;
        Ok(Account {
            account_id: made.name(),
            ..account
        })
    }

    /// The user who was made, as that was then.
    ///
    /// # Errors
    /// [`Refused::Failed`] when the journal or the projections cannot be read.
    pub fn user(&self, made: &Made) -> Result<User, Refused> {
        let user = self.state_of::<UserDecider>(made)?;
        Ok(User {
            user_id: made.name(),
            ..user
        })
    }

    /// The org that was created, in its state at that version.
    ///
    /// # Errors
    /// [`Refused::Failed`] when the journal or the projections cannot be read.
    pub fn org(&self, made: &Made) -> Result<Org, Refused> {
        self.state_of::<OrgDecider>(made)
    }

    /// An org's transfer in the state in which an offboarding, an export or an import began.
    ///
    /// # Errors
    /// [`Refused::Failed`] when the journal or the projections cannot be read.
    pub fn org_transfer(&self, made: &Made) -> Result<OrgTransfer, Refused> {
        self.state_of::<OffboardingDecider>(made)
    }

    /// The maintenance window that was scheduled, in its state at that version.
    ///
    /// # Errors
    /// [`Refused::Failed`] when a read fails, or no window was scheduled.
    pub fn window(&self, made: &Made) -> Result<Window, Refused> {
        let windows = self.state_of::<MaintenanceDecider>(made)?;
        let scheduled = |event: &Event| match match_of!(event, Maintenance) {
            Some(MaintenanceEvent::Scheduled { maintenance_id, .. }) => {
                windows.find(maintenance_id).cloned()
            }
            Some(_) | None => None,
        };
        made.events.iter().find_map(scheduled).ok_or_else(lost)
    }

    /// The vacuum that was requested, in its state at that version.
    ///
    /// # Errors
    /// [`Refused::Failed`] when a read fails, or no vacuum was requested.
    pub fn vacuum(&self, made: &Made) -> Result<Vacuum, Refused> {
        let vacuums = self.state_of::<VacuumDecider>(made)?;
        let asked = |event: &Event| match match_of!(event, Vacuum) {
            Some(VacuumEvent::Requested { vacuum_id, .. }) => vacuums.find(vacuum_id).cloned(),
            Some(_) | None => None,
        };
        made.events.iter().find_map(asked).ok_or_else(lost)
    }

    fn state_of<A: Aggregate<Event: EventFamily>>(&self, made: &Made) -> Result<A::State, Refused> {
        let at = (&made.stream, made.version);
        let state = as_of::state_at::<A>(&*self.deps.journal, at).map_err(failed)?;
        state.ok_or_else(lost)
    }

    fn locks(&self) -> MutexGuard<'_, HashMap<String, Lock>> {
        // Each change is one step: a panic elsewhere leaves nothing half done.
        self.locks.lock()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.held.take());
        let mut locks = self.answers.locks();
        // Held by the map alone: no other request waits for it.
        let scope = &self.request.scope;
        if locks
            .get(scope)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            locks.remove(scope);
        }
    }
}
