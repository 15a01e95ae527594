//! The columns of lists: those of records, and those of each other kind of thing.

use serde_json::Value;

/// What a list shows of each record.
const RECORD: &[&str] = &[
    "container",
    "record_id",
    "status",
    "revision",
    "content_type",
    "content_size",
    "tags",
    "doom_at",
    "held",
    "hold",
    "updated_at",
];
/// What lists of other things show, each by a member that only these have.
const OTHERS: &[(&str, &[&str])] = &[
    (
        "invitation_id",
        &[
            "invitation_id",
            "orgcode",
            "user_id",
            "role",
            "label",
            "invited_at",
            "expires_at",
        ],
    ),
    (
        "scopes",
        &[
            "name",
            "scopes",
            "status",
            "created_at",
            "expires_at",
            "revoked_at",
        ],
    ),
    (
        "offboarding_id",
        &[
            "orgcode",
            "offboarding_id",
            "status",
            "reason",
            "requested_at",
            "window_ends_at",
        ],
    ),
    (
        "export_id",
        &[
            "export_id",
            "status",
            "requested_at",
            "completed_at",
            "journal_position",
            "counts",
            "manifest_sha256",
        ],
    ),
    ("jti", &["jti", "until"]),
    ("found", &["name", "state", "found", "fix"]),
    (
        "hash_ok",
        &[
            "position",
            "recorded_at",
            "stream",
            "version",
            "events",
            "by",
            "request_id",
            "hash_ok",
            "erased_by",
            "damage",
        ],
    ),
    (
        "version",
        &[
            "version",
            "current",
            "content_type",
            "content_size",
            "since",
            "by",
            "until",
            "why",
            "kept_until",
            "removed",
            "lost",
        ],
    ),
    (
        "steps_done",
        &[
            "vacuum_id",
            "kind",
            "orgcode",
            "user_id",
            "dry_run",
            "status",
            "requested_at",
            "finished_at",
            "totals",
            "reason",
            "error",
        ],
    ),
    (
        "mean",
        &["name", "unit", "last", "min", "mean", "max", "about"],
    ),
    (
        "changes",
        &[
            "revision",
            "at",
            "type",
            "changes",
            "by",
            "actor",
            "reason",
            "erased",
            "request_id",
        ],
    ),
    (
        "event",
        &[
            "at",
            "event",
            "subject",
            "maintenance_id",
            "vacuum_id",
            "by",
            "actor",
            "reason",
            "outcome",
            "request_id",
        ],
    ),
    (
        "scheduled_start_utc",
        &[
            "maintenance_id",
            "status",
            "description",
            "scheduled_start_utc",
            "started_at",
            "ended_at",
        ],
    ),
    (
        "service",
        &[
            "service", "status", "items", "objects", "bytes", "skipped", "held", "error",
        ],
    ),
    ("quota", &["quota", "used", "limit", "limit_from", "counts"]),
    (
        "since",
        &["held", "container", "reason", "since", "by", "actor"],
    ),
    ("text", &["at", "text"]),
    (
        "purpose",
        &[
            "job",
            "state",
            "last_run_at",
            "last_counts",
            "next_run_at",
            "progress",
            "error",
        ],
    ),
    (
        "opened_at",
        &[
            "session",
            "session_label",
            "opened_at",
            "expires_at",
            "current",
        ],
    ),
    (
        "service_account_id",
        &[
            "service_account_id",
            "label",
            "status",
            "keys",
            "created_at",
        ],
    ),
    (
        "key_id",
        &[
            "key_id",
            "role",
            "label",
            "status",
            "created_at",
            "expires_at",
            "allowed_addresses",
            "last_used_at",
            "revoked_at",
            "made_at",
            "retired_at",
            "works_until",
        ],
    ),
    (
        "owners",
        &[
            "orgcode",
            "status",
            "owners",
            "members",
            "created_at",
            "status_at",
        ],
    ),
    (
        "verified",
        &[
            "user_id",
            "email",
            "verified",
            "disabled",
            "sessions",
            "created_at",
        ],
    ),
    ("action", &["record_id", "kind", "action"]),
    ("what", &["file", "line", "byte", "position", "what"]),
    ("user_id", &["user_id", "email", "role"]),
    ("role", &["orgcode", "role"]),
];

/// Of the columns for things like these the ones with something in them. Of things that nothing is declared for, all.
pub(super) fn of(items: &[Value]) -> Vec<&str> {
    let there = |name: &&str| items.iter().any(|item| !item[*name].is_null());
    let other = OTHERS.iter().find(|(telling, _)| there(telling));
    let declared = match other {
        Some((_, columns)) => *columns,
        None if there(&"record_id") || there(&"container") => RECORD,
        None => &[],
    };
    if !declared.is_empty() {
        return declared.iter().copied().filter(there).collect();
    }
    let mut all: Vec<&str> = Vec::new();
    for name in items
        .iter()
        .filter_map(Value::as_object)
        .flat_map(|item| item.keys())
    {
        if !all.contains(&name.as_str()) {
            all.push(name);
        }
    }
    all.retain(there);
    all
}
