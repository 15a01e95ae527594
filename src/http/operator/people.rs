//! `uas_user_get|disable|enable|verify`, `uas_passcode_reset`, `uas_lock_lift` and `usm_sessions_close`: upkeep of one user.

use std::net::IpAddr;

use serde_json::json;

use super::{ask, operator_request};
use crate::actors::Caller;
use crate::domain::Rejection;
use crate::domain::user::UserCommand;
use crate::http::call::Call;
use crate::http::limits::{network, peer};
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::http::usm::{required, session};
use crate::http::{input, ofm, uas};
use crate::projections::identity;

operator_request! {
    pub(super) struct WhichUser {
        /// The user, by e-mail address; or give `user_id`.
        email: Option<String>,
        /// The user, by id; or give `email`.
        user_id: Option<String>,
    }
}

operator_request! {
    /// A user who gets another passcode.
    pub(super) struct PasscodeReset {
        /// The user, by e-mail address; or give `user_id`.
        email: Option<String>,
        /// The user, by id; or give `email`.
        user_id: Option<String>,
        /// New passcode of the user: 12 to 128 characters.
        #[schema(value_type = String, required = true, format = Password)]
        passcode: Option<crate::http::operator::Code>,
    }
}

operator_request! {
    /// A user who is let in again.
    #[schema(as = UserLockLift)]
    pub(super) struct LockLift {
        /// The user, by e-mail address; or give `user_id`.
        email: Option<String>,
        /// The user, by id; or give `email`.
        user_id: Option<String>,
        /// The address whose wrong passcodes are forgotten; all without it.
        address: Option<String>,
    }
}

/// Shows a user, by id or address.
#[utoipa::path(post, path = "/invoke/uas_user_get", request_body = WhichUser,
    responses((status = 200, description = "The user.", body = crate::http::reply::Good<'static, crate::http::uas::UserView>)))]
pub(super) async fn get(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: WhichUser = input::json(&call.body)?;
    request.caller(call)?;
    let user_id = request.user_id(app)?;
    uas::show(app, &identity::user(&app.store, &user_id)?)
}

/// Keeps a user from signing in, and ends the user's sessions.
#[utoipa::path(post, path = "/invoke/uas_user_disable", request_body = WhichUser,
    responses((status = 200, description = "The user.", body = crate::http::reply::Good<'static, crate::http::uas::UserView>)))]
pub(super) async fn disable(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    change(app, call, |user_id| UserCommand::Disable { user_id }).await
}

/// Enables a user to sign in again.
#[utoipa::path(post, path = "/invoke/uas_user_enable", request_body = WhichUser,
    responses((status = 200, description = "The user.", body = crate::http::reply::Good<'static, crate::http::uas::UserView>)))]
pub(super) async fn enable(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    change(app, call, |user_id| UserCommand::Enable { user_id }).await
}

/// Confirms a user's address, so that the user can sign in.
#[utoipa::path(post, path = "/invoke/uas_user_verify", request_body = WhichUser,
    responses((status = 200, description = "The user.", body = crate::http::reply::Good<'static, crate::http::uas::UserView>)))]
pub(super) async fn verify(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    change(app, call, |user_id| UserCommand::Verify { user_id }).await
}

async fn change(
    app: &AppState,
    call: &mut Call<'_>,
    command: fn(String) -> UserCommand,
) -> Result<Reply, Refusal> {
    let request: WhichUser = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let user_id = request.user_id(app)?;
    ask(app, call, &caller, (&user_id, &[])).await?;
    let command = command(user_id);
    uas::show(app, &app.directory.user(command, &caller).await?)
}

/// Sets a user's passcode, and ends the user's sessions.
#[utoipa::path(post, path = "/invoke/uas_passcode_reset", request_body = PasscodeReset,
    responses((status = 200, description = "The user.", body = crate::http::reply::Good<'static, crate::http::uas::UserView>)))]
pub(super) async fn reset_passcode(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: PasscodeReset = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let user_id = named(app, request.user_id.as_deref(), request.email.as_deref())?;
    let passcode = request.passcode.as_ref().map(|code| code.text());
    let passcode = required(passcode, "passcode")?;
    ask(app, call, &caller, (&user_id, &[])).await?;
    let from = peer(call.head.peer);
    let directory = &app.directory;
    let reset = directory.reset_passcode(&user_id, passcode, from, &caller);
    uas::show(app, &reset.await?)
}

/// Clears the wrong passcodes counted for a user.
#[utoipa::path(post, path = "/invoke/uas_lock_lift", request_body = LockLift,
    responses((status = 200, description = "The user.", body = crate::http::reply::Good<'static, crate::http::uas::UserView>)))]
pub(super) async fn lift_lock(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: LockLift = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let user_id = named(app, request.user_id.as_deref(), request.email.as_deref())?;
    let address = request.address.as_deref().map(address).transpose()?;
    ask(app, call, &caller, (&user_id, &[])).await?;
    let lifted = app.directory.lift_locks(&user_id, address, &caller);
    uas::show(app, &lifted.await?)
}

/// Ends the sessions of a user.
#[utoipa::path(post, path = "/invoke/usm_sessions_close", request_body = WhichUser,
    responses((status = 200, description = "`user_id`, and how many sessions were `closed`.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn close_sessions(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: WhichUser = input::json(&call.body)?;
    let caller: Caller = request.caller(call)?;
    let user_id = request.user_id(app)?;
    ask(app, call, &caller, (&user_id, &[])).await?;
    let user = identity::user(&app.store, &user_id)?;
    let closed = session::open_of(app, &user).count();
    let close = UserCommand::CloseSessions { user_id };
    let user = app.directory.user(close, &caller).await?;
    Reply::of(&json!({"user_id": user.user_id, "closed": closed}))
}

impl WhichUser {
    fn user_id(&self, app: &AppState) -> Result<String, Refusal> {
        named(app, self.user_id.as_deref(), self.email.as_deref())
    }
}

pub(super) fn named(
    app: &AppState,
    user_id: Option<&str>,
    email: Option<&str>,
) -> Result<String, Refusal> {
    ofm::user(app, user_id, email, "user_id")
}

/// An address as limits count it.
fn address(text: &str) -> Result<IpAddr, Rejection> {
    let parsed: Result<IpAddr, _> = text.parse();
    parsed.map(network).map_err(|_| {
        let message = "address must be an IP address such as 203.0.113.7 or 2001:db8::1.";
        Rejection::field("address", message)
    })
}
