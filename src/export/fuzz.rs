//! Files of an export, tried with any bytes.

use super::check::parse_manifest;
use super::is_file_name;
use super::line::EventLine;
use crate::domain::OrgCode;
use crate::fuzz;

#[test]
fn fuzz_exports() {
    let org = OrgCode::parse("DEMO").expect("a code");
    fuzz::each("exports", &[], |bytes| {
        if let Ok(line) = serde_json::from_slice::<EventLine>(bytes)
            && let Ok(append) = line.append(&org)
        {
            assert_eq!(append.expected + 1, line.version);
            assert!(super::line::leaves_with(&org, append.stream.as_str()));
        }
        if let Ok(manifest) = parse_manifest(bytes) {
            assert!(manifest.files.iter().all(|file| is_file_name(&file.name)));
        }
    });
}
