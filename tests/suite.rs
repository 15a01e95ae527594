//! All integration tests, in one binary.

mod cli;
mod http;
mod journal;
mod support;
