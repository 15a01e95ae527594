//! The command line: parses it, runs one verb, and says how it went.

pub mod output;
