//! What may be done about an org's leaving and coming when, and what it is after each event.

use super::{
    Approval, EXPORTS_MAX, Export, Import, Made, Offboarding, OffboardingAction,
    OffboardingCommand, OffboardingEvent, OffboardingStatus, OrgTransfer,
};
use crate::domain::{
    Aggregate, Context, Decider, ErrorTag, EventMeta, Rejection, StreamId, Timestamp,
};

/// Decides for offboardings, exports and imports.
pub struct OffboardingDecider;

type Decided = Result<Vec<OffboardingEvent>, Rejection>;

impl Decider for OffboardingDecider {
    type Command = OffboardingCommand;
    type State = OrgTransfer;
    type Event = OffboardingEvent;

    fn decide(state: &OrgTransfer, command: &OffboardingCommand, context: &Context) -> Decided {
        match &command.action {
            OffboardingAction::Request {
                offboarding_id,
                reason,
            } => match state.open_offboarding() {
                Some(open) => Err(wrong_state(open, "there is one already")
                    .already_there_if(open.reason == *reason)),
                None => one(OffboardingEvent::Requested {
                    offboarding_id: offboarding_id.clone(),
                    reason: reason.clone(),
                }),
            },
            OffboardingAction::Approve { .. } => approve(state, &command.action, context.now),
            OffboardingAction::Cancel => cancel(state),
            OffboardingAction::Block { why } => block(state, why),
            OffboardingAction::StartPurge { vacuum_id } => {
                check_purge(state, context.now)?;
                one(OffboardingEvent::PurgeStarted {
                    vacuum_id: vacuum_id.clone(),
                })
            }
            OffboardingAction::FinishPurge => {
                let purging = [OffboardingStatus::Purging];
                require(state, &purging, "nothing is being purged")?;
                one(OffboardingEvent::Purged {})
            }
            OffboardingAction::Export {
                export_id,
                position,
            } => {
                check_room(state)?;
                one(OffboardingEvent::ExportRequested {
                    export_id: export_id.clone(),
                    position: *position,
                })
            }
            OffboardingAction::FinishExport {
                export_id,
                manifest_sha256,
                counts,
            } => match state.export(export_id) {
                None => Err(Rejection::not_found()),
                Some(export) if export.made.is_some() => Ok(Vec::new()),
                Some(_) => one(OffboardingEvent::ExportCompleted {
                    export_id: export_id.clone(),
                    manifest_sha256: manifest_sha256.clone(),
                    counts: *counts,
                }),
            },
            OffboardingAction::RemoveExport { export_id } => match state.export(export_id) {
                None => Ok(Vec::new()),
                Some(_) => one(OffboardingEvent::ExportRemoved {
                    export_id: export_id.clone(),
                }),
            },
            OffboardingAction::BeginImport { .. } => begin_import(state, &command.action),
            OffboardingAction::FinishImport => {
                end_import(state, OffboardingEvent::ImportCompleted {})
            }
            OffboardingAction::CancelImport => {
                end_import(state, OffboardingEvent::ImportCancelled {})
            }
        }
    }

    fn evolve(
        mut state: OrgTransfer,
        event: &OffboardingEvent,
        occurrence: EventMeta<'_>,
    ) -> OrgTransfer {
        state.version = occurrence.version;
        match event {
            OffboardingEvent::Requested {
                offboarding_id,
                reason,
            } => {
                state.offboarding = Some(requested(offboarding_id, reason, occurrence));
            }
            OffboardingEvent::Approved { .. }
            | OffboardingEvent::Cancelled {}
            | OffboardingEvent::Blocked { .. }
            | OffboardingEvent::PurgeStarted { .. }
            | OffboardingEvent::Purged {} => {
                if let Some(offboarding) = &mut state.offboarding {
                    offboarding.change(event, occurrence.at);
                }
            }
            OffboardingEvent::ExportRequested {
                export_id,
                position,
            } => state.exports.push(Export {
                export_id: export_id.clone(),
                requested_at: occurrence.at,
                position: *position,
                made: None,
            }),
            OffboardingEvent::ExportCompleted {
                export_id,
                manifest_sha256,
                counts,
            } => {
                let mut exports = state.exports.iter_mut();
                if let Some(export) = exports.find(|export| export.export_id == *export_id) {
                    export.made = Some(Made {
                        at: occurrence.at,
                        manifest_sha256: manifest_sha256.clone(),
                        counts: *counts,
                    });
                }
            }
            OffboardingEvent::ExportRemoved { export_id } => {
                state
                    .exports
                    .retain(|export| export.export_id != *export_id);
            }
            OffboardingEvent::ImportBegun {
                manifest_sha256,
                export_id,
                entries,
            } => {
                state.import = Some(Import {
                    manifest_sha256: manifest_sha256.clone(),
                    export_id: export_id.clone(),
                    entries: *entries,
                    position: occurrence.position,
                    open: true,
                });
            }
            OffboardingEvent::ImportCompleted {} | OffboardingEvent::ImportCancelled {} => {
                if let Some(import) = &mut state.import {
                    import.open = false;
                }
            }
        }
        state
    }
}

