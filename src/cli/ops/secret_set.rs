//! `g3n ops secret-set`: the first secret code, or one in place of another.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value};

use super::Operator;
use super::code::{CodeArgs, HEADING, HOW};
use crate::cli::args::{RemarkArgs, insert, with};
use crate::cli::cli_env::CliEnv;
use crate::cli::failure::Failure;
use crate::cli::secret::{Secret, secret};
use crate::cli::secret_source::SecretSource;
use crate::client::Reply;

/// How to give the new code where nobody can be asked for it.
const HOW_NEW: &str = "this needs the new secret code: give --new-secret-code-file FILE (- is standard input), set G3N_NEW_SECRET_CODE, or give --new-secret-code";

/// Asks for the first code.
const FIRST: &str = "First secret code: ";

/// Where the new secret code is.
#[derive(Args, Debug)]
struct NewCodeArgs {
    /// The new code [env: G3N_NEW_SECRET_CODE]
    #[arg(long, value_name = "CODE", help_heading = HEADING, value_parser = secret())]
    new_secret_code: Option<Secret>,
    /// A file that holds the new code; - is standard input.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    new_secret_code_file: Option<PathBuf>,
    /// Replace the current code, also when the new one is asked for at a terminal.
    #[arg(long, help_heading = HEADING)]
    rotate: bool,
}

/// A code to set.
#[derive(Args, Debug)]
pub(super) struct SecretSetArgs {
    #[command(flatten)]
    remarks: RemarkArgs,
    #[command(flatten)]
    code: CodeArgs,
    #[command(flatten)]
    new: NewCodeArgs,
}

impl SecretSetArgs {
    pub(super) fn run(&self, operator: &Operator) -> Result<Reply, Failure> {
        let body = self.body(&mut CliEnv::of_process(), &|| is_set(operator))?;
        operator.invoke("ops_secret_set", body)
    }

    /// A new code replaces the one there is; the code alone is the first one. Nobody is asked for a first code where there is one.
    fn body(
        &self,
        env: &mut CliEnv,
        is_set: &dyn Fn() -> Result<bool, Failure>,
    ) -> Result<Map<String, Value>, Failure> {
        if self.code.places().is_input() && self.new.places().is_input() {
            return Err(Failure::Usage(
                "standard input cannot hold both codes".to_owned(),
            ));
        }
        let (code, old) = match self.new.places().find(env)? {
            Some(new) => (new, Some(self.code.find(env)?)),
            None if self.new.rotate => {
                let old = self.code.find(env)?;
                let new = env.ask_twice("New secret code: ", HOW_NEW)?;
                (new, Some(old))
            }
            None => match self.code.places().find(env)? {
                Some(first) => (first, None),
                None if env.typed && is_set()? => {
                    return Err(Failure::InTheWay {
                        tag: "secret-code-set",
                        message: "a secret code is set already; replace it with `g3n ops secret-set --rotate`".to_owned(),
                    });
                }
                None => (env.ask_twice(FIRST, HOW)?, None),
            },
        };
        let mut body = Map::new();
        insert(&mut body, "secret_code", Some(code.reveal()));
        insert(
            &mut body,
            "old_secret_code",
            old.as_ref().map(Secret::reveal),
        );
        Ok(with(body, &self.remarks))
    }
}

/// Whether the server has a secret code. One that does not know the question is asked when the code is sent.
fn is_set(operator: &Operator) -> Result<bool, Failure> {
    let reply = operator.invoke("ops_secret_status", Map::new())?;
    match reply.tag() {
        Some("not-found") => Ok(false),
        Some(_) => Err(Failure::Refused(Box::new(reply))),
        None => Ok(reply.data()["set"] == true),
    }
}

impl NewCodeArgs {
    fn places(&self) -> SecretSource<'_> {
        SecretSource {
            what: "secret code",
            flag: self.new_secret_code.as_ref(),
            file: self.new_secret_code_file.as_deref(),
            variable: Some("G3N_NEW_SECRET_CODE"),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        set: SecretSetArgs,
    }

    fn parse(line: &str) -> SecretSetArgs {
        let words = std::iter::once("ops").chain(line.split_whitespace());
        Line::try_parse_from(words)
            .unwrap_or_else(|error| panic!("{error}"))
            .set
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
                .body(&mut CliEnv::made_up(environment, input, typed), &|| {
                    Ok(false)
                })
                .ok();
            assert_eq!(made.map(Value::Object).as_ref(), body, "{line} {typed:?}");
        }
    }

    #[test]
    fn nobody_types_a_first_code_where_there_is_one() {
        let mut unasked = CliEnv::made_up(&[], "", &["X", "X"]);
        let failure = parse("").body(&mut unasked, &|| Ok(true)).err();
        let told = failure.map(|failure| failure.text()).unwrap_or_default();
        assert!(told.contains("--rotate"), "{told}");
        assert_eq!(
            unasked
                .ask("next: ", HOW)
                .map(|code| code.reveal().to_owned())
                .ok(),
            Some("X".to_owned())
        );
        let rotated = parse("--rotate")
            .body(&mut CliEnv::made_up(&[], "", &["O", "N", "N"]), &|| {
                Ok(true)
            });
        assert!(rotated.is_ok());
    }
}
