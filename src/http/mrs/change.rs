//! `POST /mrs/tag/add`, `/mrs/tag/remove`, `/mrs/ttl/set` and `/mrs/doom`: changes that bring no content.

use super::{CHANGE_ERRORS, RECORD_ERRORS};
use super::{Subject, execute, keyed, outcome_reply};
use crate::domain::record::{RecordCommand, RecordView};
use crate::domain::{ErrorTag, Rejection, Tag};
use crate::http::auth::access::{Access, Right};
use crate::http::call::Call;
use crate::http::input::{self, RevisionIn, change_request};
use crate::http::reply::{Refusal, Reply};
use crate::http::route::{Described, Route, inside};
use crate::http::state::AppState;
use crate::journal::Remarks;

change_request! {
    /// Tags to add or remove.
    pub(super) struct TagRequest {
        /// Id of the record within its container.
        #[schema(value_type = String, required = true, pattern = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
        record_id: Option<String>,
        /// Tags to add or remove, at least one.
        #[schema(schema_with = input::tags_schema, required = true)]
        tags: Option<Vec<String>>,
        /// The revision last read.
        #[schema(value_type = u64, required = true, minimum = 1)]
        expected_revision: Option<RevisionIn>,
    }
}

change_request! {
    /// A due time to set or clear.
    pub(super) struct TtlRequest {
        /// Id of the record within its container.
        #[schema(value_type = String, required = true, pattern = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
        record_id: Option<String>,
        /// When the record dooms itself; null for never.
        #[serde(default, deserialize_with = "input::present")]
        #[schema(value_type = Option<String>, format = DateTime)]
        doom_at: Option<Option<String>>,
        /// The revision last read.
        #[schema(value_type = u64, required = true, minimum = 1)]
        expected_revision: Option<RevisionIn>,
    }
}

change_request! {
    /// A record to doom.
    pub(super) struct DoomRequest {
        /// Id of the record within its container.
        #[schema(value_type = String, required = true, pattern = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
        record_id: Option<String>,
        /// The revision last read.
        #[schema(value_type = u64, required = true, minimum = 1)]
        expected_revision: Option<RevisionIn>,
    }
}

/// Runs a change: admits the caller, makes the command, executes it.
macro_rules! run {
    ($app:ident, $call:ident, $request:ident, $command:expr) => {{
        let subject = Subject {
            orgcode: $request.orgcode.as_deref(),
            cccode: $request.cccode.as_deref(),
            container: $request.container.as_deref(),
            record_id: $request.record_id.as_deref(),
        };
        let remarks = $request.remarks();
        let key = $request.idempotency_key.as_deref();
        change($app, $call, (subject, key), remarks, || $command).await
    }};
}

async fn change(
    app: &AppState,
    call: &mut Call<'_>,
    (subject, given): (Subject<'_>, Option<&str>),
    remarks: Remarks,
    command: impl FnOnce() -> Result<RecordCommand, Rejection>,
) -> Result<Reply, Refusal> {
    let key = subject.admit(app, call)?.key()?;
    let remarks = input::remarks(remarks)?;
    call.note_remarks(&remarks);
    let idempotency = keyed(app, call, &key, given)?;
    let mut execute = execute(call, key.clone(), command()?, remarks);
    execute.idempotency = idempotency;
    let executed = app.registry.execute(execute).await?;
    outcome_reply(&key, &executed)
}

fn some_tags(texts: Option<&[String]>) -> Result<Vec<Tag>, Rejection> {
    match texts {
        None | Some([]) => Err(Rejection::new(
            ErrorTag::InvalidTag,
            "tags is missing: give at least one tag.",
        )),
        Some(texts) => input::tags(texts),
    }
}

pub(crate) const TAG_ADD: Route = Route::post(
    ("mrs", "/mrs/tag/add"),
    Access::Org(Right::Write),
    inside!(tag_add),
    Described::of::<__path_tag_add>(),
)
.errors(
    &[RECORD_ERRORS, CHANGE_ERRORS],
    &[ErrorTag::InvalidTag, ErrorTag::QuotaExceeded],
)
.keeps_first_answers();

/// Add tags to a record.
#[utoipa::path(post, path = TAG_ADD.path, request_body = TagRequest,
    responses((status = 200, description = "The record.", body = crate::http::reply::Good<'static, RecordView<'static>>)))]
pub async fn tag_add(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: TagRequest = input::json(&call.body)?;
    run!(app, call, request, {
        Ok(RecordCommand::AddTags {
            tags: some_tags(request.tags.as_deref())?,
            expected: request.expected_revision.map(|revision| revision.0),
        })
    })
}

pub(crate) const TAG_REMOVE: Route = Route::post(
    ("mrs", "/mrs/tag/remove"),
    Access::Org(Right::Write),
    inside!(tag_remove),
    Described::of::<__path_tag_remove>(),
)
.errors(&[RECORD_ERRORS, CHANGE_ERRORS], &[ErrorTag::InvalidTag])
.keeps_first_answers();

/// Remove tags from a record.
#[utoipa::path(post, path = TAG_REMOVE.path, request_body = TagRequest,
    responses((status = 200, description = "The record.", body = crate::http::reply::Good<'static, RecordView<'static>>)))]
pub async fn tag_remove(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: TagRequest = input::json(&call.body)?;
    run!(app, call, request, {
        Ok(RecordCommand::RemoveTags {
            tags: some_tags(request.tags.as_deref())?,
            expected: request.expected_revision.map(|revision| revision.0),
        })
    })
}

pub(crate) const TTL_SET: Route = Route::post(
    ("mrs", "/mrs/ttl/set"),
    Access::Org(Right::Write),
    inside!(ttl_set),
    Described::of::<__path_ttl_set>(),
)
.errors(&[RECORD_ERRORS, CHANGE_ERRORS], &[ErrorTag::InvalidDoomAt])
.keeps_first_answers();

/// Set or clear a record's due time.
#[utoipa::path(post, path = TTL_SET.path, request_body = TtlRequest,
    responses((status = 200, description = "The record.", body = crate::http::reply::Good<'static, RecordView<'static>>)))]
pub async fn ttl_set(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: TtlRequest = input::json(&call.body)?;
    run!(app, call, request, {
        let doom_at = request.doom_at.as_ref().ok_or_else(|| {
            Rejection::new(
                ErrorTag::InvalidDoomAt,
                "doom_at is missing: give a time, or null to clear it.",
            )
        })?;
        Ok(RecordCommand::SetTtl {
            doom_at: doom_at.as_deref().map(input::doom_at).transpose()?,
            expected: request.expected_revision.map(|revision| revision.0),
        })
    })
}

pub(crate) const DOOM: Route = Route::post(
    ("mrs", "/mrs/doom"),
    Access::Org(Right::Write),
    inside!(doom),
    Described::of::<__path_doom>(),
)
.errors(&[RECORD_ERRORS, CHANGE_ERRORS], &[ErrorTag::InvalidState])
.keeps_first_answers();

/// Doom a record, for good.
#[utoipa::path(post, path = DOOM.path, request_body = DoomRequest,
    responses((status = 200, description = "The record, doomed.", body = crate::http::reply::Good<'static, RecordView<'static>>)))]
pub async fn doom(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: DoomRequest = input::json(&call.body)?;
    run!(app, call, request, {
        Ok(RecordCommand::Doom {
            reason: request.reason.clone(),
            expected: request.expected_revision.map(|revision| revision.0),
        })
    })
}
