//! The segments of a backup: linked when they are the same files as in the last one, copied otherwise.

use std::fs::{self, File};
use std::path::Path;

use super::{Making, Progress};
use crate::backup::{BackupError, JOURNAL, Manifest, SegmentEntry};
use crate::journal::Position;
use crate::journal::copy::{self, Source, only_grew};

impl Making {
    /// Copies the segments before a position, the last up to it; without one those that are full.
    pub(super) fn copy_segments(
        &mut self,
        until: Option<Position>,
        progress: Progress<'_>,
    ) -> Result<(), BackupError> {
        let firsts = copy::segments(&self.journal())?;
        for (index, first) in firsts.iter().enumerate() {
            let next = firsts.get(index + 1);
            let cut = match (until, next) {
                (None, None) => break,
                (Some(until), _) if *first > until => break,
                (None, Some(_)) => None,
                (Some(until), Some(next)) if *next <= until + 1 => None,
                (Some(until), _) => Some(until),
            };
            self.copy_segment(*first, cut)?;
            progress(&self.tally);
        }
        Ok(())
    }

    fn copy_segment(
        &mut self,
        first: Position,
        until: Option<Position>,
    ) -> Result<(), BackupError> {
        let source = copy::open(&self.journal(), first)?;
        let same = |entry: &SegmentEntry| entry.source == source.identity && entry.until == until;
        let here = self.segments.get(&first);
        if here.is_some_and(same) {
            return Ok(());
        }
        let ours = self.directory.join(JOURNAL);
        let mut before = here.map(|entry| ours.join(&entry.name));
        if let (None, Some(manifest)) = (&before, &self.previous)
            && let Some(entry) = segment_of(manifest, first)
        {
            let path = self
                .place
                .generation(manifest)
                .join(JOURNAL)
                .join(&entry.name);
            let is_whole = fs::metadata(&path).is_ok_and(|found| found.len() == entry.size);
            if same(entry) && is_whole && link(&path, &ours.join(&entry.name)) {
                self.segments.insert(first, entry.clone());
                self.tally.segments_kept += 1;
                return Ok(());
            }
            before = Some(path);
        }
        let entry = self.copy_anew(source, until, before.as_deref())?;
        self.tally.segments += 1;
        self.tally.bytes += entry.size;
        self.segments.insert(first, entry);
        Ok(())
    }

    /// Copies a segment, and finds out whether an earlier copy of it is the beginning of this one.
    fn copy_anew(
        &mut self,
        mut source: Source,
        until: Option<Position>,
        before: Option<&Path>,
    ) -> Result<SegmentEntry, BackupError> {
        let first = source.first;
        let name = match until {
            Some(_) => copy::open_name(first),
            None => source.name.clone(),
        };
        let ours = self.directory.join(JOURNAL);
        let new = ours.join(format!("{name}.new"));
        let written = match until {
            Some(until) => copy::copy_until(&self.journal(), first, until, &new)?,
            None => source.copy(&new)?,
        };
        if let Some(before) = before {
            // An earlier copy that cannot be read shows nothing either.
            self.fits &= only_grew(before, &new).unwrap_or(false);
            if before.parent() == Some(&ours) {
                fs::remove_file(before).map_err(BackupError::io("remove", before))?;
            }
        }
        let path = ours.join(&name);
        fs::rename(&new, &path).map_err(BackupError::io("write", &path))?;
        Ok(SegmentEntry {
            first,
            name,
            size: written.size,
            sha256: written.sha256,
            until,
            source: source.identity,
        })
    }
}

/// Gives a file a second name; where the disk has no hard links, it is copied.
fn link(from: &Path, to: &Path) -> bool {
    fs::hard_link(from, to).is_ok()
        || File::open(from).is_ok_and(|mut file| copy::copy_file(&mut file, to).is_ok())
}

/// The segment of a manifest that begins at a position. They are written in order; one that is not in its place is
/// copied again.
fn segment_of(manifest: &Manifest, first: Position) -> Option<&SegmentEntry> {
    let segments = &manifest.segments;
    let found = segments.binary_search_by_key(&first, |entry| entry.first);
    found.ok().map(|index| &segments[index])
}
