//! What a start finds that does not keep it from serving, and that operators must know.

use std::net::SocketAddr;

use super::Options;
use super::tls::{PLAIN_HTTP, plain_addresses};
use crate::domain::Timestamp;
use crate::journal::{Journal, JournalError};
use crate::report::Event;

/// How far behind the last entry the clock may be: two machines of one hour differ by this much without a fault.
const BEHIND_MS_MAX: i64 = 5_000;

/// What it means that nothing says where callers reach the gateway, and what to do.
const PUBLIC_URL: &str = "http.public_url is not set and the gateway listens on all addresses: URLs of uploads and downloads begin with the Host of a request if that is localhost, an address of this machine or one of http.host_names, and else with the address that the caller is connected to; set http.public_url to the URL that callers use";

/// Whether nothing but a caller says at which URL it reaches the gateway.
pub(super) fn public_url_is_unknown(options: &Options, listening: SocketAddr) -> bool {
    options.settings.http.public_url.is_empty() && listening.ip().is_unspecified()
}

/// The same as an event of the log.
pub(super) fn public_url_unknown() -> Event {
    Event::StartWarning {
        cause: "public-url-unset",
        behind_ms: None,
        hint: PUBLIC_URL,
    }
}

/// What operators should beware of because of the settings, each a sentence without its full stop.
pub(super) fn of_settings(options: &Options, listening: SocketAddr) -> Vec<String> {
    let plain = plain_addresses(options).into_iter();
    let plain = plain.map(|address| format!("{address} uses plain HTTP: {PLAIN_HTTP}"));
    let unknown = public_url_is_unknown(options, listening).then(|| PUBLIC_URL.to_owned());
    plain.chain(unknown).collect()
}

/// What is odd about a journal, a clock, and whether the key of hashes was made at this start.
///
/// # Errors
/// [`JournalError`] when the last entry cannot be read.
pub(super) fn find(
    journal: &dyn Journal,
    now: Timestamp,
    keys_are_new: bool,
) -> Result<Vec<Event>, JournalError> {
    let position = journal.head().position;
    if position == 0 {
        return Ok(Vec::new());
    }
    let last = journal.read(position, 1)?;
    let recorded_at = last.first().map(|entry| entry.header.recorded_at);
    let keys = keys_are_new.then_some(Event::StartWarning {
        cause: "keys-are-new",
        behind_ms: None,
        hint: "all sessions, API keys and named operator tokens of this journal are invalid; if keys/ was lost, stop the server and restore it from a backup (docs/emergency/lost-keys.md)",
    });
    let clock = recorded_at.and_then(|at| clock_behind(at, now));
    Ok(keys.into_iter().chain(clock).collect())
}

fn clock_behind(recorded_at: Timestamp, now: Timestamp) -> Option<Event> {
    let behind_ms = recorded_at.millis().saturating_sub(now.millis());
    (behind_ms > BEHIND_MS_MAX).then_some(Event::StartWarning {
        cause: "clock-behind",
        behind_ms: Some(behind_ms.unsigned_abs()),
        hint: "the clock is behind the last entry of the journal: nothing becomes due until it has caught up; set it (docs/emergency/wrong-clock.md)",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_well_behind_the_last_entry_is_told_of() {
        let at = |millis| Timestamp::from_millis(millis);
        for now in [95_000, 100_000, 999_999] {
            assert!(clock_behind(at(100_000), at(now)).is_none(), "{now}");
        }
        let told = clock_behind(at(100_000), at(94_999));
        let Some(Event::StartWarning {
            cause, behind_ms, ..
        }) = told
        else {
            panic!("it is not told");
        };
        assert_eq!((cause, behind_ms), ("clock-behind", Some(5_001)));
    }
}
