//! The keys that sign urls and tokens: one signs, earlier ones still verify for a while. They are in one file, which is
//! replaced as a whole, so that whatever happens between two steps a start finds the keys of before or of after.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hmac::{Hmac, KeyInit};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::key_file::{KEY_BYTES, KeyError};
use crate::clock::random_bytes;
use crate::domain::Timestamp;
use crate::private;

/// The file of the keys, next to `signing.key`.
pub const RING_FILE: &str = "signing-keys.json";
/// The id of `signing.key` where it signs, or signed, urls and tokens: those of directories from before there was a
/// ring. Its tokens contain no id.
pub const FIRST: &str = "first";
/// Most keys in the file. A rotation is refused while 32 earlier ones verify by the wall clock; more are there only while
/// that clock is not trusted, and the earliest are removed first.
const KEYS_MAX: usize = 128;
/// The format of the file that this program writes and reads.
const FORMAT: u32 = 1;
/// Longest file read; 128 keys take less than 32 KiB.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Random bytes of an id; twice as many hex digits.
const ID_BYTES: usize = 4;
/// Longest id, in characters.
const ID_CHARS_MAX: usize = 16;

/// What of a key is no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    /// Its id, which tokens contain.
    pub id: String,
    /// When it was made; `None` for `signing.key`, whose file does not contain it.
    pub made_at: Option<Timestamp>,
    /// When another took its place; `None` for the one that signs.
    pub retired_at: Option<Timestamp>,
    /// From when on it verifies nothing; `None` for the one that signs.
    pub works_until: Option<Timestamp>,
}

/// A key with its bytes, which nothing shows.
#[derive(Clone)]
pub(super) struct RingKey {
    pub(super) facts: KeyFacts,
    bytes: [u8; KEY_BYTES],
    pub(super) keyed: Hmac<Sha256>,
}

impl RingKey {
    fn new(facts: KeyFacts, bytes: [u8; KEY_BYTES]) -> Self {
        Self {
            facts,
            bytes,
            keyed: keyed(&bytes),
        }
    }

    fn random(id: &str, made_at: Timestamp) -> Self {
        let facts = KeyFacts {
            id: id.to_owned(),
            made_at: Some(made_at),
            retired_at: None,
            works_until: None,
        };
        Self::new(facts, random_bytes())
    }

    /// The prefix of its tokens: nothing, or its id.
    pub(super) fn token_id(&self) -> Option<&str> {
        Some(self.facts.id.as_str()).filter(|id| *id != FIRST)
    }

    fn works(&self, now: Timestamp) -> bool {
        self.facts.works_until.is_none_or(|until| until > now)
    }
}

/// The keys of one moment, the one that signs first. Replaced as a whole.
#[derive(Clone)]
pub(super) struct Ring(Vec<RingKey>);

impl Ring {
    /// `signing.key` alone, as in a directory from before there was a ring.
    pub(super) fn first_alone(bytes: [u8; KEY_BYTES]) -> Self {
        let facts = KeyFacts {
            id: FIRST.to_owned(),
            made_at: None,
            retired_at: None,
            works_until: None,
        };
        Self(vec![RingKey::new(facts, bytes)])
    }

    pub(super) fn new_key(made_at: Timestamp) -> Self {
        Self(vec![RingKey::random(&new_id(), made_at)])
    }

    /// The key that signs.
    pub(super) fn current(&self) -> &RingKey {
        // A ring is made with one key, and none but later ones is ever removed.
        self.0.first().expect("there is always a key that signs")
    }

    /// The key that a token names, unless it verifies nothing any more. The clock is asked only for an earlier key.
    pub(super) fn find(
        &self,
        id: Option<&str>,
        now: impl FnOnce() -> Timestamp,
    ) -> Option<&RingKey> {
        let key = self.0.iter().find(|key| key.token_id() == id)?;
        let works = key.facts.works_until.is_none() || key.works(now());
        works.then_some(key)
    }

    pub(super) fn facts(&self) -> impl Iterator<Item = &KeyFacts> {
        self.0.iter().map(|key| &key.facts)
    }

