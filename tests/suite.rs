//! All integration tests, in one binary.

mod cli;
mod demo;
mod http;
mod journal;
mod support;
mod walls;
