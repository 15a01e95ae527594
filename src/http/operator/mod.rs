//! The operators' listener: every call needs the operator token; never reachable through the gateway.

mod audit;
mod backup;
mod clock;
mod code;
mod dispatch;
mod documents;
mod entries;
mod erasure;
mod hold;
mod identity;
mod import;
mod jobs;
mod journal;
mod listener;
mod lists;
mod maintenance;
mod metrics;
pub mod openapi;
mod people;
mod quota;
mod signing_key;
mod token;
mod trace;
mod upkeep;
mod utl;
mod vacuum;
mod windows;

use serde::{Deserialize, Deserializer};

use super::call::Call;
use super::reply::{Refusal, Reply};
use super::route::Answering;
use super::state::AppState;
use super::{input, limits};
use crate::actors::Caller;
use crate::actors::act::OperatorAct;
use crate::domain::operator_token::OPERATOR;
use crate::domain::operator_token::TokenScope;
use crate::domain::{ErrorTag, OrgCode, Rejection};
use crate::journal::{Remarks, Source};
use crate::projections::identity as users;

pub(super) use dispatch::carry_out;
pub use listener::configure;

/// Purpose of the keyed hash under which it is known who gave a secret code and where.
const ADDRESS_HASH: &str = "operator-address";
/// Bytes kept of that hash.
const ADDRESS_HASH_BYTES: usize = 16;
/// The path prefix of operator functions.
const INVOKE: &str = "/invoke/";

/// The handler of an operator function.
type Function = for<'a> fn(&'a AppState, &'a mut Call<'_>) -> Answering<'a>;

/// Boxes a function's future.
macro_rules! function {
    ($name:literal, $scope:ident, $handler:path) => {
        ($name, TokenScope::$scope, |app, call| {
            Box::pin($handler(app, call))
        })
    };
}

