//! `ops_clock_status` and `ops_clock_confirm`: whether the machine's clock is trusted, and that it is right after a jump.

use serde::Deserialize;
use serde_json::{Value, json};

use super::operator_request;
use crate::clock::Untrusted;
use crate::domain::clock_jump::ClockJump;
use crate::http::call::Call;
use crate::http::input;
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::projections::ops;

/// The input of a function without fields.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

operator_request! {
    /// That the time is right.
    #[schema(as = ClockConfirm)]
    pub(super) struct Confirm {}
}

/// Returns whether the clock is trusted.
#[utoipa::path(post, path = "/invoke/ops_clock_status", request_body = Nothing,
    responses((status = 200, description = "`state`: `believed`, `starting` or `jumped`; the time, and what removals go by.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn status(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let Nothing {} = input::json(&call.body)?;
    Reply::of(&view(app)?)
}

/// Has removals continue after a jump.
#[utoipa::path(post, path = "/invoke/ops_clock_confirm", request_body = Confirm,
    responses((status = 200, description = "The same as of `ops_clock_status`, and the jump that was `confirmed`.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn confirm(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Confirm = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let confirmed = app.operations.confirm_clock(&caller).await?;
    let mut view = view(app)?;
    if let Some(jump) = confirmed {
        view["confirmed"] = tell(&jump);
    }
    Reply::of(&view)
}

fn view(app: &AppState) -> Result<Value, Refusal> {
    let state = match app.clock.may_destroy() {
        Ok(_) => "believed",
        Err(Untrusted::Starting { .. }) => "starting",
        Err(Untrusted::Jumped { .. }) => "jumped",
    };
    let mut view = json!({
        "state": state,
        "time_utc": app.clock.now().to_string(),
        "removals_by_utc": app.clock.trusted().to_string(),
    });
    if let Err(Untrusted::Starting { left_ms }) = app.clock.may_destroy() {
        view["seconds_left"] = json!((left_ms + 999) / 1_000);
    }
    if let Some(jump) = ops::clock_jumps(&app.store)?.open {
        view["jump"] = tell(&jump);
    }
    Ok(view)
}

fn tell(jump: &ClockJump) -> Value {
    json!({"by_seconds": jump.by_ms / 1_000, "seen_at": jump.seen_at.to_string()})
}
