//! Reconcile: compares a container's records, their rows and their content, a page at a time, and mends what does not fit.
//!
//! The journal says what must be. A page looks first at records, then at content that has ended and is kept, then at rows
//! that should not be there, and last at files. What changes while it is looked at is looked at again, so that nothing is
//! reported that was only on its way.

mod files;
mod records;
mod rows;

use std::sync::Arc;

use super::ops::Caller;
use super::{AddressBook, Desk, Refused};
use crate::clock::Pace;
use crate::content::{ContentError, ContentStore, ObjectName};
use crate::domain::container::ContainerCommand;
use crate::domain::repair::{Repair, RepairAction};
use crate::domain::{ContainerName, OrgCode, Timestamp};
use crate::journal::{Journal, JournalError};
use crate::projections::{Store, StoreError};

/// Things looked at in one page when nothing is said (contract, section 10).
pub const PAGE_DEFAULT: usize = 100;
/// Most things looked at in one page.
pub const PAGE_MAX: usize = 1_000;
/// Rows that a page may pass by without looking at them, before it ends early.
const PASSED_MAX: usize = 4_096;

/// Where a page begins: behind what was looked at last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// Behind a record's stream.
    Records(String),
    /// Behind a row of ended content.
    Contents(Vec<u8>),
    /// Behind a row.
    Rows(Vec<u8>),
    /// Behind a file.
    Files(String),
}

impl Default for Cursor {
    fn default() -> Self {
        Self::Records(String::new())
    }
}

impl Cursor {
    /// As a token carries it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (kind, place) = match self {
            Self::Records(name) => (b'r', name.as_bytes()),
            Self::Contents(place) => (b'c', place.as_slice()),
            Self::Rows(place) => (b'i', place.as_slice()),
            Self::Files(place) => (b'f', place.as_bytes()),
        };
        let mut bytes = vec![kind];
        bytes.extend_from_slice(place);
        bytes
    }

    /// From what a token carried; `None` for what is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, place) = bytes.split_first()?;
        let text = || Some(std::str::from_utf8(place).ok()?.to_owned());
        Some(match kind {
            b'r' => Self::Records(text()?),
            b'c' => Self::Contents(place.to_vec()),
            b'i' => Self::Rows(place.to_vec()),
            b'f' => Self::Files(text()?),
            _ => return None,
        })
    }
}

/// What one page found.
#[derive(Debug, Default)]
pub struct Page {
    /// Records, contents, rows and files looked at.
    pub scanned: usize,
    /// What does not fit, with what mends it.
    pub found: Vec<Finding>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

/// One thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is, and what mends it.
    pub repair: Repair,
    /// Which index, file or upload, for people.
    pub about: String,
}

/// Why a look broke off; for the operator.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The journal cannot be read.
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] JournalError),
    /// The projections cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The files cannot be read.
    #[error("the content cannot be read: {0}")]
    Content(#[from] ContentError),
    /// A file cannot be read to its end.
    #[error("{0} cannot be read: {1}")]
    File(ObjectName, std::io::Error),
}

/// Looks at one container. Blocks.
pub struct Look {
    /// What must be.
    pub journal: Arc<dyn Journal>,
    /// The rows.
    pub store: Store,
    /// The files.
    pub content: Arc<dyn ContentStore>,
    /// The org.
    pub org: OrgCode,
    /// The container.
    pub container: ContainerName,
    /// The time it is judged by.
    pub now: Timestamp,
    /// An upload promised before this is overdue.
    pub overdue: Timestamp,
}

impl Look {
    /// Looks at one page of at most `max` things, resting as long as it works.
    ///
    /// # Errors
    /// See [`LookError`].
    pub fn page(&self, from: Cursor, max: usize) -> Result<Page, LookError> {
        let mut page = Page {
            next: Some(from),
            ..Page::default()
        };
        let mut pace = Pace::start();
        while let Some(at) = page.next.take() {
            if page.scanned >= max {
                page.next = Some(at);
                break;
            }
            let room = (max - page.scanned).min(STEP);
            page.next = match at {
                Cursor::Records(after) => self.records(&after, room, &mut page)?,
                Cursor::Contents(after) => self.contents(&after, room, &mut page)?,
                Cursor::Rows(after) => {
                    let (next, passed) = self.rows(&after, room, &mut page)?;
                    if passed >= PASSED_MAX && next.is_some() {
                        page.next = next;
                        break;
                    }
                    next
                }
                Cursor::Files(after) => self.files(&after, room, &mut page)?,
            };
            pace.rest();
        }
        Ok(page)
    }
}

/// Things looked at between two rests, some milliseconds' worth.
const STEP: usize = 32;
