//! The names callers use: parsed once at the edge, then trusted everywhere.

use std::fmt;

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};
use serde::{Deserialize, Serialize};

use super::rejection::{Rejection, Tag as ErrorTag};

/// Most tags of one record (MRS overview: "cap 20 per record").
pub const TAGS_MAX: usize = 20;
/// Longest tag in characters (MRS overview: `[0-9A-Za-z]{1,128}`).
pub const TAG_CHARS_MAX: usize = 128;
/// Longest record id in characters.
pub const RECORD_ID_CHARS_MAX: usize = 128;
/// Latest time the contract's format can print: the last millisecond of the year 9999.
const TIMESTAMP_MS_MAX: i64 = 253_402_300_799_999;

/// A parsed string type: serialized as its text, parsed again when read back.
macro_rules! text_name {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The text in its canonical form.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
        impl TryFrom<String> for $name {
            type Error = Rejection;
            fn try_from(text: String) -> Result<Self, Rejection> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.into()
            }
        }
    };
}

text_name!(
    OrgCode,
    "A tenant: `^[A-Z0-9][A-Z0-9_-]{1,31}$`, trimmed and upper-cased."
);
text_name!(
    CcCode,
    "A cost centre: `^[A-Z0-9]{4}-[A-Z0-9]{4}-[A-Z0-9]{4}$`, upper-cased."
);
text_name!(
    ContainerName,
    "A container of records: `^[a-z][a-z0-9_-]{1,79}$`, lower-cased."
);
text_name!(
    RecordId,
    "A record's id within its container: `^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`, case kept."
);
text_name!(
    Tag,
    "A search tag: `[0-9A-Za-z]{1,128}`, stored in upper case."
);

impl OrgCode {
    /// Parses an org code, or says `invalid-orgcode`.
    pub fn parse(text: &str) -> Result<Self, Rejection> {
        let code = text.trim().to_ascii_uppercase();
        let good = (2..=32).contains(&code.len())
            && code.starts_with(|c: char| c.is_ascii_alphanumeric())
            && code.bytes().all(is_code_byte);
        if good {
            Ok(Self(code.into()))
        } else {
            Err(Rejection::new(
                ErrorTag::InvalidOrgcode,
                "orgcode must be 2 to 32 letters, digits, '_' or '-', and start with a letter or digit",
            ))
        }
    }
}

impl CcCode {
    /// Parses a cost-centre code, or says `invalid-cccode`. White space around it is refused: only the org code is
    /// trimmed.
    pub fn parse(text: &str) -> Result<Self, Rejection> {
        let code = text.to_ascii_uppercase();
        let good = code.len() == 14
            && code.bytes().enumerate().all(|(index, byte)| match index {
                4 | 9 => byte == b'-',
                _ => byte.is_ascii_alphanumeric(),
            });
        if good {
            Ok(Self(code.into()))
        } else {
            Err(Rejection::new(
                ErrorTag::InvalidCccode,
                "cccode must look like AB12-CD34-EF56: three groups of four letters or digits, without spaces",
            ))
        }
    }
}

impl ContainerName {
    /// Parses a container name, or says `invalid-container`.
    pub fn parse(text: &str) -> Result<Self, Rejection> {
        let name = text.to_ascii_lowercase();
        let good = (2..=80).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(is_code_byte);
        if good {
            Ok(Self(name.into()))
        } else {
            Err(Rejection::new(
                ErrorTag::InvalidContainer,
                "container must be 2 to 80 of a-z, 0-9, '_' or '-', and start with a letter",
            ))
        }
    }
}

impl RecordId {
    /// Parses a record id, or says `invalid-record-id`.
    pub fn parse(text: &str) -> Result<Self, Rejection> {
        let good = (1..=RECORD_ID_CHARS_MAX).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(is_record_id_byte);
        if good {
            Ok(Self(text.into()))
        } else {
            Err(Rejection::new(
                ErrorTag::InvalidRecordId,
                "record_id must be 1 to 128 letters, digits, '.', '_', ':' or '-', and start with a letter or digit",
            ))
        }
    }

    /// Checks the beginning of a record id, as the list's `prefix` filter takes it.
    pub fn check_prefix(text: &str) -> Result<(), Rejection> {
        if text.is_empty() || Self::parse(text).is_ok() {
            Ok(())
        } else {
            Err(Rejection::field(
                "prefix",
                "prefix must be the beginning of a record_id",
            ))
        }
    }
}

impl Tag {
    /// Parses one tag, or says `invalid-tag`.
    pub fn parse(text: &str) -> Result<Self, Rejection> {
        let good = (1..=TAG_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if good {
            Ok(Self(text.to_ascii_uppercase().into()))
        } else {
            Err(Rejection::new(
                ErrorTag::InvalidTag,
                "a tag must be 1 to 128 letters or digits, without spaces",
            ))
        }
    }
}

fn is_code_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn is_record_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-')
}

/// A record's revision: 1 when created, one more with each change.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

/// A point in time in whole milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The given number of milliseconds since the epoch, kept within the years 1970 to 9999.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(0, TIMESTAMP_MS_MAX))
    }

    /// Milliseconds since the epoch.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// This time plus a number of milliseconds (may be negative).
    pub fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// Parses RFC 3339 with any offset, years 1970 to 9999; `None` when it is not that.
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text).ok()
    }

    /// The same, with what is wrong with a text.
    ///
    /// # Errors
    /// See [`TimeError`].
    pub fn read(text: &str) -> Result<Self, TimeError> {
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| TimeError::NotRfc3339)?;
        let millis = time.timestamp_millis();
        if (0..=TIMESTAMP_MS_MAX).contains(&millis) {
            Ok(Self(millis))
        } else {
            Err(TimeError::OutOfRange)
        }
    }
}

