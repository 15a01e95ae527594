//! `/ofm/invitation/...`: invitations to an org, and what the invited user answers.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{NewMemberAnswer, member_id, role_of};
use crate::actors::first_answers::Made;
use crate::clock::random_uuid;
use crate::domain::ErrorTag;
use crate::domain::org::{Invitation, MemberRole, OrgCommand, OrgEvent};
use crate::domain::user::label;
use crate::domain::{Event, OrgCode, Rejection};
use crate::http::auth::access::{Access, Right};
use crate::http::call::Call;
use crate::http::idempotency::{self, lost};
use crate::http::input::FIELD_ERRORS;
use crate::http::input::{self, LimitIn};
use crate::http::reply::{Refusal, Reply};
use crate::http::route::{Described, Route, inside};
use crate::http::state::AppState;
use crate::http::usm::{self, org_request, required};
use crate::journal::Remarks;
use crate::projections::identity;

org_request! {
    pub(crate) struct NewInvitation {
        /// The user, by id; or give `email`.
        user_id: Option<String>,
        /// The user's e-mail address. Whether anybody has it is not told.
        email: Option<String>,
        /// `owner` or `member`, which is the default.
        role: Option<String>,
        /// The invitation's label in the org's list.
        #[schema(max_length = 80)]
        label: Option<String>,
        /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`.
        #[schema(min_length = 1, max_length = 128, pattern = "^[ -~]+$")]
        idempotency_key: Option<String>,
    }
}

org_request! {
    /// An org's open invitations.
    pub(crate) struct OpenInvitations {}
}

org_request! {
    pub(crate) struct WhichInvitation {
        /// The id of the invitation.
        #[schema(value_type = String, required = true)]
        invitation_id: Option<String>,
    }
}

/// An invitation to accept. Who accepts is not in the org yet, so that it lets nobody in to it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptedInvitation {
    /// The org; also taken from the header `x-orgcode`.
    #[schema(value_type = String, required = true, example = "DEMO")]
    orgcode: Option<String>,
    /// The id of the invitation.
    #[schema(value_type = String, required = true)]
    invitation_id: Option<String>,
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
    /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`.
    #[schema(min_length = 1, max_length = 128, pattern = "^[ -~]+$")]
    idempotency_key: Option<String>,
}

/// A page of one's own invitations.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnInvitations {
    /// Invitations a page: 8 by default, 1 to 256.
    #[schema(value_type = Option<u64>)]
    limit: Option<LimitIn>,
    /// The next_token of the page before.
    next_token: Option<String>,
}

