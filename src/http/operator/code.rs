//! `ops_secret_set`, `ops_secret_status` and `ops_secret_lock_lift`: sets the secret code or changes it, says whether there is one, and
//! forgets the wrong ones.

use serde_json::json;

use super::{Code, address_hash, operator_request};
use crate::domain::secret::check_new_code;
use crate::http::call::Call;
use crate::http::input;
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::projections::ops;

operator_request! {
    /// The new code, and the old one when there is one.
    pub(super) struct SecretSet {
        /// The operators' secret code.
        #[schema(value_type = String, required = true, format = Password)]
        secret_code: Option<Code>,
        /// The code so far, where there is one.
        #[schema(value_type = Option<String>, format = Password)]
        old_secret_code: Option<Code>,
    }
}

operator_request! {
    #[schema(as = SecretLockLift)]
    pub(super) struct LockLift {
        /// The operators' secret code.
        #[schema(value_type = Option<String>, format = Password)]
        secret_code: Option<Code>,
    }
}

/// The input of a function without fields.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Says whether there is a secret code.
#[utoipa::path(post, path = "/invoke/ops_secret_status", request_body = Nothing,
    responses((status = 200, description = "`set`: whether there is a secret code.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn status(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let Nothing {} = input::json(&call.body)?;
    let is_set = ops::secret(&app.store)?.code_hash.is_some();
    Reply::of(&json!({"set": is_set}))
}

/// Forgets all wrong codes.
#[utoipa::path(post, path = "/invoke/ops_secret_lock_lift", request_body = LockLift,
    responses((status = 200, description = "`lifted`.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn lift_locks(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: LockLift = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let address_hash = address_hash(app, call, &caller.by);
    let code = request.secret_code.as_ref().map(Code::text);
    let asked = ("ops_secret_lock_lift", &*address_hash);
    app.operations.lift_code_locks(code, asked, &caller).await?;
    Reply::of(&json!({"lifted": true}))
}

/// Sets the secret code.
#[utoipa::path(post, path = "/invoke/ops_secret_set", request_body = SecretSet,
    responses((status = 200, description = "`set`, and whether it `rotated` an earlier code.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn set(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: SecretSet = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let new = request.secret_code.as_ref().map(Code::text);
    let new = new.unwrap_or_default();
    check_new_code(new)?;
    let address_hash = address_hash(app, call, &caller.by);
    let old = request.old_secret_code.as_ref().map(Code::text);
    app.operations
        .set_code(new, old, ("ops_secret_set", &address_hash), &caller)
        .await?;
    Reply::of(&json!({"set": true, "rotated": old.is_some()}))
}
