//! `ops_vacuum_all`, `org`, `cancel` and `status`.

use serde::Deserialize;

use super::{Code, check_code, operator_request, text};
use crate::actors::Caller;
use crate::actors::first_answers::Made;
use crate::actors::vacuum::{VacuumOrder, plan_id};
use crate::clock::ordered_uuid;
use crate::domain::check::ID_CHARS_MAX;
use crate::domain::vacuum::{
    Amount, CONFIRMATION_PHRASE, REASON_CHARS_MAX, Scope, Vacuum, VacuumStatus,
};
use crate::domain::{ErrorTag, OrgCode, Rejection};
use crate::http::call::Call;
use crate::http::ops::view::{ProgressView, VacuumView};
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::http::{idempotency, input};
use crate::projections::{identity, ops};

operator_request! {
    /// Everything to erase.
    pub(super) struct VacuumAll {
        /// The operators' secret code.
        #[schema(value_type = String, required = true, format = Password)]
        secret_code: Option<Code>,
        /// Exactly the phrase that the refusal names.
        #[schema(value_type = String, required = true)]
        confirmation_phrase: Option<String>,
        /// Counts, and changes nothing.
        #[serde(default)]
        dry_run: bool,
        /// The plan of a dry run: refused if there is other data by now.
        plan_id: Option<String>,
        /// Also erases what holds keep.
        #[serde(default)]
        override_holds: bool,
        /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`.
        idempotency_key: Option<String>,
    }
}

operator_request! {
    /// An org to erase.
    pub(super) struct VacuumOrg {
        /// The operators' secret code.
        #[schema(value_type = String, required = true, format = Password)]
        secret_code: Option<Code>,
        /// Code of the org, as `ofm_org_list` shows it.
        #[schema(value_type = String, required = true)]
        orgcode: Option<String>,
        /// Counts, and changes nothing.
        #[serde(default)]
        dry_run: bool,
        /// The plan of a dry run: refused if there is other data by now.
        plan_id: Option<String>,
        /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`.
        idempotency_key: Option<String>,
    }
}

operator_request! {
    /// A vacuum to cancel.
    pub(super) struct VacuumCancel {
        /// The operators' secret code.
        #[schema(value_type = String, required = true, format = Password)]
        secret_code: Option<Code>,
        /// Id of the vacuum, as `ops_vacuum_list` shows it.
        #[schema(value_type = String, required = true)]
        vacuum_id: Option<String>,
    }
}

/// The vacuum that is returned.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct VacuumQuery {
    /// Id of the vacuum, as `ops_vacuum_list` shows it.
    vacuum_id: Option<String>,
    /// Code of an org: its newest vacuum.
    orgcode: Option<String>,
}

