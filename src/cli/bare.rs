//! What a verb prints that makes something: all of the answer, or only what a shell keeps in a variable.

use clap::Args;
use serde_json::Value;

use super::cli_env::CliEnv;
use super::exit::Exit;
use super::failure::Failure;
use super::output::{Printer, ended, print_line};
use super::table;
use crate::client::{Reply, TransportError};

/// How much is printed of what was made.
#[derive(Args, Debug)]
pub(super) struct BareArgs {
    /// Print only the id, guid, key or token that was made, for a shell's $(...), and nothing after an error.
    #[arg(long)]
    bare: bool,
}

impl BareArgs {
    /// Prints an answer, or only one text of it.
    ///
    /// # Errors
    /// The [`Failure`] in `made`, unless `--bare` was given, which prints it here.
    pub(super) fn tell(
        &self,
        printer: &Printer,
        name: &str,
        made: Result<Reply, Failure>,
    ) -> Result<Exit, Failure> {
        if !self.bare {
            return Ok(printer.reply(&made?));
        }
        // Standard output is for the one text alone.
        let printer = printer.without_envelopes();
        Ok(match made.and_then(|reply| alone(reply, name)) {
            Ok(text) => ended(print_line(&text), Exit::Success),
            Err(failure) => printer.failure(&failure),
        })
    }

    /// The same for an answer with a secret: a person is warned that it is shown only once.
    ///
    /// # Errors
    /// As [`BareArgs::tell`].
    pub(super) fn tell_secret(
        &self,
        printer: &Printer,
        name: &str,
        made: Result<Reply, Failure>,
    ) -> Result<Exit, Failure> {
        let exit = self.tell(printer, name, made)?;
        if exit == Exit::Success && !self.bare {
            let name = name.replace('_', " ");
            let text = format!("The {name} is shown only this once: store it now.");
            CliEnv::of_process().note(&text);
        }
        Ok(exit)
    }
}

/// Returns one text of a good answer: a member, or one of the first or the last item of a list, such as `items.first.key_id`.
fn alone(reply: Reply, name: &str) -> Result<String, Failure> {
    let reply = super::failure::granted(reply)?;
    let found = name
        .split('.')
        .try_fold(reply.data(), |value, name| match (value, name) {
            (Value::Array(items), "first") => items.first(),
            (Value::Array(items), "last") => items.last(),
            (value, name) => value.get(name),
        });
    let text = found.and_then(Value::as_str).map(table::clean);
    let status = reply.status;
    text.ok_or_else(|| TransportError::NotAnEnvelope { status }.into())
}
