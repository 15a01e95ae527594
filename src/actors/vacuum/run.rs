//! A vacuum's work from its beginning to its end: it keeps changes out, counts, begins, and does one step after the other.

use std::pin::Pin;
use std::sync::Arc;

use super::work::{Work, erased_of, plan_id};
use super::{Progress, Survey, VacuumError, held, person};
use crate::actors::execute::execute;
use crate::actors::ops_context::OpsContext;
use crate::actors::request::{Caller, Refused};
use crate::content::ContentStore;
use crate::domain::vacuum::{JOB, Scope, Step, Vacuum, VacuumCommand, VacuumDecider, VacuumStatus};
use crate::journal::Position;
use crate::offload;
use crate::os_error::describe;
use crate::projections::ops;
use crate::report;

/// Makes again what must always be there, such as a development user, after a vacuum.
pub type AfterVacuum = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync>;

/// The dependencies of vacuums' actors.
pub struct VacuumContext {
    /// The context that they share with windows.
    pub ops: Arc<OpsContext>,
    work: Arc<Work>,
    after: Option<AfterVacuum>,
}

impl VacuumContext {
    /// A context over the stored content, with what is to be made again when a vacuum is over.
    pub fn new(
        ops: Arc<OpsContext>,
        content: Arc<dyn ContentStore>,
        after: Option<AfterVacuum>,
    ) -> Arc<Self> {
        let work = Work {
            journal: ops.deps.journal.clone(),
            store: ops.deps.store.clone(),
            content,
            progress: Arc::default(),
        };
        Arc::new(Self {
            ops,
            work: Arc::new(work),
            after,
        })
    }

    /// The progress of the running vacuum.
    pub fn progress(&self) -> &Progress {
        &self.work.progress
    }

    /// Counts what a vacuum of a scope would erase now, service by service.
    ///
    /// # Errors
    /// [`VacuumError`] for a failed read, or too many entries for one vacuum.
    pub async fn survey(&self, scope: &Scope) -> Result<Survey, VacuumError> {
        let (work, scope) = (self.work.clone(), scope.clone());
        offload::try_blocking(move || work.survey(&scope)).await
    }

    /// Erases in the log; the positions that are erased now.
    async fn erase_log(&self, vacuum: &Vacuum) -> Result<Arc<Vec<Position>>, VacuumError> {
        let (work, of) = (self.work.clone(), vacuum.clone());
        offload::try_blocking(move || work.erase(&of).map(Arc::new)).await
    }

    async fn execute(&self, command: VacuumCommand) -> Result<Vacuum, Refused> {
        let caller = Caller::job(JOB);
        let vacuums = execute::<VacuumDecider>(&self.ops.deps, &command, &caller).await?;
        self.ops.tell_changed();
        let vacuum = vacuums.find(command.vacuum_id()).cloned();
        vacuum.ok_or_else(|| Refused::failed("a command left no vacuum"))
    }
}

/// Runs a vacuum to its end. False when it is still open, as when the journal takes no writes: then changes are kept out
/// of a running one, and it can be run again.
pub(super) async fn run(context: Arc<VacuumContext>, vacuum: Vacuum) -> bool {
    let id = vacuum.vacuum_id.clone();
    let done = if vacuum.dry_run {
        count(&context, vacuum).await
    } else {
        erase(&context, vacuum).await
    };
    context.work.progress.set(None);
    match done {
        // Another command has decided on it meanwhile.
        Ok(()) | Err(VacuumError::Refused(Refused::Rejected { .. })) => {}
        Err(error) => {
            report::notice_error(&format!("the vacuum {id} failed"), &error);
            let fail = VacuumCommand::Fail {
                vacuum_id: id.clone(),
                error: describe(&error),
            };
            if let Err(Refused::Busy | Refused::Unavailable | Refused::Failed(_)) =
                context.execute(fail).await
            {
                return false;
            }
        }
    }
    let over = match ops::vacuums(&context.ops.deps.store) {
        Ok(vacuums) => {
            let admission = &context.ops.deps.admission;
            admission.keep_out_of(&vacuums.half_erased);
            admission.open(&id);
            vacuums.open.is_none_or(|open| open.vacuum_id != id)
        }
        Err(error) => {
            report::notice_error("the vacuums cannot be read", &error);
            false
        }
    };
    context.ops.tell_changed();
    if let Some(after) = &context.after {
        after().await;
    }
    over
}

