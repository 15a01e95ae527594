//! What is refused while the disk is short, and while the journal takes no changes.

use actix_web::http::Method;

use super::access::Access;
use super::envelope::{Refusal, unavailable};
use super::routes::Route;
use super::server::House;
use crate::domain::{ErrorTag, Rejection};
use crate::journal::Health;
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
pub fn check(house: &House, route: &Route) -> Result<(), Rejection> {
    let level = house.reserve.level();
    match level > Level::Enough && stops_at(route).is_some_and(|stops| level >= stops) {
        true => Err(disk_low(level)),
        false => Ok(()),
    }
}

/// Room for an upload of so many bytes, until what is returned is dropped.
///
/// # Errors
/// `unavailable`, minor `disk-low`.
pub fn promise(house: &House, bytes: u64) -> Result<Promised, Rejection> {
    let promised = house.reserve.promise(bytes);
    promised.ok_or_else(|| disk_low(house.reserve.level().max(Level::Low)))
}

/// Whether changes are taken at all.
///
/// # Errors
/// `unavailable`: minor `read-only` while the journal takes none, `disk-low` while tenants' are not taken.
pub fn check_changes(house: &House) -> Result<(), Rejection> {
    match (house.journal.health(), house.reserve.level()) {
        (Health::ReadOnly(_), _) => Err(read_only()),
        (Health::Open, Level::Critical) => Err(disk_low(Level::Critical)),
        (Health::Open, Level::Enough | Level::Low) => Ok(()),
    }
}

/// Says of a change that was not taken why not, where that is known: to come back in a second would not help.
pub fn explain<T>(house: &House, answer: Result<T, Refusal>) -> Result<T, Refusal> {
    match answer {
        Err(Refusal::Rejected { rejection, .. })
            if rejection.tag == ErrorTag::Unavailable && rejection.minor.is_none() =>
        {
            Err(check_changes(house).err().unwrap_or(rejection).into())
        }
        answer => answer,
    }
}

/// 503: the journal takes no changes after a failure; an operator has to see to it.
fn read_only() -> Rejection {
    unavailable()
        .with_minor("read-only")
        .with_retry_after(WAIT_SECONDS)
}

/// 503: the disk is too short for what was asked.
fn disk_low(level: Level) -> Rejection {
    let text = match level {
        Level::Enough | Level::Low => {
            "The server's disk has little room left: uploads and puts are not taken until its operator has made room. \
             Try again later with the same idempotency_key."
        }
        Level::Critical => {
            "The server's disk has no room left: no changes are taken until its operator has made room. Reads go on. Try \
             again later with the same idempotency_key."
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
        Access::Public | Access::Known | Access::Person => false,
    };
    if !changes || READS.contains(&route.path) {
        None
    } else if PUTS.contains(&route.path) {
        Some(Level::Low)
    } else {
        Some(Level::Critical)
    }
}
