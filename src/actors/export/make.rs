//! Making one export: the history, then the records, then the content files, then the manifest.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files::{PART, append, digest, remove_file, sync_dir, write_line, write_whole};
use super::{Exports, ExportsError, Order};
use crate::clock::Pace;
use crate::domain::offboarding::Counts;
use crate::domain::record::{
    Content, ContentKind, ContentPlace, Record, RecordKey, RecordView, Status,
};
use crate::domain::{StreamId, Timestamp};
use crate::export::check::parse_manifest;
use crate::export::line::{EventLine, leaves_with};
use crate::export::{
    CONTENT_DIRECTORY, EVENTS, FILES, FORMAT_VERSION, FileEntry, MANIFEST, Manifest, RECORDS,
    content_name,
};
use crate::journal::erasures::Judge;
use crate::journal::{Body, JournalError};
use crate::projections::{RecordName, as_of, holds, records};

/// Entries of the journal read at a time.
const READ_ENTRIES: usize = 500;
/// Records read in one step.
const STEP_RECORDS: usize = 100;
/// A step stops adding lines once they have this many bytes.
const STEP_BYTES: usize = 4 * 1024 * 1024;
/// The file that records the progress of an export.
const PROGRESS: &str = "progress.json";

/// The progress of an export: all that a step needs after a crash.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The time at which records are shown.
    at: Timestamp,
    /// The next position of the journal; later the line of the history whose objects come next.
    pub(super) next: u64,
    /// Where the next step reads records from, in hex.
    place: String,
    /// Bytes of the unfinished file that count.
    pub(super) length: u64,
    pub(super) counts: Counts,
    /// Finished files, in the order of [`FILES`].
    pub(super) files: Vec<FileEntry>,
}

/// A record as it is exported.
#[derive(Serialize)]
struct RecordLine<'a> {
    record: RecordView<'a>,
    /// Every content it has had, the first first.
    content_versions: Vec<VersionLine>,
}

/// One content version of a record, and where in the export its bytes are.
#[derive(Serialize)]
struct VersionLine {
    content_version: u64,
    content_type: String,
    content_kind: ContentKind,
    content_size: u64,
    content_md5: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_sha256: Option<String>,
    at: String,
    by: String,
    /// Position of the line of the history that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// The name of the content file.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

/// An export being made.
pub(super) struct Making<'a> {
    pub(super) exports: &'a Exports,
    pub(super) order: &'a Order,
    pub(super) go_on: &'a dyn Fn() -> bool,
    pub(super) directory: PathBuf,
}

