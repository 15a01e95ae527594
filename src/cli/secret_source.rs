//! Where a verb finds a secret: a flag, a file, standard input or a variable.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::cli_env::CliEnv;
use super::failure::Failure;
use super::secret::{Secret, without_line_break};

/// Most bytes of a file that holds a secret: several times what the service takes.
const FILE_BYTES_MAX: u64 = 4096;

/// The places of one secret, the first of which counts.
pub(super) struct SecretSource<'a> {
    /// The name of the secret in failures.
    pub(super) what: &'static str,
    /// A flag that is the secret.
    pub(super) flag: Option<&'a Secret>,
    /// A flag that names a file.
    pub(super) file: Option<&'a Path>,
    /// A variable of the environment.
    pub(super) variable: Option<&'static str>,
}

impl SecretSource<'_> {
    /// The secret of the first place that has one.
    ///
    /// # Errors
    /// [`Failure`] when that place cannot be read, or holds no secret.
    pub(super) fn find(&self, env: &mut CliEnv) -> Result<Option<Secret>, Failure> {
        if let Some(secret) = self.flag {
            return Ok(Some(secret.clone()));
        }
        if let Some(path) = self.file {
            return self.read(path, env).map(Some);
        }
        let Some(name) = self.variable else {
            return Ok(None);
        };
        let text = (env.environment)(name);
        let secret = text.map(|text| {
            let secret = Secret::parse(without_line_break(&text));
            secret.ok_or_else(|| {
                Failure::Usage(format!(
                    "the variable {name} is set, but empty; give it a value, or unset it"
                ))
            })
        });
        secret.transpose()
    }

    /// What a file holds, without the line break at its end.
    fn read(&self, path: &Path, env: &mut CliEnv) -> Result<Secret, Failure> {
        let failed = |error| Failure::file(path, error);
        let mut bytes = Vec::new();
        let most = FILE_BYTES_MAX + 1;
        let read = if is_standard_input(path) {
            (&mut env.input).take(most).read_to_end(&mut bytes)
        } else {
            File::open(path)
                .map_err(failed)?
                .take(most)
                .read_to_end(&mut bytes)
        };
        let none = |why: &str| {
            let path = path.display();
            Failure::Usage(format!("{path} contains no {}{why}", self.what))
        };
        if read.map_err(failed)? as u64 > FILE_BYTES_MAX {
            return Err(none(": it is too large"));
        }
        let text = String::from_utf8(bytes).map_err(|_| none(": it is not text"))?;
        Secret::parse(without_line_break(&text)).ok_or_else(|| none(": it is empty"))
    }

    /// Whether standard input holds it.
    pub(super) fn is_input(&self) -> bool {
        self.flag.is_none() && self.file.is_some_and(is_standard_input)
    }
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}
