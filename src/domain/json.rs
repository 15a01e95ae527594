//! JSON written into a buffer piece by piece, for answers and lines of the log, where a serializer's way was half of the cost.

use super::Timestamp;

/// Appends a text in quotes, with what JSON escapes escaped as `serde_json` does.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    // Without an early end, so that the compiler looks at many bytes at once.
    let is_escaped = |byte: u8| (byte < b' ') | (byte == b'"') | (byte == b'\\');
    if text
        .bytes()
        .fold(false, |found, byte| found | is_escaped(byte))
    {
        // Writing a text to memory cannot fail.
        let _: Result<(), _> = serde_json::to_writer(out, text);
        return;
    }
    push_plain(out, text.as_bytes());
}

/// Appends a text in quotes, in which nothing is to be escaped.
pub(crate) fn push_plain(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

/// Appends a number in decimal digits.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = number;
    loop {
        at -= 1;
        // A remainder of ten is a digit.
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends bytes in quotes, in lower-case hex digits.
pub(crate) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len() * 2, 0);
    hex::encode_to_slice(bytes, &mut out[start..]).expect("two places a byte hold it in hex");
    out.push(b'"');
}

/// Appends a time in quotes, in RFC 3339.
pub(crate) fn push_time(out: &mut Vec<u8>, at: Timestamp) {
    match at.text() {
        Some(text) => push_plain(out, &text),
        None => push_text(out, &at.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is appended to a buffer that is not empty.
    fn pushed(push: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = b"[".to_vec();
        push(&mut out);
        String::from_utf8(out).unwrap()[1..].to_owned()
    }

    #[test]
    fn each_character_is_written_as_a_serializer_writes_it() {
        for character in (0..=0x2100).filter_map(char::from_u32) {
            let text = format!("a{character}b");
            let written = pushed(|out| push_text(out, &text));
            assert_eq!(written, serde_json::to_string(&text).unwrap());
        }
    }

    proptest! {
        #[test]
        fn texts_numbers_and_times_are_written_as_a_serializer_writes_them(
            text in ".*",
            number in any::<u64>(),
            small in 0..1_000_u64,
            millis in 0..253_402_300_800_000_i64,
            bytes in any::<[u8; 16]>(),
        ) {
            prop_assert_eq!(pushed(|out| push_text(out, &text)), serde_json::to_string(&text).unwrap());
            for number in [number, small] {
                prop_assert_eq!(pushed(|out| push_number(out, number)), number.to_string());
            }
            let at = Timestamp::from_millis(millis);
            prop_assert_eq!(pushed(|out| push_time(out, at)), format!("\"{at}\""));
            prop_assert_eq!(pushed(|out| push_hex(out, &bytes)), format!("\"{}\"", hex::encode(bytes)));
        }
    }
}
