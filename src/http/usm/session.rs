//! `/usm/session/...`: signing in, listing sessions, and ending them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::required;
use crate::actors::Caller;
use crate::actors::Refused;
use crate::actors::identity::{OpenSession, session_hash};
use crate::domain::user::{Session, User, UserCommand, label};
use crate::domain::{ErrorTag, Timestamp};
use crate::http::auth::access::Access;
use crate::http::auth::credential;
use crate::http::call::Call;
use crate::http::input;
use crate::http::input::FIELD_ERRORS;
use crate::http::limits::peer;
use crate::http::reply::{Refusal, Reply};
use crate::http::route::{Described, Route, inside};
use crate::http::state::AppState;
use crate::journal::{Remarks, Source};
use crate::projections::identity as known;

/// Declares a request about one's own sessions: its own fields, and those every change accepts.
macro_rules! own_request {
    ($(#[$meta:meta])* pub(crate) struct $name:ident { $($fields:tt)* }) => {
        $(#[$meta])*
        #[derive(Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
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
            /// The caller of a request, with its remarks, checked and noted.
            fn caller(&self, call: &mut Call<'_>, by: &str) -> Result<Caller, Refusal> {
                let remarks = input::remarks(Remarks {
                    actor: self.actor.clone(),
                    reason: self.reason.clone(),
                    reason_code: self.reason_code.clone(),
                    correlation_id: self.correlation_id.clone(),
                })?;
                call.note_remarks(&remarks);
                Ok(Caller {
                    by: by.to_owned(),
                    request_id: call.trace.request_id.clone(),
                    source: Source::Gateway,
                    remarks,
                    idempotency: None,
                })
            }
        }
    };
}

own_request! {
    /// Who signs in.
    pub(crate) struct SignIn {
        /// The e-mail address.
        #[schema(value_type = String, required = true)]
        email: Option<String>,
        /// The passcode.
        #[schema(value_type = String, required = true)]
        passcode: Option<String>,
        /// What to call the session.
        #[schema(max_length = 80)]
        session_label: Option<String>,
    }
}

own_request! {
    /// A session to end.
    pub(crate) struct EndedSession {
        /// The session's guid.
        #[schema(value_type = String, required = true)]
        session_guid: Option<String>,
    }
}

own_request! {
    /// Why all sessions end.
    pub(crate) struct AllSessions {}
}

/// The session that is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichSession {
    /// The session's guid.
    #[schema(value_type = String, required = true)]
    session_guid: Option<String>,
}

/// A request without any fields.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// A new session; the guid is shown this once.
#[derive(Serialize, ToSchema)]
pub struct SessionAnswer {
    /// The secret that proves the session; to be sent as `x-session-guid`.
    session_guid: String,
    /// Whose.
    user_id: String,
    /// Its end, if it is not used.
    #[schema(format = DateTime)]
    expires_at: String,
    /// Use moves the end.
    ttl_refresh_enabled: bool,
}

