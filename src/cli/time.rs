//! Times and durations of flags: RFC 3339, milliseconds, or a duration from now; and numbers of seconds or days.

use serde::{Serialize, Serializer};

use crate::clock::Clock;
use crate::domain::duration::{DAY_MS, SECOND_MS, millis as duration};
use crate::domain::{TimeError, Timestamp};

/// The least plain number that is taken for milliseconds since 1970: of the year 1973. Smaller ones lack the
/// unit of a duration.
const PLAIN_MS_MIN: i64 = 100_000_000_000;
/// What a duration looks like.
const DURATION: &str = "30s, 15m, 2h, 30d or 1w";

/// A time that a flag names, as the service reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Time {
    at: Timestamp,
    /// RFC 3339: what was typed, if it was that.
    text: String,
}

impl Time {
    /// The time as the domain has it.
    pub(super) fn at(&self) -> Timestamp {
        self.at
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// On which side of now a duration without a sign ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Past,
    Future,
}

/// Reads a flag whose durations count from now on: `30d` is in thirty days.
pub(super) fn ahead(text: &str) -> Result<Time, String> {
    time(text, Side::Future, Clock::system().now())
}

/// Reads a flag whose durations count back from now: `15m` is a quarter of an hour ago.
pub(super) fn ago(text: &str) -> Result<Time, String> {
    time(text, Side::Past, Clock::system().now())
}

/// A due time that may also be `null`, which is how the service spells never.
pub(super) fn due(text: &str) -> Result<DueTime, String> {
    if text == "null" {
        return Ok(DueTime(None));
    }
    ahead(text).map(|time| DueTime(Some(time)))
}

/// A due time, or never.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct DueTime(pub(super) Option<Time>);

/// Reads a flag that is a number of seconds, or a duration.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    whole(text, SECOND_MS, "seconds")
}

/// Reads a flag that is a number of seconds from now, a duration, or the time at which they are over.
pub(super) fn seconds_from_now(text: &str) -> Result<u64, String> {
    seconds_until(text, Clock::system().now())
}

/// Reads a flag that is a number of days, or a duration of whole days.
pub(super) fn days(text: &str) -> Result<u64, String> {
    whole(text, DAY_MS, "days")
}

fn seconds_until(text: &str, now: Timestamp) -> Result<u64, String> {
    let Ok(end) = Timestamp::read(text) else {
        return seconds(text);
    };
    let left = end.millis().saturating_sub(now.millis());
    let left = u64::try_from(left).map_err(|_| "this time is in the past".to_owned())?;
    Ok(left.div_ceil(1_000))
}

fn time(text: &str, side: Side, now: Timestamp) -> Result<Time, String> {
    match Timestamp::read(text) {
        Ok(at) => {
            let text = text.to_owned();
            return Ok(Time { at, text });
        }
        Err(error @ TimeError::OutOfRange) => return Err(format!("the time {error}")),
        Err(TimeError::NotRfc3339) => {}
    }
    let at = match (text.parse(), signed(text)) {
        (Ok(PLAIN_MS_MIN..), _) => {
            let millis = text.parse().unwrap_or(i64::MAX);
            let at = Timestamp::from_millis(millis);
            if at.millis() != millis {
                return Err(format!("the time {}", TimeError::OutOfRange));
            }
            at
        }
        (_, Some((sign, millis))) => {
            let back = sign.unwrap_or(side) == Side::Past;
            now.plus_millis(if back { -millis } else { millis })
        }
        (_, None) => {
            let way = match side {
                Side::Past => "for so long ago",
                Side::Future => "for so long from now",
            };
            return Err(format!(
                "write a time such as 2027-01-31T12:00:00Z (RFC 3339), {DURATION} {way}, or milliseconds since 1970"
            ));
        }
    };
    let text = at.to_string();
    Ok(Time { at, text })
}

