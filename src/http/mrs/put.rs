//! `POST /mrs/record`: create a record, or put other content over it.

use super::{CHANGE_ERRORS, RECORD_ERRORS};
use crate::http::auth::access::{Access, Right};
use crate::http::route::{Described, Route, inside};
use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{Admitted, Subject, Upload, content_md5, execute, millis, url_seconds};
use crate::actors::{RecordRequest, Requested};
use crate::clock;
use crate::content::sign::{ContentToken, Purpose, UploadGrant};
use crate::domain::container::Idempotency;
use crate::domain::record::{
    INLINE_BYTES_MAX, INLINE_CONTENT_TYPE, InlineJson, NewContent, Put, Record, RecordCommand,
    RecordKey, RecordView, check_content_type, check_upload_size,
};
use crate::domain::{ContainerName, ErrorTag, Md5, OrgCode, RecordId, Rejection};
use crate::http::call::Call;
use crate::http::fingerprint::fingerprint;
use crate::http::idempotency;
use crate::http::input::{self, RevisionIn, change_request};
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;

change_request! {
    /// A record to create, or content to put over one.
    pub(super) struct PutRequest {
        /// The record's id; created when absent.
        #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
        record_id: Option<String>,
        /// The content's media type, before gzip.
        #[schema(value_type = String, required = true, example = "application/json")]
        content_type: Option<String>,
        /// `inline` or `presign`; inline when `payload` is there.
        #[schema(pattern = "^(inline|presign)$")]
        mode: Option<String>,
        /// Inline content: any JSON, at most 262,144 bytes.
        #[schema(value_type = Option<serde_json::Value>)]
        #[serde(default, deserialize_with = "raw")]
        payload: Option<Box<RawValue>>,
        /// MD5 in hex: of the payload's bytes, or of the gzip bytes to be uploaded.
        #[schema(pattern = "^[0-9A-Fa-f]{32}$")]
        content_md5: Option<String>,
        /// Bytes: of the payload, or of the gzip to be uploaded (1 to 134,217,728).
        #[schema(minimum = 1, maximum = 134_217_728)]
        size: Option<u64>,
        /// Only `gzip`, for uploads.
        #[schema(pattern = "^gzip$")]
        content_encoding: Option<String>,
        /// The set of tags, at most 20.
        #[schema(schema_with = input::tags_schema)]
        tags: Option<Vec<String>>,
        /// When it dooms itself.
        #[schema(format = DateTime)]
        doom_at: Option<String>,
        /// Seconds for which the upload URL is to be valid; the server's setting `mrs.upload_url_seconds` where that is
        /// shorter, or when absent.
        #[schema(minimum = 1)]
        url_seconds: Option<u64>,
        /// The revision last read; needed over an existing record.
        #[schema(value_type = Option<u64>, minimum = 1)]
        expected_revision: Option<RevisionIn>,
    }
}

/// Keeps a payload of `null` apart from none.
fn raw<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Box<RawValue>>, D::Error> {
    serde::Deserialize::deserialize(deserializer).map(Some)
}

/// The record, and with mode `presign` how to upload its content.
#[derive(Serialize, ToSchema)]
pub struct PutAnswer<'a> {
    #[schema(inline)]
    #[serde(flatten)]
    record: RecordView<'a>,
    /// How to upload, with mode `presign`.
    #[serde(skip_serializing_if = "Option::is_none")]
    upload: Option<Upload>,
    /// The token that completes the upload, with mode `presign`.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_token: Option<String>,
}

pub(crate) const PUT: Route = Route::post(
    ("mrs", "/mrs/record"),
    Access::Org(Right::Write),
    inside!(put),
    Described::of::<__path_put>(),
)
.errors(
    &[RECORD_ERRORS, CHANGE_ERRORS],
    &[
        ErrorTag::InvalidTag,
        ErrorTag::InvalidDoomAt,
        ErrorTag::UnsupportedContentType,
        ErrorTag::InlineTooLarge,
        ErrorTag::TooLarge,
        ErrorTag::GzipRequired,
        ErrorTag::MissingContentMd5,
        ErrorTag::InvalidContentMd5,
        ErrorTag::MissingSize,
        ErrorTag::SizeMismatch,
        ErrorTag::Md5Mismatch,
        ErrorTag::QuotaExceeded,
    ],
)
.keeps_first_answers()
.takes_content();

