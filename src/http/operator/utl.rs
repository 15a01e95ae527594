//! `utl_offboarding_...` and `utl_export...`: approving that an org leaves, and taking data out.

use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Code, ask, check_code, operator_request};
use crate::domain::offboarding::OffboardingStatus;
use crate::http::call::Call;
use crate::http::idempotency;
use crate::http::input::{self, LimitIn};
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::http::utl::export::{FileQuery, FilesQuery, files, one_file};
use crate::http::utl::{OffboardingView, show};
use crate::projections::offboarding;

operator_request! {
    /// An offboarding to approve.
    #[schema(as = OffboardingApprove)]
    pub(super) struct Approve {
        /// The operators' secret code.
        #[schema(value_type = String, required = true, format = Password)]
        secret_code: Option<Code>,
        /// Code of the org, as `ofm_org_list` shows it.
        #[schema(value_type = String, required = true)]
        orgcode: Option<String>,
    }
}

operator_request! {
    /// An offboarding to cancel.
    #[schema(as = OffboardingCancel)]
    pub(super) struct WhichOrg {
        /// Code of the org, as `ofm_org_list` shows it.
        #[schema(value_type = String, required = true)]
        orgcode: Option<String>,
    }
}

operator_request! {
    /// An export to make.
    #[schema(as = ExportRequest)]
    pub(super) struct NewExport {
        /// Code of the org, as `ofm_org_list` shows it.
        #[schema(value_type = String, required = true)]
        orgcode: Option<String>,
        /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`.
        idempotency_key: Option<String>,
    }
}

/// The org whose offboarding is returned.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OffboardingQuery)]
struct StatusQuery {
    /// Code of the org, as `ofm_org_list` shows it.
    #[schema(value_type = String, required = true)]
    orgcode: Option<String>,
}

/// The filters of a list of offboardings.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OffboardingsQuery)]
struct ListQuery {
    /// Only those with this status: `requested`, `approved`, `purging`, `purged` or `cancelled`.
    status: Option<String>,
    /// Items a page: 8 by default, 1 to 256.
    #[schema(value_type = Option<u64>)]
    limit: Option<LimitIn>,
    /// The `next_token` of the page before.
    next_token: Option<String>,
}

/// Lists each org's last offboarding, in the order of the orgs' codes.
#[utoipa::path(post, path = "/invoke/utl_offboarding_list", request_body = ListQuery,
    responses((status = 200, description = "`items`: the last offboarding of each org; `next_token` unless it is the last page.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn list(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: ListQuery = input::json(&call.body)?;
    let status = query.status.as_deref();
    let status =
        status.map(|text| input::status(text, OffboardingStatus::ALL, OffboardingStatus::as_str));
    let status = status.transpose()?;
    let limit = query.limit.unwrap_or_default().0;
    let filter: [u8; 32] = Sha256::digest(format!("offboardings {status:?}")).into();
    let from = input::cursor(&app.signer, query.next_token.as_deref(), filter)?;
    let page = offboarding::list(&app.store, status, from.as_deref(), limit)?;
    let mut items = Vec::with_capacity(page.items.len());
    for (org, one) in &page.items {
        items.push(OffboardingView::new(org, Some(one), &[]));
    }
    let mut answer = json!({"items": items, "limit": limit});
    if let Some(place) = page.next {
        answer["next_token"] = input::next_token(&app.signer, filter, place).into();
    }
    Reply::of(&answer)
}

/// Approves the offboarding of an org.
#[utoipa::path(post, path = "/invoke/utl_offboarding_approve", request_body = Approve,
    responses((status = 200, description = "The offboarding, and the exports.", body = crate::http::reply::Good<'static, crate::http::utl::OffboardingView>)))]
pub(super) async fn approve(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Approve = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let org = super::org(call, request.orgcode.as_deref())?;
    let code = request.secret_code.as_ref();
    check_code((app, call), code, "utl_offboarding_approve", &caller).await?;
    ask(app, call, &caller, (org.as_str(), &[])).await?;
    show(&org, &app.offboardings.approve(&org, &caller).await?)
}

/// Calls an offboarding off.
#[utoipa::path(post, path = "/invoke/utl_offboarding_cancel", request_body = WhichOrg,
    responses((status = 200, description = "The offboarding, and the exports.", body = crate::http::reply::Good<'static, crate::http::utl::OffboardingView>)))]
pub(super) async fn cancel(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: WhichOrg = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let org = super::org(call, request.orgcode.as_deref())?;
    ask(app, call, &caller, (org.as_str(), &[])).await?;
    show(&org, &app.offboardings.cancel(&org, &caller).await?)
}

/// Shows an org's last offboarding, and its exports.
#[utoipa::path(post, path = "/invoke/utl_offboarding_status", request_body = StatusQuery,
    responses((status = 200, description = "The offboarding, and the exports.", body = crate::http::reply::Good<'static, crate::http::utl::OffboardingView>)))]
pub(super) async fn status(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: StatusQuery = input::json(&call.body)?;
    let org = super::org(call, query.orgcode.as_deref())?;
    show(&org, &app.offboardings.org_transfer(&org)?)
}

/// Exports an org independently of any offboarding.
#[utoipa::path(post, path = "/invoke/utl_export", request_body = NewExport,
    responses((status = 200, description = "The offboarding, and the exports.", body = crate::http::reply::Good<'static, crate::http::utl::OffboardingView>)))]
pub(super) async fn export(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: NewExport = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let org = super::org(call, request.orgcode.as_deref())?;
    let key = request.idempotency_key.as_deref();
    let keyed = idempotency::enter(app, call, key, None).await?;
    if let Some(made) = keyed.made() {
        return Ok(show(&org, &app.first_answers.org_transfer(made)?)?.again());
    }
    ask(app, call, &caller, (org.as_str(), &[])).await?;
    let caller = keyed.sign(caller);
    show(&org, &app.offboardings.export(&org, &caller).await?)
}

/// Lists the files of an export.
#[utoipa::path(post, path = "/invoke/utl_export_list", request_body = FilesQuery,
    responses((status = 200, description = "The files of the export.", body = crate::http::reply::Good<'static, crate::http::utl::export::FilesAnswer>)))]
pub(super) async fn export_list(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: FilesQuery = input::json(&call.body)?;
    let org = super::org(call, query.orgcode.as_deref())?;
    files(app, &org, query).await
}

/// Returns where a file of an export is.
#[utoipa::path(post, path = "/invoke/utl_export_file", request_body = FileQuery,
    responses((status = 200, description = "Where the file is.", body = crate::http::reply::Good<'static, crate::http::utl::export::FileAnswer>)))]
pub(super) async fn export_file(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: FileQuery = input::json(&call.body)?;
    let org = super::org(call, query.orgcode.as_deref())?;
    let base = app.public_url.for_operator(call.head);
    one_file(app, (&org, &base, super::OPERATOR), &query).await
}
