//! The records' routes: one file a verb.

pub mod batch;
pub mod change;
pub mod changes;
pub mod complete;
pub mod containers;
pub mod copy;
pub mod due;
pub mod follow;
#[cfg(test)]
mod fuzz;
pub mod histories;
pub mod history;
pub mod hold;
pub mod list;
mod listed;
pub mod put;
pub mod read;
pub mod versions;

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::call::Call;
use super::idempotency;
use super::input;
use super::reply::{Refusal, Reply};
use super::state::AppState;
use crate::actors::{RecordOutcome, RecordRequest, Requested};
use crate::content::sign::{Disposition, DownloadGrant, Purpose, UploadGrant};
use crate::domain::container::Idempotency;
use crate::domain::record::{Content, ContentPlace, Record, RecordKey};
use crate::domain::{CcCode, ContainerName, ErrorTag, Md5, OrgCode, RecordId, Rejection};
use crate::journal::{Remarks, Source};
use crate::projections::{RecordName, holds, records};

/// Error tags of routes about a container.
const CONTAINER_ERRORS: &[ErrorTag] = &[ErrorTag::InvalidCccode, ErrorTag::InvalidContainer];
/// Error tags of routes about a record.
const RECORD_ERRORS: &[ErrorTag] = &[
    ErrorTag::InvalidCccode,
    ErrorTag::InvalidContainer,
    ErrorTag::InvalidRecordId,
];
/// Error tags of routes that change a record.
const CHANGE_ERRORS: &[ErrorTag] = &[
    ErrorTag::InvalidJson,
    ErrorTag::OrgWriteBlocked,
    ErrorTag::Doomed,
    ErrorTag::Conflict,
    ErrorTag::ExpectedRevisionRequired,
];

/// How to upload content.
#[derive(Debug, Serialize, ToSchema)]
pub struct Upload {
    /// URL for uploading the gzip bytes; needs no other credential.
    url: String,
    /// Method to send to the URL: always `PUT`.
    method: &'static str,
    /// Headers to send with it.
    headers: serde_json::Value,
    /// Until when it works.
    #[schema(format = DateTime)]
    expires_at: String,
    /// Seconds for which it is valid, from its creation: the same in a repeated answer.
    expires_in: u64,
}

/// How to download content.
#[derive(Debug, Serialize, ToSchema)]
pub struct Download {
    /// URL of the gzip bytes; needs no other credential.
    url: String,
    /// Method to send to the URL: always `GET`.
    method: &'static str,
    /// Until when it works.
    #[schema(format = DateTime)]
    expires_at: String,
    /// Seconds it works for, from now.
    expires_in: u64,
    /// Encoding of the bytes: always `gzip`.
    content_encoding: &'static str,
    /// MD5 in hex of the gzip bytes.
    content_md5: String,
    /// SHA-256 in hex of the received gzip bytes; absent for uploads completed by versions that did not store it.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_sha256: Option<String>,
    /// How many bytes the gzip has.
    size: u64,
    /// URL of what the gzip decodes to, for clients that do not decode it: `url` with `?decoded=1`, which works where this is
    /// absent, too, for uploads completed by versions that did not store what they decode to.
    #[serde(skip_serializing_if = "Option::is_none")]
    url_decoded: Option<String>,
    /// Bytes of that; absent for uploads completed by versions that did not store it.
    #[serde(skip_serializing_if = "Option::is_none")]
    size_decoded: Option<u64>,
    /// MD5 in hex of that; absent as `size_decoded` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_md5_decoded: Option<String>,
}

impl Upload {
    fn of(app: &AppState, (grant, seconds): (&UploadGrant, u64), (base, by): (&str, &str)) -> Self {
        let token = app.signer.seal_by(Purpose::UploadUrl, grant, by);
        Self {
            url: format!("{base}/content/{token}"),
            method: "PUT",
            headers: json!({"Content-Type": grant.content_type, "Content-Encoding": "gzip"}),
            expires_at: grant.expires_at.to_string(),
            expires_in: seconds,
        }
    }
}

impl Download {
    fn of(
        app: &AppState,
        (org, base, by): (&OrgCode, &str, &str),
        (content, object_id): (&Content, uuid::Uuid),
        (disposition, seconds): (Disposition, u64),
    ) -> Self {
        let grant = DownloadGrant {
            org: org.clone(),
            object_id,
            content_type: content.content_type.clone(),
            size: content.size,
            md5: content.md5,
            sha256: content.sha256.map(|sha256| sha256.to_bytes()),
            expires_at: app.clock.now().plus_millis(millis(seconds)),
        };
        let named = (grant, disposition, content.decoded);
        let token = app
            .signer
            .seal_by(Purpose::DecodableDownloadUrl, &named, by);
        let (grant, ..) = named;
        Self {
            url: format!("{base}/content/{token}"),
            method: "GET",
            expires_at: grant.expires_at.to_string(),
            expires_in: seconds,
            content_encoding: "gzip",
            content_md5: content.md5.to_string(),
            content_sha256: content.sha256.map(|sha256| sha256.to_string()),
            size: content.size,
            url_decoded: content
                .decoded
                .map(|_| format!("{base}/content/{token}?decoded=1")),
            size_decoded: content.decoded.map(|decoded| decoded.size),
            content_md5_decoded: content.decoded.map(|decoded| decoded.md5.to_string()),
        }
    }
}

/// How long a URL is to be valid: as long as the caller wants, and at most as long as a setting says.
///
/// # Errors
/// `invalid-input` for a URL that would not be valid at all.
fn url_seconds(wanted: Option<u64>, seconds_max: u64) -> Result<u64, Rejection> {
    match wanted {
        Some(0) => Err(Rejection::field(
            "url_seconds",
            "url_seconds must be a whole number of seconds, at least 1.",
        )),
        Some(seconds) => Ok(seconds.min(seconds_max)),
        None => Ok(seconds_max),
    }
}

