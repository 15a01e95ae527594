//! `g3n usm session-create`, `session-validate` and `session-close`.

use clap::Args;
use serde_json::{Map, Value};

use super::SubjectArgs;
use crate::cli::args::{RemarkArgs, insert, with};
use crate::cli::bare::BareArgs;
use crate::cli::cli_env::CliEnv;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Printer;
use crate::cli::passcode::PasscodeArgs;
use crate::cli::profile::Profile;
use crate::client::{Client, Reply};

/// How to name the session where nobody can be asked for it.
const HOW: &str = "which session? Give --which-file FILE (- is standard input), set G3N_SESSION_GUID, or use a profile that has a session_guid";

/// A user who signs in.
#[derive(Args, Debug)]
pub(super) struct CreateArgs {
    /// The e-mail address.
    #[arg(long)]
    email: String,
    #[command(flatten)]
    passcode: PasscodeArgs,
    /// What to call the session.
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    remarks: RemarkArgs,
    #[command(flatten)]
    bare: BareArgs,
}

/// A session to check.
#[derive(Args, Debug)]
pub(super) struct WhichArgs {
    #[command(flatten)]
    subject: SubjectArgs,
}

/// A session to end.
#[derive(Args, Debug)]
pub(super) struct CloseArgs {
    #[command(flatten)]
    which: WhichArgs,
    #[command(flatten)]
    remarks: RemarkArgs,
}

impl CreateArgs {
    pub(super) fn run(&self, client: &Client, printer: &Printer) -> Result<Exit, Failure> {
        let made = self.sign_in(client);
        self.bare.tell_secret(printer, "session_guid", made)
    }

    fn sign_in(&self, client: &Client) -> Result<Reply, Failure> {
        let body = self.body(&mut CliEnv::of_process())?;
        Ok(client.session_create(&body)?)
    }

    fn body(&self, env: &mut CliEnv) -> Result<Value, Failure> {
        let passcode = self.passcode.find(env)?;
        let mut body = Map::new();
        insert(&mut body, "email", Some(self.email.as_str()));
        insert(&mut body, "passcode", Some(passcode.reveal()));
        insert(&mut body, "session_label", self.label.as_deref());
        Ok(Value::Object(with(body, &self.remarks)))
    }
}

impl WhichArgs {
    pub(super) fn body(&self, profile: &Profile) -> Result<Map<String, Value>, Failure> {
        let own = profile.session();
        let mut env = CliEnv::of_process();
        let session = self.subject.find("session", own, HOW, &mut env)?;
        let mut body = Map::new();
        insert(&mut body, "session_guid", Some(session.reveal()));
        Ok(body)
    }
}

impl CloseArgs {
    pub(super) fn body(&self, profile: &Profile) -> Result<Map<String, Value>, Failure> {
        Ok(with(self.which.body(profile)?, &self.remarks))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::cli::secret::Secret;

    #[derive(Parser)]
    enum Line {
        Create(CreateArgs),
        Which(WhichArgs),
    }

    #[test]
    fn who_signs_in_says_who_and_shows_the_passcode() {
        for (line, sent) in [
            (
                "create --email ann@example.com",
                json!({"email": "ann@example.com", "passcode": "P"}),
            ),
            (
                "create --email ann@example.com --label laptop --actor cron",
                json!({"email": "ann@example.com", "passcode": "P", "session_label": "laptop", "actor": "cron"}),
            ),
        ] {
            let words = std::iter::once("usm").chain(line.split(' '));
            let Ok(Line::Create(arguments)) = Line::try_parse_from(words) else {
                panic!("{line}");
            };
            let environment = [("G3N_PASSCODE", "P")];
            let body = arguments.body(&mut CliEnv::made_up(&environment, "", &[]));
            assert_eq!(body.expect(line), sent);
        }
    }

    #[test]
    fn a_session_comes_from_a_flag_the_profile_or_a_terminal() {
        for (line, own, input, typed, found) in [
            ("which --which W", Some("own"), "", &[][..], Some("W")),
            ("which --which-file -", Some("own"), "I\n", &[], Some("I")),
            ("which --which-file -", None, " I \r\n\n", &[], Some("I")),
            ("which --which-file -", None, " \n", &[], None),
            ("which", Some("own"), "unread", &["T"], Some("own")),
            ("which", None, "", &["T"], Some("T")),
            ("which", None, "unread", &[], None),
            ("which --which-file -", Some("own"), "", &[], None),
        ] {
            let words = std::iter::once("usm").chain(line.split(' '));
            let Ok(Line::Which(which)) = Line::try_parse_from(words) else {
                panic!("{line}");
            };
            assert!(!format!("{which:?}").contains("\"W\""));
            let mut around = CliEnv::made_up(&[], input, typed);
            let own = own.and_then(Secret::parse);
            let told = which.subject.find("session", own, HOW, &mut around).ok();
            assert_eq!(told.as_ref().map(Secret::reveal), found, "{line}");
        }
    }
}
