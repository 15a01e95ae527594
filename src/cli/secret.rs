//! Secrets that verbs need, and where they find them.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use clap::builder::{NonEmptyStringValueParser, TypedValueParser};

use super::failure::Failure;
use super::surroundings::CliEnv;

/// Most bytes of a file that holds a secret: several times what the service takes.
const FILE_BYTES_MAX: u64 = 4096;

/// A secret code, a passcode, a key or a session. It is not printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

/// The places of one secret, the first of which counts.
pub(super) struct Places<'a> {
    /// What it is called, for failures.
    pub(super) what: &'static str,
    /// A flag that is the secret.
    pub(super) flag: Option<&'a Secret>,
    /// A flag that names a file.
    pub(super) file: Option<&'a Path>,
    /// A variable of the environment.
    pub(super) variable: Option<&'static str>,
}

impl Secret {
    /// A secret that is not empty. What else makes a good one is for the service to say.
    pub(super) fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The secret, for a request.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Places<'_> {
    /// The secret of the first place that has one.
    ///
    /// # Errors
    /// When that place cannot be read, or holds none.
    pub(super) fn find(&self, surroundings: &mut CliEnv) -> Result<Option<Secret>, Failure> {
        if let Some(secret) = self.flag {
            return Ok(Some(secret.clone()));
        }
        if let Some(path) = self.file {
            return self.read(path, surroundings).map(Some);
        }
        let variable = self.variable.and_then(&surroundings.environment);
        Ok(variable.and_then(|text| Secret::parse(&text)))
    }

    /// What a file holds, without the line break at its end.
    fn read(&self, path: &Path, surroundings: &mut CliEnv) -> Result<Secret, Failure> {
        let failed = |error| Failure::file(path, error);
        let mut bytes = Vec::new();
        let most = FILE_BYTES_MAX + 1;
        let read = match is_standard_input(path) {
            true => (&mut surroundings.input).take(most).read_to_end(&mut bytes),
            false => File::open(path)
                .map_err(failed)?
                .take(most)
                .read_to_end(&mut bytes),
        };
        let none = |why: &str| {
            let path = path.display();
            Failure::Usage(format!("{path} contains no {}{why}", self.what))
        };
        if read.map_err(failed)? as u64 > FILE_BYTES_MAX {
            return Err(none(": it is too large"));
        }
        let text = String::from_utf8(bytes).map_err(|_| none(": it is not text"))?;
        let line = text.strip_suffix("\r\n").or(text.strip_suffix('\n'));
        Secret::parse(line.unwrap_or(&text)).ok_or_else(|| none(": it is empty"))
    }

    /// Whether standard input holds it.
    pub(super) fn is_input(&self) -> bool {
        self.flag.is_none() && self.file.is_some_and(is_standard_input)
    }
}

/// Reads a flag that is a secret.
pub(super) fn secret() -> impl TypedValueParser<Value = Secret> {
    NonEmptyStringValueParser::new().map(Secret)
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}
