//! `POST /mrs/record/batch`: up to 256 creates and puts of one org, each on its own.

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::put::{self, PutRequest};
use crate::actors::RecordRequest;
use crate::domain::record::{Record, RecordKey, RecordView};
use crate::domain::{ErrorTag, OrgCode, Rejection, Revision};
use crate::http::auth::access::{Access, Right};
use crate::http::call::Call;
use crate::http::envelope;
use crate::http::input;
use crate::http::reply::{Refusal, Reply};
use crate::http::route::{Described, Route, inside};
use crate::http::state::AppState;

/// Most items of one batch.
pub const ITEMS_MAX: usize = 256;

/// Creates and puts of one org.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchRequest<'a> {
    /// The tenant, of all items; also taken from the header `x-orgcode`.
    #[schema(value_type = String, required = true, example = "DEMO")]
    orgcode: Option<String>,
    /// Puts with inline content, each with the batch's orgcode or none.
    #[schema(value_type = Vec<PutRequest>, required = true, min_items = 1, max_items = 256)]
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

/// The answers to the items, in the order of the items.
#[derive(Serialize, ToSchema)]
pub struct BatchAnswer<'a> {
    /// One answer for each item.
    items: Vec<BatchItem<'a>>,
}

/// The answer that `POST /mrs/record` would have given to one item.
#[derive(Serialize, ToSchema)]
pub struct BatchItem<'a> {
    /// The HTTP status: 200, or that of the error.
    status: u16,
    /// The record, where the status is 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<RecordView<'a>>,
    /// The record's revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    revision: Option<Revision>,
    /// Whether it is what the first request with the idempotency key was answered.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    replayed: bool,
    /// Why the item was refused, as `error` of a bad answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    error: Option<Box<RawValue>>,
}

/// What became of one item.
struct Done {
    key: RecordKey,
    record: Record,
    replayed: bool,
}

pub(crate) const BATCH: Route = Route::post(
    ("mrs", "/mrs/record/batch"),
    Access::Org(Right::Write),
    inside!(batch),
    Described::of::<__path_batch>(),
)
.errors(&[], &[ErrorTag::InvalidJson, ErrorTag::OrgWriteBlocked])
.takes_no_key("Send each item's own key as its idempotency_key.")
.takes_content();

/// Create or replace up to 256 records with inline content.
///
/// Each item counts by itself: some may be refused and others not. There is no mode in which all or none are done, and no
/// promised order. An item is what `POST /mrs/record` takes with a `payload`; its `orgcode` may be left out. In every
/// limit a batch counts as many requests as it has items; when not all of them are left, it is refused as a whole.
#[utoipa::path(post, path = BATCH.path, request_body = BatchRequest,
    responses((status = 200, description = "The answers to the items, in their order; errors of items are here.", body = crate::http::reply::Good<'static, BatchAnswer<'static>>)))]
pub async fn batch(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let body = call.body.clone();
    let request: BatchRequest<'_> = input::json(&body)?;
    let org = input::org(call, request.orgcode.as_deref())?;
    call.note_org(&org);
    call.admit((&app.store, &app.rate_limits), &org)?;
    let items = request.items.unwrap_or_default();
    let more = match items.len() {
        1..=ITEMS_MAX => items.len() - 1,
        count => {
            let message = format!("items must hold 1 to {ITEMS_MAX} items, and has {count}.");
            return Err(Rejection::field("items", message).into());
        }
    };
    let _places = match u32::try_from(more) {
        Ok(more @ 1..) => {
            let several = app.rate_limits.several(call.caller()?, &org, more);
            let (shown, places) = several;
            if shown.is_some() {
                call.trace.rate_limit = shown;
            }
            Some(places?)
        }
        Ok(0) | Err(_) => None,
    };
    let carried_out = items.into_iter().map(|item| {
        let asked = ask(app, call, &org, item);
        async { carry_out(app, asked?).await }
    });
    let outcomes = join_all(carried_out.collect::<Vec<_>>()).await;
    let outcomes: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| app.space.explain(outcome))
        .collect();
    let items = outcomes.iter().map(|outcome| shown(call, outcome));
    Reply::of(&BatchAnswer {
        items: items.collect(),
    })
}

/// Everything of an item that is checked before its container's actor looks at it.
fn ask(
    app: &AppState,
    call: &Call<'_>,
    org: &OrgCode,
    item: &RawValue,
) -> Result<RecordRequest, Refusal> {
    let request: PutRequest = input::json_of(item.get().as_bytes(), "The item")?;
    let admitted = request.subject().admit_item(call, org)?;
    request.check_inline()?;
    put::ask(app, call, request, &admitted)
}

async fn carry_out(app: &AppState, asked: RecordRequest) -> Result<Done, Refusal> {
    let mut key = asked.key.clone();
    let executed = app.registry.execute(asked).await?;
    if let Some(record_id) = executed.record_id {
        key.record_id = record_id;
    }
    Ok(Done {
        key,
        record: executed.record,
        replayed: executed.replayed,
    })
}

fn shown<'a>(call: &Call<'_>, outcome: &'a Result<Done, Refusal>) -> BatchItem<'a> {
    let refused = |rejection: &Rejection, replayed| BatchItem {
        status: rejection.status(),
        data: None,
        revision: None,
        replayed,
        error: Some(envelope::error_of(rejection)),
    };
    match outcome {
        Ok(done) => BatchItem {
            status: 200,
            data: Some(done.record.view(&done.key)),
            revision: Some(done.record.revision),
            replayed: done.replayed,
            error: None,
        },
        Err(Refusal::Rejected {
            rejection,
            replayed,
        }) => refused(rejection, *replayed),
        Err(Refusal::Failed(error)) => {
            refused(&envelope::internal(&call.trace.request_id, &**error), false)
        }
    }
}
