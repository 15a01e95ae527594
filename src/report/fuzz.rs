//! Lines of a log, tried with anything that may be in a file.

use super::schema;
use super::scrub::scrub;

#[test]
fn fuzz_log_lines() {
    crate::fuzz::each("log_lines", &[], |bytes| {
        let mut once = Vec::new();
        scrub(bytes, &mut once);
        assert!(!once.contains(&b'\n'));
        // Each secret that is shorter than the word that replaces it makes the line longer.
        assert!(once.len() <= 10 * bytes.len());
        if let Ok(line) = std::str::from_utf8(bytes)
            && let Err(error) = schema::lint(line)
        {
            assert!(!error.to_string().is_empty());
        }
    });
}
