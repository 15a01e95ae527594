//! Levels of free disk: the marks below which changes are refused, from settings and the size of the disk.

use crate::report::Word;

/// The first mark unless it is set: room for several of the largest uploads at once.
const UPLOADS_MIN_FREE_BYTES: u64 = 512 * 1024 * 1024;
/// The second mark unless it is set: room for the gzip of a sealed segment of 64 MiB, and as much again.
const CHANGES_MIN_FREE_BYTES: u64 = 128 * 1024 * 1024;
/// The first mark of free inodes unless it is set: an upload makes up to four, and two directories for its org's first.
const UPLOADS_MIN_FREE_FILES: u64 = 10_000;
/// The second mark of free inodes unless it is set: the databases make one for each large payload.
const CHANGES_MIN_FREE_FILES: u64 = 1_000;
/// The reserve unless it is set: room for the databases to open and for thousands of operators' events.
const RESERVE_BYTES: u64 = 32 * 1024 * 1024;
/// The most that the first mark, the second and the reserve take of a disk, as a share of its size.
const SHARES: [u64; 3] = [10, 20, 40];

/// The marks as set; 0 derives one from the size of the disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReserveSettings {
    /// Free bytes below which uploads and puts are refused.
    pub uploads_min_free_bytes: u64,
    /// Free bytes below which every change of a tenant is refused.
    pub changes_min_free_bytes: u64,
    /// Bytes of the reserve.
    pub reserve_bytes: u64,
    /// Free inodes below which uploads and puts are refused.
    pub uploads_min_free_files: u64,
    /// Free inodes below which every change of a tenant is refused.
    pub changes_min_free_files: u64,
    /// In development mode there is no reserve unless its size is set.
    pub development: bool,
}

/// What the free disk is enough for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Enough for every kind of change.
    Enough,
    /// Everything but uploads and puts.
    Low,
    /// Signing in, operators, jobs and the journal's own work.
    Critical,
}

impl Level {
    /// Every level, in ascending order.
    pub(super) const ALL: [Self; 3] = [Self::Enough, Self::Low, Self::Critical];

    /// The level's name in the log and in answers.
    pub fn as_str(self) -> Word {
        match self {
            Self::Enough => "enough",
            Self::Low => "low",
            Self::Critical => "critical",
        }
    }

    /// The value of `metarecord_disk_level`.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Enough => 0,
            Self::Low => 1,
            Self::Critical => 2,
        }
    }

    /// The level of a number; the last one for an unknown number.
    pub(super) fn of_number(number: u8) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|level| level.number() == number)
            .unwrap_or(Self::Critical)
    }

    /// What the level means, and what an operator can do.
    pub(super) fn hint(self) -> Word {
        match self {
            Self::Enough => "Changes are accepted again.",
            Self::Low => {
                "Uploads and puts are refused; free space or grow the volume (df shows bytes, df -i inodes; docs/emergency/disk-full.md)."
            }
            Self::Critical => {
                "Changes of tenants are refused; free space or grow the volume (df shows bytes, df -i inodes; docs/emergency/disk-full.md)."
            }
        }
    }
}

/// Free bytes and inodes below which a level begins, and bytes of the reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Free inodes below which uploads and puts are refused.
    pub uploads_files: u64,
    /// Free inodes below which every change of a tenant is refused.
    pub changes_files: u64,
    /// Free bytes below which uploads and puts are refused.
    pub uploads: u64,
    /// Free bytes below which every change of a tenant is refused.
    pub changes: u64,
    /// Bytes of the reserve file.
    pub reserve: u64,
}

impl ReserveSettings {
    /// The marks on a disk of a size in bytes, and of a number of inodes.
    pub fn marks(&self, size_bytes: u64, files: u64) -> Marks {
        let of = |size: u64, set: u64, usual: u64, share: u64| match set {
            0 => usual.min(size / share),
            set => set,
        };
        let or = |set: u64, usual: u64, share: u64| of(size_bytes, set, usual, share);
        let [uploads, changes, reserve] = SHARES;
        Marks {
            uploads_files: of(
                files,
                self.uploads_min_free_files,
                UPLOADS_MIN_FREE_FILES,
                uploads,
            ),
            changes_files: of(
                files,
                self.changes_min_free_files,
                CHANGES_MIN_FREE_FILES,
                changes,
            ),
            uploads: or(self.uploads_min_free_bytes, UPLOADS_MIN_FREE_BYTES, uploads),
            changes: or(self.changes_min_free_bytes, CHANGES_MIN_FREE_BYTES, changes),
            reserve: if self.reserve_bytes == 0 && self.development {
                0
            } else {
                or(self.reserve_bytes, RESERVE_BYTES, reserve)
            },
        }
    }
}

impl Marks {
    /// The level that follows another with this many free bytes and inodes. A level ends only a quarter above the mark it began
    /// below, so that a file that comes and goes does not alternate refusals and acceptance.
    pub fn level(&self, before: Level, free_bytes: u64, free_files: u64) -> Level {
        let bytes = level_of(before, free_bytes, (self.uploads, self.changes));
        let files = (self.uploads_files, self.changes_files);
        bytes.max(level_of(before, free_files, files))
    }
}

fn level_of(before: Level, free: u64, (uploads, changes): (u64, u64)) -> Level {
    let raised = |mark: u64, level: Level| {
        if before >= level {
            mark.saturating_add(mark / 4)
        } else {
            mark
        }
    };
    if free < raised(changes, Level::Critical) {
        Level::Critical
    } else if free < raised(uploads, Level::Low) {
        Level::Low
    } else {
        Level::Enough
    }
}
