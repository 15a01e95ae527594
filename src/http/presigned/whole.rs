//! Holding a whole object to its digest while it is sent.

use md5::{Digest, Md5 as Md5Hasher};
use sha2::Sha256;

use crate::content::ObjectName;
use crate::content::sign::DownloadGrant;
use crate::domain::{Md5, Sha256Digest};

/// The digest so far, and what it must come to.
enum Sum {
    /// Of content whose SHA-256 is journaled; its MD5 was compared with the same bytes when they came.
    Sha256(Sha256, Sha256Digest),
    /// Of content that was completed before.
    Md5(Md5Hasher, Md5),
}

/// An object being sent from its first byte to its last.
pub(super) struct Whole {
    object: ObjectName,
    sum: Sum,
}

impl Whole {
    pub(super) fn new(object: ObjectName, grant: &DownloadGrant) -> Self {
        let sum = match grant.sha256 {
            Some(sha256) => Sum::Sha256(Sha256::new(), Sha256Digest::from_bytes(sha256)),
            None => Sum::Md5(Md5Hasher::new(), grant.md5),
        };
        Self { object, sum }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.sum {
            Sum::Sha256(digest, _) => digest.update(bytes),
            Sum::Md5(digest, _) => digest.update(bytes),
        }
    }

    /// The contradiction, if there is one, once all bytes were taken.
    pub(super) fn fault(&mut self) -> Option<String> {
        let (name, same) = match &mut self.sum {
            Sum::Sha256(digest, wanted) => {
                let found = Sha256Digest::from_bytes(digest.finalize_reset().into());
                ("SHA-256", found == *wanted)
            }
            Sum::Md5(digest, wanted) => {
                let found = Md5::from_bytes(digest.finalize_reset().into());
                ("MD5", found == *wanted)
            }
        };
        let object = &self.object;
        (!same).then(|| {
            format!("content {object} is damaged: it does not have the {name} it was stored with")
        })
    }
}
