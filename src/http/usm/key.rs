//! `/usm/api_key/...`: what programs call with. A key is shown once, when it is made.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::account::find;
use super::{org_request, required};
use crate::domain::account::{AccountAction, AccountName, Key, KeyRole};
use crate::domain::rejection::Denial;
use crate::domain::user::label;
use crate::domain::{OrgCode, Rejection};
use crate::http::call::Call;
use crate::http::envelope::{Refusal, Reply};
use crate::http::identity;
use crate::http::input;
use crate::http::server::House;

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

/// A key to look at.
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
}

/// A key, without the secret.
#[derive(Serialize, ToSchema)]
pub struct KeyView {
    key_id: String,
    /// What it lets do.
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// `active` or `revoked`.
    status: &'static str,
    #[schema(format = DateTime)]
    created_at: String,
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

/// Make a key.
#[utoipa::path(post, path = "/usm/api_key/create", tag = "usm", request_body = NewKey,
    responses((status = 200, description = "The key.", body = inline(crate::http::openapi::Good<NewKeyAnswer>))))]
pub async fn create(house: &House, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: NewKey = input::json(&call.body)?;
    let org = request.org(house, call)?;
    let caller = request.caller(call)?;
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
    let made = house
        .directory
        .create_key(name, role, label, &caller)
        .await?;
    Reply::of(&NewKeyAnswer {
        api_key: made.api_key,
        key_id: made.key_id,
        service_account_id: made.account.account_id,
        role: role.as_str(),
    })
}

/// List a service account's keys, those revoked included.
#[utoipa::path(post, path = "/usm/api_key/list", tag = "usm", request_body = Keys,
    responses((status = 200, description = "All of them.", body = inline(crate::http::openapi::Good<KeysAnswer>))))]
pub async fn list(house: &House, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Keys = input::json(&call.body)?;
    let org = request.org(house, call)?;
    request.caller(call)?;
    let name = name(org, request.service_account_id.as_deref())?;
    answer(find(house, &name)?.keys.iter())
}

/// End a key.
#[utoipa::path(post, path = "/usm/api_key/revoke", tag = "usm", request_body = WhichKey,
    responses((status = 200, description = "The account's keys.", body = inline(crate::http::openapi::Good<KeysAnswer>))))]
pub async fn revoke(house: &House, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: WhichKey = input::json(&call.body)?;
    let org = request.org(house, call)?;
    let caller = request.caller(call)?;
    let name = name(org, request.service_account_id.as_deref())?;
    let key_id = required(request.key_id.as_deref(), "key_id")?.to_owned();
    let revoke = AccountAction::RevokeKey { key_id };
    let account = house.directory.account(name, revoke, &caller).await?;
    answer(account.keys.iter())
}

/// End all keys of a service account.
#[utoipa::path(post, path = "/usm/api_key/revoke_all", tag = "usm", request_body = Keys,
    responses((status = 200, description = "The account's keys.", body = inline(crate::http::openapi::Good<KeysAnswer>))))]
pub async fn revoke_all(house: &House, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Keys = input::json(&call.body)?;
    let org = request.org(house, call)?;
    let caller = request.caller(call)?;
    let name = name(org, request.service_account_id.as_deref())?;
    let revoke = AccountAction::RevokeKeys;
    let account = house.directory.account(name, revoke, &caller).await?;
    answer(account.keys.iter())
}

/// Ask whether a key counts.
#[utoipa::path(post, path = "/usm/api_key/validate", tag = "usm", request_body = ValidateKey,
    responses((status = 200, description = "It does.", body = inline(crate::http::openapi::Good<ValidKeyAnswer>))))]
pub async fn validate(house: &House, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: ValidateKey = input::json(&call.body)?;
    let api_key = required(request.api_key.as_deref(), "api_key")?;
    let Some(key) = house.directory.key(api_key)? else {
        return Err(identity::invalid(Denial::KeyUnknown).into());
    };
    Reply::of(&ValidKeyAnswer {
        valid: true,
        orgcode: key.org,
        service_account_id: key.account_id,
        key_id: key.key_id,
        role: key.role.as_str(),
    })
}

fn name(org: OrgCode, account_id: Option<&str>) -> Result<AccountName, Rejection> {
    let account_id = required(account_id, "service_account_id")?.to_owned();
    Ok(AccountName { org, account_id })
}

fn answer<'a>(keys: impl Iterator<Item = (&'a String, &'a Key)>) -> Result<Reply, Refusal> {
    let view = |(key_id, key): (&String, &Key)| KeyView {
        key_id: key_id.clone(),
        role: key.role.as_str(),
        label: key.label.clone(),
        status: if key.revoked_at.is_some() {
            "revoked"
        } else {
            "active"
        },
        created_at: key.created_at.to_string(),
        revoked_at: key.revoked_at.map(|at| at.to_string()),
    };
    Reply::of(&KeysAnswer {
        items: keys.map(view).collect(),
    })
}
