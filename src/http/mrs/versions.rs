//! `GET /mrs/record/versions`: a record's content versions, and reading one that is not the current.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::RECORD_ERRORS;
use super::listed::{Listed, Place};
use super::{Subject, object_of};
use crate::domain::ErrorTag;
use crate::domain::Rejection;
use crate::domain::record::{Content, ContentKind, Doom, EndedBy, RecordKey};
use crate::http::auth::access::{Access, Right};
use crate::http::call::Call;
use crate::http::input::{self, LimitIn};
use crate::http::reply::{Refusal, Reply};
use crate::http::route::{Described, Route, inside};
use crate::http::state::AppState;
use crate::projections::versions::{self, Start, Version};
use crate::projections::{RecordName, contents, holds, lost, records};

/// Which record, and how many of its versions at a time.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct VersionsQuery {
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
    /// `true` shows those of a doomed record too.
    include_doomed: Option<String>,
    /// Versions per page: 8 by default, 1 to 256.
    #[param(value_type = Option<String>)]
    limit: Option<LimitIn>,
    /// The next_token of the page before.
    next_token: Option<String>,
}

/// One page of versions.
#[derive(Serialize, ToSchema)]
pub struct VersionsAnswer<'a> {
    /// The versions, newest first.
    items: Vec<VersionView<'a>>,
    /// How many versions a page has at most.
    limit: usize,
    /// Token for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// How many versions a refusal names.
const NAMED_VERSIONS_MAX: usize = 8;

/// An earlier or the current content of a record.
#[derive(Serialize, ToSchema)]
pub struct VersionView<'a> {
    /// 1 for the first, one more with each put.
    version: u64,
    /// Whether it is the current version.
    current: bool,
    /// Its media type, before gzip.
    content_type: &'a str,
    /// Whether the content comes in the answer or as a download.
    content_kind: ContentKind,
    /// How many bytes are stored.
    content_size: u64,
    /// MD5 in hex of the bytes as stored.
    content_md5: String,
    /// SHA-256 in hex of the received bytes; absent for uploads completed by versions that did not store it.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_sha256: Option<String>,
    /// Size in bytes of what the gzip of an upload decodes to; absent for inline content, and for uploads completed by
    /// versions that did not store it.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_size_decoded: Option<u64>,
    /// MD5 in hex of what the gzip of an upload decodes to; absent as `content_size_decoded` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_md5_decoded: Option<String>,
    /// From when on it was the content.
    #[schema(format = DateTime)]
    since: String,
    /// Who made it that.
    by: &'a str,
    /// When it ended; absent for the current version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    until: Option<String>,
    /// What ended it; absent for the current version.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<EndedBy>,
    /// Until when it can be read at least; absent while something holds it, and when it is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    kept_until: Option<String>,
    /// Its retention has passed, and it cannot be read any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    removed: bool,
    /// Its bytes are known to be lost, and it cannot be read; in time, as other versions, it is removed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    lost: bool,
}

pub(crate) const VERSIONS: Route = Route::get(
    ("mrs", "/mrs/record/versions"),
    Access::Org(Right::Read),
    inside!(versions),
    Described::of::<__path_versions>(),
)
.errors(&[RECORD_ERRORS], &[ErrorTag::InvalidNextToken]);

/// List a record's content versions.
#[utoipa::path(get, path = VERSIONS.path, params(VersionsQuery),
    responses((status = 200, description = "One page.", body = crate::http::reply::Good<'static, VersionsAnswer<'static>>)))]
pub async fn versions(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: VersionsQuery = input::query(call)?;
    let subject = Subject {
        orgcode: query.orgcode.as_deref(),
        cccode: query.cccode.as_deref(),
        container: query.container.as_deref(),
        record_id: query.record_id.as_deref(),
    };
    let listed = Listed::find(app, call, &subject, query.include_doomed.as_deref())?;
    let (key, record) = (&listed.key, &listed.record);
    let limit = query.limit.unwrap_or_default().0;
    let digest = listed.digest("versions");
    let place = input::cursor(&app.signer, query.next_token.as_deref(), digest)?;
    let place = place.as_deref().and_then(Place::of_bytes);
    let mut found = newest_below(app, key, place, limit + 1).await?;
    let mut next_token = None;
    if found.len() > limit {
        found.truncate(limit);
        let last = found.last().map(|last| Place {
            at: last.content.version,
            with: Some(last.revision),
        });
        next_token = last.map(|last| input::next_token(&app.signer, digest, last.to_bytes()));
    }
    let items = found.iter();
    let held = holds::held(&app.store, RecordName::from(key), record)?.is_some();
    let state = (record.doom.as_ref(), held);
    let items = items.map(|version| view(app, key, version, state));
    Reply::of(&VersionsAnswer {
        items: items.collect::<Result<_, _>>()?,
        limit,
        next_token,
    })
}

