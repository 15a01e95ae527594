//! `g3n journal export`: the history in a file, to be checked by itself or to be read.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{Exit, Trouble, as_json};
use crate::cli::cli_env::CliEnv;
use crate::cli::failure::Failure;
use crate::cli::out_file::{OutFile, Readers};
use crate::cli::time::{Time, ago};
use crate::journal::exported::{self, ExportError};
use crate::journal::replay::{Replay, replay};

/// What is exported, how, and where to.
#[derive(Args, Debug)]
pub(super) struct ExportArgs {
    /// How entries are written.
    #[arg(long, value_enum, default_value_t = Format::Log)]
    format: Format,
    /// The first position.
    #[arg(long)]
    from: Option<u64>,
    /// The last position.
    #[arg(long)]
    until: Option<u64>,
    /// Only entries recorded up to this time: RFC 3339, or how long ago, such as 1d.
    #[arg(long, value_name = "TIME", value_parser = ago, allow_hyphen_values = true)]
    as_of: Option<Time>,
    /// A file instead of standard output; a new one is readable only by its owner. It is replaced when all is written, or
    /// all before a damage.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// How entries are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The bytes of the log, which g3n journal verify FILE checks.
    Log,
    /// One JSON object per line, without salts and with upcast events. It cannot be verified against digests.
    Jsonl,
}

impl ExportArgs {
    pub(super) fn run(&self, dir: &Path) -> Result<Exit, Trouble> {
        let mut entries: Replay = replay(dir)?;
        if let Some(from) = self.from {
            entries = entries.from(from);
        }
        if let Some(until) = self.until {
            entries = entries.until(until);
        }
        if let Some(time) = &self.as_of {
            entries = entries.as_of(time.at());
        }
        match self.out.as_deref().filter(|path| path.as_os_str() != "-") {
            None => {
                let mut out = BufWriter::new(io::stdout().lock());
                let written = self.write(entries, &mut out);
                out.flush()?;
                written?;
            }
            Some(path) => {
                let mut out = OutFile::open(path, Readers::Owner)?;
                let written = self.write(entries, &mut out);
                match written {
                    // What lies before the damage is all that can be read.
                    Ok(()) | Err(Trouble::Journal(_)) => out.finish()?,
                    Err(Trouble::Output(error)) => return Err(Failure::output(path, error).into()),
                    Err(_) => {}
                }
                written?;
            }
        }
        Ok(Exit::Success)
    }

    fn write(&self, entries: Replay, out: &mut impl Write) -> Result<(), Trouble> {
        match self.format {
            Format::Jsonl => {
                for entry in entries {
                    writeln!(out, "{}", as_json(&entry?, true))?;
                }
            }
            Format::Log => {
                let exported = exported::write(entries, out).map_err(trouble)?;
                if let Some(by) = exported.erased_by_later {
                    CliEnv::of_process().note(&format!(
                        "Entries of this export were erased by position {by}, which is behind its end: export up to \
                         there, or g3n journal verify will report them as damage."
                    ));
                }
            }
        }
        Ok(())
    }
}

fn trouble(error: ExportError) -> Trouble {
    match error {
        ExportError::Journal(error) => error.into(),
        ExportError::Output(error) => error.into(),
        ExportError::Empty => Trouble::Usage(error.to_string()),
    }
}
