//! `/ops/maintenance/get` and `/ops/maintenance/list`, by GET and by POST.

use actix_web::http::Method;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

use super::view::WindowView;
use crate::domain::maintenance::{Window, WindowStatus};
use crate::domain::{ErrorTag, Rejection};
use crate::http::auth::access::Access;
use crate::http::call::Call;
use crate::http::input::{self, LimitIn};
use crate::http::reply::{Refusal, Reply};
use crate::http::route::{Described, Route, inside};
use crate::http::state::AppState;
use crate::projections::ops;

/// The maintenance window that is asked for.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WindowQuery {
    /// Id of the window, as the list shows it.
    #[param(value_type = String, required = true)]
    #[schema(value_type = String, required = true)]
    maintenance_id: Option<String>,
}

/// A filter and page size for windows.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WindowsQuery {
    /// `scheduled`, `active`, `ended` or `cancelled`; all when absent.
    status: Option<String>,
    /// Windows a page: 8 by default, 1 to 256.
    #[param(value_type = Option<u64>)]
    #[schema(value_type = Option<u64>)]
    limit: Option<LimitIn>,
    /// The next_token of the page before.
    next_token: Option<String>,
}

/// One page of windows.
#[derive(Serialize, ToSchema)]
pub struct WindowsAnswer {
    /// The windows, newest first.
    items: Vec<WindowView>,
    /// Most windows that one page has.
    limit: usize,
    /// Token for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(crate) const GET: Route = Route::get(
    ("ops", "/ops/maintenance/get"),
    Access::Authenticated,
    inside!(get),
    Described::of::<__path_get>(),
)
.errors(
    &[],
    &[
        ErrorTag::InvalidInput,
        ErrorTag::InvalidJson,
        ErrorTag::InvalidSession,
        ErrorTag::NotFound,
    ],
)
.served_in_maintenance();

/// See one maintenance window.
#[utoipa::path(get, path = GET.path, params(WindowQuery),
    responses((status = 200, description = "The window.", body = crate::http::reply::Good<'static, WindowView>)))]
pub async fn get(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: WindowQuery = read(call)?;
    let Some(id) = query.maintenance_id else {
        return Err(Rejection::field("maintenance_id", "maintenance_id is missing.").into());
    };
    match ops::window(&app.store, &id)? {
        Some(window) => reply(&window),
        None => Err(Rejection::absent(
            "There is no such maintenance window; see the list of windows.",
        )
        .into()),
    }
}

pub(crate) const GET_BY_POST: Route = Route::post(
    ("ops", "/ops/maintenance/get"),
    Access::Authenticated,
    inside!(get_by_post),
    Described::of::<__path_get_by_post>(),
)
.errors(
    &[],
    &[
        ErrorTag::InvalidInput,
        ErrorTag::InvalidJson,
        ErrorTag::InvalidSession,
        ErrorTag::NotFound,
    ],
)
.changes_nothing()
.served_in_maintenance();

/// See one maintenance window.
#[utoipa::path(post, path = GET_BY_POST.path, request_body = WindowQuery,
    responses((status = 200, description = "The window.", body = crate::http::reply::Good<'static, WindowView>)))]
pub async fn get_by_post(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    get(app, call).await
}

pub(crate) const LIST: Route = Route::get(
    ("ops", "/ops/maintenance/list"),
    Access::Authenticated,
    inside!(list),
    Described::of::<__path_list>(),
)
.errors(
    &[],
    &[
        ErrorTag::InvalidInput,
        ErrorTag::InvalidJson,
        ErrorTag::InvalidSession,
        ErrorTag::InvalidStatus,
        ErrorTag::InvalidNextToken,
    ],
)
.served_in_maintenance();

/// List maintenance windows, newest first.
#[utoipa::path(get, path = LIST.path, params(WindowsQuery),
    responses((status = 200, description = "One page.", body = crate::http::reply::Good<'static, WindowsAnswer>)))]
pub async fn list(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: WindowsQuery = read(call)?;
    let status = query.status.as_deref().map(window_status).transpose()?;
    let limit = query.limit.unwrap_or_default().0;
    let filter: [u8; 32] = Sha256::digest(format!("windows {status:?}")).into();
    let from = input::cursor(&app.signer, query.next_token.as_deref(), filter)?;
    let page = ops::list_windows(&app.store, status, from.as_deref(), limit)?;
    Reply::of(&WindowsAnswer {
        items: page.items.iter().map(WindowView::from).collect(),
        limit,
        next_token: page
            .next
            .map(|place| input::next_token(&app.signer, filter, place)),
    })
}

pub(crate) const LIST_BY_POST: Route = Route::post(
    ("ops", "/ops/maintenance/list"),
    Access::Authenticated,
    inside!(list_by_post),
    Described::of::<__path_list_by_post>(),
)
.errors(
    &[],
    &[
        ErrorTag::InvalidInput,
        ErrorTag::InvalidJson,
        ErrorTag::InvalidSession,
        ErrorTag::InvalidStatus,
        ErrorTag::InvalidNextToken,
    ],
)
.changes_nothing()
.served_in_maintenance();

/// List maintenance windows, newest first.
#[utoipa::path(post, path = LIST_BY_POST.path, request_body = WindowsQuery,
    responses((status = 200, description = "One page.", body = crate::http::reply::Good<'static, WindowsAnswer>)))]
pub async fn list_by_post(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    list(app, call).await
}

/// A GET's query, or a POST's body.
fn read<T: serde::de::DeserializeOwned>(call: &Call<'_>) -> Result<T, Rejection> {
    match *call.head.method {
        Method::POST => input::json(&call.body),
        _ => input::query(call),
    }
}

/// The answer that shows one window.
pub fn reply(window: &Window) -> Result<Reply, Refusal> {
    Ok(Reply::of(&WindowView::from(window))?.at(window.revision))
}

/// The status of windows that a text names.
///
/// # Errors
/// `invalid-status` with the texts that there are.
pub(in crate::http) fn window_status(text: &str) -> Result<WindowStatus, Rejection> {
    input::status(text, WindowStatus::ALL, WindowStatus::as_str)
}