/// Asks for everything to be erased.
#[utoipa::path(post, path = "/invoke/ops_vacuum_all", request_body = VacuumAll,
    responses((status = 200, description = "The vacuum.", body = crate::http::reply::Good<'static, crate::http::ops::view::VacuumView>)))]
pub(super) async fn all(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: VacuumAll = input::json(&call.body)?;
    let caller = request.caller(call)?;
    if request.confirmation_phrase.as_deref() != Some(CONFIRMATION_PHRASE) {
        return Err(Rejection::new(
            ErrorTag::ConfirmationPhraseMismatch,
            format!("confirmation_phrase must be exactly \"{CONFIRMATION_PHRASE}\"."),
        )
        .into());
    }
    let reason = text(request.reason.as_deref(), "reason", REASON_CHARS_MAX)?;
    let asked = Asked {
        dry_run: request.dry_run,
        reason,
        plan_id: request.plan_id,
        override_holds: request.override_holds,
    };
    let command = command(app, Scope::All, asked);
    let code = request.secret_code.as_ref();
    check_code((app, call), code, "ops_vacuum_all", &caller).await?;
    let key = request.idempotency_key.as_deref();
    let keyed = idempotency::enter(app, call, key, None).await?;
    if let Some(made) = keyed.made() {
        return again(app, made);
    }
    let vacuum = app.operations.vacuum(command, keyed.sign(caller)).await?;
    reply(app, &vacuum)
}

/// Asks for an org to be erased.
#[utoipa::path(post, path = "/invoke/ops_vacuum_org", request_body = VacuumOrg,
    responses((status = 200, description = "The vacuum.", body = crate::http::reply::Good<'static, crate::http::ops::view::VacuumView>)))]
pub(super) async fn org(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: VacuumOrg = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let org = super::org(call, request.orgcode.as_deref())?;
    let reason = text(request.reason.as_deref(), "reason", REASON_CHARS_MAX)?;
    let scope = Scope::Org(org.clone());
    let asked = Asked {
        dry_run: request.dry_run,
        reason,
        plan_id: request.plan_id,
        override_holds: false,
    };
    let command = command(app, scope.clone(), asked);
    let function = "ops_vacuum_org";
    let code = request.secret_code.as_ref();
    check_code((app, call), code, function, &caller).await?;
    let key = request.idempotency_key.as_deref();
    let keyed = idempotency::enter(app, call, key, None).await?;
    if let Some(made) = keyed.made() {
        return again(app, made);
    }
    if identity::org_status(&app.store, org.as_str())?.is_none() {
        // What is left of an org whose vacuum failed can be erased all the same.
        let survey = app.operations.survey(&scope).await?;
        if survey
            .services
            .iter()
            .all(|service| service.amount == Amount::default())
        {
            return Err(Rejection::new(ErrorTag::NotFound, "There is no such org.").into());
        }
    }
    let vacuum = app.operations.vacuum(command, keyed.sign(caller)).await?;
    reply(app, &vacuum)
}

/// Calls a pending vacuum off.
#[utoipa::path(post, path = "/invoke/ops_vacuum_cancel", request_body = VacuumCancel,
    responses((status = 200, description = "The vacuum.", body = crate::http::reply::Good<'static, crate::http::ops::view::VacuumView>)))]
pub(super) async fn cancel(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: VacuumCancel = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let command = VacuumOrder::Cancel {
        vacuum_id: text(request.vacuum_id.as_deref(), "vacuum_id", ID_CHARS_MAX)?,
    };
    execute(
        (app, call),
        request.secret_code.as_ref(),
        "ops_vacuum_cancel",
        command,
        caller,
    )
    .await
}

/// Shows a vacuum: the named one, else the one that is not over, else the last that was. With an org only one of that.
#[utoipa::path(post, path = "/invoke/ops_vacuum_status", request_body = VacuumQuery,
    responses((status = 200, description = "The vacuum.", body = crate::http::reply::Good<'static, crate::http::ops::view::VacuumView>)))]
pub(super) async fn status(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: VacuumQuery = input::json(&call.body)?;
    let org = query.orgcode.as_deref().map(OrgCode::parse).transpose()?;
    let vacuum = match (&query.vacuum_id, &org) {
        (Some(id), _) => ops::vacuum(&app.store, id)?,
        (None, Some(org)) => ops::vacuum_of(&app.store, org.as_str())?,
        (None, None) => {
            let vacuums = ops::vacuums(&app.store)?;
            vacuums.open.or(vacuums.last)
        }
    };
    let scope = org.map(Scope::Org);
    match vacuum.filter(|vacuum| scope.as_ref().is_none_or(|scope| vacuum.scope == *scope)) {
        Some(vacuum) => reply(app, &vacuum),
        None => Err(Rejection::new(ErrorTag::NotFound, "There is no such vacuum.").into()),
    }
}

/// The options of a vacuum to request.
struct Asked {
    dry_run: bool,
    reason: String,
    plan_id: Option<String>,
    override_holds: bool,
}

fn command(app: &AppState, scope: Scope, asked: Asked) -> VacuumOrder {
    VacuumOrder::Request {
        vacuum_id: ordered_uuid(app.clock.now()).to_string(),
        scope,
        dry_run: asked.dry_run,
        reason: asked.reason,
        plan_id: asked.plan_id,
        override_holds: asked.override_holds,
    }
}

async fn execute(
    (app, call): (&AppState, &Call<'_>),
    code: Option<&Code>,
    function: &str,
    command: VacuumOrder,
    caller: Caller,
) -> Result<Reply, Refusal> {
    let operations = &app.operations;
    check_code((app, call), code, function, &caller).await?;
    reply(app, &operations.vacuum(command, caller).await?)
}

/// The first answer to a request that asked for a vacuum.
pub(super) fn again(app: &AppState, made: &Made) -> Result<Reply, Refusal> {
    Ok(reply(app, &app.first_answers.vacuum(made)?)?.again())
}

pub(super) fn reply(app: &AppState, vacuum: &Vacuum) -> Result<Reply, Refusal> {
    Ok(Reply::of(&view(app, vacuum))?.at(vacuum.revision))
}

/// A vacuum as operators see it, with its progress if it is running.
pub(super) fn view(app: &AppState, vacuum: &Vacuum) -> VacuumView {
    let counted = vacuum.dry_run && vacuum.status == VacuumStatus::Completed;
    let plan = if counted {
        Some(plan_id(&vacuum.scope, &vacuum.services))
    } else {
        vacuum.plan_id.clone()
    };
    let running = vacuum.status == VacuumStatus::Running;
    let progress = app.operations.progress().now().filter(|_| running);
    let progress = progress.map(|(step, done, total)| ProgressView {
        step: step.as_str(),
        done,
        total,
    });
    VacuumView::new(vacuum, plan, progress)
}
