//! `g3n serve`: runs the server.

mod again;
mod greet;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use serde_json::json;

use super::exit::Exit;
use super::failure::Failure;
use super::output::{Printer, ended};
use crate::boot::{self, BootError, Options};
use crate::config::{Settings, SettingsError};
use crate::os_error::{OsError, chain};

/// The data directory when none is given.
pub(super) const DATA_DIR: &str = "data";

/// Run the server.
///
/// With --dev it needs nothing else: on an empty directory it makes the org DEMO with an owner and a session, and
/// writes DIR/dev.json and DIR/profiles.toml when it is ready. The log is on standard output, a JSON line an event; what
/// people want to know is on standard error.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  g3n serve --dev\n  g3n serve --data-dir /var/lib/metarecord --settings metarecord.toml\n  g3n serve --data-dir /var/lib/metarecord --operator-listen unix:/run/metarecord/operators.sock\n  g3n serve --data-dir /var/lib/metarecord --log-dir /var/log/metarecord\n  g3n serve --data-dir /var/lib/metarecord --operator-token-file /run/secrets/operator-token\n  g3n serve --dev --listen 127.0.0.1:0 --set mrs.upload_url_seconds=60"
)]
pub struct ServeArgs {
    /// Development mode: loopback only, with an org, a user and a token created for you.
    #[arg(long)]
    pub(super) dev: bool,
    /// Directory that holds all data; created when absent [default: data]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// The gateway's address; port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The operators' address; port 0 picks a free one. Or a Unix socket that only its owner can connect to, such as
    /// unix:/run/metarecord/operators.sock.
    #[arg(long, value_name = "ADDR")]
    operator_listen: Option<String>,
    /// A file with the operator token, readable only by its owner; created with a new token when absent. By default
    /// DIR/keys/operator.token.
    #[arg(long, value_name = "FILE")]
    operator_token_file: Option<String>,
    /// A TOML file of settings.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Also write the log to daily files in this directory, kept for log.keep_days.
    #[arg(long, value_name = "DIR")]
    log_dir: Option<String>,
    /// One setting, such as mrs.sweep_seconds=10; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
}

impl ServeArgs {
    /// The settings these arguments, the environment and the settings file lead to.
    ///
    /// # Errors
    /// [`SettingsError`] for an unknown name, or a value out of its range.
    pub fn load_settings(&self) -> Result<Settings, SettingsError> {
        let mut flags = Vec::new();
        if let Some(listen) = &self.listen {
            flags.push(("http.listen", "--listen", listen.clone()));
        }
        if let Some(listen) = &self.operator_listen {
            flags.push(("http.operator_listen", "--operator-listen", listen.clone()));
        }
        if let Some(file) = &self.operator_token_file {
            flags.push((
                "http.operator_token_file",
                "--operator-token-file",
                file.clone(),
            ));
        }
        if let Some(dir) = &self.log_dir {
            flags.push(("log.dir", "--log-dir", dir.clone()));
        }
        Settings::load(
            self.settings.as_deref(),
            std::env::vars_os(),
            &self.set,
            &flags,
        )
    }
}

impl ServeArgs {
    /// The directory that was given, or the default.
    pub(super) fn data_dir(&self) -> PathBuf {
        let given = self.data_dir.clone();
        given.unwrap_or_else(|| PathBuf::from(DATA_DIR))
    }

    /// The options of a server with these settings.
    pub(super) fn options(&self, settings: &Settings) -> Options {
        Options::new(&self.data_dir(), self.dev, settings)
    }
}

/// Serves until SIGTERM or SIGINT.
pub fn run(arguments: &ServeArgs) -> Exit {
    let settings = match arguments.load_settings() {
        Ok(settings) => settings,
        Err(error) => {
            tell(&error);
            return unusable(error).exit();
        }
    };
    let options = arguments.options(&settings);
    let served = boot::serve(
        &options,
        |ready| greet::greet(&options, ready),
        |addresses| again::start([&addresses.gateway, &addresses.operators]),
    );
    match served {
        Ok(()) => Exit::Success,
        Err(
            error @ (BootError::NotLoopback(_)
            | BootError::HeaderIdentity
            | BootError::PendingTooShort
            | BootError::WindowTooShort
            | BootError::SocketPath(_)
            | BootError::GatewaySocket(_)
            | BootError::Log { .. }
            | BootError::OpenFiles { .. }
            | BootError::Tls(_)
            | BootError::Token(_)
            | BootError::Contradiction(_)),
        ) => {
            tell(&error);
            tell_settings(&error, &settings);
            Exit::Configuration
        }
        Err(error) => {
            tell(&error);
            tell_settings(&error, &settings);
            if error.is_newer() {
                Exit::Newer
            } else {
                Exit::Refused
            }
        }
    }
}

/// Why settings cannot be used. A `--set` that is no NAME=VALUE is a mistake of the command line.
fn unusable(error: SettingsError) -> Failure {
    let text = error.to_string();
    if matches!(error, SettingsError::NotAnAssignment(_)) {
        Failure::Usage(text)
    } else {
        Failure::Settings(text)
    }
}

/// Shows what the arguments, the environment and the settings file lead to.
///
/// # Errors
/// A usage failure, when a server would not start with them.
pub fn show_settings(arguments: &ServeArgs, printer: &Printer) -> Result<Exit, Failure> {
    let settings = arguments.load_settings().map_err(unusable)?;
    let rows = settings.rows().into_iter().map(|row| {
        let value = json!({"value": row.shown(), "from": row.origin.to_string(), "about": row.doc});
        (row.name.to_owned(), value)
    });
    let told = printer.facts(&rows.collect::<serde_json::Map<_, _>>().into());
    Ok(ended(told, Exit::Success))
}

/// An error, what caused it, and what to do where that is the operating system, on standard error.
pub(super) fn tell(error: &(dyn std::error::Error + 'static)) {
    let texts: Vec<_> = chain(error).map(ToString::to_string).collect();
    let mut text = format!("g3n: {}", texts.join("\n  because: "));
    if let Some(advice) = advice(error) {
        text.push_str(&format!("\n  what to do: {advice}"));
    }
    // With standard error gone nobody can read it.
    let _: std::io::Result<()> = writeln!(std::io::stderr(), "{text}");
}

/// The settings that an error is about, and where each was set, on standard error.
fn tell_settings(error: &BootError, settings: &Settings) {
    if let Some(told) = error.settings_named(settings) {
        // With standard error gone nobody can read it.
        let _: std::io::Result<()> = writeln!(std::io::stderr(), "  set: {told}");
    }
}

/// What to do about an error of the operating system.
fn advice(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let known = OsError::of(error)?;
    let listens = matches!(
        error.downcast_ref::<BootError>(),
        Some(BootError::Listen { .. })
    );
    if !listens {
        return Some(known.advice());
    }
    // No file is in the way.
    matches!(known, OsError::Denied).then(|| {
        "ports below 1024 need the capability CAP_NET_BIND_SERVICE (AmbientCapabilities in the unit); give it, or another port"
            .to_owned()
    })
}
