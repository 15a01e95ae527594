//! `g3n uas user-erase`.

use clap::Args;
use serde::Serialize;
use serde_json::Map;

use super::NamedArgs;
use crate::cli::args::with;
use crate::cli::bare::BareArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::ops::Operator;
use crate::cli::ops::vacuum::{RemovalArgs, watched};
use crate::cli::output::Printer;
use crate::cli::profile::Profile;

/// A user to erase.
#[derive(Args, Debug, Serialize)]
pub(super) struct EraseArgs {
    #[command(flatten)]
    #[serde(flatten)]
    user: NamedArgs,
    #[command(flatten)]
    #[serde(flatten)]
    removal: RemovalArgs,
    /// Erase the user although an org that the user belongs or belonged to has a legal hold.
    #[arg(long)]
    override_holds: bool,
    /// Wait for the end, with a bar on a terminal; exit 1 when it failed.
    #[arg(long, conflicts_with = "bare")]
    #[serde(skip)]
    watch: bool,
    #[command(flatten)]
    #[serde(skip)]
    bare: BareArgs,
}

impl EraseArgs {
    pub(super) fn run(&self, profile: &Profile, printer: &Printer) -> Result<Exit, Failure> {
        let operator = Operator::of(profile);
        let named = self.user.email.as_ref().or(self.user.user_id.as_ref());
        let named = named.map_or("", String::as_str);
        let what = format!("all data of the user {named} at {}", operator.address());
        let body = with(Map::new(), self);
        let made = self
            .removal
            .remove(&operator, "uas_user_erase", &what, body);
        match &made {
            Ok(reply) if self.watch && reply.is_success() => {
                watched(&operator, printer, reply.data()["vacuum_id"].as_str())
            }
            _ => self.bare.tell(printer, "vacuum_id", made),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        erase: EraseArgs,
    }

    #[test]
    fn a_body_holds_what_was_said_and_one_user_is_named() {
        let parse = |line: &str| {
            let words = std::iter::once("user-erase").chain(line.split(' '));
            Line::try_parse_from(words).map(|line| Value::Object(with(Map::new(), &line.erase)))
        };
        assert_eq!(
            parse("--email a@example.com --reason left --dry-run").expect("parsed"),
            json!({"email": "a@example.com", "reason": "left", "dry_run": true})
        );
        assert_eq!(
            parse("--user-id u-1 --reason left --override-holds --yes").expect("parsed"),
            json!({"user_id": "u-1", "reason": "left", "override_holds": true})
        );
        for bad in [
            "--reason left",
            "--email a --user-id b --reason left",
            "--email a",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
