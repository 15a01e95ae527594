//! The tools of operators.

use serde_json::{Value, json};

use super::fields::{LIMIT, NEXT_TOKEN, PLAN_ID, text, time_of};
use super::tenants::{WINDOW_FIELDS, named, service};
use super::{Does, Field, Named, Needs, Spec};
use crate::domain::operator_token::TokenScope;
use crate::mcp::audience::Surface;
use crate::mcp::operators::ITEMS_DEFAULT;

const READ: Needs = Needs::Scopes(&[TokenScope::Read]);
const TENANTS: Needs = Needs::Scopes(&[TokenScope::Tenants]);
const DESTROY: Needs = Needs::Scopes(&[TokenScope::Destroy]);
/// They read what they are about to change.
const READ_AND_TENANTS: Needs = Needs::Scopes(&[TokenScope::Read, TokenScope::Tenants]);
const READ_AND_DESTROY: Needs = Needs::Scopes(&[TokenScope::Read, TokenScope::Destroy]);

fn id() -> Value {
    json!({"type": "string", "maxLength": 64})
}

fn words() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 256})
}

fn items() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": ITEMS_DEFAULT})
}

fn position() -> Value {
    json!({"type": "integer", "minimum": 1})
}

fn seconds() -> Value {
    json!({"type": "integer", "minimum": 1})
}

fn order() -> Value {
    json!({"type": "string", "enum": ["run", "pause", "resume"]})
}

fn transition() -> Value {
    json!({"type": "string", "enum": ["start", "end", "cancel"]})
}

const ORGCODE: Field = Field::own("orgcode", text);
const CONTAINER: Field = Field::own("container", text);
const REASON: Field = Field::own("reason", words).words("Why; kept in the audit.");

const fn read(
    named: Named,
    texts: (&'static str, &'static str),
    fields: &'static [Field],
    does: (Does, Needs),
) -> Spec {
    Spec::read(Surface::Operator, named, texts, fields, does)
}

const fn write(
    named: Named,
    texts: (&'static str, &'static str),
    fields: &'static [Field],
    does: (Does, Needs),
) -> Spec {
    Spec::write(Surface::Operator, named, texts, fields, does)
}

