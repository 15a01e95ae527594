//! The content store: uploaded content outside the journal, checked before it is kept.
//!
//! An upload is kept only when it is exactly what was promised, under a name of its own next to other uploads to the same
//! url. One of them becomes the object, which nothing replaces: its bytes are the same from then until it is removed. It is
//! durable before the journal names it, and is deleted only after the journal has removed it.

pub mod check;
#[cfg(test)]
mod fuzz;
pub mod key_file;
pub mod keyring;
pub mod last_backup;
pub mod local;
pub mod removals;
pub mod sign;

use std::fmt;
use std::io::{self, Read};

use uuid::Uuid;

use crate::domain::record::Decoded;
use crate::domain::{Md5, OrgCode, Rejection, Sha256Digest, Timestamp};
use removals::Removals;

/// Identifies one object: an org and an id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectName {
    /// Org that the object belongs to.
    pub org: OrgCode,
    /// Id of the object within the org.
    pub object_id: Uuid,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.org, self.object_id.simple())
    }
}

/// A file where objects are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// Its path below the org's directory.
    pub place: String,
    /// The object that it is the file of, or that it is an upload to; `None` for one that is none, or is in the wrong
    /// place.
    pub object_id: Option<Uuid>,
    /// Of an upload that is kept and may become the object: when it was written.
    pub uploaded_at: Option<Timestamp>,
}

/// Copies of one object that were moved because they were damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Id of the damaged object.
    pub object_id: Uuid,
    /// How many copies there are: it was damaged, and restored, as often.
    pub files: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// An upload that is kept until one of those to the same object is the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// SHA-256 of the bytes received.
    pub sha256: Sha256Digest,
    /// What they decode to.
    pub decoded: Decoded,
    /// Its place among the uploads to the object, later ones higher; `None` when the object was there already, with the same
    /// bytes.
    pub number: Option<u32>,
}

/// An object that nothing replaces any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Size of the stored file in bytes.
    pub size: u64,
    /// SHA-256 of the bytes as they were received.
    pub sha256: Sha256Digest,
    /// What they decode to; `None` when they are damaged.
    pub decoded: Option<Decoded>,
    /// MD5, when its bytes had to be read again because no upload's name had their SHA-256 any more.
    pub md5: Option<Md5>,
}

/// The size and hash that an uploader promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Size of the gzip in bytes.
    pub size: u64,
    /// MD5 of the gzip.
    pub md5: Md5,
    /// SHA-256 of the gzip, when the one who promises knows it.
    pub sha256: Option<Sha256Digest>,
    /// Most bytes that the gzip may decode to; `None` for any number.
    pub decoded_bytes_max: Option<u64>,
}

/// Why content was not taken or cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The bytes are not what was promised; for the caller.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The disk failed; for the operator.
    #[error("cannot {action} {place}")]
    Io {
        /// What was tried, for the message.
        action: &'static str,
        /// Path of the content file.
        place: String,
        /// Error of the operating system.
        #[source]
        source: io::Error,
    },
}

/// An upload in progress. Dropping it removes what was received.
pub trait Receiving: Send {
    /// Takes the next bytes, checking them.
    ///
    /// # Errors
    /// [`ContentError::Rejected`] as soon as it cannot be what was promised any more.
    fn take(&mut self, bytes: &[u8]) -> Result<(), ContentError>;

    /// Keeps the upload if it is what was promised, next to other uploads to the same object; it is then durable.
    ///
    /// # Errors
    /// [`ContentError::Rejected`] when it is not, or when the object is there with other bytes.
    fn keep(self: Box<Self>) -> Result<Kept, ContentError>;
}

/// Keeps objects. Every method blocks on the disk.
pub trait ContentStore: Send + Sync {
    /// Begins an upload to an object.
    ///
    /// # Errors
    /// [`ContentError`] when the disk does not read or write what is needed.
    fn receive(
        &self,
        object: &ObjectName,
        promise: Promise,
    ) -> Result<Box<dyn Receiving>, ContentError>;

    /// Removes the uploads to an object that were kept before this one, which takes their place.
    ///
    /// # Errors
    /// [`ContentError`] when the disk does not read or write what is needed.
    fn settle(&self, object: &ObjectName, kept: Kept) -> Result<(), ContentError>;

    /// Removes an upload that was kept and is not wanted; absent is fine, and so is an object made of it, which stays.
    ///
    /// # Errors
    /// [`ContentError`] when the disk does not read or write what is needed.
    fn discard(&self, object: &ObjectName, kept: Kept) -> Result<(), ContentError>;

