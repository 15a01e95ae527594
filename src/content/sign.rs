//! Signed urls and tokens: what a caller keeps and cannot change.
//!
//! A token is `key id . base64url(payload) . base64url(HMAC-SHA256)`, both without padding and read strictly; a token of
//! the first key has no key id. Each purpose is part of what is signed, so that a token of one purpose is invalid for
//! another. What is hashed rather than signed has a key of its own, which stays
//! (docs/decisions/0037-keys-that-sign-rotate.md).

use parking_lot::{Mutex, RwLock};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use super::key_file::{KEY_BYTES, KeyError};
use super::keyring::{KeyFacts, RING_FILE, Ring, RingKey, keyed};
use crate::clock::{Clock, random_bytes};
use crate::domain::record::{Decoded, RecordKey};
use crate::domain::{Md5, OrgCode, Timestamp};
use crate::private;

/// Bytes that identify who asked for a token.
pub const ASKED_BY_BYTES: usize = 8;
/// Longest token accepted, in characters.
const TOKEN_CHARS_MAX: usize = 4_096;
/// The file of the key that hashes, and in a directory from before keys had ids also signs.
const FIRST_KEY: &str = "signing.key";

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A URL that takes the bytes of one object.
    UploadUrl,
    /// Downloading one object, by a url without a name; given out by earlier versions.
    DownloadUrl,
    /// Downloading one object under a name; given out by earlier versions.
    NamedDownloadUrl,
    /// Downloading one object under a name, as gzip or decoded.
    DecodableDownloadUrl,
    /// A token that completes one upload.
    ContentToken,
    /// Downloading one file of an export.
    ExportUrl,
    /// Continuing a list at its next page.
    ListCursor,
    /// Carrying out what an agent was shown as a plan.
    AgentPlan,
    /// Answering what an agent's person was asked.
    AgentQuestion,
}

impl Purpose {
    fn label(self) -> &'static str {
        match self {
            Self::UploadUrl => "upload-url",
            Self::DownloadUrl => "download-url",
            Self::NamedDownloadUrl => "named-download-url",
            Self::DecodableDownloadUrl => "decodable-download-url",
            Self::ContentToken => "content-token",
            Self::ExportUrl => "export-url",
            Self::ListCursor => "list-cursor",
            Self::AgentPlan => "agent-plan",
            Self::AgentQuestion => "agent-question",
        }
    }
}

/// The right to upload one object, once, as promised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadGrant {
    /// The record it is for.
    pub key: RecordKey,
    /// Id of the signed object.
    pub object_id: Uuid,
    /// The content's media type.
    pub content_type: String,
    /// Bytes of gzip promised.
    pub size: u64,
    /// MD5 of the gzip promised.
    pub md5: Md5,
    /// Time from which it is refused.
    pub expires_at: Timestamp,
}

/// The right to download one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownloadGrant {
    /// Org that it was given out for.
    pub org: OrgCode,
    /// Id of the signed object.
    pub object_id: Uuid,
    /// The content's media type.
    pub content_type: String,
    /// Size of the gzip in bytes.
    pub size: u64,
    /// MD5 of the gzip.
    pub md5: Md5,
    /// Time from which it is refused.
    pub expires_at: Timestamp,
    /// SHA-256 of the gzip, when it is known.
    pub sha256: Option<[u8; 32]>,
}

/// How a download is to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disposition {
    /// The name of the file that a browser saves: a record's id.
    pub name: String,
    /// It may be shown in the browser, as its caller asked when the url was made.
    pub inline: bool,
}

/// A [`DownloadGrant`] from before it contained the SHA-256; such urls work until they expire.
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
    /// Org that it was given out for.
    pub org: OrgCode,
    /// Id of the signed export.
    pub export_id: String,
    /// The file's path in it.
    pub name: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// Time from which it is refused.
    pub expires_at: Timestamp,
}

/// The right to complete one upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentToken {
    /// The record it is for.
    pub key: RecordKey,
    /// Id of the signed object.
    pub object_id: Uuid,
    /// Time from which it is refused.
    pub expires_at: Timestamp,
}

/// The place at which a list continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Digest of the filters it belongs to.
    pub filter: [u8; 32],
    /// Key of the last row of the page before.
    pub place: Vec<u8>,
}

/// Signs and checks. Its keys never leave it and their files.
pub struct Signer {
    /// With the key of hashes taken in, and nothing else yet.
    keyed: Hmac<Sha256>,
    /// The keys of tokens. Held only to take or to replace the pointer.
    ring: RwLock<Arc<Ring>>,
    /// Where they are kept; `None` for keys in memory alone.
    directory: Option<PathBuf>,
    /// Held while the file is being replaced, so that it ends up with the newest keys.
    writing: Mutex<()>,
    /// The file has the keys that are in memory.
    saved: AtomicBool,
    /// Whether both key files were made at this start.
    made: bool,
    clock: Clock,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// A signer in memory alone, whose given key hashes and signs.
    pub fn new(key: [u8; KEY_BYTES]) -> Self {
        Self {
            keyed: keyed(&key),
            ring: RwLock::new(Arc::new(Ring::first_alone(key))),
            directory: None,
            writing: Mutex::new(()),
            saved: AtomicBool::new(true),
            made: false,
            clock: Clock::system(),
        }
    }

