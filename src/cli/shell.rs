//! `g3n completions` and `g3n man`: what a shell and a manual reader are given.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::exit::Exit;
use super::failure::Failure;

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
/// When standard output cannot be written.
pub fn completions(arguments: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "g3n", &mut text);
    write_out(&text)
}

/// Writes the manual.
///
/// # Errors
/// When it cannot be written.
pub fn man(arguments: &ManArgs) -> Result<Exit, Failure> {
    if let Some(dir) = &arguments.dir {
        let made = std::fs::create_dir_all(dir);
        let made = made.and_then(|()| clap_mangen::generate_to(Cli::command(), dir));
        made.map_err(|error| Failure::file(dir, error))?;
        return Ok(Exit::Success);
    }
    let mut text = Vec::new();
    let rendered = clap_mangen::Man::new(Cli::command()).render(&mut text);
    rendered.map_err(|error| Failure::file("the manual".as_ref(), error))?;
    write_out(&text)
}

/// Writes bytes to standard output.
pub(super) fn write_out(bytes: &[u8]) -> Result<Exit, Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written
        .map(|()| Exit::Success)
        .map_err(super::get::stdout_failed)
}
