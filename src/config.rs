//! The server's settings: loading them from their sources, and where each value came from.
//!
//! The settings file overrides defaults, the environment overrides the file, `--set` the environment, and flags of their own
//! `--set`. `table.rs` declares all settings.

mod duration;
#[cfg(test)]
mod each;
mod error;
#[cfg(test)]
mod fuzz;
mod limits;
mod names;
#[cfg(test)]
mod page;
mod table;
#[cfg(test)]
mod tests;
mod value;

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use self::names::name_of_variable;
use self::table::TABLE;

pub use self::names::OF_COMMAND_LINE;

pub use self::error::SettingsError;
pub use self::table::{
    Actors, Auth, CallLimits, DiskSection, Http, Identity, Journal, LogSection, Mcp, Mrs, Ops,
    Projections, QuotaLimits, Settings, Utl,
};
pub use self::value::LogRequests;

/// The one variable without a prefix: operators set it by this name.
const CLEANUP_RETENTION_DAYS: &str = "MRS_CLEANUP_RETENTION_DAYS";

/// Where a setting's value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The default: nothing was set.
    Default,
    /// The settings file at this path.
    File(String),
    /// A variable of the environment, by its name.
    Environment(String),
    /// An assignment given by `--set`.
    Set,
    /// A flag of its own, such as `--listen`.
    Flag(&'static str),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Set => f.write_str("--set"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One setting as `g3n config` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Section and name, such as `http.listen`.
    pub name: &'static str,
    /// The value as text, unredacted; [`Row::shown`] is for readers.
    pub value: String,
    /// The source that set the value.
    pub origin: Origin,
    /// The purpose, with units and the effect of reaching a limit.
    pub doc: &'static str,
}

impl Row {
    /// The value for readers; `set` in place of an address that may hold a password or a token.
    pub fn shown(&self) -> &str {
        if is_secret_in_part(&self.value) {
            "set"
        } else {
            &self.value
        }
    }
}

impl Settings {
    /// Merges the sources, each overriding the one before: file, environment, `--set`, and flags of their own as (setting,
    /// flag, value).
    ///
    /// # Errors
    /// When a name is unknown, a value does not fit, or the file cannot be read.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (OsString, OsString)>,
        sets: &[String],
        flags: &[(&'static str, &'static str, String)],
    ) -> Result<Self, SettingsError> {
        let mut settings = Self::defaults();
        if let Some(path) = file {
            settings.read_file(path)?;
        }
        let mut variables = Vec::new();
        for (variable, value) in environment {
            let text = variable.to_string_lossy().into_owned();
            if let Some(name) = name_of_variable(&text)? {
                let not_text = || SettingsError::NotText { name: clip(&text) };
                let value = value.into_string().map_err(|_| not_text())?;
                let variable = variable.into_string().map_err(|_| not_text())?;
                variables.push((name, variable, value));
            }
        }
        // The prefixed name overrides the bare one.
        variables.sort_by_key(|(_, variable, _)| variable != CLEANUP_RETENTION_DAYS);
        for (name, variable, value) in variables {
            settings.set(&name, &value, Origin::Environment(variable.clone()))?;
            // One that a script left empty by mistake must not take away what the file says.
            if value.is_empty() {
                return Err(SettingsError::Empty { name, variable });
            }
        }
        for assignment in sets {
            let (name, value) = assignment
                .split_once('=')
                .ok_or_else(|| SettingsError::NotAnAssignment(clip(assignment)))?;
            settings.set(name.trim(), value.trim(), Origin::Set)?;
        }
        for (name, flag, value) in flags {
            settings.set(name, value, Origin::Flag(flag))?;
        }
        Ok(settings)
    }

    /// Sets one setting from text.
    fn set(&mut self, full_name: &str, text: &str, origin: Origin) -> Result<(), SettingsError> {
        self.assign(full_name, text, origin.clone())
            .unwrap_or_else(|| Err(names::unknown(full_name, &origin)))
    }

    fn read_file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let failed = |what: String| SettingsError::File {
            path: path.display().to_string(),
            what,
        };
        let mut text = String::new();
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
        let what = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
            _ => error.to_string(),
        };
        if read.map_err(|error| failed(what(error)))? as u64 > FILE_BYTES_MAX {
            return Err(failed(format!("it is larger than {FILE_BYTES_MAX} bytes")));
        }
        self.read_text(&text, path)
    }

    /// Applies the text of a settings file.
    fn read_text(&mut self, text: &str, path: &Path) -> Result<(), SettingsError> {
        let failed = |what: String| SettingsError::File {
            path: path.display().to_string(),
            what,
        };
        let sections: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            failed(format!("line {line}: {}", error.message()))
        })?;
        let origin = Origin::File(path.display().to_string());
        for (section, values) in sections {
            let toml::Value::Table(values) = values else {
                return Err(names::no_section(&section, &origin));
            };
            for (name, value) in values {
                let full_name = format!("{section}.{name}");
                let text = text_of(&full_name, value, &origin)?;
                self.set(&full_name, &text, origin.clone())?;
            }
        }
        Ok(())
    }

    /// The named settings as `name = value (origin)`, separated by commas, for an error about several.
    pub fn describe(&self, names: &[&str]) -> String {
        let rows = self.rows().into_iter();
        let rows = rows.filter(|row| names.contains(&row.name));
        let told = rows.map(|row| format!("{} = {} ({})", row.name, shown(&row.value), row.origin));
        told.collect::<Vec<_>>().join(", ")
    }

    /// Every setting, in the order of the table.
    pub fn rows(&self) -> Vec<Row> {
        let values = TABLE.iter().zip(self.texts()).zip(&self.origins);
        values
            .map(|(((name, doc), value), origin)| Row {
                name,
                value,
                origin: origin.clone(),
                doc,
            })
            .collect()
    }
}

