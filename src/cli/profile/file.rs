//! The file of profiles: where it is, and what one profile of it says.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml_edit::{Document, Item, TableLike};

use super::connection::{Connection, Origin, Sourced};
use crate::cli::failure::Failure;

/// Most bytes of a file that holds a token: twice what a server reads.
const TOKEN_BYTES_MAX: u64 = 16_384;
/// Most bytes of a file of profiles: thousands of them.
const FILE_BYTES_MAX: u64 = 1_048_576;

/// Name of the profile that counts when none is named.
pub(in crate::cli) const DEFAULT: &str = "default";

/// Declares what a profile holds: a text for each key.
macro_rules! entry {
    ($($key:ident,)*) => {
        /// One profile of the file.
        #[derive(Clone, Default)]
        pub(super) struct Entry {
            $(pub(super) $key: Option<String>,)*
        }

        /// Every key of a profile.
        const KEYS: &[&str] = &[$(stringify!($key)),*];

        impl Entry {
            fn of(mut text: impl FnMut(&str) -> Option<String>) -> Self {
                Self { $($key: text(stringify!($key)),)* }
            }
        }
    };
}

entry! {
    base_url,
    operator_url,
    orgcode,
    email,
    session_guid,
    api_key,
    jwt_file,
    operator_token,
    data_dir,
    ca_file,
    client_cert_file,
    client_key_file,
}

/// Whether a file or a profile that was asked for must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// It must be there.
    Refused,
    /// It need not: it will be made.
    Empty,
}

/// The file that profiles are read from.
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

pub(super) fn read_profiles(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// The profile of that name, or the one named `default` if there is one; with the name.
///
/// # Errors
/// A usage failure when it, or a file that was asked for, is not there or cannot be understood.
pub(super) fn read_entry(
    name: Option<Sourced>,
    config: Option<&(PathBuf, Origin)>,
    absent: Absent,
) -> Result<(Entry, Option<Sourced>), Failure> {
    let nothing = |name| Ok((Entry::default(), name));
    let Some((path, origin)) = config else {
        return match name {
            Some(name) if absent == Absent::Refused => Err(Failure::Usage(format!(
                "no profile {}: there is no directory to look for profiles in; give --config FILE",
                name.value
            ))),
            name => nothing(name),
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
            // Only a file that was asked for must be there.
            return match (name, origin) {
                (name, _) if absent == Absent::Empty => nothing(name),
                (None, Origin::Default) => nothing(None),
                (None, _) => Err(Failure::Usage(format!("there is no file {path}"))),
                (Some(name), _) => Err(Failure::Usage(format!(
                    "no profile {}: there is no file {path}; `g3n login` makes one",
                    name.value
                ))),
            };
        }
        Err(error) => return Err(Failure::file(path, error)),
    };
    let profiles = Profiles::parse(path, &text)?;
    let (wanted, name) = match name {
        Some(name) => (name.value.clone(), Some(name)),
        None if profiles.0.iter().any(|(known, _)| known == DEFAULT) => {
            let value = DEFAULT.to_owned();
            let origin = Origin::Default;
            (DEFAULT.to_owned(), Some(Sourced { value, origin }))
        }
        None => return nothing(None),
    };
    let mut known = profiles.0.iter();
    match known.find(|(known, _)| *known == wanted) {
        Some((_, entry)) => Ok((entry.clone(), name)),
        None if absent == Absent::Empty => nothing(name),
        None => {
            let known: Vec<&str> = profiles.0.iter().map(|(name, _)| name.as_str()).collect();
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            Err(Failure::Usage(format!(
                "there is no profile {wanted} in {}; it has: {known}",
                path.display()
            )))
        }
    }
}

/// The profiles of a file by name.
struct Profiles(Vec<(String, Entry)>);

impl Profiles {
    /// Reads them all, so that a wrong one is found before it is needed. No message shows a value: it may be a secret.
    fn parse(path: &Path, text: &str) -> Result<Self, Failure> {
        let wrong = |start: Option<usize>, what: &str| {
            let before = text.get(..start.unwrap_or(0)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            Failure::Usage(format!("{}, line {line}: {what}", path.display()))
        };
        let document = Document::parse(text).map_err(|error| {
            let start = error.span().map(|span| span.start);
            let what = format!(
                "this is not TOML: {}; a profile is a line [NAME], and below it lines such as base_url = \"http://127.0.0.1:8000\"",
                error.message()
            );
            wrong(start, &what)
        })?;
        let mut profiles = Vec::new();
        for (name, item) in document.iter() {
            let start = document.as_table().key(name).and_then(|key| key.span());
            let start = start.or(item.span()).map(|span| span.start);
            let Some(section) = item.as_table_like() else {
                let what = format!("{name} is outside of a profile; put it below a line [NAME]");
                return Err(wrong(start, &what));
            };
            check_section(name, section, &|start, what| wrong(start, what))?;
            let entry = Entry::of(|key| section.get(key)?.as_str().map(str::to_owned));
            profiles.push((name.to_owned(), entry));
        }
        Ok(Self(profiles))
    }
}

/// Refuses keys that no profile has, and values that are no text.
fn check_section(
    name: &str,
    section: &dyn TableLike,
    wrong: &dyn Fn(Option<usize>, &str) -> Failure,
) -> Result<(), Failure> {
    for (key, item) in section.iter() {
        let span = section.key(key).and_then(|key| key.span());
        let start = span.or(item.span()).map(|span| span.start);
        if !KEYS.contains(&key) {
            let allowed = KEYS.join(", ");
            let what =
                format!("the profile {name} has no key {key}; a profile may have: {allowed}");
            return Err(wrong(start, &what));
        }
        if item.as_str().is_none() {
            let what = format!(
                "{key} of the profile {name} must be a text in quotes, and is {}",
                kind_of(item)
            );
            return Err(wrong(start, &what));
        }
    }
    Ok(())
}

/// What a value is instead of a text.
fn kind_of(item: &Item) -> &'static str {
    match item.type_name() {
        "integer" | "float" => "a number",
        "boolean" => "true or false",
        "array" | "array of tables" => "a list",
        "datetime" => "a time",
        _ => "a section",
    }
}
