//! How deep JSON may be nested: checked once, byte by byte, before anything else reads a body.

use crate::domain::{ErrorTag, Rejection};

/// Most levels of arrays and objects in a body, the body itself included: the deepest that `serde_json` reads with
/// its own limit of 127 after one more level, and far above what people write.
pub const BODY_DEPTH_MAX: usize = 128;
/// Most levels of an inline payload: the body around it is one.
pub const PAYLOAD_DEPTH_MAX: usize = BODY_DEPTH_MAX - 1;

/// Whether a text has at most `depth_max` levels of arrays and objects around each other. Brackets within strings do not
/// count. What is no JSON has the depth of its brackets.
pub fn is_within(json: &[u8], depth_max: usize) -> bool {
    // Most texts have fewer brackets than that in all, and counting them takes a fraction of the time.
    let opening = |byte: &&u8| matches!(byte, b'[' | b'{');
    if json.iter().filter(opening).count() <= depth_max {
        return true;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > depth_max {
                    return false;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// Refuses a body of more levels.
///
/// # Errors
/// `invalid-json` with the minor `too-deep` and the limit in the details.
pub(super) fn check(body: &[u8], depth_max: usize) -> Result<(), Rejection> {
    if is_within(body, depth_max) {
        Ok(())
    } else {
        Err(Rejection::new(
            ErrorTag::InvalidJson,
            format!(
                "The body has more than {depth_max} levels of nested arrays and objects. Send fewer levels; deeper content can be uploaded with mode \"presign\"."
            ),
        )
        .with_minor("too-deep")
        .with_detail("depth_max", depth_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_counted_outside_of_strings_alone() {
        for (json, depth) in [
            ("1", 0),
            ("[]", 1),
            ("[[],[]]", 2),
            (r#"{"a":[{}]}"#, 3),
            (r#"["[[[["]"#, 1),
            (r#"["\"[[","\\",[]]"#, 2),
            ("]]]]", 0),
            ("]][[", 2),
        ] {
            assert!(is_within(json.as_bytes(), depth), "{json}");
            assert!(
                depth == 0 || !is_within(json.as_bytes(), depth - 1),
                "{json}"
            );
        }
    }
}