fn view<'a>(
    app: &AppState,
    key: &RecordKey,
    version: &'a Version,
    (doom, held): (Option<&Doom>, bool),
) -> Result<VersionView<'a>, Refusal> {
    let content = &version.content;
    // A due record's end may not be journaled yet; its content has ended all the same.
    let end = match &version.ended {
        Some(ended) => Some((ended.until, ended.by)),
        None => doom.map(|doom| (doom.at, EndedBy::Doomed)),
    };
    let removed = !is_kept(app, key, version)?;
    let is_object = object_of(content).is_some();
    let lost =
        !removed && is_object && lost::is_lost(&app.store, RecordName::from(key), content.version)?;
    let retention = app.upkeep.settings().retention;
    let kept_until = end.map(|(until, by)| retention.kept_until(by, until));
    Ok(VersionView {
        version: content.version,
        current: end.is_none(),
        content_type: &content.content_type,
        content_kind: if is_object {
            ContentKind::Object
        } else {
            ContentKind::Inline
        },
        content_size: content.size,
        content_md5: content.md5.to_string(),
        content_sha256: content.sha256.map(|sha256| sha256.to_string()),
        content_size_decoded: content.decoded.map(|decoded| decoded.size),
        content_md5_decoded: content.decoded.map(|decoded| decoded.md5.to_string()),
        since: version.since.to_string(),
        by: &version.by,
        until: end.map(|(until, _)| until.to_string()),
        why: end.map(|(_, by)| by),
        kept_until: kept_until
            .filter(|_| !removed && !lost && !held)
            .map(|at| at.to_string()),
        removed,
        lost,
    })
}

/// The content of a version, current or still kept.
///
/// # Errors
/// 404 when there was no such version, or it was removed.
pub(super) async fn kept(
    app: &AppState,
    key: &RecordKey,
    version: u64,
) -> Result<Content, Refusal> {
    let below = Place {
        at: version.saturating_add(1),
        with: None,
    };
    let found = newest_below(app, key, Some(below), 1).await?;
    let found = found.into_iter().next();
    let found = found.filter(|found| found.content.version == version);
    match found {
        Some(found) if is_kept(app, key, &found)? => Ok(found.content),
        Some(_) | None => Err(no_version(app, key, version, None).await?.into()),
    }
}

/// The refusal of a content version that the record does not have, or not any more: its readers learn which it has, up to
/// that of the state that was asked for.
pub(super) async fn no_version(
    app: &AppState,
    key: &RecordKey,
    wanted: u64,
    newest: Option<u64>,
) -> Result<Rejection, Refusal> {
    let below = newest.map(|newest| Place {
        at: newest.saturating_add(1),
        with: None,
    });
    let mut there = Vec::new();
    for version in newest_below(app, key, below, NAMED_VERSIONS_MAX).await? {
        if is_kept(app, key, &version)? {
            there.push(version.content.version);
        }
    }
    let named: Vec<_> = there.iter().map(u64::to_string).collect();
    let message = match named.as_slice() {
        [] => format!("The record has no content version {wanted}, and no other is kept."),
        named => format!(
            "The record has no content version {wanted}; the newest that it has: {}.",
            named.join(", ")
        ),
    };
    Ok(Rejection::absent(message)
        .with_minor("version")
        .with_detail("versions", there))
}

fn is_kept(app: &AppState, key: &RecordKey, version: &Version) -> Result<bool, Refusal> {
    match &version.ended {
        Some(ended) => Ok(contents::is_kept(&app.store, RecordName::from(key), ended)?),
        None => Ok(true),
    }
}

/// Reads a record's versions below a place (a version, and the record's revision with which that began), newest first, on a thread that may block.
async fn newest_below(
    app: &AppState,
    key: &RecordKey,
    place: Option<Place>,
    count: usize,
) -> Result<Vec<Version>, Refusal> {
    let record = records::find(&app.store, RecordName::from(key))?;
    let record = record.ok_or_else(Rejection::not_found)?;
    let (journal, its) = (app.journal.clone(), key.clone());
    let read = move || {
        let begun = place.and_then(|place| Some((place.with?, place.at)));
        let start = match begun {
            Some((revision, version)) => Start::at(revision, version),
            None => Start::of(&*journal, &its, &record)?,
        };
        let below = place.map(|place| place.at);
        versions::newest_below(&*journal, &its, start, (below, count))
    };
    app.histories.read(&key.org, read).await
}
