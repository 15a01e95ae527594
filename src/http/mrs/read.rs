//! `GET /mrs/record`, `/mrs/record/meta`, `/mrs/head` and `/mrs/stat`: one record, now or as of a time.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::RECORD_ERRORS;
use super::{Download, Subject, find, url_seconds, versions};
use crate::content::sign::Disposition;
use crate::domain::hold::{Kept, LegalHolds, Level};
use crate::domain::record::{ContentPlace, Record, RecordKey, RecordView, Status};
use crate::domain::{ErrorTag, Rejection, Revision, Timestamp};
use crate::http::auth::access::{Access, Right};
use crate::http::call::Call;
use crate::http::input;
use crate::http::reply::{Refusal, Reply};
use crate::http::route::{Described, Route, inside};
use crate::http::state::AppState;
use crate::projections::{RecordName, as_of, identity, lost};

/// Which record, in which state.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RecordQuery {
    /// Code of the org that has the record.
    #[param(value_type = String, required = true)]
    orgcode: Option<String>,
    /// Cost centre to name in the answer and the log.
    cccode: Option<String>,
    /// Name of the container that has the record.
    #[param(value_type = String, required = true)]
    container: Option<String>,
    /// Id of the record within its container.
    #[param(value_type = String, required = true)]
    record_id: Option<String>,
    /// `true` distinguishes a doomed record (409 `doomed`) from one that never existed (404), and with `version`
    /// reads its content.
    include_doomed: Option<String>,
    /// An earlier content version, during its retention; with `include_doomed` also of a doomed record.
    version: Option<String>,
    /// The record as of this time (RFC 3339).
    #[param(format = DateTime)]
    as_of: Option<String>,
    /// `inline` for a download URL whose content a browser may show; `attachment`, the default, for one that it saves.
    #[param(pattern = "^(attachment|inline)$")]
    disposition: Option<String>,
    /// Seconds for which a download URL is to be valid; the server's setting `mrs.download_url_seconds` where that is shorter,
    /// or when absent.
    #[param(value_type = Option<u64>, minimum = 1)]
    url_seconds: Option<String>,
}

/// Which record, in which state.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MetaQuery {
    /// Code of the org that has the record.
    #[param(value_type = String, required = true)]
    orgcode: Option<String>,
    /// Cost centre to name in the answer and the log.
    cccode: Option<String>,
    /// Name of the container that has the record.
    #[param(value_type = String, required = true)]
    container: Option<String>,
    /// Id of the record within its container.
    #[param(value_type = String, required = true)]
    record_id: Option<String>,
    /// `true` shows a doomed record too.
    include_doomed: Option<String>,
    /// The record as of this time (RFC 3339).
    #[param(format = DateTime)]
    as_of: Option<String>,
}

/// The record that is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HeadQuery {
    /// Code of the org that has the record.
    #[param(value_type = String, required = true)]
    orgcode: Option<String>,
    /// Cost centre to name in the answer and the log.
    cccode: Option<String>,
    /// Name of the container that has the record.
    #[param(value_type = String, required = true)]
    container: Option<String>,
    /// Id of the record within its container.
    #[param(value_type = String, required = true)]
    record_id: Option<String>,
}

/// The record with its content, or with how to download it.
#[derive(Serialize, ToSchema)]
pub struct RecordAnswer<'a> {
    #[schema(inline)]
    #[serde(flatten)]
    record: RecordView<'a>,
    /// Inline content, byte for byte as it was put.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    content: Option<&'a RawValue>,
    /// How to download other content.
    #[serde(skip_serializing_if = "Option::is_none")]
    download: Option<Download>,
}

/// A record without its content, and what bears on it from outside.
#[derive(Serialize, ToSchema)]
pub struct MetaAnswer<'a> {
    #[schema(inline)]
    #[serde(flatten)]
    record: RecordView<'a>,
    /// The operators' holds that keep the record, its container's before its org's; absent when there is none. `hold` is
    /// the owners' own on the record.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(inline)]
    legal_holds: Vec<LegalHoldView>,
    /// `true` when the bytes of this content are known to be lost: reading it is refused with the minor `content-lost`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    content_lost: bool,
}

/// An operators' hold that keeps a record.
#[derive(Serialize, ToSchema)]
pub struct LegalHoldView {
    /// What the hold is on: `container` or `org`.
    by: Level,
    /// The reason, as given by who set it.
    reason: String,
    /// When the hold was set.
    #[schema(format = DateTime)]
    since: String,
}

/// The fields that every record view has.
#[derive(Serialize, ToSchema)]
pub struct HeadAnswer<'a> {
    exists: bool,
    record_id: &'a str,
    container: &'a str,
    status: Status,
    #[schema(value_type = u64)]
    revision: Revision,
    content_type: &'a str,
    content_size: u64,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// The state of the service.
#[derive(Serialize, ToSchema)]
pub struct StatAnswer {
    service: &'static str,
    status: &'static str,
}

