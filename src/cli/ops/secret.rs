//! The operators' secret code: where a verb finds it, and `g3n ops secret-set`.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{NonEmptyStringValueParser, TypedValueParser};
use serde_json::{Map, Value};

use super::Operator;
use super::surroundings::Surroundings;
use crate::cli::failure::Failure;
use crate::cli::mrs::insert;
use crate::client::Reply;

/// Most bytes of a file that holds a code: several times what the service takes.
const FILE_BYTES_MAX: u64 = 4096;
/// How to give the code where nobody can be asked for it.
const HOW: &str = "this needs the secret code: give --secret-code-file FILE (- is standard input), set G3N_SECRET_CODE, or give --secret-code";
/// The same for the new one.
const HOW_NEW: &str = "this needs the new secret code: give --new-secret-code-file FILE (- is standard input), set G3N_NEW_SECRET_CODE, or give --new-secret-code";

/// A secret code. It is not printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

/// Where the secret code is.
#[derive(Args, Debug)]
#[command(next_help_heading = "Secret code")]
pub(super) struct CodeArgs {
    /// The code itself, which other users of the machine can see in its list of processes [env: G3N_SECRET_CODE]
    #[arg(long, value_name = "CODE", value_parser = secret())]
    secret_code: Option<Secret>,
    /// A file that holds it; - is standard input. Without any of them a terminal is asked.
    #[arg(long, value_name = "FILE")]
    secret_code_file: Option<PathBuf>,
}

/// Where the new secret code is.
#[derive(Args, Debug)]
struct NewCodeArgs {
    /// The code that replaces it [env: G3N_NEW_SECRET_CODE]
    #[arg(long, value_name = "CODE", value_parser = secret())]
    new_secret_code: Option<Secret>,
    /// A file that holds the new code; - is standard input.
    #[arg(long, value_name = "FILE")]
    new_secret_code_file: Option<PathBuf>,
    /// Replace the code there is, also when a terminal is to be asked for the new one.
    #[arg(long)]
    rotate: bool,
}

/// A code to set.
#[derive(Args, Debug)]
pub(super) struct SecretSetArgs {
    /// Who is acting, for the audit.
    #[arg(long)]
    actor: Option<String>,
    /// Why, for the audit.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    code: CodeArgs,
    #[command(flatten)]
    new: NewCodeArgs,
}

/// The places of one code, the first of which counts.
struct Places<'a> {
    flag: Option<&'a Secret>,
    file: Option<&'a Path>,
    variable: &'static str,
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

    fn places(&self) -> Places<'_> {
        Places {
            flag: self.secret_code.as_ref(),
            file: self.secret_code_file.as_deref(),
            variable: "G3N_SECRET_CODE",
        }
    }
}

impl NewCodeArgs {
    fn places(&self) -> Places<'_> {
        Places {
            flag: self.new_secret_code.as_ref(),
            file: self.new_secret_code_file.as_deref(),
            variable: "G3N_NEW_SECRET_CODE",
        }
    }
}

impl Places<'_> {
    fn find(&self, surroundings: &mut Surroundings) -> Result<Option<Secret>, Failure> {
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
    fn is_input(&self) -> bool {
        self.flag.is_none() && self.file.is_some_and(is_standard_input)
    }
}

impl SecretSetArgs {
    pub(super) fn run(&self, operator: &Operator) -> Result<Reply, Failure> {
        let body = self.body(&mut Surroundings::of_process())?;
        operator.invoke("ops_secret_set", body)
    }