/// A function's name with underscores, the scope that a token needs for it, and its handler.
type Named = (&'static str, TokenScope, Function);

/// Every function; dashes in names are taken too.
const FUNCTIONS: &[Named] = &[
    function!("ops_token_create", All, token::create),
    function!("ops_token_list", Read, token::list),
    function!("ops_token_rotate", All, token::rotate),
    function!("ops_token_revoke", All, token::revoke),
    function!("ops_jwt_revoke", Tenants, token::revoke_jwt),
    function!("ops_jwt_list", Read, token::list_jwts),
    function!("ops_signing_key_rotate", All, signing_key::rotate),
    function!("ops_signing_key_list", Read, signing_key::list),
    function!("ops_secret_set", All, code::set),
    function!("ops_secret_status", Read, code::status),
    function!("ops_secret_lock_lift", Tenants, code::lift_locks),
    function!("ops_maintenance_schedule", Tenants, maintenance::schedule),
    function!("ops_maintenance_start", Tenants, maintenance::start),
    function!("ops_maintenance_update", Tenants, maintenance::update),
    function!("ops_maintenance_end", Tenants, maintenance::end),
    function!("ops_maintenance_cancel", Tenants, maintenance::cancel),
    function!("ops_vacuum_all", Destroy, vacuum::all),
    function!("ops_vacuum_org", Destroy, vacuum::org),
    function!("ops_vacuum_cancel", Destroy, vacuum::cancel),
    function!("ops_vacuum_status", Read, vacuum::status),
    function!("ops_vacuum_list", Read, lists::vacuums),
    function!("ops_maintenance_list", Read, windows::list),
    function!("ops_maintenance_get", Read, windows::get),
    function!("journal_read", Read, journal::read),
    function!("metrics_recent", Read, metrics::recent),
    function!("ops_audit", Read, audit::list),
    function!("ops_clock_status", Read, clock::status),
    function!("ops_clock_confirm", Destroy, clock::confirm),
    function!("ops_backup_begin", Read, backup::begin),
    function!("ops_backup_renew", Read, backup::renew),
    function!("ops_backup_end", Read, backup::end),
    function!("ops_trace", Read, trace::find),
    function!("mrs_reconcile", Tenants, upkeep::reconcile),
    function!("mrs_tag_scrub", Tenants, upkeep::tag_scrub),
    function!("mrs_cleanup", Destroy, upkeep::cleanup),
    function!("jobs_list", Read, jobs::list),
    function!("jobs_show", Read, jobs::show),
    function!("jobs_run", Tenants, jobs::run),
    function!("jobs_pause", Tenants, jobs::pause),
    function!("jobs_resume", Tenants, jobs::resume),
    function!("uas_user_create", Tenants, identity::create_user),
    function!("uas_user_get", Read, people::get),
    function!("uas_user_list", Read, lists::users),
    function!("uas_user_disable", Tenants, people::disable),
    function!("uas_user_enable", Tenants, people::enable),
    function!("uas_user_verify", Tenants, people::verify),
    function!("uas_passcode_reset", Tenants, people::reset_passcode),
    function!("uas_lock_lift", Tenants, people::lift_lock),
    function!("usm_sessions_close", Tenants, people::close_sessions),
    function!("uas_user_erase", Destroy, erasure::erase),
    function!("ofm_org_create", Tenants, identity::create_org),
    function!("ofm_org_get", Read, lists::org),
    function!("ofm_org_list", Read, lists::orgs),
    function!("ofm_org_status_set", Tenants, identity::set_status),
    function!("ofm_owner_add", Tenants, identity::add_owner),
    function!("ofm_usage", Read, quota::show),
    function!("ofm_quota_set", Tenants, quota::set),
    function!("utl_offboarding_list", Read, utl::list),
    function!("utl_offboarding_approve", Destroy, utl::approve),
    function!("utl_offboarding_cancel", Destroy, utl::cancel),
    function!("utl_offboarding_status", Read, utl::status),
    function!("utl_export", Tenants, utl::export),
    function!("utl_export_list", Read, utl::export_list),
    function!("utl_export_file", Read, utl::export_file),
    function!("utl_import_begin", Tenants, import::begin),
    function!("utl_import_objects", Tenants, import::objects),
    function!("utl_import_events", Tenants, import::events),
    function!("utl_import_end", Tenants, import::end),
    function!("utl_import_cancel", Tenants, import::cancel),
    function!("mrs_hold_set", Tenants, hold::set),
    function!("mrs_hold_release", Tenants, hold::release),
    function!("mrs_hold_list", Read, hold::list),
];

/// Declares an operator function's input: its own fields, and those every change accepts.
macro_rules! operator_request {
    ($(#[$meta:meta])* pub(super) struct $name:ident { $($fields:tt)* }) => {
        #[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        $(#[$meta])*
        pub(super) struct $name {
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
            $($fields)*
        }

        impl $name {
            /// The caller, with its remarks checked and noted.
            fn caller(&self, call: &mut crate::http::call::Call<'_>) -> Result<crate::actors::Caller, crate::domain::Rejection> {
                crate::http::operator::caller(call, crate::journal::Remarks {
                    actor: self.actor.clone(),
                    reason: self.reason.clone(),
                    reason_code: self.reason_code.clone(),
                    correlation_id: self.correlation_id.clone(),
                })
            }
        }
    };
}
use operator_request;

/// A secret code as it came in. Shows nothing of itself.
pub(super) struct Code(String);

impl Code {
    fn text(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code(..)")
    }
}

impl<'de> Deserialize<'de> for Code {
    /// Whatever is wrong, the error says nothing of what was sent.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer) {
            Ok(serde_json::Value::String(text)) => Ok(Self(text)),
            Ok(_) | Err(_) => Err(serde::de::Error::custom("a code is a string")),
        }
    }
}

/// The caller, with its remarks checked and noted.
fn caller(call: &mut Call<'_>, remarks: Remarks) -> Result<Caller, Rejection> {
    let remarks = input::remarks(remarks)?;
    call.note_remarks(&remarks);
    Ok(Caller {
        by: call
            .operator
            .as_ref()
            .map_or_else(|| OPERATOR.to_owned(), |operator| operator.by.clone()),
        request_id: call.trace.request_id.clone(),
        source: Source::Operator,
        remarks,
        idempotency: None,
    })
}

