//! The operators' secret code, and where a verb finds it.

use std::path::PathBuf;

use clap::Args;

use crate::cli::cli_env::CliEnv;
use crate::cli::failure::Failure;
use crate::cli::secret::{Secret, secret};
use crate::cli::secret_source::SecretSource;

/// The heading of the flags in help.
pub(super) const HEADING: &str = "Secret code";
/// How to give the code where nobody can be asked for it.
pub(super) const HOW: &str = "this needs the secret code: give --secret-code-file FILE (- is standard input), set G3N_SECRET_CODE, or give --secret-code";

/// Where the secret code is.
#[derive(Args, Debug)]
pub(in crate::cli) struct CodeArgs {
    /// The secret code itself. Other users of the machine can see it in the process list [env: G3N_SECRET_CODE]
    #[arg(long, value_name = "CODE", help_heading = HEADING, value_parser = secret())]
    secret_code: Option<Secret>,
    /// A file that holds the secret code; - is standard input. Without a flag and the variable it is asked for at a terminal.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    secret_code_file: Option<PathBuf>,
}

impl CodeArgs {
    /// The code there is.
    ///
    /// # Errors
    /// [`Failure`] when its place cannot be read, or there is none and nobody can be asked.
    pub(in crate::cli) fn find(&self, env: &mut CliEnv) -> Result<Secret, Failure> {
        match self.places().find(env)? {
            Some(code) => Ok(code),
            None => env.ask("Secret code: ", HOW),
        }
    }

    /// The places without a terminal.
    pub(super) fn places(&self) -> SecretSource<'_> {
        SecretSource {
            what: "secret code",
            flag: self.secret_code.as_ref(),
            file: self.secret_code_file.as_deref(),
            variable: Some("G3N_SECRET_CODE"),
        }
    }
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
        let broken = [("G3N_SECRET_CODE", "from-variable\r\n")];
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
            ("", &broken, "unread", "unasked", "from-variable"),
            ("", &[], "unread", "from-terminal", "from-terminal"),
        ] {
            let typed: &[&str] = if typed.is_empty() { &[] } else { &[typed] };
            let code = parse(line).find(&mut CliEnv::made_up(environment, input, typed));
            assert_eq!(code.expect(line).reveal(), found, "{line}");
        }
    }

    #[test]
    fn an_empty_variable_is_named_and_nobody_is_asked() {
        for text in ["", "\n", "\r\n"] {
            let environment = [("G3N_SECRET_CODE", text)];
            let mut env = CliEnv::made_up(&environment, "", &["typed"]);
            let failure = parse("").find(&mut env).err();
            let told = failure.as_ref().map(Failure::text).unwrap_or_default();
            assert!(told.contains("G3N_SECRET_CODE"), "{text:?}: {told}");
        }
    }

    #[test]
    fn a_missing_code_is_a_usage_failure_with_advice() {
        for (line, input, told) in [
            ("", "unread", "G3N_SECRET_CODE"),
            ("--secret-code-file -", "", "empty"),
            ("--secret-code-file -", "\n", "empty"),
            (
                "--secret-code-file -",
                &"x".repeat(5000),
                "contains no secret code",
            ),
        ] {
            let failure = parse(line)
                .find(&mut CliEnv::made_up(&[], input, &[]))
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
