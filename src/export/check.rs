//! Reading an export's directory, and holding every byte of it against the manifest before anything is done with it.

mod steps;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use md5::Md5 as Md5Hasher;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::line::{EventLine, completed_objects, objects_of};
use super::{
    CONTENT, EVENTS, FILES, FORMAT_VERSION, FileEntry, LINE_BYTES_MAX, MANIFEST, Manifest, RECORDS,
    UNFINISHED, content_name, is_file_name,
};
use crate::domain::{Md5, Sha256Digest};
use crate::journal::Append;
use crate::os_error::with_causes;

pub use self::steps::Step;

/// Bytes read of a file at a time.
const CHUNK_BYTES: usize = 64 * 1024;
/// Largest manifest read, in bytes.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024;

/// Why an export cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file cannot be read.
    #[error("{file} of the export cannot be read")]
    Io {
        /// Name of the file within the directory.
        file: String,
        /// Error of the operating system.
        #[source]
        source: io::Error,
    },
    /// A file is not what was exported.
    #[error("{file} of the export is damaged: {what}")]
    Damaged {
        /// Name of the file within the directory.
        file: String,
        /// The contradiction, in words.
        what: String,
    },
    /// A newer program wrote it.
    #[error("the export has format {found}; this program reads up to {FORMAT_VERSION}")]
    Newer {
        /// Format version that was found.
        found: u32,
    },
}

fn damaged(file: &str, what: impl Into<String>) -> ExportError {
    ExportError::Damaged {
        file: file.to_owned(),
        what: what.into(),
    }
}

/// Called with the bytes read so far.
pub type Progress<'a> = &'a mut dyn FnMut(u64);

/// A part of an export, in the order of its history.
pub enum Part<'a> {
    /// An entry of the history, and what another journal is to write of it.
    Entry(&'a EventLine, &'a Append),
    /// A content file, its object, and the MD5 that was promised of it.
    Object(&'a FileEntry, Uuid, Md5),
    /// An object that was not there when the export was made.
    Absent,
}

/// An export in a directory of its own.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
    /// Manifest of the whole export.
    pub manifest: Manifest,
    /// SHA-256 of the manifest's bytes, in hex.
    pub manifest_sha256: String,
}

impl Directory {
    /// Whether a directory holds a file, whole and right. Its manifest need not be there yet.
    pub fn holds(root: &Path, file: &FileEntry) -> bool {
        check_file(root, file, None).is_ok()
    }

    /// Reads a directory's manifest, and nothing else.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub fn open(root: &Path) -> Result<Self, ExportError> {
        if root.join(UNFINISHED).exists() {
            let what = "the download is not finished: run g3n utl export again with this directory as --out";
            return Err(damaged(UNFINISHED, what));
        }
        let io = |source| io_error(MANIFEST, source);
        let mut text = Vec::new();
        let file = File::open(root.join(MANIFEST)).map_err(io)?;
        file.take(MANIFEST_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(io)?;
        let manifest = parse_manifest(&text)?;
        Ok(Self {
            root: root.to_owned(),
            manifest,
            manifest_sha256: hex::encode(Sha256::digest(&text)),
        })
    }

    /// All bytes that [`Directory::check`] reads, without the manifest's; content files are added as they are found.
    pub fn bytes(&self) -> u64 {
        let files = self.manifest.files.iter();
        files.map(|file| file.size).sum()
    }

    /// Reads the history, and calls `visit` with each entry and then the content files it names. A file whose event has
    /// its SHA-256 is listed with that one. Memory grows by some 60 bytes with each content file.
    ///
    /// # Errors
    /// The first contradiction found, or the error of `visit`.
    pub fn walk<E: From<ExportError>>(
        &self,
        visit: &mut dyn FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut files = self.content()?.peekable();
        let mut listed = HashMap::new();
        for line in self.lines()? {
            let line = line?;
            let append = line.append(&self.manifest.orgcode);
            let append = append.map_err(|error| damaged(EVENTS, with_causes(&error)))?;
            visit(Part::Entry(&line, &append))?;
            for (object_id, size, md5) in objects_of(&append.events) {
                let name = content_name(object_id);
                // They are listed in the order in which the history names them.
                let its =
                    |file: &Result<FileEntry, _>| file.as_ref().map_or(true, |f| f.name == name);
                match files.next_if(its).transpose()? {
                    Some(file) if file.size != size => {
                        return Err(damaged(&name, "it does not have the announced size").into());
                    }
                    Some(file) => {
                        listed.insert(object_id, Sha256Digest::parse(&file.sha256));
                        visit(Part::Object(&file, object_id, md5))?;
                    }
                    None => visit(Part::Absent)?,
                }
            }
            for (object_id, told) in completed_objects(&append.events) {
                if listed.get(&object_id).is_some_and(|its| *its != Some(told)) {
                    let name = content_name(object_id);
                    return Err(damaged(&name, "its SHA-256 differs from that of its event").into());
                }
            }
        }
        match files.next().transpose()? {
            None => Ok(()),
            Some(file) => {
                let what = format!("{} is named by no event, or not in its order", file.name);
                Err(damaged(CONTENT, what).into())
            }
        }
    }

    /// The history, line by line.
    ///
    /// # Errors
    /// [`ExportError`] when the file cannot be opened.
    pub fn lines(
        &self,
    ) -> Result<impl Iterator<Item = Result<EventLine, ExportError>> + use<>, ExportError> {
        Ok(self.texts(EVENTS)?.map(|text| parse(EVENTS, &text?)))
    }

