//! Reconcile: compares a container's records, their rows and their content, a page at a time, and repairs differences.
//!
//! The journal says what must be. A page checks first records, then ended content that is kept, then rows that should
//! not be there, and last files. What changes during the check is checked again, so that nothing is reported that was
//! only in progress.

mod files;
mod records;
mod rows;

use std::sync::Arc;

use super::{Place, Upkeep, UpkeepSettings};
use crate::actors::Caller;
use crate::actors::container::{MaintainContainer, MaintenanceOutcome};
use crate::actors::{ActorDeps, Refused};
use crate::clock::Pace;
use crate::content::{ContentError, ContentStore, ObjectName};
use crate::domain::container::ContainerCommand;
use crate::domain::record::RecordKey;
use crate::domain::repair::{Repair, RepairAction};
use crate::domain::{RecordId, Timestamp};
use crate::journal::JournalError;
use crate::offload;
use crate::projections::StoreError;
use crate::report;

/// The prefix of the places of unfinished uploads.
const UPLOADS: &str = "content/tmp/";
/// Rows that a page may skip before it ends early.
const PASSED_MAX: usize = 4_096;

/// Where a page begins: after what was checked last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// After a record's stream.
    Records(String),
    /// After a row of ended content.
    Contents(Vec<u8>),
    /// After the row with this key.
    Rows(Vec<u8>),
    /// After the file with this name.
    Files(String),
}

impl Default for Cursor {
    fn default() -> Self {
        Self::Records(String::new())
    }
}

impl Cursor {
    /// The bytes that a page token contains.
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

    /// The cursor from a token's bytes; `None` when they are none.
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

/// The findings of one page.
#[derive(Debug, Default)]
pub struct Page {
    /// Records, contents, rows and files checked.
    pub scanned: usize,
    /// The differences, each with its repair.
    pub found: Vec<Finding>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

/// One difference that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind of difference, and its repair.
    pub repair: Repair,
    /// The index, file or upload it is about, for people.
    pub about: String,
}

/// Why a check broke off; for the operator.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
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

/// What one step found and did.
#[derive(Debug)]
pub struct Reconciled {
    /// Drift that was found on this page.
    pub page: Page,
    /// Whether each finding was mended, in their order.
    pub mended: Vec<bool>,
}

impl Upkeep {
    /// One step through a container; with `repair` what it finds is mended, by events.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn reconcile(
        &self,
        place: &Place,
        (from, items_max): (Cursor, usize),
        repair: bool,
        caller: &Caller,
    ) -> Result<Reconciled, Refused> {
        let deps = self.registry.deps().clone();
        if repair {
            deps.clock.may_destroy()?;
        }
        let check = Check {
            now: deps.clock.trusted(),
            deps,
            content: self.content.clone(),
            place: place.clone(),
            settings: self.settings,
        };
        let page = offload::try_blocking(move || {
            let page = check.page(from, items_max);
            page.map_err(Refused::failed)
        });
        let page = page.await?;
        let mended = if repair && !page.found.is_empty() {
            self.repair(place, &page.found, caller).await?
        } else {
            vec![false; page.found.len()]
        };
        Ok(Reconciled { page, mended })
    }

    /// Journals what is repaired, and then does it: rows are rewritten where the event is applied, files are removed here.
    async fn repair(
        &self,
        place: &Place,
        found: &[Finding],
        caller: &Caller,
    ) -> Result<Vec<bool>, Refused> {
        let of_container = found.iter().map(|finding| finding.repair.clone());
        let of_container = of_container.filter(|repair| repair.action != RepairAction::GivenUp);
        let order = MaintainContainer {
            command: ContainerCommand::Repair {
                repairs: of_container.collect(),
            },
            guards: Vec::new(),
            caller: caller.clone(),
        };
        match self.maintain(place, order).await? {
            MaintenanceOutcome::Done(_) => {}
            MaintenanceOutcome::Moved => return Err(Refused::Busy),
        }
        let mut mended = Vec::with_capacity(found.len());
        for finding in found {
            let repair = &finding.repair;
            mended.push(match repair.action {
                RepairAction::RowsRestored
                | RepairAction::RowsRemoved
                | RepairAction::FoundAgain => true,
                RepairAction::MarkedLost | RepairAction::FileRemoved => {
                    self.take_away(place, repair).await?
                }
                RepairAction::GivenUp => match repair.record_id.as_deref().map(RecordId::parse) {
                    Some(Ok(record_id)) => {
                        let key = RecordKey {
                            org: place.org.clone(),
                            container: place.container.clone(),
                            record_id,
                        };
                        self.abandon(key, caller).await?
                    }
                    Some(Err(_)) | None => false,
                },
            });
        }
        Ok(mended)
    }

    /// A file that stays is found again.
    async fn take_away(&self, place: &Place, repair: &Repair) -> Result<bool, Refused> {
        let (content, org, repair) = (self.content.clone(), place.org.clone(), repair.clone());
        let now = self.registry.deps().clock.trusted();
        let since = self.settings.stale_since(now);
        let taken = offload::try_blocking(move || {
            let taken = match (repair.action, repair.object_id, &repair.file) {
                (RepairAction::MarkedLost, Some(object_id), _) => {
                    content.set_aside(&ObjectName { org, object_id })
                }
                // No place below an org has three parts: it is what is left of an upload.
                (_, _, Some(file)) if file.starts_with(UPLOADS) => {
                    content.remove_stale(since).map(drop)
                }
                (_, _, Some(file)) => content.remove_file(&org, file),
                (_, _, None) => Ok(()),
            };
            if let Err(error) = &taken {
                report::notice_error("a file could not be removed", error);
            }
            Ok(taken.is_ok())
        });
        taken.await
    }
}

/// Checks one container. Blocks.
pub(super) struct Check {
    deps: Arc<ActorDeps>,
    content: Arc<dyn ContentStore>,
    place: Place,
    now: Timestamp,
    settings: UpkeepSettings,
}

impl Check {
    /// Checks one page of at most `max` things, resting as long as it works.
    ///
    /// # Errors
    /// See [`CheckError`].
    fn page(&self, from: Cursor, max: usize) -> Result<Page, CheckError> {
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

/// Things checked between two rests, some milliseconds' worth.
const STEP: usize = 32;
