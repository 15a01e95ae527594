//! `POST /mrs/hold/set` and `/mrs/hold/release`: an owner's hold on a record, which nothing then removes.

use super::{CHANGE_ERRORS, RECORD_ERRORS};
use super::{Subject, execute, keyed, record_reply};
use crate::actors::{RecordRequest, Refused};
use crate::domain::hold;
use crate::domain::record::{RecordCommand, RecordKey, RecordView, SWEEP};
use crate::domain::{Rejection, Revision};
use crate::http::auth::access::{Access, Right};
use crate::http::call::Call;
use crate::http::input::{self, RevisionIn, change_request};
use crate::http::reply::{Refusal, Reply};
use crate::http::route::{Described, Route, inside};
use crate::http::state::AppState;
use crate::journal::{Remarks, Source};
use crate::projections::{RecordName, holds};

change_request! {
    /// A record to hold or to release. A hold needs a `reason`, which everybody who can read the record sees.
    pub(super) struct HoldRequest {
        /// Id of the record within its container.
        #[schema(value_type = String, required = true, pattern = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
        record_id: Option<String>,
        /// The revision last read.
        #[schema(value_type = u64, required = true, minimum = 1)]
        expected_revision: Option<RevisionIn>,
    }
}

pub(crate) const SET: Route = Route::post(
    ("mrs", "/mrs/hold/set"),
    Access::Org(Right::Manage),
    inside!(set),
    Described::of::<__path_set>(),
)
.errors(&[RECORD_ERRORS, CHANGE_ERRORS], &[])
.keeps_first_answers();

/// Hold a record: nothing removes it or its content.
#[utoipa::path(post, path = SET.path, request_body = HoldRequest,
    responses((status = 200, description = "The record, held.", body = crate::http::reply::Good<'static, RecordView<'static>>)))]
pub async fn set(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    change(app, call, |request, expected| {
        Ok(RecordCommand::SetHold {
            reason: hold::reason(request.reason.as_deref())?,
            expected,
        })
    })
    .await
}

pub(crate) const RELEASE: Route = Route::post(
    ("mrs", "/mrs/hold/release"),
    Access::Org(Right::Manage),
    inside!(release),
    Described::of::<__path_release>(),
)
.errors(&[RECORD_ERRORS, CHANGE_ERRORS], &[])
.keeps_first_answers();

/// Release a record from its hold. A record that came due in the meantime is doomed at once.
#[utoipa::path(post, path = RELEASE.path, request_body = HoldRequest,
    responses((status = 200, description = "The record.", body = crate::http::reply::Good<'static, RecordView<'static>>)))]
pub async fn release(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    change(app, call, |_, expected| {
        Ok(RecordCommand::ReleaseHold { expected })
    })
    .await
}

async fn change(
    app: &AppState,
    call: &mut Call<'_>,
    command: impl FnOnce(&HoldRequest, Option<Revision>) -> Result<RecordCommand, Rejection>,
) -> Result<Reply, Refusal> {
    let request: HoldRequest = input::json(&call.body)?;
    let subject = Subject {
        orgcode: request.orgcode.as_deref(),
        cccode: request.cccode.as_deref(),
        container: request.container.as_deref(),
        record_id: request.record_id.as_deref(),
    };
    let key = subject.admit(app, call)?.key()?;
    let remarks = input::remarks(request.remarks())?;
    call.note_remarks(&remarks);
    let idempotency = keyed(app, call, &key, request.idempotency_key.as_deref())?;
    let expected = request.expected_revision.map(|revision| revision.0);
    let command = command(&request, expected)?;
    // By a clock that is not trusted nothing ends for good; the sweep does it later.
    if app.clock.may_destroy().is_ok() {
        sweep(app, call, &key).await?;
    }
    let mut execute = execute(call, key.clone(), command, remarks);
    execute.idempotency = idempotency;
    let executed = app.registry.execute(execute).await?;
    let now = app.clock.now();
    // A record released past its time has ended with that.
    let record = holds::effective_at(&app.store, RecordName::from(&key), executed.record, now)?;
    let mut reply = record_reply(&key, &record);
    reply.replayed = executed.replayed;
    Ok(reply)
}

/// Has a record end first whose time has come: a hold is set on what callers see, and that is doomed already.
async fn sweep(app: &AppState, call: &Call<'_>, key: &RecordKey) -> Result<(), Refused> {
    let end = RecordRequest {
        by: SWEEP.to_owned(),
        source: Source::Job,
        ..execute(
            call,
            key.clone(),
            RecordCommand::DoomIfDue,
            Remarks::default(),
        )
    };
    app.registry.execute(end).await.map(drop)
}
