//! `g3n uas`: users.

mod erase;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Map, Value};

use super::args::{MakeArgs, RemarkArgs, insert, with};
use super::bare::BareArgs;
use super::call::invoke;
use super::cli_env::CliEnv;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Printer;
use super::pages::PageArgs;
use super::passcode::{NewPasscodeArgs, PasscodeArgs};
use super::profile::Profile;
use crate::client::Reply;

/// People who sign in.
#[derive(Args, Debug)]
pub struct UasArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Show your own user: orgs, roles, and the number of open sessions.
    ///
    /// By default the user whose session it is; with --email the one who has that address and the passcode.
    #[command(
        after_help = "Examples:\n  g3n uas stat\n  g3n uas stat --email ann@example.com --passcode-file passcode.txt"
    )]
    Stat(StatArgs),
    /// Create a user (operators).
    ///
    /// At a terminal it asks twice for the new passcode, of 12 to 128 characters.
    #[command(
        after_help = "Examples:\n  g3n uas user-create --email ann@example.com\n  g3n uas user-create --email ann@example.com --passcode-file passcode.txt --unverified"
    )]
    UserCreate(CreateArgs),
    /// Change your passcode; your other sessions end.
    ///
    /// At a terminal it asks for the old one, and twice for the new one: 12 to 128 characters.
    #[command(
        after_help = "Examples:\n  g3n uas passcode-change\n  g3n uas passcode-change --passcode-file old.txt --new-passcode-file new.txt"
    )]
    PasscodeChange(ChangeArgs),
    /// Show a user (operators).
    #[command(after_help = "Example:\n  g3n uas user-get --email ann@example.com")]
    UserGet(UserArgs),
    /// List the users of the server, one page at a time (operators).
    #[command(
        after_help = "Examples:\n  g3n uas user-list --limit 50 --output table\n  g3n uas user-list --status disabled --all\n  g3n uas user-list --prefix ann@"
    )]
    UserList(UserListArgs),
    /// Disable a user, and end the user's sessions (operators).
    #[command(
        after_help = "Example:\n  g3n uas user-disable --email ann@example.com --reason \"left the company\""
    )]
    UserDisable(UserArgs),
    /// Enable a disabled user (operators).
    #[command(after_help = "Example:\n  g3n uas user-enable --email ann@example.com")]
    UserEnable(UserArgs),
    /// Mark a user's e-mail address as verified, so that the user can sign in (operators).
    #[command(after_help = "Example:\n  g3n uas user-verify --email ann@example.com")]
    UserVerify(UserArgs),
    /// Set a new passcode for a user, and end the user's sessions (operators).
    ///
    /// At a terminal it asks twice for the new passcode, of 12 to 128 characters.
    #[command(
        after_help = "Examples:\n  g3n uas passcode-reset --email ann@example.com\n  g3n uas passcode-reset --email ann@example.com --passcode-file passcode.txt"
    )]
    PasscodeReset(ResetArgs),
    /// Reset the count of wrong passcodes for a user, so that the user can sign in again at once (operators).
    ///
    /// With --address, wrong passcodes from other addresses no longer lock the user out at this one.
    #[command(
        after_help = "Examples:\n  g3n uas lock-lift --email ann@example.com\n  g3n uas lock-lift --email ann@example.com --address 203.0.113.7"
    )]
    LockLift(LiftArgs),
    /// Erase a user for good: the e-mail address, the passcode's hash, the sessions (operators).
    ///
    /// The user is removed from every org first. Events of what the user did in an org stay, under the user id.
    #[command(
        after_help = "Examples:\n  g3n uas user-erase --secret-code-file code.txt --email ann@example.com --reason \"request 12\" --dry-run\n  g3n uas user-erase --secret-code-file code.txt --email ann@example.com --reason \"request 12\" --watch"
    )]
    UserErase(erase::EraseArgs),
}

#[derive(Args, Debug, Serialize)]
pub(super) struct UserArgs {
    #[command(flatten)]
    #[serde(flatten)]
    user: NamedArgs,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: RemarkArgs,
}

