//! What may be done about a vacuum when, and what it is after each event.

use super::{
    HalfErased, MUTEX_MS, PROTECTED_PREFIX, Scope, Step, Vacuum, VacuumCommand, VacuumEvent,
    VacuumStatus, Vacuums, is_protected,
};
use crate::domain::{
    Aggregate, Context, Decider, ErrorTag, EventMeta, Rejection, Revision, StreamId, Timestamp,
};

/// Rules of the stream of vacuums: at most one is open at a time.
pub struct VacuumDecider;

impl Decider for VacuumDecider {
    type Command = VacuumCommand;
    type State = Vacuums;
    type Event = VacuumEvent;

    fn decide(
        state: &Vacuums,
        command: &VacuumCommand,
        context: &Context,
    ) -> Result<Vec<VacuumEvent>, Rejection> {
        let event = match command {
            VacuumCommand::Request { .. } => return request(state, command, context.now),
            VacuumCommand::Start { .. } => start(state, command, context.now)?,
            VacuumCommand::NoteStep { vacuum_id, step } => {
                let vacuum = require(state, vacuum_id, VacuumStatus::Running, "go on")?;
                if vacuum.done.contains(step) {
                    return Ok(Vec::new());
                }
                VacuumEvent::StepDone {
                    vacuum_id: vacuum_id.clone(),
                    step: *step,
                }
            }
            VacuumCommand::Complete { vacuum_id, erased } => {
                require(state, vacuum_id, VacuumStatus::Running, "be completed")?;
                VacuumEvent::Completed {
                    vacuum_id: vacuum_id.clone(),
                    erased: erased.clone(),
                }
            }
            VacuumCommand::Fail { vacuum_id, error } => {
                let vacuum = state.find(vacuum_id).ok_or_else(not_found)?;
                if !vacuum.status.is_open() {
                    return Err(wrong_state(vacuum, "fail"));
                }
                VacuumEvent::Failed {
                    vacuum_id: vacuum_id.clone(),
                    error: error.clone(),
                }
            }
            VacuumCommand::Cancel { vacuum_id } => {
                let cancelled = state
                    .find(vacuum_id)
                    .is_some_and(|vacuum| vacuum.status == VacuumStatus::Cancelled);
                require(state, vacuum_id, VacuumStatus::Pending, "be cancelled")
                    .map_err(|wrong| wrong.already_there_if(cancelled))?;
                VacuumEvent::Cancelled {
                    vacuum_id: vacuum_id.clone(),
                }
            }
        };
        Ok(vec![event])
    }

    fn evolve(mut state: Vacuums, event: &VacuumEvent, occurrence: EventMeta<'_>) -> Vacuums {
        state.version = occurrence.version;
        if let VacuumEvent::Requested {
            vacuum_id,
            scope,
            dry_run,
            reason,
            execute_at,
            plan_id,
            override_holds,
        } = event
        {
            state.open = Some(Vacuum {
                vacuum_id: vacuum_id.clone(),
                scope: scope.clone(),
                dry_run: *dry_run,
                reason: reason.clone(),
                plan_id: plan_id.clone(),
                status: VacuumStatus::Pending,
                requested_at: occurrence.at,
                execute_at: *execute_at,
                started_at: None,
                started_position: 0,
                finished_at: None,
                override_holds: *override_holds,
                services: Vec::new(),
                held: Vec::new(),
                done: Vec::new(),
                error: None,
                revision: Revision(1),
            });
            return state;
        }
        let Some(mut vacuum) = state
            .open
            .take_if(|open| open.vacuum_id == event.vacuum_id())
        else {
            return state;
        };
        vacuum.change(event, occurrence);
        if vacuum.status.is_open() {
            state.open = Some(vacuum);
            return state;
        }
        if vacuum.done.contains(&Step::Database) {
            let covered = |half: &HalfErased| [&Scope::All, &half.scope].contains(&&vacuum.scope);
            state.half_erased.retain(|half| !covered(half));
        } else if vacuum.started_at.is_some() && !vacuum.dry_run {
            state.half_erased.push(HalfErased {
                scope: vacuum.scope.clone(),
                vacuum_id: vacuum.vacuum_id.clone(),
            });
        }
        state.last = Some(vacuum);
        state
    }
}

impl Aggregate for VacuumDecider {
    fn initial(stream: &StreamId) -> Option<Vacuums> {
        (stream.as_str() == StreamId::VACUUM).then(Vacuums::default)
    }

    fn version(state: &Vacuums) -> u64 {
        state.version
    }
}