/// Why a text is no time that is taken; told behind the name of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// It has another form.
    #[error("must be an RFC 3339 time such as 2027-01-31T12:00:00Z")]
    NotRfc3339,
    /// It is a time, and too early or too late.
    #[error("must be in the years 1970 to 9999 (UTC)")]
    OutOfRange,
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with `Z` and milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(text) = self.text() else {
            let time = DateTime::<Utc>::from_timestamp_millis(self.0).unwrap_or_default();
            return f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true));
        };
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl Timestamp {
    /// RFC 3339 in UTC, with `Z` and milliseconds; `None` when the year does not have four digits.
    pub(super) fn text(self) -> Option<[u8; 24]> {
        let time = DateTime::<Utc>::from_timestamp_millis(self.0).unwrap_or_default();
        let year = u32::try_from(time.year()).ok();
        let year = year.filter(|year| *year <= 9_999)?;
        // By hand: answers have several, and chrono's formats are slower than all the rest of one.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let numbers = [
            (0..4, year),
            (5..7, time.month()),
            (8..10, time.day()),
            (11..13, time.hour()),
            (14..16, time.minute()),
            (17..19, time.second()),
            (20..23, time.timestamp_subsec_millis()),
        ];
        for (place, mut number) in numbers {
            for digit in text[place].iter_mut().rev() {
                *digit += (number % 10) as u8;
                number /= 10;
            }
        }
        Some(text)
    }
}

/// An MD5 digest, written as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Md5([u8; 16]);

impl Md5 {
    /// Wraps the sixteen bytes of a digest.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The digest as sixteen bytes.
    pub(super) fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use md5::Digest;
        Self(md5::Md5::digest(bytes).into())
    }

    /// Parses 32 hex digits in either case, or says `invalid-content-md5`.
    pub fn parse(text: &str) -> Result<Self, Rejection> {
        let mut bytes = [0; 16];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(Rejection::new(
                ErrorTag::InvalidContentMd5,
                "content_md5 must be the MD5 of the content as 32 hex digits",
            )),
        }
    }
}

impl fmt::Display for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 32];
        hex::encode_to_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Md5 {
    type Error = Rejection;
    fn try_from(text: String) -> Result<Self, Rejection> {
        Self::parse(&text)
    }
}

impl From<Md5> for String {
    fn from(digest: Md5) -> String {
        digest.to_string()
    }
}

/// A SHA-256 digest (FIPS 180-4), written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// Wraps the 32 bytes of a digest.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The digest as 32 bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Parses 64 hex digits in either case; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 64];
        hex::encode_to_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 is 64 hex digits")]
pub struct NotSha256;

impl TryFrom<String> for Sha256Digest {
    type Error = NotSha256;
    fn try_from(text: String) -> Result<Self, NotSha256> {
        Self::parse(&text).ok_or(NotSha256)
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> String {
        digest.to_string()
    }
}

/// The full name of one record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordKey {
    /// The org, which is the tenant.
    pub org: OrgCode,
    /// The container within the org.
    pub container: ContainerName,
    /// The id within the container.
    pub record_id: RecordId,
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn times_are_written_as_chrono_writes_them(millis in 0..=TIMESTAMP_MS_MAX) {
            let time = DateTime::<Utc>::from_timestamp_millis(millis).expect("a time");
            let expected = time.to_rfc3339_opts(SecondsFormat::Millis, true);
            proptest::prop_assert_eq!(Timestamp::from_millis(millis).to_string(), expected);
        }
    }

    #[test]
    fn names_take_what_the_contract_allows_and_nothing_else() {
        let long = "a".repeat(80);
        for (text, good) in [("ab", true), (long.as_str(), true), ("A-b_9", true)] {
            assert_eq!(ContainerName::parse(text).is_ok(), good, "{text}");
        }
        let longer = "a".repeat(81);
        for text in [
            "",
            "a",
            "9a",
            "_a",
            "a/b",
            "a..b",
            "ä1",
            " ab",
            longer.as_str(),
        ] {
            assert!(ContainerName::parse(text).is_err(), "{text:?}");
        }
        for text in ["a", "A.b:c-d_e", "0", &"x".repeat(128)] {
            assert!(RecordId::parse(text).is_ok(), "{text:?}");
        }
        for text in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a b",
            "a\0",
            "é",
            &"x".repeat(129),
        ] {
            assert!(RecordId::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(
            OrgCode::parse(" demo ").map(String::from),
            Ok("DEMO".into())
        );
        for text in ["", "A", "-AB", "A/B", &"A".repeat(33)] {
            assert!(OrgCode::parse(text).is_err(), "{text:?}");
        }
        assert!(CcCode::parse("ab12-cd34-ef56").is_ok());
        assert!(CcCode::parse("ab12cd34ef56").is_err());
        assert_eq!(Tag::parse("mit").map(String::from), Ok("MIT".into()));
        for text in ["", "a b", "a-b", "é", &"t".repeat(129)] {
            assert!(Tag::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn times_are_read_with_any_offset_and_written_in_utc_milliseconds() {
        let time = Timestamp::parse("2026-03-01T04:00:00.5+02:00").map(|time| time.to_string());
        assert_eq!(time.as_deref(), Some("2026-03-01T02:00:00.500Z"));
        for text in [
            "",
            "2026-03-01",
            "2026-13-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
