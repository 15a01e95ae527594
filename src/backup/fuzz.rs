//! Manifests of backups, tried with any bytes.

use super::Manifest;
use super::tests::manifest;

#[test]
fn fuzz_backup_manifests() {
    let seeds = [manifest()
        .to_text()
        .expect("it can be written")
        .into_bytes()];
    crate::fuzz::each("backup_manifests", &seeds, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        if let Ok(manifest) = Manifest::parse(text) {
            assert_eq!(manifest.to_text().ok().as_deref(), Some(text));
        }
    });
}