pub(super) static TOOLS: &[Spec] = &[
    read(
        named!("service_status"),
        (
            "Service status",
            "Shows whether the service works and whether a maintenance window is active, with its estimated end and latest message.",
        ),
        &[],
        (Does::Status, Needs::Public),
    )
    .routes(&["GET /ops/ping", "GET /ops/stat"])
    .output(service),
    read(
        named!("maintenance_windows"),
        (
            "Maintenance windows",
            "Shows one maintenance window, or lists them newest first.",
        ),
        WINDOW_FIELDS,
        (Does::OperatorWindows, READ),
    )
    .routes(&["ops_maintenance_list", "ops_maintenance_get"]),
    read(
        named!("vacuum_status"),
        (
            "Vacuum status",
            "Shows a vacuum, which erases data: the named one, else the one that is not over, else the last. With orgcode only one of that org. Shows what it removed or would remove, and its progress.",
        ),
        &[Field::own("vacuum_id", id), ORGCODE],
        (Does::Vacuum, READ),
    )
    .routes(&["ops_vacuum_status"]),
    read(
        named!("audit_list"),
        (
            "Read the audit",
            "Lists what operators had done and what became of windows and vacuums, newest first; filtered by window, vacuum, subject, org or time.",
        ),
        &[
            Field::own("maintenance_id", id),
            Field::own("vacuum_id", id),
            Field::own("subject", text).words("What was acted on, such as an org or a job."),
            ORGCODE,
            time_of("since"),
            LIMIT,
            NEXT_TOKEN,
        ],
        (Does::Audit, READ),
    )
    .routes(&["ops_audit"]),
    read(
        named!("jobs_list"),
        (
            "List background jobs",
            "Shows every background job, or one: its state, last counts, next run, and the error if it fails.",
        ),
        &[Field::own("job", id)],
        (Does::Jobs, READ),
    )
    .routes(&["jobs_list", "jobs_show"]),
    read(
        named!("request_trace"),
        (
            "Trace a request",
            "Shows what a request left in the journal: entries with position, time, stream and events, and whether reads show them already. Shows no content.",
        ),
        &[
            Field::own("request_id", id)
                .words("The X-Request-Id of the request.")
                .required(),
            Field::own("from", position).words("First position to look at."),
            Field::own("until", position).words("Last position to look at."),
        ],
        (Does::Trace, READ),
    )
    .routes(&["ops_trace"]),
    read(
        named!("holds_list"),
        (
            "List legal holds",
            "Lists the legal holds of an org and its containers with their reasons, and how many records are held by their owners.",
        ),
        &[ORGCODE.required(), CONTAINER],
        (Does::Holds, READ),
    )
    .routes(&["mrs_hold_list"]),
    read(
        named!("drift_report"),
        (
            "Report drift",
            "Compares the records of a container with their rows and their content, and reports differences, one page a call. Changes nothing.",
        ),
        &[
            ORGCODE.required(),
            CONTAINER.required(),
            Field::own("max_items", items),
            NEXT_TOKEN,
        ],
        (Does::Drift, TENANTS),
    )
    .routes(&["mrs_reconcile"]),
    write(
        named!("job_control"),
        (
            "Control a job",
            "Has a background job run now, pauses it, or resumes it.",
        ),
        &[
            Field::own("job", id).required(),
            Field::own("action", order).required(),
            REASON.required(),
        ],
        (Does::ControlJob, TENANTS),
    )
    .routes(&["jobs_run", "jobs_pause", "jobs_resume"]),
    write(
        named!("drift_repair"),
        (
            "Repair drift",
            "Repairs the differences that drift_report shows for the same page. Without plan_id nothing changes: the answer is what would be repaired, with a plan_id for 10 minutes, or the person at the client is asked. Refused if the differences are others by then.",
        ),
        &[
            ORGCODE.required(),
            CONTAINER.required(),
            Field::own("max_items", items),
            NEXT_TOKEN,
            REASON.required(),
            PLAN_ID,
        ],
        (Does::RepairDrift, TENANTS),
    )
    .routes(&["mrs_reconcile"])
    .destructive(),
    write(
        named!("vacuum_cancel"),
        (
            "Cancel a vacuum",
            "Cancels a vacuum that is still pending: nothing is erased.",
        ),
        &[Field::own("vacuum_id", id).required(), REASON.required()],
        (Does::CancelVacuum, DESTROY),
    )
    .routes(&["ops_vacuum_cancel"])
    .needs_code(),
    write(
        named!("vacuum_dry_run"),
        (
            "Plan a vacuum",
            "Counts what erasing an org's data, or everything without orgcode, would remove, and which holds keep what. Erases nothing. The answer has the command for a person: no tool erases.",
        ),
        &[ORGCODE, REASON.required()],
        (Does::PlanVacuum, READ_AND_DESTROY),
    )
    .routes(&["ops_vacuum_org", "ops_vacuum_all"])
    .needs_code(),
    write(
        named!("maintenance_schedule"),
        (
            "Schedule maintenance",
            "Schedules a maintenance window. It starts by itself and keeps every tenant out until it is ended. The same window asked for again is not made twice.",
        ),
        &[
            Field::own("description", words)
                .words("What tenants are shown.")
                .required(),
            time_of("start").required(),
            Field::own("duration_seconds", seconds).required(),
            REASON,
        ],
        (Does::ScheduleWindow, TENANTS),
    )
    .routes(&["ops_maintenance_schedule"])
    .needs_code(),
    write(
        named!("maintenance_update"),
        (
            "Update maintenance",
            "Posts a message to a maintenance window, the active one by default, or changes its description or duration. Tenants are shown all of these.",
        ),
        &[
            Field::own("maintenance_id", id),
            Field::own("text", words).words("A message."),
            Field::own("description", words),
            Field::own("duration_seconds", seconds),
            REASON,
        ],
        (Does::UpdateWindow, TENANTS),
    )
    .routes(&["ops_maintenance_update"])
    .needs_code()
    .not_idempotent(),
    write(
        named!("maintenance_transition"),
        (
            "Start, end or cancel maintenance",
            "Starts, ends or cancels a maintenance window; start keeps every tenant out until the end. Without plan_id nothing changes: the answer is a plan with a plan_id for 10 minutes, or the person at the client is asked. Refused if the window has changed since.",
        ),
        &[
            Field::own("maintenance_id", id).required(),
            Field::own("action", transition).required(),
            Field::own("end_message", words),
            REASON.required(),
            PLAN_ID,
        ],
        (Does::MoveWindow, READ_AND_TENANTS),
    )
    .routes(&[
        "ops_maintenance_start",
        "ops_maintenance_end",
        "ops_maintenance_cancel",
    ])
    .needs_code()
    .destructive(),
];