    /// With a new key that signs from `at` on. The ones before verify until `previous_until`, or what was said of them
    /// earlier; nothing when it is absent.
    pub(super) fn rotated(
        &self,
        id: &str,
        at: Timestamp,
        previous_until: Option<Timestamp>,
    ) -> Self {
        let mut keys = vec![RingKey::random(id, at)];
        if let Some(until) = previous_until {
            keys.extend(self.0.iter().cloned().map(|mut key| {
                key.facts.retired_at.get_or_insert(at);
                key.facts.works_until.get_or_insert(until);
                key
            }));
        }
        keys.truncate(KEYS_MAX);
        Self(keys)
    }

    /// Without the keys that verify nothing any more.
    pub(super) fn without_ended(&self, now: Timestamp) -> Self {
        let kept = self.0.iter().filter(|key| key.works(now));
        Self(kept.cloned().collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Writes it, durable on return.
    ///
    /// # Errors
    /// An I/O error when the file cannot be written.
    pub(super) fn write(&self, directory: &Path) -> std::io::Result<()> {
        let keys = self.0.iter().map(|key| KeyRow {
            id: key.facts.id.clone(),
            made_at: key.facts.made_at,
            retired_at: key.facts.retired_at,
            works_until: key.facts.works_until,
            key: key.token_id().map(|_| hex::encode(key.bytes)),
        });
        let file = RingFile {
            format: FORMAT,
            keys: keys.collect(),
        };
        private::write(&directory.join(RING_FILE), &serde_json::to_vec(&file)?)
    }

    /// Reads it; `None` when there is no file. `first` is what `signing.key` holds.
    ///
    /// # Errors
    /// [`KeyError`] when the file cannot be read, others can read it, or it does not hold keys.
    pub(super) fn read(directory: &Path, first: [u8; KEY_BYTES]) -> Result<Option<Self>, KeyError> {
        let Some(file) = read_file(directory)? else {
            return Ok(None);
        };
        let keys = file.keys.into_iter().map(|row| row.key(first));
        let keys: Option<Vec<_>> = keys.collect();
        let keys = keys.filter(|keys| !keys.is_empty() && are_distinct(keys));
        match keys {
            Some(keys) => Ok(Some(Self(keys))),
            None => Err(unfit(directory, "does not hold keys")),
        }
    }
}

/// The facts of the keys in a directory, the one that signs first, without a start; `None` when there is no file.
///
/// # Errors
/// The [`KeyError`] with which a start would refuse the file.
pub fn look(directory: &Path) -> Result<Option<Vec<KeyFacts>>, KeyError> {
    // The first key's bytes do not matter: facts contain no key.
    let ring = Ring::read(directory, [0; KEY_BYTES])?;
    Ok(ring.map(|ring| ring.facts().cloned().collect()))
}

/// A random id: it says nothing, and is none that another key had.
pub fn new_id() -> String {
    hex::encode(random_bytes::<ID_BYTES>())
}

/// A hash state keyed with these bytes, before any input.
pub(super) fn keyed(bytes: &[u8; KEY_BYTES]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(bytes).expect("HMAC takes keys of every length")
}

/// The format of `keys/signing-keys.json`.
#[derive(Serialize, Deserialize)]
struct RingFile {
    format: u32,
    keys: Vec<KeyRow>,
}

/// A key in the file.
#[derive(Serialize, Deserialize)]
struct KeyRow {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    works_until: Option<Timestamp>,
    /// In hex; absent for the first, which has a file of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl KeyRow {
    fn key(self, first: [u8; KEY_BYTES]) -> Option<RingKey> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let named = (1..=ID_CHARS_MAX).contains(&self.id.len()) && self.id.bytes().all(plain);
        let bytes = match (self.id.as_str(), self.key) {
            (FIRST, None) => first,
            (FIRST, Some(_)) | (_, None) => return None,
            (_, Some(text)) => hex::decode(text).ok()?.try_into().ok()?,
        };
        let facts = KeyFacts {
            id: self.id,
            made_at: self.made_at,
            retired_at: self.retired_at,
            works_until: self.works_until,
        };
        named.then(|| RingKey::new(facts, bytes))
    }
}

fn are_distinct(keys: &[RingKey]) -> bool {
    let ids: std::collections::BTreeSet<_> = keys.iter().map(|key| &key.facts.id).collect();
    ids.len() == keys.len()
}

fn read_file(directory: &Path) -> Result<Option<RingFile>, KeyError> {
    let path = directory.join(RING_FILE);
    let io = |source| KeyError::Io {
        action: "read",
        place: path.display().to_string(),
        source,
    };
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io(source)),
    };
    let mode = file.metadata().map_err(io)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(unfit(directory, "can be read by others (chmod 600 it)"));
    }
    let mut text = Vec::new();
    let mut file = file.take(FILE_BYTES_MAX);
    file.read_to_end(&mut text).map_err(io)?;
    let read = serde_json::from_slice(&text);
    let read = read.map_err(|_| unfit(directory, "does not hold keys"))?;
    let RingFile { format, .. } = &read;
    match *format {
        FORMAT => Ok(Some(read)),
        _ => Err(unfit(directory, "was written by a newer g3n")),
    }
}

