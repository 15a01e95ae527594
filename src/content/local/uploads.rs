//! Uploads that are kept: `content/<ORG>/<two hex digits>.uploads/<object id>.<number>.<SHA-256>.<decoded size>.<decoded MD5>`,
//! until one is the object.
//!
//! Each upload has a name that no other has, and a name is only ever given to a file, never taken from one. An upload
//! becomes the object by a second name, `<object id>.gz`, which link(2) refuses when it is there: of all that may try at
//! the same moment one wins, and nothing replaces it. The digests in the name were computed while the bytes
//! came; the names of earlier versions of this program have no decoded ones.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{LocalStore, absent_or, io_error, shelf_number};
use crate::content::check::{Digests, digests_of};
use crate::content::{ContentError, Kept, ObjectName, Sealed};
use crate::domain::record::Decoded;
use crate::domain::{ErrorTag, Md5, Rejection, Sha256Digest};

/// What the name of a directory of uploads ends with.
pub(super) const UPLOADS: &str = ".uploads";
/// How often a name is looked for that no other upload has: each time another upload to the same object took it.
const NAMES_MAX: u32 = 64;

/// The name of a kept upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UploadName {
    object_id: Uuid,
    number: u32,
    sha256: [u8; 32],
    decoded: Option<Decoded>,
}

impl UploadName {
    fn new(object: &ObjectName, number: u32, digests: Digests) -> Self {
        Self {
            object_id: object.object_id,
            number,
            sha256: digests.sha256.to_bytes(),
            decoded: Some(digests.decoded),
        }
    }

    /// Reads a file's name; only the one spelling.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('.');
        let object_id = Uuid::try_parse(parts.next()?).ok()?;
        let number = parts.next()?.parse().ok()?;
        let sha256 = Sha256Digest::parse(parts.next()?)?.to_bytes();
        let decoded = match parts.next() {
            Some(size) => Some(Decoded {
                size: size.parse().ok()?,
                md5: Md5::parse(parts.next()?).ok()?,
            }),
            None => None,
        };
        let parsed = Self {
            object_id,
            number,
            sha256,
            decoded,
        };
        (parsed.to_string() == name).then_some(parsed)
    }

    /// The upload that a place below an org's is the place of.
    pub(super) fn at(place: &str) -> Option<Self> {
        let (shelf, name) = place.split_once('/')?;
        let parsed = Self::parse(name)?;
        let own = format!("{:02x}{UPLOADS}", parsed.object_id.as_bytes()[0]);
        (own == shelf).then_some(parsed)
    }

    pub(super) fn object_id(self) -> Uuid {
        self.object_id
    }
}

impl std::fmt::Display for UploadName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sha256 = Sha256Digest::from_bytes(self.sha256);
        write!(f, "{}.{}.{sha256}", self.object_id.simple(), self.number)?;
        match self.decoded {
            Some(Decoded { size, md5 }) => write!(f, ".{size}.{md5}"),
            None => Ok(()),
        }
    }
}

impl LocalStore {
    /// The directory of the uploads to an object.
    pub(super) fn upload_shelf(&self, object: &ObjectName) -> PathBuf {
        let number = shelf_number(object);
        self.org_directory(&object.org)
            .join(format!("{number:02x}{UPLOADS}"))
    }

