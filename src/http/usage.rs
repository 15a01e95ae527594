//! `/ofm/usage`: what an org uses and its limits.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::call::Call;
use super::input;
use super::reply::{Refusal, Reply};
use super::state::AppState;
use crate::domain::quota::Quota;
use crate::domain::{ErrorTag, OrgCode, Rejection};
use crate::http::auth::access::{Access, Right};
use crate::http::input::FIELD_ERRORS;
use crate::http::route::{Described, Route, inside};
use crate::projections::{identity, usage};

/// The org that is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhichUsage {
    /// The org.
    #[param(value_type = String, required = true)]
    orgcode: Option<String>,
}

/// One quota of an org.
#[derive(Serialize, ToSchema)]
pub struct QuotaView {
    /// Its name, such as `records`.
    quota: &'static str,
    /// How much there is.
    used: u64,
    /// The limit; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    /// `org` when an operator has set the limit for this org, else `settings`.
    limit_from: &'static str,
    /// What it counts.
    counts: &'static str,
}

/// An org's usage and quotas.
#[derive(Serialize, ToSchema)]
pub struct UsageView {
    orgcode: String,
    #[schema(inline)]
    items: Vec<QuotaView>,
}

pub(crate) const GET: Route = Route::get(
    ("ofm", "/ofm/usage"),
    Access::Org(Right::Offboard),
    inside!(get),
    Described::of::<__path_get>(),
)
.errors(&[FIELD_ERRORS], &[]);

/// Show an org's usage and quotas.
#[utoipa::path(get, path = GET.path, params(WhichUsage),
    responses((status = 200, description = "Use and limit of each quota.", body = crate::http::reply::Good<'static, UsageView>)))]
pub async fn get(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: WhichUsage = input::query(call)?;
    let missing = || Rejection::new(ErrorTag::InvalidOrgcode, "orgcode is missing.");
    let org = OrgCode::parse(query.orgcode.as_deref().ok_or_else(missing)?)?;
    call.admit((&app.store, &app.rate_limits), &org)?;
    show(app, &org)
}

/// The answer that shows what an org has, as its rows count it now, and what it does at once.
pub(super) fn show(app: &AppState, org: &OrgCode) -> Result<Reply, Refusal> {
    let counts = usage::counts(&app.store, org.as_str())?;
    let own = identity::own_limits(&app.store, org.as_str())?;
    let limits = app.store.reservations().settings().with(&own);
    let [uploads, downloads] = app.transfers.of_org(org);
    let used = |quota| match quota {
        Quota::RequestsInFlight => app.rate_limits.org_in_flight(org),
        Quota::UploadsAtOnce => uploads,
        Quota::DownloadsAtOnce => downloads,
        Quota::Records
        | Quota::Containers
        | Quota::ContentBytes
        | Quota::PendingUploadBytes
        | Quota::Tags
        | Quota::ServiceAccounts
        | Quota::ApiKeys
        | Quota::Sessions => counts.get(quota),
    };
    let items = Quota::ALL.map(|quota| QuotaView {
        quota: quota.as_str(),
        used: used(quota),
        limit: limits.get(quota),
        limit_from: if own.contains_key(&quota) {
            "org"
        } else {
            "settings"
        },
        counts: quota.counts(),
    });
    Reply::of(&UsageView {
        orgcode: org.as_str().to_owned(),
        items: items.into(),
    })
}
