//! `g3n journal`: reads the history, while a server runs or without one.

mod export;
mod read;
mod show;
mod verify;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::exit::Exit;
use super::failure::Failure;
use super::output::{Output, Printer, ended};
use super::profile::{self, Connection, Profile};
use super::progress;
use super::serve::tell;
use crate::clock::Clock;
use crate::directory::{self, DirectoryError};
use crate::domain::Event;
use crate::journal::replay;
use crate::journal::schema::SCHEMAS;
use crate::journal::{Entry, JournalError, state};
use crate::journal::{Options, SledJournal};
use crate::projections::generation;

/// How often `tail --follow` reads new entries.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);
/// Memory for the projections' pages while they are rebuilt.
const REBUILD_CACHE_BYTES: u64 = 256 * 1024 * 1024;

/// Read and verify the history. All but `read` work on a data directory or a file.
#[derive(Args, Debug)]
pub struct JournalArgs {
    /// The server's data directory [default: data_dir of the profile, else data]
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Verify the hash chain of a data directory or of an exported file, and report where it breaks; exits with 1
    /// when it does.
    ///
    /// Every erased entry must be listed by a vacuum, and each expected head must be at its position. If the server
    /// is stopped, the journal's database is compared, too.
    #[command(
        after_help = "Examples:\n  g3n journal verify --data-dir data\n  g3n journal verify --data-dir data --expect-file heads.txt\n  g3n journal verify history.log"
    )]
    Verify(verify::VerifyArgs),
    /// Show the last position and its hash. Kept elsewhere, they show later whether the history was changed.
    #[command(after_help = "Example:\n  g3n journal head --data-dir data")]
    Head,
    /// Show the newest entries.
    #[command(
        after_help = "Examples:\n  g3n journal tail --lines 20 --follow\n  g3n journal tail --all --output jsonl"
    )]
    Tail {
        /// Number of newest entries to show.
        #[arg(long, default_value_t = 10)]
        lines: usize,
        /// Show every entry, from the first on.
        #[arg(long, conflicts_with = "lines")]
        all: bool,
        /// Keep waiting for new entries.
        #[arg(long)]
        follow: bool,
    },
    /// Export entries, as g3n journal verify FILE checks them or as plain JSON lines.
    #[command(
        after_help = "Examples:\n  g3n journal export --out history.log\n  g3n journal export --format jsonl --as-of 2027-01-31T12:00:00Z --out history.jsonl"
    )]
    Export(export::ExportArgs),
    /// Show the entries of one record; exits with 5 when there is none, and says what was erased.
    #[command(after_help = "Example:\n  g3n journal show --record DEMO/demo/hello-1")]
    Show {
        /// ORG/container/record_id.
        #[arg(long, value_name = "ORG/CONTAINER/ID")]
        record: String,
    },
    /// Read entries at the operators' address: from a position, of a stream or of a request, one page at a time. Each
    /// comes with its hash, and whether the next entry names that.
    #[command(
        after_help = "Examples:\n  g3n journal read --limit 20 --output table\n  g3n journal read --from 1 --all --output jsonl\n  g3n journal read --stream mrs/DEMO/demo/hello-1\n  g3n journal read --request-id 7d0c8a52-3f0e-4c6b-9c1e-5b1a6d0f2e11"
    )]
    Read(read::ReadArgs),
    /// Rebuild the projections and compare them with those in use (server stopped).
    #[command(after_help = "Example:\n  g3n journal rebuild --data-dir data")]
    Rebuild,
}

