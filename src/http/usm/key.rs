//! `/usm/api_key/...`: what programs call with. A key is shown once, when it is made.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::account::find;
use super::{org_request, required};
use crate::actors::first_answers::Made;
use crate::actors::identity::WantedKey;
use crate::domain::ErrorTag;
use crate::domain::account::{AccountAction, AccountEvent, AccountName, Key, KeyRole, networks};
use crate::domain::user::label;
use crate::domain::{Event, OrgCode, Rejection, Timestamp};
use crate::http::auth::access::{Access, Right};
use crate::http::call::Call;
use crate::http::idempotency::{self, lost, shown_once};
use crate::http::input;
use crate::http::input::FIELD_ERRORS;
use crate::http::reply::{Refusal, Reply};
use crate::http::route::{Described, Route, inside};
use crate::http::state::AppState;

org_request! {
    /// A key to make.
    pub(crate) struct NewKey {
        /// Whose.
        #[schema(value_type = String, required = true)]
        service_account_id: Option<String>,
        /// `mrs_reader` or `mrs_writer`.
        #[schema(value_type = String, required = true)]
        role: Option<String>,
        /// What to call it.
        #[schema(max_length = 80)]
        label: Option<String>,
        /// When the key expires (RFC 3339); without it, it is valid until it is revoked.
        #[schema(format = DateTime)]
        expires_at: Option<String>,
        /// Networks it may be used from, such as `10.0.0.0/8` or `2001:db8::7`; 16 at most. From everywhere when there are none.
        #[schema(max_items = 16)]
        allowed_addresses: Option<Vec<String>>,
        /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`. The key itself is
        /// shown in the first answer alone: repeated, the request is `idempotency-conflict` with the minor `shown-once`.
        #[schema(min_length = 1, max_length = 128, pattern = "^[ -~]+$")]
        idempotency_key: Option<String>,
    }
}

org_request! {
    /// Which service account's keys.
    pub(crate) struct Keys {
        /// Whose.
        #[schema(value_type = String, required = true)]
        service_account_id: Option<String>,
    }
}

org_request! {
    /// A key to end.
    pub(crate) struct WhichKey {
        /// Whose.
        #[schema(value_type = String, required = true)]
        service_account_id: Option<String>,
        /// Its public id.
        #[schema(value_type = String, required = true)]
        key_id: Option<String>,
    }
}

/// A key to check.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ValidateKey {
    /// The key itself.
    #[schema(value_type = String, required = true)]
    api_key: Option<String>,
}

/// A new key; it is shown this once.
#[derive(Serialize, ToSchema)]
pub struct NewKeyAnswer {
    /// The secret; to be sent as `x-api-key`.
    api_key: String,
    key_id: String,
    service_account_id: String,
    /// What it lets do.
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// As the server understood them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_addresses: Vec<String>,
}

/// A key, without the secret.
#[derive(Serialize, ToSchema)]
pub struct KeyView {
    key_id: String,
    /// What it lets do.
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// `active`, `expired` or `revoked`.
    status: &'static str,
    #[schema(format = DateTime)]
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// Networks it may be used from; from everywhere when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_addresses: Vec<String>,
    /// When it was used last, to about an hour; absent when it never was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
}

/// A service account's keys.
#[derive(Serialize, ToSchema)]
pub struct KeysAnswer {
    items: Vec<KeyView>,
}

/// A key that counts.
#[derive(Serialize, ToSchema)]
pub struct ValidKeyAnswer {
    valid: bool,
    orgcode: String,
    service_account_id: String,
    key_id: String,
    /// What it lets do.
    role: &'static str,
}

pub(crate) const CREATE: Route = Route::post(
    ("usm", "/usm/api_key/create"),
    Access::Org(Right::Manage),
    inside!(create),
    Described::of::<__path_create>(),
)
.errors(
    &[FIELD_ERRORS],
    &[
        ErrorTag::InvalidState,
        ErrorTag::OrgWriteBlocked,
        ErrorTag::QuotaExceeded,
    ],
)
.keeps_first_answers();

/// Make a key of a service account.
#[utoipa::path(post, path = CREATE.path, request_body = NewKey,
    responses((status = 200, description = "The key.", body = crate::http::reply::Good<'static, NewKeyAnswer>)))]
pub async fn create(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: NewKey = input::json(&call.body)?;
    let org = request.org(app, call)?;
    let caller = request.caller(call)?;
    let key = request.idempotency_key.as_deref();
    let keyed = idempotency::enter(app, call, key, Some(&org)).await?;
    if let Some(made) = keyed.made() {
        return Err(shown_already(made));
    }
    let caller = keyed.sign(caller);
    let name = name(org, request.service_account_id.as_deref())?;
    let role = match request.role.as_deref() {
        Some("mrs_reader") => KeyRole::Reader,
        Some("mrs_writer") => KeyRole::Writer,
        _ => {
            let message = "role must be mrs_reader or mrs_writer.";
            return Err(Rejection::field("role", message).into());
        }
    };
    let label = label("label", request.label.as_deref())?;
    let wanted = WantedKey {
        role,
        label,
        expires_at: request.expires_at.as_deref().map(expiry).transpose()?,
        allowed_addresses: networks(request.allowed_addresses.as_deref().unwrap_or_default())?,
    };
    let made = app
        .directory
        .create_key(name, wanted.clone(), &caller)
        .await?;
    Reply::of(&NewKeyAnswer {
        api_key: made.api_key,
        key_id: made.key_id,
        service_account_id: made.account.account_id,
        role: role.as_str(),
        expires_at: wanted.expires_at.map(|at| at.to_string()),
        allowed_addresses: wanted.allowed_addresses,
    })
}

pub(crate) const LIST: Route = Route::post(
    ("usm", "/usm/api_key/list"),
    Access::Org(Right::Manage),
    inside!(list),
    Described::of::<__path_list>(),
)
.errors(&[FIELD_ERRORS], &[])
.changes_nothing();

/// List a service account's keys, those revoked included.
#[utoipa::path(post, path = LIST.path, request_body = Keys,
    responses((status = 200, description = "All of them.", body = crate::http::reply::Good<'static, KeysAnswer>)))]
pub async fn list(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Keys = input::json(&call.body)?;
    let org = request.org(app, call)?;
    request.caller(call)?;
    let name = name(org, request.service_account_id.as_deref())?;
    answer(app, find(app, &name)?.keys.iter())
}

pub(crate) const REVOKE: Route = Route::post(
    ("usm", "/usm/api_key/revoke"),
    Access::Org(Right::Manage),
    inside!(revoke),
    Described::of::<__path_revoke>(),
)
.errors(&[FIELD_ERRORS], &[]);

/// End a key of a service account.
#[utoipa::path(post, path = REVOKE.path, request_body = WhichKey,
    responses((status = 200, description = "The account's keys.", body = crate::http::reply::Good<'static, KeysAnswer>)))]
pub async fn revoke(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: WhichKey = input::json(&call.body)?;
    let org = request.org(app, call)?;
    let caller = request.caller(call)?;
    let name = name(org, request.service_account_id.as_deref())?;
    let key_id = required(request.key_id.as_deref(), "key_id")?.to_owned();
    let revoke = AccountAction::RevokeKey { key_id };
    let account = app.directory.account(name, revoke, &caller).await?;
    answer(app, account.keys.iter())
}

pub(crate) const REVOKE_ALL: Route = Route::post(
    ("usm", "/usm/api_key/revoke_all"),
    Access::Org(Right::Manage),
    inside!(revoke_all),
    Described::of::<__path_revoke_all>(),
)
.errors(&[FIELD_ERRORS], &[]);

/// End all keys of a service account.
#[utoipa::path(post, path = REVOKE_ALL.path, request_body = Keys,
    responses((status = 200, description = "The account's keys.", body = crate::http::reply::Good<'static, KeysAnswer>)))]
pub async fn revoke_all(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Keys = input::json(&call.body)?;
    let org = request.org(app, call)?;
    let caller = request.caller(call)?;
    let name = name(org, request.service_account_id.as_deref())?;
    let revoke = AccountAction::RevokeKeys;
    let account = app.directory.account(name, revoke, &caller).await?;
    answer(app, account.keys.iter())
}

pub(crate) const VALIDATE: Route = Route::post(
    ("usm", "/usm/api_key/validate"),
    Access::Public,
    inside!(validate),
    Described::of::<__path_validate>(),
)
.errors(&[FIELD_ERRORS], &[ErrorTag::InvalidSession])
.changes_nothing();

/// Ask whether a key counts.
#[utoipa::path(post, path = VALIDATE.path, request_body = ValidateKey,
    responses((status = 200, description = "It does.", body = crate::http::reply::Good<'static, ValidKeyAnswer>)))]
pub async fn validate(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: ValidateKey = input::json(&call.body)?;
    let api_key = required(request.api_key.as_deref(), "api_key")?;
    let Some(key) = app.directory.key(api_key)? else {
        return Err(app.authenticator.refused_key(api_key)?.into());
    };
    Reply::of(&ValidKeyAnswer {
        valid: true,
        orgcode: key.org,
        service_account_id: key.account_id,
        key_id: key.key_id,
        role: key.role.as_str(),
    })
}

/// The answer to a repeated request for a key that was made and shown.
fn shown_already(made: &Made) -> Refusal {
    let mut ids = made.events.iter();
    let id = ids.find_map(|event| {
        if let Event::Account(AccountEvent::KeyCreated { key_id, .. }) = event {
            Some(key_id)
        } else {
            None
        }
    });
    let Some(id) = id else { return lost() };
    let message = format!(
        "The key {id} was made by the first request with this idempotency_key, and shown in its answer alone. If that was lost, revoke it and make another with a new idempotency_key."
    );
    shown_once(message, ("key_id", id))
}

fn expiry(text: &str) -> Result<Timestamp, Rejection> {
    input::time(text, "expires_at")
}

fn name(org: OrgCode, account_id: Option<&str>) -> Result<AccountName, Rejection> {
    let account_id = required(account_id, "service_account_id")?.to_owned();
    Ok(AccountName { org, account_id })
}

fn answer<'a>(
    app: &AppState,
    keys: impl Iterator<Item = (&'a String, &'a Key)>,
) -> Result<Reply, Refusal> {
    let now = app.clock.now();
    let view = |(key_id, key): (&String, &Key)| KeyView {
        key_id: key_id.clone(),
        role: key.role.as_str(),
        label: key.label.clone(),
        status: match key.revoked_at {
            Some(_) => "revoked",
            None if key.counts(now) => "active",
            None => "expired",
        },
        created_at: key.created_at.to_string(),
        expires_at: key.expires_at.map(|at| at.to_string()),
        allowed_addresses: key.allowed_addresses.clone(),
        last_used_at: key.last_used_at.map(|at| at.to_string()),
        revoked_at: key.revoked_at.map(|at| at.to_string()),
    };
    Reply::of(&KeysAnswer {
        items: keys.map(view).collect(),
    })
}
