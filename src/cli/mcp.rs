//! `g3n mcp`: the tools of agents over standard input and output, with the credential of a profile.

pub mod api;
mod backend;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;
use rmcp::transport::stdio;

use super::cli_env::CliEnv;
use super::exit::Exit;
use super::failure::Failure;
use super::profile::Profile;
use super::secret::Secret;
use super::secret_source::SecretSource;
use crate::client::Credential;
use crate::http::mcp::handler::McpHandler;
use crate::http::openapi;
use crate::http::routes::{ROUTES, STREAMED};
use crate::mcp::{Confirm, Door, Mode, Surface, Toolbox};
use api::ClientApi;
use backend::{Local, Settings};

/// What a person looks at who starts it in a terminal.
const HINT: &str = "g3n mcp reads MCP messages from standard input, and answers on standard output; it is for the configuration of an agent. Press Ctrl-D to end it.";

/// How an agent is served.
#[derive(Args, Debug)]
pub struct McpArgs {
    /// Serve the operators' tools, with the operator token.
    #[arg(long)]
    operator: bool,
    /// Whether there are tools that change something.
    #[arg(long, value_name = "MODE", default_value = "read", value_parser = texts::<Mode>(Mode::TEXTS))]
    mode: Mode,
    /// How what cannot be undone is confirmed: by a plan that the agent sends back, by asking the person at the client, or by
    /// asking where the client can ask and by a plan elsewhere.
    #[arg(long, value_name = "HOW", default_value = "both", value_parser = texts::<Confirm>(Confirm::TEXTS))]
    confirm: Confirm,
    /// Also give out upload and download URLs, which are credentials.
    #[arg(long, conflicts_with = "operator")]
    urls: bool,
    /// A file that holds the secret code, for the tools that need it. It is also taken from the variable, and never known to the
    /// agent [env: G3N_SECRET_CODE]
    #[arg(long, value_name = "FILE", requires = "operator")]
    secret_code_file: Option<PathBuf>,
}

/// Reads a value that is one of some texts.
fn texts<T>(texts: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(texts).try_map(|text| text.parse::<T>())
}

/// Serves until standard input ends.
///
/// # Errors
/// [`Failure`] when there is no credential, the file of the secret code cannot be read, or standard output is gone.
pub(super) fn run(arguments: &McpArgs, profile: &Profile) -> Result<Exit, Failure> {
    let code = arguments.code()?;
    let surface = if arguments.operator {
        Surface::Operator
    } else {
        Surface::Tenant
    };
    check_credential(surface, profile)?;
    let settings = Settings {
        surface,
        door: Door::Stdio {
            has_code: code.is_some(),
        },
        mode: arguments.mode,
        confirm: arguments.confirm,
        urls: arguments.urls,
        org: profile.orgcode.as_ref().map(|org| org.value.clone()),
    };
    let gateway = match surface {
        Surface::Tenant => profile.gateway(),
        Surface::Operator => profile.anyone(),
    };
    let api = ClientApi::new(
        gateway,
        profile.operators(),
        code.as_ref().map(Secret::reveal),
    );
    let toolbox = Arc::new(toolbox()?);
    let handler = McpHandler::new(toolbox.clone(), Local::new(toolbox, api, settings));
    if io::stdin().is_terminal() {
        // Without standard error nobody can read it.
        let _: io::Result<()> = writeln!(io::stderr(), "{HINT}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| in_the_way(&error.to_string()))?;
    let served = runtime.block_on(async {
        match handler.serve(stdio()).await {
            Ok(running) => running
                .waiting()
                .await
                .map(drop)
                .map_err(|error| error.to_string()),
            // The client ended before it said anything.
            Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    });
    // A thread may still wait for standard input.
    runtime.shutdown_background();
    served.map_err(|text| in_the_way(&text))?;
    Ok(Exit::Success)
}

fn toolbox() -> Result<Toolbox, Failure> {
    let document =
        openapi::document(ROUTES, STREAMED).map_err(|error| in_the_way(&error.to_string()))?;
    Toolbox::new(&document).map_err(|error| in_the_way(&error.to_string()))
}

fn in_the_way(text: &str) -> Failure {
    Failure::InTheWay {
        tag: "mcp",
        message: format!("MCP cannot be served here: {text}"),
    }
}

/// Refuses to serve without a credential: an agent would only find out by its first call.
fn check_credential(surface: Surface, profile: &Profile) -> Result<(), Failure> {
    let (credential, how) = match surface {
        Surface::Tenant => (
            profile.credential(),
            "an agent needs a credential; give --api-key, set G3N_API_KEY, or use a profile that has one. A key with the role mrs_reader is best for one that only reads",
        ),
        Surface::Operator => (
            profile.operator(),
            "the operators' tools need the operator token; set G3N_OPERATOR_TOKEN, or use a profile that has operator_token",
        ),
    };
    match credential {
        Credential::None => Err(Failure::Usage(how.to_owned())),
        Credential::SessionGuid(_)
        | Credential::ApiKey(_)
        | Credential::Bearer(_)
        | Credential::Headers { .. }
        | Credential::OperatorToken(_) => Ok(()),
    }
}

impl McpArgs {
    /// The secret code, for operators who have given it.
    fn code(&self) -> Result<Option<Secret>, Failure> {
        if !self.operator {
            return Ok(None);
        }
        let source = SecretSource {
            what: "secret code",
            flag: None,
            file: self.secret_code_file.as_deref(),
            variable: Some("G3N_SECRET_CODE"),
        };
        if source.is_input() {
            return Err(Failure::Usage(
                "standard input is where the agent's messages come from; give --secret-code-file a file, or set G3N_SECRET_CODE".to_owned(),
            ));
        }
        source.find(&mut CliEnv::of_process())
    }
}