    /// Reads the keys from a directory, making it and them at first start: the directory mode 0700, the files mode 0600.
    /// In a directory from before keys had ids, the first key still signs until it is rotated.
    ///
    /// # Errors
    /// [`KeyError`] when a file cannot be read or made, does not hold what it must, or can be read by others.
    pub fn open_or_create(directory: &Path, clock: Clock) -> Result<Self, KeyError> {
        let made = !directory.join(FIRST_KEY).exists();
        if made {
            create_keys(directory, &directory.join(FIRST_KEY), &clock)
                .map_err(|source| key_io("make", &directory.join(FIRST_KEY), source))?;
        }
        let (key, ring) = read_keys(directory)?;
        Ok(Self {
            ring: RwLock::new(Arc::new(ring)),
            directory: Some(directory.to_owned()),
            made,
            clock,
            ..Self::new(key)
        })
    }

    /// Asks what [`Signer::open_or_create`] would of keys that are there, and makes none.
    ///
    /// # Errors
    /// When a file cannot be read, does not hold what it must, or can be read by others.
    pub fn check(directory: &Path) -> Result<(), KeyError> {
        match std::fs::symlink_metadata(directory.join(FIRST_KEY)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Ok(_) | Err(_) => read_keys(directory).map(drop),
        }
    }

    /// Whether the key of hashes was made at this start.
    pub fn is_new(&self) -> bool {
        self.made
    }

    /// The facts of the keys that sign, the one that does first.
    pub fn key_facts(&self) -> Vec<KeyFacts> {
        self.ring().facts().cloned().collect()
    }

    /// The id of the key that signs.
    pub fn current_key_id(&self) -> String {
        self.ring().current().facts.id.clone()
    }

    /// Has a new key with an id sign from now on. Those before verify until `previous_until`, or nothing from now on when
    /// it is absent. When it returns the file has it; when that fails, memory has it alone: see [`Self::save`].
    ///
    /// # Errors
    /// [`KeyError`] when the file cannot be written.
    pub fn rotate(
        &self,
        id: &str,
        at: Timestamp,
        previous_until: Option<Timestamp>,
    ) -> Result<(), KeyError> {
        let removes = self.clock.may_destroy().ok();
        self.replace(|ring| {
            let rotated = ring.rotated(id, at, previous_until);
            removes.map_or_else(|| rotated.clone(), |now| rotated.without_ended(now))
        })
    }

    /// Removes keys that verify nothing any more, by the clock for destructive work: none while that is not trusted. Returns
    /// how many.
    ///
    /// # Errors
    /// [`KeyError`] when the file cannot be written.
    pub fn remove_ended(&self) -> Result<usize, KeyError> {
        let Ok(now) = self.clock.may_destroy() else {
            return self.save().map(|()| 0);
        };
        let before = self.ring();
        let ended = before.len() - before.without_ended(now).len();
        match ended {
            0 => self.save()?,
            _ => self.replace(|ring| ring.without_ended(now))?,
        }
        Ok(ended)
    }

    /// When the next key ends; `None` when none does.
    pub fn next_end(&self) -> Option<Timestamp> {
        let ring = self.ring();
        ring.facts().filter_map(|facts| facts.works_until).min()
    }

    /// Writes the keys, if an earlier try failed.
    ///
    /// # Errors
    /// [`KeyError`] when the file cannot be written.
    pub fn save(&self) -> Result<(), KeyError> {
        if self.saved.load(Ordering::SeqCst) {
            Ok(())
        } else {
            self.replace(Ring::clone)
        }
    }

    /// Puts other keys into memory and file. They are written first, so that no token is signed with a key that a crash
    /// could take back; a disk that does not take them leaves them in memory.
    fn replace(&self, change: impl FnOnce(&Ring) -> Ring) -> Result<(), KeyError> {
        let _writing = self.writing.lock();
        let next = Arc::new(change(&self.ring()));
        let written = match &self.directory {
            Some(directory) => next.write(directory).map_err(|source| KeyError::Io {
                action: "write",
                place: directory.join(RING_FILE).display().to_string(),
                source,
            }),
            None => Ok(()),
        };
        self.saved.store(written.is_ok(), Ordering::SeqCst);
        *self.ring.write() = next;
        written
    }

    fn ring(&self) -> Arc<Ring> {
        let ring = self.ring.read();
        ring.clone()
    }

    /// A token that contains a value.
    pub fn seal<T: Serialize>(&self, purpose: Purpose, value: &T) -> String {
        // Strings, numbers and bytes only: always encodable.
        let payload = postcard::to_stdvec(value).unwrap_or_default();
        self.seal_bytes(purpose, &payload)
    }

    fn seal_bytes(&self, purpose: Purpose, payload: &[u8]) -> String {
        let ring = self.ring();
        let key = ring.current();
        let mac = mac(&key.keyed, purpose.label(), payload);
        let mac = mac.finalize().into_bytes();
        let mut token = String::with_capacity(64 + payload.len() * 4 / 3);
        if let Some(id) = key.token_id() {
            token.push_str(id);
            token.push('.');
        }
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(mac, &mut token);
        token
    }

