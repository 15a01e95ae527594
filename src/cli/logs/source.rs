//! Where the lines of a log come from: a server's daily files, other files, or standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::failure::Failure;
use crate::config::Settings;
use crate::report::LINE_BYTES_MAX;
use crate::report::files::{self, Day};

/// Standard input among files.
const STANDARD_INPUT: &str = "-";

/// Which log to read.
#[derive(Args, Debug)]
pub(crate) struct SourceArgs {
    /// Files of lines instead of a directory; - for standard input.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The server's log directory; without it, that of --settings.
    #[arg(long, value_name = "DIR", env = "G3N_LOG_DIR")]
    log_dir: Option<PathBuf>,
    /// The server's settings file, which may say where the log is.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
}

/// A log that can be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The daily files of a log directory.
    Directory(PathBuf),
    /// Files, one after the other.
    Files(Vec<PathBuf>),
}

impl SourceArgs {
    /// The log that the arguments name.
    ///
    /// # Errors
    /// [`Failure`] when there is no source.
    pub(crate) fn find(&self) -> Result<Source, Failure> {
        self.given()?.ok_or_else(|| {
            Failure::Usage(
                "which log? Give --log-dir DIR (or G3N_LOG_DIR), --settings FILE with log.dir, a file, or - for standard input".to_owned(),
            )
        })
    }

    /// The log that the arguments name, if they name one.
    ///
    /// # Errors
    /// [`Failure`] when the settings cannot be read.
    pub(crate) fn given(&self) -> Result<Option<Source>, Failure> {
        if !self.files.is_empty() {
            return Ok(Some(Source::Files(self.files.clone())));
        }
        if let Some(dir) = &self.log_dir {
            return Ok(Some(Source::Directory(dir.clone())));
        }
        let Some(path) = &self.settings else {
            return Ok(None);
        };
        let settings = Settings::load(Some(path), std::iter::empty(), &[], &[]);
        let settings = settings.map_err(|error| Failure::Settings(error.to_string()))?;
        let dir = Some(settings.log.dir).filter(|dir| !dir.is_empty());
        Ok(dir.map(|dir| Source::Directory(dir.into())))
    }
}

impl Source {
    /// Hands each line on, oldest first; of a directory only from a day on.
    ///
    /// # Errors
    /// When a file cannot be read, or what takes the lines fails.
    pub(crate) fn each(
        &self,
        from: Option<Day>,
        take: &mut dyn FnMut(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self {
            Self::Directory(dir) => {
                let found = list(dir)?;
                let mut wanted = found
                    .iter()
                    .filter(|(day, _)| from.is_none_or(|from| *day >= from));
                wanted.try_for_each(|(_, path)| each_of(path, take))
            }
            Self::Files(paths) => paths.iter().try_for_each(|path| {
                if path.as_os_str() == STANDARD_INPUT {
                    each_line(&mut io::stdin().lock(), take).map_err(|failed| failed.at(path))
                } else {
                    each_of(path, take)
                }
            }),
        }
    }
}

/// The daily files of a directory, oldest first.
///
/// # Errors
/// [`Failure`] when the directory cannot be read.
pub(super) fn list(dir: &Path) -> Result<Vec<(Day, PathBuf)>, Failure> {
    files::list(dir).map_err(|error| Failure::file(dir, error))
}

fn each_of(path: &Path, take: &mut dyn FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure> {
    let file = match File::open(path) {
        Ok(file) => file,
        // Its days may have passed since it was listed.
        Err(error) if error.kind() == io::ErrorKind::NotFound && files_own(path) => return Ok(()),
        Err(error) => return Err(Failure::file(path, error)),
    };
    each_line(&mut BufReader::new(file), take).map_err(|failed| failed.at(path))
}

fn files_own(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| files::day_of_name(name).is_some())
}

/// Why lines could not be passed on.
pub(super) enum Failed {
    Reading(io::Error),
    Taking(Failure),
}

impl Failed {
    pub(super) fn at(self, path: &Path) -> Failure {
        match self {
            Self::Reading(error) => Failure::file(path, error),
            Self::Taking(failure) => failure,
        }
    }
}

/// Hands each whole line on. What is longer than a line can be is handed on in part, and is none.
pub(super) fn each_line(
    input: &mut impl BufRead,
    take: &mut dyn FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failed> {
    let mut line = Vec::new();
    loop {
        let buffer = input.fill_buf().map_err(Failed::Reading)?;
        if buffer.is_empty() {
            return if line.is_empty() {
                Ok(())
            } else {
                hand_on(&line, take)
            };
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = LINE_BYTES_MAX.saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let taken = end.map_or(part.len(), |end| end + 1);
        input.consume(taken);
        if end.is_some() {
            hand_on(&line, take)?;
            line.clear();
        }
    }
}

fn hand_on(line: &[u8], take: &mut dyn FnMut(&str) -> Result<(), Failure>) -> Result<(), Failed> {
    take(&String::from_utf8_lossy(line)).map_err(Failed::Taking)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_handed_on_whole_and_never_longer_than_one_can_be() {
        let long = "x".repeat(3 * LINE_BYTES_MAX);
        let text = format!("a\n\n{long}\nlast");
        let mut lines = Vec::new();
        let read = each_line(
            &mut BufReader::with_capacity(7, text.as_bytes()),
            &mut |line| {
                lines.push(line.to_owned());
                Ok(())
            },
        );
        assert!(read.is_ok());
        assert_eq!(
            (lines[0].as_str(), lines[1].as_str(), lines[3].as_str()),
            ("a", "", "last")
        );
        assert_eq!((lines.len(), lines[2].len()), (4, LINE_BYTES_MAX));
    }
}
