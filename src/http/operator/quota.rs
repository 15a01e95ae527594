//! `ofm_usage` and `ofm_quota_set`: what an org has, and what it may have.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ask, operator_request};
use crate::domain::org::OrgCommand;
use crate::domain::quota::{Quota, check_limits};
use crate::domain::{ErrorTag, OrgCode, Rejection};
use crate::http::call::Call;
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::http::{input, usage};
use crate::projections::identity;

/// The org whose use is asked for.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct UsageQuery {
    /// Code of the org, as `ofm_org_list` shows it.
    #[schema(value_type = String, required = true)]
    orgcode: Option<String>,
}

operator_request! {
    /// Limits to set for an org.
    pub(super) struct QuotaSet {
        /// Code of the org, as `ofm_org_list` shows it.
        #[schema(value_type = String, required = true)]
        orgcode: Option<String>,
        /// By quota: the limit, 0 for none; `null` for that of the settings again.
        #[schema(value_type = std::collections::BTreeMap<String, Option<u64>>, required = true)]
        limits: Option<BTreeMap<String, Option<u64>>>,
    }
}

/// Shows what an org uses and its limits.
#[utoipa::path(post, path = "/invoke/ofm_usage", request_body = UsageQuery,
    responses((status = 200, description = "What the org uses, and what it may use.", body = crate::http::reply::Good<'static, crate::http::usage::UsageView>)))]
pub(super) async fn show(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: UsageQuery = input::json(&call.body)?;
    let org = org(app, call, query.orgcode.as_deref())?;
    usage::show(app, &org)
}

/// Sets limits for an org, from the next command on. What there is stays, also when it is more.
#[utoipa::path(post, path = "/invoke/ofm_quota_set", request_body = QuotaSet,
    responses((status = 200, description = "What the org uses, and what it may use.", body = crate::http::reply::Good<'static, crate::http::usage::UsageView>)))]
pub(super) async fn set(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: QuotaSet = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let org = org(app, call, request.orgcode.as_deref())?;
    let limits = limits(request.limits.unwrap_or_default())?;
    let told = limits.iter().map(|(quota, limit)| {
        let limit = limit.map_or("settings".to_owned(), |limit| limit.to_string());
        (quota.as_str(), limit)
    });
    let told: Vec<_> = told.collect();
    let facts: Vec<_> = told.iter().map(|(name, limit)| (*name, &**limit)).collect();
    ask(app, call, &caller, (org.as_str(), &facts)).await?;
    let set = OrgCommand::SetQuotas {
        org: org.clone(),
        limits,
    };
    app.directory.org(set, &caller).await?;
    usage::show(app, &org)
}

fn org(app: &AppState, call: &mut Call<'_>, text: Option<&str>) -> Result<OrgCode, Refusal> {
    let org = super::org(call, text)?;
    match identity::org_status(&app.store, org.as_str())? {
        Some(_) => Ok(org),
        None => Err(Rejection::new(ErrorTag::NotFound, "There is no such org.").into()),
    }
}

fn limits(named: BTreeMap<String, Option<u64>>) -> Result<BTreeMap<Quota, Option<u64>>, Rejection> {
    let mut limits = BTreeMap::new();
    for (name, limit) in named {
        let Some(quota) = Quota::parse(&name) else {
            let message = format!("There is no such quota; there are {}.", Quota::names());
            return Err(Rejection::field("limits", message));
        };
        limits.insert(quota, limit);
    }
    check_limits(&limits)?;
    Ok(limits)
}
