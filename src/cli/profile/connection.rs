//! The flags of a connection, and where a value came from.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::cli::output::Output;

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
    /// Session to call with: the secret that signing in gave (its guid) [env: G3N_SESSION_GUID]
    #[arg(long, visible_alias = "session", global = true, value_name = "GUID", value_parser = NonEmptyStringValueParser::new())]
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
    /// A flag of the command line.
    Flag,
    /// A variable of the environment.
    Environment,
    /// A profile of the file.
    File,
    /// The default: no other source has a value.
    Default,
}

impl Origin {
    pub(super) fn as_str(self) -> &'static str {
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
    /// The value as it was set, not parsed.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}
