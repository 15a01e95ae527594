//! `ops_backup_begin`, `renew` and `end`: while a backup reads the data directory, nothing in it is removed or rewritten.

use serde_json::json;

use super::{ask, operator_request, text};
use crate::actors::Caller;
use crate::clock::random_uuid;
use crate::content::removals::{LEASE, LeaseError};
use crate::domain::{ErrorTag, Rejection};
use crate::http::call::Call;
use crate::http::input;
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::offload;
use crate::report;

/// Longest id that is accepted, in characters.
const ID_CHARS_MAX: usize = 64;

operator_request! {
    /// Whether only to tell which directory the server has.
    #[schema(as = BackupBegin)]
    pub(super) struct Begin {
        /// Begins nothing, and tells whose data directory this is.
        check_only: Option<bool>,
    }
}

operator_request! {
    /// Which lease.
    #[schema(as = BackupLease)]
    pub(super) struct Which {
        /// Id of the lease, as `ops_backup_begin` gave it.
        #[schema(value_type = String, required = true)]
        lease_id: Option<String>,
    }
}

/// Begins a lease, and tells the journal's end: all that it names is there until the lease ends. With `check_only` nothing
/// begins: the answer tells whose data directory a backup would be of.
#[utoipa::path(post, path = "/invoke/ops_backup_begin", request_body = Begin,
    responses((status = 200, description = "`lease_id`, `lease_seconds`, and the `position` and `hash` of the journal's end; with `check_only` only `directory_id`.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn begin(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Begin = input::json(&call.body)?;
    if request.check_only == Some(true) {
        return Reply::of(&json!({"directory_id": app.directory_id}));
    }
    let caller = request.caller(call)?;
    let lease_id = format!("bk_{}", random_uuid().simple());
    audit(app, call, &caller, &lease_id).await?;
    let (removals, id) = (app.content.removals(), lease_id.clone());
    let leased = offload::blocking(move || removals.lease(&id, LEASE)).await;
    leased?.map_err(refusal)?;
    // After every removal that was in progress: the events of those are in it.
    let head = app.journal.head();
    Reply::of(&json!({
        "lease_id": lease_id,
        "lease_seconds": LEASE.as_secs(),
        "position": head.position,
        "hash": head.hash,
    }))
}

/// Extends a lease. Only its begin and its end are rows of the audit.
#[utoipa::path(post, path = "/invoke/ops_backup_renew", request_body = Which,
    responses((status = 200, description = "`lease_id` and `lease_seconds`.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn renew(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let (lease_id, _) = which(call)?;
    let renewed = app.content.removals().renew(&lease_id);
    renewed.map_err(refusal)?;
    Reply::of(&json!({"lease_id": lease_id, "lease_seconds": LEASE.as_secs()}))
}

/// Ends a lease; a good answer says that it was kept all the time.
#[utoipa::path(post, path = "/invoke/ops_backup_end", request_body = Which,
    responses((status = 200, description = "`lease_id`, and `kept`: true.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn end(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let (lease_id, caller) = which(call)?;
    audit(app, call, &caller, &lease_id).await?;
    let ended = app.content.removals().end(&lease_id);
    ended.map_err(refusal)?;
    // The backup is good without it.
    if let Err(error) = app.last_backup.ended(app.clock.now()) {
        report::notice_error(
            "the time of the last backup is known until the next start alone",
            &error,
        );
    }
    Reply::of(&json!({"lease_id": lease_id, "kept": true}))
}

fn which(call: &mut Call<'_>) -> Result<(String, Caller), Rejection> {
    let which: Which = input::json(&call.body)?;
    let lease_id = text(which.lease_id.as_deref(), "lease_id", ID_CHARS_MAX)?;
    Ok((lease_id, which.caller(call)?))
}

/// Journals who asks. A backup can be taken although the journal accepts no entries; the log's line says who took it.
async fn audit(
    app: &AppState,
    call: &mut Call<'_>,
    caller: &Caller,
    lease_id: &str,
) -> Result<(), Refusal> {
    match ask(app, call, caller, (lease_id, &[])).await {
        Err(Refusal::Rejected { rejection, .. }) if rejection.tag == ErrorTag::Unavailable => {
            Ok(())
        }
        asked => asked,
    }
}

fn refusal(error: LeaseError) -> Rejection {
    let tag = match error {
        LeaseError::TooMany => ErrorTag::Throttled,
        LeaseError::Removing => ErrorTag::InvalidState,
        LeaseError::Gone => ErrorTag::NotFound,
    };
    Rejection::new(tag, error.to_string()).with_minor("backup-lease")
}
