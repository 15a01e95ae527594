//! The bytes: uploaded content outside the journal, checked before it is kept.
//!
//! An object is kept only when it is exactly what was promised, so a stored object always has its promised size and
//! MD5. It is durable before the journal names it, and goes only after the journal has let it go.

pub mod check;
#[cfg(test)]
mod fuzz;
pub mod local;
pub mod removals;
pub mod sign;

use std::fmt;
use std::io::{self, Read};

use uuid::Uuid;

use crate::domain::{Md5, OrgCode, Rejection, Timestamp};
use removals::Removals;

/// Names one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectName {
    /// Whose.
    pub org: OrgCode,
    /// Which.
    pub object_id: Uuid,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.org, self.object_id.simple())
    }
}

/// Something that lies where objects do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// Its place below the org's.
    pub place: String,
    /// The object that it is the file of; `None` for one that is none, or lies where it should not.
    pub object_id: Option<Uuid>,
}

/// What an uploader promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Bytes of gzip.
    pub size: u64,
    /// MD5 of the gzip.
    pub md5: Md5,
}

/// Why content was not taken or cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// It is not what was promised; for the caller.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The disk failed; for the operator.
    #[error("cannot {action} {place}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        place: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// An upload on its way. Dropping it leaves nothing behind.
pub trait Receiving: Send {
    /// Takes the next bytes, checking them.
    ///
    /// # Errors
    /// [`ContentError::Rejected`] as soon as it cannot be what was promised any more.
    fn take(&mut self, bytes: &[u8]) -> Result<(), ContentError>;

    /// Keeps the object if it is what was promised; it is then durable.
    ///
    /// # Errors
    /// [`ContentError::Rejected`] when it is not.
    fn keep(self: Box<Self>) -> Result<(), ContentError>;
}

/// Keeps objects. Every method blocks on the disk.
pub trait ContentStore: Send + Sync {
    /// Begins an upload; a kept one replaces an earlier object of the same name.
    ///
    /// # Errors
    /// The disk's.
    fn receive(
        &self,
        object: &ObjectName,
        promise: Promise,
    ) -> Result<Box<dyn Receiving>, ContentError>;

    /// Bytes of an object; `None` when there is none.
    ///
    /// # Errors
    /// The disk's.
    fn size(&self, object: &ObjectName) -> Result<Option<u64>, ContentError>;

    /// Opens a part of an object for reading; `None` when there is none.
    ///
    /// # Errors
    /// The disk's.
    fn read(
        &self,
        object: &ObjectName,
        from: u64,
        bytes: u64,
    ) -> Result<Option<Box<dyn Read + Send>>, ContentError>;

    /// Removes an object; absent is fine.
    ///
    /// # Errors
    /// The disk's.
    fn remove(&self, object: &ObjectName) -> Result<(), ContentError>;

    /// What is left of uploads that nobody has added to since a time, whosever they were: `content/tmp/` and their names.
    ///
    /// # Errors
    /// The disk's.
    fn stale(&self, since: Timestamp) -> Result<Vec<String>, ContentError>;

    /// Removes what is left of uploads that nobody has added to since a time, whosever they were. Returns how many there
    /// were, and their bytes.
    ///
    /// # Errors
    /// The disk's.
    fn remove_stale(&self, since: Timestamp) -> Result<(u64, u64), ContentError>;

    /// The orgs that may have objects, in no order.
    ///
    /// # Errors
    /// The disk's.
    fn orgs(&self) -> Result<Vec<OrgCode>, ContentError>;

    /// Removes what is left of an org once it has no objects; with objects it stays.
    ///
    /// # Errors
    /// The disk's.
    fn forget(&self, org: &OrgCode) -> Result<(), ContentError>;

    /// The ids of an org's objects, in no order.
    ///
    /// # Errors
    /// The disk's.
    fn list(&self, org: &OrgCode) -> Result<Vec<Uuid>, ContentError>;

    /// Everything that lies where an org's objects do, by its place there, in order from behind a place on, at least
    /// `limit` when there is as much. What was set aside does not count.
    ///
    /// # Errors
    /// The disk's.
    fn files(
        &self,
        org: &OrgCode,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<FoundFile>, ContentError>;

    /// Removes a file that [`ContentStore::files`] found; absent is fine.
    ///
    /// # Errors
    /// The disk's.
    fn remove_file(&self, org: &OrgCode, place: &str) -> Result<(), ContentError>;

    /// Takes an object's file out of the way, so that it is absent and its bytes can still be looked at; absent is fine.
    ///
    /// # Errors
    /// The disk's.
    fn set_aside(&self, object: &ObjectName) -> Result<(), ContentError>;

    /// What keeps removals waiting while a backup is taken. Every removal of an object here heeds it; whoever removes
    /// elsewhere what a backup reads takes a pass too. A store that no backup reads has one that nobody leases.
    fn removals(&self) -> Removals {
        Removals::default()
    }
}
