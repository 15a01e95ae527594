//! The journal: whether it would open, whether its end is whole, and what it says of the clock and the secret code.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::finding::Finding;
use super::{Target, fix_of};
use crate::domain::{StreamId, Timestamp};
use crate::journal::JournalError;
use crate::journal::inspect::{self, End};
use crate::journal::state::{self, Doubt};
use crate::os_error::OsError;
use crate::os_error::with_causes;

/// Entries at the journal's beginning that are searched for the secret code.
const ENTRIES_MAX: u64 = 100_000;
/// How far two clocks may drift apart while the doctor runs, and how old the newest entry may seem to come from the
/// future: a second.
const DRIFT_MS: i64 = 1_000;
const DAMAGED: &str =
    "stop the server, see all of it with g3n journal verify, and restore journal/ from a backup";

/// The marker and the end of a journal, as far as they were read.
pub(super) struct History {
    dir: PathBuf,
    marker: Result<Option<state::State>, JournalError>,
    end: Result<Option<End>, JournalError>,
}

/// Reads a journal's marker and its end.
pub(super) fn look(data_dir: &Path) -> History {
    let dir = data_dir.join("journal");
    History {
        marker: state::read(&dir),
        end: inspect::end(&dir),
        dir,
    }
}

impl History {
    /// When the last entry was recorded.
    pub(super) fn recorded_at(&self) -> Option<Timestamp> {
        self.end.as_ref().ok()?.as_ref()?.recorded_at
    }

    /// Whether the journal would open, as far as its marker says.
    pub(super) fn journal(&self, target: &Target<'_>) -> Finding {
        const NAME: &str = "journal";
        let marker = match &self.marker {
            Ok(Some(marker)) => marker,
            Ok(None) => {
                return Finding::skipped(NAME, "there is none yet; the first start makes it");
            }
            Err(error) => return wrong(NAME, error),
        };
        let format = marker.format_version;
        match target.holder {
            Some(_) => Finding::ok(NAME, format!("format {format}, open in the server")),
            None if marker.clean => Finding::ok(NAME, format!("format {format}, closed in order")),
            None if let Some(doubt) = marker.doubt() => Finding::warn(
                NAME,
                match doubt {
                    Doubt::MachineWentDown => "the machine went down while it was open",
                    Doubt::Copied => doubt.as_str(),
                },
                "start the server: it rebuilds its databases from the log, which takes a while",
            ),
            None => Finding::warn(
                NAME,
                "the server did not end in order",
                "start the server: it looks at the log and brings its databases up to it",
            ),
        }
    }

    /// Whether the journal's end is whole: the newest segment and the one before it.
    pub(super) fn tail(&self, target: &Target<'_>) -> Finding {
        const NAME: &str = "tail";
        let end = match &self.end {
            Ok(Some(end)) => end,
            Ok(None) => return Finding::skipped(NAME, "there is no journal yet"),
            Err(error) => return wrong(NAME, error),
        };
        let (first, last) = (end.first, end.head.position);
        let whole = format!(
            "{} entries of the newest segments hold together, the last at position {last}",
            (last + 1).saturating_sub(first)
        );
        // An entry that a running server is writing reads as torn.
        match (target.holder, end.torn.first()) {
            (None, Some(torn)) => Finding::warn(
                NAME,
                format!("{whole}; the next start says: {torn}"),
                "start the server: nothing of this was ever answered",
            ),
            (Some(_), _) | (None, None) => Finding::ok(NAME, whole),
        }
    }

    /// Whether operators have set the secret code, from the journal.
    pub(super) fn secret_code(&self, target: &Target<'_>) -> Finding {
        const NAME: &str = "secret-code";
        let last = match &self.end {
            Ok(Some(end)) => end.head.position,
            Ok(None) => return Finding::skipped(NAME, "there is no journal yet"),
            Err(_) => return Finding::skipped(NAME, "the journal cannot be read"),
        };
        let stream = StreamId::named(StreamId::SECRET_CODE);
        match inspect::begins_within(&self.dir, stream, ENTRIES_MAX.min(last)) {
            Ok(true) => Finding::ok(NAME, "set"),
            Ok(false) if last > ENTRIES_MAX => Finding::skipped(
                NAME,
                format!("not among the first {ENTRIES_MAX} entries, and no more are searched"),
            ),
            Ok(false) => Finding::warn(
                NAME,
                "not set: maintenance windows and vacuums cannot be requested",
                match target.holder {
                    Some(_) => "g3n ops secret-set",
                    None => "start the server, then g3n ops secret-set",
                },
            ),
            Err(error) => wrong(NAME, &error),
        }
    }
}

fn wrong(name: &'static str, error: &JournalError) -> Finding {
    let fix = match error {
        JournalError::Newer { .. } | JournalError::UnknownEvent { .. } => {
            "use the newer g3n that wrote it"
        }
        JournalError::Io { .. } if OsError::of(error).is_some() => {
            return Finding::fail(name, with_causes(error), fix_of(error));
        }
        JournalError::Io { .. } => {
            "check the disk and the system log; restore journal/ from a backup if it cannot be read"
        }
        JournalError::Damaged { .. } | JournalError::Database(_) => DAMAGED,
    };
    Finding::fail(name, with_causes(error), fix)
}

/// Whether the clock agrees with the journal, with the program, and with itself.
pub(super) fn clock(
    recorded_at: Option<Timestamp>,
    (began, now): (Timestamp, Timestamp),
    elapsed: Duration,
) -> Finding {
    const NAME: &str = "clock";
    const FIX: &str = "set the machine's clock, and keep it with NTP";
    if let Some(recorded_at) = recorded_at
        && now.millis() + DRIFT_MS < recorded_at.millis()
    {
        let what = format!("it is {now}, and the last entry was recorded at {recorded_at}");
        return Finding::fail(NAME, what, FIX);
    }
    let built: i64 = env!("METARECORD_BUILD_SECONDS").parse().unwrap_or(0);
    if now.millis() < built.saturating_mul(1_000) {
        return Finding::fail(
            NAME,
            format!("it is {now}, before this program was built"),
            FIX,
        );
    }
    let moved = now.millis() - began.millis();
    let elapsed = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
    if moved < 0 || (moved - elapsed).abs() > DRIFT_MS {
        let what = format!("it moved by {moved} ms while {elapsed} ms passed");
        return Finding::warn(NAME, what, FIX);
    }
    Finding::ok(
        NAME,
        match recorded_at {
            Some(_) => format!("{now}, past the last entry"),
            None => now.to_string(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::State;
    use super::*;

    #[test]
    fn a_clock_that_is_behind_or_jumps_is_seen() {
        let at = |seconds: i64| Timestamp::from_millis(4_000_000_000_000 + seconds * 1_000);
        let built = Timestamp::from_millis(1_000_000);
        for (recorded, began, now, seconds, state) in [
            (None, at(0), at(1), 1, State::Ok),
            (Some(at(0)), at(0), at(1), 1, State::Ok),
            (Some(at(1)), at(0), at(0), 0, State::Ok),
            (Some(at(2)), at(0), at(0), 0, State::Fail),
            (None, at(0), at(9), 1, State::Warn),
            (None, at(9), at(0), 1, State::Warn),
            (None, built, built, 0, State::Fail),
        ] {
            let finding = clock(recorded, (began, now), Duration::from_secs(seconds));
            assert_eq!(finding.state, state, "{finding:?}");
        }
    }
}
