//! A user's passcode, and where a verb finds it.

use std::path::PathBuf;

use clap::Args;

use super::cli_env::CliEnv;
use super::failure::Failure;
use super::secret::{Secret, secret};
use super::secret_source::SecretSource;

/// The heading of the flags in help.
pub(super) const HEADING: &str = "Passcode";
/// How to give the passcode where nobody can be asked for it.
const HOW: &str = "this needs the passcode; give --passcode-file FILE (- is standard input), set G3N_PASSCODE, or give --passcode";

/// How to give a new passcode, for an error.
const HOW_NEW: &str = "this needs the new passcode; give --new-passcode-file FILE (- is standard input), or set G3N_NEW_PASSCODE";

/// Where the passcode is.
#[derive(Args, Debug)]
pub(super) struct PasscodeArgs {
    /// The passcode itself. Other users of the machine can see it in the process list [env: G3N_PASSCODE]
    #[arg(long, value_name = "PASSCODE", help_heading = HEADING, value_parser = secret())]
    passcode: Option<Secret>,
    /// A file that holds the passcode; - is standard input. Without a flag and the variable it is asked for at a terminal.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    passcode_file: Option<PathBuf>,
}

/// Where a passcode is that is to take the place of another.
#[derive(Args, Debug)]
pub(super) struct NewPasscodeArgs {
    /// A file that holds the new passcode. Without it, and without G3N_NEW_PASSCODE, it is asked for twice at a
    /// terminal.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    new_passcode_file: Option<PathBuf>,
}

impl NewPasscodeArgs {
    /// The new passcode.
    ///
    /// # Errors
    /// As [`PasscodeArgs::find`].
    pub(super) fn find(&self, env: &mut CliEnv) -> Result<Secret, Failure> {
        let places = SecretSource {
            what: "new passcode",
            flag: None,
            file: self.new_passcode_file.as_deref(),
            variable: Some("G3N_NEW_PASSCODE"),
        };
        match places.find(env)? {
            Some(passcode) => Ok(passcode),
            None => env.ask_twice("New passcode: ", HOW_NEW),
        }
    }
}

impl PasscodeArgs {
    /// The passcode there is.
    ///
    /// # Errors
    /// [`Failure`] when its place cannot be read, or there is none and nobody can be asked.
    pub(super) fn find(&self, env: &mut CliEnv) -> Result<Secret, Failure> {
        match self.places().find(env)? {
            Some(passcode) => Ok(passcode),
            None => env.ask("Passcode: ", HOW),
        }
    }

    /// Whether a flag names it.
    pub(super) fn is_given(&self) -> bool {
        self.passcode.is_some() || self.passcode_file.is_some()
    }

    /// A new passcode: who types it types it twice.
    ///
    /// # Errors
    /// As [`PasscodeArgs::find`].
    pub(super) fn find_new(&self, env: &mut CliEnv) -> Result<Secret, Failure> {
        match self.places().find(env)? {
            Some(passcode) => Ok(passcode),
            None => env.ask_twice("New passcode: ", HOW),
        }
    }

    fn places(&self) -> SecretSource<'_> {
        SecretSource {
            what: "passcode",
            flag: self.passcode.as_ref(),
            file: self.passcode_file.as_deref(),
            variable: Some("G3N_PASSCODE"),
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
        passcode: PasscodeArgs,
    }

    fn parse(line: &str) -> PasscodeArgs {
        let words = std::iter::once("usm").chain(line.split_whitespace());
        Line::try_parse_from(words).expect(line).passcode
    }

    #[test]
    fn a_passcode_is_typed_once_to_sign_in_and_twice_when_it_is_new() {
        let variable = [("G3N_PASSCODE", "from-variable")];
        for (line, environment, input, typed, found, new) in [
            (
                "--passcode P",
                &variable[..],
                "",
                &[][..],
                Some("P"),
                Some("P"),
            ),
            (
                "--passcode-file -",
                &variable,
                "I\r\n",
                &[],
                Some("I"),
                Some("I"),
            ),
            (
                "",
                &variable,
                "",
                &[],
                Some("from-variable"),
                Some("from-variable"),
            ),
            ("", &[], "", &["T", "T"], Some("T"), Some("T")),
            ("", &[], "", &["T", "U"], Some("T"), None),
            ("", &[], "unread", &[], None, None),
            ("--passcode-file -", &variable, "\n", &[], None, None),
        ] {
            let arguments = parse(line);
            let around = || CliEnv::made_up(environment, input, typed);
            let told =
                |told: Result<Secret, Failure>| told.ok().map(|told| told.reveal().to_owned());
            assert_eq!(
                told(arguments.find(&mut around())).as_deref(),
                found,
                "{line}"
            );
            assert_eq!(
                told(arguments.find_new(&mut around())).as_deref(),
                new,
                "{line}"
            );
        }
    }

    #[test]
    fn a_passcode_is_not_printed() {
        let printed = format!("{:?}", parse("--passcode hush"));
        assert!(!printed.contains("hush"), "{printed}");
    }
}