/// A user, one way or the other.
#[derive(Args, Debug, Serialize)]
#[group(required = true, multiple = false)]
pub(super) struct NamedArgs {
    /// The user's e-mail address.
    #[arg(long)]
    pub(super) email: Option<String>,
    /// The id of the user, instead of the address.
    #[arg(long, value_name = "ID")]
    pub(super) user_id: Option<String>,
}

/// A user who gets another passcode.
#[derive(Args, Debug, Serialize)]
struct ResetArgs {
    #[command(flatten)]
    #[serde(flatten)]
    user: UserArgs,
    #[command(flatten)]
    #[serde(skip)]
    passcode: PasscodeArgs,
}

/// A user who is let in again.
#[derive(Args, Debug, Serialize)]
struct LiftArgs {
    #[command(flatten)]
    #[serde(flatten)]
    user: UserArgs,
    /// The IP address that the user signs in from.
    #[arg(long, value_name = "IP")]
    address: Option<String>,
}

/// A passcode in place of one's own.
#[derive(Args, Debug)]
struct ChangeArgs {
    #[command(flatten)]
    passcode: PasscodeArgs,
    #[command(flatten)]
    new: NewPasscodeArgs,
    #[command(flatten)]
    remarks: RemarkArgs,
}

/// The caller's own credentials, unless there is a session.
#[derive(Args, Debug)]
struct StatArgs {
    /// The e-mail address of a user without a session; needs the passcode.
    #[arg(long)]
    email: Option<String>,
    #[command(flatten)]
    passcode: PasscodeArgs,
}

/// A user to make.
#[derive(Args, Debug, Serialize)]
struct CreateArgs {
    /// The e-mail address to sign in with.
    #[arg(long)]
    email: String,
    #[command(flatten)]
    #[serde(skip)]
    passcode: PasscodeArgs,
    /// Create the user with an unverified e-mail address: signing in is refused until g3n uas user-verify.
    #[arg(long)]
    #[serde(skip)]
    unverified: bool,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: MakeArgs,
    #[command(flatten)]
    #[serde(skip)]
    bare: BareArgs,
}

/// Which users to list, and how many at a time.
#[derive(Args, Debug, Serialize)]
struct UserListArgs {
    /// Only users in this status: active ones have confirmed their address, and are not disabled.
    #[arg(long, value_parser = ["active", "unverified", "disabled"])]
    status: Option<String>,
    /// Only users whose e-mail address begins with this.
    #[arg(long)]
    prefix: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    page: PageArgs,
}

/// Runs one verb.
///
/// # Errors
/// The [`Failure`] of the verb.
pub(super) fn run(
    arguments: &UasArgs,
    profile: &Profile,
    printer: &Printer,
) -> Result<Exit, Failure> {
    // Standard input can be held once at a time, so only by the verb that asks.
    let env = CliEnv::of_process;
    match &arguments.verb {
        Verb::Stat(arguments) => {
            let reply = match arguments.body(&mut env())? {
                Some(body) => profile.anyone().uas_stat(&body)?,
                None => profile.gateway().uas_stat_of_session(&[])?,
            };
            Ok(printer.reply(&reply))
        }
        Verb::UserErase(arguments) => arguments.run(profile, printer),
        Verb::UserCreate(arguments) => {
            let made = arguments.make(profile, &mut env());
            arguments.bare.tell(printer, "user_id", made)
        }
        Verb::PasscodeChange(arguments) => {
            let body = arguments.body(&mut env())?;
            let client = profile.gateway();
            Ok(printer.reply(&client.passcode_change(&body)?))
        }
        Verb::UserGet(user) => show(
            printer,
            invoke(profile, "uas_user_get", with(Map::new(), user))?,
        ),
        Verb::UserList(arguments) => {
            arguments
                .page
                .list(printer, with(Map::new(), arguments), &|said| {
                    invoke(profile, "uas_user_list", said.clone())
                })
        }
        Verb::UserDisable(user) => show(
            printer,
            invoke(profile, "uas_user_disable", with(Map::new(), user))?,
        ),
        Verb::UserVerify(user) => show(
            printer,
            invoke(profile, "uas_user_verify", with(Map::new(), user))?,
        ),
        Verb::UserEnable(user) => show(
            printer,
            invoke(profile, "uas_user_enable", with(Map::new(), user))?,
        ),
        Verb::PasscodeReset(arguments) => {
            let body = arguments.body(&mut env())?;
            show(printer, invoke(profile, "uas_passcode_reset", body)?)
        }
        Verb::LockLift(arguments) => show(
            printer,
            invoke(profile, "uas_lock_lift", with(Map::new(), arguments))?,
        ),
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "a verb's last step, beside others that can fail"
)]
fn show(printer: &Printer, reply: Reply) -> Result<Exit, Failure> {
    Ok(printer.reply(&reply))
}

