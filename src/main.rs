//! The `g3n` program: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    metarecord::cli::run(std::env::args_os()).into()
}
