//! `g3n doctor`: checks whether a server can start here, or the state of the one that runs, and changes nothing.

mod history;
mod keys;
mod leftovers;
mod network;
mod place;
mod settings;
mod sockets;
mod tls;
mod toolchain;

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::exit::Exit;
use super::failure::Failure;
use super::finding::{self, Finding, is_good};
use super::output::{Output, Printer};
use super::profile::{self, Connection, Origin};
use super::serve::ServeArgs;
use crate::boot::Options;
use crate::clock::{Clock, Stopwatch};
use crate::config::Settings;
use crate::directory;
use crate::journal::schema::SCHEMAS;
use crate::os_error::OsError;
use place::Holder;

/// Free space below which the doctor warns: 1 GiB.
const FREE_BYTES: u64 = 1_073_741_824;

/// With which arguments a server is to start, and how strict to be.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// Exit with 1 for warnings, too.
    #[arg(long)]
    strict: bool,
    /// The same as --output json.
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// Warn when less disk than this is free for the data.
    #[arg(long, value_name = "BYTES", default_value_t = FREE_BYTES)]
    free_bytes_min: u64,
}

/// What the doctor examines.
struct Target<'a> {
    data_dir: &'a Path,
    development: bool,
    /// What a server would start with; nothing when its settings make no sense.
    options: Option<&'a Options>,
    /// These settings, and where each was set.
    settings: Option<&'a Settings>,
    /// The process that serves from the directory, when it is known.
    holder: Option<&'a Holder>,
    /// Whether the lock, which names it, cannot be read.
    lock_unreadable: bool,
}

/// Runs the doctor.
///
/// # Errors
/// When standard output cannot be written: everything else that is wrong is a finding.
pub(super) fn run(
    arguments: &DoctorArgs,
    connection: &Connection,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let given = arguments.serve.data_dir.clone();
    // A profile that cannot be read is a finding.
    let found = profile::data_dir(given, connection);
    let (data_dir, origin) =
        found.unwrap_or_else(|_| (arguments.serve.data_dir(), Origin::Default));
    // A directory that a profile names is examined as what it is; every other one, as what is to be started.
    let development =
        arguments.serve.dev || origin == Origin::File && is_for_development(&data_dir);
    let place = (data_dir.as_path(), development);
    let findings = examine(arguments, connection, place);
    let printer = if arguments.json {
        Printer::asked(Some(Output::Json))
    } else {
        *printer
    };
    let data_dir = data_dir.display().to_string();
    let facts = json!({"data_dir": data_dir, "strict": arguments.strict, "version": env!("CARGO_PKG_VERSION")});
    let good = is_good(&findings, arguments.strict);
    finding::tell(&printer, facts, good, &findings)
}

fn examine(
    arguments: &DoctorArgs,
    connection: &Connection,
    (data_dir, development): (&Path, bool),
) -> Vec<Finding> {
    let (clock, since) = (Clock::system(), Stopwatch::start());
    let began = clock.now();
    let loaded = arguments.serve.load_settings();
    let options = loaded.as_ref().ok();
    let options = options.map(|settings| Options::new(data_dir, development, settings));
    let holder = place::holder(data_dir);
    let target = Target {
        data_dir,
        development,
        options: options.as_ref(),
        settings: loaded.as_ref().ok(),
        holder: holder.as_ref().ok().and_then(Option::as_ref),
        lock_unreadable: holder.is_err(),
    };
    let history = history::look(data_dir);
    let ended = history.recorded_at();
    let stopped_clock = since.elapsed();
    vec![
        toolchain::look(Path::new("."), std::env::var_os("PATH").as_deref()),
        settings::profiles(connection),
        settings::settings(&loaded),
        settings::identity(&target),
        tls::look(&target, began),
        place::directories(&target),
        place::free_space(&target, arguments.free_bytes_min),
        leftovers::look(&target),
        keys::look(&target),
        place::lock(&holder),
        history.journal(&target),
        history.tail(&target),
        history::clock(ended, (began, clock.now()), stopped_clock),
        history.secret_code(&target),
        network::open_files(&target),
        network::public_url(&target),
        network::gateway_port(&target),
        network::operator_port(&target),
        network::server(&target),
        network::clock_jump(&target),
    ]
}

/// Whether a data directory was made in development mode.
fn is_for_development(data_dir: &Path) -> bool {
    let marker = directory::read_marker(data_dir, SCHEMAS);
    marker.is_ok_and(|(marker, _)| marker.environment == directory::DEVELOPMENT)
}

/// What to do when this user may not read something.
const ACCESS: &str = "run this as the user that runs the server; if that user may not, give it access with chown and chmod";

/// What to do about an error of a file or a directory.
fn fix_of(error: &(dyn std::error::Error + 'static)) -> String {
    match OsError::of(error) {
        None | Some(OsError::Denied) => ACCESS.to_owned(),
        Some(known) => known.advice(),
    }
}

/// The finding of a check that needs valid settings, when there are none.
fn without_settings(name: &'static str) -> Finding {
    Finding::skipped(name, "the settings cannot be read")
}
