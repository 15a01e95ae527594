//! What a vacuum holds back and why, and the refusal to erase everything while something is held.

use serde_json::json;

use crate::actors::request::{Refused, failed};
use crate::domain::vacuum::HeldBack;
use crate::domain::{ErrorTag, Rejection};
use crate::projections::forget::Count;
use crate::projections::{Store, holds};

/// Orgs whose holds a refusal lists.
const ORGS_TOLD_MAX: usize = 100;

/// What is held according to a count, service by service.
pub(super) fn back(count: &Count) -> Vec<HeldBack> {
    let [own, container, org] = count.records_by_level;
    let levels = [
        (own, "by holds on records"),
        (container, "by legal holds on containers"),
        (org, "by legal holds on orgs"),
    ];
    let levels = levels.into_iter().filter(|(records, _)| *records > 0);
    let levels: Vec<_> = levels
        .map(|(records, by)| format!("{records} {by}"))
        .collect();
    let reachable = "something of the org is held, and could not be reached without it";
    let all = [
        ("mrs", count.held.records, levels.join(", ")),
        ("ofm", count.held.orgs_and_members, reachable.to_owned()),
        ("usm", count.held.sessions_and_keys, reachable.to_owned()),
    ];
    let held = all.into_iter().filter(|(_, items, _)| *items > 0);
    held.map(|(service, items, reason)| HeldBack {
        service: service.to_owned(),
        items,
        reason,
    })
    .collect()
}

/// Refuses to erase everything while anything is held, unless that is overridden.
pub(super) fn check(store: &Store, overridden: bool) -> Result<(), Refused> {
    if overridden {
        return Ok(());
    }
    let (held, more) = holds::by_org(store, ORGS_TOLD_MAX).map_err(failed)?;
    if held.is_empty() {
        return Ok(());
    }
    let orgs: Vec<_> = held
        .iter()
        .map(|(org, holds)| {
            json!({
                "orgcode": org.as_str(),
                "records": holds.records,
                "containers": holds.legal.containers.len(),
                "org": holds.legal.org.is_some(),
            })
        })
        .collect();
    Err(Rejection::new(
        ErrorTag::InvalidState,
        "There are holds. Release them, or set override_holds, with a reason, to erase what is held, too.",
    )
    .with_minor("held")
    .with_detail("held", orgs)
    .with_detail("more", more)
    .into())
}
