//! The gate: while a maintenance window is active, or the disk is short, tenants get 503 with Retry-After.

use std::sync::Arc;

use super::auth::access::Access;
use super::idempotency::KeyRule;
use super::route::Route;
use super::space::Space;
use crate::clock::{Clock, random_bytes};

use crate::domain::maintenance::Window;
use crate::domain::{ErrorTag, Rejection, Timestamp};
use crate::reserve::Level;

/// Shortest Retry-After, in seconds.
const WAIT_SECONDS_MIN: i64 = 20;
/// Retries are spread over this many more seconds, so that callers do not come back all at once.
const JITTER_SECONDS: u8 = 16;

/// Admits a request unless a window is active, or the disk has too little room for it. Reads memory alone.
///
/// # Errors
/// `maintenance-mode`, or `unavailable` with the minor `disk-low`.
pub fn check(
    active: impl FnOnce() -> Option<Arc<Window>>,
    space: &Space,
    clock: &Clock,
    route: &Route,
) -> Result<(), Rejection> {
    if route.in_maintenance {
        return Ok(());
    }
    match active() {
        None => space.check(stops_at(route)),
        Some(window) => Err(maintenance_mode(&window, clock.now())),
    }
}

fn maintenance_mode(window: &Window, now: Timestamp) -> Rejection {
    let left = window
        .estimated_end()
        .map_or(0, |end| (end.millis() - now.millis()) / 1_000);
    let [chance] = random_bytes();
    let wait = left.max(WAIT_SECONDS_MIN) + i64::from(chance % JITTER_SECONDS);
    let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let latest = window.updates.last().map(|note| note.text.as_str());
    Rejection::new(
        ErrorTag::MaintenanceMode,
        "The service is under maintenance.",
    )
    .with_detail("maintenance_id", window.maintenance_id.as_str())
    .with_detail("description", window.description.as_str())
    .with_detail("started_at", text(window.started_at))
    .with_detail("estimated_end_utc", text(window.estimated_end()))
    .with_detail("latest_update", latest)
    .to_be_repeated_in(wait.unsigned_abs())
}

/// The level at which a route is refused; what is not a tenant's change never is.
fn stops_at(route: &Route) -> Option<Level> {
    let changes = match (route.access, route.key_rule) {
        (Access::Org(_), KeyRule::Kept | KeyRule::Refused(_)) => true,
        (Access::Org(_), KeyRule::Ignored) => false,
        // Signing in and out.
        (Access::Public | Access::Authenticated | Access::UserSession, _) => false,
    };
    if !changes {
        None
    } else if route.takes_content {
        Some(Level::Low)
    } else {
        Some(Level::Critical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Revision;
    use crate::domain::maintenance::WindowStatus;

    #[test]
    fn callers_are_told_to_come_back_at_the_estimated_end_and_not_all_at_once() {
        let at = Timestamp::from_millis(1_000_000);
        let window = Window {
            maintenance_id: "m".to_owned(),
            status: WindowStatus::Active,
            description: "d".to_owned(),
            duration_seconds: 600,
            scheduled_start: at,
            started_at: Some(at),
            start_source: None,
            ended_at: None,
            end_message: None,
            cancelled_at: None,
            updates: Vec::new(),
            revision: Revision(2),
            created_at: at,
            updated_at: at,
        };
        let mut told = std::collections::BTreeSet::new();
        for (after_seconds, least) in [(0, 600), (590, 20), (900, 20)] {
            for _ in 0..50 {
                let rejection = maintenance_mode(&window, at.plus_millis(after_seconds * 1_000));
                let wait = rejection.retry_after_seconds().unwrap();
                let most = least + u64::from(JITTER_SECONDS);
                assert!(
                    (least..most).contains(&wait),
                    "{wait} after {after_seconds}"
                );
                told.insert(wait);
            }
        }
        assert!(told.len() > 6, "{told:?}");
    }
}
