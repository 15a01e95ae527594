//! Abandoned uploads: records whose first content never came are doomed; other uploads are not waited for any more.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Guard, Page, Place, Upkeep, legal_hold};
use crate::actors::Caller;
use crate::actors::container::{MaintainContainer, MaintenanceOutcome};
use crate::actors::request::failed;
use crate::actors::{ActorDeps, RecordRequest, Refused, Requested};
use crate::domain::container::{ContainerCommand, ContainerEvent, GivenUpUpload};
use crate::domain::record::{
    ContentPlace, PendingUpload, RecordCommand, RecordKey, Status, UploadTimeouts,
};
use crate::domain::{ContainerName, OrgCode, StreamId};
use crate::offload;
use crate::projections::contents::Waiting;
use crate::projections::{RecordName, StoreError, contents, holds, records};

/// What one step through the uploads did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abandoned {
    /// Uploads that were examined, whatever became of them.
    pub scanned: usize,
    /// Records that ended, as nothing else of them was stored.
    pub doomed: usize,
    /// Uploads over active records that are not waited for any more. The records stay as they are.
    pub given_up: usize,
    /// Where to continue; `None` at the end.
    pub next: Option<Vec<u8>>,
}

/// An upload over an active record, with what was read: the record, and the holds of its org.
type Lookup = (GivenUpUpload, [Guard; 2]);

/// What a page of uploads contained.
#[derive(Default)]
struct Found {
    scanned: usize,
    /// Records whose first content it would be.
    pending: Vec<RecordKey>,
    /// Uploads over active records, by container.
    over_active: BTreeMap<(OrgCode, ContainerName), Vec<Lookup>>,
    next: Option<Vec<u8>>,
}

impl Upkeep {
    /// One step through the uploads that were promised longest ago, over all orgs.
    ///
    /// # Errors
    /// See [`Refused`]; one that a rule refuses, as while its org is vacuumed, is passed over.
    pub async fn abandoned(&self, page: &Page, caller: &Caller) -> Result<Abandoned, Refused> {
        let (deps, page) = (self.registry.deps().clone(), page.clone());
        deps.clock.may_destroy()?;
        let patience = self.settings.patience;
        let look = move || look(&deps, &page, patience).map_err(failed);
        let found = offload::try_blocking(look).await?;
        let mut done = Abandoned {
            scanned: found.scanned,
            next: found.next,
            ..Abandoned::default()
        };
        for key in found.pending {
            done.doomed += usize::from(self.doom(key, caller).await?);
        }
        for ((org, container), uploads) in found.over_active {
            let place = Place { org, container };
            done.given_up += self.give_up(&place, uploads, caller).await?;
        }
        Ok(done)
    }

    async fn doom(&self, key: RecordKey, caller: &Caller) -> Result<bool, Refused> {
        let execute = RecordRequest {
            key,
            command: Requested::Command(RecordCommand::DoomIfAbandoned(self.settings.patience)),
            payload: None,
            idempotency: None,
            by: caller.by.clone(),
            request_id: caller.request_id.clone(),
            source: caller.source,
            remarks: caller.remarks.clone(),
        };
        match self.registry.execute(execute).await {
            Ok(executed) => Ok(executed.record.status == Status::Doomed),
            Err(Refused::Rejected { .. }) => Ok(false),
            Err(refused) => Err(refused),
        }
    }

    /// Gives one record's upload up, if it is overdue. True when that was done.
    pub(super) async fn abandon(&self, key: RecordKey, caller: &Caller) -> Result<bool, Refused> {
        let overdue =
            overdue(self.registry.deps(), &key, self.settings.patience).map_err(failed)?;
        match overdue {
            Some((_, Overdue::First)) => self.doom(key, caller).await,
            Some((_, Overdue::OverActive(upload))) => {
                let place = Place {
                    org: key.org,
                    container: key.container,
                };
                Ok(self.give_up(&place, vec![upload], caller).await? == 1)
            }
            None => Ok(false),
        }
    }

