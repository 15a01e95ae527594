//! Whether a place belongs to a data directory, so that nothing else is written there.

use std::path::{Path, PathBuf};

use super::MARKER;

/// The data directory that a path is, or lies in, whether it is there already or not.
pub fn around(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    let mut above = absolute.ancestors();
    let there = above.find_map(|above| above.canonicalize().ok())?;
    let mut above = there.ancestors();
    let found = above.find(|above| above.join(MARKER).is_file());
    found.map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_data_directory_is_known_as_such() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        let data = root.join("data");
        std::fs::create_dir_all(data.join("content/DEMO")).unwrap();
        std::fs::write(data.join(MARKER), "{}").unwrap();
        std::os::unix::fs::symlink(&data, root.join("link")).unwrap();
        for (place, inside) in [
            ("data", true),
            ("data/content/DEMO", true),
            ("data/not/there/yet", true),
            ("link", true),
            ("link/backup", true),
            ("other/../data/x", false),
            ("data.new", false),
            ("", false),
        ] {
            let found = around(&root.join(place));
            assert_eq!(found, inside.then(|| data.clone()), "{place}");
        }
    }
}
