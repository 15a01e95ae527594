//! The check of fields that may hold a text of a caller's or of the system's: what looks like a secret is replaced by a fixed word.
//!
//! The types of all other fields keep secrets out. It may replace too much, such as a hash in the
//! text of an error.

/// The word in place of what was taken out.
pub const SCRUBBED: &str = "[scrubbed]";

/// Shortest run of letters and digits that is a secret when all are hex digits.
const HEX_MIN: usize = 32;
/// Shortest run with digits, small and capital letters that is one.
const MIXED_MIN: usize = 20;
/// Shortest run with a digit that is one.
const DIGIT_MIN: usize = 40;
/// Shortest run of any letters that is one.
const ANY_MIN: usize = 64;
/// Shortest run of percent-encoded bytes that is one.
const PERCENT_MIN: usize = 4;
/// Most bytes of a name and a passcode in an address.
const USER_BYTES_MAX: usize = 256;
/// Most letters that say what an id is of.
const KIND_MAX: usize = 8;
/// What keys and tokens of ours begin with, and the least they have.
const PREFIXES: &[(&[u8], usize)] = &[(b"g3nk_", 6), (b"op_", 20), (b"eyJ", 8)];
/// Parts of names that a credential follows.
const CREDENTIALS: &[&[u8]] = &[
    b"session_guid",
    b"session-guid",
    b"api_key",
    b"api-key",
    b"apikey",
    b"authorization",
    b"bearer",
    b"basic",
    b"passcode",
    b"password",
    b"secret",
    b"token",
    b"cookie",
    b"signature",
    b"credential",
];
/// Whether a prefix of a key or token begins with a byte.
const BEGINS_A_PREFIX: [bool; 256] = {
    let mut bytes = [false; 256];
    let mut at = 0;
    while at < PREFIXES.len() {
        bytes[PREFIXES[at].0[0] as usize] = true;
        at += 1;
    }
    bytes
};
/// Whether the name of a credential begins with two letters, by [`pair`].
const BEGINS_A_NAME: [bool; 1 << 10] = {
    let mut pairs = [false; 1 << 10];
    let mut at = 0;
    while at < CREDENTIALS.len() {
        pairs[pair(CREDENTIALS[at][0], CREDENTIALS[at][1])] = true;
        at += 1;
    }
    pairs
};
/// Bytes of the shortest name of a credential.
const NAME_MIN: usize = {
    let mut shortest = usize::MAX;
    let mut at = 0;
    while at < CREDENTIALS.len() {
        if CREDENTIALS[at].len() < shortest {
            shortest = CREDENTIALS[at].len();
        }
        at += 1;
    }
    shortest
};
/// Ends of names that a number follows, such as `wrong_passcodes_max`.
const NUMBERED: &[&[u8]] = &[b"_max", b"_seconds", b"_days", b"api_keys"];
/// Names that a credential may follow after a space.
const SCHEMES: &[&[u8]] = &[b"bearer", b"basic"];
/// The one field that holds what a caller chose; its form is checked.
const REQUEST_ID: &[u8] = b"request_id";

/// The class of a byte of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Part of a run: a letter, a digit, `_`, `-` or `+`.
    Run,
    /// A byte that may begin something that is replaced or skipped.
    Special,
    Other,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'+' => Class::Run,
            b'\\' | b'%' | b':' | b'\n' | b'\r' => Class::Special,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

/// One number for two letters, the same for small and capital ones.
const fn pair(first: u8, second: u8) -> usize {
    ((first & 31) as usize) << 5 | (second & 31) as usize
}