/// Create a record, or replace its content.
#[utoipa::path(post, path = PUT.path, request_body = PutRequest,
    responses((status = 200, description = "The record.", body = crate::http::reply::Good<'static, PutAnswer<'static>>)))]
pub async fn put(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let mut request: PutRequest = input::json(&call.body)?;
    let headers = call.head.headers;
    request.idempotency_key = idempotency::key(headers, request.idempotency_key.take())?;
    let admitted = request.subject().admit(app, call)?;
    let seconds = request.url_seconds;
    let execute = ask(app, call, request, &admitted)?;
    call.note_remarks(&execute.remarks);
    let mut key = execute.key.clone();
    let again = execute.idempotency.is_some().then(|| execute.clone());
    let executed = match (app.registry.execute(execute).await, again) {
        (Err(refused), Some(mut again)) if refused.is(ErrorTag::IdempotencyConflict) => {
            // The first answer may have been remembered by an earlier program.
            if let Some(idempotency) = &mut again.idempotency {
                idempotency.fingerprint = earlier_fingerprint(&admitted, &call.body)?;
            }
            app.registry.execute(again).await?
        }
        (executed, _) => executed?,
    };
    if let Some(record_id) = executed.record_id {
        key.record_id = record_id;
    }
    let seconds = url_seconds(seconds, app.mrs.upload_url_seconds)?;
    let mut reply = answer((app, call), &key, &executed.record, seconds)?;
    reply.replayed = executed.replayed;
    Ok(reply)
}

/// What the actor is asked for by a request whose caller and names are known. What the request says wrong besides is a
/// refusal that the actor remembers by the idempotency key.
pub(super) fn ask(
    app: &AppState,
    call: &Call<'_>,
    mut request: PutRequest,
    admitted: &Admitted,
) -> Result<RecordRequest, Refusal> {
    let container = admitted.container()?;
    let idempotency_key = request
        .idempotency_key
        .as_deref()
        .map(idempotency::check_key)
        .transpose()?;
    let idempotency = match idempotency_key {
        Some(key) => Some(Idempotency {
            scope: scope(
                (&admitted.org, &container),
                admitted.record_id.as_ref(),
                key,
            ),
            fingerprint: request.fingerprint(admitted)?,
        }),
        None => None,
    };
    let record_id = match (&admitted.record_id, &idempotency) {
        (Some(record_id), _) => record_id.clone(),
        (None, Some(idempotency)) => idempotency.derived_id()?,
        (None, None) => RecordId::parse(&clock::ordered_uuid(app.clock.now()).to_string())?,
    };
    let key = RecordKey {
        org: admitted.org.clone(),
        container,
        record_id,
    };
    let remarks = input::remarks(request.remarks());
    let payload = request.payload.take();
    let put = remarks
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|_| command(app, &request, payload, admitted));
    let (requested, payload) = match put {
        Ok((put, payload)) => (Requested::Command(RecordCommand::Put(put)), payload),
        Err(rejection) => (Requested::AlreadyRefused(rejection), None),
    };
    let mut execute = execute(call, key, requested, remarks.unwrap_or_default());
    execute.payload = payload;
    execute.idempotency = idempotency;
    Ok(execute)
}

