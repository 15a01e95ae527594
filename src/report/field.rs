//! What a field of a log line can hold: types that no text of a caller's own fits into, but for the request id.

use super::scrub;
use crate::domain::OrgCode;
use crate::domain::json::{push_number, push_plain, push_text};

/// Most characters of a request id.
pub const REQUEST_ID_CHARS_MAX: usize = 63;
/// Most characters of a text of our own.
pub const TEXT_CHARS_MAX: usize = 512;
/// Most characters of a word.
const WORD_CHARS_MAX: usize = 256;
/// The id in place of one with no permitted characters.
const NO_ID: &str = "-";

/// A fixed word or sentence of the program's own.
pub type Word = &'static str;

/// What a field holds, as the schema says it and the linter checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A fixed word or sentence of the program's own.
    Word,
    /// The id of a request.
    RequestId,
    /// A whole number from 0.
    Number,
    /// An HTTP status code.
    Status,
    /// A keyed hash that names a session, a key or another caller without revealing it.
    Fingerprint,
    /// The code of an org that the caller may access.
    Org,
    /// A text that the program made, of a bounded length.
    Text,
}

impl Kind {
    /// Every kind, in the order of the schema.
    pub const ALL: &'static [Kind] = &[
        Kind::Word,
        Kind::RequestId,
        Kind::Number,
        Kind::Status,
        Kind::Fingerprint,
        Kind::Org,
        Kind::Text,
    ];

    /// The kind's name in the schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Word => "word",
            Self::RequestId => "request id",
            Self::Number => "number",
            Self::Status => "status",
            Self::Fingerprint => "fingerprint",
            Self::Org => "org",
            Self::Text => "text",
        }
    }

    /// What values of this kind hold.
    pub fn about(self) -> String {
        match self {
            Self::Word => format!(
                "a fixed word or sentence of the program's own: 1 to {WORD_CHARS_MAX} printable ASCII characters"
            ),
            Self::RequestId => {
                format!(
                    "1 to {REQUEST_ID_CHARS_MAX} of `[A-Za-z0-9._-]`, the same as `X-Request-Id`"
                )
            }
            Self::Number => "a whole number from 0".to_owned(),
            Self::Status => "an HTTP status, 100 to 599".to_owned(),
            Self::Fingerprint => {
                "two letters, `_` and 16 hex digits: a keyed hash that reveals nothing".to_owned()
            }
            Self::Org => "the code of an org that the caller is authorised for".to_owned(),
            Self::Text => format!(
                "a text that the program made, at most {TEXT_CHARS_MAX} characters; what looks like a secret is `{}`",
                scrub::SCRUBBED
            ),
        }
    }

    /// Whether a value of a line is of this kind.
    pub fn fits(self, value: &serde_json::Value) -> bool {
        match self {
            Self::Word => value.as_str().is_some_and(is_word),
            Self::RequestId => value.as_str().is_some_and(is_request_id),
            Self::Number => value.as_u64().is_some(),
            Self::Status => value.as_u64().is_some_and(|it| (100..=599).contains(&it)),
            Self::Fingerprint => value.as_str().is_some_and(is_fingerprint),
            Self::Org => value
                .as_str()
                .is_some_and(|text| OrgCode::parse(text).is_ok_and(|org| org.as_str() == text)),
            Self::Text => value
                .as_str()
                .is_some_and(|text| text.chars().count() <= scrubbed_chars_max()),
        }
    }
}

/// A text may become longer when short secrets in it are replaced.
fn scrubbed_chars_max() -> usize {
    TEXT_CHARS_MAX * scrub::SCRUBBED.len()
}

fn is_word(text: &str) -> bool {
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    (1..=WORD_CHARS_MAX).contains(&text.len()) && printable
}

fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// Whether a text can be a request's id.
pub fn is_request_id(text: &str) -> bool {
    (1..=REQUEST_ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_id_byte)
}

fn is_fingerprint(text: &str) -> bool {
    let Some((kind, digits)) = text.split_once('_') else {
        return false;
    };
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    kind.len() == 2
        && kind.bytes().all(|byte| byte.is_ascii_lowercase())
        && digits.len() == 16
        && digits.bytes().all(hex)
}

/// The id of a request, safe to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// The id in a text; what no id can hold is left out.
    pub fn of(text: &str) -> Self {
        if is_request_id(text) {
            return Self(text.into());
        }
        let kept: String = text.chars().filter(|c| c.is_ascii()).collect();
        let kept = kept.bytes().filter(|byte| is_id_byte(*byte));
        let kept: String = kept.take(REQUEST_ID_CHARS_MAX).map(char::from).collect();
        if kept.is_empty() {
            return Self(NO_ID.into());
        }
        Self(kept.into())
    }
}

/// Names a caller's credential without revealing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(Box<str>);

impl Fingerprint {
    /// The fingerprint in a text, if it is one and nothing else.
    pub fn of(text: &str) -> Option<Self> {
        is_fingerprint(text).then(|| Self(text.into()))
    }
}

/// A text that the program made, such as what the system said of a file. Cut where it is too long; control characters
/// become spaces. It is scrubbed on its way into a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(Box<str>);

