//! `ops_maintenance_schedule`, `start`, `update`, `end` and `cancel`.

use super::{Code, check_code, operator_request, optional_text, text};
use crate::actors::Caller;
use crate::clock::ordered_uuid;
use crate::domain::check::ID_CHARS_MAX;
use crate::domain::maintenance::{MaintenanceCommand, TEXT_CHARS_MAX, Window};
use crate::domain::{Rejection, Timestamp};
use crate::http::call::Call;
use crate::http::ops::view::WindowView;
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;
use crate::http::{idempotency, input};
use crate::projections::ops;

operator_request! {
    /// A window to schedule.
    #[schema(as = MaintenanceSchedule)]
    pub(super) struct Schedule {
        /// The operators' secret code.
        #[schema(value_type = String, required = true, format = Password)]
        secret_code: Option<Code>,
        /// What tenants read of it.
        #[schema(value_type = String, required = true)]
        description: Option<String>,
        /// Seconds that it is estimated to take.
        #[schema(value_type = u64, required = true)]
        duration: Option<u64>,
        /// RFC 3339: when it begins.
        #[schema(value_type = String, required = true)]
        start: Option<String>,
        /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`.
        idempotency_key: Option<String>,
    }
}

operator_request! {
    /// A window to start or cancel.
    #[schema(as = MaintenanceNamed)]
    pub(super) struct Named {
        /// The operators' secret code.
        #[schema(value_type = String, required = true, format = Password)]
        secret_code: Option<Code>,
        /// Id of the window, as `ops_maintenance_list` shows it.
        #[schema(value_type = String, required = true)]
        maintenance_id: Option<String>,
    }
}

operator_request! {
    /// What to change of a window.
    #[schema(as = MaintenanceUpdate)]
    pub(super) struct Update {
        /// The operators' secret code.
        #[schema(value_type = String, required = true, format = Password)]
        secret_code: Option<Code>,
        /// Id of the window, as `ops_maintenance_list` shows it.
        maintenance_id: Option<String>,
        /// An update for tenants.
        text: Option<String>,
        /// What tenants read of it.
        description: Option<String>,
        /// Seconds that it is estimated to take.
        duration: Option<u64>,
    }
}

operator_request! {
    /// A window to end.
    #[schema(as = MaintenanceEnd)]
    pub(super) struct End {
        /// The operators' secret code.
        #[schema(value_type = String, required = true, format = Password)]
        secret_code: Option<Code>,
        /// Id of the window, as `ops_maintenance_list` shows it.
        maintenance_id: Option<String>,
        /// What tenants read of its end.
        end_message: Option<String>,
    }
}

/// Schedules one maintenance window.
#[utoipa::path(post, path = "/invoke/ops_maintenance_schedule", request_body = Schedule,
    responses((status = 200, description = "The window.", body = crate::http::reply::Good<'static, crate::http::ops::view::WindowView>)))]
pub(super) async fn schedule(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Schedule = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let missing = || Rejection::field("duration", "duration is missing: whole seconds.");
    let command = MaintenanceCommand::Schedule {
        maintenance_id: ordered_uuid(app.clock.now()).to_string(),
        description: text(
            request.description.as_deref(),
            "description",
            TEXT_CHARS_MAX,
        )?,
        duration_seconds: request.duration.ok_or_else(missing)?,
        start: start_time(request.start.as_deref())?,
    };
    command.check()?;
    let code = request.secret_code.as_ref();
    check_code((app, call), code, "ops_maintenance_schedule", &caller).await?;
    let key = request.idempotency_key.as_deref();
    let keyed = idempotency::enter(app, call, key, None).await?;
    if let Some(made) = keyed.made() {
        // What it waits for may be over meanwhile.
        let window = app.first_answers.window(made)?;
        return Ok(Reply::of(&WindowView::from(&window))?.again());
    }
    let operations = &app.operations;
    if let Some(window) = operations.scheduled_already(&command)? {
        return among(app, &window);
    }
    among(
        app,
        &operations.maintain(command, keyed.sign(caller)).await?,
    )
}

/// Starts a window by hand.
#[utoipa::path(post, path = "/invoke/ops_maintenance_start", request_body = Named,
    responses((status = 200, description = "The window.", body = crate::http::reply::Good<'static, crate::http::ops::view::WindowView>)))]
pub(super) async fn start(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Named = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let command = MaintenanceCommand::Start {
        maintenance_id: id(request.maintenance_id.as_deref())?,
    };
    execute(
        (app, call),
        request.secret_code.as_ref(),
        "ops_maintenance_start",
        command,
        caller,
    )
    .await
}

/// Cancels a window that has not started.
#[utoipa::path(post, path = "/invoke/ops_maintenance_cancel", request_body = Named,
    responses((status = 200, description = "The window.", body = crate::http::reply::Good<'static, crate::http::ops::view::WindowView>)))]
pub(super) async fn cancel(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Named = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let command = MaintenanceCommand::Cancel {
        maintenance_id: id(request.maintenance_id.as_deref())?,
    };
    execute(
        (app, call),
        request.secret_code.as_ref(),
        "ops_maintenance_cancel",
        command,
        caller,
    )
    .await
}

/// Changes a window's texts or times, or adds a note.
#[utoipa::path(post, path = "/invoke/ops_maintenance_update", request_body = Update,
    responses((status = 200, description = "The window.", body = crate::http::reply::Good<'static, crate::http::ops::view::WindowView>)))]
pub(super) async fn update(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Update = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let told = optional_text(request.text.as_deref(), "text", TEXT_CHARS_MAX)?;
    let description = optional_text(
        request.description.as_deref(),
        "description",
        TEXT_CHARS_MAX,
    )?;
    let command = MaintenanceCommand::Update {
        maintenance_id: optional_id(request.maintenance_id.as_deref())?,
        text: told,
        description,
        duration_seconds: request.duration,
    };
    execute(
        (app, call),
        request.secret_code.as_ref(),
        "ops_maintenance_update",
        command,
        caller,
    )
    .await
}

/// Ends the active window.
#[utoipa::path(post, path = "/invoke/ops_maintenance_end", request_body = End,
    responses((status = 200, description = "The window.", body = crate::http::reply::Good<'static, crate::http::ops::view::WindowView>)))]
pub(super) async fn end(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: End = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let message = optional_text(
        request.end_message.as_deref(),
        "end_message",
        TEXT_CHARS_MAX,
    )?;
    let command = MaintenanceCommand::End {
        maintenance_id: optional_id(request.maintenance_id.as_deref())?,
        message,
    };
    execute(
        (app, call),
        request.secret_code.as_ref(),
        "ops_maintenance_end",
        command,
        caller,
    )
    .await
}

async fn execute(
    (app, call): (&AppState, &Call<'_>),
    code: Option<&Code>,
    function: &str,
    command: MaintenanceCommand,
    caller: Caller,
) -> Result<Reply, Refusal> {
    let operations = &app.operations;
    command.check()?;
    check_code((app, call), code, function, &caller).await?;
    let window = operations.maintain(command, caller).await?;
    among(app, &window)
}

/// The answer that shows a window, and what its change means for the others.
fn among(app: &AppState, window: &Window) -> Result<Reply, Refusal> {
    let view = WindowView::among(window, &ops::windows(&app.store)?, app.clock.now());
    Ok(Reply::of(&view)?.at(window.revision))
}

fn start_time(field: Option<&str>) -> Result<Timestamp, Rejection> {
    input::time(field.unwrap_or_default(), "start")
}

fn id(field: Option<&str>) -> Result<String, Rejection> {
    text(field, "maintenance_id", ID_CHARS_MAX)
}

fn optional_id(field: Option<&str>) -> Result<Option<String>, Rejection> {
    optional_text(field, "maintenance_id", ID_CHARS_MAX)
}
