//! Signed urls and tokens: what a caller carries and cannot change.
//!
//! A token is `base64url(payload) . base64url(HMAC-SHA256)`, both without padding and read strictly. Each purpose is part
//! of what is signed, so that a token of one purpose is nothing for another.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use crate::clock::random_bytes;
use crate::domain::record::RecordKey;
use crate::domain::{Md5, OrgCode, Timestamp};

/// Bytes of the signing key.
const KEY_BYTES: usize = 32;
/// Bytes that tell who asked for a token.
pub const ASKED_BY_BYTES: usize = 8;
/// Longest token looked at, in characters.
const TOKEN_CHARS_MAX: usize = 4_096;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Uploading one object.
    UploadUrl,
    /// Downloading one object.
    DownloadUrl,
    /// Completing one upload.
    ContentToken,
    /// Downloading one file of an export.
    ExportUrl,
    /// Going on with a list.
    ListCursor,
}

impl Purpose {
    fn label(self) -> &'static str {
        match self {
            Self::UploadUrl => "upload-url",
            Self::DownloadUrl => "download-url",
            Self::ContentToken => "content-token",
            Self::ExportUrl => "export-url",
            Self::ListCursor => "list-cursor",
        }
    }
}

/// The right to upload one object, once, as promised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadGrant {
    /// The record it is for.
    pub key: RecordKey,
    /// The object.
    pub object_id: Uuid,
    /// The content's media type.
    pub content_type: String,
    /// Bytes of gzip promised.
    pub size: u64,
    /// MD5 of the gzip promised.
    pub md5: Md5,
    /// Until when.
    pub expires_at: Timestamp,
}

/// The right to download one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownloadGrant {
    /// Whose.
    pub org: OrgCode,
    /// The object.
    pub object_id: Uuid,
    /// The content's media type.
    pub content_type: String,
    /// Bytes of gzip.
    pub size: u64,
    /// MD5 of the gzip.
    pub md5: Md5,
    /// Until when.
    pub expires_at: Timestamp,
    /// SHA-256 of the gzip, when it is known.
    pub sha256: Option<[u8; 32]>,
}

/// A [`DownloadGrant`] as it was given out before it told the SHA-256; such urls work until they expire.
#[derive(Serialize, Deserialize)]
struct EarlierDownloadGrant {
    org: OrgCode,
    object_id: Uuid,
    content_type: String,
    size: u64,
    md5: Md5,
    expires_at: Timestamp,
}

impl From<EarlierDownloadGrant> for DownloadGrant {
    fn from(earlier: EarlierDownloadGrant) -> Self {
        Self {
            org: earlier.org,
            object_id: earlier.object_id,
            content_type: earlier.content_type,
            size: earlier.size,
            md5: earlier.md5,
            expires_at: earlier.expires_at,
            sha256: None,
        }
    }
}

/// The right to download one file of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportGrant {
    /// Whose.
    pub org: OrgCode,
    /// The export.
    pub export_id: String,
    /// The file's path in it.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Until when.
    pub expires_at: Timestamp,
}

/// The right to complete one upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentToken {
    /// The record it is for.
    pub key: RecordKey,
    /// The object.
    pub object_id: Uuid,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Digest of the filters it belongs to.
    pub filter: [u8; 32],
    /// The place.
    pub place: Vec<u8>,
}

/// Signs and checks. Its key never leaves it.
pub struct Signer {
    /// With the key taken in, and nothing else yet.
    keyed: Hmac<Sha256>,
}