impl Text {
    /// The beginning of a text.
    pub fn of(text: &str) -> Self {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let text: String = text.chars().take(TEXT_CHARS_MAX).map(plain).collect();
        Self(text.into())
    }
}

/// A field of an event.
pub(super) trait Field {
    /// Kind of value that the field holds.
    const KIND: Kind;
    /// It may be absent.
    const OPTIONAL: bool = false;

    /// Adds it to a line that has fields already.
    fn write(&self, name: &str, line: &mut Line);
}

/// A line that fields are added to.
#[derive(Default)]
pub(super) struct Line {
    pub(super) bytes: Vec<u8>,
    /// What is scrubbed on its way into the line.
    raw: Vec<u8>,
}

impl Line {
    /// Adds what may hold a text of a caller's, or of the system's: without what looks like a secret.
    fn add_scrubbed(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.raw.clear();
        write(&mut self.raw);
        scrub::scrub(&self.raw, &mut self.bytes);
    }
}

fn write_name(name: &str, line: &mut Vec<u8>) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"\":");
}

impl Field for Word {
    const KIND: Kind = Kind::Word;

    fn write(&self, name: &str, line: &mut Line) {
        write_name(name, &mut line.bytes);
        push_text(&mut line.bytes, self);
    }
}

impl Field for RequestId {
    const KIND: Kind = Kind::RequestId;

    fn write(&self, name: &str, line: &mut Line) {
        line.add_scrubbed(|line| {
            write_name(name, line);
            push_plain(line, self.0.as_bytes());
        });
    }
}

impl Field for u64 {
    const KIND: Kind = Kind::Number;

    fn write(&self, name: &str, line: &mut Line) {
        write_name(name, &mut line.bytes);
        push_number(&mut line.bytes, *self);
    }
}

impl Field for u16 {
    const KIND: Kind = Kind::Status;

    fn write(&self, name: &str, line: &mut Line) {
        write_name(name, &mut line.bytes);
        push_number(&mut line.bytes, u64::from(*self));
    }
}

impl Field for Fingerprint {
    const KIND: Kind = Kind::Fingerprint;

    fn write(&self, name: &str, line: &mut Line) {
        write_name(name, &mut line.bytes);
        push_plain(&mut line.bytes, self.0.as_bytes());
    }
}

impl Field for OrgCode {
    const KIND: Kind = Kind::Org;

    fn write(&self, name: &str, line: &mut Line) {
        write_name(name, &mut line.bytes);
        push_plain(&mut line.bytes, self.as_str().as_bytes());
    }
}

impl Field for Text {
    const KIND: Kind = Kind::Text;

    fn write(&self, name: &str, line: &mut Line) {
        line.add_scrubbed(|line| {
            write_name(name, line);
            push_text(line, &self.0);
        });
    }
}

impl<T: Field> Field for Option<T> {
    const KIND: Kind = T::KIND;
    const OPTIONAL: bool = true;

    fn write(&self, name: &str, line: &mut Line) {
        if let Some(value) = self {
            value.write(name, line);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_but_an_id_is_left_of_a_request_id() {
        for (text, left) in [
            ("a-1._B", "a-1._B"),
            ("a b\n\"c\u{e9}", "abc"),
            ("", "-"),
            ("\u{1f600}", "-"),
        ] {
            assert_eq!(&*RequestId::of(text).0, left, "{text:?}");
        }
        assert_eq!(RequestId::of(&"x".repeat(90)).0.len(), 63);
    }

    #[test]
    fn a_fingerprint_is_its_form_or_nothing() {
        assert!(Fingerprint::of("sf_0123456789abcdef").is_some());
        for other in [
            "sf_0123456789abcde",
            "SF_0123456789abcdef",
            "sf-0123456789abcdef",
            "sf_0123456789abcdeg",
        ] {
            assert_eq!(Fingerprint::of(other), None, "{other}");
        }
    }

    #[test]
    fn a_text_is_one_line_of_a_bounded_length() {
        assert_eq!(&*Text::of("a\nb\u{7}c").0, "a b c");
        assert_eq!(
            Text::of(&"\u{e9}".repeat(600)).0.chars().count(),
            TEXT_CHARS_MAX
        );
    }

    #[test]
    fn numbers_are_written_with_all_their_digits() {
        for number in [0, 7, 10, 999, u64::MAX] {
            let mut line = Vec::new();
            push_number(&mut line, number);
            assert_eq!(line, number.to_string().into_bytes());
        }
    }

    #[test]
    fn a_kind_takes_what_fits_and_nothing_else() {
        for (kind, good, bad) in [
            (Kind::Word, json!("see: g3n jobs show"), json!("caf\u{e9}")),
            (Kind::RequestId, json!("a-1"), json!("a 1")),
            (Kind::Number, json!(0), json!(-1)),
            (Kind::Status, json!(404), json!(0)),
            (
                Kind::Fingerprint,
                json!("kf_0123456789abcdef"),
                json!("kf_"),
            ),
            (Kind::Org, json!("DEMO"), json!("demo")),
            (Kind::Text, json!(""), json!(7)),
        ] {
            assert!(kind.fits(&good) && !kind.fits(&bad), "{kind:?}");
        }
    }
}
