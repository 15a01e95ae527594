//! `ofm_org_list`, `ofm_org_get`, `uas_user_list` and `ops_vacuum_list`: the orgs, users and vacuums of the server.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::vacuum;
use crate::domain::org::OrgStatus;
use crate::domain::vacuum::VacuumStatus;
use crate::domain::{ErrorTag, OrgCode, Rejection};
use crate::http::call::Call;
use crate::http::input::{self, LimitIn};
use crate::http::ofm::OrgView;
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::http::usm::session;
use crate::projections::StoreError;
use crate::projections::identity::{self, NameFilter, UserStatus};
use crate::projections::ops::{self, OpsPage};

/// Longest beginning of a name that is asked for: that of an e-mail address.
const PREFIX_CHARS_MAX: usize = 254;

/// Which part of a list, and how much of it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PageQuery)]
struct ListQuery {
    /// Only those in this status: of orgs as in `ofm_org_status_set`, of users `active`, `unverified` or `disabled`.
    status: Option<String>,
    /// Only those whose orgcode, or e-mail address, begins with this.
    #[schema(max_length = 254)]
    prefix: Option<String>,
    /// Items a page: 8 by default, 1 to 256.
    #[schema(value_type = Option<u64>)]
    limit: Option<LimitIn>,
    /// The `next_token` of the page before.
    next_token: Option<String>,
}

/// Which org.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OrgQuery)]
struct WhichOrg {
    /// Code of the org, as `ofm_org_list` shows it.
    #[schema(value_type = String, required = true)]
    orgcode: Option<String>,
}

/// A user as lists show one.
#[derive(Serialize)]
struct UserSummary {
    user_id: String,
    email: String,
    /// Whether the address is confirmed: true by default.
    verified: bool,
    disabled: bool,
    /// `active`, `unverified` or `disabled`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    /// Open sessions.
    sessions: usize,
}

/// Which vacuums, and how many at a time.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct VacuumsQuery {
    /// Only those with this status: `pending`, `running`, `completed`, `failed` or `cancelled`.
    status: Option<String>,
    /// Only what is about the org with this code.
    orgcode: Option<String>,
    /// Items a page: 8 by default, 1 to 256.
    #[schema(value_type = Option<u64>)]
    limit: Option<LimitIn>,
    /// The `next_token` of the page before.
    next_token: Option<String>,
}

/// Lists the vacuums, newest first.
#[utoipa::path(post, path = "/invoke/ops_vacuum_list", request_body = VacuumsQuery,
    responses((status = 200, description = "`items`: vacuums, newest first; `next_token` unless it is the last page.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn vacuums(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: VacuumsQuery = input::json(&call.body)?;
    let status = query.status.as_deref();
    let status = status.map(|text| input::status(text, VacuumStatus::ALL, VacuumStatus::as_str));
    let status = status.transpose()?;
    let org = query.orgcode.as_deref().map(OrgCode::parse).transpose()?;
    let org = org.as_ref().map(OrgCode::as_str);
    let what = format!(
        "vacuums {} {}",
        status.map_or("all", VacuumStatus::as_str),
        org.unwrap_or_default()
    );
    page(
        app,
        (query.limit, query.next_token.as_deref(), &what),
        |from, limit| ops::list_vacuums(&app.store, (status, org), from, limit),
        |vacuum| json!(vacuum::view(app, &vacuum)),
    )
}

/// Lists the orgs by code, all or those in a status or whose code begins with a text.
#[utoipa::path(post, path = "/invoke/ofm_org_list", request_body = ListQuery,
    responses((status = 200, description = "`items`: orgs by code; `next_token` unless it is the last page.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn orgs(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: ListQuery = input::json(&call.body)?;
    let status = query.status.as_deref();
    let status = status.map(|text| input::status(text, OrgStatus::ALL, OrgStatus::as_str));
    let status = status.transpose()?;
    let filter = NameFilter {
        // As codes are kept.
        prefix: query.prefix_text()?.to_uppercase(),
        status,
    };
    list(
        app,
        (&query, "orgs"),
        |from, limit| identity::orgs(&app.store, &filter, from, limit),
        |(code, org)| json!(OrgView::new(&code, &org)),
    )
}

/// Shows an org by its code.
#[utoipa::path(post, path = "/invoke/ofm_org_get", request_body = WhichOrg,
    responses((status = 200, description = "The org.", body = crate::http::reply::Good<'static, crate::http::ofm::OrgView>)))]
pub(super) async fn org(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: WhichOrg = input::json(&call.body)?;
    let code = super::org(call, request.orgcode.as_deref())?;
    let org = identity::org(&app.store, code.as_str())?;
    if org.status.is_none() {
        return Err(Rejection::new(ErrorTag::NotFound, "There is no such org.").into());
    }
    Reply::of(&OrgView::new(code.as_str(), &org))
}

/// Lists the users by address, all or those in a status or whose address begins with a text.
#[utoipa::path(post, path = "/invoke/uas_user_list", request_body = ListQuery,
    responses((status = 200, description = "`items`: users by address; `next_token` unless it is the last page.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn users(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: ListQuery = input::json(&call.body)?;
    let status = query.status.as_deref();
    let status = status.map(|text| input::status(text, UserStatus::ALL, UserStatus::as_str));
    let status = status.transpose()?;
    let filter = NameFilter {
        prefix: query.prefix_text()?.to_lowercase(),
        status,
    };
    list(
        app,
        (&query, "users"),
        |from, limit| identity::users(&app.store, &filter, from, limit),
        |(_, user)| {
            json!(UserSummary {
                verified: user.verified,
                disabled: user.disabled,
                status: UserStatus::of(&user).as_str(),
                created_at: user.created_at.map(|at| at.to_string()),
                sessions: session::open_of(app, &user).count(),
                user_id: user.user_id,
                email: user.email,
            })
        },
    )
}

impl ListQuery {
    /// The beginning of the names that are asked for.
    fn prefix_text(&self) -> Result<&str, Rejection> {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        if prefix.chars().count() > PREFIX_CHARS_MAX || prefix.contains('\0') {
            let message = format!("prefix has at most {PREFIX_CHARS_MAX} characters, and no NUL.");
            return Err(Rejection::field("prefix", message));
        }
        Ok(prefix)
    }
}

/// Answers with one page.
fn list<T>(
    app: &AppState,
    (query, what): (&ListQuery, &str),
    page: impl FnOnce(Option<&[u8]>, usize) -> Result<OpsPage<T>, StoreError>,
    view: impl Fn(T) -> Value,
) -> Result<Reply, Refusal> {
    let filters = json!([what, query.status, query.prefix]).to_string();
    let asked = (query.limit, query.next_token.as_deref(), &*filters);
    super::lists::page(app, asked, page, view)
}

/// Answers with one page of what a list with these filters has.
pub(super) fn page<T>(
    app: &AppState,
    (limit, next_token, filters): (Option<LimitIn>, Option<&str>, &str),
    page: impl FnOnce(Option<&[u8]>, usize) -> Result<OpsPage<T>, StoreError>,
    view: impl Fn(T) -> Value,
) -> Result<Reply, Refusal> {
    let limit = limit.unwrap_or_default().0;
    let filter: [u8; 32] = Sha256::digest(filters).into();
    let from = input::cursor(&app.signer, next_token, filter)?;
    let page = page(from.as_deref(), limit)?;
    let items = page.items.into_iter().map(view);
    let mut answer = json!({"items": items.collect::<Vec<_>>(), "limit": limit});
    if let Some(place) = page.next {
        answer["next_token"] = input::next_token(&app.signer, filter, place).into();
    }
    Reply::of(&answer)
}
