//! `/ofm/...`: an org, and who belongs to it.

pub mod invitation;

use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use self::invitation::{Wanted, invite, invited_before};
use super::auth::admit::not_a_person;
use super::auth::principal::Mode;
use super::call::Call;
use super::idempotency;
use super::input::{self, LimitIn};
use super::reply::{Refusal, Reply};
use super::state::AppState;
use super::usm::{org_request, required};
use crate::actors::first_answers::Made;
use crate::domain::ErrorTag;
use crate::domain::org::{MemberRole, Org, OrgCommand, OrgEvent};
use crate::domain::{Event, OrgCode, Rejection};
use crate::http::auth::access::{Access, Right};
use crate::http::input::FIELD_ERRORS;
use crate::http::route::{Described, Route, inside};
use crate::projections::identity;

/// Longest id of a user that is accepted, in characters.
const USER_ID_CHARS_MAX: usize = 64;

org_request! {
    /// Which org.
    pub(crate) struct WhichOrg {}
}

org_request! {
    /// A user to invite, or another role for a member.
    pub(crate) struct NewMember {
        /// The user, by id; or give `email`.
        user_id: Option<String>,
        /// The user's e-mail address.
        email: Option<String>,
        /// `owner` or `member`, which is the default.
        role: Option<String>,
        /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`.
        #[schema(min_length = 1, max_length = 128, pattern = "^[ -~]+$")]
        idempotency_key: Option<String>,
    }
}

org_request! {
    /// A member of the org.
    pub(crate) struct WhichMember {
        /// The user, by id; or give `email`.
        user_id: Option<String>,
        /// The user's e-mail address.
        email: Option<String>,
    }
}

org_request! {
    /// Which members.
    pub(crate) struct Members {
        /// Members a page: 8 by default, 1 to 256.
        #[schema(value_type = Option<u64>)]
        limit: Option<LimitIn>,
        /// The next_token of the page before.
        next_token: Option<String>,
    }
}

/// An org as callers see it.
#[derive(Serialize, ToSchema)]
pub struct OrgView {
    orgcode: String,
    /// `unverified`, `verified`, `parked`, `suspended`, `frozen` or `doomed`.
    status: &'static str,
    owners: u64,
    /// Owners included.
    members: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    status_at: Option<String>,
}

/// An owner or a member.
#[derive(Serialize, ToSchema)]
pub struct MemberView {
    user_id: String,
    /// Absent when the user is not there any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// `owner` or `member`.
    role: &'static str,
}

/// A member or an invited user.
#[derive(Serialize, ToSchema)]
pub struct NewMemberAnswer {
    /// The user's id; for an e-mail address, the id of the user who signs in with it.
    user_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// The member's role: `owner` or `member`.
    role: &'static str,
    /// `member`, or `invited`: the user belongs to the org once the invitation is accepted.
    status: &'static str,
    /// Names the invitation, to withdraw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    invitation_id: Option<String>,
    /// From then on the invitation cannot be accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// An org that the user has left.
#[derive(Serialize, ToSchema)]
pub struct LeftAnswer {
    orgcode: String,
    left: bool,
}

/// One page of members.
#[derive(Serialize, ToSchema)]
pub struct MembersAnswer {
    items: Vec<MemberView>,
    /// Members a page.
    limit: usize,
    /// Token for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(crate) const GET: Route = Route::post(
    ("ofm", "/ofm/org/get"),
    Access::Org(Right::ViewOrg),
    inside!(get),
    Described::of::<__path_get>(),
)
.errors(&[FIELD_ERRORS], &[])
.changes_nothing();

/// Show an org of the caller.
#[utoipa::path(post, path = GET.path, request_body = WhichOrg,
    responses((status = 200, description = "The org.", body = crate::http::reply::Good<'static, OrgView>)))]
pub async fn get(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: WhichOrg = input::json(&call.body)?;
    let org = request.org(app, call)?;
    request.caller(call)?;
    show(&org, &identity::org(&app.store, org.as_str())?)
}

pub(crate) const PARK: Route = Route::post(
    ("ofm", "/ofm/org/park"),
    Access::Org(Right::Manage),
    inside!(park),
    Described::of::<__path_park>(),
)
.errors(
    &[FIELD_ERRORS],
    &[ErrorTag::InvalidState, ErrorTag::OrgWriteBlocked],
);

/// Park an org: it can be read and takes no changes.
#[utoipa::path(post, path = PARK.path, request_body = WhichOrg,
    responses((status = 200, description = "The org.", body = crate::http::reply::Good<'static, OrgView>)))]
pub async fn park(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    set_aside(app, call, |org| OrgCommand::Park { org }).await
}

pub(crate) const UNPARK: Route = Route::post(
    ("ofm", "/ofm/org/unpark"),
    Access::Org(Right::Manage),
    inside!(unpark),
    Described::of::<__path_unpark>(),
)
.errors(
    &[FIELD_ERRORS],
    &[ErrorTag::InvalidState, ErrorTag::OrgWriteBlocked],
);

/// Take a parked org up again.
#[utoipa::path(post, path = UNPARK.path, request_body = WhichOrg,
    responses((status = 200, description = "The org.", body = crate::http::reply::Good<'static, OrgView>)))]
pub async fn unpark(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    set_aside(app, call, |org| OrgCommand::Unpark { org }).await
}

async fn set_aside(
    app: &AppState,
    call: &mut Call<'_>,
    command: fn(OrgCode) -> OrgCommand,
) -> Result<Reply, Refusal> {
    let request: WhichOrg = input::json(&call.body)?;
    let org = request.org(app, call)?;
    let caller = request.caller(call)?;
    let after = app.directory.org(command(org.clone()), &caller).await?;
    show(&org, &after)
}

pub(crate) const ADD: Route = Route::post(
    ("ofm", "/ofm/member/add"),
    Access::Org(Right::Manage),
    inside!(add),
    Described::of::<__path_add>(),
)
.errors(
    &[FIELD_ERRORS],
    &[ErrorTag::InvalidState, ErrorTag::OrgWriteBlocked],
)
.keeps_first_answers();

/// Invite a user to an org, or change a member's role.
#[utoipa::path(post, path = ADD.path, request_body = NewMember,
    responses((status = 200, description = "The member, or the invitation that the user can accept; the same whether or not there is such a user.", body = crate::http::reply::Good<'static, NewMemberAnswer>)))]
pub async fn add(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: NewMember = input::json(&call.body)?;
    let org = request.org(app, call)?;
    let caller = request.caller(call)?;
    let key = request.idempotency_key.as_deref();
    let keyed = idempotency::enter(app, call, key, Some(&org)).await?;
    if let Some(made) = keyed.made() {
        return added_before(app, made, request.email.as_deref());
    }
    let caller = keyed.sign(caller);
    let user_id = member_id(app, request.user_id.as_deref(), request.email.as_deref())?;
    let role = role_of(request.role.as_deref())?;
    if identity::member(&app.store, org.as_str(), &user_id)?.is_none() {
        let label = None;
        let wanted = Wanted {
            user_id,
            role,
            label,
        };
        return invite(app, org, (wanted, request.email.as_deref()), &caller).await;
    }
    let add = OrgCommand::AddMember {
        org,
        user_id: user_id.clone(),
        role,
    };
    app.directory.org(add, &caller).await?;
    added(app, user_id, role)
}

/// The answer about a member whose role was set.
fn added(app: &AppState, user_id: String, role: MemberRole) -> Result<Reply, Refusal> {
    let member = member(app, user_id, role)?;
    Reply::of(&NewMemberAnswer {
        user_id: member.user_id,
        email: member.email,
        role: member.role,
        status: "member",
        invitation_id: None,
        expires_at: None,
    })
}

/// The first answer to a request that invited a user, or set the role of a member.
fn added_before(app: &AppState, made: &Made, email: Option<&str>) -> Result<Reply, Refusal> {
    let mut members = made.events.iter();
    let member = members.find_map(|event| {
        if let Event::Org(OrgEvent::MemberAdded { user_id, role }) = event {
            Some((user_id.clone(), *role))
        } else {
            None
        }
    });
    match member {
        Some((user_id, role)) => Ok(added(app, user_id, role)?.again()),
        None => invited_before(made, email),
    }
}

pub(crate) const REMOVE: Route = Route::post(
    ("ofm", "/ofm/member/remove"),
    Access::Org(Right::Manage),
    inside!(remove),
    Described::of::<__path_remove>(),
)
.errors(
    &[FIELD_ERRORS],
    &[ErrorTag::InvalidState, ErrorTag::OrgWriteBlocked],
);

/// Have a user leave an org.
#[utoipa::path(post, path = REMOVE.path, request_body = WhichMember,
    responses((status = 200, description = "The org.", body = crate::http::reply::Good<'static, OrgView>)))]
pub async fn remove(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: WhichMember = input::json(&call.body)?;
    let org = request.org(app, call)?;
    let caller = request.caller(call)?;
    let user_id = member_id(app, request.user_id.as_deref(), request.email.as_deref())?;
    let remove = OrgCommand::RemoveMember {
        org: org.clone(),
        user_id,
    };
    let after = app.directory.org(remove, &caller).await?;
    show(&org, &after)
}

pub(crate) const LEAVE: Route = Route::post(
    ("ofm", "/ofm/member/leave"),
    Access::Org(Right::ViewOrg),
    inside!(leave),
    Described::of::<__path_leave>(),
)
.errors(
    &[FIELD_ERRORS],
    &[ErrorTag::InvalidState, ErrorTag::OrgWriteBlocked],
);

/// Leave an org yourself. Its last owner cannot.
#[utoipa::path(post, path = LEAVE.path, request_body = WhichOrg,
    responses((status = 200, description = "You belong to it no more.", body = crate::http::reply::Good<'static, LeftAnswer>)))]
pub async fn leave(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: WhichOrg = input::json(&call.body)?;
    let org = request.org(app, call)?;
    let caller = request.caller(call)?;
    if call.caller()?.mode != Mode::Session {
        // Another issuer's subject may be spelled like one of our users.
        return Err(not_a_person().into());
    }
    let leave = OrgCommand::RemoveMember {
        org: org.clone(),
        user_id: caller.by.clone(),
    };
    app.directory.org(leave, &caller).await?;
    Reply::of(&LeftAnswer {
        orgcode: org.as_str().to_owned(),
        left: true,
    })
}

pub(crate) const LIST: Route = Route::post(
    ("ofm", "/ofm/member/list"),
    Access::Org(Right::ViewOrg),
    inside!(list),
    Described::of::<__path_list>(),
)
.errors(&[FIELD_ERRORS], &[ErrorTag::InvalidNextToken])
.changes_nothing();

/// List the owners and members of an org.
#[utoipa::path(post, path = LIST.path, request_body = Members,
    responses((status = 200, description = "One page.", body = crate::http::reply::Good<'static, MembersAnswer>)))]
pub async fn list(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Members = input::json(&call.body)?;
    let org = request.org(app, call)?;
    request.caller(call)?;
    let limit = request.limit.unwrap_or_default().0;
    let filter: [u8; 32] = Sha256::digest(format!("members {org}")).into();
    let from = input::cursor(&app.signer, request.next_token.as_deref(), filter)?;
    let page = identity::members(&app.store, &org, from.as_deref(), limit)?;
    let items = page.items.into_iter();
    let items = items.map(|(user_id, role)| member(app, user_id, role));
    Reply::of(&MembersAnswer {
        items: items.collect::<Result<_, _>>()?,
        limit,
        next_token: page
            .next
            .map(|place| input::next_token(&app.signer, filter, place)),
    })
}

pub(crate) const RESOLVE: Route = Route::post(
    ("ofm", "/ofm/member/resolve"),
    Access::Org(Right::ViewOrg),
    inside!(resolve),
    Described::of::<__path_resolve>(),
)
.errors(&[FIELD_ERRORS], &[])
.changes_nothing();

/// Find a member by e-mail address or id.
#[utoipa::path(post, path = RESOLVE.path, request_body = WhichMember,
    responses((status = 200, description = "The member.", body = crate::http::reply::Good<'static, MemberView>)))]
pub async fn resolve(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: WhichMember = input::json(&call.body)?;
    let org = request.org(app, call)?;
    request.caller(call)?;
    let user_id = member_id(app, request.user_id.as_deref(), request.email.as_deref())?;
    match identity::member(&app.store, org.as_str(), &user_id)? {
        Some(role) => Reply::of(&member(app, user_id, role)?),
        None => Err(Rejection::absent("There is no such member of this org.").into()),
    }
}

/// The id of the user that an owner names, by id or by address. Whether there is such a user is not checked, so that
/// neither the answer nor its timing reveals it.
fn member_id(
    app: &AppState,
    user_id: Option<&str>,
    email: Option<&str>,
) -> Result<String, Refusal> {
    let plain = |id: &&str| {
        (1..=USER_ID_CHARS_MAX).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match (user_id, email) {
        (Some(user_id), None) => Some(user_id)
            .filter(plain)
            .map(str::to_owned)
            .ok_or_else(|| Rejection::field("user_id", "user_id must be the id of a user.").into()),
        (None, Some(email)) => Ok(app.directory.user_id_of(email)?),
        (Some(_), Some(_)) | (None, None) => {
            let message = "Name the user either by id or by e-mail address.";
            Err(Rejection::field("user_id", message).into())
        }
    }
}

fn role_of(text: Option<&str>) -> Result<MemberRole, Rejection> {
    match text {
        None | Some("member") => Ok(MemberRole::Member),
        Some("owner") => Ok(MemberRole::Owner),
        Some(_) => Err(Rejection::field("role", "role must be owner or member.")),
    }
}

/// The id of the user that an operator names, by id or by address.
pub(super) fn user(
    app: &AppState,
    user_id: Option<&str>,
    email: Option<&str>,
    field: &str,
) -> Result<String, Refusal> {
    let found = match (user_id, email) {
        (Some(user_id), None) => {
            let user = identity::user(&app.store, required(Some(user_id), field)?)?;
            (user.version > 0).then_some(user.user_id)
        }
        (None, Some(email)) => {
            let email = crate::domain::user::email(email)?;
            identity::user_by_email(&app.store, &email)?
        }
        (Some(_), Some(_)) | (None, None) => {
            let message = "Name the user either by id or by e-mail address.";
            return Err(Rejection::field(field, message).into());
        }
    };
    found.ok_or_else(|| Rejection::new(ErrorTag::NotFound, "There is no such user.").into())
}

fn member(app: &AppState, user_id: String, role: MemberRole) -> Result<MemberView, Refusal> {
    let user = identity::user(&app.store, &user_id)?;
    Ok(MemberView {
        email: (user.version > 0).then_some(user.email),
        user_id,
        role: role.as_str(),
    })
}

/// The answer that shows an org.
pub(super) fn show(org: &OrgCode, state: &Org) -> Result<Reply, Refusal> {
    Reply::of(&OrgView::new(org.as_str(), state))
}

impl OrgView {
    /// What is shown of an org with this code.
    pub(super) fn new(orgcode: &str, state: &Org) -> Self {
        Self {
            orgcode: orgcode.to_owned(),
            status: state.status.map_or("doomed", |status| status.as_str()),
            owners: state.owners,
            members: state.members,
            created_at: state.created_at.map(|at| at.to_string()),
            status_at: state.status_at.map(|at| at.to_string()),
        }
    }
}