/// Adds a line to `out` without what looks like a secret, and without line breaks.
pub fn scrub(line: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    // Where that begins which stays as it is and was not added yet.
    let mut kept = 0;
    let mut before = Before::default();
    while let Some(&byte) = line.get(at) {
        let (taken, instead): (usize, Option<&[u8]>) = match CLASSES[usize::from(byte)] {
            Class::Other => (1, None),
            Class::Run => {
                let run = run(&line[at..]);
                let gap = line.get(before.end..at).unwrap_or_default();
                let scrubbed = before.calls_for(gap, run);
                before = Before {
                    run,
                    end: at + run.len(),
                    scrubbed,
                };
                (run.len(), scrubbed.then_some(SCRUBBED.as_bytes()))
            }
            Class::Special if byte == b':' && line[at..].starts_with(b"://") => {
                out.extend_from_slice(&line[kept..at + 3]);
                at += 3;
                kept = at;
                let user = user_info(&line[at..]);
                (user.unwrap_or(0), user.map(|_| SCRUBBED.as_bytes()))
            }
            Class::Special => special(&line[at..]),
        };
        if let Some(instead) = instead {
            out.extend_from_slice(&line[kept..at]);
            out.extend_from_slice(instead);
            kept = at + taken;
        }
        at += taken;
    }
    out.extend_from_slice(line.get(kept..).unwrap_or_default());
}

/// How many bytes belong to an escape, a percent sign, a colon or a line break, and what replaces them.
fn special(rest: &[u8]) -> (usize, Option<&'static [u8]>) {
    match rest[0] {
        b'\\' => (escape(rest), None),
        b'%' => match percents(rest) {
            encoded @ PERCENT_MIN.. => (3 * encoded, Some(SCRUBBED.as_bytes())),
            _ => (1, None),
        },
        b'\n' | b'\r' => (1, Some(b" ")),
        _ => (1, None),
    }
}

/// The run before another one.
#[derive(Default)]
struct Before<'a> {
    run: &'a [u8],
    end: usize,
    scrubbed: bool,
}

impl Before<'_> {
    /// Whether a run that follows it, after a gap, is a secret.
    fn calls_for(&self, gap: &[u8], run: &[u8]) -> bool {
        let prefixed = BEGINS_A_PREFIX[usize::from(run[0])]
            && PREFIXES
                .iter()
                .any(|(prefix, min)| run.len() >= *min && run.starts_with(prefix));
        if prefixed {
            return true;
        }
        if self.run == REQUEST_ID && !self.scrubbed && gap == b"\":\"" {
            return false;
        }
        let part_of_token = self.scrubbed && gap == b"." && run.len() >= 8;
        let named = self.names_a_credential(gap) && !self.names_a_number(run);
        part_of_token || named || looks_random(run)
    }

    /// Whether the run ahead is a limit or a time by its name, and this one its number.
    fn names_a_number(&self, run: &[u8]) -> bool {
        let digits = run.strip_prefix(b"-").unwrap_or(run);
        digits.iter().all(u8::is_ascii_digit) && NUMBERED.iter().any(|end| self.run.ends_with(end))
    }

    fn names_a_credential(&self, gap: &[u8]) -> bool {
        if gap.is_empty() || gap.len() > 6 {
            return false;
        }
        let between = gap.iter().all(|byte| {
            matches!(
                byte,
                b' ' | b'\n' | b'\r' | b':' | b'=' | b'"' | b'\'' | b'\\'
            )
        });
        let assigned = gap.iter().any(|byte| matches!(byte, b':' | b'='));
        between
            && (assigned && names_one(self.run)
                || SCHEMES
                    .iter()
                    .any(|name| self.run.eq_ignore_ascii_case(name)))
    }
}

