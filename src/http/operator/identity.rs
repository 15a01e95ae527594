//! `uas_user_create`, `ofm_org_create`, `ofm_org_status_set` and `ofm_owner_add`.

use super::{ask, keep_out, operator_request, people};
use crate::actors::first_answers::other_request;
use crate::domain::Rejection;
use crate::domain::org::{MemberRole, OrgCommand, OrgStatus};
use crate::http::call::Call;
use crate::http::limits::peer;
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::http::usm::required;
use crate::http::{idempotency, input, ofm, uas};
use crate::projections::identity;

operator_request! {
    /// A user to make.
    pub(super) struct UserCreate {
        /// E-mail address of the new user, by which it signs in.
        #[schema(value_type = String, required = true)]
        email: Option<String>,
        /// New passcode of the user: 12 to 128 characters.
        #[schema(value_type = String, required = true, format = Password)]
        passcode: Option<crate::http::operator::Code>,
        /// Whether the address is confirmed: true by default.
        verified: Option<bool>,
        /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`.
        idempotency_key: Option<String>,
    }
}

operator_request! {
    /// An org to make.
    pub(super) struct OrgCreate {
        /// Code of the new org; letters become capital ones.
        #[schema(value_type = String, required = true)]
        orgcode: Option<String>,
        /// The owner, by e-mail address.
        owner_email: Option<String>,
        /// The owner, by id.
        owner_user_id: Option<String>,
        /// Status of the new org: `verified` by default; those that `ofm_org_status_set` takes.
        status: Option<String>,
        /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`.
        idempotency_key: Option<String>,
    }
}

operator_request! {
    /// An org that gets another status.
    pub(super) struct OrgStatusSet {
        /// Code of the org, as `ofm_org_list` shows it.
        #[schema(value_type = String, required = true)]
        orgcode: Option<String>,
        /// Status to give it: `unverified`, `verified`, `parked`, `suspended`, `frozen` or `doomed`.
        #[schema(value_type = String, required = true)]
        status: Option<String>,
    }
}

/// Makes a user with a passcode.
#[utoipa::path(post, path = "/invoke/uas_user_create", request_body = UserCreate,
    responses((status = 200, description = "The user.", body = crate::http::reply::Good<'static, crate::http::uas::UserView>)))]
pub(super) async fn create_user(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: UserCreate = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let email = required(request.email.as_deref(), "email")?;
    let passcode = request.passcode.as_ref().map(|code| code.text());
    let passcode = required(passcode, "passcode")?;
    let verified = request.verified.unwrap_or(true);
    let user_id = app.directory.user_id_of(email)?;
    keep_out(&email.trim().to_lowercase(), &caller.remarks)?;
    let key = request.idempotency_key.as_deref();
    let keyed = idempotency::enter(app, call, key, None).await?;
    if let Some(made) = keyed.made() {
        let user = app.first_answers.user(made)?;
        // The passcode is no part of what names the request: that would be kept, and could be guessed at.
        return if app.directory.is_passcode_of(&user, passcode).await? {
            Ok(uas::show(app, &user)?.again())
        } else {
            Err(other_request().into())
        };
    }
    ask(app, call, &caller, (&user_id, &[])).await?;
    let caller = keyed.sign(caller);
    let user = app
        .directory
        .create_user(email, passcode, verified, (peer(call.head.peer), &caller))
        .await?;
    uas::show(app, &user)
}

/// Makes an org with its first owner.
#[utoipa::path(post, path = "/invoke/ofm_org_create", request_body = OrgCreate,
    responses((status = 200, description = "The org.", body = crate::http::reply::Good<'static, crate::http::ofm::OrgView>)))]
pub(super) async fn create_org(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: OrgCreate = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let org = super::org(call, request.orgcode.as_deref())?;
    let key = request.idempotency_key.as_deref();
    let keyed = idempotency::enter(app, call, key, None).await?;
    if let Some(made) = keyed.made() {
        return Ok(ofm::show(&org, &app.first_answers.org(made)?)?.again());
    }
    let status = request
        .status
        .as_deref()
        .map_or(Ok(OrgStatus::Verified), status)?;
    let owner = ofm::user(
        app,
        request.owner_user_id.as_deref(),
        request.owner_email.as_deref(),
        "owner_user_id",
    )?;
    let facts = [("status", status.as_str()), ("owner", &*owner)];
    ask(app, call, &caller, (org.as_str(), &facts)).await?;
    let caller = keyed.sign(caller);
    let create = OrgCommand::Create {
        org: org.clone(),
        status,
        owner,
    };
    let made = app.directory.org(create, &caller).await?;
    ofm::show(&org, &made)
}

operator_request! {
    /// A user who becomes an owner of an org.
    pub(super) struct OwnerAdd {
        /// Code of the org, as `ofm_org_list` shows it.
        #[schema(value_type = String, required = true)]
        orgcode: Option<String>,
        /// The user, by e-mail address; or give `user_id`.
        email: Option<String>,
        /// The user, by id; or give `email`.
        user_id: Option<String>,
        /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`.
        idempotency_key: Option<String>,
    }
}

/// Makes a user an owner of an org, as for one whose owners are all unknown here after an import.
#[utoipa::path(post, path = "/invoke/ofm_owner_add", request_body = OwnerAdd,
    responses((status = 200, description = "The org.", body = crate::http::reply::Good<'static, crate::http::ofm::OrgView>)))]
pub(super) async fn add_owner(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: OwnerAdd = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let org = super::org(call, request.orgcode.as_deref())?;
    let key = request.idempotency_key.as_deref();
    let keyed = idempotency::enter(app, call, key, None).await?;
    if keyed.made().is_some() {
        let org_now = identity::org(&app.store, org.as_str())?;
        return Ok(ofm::show(&org, &org_now)?.again());
    }
    let (user_id, email) = (request.user_id.as_deref(), request.email.as_deref());
    let owner = people::named(app, user_id, email)?;
    ask(app, call, &caller, (org.as_str(), &[("owner", &*owner)])).await?;
    let caller = keyed.sign(caller);
    let add = OrgCommand::AddMember {
        org: org.clone(),
        user_id: owner,
        role: MemberRole::Owner,
    };
    app.directory.org(add, &caller).await?;
    ofm::show(&org, &identity::org(&app.store, org.as_str())?)
}

/// Sets an org's status.
#[utoipa::path(post, path = "/invoke/ofm_org_status_set", request_body = OrgStatusSet,
    responses((status = 200, description = "The org.", body = crate::http::reply::Good<'static, crate::http::ofm::OrgView>)))]
pub(super) async fn set_status(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: OrgStatusSet = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let org = super::org(call, request.orgcode.as_deref())?;
    // A missing one is refused as one that there is not: with those that there are.
    let status = status(request.status.as_deref().unwrap_or_default())?;
    let facts = [("status", status.as_str())];
    ask(app, call, &caller, (org.as_str(), &facts)).await?;
    let set = OrgCommand::SetStatus {
        org: org.clone(),
        status,
    };
    app.directory.org(set, &caller).await?;
    ofm::show(&org, &identity::org(&app.store, org.as_str())?)
}

fn status(text: &str) -> Result<OrgStatus, Rejection> {
    input::status(text, OrgStatus::ALL, OrgStatus::as_str)
}
