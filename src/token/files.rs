//! Reading key files, and refusing those that others can read.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::keys::{KeySet, KeysError};

/// Fewest bytes of a secret: as many as the hash has (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;
/// Most bytes read of a key or a set of keys.
pub(super) const KEYS_BYTES_MAX: u64 = 1_048_576;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file could not be read.
    #[error("the key file {path} cannot be read")]
    Io {
        /// The path of the file.
        path: String,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// It can be read, and does not hold what is needed.
    #[error("the key file {path} {what}")]
    Unfit {
        /// The path of the file.
        path: String,
        /// What is wrong, and what to do.
        what: &'static str,
    },
    /// The file holds no usable key set.
    #[error("the key file {path} cannot be used")]
    Keys {
        /// The path of the file.
        path: String,
        /// What is wrong with the set.
        #[source]
        source: KeysError,
    },
}

impl KeyFileError {
    /// The error of a file that does not hold what is needed.
    pub(crate) fn unfit(path: &Path, what: &'static str) -> Self {
        Self::Unfit {
            path: path.display().to_string(),
            what,
        }
    }
}

/// Identifies a version of a file. The time of the last status change covers its mode and owner, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    bytes: u64,
    place: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    /// The current mark of a file.
    pub(super) fn of(path: &Path) -> Result<Self, KeyFileError> {
        let metadata = metadata(path)?;
        Ok(Self {
            bytes: metadata.len(),
            place: (metadata.dev(), metadata.ino()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// Reads a file with a set of public keys.
pub(super) fn read_keys(path: &Path) -> Result<KeySet, KeyFileError> {
    metadata(path)?;
    KeySet::parse(&read(path)?).map_err(|source| KeyFileError::Keys {
        path: path.display().to_string(),
        source,
    })
}

/// Reads a shared secret, without a line break at the end of a text.
pub(crate) fn read_secret(path: &Path) -> Result<Vec<u8>, KeyFileError> {
    let mut secret = read_private(path)?;
    if std::str::from_utf8(&secret).is_ok() && secret.last() == Some(&b'\n') {
        secret.pop();
        if secret.last() == Some(&b'\r') {
            secret.pop();
        }
    }
    if secret.len() < SECRET_BYTES_MIN {
        return Err(KeyFileError::unfit(
            path,
            "holds under 32 bytes; make a longer secret, such as by: openssl rand -hex 32",
        ));
    }
    Ok(secret)
}

/// Reads a file that only its owner can read.
pub(crate) fn read_private(path: &Path) -> Result<Vec<u8>, KeyFileError> {
    let metadata = metadata(path)?;
    if !is_private(metadata.uid(), metadata.gid(), metadata.mode()) {
        return Err(KeyFileError::unfit(
            path,
            "can be read by others; chmod 600 it",
        ));
    }
    read(path)
}

/// Whether only its owner may read a file, or a group that root chose: a credential that systemd provides
/// (`LoadCredential=`) is root's, and an access list, which shows as the group's bits, lets the service read it.
fn is_private(owner: u32, group: u32, mode: u32) -> bool {
    let credential = owner == 0 && group == 0 && mode & 0o777 == 0o440;
    mode & 0o077 == 0 || credential
}

/// The metadata of a regular file; reading a pipe or a device could block.
fn metadata(path: &Path) -> Result<Metadata, KeyFileError> {
    let metadata = std::fs::metadata(path).map_err(failed(path))?;
    if !metadata.is_file() {
        return Err(KeyFileError::unfit(path, "is not a file"));
    }
    Ok(metadata)
}

fn read(path: &Path) -> Result<Vec<u8>, KeyFileError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed(path))?;
    let read = file.take(KEYS_BYTES_MAX + 1).read_to_end(&mut bytes);
    if read.map_err(failed(path))? as u64 > KEYS_BYTES_MAX {
        return Err(KeyFileError::unfit(path, "is over 1 MiB"));
    }
    Ok(bytes)
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> KeyFileError {
    let path = path.display().to_string();
    move |source| KeyFileError::Io {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    fn file(directory: &tempfile::TempDir, bytes: &[u8], mode: u32) -> PathBuf {
        let path = directory.path().join("secret");
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_secret_is_its_bytes_without_the_line_break_of_a_text() {
        let directory = tempfile::tempdir().unwrap();
        let text = [b'a'; 32];
        let mut bytes = [0xff; 33];
        bytes[32] = b'\n';
        for (held, secret) in [
            (text.to_vec(), text.to_vec()),
            ([&text[..], b"\n"].concat(), text.to_vec()),
            ([&text[..], b"\r\n"].concat(), text.to_vec()),
            ([&text[..], b"\n\n"].concat(), [&text[..], b"\n"].concat()),
            (bytes.to_vec(), bytes.to_vec()),
        ] {
            let path = file(&directory, &held, 0o600);
            assert_eq!(read_secret(&path).unwrap(), secret);
        }
    }

    #[test]
    fn a_secret_that_is_short_or_not_private_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        for (bytes, mode, told) in [
            (31, 0o600, "under 32 bytes"),
            (0, 0o600, "under 32 bytes"),
            (32, 0o640, "chmod 600"),
            (32, 0o604, "chmod 600"),
            (2_000_000, 0o600, "over 1 MiB"),
        ] {
            let path = file(&directory, &vec![b's'; bytes], mode);
            let error = read_secret(&path).expect_err(told).to_string();
            assert!(error.contains(told), "{error}");
        }
        // The line break is not one of the 32.
        let path = file(&directory, &[&[b'a'; 31][..], b"\n"].concat(), 0o600);
        assert!(read_secret(&path).is_err());
        let error = read_secret(directory.path()).expect_err("a directory");
        assert!(error.to_string().contains("not a file"), "{error}");
        assert!(matches!(
            read_secret(Path::new("nowhere")),
            Err(KeyFileError::Io { .. })
        ));
    }
}
