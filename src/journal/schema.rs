//! The schema versions of events: every type there is, and how data of an older version is lifted to the newest.

use serde_json::Value;

use super::{Body, JournalError, Position};
use crate::domain::{Event, EventMeta};

/// Every event type with the newest schema version this program reads and writes.
pub const SCHEMAS: &[(&str, u16)] = Event::TYPES;

/// Lifts one event type from one schema version to the next. Pure, and kept for ever.
pub struct Upcaster {
    /// Type of the event, such as `record.created`.
    pub kind: &'static str,
    /// The version it reads; it returns the next.
    pub from: u16,
    /// Makes data of the next version of data of this one.
    pub lift: fn(Value) -> Value,
}

/// Every upcaster, in ascending order of versions.
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
    // Version 1 does not list which entries are erased; an absent `erases` means that.
    Upcaster {
        kind: "vacuum.started",
        from: 1,
        lift: |data| data,
    },
    // Version 2 has the SHA-256 too, which is unknown for version 1.
    Upcaster {
        kind: "record.upload_completed",
        from: 1,
        lift: |data| data,
    },
    // Version 3 tells what the gzip decodes to, which nobody knew at version 2.
    Upcaster {
        kind: "record.upload_completed",
        from: 2,
        lift: |data| data,
    },
    // Version 2 has one kind of drift more.
    Upcaster {
        kind: "container.repaired",
        from: 1,
        lift: |data| data,
    },
    // Version 2 may name the address; it is unknown for version 1.
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

impl Body {
    /// The facts about these events that states may depend on, for an entry at a position.
    pub fn meta(&self, position: Position) -> EventMeta<'_> {
        EventMeta {
            at: self.origin.at,
            by: &self.origin.by,
            actor: self.origin.remarks.actor.as_deref(),
            position,
            version: self.version,
        }
    }
}

/// Damage of an entry at a place.
pub(super) fn damaged(place: &str, what: String) -> JournalError {
    JournalError::Damaged {
        place: place.to_owned(),
        what,
    }
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
