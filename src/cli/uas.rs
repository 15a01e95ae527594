//! `g3n uas`: users.

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::bare::BareArgs;
use super::failure::Failure;
use super::mrs::insert;
use super::operator::invoke;
use super::output::{Exit, Printer};
use super::passcode::PasscodeArgs;
use super::profile::Profile;
use super::remarks::RemarkArgs;
use super::surroundings::Surroundings;
use crate::client::{Client, Credential, Reply};

/// People who sign in.
#[derive(Args, Debug)]
pub struct UasArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Show what there is of yourself: your orgs, your roles, and how many sessions are open.
    #[command(after_help = "Example:\n  g3n uas stat --email ann@example.com")]
    Stat(StatArgs),
    /// Make a user (operators).
    ///
    /// A terminal is asked for the new passcode twice: 12 to 128 characters.
    #[command(
        after_help = "Examples:\n  g3n uas user-create --email ann@example.com\n  g3n uas user-create --email ann@example.com --passcode-file passcode.txt --unverified"
    )]
    UserCreate(CreateArgs),
}

/// Who asks about themselves.
#[derive(Args, Debug)]
struct StatArgs {
    /// The e-mail address.
    #[arg(long)]
    email: String,
    #[command(flatten)]
    passcode: PasscodeArgs,
}

/// A user to make.
#[derive(Args, Debug)]
struct CreateArgs {
    /// The e-mail address to sign in with.
    #[arg(long)]
    email: String,
    #[command(flatten)]
    passcode: PasscodeArgs,
    /// The address is not known to be the user's yet: signing in is refused until it is.
    #[arg(long)]
    unverified: bool,
    #[command(flatten)]
    remarks: RemarkArgs,
    #[command(flatten)]
    bare: BareArgs,
}

/// Runs one verb.
///
/// # Errors
/// Whatever keeps it from being done.
pub(super) fn run(
    arguments: &UasArgs,
    profile: &Profile,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let mut surroundings = Surroundings::of_process();
    match &arguments.verb {
        Verb::Stat(arguments) => {
            let body = arguments.body(&mut surroundings)?;
            let client = Client::new(&profile.base_url.value, Credential::None);
            Ok(printer.reply(&client.uas_stat(&body)?))
        }
        Verb::UserCreate(arguments) => {
            let made = arguments.make(profile, &mut surroundings);
            arguments.bare.tell(printer, "user_id", made)
        }
    }
}

impl StatArgs {
    fn body(&self, surroundings: &mut Surroundings) -> Result<Value, Failure> {
        let passcode = self.passcode.find(surroundings)?;
        let mut body = Map::new();
        insert(&mut body, "email", Some(self.email.as_str()));
        insert(&mut body, "passcode", Some(passcode.reveal()));
        Ok(Value::Object(body))
    }
}

impl CreateArgs {
    fn make(&self, profile: &Profile, surroundings: &mut Surroundings) -> Result<Reply, Failure> {
        invoke(profile, "uas_user_create", self.body(surroundings)?)
    }

    fn body(&self, surroundings: &mut Surroundings) -> Result<Map<String, Value>, Failure> {
        let passcode = self.passcode.find_new(surroundings)?;
        let mut body = Map::new();
        insert(&mut body, "email", Some(self.email.as_str()));
        insert(&mut body, "passcode", Some(passcode.reveal()));
        insert(&mut body, "verified", self.unverified.then_some(false));
        Ok(self.remarks.sign(body))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    enum Line {
        Stat(StatArgs),
        Create(CreateArgs),
    }

    #[test]
    fn a_body_holds_what_was_said_and_a_new_passcode_is_typed_twice() {
        for (line, typed, sent) in [
            (
                "stat --email a@example.com",
                &["P"][..],
                Some(json!({"email": "a@example.com", "passcode": "P"})),
            ),
            (
                "create --email a@example.com",
                &["P", "P"],
                Some(json!({"email": "a@example.com", "passcode": "P"})),
            ),
            (
                "create --email a@example.com --unverified --actor ann",
                &["P", "P"],
                Some(
                    json!({"email": "a@example.com", "passcode": "P", "verified": false, "actor": "ann"}),
                ),
            ),
            ("create --email a@example.com", &["P", "Q"], None),
        ] {
            let words = std::iter::once("uas").chain(line.split(' '));
            let mut around = Surroundings::made_up(&[], "", typed);
            let body = match Line::try_parse_from(words).expect(line) {
                Line::Stat(arguments) => arguments.body(&mut around),
                Line::Create(arguments) => arguments.body(&mut around).map(Value::Object),
            };
            assert_eq!(body.ok(), sent, "{line}");
        }
    }
}
