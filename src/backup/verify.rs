//! Checking a backup: every byte of every file, the journal's chain up to the position, and each content it names.

use std::collections::BTreeSet;
use std::path::Path;

use super::catalogue::Catalogue;
use super::hash::hash_file;
use super::place::{Place, names};
use super::{BackupError, CONTENT_LIST, JOURNAL, MANIFEST, Manifest};
use crate::directory::{MARKER, Marker};
use crate::journal::replay::replay;
use crate::journal::schema::SCHEMAS;
use crate::journal::{state, verify as journal_verify};
use crate::os_error::describe;

/// Most problems a report lists; the check ends there.
pub const PROBLEMS_MAX: usize = 1_000;

/// What a check found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The manifest of the backup.
    pub manifest: Manifest,
    /// Entries of the journal that were read.
    pub entries: u64,
    /// The differences found; at most [`PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
    /// Files and generations that belong to no finished backup. Not a problem: the next one removes them.
    pub left_over: u64,
}

/// One difference that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, by its path in the backup.
    pub file: String,
    /// What is wrong, in a sentence for operators.
    pub what: String,
}

/// Called with the bytes read so far.
pub type Progress<'a> = &'a mut dyn FnMut(u64);

/// Checks the backup of a directory.
///
/// # Errors
/// [`BackupError`] when there is no backup, a manifest is damaged, or of a newer format, or a read fails. Other damage is in the
/// report.
pub fn verify(root: &Path, progress: Progress<'_>) -> Result<Report, BackupError> {
    let place = Place::to_read(root)?;
    let manifest = place.finished()?;
    check(&place, manifest, progress)
}