fn answer(
    (app, call): (&AppState, &Call<'_>),
    key: &RecordKey,
    record: &Record,
    seconds: u64,
) -> Result<Reply, Refusal> {
    if record.upload.is_none() {
        return Ok(Reply::of_record(key, record, None));
    }
    let mut answer = PutAnswer {
        record: record.view(key),
        upload: None,
        content_token: None,
    };
    if let Some(upload) = &record.upload
        && let Some(object_id) = super::object_of(&upload.content)
    {
        let grant = UploadGrant {
            key: key.clone(),
            object_id,
            content_type: upload.content.content_type.clone(),
            size: upload.content.size,
            md5: upload.content.md5,
            // The promise may last longer than this caller wants its URL to. Not from now: a repeated answer is the first one.
            expires_at: upload
                .expires_at
                .min(upload.since.plus_millis(millis(seconds))),
        };
        let token = ContentToken {
            key: key.clone(),
            object_id,
            expires_at: upload
                .expires_at
                .plus_millis(millis(app.mrs.complete_grace_seconds)),
        };
        let base = app.public_url.of(call.head);
        let whose = (base.as_str(), call.caller()?.user_id.as_str());
        answer.upload = Some(Upload::of(app, (&grant, seconds), whose));
        answer.content_token = Some(app.signer.seal(Purpose::ContentToken, &token));
    }
    Ok(Reply::of(&answer)?.at(record.revision))
}

/// Everything the request says, checked; what it says wrong is a refusal that an idempotency key remembers.
fn command(
    app: &AppState,
    request: &PutRequest,
    payload: Option<Box<RawValue>>,
    admitted: &Admitted,
) -> Result<(Put, Option<InlineJson>), Rejection> {
    url_seconds(request.url_seconds, app.mrs.upload_url_seconds)?;
    let tags = request.tags.as_deref().map(input::tags).transpose()?;
    let doom_at = request.doom_at.as_deref().map(input::doom_at).transpose()?;
    let (content, payload) = content(app, request, payload)?;
    let put = Put {
        cccode: admitted.cccode.clone(),
        tags,
        doom_at,
        content,
        expected: request.expected_revision.map(|revision| revision.0),
    };
    Ok((put, payload))
}

fn content(
    app: &AppState,
    request: &PutRequest,
    payload: Option<Box<RawValue>>,
) -> Result<(NewContent, Option<InlineJson>), Rejection> {
    let content_type = input::required(
        request.content_type.as_deref(),
        ErrorTag::InvalidInput,
        "content_type",
    )?;
    let inline = match request.mode.as_deref() {
        None => payload.is_some(),
        Some("inline") => true,
        Some("presign") => false,
        Some(_) => {
            return Err(Rejection::field(
                "mode",
                "mode must be \"inline\" or \"presign\".",
            ));
        }
    };
    match payload {
        Some(payload) if inline => {
            let payload = inline_content(request, content_type, payload)?;
            Ok((payload.content(), Some(payload)))
        }
        None if inline => Err(Rejection::field(
            "payload",
            "mode \"inline\" needs a payload.",
        )),
        Some(_) => Err(Rejection::field(
            "payload",
            "mode \"presign\" takes no payload; upload it instead.",
        )),
        None => Ok((upload_content(app, request, content_type)?, None)),
    }
}

fn inline_content(
    request: &PutRequest,
    content_type: &str,
    payload: Box<RawValue>,
) -> Result<InlineJson, Rejection> {
    if content_type != INLINE_CONTENT_TYPE {
        return Err(Rejection::new(
            ErrorTag::UnsupportedContentType,
            "Inline content must have content_type application/json; use mode \"presign\" for anything else.",
        ));
    }
    if request.url_seconds.is_some() {
        return Err(Rejection::field(
            "url_seconds",
            "An inline payload has no URL; omit url_seconds.",
        ));
    }
    if payload.get().len() > INLINE_BYTES_MAX {
        let message = format!(
            "The payload is over {INLINE_BYTES_MAX} bytes; gzip it and use mode \"presign\"."
        );
        return Err(match request.mode {
            Some(_) => Rejection::new(ErrorTag::InlineTooLarge, message),
            None => Rejection::new(ErrorTag::GzipRequired, message).with_minor("inline-too-large"),
        });
    }
    if request
        .content_encoding
        .as_deref()
        .is_some_and(|encoding| encoding != "identity")
    {
        return Err(Rejection::field(
            "content_encoding",
            "An inline payload is plain JSON; omit content_encoding.",
        ));
    }
    let given = request.content_md5.as_deref().map(Md5::parse).transpose()?;
    let payload = InlineJson::of_raw(payload)?;
    let (size, md5) = (payload.size(), payload.md5());
    payload.check_is(request.size.unwrap_or(size), given.unwrap_or(md5))?;
    Ok(payload)
}

fn upload_content(
    app: &AppState,
    request: &PutRequest,
    content_type: &str,
) -> Result<NewContent, Rejection> {
    check_content_type(content_type)?;
    if request
        .content_encoding
        .as_deref()
        .is_some_and(|encoding| encoding != "gzip")
    {
        return Err(Rejection::new(
            ErrorTag::GzipRequired,
            "Uploads are gzip; set content_encoding to gzip or omit it.",
        ));
    }
    let md5 = content_md5(request.content_md5.as_deref())?;
    let size = match request.size {
        None => {
            return Err(Rejection::new(
                ErrorTag::MissingSize,
                "size is missing: the number of gzip bytes you will upload.",
            ));
        }
        Some(size) => size,
    };
    check_upload_size(size)?;
    Ok(NewContent::Upload {
        content_type: content_type.to_owned(),
        size,
        md5,
        object_id: clock::random_uuid(),
        expires_at: app
            .clock
            .now()
            .plus_millis(millis(app.mrs.upload_url_seconds)),
    })
}

impl PutRequest {
    /// The fields that name what it is about.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            orgcode: self.orgcode.as_deref(),
            cccode: self.cccode.as_deref(),
            container: self.container.as_deref(),
            record_id: self.record_id.as_deref(),
        }
    }

    /// Refuses what asks for an upload, or has no content.
    ///
    /// # Errors
    /// `invalid-input` naming the field.
    pub(super) fn check_inline(&self) -> Result<(), Rejection> {
        match (self.mode.as_deref(), &self.payload) {
            (Some("presign"), _) => Err(Rejection::field(
                "mode",
                "A batch takes inline content alone; send an upload to POST /mrs/record.",
            )),
            (_, None) => Err(Rejection::field(
                "payload",
                "payload is missing: a batch takes inline content alone.",
            )),
            (_, Some(_)) => Ok(()),
        }
    }

    /// SHA-256 in hex of what is requested, by whom and why, however it is spelled. What names the request and where
    /// it counts is in the scope.
    fn fingerprint(&self, admitted: &Admitted) -> Result<String, Refusal> {
        let Self {
            orgcode: _,
            cccode: _,
            container: _,
            actor: _,
            reason: _,
            reason_code: _,
            correlation_id: _,
            record_id: _,
            content_type,
            mode,
            payload,
            content_md5,
            size,
            content_encoding,
            tags,
            doom_at,
            url_seconds: _,
            idempotency_key: _,
            expected_revision,
        } = self;
        // A tag that is none is refused later, and that is remembered as well.
        let tags = tags.as_ref().map(|tags| {
            let spelled = tags.iter().map(|tag| tag.to_ascii_uppercase());
            spelled.collect::<BTreeSet<_>>()
        });
        let request = json!({
            "cccode": admitted.cccode.as_ref().map(ToString::to_string),
            "content_type": content_type,
            "mode": mode,
            "content_md5": content_md5.as_ref().map(|md5| md5.to_ascii_lowercase()),
            "size": size,
            "content_encoding": content_encoding,
            "tags": tags,
            "doom_at": doom_at,
            "expected_revision": expected_revision.map(|revision| revision.0.0),
        });
        let request = request.to_string();
        let mut parts = vec![("request", request.as_str())];
        parts.extend(payload.as_ref().map(|payload| ("payload", payload.get())));
        Ok(fingerprint(&parts).map_err(|_| no_json())?)
    }
}

