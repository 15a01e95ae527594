//! One profile in its file, to be changed: other profiles, other values and comments stay as they are.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use super::connection::{Origin, Sourced};
use super::file::{DEFAULT, read_profiles};
use super::{Profile, same_address};
use crate::cli::failure::Failure;
use crate::private;

/// A profile of a file that nobody else changes meanwhile.
pub(in crate::cli) struct KeptProfile {
    /// Where the file is, behind symbolic links.
    path: PathBuf,
    name: String,
    document: DocumentMut,
    /// The file's directory, locked while this is there.
    _lock: File,
}

impl KeptProfile {
    /// Opens the profile that is meant, or the one named `default`. Makes the file's directory if it is missing.
    ///
    /// # Errors
    /// When there is no place for a file, it cannot be read, or it is no file of profiles.
    pub(in crate::cli) fn open(profile: &Profile) -> Result<Self, Failure> {
        let Some((path, _)) = &profile.config else {
            return Err(Failure::Usage(
                "there is no directory for a file of profiles: give --config FILE, or set HOME"
                    .to_owned(),
            ));
        };
        // What a link points to is changed, and the link stays.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        let failed = |error| Failure::file(&path, error);
        let parent = parent_of(&path);
        private::create_directory(parent).map_err(failed)?;
        let lock = File::open(parent).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let text = match read_profiles(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error)),
        };
        // What the syntax allows was looked at when the profile was loaded.
        let document = text.parse().map_err(|_| {
            let path = path.display();
            Failure::Usage(format!("{path} was changed meanwhile; try again"))
        })?;
        let name = profile.name.as_ref();
        Ok(Self {
            name: name.map_or(DEFAULT, |name| &name.value).to_owned(),
            document,
            _lock: lock,
            path,
        })
    }

    pub(in crate::cli) fn name(&self) -> &str {
        &self.name
    }

    pub(in crate::cli) fn path(&self) -> &Path {
        &self.path
    }

    /// A value that the profile keeps.
    pub(in crate::cli) fn get(&self, key: &str) -> Option<String> {
        let section = self.document.get(&self.name)?;
        let value = section.as_table_like()?.get(key)?;
        value.as_str().map(str::to_owned)
    }

    /// Refuses to keep a session of another server than the profile is for: later calls would send it there.
    ///
    /// # Errors
    /// A usage failure.
    pub(in crate::cli) fn check_base_url(&self, profile: &Profile) -> Result<(), Failure> {
        let asked = &profile.base_url.value;
        match self.get("base_url") {
            Some(kept) if !same_address(&kept, asked) => Err(Failure::Usage(format!(
                "the profile {} is for {kept} and not for {asked}; name another profile with --profile",
                self.name
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// Keeps where the server is, and what flags say of the connection, unless the profile says so already.
    pub(in crate::cli) fn keep_connection(&mut self, profile: &Profile) {
        if self.get("base_url").is_none() {
            self.set("base_url", &profile.base_url.value);
        }
        if let Some(org) = by_flag(profile.orgcode.as_ref()) {
            self.set("orgcode", org);
        }
        for (key, file) in [
            ("ca_file", &profile.ca_file),
            ("client_cert_file", &profile.client_cert_file),
            ("client_key_file", &profile.client_key_file),
        ] {
            if let Some(path) = by_flag(file.as_ref()) {
                // The profile is used in any directory.
                let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
                self.set(key, &path.to_string_lossy());
            }
        }
    }

    /// Sets a value. A comment behind the one there was stays.
    pub(in crate::cli) fn set(&mut self, key: &str, text: &str) {
        let Some(section) = self.section() else {
            return;
        };
        let mut value = Value::from(text);
        match section.get_mut(key) {
            Some(Item::Value(there)) => {
                *value.decor_mut() = there.decor().clone();
                *there = value;
            }
            Some(_) | None => drop(section.insert(key, Item::Value(value))),
        }
    }

    /// Removes a value, if it is there.
    pub(in crate::cli) fn remove(&mut self, key: &str) {
        if let Some(section) = self.section() {
            section.remove(key);
        }
    }

    /// Writes the file: whole or not at all, and for its owner alone.
    ///
    /// # Errors
    /// [`Failure::File`] when the file cannot be written, or its owner not be kept.
    pub(in crate::cli) fn save(&self) -> Result<(), Failure> {
        let failed = |error| Failure::file(&self.path, error);
        let owner = std::fs::metadata(&self.path).ok();
        let text = self.document.to_string();
        private::write(&self.path, text.as_bytes()).map_err(failed)?;
        // Root may change the file of somebody else, and must not take it from them.
        let now = std::fs::metadata(&self.path).map_err(failed)?;
        match owner {
            Some(owner) if owner.uid() != now.uid() || owner.gid() != now.gid() => {
                chown(&self.path, Some(owner.uid()), Some(owner.gid())).map_err(failed)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn section(&mut self) -> Option<&mut dyn TableLike> {
        let section = self.document.entry(&self.name);
        let section = section.or_insert(Item::Table(Table::new()));
        section.as_table_like_mut()
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

fn by_flag(value: Option<&Sourced>) -> Option<&str> {
    let flag = value.filter(|value| value.origin == Origin::Flag)?;
    Some(&flag.value)
}