/// An open invitation as the org's owners see it.
#[derive(Serialize, ToSchema)]
pub struct InvitationView {
    invitation_id: String,
    /// The id of the user who may accept it, even if no such user exists.
    user_id: String,
    /// The role that the invited user gets: `owner` or `member`.
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// The owner who invited, by user id.
    invited_by: String,
    #[schema(format = DateTime)]
    invited_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// All open invitations of an org, at most 256.
#[derive(Serialize, ToSchema)]
pub struct InvitationsAnswer {
    items: Vec<InvitationView>,
}

/// An open invitation as the invited user sees it.
#[derive(Serialize, ToSchema)]
pub struct OwnInvitationView {
    invitation_id: String,
    orgcode: String,
    /// The role that the invited user gets: `owner` or `member`.
    role: &'static str,
    #[schema(format = DateTime)]
    invited_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// One page of the caller's open invitations.
#[derive(Serialize, ToSchema)]
pub struct OwnInvitationsAnswer {
    items: Vec<OwnInvitationView>,
    /// Invitations a page.
    limit: usize,
    /// Token for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// An invitation that was answered or withdrawn.
#[derive(Serialize, ToSchema)]
pub struct AnsweredInvitation {
    invitation_id: String,
    orgcode: String,
    /// `accepted`, `declined` or `withdrawn`.
    status: &'static str,
    /// The role the user has now; for an accepted one.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
}

pub(crate) const CREATE: Route = Route::post(
    ("ofm", "/ofm/invitation/create"),
    Access::Org(Right::Manage),
    inside!(create),
    Described::of::<__path_create>(),
)
.errors(
    &[FIELD_ERRORS],
    &[
        ErrorTag::Conflict,
        ErrorTag::InvalidState,
        ErrorTag::OrgWriteBlocked,
    ],
)
.keeps_first_answers();

/// Invite a user to an org; the user belongs to it once the invitation is accepted.
#[utoipa::path(post, path = CREATE.path, request_body = NewInvitation,
    responses((status = 200, description = "The invitation; the same whether or not there is such a user.", body = crate::http::reply::Good<'static, NewMemberAnswer>)))]
pub async fn create(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: NewInvitation = input::json(&call.body)?;
    let org = request.org(app, call)?;
    let caller = request.caller(call)?;
    let key = request.idempotency_key.as_deref();
    let keyed = idempotency::enter(app, call, key, Some(&org)).await?;
    if let Some(made) = keyed.made() {
        return invited_before(made, request.email.as_deref());
    }
    let caller = keyed.sign(caller);
    let wanted = Wanted {
        user_id: member_id(app, request.user_id.as_deref(), request.email.as_deref())?,
        role: role_of(request.role.as_deref())?,
        label: label("label", request.label.as_deref())?,
    };
    invite(app, org, (wanted, request.email.as_deref()), &caller).await
}

/// Whom to invite as what.
pub(super) struct Wanted {
    pub(super) user_id: String,
    pub(super) role: MemberRole,
    pub(super) label: Option<String>,
}

/// Invites a user. Nothing of the answer or of its time depends on whether there is such a user.
pub(super) async fn invite(
    app: &AppState,
    org: OrgCode,
    (wanted, email): (Wanted, Option<&str>),
    caller: &crate::actors::Caller,
) -> Result<Reply, Refusal> {
    let invitation_id = random_uuid().to_string();
    let lives_ms = app.directory.settings().invitation_ms;
    let expires_at = app.clock.now().plus_millis(lives_ms);
    let invite = OrgCommand::Invite {
        org,
        invitation_id: invitation_id.clone(),
        user_id: wanted.user_id.clone(),
        role: wanted.role,
        label: wanted.label,
        expires_at,
    };
    app.directory.org(invite, caller).await?;
    Reply::of(&NewMemberAnswer {
        user_id: wanted.user_id,
        email: email.map(crate::domain::user::email).transpose()?,
        role: wanted.role.as_str(),
        status: "invited",
        invitation_id: Some(invitation_id),
        expires_at: Some(expires_at.to_string()),
    })
}

/// The first answer to a request that invited a user.
pub(super) fn invited_before(made: &Made, email: Option<&str>) -> Result<Reply, Refusal> {
    let mut answers = made.events.iter();
    let answer = answers.find_map(|event| {
        if let Event::Org(OrgEvent::Invited {
            invitation_id,
            user_id,
            role,
            expires_at,
            ..
        }) = event
        {
            Some((invitation_id, user_id, role, expires_at))
        } else {
            None
        }
    });
    let (invitation_id, user_id, role, expires_at) = answer.ok_or_else(lost)?;
    let reply = Reply::of(&NewMemberAnswer {
        user_id: user_id.clone(),
        email: email.map(crate::domain::user::email).transpose()?,
        role: role.as_str(),
        status: "invited",
        invitation_id: Some(invitation_id.clone()),
        expires_at: Some(expires_at.to_string()),
    })?;
    Ok(reply.again())
}

pub(crate) const LIST: Route = Route::post(
    ("ofm", "/ofm/invitation/list"),
    Access::Org(Right::Manage),
    inside!(list),
    Described::of::<__path_list>(),
)
.errors(&[FIELD_ERRORS], &[])
.changes_nothing();

/// List an org's open invitations.
#[utoipa::path(post, path = LIST.path, request_body = OpenInvitations,
    responses((status = 200, description = "All of them.", body = crate::http::reply::Good<'static, InvitationsAnswer>)))]
pub async fn list(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: OpenInvitations = input::json(&call.body)?;
    let org = request.org(app, call)?;
    request.caller(call)?;
    let now = app.clock.now();
    let all = identity::invitations(&app.store, org.as_str())?;
    let open = all.0.into_values().filter(|there| there.is_open(now));
    let view = |there: Invitation| InvitationView {
        invitation_id: there.invitation_id,
        user_id: there.user_id,
        role: there.role.as_str(),
        label: there.label,
        invited_by: there.invited_by,
        invited_at: there.invited_at.to_string(),
        expires_at: there.expires_at.to_string(),
    };
    Reply::of(&InvitationsAnswer {
        items: open.map(view).collect(),
    })
}

pub(crate) const WITHDRAW: Route = Route::post(
    ("ofm", "/ofm/invitation/withdraw"),
    Access::Org(Right::Manage),
    inside!(withdraw),
    Described::of::<__path_withdraw>(),
)
.errors(
    &[FIELD_ERRORS],
    &[ErrorTag::InvalidState, ErrorTag::OrgWriteBlocked],
);

/// Take an invitation back.
#[utoipa::path(post, path = WITHDRAW.path, request_body = WhichInvitation,
    responses((status = 200, description = "It is over.", body = crate::http::reply::Good<'static, AnsweredInvitation>)))]
pub async fn withdraw(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: WhichInvitation = input::json(&call.body)?;
    let org = request.org(app, call)?;
    let caller = request.caller(call)?;
    let id = required(request.invitation_id.as_deref(), "invitation_id")?;
    let withdraw = OrgCommand::WithdrawInvitation {
        org: org.clone(),
        invitation_id: id.to_owned(),
    };
    app.directory.org(withdraw, &caller).await?;
    answered(&org, id, ("withdrawn", None))
}

pub(crate) const MINE: Route = Route::post(
    ("ofm", "/ofm/invitation/mine"),
    Access::UserSession,
    inside!(mine),
    Described::of::<__path_mine>(),
)
.errors(&[FIELD_ERRORS], &[ErrorTag::InvalidNextToken])
.changes_nothing();

/// List the invitations that you can accept.
#[utoipa::path(post, path = MINE.path, request_body = OwnInvitations,
    responses((status = 200, description = "One page.", body = crate::http::reply::Good<'static, OwnInvitationsAnswer>)))]
pub async fn mine(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: OwnInvitations = input::json(&call.body)?;
    let me = &call.caller()?.user_id;
    let limit = request.limit.unwrap_or_default().0;
    let filter: [u8; 32] = Sha256::digest(format!("invitations {me}")).into();
    let from = input::cursor(&app.signer, request.next_token.as_deref(), filter)?;
    let page = identity::invitations_of(&app.store, me, from.as_deref(), limit)?;
    let now = app.clock.now();
    let open = page
        .items
        .into_iter()
        .filter(|(_, there)| there.is_open(now));
    let view = |(orgcode, there): (String, Invitation)| OwnInvitationView {
        invitation_id: there.invitation_id,
        orgcode,
        role: there.role.as_str(),
        invited_at: there.invited_at.to_string(),
        expires_at: there.expires_at.to_string(),
    };
    Reply::of(&OwnInvitationsAnswer {
        items: open.map(view).collect(),
        limit,
        next_token: page
            .next
            .map(|place| input::next_token(&app.signer, filter, place)),
    })
}

pub(crate) const ACCEPT: Route = Route::post(
    ("ofm", "/ofm/invitation/accept"),
    Access::UserSession,
    inside!(accept),
    Described::of::<__path_accept>(),
)
.errors(
    &[FIELD_ERRORS],
    &[
        ErrorTag::InvalidOrgcode,
        ErrorTag::NotFound,
        ErrorTag::InvalidState,
        ErrorTag::OrgWriteBlocked,
    ],
)
.keeps_first_answers();

/// Accept an invitation and become a member of the org.
#[utoipa::path(post, path = ACCEPT.path, request_body = AcceptedInvitation,
    responses((status = 200, description = "You belong to the org.", body = crate::http::reply::Good<'static, AnsweredInvitation>)))]
pub async fn accept(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: AcceptedInvitation = input::json(&call.body)?;
    let id = required(request.invitation_id.as_deref(), "invitation_id")?;
    let org = input::org(call, request.orgcode.as_deref())?;
    call.note_org(&org);
    let caller = usm::caller(
        call,
        Remarks {
            actor: request.actor,
            reason: request.reason,
            reason_code: request.reason_code,
            correlation_id: request.correlation_id,
        },
    )?;
    let key = request.idempotency_key.as_deref();
    let keyed = idempotency::enter(app, call, key, Some(&org)).await?;
    if keyed.made().is_some() {
        let me = &call.caller()?.user_id;
        return Ok(accepted(app, &org, (id, me))?.again());
    }
    let caller = keyed.sign(caller);
    let own = own(app, call, (&org, id))?;
    let accept = OrgCommand::AcceptInvitation {
        org: org.clone(),
        invitation_id: own.invitation_id.clone(),
        user_id: own.user_id.clone(),
    };
    app.directory.org(accept, &caller).await?;
    accepted(app, &org, (&own.invitation_id, &own.user_id))
}

/// The answer about an invitation that was accepted, with the role that the user has now.
fn accepted(
    app: &AppState,
    org: &OrgCode,
    (invitation_id, user_id): (&str, &str),
) -> Result<Reply, Refusal> {
    let role = identity::member(&app.store, org.as_str(), user_id)?;
    let role = role.map(MemberRole::as_str);
    answered(org, invitation_id, ("accepted", role))
}

pub(crate) const DECLINE: Route = Route::post(
    ("ofm", "/ofm/invitation/decline"),
    Access::UserSession,
    inside!(decline),
    Described::of::<__path_decline>(),
)
.errors(
    &[FIELD_ERRORS],
    &[
        ErrorTag::InvalidOrgcode,
        ErrorTag::NotFound,
        ErrorTag::InvalidState,
        ErrorTag::OrgWriteBlocked,
    ],
);

/// Decline an invitation to an org.
#[utoipa::path(post, path = DECLINE.path, request_body = WhichInvitation,
    responses((status = 200, description = "It is over.", body = crate::http::reply::Good<'static, AnsweredInvitation>)))]
pub async fn decline(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: WhichInvitation = input::json(&call.body)?;
    let id = required(request.invitation_id.as_deref(), "invitation_id")?;
    let org = input::org(call, request.orgcode.as_deref())?;
    call.note_org(&org);
    let own = own(app, call, (&org, id))?;
    let caller = request.caller(call)?;
    let decline = OrgCommand::DeclineInvitation {
        org: org.clone(),
        invitation_id: own.invitation_id.clone(),
        user_id: own.user_id,
    };
    app.directory.org(decline, &caller).await?;
    answered(&org, &own.invitation_id, ("declined", None))
}

/// The caller's own invitation that a request names. A user who was not invited does not learn whether there is such an org.
fn own(
    app: &AppState,
    call: &Call<'_>,
    (org, id): (&OrgCode, &str),
) -> Result<Invitation, Refusal> {
    let me = &call.caller()?.user_id;
    let found = identity::invited(&app.store, me, org.as_str())?;
    let found = found.ok_or_else(Rejection::not_found)?;
    // Who was invited may know that there is an org.
    if found.invitation_id != id {
        let message = "This is not your present invitation to the org; see /ofm/invitation/mine (g3n ofm invitation-mine).";
        return Err(Rejection::absent(message).into());
    }
    if !found.is_open(app.clock.now()) {
        let message = format!(
            "This invitation has expired at {}; ask an owner of the org for another.",
            found.expires_at
        );
        return Err(Rejection::absent(message).into());
    }
    Ok(found)
}

fn answered(
    org: &OrgCode,
    id: &str,
    (status, role): (&'static str, Option<&'static str>),
) -> Result<Reply, Refusal> {
    Reply::of(&AnsweredInvitation {
        invitation_id: id.to_owned(),
        orgcode: org.as_str().to_owned(),
        status,
        role,
    })
}
