//! The schema versions of events: every type there is, and how data of an older version is lifted to the newest.

use serde_json::Value;

use super::JournalError;
use super::entry::damaged;

/// Every event type with the newest schema version this program reads and writes.
pub const SCHEMAS: &[(&str, u16)] = &[
    ("record.created", 1),
    ("record.replaced", 1),
    ("record.upload_completed", 2),
    ("record.tags_added", 1),
    ("record.tags_removed", 1),
    ("record.ttl_set", 1),
    ("record.doomed", 1),
    ("record.hold_set", 1),
    ("record.hold_released", 1),
    ("container.refusal_remembered", 1),
    ("container.content_removed", 1),
    ("container.answers_forgotten", 1),
    ("container.tags_scrubbed", 1),
    ("container.uploads_given_up", 1),
    ("container.repaired", 2),
    ("org.created", 1),
    ("org.status_set", 1),
    ("org.member_added", 1),
    ("org.member_removed", 1),
    ("org.hold_set", 1),
    ("org.hold_released", 1),
    ("org.quotas_set", 1),
    ("org.invited", 1),
    ("org.invitation_accepted", 1),
    ("org.invitation_declined", 1),
    ("org.invitation_withdrawn", 1),
    ("user.created", 1),
    ("user.session_opened", 1),
    ("user.session_refreshed", 1),
    ("user.session_closed", 1),
    ("user.sessions_closed", 1),
    ("user.address_known", 1),
    ("user.passcode_changed", 1),
    ("user.disabled", 1),
    ("user.enabled", 1),
    ("user.locks_lifted", 1),
    ("user.verified", 1),
    ("account.created", 1),
    ("account.status_set", 1),
    ("account.key_created", 2),
    ("account.key_used", 1),
    ("account.key_revoked", 1),
    ("account.keys_revoked", 1),
    ("secret.set", 1),
    ("secret.mismatched", 2),
    ("secret.address_known", 1),
    ("secret.locks_lifted", 1),
    ("maintenance.scheduled", 1),
    ("maintenance.started", 1),
    ("maintenance.updated", 1),
    ("maintenance.ended", 1),
    ("maintenance.cancelled", 1),
    ("maintenance.missed", 1),
    ("vacuum.requested", 2),
    ("vacuum.started", 2),
    ("vacuum.step_done", 1),
    ("vacuum.completed", 1),
    ("vacuum.failed", 1),
    ("vacuum.cancelled", 1),
    ("job.paused", 1),
    ("job.resumed", 1),
    ("job.moved", 1),
    ("job.finished", 1),
    ("offboarding.requested", 1),
    ("offboarding.approved", 1),
    ("offboarding.cancelled", 1),
    ("offboarding.blocked", 1),
    ("offboarding.purge_started", 1),
    ("offboarding.purged", 1),
    ("export.requested", 1),
    ("export.completed", 1),
    ("export.removed", 1),
    ("import.begun", 1),
    ("import.completed", 1),
    ("import.cancelled", 1),
    ("operator_token.created", 1),
    ("operator_token.rotated", 1),
    ("operator_token.revoked", 1),
    ("jwt.revoked", 1),
    ("signing_key.rotated", 1),
    ("operator_act.asked", 1),
    ("operator_act.refused", 1),
    ("clock.jumped", 1),
    ("clock.confirmed", 1),
];

/// Lifts one event type from one schema version to the next. Pure, and kept for ever.
pub struct Upcaster {
    /// The event's type.
    pub kind: &'static str,
    /// The version it reads; it returns the next.
    pub from: u16,
    /// The change.
    pub lift: fn(Value) -> Value,
}

/// Every upcaster.
pub const UPCASTERS: &[Upcaster] = &[
    // A key of version 1 has no end, and may be used from everywhere: absent says so.
    Upcaster {
        kind: "account.key_created",
        from: 1,
        lift: |data| data,
    },
    // Version 2 may be about one user.
    Upcaster {
        kind: "vacuum.requested",
        from: 1,
        lift: |data| data,
    },
    // Version 1 does not tell which entries are erased, and an absent `erases` says so.
    Upcaster {
        kind: "vacuum.started",
        from: 1,
        lift: |data| data,
    },
    // Version 2 tells the SHA-256 too, which nobody knew at version 1.
    Upcaster {
        kind: "record.upload_completed",
        from: 1,
        lift: |data| data,
    },
    // Version 2 has one kind of drift more.
    Upcaster {
        kind: "container.repaired",
        from: 1,
        lift: |data| data,
    },
    // Version 2 may name the address; nobody knows those of version 1.
    Upcaster {
        kind: "secret.mismatched",
        from: 1,
        lift: |data| data,
    },
];

/// Lifts an event's data from the version it was written with to the current one.
///
/// # Errors
/// [`JournalError::Newer`] for a newer version, [`JournalError::UnknownEvent`] for a newer type,
/// [`JournalError::Damaged`] for a version that never was.
pub fn upcast(kind: &str, v: u16, data: Value, place: &str) -> Result<Value, JournalError> {
    let current = check_schema(kind, v, place)?;
    lift(UPCASTERS, (kind, v, current), data)
        .ok_or_else(|| damaged(place, format!("event {kind} never had schema version {v}")))
}

/// The current schema version of an event, when it is not older than the one that was found.
pub(super) fn check_schema(kind: &str, v: u16, place: &str) -> Result<u16, JournalError> {
    match SCHEMAS.iter().find(|(known, _)| *known == kind) {
        None => Err(JournalError::UnknownEvent {
            place: place.to_owned(),
            kind: kind.to_owned(),
        }),
        Some((_, current)) if v > *current => Err(JournalError::Newer {
            place: format!("event {kind} at {place}"),
            found: v.into(),
            known: (*current).into(),
        }),
        Some((_, current)) => Ok(*current),
    }
}

fn lift(
    upcasters: &[Upcaster],
    (kind, v, current): (&str, u16, u16),
    mut data: Value,
) -> Option<Value> {
    if v == 0 {
        return None;
    }
    for from in v..current {
        let step = upcasters
            .iter()
            .find(|upcaster| upcaster.kind == kind && upcaster.from == from)?;
        data = (step.lift)(data);
    }
    Some(data)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_old_schema_is_lifted_one_version_at_a_time() {
        let table = [
            Upcaster {
                kind: "a.b",
                from: 2,
                lift: |data| json!({"third": data}),
            },
            Upcaster {
                kind: "a.b",
                from: 1,
                lift: |data| json!({"second": data}),
            },
        ];
        let lifted = lift(&table, ("a.b", 1, 3), json!("first"));
        assert_eq!(lifted, Some(json!({"third": {"second": "first"}})));
        assert_eq!(lift(&table, ("a.b", 3, 3), json!(1)), Some(json!(1)));
        assert_eq!(lift(&table, ("a.b", 0, 3), json!(1)), None);
        assert_eq!(lift(&table, ("c.d", 1, 2), json!(1)), None);
    }
}