impl Aggregate for OffboardingDecider {
    fn initial(stream: &StreamId) -> Option<OrgTransfer> {
        stream.transfer_of().map(|_| OrgTransfer::default())
    }

    fn version(state: &OrgTransfer) -> u64 {
        state.version
    }
}

impl OrgTransfer {
    fn has(&self, status: OffboardingStatus) -> bool {
        self.offboarding
            .as_ref()
            .is_some_and(|offboarding| offboarding.status == status)
    }
}

fn one(event: OffboardingEvent) -> Decided {
    Ok(vec![event])
}

fn approve(state: &OrgTransfer, action: &OffboardingAction, now: Timestamp) -> Decided {
    let OffboardingAction::Approve {
        window_ms,
        org_status,
        org_version,
    } = action
    else {
        return Ok(Vec::new());
    };
    let requested = [OffboardingStatus::Requested];
    let approved = state.has(OffboardingStatus::Approved);
    require(state, &requested, "it cannot be approved")
        .map_err(|wrong| wrong.already_there_if(approved))?;
    check_room(state)?;
    one(OffboardingEvent::Approved {
        window_ends_at: now.plus_millis(*window_ms),
        org_status: *org_status,
        org_version: *org_version,
    })
}

fn cancel(state: &OrgTransfer) -> Decided {
    let open = [OffboardingStatus::Requested, OffboardingStatus::Approved];
    let cancelled = state.has(OffboardingStatus::Cancelled);
    require(state, &open, "it cannot be cancelled any more")
        .map_err(|wrong| wrong.already_there_if(cancelled))?;
    one(OffboardingEvent::Cancelled {})
}

fn block(state: &OrgTransfer, why: &str) -> Decided {
    let on_its_way = [OffboardingStatus::Approved, OffboardingStatus::Purging];
    let offboarding = require(state, &on_its_way, "it cannot be blocked")?;
    if offboarding.blocked.as_deref() == Some(why) {
        Ok(Vec::new())
    } else {
        one(OffboardingEvent::Blocked {
            why: why.to_owned(),
        })
    }
}

/// Nothing is erased before its time, nor before it can be taken away.
fn check_purge(state: &OrgTransfer, now: Timestamp) -> Result<(), Rejection> {
    let on_its_way = [OffboardingStatus::Approved, OffboardingStatus::Purging];
    let offboarding = require(state, &on_its_way, "nothing can be purged")?;
    let approval = offboarding.approval.as_ref();
    if approval.is_none_or(|approval| approval.window_ends_at > now) {
        return Err(wrong_state(offboarding, "its export window has not ended"));
    }
    let export = state.export(&offboarding.offboarding_id);
    if export.is_some_and(|export| export.made.is_some()) {
        Ok(())
    } else {
        Err(wrong_state(offboarding, "its export is not finished"))
    }
}

/// One export of an org is made at a time, and not too many are kept.
fn check_room(state: &OrgTransfer) -> Result<(), Rejection> {
    if let Some(unfinished) = state.exports.iter().find(|export| export.made.is_none()) {
        return Err(Rejection::new(
            ErrorTag::InvalidState,
            "An export of the org is being created; wait for it.",
        )
        .already_there()
        .with_detail("export_id", unfinished.export_id.as_str()));
    }
    if state.exports.len() < EXPORTS_MAX {
        Ok(())
    } else {
        Err(Rejection::new(
            ErrorTag::InvalidState,
            format!("{EXPORTS_MAX} exports of the org are kept; wait until one is removed."),
        ))
    }
}

