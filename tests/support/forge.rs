//! Changes to a stopped server's commit log that keep every hash, as somebody with the disk could make them.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The segments of a data directory, each with its content.
pub(crate) fn segments(data_dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let listed = fs::read_dir(data_dir.join("journal")).expect("readable");
    let mut segments: Vec<_> = listed
        .map(|entry| entry.expect("an entry").path())
        .filter_map(|path| {
            let bytes = fs::read(&path).ok()?;
            match path.extension()?.to_str()? {
                "jsonl" => Some((path, bytes)),
                "gz" => {
                    let mut content = Vec::new();
                    let mut gz = flate2::read::MultiGzDecoder::new(&bytes[..]);
                    gz.read_to_end(&mut content).expect("gzip");
                    Some((path, content))
                }
                _ => None,
            }
        })
        .collect();
    segments.sort();
    segments
}

/// Turns an entry's line into an erased one that names a position as what erased it. No hash changes by it, and no length
/// does. The databases next to the log, which may be deleted, are deleted.
pub(crate) fn erase(data_dir: &Path, position: u64, by: u64) {
    erase_beside_databases(data_dir, position, by);
    for database in ["journal/sled", "projections"] {
        let _: Result<_, _> = fs::remove_dir_all(data_dir.join(database));
    }
}

/// The same, and the databases stay as they are.
pub(crate) fn erase_beside_databases(data_dir: &Path, position: u64, by: u64) {
    let start = format!("{{\"header\":{{\"position\":{position},");
    let (path, content) = segments(data_dir)
        .into_iter()
        .find(|(_, content)| line_at(content, &start).is_some())
        .unwrap_or_else(|| panic!("position {position} is there"));
    let content = without_body(content, &start, by);
    if path.extension().is_some_and(|end| end == "gz") {
        fs::remove_file(&path).expect("removed");
    }
    let plain = path.to_string_lossy().replace(".jsonl.gz", ".jsonl");
    fs::write(plain, content).expect("written");
}

fn line_at(content: &[u8], start: &str) -> Option<usize> {
    let found = |at: &usize| content[*at..].starts_with(start.as_bytes());
    let lines = content
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at + 1);
    std::iter::once(0).chain(lines).find(found)
}

fn without_body(mut content: Vec<u8>, start: &str, by: u64) -> Vec<u8> {
    let at = line_at(&content, start).expect("it is there");
    let length = content[at..].iter().position(|byte| *byte == b'\n');
    let end = at + length.expect("a line ends");
    let line = String::from_utf8(content[at..end].to_vec()).expect("text");
    let (header, _) = line.split_once(",\"body\":").expect("a body");
    let payload: Option<usize> = line
        .rsplit_once("\",\"size\":")
        .filter(|_| line.ends_with("}}}"))
        .and_then(|(_, size)| size.trim_end_matches('}').parse().ok());
    let filler = payload.map_or(String::new(), |size| format!(",\"filler\":{size}"));
    let head = format!("{header},\"body\":null,\"erased\":{{\"by\":{by}{filler},\"pad\":\"");
    let pad = line.len() - head.len() - "\"}}".len();
    let erased = format!("{head}{}\"}}}}", " ".repeat(pad));
    content[at..end].copy_from_slice(erased.as_bytes());
    if let Some(size) = payload {
        content[end + 1..end + 1 + size].fill(b' ');
    }
    content
}

/// Copies a directory with everything below it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("copied")),
        }
    }
}