    /// One whose record has changed meanwhile waits for the next step.
    async fn give_up(
        &self,
        place: &Place,
        uploads: Vec<Lookup>,
        caller: &Caller,
    ) -> Result<usize, Refused> {
        let guards = uploads.iter().flat_map(|(_, guards)| guards.clone());
        let guards = guards.collect::<BTreeMap<_, _>>().into_iter();
        let order = MaintainContainer {
            guards: guards.collect(),
            command: ContainerCommand::GiveUpUploads {
                uploads: uploads.into_iter().map(|(upload, _)| upload).collect(),
            },
            caller: caller.clone(),
        };
        let events = match self.maintain(place, order).await {
            Ok(MaintenanceOutcome::Done(events)) => events,
            Ok(MaintenanceOutcome::Moved) | Err(Refused::Rejected { .. }) => return Ok(0),
            Err(refused) => return Err(refused),
        };
        let given_up = events.iter().map(|event| match event {
            ContainerEvent::UploadsGivenUp { uploads } => uploads.len(),
            ContainerEvent::RefusalRemembered { .. }
            | ContainerEvent::ContentRemoved { .. }
            | ContainerEvent::AnswersForgotten { .. }
            | ContainerEvent::TagsScrubbed { .. }
            | ContainerEvent::Repaired { .. } => 0,
        });
        Ok(given_up.sum())
    }
}

fn look(deps: &ActorDeps, page: &Page, patience: UploadTimeouts) -> Result<Found, StoreError> {
    let since = deps.clock.trusted().plus_millis(-patience.upload_ms);
    let (mut found, mut last) = (Found::default(), None);
    for row in contents::promised_by(&deps.store, page.from.as_deref(), since) {
        let (at, waiting) = row?;
        if found.scanned == page.items_max {
            found.next = last;
            break;
        }
        found.scanned += 1;
        last = Some(at);
        let Waiting { key, object_id, .. } = waiting;
        match overdue(deps, &key, patience)? {
            Some((its, Overdue::First)) if its == object_id => found.pending.push(key),
            Some((its, Overdue::OverActive(upload))) if its == object_id => {
                let uploads = found.over_active.entry((key.org, key.container));
                uploads.or_default().push(upload);
            }
            Some(_) | None => {}
        }
    }
    Ok(found)
}

/// An upload that is overdue.
pub(super) enum Overdue {
    /// The upload was to be a record's first content.
    First,
    /// It was to replace the content of an active record.
    OverActive(Lookup),
}

/// The upload of a record, with its object, if it is overdue and nothing holds it.
pub(super) fn overdue(
    deps: &ActorDeps,
    key: &RecordKey,
    patience: UploadTimeouts,
) -> Result<Option<(Uuid, Overdue)>, StoreError> {
    let now = deps.clock.trusted();
    // Before the record, which may otherwise be of an earlier version.
    let place = Place {
        org: key.org.clone(),
        container: key.container.clone(),
    };
    let (_, org) = legal_hold(deps, &place)?;
    let Some(mut record) = records::find(&deps.store, RecordName::from(key))? else {
        return Ok(None);
    };
    let Some(upload) = record.upload.take() else {
        return Ok(None);
    };
    let ContentPlace::Object(object_id) = upload.content.place else {
        return Ok(None);
    };
    let held = holds::held(&deps.store, RecordName::from(key), &record)?.is_some();
    if record.is_due(now) || held || upload.given_up_at(patience) > now {
        return Ok(None);
    }
    let overdue = match record.status {
        Status::PendingUpload => Overdue::First,
        Status::Active => {
            let guards = [(StreamId::record(key), record.revision.0), org];
            Overdue::OverActive((given_up(key, upload, object_id), guards))
        }
        Status::Doomed => return Ok(None),
    };
    Ok(Some((object_id, overdue)))
}

fn given_up(key: &RecordKey, upload: PendingUpload, object_id: Uuid) -> GivenUpUpload {
    GivenUpUpload {
        record_id: key.record_id.clone(),
        version: upload.content.version,
        object_id,
        since: upload.since,
        content_type: upload.content.content_type,
        size: upload.content.size,
        md5: upload.content.md5,
    }
}