/// A dry run: counts, and states the numbers.
async fn count(context: &VacuumContext, vacuum: Vacuum) -> Result<(), VacuumError> {
    let vacuum_id = vacuum.vacuum_id.clone();
    if vacuum.status == VacuumStatus::Pending {
        let mut survey = context.survey(&vacuum.scope).await?;
        if vacuum.override_holds {
            survey.held.clear();
        }
        let start = VacuumCommand::Start {
            vacuum_id: vacuum_id.clone(),
            services: survey.services,
            held: survey.held,
            erases: Vec::new(),
        };
        context.execute(start).await?;
    }
    let complete = VacuumCommand::Complete {
        vacuum_id,
        erased: None,
    };
    context.execute(complete).await?;
    Ok(())
}

/// A real run: keeps changes out, counts, begins, and erases.
async fn erase(context: &VacuumContext, mut vacuum: Vacuum) -> Result<(), VacuumError> {
    let admission = &context.ops.deps.admission;
    admission.close(&vacuum.scope, &vacuum.vacuum_id);
    admission.drained(&vacuum.scope).await;
    if vacuum.status == VacuumStatus::Pending {
        vacuum = begin(context, &vacuum).await?;
    }
    let mut erased = None;
    for step in Step::ALL {
        if vacuum.done.contains(&step) {
            continue;
        }
        do_step(context, &vacuum, step, &mut erased).await?;
        let note = VacuumCommand::NoteStep {
            vacuum_id: vacuum.vacuum_id.clone(),
            step,
        };
        vacuum = context.execute(note).await?;
    }
    let positions = erased_positions(context, &vacuum, &mut erased).await?;
    let complete = VacuumCommand::Complete {
        vacuum_id: vacuum.vacuum_id,
        erased: Some(erased_of(&positions)),
    };
    context.execute(complete).await?;
    Ok(())
}

/// Counts and begins, unless something forbids it meanwhile.
async fn begin(context: &VacuumContext, vacuum: &Vacuum) -> Result<Vacuum, VacuumError> {
    let (deps, overridden) = (&context.ops.deps, vacuum.override_holds);
    if let Some(user_id) = vacuum.scope.user_id() {
        person::check(deps, user_id, overridden).map_err(VacuumError::Prevented)?;
        let departed = person::depart(deps, user_id).await;
        departed.map_err(VacuumError::Prevented)?;
    }
    let mut survey = context.survey(&vacuum.scope).await?;
    // Something may have been held while the vacuum was pending, and while it counted.
    match &vacuum.scope {
        Scope::All => {
            held::check(&deps.store, overridden).map_err(VacuumError::Prevented)?;
            survey.held.clear();
        }
        Scope::User(user_id) => {
            person::check(deps, user_id, overridden).map_err(VacuumError::Prevented)?;
        }
        Scope::Org(_) => {}
    }
    let stale = |plan: &String| *plan != plan_id(&vacuum.scope, &survey.services);
    if vacuum.plan_id.as_ref().is_some_and(stale) {
        return Err(VacuumError::StalePlan);
    }
    let start = VacuumCommand::Start {
        vacuum_id: vacuum.vacuum_id.clone(),
        services: survey.services,
        held: survey.held,
        erases: survey.erases,
    };
    Ok(context.execute(start).await?)
}

/// Does one step. The log is erased once in a run, also when a run before it did so: its positions are what the database
/// forgets, and what the end of the vacuum states.
async fn do_step(
    context: &VacuumContext,
    vacuum: &Vacuum,
    step: Step,
    erased: &mut Option<Arc<Vec<Position>>>,
) -> Result<(), VacuumError> {
    let (work, scope) = (context.work.clone(), vacuum.scope.clone());
    work.progress.set(Some((step, 0, 0)));
    match step {
        Step::Projections => offload::try_blocking(move || work.erase_rows(&scope)).await,
        Step::Log => erased_positions(context, vacuum, erased).await.map(drop),
        Step::Database => {
            let positions = erased_positions(context, vacuum, erased).await?;
            offload::try_blocking(move || work.erase_database(&positions)).await
        }
        Step::Content => offload::try_blocking(move || work.erase_content(&scope)).await,
        Step::Leftovers => offload::try_blocking(move || work.erase_leftovers(&scope)).await,
    }
}

/// The positions that the log has erased, which this run erases now unless it did before.
async fn erased_positions(
    context: &VacuumContext,
    vacuum: &Vacuum,
    erased: &mut Option<Arc<Vec<Position>>>,
) -> Result<Arc<Vec<Position>>, VacuumError> {
    if let Some(positions) = erased {
        return Ok(Arc::clone(positions));
    }
    let positions = context.erase_log(vacuum).await?;
    *erased = Some(Arc::clone(&positions));
    Ok(positions)
}
