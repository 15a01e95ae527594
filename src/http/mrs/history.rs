//! `GET /mrs/record/history`: what changed a record, newest first, one page at a time.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::listed::{Listed, Place};
use super::{RECORD_ERRORS, Subject};
use crate::domain::record::{self, FieldChange, RecordEvent};
use crate::domain::{ErrorTag, EventFamily, Rejection};
use crate::http::auth::access::{Access, Right};
use crate::http::call::Call;
use crate::http::input::{self, LimitIn};
use crate::http::reply::{Refusal, Reply};
use crate::http::route::{Described, Route, inside};
use crate::http::state::AppState;
use crate::journal::{Source, Version};
use crate::projections::history::{Changed, newest_until};
use crate::projections::{RecordName, records};

/// Which record, and how many of its changes at a time.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryQuery {
    /// Code of the org that has the record.
    #[param(value_type = String, required = true)]
    orgcode: Option<String>,
    /// Cost centre to name in the answer and the log.
    cccode: Option<String>,
    /// Name of the container that has the record.
    #[param(value_type = String, required = true)]
    container: Option<String>,
    /// Id of the record within its container.
    #[param(value_type = String, required = true)]
    record_id: Option<String>,
    /// `true` shows those of a doomed record too.
    include_doomed: Option<String>,
    /// Changes per page: 8 by default, 1 to 256.
    #[param(value_type = Option<String>)]
    limit: Option<LimitIn>,
    /// The next_token of the page before.
    next_token: Option<String>,
}

/// One page of changes.
#[derive(Serialize, ToSchema)]
pub struct HistoryAnswer<'a> {
    /// Newest first, by revision.
    items: Vec<ChangeView<'a>>,
    /// How many changes a page has at most.
    limit: usize,
    /// Token for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// One change of a record: an entry of the journal.
#[derive(Serialize, ToSchema)]
pub struct ChangeView<'a> {
    /// The record's revision with it: 1 for its creation.
    #[schema(minimum = 1)]
    revision: Version,
    /// Position of the entry in the journal.
    #[schema(minimum = 1)]
    position: u64,
    /// When it was decided; of an erased entry, when it was written.
    #[schema(format = DateTime)]
    at: String,
    /// What happened, such as `record.replaced`. A copy of an upload is a `record.created` whose content is complete.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    /// Public id of the principal that changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    /// The way in: `gateway`, `operator`, `job` or `import`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    source: Option<Source>,
    /// Who the caller said was acting.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    /// The caller's words on why.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// The caller's code for why.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_code: Option<&'a str>,
    /// The caller's name for what the change was part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
    /// The request that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    /// What changed of the record, in order.
    #[schema(inline)]
    changes: Vec<FieldChange>,
    /// The entry was erased, and nothing else is known of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    erased: bool,
}

pub(crate) const HISTORY: Route = Route::get(
    ("mrs", "/mrs/record/history"),
    Access::Org(Right::Read),
    inside!(history),
    Described::of::<__path_history>(),
)
.errors(&[RECORD_ERRORS], &[ErrorTag::InvalidNextToken]);

/// List what changed a record, newest first. A record whose due time has passed reads as doomed at once; its history
/// shows that as soon as the sweep has noted it.
#[utoipa::path(get, path = HISTORY.path, params(HistoryQuery),
    responses((status = 200, description = "One page.", body = crate::http::reply::Good<'static, HistoryAnswer<'static>>)))]
pub async fn history(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: HistoryQuery = input::query(call)?;
    let subject = Subject {
        orgcode: query.orgcode.as_deref(),
        cccode: query.cccode.as_deref(),
        container: query.container.as_deref(),
        record_id: query.record_id.as_deref(),
    };
    let listed = Listed::find(app, call, &subject, query.include_doomed.as_deref())?;
    let key = &listed.key;
    let limit = query.limit.unwrap_or_default().0;
    let digest = listed.digest("history");
    let place = input::cursor(&app.signer, query.next_token.as_deref(), digest)?;
    // The newest revision that was not shown, and the content version with it.
    let place = match place.as_deref().and_then(Place::of_bytes) {
        Some(place) => place,
        None => {
            let row = records::find(&app.store, RecordName::from(key))?;
            let row = row.ok_or_else(Rejection::not_found)?;
            Place {
                at: row.revision.0,
                with: Some(row.content.version),
            }
        }
    };
    let (journal, its) = (app.journal.clone(), key.clone());
    let read = move || newest_until(&*journal, &its, place.at, limit);
    let changed = app.histories.read(&key.org, read).await?;
    let mut version = place.with;
    let items: Vec<_> = changed
        .iter()
        .map(|changed| view(changed, &mut version))
        .collect();
    // A page that came short is the last: what is older was erased.
    let oldest = changed.get(limit - 1).map(|oldest| oldest.revision);
    let next = oldest.filter(|oldest| *oldest > 1).map(|oldest| Place {
        at: oldest - 1,
        with: version,
    });
    Reply::of(&HistoryAnswer {
        items,
        limit,
        next_token: next.map(|next| input::next_token(&app.signer, digest, next.to_bytes())),
    })
}

/// A change as callers see it. `version` is the content version after it, and becomes that before it.
fn view<'a>(changed: &'a Changed, version: &mut Option<u64>) -> ChangeView<'a> {
    let body = changed.entry.body.as_ref();
    let events = body.map_or(&[][..], |body| &body.events);
    let own = events.iter().filter_map(RecordEvent::from_event);
    let (changes, before) = record::of_events(own, *version);
    *version = before.filter(|_| body.is_some());
    let origin = body.map(|body| &body.origin);
    let remarks = origin.map(|origin| &origin.remarks);
    ChangeView {
        revision: changed.revision,
        position: changed.entry.header.position,
        at: changed.at().to_string(),
        kind: events.first().map(|event| event.schema().0),
        by: origin.map(|origin| origin.by.as_str()),
        source: origin.map(|origin| origin.source),
        actor: remarks.and_then(|remarks| remarks.actor.as_deref()),
        reason: remarks.and_then(|remarks| remarks.reason.as_deref()),
        reason_code: remarks.and_then(|remarks| remarks.reason_code.as_deref()),
        correlation_id: remarks.and_then(|remarks| remarks.correlation_id.as_deref()),
        request_id: origin.map(|origin| origin.request_id.as_str()),
        changes,
        erased: body.is_none(),
    }
}
