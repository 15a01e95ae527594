//! The bare log: a line for each record, one `fdatasync` for each group.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use super::group::Writer;
use super::{Record, Shared};
use crate::failure::{Result, While};

/// Creates the log below a directory.
pub(super) fn open(directory: &Path) -> Result<(Shared, String)> {
    let path = directory.join("records.log");
    let mut file = File::create_new(&path).while_trying("creating the bare log")?;
    let mut lines = Vec::new();
    let writer = Writer::start(move |records| {
        lines.clear();
        records.iter().for_each(|record| line(record, &mut lines));
        file.write_all(&lines)
            .while_trying("appending to the bare log")?;
        file.sync_data().while_trying("syncing the bare log")
    });
    Ok((
        Shared::Log(path, writer),
        "one fdatasync a group".to_owned(),
    ))
}

fn line(record: &Record, lines: &mut Vec<u8>) {
    lines.extend_from_slice(record.id.as_bytes());
    for tag in &record.tags {
        lines.push(b' ');
        lines.extend_from_slice(tag.as_bytes());
    }
    lines.push(b' ');
    lines.extend_from_slice(record.body.as_bytes());
    lines.push(b'\n');
}

/// Lines of the file on disk.
pub(super) fn count(path: &Path) -> Result<u64> {
    let file = File::open(path).while_trying("opening the bare log")?;
    let lines = BufReader::new(file).split(b'\n');
    let counted = lines
        .map(|line| line.map(|_| 1))
        .sum::<std::io::Result<u64>>();
    counted.while_trying("counting the lines of the bare log")
}
