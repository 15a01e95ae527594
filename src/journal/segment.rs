//! Reading segment files, plain or sealed, by byte range.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bgzf::{self, Broken, Member};
use super::{JournalError, Position};

/// Most segments kept open for reading; past it the one with the lowest position is closed.
const OPEN_MAX: usize = 64;
/// How often a file is looked for again while it is being sealed under the reader's feet.
const TRIES_MAX: usize = 4;

/// A wrong byte or a failed read, before it is known for whom.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The disk said no.
    Failed(JournalError),
    /// The bytes from here on are not what was written. The offset is the file's own.
    Damage { byte: u64, what: String },
}

impl Fault {
    /// The error for a reader who knows the file and the position.
    pub(crate) fn at(self, file: &str, position: Position) -> JournalError {
        match self {
            Self::Failed(error) => error,
            Self::Damage { byte, what } => damaged(file, byte, position, what),
        }
    }
}

/// An error that names file, byte and position.
pub(crate) fn damaged(
    file: &str,
    byte: u64,
    position: Position,
    what: impl Into<String>,
) -> JournalError {
    JournalError::Damaged {
        place: format!("{file}, byte {byte}, position {position}"),
        what: what.into(),
    }
}

/// A failed file operation.
pub(crate) fn failed(action: &'static str, place: &Path, source: io::Error) -> JournalError {
    JournalError::Io {
        action,
        place: place.display().to_string(),
        source: Arc::new(source),
    }
}

/// The name of a segment being written.
pub(crate) fn plain_name(first: Position) -> String {
    format!("{first:020}.jsonl")
}

/// The name of a sealed segment.
pub(crate) fn sealed_name(first: Position) -> String {
    format!("{first:020}.jsonl.gz")
}

/// The location of an entry in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// First position of its segment.
    pub(crate) segment: Position,
    /// Offset of its line in the segment's content.
    pub(crate) offset: u64,
    /// Bytes of its line with the line feed.
    pub(crate) line_bytes: u32,
}

/// A segment in a listing; both kinds are there when sealing was interrupted, and the plain one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) first: Position,
    pub(crate) plain: bool,
    pub(crate) sealed: bool,
}

/// The segments of a directory by first position; none when there is no directory.
pub(crate) fn list(dir: &Path) -> Result<Vec<Listed>, JournalError> {
    let mut found = BTreeMap::<Position, Listed>::new();
    let names = match fs::read_dir(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("listing the journal", dir, error)),
    };
    for name in names {
        let name = name.map_err(|error| failed("listing the journal", dir, error))?;
        let name = name.file_name();
        let Some((stem, kind)) = name.to_str().and_then(|name| name.split_once('.')) else {
            continue;
        };
        let digits = stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit());
        let Some(first) = stem.parse().ok().filter(|_| digits) else {
            continue;
        };
        let listed = found.entry(first).or_insert(Listed {
            first,
            plain: false,
            sealed: false,
        });
        match kind {
            "jsonl" => listed.plain = true,
            "jsonl.gz" => listed.sealed = true,
            _ => {}
        }
    }
    found.retain(|_, listed| listed.plain || listed.sealed);
    Ok(found.into_values().collect())
}

/// One segment, open for reading. Stays readable when its file is sealed or removed.
pub(crate) struct Segment {
    /// The position it begins with.
    pub(crate) first: Position,
    /// Name of the plain or sealed file.
    pub(crate) name: String,
    path: PathBuf,
    file: File,
    sealed: Option<Sealed>,
}

struct Sealed {
    members: Vec<Member>,
    /// The member read last: the next read is often in it.
    last: Mutex<Option<(usize, Arc<Vec<u8>>)>>,
}

