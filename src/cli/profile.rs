//! Where the service is and who is calling: from flags, the environment, a profile and defaults, in this order.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};

use super::failure::{Failure, with_causes};
use super::output::Output;
use super::profile_file::{find_file, read_entry, read_token};
use super::secret::Secret;
use crate::client::{Client, Credential, Trust};

/// Where a server on this machine serves tenants.
const BASE_URL: &str = "http://127.0.0.1:8000";
/// Where it serves operators.
const OPERATOR_URL: &str = "http://127.0.0.1:8001";

/// Flags that every verb takes.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Profile to use [env: G3N_PROFILE]
    #[arg(long, global = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub profile: Option<String>,
    /// File of profiles [env: G3N_CONFIG] [default: g3n/profiles.toml in the user's configuration directory]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address of the gateway [env: G3N_BASE_URL] [default: http://127.0.0.1:8000]
    #[arg(long, global = true, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub base_url: Option<String>,
    /// Address for operators, also a Unix socket such as unix:/run/metarecord/operators.sock [env: G3N_OPERATOR_URL] [default: http://127.0.0.1:8001]
    #[arg(long, global = true, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub operator_url: Option<String>,
    /// Session to call with [env: G3N_SESSION_GUID]
    #[arg(long, global = true, value_name = "GUID", value_parser = NonEmptyStringValueParser::new())]
    pub session_guid: Option<String>,
    /// Service account's key to call with; a session given in the same way takes precedence [env: G3N_API_KEY]
    #[arg(long, global = true, value_name = "KEY", value_parser = NonEmptyStringValueParser::new())]
    pub api_key: Option<String>,
    /// File with a token (JWT) of an identity provider to call with; a session or a key given in the same way takes
    /// precedence [env: G3N_JWT_FILE, or the token itself in G3N_JWT]
    #[arg(long, global = true, value_name = "FILE")]
    pub jwt_file: Option<PathBuf>,
    /// File of CA certificates (PEM) to trust for https addresses, instead of the public ones [env: G3N_CA_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// File with the client certificate (PEM), for servers that require one [env: G3N_CLIENT_CERT_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub client_cert_file: Option<PathBuf>,
    /// File with the key (PEM) of that certificate [env: G3N_CLIENT_KEY_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub client_key_file: Option<PathBuf>,
    /// The org's code [env: G3N_ORGCODE]
    #[arg(long, global = true, value_name = "ORG", value_parser = NonEmptyStringValueParser::new())]
    pub orgcode: Option<String>,
    /// How to print [default: table on a terminal, json otherwise]
    #[arg(long, global = true, value_enum)]
    pub output: Option<Output>,
}

/// Where a value came from. What comes first beats what comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A flag.
    Flag,
    /// The environment.
    Environment,
    /// The profile.
    File,
    /// Nobody said anything.
    Default,
}

