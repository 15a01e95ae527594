//! `ops_trace`: the journal's entries of one request, and whether the projections show them.

use std::ops::ControlFlow;

use serde::Deserialize;
use serde_json::{Value, json};

use super::entries;
use crate::domain::{Event, Rejection};
use crate::http::call::Call;
use crate::http::input;
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::journal::{Body, Entry, JournalError, Position};
use crate::offload;
use crate::report::field::is_request_id;

/// Most entries that one call reads.
const ENTRIES_MAX: u64 = 10_000;

/// The request id, and the positions to search.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct TraceRequest {
    /// The id of the request.
    #[schema(value_type = String, required = true)]
    request_id: Option<String>,
    /// The last position to read; the journal's last without it.
    until: Option<u64>,
}

/// Finds the entries of a request among the newest, newest first, and lists erased ones without an order. Each is read and
/// checked, since no index leads to them; `next_until` is where the next call continues.
#[utoipa::path(post, path = "/invoke/ops_trace", request_body = TraceRequest,
    responses((status = 200, description = "`items`: the entries of the request, newest first; `next_until` unless all of the journal was read.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn find(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: TraceRequest = input::json(&call.body)?;
    let id = request.request_id.filter(|id| is_request_id(id));
    let id = id.ok_or_else(no_request_id)?;
    // Before what is in the journal: what is shown by now is durable.
    let shown_to = app.store.checkpoint()?;
    let head = app.journal.head().position;
    let until = request.until.unwrap_or(head).min(head);
    let from = until.saturating_sub(ENTRIES_MAX - 1).max(1);
    let journal = app.journal.clone();
    let wanted = id.clone();
    let search = move || {
        let mut items = Vec::new();
        let damage = entries::of_request(&*journal, &wanted, (from, until), &mut |entry| {
            let body = entry.body.as_ref();
            items.extend(body.map(|body| view(&entry, body, shown_to)));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok::<_, JournalError>((items, damage))
    };
    let (items, damage) = offload::blocking(search).await??;
    let mut answer = json!({
        "request_id": id,
        "items": items,
        "from": from,
        "until": until,
        "head": head,
        "shown_to": shown_to,
        "damage": damage,
    });
    if from > 1 {
        answer["next_until"] = json!(from - 1);
    }
    Reply::of(&answer)
}

/// The refusal of what is no request's id.
pub(super) fn no_request_id() -> Rejection {
    Rejection::field(
        "request_id",
        "request_id must be the id of a request: 1 to 63 of A-Z, a-z, 0-9, dot, dash and underscore.",
    )
}

fn view(entry: &Entry, body: &Body, shown_to: Position) -> Value {
    let position = entry.header.position;
    json!({
        "position": position,
        "recorded_at": entry.header.recorded_at.to_string(),
        "stream": body.stream,
        "version": body.version,
        "events": body.events.iter().map(kind).collect::<Vec<_>>(),
        "by": body.origin.by,
        "source": body.origin.source,
        "shown": position <= shown_to,
    })
}

fn kind(event: &Event) -> Value {
    let event = serde_json::to_value(event).unwrap_or_default();
    event["type"].clone()
}
