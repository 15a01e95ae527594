//! `/uas/...`: what there is of a user, for the user alone, and changing the passcode.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::admit::not_a_person;
use super::call::Call;
use super::input;
use super::limits::peer;
use super::reply::{Refusal, Reply};
use super::state::AppState;
use super::usm::{self, required, session};
use crate::domain::ErrorTag;
use crate::domain::org::MemberRole;
use crate::domain::user::User;
use crate::http::auth::access::Access;
use crate::http::input::FIELD_ERRORS;
use crate::http::route::{Described, Route, inside};
use crate::journal::Remarks;
use crate::projections::identity;

/// Orgs shown of one user.
pub(super) const ORGS_MAX: usize = 256;

/// The caller's own credentials.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Myself {
    /// The e-mail address.
    #[schema(value_type = String, required = true)]
    email: Option<String>,
    /// The passcode.
    #[schema(value_type = String, required = true)]
    passcode: Option<String>,
}

/// A new passcode in place of one's own.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasscodeChange {
    /// The passcode there is.
    #[schema(value_type = String, required = true)]
    passcode: Option<String>,
    /// The new one: 12 to 128 characters.
    #[schema(value_type = String, required = true)]
    new_passcode: Option<String>,
    /// Who is acting, as given by the caller.
    #[schema(max_length = 256)]
    actor: Option<String>,
    /// Why, in the caller's words.
    #[schema(max_length = 256)]
    reason: Option<String>,
    /// Why, as a code of the caller's.
    #[schema(max_length = 256)]
    reason_code: Option<String>,
    /// The caller's correlation id.
    #[schema(max_length = 256)]
    correlation_id: Option<String>,
}

impl PasscodeChange {
    fn remarks(&self) -> Remarks {
        Remarks {
            actor: self.actor.clone(),
            reason: self.reason.clone(),
            reason_code: self.reason_code.clone(),
            correlation_id: self.correlation_id.clone(),
        }
    }
}

/// The result of changing the passcode.
#[derive(Serialize, ToSchema)]
pub struct PasscodeAnswer {
    changed: bool,
    /// Other sessions that were ended.
    closed: usize,
}

/// An org the user belongs to.
#[derive(Serialize, ToSchema)]
pub struct OrgOfUser {
    orgcode: String,
    /// `owner` or `member`.
    role: &'static str,
}

impl OrgOfUser {
    pub(super) fn new((orgcode, role): (String, MemberRole)) -> Self {
        Self {
            orgcode,
            role: role.as_str(),
        }
    }
}

/// A user as operators see it.
#[derive(Serialize, ToSchema)]
pub struct UserView {
    user_id: String,
    email: String,
    /// The e-mail address was confirmed.
    verified: bool,
    /// An operator has disabled the user.
    disabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    created_at: Option<String>,
    /// Open sessions.
    sessions: usize,
    /// The first 256 of the user's orgs.
    orgs: Vec<OrgOfUser>,
}

pub(crate) const STAT: Route = Route::post(
    ("uas", "/uas/stat"),
    Access::Public,
    inside!(stat),
    Described::of::<__path_stat>(),
)
.errors(
    &[FIELD_ERRORS],
    &[ErrorTag::InvalidPasscode, ErrorTag::NotAuthorized],
)
.changes_nothing();

/// Show your own user.
#[utoipa::path(post, path = STAT.path, request_body = Myself,
    responses((status = 200, description = "The user.", body = crate::http::reply::Good<'static, UserView>)))]
pub async fn stat(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Myself = input::json(&call.body)?;
    let email = required(request.email.as_deref(), "email")?;
    let passcode = required(request.passcode.as_deref(), "passcode")?;
    app.rate_limits.sign_in(call.head.peer)?;
    let proven = app.directory.prove(email, passcode, peer(call.head.peer));
    let user = session::concealed(app, call, proven.await).await?;
    user.check_enabled()?;
    show(app, &user)
}

pub(crate) const STAT_OF_SESSION: Route = Route::get(
    ("uas", "/uas/stat"),
    Access::UserSession,
    inside!(stat_of_session),
    Described::of::<__path_stat_of_session>(),
);

/// Show the user whose session it is.
#[utoipa::path(get, path = STAT_OF_SESSION.path,
    responses((status = 200, description = "The user.", body = crate::http::reply::Good<'static, UserView>)))]
pub async fn stat_of_session(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    show(app, &identity::user(&app.store, &call.caller()?.user_id)?)
}

pub(crate) const CHANGE_PASSCODE: Route = Route::post(
    ("uas", "/uas/passcode/change"),
    Access::UserSession,
    inside!(change_passcode),
    Described::of::<__path_change_passcode>(),
)
.errors(
    &[FIELD_ERRORS],
    &[ErrorTag::InvalidPasscode, ErrorTag::UserNotVerified],
);

/// Change your passcode; the old one is needed. Your other sessions end.
#[utoipa::path(post, path = CHANGE_PASSCODE.path, request_body = PasscodeChange,
    responses((status = 200, description = "It is changed.", body = crate::http::reply::Good<'static, PasscodeAnswer>)))]
pub async fn change_passcode(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: PasscodeChange = input::json(&call.body)?;
    let old = required(request.passcode.as_deref(), "passcode")?;
    let new = required(request.new_passcode.as_deref(), "new_passcode")?;
    let caller = usm::caller(call, request.remarks())?;
    let session = call.caller()?.session_hash.clone();
    let session = session.ok_or_else(not_a_person)?;
    app.rate_limits.sign_in(call.head.peer)?;
    let before = identity::user(&app.store, &caller.by)?;
    let others = session::open_of(app, &before).filter(|(hash, _, _)| *hash != session);
    let closed = others.count();
    let changed =
        app.directory
            .change_passcode((old, new), &session, peer(call.head.peer), &caller);
    session::concealed(app, call, changed.await).await?;
    Reply::of(&PasscodeAnswer {
        changed: true,
        closed,
    })
}

/// The answer that shows a user.
pub(super) fn show(app: &AppState, user: &User) -> Result<Reply, Refusal> {
    let orgs = identity::orgs_of(&app.store, &user.user_id, None, ORGS_MAX)?;
    Reply::of(&UserView {
        user_id: user.user_id.clone(),
        email: user.email.clone(),
        verified: user.verified,
        disabled: user.disabled,
        created_at: user.created_at.map(|at| at.to_string()),
        sessions: session::open_of(app, user).count(),
        orgs: orgs.items.into_iter().map(OrgOfUser::new).collect(),
    })
}
