//! The file of profiles: where it is, and what one profile of it says.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::connection::{Connection, Origin, Sourced};
use crate::cli::failure::Failure;

/// Most bytes of a file that holds a token: twice what a server looks at.
const TOKEN_BYTES_MAX: u64 = 16_384;
/// Most bytes of a file of profiles: thousands of them.
const FILE_BYTES_MAX: u64 = 1_048_576;

/// One profile of the file.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) base_url: Option<String>,
    pub(super) operator_url: Option<String>,
    pub(super) operator_token: Option<String>,
    pub(super) ca_file: Option<String>,
    pub(super) client_cert_file: Option<String>,
    pub(super) client_key_file: Option<String>,
    pub(super) session_guid: Option<String>,
    pub(super) api_key: Option<String>,
    pub(super) jwt_file: Option<String>,
    pub(super) orgcode: Option<String>,
}

/// The file to look in.
pub(in crate::cli) fn find_file(
    flags: &Connection,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Option<(PathBuf, Origin)> {
    let variable = |name: &str| environment(name).map(PathBuf::from);
    if let Some(path) = &flags.config {
        return Some((path.clone(), Origin::Flag));
    }
    if let Some(path) = variable("G3N_CONFIG") {
        return Some((path, Origin::Environment));
    }
    let directory =
        variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")));
    Some((
        directory?.join("g3n").join("profiles.toml"),
        Origin::Default,
    ))
}

/// A token of an identity provider from a file.
///
/// # Errors
/// When the file cannot be read, or does not hold one token.
pub(super) fn read_token(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(TOKEN_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| Failure::file(path, error))?;
    let token = text.trim();
    let fits = !token.is_empty() && text.len() as u64 <= TOKEN_BYTES_MAX;
    if fits && token.chars().all(|character| character.is_ascii_graphic()) {
        Ok(token.to_owned())
    } else {
        Err(Failure::Usage(format!(
            "{} does not hold one token and nothing else",
            path.display()
        )))
    }
}

fn read_profiles(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// The profile of that name.
///
/// # Errors
/// A usage failure when it, or a file that was asked for, is not there or cannot be understood.
pub(super) fn read_entry(
    name: Option<&Sourced>,
    config: Option<&(PathBuf, Origin)>,
) -> Result<Entry, Failure> {
    let Some((path, origin)) = config else {
        return match name {
            None => Ok(Entry::default()),
            Some(name) => Err(Failure::Usage(format!(
                "no profile {}: there is no directory to look for profiles in",
                name.value
            ))),
        };
    };
    let text = match read_profiles(path) {
        Ok(text) if text.len() as u64 > FILE_BYTES_MAX => {
            return Err(Failure::Usage(format!(
                "{} is over {FILE_BYTES_MAX} bytes, and no file of profiles",
                path.display()
            )));
        }
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let path = path.display();
            // Only a file that somebody asked for must be there.
            return match (name, origin) {
                (None, Origin::Default) => Ok(Entry::default()),
                (None, _) => Err(Failure::Usage(format!("there is no file {path}"))),
                (Some(name), _) => Err(Failure::Usage(format!(
                    "no profile {}: there is no file {path}",
                    name.value
                ))),
            };
        }
        Err(error) => return Err(Failure::file(path, error)),
    };
    // The text of the line is left out: it may be a secret.
    let misfit = |what: &str| {
        let path = path.display();
        Failure::Usage(format!("{path} is not a file of profiles: {what}"))
    };
    let sections: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        misfit(&format!("line {line}: {}", error.message()))
    })?;
    // An array would be taken by the order of the fields.
    if let Some((name, _)) = sections.iter().find(|(_, value)| !value.is_table()) {
        return Err(misfit(&format!("{name} is no section")));
    }
    let mut entries: BTreeMap<String, Entry> = sections
        .try_into()
        .map_err(|error: toml::de::Error| misfit(error.message()))?;
    let Some(name) = name else {
        return Ok(Entry::default());
    };
    entries.remove(&name.value).ok_or_else(|| {
        let known: Vec<&str> = entries.keys().map(String::as_str).collect();
        Failure::Usage(format!(
            "there is no profile {} in {}; it has: {}",
            name.value,
            path.display(),
            known.join(", ")
        ))
    })
}