pub(crate) const RECORD: Route = Route::get(
    ("mrs", "/mrs/record"),
    Access::Org(Right::Read),
    inside!(record),
    Described::of::<__path_record>(),
)
.errors(
    &[RECORD_ERRORS],
    &[ErrorTag::Doomed, ErrorTag::InvalidState],
);

/// Read a record with its content.
#[utoipa::path(get, path = RECORD.path, params(RecordQuery),
    responses((status = 200, description = "The record and its content.", body = crate::http::reply::Good<'static, RecordAnswer<'static>>)))]
pub async fn record(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: RecordQuery = input::query(call)?;
    let subject = Subject {
        orgcode: query.orgcode.as_deref(),
        cccode: query.cccode.as_deref(),
        container: query.container.as_deref(),
        record_id: query.record_id.as_deref(),
    };
    let key = subject.admit(app, call)?.key()?;
    let include_doomed = input::flag(query.include_doomed.as_deref(), "include_doomed")?;
    let as_of = as_of(app, query.as_of.as_deref())?;
    let disposition = Disposition {
        name: key.record_id.as_str().to_owned(),
        inline: is_inline(query.disposition.as_deref())?,
    };
    // What is no number is as little one as 0 is.
    let seconds = query.url_seconds.as_deref();
    let seconds = seconds.map(|text| text.parse().unwrap_or_default());
    let seconds = url_seconds(seconds, app.mrs.download_url_seconds)?;
    let record = find_at(app, &key, as_of).await?;
    let version = query.version.as_deref().map(version).transpose()?;
    record.check_reading(include_doomed, version.is_some())?;
    let wanted = version.unwrap_or(record.content.version);
    let current = as_of.is_none() && record.status == Status::Active;
    if wanted > record.content.version {
        // What came later than the state that is asked for is not part of it.
        let newest = Some(record.content.version);
        return Err(versions::no_version(app, &key, wanted, newest)
            .await?
            .into());
    }
    let content = if current && wanted == record.content.version {
        record.content.clone()
    } else {
        versions::kept(app, &key, wanted).await?
    };
    let shown = Record { content, ..record };
    with_content((app, call), &key, &shown, (disposition, seconds))
}

fn is_inline(disposition: Option<&str>) -> Result<bool, Rejection> {
    match disposition {
        None | Some("attachment") => Ok(false),
        Some("inline") => Ok(true),
        Some(_) => Err(Rejection::field(
            "disposition",
            "disposition must be attachment or inline.",
        )),
    }
}

fn with_content(
    (app, call): (&AppState, &Call<'_>),
    key: &RecordKey,
    record: &Record,
    url: (Disposition, u64),
) -> Result<Reply, Refusal> {
    match record.content.place {
        ContentPlace::Inline(position) => {
            let gone = || Refusal::failed(format!("the payload of position {position} is gone"));
            let payload = app.journal.payload(position)?.ok_or_else(gone)?;
            // It has the digest that was journaled, of JSON that was read before it was accepted.
            Ok(Reply::of_record(key, record, Some(&payload)))
        }
        ContentPlace::Object(object_id) => {
            if is_lost(app, key, record)? {
                return Err(content_lost(record.content.version).into());
            }
            let base = app.public_url.of(call.head);
            let whose = (&key.org, base.as_str(), call.caller()?.user_id.as_str());
            let what = (&record.content, object_id);
            let answer = RecordAnswer {
                record: record.view(key),
                content: None,
                download: Some(Download::of(app, whose, what, url)),
            };
            Ok(Reply::of(&answer)?.at(record.revision))
        }
    }
}

pub(super) fn content_lost(version: u64) -> Rejection {
    Rejection::new(
        ErrorTag::InvalidState,
        "The bytes of this content are damaged and lost; put the record again, or read an earlier version.",
    )
    .with_minor("content-lost")
    .with_detail("version", version)
}

pub(crate) const META: Route = Route::get(
    ("mrs", "/mrs/record/meta"),
    Access::Org(Right::Read),
    inside!(meta),
    Described::of::<__path_meta>(),
)
.errors(&[RECORD_ERRORS], &[]);

/// Read a record's metadata, without its content.
#[utoipa::path(get, path = META.path, params(MetaQuery),
    responses((status = 200, description = "The record.", body = crate::http::reply::Good<'static, MetaAnswer<'static>>)))]
pub async fn meta(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: MetaQuery = input::query(call)?;
    let subject = Subject {
        orgcode: query.orgcode.as_deref(),
        cccode: query.cccode.as_deref(),
        container: query.container.as_deref(),
        record_id: query.record_id.as_deref(),
    };
    let key = subject.admit(app, call)?.key()?;
    let include_doomed = input::flag(query.include_doomed.as_deref(), "include_doomed")?;
    let as_of = as_of(app, query.as_of.as_deref())?;
    let record = find_at(app, &key, as_of).await?;
    if record.status == Status::Doomed && !include_doomed {
        return Err(Rejection::not_found().into());
    }
    let legal = legal_holds(app, &key, as_of).await?;
    let answer = MetaAnswer {
        legal_holds: legal.covering(&key.container).map(legal_hold).collect(),
        content_lost: is_lost(app, &key, &record)?,
        record: record.view(&key),
    };
    Ok(Reply::of(&answer)?.at(record.revision))
}

