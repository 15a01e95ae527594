//! An event as a line: JSON, with the same first fields in each, scrubbed and of a bounded length.

use super::event::Event;
use super::field::Line;
use crate::domain::Timestamp;
use crate::domain::json::{push_number, push_text};

/// The version of the schema, in `v` of every line.
pub const SCHEMA_VERSION: u64 = 1;
/// Maximum bytes of a line, including its line break.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

/// Renders lines, and keeps what is the same from one to the next.
#[derive(Default)]
pub(super) struct Lines {
    second: Option<i64>,
    /// The time of that second, up to its milliseconds.
    at: String,
    line: Line,
}

impl Lines {
    /// Appends an event as a line with its line break.
    pub(super) fn add(&mut self, at: Timestamp, event: &Event, out: &mut Vec<u8>) {
        let begin = out.len();
        self.render(at, event, out);
        let bytes = out.len() - begin;
        if bytes > LINE_BYTES_MAX {
            out.truncate(begin);
            let event = Event::LineTooLong {
                of: event.word(),
                bytes: bytes as u64,
            };
            self.render(at, &event, out);
        }
    }

    fn render(&mut self, at: Timestamp, event: &Event, out: &mut Vec<u8>) {
        self.line.bytes.clear();
        self.line.bytes.extend_from_slice(b"{\"v\":");
        push_number(&mut self.line.bytes, SCHEMA_VERSION);
        self.line.bytes.extend_from_slice(b",\"at\":\"");
        self.write_time(at);
        let line = &mut self.line.bytes;
        line.extend_from_slice(b"\",\"level\":");
        push_text(line, event.level().as_str());
        line.extend_from_slice(b",\"event\":");
        push_text(line, event.word());
        event.write_fields(&mut self.line);
        out.extend_from_slice(&self.line.bytes);
        out.extend_from_slice(b"}\n");
    }

    /// RFC 3339 with milliseconds. Most lines are of the same second as the one before.
    fn write_time(&mut self, at: Timestamp) {
        let (second, millis) = (at.millis().div_euclid(1_000), at.millis().rem_euclid(1_000));
        if self.second != Some(second) {
            let whole = at.to_string();
            // Milliseconds and the Z are its last four characters.
            self.at = whole[..whole.len().saturating_sub(4)].to_owned();
            self.second = Some(second);
        }
        self.line.bytes.extend_from_slice(self.at.as_bytes());
        let digit = |unit: i64| b'0' + (millis / unit % 10) as u8;
        self.line
            .bytes
            .extend_from_slice(&[digit(100), digit(10), digit(1), b'Z']);
    }
}

#[cfg(test)]
mod tests {
    use super::super::field::{RequestId, Text};
    use super::*;

    fn line(millis: i64, event: &Event) -> String {
        let mut out = Vec::new();
        let mut lines = Lines::default();
        lines.add(Timestamp::from_millis(0), event, &mut Vec::new());
        lines.add(Timestamp::from_millis(millis), event, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_line_begins_with_the_version_the_time_and_what_it_is() {
        let text = Text::of("disk \"a\" is full");
        for (millis, at) in [
            (7, "1970-01-01T00:00:00.007Z"),
            (1_800_000_000_123, "2027-01-15T08:00:00.123Z"),
        ] {
            let event = Event::Notice { text: text.clone() };
            let told = format!(
                "{{\"v\":1,\"at\":\"{at}\",\"level\":\"info\",\"event\":\"notice\",\"text\":\"disk \\\"a\\\" is full\"}}\n"
            );
            assert_eq!(line(millis, &event), told);
        }
    }

    #[test]
    fn secrets_are_in_no_field_that_takes_what_others_wrote() {
        let event = Event::InternalError {
            request_id: RequestId::of("g3nk_0123456789"),
            error: Text::of("token=abcdef in key g3nk_0123456789"),
        };
        let line = line(1, &event);
        assert!(
            !line.contains("g3nk_") && !line.contains("abcdef"),
            "{line}"
        );
        assert!(line.contains("\"request_id\":\"[scrubbed]\""), "{line}");
    }

    #[test]
    fn a_line_has_an_end_however_much_there_is_to_say() {
        // Each of these characters is written as six, and each run of eight becomes a longer word.
        for text in ["\u{7f}", "%41%41%41%41 ", "token=abcdef "] {
            let text = Text::of(&text.repeat(900));
            let line = line(
                1,
                &Event::JobFailed {
                    job: text.clone(),
                    error: text,
                    hint: "h",
                },
            );
            assert!(line.len() <= LINE_BYTES_MAX, "{}", line.len());
        }
    }
}