/// Whether a run has the name of a credential in it.
fn names_one(run: &[u8]) -> bool {
    let places = (run.len() + 1).saturating_sub(NAME_MIN);
    run.windows(2).take(places).enumerate().any(|(at, two)| {
        let begins = |name: &&[u8]| {
            let start = run.get(at..at + name.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        // Nearly every place is skipped after two bytes.
        BEGINS_A_NAME[pair(two[0], two[1])] && CREDENTIALS.iter().any(begins)
    })
}

/// The letters and digits at the beginning.
fn run(bytes: &[u8]) -> &[u8] {
    let is_over = |byte: &u8| CLASSES[usize::from(*byte)] != Class::Run;
    let end = bytes.iter().position(is_over);
    &bytes[..end.unwrap_or(bytes.len())]
}

/// How long the escape at the beginning is: none of it belongs to a run.
fn escape(bytes: &[u8]) -> usize {
    let hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    match bytes.get(1) {
        Some(b'u') if bytes.get(2..6).is_some_and(hex) => 6,
        Some(b'\n' | b'\r') | None => 1,
        Some(_) => 2,
    }
}

/// The number of percent-encoded bytes at the beginning.
fn percents(bytes: &[u8]) -> usize {
    let encoded = |three: &&[u8]| {
        three[0] == b'%' && three[1].is_ascii_hexdigit() && three[2].is_ascii_hexdigit()
    };
    bytes.chunks_exact(3).take_while(encoded).count()
}

/// How long the name and the passcode of an address are, when there are any; the `@` is not counted.
fn user_info(bytes: &[u8]) -> Option<usize> {
    let within = &bytes[..bytes.len().min(USER_BYTES_MAX)];
    let end = within
        .iter()
        .position(|byte| matches!(byte, b'@' | b'/' | b'"' | b'\\' | b' '))?;
    (end > 0 && within[end] == b'@' && within[..end] != *SCRUBBED.as_bytes()).then_some(end)
}

fn looks_random(run: &[u8]) -> bool {
    if run.len() < MIXED_MIN || is_uuid(run) {
        return false;
    }
    let any = |is: fn(&u8) -> bool| run.iter().any(is);
    let digit = any(u8::is_ascii_digit);
    let mixed = digit && any(u8::is_ascii_lowercase) && any(u8::is_ascii_uppercase);
    mixed
        || run.len() >= HEX_MIN && run.iter().all(u8::is_ascii_hexdigit)
        || run.len() >= DIGIT_MIN && digit
        || run.len() >= ANY_MIN
}

/// An id in the usual form: 8, 4, 4, 4 and 12 hex digits, perhaps after a few letters such as `vac_`.
fn is_uuid(run: &[u8]) -> bool {
    let Some((kind, uuid)) = run.len().checked_sub(36).map(|at| run.split_at(at)) else {
        return false;
    };
    let letter = |byte: &u8| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-');
    kind.len() <= KIND_MAX
        && kind.iter().all(letter)
        && uuid.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scrubbed(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        scrub(text, &mut out);
        out
    }

    #[test]
    fn what_looks_like_a_secret_is_replaced_and_the_rest_is_left() {
        let guid = "0192f0c1-7a3b-7c4d-8e5f-001122334455";
        let hex = "9f86d081884c7d659a2feaa0c55ad015";
        let base64 = "Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZg==";
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
        for (text, left) in [
            ("an object 12 is left over".to_owned(), None),
            (format!("object {guid} is damaged"), None),
            (format!("the vacuum vac_{guid} failed"), None),
            (
                format!("session_guid={guid}"),
                Some("session_guid=[scrubbed]"),
            ),
            (
                format!("x-session-guid: {guid}, x"),
                Some("x-session-guid: [scrubbed], x"),
            ),
            (
                "\\\"passcode\\\":\\\"a b\\\"".to_owned(),
                Some("\\\"passcode\\\":\\\"[scrubbed] b\\\""),
            ),
            ("key g3nk_x1y2 is".to_owned(), Some("key [scrubbed] is")),
            (
                "Authorization: Bearer abc".to_owned(),
                Some("Authorization: [scrubbed] [scrubbed]"),
            ),
            ("bearer abc".to_owned(), Some("bearer [scrubbed]")),
            (
                "passcode: 12345678".to_owned(),
                Some("passcode: [scrubbed]"),
            ),
            ("wrong_passcodes_max = \"10\"".to_owned(), None),
            (
                "wrong_passcodes_max = \"hush\"".to_owned(),
                Some("wrong_passcodes_max = \"[scrubbed]\""),
            ),
            (
                format!("got {jwt} now"),
                Some("got [scrubbed].[scrubbed].[scrubbed] now"),
            ),
            (format!("hash {hex}!"), Some("hash [scrubbed]!")),
            (format!("body {base64}"), Some("body [scrubbed]==")),
            ("a%63%61%6E%61b".to_owned(), Some("a[scrubbed]b")),
            (
                "https://ann:pw@host/x".to_owned(),
                Some("https://[scrubbed]@host/x"),
            ),
            ("https://host/x@y".to_owned(), None),
            ("two\nlines\r".to_owned(), Some("two lines ")),
            (format!("{{\"request_id\":\"{hex}\"}}"), None),
            // A name that is itself removed reveals nothing.
            (
                format!("bearer:request_id\":\"{hex}"),
                Some("bearer:[scrubbed]\":\"[scrubbed]"),
            ),
            (
                "{\"request_id\":\"g3nk_secret\"}".to_owned(),
                Some("{\"request_id\":\"[scrubbed]\"}"),
            ),
            (
                "/home/ann/.cargo/registry/src/index-1949cf8c6b5b557f/actix-http-3.20.0/src/h1.rs:7"
                    .to_owned(),
                None,
            ),
        ] {
            let left = left.unwrap_or(&text);
            assert_eq!(
                String::from_utf8_lossy(&scrubbed(text.as_bytes())),
                left,
                "{text}"
            );
        }
    }

    /// Parts of lines that matter to the filter, in any order.
    fn parts() -> impl Strategy<Value = Vec<u8>> {
        let part = prop::sample::select(vec![
            "bearer",
            "Basic",
            "token",
            "x-api-key",
            "request_id",
            ":",
            "=",
            " ",
            "\"",
            "\\",
            "\":\"",
            "u00e9",
            "\n",
            "\r",
            "%41",
            "://",
            "@",
            "/",
            ".",
            "eyJabcdef",
            "g3nk_x1",
            "op_0123456789abcdef01",
            "aB3",
            "0192f0c1-7a3b-7c4d-8e5f-001122334455",
            "[scrubbed]",
            "0123456789abcdef",
            "zz",
            "vac_",
            "\u{e9}",
        ]);
        prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn twice_is_once_for_what_is_made_of_what_matters(bytes in parts()) {
            let once = scrubbed(&bytes);
            prop_assert!(!once.contains(&b'\n') && !once.contains(&b'\r'));
            let (once, twice) = (String::from_utf8_lossy(&once).into_owned(), scrubbed(&once));
            prop_assert_eq!(String::from_utf8_lossy(&twice), once);
        }

        #[test]
        fn any_bytes_can_be_scrubbed_and_twice_is_once(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let once = scrubbed(&bytes);
            prop_assert!(!once.contains(&b'\n') && !once.contains(&b'\r'));
            prop_assert_eq!(scrubbed(&once), once);
        }

        #[test]
        fn what_is_json_stays_json(text in "[a-zA-Z0-9%:/@=\\\\\"\u{e9}\n _.+-]{0,200}", other in any::<String>()) {
            for text in [text, other] {
                let line = serde_json::to_vec(&serde_json::json!({"text": text})).expect("it is JSON");
                let line = scrubbed(&line);
                let parsed = serde_json::from_slice::<serde_json::Value>(&line);
                prop_assert!(parsed.is_ok(), "{}", String::from_utf8_lossy(&line));
            }
        }

        #[test]
        fn no_key_token_or_long_random_text_is_left(secret in "g3nk_[a-zA-Z0-9_-]{4,60}|[0-9a-f]{32,80}|[A-Z][a-z][0-9][A-Za-z0-9+]{20,60}|eyJ[A-Za-z0-9]{8,40}", around in "[a-z ]{0,20}") {
            let line = format!("{around} {secret} {around}");
            let line = String::from_utf8_lossy(&scrubbed(line.as_bytes())).to_ascii_lowercase();
            prop_assert!(!line.contains(&secret.to_ascii_lowercase()));
        }
    }
}
