//! Checks of the settings that need nothing but the settings.

use super::{BootError, Contradiction, Options, SOCKET};

/// Shortest time for which a vacuum can be cancelled, outside of development.
const PENDING_MS_MIN: i64 = 60_000;
/// Shortest time that an org has to download its export before it is erased, outside of development.
const WINDOW_MS_MIN: i64 = 24 * 60 * 60 * 1_000;

/// Checks the settings as far as possible without touching a file or an address.
///
/// # Errors
/// The [`BootError`] with which the server would not start.
pub fn check(options: &Options) -> Result<(), BootError> {
    if options.settings.http.listen.starts_with(SOCKET) {
        return Err(BootError::GatewaySocket(
            options.settings.http.listen.clone(),
        ));
    }
    if !options.development && options.ops.vacuum_pending_ms < PENDING_MS_MIN {
        return Err(BootError::PendingTooShort);
    }
    if !options.development && options.utl.window_ms < WINDOW_MS_MIN {
        return Err(BootError::WindowTooShort);
    }
    let asked = [
        options.settings.auth.header_identity,
        options.settings.auth.allow_insecure_header_identity,
    ];
    if asked.contains(&true) && (asked != [true; 2] || !options.development) {
        return Err(BootError::HeaderIdentity);
    }
    contradiction(options).map_or(Ok(()), |found| Err(found.into()))
}

/// The first two settings that cannot both hold.
fn contradiction(options: &Options) -> Option<Contradiction> {
    let head = options.connections.head;
    let one_port = |address: &str| !address.ends_with(":0") && !address.starts_with(SOCKET);
    let all = [
        (
            one_port(&options.settings.http.listen)
                && options.settings.http.listen == options.settings.http.operator_listen,
            ["http.listen", "http.operator_listen"],
            "tenants and operators need addresses of their own",
        ),
        (
            options.settings.journal.queue_max < options.gateway.requests_in_flight_max,
            ["journal.queue_max", "http.requests_in_flight_max"],
            "each request in flight may wait for the journal, so the first must not be the smaller",
        ),
        (
            head.target_bytes_max >= head.head_bytes_max,
            ["http.target_bytes_max", "http.head_bytes_max"],
            "a path is part of a head, so the first must be the smaller",
        ),
    ];
    let mut found = all.into_iter().filter(|(contradicts, ..)| *contradicts);
    found
        .next()
        .map(|(_, names, rule)| Contradiction { names, rule })
}
