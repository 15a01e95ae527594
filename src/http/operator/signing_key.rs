//! `ops_signing_key_rotate|list`: the keys that sign urls, upload tokens and cursors. Their bytes are never shown.

use serde_json::{Value, json};

use super::operator_request;
use super::token::Nothing;
use crate::content::keyring::KeyFacts;
use crate::domain::Timestamp;
use crate::http::call::Call;
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::http::{idempotency, input};

operator_request! {
    /// A new signing key.
    pub(super) struct SigningKeyRotate {
        /// Earlier keys verify no longer.
        at_once: Option<bool>,
        /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`.
        idempotency_key: Option<String>,
    }
}

/// Has a new key sign from now on. Returns all keys.
#[utoipa::path(post, path = "/invoke/ops_signing_key_rotate", request_body = SigningKeyRotate,
    responses((status = 200, description = "`items`: the keys that verify, the one that signs first.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn rotate(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: SigningKeyRotate = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let key = request.idempotency_key.as_deref();
    let keyed = idempotency::enter(app, call, key, None).await?;
    if keyed.made().is_some() {
        return Ok(all(app)?.again());
    }
    let caller = keyed.sign(caller);
    let at_once = request.at_once.unwrap_or(false);
    app.signing_keys.rotate(at_once, &caller).await?;
    all(app)
}

/// Lists the keys that verify, the one that signs first.
#[utoipa::path(post, path = "/invoke/ops_signing_key_list", request_body = Nothing,
    responses((status = 200, description = "`items`: the keys that verify, the one that signs first.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn list(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let Nothing {} = input::json(&call.body)?;
    all(app)
}

fn all(app: &AppState) -> Result<Reply, Refusal> {
    let now = app.clock.now();
    let facts = app.signer.key_facts();
    let works = |facts: &&KeyFacts| facts.works_until.is_none_or(|until| until > now);
    let items: Vec<_> = facts.iter().filter(works).map(view).collect();
    let overlap_seconds = app.signing_keys.overlap_ms() / 1_000;
    Reply::of(&json!({"items": items, "overlap_seconds": overlap_seconds}))
}

fn view(facts: &KeyFacts) -> Value {
    let status = match facts.retired_at {
        None => "signing",
        Some(_) => "verifying",
    };
    let mut view = json!({"key_id": facts.id, "status": status});
    for (field, at) in [
        ("made_at", facts.made_at),
        ("retired_at", facts.retired_at),
        ("works_until", facts.works_until),
    ] {
        if let Some(at) = at {
            view[field] = Timestamp::to_string(&at).into();
        }
    }
    view
}