    /// The uploads to an object that are kept, the earliest first.
    pub(super) fn kept_uploads(
        &self,
        object: &ObjectName,
    ) -> Result<Vec<UploadName>, ContentError> {
        let shelf = self.upload_shelf(object);
        let failed = |source| io_error("read", &shelf, source);
        let entries = match fs::read_dir(&shelf) {
            Ok(entries) => entries,
            Err(source) => {
                return absent_or("read", &shelf, source).map(Option::unwrap_or_default);
            }
        };
        let mut kept = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_str().and_then(UploadName::parse);
            kept.extend(name.filter(|name| name.object_id == object.object_id));
        }
        kept.sort_unstable_by_key(|name| (name.number, name.sha256));
        Ok(kept)
    }

    pub(super) fn upload_path(&self, object: &ObjectName, name: UploadName) -> PathBuf {
        self.upload_shelf(object).join(name.to_string())
    }

    /// Gives a checked and synced file a name of its own among the uploads to its object; durable on return.
    pub(super) fn keep_upload(
        &self,
        object: &ObjectName,
        digests: Digests,
        file: &Path,
    ) -> Result<Kept, ContentError> {
        if let Some(sealed) = self.sealed(object)? {
            return if sealed.sha256 == digests.sha256 {
                Ok(Kept {
                    sha256: digests.sha256,
                    decoded: digests.decoded,
                    number: None,
                })
            } else {
                Err(has_other_bytes().into())
            };
        }
        let shelf = self.upload_shelf(object);
        self.make_uploads_shelf(object)?;
        let mut number = match self.kept_uploads(object)?.last() {
            Some(last) => last.number.saturating_add(1),
            None => 1,
        };
        for _ in 0..NAMES_MAX {
            let path = self.upload_path(object, UploadName::new(object, number, digests));
            match self.disk.link(file, &path) {
                Ok(()) => {
                    self.sync(&shelf).inspect_err(|_| {
                        // No reader may take it for kept.
                        let _: io::Result<()> = self.disk.remove(&path);
                    })?;
                    return Ok(Kept {
                        sha256: digests.sha256,
                        decoded: digests.decoded,
                        number: Some(number),
                    });
                }
                Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
                    number = number.saturating_add(1);
                }
                Err(source) => return Err(io_error("name", &path, source)),
            }
        }
        let source = io::Error::from(io::ErrorKind::AlreadyExists);
        Err(io_error("name an upload in", &shelf, source))
    }

    /// Removes uploads to an object, and returns how many; a crash may bring them back.
    pub(super) fn remove_uploads_of(
        &self,
        object: &ObjectName,
        which: impl Fn(u32) -> bool,
    ) -> Result<usize, ContentError> {
        let mut removed = 0;
        for name in self.kept_uploads(object)? {
            if which(name.number) {
                self.remove_upload(object, name)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn remove_upload(&self, object: &ObjectName, name: UploadName) -> Result<(), ContentError> {
        let path = self.upload_path(object, name);
        let removed = self.disk.remove(&path);
        removed.or_else(|source| absent_or::<()>("remove", &path, source).map(|_| ()))
    }

    pub(super) fn discard_upload(
        &self,
        object: &ObjectName,
        kept: Kept,
    ) -> Result<(), ContentError> {
        match kept.number {
            Some(number) => {
                let Kept {
                    sha256, decoded, ..
                } = kept;
                let digests = Digests { sha256, decoded };
                self.remove_upload(object, UploadName::new(object, number, digests))
            }
            None => Ok(()),
        }
    }

    /// Makes the latest upload the object unless there is one.
    pub(super) fn seal_latest(&self, object: &ObjectName) -> Result<Option<Sealed>, ContentError> {
        let path = self.path(object);
        for _ in 0..NAMES_MAX {
            if !path.exists() {
                let Some(latest) = self.kept_uploads(object)?.pop() else {
                    return Ok(None);
                };
                self.make_shelf(object)?;
                let upload = self.upload_path(object, latest);
                match self.disk.link(&upload, &path) {
                    Ok(()) => {}
                    Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {}
                    // A later upload has taken its place.
                    Err(source) if source.kind() == io::ErrorKind::NotFound => continue,
                    Err(source) => return Err(io_error("name", &path, source)),
                }
            }
            // Also of one that was there: the process that made it may have been killed before this.
            self.sync(&self.shelf(object))?;
            return self.sealed(object);
        }
        let source = io::Error::from(io::ErrorKind::NotFound);
        Err(io_error("find the upload of", &path, source))
    }

    /// The object, when there is one, with the SHA-256 in its upload's name; when no upload of it is there any more,
    /// its bytes are read.
    fn sealed(&self, object: &ObjectName) -> Result<Option<Sealed>, ContentError> {
        let path = self.path(object);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(source) => return absent_or("read", &path, source),
        };
        let same = |name: &UploadName| {
            let upload = fs::metadata(self.upload_path(object, *name));
            upload.is_ok_and(|upload| {
                (upload.dev(), upload.ino()) == (metadata.dev(), metadata.ino())
            })
        };
        if let Some(name) = self.kept_uploads(object)?.into_iter().find(same) {
            return Ok(Some(Sealed {
                size: metadata.len(),
                sha256: Sha256Digest::from_bytes(name.sha256),
                decoded: name.decoded,
                md5: None,
            }));
        }
        match File::open(&path).and_then(digests_of) {
            Ok(sealed) => Ok(Some(sealed)),
            Err(source) => absent_or("read", &path, source),
        }
    }
}

/// The refusal of bytes that would have to replace an object.
pub(super) fn has_other_bytes() -> Rejection {
    Rejection::new(
        ErrorTag::InvalidState,
        "Other bytes with this MD5 were uploaded and are the object already, which nothing replaces; put the record again.",
    )
    .with_minor("sealed")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::Arc;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::content::local::TEMPORARY;
    use crate::content::local::no_links::NoLinks;
    use crate::content::{ContentStore, Promise};
    use crate::disk::RealDisk;
    use crate::domain::{OrgCode, Timestamp};

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn keep(store: &LocalStore, object: &ObjectName, gz: &[u8]) -> Result<Kept, ContentError> {
        let promise = Promise {
            size: gz.len() as u64,
            md5: Md5::of(gz),
            sha256: None,
            decoded_bytes_max: None,
        };
        let mut receiving = store.receive(object, promise)?;
        receiving.take(gz)?;
        receiving.keep()
    }

    fn bytes(store: &LocalStore, object: &ObjectName) -> Option<Vec<u8>> {
        let mut file = store.read(object, 0, u64::MAX).unwrap()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        Some(bytes)
    }

    #[test]
    fn the_latest_upload_becomes_the_object_once_and_for_all() {
        let directory = tempfile::tempdir().unwrap();
        let store = LocalStore::open(Arc::new(RealDisk), directory.path()).unwrap();
        let object = ObjectName {
            org: OrgCode::parse("demo").unwrap(),
            object_id: Uuid::from_u128(7),
        };
        assert_eq!(store.seal(&object).unwrap(), None);
        let [one, two, three] = ["one", "two", "three"].map(gzip);
        let first = keep(&store, &object, &one).unwrap();
        let second = keep(&store, &object, &two).unwrap();
        assert_eq!((first.number, second.number), (Some(1), Some(2)));
        store.settle(&object, second).unwrap();
        let unwanted = keep(&store, &object, &one).unwrap();
        store.discard(&object, unwanted).unwrap();
        assert_eq!(bytes(&store, &object), None, "an upload is no content");
        assert_eq!(store.list(&object.org).unwrap(), [object.object_id]);
        let sealed = store.seal(&object).unwrap().unwrap();
        assert_eq!((sealed.sha256, sealed.md5), (Sha256Digest::of(&two), None));
        let decoded = Some(Decoded {
            size: 3,
            md5: Md5::of(b"two"),
        });
        assert_eq!(sealed.decoded, decoded);
        let again = keep(&store, &object, &two).unwrap();
        assert_eq!(again.number, None);
        assert!(matches!(
            keep(&store, &object, &three),
            Err(ContentError::Rejected(_))
        ));
        store.remove_uploads(&object).unwrap();
        let sealed = store.seal(&object).unwrap().unwrap();
        assert_eq!(
            (sealed.sha256, sealed.md5),
            (Sha256Digest::of(&two), Some(Md5::of(&two)))
        );
        assert_eq!(
            sealed.decoded, decoded,
            "also when the bytes are read again"
        );
        assert_eq!(bytes(&store, &object), Some(two));
        // Each new damaged copy is kept next to the earlier ones.
        for aside in [&one, &three] {
            store.set_aside(&object).unwrap();
            assert_eq!(bytes(&store, &object), None);
            keep(&store, &object, aside).unwrap();
            store.seal(&object).unwrap();
        }
        let files = fs::read_dir(store.shelf(&object)).unwrap();
        assert_eq!(files.count(), 3);
        assert_eq!(store.list(&object.org).unwrap(), [object.object_id]);
        store.remove(&object).unwrap();
        assert_eq!(store.size(&object).unwrap(), None);
        let files = fs::read_dir(store.shelf(&object)).unwrap();
        assert_eq!(files.count(), 0, "what was set aside goes with it");
        assert!(store.list(&object.org).unwrap().is_empty());
    }

    #[test]
    fn the_disks_error_when_an_upload_is_named_is_the_one_reported() {
        let directory = tempfile::tempdir().unwrap();
        let store = LocalStore::open(
            Arc::new(NoLinks(io::ErrorKind::StorageFull)),
            directory.path(),
        )
        .unwrap();
        let object = ObjectName {
            org: OrgCode::parse("demo").unwrap(),
            object_id: Uuid::from_u128(7),
        };
        let error = keep(&store, &object, &gzip("one")).unwrap_err();
        let ContentError::Io { source, .. } = error else {
            panic!("{error} is not the disk's");
        };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn only_the_one_spelling_is_the_name_of_an_upload() {
        let object = ObjectName {
            org: OrgCode::parse("demo").unwrap(),
            object_id: Uuid::from_u128(7),
        };
        let digests = Digests {
            sha256: Sha256Digest::of(b"x"),
            decoded: Decoded {
                size: 1,
                md5: Md5::of(b"y"),
            },
        };
        let name = UploadName::new(&object, 12, digests);
        let text = name.to_string();
        // Of an earlier version of this program.
        let earlier = UploadName {
            decoded: None,
            ..name
        };
        assert_eq!(UploadName::parse(&earlier.to_string()), Some(earlier));
        assert_eq!(UploadName::parse(&text), Some(name));
        assert_eq!(UploadName::at(&format!("00.uploads/{text}")), Some(name));
        for other in [
            text.to_uppercase(),
            text.replace(".12.", ".012."),
            format!("{text}.gz"),
            format!("{earlier}.gz"),
            format!("{earlier}.1"),
            text.replace(".1.", ".01."),
            text[1..].to_owned(),
        ] {
            assert_eq!(UploadName::parse(&other), None, "{other}");
        }
        assert_eq!(UploadName::at(&format!("01.uploads/{text}")), None);
    }

    #[test]
    fn unfinished_uploads_are_found_and_removed_once_nobody_wrote_to_them_since_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let store = LocalStore::open(Arc::new(RealDisk), directory.path()).unwrap();
        let written = [("one", 3_u64, 100_u64), ("two", 5, 200), ("three", 7, 300)];
        for (name, size, seconds) in written {
            let path = directory.path().join(TEMPORARY).join(name);
            fs::write(&path, vec![b'x'; size as usize]).unwrap();
            let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(at).unwrap();
        }
        let since = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        assert_eq!(store.stale(since(99)).unwrap(), Vec::<String>::new());
        assert_eq!(store.remove_stale(since(99)).unwrap(), (0, 0));
        let two = ["content/tmp/one", "content/tmp/two"];
        assert_eq!(store.stale(since(200)).unwrap(), two);
        assert_eq!(store.remove_stale(since(200)).unwrap(), (2, 8));
        assert_eq!(store.stale(since(999)).unwrap(), ["content/tmp/three"]);
        assert_eq!(store.remove_stale(since(999)).unwrap(), (1, 7));
        assert_eq!(store.stale(since(999)).unwrap(), Vec::<String>::new());
    }
}
