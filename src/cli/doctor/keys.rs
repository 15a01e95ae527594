//! The files of keys: that they are there, are keys, and are for their owner only.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::super::finding::Finding;
use super::Patient;

const NAME: &str = "keys";
/// What signs urls and hashes sessions, and its bytes.
const SIGNING_KEY: &str = "signing.key";
const SIGNING_KEY_BYTES: u64 = 32;
/// What operators show.
const OPERATOR_TOKEN: &str = "operator.token";
/// What development mode writes beside the keys that holds credentials.
const TELLING: [&str; 2] = ["dev.json", "profiles.toml"];

/// Looks at the files of keys.
pub(super) fn look(patient: &Patient<'_>) -> Finding {
    let root = patient.data_dir;
    let keys = root.join("keys");
    let served = root.join("journal").is_dir();
    if !keys.is_dir() {
        return match served {
            true => gone(&keys),
            false => Finding::skipped(NAME, "there are none yet; the first start makes them"),
        };
    }
    if mode(&keys) & 0o077 != 0 {
        return open_to_others(&keys, 700);
    }
    let listed = fs::read_dir(&keys).map(|entries| entries.flatten().map(|entry| entry.path()));
    let mut files: Vec<PathBuf> = match listed {
        Ok(listed) => listed.collect(),
        Err(error) => {
            return Finding::fail(NAME, error.to_string(), "run this as the server's user");
        }
    };
    files.sort();
    let count = files.len();
    files.extend(TELLING.map(|name| root.join(name)));
    for path in files.iter().filter(|path| path.is_file()) {
        if mode(path) & 0o077 != 0 {
            return open_to_others(path, 600);
        }
    }
    for name in [SIGNING_KEY, OPERATOR_TOKEN] {
        let path = keys.join(name);
        let Ok(metadata) = fs::metadata(&path) else {
            match served {
                true => return gone(&path),
                false => continue,
            }
        };
        let fits = match name {
            SIGNING_KEY => metadata.len() == SIGNING_KEY_BYTES,
            _ => metadata.len() > 0,
        };
        if !fits {
            let what = format!("{} is not a key: {} bytes", path.display(), metadata.len());
            return Finding::fail(NAME, what, RESTORE);
        }
    }
    Finding::ok(
        NAME,
        format!("{count} files in {}, for their owner only", keys.display()),
    )
}

const RESTORE: &str = "restore it from a backup; a new one ends all sessions, service accounts' keys and urls, or the operators' token";

fn gone(path: &Path) -> Finding {
    Finding::fail(NAME, format!("{} is gone", path.display()), RESTORE)
}

fn open_to_others(path: &Path, mode: u32) -> Finding {
    let path = path.display();
    Finding::fail(
        NAME,
        format!("{path} can be read or changed by others"),
        format!("chmod {mode} {path}"),
    )
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode())
}
