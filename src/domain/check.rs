//! Checks of the texts that commands carry, whoever sends them: HTTP, an operator, or a program that embeds the actors.

use super::Rejection;

/// Longest id of a maintenance window, a vacuum or another thing that operators name, in characters.
pub const ID_CHARS_MAX: usize = 64;

/// What a scrypt hash in PHC string format begins with.
const SCRYPT: &str = "$scrypt$";

/// Checks an id that becomes part of rows and log lines.
///
/// # Errors
/// `invalid-input` naming the field.
pub fn id(field: &str, text: &str) -> Result<(), Rejection> {
    let first = text.bytes().next();
    let starts = first.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    if starts && text.len() <= ID_CHARS_MAX && text.bytes().all(plain) {
        return Ok(());
    }
    let message = format!(
        "{field} must have 1 to {ID_CHARS_MAX} letters, digits, '.', '_', ':' or '-', and begin with a letter or a digit."
    );
    Err(Rejection::field(field, message))
}

/// Checks a text that must say something.
///
/// # Errors
/// `invalid-input` naming the field.
pub fn text(field: &str, text: &str, chars_max: usize) -> Result<(), Rejection> {
    if text.trim().is_empty() {
        return Err(Rejection::field(field, format!("{field} is missing.")));
    }
    short(field, text, chars_max)
}

/// Checks a text that may be absent, but not blank.
///
/// # Errors
/// `invalid-input` naming the field.
pub fn optional_text(field: &str, given: Option<&str>, chars_max: usize) -> Result<(), Rejection> {
    given.map_or(Ok(()), |given| text(field, given, chars_max))
}

/// Checks that a text is not too long. It may be empty.
///
/// # Errors
/// `invalid-input` naming the field.
pub fn short(field: &str, text: &str, chars_max: usize) -> Result<(), Rejection> {
    // Characters are counted only where bytes do not tell already.
    if text.len() <= chars_max || text.chars().count() <= chars_max {
        return Ok(());
    }
    let message = format!("{field} may have at most {chars_max} characters.");
    Err(Rejection::field(field, message))
}

/// Checks a name from elsewhere, such as that of a principal: not blank, short, and without control characters.
///
/// # Errors
/// `invalid-input` naming the field.
pub fn name(field: &str, given: &str, chars_max: usize) -> Result<(), Rejection> {
    text(field, given, chars_max)?;
    if given.contains(char::is_control) {
        let message = format!("{field} must not contain control characters.");
        return Err(Rejection::field(field, message));
    }
    Ok(())
}

/// Checks a hash: so many bytes in lower-case hex.
///
/// # Errors
/// `invalid-input` naming the field.
pub fn hash(field: &str, text: &str, bytes: usize) -> Result<(), Rejection> {
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() == 2 * bytes && text.bytes().all(hex) {
        return Ok(());
    }
    let digits = 2 * bytes;
    let message = format!("{field} must be a hash of {digits} lower-case hex digits.");
    Err(Rejection::field(field, message))
}

/// Checks the hash of a passcode or a code: scrypt, in PHC string format.
///
/// # Errors
/// `invalid-input` naming the field.
pub fn scrypt_hash(field: &str, text: &str) -> Result<(), Rejection> {
    if text.starts_with(SCRYPT) {
        return Ok(());
    }
    let message = format!("{field} must be a scrypt hash in PHC form.");
    Err(Rejection::field(field, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_texts_names_and_hashes_are_held_to_their_forms() {
        let long = "x".repeat(65);
        for (good, text) in [
            (true, "mw-1"),
            (true, "019f-a.b_c:d"),
            (false, ""),
            (false, "a b"),
            (false, "a\nb"),
            (false, "-a"),
            (false, "ä"),
            (false, long.as_str()),
        ] {
            assert_eq!(id("maintenance_id", text).is_ok(), good, "{text:?}");
        }
        assert!(text("t", "ää", 2).is_ok() && text("t", "ääb", 2).is_err());
        assert!(text("t", " \n", 9).is_err() && short("t", "", 9).is_ok());
        assert!(optional_text("t", None, 1).is_ok() && optional_text("t", Some(""), 1).is_err());
        assert!(name("by", "job:ttl", 9).is_ok() && name("by", "a\u{7}", 9).is_err());
        assert!(
            hash("h", "0a", 1).is_ok() && hash("h", "0A", 1).is_err() && hash("h", "0", 1).is_err()
        );
    }
}