fn begin_import(state: &OrgTransfer, action: &OffboardingAction) -> Decided {
    let OffboardingAction::BeginImport {
        manifest_sha256,
        export_id,
        entries,
        taken,
    } = action
    else {
        return Ok(Vec::new());
    };
    match state.import.as_ref().filter(|import| import.open) {
        Some(open) if open.manifest_sha256 == *manifest_sha256 => Ok(Vec::new()),
        Some(open) => Err(Rejection::new(
            ErrorTag::Conflict,
            "Another import of the org is in progress; continue that one, or cancel it and vacuum the org.",
        )
        .with_minor("import-running")
        .with_detail("export_id", open.export_id.as_str())),
        None if *taken => Err(Rejection::new(
            ErrorTag::Conflict,
            "An org with this code exists, or data of one remains; an import needs an unused code.",
        )
        .with_minor("orgcode")),
        None => one(OffboardingEvent::ImportBegun {
            manifest_sha256: manifest_sha256.clone(),
            export_id: export_id.clone(),
            entries: *entries,
        }),
    }
}

fn end_import(state: &OrgTransfer, event: OffboardingEvent) -> Decided {
    if state.is_importing() {
        one(event)
    } else {
        Err(Rejection::new(
            ErrorTag::InvalidState,
            "No import of the org is in progress; start one.",
        )
        .already_there_if(state.import.is_some()))
    }
}

fn requested(offboarding_id: &str, reason: &str, occurrence: EventMeta<'_>) -> Offboarding {
    Offboarding {
        offboarding_id: offboarding_id.to_owned(),
        reason: reason.to_owned(),
        status: OffboardingStatus::Requested,
        requested_at: occurrence.at,
        requested_by: occurrence.by.to_owned(),
        approval: None,
        vacuum_id: None,
        blocked: None,
        updated_at: occurrence.at,
        finished_at: None,
        revision: 1,
    }
}

impl Offboarding {
    fn change(&mut self, event: &OffboardingEvent, at: Timestamp) {
        match event {
            OffboardingEvent::Approved {
                window_ends_at,
                org_status,
                org_version,
            } => {
                self.status = OffboardingStatus::Approved;
                self.approval = Some(Approval {
                    at,
                    window_ends_at: *window_ends_at,
                    org_status: *org_status,
                    org_version: *org_version,
                });
            }
            OffboardingEvent::Cancelled {} => self.finish(OffboardingStatus::Cancelled, at),
            OffboardingEvent::Blocked { why } => self.blocked = Some(why.clone()),
            OffboardingEvent::PurgeStarted { vacuum_id } => {
                self.status = OffboardingStatus::Purging;
                self.vacuum_id = Some(vacuum_id.clone());
                self.blocked = None;
            }
            OffboardingEvent::Purged {} => self.finish(OffboardingStatus::Purged, at),
            OffboardingEvent::Requested { .. }
            | OffboardingEvent::ExportRequested { .. }
            | OffboardingEvent::ExportCompleted { .. }
            | OffboardingEvent::ExportRemoved { .. }
            | OffboardingEvent::ImportBegun { .. }
            | OffboardingEvent::ImportCompleted {}
            | OffboardingEvent::ImportCancelled {} => return,
        }
        self.updated_at = at;
        self.revision += 1;
    }

    fn finish(&mut self, status: OffboardingStatus, at: Timestamp) {
        self.status = status;
        self.blocked = None;
        self.finished_at = Some(at);
    }
}

fn require<'a>(
    state: &'a OrgTransfer,
    statuses: &[OffboardingStatus],
    what: &str,
) -> Result<&'a Offboarding, Rejection> {
    match &state.offboarding {
        Some(offboarding) if statuses.contains(&offboarding.status) => Ok(offboarding),
        Some(offboarding) => Err(wrong_state(offboarding, what)),
        None => Err(Rejection::new(
            ErrorTag::InvalidState,
            "No offboarding of the org was requested.",
        )
        .with_detail("status", "none")),
    }
}

fn wrong_state(offboarding: &Offboarding, what: &str) -> Rejection {
    let status = offboarding.status.as_str();
    Rejection::new(
        ErrorTag::InvalidState,
        format!("The offboarding is {status}: {what}."),
    )
    .with_detail("offboarding_id", offboarding.offboarding_id.as_str())
    .with_detail("status", status)
}
