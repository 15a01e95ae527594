//! `g3n backup`: makes, checks and restores backups, of a running server or of one that is stopped.

mod lease;

use std::any::Any;
use std::fs::File;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde_json::{Map, Value, json};

use self::lease::{Lease, check_server};
use super::args::{RemarkArgs, with};
use super::cli_env::CliEnv;
use super::exit::Exit;
use super::failure::Failure;
use super::output::{Printer, ended};
use super::profile::{self, Connection, Profile};
use super::progress;
use super::unfinished::{Unfinished, uninterrupted};
use crate::backup::create::{self, Made, Making, Tally};
use crate::backup::restore::{self, Endings, Outcome, Restored};
use crate::backup::verify::{self, Report};
use crate::backup::{BackupError, Manifest};
use crate::clock::{Clock, Stopwatch};
use crate::directory::{self, DirectoryError};
use crate::journal::replay;
use crate::journal::schema::SCHEMAS;
use crate::os_error::describe;

/// Create, verify and restore backups.
#[derive(Args, Debug)]
pub struct BackupArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Back up a running or a stopped server into a directory.
    ///
    /// The directory then holds the journal up to a position and the content it names there. Running it again copies
    /// only what is new or has changed, and removes what the server has removed or erased. Run it on the server's
    /// machine, as the user that the server runs as.
    #[command(
        after_help = "Examples:\n  g3n backup create /backup/metarecord --data-dir /var/lib/metarecord\n  g3n backup create /backup/metarecord --data-dir /var/lib/metarecord --with-keys\n  g3n backup create copy --data-dir data --operator-url unix:/run/metarecord/operators.sock"
    )]
    Create(CreateArgs),
    /// Verify a backup: every byte, the journal's chain, all content that it names. Exits with 1 when something is
    /// wrong.
    #[command(after_help = "Example:\n  g3n backup verify /backup/metarecord")]
    Verify {
        /// The backup.
        #[arg(value_name = "DIR")]
        backup: PathBuf,
    },
    /// Verify a backup and create a data directory from it.
    ///
    /// Nothing is restored over data: a directory that is not empty is refused, unless --replace renames it first. No
    /// server may run on it. The server's first start then rebuilds the databases.
    #[command(
        after_help = "Examples:\n  g3n backup restore /backup/metarecord --data-dir /var/lib/metarecord\n  g3n backup restore /backup/metarecord --data-dir /var/lib/metarecord --replace"
    )]
    Restore(RestoreArgs),
}

/// What to back up.
#[derive(Args, Debug)]
struct CreateArgs {
    /// The directory to write to: empty, created if missing, or with an earlier backup of the same server. It must not be in a
    /// data directory.
    #[arg(value_name = "DIR")]
    backup: PathBuf,
    /// The server's data directory [default: data_dir of the profile, else data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Back up the keys, too. Anybody who has them can forge sessions, URLs and operator calls; without them, existing
    /// sessions, keys and URLs become invalid.
    #[arg(long)]
    with_keys: bool,
    #[command(flatten)]
    remarks: RemarkArgs,
}

/// What to restore.
#[derive(Args, Debug)]
struct RestoreArgs {
    /// The backup.
    #[arg(value_name = "DIR")]
    backup: PathBuf,
    /// The data directory to create.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// If there is data, rename that directory first.
    #[arg(long)]
    replace: bool,
}

/// Runs one verb.
///
/// # Errors
/// The [`Failure`] of the verb.
pub(super) fn run(
    arguments: &BackupArgs,
    connection: &Connection,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let (facts, exit) = match &arguments.verb {
        Verb::Create(arguments) => arguments.run(connection)?,
        Verb::Verify { backup } => {
            let mut told = Told::default();
            let report = verify::verify(backup, &mut |bytes| told.at(bytes))?;
            let exit = exit_of(&report);
            (report_facts(&report), exit)
        }
        Verb::Restore(arguments) => arguments.run()?,
    };
    let printed = printer.facts(&facts);
    if exit == Exit::Refused {
        let count = facts["problems"].as_array().map_or(0, Vec::len);
        let nothing = match &arguments.verb {
            Verb::Restore(_) => "; nothing was restored",
            Verb::Create(_) | Verb::Verify { .. } => "",
        };
        printer.bad_news(&format!(
            "the backup is damaged, problems: {count}{nothing}"
        ));
    }
    Ok(ended(printed, exit))
}

