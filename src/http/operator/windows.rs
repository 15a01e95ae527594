//! `ops_maintenance_list` and `ops_maintenance_get`: the maintenance windows, with who changed them and why.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::lists::page;
use super::text;
use crate::actors::audit;
use crate::domain::Rejection;
use crate::domain::check::ID_CHARS_MAX;
use crate::domain::maintenance::{UPDATES_MAX, Window};
use crate::http::call::Call;
use crate::http::input::{self, LimitIn};
use crate::http::ops::maintenance::window_status;
use crate::http::ops::view::WindowView;
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::projections::StoreError;
use crate::projections::ops;

/// Status messages, the newest ones, and events, the oldest ones, that a list shows of each window.
const SHOWN_IN_LISTS: usize = 16;
/// The same where one window is shown: all that there can be, and what begins and ends it.
const SHOWN_ALONE: usize = UPDATES_MAX + 16;

/// Which windows, and how many at a time.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct WindowsQuery {
    /// Only those with this status: `scheduled`, `active`, `ended` or `cancelled`.
    status: Option<String>,
    /// Items a page: 8 by default, 1 to 256.
    #[schema(value_type = Option<u64>)]
    limit: Option<LimitIn>,
    /// The `next_token` of the page before.
    next_token: Option<String>,
}

/// The window that is asked for.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct WindowQuery {
    /// Id of the window, as `ops_maintenance_list` shows it.
    #[schema(value_type = String, required = true)]
    maintenance_id: Option<String>,
}

/// A window as operators see it.
#[derive(Serialize)]
struct OperatorWindow {
    #[serde(flatten)]
    window: WindowView,
    /// Status messages in all; `updates` of a list has the newest.
    updates_total: usize,
    /// What happened to it, oldest first, as the audit has it: who, when, why.
    events: Vec<Map<String, Value>>,
    /// Whether the audit has more events than these.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    events_more: bool,
}

/// Lists the windows, newest first.
#[utoipa::path(post, path = "/invoke/ops_maintenance_list", request_body = WindowsQuery,
    responses((status = 200, description = "`items`: windows, newest first, with what happened to each; `next_token` unless it is the last page.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn list(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: WindowsQuery = input::json(&call.body)?;
    let status = query.status.as_deref().map(window_status).transpose()?;
    let filters = format!(
        "operators' windows {}",
        status.map_or("all", |status| status.as_str())
    );
    page(
        app,
        (query.limit, query.next_token.as_deref(), &filters),
        |from, limit| {
            let page = ops::list_windows(&app.store, status, from, limit)?;
            let windows = page.items.into_iter();
            let windows = windows.map(|window| view(app, window, SHOWN_IN_LISTS));
            Ok(ops::OpsPage {
                items: windows.collect::<Result<Vec<_>, _>>()?,
                next: page.next,
            })
        },
        |window| json!(window),
    )
}

/// Shows one window with all that happened to it.
#[utoipa::path(post, path = "/invoke/ops_maintenance_get", request_body = WindowQuery,
    responses((status = 200, description = "The window, and what happened to it.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn get(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: WindowQuery = input::json(&call.body)?;
    let id = text(
        query.maintenance_id.as_deref(),
        "maintenance_id",
        ID_CHARS_MAX,
    )?;
    let Some(window) = ops::window(&app.store, &id)? else {
        return Err(Rejection::absent(
            "There is no such maintenance window; see the list of windows.",
        )
        .into());
    };
    let revision = window.revision;
    Ok(Reply::of(&view(app, window, SHOWN_ALONE)?)?.at(revision))
}

fn view(app: &AppState, mut window: Window, shown: usize) -> Result<OperatorWindow, StoreError> {
    let events = ops::window_events(&app.store, &window.maintenance_id, shown)?;
    let updates_total = window.updates.len();
    window.updates.drain(..updates_total.saturating_sub(shown));
    Ok(OperatorWindow {
        window: WindowView::from(&window),
        updates_total,
        events: events.rows.iter().map(audit::view).collect(),
        events_more: events.more,
    })
}