fn unfit(directory: &Path, what: &'static str) -> KeyError {
    KeyError::UnfitRing {
        place: directory.join(RING_FILE).display().to_string(),
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn ids(ring: &Ring) -> Vec<String> {
        ring.facts().map(|facts| facts.id.clone()).collect()
    }

    #[test]
    fn a_ring_is_read_as_it_was_written_and_a_wrong_file_is_refused() {
        let place = tempfile::tempdir().unwrap();
        assert!(Ring::read(place.path(), [1; 32]).unwrap().is_none());
        let ring = Ring::first_alone([1; 32]).rotated("aa", at(5), Some(at(50)));
        let ring = ring.rotated("bb", at(6), Some(at(60)));
        ring.write(place.path()).unwrap();
        let path = place.path().join(RING_FILE);
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = Ring::read(place.path(), [1; 32]).unwrap().unwrap();
        assert_eq!(ids(&read), ["bb", "aa", FIRST]);
        assert!(read.facts().eq(ring.facts()));
        let bytes = |ring: &Ring| ring.0.iter().map(|key| key.bytes).collect::<Vec<_>>();
        assert_eq!(bytes(&read), bytes(&ring));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&hex::encode([1; 32])), "{text}");

        let short = text.replacen(&hex::encode(read.0[0].bytes), "abcd", 1);
        let twice = text.replace("\"aa\"", "\"bb\"");
        for wrong in [
            "",
            "{}",
            "[]",
            r#"{"format":1,"keys":[]}"#,
            r#"{"format":2,"keys":[{"id":"first"}]}"#,
            r#"{"format":1,"keys":[{"id":"a.b","key":"00"}]}"#,
            &short,
            &twice,
        ] {
            private::write(&path, wrong.as_bytes()).unwrap();
            let read = Ring::read(place.path(), [1; 32]);
            assert!(matches!(read, Err(KeyError::UnfitRing { .. })), "{wrong}");
        }
        std::fs::write(&path, &text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(look(place.path()).is_err());
    }

    #[test]
    fn earlier_keys_end_at_their_own_time_and_all_at_once_when_told_to() {
        let ring = Ring::first_alone([1; 32]).rotated("aa", at(5), Some(at(50)));
        let ring = ring.rotated("bb", at(6), Some(at(60)));
        assert!(ring.find(None, || at(49)).is_some() && ring.find(None, || at(50)).is_none());
        assert!(ring.find(Some("aa"), || at(59)).is_some());
        assert!(ring.find(Some("aa"), || at(60)).is_none());
        assert!(ring.find(Some("bb"), || at(999)).is_some());
        assert!(ring.find(Some(FIRST), || at(1)).is_none(), "it has no id");
        assert_eq!(ids(&ring.without_ended(at(55))), ["bb", "aa"]);
        assert_eq!(ids(&ring.rotated("cc", at(7), None)), ["cc"]);
    }
}
