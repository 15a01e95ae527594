//! What the audit knows of an org and a user besides operators' acts: the vacuums that erase them.

use super::{AUDIT, AUDIT_OF, AuditRow, OpsState, find, vacuum};
use crate::domain::Event;
use crate::domain::vacuum::{Scope, Vacuum};
use crate::projections::{Store, StoreError};

/// The org or the user that an event's vacuum erases: the audit of either shows it.
pub(super) fn erased_scope<'a>(state: &'a OpsState, event: &Event) -> Option<&'a str> {
    let (OpsState::Vacuums(vacuums), Event::Vacuum(event)) = (state, event) else {
        return None;
    };
    match &vacuums.find(event.vacuum_id())?.scope {
        Scope::Org(org) => Some(org.as_str()),
        Scope::User(user_id) => Some(user_id),
        Scope::All => None,
    }
}

/// The vacuum of an org or a user that is not over, else the last that was.
///
/// # Errors
/// A failed or unreadable row.
pub fn vacuum_of(store: &Store, subject: &str) -> Result<Option<Vacuum>, StoreError> {
    let prefix = [AUDIT_OF, subject.as_bytes(), &[0]].concat();
    let mut latest = None;
    for row in store.scan(prefix.clone(), &prefix) {
        let (key, _) = row?;
        let place = key.get(prefix.len()..).unwrap_or_default();
        let row: Option<AuditRow> = find(store, &[AUDIT, place].concat())?;
        latest = row
            .filter(|row| row.event.starts_with("vacuum."))
            .and_then(|row| row.subject)
            .or(latest);
    }
    latest.map_or(Ok(None), |vacuum_id| vacuum(store, &vacuum_id))
}
