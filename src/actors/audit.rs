//! The audit as a file for log shippers: one JSON line an operators' event, made again from the journal if it is lost.

use parking_lot::Mutex;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::domain::Timestamp;
use crate::journal::Position;
use crate::projections::ops::{AuditRow, audit_after};
use crate::projections::{Store, StoreError};

/// The audit's name, as the OPS overview gives it.
pub const NAME: &str = "/g3nretailstack/ops/maintenance-audit";
/// The file within its directory.
const FILE: &str = "maintenance-audit.jsonl";
/// What is a time in the operators' events, where it is kept in milliseconds.
const TIMES: [&str; 2] = ["start", "execute_at"];
/// Rows written at a time.
const ROWS_MAX: usize = 256;

/// Why the file could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The projections could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The audit's file could not be written.
    #[error("the audit's file cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// The file. Only its owner may read it.
pub struct AuditFile {
    path: PathBuf,
    /// Whether nothing is written any more; held while something is.
    closed: Mutex<bool>,
}

impl AuditFile {
    /// The file of a directory, which is made when it is needed.
    pub fn new(directory: &Path) -> Self {
        Self {
            path: directory.join(FILE),
            closed: Mutex::new(false),
        }
    }

    /// Appends what the file does not have yet; durable on return. A last line that is not whole is written again. Does
    /// nothing once the file is closed.
    ///
    /// # Errors
    /// [`AuditError`] when the file cannot be written, or the projections cannot be read.
    pub fn catch_up(&self, store: &Store) -> Result<(), AuditError> {
        let closed = self.closed.lock();
        if *closed { Ok(()) } else { self.append(store) }
    }

    /// The same for the last time: on return nothing is being written, and nothing will be.
    ///
    /// # Errors
    /// As [`Self::catch_up`]; it is closed all the same.
    pub fn close(&self, store: &Store) -> Result<(), AuditError> {
        let mut closed = self.closed.lock();
        if std::mem::replace(&mut *closed, true) {
            Ok(())
        } else {
            self.append(store)
        }
    }

    fn append(&self, store: &Store) -> Result<(), AuditError> {
        if let Some(directory) = self.path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)?;
        }
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&self.path)?;
        let (mut last, length) = end_of(&file)?;
        file.set_len(length)?;
        file.seek(SeekFrom::End(0))?;
        loop {
            let rows = audit_after(store, last, ROWS_MAX)?;
            let Some(end) = rows.last().map(|row| row.position) else {
                break;
            };
            let mut lines = String::new();
            for row in &rows {
                lines.push_str(&Value::Object(view(row)).to_string());
                lines.push('\n');
            }
            file.write_all(lines.as_bytes())?;
            last = end;
        }
        file.sync_all()?;
        if let Some(directory) = self.path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }
}

/// The position before the one in the last whole line, and the bytes up to there: the last entry is written again, as
/// it may have more than one line. A file that is none of ours is begun again.
fn end_of(file: &File) -> io::Result<(Position, u64)> {
    let mut reader = BufReader::new(file);
    let (mut last, mut begins, mut length, mut line) = (0, 0, 0, Vec::new());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        let position = serde_json::from_slice::<Value>(&line)
            .ok()
            .filter(|_| line.ends_with(b"\n"))
            .and_then(|line| line["position"].as_u64());
        match position {
            Some(position) if position >= last => {
                if position > last {
                    (last, begins) = (position, length);
                }
                length += read as u64;
            }
            Some(_) | None => return Ok((last.saturating_sub(1), begins)),
        }
    }
}

/// One event of the audit as callers and the file show it.
pub fn view(row: &AuditRow) -> Map<String, Value> {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            shown.insert(name.to_owned(), value);
        }
    };
    put("audit", json!(NAME));
    put("position", json!(row.position));
    put("at", json!(row.at.to_string()));
    put("event", json!(row.event));
    if let Some(subject) = &row.subject {
        let name = match row.event.split_once('.') {
            Some(("vacuum", _)) => "vacuum_id",
            Some(("maintenance", _)) => "maintenance_id",
            Some(_) | None => "subject",
        };
        put(name, json!(subject));
    }
    put("by", json!(row.by));
    put("source", json!(row.source));
    put("request_id", json!(row.request_id));
    put("actor", json!(row.actor));
    put("reason", json!(row.reason));
    put("outcome", outcome(&row.outcome));
    shown
}

/// What came of it, with its times as callers see times.
fn outcome(text: &str) -> Value {
    let mut outcome = serde_json::from_str(text).unwrap_or(Value::Null);
    for name in TIMES {
        if let Some(time) = outcome.get_mut(name)
            && let Some(millis) = time.as_i64()
        {
            *time = json!(Timestamp::from_millis(millis).to_string());
        }
    }
    outcome
}
