//! Where the service is and who is calling: from flags, the environment, a profile and defaults, in this order.

mod connection;
mod file;
mod kept;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use self::file::{Absent, read_entry, read_token};
use super::failure::Failure;
use super::secret::Secret;
use super::serve::DATA_DIR;
use crate::client::{Client, Credential, Trust};
use crate::os_error::with_causes;

pub use self::connection::{Connection, Origin, Sourced};
pub(super) use self::file::find_file;
pub(super) use self::kept::KeptProfile;

/// The default address for tenants, on this machine.
const BASE_URL: &str = "http://127.0.0.1:8000";
/// Fields that are sent as headers of HTTP.
const CREDENTIALS: &[&str] = &["session_guid", "api_key", "jwt", "operator_token"];
/// The default address for operators, on this machine.
const OPERATOR_URL: &str = "http://127.0.0.1:8001";

/// Everything a call needs besides the call itself.
#[derive(Clone)]
pub struct Profile {
    /// The profile's name, when one was named.
    pub name: Option<Sourced>,
    /// The file it was looked for in, when there is one.
    pub config: Option<(PathBuf, Origin)>,
    /// The gateway's URL, without a slash at its end.
    pub base_url: Sourced,
    /// The URL of the operators' address.
    pub operator_url: Sourced,
    /// The org that verbs are about unless they name another.
    pub orgcode: Option<Sourced>,
    /// The server's data directory, for verbs that read it on its machine.
    data_dir: Option<Sourced>,
    /// The address that signed in last.
    email: Option<Sourced>,
    session_guid: Option<Sourced>,
    api_key: Option<Sourced>,
    /// The token; `None` unless calls use it.
    jwt: Option<Sourced>,
    operator_token: Option<Sourced>,
    ca_file: Option<Sourced>,
    client_cert_file: Option<Sourced>,
    client_key_file: Option<Sourced>,
    trust: Trust,
}

