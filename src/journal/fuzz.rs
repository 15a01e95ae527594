//! The content of a journal's files, tried with the damage that a disk or an attacker can do to them.

use std::sync::Arc;

use super::bgzf::{self, END, MEMBER_BYTES_MAX, Packer};
use super::entry::{Line, decode_event};
use super::scan::{Scanner, Step};
use super::segment::Segment;
use crate::fuzz;

/// Lines of a sample journal, without payloads.
fn lines() -> Vec<Vec<u8>> {
    let segments = fuzz::samples("tests/golden/directory-v1/journal");
    let lines = segments
        .iter()
        .flat_map(|segment| segment.split(|byte| *byte == b'\n'));
    lines
        .filter(|line| line.starts_with(b"{\"header\""))
        .take(40)
        .map(<[u8]>::to_vec)
        .collect()
}

#[test]
fn fuzz_journal_lines() {
    let lines = lines();
    let seeds = [&lines[..], &fuzz::samples("tests/golden")[..]].concat();
    fuzz::each("journal_lines", &seeds, |bytes| {
        if let Ok(line) = Line::parse(bytes) {
            // A consistent line is the one that was written: to keep its hash, a line must keep all of its bytes.
            let known = lines
                .iter()
                .filter_map(|line| Some((line, Line::parse(line).ok()?)));
            for (text, known) in known {
                let same =
                    known.hash == line.hash && line.erased.is_none() && known.erased.is_none();
                assert!(!same || text == bytes);
            }
            // Events may be of another version, or none.
            let _: Result<Vec<_>, _> = line.events("somewhere");
        }
        if let Ok(text) = std::str::from_utf8(bytes) {
            let _: Result<_, _> = decode_event(text, "somewhere");
        }
    });
}

#[test]
fn fuzz_segments() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("00000000000000000001.jsonl");
    let mut segments = fuzz::samples("tests/golden/directory-v1/journal");
    segments
        .iter_mut()
        .for_each(|segment| segment.truncate(4_096));
    fuzz::each("segments", &segments, |bytes| {
        std::fs::write(&path, bytes).expect("it can be written");
        let segment = Segment::at(&path).expect("it can be read");
        let mut scanner = Scanner::new(Arc::new(segment), 0);
        let mut found = 0;
        while let Ok(Step::Found(_)) = scanner.step() {
            found += 1;
        }
        assert!(found <= bytes.len());
        let offset = scanner.offset();
        assert!(scanner.find_entry(offset, 0, false).is_ok());
        assert!(scanner.find_entry(0, 0, true).is_ok());
    });
}

#[test]
fn fuzz_sealed_segments() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("sealed");
    let pack = |contents: &[&[u8]]| {
        let (mut packer, mut out) = (Packer::new(), Vec::new());
        for content in contents {
            packer.pack(content, &mut out).expect("it can be packed");
        }
        out.extend_from_slice(&END);
        out
    };
    let seeds = [pack(&[]), pack(&[b"content"]), pack(&[b"one", &[0; 2_000]])];
    fuzz::each("sealed_segments", &seeds, |bytes| {
        std::fs::write(&path, bytes).expect("it can be written");
        let file = std::fs::File::open(&path).expect("it can be opened");
        for member in bgzf::index(&file).unwrap_or_default() {
            if let Ok(content) = bgzf::read_member(&file, member) {
                assert!(content.len() == member.bytes && member.bytes <= MEMBER_BYTES_MAX);
            }
        }
    });
}
