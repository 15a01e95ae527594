//! Upkeep in small steps: each reads one bounded page, journals what it removes, and returns where to continue.
//!
//! A step that broke off is repeated from where it began; what it had done already is not found again.

mod abandoned;
mod cleanup;
mod damaged;
pub mod reconcile;
mod scrub;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::container::{MaintainContainer, MaintenanceOutcome};
use super::request::Caller;
use super::{ActorDeps, ActorRegistry, Refused};
use crate::content::ContentStore;
use crate::domain::container::{ContainerCommand, ContainerEvent};
use crate::domain::record::{Retention, UploadTimeouts};
use crate::domain::{ContainerName, OrgCode, StreamId, Timestamp};
use crate::journal::Version;
use crate::offload;
use crate::projections::{StoreError, holds, identity};

pub use abandoned::Abandoned;
pub use cleanup::{Cleaned, Removed};
pub use scrub::Scrubbed;

/// How often a page is read again because something on it had changed, before the caller is asked to retry.
const ATTEMPTS_MAX: u32 = 8;

/// How old the file of an upload is at least when it counts as left over, in milliseconds: an upload for which no least
/// speed is set may pause.
const STALE_MS_MIN: i64 = 10 * 60 * 1_000;

/// How long each kind of data is kept.
#[derive(Clone, Copy, Debug)]
pub struct UpkeepSettings {
    /// Content that has ended.
    pub retention: Retention,
    /// Uploads that were promised.
    pub patience: UploadTimeouts,
}

impl UpkeepSettings {
    /// The time before which an upload's unfinished file counts as abandoned.
    fn stale_since(&self, now: Timestamp) -> Timestamp {
        now.plus_millis(-self.patience.upload_ms.max(STALE_MS_MIN))
    }
}

/// A container, by its org.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    /// Org that the container belongs to.
    pub org: OrgCode,
    /// Name of the container in that org.
    pub container: ContainerName,
}

/// Where a step begins, and how many items it may read.
#[derive(Clone, Debug)]
pub struct Page {
    /// Where the step before ended; `None` for the beginning.
    pub from: Option<Vec<u8>>,
    /// Most items to read.
    pub items_max: usize,
}

/// Executes upkeep. Cheap to share.
pub struct Upkeep {
    registry: Arc<ActorRegistry>,
    content: Arc<dyn ContentStore>,
    settings: UpkeepSettings,
}

impl Upkeep {
    /// Upkeep of a content store, through the actor registry.
    pub fn new(
        registry: Arc<ActorRegistry>,
        content: Arc<dyn ContentStore>,
        settings: UpkeepSettings,
    ) -> Self {
        Self {
            registry,
            content,
            settings,
        }
    }

    /// How long each kind of data is kept.
    pub fn settings(&self) -> &UpkeepSettings {
        &self.settings
    }

    async fn maintain(
        &self,
        place: &Place,
        order: MaintainContainer,
    ) -> Result<MaintenanceOutcome, Refused> {
        self.registry
            .maintain(&place.org, &place.container, order)
            .await
    }
}

/// Whether a legal hold is on a container, and the version of the stream that records it: a removal names it as a guard, so
/// that a hold that was durable first wins.
fn legal_hold(deps: &ActorDeps, place: &Place) -> Result<(bool, Guard), StoreError> {
    // Before the hold, which may otherwise be of an earlier version.
    let version = identity::org(&deps.store, place.org.as_str())?.version;
    let held = holds::legal(&deps.store, place.org.as_str(), place.container.as_str())?;
    Ok((held.is_some(), (StreamId::org(&place.org), version)))
}

/// A stream that was read, with its version.
type Guard = (StreamId, Version);

/// What reading a page led to.
struct Look {
    command: ContainerCommand,
    guards: Vec<Guard>,
    scanned: usize,
    next: Option<Vec<u8>>,
}

impl Upkeep {
    /// Reads `items_max` items on a thread that may block, and executes what that led to. When something has changed
    /// meanwhile it reads half as many again: where much changes, few stay the same for long enough.
    async fn step(
        &self,
        place: &Place,
        caller: &Caller,
        items_max: usize,
        look: impl Fn(usize) -> Result<Look, StoreError> + Clone + Send + 'static,
    ) -> Result<(Look, Vec<ContainerEvent>), Refused> {
        for attempt in 0..ATTEMPTS_MAX {
            let (look, items) = (look.clone(), (items_max >> attempt).max(1));
            let seen = offload::try_blocking(move || look(items).map_err(Refused::failed)).await?;
            // Most pages lead to nothing; no actor need be woken for them.
            if seen.command.is_empty() {
                return Ok((seen, Vec::new()));
            }
            let order = MaintainContainer {
                command: seen.command.clone(),
                guards: seen.guards.clone(),
                caller: caller.clone(),
            };
            match self.maintain(place, order).await? {
                MaintenanceOutcome::Done(events) => return Ok((seen, events)),
                MaintenanceOutcome::Moved => {}
            }
        }
        Err(Refused::Busy)
    }
}
