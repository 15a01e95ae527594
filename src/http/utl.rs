//! `/utl/...`: an org leaves: its owner asks for it, sees how far that is, calls it off, and takes the data away.

pub mod export;

use actix_web::http::Method;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::call::Call;
use super::idempotency;
use super::input;
use super::reply::{Refusal, Reply};
use super::state::AppState;
use super::usm::org_request;
use crate::domain::ErrorTag;
use crate::domain::check;
use crate::domain::offboarding::{Counts, Export, Offboarding, OrgTransfer, REASON_CHARS_MAX};
use crate::domain::{OrgCode, Rejection, Timestamp};
use crate::http::auth::access::{Access, Right};
use crate::http::input::FIELD_ERRORS;
use crate::http::route::{Described, Route, inside};

org_request! {
    /// The org that is asked for.
    pub(crate) struct Leaving {}
}

org_request! {
    /// An org to be offboarded; `reason` says why.
    pub(crate) struct NewOffboarding {
        /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`.
        #[schema(min_length = 1, max_length = 128, pattern = "^[ -~]+$")]
        idempotency_key: Option<String>,
    }
}

/// The org that is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhichOffboarding {
    /// The org.
    #[param(value_type = String, required = true)]
    orgcode: Option<String>,
}

/// The size of an export.
#[derive(Serialize, ToSchema)]
pub struct CountsView {
    records: u64,
    /// Entries of the history.
    entries: u64,
    /// Content files.
    objects: u64,
    /// Content that the history names and that is missing: never uploaded, or cleaned up.
    objects_absent: u64,
    /// Bytes of content files and of inline content.
    bytes: u64,
}

impl From<&Counts> for CountsView {
    fn from(counts: &Counts) -> Self {
        Self {
            records: counts.records,
            entries: counts.entries,
            objects: counts.objects,
            objects_absent: counts.objects_absent,
            bytes: counts.bytes,
        }
    }
}

/// An export of an org.
#[derive(Serialize, ToSchema)]
pub struct ExportView {
    export_id: String,
    /// `making` or `completed`.
    status: &'static str,
    #[schema(format = DateTime)]
    requested_at: String,
    /// The last position of the journal that it takes in.
    journal_position: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    completed_at: Option<String>,
    /// SHA-256 in hex of `manifest.json`, which lists the SHA-256 of every other file.
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    counts: Option<CountsView>,
}

impl From<&Export> for ExportView {
    fn from(export: &Export) -> Self {
        let made = export.made.as_ref();
        Self {
            export_id: export.export_id.clone(),
            status: made.map_or("making", |_| "completed"),
            requested_at: export.requested_at.to_string(),
            journal_position: export.position,
            completed_at: made.map(|made| made.at.to_string()),
            manifest_sha256: made.map(|made| made.manifest_sha256.clone()),
            counts: made.map(|made| CountsView::from(&made.counts)),
        }
    }
}

/// An org's last offboarding, and its exports.
#[derive(Serialize, ToSchema)]
pub struct OffboardingView {
    orgcode: String,
    /// `none`, `requested`, `approved`, `purging`, `purged` or `cancelled`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    offboarding_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    requested_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    approved_at: Option<String>,
    /// Until when the data can be taken away; then it is erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    window_ends_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vacuum_id: Option<String>,
    /// Why it cannot continue.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    updated_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    /// Exports that exist or are being created, oldest first.
    #[schema(inline)]
    exports: Vec<ExportView>,
}

impl OffboardingView {
    /// What is to be seen of an org's last offboarding.
    pub(super) fn new(org: &str, offboarding: Option<&Offboarding>, exports: &[Export]) -> Self {
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let approval = offboarding.and_then(|one| one.approval.as_ref());
        Self {
            orgcode: org.to_owned(),
            status: offboarding.map_or("none", |one| one.status.as_str()),
            offboarding_id: offboarding.map(|one| one.offboarding_id.clone()),
            reason: offboarding.map(|one| one.reason.clone()),
            requested_at: text(offboarding.map(|one| one.requested_at)),
            requested_by: offboarding.map(|one| one.requested_by.clone()),
            approved_at: text(approval.map(|approval| approval.at)),
            window_ends_at: text(approval.map(|approval| approval.window_ends_at)),
            vacuum_id: offboarding.and_then(|one| one.vacuum_id.clone()),
            blocked: offboarding.and_then(|one| one.blocked.clone()),
            finished_at: text(offboarding.and_then(|one| one.finished_at)),
            updated_at: text(offboarding.map(|one| one.updated_at)),
            revision: offboarding.map(|one| one.revision),
            exports: exports.iter().map(ExportView::from).collect(),
        }
    }
}

/// The answer that shows an org's leaving.
pub(super) fn show(org: &OrgCode, org_transfer: &OrgTransfer) -> Result<Reply, Refusal> {
    let offboarding = org_transfer.offboarding.as_ref();
    Reply::of(&OffboardingView::new(
        org.as_str(),
        offboarding,
        &org_transfer.exports,
    ))
}

pub(crate) const REQUEST: Route = Route::post(
    ("utl", "/utl/offboarding/request"),
    Access::Org(Right::Manage),
    inside!(request),
    Described::of::<__path_request>(),
)
.errors(
    &[FIELD_ERRORS],
    &[ErrorTag::InvalidState, ErrorTag::OrgWriteBlocked],
)
.keeps_first_answers();

/// Request the org's offboarding: once an operator approves, its data can be downloaded for a limited time, and is
/// then erased.
#[utoipa::path(post, path = REQUEST.path, request_body = NewOffboarding,
    responses((status = 200, description = "The offboarding.", body = crate::http::reply::Good<'static, OffboardingView>)))]
pub async fn request(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: NewOffboarding = input::json(&call.body)?;
    let org = request.org(app, call)?;
    let caller = request.caller(call)?;
    let key = request.idempotency_key.as_deref();
    let keyed = idempotency::enter(app, call, key, Some(&org)).await?;
    if let Some(made) = keyed.made() {
        return Ok(show(&org, &app.first_answers.org_transfer(made)?)?.again());
    }
    let caller = keyed.sign(caller);
    let reason = reason(request.reason.as_deref())?;
    let after = app.offboardings.request(&org, reason, &caller).await?;
    show(&org, &after)
}

pub(crate) const STATUS: Route = Route::get(
    ("utl", "/utl/offboarding/status"),
    Access::Org(Right::Offboard),
    inside!(status),
    Described::of::<__path_status>(),
)
.errors(&[FIELD_ERRORS], &[]);

/// Show the state of the org's offboarding.
#[utoipa::path(get, path = STATUS.path, params(WhichOffboarding),
    responses((status = 200, description = "The offboarding.", body = crate::http::reply::Good<'static, OffboardingView>)))]
pub async fn status(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let org = match *call.head.method {
        Method::POST => {
            let request: Leaving = input::json(&call.body)?;
            let org = request.org(app, call)?;
            request.caller(call)?;
            org
        }
        _ => {
            let query: WhichOffboarding = input::query(call)?;
            admit(app, call, query.orgcode.as_deref())?
        }
    };
    show(&org, &app.offboardings.org_transfer(&org)?)
}

pub(crate) const STATUS_BY_POST: Route = Route::post(
    ("utl", "/utl/offboarding/status"),
    Access::Org(Right::Offboard),
    inside!(status_by_post),
    Described::of::<__path_status_by_post>(),
)
.errors(&[FIELD_ERRORS], &[])
.changes_nothing();

/// Show the state of the org's offboarding.
#[utoipa::path(post, path = STATUS_BY_POST.path, request_body = Leaving,
    responses((status = 200, description = "The offboarding.", body = crate::http::reply::Good<'static, OffboardingView>)))]
pub async fn status_by_post(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    status(app, call).await
}

pub(crate) const CANCEL: Route = Route::post(
    ("utl", "/utl/offboarding/cancel"),
    Access::Org(Right::Offboard),
    inside!(cancel),
    Described::of::<__path_cancel>(),
)
.errors(
    &[FIELD_ERRORS],
    &[ErrorTag::InvalidState, ErrorTag::OrgWriteBlocked],
);

/// Call the offboarding off, as long as nothing is erased: the org is as it was.
#[utoipa::path(post, path = CANCEL.path, request_body = Leaving,
    responses((status = 200, description = "The offboarding.", body = crate::http::reply::Good<'static, OffboardingView>)))]
pub async fn cancel(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Leaving = input::json(&call.body)?;
    let org = request.org(app, call)?;
    let caller = request.caller(call)?;
    show(&org, &app.offboardings.cancel(&org, &caller).await?)
}

/// Admits the caller to the org of a query.
fn admit(app: &AppState, call: &mut Call<'_>, orgcode: Option<&str>) -> Result<OrgCode, Refusal> {
    let org = input::org(call, orgcode)?;
    call.note_org(&org);
    call.admit((&app.store, &app.rate_limits), &org)?;
    Ok(org)
}

fn reason(text: Option<&str>) -> Result<String, Rejection> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    let text = text.unwrap_or_default();
    check::text("reason", text, REASON_CHARS_MAX)?;
    Ok(text.to_owned())
}
