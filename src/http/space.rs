//! What is refused while the disk is short, and while the journal takes no changes.

use actix_web::http::Method;

use super::access::Access;
use super::envelope::{Refusal, unavailable};
use super::routes::Route;
use super::server::AppState;
use crate::content::ContentError;
use crate::domain::{ErrorTag, Rejection};
use crate::journal::Health;
use crate::os_error::{self, OsError};
use crate::report;
use crate::reserve::{Level, Promised};

/// Seconds after which a caller may look again: the disk is looked at more often, but room has to be made by somebody.
const WAIT_SECONDS: u64 = 60;
/// Routes that take content: refused from the first mark on, as uploads are.
const PUTS: &[&str] = &["/mrs/record"];
/// Routes that are asked by POST and change nothing.
const READS: &[&str] = &[
    "/ofm/member/list",
    "/ofm/member/resolve",
    "/ofm/org/get",
    "/usm/api_key/list",
    "/usm/service_account/list",
    "/utl/offboarding/status",
];

/// Lets a request through unless the disk is too short for what it asks. Reads memory alone.
///
/// # Errors
/// `unavailable`, minor `disk-low`.
pub fn check(app: &AppState, route: &Route) -> Result<(), Rejection> {
    let level = app.reserve.level();
    match level > Level::Enough && stops_at(route).is_some_and(|stops| level >= stops) {
        true => Err(why_nothing_is_taken(app).unwrap_or_else(|| disk_low(level))),
        false => Ok(()),
    }
}

/// Room for an upload of so many bytes, until what is returned is dropped.
///
/// # Errors
/// `unavailable`, minor `disk-low`, or `read-only` while no content can be written.
pub fn promise(app: &AppState, bytes: u64) -> Result<Promised, Rejection> {
    if !app.reserve.is_writable() {
        return Err(read_only(CANNOT_WRITE));
    }
    let promised = app.reserve.promise(bytes);
    promised.ok_or_else(|| disk_low(app.reserve.level().max(Level::Low)))
}

/// Whether changes are taken at all.
///
/// # Errors
/// `unavailable`: minor `read-only` while the journal takes none, `disk-low` while tenants' are not taken.
pub fn check_changes(app: &AppState) -> Result<(), Rejection> {
    match (why_nothing_is_taken(app), app.reserve.level()) {
        (Some(refused), _) => Err(refused),
        (None, Level::Critical) => Err(disk_low(Level::Critical)),
        (None, Level::Enough | Level::Low) => Ok(()),
    }
}

/// What is said while not even an operator's change can be written.
fn why_nothing_is_taken(app: &AppState) -> Option<Rejection> {
    let health = app.journal.health();
    let text = match &health {
        Health::ReadOnly(_) if health.waits_for_room() => WAITS_FOR_ROOM,
        Health::ReadOnly(_) => WAITS_FOR_OPERATOR,
        Health::Open if !app.reserve.is_writable() => CANNOT_WRITE,
        Health::Open => return None,
    };
    Some(read_only(text))
}

/// Says of a change that was not taken why not, where that is known: to come back in a second would not help.
pub fn explain<T>(app: &AppState, answer: Result<T, Refusal>) -> Result<T, Refusal> {
    match answer {
        Err(Refusal::Rejected { rejection, .. })
            if rejection.tag == ErrorTag::Unavailable && rejection.minor.is_none() =>
        {
            Err(check_changes(app).err().unwrap_or(rejection).into())
        }
        answer => answer,
    }
}

/// Tells operators that content could not be written or read, and says to the caller what helps.
pub fn content_failed(what: &str, error: &ContentError) -> Rejection {
    report::storage_failed(&format!("{what}: {}", os_error::told(error)));
    match OsError::of(error) {
        Some(known) if known.is_no_room() => disk_low(Level::Low),
        Some(_) => read_only(CANNOT_WRITE),
        None => unavailable().with_retry_after(WAIT_SECONDS),
    }
}

const WAITS_FOR_ROOM: &str = "The server's disk was full and a write failed: changes are refused until there is space and the server has reopened its journal, which it does automatically. Reads work. Try again later with the same idempotency_key.";
const WAITS_FOR_OPERATOR: &str = "A write of the server failed: changes are refused until its operator has checked the disk and restarted it. Reads work. Try again later with the same idempotency_key.";
const CANNOT_WRITE: &str = "The server cannot write its content directory: uploads are refused until its operator has fixed that. Reads work. Try again later with the same idempotency_key.";

/// 503: nothing is written after a failure; to come back in a second would not help.
fn read_only(text: &str) -> Rejection {
    Rejection::new(ErrorTag::Unavailable, text)
        .with_minor("read-only")
        .with_retry_after(WAIT_SECONDS)
}

/// 503: the disk is too short for what was asked.
fn disk_low(level: Level) -> Rejection {
    let text = match level {
        Level::Enough | Level::Low => {
            "The server's disk is nearly full: uploads and puts are refused until its operator has freed space. Try again later with the same idempotency_key."
        }
        Level::Critical => {
            "The server's disk is full: changes are refused until its operator has freed space. Reads work. Try again later with the same idempotency_key."
        }
    };
    Rejection::new(ErrorTag::Unavailable, text)
        .with_minor("disk-low")
        .with_retry_after(WAIT_SECONDS)
}

/// The level at which a route is refused; what is not a tenant's change never is.
fn stops_at(route: &Route) -> Option<Level> {
    let changes = match route.access {
        Access::Org(_) => route.method == Method::POST,
        // Signing in and out.
        Access::Public | Access::Authenticated | Access::UserSession => false,
    };
    if !changes || READS.contains(&route.path) {
        None
    } else if PUTS.contains(&route.path) {
        Some(Level::Low)
    } else {
        Some(Level::Critical)
    }
}