impl CreateArgs {
    fn run(&self, connection: &Connection) -> Result<(Value, Exit), Failure> {
        let (since, clock) = (Stopwatch::start(), Clock::system());
        let (data_dir, _) = profile::data_dir(self.data_dir.clone(), connection)?;
        if self.with_keys {
            CliEnv::of_process()
                .note("The backup includes the keys: protect it as well as the server.");
        }
        let order = create::Order {
            data_dir: data_dir.clone(),
            into: self.backup.clone(),
            with_keys: self.with_keys,
        };
        let spinner = progress::line();
        let mut progress = |tally: &Tally| {
            spinner.set_message(format!(
                "{} segments and {} content files copied, {} bytes",
                tally.segments, tally.objects, tally.bytes
            ));
            spinner.tick();
        };
        let (marker, _) = directory::read_marker(&data_dir, SCHEMAS).map_err(BackupError::from)?;
        let made = match directory::hold_to_read(&data_dir) {
            Ok(_hold) => {
                let making = Making::begin(order)?;
                let head = replay::head(&data_dir.join("journal"));
                let head = head.map_err(BackupError::from)?;
                making.up_to(&head, clock.now(), &mut progress)?.publish()?
            }
            Err(DirectoryError::Held { .. }) => {
                let profile = Profile::load(connection, &|name| std::env::var_os(name))?;
                check_server(&profile, &data_dir, marker.directory_id.as_deref())?;
                let mut making = Making::begin(order)?;
                making.ahead(&mut progress)?;
                let lease = Lease::begin(&profile, &data_dir, with(Map::new(), &self.remarks))?;
                let ready =
                    making.up_to(lease.head(), clock.now(), &mut |tally| progress(tally))?;
                lease.end()?;
                ready.publish()?
            }
            Err(error) => return Err(BackupError::from(error).into()),
        };
        spinner.finish_and_clear();
        let absent = made.manifest.objects.absent;
        if absent > 0 {
            CliEnv::of_process().note(
                "Content is missing or damaged on the server; g3n mrs reconcile lists it, and with --mode repair records it as lost.",
            );
        }
        let exit = match absent {
            0 => Exit::Success,
            _ => Exit::Refused,
        };
        Ok((self.facts(&made, since), exit))
    }

    fn facts(&self, made: &Made, since: Stopwatch) -> Value {
        let mut facts = manifest_facts(&made.manifest);
        facts["backup"] = json!(self.backup);
        facts["manifest_sha256"] = json!(made.manifest_sha256);
        facts["copied"] = json!({
            "segments": made.tally.segments,
            "objects": made.tally.objects,
            "bytes": made.tally.bytes,
        });
        facts["kept"] = json!({
            "segments": made.tally.segments_kept,
            "objects": made.manifest.objects.files.saturating_sub(made.tally.objects),
        });
        facts["removed"] = json!(made.removed);
        facts["absent"] = json!(made.absent);
        facts["seconds"] = json!((since.seconds() * 1_000.0).round() / 1_000.0);
        facts
    }
}

/// Removes what a signal breaks off.
struct Signals;

impl Endings for Signals {
    fn unfinished(
        &self,
        path: &Path,
        make: &mut dyn FnMut() -> Result<File, BackupError>,
    ) -> Result<(Box<dyn Any>, File), BackupError> {
        let (unfinished, file) = Unfinished::make(path, make)?;
        Ok((Box::new(unfinished), file))
    }

