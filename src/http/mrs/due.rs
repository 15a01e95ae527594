//! `GET /mrs/due`: what will be doomed and when, and what a hold keeps, one page at a time.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

use super::CONTAINER_ERRORS;
use super::Subject;
use crate::domain::ErrorTag;
use crate::domain::hold::Level;
use crate::domain::{Rejection, Timestamp};
use crate::http::auth::access::{Access, Right};
use crate::http::call::Call;
use crate::http::input::{self, LimitIn};
use crate::http::reply::{Refusal, Reply};
use crate::http::route::{Described, Route, inside};
use crate::http::state::AppState;
use crate::projections::due::{DueFilter, DueItem};

/// Which records, and how many at a time.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DueQuery {
    /// Code of the org that has the records.
    #[param(value_type = String, required = true)]
    orgcode: Option<String>,
    /// The cost centre of the call; it does not filter.
    cccode: Option<String>,
    /// Only records of this container.
    container: Option<String>,
    /// Only those due ahead of this time; all by default.
    #[param(format = DateTime)]
    before: Option<String>,
    /// Records per page: 8 by default, 1 to 256.
    #[param(value_type = Option<String>)]
    limit: Option<LimitIn>,
    /// The next_token of the page before.
    next_token: Option<String>,
}

/// A record with a due time.
#[derive(Serialize, ToSchema)]
pub struct DueView<'a> {
    container: &'a str,
    record_id: &'a str,
    /// When it dooms itself.
    #[schema(format = DateTime)]
    doom_at: String,
    /// The hold that prevents this; the record is doomed when it is released, if its time has passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    held: Option<HeldView<'a>>,
}

/// The nearest hold on a record.
#[derive(Serialize, ToSchema)]
pub struct HeldView<'a> {
    /// The scope of the hold: `record`, `container` or `org`.
    by: Level,
    /// The reason, as given by who set it.
    reason: &'a str,
}

/// One page of due records.
#[derive(Serialize, ToSchema)]
pub struct DueAnswer<'a> {
    /// Soonest first; then by container and record id.
    #[schema(inline)]
    items: Vec<DueView<'a>>,
    /// How many records a page has at most.
    limit: usize,
    /// Token for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(crate) const DUE: Route = Route::get(
    ("mrs", "/mrs/due"),
    Access::Org(Right::Read),
    inside!(due),
    Described::of::<__path_due>(),
)
.errors(&[CONTAINER_ERRORS], &[ErrorTag::InvalidNextToken]);

/// List records that have a due time, and whether a hold keeps them.
#[utoipa::path(get, path = DUE.path, params(DueQuery),
    responses((status = 200, description = "One page.", body = crate::http::reply::Good<'static, DueAnswer<'static>>)))]
pub async fn due(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: DueQuery = input::query(call)?;
    let subject = Subject {
        orgcode: query.orgcode.as_deref(),
        cccode: query.cccode.as_deref(),
        container: query.container.as_deref(),
        record_id: None,
    };
    let admitted = subject.admit(app, call)?;
    let filter = DueFilter {
        org: admitted.org,
        container: admitted.container,
        before: query.before.as_deref().map(before).transpose()?,
    };
    let limit = query.limit.unwrap_or_default().0;
    // Debug output of parsed names is unambiguous: every string in it is quoted.
    let digest: [u8; 32] = Sha256::digest(format!("due {filter:?}")).into();
    let from = input::cursor(&app.signer, query.next_token.as_deref(), digest)?;
    let page = filter.page(&app.store, from.as_deref(), limit, app.clock.now())?;
    let next = page.next;
    Reply::of(&DueAnswer {
        items: page.items.iter().map(view).collect(),
        limit,
        next_token: next.map(|place| input::next_token(&app.signer, digest, place)),
    })
}

fn before(text: &str) -> Result<Timestamp, Rejection> {
    input::time(text, "before")
}

fn view(item: &DueItem) -> DueView<'_> {
    DueView {
        container: item.key.container.as_str(),
        record_id: item.key.record_id.as_str(),
        doom_at: item.doom_at.to_string(),
        held: item.kept.as_ref().map(|kept| HeldView {
            by: kept.level,
            reason: &kept.reason,
        }),
    }
}