    /// The records as callers see them, each with its content versions.
    ///
    /// # Errors
    /// [`ExportError`] when the file cannot be opened.
    pub fn records(
        &self,
    ) -> Result<impl Iterator<Item = Result<Value, ExportError>> + use<>, ExportError> {
        Ok(self.texts(RECORDS)?.map(|text| parse(RECORDS, &text?)))
    }

    /// The content files, in the order in which the history names them.
    ///
    /// # Errors
    /// [`ExportError`] when the list cannot be opened.
    pub fn content(
        &self,
    ) -> Result<impl Iterator<Item = Result<FileEntry, ExportError>> + use<>, ExportError> {
        Ok(self.texts(CONTENT)?.map(|text| parse(CONTENT, &text?)))
    }

    /// Opens one of its files.
    ///
    /// # Errors
    /// [`ExportError`] when the file cannot be opened.
    pub fn open_file(&self, name: &str) -> Result<File, ExportError> {
        open_file(&self.root, name)
    }

    fn texts(
        &self,
        name: &'static str,
    ) -> Result<impl Iterator<Item = Result<Vec<u8>, ExportError>> + use<>, ExportError> {
        let file = self.open_file(name)?;
        // An org without records, for instance: no lines are no gzip member either.
        let empty = file.metadata().is_ok_and(|metadata| metadata.len() == 0);
        let reader: Box<dyn BufRead> = if name.ends_with(".gz") && !empty {
            Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file))))
        } else {
            Box::new(BufReader::new(file))
        };
        Ok(Texts { name, reader })
    }

    fn check_file(&self, file: &FileEntry, md5: Option<Md5>) -> Result<(), ExportError> {
        check_file(&self.root, file, md5)
    }
}

/// Checks that a file has the size and the hashes of its entry.
fn check_file(root: &Path, file: &FileEntry, md5: Option<Md5>) -> Result<(), ExportError> {
    let name = file.name.as_str();
    let mut reader = open_file(root, name)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut sha256, mut its_md5, mut size) = (Sha256::new(), Md5Hasher::new(), 0);
    loop {
        let read = reader.read(&mut chunk);
        match read.map_err(|source| io_error(name, source))? {
            0 => break,
            count => {
                sha256.update(&chunk[..count]);
                its_md5.update(&chunk[..count]);
                size += count as u64;
            }
        }
    }
    if size != file.size {
        let what = format!("it has {size} bytes and not {}", file.size);
        return Err(damaged(name, what));
    }
    if hex::encode(sha256.finalize()) != file.sha256 {
        return Err(damaged(name, "its SHA-256 differs from that of the export"));
    }
    let its_md5 = Md5::from_bytes(its_md5.finalize().into());
    if md5.is_none_or(|md5| md5 == its_md5) {
        Ok(())
    } else {
        Err(damaged(name, "its MD5 differs from that of its event"))
    }
}

fn open_file(root: &Path, name: &str) -> Result<File, ExportError> {
    if is_file_name(name) {
        File::open(root.join(name)).map_err(|source| io_error(name, source))
    } else {
        Err(damaged(CONTENT, format!("{name} is no name of a file")))
    }
}

/// Reads a manifest's bytes.
///
/// # Errors
/// See [`ExportError`].
pub fn parse_manifest(text: &[u8]) -> Result<Manifest, ExportError> {
    #[derive(serde::Deserialize)]
    struct Format {
        format_version: u32,
    }
    let format: Format = parse(MANIFEST, text)?;
    if format.format_version > FORMAT_VERSION {
        let found = format.format_version;
        return Err(ExportError::Newer { found });
    }
    let manifest: Manifest = parse(MANIFEST, text)?;
    let names: Vec<_> = manifest
        .files
        .iter()
        .map(|file| file.name.as_str())
        .collect();
    if names == FILES {
        Ok(manifest)
    } else {
        Err(damaged(
            MANIFEST,
            format!("it names {} and not {}", names.join(", "), FILES.join(", ")),
        ))
    }
}

fn parse<T: DeserializeOwned>(name: &str, text: &[u8]) -> Result<T, ExportError> {
    serde_json::from_slice(text).map_err(|error| damaged(name, error.to_string()))
}

fn io_error(name: &str, source: io::Error) -> ExportError {
    match source.kind() {
        io::ErrorKind::NotFound => damaged(name, "it is missing"),
        _ => ExportError::Io {
            file: name.to_owned(),
            source,
        },
    }
}

fn read_dir(
    path: &Path,
    name: &'static str,
) -> Result<impl Iterator<Item = Result<String, ExportError>> + use<>, ExportError> {
    let entries = fs::read_dir(path).map_err(|source| io_error(name, source))?;
    Ok(entries.map(move |entry| {
        let entry = entry.map_err(|source| io_error(name, source))?;
        Ok(entry.file_name().to_string_lossy().into_owned())
    }))
}

/// Lines without their line feeds; one that is not ended is damage.
struct Texts {
    name: &'static str,
    reader: Box<dyn BufRead>,
}

impl Iterator for Texts {
    type Item = Result<Vec<u8>, ExportError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        // Not through another buffer, which would keep what it read ahead.
        let mut limited = Read::take(&mut *self.reader, LINE_BYTES_MAX as u64);
        match limited.read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) if line.pop() == Some(b'\n') => Some(Ok(line)),
            Ok(_) => Some(Err(damaged(self.name, "a line does not end"))),
            Err(source) => Some(Err(damaged(
                self.name,
                format!("it cannot be unpacked: {source}"),
            ))),
        }
    }
}
