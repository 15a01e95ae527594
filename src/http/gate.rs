//! The gate: while a maintenance window is active, or the disk is short, tenants are told when to come back.

use super::routes::Route;
use super::server::AppState;
use super::space;
use crate::clock::random_bytes;
use crate::domain::maintenance::Window;
use crate::domain::{ErrorTag, Rejection, Timestamp};

/// What is served during maintenance too, besides every `/ops/` route (contract, section 8).
const EXEMPT: &[&str] = &["/health", "/ready", "/whoami"];
/// Shortest time callers are told to wait, in seconds.
const WAIT_SECONDS_MIN: i64 = 20;
/// Callers are spread over so many more seconds, so that they do not come back all at once.
const JITTER_SECONDS: u8 = 16;

/// Lets a request through unless a window is active, or the disk is too short for it. Reads memory alone.
///
/// # Errors
/// `maintenance-mode`, or `unavailable` with the minor `disk-low`.
pub fn check(app: &AppState, route: &Route) -> Result<(), Rejection> {
    if is_exempt(route) {
        return Ok(());
    }
    match app.operations.watch().active() {
        None => space::check(app, route),
        Some(window) => Err(maintenance_mode(&window, app.clock.now())),
    }
}

/// Whether a route is served during maintenance too.
pub fn is_exempt(route: &Route) -> bool {
    route.service == "ops" || EXEMPT.contains(&route.path)
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
        "The service is under maintenance; try again after the seconds in Retry-After.",
    )
    .with_detail("maintenance_id", window.maintenance_id.as_str())
    .with_detail("description", window.description.as_str())
    .with_detail("started_at", text(window.started_at))
    .with_detail("estimated_end_utc", text(window.estimated_end()))
    .with_detail("latest_update", latest)
    .with_retry_after(wait.unsigned_abs())
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