impl ResetArgs {
    fn body(&self, env: &mut CliEnv) -> Result<Map<String, Value>, Failure> {
        let mut body = with(Map::new(), self);
        let passcode = self.passcode.find_new(env)?;
        insert(&mut body, "passcode", Some(passcode.reveal()));
        Ok(body)
    }
}

impl ChangeArgs {
    fn body(&self, env: &mut CliEnv) -> Result<Value, Failure> {
        let old = self.passcode.find(env)?;
        let new = self.new.find(env)?;
        let mut body = Map::new();
        insert(&mut body, "passcode", Some(old.reveal()));
        insert(&mut body, "new_passcode", Some(new.reveal()));
        Ok(Value::Object(with(body, &self.remarks)))
    }
}

impl StatArgs {
    /// What proves who it is; nothing when the session does.
    fn body(&self, env: &mut CliEnv) -> Result<Option<Value>, Failure> {
        let Some(email) = &self.email else {
            if self.passcode.is_given() {
                let message = "a passcode alone names nobody: give --email too";
                return Err(Failure::Usage(message.to_owned()));
            }
            return Ok(None);
        };
        let passcode = self.passcode.find(env)?;
        let mut body = Map::new();
        insert(&mut body, "email", Some(email));
        insert(&mut body, "passcode", Some(passcode.reveal()));
        Ok(Some(Value::Object(body)))
    }
}

impl CreateArgs {
    fn make(&self, profile: &Profile, env: &mut CliEnv) -> Result<Reply, Failure> {
        invoke(profile, "uas_user_create", self.body(env)?)
    }

    fn body(&self, env: &mut CliEnv) -> Result<Map<String, Value>, Failure> {
        let passcode = self.passcode.find_new(env)?;
        let mut body = with(Map::new(), self);
        insert(&mut body, "passcode", Some(passcode.reveal()));
        insert(&mut body, "verified", self.unverified.then_some(false));
        Ok(body)
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
        Change(ChangeArgs),
        Reset(ResetArgs),
        Lift(LiftArgs),
    }

    #[test]
    fn a_body_holds_what_was_said_and_a_new_passcode_is_typed_twice() {
        for (line, typed, sent) in [
            (
                "stat --email a@example.com",
                &["P"][..],
                Some(json!({"email": "a@example.com", "passcode": "P"})),
            ),
            ("stat", &[], Some(Value::Null)),
            ("stat --passcode P", &[], None),
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
            (
                "change --reason yearly",
                &["O", "N", "N"],
                Some(json!({"passcode": "O", "new_passcode": "N", "reason": "yearly"})),
            ),
            ("change", &["O", "N", "M"], None),
            (
                "reset --user-id U",
                &["P", "P"],
                Some(json!({"user_id": "U", "passcode": "P"})),
            ),
            (
                "lift --email a@example.com --address 203.0.113.7",
                &[],
                Some(json!({"email": "a@example.com", "address": "203.0.113.7"})),
            ),
        ] {
            let words = std::iter::once("uas").chain(line.split(' '));
            let mut around = CliEnv::made_up(&[], "", typed);
            let body = match Line::try_parse_from(words).expect(line) {
                Line::Stat(arguments) => arguments.body(&mut around).map(Option::unwrap_or_default),
                Line::Create(arguments) => arguments.body(&mut around).map(Value::Object),
                Line::Change(arguments) => arguments.body(&mut around),
                Line::Reset(arguments) => arguments.body(&mut around).map(Value::Object),
                Line::Lift(arguments) => Ok(Value::Object(with(Map::new(), &arguments))),
            };
            assert_eq!(body.ok(), sent, "{line}");
        }
    }
}
