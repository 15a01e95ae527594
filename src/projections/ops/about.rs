//! What the audit knows of an org and a user besides operators' acts: the vacuums that erase them; all vacuums, and what
//! happened to a window.

use super::{AUDIT, AUDIT_OF, AuditRow, OpsPage, OpsState, VACUUM_ORDER, find, page, vacuum};
use crate::domain::Event;
use crate::domain::vacuum::{Scope, Vacuum, VacuumStatus};
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

/// Vacuums, newest first, from a place on: only those in a status and of an org, if these are given.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn list_vacuums(
    store: &Store,
    (status, org): (Option<VacuumStatus>, Option<&str>),
    from: Option<&[u8]>,
    limit: usize,
) -> Result<OpsPage<Vacuum>, StoreError> {
    let rows = store.scan(VACUUM_ORDER.to_vec(), from.unwrap_or(VACUUM_ORDER));
    page(rows, limit, |key, _| {
        let id = key.get(VACUUM_ORDER.len() + 8..).unwrap_or_default();
        let found = vacuum(store, std::str::from_utf8(id).unwrap_or_default())?;
        Ok(found.filter(|vacuum| {
            let its = vacuum.scope.org().map(|org| org.as_str());
            status.is_none_or(|status| vacuum.status == status)
                && org.is_none_or(|org| its == Some(org))
        }))
    })
}

/// What happened to a window, with who and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowEvents {
    /// The first ones, oldest first.
    pub rows: Vec<AuditRow>,
    /// Whether there are others after these.
    pub more: bool,
}

/// The first events of a window, at most `max`.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn window_events(
    store: &Store,
    maintenance_id: &str,
    max: usize,
) -> Result<WindowEvents, StoreError> {
    let prefix = [AUDIT_OF, maintenance_id.as_bytes(), &[0]].concat();
    let mut events = WindowEvents::default();
    for row in store.scan(prefix.clone(), &prefix) {
        let (key, _) = row?;
        if events.rows.len() == max {
            events.more = true;
            break;
        }
        let place = key.get(prefix.len()..).unwrap_or_default();
        events
            .rows
            .extend(find::<AuditRow>(store, &[AUDIT, place].concat())?);
    }
    Ok(events)
}
