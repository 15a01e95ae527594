//! `ops_token_create|list|rotate|revoke`: operators' tokens with names and scopes; `ops_jwt_revoke|list`: tokens of an
//! identity provider that count no longer.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ask, operator_request, text};
use crate::actors::Caller;
use crate::domain::operator_token::{
    OPERATOR, OVERLAP_MS_MAX, OperatorToken, OperatorTokenCommand, TokenScope, check_name,
};
use crate::domain::revoked_jwt::{JTI_CHARS_MAX, RevokeJwt};
use crate::domain::{Rejection, Timestamp};
use crate::http::auth::operator::new_token;
use crate::http::call::Call;
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::http::{idempotency, input};
use crate::projections::ops;

operator_request! {
    /// A token to make.
    pub(super) struct TokenCreate {
        /// Name of the new token, which the audit shows.
        #[schema(value_type = String, required = true)]
        name: Option<String>,
        /// One or more of `metrics`, `read`, `tenants`, `destroy` and `all`.
        #[schema(value_type = Vec<String>, required = true)]
        scopes: Option<Vec<String>>,
        /// RFC 3339: until when.
        expires_at: Option<String>,
        /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`.
        idempotency_key: Option<String>,
    }
}

operator_request! {
    /// A token that gets a successor.
    pub(super) struct TokenRotate {
        /// Name of the token, as `ops_token_list` shows it.
        #[schema(value_type = String, required = true)]
        name: Option<String>,
        /// For how long the old token still works.
        overlap_seconds: Option<u64>,
        /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`.
        idempotency_key: Option<String>,
    }
}

operator_request! {
    /// A token to end.
    pub(super) struct TokenRevoke {
        /// Name of the token, as `ops_token_list` shows it.
        #[schema(value_type = String, required = true)]
        name: Option<String>,
    }
}

operator_request! {
    /// A token of an identity provider to end.
    pub(super) struct JwtRevoke {
        /// The id of the token to end.
        #[schema(value_type = String, required = true)]
        jti: Option<String>,
        /// RFC 3339: until when.
        expires_at: Option<String>,
    }
}

