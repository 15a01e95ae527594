//! Settings that are numbers of seconds, hours or days, set by durations such as `30d`.

use std::borrow::Cow;

use crate::domain::duration::{DAY_MS, HOUR_MS, SECOND_MS, millis};

/// Words in the names of settings that are numbers of a unit, with its milliseconds.
const NUMBERS_OF: &[(&str, i64)] = &[("seconds", SECOND_MS), ("hours", HOUR_MS), ("days", DAY_MS)];

/// The number that a duration is in the unit of a setting's name; any other text as it is.
pub(super) fn in_unit_of<'a>(full_name: &str, text: &'a str) -> Cow<'a, str> {
    match (unit_of(full_name), millis(text)) {
        (Some((_, unit_ms)), Some(millis)) if millis % unit_ms == 0 => {
            Cow::Owned((millis / unit_ms).to_string())
        }
        (Some(_) | None, _) => Cow::Borrowed(text),
    }
}

/// What fits a setting, with its unit if it is a number of one.
pub(super) fn with_unit(full_name: &str, limits: String) -> String {
    match unit_of(full_name) {
        Some((unit, _)) => {
            format!("{limits}, of {unit}, or a duration such as 30s, 15m, 2h or 30d")
        }
        None => limits,
    }
}

/// The unit that a setting is a number of.
fn unit_of(full_name: &str) -> Option<(&'static str, i64)> {
    let name = full_name.split('.').next_back().unwrap_or_default();
    let known = |word: &str| NUMBERS_OF.iter().find(|(unit, _)| *unit == word);
    name.split('_').find_map(known).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table::TABLE;

    #[test]
    fn a_duration_becomes_a_number_of_the_names_unit() {
        for (name, text, number) in [
            ("mrs.sweep_seconds", "15m", "900"),
            ("mrs.sweep_seconds", "1h30m", "5400"),
            ("mrs.sweep_seconds", "900", "900"),
            ("mrs.sweep_seconds", "1500ms", "1500ms"),
            ("ops.clock_jump_seconds_max", "2m", "120"),
            ("mrs.abandoned_upload_hours", "2d", "48"),
            ("mrs.version_retention_days", "52w", "364"),
            ("mrs.version_retention_days", "36h", "36h"),
            ("http.workers", "2s", "2s"),
            ("limits.sign_in_per_second", "2s", "2s"),
        ] {
            assert_eq!(in_unit_of(name, text), number, "{name} = {text}");
        }
    }

    #[test]
    fn every_setting_of_time_takes_durations() {
        for (name, _) in TABLE {
            // Counts of a day or a second are no durations.
            let units = ["ms", "seconds", "minutes", "hours", "days", "weeks"];
            let is_time = name.split(['.', '_']).any(|word| units.contains(&word));
            assert_eq!(unit_of(name).is_some(), is_time, "{name}");
        }
    }
}