/// The fingerprint by which earlier programs remembered answers: of the whole body, with who asked and why.
fn earlier_fingerprint(admitted: &Admitted, body: &[u8]) -> Result<String, Rejection> {
    let body = std::str::from_utf8(body).map_err(|_| no_json())?;
    let cccode = admitted
        .cccode
        .as_ref()
        .map_or_else(|| "null".to_owned(), |cccode| format!("\"{cccode}\""));
    fingerprint(&[("body", body), ("cccode", &cccode)]).map_err(|_| no_json())
}

fn no_json() -> Rejection {
    Rejection::new(ErrorTag::InvalidJson, "The body is not one JSON value.")
}

/// SHA-256 in hex of where a key counts: with one record when the request names it, else within the container.
pub(super) fn scope(
    (org, container): (&OrgCode, &ContainerName),
    record_id: Option<&RecordId>,
    key: &str,
) -> String {
    let mut scope = Sha256::new();
    let parts = match record_id {
        // The key itself stays in the scope: each is remembered by its own.
        Some(record_id) => [
            "record",
            org.as_str(),
            container.as_str(),
            record_id.as_str(),
            key,
        ],
        None => ["key", org.as_str(), container.as_str(), key, ""],
    };
    for part in parts {
        scope.update((part.len() as u64).to_be_bytes());
        scope.update(part);
    }
    hex::encode(scope.finalize())
}