/// The body of a function that takes no inputs: an empty object.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Makes a token. It is shown this once.
#[utoipa::path(post, path = "/invoke/ops_token_create", request_body = TokenCreate,
    responses((status = 200, description = "The token with its secret `operator_token`, which is shown this once.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn create(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: TokenCreate = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let name = name(request.name.as_deref())?;
    let key = request.idempotency_key.as_deref();
    let keyed = idempotency::enter(app, call, key, None).await?;
    if keyed.made().is_some() {
        return Err(shown_already(&name));
    }
    let caller = keyed.sign(caller);
    let scopes = scopes(request.scopes.as_deref())?;
    let expires_at = request.expires_at.as_deref().map(time).transpose()?;
    let token = new_token();
    let command = OperatorTokenCommand::Create {
        name: name.clone(),
        token_hash: app.operator_access.hash(&token),
        scopes,
        expires_at,
    };
    show_once(app, (command, &caller), &name, token).await
}

/// Replaces a token by a new one of the same name and scopes, which is shown this once.
#[utoipa::path(post, path = "/invoke/ops_token_rotate", request_body = TokenRotate,
    responses((status = 200, description = "The token with its new secret `operator_token`, which is shown this once.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn rotate(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: TokenRotate = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let name = name(request.name.as_deref())?;
    let overlap = request.overlap_seconds.unwrap_or(0);
    let longest = OVERLAP_MS_MAX.unsigned_abs() / 1_000;
    if overlap > longest {
        let message = format!("overlap_seconds is at most {longest}: the old token ends then.");
        return Err(Rejection::field("overlap_seconds", message).into());
    }
    if name == OPERATOR {
        if overlap > 0 {
            let message = "The token of the first start ends at once when it is replaced; omit overlap_seconds.";
            return Err(Rejection::field("overlap_seconds", message).into());
        }
        let why = "The token of the first start ends at once when it is replaced, so this request cannot come again; send it without an idempotency key.";
        idempotency::check_none(call, request.idempotency_key.as_deref(), why)?;
        ask(app, call, &caller, (OPERATOR, &[])).await?;
        let token = app.operator_access.rotate_first()?;
        return Reply::of(
            &json!({"name": name, "scopes": [TokenScope::All.as_str()], "operator_token": token}),
        );
    }
    let key = request.idempotency_key.as_deref();
    let keyed = idempotency::enter(app, call, key, None).await?;
    if keyed.made().is_some() {
        return Err(shown_already(&name));
    }
    let caller = keyed.sign(caller);
    let token = new_token();
    let command = OperatorTokenCommand::Rotate {
        name: name.clone(),
        token_hash: app.operator_access.hash(&token),
        overlap_ms: i64::try_from(overlap).unwrap_or(0) * 1_000,
    };
    show_once(app, (command, &caller), &name, token).await
}

/// Ends a token at once.
#[utoipa::path(post, path = "/invoke/ops_token_revoke", request_body = TokenRevoke,
    responses((status = 200, description = "The token, revoked.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn revoke(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: TokenRevoke = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let name = name(request.name.as_deref())?;
    if name == OPERATOR {
        let message = "The token of the first start cannot be revoked: without it nobody could create another. Rotate it.";
        return Err(Rejection::field("name", message).into());
    }
    let command = OperatorTokenCommand::Revoke { name: name.clone() };
    let tokens = app.operations.change_token(command, &caller).await?;
    let now = app.clock.now();
    Reply::of(
        &tokens
            .tokens
            .get(&name)
            .map(|token| view(&name, token, now)),
    )
}

/// Lists all tokens by name, the one of the first start first.
#[utoipa::path(post, path = "/invoke/ops_token_list", request_body = Nothing,
    responses((status = 200, description = "`items`: each token without its secret.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn list(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let Nothing {} = input::json(&call.body)?;
    let tokens = ops::operator_tokens(&app.store)?;
    let now = app.clock.now();
    let first = json!({"name": OPERATOR, "status": "active", "scopes": [TokenScope::All.as_str()], "first_start": true});
    let made = tokens.tokens.iter();
    let made = made.map(|(name, token)| view(name, token, now));
    let items: Vec<_> = std::iter::once(first).chain(made).collect();
    Reply::of(&json!({"items": items}))
}

/// Ends a token of an identity provider before its time.
#[utoipa::path(post, path = "/invoke/ops_jwt_revoke", request_body = JwtRevoke,
    responses((status = 200, description = "`jti`, and `until` when it is refused.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn revoke_jwt(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: JwtRevoke = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let jti = text(request.jti.as_deref(), "jti", JTI_CHARS_MAX)?;
    let longest = app.clock.now().plus_millis(app.jwt_life_ms_max);
    let until = match request.expires_at.as_deref() {
        // No token is taken for longer.
        None => longest,
        Some(text) => time(text)?.min(longest),
    };
    let command = RevokeJwt {
        jti: jti.clone(),
        until,
    };
    app.operations.revoke_jwt(command, &caller).await?;
    Reply::of(&json!({"jti": jti, "until": until.to_string()}))
}

/// Lists the tokens of an identity provider that were revoked and have not ended yet.
#[utoipa::path(post, path = "/invoke/ops_jwt_list", request_body = Nothing,
    responses((status = 200, description = "`items`: each with its `jti` and `until`.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn list_jwts(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let Nothing {} = input::json(&call.body)?;
    let revoked = ops::revoked_jwts(&app.store)?;
    let now = app.clock.now();
    let live = revoked.until.iter().filter(|(_, until)| **until > now);
    let items: Vec<_> = live
        .map(|(jti, until)| json!({"jti": jti, "until": until.to_string()}))
        .collect();
    Reply::of(&json!({"items": items}))
}

async fn show_once(
    app: &AppState,
    (command, caller): (OperatorTokenCommand, &Caller),
    name: &str,
    token: String,
) -> Result<Reply, Refusal> {
    let tokens = app.operations.change_token(command, caller).await?;
    let made = tokens.tokens.get(name);
    let made = made.ok_or_else(|| Refusal::failed("a command left no token"))?;
    let mut answer = view(name, made, app.clock.now());
    answer["operator_token"] = token.into();
    Reply::of(&answer)
}

/// The answer to a repeated request for a token that was made and shown.
fn shown_already(name: &str) -> Refusal {
    let message = format!(
        "The token {name} was made by the first request with this idempotency_key, and shown in its answer alone. If that was lost, rotate it with a new idempotency_key."
    );
    idempotency::shown_once(message, ("name", name))
}

fn view(name: &str, token: &OperatorToken, now: Timestamp) -> Value {
    let scopes: Vec<_> = token.scopes.iter().map(|scope| scope.as_str()).collect();
    let status = match token.revoked_at {
        Some(_) => "revoked",
        None if token.works(now) => "active",
        None => "expired",
    };
    let mut view = json!({"name": name, "status": status, "scopes": scopes, "created_at": token.created_at.to_string()});
    let previous = token.previous.iter().map(|(_, until)| *until).max();
    for (field, at) in [
        ("expires_at", token.expires_at),
        ("revoked_at", token.revoked_at),
        ("previous_until", previous.filter(|until| *until > now)),
    ] {
        if let Some(at) = at {
            view[field] = at.to_string().into();
        }
    }
    view
}

/// A token's name: it is shown in the audit and in log lines.
fn name(text: Option<&str>) -> Result<String, Rejection> {
    let name = text.unwrap_or_default();
    check_name(name)?;
    Ok(name.to_owned())
}

fn scopes(texts: Option<&[String]>) -> Result<Vec<TokenScope>, Rejection> {
    let wrong = || {
        Rejection::field(
            "scopes",
            "scopes is a list of one or more of metrics, read, tenants, destroy and all.",
        )
    };
    let texts = texts.filter(|texts| !texts.is_empty()).ok_or_else(wrong)?;
    let scopes: Option<Vec<_>> = texts.iter().map(|text| TokenScope::parse(text)).collect();
    let mut scopes = scopes.ok_or_else(wrong)?;
    scopes.sort_unstable();
    scopes.dedup();
    Ok(scopes)
}

fn time(text: &str) -> Result<Timestamp, Rejection> {
    input::time(text, "expires_at")
}
