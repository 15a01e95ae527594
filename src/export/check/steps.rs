//! The steps of checking an export: its files, its records, its history and its content.

use std::collections::{BTreeSet, HashMap};

use sha2::{Digest, Sha256};

use super::{Directory, ExportError, Part, Progress, damaged, read_dir};
use crate::domain::offboarding::Counts;
use crate::export::{CONTENT, CONTENT_DIRECTORY, EVENTS, FILES, MANIFEST, RECORDS};
use crate::os_error::with_causes;

/// A part of what there is to check of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sizes and hashes of the files that the manifest names.
    Files,
    /// Each record can be read, and there are as many as the manifest states.
    Records,
    /// Each entry of the history can be read and taken by a server, and follows on the one before in its stream.
    History,
    /// Each content file is what its event says, none is missing, and nothing is there besides.
    Content,
}

impl Step {
    /// All of them, in the order in which they are carried out.
    pub const ALL: &[Self] = &[Self::Files, Self::Records, Self::History, Self::Content];

    /// The step's name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Records => "records",
            Self::History => "history",
            Self::Content => "content",
        }
    }
}

impl Directory {
    /// Looks at every byte, as all [steps](Step::ALL) together do.
    ///
    /// # Errors
    /// See [`ExportError`]; the first thing that does not fit.
    pub fn check(&self, progress: Progress<'_>) -> Result<(), ExportError> {
        for step in Step::ALL {
            self.step(*step, progress)?;
        }
        Ok(())
    }

    /// Carries out one step, and says what it found.
    ///
    /// # Errors
    /// See [`ExportError`]; the first thing that does not fit.
    pub fn step(&self, step: Step, progress: Progress<'_>) -> Result<String, ExportError> {
        match step {
            Step::Files => self.check_files(progress),
            Step::Records => self.check_records(),
            Step::History => self.check_history(),
            Step::Content => self.check_content(progress),
        }
    }

    fn check_files(&self, progress: Progress<'_>) -> Result<String, ExportError> {
        let mut done = 0;
        for file in &self.manifest.files {
            self.check_file(file, None)?;
            done += file.size;
            progress(done);
        }
        let names: Vec<_> = self.manifest.files.iter().map(|file| &*file.name).collect();
        let names = names.join(", ");
        Ok(format!(
            "{names} have the sizes and SHA-256 of the manifest"
        ))
    }

    fn check_records(&self) -> Result<String, ExportError> {
        let (mut found, stated) = (0, self.manifest.counts.records);
        for line in self.texts(RECORDS)? {
            serde_json::from_slice::<serde_json::Value>(&line?)
                .map_err(|error| damaged(RECORDS, error.to_string()))?;
            found += 1;
            if found > stated {
                let what = "it has more records than the manifest states";
                return Err(damaged(RECORDS, what));
            }
        }
        if found == stated {
            Ok(format!("{found} records"))
        } else {
            let what = format!("it has {found} records, and the manifest states {stated}");
            Err(damaged(RECORDS, what))
        }
    }

    /// Each event can be read and taken, and each stream goes on where it was. Memory grows by some 30 bytes with each stream.
    fn check_history(&self) -> Result<String, ExportError> {
        let (mut entries, mut last) = (0_u64, 0);
        let mut streams: HashMap<[u8; 16], u64> = HashMap::new();
        for line in self.lines()? {
            let line = line?;
            let append = line.append(&self.manifest.orgcode);
            append.map_err(|error| damaged(EVENTS, with_causes(&error)))?;
            if line.position <= last || line.position > self.manifest.journal_position {
                let what = format!("position {} comes behind {last}", line.position);
                return Err(damaged(EVENTS, what));
            }
            last = line.position;
            let digest: [u8; 32] = Sha256::digest(line.stream.as_str()).into();
            let mut name = [0; 16];
            name.copy_from_slice(&digest[..16]);
            let version = streams.entry(name).or_default();
            *version += 1;
            if line.version != *version {
                let (stream, found) = (&line.stream, line.version);
                let what = format!("{stream} has version {found} where {version} is due");
                return Err(damaged(EVENTS, what));
            }
            entries += 1;
        }
        let stated = self.manifest.counts.entries;
        if entries == stated {
            let streams = streams.len();
            Ok(format!(
                "{entries} entries of {streams} streams, none left out"
            ))
        } else {
            let what = format!("it has {entries} entries, and the manifest states {stated}");
            Err(damaged(EVENTS, what))
        }
    }

    fn check_content(&self, progress: Progress<'_>) -> Result<String, ExportError> {
        let (mut found, mut done) = (Counts::default(), self.bytes());
        self.walk(&mut |part| {
            match part {
                Part::Entry(_, append) => {
                    let payload = append.payload.as_ref();
                    found.bytes += payload.map_or(0, |payload| payload.len() as u64);
                }
                Part::Object(file, _, md5) => {
                    self.check_file(file, Some(md5))?;
                    found.objects += 1;
                    found.bytes += file.size;
                    done += file.size;
                    progress(done);
                }
                Part::Absent => found.objects_absent += 1,
            }
            Ok::<(), ExportError>(())
        })?;
        let stated = Counts {
            records: 0,
            entries: 0,
            ..self.manifest.counts
        };
        if found != stated {
            let what = format!(
                "it states {}, and {} were found",
                told(&stated),
                told(&found)
            );
            return Err(damaged(MANIFEST, what));
        }
        self.check_nothing_else(found.objects)?;
        let Counts { objects, bytes, .. } = found;
        Ok(format!(
            "{objects} files and {bytes} bytes of content are what their events say, and nothing else is there"
        ))
    }

    fn check_nothing_else(&self, objects: u64) -> Result<(), ExportError> {
        let mut known: BTreeSet<&str> = FILES.into();
        known.insert(MANIFEST);
        for entry in read_dir(&self.root, ".")? {
            let name = entry?;
            if !known.contains(name.as_str()) && name != CONTENT_DIRECTORY {
                return Err(damaged(&name, "it does not belong to the export"));
            }
        }
        let directory = self.root.join(CONTENT_DIRECTORY);
        let mut left = objects;
        if directory.exists() {
            // All that are listed are there, and no two are the same: a count is enough.
            for entry in read_dir(&directory, CONTENT_DIRECTORY)? {
                let name = format!("{CONTENT_DIRECTORY}/{}", entry?);
                let more = || damaged(&name, "there are more content files than the export states");
                left = left.checked_sub(1).ok_or_else(more)?;
            }
        }
        match left {
            0 => Ok(()),
            _ => Err(damaged(CONTENT, "it names a file twice")),
        }
    }
}

/// Counts as a sentence has them.
fn told(counts: &Counts) -> String {
    format!(
        "{} records, {} entries, {} objects, {} absent objects and {} bytes",
        counts.records, counts.entries, counts.objects, counts.objects_absent, counts.bytes
    )
}