/// A session that is open.
#[derive(Serialize, ToSchema)]
pub struct ValidAnswer {
    valid: bool,
    /// Whose.
    user_id: String,
    /// Its end, if it is not used; absent for one that has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// Number of sessions that were closed.
#[derive(Serialize, ToSchema)]
pub struct ClosedAnswer {
    /// How many.
    closed: usize,
}

/// An open session, without its guid.
#[derive(Serialize, ToSchema)]
pub struct SessionView {
    /// Names it; also in `stats` of its calls.
    session: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_label: Option<String>,
    #[schema(format = DateTime)]
    opened_at: String,
    /// Its end, if it is not used; absent for one that has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// Whether it is the session of this call.
    current: bool,
}

/// The caller's open sessions.
#[derive(Serialize, ToSchema)]
pub struct SessionsAnswer {
    items: Vec<SessionView>,
}

/// Why signing in takes no idempotency key.
const NO_KEY: &str = "A sign-in has no first answer that could be given again: the session is a secret and is not kept. Send it without Idempotency-Key; a session whose answer was lost ends by itself within an hour.";

pub(crate) const CREATE: Route = Route::post(
    ("usm", "/usm/session/create"),
    Access::Public,
    inside!(create),
    Described::of::<__path_create>(),
)
.errors(
    &[FIELD_ERRORS],
    &[
        ErrorTag::InvalidPasscode,
        ErrorTag::UserNotVerified,
        ErrorTag::NotAuthorized,
        ErrorTag::QuotaExceeded,
    ],
)
.takes_no_key(NO_KEY);

/// Sign in with address and passcode.
#[utoipa::path(post, path = CREATE.path, request_body = SignIn,
    responses((status = 200, description = "The session.", body = crate::http::reply::Good<'static, SessionAnswer>)))]
pub async fn create(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: SignIn = input::json(&call.body)?;
    let email = required(request.email.as_deref(), "email")?;
    let passcode = required(request.passcode.as_deref(), "passcode")?;
    let session_label = label("session_label", request.session_label.as_deref())?;
    let caller = request.caller(call, "nobody")?;
    app.rate_limits.sign_in(call.head.peer)?;
    let from = (peer(call.head.peer), &caller);
    let signed_in = app.directory.sign_in(email, passcode, session_label, from);
    let signed_in = concealed(app, call, signed_in.await).await?;
    let fingerprint =
        credential::fingerprint("sf", &session_hash(&app.signer, &signed_in.session_guid));
    call.trace.session_fingerprint = Some(fingerprint);
    Reply::of(&SessionAnswer {
        session_guid: signed_in.session_guid,
        user_id: signed_in.user_id,
        expires_at: signed_in.expires_at.to_string(),
        ttl_refresh_enabled: true,
    })
}

/// An answer about a passcode. A refusal is answered after a whole number of spans, so that its timing does not reveal
/// whether there is such a user.
pub(in crate::http) async fn concealed<T>(
    app: &AppState,
    call: &Call<'_>,
    answer: Result<T, Refused>,
) -> Result<T, Refusal> {
    if answer.is_err() {
        app.concealment.wait(call.trace.elapsed()).await;
    }
    Ok(answer?)
}

pub(crate) const VALIDATE: Route = Route::post(
    ("usm", "/usm/session/validate"),
    Access::Public,
    inside!(validate),
    Described::of::<__path_validate>(),
)
.errors(&[FIELD_ERRORS], &[ErrorTag::InvalidSession])
.changes_nothing();

/// Check whether a session is open. Counts as use.
#[utoipa::path(post, path = VALIDATE.path, request_body = WhichSession,
    responses((status = 200, description = "It is.", body = crate::http::reply::Good<'static, ValidAnswer>)))]
pub async fn validate(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: WhichSession = input::json(&call.body)?;
    let found = open(app, request.session_guid.as_deref())?;
    Reply::of(&ValidAnswer {
        valid: true,
        user_id: found.session.user_id.clone(),
        expires_at: found.expires_at.map(|at| at.to_string()),
    })
}

pub(crate) const CLOSE: Route = Route::post(
    ("usm", "/usm/session/close"),
    Access::Public,
    inside!(close),
    Described::of::<__path_close>(),
)
.errors(&[FIELD_ERRORS], &[ErrorTag::InvalidSession]);

/// End a session of the caller.
#[utoipa::path(post, path = CLOSE.path, request_body = EndedSession,
    responses((status = 200, description = "It is over.", body = crate::http::reply::Good<'static, ClosedAnswer>)))]
pub async fn close(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: EndedSession = input::json(&call.body)?;
    let found = open(app, request.session_guid.as_deref())?;
    let user_id = found.session.user_id.clone();
    let caller = request.caller(call, &user_id)?;
    let close = UserCommand::CloseSession {
        user_id,
        session_hash: found.hash,
    };
    app.directory.user(close, &caller).await?;
    Reply::of(&ClosedAnswer { closed: 1 })
}

pub(crate) const LIST: Route = Route::post(
    ("usm", "/usm/session/list"),
    Access::UserSession,
    inside!(list),
    Described::of::<__path_list>(),
)
.errors(&[FIELD_ERRORS], &[])
.changes_nothing();

/// List your open sessions.
#[utoipa::path(post, path = LIST.path, request_body = Nothing,
    responses((status = 200, description = "All of them.", body = crate::http::reply::Good<'static, SessionsAnswer>)))]
pub async fn list(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let Nothing {} = input::json(&call.body)?;
    let principal = call.caller()?;
    let user = known::user(&app.store, &principal.user_id)?;
    let view = |(hash, session, expires_at): OwnSession<'_>| SessionView {
        session: format!("sh_{}", &hash[..16.min(hash.len())]),
        session_label: session.label.clone(),
        opened_at: session.opened_at.to_string(),
        expires_at: expires_at.map(|at| at.to_string()),
        current: principal.session_hash.as_deref() == Some(hash),
    };
    Reply::of(&SessionsAnswer {
        items: open_of(app, &user).map(view).collect(),
    })
}

pub(crate) const LOGOUT_EVERYWHERE: Route = Route::post(
    ("usm", "/usm/session/logout_everywhere"),
    Access::UserSession,
    inside!(logout_everywhere),
    Described::of::<__path_logout_everywhere>(),
)
.errors(&[FIELD_ERRORS], &[]);

/// End all your sessions, this one too.
#[utoipa::path(post, path = LOGOUT_EVERYWHERE.path, request_body = AllSessions,
    responses((status = 200, description = "They are over.", body = crate::http::reply::Good<'static, ClosedAnswer>)))]
pub async fn logout_everywhere(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: AllSessions = input::json(&call.body)?;
    let user_id = call.caller()?.user_id.clone();
    let caller = request.caller(call, &user_id)?;
    let user = known::user(&app.store, &user_id)?;
    let closed = open_of(app, &user).count();
    let close = UserCommand::CloseSessions { user_id };
    app.directory.user(close, &caller).await?;
    Reply::of(&ClosedAnswer { closed })
}

/// An open session: its hash, itself, and its end as use has moved it.
pub(in crate::http) type OwnSession<'a> = (&'a str, &'a Session, Option<Timestamp>);

/// The sessions of a user that are open: those past their end are kept until the user's next one is opened.
pub(in crate::http) fn open_of<'a>(
    app: &AppState,
    user: &'a User,
) -> impl Iterator<Item = OwnSession<'a>> {
    let now = app.clock.now();
    let counts = |session: &Session| app.authenticator.development || !session.development;
    let sessions = user
        .sessions
        .iter()
        .filter(move |(_, session)| counts(session));
    sessions.filter_map(move |(hash, session)| {
        let end = app.directory.end_of(hash, session);
        let open = end.is_none_or(|end| end > now);
        open.then_some((hash.as_str(), session, end))
    })
}

/// The open session of a guid.
fn open(app: &AppState, guid: Option<&str>) -> Result<OpenSession, Refusal> {
    let guid = required(guid, "session_guid")?;
    let found = app.directory.session(guid)?;
    let found = found.filter(|found| !found.session.development || app.authenticator.development);
    match found {
        Some(found) => Ok(found),
        None => Err(app.authenticator.refused_session(guid)?.into()),
    }
}