/// Most characters of a wrong name or value that are repeated in an error.
const REPEATED_CHARS_MAX: usize = 120;
/// Most bytes of the settings file: a hundred times what all settings take with their purposes as comments.
const FILE_BYTES_MAX: u64 = 1_048_576;

/// A wrong name or value, shortened for an error.
fn clip(text: &str) -> String {
    match text.char_indices().nth(REPEATED_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// A value for an error: quoted, or that it is withheld because it may hold a secret.
fn shown(text: &str) -> String {
    if is_secret_in_part(text) {
        return "an address that is not repeated, as it may hold a secret".to_owned();
    }
    format!("{:?}", clip(text))
}

/// Whether a value may be an address with a password or a token in it.
fn is_secret_in_part(text: &str) -> bool {
    text.contains("://") && text.contains(['@', '?'])
}

/// The text of a value in the settings file; values of another type than the setting's are refused rather than converted.
fn text_of(full_name: &str, value: toml::Value, origin: &Origin) -> Result<String, SettingsError> {
    let kind = match &value {
        toml::Value::String(text) => return Ok(text.clone()),
        toml::Value::Integer(_) => "a whole number",
        toml::Value::Float(_) => "a number with a point",
        toml::Value::Boolean(_) => "true or false",
        toml::Value::Datetime(_) => "a time",
        toml::Value::Array(_) => "a list",
        toml::Value::Table(_) => "a section",
    };
    let scalar = match &value {
        toml::Value::Array(_) | toml::Value::Table(_) | toml::Value::Datetime(_) => None,
        other => Some(other.to_string()),
    };
    match (Settings::wanted(full_name), scalar) {
        (Some((_, false)), Some(text)) => Ok(text),
        (Some((wanted, is_text)), _) => Err(SettingsError::WrongType {
            name: full_name.to_owned(),
            kind,
            origin: origin.to_string(),
            wanted: if is_text {
                format!("text in quotes: {wanted}")
            } else {
                wanted
            },
        }),
        (None, _) => Err(names::unknown(full_name, origin)),
    }
}