/// Journals that an operator requests a change, which must be executed only after it: so the audit has every one.
/// Calls whose own events record the operator need none. Remarks must not name by address a user that it is about: the
/// erasure of that user does not reach them.
async fn ask(
    app: &AppState,
    call: &mut Call<'_>,
    caller: &Caller,
    (subject, facts): (&str, &[(&str, &str)]),
) -> Result<(), Refusal> {
    for about in facts.iter().map(|(_, value)| *value).chain([subject]) {
        // None of what is no user.
        let address = users::user(&app.store, about)?.email;
        keep_out(&address, &caller.remarks)?;
    }
    let facts = facts.iter();
    let facts = facts.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let act = OperatorAct {
        function: call.trace.route,
        subject: Some(subject.to_owned()),
        facts: facts.collect(),
    };
    call.act = Some(Box::new(app.operations.ask_act(act, caller).await?));
    Ok(())
}

/// Refuses remarks that name the user by address: they are journaled with the operator's act or order, which nothing erases.
fn keep_out(address: &str, remarks: &Remarks) -> Result<(), Rejection> {
    let all = [
        ("actor", &remarks.actor),
        ("reason", &remarks.reason),
        ("reason_code", &remarks.reason_code),
        ("correlation_id", &remarks.correlation_id),
    ];
    let names = |text: &String| !address.is_empty() && text.to_lowercase().contains(address);
    match all
        .into_iter()
        .find(|(_, text)| text.as_ref().is_some_and(names))
    {
        None => Ok(()),
        Some((field, _)) => Err(Rejection::field(
            field,
            format!(
                "{field} must not hold the user's e-mail address: it is kept for ever, in the audit."
            ),
        )),
    }
}

/// Journals that what was requested was not executed. When even that fails, the answer says so.
async fn note_refused(
    app: &AppState,
    call: &Call<'_>,
    answer: Result<Reply, Refusal>,
) -> Result<Reply, Refusal> {
    if let (Some(act), Err(refusal)) = (&call.act, &answer) {
        let tag = match refusal {
            Refusal::Rejected { rejection, .. } => rejection.tag,
            Refusal::Failed(_) => ErrorTag::InternalError,
        };
        app.operations.refuse_act(act, tag.as_str()).await?;
    }
    answer
}

/// The org that a call is about, noted for its answer and its log line.
fn org(call: &mut Call<'_>, text: Option<&str>) -> Result<OrgCode, Rejection> {
    let missing = || Rejection::new(ErrorTag::InvalidOrgcode, "orgcode is missing.");
    let org = OrgCode::parse(text.ok_or_else(missing)?)?;
    call.note_org(&org);
    Ok(org)
}

/// Checks the secret code of a call.
async fn check_code(
    (app, call): (&AppState, &Call<'_>),
    code: Option<&Code>,
    function: &str,
    caller: &Caller,
) -> Result<(), Refusal> {
    let asked = (function, &*address_hash(app, call, &caller.by));
    let code = code.map(Code::text);
    Ok(app.operations.check_code(code, asked, caller).await?)
}

/// The form in which it is kept which operator gave a right or wrong secret code, and from which address. All connections
/// to a Unix socket are one.
fn address_hash(app: &AppState, call: &Call<'_>, by: &str) -> String {
    let address = limits::peer(call.head.peer).0;
    let address = address.map(|address| address.to_string());
    let address = format!("{} {by}", address.unwrap_or_default());
    let hash = app.signer.keyed_hash(ADDRESS_HASH, address.as_bytes());
    hex::encode(&hash[..ADDRESS_HASH_BYTES])
}

/// A text that must be there and have 1 to `chars_max` characters.
fn text(field: Option<&str>, name: &str, chars_max: usize) -> Result<String, Rejection> {
    let text = field.map(str::trim).filter(|text| !text.is_empty());
    let Some(text) = text else {
        return Err(Rejection::field(name, format!("{name} is missing.")));
    };
    if text.chars().count() > chars_max {
        let message = format!("{name} may have at most {chars_max} characters.");
        return Err(Rejection::field(name, message));
    }
    Ok(text.to_owned())
}

/// The same for a text that may be absent.
fn optional_text(
    field: Option<&str>,
    name: &str,
    chars_max: usize,
) -> Result<Option<String>, Rejection> {
    field
        .map(|field| text(Some(field), name, chars_max))
        .transpose()
}
