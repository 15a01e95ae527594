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
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditRequest {
    maintenance_id: Option<String>,
    vacuum_id: Option<String>,
    subject: Option<String>,
    orgcode: Option<String>,
    since: Option<String>,
    limit: Option<LimitIn>,
    next_token: Option<String>,
}

/// Lists the audit, oldest first.
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
