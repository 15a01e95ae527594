//! `/uas/stat`: what there is of a user, for the user alone.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::call::Call;
use super::envelope::{Refusal, Reply};
use super::input;
use super::server::House;
use super::usm::{required, session};
use crate::domain::user::User;
use crate::projections::identity;

/// Orgs shown of one user.
const ORGS_MAX: usize = 256;

/// Who asks about themselves.
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

/// An org the user belongs to.
#[derive(Serialize, ToSchema)]
pub struct OrgOfUser {
    orgcode: String,
    /// `owner` or `member`.
    role: &'static str,
}

/// A user.
#[derive(Serialize, ToSchema)]
pub struct UserView {
    user_id: String,
    email: String,
    /// The e-mail address was confirmed.
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    created_at: Option<String>,
    /// Open sessions.
    sessions: usize,
    /// The first 256 of the user's orgs.
    orgs: Vec<OrgOfUser>,
}

/// See what there is of yourself.
#[utoipa::path(post, path = "/uas/stat", tag = "uas", request_body = Myself,
    responses((status = 200, description = "The user.", body = inline(crate::http::openapi::Good<UserView>))))]
pub async fn stat(house: &House, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Myself = input::json(&call.body)?;
    let email = required(request.email.as_deref(), "email")?;
    let passcode = required(request.passcode.as_deref(), "passcode")?;
    house.rate_limits.sign_in(call.request)?;
    let user = house.directory.prove(email, passcode).await?;
    show(house, &user)
}

/// The answer that shows a user.
pub(super) fn show(house: &House, user: &User) -> Result<Reply, Refusal> {
    let orgs = identity::orgs_of(&house.store, &user.user_id, None, ORGS_MAX)?;
    let of_user = |(orgcode, role): (String, crate::domain::org::MemberRole)| OrgOfUser {
        orgcode,
        role: role.as_str(),
    };
    Reply::of(&UserView {
        user_id: user.user_id.clone(),
        email: user.email.clone(),
        verified: user.verified,
        created_at: user.created_at.map(|at| at.to_string()),
        sessions: session::open_of(house, user).count(),
        orgs: orgs.items.into_iter().map(of_user).collect(),
    })
}
