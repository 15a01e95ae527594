//! `jobs_list`, `show`, `run`, `pause` and `resume`.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ask, operator_request, text};
use crate::actors::jobs::{Order, Run, Status};
use crate::domain::Timestamp;
use crate::domain::job::Counts;
use crate::http::call::Call;
use crate::http::input;
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;

/// Longest name that is accepted, in characters.
const NAME_CHARS_MAX: usize = 64;

/// The input of a function without fields.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Nothing)]
struct All {}

/// The job that a call is about.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = JobQuery)]
struct Which {
    /// Name of the job, as `jobs_list` shows it.
    #[schema(value_type = String, required = true)]
    job: Option<String>,
}

operator_request! {
    /// A job that is to do something.
    #[schema(as = JobOrder)]
    pub(super) struct Ordered {
        /// Name of the job, as `jobs_list` shows it.
        #[schema(value_type = String, required = true)]
        job: Option<String>,
    }
}

/// A job as operators see it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct JobView {
    job: &'static str,
    purpose: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    every_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_run_at: Option<String>,
    #[serde(skip_serializing_if = "Counts::is_empty")]
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    last_counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_run_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::BTreeMap<String, u64>>)]
    progress: Option<Counts>,
    failing: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    runs: u64,
    failures: u64,
}

/// What an unfinished run did so far; `done` and `total` are its progress, as far as that is known.
fn progress(run: &Run) -> Counts {
    let mut progress = run.counts.clone();
    let told = [("done", run.done), ("total", run.total)];
    let known = told.into_iter().filter(|(_, number)| *number > 0);
    progress.extend(known.map(|(name, number)| (name.to_owned(), number)));
    progress
}

impl From<&Status> for JobView {
    fn from(status: &Status) -> Self {
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            job: status.name,
            purpose: status.purpose,
            state: status.state().as_str(),
            every_seconds: status.every_ms.map(|every| every / 1_000),
            last_run_at: time(status.last_run_at),
            last_counts: status.last_counts.clone(),
            next_run_at: time(status.next_run_at.filter(|_| !status.paused)),
            started_at: time(status.run.as_ref().map(|run| run.started_at)),
            progress: status.run.as_ref().map(progress),
            failing: status.failing,
            error: status.error.clone(),
            runs: status.runs,
            failures: status.failures,
        }
    }
}

/// Shows every job with its state.
#[utoipa::path(post, path = "/invoke/jobs_list", request_body = All,
    responses((status = 200, description = "`items`: each job with its state, its last run and its next.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn list(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let All {} = input::json(&call.body)?;
    let jobs = app.jobs.list();
    let items: Vec<_> = jobs.iter().map(JobView::from).collect();
    Reply::of(&json!({ "items": items }))
}

/// Shows one job with its state.
#[utoipa::path(post, path = "/invoke/jobs_show", request_body = Which,
    responses((status = 200, description = "The job.", body = crate::http::reply::Good<'static, JobView>)))]
pub(super) async fn show(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let which: Which = input::json(&call.body)?;
    let name = text(which.job.as_deref(), "job", NAME_CHARS_MAX)?;
    reply(&app.jobs.show(&name)?)
}

/// Has a job run now.
#[utoipa::path(post, path = "/invoke/jobs_run", request_body = Ordered,
    responses((status = 200, description = "The job.", body = crate::http::reply::Good<'static, JobView>)))]
pub(super) async fn run(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    order(app, call, Order::Run).await
}

/// Pauses a job until it is resumed.
#[utoipa::path(post, path = "/invoke/jobs_pause", request_body = Ordered,
    responses((status = 200, description = "The job.", body = crate::http::reply::Good<'static, JobView>)))]
pub(super) async fn pause(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    order(app, call, Order::Pause).await
}

/// Resumes a paused job.
#[utoipa::path(post, path = "/invoke/jobs_resume", request_body = Ordered,
    responses((status = 200, description = "The job.", body = crate::http::reply::Good<'static, JobView>)))]
pub(super) async fn resume(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    order(app, call, Order::Resume).await
}

async fn order(app: &AppState, call: &mut Call<'_>, order: Order) -> Result<Reply, Refusal> {
    let request: Ordered = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let name = text(request.job.as_deref(), "job", NAME_CHARS_MAX)?;
    app.jobs.show(&name)?;
    ask(app, call, &caller, (&name, &[])).await?;
    reply(&app.jobs.order(&name, order, caller).await?)
}

fn reply(status: &Status) -> Result<Reply, Refusal> {
    Reply::of(&JobView::from(status))
}
