//! The operators' secret code, and where a verb finds it.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{NonEmptyStringValueParser, TypedValueParser};

use super::surroundings::Surroundings;
use crate::cli::failure::Failure;

/// Where help shows the flags.
pub(super) const HEADING: &str = "Secret code";
/// Most bytes of a file that holds a code: several times what the service takes.
const FILE_BYTES_MAX: u64 = 4096;
/// How to give the code where nobody can be asked for it.
pub(super) const HOW: &str = "this needs the secret code: give --secret-code-file FILE (- is standard input), set G3N_SECRET_CODE, or give --secret-code";

/// A secret code. It is not printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

/// Where the secret code is.
#[derive(Args, Debug)]
pub(super) struct CodeArgs {
    /// The code itself, which other users of the machine can see in its list of processes [env: G3N_SECRET_CODE]
    #[arg(long, value_name = "CODE", help_heading = HEADING, value_parser = secret())]
    secret_code: Option<Secret>,
    /// A file that holds it; - is standard input. Without any of them a terminal is asked.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    secret_code_file: Option<PathBuf>,
}

/// The places of one code, the first of which counts.
pub(super) struct Places<'a> {
    /// A flag that is the code.
    pub(super) flag: Option<&'a Secret>,
    /// A flag that names a file.
    pub(super) file: Option<&'a Path>,
    /// A variable of the environment.
    pub(super) variable: &'static str,
}

impl Secret {
    /// A code that is not empty. What else makes a good one is for the service to say.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        match text.is_empty() {
            true => Err(Failure::Usage("the secret code is empty".to_owned())),
            false => Ok(Self(text.to_owned())),
        }
    }

    /// The code, for a request.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl CodeArgs {
    /// The code there is.
    ///
    /// # Errors
    /// When its place cannot be read, or there is none and nobody can be asked.
    pub(super) fn find(&self, surroundings: &mut Surroundings) -> Result<Secret, Failure> {
        match self.places().find(surroundings)? {
            Some(code) => Ok(code),
            None => surroundings.ask("Secret code: ", HOW),
        }
    }

    /// The places without a terminal.
    pub(super) fn places(&self) -> Places<'_> {
        Places {
            flag: self.secret_code.as_ref(),
            file: self.secret_code_file.as_deref(),
            variable: "G3N_SECRET_CODE",
        }
    }
}

impl Places<'_> {
    /// The code of the first place that has one.
    ///
    /// # Errors
    /// When that place cannot be read, or holds none.
    pub(super) fn find(&self, surroundings: &mut Surroundings) -> Result<Option<Secret>, Failure> {
        if let Some(code) = self.flag {
            return Ok(Some(code.clone()));
        }
        if let Some(path) = self.file {
            return read(path, surroundings).map(Some);
        }
        let variable = (surroundings.environment)(self.variable).filter(|text| !text.is_empty());
        variable.map(|text| Secret::parse(&text)).transpose()
    }

    /// Whether standard input holds it.
    pub(super) fn is_input(&self) -> bool {
        self.flag.is_none() && self.file.is_some_and(is_standard_input)
    }
}

/// Reads a flag that is a code.
pub(super) fn secret() -> impl TypedValueParser<Value = Secret> {
    NonEmptyStringValueParser::new().map(Secret)
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// What a file holds, without the line break at its end.
fn read(path: &Path, surroundings: &mut Surroundings) -> Result<Secret, Failure> {
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
    let no_code = || {
        let path = path.display();
        Failure::Usage(format!("{path} holds no secret code"))
    };
    if read.map_err(failed)? as u64 > FILE_BYTES_MAX {
        return Err(no_code());
    }
    let text = String::from_utf8(bytes).map_err(|_| no_code())?;
    let line = text.strip_suffix("\r\n").or(text.strip_suffix('\n'));
    Secret::parse(line.unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        code: CodeArgs,
    }

    fn parse(line: &str) -> CodeArgs {
        let words = std::iter::once("ops").chain(line.split_whitespace());
        Line::try_parse_from(words)
            .unwrap_or_else(|error| panic!("{error}"))
            .code
    }

    #[test]
    fn the_code_comes_from_the_first_place_that_has_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("code");
        std::fs::write(&path, "from-file\r\n").expect("written");
        let file = format!("--secret-code-file {}", path.display());
        let both = format!("{file} --secret-code from-flag");
        let variable = [("G3N_SECRET_CODE", "from-variable")];
        let empty = [("G3N_SECRET_CODE", "")];
        for (line, environment, input, typed, found) in [
            (both.as_str(), &variable[..], "", "", "from-flag"),
            (&file, &variable, "", "", "from-file"),
            (
                "--secret-code-file -",
                &variable,
                "from-input\n\n",
                "",
                "from-input\n",
            ),
            ("", &variable, "unread", "unasked", "from-variable"),
            ("", &empty, "unread", "from-terminal", "from-terminal"),
        ] {
            let typed: &[&str] = if typed.is_empty() { &[] } else { &[typed] };
            let code = parse(line).find(&mut Surroundings::made_up(environment, input, typed));
            assert_eq!(code.expect(line).reveal(), found, "{line}");
        }
    }

    #[test]
    fn a_code_that_is_nowhere_is_a_usage_failure_that_tells_how_to_give_it() {
        for (line, input, told) in [
            ("", "unread", "G3N_SECRET_CODE"),
            ("--secret-code-file -", "", "empty"),
            ("--secret-code-file -", "\n", "empty"),
            (
                "--secret-code-file -",
                &"x".repeat(5000),
                "holds no secret code",
            ),
        ] {
            let failure = parse(line)
                .find(&mut Surroundings::made_up(&[], input, &[]))
                .err();
            let text = failure.as_ref().map(Failure::text).unwrap_or_default();
            assert!(matches!(failure, Some(Failure::Usage(_))), "{line}");
            assert!(text.contains(told), "{line}: {text}");
        }
    }

    #[test]
    fn a_code_is_not_printed() {
        let printed = format!("{:?}", parse("--secret-code hush"));
        assert!(!printed.contains("hush"), "{printed}");
    }
}
