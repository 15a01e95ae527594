//! `/health` and `/ready`: whether the process lives, and whether it can serve.

use serde::Serialize;
use utoipa::ToSchema;

use super::auth::authenticator::HEADER_SUBJECT;
use super::call::Call;
use super::reply::{Refusal, Reply, unavailable};
use super::state::{AppState, Gateway};
use super::trace::Trace;
use super::uas::ORGS_MAX;
use crate::domain::org::MemberRole;
use crate::http::auth::access::{Access, Role};
use crate::http::route::{Described, Handler, Route, inside};
use crate::projections::identity;

/// Whether the process lives.
#[derive(Serialize, ToSchema)]
pub struct HealthAnswer<'a> {
    ok: bool,
    version: &'static str,
    /// The kinds of authentication.
    auth_mode: &'static str,
    /// Whether a maintenance window is active.
    maintenance: bool,
    /// Equal to the header `X-Request-Id`.
    request_id: &'a str,
}

/// Whether it can serve.
#[derive(Serialize, ToSchema)]
pub struct ReadyAnswer {
    ready: bool,
    /// `enough`, or `low` while uploads and puts are refused.
    disk: &'static str,
    /// `believed`, or `jumped` while nothing is removed because the machine's clock jumped.
    clock: &'static str,
}

/// Who the caller is.
#[derive(Serialize, ToSchema)]
pub struct WhoamiAnswer<'a> {
    /// The public id of the user or the service account.
    user_id: String,
    /// The caller's only org; absent when there are several or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,
    /// The role in that org: `owner`, `member`, `mrs_writer` or `mrs_reader`; absent when the credential names
    /// another role, which has no rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// The caller's orgs with the role in each: the first 256 of a user, the only one of a key or a token.
    orgs: Vec<OrgOfCaller>,
    /// The kind of authentication.
    auth_mode: &'static str,
    /// Equal to the header `X-Request-Id`.
    request_id: &'a str,
}

/// An org that the caller belongs to.
#[derive(Serialize, ToSchema)]
pub struct OrgOfCaller {
    orgcode: String,
    /// The role in it; absent when the credential names another role, which has no rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
}

pub(crate) const WHOAMI: Route = Route::get(
    ("system", "/whoami"),
    Access::Authenticated,
    inside!(whoami),
    Described::of::<__path_whoami>(),
)
.served_in_maintenance();

/// Show the caller's identity.
#[utoipa::path(get, path = WHOAMI.path,
    responses((status = 200, description = "You. The fields of `data` are also at the top level.",
        body = super::reply::Good<'static, WhoamiAnswer<'static>>)))]
pub async fn whoami(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let principal = call.caller()?;
    let orgs = match &principal.bound {
        Some(bound) => vec![OrgOfCaller {
            orgcode: bound.org.clone(),
            role: bound.role.map(Role::as_str),
        }],
        None => {
            let orgs = identity::orgs_of(&app.store, &principal.user_id, None, ORGS_MAX)?;
            let of_user = |(orgcode, role): (String, MemberRole)| OrgOfCaller {
                orgcode,
                role: Some(role.as_str()),
            };
            orgs.items.into_iter().map(of_user).collect()
        }
    };
    let (tenant_id, role) = match &orgs[..] {
        [only] => (Some(only.orgcode.clone()), only.role.map(str::to_owned)),
        _ => (None, None),
    };
    // A caller by header sees the name it gave; records and the journal have it in a name space of its own.
    let named = principal.user_id.strip_prefix(HEADER_SUBJECT);
    let reply = Reply::of(&WhoamiAnswer {
        user_id: named.unwrap_or(&principal.user_id).to_owned(),
        tenant_id,
        role,
        orgs,
        auth_mode: principal.mode.as_str(),
        request_id: &call.trace.request_id,
    })?;
    Ok(reply.flat())
}

pub(crate) const HEALTH: Route = Route::get(
    ("system", "/health"),
    Access::Public,
    Handler::Immediate(health),
    Described::of::<__path_health>(),
)
.always_answered();

/// Ask whether the process lives.
#[utoipa::path(get, path = HEALTH.path,
    responses((status = 200, description = "It does. The fields of `data` are also at the top level.",
        body = super::reply::Good<'static, HealthAnswer<'static>>)))]
pub fn health(gateway: &Gateway, trace: &Trace) -> Result<Reply, Refusal> {
    let reply = Reply::of(&HealthAnswer {
        ok: true,
        version: env!("CARGO_PKG_VERSION"),
        auth_mode: gateway
            .app()
            .map_or("session", |app| app.authenticator.mode()),
        maintenance: gateway
            .app()
            .is_some_and(|app| app.operations.watch().active().is_some()),
        request_id: &trace.request_id,
    })?;
    Ok(reply.flat())
}

pub(crate) const READY: Route = Route::get(
    ("system", "/ready"),
    Access::Public,
    Handler::Immediate(ready),
    Described::of::<__path_ready>(),
)
.always_answered();

/// Check whether it can serve.
#[utoipa::path(get, path = READY.path,
    responses((status = 200, description = "It can.", body = super::reply::Good<'static, ReadyAnswer>)))]
pub fn ready(gateway: &Gateway, _: &Trace) -> Result<Reply, Refusal> {
    let Some(app) = gateway.app() else {
        return Err(unavailable().with_minor("starting").into());
    };
    app.space.check_changes()?;
    Reply::of(&ReadyAnswer {
        ready: true,
        disk: app.space.reserve.level().as_str(),
        clock: match app.clock.jumped() {
            Some(_) => "jumped",
            None => "believed",
        },
    })
}
