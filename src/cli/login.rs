//! `g3n login` and `g3n logout`: a session that a profile keeps.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use super::args::{RemarkArgs, insert, with};
use super::cli_env::CliEnv;
use super::exit::Exit;
use super::failure::{Failure, granted};
use super::output::{Printer, ended};
use super::passcode::HEADING;
use super::profile::{Connection, KeptProfile, Profile};
use super::secret::Secret;
use super::secret_source::SecretSource;
use crate::client::{Client, CredentialKind, Reply};

/// How to give the passcode where nobody can be asked for it.
const HOW: &str = "signing in needs the passcode; give --passcode-file FILE (- is standard input), or set G3N_PASSCODE";

/// Who signs in, and how.
#[derive(Args, Debug)]
pub struct LoginArgs {
    /// The e-mail address. By default the one that the profile keeps of the last time.
    #[arg(long)]
    email: Option<String>,
    /// A file that holds the passcode; - is standard input. Without it, and without G3N_PASSCODE, it is asked for at a
    /// terminal.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    passcode_file: Option<PathBuf>,
    /// What to call the session.
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    remarks: RemarkArgs,
}

/// Why a session ends.
#[derive(Args, Debug)]
pub struct LogoutArgs {
    #[command(flatten)]
    remarks: RemarkArgs,
}

impl LoginArgs {
    /// Signs in, and keeps the session in the profile. Whatever fails, the profile is as it was.
    ///
    /// # Errors
    /// A file of profiles that cannot be used, no passcode, or the service's refusal.
    pub(super) fn run(&self, connection: &Connection, printer: &Printer) -> Result<Exit, Failure> {
        let profile = Profile::load_or_new(connection, &|name| std::env::var_os(name))?;
        let mut kept = KeptProfile::open(&profile)?;
        kept.check_base_url(&profile)?;
        let client = profile.anyone();
        let body = self.body(&kept, &mut CliEnv::of_process())?;
        let reply = granted(client.session_create(&body)?)?;
        let data = reply.data();
        let session = data["session_guid"].as_str().unwrap_or_default();
        kept.keep_connection(&profile);
        kept.set("email", body["email"].as_str().unwrap_or_default());
        kept.set("session_guid", session);
        if let Err(failure) = kept.save() {
            // Nobody would have the session: that it could not be kept is what is told.
            let _: Result<Reply, _> = client.session_close(&json!({"session_guid": session}));
            return Err(failure);
        }
        let facts = json!({
            "profile": kept.name(),
            "config": kept.path().display().to_string(),
            "base_url": profile.base_url.value,
            "user_id": data["user_id"],
            "email": body["email"],
            "expires_at": data["expires_at"],
        });
        let printed = printer.facts(&facts);
        if let Some(other) = profile.ahead_of_the_file() {
            let name = kept.name();
            say(&format!(
                "note: {other}, and takes precedence over the session of the profile {name}"
            ));
        }
        Ok(ended(printed, Exit::Success))
    }

    fn body(&self, kept: &KeptProfile, env: &mut CliEnv) -> Result<Value, Failure> {
        let email = self.email.clone().or_else(|| kept.get("email"));
        let nobody = || {
            Failure::Usage(format!(
                "who signs in? Give --email: the profile {} keeps no address yet",
                kept.name()
            ))
        };
        let email = email.ok_or_else(nobody)?;
        let passcode = self.passcode(env)?;
        let mut body = Map::new();
        insert(&mut body, "email", Some(email));
        insert(&mut body, "passcode", Some(passcode.reveal()));
        insert(&mut body, "session_label", self.label.as_deref());
        Ok(Value::Object(with(body, &self.remarks)))
    }

    fn passcode(&self, env: &mut CliEnv) -> Result<Secret, Failure> {
        let places = SecretSource {
            what: "passcode",
            flag: None,
            file: self.passcode_file.as_deref(),
            variable: Some("G3N_PASSCODE"),
        };
        match places.find(env)? {
            Some(passcode) => Ok(passcode),
            None => env.ask("Passcode: ", HOW),
        }
    }
}

impl LogoutArgs {
    /// Closes the profile's session at the server, and removes it from the profile. A session that the environment or a
    /// flag names is not touched.
    ///
    /// # Errors
    /// A profile without a session, or a server that does not answer: then the profile keeps it.
    pub(super) fn run(&self, connection: &Connection, printer: &Printer) -> Result<Exit, Failure> {
        let profile = Profile::load(connection, &|name| std::env::var_os(name))?;
        let mut kept = KeptProfile::open(&profile)?;
        let Some(session) = kept.get("session_guid") else {
            return Err(Failure::Usage(format!(
                "the profile {} in {} keeps no session; sign in with `g3n login`, or name another with --profile",
                kept.name(),
                kept.path().display()
            )));
        };
        // Where the session is from, whatever else is to be talked to now.
        let base_url = kept
            .get("base_url")
            .unwrap_or(profile.base_url.value.clone());
        let client = Client::trusting(&base_url, crate::client::Credential::None, profile.trust());
        let mut body = Map::new();
        insert(&mut body, "session_guid", Some(session));
        let reply = client.session_close(&Value::Object(with(body, &self.remarks)))?;
        let reply = reply.called_with(CredentialKind::Session);
        let ended_before = reply.tag() == Some("invalid-session");
        if !ended_before {
            granted(reply)?;
        }
        kept.remove("session_guid");
        kept.save()?;
        let facts = json!({
            "profile": kept.name(),
            "config": kept.path().display().to_string(),
            "base_url": base_url,
            "session": if ended_before { "had ended before" } else { "closed" },
        });
        Ok(ended(printer.facts(&facts), Exit::Success))
    }
}

fn say(text: &str) {
    // With standard error gone there is nobody left to tell.
    let _: io::Result<()> = writeln!(io::stderr().lock(), "{text}");
}
