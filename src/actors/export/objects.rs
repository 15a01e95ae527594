//! The content files of an export: copied from the content store, checked, and listed.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};

use md5::Md5 as Md5Hasher;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::ExportsError;
use super::files::{CHUNK_BYTES, PART, append, create, sync_dir, write_line};
use super::make::{Making, Progress};
use crate::clock::Pace;
use crate::content::{ObjectName, Promise};
use crate::domain::{Event, Md5, Sha256Digest};
use crate::export::line::{EventLine, completed_objects, objects_of};
use crate::export::{CONTENT, CONTENT_DIRECTORY, EVENTS, FileEntry, content_name};

impl Making<'_> {
    /// The content files, in the order in which the history names them.
    pub(super) fn objects(&self, progress: &mut Progress) -> Result<bool, ExportsError> {
        if progress.files.len() > 2 {
            return Ok(true);
        }
        let (mut list, mut pace) = (self.open(CONTENT, progress.length)?, Pace::start());
        let mut told = HashMap::new();
        for events in self.history()? {
            told.extend(completed_objects(&events?));
        }
        let skip = usize::try_from(progress.next).unwrap_or(usize::MAX);
        for events in self.history()?.skip(skip) {
            let events = events?;
            progress.next += 1;
            let mut listed = Vec::new();
            for (object_id, size, md5) in objects_of(&events) {
                if !(self.go_on)() {
                    return Ok(false);
                }
                let promise = Promise {
                    size,
                    md5,
                    sha256: told.get(&object_id).copied(),
                    decoded_bytes_max: None,
                };
                match self.copy(object_id, promise)? {
                    Some(file) => {
                        progress.counts.objects += 1;
                        progress.counts.bytes += file.size;
                        write_line(&mut listed, &file)?;
                    }
                    None => progress.counts.objects_absent += 1,
                }
                pace.rest();
            }
            if !listed.is_empty() {
                progress.length += append(&mut list, progress.length, &listed)?;
                self.save(progress)?;
            }
        }
        self.close(list, CONTENT, progress)?;
        Ok(true)
    }

    /// The events of each line of the history.
    fn history(
        &self,
    ) -> Result<impl Iterator<Item = Result<Vec<Event>, ExportsError>>, ExportsError> {
        let history = File::open(self.directory.join(EVENTS))?;
        let history = BufReader::new(flate2::read::MultiGzDecoder::new(history));
        Ok(history.split(b'\n').map(|line| {
            let line: EventLine = serde_json::from_slice(&line?)?;
            Ok(line.decoded()?)
        }))
    }

    /// Copies an object; `None` when it is not there.
    fn copy(&self, object_id: Uuid, promise: Promise) -> Result<Option<FileEntry>, ExportsError> {
        let object = ObjectName {
            org: self.order.org.clone(),
            object_id,
        };
        let Some(mut from) = self.exports.content.read(&object, 0, u64::MAX)? else {
            return Ok(None);
        };
        let name = content_name(object_id);
        let place = self.directory.join(&name);
        let part = self
            .directory
            .join(format!("{CONTENT_DIRECTORY}/object{PART}"));
        let mut into = create(&part)?;
        let (mut sha256, mut its_md5, mut copied) = (Sha256::new(), Md5Hasher::new(), 0);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = from.read(&mut chunk)?;
            if count == 0 {
                break;
            }
            into.write_all(&chunk[..count])?;
            sha256.update(&chunk[..count]);
            its_md5.update(&chunk[..count]);
            copied += count as u64;
        }
        let its_md5 = Md5::from_bytes(its_md5.finalize().into());
        let sha256 = Sha256Digest::from_bytes(sha256.finalize().into());
        let is_told = promise.sha256.is_none_or(|told| told == sha256);
        if (copied, its_md5) != (promise.size, promise.md5) || !is_told {
            return Err(ExportsError::Damaged(object));
        }
        into.sync_all()?;
        fs::rename(&part, &place)?;
        sync_dir(&self.directory.join(CONTENT_DIRECTORY))?;
        Ok(Some(FileEntry {
            name,
            size: copied,
            sha256: sha256.to_string(),
        }))
    }
}