/// The fields that name what a call is about.
struct Subject<'a> {
    orgcode: Option<&'a str>,
    cccode: Option<&'a str>,
    container: Option<&'a str>,
    record_id: Option<&'a str>,
}

/// A call's subject, parsed, after the caller was admitted to the org.
struct Admitted {
    org: OrgCode,
    cccode: Option<CcCode>,
    container: Option<ContainerName>,
    record_id: Option<RecordId>,
}

impl Subject<'_> {
    /// The org first, then whether it is the caller's, and only then everything else.
    fn admit(&self, app: &AppState, call: &mut Call<'_>) -> Result<Admitted, Refusal> {
        let org = input::org(call, self.orgcode)?;
        call.note_org(&org);
        call.admit((&app.store, &app.rate_limits), &org)?;
        let cccode = input::cccode(call, self.cccode)?;
        call.note_cccode(cccode.as_ref());
        Ok(self.named(org, cccode)?)
    }

    /// The same of one item of a request to an org that the caller was admitted to.
    fn admit_item(&self, call: &Call<'_>, org: &OrgCode) -> Result<Admitted, Rejection> {
        let own = self.orgcode.map(OrgCode::parse).transpose()?;
        if own.is_some_and(|own| own != *org) {
            return Err(Rejection::field(
                "context-mismatch",
                "The item's orgcode is not the batch's; a batch is about one org.",
            ));
        }
        self.named(org.clone(), input::cccode(call, self.cccode)?)
    }

    fn named(&self, org: OrgCode, cccode: Option<CcCode>) -> Result<Admitted, Rejection> {
        Ok(Admitted {
            org,
            cccode,
            container: self.container.map(ContainerName::parse).transpose()?,
            record_id: self.record_id.map(RecordId::parse).transpose()?,
        })
    }
}

impl Admitted {
    fn container(&self) -> Result<ContainerName, Rejection> {
        let missing = || Rejection::new(ErrorTag::InvalidContainer, "container is missing.");
        self.container.clone().ok_or_else(missing)
    }

    /// The record the call names.
    fn key(&self) -> Result<RecordKey, Rejection> {
        let missing = || Rejection::new(ErrorTag::InvalidRecordId, "record_id is missing.");
        Ok(RecordKey {
            org: self.org.clone(),
            container: self.container()?,
            record_id: self.record_id.clone().ok_or_else(missing)?,
        })
    }
}

/// A `RecordRequest` without content or idempotency key, from this call.
fn execute(
    call: &Call<'_>,
    key: RecordKey,
    command: impl Into<Requested>,
    remarks: Remarks,
) -> RecordRequest {
    RecordRequest {
        key,
        command: command.into(),
        payload: None,
        idempotency: None,
        by: call
            .principal
            .as_ref()
            .map_or_else(String::new, |principal| principal.user_id.clone()),
        request_id: call.trace.request_id.clone(),
        source: Source::Gateway,
        remarks,
    }
}

/// What names a change of a record that came with an idempotency key. One key is for one request about the record: a put, or
/// one change.
fn keyed(
    app: &AppState,
    call: &Call<'_>,
    key: &RecordKey,
    field: Option<&str>,
) -> Result<Option<Idempotency>, Refusal> {
    keyed_by(app, call, key, field, &["cccode", "container", "record_id"])
}

/// The same of a request that names the record by other fields: `place` has those that the key's scope holds already.
fn keyed_by(
    app: &AppState,
    call: &Call<'_>,
    key: &RecordKey,
    field: Option<&str>,
    place: &[&str],
) -> Result<Option<Idempotency>, Refusal> {
    let given = idempotency::key(call.head.headers, field.map(str::to_owned))?;
    let Some(given) = given.as_deref().map(idempotency::check_key).transpose()? else {
        return Ok(None);
    };
    let container = (&key.org, &key.container);
    Ok(Some(Idempotency {
        scope: put::scope(container, Some(&key.record_id), given),
        fingerprint: idempotency::request_of(app, call, place)?,
    }))
}

/// The answer that shows one record.
fn record_reply(key: &RecordKey, record: &Record) -> Reply {
    Reply::of_record(key, record, None)
}

/// The answer with a record that was changed.
fn outcome_reply(key: &RecordKey, executed: &RecordOutcome) -> Result<Reply, Refusal> {
    let mut reply = record_reply(key, &executed.record);
    reply.replayed = executed.replayed;
    Ok(reply)
}

/// Seconds of a setting as milliseconds.
fn millis(seconds: u64) -> i64 {
    i64::try_from(seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000)
}

/// A required MD5 field.
fn content_md5(text: Option<&str>) -> Result<Md5, Rejection> {
    Md5::parse(input::required(
        text,
        ErrorTag::MissingContentMd5,
        "content_md5",
    )?)
}

/// The object's id, when the content is one.
fn object_of(content: &Content) -> Option<uuid::Uuid> {
    match content.place {
        ContentPlace::Object(object_id) => Some(object_id),
        ContentPlace::Inline(_) => None,
    }
}

/// A record as it reads now: due ones are doomed already.
fn find(app: &AppState, key: &RecordKey) -> Result<Record, Refusal> {
    let name = RecordName::from(key);
    let record = records::find(&app.store, name)?;
    let record = record.ok_or_else(Rejection::not_found)?;
    Ok(holds::effective_at(
        &app.store,
        name,
        record,
        app.clock.now(),
    )?)
}