/// Why a journal command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Usage(String),
    #[error("there is no journal in {}; give the server's --data-dir, or a profile that has a data_dir", .0.display())]
    Absent(PathBuf),
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
    #[error("the projections cannot be rebuilt")]
    Projections(#[from] crate::projections::StoreError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("standard output cannot be written")]
    Output(#[from] io::Error),
    #[error(transparent)]
    File(#[from] Failure),
}

impl Trouble {
    fn exit(&self) -> Exit {
        let newer = match self {
            Self::Journal(error)
            | Self::Projections(crate::projections::StoreError::Journal(error)) => error.is_newer(),
            Self::Directory(error) => error.is_newer(),
            Self::Output(_) => return Exit::OutputLost,
            Self::File(failure) => return failure.exit(),
            Self::Usage(_) | Self::Absent(_) | Self::Projections(_) => false,
        };
        if newer { Exit::Newer } else { Exit::Refused }
    }
}

impl Verb {
    /// Whether it writes lines, among which an envelope would be taken for one of them.
    fn writes_lines(&self) -> bool {
        match self {
            Self::Tail { .. } | Self::Export(_) | Self::Show { .. } => true,
            Self::Verify(_) | Self::Head | Self::Rebuild | Self::Read(_) => false,
        }
    }
}

/// Runs a journal command.
///
/// # Errors
/// The [`Failure`] of a call to the server, or of a profile that cannot be read.
pub(super) fn run(
    arguments: &JournalArgs,
    connection: &Connection,
    printer: &Printer,
) -> Result<Exit, Failure> {
    if let Verb::Read(read) = &arguments.verb {
        let profile = Profile::load(connection, &|name| std::env::var_os(name))?;
        return read.run(&profile, printer);
    }
    if let Verb::Verify(verify) = &arguments.verb
        && verify.is_of_file()
    {
        return Ok(of_directory(Path::new(""), &arguments.verb, printer));
    }
    let (data_dir, _) = profile::data_dir(arguments.data_dir.clone(), connection)?;
    Ok(of_directory(&data_dir, &arguments.verb, printer))
}

/// Runs a command about a data directory or a file.
fn of_directory(data_dir: &Path, verb: &Verb, printer: &Printer) -> Exit {
    match carry_out(data_dir, verb, printer) {
        Ok(exit) => exit,
        // A reader that has seen enough, such as `head`.
        Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(trouble @ (Trouble::Usage(_) | Trouble::Absent(_))) => {
            printer.trouble("usage", &trouble, Exit::Usage)
        }
        Err(trouble) if verb.writes_lines() => {
            tell(&trouble);
            trouble.exit()
        }
        Err(trouble) if trouble.exit() == Exit::Newer => {
            printer.trouble("newer-format", &trouble, Exit::Newer)
        }
        Err(Trouble::Output(error)) => ended(Err(error), Exit::Success),
        Err(trouble) => printer.trouble("journal", &trouble, Exit::Refused),
    }
}

fn carry_out(data_dir: &Path, verb: &Verb, printer: &Printer) -> Result<Exit, Trouble> {
    let dir = data_dir.join("journal");
    if let Verb::Verify(arguments) = verb
        && arguments.is_of_file()
    {
        return arguments.run(&dir, printer);
    }
    directory::must_not_be_a_file(data_dir)?;
    must_be_there(&dir)?;
    match directory::read_marker(data_dir, SCHEMAS) {
        // A journal alone can be read too.
        Ok(_) | Err(DirectoryError::Absent { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    match verb {
        Verb::Verify(arguments) => arguments.run(&dir, printer),
        Verb::Head => head(&dir, printer),
        Verb::Tail { lines, all, follow } => tail(&dir, (!all).then_some(*lines), *follow, printer),
        Verb::Export(arguments) => arguments.run(&dir),
        Verb::Show { record } => show::run(&dir, record, printer),
        Verb::Rebuild => rebuild(data_dir, printer),
        Verb::Read(_) => Err(Trouble::Usage("it asks the server".to_owned())),
    }
}

/// Nothing is a sound journal too, so a directory that holds none must not pass for one.
fn must_be_there(dir: &Path) -> Result<(), Trouble> {
    if state::read(dir)?.is_some() || replay::replay(dir)?.next().is_some() {
        Ok(())
    } else {
        Err(Trouble::Absent(dir.to_owned()))
    }
}

fn head(dir: &Path, printer: &Printer) -> Result<Exit, Trouble> {
    let head = replay::head(dir)?;
    printer.facts(&json!({"position": head.position, "hash": head.hash}))?;
    Ok(Exit::Success)
}

/// Shows the newest entries, or all without a number.
fn tail(
    dir: &Path,
    lines: Option<usize>,
    follow: bool,
    printer: &Printer,
) -> Result<Exit, Trouble> {
    let start = match lines {
        Some(lines) => replay::last_segment(dir)?
            .saturating_sub(lines as u64)
            .max(1),
        None => 1,
    };
    let mut newest = VecDeque::new();
    let mut next = start;
    let mut out = io::stdout().lock();
    let mut damage = None;
    for entry in replay::replay(dir)?.from(start).judged() {
        let entry = match entry {
            Ok(entry) => entry,
            // What was read is shown, and then the error.
            Err(error) => {
                damage = Some(error);
                break;
            }
        };
        next = entry.header.position + 1;
        let Some(lines) = lines else {
            write_line(&mut out, &entry, printer)?;
            continue;
        };
        newest.push_back(entry);
        if newest.len() > lines {
            newest.pop_front();
        }
    }
    for entry in &newest {
        write_line(&mut out, entry, printer)?;
    }
    if let Some(damage) = damage {
        out.flush()?;
        return Err(damage.into());
    }
    if !follow {
        return Ok(Exit::Success);
    }
    loop {
        std::thread::sleep(FOLLOW_EVERY);
        for entry in replay::replay(dir)?.from(next) {
            let entry = entry?;
            next = entry.header.position + 1;
            write_line(&mut out, &entry, printer)?;
        }
        out.flush()?;
    }
}

fn rebuild(data_dir: &Path, printer: &Printer) -> Result<Exit, Trouble> {
    let bar = progress::of_entries("replaying");
    let (journal, notices) = SledJournal::open(
        &data_dir.join("journal"),
        Options::default(),
        Clock::system(),
        &mut |_, _| {},
    )?;
    for notice in notices {
        crate::report::notice(&notice);
    }
    let rebuilt = generation::rebuild(
        &data_dir.join("projections"),
        REBUILD_CACHE_BYTES,
        &journal,
        &mut |done, total| {
            move_bar(&bar, done, total);
        },
    )?;
    bar.finish_and_clear();
    let seconds = bar.elapsed().as_secs_f64();
    journal.close()?;
    printer.facts(&json!({
        "entries": rebuilt.entries,
        "rows": rebuilt.rows,
        "differing_rows": rebuilt.differing,
        "seconds": (seconds * 1_000.0).round() / 1_000.0,
    }))?;
    Ok(Exit::Success)
}

/// Writes one entry as a line: JSON for programs, words for people.
fn write_line(out: &mut impl Write, entry: &Entry, printer: &Printer) -> io::Result<()> {
    if printer.output() != Output::Table {
        return writeln!(out, "{}", as_json(entry, false));
    }
    let at = entry.header.recorded_at;
    let Some(body) = &entry.body else {
        let by = entry.erased_by.unwrap_or_default();
        let position = entry.header.position;
        return writeln!(out, "{position:>8}  {at}  (erased by {by})");
    };
    let kinds: Vec<_> = body.events.iter().filter_map(kind_of).collect();
    writeln!(
        out,
        "{:>8}  {at}  {:<24} {} v{} by {} ({})",
        entry.header.position,
        kinds.join("+"),
        body.stream,
        body.version,
        body.origin.by,
        body.origin.request_id
    )
}

fn kind_of(event: &Event) -> Option<String> {
    let value = serde_json::to_value(event).ok()?;
    Some(value["type"].as_str()?.to_owned())
}

/// An entry for programs; with its inline content, when that is asked for and was read with it.
fn as_json(entry: &Entry, with_payload: bool) -> Value {
    let header = &entry.header;
    let mut value = json!({
        "position": header.position,
        "recorded_at": header.recorded_at.to_string(),
        "body_digest": header.body_digest,
        "prev": header.prev,
    });
    if let Some(body) = &entry.body {
        value["stream"] = json!(body.stream);
        value["version"] = json!(body.version);
        value["events"] = json!(body.events);
        value["at"] = json!(body.origin.at.to_string());
        value["by"] = json!(body.origin.by);
        value["request_id"] = json!(body.origin.request_id);
        value["source"] = json!(body.origin.source);
        value["remarks"] = json!(body.origin.remarks);
        value["payload_digest"] = json!(body.payload);
    } else {
        value["erased"] = json!(true);
        value["erased_by"] = json!(entry.erased_by);
    }
    // As text, because JSON readers would change how numbers are spelled.
    let payload = entry.payload.as_ref().filter(|_| with_payload);
    if let Some(payload) = payload.and_then(|bytes| serde_json::from_slice::<&RawValue>(bytes).ok())
    {
        value["payload_text"] = json!(payload.get());
    }
    value
}

fn move_bar(bar: &ProgressBar, done: u64, total: u64) {
    bar.set_length(total.max(done));
    bar.set_position(done);
}
