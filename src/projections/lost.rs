//! Content that is known to be lost: its record says so instead of giving out what is not there.

use super::contents::container_of;
use super::{Change, Projection, RecordName, Store, StoreError, Write};
use crate::domain::Event;
use crate::domain::container::ContainerEvent;
use crate::domain::repair::RepairAction;

const PREFIX: u8 = b'x';

/// Keeps which versions of which records have lost their content.
pub struct LostContents;

impl Projection for LostContents {
    fn name(&self) -> &'static str {
        "lost"
    }

    fn version(&self) -> u32 {
        1
    }

    fn prefix(&self) -> u8 {
        PREFIX
    }

    fn apply(&self, change: &Change<'_>, writes: &mut Vec<Write>) {
        let Some((org, container)) = container_of(&change.body.stream) else {
            return;
        };
        for event in &change.body.events {
            let Event::Container(ContainerEvent::Repaired { repairs }) = event else {
                continue;
            };
            for repair in repairs {
                let (Some(record_id), Some(version)) = (&repair.record_id, repair.version) else {
                    continue;
                };
                let name = RecordName {
                    org,
                    container,
                    record_id,
                };
                match repair.action {
                    RepairAction::MarkedLost => writes.push((key(name, version), Some(Vec::new()))),
                    RepairAction::FoundAgain => writes.push((key(name, version), None)),
                    RepairAction::RowsRestored
                    | RepairAction::RowsRemoved
                    | RepairAction::FileRemoved
                    | RepairAction::GivenUp => {}
                }
            }
        }
    }

    fn stream_of(&self, key: &[u8], value: &[u8]) -> Option<String> {
        let _ = value;
        let name = std::str::from_utf8(key.get(1..key.len().checked_sub(9)?)?).ok()?;
        Some(format!("mrs/{}", name.replace('\0', "/")))
    }
}

fn key(name: RecordName<'_>, version: u64) -> Vec<u8> {
    let mut key = vec![PREFIX];
    for part in [name.org, name.container] {
        key.extend_from_slice(part.as_bytes());
        key.push(0);
    }
    key.extend_from_slice(name.record_id.as_bytes());
    key.push(0);
    key.extend_from_slice(&version.to_be_bytes());
    key
}

/// Whether a version of a record is known to have lost its content.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn is_lost(store: &Store, name: RecordName<'_>, version: u64) -> Result<bool, StoreError> {
    Ok(store.get(&key(name, version))?.is_some())
}