impl Origin {
    fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Default => "default",
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced {
    /// The value.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Everything a call needs to know beside the call itself.
#[derive(Clone)]
pub struct Profile {
    /// The profile's name, when one was named.
    pub name: Option<Sourced>,
    /// The file it was looked for in, when there is one.
    pub config: Option<(PathBuf, Origin)>,
    /// The gateway.
    pub base_url: Sourced,
    /// The operators' address.
    pub operator_url: Sourced,
    /// The default org.
    pub orgcode: Option<Sourced>,
    session_guid: Option<Sourced>,
    api_key: Option<Sourced>,
    /// There only when it is called with.
    jwt: Option<Sourced>,
    operator_token: Option<Sourced>,
    ca_file: Option<Sourced>,
    client_cert_file: Option<Sourced>,
    client_key_file: Option<Sourced>,
    trust: Trust,
}

impl Profile {
    /// Gathers the values.
    ///
    /// # Errors
    /// A usage failure: a profile that is not there, a file that cannot be understood, an address that is none.
    pub fn load(
        flags: &Connection,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Failure> {
        let path = |name: &str| environment(name).filter(|value| !value.is_empty());
        // What is no text was refused before.
        let environment = |name: &str| path(name)?.into_string().ok();
        let pick = |flag: &Option<String>, variable: &str, entry: Option<String>| {
            let flag = flag.clone().map(|value| (value, Origin::Flag));
            let variable = || environment(variable).map(|value| (value, Origin::Environment));
            let (value, origin) = flag
                .or_else(variable)
                .or(entry.map(|value| (value, Origin::File)))?;
            Some(Sourced { value, origin })
        };
        let name = pick(&flags.profile, "G3N_PROFILE", None);
        let config = find_file(flags, &path);
        let entry = read_entry(name.as_ref(), config.as_ref())?;
        let or_default = |found: Option<Sourced>, value: &str| {
            found.unwrap_or_else(|| Sourced {
                value: value.to_owned(),
                origin: Origin::Default,
            })
        };
        let base_url = pick(&flags.base_url, "G3N_BASE_URL", entry.base_url);
        let operator_url = pick(&flags.operator_url, "G3N_OPERATOR_URL", entry.operator_url);
        let session_guid = pick(&flags.session_guid, "G3N_SESSION_GUID", entry.session_guid);
        let api_key = pick(&flags.api_key, "G3N_API_KEY", entry.api_key);
        let others = [&session_guid, &api_key].into_iter().flatten();
        let beaten_by = others.map(|other| other.origin).min();
        let path = |flag: &Option<PathBuf>| flag.as_ref().map(|path| path.display().to_string());
        let jwt_file = pick(&path(&flags.jwt_file), "G3N_JWT_FILE", entry.jwt_file);
        let ca_file = pick(&path(&flags.ca_file), "G3N_CA_FILE", entry.ca_file);
        let client_cert_file = pick(
            &path(&flags.client_cert_file),
            "G3N_CLIENT_CERT_FILE",
            entry.client_cert_file,
        );
        let client_key_file = pick(
            &path(&flags.client_key_file),
            "G3N_CLIENT_KEY_FILE",
            entry.client_key_file,
        );
        let file =
            |found: &Option<Sourced>| found.as_ref().map(|found| PathBuf::from(&found.value));
        let trust = Trust::of_files(
            file(&ca_file).as_deref(),
            file(&client_cert_file).as_deref(),
            file(&client_key_file).as_deref(),
        );
        let jwt = find_token(pick(&None, "G3N_JWT", None), jwt_file, beaten_by)?;
        Ok(Self {
            base_url: check_url("base url", or_default(base_url, BASE_URL))?,
            operator_url: check_operator_url(or_default(operator_url, OPERATOR_URL))?,
            orgcode: pick(&flags.orgcode, "G3N_ORGCODE", entry.orgcode),
            session_guid,
            api_key,
            jwt,
            operator_token: pick(&None, "G3N_OPERATOR_TOKEN", entry.operator_token),
            trust: trust.map_err(|error| Failure::Usage(with_causes(&error)))?,
            ca_file,
            client_cert_file,
            client_key_file,
            name,
            config,
        })
    }

    /// Who calls the gateway: what was said more explicitly, and a session before a key before a token.
    pub fn credential(&self) -> Credential {
        if let Some(token) = &self.jwt {
            return Credential::Bearer(token.value.clone());
        }
        match (&self.session_guid, &self.api_key) {
            (Some(session), Some(key)) if key.origin < session.origin => {
                Credential::ApiKey(key.value.clone())
            }
            (Some(session), _) => Credential::SessionGuid(session.value.clone()),
            (None, Some(key)) => Credential::ApiKey(key.value.clone()),
            (None, None) => Credential::None,
        }
    }

    /// A client of the gateway with the credential there is.
    pub(super) fn gateway(&self) -> Client {
        Client::trusting(&self.base_url.value, self.credential(), &self.trust)
    }

    /// A client of the gateway without a credential.
    pub(super) fn anyone(&self) -> Client {
        Client::trusting(&self.base_url.value, Credential::None, &self.trust)
    }

    /// The same, of whoever answers there.
    pub(super) fn anyone_at_any(&self) -> Client {
        Client::trusting(&self.base_url.value, Credential::None, &Trust::anybody())
    }

    /// A client of the operators' address.
    pub(super) fn operators(&self) -> Client {
        self.operators_with(self.operator())
    }

    /// The same with a given credential.
    pub(super) fn operators_with(&self, credential: Credential) -> Client {
        Client::trusting(&self.operator_url.value, credential, &self.trust)
    }

    /// Whom its clients trust.
    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Who calls the operators' address.
    pub fn operator(&self) -> Credential {
        match &self.operator_token {
            Some(token) => Credential::OperatorToken(token.value.clone()),
            None => Credential::None,
        }
    }

    /// The session there is, whether or not it is called with.
    pub(super) fn session(&self) -> Option<Secret> {
        Secret::parse(&self.session_guid.as_ref()?.value)
    }

    /// The service account's key there is, whether or not it is called with.
    pub(super) fn key(&self) -> Option<Secret> {
        Secret::parse(&self.api_key.as_ref()?.value)
    }

    /// The org that is meant.
    ///
    /// # Errors
    /// A usage failure that begins with a question, when nobody said.
    pub(super) fn org(&self, question: &str) -> Result<&str, Failure> {
        match &self.orgcode {
            Some(orgcode) => Ok(&orgcode.value),
            None => Err(Failure::Usage(format!(
                "{question} Give --orgcode, set G3N_ORGCODE, or use a profile that has an orgcode"
            ))),
        }
    }

    /// The org that a flag names: some things are said each time, and are no habit of a profile or a shell.
    ///
    /// # Errors
    /// A usage failure that begins with a question, when no flag names one.
    pub(super) fn named_org(&self, question: &str) -> Result<&str, Failure> {
        match &self.orgcode {
            Some(org) if org.origin == Origin::Flag => Ok(&org.value),
            Some(_) | None => Err(Failure::Usage(format!(
                "{question} Name the org with --orgcode; a profile's or the environment's is not taken here"
            ))),
        }
    }

    /// Each value and where it came from; of a secret only that it is set.
    pub fn show(&self) -> Value {
        let open = |value: &Option<Sourced>| match value {
            Some(sourced) => json!({"value": sourced.value, "from": sourced.origin.as_str()}),
            None => json!({"value": null, "from": "nowhere"}),
        };
        let secret = |value: &Option<Sourced>| match value {
            Some(sourced) => json!({"value": "set", "from": sourced.origin.as_str()}),
            None => json!({"value": null, "from": "nowhere"}),
        };
        let config = match &self.config {
            Some((path, origin)) => {
                json!({"value": path.to_string_lossy(), "from": origin.as_str()})
            }
            None => json!({"value": null, "from": "nowhere"}),
        };
        json!({
            "profile": open(&self.name),
            "config": config,
            "base_url": open(&Some(self.base_url.clone())),
            "operator_url": open(&Some(self.operator_url.clone())),
            "orgcode": open(&self.orgcode),
            "session_guid": secret(&self.session_guid),
            "api_key": secret(&self.api_key),
            "jwt": secret(&self.jwt),
            "operator_token": secret(&self.operator_token),
            "ca_file": open(&self.ca_file),
            "client_cert_file": open(&self.client_cert_file),
            "client_key_file": open(&self.client_key_file),
        })
    }
}

/// The token to call with, unless another credential was said as explicitly. Its file is read only then.
fn find_token(
    token: Option<Sourced>,
    file: Option<Sourced>,
    beaten_by: Option<Origin>,
) -> Result<Option<Sourced>, Failure> {
    let file_first = |file: &Sourced| {
        let token = token.as_ref();
        token.is_none_or(|token| file.origin < token.origin)
    };
    let (found, is_file) = match file {
        Some(file) if file_first(&file) => (file, true),
        Some(_) | None => match token {
            Some(token) => (token, false),
            None => return Ok(None),
        },
    };
    if beaten_by.is_some_and(|origin| origin <= found.origin) {
        return Ok(None);
    }
    let value = match is_file {
        true => read_token(Path::new(&found.value))?,
        false => found.value,
    };
    Ok(Some(Sourced {
        value,
        origin: found.origin,
    }))
}

/// Operators may be served at a socket. Its path is absolute, because a profile is used in any directory.
fn check_operator_url(url: Sourced) -> Result<Sourced, Failure> {
    match url.value.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(url),
        Some(_) => Err(Failure::Usage(format!(
            "the operator url of a socket must be unix: and an absolute path: {}",
            url.value
        ))),
        None => check_url("operator url", url),
    }
}

fn check_url(what: &str, url: Sourced) -> Result<Sourced, Failure> {
    let host = url
        .value
        .strip_prefix("http://")
        .or_else(|| url.value.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['?', '#', ' ']) => Ok(url),
        Some(_) | None => Err(Failure::Usage(format!(
            "the {what} must begin with http:// or https:// and name a host: {}",
            url.value
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[dev]\nbase_url = \"http://file:1\"\nsession_guid = \"file-session\"\norgcode = \"FILE\"\n[other]\napi_key = \"file-key\"\n";

    fn load(flags: Connection, environment: &[(&str, &str)]) -> Result<Profile, Failure> {
        Profile::load(&flags, &|name| {
            let found = environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    fn with_file(check: impl FnOnce(&str)) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("profiles.toml");
        std::fs::write(&path, FILE).expect("written");
        check(path.to_str().expect("plain"));
    }

    fn sourced(value: &str, origin: Origin) -> Sourced {
        let value = value.to_owned();
        Sourced { value, origin }
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
        with_file(|path| {
            let file = [("G3N_CONFIG", path), ("G3N_PROFILE", "dev")];
            let profile = load(Connection::default(), &file).expect("loads");
            assert_eq!(profile.base_url, sourced("http://file:1", Origin::File));
            assert_eq!(profile.operator_url, sourced(OPERATOR_URL, Origin::Default));
            let environment = [file[0], file[1], ("G3N_BASE_URL", "http://env:1")];
            let profile = load(Connection::default(), &environment).expect("loads");
            assert_eq!(
                profile.base_url,
                sourced("http://env:1", Origin::Environment)
            );
            let flags = Connection {
                base_url: Some("http://flag:1".to_owned()),
                ..Connection::default()
            };
            let profile = load(flags, &environment).expect("loads");
            assert_eq!(profile.base_url, sourced("http://flag:1", Origin::Flag));
            assert_eq!(profile.orgcode, Some(sourced("FILE", Origin::File)));
        });
    }

    #[test]
    fn the_more_explicit_credential_is_used_and_a_session_before_a_key() {
        with_file(|path| {
            let file = [("G3N_CONFIG", path), ("G3N_PROFILE", "dev")];
            let key = ("G3N_API_KEY", "env-key");
            let session = ("G3N_SESSION_GUID", "env-session");
            let of = |environment: &[(&str, &str)]| {
                let profile = load(Connection::default(), environment).expect("loads");
                match profile.credential() {
                    Credential::SessionGuid(text)
                    | Credential::ApiKey(text)
                    | Credential::Bearer(text) => text,
                    Credential::None
                    | Credential::Headers { .. }
                    | Credential::OperatorToken(_) => String::new(),
                }
            };
            let jwt = ("G3N_JWT", "env-token");
            assert_eq!(of(&[file[0], file[1], jwt]), "env-token");
            assert_eq!(of(&[file[0], file[1], jwt, key]), "env-key");
            assert_eq!(of(&[jwt]), "env-token");
            // Not read: the session of the environment beats it.
            let nowhere = ("G3N_JWT_FILE", "/nowhere");
            assert_eq!(of(&[session, nowhere]), "env-session");
            assert_eq!(of(&file), "file-session");
            assert_eq!(of(&[file[0], file[1], key]), "env-key");
            assert_eq!(of(&[file[0], file[1], key, session]), "env-session");
            assert_eq!(of(&[]), "");
        });
    }

    #[test]
    fn an_unknown_profile_is_told_with_those_there_are() {
        with_file(|path| {
            let environment = [("G3N_CONFIG", path), ("G3N_PROFILE", "prod")];
            let failure = load(Connection::default(), &environment)
                .err()
                .expect("fails");
            assert!(failure.text().ends_with("it has: dev, other"), "{failure}");
        });
    }

    #[test]
    fn only_a_file_that_was_asked_for_must_be_there() {
        assert!(load(Connection::default(), &[("HOME", "/nowhere")]).is_ok());
        for environment in [
            [("G3N_CONFIG", "/nowhere/profiles.toml"), ("HOME", "/")],
            [("G3N_PROFILE", "dev"), ("HOME", "/nowhere")],
        ] {
            let failure = load(Connection::default(), &environment).err();
            assert!(matches!(failure, Some(Failure::Usage(_))));
        }
    }

    #[test]
    fn a_token_of_a_file_is_read_when_it_is_called_with() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("token");
        let flags = || Connection {
            jwt_file: Some(path.clone()),
            ..Connection::default()
        };
        let environment = [
            ("G3N_SESSION_GUID", "env-session"),
            ("G3N_JWT", "env-token"),
        ];
        for (text, taken) in [("a.b.c\n", true), ("", false), ("a b", false)] {
            std::fs::write(&path, text).expect("written");
            let loaded = load(flags(), &environment);
            assert_eq!(loaded.is_ok(), taken, "{text:?}");
            if let Ok(profile) = loaded {
                let credential = profile.credential();
                assert!(matches!(credential, Credential::Bearer(token) if token == "a.b.c"));
                assert_eq!(
                    profile.show()["jwt"],
                    json!({"value": "set", "from": "flag"})
                );
            }
        }
        std::fs::remove_file(&path).expect("removed");
        assert!(matches!(load(flags(), &[]), Err(Failure::File { .. })));
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        with_file(|path| {
            let environment = [("G3N_CONFIG", path), ("G3N_PROFILE", "dev")];
            let shown = load(Connection::default(), &environment)
                .expect("loads")
                .show();
            assert_eq!(
                shown["session_guid"],
                json!({"value": "set", "from": "file"})
            );
            assert!(!shown.to_string().contains("file-session"));
        });
    }

    #[test]
    fn only_operators_are_reached_by_a_socket_and_only_addresses_are_taken() {
        for (variable, value, taken) in [
            ("G3N_BASE_URL", "127.0.0.1:8000", false),
            ("G3N_BASE_URL", "unix:/run/s", false),
            ("G3N_OPERATOR_URL", "127.0.0.1:8001", false),
            ("G3N_OPERATOR_URL", "unix:/run/s", true),
            ("G3N_OPERATOR_URL", "unix:run/s", false),
        ] {
            let loaded = load(Connection::default(), &[(variable, value)]);
            assert_eq!(loaded.is_ok(), taken, "{variable}={value}");
        }
    }
}