/// The data directory of a verb that reads one: what its flag says, else the profile's, else the default of `g3n serve`. It is
/// not read from a profile that is not there.
///
/// # Errors
/// As [`Profile::load`], of the profile alone.
pub(super) fn data_dir(
    given: Option<PathBuf>,
    flags: &Connection,
) -> Result<(PathBuf, Origin), Failure> {
    if let Some(given) = given {
        return Ok((given, Origin::Flag));
    }
    let environment = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let text = |name: &str| environment(name)?.into_string().ok();
    let name = pick("profile", flags.profile.as_deref(), (&text, None))?;
    let config = find_file(flags, &environment);
    let (entry, _) = read_entry(name, config.as_ref(), Absent::Refused)?;
    Ok(match entry.data_dir {
        Some(data_dir) => (PathBuf::from(data_dir), Origin::File),
        None => (PathBuf::from(DATA_DIR), Origin::Default),
    })
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
        Self::gather(flags, environment, Absent::Refused)
    }

    /// The same for a profile that is about to be made: neither it nor its file must be there.
    ///
    /// # Errors
    /// As [`Profile::load`].
    pub(super) fn load_or_new(
        flags: &Connection,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Failure> {
        Self::gather(flags, environment, Absent::Empty)
    }

    fn gather(
        flags: &Connection,
        environment: &dyn Fn(&str) -> Option<OsString>,
        absent: Absent,
    ) -> Result<Self, Failure> {
        // What is empty, or no text, was refused before; to the standard an empty directory is none.
        let path = |name: &str| environment(name).filter(|value| !value.is_empty());
        let text = |name: &str| path(name)?.into_string().ok();
        let name = pick("profile", flags.profile.as_deref(), (&text, None))?;
        let config = find_file(flags, &path);
        let (entry, name) = read_entry(name, config.as_ref(), absent)?;
        let or_default = |found: Option<Sourced>, value: &str| {
            found.unwrap_or_else(|| Sourced {
                value: value.to_owned(),
                origin: Origin::Default,
            })
        };
        let of = |field: &'static str, flag: &Option<String>, entry: &Option<String>| {
            pick(field, flag.as_deref(), (&text, entry.as_deref()))
        };
        let of_path = |field: &'static str, flag: &Option<PathBuf>, entry: &Option<String>| {
            let flag = flag.as_ref().map(|path| path.display().to_string());
            of(field, &flag, entry)
        };
        let of_file = |value| Sourced {
            value,
            origin: Origin::File,
        };
        let base_url = of("base_url", &flags.base_url, &entry.base_url)?;
        let operator_url = of("operator_url", &flags.operator_url, &entry.operator_url)?;
        let session_guid = of("session_guid", &flags.session_guid, &entry.session_guid)?;
        let api_key = of("api_key", &flags.api_key, &entry.api_key)?;
        let others = [&session_guid, &api_key].into_iter().flatten();
        let beaten_by = others.map(|other| other.origin).min();
        let jwt_file = of_path("jwt_file", &flags.jwt_file, &entry.jwt_file)?;
        let ca_file = of_path("ca_file", &flags.ca_file, &entry.ca_file)?;
        let client_cert_file = of_path(
            "client_cert_file",
            &flags.client_cert_file,
            &entry.client_cert_file,
        )?;
        let client_key_file = of_path(
            "client_key_file",
            &flags.client_key_file,
            &entry.client_key_file,
        )?;
        let file =
            |found: &Option<Sourced>| found.as_ref().map(|found| PathBuf::from(&found.value));
        let trust = Trust::of_files(
            file(&ca_file).as_deref(),
            file(&client_cert_file).as_deref(),
            file(&client_key_file).as_deref(),
        );
        let jwt = find_token(of("jwt", &None, &None)?, jwt_file, beaten_by)?;
        Ok(Self {
            base_url: check_url("base url", or_default(base_url, BASE_URL))?,
            operator_url: check_operator_url(or_default(operator_url, OPERATOR_URL))?,
            orgcode: of("orgcode", &flags.orgcode, &entry.orgcode)?,
            data_dir: entry.data_dir.map(of_file),
            email: entry.email.map(of_file),
            session_guid,
            api_key,
            jwt,
            operator_token: of("operator_token", &None, &entry.operator_token)?,
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

    /// The same, without checking which server answers there.
    pub(super) fn anyone_at_any(&self) -> Client {
        Client::trusting(&self.base_url.value, Credential::None, &Trust::anybody())
    }

    /// A client of the operators' address.
    pub(super) fn operators(&self) -> Client {
        self.operators_with(self.operator())
    }

    /// A client of the operators' address with a given credential.
    pub(super) fn operators_with(&self, credential: Credential) -> Client {
        Client::trusting(&self.operator_url.value, credential, &self.trust)
    }

    /// Whom its clients trust.
    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The credential for the operators' address.
    pub fn operator(&self) -> Credential {
        match &self.operator_token {
            Some(token) => Credential::OperatorToken(token.value.clone()),
            None => Credential::None,
        }
    }

    /// What is given more explicitly than a session of the profile would be, if anything is.
    pub(super) fn ahead_of_the_file(&self) -> Option<&'static str> {
        [
            (
                &self.session_guid,
                "G3N_SESSION_GUID or --session-guid is given",
            ),
            (&self.api_key, "G3N_API_KEY or --api-key is given"),
            (&self.jwt, "G3N_JWT, G3N_JWT_FILE or --jwt-file is given"),
        ]
        .into_iter()
        .find(|(value, _)| {
            value
                .as_ref()
                .is_some_and(|value| value.origin < Origin::File)
        })
        .map(|(_, told)| told)
    }

    /// The session there is, whether or not it is called with.
    pub(super) fn session(&self) -> Option<Secret> {
        Secret::parse(&self.session_guid.as_ref()?.value)
    }

    /// The service account's key there is, whether or not it is called with.
    pub(super) fn key(&self) -> Option<Secret> {
        Secret::parse(&self.api_key.as_ref()?.value)
    }

    /// The org of the call, from a flag, the environment or the profile.
    ///
    /// # Errors
    /// A usage failure that begins with a question, when no org is given.
    pub(super) fn org(&self, question: &str) -> Result<&str, Failure> {
        match &self.orgcode {
            Some(orgcode) => Ok(&orgcode.value),
            None => Err(Failure::Usage(format!(
                "{question} Give --orgcode, set G3N_ORGCODE, or use a profile that has an orgcode"
            ))),
        }
    }

    /// The org that a flag names to filter by, if one does. What a profile or the environment says is for what needs an org.
    pub(super) fn filtered_org(&self) -> Option<&str> {
        let named = self.orgcode.as_ref();
        let named = named.filter(|org| org.origin == Origin::Flag);
        named.map(|org| org.value.as_str())
    }

    /// The org that a flag names: destructive calls do not take it from a profile or the environment.
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
            "data_dir": open(&self.data_dir),
            "email": open(&self.email),
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

/// Looks a variable up that is text.
type Variables<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A value from the first place that has one: a flag, a variable, the profile. White space around it is none of it, such as
/// the line break that a shell or an editor left.
///
/// # Errors
/// A usage failure that names the place when nothing is left, or a credential cannot be sent as a header of HTTP.
fn pick(
    field: &str,
    flag: Option<&str>,
    (variable, entry): (&Variables<'_>, Option<&str>),
) -> Result<Option<Sourced>, Failure> {
    let name = format!("G3N_{}", field.to_ascii_uppercase());
    let flag = flag.map(|value| (value.to_owned(), Origin::Flag));
    let variable = || variable(&name).map(|value| (value, Origin::Environment));
    let entry = || entry.map(|value| (value.to_owned(), Origin::File));
    let Some((value, origin)) = flag.or_else(variable).or_else(entry) else {
        return Ok(None);
    };
    let value = value.trim();
    let wrong = |why: &str| {
        let place = match origin {
            Origin::Flag => format!("the value of --{}", field.replace('_', "-")),
            Origin::Environment => format!("the variable {name}"),
            Origin::File | Origin::Default => format!("{field} of the profile"),
        };
        Err(Failure::Usage(format!("{place} {why}")))
    };
    if value.is_empty() {
        return wrong("is empty; give it a value, or leave it out");
    }
    if CREDENTIALS.contains(&field) && !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return wrong(
            "cannot be sent: within it is a space, a line break or a character that is not ASCII",
        );
    }
    let value = value.to_owned();
    Ok(Some(Sourced { value, origin }))
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
    let value = if is_file {
        read_token(Path::new(&found.value))?
    } else {
        found.value
    };
    Ok(Some(Sourced {
        value,
        origin: found.origin,
    }))
}

/// Whether two addresses are the same but for a slash at their end.
fn same_address(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
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
    let never = |c: char| matches!(c, '?' | '#') || c.is_whitespace() || c.is_control();
    let host = url
        .value
        .strip_prefix("http://")
        .or_else(|| url.value.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(never) => Ok(url),
        Some(_) | None => Err(Failure::Usage(format!(
            "the {what} must begin with http:// or https:// and name a host: {}",
            url.value
        ))),
    }
}

#[cfg(test)]
mod tests;
