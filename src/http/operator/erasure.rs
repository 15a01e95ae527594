//! `uas_user_erase`: what there is of a user is erased for good.

use super::vacuum::{again, reply};
use super::{Code, check_code, keep_out, operator_request, text};
use crate::actors::vacuum::VacuumOrder;
use crate::clock::ordered_uuid;
use crate::domain::check::ID_CHARS_MAX;
use crate::domain::user::email;
use crate::domain::vacuum::{REASON_CHARS_MAX, Scope};
use crate::domain::{Rejection, StreamId};
use crate::http::call::Call;
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::http::{idempotency, input};
use crate::projections::{identity, ops};

operator_request! {
    /// A user to erase.
    pub(super) struct UserErase {
        /// The operators' secret code.
        #[schema(value_type = String, required = true, format = Password)]
        secret_code: Option<Code>,
        /// The user, by e-mail address; or give `user_id`.
        email: Option<String>,
        /// The user, by id; or give `email`.
        user_id: Option<String>,
        #[serde(default)]
        /// Counts, and changes nothing.
        dry_run: bool,
        /// The plan of a dry run: refused if there is other data by now.
        plan_id: Option<String>,
        #[serde(default)]
        /// Also erases what holds keep.
        override_holds: bool,
        /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`.
        idempotency_key: Option<String>,
    }
}

/// Asks for a user to be erased. A user who is being erased already is shown as that.
#[utoipa::path(post, path = "/invoke/uas_user_erase", request_body = UserErase,
    responses((status = 200, description = "The vacuum.", body = crate::http::reply::Good<'static, crate::http::ops::view::VacuumView>)))]
pub(super) async fn erase(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: UserErase = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let reason = text(request.reason.as_deref(), "reason", REASON_CHARS_MAX)?;
    let user_id = match (&request.user_id, &request.email) {
        (Some(user_id), None) => text(Some(user_id), "user_id", ID_CHARS_MAX)?,
        (None, Some(address)) => app.directory.user_id_of(address)?,
        (Some(_), Some(_)) | (None, None) => {
            let message = "Name the user either by id or by e-mail address.";
            return Err(Rejection::field("user_id", message).into());
        }
    };
    let code = request.secret_code.as_ref();
    let operations = &app.operations;
    check_code((app, call), code, "uas_user_erase", &caller).await?;
    let key = request.idempotency_key.as_deref();
    let keyed = idempotency::enter(app, call, key, None).await?;
    if let Some(made) = keyed.made() {
        return again(app, made);
    }
    let scope = Scope::User(user_id.clone());
    let open = ops::vacuums(&app.store)?.open;
    if let Some(open) = open.filter(|open| open.scope == scope && open.dry_run == request.dry_run) {
        return reply(app, &open);
    }
    let user = identity::user(&app.store, &user_id)?;
    let stream = StreamId::user(&user_id);
    // What is left of a user whose erasure failed can be erased all the same.
    if user.version == 0 && app.journal.version(&stream)? == 0 {
        return Err(Rejection::absent("There is no such user.").into());
    }
    let address = request.email.as_deref().map_or(Ok(user.email), email)?;
    keep_out(&address, &caller.remarks)?;
    let command = VacuumOrder::Request {
        vacuum_id: ordered_uuid(app.clock.now()).to_string(),
        scope,
        dry_run: request.dry_run,
        reason,
        plan_id: request.plan_id,
        override_holds: request.override_holds,
    };
    let vacuum = operations.vacuum(command, keyed.sign(caller)).await?;
    reply(app, &vacuum)
}
