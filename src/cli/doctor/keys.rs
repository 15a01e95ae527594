//! The files of keys: that they are there, are keys, and are for their owner only.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::super::finding::Finding;
use super::super::quoted::quoted;
use super::{Target, fix_of};
use crate::boot::Options;
use crate::content::keyring::{self, KeyFacts};

const NAME: &str = "keys";
/// What keys the hashes of sessions and keys, and its bytes.
const SIGNING_KEY: &str = "signing.key";
const SIGNING_KEY_BYTES: u64 = 32;
/// The file of the first operator token.
const OPERATOR_TOKEN: &str = "operator.token";
/// The files with credentials that development mode writes next to the keys.
const CREDENTIAL_FILES: [&str; 2] = ["dev.json", "profiles.toml"];

/// Checks the files of keys.
pub(super) fn look(target: &Target<'_>) -> Finding {
    let root = target.data_dir;
    let keys = root.join("keys");
    let served = root.join("journal").is_dir();
    match fs::metadata(&keys) {
        Ok(_) => {}
        Err(error) if error.kind() != ErrorKind::NotFound => {
            let what = format!("{} cannot be read: {error}", keys.display());
            return Finding::fail(NAME, what, fix_of(&error));
        }
        Err(_) if served => return gone(&keys),
        Err(_) => {
            return Finding::skipped(NAME, "there are none yet; the first start creates them");
        }
    }
    if mode(&keys) & 0o077 != 0 {
        return open_to_others(&keys, 700);
    }
    let listed = fs::read_dir(&keys).map(|entries| entries.flatten().map(|entry| entry.path()));
    let mut files: Vec<PathBuf> = match listed {
        Ok(listed) => listed.collect(),
        Err(error) => {
            return Finding::fail(NAME, error.to_string(), fix_of(&error));
        }
    };
    files.sort();
    let count = files.len();
    files.extend(CREDENTIAL_FILES.map(|name| root.join(name)));
    for path in files.iter().filter(|path| path.is_file()) {
        if mode(path) & 0o077 != 0 {
            return open_to_others(path, 600);
        }
    }
    let token = target.options.map(Options::operator_token_place);
    let token = token.unwrap_or_else(|| keys.join(OPERATOR_TOKEN));
    for (name, path) in [
        (SIGNING_KEY, keys.join(SIGNING_KEY)),
        (OPERATOR_TOKEN, token),
    ] {
        let Ok(metadata) = fs::metadata(&path) else {
            if served { return gone(&path) } else { continue }
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
    let signing = match keyring::look(&keys) {
        Ok(facts) => told(facts.as_deref().unwrap_or_default()),
        Err(error) => return Finding::fail(NAME, error.to_string(), RESTORE_RING),
    };
    let keys = keys.display();
    let told = format!("{count} files in {keys}, for their owner only; {signing}");
    Finding::ok(NAME, told)
}

/// What signs urls, and how many earlier keys still verify them.
fn told(facts: &[KeyFacts]) -> String {
    let Some(current) = facts.first() else {
        return format!("urls are signed by {SIGNING_KEY}");
    };
    let made = current.made_at.map(|at| format!(", made {at}"));
    let (id, made) = (&current.id, made.unwrap_or_default());
    match facts.len() - 1 {
        0 => format!("urls are signed by key {id}{made}"),
        earlier => format!("urls are signed by key {id}{made}; earlier keys kept: {earlier}"),
    }
}

const RESTORE_RING: &str = "restore it from a backup, or remove it while the server is stopped; existing URLs and upload tokens then become invalid";

const RESTORE: &str = "restore it from a backup; a new one invalidates all sessions, API keys and URLs, or the operator token";

fn gone(path: &Path) -> Finding {
    Finding::fail(NAME, format!("{} is missing", path.display()), RESTORE)
}

fn open_to_others(path: &Path, mode: u32) -> Finding {
    Finding::fail(
        NAME,
        format!("{} can be read or changed by others", path.display()),
        format!("chmod {mode} {}", quoted(path)),
    )
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode())
}
