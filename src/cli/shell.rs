//! `g3n completions` and `g3n man`: what a shell and a manual reader are given.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;
use super::exit::Exit;
use super::failure::Failure;
use super::out_file::{self, Readers};
use crate::directory;

/// Which shell to complete for.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Where to write the manual.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Directory for one page per verb.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Writes a shell's completions.
///
/// # Errors
/// [`Failure`] when standard output cannot be written.
pub fn completions(arguments: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "g3n", &mut text);
    write_out(&text)
}

/// Writes the manual.
///
/// # Errors
/// [`Failure`] when the pages cannot be written.
pub fn man(arguments: &ManArgs) -> Result<Exit, Failure> {
    if let Some(dir) = &arguments.dir {
        if let Some(data_dir) = directory::around(dir) {
            return Err(Failure::Usage(format!(
                "{} is in the data directory {}, where nothing else is written; use another --dir",
                dir.display(),
                data_dir.display()
            )));
        }
        std::fs::create_dir_all(dir).map_err(|error| Failure::output(dir, error))?;
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        write_pages(command, dir)?;
        return Ok(Exit::Success);
    }
    write_out(&page(&Man::new(Cli::command()))?)
}

/// Writes the page of a verb and those of the verbs below it.
fn write_pages(command: Command, dir: &Path) -> Result<(), Failure> {
    for below in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        write_pages(below.clone(), dir)?;
    }
    let man = Man::new(command);
    let path = dir.join(man.get_filename());
    out_file::write(&path, Readers::Umask, &page(&man)?)
}

fn page(man: &Man) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let rendered = man.render(&mut text);
    rendered.map_err(|error| Failure::output("the manual".as_ref(), error))?;
    Ok(text)
}

/// Writes bytes to standard output.
pub(super) fn write_out(bytes: &[u8]) -> Result<Exit, Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map(|()| Exit::Success).map_err(Failure::stdout)
}