/// Why the signing key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read or made.
    #[error("cannot {action} the key file {place}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        place: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is there, and is not a key of ours.
    #[error(
        "the key file {place} {what}; restore it from a backup, or remove it to have a new one made, which ends all urls and sessions"
    )]
    Unfit {
        /// The file.
        place: String,
        /// What is wrong.
        what: &'static str,
    },
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// A signer with a given key.
    pub fn new(key: [u8; KEY_BYTES]) -> Self {
        let keyed = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of every length");
        Self { keyed }
    }

    /// Reads the key from a directory, making both at first start: the directory mode 0700, the file mode 0600.
    ///
    /// # Errors
    /// When the file cannot be read or made, has another length, or can be read by others.
    pub fn open_or_create(directory: &Path) -> Result<Self, KeyError> {
        let path = directory.join("signing.key");
        let io = |action| {
            let place = path.display().to_string();
            move |source| KeyError::Io {
                action,
                place,
                source,
            }
        };
        if !path.exists() {
            create_key(directory, &path).map_err(io("make"))?;
        }
        let unfit = |what| KeyError::Unfit {
            place: path.display().to_string(),
            what,
        };
        let mode = std::fs::metadata(&path)
            .map_err(io("read"))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            return Err(unfit("can be read by others (chmod 600 it)"));
        }
        let bytes = std::fs::read(&path).map_err(io("read"))?;
        let key = bytes
            .try_into()
            .map_err(|_| unfit("does not hold 32 bytes"))?;
        Ok(Self::new(key))
    }

    /// A token that carries a value.
    pub fn seal<T: Serialize>(&self, purpose: Purpose, value: &T) -> String {
        // Strings, numbers and bytes only: always encodable.
        let payload = postcard::to_stdvec(value).unwrap_or_default();
        self.seal_bytes(purpose, &payload)
    }

    fn seal_bytes(&self, purpose: Purpose, payload: &[u8]) -> String {
        let mac = self.mac(purpose.label(), payload).finalize().into_bytes();
        format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(payload),
            URL_SAFE_NO_PAD.encode(mac)
        )
    }

    /// The same, with eight bytes behind the value that say who asked for the token: see [`Signer::asked_by`].
    pub fn seal_by<T: Serialize>(&self, purpose: Purpose, value: &T, by: &str) -> String {
        let mut payload = postcard::to_stdvec(value).unwrap_or_default();
        let by = self.keyed_hash("token-asked-by", by.as_bytes());
        payload.extend_from_slice(&by[..ASKED_BY_BYTES]);
        self.seal_bytes(purpose, &payload)
    }

    /// Who asked for a token that [`Signer::open`] has opened, as a number that tells nothing else.
    pub fn asked_by(token: &str) -> [u8; ASKED_BY_BYTES] {
        let payload = token.split('.').next().unwrap_or_default();
        let payload = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
        payload.last_chunk().copied().unwrap_or_default()
    }

    /// The value a token carries; `None` when it was altered or is for another purpose. Says nothing of its age.
    pub fn open<T: DeserializeOwned>(&self, purpose: Purpose, token: &str) -> Option<T> {
        if token.len() > TOKEN_CHARS_MAX {
            return None;
        }
        let (payload, mac) = token.split_once('.')?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        self.mac(purpose.label(), &payload)
            .verify_slice(&mac)
            .ok()?;
        postcard::from_bytes(&payload).ok()
    }

    /// What a download url grants, also one of an earlier version of this program; `None` as for [`Signer::open`].
    pub fn open_download(&self, token: &str) -> Option<DownloadGrant> {
        let purpose = Purpose::DownloadUrl;
        let earlier = || {
            self.open::<EarlierDownloadGrant>(purpose, token)
                .map(Into::into)
        };
        self.open(purpose, token).or_else(earlier)
    }

    /// A hash that only the holder of the key can make or check.
    pub fn keyed_hash(&self, purpose: &str, bytes: &[u8]) -> [u8; 32] {
        self.mac(purpose, bytes).finalize().into_bytes().into()
    }

    fn mac(&self, label: &str, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        mac.update(&(label.len() as u64).to_be_bytes());
        mac.update(label.as_bytes());
        mac.update(bytes);
        mac
    }
}

fn create_key(directory: &Path, path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let temporary = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(&random_bytes::<KEY_BYTES>())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    std::fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant() -> UploadGrant {
        UploadGrant {
            key: RecordKey {
                org: OrgCode::parse("DEMO").unwrap(),
                container: crate::domain::ContainerName::parse("demo").unwrap(),
                record_id: crate::domain::RecordId::parse("r-1").unwrap(),
            },
            object_id: Uuid::from_u128(7),
            content_type: "text/plain".to_owned(),
            size: 20,
            md5: Md5::of(b"x"),
            expires_at: Timestamp::from_millis(1),
        }
    }

    #[test]
    fn a_token_altered_in_any_one_character_is_nothing() {
        let signer = Signer::new([7; 32]);
        let token = signer.seal(Purpose::UploadUrl, &grant());
        assert_eq!(signer.open(Purpose::UploadUrl, &token), Some(grant()));
        for at in 0..token.len() {
            for other in "AZaz09-_.=+/ ~%".chars() {
                let mut altered = token.clone();
                altered.replace_range(at..=at, &other.to_string());
                if altered != token {
                    assert_eq!(
                        signer.open::<UploadGrant>(Purpose::UploadUrl, &altered),
                        None,
                        "{altered}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_token_of_one_purpose_is_nothing_for_another() {
        let signer = Signer::new([7; 32]);
        let token = signer.seal(Purpose::UploadUrl, &grant());
        for purpose in [
            Purpose::DownloadUrl,
            Purpose::ContentToken,
            Purpose::ExportUrl,
            Purpose::ListCursor,
        ] {
            assert_eq!(signer.open::<UploadGrant>(purpose, &token), None);
        }
        assert_eq!(
            Signer::new([8; 32]).open::<UploadGrant>(Purpose::UploadUrl, &token),
            None
        );
    }

    #[test]
    fn a_download_url_of_an_earlier_version_still_works() {
        let signer = Signer::new([7; 32]);
        let upload = grant();
        let earlier = EarlierDownloadGrant {
            org: upload.key.org,
            object_id: upload.object_id,
            content_type: upload.content_type,
            size: upload.size,
            md5: upload.md5,
            expires_at: upload.expires_at,
        };
        let token = signer.seal(Purpose::DownloadUrl, &earlier);
        let mut wanted = DownloadGrant::from(earlier);
        assert_eq!(signer.open_download(&token), Some(wanted.clone()));
        wanted.sha256 = Some([9; 32]);
        let token = signer.seal(Purpose::DownloadUrl, &wanted);
        assert_eq!(signer.open_download(&token), Some(wanted));
    }

    #[test]
    fn the_key_is_made_once_and_refused_when_others_can_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let keys = directory.path().join("keys");
        let token = Signer::open_or_create(&keys)
            .unwrap()
            .seal(Purpose::UploadUrl, &grant());
        let again = Signer::open_or_create(&keys).unwrap();
        assert_eq!(again.open(Purpose::UploadUrl, &token), Some(grant()));
        let path = keys.join("signing.key");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            Signer::open_or_create(&keys),
            Err(KeyError::Unfit { .. })
        ));
    }
}