impl Segment {
    /// Opens whichever kind is there.
    pub(crate) fn open(dir: &Path, first: Position) -> Result<Self, (String, Fault)> {
        let mut missing = None;
        for _ in 0..TRIES_MAX {
            for (name, sealed) in [(plain_name(first), false), (sealed_name(first), true)] {
                let path = dir.join(&name);
                match File::open(&path) {
                    Ok(file) => return Self::with(first, name, path, file, sealed),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        missing = Some((name, failed("opening a segment", &path, error)));
                    }
                    Err(error) => {
                        return Err((
                            name,
                            Fault::Failed(failed("opening a segment", &path, error)),
                        ));
                    }
                }
            }
        }
        let (name, error) = missing.expect("a file was looked for at least once");
        Err((name, Fault::Failed(error)))
    }

    /// Opens a file by its own path; its name gives its kind, whatever its content is.
    pub(crate) fn at(path: &Path) -> Result<Self, JournalError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (first, sealed) = (
            name.split('.').next().and_then(|first| first.parse().ok()),
            name.split('.').any(|part| part == "gz"),
        );
        let first = first.unwrap_or(0);
        let file = File::open(path).map_err(|error| failed("opening a segment", path, error))?;
        Self::with(
            first,
            name.clone().into_owned(),
            path.to_owned(),
            file,
            sealed,
        )
        .map_err(|(name, fault)| fault.at(&name, first))
    }

    /// Opens a plain file of which it is known that it is one, whatever its name.
    pub(crate) fn plain(path: &Path) -> Result<Self, JournalError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let file = File::open(path).map_err(|error| failed("opening", path, error))?;
        Ok(Self {
            first: 0,
            name: name.into_owned(),
            path: path.to_owned(),
            file,
            sealed: None,
        })
    }

    fn with(
        first: Position,
        name: String,
        path: PathBuf,
        file: File,
        sealed: bool,
    ) -> Result<Self, (String, Fault)> {
        let sealed = if sealed {
            match bgzf::index(&file) {
                Ok(members) => Some(Sealed {
                    members,
                    last: Mutex::new(None),
                }),
                Err(broken) => return Err((name, fault(broken, &path))),
            }
        } else {
            None
        };
        Ok(Self {
            first,
            name,
            path,
            file,
            sealed,
        })
    }

    /// Bytes of content now. A segment being written grows.
    pub(crate) fn len(&self) -> Result<u64, JournalError> {
        match &self.sealed {
            Some(sealed) => Ok(sealed
                .members
                .last()
                .map_or(0, |member| member.offset + member.bytes as u64)),
            None => self
                .file
                .metadata()
                .map(|data| data.len())
                .map_err(|error| failed("reading a segment's length", &self.path, error)),
        }
    }

    /// Appends up to `limit` bytes of content from an offset on; fewer only at the end.
    pub(crate) fn read(&self, offset: u64, limit: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        match &self.sealed {
            None => self.read_plain(offset, limit, out),
            Some(sealed) => self.read_sealed(sealed, offset, limit, out),
        }
    }

    fn read_plain(&self, offset: u64, limit: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        let start = out.len();
        out.resize(start + limit, 0);
        let mut filled = 0;
        while filled < limit {
            let rest = &mut out[start + filled..];
            match self.file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    out.truncate(start);
                    return Err(Fault::Failed(failed(
                        "reading a segment",
                        &self.path,
                        error,
                    )));
                }
            }
        }
        out.truncate(start + filled);
        Ok(())
    }

    fn read_sealed(
        &self,
        sealed: &Sealed,
        offset: u64,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let end = offset + limit as u64;
        let from = sealed
            .members
            .partition_point(|member| member.offset + member.bytes as u64 <= offset);
        for (index, member) in sealed.members.iter().enumerate().skip(from) {
            if member.offset >= end {
                break;
            }
            let content = self.member(sealed, index, *member)?;
            let start = offset.saturating_sub(member.offset) as usize;
            let stop = (end - member.offset).min(member.bytes as u64) as usize;
            out.extend_from_slice(&content[start..stop]);
        }
        Ok(())
    }

    fn member(&self, sealed: &Sealed, index: usize, member: Member) -> Result<Arc<Vec<u8>>, Fault> {
        let last = || sealed.last.lock();
        if let Some((kept, content)) = &*last()
            && *kept == index
        {
            return Ok(Arc::clone(content));
        }
        let content = bgzf::read_member(&self.file, member)
            .map(Arc::new)
            .map_err(|broken| fault(broken, &self.path))?;
        *last() = Some((index, Arc::clone(&content)));
        Ok(content)
    }
}

fn fault(broken: Broken, path: &Path) -> Fault {
    match broken {
        Broken::Io(error) => Fault::Failed(failed("reading a sealed segment", path, error)),
        Broken::At(byte, what) => Fault::Damage {
            byte,
            what: what.to_string(),
        },
    }
}

/// The segments of one journal, opened when they are first read. Shared by readers and the sealer.
pub(crate) struct Segments {
    dir: PathBuf,
    open: Mutex<BTreeMap<Position, Arc<Segment>>>,
}

impl Segments {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            open: Mutex::new(BTreeMap::new()),
        }
    }

    /// The segment that begins with a position.
    pub(crate) fn get(&self, first: Position) -> Result<Arc<Segment>, JournalError> {
        // Held while opening, so that a file that the sealer is about to remove is not cached after its removal.
        let mut open = self.open();
        if let Some(segment) = open.get(&first) {
            return Ok(Arc::clone(segment));
        }
        let segment = Segment::open(&self.dir, first)
            .map(Arc::new)
            .map_err(|(name, fault)| fault.at(&name, first))?;
        open.insert(first, Arc::clone(&segment));
        if open.len() > OPEN_MAX {
            open.pop_first();
        }
        Ok(segment)
    }

    /// Closes a cached segment, so that it is opened again after its file was replaced.
    pub(crate) fn close(&self, first: Position) {
        self.open().remove(&first);
    }

    fn open(&self) -> parking_lot::MutexGuard<'_, BTreeMap<Position, Arc<Segment>>> {
        self.open.lock()
    }
}