    /// Makes the latest kept upload the object, for good; durable on return. An object that is there stays as it is. `None`
    /// when nothing was uploaded.
    ///
    /// # Errors
    /// [`ContentError`] when the disk does not read or write what is needed.
    fn seal(&self, object: &ObjectName) -> Result<Option<Sealed>, ContentError>;

    /// Makes a second object with the bytes of one that is there, which neither's removal takes from the other; durable on
    /// return. False when the first is not there.
    ///
    /// # Errors
    /// When the disk does not read or write what is needed, or something has the second one's name.
    fn duplicate(&self, object: &ObjectName, new: &ObjectName) -> Result<bool, ContentError>;

    /// Removes the uploads to an object that is there.
    ///
    /// # Errors
    /// [`ContentError`] when the disk does not read or write what is needed.
    fn remove_uploads(&self, object: &ObjectName) -> Result<(), ContentError>;

    /// Bytes of an object, or of the latest upload that would become it; `None` when there is neither.
    ///
    /// # Errors
    /// [`ContentError`] when the disk does not read or write what is needed.
    fn size(&self, object: &ObjectName) -> Result<Option<u64>, ContentError>;

    /// Opens a part of an object for reading; `None` when there is none.
    ///
    /// # Errors
    /// [`ContentError`] when the disk does not read or write what is needed.
    fn read(
        &self,
        object: &ObjectName,
        from: u64,
        bytes: u64,
    ) -> Result<Option<Box<dyn Read + Send>>, ContentError>;

    /// Removes an object, all uploads to it, and its damaged copies; absent is fine.
    ///
    /// # Errors
    /// [`ContentError`] when the disk does not read or write what is needed.
    fn remove(&self, object: &ObjectName) -> Result<(), ContentError>;

    /// What is left of uploads that have not been written to since a time, of all orgs: `content/tmp/` and their names.
    ///
    /// # Errors
    /// [`ContentError`] when the disk does not read or write what is needed.
    fn stale(&self, since: Timestamp) -> Result<Vec<String>, ContentError>;

    /// Removes what is left of uploads that have not been written to since a time, of all orgs. Returns how many there
    /// were, and their bytes.
    ///
    /// # Errors
    /// [`ContentError`] when the disk does not read or write what is needed.
    fn remove_stale(&self, since: Timestamp) -> Result<(u64, u64), ContentError>;

    /// The orgs that may have objects, in no order.
    ///
    /// # Errors
    /// [`ContentError`] when the disk does not read or write what is needed.
    fn orgs(&self) -> Result<Vec<OrgCode>, ContentError>;

    /// Removes what is left of an org once it has no objects; with objects it stays.
    ///
    /// # Errors
    /// [`ContentError`] when the disk does not read or write what is needed.
    fn forget(&self, org: &OrgCode) -> Result<(), ContentError>;

    /// The ids of an org's objects, and of those that have only uploads or damaged copies, in no order.
    ///
    /// # Errors
    /// [`ContentError`] when the disk does not read or write what is needed.
    fn list(&self, org: &OrgCode) -> Result<Vec<Uuid>, ContentError>;

    /// All files where an org's objects are, by their place there, in order, after a place, at least
    /// `limit` when there are as many. Damaged copies do not count.
    ///
    /// # Errors
    /// [`ContentError`] when the disk does not read or write what is needed.
    fn files(
        &self,
        org: &OrgCode,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<FoundFile>, ContentError>;

    /// Removes a file that [`ContentStore::files`] found; absent is fine.
    ///
    /// # Errors
    /// [`ContentError`] when the disk does not read or write what is needed.
    fn remove_file(&self, org: &OrgCode, place: &str) -> Result<(), ContentError>;

    /// Moves an object's file to its damaged copies, so that it is absent and its bytes can still be inspected, as can those
    /// of earlier copies; absent is fine.
    ///
    /// # Errors
    /// [`ContentError`] when the disk does not read or write what is needed.
    fn set_aside(&self, object: &ObjectName) -> Result<(), ContentError>;

    /// The objects of an org whose damaged copies were all moved by a time, at most `limit`, in no order. The time of a copy is
    /// when its file got its name or was written to, whichever was later.
    ///
    /// # Errors
    /// [`ContentError`] when the disk does not read or write what is needed.
    fn set_aside_until(
        &self,
        org: &OrgCode,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<SetAside>, ContentError>;

    /// Removes the damaged copies of an object; absent is fine. Returns how many there were, and their bytes.
    ///
    /// # Errors
    /// [`ContentError`] when the disk does not read or write what is needed.
    fn remove_set_aside(&self, object: &ObjectName) -> Result<(u64, u64), ContentError>;

    /// The lease that delays removals while a backup is taken. Every removal of an object here waits for it; code that removes
    /// elsewhere what a backup reads takes a pass too.
    fn removals(&self) -> Removals;
}