/// A duration in milliseconds, and the side of now that its sign says.
fn signed(text: &str) -> Option<(Option<Side>, i64)> {
    let (side, rest) = match text.as_bytes().first()? {
        b'+' => (Some(Side::Future), &text[1..]),
        b'-' => (Some(Side::Past), &text[1..]),
        _ => (None, text),
    };
    Some((side, duration(rest)?))
}

/// A number of a unit, or a duration that is a whole number of it.
fn whole(text: &str, unit_ms: i64, units: &str) -> Result<u64, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let wanted = || format!("write a number of {units}, or a duration such as {DURATION}");
    let millis = duration(text.strip_prefix('+').unwrap_or(text)).ok_or_else(wanted)?;
    if millis % unit_ms != 0 {
        return Err(format!("{text} is not a whole number of {units}"));
    }
    u64::try_from(millis / unit_ms).map_err(|_| wanted())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    #[test]
    fn a_time_is_rfc_3339_milliseconds_or_a_duration() {
        let now = Timestamp::from_millis(NOW);
        for (text, past, future) in [
            ("30s", -30_000, 30_000),
            ("15m", -900_000, 900_000),
            ("+15m", 900_000, 900_000),
            ("-15m", -900_000, -900_000),
            ("2h", -7_200_000, 7_200_000),
            ("1h30m", -5_400_000, 5_400_000),
            ("1d", -86_400_000, 86_400_000),
            ("2w", -1_209_600_000, 1_209_600_000),
            ("250ms", -250, 250),
            ("0s", 0, 0),
            ("2027-01-15T07:59:59Z", -1_000, -1_000),
            ("2027-01-15T09:00:00+01:00", 0, 0),
            ("1800000000001", 1, 1),
        ] {
            for (side, millis) in [(Side::Past, past), (Side::Future, future)] {
                let read = time(text, side, now).expect(text);
                assert_eq!(read.at, now.plus_millis(millis), "{text} {side:?}");
                assert_eq!(Timestamp::parse(&read.text), Some(read.at), "{text}");
            }
        }
        // What fits no time is the first or the last one there is.
        let long = "9223372036854775807d";
        let first = time(long, Side::Past, now).expect(long);
        assert_eq!(first.at.millis(), 0);
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_one_looks_like() {
        let now = Timestamp::from_millis(NOW);
        for text in [
            "",
            "x",
            "yesterday",
            "15",
            "-15",
            "1y",
            "m",
            "15 m",
            "1.5h",
            "+",
            "15m15",
            "1h-2m",
            "2027-01-31",
        ] {
            let told = time(text, Side::Future, now).expect_err(text);
            assert!(
                told.contains("RFC 3339") && told.contains("15m"),
                "{text}: {told}"
            );
        }
        for text in ["1969-12-31T23:59:59Z", "999999999999999"] {
            let told = time(text, Side::Past, now).expect_err(text);
            assert!(
                told.contains("1970") && !told.contains("RFC"),
                "{text}: {told}"
            );
        }
    }

    #[test]
    fn seconds_and_days_are_numbers_or_durations() {
        for (text, expected) in [
            ("0", Some(0)),
            ("90", Some(90)),
            ("90s", Some(90)),
            ("+1h", Some(3_600)),
            ("1w", Some(604_800)),
            ("1500ms", None),
            ("-1", None),
            ("-1h", None),
            ("", None),
            ("soon", None),
        ] {
            assert_eq!(seconds(text).ok(), expected, "{text}");
        }
        assert_eq!(
            (days("90"), days("2w"), days("48h")),
            (Ok(90), Ok(14), Ok(2))
        );
        assert!(days("36h").is_err());
        let now = Timestamp::from_millis(NOW);
        assert_eq!(seconds_until("2027-01-15T08:01:00Z", now), Ok(60));
        assert_eq!(seconds_until("5m", now), Ok(300));
        assert!(seconds_until("2027-01-15T07:00:00Z", now).is_err());
    }
}
