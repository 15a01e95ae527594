//! What is wrong with what a caller sent, in the caller's words: serde's errors name types of this program.

use serde_json::error::Category;

/// Most characters of a message about one fault. No name in it is cut.
const MESSAGE_CHARS_MAX: usize = 600;
/// Longest name chosen by a caller that an answer repeats.
const NAME_CHARS_MAX: usize = 64;

/// What a text that is no JSON begins with, and what that is.
const BEGINNINGS: &[(&[u8], &str)] = &[
    (
        b"\xef\xbb\xbf",
        "begins with a byte order mark; send the JSON without it",
    ),
    (b"\xfe\xff", "is UTF-16; send UTF-8"),
    (b"\xff\xfe", "is UTF-16; send UTF-8"),
    (
        b"\x1f\x8b",
        "is gzip; send the header Content-Encoding: gzip with it, or send it as it is",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "is compressed with zstd; send gzip with Content-Encoding: gzip, or send it as it is",
    ),
    (b"{\0", "is UTF-16; send UTF-8"),
    (b"\0{", "is UTF-16; send UTF-8"),
];

/// The message for a body that is no JSON.
pub(super) fn no_json(body: &[u8], error: &serde_json::Error) -> String {
    if body.trim_ascii().is_empty() {
        return "The body is empty; send a JSON object.".to_owned();
    }
    let known = BEGINNINGS.iter().find(|(begin, _)| body.starts_with(begin));
    if let Some((_, what)) = known {
        return format!("The body {what}.");
    }
    if let Err(error) = str::from_utf8(body) {
        let at = error.valid_up_to();
        return format!(
            "The body is not UTF-8: its byte {at}, counted from 0, is no part of a character."
        );
    }
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Eof => format!("The body ends within its JSON, at {place}; send it whole."),
        Category::Syntax | Category::Data | Category::Io => {
            let text = error.to_string();
            let what = text.split(" at line ").next().unwrap_or_default();
            let what = what.replace('`', "\"");
            format!("The body is not JSON: {what} at {place}.")
        }
    }
}

/// The field that an error of serde names, when it names one.
pub(super) fn named(error: &str) -> Option<&str> {
    let by_name = error.starts_with("unknown field")
        || error.starts_with("duplicate field")
        || error.starts_with("missing field");
    error.split('`').nth(1).filter(|_| by_name)
}

/// A name as an answer repeats it: whole, or, when it is longer than any of ours, its beginning and that it continues.
pub(super) fn shortened(name: &str) -> String {
    match name.char_indices().nth(NAME_CHARS_MAX) {
        None => name.to_owned(),
        Some((end, _)) => format!("{}...", &name[..end]),
    }
}

/// What is wrong with a field, from what serde says. The value is not repeated: it may be a secret in the wrong place.
pub(super) fn misfit(field: &str, error: &str, of: &str) -> String {
    let error = error.split(" at line ").next().unwrap_or_default();
    let field = shortened(field);
    if error.starts_with("unknown field") {
        return unknown(&field, error, of);
    }
    if error.starts_with("duplicate field") {
        return format!("{field} occurs more than once; send it once.");
    }
    if error.starts_with("missing field") {
        return format!("{field} is missing.");
    }
    let Some((given, expected)) = error.rsplit_once(", expected ") else {
        // Our own words, or those of a parser of numbers.
        return match error {
            "invalid digit found in string"
            | "cannot parse integer from empty string"
            | "number too large to fit in target type"
            | "number too small to fit in target type" => {
                format!("{field} must be a whole number.")
            }
            own => format!("{field} is invalid: {}.", own.replace('`', "")),
        };
    };
    if given.starts_with("unknown variant") {
        return format!("{field} must be {}.", names(expected));
    }
    let expected = wanted(expected);
    match given.strip_prefix("invalid type: ") {
        Some(given) => format!("{field} must be {expected}, and not {}.", sent(given)),
        None => format!("{field} must be {expected}."),
    }
}

fn unknown(field: &str, error: &str, of: &str) -> String {
    let known = error
        .rsplit_once(", expected ")
        .map(|(_, known)| names(known));
    let known = known.filter(|known| known.chars().count() <= MESSAGE_CHARS_MAX);
    match known {
        Some(known) => format!("{of} has no field {field} here; known fields: {known}."),
        None => format!("{of} has no field {field} here; see /openapi.json."),
    }
}

/// `one of `a`, `b`` as `a, b`.
fn names(text: &str) -> String {
    text.trim_start_matches("one of ").replace('`', "")
}

/// What is expected, by the name that serde has for it.
fn wanted(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a map" => "an object",
        "unit" => "null",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

/// What was sent, by the name that serde has for it, without its value.
fn sent(given: &str) -> &'static str {
    let kind = given.split(' ').next().unwrap_or_default();
    match kind {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "floating" => "a number with a fraction",
        "string" | "character" => "a string",
        "sequence" => "an array",
        "map" => "an object",
        "null" | "unit" => "null",
        _ => "what was sent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_told_without_names_of_types_and_without_the_value() {
        for (error, message) in [
            (
                "invalid type: floating point `1.5`, expected u64 at line 1 column 9",
                "size must be a whole number from 0, and not a number with a fraction.",
            ),
            (
                "invalid type: string \"secret, expected x\", expected a sequence",
                "size must be an array, and not a string.",
            ),
            (
                "invalid type: sequence, expected struct WhichSession with 1 element",
                "size must be an object, and not an array.",
            ),
            (
                "invalid value: integer `-1`, expected u64",
                "size must be a whole number from 0.",
            ),
            (
                "unknown field `size`, expected `a` or `b`",
                "The body has no field size here; known fields: a or b.",
            ),
            (
                "unknown field `size`, expected one of `a`, `b`, `c`",
                "The body has no field size here; known fields: a, b, c.",
            ),
            (
                "duplicate field `size`",
                "size occurs more than once; send it once.",
            ),
            (
                "unknown variant `secret`, expected `a` or `b`",
                "size must be a or b.",
            ),
            (
                "a revision is a whole number from 1",
                "size is invalid: a revision is a whole number from 1.",
            ),
            (
                "invalid digit found in string",
                "size must be a whole number.",
            ),
        ] {
            assert_eq!(misfit("size", error, "The body"), message);
        }
    }

    #[test]
    fn what_is_no_json_is_said_to_be_what_it_is() {
        for (body, what) in [
            (&b""[..], "empty"),
            (b" \r\n", "empty"),
            (b"\xef\xbb\xbf{}", "byte order mark"),
            (b"\xff\xfe{\0}\0", "UTF-16"),
            (b"\x1f\x8b\x08\0", "Content-Encoding: gzip"),
            (b"{\"a\":\"\xc3\"}", "byte 6"),
            (b"{\"a\":", "ends within its JSON"),
            (b"{\"a\" 1}", "line 1, column 6"),
        ] {
            let error = serde_json::from_slice::<serde_json::Value>(body).unwrap_err();
            let message = no_json(body, &error);
            assert!(message.contains(what), "{message}");
        }
    }

    #[test]
    fn a_long_name_is_told_in_part_and_says_so() {
        let name = "n".repeat(200);
        let error = format!("unknown field `{name}`, expected `a`");
        let message = misfit(&name, &error, "The body");
        assert!(
            message.contains("nnn... here") && message.len() < 200,
            "{message}"
        );
    }
}