fn legal_hold(kept: Kept) -> LegalHoldView {
    LegalHoldView {
        by: kept.level,
        reason: kept.reason,
        since: kept.since.to_string(),
    }
}

/// The legal holds of a record's org, now or as of a time.
async fn legal_holds(
    app: &AppState,
    key: &RecordKey,
    as_of: Option<Timestamp>,
) -> Result<LegalHolds, Refusal> {
    let Some(at) = as_of else {
        return Ok(identity::holds(&app.store, key.org.as_str())?);
    };
    let (journal, org) = (app.journal.clone(), key.org.clone());
    let read = move || as_of::holds_when(&*journal, &org, at);
    app.histories.read(&key.org, read).await
}

/// Whether the bytes of a record's content are known to be lost.
fn is_lost(app: &AppState, key: &RecordKey, record: &Record) -> Result<bool, Refusal> {
    match record.content.place {
        ContentPlace::Inline(_) => Ok(false),
        ContentPlace::Object(_) => Ok(lost::is_lost(
            &app.store,
            RecordName::from(key),
            record.content.version,
        )?),
    }
}

pub(crate) const HEAD: Route = Route::get(
    ("mrs", "/mrs/head"),
    Access::Org(Right::Read),
    inside!(head),
    Described::of::<__path_head>(),
)
.errors(&[RECORD_ERRORS], &[]);

/// Ask whether a record is there.
#[utoipa::path(get, path = HEAD.path, params(HeadQuery),
    responses((status = 200, description = "It is there.", body = crate::http::reply::Good<'static, HeadAnswer<'static>>)))]
pub async fn head(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: HeadQuery = input::query(call)?;
    let subject = Subject {
        orgcode: query.orgcode.as_deref(),
        cccode: query.cccode.as_deref(),
        container: query.container.as_deref(),
        record_id: query.record_id.as_deref(),
    };
    let key = subject.admit(app, call)?.key()?;
    let record = find(app, &key)?;
    if record.status == Status::Doomed {
        return Err(Rejection::not_found().into());
    }
    let answer = HeadAnswer {
        exists: true,
        record_id: key.record_id.as_str(),
        container: key.container.as_str(),
        status: record.status,
        revision: record.revision,
        content_type: &record.content.content_type,
        content_size: record.content.size,
        updated_at: record.updated_at.to_string(),
    };
    Ok(Reply::of(&answer)?.at(record.revision))
}

pub(crate) const STAT: Route = Route::get(
    ("mrs", "/mrs/stat"),
    Access::Authenticated,
    inside!(stat),
    Described::of::<__path_stat>(),
);

/// Ask whether the service works.
#[utoipa::path(get, path = STAT.path,
    responses((status = 200, description = "It does.", body = crate::http::reply::Good<'static, StatAnswer>)))]
pub async fn stat(app: &AppState, _: &mut Call<'_>) -> Result<Reply, Refusal> {
    let status = match app.journal.health() {
        crate::journal::Health::Open => "ok",
        crate::journal::Health::ReadOnly(_) => "read-only",
    };
    Reply::of(&StatAnswer {
        service: "mrs",
        status,
    })
}

/// Reads the current record, or its state at a time.
async fn find_at(
    app: &AppState,
    key: &RecordKey,
    as_of: Option<Timestamp>,
) -> Result<Record, Refusal> {
    let Some(at) = as_of else {
        return find(app, key);
    };
    let (journal, its) = (app.journal.clone(), key.clone());
    let read = move || {
        let record = as_of::record_when(&*journal, &its, |body| body.origin.at <= at)?;
        let Some(record) = record else {
            return Ok(None);
        };
        // The holds of then: a release must not change how the record read before it.
        let legal = if record.is_due(at) {
            as_of::holds_when(&*journal, &its.org, at)?.keeps(&its.container)
        } else {
            None
        };
        Ok(Some(record.as_of(at, legal.as_ref())))
    };
    let record = app.histories.read(&key.org, read).await?;
    Ok(record.ok_or_else(Rejection::not_found)?)
}

fn version(text: &str) -> Result<u64, Rejection> {
    text.parse().map_err(|_| {
        Rejection::field(
            "version",
            "version must be a content version, a whole number from 1.",
        )
    })
}

fn as_of(app: &AppState, text: Option<&str>) -> Result<Option<Timestamp>, Rejection> {
    let Some(text) = text else { return Ok(None) };
    match input::time(text, "as_of")? {
        at if at <= app.clock.now() => Ok(Some(at)),
        _ => Err(Rejection::field("as_of", "as_of is in the future.")),
    }
}
