//! Durations as people write them, such as `30d` or `1h30m`.

/// Milliseconds of a second.
pub(crate) const SECOND_MS: i64 = 1_000;
/// Milliseconds of an hour.
pub(crate) const HOUR_MS: i64 = 3_600 * SECOND_MS;
/// Milliseconds of a day of 24 hours.
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;
/// Units of a duration with their milliseconds; the longer name of two that begin alike comes first.
const UNITS: &[(&str, i64)] = &[
    ("ms", 1),
    ("s", SECOND_MS),
    ("m", 60 * SECOND_MS),
    ("h", HOUR_MS),
    ("d", DAY_MS),
    ("w", 7 * DAY_MS),
];
/// The milliseconds of a duration such as `90m` or `1h30m`; more than fit are the most that do.
pub(crate) fn millis(text: &str) -> Option<i64> {
    let (mut rest, mut sum) = (text, 0_i64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        if digits == 0 {
            return None;
        }
        let number: i64 = rest[..digits].parse().unwrap_or(i64::MAX);
        rest = &rest[digits..];
        let (unit, millis) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        sum = sum.saturating_add(number.saturating_mul(*millis));
    }
    (!text.is_empty()).then_some(sum)
}
