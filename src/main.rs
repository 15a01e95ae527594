//! The `g3n` program: parse, run, exit code.

use std::process::ExitCode;

/// Faster than the system's where many small things are made on one thread and freed on another: see docs/benchmarks.md.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    metarecord::cli::run(std::env::args_os()).into()
}
