//! Abandoned uploads: records whose first content never came are doomed; other uploads are not waited for any more.

use std::collections::BTreeMap;

use super::{Guard, Page, Place, Upkeep, legal_hold};
use crate::actors::container::{Tend, Tended};
use crate::actors::ops::Caller;
use crate::actors::vacuum::blocking;
use crate::actors::{Carry, Desk, Refused};
use crate::domain::container::{ContainerCommand, ContainerEvent, GivenUpUpload};
use crate::domain::record::{ContentPlace, Patience, RecordCommand, RecordKey, Status};
use crate::domain::{ContainerName, OrgCode, StreamId};
use crate::projections::contents::Waiting;
use crate::projections::{RecordName, StoreError, contents, holds, records};

/// What one step through the uploads did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abandoned {
    /// Uploads looked at.
    pub scanned: usize,
    /// Records doomed.
    pub doomed: usize,
    /// Uploads over active records that are not waited for any more. The records stay as they are.
    pub given_up: usize,
    /// Where to go on; `None` at the end.
    pub next: Option<Vec<u8>>,
}

/// An upload over an active record, with what was looked at: the record, and the holds of its org.
type Looked = (GivenUpUpload, [Guard; 2]);

/// What a look at the uploads found.
#[derive(Default)]
struct Found {
    scanned: usize,
    /// Records whose first content it would be.
    pending: Vec<RecordKey>,
    /// Uploads over active records, by container.
    over_active: BTreeMap<(OrgCode, ContainerName), Vec<Looked>>,
    next: Option<Vec<u8>>,
}

impl Upkeep {
    /// One step through the uploads that were promised longest ago, over all orgs.
    ///
    /// # Errors
    /// See [`Refused`]; one that a rule refuses, as while its org is vacuumed, is passed over.
    pub async fn abandoned(&self, page: &Page, caller: &Caller) -> Result<Abandoned, Refused> {
        let (desk, page) = (self.book.desk().clone(), page.clone());
        let patience = self.settings.patience;
        let look = move || look(&desk, &page, patience).map_err(|error| error.to_string());
        let found = blocking(look).await.map_err(Refused::Failed)?;
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
        let carry = Carry {
            key,
            command: Ok(RecordCommand::DoomIfAbandoned(self.settings.patience)),
            payload: None,
            idempotency: None,
            by: caller.by.clone(),
            request_id: caller.request_id.clone(),
            source: caller.source,
            remarks: caller.remarks.clone(),
        };
        match self.book.carry(carry).await {
            Ok(carried) => Ok(carried.record.status == Status::Doomed),
            Err(Refused::Rejected { .. }) => Ok(false),
            Err(refused) => Err(refused),
        }
    }

    /// One whose record has changed meanwhile waits for the next step.
    async fn give_up(
        &self,
        place: &Place,
        uploads: Vec<Looked>,
        caller: &Caller,
    ) -> Result<usize, Refused> {
        let guards = uploads.iter().flat_map(|(_, guards)| guards.clone());
        let guards = guards.collect::<BTreeMap<_, _>>().into_iter();
        let order = Tend {
            guards: guards.collect(),
            command: ContainerCommand::GiveUpUploads {
                uploads: uploads.into_iter().map(|(upload, _)| upload).collect(),
            },
            caller: caller.clone(),
        };
        let events = match self.tend(place, order).await {
            Ok(Tended::Done(events)) => events,
            Ok(Tended::Moved) | Err(Refused::Rejected { .. }) => return Ok(0),
            Err(refused) => return Err(refused),
        };
        let given_up = events.iter().map(|event| match event {
            ContainerEvent::UploadsGivenUp { uploads } => uploads.len(),
            ContainerEvent::RefusalRemembered { .. }
            | ContainerEvent::ContentRemoved { .. }
            | ContainerEvent::AnswersForgotten { .. }
            | ContainerEvent::TagsScrubbed { .. } => 0,
        });
        Ok(given_up.sum())
    }
}

fn look(desk: &Desk, page: &Page, patience: Patience) -> Result<Found, StoreError> {
    let now = desk.clock.now();
    let since = now.plus_millis(-patience.upload_ms);
    let (mut found, mut last) = (Found::default(), None);
    for row in contents::promised_by(&desk.store, page.from.as_deref(), since) {
        let (at, waiting) = row?;
        if found.scanned == page.items_max {
            found.next = last;
            break;
        }
        found.scanned += 1;
        last = Some(at);
        let Waiting { key, object_id, .. } = waiting;
        let record = records::find(&desk.store, RecordName::from(&key))?;
        let Some((record, upload)) = record.and_then(|mut record| {
            let upload = record.upload.take()?;
            Some((record, upload))
        }) else {
            continue;
        };
        let its = upload.content.place == ContentPlace::Object(object_id);
        let place = Place {
            org: key.org.clone(),
            container: key.container.clone(),
        };
        let (_, org) = legal_hold(desk, &place)?;
        let held = holds::held(&desk.store, RecordName::from(&key), &record)?.is_some();
        let ended = record.status == Status::Doomed || record.is_due(now);
        if !its || ended || held || upload.given_up_at(patience) > now {
            continue;
        }
        match record.status {
            Status::PendingUpload => found.pending.push(key),
            Status::Active => {
                let guards = [(StreamId::record(&key), record.revision.0), org];
                let given_up = GivenUpUpload {
                    record_id: key.record_id,
                    version: upload.content.version,
                    object_id,
                    since: upload.since,
                    content_type: upload.content.content_type,
                    size: upload.content.size,
                    md5: upload.content.md5,
                };
                let uploads = found.over_active.entry((key.org, key.container));
                uploads.or_default().push((given_up, guards));
            }
            Status::Doomed => {}
        }
    }
    Ok(found)
}