    fn uninterrupted(&self, work: &mut dyn FnMut()) {
        uninterrupted(work);
    }
}

impl RestoreArgs {
    fn run(&self) -> Result<(Value, Exit), Failure> {
        let order = restore::Order {
            from: self.backup.clone(),
            data_dir: self.data_dir.clone(),
            replace: self.replace,
        };
        let mut told = Told::default();
        let now = Clock::system().now();
        let outcome = restore::restore(&order, now, &Signals, &mut |bytes| told.at(bytes))?;
        Ok(match outcome {
            Outcome::Restored(restored) => (self.facts(&restored), Exit::Success),
            Outcome::Damaged(report) => (report_facts(&report), Exit::Refused),
        })
    }

    fn facts(&self, restored: &Restored) -> Value {
        let mut facts = manifest_facts(&restored.manifest);
        facts["data_dir"] = json!(self.data_dir);
        facts["set_aside"] = json!(restored.set_aside);
        if !restored.manifest.with_keys {
            CliEnv::of_process().note(
                "The backup has no keys: existing sessions, API keys and URLs are invalid, and there is a new operator token.",
            );
        }
        facts
    }
}

/// The facts of a backup that every verb prints.
fn manifest_facts(manifest: &Manifest) -> Value {
    json!({
        "position": manifest.position,
        "hash": manifest.hash,
        "made_at": manifest.made_at,
        "environment": manifest.environment,
        "generation": manifest.generation,
        "with_keys": manifest.with_keys,
        "segments": manifest.segments.len(),
        "objects": manifest.objects.files,
        "objects_absent": manifest.objects.absent,
        "bytes": manifest.bytes(),
    })
}

fn report_facts(report: &Report) -> Value {
    let mut facts = manifest_facts(&report.manifest);
    let problems: Vec<_> = report
        .problems
        .iter()
        .map(|problem| json!({"file": problem.file, "what": problem.what}))
        .collect();
    facts["good"] = json!(problems.is_empty());
    facts["entries"] = json!(report.entries);
    facts["left_over"] = json!(report.left_over);
    facts["problems"] = json!(problems);
    facts
}

fn exit_of(report: &Report) -> Exit {
    if report.problems.is_empty() {
        Exit::Success
    } else {
        Exit::Refused
    }
}

/// A progress bar of bytes read, on a terminal.
struct Told(ProgressBar);

impl Default for Told {
    fn default() -> Self {
        Self(progress::line())
    }
}

impl Told {
    fn at(&mut self, bytes: u64) {
        self.0.set_message(format!("{bytes} bytes checked"));
        self.0.tick();
    }
}

fn in_the_way(tag: &'static str, message: String) -> Failure {
    Failure::InTheWay { tag, message }
}

fn broken(tag: &'static str, message: String) -> Failure {
    Failure::Content { tag, message }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let message = describe(&error);
        match error {
            error if error.is_newer() => Self::Newer(message),
            BackupError::Directory(DirectoryError::Absent { .. })
            | BackupError::Absent { .. }
            | BackupError::Foreign { .. } => Self::Usage(message),
            BackupError::NotEmpty { .. }
            | BackupError::InDataDirectory { .. }
            | BackupError::OtherWork { .. } => in_the_way("not-empty", message),
            BackupError::InUse { .. } | BackupError::Directory(DirectoryError::Held { .. }) => {
                in_the_way("in-use", message)
            }
            BackupError::OtherJournal { .. } | BackupError::OtherServer { .. } => {
                in_the_way("other-journal", message)
            }
            BackupError::Changed { .. } => in_the_way("changed", message),
            BackupError::Newer { .. } | BackupError::Damaged { .. } => {
                broken("damaged-backup", message)
            }
            BackupError::Journal(_) => broken("journal", message),
            BackupError::Directory(_) | BackupError::Io { .. } => broken("file", message),
        }
    }
}
