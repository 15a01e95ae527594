//! `POST /mrs/record/complete`: make an upload the record's content.

use super::{CHANGE_ERRORS, RECORD_ERRORS};
use crate::http::auth::access::{Access, Right};
use crate::http::route::{Described, Route, inside};
use std::sync::Arc;

use super::{Subject, content_md5, execute, keyed, outcome_reply};
use crate::content::sign::{ContentToken, Purpose};
use crate::content::{ObjectName, Sealed};
use crate::domain::record::{
    Complete, RecordCommand, RecordKey, RecordView, SealedObject, would_complete,
};
use crate::domain::{ErrorTag, Md5, Rejection};
use crate::http::call::Call;
use crate::http::input::{self, RevisionIn, change_request};
use crate::http::reply::{Refusal, Reply};
use crate::http::space;
use crate::http::state::AppState;
use crate::offload;
use crate::projections::{RecordName, records};
use crate::report;

change_request! {
    /// An upload to complete.
    pub(super) struct CompleteRequest {
        /// Id of the record within its container.
        #[schema(value_type = String, required = true, pattern = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
        record_id: Option<String>,
        /// The token that the put returned.
        #[schema(value_type = String, required = true)]
        content_token: Option<String>,
        /// How many bytes were uploaded.
        #[schema(value_type = u64, required = true, minimum = 1)]
        size: Option<u64>,
        /// MD5 in hex of the bytes uploaded.
        #[schema(value_type = String, required = true, pattern = "^[0-9A-Fa-f]{32}$")]
        content_md5: Option<String>,
        /// The `ETag` the upload answered.
        etag: Option<String>,
        /// The content version the upload is to become.
        #[schema(value_type = Option<u64>)]
        version: Option<RevisionIn>,
        /// The revision last read.
        #[schema(value_type = Option<u64>)]
        expected_revision: Option<RevisionIn>,
    }
}

pub(crate) const COMPLETE: Route = Route::post(
    ("mrs", "/mrs/record/complete"),
    Access::Org(Right::Write),
    inside!(complete),
    Described::of::<__path_complete>(),
)
.errors(
    &[RECORD_ERRORS, CHANGE_ERRORS],
    &[
        ErrorTag::InvalidContentToken,
        ErrorTag::MissingContentMd5,
        ErrorTag::InvalidContentMd5,
        ErrorTag::MissingSize,
        ErrorTag::SizeMismatch,
        ErrorTag::Md5Mismatch,
        ErrorTag::Md5Missing,
    ],
)
.keeps_first_answers();

/// Make an upload the record's content.
#[utoipa::path(post, path = COMPLETE.path, request_body = CompleteRequest,
    responses((status = 200, description = "The record, now active.", body = crate::http::reply::Good<'static, RecordView<'static>>)))]
pub async fn complete(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: CompleteRequest = input::json(&call.body)?;
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
    let token = content_token(app, &key, request.content_token.as_deref())?;
    let md5 = content_md5(request.content_md5.as_deref())?;
    let size = request.size.ok_or_else(|| {
        Rejection::new(
            ErrorTag::MissingSize,
            "size is missing: the number of bytes you uploaded.",
        )
    })?;
    check_etag(request.etag.as_deref(), md5)?;
    let object = ObjectName {
        org: key.org.clone(),
        object_id: token.object_id,
    };
    let uploaded_size = app.content.size(&object).map_err(Refusal::failed)?;
    let mut complete = Complete {
        object_id: token.object_id,
        size,
        md5,
        uploaded_size,
        sealed: None,
        content_version: request.version.map(|version| version.0.0),
        expected: request.expected_revision.map(|revision| revision.0),
    };
    let sealed = seal(app, (&key, &object), &mut complete).await?;
    let command = RecordCommand::Complete(complete);
    let mut execute = execute(call, key.clone(), command, remarks);
    execute.idempotency = idempotency;
    let executed = app.registry.execute(execute).await?;
    if sealed {
        remove_uploads(app, object).await;
    }
    outcome_reply(&key, &executed)
}