impl Making<'_> {
    /// Continues until it is complete, or for as long as `go_on` allows.
    pub(super) fn run(&self) -> Result<Option<(String, Counts)>, ExportsError> {
        let manifest = self.directory.join(MANIFEST);
        if !manifest.exists() {
            let mut progress = self.load()?;
            if !self.events(&mut progress)?
                || !self.records(&mut progress)?
                || !self.objects(&mut progress)?
            {
                return Ok(None);
            }
            self.finish(&progress)?;
        }
        let text = fs::read(&manifest)?;
        remove_file(&self.directory.join(PROGRESS))?;
        let counts = parse_manifest(&text)?.counts;
        Ok(Some((hex::encode(Sha256::digest(&text)), counts)))
    }

    fn load(&self) -> Result<Progress, ExportsError> {
        let content = self.directory.join(CONTENT_DIRECTORY);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(content)?;
        for directory in [&self.directory, &self.directory.join("..")] {
            sync_dir(directory)?;
        }
        sync_dir(&self.exports.root)?;
        match fs::read(self.directory.join(PROGRESS)) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Progress {
                at: self.exports.clock.now(),
                next: 1,
                ..Progress::default()
            }),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn save(&self, progress: &Progress) -> Result<(), ExportsError> {
        let text = serde_json::to_vec(progress)?;
        write_whole(&self.directory, PROGRESS, &text)?;
        Ok(())
    }

    /// The history: every entry of the org's, one line each.
    fn events(&self, progress: &mut Progress) -> Result<bool, ExportsError> {
        if !progress.files.is_empty() {
            return Ok(true);
        }
        let (mut file, mut pace) = (self.open(EVENTS, progress.length)?, Pace::start());
        let mut judge = Judge::default();
        while progress.next <= self.order.position {
            if !(self.go_on)() {
                return Ok(false);
            }
            let left = self.order.position - progress.next + 1;
            let limit = READ_ENTRIES.min(usize::try_from(left).unwrap_or(READ_ENTRIES));
            let entries = self.exports.journal.read(progress.next, limit)?;
            if entries.is_empty() {
                break;
            }
            let journal = &*self.exports.journal;
            if let Some(problem) = judge.check(journal, &entries)?.into_iter().next() {
                // What is missing may have been the org's.
                return Err(JournalError::from(problem).into());
            }
            let mut member = GzEncoder::new(Vec::new(), Compression::default());
            let mut bytes = 0;
            for entry in &entries {
                progress.next = entry.header.position + 1;
                let Some(body) = entry.body.as_ref().filter(|body| self.takes(body)) else {
                    continue;
                };
                let payload = match &body.payload {
                    None => None,
                    Some(_) => self.exports.journal.payload(entry.header.position)?,
                };
                let Some(line) = EventLine::of(entry, payload.as_ref())? else {
                    continue;
                };
                bytes += write_line(&mut member, &line)?;
                progress.counts.entries += 1;
                progress.counts.bytes += payload.map_or(0, |payload| payload.len() as u64);
                if bytes > STEP_BYTES {
                    break;
                }
            }
            if bytes > 0 {
                progress.length += append(&mut file, progress.length, &member.finish()?)?;
            }
            self.save(progress)?;
            pace.rest();
        }
        self.close(file, EVENTS, progress)?;
        Ok(true)
    }

    fn takes(&self, body: &Body) -> bool {
        let own = body.stream == StreamId::org(&self.order.org);
        let last = self.order.org_version.filter(|_| own);
        leaves_with(&self.order.org, body.stream.as_str())
            && last.is_none_or(|last| body.version <= last)
    }

    /// Each record as callers see it.
    fn records(&self, progress: &mut Progress) -> Result<bool, ExportsError> {
        if progress.files.len() > 1 {
            return Ok(true);
        }
        let (mut file, mut pace) = (self.open(RECORDS, progress.length)?, Pace::start());
        loop {
            if !(self.go_on)() {
                return Ok(false);
            }
            let place = hex::decode(&progress.place).unwrap_or_default();
            let org = &self.order.org;
            let names = records::names_of_org(&self.exports.store, org, &place, STEP_RECORDS)?;
            let Some((_, behind)) = names.last() else {
                break;
            };
            progress.place = hex::encode(behind);
            let mut member = GzEncoder::new(Vec::new(), Compression::default());
            let mut bytes = 0;
            for (key, _) in &names {
                if let Some((record, content_versions)) = self.record(key)? {
                    let store = &self.exports.store;
                    let record =
                        holds::effective_at(store, RecordName::from(key), record, progress.at)?;
                    let line = RecordLine {
                        record: record.view(key),
                        content_versions,
                    };
                    bytes += write_line(&mut member, &line)?;
                    progress.counts.records += 1;
                }
            }
            if bytes > 0 {
                progress.length += append(&mut file, progress.length, &member.finish()?)?;
            }
            self.save(progress)?;
            pace.rest();
        }
        self.close(file, RECORDS, progress)?;
        Ok(true)
    }

    /// A record as of the export's position, with every content it has had.
    fn record(&self, key: &RecordKey) -> Result<Option<(Record, Vec<VersionLine>)>, ExportsError> {
        let (mut record, mut versions, mut from) = (None::<Record>, Vec::new(), 1);
        loop {
            let stream = StreamId::record(key);
            let entries = self.exports.journal.stream(&stream, from, READ_ENTRIES)?;
            let last = entries.len() < READ_ENTRIES;
            for entry in entries {
                let Some(body) = &entry.body else { continue };
                if entry.header.position > self.order.position {
                    return Ok(record.map(|record| (record, versions)));
                }
                from = body.version + 1;
                record = as_of::evolve_entry(key.clone(), record, &entry, body);
                let Some(record) = &record else { continue };
                let known = versions
                    .last()
                    .map(|line: &VersionLine| line.content_version);
                if record.status == Status::Active && known != Some(record.content.version) {
                    versions.push(version_line(&record.content, body));
                }
            }
            if last {
                return Ok(record.map(|record| (record, versions)));
            }
        }
    }

    /// Opens an unfinished file, without what a crash left after its last complete step.
    pub(super) fn open(&self, name: &str, length: u64) -> Result<File, ExportsError> {
        let path = self.directory.join(format!("{name}{PART}"));
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)?;
        file.set_len(length)?;
        Ok(file)
    }

    /// Gives a finished file its name, and notes what it is. Repeating it is harmless.
    pub(super) fn close(
        &self,
        file: File,
        name: &str,
        progress: &mut Progress,
    ) -> Result<(), ExportsError> {
        file.sync_all()?;
        drop(file);
        let part = self.directory.join(format!("{name}{PART}"));
        let (size, sha256) = digest(&part)?;
        // Under both names until it is noted, so that a step that is broken off here finds what it needs.
        let place = self.directory.join(name);
        remove_file(&place)?;
        fs::hard_link(&part, &place)?;
        sync_dir(&self.directory)?;
        progress.files.push(FileEntry {
            name: name.to_owned(),
            size,
            sha256,
        });
        progress.length = 0;
        progress.next = 0;
        self.save(progress)?;
        remove_file(&part)?;
        Ok(())
    }

    fn finish(&self, progress: &Progress) -> Result<(), ExportsError> {
        for name in FILES {
            remove_file(&self.directory.join(format!("{name}{PART}")))?;
        }
        remove_file(
            &self
                .directory
                .join(format!("{CONTENT_DIRECTORY}/object{PART}")),
        )?;
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            orgcode: self.order.org.clone(),
            export_id: self.order.export_id.clone(),
            journal_position: self.order.position,
            made_at: progress.at.to_string(),
            counts: progress.counts,
            files: progress.files.clone(),
        };
        let mut text = serde_json::to_vec_pretty(&manifest)?;
        text.push(b'\n');
        write_whole(&self.directory, MANIFEST, &text)?;
        Ok(())
    }
}

fn version_line(content: &Content, body: &Body) -> VersionLine {
    let (content_kind, position, file) = match content.place {
        ContentPlace::Inline(position) => (ContentKind::Inline, Some(position), None),
        ContentPlace::Object(id) => (ContentKind::Object, None, Some(content_name(id))),
    };
    VersionLine {
        content_version: content.version,
        content_type: content.content_type.clone(),
        content_kind,
        content_size: content.size,
        content_md5: content.md5.to_string(),
        content_sha256: content.sha256.map(|sha256| sha256.to_string()),
        at: body.origin.at.to_string(),
        by: body.origin.by.clone(),
        position,
        file,
    }
}
