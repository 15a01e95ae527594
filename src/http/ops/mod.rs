//! The operators' routes at the gateway: what everybody may know of maintenance.

pub mod maintenance;
pub mod view;

use serde::Serialize;
use utoipa::ToSchema;

use super::reply::{Refusal, Reply};
use super::state::Gateway;
use super::trace::Trace;
use crate::http::auth::access::Access;
use crate::http::route::{Described, Handler, Route};
use view::{Note, notes};

/// The status of the operators' service, and whether a maintenance window is active.
#[derive(Serialize, ToSchema)]
pub struct PingAnswer {
    service: &'static str,
    status: &'static str,
    #[schema(inline)]
    maintenance: ActiveMaintenance,
}

/// The active window, if any.
#[derive(Serialize, ToSchema)]
pub struct ActiveMaintenance {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    maintenance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    started_at: Option<String>,
    /// Start and duration together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    estimated_end_utc: Option<String>,
    /// Status messages, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    updates: Option<Vec<Note>>,
}

/// The status of the operators' service.
#[derive(Serialize, ToSchema)]
pub struct OpsStatAnswer {
    service: &'static str,
    status: &'static str,
    /// Number of times that the maintenance check failed open since the start.
    maintenance_check_failures: u64,
}

fn status(gateway: &Gateway) -> &'static str {
    match gateway.app() {
        Some(_) => "ok",
        None => "starting",
    }
}

pub(crate) const PING: Route = Route::get(
    ("ops", "/ops/ping"),
    Access::Public,
    Handler::Immediate(ping),
    Described::of::<__path_ping>(),
)
.served_in_maintenance();

/// Ask whether maintenance is going on.
#[utoipa::path(get, path = PING.path,
    responses((status = 200, description = "What is going on.", body = super::reply::Good<'static, PingAnswer>)))]
pub fn ping(gateway: &Gateway, _: &Trace) -> Result<Reply, Refusal> {
    let window = gateway
        .app()
        .and_then(|app| app.operations.watch().active());
    let window = window.as_deref();
    Reply::of(&PingAnswer {
        service: "ops",
        status: status(gateway),
        maintenance: ActiveMaintenance {
            active: window.is_some(),
            maintenance_id: window.map(|window| window.maintenance_id.clone()),
            description: window.map(|window| window.description.clone()),
            started_at: window.and_then(|window| window.started_at.map(|at| at.to_string())),
            estimated_end_utc: window
                .and_then(|window| window.estimated_end().map(|at| at.to_string())),
            updates: window.map(|window| notes(&window.updates)),
        },
    })
}

pub(crate) const STAT: Route = Route::get(
    ("ops", "/ops/stat"),
    Access::Public,
    Handler::Immediate(stat),
    Described::of::<__path_stat>(),
)
.served_in_maintenance();

/// Show the status of the operators' service.
#[utoipa::path(get, path = STAT.path,
    responses((status = 200, description = "How it is.", body = super::reply::Good<'static, OpsStatAnswer>)))]
pub fn stat(gateway: &Gateway, _: &Trace) -> Result<Reply, Refusal> {
    Reply::of(&OpsStatAnswer {
        service: "ops",
        status: status(gateway),
        maintenance_check_failures: gateway
            .app()
            .map_or(0, |app| app.operations.watch().failures()),
    })
}
