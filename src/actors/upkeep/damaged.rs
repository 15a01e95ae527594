//! Copies of damaged content: removed once they were kept long enough, unless something holds the content.

use std::collections::BTreeMap;

use super::{Guard, Place, Upkeep, legal_hold};
use crate::actors::Caller;
use crate::actors::container::{MaintainContainer, MaintenanceOutcome};
use crate::actors::{ActorDeps, Refused};
use crate::content::{ContentStore, ObjectName, SetAside};
use crate::domain::container::ContainerCommand;
use crate::domain::record::RecordKey;
use crate::domain::repair::{DriftKind, Repair, RepairAction};
use crate::domain::{ContainerName, OrgCode, RecordId, StreamId, Timestamp};
use crate::offload;
use crate::projections::{RecordName, StoreError, contents, holds, identity, records};
use crate::report;

/// Objects of an org whose copies one run checks.
const OBJECTS_MAX: usize = 4_096;
/// Objects of a container whose copies one run removes, by one event; the next run continues.
const REPAIRS_MAX: usize = 128;

/// The copies of an org that were found: those of records, by container, with what was read, and those of objects that no
/// record names any more.
#[derive(Default)]
struct Found {
    of_records: BTreeMap<ContainerName, (Vec<SetAside>, BTreeMap<StreamId, u64>)>,
    of_nobody: Vec<SetAside>,
}

impl Upkeep {
    /// Removes copies of an org's damaged content that were kept `keep_ms` ago or earlier. Those of a record are journaled first.
    /// What is held stays, and what a vacuum or an offboarding closes is left to the next run. Returns the number of files, and
    /// their bytes.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn remove_damaged(
        &self,
        org: &OrgCode,
        keep_ms: i64,
        caller: &Caller,
    ) -> Result<(u64, u64), Refused> {
        let deps = self.registry.deps().clone();
        let until = deps.clock.may_destroy()?.plus_millis(-keep_ms);
        let (content, of) = (self.content.clone(), org.clone());
        let found = offload::try_blocking({
            let deps = deps.clone();
            move || look(&deps, &*content, &of, until)
        });
        let found = found.await?;
        let (mut files, mut bytes) = (0, 0);
        let mut add = |removed: (u64, u64)| {
            files += removed.0;
            bytes += removed.1;
        };
        for (container, (copies, guards)) in found.of_records {
            let place = Place {
                org: org.clone(),
                container,
            };
            let repairs = copies.iter().map(|copy| {
                let mut repair = Repair::new(DriftKind::OrphanObject, RepairAction::FileRemoved);
                repair.object_id = Some(copy.object_id);
                repair
            });
            let order = MaintainContainer {
                command: ContainerCommand::Repair {
                    repairs: repairs.collect(),
                },
                guards: guards.into_iter().collect(),
                caller: caller.clone(),
            };
            match self.maintain(&place, order).await {
                Ok(MaintenanceOutcome::Done(_)) => add(self.remove_copies(org, copies).await?),
                // Something was changed meanwhile, as by a hold, or the container takes no changes now.
                Ok(MaintenanceOutcome::Moved) | Err(Refused::Rejected { .. }) => {}
                Err(refused) => return Err(refused),
            }
        }
        if !found.of_nobody.is_empty()
            && let Ok(_pass) = deps.admission.enter_org(org)
        {
            add(self.remove_copies(org, found.of_nobody).await?);
        }
        if files > 0 {
            report::notice(&format!(
                "{files} copies of damaged content of {org}, {bytes} bytes, were kept long enough and are removed"
            ));
        }
        Ok((files, bytes))
    }

    async fn remove_copies(
        &self,
        org: &OrgCode,
        copies: Vec<SetAside>,
    ) -> Result<(u64, u64), Refused> {
        let (content, org) = (self.content.clone(), org.clone());
        let removed = offload::try_blocking(move || {
            let (mut files, mut bytes) = (0, 0);
            for copy in copies {
                let object = ObjectName {
                    org: org.clone(),
                    object_id: copy.object_id,
                };
                let removed = content.remove_set_aside(&object);
                let removed = removed.map_err(Refused::failed)?;
                files += removed.0;
                bytes += removed.1;
            }
            Ok((files, bytes))
        });
        removed.await
    }
}

fn look(
    deps: &ActorDeps,
    content: &dyn ContentStore,
    org: &OrgCode,
    until: Timestamp,
) -> Result<Found, Refused> {
    let mut found = Found::default();
    let copies = content.set_aside_until(org, until, OBJECTS_MAX);
    for copy in copies.map_err(Refused::failed)? {
        let kept = keep(deps, org, copy, &mut found);
        kept.map_err(Refused::failed)?;
    }
    Ok(found)
}

/// Sorts a copy in, unless something holds it.
fn keep(
    deps: &ActorDeps,
    org: &OrgCode,
    copy: SetAside,
    found: &mut Found,
) -> Result<(), StoreError> {
    let store = &deps.store;
    let owner = contents::owner(store, org.as_str(), copy.object_id)?;
    let named = owner.and_then(|owner| {
        let container = ContainerName::parse(&owner.container).ok()?;
        Some((container, RecordId::parse(&owner.record_id).ok()?))
    });
    let Some((container, record_id)) = named else {
        // Which container it was of is not known any more: a hold on any may cover it.
        if identity::holds(store, org.as_str())?.is_empty() {
            found.of_nobody.push(copy);
        }
        return Ok(());
    };
    let place = Place {
        org: org.clone(),
        container: container.clone(),
    };
    let (held, guard): (bool, Guard) = legal_hold(deps, &place)?;
    let key = RecordKey {
        org: place.org,
        container: place.container,
        record_id,
    };
    let record = records::find(store, RecordName::from(&key))?;
    let Some(record) = record.filter(|_| !held) else {
        return Ok(());
    };
    if holds::held(store, RecordName::from(&key), &record)?.is_some() {
        return Ok(());
    }
    let (copies, guards) = found.of_records.entry(container).or_default();
    if copies.len() < REPAIRS_MAX {
        copies.push(copy);
        guards.extend([guard, (StreamId::record(&key), record.revision.0)]);
    }
    Ok(())
}
