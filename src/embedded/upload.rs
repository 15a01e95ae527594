//! Completing an upload without HTTP: the same checks of the same bytes.

use std::io;
use std::sync::Arc;

use md5::{Digest, Md5 as Md5Hasher};

use super::Metarecord;
use super::put::request;
use crate::actors::{Answer, Failure, Refused};
use crate::content::{ContentError, ContentStore, ObjectName, Sealed};
use crate::domain::record::{
    Complete, Content, ContentPlace, RecordCommand, RecordKey, SealedObject,
};
use crate::domain::{ErrorTag, Md5, Rejection};
use crate::offload;
use crate::projections::records;

/// Bytes read at a time for a digest.
const CHUNK_BYTES: usize = 64 * 1024;

impl Metarecord {
    /// Makes the upload that a record waits for its content. Its bytes are those that [`ContentStore::receive`] of
    /// [`Metarecord::content`] kept for the promised object; they are read once more, on a thread of their own.
    ///
    /// # Errors
    /// `not-found`; `invalid-state` for a record that waits for no upload; `md5-missing` when no bytes were kept, and
    /// `size-mismatch` or `md5-mismatch` when they are not the promised ones: put the record again then. Else see [`Refused`].
    pub async fn complete(&self, key: &RecordKey, by: &str) -> Answer {
        let record = records::find(self.projections(), key.into()).map_err(failed)?;
        let record = record.ok_or_else(Rejection::not_found)?;
        let promised = record.upload.map(|upload| upload.content);
        let Some((object, promised)) = promised.and_then(|content| promised_of(key, content))
        else {
            let message = "The record waits for no upload.";
            return Err(Rejection::new(ErrorTag::InvalidState, message).into());
        };
        let (content, name, wanted) = (self.content().clone(), object.clone(), promised.clone());
        let sealed = offload::blocking(move || seal(&*content, &name, &wanted)).await;
        let sealed = sealed.map_err(failed)?.map_err(refused)?;
        let complete = Complete {
            object_id: object.object_id,
            size: promised.size,
            md5: promised.md5,
            uploaded_size: None,
            sealed: sealed.map(|sealed| proof(&object, sealed)),
            content_version: None,
            expected: None,
        };
        let command = RecordCommand::Complete(complete);
        let completed = self.execute(request(key.clone(), by, command)).await?;
        // What cannot be removed is removed with the object.
        let content = Arc::clone(self.content());
        let _: Result<_, _> = offload::blocking(move || content.remove_uploads(&object)).await;
        Ok(completed)
    }
}

/// The object that content promises; `None` for inline content, which is never promised.
fn promised_of(key: &RecordKey, content: Content) -> Option<(ObjectName, Content)> {
    let ContentPlace::Object(object_id) = content.place else {
        return None;
    };
    let object = ObjectName {
        org: key.org.clone(),
        object_id,
    };
    Some((object, content))
}

fn proof(object: &ObjectName, sealed: Sealed) -> SealedObject {
    SealedObject::new(object.object_id, sealed.size, sealed.sha256, sealed.decoded)
}

/// Fixes the latest upload as the object, and compares it with the promise: when its bytes are others, only another put, which
/// promises another object, helps. `None` when nothing was uploaded.
fn seal(
    content: &dyn ContentStore,
    object: &ObjectName,
    promised: &Content,
) -> Result<Option<Sealed>, ContentError> {
    let size = content.size(object)?;
    if size.is_some_and(|size| size != promised.size) {
        return Err(mismatch(ErrorTag::SizeMismatch, "size"));
    }
    let Some(sealed) = content.seal(object)? else {
        return Ok(None);
    };
    let md5 = match sealed.md5 {
        Some(md5) => Some(md5),
        None => read_md5(content, object)?,
    };
    if md5.is_some_and(|md5| md5 != promised.md5) {
        return Err(mismatch(ErrorTag::Md5Mismatch, "MD5"));
    }
    Ok(Some(sealed))
}

/// The MD5 of an object that was fixed without being read; `None` when it is gone.
fn read_md5(content: &dyn ContentStore, object: &ObjectName) -> Result<Option<Md5>, ContentError> {
    let Some(mut reader) = content.read(object, 0, u64::MAX)? else {
        return Ok(None);
    };
    let (mut hasher, mut chunk) = (Md5Hasher::new(), vec![0; CHUNK_BYTES]);
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok(Some(Md5::from_bytes(hasher.finalize().into()))),
            Ok(count) => hasher.update(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(ContentError::Io {
                    action: "read",
                    place: object.to_string(),
                    source,
                });
            }
        }
    }
}

fn mismatch(tag: ErrorTag, what: &str) -> ContentError {
    let message =
        format!("The {what} of the uploaded bytes is not the promised one; put the record again.");
    Rejection::new(tag, message).into()
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Refused {
    Refused::Failed(Failure::new(error))
}

fn refused(error: ContentError) -> Refused {
    match error {
        ContentError::Rejected(rejection) => rejection.into(),
        error @ ContentError::Io { .. } => failed(error),
    }
}
