//! `/health` and `/ready`: whether the process lives, and whether it can serve.

use serde::Serialize;
use utoipa::ToSchema;

use super::envelope::{Refusal, Reply, unavailable};
use super::server::Door;
use crate::journal::Health;

/// Whether the process lives.
#[derive(Serialize, ToSchema)]
pub struct HealthAnswer {
    ok: bool,
    version: &'static str,
    /// How callers are known.
    auth_mode: &'static str,
    /// Whether a maintenance window is active.
    maintenance: bool,
}

/// Whether it can serve.
#[derive(Serialize, ToSchema)]
pub struct ReadyAnswer {
    ready: bool,
    /// The journal's last position.
    position: u64,
}

/// Ask whether the process lives.
#[utoipa::path(get, path = "/health", tag = "system",
    responses((status = 200, description = "It does. The fields of `data` and `request_id` stand beside it too.",
        body = inline(super::openapi::Good<HealthAnswer>))))]
pub fn health(door: &Door) -> Result<Reply, Refusal> {
    let mut reply = Reply::of(&HealthAnswer {
        ok: true,
        version: env!("CARGO_PKG_VERSION"),
        auth_mode: "session",
        maintenance: door
            .house()
            .is_some_and(|house| house.operations.watch().active().is_some()),
    })?;
    reply.flat = true;
    Ok(reply)
}

/// Ask whether it can serve.
#[utoipa::path(get, path = "/ready", tag = "system",
    responses((status = 200, description = "It can.", body = inline(super::openapi::Good<ReadyAnswer>))))]
pub fn ready(door: &Door) -> Result<Reply, Refusal> {
    let Some(house) = door.house() else {
        return Err(unavailable().with_minor("starting").into());
    };
    match house.journal.health() {
        Health::Open => Reply::of(&ReadyAnswer {
            ready: true,
            position: house.journal.head().position,
        }),
        Health::ReadOnly(_) => Err(unavailable().with_minor("read-only").into()),
    }
}