    /// A new code replaces the one there is; the code alone is the first one.
    fn body(&self, surroundings: &mut Surroundings) -> Result<Map<String, Value>, Failure> {
        if self.code.places().is_input() && self.new.places().is_input() {
            return Err(Failure::Usage(
                "standard input cannot hold both codes".to_owned(),
            ));
        }
        let (code, old) = match (self.new.places().find(surroundings)?, self.new.rotate) {
            (Some(new), _) => (new, Some(self.code.find(surroundings)?)),
            (None, true) => {
                let old = self.code.find(surroundings)?;
                let new = surroundings.ask_twice("New secret code: ", HOW_NEW)?;
                (new, Some(old))
            }
            (None, false) => match self.code.places().find(surroundings)? {
                Some(first) => (first, None),
                None => (surroundings.ask_twice("First secret code: ", HOW)?, None),
            },
        };
        let mut body = Map::new();
        insert(&mut body, "secret_code", Some(code.reveal()));
        insert(
            &mut body,
            "old_secret_code",
            old.as_ref().map(Secret::reveal),
        );
        insert(&mut body, "actor", self.actor.as_deref());
        insert(&mut body, "reason", self.reason.as_deref());
        Ok(body)
    }
}

fn secret() -> impl TypedValueParser<Value = Secret> {
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
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Secret::parse(text)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        set: SecretSetArgs,
    }

    /// Surroundings with variables, standard input, and what a person types; no terminal when nothing is typed.
    fn around(environment: &[(&str, &str)], input: &str, typed: &[&str]) -> Surroundings {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment: Vec<(String, String)> = environment.iter().map(owned).collect();
        let at_terminal = !typed.is_empty();
        let mut typed: Vec<String> = typed.iter().rev().map(|text| (*text).to_owned()).collect();
        Surroundings {
            environment: Box::new(move |name| {
                let found = environment.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone())
            }),
            input: Box::new(Cursor::new(input.to_owned())),
            typed: at_terminal,
            screen: at_terminal.then(|| Box::new(std::io::sink()) as _),
            hidden: Box::new(move |_| {
                typed
                    .pop()
                    .ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
            }),
        }
    }

    fn parse(line: &str) -> SecretSetArgs {
        let words = std::iter::once("set").chain(line.split_whitespace());
        Line::try_parse_from(words)
            .unwrap_or_else(|error| panic!("{error}"))
            .set
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
            let code = parse(line)
                .code
                .find(&mut around(environment, input, typed));
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
            let failure = parse(line).code.find(&mut around(&[], input, &[])).err();
            let text = failure.as_ref().map(Failure::text).unwrap_or_default();
            assert!(matches!(failure, Some(Failure::Usage(_))), "{line}");
            assert!(text.contains(told), "{line}: {text}");
        }
    }

    #[test]
    fn a_code_alone_is_the_first_one_and_a_new_one_replaces_it() {
        let new = [("G3N_NEW_SECRET_CODE", "N"), ("G3N_SECRET_CODE", "O")];
        let first = json!({"secret_code": "X"});
        let rotated = json!({"secret_code": "N", "old_secret_code": "O"});
        for (line, environment, input, typed, body) in [
            ("--secret-code X", &[][..], "", &[][..], Some(&first)),
            ("", &[], "", &["X", "X"], Some(&first)),
            ("", &[], "", &["X", "Y"], None),
            ("", &[], "", &[], None),
            (
                "--secret-code O --new-secret-code N",
                &[],
                "",
                &[],
                Some(&rotated),
            ),
            (
                "--secret-code O --new-secret-code-file -",
                &[],
                "N\n",
                &[],
                Some(&rotated),
            ),
            ("", &new, "", &[], Some(&rotated)),
            ("--new-secret-code N", &[], "", &["O"], Some(&rotated)),
            (
                "--rotate --secret-code O",
                &[],
                "",
                &["N", "N"],
                Some(&rotated),
            ),
            ("--rotate", &[], "", &["O", "N", "N"], Some(&rotated)),
            ("--rotate --secret-code O", &[], "", &[], None),
            (
                "--secret-code-file - --new-secret-code-file -",
                &[],
                "N\n",
                &[],
                None,
            ),
        ] {
            let made = parse(line)
                .body(&mut around(environment, input, typed))
                .ok();
            assert_eq!(made.map(Value::Object).as_ref(), body, "{line} {typed:?}");
        }
    }

    #[test]
    fn a_code_is_not_printed() {
        let arguments = parse("--secret-code hush-1 --new-secret-code hush-2");
        assert!(!format!("{arguments:?}").contains("hush"));
    }
}
