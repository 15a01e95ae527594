//! Files in the data directory left by earlier repairs, crashes and other programs: listed, with how to remove them.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::finding::Finding;
use super::super::quoted::quoted;
use super::Target;
use crate::content::local::aside;
use crate::directory::LOST_AND_FOUND;
use crate::domain::OrgCode;
use crate::journal::database::BROKEN_PREFIX;

/// Names counted in `content/`; beyond them the counts are at least that many.
const NAMES_MAX: usize = 1_000_000;
/// SecretSource that are named; the others are counted.
const NAMED_MAX: usize = 5;
/// What the names of files end with that are written and then renamed. A crash leaves them until they are written again.
const UNFINISHED: [&str; 3] = ["new", "tmp", "part"];

/// What is left over in a data directory.
#[derive(Default)]
struct Leftovers {
    damaged: (u64, u64),
    /// The count is not all.
    more: bool,
    databases: Vec<PathBuf>,
    unfinished: Vec<PathBuf>,
    strays: Vec<PathBuf>,
}

/// Lists copies of damaged content, renamed databases, unfinished files of crashes, and unknown files in `content/`.
pub(super) fn look(target: &Target<'_>) -> Finding {
    const NAME: &str = "leftovers";
    let left = find(target.data_dir);
    let mut told = Vec::new();
    let mut fixes = Vec::new();
    if left.damaged.0 > 0 {
        let more = if left.more { "at least " } else { "" };
        let (files, bytes) = left.damaged;
        told.push(format!(
            "{more}{files} copies of damaged content (content/*/*/*.damaged, {bytes} bytes)"
        ));
        fixes.push("copies of damaged content are removed after mrs.damaged_retention_days (30)");
    }
    for (places, what, fix) in [
        (
            &left.databases,
            "databases set aside",
            "a database that was set aside is needed by nothing once you have looked at it: delete it",
        ),
        (
            &left.unfinished,
            "unfinished files",
            "a running server may be writing an unfinished file; one that stays while it is stopped is left of a crash: delete it",
        ),
        (
            &left.strays,
            "entries of content/ that are no org's",
            "g3n did not put them into content/ and removes none of them: look at them and move them away",
        ),
    ] {
        if !places.is_empty() {
            told.push(format!("{what}: {}", named(target.data_dir, places)));
            fixes.push(fix);
        }
    }
    if told.is_empty() {
        Finding::ok(NAME, "nothing is left over of repairs and crashes")
    } else {
        Finding::warn(NAME, told.join("; "), fixes.join("; "))
    }
}

fn named(root: &Path, places: &[PathBuf]) -> String {
    let shown = places.iter().take(NAMED_MAX);
    let shown = shown.map(|place| place.strip_prefix(root).unwrap_or(place));
    let mut text: Vec<_> = shown.map(quoted).collect();
    if places.len() > NAMED_MAX {
        text.push(format!("and {} more", places.len() - NAMED_MAX));
    }
    text.join(" ")
}

fn find(root: &Path) -> Leftovers {
    let mut left = Leftovers::default();
    let mut names_left = NAMES_MAX;
    let content = root.join("content");
    for (name, path) in entries(&content) {
        let is_directory = path.is_dir();
        match name.as_str() {
            "tmp" | LOST_AND_FOUND if is_directory => {}
            _ if is_directory && OrgCode::parse(&name).is_ok_and(|org| org.as_str() == name) => {
                // One that cannot be read is reported by the row of directories.
                let found = aside::count(&path, &mut names_left).unwrap_or_default();
                left.damaged.0 += found.0;
                left.damaged.1 += found.1;
            }
            _ if is_unfinished(&path) => left.unfinished.push(path),
            _ => left.strays.push(path),
        }
    }
    left.more = names_left == 0;
    for (_, path) in entries(&content.join("tmp")) {
        if path.is_dir() {
            left.strays.push(path);
        }
    }
    for (name, path) in entries(&root.join("journal")) {
        if name.starts_with(BROKEN_PREFIX) {
            left.databases.push(path);
        }
    }
    for part in ["", "journal", "projections", "audit", "exports", "keys"] {
        let unfinished = entries(&root.join(part)).into_iter().map(|(_, path)| path);
        left.unfinished
            .extend(unfinished.filter(|path| is_unfinished(path)));
    }
    left
}

fn is_unfinished(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    path.is_file() && ending.is_some_and(|ending| UNFINISHED.contains(&ending))
}

/// The entries of a directory by name; none when it cannot be read.
fn entries(directory: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut entries: Vec<_> = entries
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, entry.path())
        })
        .collect();
    entries.sort_unstable();
    entries
}
