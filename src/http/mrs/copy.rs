//! `POST /mrs/record/copy`: a record under another name of the same org.

use std::sync::Arc;

use super::{CHANGE_ERRORS, RECORD_ERRORS, Subject, execute, find, keyed_by, outcome_reply};
use crate::actors::{Refused, Requested};
use crate::clock::random_uuid;
use crate::content::ObjectName;
use crate::domain::record::{
    ContentPlace, CopiedObject, Copy, InlineJson, RecordCommand, RecordKey, RecordView,
};
use crate::domain::{ContainerName, ErrorTag, RecordId, Rejection};
use crate::http::auth::access::{Access, Right};
use crate::http::call::Call;
use crate::http::input::{self, RevisionIn, change_request};
use crate::http::reply::{Refusal, Reply};
use crate::http::route::{Described, Route, inside};
use crate::http::space;
use crate::http::state::AppState;
use crate::offload;
use crate::report;

change_request! {
    /// A record to copy, and the new record's name.
    pub(super) struct CopyRequest {
        /// The id of the record to copy.
        #[schema(value_type = String, required = true, pattern = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
        record_id: Option<String>,
        /// The new record's container; that of the record to copy when absent.
        #[schema(pattern = "^[A-Za-z][A-Za-z0-9_-]{1,79}$")]
        to_container: Option<String>,
        /// The new record's id, which no record has or had.
        #[schema(value_type = String, required = true, pattern = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
        to_record_id: Option<String>,
        /// The revision of the record to copy, when it must be the one last read.
        #[schema(value_type = Option<u64>, minimum = 1)]
        expected_revision: Option<RevisionIn>,
    }
}

pub(crate) const COPY: Route = Route::post(
    ("mrs", "/mrs/record/copy"),
    Access::Org(Right::Write),
    inside!(copy),
    Described::of::<__path_copy>(),
)
.errors(
    &[RECORD_ERRORS, CHANGE_ERRORS],
    &[ErrorTag::InvalidState, ErrorTag::QuotaExceeded],
)
.keeps_first_answers();

/// Copy a record to another name. Content, tags, cost centre and due time are copied; holds and earlier versions are not.
#[utoipa::path(post, path = COPY.path, request_body = CopyRequest,
    responses((status = 200, description = "The new record, at revision 1.", body = crate::http::reply::Good<'static, RecordView<'static>>)))]
pub async fn copy(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: CopyRequest = input::json(&call.body)?;
    let subject = Subject {
        orgcode: request.orgcode.as_deref(),
        cccode: request.cccode.as_deref(),
        container: request.container.as_deref(),
        record_id: request.record_id.as_deref(),
    };
    let source = subject.admit(app, call)?.key()?;
    let key = target(&request, &source)?;
    let remarks = input::remarks(request.remarks())?;
    call.note_remarks(&remarks);
    // A key counts with the new record.
    let field = request.idempotency_key.as_deref();
    let place = ["cccode", "to_container", "to_record_id"];
    let idempotency = keyed_by(app, call, &key, field, &place)?;
    let expected = request.expected_revision.map(|revision| revision.0);
    let mut execute = execute(
        call,
        key.clone(),
        Requested::Command(RecordCommand::DoomIfDue),
        remarks,
    );
    execute.idempotency = idempotency;
    let object = match prepare(app, source.clone()).await {
        Ok(Prepared { payload, object }) => {
            execute.payload = payload;
            let copy = Copy {
                source,
                expected,
                object,
                seen: None,
            };
            execute.command = RecordCommand::Copy(copy).into();
            object
        }
        // A repeated request is answered from its first answer, whatever became of the source.
        Err(Refusal::Rejected { rejection, .. }) => {
            execute.command = Requested::AlreadyRefused(rejection);
            None
        }
        Err(failed) => return Err(failed),
    };
    let executed = app.registry.execute(execute).await;
    if let Some(object) = object {
        let kept = match &executed {
            Ok(executed) => executed.record.has_object(object.object_id()),
            // It may have been journaled all the same.
            Err(Refused::Unavailable | Refused::Failed(_)) => true,
            Err(Refused::Rejected { .. } | Refused::Busy) => false,
        };
        if !kept {
            let object_id = object.object_id();
            let org = key.org.clone();
            remove(app, ObjectName { org, object_id }).await;
        }
    }
    outcome_reply(&key, &executed?)
}

/// The name of the new record.
fn target(request: &CopyRequest, source: &RecordKey) -> Result<RecordKey, Rejection> {
    let named = |rejection: Rejection, field: &str| rejection.with_minor(field);
    let container = request.to_container.as_deref().map(ContainerName::parse);
    let container = container
        .transpose()
        .map_err(|rejection| named(rejection, "to_container"))?;
    let id = request.to_record_id.as_deref().ok_or_else(|| {
        let message = "to_record_id is missing: the new record's id.";
        Rejection::new(ErrorTag::InvalidRecordId, message).with_minor("to_record_id")
    })?;
    Ok(RecordKey {
        org: source.org.clone(),
        container: container.unwrap_or_else(|| source.container.clone()),
        record_id: RecordId::parse(id).map_err(|rejection| named(rejection, "to_record_id"))?,
    })
}

/// The content of a copy.
struct Prepared {
    payload: Option<InlineJson>,
    object: Option<CopiedObject>,
}

/// Reads the inline content of the source, or duplicates its object. A crash afterwards leaves an object that no
/// record has; reconcile finds it.
async fn prepare(app: &AppState, source: RecordKey) -> Result<Prepared, Refusal> {
    let record = find(app, &source)?;
    let from = match record.content.place {
        ContentPlace::Inline(position) => {
            let payload = app.journal.payload(position)?;
            let payload = payload.map(InlineJson::parse).transpose()?;
            return Ok(Prepared {
                payload,
                object: None,
            });
        }
        // What is refused duplicates nothing.
        ContentPlace::Object(_) if !record.can_be_copied() => {
            return Ok(Prepared {
                payload: None,
                object: None,
            });
        }
        ContentPlace::Object(from) => from,
    };
    let object = CopiedObject::new(from, random_uuid());
    let name = |object_id| ObjectName {
        org: source.org.clone(),
        object_id,
    };
    let (content, old, new) = (
        Arc::clone(&app.content),
        name(from),
        name(object.object_id()),
    );
    let duplicated = offload::blocking(move || content.duplicate(&old, &new)).await;
    let duplicated = duplicated.map_err(Refusal::failed)?;
    let there = duplicated
        .map_err(|error| space::content_failed("an object could not be duplicated", &error))?;
    if !there {
        return Err(super::read::content_lost(record.content.version).into());
    }
    Ok(Prepared {
        payload: None,
        object: Some(object),
    })
}

/// Removes an object that no record got. What cannot be removed is found by reconcile.
async fn remove(app: &AppState, object: ObjectName) {
    let content = Arc::clone(&app.content);
    let removed = offload::blocking(move || content.remove(&object)).await;
    if let Ok(Err(error)) = removed {
        report::notice_error("a copy could not be removed", &error);
    }
}