impl Vacuum {
    fn change(&mut self, event: &VacuumEvent, occurrence: EventMeta<'_>) {
        self.revision = Revision(self.revision.0 + 1);
        let finished = match event {
            VacuumEvent::Requested { .. } => None,
            VacuumEvent::Started { services, held, .. } => {
                self.status = VacuumStatus::Running;
                self.started_at = Some(occurrence.at);
                self.started_position = occurrence.position;
                self.services.clone_from(services);
                self.held.clone_from(held);
                None
            }
            VacuumEvent::StepDone { step, .. } => {
                self.done.push(*step);
                None
            }
            VacuumEvent::Completed { .. } => Some(VacuumStatus::Completed),
            VacuumEvent::Failed { error, .. } => {
                self.error = Some(error.clone());
                Some(VacuumStatus::Failed)
            }
            VacuumEvent::Cancelled { .. } => Some(VacuumStatus::Cancelled),
        };
        if let Some(status) = finished {
            self.status = status;
            self.finished_at = Some(occurrence.at);
        }
    }
}

fn request(
    state: &Vacuums,
    command: &VacuumCommand,
    now: Timestamp,
) -> Result<Vec<VacuumEvent>, Rejection> {
    let VacuumCommand::Request {
        vacuum_id,
        scope,
        dry_run,
        reason,
        pending_ms,
        plan_id,
        override_holds,
    } = command
    else {
        return Ok(Vec::new());
    };
    check_scope(scope)?;
    let same = |vacuum: &Vacuum| {
        let asked = (&vacuum.scope, vacuum.dry_run, &vacuum.reason);
        asked == (scope, *dry_run, reason)
    };
    if let Some(vacuum) = state.find(vacuum_id) {
        return Err(Rejection::new(
            ErrorTag::Conflict,
            "There is already a vacuum with this id; choose another.",
        )
        .with_minor("vacuum_id")
        .already_there_if(same(vacuum)));
    }
    let there = state.open.as_ref().is_some_and(same);
    let mut events = release(state, now).map_err(|locked| locked.already_there_if(there))?;
    events.push(VacuumEvent::Requested {
        vacuum_id: vacuum_id.clone(),
        scope: scope.clone(),
        dry_run: *dry_run,
        reason: reason.clone(),
        execute_at: (!dry_run).then(|| now.plus_millis(*pending_ms)),
        plan_id: plan_id.clone(),
        override_holds: *override_holds,
    });
    Ok(events)
}

fn start(
    state: &Vacuums,
    command: &VacuumCommand,
    now: Timestamp,
) -> Result<VacuumEvent, Rejection> {
    let VacuumCommand::Start {
        vacuum_id,
        services,
        held,
        erases,
    } = command
    else {
        return Err(not_found());
    };
    let vacuum = require(state, vacuum_id, VacuumStatus::Pending, "begin")?;
    if vacuum.execute_at.is_some_and(|at| at > now) {
        return Err(wrong_state(vacuum, "begin yet"));
    }
    let erases = if vacuum.dry_run {
        Vec::new()
    } else {
        erases.clone()
    };
    Ok(VacuumEvent::Started {
        vacuum_id: vacuum_id.clone(),
        services: services.clone(),
        held: held.clone(),
        erases: Some(erases),
    })
}

pub(super) fn check_scope(scope: &Scope) -> Result<(), Rejection> {
    match scope.org().filter(|org| is_protected(org.as_str())) {
        None => Ok(()),
        Some(_) => Err(Rejection::new(
            ErrorTag::InvalidOrgcode,
            format!("Orgs whose name begins with {PROTECTED_PREFIX} are never vacuumed."),
        )),
    }
}

/// Takes the mutex from a vacuum that has had it for too long.
fn release(state: &Vacuums, now: Timestamp) -> Result<Vec<VacuumEvent>, Rejection> {
    let Some(open) = &state.open else {
        return Ok(Vec::new());
    };
    let held_until = open
        .execute_at
        .unwrap_or(open.requested_at)
        .plus_millis(MUTEX_MS);
    if held_until > now {
        return Err(Rejection::new(
            ErrorTag::VacuumMutexLocked,
            "Another vacuum is pending or running; wait for it, or cancel it while it is pending.",
        )
        .with_detail("vacuum_id", open.vacuum_id.as_str())
        .with_detail("status", open.status.as_str()));
    }
    Ok(vec![VacuumEvent::Failed {
        vacuum_id: open.vacuum_id.clone(),
        error: "it was not finished after 24 hours and was given up for another".to_owned(),
    }])
}

fn require<'a>(
    state: &'a Vacuums,
    vacuum_id: &str,
    status: VacuumStatus,
    what: &str,
) -> Result<&'a Vacuum, Rejection> {
    let vacuum = state.find(vacuum_id).ok_or_else(not_found)?;
    if vacuum.status == status {
        Ok(vacuum)
    } else {
        Err(wrong_state(vacuum, what))
    }
}

fn wrong_state(vacuum: &Vacuum, what: &str) -> Rejection {
    let status = vacuum.status.as_str();
    Rejection::new(
        ErrorTag::InvalidState,
        format!("The vacuum is {status} and cannot {what}."),
    )
    .with_detail("vacuum_id", vacuum.vacuum_id.as_str())
    .with_detail("status", status)
}

fn not_found() -> Rejection {
    Rejection::new(ErrorTag::NotFound, "There is no such vacuum.")
}