pub(super) fn check(
    place: &Place,
    manifest: Manifest,
    progress: Progress<'_>,
) -> Result<Report, BackupError> {
    let mut check = Check {
        place,
        report: Report {
            manifest: manifest.clone(),
            entries: 0,
            problems: Vec::new(),
            left_over: 0,
        },
        read: 0,
        progress,
    };
    check.files(&manifest)?;
    // Damage is no sign of a newer program.
    if check.report.problems.is_empty() {
        check.marker(&manifest)?;
    }
    let whole = check.journal(&manifest)?;
    match Catalogue::of(&place.generation(&manifest), &manifest) {
        // Only a sound journal shows what the list must contain.
        Ok(catalogue) => {
            let named = if whole {
                check.list(&manifest, &catalogue)?
            } else {
                Catalogue::default()
            };
            check.content(&catalogue, &named)?;
            check.report.left_over = place.left_over(&manifest, &catalogue)?;
        }
        // That its digest differs was reported with the files.
        Err(BackupError::Damaged { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(check.report)
}

struct Check<'a> {
    place: &'a Place,
    report: Report,
    read: u64,
    progress: Progress<'a>,
}

impl Check<'_> {
    fn problem(&mut self, file: &str, what: impl Into<String>) {
        if self.report.problems.len() < PROBLEMS_MAX {
            let (file, what) = (file.to_owned(), what.into());
            self.report.problems.push(Problem { file, what });
        }
    }

    fn is_full(&self) -> bool {
        self.report.problems.len() >= PROBLEMS_MAX
    }

    /// Reads a file, and compares it with its size and SHA-256 in the manifest.
    fn file(&mut self, name: &str, size: u64, sha256: &str) -> Result<(), BackupError> {
        let path = self.place.root.join(name);
        match hash_file(&path).map_err(BackupError::io("read", &path))? {
            None => self.problem(name, "it is missing"),
            Some(found) if found.size != size => {
                let what = format!("it has {} bytes and not {size}", found.size);
                self.problem(name, what);
            }
            Some(found) if found.sha256 != sha256 => {
                self.problem(name, "its SHA-256 differs from that of the backup");
            }
            Some(_) => {}
        }
        self.read += size;
        (self.progress)(self.read);
        Ok(())
    }

    fn files(&mut self, manifest: &Manifest) -> Result<(), BackupError> {
        let generation = manifest.directory();
        for segment in &manifest.segments {
            let name = format!("{generation}/{JOURNAL}/{}", segment.name);
            self.file(&name, segment.size, &segment.sha256)?;
        }
        for file in &manifest.files {
            let name = format!("{generation}/{}", file.name);
            self.file(&name, file.size, &file.sha256)?;
        }
        let known = manifest.segments.iter().map(|entry| entry.name.as_str());
        let known: BTreeSet<&str> = known.chain([state::FILE]).collect();
        for name in names(&self.place.generation(manifest).join(JOURNAL))? {
            if !known.contains(name.as_str()) {
                let file = format!("{generation}/{JOURNAL}/{name}");
                self.problem(&file, "it does not belong to the backup");
            }
        }
        Ok(())
    }

    /// Checks that the marker agrees with the manifest, and contains nothing that this program does not know.
    fn marker(&mut self, manifest: &Manifest) -> Result<(), BackupError> {
        let path = self.place.generation(manifest).join(MARKER);
        let text = std::fs::read(&path).map_err(BackupError::io("read", &path))?;
        let name = format!("{}/{MARKER}", manifest.directory());
        match Marker::parse(&text, &self.place.root, SCHEMAS) {
            Ok(marker)
                if (marker.format_version, &marker.environment)
                    == (manifest.data_format, &manifest.environment) => {}
            Ok(_) => self.problem(&name, "it differs from the manifest"),
            Err(error) if error.is_newer() => return Err(error.into()),
            Err(error) => self.problem(&name, error.to_string()),
        }
        Ok(())
    }

    /// Walks the chain. Whether it is whole and ends where it should.
    fn journal(&mut self, manifest: &Manifest) -> Result<bool, BackupError> {
        let directory = self.place.generation(manifest).join(JOURNAL);
        let name = format!("{}/{JOURNAL}", manifest.directory());
        let walked = match journal_verify::verify(&directory, false, &mut |_, _| {}) {
            Ok(walked) => walked,
            Err(error) => {
                let error = BackupError::from(error);
                if error.is_newer() {
                    return Err(error);
                }
                self.problem(&name, describe(&error));
                return Ok(false);
            }
        };
        self.report.entries = walked.entries;
        let unfinished = walked.unfinished.iter();
        for problem in walked.problems.iter().chain(unfinished) {
            let what = format!(
                "byte {}, position {}: {}",
                problem.byte, problem.position, problem.what
            );
            self.problem(&format!("{name}/{}", problem.file), what);
        }
        let end = (walked.head.position, walked.head.hash.as_str());
        let ends = end == (manifest.position, manifest.hash.as_str());
        if !ends {
            let what = format!(
                "it ends at position {} with hash {}, and the manifest states position {} with hash {}",
                walked.head.position, walked.head.hash, manifest.position, manifest.hash
            );
            self.problem(&name, what);
        }
        Ok(ends && walked.problems.is_empty() && walked.unfinished.is_none())
    }

    /// Holds the list of content against what the journal names.
    fn list(
        &mut self,
        manifest: &Manifest,
        catalogue: &Catalogue,
    ) -> Result<Catalogue, BackupError> {
        let mut named = Catalogue::default();
        for entry in replay(&self.place.generation(manifest).join(JOURNAL))? {
            if let Some(body) = entry?.body {
                named.take(&body);
            }
        }
        if named.without_files() != catalogue.without_files() {
            let name = format!("{}/{CONTENT_LIST}", manifest.directory());
            self.problem(&name, "it does not name the content that the journal names");
        }
        if catalogue.counts() != manifest.objects {
            let what = "its content counts differ from the list";
            self.problem(MANIFEST, what);
        }
        Ok(named)
    }

    /// Compares each file with the list, and with the SHA-256 that the journal has of its bytes.
    fn content(&mut self, catalogue: &Catalogue, named: &Catalogue) -> Result<(), BackupError> {
        for (name, object) in catalogue.iter() {
            if self.is_full() {
                break;
            }
            let Some(sha256) = &object.sha256 else {
                continue;
            };
            let path = self.place.object(&name);
            let file = path.strip_prefix(&self.place.root).unwrap_or(&path);
            let file = file.to_string_lossy().into_owned();
            let found = hash_file(&path).map_err(BackupError::io("read", &path))?;
            match found {
                None => self.problem(&file, "it is missing"),
                Some(found) if found.size != object.size => {
                    let what = format!("it has {} bytes and not {}", found.size, object.size);
                    self.problem(&file, what);
                }
                Some(found) if !object.matches(&found) || found.sha256 != *sha256 => {
                    self.problem(&file, "its MD5 or SHA-256 differs from the recorded one");
                }
                Some(found)
                    if named
                        .sha256_in_journal(&name)
                        .is_some_and(|told| told.to_string() != found.sha256) =>
                {
                    self.problem(&file, "its SHA-256 differs from that of the journal");
                }
                Some(_) => {}
            }
            self.read += object.size;
            (self.progress)(self.read);
        }
        Ok(())
    }
}
