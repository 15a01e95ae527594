//! `/usm/service_account/...`: what programs of an org are called.

use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{org_request, required};
use crate::domain::ErrorTag;
use crate::domain::Rejection;
use crate::domain::account::{Account, AccountAction, AccountName};
use crate::domain::user::label;
use crate::http::auth::access::{Access, Right};
use crate::http::call::Call;
use crate::http::idempotency;
use crate::http::input::FIELD_ERRORS;
use crate::http::input::{self, LimitIn};
use crate::http::reply::{Refusal, Reply};
use crate::http::route::{Described, Route, inside};
use crate::http::state::AppState;
use crate::projections::identity;

org_request! {
    /// A service account to make.
    pub(crate) struct NewAccount {
        /// What to call it.
        #[schema(max_length = 80)]
        label: Option<String>,
        /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`.
        #[schema(min_length = 1, max_length = 128, pattern = "^[ -~]+$")]
        idempotency_key: Option<String>,
    }
}

org_request! {
    /// Which service accounts.
    pub(crate) struct Accounts {
        /// Accounts a page: 8 by default, 1 to 256.
        #[schema(value_type = Option<u64>)]
        limit: Option<LimitIn>,
        /// The next_token of the page before.
        next_token: Option<String>,
    }
}

org_request! {
    /// A service account to show, enable or disable.
    pub(crate) struct AccountStatus {
        /// Its id.
        #[schema(value_type = String, required = true)]
        service_account_id: Option<String>,
        /// `active` or `disabled`; nothing changes when it is absent.
        status: Option<String>,
    }
}

/// A service account of an org.
#[derive(Serialize, ToSchema)]
pub struct AccountView {
    service_account_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// `active`, or `disabled`: its keys do not count.
    status: &'static str,
    /// Keys that count.
    keys: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    created_at: Option<String>,
}

impl From<&Account> for AccountView {
    fn from(account: &Account) -> Self {
        Self {
            service_account_id: account.account_id.clone(),
            label: account.label.clone(),
            status: if account.active { "active" } else { "disabled" },
            keys: account.live_keys().count(),
            created_at: account.created_at.map(|at| at.to_string()),
        }
    }
}

/// One page of service accounts.
#[derive(Serialize, ToSchema)]
pub struct AccountsAnswer {
    items: Vec<AccountView>,
    /// Accounts a page.
    limit: usize,
    /// Token for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(crate) const CREATE: Route = Route::post(
    ("usm", "/usm/service_account/create"),
    Access::Org(Right::Manage),
    inside!(create),
    Described::of::<__path_create>(),
)
.errors(&[FIELD_ERRORS], &[ErrorTag::QuotaExceeded])
.keeps_first_answers();

/// Make a service account.
#[utoipa::path(post, path = CREATE.path, request_body = NewAccount,
    responses((status = 200, description = "The account.", body = crate::http::reply::Good<'static, AccountView>)))]
pub async fn create(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: NewAccount = input::json(&call.body)?;
    let org = request.org(app, call)?;
    let caller = request.caller(call)?;
    let key = request.idempotency_key.as_deref();
    let keyed = idempotency::enter(app, call, key, Some(&org)).await?;
    if let Some(made) = keyed.made() {
        let account = app.first_answers.account(made)?;
        return Ok(Reply::of(&AccountView::from(&account))?.again());
    }
    let caller = keyed.sign(caller);
    let label = label("label", request.label.as_deref())?;
    let account = app.directory.create_account(&org, label, &caller).await?;
    Reply::of(&AccountView::from(&account))
}

pub(crate) const LIST: Route = Route::post(
    ("usm", "/usm/service_account/list"),
    Access::Org(Right::Manage),
    inside!(list),
    Described::of::<__path_list>(),
)
.errors(&[FIELD_ERRORS], &[ErrorTag::InvalidNextToken])
.changes_nothing();

/// List an org's service accounts.
#[utoipa::path(post, path = LIST.path, request_body = Accounts,
    responses((status = 200, description = "One page.", body = crate::http::reply::Good<'static, AccountsAnswer>)))]
pub async fn list(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Accounts = input::json(&call.body)?;
    let org = request.org(app, call)?;
    request.caller(call)?;
    let limit = request.limit.unwrap_or_default().0;
    let filter: [u8; 32] = Sha256::digest(format!("accounts {org}")).into();
    let from = input::cursor(&app.signer, request.next_token.as_deref(), filter)?;
    let page = identity::accounts(&app.store, &org, from.as_deref(), limit)?;
    Reply::of(&AccountsAnswer {
        items: page
            .items
            .iter()
            .map(|(_, account)| account.into())
            .collect(),
        limit,
        next_token: page
            .next
            .map(|place| input::next_token(&app.signer, filter, place)),
    })
}

pub(crate) const STATUS: Route = Route::post(
    ("usm", "/usm/service_account/status"),
    Access::Org(Right::Manage),
    inside!(status),
    Described::of::<__path_status>(),
)
.errors(&[FIELD_ERRORS], &[ErrorTag::QuotaExceeded]);

/// See a service account, or enable or disable it.
#[utoipa::path(post, path = STATUS.path, request_body = AccountStatus,
    responses((status = 200, description = "The account.", body = crate::http::reply::Good<'static, AccountView>)))]
pub async fn status(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: AccountStatus = input::json(&call.body)?;
    let org = request.org(app, call)?;
    let caller = request.caller(call)?;
    let account_id = required(request.service_account_id.as_deref(), "service_account_id")?;
    let name = AccountName {
        org,
        account_id: account_id.to_owned(),
    };
    let active = match request.status.as_deref() {
        None => return Reply::of(&AccountView::from(&find(app, &name)?)),
        Some("active") => true,
        Some("disabled") => false,
        Some(_) => {
            return Err(Rejection::field("status", "status must be active or disabled.").into());
        }
    };
    let set = AccountAction::SetStatus { active };
    let account = app.directory.account(name, set, &caller).await?;
    Reply::of(&AccountView::from(&account))
}

/// The service account with this name.
pub(super) fn find(app: &AppState, name: &AccountName) -> Result<Account, Refusal> {
    let account = identity::account_named(&app.store, name)?;
    match account.version {
        0 => Err(Rejection::absent("There is no such service account in this org.").into()),
        _ => Ok(account),
    }
}
