//! `ops_audit`: everything that operators had done, and what became of windows and vacuums.

use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::actors::audit;
use crate::domain::{OrgCode, Rejection};
use crate::http::call::Call;
use crate::http::input::{self, LimitIn};
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::projections::ops::{self, AuditFilter};

/// The filters of a page of the audit.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct AuditRequest {
    /// Only what is about the window with this id.
    maintenance_id: Option<String>,
    /// Only what is about the vacuum with this id.
    vacuum_id: Option<String>,
    /// What the rows are about.
    subject: Option<String>,
    /// Only what is about the org with this code.
    orgcode: Option<String>,
    /// RFC 3339: rows from then on.
    since: Option<String>,
    /// Items a page: 8 by default, 1 to 256.
    #[schema(value_type = Option<u64>)]
    limit: Option<LimitIn>,
    /// The `next_token` of the page before.
    next_token: Option<String>,
}

/// Lists the audit, oldest first.
#[utoipa::path(post, path = "/invoke/ops_audit", request_body = AuditRequest,
    responses((status = 200, description = "`items`: rows of the audit, oldest first; `next_token` unless it is the last page.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn list(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: AuditRequest = input::json(&call.body)?;
    let named = [
        &request.maintenance_id,
        &request.vacuum_id,
        &request.subject,
        &request.orgcode,
    ];
    if named.iter().filter(|name| name.is_some()).count() > 1 {
        let message = "Give one of maintenance_id, vacuum_id, subject and orgcode.";
        return Err(Rejection::field("subject", message).into());
    }
    let since = request.since.as_deref();
    let since = since.map(|text| input::time(text, "since"));
    let org = request.orgcode.as_deref().map(OrgCode::parse).transpose()?;
    let filter = AuditFilter {
        subject: request
            .maintenance_id
            .or(request.vacuum_id)
            .or(request.subject)
            .or(org.map(|org| org.as_str().to_owned())),
        since: since.transpose()?,
    };
    let limit = request.limit.unwrap_or_default().0;
    // Debug output of parsed values is unambiguous: every string in it is quoted.
    let digest: [u8; 32] = Sha256::digest(format!("audit {filter:?}")).into();
    let from = input::cursor(&app.signer, request.next_token.as_deref(), digest)?;
    let page = ops::audit(&app.store, &filter, from.as_deref(), limit)?;
    let items: Vec<_> = page.items.iter().map(audit::view).collect();
    let mut answer = json!({"audit": audit::NAME, "items": items, "limit": limit});
    if let Some(place) = page.next {
        answer["next_token"] = input::next_token(&app.signer, digest, place).into();
    }
    Reply::of(&answer)
}