    /// The same, with eight bytes after the value that say who asked for the token: see [`Signer::asked_by`].
    pub fn seal_by<T: Serialize>(&self, purpose: Purpose, value: &T, by: &str) -> String {
        let mut payload = postcard::to_stdvec(value).unwrap_or_default();
        let by = self.keyed_hash("token-asked-by", by.as_bytes());
        payload.extend_from_slice(&by[..ASKED_BY_BYTES]);
        self.seal_bytes(purpose, &payload)
    }

    /// Who asked for a token that [`Signer::open`] has opened, as a number that reveals nothing else.
    pub fn asked_by(token: &str) -> [u8; ASKED_BY_BYTES] {
        let payload = token.rsplit('.').nth(1).unwrap_or_default();
        let payload = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
        payload.last_chunk().copied().unwrap_or_default()
    }

    /// The value in a token; `None` when it was altered or is for another purpose. Does not check its age.
    pub fn open<T: DeserializeOwned>(&self, purpose: Purpose, token: &str) -> Option<T> {
        postcard::from_bytes(&self.payload(purpose, token)?).ok()
    }

    /// The bytes that a token carries.
    fn payload(&self, purpose: Purpose, token: &str) -> Option<Vec<u8>> {
        if token.len() > TOKEN_CHARS_MAX {
            return None;
        }
        let (rest, sent) = token.rsplit_once('.')?;
        let (id, payload) = match rest.split_once('.') {
            Some((id, payload)) => (Some(id), payload),
            None => (None, rest),
        };
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let sent = URL_SAFE_NO_PAD.decode(sent).ok()?;
        let ring = self.ring();
        let RingKey { keyed, .. } = ring.find(id, || self.clock.now())?;
        mac(keyed, purpose.label(), &payload)
            .verify_slice(&sent)
            .ok()?;
        Some(payload)
    }

    /// Whether a token is signed for a purpose. Says nothing of its age.
    pub fn is_of(&self, purpose: Purpose, token: &str) -> bool {
        self.payload(purpose, token).is_some()
    }

    /// What a download url grants, also one of an earlier version of this program; `None` as for [`Signer::open`].
    pub fn open_download(
        &self,
        token: &str,
    ) -> Option<(DownloadGrant, Disposition, Option<Decoded>)> {
        let decodable = Purpose::DecodableDownloadUrl;
        if let Some(decodable) = self.open(decodable, token) {
            return Some(decodable);
        }
        let named = Purpose::NamedDownloadUrl;
        if let Some((grant, disposition)) = self.open(named, token) {
            return Some((grant, disposition, None));
        }
        let purpose = Purpose::DownloadUrl;
        let earlier = || {
            self.open::<EarlierDownloadGrant>(purpose, token)
                .map(Into::into)
        };
        let grant = self.open(purpose, token).or_else(earlier)?;
        Some((grant, Disposition::default(), None))
    }

    /// A hash that only the holder of the key can make or check. Its key is never rotated.
    pub fn keyed_hash(&self, purpose: &str, bytes: &[u8]) -> [u8; 32] {
        mac(&self.keyed, purpose, bytes)
            .finalize()
            .into_bytes()
            .into()
    }
}

/// The key of hashes in a directory, and the keys of tokens.
fn read_keys(directory: &Path) -> Result<([u8; KEY_BYTES], Ring), KeyError> {
    let path = directory.join(FIRST_KEY);
    let unfit = |what| KeyError::Unfit {
        place: path.display().to_string(),
        what,
    };
    let read = |source| key_io("read", &path, source);
    let mode = std::fs::metadata(&path).map_err(read)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(unfit("can be read by others (chmod 600 it)"));
    }
    let bytes = std::fs::read(&path).map_err(read)?;
    let key = bytes
        .try_into()
        .map_err(|_| unfit("does not hold 32 bytes"))?;
    let ring = Ring::read(directory, key)?.unwrap_or_else(|| Ring::first_alone(key));
    Ok((key, ring))
}

fn key_io(action: &'static str, path: &Path, source: std::io::Error) -> KeyError {
    KeyError::Io {
        action,
        place: path.display().to_string(),
        source,
    }
}

fn mac(keyed: &Hmac<Sha256>, label: &str, bytes: &[u8]) -> Hmac<Sha256> {
    let mut mac = keyed.clone();
    mac.update(&(label.len() as u64).to_be_bytes());
    mac.update(label.as_bytes());
    mac.update(bytes);
    mac
}

/// Makes the key of hashes and, where there is none, one that signs. `signing.key` is written last: a directory that has
/// it was made whole.
fn create_keys(directory: &Path, path: &Path, clock: &Clock) -> std::io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    if !directory.join(RING_FILE).exists() {
        Ring::new_key(clock.now()).write(directory)?;
    }
    private::write(path, &random_bytes::<KEY_BYTES>())
}

#[cfg(test)]
mod tests;
