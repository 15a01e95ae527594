//! Reads the journal of a data directory for audit, folds it, and prints a table of its records. The server may run meanwhile;
//! nothing is written. Run it with `cargo run --example replay -- DIR`; without a directory it creates one and reads that.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use comfy_table::Table;
use metarecord::domain::record::{Record, RecordCommand, RecordKey};
use metarecord::domain::{ContainerName, OrgCode, RecordId, Revision};
use metarecord::journal::{Entry, JournalError, replay};
use metarecord::projections::{RecordName, as_of};
use metarecord::{Metarecord, Put, request};

/// What the journal says of a record.
struct Row {
    record: Option<Record>,
    entries: u64,
    last_by: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(dir) = std::env::args_os().nth(1) {
        return print(&PathBuf::from(dir)).map(drop);
    }
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path().join("data");
    fill(&dir)?;
    let records = print(&dir)?;
    assert_eq!(records, 3);
    Ok(())
}

/// Writes three records, one of them doomed.
fn fill(dir: &Path) -> Result<(), Box<dyn Error>> {
    let metarecord = Metarecord::open(dir)?;
    metarecord::actix::System::new().block_on(async {
        for id in ["i-1", "i-2", "i-3"] {
            let put = Put::inline(format!("{{\"id\": \"{id}\"}}"))?;
            metarecord.execute(put.of(key(id)?, "ann")).await?;
        }
        let doom = RecordCommand::Doom {
            reason: Some("paid".to_owned()),
            expected: Some(Revision(1)),
        };
        metarecord
            .execute(request(key("i-2")?, "bob", doom))
            .await?;
        Ok::<(), Box<dyn Error>>(())
    })?;
    metarecord.close()?;
    Ok(())
}

fn key(id: &str) -> Result<RecordKey, Box<dyn Error>> {
    Ok(RecordKey {
        org: OrgCode::parse("ACME")?,
        container: ContainerName::parse("invoices")?,
        record_id: RecordId::parse(id)?,
    })
}

/// Folds the journal and prints its records; returns how many there are.
fn print(dir: &Path) -> Result<usize, Box<dyn Error>> {
    let rows = fold(replay::replay(&dir.join("journal"))?)?;
    let mut table = Table::new();
    table.set_header(["record", "status", "revision", "entries", "last changed by"]);
    for (stream, row) in &rows {
        let Some(record) = &row.record else { continue };
        table.add_row([
            stream.clone(),
            format!("{:?}", record.status),
            record.revision.0.to_string(),
            row.entries.to_string(),
            row.last_by.clone(),
        ]);
    }
    println!("{table}");
    Ok(rows.len())
}

/// The records that entries lead to, by their streams. Entries that a vacuum has erased have no body any more.
fn fold(
    entries: impl Iterator<Item = Result<Entry, JournalError>>,
) -> Result<BTreeMap<String, Row>, JournalError> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        let Some(body) = &entry.body else { continue };
        let Some(key) = RecordName::of_stream(body.stream.as_str()).and_then(key_of) else {
            continue;
        };
        let row = rows.entry(body.stream.to_string()).or_insert_with(|| Row {
            record: None,
            entries: 0,
            last_by: String::new(),
        });
        row.record = as_of::evolve_entry(key, row.record.take(), &entry, body);
        row.entries += 1;
        row.last_by.clone_from(&body.origin.by);
    }
    Ok(rows)
}

fn key_of(name: RecordName<'_>) -> Option<RecordKey> {
    Some(RecordKey {
        org: OrgCode::parse(name.org).ok()?,
        container: ContainerName::parse(name.container).ok()?,
        record_id: RecordId::parse(name.record_id).ok()?,
    })
}

#[test]
fn the_example_runs() {
    let scratch = tempfile::tempdir().expect("a directory");
    let dir = scratch.path().join("data");
    fill(&dir).expect("it is filled");
    assert_eq!(print(&dir).expect("it is read"), 3);
}
