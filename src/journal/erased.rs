//! What replaces an erased body: a line of the same length, so that nothing else moves.
//!
//! `{"header":{...},"body":null,"erased":{"by":17,"filler":300,"pad":"   "}}`: `by` is the position of the event that
//! erased it, `filler` the bytes of the payload that followed it and are spaces now (absent when there was none),
//! and `pad` is spaces. The header is unchanged, so the chain still verifies.

use super::{EntryError, Position};

/// The filler byte for what was erased.
pub(crate) const FILLER: u8 = b' ';

const BODY: &[u8] = br#","body":"#;
const BY: &str = r#","erased":{"by":"#;
const BY_FILLER: &str = r#","filler":"#;
const PAD: &str = r#","pad":""#;
const END: &str = r#""}}"#;

/// The facts in an erased line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// The position of the event that erased it.
    pub by: Position,
    /// Bytes of filler after the line, without their line feed.
    pub filler: Option<usize>,
}

impl Erasure {
    /// Parses what follows `"body":null`.
    ///
    /// # Errors
    /// [`EntryError::Placeholder`] unless it is what [`Erasure::write`] writes.
    pub(crate) fn parse(rest: &[u8]) -> Result<Self, EntryError> {
        let read = || {
            let text = std::str::from_utf8(rest).ok()?.strip_prefix(BY)?;
            let (numbers, pad) = text.split_once(PAD)?;
            let (by, filler) = match numbers.split_once(BY_FILLER) {
                Some((by, filler)) => (by, Some(filler.parse().ok()?)),
                None => (numbers, None),
            };
            let erasure = Self {
                by: by.parse().ok()?,
                filler,
            };
            let pad = pad.strip_suffix(END)?.len();
            (erasure.text(pad)?.as_bytes() == rest).then_some(erasure)
        };
        read().ok_or(EntryError::Placeholder)
    }

    /// The erased form of a line without its line feed: as long as before.
    ///
    /// # Errors
    /// [`EntryError`] when it is no entry's line, or its body is shorter than what replaces it.
    pub(crate) fn write(self, line: &[u8]) -> Result<Vec<u8>, EntryError> {
        // A header has no nested object, so its first closing brace ends it.
        let header = line.iter().position(|byte| *byte == b'}').map(|at| at + 1);
        let header = header.filter(|at| line[*at..].starts_with(BODY));
        let header = header.ok_or(EntryError::NoBody)?;
        let mut erased = line[..header].to_vec();
        erased.extend_from_slice(BODY);
        erased.extend_from_slice(b"null");
        let fixed = self.text(0).map_or(0, |text| text.len());
        let pad = line.len().checked_sub(erased.len() + fixed);
        let text = pad.and_then(|pad| self.text(pad));
        let text = text.ok_or(EntryError::BodyTooShort)?;
        erased.extend_from_slice(text.as_bytes());
        Ok(erased)
    }

    fn text(self, pad: usize) -> Option<String> {
        let mut text = format!("{BY}{}", self.by);
        if let Some(filler) = self.filler {
            text.push_str(&format!("{BY_FILLER}{filler}"));
        }
        text.push_str(PAD);
        text.extend(std::iter::repeat_n(char::from(FILLER), pad));
        text.push_str(END);
        Some(text)
    }
}

/// Bytes of filler after an erased line, line feed included; `None` when it is not one, or nothing follows it.
pub(crate) fn filler_behind(line: &[u8]) -> Option<usize> {
    let header = line.iter().position(|byte| *byte == b'}')? + 1;
    let rest = line[header..].strip_prefix(br#","body":null"#)?;
    Erasure::parse(rest.strip_suffix(b"\n")?).ok()?.filler
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = br#"{"header":{"position":3,"prev":"x"},"body":{"salt":"0123456789abcdef0123456789abcdef","stream":"mrs/DEMO/notes/n-1","events":[]}}"#;

    #[test]
    fn an_erased_line_is_as_long_as_it_was_and_says_who_erased_it() {
        for filler in [None, Some(300)] {
            let erasure = Erasure { by: 17, filler };
            let erased = erasure.write(LINE).unwrap();
            assert_eq!(erased.len(), LINE.len());
            let text = String::from_utf8(erased.clone()).unwrap();
            assert!(text.starts_with(
                r#"{"header":{"position":3,"prev":"x"},"body":null,"erased":{"by":17"#
            ));
            assert!(!text.contains("DEMO"), "{text}");
            let rest = text.split_once("null").unwrap().1;
            assert_eq!(Erasure::parse(rest.as_bytes()).unwrap(), erasure);
            let with_line_feed = [erased.as_slice(), b"\n"].concat();
            assert_eq!(filler_behind(&with_line_feed), filler);
        }
        assert_eq!(filler_behind(&[LINE, b"\n"].concat()), None);
    }

    #[test]
    fn any_other_byte_is_seen() {
        let erased = Erasure {
            by: 37,
            filler: None,
        }
        .write(LINE)
        .unwrap();
        let start = erased.windows(4).position(|part| part == b"null").unwrap() + 4;
        for at in start..erased.len() {
            let mut damaged = erased.clone();
            damaged[at] ^= 1;
            let read = Erasure::parse(&damaged[start..]);
            // A changed digit of the position is found by what that position holds, not by the line.
            let digit = erased[at].is_ascii_digit() && damaged[at].is_ascii_digit();
            assert_eq!(read.is_ok(), digit, "byte {at}");
        }
    }
}