/// The token of an upload to a record, which counts until its end, and later when that upload is the content: a repeated
/// completion gets its answer again, however late it comes.
fn content_token(
    app: &AppState,
    key: &RecordKey,
    text: Option<&str>,
) -> Result<ContentToken, Refusal> {
    let refused = |message: String| Rejection::new(ErrorTag::InvalidContentToken, message);
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        let message = "content_token is missing: send the one that came with the upload URL, in the answer to the put.";
        return Err(refused(message.to_owned()).into());
    };
    let purpose = Purpose::ContentToken;
    let Some(token) = app.signer.open::<ContentToken>(purpose, text) else {
        let message = if app.signer.is_of(Purpose::UploadUrl, text) {
            "content_token is the signed part of the upload URL; send the content_token beside it, in the answer to the put."
        } else {
            "content_token was altered, or its signing key is no longer valid; send it as it came, or put the record again."
        };
        return Err(refused(message.to_owned()).into());
    };
    if token.key != *key {
        let message = "content_token is for another record; send the one of this record's put.";
        return Err(refused(message.to_owned()).into());
    }
    let is_current = || -> Result<bool, Refusal> {
        let record = records::find(&app.store, RecordName::from(key))?;
        Ok(record.is_some_and(|record| record.has_object(token.object_id)))
    };
    if token.expires_at > app.clock.now() || is_current()? {
        return Ok(token);
    }
    let message = format!(
        "content_token has expired at {}; put the record again for a new one.",
        token.expires_at
    );
    Err(refused(message).into())
}

/// Makes the latest upload the object, for good, once the completion would be accepted: what is refused fixes nothing. Whether
/// it did.
async fn seal(
    app: &AppState,
    (key, object): (&RecordKey, &ObjectName),
    complete: &mut Complete,
) -> Result<bool, Refusal> {
    let record = records::find(&app.store, RecordName::from(key))?;
    let record = record.ok_or_else(Rejection::not_found)?;
    if !would_complete(key, &record, complete) {
        return Ok(false);
    }
    let (content, object) = (Arc::clone(&app.content), object.clone());
    let sealed = offload::blocking(move || content.seal(&object)).await;
    let sealed = sealed.map_err(Refusal::failed)?;
    let sealed = sealed
        .map_err(|error| space::content_failed("an upload could not be completed", &error))?;
    complete.uploaded_size = sealed.map(|sealed| sealed.size);
    let proof = |sealed: Sealed| {
        SealedObject::new(
            complete.object_id,
            sealed.size,
            sealed.sha256,
            sealed.decoded,
        )
    };
    complete.sealed = sealed.map(proof);
    match sealed.and_then(|sealed| sealed.md5) {
        Some(md5) if md5 != complete.md5 => Err(Rejection::new(
            ErrorTag::Md5Mismatch,
            "The uploaded bytes were damaged on the server's disk; put the record again.",
        )
        .with_detail("uploaded_md5", md5.to_string())
        .into()),
        Some(_) | None => Ok(sealed.is_some()),
    }
}

/// Removes the uploads of which one is the content now. What cannot be removed is removed with the object.
async fn remove_uploads(app: &AppState, object: ObjectName) {
    let content = Arc::clone(&app.content);
    let removed = offload::blocking(move || content.remove_uploads(&object)).await;
    if let Ok(Err(error)) = removed {
        report::notice_error("uploads could not be removed", &error);
    }
}

fn check_etag(etag: Option<&str>, md5: Md5) -> Result<(), Rejection> {
    let Some(etag) = etag else { return Ok(()) };
    if etag
        .trim_matches('"')
        .eq_ignore_ascii_case(&md5.to_string())
    {
        Ok(())
    } else {
        Err(Rejection::new(
            ErrorTag::Md5Mismatch,
            "etag is not that of the bytes with this content_md5.",
        )
        .with_minor("etag"))
    }
}
