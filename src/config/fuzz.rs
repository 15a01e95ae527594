//! Settings files, tried with any bytes.

use std::path::Path;

use super::Settings;

#[test]
fn fuzz_settings() {
    crate::fuzz::each("settings", &[], |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        if let Err(error) = Settings::defaults().read_text(text, Path::new("s.toml")) {
            assert!(error.to_string().len() < 1_024, "{error}");
        }
    });
}
