//! `mrs_hold_set`, `release` and `list`: legal holds on an org or on one of its containers.

use serde::{Deserialize, Serialize};

use super::{ask, operator_request};
use crate::actors::Caller;
use crate::domain::hold::{self, Hold, Level};
use crate::domain::org::OrgCommand;
use crate::domain::{ContainerName, ErrorTag, OrgCode, Rejection};
use crate::http::call::Call;
use crate::http::input;
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::projections::{holds, identity};

operator_request! {
    /// An org or a container to hold, or to hold no longer.
    pub(super) struct HoldChange {
        /// Code of the org, as `ofm_org_list` shows it.
        #[schema(value_type = String, required = true)]
        orgcode: Option<String>,
        /// Name of the container; without it the whole org is meant.
        container: Option<String>,
    }
}

/// The org, or container, whose holds are listed.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct HoldQuery {
    /// Code of the org, as `ofm_org_list` shows it.
    #[schema(value_type = String, required = true)]
    orgcode: Option<String>,
    /// Name of the container; without it the whole org is meant.
    container: Option<String>,
}

/// A legal hold in an answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct LegalHoldView<'a> {
    /// The level at which the hold is set.
    held: Level,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
    reason: &'a str,
    since: String,
    by: &'a str,
    /// The person or program for whom the operator said to act.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
}

/// The legal holds of an org.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct HoldsAnswer<'a> {
    orgcode: &'a str,
    /// The org's own, then those on containers by name.
    items: Vec<LegalHoldView<'a>>,
    /// Records with a hold of their own, counted up to 10,000.
    records_held: usize,
}

/// Sets a legal hold.
#[utoipa::path(post, path = "/invoke/mrs_hold_set", request_body = HoldChange,
    responses((status = 200, description = "The holds.", body = crate::http::reply::Good<'static, HoldsAnswer<'static>>)))]
pub(super) async fn set(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: HoldChange = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let (org, container) = subject(call, &request.orgcode, &request.container)?;
    let command = OrgCommand::SetHold {
        org: org.clone(),
        container: container.clone(),
        reason: hold::reason(request.reason.as_deref())?,
    };
    change((app, call), command, container.as_ref(), &caller).await?;
    show(app, &org, container.as_ref())
}

/// Releases a legal hold. What was due meanwhile is doomed at once.
#[utoipa::path(post, path = "/invoke/mrs_hold_release", request_body = HoldChange,
    responses((status = 200, description = "The holds.", body = crate::http::reply::Good<'static, HoldsAnswer<'static>>)))]
pub(super) async fn release(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: HoldChange = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let (org, container) = subject(call, &request.orgcode, &request.container)?;
    let command = OrgCommand::ReleaseHold {
        org: org.clone(),
        container: container.clone(),
    };
    change((app, call), command, container.as_ref(), &caller).await?;
    show(app, &org, container.as_ref())
}

/// Shows the legal holds of an org, or those that cover a container.
#[utoipa::path(post, path = "/invoke/mrs_hold_list", request_body = HoldQuery,
    responses((status = 200, description = "The holds.", body = crate::http::reply::Good<'static, HoldsAnswer<'static>>)))]
pub(super) async fn list(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: HoldQuery = input::json(&call.body)?;
    let (org, container) = subject(call, &query.orgcode, &query.container)?;
    if identity::org_status(&app.store, org.as_str())?.is_none() {
        return Err(no_such_org().into());
    }
    show(app, &org, container.as_ref())
}

fn subject(
    call: &mut Call<'_>,
    org: &Option<String>,
    container: &Option<String>,
) -> Result<(OrgCode, Option<ContainerName>), Rejection> {
    let org = super::org(call, org.as_deref())?;
    let container = container.as_deref().map(ContainerName::parse);
    Ok((org, container.transpose()?))
}

async fn change(
    (app, call): (&AppState, &mut Call<'_>),
    command: OrgCommand,
    container: Option<&ContainerName>,
    caller: &Caller,
) -> Result<(), Refusal> {
    let facts: Vec<_> = container
        .map(|name| ("container", name.as_str()))
        .into_iter()
        .collect();
    ask(app, call, caller, (command.org().as_str(), &facts)).await?;
    if identity::org_status(&app.store, command.org().as_str())?.is_none() {
        return Err(no_such_org().into());
    }
    app.directory.org(command, caller).await?;
    Ok(())
}

fn no_such_org() -> Rejection {
    Rejection::new(ErrorTag::NotFound, "There is no such org.")
}

fn show(
    app: &AppState,
    org: &OrgCode,
    container: Option<&ContainerName>,
) -> Result<Reply, Refusal> {
    let found = holds::of_org(&app.store, org)?;
    let own = found.legal.org.iter().map(|hold| view(None, hold));
    let others = found.legal.containers.iter();
    let others = others.filter(|(name, _)| container.is_none_or(|only| only == *name));
    let others = others.map(|(name, hold)| view(Some(name), hold));
    Reply::of(&HoldsAnswer {
        orgcode: org.as_str(),
        items: own.chain(others).collect(),
        records_held: found.records,
    })
}

fn view<'a>(container: Option<&'a ContainerName>, hold: &'a Hold) -> LegalHoldView<'a> {
    LegalHoldView {
        held: container.map_or(Level::Org, |_| Level::Container),
        container: container.map(ContainerName::as_str),
        reason: &hold.reason,
        since: hold.since.to_string(),
        by: &hold.by,
        actor: hold.actor.as_deref(),
    }
}
